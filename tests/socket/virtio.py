# SPDX-License-Identifier: BSD-3-Clause
"""A small virtio-net driver over vhost-user: what QEMU and a guest are to a synthetic's socket.

    nic = VirtioNet(daemon.show("vport", "a")["syn-socket"], packed=True)
    nic.send(frame, flags=NEEDS_CSUM, csum_start=34, csum_offset=16)
    frames = other.receive(1)

Messages: QEMU's docs/interop/vhost-user.rst. Rings: virtio 1.2, 2.7 and 2.8; header: 5.1.6. Receive buffer i
is descriptor i for ever, and transmit sends one frame at a time, so neither needs a list of what is free.
"""

import array
import collections
import os
import socket
import struct

from vfio_user import PATIENCE, GuestMemory, wait_until

GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE = 1, 2, 3, 5
SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL = 8, 9, 10, 12, 13
GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, SET_VRING_ENABLE = 15, 16, 18
NEED_REPLY = 8
REPLY_ACK = 1 << 3
VERSION_1, RING_PACKED, MRG_RXBUF, F_PROTOCOL = 1 << 32, 1 << 34, 1 << 15, 1 << 30
SENDS = 1 << 0 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 56  # CSUM, HOST_TSO4, HOST_TSO6, HOST_ECN, HOST_USO
TAKES_CSUM = 1 << 1
TAKES_WHOLE_UDP = 1 << 54 | 1 << 55  # GUEST_USO4, GUEST_USO6
TAKES_WHOLE = TAKES_CSUM | 1 << 7 | 1 << 8 | 1 << 9  # GUEST_TSO4, GUEST_TSO6, GUEST_ECN
DESC_NEXT, DESC_WRITE = 1, 2
PACKED_AVAIL, PACKED_USED = 1 << 7, 1 << 15

HEADER = struct.Struct("<BBHHHHH")
NEEDS_CSUM, DATA_VALID = 1, 2
GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_ECN = 1, 4, 5, 0x80
USER_ADDRESS = 0x7f0000000000  # where QEMU would have mapped the memory
RX, TX = 0, 1

Received = collections.namedtuple("Received", "data flags gso_type hdr_len gso_size csum_start csum_offset")


class SplitRing:
    def __init__(self, memory, size):
        self.size = size
        self.addresses = [memory.alloc(size * 16), memory.alloc(6 + 8 * size), memory.alloc(6 + 2 * size)]
        desc, used, avail = self.addresses
        self.desc = memory.words(desc, size * 2)
        self.avail = memory.words(avail, size + 2, "H")
        self.used = memory.words(used, size * 4 + 2, "H")
        self.avail[0] = 1  # no interrupts
        self.n_offered = self.n_used = 0

    def offer(self, first, buffers, flags):
        """A chain in descriptors from `first` on."""
        for i, (iova, size) in enumerate(buffers):
            more = DESC_NEXT if i + 1 < len(buffers) else 0
            self.desc[2 * (first + i)] = iova
            self.desc[2 * (first + i) + 1] = size | (flags | more) << 32 | (first + i + 1) << 48
        self.avail[2 + self.n_offered % self.size] = first
        self.n_offered += 1
        self.avail[1] = self.n_offered & 0xffff

    def take(self):
        """(first descriptor, bytes written) of the next chain that came back, or None."""
        if self.used[1] == self.n_used & 0xffff:
            return None
        at = 2 + self.n_used % self.size * 4
        self.n_used += 1
        return self.used[at], self.used[at + 2] | self.used[at + 3] << 16


class PackedRing:
    def __init__(self, memory, size):
        self.size = size
        self.addresses = [memory.alloc(size * 16), memory.alloc(4), memory.alloc(4)]
        desc, _, driver = self.addresses
        self.desc = memory.words(desc, size * 2)
        memory.words(driver, 2, "H")[1] = 1  # no interrupts
        self.at = self.seen = 0  # slots, free running; an even lap has wrap counter 1
        self.sizes = {}

    def lap_flags(self, at, used):
        wrap = at // self.size % 2 == 0
        return (PACKED_AVAIL if wrap else 0) | (PACKED_USED if wrap == used else 0)

    def offer(self, first, buffers, flags):
        """The ids are those of a split ring's descriptors; the last store is the first slot's flags."""
        words = []
        for i, (iova, size) in enumerate(buffers):
            more = DESC_NEXT if i + 1 < len(buffers) else 0
            slot = (self.at + i) % self.size
            self.desc[2 * slot] = iova
            words.append((2 * slot + 1, size | first << 32 |
                          (flags | more | self.lap_flags(self.at + i, False)) << 48))
        for at, word in reversed(words):
            self.desc[at] = word
        self.sizes[first] = len(buffers)
        self.at += len(buffers)

    def take(self):
        word = self.desc[2 * (self.seen % self.size) + 1]
        if word >> 48 & (PACKED_AVAIL | PACKED_USED) != self.lap_flags(self.seen, True):
            return None
        first = word >> 32 & 0xffff
        self.seen += self.sizes.pop(first)
        return first, word & 0xffffffff


class VirtioNet:
    """One pair of rings; `takes` are the features that concern what is received."""

    def __init__(self, path, packed=False, takes=TAKES_WHOLE, size=256, buffer_size=2048):
        self.memory = GuestMemory(2 << 20)
        self.buffer_size = buffer_size
        self.rings = [(PackedRing if packed else SplitRing)(self.memory, size) for _ in range(2)]
        self.fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(4)]
        self.features = VERSION_1 | MRG_RXBUF | F_PROTOCOL | SENDS | takes | (RING_PACKED if packed else 0)
        self.buffers = self.memory.alloc(size * buffer_size)
        self.tx_buffer = self.memory.alloc(HEADER.size + (256 << 10))
        for i in range(size):
            self.post(i)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(path)
            self.negotiate()
        except BaseException:
            self.close()
            raise

    def close(self):
        self.socket.close()
        self.memory.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    # --- messages ---

    def message(self, request, payload=b"", fd=None, flags=1):
        control = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.socket.sendmsg([struct.pack("<III", request, flags, len(payload)) + payload], control)

    def reply(self):
        data = self.socket.recv(12 + 8, socket.MSG_WAITALL)
        assert len(data) == 20, "the server closed the connection"
        return struct.unpack("<Q", data[12:])[0]

    def ask(self, request, payload=b"", fd=None):
        self.message(request, payload, fd, flags=1 | NEED_REPLY)
        return self.reply()

    def negotiate(self):
        offered = self.ask(GET_FEATURES)
        assert offered & self.features == self.features, hex(self.features & ~offered)
        assert self.ask(GET_PROTOCOL_FEATURES) & REPLY_ACK
        self.message(SET_PROTOCOL_FEATURES, struct.pack("<Q", REPLY_ACK))
        self.message(SET_OWNER)
        self.message(SET_FEATURES, struct.pack("<Q", self.features))
        memory = self.memory
        assert self.ask(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, memory.iova, memory.size, USER_ADDRESS, 0),
                        memory.fd) == 0
        for i, ring in enumerate(self.rings):
            desc, used, avail = (USER_ADDRESS + at for at in ring.addresses)
            self.message(SET_VRING_NUM, struct.pack("<II", i, ring.size))
            # A packed ring begins with both wrap counters 1.
            self.message(SET_VRING_BASE, struct.pack("<II", i, 0x80008000 if self.features & RING_PACKED else 0))
            self.message(SET_VRING_ADDR, struct.pack("<IIQQQQ", i, 0, desc, used, avail, 0))
            self.message(SET_VRING_KICK, struct.pack("<Q", i), self.fds[2 * i])
            self.message(SET_VRING_CALL, struct.pack("<Q", i), self.fds[2 * i + 1])
        for i in range(2):
            assert self.ask(SET_VRING_ENABLE, struct.pack("<II", i, 1)) == 0

    # --- frames ---

    def post(self, i):
        self.rings[RX].offer(i, [(self.buffers + i * self.buffer_size, self.buffer_size)], DESC_WRITE)

    def send(self, data, flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0, piece=8000):
        """One frame, in buffers of at most `piece` bytes; returns when the device has given them back."""
        whole = HEADER.pack(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, 0) + data
        self.memory.write(self.tx_buffer, whole)
        self.rings[TX].offer(0, [(self.tx_buffer + at, min(piece, len(whole) - at))
                                 for at in range(0, len(whole), piece)], 0)
        assert wait_until(self.rings[TX].take, PATIENCE, 0.0005), "the frame was not taken"

    def poll(self, limit=None):
        """The frames that are there; buffers go back to the ring."""
        frames = []
        while limit is None or len(frames) < limit:
            data = self.take_buffer()
            if data is None:
                break
            head = HEADER.unpack(data[:HEADER.size])
            for _ in range(head[6] - 1):
                data += wait_until(self.take_buffer)
            frames.append(Received(data[HEADER.size:], *head[:6]))
        return frames

    def take_buffer(self):
        came = self.rings[RX].take()
        if came is None:
            return None
        data = self.memory.read(self.buffers + came[0] * self.buffer_size, came[1])
        self.post(came[0])
        return data

    def receive(self, n, seconds=PATIENCE):
        """Wait for n frames; returns what came, at most n."""
        frames = self.poll(n)
        wait_until(lambda: frames.extend(self.poll(n - len(frames))) or len(frames) >= n, seconds, 0.0005)
        return frames
