/* SPDX-License-Identifier: BSD-3-Clause */
/* The vhost-user server through its socket, with rte_vhost between: what QEMU does. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "vhost/test_sides.h"

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
					   1ull << VIRTIO_NET_F_MTU | 1ull << VIRTIO_NET_F_MQ |
					   1ull << VIRTIO_NET_F_GUEST_ANNOUNCE);
	assert_int_equal(front_send(&s->front, FRONT_GET_PROTOCOL_FEATURES, 0, NULL, 0, NULL, 0),
			 0);
	assert_int_equal(front_reply(&s->front, &features, 8), 8);
	/* MQ, LOG_SHMFD, REPLY_ACK, NET_MTU, STATUS */
	assert_int_equal(features, 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 16);
	/* What was not offered ends the session. */
	assert_int_equal(front_send_u64(&s->front, FRONT_SET_FEATURES, 1ull << VIRTIO_NET_F_RSS),
			 0);
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

	for (size_t k = 0; k < ARRAY_SIZE(features) * 2; k++) {
		const size_t i = k / 2;
		const bool packed = k % 2 != 0;
		/* The slot, in an even lap. */
		const int end = packed ? 1000 % FRONT_RING_SIZE : 1000;
		int base[VIRTIO_NET_RINGS_MAX];

		for (unsigned int j = 0; j < 2; j++) {
			sides[j].packed = packed;
			driver_reset(&sides[j], 0);
			side_run(&sides[j], features[i]);
		}
		both_ways(1000);
		vhost_get_info(sides[0].vhost, &info);
		assert_int_equal(info.features,
				 (features[i] | (uint64_t)packed << VIRTIO_F_RING_PACKED |
				  FRONT_F_PROTOCOL));
		assert_int_equal(info.rx_size, FRONT_RING_SIZE);
		assert_false(info.broken);
		assert_int_equal(read(sides[0].front.call[VIRTIO_NET_RX], &n, 8), 8);
		assert_int_equal(read(sides[0].front.call[VIRTIO_NET_TX], &n, 8), 8);
		/* Nobody listens to kicks, and the guest was told so. */
		if (!packed && (features[i] & 1ull << VIRTIO_RING_F_EVENT_IDX) == 0)
			assert_int_equal(sides[0].front.guest.ring[VIRTIO_NET_TX].used->flags,
					 VRING_USED_F_NO_NOTIFY);
		for (unsigned int j = 0; j < 2; j++) {
			assert_int_equal(front_stop(&sides[j].front, base), 0);
			assert_int_equal(base[VIRTIO_NET_TX], end);
			assert_int_equal(base[VIRTIO_NET_RX], end);
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
	int base[VIRTIO_NET_RINGS_MAX];

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
	int base[VIRTIO_NET_RINGS_MAX];
	struct front second, third;
	struct vhost_info info;
	uint64_t features;

	front_init(&second, 1);
	front_init(&third, 1);
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
	/* The first stops and leaves; the second takes its place at once. */
	assert_int_equal(front_stop(&s->front, base), 0);
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

/* --- the socket --- */

static int try_path(const char *path, struct err *err)
{
	struct vhost_config config = { .path = path,
				       .mode = 0600,
				       .uid = (uid_t)-1,
				       .gid = (gid_t)-1,
				       .n_queues = 1,
				       .upcalls = &side_upcalls };
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
	assert_non_null(strstr(err.text, "another process listens"));
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_sides(test_offer),
		with_sides(test_traffic),
		with_sides(test_states),
		with_packed_sides(test_states),
		with_sides(test_memory_changes),
		with_packed_sides(test_memory_changes),
		with_sides(test_call_changes),
		with_sides(test_sender_restarts),
		with_packed_sides(test_sender_restarts),
		with_sides(test_receiver_restarts),
		with_packed_sides(test_receiver_restarts),
		with_sides(test_several_clients),
		with_sides(test_dirty_log),
		with_sides(test_paths),
	};

	return run_sides(tests, ARRAY_SIZE(tests));
}
