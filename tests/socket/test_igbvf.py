# SPDX-License-Identifier: BSD-3-Clause
"""VFs of 82576 and I350: mailbox, registers, and frames to and from the other family."""

import random
import struct

import pytest

import frames
import igbvf as hw
from frames import TCP
from igbvf import Igbvf
from ixgbevf import (CTS, FAILURE, OP_LPE, OP_MULTICAST, OP_RESET, OP_SET_MAC, OP_VLAN, RX_L4_SUM, SUCCESS,
                     TX_IP_SUM, TX_L4_SUM, TX_TSO, Ixgbevf)
from softiov import Daemon
from vfio_user import wait_until

MAC2 = (0x00000002, 0x0200)  # 02:00:00:00:00:02, b's


@pytest.fixture(scope="module")
def igb_daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        daemon.call("switch.add", name="lan")
        for i, (name, model) in enumerate((("a", "82576"), ("b", "i350"), ("c", "82599")), start=1):
            daemon.call("vport.add", name=name, switch="lan", mac=f"02:00:00:00:00:0{i}",
                        synthetic=False, model=model)
        yield daemon


@pytest.fixture
def nic(igb_daemon):
    with Igbvf(igb_daemon.vf_socket("a")) as nic:
        nic.reset()
        yield nic


@pytest.fixture
def trio(igb_daemon):
    opened = []
    try:
        for name, kind in (("a", Igbvf), ("b", Igbvf), ("c", Ixgbevf)):
            opened.append(kind(igb_daemon.vf_socket(name)))
            opened[-1].open()
        yield opened
    finally:
        for nic in opened:
            nic.close()


@pytest.fixture
def trusted(igb_daemon):
    igb_daemon.call("vport.set", name="a", trust=True)
    yield
    igb_daemon.call("vport.set", name="a", trust=None)


def test_reset(igb_daemon, nic):
    assert nic.mac == bytes.fromhex("020000000001")
    assert nic.read(hw.STATUS) == 0x83
    nic.start()
    assert wait_until(lambda: igb_daemon.show("vport", "a")["path"] == "vf")
    nic.write(hw.CTRL, 0x04000000)
    assert wait_until(lambda: igb_daemon.show("vport", "a")["path"] == "none")


def test_messages_without_trust(nic):
    assert nic.request(OP_SET_MAC, 0x00000002, 0x0100)
    assert not nic.request(OP_SET_MAC, *MAC2)
    assert not nic.request(OP_SET_MAC | hw.FILTER_ADD, *MAC2)
    assert not nic.request(OP_SET_MAC | hw.FILTER_CLEAR, 0, 0)
    assert nic.request(OP_MULTICAST | 1 << 16, 0x123)
    assert nic.request(OP_LPE, 1522) and nic.request(OP_LPE, 9238)
    assert nic.request(OP_VLAN | hw.ADD, 0)
    assert nic.mailbox([OP_VLAN | hw.ADD, 7])[0] == OP_VLAN | FAILURE | CTS
    assert nic.request(hw.OP_PROMISC)
    assert not nic.request(hw.OP_PROMISC | hw.UNICAST) and not nic.request(hw.OP_PROMISC | hw.MULTICAST)
    for op in (0, 7, 8, 9, 0xc, 0x10, 0x100, 0xffff):
        assert not nic.request(op)


def test_messages_with_trust(igb_daemon, trusted, nic):
    for i in range(16):
        assert nic.request(OP_SET_MAC | hw.FILTER_ADD, 0x00000602, i)
    assert not nic.request(OP_SET_MAC | hw.FILTER_ADD, 0x00000602, 16)
    assert nic.request(OP_SET_MAC | hw.FILTER_CLEAR, 0, 0)
    assert nic.request(hw.OP_PROMISC | hw.UNICAST | hw.MULTICAST)
    assert nic.request(OP_SET_MAC, 0x00000702, 1)
    assert wait_until(lambda: igb_daemon.show("vport", "a")["guest-mac"] == "02:07:00:00:01:00")


def test_every_operation_with_random_words(igb_daemon, nic):
    source = random.Random(22)
    for op in list(range(2, 0x20)) + [0x100, 0xffff]:
        for info in (0, 1, 2, 3, 0x80, 0xff):
            words = [op | info << 16] + [source.choice([0, 1, 0xffffffff, source.getrandbits(32)])
                                         for _ in range(15)]
            answer = nic.mailbox(words)
            assert answer is not None and bool(answer[0] & SUCCESS) != bool(answer[0] & FAILURE)
    nic.reset()
    nic.start()
    assert wait_until(lambda: igb_daemon.show("vport", "a")["path"] == "vf")
    assert igb_daemon.show("vport", "a")["guest-mac"] == "02:00:00:00:00:01"


def test_random_writes_to_every_register(igb_daemon, nic):
    source = random.Random(23)
    for _ in range(4000):
        offset = source.choice([hw.V2PMAILBOX, hw.VMBMEM, source.randrange(0, 0x4000, 4)])
        nic.write(offset, source.choice([0, 1, 2, 4, 5, 6, 7, 0xffffffff, source.getrandbits(32)]))
        if source.random() < 0.2:
            nic.read(source.randrange(0, 0x4000, 4))
    nic.reset()
    nic.start()
    assert wait_until(lambda: igb_daemon.show("vport", "a")["path"] == "vf")


@pytest.mark.parametrize("size", [60, 61, 1513, 1514])
def test_frames_between_the_families(trio, size):
    for source in trio:
        for target in trio:
            if source is not target:
                frame = frames.ethernet(target.mac, source.mac, size, seed=size)
                source.send(frame)
                assert [got.data for got in target.receive(1)] == [frame]


def test_statistics(trio):
    a, b, _ = trio
    before = [a.read(at) for at in (hw.VFGPTC, hw.VFGOTC)], [b.read(at) for at in (hw.VFGPRC, hw.VFGORC)]
    for i in range(10):
        a.send(frames.ethernet(b.mac, a.mac, 100, seed=i))
    assert len(b.receive(10)) == 10
    after = [b.read(at) for at in (hw.VFGPRC, hw.VFGORC)]
    assert [x - y for x, y in zip(after, before[1])] == [10, 1040]
    assert wait_until(lambda: a.read(hw.VFGPTC) - before[0][0] == 10)
    assert a.read(hw.VFGOTC) - before[0][1] == 1040


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("target", [1, 2])
def test_large_sends(trio, version, target):
    """Cut for the other adapter, each piece with a checksum that is right and said to be."""
    a, b = trio[0], trio[target]
    payload = random.Random(version).randbytes(20000)
    l3 = 20 if version == 4 else 40
    addresses = (bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])) if version == 4 else (bytes(16), bytes(16))
    header = (frames.ipv4 if version == 4 else frames.ipv6)(*addresses, TCP, 0)
    packet = frames.packet(header, TCP, frames.tcp(payload), seeded=True, with_size=False)
    frame = b.mac + a.mac + (b"\x08\x00" if version == 4 else b"\x86\xdd") + packet
    a.put_context(l3=l3, mss=1400, kind=0x800 | (0x400 if version == 4 else 0))
    a.tx_tail = 1
    pieces = [2000] * (len(frame) // 2000) + [len(frame) % 2000]
    a.put_frame(frame, pieces=pieces, command=TX_TSO, payload=len(payload),
                popts=TX_L4_SUM | (TX_IP_SUM if version == 4 else 0))
    a.kick()
    got = b.receive(-(-len(payload) // 1400))
    assert b"".join(frames.check_packet(one.data[14:], TCP)[20:] for one in got) == payload
    assert all(one.status & RX_L4_SUM for one in got)


@pytest.mark.parametrize("size", [60, 128, 129, 1514])
def test_header_buffers(trio, size):
    """As igbvf receives jumbo frames: 128 bytes in a buffer of their own."""
    _, b, c = trio
    b.regs[b.SRRCTL] = hw.SPLIT_128 | 2
    head = b.tx_buffers  # not used otherwise
    b.rx_desc[1] = head
    frame = frames.ethernet(b.mac, c.mac, size, seed=size)
    c.send(frame)
    assert wait_until(lambda: b.rx_desc[1] & 3 == 3 and b.rx_desc[1] != head)
    in_header = min(size, 128)
    assert b.rx_desc[0] >> 21 & 0x3ff == in_header
    assert b.rx_desc[1] >> 32 & 0xffff == size - in_header
    assert b.memory.read(head, in_header) + b.memory.read(b.rx_buffers, size - in_header) == frame


def test_reset_answers_with_three_words(nic):
    nic.write(hw.VMBMEM + 12, 0x5a5a5a5a)
    answer = nic.mailbox([OP_RESET])
    assert answer[:3] == [OP_RESET | SUCCESS, *struct.unpack("<II", nic.mac + b"\0\0")]
    assert answer[3] == 0x5a5a5a5a
