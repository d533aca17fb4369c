/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/intake.h"

#include <stdlib.h>
#include <string.h>

#define NS_PER_S    1000000000.0
#define INTERVAL_NS 20000000u
/* A worker that was held up for longer does not let all that in at once. */
#define CATCH_UP_NS 100000000u
/* Nothing came for so long: nobody wants more than there is. */
#define IDLE_NS 1000000000u
/* Who is content with how much is found in rounds. What is not found in so many is off by little, for 20 ms. */
#define ROUNDS 4
#define GROWTH ((double)(2 * 1514 << INTAKE_SHIFT))

/* What the link carries in a time. */
static double amount(const struct intake *in, uint64_t ns)
{
	return (double)in->rate / 8 * (1 << INTAKE_SHIFT) * (double)ns / NS_PER_S;
}

static double part_of(const struct intake_member *m, double amount)
{
	return amount * (double)m->part / SHARE_WHOLE;
}

struct intake *intake_new(uint64_t rate, unsigned int n_members, const struct intake *old,
			  uint64_t now_ns)
{
	size_t size = sizeof(struct intake) + n_members * sizeof(struct intake_member);
	struct intake *in = aligned_alloc(CACHE_LINE, size);
	int64_t left;

	if (in == NULL)
		return NULL;
	memset(in, 0, size);
	atomic_flag_clear(&in->dividing);
	in->rate = rate;
	in->n_members = n_members;
	atomic_init(&in->divided_ns, now_ns);
	left = (int64_t)amount(in, INTERVAL_NS);
	if (old != NULL) {
		/* What is missing is time, whatever the link carries now. */
		int64_t was = atomic_load_explicit(&old->left, memory_order_relaxed);
		int64_t of_old = (int64_t)((double)was * (double)rate / (double)old->rate);

		left = of_old < left ? of_old : left;
	}
	atomic_init(&in->left, left);
	return in;
}

struct intake_member *intake_set(struct intake *in, unsigned int idx, uint64_t part)
{
	struct intake_member *m = &in->member[idx];

	m->intake = in;
	m->part = part;
	/* Until the first time, all may have what there is. */
	atomic_store_explicit(&m->more, (int64_t)amount(in, INTERVAL_NS), memory_order_relaxed);
	return m;
}

/* --- dividing --- */

/* What came for each since, and what its part is of what the link carried. Returns what those who want less leave, and the
 * parts of the others. */
static double begin(struct intake *in, uint64_t ns, uint64_t *parts)
{
	double all = amount(in, ns), spare = 0;

	*parts = 0;
	for (unsigned int i = 0; i < in->n_members; i++) {
		struct intake_member *m = &in->member[i];
		uint64_t wanted = atomic_load_explicit(&m->wanted, memory_order_relaxed);

		m->want = ns < IDLE_NS ? (double)(wanted - m->seen) * (1 << INTAKE_SHIFT) : 0;
		m->seen = wanted;
		m->given = part_of(m, all);
		m->content = m->want <= m->given;
		if (m->content)
			spare += m->given - m->want;
		else
			*parts += m->part;
	}
	return spare;
}

/* Those who want no more than their share of the rest leave it to the others. False: there are none. */
static bool content_some(struct intake *in, double *spare, uint64_t *parts)
{
	double share = *spare / (double)*parts;
	bool any = false;

	for (unsigned int i = 0; i < in->n_members; i++) {
		struct intake_member *m = &in->member[i];

		if (m->content || m->want > m->given + share * (double)m->part)
			continue;
		m->content = any = true;
		*spare -= m->want - m->given;
		*parts -= m->part;
	}
	return any;
}

/* What is left is not saved up; what was taken too much is missing, but for what came in a pause. */
static void give(_Atomic int64_t *left, double given, double in_pause)
{
	int64_t had = atomic_load_explicit(left, memory_order_relaxed), kept = had;

	if ((double)kept + in_pause >= 0)
		kept = 0;
	else
		kept += (int64_t)in_pause;
	/* Others may take meanwhile. */
	atomic_fetch_add_explicit(left, kept - had + (int64_t)given, memory_order_relaxed);
}

/* What a member gets next, of `more` at most beyond its part. Who is content may want a little more the next time: it may take
 * that whether the link has it or not, and those who want all that they can get have the less. Else a sender that gives
 * way to losses would never come to have what is its due. */
static void give_member(struct intake_member *m, double part, double more, double want,
			double in_pause)
{
	double grown = want * 5 / 4 + GROWTH, own = part;

	if (m->content && grown > part)
		own = grown < part + more ? grown : part + more;
	give(&m->own, own, part_of(m, in_pause));
	give(&m->more, part + more - own, in_pause);
}

static void divide(struct intake *in, uint64_t ns)
{
	uint64_t parts, next_ns = ns < IDLE_NS ? ns : INTERVAL_NS;
	double spare = begin(in, ns, &parts), all, scale, in_pause;

	for (unsigned int i = 0; i < ROUNDS && parts != 0; i++)
		if (!content_some(in, &spare, &parts))
			break;
	if (next_ns > CATCH_UP_NS)
		next_ns = CATCH_UP_NS;
	all = amount(in, next_ns);
	scale = (double)next_ns / (double)ns;
	in_pause = amount(in, ns - next_ns);
	give(&in->left, all, in_pause);
	for (unsigned int i = 0; i < in->n_members; i++) {
		struct intake_member *m = &in->member[i];
		double more = all;

		if (parts != 0)
			more = spare * scale * (double)m->part / (double)parts;
		give_member(m, part_of(m, all), more < all ? more : all, m->want * scale, in_pause);
	}
}

static void divide_in_time(struct intake *in, uint64_t now_ns)
{
	uint64_t then = atomic_load_explicit(&in->divided_ns, memory_order_relaxed);

	/* The clock of another worker may be ahead. */
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

/* --- taking --- */

uint32_t intake_police(struct intake_member *m, const uint32_t size[], uint32_t frames,
		       uint64_t now_ns)
{
	int64_t own, more, left, of_own = 0, of_more = 0;
	struct intake *in = m->intake;
	uint64_t wanted = 0;
	uint32_t passed = 0;

	divide_in_time(in, now_ns);
	own = atomic_load_explicit(&m->own, memory_order_relaxed);
	more = atomic_load_explicit(&m->more, memory_order_relaxed);
	left = atomic_load_explicit(&in->left, memory_order_relaxed);
	for (uint32_t rest = frames; rest != 0; rest &= rest - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(rest);
		int64_t takes = (int64_t)size[i] << INTAKE_SHIFT;

		wanted += size[i];
		if (of_own < own)
			of_own += takes;
		else if (of_more < more && of_own + of_more < left)
			of_more += takes;
		else
			continue;
		passed |= 1u << i;
	}
	atomic_fetch_add_explicit(&m->wanted, wanted, memory_order_relaxed);
	if (of_own != 0)
		atomic_fetch_sub_explicit(&m->own, of_own, memory_order_relaxed);
	if (of_more != 0)
		atomic_fetch_sub_explicit(&m->more, of_more, memory_order_relaxed);
	if (of_own + of_more != 0)
		atomic_fetch_sub_explicit(&in->left, of_own + of_more, memory_order_relaxed);
	return passed;
}
