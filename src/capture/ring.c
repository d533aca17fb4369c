/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture/ring.h"

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>

int ring_init(struct ring *ring)
{
	void *va = mmap(NULL, RING_SIZE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (va == MAP_FAILED)
		return -ENOMEM;
	ring->bytes = va;
	ring->read_seen = 0;
	atomic_init(&ring->written, 0);
	atomic_init(&ring->read, 0);
	return 0;
}

void ring_fini(struct ring *ring)
{
	if (ring->bytes != NULL)
		munmap(ring->bytes, RING_SIZE);
	ring->bytes = NULL;
}

static uint32_t offset_of(uint64_t position)
{
	return (uint32_t)(position % RING_SIZE);
}

void *ring_reserve(struct ring *ring, uint32_t size)
{
	uint64_t at = atomic_load_explicit(&ring->written, memory_order_relaxed);
	uint32_t left = RING_SIZE - offset_of(at), need = size <= left ? size : left + size;
	struct ring_head *head = (struct ring_head *)(ring->bytes + offset_of(at));

	if (at + need - ring->read_seen > RING_SIZE) {
		/* Whoever popped has read it all. */
		ring->read_seen = atomic_load_explicit(&ring->read, memory_order_acquire);
		if (at + need - ring->read_seen > RING_SIZE)
			return NULL;
	}
	if (size > left) {
		*head = (struct ring_head){ left, 1 };
		atomic_store_explicit(&ring->written, at + left, memory_order_release);
		head = (struct ring_head *)ring->bytes;
	}
	*head = (struct ring_head){ size, 0 };
	return head;
}

void ring_push(struct ring *ring, const void *record)
{
	const struct ring_head *head = record;
	uint64_t at = atomic_load_explicit(&ring->written, memory_order_relaxed);

	/* The record is there before it is seen. */
	atomic_store_explicit(&ring->written, at + head->size, memory_order_release);
}

const void *ring_peek(struct ring *ring)
{
	for (;;) {
		uint64_t at = atomic_load_explicit(&ring->read, memory_order_relaxed);
		const struct ring_head *head =
			(const struct ring_head *)(ring->bytes + offset_of(at));

		if (at == atomic_load_explicit(&ring->written, memory_order_acquire))
			return NULL;
		if (head->skip == 0)
			return head;
		ring_pop(ring, head);
	}
}

void ring_pop(struct ring *ring, const void *record)
{
	const struct ring_head *head = record;
	uint64_t at = atomic_load_explicit(&ring->read, memory_order_relaxed);

	/* It has been read before its room is given away. */
	atomic_store_explicit(&ring->read, at + head->size, memory_order_release);
}
