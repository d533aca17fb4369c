/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: causes are routed to vectors (VTIVAR), latched (VTEICR), masked (VTEIMS) and sent as
 * MSI-X messages (DS 7.3.1, 7.3.2, 8.3.5.2 to 8.3.5.5). The 82576's VFs have the same registers elsewhere
 * and under the names without VT.
 *
 * Workers raise while device I/O writes the mask. The two meet like this: the raiser sets its VTEICR
 * bit and then looks at VTEIMS; the writer sets VTEIMS bits and then looks at VTEICR. Both are
 * sequentially consistent read-modify-writes, so at least one of the two sees the other, and the event
 * is never lost. If both do, the auto-clear or auto-mask claim below lets one of them send.
 *
 * Moderation (DS 7.3.2.1): a message that comes too soon after the vector's last is held back, with its
 * cause latched and nothing claimed. Whichever worker serves a transmit queue of the VF looks at it in each
 * round, so that no timer is needed and a VF without moderation pays for one comparison. A worker that has
 * found nothing to do for a while sleeps, but only for a small part of the time that it has been idle
 * (src/worker): by so much a message may come late.
 */
#include "base/clock.h"
#include "dev/intelvf/intelvf.h"

static uint32_t fetch_or(struct intelvf *dev, uint32_t offset, uint32_t bits)
{
	return __atomic_fetch_or(regs_word(dev, offset), bits, __ATOMIC_SEQ_CST);
}

static uint32_t fetch_clear(struct intelvf *dev, uint32_t offset, uint32_t bits)
{
	return __atomic_fetch_and(regs_word(dev, offset), ~bits, __ATOMIC_SEQ_CST);
}

static uint32_t peek(struct intelvf *dev, uint32_t offset)
{
	return __atomic_load_n(regs_word(dev, offset), __ATOMIC_SEQ_CST);
}

void intr_reset(struct intelvf *dev)
{
	__atomic_store_n(&dev->eics_due, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(regs_word(dev, dev->family->eims), 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(regs_word(dev, dev->family->eicr), 0, __ATOMIC_SEQ_CST);
	for (unsigned int vector = 0; vector < INTELVF_VECTORS; vector++)
		intr_moderate(dev, vector, 0, true);
}

void intr_moderate(struct intelvf *dev, unsigned int vector, uint32_t us, bool now)
{
	uint64_t cycles = us * (clock_hz() / 1000000);

	if (now || cycles == 0)
		__atomic_store_n(&dev->itr_due[vector], clock_cycles(), __ATOMIC_RELAXED);
	__atomic_store_n(&dev->itr_cycles[vector], cycles, __ATOMIC_RELAXED);
}

/* Whether a message of the vector would come too soon. If not, the time to the next one begins. */
static bool is_held(struct intelvf *dev, unsigned int vector)
{
	uint64_t cycles = __atomic_load_n(&dev->itr_cycles[vector], __ATOMIC_RELAXED);
	uint64_t now, due;

	if (likely(cycles == 0))
		return false;
	now = clock_cycles();
	due = __atomic_load_n(&dev->itr_due[vector], __ATOMIC_RELAXED);
	/* If somebody else has just moved it, a message has gone. */
	if (now >= due && __atomic_compare_exchange_n(&dev->itr_due[vector], &due, now + cycles,
						      false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		return false;
	__atomic_fetch_or(&dev->itr_held, 1u << vector, __ATOMIC_RELEASE);
	return true;
}

/* The cause's message may go now: its mask bit is set. */
static bool fire(struct intelvf *dev, unsigned int vector)
{
	uint32_t bit = 1u << vector;
	bool clear = (peek(dev, dev->family->eiac) & bit) != 0;

	/* PCI 3.0, 6.2.2: an MSI is a memory write. The cause stays latched. */
	if (!__atomic_load_n(&dev->vf.bus_master, __ATOMIC_RELAXED) || is_held(dev, vector))
		return false;
	/* DS 8.3.5.2.6: a VTEIAM bit clears the mask as the message goes; DS 8.3.5.2.5: a VTEIAC bit
	 * clears the cause. Whoever clears the first of them that applies sends. The second claim must
	 * not decide anything: with the mask cleared and no message sent the driver would never unmask
	 * again. (The cause may be gone where a message for it went before; then this one is spurious.) */
	if ((peek(dev, dev->family->eiam) & bit) != 0) {
		if ((fetch_clear(dev, dev->family->eims, bit) & bit) == 0)
			return false;
		if (clear)
			fetch_clear(dev, dev->family->eicr, bit);
	} else if (clear && (fetch_clear(dev, dev->family->eicr, bit) & bit) == 0) {
		return false;
	}
	dev->vf.upcalls->irq(dev->vf.arg, vector);
	return true;
}

static bool raise_entry(struct intelvf *dev, uint32_t entry)
{
	unsigned int vector = entry & IVAR_VECTOR;
	uint32_t bit = 1u << vector;

	if ((entry & IVAR_VALID) == 0 || vector >= INTELVF_VECTORS)
		return false;
	fetch_or(dev, dev->family->eicr, bit);
	return (peek(dev, dev->family->eims) & bit) != 0 && fire(dev, vector);
}

/* DS 8.3.5.2.8: VTIVAR[n] has four bytes: receive and transmit of queue 2n, then of 2n + 1. */
static uint32_t ivar_entry(struct intelvf *dev, unsigned int q, unsigned int tx)
{
	uint32_t word =
		__atomic_load_n(regs_word(dev, dev->family->ivar + 4 * (q / 2)), __ATOMIC_RELAXED);

	return word >> (16 * (q & 1) + 8 * tx);
}

bool intr_raise_rx(struct intelvf *dev, unsigned int q)
{
	return raise_entry(dev, ivar_entry(dev, q, 0));
}

bool intr_raise_tx(struct intelvf *dev, unsigned int q)
{
	return raise_entry(dev, ivar_entry(dev, q, 1));
}

static bool kick_relay(struct intelvf *dev)
{
	if (likely(!intelvf_is_relayed(dev)))
		return false;
	dev->vf.upcalls->kick(dev->vf.arg);
	return true;
}

bool intr_rx(struct intelvf *dev, unsigned int q)
{
	return !kick_relay(dev) && intr_raise_rx(dev, q);
}

bool intr_tx(struct intelvf *dev, unsigned int q)
{
	return !kick_relay(dev) && intr_raise_tx(dev, q);
}

void intr_mbox(struct intelvf *dev)
{
	raise_entry(dev, *regs_word(dev, dev->family->ivar_misc));
}

uint32_t intr_read_eicr(struct intelvf *dev, unsigned int n)
{
	return __atomic_exchange_n(regs_word(dev, dev->family->eicr), 0, __ATOMIC_SEQ_CST);
}

void intr_write_eicr(struct intelvf *dev, unsigned int n, uint32_t value)
{
	fetch_clear(dev, dev->family->eicr, value);
}

static void fire_pending(struct intelvf *dev, uint32_t among)
{
	uint32_t pending = peek(dev, dev->family->eicr) & peek(dev, dev->family->eims) & among;

	for (unsigned int vector = 0; vector < INTELVF_VECTORS; vector++)
		if ((pending & 1u << vector) != 0)
			fire(dev, vector);
}

unsigned int intr_release(struct intelvf *dev)
{
	uint32_t held = __atomic_load_n(&dev->itr_held, __ATOMIC_RELAXED), due = 0;
	unsigned int n = 0;
	uint64_t now;

	if (likely(held == 0))
		return 0;
	now = clock_cycles();
	for (unsigned int vector = 0; vector < INTELVF_VECTORS; vector++)
		if ((held & 1u << vector) != 0 &&
		    now >= __atomic_load_n(&dev->itr_due[vector], __ATOMIC_RELAXED))
			due |= 1u << vector;
	if (due == 0)
		return 0;
	/* Before the causes are looked at: what is raised from here on is held anew, or goes. */
	__atomic_fetch_and(&dev->itr_held, ~due, __ATOMIC_SEQ_CST);
	due &= peek(dev, dev->family->eicr) & peek(dev, dev->family->eims);
	for (unsigned int vector = 0; vector < INTELVF_VECTORS; vector++)
		if ((due & 1u << vector) != 0)
			n += fire(dev, vector);
	return n;
}

static void raise_vectors(struct intelvf *dev, uint32_t value)
{
	fetch_or(dev, dev->family->eicr, value);
	fire_pending(dev, value);
}

void intr_eics_served(struct intelvf *dev, uint32_t queues)
{
	uint32_t left =
		__atomic_and_fetch(&dev->eics_due, ~(queues << EICS_QUEUE), __ATOMIC_SEQ_CST);

	if (left != 0 && left >> EICS_QUEUE == 0)
		raise_vectors(dev, __atomic_exchange_n(&dev->eics_due, 0, __ATOMIC_SEQ_CST) &
					   INTELVF_VECTORS_MASK);
}

/* A controller takes up a doorbell within a microsecond, a worker that sleeps or waits for its processor does
 * not. Linux's drivers write EICS to look for rings that hang: frames pending, and none done since the
 * last look. So an interrupt that is asked for behind a doorbell comes after the frames of that doorbell,
 * as it would on the controller. */
void intr_write_eics(struct intelvf *dev, unsigned int n, uint32_t value)
{
	uint32_t queues = intelvf_is_relayed(dev) ? 0 : ring_tx_wake(dev);

	value &= INTELVF_VECTORS_MASK;
	if (queues == 0) {
		raise_vectors(dev, value);
		return;
	}
	__atomic_fetch_or(&dev->eics_due, value | queues << EICS_QUEUE, __ATOMIC_SEQ_CST);
	/* Some may just have been served, and their workers look no more. */
	intr_eics_served(dev, ~ring_tx_wake(dev) & INTELVF_QUEUES_MASK);
}

uint32_t intr_read_eims(struct intelvf *dev, unsigned int n)
{
	return peek(dev, dev->family->eims);
}

void intr_write_eims(struct intelvf *dev, unsigned int n, uint32_t value)
{
	value &= INTELVF_VECTORS_MASK;
	/* Only bits that were clear can have missed an event. */
	fire_pending(dev, value & ~fetch_or(dev, dev->family->eims, value));
}

void intr_write_eimc(struct intelvf *dev, unsigned int n, uint32_t value)
{
	fetch_clear(dev, dev->family->eims, value);
}
