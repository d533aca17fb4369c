/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "frame/queue.h"
#include "worker/balance.h"

#define NO_QUEUE (~0u)

/* The queue of `from` that evens out the gap best, of two the lighter; NO_QUEUE if none does. */
static unsigned int best_queue(const struct balance_queue *queue, unsigned int n_queues,
			       unsigned int from, unsigned int gap)
{
	unsigned int best = NO_QUEUE, best_left = gap;

	for (unsigned int i = 0; i < n_queues; i++) {
		unsigned int load = queue[i].load, left;

		if (queue[i].worker != from || queue[i].fixed || load < BALANCE_LOAD_MIN ||
		    load + BALANCE_GAIN > gap)
			continue;
		left = 2 * load > gap ? 2 * load - gap : gap - 2 * load;
		if (left < best_left ||
		    (best != NO_QUEUE && left == best_left && load < queue[best].load)) {
			best = i;
			best_left = left;
		}
	}
	return best;
}

/* The fullest worker that is not in `stuck`. */
static unsigned int fullest(const unsigned int *load, const bool *stuck, unsigned int n_workers)
{
	unsigned int best = n_workers;

	for (unsigned int w = 0; w < n_workers; w++)
		if (!stuck[w] && (best == n_workers || load[w] > load[best]))
			best = w;
	return best;
}

static unsigned int emptiest(const unsigned int *load, unsigned int n_workers)
{
	unsigned int best = 0;

	for (unsigned int w = 1; w < n_workers; w++)
		if (load[w] < load[best])
			best = w;
	return best;
}

unsigned int balance_plan(struct balance_queue *queue, unsigned int n_queues,
			  unsigned int n_workers, unsigned int moved[BALANCE_MOVES_MAX])
{
	unsigned int load[WORKERS_MAX] = { 0 }, n = 0;
	bool stuck[WORKERS_MAX] = { false };

	for (unsigned int i = 0; i < n_queues; i++)
		load[queue[i].worker] += queue[i].load;
	while (n < BALANCE_MOVES_MAX) {
		unsigned int from = fullest(load, stuck, n_workers), q;
		unsigned int to = emptiest(load, n_workers);

		if (from == n_workers || load[from] < BALANCE_BUSY ||
		    load[from] - load[to] < BALANCE_GAP)
			break;
		q = best_queue(queue, n_queues, from, load[from] - load[to]);
		if (q == NO_QUEUE) {
			stuck[from] = true;
			continue;
		}
		load[from] -= queue[q].load;
		load[to] += queue[q].load;
		queue[q].worker = to;
		queue[q].fixed = true; /* once in an interval */
		moved[n++] = q;
	}
	return n;
}
