/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bits.h"
#include "frame/csum.h"
#include "frame/testref.h"

static uint16_t sum_of(const uint8_t *bytes, uint32_t size, uint64_t start)
{
	return be16toh(csum_fold(csum_add(bytes, size, start)));
}

/* RFC 1071, section 3: the example, whole and in its odd pieces. */
static void test_rfc1071(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };

	assert_int_equal(sum_of(bytes, 8, 0), 0xddf2);
	assert_int_equal(sum_of(bytes, 0, 0), 0);
	assert_int_equal(sum_of(bytes + 2, 1, 0), 0xf200);
	assert_int_equal(sum_of(bytes, 3, 0), 0xf201);
}

static void test_fold(void **state)
{
	/* clang-format off */
	static const struct { uint64_t sum; uint16_t folded; } cases[] = {
		{ 0, 0 }, { 1, 1 }, { 0xffff, 0xffff }, { 0x10000, 1 }, { 0x1ffff, 1 }, { 0x1fffe, 0xffff },
		{ 0xffffffff, 0xffff }, { 0x100000000, 1 }, { 0xffffffffffffffff, 0xffff },
		{ 0xfffffffffffffffe, 0xfffe }, { 0xffff000000000000, 0xffff }, { 0xffffffff00000001, 1 },
	};
	/* clang-format on */
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++)
		if (csum_fold(cases[i].sum) != cases[i].folded)
			fail_msg("case %u: %04x", i, csum_fold(cases[i].sum));
}

static void test_every_size_and_alignment(void **state)
{
	static uint8_t bytes[70000];

	srand(2);
	ref_fill(bytes, sizeof(bytes));
	for (uint32_t size = 0; size < 200; size++)
		for (uint32_t at = 0; at < 17; at++)
			assert_int_equal(sum_of(bytes + at, size, 0), ref_sum(bytes + at, size, 0));
	for (unsigned int i = 0; i < 300; i++) {
		uint32_t at = ref_random(64), size = ref_random(sizeof(bytes) - 64);
		uint32_t even = ref_random(size + 1) & ~1u;

		assert_int_equal(sum_of(bytes + at, size, 0), ref_sum(bytes + at, size, 0));
		/* Going on from a sum of an even number of bytes. */
		assert_int_equal(sum_of(bytes + at + even, size - even,
					csum_add(bytes + at, even, 0)),
				 ref_sum(bytes + at, size, 0));
	}
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(sum_of(bytes, sizeof(bytes), 0), 0xffff);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(sum_of(bytes, sizeof(bytes), 0), 0);
}

static void compare_copy(csum_copy_fn *copy, const uint8_t *src, uint32_t size, uint32_t skew)
{
	/* Exactly as long as what is written, so that ASan sees the byte behind it. */
	uint8_t *room = malloc(size + skew > 0 ? size + skew : 1);
	uint64_t start = (uint64_t)rand();

	assert_non_null(room);
	memset(room, 0xc7, size + skew);
	if (csum_fold(copy(room + skew, src, size, start)) !=
		    csum_fold(csum_add(src, size, start)) ||
	    memcmp(room + skew, src, size) != 0)
		fail_msg("size %u, skew %u", size, skew);
	for (uint32_t i = 0; i < skew; i++)
		assert_int_equal(room[i], 0xc7);
	free(room);
}

/* Each variant that this CPU can run: every size to 4 KiB, every alignment within a vector. */
static void test_copy_variants(void **state)
{
	enum cpu_level max = cpu_level_max();
	static uint8_t bytes[4096 + 64];
	uint8_t *exact;

	srand(4);
	for (unsigned int ones = 0; ones < 2; ones++) {
		if (ones)
			memset(bytes, 0xff, sizeof(bytes));
		else
			ref_fill(bytes, sizeof(bytes));
		for (unsigned int level = 0; level <= max; level++) {
			csum_copy_fn *copy = csum_copy_at((enum cpu_level)level);

			for (uint32_t size = 0; size <= 4096; size++) {
				exact = malloc(size > 0 ? size : 1);
				assert_non_null(exact);
				memcpy(exact, bytes, size);
				compare_copy(copy, exact, size, 0);
				compare_copy(copy, bytes + size % 61, size, size % 59);
				free(exact);
			}
			for (uint32_t at = 0; at < 64; at++)
				for (uint32_t size = 0; size < 300; size++)
					compare_copy(copy, bytes + at, size, (at * 7 + size) % 64);
		}
	}
	for (uint32_t size = 0; size < 1000; size++)
		compare_copy(csum_copy, bytes, size, 0);
}

/* RFC 3720, appendix B.4, and the check value of the CRC catalogue. */
static void test_crc32c_vectors(void **state)
{
	uint8_t bytes[32];

	assert_int_equal(~crc32c_add((const uint8_t *)"123456789", 9, ~0u), 0xe3069283);
	assert_int_equal(~crc32c_add(NULL, 0, ~0u), 0);
	memset(bytes, 0, 32);
	assert_int_equal(~crc32c_add(bytes, 32, ~0u), 0x8a9136aa);
	memset(bytes, 0xff, 32);
	assert_int_equal(~crc32c_add(bytes, 32, ~0u), 0x62a8ab43);
	for (unsigned int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(~crc32c_add(bytes, 32, ~0u), 0x46dd794e);
	for (unsigned int i = 0; i < 32; i++)
		bytes[i] = (uint8_t)(31 - i);
	assert_int_equal(~crc32c_add(bytes, 32, ~0u), 0x113fdb5c);
}

static void test_crc32c_pieces(void **state)
{
	uint8_t bytes[300];

	srand(3);
	ref_fill(bytes, sizeof(bytes));
	for (unsigned int i = 0; i < 2000; i++) {
		uint32_t at = ref_random(16), size = ref_random(280), cut = ref_random(size + 1);
		uint32_t crc = crc32c_add(bytes + at, cut, ~0u);

		assert_int_equal(crc32c_add(bytes + at + cut, size - cut, crc),
				 ref_crc32c(bytes + at, size, ~0u));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc1071),
		cmocka_unit_test(test_fold),
		cmocka_unit_test(test_every_size_and_alignment),
		cmocka_unit_test(test_copy_variants),
		cmocka_unit_test(test_crc32c_vectors),
		cmocka_unit_test(test_crc32c_pieces),
	};

	return cmocka_run_group_tests_name("csum", tests, NULL, NULL);
}
