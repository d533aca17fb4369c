/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "frame/copy.h"
#include "switch/switch.h"

#define GOT_MAX 128

/* A device that writes down what it is given. */
struct got {
	uint32_t size; /* as it would lie in the receiver's buffer */
	uint16_t flags;
	uint16_t tci; /* 0: no tag */
	uint8_t head[64];
	uint8_t mark; /* last byte */
};

struct fake {
	struct endpoint ep;
	unsigned int n, n_pushes, n_frames_max;
	uint16_t untagged_vid;
	struct got got[GOT_MAX];
};

static void fake_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		      uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct fake *fake = container_of(ep, struct fake, ep);
	static uint8_t bytes[FRAME_SIZE_MAX + 4];
	const struct seg_out out = { bytes, sizeof(bytes) };

	assert_true(n > 0 && n <= BURST_MAX);
	assert_ptr_equal(stats, &ep->stats[worker_self]);
	fake->n_pushes++;
	fake->untagged_vid = untagged_vid;
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = frame[i];
		struct got *got = &fake->got[fake->n++ % GOT_MAX];
		bool tag = f->vid != untagged_vid;

		assert_int_equal(f->drop, DROP_NONE);
		if (f->vid != 0)
			assert_int_equal(f->tci & 0xfff, f->vid);
		frame_copy(f, &out, 1, tag ? COPY_TAG : 0);
		got->size = f->size + (tag ? 4 : 0);
		got->flags = f->flags;
		got->tci = tag ? f->tci : 0;
		memcpy(got->head, bytes, sizeof(got->head));
		got->mark = bytes[got->size - 1];
		stats->rx_frames++;
	}
}

static const struct endpoint_ops fake_ops = { .push = fake_push };

static void fake_init(struct fake *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->ep.ops = &fake_ops;
	fake->ep.stats = endpoint_stats_new();
	atomic_store(&fake->ep.running, 1);
}

/* The switch under test. */
#define VF(i)   (&fake[i][PORT_VF])
#define SYN(i)  (&fake[i][PORT_SYNTHETIC])
#define UP1     5
#define UP2     6
#define N_PORTS 9

static struct vswitch sw;
static struct forwarder *fw;
static struct fake fake[N_PORTS][PORT_ENDPOINTS];
static struct port_config port[N_PORTS];

#define MAC_OF(i)   (0x1102ull | (uint64_t)(i) << 40) /* 02-11-00-00-00-i */
#define MAC_ADDED   MAC_OF(0x88)
#define MAC_UNKNOWN MAC_OF(0x99)
#define MAC_FOREIGN MAC_OF(0xaa)

static void port_init(unsigned int i, uint16_t pvid, const uint16_t *vlans)
{
	struct port_config *p = &port[i];

	memset(p, 0, sizeof(*p));
	p->used = true;
	p->pvid = pvid;
	p->trunk = vlans != NULL;
	for (; vlans != NULL && *vlans != 0; vlans++)
		bitmap_set(p->vlans, *vlans);
	p->n_macs = 1;
	p->mac[0] = MAC_OF(i);
	for (unsigned int e = 0; e < PORT_ENDPOINTS; e++) {
		fake_init(&fake[i][e]);
		p->endpoint[e] = &fake[i][e].ep;
	}
	p->stats = endpoint_stats_new();
}

static void publish(void)
{
	int ret;

	switch_snapshot_free(switch_publish(&sw, port, N_PORTS, &ret));
	assert_int_equal(ret, 0);
}

/* VLAN 1: ports 0, 1 and 8 (access), 3, 5 and 6 (native), 4 (tagged); VLAN 2: 2 (access), 3-6;
 * VLAN 3: 3, 5, 6; VLAN 9: 4 (native), 5, 6; VLAN 0: 7 alone. 5 and 6 are uplinks; 4 may have others
 * behind it; 8 has added an address. */
static int setup(void **state)
{
	worker_self = 0;
	assert_int_equal(switch_init(&sw, 1000), 0);
	fw = forwarder_new();
	assert_non_null(fw);
	fw->now_s = 100;
	port_init(0, 1, NULL);
	port_init(1, 1, NULL);
	port_init(2, 2, NULL);
	port_init(3, 1, (const uint16_t[]){ 2, 3, 0 });
	port_init(4, 9, (const uint16_t[]){ 1, 2, 0 });
	port[4].spoofing = port[4].unknown_unicast = true;
	for (unsigned int i = UP1; i <= UP2; i++) {
		port_init(i, 1, (const uint16_t[]){ 2, 3, 9, 0 });
		port[i].uplink = port[i].unknown_unicast = true;
		port[i].n_macs = 0;
	}
	port_init(7, 0, NULL);
	port_init(8, 1, NULL);
	port[8].mac[port[8].n_macs++] = MAC_ADDED;
	publish();
	return 0;
}

static int teardown(void **state)
{
	for (unsigned int i = 0; i < N_PORTS; i++) {
		free(port[i].stats);
		for (unsigned int e = 0; e < PORT_ENDPOINTS; e++)
			free(fake[i][e].ep.stats);
	}
	free(fw);
	switch_fini(&sw);
	return 0;
}

/* --- sending --- */

static struct burst burst;
static uint8_t bytes_of[BURST_MAX][512];

static void burst_reset(void)
{
	burst.n = 0;
	burst.n_segs = 0;
}

static struct frame *burst_bytes(const uint8_t *bytes, uint32_t size)
{
	struct frame *f = &burst.frame[burst.n++];

	memset(f, 0, sizeof(*f));
	f->va = bytes;
	f->seg_size = size;
	f->size = size;
	f->n_segs = 1;
	return f;
}

/* A frame of 64 bytes and its tags; each tag is a TCI, -1 = none. The last byte is `mark`. */
static struct frame *burst_add(uint64_t dest, uint64_t source, int tag, int second, uint8_t mark)
{
	uint8_t *bytes = bytes_of[burst.n];
	uint32_t size = ETH_ADDRS_SIZE;

	memset(bytes, 0, 128);
	mac_store(bytes, dest);
	mac_store(bytes + 6, source);
	for (unsigned int i = 0; i < 2; i++) {
		int tci = i == 0 ? tag : second;

		if (tci < 0)
			continue;
		store_be16(bytes + size, ETH_TYPE_VLAN);
		store_be16(bytes + size + 2, (uint16_t)tci);
		size += 4;
	}
	store_be16(bytes + size, 0x88b5);
	size += 52;
	bytes[size - 1] = mark;
	return burst_bytes(bytes, size);
}

static void forward(unsigned int in)
{
	for (unsigned int i = 0; i < N_PORTS; i++)
		for (unsigned int e = 0; e < PORT_ENDPOINTS; e++)
			fake[i][e].n = fake[i][e].n_pushes = 0;
	switch_forward(fw, sw.snapshot, (uint16_t)in, &VF(in)->ep, &burst);
}

static uint64_t drops_of(unsigned int in, enum drop_reason reason)
{
	return VF(in)->ep.stats->drop[reason];
}

static uint64_t drops_all(unsigned int in)
{
	uint64_t n = 0;

	for (unsigned int r = 0; r < DROP_N; r++)
		n += drops_of(in, r);
	return n;
}

/* Who got the one frame: "port u" or "port t TCI" each, by rising port. */
static const char *receivers(void)
{
	static char text[200];
	int at = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < N_PORTS; i++) {
		const struct fake *f = VF(i);

		assert_int_equal(SYN(i)->n, 0);
		assert_true(f->n <= 1);
		if (f->n == 0)
			continue;
		assert_int_equal(f->untagged_vid, port[i].pvid);
		at += sprintf(text + at, f->got[0].tci != 0 ? "%s%ut%x" : "%s%uu",
			      at > 0 ? " " : "", i, f->got[0].tci);
	}
	return text;
}

/* --- one frame, one answer --- */

#define BC          MAC_BROADCAST
#define GROUP(last) (0xc28001ull | (uint64_t)(last) << 40) /* 01-80-C2-00-00-last */
#define MULTICAST   (0x5e0001ull | 0x05ull << 40)

static void test_cases(void **state)
{
	/* clang-format off */
	static const struct {
		unsigned int in;
		uint64_t dest, source;
		int tag, second;
		const char *want;      /* or NULL, and the reason */
		enum drop_reason drop;
	} cases[] = {
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
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int in = cases[i].in;
		uint64_t before = drops_all(in), of = drops_of(in, cases[i].drop);
		const char *got;

		burst_reset();
		burst_add(cases[i].dest, cases[i].source, cases[i].tag, cases[i].second, 0x5a);
		forward(in);
		got = receivers();
		if (strcmp(got, cases[i].want != NULL ? cases[i].want : "") != 0)
			fail_msg("case %u: \"%s\"", i, got);
		assert_int_equal(drops_all(in) - before, cases[i].want == NULL);
		if (cases[i].want == NULL && drops_of(in, cases[i].drop) != of + 1)
			fail_msg("case %u: another reason", i);
		fdb_flush(sw.learned, UP1);
		/* The same with the first tag beside the bytes, as a VF's descriptor has it. */
		if (cases[i].tag < 0)
			continue;
		burst_reset();
		burst_add(cases[i].dest, cases[i].source, cases[i].second, -1, 0x5a);
		burst.frame[0].flags = FRAME_TAGGED;
		burst.frame[0].tci = (uint16_t)cases[i].tag;
		forward(in);
		if (strcmp(receivers(), cases[i].want != NULL ? cases[i].want : "") != 0)
			fail_msg("case %u, tag beside: \"%s\"", i, receivers());
		fdb_flush(sw.learned, UP1);
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

/* --- learning --- */

static const char *unicast(unsigned int in, uint64_t dest, uint64_t source, int tag)
{
	burst_reset();
	burst_add(dest, source, tag, -1, 1);
	forward(in);
	return receivers();
}

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

/* --- paths --- */

static void test_down_and_paths(void **state)
{
	burst_reset();
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 2);
	forward(0);
	assert_int_equal(VF(1)->n, 2); /* both run: the VF */
	assert_int_equal(SYN(1)->n, 0);
	atomic_store(&VF(1)->ep.running, 0);
	forward(0);
	assert_int_equal(VF(1)->n, 0);
	assert_int_equal(SYN(1)->n, 2);
	assert_int_equal(port[1].stats->drop[DROP_DOWN], 0);
	atomic_store(&SYN(1)->ep.running, 0);
	forward(0);
	assert_int_equal(SYN(1)->n, 0);
	assert_int_equal(port[1].stats->drop[DROP_DOWN], 2);
	atomic_store(&VF(1)->ep.running, 1);
	port[1].endpoint[PORT_VF] = NULL;
	publish();
	forward(0);
	assert_int_equal(port[1].stats->drop[DROP_DOWN], 4);
	atomic_store(&SYN(1)->ep.running, 1);
	forward(0);
	assert_int_equal(SYN(1)->n, 2);
	assert_int_equal(drops_all(0), 0); /* the receiver's fault is not the sender's */
}

/* --- bursts --- */

static void test_order(void **state)
{
	unsigned int seen = 0;

	/* Every receiver gets its frames in the sender's order, in one push. */
	burst_reset();
	for (unsigned int i = 0; i < BURST_MAX; i++)
		burst_add(i % 3 == 0   ? BC
			  : i % 3 == 1 ? MAC_OF(1)
				       : MAC_OF(3),
			  MAC_OF(0), -1, -1, (uint8_t)i);
	forward(0);
	for (unsigned int p = 1; p <= 3; p += 2) {
		assert_int_equal(VF(p)->n_pushes, 1);
		for (unsigned int i = 0, at = 0; i < BURST_MAX; i++)
			if (i % 3 == 0 || i % 3 == (p == 1 ? 1u : 2u))
				assert_int_equal(VF(p)->got[at++].mark, i);
	}
	assert_int_equal(VF(1)->n, 22);
	assert_int_equal(VF(3)->n, 21);
	assert_int_equal(VF(UP1)->n, 11);
	/* Frames that are dropped in between leave no gap and take nobody's place. */
	burst_reset();
	for (unsigned int i = 0; i < BURST_MAX; i++)
		burst_add(MAC_OF(1), i % 2 ? MAC_OF(0) : MAC_UNKNOWN, -1, -1, (uint8_t)i);
	forward(0);
	assert_int_equal(VF(1)->n, BURST_MAX / 2);
	for (unsigned int i = 1; i < BURST_MAX; i += 2)
		assert_int_equal(VF(1)->got[seen++].mark, i);
	burst_reset();
	forward(0);
	assert_int_equal(VF(1)->n, 0);
}

static void test_counters(void **state)
{
	struct endpoint_stats sum;
	struct frame *f;

	worker_self = 3;
	burst_reset();
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);     /* 64 */
	burst_add(MAC_OF(4), MAC_OF(0), 0, -1, 1);      /* 64 without its tag */
	burst_bytes(bytes_of[0], 13);                   /* runt */
	f = burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1); /* bad offload */
	f->flags = FRAME_L4_CSUM;
	f->csum_start = 63;
	burst_add(MAC_OF(1), MAC_OF(2), -1, -1, 1); /* spoofed */
	burst_add(MAC_OF(1), BC, -1, -1, 1);        /* bad source */
	burst_add(MAC_OF(1), MAC_OF(0), 7, -1, 1);  /* VLAN */
	burst_add(MAC_OF(0), MAC_OF(0), -1, -1, 1); /* no route */
	f = burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);
	f->size = FRAME_SIZE_MAX + 1;
	forward(0);
	worker_self = 0;
	endpoint_stats_sum(&VF(0)->ep, &sum);
	assert_int_equal(sum.tx_frames, 9);
	assert_int_equal(sum.drop[DROP_RUNT], 1);
	assert_int_equal(sum.drop[DROP_BAD_OFFLOAD], 1);
	assert_int_equal(sum.drop[DROP_SPOOFED_MAC], 1);
	assert_int_equal(sum.drop[DROP_BAD_SOURCE], 1);
	assert_int_equal(sum.drop[DROP_VLAN], 1);
	assert_int_equal(sum.drop[DROP_NO_ROUTE], 1);
	assert_int_equal(sum.drop[DROP_TOO_LONG], 1);
	assert_int_equal(sum.drop[DROP_NONE], 0);
	assert_int_equal(sum.tx_bytes, 7 * 64 + 13 + FRAME_SIZE_MAX + 1);
	assert_int_equal(VF(0)->ep.stats[3].tx_frames, 9);
	assert_int_equal(VF(1)->n + VF(4)->n, 2);
	/* A queue whose port has left the switch. */
	port[0].used = false;
	publish();
	burst_reset();
	burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 1);
	forward(0);
	assert_int_equal(VF(1)->n, 0);
	assert_null(fw->receiver); /* the last one may be gone by now */
	assert_int_equal(drops_of(0, DROP_DOWN), 1);
	switch_forward(fw, sw.snapshot, N_PORTS, &VF(0)->ep, &burst);
	assert_int_equal(drops_of(0, DROP_DOWN), 2);
	endpoint_stats_sum(&VF(0)->ep, &sum);
	assert_int_equal(sum.tx_frames, 11);
}

/* --- large sends --- */

static uint8_t large[FRAME_SIZE_MAX];

/* TCP in `size` bytes of frame; `tunnel` puts 8 bytes between IP's header and TCP's. */
static struct frame *burst_large(uint64_t dest, bool v6, uint32_t size, uint16_t mss, bool tunnel)
{
	uint16_t l4 = (uint16_t)(14 + (v6 ? 40 : 20) + (tunnel ? 8 : 0));
	struct frame *f;

	memset(large, 0x33, sizeof(large));
	mac_store(large, dest);
	mac_store(large + 6, MAC_OF(0));
	store_be16(large + 12, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	large[14] = v6 ? 0x60 : 0x45;
	large[v6 ? 20 : 23] = 6;
	large[l4 + 12] = 0x50;
	f = burst_bytes(large, size);
	f->flags = v6 ? FRAME_TSO6 : FRAME_TSO4;
	f->l3_start = 14;
	f->csum_start = l4;
	f->hdr_size = (uint16_t)(l4 + 20);
	f->mss = mss;
	return f;
}

static void test_large_sends(void **state)
{
	enum {
		T4 = ENDPOINT_TSO4,
		T6 = ENDPOINT_TSO6
	};
	/* clang-format off */
	static const struct {
		bool v6, tunnel;
		unsigned int caps;
		uint32_t size;
		unsigned int n; /* frames that arrive; 1 = whole */
	} cases[] = {
		{ false, false, 0, 54 + 5000, 5 },
		{ false, false, T6, 54 + 5000, 5 },
		{ false, false, T4, 54 + 5000, 1 },
		{ true, false, 0, 74 + 5000, 5 },
		{ true, false, T4, 74 + 5000, 5 },
		{ true, false, T6, 74 + 5000, 1 },
		{ false, true, T4 | T6, 62 + 5000, 5 },
		{ true, true, T4 | T6, 82 + 5000, 5 },
		{ false, false, T4, 65535 + 14, 1 },
		{ false, false, T4, 65535 + 15, 66 },
		{ true, false, T6, 65535 + 15, 66 },
		{ false, false, 0, 54 + 32 * 1000, 32 },  /* exactly a burst of pieces */
		{ false, false, 0, 54 + 32 * 1000 + 1, 33 },
		{ false, false, 0, 54 + 999, 1 },
	};
	/* clang-format on */
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		bool whole = cases[i].caps != 0 && cases[i].n == 1;
		const struct fake *to = VF(1);

		atomic_store(&VF(1)->ep.caps, cases[i].caps);
		burst_reset();
		burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 0xa1);
		burst_large(MAC_OF(1), cases[i].v6, cases[i].size, 1000, cases[i].tunnel);
		burst_add(MAC_OF(1), MAC_OF(0), -1, -1, 0xa2);
		forward(0);
		if (to->n != cases[i].n + 2)
			fail_msg("case %u: %u frames", i, to->n);
		/* Order is kept around it, and nothing is pushed by halves. */
		assert_int_equal(to->got[0].mark, 0xa1);
		assert_int_equal(to->got[to->n - 1].mark, 0xa2);
		assert_int_equal(to->n_pushes, (to->n + BURST_MAX - 1) / BURST_MAX);
		for (unsigned int k = 1; k + 1 < to->n; k++) {
			assert_int_equal((to->got[k].flags & FRAME_TSO) != 0, whole);
			assert_true((to->got[k].flags & FRAME_L4_CSUM) != 0);
			assert_int_equal(to->got[k].mark, 0x33);
			if (whole)
				assert_int_equal(to->got[k].size, cases[i].size);
		}
	}
	assert_int_equal(drops_all(0), 0);
}

/* Each of several ports may have to cut it, so there is a limit for all together; a single one has its own. */
static void test_large_sends_flooded(void **state)
{
	/* Six ports: 1365 pieces for each. */
	burst_reset();
	burst_large(BC, false, 1365 * 48, 48, false);
	forward(0);
	assert_int_equal(drops_of(0, DROP_BAD_OFFLOAD), 1);
	assert_int_equal(VF(4)->n, 0);
	burst_reset();
	burst_large(BC, false, 1364 * 48, 48, false);
	forward(0);
	assert_int_equal(VF(4)->n, 1363); /* without the headers */
	/* Three: 2730, in two frames. */
	burst_reset();
	burst_large(MAC_UNKNOWN, false, 60000, 40, false);
	burst_large(MAC_UNKNOWN, false, 60000, 40, false);
	forward(0);
	assert_int_equal(drops_of(0, DROP_BAD_OFFLOAD), 2);
	assert_int_equal(VF(4)->n, 1499);
	port[4].unknown_unicast = port[UP2].unknown_unicast = false;
	publish();
	burst_reset();
	burst_large(MAC_UNKNOWN, false, 54 + 1000 * 60, 60, false);
	forward(0);
	assert_int_equal(VF(UP1)->n, 1000);
	assert_int_equal(drops_of(0, DROP_BAD_OFFLOAD), 2);
}

/* One sender's burst to receivers of both kinds, and headers that cannot be cut. */
static void test_large_sends_mixed(void **state)
{
	atomic_store(&VF(1)->ep.caps, ENDPOINT_TSO4);
	burst_reset();
	burst_large(BC, false, 54 + 2500, 1000, false);
	forward(0);
	assert_int_equal(VF(1)->n, 1);
	assert_int_equal(VF(3)->n, 3);
	assert_int_equal(VF(4)->n, 3);
	assert_int_equal(VF(4)->got[2].tci, 1);
	assert_int_equal(VF(4)->got[2].size, 54 + 500 + 4);

	burst_reset();
	burst_large(MAC_OF(3), false, 54 + 2500, 1000, false);
	large[34 + 12] = 0x60; /* TCP's header is longer than hdr_size says */
	burst_add(MAC_OF(3), MAC_OF(0), -1, -1, 0xa2);
	forward(0);
	assert_int_equal(VF(3)->n, 1);
	assert_int_equal(VF(3)->ep.stats->drop[DROP_BAD_OFFLOAD], 1);
}

/* --- as many ports as there can be --- */

static void test_all_ports(void **state)
{
	struct port_config *many = calloc(SWITCH_PORTS_MAX, sizeof(*many));
	struct fake *fakes = calloc(SWITCH_PORTS_MAX, sizeof(*fakes));
	struct switch_snapshot *s;
	int ret;

	for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++) {
		fake_init(&fakes[i]);
		many[i] = (struct port_config){ .used = true, .n_macs = 1 };
		many[i].mac[0] = 0x10000000002ull + ((uint64_t)i << 16);
		many[i].endpoint[0] = &fakes[i].ep;
	}
	s = switch_publish(&sw, many, SWITCH_PORTS_MAX, &ret);
	assert_int_equal(ret, 0);
	switch_snapshot_free(s);
	for (unsigned int round = 0; round < 3; round++) {
		unsigned int in = round * (SWITCH_PORTS_MAX - 1) / 2;

		burst_reset();
		for (unsigned int i = 0; i < BURST_MAX; i++)
			burst_add(BC, many[in].mac[0], -1, -1, (uint8_t)i);
		for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
			fakes[i].n = fakes[i].n_pushes = 0;
		switch_forward(fw, sw.snapshot, (uint16_t)in, &fakes[in].ep, &burst);
		for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++) {
			assert_int_equal(fakes[i].n, i == in ? 0 : BURST_MAX);
			assert_int_equal(fakes[i].n_pushes, i != in);
			for (unsigned int k = 0; k < fakes[i].n; k++)
				assert_int_equal(fakes[i].got[k].mark, k);
		}
	}
	for (unsigned int i = 0; i < SWITCH_PORTS_MAX; i++)
		free(fakes[i].ep.stats);
	free(fakes);
	free(many);
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

int main(void)
{
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_cases),
		TEST(test_in_any_company),
		TEST(test_bytes),
		TEST(test_learning),
		TEST(test_learned_port_gone),
		TEST(test_learning_from_a_vport),
		TEST(test_storms),
		TEST(test_private_vlans),
		TEST(test_priorities),
		TEST(test_down_and_paths),
		TEST(test_order),
		TEST(test_counters),
		TEST(test_large_sends),
		TEST(test_large_sends_flooded),
		TEST(test_large_sends_mixed),
		TEST(test_all_ports),
		TEST(test_publish),
	};

	return cmocka_run_group_tests_name("forward", tests, NULL, NULL);
}
