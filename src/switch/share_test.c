/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "frame/frame.h"
#include "switch/share.h"

#define S              1000000000ull
#define RATE           80000000ull /* bit/s: 10 bytes a microsecond */
#define SIZE           1000u
#define SENDERS        8
#define FRAMES_AT_ONCE 4
#define WAIT_MAX       1000000ull /* a worker looks again then (loop.c) */

/* A queue that has frames for the link: as many as `wants` a second, UINT64_MAX for always. */
struct sender {
	struct share_member *member;
	struct share_queue queue;
	uint64_t wants; /* bytes a second */
	uint64_t due;
	uint64_t sent;
	uint8_t in_class[2]; /* of its frames, by turns, a burst each */
	uint8_t lies_about;  /* a class that a few bytes of each burst are of; 0: none */
	unsigned int bursts;
};

static const struct share_classes no_classes = { .n = 1 };
static struct share *share;
static struct sender sender[SENDERS];

static void divide_classes(const struct share_classes *classes, unsigned int n,
			   const unsigned int weight[], uint64_t now)
{
	unsigned int sum = 0;

	for (unsigned int i = 0; i < n; i++)
		sum += weight[i];
	free(share);
	share = share_new(RATE, classes, n, now);
	assert_non_null(share);
	memset(sender, 0, sizeof(sender));
	for (unsigned int i = 0; i < n; i++)
		sender[i] = (struct sender){
			.member = share_set(share, i, (uint64_t)SHARE_WHOLE * weight[i] / sum),
			.wants = UINT64_MAX
		};
}

static void divide(unsigned int n, const unsigned int weight[], uint64_t now)
{
	divide_classes(&no_classes, n, weight, now);
}

static void send_of(struct sender *s, uint64_t bytes, uint64_t now)
{
	struct share_load load = { { 0 } };

	load.bytes[s->in_class[s->bursts++ % 2]] = bytes;
	load.bytes[s->lies_about] += s->lies_about != 0 && bytes > 64 ? 64 : 0;
	share_sent(s->member, &s->queue, &load, now);
	s->sent += bytes;
}

static uint64_t active_in(unsigned int c)
{
	return atomic_load(&share->class[c].clock.active);
}

static int teardown(void **state)
{
	free(share);
	share = NULL;
	return 0;
}

static uint64_t has(const struct sender *s, uint64_t ns)
{
	return s->wants == UINT64_MAX ? UINT64_MAX : s->wants / 1000 * (ns / 1000000) - s->sent;
}

/* A visit, as a worker makes it. */
static void visit(struct sender *s, uint64_t since, uint64_t now)
{
	int64_t may = share_bytes(s->member, &s->queue, now);
	uint64_t n;

	if (may <= 0) {
		uint64_t wait = share_wait(s->member, &s->queue, now);

		s->due = now + (wait < WAIT_MAX ? wait : WAIT_MAX) + 1000;
		return;
	}
	n = (uint64_t)may / SIZE + 1;
	if (n > FRAMES_AT_ONCE)
		n = FRAMES_AT_ONCE;
	if (n > has(s, now - since) / SIZE)
		n = has(s, now - since) / SIZE;
	send_of(s, n * SIZE, now);
}

/* One worker, a round in a microsecond. */
static void run(unsigned int n, uint64_t *now, uint64_t ns)
{
	uint64_t since = *now;

	for (unsigned int i = 0; i < n; i++)
		sender[i].sent = 0;
	for (; *now < since + ns; *now += 1000)
		for (unsigned int i = 0; i < n; i++)
			if (sender[i].due <= *now)
				visit(&sender[i], since, *now);
}

static void assert_near(uint64_t got, double want, double share_of)
{
	if ((double)got < want * (1 - share_of) || (double)got > want * (1 + share_of))
		fail_msg("%llu is not %.0f +- %g %%", (unsigned long long)got, want,
			 share_of * 100);
}

#define ALL (RATE / 8.)

/* Bytes in a second when some want less than their part. */
static void test_parts(void **state)
{
	const uint64_t m = UINT64_MAX;
	/* clang-format off */
	const struct {
		const char *what;
		unsigned int n, weight[4];
		uint64_t wants[4];
		double gets[4]; /* of the link */
	} cases[] = {
		{ "1:2:4",               3, { 1, 2, 4 },    { m, m, m },             { 1 / 7., 2 / 7., 4 / 7. } },
		{ "all alike",           4, { 1, 1, 1, 1 }, { m, m, m, m },          { .25, .25, .25, .25 } },
		{ "one alone",           3, { 1, 2, 4 },    { m, 0, 0 },             { 1, 0, 0 } },
		{ "two of them",         3, { 1, 2, 4 },    { m, 0, m },             { .2, 0, .8 } },
		{ "one wants less",      3, { 1, 2, 4 },    { m, m, 1000000 },       { .3, .6, .1 } },
		{ "two want less",       3, { 1, 2, 4 },    { 500000, 1000000, m },  { .05, .1, .85 } },
		{ "nobody more",         3, { 1, 2, 4 },    { 1000000, 1000000, 3000000 }, { .1, .1, .3 } },
		{ "far apart",           2, { 1, 99 },      { m, m },                { .01, .99 } },
		{ "a small one alone",   2, { 1, 9999 },    { m, 0 },                { 1, 0 } },
	};
	/* clang-format on */
	uint64_t now = 5 * S;

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		uint64_t sum = 0, wanted = 0;

		divide(cases[c].n, cases[c].weight, now);
		for (unsigned int i = 0; i < cases[c].n; i++)
			sender[i].wants = cases[c].wants[i];
		run(cases[c].n, &now, S / 5); /* until it has settled */
		for (unsigned int second = 0; second < 3; second++) {
			run(cases[c].n, &now, S);
			for (unsigned int i = 0; i < cases[c].n; i++) {
				if (cases[c].gets[i] == 0)
					assert_int_equal(sender[i].sent, 0);
				else
					assert_near(sender[i].sent, ALL * cases[c].gets[i], 0.02);
				sum += sender[i].sent;
				wanted |= sender[i].wants == m;
			}
		}
		if (wanted)
			assert_near(sum, 3 * ALL, 0.01);
	}
}

#define PERCENT(n) ((n) * (uint64_t)SHARE_WHOLE / 100)

/* Classes: bytes in a second by what they may and want. */
static void test_classes(void **state)
{
	const uint64_t m = UINT64_MAX;
	/* clang-format off */
	const struct {
		const char *what;
		struct share_classes classes;
		unsigned int n, weight[4];
		uint8_t in_class[4];
		uint64_t wants[4];
		double gets[4]; /* of the link */
	} cases[] = {
		{ "70:30",           { 2, 0, { PERCENT(70), PERCENT(30) } },
		  2, { 1, 1 },       { 0, 1 },       { m, m },             { .7, .3 } },
		{ "whoever sends",   { 2, 0, { PERCENT(70), PERCENT(30) } },
		  2, { 1, 9 },       { 0, 1 },       { m, m },             { .7, .3 } },
		{ "one alone",       { 2, 0, { PERCENT(70), PERCENT(30) } },
		  2, { 1, 1 },       { 0, 1 },       { 0, m },             { 0, 1 } },
		{ "one wants less",  { 3, 0, { PERCENT(50), PERCENT(30), PERCENT(20) } },
		  3, { 1, 1, 1 },    { 0, 1, 2 },    { 2000000, m, m },    { .2, .48, .32 } },
		{ "weights within",  { 2, 0, { PERCENT(50), PERCENT(50) } },
		  3, { 1, 2, 1 },    { 0, 0, 1 },    { m, m, m },          { 1 / 6., 2 / 6., .5 } },
		{ "many in one",     { 2, 0, { PERCENT(80), PERCENT(20) } },
		  4, { 1, 1, 1, 1 }, { 1, 1, 1, 0 }, { m, m, m, m },       { .2 / 3, .2 / 3, .2 / 3, .8 } },
		{ "no share",        { 2, 0, { PERCENT(100), 1 } },
		  2, { 1, 1 },       { 0, 1 },       { 7000000, m },       { .7, .3 } },
		{ "strict",          { 8, 0x80, { 1, 1, 1, 1, 1, 1, 1, 1 } },
		  2, { 1, 1 },       { 7, 0 },       { 3000000, m },       { .3, .7 } },
		{ "strict, then shares", { 3, 0x4, { PERCENT(25), PERCENT(75), 1 } },
		  3, { 1, 1, 1 },    { 2, 0, 1 },    { 2000000, m, m },    { .2, .2, .6 } },
		{ "highest first",   { 8, 0xff, { 1, 1, 1, 1, 1, 1, 1, 1 } },
		  3, { 1, 1, 1 },    { 7, 6, 5 },    { 5000000, 4000000, m }, { .5, .4, .1 } },
		{ "within strict",   { 8, 0xff, { 1, 1, 1, 1, 1, 1, 1, 1 } },
		  2, { 1, 3 },       { 4, 4 },       { m, m },             { .25, .75 } },
	};
	/* clang-format on */
	uint64_t now = 5 * S;

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		print_message("# %s\n", cases[c].what);
		divide_classes(&cases[c].classes, cases[c].n, cases[c].weight, now);
		for (unsigned int i = 0; i < cases[c].n; i++) {
			sender[i].wants = cases[c].wants[i];
			memset(sender[i].in_class, cases[c].in_class[i],
			       sizeof(sender[i].in_class));
		}
		run(cases[c].n, &now, S / 5);
		for (unsigned int second = 0; second < 3; second++) {
			run(cases[c].n, &now, S);
			for (unsigned int i = 0; i < cases[c].n; i++) {
				if (cases[c].gets[i] == 0)
					assert_int_equal(sender[i].sent, 0);
				else
					assert_near(sender[i].sent, ALL * cases[c].gets[i], 0.02);
			}
		}
	}
}

/* While a strict class has frames, others get nothing but the look at a queue's first one. */
static void test_strict_starves(void **state)
{
	const struct share_classes classes = { 8, 0x80, { SHARE_WHOLE, 1, 1, 1, 1, 1, 1, 1 } };
	uint64_t now = 5 * S;

	divide_classes(&classes, 2, (unsigned int[]){ 1, 1 }, now);
	memset(sender[0].in_class, 7, sizeof(sender[0].in_class));
	run(2, &now, S);
	assert_near(sender[0].sent, ALL, 0.02);
	run(2, &now, S);
	assert_int_equal(sender[1].sent, 0);
	sender[0].wants = 0;
	run(2, &now, S);
	assert_near(sender[1].sent, ALL, 0.02);
}

/* A queue with frames of two classes is charged in both, and takes nothing from others that is theirs. */
static void test_mixed(void **state)
{
	const struct share_classes classes = { 2, 0, { PERCENT(50), PERCENT(50) } };
	uint64_t now = 5 * S, sum = 0;

	divide_classes(&classes, 3, (unsigned int[]){ 1, 1, 1 }, now);
	sender[0].in_class[1] = 1;
	memset(sender[2].in_class, 1, sizeof(sender[2].in_class));
	run(3, &now, S);
	run(3, &now, 3 * S);
	for (unsigned int i = 0; i < 3; i++)
		sum += sender[i].sent;
	assert_near(sum, 3 * ALL, 0.01);
	/* Its own frames wait for each other: for its turn in one class it loses that in the other. */
	assert_true((double)sender[0].sent > 3 * ALL * 0.15);
	assert_true((double)sender[1].sent > 3 * ALL * 0.25);
	assert_true((double)sender[2].sent > 3 * ALL * 0.25);
	for (unsigned int i = 0; i < 3; i++)
		share_leave(sender[i].member, &sender[i].queue);
	assert_int_equal(active_in(0), 0);
	assert_int_equal(active_in(1), 0);
	assert_int_equal(atomic_load(&share->clock.active), 0);
}

/* Some bytes of a better class in each burst bring the others no better turn, and cost nobody his part. */
static void test_pretended(void **state)
{
	const struct share_classes ets = { 2, 0, { PERCENT(60), PERCENT(40) } };
	const struct share_classes strict = { 2, 2, { SHARE_WHOLE, 1 } };
	uint64_t now = 5 * S;

	/* Two in class 0, of which one pretends, and an honest one in class 1. */
	divide_classes(&ets, 3, (unsigned int[]){ 1, 1, 1 }, now);
	sender[0].lies_about = 1;
	memset(sender[2].in_class, 1, sizeof(sender[2].in_class));
	run(3, &now, S);
	run(3, &now, S);
	assert_near(sender[0].sent, ALL * 0.3, 0.03);
	assert_near(sender[1].sent, ALL * 0.3, 0.03);
	assert_near(sender[2].sent, ALL * 0.4, 0.03);
	divide_classes(&strict, 2, (unsigned int[]){ 1, 1 }, now);
	sender[0].lies_about = 1;
	run(2, &now, S);
	run(2, &now, S);
	assert_near(sender[0].sent, ALL * 0.5, 0.03);
	assert_near(sender[1].sent, ALL * 0.5, 0.03);
}

/* Two queues of one member have its part together. */
static void test_queues_of_one(void **state)
{
	uint64_t now = 5 * S;

	divide(2, (unsigned int[]){ 1, 1 }, now);
	sender[2] = (struct sender){ .member = sender[1].member, .wants = UINT64_MAX };
	run(3, &now, S);
	assert_near(sender[0].sent, ALL / 2, 0.02);
	assert_near(sender[1].sent + sender[2].sent, ALL / 2, 0.02);
	sender[1].wants = sender[2].wants = 0;
	run(3, &now, S);
	assert_near(sender[0].sent, ALL, 0.03); /* what was left of a full bucket included */
	assert_int_equal(active_in(0), share->member[0].in.part);
	assert_int_equal(atomic_load(&share->member[1].in.n_active), 0);
}

/* Who sends elsewhere, or may not send, has no part; and a new division begins with nobody. */
static void test_leaves(void **state)
{
	struct sender *s = &sender[0];
	uint64_t now = 5 * S;

	divide(2, (unsigned int[]){ 1, 1 }, now);
	send_of(s, 0, now);
	assert_int_equal(active_in(0), 0);
	send_of(s, SIZE, now);
	assert_int_equal(active_in(0), SHARE_WHOLE / 2);
	send_of(s, 0, now);
	share_leave(s->member, &s->queue);
	assert_int_equal(active_in(0), 0);
	send_of(s, SIZE, now);
	free(share);
	share = share_new(RATE, &no_classes, 2, now);
	s->member = share_set(share, 0, SHARE_WHOLE / 2);
	share_leave(s->member, &s->queue);
	assert_int_equal(active_in(0), 0);
	send_of(s, SIZE, now);
	assert_int_equal(active_in(0), SHARE_WHOLE / 2);
}

/* An active member that nobody serves (its worker is held up) stops the others until the link is idle, not for ever. */
static void test_absent(void **state)
{
	uint64_t now = 5 * S;

	divide(2, (unsigned int[]){ 1, 1 }, now);
	run(2, &now, S);
	sender[1].due = UINT64_MAX;
	run(1, &now, S);
	assert_true(sender[0].sent > 0);
}

/* One whose worker was held up for a second comes back, or has nothing to send any more. Either way the parts of all are at
 * once what they should be: what it could not have is over. */
static void test_comes_back(void **state)
{
	const double part[2][3] = { { .1, .4, .5 }, { .2, .8, 0 } };
	uint64_t now = 5 * S;

	for (unsigned int leaves = 0; leaves < 2; leaves++) {
		divide(3, (unsigned int[]){ 1, 4, 5 }, now);
		run(3, &now, S);
		sender[2].due = UINT64_MAX;
		run(3, &now, S);
		sender[2].due = now;
		sender[2].wants = leaves ? 0 : UINT64_MAX;
		run(3, &now, S / 10); /* what is left of a full bucket */
		run(3, &now, S / 5);
		for (unsigned int i = 0; i < 3; i++)
			assert_near(sender[i].sent, ALL / 5 * part[leaves][i], 0.03);
	}
}

/* --- several workers --- */

static _Atomic uint64_t clock_now;
static atomic_bool done;

static void *send_main(void *arg)
{
	struct sender *s = arg;

	while (!atomic_load(&done)) {
		uint64_t before = s->sent;

		visit(s, 0, atomic_load(&clock_now));
		if (s->sent == before)
			sched_yield(); /* whoever has something to do may want this processor */
	}
	return NULL;
}

/* Whatever the order in which they come, the link's rate holds, and the parts do. */
static void test_workers(void **state)
{
	pthread_t thread[3];
	uint64_t sum = 0;

	divide(3, (unsigned int[]){ 1, 2, 4 }, 5 * S);
	atomic_store(&clock_now, 5 * S);
	atomic_store(&done, false);
	/* All want to send from the start, whenever their threads come to run. */
	for (unsigned int i = 0; i < 3; i++)
		send_of(&sender[i], SIZE, 5 * S);
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, send_main, &sender[i]), 0);
	/* A step when the link has nothing left: so it does not matter how fast the machine is. */
	for (unsigned int step = 0; step < 5000; step++) {
		atomic_fetch_add(&clock_now, 200000);
		while (bucket_bytes(&share->gate, atomic_load(&clock_now)) > 0)
			sched_yield();
	}
	atomic_store(&done, true);
	for (unsigned int i = 0; i < 3; i++) {
		pthread_join(thread[i], NULL);
		sum += sender[i].sent;
	}
	assert_near(sum, ALL, 0.02);
	for (unsigned int i = 0; i < 3; i++)
		assert_near(sender[i].sent, ALL * (1u << i) / 7, 0.1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_queues_of_one),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_absent),
		cmocka_unit_test(test_comes_back),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_classes),
		cmocka_unit_test(test_strict_starves),
		cmocka_unit_test(test_mixed),
		cmocka_unit_test_teardown(test_pretended, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}
