/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/arbiter.h"
#include "base/clock.h"
#include "switch/policy.h"

#define MEAN_SIZE_FIRST 1514

static struct share_member *member_of(const struct arbiter *a)
{
	return atomic_load_explicit(&a->member, memory_order_acquire);
}

static unsigned int frames_in(int64_t bytes, const struct arbiter_queue *q)
{
	int64_t n = bytes / (q->mean_size != 0 ? q->mean_size : MEAN_SIZE_FIRST) + 1;

	return bytes <= 0 ? 0 : n < BURST_MAX ? (unsigned int)n : BURST_MAX;
}

unsigned int arbiter_room(const struct arbiter *a, struct arbiter_queue *q, uint64_t now_ns)
{
	struct share_member *m = member_of(a);
	unsigned int room = BURST_MAX, n;

	if (m != NULL)
		room = frames_in(share_bytes(m, &q->share, now_ns), q);
	if (room == 0 || !bucket_limits(&a->tx))
		return room;
	n = frames_in(bucket_bytes(&a->tx, now_ns), q);
	/* While it waits for its own rate, others may have its part. */
	if (n == 0 && m != NULL)
		share_leave(m, &q->share);
	return n < room ? n : room;
}

uint64_t arbiter_wait(const struct arbiter *a, const struct arbiter_queue *q, uint64_t now_ns)
{
	struct share_member *m = member_of(a);
	uint64_t own = 0, others = 0;

	if (bucket_limits(&a->tx) && bucket_bytes(&a->tx, now_ns) <= 0)
		own = bucket_wait(&a->tx, now_ns);
	if (m != NULL && share_bytes(m, &q->share, now_ns) <= 0)
		others = share_wait(m, &q->share, now_ns);
	return own > others ? own : others;
}

static void count(_Atomic uint64_t *frames, _Atomic uint64_t *bytes, uint64_t n_frames,
		  uint64_t n_bytes)
{
	atomic_fetch_add_explicit(frames, n_frames, memory_order_relaxed);
	atomic_fetch_add_explicit(bytes, n_bytes, memory_order_relaxed);
}

void arbiter_served(struct arbiter *a, struct arbiter_queue *q, const struct burst *burst,
		    const struct share_load *uplink, uint64_t now_ns)
{
	struct share_member *m = member_of(a);
	uint64_t bytes = 0;

	for (unsigned int i = 0; i < burst->n; i++)
		bytes += frame_wire_size(&burst->frame[i]);
	if (bucket_limits(&a->tx))
		bucket_take(&a->tx, bytes, now_ns);
	if (m != NULL)
		share_sent(m, &q->share, uplink, now_ns);
	if (q->waited)
		count(&a->waited_frames, &a->waited_bytes, burst->n, bytes);
	if (burst->n > 0)
		q->mean_size = (uint32_t)(bytes / burst->n);
	q->waited = false;
}

/* A stage of uplinks: it lets all pass. */
void share_count(struct inspect *inspect, const struct port_policy *uplink, uint32_t frames)
{
	for_each_frame(i, frames)
	{
		const struct frame *f = &inspect->burst->frame[i];
		uint8_t c = 0;

		if (uplink->shares.by_priority)
			c = uplink->shares.class_of[f->tci >> 13];
		else if ((inspect->classified >> i & 1) != 0)
			c = inspect->traffic_class[i];
		inspect->uplink.bytes[c] += frame_wire_size(f);
	}
}

/* By its part of what uplinks bring. A frame for several ports counts as the first one's that lets it in. */
static uint32_t intake_in(struct inspect *inspect, struct intake_member *m, const uint32_t size[],
			  uint32_t frames)
{
	uint32_t first = frames & ~inspect->taken;

	first = intake_police(m, size, first, inspect_now(inspect));
	frames &= inspect->taken | first;
	inspect->taken |= first;
	return frames;
}

uint32_t police_in(struct inspect *inspect, struct arbiter *a, uint32_t frames)
{
	struct intake_member *m = atomic_load_explicit(&a->intake, memory_order_acquire);
	bool limited = bucket_limits(&a->rx), divided = m != NULL && inspect->from_uplink;
	uint32_t size[BURST_MAX], passed = frames, let_in;
	uint64_t n_frames = 0, n_bytes = 0;

	if (!limited && !divided)
		return frames;
	for_each_frame(i, frames) size[i] = frame_wire_size(&inspect->burst->frame[i]);
	if (limited)
		passed = bucket_police(&a->rx, size, passed, inspect_now(inspect));
	let_in = divided ? intake_in(inspect, m, size, passed) : passed;
	for_each_frame(i, frames & ~let_in)
	{
		inspect_drop(inspect, frames, i, DROP_POLICED);
		n_frames++;
		n_bytes += size[i];
		if (limited && (passed >> i & 1) != 0)
			bucket_give_back(&a->rx, size[i]);
	}
	if (unlikely(n_frames > 0))
		count(&a->policed_frames, &a->policed_bytes, n_frames, n_bytes);
	return let_in;
}
