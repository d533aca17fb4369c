/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive. What happens in a queue is in rx_queue.h. */
#include "dev/intelvf/rx_queue.h"

static void rx_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		    uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct intelvf *dev =
		container_of(container_of(ep, struct vf, endpoint), struct intelvf, vf);
	const struct rx_spread *spread = __atomic_load_n(&dev->spread, __ATOMIC_ACQUIRE);
	struct rx_burst burst;

	if (unlikely(spread != NULL)) {
		spread_push(dev, spread, frame, n, untagged_vid, stats);
		return;
	}
	spin_lock(&dev->rxq[0].lock);
	if (likely(rx_open(&burst, dev, 0, n, untagged_vid, false, stats)))
		rx_run(&burst, frame, NULL, n, &ep->ahead, stats);
	else
		endpoint_drop(stats, frame, n, DROP_DOWN);
}

const struct endpoint_ops intelvf_endpoint_ops = { .push = rx_push };
