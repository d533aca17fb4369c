/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture/capture.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "bpf/filter.h"
#include "capture/pcapng.h"
#include "capture/ring.h"

#define IDLE_MS    5 /* workers do not wake the thread: it looks so often */
#define N_PATHS    3 /* by slot: VF or uplink, synthetic, none */
#define OUT_SIZE   (2u * (CAPTURE_SNAPLEN_MAX + PCAPNG_BLOCK_MAX))
#define OUT_ENOUGH 65536 /* more than so much is sent before more is added */
#define NO_ID      UINT32_MAX

_Static_assert(PORT_ENDPOINTS + 1 == N_PATHS, "a path for each endpoint, and one for none");

struct record {
	struct ring_head head;
	uint64_t time_ns;
	uint32_t size;     /* of the frame */
	uint32_t captured; /* of it, here */
	uint16_t port, queue;
	uint8_t way, drop, path;
	uint8_t by_size; /* of the name behind the frame's bytes, with its end: the extension that dropped it; 0: none */
	uint8_t bytes[];
};

struct count {
	_Atomic uint64_t wanted, lost;
};

/* A port of the capture; it stays until the capture is freed. */
struct capture_port {
	struct tap tap;
	struct capture *capture;
	unsigned int idx;
	bool uplink;
	char *name, *switch_name;
	uint32_t id[N_PATHS]; /* the thread's: numbers in the stream; NO_ID: not there yet */
	struct {
		struct count path[N_PATHS];
	} __attribute__((aligned(CACHE_LINE))) worker[WORKERS_MAX];
};

struct capture {
	struct bpf_filter *filter; /* NULL: all frames */
	char *expression;
	struct capture_options options;
	struct ring ring[WORKERS_MAX];
	pthread_t thread;
	bool runs;
	int fd, wake_fd;
	atomic_bool end, now; /* to end when the rings are empty, or at once */
	/* Control adds; the thread reads those below n_ports. */
	struct capture_port *_Atomic port[CAPTURE_PORTS_MAX];
	atomic_uint n_ports;
	/* The thread's. */
	uint32_t n_ids;
	struct pcapng_out out;
	uint32_t sent;    /* bytes of `out` that are gone */
	uint64_t ends_ns; /* until then the reader has time; 0: it is not to end yet */
	_Atomic uint64_t n_frames, n_bytes;
	char reason[128]; /* before `ended` is set */
	atomic_bool ended;
};

/* --- workers --- */

static bool wants(struct tap *tap, const struct tap_sight *sight)
{
	const struct capture_port *port = container_of(tap, struct capture_port, tap);
	const struct capture *capture = port->capture;

	if (capture->options.drops_only && sight->drop == DROP_NONE)
		return false;
	return tap->filter == NULL || tap->filter->sees(tap->filter, sight);
}

static void count_one(_Atomic uint64_t *count)
{
	/* One writer: no locked instruction needed. */
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void show(struct tap *tap, const struct tap_sight *sight)
{
	struct capture_port *port = container_of(tap, struct capture_port, tap);
	struct capture *capture = port->capture;
	uint32_t size = tap_size(sight);
	uint32_t captured = size < capture->options.snaplen ? size : capture->options.snaplen;
	size_t by_size = sight->by != NULL ? strlen(sight->by) + 1 : 0;
	struct count *count = &port->worker[worker_self].path[sight->slot];
	struct ring *ring = &capture->ring[worker_self];
	struct record *r;

	/* Its reader has ended it, and control has not taken the taps away yet. */
	if (atomic_load_explicit(&capture->end, memory_order_relaxed))
		return;
	count_one(&count->wanted);
	r = ring_reserve(ring, (uint32_t)(sizeof(*r) + captured + by_size + 7) & ~7u);
	if (r == NULL) {
		count_one(&count->lost);
		return;
	}
	if (sight->fw->seen_ns == 0)
		sight->fw->seen_ns = now_ns();
	r->time_ns = sight->fw->seen_ns;
	r->size = size;
	r->captured = captured;
	r->port = (uint16_t)port->idx;
	r->queue = sight->queue;
	r->way = sight->way;
	r->drop = sight->drop;
	r->path = sight->slot;
	r->by_size = (uint8_t)by_size;
	tap_read(sight, r->bytes, captured);
	if (by_size > 0)
		memcpy(r->bytes + captured, sight->by, by_size);
	ring_push(ring, r);
}

/* --- the thread: sending --- */

static void say(struct capture *capture, const char *why)
{
	size_t at = strlen(capture->reason);

	(void)snprintf(capture->reason + at, sizeof(capture->reason) - at, "%s%s",
		       at > 0 ? "; " : "", why);
}

static void give_up(struct capture *capture, const char *why)
{
	if (!atomic_exchange(&capture->now, true))
		say(capture, why);
}

/* How long the reader may still take for the rest; -1: the capture goes on. */
static int ends_in_ms(struct capture *capture)
{
	uint64_t now = clock_ns(), farewell_ns = (uint64_t)capture->options.farewell_ms * 1000000;

	if (!atomic_load(&capture->end))
		return -1;
	if (capture->ends_ns == 0)
		capture->ends_ns = now + farewell_ns;
	return now < capture->ends_ns ? (int)((capture->ends_ns - now) / 1000000 + 1) : 0;
}

/* What the reader has done. */
static void heed(struct capture *capture, short events)
{
	if ((events & (POLLERR | POLLHUP)) != 0)
		give_up(capture, "its reader has gone");
	else if ((events & POLLRDHUP) != 0 && !atomic_exchange(&capture->end, true))
		say(capture, "stopped by its user");
}

/* Waits until the reader takes more, something is wanted, or it is time to look. */
static void wait_for(struct capture *capture, bool room)
{
	int ends_in = ends_in_ms(capture);
	bool ends = ends_in >= 0;
	short events = (short)((room ? POLLOUT : 0) | (ends ? 0 : POLLRDHUP));
	struct pollfd fds[] = { { .fd = capture->fd, .events = events },
				{ .fd = capture->wake_fd, .events = POLLIN } };
	eventfd_t ignored;

	if (ends && !room)
		return;
	if (ends_in == 0)
		give_up(capture, CAPTURE_UNREAD);
	(void)poll(fds, ends ? 1 : 2, ends ? ends_in : room ? -1 : IDLE_MS);
	heed(capture, fds[0].revents);
	if (!ends && (fds[1].revents & POLLIN) != 0)
		eventfd_read(capture->wake_fd, &ignored);
}

/* Has the buffer sent but for `keep` bytes. */
static void flush(struct capture *capture, uint32_t keep)
{
	struct pollfd reader = { .fd = capture->fd, .events = POLLRDHUP };
	struct pcapng_out *out = &capture->out;

	while (out->size - capture->sent > keep && !atomic_load(&capture->now)) {
		ssize_t n = send(capture->fd, out->bytes + capture->sent, out->size - capture->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			capture->sent += (uint32_t)n;
		else if (errno == EAGAIN)
			wait_for(capture, true);
		else if (errno != EINTR)
			give_up(capture, "its reader has gone");
	}
	atomic_fetch_add_explicit(&capture->n_bytes, capture->sent, memory_order_relaxed);
	memmove(out->bytes, out->bytes + capture->sent, out->size - capture->sent);
	out->size -= capture->sent;
	capture->sent = 0;
	/* Also when there is always something to write. */
	if (poll(&reader, 1, 0) > 0)
		heed(capture, reader.revents);
}

/* --- the thread: blocks --- */

static uint32_t interface_id(struct capture *capture, struct capture_port *port, unsigned int path)
{
	static const char *const paths[] = { "vf", "synthetic", "none" };
	char text[256];

	if (port->id[path] != NO_ID)
		return port->id[path];
	if (port->uplink)
		(void)snprintf(text, sizeof(text), "uplink %s of switch %s", port->name,
			       port->switch_name);
	else
		(void)snprintf(text, sizeof(text), "vport %s of switch %s, path %s", port->name,
			       port->switch_name, paths[path]);
	pcapng_interface(&capture->out, port->name, text, capture->expression,
			 capture->options.snaplen);
	port->id[path] = capture->n_ids++;
	return port->id[path];
}

static void write_record(struct capture *capture, const struct record *r)
{
	struct capture_port *port =
		atomic_load_explicit(&capture->port[r->port], memory_order_acquire);
	const char *by = r->by_size > 0 ? (const char *)r->bytes + r->captured : "";
	char comment[128];
	/* As the VM sees it; an uplink's peer is the network outside, and it is the host that receives from there. */
	bool inbound = (r->way == TAP_IN) != port->uplink;
	struct pcapng_packet packet = {
		.interface = interface_id(capture, port, r->path),
		.time_ns = r->time_ns,
		.size = r->size,
		.bytes = r->bytes,
		.captured = r->captured,
		.direction = inbound ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
		.has_queue = r->queue != TAP_QUEUE_NONE,
		.queue = r->queue,
	};

	if (r->drop != DROP_NONE) {
		(void)snprintf(comment, sizeof(comment), "dropped: %s%s%s",
			       drop_reason_name(r->drop), by[0] != '\0' ? " " : "", by);
		packet.comment = comment;
	}
	pcapng_packet(&capture->out, &packet);
	atomic_fetch_add_explicit(&capture->n_frames, 1, memory_order_relaxed);
	if (capture->out.size > OUT_ENOUGH)
		flush(capture, 0);
}

/* Writes the oldest of the records that are there; false: there is none. */
static bool write_oldest(struct capture *capture)
{
	const struct record *oldest = NULL;
	struct ring *of = NULL;

	for (unsigned int i = 0; i < capture->options.n_workers; i++) {
		const struct record *r = ring_peek(&capture->ring[i]);

		if (r == NULL || (oldest != NULL && oldest->time_ns <= r->time_ns))
			continue;
		oldest = r;
		of = &capture->ring[i];
	}
	if (oldest == NULL)
		return false;
	write_record(capture, oldest);
	ring_pop(of, oldest);
	return true;
}

static void sum_path(const struct capture_port *port, unsigned int path, uint64_t *wanted,
		     uint64_t *lost)
{
	for (unsigned int w = 0; w < WORKERS_MAX; w++) {
		const struct count *count = &port->worker[w].path[path];

		*wanted += atomic_load_explicit(&count->wanted, memory_order_relaxed);
		*lost += atomic_load_explicit(&count->lost, memory_order_relaxed);
	}
}

static void write_statistics(struct capture *capture)
{
	/* Once nothing can be sent any more, nothing is added. */
	for (unsigned int i = 0; i < atomic_load(&capture->n_ports) && !atomic_load(&capture->now);
	     i++) {
		struct capture_port *port = atomic_load(&capture->port[i]);

		for (unsigned int path = 0; path < N_PATHS; path++) {
			uint64_t wanted = 0, lost = 0;

			sum_path(port, path, &wanted, &lost);
			if (port->id[path] == NO_ID && wanted == 0)
				continue;
			pcapng_statistics(&capture->out, interface_id(capture, port, path),
					  now_ns(), wanted, lost);
			if (capture->out.size > OUT_ENOUGH)
				flush(capture, 0);
		}
	}
	flush(capture, 0);
}

static void *thread_main(void *arg)
{
	struct capture *capture = arg;
	bool ends = false;

	pthread_setname_np(pthread_self(), "capture");
	pcapng_section(&capture->out, "softiov " SOFTIOV_VERSION);
	while (!atomic_load(&capture->now) && !ends) {
		/* Before the rings are looked at: what was in them then is written. */
		ends = atomic_load(&capture->end);
		while (!atomic_load(&capture->now) && write_oldest(capture))
			;
		flush(capture, 0);
		if (!ends && !atomic_load(&capture->now))
			wait_for(capture, false);
	}
	if (!atomic_load(&capture->now))
		write_statistics(capture);
	atomic_store(&capture->ended, true);
	capture->options.ended(capture->options.arg);
	(void)shutdown(capture->fd, SHUT_WR);
	return NULL;
}

/* --- control --- */

static int rings_init(struct capture *capture)
{
	int ret = 0;

	for (unsigned int i = 0; i < capture->options.n_workers && ret == 0; i++)
		ret = ring_init(&capture->ring[i]);
	return ret;
}

int capture_new(struct capture **capture, const struct capture_options *options, struct err *err)
{
	struct capture *c = calloc(1, sizeof(*c));
	int ret = -ENOMEM;

	if (c == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	c->options = *options;
	c->fd = -1;
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->out.bytes = malloc((size_t)OUT_SIZE);
	if (options->filter[0] != '\0') {
		c->expression = strdup(options->filter);
		ret = bpf_filter_new(&c->filter, options->filter, err);
		if (ret < 0)
			goto fail;
	}
	ret = c->wake_fd < 0 ? -errno : rings_init(c);
	if (ret == 0 && (c->out.bytes == NULL || (c->filter != NULL && c->expression == NULL)))
		ret = -ENOMEM;
	if (ret < 0) {
		err_set(err, ret, "cannot make a capture: %s", strerror(-ret));
		goto fail;
	}
	*capture = c;
	return 0;
fail:
	capture_free(c);
	return ret;
}

int capture_run(struct capture *capture, int fd)
{
	int ret;

	capture->fd = fd;
	ret = -pthread_create(&capture->thread, NULL, thread_main, capture);
	capture->runs = ret == 0;
	return ret;
}

struct tap *capture_find(const struct capture *capture, bool uplink, const char *name)
{
	for (unsigned int i = 0; i < atomic_load(&capture->n_ports); i++) {
		struct capture_port *port = atomic_load(&capture->port[i]);

		if (port->uplink == uplink && strcmp(port->name, name) == 0)
			return &port->tap;
	}
	return NULL;
}

bool capture_owns(const struct capture *capture, const struct tap *tap)
{
	return tap->show == show && container_of(tap, struct capture_port, tap)->capture == capture;
}

struct tap *capture_port(struct capture *capture, bool uplink, const char *name,
			 const char *switch_name)
{
	struct tap *known = capture_find(capture, uplink, name);
	unsigned int n = atomic_load(&capture->n_ports);
	struct capture_port *port;

	if (known != NULL || n == CAPTURE_PORTS_MAX)
		return known;
	port = aligned_alloc(CACHE_LINE, sizeof(*port));
	if (port == NULL)
		return NULL;
	memset(port, 0, sizeof(*port));
	port->tap.wants = wants;
	port->tap.show = show;
	port->tap.filter = capture->filter != NULL ? &capture->filter->tap : NULL;
	port->tap.ways = TAP_BIT(TAP_OUT) | TAP_BIT(TAP_IN);
	port->capture = capture;
	port->idx = n;
	port->uplink = uplink;
	port->name = strdup(name);
	port->switch_name = strdup(switch_name);
	for (unsigned int i = 0; i < N_PATHS; i++)
		port->id[i] = NO_ID;
	if (port->name == NULL || port->switch_name == NULL) {
		free(port->name);
		free(port->switch_name);
		free(port);
		return NULL;
	}
	atomic_store(&capture->port[n], port);
	atomic_store(&capture->n_ports, n + 1);
	return &port->tap;
}

void capture_end(struct capture *capture)
{
	atomic_store(&capture->end, true);
	eventfd_write(capture->wake_fd, 1);
}

void capture_state(const struct capture *capture, struct capture_state *state)
{
	*state = (struct capture_state){ .ended = atomic_load(&capture->ended),
					 .frames = atomic_load(&capture->n_frames),
					 .bytes = atomic_load(&capture->n_bytes) };
	if (state->ended)
		memcpy(state->reason, capture->reason, sizeof(state->reason));
	for (unsigned int i = 0; i < atomic_load(&capture->n_ports); i++) {
		uint64_t wanted = 0;

		for (unsigned int path = 0; path < N_PATHS; path++)
			sum_path(atomic_load(&capture->port[i]), path, &wanted, &state->lost);
	}
}

void capture_free(struct capture *capture)
{
	if (capture == NULL)
		return;
	if (capture->runs) {
		atomic_store(&capture->now, true);
		capture_end(capture);
		pthread_join(capture->thread, NULL);
	}
	for (unsigned int i = 0; i < atomic_load(&capture->n_ports); i++) {
		struct capture_port *port = atomic_load(&capture->port[i]);

		free(port->name);
		free(port->switch_name);
		free(port);
	}
	for (unsigned int i = 0; i < WORKERS_MAX; i++)
		ring_fini(&capture->ring[i]);
	if (capture->fd >= 0)
		close(capture->fd);
	if (capture->wake_fd >= 0)
		close(capture->wake_fd);
	bpf_filter_free(capture->filter);
	free(capture->expression);
	free(capture->out.bytes);
	free(capture);
}
