/* SPDX-License-Identifier: BSD-3-Clause */
/* The register file. What is below the queue pages is the image; the statistics are those of the rings. */
#include "base/clock.h"
#include "dev/igbvf/igbvf.h"

static void write_ctrl(struct intelvf *dev, unsigned int n, uint32_t value)
{
	if ((value & CTRL_RST) != 0)
		intelvf_reset_function(dev);
}

/* Both controllers are of 1 Gbit/s: there is no way to tell of more. */
static uint32_t read_status(struct intelvf *dev, unsigned int n)
{
	if (!dev->vf.policy.link_up)
		return STATUS_FD;
	return STATUS_FD | STATUS_LU | (vf_speed_mbit(&dev->vf) == 100 ? STATUS_100 : STATUS_1000);
}

/* As the 82599's: microseconds 9:0, milliseconds 19:10, seconds 31:20. */
static uint32_t read_frtimer(struct intelvf *dev, unsigned int n)
{
	uint64_t us = clock_ns() / 1000;

	return (uint32_t)(us % 1000 | us / 1000 % 1000 << 10 | us / 1000000 << 20);
}

/* Workers add to the sums meanwhile; the low halves are whole. */
static uint32_t counter(const uint64_t *sum)
{
	return (uint32_t)__atomic_load_n(sum, __ATOMIC_RELAXED);
}

static uint32_t read_gprc(struct intelvf *dev, unsigned int n)
{
	return counter(&dev->st->rx_sums.frames);
}

static uint32_t read_gptc(struct intelvf *dev, unsigned int n)
{
	return counter(&dev->st->tx_sums.frames);
}

static uint32_t read_gorc(struct intelvf *dev, unsigned int n)
{
	return counter(&dev->st->rx_sums.bytes);
}

static uint32_t read_gotc(struct intelvf *dev, unsigned int n)
{
	return counter(&dev->st->tx_sums.bytes);
}

static uint32_t read_mprc(struct intelvf *dev, unsigned int n)
{
	return counter(&dev->st->rx_sums.group_frames);
}

/* Microseconds from bit 2 on, as igbvf reckons (igbvf.h: IGBVF_20K_ITR is 196). */
static void write_eitr(struct intelvf *dev, unsigned int n, uint32_t value)
{
	*regs_word(dev, EITR + 4 * n) = value & EITR_INTERVAL;
	intr_moderate(dev, n, (value & EITR_INTERVAL) >> EITR_SHIFT, (value & EITR_CNT_IGNR) == 0);
}

void igbvf_reset(struct intelvf *dev)
{
	for (unsigned int n = 0; n < INTELVF_VECTORS; n++)
		*regs_word(dev, EITR + 4 * n) = 0;
}

#define STEP IGBVF_QUEUE_STEP
#define NQ   IGBVF_QUEUES
#define RX   (IGBVF_PAGE_RX + IGBVF_LINE_AT)
#define TX   (IGBVF_PAGE_TX + IGBVF_LINE_AT)
#define ALL  0xffffffffu
#define BAL  RING_BAL_MASK
#define LEN  RING_LEN_MASK
#define IDX  RING_IDX_MASK
#define VECS INTELVF_VECTORS_MASK

/* The last words say where the row is from: Linux's igbvf/regs.h, or QEMU's igbvf.c for what no driver of
 * Linux uses. */
/* clang-format off */
static const struct reg rows[] = {
	/* offset   stride count  reset    mask     access  part.  name         source   read, write */
	{ CTRL,       0,  1,         0, CTRL_RST,   REG_WO, false, "CTRL",      "linux", NULL, write_ctrl },
	{ STATUS,     0,  1,         0,        0,   REG_RO, false, "STATUS",    "linux", read_status, NULL },
	{ VMBMEM,     4, VFMBMEM_WORDS, 0,   ALL,   REG_RW, false, "VMBMEM",    "linux", NULL, NULL },
	{ V2PMAILBOX, 0,  1,         0, VFMAILBOX_REQ | VFMAILBOX_ACK | VFMAILBOX_VFU,
						    REG_RC, false, "V2PMAILBOX", "linux", mbox_read, mbox_write },
	{ PBACL,      0,  1,         0,     VECS,   REG_RW, true,  "PBACL",     "qemu",  NULL, NULL },
	{ PSRTYPE,    0,  1,         0,      ALL,   REG_RW, true,  "PSRTYPE",   "qemu",  NULL, NULL },
	{ VFGPRC,     0,  1,         0,        0,   REG_RO, false, "VFGPRC",    "linux", read_gprc, NULL },
	{ VFGPTC,     0,  1,         0,        0,   REG_RO, false, "VFGPTC",    "linux", read_gptc, NULL },
	{ VFGORC,     0,  1,         0,        0,   REG_RO, false, "VFGORC",    "linux", read_gorc, NULL },
	{ VFGOTC,     0,  1,         0,        0,   REG_RO, false, "VFGOTC",    "linux", read_gotc, NULL },
	{ VFMPRC,     0,  1,         0,        0,   REG_RO, false, "VFMPRC",    "linux", read_mprc, NULL },
	/* Frames between VFs of the controller: the switch here does not tell them from others. */
	{ VFGPRLBC,   0,  1,         0,        0,   REG_RO, true,  "VFGPRLBC",  "linux", NULL, NULL },
	{ VFGPTLBC,   0,  1,         0,        0,   REG_RO, true,  "VFGPTLBC",  "linux", NULL, NULL },
	{ VFGORLBC,   0,  1,         0,        0,   REG_RO, true,  "VFGORLBC",  "linux", NULL, NULL },
	{ VFGOTLBC,   0,  1,         0,        0,   REG_RO, true,  "VFGOTLBC",  "linux", NULL, NULL },
	{ FRTIMER,    0,  1,         0,        0,   REG_RO, false, "FRTIMER",   "qemu",  read_frtimer, NULL },
	{ EICS,       0,  1,         0,     VECS,   REG_WO, false, "EICS",      "linux", NULL, intr_write_eics },
	{ EIMS,       0,  1,         0,     VECS,   REG_W1S, false, "EIMS",     "linux", intr_read_eims, intr_write_eims },
	{ EIMC,       0,  1,         0,     VECS,   REG_WO, false, "EIMC",      "linux", NULL, intr_write_eimc },
	{ EIAC,       0,  1,         0,     VECS,   REG_RW, false, "EIAC",      "linux", NULL, NULL },
	{ EIAM,       0,  1,         0,     VECS,   REG_RW, false, "EIAM",      "linux", NULL, NULL },
	{ EICR,       0,  1,         0,     VECS,   REG_RC, false, "EICR",      "linux", intr_read_eicr, intr_write_eicr },
	{ EITR,       4, INTELVF_VECTORS, 0, EITR_INTERVAL, REG_RW, false, "EITR", "linux", NULL, write_eitr },
	{ IVAR0,      0,  1,         0, 0x83838383, REG_RW, false, "IVAR0",     "linux", NULL, NULL },
	{ IVAR_MISC,  0,  1,         0, 0x00000083, REG_RW, false, "IVAR_MISC", "linux", NULL, NULL },

	{ RX + RDBAL,  STEP, NQ,     0,      BAL,   REG_MEM, false, "RDBAL",    "linux", NULL, NULL },
	{ RX + RDBAH,  STEP, NQ,     0,      ALL,   REG_MEM, false, "RDBAH",    "linux", NULL, NULL },
	{ RX + RDLEN,  STEP, NQ,     0,      LEN,   REG_MEM, false, "RDLEN",    "linux", NULL, NULL },
	{ RX + SRRCTL, STEP, NQ, SRRCTL_RESET, ALL, REG_MEM, true,  "SRRCTL",   "linux", NULL, NULL },
	{ RX + RDH,    STEP, NQ,     0,      IDX,   REG_MEM, false, "RDH",      "linux", NULL, NULL },
	{ RX + RXCTL,  STEP, NQ,     0,      ALL,   REG_MEM, true,  "RXCTL",    "linux", NULL, NULL },
	{ RX + RDT,    STEP, NQ,     0,      IDX,   REG_MEM, false, "RDT",      "linux", NULL, NULL },
	{ RX + RXDCTL, STEP, NQ,     0,      ALL,   REG_MEM, false, "RXDCTL",   "linux", NULL, NULL },
	{ RX + RQDPC,  STEP, NQ,     0,      ALL,   REG_MEM, true,  "RQDPC",    "qemu",  NULL, NULL },

	{ TX + TDBAL,  STEP, NQ,     0,      BAL,   REG_MEM, false, "TDBAL",    "linux", NULL, NULL },
	{ TX + TDBAH,  STEP, NQ,     0,      ALL,   REG_MEM, false, "TDBAH",    "linux", NULL, NULL },
	{ TX + TDLEN,  STEP, NQ,     0,      LEN,   REG_MEM, false, "TDLEN",    "linux", NULL, NULL },
	{ TX + TDH,    STEP, NQ,     0,      IDX,   REG_MEM, false, "TDH",      "linux", NULL, NULL },
	{ TX + TXCTL,  STEP, NQ,     0,      ALL,   REG_MEM, true,  "TXCTL",    "linux", NULL, NULL },
	{ TX + TDT,    STEP, NQ,     0,      IDX,   REG_MEM, false, "TDT",      "linux", NULL, NULL },
	{ TX + TXDCTL, STEP, NQ,     0,      ALL,   REG_MEM, false, "TXDCTL",   "linux", NULL, NULL },
	{ TX + TDWBAL, STEP, NQ,     0,      ALL,   REG_MEM, false, "TDWBAL",   "qemu",  NULL, NULL },
	{ TX + TDWBAH, STEP, NQ,     0,      ALL,   REG_MEM, false, "TDWBAH",   "qemu",  NULL, NULL },
};
/* clang-format on */

const struct reg_table igbvf_regs = { rows, ARRAY_SIZE(rows) };
