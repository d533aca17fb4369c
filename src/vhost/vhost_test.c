/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost-user server through its socket, with rte_vhost between: two front ends (or guests) A and
 * B, and a worker that passes each frame from one to the other.
 *
 *   front A --socket--> synthetic A <--> worker <--> synthetic B <--socket-- front B
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_eal.h>

#include "base/clock.h"
#include "base/log.h"
#include "vhost/front.h"
#include "vhost/vhost.h"

#define V1         (1ull << VIRTIO_F_VERSION_1)
#define MRG        (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define FEATURES   (V1 | MRG | 1ull << VIRTIO_RING_F_EVENT_IDX)
#define LOG_ALL    (1ull << 26)
#define FRAME_SIZE 100u
#define HDR_SIZE   12u
#define BUFFER     2048u
#define WAIT_MS    5000

/* One side: a synthetic, and the guest that uses it. */
struct side {
	struct vhost *vhost;
	char path[100];
	struct front front;
	atomic_uint n_states;
	enum vhost_state states[64]; /* all that the upcall told, in order */
	/* The guest's driver. */
	uint64_t tx_iova, rx_iova; /* of FRONT_RING_SIZE buffers each */
	uint16_t n_sent, n_done;
	bool posted[FRONT_RING_SIZE]; /* receive buffer i is with the device */
	uint32_t next_seq;            /* what it has to get next, at least */
	unsigned int n_received, n_skipped;
};

static struct side sides[2];
static char folder[64];

/* --- the worker --- */

static _Atomic(struct endpoint *) endpoints[2];
static atomic_uint epoch;
static atomic_bool worker_stop;

static void forward(struct endpoint *from, struct endpoint *to, struct burst *burst)
{
	const struct frame *good[BURST_MAX];
	unsigned int n = 0;

	burst->n = burst->n_segs = 0;
	if (from->txq[0]->ops->pull(from->txq[0], burst) == 0)
		return;
	for (unsigned int i = 0; i < burst->n; i++)
		if (frame_parse(&burst->frame[i])) {
			burst->frame[i].vid = 0;
			good[n++] = &burst->frame[i];
		}
	if (to != NULL && n > 0)
		to->ops->push(to, good, n, 0, endpoint_stats_self(to));
	from->txq[0]->ops->done(from->txq[0]);
}

static void *worker_main(void *arg)
{
	static struct burst burst;

	while (!atomic_load(&worker_stop)) {
		struct endpoint *a = atomic_load(&endpoints[0]), *b = atomic_load(&endpoints[1]);

		if (a != NULL)
			forward(a, b, &burst);
		if (b != NULL)
			forward(b, a, &burst);
		atomic_fetch_add(&epoch, 1);
		sched_yield();
	}
	return arg;
}

static void quiesce(void *arg)
{
	unsigned int from = atomic_load(&epoch);

	while (atomic_load(&epoch) - from < 2)
		sched_yield();
	assert_non_null(arg);
}

/* --- the synthetics --- */

static void state_changed(void *arg, enum vhost_state state)
{
	struct side *s = arg;
	unsigned int n = atomic_load(&s->n_states);

	if (n < ARRAY_SIZE(s->states))
		s->states[n] = state;
	atomic_store(&s->n_states, n + 1);
}

static const struct vhost_upcalls upcalls = { state_changed, quiesce };

static void side_listen(struct side *s)
{
	struct vhost_config config = { .path = s->path,
				       .mode = 0600,
				       .uid = (uid_t)-1,
				       .gid = (gid_t)-1,
				       .max_frame = 1514,
				       .link_up = true,
				       .upcalls = &upcalls,
				       .arg = s };
	struct err err = { 0 };

	if (vhost_new(&s->vhost, &config, &err) < 0)
		fail_msg("%s", err.text);
	atomic_store(&endpoints[s - sides], vhost_endpoint(s->vhost));
}

static void side_close(struct side *s)
{
	atomic_store(&endpoints[s - sides], NULL);
	quiesce(s);
	vhost_free(s->vhost);
	s->vhost = NULL;
}

/* Polls until `what` is so. */
#define wait_for(what)                                                    \
	do {                                                              \
		uint64_t wait_until = clock_ns() + WAIT_MS * 1000000ull;  \
		bool is_so;                                               \
                                                                          \
		while (!(is_so = (what)) && clock_ns() < wait_until)      \
			usleep(100);                                      \
		if (!is_so)                                               \
			fail_msg("line %d: not so: %s", __LINE__, #what); \
	} while (0)

/* --- the guests --- */

static void post(struct side *s, uint32_t i)
{
	assert_false(s->posted[i]);
	s->posted[i] = true;
	guest_offer(&s->front.guest.ring[VIRTIO_NET_RX], (uint16_t)i);
}

/* Empty rings from `idx` on, all receive buffers offered. */
static void driver_reset(struct side *s, uint16_t idx)
{
	struct guest *g = &s->front.guest;

	guest_reset(g, idx);
	s->tx_iova = guest_alloc(g, FRONT_RING_SIZE * BUFFER, 0);
	s->rx_iova = guest_alloc(g, FRONT_RING_SIZE * BUFFER, 0);
	memset(s->posted, 0, sizeof(s->posted));
	s->n_sent = s->n_done = 0;
	for (uint16_t i = 0; i < FRONT_RING_SIZE; i++) {
		guest_set_desc(&g->ring[VIRTIO_NET_TX], i, s->tx_iova + i * BUFFER,
			       HDR_SIZE + FRAME_SIZE, 0, 0);
		guest_set_desc(&g->ring[VIRTIO_NET_RX], i, s->rx_iova + i * BUFFER, BUFFER,
			       VRING_DESC_F_WRITE, 0);
		post(s, i);
	}
}

/* Sends the frame with number `seq`; false while the ring is full. */
static bool driver_send(struct side *s, uint32_t seq)
{
	struct guest_ring *r = &s->front.guest.ring[VIRTIO_NET_TX];
	uint16_t i = s->n_sent % FRONT_RING_SIZE;
	uint32_t head, size;
	uint8_t *va;

	while (guest_collect(r, &head, &size)) {
		/* In order, each once. */
		assert_int_equal(head, s->n_done % FRONT_RING_SIZE);
		s->n_done++;
	}
	if ((uint16_t)(s->n_sent - s->n_done) >= FRONT_RING_SIZE / 2)
		return false;
	va = guest_va(&s->front.guest, s->tx_iova + i * BUFFER);
	memset(va, 0, HDR_SIZE + FRAME_SIZE);
	va[HDR_SIZE] = 2;
	va[HDR_SIZE + 6] = 2;
	memcpy(va + HDR_SIZE + 14, &seq, sizeof(seq));
	memset(va + HDR_SIZE + 18, (int)(seq & 0xff), FRAME_SIZE - 18);
	guest_offer(r, i);
	s->n_sent++;
	return true;
}

/* Takes what came: numbers rise, contents are whole, buffers come back once. */
static void driver_receive(struct side *s)
{
	uint32_t head, size, seq;

	while (guest_collect(&s->front.guest.ring[VIRTIO_NET_RX], &head, &size)) {
		uint8_t want[FRAME_SIZE - 18], *va;

		assert_true(head < FRONT_RING_SIZE && s->posted[head]);
		assert_int_equal(size, HDR_SIZE + FRAME_SIZE);
		va = guest_va(&s->front.guest, s->rx_iova + head * BUFFER);
		memcpy(&seq, va + HDR_SIZE + 14, sizeof(seq));
		memset(want, (int)(seq & 0xff), sizeof(want));
		assert_memory_equal(va + HDR_SIZE + 18, want, sizeof(want));
		assert_true(seq >= s->next_seq);
		s->n_skipped += seq - s->next_seq;
		s->next_seq = seq + 1;
		s->n_received++;
		s->posted[head] = false;
		post(s, head);
	}
}

/* Sends `n` frames from one to the other and waits until all are there. */
static void exchange(struct side *from, struct side *to, uint32_t n)
{
	uint64_t until = clock_ns() + WAIT_MS * 1000000ull;
	uint32_t seq = to->next_seq, end = seq + n;

	while (to->next_seq != end && clock_ns() < until) {
		if (seq != end && driver_send(from, seq))
			seq++;
		driver_receive(to);
	}
	assert_int_equal(to->next_seq, end);
}

static void both_ways(uint32_t n)
{
	exchange(&sides[0], &sides[1], n);
	exchange(&sides[1], &sides[0], n);
	assert_int_equal(sides[0].n_skipped + sides[1].n_skipped, 0);
}

static void side_run(struct side *s, uint64_t features)
{
	assert_int_equal(front_connect(&s->front, s->path), 0);
	assert_int_equal(front_start(&s->front, features), 0);
	wait_for(vhost_state(s->vhost) == VHOST_RUNNING);
}

/* cmocka takes SIGBUS for itself before each test. */
static void guard_on(void)
{
	assert_int_equal(mem_guard_init(), 0);
}

static int setup(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &sides[i];

		memset(s, 0, sizeof(*s));
		snprintf(s->path, sizeof(s->path), "%s/%c.sock", folder, 'a' + (int)i);
		front_init(&s->front);
		side_listen(s);
		driver_reset(s, 0);
	}
	return state == NULL;
}

static int teardown(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		if (sides[i].vhost != NULL)
			side_close(&sides[i]);
		front_fini(&sides[i].front);
	}
	return state == NULL;
}

/* --- tests --- */

static void test_offer(void **state)
{
	struct side *s = &sides[0];
	uint64_t features = 0;
	struct vhost_info info;
	struct stat st;

	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(front_connect(&s->front, s->path), 0);
	assert_int_equal(front_send(&s->front, FRONT_GET_FEATURES, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(front_reply(&s->front, &features, 8), 8);
	assert_int_equal(features, VIRTIO_NET_DEVICE_FEATURES | LOG_ALL | FRONT_F_PROTOCOL |
					   1ull << VIRTIO_NET_F_MTU);
	assert_int_equal(front_send(&s->front, FRONT_GET_PROTOCOL_FEATURES, 0, NULL, 0, NULL, 0),
			 0);
	assert_int_equal(front_reply(&s->front, &features, 8), 8);
	/* LOG_SHMFD, REPLY_ACK, NET_MTU, STATUS */
	assert_int_equal(features, 1u << 1 | 1u << 3 | 1u << 4 | 1u << 16);
	/* What was not offered ends the session. */
	assert_int_equal(
		front_send_u64(&s->front, FRONT_SET_FEATURES, 1ull << VIRTIO_F_RING_PACKED), 0);
	assert_int_equal(front_reply(&s->front, &features, 8), 0);
	wait_for(vhost_state(s->vhost) == VHOST_DETACHED);
	vhost_get_info(s->vhost, &info);
	assert_int_equal(info.n_connections, 1);
	assert_int_equal(info.features, 0);
	assert_string_equal(vhost_feature_name(V1 | MRG, 0), "mrg-rxbuf");
	assert_string_equal(vhost_feature_name(V1 | MRG, 1), "version-1");
	assert_null(vhost_feature_name(V1 | MRG, 2));
}

static void test_traffic(void **state)
{
	static const uint64_t features[] = { V1, FEATURES, V1 | 1ull << VIRTIO_NET_F_GUEST_CSUM };
	struct vhost_info info;
	uint64_t n;

	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		int base[VIRTIO_NET_N_RINGS];

		for (unsigned int j = 0; j < 2; j++) {
			driver_reset(&sides[j], 0);
			side_run(&sides[j], features[i]);
		}
		both_ways(1000);
		vhost_get_info(sides[0].vhost, &info);
		assert_int_equal(info.features, features[i] | FRONT_F_PROTOCOL);
		assert_int_equal(info.rx_size, FRONT_RING_SIZE);
		assert_false(info.broken);
		assert_int_equal(read(sides[0].front.call[VIRTIO_NET_RX], &n, 8), 8);
		assert_int_equal(read(sides[0].front.call[VIRTIO_NET_TX], &n, 8), 8);
		/* Nobody listens to kicks, and the guest was told so. */
		if ((features[i] & 1ull << VIRTIO_RING_F_EVENT_IDX) == 0)
			assert_int_equal(sides[0].front.guest.ring[VIRTIO_NET_TX].used->flags,
					 VRING_USED_F_NO_NOTIFY);
		for (unsigned int j = 0; j < 2; j++) {
			assert_int_equal(front_stop(&sides[j].front, base), 0);
			assert_int_equal(base[VIRTIO_NET_TX], 1000);
			assert_int_equal(base[VIRTIO_NET_RX], 1000);
			assert_int_equal(vhost_state(sides[j].vhost), VHOST_CONNECTED);
			front_disconnect(&sides[j].front);
			wait_for(vhost_state(sides[j].vhost) == VHOST_DETACHED);
		}
	}
}

static void test_states(void **state)
{
	static const enum vhost_state want[] = {
		VHOST_CONNECTED, VHOST_RUNNING,  /* start */
		VHOST_CONNECTED, VHOST_RUNNING,  /* receive ring disabled, enabled */
		VHOST_CONNECTED, VHOST_RUNNING,  /* rings stopped, started again */
		VHOST_CONNECTED, VHOST_DETACHED, /* socket closed */
	};
	struct side *s = &sides[0];
	int base[VIRTIO_NET_N_RINGS];

	side_run(s, FEATURES);
	side_run(&sides[1], FEATURES);
	/* What pauses the rings shows in no state. */
	assert_int_equal(front_set_guest_memory(&s->front), 0);
	assert_int_equal(front_set_fd(&s->front, FRONT_SET_VRING_CALL, 0, s->front.call[0]), 0);
	both_ways(10);
	assert_int_equal(front_send_state(&s->front, FRONT_SET_VRING_ENABLE, VIRTIO_NET_RX, 0), 0);
	wait_for(vhost_state(s->vhost) == VHOST_CONNECTED);
	assert_int_equal(front_send_state(&s->front, FRONT_SET_VRING_ENABLE, VIRTIO_NET_RX, 1), 0);
	wait_for(vhost_state(s->vhost) == VHOST_RUNNING);
	both_ways(10);
	assert_int_equal(front_stop(&s->front, base), 0);
	for (unsigned int i = 0; i < VIRTIO_NET_N_RINGS; i++) {
		assert_int_equal(front_set_ring(&s->front, i, (uint16_t)base[i]), 0);
		assert_int_equal(front_set_fd(&s->front, FRONT_SET_VRING_CALL, i, s->front.call[i]),
				 0);
	}
	wait_for(vhost_state(s->vhost) == VHOST_RUNNING);
	both_ways(10);
	front_disconnect(&s->front);
	wait_for(vhost_state(s->vhost) == VHOST_DETACHED);
	assert_int_equal(atomic_load(&s->n_states), ARRAY_SIZE(want));
	for (size_t i = 0; i < ARRAY_SIZE(want); i++)
		assert_int_equal(s->states[i], want[i]);
}

/* --- changes while A's frames flow to B --- */

struct flow {
	uint32_t seq;
	uint64_t until;
};

/* Moves frames for a while. */
static void flow_for(struct flow *f, unsigned int n_frames)
{
	unsigned int want = sides[1].n_received + n_frames;

	f->until = clock_ns() + WAIT_MS * 1000000ull;
	while (sides[1].n_received < want && clock_ns() < f->until) {
		if (driver_send(&sides[0], f->seq))
			f->seq++;
		driver_receive(&sides[1]);
	}
	assert_true(sides[1].n_received >= want);
}

static void flow_end(struct flow *f)
{
	wait_for((driver_receive(&sides[1]), sides[1].next_seq == f->seq));
}

static void test_memory_changes(void **state)
{
	struct flow flow = { 0 };
	struct front_region region[2] = {
		{ FRONT_IOVA, FRONT_MEM_SIZE, FRONT_USER_ADDRESS, 0 },
		{ 0x200000000ull, 1u << 20, FRONT_USER_ADDRESS + (1ull << 30), 0 },
	};
	struct endpoint_stats stats;
	int more = memfd_create("more", MFD_CLOEXEC);

	assert_int_equal(ftruncate(more, 1u << 20), 0);
	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	for (unsigned int i = 0; i < 40; i++) {
		struct side *s = &sides[i % 2];
		int fds[2] = { s->front.memfd, more };

		flow_for(&flow, 200);
		assert_int_equal(front_set_memory(&s->front, region, fds, 1 + i / 2 % 2), 0);
	}
	flow_for(&flow, 200);
	flow_end(&flow);
	/* What comes in the moment that the receiver is paused is lost, and counted. */
	endpoint_stats_sum(vhost_endpoint(sides[1].vhost), &stats);
	assert_int_equal(sides[1].n_skipped, stats.drop[DROP_DOWN]);
	close(more);
}

static void test_call_changes(void **state)
{
	struct flow flow = { 0 };
	struct front *b = &sides[1].front;
	int other = eventfd(0, EFD_NONBLOCK);
	uint64_t n;

	side_run(&sides[0], V1);
	side_run(&sides[1], V1);
	for (unsigned int i = 0; i < 20; i++) {
		int fd = i % 2 == 0 ? other : b->call[VIRTIO_NET_RX];

		flow_for(&flow, 100);
		assert_int_equal(front_set_fd(b, FRONT_SET_VRING_CALL, VIRTIO_NET_RX, fd), 0);
		/* Without a frame: what came before on the old one may have been missed. */
		wait_for(read(fd, &n, 8) == 8);
		flow_for(&flow, 100);
		wait_for(read(fd, &n, 8) == 8);
	}
	/* None at all, and what is no eventfd: traffic without interrupts. */
	assert_int_equal(front_set_fd(b, FRONT_SET_VRING_CALL, VIRTIO_NET_RX, -1), 0);
	flow_for(&flow, 100);
	assert_int_equal(front_set_fd(b, FRONT_SET_VRING_CALL, VIRTIO_NET_RX, b->memfd), 0);
	flow_for(&flow, 100);
	flow_end(&flow);
	assert_int_equal(sides[1].n_skipped, 0);
	assert_int_equal(vhost_state(sides[1].vhost), VHOST_RUNNING);
	close(other);
}

/* The sender's machine goes and comes back in the middle of its traffic, as QEMU does with
 * reconnect; or the synthetic does, as the daemon does in a restart. Nothing lost, nothing twice. */
static void test_sender_restarts(void **state)
{
	struct flow flow = { 0 };

	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	for (unsigned int i = 0; i < 20; i++) {
		flow_for(&flow, 300);
		if (i % 2 == 0) {
			front_disconnect(&sides[0].front);
			wait_for(vhost_state(sides[0].vhost) == VHOST_DETACHED);
		} else {
			side_close(&sides[0]);
			side_listen(&sides[0]);
		}
		side_run(&sides[0], FEATURES);
	}
	flow_for(&flow, 300);
	flow_end(&flow);
	assert_int_equal(sides[1].n_skipped, 0);
}

/* The receiver's does: what is sent meanwhile is lost and counted, all else arrives once. */
static void test_receiver_restarts(void **state)
{
	struct flow flow = { 0 };

	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	for (unsigned int i = 0; i < 20; i++) {
		flow_for(&flow, 300);
		if (i % 2 == 0) {
			front_disconnect(&sides[1].front);
		} else {
			side_close(&sides[1]);
			side_listen(&sides[1]);
		}
		wait_for(vhost_state(sides[1].vhost) == VHOST_DETACHED);
		for (unsigned int j = 0; j < 10; j++, flow.seq++)
			wait_for(driver_send(&sides[0], flow.seq));
		side_run(&sides[1], FEATURES);
	}
	flow_for(&flow, 300);
	flow_end(&flow);
	assert_true(sides[1].n_skipped > 0);
}

static void test_several_clients(void **state)
{
	struct side *s = &sides[0];
	struct front second, third;
	struct vhost_info info;
	uint64_t features;

	front_init(&second);
	front_init(&third);
	side_run(s, FEATURES);
	side_run(&sides[1], FEATURES);
	/* The second one is prepared, and waits. */
	assert_int_equal(front_connect(&second, s->path), 0);
	assert_int_equal(front_start(&second, FEATURES), 0);
	assert_int_equal(front_connect(&third, s->path), 0);
	assert_int_equal(front_reply(&third, &features, 8), 0);
	both_ways(100);
	vhost_get_info(s->vhost, &info);
	assert_int_equal(info.n_connections, 2);
	assert_int_equal(info.n_refused, 1);
	/* The first leaves; the second, with the same guest's rings, takes its place at once. */
	front_disconnect(&s->front);
	wait_for(vhost_state(s->vhost) == VHOST_RUNNING &&
		 (vhost_get_info(s->vhost, &info), info.rx_size == FRONT_RING_SIZE));
	wait_for(atomic_load(&s->n_states) >= 4);
	assert_int_equal(s->states[atomic_load(&s->n_states) - 1], VHOST_RUNNING);
	front_fini(&second);
	wait_for(vhost_state(s->vhost) == VHOST_DETACHED);
	front_fini(&third);
	side_run(s, FEATURES);
	both_ways(100);
}

static void test_dirty_log(void **state)
{
	struct side *s = &sides[1];
	struct {
		uint64_t size, offset;
	} log = { (FRONT_IOVA + FRONT_MEM_SIZE) / 4096 / 8, 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t *bits, none[8];
	uint64_t page;

	assert_int_equal(ftruncate(fd, (off_t)log.size), 0);
	bits = mmap(NULL, log.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(bits, MAP_FAILED);
	side_run(&sides[0], FEATURES);
	side_run(s, FEATURES);
	both_ways(10);
	/* As QEMU starts a migration: the log, the feature, the rings' addresses with the log flag. */
	assert_int_equal(front_send(&s->front, FRONT_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1),
			 0);
	assert_int_equal(front_reply(&s->front, none, sizeof(none)), 0);
	assert_int_equal(front_send_u64(&s->front, FRONT_SET_FEATURES,
					FEATURES | FRONT_F_PROTOCOL | LOG_ALL),
			 0);
	for (unsigned int i = 0; i < VIRTIO_NET_N_RINGS; i++)
		assert_int_equal(front_set_address(&s->front, i, 1), 0);
	assert_int_equal(front_set_guest_memory(&s->front),
			 0); /* answered: all before it is done */
	both_ways(1);
	page = (s->rx_iova + (s->n_received - 1) % FRONT_RING_SIZE * BUFFER) / 4096;
	assert_true(bits[page / 8] & 1u << page % 8);
	page = (FRONT_IOVA + (uint64_t)((uint8_t *)s->front.guest.ring[VIRTIO_NET_RX].used -
					s->front.guest.va)) /
	       4096;
	assert_true(bits[page / 8] & 1u << page % 8);
	/* The end of migration. */
	assert_int_equal(front_send_u64(&s->front, FRONT_SET_FEATURES, FEATURES | FRONT_F_PROTOCOL),
			 0);
	assert_int_equal(front_set_guest_memory(&s->front), 0);
	memset(bits, 0, log.size);
	both_ways(50);
	for (uint64_t i = 0; i < log.size; i++)
		assert_int_equal(bits[i], 0);
	guard_on();
	/* A log that is shorter than it claims to be hurts nobody else. */
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(front_send_u64(&s->front, FRONT_SET_FEATURES,
					FEATURES | FRONT_F_PROTOCOL | LOG_ALL),
			 0);
	assert_int_equal(front_set_guest_memory(&s->front), 0);
	both_ways(50);
	/* One that does not begin with the file is refused. */
	log.offset = 4096;
	assert_int_equal(front_send(&s->front, FRONT_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1),
			 0);
	assert_int_equal(front_reply(&s->front, none, sizeof(none)), 0);
	wait_for(vhost_state(s->vhost) == VHOST_DETACHED);
	munmap(bits, log.size);
	close(fd);
}

/* --- clients that do what none should: each time the pair A and B goes on, with a new client --- */

static void after_nonsense(void)
{
	front_disconnect(&sides[0].front);
	wait_for(vhost_state(sides[0].vhost) == VHOST_DETACHED);
	driver_reset(&sides[0], 0);
	side_run(&sides[0], FEATURES);
	sides[0].n_skipped = sides[1].n_skipped = 0;
	both_ways(10);
}

static uint64_t bad_setups(void)
{
	struct vhost_info info;

	vhost_get_info(sides[0].vhost, &info);
	return info.n_bad_setups;
}

static void test_bad_rings(void **state)
{
	struct front *a = &sides[0].front;

	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	/* Enlarged when its place has been checked: beyond the guest's memory. */
	for (unsigned int ring = 0; ring < 2; ring++) {
		static const uint32_t sizes[] = { 32768, 0, 65536, 100 };

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint64_t before = bad_setups();
			uint8_t gone;

			a->guest.ring[ring].avail->idx = 60;
			assert_int_equal(front_send_state(a, FRONT_SET_VRING_NUM, ring, sizes[i]),
					 0);
			if (sizes[i] == 32768)
				wait_for(bad_setups() > before);
			else
				assert_int_equal(recv(a->sock, &gone, 1, 0), 0);
			after_nonsense();
		}
	}
	/* Outside memory, or not aligned. */
	for (unsigned int i = 0; i < 6; i++) {
		struct vhost_vring_addr addr = {
			.index = i % 2,
			.desc_user_addr = FRONT_USER_ADDRESS,
			.avail_user_addr = FRONT_USER_ADDRESS + 4096,
			.used_user_addr = FRONT_USER_ADDRESS + 8192,
		};

		if (i / 2 == 0)
			addr.desc_user_addr = FRONT_USER_ADDRESS - 4096;
		else if (i / 2 == 1)
			addr.used_user_addr = FRONT_USER_ADDRESS + FRONT_MEM_SIZE - 8;
		else
			addr.desc_user_addr += 8;
		assert_int_equal(
			front_send(a, FRONT_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0), 0);
		assert_int_equal(front_send(a, FRONT_GET_FEATURES, 0, NULL, 0, NULL, 0), 0);
		assert_int_equal(front_reply(a, &addr, 8), 8);
		after_nonsense();
	}
	/* Indices beyond the ring, while it runs. */
	a->guest.ring[VIRTIO_NET_TX].avail->idx += FRONT_RING_SIZE + 1;
	for (struct vhost_info info = { 0 }; !info.broken;)
		vhost_get_info(sides[0].vhost, &info);
	after_nonsense();
}

static void test_bad_memory(void **state)
{
	struct front *a = &sides[0].front;
	struct front_region region[2] = {
		{ FRONT_IOVA, FRONT_MEM_SIZE, FRONT_USER_ADDRESS, 0 },
		{ FRONT_IOVA + 4096, FRONT_MEM_SIZE, FRONT_USER_ADDRESS + (1ull << 30), 0 },
	};
	int fds[2] = { a->memfd, a->memfd };
	uint64_t before;

	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	before = bad_setups();
	front_set_memory(a, region, fds, 2); /* overlapping */
	wait_for(bad_setups() > before);
	after_nonsense();

	region[0].size = UINT64_MAX - 4095;
	assert_int_not_equal(front_set_memory(a, region, fds, 1), 0);
	after_nonsense();

	region[0].size = FRONT_MEM_SIZE;
	region[0].iova += 1u << 30; /* the library compares all but the offset */
	region[0].offset = UINT64_MAX - 4095;
	assert_int_not_equal(front_set_memory(a, region, fds, 1), 0);
	after_nonsense();

	/* One region, no file. */
	assert_int_not_equal(
		front_ask(a, FRONT_SET_MEM_TABLE, &(const uint64_t[5]){ 1 }, 40, NULL, 0), 0);
	after_nonsense();

	/* Memory that goes away under a running guest. */
	guard_on();
	assert_int_equal(ftruncate(a->memfd, 0), 0);
	usleep(10000);
	front_disconnect(a);
	wait_for(vhost_state(sides[0].vhost) == VHOST_DETACHED);
	assert_int_equal(ftruncate(a->memfd, FRONT_MEM_SIZE), 0);
	after_nonsense();
}

/* A session cut at every byte of its start. */
static void test_cut_sessions(void **state)
{
	struct front *a = &sides[0].front;
	int ret;

	side_run(&sides[1], FEATURES);
	for (int64_t n = 0;; n++) {
		struct vhost_info info;

		assert_int_equal(front_connect(a, sides[0].path), 0);
		a->budget = n;
		ret = front_start(a, FEATURES);
		if (ret == 0 && a->budget > 0)
			break;
		front_disconnect(a);
		wait_for((vhost_get_info(sides[0].vhost, &info),
			  info.n_connections == (uint64_t)n + 1 && info.state == VHOST_DETACHED));
		assert_true(n < 5000);
	}
	a->budget = -1;
	after_nonsense();
}

static void test_noise(void **state)
{
	struct front *a = &sides[0].front;
	uint8_t noise[64];
	uint32_t seed = 1;

	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	/* Each request with payloads of any size and content, on a running session. */
	for (uint32_t request = 0; request < 45; request++) {
		for (uint32_t size = 0; size <= 64; size += 8) {
			for (uint32_t i = 0; i < sizeof(noise); i++)
				noise[i] = (uint8_t)((seed = seed * 1103515245 + 12345) >> 20);
			noise[0] &= 1; /* often a ring that exists */
			if (size % 16 == 0)
				noise[1] = noise[2] = noise[3] = 0;
			if (front_send(a, request, 0, noise, size, NULL, 0) < 0 || size == 64) {
				front_disconnect(a);
				wait_for(vhost_state(sides[0].vhost) == VHOST_DETACHED);
				assert_int_equal(front_connect(a, sides[0].path), 0);
				assert_int_equal(front_start(a, FEATURES), 0);
			}
		}
	}
	after_nonsense();
}

/* --- the socket --- */

static int try_path(const char *path, struct err *err)
{
	struct vhost_config config = {
		.path = path, .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1, .upcalls = &upcalls
	};
	struct vhost *v;
	int ret = vhost_new(&v, &config, err);

	if (ret == 0)
		vhost_free(v);
	return ret;
}

static void test_paths(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[300];
	struct err err;
	int fd;

	assert_int_equal(try_path(sides[0].path, &err), -EADDRINUSE);
	assert_non_null(strstr(err.text, "another program listens"));
	assert_non_null(strstr(err.text, sides[0].path));
	snprintf(path, sizeof(path), "%s/%0200d", folder, 0);
	assert_int_equal(try_path(path, &err), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/no/such", folder);
	assert_int_equal(try_path(path, &err), -EIO);
	snprintf(path, sizeof(path), "%s/file", folder);
	fd = creat(path, 0600);
	assert_true(fd >= 0);
	assert_int_equal(try_path(path, &err), -EEXIST);
	assert_int_equal(access(path, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	close(fd);
	/* A stale one, as a killed daemon leaves it. */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	memcpy(address.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(try_path(path, &err), 0);
	assert_int_equal(access(path, F_OK), -1); /* vhost_free removes it */
	vhost_free(NULL);
}

static int eal_start(void)
{
	char cpu[16];
	cpu_set_t cpus;
	char *argv[] = { (char *)"test",
			 (char *)"--no-huge",
			 (char *)"-m",
			 (char *)"64",
			 (char *)"--no-pci",
			 (char *)"--no-shconf",
			 (char *)"--no-telemetry",
			 (char *)"-l",
			 cpu,
			 NULL };

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return -1;
	for (int i = 0; i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &cpus)) {
			snprintf(cpu, sizeof(cpu), "%d", i);
			break;
		}
	if (rte_eal_init((int)ARRAY_SIZE(argv) - 1, argv) < 0 || vhost_init(false) < 0)
		return -1;
	/* EAL ties this thread to one core; the worker is to have another if there is one. */
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define with(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		with(test_offer),
		with(test_traffic),
		with(test_states),
		with(test_memory_changes),
		with(test_call_changes),
		with(test_sender_restarts),
		with(test_receiver_restarts),
		with(test_several_clients),
		with(test_dirty_log),
		with(test_bad_rings),
		with(test_bad_memory),
		with(test_cut_sessions),
		with(test_noise),
		with(test_paths),
	};
	const char *tmp = getenv("TMPDIR");
	pthread_t worker;
	int ret;

	snprintf(folder, sizeof(folder), "%.40s/vhost-XXXXXX", tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(folder) == NULL || eal_start() < 0 ||
	    pthread_create(&worker, NULL, worker_main, NULL) != 0)
		return 1;
	log_set_level(LOG_LEVEL_ERR);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	atomic_store(&worker_stop, true);
	pthread_join(worker, NULL);
	rmdir(folder);
	return ret;
}
