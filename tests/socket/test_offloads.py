# SPDX-License-Identifier: BSD-3-Clause
"""Checksums and segmentation asked for by descriptor, recomputed here from what arrives."""

import random
import struct

import pytest

import frames
import ixgbevf as hw
from frames import TCP, UDP

A4, B4 = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
A6, B6 = bytes(15) + b"\1", bytes(15) + b"\2"


def ip_header(version, protocol, size):
    return frames.ipv4(A4, B4, protocol, size) if version == 4 else frames.ipv6(A6, B6, protocol, size)


def ether(a, b, packet, version, vlan=None):
    tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
    return b.mac + a.mac + tag + (b"\x08\x00" if version == 4 else b"\x86\xdd") + packet


def kind(version, protocol):
    return (hw.TX_IPV4 if version == 4 else 0) | (hw.TX_TCP if protocol == TCP else hw.TX_UDP)


def payload_of(size, seed=1):
    return random.Random(seed).randbytes(size)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("size", [0, 1, 2, 3, 100, 1399, 1400])
def test_transmit_checksums(nics, version, protocol, size):
    a, b, _ = nics
    l4 = (frames.tcp if protocol == TCP else frames.udp)(payload_of(size))
    packet = frames.packet(ip_header(version, protocol, len(l4)), protocol, l4, seeded=True)
    a.put_context(l3=20 if version == 4 else 40, kind=kind(version, protocol))
    a.send(ether(a, b, packet, version), popts=hw.TX_L4_SUM | (hw.TX_IP_SUM if version == 4 else 0))
    got = b.receive(1)
    assert len(got) == 1
    assert frames.check_packet(got[0].data[14:], protocol)[20 if protocol == TCP else 8:] == \
        payload_of(size)
    assert got[0].status & hw.RX_L4_SUM, "the receiver is not told that the sum is right"


def test_a_zero_udp_checksum_becomes_ffff(nics):
    """RFC 768: 0 would mean that there is none."""
    a, b, _ = nics
    base = frames.udp(b"\0\0")
    ip = ip_header(4, UDP, len(base))
    total = frames.sum16(frames.pseudo_header(ip, UDP, len(base)) + base)
    l4 = base[:8] + struct.pack(">H", 0xffff - total)
    a.put_context(kind=kind(4, UDP))
    a.send(ether(a, b, frames.packet(ip, UDP, l4, seeded=True), 4), popts=hw.TX_L4_SUM | hw.TX_IP_SUM)
    assert b.receive(1)[0].data[14 + 20 + 6:14 + 20 + 8] == b"\xff\xff"


def test_without_a_request_nothing_is_touched(nics):
    a, b, _ = nics
    l4 = frames.tcp(payload_of(100))
    frame = ether(a, b, frames.packet(ip_header(4, TCP, len(l4)), TCP, l4, seeded=True), 4)
    a.send(frame)
    got = b.receive(1)[0]
    assert got.data == frame and not got.status & hw.RX_L4_SUM


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mss, size", [(1460, 1461), (1460, 65000 - 40), (1440, 20000), (536, 5000),
                                       (1000, 3000), (1000, 999), (88, 2000)])
def test_segmentation(long_memory, version, mss, size):
    a, b, _ = long_memory
    if version == 6:
        mss, size = min(mss, 1440), min(size, 64000)
    payload = payload_of(size)
    l4 = frames.tcp(payload, sequence=0xfffffff0, flags=0x99)  # CWR, PSH, FIN, ACK
    packet = frames.packet(ip_header(version, TCP, len(l4)), TCP, l4, seeded=True, with_size=False)
    frame = ether(a, b, packet, version)
    header_size = len(frame) - size
    a.put_context(l3=20 if version == 4 else 40, mss=mss, kind=kind(version, TCP))
    send_long(a, frame, payload=size, popts=hw.TX_L4_SUM | (hw.TX_IP_SUM if version == 4 else 0))
    count = -(-size // mss)
    got = b.receive(count)
    assert len(got) == count and not b.poll()
    data = b""
    for i, segment in enumerate(got):
        tcp = frames.check_packet(segment.data[14:], TCP)
        assert len(segment.data) == header_size + min(mss, size - i * mss)
        assert struct.unpack(">I", tcp[4:8])[0] == (0xfffffff0 + i * mss) & 0xffffffff
        last = 0x09 if i == count - 1 else 0
        assert tcp[13] == 0x10 | last | (0x80 if i == 0 else 0)
        if version == 4:
            assert struct.unpack(">H", segment.data[18:20])[0] == 0x1234 + i
        data += tcp[20:]
    assert data == payload


def send_long(nic, frame, payload, popts, tag=0):
    """A frame longer than one buffer, in pieces of at most 8 KiB behind each other in memory."""
    at = nic.long_at
    nic.memory.write(at, frame)
    pieces = [frame[i:i + 8000] for i in range(0, len(frame), 8000)]
    for i, piece in enumerate(pieces):
        last = hw.TX_EOP | hw.TX_RS if i == len(pieces) - 1 else 0
        nic.put_desc(at, len(piece) | hw.TX_DATA | hw.TX_EXT | hw.TX_FCS | hw.TX_TSO | last | tag |
                     (payload << 14 | 0x80 | popts) << 32)
        at += len(piece)
    nic.kick()
    assert nic.sent()


@pytest.fixture
def long_memory(nics):
    nics[0].long_at = nics[0].memory.alloc(70000)
    return nics


def test_segmentation_in_a_vlan(shared_daemon, long_memory):
    a, b, _ = long_memory
    for name in "ab":
        shared_daemon.call("vport.set", name=name, trunk="7")
    try:
        for nic in (a, b):
            nic.open()
            assert nic.request(hw.OP_VLAN | 1 << 16, 7)
        payload = payload_of(4000)
        l4 = frames.tcp(payload)
        packet = frames.packet(ip_header(4, TCP, len(l4)), TCP, l4, seeded=True, with_size=False)
        for inside in (False, True):
            frame = ether(a, b, packet, 4, vlan=7 if inside else None)
            a.put_context(l2=18 if inside else 14, mss=1448, vlan=0 if inside else 7)
            send_long(a, frame, 4000, hw.TX_L4_SUM | hw.TX_IP_SUM, 0 if inside else hw.TX_VLAN)
            got = b.receive(3)
            assert [struct.unpack(">HH", part.data[12:16]) for part in got] == [(0x8100, 7)] * 3
            assert b"".join(frames.check_packet(part.data[18:], TCP)[20:] for part in got) == payload
    finally:
        for name in "ab":
            shared_daemon.call("vport.set", name=name, trunk="none")


def bad(**fields):
    return fields


# What the context and the descriptor say of a frame of 14 + 20 + 20 + 100 bytes.
IMPOSSIBLE = [
    bad(l2=127, l3=511), bad(l2=0, l3=0, popts=hw.TX_L4_SUM), bad(l2=14, l3=140),
    bad(l2=14, l3=139, popts=hw.TX_L4_SUM), bad(l2=127, l3=20, popts=hw.TX_IP_SUM | hw.TX_L4_SUM),
    bad(kind=hw.TX_IPV4 | 0x1800), bad(command=hw.TX_TSO, mss=0), bad(command=hw.TX_TSO, l4=0, mss=50),
    bad(command=hw.TX_TSO, l4=255, mss=50), bad(command=hw.TX_TSO, l2=0, mss=50),
    bad(command=hw.TX_TSO, l3=0, mss=50), bad(command=hw.TX_TSO, payload=0, mss=50),
    bad(command=hw.TX_TSO, payload=0x3ffff, mss=50), bad(command=hw.TX_TSO, payload=100, l4=20, mss=0),
    bad(command=hw.TX_TSO, kind=hw.TX_IPV4 | hw.TX_UDP, mss=50), bad(payload=3), bad(payload=0x3ffff),
    bad(popts=0x400), bad(command=hw.TX_TSO, l4=24, payload=96, mss=50),
    bad(command=hw.TX_TSO, kind=hw.TX_TCP, mss=50)]


@pytest.mark.parametrize("fields", IMPOSSIBLE)
def test_offloads_that_do_not_fit_the_frame(shared_daemon, nics, fields):
    """The frame goes nowhere or, where only its checksum is nonsense, stays inside its bytes."""
    a, b, _ = nics
    options = {key: fields[key] for key in ("l2", "l3", "l4", "mss", "kind") if key in fields}
    l4 = frames.tcp(payload_of(100))
    frame = ether(a, b, frames.packet(ip_header(4, TCP, len(l4)), TCP, l4, seeded=True), 4)
    tso = fields.get("command", 0)
    a.put_context(**options)
    a.send(frame, command=tso, popts=fields.get("popts", hw.TX_L4_SUM | hw.TX_IP_SUM),
           payload=fields.get("payload", 100 if tso else len(frame)))
    marker = frames.ethernet(b.mac, a.mac)
    a.send(marker)
    got = b.receive(1)
    while got and got[-1].data != marker:
        assert not tso and len(got[-1].data) == len(frame)
        got = b.receive(1)
    assert got, "the frame behind it does not come"


def test_offloads_without_a_context(nics):
    a, b, _ = nics
    a.start()
    l4 = frames.tcp(payload_of(100))
    frame = ether(a, b, frames.packet(ip_header(4, TCP, len(l4)), TCP, l4, seeded=True), 4)
    a.send(frame, popts=hw.TX_L4_SUM)
    marker = frames.ethernet(b.mac, a.mac)
    a.send(marker)
    assert [part.data for part in b.receive(1)] == [marker]
