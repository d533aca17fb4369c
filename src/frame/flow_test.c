/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "frame/copy.h"
#include "frame/flow.h"
#include "frame/gso.h"

#define SIZE_MAX_TEST 400

static uint8_t bytes[SIZE_MAX_TEST], pinned[FLOW_PIN_SIZE];
static struct seg more[8];

/* A frame from hexadecimal behind the addresses, filled up with counting bytes to `size`. */
static struct frame frame_of(const char *hex, uint32_t size)
{
	struct frame f = { .va = bytes, .seg_size = size, .size = size, .n_segs = 1 };
	unsigned int byte;
	uint32_t n = ETH_ADDRS_SIZE;

	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)i;
	bytes[0] = bytes[6] = 2;
	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		bytes[n++] = (uint8_t)byte;
		hex++;
	}
	assert_true(n <= size);
	return f;
}

#define IP4(ihl, frag, proto) \
	"0800 " ihl "b8 0100 0000 " frag " 40" proto " 0000 0a000001 0a000002 "
#define IP6(next)                                                        \
	"86dd 6b80 0000 0100 " next                                      \
	"40 20010db8000000000000000000000001 20010db8000000000000000000" \
	"000002 "
#define UDP "1234 0035 0010 0000 "
#define TCP "1234 01bb 00000001 00000002 5012 ffff 0000 0000 "

static void test_parse(void **state)
{
	static const struct {
		const char *name, *hex;
		uint32_t size;
		unsigned int flags;
		uint8_t proto;
		uint16_t sport, dport, l4;
		uint8_t tcp;
	} cases[] = {
		{ "udp", IP4("45", "4000", "11") UDP, 64, FLOW_IPV4 | FLOW_L4, 17, 0x1234, 53, 34,
		  0 },
		{ "tcp", IP4("45", "0000", "06") TCP, 64, FLOW_IPV4 | FLOW_L4, 6, 0x1234, 443, 34,
		  0x12 },
		{ "icmp", IP4("45", "0000", "01") "0803 0000", 64, FLOW_IPV4 | FLOW_L4, 1, 0x800,
		  0x300, 34, 0 },
		{ "gre", IP4("45", "0000", "2f") "0000 0800", 64, FLOW_IPV4, 47, 0, 0, 34, 0 },
		{ "options", IP4("46", "0000", "11") "01010101 " UDP, 64, FLOW_IPV4 | FLOW_L4, 17,
		  0x1234, 53, 38, 0 },
		{ "first fragment", IP4("45", "2000", "11") UDP, 64,
		  FLOW_IPV4 | FLOW_L4 | FLOW_FIRST, 17, 0x1234, 53, 34, 0 },
		{ "later fragment", IP4("45", "0002", "11") UDP, 64, FLOW_IPV4 | FLOW_LATER, 17, 0,
		  0, 0, 0 },
		{ "fragment over TCP's flags", IP4("45", "0001", "06") UDP, 64,
		  FLOW_IPV4 | FLOW_LATER | FLOW_OBSCURE, 6, 0, 0, 0, 0 },
		{ "tiny first fragment", IP4("45", "2000", "06") UDP, 42,
		  FLOW_IPV4 | FLOW_FIRST | FLOW_OBSCURE, 6, 0, 0, 34, 0 },
		{ "tiny first fragment, padded",
		  "0800 45b8 001c 0000 2000 4006 0000 0a000001 0a000002 " TCP, 60,
		  FLOW_IPV4 | FLOW_FIRST | FLOW_OBSCURE, 6, 0, 0, 34, 0 },
		{ "no longer than it says",
		  "0800 45b8 001c 0000 0000 4011 0000 0a000001 0a000002 " UDP, 60,
		  FLOW_IPV4 | FLOW_L4, 17, 0x1234, 53, 34, 0 },
		{ "ports in the padding",
		  "0800 45b8 0018 0000 0000 4011 0000 0a000001 0a000002 " UDP, 64,
		  FLOW_IPV4 | FLOW_OBSCURE, 17, 0, 0, 34, 0 },
		{ "ports in the padding6",
		  "86dd 6b80 0000 0004 11 40 20010db8000000000000000000000001 "
		  "20010db8000000000000000000000002 " UDP,
		  80, FLOW_IPV6 | FLOW_OBSCURE, 17, 0, 0, 54, 0 },
		{ "cut in the header", IP4("45", "0000", "06"), 34, FLOW_IPV4 | FLOW_OBSCURE, 6, 0,
		  0, 34, 0 },
		{ "header beyond the end", IP4("4f", "0000", "06") TCP, 64,
		  FLOW_IPV4 | FLOW_OBSCURE, 0, 0, 0, 0, 0 },
		{ "header too short", IP4("44", "0000", "06") TCP, 64, FLOW_IPV4 | FLOW_OBSCURE, 0,
		  0, 0, 0, 0 },
		{ "version", IP4("65", "0000", "06") TCP, 64, FLOW_IPV4 | FLOW_OBSCURE, 0, 0, 0, 0,
		  0 },
		{ "udp6", IP6("11") UDP, 80, FLOW_IPV6 | FLOW_L4, 17, 0x1234, 53, 54, 0 },
		{ "udp6, padded",
		  "86dd 6b80 0000 0007 11 40 20010db8000000000000000000000001 "
		  "20010db8000000000000000000000002 " UDP,
		  80, FLOW_IPV6 | FLOW_OBSCURE, 17, 0, 0, 54, 0 },
		{ "icmp6", IP6("3a") "8600 0000", 80, FLOW_IPV6 | FLOW_L4, 58, 0x8600, 0, 54, 0 },
		{ "extensions", IP6("00") "3c00 0502 0000 0104 1100 0104 00000000 " UDP, 90,
		  FLOW_IPV6 | FLOW_L4, 17, 0x1234, 53, 70, 0 },
		{ "fragment6, first", IP6("2c") "1100 0001 00000007 " UDP, 90,
		  FLOW_IPV6 | FLOW_L4 | FLOW_FIRST, 17, 0x1234, 53, 62, 0 },
		{ "fragment6, only", IP6("2c") "1100 0000 00000007 " UDP, 90, FLOW_IPV6 | FLOW_L4,
		  17, 0x1234, 53, 62, 0 },
		{ "fragment6, later", IP6("2c") "1100 0009 00000007 " UDP, 90,
		  FLOW_IPV6 | FLOW_LATER, 17, 0, 0, 0, 0 },
		{ "extension beyond what is pinned", IP6("3c") "1120 0104 00000000 " UDP, 400,
		  FLOW_IPV6 | FLOW_OBSCURE, 17, 0, 0, 318, 0 },
		{ "many extensions",
		  IP6("3c") "3c00 0104 00000000 3c00 0104 00000000 3c00 0104 00000000 3c00 0104 00000000 "
			    "3c00 0104 00000000 3c00 0104 00000000 3c00 0104 00000000 3c00 0104 00000000 "
			    "1100 0104 00000000 " UDP,
		  200, FLOW_IPV6 | FLOW_OBSCURE, 60, 0, 0, 0, 0 },
		{ "arp", "0806 0001 0800 06 04 0001", 60, 0, 0, 0, 0, 0, 0 },
	};

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		struct frame f = frame_of(cases[c].hex, cases[c].size);
		struct flow flow;

		assert_true(frame_parse(&f));
		flow_pin_rest(&f, pinned, more + flow_pin(&f, pinned, more));
		flow_parse(&f, &flow);
		if (flow.flags != cases[c].flags || flow.proto != cases[c].proto ||
		    be16toh(flow.sport) != cases[c].sport ||
		    be16toh(flow.dport) != cases[c].dport || flow.l4 != cases[c].l4 ||
		    flow.tcp != cases[c].tcp)
			fail_msg("%s: flags %#x, proto %u, ports %#x %#x, at %u, tcp %#x",
				 cases[c].name, flow.flags, flow.proto, be16toh(flow.sport),
				 be16toh(flow.dport), flow.l4, flow.tcp);
		if ((flow.flags & FLOW_L4) != 0)
			assert_int_equal(flow.tos, 0xb8);
		if ((flow.flags & FLOW_L4) != 0 && (flow.flags & FLOW_IPV4) != 0)
			assert_memory_equal(flow.dest, ((uint8_t[16]){ 10, 0, 0, 2 }), 16);
	}
}

/* In whichever pieces a frame lies, tagged or not: after pinning it has the same bytes, and its first ones are
 * those that were there when it was pinned. */
static void test_pin(void **state)
{
	static const uint32_t sizes[] = { 60, FLOW_PIN_SIZE - 1, FLOW_PIN_SIZE, FLOW_PIN_SIZE + 1,
					  399 };

	for (unsigned int tagged = 0; tagged < 2; tagged++)
		for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++)
			for (uint32_t cut = 1; cut + 1 < sizes[s]; cut++) {
				struct frame f =
					frame_of(tagged ? "8100 0064 " IP4("45", "0000", "11") UDP
							: IP4("45", "0000", "11") UDP,
						 sizes[s]);
				const struct seg rest[] = {
					{ bytes + cut, 1 },
					{ bytes + cut + 1, sizes[s] - cut - 1 },
				};
				uint8_t was[SIZE_MAX_TEST], got[SIZE_MAX_TEST];
				struct flow flow;

				f.seg_size = cut;
				f.more = rest;
				f.n_segs = 3;
				assert_true(frame_parse(&f));
				memcpy(was, bytes, sizes[s]);
				assert_true(flow_pin(&f, pinned, more) <= 3);
				memset(bytes, 0xff,
				       sizes[s] < FLOW_PIN_SIZE ? sizes[s] : FLOW_PIN_SIZE);
				flow_parse(&f, &flow);
				assert_int_equal(be16toh(flow.dport), 53);
				assert_int_equal(flow.l4, 34);
				frame_read(&f, 0, got, sizes[s]);
				assert_memory_equal(got, was, sizes[s]);
			}
}

/* A plain frame is pinned in two steps; what is not pinned may still change. */
static void test_pin_plain(void **state)
{
	static const uint32_t sizes[] = {
		33, 60, FLOW_PIN_QUICK, FLOW_PIN_QUICK + 1, FLOW_PIN_SIZE, FLOW_PIN_SIZE + 1, 399
	};

	for (unsigned int s = 0; s < ARRAY_SIZE(sizes); s++) {
		uint8_t was[SIZE_MAX_TEST], got[SIZE_MAX_TEST], copied[SIZE_MAX_TEST];
		struct frame f = frame_of(IP4("45", "0000", "11"), sizes[s] < 34 ? 34 : sizes[s]);
		uint32_t size = f.size;
		unsigned int n;

		assert_true(frame_parse(&f));
		memcpy(was, bytes, size);
		n = flow_pin(&f, pinned, more);
		assert_int_equal(n, size > FLOW_PIN_QUICK);
		memset(bytes, 0xff, size < FLOW_PIN_QUICK ? size : FLOW_PIN_QUICK);
		frame_read(&f, 0, got, size);
		assert_memory_equal(got, was, size);
		if (n > 0) {
			frame_copy_two(&f, copied);
			assert_memory_equal(copied, was, size);
		}
		n += flow_pin_rest(&f, pinned, more + n);
		assert_true(n <= 2);
		assert_int_equal(f.n_segs, size > FLOW_PIN_SIZE ? 2 : 1);
		memset(bytes, 0xff, size < FLOW_PIN_SIZE ? size : FLOW_PIN_SIZE);
		frame_read(&f, 0, got, size);
		assert_memory_equal(got, was, size);
		assert_int_equal(flow_pin_rest(&f, pinned, more + n), 0);
	}
}

/* Offloads write where their checksums are, or behind all that is judged, or nobody can say what the frame is. */
static void test_offloads(void **state)
{
	static const struct {
		const char *name, *hex;
		uint16_t flags, l3, start, offset;
		bool obscure;
	} cases[] = {
		{ "udp", IP4("45", "4000", "11") UDP, FRAME_L4_CSUM, 0, 34, 6, false },
		{ "tcp", IP4("45", "4000", "06") TCP, FRAME_L4_CSUM | FRAME_IP4_CSUM, 14, 34, 16,
		  false },
		{ "udp6", IP6("11") UDP, FRAME_L4_CSUM, 0, 54, 6, false },
		{ "a port", IP4("45", "4000", "06") TCP, FRAME_L4_CSUM, 0, 34, 2, true },
		{ "a port from afar", IP4("45", "4000", "06") TCP, FRAME_L4_CSUM, 0, 14, 22, true },
		{ "an address", IP4("45", "4000", "06") TCP, FRAME_L4_CSUM, 0, 14, 14, true },
		{ "TCP's flags", IP4("45", "4000", "06") TCP, FRAME_L4_CSUM, 0, 34, 12, true },
		{ "UDP's field for TCP", IP4("45", "4000", "06") TCP, FRAME_L4_CSUM, 0, 34, 6,
		  true },
		{ "in a tunnel", IP4("45", "4000", "11") UDP, FRAME_L4_CSUM | FRAME_IP4_CSUM, 42,
		  62, 16, false },
		{ "IP's in the UDP header", IP4("45", "4000", "11") UDP, FRAME_IP4_CSUM, 30, 0, 0,
		  true },
		{ "IPv4's in IPv6", IP6("11") UDP, FRAME_IP4_CSUM, 14, 0, 0, true },
		{ "icmp6", IP6("3a") "8600 0000", FRAME_L4_CSUM, 0, 54, 2, false },
		{ "icmp6's type", IP6("3a") "8600 0000", FRAME_L4_CSUM, 0, 54, 0, true },
		{ "behind icmp6's type", IP6("3a") "8600 0000", FRAME_L4_CSUM, 0, 54, 24, true },
		{ "arp", "0806 0001 0800 06 04 0001", FRAME_L4_CSUM, 0, 14, 14, true },
		{ "later fragment", IP4("45", "0002", "11") UDP, FRAME_L4_CSUM, 0, 34, 6, true },
		{ "large send", IP4("45", "4000", "06") TCP, FRAME_TSO4, 14, 34, 0, false },
		{ "large send of other headers", IP4("45", "4000", "06") TCP, FRAME_TSO4, 24, 44, 0,
		  true },
	};

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		struct frame f = frame_of(cases[c].hex, 300);
		struct flow flow;

		f.flags = cases[c].flags;
		f.l3_start = cases[c].l3;
		f.csum_start = cases[c].start;
		f.csum_offset = cases[c].offset;
		f.mss = 100;
		f.hdr_size = 70;
		assert_true(frame_parse(&f));
		flow_pin(&f, pinned, more);
		flow_parse(&f, &flow);
		if (((flow.flags & FLOW_OBSCURE) != 0) != cases[c].obscure)
			fail_msg("%s: flags %#x", cases[c].name, flow.flags);
	}
}

/* A large send of as many segments as may be, with its headers pinned, into one piece. */
static void test_segments(void **state)
{
	struct frame f = frame_of(IP4("45", "4000", "06") TCP, 200 + 2 * (FRAME_SEGS - 1)), out;
	struct seg rest[FRAME_SEGS - 1], room[FRAME_SEGS + 1];
	static struct gso_piece piece[2];
	uint8_t got[SIZE_MAX_TEST], was[SIZE_MAX_TEST];
	struct gso gso;

	for (unsigned int i = 0; i < ARRAY_SIZE(rest); i++)
		rest[i] = (struct seg){ bytes + 200 + 2 * (size_t)i, 2 };
	f.seg_size = 200;
	f.more = rest;
	f.n_segs = FRAME_SEGS;
	f.flags = FRAME_TSO4;
	f.mss = 1000;
	f.hdr_size = 54;
	f.l3_start = 14;
	f.csum_start = 34;
	assert_true(frame_parse(&f));
	memcpy(was, bytes, f.size);
	memset(piece, 0x5a, sizeof(piece));
	assert_int_equal(flow_pin(&f, pinned, room), FRAME_SEGS);
	assert_true(gso_start(&gso, &f));
	assert_true(gso_next(&gso, &out, piece));
	assert_int_equal(out.n_segs, 1 + ARRAY_SIZE(piece[0].seg));
	assert_int_equal(piece[1].hdr[0], 0x5a);
	frame_read(&out, 54, got, f.size - 54);
	assert_memory_equal(got, was + 54, f.size - 54);
	assert_false(gso_next(&gso, &out, piece));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),     cmocka_unit_test(test_pin),
		cmocka_unit_test(test_pin_plain), cmocka_unit_test(test_offloads),
		cmocka_unit_test(test_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
