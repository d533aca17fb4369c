/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "switch/arbiter.h"
#include "switch/policy.h"

#define S          1000000000ull
#define MS         1000000ull
#define MBIT       1000000ull
#define MEMBERS    4
#define FRAME      1000u
#define PERCENT(n) (SHARE_WHOLE * (n) / 100)

static struct intake *in;
static uint64_t now, got[MEMBERS];

static int setup(void **state)
{
	now = 5 * S;
	in = intake_new(80 * MBIT, MEMBERS, NULL, now);
	return in == NULL;
}

static int teardown(void **state)
{
	free(in);
	return 0;
}

static void set(const unsigned int percent[MEMBERS])
{
	for (unsigned int i = 0; i < MEMBERS; i++)
		intake_set(in, i, PERCENT(percent[i]));
}

static uint32_t offer(unsigned int i, unsigned int n)
{
	static const uint32_t size[32] = { [0 ... 31] = FRAME };

	return (uint32_t)__builtin_popcount(
		intake_police(&in->member[i], size, n < 32 ? (1u << n) - 1 : ~0u, now));
}

/* So many Mbit/s for each, for so long; got[]: Mbit/s that passed. */
static void run(const unsigned int mbit[MEMBERS], uint64_t ns)
{
	uint64_t bytes[MEMBERS] = { 0 }, offered[MEMBERS] = { 0 };

	for (uint64_t end = now + ns, t = 0; now < end; now += MS / 4, t += MS / 4)
		for (unsigned int i = 0; i < MEMBERS; i++) {
			uint64_t due = mbit[i] * MBIT / 8 * t / S / FRAME;
			unsigned int n = (unsigned int)(due - offered[i]);

			if (n == 0)
				continue;
			assert_true(n <= 32);
			offered[i] = due;
			bytes[i] += (uint64_t)offer(i, n) * FRAME;
		}
	for (unsigned int i = 0; i < MEMBERS; i++)
		got[i] = bytes[i] * 8 * S / ns;
}

static void assert_got(unsigned int i, double mbit)
{
	double g = (double)got[i] / (double)MBIT;

	if (g < mbit * 0.98 - 0.1 || g > mbit * 1.02 + 0.1)
		fail_msg("member %u got %.2f Mbit/s, not %.2f", i, g, mbit);
}

/* A second, when all has settled. */
static void expect(const unsigned int percent[MEMBERS], const unsigned int mbit[MEMBERS],
		   const double expected[MEMBERS])
{
	set(percent);
	run(mbit, S / 5);
	run(mbit, S);
	for (unsigned int i = 0; i < MEMBERS; i++)
		assert_got(i, expected[i]);
}

static void test_divided(void **state)
{
	/* clang-format off */
	static const struct {
		unsigned int percent[MEMBERS], mbit[MEMBERS];
		double expected[MEMBERS];
	} cases[] = {
		/* All want more than there is. */
		{ { 10, 20, 30, 40 }, { 100, 100, 100, 100 }, { 8, 16, 24, 32 } },
		{ { 25, 25, 25, 25 }, { 100, 200, 300, 400 }, { 20, 20, 20, 20 } },
		/* One leaves some of its part, or all: to the others, in proportion. */
		{ { 10, 20, 30, 40 }, { 100, 100, 100, 14 }, { 11, 22, 33, 14 } },
		{ { 10, 20, 30, 40 }, { 100, 100, 100, 0 }, { 80.0 / 6, 160.0 / 6, 240.0 / 6, 0 } },
		/* One wants less than its part of what is left. */
		{ { 10, 20, 30, 40 }, { 100, 17, 100, 0 }, { 63.0 / 4, 17, 63.0 * 3 / 4, 0 } },
		{ { 10, 20, 30, 40 }, { 10, 17, 100, 0 }, { 10, 17, 53, 0 } },
		/* Nobody wants more than there is. */
		{ { 10, 20, 30, 40 }, { 60, 10, 0, 5 }, { 60, 10, 0, 5 } },
		{ { 10, 20, 30, 40 }, { 79, 0, 0, 0 }, { 79, 0, 0, 0 } },
		/* Alone. */
		{ { 1, 33, 33, 33 }, { 200, 0, 0, 0 }, { 80, 0, 0, 0 } },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		expect(cases[i].percent, cases[i].mbit, cases[i].expected);
}

/* Who comes when others have the link has its part at once, though they are served before it, and gives it back. */
static void test_comes_and_goes(void **state)
{
	static const unsigned int percent[] = { 10, 10, 30, 50 }, others[] = { 100, 100, 100, 0 },
				  all[] = { 100, 100, 100, 100 };

	set(percent);
	for (unsigned int turn = 0; turn < 3; turn++) {
		run(others, S / 5);
		run(others, S / 2);
		assert_got(2, 48);
		run(all, S / 20);
		if (got[3] < 38 * MBIT)
			fail_msg("%llu Mbit/s at once", (unsigned long long)(got[3] / MBIT));
		run(all, S);
		assert_got(3, 40);
		assert_got(2, 24);
	}
}

/* What others took too much of the rest is not taken from who has its own part only. */
static void test_own_part_first(void **state)
{
	static const unsigned int percent[] = { 10, 10, 30, 50 }, others[] = { 100, 100, 100, 0 };

	set(percent);
	run(others, S / 5);
	while (offer(0, 32) > 0)
		;
	atomic_store(&in->left, -1);
	assert_int_equal(offer(0, 1), 0);
	assert_int_equal(offer(3, 1), 1);
}

/* Next to nothing is promised to it, so a frame is more than it has in seconds; and it gets all that others leave. */
static void test_small_part(void **state)
{
	static const unsigned int percent[] = { 1, 33, 33, 33 }, all[] = { 100, 100, 100, 100 },
				  alone[] = { 100, 0, 0, 0 };

	set(percent);
	intake_set(in, 0, 1);
	run(all, S / 5);
	run(all, S);
	assert_true(got[0] < MBIT / 10);
	run(alone, S / 20);
	run(alone, S);
	assert_got(0, 80);
}

/* A sender that is slower for each frame that it loses, beside one that does not care, each with a tenth: it gets more than
 * half of the 40 Mbit/s that are its due. */
static void test_who_gives_way(void **state)
{
	static const unsigned int percent[] = { 10, 10, 40, 40 };
	unsigned int window = 10, frames = 0;

	set(percent);
	for (unsigned int trip = 0; trip < 1000; trip++) { /* of 10 ms */
		unsigned int lost = 0;

		for (unsigned int step = 0; step < 40; step++, now += MS / 4) {
			unsigned int n = window * (step + 1) / 40 - window * step / 40;

			offer(1, 6);
			lost += n - offer(0, n);
		}
		frames += window - lost;
		window = lost > 0 ? window / 2 + 1 : window + 1;
	}
	got[0] = (uint64_t)frames * FRAME * 8 / 10;
	if (got[0] < 20 * MBIT)
		fail_msg("%.1f Mbit/s", (double)got[0] / (double)MBIT);
}

/* After a pause of one worker, and when parts are given anew, no more passes than the link carries in such a time. */
static void test_stalls(void **state)
{
	static const unsigned int percent[] = { 10, 20, 30, 40 }, all[] = { 100, 100, 100, 100 };
	uint64_t sum = 0, start;
	struct intake *old;

	set(percent);
	run(all, S);
	start = now;
	now += S / 2;
	for (unsigned int i = 0; i < MEMBERS; i++)
		for (unsigned int n = 0; n < 100; n++)
			sum += (uint64_t)offer(i, 32) * FRAME;
	assert_true(sum * 8 <= 2 * 80 * MBIT / 10);
	for (start = now, sum = 0; now < start + S; now += MS) {
		old = in;
		in = intake_new(80 * MBIT, MEMBERS, old, now);
		assert_non_null(in);
		free(old);
		set(percent);
		for (unsigned int i = 0; i < MEMBERS; i++)
			sum += (uint64_t)offer(i, 32) * FRAME;
	}
	assert_true(sum * 8 <= 80 * MBIT * 13 / 10);
}

/* In any second no more passes than the link carries, and in a busy one no less. */
static void test_whole(void **state)
{
	static const unsigned int percent[] = { 70, 10, 10, 10 };
	unsigned int mbit[MEMBERS], seed = 1;

	set(percent);
	for (unsigned int turn = 0; turn < 50; turn++) {
		uint64_t sum = 0;

		for (unsigned int i = 0; i < MEMBERS; i++) {
			seed = seed * 1103515245 + 12345;
			mbit[i] = 30 + (seed >> 16) % 100;
		}
		run(mbit, S);
		for (unsigned int i = 0; i < MEMBERS; i++)
			sum += got[i];
		assert_true(sum <= 80 * MBIT * 102 / 100 && sum >= 80 * MBIT * 98 / 100);
		assert_true(got[0] >= (mbit[0] < 56 ? mbit[0] : 56) * MBIT * 97 / 100);
	}
}

/* After hours without a frame nothing is left of what was; and the first ones pass. */
static void test_idle(void **state)
{
	static const unsigned int percent[] = { 1, 33, 33, 33 }, all[] = { 100, 100, 100, 100 },
				  one[] = { 60, 0, 0, 0 };

	set(percent);
	run(all, S);
	for (unsigned int i = 0; i < 5; i++) {
		now += 10000 * S;
		run(one, S / 5);
		assert_got(0, 60);
	}
}

/* Frames as ports' policies see them. */
static struct burst burst;
static struct inspect inspect;
static struct arbiter arbiter[MEMBERS];

static void begin_burst(unsigned int n, bool from_uplink)
{
	burst.n = n;
	for (unsigned int i = 0; i < n; i++)
		burst.frame[i] = (struct frame){ .size = FRAME };
	inspect_start(&inspect, &burst);
	inspect.from_uplink = from_uplink;
	inspect.now_ns = now;
}

/* Of a second's flooded frames each counts once, whoever gets it; what a VM of the host sends does not count. */
static void test_flooded(void **state)
{
	static const unsigned int percent[] = { 25, 25, 25, 25 };
	unsigned int lost = 0;

	set(percent);
	memset(arbiter, 0, sizeof(arbiter));
	for (unsigned int i = 0; i < MEMBERS; i++)
		atomic_store(&arbiter[i].intake, &in->member[i]);
	for (uint64_t end = now + S; now < end; now += MS) {
		begin_burst(8, true); /* 64 Mbit/s, for four */
		for (unsigned int i = 0; i < MEMBERS; i++)
			lost += police_in(&inspect, &arbiter[i], 0xff) != 0xff;
		begin_burst(32, false);
		for (unsigned int i = 0; i < MEMBERS; i++)
			assert_int_equal(police_in(&inspect, &arbiter[i], ~0u), ~0u);
	}
	assert_int_equal(lost, 0);
}

/* What the link does not bring is not taken from what the VM may receive of its neighbours. */
static void test_with_max_rx(void **state)
{
	static const unsigned int percent[] = { 10, 30, 30, 30 };
	uint64_t outside = 0, inside = 0;
	struct arbiter *a = &arbiter[0];

	set(percent);
	memset(arbiter, 0, sizeof(arbiter));
	atomic_store(&a->intake, &in->member[0]);
	bucket_set(&a->rx, 40 * MBIT, 0, now);
	for (uint64_t end = now + S; now < end; now += MS) {
		for (unsigned int i = 1; i < MEMBERS; i++)
			offer(i, 32);
		begin_burst(32, true);
		outside += (uint64_t)__builtin_popcount(police_in(&inspect, a, ~0u));
		begin_burst(2, false); /* 16 Mbit/s */
		inside += (uint64_t)__builtin_popcount(police_in(&inspect, a, 3));
	}
	assert_true(inside >= 1990); /* the bucket is empty at first */
	got[0] = outside * FRAME * 8;
	if (got[0] < 75 * MBIT / 10 || got[0] > 12 * MBIT)
		fail_msg("%.1f Mbit/s", (double)got[0] / (double)MBIT);
	assert_int_equal(atomic_load(&a->policed_frames), 34000 - outside - inside);
}

#define N_WORKERS 4

static _Atomic uint64_t ticks, passed[MEMBERS];
static uint64_t start_ns;

/* All workers bring frames for all members, by a clock that all of them move. */
static void *worker(void *arg)
{
	static const uint32_t size[32] = { [0 ... 31] = FRAME };

	for (;;) {
		uint64_t t = atomic_fetch_add(&ticks, 1);

		if (t >= 100000)
			return NULL;
		for (unsigned int i = 0; i < MEMBERS; i++)
			atomic_fetch_add(&passed[i], (uint64_t)__builtin_popcount(intake_police(
							     &in->member[i], size, 3,
							     start_ns + t * S / 50000)));
	}
}

/* 2 s of 40 times what the link carries, by several workers at once. */
static void test_workers(void **state)
{
	static const unsigned int percent[] = { 10, 20, 30, 40 };
	pthread_t thread[N_WORKERS];

	start_ns = now;
	set(percent);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, worker, NULL), 0);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned int i = 0; i < MEMBERS; i++) {
		got[i] = atomic_load(&passed[i]) * FRAME * 8 / 2;
		assert_got(i, 0.8 * percent[i]);
	}
}

int main(void)
{
#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_divided),    TEST(test_comes_and_goes), TEST(test_own_part_first),
		TEST(test_small_part), TEST(test_who_gives_way),  TEST(test_stalls),
		TEST(test_flooded),    TEST(test_with_max_rx),    TEST(test_whole),
		TEST(test_idle),       TEST(test_workers),
	};

	return cmocka_run_group_tests_name("intake", tests, NULL, NULL);
}
