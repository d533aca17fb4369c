/* SPDX-License-Identifier: BSD-3-Clause */
/* Who gets a frame, and as what. */
#include "switch/forward_test.h"
#include "base/clock.h"

/* --- one frame, one answer --- */

#define GROUP(last) (0xc28001ull | (uint64_t)(last) << 40) /* 01-80-C2-00-00-last */
#define MULTICAST   (0x5e0001ull | 0x05ull << 40)

/* clang-format off */
static const struct {
	unsigned int in;
	uint64_t dest, source;
	int tag, second;
	const char *want;      /* or NULL, and the reason */
	enum drop_reason drop;
} answers[] = {
	/* VLANs, from access ports */
	{ 0, BC, MAC_OF(0), -1, -1, "1u 3u 4t1 5u 6u 8u", 0 },
	{ 0, MULTICAST, MAC_OF(0), -1, -1, "1u 3u 4t1 5u 6u 8u", 0 },
	{ 0, BC, MAC_OF(0), 0x0000, -1, "1u 3u 4t1 5u 6u 8u", 0 },       /* priority tag */
	{ 0, BC, MAC_OF(0), 0xe000, -1, "1u 3u 4te001 5u 6u 8u", 0 },    /* its bits stay */
	{ 0, BC, MAC_OF(0), 0x1000, -1, "1u 3u 4t1001 5u 6u 8u", 0 },
	{ 0, BC, MAC_OF(0), 1, -1, NULL, DROP_VLAN },                    /* its own, but tagged */
	{ 0, BC, MAC_OF(0), 2, -1, NULL, DROP_VLAN },
	{ 0, BC, MAC_OF(0), 4095, -1, NULL, DROP_VLAN },
	{ 2, BC, MAC_OF(2), -1, -1, "3t2 4t2 5t2 6t2", 0 },
	{ 7, BC, MAC_OF(7), -1, -1, NULL, DROP_NO_ROUTE },               /* alone in its VLAN */
	{ 7, BC, MAC_OF(7), 1, -1, NULL, DROP_VLAN },
	/* from trunks */
	{ 3, BC, MAC_OF(3), -1, -1, "0u 1u 4t1 5u 6u 8u", 0 },
	{ 3, BC, MAC_OF(3), 1, -1, "0u 1u 4t1 5u 6u 8u", 0 },            /* native, tagged */
	{ 3, BC, MAC_OF(3), 0x2001, -1, "0u 1u 4t2001 5u 6u 8u", 0 },
	{ 3, BC, MAC_OF(3), 2, -1, "2u 4t2 5t2 6t2", 0 },
	{ 3, BC, MAC_OF(3), 0x6002, -1, "2u 4t6002 5t6002 6t6002", 0 },
	{ 3, BC, MAC_OF(3), 3, -1, "5t3 6t3", 0 },
	{ 3, BC, MAC_OF(3), 9, -1, NULL, DROP_VLAN },
	{ 3, BC, MAC_OF(3), 0x3009, -1, NULL, DROP_VLAN },
	{ 4, BC, MAC_OF(4), -1, -1, "5t9 6t9", 0 },
	{ 4, BC, MAC_OF(4), 1, -1, "0u 1u 3u 5u 6u 8u", 0 },
	{ 4, BC, MAC_OF(4), 3, -1, NULL, DROP_VLAN },
	/* from uplinks, never to another */
	{ 5, BC, MAC_FOREIGN, -1, -1, "0u 1u 3u 4t1 8u", 0 },
	{ 5, BC, MAC_FOREIGN, 2, -1, "2u 3t2 4t2", 0 },
	{ 5, BC, MAC_FOREIGN, 3, -1, "3t3", 0 },
	{ 5, BC, MAC_FOREIGN, 9, -1, "4u", 0 },
	{ 5, BC, MAC_FOREIGN, 5, -1, NULL, DROP_VLAN },
	{ 5, MAC_UNKNOWN, MAC_FOREIGN, -1, -1, "4t1", 0 },
	{ 5, MAC_UNKNOWN, MAC_FOREIGN, 3, -1, NULL, DROP_NO_ROUTE },
	{ 5, MAC_OF(0), MAC_FOREIGN, -1, -1, "0u", 0 },
	{ 5, MAC_OF(3), MAC_FOREIGN, 3, -1, "3t3", 0 },
	{ 5, MAC_OF(0), MAC_FOREIGN, 2, -1, NULL, DROP_VLAN },
	{ 5, MAC_OF(0), MAC_OF(1), -1, -1, "0u", 0 },                    /* an uplink may say so */
	/* two tags: out with the outer one, or not at all */
	{ 0, BC, MAC_OF(0), 0, 2, "4t1", 0 },
	{ 0, MAC_OF(1), MAC_OF(0), 0, 2, NULL, DROP_VLAN },
	{ 0, MAC_OF(3), MAC_OF(0), 0, 2, NULL, DROP_VLAN },
	{ 0, MAC_UNKNOWN, MAC_OF(0), 0x2000, 2, "4t2001", 0 },
	{ 0, MAC_OF(1), MAC_OF(0), 2, 1, NULL, DROP_VLAN },
	{ 3, BC, MAC_OF(3), 1, 9, "4t1", 0 },
	{ 3, BC, MAC_OF(3), 2, 9, "4t2 5t2 6t2", 0 },
	{ 3, BC, MAC_OF(3), 3, 9, "5t3 6t3", 0 },
	{ 5, BC, MAC_FOREIGN, 1, 2, "4t1", 0 },
	{ 5, MAC_OF(3), MAC_FOREIGN, 1, 2, NULL, DROP_VLAN },
	{ 5, MAC_OF(3), MAC_FOREIGN, 2, 1, "3t2", 0 },
	/* unicast */
	{ 0, MAC_OF(1), MAC_OF(0), -1, -1, "1u", 0 },
	{ 0, MAC_OF(3), MAC_OF(0), -1, -1, "3u", 0 },
	{ 0, MAC_OF(4), MAC_OF(0), -1, -1, "4t1", 0 },
	{ 0, MAC_OF(8), MAC_OF(0), -1, -1, "8u", 0 },
	{ 0, MAC_ADDED, MAC_OF(0), -1, -1, "8u", 0 },
	{ 0, MAC_OF(0), MAC_OF(0), -1, -1, NULL, DROP_NO_ROUTE },
	{ 8, MAC_ADDED, MAC_OF(8), -1, -1, NULL, DROP_NO_ROUTE },
	{ 0, MAC_OF(2), MAC_OF(0), -1, -1, NULL, DROP_VLAN },
	{ 0, MAC_OF(7), MAC_OF(0), -1, -1, NULL, DROP_VLAN },
	{ 3, MAC_OF(2), MAC_OF(3), 2, -1, "2u", 0 },
	{ 3, MAC_OF(4), MAC_OF(3), 0x4002, -1, "4t4002", 0 },
	{ 0, MAC_UNKNOWN, MAC_OF(0), -1, -1, "4t1 5u 6u", 0 },
	{ 0, 0, MAC_OF(0), -1, -1, "4t1 5u 6u", 0 },                     /* MAC 0 is nobody's */
	{ 4, MAC_UNKNOWN, MAC_OF(4), -1, -1, "5t9 6t9", 0 },
	{ 7, MAC_UNKNOWN, MAC_OF(7), -1, -1, NULL, DROP_NO_ROUTE },
	/* source addresses */
	{ 0, BC, MAC_OF(1), -1, -1, NULL, DROP_SPOOFED_MAC },
	{ 0, MAC_OF(1), MAC_UNKNOWN, -1, -1, NULL, DROP_SPOOFED_MAC },
	{ 0, MAC_OF(1), 0, -1, -1, NULL, DROP_SPOOFED_MAC },
	{ 0, MAC_OF(1), MAC_ADDED, -1, -1, NULL, DROP_SPOOFED_MAC },
	{ 8, MAC_OF(1), MAC_ADDED, -1, -1, "1u", 0 },
	{ 8, MAC_OF(1), MAC_OF(1), -1, -1, NULL, DROP_SPOOFED_MAC },
	{ 4, MAC_OF(1), MAC_UNKNOWN, 1, -1, "1u", 0 },
	{ 4, MAC_OF(1), MAC_OF(0), 1, -1, "1u", 0 },
	{ 4, MAC_OF(1), MAC_UNKNOWN | 1, 1, -1, NULL, DROP_BAD_SOURCE },
	{ 0, MAC_OF(1), BC, -1, -1, NULL, DROP_BAD_SOURCE },
	{ 5, MAC_OF(1), BC, -1, -1, NULL, DROP_BAD_SOURCE },
	/* reserved groups, 802.1Q 8.6.3 */
	{ 0, GROUP(0x00), MAC_OF(0), -1, -1, NULL, DROP_NO_ROUTE },
	{ 0, GROUP(0x0e), MAC_OF(0), -1, -1, NULL, DROP_NO_ROUTE },
	{ 5, GROUP(0x0f), MAC_FOREIGN, -1, -1, NULL, DROP_NO_ROUTE },
	{ 0, GROUP(0x10), MAC_OF(0), -1, -1, "1u 3u 4t1 5u 6u 8u", 0 },
	{ 0, GROUP(0x00) | 1ull << 32, MAC_OF(0), -1, -1, "1u 3u 4t1 5u 6u 8u", 0 },
};
/* clang-format on */

/* Sends the burst's one frame from port `in` and compares who got it. */
static void check_receivers(unsigned int i, const char *how)
{
	const char *want = answers[i].want != NULL ? answers[i].want : "";
	const char *got;

	forward(answers[i].in);
	got = receivers();
	if (strcmp(got, want) != 0)
		fail_msg("case %u%s: \"%s\"", i, how, got);
	fdb_flush(sw.learned, UP1);
}

static void test_cases(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(answers); i++) {
		unsigned int in = answers[i].in;
		uint64_t before = drops_all(in), of = drops_of(in, answers[i].drop);

		burst_reset();
		burst_add(answers[i].dest, answers[i].source, answers[i].tag, answers[i].second,
			  0x5a);
		check_receivers(i, "");
		assert_int_equal(drops_all(in) - before, answers[i].want == NULL);
		if (answers[i].want == NULL && drops_of(in, answers[i].drop) != of + 1)
			fail_msg("case %u: another reason", i);
		/* The same with the first tag beside the bytes, as a VF's descriptor has it. */
		if (answers[i].tag < 0)
			continue;
		burst_reset();
		burst_add(answers[i].dest, answers[i].source, answers[i].second, -1, 0x5a);
		burst.frame[0].flags = FRAME_TAGGED;
		burst.frame[0].tci = (uint16_t)answers[i].tag;
		check_receivers(i, ", tag beside");
	}
}

static void test_bytes(void **state)
{
	burst_reset();
	burst_add(MAC_OF(4), MAC_OF(3), 0x6002, -1, 0x77);
	forward(3);
	assert_int_equal(VF(4)->got[0].size, 68);
	assert_memory_equal(VF(4)->got[0].head, bytes_of[0], 64);
	assert_int_equal(VF(4)->got[0].mark, 0x77);
	burst_reset();
	burst_add(MAC_OF(2), MAC_OF(3), 0x6002, -1, 0x77);
	forward(3);
	assert_int_equal(VF(2)->got[0].size, 64);
	assert_memory_equal(VF(2)->got[0].head, bytes_of[0], 12);
	assert_memory_equal(VF(2)->got[0].head + 12, bytes_of[0] + 16, 48);
	assert_int_equal(VF(2)->got[0].mark, 0x77);
}

/* What becomes of a frame does not depend on those before it in the burst, though the way of the last
 * one is remembered: all bursts of three out of these, from trunk port 3. */
static void test_in_any_company(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t dest;
		int tag, second, want; /* port, or -1 */
	} cases[] = {
		{ MAC_OF(1), -1, -1, 1 }, { MAC_OF(1), 1, -1, 1 },  { MAC_OF(1), 2, -1, -1 },
		{ MAC_OF(1), 0, 2, -1 },  { MAC_OF(1), 9, -1, -1 }, { MAC_OF(4), -1, -1, 4 },
		{ MAC_OF(4), 2, -1, 4 },  { MAC_OF(4), 2, 9, 4 },   { MAC_OF(4), 3, -1, -1 },
		{ MAC_OF(2), 2, -1, 2 },  { MAC_OF(2), 2, 9, -1 },  { MAC_OF(2), -1, -1, -1 },
		{ MAC_OF(3), -1, -1, -1 },
	};
	/* clang-format on */
	const unsigned int n = ARRAY_SIZE(cases);

	for (unsigned int all = 0; all < n * n * n; all++) {
		const unsigned int of[] = { all % n, all / n % n, all / n / n };
		unsigned int n_got[N_PORTS] = { 0 }, n_dropped = 0;
		uint64_t before = drops_all(3);

		burst_reset();
		for (unsigned int i = 0; i < ARRAY_SIZE(of); i++)
			burst_add(cases[of[i]].dest, MAC_OF(3), cases[of[i]].tag,
				  cases[of[i]].second, (uint8_t)i);
		forward(3);
		for (unsigned int i = 0; i < ARRAY_SIZE(of); i++) {
			int want = cases[of[i]].want;

			if (want < 0)
				n_dropped++;
			else
				assert_int_equal(VF(want)->got[n_got[want]++].mark, i);
		}
		assert_int_equal(drops_all(3) - before, n_dropped);
		for (unsigned int i = 0; i < N_PORTS; i++)
			assert_int_equal(VF(i)->n, n_got[i]);
	}
}

/* --- learning --- */

static void test_learning(void **state)
{
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "4t1 5u 6u");
	unicast(UP2, BC, MAC_FOREIGN, -1);
	assert_int_equal(fdb_count_of(sw.learned, UP2), 1);
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "6u");
	assert_string_equal(unicast(4, MAC_FOREIGN, MAC_OF(4), 1), "6u");
	/* In another VLAN it is unknown. */
	assert_string_equal(unicast(2, MAC_FOREIGN, MAC_OF(2), -1), "4t2 5t2 6t2");
	/* It moves. */
	unicast(UP1, MAC_OF(0), MAC_FOREIGN, -1);
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "5u");
	/* Uplinks do not reach it. */
	assert_string_equal(unicast(UP2, MAC_FOREIGN, MAC_UNKNOWN, -1), "4t1");
	/* Neither a vport's address nor a refused frame nor a vport's frame teaches anything. */
	fdb_flush(sw.learned, UP1);
	fdb_flush(sw.learned, UP2);
	unicast(UP1, BC, MAC_OF(1), -1);
	unicast(UP1, BC, MAC_ADDED, -1);
	unicast(UP1, BC, MAC_FOREIGN, 5);
	unicast(4, BC, MAC_FOREIGN, -1);
	assert_int_equal(fdb_count(sw.learned), 0);
	assert_string_equal(unicast(0, MAC_OF(1), MAC_OF(0), -1), "1u");
}

/* A VM with others behind it: what is heard from it is known to be there, as much as it may have. */
static void test_learning_from_a_vport(void **state)
{
	port[4].learns = true;
	fdb_set_port_limit(sw.learned, 4, 2);
	publish();
	unicast(4, BC, MAC_FOREIGN, 1);
	assert_int_equal(fdb_count_of(sw.learned, 4), 1);
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "4t1");
	assert_string_equal(unicast(UP1, MAC_FOREIGN, MAC_UNKNOWN, -1), "4t1");
	/* Its own address and those of other vports are none of these. */
	unicast(4, BC, MAC_OF(4), 1);
	unicast(4, BC, MAC_OF(1), 1);
	assert_int_equal(fdb_count_of(sw.learned, 4), 1);
	assert_string_equal(unicast(0, MAC_OF(1), MAC_OF(0), -1), "1u");
	assert_string_equal(unicast(4, MAC_OF(1), MAC_FOREIGN | 1ull << 44, 1), "1u");
	assert_string_equal(unicast(4, MAC_OF(1), MAC_FOREIGN | 1ull << 46, 1), "");
	assert_int_equal(drops_of(4, DROP_MAC_LIMIT), 1);
	assert_string_equal(unicast(4, MAC_OF(1), MAC_FOREIGN, 1), "1u");
	assert_string_equal(unicast(4, MAC_OF(1), MAC_OF(4), 1), "1u");
	/* When it may no longer, what was learned counts no more. */
	port[4].learns = false;
	publish();
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "4t1 5u 6u");
}

/* The uplink goes, and its number too, or to a vport: nothing may follow the old knowledge. */
static void test_learned_port_gone(void **state)
{
	unicast(UP2, BC, MAC_FOREIGN, -1);
	port[UP2].used = false;
	publish();
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "4t1 5u");
	port[UP2].used = true;
	port[UP2].uplink = port[UP2].unknown_unicast = port[UP2].trunk = false;
	publish();
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "4t1 5u");
}

/* --- policies --- */

/* Only what goes to nobody in particular, and each sender for itself. */
static void test_storms(void **state)
{
	static struct bucket storm;

	/* So slow that the test meets no second token. */
	bucket_set(&storm, BUCKET_RATE_MIN, STORM_BURST(3), clock_ns() - 24000000000);
	port[0].storm = &storm;
	publish();
	assert_string_equal(unicast(0, BC, MAC_OF(0), -1), "1u 3u 4t1 5u 6u 8u");
	assert_string_equal(unicast(0, MULTICAST, MAC_OF(0), -1), "1u 3u 4t1 5u 6u 8u");
	assert_string_equal(unicast(0, MAC_UNKNOWN, MAC_OF(0), -1), "4t1 5u 6u");
	assert_string_equal(unicast(0, BC, MAC_OF(0), -1), "");
	assert_string_equal(unicast(0, MULTICAST, MAC_OF(0), -1), "");
	assert_string_equal(unicast(0, MAC_UNKNOWN, MAC_OF(0), -1), "");
	assert_int_equal(drops_of(0, DROP_STORM), 3);
	assert_string_equal(unicast(0, MAC_OF(1), MAC_OF(0), -1), "1u");
	assert_string_equal(unicast(1, BC, MAC_OF(1), -1), "0u 3u 4t1 5u 6u 8u");
}

static void port_private(unsigned int i, uint16_t send_vid, const uint16_t *receives)
{
	port[i].pvid = 10;
	port[i].private_vlan = true;
	port[i].trunk = false;
	port[i].send_vid = send_vid;
	memset(port[i].vlans, 0, sizeof(port[i].vlans));
	for (; *receives != 0; receives++)
		bitmap_set(port[i].vlans, *receives);
}

/* Primary VLAN 10. 0: promiscuous; 1, 2: isolated by 201; 3, 7: community 202; 8: community 203. Uplinks have all. */
static void test_private_vlans(void **state)
{
	static const struct {
		unsigned int in;
		int tag, second;
		const char *want;
	} cases[] = {
		{ 0, -1, -1, "1u 2u 3u 5ta 6ta 7u 8u" },
		{ 1, -1, -1, "0u 5tc9 6tc9" },
		{ 2, 0, -1, "0u 5tc9 6tc9" },
		{ 3, -1, -1, "0u 5tca 6tca 7u" },
		{ 8, -1, -1, "0u 5tcb 6tcb" },
		{ UP1, 10, -1, "0u 1u 2u 3u 7u 8u" },
		{ UP1, 201, -1, "0u" },
		{ UP1, 202, -1, "0u 3u 7u" },
		{ UP1, -1, -1, "" },
		{ UP1, 10, 1, "" }, /* two tags: the inner one would be taken for the frame's */
		{ UP1, 202, 1, "" },
		{ 0, 10, -1, "" },
		{ 1, 201, -1, "" },
		{ 1, 10, -1, "" },
	};

	port[4].used = false;
	port_private(0, 10, (const uint16_t[]){ 201, 202, 203, 0 });
	port_private(1, 201, (const uint16_t[]){ 0 });
	port_private(2, 201, (const uint16_t[]){ 0 });
	port_private(3, 202, (const uint16_t[]){ 202, 0 });
	port_private(7, 202, (const uint16_t[]){ 202, 0 });
	port_private(8, 203, (const uint16_t[]){ 203, 0 });
	for (unsigned int up = UP1; up <= UP2; up++)
		for (unsigned int vid = 201; vid <= 203; vid++)
			bitmap_set(port[up].vlans, vid), bitmap_set(port[up].vlans, 10);
	publish();
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int in = cases[i].in;
		uint64_t source = in == UP1 ? MAC_FOREIGN : MAC_OF(in);

		burst_reset();
		burst_add(BC, source, cases[i].tag, cases[i].second, 0x5a);
		forward(in);
		if (strcmp(receivers(), cases[i].want) != 0)
			fail_msg("case %u: \"%s\"", i, receivers());
	}
	/* What was heard in a secondary VLAN is known in the primary one, and the other way. */
	unicast(UP2, BC, MAC_FOREIGN, 201);
	assert_string_equal(unicast(0, MAC_FOREIGN, MAC_OF(0), -1), "6ta");
	unicast(UP1, BC, MAC_FOREIGN, 10);
	assert_string_equal(unicast(1, MAC_FOREIGN, MAC_OF(1), -1), "5tc9");
	assert_string_equal(unicast(0, MAC_OF(1), MAC_OF(0), -1), "1u");
	assert_string_equal(unicast(1, MAC_OF(2), MAC_OF(1), -1), "");
	assert_string_equal(unicast(3, MAC_OF(7), MAC_OF(3), -1), "7u");
}

static void test_priorities(void **state)
{
	port[3].tci_clear = port[0].tci_clear = 0xf000;
	publish();
	assert_string_equal(unicast(3, BC, MAC_OF(3), 0x6002), "2u 4t2 5t2 6t2");
	assert_string_equal(unicast(0, MAC_OF(4), MAC_OF(0), 0xe000), "4t1");
	assert_string_equal(unicast(4, MAC_OF(3), MAC_OF(4), 0x6002), "3t6002");
}

/* --- control's half --- */

static void test_publish(void **state)
{
	struct vswitch empty;
	struct switch_snapshot *s;
	int ret;

	/* A guest that adds another port's own address does not get it, whatever the order. */
	port[0].mac[port[0].n_macs++] = MAC_OF(1);
	publish();
	assert_string_equal(unicast(3, MAC_OF(1), MAC_OF(3), -1), "1u");
	/* Ports that are not used have no addresses. */
	port[1].used = false;
	publish();
	assert_string_equal(unicast(3, MAC_OF(1), MAC_OF(3), -1), "0u");

	assert_int_equal(switch_init(&empty, 10), 0);
	s = atomic_load(&empty.snapshot);
	assert_int_equal(s->n_ports, 0);
	assert_ptr_equal(switch_publish(&empty, port, N_PORTS, &ret), s);
	switch_snapshot_free(s);
	switch_snapshot_free(NULL);
	switch_fini(&empty);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_cases),    TEST(test_in_any_company),    TEST(test_bytes),
		TEST(test_learning), TEST(test_learned_port_gone), TEST(test_learning_from_a_vport),
		TEST(test_storms),   TEST(test_private_vlans),     TEST(test_priorities),
		TEST(test_publish),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
