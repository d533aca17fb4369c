/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/intake.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S    1000000000.0
#define INTERVAL_NS 20000000u
#define IDLE_NS     1000000000u /* nothing came for so long: nobody wants more than there is */

struct intake *intake_new(uint64_t rate, unsigned int n_members, uint64_t now_ns)
{
	size_t size = sizeof(struct intake) + n_members * sizeof(struct intake_member);
	struct intake *in = aligned_alloc(CACHE_LINE, size);

	if (in == NULL)
		return NULL;
	memset(in, 0, size);
	atomic_flag_clear(&in->dividing);
	in->rate = rate;
	in->n_members = n_members;
	atomic_init(&in->divided_ns, now_ns);
	bucket_set(&in->link, rate, 0, now_ns);
	return in;
}

static uint64_t guaranteed(const struct intake *in, const struct intake_member *m)
{
	uint64_t rate = (uint64_t)((double)in->rate * (double)m->part / INTAKE_WHOLE);

	return rate > BUCKET_RATE_MIN ? rate : BUCKET_RATE_MIN;
}

struct intake_member *intake_set(struct intake *in, unsigned int idx, uint64_t part,
				 uint64_t now_ns)
{
	struct intake_member *m = &in->member[idx];

	m->intake = in;
	m->part = part;
	bucket_set(&m->cap, guaranteed(in, m), 0, now_ns);
	return m;
}

/* --- dividing --- */

/* What came for each in the time since, and what its part of the link is. Returns what those who want less leave, and
 * the parts of the others. */
static uint64_t begin(struct intake *in, uint64_t ns, uint64_t *parts)
{
	uint64_t room = (uint64_t)((double)in->rate / 8 * (double)ns / NS_PER_S), spare = 0;

	*parts = 0;
	for (unsigned int i = 0; i < in->n_members; i++) {
		struct intake_member *m = &in->member[i];
		uint64_t wanted = atomic_load_explicit(&m->wanted, memory_order_relaxed);

		m->want = ns < IDLE_NS ? wanted - m->seen : 0;
		m->seen = wanted;
		m->given = room * m->part / INTAKE_WHOLE;
		m->content = m->want <= m->given;
		if (m->content)
			spare += m->given - m->want;
		else
			*parts += m->part;
	}
	return spare;
}

/* Has those who want less than their part of the rest take what they want; the rest is for the others. */
static uint64_t content_some(struct intake *in, uint64_t spare, uint64_t *parts)
{
	uint64_t left = spare, left_parts = *parts;

	for (unsigned int i = 0; i < in->n_members; i++) {
		struct intake_member *m = &in->member[i];

		if (m->content || m->want > m->given + spare * m->part / *parts)
			continue;
		m->content = true;
		left -= m->want - m->given;
		left_parts -= m->part;
		m->given = m->want;
	}
	*parts = left_parts;
	return left;
}

static void divide(struct intake *in, uint64_t ns)
{
	uint64_t parts, before, spare = begin(in, ns, &parts);

	for (before = 0; parts != before && parts != 0;) {
		before = parts;
		spare = content_some(in, spare, &parts);
	}
	for (unsigned int i = 0; i < in->n_members; i++) {
		struct intake_member *m = &in->member[i];
		uint64_t least = guaranteed(in, m), rate = in->rate;

		if (parts != 0) {
			if (!m->content)
				m->given += spare * m->part / parts;
			rate = (uint64_t)((double)m->given * 8 / (double)ns * NS_PER_S);
		}
		atomic_store_explicit(&m->more, rate > least, memory_order_relaxed);
		bucket_retune(&m->cap, rate > least ? rate : least);
	}
}

static void divide_in_time(struct intake *in, uint64_t now_ns)
{
	uint64_t then = atomic_load_explicit(&in->divided_ns, memory_order_relaxed);

	if (now_ns < then + INTERVAL_NS ||
	    atomic_flag_test_and_set_explicit(&in->dividing, memory_order_acquire))
		return;
	then = atomic_load_explicit(&in->divided_ns, memory_order_relaxed);
	if (now_ns >= then + INTERVAL_NS) {
		divide(in, now_ns - then);
		atomic_store_explicit(&in->divided_ns, now_ns, memory_order_relaxed);
	}
	atomic_flag_clear_explicit(&in->dividing, memory_order_release);
}

static uint64_t sum_of(const uint32_t size[], uint32_t frames)
{
	uint64_t sum = 0;

	for (; frames != 0; frames &= frames - 1)
		sum += size[__builtin_ctz(frames)];
	return sum;
}

uint32_t intake_police(struct intake_member *m, const uint32_t size[], uint32_t frames,
		       uint64_t now_ns)
{
	struct intake *in = m->intake;

	atomic_fetch_add_explicit(&m->wanted, sum_of(size, frames), memory_order_relaxed);
	divide_in_time(in, now_ns);
	frames = bucket_police(&m->cap, size, frames, now_ns);
	/* Who has its own part only is not refused for what others took of the rest in the last milliseconds. */
	if (atomic_load_explicit(&m->more, memory_order_relaxed))
		return bucket_police(&in->link, size, frames, now_ns);
	bucket_take(&in->link, sum_of(size, frames), now_ns);
	return frames;
}
