/* SPDX-License-Identifier: BSD-3-Clause */
/* Where frames come from and go to: what a device model or an uplink shows to the switch.
 *
 * An endpoint is one device's half of a port: a VF, a synthetic adapter, an uplink. Transmit queues
 * are named from the guest's side: a worker pulls frames from a guest's transmit queue and pushes
 * frames into a guest's receive queues.
 *
 * Life of a burst, all in one worker:
 *  1. n = txq->ops->pull(txq, burst): the frames lie in the sender's memory.
 *  2. The switch decides and calls endpoint->ops->push for each receiver, which copies.
 *  3. txq->ops->done(txq): the sender gets its descriptors back, and an interrupt if it wants one.
 *     Called exactly once after each pull that returned frames, before the next pull.
 *
 * Threads: a txq is pulled by one worker at a time. push may be called by several workers at the
 * same time; the endpoint takes its own lock, once a burst. Nothing here sleeps or allocates.
 * Everything that a worker holds of an endpoint is given up at its quiescent point; whoever frees an
 * endpoint first takes it out of the switch's snapshot, then waits for quiescence. */
#ifndef SOFTIOV_FRAME_QUEUE_H
#define SOFTIOV_FRAME_QUEUE_H

#include <stdatomic.h>

#include "base/doorbell.h"
#include "base/spinlock.h"
#include "frame/frame.h"

#define ENDPOINT_QUEUES_MAX 8
#define WORKERS_MAX         32
#define STATS_SLOTS         (WORKERS_MAX + 1) /* one for each worker, one for all other threads */

struct burst {
	unsigned int n;
	unsigned int n_segs;    /* used of seg[] */
	unsigned int held_back; /* of BURST_MAX frames, those that pull must leave where they are */
	struct frame frame[BURST_MAX];
	struct seg seg[BURST_SEGS];
};

struct endpoint;
struct txq;

/* Cache lines that the next visit will want first, and that a guest's CPU has probably written since the
 * last one: fetching such a line takes longer than serving several frames. Only for prefetching: stale
 * ones do no harm. */
struct ahead {
	_Atomic(const void *) read[2], write[2];
};

/* Fewer than four lines: one of them more than once. To fetch what NULL points to costs a walk through the page
 * tables. */
static inline void ahead_set(struct ahead *a, const void *read0, const void *read1,
			     const void *write0, const void *write1)
{
	atomic_store_explicit(&a->read[0], read0, memory_order_relaxed);
	atomic_store_explicit(&a->read[1], read1, memory_order_relaxed);
	atomic_store_explicit(&a->write[0], write0, memory_order_relaxed);
	atomic_store_explicit(&a->write[1], write1, memory_order_relaxed);
}

static inline void ahead_copy(struct ahead *to, struct ahead *from)
{
	ahead_set(to, atomic_load_explicit(&from->read[0], memory_order_relaxed),
		  atomic_load_explicit(&from->read[1], memory_order_relaxed),
		  atomic_load_explicit(&from->write[0], memory_order_relaxed),
		  atomic_load_explicit(&from->write[1], memory_order_relaxed));
}

static inline void ahead_prefetch(struct ahead *a)
{
	for (unsigned int i = 0; i < 2; i++) {
		__builtin_prefetch(atomic_load_explicit(&a->read[i], memory_order_relaxed));
		__builtin_prefetch(atomic_load_explicit(&a->write[i], memory_order_relaxed), 1);
	}
}

struct txq_ops {
	/* Fills burst from frame[0]; the caller has set n and n_segs to 0, and held_back. Frames that the
	 * guest got wrong (bad address, bad chain) are swallowed and counted here. Returns burst->n. */
	unsigned int (*pull)(struct txq *txq, struct burst *burst);
	void (*done)(struct txq *txq);
};

struct txq {
	const struct txq_ops *ops;
	struct endpoint *endpoint;
	unsigned int idx;   /* within the endpoint */
	struct ahead ahead; /* for the next pull; kept by the owner's pull and done */
	/* Of the worker that serves it; NULL: none does. Kept by the workers, which outlive it. */
	_Atomic(struct doorbell *) doorbell;
};

/* Has the queue looked at now, if its worker sleeps. For whoever knows that there are frames. Any
 * thread; at most one system call. */
static inline void txq_wake(struct txq *txq)
{
	struct doorbell *d = atomic_load_explicit(&txq->doorbell, memory_order_acquire);

	if (d != NULL)
		doorbell_ring(d);
}

/* What a receiver can take as it is; the switch does the rest before it pushes. */
enum endpoint_cap {
	ENDPOINT_TSO4 = 1 << 0, /* large-send frames whole */
	ENDPOINT_TSO6 = 1 << 1,
	ENDPOINT_USO4 = 1 << 2, /* those of UDP */
	ENDPOINT_USO6 = 1 << 3,
};

/* Frames, and a number that is said of each. There is room for those of one push, and for the pieces that large sends
 * in it are cut into, which are pushed BURST_MAX at a time and then joined again. */
struct frame_notes {
	unsigned int n;
	struct frame_note {
		const struct frame *frame;
		unsigned int what;
	} note[2 * BURST_MAX];
};

/* What became of the frames of a push, for who shows it. */
struct push_report {
	struct frame_notes lost;   /* enum drop_reason */
	struct frame_notes queued; /* where there are several receive queues: which one took it */
};

/* Counters of one endpoint and one worker; the reader sums over workers. `tx` is what the guest
 * sends. Sizes count the untagged frame. */
struct endpoint_stats {
	uint64_t tx_frames, tx_bytes;
	uint64_t rx_frames, rx_bytes;
	uint64_t bad_tx_desc; /* the guest's errors in transmit rings */
	uint64_t bad_rx_desc; /* and in receive rings */
	uint64_t irqs;
	uint64_t drop
		[DROP_N]; /* frames that this endpoint sent (ingress reasons) or should have got */
	/* No counter: whoever pushes may have it filled in meanwhile. NULL: nobody asks. */
	struct push_report *report;
} __attribute__((aligned(CACHE_LINE)));

void frame_notes_add(struct frame_notes *notes, const struct frame *const frame[], unsigned int n,
		     unsigned int what);
/* NULL: nothing is said of it. */
const struct frame_note *frame_notes_find(const struct frame_notes *notes, const struct frame *f);

/* For endpoints: counts frames that could not be taken. */
static inline void endpoint_drop(struct endpoint_stats *stats, const struct frame *const frame[],
				 unsigned int n, enum drop_reason reason)
{
	stats->drop[reason] += n;
	if (unlikely(stats->report != NULL))
		frame_notes_add(&stats->report->lost, frame, n, reason);
}

/* For endpoints with several receive queues: says which one gets the frames. */
static inline void endpoint_queue(struct endpoint_stats *stats, const struct frame *const frame[],
				  unsigned int n, unsigned int queue)
{
	if (unlikely(stats->report != NULL))
		frame_notes_add(&stats->report->queued, frame, n, queue);
}

struct endpoint_ops {
	/* Copies frame[0..n) to the receiver, in order. A frame whose vid is `untagged_vid` goes out
	 * without a tag, any other with one (in the bytes or beside them, as the device does it).
	 * Applies the device's own filters (addresses, VLANs, size). Each frame ends counted in
	 * stats: rx_frames and rx_bytes, or one drop reason (endpoint_drop). The frames are shared by several
	 * receivers, so they are const. Interrupts go out before it returns. */
	void (*push)(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		     uint16_t untagged_vid, struct endpoint_stats *stats);
};

struct endpoint {
	const struct endpoint_ops *ops;
	atomic_uint caps;    /* enum endpoint_cap; changes when a driver negotiates */
	atomic_uint running; /* 1 while the guest's driver receives: what `path` is chosen by */
	unsigned int n_txq;  /* fixed for the endpoint's life, at most ENDPOINT_QUEUES_MAX */
	struct txq *txq[ENDPOINT_QUEUES_MAX];
	struct endpoint_stats *stats; /* [STATS_SLOTS]; owned by the endpoint's creator */
	struct ahead ahead;           /* for the next push; kept by push */
};

/* The calling worker's index and stats slot; WORKERS_MAX in every other thread. Set by the worker. */
extern _Thread_local unsigned int worker_self;

static inline struct endpoint_stats *endpoint_stats_self(struct endpoint *ep)
{
	return &ep->stats[worker_self];
}

/* STATS_SLOTS slots, zeroed; free with free(). NULL without memory. */
struct endpoint_stats *endpoint_stats_new(void);
void endpoint_stats_add(struct endpoint_stats *to, const struct endpoint_stats *from);
/* Adds up all workers' counters. */
void endpoint_stats_sum(const struct endpoint *ep, struct endpoint_stats *sum);

#endif
