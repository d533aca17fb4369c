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

#define QUICK_WINDOW 64 /* bytes of a frame that are looked at */
#define QUICK_BLOCK  16
#define QUICK_KINDS  4 /* of frames that are remembered */
/* Of so many frames that it does not know, it learns from one; of more and more while what it learns is of no use. */
#define QUICK_LEARN_OFTEN  16
#define QUICK_LEARN_SELDOM 1024

/* Untagged frames whose bytes are `value` where `mask` has ones are refused. */
struct quick_kind {
	uint8_t mask[QUICK_WINDOW], value[QUICK_WINDOW];
	uint32_t n_blocks; /* that the mask reaches into; 0: nothing is remembered */
};

/* A worker's. */
struct quick_memory {
	struct quick_kind kind[QUICK_KINDS];
	unsigned int last; /* that a frame was of */
	unsigned int oldest;
	unsigned int n_unknown,
		interval; /* frames since it learned; 0: it never did; until it does */
	bool used;        /* what it learned last */
} __attribute__((aligned(CACHE_LINE)));

struct quick {
	struct quick_memory of[STATS_SLOTS];
	struct bpf_insn insn[];
};

/* The program is copied; it is libpcap's, so well formed, and goes only forward. NULL: no memory. */
struct quick *quick_new(const struct bpf_program *classic);
void quick_free(struct quick *quick); /* accepts NULL */

/* Of the set of frame[], as they lie in memory, those that are not known to be refused. A worker. Frames with a tag in
 * their bytes, or beside them, are among them. */
uint32_t quick_unknown(struct quick *quick, const struct frame *frame, uint32_t frames);

/* The program refuses f, an untagged frame, which was not known. What is remembered are the bytes that were seen, whatever
 * the sender does to them meanwhile. */
void quick_learn(struct quick *quick, const struct frame *f);

#endif
