/* SPDX-License-Identifier: BSD-3-Clause */
/* Carries descriptors and data between a guest's ring and its shadow.
 *
 * Giving descriptors back takes two writes, since a message's bytes become visible in no order that is
 * promised: first all of the batch but the word that the driver will look at next, then this word. A
 * driver takes descriptors up in their order, so it touches none of the batch in between. */
#include <errno.h>

#include "dev/intelvf/relay_ring.h"

#define RELAY_BATCHES 4          /* in one call, for one ring */
#define PIECE_MIN     512        /* a client that takes less in a message is no use */
#define NOWHERE       UINT64_MAX /* an address in no window of the relay's memory */
#define NO_IDX        UINT32_MAX /* a slot that stands for no descriptor of the guest */

static struct endpoint_stats *stats_of(struct relay_queue *q)
{
	return endpoint_stats_self(&q->dev->vf.endpoint);
}

void relay_count_bad(struct relay_queue *q)
{
	uint64_t *bad = q->tx ? &stats_of(q)->bad_tx_desc : &stats_of(q)->bad_rx_desc;

	++*bad;
}

static void show_head(struct relay_queue *q, uint32_t head)
{
	if (q->tx)
		shared_store(&guest_tx_line(q->dev, q->idx)->tdh, head);
	else
		shared_store(&guest_rx_line(q->dev, q->idx)->rdh, head);
}

/* Workers keep them in the shadow's lines. */
void relay_show_statistics(struct intelvf *dev)
{
	struct rx_line *rx = guest_rx_line(dev, 0);
	struct tx_line *tx = guest_tx_line(dev, 0);

	if (!dev->family->has_line_stats)
		return;
	shared_store(&rx->stat_1c, shared_load(&rx_line(dev, 0)->stat_1c));
	shared_store(&rx->stat_20, shared_load(&rx_line(dev, 0)->stat_20));
	shared_store(&rx->stat_24, shared_load(&rx_line(dev, 0)->stat_24));
	shared_store(&rx->stat_34, shared_load(&rx_line(dev, 0)->stat_34));
	shared_store(&tx->stat_1c, shared_load(&tx_line(dev, 0)->stat_1c));
	shared_store(&tx->stat_20, shared_load(&tx_line(dev, 0)->stat_20));
	shared_store(&tx->stat_24, shared_load(&tx_line(dev, 0)->stat_24));
}

/* --- spans --- */

static void answered(void *arg, int err)
{
	struct relay_request *request = arg;
	struct relay_queue *q = request->q;

	request->span->n_out--;
	q->write_size -= request->write_size;
	request->span = NULL;
	__atomic_store_n(&q->n_out, q->n_out - 1, __ATOMIC_RELAXED);
	/* What is out for a ring that was stopped is only waited for. */
	if (err < 0 && q->status == RELAY_ON)
		relay_fail(q, err);
	relay_run(q->dev);
}

/* One message for what is left of the span, or a piece of it. */
static int ask(struct relay_queue *q, struct relay_span *span, bool to_guest)
{
	const struct vf *vf = &q->dev->vf;
	struct relay *r = q->dev->relay;
	struct relay_request *request = r->request;
	int ret = -EINVAL;

	if (q->n_out >= r->out_max)
		return -EBUSY;
	while (request->span != NULL)
		request++; /* as out_max leaves one free */
	for (;; r->piece /= 2) {
		uint64_t iova = span->iova + span->asked;
		uint8_t *buf = span->buf + span->asked;
		uint32_t size = span->size - span->asked;

		if (size > r->piece)
			size = r->piece;
		/* Clients answer and listen by turns: what we have said and they have not heard yet must
		 * fit the socket, or both wait for the other. */
		if (to_guest && q->write_size > 0 && q->write_size + size > RELAY_WRITE_MAX)
			return -EBUSY;
		*request = (struct relay_request){ q, span, to_guest ? size : 0 };
		ret = to_guest ? vf->upcalls->dma_write(vf->arg, iova, buf, size, answered, request)
			       : vf->upcalls->dma_read(vf->arg, iova, buf, size, answered, request);
		if (ret == 0) {
			span->asked += size;
			span->n_out++;
			q->write_size += request->write_size;
			__atomic_store_n(&q->n_out, q->n_out + 1, __ATOMIC_RELAXED);
			return 0;
		}
		request->span = NULL;
		/* Clients may take less than VF_DMA_MAX at once. */
		if (ret != -EINVAL || r->piece <= PIECE_MIN)
			break;
	}
	/* Answers of our own will come only if some are out. */
	if (ret == -EBUSY && q->n_out == 0)
		__atomic_store_n(&r->again, 1, __ATOMIC_RELAXED);
	return ret;
}

/* Words as one store, after everything before: the guest may be looking. */
static void copy_out(uint8_t *va, const uint8_t *buf, uint32_t size)
{
	uint64_t quad;
	uint32_t word;

	if (size == sizeof(quad) && (uintptr_t)va % sizeof(quad) == 0) {
		memcpy(&quad, buf, size);
		__atomic_store_n((uint64_t *)(void *)va, quad, __ATOMIC_RELEASE);
	} else if (size == sizeof(word) && (uintptr_t)va % sizeof(word) == 0) {
		memcpy(&word, buf, size);
		__atomic_store_n((uint32_t *)(void *)va, word, __ATOMIC_RELEASE);
	} else {
		memcpy(va, buf, size);
	}
}

static int push(struct relay_queue *q, struct relay_span *span, bool to_guest)
{
	const struct mem_table *table = mem_table(q->dev->vf.mem);
	uint32_t prot = to_guest ? MEM_WRITE : MEM_READ;
	bool by_message;

	if (!mem_covers(table, span->iova, span->size, prot, &by_message))
		return -EFAULT;
	if (!by_message) {
		uint8_t *va = mem_at(table, &q->hint, span->iova, span->size, prot);
		if (to_guest)
			copy_out(va, span->buf, span->size);
		else
			memcpy(span->buf, va, span->size);
		span->asked = span->size;
		return 0;
	}
	while (span->asked < span->size) {
		int ret = ask(q, span, to_guest);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* True: the span has arrived. False: not yet, or never, and then the queue is stopped. Nobody waits
 * here: call again after any event. */
static bool carry(struct relay_queue *q, struct relay_span *span, bool to_guest)
{
	if (span->asked < span->size) {
		int ret = push(q, span, to_guest);

		if (ret < 0 && ret != -EBUSY)
			relay_fail(q, ret);
		if (ret < 0)
			return false;
	}
	return span->n_out == 0;
}

static bool to_guest(struct relay_queue *q, struct relay_span *span)
{
	return carry(q, span, true);
}

static bool from_guest(struct relay_queue *q, struct relay_span *span)
{
	return carry(q, span, false);
}

bool relay_covers(const struct relay_queue *q, uint64_t iova, uint64_t size, uint32_t prot)
{
	bool by_message;

	return mem_covers(mem_table(q->dev->vf.mem), iova, size, prot, &by_message);
}

/* --- from the guest --- */

static uint32_t in_use(const struct relay_queue *q)
{
	return q->next - q->first;
}

static struct relay_slot *slot_at(const struct relay_queue *q, uint32_t n)
{
	return &q->slot[n % q->n_slots];
}

static void read_tail(struct relay_queue *q)
{
	uint32_t tail = shared_load_acquire(guest_tail(q));

	if (tail < q->n_desc)
		q->tail = tail;
	else if (tail == q->n_desc && !q->tx)
		q->tail = tail - 1; /* as rx_queue.h */
	else if (tail != q->seen)
		relay_count_bad(q);
	__atomic_store_n(&q->seen, tail, __ATOMIC_RELAXED);
}

/* Asks for the next descriptors, up to the end of the ring; there is none in the chunk. */
static bool read_chunk(struct relay_queue *q)
{
	uint32_t n = (q->tail >= q->fetch ? q->tail : q->n_desc) - q->fetch;

	if (n > RELAY_CHUNK)
		n = RELAY_CHUNK;
	if (n > q->n_slots - 1 - in_use(q))
		n = q->n_slots - 1 - in_use(q);
	if (n == 0)
		return false;
	q->n_chunk = n;
	q->chunk_at = 0;
	q->chunk = (struct relay_span){ .iova = q->base + (uint64_t)q->fetch * DESC_SIZE,
					.buf = (uint8_t *)q->chunk_desc,
					.size = n * DESC_SIZE };
	q->fetch = (q->fetch + n) % q->n_desc;
	return true;
}

/* A slot for the guest's descriptor `idx`, and its shadow: the same with an address of ours. */
static void fill_tx(struct relay_queue *q, struct relay_slot *s, uint32_t n)
{
	uint64_t lo = le64toh(s->desc.lo), hi = le64toh(s->desc.hi);
	uint32_t cmd = (uint32_t)hi, size = cmd & TXD_DTALEN;
	bool is_context = (cmd & TXD_CMD_DEXT) != 0 && (cmd & TXD_DTYP) == TXD_DTYP_CTXT;

	if (!is_context && size != 0) {
		if (relay_covers(q, lo, size, MEM_READ)) {
			s->data = (struct relay_span){ .iova = lo,
						       .buf = q->bufs + (size_t)n * q->slot_size,
						       .size = size };
			lo = q->bufs_iova + (uint64_t)n * q->slot_size;
		} else {
			s->nowhere = true;
			lo = NOWHERE;
		}
	}
	/* Each packet's end must be reported to us, whatever the guest wants to know. */
	if ((cmd & TXD_CMD_EOP) != 0)
		hi |= TXD_CMD_RS;
	hi &= ~((uint64_t)TXD_STAT_DD << 32);
	q->ring[n] = (struct relay_desc){ htole64(lo), htole64(hi) };
}

/* Bit 0 is DD's place. */
static uint64_t header_iova(const struct relay_slot *s)
{
	return le64toh(s->desc.hi) & ~1ull;
}

static void fill_rx(struct relay_queue *q, struct relay_slot *s, uint32_t n)
{
	uint32_t srrctl = shared_load(rx_srrctl(q->dev, guest_rx_line(q->dev, q->idx)));
	uint32_t size = (srrctl & q->dev->bsizepacket) << 10;
	uint64_t lo = q->bufs_iova + (uint64_t)n * q->slot_size;

	uint64_t hi = 0;

	s->nowhere = !relay_covers(q, le64toh(s->desc.lo), size, MEM_WRITE);
	if (q->hdr_size > 0) {
		hi = lo + q->slot_size - q->hdr_size;
		s->nowhere |= !relay_covers(q, header_iova(s), q->hdr_size, MEM_WRITE);
		if (s->nowhere)
			hi = NOWHERE - 1;
	}
	q->ring[n] = (struct relay_desc){ htole64(s->nowhere ? NOWHERE : lo), htole64(hi) };
}

static void fill(struct relay_queue *q, struct relay_desc desc, uint32_t idx)
{
	uint32_t n = q->next++ % q->n_slots;
	struct relay_slot *s = &q->slot[n];

	*s = (struct relay_slot){ .desc = desc, .idx = idx };
	if (q->tx)
		fill_tx(q, s, n);
	else
		fill_rx(q, s, n);
}

void relay_put_context(struct relay_queue *q, const struct tx_context *context)
{
	struct relay_desc d = { htole64(context->vlan_macip),
				htole64(context->tucmd | (uint64_t)context->mss_l4len << 32) };

	fill(q, d, NO_IDX);
}

/* Hands to the worker what is complete. Data is asked for in order, but may come in any. */
static void move_tail(struct relay_queue *q)
{
	uint32_t *tail = q->tx ? &tx_line(q->dev, q->idx)->tdt : &rx_line(q->dev, q->idx)->rdt;
	uint32_t was = q->ready;

	if (q->tx) {
		for (uint32_t n = q->ready; n != q->next && q->status == RELAY_ON; n++) {
			bool here = from_guest(q, &slot_at(q, n)->data);

			if (here && n == q->ready)
				q->ready++;
			if (slot_at(q, n)->data.asked < slot_at(q, n)->data.size)
				break;
		}
	} else {
		q->ready = q->next;
	}
	/* Release: the descriptors and the data first. */
	if (q->ready == was)
		return;
	__atomic_store_n(tail, htole32(q->ready % q->n_slots), __ATOMIC_RELEASE);
	if (q->tx)
		txq_wake(&q->dev->txq[q->idx].txq);
}

static void serve_posted(struct relay_queue *q)
{
	read_tail(q);
	while (q->status == RELAY_ON) {
		if (q->chunk_at == q->n_chunk && !read_chunk(q))
			break;
		if (!from_guest(q, &q->chunk))
			break;
		while (q->chunk_at < q->n_chunk) {
			uint32_t left = q->n_chunk - q->chunk_at;

			fill(q, q->chunk_desc[q->chunk_at++],
			     (q->fetch + q->n_desc - left) % q->n_desc);
		}
	}
	if (q->status == RELAY_ON)
		move_tail(q);
}

/* --- back to the guest --- */

static uint64_t shadow_hi(const struct relay_queue *q, uint32_t n)
{
	return le64toh(__atomic_load_n(&q->ring[n % q->n_slots].hi, __ATOMIC_ACQUIRE));
}

static bool is_done(const struct relay_queue *q, uint32_t n)
{
	uint64_t hi = shadow_hi(q, n);

	return ((q->tx || q->legacy ? hi >> 32 : hi) & 1) != 0;
}

/* Slots that the worker is done with. Of a packet that was sent, the last one says so for all. */
static uint32_t n_done(const struct relay_queue *q)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < q->ready - q->first; i++) {
		if (is_done(q, q->first + i))
			n = i + 1;
		else if (!q->tx)
			break;
	}
	return n;
}

static uint32_t rx_size(const struct relay_queue *q, uint64_t hi)
{
	uint32_t size = (uint32_t)(q->legacy ? hi : hi >> 32) & 0xffff;

	return size < q->slot_size ? size : q->slot_size;
}

/* What the worker wrote of it. */
static uint32_t header_size(const struct relay_queue *q, uint32_t n)
{
	uint32_t size = (uint32_t)(le64toh(q->ring[n].lo) >> RXD_HDR_LEN_SHIFT) & 0x3ff;

	if (size > q->hdr_size)
		return q->split_always ? q->hdr_size : 0;
	return size;
}

static uint64_t desc_iova(const struct relay_queue *q, uint32_t idx)
{
	return q->base + (uint64_t)idx * DESC_SIZE;
}

static void batch_rx(struct relay_queue *q)
{
	uint64_t at = desc_iova(q, slot_at(q, q->first)->idx);

	for (uint32_t i = 0; i < q->n_back; i++) {
		uint32_t n = (q->first + i) % q->n_slots;
		struct relay_slot *s = &q->slot[n];
		uint64_t hi = shadow_hi(q, n);

		q->back_desc[i] =
			(struct relay_desc){ q->legacy ? s->desc.lo : q->ring[n].lo, htole64(hi) };
		s->data = (struct relay_span){ .iova = le64toh(s->desc.lo),
					       .buf = q->bufs + (size_t)n * q->slot_size,
					       .size = s->nowhere ? 0 : rx_size(q, hi) };
		s->header = (struct relay_span){
			.iova = header_iova(s),
			.buf = q->bufs + (size_t)(n + 1) * q->slot_size - q->hdr_size,
			.size = s->nowhere ? 0 : header_size(q, n),
		};
	}
	/* Until the word is there the first one reads as no frame: no DD and no length, as the driver
	 * left it. */
	q->word_value = q->back_desc[0].hi;
	q->back_desc[0].hi = 0;
	q->word = (struct relay_span){ .iova = at + 8, .size = sizeof(uint64_t) };
	q->rest = (struct relay_span){ .iova = at,
				       .buf = (uint8_t *)q->back_desc,
				       .size = q->n_back * DESC_SIZE };
	q->wants_irq = true;
}

static bool wants_report(const struct relay_slot *s)
{
	uint64_t hi = le64toh(s->desc.hi);

	return (hi & TXD_CMD_EOP) != 0 && (hi & TXD_CMD_RS) != 0;
}

static uint32_t next_of(const struct relay_queue *q, uint32_t idx)
{
	return ++idx == q->n_desc ? 0 : idx;
}

/* The head behind the batch. */
static uint32_t head_after(const struct relay_queue *q)
{
	return next_of(q, slot_at(q, q->first + q->n_back - 1)->idx);
}

/* TDWBAL.Head_WB_En: the head is written instead of DD (DS 7.2.3.5.2). */
static bool batch_head(struct relay_queue *q)
{
	const struct tx_line *line = guest_tx_line(q->dev, q->idx);
	uint32_t tdwbal = shared_load(&line->tdwbal);
	uint64_t iova = (tdwbal & ~3u) | (uint64_t)shared_load(&line->tdwbah) << 32;

	if ((tdwbal & TDWBAL_HEAD_WB_EN) == 0)
		return false;
	q->word_value = htole64(head_after(q));
	if (relay_covers(q, iova, sizeof(uint32_t), MEM_WRITE))
		q->word = (struct relay_span){ .iova = iova, .size = sizeof(uint32_t) };
	else
		relay_count_bad(q);
	return true;
}

static void batch_tx(struct relay_queue *q)
{
	uint32_t from = UINT32_MAX, to = 0;
	uint64_t at;

	for (uint32_t i = 0; i < q->n_back; i++) {
		const struct relay_slot *s = slot_at(q, q->first + i);

		q->back_desc[i] = s->desc;
		if (!wants_report(s))
			continue;
		q->back_desc[i].hi =
			htole64((le64toh(s->desc.hi) & UINT32_MAX) | (uint64_t)TXD_STAT_DD << 32);
		from = i < from ? i : from;
		to = i;
	}
	q->wants_irq = from != UINT32_MAX;
	q->rest = q->word = (struct relay_span){ .size = 0 };
	if (!q->wants_irq || batch_head(q))
		return;
	at = desc_iova(q, slot_at(q, q->first)->idx + from);
	q->word_value = htole64(TXD_STAT_DD);
	q->word = (struct relay_span){ .iova = at + 12, .size = sizeof(uint32_t) };
	q->rest = (struct relay_span){ .iova = at + DESC_SIZE,
				       .buf = (uint8_t *)&q->back_desc[from + 1],
				       .size = (to - from) * DESC_SIZE };
}

/* Makes a batch of what the worker has done. */
static bool batch(struct relay_queue *q)
{
	uint32_t n = n_done(q), room;

	/* Contexts that we put in front are nobody's. */
	for (; n > 0 && slot_at(q, q->first)->idx == NO_IDX; n--)
		q->first++;
	if (n == 0)
		return false;
	room = q->n_desc - slot_at(q, q->first)->idx;
	n = n < RELAY_CHUNK ? n : RELAY_CHUNK;
	q->n_back = n < room ? n : room;
	if (q->tx)
		batch_tx(q);
	else
		batch_rx(q);
	q->word.buf = (uint8_t *)&q->word_value;
	q->back = RELAY_BACK_REST;
	return true;
}

static bool rest_is_back(struct relay_queue *q)
{
	bool all = to_guest(q, &q->rest);

	for (uint32_t i = 0; !q->tx && i < q->n_back && q->status == RELAY_ON; i++) {
		struct relay_slot *s = slot_at(q, q->first + i);

		all &= to_guest(q, &s->data);
		if (s->header.size > 0 && q->status == RELAY_ON)
			all &= to_guest(q, &s->header);
	}
	return all;
}

static void finish_batch(struct relay_queue *q)
{
	show_head(q, head_after(q));
	relay_show_statistics(q->dev);
	q->first += q->n_back;
	q->back = RELAY_BACK_NONE;
	if (q->wants_irq)
		stats_of(q)->irqs += q->tx ? intr_raise_tx(q->dev, q->idx)
					   : intr_raise_rx(q->dev, q->idx);
}

/* True: a batch has reached the guest. */
static bool serve_done(struct relay_queue *q)
{
	if (q->back == RELAY_BACK_NONE && !batch(q))
		return false;
	if (q->back == RELAY_BACK_REST) {
		if (!rest_is_back(q) || q->status != RELAY_ON)
			return false;
		q->back = RELAY_BACK_WORD;
	}
	if (!to_guest(q, &q->word))
		return false;
	finish_batch(q);
	return true;
}

/* Bits that the guest may change under way, as VME. */
static void follow_ctl(struct relay_queue *q)
{
	uint32_t ctl = shared_load(guest_ctl(q->dev, q->idx, q->tx)) | RXDCTL_ENABLE;

	if (ctl != shared_load(shadow_ctl(q)))
		shared_store(shadow_ctl(q), ctl);
}

/* Device I/O has other VFs to see to: a ring that always has more is gone on with after them. */
void relay_serve(struct relay_queue *q)
{
	if (q->status == RELAY_ON)
		follow_ctl(q);
	for (unsigned int i = 0; q->status == RELAY_ON; i++) {
		serve_posted(q);
		if (q->status != RELAY_ON || !serve_done(q))
			break;
		if (i == RELAY_BATCHES) {
			q->dev->vf.upcalls->kick(q->dev->vf.arg);
			break;
		}
	}
}
