/* SPDX-License-Identifier: BSD-3-Clause */
/* When relaying begins and ends, and when its rings are taken up and given up. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "dev/intelvf/relay_ring.h"

#define AREA      "intelvf"
#define MEMORY_AT 0x100000000 /* where the relay's memory lies for the workers */

/* --- rings --- */

/* Workers leave the shadow ring when they like; take_up waits for them. */
static void queue_stop(struct relay_queue *q, enum relay_status status)
{
	shared_store(shadow_ctl(q), 0);
	__atomic_store_n(&q->status, (uint8_t)status, __ATOMIC_RELAXED);
}

void relay_fail(struct relay_queue *q, int err)
{
	struct intelvf *dev = q->dev;

	queue_stop(q, RELAY_BAD);
	if (err == -ECONNRESET || err == -ENOTCONN)
		return; /* the reset is on its way */
	dev->vf.counters.relay_stops++;
	if (log_limit_pass(&dev->limit_relay, AREA))
		log_warn(AREA, "%s: %s ring %u stops: a DMA message failed: %s",
			 dev->vf.model->name, q->tx ? "transmit" : "receive", q->idx,
			 strerror(-err));
}

static void line_up_rx(struct relay_queue *q)
{
	struct rx_line *line = rx_line(q->dev, q->idx);
	uint32_t srrctl = shared_load(rx_srrctl(q->dev, guest_rx_line(q->dev, q->idx)));
	uint32_t size = srrctl & q->dev->bsizepacket;

	q->legacy = (srrctl & SRRCTL_DESCTYPE) == SRRCTL_DESCTYPE_LEGACY;
	q->hdr_size = srrctl_hdr_size(srrctl);
	q->split_always = (srrctl & SRRCTL_DESCTYPE) == SRRCTL_DESCTYPE_ALWAYS;
	if (size > (RELAY_RX_SLOT_SIZE - q->hdr_size) >> 10)
		size = (RELAY_RX_SLOT_SIZE - q->hdr_size) >> 10;
	shared_store(rx_srrctl(q->dev, line), (srrctl & ~q->dev->bsizepacket) | size);
	shared_store(&line->rdbal, (uint32_t)q->ring_iova);
	shared_store(&line->rdbah, (uint32_t)(q->ring_iova >> 32));
	shared_store(&line->rdlen, q->n_slots * DESC_SIZE);
	shared_store(&line->rdh, 0);
	shared_store(&line->rdt, 0);
}

static void line_up_tx(struct relay_queue *q)
{
	struct tx_line *line = tx_line(q->dev, q->idx);

	shared_store(&line->tdbal, (uint32_t)q->ring_iova);
	shared_store(&line->tdbah, (uint32_t)(q->ring_iova >> 32));
	shared_store(&line->tdlen, q->n_slots * DESC_SIZE);
	shared_store(&line->tdh, 0);
	shared_store(&line->tdt, 0);
	shared_store(&line->tdwbal, 0);
	/* So that a worker that never saw the ring disabled takes it up afresh. */
	__atomic_fetch_add(&q->dev->st->tx_epoch[q->idx], 1, __ATOMIC_RELEASE);
}

/* No worker is in the shadow ring and no answer is out. */
static void take_up(struct relay_queue *q)
{
	struct ring_regs r = guest_regs(q->dev, q->idx, q->tx);

	__atomic_store_n(&q->base, r.base, __ATOMIC_RELAXED);
	__atomic_store_n(&q->size, r.size, __ATOMIC_RELAXED);
	q->n_desc = r.size / DESC_SIZE;
	if (!ring_regs_valid(&r) || !relay_covers(q, r.base, r.size, MEM_READ | MEM_WRITE)) {
		relay_count_bad(q);
		queue_stop(q, RELAY_BAD);
		return;
	}
	q->fetch = q->live ? q->live_head : r.head;
	q->tail = q->fetch;
	q->n_chunk = q->chunk_at = 0;
	q->first = q->ready = q->next = 0;
	q->back = RELAY_BACK_NONE;
	q->chunk = q->rest = q->word = (struct relay_span){ .size = 0 };
	memset(q->ring, 0, q->n_slots * sizeof(*q->ring));
	if (q->tx)
		line_up_tx(q);
	else
		line_up_rx(q);
	/* For packets that rely on what was set before. */
	for (unsigned int i = 0; q->live && q->tx && i < ARRAY_SIZE(q->live_ctx); i++)
		if (q->live_ctx[i].valid)
			relay_put_context(q, &q->live_ctx[i]);
	__atomic_store_n(&q->status, RELAY_ON, __ATOMIC_RELAXED);
	/* Release: the rest of the line, and the table, first. */
	__atomic_store_n(shadow_ctl(q),
			 htole32(shared_load(guest_ctl(q->dev, q->idx, q->tx)) | RXDCTL_ENABLE),
			 __ATOMIC_RELEASE);
}

static bool has_changed(const struct relay_queue *q)
{
	struct ring_regs r = guest_regs(q->dev, q->idx, q->tx);

	return r.base != __atomic_load_n(&q->base, __ATOMIC_RELAXED) ||
	       r.size != __atomic_load_n(&q->size, __ATOMIC_RELAXED);
}

static void take_up_all(struct intelvf *dev)
{
	struct relay *r = dev->relay;

	/* Workers leave the shadow rings that were stopped. */
	ring_look(dev);
	dev->vf.upcalls->quiesce(dev->vf.arg);
	for (unsigned int i = 0; i < r->n_rings; i++) {
		struct relay_queue *q = &r->queue[i];

		if (q->status == RELAY_OFF && q->n_out == 0 && is_enabled(dev, q->idx, q->tx))
			take_up(q);
	}
	/* `running` */
	ring_look(dev);
}

static void follow_enables(struct intelvf *dev)
{
	struct relay *r = dev->relay;
	bool due = false;

	for (unsigned int i = 0; i < r->n_rings; i++) {
		struct relay_queue *q = &r->queue[i];
		bool enabled = is_enabled(dev, q->idx, q->tx);

		if (q->status != RELAY_OFF && (!enabled || has_changed(q)))
			queue_stop(q, RELAY_OFF);
		due |= enabled && q->status == RELAY_OFF && q->n_out == 0;
	}
	if (due)
		take_up_all(dev);
	/* Only what was live when the relay began can be taken up so, and that was the moment. */
	for (unsigned int i = 0; i < r->n_rings; i++)
		r->queue[i].live = false;
}

/* --- the relay's life --- */

static void relay_free(struct relay *r)
{
	if (r == NULL)
		return;
	mem_table_free(r->table);
	if (r->memory != NULL)
		munmap(r->memory, r->memory_size);
	for (unsigned int i = 0; r->queue != NULL && i < r->n_rings; i++)
		free(r->queue[i].slot);
	free(r->queue);
	free(r);
}

/* Gives queue i its rooms in the memory; returns the offset behind them. */
static uint64_t place(struct relay *r, unsigned int i, uint64_t at)
{
	struct relay_queue *q = &r->queue[i];
	uint64_t ring_size;

	q->tx = i % 2 == 1;
	q->idx = i / 2;
	q->n_slots = q->tx ? RELAY_TX_SLOTS : RELAY_RX_SLOTS;
	q->slot_size = q->tx ? RELAY_TX_SLOT_SIZE : RELAY_RX_SLOT_SIZE;
	ring_size = q->n_slots * (uint64_t)DESC_SIZE;
	if (r->memory != NULL) {
		q->ring = (struct relay_desc *)(void *)(r->memory + at);
		q->ring_iova = MEMORY_AT + at;
		q->bufs = r->memory + at + ring_size;
		q->bufs_iova = q->ring_iova + ring_size;
	}
	return at + ring_size + (uint64_t)q->n_slots * q->slot_size;
}

static struct relay *relay_new(struct intelvf *dev)
{
	size_t size = (sizeof(struct relay) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	struct relay *r = aligned_alloc(CACHE_LINE, size);
	struct mem_window window = { .iova = MEMORY_AT, .prot = MEM_READ | MEM_WRITE };
	void *memory;

	if (r == NULL)
		return NULL;
	memset(r, 0, size);
	r->piece = VF_DMA_MAX;
	r->n_rings = 2u * dev->st->n_queues;
	r->out_max = VF_DMA_QUEUED / r->n_rings;
	r->queue = calloc(r->n_rings, sizeof(*r->queue));
	if (r->queue == NULL)
		goto fail;
	for (unsigned int i = 0; i < r->n_rings; i++) {
		r->memory_size = place(r, i, r->memory_size);
		r->queue[i].dev = dev;
		r->queue[i].slot = calloc(r->queue[i].n_slots, sizeof(struct relay_slot));
		if (r->queue[i].slot == NULL)
			goto fail;
	}
	/* Pages that no packet has used cost nothing. */
	memory = mmap(NULL, r->memory_size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		goto fail;
	r->memory = memory;
	window.va = r->memory;
	window.size = r->memory_size;
	r->table = mem_table_new(&window, 1);
	if (r->table == NULL)
		goto fail;
	for (uint64_t i = 0, at = 0; i < r->n_rings; i++)
		at = place(r, (unsigned int)i, at);
	return r;
fail:
	relay_free(r);
	return NULL;
}

static struct ring_state *ring_of(const struct relay_queue *q)
{
	return q->tx ? &q->dev->st->tx[q->idx].ring : &q->dev->st->rx[q->idx].ring;
}

/* Which rings workers use now. */
static void note_live(struct relay_queue *q)
{
	const struct ring_state *ring = ring_of(q);
	struct ring_regs r = guest_regs(q->dev, q->idx, q->tx);

	q->live = __atomic_load_n(&ring->status, __ATOMIC_ACQUIRE) == RING_ON &&
		  ring->base == r.base && ring->size == r.size && is_enabled(q->dev, q->idx, q->tx);
}

/* And where they have left them. */
static void note_heads(struct relay_queue *q)
{
	if (!q->live)
		return;
	q->live_head = ring_of(q)->head;
	if (q->tx)
		memcpy(q->live_ctx, q->dev->st->tx[q->idx].ctx, sizeof(q->live_ctx));
}

/* A worker reads relay_table first and then, in a line, ENABLE; so: lines with no ring enabled, then
 * the table, then (when it cannot have the old table any more) ENABLE. */
static bool enter(struct intelvf *dev)
{
	struct relay *r = relay_new(dev);

	if (r == NULL) {
		if (log_limit_pass(&dev->limit_relay, AREA))
			log_err(AREA, "%s: no memory to work by messages", dev->vf.model->name);
		return false;
	}
	dev->vf.counters.relays++;
	if (!dev->relay_told && log_limit_pass(&dev->limit_relay, AREA))
		log_warn(AREA,
			 "%s: the guest's memory is not shared: the VF works by messages, slowly "
			 "(QEMU: memory-backend with share=on)",
			 dev->vf.model->name);
	dev->relay_told = true;
	memcpy(r->lines, dev->pages, sizeof(r->lines));
	for (unsigned int i = 0; i < r->n_rings; i++)
		note_live(&r->queue[i]);
	for (unsigned int i = 0; i < INTELVF_QUEUES_MAX; i++) {
		rx_line_in(dev, r->lines, i)->rxdctl = 0;
		tx_line_in(dev, r->lines, i)->txdctl = 0;
	}
	__atomic_store_n(&dev->lines, r->lines, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->relay_table, r->table, __ATOMIC_RELEASE);
	dev->vf.upcalls->quiesce(dev->vf.arg);
	for (unsigned int i = 0; i < r->n_rings; i++)
		note_heads(&r->queue[i]);
	__atomic_store_n(&dev->relay, r, __ATOMIC_RELEASE);
	return true;
}

/* All rings are off. The other way round: the table, then (when no worker has the old one) the lines,
 * in which a guest's ring may be enabled already. */
static void leave(struct intelvf *dev)
{
	struct relay *r = dev->relay;

	ring_look(dev);
	relay_show_statistics(dev);
	for (unsigned int i = 0; i < dev->st->n_queues; i++)
		__atomic_fetch_add(&dev->st->tx_epoch[i], 1, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->relay, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(&dev->relay_table, NULL, __ATOMIC_RELEASE);
	dev->vf.upcalls->quiesce(dev->vf.arg);
	__atomic_store_n(&dev->lines, dev->pages, __ATOMIC_RELEASE);
	/* Until then a worker may still look at the relay's lines. */
	dev->vf.upcalls->quiesce(dev->vf.arg);
	relay_free(r);
}

static bool is_over(const struct intelvf *dev)
{
	const struct relay *r = dev->relay;

	for (unsigned int i = 0; i < r->n_rings; i++) {
		const struct relay_queue *q = &r->queue[i];

		if (q->status != RELAY_OFF || q->n_out > 0 || is_enabled(dev, q->idx, q->tx))
			return false;
	}
	return true;
}

/* Whether a ring that waits to be taken up needs messages. */
static bool needs_relay(const struct intelvf *dev, unsigned int idx, bool tx)
{
	const struct ring_state *ring = tx ? &dev->st->tx[idx].ring : &dev->st->rx[idx].ring;
	struct ring_regs r;
	bool by_message;

	if (__atomic_load_n(&ring->status, __ATOMIC_ACQUIRE) == RING_ON ||
	    !is_enabled(dev, idx, tx))
		return false;
	r = guest_regs(dev, idx, tx);
	return ring_regs_valid(&r) &&
	       mem_covers(mem_table(dev->vf.mem), r.base, r.size, MEM_READ | MEM_WRITE,
			  &by_message) &&
	       by_message;
}

static bool is_due(struct intelvf *dev)
{
	if (dev->vf.upcalls->dma_read == NULL)
		return false;
	if (__atomic_exchange_n(&dev->relay_asked, 0, __ATOMIC_RELAXED) != 0)
		return true;
	for (unsigned int q = 0; q < dev->st->n_queues; q++)
		if (needs_relay(dev, q, false) || needs_relay(dev, q, true))
			return true;
	return false;
}

void relay_run(struct intelvf *dev)
{
	struct relay *r = dev->relay;

	follow_enables(dev);
	for (unsigned int i = 0; i < r->n_rings; i++)
		relay_serve(&r->queue[i]);
	if (is_over(dev))
		leave(dev);
}

/* Frames that went the old way last may have found nobody to raise their interrupt. */
static void raise_missed(struct intelvf *dev)
{
	for (unsigned int q = 0; q < dev->st->n_queues; q++) {
		intr_raise_rx(dev, q);
		intr_raise_tx(dev, q);
	}
}

void relay_trap(struct intelvf *dev)
{
	bool is_new = dev->relay == NULL;

	if (likely(is_new && !is_due(dev)))
		return;
	if (is_new && !enter(dev))
		return;
	relay_run(dev);
	if (is_new)
		raise_missed(dev);
}

static bool wants_service(const struct relay_queue *q)
{
	uint8_t status = __atomic_load_n(&q->status, __ATOMIC_RELAXED);

	/* A ring that waits for the answers of its last life is taken up when they have come. */
	if ((status != RELAY_OFF) != is_enabled(q->dev, q->idx, q->tx))
		return status != RELAY_OFF || __atomic_load_n(&q->n_out, __ATOMIC_RELAXED) == 0;
	if (status != RELAY_OFF && has_changed(q))
		return true;
	return status == RELAY_ON &&
	       shared_load(guest_tail(q)) != __atomic_load_n(&q->seen, __ATOMIC_RELAXED);
}

void relay_poll(struct intelvf *dev, unsigned int q)
{
	struct relay *r = __atomic_load_n(&dev->relay, __ATOMIC_ACQUIRE);
	const struct relay_queue *pair;

	if (r == NULL)
		return;
	pair = &r->queue[(size_t)q * 2];
	if (wants_service(&pair[0]) || wants_service(&pair[1]) ||
	    __atomic_load_n(&r->again, __ATOMIC_RELAXED) != 0) {
		__atomic_store_n(&r->again, 0, __ATOMIC_RELAXED);
		dev->vf.upcalls->kick(dev->vf.arg);
	}
}

bool relay_wanted(struct intelvf *dev, const struct mem_table *table, uint64_t iova, uint64_t size,
		  uint32_t prot)
{
	bool by_message;

	if (dev->vf.upcalls->dma_read == NULL ||
	    !mem_covers(table, iova, size, prot, &by_message) || !by_message)
		return false;
	__atomic_store_n(&dev->relay_asked, 1, __ATOMIC_RELAXED);
	dev->vf.upcalls->kick(dev->vf.arg);
	return true;
}

void relay_destroy(struct intelvf *dev)
{
	relay_free(dev->relay);
	dev->relay = NULL;
}
