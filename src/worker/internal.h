/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this folder share.
 *
 *   loop.c     a worker's thread: rounds over its queues, sleeps, quiescence
 *   control.c  starting and stopping them, which queues each one serves, statistics
 *   balance.c  which queues should move: a pure function
 */
#ifndef SOFTIOV_WORKER_INTERNAL_H
#define SOFTIOV_WORKER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "worker/worker.h"

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

/* loop.c */
struct worker *worker_new(struct workers *all, unsigned int idx, unsigned int cpu);
void worker_free(struct worker *w); /* accepts NULL */
int worker_spawn(struct worker *w); /* its thread; -EINVAL: a CPU that this process may not use */

#endif
