/* SPDX-License-Identifier: BSD-3-Clause */
/* Transmit: descriptors become frames that still lie in the guest's memory.
 *
 * The guest owns everything outside [head, tail). Each descriptor is read once into registers and
 * checked from there, since the guest can rewrite it meanwhile. A packet that the guest got wrong is
 * swallowed whole and counted, its descriptors are given back like good ones, and the ring goes on;
 * a packet that cannot end (no EOP in all of the ring, or none within 40 descriptors of what there is)
 * stops the queue until it is enabled anew.
 *
 * Reports (DS 7.2.3.5): in done(), after the switch has copied the frames, the last descriptor of each
 * packet that asked with RS gets DD, or, with TDWBAL.Head_WB_En, the head goes to the guest's word.
 * RS is honoured on the descriptor with EOP only: DS 7.2.3.2.4 tells drivers to set it nowhere else.
 */
#include "dev/intelvf/intelvf.h"
#include "dev/intelvf/relay.h"

struct tx_desc {
	uint64_t addr;
	uint32_t cmd;    /* length, type, command */
	uint32_t status; /* olinfo: IDX, CC, POPTS, PAYLEN; legacy: CSS and VLAN */
};
_Static_assert(sizeof(struct tx_desc) == DESC_SIZE, "DS 7.2.3.2");

/* Descriptors looked at in one pull: contexts and pieces cost time as well. */
#define PULL_DESCS (8 * BURST_MAX)

struct tx_pull {
	struct intelvf_txq *q;
	struct tx_state *tx;
	const struct mem_table *table;
	struct burst *burst;
	uint8_t *desc;
	uint32_t n_desc;
	uint32_t tail;
	uint64_t n_bad;
	bool by_message; /* a buffer lies in memory that has no pointer */
};

enum walk {
	WALK_TAKEN, /* head moved on */
	WALK_WAIT,  /* the packet's end is not posted yet, or the burst has no room for it */
	WALK_STOP,  /* it cannot end */
};

static inline struct tx_desc desc_load(const uint8_t *ring, uint32_t idx)
{
	const uint64_t *d = (const uint64_t *)(const void *)(ring + (size_t)idx * DESC_SIZE);
	uint64_t lo = le64toh(__atomic_load_n(&d[0], __ATOMIC_RELAXED));
	uint64_t hi = le64toh(__atomic_load_n(&d[1], __ATOMIC_RELAXED));

	return (struct tx_desc){ lo, (uint32_t)hi, (uint32_t)(hi >> 32) };
}

static inline uint32_t next_idx(uint32_t idx, uint32_t n_desc)
{
	return ++idx == n_desc ? 0 : idx;
}

static inline void add_report(struct intelvf_txq *q, uint32_t idx, uint32_t cmd)
{
	/* No branch: the slot is written in any case and counted only if RS is set. */
	q->rs[q->n_rs] = idx;
	q->n_rs += (cmd & TXD_CMD_RS) != 0;
	q->n_taken++;
}

static bool is_context(uint32_t cmd)
{
	return (cmd & TXD_CMD_DEXT) != 0 && (cmd & TXD_DTYP) == TXD_DTYP_CTXT;
}

/* DS 7.2.3.2.3 */
static void take_context(struct tx_pull *p, const struct tx_desc *d)
{
	uint32_t mss_l4len_idx = d->status;
	struct tx_context *ctx = &p->tx->ctx[(mss_l4len_idx & TXC_IDX) != 0];

	ctx->vlan_macip = (uint32_t)d->addr;
	ctx->tucmd = d->cmd;
	ctx->mss_l4len = mss_l4len_idx;
	ctx->valid = 1;
}

/* Where L4's checksum lies in its header, -1 if the type is none we know. */
static int l4_csum_offset(uint32_t tucmd)
{
	switch (tucmd & TXC_TUCMD_L4T) {
	case TXC_TUCMD_L4T_UDP:
		return 6;
	case TXC_TUCMD_L4T_TCP:
		return 16;
	case TXC_TUCMD_L4T_SCTP:
		return 8;
	default:
		return -1;
	}
}

/* Fills in what the context and the data descriptor ask for. False: it makes no sense. Whether the
 * offsets fit the frame is for frame_parse. */
static bool offloads_advanced(const struct tx_pull *p, struct frame *f, const struct tx_desc *d)
{
	const struct tx_context *ctx = &p->tx->ctx[(d->status & TXD_IDX) != 0];
	uint32_t payload = d->status >> TXD_PAYLEN_SHIFT;
	uint32_t macip, l3, l4;

	if (((d->cmd & (TXD_CMD_VLE | TXD_CMD_TSE)) |
	     (d->status & (TXD_POPTS_IXSM | TXD_POPTS_TXSM | TXD_POPTS_IPSEC))) == 0)
		return payload == f->size;
	if (!ctx->valid || (d->status & TXD_POPTS_IPSEC) != 0)
		return false;
	macip = ctx->vlan_macip;
	l3 = macip >> TXC_MACLEN_SHIFT & TXC_MACLEN;
	l4 = l3 + (macip & TXC_IPLEN);
	f->l3_start = (uint16_t)l3;
	f->csum_start = (uint16_t)l4;
	if ((d->cmd & TXD_CMD_VLE) != 0) {
		f->flags |= FRAME_TAGGED;
		f->tci = (uint16_t)(macip >> TXC_VLAN_SHIFT);
	}
	if ((d->status & TXD_POPTS_TXSM) != 0) {
		int offset = l4_csum_offset(ctx->tucmd);

		if (offset < 0)
			return false;
		f->csum_offset = (uint16_t)offset;
		f->flags |= FRAME_L4_CSUM;
		if ((ctx->tucmd & TXC_TUCMD_L4T) == TXC_TUCMD_L4T_SCTP)
			f->flags |= FRAME_SCTP_CRC;
	}
	/* DS 7.2.5.1: IPv6 has no checksum to insert. */
	if ((d->status & TXD_POPTS_IXSM) != 0 && (ctx->tucmd & TXC_TUCMD_IPV4) != 0)
		f->flags |= FRAME_IP4_CSUM;
	if ((d->cmd & TXD_CMD_TSE) == 0)
		return payload == f->size;
	/* DS 7.2.4.2. PAYLEN counts what follows the headers. UDP is cut into datagrams: Linux's PF drivers
	 * ask for it from the 82576 and the 82599 on (6.12, igb_tso and ixgbe_tso). */
	if ((ctx->tucmd & TXC_TUCMD_L4T) == TXC_TUCMD_L4T_UDP)
		f->flags |= FRAME_USO;
	else if ((ctx->tucmd & TXC_TUCMD_L4T) != TXC_TUCMD_L4T_TCP)
		return false;
	f->flags |= (ctx->tucmd & TXC_TUCMD_IPV4) != 0 ? FRAME_TSO4 : FRAME_TSO6;
	f->mss = (uint16_t)(ctx->mss_l4len >> TXC_MSS_SHIFT);
	f->hdr_size = (uint16_t)(l4 + (ctx->mss_l4len >> TXC_L4LEN_SHIFT & 0xff));
	return f->hdr_size + payload == f->size;
}

/* DS 7.2.3.2.2: CSO and CSS are bytes, both from the start of the packet. */
static bool offloads_legacy(struct frame *f, const struct tx_desc *d)
{
	uint32_t cso = d->cmd >> 16 & 0xff;
	uint32_t css = d->status >> 8 & 0xff;

	if ((d->cmd & TXD_CMD_VLE) != 0) {
		f->flags |= FRAME_TAGGED;
		f->tci = (uint16_t)(d->status >> 16);
	}
	if ((d->cmd & TXD_CMD_IC) == 0)
		return true;
	if (cso < css)
		return false;
	f->flags |= FRAME_L4_CSUM;
	f->csum_start = (uint16_t)css;
	f->csum_offset = (uint16_t)(cso - css);
	return true;
}

/* One more piece of f; f->n_segs 0 at first. False: not in the guest's memory. */
static bool add_piece(struct tx_pull *p, struct frame *f, uint64_t iova, uint32_t size)
{
	struct burst *b = p->burst;
	const uint8_t *va;

	if (size == 0)
		return true;
	va = mem_at(p->table, &p->q->buf_hint, iova, size, MEM_READ);
	if (va == NULL) {
		p->by_message |= relay_wanted(p->q->dev, p->table, iova, size, MEM_READ);
		return false;
	}
	if (f->n_segs == 0) {
		f->va = va;
		f->seg_size = size;
		f->more = &b->seg[b->n_segs];
	} else {
		b->seg[b->n_segs + f->n_segs - 1] = (struct seg){ va, size };
	}
	f->size += size;
	f->n_segs++;
	return true;
}

/* A packet at `idx`, of any form. *idx is moved behind it when it is taken. */
static enum walk take_packet(struct tx_pull *p, uint32_t *idx)
{
	struct frame *f = &p->burst->frame[p->burst->n];
	struct tx_desc first, d;
	uint32_t n = 0, at = *idx, last;
	bool good = true;

	/* Room for the longest packet, so that none has to be undone half way. */
	if (p->burst->n_segs > BURST_SEGS - (FRAME_SEGS - 1))
		return WALK_WAIT;
	f->n_segs = 0;
	f->size = 0;
	f->flags = 0;
	do {
		if (at == p->tail)
			return n > FRAME_SEGS || n + 1 == p->n_desc ? WALK_STOP : WALK_WAIT;
		d = desc_load(p->desc, at);
		if (n == 0)
			first = d;
		/* Within a packet all descriptors are data and of one format. */
		if (n >= FRAME_SEGS || ((d.cmd ^ first.cmd) & TXD_CMD_DEXT) != 0 ||
		    ((d.cmd & TXD_CMD_DEXT) != 0 && (d.cmd & TXD_DTYP) != TXD_DTYP_DATA))
			good = false;
		else if (good)
			good = add_piece(p, f, d.addr, d.cmd & TXD_DTALEN);
		last = at;
		at = next_idx(at, p->n_desc);
		n++;
	} while ((d.cmd & TXD_CMD_EOP) == 0);
	/* The relay takes the packet up where we leave it. */
	if (unlikely(p->by_message))
		return WALK_WAIT;
	if (good && f->n_segs > 0)
		good = (first.cmd & TXD_CMD_DEXT) != 0 ? offloads_advanced(p, f, &first)
						       : offloads_legacy(f, &first);
	*idx = at;
	add_report(p->q, last, d.cmd);
	if (!good || f->n_segs == 0) {
		p->n_bad++;
		return WALK_TAKEN;
	}
	p->burst->n_segs += f->n_segs - 1u;
	p->burst->n++;
	return WALK_TAKEN;
}

/* The common case: one advanced descriptor, nothing asked for. Takes as many such packets as there are
 * from idx on, up to the burst's end; take_packet must look at what follows. Returns where it stopped.
 * What changes with each packet is in locals, which the stores to the burst cannot touch. */
static uint32_t take_plain(struct tx_pull *p, struct mem_cursor *cursor, uint32_t idx)
{
	const uint32_t mask = TXD_CMD_DEXT | TXD_DTYP | TXD_CMD_EOP | TXD_CMD_TSE | TXD_CMD_VLE;
	const uint32_t popts = TXD_POPTS_IXSM | TXD_POPTS_TXSM | TXD_POPTS_IPSEC;
	const uint32_t n_desc = p->n_desc, tail = p->tail;
	const uint32_t room = BURST_MAX - p->burst->held_back - p->q->n_taken;
	const uint8_t *desc = p->desc;
	uint32_t n_rs = p->q->n_rs, n;
	struct frame *f = &p->burst->frame[p->burst->n];

	for (n = 0; n < room && idx != tail; n++, f++) {
		struct tx_desc d = desc_load(desc, idx);
		uint32_t size = d.cmd & TXD_DTALEN;
		const uint8_t *va;

		if (unlikely((d.cmd & mask) != (TXD_CMD_DEXT | TXD_DTYP_DATA | TXD_CMD_EOP) ||
			     (d.status & popts) != 0 || d.status >> TXD_PAYLEN_SHIFT != size ||
			     size == 0))
			break;
		va = mem_cursor_at(cursor, d.addr, size);
		if (unlikely(va == NULL))
			break;
		__builtin_prefetch(va);
		f->va = va;
		f->seg_size = size;
		f->size = size;
		f->n_segs = 1;
		f->flags = 0;
		/* As add_report. */
		p->q->rs[n_rs] = idx;
		n_rs += (d.cmd & TXD_CMD_RS) != 0;
		idx = next_idx(idx, n_desc);
	}
	p->q->n_rs = n_rs;
	p->q->n_taken += n;
	p->burst->n += n;
	return idx;
}

/* Head write-back: DS 7.2.3.5.2. The word's address is the guest's, hence checked each time. */
static void write_head(struct intelvf *dev, struct intelvf_txq *q, uint32_t tdwbal)
{
	uint64_t iova = (tdwbal & ~3u) | (uint64_t)shared_load(&tx_line(dev, q->txq.idx)->tdwbah)
						 << 32;
	uint32_t *word = mem_at(ring_table(dev), &q->buf_hint, iova, sizeof(*word), MEM_WRITE);

	if (word == NULL) {
		endpoint_stats_self(&dev->vf.endpoint)->bad_tx_desc++;
		return;
	}
	/* Release: see report(). */
	__atomic_store_n(word, htole32(dev->st->tx[q->txq.idx].ring.head), __ATOMIC_RELEASE);
}

/* Gives back what pull took. Release: our reads of the packets are done before the guest may reuse
 * their memory. */
static void report(struct intelvf *dev, struct intelvf_txq *q)
{
	uint32_t tdwbal;

	if (q->n_rs == 0)
		return;
	tdwbal = shared_load(&tx_line(dev, q->txq.idx)->tdwbal);
	if (unlikely((tdwbal & TDWBAL_HEAD_WB_EN) != 0)) {
		write_head(dev, q, tdwbal);
	} else {
		for (uint32_t i = 0; i < q->n_rs; i++) {
			uint8_t *d = q->desc + (size_t)q->rs[i] * DESC_SIZE;

			__atomic_store_n((uint32_t *)(void *)(d + 12), htole32(TXD_STAT_DD),
					 __ATOMIC_RELEASE);
		}
	}
	endpoint_stats_self(&dev->vf.endpoint)->irqs += intr_tx(dev, q->txq.idx);
}

static void tx_done(struct txq *txq)
{
	struct intelvf_txq *q = container_of(txq, struct intelvf_txq, txq);

	report(q->dev, q);
	q->n_rs = 0;
	q->n_taken = 0;
	intr_check_eics(q->dev, txq->idx);
}

/* The VF's link is down: what it sends ends here. */
static void drop_all(struct intelvf *dev, struct burst *burst)
{
	endpoint_stats_self(&dev->vf.endpoint)->drop[DROP_DOWN] += burst->n;
	burst->n = 0;
	burst->n_segs = 0;
}

static void count(struct ring_state *ring, const struct burst *burst)
{
	uint64_t bytes = (uint64_t)burst->n * FCS_SIZE;

	for (unsigned int i = 0; i < burst->n; i++)
		bytes += burst->frame[i].size;
	ring->bytes += bytes;
	ring->frames += burst->n;
}

/* Takes packets until the burst, the ring or the budget is at its end. */
static void take_packets(struct tx_pull *p, struct ring_state *ring)
{
	struct mem_cursor cursor = mem_cursor(p->table, &p->q->buf_hint, MEM_READ);
	uint32_t idx = ring->head;

	for (unsigned int n = 0; n < PULL_DESCS; n++) {
		struct tx_desc d;

		idx = take_plain(p, &cursor, idx);
		if (idx == p->tail || p->q->n_taken + p->burst->held_back == BURST_MAX)
			break;
		d = desc_load(p->desc, idx);
		if (is_context(d.cmd)) {
			take_context(p, &d);
			idx = next_idx(idx, p->n_desc);
			continue;
		}
		switch (take_packet(p, &idx)) {
		case WALK_TAKEN:
			continue;
		case WALK_STOP:
			p->n_bad++;
			ring_fail(ring);
			break;
		case WALK_WAIT:
			break;
		}
		break;
	}
	ring->head = idx;
}

static unsigned int tx_pull(struct txq *txq, struct burst *burst)
{
	struct intelvf_txq *q = container_of(txq, struct intelvf_txq, txq);
	struct intelvf *dev = q->dev;
	struct tx_state *tx = &dev->st->tx[txq->idx];
	struct ring_state *ring = &tx->ring;
	struct tx_pull p = { .q = q, .tx = tx, .burst = burst };
	struct endpoint_stats *stats = endpoint_stats_self(&dev->vf.endpoint);

	if (unlikely(__atomic_load_n(&dev->itr_held, __ATOMIC_RELAXED) != 0))
		stats->irqs += intr_release(dev);
	if (unlikely(intelvf_is_relayed(dev)))
		relay_poll(dev, txq->idx);
	p.table = ring_table(dev);
	if (!ring_tx_ready(dev, txq->idx, p.table, &p.desc))
		return 0;
	/* Acquire: the descriptors before it were written before the tail. */
	p.tail = shared_load_acquire(&tx_line(dev, txq->idx)->tdt);
	p.n_desc = ring->n_desc;
	if (unlikely(p.tail >= p.n_desc)) {
		ring_bad_tail(ring, p.tail, &stats->bad_tx_desc);
		return 0;
	}
	if (p.tail == ring->head || unlikely(ring_is_behind(ring)))
		ring_tx_show(dev, txq->idx);
	if (p.tail == ring->head) {
		intr_check_eics(dev, txq->idx);
		return 0;
	}
	q->desc = p.desc;
	take_packets(&p, ring);
	ahead_set(&txq->ahead, tx_line(dev, txq->idx), tx_line(dev, txq->idx),
		  p.desc + (size_t)ring->head * DESC_SIZE, NULL);
	count(ring, burst);
	stats->bad_tx_desc += p.n_bad;
	if (unlikely(__atomic_load_n(&dev->link_up, __ATOMIC_RELAXED) == 0))
		drop_all(dev, burst);
	if (burst->n == 0)
		tx_done(txq); /* nobody else will */
	return burst->n;
}

const struct txq_ops intelvf_txq_ops = { .pull = tx_pull, .done = tx_done };
