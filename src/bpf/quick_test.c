/* SPDX-License-Identifier: BSD-3-Clause */
/* Against libpcap's interpreter: what is refused does not match, and what can be told early is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/quick.h"
#include "bpf/where.h"

#define SIZE   200
#define FRAMES 32
#define ROUNDS 400

static uint8_t bytes[FRAMES][SIZE];
static struct frame frame[FRAMES];

/* As filters do: those of the set that are not refused; what the program refuses it may learn. */
static uint32_t not_refused(struct quick *quick, const struct bpf_program *program, uint32_t frames)
{
	uint32_t left = quick_unknown(quick, frame, frames);

	for (unsigned int i = 0; i < FRAMES; i++) {
		const struct frame *f = &frame[i];

		if ((left & BIT(i)) != 0 &&
		    bpf_filter(program->bf_insns, f->va, f->size, f->size) == 0)
			quick_learn(quick, f);
	}
	return left;
}

static struct bpf_program compile(const char *expression)
{
	struct bpf_program program;
	struct err err = { 0 };

	if (where_compile(expression, &program, &err) < 0)
		fail_msg("%s: %s", expression, err.text);
	return program;
}

/* IPv4 or IPv6 with TCP, UDP or ICMP, options, fragments, tags; or nothing of it. Few values of each, so that kinds come
 * again. */
static void make_frame(unsigned int i, unsigned int *seed)
{
	static const uint16_t types[] = { 0x0800, 0x0800, 0x0800, 0x86dd, 0x0806, 0x8100 };
	static const uint8_t protos[] = { 6, 17, 1, 58, 132 };
	uint8_t *b = bytes[i];
	uint32_t at = 12, ihl = rand_r(seed) % 8 == 0 ? 6 : 5;
	uint16_t type = types[rand_r(seed) % 6];

	memset(b, 0, SIZE);
	for (unsigned int k = 0; k < 12; k++)
		b[k] = (uint8_t)(rand_r(seed) % 2);
	store_be16(b + at, type);
	at += 2;
	if (type == 0x8100) {
		store_be16(b + at, (uint16_t)(rand_r(seed) % 3));
		store_be16(b + at + 2, 0x0800);
		at += 4;
		type = 0x0800;
	}
	if (type == 0x0800) {
		b[at] = (uint8_t)(0x40 | ihl);
		b[at + 7] = rand_r(seed) % 6 == 0;
		b[at + 9] = protos[rand_r(seed) % 5];
		b[at + 15] = (uint8_t)(rand_r(seed) % 3);
		b[at + 19] = (uint8_t)(rand_r(seed) % 3);
		b[at + 12] = b[at + 16] = 10;
		at += ihl * 4;
	} else if (type == 0x86dd) {
		b[at] = 0x60;
		b[at + 6] = protos[rand_r(seed) % 5];
		b[at + 23] = (uint8_t)(rand_r(seed) % 3);
		at += 40;
	}
	store_be16(b + at, (uint16_t)(rand_r(seed) % 3));
	store_be16(b + at + 2, (uint16_t)(78 + rand_r(seed) % 3));
	frame[i] = (struct frame){ .va = b, .n_segs = 1 };
	frame[i].seg_size = rand_r(seed) % 4 == 0 ? 14 + (uint32_t)rand_r(seed) % 60 : SIZE;
	frame[i].size = frame[i].seg_size;
}

static void test_random(void **state)
{
	static const char *const expressions[] = {
		"tcp port 1",
		"udp and dst port 80",
		"host 10.0.0.1",
		"ip6",
		"icmp or arp",
		"not tcp",
		"vlan 1 and tcp port 80",
		"vlan and host 10.0.0.2",
		"tcp[tcpflags] & tcp-syn != 0",
		"ether host 00:00:00:00:00:01",
		"len > 60",
		"ip[8] + ip[9] > 100",
		"ip[2:2] * 2 > 9",
		"portrange 78-79",
		"ether[150] = 0",
		"udp[8] = 0 or tcp[20] = 0",
		"less 10",
	};
	unsigned int seed = 7, refused = 0;

	for (unsigned int e = 0; e < ARRAY_SIZE(expressions); e++) {
		struct bpf_program program = compile(expressions[e]);
		struct quick *quick = quick_new(&program);

		assert_non_null(quick);
		for (unsigned int round = 0; round < ROUNDS; round++) {
			uint32_t asked = (uint32_t)rand_r(&seed) | (uint32_t)rand_r(&seed) << 8,
				 may;

			for (unsigned int i = 0; i < FRAMES; i++)
				make_frame(i, &seed);
			may = not_refused(quick, &program, asked);
			assert_int_equal(may & ~asked, 0);
			for (unsigned int i = 0; i < FRAMES; i++) {
				bool no = (asked & ~may & BIT(i)) != 0;

				refused += no;
				if (no && bpf_filter(program.bf_insns, frame[i].va, frame[i].size,
						     frame[i].size) != 0)
					fail_msg("%s: a frame that matches is refused",
						 expressions[e]);
			}
		}
		quick_free(quick);
		pcap_freecode(&program);
	}
	assert_true(refused > ARRAY_SIZE(expressions) * ROUNDS * FRAMES / 8);
}

/* UDP over IPv4 from `n_ports` ports. */
static void make_udp(unsigned int n_ports)
{
	unsigned int seed = 3;

	for (unsigned int i = 0; i < FRAMES; i++) {
		make_frame(i, &seed);
		frame[i].seg_size = frame[i].size = SIZE;
		memset(bytes[i] + 12, 0, SIZE - 12);
		store_be16(bytes[i] + 12, 0x0800);
		bytes[i][14] = 0x45;
		bytes[i][23] = 17;
		store_be16(bytes[i] + 34, (uint16_t)(1000 + i % n_ports));
	}
}

/* Frames that differ where the program does not look are of one kind. */
static void test_kinds(void **state)
{
	static const char *const expressions[] = { "tcp port 1", "ip6 and tcp", "host 10.9.9.9",
						   "vlan 7", "ether[40] = 77" };

	for (unsigned int e = 0; e < ARRAY_SIZE(expressions); e++) {
		struct bpf_program program = compile(expressions[e]);
		struct quick *quick = quick_new(&program);

		make_udp(FRAMES);
		assert_int_equal(not_refused(quick, &program, ~0u), ~0u); /* it learns from one */
		assert_int_equal(not_refused(quick, &program, ~0u), 0);
		/* Tags may be made something else of. */
		frame[7].flags = FRAME_TAGGED;
		assert_int_equal(not_refused(quick, &program, ~0u), BIT(7));
		frame[7].flags = 0;
		/* A piece that is too short to tell. */
		frame[5].seg_size = frame[5].size = 30;
		assert_int_equal(not_refused(quick, &program, ~0u) & ~BIT(5), 0);
		quick_free(quick);
		pcap_freecode(&program);
	}
}

/* As many kinds as are remembered are learned in the end, and one that matches never is. */
static void test_learning(void **state)
{
	struct bpf_program program = compile("udp port 5");
	struct quick *quick = quick_new(&program);

	make_udp(QUICK_KINDS - 1);
	store_be16(bytes[9] + 36, 5);
	for (unsigned int i = 0; i < 100; i++)
		assert_true((not_refused(quick, &program, ~0u) & BIT(9)) != 0);
	assert_int_equal(not_refused(quick, &program, ~0u), BIT(9));
	quick_free(quick);
	pcap_freecode(&program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_learning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
