/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/arbiter.h"
#include "base/clock.h"
#include "switch/policy.h"

#define MEAN_SIZE_FIRST 1514

unsigned int arbiter_room(const struct arbiter *a, uint32_t mean_size, uint64_t now_ns)
{
	int64_t bytes, n;

	if (!bucket_limits(&a->tx))
		return BURST_MAX;
	bytes = bucket_bytes(&a->tx, now_ns);
	if (bytes <= 0)
		return 0;
	n = bytes / (mean_size != 0 ? mean_size : MEAN_SIZE_FIRST) + 1;
	return n < BURST_MAX ? (unsigned int)n : BURST_MAX;
}

uint64_t arbiter_wait(const struct arbiter *a, uint64_t now_ns)
{
	return bucket_wait(&a->tx, now_ns);
}

static void count(_Atomic uint64_t *frames, _Atomic uint64_t *bytes, uint64_t n_frames,
		  uint64_t n_bytes)
{
	atomic_fetch_add_explicit(frames, n_frames, memory_order_relaxed);
	atomic_fetch_add_explicit(bytes, n_bytes, memory_order_relaxed);
}

uint64_t arbiter_served(struct arbiter *a, const struct burst *burst, bool waited, uint64_t now_ns)
{
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < burst->n; i++)
		bytes += frame_wire_size(&burst->frame[i]);
	if (bucket_limits(&a->tx))
		bucket_take(&a->tx, bytes, now_ns);
	if (waited)
		count(&a->waited_frames, &a->waited_bytes, burst->n, bytes);
	return bytes;
}

uint32_t police_in(struct inspect *inspect, struct arbiter *a, uint32_t frames)
{
	uint32_t size[BURST_MAX], passed;
	unsigned int n = 0;
	uint64_t n_frames = 0, n_bytes = 0;

	for_each_frame(i, frames) size[n++] = frame_wire_size(&inspect->burst->frame[i]);
	passed = bucket_police(&a->rx, size, n, clock_ns());
	n = 0;
	for_each_frame(i, frames)
	{
		if ((passed >> n & 1) == 0) {
			frames = inspect_drop(inspect, frames, i, DROP_POLICED);
			n_frames++;
			n_bytes += size[n];
		}
		n++;
	}
	if (unlikely(n_frames > 0))
		count(&a->policed_frames, &a->policed_bytes, n_frames, n_bytes);
	return frames;
}
