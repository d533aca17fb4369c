/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that do what none should. A does it; each time B goes on, with the next A. */
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/test_fds.h"
#include "vhost/test_sides.h"

static void after_nonsense(void)
{
	front_disconnect(&sides[0].front);
	wait_for(vhost_state(sides[0].vhost) == VHOST_DETACHED);
	driver_reset(&sides[0], 0);
	/* B may have got what A never sent. */
	quiesce(&sides[0]);
	driver_drain(&sides[1]);
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

/* Descriptors with requests that have none. */
static void test_needless_descriptors(void **state)
{
	static const uint32_t requests[] = { FRONT_GET_FEATURES, FRONT_GET_QUEUE_NUM,
					     FRONT_GET_PROTOCOL_FEATURES };
	struct front *a = &sides[0].front;
	int fds[8];

	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = eventfd(0, 0);
	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	after_nonsense();
	for (unsigned int k = 0; k < ARRAY_SIZE(requests); k++) {
		unsigned int before;
		uint64_t value;

		/* Once more, for what a first session leaves behind. */
		for (unsigned int round = 0; round < 2; round++) {
			before = open_fds();
			for (unsigned int i = 0; i < 20; i++)
				if (front_send(a, requests[k], 0, NULL, 0, fds, 8) < 0 ||
				    front_reply(a, &value, 8) <= 0)
					break;
			after_nonsense();
		}
		assert_true(open_fds() <= before);
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Packed rings: what a client may say of where they are and stand. */
static void test_bad_packed_rings(void **state)
{
	struct front *a = &sides[0].front;

	for (unsigned int i = 0; i < 2; i++) {
		sides[i].packed = true;
		driver_reset(&sides[i], 0);
	}
	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	for (unsigned int ring = 0; ring < 2; ring++) {
		static const uint32_t sizes[] = { 32767, 32768, 0 },
				      bases[] = { 0x7fff, 64, 0xffff };

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			uint64_t before = bad_setups();
			uint8_t gone;

			assert_int_equal(front_send_state(a, FRONT_SET_VRING_NUM, ring, sizes[i]),
					 0);
			if (sizes[i] != 0)
				wait_for(bad_setups() > before);
			else
				assert_int_equal(recv(a->sock, &gone, 1, 0), 0);
			after_nonsense();
		}
		/* A position beyond the ring: the ring itself says where it is. */
		for (size_t i = 0; i < ARRAY_SIZE(bases); i++) {
			uint64_t features;

			assert_int_equal(front_send_state(a, FRONT_SET_VRING_BASE, ring, bases[i]),
					 0);
			/* Done, when this is answered. */
			assert_int_equal(front_send(a, FRONT_GET_FEATURES, 0, NULL, 0, NULL, 0), 0);
			assert_int_equal(front_reply(a, &features, 8), 8);
			both_ways(10);
		}
	}
	/* A chain without end. */
	for (unsigned int i = 0; i < FRONT_RING_SIZE; i++)
		a->guest.ring[VIRTIO_NET_TX].desc[i].next = /* a slot's flags */
			guest_slot_flags(a->guest.ring[VIRTIO_NET_TX].avail_idx, false) |
			VRING_DESC_F_NEXT;
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
	uint64_t before, hits;

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

	/* Memory that is not there when the rings are moved to it. */
	assert_int_equal(ftruncate(a->memfd, 0), 0);
	region[0].offset = 0;
	hits = mem_guard_hits();
	front_set_memory(a, region, fds, 1);
	wait_for(mem_guard_hits() > hits);
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

/* A header without its body stops nobody for long, not B and not vhost_free. */
static void test_half_messages(void **state)
{
	static const uint32_t header[] = { FRONT_SET_FEATURES, 1, 8 };
	struct front *a = &sides[0].front, *b = &sides[1].front;
	uint64_t offered, start;
	uint8_t gone;

	side_run(&sides[0], FEATURES);
	side_run(&sides[1], FEATURES);
	assert_int_equal(send(a->sock, header, sizeof(header), 0), sizeof(header));
	usleep(100000);
	assert_int_equal(front_send(b, FRONT_GET_FEATURES, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(front_reply(b, &offered, sizeof(offered)), sizeof(offered));
	assert_int_equal(recv(a->sock, &gone, 1, 0), 0);
	after_nonsense();

	assert_int_equal(send(a->sock, header, sizeof(header), 0), sizeof(header));
	usleep(100000);
	start = clock_ns();
	side_close(&sides[0]);
	assert_true(clock_ns() - start < WAIT_MS * 1000000ull);
	side_listen(&sides[0]);
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_sides(test_bad_rings),     with_sides(test_bad_packed_rings),
		with_sides(test_bad_memory),    with_sides(test_cut_sessions),
		with_sides(test_half_messages), with_sides(test_needless_descriptors),
		with_sides(test_noise),
	};

	return run_sides(tests, ARRAY_SIZE(tests));
}
