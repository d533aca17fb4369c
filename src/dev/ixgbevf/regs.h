/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers of the 82599's and X540's virtual function, under the datasheet's names.
 *
 * "DS" is Intel's 82599 10 GbE Controller Datasheet (331520), whose section 8.3 lists what a VF sees;
 * the X540 Datasheet (515170) has the same VF registers at the same offsets, and adds
 * RXDCTL.RLPML. Bits that the drivers of Linux 6.12 and DPDK 25.11 rely on were compared with these
 * drivers' own register headers. */
#ifndef SOFTIOV_DEV_IXGBEVF_REGS_H
#define SOFTIOV_DEV_IXGBEVF_REGS_H

#include <stdint.h>

#include "dev/intelvf/hw.h"

/* The BAR's pages: a VF's registers fall into four, each of one nature. */
#define IXGBEVF_PAGE_RX 0x1000
#define IXGBEVF_PAGE_TX 0x2000

#define IXGBEVF_QUEUE_STEP 0x40ul /* a queue's registers fill one cache line */

/* Page 0: control, interrupts, mailbox. */
#define VFCTRL      0x0000
#define VFSTATUS    0x0008
#define VFLINKS     0x0010
#define VFFRTIMER   0x0048
#define VTEICR      0x0100
#define VTEICS      0x0104
#define VTEIMS      0x0108
#define VTEIMC      0x010c
#define VTEIAC      0x0110
#define VTEIAM      0x0114
#define VTIVAR      0x0120 /* [4], two queues each */
#define VTIVAR_MISC 0x0140
#define VTRSCINT    0x0180 /* [8] */
#define VFMBMEM     0x0200 /* [16] */
#define VFMAILBOX   0x02fc
#define VFPSRTYPE   0x0300
#define VTEITR      0x0820 /* [3] */

/* Pages 1 and 2: queue 0's lines, 64 bytes to the next; offsets in a line that are this family's own. The
 * others are in intelvf/hw.h. */
#define DCA_RXCTRL 0x0c
#define SRRCTL     0x14
#define RSCCTL     0x2c
/* Statistics use holes of queue 0's lines (DS 8.3.5.7). */
#define VFGPRC     0x101c
#define VFGORC_LSB 0x1020
#define VFGORC_MSB 0x1024
#define VFMPRC     0x1034
#define VFGPTC     0x201c
#define VFGOTC_LSB 0x2020
#define VFGOTC_MSB 0x2024

/* Page 3. RSS registers: from the X550 on (ixgbevf/regs.h of Linux 6.12) */
#define VFMRQC      0x3000
#define VFRSSRK     0x3100 /* [10] */
#define VFRXMEMWRAP 0x3190 /* not the X550 */
#define VFRETA      0x3200 /* [16], four entries each */

#define VFCTRL_RST 0x04000000

#define VFSTATUS_GIO 0x00080000 /* DS 8.2.3.1.2: bus mastering is on */

#define VFLINKS_UP   0x40000000
#define VFLINKS_10G  0x30000000
#define VFLINKS_1G   0x20000000
#define VFLINKS_100M 0x10000000
/* X550: with the bits of 10 Gbit/s it is 2.5, with those of 100 Mbit/s 5 (DPDK 26.11's ixgbe_check_mac_link_vf).
 * Linux 6.12's ixgbevf looks at the other bits only. */
#define VFLINKS_NON_STD 0x08000000

#define VTEICR_MASK     INTELVF_VECTORS_MASK
#define VTEITR_MASK     0x00000ff8
#define VTEITR_SHIFT    3
#define VTEITR_CNT_WDIS 0x80000000

#define VFPSRTYPE_MASK 0xe0001330
/* Bits of Linux 6.12's ixgbevf/defines.h */
#define PSRTYPE_TCP  0x00000010
#define PSRTYPE_UDP  0x00000020
#define PSRTYPE_IPV4 0x00000100
#define PSRTYPE_IPV6 0x00000200
#define PSRTYPE_L2   0x00001000
#define VFPSRTYPE_RQPL_SHIFT \
	29 /* DS 8.2.3.7.4: bits of the redirection table's entries that count */
#define VFRETA_ENTRIES 64
#define RETA_ENTRIES   128 /* of the PF, for pools without registers of their own */

#define VFMRQC_RSSEN 0x00000001
#define VFMRQC_MASK  0x01ff0001

#define SRRCTL_BSIZEPACKET 0x0000001f /* KiB */
#define SRRCTL_RESET       0x00000402 /* DS 8.2.3.8.7: 2 KiB, header 256 bytes */

#define RXD_ERR_RXE 0x20000000 /* DS 7.1.6.2: the frame is no good; drivers skip it */
#define RXD_ERR_L4E 0x40000000
#define RXD_ERR_IPE 0x80000000

_Static_assert(offsetof(struct rx_line, srrctl) == SRRCTL, "SRRCTL");
_Static_assert(offsetof(struct rx_line, stat_1c) == VFGPRC - IXGBEVF_PAGE_RX, "VFGPRC");
_Static_assert(offsetof(struct rx_line, stat_20) == VFGORC_LSB - IXGBEVF_PAGE_RX, "VFGORC");
_Static_assert(offsetof(struct rx_line, stat_34) == VFMPRC - IXGBEVF_PAGE_RX, "VFMPRC");
_Static_assert(offsetof(struct tx_line, stat_1c) == VFGPTC - IXGBEVF_PAGE_TX, "VFGPTC");
_Static_assert(sizeof(struct rx_line) == IXGBEVF_QUEUE_STEP, "one line a queue");

#endif
