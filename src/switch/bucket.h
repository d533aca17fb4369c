/* SPDX-License-Identifier: BSD-3-Clause */
/* Token buckets: how much may pass, at a rate, in the long run exactly.
 *
 * A bucket is the time at which it is empty (the theoretical arrival time of ITU-T I.371, Annex A): what is
 * taken moves that time on, and the tokens are the time between it and now. So there is nothing to refill,
 * rounding does not add up, and several workers share a bucket by one atomic exchange a burst.
 *
 * It may be overdrawn: whoever finds any token may take more than there is, and the next one waits until that
 * is paid back. A frame's size is not known before it is taken, and a large send is longer than the bucket
 * of a slow vport is deep.
 *
 * The clock is the caller's, in nanoseconds; it may be some microseconds behind that of another worker.
 * Control sets; any worker takes.
 */
#ifndef SOFTIOV_SWITCH_BUCKET_H
#define SOFTIOV_SWITCH_BUCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BUCKET_RATE_MIN 1000 /* bit/s */

/* Zeroed: without limit. Times are in sixteenths of a nanosecond. */
struct bucket {
	_Atomic uint64_t empty; /* the time at which it is, or was, empty */
	_Atomic uint64_t cost;  /* of a byte, << BUCKET_COST_SHIFT; 0: no limit */
	_Atomic uint64_t depth; /* so much time's tokens it holds */
};
#define BUCKET_TIME_SHIFT 4
#define BUCKET_COST_SHIFT 16

/* rate in bit/s, 0: no limit; burst in bytes, 0: what 20 ms bring, so that a second after a pause has 2 % more than
 * any other. From now on it is empty. */
void bucket_set(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns);

static inline bool bucket_limits(const struct bucket *b)
{
	return atomic_load_explicit(&b->cost, memory_order_relaxed) != 0;
}

/* Bytes that may be taken; 0 or less: none. Not for a bucket without limit. */
int64_t bucket_bytes(const struct bucket *b, uint64_t now_ns);
/* It holds as much as it can. */
bool bucket_is_full(const struct bucket *b, uint64_t now_ns);
/* In how many nanoseconds so many bytes' tokens come. */
uint64_t bucket_time(const struct bucket *b, uint64_t bytes);
/* Takes them, whether they are there or not. */
void bucket_take(struct bucket *b, uint64_t bytes, uint64_t now_ns);
/* After how many nanoseconds it is worth while to look again: when there is what 1 ms brings, or 64 KiB if that
 * is less, so that who waits is not woken for each frame. */
uint64_t bucket_wait(const struct bucket *b, uint64_t now_ns);

/* What was taken and is not needed. */
void bucket_give_back(struct bucket *b, uint64_t bytes);

/* Of the frames of a set (bit i: the one with size[i]) those that pass: in order, each that finds a token. */
uint32_t bucket_police(struct bucket *b, const uint32_t size[], uint32_t frames, uint64_t now_ns);

#endif
