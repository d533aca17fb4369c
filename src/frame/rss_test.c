/* SPDX-License-Identifier: BSD-3-Clause */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "frame/rss.h"
#include "frame/testref.h"

#define TCP  6
#define UDP  17
#define SCTP 132

/* "Verifying the RSS Hash Calculation", Windows driver documentation: key and packets. */
static const uint8_t ms_key[RSS_KEY_SIZE] = {
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
	0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
	0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
};

static const struct vector {
	int family;
	const char *dest, *source;
	uint16_t dest_port, source_port;
	uint32_t hash, hash_ports;
} vectors[] = {
	{ AF_INET, "161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178 },
	{ AF_INET, "65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea },
	{ AF_INET, "12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a },
	{ AF_INET, "209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f },
	{ AF_INET, "202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2 },
	{ AF_INET6, "3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5,
	  0x40207d3d },
	{ AF_INET6, "ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c,
	  0xdde51bbf },
	{ AF_INET6, "fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251,
	  0x4b61e985, 0x02d1feef },
};

#define VARIANTS 2
static rss_burst_fn *variant[VARIANTS];

static int find_variants(void **state)
{
	variant[0] = rss_burst_portable;
	variant[1] = rss_burst_clmul();
	return 0;
}

/* A frame of `v` with `ext` between the addresses and `proto`'s header; its size. An empty `ext`: none;
 * with IPv4 these are options. `first` is the type of the first extension header. */
static uint32_t make(uint8_t *bytes, const struct vector *v, uint8_t proto, uint8_t first,
		     const uint8_t *ext, uint32_t ext_size)
{
	uint8_t *l3 = bytes + FRAME_SIZE_MIN, *l4;

	memset(bytes, 0, 256);
	if (v->family == AF_INET) {
		store_be16(bytes + 12, ETH_TYPE_IPV4);
		l3[0] = (uint8_t)(0x45 + ext_size / 4);
		l3[9] = proto;
		inet_pton(AF_INET, v->source, l3 + 12);
		inet_pton(AF_INET, v->dest, l3 + 16);
		l4 = l3 + 20;
	} else {
		store_be16(bytes + 12, ETH_TYPE_IPV6);
		l3[0] = 0x60;
		l3[6] = ext_size == 0 ? proto : first;
		inet_pton(AF_INET6, v->source, l3 + 8);
		inet_pton(AF_INET6, v->dest, l3 + 24);
		l4 = l3 + 40;
	}
	if (ext_size > 0)
		memcpy(l4, ext, ext_size);
	l4 += ext_size;
	store_be16(l4, v->source_port);
	store_be16(l4 + 2, v->dest_port);
	return (uint32_t)(l4 - bytes) + 20;
}

/* All variants, all cuts of the frame: one result. */
static struct rss_result look(const uint8_t *bytes, uint32_t size, uint32_t types)
{
	static const unsigned int cuts[] = { 1, 2, 3, 20, FRAME_SEGS };
	struct rss_result first = { 0 }, r;
	const struct frame *frame;
	struct rss_key key;
	bool any = false;

	rss_key_set(&key, ms_key);
	for (unsigned int i = 0; i < VARIANTS; i++) {
		for (unsigned int c = 0; variant[i] != NULL && c < ARRAY_SIZE(cuts); c++) {
			struct ref_frame cut;

			ref_cut(&cut, bytes, size, cuts[c]);
			assert_true(frame_parse(&cut.f));
			frame = &cut.f;
			memset(&r, 0xee, sizeof(r));
			variant[i](&key, types, &frame, 1, &r);
			ref_free(&cut);
			if (any)
				assert_memory_equal(&r, &first, sizeof(r));
			first = r;
			any = true;
		}
	}
	return first;
}

static void test_microsofts_vectors(void **state)
{
	uint8_t bytes[256], tagged[256];

	srand(1);
	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i];
		uint32_t size = make(bytes, v, TCP, 0, NULL, 0);
		struct rss_result r = look(bytes, size, RSS_ALL);
		bool six = v->family == AF_INET6;

		assert_int_equal(r.hash, v->hash_ports);
		assert_int_equal(r.type, six ? RSS_TCP_IPV6 : RSS_TCP_IPV4);
		assert_int_equal(r.packet, PACKET_TCP | (six ? PACKET_IPV6 : PACKET_IPV4));
		assert_int_equal(r.l3_size, six ? 40 : 20);
		r = look(bytes, size, RSS_BIT(RSS_IPV4) | RSS_BIT(RSS_IPV6));
		assert_int_equal(r.hash, v->hash);
		assert_int_equal(r.type, six ? RSS_IPV6 : RSS_IPV4);
		/* A tag in the bytes moves everything. */
		memcpy(tagged, bytes, 12);
		memcpy(tagged + 12, "\x81\x00\x00\x05", 4);
		memcpy(tagged + 16, bytes + 12, size - 12);
		r = look(tagged, size + 4, RSS_ALL);
		assert_int_equal(r.hash, v->hash_ports);
		assert_int_equal(r.l3_size, six ? 40 : 20);
	}
}

/* Which type is taken of those that are wanted. */
static void test_types(void **state)
{
	const uint32_t v4 = RSS_BIT(RSS_IPV4), v6 = RSS_BIT(RSS_IPV6), ex = RSS_BIT(RSS_IPV6_EX);
	/* clang-format off */
	static const uint8_t dst[8] = { TCP, 0, 1, 4 }; /* one PadN */
	const struct { unsigned int vector; uint8_t proto, ext; uint32_t types; enum rss_type type; } cases[] = {
		{ 0, TCP, 0, 0, RSS_NONE },
		{ 0, TCP, 0, v4, RSS_IPV4 },
		{ 0, TCP, 0, RSS_BIT(RSS_TCP_IPV4), RSS_TCP_IPV4 },
		{ 0, TCP, 0, RSS_BIT(RSS_UDP_IPV4), RSS_NONE },
		{ 0, UDP, 0, RSS_BIT(RSS_UDP_IPV4) | v4, RSS_UDP_IPV4 },
		{ 0, UDP, 0, RSS_BIT(RSS_TCP_IPV4) | v4, RSS_IPV4 },
		{ 0, UDP, 0, RSS_BIT(RSS_UDP_IPV6) | v6, RSS_NONE },
		{ 0, SCTP, 0, RSS_ALL, RSS_IPV4 },
		{ 0, 1, 0, RSS_ALL, RSS_IPV4 },
		{ 5, TCP, 0, RSS_ALL, RSS_TCP_IPV6 },
		{ 5, TCP, 0, v6, RSS_IPV6 },
		{ 5, UDP, 0, RSS_ALL, RSS_UDP_IPV6 },
		{ 5, UDP, 0, v6 | RSS_BIT(RSS_TCP_IPV6), RSS_IPV6 },
		{ 5, SCTP, 0, RSS_ALL, RSS_IPV6 },
		{ 5, 58, 0, RSS_ALL, RSS_IPV6 },
		{ 5, TCP, 0, v4 | ex, RSS_NONE },
		{ 5, TCP, 60, RSS_ALL, RSS_TCP_IPV6_EX },
		{ 5, TCP, 60, ex, RSS_IPV6_EX },
		{ 5, TCP, 60, ex | RSS_BIT(RSS_TCP_IPV6), RSS_IPV6_EX },
		{ 5, TCP, 60, RSS_BIT(RSS_TCP_IPV6) | v6, RSS_TCP_IPV6 },
		{ 5, TCP, 60, RSS_BIT(RSS_UDP_IPV6_EX) | v6, RSS_IPV6 },
		{ 5, TCP, 44, RSS_ALL, RSS_IPV6_EX }, /* a fragment */
		{ 5, TCP, 44, RSS_BIT(RSS_TCP_IPV6) | v6, RSS_IPV6 },
		{ 0, TCP, 1, RSS_ALL, RSS_TCP_IPV4 }, /* options */
	};
	/* clang-format on */
	uint8_t bytes[256];

	srand(2);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct vector *v = &vectors[cases[i].vector];
		uint32_t size = make(bytes, v, cases[i].proto, cases[i].ext, dst,
				     cases[i].ext != 0 ? sizeof(dst) : 0);
		struct rss_result r = look(bytes, size, cases[i].types);
		bool ports = r.type != RSS_NONE && r.type != RSS_IPV4 && r.type != RSS_IPV6 &&
			     r.type != RSS_IPV6_EX;
		uint32_t want = r.type == RSS_NONE ? 0 : ports ? v->hash_ports : v->hash;

		if (r.type != cases[i].type || r.hash != want)
			fail_msg("case %u: type %u, hash %08x", i, r.type, r.hash);
	}
}

/* Packets that end, or lie about their length, in each place. */
static void test_odd_packets(void **state)
{
	uint8_t bytes[256], *l3 = bytes + FRAME_SIZE_MIN;
	struct rss_result r;
	uint32_t size;

	srand(3);
	for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i += 5) {
		uint32_t l4 = vectors[i].family == AF_INET ? 34 : 54;

		size = make(bytes, &vectors[i], TCP, 0, NULL, 0);
		for (uint32_t n = FRAME_SIZE_MIN; n <= size; n++) {
			r = look(bytes, n, RSS_ALL);
			assert_int_equal(r.hash, n < l4       ? 0
						 : n < l4 + 4 ? vectors[i].hash
							      : vectors[i].hash_ports);
			assert_int_equal(r.l3_size, n < l4 ? 0 : l4 - FRAME_SIZE_MIN);
			assert_int_equal((r.packet & PACKET_L4) != 0, n >= l4 + 4);
		}
	}
	size = make(bytes, &vectors[0], TCP, 0, NULL, 0);
	for (unsigned int b = 0; b < 256; b++) {
		l3[0] = (uint8_t)b;
		r = look(bytes, size, RSS_ALL);
		assert_int_equal(r.type, b >> 4 != 4 || (b & 0xf) < 5 || (b & 0xf) > 10 ? RSS_NONE
					 : (b & 0xf) < 10 ? RSS_TCP_IPV4
							  : RSS_IPV4);
	}
	l3[0] = 0x45;
	for (unsigned int bit = 0; bit < 16; bit++) {
		store_be16(l3 + 6, (uint16_t)(1u << bit));
		r = look(bytes, size, RSS_ALL);
		/* Don't Fragment and the reserved bit make no fragment. */
		assert_int_equal(r.type, bit >= 14 ? RSS_TCP_IPV4 : RSS_IPV4);
		assert_int_equal(r.hash, bit >= 14 ? vectors[0].hash_ports : vectors[0].hash);
	}
	store_be16(bytes + 12, 0x0806);
	assert_int_equal(look(bytes, size, RSS_ALL).packet, 0);
}

/* The _EX types hash the addresses of vector 6, which is what the packet of vector 5 carries in its
 * extension headers. */
static void test_home_and_routing(void **state)
{
	/* Destination options: Pad1, PadN of 1, home address; 24 bytes. Routing, type 2: 24 bytes. */
	uint8_t ext[48] = { 43, 2, 0, 1, 1, 0, 201, 16 }, bytes[256];
	struct vector v = vectors[5];
	struct rss_result r;
	uint32_t size;

	srand(4);
	inet_pton(AF_INET6, vectors[6].source, ext + 8);
	ext[24] = TCP;
	ext[25] = 2;
	ext[26] = 2;
	ext[27] = 1;
	inet_pton(AF_INET6, vectors[6].dest, ext + 32);
	v.dest_port = vectors[6].dest_port;
	v.source_port = vectors[6].source_port;
	size = make(bytes, &v, TCP, 60, ext, sizeof(ext));
	r = look(bytes, size, RSS_ALL);
	assert_int_equal(r.type, RSS_TCP_IPV6_EX);
	assert_int_equal(r.hash, vectors[6].hash_ports);
	assert_int_equal(r.l3_size, 40 + 48);
	assert_int_equal(r.packet, PACKET_IPV6 | PACKET_IPV6_EXT | PACKET_TCP | PACKET_ELSEWHERE);
	r = look(bytes, size, RSS_BIT(RSS_IPV6_EX));
	assert_int_equal(r.hash, vectors[6].hash);
	/* Other routing types say nothing about the destination. */
	bytes[54 + 26] = 0;
	r = look(bytes, size, RSS_BIT(RSS_IPV6));
	assert_int_equal(r.hash, vectors[5].hash);
	assert_int_not_equal(look(bytes, size, RSS_ALL).hash, vectors[6].hash_ports);
}

/* Chains without end, lengths beyond the packet, options of no size: never outside of it. */
static void test_random_chains(void **state)
{
	uint8_t bytes[256];

	srand(5);
	for (unsigned int i = 0; i < 20000; i++) {
		static const uint8_t protos[] = { 0, 43, 44, 51, 60, TCP, UDP, SCTP, 59 };
		uint32_t size = make(bytes, &vectors[i % 2 ? 5 : 0], TCP, 0, NULL, 0);

		for (uint32_t at = i % 2 ? 54 : 34; at < sizeof(bytes); at++)
			bytes[at] = ref_random(2) ? protos[ref_random(ARRAY_SIZE(protos))]
						  : (uint8_t)ref_random(ref_random(2) ? 4 : 256);
		if (i % 2)
			bytes[14 + 6] = protos[ref_random(ARRAY_SIZE(protos))];
		else
			bytes[14] = (uint8_t)(0x40 | ref_random(16));
		size = ref_random(3) ? (uint32_t)sizeof(bytes) : FRAME_SIZE_MIN + ref_random(size);
		look(bytes, size, ref_random(RSS_ALL + 1));
	}
}

/* The definition, bit by bit, against both variants. */
static void test_any_key(void **state)
{
	const struct frame *frame;
	uint8_t bytes[256], raw[RSS_KEY_SIZE];

	srand(6);
	for (unsigned int i = 0; i < 2000; i++) {
		uint32_t size = make(bytes, &vectors[5], TCP, 0, NULL, 0), want = 0;
		struct frame f = { .va = bytes, .seg_size = size, .size = size, .n_segs = 1 };
		struct rss_result r;
		struct rss_key key;

		ref_fill(raw, sizeof(raw));
		ref_fill(bytes + 22, 36);
		rss_key_set(&key, raw);
		for (uint32_t bit = 0; bit < 36 * 8; bit++)
			if ((bytes[22 + bit / 8] & 0x80 >> bit % 8) != 0)
				for (uint32_t k = 0; k < 32; k++)
					want ^= (uint32_t)(raw[(bit + k) / 8] >>
								   (7 - (bit + k) % 8) &
							   1)
						<< (31 - k);
		assert_true(frame_parse(&f));
		frame = &f;
		for (unsigned int n = 0; n < VARIANTS; n++) {
			if (variant[n] == NULL)
				continue;
			variant[n](&key, RSS_ALL, &frame, 1, &r);
			assert_int_equal(r.hash, want);
		}
		rss_burst(&key, RSS_ALL, &frame, 1, &r);
		assert_int_equal(r.hash, want);
	}
}

/* Not a test: cycles a frame, for whoever changes this. */
static void report_cycles(const char *what, rss_burst_fn *burst, const struct vector *v)
{
	static uint8_t bytes[BURST_MAX][256];
	static struct frame f[BURST_MAX];
	const struct frame *frame[BURST_MAX];
	struct rss_result r[BURST_MAX];
	uint64_t best = UINT64_MAX;
	struct rss_key key;

	rss_key_set(&key, ms_key);
	for (unsigned int i = 0; i < BURST_MAX; i++) {
		uint32_t size = make(bytes[i], v, TCP, 0, NULL, 0);

		f[i] = (struct frame){
			.va = bytes[i], .seg_size = size, .size = size, .n_segs = 1
		};
		assert_true(frame_parse(&f[i]));
		frame[i] = &f[i];
	}
	for (unsigned int i = 0; i < 1000; i++) {
		uint64_t start = clock_cycles();

		burst(&key, RSS_ALL, frame, BURST_MAX, r);
		start = clock_cycles() - start;
		best = start < best ? start : best;
	}
	print_message("%s: %.1f cycles a frame\n", what, (double)best / BURST_MAX);
	assert_int_equal(r[BURST_MAX - 1].hash, v->hash_ports);
}

static void test_bursts(void **state)
{
	report_cycles("IPv4, portable", rss_burst_portable, &vectors[0]);
	report_cycles("IPv6, portable", rss_burst_portable, &vectors[5]);
	if (variant[1] == NULL)
		return;
	report_cycles("IPv4, carry-less", variant[1], &vectors[0]);
	report_cycles("IPv6, carry-less", variant[1], &vectors[5]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_microsofts_vectors),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_odd_packets),
		cmocka_unit_test(test_home_and_routing),
		cmocka_unit_test(test_random_chains),
		cmocka_unit_test(test_any_key),
		cmocka_unit_test(test_bursts),
	};

	return cmocka_run_group_tests(tests, find_variants, NULL);
}
