/* SPDX-License-Identifier: BSD-3-Clause */
/* Several pairs of queues: as a client sets them up, turns them on and off, and comes back with fewer. */
#include "vhost/test_sides.h"

#define MQ      (1ull << VIRTIO_NET_F_MQ)
#define N_FLOWS 8u /* twice, they fit into the buffers of any receive ring */

static unsigned int rx_ring(unsigned int pair)
{
	return pair * VIRTIO_NET_N_RINGS + VIRTIO_NET_RX;
}

static unsigned int n_queues(const struct side *s)
{
	struct vhost_info info;

	vhost_get_info(s->vhost, &info);
	return info.n_queues;
}

/* UDP from a port of its own; seen[] is where it came before, or SIDE_PAIRS. */
struct flows {
	uint16_t first_port;
	unsigned int ring_of[N_FLOWS];
};

static void send_flow(struct side *s, unsigned int pair, uint16_t port)
{
	struct guest *g = &s->front.guest;
	struct guest_ring *r = &g->ring[pair * VIRTIO_NET_N_RINGS + VIRTIO_NET_TX];
	uint64_t iova = s->tx_iova + (uint64_t)(s->n_sent++ % FRONT_RING_SIZE) * BUFFER;
	uint8_t *frame = (uint8_t *)guest_va(g, iova) + HDR_SIZE;
	uint32_t head, size;

	while (guest_collect(r, &head, &size))
		;
	memset(frame - HDR_SIZE, 0, HDR_SIZE + FRAME_SIZE);
	frame[0] = frame[6] = 2;
	store_be16(frame + 12, ETH_TYPE_IPV4);
	frame[14] = 0x45;
	frame[23] = 17;
	store_be16(frame + 34, port);
	guest_single(r, r->next++ % FRONT_RING_SIZE, iova, HDR_SIZE + FRAME_SIZE, 0);
}

/* Takes what came by all rings; returns how many. A flow comes by one ring. */
static unsigned int receive_flows(struct side *s, struct flows *flows, unsigned int n_active)
{
	struct guest *g = &s->front.guest;
	unsigned int n = 0;

	for (unsigned int pair = 0; pair < SIDE_PAIRS; pair++) {
		struct guest_ring *r = &g->ring[rx_ring(pair)];
		uint32_t head, size;

		for (; guest_collect(r, &head, &size); n++) {
			uint64_t iova = r->packed ? s->rx_iova + head * (uint64_t)BUFFER
						  : r->desc[head].addr;
			const uint8_t *frame = (uint8_t *)guest_va(g, iova) + HDR_SIZE;
			unsigned int flow = load_be16(frame + 34) - flows->first_port;

			assert_int_equal(size, HDR_SIZE + FRAME_SIZE);
			assert_true(flow < N_FLOWS && pair < n_active);
			if (flows->ring_of[flow] == SIDE_PAIRS)
				flows->ring_of[flow] = pair;
			assert_int_equal(flows->ring_of[flow], pair);
			guest_single(r, (uint16_t)head, iova, BUFFER, VRING_DESC_F_WRITE);
		}
	}
	return n;
}

/* Each flow by two transmit rings of those that are on. Which rings of the other side it used: bits. */
static unsigned int exchange_flows(uint16_t first_port, unsigned int n_active)
{
	struct flows flows = { .first_port = first_port };
	unsigned int n = 0, used = 0;

	for (unsigned int i = 0; i < N_FLOWS; i++)
		flows.ring_of[i] = SIDE_PAIRS;
	for (unsigned int i = 0; i < 2 * N_FLOWS; i++)
		send_flow(&sides[0], (i + i / N_FLOWS) % n_active,
			  (uint16_t)(first_port + i % N_FLOWS));
	wait_for((n += receive_flows(&sides[1], &flows, n_active)) == 2 * N_FLOWS);
	for (unsigned int i = 0; i < N_FLOWS; i++)
		used |= 1u << flows.ring_of[i];
	return used;
}

/* The first ring has its buffers; the others get 2 * N_FLOWS each. */
static void post_others(struct side *s)
{
	for (unsigned int pair = 1; pair < SIDE_PAIRS; pair++) {
		struct guest_ring *r = &s->front.guest.ring[rx_ring(pair)];

		for (uint16_t i = 0; i < 2 * N_FLOWS; i++)
			guest_single(r, i, guest_alloc(&s->front.guest, BUFFER, 0), BUFFER,
				     VRING_DESC_F_WRITE);
	}
}

static void enable_pairs(struct side *s, unsigned int n)
{
	for (uint32_t ring = 0; ring < SIDE_PAIRS * VIRTIO_NET_N_RINGS; ring++)
		assert_int_equal(front_send_state(&s->front, FRONT_SET_VRING_ENABLE, ring,
						  ring / VIRTIO_NET_N_RINGS < n),
				 0);
	wait_for(n_queues(s) == n);
}

static void start_rings(struct side *s)
{
	driver_reset(s, 0);
	post_others(s);
	side_run(s, FEATURES | MQ);
}

static void start_pairs(struct side *s)
{
	start_rings(s);
	wait_for(n_queues(s) == SIDE_PAIRS);
}

static void test_queue_num(void **state)
{
	struct front *f = &sides[0].front;
	uint64_t answer = 0;

	assert_int_equal(front_connect(f, sides[0].path), 0);
	assert_int_equal(front_send(f, FRONT_GET_PROTOCOL_FEATURES, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(front_reply(f, &answer, sizeof(answer)), sizeof(answer));
	assert_true(answer & 1); /* VHOST_USER_PROTOCOL_F_MQ */
	assert_int_equal(front_send(f, FRONT_GET_QUEUE_NUM, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(front_reply(f, &answer, sizeof(answer)), sizeof(answer));
	assert_int_equal(answer, SIDE_PAIRS);
}

/* As `ethtool -L` does it, and as a guest does that is started again by another driver. */
static void test_pairs(void **state)
{
	unsigned int used = 0;
	uint16_t port = 1000;

	for (unsigned int i = 0; i < 2; i++)
		start_pairs(&sides[i]);
	both_ways(100);
	/* The key is random. */
	for (unsigned int round = 0; round < 16 && (used & (used - 1)) == 0; round++)
		used |= exchange_flows(port += N_FLOWS, SIDE_PAIRS);
	assert_true((used & (used - 1)) != 0);
	for (unsigned int n = SIDE_PAIRS; n > 0; n--) {
		for (unsigned int i = 0; i < 2; i++)
			enable_pairs(&sides[i], n);
		assert_true(exchange_flows(port += N_FLOWS, n) < 1u << n);
	}
	/* What is sent by a ring that is off goes back, and nowhere else. */
	send_flow(&sides[0], 1, port);
	wait_for(guest_n_used(&sides[0].front.guest.ring[rx_ring(1) + VIRTIO_NET_TX]) == 1);
	for (unsigned int i = 0; i < 2; i++)
		enable_pairs(&sides[i], SIDE_PAIRS);
	exchange_flows(port += N_FLOWS, SIDE_PAIRS);

	/* A driver that knows one pair, and the first one again. */
	for (unsigned int i = 0; i < 2; i++) {
		front_disconnect(&sides[i].front);
		wait_for(vhost_state(sides[i].vhost) == VHOST_DETACHED);
		assert_int_equal(n_queues(&sides[i]), 0);
		sides[i].front.guest.n_rings = VIRTIO_NET_N_RINGS;
		driver_reset(&sides[i], 0);
		side_run(&sides[i], FEATURES);
		wait_for(n_queues(&sides[i]) == 1);
	}
	sides[0].next_seq = sides[1].next_seq = 0;
	both_ways(100);
	for (unsigned int i = 0; i < 2; i++) {
		front_disconnect(&sides[i].front);
		wait_for(vhost_state(sides[i].vhost) == VHOST_DETACHED);
		sides[i].front.guest.n_rings = SIDE_PAIRS * VIRTIO_NET_N_RINGS;
		start_pairs(&sides[i]);
	}
	exchange_flows(port + N_FLOWS, SIDE_PAIRS);
}

/* As Linux does on fewer CPUs than there are pairs. */
static void test_some_enabled(void **state)
{
	for (unsigned int n = 1; n < SIDE_PAIRS; n++) {
		for (unsigned int i = 0; i < 2; i++) {
			front_disconnect(&sides[i].front);
			wait_for(vhost_state(sides[i].vhost) == VHOST_DETACHED);
			sides[i].front.n_enabled = n;
			driver_reset(&sides[i], 0);
			post_others(&sides[i]);
			side_run(&sides[i], FEATURES | MQ);
			wait_for(n_queues(&sides[i]) == n);
		}
		exchange_flows((uint16_t)(1000 * n), n);
		for (unsigned int i = 0; i < 2; i++)
			enable_pairs(&sides[i], SIDE_PAIRS);
		exchange_flows((uint16_t)(1000 * n + N_FLOWS), SIDE_PAIRS);
	}
}

/* More rings than were offered: those that were are served, the others are never looked at. */
static void test_too_many(void **state)
{
	for (unsigned int i = 0; i < 2; i++) {
		struct side *s = &sides[i];

		front_fini(&s->front);
		front_init(&s->front, SIDE_PAIRS);
		start_rings(s);
		wait_for(n_queues(s) == 1);
	}
	guest_single(&sides[0].front.guest.ring[rx_ring(1) + VIRTIO_NET_TX], 0, sides[0].tx_iova,
		     HDR_SIZE + FRAME_SIZE, 0);
	both_ways(100);
	assert_int_equal(guest_n_used(&sides[0].front.guest.ring[rx_ring(1) + VIRTIO_NET_TX]), 0);
	assert_int_equal(guest_n_used(&sides[1].front.guest.ring[rx_ring(1)]), 0);
}

/* All rings stop where they are, and go on there. */
static void test_stop(void **state)
{
	int base[VIRTIO_NET_RINGS_MAX];

	for (unsigned int i = 0; i < 2; i++)
		start_pairs(&sides[i]);
	exchange_flows(1000, SIDE_PAIRS);
	assert_int_equal(front_stop(&sides[0].front, base), 0);
	for (unsigned int pair = 0; pair < SIDE_PAIRS; pair++)
		assert_int_equal(base[rx_ring(pair) + VIRTIO_NET_TX], 2 * N_FLOWS / SIDE_PAIRS);
	front_disconnect(&sides[0].front);
	wait_for(vhost_state(sides[0].vhost) == VHOST_DETACHED);
	side_run(&sides[0], FEATURES | MQ);
	wait_for(n_queues(&sides[0]) == SIDE_PAIRS);
	exchange_flows(2000, SIDE_PAIRS);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_queue_num, setup_pairs, teardown),
		cmocka_unit_test_setup_teardown(test_pairs, setup_pairs, teardown),
		cmocka_unit_test_setup_teardown(test_some_enabled, setup_pairs, teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup_pairs, teardown),
	};

	return run_sides(tests, ARRAY_SIZE(tests));
}
