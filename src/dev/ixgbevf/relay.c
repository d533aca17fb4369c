/* SPDX-License-Identifier: BSD-3-Clause */
/* See relay.h for what this is.
 *
 * Each ring is a row of slots, one for each shadow descriptor in use, counted on without end:
 *
 *     first          ready             next
 *       | worker has it |  data under way  |
 *
 * service() takes a ring as far as it gets, from whatever state it is in, and is called after every
 * event; so an answer only has to be noted down. What is carried is a `struct span`: it knows how
 * much of it has been asked for and how many answers are out.
 *
 * Giving descriptors back takes two writes, since a message's bytes become visible in no order that is
 * promised: first all of the batch but the word that the driver will look at next, then this word. A
 * driver takes descriptors up in their order, so it touches none of the batch in between. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "dev/ixgbevf/relay.h"

#define AREA "ixgbevf"

#define CHUNK     64          /* descriptors that are read, or given back, at once */
#define PIECE_MIN 512         /* a client that takes less in a message is no use */
#define NOWHERE   UINT64_MAX  /* an address in no window of the relay's memory */
#define NO_IDX    UINT32_MAX  /* a slot that stands for no descriptor of the guest */
#define MEMORY_AT 0x100000000 /* where the relay's memory lies for the workers */

struct desc {
	uint64_t lo, hi;
};
_Static_assert(sizeof(struct desc) == DESC_SIZE, "DS 7.1.5, 7.2.3.2");

struct span {
	uint64_t iova;
	uint8_t *buf;
	uint32_t size;
	uint32_t asked; /* bytes */
	uint32_t n_out;
};

struct slot {
	struct desc desc; /* the guest's */
	uint32_t idx;     /* and where it lies in its ring */
	struct span data;
};

enum queue_status {
	QUEUE_OFF, /* -> ON when the guest's ENABLE is set and n_out is 0 */
	QUEUE_ON,  /* -> OFF when ENABLE is clear, -> BAD when a message fails */
	QUEUE_BAD, /* -> OFF when ENABLE is clear, or base or length have changed */
};

enum back {
	BACK_NONE,
	BACK_REST, /* of the batch, and the data of received frames */
	BACK_WORD, /* that makes the batch visible */
};

struct queue {
	struct ixgbevf *dev;
	bool tx;
	bool legacy; /* receive: format of the descriptors */
	uint8_t status;
	uint8_t back; /* enum back */
	uint32_t idx;
	uint32_t hint;
	uint32_t n_out;   /* answers that are out, also for a ring that is off by now */
	uint32_t n_slots; /* of slot[], and descriptors of the shadow ring */
	uint32_t slot_size;
	/* The guest's ring */
	uint64_t base;
	uint32_t size, n_desc;
	uint32_t fetch; /* next descriptor to read */
	uint32_t tail;  /* last good one */
	uint32_t seen;  /* the register as it was read last; workers read it */
	/* Descriptors read; those from chunk_at on have no slot yet. */
	uint32_t n_chunk, chunk_at;
	struct span chunk;
	struct desc chunk_desc[CHUNK];
	uint32_t first, ready, next;
	struct slot *slot;
	/* The batch on its way back: n_back slots from `first`. */
	uint32_t n_back;
	bool wants_irq;
	struct span rest, word;
	struct desc back_desc[CHUNK];
	/* The shadow ring and its buffers */
	struct desc *ring;
	uint8_t *bufs;
	uint64_t ring_iova, bufs_iova;
};

struct request {
	struct queue *q;
	struct span *span; /* NULL: free */
};

struct relay {
	uint8_t lines[2 * IXGBEVF_PAGE] __attribute__((aligned(CACHE_LINE)));
	struct mem_table *table;
	uint8_t *memory;
	uint64_t memory_size;
	uint32_t piece; /* bytes in a message */
	uint32_t out_max; /* answers that may be out for one ring */
	uint32_t again; /* a message could not be sent: workers kick */
	unsigned int n_queues;
	struct queue *queue; /* receive 0, transmit 0, receive 1, ... */
	struct request request[VF_DMA_QUEUED];
};

static void service(struct queue *q);
static void queue_fail(struct queue *q, int err);
static void relay_run(struct ixgbevf *dev);

static struct endpoint_stats *stats_of(struct queue *q)
{
	return endpoint_stats_self(&q->dev->vf.endpoint);
}

static void count_bad(struct queue *q)
{
	uint64_t *bad = q->tx ? &stats_of(q)->bad_tx_desc : &stats_of(q)->bad_rx_desc;

	++*bad;
}

/* --- the guest's registers --- */

static const uint32_t *guest_ctl(const struct ixgbevf *dev, unsigned int idx, bool tx)
{
	return tx ? &guest_tx_line(dev, idx)->txdctl : &guest_rx_line(dev, idx)->rxdctl;
}

static const uint32_t *guest_tail(const struct queue *q)
{
	return q->tx ? &guest_tx_line(q->dev, q->idx)->tdt : &guest_rx_line(q->dev, q->idx)->rdt;
}

static struct ring_regs guest_regs(const struct ixgbevf *dev, unsigned int idx, bool tx)
{
	return tx ? ring_tx_regs(guest_tx_line(dev, idx)) : ring_rx_regs(guest_rx_line(dev, idx));
}

_Static_assert(RXDCTL_ENABLE == TXDCTL_ENABLE, "one bit for both");

static bool is_enabled(const struct ixgbevf *dev, unsigned int idx, bool tx)
{
	return (shared_load_acquire(guest_ctl(dev, idx, tx)) & RXDCTL_ENABLE) != 0 &&
	       ixgbevf_may_dma(dev);
}

static void show_head(struct queue *q, uint32_t head)
{
	struct rx_line *rx = guest_rx_line(q->dev, 0), *rx_from = rx_line(q->dev, 0);
	struct tx_line *tx = guest_tx_line(q->dev, 0), *tx_from = tx_line(q->dev, 0);

	if (q->tx)
		shared_store(&guest_tx_line(q->dev, q->idx)->tdh, head);
	else
		shared_store(&guest_rx_line(q->dev, q->idx)->rdh, head);
	/* The statistics, which workers keep in the shadow's lines. */
	shared_store(&rx->stat_1c, shared_load(&rx_from->stat_1c));
	shared_store(&rx->stat_20, shared_load(&rx_from->stat_20));
	shared_store(&rx->stat_24, shared_load(&rx_from->stat_24));
	shared_store(&rx->stat_34, shared_load(&rx_from->stat_34));
	shared_store(&tx->stat_1c, shared_load(&tx_from->stat_1c));
	shared_store(&tx->stat_20, shared_load(&tx_from->stat_20));
	shared_store(&tx->stat_24, shared_load(&tx_from->stat_24));
}

/* --- spans --- */

static void answered(void *arg, int err)
{
	struct request *request = arg;
	struct queue *q = request->q;
	struct ixgbevf *dev = q->dev;

	request->span->n_out--;
	request->span = NULL;
	q->n_out--;
	/* What is out for a ring that was stopped is only waited for. */
	if (err < 0 && q->status == QUEUE_ON)
		queue_fail(q, err);
	if (q->status == QUEUE_ON)
		service(q);
	else if (q->n_out == 0)
		relay_run(dev);
}

/* One message for what is left of the span, or a piece of it. */
static int ask(struct queue *q, struct span *span, bool to_guest)
{
	const struct vf *vf = &q->dev->vf;
	struct relay *r = q->dev->relay;
	struct request *request = r->request;
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
		*request = (struct request){ q, span };
		ret = to_guest ? vf->upcalls->dma_write(vf->arg, iova, buf, size, answered, request)
			       : vf->upcalls->dma_read(vf->arg, iova, buf, size, answered, request);
		if (ret == 0) {
			span->asked += size;
			span->n_out++;
			q->n_out++;
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

static int push(struct queue *q, struct span *span, bool to_guest)
{
	const struct mem_table *table = mem_table(q->dev->vf.mem);
	uint32_t prot = to_guest ? MEM_WRITE : MEM_READ;
	bool by_message;
	uint8_t *va;

	if (!mem_covers(table, span->iova, span->size, prot, &by_message))
		return -EFAULT;
	if (!by_message) {
		va = mem_at(table, &q->hint, span->iova, span->size, prot);
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
static bool carry(struct queue *q, struct span *span, bool to_guest)
{
	if (span->asked < span->size) {
		int ret = push(q, span, to_guest);

		if (ret < 0 && ret != -EBUSY)
			queue_fail(q, ret);
		if (ret < 0)
			return false;
	}
	return span->n_out == 0;
}

static bool to_guest(struct queue *q, struct span *span)
{
	return carry(q, span, true);
}

static bool from_guest(struct queue *q, struct span *span)
{
	return carry(q, span, false);
}

static bool is_covered(const struct queue *q, uint64_t iova, uint64_t size, uint32_t prot)
{
	bool by_message;

	return mem_covers(mem_table(q->dev->vf.mem), iova, size, prot, &by_message);
}

/* --- from the guest --- */

static uint32_t in_use(const struct queue *q)
{
	return q->next - q->first;
}

static struct slot *slot_at(const struct queue *q, uint32_t n)
{
	return &q->slot[n % q->n_slots];
}

static void read_tail(struct queue *q)
{
	uint32_t tail = shared_load_acquire(guest_tail(q));

	if (tail < q->n_desc)
		q->tail = tail;
	else if (tail != q->seen)
		count_bad(q);
	__atomic_store_n(&q->seen, tail, __ATOMIC_RELAXED);
}

/* Asks for the next descriptors, up to the end of the ring; there is none in the chunk. */
static bool read_chunk(struct queue *q)
{
	uint32_t n = (q->tail >= q->fetch ? q->tail : q->n_desc) - q->fetch;

	if (n > CHUNK)
		n = CHUNK;
	if (n > q->n_slots - 1 - in_use(q))
		n = q->n_slots - 1 - in_use(q);
	if (n == 0)
		return false;
	q->n_chunk = n;
	q->chunk_at = 0;
	q->chunk = (struct span){ .iova = q->base + (uint64_t)q->fetch * DESC_SIZE,
				  .buf = (uint8_t *)q->chunk_desc,
				  .size = n * DESC_SIZE };
	q->fetch = (q->fetch + n) % q->n_desc;
	return true;
}

/* A slot for the guest's descriptor `idx`, and its shadow: the same with an address of ours. */
static void fill_tx(struct queue *q, struct slot *s, uint32_t n)
{
	uint64_t lo = le64toh(s->desc.lo), hi = le64toh(s->desc.hi);
	uint32_t cmd = (uint32_t)hi, size = cmd & TXD_DTALEN;
	bool is_context = (cmd & TXD_CMD_DEXT) != 0 && (cmd & TXD_DTYP) == TXD_DTYP_CTXT;

	if (!is_context && size != 0) {
		if (is_covered(q, lo, size, MEM_READ)) {
			s->data = (struct span){ .iova = lo,
						 .buf = q->bufs + (size_t)n * q->slot_size,
						 .size = size };
			lo = q->bufs_iova + (uint64_t)n * q->slot_size;
		} else {
			lo = NOWHERE;
		}
	}
	/* Each packet's end must be reported to us, whatever the guest wants to know. */
	if ((cmd & TXD_CMD_EOP) != 0)
		hi |= TXD_CMD_RS;
	hi &= ~((uint64_t)TXD_STAT_DD << 32);
	q->ring[n] = (struct desc){ htole64(lo), htole64(hi) };
}

static void fill_rx(struct queue *q, struct slot *s, uint32_t n)
{
	uint32_t srrctl = shared_load(&guest_rx_line(q->dev, q->idx)->srrctl);
	uint32_t size = (srrctl & SRRCTL_BSIZEPACKET) << 10;
	uint64_t lo = NOWHERE;

	if (is_covered(q, le64toh(s->desc.lo), size, MEM_WRITE))
		lo = q->bufs_iova + (uint64_t)n * q->slot_size;
	q->ring[n] = (struct desc){ htole64(lo), 0 };
}

static void fill(struct queue *q, struct desc desc, uint32_t idx)
{
	uint32_t n = q->next++ % q->n_slots;
	struct slot *s = &q->slot[n];

	*s = (struct slot){ .desc = desc, .idx = idx };
	if (q->tx)
		fill_tx(q, s, n);
	else
		fill_rx(q, s, n);
}

/* Hands to the worker what is complete. Data is asked for in order, but may come in any. */
static void move_tail(struct queue *q)
{
	uint32_t *tail = q->tx ? &tx_line(q->dev, q->idx)->tdt : &rx_line(q->dev, q->idx)->rdt;
	uint32_t was = q->ready;

	if (q->tx) {
		for (uint32_t n = q->ready; n != q->next && q->status == QUEUE_ON; n++) {
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
	if (q->ready != was)
		__atomic_store_n(tail, htole32(q->ready % q->n_slots), __ATOMIC_RELEASE);
}

static void serve_posted(struct queue *q)
{
	read_tail(q);
	while (q->status == QUEUE_ON) {
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
	if (q->status == QUEUE_ON)
		move_tail(q);
}

/* --- back to the guest --- */

static uint64_t shadow_hi(const struct queue *q, uint32_t n)
{
	return le64toh(__atomic_load_n(&q->ring[n % q->n_slots].hi, __ATOMIC_ACQUIRE));
}

static bool is_done(const struct queue *q, uint32_t n)
{
	uint64_t hi = shadow_hi(q, n);

	return ((q->tx || q->legacy ? hi >> 32 : hi) & 1) != 0;
}

/* Slots that the worker is done with. Of a packet that was sent, the last one says so for all. */
static uint32_t n_done(const struct queue *q)
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

static uint32_t rx_size(const struct queue *q, uint64_t hi)
{
	uint32_t size = (uint32_t)(q->legacy ? hi : hi >> 32) & 0xffff;

	return size < q->slot_size ? size : q->slot_size;
}

static void batch_rx(struct queue *q)
{
	for (uint32_t i = 0; i < q->n_back; i++) {
		uint32_t n = (q->first + i) % q->n_slots;
		struct slot *s = &q->slot[n];
		uint64_t hi = shadow_hi(q, n);

		q->back_desc[i] = (struct desc){ q->ring[n].lo, htole64(hi) };
		if (le64toh(q->ring[n].lo) == NOWHERE || q->legacy)
			q->back_desc[i].lo = s->desc.lo;
		s->data = (struct span){ .iova = le64toh(s->desc.lo),
					 .buf = q->bufs + (size_t)n * q->slot_size,
					 .size = rx_size(q, hi) };
		/* Nothing was put into a buffer that is nowhere. */
		if (!is_covered(q, s->data.iova, s->data.size, MEM_WRITE))
			s->data.size = 0;
	}
	q->wants_irq = true;
	q->word = (struct span){ .iova = q->base + slot_at(q, q->first)->idx * DESC_SIZE + 8,
				 .size = sizeof(uint64_t) };
	/* Until then it reads as no frame: no DD and no length, as the driver left it. */
	q->rest = (struct span){ .iova = q->word.iova - 8,
				 .buf = (uint8_t *)q->back_desc,
				 .size = q->n_back * DESC_SIZE };
}

static bool wants_report(const struct slot *s)
{
	uint64_t hi = le64toh(s->desc.hi);

	return (hi & TXD_CMD_EOP) != 0 && (hi & TXD_CMD_RS) != 0;
}

/* TDWBAL.Head_WB_En: one word instead of DD. */
static bool batch_head(struct queue *q)
{
	const struct tx_line *line = guest_tx_line(q->dev, q->idx);
	uint32_t tdwbal = shared_load(&line->tdwbal);
	uint64_t iova = (tdwbal & ~3u) | (uint64_t)shared_load(&line->tdwbah) << 32;

	if ((tdwbal & TDWBAL_HEAD_WB_EN) == 0)
		return false;
	if (is_covered(q, iova, sizeof(uint32_t), MEM_WRITE))
		q->word = (struct span){ .iova = iova, .size = sizeof(uint32_t) };
	else
		count_bad(q);
	return true;
}

static void batch_tx(struct queue *q)
{
	uint32_t from = UINT32_MAX, to = 0;
	uint64_t at;

	for (uint32_t i = 0; i < q->n_back; i++) {
		const struct slot *s = slot_at(q, q->first + i);

		q->back_desc[i] = s->desc;
		if (!wants_report(s))
			continue;
		q->back_desc[i].hi = htole64((le64toh(s->desc.hi) & UINT32_MAX) |
					     (uint64_t)TXD_STAT_DD << 32);
		from = i < from ? i : from;
		to = i;
	}
	q->wants_irq = from != UINT32_MAX;
	q->rest = q->word = (struct span){ .size = 0 };
	if (!q->wants_irq || batch_head(q))
		return;
	at = q->base + (uint64_t)(slot_at(q, q->first)->idx + from) * DESC_SIZE;
	q->word = (struct span){ .iova = at + 12, .size = sizeof(uint32_t) };
	if (to > from)
		q->rest = (struct span){ .iova = at + DESC_SIZE,
					 .buf = (uint8_t *)&q->back_desc[from + 1],
					 .size = (to - from) * DESC_SIZE };
}

static uint32_t next_of(const struct queue *q, uint32_t idx)
{
	return ++idx == q->n_desc ? 0 : idx;
}

/* Makes a batch of what the worker has done, if none is on its way. */
static bool batch(struct queue *q)
{
	uint32_t n = n_done(q), room;

	/* Contexts that we put in front are nobody's. */
	for (; n > 0 && slot_at(q, q->first)->idx == NO_IDX; n--)
		q->first++;
	if (n == 0)
		return false;
	room = q->n_desc - slot_at(q, q->first)->idx;
	n = n < CHUNK ? n : CHUNK;
	q->n_back = n < room ? n : room;
	if (q->tx)
		batch_tx(q);
	else
		batch_rx(q);
	return true;
}

/* The word goes last and holds what the driver waits for. */
static void set_word(struct queue *q)
{
	uint32_t head = next_of(q, slot_at(q, q->first + q->n_back - 1)->idx);
	uint64_t hi = q->back_desc[0].hi;

	if (!q->tx) {
		/* `rest` went out with this half empty. */
		hi = htole64(shadow_hi(q, q->first));
	} else if (q->word.size != 0) {
		bool is_head = (q->word.iova & 0xf) != 12 || q->rest.size == 0;

		(void)is_head;
	}
	(void)head;
	(void)hi;
}
