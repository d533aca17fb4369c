# SPDX-License-Identifier: BSD-3-Clause
"""A small driver for the VF of an 82599 or X540, on top of the vfio-user client.

    nic = Ixgbevf(daemon.vf_socket("a"))
    nic.open()
    nic.send(frame)
    frames = other.receive(1)

Register names, mailbox words and descriptor bits are those of the 82599 datasheet and of Linux's
ixgbevf. Rings, tails and heads are touched in the mapped queue pages, as a guest does; page 0 and the
mailbox by messages.
"""

import collections
import mmap
import os
import struct

import vfio_user as vfu
from vfio_user import PATIENCE, GuestMemory, VfioUser, wait_until

VFCTRL, VFSTATUS, VFLINKS = 0x0000, 0x0008, 0x0010
VTEICR, VTEIMS, VTEIMC, VTIVAR, VTIVAR_MISC = 0x0100, 0x0108, 0x010c, 0x0120, 0x0140
VFMBMEM, VFMAILBOX = 0x0200, 0x02fc
RDBAL, RDBAH, RDLEN, RDH, SRRCTL, RDT, RXDCTL = (0x1000 + at for at in (0, 4, 8, 0x10, 0x14, 0x18, 0x28))
TDBAL, TDBAH, TDLEN, TDH, TDT, TXDCTL = (0x2000 + at for at in (0, 4, 8, 0x10, 0x18, 0x28))
MAILBOX_REQ, MAILBOX_ACK, MAILBOX_VFU, MAILBOX_PFSTS, MAILBOX_PFACK, MAILBOX_RSTD = 1, 2, 4, 0x10, 0x20, 0x80

SUCCESS, FAILURE, CTS = 0x80000000, 0x40000000, 0x20000000
OP_RESET, OP_SET_MAC, OP_MULTICAST, OP_VLAN, OP_LPE, OP_MACVLAN = 1, 2, 3, 4, 5, 6
OP_API, OP_QUEUES, OP_RETA, OP_RSS_KEY, OP_XCAST, OP_IPSEC_ADD, OP_IPSEC_DEL = 8, 9, 10, 11, 12, 13, 14
OP_LINK_STATE, OP_PF_LINK_STATE, OP_FEATURES = 0x10, 0x11, 0x12
API = {"1.0": 0, "2.0": 1, "1.1": 2, "1.2": 3, "1.3": 4, "1.4": 5, "1.5": 6, "1.6": 7, "1.7": 8}

ENABLE = 0x02000000
STRIP_VLAN = 0x40000000
TX_DATA, TX_CONTEXT = 0x00300000, 0x00200000
TX_EOP, TX_FCS, TX_RS, TX_EXT, TX_VLAN, TX_TSO = (0x01000000, 0x02000000, 0x08000000, 0x20000000,
                                                  0x40000000, 0x80000000)
TX_IP_SUM, TX_L4_SUM = 0x100, 0x200
TX_IPV4, TX_TCP, TX_UDP = 0x400, 0x800, 0
RX_DONE, RX_EOP, RX_VLAN, RX_L4_SUM, RX_IP_SUM = 1, 2, 8, 0x20, 0x40

Received = collections.namedtuple("Received", "data status vlan")


class Registers:
    """The mapped queue pages, by the BAR's offsets; each 32-bit word is stored in one piece."""

    def __init__(self, fd, at, first, size):
        self.map = mmap.mmap(fd, size, offset=at)
        self.words = memoryview(self.map).cast("I")
        self.first = first

    def __getitem__(self, offset):
        return self.words[(offset - self.first) // 4]

    def __setitem__(self, offset, value):
        self.words[(offset - self.first) // 4] = value


class TrappedRegisters:
    """The same registers where none are mapped: each access is a message."""

    def __init__(self, client):
        self.client = client

    def __getitem__(self, offset):
        return self.client.read32(0, offset)

    def __setitem__(self, offset, value):
        self.client.write32(0, offset, value)


class Ixgbevf:
    """One VF with one pair of rings of `n_desc` descriptors; `irqs` are the eventfds of its vectors."""

    # Where the registers lie; other families have them elsewhere.
    CTRL, STATUS, MBMEM, MAILBOX, EIMS = VFCTRL, VFSTATUS, VFMBMEM, VFMAILBOX, VTEIMS
    IVAR, IVAR_MISC = VTIVAR, VTIVAR_MISC
    RDBAL, RDLEN, RDH, SRRCTL, RDT, RXDCTL = RDBAL, RDLEN, RDH, SRRCTL, RDT, RXDCTL
    TDBAL, TDLEN, TDH, TDT, TXDCTL = TDBAL, TDLEN, TDH, TDT, TXDCTL

    def __init__(self, path, n_desc=256, buffer_size=2048, memory=8 << 20, iova=0):
        self.n_desc = n_desc
        self.buffer_size = buffer_size
        self.memory = GuestMemory(memory, iova)
        self.irqs = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)]
        self.client = VfioUser(path)
        self.api = 0
        self.mac = None
        try:
            self.probe()
        except BaseException:
            self.close()
            raise

    def probe(self):
        self.client.dma_map(self.memory.iova, self.memory.size, self.memory.fd)
        argsz = self.client.region_info(0).argsz
        info = self.client.region_info(0, argsz)
        if info.areas:
            at, size = info.areas[0]
            self.regs = Registers(info.fd, info.offset + at, at, size)
            os.close(info.fd)
        else:
            self.regs = TrappedRegisters(self.client)
        self.client.set_irqs(vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 3, fds=self.irqs)
        self.client.write(vfu.CONFIG, 4, b"\x06\x00")  # memory space, bus master
        memory = self.memory
        self.tx_ring = memory.alloc(self.n_desc * 16)
        self.rx_ring = memory.alloc(self.n_desc * 16)
        self.tx_desc = memory.words(self.tx_ring, self.n_desc * 2)
        self.rx_desc = memory.words(self.rx_ring, self.n_desc * 2)
        self.tx_buffers = memory.alloc(self.n_desc * self.buffer_size)
        self.rx_buffers = memory.alloc(self.n_desc * self.buffer_size)

    def close(self):
        self.client.close()
        self.memory.close()
        for fd in self.irqs:
            os.close(fd)
        self.irqs = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- page 0 and the mailbox ---

    def read(self, offset):
        return self.client.read32(0, offset)

    def write(self, offset, value):
        self.client.write32(0, offset, value)

    def mailbox_wait(self, bit):
        """Poll the mailbox register, whose bits are cleared by reading, until a bit was seen."""
        seen = 0

        def look():
            nonlocal seen
            seen |= self.read(self.MAILBOX)
            return seen & bit

        return wait_until(look)

    def mailbox(self, words, style=None):
        """A request and its answer's 16 words, or None if none comes. Style 1: drivers up to API 1.4
        and every driver's first messages; 2: from 1.5 on."""
        style = style or (2 if self.api >= API["1.5"] else 1)
        self.read(self.MAILBOX)
        self.write(self.MAILBOX, MAILBOX_VFU)
        assert self.read(self.MAILBOX) & MAILBOX_VFU
        for i, word in enumerate(words):
            self.write(self.MBMEM + 4 * i, word & 0xffffffff)
        self.write(self.MAILBOX, MAILBOX_REQ | (MAILBOX_VFU if style == 2 else 0))
        seen = self.read(self.MAILBOX)
        assert seen & MAILBOX_PFACK, "the PF did not acknowledge"
        if style == 2:
            assert not seen & MAILBOX_PFSTS, "the PF wrote into a buffer that the VF holds"
            self.write(self.MAILBOX, 0)
            seen = self.read(self.MAILBOX)
        if not seen & MAILBOX_PFSTS:
            return None
        if style == 1:
            self.write(self.MAILBOX, MAILBOX_VFU)
        answer = list(struct.unpack("<16I", b"".join(
            self.client.read(0, self.MBMEM + 8 * i, 8) for i in range(8))))
        self.write(self.MAILBOX, MAILBOX_ACK)
        return answer

    def request(self, *words):
        """Whether the PF granted it; the answer is kept in `answer`."""
        self.answer = self.mailbox(words)
        assert self.answer is not None, "no answer"
        word = self.answer[0]
        assert bool(word & SUCCESS) != bool(word & FAILURE)
        assert word & ~(SUCCESS | FAILURE | CTS) == words[0], f"{word:#x} answers {words[0]:#x}"
        return bool(word & SUCCESS)

    def reset(self):
        self.write(self.CTRL, 0x04000000)
        self.api = 0
        assert self.mailbox_wait(MAILBOX_RSTD), "RSTD does not come"
        answer = self.mailbox([OP_RESET], style=1)
        assert answer[0] == OP_RESET | SUCCESS, hex(answer[0])
        self.mac = struct.pack("<II", answer[1], answer[2])[:6]

    def negotiate(self, api):
        if not self.request(OP_API, API[api]):
            return False
        self.api = API[api]
        return True

    # --- rings ---

    def start(self, strip_vlan=False):
        """Rings, all receive buffers posted, both queues on, vector 0 for receive and 1 for transmit."""
        regs = self.regs
        regs[self.RXDCTL] = regs[self.TXDCTL] = 0
        self.read(self.STATUS)
        for base, size, head, tail, ring in ((self.RDBAL, self.RDLEN, self.RDH, self.RDT, self.rx_ring),
                                             (self.TDBAL, self.TDLEN, self.TDH, self.TDT, self.tx_ring)):
            regs[base], regs[base + 4] = ring & 0xffffffff, ring >> 32
            regs[size] = self.n_desc * 16
            regs[head] = regs[tail] = 0
        self.tx_tail = self.rx_next = 0
        regs[self.SRRCTL] = 0x02000000 | self.buffer_size >> 10
        self.write(self.IVAR, 0x8180)
        self.write(self.IVAR_MISC, 0x82)
        self.write(self.EIMS, 7)
        for i in range(self.n_desc):
            self.post(i)
        regs[self.RXDCTL] = ENABLE | (STRIP_VLAN if strip_vlan else 0)
        regs[self.TXDCTL] = ENABLE
        regs[self.RDT] = self.n_desc - 1
        self.read(self.STATUS)

    def open(self, api="1.5", **options):
        """All that `ip link set up` does."""
        self.reset()
        assert self.negotiate(api)
        self.start(**options)
        return self

    def post(self, i):
        self.rx_desc[2 * i] = self.rx_buffers + i * self.buffer_size
        self.rx_desc[2 * i + 1] = 0

    def put_desc(self, low, high):
        """One transmit descriptor; the tail is moved by kick()."""
        i = self.tx_tail
        self.tx_desc[2 * i] = low
        self.tx_desc[2 * i + 1] = high
        self.tx_tail = (i + 1) % self.n_desc

    def kick(self):
        self.regs[self.TDT] = self.tx_tail

    def put_frame(self, data, pieces=None, command=0, popts=0, payload=None):
        """Descriptors for one frame, in the buffers that lie beside them."""
        at = self.tx_buffers + self.tx_tail * self.buffer_size
        assert at + len(data) <= self.tx_buffers + self.n_desc * self.buffer_size
        self.memory.write(at, data)
        sizes = pieces or [len(data)]
        assert sum(sizes) == len(data)
        payload = len(data) if payload is None else payload
        for i, size in enumerate(sizes):
            last = TX_EOP | TX_RS if i == len(sizes) - 1 else 0
            word = size | TX_DATA | TX_EXT | TX_FCS | last | command
            self.put_desc(at, word | (payload << 14 | 0x80 | popts) << 32)
            at += size

    def put_context(self, l2=14, l3=20, l4=20, mss=0, vlan=0, kind=TX_IPV4 | TX_TCP):
        self.put_desc(vlan << 16 | l2 << 9 | l3,
                      (kind | TX_CONTEXT | TX_EXT) | (mss << 16 | l4 << 8) << 32)

    def sent(self, seconds=PATIENCE):
        """Wait until the last descriptor before the tail was given back."""
        last = (self.tx_tail - 1) % self.n_desc
        return bool(wait_until(lambda: self.tx_desc[2 * last + 1] >> 32 & RX_DONE, seconds, 0.0005))

    def send(self, data, wait=True, **options):
        self.put_frame(data, **options)
        self.kick()
        assert not wait or self.sent(), "the frame was not taken"

    def poll(self, limit=None):
        """Take the frames that are there; buffers go back to the ring."""
        frames = []
        data = b""
        while limit is None or len(frames) < limit:
            i = self.rx_next
            word = self.rx_desc[2 * i + 1]
            if not word & RX_DONE:
                break
            status, size, vlan = word & 0xffffffff, word >> 32 & 0xffff, word >> 48
            data += self.memory.read(self.rx_buffers + i * self.buffer_size, size)
            self.post(i)
            self.regs[self.RDT] = i
            self.rx_next = (i + 1) % self.n_desc
            if status & RX_EOP:
                frames.append(Received(data, status, vlan if status & RX_VLAN else None))
                data = b""
        return frames

    def receive(self, n, seconds=PATIENCE):
        """Wait for n frames; returns what came, at most n."""
        frames = self.poll(n)
        wait_until(lambda: frames.extend(self.poll(n - len(frames))) or len(frames) >= n, seconds,
                   0.0005)
        return frames
