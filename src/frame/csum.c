/* SPDX-License-Identifier: BSD-3-Clause */
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
