# SPDX-License-Identifier: BSD-3-Clause
"""One face for all kinds of adapters, for tests of what passes between two of them.

    sender.send(Ask(...)): a packet, with its offloads asked for as this adapter's driver asks
    sender.send_bytes(f):  a frame as it is
    receiver.receive(n):   [Got], with what this adapter says of each frame
    port.restart(vids):    its driver comes up anew, and wants these VLANs tagged

Models of one family differ here only in what their receive queue does with tags.
"""

import collections
import contextlib
import random
import struct

import frames
import ixgbevf as hw
import virtio
from frames import SCTP, TCP, UDP
from igbvf import Igbvf
from ixgbevf import Ixgbevf
from softiov import PATIENCE, Daemon
from wire import Wires

IP_SIZE = {4: 20, 6: 40}
A4, B4 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A6, B6 = bytes(15) + b"\1", bytes(15) + b"\2"
SEQUENCE, IDENTITY = 0xfffffff0, 0xfffe  # both wrap under way
FLAGS = 0x99  # CWR, PSH, FIN, ACK
KIND = {TCP: hw.TX_TCP, UDP: hw.TX_UDP, SCTP: 0x1000}  # of a context descriptor

# `vlan` and `beside`: the tag, None if there is none, and whether it was beside the frame. `valid`: the
# adapter says that the L4 checksum is right; `partial`: that it is for the receiver to finish. `mss`: of a
# large send that came whole, else 0.
Got = collections.namedtuple("Got", "data vlan beside valid partial mss")


class Ask:
    """A packet to send. `offload`: its checksums are the adapter's to do; with `mss` the cutting, too."""

    def __init__(self, to, version=4, protocol=UDP, size=100, offload=True, mss=0, vlan=None, beside=False):
        self.to, self.version, self.protocol = to, version, protocol
        self.offload, self.mss, self.vlan, self.beside = offload, mss, vlan, beside
        self.payload = random.Random(size).randbytes(size)

    l3 = property(lambda self: 14 if self.vlan is None or self.beside else 18)
    l4 = property(lambda self: self.l3 + IP_SIZE[self.version])
    header_size = property(lambda self: self.l4 + frames.L4_SIZE[self.protocol])

    def frame(self, source, whole_size=True, offload=None):
        """Its bytes; `whole_size`: the sum that is left to the adapter counts the packet's length."""
        make = {TCP: lambda data: frames.tcp(data, SEQUENCE, FLAGS), UDP: frames.udp, SCTP: frames.sctp}
        l4 = make[self.protocol](self.payload)
        if self.version == 4:
            ip = frames.ipv4(A4, B4, self.protocol, 0, IDENTITY)
            ip = ip[:2] + struct.pack(">H", 20 + len(l4) & 0xffff) + ip[4:]
        else:
            ip = frames.ipv6(A6, B6, self.protocol, len(l4) & 0xffff)
        seeded = self.offload if offload is None else offload
        packet = frames.packet(ip, self.protocol, l4, seeded, whole_size)
        tag = struct.pack(">HH", 0x8100, self.vlan) if self.l3 == 18 else b""
        return self.to + source + tag + (b"\x08\x00" if self.version == 4 else b"\x86\xdd") + packet


def with_ip_sum(frame, at):
    """The IPv4 header's checksum filled in, as by a sender whose adapter does not."""
    value = ~frames.sum16(frame[at:at + 20]) & 0xffff
    return frame[:at + 10] + struct.pack(">H", value) + frame[at + 12:]


def untag(data):
    """(frame without its tag, the tag or None)"""
    if data[12:14] != b"\x81\x00":
        return data, None
    return data[:12] + data[16:], struct.unpack(">H", data[14:16])[0]


class VfPort:
    """`strip`: its driver has tags taken out."""

    inserts = True

    def __init__(self, vport, model, vids=(), strip=False):
        self.strips = strip
        self.nic = (Igbvf if model in ("82576", "i350") else Ixgbevf)(vport["vf-socket"], memory=2 << 20)
        self.nic.long_at = self.nic.memory.alloc(256 << 10)
        self.restart(vids)
        self.mac = self.nic.mac

    def restart(self, vids=()):
        self.nic.open(strip_vlan=self.strips)
        # 1500 and what lies around it; igbvf counts the tag as well (igbvf_set_rlpml, Linux 6.12).
        assert self.nic.request(hw.OP_LPE, 1522 if isinstance(self.nic, Igbvf) else 1518)
        for vid in vids:
            assert self.nic.request(hw.OP_VLAN | 1 << 16, vid)

    def close(self):
        self.nic.close()

    def send(self, ask):
        nic, frame = self.nic, ask.frame(self.mac, whole_size=ask.mss == 0)
        if ask.version == 4 and not ask.offload:
            frame = with_ip_sum(frame, ask.l3)
        nic.put_context(l2=ask.l3, l3=IP_SIZE[ask.version], l4=frames.L4_SIZE[ask.protocol], mss=ask.mss,
                        vlan=ask.vlan if ask.beside else 0,
                        kind=(hw.TX_IPV4 if ask.version == 4 else 0) | KIND[ask.protocol])
        command = hw.TX_DATA | hw.TX_EXT | hw.TX_FCS | (hw.TX_TSO if ask.mss else 0)
        command |= hw.TX_VLAN if ask.beside else 0
        options = (len(ask.payload) if ask.mss else len(frame)) << 14 | 0x80
        if ask.offload:
            options |= hw.TX_L4_SUM | (hw.TX_IP_SUM if ask.version == 4 else 0)
        nic.memory.write(nic.long_at, frame)
        for at in range(0, len(frame), 8000):
            size = min(8000, len(frame) - at)
            last = hw.TX_EOP | hw.TX_RS if at + size == len(frame) else 0
            nic.put_desc(nic.long_at + at, size | command | last | options << 32)
        nic.kick()
        assert nic.sent(), "the frame was not taken"

    def send_bytes(self, frame):
        self.nic.send(frame)

    def receive(self, n, seconds=PATIENCE):
        got = []
        for one in self.nic.receive(n, seconds):
            assert not one.status >> 20, "the adapter tells of an error"
            data, inside = untag(one.data)
            vlan = one.vlan if inside is None else inside
            got.append(Got(data, vlan, one.vlan is not None, bool(one.status & hw.RX_L4_SUM), False, 0))
        return got


class SyntheticPort:
    """`takes`: what its driver agreed to. It cannot ask for the sum of an IPv4 header or of SCTP."""

    inserts = strips = False

    def __init__(self, vport, packed, takes):
        self.mac = bytes.fromhex(vport["mac"].replace(":", ""))
        self.nic = virtio.VirtioNet(vport["syn-socket"], packed, takes)
        self.takes = takes

    def close(self):
        self.nic.close()

    def send(self, ask):
        asks = ask.offload and ask.protocol != SCTP
        frame = ask.frame(self.mac, offload=asks)
        if ask.version == 4:
            frame = with_ip_sum(frame, ask.l3)
        header = {}
        if asks:
            header = {"flags": virtio.NEEDS_CSUM, "csum_start": ask.l4,
                      "csum_offset": frames.SUM_AT[ask.protocol]}
        if ask.mss:
            kind = virtio.GSO_ECN | (virtio.GSO_TCPV4 if ask.version == 4 else virtio.GSO_TCPV6)
            header |= {"gso_type": kind if ask.protocol == TCP else virtio.GSO_UDP, "gso_size": ask.mss, "hdr_len": ask.header_size}
        self.nic.send(frame, **header)

    def restart(self, vids=()):
        """It has no filters that a change of VLANs would empty."""

    def send_bytes(self, frame):
        self.nic.send(frame)

    def receive(self, n, seconds=PATIENCE):
        return [self.look(one) for one in self.nic.receive(n, seconds)]

    def look(self, one):
        """As the kernel would go on: an unfinished sum is finished where the header says."""
        assert one.flags in (0, virtio.NEEDS_CSUM, virtio.DATA_VALID)
        assert not one.flags or self.takes & virtio.TAKES_CSUM
        assert not one.gso_type or self.takes & virtio.TAKES_WHOLE == virtio.TAKES_WHOLE
        assert one.gso_type != virtio.GSO_UDP or self.takes & virtio.TAKES_WHOLE_UDP
        data, partial = one.data, bool(one.flags & virtio.NEEDS_CSUM)
        if partial:
            at = one.csum_start + one.csum_offset
            value = ~frames.sum16(data[one.csum_start:]) & 0xffff
            data = data[:at] + struct.pack(">H", value or 0xffff) + data[at + 2:]
        if one.gso_type:
            tag = 4 if data[12:14] == b"\x81\x00" else 0
            version, udp = data[tag + 14] >> 4, one.gso_type == virtio.GSO_UDP
            assert udp or one.gso_type & 0x7f == (virtio.GSO_TCPV4 if version == 4 else virtio.GSO_TCPV6)
            assert one.hdr_len == tag + 14 + IP_SIZE[version] + frames.L4_SIZE[UDP if udp else TCP]
            assert udp or one.gso_type & virtio.GSO_ECN or not data[one.csum_start + 13] & 0x80
        data, vlan = untag(data)
        return Got(data, vlan, False, bool(one.flags & virtio.DATA_VALID), partial,
                   one.gso_size if one.gso_type else 0)


class UplinkPort:
    """The far end of its wire: frames are finished on it, and no longer than its MTU. The kernel takes tags
    out of what comes out of it, so that says nothing of where they were."""

    inserts = strips = False

    def __init__(self, wire):
        self.wire = wire
        self.mac = wire.mac

    def close(self):
        """The namespace's end is the wire's."""

    def send(self, ask):
        frame = ask.frame(self.mac, offload=False)
        self.wire.send(with_ip_sum(frame, ask.l3) if ask.version == 4 else frame)

    def restart(self, vids=()):
        """A wire takes what comes."""

    def send_bytes(self, frame):
        self.wire.send(frame)

    def receive(self, n, seconds=PATIENCE):
        return [Got(one.data, one.vlan, False, False, False, 0) for one in self.wire.receive(n, seconds)]


@contextlib.contextmanager
def opened(world, folders):
    """What world(daemon, wires) makes with a daemon of its own; its `ports` are closed at the end."""
    with Wires() as wires, Daemon(folders.mktemp("daemon"), netns=wires.netns) as daemon:
        made = world(daemon, wires)
        yield made
        for port in made.ports.values():
            port.close()
