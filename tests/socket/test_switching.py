# SPDX-License-Identifier: BSD-3-Clause
"""Frames between VFs, through rings in guest memory and the switch. a -- lan -- b, c"""

import struct

import pytest

import frames
import ixgbevf as hw
import vfio_user as vfu
from frames import BROADCAST, ethernet, mac
from vfio_user import PATIENCE, wait_eventfd, wait_until

NOTHING_SECONDS = 0.2  # how long to wait for a frame that must not come


def contents(received):
    return [frame.data for frame in received]


def counters(daemon, name):
    shown = daemon.show("vport", name)
    return dict(shown["drop-reasons"], rx=shown["rx-frames"], tx=shown["tx-frames"])


def gained(daemon, name, before):
    """The counters that grew since."""
    return {key: value - before.get(key, 0) for key, value in counters(daemon, name).items()
            if value != before.get(key, 0)}


def settings(daemon, name, **fields):
    daemon.call("vport.set", name=name, **fields)


# --- sizes and rings ---


@pytest.mark.parametrize("size", [14, 15, 59, 60, 61, 64, 128, 1024, 1513, 1514])
def test_sizes(nics, size):
    a, b, c = nics
    for sender, receiver in ((a, b), (b, a), (a, c), (c, b)):
        frame = ethernet(receiver.mac, sender.mac, size, seed=size)
        sender.send(frame)
        assert contents(receiver.receive(1)) == [frame]


@pytest.mark.parametrize("size", [0, 1, 13])
def test_too_short_to_be_a_frame(shared_daemon, nics, size):
    a, b, _ = nics
    before = counters(shared_daemon, "a")
    a.send(ethernet(b.mac, a.mac, 60)[:size] or b"", payload=size)
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(1)) == 1 and not b.poll()
    assert size == 0 or gained(shared_daemon, "a", before).get("runt") == 1


def test_longer_than_the_receiver_takes(shared_daemon, nics):
    a, b, _ = nics
    before = counters(shared_daemon, "b")
    a.send(ethernet(b.mac, a.mac, 1515))
    assert not b.receive(1, NOTHING_SECONDS)
    assert gained(shared_daemon, "b", before) == {"too-long": 1}


def test_jumbo_frames(shared_daemon, nics):
    a, b, _ = nics
    settings(shared_daemon, "b", mtu=9000)
    try:
        assert not b.request(hw.OP_LPE, 9023)
        assert b.request(hw.OP_LPE, 9018)
        frame = ethernet(b.mac, a.mac, 9014)
        a.send(frame)
        got = b.receive(1)
        assert contents(got) == [frame]  # in five buffers
        a.send(ethernet(b.mac, a.mac, 9015))
        assert not b.receive(1, NOTHING_SECONDS)
    finally:
        settings(shared_daemon, "b", mtu=1500)


@pytest.mark.parametrize("pieces", [[1, 59], [14, 46], [59, 1], [20] * 3, [1] * 40 + [20], [6, 6, 2, 46],
                                    [1] * 39 + [21]])
def test_frames_in_pieces(shared_daemon, nics, pieces):
    a, b, _ = nics
    frame = ethernet(b.mac, a.mac, sum(pieces))
    a.send(frame, pieces=pieces)
    good = ethernet(b.mac, a.mac, 77)
    a.send(good)
    # DS 7.2.1.1: up to 40 descriptors a packet
    expected = [frame, good] if len(pieces) <= 40 else [good]
    assert contents(b.receive(len(expected))) == expected and not b.poll()


def test_legacy_descriptors(nics):
    a, b, _ = nics
    frame = ethernet(b.mac, a.mac, 100)
    a.memory.write(a.tx_buffers, frame)
    a.put_desc(a.tx_buffers, 100 | hw.TX_EOP | hw.TX_FCS | hw.TX_RS)
    a.kick()
    assert a.sent() and contents(b.receive(1)) == [frame]


def test_many_rounds_of_the_ring(shared_daemon, nics):
    """4000 frames in bursts of changing size: all come, in order, and the counters agree."""
    a, b, _ = nics
    before = [counters(shared_daemon, name) for name in "ab"]
    sent, received = 0, []
    while sent < 4000:
        burst = min(1 + sent % 61, 4000 - sent)
        for i in range(sent, sent + burst):
            a.put_frame(ethernet(b.mac, a.mac, 60)[:14] + struct.pack("<Q", i) + bytes(38 + i % 900))
        a.kick()
        sent += burst
        received += b.receive(burst)
    numbers = [struct.unpack_from("<Q", frame.data, 14)[0] for frame in received]
    assert numbers == list(range(4000))
    assert gained(shared_daemon, "a", before[0]) == {"tx": 4000}
    assert gained(shared_daemon, "b", before[1]) == {"rx": 4000}


def test_more_than_there_are_buffers(shared_daemon, nics):
    a, b, _ = nics
    before = counters(shared_daemon, "b")
    room = b.n_desc - 1
    for _ in range(3):
        for i in range(100):
            a.put_frame(ethernet(b.mac, a.mac, 60, seed=i))
        a.kick()
        assert a.sent()
    got = gained(shared_daemon, "b", before)
    assert got["rx"] == room and got["no-buffer"] == 300 - room
    assert len(b.receive(room)) == room
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(1)) == 1


# --- where frames go ---


def test_unicast_goes_to_its_owner_only(nics):
    a, b, c = nics
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(1)) == 1 and not c.poll() and not a.poll()


def test_broadcast_goes_to_all_others(nics):
    frame = ethernet(BROADCAST, nics[0].mac)
    nics[0].send(frame)
    assert contents(nics[1].receive(1)) == contents(nics[2].receive(1)) == [frame]
    assert not nics[0].poll()


def test_unknown_unicast_reaches_no_vf(shared_daemon, nics):
    a, b, c = nics
    a.send(ethernet(mac("02:00:00:00:99:99"), a.mac))
    assert not b.receive(1, NOTHING_SECONDS) and not c.poll()


@pytest.mark.parametrize("last", [0, 1, 2, 0xe, 0xf])
def test_addresses_that_no_bridge_forwards(shared_daemon, nics, last):
    """IEEE 802.1Q, table 8-1: pause frames, spanning tree, LLDP."""
    a, b, _ = nics
    before = counters(shared_daemon, "a")
    assert b.request(hw.OP_XCAST, 2)
    a.send(ethernet(mac(f"01:80:c2:00:00:0{last:x}"), a.mac))
    assert not b.receive(1, NOTHING_SECONDS)
    assert gained(shared_daemon, "a", before) == {"tx": 1, "no-route": 1}


def test_a_frame_to_oneself(shared_daemon, nics):
    before = counters(shared_daemon, "a")
    nics[0].send(ethernet(nics[0].mac, nics[0].mac))
    assert not nics[0].receive(1, NOTHING_SECONDS)
    assert gained(shared_daemon, "a", before) == {"tx": 1, "no-route": 1}


def test_forged_source_addresses(shared_daemon, nics):
    a, b, c = nics
    before = counters(shared_daemon, "a")
    for source in (b.mac, c.mac, mac("02:00:00:00:00:ff"), bytes(6)):
        a.send(ethernet(b.mac, source))
    a.send(ethernet(b.mac, mac("03:00:00:00:00:01")))
    assert not b.receive(1, NOTHING_SECONDS) and not c.poll()
    assert gained(shared_daemon, "a", before) == {"tx": 5, "spoofed-mac": 4, "bad-source": 1}
    settings(shared_daemon, "a", mac_spoofing=True)
    try:
        frame = ethernet(b.mac, mac("02:00:00:00:00:ff"))
        a.send(frame)
        assert contents(b.receive(1)) == [frame]
    finally:
        settings(shared_daemon, "a", mac_spoofing=False)


# --- multicast filters ---

GROUP, OTHER_GROUP = mac("01:00:5e:01:02:03"), mac("01:00:5e:7f:00:05")


def hash_of(address):
    """82599 datasheet, 7.1.1.2, filter type 0: bits 47:36."""
    return (address[4] >> 4 | address[5] << 4) & 0xfff


def test_multicast_filters(nics):
    a, b, c = nics
    assert c.request(hw.OP_XCAST, 2) is True and c.answer[1] == 1  # not trusted: lowered to the table
    hashes = [hash_of(GROUP), hash_of(mac("33:33:00:00:00:01"))]
    assert b.request(hw.OP_MULTICAST | 2 << 16, hashes[0] | hashes[1] << 16)
    for group, wanted in ((GROUP, True), (OTHER_GROUP, False), (mac("33:33:00:00:00:01"), True)):
        frame = ethernet(group, a.mac)
        a.send(frame)
        assert contents(b.receive(1, PATIENCE if wanted else NOTHING_SECONDS)) == ([frame] if wanted else [])
        assert not c.poll()
    assert b.request(hw.OP_XCAST, 0)
    a.send(ethernet(GROUP, a.mac))
    assert not b.receive(1, NOTHING_SECONDS)


def test_all_multicast_and_promiscuous_need_trust(shared_daemon, nics):
    a, b, c = nics
    settings(shared_daemon, "b", trust=True)
    try:
        assert b.request(hw.OP_XCAST, 2) and b.answer[1] == 2
        frame = ethernet(OTHER_GROUP, a.mac)
        a.send(frame)
        assert contents(b.receive(1)) == [frame]
        assert b.request(hw.OP_XCAST, 3) and b.answer[1] == 3
        unknown = ethernet(mac("02:00:00:00:99:99"), a.mac)
        a.send(unknown)
        assert contents(b.receive(1)) == [unknown] and not c.poll()
    finally:
        settings(shared_daemon, "b", trust=False)


def test_address_change_needs_trust(shared_daemon, nics):
    a, b, _ = nics
    new = mac("02:00:00:00:00:77")
    words = struct.unpack("<II", new + b"\0\0")
    assert not b.request(hw.OP_SET_MAC, *words)
    assert not b.request(hw.OP_MACVLAN | 1 << 16, *words)
    settings(shared_daemon, "b", trust=True)
    try:
        assert b.request(hw.OP_MACVLAN | 1 << 16, *words)
        frame = ethernet(new, a.mac)
        a.send(frame)
        assert contents(b.receive(1)) == [frame]
        # The switch hears of the address a moment after the guest has its answer.
        assert wait_until(lambda: b.send(ethernet(a.mac, new)) or a.poll())
        assert b.request(hw.OP_MACVLAN, 0, 0)
        a.send(frame)
        assert not b.receive(1, NOTHING_SECONDS)
        assert b.request(hw.OP_SET_MAC, *words)
        a.send(frame)
        assert contents(b.receive(1)) == [frame]
        assert wait_until(lambda: shared_daemon.show("vport", "b")["guest-mac"] == "02:00:00:00:00:77")
        a.send(ethernet(b.mac, a.mac))
        assert not b.receive(1, NOTHING_SECONDS)
    finally:
        settings(shared_daemon, "b", trust=False)
    assert wait_until(lambda: shared_daemon.show("vport", "b")["guest-mac"] == "02:00:00:00:00:02")


@pytest.mark.parametrize("operation", [hw.OP_SET_MAC, hw.OP_MACVLAN | 1 << 16])
def test_trust_takes_no_address_from_others(shared_daemon, nics, operation):
    """Neither c's frames nor the right to send as c."""
    a, b, c = nics
    settings(shared_daemon, "b", trust=True)
    try:
        assert b.request(operation, *struct.unpack("<II", c.mac + b"\0\0"))
        # An address that comes after it tells when the switch has heard of both.
        last = mac("02:00:00:00:00:78")
        assert b.request(hw.OP_MACVLAN | 2 << 16, *struct.unpack("<II", last + b"\0\0"))
        assert wait_until(lambda: b.send(ethernet(a.mac, last)) or a.poll())
        frame = ethernet(c.mac, a.mac)
        a.send(frame)
        assert contents(c.receive(1)) == [frame] and not b.poll()
        spoofed = shared_daemon.show("vport", "b")["drop-reasons"].get("spoofed-mac", 0)
        b.send(ethernet(a.mac, c.mac))
        assert wait_until(lambda: shared_daemon.show("vport", "b")["drop-reasons"].get(
            "spoofed-mac", 0) == spoofed + 1)
    finally:
        settings(shared_daemon, "b", trust=False)


# --- VLANs ---


@pytest.fixture
def vlans(shared_daemon, nics):
    """a: access 10; b: trunk 10 and 20, native 0; c: access 20."""
    settings(shared_daemon, "a", vlan=10)
    settings(shared_daemon, "b", trunk="10,20")
    settings(shared_daemon, "c", vlan=20)
    nics[1].open()
    assert nics[1].request(hw.OP_VLAN | 1 << 16, 10)
    yield nics
    for name in "abc":
        settings(shared_daemon, name, vlan=0, trunk="none")


def test_access_to_trunk_and_back(vlans):
    a, b, c = vlans
    frame = ethernet(b.mac, a.mac)
    a.send(frame)
    assert contents(b.receive(1)) == [ethernet(b.mac, a.mac, vlan=10)]
    b.send(ethernet(a.mac, b.mac, vlan=10))
    assert contents(a.receive(1)) == [ethernet(a.mac, b.mac)]
    assert not c.poll()


def test_tags_beside_the_frame(vlans):
    """Insertion by descriptor, stripping by RXDCTL.VME."""
    a, b, _ = vlans
    b.start(strip_vlan=True)
    a.send(ethernet(b.mac, a.mac))
    got = b.receive(1)
    assert contents(got) == [ethernet(b.mac, a.mac)] and got[0].vlan == 10
    b.put_context(vlan=10 | 5 << 13)
    b.send(ethernet(a.mac, b.mac), command=hw.TX_VLAN)
    assert contents(a.receive(1)) == [ethernet(a.mac, b.mac)]


def test_vlans_are_apart(shared_daemon, vlans):
    a, b, c = vlans
    before = counters(shared_daemon, "a")
    a.send(ethernet(c.mac, a.mac))
    a.send(ethernet(BROADCAST, a.mac))
    a.send(ethernet(c.mac, a.mac, vlan=20))
    a.send(ethernet(b.mac, a.mac, vlan=10))
    assert not c.receive(1, NOTHING_SECONDS)
    got = gained(shared_daemon, "a", before)
    assert got["tx"] == 4 and got["vlan"] == 3
    assert contents(b.receive(1)) == [ethernet(BROADCAST, a.mac, vlan=10)]


def test_vlan_not_asked_for_by_the_guest(shared_daemon, vlans):
    _, b, c = vlans
    c.send(ethernet(b.mac, c.mac))
    assert not b.receive(1, NOTHING_SECONDS)
    assert b.request(hw.OP_VLAN | 1 << 16, 20)
    c.send(ethernet(b.mac, c.mac))
    assert len(b.receive(1)) == 1
    assert b.request(hw.OP_VLAN, 20)
    assert not b.request(hw.OP_VLAN | 1 << 16, 30)  # not in its trunk
    assert not c.request(hw.OP_VLAN | 1 << 16, 20)  # no trunk at all


def test_priority_tags_are_untagged_frames(nics):
    a, b, _ = nics
    frame = ethernet(b.mac, a.mac, vlan=3 << 13)
    a.send(frame)
    assert contents(b.receive(1)) == [ethernet(b.mac, a.mac)]


# --- link, interrupts, counters ---


def test_link_down(shared_daemon, nics):
    a, b, _ = nics
    assert b.read(hw.VFLINKS) == 0x70000000
    settings(shared_daemon, "b", link="down")
    try:
        assert b.read(hw.VFLINKS) == 0
        before = counters(shared_daemon, "b")
        a.send(ethernet(b.mac, a.mac))
        b.send(ethernet(a.mac, b.mac))
        assert not b.receive(1, NOTHING_SECONDS) and not a.poll()
        assert gained(shared_daemon, "b", before) == {"down": 2}
        assert shared_daemon.show("vport", "b")["path"] == "none"
    finally:
        settings(shared_daemon, "b", link="auto")
    assert b.mailbox_wait(hw.MAILBOX_PFSTS)
    b.open()
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(1)) == 1


def test_interrupts(nics):
    a, b, _ = nics
    for nic in (a, b):
        for fd in nic.irqs:
            wait_eventfd(fd, 0)
        nic.read(hw.VTEICR)
    a.send(ethernet(b.mac, a.mac))
    assert wait_eventfd(b.irqs[0], PATIENCE) == 1  # receive
    assert wait_eventfd(a.irqs[1], PATIENCE) == 1  # transmit
    assert b.read(hw.VTEICR) == 1 and b.read(hw.VTEICR) == 0
    b.write(hw.VTEIMC, 7)
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(2)) == 2
    assert not wait_eventfd(b.irqs[0], NOTHING_SECONDS)  # masked
    b.write(hw.VTEIMS, 7)
    assert wait_eventfd(b.irqs[0], PATIENCE) == 1  # what came meanwhile is not lost


def test_no_interrupt_is_lost_while_the_mask_changes(nics):
    """The driver's poll loop: mask, take frames, unmask, sleep; it never sleeps on frames."""
    a, b, _ = nics
    b.write(hw.VTEIMS, 7)
    got = 0
    for i in range(300):
        a.put_frame(ethernet(b.mac, a.mac, seed=i))
        a.kick()
        while not b.poll(1):
            b.write(hw.VTEIMC, 1)
            b.read(hw.VTEICR)
            b.write(hw.VTEIMS, 1)
            if b.rx_desc[2 * b.rx_next + 1] & 1:
                continue
            assert wait_eventfd(b.irqs[0], PATIENCE), f"frame {i}: no interrupt"
        got += 1
    assert got == 300


def test_without_bus_mastering_nothing_moves(nics):
    a, b, _ = nics
    b.client.write(vfu.CONFIG, 4, b"\x02\x00")
    a.send(ethernet(b.mac, a.mac))
    assert not b.receive(1, NOTHING_SECONDS)
    b.put_frame(ethernet(a.mac, b.mac))
    b.kick()
    assert not b.sent(NOTHING_SECONDS) and not a.poll()


def test_disabled_queues(shared_daemon, nics):
    a, b, _ = nics
    b.regs[hw.RXDCTL] = 0
    b.read(hw.VFSTATUS)
    before = counters(shared_daemon, "b")
    a.send(ethernet(b.mac, a.mac))
    assert not b.receive(1, NOTHING_SECONDS)
    assert gained(shared_daemon, "b", before) == {"down": 1}
    b.start()
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(1)) == 1


def test_statistics_registers(nics):
    """82599 datasheet, 8.3.5.7; sizes count the FCS."""
    a, b, _ = nics
    a.send(ethernet(b.mac, a.mac))
    assert len(b.receive(1)) == 1
    a.read(hw.VFSTATUS), b.read(hw.VFSTATUS)  # brings the registers up to date
    before = [b.regs[0x101c], b.regs[0x1020], a.regs[0x201c], a.regs[0x2020]]
    for _ in range(10):
        a.send(ethernet(b.mac, a.mac, 100))
    assert len(b.receive(10)) == 10
    a.read(hw.VFSTATUS), b.read(hw.VFSTATUS)
    after = [b.regs[0x101c], b.regs[0x1020], a.regs[0x201c], a.regs[0x2020]]
    assert [new - old for new, old in zip(after, before)] == [10, 1040, 10, 1040]


def test_small_ring_and_small_buffers(shared_daemon, nics):
    a, b, _ = nics
    nics[1].close()
    with hw.Ixgbevf(shared_daemon.vf_socket("b"), n_desc=8, buffer_size=1024) as small:
        small.open()
        for i in range(50):
            frame = ethernet(small.mac, a.mac, 60 + 29 * i, seed=i)
            a.send(frame)
            assert contents(small.receive(1)) == [frame]
            small.send(ethernet(a.mac, small.mac, 60 + i))
            assert len(a.receive(1)) == 1
