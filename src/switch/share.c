/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "switch/share.h"

/* Readings are in sixteenths of a byte of the whole link. */
#define BYTE_SHIFT 4
#define SLACK      (1 << BYTE_SHIFT) /* for what rounding takes */

struct share *share_new(uint64_t rate, unsigned int n_members, uint64_t now_ns)
{
	static uint64_t epochs; /* control only */
	size_t size = sizeof(struct share) + n_members * sizeof(struct share_member);
	struct share *s = aligned_alloc(CACHE_LINE, size);

	if (s == NULL)
		return NULL;
	memset(s, 0, size);
	s->epoch = ++epochs;
	bucket_set(&s->gate, rate, 0, now_ns);
	for (unsigned int i = 0; i < n_members; i++)
		s->member[i].share = s;
	return s;
}

/* How far the clock, or a reading, goes when so many bytes are sent by `part`. */
static uint64_t reading_of(uint64_t bytes, uint64_t part)
{
	return (bytes << BYTE_SHIFT) * SHARE_WHOLE / part;
}

static int64_t ahead_of(const struct share_member *m)
{
	uint64_t clock = atomic_load_explicit(&m->share->clock, memory_order_relaxed);

	return (int64_t)(atomic_load_explicit(&m->had, memory_order_relaxed) - clock);
}

static bool is_active(const struct share_member *m)
{
	return atomic_load_explicit(&m->n_active, memory_order_relaxed) != 0;
}

int64_t share_bytes(const struct share_member *m, uint64_t now_ns)
{
	const struct bucket *gate = &m->share->gate;
	int64_t bytes = bucket_bytes(gate, now_ns);

	if (is_active(m) && ahead_of(m) > SLACK && !bucket_is_full(gate, now_ns))
		return 0;
	return bytes;
}

/* Until others have sent what the member is ahead by. What the link's bucket holds they can send at once. */
uint64_t share_wait(const struct share_member *m, uint64_t now_ns)
{
	const struct bucket *gate = &m->share->gate;
	uint64_t wait = bucket_wait(gate, now_ns), others = 0;
	int64_t ahead = ahead_of(m), there = bucket_bytes(gate, now_ns);

	if (ahead > SLACK)
		others = ((uint64_t)ahead >> BYTE_SHIFT) *
			 atomic_load_explicit(&m->share->active, memory_order_relaxed) /
			 SHARE_WHOLE;
	others = others > (uint64_t)there ? bucket_time(gate, others - (uint64_t)there) : 0;
	return wait > others ? wait : others;
}

static void join(struct share_member *m, struct share_queue *q)
{
	struct share *s = m->share;

	q->active = s->epoch;
	if (atomic_fetch_add_explicit(&m->n_active, 1, memory_order_relaxed) != 0)
		return;
	atomic_store_explicit(&m->had, atomic_load_explicit(&s->clock, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_fetch_add_explicit(&s->active, m->part, memory_order_relaxed);
}

void share_leave(struct share_member *m, struct share_queue *q)
{
	struct share *s = m->share;
	uint64_t left;
	int64_t ahead;

	if (q->active != s->epoch)
		return;
	q->active = 0;
	if (atomic_fetch_sub_explicit(&m->n_active, 1, memory_order_relaxed) != 1)
		return;
	ahead = ahead_of(m);
	left = atomic_fetch_sub_explicit(&s->active, m->part, memory_order_relaxed) - m->part;
	if (ahead < 0 && left > 0)
		atomic_fetch_add_explicit(&s->clock, (uint64_t)-ahead * m->part / left,
					  memory_order_relaxed);
}

void share_sent(struct share_member *m, struct share_queue *q, uint64_t bytes, uint64_t now_ns)
{
	struct share *s = m->share;
	uint64_t active;

	if (bytes == 0) {
		share_leave(m, q);
		return;
	}
	if (q->active != s->epoch)
		join(m, q);
	if (bucket_is_full(&s->gate, now_ns))
		atomic_store_explicit(&m->had,
				      atomic_load_explicit(&s->clock, memory_order_relaxed),
				      memory_order_relaxed);
	bucket_take(&s->gate, bytes, now_ns);
	atomic_fetch_add_explicit(&m->had, reading_of(bytes, m->part), memory_order_relaxed);
	/* Another worker that has just made the member active may not have added its part yet. */
	active = atomic_load_explicit(&s->active, memory_order_relaxed);
	atomic_fetch_add_explicit(&s->clock, reading_of(bytes, active < m->part ? m->part : active),
				  memory_order_relaxed);
}
