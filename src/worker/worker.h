/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers: the threads of the data path, one on each core given to it.
 *
 * A worker goes round its transmit queues: pull a burst, let the switch forward it, give the
 * descriptors back. After each round it passes a quiescent point (QSBR, liburcu): what it saw
 * before, it holds no longer. A worker that finds nothing spins for a while, then sleeps, the longer
 * the longer it has been idle; while it sleeps it counts as quiescent, so nobody waits for a sleeper,
 * and whoever knows that a queue has frames wakes it (txq_wake). Guests' doorbells are memory that
 * makes no event, so sleeps end by themselves: the longest is what keeps an idle worker below 1 % of its
 * core by its own measurement, 0.4 ms on a plain machine and 2 ms on one where a wake-up takes 16 us.
 *
 * A queue whose vport may not send now (switch/arbiter.h) is not looked at until its turn. A worker all of whose
 * queues wait sleeps until the first one's.
 *
 * Each transmit queue is on one worker's list. What serving it costs is counted, and once a second
 * (workers_tick) queues move from full workers to emptier ones (worker/balance.h). A move takes the
 * queue off one list, waits until that worker has passed a quiescent point, and only then puts it on
 * the other: no frame is lost, served twice or overtaken by a later one of its queue.
 *
 * Control: all functions here, from one thread at a time, except worker_quiesce, which any thread
 * that is no worker may call.
 */
#ifndef SOFTIOV_WORKER_WORKER_H
#define SOFTIOV_WORKER_WORKER_H

#include "switch/switch.h"

#define WORKER_IDLE_US_DEFAULT 5000

struct workers;

struct worker_options {
	unsigned int n_cpus; /* 1..WORKERS_MAX */
	unsigned int cpu[WORKERS_MAX];
	unsigned int idle_us; /* no sleep is longer */
	/* Called first in each worker's thread, for what other libraries want of a thread. */
	void (*thread_start)(void);
};

/* Starts the threads. Returns 0 or a negative errno (-EINVAL: a CPU that this process may not use,
 * named in *bad_cpu). */
int workers_start(struct workers **workers, const struct worker_options *options,
		  unsigned int *bad_cpu);
/* Stops and joins them. Accepts NULL. */
void workers_stop(struct workers *workers);

/* Has the endpoint's transmit queues served. They belong to port `port` of `sw`. Each goes to the worker
 * that has the queue with its number of another endpoint of that port, else to the one that has the
 * fewest queues. -ENOMEM. */
int workers_add(struct workers *workers, struct endpoint *ep, struct vswitch *sw, uint16_t port);
/* Takes them away again. When it returns no worker uses the endpoint's queues (it has waited);
 * pushing to it ends with the switch's snapshot. Unknown endpoints are ignored. */
void workers_del(struct workers *workers, const struct endpoint *ep);

/* Has the endpoint's queues served as `arbiter` says (switch/arbiter.h); NULL: whenever they have frames. Workers may
 * use it until the endpoint's queues are taken away. */
void workers_limit(struct workers *workers, const struct endpoint *ep, struct arbiter *arbiter);

#define WORKER_AUTO (~0u)

/* Keeps a queue on worker `worker`, moving it there, or lets it be placed by load again
 * (WORKER_AUTO; it stays where it is until there is a reason to move it). -ENOENT: no such queue;
 * -EINVAL: no such worker; -ENOMEM. */
int workers_pin(struct workers *workers, const struct txq *txq, unsigned int worker);

/* Once in an interval, of a second or so: measures what each queue has cost since the last call and
 * moves queues where that evens out the workers. Returns how many it moved. */
unsigned int workers_tick(struct workers *workers);

struct queue_stats {
	unsigned int worker; /* that serves it */
	bool pinned;
	uint64_t moves; /* pins that moved it included */
	uint64_t cycles, frames;
	double load;           /* share of a core between the last two ticks, 0..1 */
	uint64_t frames_per_s; /* likewise */
};
/* -ENOENT: the workers do not serve it. */
int workers_queue(const struct workers *workers, const struct txq *txq, struct queue_stats *stats);

/* Returns once every worker has passed a quiescent point. NULL: nothing to wait for. */
void worker_quiesce(struct workers *workers);

struct worker_stats {
	unsigned int cpu;
	unsigned int n_queues;
	uint64_t cycles_busy; /* in rounds that found frames */
	uint64_t frames;
	uint64_t rounds_busy;
	uint64_t sleeps;
};
unsigned int workers_count(const struct workers *workers);
void worker_stats(const struct workers *workers, unsigned int idx, struct worker_stats *stats);

#endif
