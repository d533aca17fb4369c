/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/queue.h>
#include <time.h>
#include <urcu-qsbr.h>

#include "base/clock.h"
#include "worker/balance.h"
#include "worker/worker.h"

#define SPIN_US        50 /* how long a worker looks for frames before its first sleep */
#define SLEEP_US_MIN   20
#define SLEEP_SHARE    128 /* of the time since the last frame that a sleep may add to it */
#define IDLE_SHARE     160 /* of a core that long idleness may take: what a sleep costs to its length */
#define WAKE_NS_FIRST  8000 /* what a sleep costs, before it has been measured */
#define WAKE_SLEEPS    32   /* sleeps that a measurement takes */
#define COLD_VISITS    256  /* in vain, before a queue is looked at only now and then */
#define COLD_US        50   /* how often that is, as long as there is work */
#define CLOCK_ROUNDS   1024 /* rounds between two looks at the coarse clock */
#define REST_INTERVALS 5    /* before a queue that was moved may be moved again */
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

#define VAIN_WAITS (~0u)

/* What a worker knows of a queue that it serves. */
struct service {
	_Atomic uint64_t cycles, frames; /* what it has cost; read by control */
	struct ahead receiver;           /* of whoever got its last frames: often gets the next */
	unsigned int vain;               /* visits since the last frame; VAIN_WAITS: it waits */
	/* Of a vport with limits. */
	_Atomic(struct arbiter *) arbiter; /* NULL: it has none */
	struct arbiter_queue limit;
	uint64_t due; /* when its turn may be, in cycles */
} __attribute__((aligned(CACHE_LINE)));

struct poll_entry {
	struct txq *txq;
	struct vswitch *sw;
	struct service *service;
	uint16_t port;
};

/* Control's record of a queue. */
struct queue {
	TAILQ_ENTRY(queue) next;
	struct poll_entry entry;
	unsigned int worker;
	bool pinned;
	unsigned int rest; /* intervals before it may be moved again */
	uint64_t moves;
	uint64_t cycles, frames;  /* at the last tick */
	uint64_t gained;          /* frames in the last interval */
	unsigned int load;        /* in the last interval, of BALANCE_FULL */
	unsigned int steady_load; /* averaged: what the balancer goes by */
	struct service service;
};
TAILQ_HEAD(queues, queue);

/* Queues of a worker. Control builds another one for each change; from then on it is the worker's, which
 * keeps those that lately had frames in front, and those whose vport may not send now apart, in the order
 * in which they came to wait. */
struct poll_list {
	unsigned int n_all;
	unsigned int n_waiting;
	struct poll_entry *waiting;
	uint64_t first_due; /* of those that wait, in cycles */
	unsigned int n;     /* of the others */
	unsigned int n_hot;
	unsigned int next_cold; /* to be looked at, among the others */
	uint64_t due;           /* looks that are due, in cycles */
	struct poll_entry entry[];
};

/* What a sleep, with the round that follows it, costs the processor: from 3 us to 20, by the machine and
 * the number of queues. */
struct wake_cost {
	uint64_t ns;         /* averaged */
	uint64_t from_ns;    /* of the thread's processor time: where the measurement began */
	unsigned int sleeps; /* since then; 0: none is under way */
};

struct worker {
	pthread_t thread;
	unsigned int idx;
	unsigned int cpu;
	struct workers *all;
	_Atomic(struct poll_list *) list;
	struct forwarder *fw;
	bool refused; /* a queue in this round: it has to wait */
	struct wake_cost wake;
	uint64_t round_start;
	struct doorbell doorbell __attribute__((aligned(CACHE_LINE)));
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
	uint64_t cycles_per_us;
	void (*thread_start)(void);
	struct worker *worker[WORKERS_MAX];
	/* Control's. */
	struct queues queues; /* in the order in which they came */
	unsigned int n_queues;
	uint64_t tick_cycles,
		interval; /* when the last tick was, and how long after the one before */
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

/* Waits until every worker has passed one. */
static void wait_for_all(void)
{
	synchronize_rcu();
	AFTER_QUIESCE();
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
	w->wake.ns = WAKE_NS_FIRST;
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

void worker_quiesce(struct workers *workers)
{
	if (workers != NULL)
		wait_for_all();
}

/* --- lists of queues: control --- */

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
	wait_for_all();
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
