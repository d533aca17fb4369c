/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "switch/share.h"

/* Readings are in sixteenths of a byte of the whole link. */
#define BYTE_SHIFT 4
#define SLACK      (1 << BYTE_SHIFT) /* for what rounding takes */
/* What is remembered of who was ahead: the largest burst is 32 large sends. Older readings mean nothing. */
#define AHEAD_BYTES_MAX (1ull << 23)
/* What those before it may be sending, at once, when a class of lower rank waits for them. */
#define TURN_BYTES 16384

struct share *share_new(uint64_t rate, const struct share_classes *classes, unsigned int n_members,
			uint64_t now_ns)
{
	static uint64_t epochs; /* control only */
	unsigned int n = n_members * classes->n;
	size_t size = sizeof(struct share) + n * sizeof(struct share_member);
	struct share *s = aligned_alloc(CACHE_LINE, size);

	if (s == NULL)
		return NULL;
	memset(s, 0, size);
	s->epoch = ++epochs;
	s->n_classes = classes->n;
	s->strict = classes->strict;
	bucket_set(&s->gate, rate, 0, now_ns);
	for (unsigned int i = 0; i < n; i++)
		s->member[i].share = s;
	for (unsigned int c = 0; c < classes->n; c++) {
		struct share_class *class = &s->class[c];

		class->strict = (classes->strict >> c & 1) != 0;
		class->in.part = classes->part[c];
		class->before = class->strict ? classes->strict & (uint8_t) ~((2u << c) - 1)
					      : classes->strict;
	}
	return s;
}

struct share_member *share_set(struct share *s, unsigned int idx, uint64_t part)
{
	struct share_member *m = &s->member[(size_t)idx * s->n_classes];

	for (unsigned int c = 0; c < s->n_classes; c++)
		m[c].in.part = part;
	return m;
}

/* --- one division --- */

static uint64_t now_of(const struct share_clock *clock)
{
	return atomic_load_explicit(&clock->now, memory_order_relaxed);
}

/* How far the clock, or a reading, goes when so many bytes are sent by `part`. */
static uint64_t reading_of(uint64_t bytes, uint64_t part)
{
	return (bytes << BYTE_SHIFT) * SHARE_WHOLE / part;
}

static uint64_t had_of(const struct share_part *p, const struct share_clock *clock)
{
	uint64_t had = atomic_load_explicit(&p->had, memory_order_relaxed);
	uint64_t idle = atomic_load_explicit(&clock->idle, memory_order_relaxed);

	return (int64_t)(had - idle) < 0 ? idle : had;
}

static int64_t ahead_of(const struct share_part *p, const struct share_clock *clock)
{
	return (int64_t)(had_of(p, clock) - now_of(clock));
}

static bool is_active(const struct share_part *p)
{
	return atomic_load_explicit(&p->n_active, memory_order_relaxed) != 0;
}

static bool is_ahead(const struct share_part *p, const struct share_clock *clock)
{
	/* Who is alone is not: what rounding takes from a small part adds up, and nobody would give it back. */
	return is_active(p) && ahead_of(p, clock) > SLACK &&
	       atomic_load_explicit(&clock->active, memory_order_relaxed) != p->part;
}

/* What the others have to send until it is no longer ahead. */
static uint64_t bytes_ahead(const struct share_part *p, const struct share_clock *clock)
{
	int64_t ahead = ahead_of(p, clock);

	if (ahead <= SLACK)
		return 0;
	return ((uint64_t)ahead >> BYTE_SHIFT) *
	       atomic_load_explicit(&clock->active, memory_order_relaxed) / SHARE_WHOLE;
}

static void start_anew(struct share_part *p, const struct share_clock *clock)
{
	atomic_store_explicit(&p->had, now_of(clock), memory_order_relaxed);
}

/* True: it was not active before. */
static bool join(struct share_part *p, struct share_clock *clock)
{
	int64_t ahead;

	if (atomic_fetch_add_explicit(&p->n_active, 1, memory_order_relaxed) != 0)
		return false;
	ahead = ahead_of(p, clock);
	if (ahead < 0 || (uint64_t)ahead > reading_of(AHEAD_BYTES_MAX, p->part))
		start_anew(p, clock);
	atomic_fetch_add_explicit(&clock->active, p->part, memory_order_relaxed);
	return true;
}

/* True: it is not active any more. `empty`: it has no frames left, else its next ones are another's turn. */
static bool leave(struct share_part *p, struct share_clock *clock, bool empty)
{
	uint64_t left;
	int64_t ahead;

	if (atomic_fetch_sub_explicit(&p->n_active, 1, memory_order_relaxed) != 1)
		return false;
	ahead = ahead_of(p, clock);
	left = atomic_fetch_sub_explicit(&clock->active, p->part, memory_order_relaxed) - p->part;
	if (ahead < 0 && left > 0)
		atomic_fetch_add_explicit(&clock->now, (uint64_t)-ahead * p->part / left,
					  memory_order_relaxed);
	if (ahead > 0 && empty)
		start_anew(p, clock);
	return true;
}

static void charge(struct share_part *p, struct share_clock *clock, uint64_t bytes, bool full)
{
	uint64_t had = atomic_load_explicit(&p->had, memory_order_relaxed);
	uint64_t least = had_of(p, clock), active;

	if (full) {
		start_anew(p, clock);
		atomic_store_explicit(&clock->idle, now_of(clock), memory_order_relaxed);
	} else if (had != least) {
		atomic_compare_exchange_strong_explicit(&p->had, &had, least, memory_order_relaxed,
							memory_order_relaxed);
	}
	atomic_fetch_add_explicit(&p->had, reading_of(bytes, p->part), memory_order_relaxed);
	/* Another worker that has just made it active may not have added its part yet. */
	active = atomic_load_explicit(&clock->active, memory_order_relaxed);
	atomic_fetch_add_explicit(&clock->now,
				  reading_of(bytes, active < p->part ? p->part : active),
				  memory_order_relaxed);
}

/* --- classes and members --- */

static bool has_classes(const struct share *s)
{
	return s->n_classes > 1;
}

/* The class that the queue is taken to be of. */
static unsigned int class_of(const struct share *s, const struct share_queue *q)
{
	return q->active == s->epoch ? q->in_class : 0;
}

static bool is_any_active(const struct share *s, unsigned int classes)
{
	for (unsigned int left = classes; left != 0; left &= left - 1)
		if (is_active(&s->class[__builtin_ctz(left)].in))
			return true;
	return false;
}

static void class_join(struct share *s, struct share_class *class)
{
	if (class->strict)
		atomic_fetch_add_explicit(&class->in.n_active, 1, memory_order_relaxed);
	else
		join(&class->in, &s->clock);
}

static void class_leave(struct share *s, struct share_class *class, bool empty)
{
	if (class->strict)
		atomic_fetch_sub_explicit(&class->in.n_active, 1, memory_order_relaxed);
	else
		leave(&class->in, &s->clock, empty);
}

static void member_join(struct share_member *m, unsigned int c)
{
	struct share *s = m->share;

	if (join(&m[c].in, &s->class[c].clock) && has_classes(s))
		class_join(s, &s->class[c]);
}

static void member_leave(struct share_member *m, unsigned int c, bool empty)
{
	struct share *s = m->share;

	if (leave(&m[c].in, &s->class[c].clock, empty) && has_classes(s))
		class_leave(s, &s->class[c], empty);
}

static void member_charge(struct share_member *m, unsigned int c, uint64_t bytes, bool full)
{
	struct share *s = m->share;

	charge(&m[c].in, &s->class[c].clock, bytes, full);
	if (has_classes(s) && !s->class[c].strict)
		charge(&s->class[c].in, &s->clock, bytes, full);
}

/* --- what workers ask --- */

int64_t share_bytes(const struct share_member *m, const struct share_queue *q, uint64_t now_ns)
{
	const struct share *s = m->share;
	unsigned int c = class_of(s, q);
	const struct share_class *class = &s->class[c];
	int64_t bytes = bucket_bytes(&s->gate, now_ns);

	if (bytes <= 0 || bucket_is_full(&s->gate, now_ns))
		return bytes;
	if (has_classes(s) && q->active != s->epoch)
		return is_any_active(s, s->strict) ? 1 : bytes;
	if (is_ahead(&m[c].in, &class->clock) ||
	    (has_classes(s) && (is_any_active(s, class->before) ||
				(!class->strict && is_ahead(&class->in, &s->clock)))))
		return 0;
	return bytes;
}

/* Until others have sent what the member is ahead by. What the link's bucket holds they can send at once. */
uint64_t share_wait(const struct share_member *m, const struct share_queue *q, uint64_t now_ns)
{
	const struct share *s = m->share;
	unsigned int c = class_of(s, q);
	const struct share_class *class = &s->class[c];
	uint64_t wait = bucket_wait(&s->gate, now_ns), of_class = 0;
	uint64_t others = bytes_ahead(&m[c].in, &class->clock);
	int64_t there = bucket_bytes(&s->gate, now_ns);

	if (has_classes(s) && is_any_active(s, class->before))
		others += TURN_BYTES + (uint64_t)there;
	else if (has_classes(s) && !class->strict)
		of_class = bytes_ahead(&class->in, &s->clock);
	others = others > of_class ? others : of_class;
	others = others > (uint64_t)there ? bucket_time(&s->gate, others - (uint64_t)there) : 0;
	return wait > others ? wait : others;
}

void share_leave(struct share_member *m, struct share_queue *q)
{
	if (q->active != m->share->epoch)
		return;
	q->active = 0;
	member_leave(m, q->in_class, true);
}

static void become_active(struct share_member *m, struct share_queue *q, unsigned int c)
{
	if (q->active == m->share->epoch && q->in_class == c)
		return;
	if (q->active == m->share->epoch)
		member_leave(m, q->in_class, false);
	q->active = m->share->epoch;
	q->in_class = (uint8_t)c;
	member_join(m, c);
}

void share_sent(struct share_member *m, struct share_queue *q, const struct share_load *load,
		uint64_t now_ns)
{
	struct share *s = m->share;
	bool full = bucket_is_full(&s->gate, now_ns);
	uint64_t bytes[SHARE_CLASSES] = { 0 }, sum = 0;
	unsigned int most = 0;

	/* Classes that have just come, or gone, may not be this division's. */
	for (unsigned int c = 0; c < SHARE_CLASSES; c++) {
		bytes[c < s->n_classes ? c : 0] += load->bytes[c];
		sum += load->bytes[c];
	}
	if (sum == 0) {
		share_leave(m, q);
		return;
	}
	for (unsigned int c = 1; c < s->n_classes; c++)
		if (bytes[c] > bytes[most])
			most = c;
	bucket_take(&s->gate, sum, now_ns);
	become_active(m, q, most);
	member_charge(m, most, sum, full);
}
