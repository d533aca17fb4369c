/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "frame/copy.h"
#include "frame/gso.h"
#include "frame/testref.h"

#define FLAT_MAX  (FRAME_SIZE_MAX + 300)
#define TCP_FLAGS 13

/* A large-send frame as a guest would make it. */
struct send {
	bool v6, udp, tag_in, tag_beside, seed_size;
	uint32_t ip_size, tcp_size; /* with options or extension headers */
	uint32_t payload;
	uint16_t mss, id;
	uint8_t tcp_flags;
	uint32_t seq;
	/* made by send_make */
	uint32_t l3, l4, hdr_size; /* untagged */
	uint8_t flat[FLAT_MAX];    /* untagged */
};

static uint32_t csum_at(const struct send *s)
{
	return s->l4 + (s->udp ? 6 : 16);
}

/* The sum of IP's addresses, protocol and `size`; RFC 9293 3.1, RFC 8200 8.1. */
static uint16_t pseudo_sum(const struct send *s, const uint8_t *ip, uint32_t size)
{
	uint8_t tail[8] = { 0, 0, 0, 0, 0, 0, 0, s->udp ? 17 : 6 };
	uint16_t sum = s->v6 ? ref_sum(ip + 8, 32, 0) : ref_sum(ip + 12, 8, 0);

	store_be32(tail, size);
	return ref_sum(tail, 8, sum);
}

static void send_make(struct send *s)
{
	uint8_t *ip, *tcp;

	s->l3 = 14;
	s->l4 = s->l3 + s->ip_size;
	s->hdr_size = s->l4 + s->tcp_size;
	ref_fill(s->flat, s->hdr_size + s->payload);
	s->flat[0] = 2;
	ip = s->flat + s->l3;
	tcp = s->flat + s->l4;
	store_be16(s->flat + 12, s->v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	ip[0] = (uint8_t)(s->v6 ? 0x60 : 0x40 | s->ip_size / 4);
	if (s->v6) {
		ip[6] = s->ip_size != 40 ? 0 : s->udp ? 17 : 6;
	} else {
		store_be16(ip + 4, s->id);
		ip[9] = s->udp ? 17 : 6;
	}
	if (!s->udp) {
		store_be32(tcp + 4, s->seq);
		tcp[12] = (uint8_t)(s->tcp_size / 4 << 4);
		tcp[TCP_FLAGS] = s->tcp_flags;
	}
	store_be16(s->flat + csum_at(s),
		   pseudo_sum(s, ip, s->seed_size ? s->tcp_size + s->payload : 0));
}

/* The frame in n_segs pieces, not parsed yet. */
static void send_cut(const struct send *s, struct ref_frame *r, unsigned int n_segs)
{
	static uint8_t tagged[FLAT_MAX + 4];
	uint16_t up = s->tag_in ? 4 : 0;
	uint32_t size = s->hdr_size + s->payload;

	memcpy(tagged, s->flat, 12);
	memcpy(tagged + 12 + up, s->flat + 12, size - 12);
	if (s->tag_in) {
		store_be16(tagged + 12, ETH_TYPE_VLAN);
		store_be16(tagged + 14, 0x2005);
	}
	ref_cut(r, tagged, size + up, n_segs);
	r->f.flags = (uint16_t)((s->v6 ? FRAME_TSO6 : FRAME_TSO4) | (s->udp ? FRAME_USO : 0) |
				(s->seed_size ? FRAME_SEED_SIZE : 0) |
				(s->tag_beside ? FRAME_TAGGED : 0));
	r->f.tci = 0x2005;
	r->f.l3_start = (uint16_t)(s->l3 + up);
	r->f.csum_start = (uint16_t)(s->l4 + up);
	r->f.hdr_size = (uint16_t)(s->hdr_size + up);
	r->f.mss = s->mss;
}

/* One piece as the receiver gets it; `nth` and `done` (payload bytes) say where it belongs. */
static void check_piece(const struct send *s, const uint8_t *got, uint32_t size, uint32_t nth,
			uint32_t done)
{
	const uint8_t *ip = got + s->l3, *tcp = got + s->l4;
	uint32_t payload = size - s->hdr_size;
	uint8_t flags = s->tcp_flags;
	uint8_t want[256];

	assert_int_equal(payload, s->payload - done < s->mss ? s->payload - done : s->mss);
	assert_memory_equal(got + s->hdr_size, s->flat + s->hdr_size + done, payload);
	/* All that may differ in the headers is put right here; then they must be the same. */
	memcpy(want, s->flat, s->hdr_size);
	if (s->v6) {
		store_be16(want + s->l3 + 4, (uint16_t)(size - s->l3 - 40));
	} else {
		store_be16(want + s->l3 + 2, (uint16_t)(size - s->l3));
		store_be16(want + s->l3 + 4, (uint16_t)(s->id + nth));
		assert_int_equal(ref_sum(ip, s->ip_size, 0), 0xffff);
		memcpy(want + s->l3 + 10, ip + 10, 2);
	}
	if (done + payload < s->payload)
		flags &= (uint8_t)~0x09;
	if (done > 0)
		flags &= 0x7f;
	if (s->udp) {
		store_be16(want + s->l4 + 4, (uint16_t)(8 + payload));
	} else {
		store_be32(want + s->l4 + 4, s->seq + done);
		want[s->l4 + TCP_FLAGS] = flags;
	}
	memcpy(want + csum_at(s), got + csum_at(s), 2);
	assert_memory_equal(got, want, s->hdr_size);
	assert_int_equal(ref_sum(tcp, size - s->l4, pseudo_sum(s, ip, size - s->l4)), 0xffff);
}

static void check_send(struct send *s, unsigned int n_segs)
{
	static uint8_t got[FLAT_MAX];
	static struct gso gso;
	struct gso_piece piece;
	struct frame out;
	uint32_t nth = 0, done = 0;
	struct ref_frame r;

	send_make(s);
	send_cut(s, &r, n_segs);
	assert_true(frame_parse(&r.f));
	assert_int_equal((r.f.flags & FRAME_TAGGED) != 0, s->tag_in || s->tag_beside);
	assert_true(gso_start(&gso, &r.f));
	/* The headers were read once; what the sender writes there now does not count. */
	ref_overwrite(&r, s->hdr_size + (s->tag_in ? 4 : 0));
	for (; gso_next(&gso, &out, &piece); nth++) {
		bool tag = ref_random(2) == 0;
		struct seg_out seg = { got, sizeof(got) };
		uint32_t size = out.size;

		assert_int_equal(
			out.flags & (FRAME_TSO | FRAME_USO | FRAME_TUNNEL | FRAME_SEED_SIZE), 0);
		assert_true(out.n_segs <= FRAME_SEGS + 1);
		frame_copy(&out, &seg, 1, COPY_CSUM | (tag ? COPY_TAG : 0));
		if (tag) {
			assert_int_equal(load_be16(got + 12), ETH_TYPE_VLAN);
			assert_int_equal(load_be16(got + 14), out.tci);
			memmove(got + 12, got + 16, size - 12);
		}
		check_piece(s, got, size, nth, done);
		done += size - s->hdr_size;
	}
	assert_int_equal(done, s->payload);
	assert_int_equal(nth, gso_pieces(&gso));
	assert_false(gso_next(&gso, &out, &piece));
	ref_free(&r);
}

static struct send send;

static void send_reset(void)
{
	memset(&send, 0, offsetof(struct send, flat));
	send.ip_size = 20;
	send.tcp_size = 20;
	send.mss = 1448;
	send.payload = 5000;
}

static void test_mss_edges(void **state)
{
	/* clang-format off */
	static const struct { uint32_t payload; uint16_t mss; } cases[] = {
		{ 1, 1 }, { 1, 2 }, { 2, 1 }, { 3, 2 }, { 1448, 1448 }, { 1449, 1448 }, { 1447, 1448 },
		{ 2896, 1448 }, { 2897, 1448 }, { 1, 65535 }, { 65495, 65495 }, { 65496, 65495 },
		{ GSO_PIECES_MAX, 1 }, { 65536, 32 }, { 200000, 9000 }, { FRAME_SIZE_MAX - 54, 1448 },
	};
	/* clang-format on */
	srand(10);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned int variant = 0; variant < 8; variant++) {
			send_reset();
			send.payload = cases[i].payload;
			send.mss = cases[i].mss;
			send.seed_size = variant & 1;
			send.udp = variant & 4;
			send.tcp_size = send.udp ? 8 : 20;
			check_send(&send, variant & 2 ? FRAME_SEGS : 1);
		}
}

static void test_random(void **state)
{
	srand(11);
	for (unsigned int i = 0; i < 1500; i++) {
		unsigned int tag = ref_random(3);

		send_reset();
		send.v6 = ref_random(2);
		send.ip_size = send.v6 ? 40 + 8 * (ref_random(3) / 2) : 20 + 4 * ref_random(11);
		send.udp = ref_random(3) == 0;
		send.tcp_size = send.udp ? 8 : 20 + 4 * ref_random(11);
		send.payload = 1 + ref_random(20000);
		send.mss = (uint16_t)(20 + ref_random(3000));
		send.id = (uint16_t)rand();
		send.seq = (uint32_t)rand() * 2 + 1;
		send.tcp_flags = (uint8_t)rand();
		send.seed_size = ref_random(2);
		send.tag_in = tag == 1;
		send.tag_beside = tag == 2;
		check_send(&send, 1 + ref_random(FRAME_SEGS));
	}
}

/* IP's identification and TCP's sequence go round; FIN and PSH are the last one's, CWR the first's. */
static void test_wraps_and_flags(void **state)
{
	srand(12);
	for (unsigned int flags = 0; flags < 256; flags++) {
		send_reset();
		send.id = 0xfffe;
		send.seq = 0xfffffff0;
		send.tcp_flags = (uint8_t)flags;
		send.payload = flags % 3 == 0 ? 1000 : 5000; /* one piece: it keeps all */
		check_send(&send, 2);
	}
}

static void test_hostile_headers(void **state)
{
	/* clang-format off */
	static const struct { bool v6; uint32_t ip_size, tcp_size; uint8_t first, doff; uint16_t mss; bool good; } cases[] = {
		{ false, 20, 20, 0x45, 0x50, 100, true },
		{ false, 20, 20, 0x45, 0x5f, 100, true },      /* reserved bits are not the length */
		{ false, 20, 20, 0x45, 0x40, 100, false },
		{ false, 20, 20, 0x45, 0x60, 100, false },
		{ false, 20, 20, 0x45, 0x00, 100, false },
		{ false, 20, 60, 0x45, 0xf0, 100, true },
		{ false, 20, 64, 0x45, 0xf0, 100, false },
		{ false, 20, 20, 0x65, 0x50, 100, false },     /* the other version */
		{ false, 20, 20, 0x05, 0x50, 100, false },
		{ true, 40, 20, 0x60, 0x50, 100, true },
		{ true, 40, 20, 0x45, 0x50, 100, false },
		{ true, 118, 60, 0x60, 0xf0, 100, true },      /* headers of GSO_HDR_MAX bytes */
		{ false, 20, 20, 0x45, 0x50, 65495, true },    /* 65535 bytes of IP */
		{ false, 20, 20, 0x45, 0x50, 65496, false },
		{ false, 20, 20, 0x45, 0x50, 65535, false },
	};
	/* clang-format on */
	static struct gso gso;

	srand(13);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ref_frame r;
		bool ok;

		send_reset();
		send.v6 = cases[i].v6;
		send.ip_size = cases[i].ip_size;
		send.tcp_size = cases[i].tcp_size;
		send.payload = 70000;
		send.mss = cases[i].mss;
		send_make(&send);
		send.flat[send.l3] = cases[i].first;
		send.flat[send.l4 + 12] = cases[i].doff;
		send_cut(&send, &r, 1 + ref_random(FRAME_SEGS));
		ok = frame_parse(&r.f) && gso_start(&gso, &r.f);
		if (ok != cases[i].good || r.f.drop != (ok ? DROP_NONE : DROP_BAD_OFFLOAD))
			fail_msg("case %u: %s", i, drop_reason_name(r.f.drop));
		ref_free(&r);
	}
}

static void test_hostile_udp(void **state)
{
	/* clang-format off */
	static const struct { bool v6; uint32_t hdr; uint8_t first; uint16_t mss; bool good; } cases[] = {
		{ false, 8, 0x45, 100, true },
		{ false, 8, 0x46, 100, true },    /* as TCP's: the sums are those of the offsets */
		{ false, 8, 0x60, 100, false },   /* the other version */
		{ false, 7, 0x45, 100, false },
		{ false, 9, 0x45, 100, false },
		{ false, 20, 0x45, 100, false },
		{ false, 0, 0x45, 100, false },
		{ true, 8, 0x60, 100, true },
		{ true, 8, 0x45, 100, false },
		{ true, 12, 0x60, 100, false },
		{ false, 8, 0x45, 65507, true },  /* 65535 bytes of IP */
		{ false, 8, 0x45, 65508, false },
	};
	/* clang-format on */
	static struct gso gso;

	srand(15);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ref_frame r;
		bool ok;

		send_reset();
		send.udp = true;
		send.v6 = cases[i].v6;
		send.ip_size = send.v6 ? 40 : 20;
		send.tcp_size = 8;
		send.payload = 70000;
		send.mss = cases[i].mss;
		send_make(&send);
		send.flat[send.l3] = cases[i].first;
		send.hdr_size = send.l4 + cases[i].hdr;
		send_cut(&send, &r, 1 + ref_random(FRAME_SEGS));
		ok = frame_parse(&r.f) && gso_start(&gso, &r.f);
		if (ok != cases[i].good || r.f.drop != (ok ? DROP_NONE : DROP_BAD_OFFLOAD))
			fail_msg("case %u: %s", i, drop_reason_name(r.f.drop));
		ref_free(&r);
	}
}

/* A receiver that takes the frame whole gets virtio's seed, whatever the sender's was. */
static void test_whole_seed(void **state)
{
	static uint8_t got[FLAT_MAX];
	struct seg_out seg = { got, sizeof(got) };

	srand(14);
	for (unsigned int i = 0; i < 32; i++) {
		struct ref_frame r;
		uint32_t up = i & 4 ? 4 : 0;
		uint16_t want;

		send_reset();
		send.v6 = i & 1;
		send.ip_size = send.v6 ? 40 : 20;
		send.seed_size = i & 2;
		send.udp = i & 16;
		send.tcp_size = send.udp ? 8 : 20;
		send.tag_in = i & 8;
		send_make(&send);
		send_cut(&send, &r, 3);
		assert_true(frame_parse(&r.f));
		frame_copy(&r.f, &seg, 1, up ? COPY_TAG : 0);
		want = pseudo_sum(&send, send.flat + send.l3, send.tcp_size + send.payload);
		assert_int_equal(load_be16(got + up + csum_at(&send)), want);
		assert_memory_equal(got + up + send.hdr_size, send.flat + send.hdr_size,
				    send.payload);
		ref_free(&r);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mss_edges),       cmocka_unit_test(test_random),
		cmocka_unit_test(test_wraps_and_flags), cmocka_unit_test(test_hostile_headers),
		cmocka_unit_test(test_hostile_udp),     cmocka_unit_test(test_whole_seed),
	};

	return cmocka_run_group_tests_name("gso", tests, NULL, NULL);
}
