/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers and descriptors that the virtual functions of 82599, X540, 82576 and I350 have alike: queue
 * lines, advanced descriptors, mailbox and interrupt bits. What differs is in the families' own regs.h.
 *
 * "DS" is Intel's 82599 10 GbE Controller Datasheet (331520), whose section 8.3 lists what a VF sees.
 * That the other controllers agree was compared with the register headers of Linux 6.12 (igbvf/defines.h,
 * igb/e1000_82575.h) and DPDK 25.11 (e1000/base/e1000_base.h). */
#ifndef SOFTIOV_DEV_INTELVF_HW_H
#define SOFTIOV_DEV_INTELVF_HW_H

#include <stdint.h>

#include "base/bits.h"

#define INTELVF_BAR_SIZE 0x4000
#define INTELVF_PAGE     0x1000ul

/* Bits that a ring's registers have, which shows where they are trapped: rings lie on 128 bytes, and their
 * lengths are multiples of that (DS 8.2.3.8.1 to 8.2.3.8.3); indices have 16 bits. */
#define RING_BAL_MASK        0xffffff80u
#define RING_LEN_MASK        0x000fff80u
#define RING_IDX_MASK        0x0000ffffu
#define INTELVF_QUEUES_MAX   8 /* queue pairs that either register layout has room for */
#define INTELVF_QUEUES_MASK  ((1u << INTELVF_QUEUES_MAX) - 1)
#define INTELVF_VECTORS      3 /* DS 7.3.1: MSI-X vectors of a VF */
#define INTELVF_VECTORS_MASK ((1u << INTELVF_VECTORS) - 1)
#define LINE_SIZE            0x40
#define INTELVF_IMAGE_SIZE   0x2000 /* registers that are not in the queue pages lie below */

/* Offsets in a queue's receive and transmit lines. */
#define RDBAL      0x00
#define RDBAH      0x04
#define RDLEN      0x08
#define RDH        0x10
#define RDT        0x18
#define RXDCTL     0x28
#define TDBAL      0x00
#define TDBAH      0x04
#define TDLEN      0x08
#define DCA_TXCTRL 0x0c
#define TDH        0x10
#define TDT        0x18
#define TXDCTL     0x28
#define TDWBAL     0x38
#define TDWBAH     0x3c

#define VFMAILBOX_REQ   0x00000001
#define VFMAILBOX_ACK   0x00000002
#define VFMAILBOX_VFU   0x00000004
#define VFMAILBOX_PFU   0x00000008
#define VFMAILBOX_PFSTS 0x00000010
#define VFMAILBOX_PFACK 0x00000020
#define VFMAILBOX_RSTI  0x00000040
#define VFMAILBOX_RSTD  0x00000080
#define VFMAILBOX_RC    (VFMAILBOX_PFSTS | VFMAILBOX_PFACK | VFMAILBOX_RSTD)
#define VFMBMEM_WORDS   16

/* An entry of VTIVAR or IVAR0 */
#define IVAR_VALID  0x80
#define IVAR_VECTOR 0x03

#define SRRCTL_DESCTYPE        0x0e000000
#define SRRCTL_DESCTYPE_LEGACY 0x00000000
#define SRRCTL_DESCTYPE_ADV    0x02000000 /* advanced, one buffer */
#define SRRCTL_DESCTYPE_SPLIT  0x04000000 /* a header buffer too, for headers */
#define SRRCTL_DESCTYPE_ALWAYS 0x0a000000 /* the same, which is always used */
#define SRRCTL_BSIZEHEADER     0x00003f00 /* 64 bytes */

#define RXDCTL_ENABLE   0x02000000
#define RXDCTL_VME      0x40000000
#define RXDCTL_RLPML    0x00003fff /* X540 only */
#define RXDCTL_RLPML_EN 0x00008000
#define TXDCTL_ENABLE   0x02000000

#define TDWBAL_HEAD_WB_EN 0x00000001

/* A ring's length in descriptors: RDLEN and TDLEN count bytes in steps of 128 up to 2^20 - 128 (DS
 * 8.2.3.8.3), but no ring may be longer than 64 Ki descriptors (DS 7.1.9, 7.2.3.3). */
#define RING_ALIGN    128
#define RING_SIZE_MAX 0x000fff80
#define DESC_SIZE     16

/* Receive descriptor, write-back: DS 7.1.5 (legacy), 7.1.6.2 (advanced). */
#define RXD_STAT_DD    0x00000001
#define RXD_STAT_EOP   0x00000002
#define RXD_STAT_VP    0x00000008
#define RXD_STAT_UDPCS 0x00000010
#define RXD_STAT_L4CS  0x00000020
#define RXD_STAT_IPCS  0x00000040
#define RXD_STAT_PIF   0x00000080
#define RXD_PKT_SHIFT  4
#define RXD_PKT_IPV4   0x00000010
#define RXD_PKT_IPV6   0x00000040
#define RXD_PKT_TCP    0x00000100
#define RXD_PKT_UDP    0x00000200
#define RXD_PKT_SCTP   0x00000400
/* First word: size of what is in the header buffer */
#define RXD_HDR_LEN_SHIFT 21
#define RXD_HDR_LEN_MAX   1023
#define RXD_SPH           0x80000000 /* that is as long as the headers */
#define RXD_HDR_SIZE_MAX  960        /* of a header buffer: ten bits, steps of 64 */
#define RXD_ERR_HBO       0x00800000 /* the headers are longer than their buffer */
/* In a legacy write-back the error byte lies above the status byte and the VLAN tag above it. Its bits are the
 * highest of an advanced one in both families (Linux 6.12: IXGBE_RXD_ERR_*, E1000_RXD_ERR_*). */
#define RXD_LEGACY_ERR_SHIFT 24

/* Transmit descriptors: DS 7.2.3.2. Second quad word, low half. */
#define TXD_DTALEN    0x0000ffff
#define TXD_DTYP      0x00f00000
#define TXD_DTYP_CTXT 0x00200000
#define TXD_DTYP_DATA 0x00300000
#define TXD_CMD_EOP   0x01000000
#define TXD_CMD_IC    0x04000000 /* legacy: insert checksum at CSO, from CSS on */
#define TXD_CMD_RS    0x08000000
#define TXD_CMD_DEXT  0x20000000
#define TXD_CMD_VLE   0x40000000
#define TXD_CMD_TSE   0x80000000
/* High half of a data descriptor */
#define TXD_STAT_DD      0x00000001
#define TXD_IDX          0x00000010 /* DS 7.2.3.2.4: only contexts 0 and 1 */
#define TXD_CC           0x00000080
#define TXD_POPTS_IXSM   0x00000100
#define TXD_POPTS_TXSM   0x00000200
#define TXD_POPTS_IPSEC  0x00000400
#define TXD_PAYLEN_SHIFT 14
/* Context descriptor: DS 7.2.3.2.3 */
#define TXC_IPLEN          0x000001ff
#define TXC_MACLEN_SHIFT   9
#define TXC_MACLEN         0x7f
#define TXC_VLAN_SHIFT     16
#define TXC_TUCMD_IPV4     0x00000400
#define TXC_TUCMD_L4T      0x00001800
#define TXC_TUCMD_L4T_UDP  0x00000000
#define TXC_TUCMD_L4T_TCP  0x00000800
#define TXC_TUCMD_L4T_SCTP 0x00001000
#define TXC_IDX            0x00000010
#define TXC_L4LEN_SHIFT    8
#define TXC_MSS_SHIFT      16

/* A queue's registers, as the guest maps them. Where a union has two, the families have exchanged them. */
struct rx_line {
	uint32_t rdbal, rdbah, rdlen;
	union {
		uint32_t dca_rxctrl; /* 82599, X540 */
		uint32_t igb_srrctl; /* 82576, I350 */
	};
	uint32_t rdh;
	union {
		uint32_t srrctl;
		uint32_t igb_rxctl;
	};
	uint32_t rdt, stat_1c;
	uint32_t stat_20, stat_24, rxdctl, rscctl;
	uint32_t pad_30, stat_34, pad_38[2];
};
_Static_assert(sizeof(struct rx_line) == LINE_SIZE, "a cache line");
_Static_assert(offsetof(struct rx_line, rdlen) == RDLEN, "RDLEN");
_Static_assert(offsetof(struct rx_line, rdh) == RDH, "RDH");
_Static_assert(offsetof(struct rx_line, rdt) == RDT, "RDT");
_Static_assert(offsetof(struct rx_line, rxdctl) == RXDCTL, "RXDCTL");

struct tx_line {
	uint32_t tdbal, tdbah, tdlen, dca_txctrl;
	uint32_t tdh, pad_14, tdt, stat_1c;
	uint32_t stat_20, stat_24, txdctl, pad_2c;
	uint32_t pad_30[2], tdwbal, tdwbah;
};
_Static_assert(sizeof(struct tx_line) == LINE_SIZE, "a cache line");
_Static_assert(offsetof(struct tx_line, tdlen) == TDLEN, "TDLEN");
_Static_assert(offsetof(struct tx_line, tdh) == TDH, "TDH");
_Static_assert(offsetof(struct tx_line, tdt) == TDT, "TDT");
_Static_assert(offsetof(struct tx_line, txdctl) == TXDCTL, "TXDCTL");
_Static_assert(offsetof(struct tx_line, tdwbal) == TDWBAL, "TDWBAL");

#endif
