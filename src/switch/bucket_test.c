/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "switch/arbiter.h"
#include "switch/policy.h"

#define S  1000000000ull
#define MS 1000000ull

static struct bucket bucket;

static void assert_near(uint64_t got, double want, double share)
{
	if ((double)got < want * (1 - share) || (double)got > want * (1 + share))
		fail_msg("%llu is not %.0f +- %g %%", (unsigned long long)got, want, share * 100);
}

static double bytes_in(uint64_t rate, uint64_t ns)
{
	return (double)rate / 8 * (double)ns / 1e9;
}

/* One who always has frames of `size`, looked at when bucket_wait says, or `late` after that. Bytes that it was given
 * from *now for so long. */
static uint64_t greedy(uint64_t *now, uint64_t ns, uint32_t size, unsigned int n_max, uint64_t late)
{
	uint64_t end = *now + ns, sum = 0;

	while (*now < end) {
		int64_t bytes = bucket_bytes(&bucket, *now);
		uint64_t n = (uint64_t)bytes / size + 1;

		if (bytes <= 0) {
			*now += bucket_wait(&bucket, *now) + late;
			continue;
		}
		n = n < n_max ? n : n_max;
		bucket_take(&bucket, n * size, *now);
		sum += n * size;
		*now += 100 * n;
	}
	return sum;
}

/* Each second of a minute, at any rate and size, however late the worker is: 2 %, and no drift. */
static void test_exact(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t rate;
		uint32_t size;
		uint64_t late;
		bool each; /* a single second is exact as well: it has many frames */
	} cases[] = {
		{ 8000000,      1514,  0,      true },
		{ 8000000,      64,    50000,  true },
		{ 8000000,      65600, 0,      false },
		{ 40000000,     1514,  5000000, true },
		{ 100000000,    65600, 300000, true },
		{ 1000000000,   1514,  0,      true },
		{ 10000000000,  9014,  2000000, true },
		{ 64000,        1514,  0,      false },
		{ 333333333,    1000,  12345,  true },
	};
	/* clang-format on */

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t now = 77 * S, sum = 0, start;

		bucket_set(&bucket, cases[i].rate, 0, now);
		greedy(&now, S, cases[i].size, BURST_MAX, cases[i].late);
		start = now;
		for (unsigned int s = 0; s < 60; s++) {
			uint64_t from = now, n;

			n = greedy(&now, S, cases[i].size, BURST_MAX, cases[i].late);
			if (cases[i].each)
				assert_near(n, bytes_in(cases[i].rate, now - from), 0.02);
			sum += n;
		}
		assert_near(sum, bytes_in(cases[i].rate, now - start),
			    cases[i].each ? 0.001 : 0.25);
	}
}

static void test_burst(void **state)
{
	uint64_t now = S;

	/* 20 ms by default, at once; then nothing. */
	bucket_set(&bucket, 8000000, 0, now);
	assert_int_equal(bucket_bytes(&bucket, now), 0);
	now += S;
	assert_int_equal(bucket_bytes(&bucket, now), 20000);
	bucket_take(&bucket, 20000, now);
	assert_int_equal(bucket_bytes(&bucket, now), 0);
	assert_true(bucket_wait(&bucket, now) >= MS && bucket_wait(&bucket, now) <= MS + 1);
	/* As deep as it was asked for, and an overdraft is paid back. */
	bucket_set(&bucket, 8000000, 1000000, now);
	now += 10 * S;
	assert_int_equal(bucket_bytes(&bucket, now), 1000000);
	bucket_take(&bucket, 3000000, now);
	assert_int_equal(bucket_bytes(&bucket, now + 2 * S), 0);
	assert_int_equal(bucket_bytes(&bucket, now + 2 * S + MS), 1000);
	/* A new rate forgets old debts. */
	bucket_set(&bucket, 80000000, 0, now);
	assert_int_equal(bucket_bytes(&bucket, now + MS), 10000);
	bucket_set(&bucket, 0, 0, now);
	assert_false(bucket_limits(&bucket));
	/* However slow, nothing overflows. */
	bucket_set(&bucket, BUCKET_RATE_MIN, 0, now);
	bucket_take(&bucket, FRAME_SIZE_MAX, now);
	assert_near(bucket_wait(&bucket, now), FRAME_SIZE_MAX * 8. * MS, 0.001);
	bucket_take(&bucket, (uint64_t)BURST_MAX * FRAME_SIZE_MAX, now);
	assert_true(bucket_wait(&bucket, now) > 3600 * S);
}

static void test_police(void **state)
{
	uint32_t size[4] = { 1000, 1000, 1000, 1000 };
	uint64_t now = S, sum = 0;

	/* Twice as much as may: half of it passes, in each second. */
	bucket_set(&bucket, 8000000, 3000, now);
	now += S;
	assert_int_equal(bucket_police(&bucket, size, 0xf, now), 7);
	assert_int_equal(bucket_police(&bucket, size, 1, now), 0);
	for (unsigned int ms = 0; ms < 1000; ms += 2, now += 2 * MS)
		sum += 1000u *
		       (unsigned int)__builtin_popcount(bucket_police(&bucket, size, 0xf, now));
	assert_near(sum, 1000000, 0.02);
}

/* --- several workers --- */

#define N_WORKERS 4

static atomic_uint_fast64_t taken;
static atomic_bool done;

static void *take_main(void *arg)
{
	const uint64_t *now = arg;

	while (!atomic_load(&done)) {
		if (bucket_bytes(&bucket, __atomic_load_n(now, __ATOMIC_ACQUIRE)) <= 0) {
			sched_yield(); /* whoever has something to do may want this processor */
			continue;
		}
		bucket_take(&bucket, 1000, __atomic_load_n(now, __ATOMIC_ACQUIRE));
		atomic_fetch_add(&taken, 1000);
	}
	return NULL;
}

/* Nothing that one took is forgotten by another: time stands still while each takes what it finds. */
static void test_workers(void **state)
{
	static uint64_t now;
	pthread_t thread[N_WORKERS];
	uint64_t before = 0;

	now = S;
	bucket_set(&bucket, 8000000000, 100000, now);
	atomic_store(&done, false);
	atomic_store(&taken, 0);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_main, &now), 0);
	for (unsigned int step = 0; step < 2000; step++) {
		__atomic_store_n(&now, now + 50000, __ATOMIC_RELEASE); /* 50000 bytes */
		while (bucket_bytes(&bucket, now) > 0)
			sched_yield();
	}
	atomic_store(&done, true);
	for (unsigned int i = 0; i < N_WORKERS; i++)
		pthread_join(thread[i], NULL);
	/* What is overdrawn is overdrawn in the bucket. */
	before = atomic_load(&taken);
	assert_true(before >= 2000ull * 50000);
	assert_int_equal(bucket_bytes(&bucket, now + (before - 2000ull * 50000)), 0);
	assert_int_equal(bucket_bytes(&bucket, now + (before - 2000ull * 50000) + 1000), 1000);
}

/* --- the arbiter --- */

static struct arbiter arbiter;
static struct burst burst;
static struct inspect inspect;
static uint8_t bytes[64 * 1024];

static void frames(unsigned int n, uint32_t size)
{
	burst.n = n;
	for (unsigned int i = 0; i < n; i++)
		burst.frame[i] =
			(struct frame){ .va = bytes, .seg_size = size, .size = size, .n_segs = 1 };
}

static unsigned int room(uint32_t mean_size, uint64_t now)
{
	struct arbiter_queue q = { .mean_size = mean_size };

	return arbiter_room(&arbiter, &q, now);
}

static void test_room(void **state)
{
	struct arbiter_queue q = { 0 };
	uint64_t now = S;

	memset(&arbiter, 0, sizeof(arbiter));
	assert_int_equal(room(0, now), BURST_MAX);
	bucket_set(&arbiter.tx, 8000000, 0, now);
	assert_int_equal(room(0, now), 0);
	/* What 1 ms brings, in frames of the usual size. */
	assert_int_equal(room(100, now + MS), 11);
	assert_int_equal(room(0, now + MS), 1);
	assert_int_equal(room(60000, now + MS), 1);
	assert_int_equal(room(60, now + S), BURST_MAX);
	frames(11, 100);
	arbiter_served(&arbiter, &q, &burst, &(struct share_load){ 0 }, now + MS);
	assert_int_equal(q.mean_size, 100);
	assert_int_equal(arbiter.waited_frames, 0);
	assert_int_equal(room(100, now + MS), 0);
	assert_true(arbiter_wait(&arbiter, &q, now + MS) > MS);
	q.waited = true;
	arbiter_served(&arbiter, &q, &burst, &(struct share_load){ 0 }, now + MS);
	assert_int_equal(arbiter.waited_frames, 11);
	assert_int_equal(arbiter.waited_bytes, 1100);
	assert_false(q.waited);
}

/* A member that waits for its own rate is no active one meanwhile; what it sent elsewhere costs it nothing. */
static void test_member(void **state)
{
	struct share *share = share_new(80000000, &(struct share_classes){ .n = 1 }, 1, 0);
	struct arbiter_queue q = { 0 };
	uint64_t now = S;

	memset(&arbiter, 0, sizeof(arbiter));
	atomic_store(&arbiter.member, share_set(share, 0, SHARE_WHOLE));
	bucket_set(&arbiter.tx, 8000000, 0, 0);
	frames(20, 1000);
	assert_int_equal(arbiter_room(&arbiter, &q, now), 20000 / 1514 + 1);
	arbiter_served(&arbiter, &q, &burst, &(struct share_load){ 0 }, now);
	assert_int_equal(share->class[0].clock.active, 0);
	assert_int_equal(bucket_bytes(&share->gate, now), 200000);
	arbiter_served(&arbiter, &q, &burst, &(struct share_load){ .bytes = { 5000 } }, now);
	assert_int_equal(share->class[0].clock.active, SHARE_WHOLE);
	assert_int_equal(bucket_bytes(&share->gate, now), 195000);
	assert_int_equal(arbiter_room(&arbiter, &q, now), 0);
	assert_int_equal(share->class[0].clock.active, 0);
	assert_true(arbiter_wait(&arbiter, &q, now) > 20 * MS);
	free(share);
}

/* A large send counts as the frames that it becomes. */
static void test_wire_size(void **state)
{
	/* clang-format off */
	static const struct {
		uint32_t size;
		uint16_t flags, mss, hdr_size;
		uint32_t want;
	} cases[] = {
		{ 1514,          0,          0,    0,   1514 },
		{ 54 + 1460,     FRAME_TSO4, 1460, 54,  1514 },
		{ 54 + 1461,     FRAME_TSO4, 1460, 54,  1515 + 54 },
		{ 54 + 14600,    FRAME_TSO4, 1460, 54,  10 * 1514 },
		{ 54 + 14600,    FRAME_TSO4, 0,    54,  54 + 14600 }, /* a guest's nonsense */
		{ 60,            FRAME_TSO6, 1,    60,  60 },
		{ 60,            FRAME_TSO6, 1,    200, 60 },
	};
	/* clang-format on */

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct frame f = { .size = cases[i].size,
					 .flags = cases[i].flags,
					 .mss = cases[i].mss,
					 .hdr_size = cases[i].hdr_size };

		assert_int_equal(frame_wire_size(&f), cases[i].want);
	}
}

static void test_police_in(void **state)
{
	memset(&arbiter, 0, sizeof(arbiter));
	/* A full bucket of 2500 bytes, which then fills too slowly to matter. */
	bucket_set(&arbiter.rx, BUCKET_RATE_MIN, 2500, 0);
	frames(8, 1000);
	inspect_start(&inspect, &burst);
	assert_int_equal(police_in(&inspect, &arbiter, 0xf6), 0x16);
	assert_int_equal(inspect.reason[5], DROP_POLICED);
	assert_int_equal(inspect.reason[7], DROP_POLICED);
	assert_int_equal(arbiter.policed_frames, 3);
	assert_int_equal(arbiter.policed_bytes, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),     cmocka_unit_test(test_burst),
		cmocka_unit_test(test_police),    cmocka_unit_test(test_workers),
		cmocka_unit_test(test_room),      cmocka_unit_test(test_member),
		cmocka_unit_test(test_wire_size), cmocka_unit_test(test_police_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
