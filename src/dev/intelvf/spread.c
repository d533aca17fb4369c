/* SPDX-License-Identifier: BSD-3-Clause */
/* Which receive queue a frame goes to. */
#include "dev/intelvf/rx_queue.h"

void spread_set(struct intelvf *dev, const struct rx_spread *spread)
{
	const struct rx_spread *old = dev->spread;
	struct rx_spread *room = &dev->spread_room[old == &dev->spread_room[0]];
	bool verifies = dev->vf.policy.verify_checksums;

	if (spread == NULL && old == NULL && !verifies)
		return;
	if (spread != NULL)
		*room = *spread;
	else
		memset(room, 0, sizeof(*room));
	room->verifies = verifies;
	__atomic_store_n(&dev->spread, room->hashes || verifies ? room : NULL, __ATOMIC_RELEASE);
	if (old != NULL)
		dev->vf.upcalls->quiesce(dev->vf.arg);
}

void spread_update(struct intelvf *dev)
{
	spread_set(dev, dev->spread != NULL && dev->spread->hashes ? dev->spread : NULL);
}

/* A burst by queue. */
struct sorted {
	uint8_t n[INTELVF_QUEUES_MAX];
	const struct frame *frame[INTELVF_QUEUES_MAX][BURST_MAX];
	struct rss_result rss[INTELVF_QUEUES_MAX][BURST_MAX];
};

/* The frames of a queue keep their order, and so do those of a flow, since its hash is always the same. */
static void sort(struct intelvf *dev, const struct rx_spread *spread,
		 const struct frame *const frame[], unsigned int n, struct sorted *sorted)
{
	struct rss_result rss[BURST_MAX];
	uint32_t last = __atomic_load_n(&dev->last_queues, __ATOMIC_RELAXED), queues = 0;

	/* Their lines are on their way while hashes are made. */
	for (uint32_t left = last; left != 0; left &= left - 1)
		ahead_prefetch(&dev->rxq[__builtin_ctz(left)].ahead);
	rss_burst(&spread->key, spread->types, frame, n, rss);
	memset(sorted->n, 0, sizeof(sorted->n));
	for (unsigned int i = 0; i < n; i++) {
		/* Without a hash: queue 0 (DS 7.1.2.8). */
		unsigned int q =
			rss[i].type != RSS_NONE ? spread->reta[rss[i].hash & spread->reta_mask] : 0;
		unsigned int at = sorted->n[q]++;

		queues |= 1u << q;
		sorted->frame[q][at] = frame[i];
		sorted->rss[q][at] = rss[i];
	}
	if (queues != last)
		__atomic_store_n(&dev->last_queues, queues, __ATOMIC_RELAXED);
}

/* One burst of sorted frames. Queues are taken before the first of them is written to, in one order for all
 * workers: so the lines of each that the guest wrote last come together, and not one queue's after the other's.
 * Where another worker has the next one, those taken so far are written to meanwhile. */
static void push_sorted(struct intelvf *dev, const struct rx_spread *spread,
			const struct sorted *sorted, uint16_t untagged_vid,
			struct endpoint_stats *stats)
{
	struct rx_burst burst[INTELVF_QUEUES_MAX];
	unsigned int q = 0;

	while (q < INTELVF_QUEUES_MAX) {
		unsigned int n_open = 0;

		for (; q < INTELVF_QUEUES_MAX; q++) {
			if (sorted->n[q] == 0)
				continue;
			if (unlikely(q >= dev->st->n_queues)) {
				endpoint_drop(stats, sorted->frame[q], sorted->n[q], DROP_DOWN);
				continue;
			}
			if (n_open == 0)
				spin_lock(&dev->rxq[q].lock);
			else if (!spin_trylock(&dev->rxq[q].lock))
				break;
			if (likely(rx_open(&burst[n_open], dev, q, sorted->n[q], untagged_vid,
					   spread->verifies, stats)))
				n_open++;
			else
				endpoint_drop(stats, sorted->frame[q], sorted->n[q], DROP_DOWN);
		}
		for (unsigned int k = 0; k < n_open; k++) {
			unsigned int of = burst[k].q;

			endpoint_queue(stats, sorted->frame[of], sorted->n[of], of);
			rx_run(&burst[k], sorted->frame[of], sorted->rss[of], sorted->n[of],
			       &dev->rxq[of].ahead, stats);
		}
	}
}

void spread_push(struct intelvf *dev, const struct rx_spread *spread,
		 const struct frame *const frame[], unsigned int n, uint16_t untagged_vid,
		 struct endpoint_stats *stats)
{
	struct sorted sorted;

	for (unsigned int i = 0; i < n; i += BURST_MAX) {
		sort(dev, spread, frame + i, n - i < BURST_MAX ? n - i : BURST_MAX, &sorted);
		push_sorted(dev, spread, &sorted, untagged_vid, stats);
	}
}
