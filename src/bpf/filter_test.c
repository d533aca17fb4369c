/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pcap/pcap.h>
#include <rte_eal.h>

#include "base/bits.h"
#include "bpf/filter.h"

/* clang-format off */
/* UDP from 10.0.0.1:1111 to 10.0.0.2:80, with 200 bytes of data */
static uint8_t udp[14 + 28 + 200] = {
	2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0,
	0x45, 0, 0, 228, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	4, 87, 0, 80, 0, 208, 0, 0,
};
static uint8_t tagged[sizeof(udp) + 4];
/* clang-format on */

static const uint8_t tag[] = { 0x81, 0, 0, 5 };

static bool passes(const char *expression, const uint8_t *frame, uint32_t size, uint32_t cut)
{
	const struct seg more[] = { { frame + cut, (size - cut) / 2 },
				    { frame + cut + (size - cut) / 2,
				      size - cut - (size - cut) / 2 } };
	struct bpf_filter *filter;
	struct err err = { 0 };
	bool match;

	if (bpf_filter_new(&filter, expression, &err) < 0)
		fail_msg("%s", err.text);
	match = bpf_filter_match(filter, frame, cut, more, 2);
	bpf_filter_free(filter);
	return match;
}

static void test_matches(void **state)
{
	static const struct {
		const char *expression;
		bool plain, tagged;
	} cases[] = {
		{ "udp port 80", true, false },
		{ "udp port 81", false, false },
		{ "tcp", false, false },
		{ "host 10.0.0.2 and not port 1111", false, false },
		{ "src net 10.0.0.0/24", true, false },
		{ "ether host 02:00:00:00:00:01", true, true },
		{ "vlan 5", false, true },
		{ "vlan 5 and udp dst port 80", false, true },
		{ "vlan 6", false, false },
		{ "len >= 246", false, true },
		{ "ether[241] = 241", true, false }, /* the last byte */
		{ "ether[242] = 0", false, false },  /* behind it */
		{ "udp[207] = 241", true, false },
		{ "udp[8:2] = 0x2a2b", true, false },
		{ "udp[8:4] = 0x2a2b2c2d", true, false },
		{ "vlan and udp[8] = 42", false, true },
		{ "arp or (udp and ip[8] < 65)", true, false },
		{ "udp[8] & 2 != 0", true, false },
		{ "udp[8] & 4 != 0", false, false },
		{ "ether[0] & 1 = 0 and udp[8] & 0x2a = 0x2a", true, false },
		{ "udp[8:2] & 0x2000 != 0", true, false },
	};

	for (unsigned int i = 42; i < sizeof(udp); i++)
		udp[i] = (uint8_t)i;
	memcpy(tagged, udp, 12);
	memcpy(tagged + 12, tag, sizeof(tag));
	memcpy(tagged + 16, udp + 12, sizeof(udp) - 12);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		for (unsigned int cut = 60; cut < sizeof(udp); cut += 45) {
			bool plain = passes(cases[i].expression, udp, sizeof(udp), cut);
			bool in_vlan = passes(cases[i].expression, tagged, sizeof(tagged), cut);

			if (plain != cases[i].plain || in_vlan != cases[i].tagged)
				fail_msg("%s: %d %d", cases[i].expression, plain, in_vlan);
		}
}

/* An offset that the frame says and the expression computes with, also below 0: the bytes that are meant, or none. */
static void test_computed_offsets(void **state)
{
	static const struct {
		const char *expression;
		uint16_t size; /* IP's */
		bool match;
	} cases[] = {
		{ "ip[ip[2:2] - 15] = 1", 0, false },   { "ip[ip[2:2] - 15] = 1", 14, false },
		{ "ip[ip[2:2] - 1] = 241", 228, true }, { "ip[ip[2:2] - 1] = 241", 229, false },
		{ "ip[ip[2:2]] = 1", 65535, false },    { "ip[ip[2:2] - 228] = 0x45", 228, true },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t frame[sizeof(udp)];

		memcpy(frame, udp, sizeof(udp));
		frame[16] = (uint8_t)(cases[i].size >> 8);
		frame[17] = (uint8_t)cases[i].size;
		if (passes(cases[i].expression, frame, sizeof(frame), 60) != cases[i].match)
			fail_msg("%s, %u", cases[i].expression, cases[i].size);
	}
}

/* Common ones are compiled, and DPDK's compiler is right with them (native.h). */
static void test_native(void **state)
{
	static const char *const expressions[] = {
		"tcp port 1",
		"udp dst port 80 and host 10.0.0.1",
		"vlan 5 and udp port 80",
		"host 1.2.3.4 or host 2.3.4.5 or net 9.0.0.0/8 and port 99",
		"ip[2:2] - ip[8] > 100",
		"ip[2:2] / 7 = 5 or ip[8] % 3 = 1",
		"ip6 and ip6[6] = 17",
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(expressions); i++) {
		struct bpf_filter *filter;
		struct err err = { 0 };

		assert_int_equal(bpf_filter_new(&filter, expressions[i], &err), 0);
#if defined(__x86_64__)
		if (filter->native == NULL)
			fail_msg("%s is not compiled", expressions[i]);
#endif
		bpf_filter_free(filter);
	}
}

/* One buffer of more than 64 KiB, as virtio-net takes them. */
static void test_long_head(void **state)
{
	static uint8_t frame[200000];
	static const uint32_t sizes[] = { 65535, 65536, 65537, 131072, sizeof(frame) };
	struct bpf_filter *filter;
	struct err err = { 0 };

	memcpy(frame, udp, sizeof(udp));
	assert_int_equal(bpf_filter_new(&filter, "udp port 80", &err), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct seg more = { frame, 100 };

		assert_true(bpf_filter_match(filter, frame, sizes[i], NULL, 0));
		assert_true(bpf_filter_match(filter, frame, sizes[i], &more, 1));
	}
	bpf_filter_free(filter);
}

/* Frames at random, and what libpcap's own interpreter says of them. */
static void test_as_libpcap(void **state)
{
	static const char *const expressions[] = {
		"tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn",
		"tcp[13] & 2 != 0",
		"ip[0] & 0xf != 5",
		"(ip[0] & 0xf) * 4 > 20 and ip[6:2] & 0x1fff = 0",
		"ip[6] & 0x20 != 0 or ip[6:2] & 0x3fff = 0",
		"tcp[12] >> 4 > 5",
		"tcp[12:1] << 3 & 0x380 = 0x280",
		"ip[2:2] / 7 = 5 or ip[8] % 3 = 1",
		"ip[2:2] - ip[8] > 100",
		"udp[4:2] / ip[9] > 1",
		"ether[14] ^ ether[20] = 7 or ether[5] | 0x10 = 0x13",
		"ether[0:4] & 0x80000001 = 0x80000001",
		"ip[12:4] & 0xff00ff00 = 0x0a000000",
		"port 53 or portrange 1-3",
		"net 10.0.0.0/30 and not icmp",
		"ip6 and ip6[6] = 17",
		"vlan 5 and ip[9] = 17",
		"vlan and tcp port 80",
		"less 60 or greater 150",
		"ether multicast and not ether broadcast",
		"icmp[icmptype] = icmp-echo",
		"-ip[8] + 255 < 100",
		"len - ip[2:2] = 14",
	};
	static const uint8_t types[][2] = { { 8, 0 },       { 8, 0 },    { 8, 0 },
					    { 0x86, 0xdd }, { 0x81, 0 }, { 8, 6 } };
	static const uint8_t protos[] = { 6, 17, 1, 58 };
	unsigned int seed = 1;
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, 262144);

	for (unsigned int i = 0; i < ARRAY_SIZE(expressions); i++) {
		struct bpf_program classic;
		struct bpf_filter *filter;
		struct err err = { 0 };

		if (bpf_filter_new(&filter, expressions[i], &err) < 0)
			fail_msg("%s: %s", expressions[i], err.text);
		assert_int_equal(
			pcap_compile(pcap, &classic, expressions[i], 1, PCAP_NETMASK_UNKNOWN), 0);
		for (unsigned int round = 0; round < 3000; round++) {
			unsigned int size = 60 + (unsigned int)rand_r(&seed) % 140;
			unsigned int cut = 14 + (unsigned int)rand_r(&seed) % (size - 14);
			uint8_t frame[200];
			struct seg more = { frame + cut, size - cut };
			bool match;

			for (unsigned int k = 0; k < size; k++)
				frame[k] = (uint8_t)(rand_r(&seed) % (round % 2 != 0 ? 256 : 4));
			memcpy(frame + 12, types[rand_r(&seed) % ARRAY_SIZE(types)], 2);
			frame[14] = rand_r(&seed) % 3 != 0 ? 0x45 : (uint8_t)rand_r(&seed);
			frame[23] = protos[rand_r(&seed) % ARRAY_SIZE(protos)];
			match = bpf_filter_match(filter, frame, cut, &more, size > cut);
			if (match != (bpf_filter(classic.bf_insns, frame, size, size) != 0))
				fail_msg("%s: round %u", expressions[i], round);
		}
		pcap_freecode(&classic);
		bpf_filter_free(filter);
	}
	pcap_close(pcap);
}

/* More pieces than are looked at, and longer than an mbuf says: no more than no match. */
static void test_odd_frames(void **state)
{
	static uint8_t large[200000];
	struct seg more[100];
	struct bpf_filter *filter;
	struct err err = { 0 };

	assert_int_equal(bpf_filter_new(&filter, "ether[64000] = 0 or ether[65530] = 1", &err), 0);
	large[64000] = large[65530] = 1;
	assert_true(bpf_filter_match(filter, large, 100, &(struct seg){ large + 100, 199900 }, 1));
	large[65530] = 0;
	assert_false(bpf_filter_match(filter, large, 100, &(struct seg){ large + 100, 199900 }, 1));
	for (unsigned int i = 0; i < ARRAY_SIZE(more); i++)
		more[i] = (struct seg){ large, 1 };
	assert_false(bpf_filter_match(filter, large, 100, more, ARRAY_SIZE(more)));
	assert_false(bpf_filter_match(filter, large, 0, NULL, 0));
	bpf_filter_free(filter);
}

static void test_carets(void **state)
{
	static const struct {
		const char *expression, *under, *says;
	} cases[] = {
		/* clang-format off */
		{ "tcp prot 80",
		  "    ^~~~", "syntax error" },
		{ "tcp port",
		  "        ^", "too early" },
		{ "tcp port 80 and (udp",
		  "                    ^", "too early" },
		{ "tcp port 80 and (udp or tpc)",
		  "                        ^~~", "" },
		{ "host 1.2.3.4.5",
		  "     ^~~~~~~~~", "unknown host" },
		{ "udp and port nosuchport",
		  "             ^~~~~~~~~~", "unknown port" },
		{ "ip and",
		  "      ^", "too early" },
		{ "tcp[13] & 2 != 0 foo",
		  "                 ^~~", "" },
		{ "vlan 5 and tcp prt 7",
		  "               ^~~", "" },
		{ "udp )",
		  "    ^", "" },
		{ "len >",
		  "     ^", "too early" },
		{ "gateway foo",
		  "^~~~~~~", "not supported" },
		{ "tcp and udp",
		  "^~~~~~~~~~~", "rejects all" },
		/* A long one is shown in part. */
		{ "ether host 02:00:00:00:00:01 and tcp port 1 or udp and prot 80",
		  "                              ^~~~", "" },
		/* clang-format on */
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct bpf_filter *filter;
		struct err err = { 0 };
		const char *last;

		assert_int_equal(bpf_filter_new(&filter, cases[i].expression, &err), -22);
		last = strrchr(err.text, '\n');
		assert_non_null(last);
		if (strncmp(last, "\n  ", 3) != 0 || strcmp(last + 3, cases[i].under) != 0 ||
		    strstr(err.text, cases[i].says) == NULL)
			fail_msg("%s\n%s", cases[i].expression, err.text);
	}
}

static void test_not_by_bytes(void **state)
{
	struct bpf_filter *filter;
	struct err err = { 0 };

	assert_int_equal(bpf_filter_new(&filter, "inbound and tcp", &err), -22);
	assert_non_null(strstr(err.text, "cannot be done here"));
}

static int start(void **state)
{
	char *argv[] = { "filter_test", "--no-huge",      "-m64",          "--no-shconf",
			 "--no-pci",    "--no-telemetry", "--log-level=4", NULL };

	return rte_eal_init(ARRAY_SIZE(argv) - 1, argv) < 0 ? -1 : 0;
}

static int stop(void **state)
{
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_matches),    cmocka_unit_test(test_computed_offsets),
		cmocka_unit_test(test_native),     cmocka_unit_test(test_long_head),
		cmocka_unit_test(test_as_libpcap), cmocka_unit_test(test_odd_frames),
		cmocka_unit_test(test_carets),     cmocka_unit_test(test_not_by_bytes),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
