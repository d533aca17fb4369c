/* SPDX-License-Identifier: BSD-3-Clause */
/* Receive side scaling of a VF.
 *
 * 82599, X540: key, redirection table and hash types are the PF's. What Linux 6.12's PF driver sets up with
 * SR-IOV on (ixgbe_main.c: ixgbe_setup_reta, ixgbe_setup_mrqc): a random key, the pool's queues in turn,
 * and the addresses of IPv4 and IPv6 with ports for TCP only, since a datagram's fragments have none. The VF
 * says with VFPSRTYPE.RQPL how many bits of the table's entries count, and so how many queues it uses.
 *
 * X550: all of it is in registers of the VF.
 */
#include <sys/random.h>

#include "dev/ixgbevf/ixgbevf.h"

#define POOL_TYPES \
	(RSS_BIT(RSS_IPV4) | RSS_BIT(RSS_TCP_IPV4) | RSS_BIT(RSS_IPV6) | RSS_BIT(RSS_TCP_IPV6))

/* MRQC, bits 24:16 in order (IXGBE_MRQC_RSS_FIELD_* of DPDK 26.11, ixgbe_type.h). */
static const uint8_t mrqc_types[] = {
	RSS_TCP_IPV4, RSS_IPV4,     RSS_TCP_IPV6_EX, RSS_IPV6_EX,     RSS_IPV6,
	RSS_TCP_IPV6, RSS_UDP_IPV4, RSS_UDP_IPV6,    RSS_UDP_IPV6_EX,
};

static uint32_t types_of(uint32_t mrqc)
{
	uint32_t types = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(mrqc_types); i++)
		if ((mrqc & 1u << (16 + i)) != 0)
			types |= RSS_BIT(mrqc_types[i]);
	return types;
}

/* The registers have changed. */
static void update(struct intelvf *dev)
{
	const struct rss_state *rss = &dev->st->rss;
	uint32_t bits = *regs_word(dev, VFPSRTYPE) >> VFPSRTYPE_RQPL_SHIFT;
	struct rx_spread spread = { .hashes = true,
				    .reta_mask = RETA_ENTRIES - 1,
				    .types = POOL_TYPES };
	/* Three bits are as many queues as there can be. */
	uint8_t mask = (uint8_t)((1u << (bits < 3 ? bits : 3)) - 1);

	if (dev->has_rss ? (rss->control & VFMRQC_RSSEN) == 0 : mask == 0) {
		spread_set(dev, NULL);
		return;
	}
	if (dev->has_rss) {
		spread.reta_mask = VFRETA_ENTRIES - 1;
		spread.types = types_of(rss->control);
		mask = INTELVF_QUEUES_MAX - 1;
	}
	rss_key_set(&spread.key, rss->key);
	for (unsigned int i = 0; i <= spread.reta_mask; i++)
		spread.reta[i] = rss->reta[i] & mask;
	spread_set(dev, &spread);
}

uint32_t rss_read_mrqc(struct intelvf *dev, unsigned int n)
{
	return dev->st->rss.control;
}

void rss_write_mrqc(struct intelvf *dev, unsigned int n, uint32_t value)
{
	if (!dev->has_rss)
		return;
	dev->st->rss.control = value & VFMRQC_MASK;
	update(dev);
}

/* Four bytes in a register, the first one lowest. */
static uint32_t get_bytes(const uint8_t *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return le32toh(word);
}

static void set_bytes(uint8_t *bytes, uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

uint32_t rss_read_key(struct intelvf *dev, unsigned int n)
{
	return dev->has_rss ? rss_key_word(dev, n) : 0;
}

uint32_t rss_key_word(const struct intelvf *dev, unsigned int n)
{
	return get_bytes(dev->st->rss.key + 4 * (size_t)n);
}

void rss_write_key(struct intelvf *dev, unsigned int n, uint32_t value)
{
	if (!dev->has_rss)
		return;
	set_bytes(dev->st->rss.key + 4 * (size_t)n, value);
	update(dev);
}

uint32_t rss_read_reta(struct intelvf *dev, unsigned int n)
{
	return dev->has_rss ? get_bytes(dev->st->rss.reta + 4 * (size_t)n) : 0;
}

void rss_write_reta(struct intelvf *dev, unsigned int n, uint32_t value)
{
	if (!dev->has_rss)
		return;
	set_bytes(dev->st->rss.reta + 4 * (size_t)n, value & 0x3f3f3f3f);
	update(dev);
}

void rss_write_psrtype(struct intelvf *dev, unsigned int n, uint32_t value)
{
	*regs_word(dev, VFPSRTYPE) = value & VFPSRTYPE_MASK;
	update(dev);
}

/* The power of two in n. */
static unsigned int power_in(unsigned int n)
{
	unsigned int p = 1;

	while (2 * p <= n)
		p *= 2;
	return p;
}

void rss_init(struct intelvf *dev)
{
	struct rss_state *rss = &dev->st->rss;
	unsigned int n_queues = power_in(dev->st->n_queues);

	if (dev->has_rss)
		return;
	for (unsigned int i = 0; i < RETA_ENTRIES; i++)
		rss->reta[i] = (uint8_t)(i % n_queues);
	/* It need not be a secret. */
	if (getrandom(rss->key, sizeof(rss->key), GRND_NONBLOCK) < 0)
		memcpy(rss->key, "a key of forty bytes that is good enough", sizeof(rss->key));
}

void rss_reset(struct intelvf *dev)
{
	*regs_word(dev, VFPSRTYPE) = 0;
	if (dev->has_rss)
		memset(&dev->st->rss, 0, sizeof(dev->st->rss));
	update(dev);
}
