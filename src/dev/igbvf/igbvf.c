/* SPDX-License-Identifier: BSD-3-Clause */
/* The family of 82576 and I350, and the two models. */
#include "dev/igbvf/igbvf.h"

/* Its mailbox protocol has no versions. */
static const char *api_name(const struct intelvf *dev)
{
	return dev->st->mbox.cts ? "1.0" : "";
}

/* A packet of a kind whose bit is clear is not split; one with another L4, or a fragment, is of the kind with IP
 * alone. */
static enum rx_split split(uint32_t psrtype, uint8_t packet)
{
	unsigned int kind = (packet & PACKET_IPV4) != 0 ? PSRTYPE_IPV4 : PSRTYPE_IPV6;
	bool has_l4 = (packet & (PACKET_TCP | PACKET_UDP)) != 0;

	if ((packet & (PACKET_IPV4 | PACKET_IPV6)) == 0)
		return SPLIT_NOT;
	if (has_l4)
		kind += (packet & PACKET_TCP) != 0 ? PSRTYPE_TCP : PSRTYPE_UDP;
	if ((psrtype >> kind & 1) == 0)
		return SPLIT_NOT;
	return has_l4 ? SPLIT_L4 : SPLIT_L3;
}

static const struct intelvf_family family = {
	.regs = &igbvf_regs,
	.pages_at = IGBVF_PAGE_RX,
	.line_at = IGBVF_LINE_AT,
	.line_shift = 8,
	.srrctl_word = SRRCTL / 4,
	.strips_always = true, /* igb sets VMOLR.STRVLAN of each VF that has a VLAN */
	.lpe_has_tag = true,
	.bsizepacket = SRRCTL_BSIZEPACKET,
	.rxd_err = RXD_ERR_RXE,
	.rxd_l4e = RXD_ERR_L4E,
	.rxd_ipe = RXD_ERR_IPE,
	.psrtype = PSRTYPE,
	.split = split,
	.eicr = EICR,
	.eims = EIMS,
	.eiac = EIAC,
	.eiam = EIAM,
	.ivar = IVAR0,
	.ivar_misc = IVAR_MISC,
	.mailbox = V2PMAILBOX,
	.mbmem = VMBMEM,
	.messages = &igbvf_messages,
	.reset_words = 3, /* status, address */
	.reset = igbvf_reset,
	.api_name = api_name,
};
_Static_assert(1 << 8 == IGBVF_QUEUE_STEP, "line_shift");

static struct vf *create(const struct vf_model *model, unsigned int n_queues)
{
	return intelvf_create(model, n_queues, &family);
}

/* BARs and MSI-X as QEMU 10.1's igbvf.c has them: the tables in BAR 3, pending bits at 0x2000. A VF's
 * subsystem IDs are its PF's: those of the Gigabit ET and of the I350-T4 adapter here. */
/* VFs and filters: eight pools; E1000_RAR_ENTRIES_82576, _I350 and E1000_VLVF_ARRAY_SIZE of Linux 6.12's PF driver
 * (igb/e1000_82575.h). */
#define IGBVF_MODEL(name_, device_, subsystem_, n_queues_, n_macs_)                               \
	{                                                                                         \
		.name = (name_), .vendor = 0x8086, .device = (device_),                           \
		.subsystem_vendor = 0x8086, .subsystem = (subsystem_), .revision = 1,             \
		.class_code = 0x020000, .n_vectors = INTELVF_VECTORS, .msix_bar = 3,              \
		.msix_table_offset = 0, .msix_pba_offset = 0x2000, .n_bars = 2,                   \
		.bar = { { .idx = 0,                                                              \
			   .size = INTELVF_BAR_SIZE,                                              \
			   .mmap_offset = IGBVF_PAGE_RX,                                          \
			   .mmap_size = 2 * INTELVF_PAGE,                                         \
			   .memfd_offset = IGBVF_PAGE_RX },                                       \
			 { .idx = 3, .size = INTELVF_BAR_SIZE } },                                \
		.speed_max_mbit = 1000, .n_queues_min = (n_queues_), .n_queues_max = (n_queues_), \
		.n_vfs = 8, .n_macs = (n_macs_), .n_vlans = 32, .create = create,                 \
	}

const struct vf_model igbvf_model_82576 = IGBVF_MODEL("82576", 0x10ca, 0xa03c, 2, 24);
const struct vf_model igbvf_model_i350 = IGBVF_MODEL("i350", 0x1520, 0x0001, 1, 32);
