/* SPDX-License-Identifier: BSD-3-Clause */
/* As many frames as the switch takes. One loop over senders and receivers, in batches.
 *
 * A sender keeps no more frames under way than its receiver has buffers, so a receiver that was held
 * up for a moment loses nothing: loss that is seen is the switch's. An attempt counts as refused when
 * the ring is full or the frames under way are that many; both mean that the switch has not kept up.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/spinlock.h"
#include "bench/client.h"

#define CLOCK_ROUNDS 32    /* rounds between two looks at the clock */
#define SIDE_ROUNDS  256   /* between two looks at what nobody waits for */
#define STUCK_S      20e-6 /* without progress, before frames are suspected to be lost */
#define EMPTY_ROUNDS 64    /* looks at a queue: more than rx_take lets pass */
#define DRAIN_S      1.0
#define QUIET_S      0.01

struct lane {
	struct port *from;
	unsigned int to;   /* index of the port; n_ports: all others */
	uint64_t count;    /* frames sent since the start: the next one's number */
	uint64_t forgiven; /* of these, taken for lost */
	uint32_t empty_rounds;
};

struct stream {
	struct client *c;
	const struct plan *plan;
	struct lane lane[PORTS_MAX];
	unsigned int n_lanes;
	bool receives[PORTS_MAX];
	uint64_t received[PORTS_MAX];
	uint64_t n_received, tried, refused;
	uint64_t last_progress; /* cycles */
	uint64_t touched;       /* keeps the reads of `touch` alive */
	struct verdict verdict;
	struct flow_state *flows[PORTS_MAX]; /* by sender; a flow has one receiver, or all count for
						port 1 */
	/* The same for frames with offloads, and what a receiver has of one. */
	struct offload_flows *offload_flows[PORTS_MAX];
	struct offload_rx *offload_rx[PORTS_MAX];
};

static uint16_t address(const struct stream *s, unsigned int port)
{
	return port == s->c->n_ports ? TO_ALL : client_number(s->c, &s->c->port[port]);
}

static void add_lane(struct stream *s, unsigned int from, unsigned int to)
{
	s->lane[s->n_lanes++] = (struct lane){ .from = &s->c->port[from], .to = to };
	for (unsigned int i = 0; i < s->c->n_ports; i++)
		if (i == to || (to == s->c->n_ports && i != from))
			s->receives[i] = true;
}

static struct offload_frame offload_of(const struct stream *s, const struct lane *l, uint32_t slot)
{
	return (struct offload_frame){ .wish = offload_wish(s->plan->offload,
							    slot & (s->plan->n_ring - 1)),
				       .from = client_number(s->c, l->from),
				       .to = address(s, l->to),
				       .size = s->plan->size };
}

static void fill_offload_slots(struct stream *s, const struct lane *l)
{
	for (uint32_t i = 0; i < s->plan->n_ring; i++) {
		struct offload_frame o = offload_of(s, l, i);
		struct tx_request r;
		uint32_t size = offload_request(&o, l->from, &r);

		l->from->ops->tx_set(l->from, i, size, &r);
	}
}

static void fill_slots(struct stream *s, const struct lane *l)
{
	for (uint32_t i = 0; i < s->plan->n_ring; i++) {
		uint8_t *frame = port_tx_frame(l->from, i);

		frame_build(frame, client_number(s->c, l->from), address(s, l->to),
			    i % s->plan->n_flows, s->plan->size);
		l->from->ops->tx_set(l->from, i, s->plan->size, NULL);
	}
}

static int set_up_offload(struct stream *s, const struct lane *l, unsigned int number)
{
	struct offload_rx *rx = calloc(1, sizeof(*rx));

	s->offload_rx[l->to] = rx;
	s->offload_flows[number] = calloc(1, sizeof(*s->offload_flows[0]));
	if (rx == NULL || s->offload_flows[number] == NULL)
		return -ENOMEM;
	rx->set = s->plan->offload;
	rx->self = address(s, l->to);
	rx->flows = s->offload_flows;
	rx->verdict = &s->verdict;
	return 0;
}

static int set_up(struct stream *s)
{
	unsigned int n = s->c->n_ports;
	int ret;

	if (s->plan->mode == MODE_FLOOD)
		add_lane(s, 0, n);
	for (unsigned int i = 0; i + 1 < n && s->plan->mode != MODE_FLOOD; i += 2) {
		add_lane(s, i, i + 1);
		if (s->plan->mode == MODE_BIDIR)
			add_lane(s, i + 1, i);
	}
	for (unsigned int i = 0; i < s->n_lanes; i++) {
		unsigned int number = client_number(s->c, s->lane[i].from);

		if (s->plan->offload != OFFLOAD_NONE)
			fill_offload_slots(s, &s->lane[i]);
		else
			fill_slots(s, &s->lane[i]);
		if (!s->plan->verify)
			continue;
		if (number >= PORTS_MAX)
			return -EINVAL;
		if (s->plan->offload != OFFLOAD_NONE) {
			ret = set_up_offload(s, &s->lane[i], number);
			if (ret < 0)
				return ret;
			continue;
		}
		s->flows[number] = calloc(1, sizeof(*s->flows[0]));
		if (s->flows[number] == NULL)
			return -ENOMEM;
	}
	return 0;
}

/* Frames of the lane that nobody has received yet. */
static uint64_t under_way(const struct stream *s, const struct lane *l)
{
	uint64_t least = UINT64_MAX;

	if (l->to < s->c->n_ports)
		return l->count - l->forgiven - s->received[l->to];
	for (unsigned int i = 0; i < s->c->n_ports; i++)
		if (s->receives[i] && s->received[i] < least)
			least = s->received[i];
	return l->count - l->forgiven - least;
}

static void build_offloads(const struct stream *s, const struct lane *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = l->count + i;
		struct offload_frame o = offload_of(s, l, l->from->tx_next + i);

		o.seq = (uint32_t)(number / s->plan->n_flows);
		o.flow = (uint16_t)(number % s->plan->n_flows);
		offload_build(port_tx_frame(l->from, l->from->tx_next + i), &o, l->from);
	}
}

static void stamp_batch(const struct stream *s, const struct lane *l, uint32_t n)
{
	uint16_t from = client_number(s->c, l->from), to = address(s, l->to);

	for (uint32_t i = 0; i < n; i++) {
		uint64_t number = l->count + i;
		uint8_t *frame = port_tx_frame(l->from, l->from->tx_next + i);
		struct stamp stamp = { .magic = STAMP_MAGIC,
				       .seq = (uint32_t)(number / s->plan->n_flows),
				       .from = from,
				       .to = to,
				       .flow = (uint16_t)(number % s->plan->n_flows),
				       .size = (uint16_t)s->plan->size };

		if (s->plan->n_flows > 1)
			frame_build(frame, from, to, stamp.flow, s->plan->size);
		frame_stamp(frame, &stamp);
	}
}

/* More flows than frames in the ring: each frame is another one's when it is sent again. */
static void change_flows(const struct stream *s, const struct lane *l, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		frame_set_flow(port_tx_frame(l->from, l->from->tx_next + i),
			       (uint32_t)((l->count + i) % s->plan->n_flows));
}

/* Returns whether it sent. */
static bool send_batch(struct stream *s, struct lane *l)
{
	uint32_t batch = s->plan->batch;
	/* Whoever takes no large send whole gets it in many buffers. A queue may get more than its share: twice
	 * that is rare, and where nothing may be lost all of it, since virtio-net's key is random. */
	uint32_t n_queues = s->plan->n_queues > 1 ? s->plan->n_queues : 1;
	uint32_t shares = s->plan->verify ? n_queues : n_queues > 1 ? 2 : 1;
	uint32_t window =
		s->plan->n_ring / shares / offload_buffers(s->plan->offload, s->plan->size) -
		2 * batch;

	if (s->plan->n_frames != 0 && l->count >= s->plan->n_frames)
		return false;
	s->tried += batch;
	/* More were received than sent if others sent as well: that is nothing under way. */
	if (l->from->ops->tx_room(l->from, batch) < batch ||
	    (int64_t)under_way(s, l) > (int64_t)window) {
		s->refused += batch;
		return false;
	}
	if (s->plan->offload != OFFLOAD_NONE)
		build_offloads(s, l, batch);
	else if (s->plan->verify)
		stamp_batch(s, l, batch);
	else if (s->plan->n_flows > s->plan->n_ring)
		change_flows(s, l, batch);
	l->empty_rounds = 0;
	l->from->ops->tx_post(l->from, batch);
	l->count += batch;
	return true;
}

/* Returns how many frames these are, as they were sent. */
static uint32_t look_at(struct stream *s, struct port *p, struct port_frame *frame, uint32_t n)
{
	uint32_t n_ended = 0;

	if (s->plan->offload != OFFLOAD_NONE) {
		for (uint32_t i = 0; i < n; i++)
			n_ended += offload_take(s->offload_rx[p->idx], p, i, &frame[i]);
		return n_ended;
	}
	if (s->plan->verify) {
		for (uint32_t i = 0; i < n; i++)
			frame_verify(frame[i].va, frame[i].size, client_number(s->c, p), s->flows,
				     PORTS_MAX, &s->verdict);
	} else if (s->plan->touch) {
		for (uint32_t i = 0; i < n; i++)
			s->touched += *frame[i].va;
	}
	return n;
}

/* Returns whether anything came. */
static bool receive_batch(struct stream *s, unsigned int i, uint32_t want)
{
	struct port *p = &s->c->port[i];
	struct port_frame frame[TAKE_MAX];
	uint32_t n = p->ops->rx_take(p, frame, want, TAKE_MAX);

	uint32_t n_frames = n;

	if (n == 0)
		return false;
	/* Every receiver of a flood gets the same numbers: one of them is looked at. */
	if (s->plan->mode != MODE_FLOOD || i == 1)
		n_frames = look_at(s, p, frame, n);
	p->ops->rx_return(p);
	s->received[i] += n_frames;
	s->n_received += n_frames;
	return true;
}

static void drain_port(struct port *p)
{
	struct port_frame frame[TAKE_MAX];

	p->ops->rx_take(p, frame, 1, TAKE_MAX);
	p->ops->rx_return(p);
}

/* Ports that only send may be flooded with what is not theirs. */
static void drain_senders(struct stream *s)
{
	for (unsigned int i = 0; i < s->c->n_ports; i++)
		if (!s->receives[i])
			drain_port(&s->c->port[i]);
}

/* The port without a partner. */
static struct port *onlooker(const struct stream *s)
{
	unsigned int n = s->c->n_ports;

	return n % 2 != 0 && s->plan->mode != MODE_FLOOD ? &s->c->port[n - 1] : NULL;
}

static bool round_of(struct stream *s, bool sends)
{
	bool progress = false;

	for (unsigned int i = 0; i < s->n_lanes && sends; i++)
		progress |= send_batch(s, &s->lane[i]);
	for (unsigned int i = 0; i < s->c->n_ports; i++)
		if (s->receives[i])
			progress |= receive_batch(s, i, sends ? s->plan->batch : 1);
	if (onlooker(s) != NULL)
		drain_port(onlooker(s));
	return progress;
}

/* What the switch has dropped will never come: without this the sender would wait for ever. Frames
 * are lost if the sender's ring has been empty for some looks at the receiver's. */
static void forgive(struct stream *s)
{
	uint32_t n_queues = s->plan->n_queues > 1 ? s->plan->n_queues : 1;

	for (unsigned int i = 0; i < s->n_lanes; i++) {
		struct lane *l = &s->lane[i];
		struct port *p = l->from;
		uint64_t n = under_way(s, l);
		/* A group that is not full yet is never given back. */
		uint32_t slack = s->plan->batch % p->tx_grain == 0 ? 0 : p->tx_grain - 1;

		if ((int64_t)n <= 0 || p->ops->tx_room(p, p->tx_all) + slack < p->tx_all)
			l->empty_rounds = 0;
		else if (++l->empty_rounds > EMPTY_ROUNDS * n_queues)
			l->forgiven += n;
	}
}

static bool all_sent(const struct stream *s)
{
	for (unsigned int i = 0; i < s->n_lanes; i++)
		if (s->lane[i].count < s->plan->n_frames)
			return false;
	return s->plan->n_frames != 0;
}

static uint64_t total_sent(const struct stream *s)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < s->n_lanes; i++)
		n += s->lane[i].count;
	return n;
}

/* Takes what is still under way, until nothing comes any more; for a moment only if all is there. */
static void drain(struct stream *s)
{
	double hz = (double)clock_hz();
	uint64_t patience = (uint64_t)(DRAIN_S * hz), quiet = (uint64_t)(QUIET_S * hz);

	s->last_progress = clock_cycles();
	for (;;) {
		uint64_t idle;

		if (round_of(s, false))
			s->last_progress = clock_cycles();
		idle = clock_cycles() - s->last_progress;
		if (idle > patience || (idle > quiet && s->verdict.good == total_sent(s)))
			break;
	}
}

/* Runs for `seconds`, or until all frames are sent. */
static void run_for(struct stream *s, double seconds)
{
	uint64_t hz = clock_hz(), from = clock_cycles(), now = from;
	uint64_t end = from + (uint64_t)(seconds * (double)hz);
	uint64_t stuck = (uint64_t)(STUCK_S * (double)hz);

	s->last_progress = from;
	for (uint64_t rounds = 1; now < end; rounds++) {
		bool progress = round_of(s, true);

		if (!progress && s->plan->nap_us > 0)
			usleep(s->plan->nap_us);
		else if (!progress)
			cpu_relax();
		if (rounds % SIDE_ROUNDS == 0)
			drain_senders(s);
		if (progress && rounds % CLOCK_ROUNDS != 0)
			continue;
		now = clock_cycles();
		if (progress)
			s->last_progress = now;
		else if (now - s->last_progress > stuck)
			forgive(s);
		if (all_sent(s))
			break;
	}
}

static double thread_cpu_s(void)
{
	struct rusage u;

	getrusage(RUSAGE_THREAD, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int stream_run(struct client *c, struct stream_result *r)
{
	struct stream *s = calloc(1, sizeof(*s));
	uint64_t from, sent;
	double cpu;
	int ret;

	if (s == NULL)
		return -ENOMEM;
	s->c = c;
	s->plan = &c->plan;
	ret = set_up(s);
	if (ret < 0)
		goto out;
	run_for(s, c->plan.warm_seconds);
	s->n_received = s->tried = s->refused = 0;
	sent = total_sent(s);
	cpu = thread_cpu_s();
	from = clock_cycles();
	run_for(s, c->plan.seconds);
	r->seconds = (double)(clock_cycles() - from) / (double)clock_hz();
	r->cpu_share = (thread_cpu_s() - cpu) / r->seconds;
	r->sent = total_sent(s) - sent;
	r->received = s->n_received;
	r->tried = s->tried;
	r->refused = s->refused;
	if (c->plan.verify || c->plan.n_frames != 0)
		drain(s);
	r->verdict = s->verdict;
	r->undelivered = c->plan.verify ? total_sent(s) - s->verdict.good : 0;
	for (unsigned int i = 0; i < c->n_ports; i++)
		if (c->port[i].out_of_order)
			ret = -EILSEQ;
out:
	for (unsigned int i = 0; i < PORTS_MAX; i++) {
		free(s->flows[i]);
		free(s->offload_flows[i]);
		free(s->offload_rx[i]);
	}
	free(s);
	return ret;
}
