/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <urcu-qsbr.h>

#include "base/clock.h"
#include "worker/worker.h"

#define SPIN_US      50 /* how long a worker looks for frames before its first sleep */
#define SLEEP_US_MIN 20
#define CLOCK_ROUNDS 1024 /* rounds between two looks at the coarse clock */

/* ThreadSanitizer does not see into liburcu: it is told that what a worker did before its quiescent
 * point comes before what follows a wait for it. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char quiescence;
#define QUIESCENT()     __tsan_release(&quiescence)
#define AFTER_QUIESCE() __tsan_acquire(&quiescence)
#else
#define QUIESCENT()
#define AFTER_QUIESCE()
#endif

struct poll_entry {
	struct txq *txq;
	struct vswitch *sw;
	uint16_t port;
};

/* Immutable; control builds another one for each change. */
struct poll_list {
	unsigned int n;
	struct poll_entry entry[];
};

struct worker {
	pthread_t thread;
	unsigned int idx;
	unsigned int cpu;
	struct workers *all;
	_Atomic(struct poll_list *) list;
	struct forwarder *fw;
	/* Written by the worker, read by control. */
	struct {
		_Atomic uint64_t cycles_busy, frames, rounds_busy, sleeps;
	} stats __attribute__((aligned(CACHE_LINE)));
	struct burst burst;
} __attribute__((aligned(CACHE_LINE)));

struct workers {
	atomic_bool stop;
	unsigned int n;
	unsigned int idle_us;
	void (*thread_start)(void);
	struct worker *worker[WORKERS_MAX];
};

static void stat_add(_Atomic uint64_t *stat, uint64_t v)
{
	/* One writer: no locked instruction needed. */
	atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + v,
			      memory_order_relaxed);
}

static inline unsigned int serve(struct worker *w, const struct poll_entry *e)
{
	struct burst *burst = &w->burst;
	const struct switch_snapshot *snapshot;
	unsigned int n;

	burst->n = 0;
	burst->n_segs = 0;
	n = e->txq->ops->pull(e->txq, burst);
	if (n == 0)
		return 0;
	snapshot = atomic_load_explicit(&e->sw->snapshot, memory_order_acquire);
	switch_forward(w->fw, snapshot, e->port, e->txq->endpoint, burst);
	e->txq->ops->done(e->txq);
	return n;
}

static unsigned int round_of(struct worker *w)
{
	const struct poll_list *list = atomic_load_explicit(&w->list, memory_order_acquire);
	uint64_t start = clock_cycles();
	unsigned int n = 0;

	for (unsigned int i = 0; i < list->n; i++)
		n += serve(w, &list->entry[i]);
	if (n > 0) {
		stat_add(&w->stats.cycles_busy, clock_cycles() - start);
		stat_add(&w->stats.frames, n);
		stat_add(&w->stats.rounds_busy, 1);
	}
	return n;
}

static void pass_quiescent_point(void)
{
	QUIESCENT();
	rcu_quiescent_state();
}

/* Waits until every worker has passed one. */
static void wait_for_all(void)
{
	synchronize_rcu();
	AFTER_QUIESCE();
}

static void sleep_us(struct worker *w, unsigned int us)
{
	struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = (long)(us % 1000000) * 1000 };

	QUIESCENT();
	rcu_thread_offline();
	nanosleep(&t, NULL);
	rcu_thread_online();
	stat_add(&w->stats.sleeps, 1);
}

static void loop(struct worker *w)
{
	uint64_t spin_cycles = clock_hz() / 1000000 * SPIN_US;
	uint64_t last_busy = clock_cycles();
	unsigned int first_sleep_us = w->all->idle_us < SLEEP_US_MIN ? w->all->idle_us
								     : SLEEP_US_MIN;
	unsigned int next_sleep_us = first_sleep_us;
	unsigned int rounds = 0;

	while (!atomic_load_explicit(&w->all->stop, memory_order_relaxed)) {
		if (rounds++ % CLOCK_ROUNDS == 0)
			w->fw->now_s = (uint32_t)(clock_ns() / 1000000000);
		if (round_of(w) > 0) {
			last_busy = clock_cycles();
			next_sleep_us = first_sleep_us;
			pass_quiescent_point();
			continue;
		}
		pass_quiescent_point();
		if (clock_cycles() - last_busy < spin_cycles) {
			cpu_relax();
			continue;
		}
		sleep_us(w, next_sleep_us);
		rounds = 0;
		next_sleep_us = 2 * next_sleep_us < w->all->idle_us ? 2 * next_sleep_us
								    : w->all->idle_us;
	}
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	char name[16];

	(void)snprintf(name, sizeof(name), "worker-%u", w->idx);
	pthread_setname_np(pthread_self(), name);
	/* The default slack of 50 us would more than double the short sleeps (prctl(2)). */
	prctl(PR_SET_TIMERSLACK, 1000);
	worker_self = w->idx;
	if (w->all->thread_start != NULL)
		w->all->thread_start();
	rcu_register_thread();
	loop(w);
	rcu_unregister_thread();
	return NULL;
}

static void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	free(atomic_load(&w->list));
	free(w->fw);
	free(w);
}

static struct worker *worker_new(struct workers *all, unsigned int idx, unsigned int cpu)
{
	struct worker *w = aligned_alloc(CACHE_LINE, sizeof(*w));

	if (w == NULL)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->all = all;
	w->idx = idx;
	w->cpu = cpu;
	w->fw = forwarder_new();
	atomic_init(&w->list, calloc(1, sizeof(struct poll_list)));
	if (w->fw == NULL || atomic_load(&w->list) == NULL) {
		worker_free(w);
		return NULL;
	}
	return w;
}

static int worker_spawn(struct worker *w)
{
	pthread_attr_t attr;
	cpu_set_t cpus;
	int ret;

	CPU_ZERO(&cpus);
	CPU_SET(w->cpu, &cpus);
	pthread_attr_init(&attr);
	ret = pthread_attr_setaffinity_np(&attr, sizeof(cpus), &cpus);
	if (ret == 0)
		ret = pthread_create(&w->thread, &attr, worker_main, w);
	pthread_attr_destroy(&attr);
	return -ret;
}

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
	clock_hz();
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

void workers_stop(struct workers *workers)
{
	if (workers == NULL)
		return;
	atomic_store(&workers->stop, true);
	for (unsigned int i = 0; i < workers->n; i++) {
		pthread_join(workers->worker[i]->thread, NULL);
		worker_free(workers->worker[i]);
	}
	free(workers);
}

void worker_quiesce(struct workers *workers)
{
	if (workers != NULL)
		wait_for_all();
}

/* Replaces a worker's list by one without `gone` and with `added`; either may be NULL. */
static int relist(struct worker *w, const struct endpoint *gone, const struct poll_entry *added)
{
	struct poll_list *old = atomic_load(&w->list);
	struct poll_list *next = calloc(1, sizeof(*next) + (old->n + 1) * sizeof(next->entry[0]));

	if (next == NULL)
		return -ENOMEM;
	for (unsigned int i = 0; i < old->n; i++)
		if (gone == NULL || old->entry[i].txq->endpoint != gone)
			next->entry[next->n++] = old->entry[i];
	if (added != NULL)
		next->entry[next->n++] = *added;
	atomic_store(&w->list, next);
	wait_for_all();
	free(old);
	return 0;
}

static struct worker *least_loaded(struct workers *workers)
{
	struct worker *best = workers->worker[0];

	for (unsigned int i = 1; i < workers->n; i++)
		if (atomic_load(&workers->worker[i]->list)->n < atomic_load(&best->list)->n)
			best = workers->worker[i];
	return best;
}

int workers_add(struct workers *workers, struct endpoint *ep, struct vswitch *sw, uint16_t port)
{
	for (unsigned int i = 0; i < ep->n_txq; i++) {
		struct poll_entry e = { ep->txq[i], sw, port };
		int ret = relist(least_loaded(workers), NULL, &e);

		if (ret < 0) {
			workers_del(workers, ep);
			return ret;
		}
	}
	return 0;
}

static bool list_has(const struct poll_list *list, const struct endpoint *ep)
{
	for (unsigned int i = 0; i < list->n; i++)
		if (list->entry[i].txq->endpoint == ep)
			return true;
	return false;
}

void workers_del(struct workers *workers, const struct endpoint *ep)
{
	for (unsigned int i = 0; i < workers->n; i++) {
		/* Nothing can be done without this: the queue's memory is about to go. */
		while (list_has(atomic_load(&workers->worker[i]->list), ep) &&
		       relist(workers->worker[i], ep, NULL) < 0)
			sched_yield();
	}
}

unsigned int workers_count(const struct workers *workers)
{
	return workers->n;
}

void worker_stats(const struct workers *workers, unsigned int idx, struct worker_stats *stats)
{
	struct worker *w = workers->worker[idx];

	stats->cpu = w->cpu;
	stats->n_queues = atomic_load(&w->list)->n;
	stats->cycles_busy = atomic_load(&w->stats.cycles_busy);
	stats->frames = atomic_load(&w->stats.frames);
	stats->rounds_busy = atomic_load(&w->stats.rounds_busy);
	stats->sleeps = atomic_load(&w->stats.sleeps);
}
