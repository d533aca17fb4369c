/* SPDX-License-Identifier: BSD-3-Clause */
/* When a ring is taken up and given up.
 *
 * A queue's registers lie in a page that the guest maps, so nobody is told when it sets or clears
 * ENABLE: the owner of the ring looks at the line before each burst. Base, length and head are
 * copied and checked when ENABLE is first seen set, and again when base or length change.
 *
 * Clearing ENABLE works at once for the guest's eyes, while a worker may be in the middle of a burst.
 * The guest's driver makes a trapped access before it frees anything; ring_trap() is called in each of
 * them and holds the answer back:
 *  - receive: until it has the queue's lock, which a push holds from its first look at the line to
 *    its last store;
 *  - transmit: until every worker has passed a quiescent point. It also moves the queue's epoch, so
 *    that a worker that never saw the queue disabled still takes it up afresh.
 *
 * RDH and TDH are copied to the page only where somebody may care: when the ring has run empty, after half
 * of it, and in trapped accesses. The line is the one whose tail the guest's CPU writes for each doorbell, and every
 * store of ours takes it away from there.
 */
#include "dev/intelvf/intelvf.h"
#include "dev/intelvf/relay.h"

struct ring_regs ring_rx_regs(const struct rx_line *l)
{
	return (struct ring_regs){ shared_load(&l->rdbal) | (uint64_t)shared_load(&l->rdbah) << 32,
				   shared_load(&l->rdlen), shared_load(&l->rdh) };
}

struct ring_regs ring_tx_regs(const struct tx_line *l)
{
	return (struct ring_regs){ shared_load(&l->tdbal) | (uint64_t)shared_load(&l->tdbah) << 32,
				   shared_load(&l->tdlen), shared_load(&l->tdh) };
}

/* DS 8.2.3.8.1, 8.2.3.8.3: base and length are multiples of 128; 8.2.3.8.4: the head is below the
 * length. */
bool ring_regs_valid(const struct ring_regs *r)
{
	return r->base % RING_ALIGN == 0 && r->size % RING_ALIGN == 0 && r->size != 0 &&
	       r->size <= RING_SIZE_MAX && r->head < r->size / DESC_SIZE;
}

/* Device I/O looks at a transmit ring's status while its worker changes it. */
static void set_status(struct ring_state *ring, enum ring_status status)
{
	__atomic_store_n(&ring->status, (uint8_t)status, __ATOMIC_RELEASE);
}

static void take_up(struct ring_state *ring, const struct ring_regs *r, uint64_t *bad)
{
	ring->base = r->base;
	ring->size = r->size;
	ring->n_desc = r->size / DESC_SIZE;
	ring->head = r->head;
	ring->head_shown = r->head;
	ring->tail = r->head;
	ring->tail_bad = 0; /* no bad one: 0 is below every length */
	set_status(ring, ring_regs_valid(r) ? RING_ON : RING_BAD);
	*bad += !ring_regs_valid(r);
}

static bool is_same(const struct ring_state *ring, const struct ring_regs *r)
{
	return ring->base == r->base && ring->size == r->size;
}

void ring_fail(struct ring_state *ring)
{
	set_status(ring, RING_BAD);
}

void ring_bad_tail(struct ring_state *ring, uint32_t tail, uint64_t *counter)
{
	if (ring->tail_bad != tail)
		++*counter;
	ring->tail_bad = tail;
}

void ring_update_running(struct intelvf *dev)
{
	uint8_t status = __atomic_load_n(&dev->st->rx[0].ring.status, __ATOMIC_RELAXED);
	unsigned int running = status == RING_ON && intelvf_may_dma(dev) &&
			       __atomic_load_n(&dev->link_up, __ATOMIC_RELAXED) != 0;

	if (atomic_load_explicit(&dev->vf.endpoint.running, memory_order_relaxed) != running)
		atomic_store_explicit(&dev->vf.endpoint.running, running, memory_order_release);
}

/* The descriptors, if the whole ring lies in one window of guest memory that we may read and write.
 * Looked up for each burst: the window may have gone since the last one. Where only messages reach it,
 * it is the relay's business, and the ring is given up here without blame. */
static uint8_t *ring_va(struct intelvf *dev, const struct mem_table *table, uint32_t *hint,
			struct ring_state *ring, uint64_t *bad)
{
	uint8_t *va = mem_at(table, hint, ring->base, ring->size, MEM_READ | MEM_WRITE);

	if (unlikely(va == NULL)) {
		ring_fail(ring);
		*bad += !relay_wanted(dev, table, ring->base, ring->size, MEM_READ | MEM_WRITE);
	}
	return va;
}

/* Only queue 0's owner: another one could overwrite its newer finding. */
static void rx_update_running(struct intelvf *dev, unsigned int q)
{
	if (q == 0)
		ring_update_running(dev);
}

/* Statistics: DS 8.3.5.7. 32 bits, or 36 in two words; they wrap, reading does not clear them, and a reset
 * of the VF leaves them alone. Queue 0's lines hold the sums, where the family has them there. They must
 * never step back: a driver would take that for a wrap. */
static void show_sums(struct spinlock *lock, struct vf_sums *sum, struct ring_state *ring,
		      uint32_t *frames, uint32_t *bytes, uint32_t *group)
{
	spin_lock(lock);
	sum->frames += ring->frames;
	sum->bytes += ring->bytes;
	sum->group_frames += ring->group_frames;
	if (frames != NULL) {
		shared_store(frames, (uint32_t)sum->frames);
		shared_store(bytes, (uint32_t)sum->bytes);
		shared_store(bytes + 1, (uint32_t)(sum->bytes >> 32) & 0xf);
	}
	if (group != NULL)
		shared_store(group, (uint32_t)sum->group_frames);
	spin_unlock(lock);
	ring->frames = 0;
	ring->bytes = 0;
	ring->group_frames = 0;
}

static void rx_show_sums(struct intelvf *dev, struct ring_state *ring)
{
	struct rx_line *line = rx_line(dev, 0);

	if (dev->family->has_line_stats)
		show_sums(&dev->rx_sums_lock, &dev->st->rx_sums, ring, &line->stat_1c,
			  &line->stat_20, &line->stat_34);
	else
		show_sums(&dev->rx_sums_lock, &dev->st->rx_sums, ring, NULL, NULL, NULL);
}

static void tx_show_sums(struct intelvf *dev, struct ring_state *ring)
{
	struct tx_line *line = tx_line(dev, 0);

	if (dev->family->has_line_stats)
		show_sums(&dev->tx_sums_lock, &dev->st->tx_sums, ring, &line->stat_1c,
			  &line->stat_20, NULL);
	else
		show_sums(&dev->tx_sums_lock, &dev->st->tx_sums, ring, NULL, NULL, NULL);
}

bool ring_rx_ready(struct intelvf *dev, unsigned int q, const struct mem_table *table,
		   uint8_t **desc)
{
	uint64_t *bad = &endpoint_stats_self(&dev->vf.endpoint)->bad_rx_desc;
	struct ring_state *ring = &dev->st->rx[q].ring;
	struct rx_line *line = rx_line(dev, q);
	bool enable = (shared_load_acquire(&line->rxdctl) & RXDCTL_ENABLE) != 0;
	struct ring_regs r;

	if (!enable || !intelvf_may_dma(dev)) {
		if (ring->status != RING_OFF) {
			set_status(ring, RING_OFF);
			rx_show_sums(dev, ring);
			rx_update_running(dev, q);
		}
		return false;
	}
	r = ring_rx_regs(line);
	if (unlikely(ring->status == RING_OFF || !is_same(ring, &r))) {
		uint32_t srrctl = shared_load(rx_srrctl(dev, line));
		uint32_t type = srrctl & SRRCTL_DESCTYPE;

		take_up(ring, &r, bad);
		/* Other formats and buffers of no size: not offered, impossible. */
		if (ring->status == RING_ON &&
		    ((type != SRRCTL_DESCTYPE_ADV && type != SRRCTL_DESCTYPE_LEGACY &&
		      srrctl_hdr_size(srrctl) == 0) ||
		     (srrctl & dev->bsizepacket) == 0)) {
			ring_fail(ring);
			++*bad;
		}
		rx_update_running(dev, q);
	}
	if (unlikely(ring->status != RING_ON))
		return false;
	*desc = ring_va(dev, table, &dev->rxq[q].ring_hint, ring, bad);
	if (unlikely(*desc == NULL))
		rx_update_running(dev, q);
	return *desc != NULL;
}

bool ring_tx_ready(struct intelvf *dev, unsigned int q, const struct mem_table *table,
		   uint8_t **desc)
{
	uint64_t *bad = &endpoint_stats_self(&dev->vf.endpoint)->bad_tx_desc;
	struct ring_state *ring = &dev->st->tx[q].ring;
	const struct tx_line *line = tx_line(dev, q);
	uint32_t epoch = __atomic_load_n(&dev->st->tx_epoch[q], __ATOMIC_ACQUIRE);
	bool enable = (shared_load_acquire(&line->txdctl) & TXDCTL_ENABLE) != 0;
	struct ring_regs r;

	if (!enable || !intelvf_may_dma(dev)) {
		if (ring->status != RING_OFF) {
			set_status(ring, RING_OFF);
			tx_show_sums(dev, ring);
		}
		return false;
	}
	r = ring_tx_regs(line);
	if (unlikely(ring->status == RING_OFF || ring->epoch != epoch || !is_same(ring, &r))) {
		take_up(ring, &r, bad);
		ring->epoch = epoch;
		memset(dev->st->tx[q].ctx, 0, sizeof(dev->st->tx[q].ctx));
	}
	if (unlikely(ring->status != RING_ON))
		return false;
	*desc = ring_va(dev, table, &dev->txq[q].ring_hint, ring, bad);
	return *desc != NULL;
}

void ring_rx_show(struct intelvf *dev, unsigned int q)
{
	struct ring_state *ring = &dev->st->rx[q].ring;

	if (ring->head == ring->head_shown)
		return;
	ring->head_shown = ring->head;
	shared_store(&rx_line(dev, q)->rdh, ring->head);
	rx_show_sums(dev, ring);
}

void ring_tx_show(struct intelvf *dev, unsigned int q)
{
	struct ring_state *ring = &dev->st->tx[q].ring;

	if (ring->head == ring->head_shown)
		return;
	ring->head_shown = ring->head;
	shared_store(&tx_line(dev, q)->tdh, ring->head);
	tx_show_sums(dev, ring);
}

/* Takes the lock only where it must, so that a preempted device I/O thread seldom holds up a worker. */
static void trap_rx(struct intelvf *dev, unsigned int q)
{
	struct ring_state *ring = &dev->st->rx[q].ring;
	struct spinlock *lock = &dev->rxq[q].lock;
	uint8_t status = __atomic_load_n(&ring->status, __ATOMIC_ACQUIRE);
	bool enable = (shared_load(&rx_line(dev, q)->rxdctl) & RXDCTL_ENABLE) != 0;
	uint8_t *desc;

	if (status != RING_OFF && enable && intelvf_may_dma(dev)) {
		/* Nothing new: only what the guest may want to read now. */
		if (status != RING_ON || !spin_trylock(lock))
			return;
	} else if (status != RING_OFF || enable || spin_is_held(lock)) {
		/* Off and clear as well, while somebody is inside: a push may have read ENABLE before it was
		 * cleared, and not have said so yet. */
		spin_lock(lock);
		ring_rx_ready(dev, q, ring_table(dev), &desc);
	} else {
		return;
	}
	if (ring->status == RING_ON)
		ring_rx_show(dev, q);
	spin_unlock(lock);
}

uint32_t ring_tx_wake(struct intelvf *dev)
{
	uint32_t queues = 0;

	if (!intelvf_may_dma(dev))
		return 0;
	for (unsigned int q = 0; q < dev->st->n_queues; q++) {
		const struct tx_line *line = tx_line(dev, q);
		uint32_t tail = shared_load(&line->tdt);

		/* By what the guest can see: a worker shows the head when it finds the ring empty. */
		if ((shared_load(&line->txdctl) & TXDCTL_ENABLE) == 0 ||
		    tail == shared_load(&line->tdh) ||
		    tail >= shared_load(&line->tdlen) / DESC_SIZE ||
		    __atomic_load_n(&dev->st->tx[q].ring.status, __ATOMIC_ACQUIRE) == RING_BAD)
			continue;
		txq_wake(&dev->txq[q].txq);
		queues |= 1u << q;
	}
	return queues;
}

void ring_look(struct intelvf *dev)
{
	uint32_t pending;
	bool wait = false;

	for (unsigned int q = 0; q < dev->st->n_queues; q++) {
		uint8_t status = __atomic_load_n(&dev->st->tx[q].ring.status, __ATOMIC_ACQUIRE);

		trap_rx(dev, q);
		if (status != RING_OFF &&
		    ((shared_load(&tx_line(dev, q)->txdctl) & TXDCTL_ENABLE) == 0 ||
		     !intelvf_may_dma(dev))) {
			__atomic_fetch_add(&dev->st->tx_epoch[q], 1, __ATOMIC_RELEASE);
			wait = true;
		}
	}
	if (wait)
		dev->vf.upcalls->quiesce(dev->vf.arg);
	pending = ring_tx_wake(dev);
	if (__atomic_load_n(&dev->eics_due, __ATOMIC_RELAXED) != 0)
		intr_eics_served(dev, ~pending & INTELVF_QUEUES_MASK);
}

void ring_trap(struct intelvf *dev)
{
	relay_trap(dev);
	ring_look(dev);
}

void ring_stop_all(struct intelvf *dev)
{
	for (unsigned int q = 0; q < INTELVF_QUEUES_MAX; q++) {
		shared_store(&guest_rx_line(dev, q)->rxdctl, 0);
		shared_store(&guest_tx_line(dev, q)->txdctl, 0);
	}
	ring_trap(dev);
	/* Also where no ring was up: a worker may just have looked at a line. */
	dev->vf.upcalls->quiesce(dev->vf.arg);
}
