/* SPDX-License-Identifier: BSD-3-Clause */
/* What relay.c and relay_ring.c share. See relay.h for what it is about.
 *
 * Each ring is a row of slots, one for each shadow descriptor in use, counted on without end:
 *
 *     first          ready             next
 *       | worker has it |  data under way  |
 *
 * relay_serve() takes a ring as far as it gets, from whatever state it is in, and is called after
 * every event; so an answer only has to be noted down. What is carried is a `struct relay_span`: it knows
 * how much of it has been asked for and how many answers are out.
 */
#ifndef SOFTIOV_DEV_INTELVF_RELAY_RING_H
#define SOFTIOV_DEV_INTELVF_RELAY_RING_H

#include "dev/intelvf/relay.h"

#define RELAY_CHUNK     64         /* descriptors that are read, or given back, at once */
#define RELAY_WRITE_MAX VF_DMA_MAX /* bytes in a ring's writes that wait for their answers */

struct relay_desc {
	uint64_t lo, hi;
};
_Static_assert(sizeof(struct relay_desc) == DESC_SIZE, "DS 7.1.5, 7.2.3.2");

struct relay_span {
	uint64_t iova;
	uint8_t *buf;
	uint32_t size;
	uint32_t asked; /* bytes */
	uint32_t n_out;
};

struct relay_slot {
	struct relay_desc desc; /* the guest's */
	uint32_t idx;           /* and where it lies in its ring */
	bool nowhere;           /* its buffer is in no window */
	struct relay_span data;
	struct relay_span header; /* receive with header buffers */
};

enum relay_status {
	RELAY_OFF, /* -> ON when the guest's ENABLE is set and n_out is 0 */
	RELAY_ON,  /* -> OFF when ENABLE is clear, -> BAD when a message fails */
	RELAY_BAD, /* -> OFF when ENABLE is clear, or base or length have changed */
};

enum relay_back {
	RELAY_BACK_NONE,
	RELAY_BACK_REST, /* of the batch, and the data of received frames */
	RELAY_BACK_WORD, /* that makes the batch visible */
};

struct relay_queue {
	struct intelvf *dev;
	bool tx;
	bool legacy;       /* receive: format of the descriptors */
	bool split_always; /* header buffers are filled up where headers do not fit */
	uint32_t hdr_size; /* and its header buffers, at the ends of the slots */
	uint8_t status;
	uint8_t back; /* enum relay_back */
	uint32_t idx;
	uint32_t hint;
	uint32_t n_out;      /* answers that are out, also for a ring that is off by now */
	uint32_t write_size; /* bytes in writes among these */
	uint32_t n_slots;    /* of slot[], and descriptors of the shadow ring */
	uint32_t slot_size;
	/* A ring that workers used in place until now goes on where they left it. */
	bool live;
	uint32_t live_head;
	struct tx_context live_ctx[2];
	/* The guest's ring */
	uint64_t base;
	uint32_t size, n_desc;
	uint32_t fetch; /* next descriptor to read */
	uint32_t tail;  /* last good one */
	uint32_t seen;  /* the register as it was read last; workers read it */
	/* Descriptors read; those from chunk_at on have no slot yet. */
	uint32_t n_chunk, chunk_at;
	struct relay_span chunk;
	struct relay_desc chunk_desc[RELAY_CHUNK];
	uint32_t first, ready, next;
	struct relay_slot *slot;
	/* The batch on its way back: n_back slots from `first`. */
	uint32_t n_back;
	bool wants_irq;
	struct relay_span rest, word;
	uint64_t word_value; /* as it goes out */
	struct relay_desc back_desc[RELAY_CHUNK];
	/* The shadow ring and its buffers */
	struct relay_desc *ring;
	uint8_t *bufs;
	uint64_t ring_iova, bufs_iova;
};

struct relay_request {
	struct relay_queue *q;
	struct relay_span *span; /* NULL: free */
	uint32_t write_size;
};

struct relay {
	uint8_t lines[2 * INTELVF_PAGE] __attribute__((aligned(CACHE_LINE)));
	struct mem_table *table;
	uint8_t *memory;
	uint64_t memory_size;
	uint32_t piece;   /* bytes in a message */
	uint32_t out_max; /* answers that may be out for one ring */
	uint32_t again;   /* a message could not be sent: workers kick */
	unsigned int n_rings;
	struct relay_queue *queue; /* receive 0, transmit 0, receive 1, ... */
	struct relay_request request[VF_DMA_QUEUED];
};

/* The guest's registers, of queue `idx`'s receive or transmit side. */
static inline const uint32_t *guest_ctl(const struct intelvf *dev, unsigned int idx, bool tx)
{
	return tx ? &guest_tx_line(dev, idx)->txdctl : &guest_rx_line(dev, idx)->rxdctl;
}

static inline const uint32_t *guest_tail(const struct relay_queue *q)
{
	return q->tx ? &guest_tx_line(q->dev, q->idx)->tdt : &guest_rx_line(q->dev, q->idx)->rdt;
}

static inline struct ring_regs guest_regs(const struct intelvf *dev, unsigned int idx, bool tx)
{
	return tx ? ring_tx_regs(guest_tx_line(dev, idx)) : ring_rx_regs(guest_rx_line(dev, idx));
}

_Static_assert(RXDCTL_ENABLE == TXDCTL_ENABLE, "one bit for both");

static inline bool is_enabled(const struct intelvf *dev, unsigned int idx, bool tx)
{
	return (shared_load_acquire(guest_ctl(dev, idx, tx)) & RXDCTL_ENABLE) != 0 &&
	       intelvf_may_dma(dev);
}

static inline uint32_t *shadow_ctl(const struct relay_queue *q)
{
	return q->tx ? &tx_line(q->dev, q->idx)->txdctl : &rx_line(q->dev, q->idx)->rxdctl;
}

/* relay_ring.c */
/* Carries whatever can be carried now. */
void relay_serve(struct relay_queue *q);
/* A context of a ring that is taken up in mid-stream, before anything else. */
void relay_put_context(struct relay_queue *q, const struct tx_context *context);
bool relay_covers(const struct relay_queue *q, uint64_t iova, uint64_t size, uint32_t prot);
void relay_count_bad(struct relay_queue *q);
void relay_show_statistics(struct intelvf *dev);

/* relay.c */
/* Something has changed: a register, an answer. The relay may be gone afterwards. */
void relay_run(struct intelvf *dev);
/* A message failed: the ring stops until the guest disables it. */
void relay_fail(struct relay_queue *q, int err);

#endif
