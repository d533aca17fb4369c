/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's thread. What it calls for each burst is in this file, to be inlined. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <urcu-qsbr.h>

#include "base/clock.h"
#include "worker/internal.h"

#define SPIN_US       50 /* how long a worker looks for frames before its first sleep */
#define SLEEP_US_MIN  20
#define SLEEP_SHARE   128 /* of the time since the last frame that a sleep may add to it */
#define IDLE_SHARE    160 /* of a core that long idleness may take: what a sleep costs to its length */
#define WAKE_NS_FIRST 8000 /* what a sleep costs, before it has been measured */
#define WAKE_SLEEPS   32   /* sleeps that a measurement takes */
#define COLD_VISITS   256  /* in vain, before a queue is looked at only now and then */
#define COLD_US       50   /* how often that is, as long as there is work */
#define CLOCK_ROUNDS  1024 /* rounds between two looks at the coarse clock */
#define WAIT_US_MAX \
	1000 /* before a waiting queue is looked at: its device may have held an interrupt back */

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
	w->fw->queue = (uint16_t)e->txq->idx;
	switch_forward(w->fw, snapshot, e->port, e->txq->endpoint, burst);
	e->txq->ops->done(e->txq);
	if (likely(w->fw->receiver != NULL))
		ahead_copy(&e->service->receiver, &w->fw->receiver->ahead);
	return n;
}

/* While one queue is served, the lines that the next one starts with are on their way. Those of its
 * receiver only if it is busy: an idle queue's would be taken from the receiver's CPU in vain. */
static inline void look_ahead(const struct poll_entry *e)
{
	ahead_prefetch(&e->txq->ahead);
	if (e->service->vain == 0)
		ahead_prefetch(&e->service->receiver);
}

/* The same, with as many frames as the vport may send now. If that is none, the visit is for what the device
 * does on this occasion, and the queue waits (set_aside). */
static __attribute__((noinline)) unsigned int
serve_limited(struct worker *w, const struct poll_entry *e, struct arbiter *arbiter)
{
	struct service *service = e->service;
	uint64_t now = clock_ns(), wait_us;
	unsigned int room = arbiter_room(arbiter, &service->limit, now), n;

	w->burst.held_back = BURST_MAX - room;
	w->fw->inspect.uplink = (struct share_load){ 0 };
	n = serve(w, e);
	w->burst.held_back = 0;
	if (room > 0) {
		arbiter_served(arbiter, &service->limit, &w->burst, &w->fw->inspect.uplink, now);
		return n;
	}
	wait_us = arbiter_wait(arbiter, &service->limit, now) / 1000 + 1;
	if (wait_us > WAIT_US_MAX)
		wait_us = WAIT_US_MAX;
	service->due = clock_cycles() + wait_us * w->all->cycles_per_us;
	service->vain = VAIN_WAITS - 1; /* visit adds one */
	service->limit.waited = true;
	w->refused = true;
	return 0;
}

/* One visit. The clock is read after it if there were frames; they pay for the time since the last
 * reading, and with it for the empty queues looked at before. So the queues' costs add up to the
 * worker's busy cycles, and a queue without frames costs no reading. */
static inline unsigned int visit(struct worker *w, const struct poll_entry *e, uint64_t *mark)
{
	struct service *service = e->service;
	struct arbiter *arbiter = atomic_load_explicit(&service->arbiter, memory_order_acquire);
	unsigned int n = likely(arbiter == NULL) ? serve(w, e) : serve_limited(w, e, arbiter);
	uint64_t now;

	if (n == 0) {
		service->vain++;
		return 0;
	}
	service->vain = 0;
	now = clock_cycles();
	stat_add(&service->cycles, now - *mark);
	stat_add(&service->frames, n);
	*mark = now;
	return n;
}

static void swap(struct poll_list *list, unsigned int a, unsigned int b)
{
	struct poll_entry e = list->entry[a];

	list->entry[a] = list->entry[b];
	list->entry[b] = e;
}

/* Queues that were refused in this round go to the others that wait. Order is kept, so that queues which share
 * a bucket get their turns in turn. */
static __attribute__((noinline)) void set_aside(struct worker *w, struct poll_list *list)
{
	unsigned int n = 0, n_hot = 0;

	for (unsigned int i = 0; i < list->n; i++) {
		struct poll_entry e = list->entry[i];

		if (e.service->vain != VAIN_WAITS) {
			n_hot += i < list->n_hot;
			list->entry[n++] = e;
			continue;
		}
		if (list->n_waiting == 0 || e.service->due < list->first_due)
			list->first_due = e.service->due;
		list->waiting[list->n_waiting++] = e;
	}
	list->n = n;
	list->n_hot = n_hot;
	w->refused = false;
}

/* Those whose time has come are visited again. */
static __attribute__((noinline)) void take_back(struct poll_list *list, uint64_t now)
{
	unsigned int n_waiting = 0;
	uint64_t first_due = UINT64_MAX;

	for (unsigned int i = 0; i < list->n_waiting; i++) {
		struct poll_entry e = list->waiting[i];

		if (e.service->due > now) {
			if (e.service->due < first_due)
				first_due = e.service->due;
			list->waiting[n_waiting++] = e;
			continue;
		}
		e.service->vain = 0;
		list->entry[list->n++] = list->entry[list->n_hot];
		list->entry[list->n_hot++] = e;
	}
	list->n_waiting = n_waiting;
	list->first_due = first_due;
}

/* Queues that had no frames for long: a few in each round, so that each has its turn every COLD_US and many
 * of them cost the others little. `all`: every one. */
static unsigned int visit_cold(struct worker *w, struct poll_list *list, uint64_t elapsed, bool all,
			       uint64_t *mark)
{
	const uint64_t period = COLD_US * w->all->cycles_per_us;
	unsigned int n_cold = list->n - list->n_hot, n = 0;

	list->due += elapsed * n_cold;
	if (all || list->due > n_cold * period)
		list->due = n_cold * period;
	for (; list->due >= period && list->n_hot < list->n; list->due -= period) {
		unsigned int i;

		if (list->next_cold < list->n_hot || list->next_cold >= list->n)
			list->next_cold = list->n_hot;
		i = list->next_cold++;
		n += visit(w, &list->entry[i], mark);
		if (list->entry[i].service->vain == 0)
			swap(list, i, list->n_hot++);
	}
	if (unlikely(w->refused))
		set_aside(w, list);
	return n;
}

static unsigned int visit_hot(struct worker *w, struct poll_list *list, uint64_t *mark)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < list->n_hot; i++) {
		/* Alone, a queue would ask for lines twice that its guest is about to write. */
		if (list->n_hot > 1)
			look_ahead(&list->entry[i + 1 < list->n_hot ? i + 1 : 0]);
		n += visit(w, &list->entry[i], mark);
	}
	if (unlikely(w->refused))
		set_aside(w, list);
	for (unsigned int i = list->n_hot; i-- > 0;)
		if (unlikely(list->entry[i].service->vain >= COLD_VISITS))
			swap(list, i, --list->n_hot);
	return n;
}

/* `all`: no queue is left out. */
static unsigned int round_of(struct worker *w, bool all)
{
	struct poll_list *list = atomic_load_explicit(&w->list, memory_order_acquire);
	uint64_t start = clock_cycles(), mark = start;
	unsigned int n;

	if (unlikely(list->n_waiting > 0) && start >= list->first_due)
		take_back(list, start);
	n = visit_hot(w, list, &mark);
	n += visit_cold(w, list, start - w->round_start, all, &mark);
	w->round_start = start;
	if (n > 0) {
		stat_add(&w->stats.cycles_busy, mark - start);
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

static uint64_t thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sleep_us(struct worker *w, unsigned int us)
{
	struct wake_cost *wake = &w->wake;

	if (wake->sleeps++ == 0)
		wake->from_ns = thread_ns();
	QUIESCENT();
	rcu_thread_offline();
	doorbell_sleep(&w->doorbell, us);
	rcu_thread_online();
	stat_add(&w->stats.sleeps, 1);
	if (wake->sleeps == WAKE_SLEEPS) {
		wake->ns = (3 * wake->ns + (thread_ns() - wake->from_ns) / WAKE_SLEEPS) / 4;
		wake->sleeps = 0;
	}
}

/* The longer nothing came, the longer the sleep, so that a pause between two frames of a conversation
 * is not answered with the longest one: 200 us after 25 ms. The longest is what keeps an idle worker at
 * 1/IDLE_SHARE of its core, or idle-us if that is less. */
static unsigned int next_sleep_us(const struct worker *w, uint64_t idle_us)
{
	uint64_t us = idle_us / SLEEP_SHARE, longest = w->wake.ns * IDLE_SHARE / 1000;

	if (us > longest)
		us = longest;
	if (us < SLEEP_US_MIN)
		us = SLEEP_US_MIN;
	return us < w->all->idle_us ? (unsigned int)us : w->all->idle_us;
}

/* How long to sleep; 0: not now. While queues wait, until the first one's turn; and if there are no others to look
 * at, at once. */
static unsigned int rest_us(const struct worker *w, uint64_t now, uint64_t idle_us, bool all)
{
	/* Control may have published another one since the round. */
	const struct poll_list *list = atomic_load_explicit(&w->list, memory_order_acquire);
	bool spins = idle_us < SPIN_US || !all;
	uint64_t us = next_sleep_us(w, idle_us), due_us;

	if (likely(list->n_waiting == 0))
		return spins ? 0 : (unsigned int)us;
	due_us = list->first_due > now ? (list->first_due - now) / w->all->cycles_per_us : 0;
	if (list->n == 0)
		return (unsigned int)due_us;
	return spins ? 0 : (unsigned int)(us < due_us ? us : due_us);
}

static void loop(struct worker *w)
{
	const uint64_t cycles_per_us = w->all->cycles_per_us;
	uint64_t last_busy = clock_cycles();
	unsigned int rounds = 0;
	bool rests = false; /* sleeps, but for one look at all queues each time */

	while (!atomic_load_explicit(&w->all->stop, memory_order_relaxed)) {
		uint64_t now, idle_us;
		unsigned int us;
		bool all;

		if (rounds++ % CLOCK_ROUNDS == 0)
			w->fw->now_s = (uint32_t)(clock_ns() / 1000000000);
		all = doorbell_clear(&w->doorbell) || rests;
		if (round_of(w, all) > 0) {
			last_busy = clock_cycles();
			w->wake.sleeps = 0;
			rests = false;
			pass_quiescent_point();
			continue;
		}
		pass_quiescent_point();
		now = clock_cycles();
		idle_us = (now - last_busy) / cycles_per_us;
		us = rest_us(w, now, idle_us, all);
		if (us == 0) {
			rests = idle_us >= SPIN_US;
			cpu_relax();
			continue;
		}
		sleep_us(w, us);
		rests = true;
		rounds = 0;
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

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	free(atomic_load(&w->list));
	free(w->fw);
	free(w);
}

struct worker *worker_new(struct workers *all, unsigned int idx, unsigned int cpu)
{
	struct worker *w = aligned_alloc(CACHE_LINE, sizeof(*w));

	if (w == NULL)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->all = all;
	w->idx = idx;
	w->cpu = cpu;
	w->wake.ns = WAKE_NS_FIRST;
	w->fw = forwarder_new();
	atomic_init(&w->list, calloc(1, sizeof(struct poll_list)));
	if (w->fw == NULL || atomic_load(&w->list) == NULL) {
		worker_free(w);
		return NULL;
	}
	return w;
}

int worker_spawn(struct worker *w)
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

void worker_quiesce(struct workers *workers)
{
	if (workers == NULL)
		return;
	synchronize_rcu();
	AFTER_QUIESCE();
}
