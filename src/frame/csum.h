/* SPDX-License-Identifier: BSD-3-Clause */
/* The Internet checksum (RFC 1071) and SCTP's CRC32c (RFC 9260 appendix A). */
#ifndef SOFTIOV_FRAME_CSUM_H
#define SOFTIOV_FRAME_CSUM_H

#include <stdint.h>

#include "base/cpu.h"

/* Adds `size` bytes to a running sum, as if they started at an even offset. Memory order: the sum
 * of bytes in memory, folded, is stored to memory as it is. */
uint64_t csum_add(const uint8_t *bytes, uint32_t size, uint64_t sum);

/* memcpy and csum_add in one pass: each byte is loaded once, and the sum is that of what was written. */
typedef uint64_t csum_copy_fn(uint8_t *restrict dst, const uint8_t *restrict src, uint32_t size,
			      uint64_t sum);
csum_copy_fn csum_copy;

/* Its variants; csum_copy is the one for cpu_level(). What this CPU cannot run is not to be called. */
csum_copy_fn csum_copy_portable, csum_copy_avx2;
csum_copy_fn *csum_copy_at(enum cpu_level level);

static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* Running CRC32c, not inverted: start with ~0, store ~crc little-endian. */
uint32_t crc32c_add(const uint8_t *bytes, uint32_t size, uint32_t crc);

#endif
