/* SPDX-License-Identifier: BSD-3-Clause */
/* What taps see of a burst: everything, once, in order, with what became of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "switch/switch.h"

#define N_PORTS 3
#define MAC(i)  (0x1102ull | (uint64_t)(i) << 40) /* 02-11-00-00-00-i */

struct seen {
	uint8_t way, drop, slot, mark;
	uint16_t queue;
};

struct spy {
	struct tap tap;
	uint8_t wants_below; /* frames with a mark below it; raw ones always */
	unsigned int n;
	struct seen seen[64];
};

/* Takes the frames whose mark is even, and counts how it got them. */
struct sink {
	struct endpoint ep;
	unsigned int n_pushes, n;
	unsigned int n_even,
		loses; /* of those with even marks, it loses the one of this number; 0: none */
	uint8_t mark[64];
};

static struct vswitch sw;
static struct forwarder *fw;
static struct port_config port[N_PORTS];
static struct sink sink[N_PORTS];
static struct spy spy[4];
static struct burst burst;
static uint8_t bytes[BURST_MAX][64];

static uint8_t mark_of(const struct frame *f)
{
	uint8_t mark;

	frame_read(f, 20, &mark, 1);
	return mark;
}

static bool wants(struct tap *tap, const struct tap_sight *sight)
{
	const struct spy *s = container_of(tap, struct spy, tap);

	/* A tap may rely on it. */
	assert_true(tap_is_raw(sight->frame) || sight->frame->seg_size <= FLOW_PIN_SIZE);
	return tap_is_raw(sight->frame) || mark_of(sight->frame) < s->wants_below;
}

static void show(struct tap *tap, const struct tap_sight *sight)
{
	struct spy *s = container_of(tap, struct spy, tap);

	s->seen[s->n++] = (struct seen){ sight->way, sight->drop, sight->slot,
					 tap_is_raw(sight->frame) ? 0xff : mark_of(sight->frame),
					 sight->queue };
}

static void push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		 uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct sink *s = container_of(ep, struct sink, ep);

	s->n_pushes++;
	for (unsigned int i = 0; i < n; i++) {
		uint8_t mark = mark_of(frame[i]);

		if (mark % 2 != 0 || ++s->n_even == s->loses) {
			endpoint_drop(stats, &frame[i], 1, DROP_NO_BUFFER);
			continue;
		}
		endpoint_queue(stats, &frame[i], 1, 3);
		stats->rx_frames++;
		s->mark[s->n++ % BURST_MAX] = mark;
	}
}

static const struct endpoint_ops ops = { .push = push };

#define BOTH_WAYS (TAP_BIT(TAP_OUT) | TAP_BIT(TAP_IN))

static int setup(void **state)
{
	worker_self = 0;
	memset(sink, 0, sizeof(sink));
	memset(spy, 0, sizeof(spy));
	memset(port, 0, sizeof(port));
	fw = forwarder_new();
	fw->queue = 5;
	for (unsigned int i = 0; i < N_PORTS; i++) {
		sink[i].ep = (struct endpoint){ .ops = &ops, .stats = endpoint_stats_new() };
		atomic_store(&sink[i].ep.running, 1);
		port[i] = (struct port_config){
			.used = true, .n_macs = 1, .mac = { MAC(i) }, .stats = endpoint_stats_new()
		};
		port[i].endpoint[PORT_SYNTHETIC] = &sink[i].ep;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(spy); i++)
		spy[i] = (struct spy){ .tap = { .wants = wants, .show = show, .ways = BOTH_WAYS },
				       .wants_below = 0xff };
	return switch_init(&sw, 10);
}

static int teardown(void **state)
{
	for (unsigned int i = 0; i < N_PORTS; i++) {
		free(port[i].stats);
		free(sink[i].ep.stats);
	}
	free(fw);
	switch_fini(&sw);
	return 0;
}

/* From port 0. */
static void add(uint64_t dest, uint64_t source, uint8_t mark)
{
	unsigned int i = burst.n++;

	memset(bytes[i], 0, sizeof(bytes[i]));
	mac_store(bytes[i], dest);
	mac_store(bytes[i] + 6, source);
	bytes[i][20] = mark;
	burst.frame[i] = (struct frame){ .va = bytes[i], .seg_size = 64, .size = 64, .n_segs = 1 };
}

static void forward(void)
{
	int ret;

	switch_snapshot_free(switch_publish(&sw, port, N_PORTS, &ret));
	assert_int_equal(ret, 0);
	switch_forward(fw, atomic_load(&sw.snapshot), 0, &sink[0].ep, &burst);
	burst.n = 0;
}

static void assert_seen(const struct spy *s, unsigned int i, enum tap_way way,
			enum drop_reason drop, unsigned int slot, uint8_t mark, uint16_t queue)
{
	const struct seen want = { (uint8_t)way, (uint8_t)drop, (uint8_t)slot, mark, queue };

	assert_true(i < s->n);
	assert_memory_equal(&s->seen[i], &want, sizeof(want));
}

static void test_both_ends(void **state)
{
	port[0].tap = &spy[0].tap;
	port[1].tap = &spy[1].tap;
	add(MAC(1), MAC(0), 2);
	add(MAC(1), MAC(9), 4); /* spoofed */
	add(MAC(1), MAC(0), 1); /* its receiver will not take it */
	add(MAC(7), MAC(0), 6); /* for nobody */
	burst.frame[burst.n++] =
		(struct frame){ .va = bytes[31], .seg_size = 9, .size = 9, .n_segs = 1 };
	forward();
	assert_int_equal(spy[0].n, 5);
	assert_seen(&spy[0], 0, TAP_OUT, DROP_NONE, PORT_SYNTHETIC, 2, 5);
	assert_seen(&spy[0], 1, TAP_OUT, DROP_SPOOFED_MAC, PORT_SYNTHETIC, 4, 5);
	assert_seen(&spy[0], 2, TAP_OUT, DROP_NONE, PORT_SYNTHETIC, 1, 5);
	assert_seen(&spy[0], 3, TAP_OUT, DROP_NO_ROUTE, PORT_SYNTHETIC, 6, 5);
	assert_seen(&spy[0], 4, TAP_OUT, DROP_RUNT, PORT_SYNTHETIC, 0xff, 5);
	assert_int_equal(spy[1].n, 2);
	assert_seen(&spy[1], 0, TAP_IN, DROP_NONE, PORT_SYNTHETIC, 2, 3);
	assert_seen(&spy[1], 1, TAP_IN, DROP_NO_BUFFER, PORT_SYNTHETIC, 1, TAP_QUEUE_NONE);
}

/* All arrive in order, and what is wanted is shown with what became of it. */
static void test_groups(void **state)
{
	port[1].tap = &spy[0].tap;
	spy[0].wants_below = 10;
	for (unsigned int i = 0; i < 12; i++)
		add(MAC(1), MAC(0), (uint8_t)(i == 4 || i == 5 ? i : 20 + 2 * i));
	forward();
	assert_int_equal(sink[1].n_pushes, 1);
	assert_int_equal(sink[1].n, 11);
	for (unsigned int i = 0, at = 0; i < 12; i++)
		if (i != 5)
			assert_int_equal(sink[1].mark[at++], i == 4 ? i : 20 + 2 * i);
	assert_int_equal(spy[0].n, 2);
	assert_seen(&spy[0], 1, TAP_IN, DROP_NO_BUFFER, PORT_SYNTHETIC, 5, TAP_QUEUE_NONE);
}

/* Several on one port: each what it wants. */
static void test_several(void **state)
{
	port[1].tap = &spy[0].tap;
	atomic_store(&spy[0].tap.next, &spy[1].tap);
	atomic_store(&spy[1].tap.next, &spy[2].tap);
	spy[0].wants_below = 0;
	spy[1].wants_below = 3;
	for (uint8_t mark = 0; mark < 6; mark++)
		add(MAC(1), MAC(0), mark);
	forward();
	assert_int_equal(spy[0].n, 0);
	assert_int_equal(spy[1].n, 3);
	assert_int_equal(spy[2].n, 6);
}

static void test_nobody_there(void **state)
{
	port[1].tap = &spy[0].tap;
	port[1].endpoint[PORT_SYNTHETIC] = NULL;
	add(MAC(1), MAC(0), 2);
	forward();
	assert_seen(&spy[0], 0, TAP_IN, DROP_DOWN, PORT_ENDPOINTS, 2, TAP_QUEUE_NONE);
}

/* May want marks below 10; counts what it is asked. */
static unsigned int n_asked, n_pinned;

static uint32_t may_see(const struct tap_filter *filter, const struct frame *frame, uint32_t frames)
{
	uint32_t may = 0;

	for_each_frame(i, frames)
	{
		n_pinned += frame[i].va != bytes[i];
		n_asked++;
		may |= (uint32_t)((frame[i].flags & FRAME_TAGGED) != 0 || mark_of(&frame[i]) < 10)
		       << i;
	}
	return may;
}

/* A filter is asked about a frame once, at the end that it comes from, and what it does not want goes the usual way. */
static void test_filter(void **state)
{
	static const struct tap_filter filter = { .may_see = may_see };

	n_asked = n_pinned = 0;
	spy[0].tap.filter = spy[1].tap.filter = &filter;
	port[0].tap = &spy[0].tap;
	port[1].tap = &spy[1].tap;
	for (unsigned int i = 0; i < 8; i++)
		add(MAC(1), MAC(0), (uint8_t)(20 + 2 * i));
	forward();
	assert_int_equal(n_asked, 8);
	assert_int_equal(sink[1].n_pushes, 1);
	assert_int_equal(sink[1].n, 8);
	assert_int_equal(spy[0].n + spy[1].n, 0);

	for (unsigned int i = 0; i < 8; i++)
		add(MAC(1), MAC(0), (uint8_t)(i == 3 ? 4 : 20 + 2 * i));
	forward();
	assert_int_equal(n_asked, 17); /* policies may have changed what was pinned */
	assert_int_equal(n_pinned, 1);
	assert_int_equal(sink[1].n_pushes, 2);
	assert_int_equal(spy[0].n, 1);
	assert_seen(&spy[0], 0, TAP_OUT, DROP_NONE, PORT_SYNTHETIC, 4, 5);
	assert_int_equal(spy[1].n, 1);
	assert_seen(&spy[1], 0, TAP_IN, DROP_NONE, PORT_SYNTHETIC, 4, 3);
}

/* A frame that gets a tag at the port that it goes to is seen there, whatever its bytes were. */
static void test_filter_and_tags(void **state)
{
	static const struct tap_filter filter = { .may_see = may_see };

	spy[0].tap.filter = spy[1].tap.filter = &filter;
	port[0].tap = &spy[0].tap;
	port[1].tap = &spy[1].tap;
	port[0].pvid = 5;
	port[1].trunk = true;
	port[1].vlans[0] = 1u << 5;
	add(MAC(1), MAC(0), 20);
	forward();
	assert_int_equal(sink[1].n, 1);
	assert_int_equal(spy[0].n, 0);
	assert_int_equal(spy[1].n, 1);
}

#define PIECES 40
#define MSS    100

/* TCP over IPv4, to be cut. */
static void add_large(uint8_t *room)
{
	struct frame *f = &burst.frame[burst.n++];

	memset(room, 0, 54);
	mac_store(room, MAC(1));
	mac_store(room + 6, MAC(0));
	store_be16(room + 12, ETH_TYPE_IPV4);
	room[14] = 0x45;
	room[23] = 6;
	room[46] = 0x50;
	*f = (struct frame){ .va = room,
			     .seg_size = 54 + PIECES * MSS,
			     .size = 54 + PIECES * MSS,
			     .n_segs = 1,
			     .flags = FRAME_TSO4 | FRAME_L4_CSUM | FRAME_IP4_CSUM,
			     .mss = MSS,
			     .hdr_size = 54,
			     .l3_start = 14,
			     .csum_start = 34,
			     .csum_offset = 16 };
}

/* A large send is shown once, however many pieces it is pushed in, and as lost if one of them is. */
static void test_cut(void **state)
{
	static uint8_t room[2][54 + PIECES * MSS];

	port[1].tap = &spy[0].tap;
	sink[1].loses = PIECES + 5;
	add_large(room[0]);
	add_large(room[1]);
	forward();
	assert_int_equal(sink[1].n, 2 * PIECES - 1);
	assert_int_equal(spy[0].n, 2);
	assert_seen(&spy[0], 0, TAP_IN, DROP_NONE, PORT_SYNTHETIC, 0, 3);
	assert_seen(&spy[0], 1, TAP_IN, DROP_NO_BUFFER, PORT_SYNTHETIC, 0, TAP_QUEUE_NONE);
}

/* A tap of one direction. */
static void test_ways(void **state)
{
	for (unsigned int way = TAP_OUT; way <= TAP_IN; way++) {
		spy[0].n = 0;
		spy[0].tap.ways = (uint8_t)TAP_BIT(way);
		port[0].tap = port[1].tap = &spy[0].tap;
		add(MAC(1), MAC(0), 2);
		forward();
		assert_int_equal(spy[0].n, 1);
		assert_int_equal(spy[0].seen[0].way, way);
	}
}

int main(void)
{
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_both_ends),    TEST(test_groups), TEST(test_several),
		TEST(test_nobody_there), TEST(test_filter), TEST(test_filter_and_tags),
		TEST(test_ways),         TEST(test_cut),
	};

	return cmocka_run_group_tests_name("tap", tests, NULL, NULL);
}
