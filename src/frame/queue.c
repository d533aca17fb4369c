/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "frame/queue.h"

_Thread_local unsigned int worker_self = WORKERS_MAX;

struct endpoint_stats *endpoint_stats_new(void)
{
	size_t size = STATS_SLOTS * sizeof(struct endpoint_stats);
	struct endpoint_stats *stats = aligned_alloc(CACHE_LINE, size);

	if (stats != NULL)
		memset(stats, 0, size);
	return stats;
}

void endpoint_stats_add(struct endpoint_stats *to, const struct endpoint_stats *from)
{
	/* All fields before `report` are uint64_t counters; workers may be counting. */
	for (size_t i = 0; i < offsetof(struct endpoint_stats, report) / sizeof(uint64_t); i++)
		((uint64_t *)to)[i] +=
			__atomic_load_n(&((const uint64_t *)from)[i], __ATOMIC_RELAXED);
}

void endpoint_stats_sum(const struct endpoint *ep, struct endpoint_stats *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int w = 0; w < STATS_SLOTS; w++)
		endpoint_stats_add(sum, &ep->stats[w]);
}

void frame_notes_add(struct frame_notes *notes, const struct frame *const frame[], unsigned int n,
		     unsigned int what)
{
	for (unsigned int i = 0; i < n && notes->n < 2 * BURST_MAX; i++)
		notes->note[notes->n++] = (struct frame_note){ frame[i], what };
}

const struct frame_note *frame_notes_find(const struct frame_notes *notes, const struct frame *f)
{
	for (unsigned int i = 0; i < notes->n; i++)
		if (notes->note[i].frame == f)
			return &notes->note[i];
	return NULL;
}
