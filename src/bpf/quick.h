/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames that a filter refused before: so cheap to tell that each frame that passes can be asked about.
 *
 * A classic program looks at few bytes of a frame before it says no, at other ones for other kinds of frames. Those, and
 * what they were, are remembered: the next frame that has the same bytes there meets the same end, whatever else is in it.
 * So a filter for TCP has UDP of all addresses and ports refused by three bytes. A filter by ports has a kind for each
 * pair of ports of its protocol, more than are remembered: then most frames are for the program to judge.
 */
#ifndef SOFTIOV_BPF_QUICK_H
#define SOFTIOV_BPF_QUICK_H

#include <pcap/pcap.h>

#include "frame/queue.h"

#define QUICK_WINDOW  64 /* bytes of a frame that are looked at */
#define QUICK_BLOCK   16
#define QUICK_KINDS   4  /* of frames that are remembered */
#define QUICK_LEARNER 16 /* of so many frames that it does not know, it learns from one */

/* Frames whose bytes are `value` where `mask` has ones are refused. */
struct quick_kind {
	uint8_t mask[QUICK_WINDOW], value[QUICK_WINDOW];
	uint32_t n_blocks; /* that the mask reaches into; 0: nothing is remembered */
};

/* A worker's. */
struct quick_memory {
	struct quick_kind kind[QUICK_KINDS];
	unsigned int last; /* that a frame was of */
	unsigned int oldest, n_unknown;
} __attribute__((aligned(CACHE_LINE)));

struct quick {
	struct quick_memory of[STATS_SLOTS];
	struct bpf_insn insn[];
};

/* The program is copied; it is libpcap's, so well formed, and goes only forward. NULL: no memory. */
struct quick *quick_new(const struct bpf_program *classic);
void quick_free(struct quick *quick); /* accepts NULL */

/* The program refuses f, which quick_refuses did not know. What is remembered are the bytes that were seen, whatever the
 * sender does to them meanwhile. */
void quick_learn(struct quick *quick, const struct frame *f);

static inline bool quick_is_of(const struct quick_kind *kind, const struct frame *f)
{
	typedef uint64_t block __attribute__((vector_size(QUICK_BLOCK), aligned(1), may_alias));
	block differ = { 0 };

	if (kind->n_blocks == 0 || f->seg_size < kind->n_blocks * QUICK_BLOCK)
		return false;
	for (size_t at = 0; at < kind->n_blocks * (size_t)QUICK_BLOCK; at += QUICK_BLOCK)
		differ |= (*(const block *)(f->va + at) ^ *(const block *)(kind->value + at)) &
			  *(const block *)(kind->mask + at);
	return (differ[0] | differ[1]) == 0;
}

/* A worker. Whether it is known that the program refuses f, as it lies in memory. */
static inline bool quick_refuses(struct quick *quick, const struct frame *f)
{
	struct quick_memory *memory = &quick->of[worker_self];

	if (likely(quick_is_of(&memory->kind[memory->last], f)))
		return true;
	for (unsigned int k = 0; k < QUICK_KINDS; k++)
		if (k != memory->last && quick_is_of(&memory->kind[k], f)) {
			memory->last = k;
			return true;
		}
	return false;
}

#endif
