/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "frame/queue.h"
#include "worker/balance.h"

#define N 12

/* Queues as "worker:load" in percent, `!` after those that are fixed, and the moves that are
 * expected as "queue>worker". */
static const struct {
	const char *name;
	unsigned int n_workers;
	const char *queues, *moves;
} cases[] = {
	{ "nothing at all", 2, "", "" },
	{ "one worker", 1, "0:60 0:40", "" },
	{ "idle", 2, "0:0 0:0 1:0", "" },
	{ "even", 2, "0:50 1:50", "" },
	{ "nearly even", 2, "0:50 0:9 1:40", "" },
	{ "a gap of 20 is one", 2, "0:40 0:10 1:30", "1>1" },
	{ "one heavy queue alone stays", 2, "0:100", "" },
	{ "one heavy queue alone stays beside an idle one", 2, "0:100 0:0 1:0", "" },
	{ "two equal ones: the first goes", 2, "0:50 0:50", "0>1" },
	{ "heavy and light: the light one goes", 2, "0:90 0:10", "1>1" },
	{ "light and heavy: order does not matter", 2, "0:10 0:90", "0>1" },
	{ "one heavy, many light: one move does it", 2, "0:60 0:10 0:10 0:10 0:10", "0>1" },
	{ "the same, heavy pinned: the light go", 2, "0:60! 0:10 0:10 0:10 0:10",
	  "1>1 2>1 3>1 4>1" },
	{ "only pinned ones", 2, "0:50! 0:50!", "" },
	{ "pinned ones count where they are", 2, "1:60! 0:30 0:30", "" },
	{ "full on both", 2, "0:50 0:50 1:50 1:50", "" },
	{ "full on both, one each", 2, "0:100 1:100", "" },
	{ "a queue as large as the gap stays", 2, "0:50 0:50 1:50", "" },
	{ "nearly as large: within the noise", 2, "0:46 0:50 1:46", "" },
	{ "just not: it goes", 2, "0:45 0:50 1:45", "0>1" },
	{ "what keeps up is left alone", 2, "0:12 0:12", "" },
	{ "from 25 on it is not", 2, "0:13 0:12", "1>1" },
	{ "idle queues are not moved about", 2, "0:100 0:0 0:0 1:0 1:0", "" },
	{ "the other way round", 2, "1:50 1:50", "0>0" },
	{ "the emptiest of three gets it", 3, "0:40 0:40 1:20 2:10", "0>2 3>1" },
	{ "ties of workers: lowest from, lowest to", 4, "1:30 1:30 2:30 2:30", "0>0 2>3" },
	{ "one stuck worker does not hold up the next", 3, "0:100 1:45 1:45", "1>2" },
	{ "nor a pinned one", 3, "0:50! 0:50! 1:45 1:45", "2>2" },
	{ "three workers, all on one", 3, "0:30 0:30 0:30", "0>1 1>2" },
	{ "many light ones", 2, "0:8 0:8 0:8 0:8 0:8 0:8 0:8 0:8 0:8 0:8 0:8 0:8",
	  "0>1 1>1 2>1 3>1 4>1" },
};

static unsigned int parse(const char *text, struct balance_queue *queue)
{
	unsigned int n = 0;
	char *end;

	while (*text != '\0') {
		queue[n].worker = (unsigned int)strtoul(text, &end, 10);
		queue[n].load = (unsigned int)strtoul(end + 1, &end, 10) * 100;
		queue[n].fixed = *end == '!';
		text = end + queue[n].fixed;
		text += *text == ' ';
		n++;
	}
	return n;
}

static void test_cases(void **state)
{
	for (size_t c = 0; c < ARRAY_SIZE(cases); c++) {
		struct balance_queue queue[N];
		unsigned int moved[BALANCE_MOVES_MAX], n_queues, n;
		char text[128] = "";
		size_t at = 0;

		n_queues = parse(cases[c].queues, queue);
		n = balance_plan(queue, n_queues, cases[c].n_workers, moved);
		for (unsigned int i = 0; i < n; i++)
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%u>%u",
					       i > 0 ? " " : "", moved[i], queue[moved[i]].worker);
		if (strcmp(text, cases[c].moves) != 0)
			fail_msg("%s: moves are '%s', not '%s'", cases[c].name, text,
				 cases[c].moves);
	}
}

/* 64 light queues on one worker: eight an interval, until there is nothing to gain. */
static void test_many_light(void **state)
{
	struct balance_queue queue[64];
	unsigned int moved[BALANCE_MOVES_MAX], n, sum = 0, rounds = 0, on_1 = 0;

	for (unsigned int i = 0; i < 64; i++)
		queue[i] = (struct balance_queue){ .worker = 0, .load = 150 };
	while ((n = balance_plan(queue, 64, 2, moved)) > 0) {
		assert_true(n <= BALANCE_MOVES_MAX);
		sum += n;
		rounds++;
	}
	for (unsigned int i = 0; i < 64; i++)
		on_1 += queue[i].worker;
	assert_int_equal(on_1, sum);
	assert_true(rounds == 4 && sum >= 25 && sum <= 32);
}

static unsigned int spread(const struct balance_queue *queue, unsigned int n,
			   unsigned int n_workers)
{
	unsigned int load[WORKERS_MAX] = { 0 }, min = ~0u, max = 0;

	for (unsigned int i = 0; i < n; i++)
		load[queue[i].worker] += queue[i].load;
	for (unsigned int w = 0; w < n_workers; w++) {
		min = load[w] < min ? load[w] : min;
		max = load[w] > max ? load[w] : max;
	}
	return max - min;
}

/* With steady loads it comes to rest, never moves what is fixed, and never makes it worse. */
static void test_comes_to_rest(void **state)
{
	srandom(1);
	for (unsigned int round = 0; round < 20000; round++) {
		unsigned int n_workers = 1 + (unsigned int)random() % 6, rest = 0;
		unsigned int n_queues = (unsigned int)random() % (N + 1), moved[BALANCE_MOVES_MAX];
		struct balance_queue queue[N], before[N];
		bool fixed[N] = { false };

		for (unsigned int i = 0; i < n_queues; i++) {
			fixed[i] = random() % 4 == 0;
			queue[i].worker = (unsigned int)random() % n_workers;
			queue[i].load = (unsigned int)random() % 10001 >> random() % 5;
		}
		for (;; rest++) {
			unsigned int was = spread(queue, n_queues, n_workers), n;

			assert_true(rest < 30);
			for (unsigned int i = 0; i < n_queues; i++)
				queue[i].fixed = fixed[i];
			memcpy(before, queue, sizeof(before));
			n = balance_plan(queue, n_queues, n_workers, moved);
			if (n == 0)
				break;
			assert_true(spread(queue, n_queues, n_workers) <= was);
			for (unsigned int i = 0; i < n; i++) {
				assert_false(before[moved[i]].fixed);
				assert_int_not_equal(before[moved[i]].worker,
						     queue[moved[i]].worker);
				assert_true(queue[moved[i]].worker < n_workers);
			}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_many_light),
		cmocka_unit_test(test_comes_to_rest),
	};

	return cmocka_run_group_tests_name("balance", tests, NULL, NULL);
}
