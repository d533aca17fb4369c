/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdatomic.h>
#include <string.h>

#include "base/bits.h"
#include "frame/csum.h"

uint64_t csum_add(const uint8_t *bytes, uint32_t size, uint64_t sum)
{
	uint32_t n_words = size / 4;
	uint32_t word;
	uint16_t half;

	/* 32-bit words into a 64-bit sum need no carry handling for 2^32 words; the compiler makes
	 * vector code of this loop. */
	for (uint32_t i = 0; i < n_words; i++) {
		memcpy(&word, bytes + 4 * (size_t)i, sizeof(word));
		sum += word;
	}
	bytes += 4 * (size_t)n_words;
	if ((size & 2) != 0) {
		memcpy(&half, bytes, sizeof(half));
		sum += half;
		bytes += 2;
	}
	if ((size & 1) != 0) {
		half = 0;
		memcpy(&half, bytes, 1);
		sum += half;
	}
	return sum;
}

/* Below this many bytes the portable loop is as fast. */
#define WIDE_SIZE_MIN 64

static csum_copy_fn copy_first;
static _Atomic(csum_copy_fn *) copy_wide = copy_first;

/* The first call chooses. Whoever comes meanwhile chooses the same. */
static uint64_t copy_first(uint8_t *restrict dst, const uint8_t *restrict src, uint32_t size,
			   uint64_t sum)
{
	csum_copy_fn *copy = csum_copy_at(cpu_level());

	atomic_store_explicit(&copy_wide, copy, memory_order_relaxed);
	return copy(dst, src, size, sum);
}

csum_copy_fn *csum_copy_at(enum cpu_level level)
{
#if defined(__x86_64__)
	static csum_copy_fn *const variants[CPU_LEVELS] = { csum_copy_portable, csum_copy_avx2 };

	return variants[level];
#else
	return csum_copy_portable;
#endif
}

uint64_t csum_copy(uint8_t *restrict dst, const uint8_t *restrict src, uint32_t size, uint64_t sum)
{
	if (size < WIDE_SIZE_MIN)
		return csum_copy_portable(dst, src, size, sum);
	return atomic_load_explicit(&copy_wide, memory_order_relaxed)(dst, src, size, sum);
}

uint64_t csum_copy_portable(uint8_t *restrict dst, const uint8_t *restrict src, uint32_t size,
			    uint64_t sum)
{
	uint32_t n_words = size / 4;

	/* Vectors, as above. */
	for (uint32_t i = 0; i < n_words; i++) {
		uint32_t word;

		memcpy(&word, src + 4 * (size_t)i, sizeof(word));
		memcpy(dst + 4 * (size_t)i, &word, sizeof(word));
		sum += word;
	}
	for (uint32_t i = 4 * n_words; i < size; i++) {
		uint8_t byte = src[i];

		dst[i] = byte;
		/* Memory order: the byte at an even offset is the first of a 16-bit word. */
		sum += htobe16((uint16_t)(i & 1 ? byte : byte << 8));
	}
	return sum;
}

/* One byte, bit by bit, with the reflected polynomial 0x1EDC6F41: the portable twin. */
static inline uint32_t crc32c_byte(uint32_t crc, uint8_t byte)
{
#if defined(__SSE4_2__)
	return __builtin_ia32_crc32qi(crc, byte);
#else
	crc ^= byte;
	for (int i = 0; i < 8; i++)
		crc = (crc >> 1) ^ (0x82f63b78u & -(crc & 1));
	return crc;
#endif
}

uint32_t crc32c_add(const uint8_t *bytes, uint32_t size, uint32_t crc)
{
#if defined(__SSE4_2__)
	for (; size >= 8; size -= 8, bytes += 8) {
		uint64_t word;

		memcpy(&word, bytes, sizeof(word));
		crc = (uint32_t)__builtin_ia32_crc32di(crc, word);
	}
#endif
	for (; size > 0; size--, bytes++)
		crc = crc32c_byte(crc, *bytes);
	return crc;
}
