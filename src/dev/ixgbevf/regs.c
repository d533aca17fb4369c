/* SPDX-License-Identifier: BSD-3-Clause */
/* The register file. Page 0 is the image, pages 1 and 2 are the queue pages. Nothing is mapped in page 3,
 * which has the RSS registers of the X550; before it they read as 0.
 */
#include "base/clock.h"
#include "dev/ixgbevf/ixgbevf.h"

static void write_vfctrl(struct intelvf *dev, unsigned int n, uint32_t value)
{
	if ((value & VFCTRL_RST) != 0)
		intelvf_reset_function(dev);
}

static uint32_t read_vfstatus(struct intelvf *dev, unsigned int n)
{
	return dev->vf.bus_master ? VFSTATUS_GIO : 0;
}

static uint32_t read_vflinks(struct intelvf *dev, unsigned int n)
{
	if (!dev->vf.policy.link_up)
		return 0;
	switch (vf_speed_mbit(&dev->vf)) {
	case 100:
		return VFLINKS_UP | VFLINKS_100M;
	case 1000:
		return VFLINKS_UP | VFLINKS_1G;
	case 2500:
		return VFLINKS_UP | VFLINKS_10G | VFLINKS_NON_STD;
	case 5000:
		return VFLINKS_UP | VFLINKS_100M | VFLINKS_NON_STD;
	default:
		return VFLINKS_UP | VFLINKS_10G;
	}
}

/* As FRTIMER: microseconds 9:0, milliseconds 19:10, seconds 31:20. */
static uint32_t read_vffrtimer(struct intelvf *dev, unsigned int n)
{
	uint64_t us = clock_ns() / 1000;

	return (uint32_t)(us % 1000 | us / 1000 % 1000 << 10 | us / 1000000 << 20);
}

/* DS 8.2.3.5.12: interval 11:3 in units of 2 us. Without CNT_WDIS the time begins anew. */
static void write_vteitr(struct intelvf *dev, unsigned int n, uint32_t value)
{
	*regs_word(dev, VTEITR + 4 * n) = value & VTEITR_MASK;
	intr_moderate(dev, n, ((value & VTEITR_MASK) >> VTEITR_SHIFT) * 2,
		      (value & VTEITR_CNT_WDIS) == 0);
}

void ixgbevf_reset(struct intelvf *dev)
{
	for (unsigned int n = 0; n < INTELVF_VECTORS; n++)
		*regs_word(dev, VTEITR + 4 * n) = 0;
	rss_reset(dev);
}

#define STEP IXGBEVF_QUEUE_STEP
#define NQ   INTELVF_QUEUES_MAX
#define RX   IXGBEVF_PAGE_RX
#define TX   IXGBEVF_PAGE_TX
#define ALL  0xffffffffu
#define BAL  RING_BAL_MASK
#define LEN  RING_LEN_MASK
#define IDX  RING_IDX_MASK

/* clang-format off */
static const struct reg rows[] = {
	/* offset       stride count  reset    mask     access  part.  name          section      read, write */
	{ VFCTRL,         0,  1,          0, VFCTRL_RST,  REG_WO, false, "VFCTRL",     "8.3.5.1.1", NULL, write_vfctrl },
	{ VFSTATUS,       0,  1,          0,          0,  REG_RO, false, "VFSTATUS",   "8.3.5.1.2", read_vfstatus, NULL },
	{ VFLINKS,        0,  1,          0,          0,  REG_RO, false, "VFLINKS",    "8.3.5.1.3", read_vflinks, NULL },
	{ VFFRTIMER,      0,  1,          0,          0,  REG_RO, false, "VFFRTIMER",  "8.3.5.1.4", read_vffrtimer, NULL },
	{ VTEICR,         0,  1,          0, VTEICR_MASK, REG_RC, false, "VTEICR",     "8.3.5.2.1", intr_read_eicr, intr_write_eicr },
	{ VTEICS,         0,  1,          0, VTEICR_MASK, REG_WO, false, "VTEICS",     "8.3.5.2.2", NULL, intr_write_eics },
	{ VTEIMS,         0,  1,          0, VTEICR_MASK, REG_W1S, false, "VTEIMS",    "8.3.5.2.3", intr_read_eims, intr_write_eims },
	{ VTEIMC,         0,  1,          0, VTEICR_MASK, REG_WO, false, "VTEIMC",     "8.3.5.2.4", NULL, intr_write_eimc },
	{ VTEIAC,         0,  1,          0, VTEICR_MASK, REG_RW, false, "VTEIAC",     "8.3.5.2.5", NULL, NULL },
	{ VTEIAM,         0,  1,          0, VTEICR_MASK, REG_RW, false, "VTEIAM",     "8.3.5.2.6", NULL, NULL },
	{ VTIVAR,         4,  4,          0, 0x83838383,  REG_RW, false, "VTIVAR",     "8.3.5.2.8", NULL, NULL },
	{ VTIVAR_MISC,    0,  1,          0, 0x00000083,  REG_RW, false, "VTIVAR_MISC", "8.3.5.2.9", NULL, NULL },
	{ VTRSCINT,       4, NQ,          0,        ALL,  REG_RW, true,  "VTRSCINT",   "8.3.5.2.10", NULL, NULL },
	{ VFMBMEM,        4, VFMBMEM_WORDS, 0,      ALL,  REG_RW, false, "VFMBMEM",    "8.3.5.1.6", NULL, NULL },
	{ VFMAILBOX,      0,  1,          0, VFMAILBOX_REQ | VFMAILBOX_ACK | VFMAILBOX_VFU,
							  REG_RC, false, "VFMAILBOX",  "8.3.5.1.5", mbox_read, mbox_write },
	{ VFPSRTYPE,      0,  1,          0, VFPSRTYPE_MASK, REG_RW, true, "VFPSRTYPE", "8.3.5.4.1", NULL, rss_write_psrtype },
	{ VTEITR,         4, INTELVF_VECTORS, 0, VTEITR_MASK, REG_RW, false, "VTEITR", "8.3.5.2.7", NULL, write_vteitr },

	{ RX + RDBAL,  STEP, NQ,          0,        BAL, REG_MEM, false, "RDBAL",      "8.3.5.4", NULL, NULL },
	{ RX + RDBAH,  STEP, NQ,          0,        ALL, REG_MEM, false, "RDBAH",      "8.3.5.4", NULL, NULL },
	{ RX + RDLEN,  STEP, NQ,          0,        LEN, REG_MEM, false, "RDLEN",      "8.3.5.4", NULL, NULL },
	{ RX + DCA_RXCTRL, STEP, NQ, 0x0000a200,    ALL, REG_MEM, true,  "DCA_RXCTRL", "8.3.5.6", NULL, NULL },
	{ RX + RDH,    STEP, NQ,          0,        IDX, REG_MEM, false, "RDH",        "8.3.5.4", NULL, NULL },
	{ RX + SRRCTL, STEP, NQ, SRRCTL_RESET,      ALL, REG_MEM, true,  "SRRCTL",     "8.3.5.4", NULL, NULL },
	{ RX + RDT,    STEP, NQ,          0,        IDX, REG_MEM, false, "RDT",        "8.3.5.4", NULL, NULL },
	{ RX + RXDCTL, STEP, NQ,          0,        ALL, REG_MEM, false, "RXDCTL",     "8.3.5.4", NULL, NULL },
	{ RX + RSCCTL, STEP, NQ,          0,        ALL, REG_MEM, true,  "RSCCTL",     "8.3.5.4", NULL, NULL },
	{ VFGPRC,         0,  1,          0,        ALL, REG_MEM, false, "VFGPRC",     "8.3.5.7.1", NULL, NULL },
	{ VFGORC_LSB,     0,  1,          0,        ALL, REG_MEM, false, "VFGORC_LSB", "8.3.5.7.3", NULL, NULL },
	{ VFGORC_MSB,     0,  1,          0,        ALL, REG_MEM, false, "VFGORC_MSB", "8.3.5.7.4", NULL, NULL },
	{ VFMPRC,         0,  1,          0,        ALL, REG_MEM, false, "VFMPRC",     "8.3.5.7.7", NULL, NULL },

	{ TX + TDBAL,  STEP, NQ,          0,        BAL, REG_MEM, false, "TDBAL",      "8.3.5.5", NULL, NULL },
	{ TX + TDBAH,  STEP, NQ,          0,        ALL, REG_MEM, false, "TDBAH",      "8.3.5.5", NULL, NULL },
	{ TX + TDLEN,  STEP, NQ,          0,        LEN, REG_MEM, false, "TDLEN",      "8.3.5.5", NULL, NULL },
	{ TX + DCA_TXCTRL, STEP, NQ, 0x00002a00,    ALL, REG_MEM, true,  "DCA_TXCTRL", "8.3.5.6", NULL, NULL },
	{ TX + TDH,    STEP, NQ,          0,        IDX, REG_MEM, false, "TDH",        "8.3.5.5", NULL, NULL },
	{ TX + TDT,    STEP, NQ,          0,        IDX, REG_MEM, false, "TDT",        "8.3.5.5", NULL, NULL },
	{ TX + TXDCTL, STEP, NQ,          0,        ALL, REG_MEM, false, "TXDCTL",     "8.3.5.5", NULL, NULL },
	{ TX + TDWBAL, STEP, NQ,          0,        ALL, REG_MEM, false, "TDWBAL",     "8.3.5.5", NULL, NULL },
	{ TX + TDWBAH, STEP, NQ,          0,        ALL, REG_MEM, false, "TDWBAH",     "8.3.5.5", NULL, NULL },
	{ VFGPTC,         0,  1,          0,        ALL, REG_MEM, false, "VFGPTC",     "8.3.5.7.2", NULL, NULL },
	{ VFGOTC_LSB,     0,  1,          0,        ALL, REG_MEM, false, "VFGOTC_LSB", "8.3.5.7.5", NULL, NULL },
	{ VFGOTC_MSB,     0,  1,          0,        ALL, REG_MEM, false, "VFGOTC_MSB", "8.3.5.7.6", NULL, NULL },

	{ VFMRQC,         0,  1,          0, VFMRQC_MASK, REG_RW, false, "VFMRQC",     "X550", rss_read_mrqc, rss_write_mrqc },
	{ VFRSSRK,        4, RSS_KEY_SIZE / 4, 0,   ALL,  REG_RW, false, "VFRSSRK",    "X550", rss_read_key, rss_write_key },
	{ VFRETA,         4, VFRETA_ENTRIES / 4, 0, 0x3f3f3f3f, REG_RW, false, "VFRETA", "X550", rss_read_reta, rss_write_reta },
	{ VFRXMEMWRAP,    0,  1,          0,          0,  REG_RO, false, "VFRXMEMWRAP", "8.2.3.8.11", NULL, NULL },
};
/* clang-format on */

const struct reg_table ixgbevf_regs = { rows, ARRAY_SIZE(rows) };
