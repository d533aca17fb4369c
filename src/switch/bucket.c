/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/bucket.h"

#define NS_PER_S      1000000000ull
#define BURST_NS      20000000ull
#define PORTION_NS    1000000ull
#define PORTION_BYTES 65536ull

static uint64_t time_of(uint64_t ns)
{
	return ns << BUCKET_TIME_SHIFT;
}

/* The time in which so many bytes' tokens come. */
static uint64_t cost_of(uint64_t cost, uint64_t bytes)
{
	uint64_t t;

	if (__builtin_mul_overflow(cost, bytes, &t))
		t = UINT64_MAX;
	return t >> BUCKET_COST_SHIFT;
}

void bucket_set(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	uint64_t cost = 0, depth = time_of(BURST_NS);

	if (rate != 0)
		cost = ((8 * NS_PER_S) << (BUCKET_TIME_SHIFT + BUCKET_COST_SHIFT)) / rate;
	if (burst != 0)
		depth = cost_of(cost, burst);
	atomic_store_explicit(&b->depth, depth, memory_order_relaxed);
	atomic_store_explicit(&b->empty, time_of(now_ns), memory_order_relaxed);
	atomic_store_explicit(&b->cost, cost, memory_order_relaxed);
}

/* When a bucket that is full now was empty; or else `empty`. */
static uint64_t empty_since(const struct bucket *b, uint64_t empty, uint64_t now)
{
	uint64_t depth = atomic_load_explicit(&b->depth, memory_order_relaxed);

	return empty + depth < now ? now - depth : empty;
}

int64_t bucket_bytes(const struct bucket *b, uint64_t now_ns)
{
	uint64_t cost = atomic_load_explicit(&b->cost, memory_order_relaxed);
	uint64_t empty = atomic_load_explicit(&b->empty, memory_order_relaxed);
	uint64_t now = time_of(now_ns);

	if (empty >= now || cost == 0)
		return 0;
	return (int64_t)(((now - empty_since(b, empty, now)) << BUCKET_COST_SHIFT) / cost);
}

bool bucket_is_full(const struct bucket *b, uint64_t now_ns)
{
	return atomic_load_explicit(&b->empty, memory_order_relaxed) +
		       atomic_load_explicit(&b->depth, memory_order_relaxed) <=
	       time_of(now_ns);
}

uint64_t bucket_time(const struct bucket *b, uint64_t bytes)
{
	return cost_of(atomic_load_explicit(&b->cost, memory_order_relaxed), bytes) >>
	       BUCKET_TIME_SHIFT;
}

void bucket_take(struct bucket *b, uint64_t bytes, uint64_t now_ns)
{
	uint64_t paid = cost_of(atomic_load_explicit(&b->cost, memory_order_relaxed), bytes);
	uint64_t empty = atomic_load_explicit(&b->empty, memory_order_relaxed);

	while (!atomic_compare_exchange_weak_explicit(&b->empty, &empty,
						      empty_since(b, empty, time_of(now_ns)) + paid,
						      memory_order_relaxed, memory_order_relaxed))
		;
}

void bucket_give_back(struct bucket *b, uint64_t bytes)
{
	uint64_t cost = atomic_load_explicit(&b->cost, memory_order_relaxed);

	atomic_fetch_sub_explicit(&b->empty, cost_of(cost, bytes), memory_order_relaxed);
}

uint64_t bucket_wait(const struct bucket *b, uint64_t now_ns)
{
	uint64_t cost = atomic_load_explicit(&b->cost, memory_order_relaxed);
	uint64_t empty = atomic_load_explicit(&b->empty, memory_order_relaxed);
	uint64_t depth = atomic_load_explicit(&b->depth, memory_order_relaxed);
	uint64_t portion = cost_of(cost, PORTION_BYTES), now = time_of(now_ns);

	if (portion > time_of(PORTION_NS))
		portion = time_of(PORTION_NS);
	if (portion > depth / 2)
		portion = depth / 2;
	empty += portion;
	return empty > now ? ((empty - now) >> BUCKET_TIME_SHIFT) + 1 : 0;
}

uint32_t bucket_police(struct bucket *b, const uint32_t size[], uint32_t frames, uint64_t now_ns)
{
	uint64_t cost = atomic_load_explicit(&b->cost, memory_order_relaxed);
	uint64_t empty = atomic_load_explicit(&b->empty, memory_order_relaxed);
	uint64_t now = time_of(now_ns), after;
	uint32_t passed;

	do {
		after = empty_since(b, empty, now);
		passed = 0;
		for (uint32_t left = frames; left != 0 && after < now; left &= left - 1) {
			after += cost_of(cost, size[__builtin_ctz(left)]);
			passed |= left & -left;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&b->empty, &empty, after, memory_order_relaxed, memory_order_relaxed));
	return passed;
}
