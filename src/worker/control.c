/* SPDX-License-Identifier: BSD-3-Clause */
/* Control's side: workers and the queues that each one serves. */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "base/clock.h"
#include "worker/balance.h"
#include "worker/internal.h"

#define REST_INTERVALS 5 /* before a queue that was moved may be moved again */

int workers_start(struct workers **workers, const struct worker_options *options,
		  unsigned int *bad_cpu)
{
	struct workers *all;
	int ret = 0;

	*bad_cpu = 0;
	if (options->n_cpus == 0 || options->n_cpus > WORKERS_MAX)
		return -EINVAL;
	all = calloc(1, sizeof(*all));
	if (all == NULL)
		return -ENOMEM;
	all->idle_us = options->idle_us;
	all->thread_start = options->thread_start;
	TAILQ_INIT(&all->queues);
	all->tick_cycles = clock_cycles();
	all->cycles_per_us = clock_hz() / 1000000;
	for (unsigned int i = 0; i < options->n_cpus; i++) {
		struct worker *w = worker_new(all, i, options->cpu[i]);

		*bad_cpu = options->cpu[i];
		ret = w == NULL ? -ENOMEM : worker_spawn(w);
		if (ret < 0) {
			worker_free(w);
			workers_stop(all);
			return ret;
		}
		all->worker[all->n++] = w;
	}
	*workers = all;
	return ret;
}

static void queue_free(struct workers *workers, struct queue *q)
{
	atomic_store_explicit(&q->entry.txq->doorbell, NULL, memory_order_release);
	TAILQ_REMOVE(&workers->queues, q, next);
	workers->n_queues--;
	free(q);
}

void workers_stop(struct workers *workers)
{
	struct queue *q, *next;

	if (workers == NULL)
		return;
	atomic_store(&workers->stop, true);
	for (unsigned int i = 0; i < workers->n; i++) {
		doorbell_ring(&workers->worker[i]->doorbell);
		pthread_join(workers->worker[i]->thread, NULL);
		worker_free(workers->worker[i]);
	}
	for (q = TAILQ_FIRST(&workers->queues); q != NULL; q = next) {
		next = TAILQ_NEXT(q, next);
		queue_free(workers, q);
	}
	free(workers);
}

/* --- lists of queues --- */

/* A list of those queues that are to be on the worker. NULL without memory. */
static struct poll_list *list_of(const struct workers *workers, unsigned int worker)
{
	struct poll_list *list;
	struct queue *q;

	list = calloc(1, sizeof(*list) + 2ul * workers->n_queues * sizeof(list->entry[0]));
	if (list == NULL)
		return NULL;
	list->waiting = list->entry + workers->n_queues;
	TAILQ_FOREACH(q, &workers->queues, next)
		if (q->worker == worker)
			list->entry[list->n++] = q->entry;
	return list;
}

/* The worker follows `list`; on return it does not know the one before any more. */
static void list_publish(struct worker *w, struct poll_list *list)
{
	struct poll_list *old;

	for (unsigned int i = 0; i < list->n; i++)
		atomic_store_explicit(&list->entry[i].txq->doorbell, &w->doorbell,
				      memory_order_release);
	list->n_all = list->n_hot = list->n;
	old = atomic_exchange(&w->list, list);
	doorbell_ring(&w->doorbell);
	worker_quiesce(w->all);
	free(old);
}

static struct queue *queue_of(const struct workers *workers, const struct txq *txq)
{
	struct queue *q;

	TAILQ_FOREACH(q, &workers->queues, next)
		if (q->entry.txq == txq)
			return q;
	return NULL;
}

static unsigned int n_queues_on(const struct workers *workers, unsigned int worker)
{
	return atomic_load(&workers->worker[worker]->list)->n_all;
}

static unsigned int fewest_queues(const struct workers *workers)
{
	unsigned int best = 0;

	for (unsigned int i = 1; i < workers->n; i++)
		if (n_queues_on(workers, i) < n_queues_on(workers, best))
			best = i;
	return best;
}

/* Of a port's endpoints one carries the traffic, VF or synthetic: their queues belong together. Otherwise
 * the worker with the fewest. */
static unsigned int worker_for(const struct workers *workers, const struct poll_entry *entry)
{
	struct queue *q;

	TAILQ_FOREACH(q, &workers->queues, next)
		if (q->entry.sw == entry->sw && q->entry.port == entry->port &&
		    q->entry.txq->idx == entry->txq->idx)
			return q->worker;
	return fewest_queues(workers);
}

static int queue_add(struct workers *workers, const struct poll_entry *entry)
{
	struct queue *q = aligned_alloc(CACHE_LINE, sizeof(*q));
	struct poll_list *list;

	if (q == NULL)
		return -ENOMEM;
	memset(q, 0, sizeof(*q));
	q->entry = *entry;
	q->entry.service = &q->service;
	q->worker = worker_for(workers, entry);
	TAILQ_INSERT_TAIL(&workers->queues, q, next);
	workers->n_queues++;
	list = list_of(workers, q->worker);
	if (list == NULL) {
		queue_free(workers, q);
		return -ENOMEM;
	}
	list_publish(workers->worker[q->worker], list);
	return 0;
}

int workers_add(struct workers *workers, struct endpoint *ep, struct vswitch *sw, uint16_t port)
{
	for (unsigned int i = 0; i < ep->n_txq; i++) {
		const struct poll_entry e = { .txq = ep->txq[i], .sw = sw, .port = port };
		int ret = queue_add(workers, &e);

		if (ret < 0) {
			workers_del(workers, ep);
			return ret;
		}
	}
	return 0;
}

#define NO_WORKER WORKERS_MAX

void workers_del(struct workers *workers, const struct endpoint *ep)
{
	bool touched[WORKERS_MAX] = { false };
	struct queue *q, *next;

	TAILQ_FOREACH(q, &workers->queues, next) {
		if (q->entry.txq->endpoint != ep)
			continue;
		touched[q->worker] = true;
		q->worker = NO_WORKER;
	}
	for (unsigned int i = 0; i < workers->n; i++) {
		struct poll_list *list = NULL;

		/* Nothing can be done without this: the queue's memory is about to go. */
		while (touched[i] && (list = list_of(workers, i)) == NULL)
			sched_yield();
		if (list != NULL)
			list_publish(workers->worker[i], list);
	}
	for (q = TAILQ_FIRST(&workers->queues); q != NULL; q = next) {
		next = TAILQ_NEXT(q, next);
		if (q->worker == NO_WORKER)
			queue_free(workers, q);
	}
}

void workers_limit(struct workers *workers, const struct endpoint *ep, struct arbiter *arbiter)
{
	struct queue *q;

	TAILQ_FOREACH(q, &workers->queues, next)
		if (q->entry.txq->endpoint == ep)
			atomic_store_explicit(&q->service.arbiter, arbiter, memory_order_release);
}

/* --- moving --- */

/* The new worker starts only after the old one has passed a quiescent point, so it finds the queue
 * between two bursts: each descriptor is served once, and in order. What the old worker wrote there
 * is visible to the new one by the wait. */
static int queue_move(struct workers *workers, struct queue *q, unsigned int to)
{
	unsigned int from = q->worker;
	struct poll_list *without, *with;

	q->worker = to;
	without = list_of(workers, from);
	with = list_of(workers, to);
	if (without == NULL || with == NULL) {
		q->worker = from;
		free(without);
		free(with);
		return -ENOMEM;
	}
	list_publish(workers->worker[from], without);
	list_publish(workers->worker[to], with);
	q->moves++;
	q->rest = REST_INTERVALS;
	return 0;
}

int workers_pin(struct workers *workers, const struct txq *txq, unsigned int worker)
{
	struct queue *q = queue_of(workers, txq);
	int ret = 0;

	if (q == NULL)
		return -ENOENT;
	if (worker != WORKER_AUTO && worker >= workers->n)
		return -EINVAL;
	if (worker != WORKER_AUTO && worker != q->worker)
		ret = queue_move(workers, q, worker);
	if (ret == 0)
		q->pinned = worker != WORKER_AUTO;
	return ret;
}

/* --- placement by load --- */

static void measure(struct queue *q, uint64_t interval)
{
	uint64_t cycles = atomic_load(&q->service.cycles), frames = atomic_load(&q->service.frames);
	uint64_t load = (cycles - q->cycles) * BALANCE_FULL / interval;

	/* A round that began before the interval may count into it. */
	q->load = load < BALANCE_FULL ? (unsigned int)load : BALANCE_FULL;
	q->steady_load = (q->steady_load + q->load) / 2;
	q->gained = frames - q->frames;
	q->cycles = cycles;
	q->frames = frames;
}

static unsigned int balance(struct workers *workers)
{
	struct queue **of = calloc(workers->n_queues + 1, sizeof(struct queue *));
	struct balance_queue *b = calloc(workers->n_queues + 1, sizeof(*b));
	unsigned int moved[BALANCE_MOVES_MAX], n = 0, n_moved = 0;
	struct queue *q;

	if (of == NULL || b == NULL)
		goto free;
	TAILQ_FOREACH(q, &workers->queues, next) {
		of[n] = q;
		b[n++] = (struct balance_queue){ .worker = q->worker,
						 .load = q->steady_load,
						 .fixed = q->pinned || q->rest > 0 };
	}
	n = balance_plan(b, n, workers->n, moved);
	while (n_moved < n &&
	       queue_move(workers, of[moved[n_moved]], b[moved[n_moved]].worker) == 0)
		n_moved++;
free:
	free(of);
	free(b);
	return n_moved;
}

unsigned int workers_tick(struct workers *workers)
{
	uint64_t now = clock_cycles();
	struct queue *q;

	if (now == workers->tick_cycles)
		return 0;
	workers->interval = now - workers->tick_cycles;
	workers->tick_cycles = now;
	TAILQ_FOREACH(q, &workers->queues, next) {
		measure(q, workers->interval);
		q->rest -= q->rest > 0;
	}
	return workers->n > 1 ? balance(workers) : 0;
}

int workers_queue(const struct workers *workers, const struct txq *txq, struct queue_stats *stats)
{
	const struct queue *q = queue_of(workers, txq);
	double seconds = (double)workers->interval / (double)clock_hz();

	if (q == NULL)
		return -ENOENT;
	*stats = (struct queue_stats){
		.worker = q->worker,
		.pinned = q->pinned,
		.moves = q->moves,
		.cycles = atomic_load(&q->service.cycles),
		.frames = atomic_load(&q->service.frames),
		.load = q->load / (double)BALANCE_FULL,
		.frames_per_s = seconds > 0 ? (uint64_t)((double)q->gained / seconds) : 0,
	};
	return 0;
}

/* --- statistics --- */

unsigned int workers_count(const struct workers *workers)
{
	return workers->n;
}

void worker_stats(const struct workers *workers, unsigned int idx, struct worker_stats *stats)
{
	struct worker *w = workers->worker[idx];

	stats->cpu = w->cpu;
	stats->n_queues = n_queues_on(workers, idx);
	stats->cycles_busy = atomic_load(&w->stats.cycles_busy);
	stats->frames = atomic_load(&w->stats.frames);
	stats->rounds_busy = atomic_load(&w->stats.rounds_busy);
	stats->sleeps = atomic_load(&w->stats.sleeps);
}
