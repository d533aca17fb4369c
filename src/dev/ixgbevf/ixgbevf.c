/* SPDX-License-Identifier: BSD-3-Clause */
/* The family of 82599, X540 and X550, and the three models. */
#include "dev/ixgbevf/ixgbevf.h"

#define N82599_VF 0x10ed
#define X540_VF   0x1515
#define X550_VF   0x1565

/* DS 8.2.3.7.4: the headers that are looked for, the innermost first. */
static enum rx_split split(uint32_t psrtype, uint8_t packet)
{
	if (((packet & PACKET_TCP) != 0 && (psrtype & PSRTYPE_TCP) != 0) ||
	    ((packet & PACKET_UDP) != 0 && (psrtype & PSRTYPE_UDP) != 0))
		return SPLIT_L4;
	if (((packet & PACKET_IPV4) != 0 && (psrtype & PSRTYPE_IPV4) != 0) ||
	    ((packet & PACKET_IPV6) != 0 && (psrtype & PSRTYPE_IPV6) != 0))
		return SPLIT_L3;
	return (psrtype & PSRTYPE_L2) != 0 ? SPLIT_L2 : SPLIT_NOT;
}

static const struct intelvf_family family = {
	.regs = &ixgbevf_regs,
	.pages_at = IXGBEVF_PAGE_RX,
	.line_at = 0,
	.line_shift = 6,
	.srrctl_word = SRRCTL / 4,
	.has_line_stats = true,
	.bsizepacket = SRRCTL_BSIZEPACKET,
	.rxd_err = RXD_ERR_RXE,
	.rxd_l4e = RXD_ERR_L4E,
	.rxd_ipe = RXD_ERR_IPE,
	.psrtype = VFPSRTYPE,
	.split = split,
	.eicr = VTEICR,
	.eims = VTEIMS,
	.eiac = VTEIAC,
	.eiam = VTEIAM,
	.ivar = VTIVAR,
	.ivar_misc = VTIVAR_MISC,
	.mailbox = VFMAILBOX,
	.mbmem = VFMBMEM,
	.messages = &ixgbevf_messages,
	.reset_words = 4, /* status, address, type of the multicast hash */
	.reset = ixgbevf_reset,
	.api_name = ixgbevf_api_name,
};
_Static_assert(1 << 6 == IXGBEVF_QUEUE_STEP, "line_shift");

static struct vf *create(const struct vf_model *model, unsigned int n_queues)
{
	struct vf *vf = intelvf_create(model, n_queues, &family);

	if (vf == NULL)
		return NULL;
	intelvf_of(vf)->has_rlpml = model->device != N82599_VF;
	intelvf_of(vf)->has_rss = model->device == X550_VF;
	rss_init(intelvf_of(vf));
	return vf;
}

/* DS 9.4: BAR 0 has the registers, BAR 3 MSI-X with the table at 0 and pending bits at 0x2000. A VF's
 * subsystem IDs are its PF's: X520-2, X540-T2 and X550-T2 here (pci.ids of June 2025). With SR-IOV on, each pool has two queue pairs
 * at least (DS 7.1.2: 64 pools of two), and Linux's driver takes two wherever it has two processors, without asking. */
/* VFs and filters: as many as pools, RAL registers (DS 8.2.3.7.8) and PFVLVF registers (DS 8.2.3.27.15). X540 and X550
 * have as many: IXGBE_MAX_VF_FUNCTIONS, IXGBE_X540_RAR_ENTRIES, IXGBE_VLVF_ENTRIES of Linux 6.12's PF driver. */
#define IXGBEVF_MODEL(name_, device_, subsystem_)                                                \
	{                                                                                        \
		.name = (name_), .vendor = 0x8086, .device = (device_),                          \
		.subsystem_vendor = 0x8086, .subsystem = (subsystem_), .revision = 1,            \
		.class_code = 0x020000, .n_vectors = INTELVF_VECTORS, .msix_bar = 3,             \
		.msix_table_offset = 0, .msix_pba_offset = 0x2000, .n_bars = 2,                  \
		.bar = { { .idx = 0,                                                             \
			   .size = INTELVF_BAR_SIZE,                                             \
			   .mmap_offset = IXGBEVF_PAGE_RX,                                       \
			   .mmap_size = 2 * INTELVF_PAGE,                                        \
			   .memfd_offset = IXGBEVF_PAGE_RX },                                    \
			 { .idx = 3, .size = INTELVF_BAR_SIZE } },                               \
		.speed_max_mbit = 10000, .has_nbase_t = (device_) == X550_VF, .n_queues_min = 2, \
		.n_queues_max = INTELVF_QUEUES_MAX, .n_vfs = 64, .n_macs = 128, .n_vlans = 64,   \
		.create = create,                                                                \
	}

const struct vf_model ixgbevf_model_82599 = IXGBEVF_MODEL("82599", N82599_VF, 0x000c);
const struct vf_model ixgbevf_model_x540 = IXGBEVF_MODEL("x540", X540_VF, 0x0001);
const struct vf_model ixgbevf_model_x550 = IXGBEVF_MODEL("x550", X550_VF, 0x0001);
