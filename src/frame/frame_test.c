/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "frame/gso.h"
#include "frame/testref.h"

static const uint8_t addrs[ETH_ADDRS_SIZE] = { 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2 };

/* Addresses, then `n` bytes of `rest` (tags and ethertype), then counting bytes. */
static void flat_make(uint8_t *flat, uint32_t size, const uint8_t *rest, uint32_t n)
{
	for (uint32_t i = 0; i < size; i++)
		flat[i] = (uint8_t)i;
	memcpy(flat, addrs, size < ETH_ADDRS_SIZE ? size : ETH_ADDRS_SIZE);
	for (uint32_t i = 0; i < n && ETH_ADDRS_SIZE + i < size; i++)
		flat[ETH_ADDRS_SIZE + i] = rest[i];
}

/* Every case in one segment, in two, and in single bytes at the front. */
static void test_tags_and_sizes(void **state)
{
	/* clang-format off */
	static const struct {
		uint32_t size;
		uint16_t flags, tci;   /* beside */
		uint8_t n, rest[10];   /* behind the addresses */
		enum drop_reason drop;
		uint16_t ethertype, want_tci, body;
		uint32_t want_size;
		bool tagged;
	} cases[] = {
		{ 0, 0, 0, 0, { 0 }, DROP_RUNT, 0, 0, 0, 0, false },
		{ 1, 0, 0, 0, { 0 }, DROP_RUNT, 0, 0, 0, 0, false },
		{ 13, 0, 0, 2, { 8, 0 }, DROP_RUNT, 0, 0, 0, 0, false },
		{ 14, 0, 0, 2, { 8, 0 }, DROP_NONE, 0x0800, 0, 12, 14, false },
		{ 15, 0, 0, 2, { 8, 0 }, DROP_NONE, 0x0800, 0, 12, 15, false },
		{ 16, 0, 0, 2, { 8, 0 }, DROP_NONE, 0x0800, 0, 12, 16, false },
		{ 60, 0, 0, 2, { 0, 46 }, DROP_NONE, 46, 0, 12, 60, false },             /* 802.3 length */
		{ 60, 0, 0x1234, 2, { 8, 0 }, DROP_NONE, 0x0800, 0, 12, 60, false },     /* stale tci */
		{ 60, FRAME_TAGGED, 0xe123, 2, { 8, 0 }, DROP_NONE, 0x0800, 0xe123, 12, 60, true },
		{ 14, FRAME_TAGGED, 0x0001, 2, { 8, 0 }, DROP_NONE, 0x0800, 1, 12, 14, true },
		{ 13, FRAME_TAGGED, 0x0001, 2, { 8, 0 }, DROP_RUNT, 0, 0, 0, 0, true },
		{ 14, 0, 0, 2, { 0x81, 0 }, DROP_RUNT, 0, 0, 0, 0, false },              /* half a tag */
		{ 16, 0, 0, 4, { 0x81, 0, 0, 5 }, DROP_RUNT, 0, 0, 0, 0, false },
		{ 17, 0, 0, 6, { 0x81, 0, 0, 5, 8, 0 }, DROP_RUNT, 0, 0, 0, 0, false },
		{ 18, 0, 0, 6, { 0x81, 0, 0xaf, 0xfe, 8, 6 }, DROP_NONE, 0x0806, 0xaffe, 16, 14, true },
		{ 64, 0, 0x77, 6, { 0x81, 0, 0, 5, 0x86, 0xdd }, DROP_NONE, 0x86dd, 5, 16, 60, true },
		{ 64, 0, 0, 6, { 0x81, 0, 0, 0, 8, 0 }, DROP_NONE, 0x0800, 0, 16, 60, true }, /* priority only */
		{ 64, 0, 0, 8, { 0x81, 0, 0, 5, 0x81, 0, 0, 6 }, DROP_NONE, 0x8100, 5, 16, 60, true },
		{ 64, FRAME_TAGGED, 7, 6, { 0x81, 0, 0, 5, 8, 0 }, DROP_NONE, 0x8100, 7, 12, 64, true },
		{ 64, 0, 0, 6, { 0x88, 0xa8, 0, 5, 8, 0 }, DROP_NONE, 0x88a8, 0, 12, 64, false },
	};
	/* clang-format on */
	static const unsigned int cuts[] = { 1, 2, 3, 20, FRAME_SEGS };

	srand(4);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(cuts); i++) {
		unsigned int c = i / ARRAY_SIZE(cuts);
		struct ref_frame r;
		uint8_t flat[64];
		bool ok;

		flat_make(flat, cases[c].size, cases[c].rest, cases[c].n);
		ref_cut(&r, flat, cases[c].size, cuts[i % ARRAY_SIZE(cuts)]);
		r.f.flags = cases[c].flags;
		r.f.tci = cases[c].tci;
		r.f.drop = 99;
		ok = frame_parse(&r.f);
		if (ok != (cases[c].drop == DROP_NONE) || r.f.drop != cases[c].drop)
			fail_msg("case %u: %s", c, drop_reason_name(r.f.drop));
		if (ok) {
			assert_memory_equal(r.f.mac, addrs, ETH_ADDRS_SIZE);
			if (r.f.ethertype != cases[c].ethertype || r.f.tci != cases[c].want_tci ||
			    r.f.body != cases[c].body || r.f.size != cases[c].want_size ||
			    ((r.f.flags & FRAME_TAGGED) != 0) != cases[c].tagged)
				fail_msg("case %u: %04x %04x %u %u", c, r.f.ethertype, r.f.tci,
					 r.f.body, r.f.size);
		}
		ref_free(&r);
	}
}

/* The largest size, by both halves of frame_parse. */
static void test_size_max(void **state)
{
	static uint8_t bytes[65536];
	struct seg more[FRAME_SEGS];

	flat_make(bytes, sizeof(bytes), (const uint8_t[]){ 8, 0 }, 2);
	for (unsigned int i = 0; i < FRAME_SEGS; i++)
		more[i] = (struct seg){ bytes, sizeof(bytes) };
	for (uint32_t over = 0; over < 2; over++)
		for (unsigned int slow = 0; slow < 2; slow++) {
			struct frame f = { .va = bytes,
					   .seg_size = sizeof(bytes),
					   .more = more,
					   .n_segs = 5,
					   .size = FRAME_SIZE_MAX + over,
					   .flags = slow ? FRAME_TAGGED : 0 };

			more[3].size = over;
			assert_int_equal(frame_parse(&f), over == 0);
			assert_int_equal(f.drop, over == 0 ? DROP_NONE : DROP_TOO_LONG);
		}
}

struct offload {
	uint32_t size;
	uint16_t flags, csum_start, csum_offset, l3_start, hdr_size, mss;
	bool good;
};

/* In sender's bytes without a tag; with a tag in the bytes everything is 4 further. */
/* clang-format off */
static const struct offload offloads[] = {
	{ 100, FRAME_L4_CSUM, 34, 16, 0, 0, 0, true },
	{ 100, FRAME_L4_CSUM, 14, 0, 0, 0, 0, true },
	{ 100, FRAME_L4_CSUM, 13, 0, 0, 0, 0, false },
	{ 100, FRAME_L4_CSUM, 0, 0, 0, 0, 0, false },
	{ 100, FRAME_L4_CSUM, 98, 0, 0, 0, 0, true },
	{ 100, FRAME_L4_CSUM, 99, 0, 0, 0, 0, false },
	{ 100, FRAME_L4_CSUM, 34, 64, 0, 0, 0, true },
	{ 100, FRAME_L4_CSUM, 34, 65, 0, 0, 0, false },
	{ 100, FRAME_L4_CSUM, 34, 65535, 0, 0, 0, false },
	{ 100, FRAME_L4_CSUM, 65531, 65535, 0, 0, 0, false },
	{ 100, FRAME_L4_CSUM, 65500, 36, 0, 0, 0, false },  /* the sum wraps at 16 bits */
	{ 100, FRAME_L4_CSUM | FRAME_SCTP_CRC, 34, 62, 0, 0, 0, true },
	{ 100, FRAME_L4_CSUM | FRAME_SCTP_CRC, 34, 63, 0, 0, 0, false },
	{ 100, FRAME_IP4_CSUM, 0, 0, 14, 0, 0, true },
	{ 100, FRAME_IP4_CSUM, 0, 0, 13, 0, 0, false },
	{ 100, FRAME_IP4_CSUM, 0, 0, 80, 0, 0, true },
	{ 100, FRAME_IP4_CSUM, 0, 0, 81, 0, 0, false },
	{ 100, FRAME_IP4_CSUM, 0, 0, 65531, 0, 0, false },
	{ 14, FRAME_IP4_CSUM, 0, 0, 14, 0, 0, false },
	{ 100, FRAME_TSO4, 34, 0, 14, 54, 20, true },
	{ 100, FRAME_TSO4, 34, 0, 14, 54, 0, false },       /* no MSS */
	{ 100, FRAME_TSO4, 34, 0, 14, 53, 20, false },      /* no room for TCP's header */
	{ 100, FRAME_TSO4, 33, 0, 14, 54, 20, false },      /* nor for IP's */
	{ 100, FRAME_TSO4, 35, 0, 14, 54, 20, false },
	{ 100, FRAME_TSO4, 35, 0, 14, 55, 20, true },       /* gso_start's to refuse */
	{ 100, FRAME_TSO4, 34, 0, 13, 54, 20, false },
	{ 100, FRAME_TSO4, 33, 0, 13, 53, 20, false },
	{ 100, FRAME_TSO4, 34, 0, 14, 99, 20, true },
	{ 100, FRAME_TSO4, 34, 0, 14, 100, 20, false },     /* no payload */
	{ 100, FRAME_TSO4, 34, 0, 14, 101, 20, false },
	{ 100, FRAME_TSO4, 34, 0, 14, 3, 20, false },       /* wraps where the tag is taken off */
	{ 100, FRAME_TSO4, 2, 0, 14, 54, 20, false },
	{ 100, FRAME_TSO4, 34, 0, 2, 54, 20, false },
	{ 100, FRAME_TSO4, 0, 0, 0, 0, 20, false },
	{ 100, FRAME_TSO4, 65531, 0, 65531, 65531, 20, false },
	{ 400, FRAME_TSO4, 34, 0, 14, GSO_HDR_MAX, 20, true },
	{ 400, FRAME_TSO4, 34, 0, 14, GSO_HDR_MAX + 1, 20, false },
	{ 100, FRAME_TSO6, 54, 0, 14, 74, 20, true },
	{ 100, FRAME_TSO6, 53, 0, 14, 74, 20, false },
	{ 100, FRAME_TSO6, 34, 0, 14, 54, 20, false },
	{ 54 + GSO_PIECES_MAX, FRAME_TSO4, 34, 0, 14, 54, 1, true },
	{ 54 + GSO_PIECES_MAX + 1, FRAME_TSO4, 34, 0, 14, 54, 1, false },
	{ 54 + GSO_PIECES_MAX + 1, FRAME_TSO4, 34, 0, 14, 54, 2, true },
};
/* clang-format on */

static void check_offload(unsigned int c, bool tag, unsigned int n_segs)
{
	static const uint8_t tag_bytes[] = { 0x81, 0, 0, 5, 8, 0 };
	const struct offload *o = &offloads[c];
	uint16_t up = tag ? 4 : 0;
	struct ref_frame r;
	uint8_t flat[4096];
	bool ok;

	flat_make(flat, o->size + up, tag_bytes + 4 - up, 2u + up);
	ref_cut(&r, flat, o->size + up, n_segs);
	r.f.flags = o->flags;
	r.f.csum_start = (uint16_t)(o->csum_start + up);
	r.f.csum_offset = o->csum_offset;
	r.f.l3_start = (uint16_t)(o->l3_start + up);
	r.f.hdr_size = (uint16_t)(o->hdr_size + up);
	r.f.mss = o->mss;
	ok = frame_parse(&r.f);
	if (ok != o->good || r.f.drop != (ok ? DROP_NONE : DROP_BAD_OFFLOAD))
		fail_msg("case %u, tag %d: %s", c, tag, drop_reason_name(r.f.drop));
	if (ok) {
		assert_int_equal(r.f.size, o->size);
		if ((o->flags & (FRAME_L4_CSUM | FRAME_TSO)) != 0)
			assert_int_equal(r.f.csum_start, o->csum_start);
		if ((o->flags & (FRAME_IP4_CSUM | FRAME_TSO)) != 0)
			assert_int_equal(r.f.l3_start, o->l3_start);
		if ((o->flags & FRAME_TSO) != 0) {
			assert_int_equal(r.f.hdr_size, o->hdr_size);
			assert_int_equal(r.f.csum_offset, 16);
			assert_true((r.f.flags & FRAME_L4_CSUM) != 0);
			assert_int_equal((r.f.flags & FRAME_IP4_CSUM) != 0,
					 (o->flags & FRAME_TSO4) != 0);
		}
	}
	ref_free(&r);
}

static void test_offload_edges(void **state)
{
	srand(5);
	for (unsigned int c = 0; c < ARRAY_SIZE(offloads); c++)
		for (unsigned int n_segs = 1; n_segs <= FRAME_SEGS; n_segs += 13) {
			check_offload(c, false, n_segs);
			check_offload(c, true, n_segs);
		}
}

/* Offsets that lie in the tag itself, or before it, belong to no header. */
static void test_offsets_in_the_tag(void **state)
{
	static const uint8_t rest[] = { 0x81, 0, 0, 5, 8, 0 };
	static uint8_t flat[70000]; /* so that an offset of -1 in 16 bits lies inside */

	flat_make(flat, sizeof(flat), rest, sizeof(rest));
	for (uint16_t at = 0; at < 24; at++)
		for (unsigned int which = 0; which < 4; which++) {
			struct frame f = { .va = flat,
					   .seg_size = sizeof(flat),
					   .size = sizeof(flat),
					   .n_segs = 1 };

			f.flags = which == 0   ? FRAME_L4_CSUM
				  : which == 1 ? FRAME_IP4_CSUM
					       : FRAME_TSO4;
			f.csum_start = which == 1 || which == 2 ? 38 : at;
			f.l3_start = which == 0 || which == 3 ? 18 : at;
			f.hdr_size = 70;
			f.mss = 1000;
			assert_int_equal(frame_parse(&f), which == 3   ? false
							  : which == 2 ? at == 18
								       : at >= 18);
		}
}

static void test_segments_max(void **state)
{
	uint8_t flat[200];
	struct ref_frame r;

	flat_make(flat, sizeof(flat), (const uint8_t[]){ 8, 0 }, 2);
	ref_cut(&r, flat, sizeof(flat), FRAME_SEGS);
	r.f.flags = FRAME_TSO4;
	r.f.l3_start = 14;
	r.f.csum_start = 34;
	r.f.hdr_size = 54;
	r.f.mss = 10;
	r.f.n_segs = FRAME_SEGS + 1; /* a piece has no room for so many */
	assert_false(frame_parse(&r.f));
	assert_int_equal(r.f.drop, DROP_BAD_OFFLOAD);
	ref_free(&r);
}

static void test_tunnel(void **state)
{
	/* clang-format off */
	static const struct {
		uint16_t flags;
		uint8_t first, next_header;
		uint16_t csum_start;
		bool tunnel;
	} cases[] = {
		{ FRAME_TSO4, 0x45, 6, 34, false },
		{ FRAME_TSO4, 0x46, 6, 38, false },
		{ FRAME_TSO4, 0x4f, 6, 74, false },
		{ FRAME_TSO4, 0x45, 6, 38, true },
		{ FRAME_TSO4, 0x46, 6, 34, true },
		{ FRAME_TSO4, 0x45, 17, 34, true },
		{ FRAME_TSO6, 0x60, 6, 54, false },
		{ FRAME_TSO6, 0x60, 0, 54, true },  /* an extension header, says the header */
		{ FRAME_TSO6, 0x60, 6, 62, true },
		{ FRAME_TSO6, 0x60, 17, 54, true },
	};
	/* clang-format on */
	srand(6);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t flat[200];
		struct ref_frame r;

		flat_make(flat, sizeof(flat), (const uint8_t[]){ 8, 0 }, 2);
		flat[14] = cases[i].first;
		flat[cases[i].first >> 4 == 4 ? 23 : 20] = cases[i].next_header;
		ref_cut(&r, flat, sizeof(flat), 1 + ref_random(FRAME_SEGS));
		r.f.flags = cases[i].flags;
		r.f.l3_start = 14;
		r.f.csum_start = cases[i].csum_start;
		r.f.hdr_size = (uint16_t)(cases[i].csum_start + 20);
		r.f.mss = 10;
		assert_true(frame_parse(&r.f));
		if (((r.f.flags & FRAME_TUNNEL) != 0) != cases[i].tunnel)
			fail_msg("case %u", i);
		ref_free(&r);
	}
}

static void test_read(void **state)
{
	uint8_t flat[300], got[300];

	srand(7);
	ref_fill(flat, sizeof(flat));
	for (unsigned int i = 0; i < 3000; i++) {
		uint32_t size = 1 + ref_random(300), at = ref_random(size);
		uint32_t n = ref_random(size - at + 1);
		struct ref_frame r;

		ref_cut(&r, flat, size, 1 + ref_random(FRAME_SEGS));
		memset(got, 0, sizeof(got));
		frame_read(&r.f, at, got, n);
		assert_memory_equal(got, flat + at, n);
		ref_free(&r);
	}
}

static void test_mac(void **state)
{
	static const uint8_t mac[8] = { 0x02, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x77, 0x88 };
	uint8_t out[8] = { 0, 0, 0, 0, 0, 0, 0x77, 0x88 };

	assert_true(mac_load(mac) == 0xf6e5d4c3b202);
	mac_store(out, mac_load(mac));
	assert_memory_equal(out, mac, 8);
	assert_true((mac_load((const uint8_t[6]){ 1, 0, 0, 0, 0, 0 }) & MAC_GROUP) != 0);
	assert_true((mac_load((const uint8_t[6]){ 0xfe, 1, 1, 1, 1, 1 }) & MAC_GROUP) == 0);
}

static void test_drop_names(void **state)
{
	for (unsigned int i = 0; i < DROP_N; i++) {
		assert_true(strlen(drop_reason_name(i)) > 0);
		for (unsigned int k = 0; k < i; k++)
			assert_string_not_equal(drop_reason_name(i), drop_reason_name(k));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tags_and_sizes), cmocka_unit_test(test_size_max),
		cmocka_unit_test(test_offload_edges),  cmocka_unit_test(test_offsets_in_the_tag),
		cmocka_unit_test(test_segments_max),   cmocka_unit_test(test_tunnel),
		cmocka_unit_test(test_read),           cmocka_unit_test(test_mac),
		cmocka_unit_test(test_drop_names),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
