/* SPDX-License-Identifier: BSD-3-Clause */
/* The dirty log: which pages of guest memory a device wrote, for whoever migrates the guest.
 *
 * One bit a 4 KiB page, page 0 in bit 0 of byte 0 (QEMU docs/interop/vhost-user.rst, "Migration").
 * The bits lie in memory shared with the reader, who takes and clears them at any time, so a page
 * is marked after it was written: marked before, the reader could clear the bit and copy the page
 * while the write is still to come. Any number of writers. */
#ifndef SOFTIOV_MEM_DIRTY_H
#define SOFTIOV_MEM_DIRTY_H

#include <stdint.h>

#include "base/bits.h"

#define DIRTY_PAGE_SHIFT 12

struct dirty_log {
	uint8_t *bits; /* NULL: nobody wants to know */
	uint64_t size; /* of bits, in bytes */
};

/* Marks the pages of [iova, iova + size). What lies beyond the log is left out: the reader who gave
 * too small a log loses its own guest's pages. */
static inline void dirty_log_mark(const struct dirty_log *log, uint64_t iova, uint64_t size)
{
	uint64_t page = iova >> DIRTY_PAGE_SHIFT;
	uint64_t last = (iova + size - 1) >> DIRTY_PAGE_SHIFT;

	if (size == 0)
		return;
	for (; page <= last && page / 8 < log->size; page++) {
		uint8_t *byte = &log->bits[page / 8];
		uint8_t bit = (uint8_t)(1u << (page % 8));

		if ((__atomic_load_n(byte, __ATOMIC_RELAXED) & bit) == 0)
			__atomic_fetch_or(byte, bit, __ATOMIC_RELEASE);
	}
}

#endif
