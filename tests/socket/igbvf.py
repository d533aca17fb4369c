# SPDX-License-Identifier: BSD-3-Clause
"""The same small driver for the VF of an 82576 or I350; names as in Linux's igbvf."""

from ixgbevf import Ixgbevf

CTRL, STATUS, VMBMEM, V2PMAILBOX = 0x0000, 0x0008, 0x0800, 0x0c40
VFGPRC, VFGPTC, VFGORC, VFGOTC = 0x0f10, 0x0f14, 0x0f18, 0x0f34
OP_PROMISC = 6
ADD = 1 << 16  # of SET_VLAN
FILTER_CLEAR, FILTER_ADD = 1 << 16, 2 << 16  # of SET_MAC_ADDR
UNICAST, MULTICAST = 1 << 16, 2 << 16  # of SET_PROMISC
SPLIT_128 = 0x0a000000 | 0x200


class Igbvf(Ixgbevf):
    """Its mailbox has no versions and one way of locking."""

    CTRL, STATUS, MBMEM, MAILBOX, EIMS = CTRL, STATUS, VMBMEM, V2PMAILBOX, 0x1524
    IVAR, IVAR_MISC = 0x1700, 0x1740
    RDBAL, RDLEN, SRRCTL, RDH, RDT, RXDCTL = (0x2800 + at for at in (0, 8, 0xc, 0x10, 0x18, 0x28))
    TDBAL, TDLEN, TDH, TDT, TXDCTL = (0x3800 + at for at in (0, 8, 0x10, 0x18, 0x28))

    def open(self, api=None, **options):
        self.reset()
        self.start(**options)
        return self
