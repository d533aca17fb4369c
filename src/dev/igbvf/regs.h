/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers of the 82576's and I350's virtual function.
 *
 * A VF sees a part of its controller's registers, at the same offsets and under the same names as the PF
 * sees its own. Which ones, and what they do, is from Linux 6.12's igbvf (regs.h, defines.h), DPDK 25.11
 * (e1000/base/e1000_vf.h, e1000_82575.h) and QEMU 10.1 (hw/net/igbvf.c, vf_to_pf_addr). */
#ifndef SOFTIOV_DEV_IGBVF_REGS_H
#define SOFTIOV_DEV_IGBVF_REGS_H

#include "dev/intelvf/hw.h"

#define IGBVF_PAGE_RX    0x2000 /* queue lines: receive in its second half, */
#define IGBVF_PAGE_TX    0x3000 /* transmit likewise */
#define IGBVF_LINE_AT    0x800
#define IGBVF_QUEUE_STEP 0x100ul
#define IGBVF_QUEUES     2 /* the 82576's; an I350's VF has the first */

#define CTRL       0x0000
#define STATUS     0x0008
#define VMBMEM     0x0800 /* [16] */
#define V2PMAILBOX 0x0c40
#define PBACL      0x0f04
#define PSRTYPE    0x0f0c
#define VFGPRC     0x0f10
#define VFGPTC     0x0f14
#define VFGORC     0x0f18
#define VFGOTC     0x0f34
#define VFMPRC     0x0f3c
#define VFGPRLBC   0x0f40
#define VFGPTLBC   0x0f44
#define VFGORLBC   0x0f48
#define VFGOTLBC   0x0f50
#define FRTIMER    0x1048
#define EICS       0x1520
#define EIMS       0x1524
#define EIMC       0x1528
#define EIAC       0x152c
#define EIAM       0x1530
#define EICR       0x1580
#define EITR       0x1680 /* [3] */
#define IVAR0      0x1700
#define IVAR_MISC  0x1740

/* Offsets in a queue's lines that are this family's own. */
#define SRRCTL 0x0c
#define RXCTL  0x14
#define RQDPC  0x30
#define TXCTL  0x14

#define CTRL_RST 0x04000000

#define STATUS_FD   0x00000001
#define STATUS_LU   0x00000002
#define STATUS_100  0x00000040
#define STATUS_1000 0x00000080

#define EITR_INTERVAL 0x00007ffc
#define EITR_SHIFT    2
#define EITR_CNT_IGNR 0x80000000 /* igb/e1000_82575.h: do not begin anew */

#define SRRCTL_BSIZEPACKET 0x0000007f /* KiB */
#define SRRCTL_RESET       0x00000402 /* 2 KiB, header 256 bytes */

/* A bit for each kind of packet (82598EB datasheet, 3.5.2.4: the same numbers): IPv4 or IPv6 alone, with TCP, with UDP.
 * Those between are tunnels, those above NFS. */
#define PSRTYPE_IPV4 1
#define PSRTYPE_IPV6 7
#define PSRTYPE_TCP  1 /* more */
#define PSRTYPE_UDP  2

#define RXD_ERR_L4E 0x20000000 /* E1000_RXDEXT_STATERR_TCPE, _IPE */
#define RXD_ERR_IPE 0x40000000
#define RXD_ERR_RXE 0x80000000 /* the frame is no good; drivers skip it */

_Static_assert(offsetof(struct rx_line, igb_srrctl) == SRRCTL, "SRRCTL");
_Static_assert(offsetof(struct rx_line, igb_rxctl) == RXCTL, "RXCTL");

#endif
