# SPDX-License-Identifier: BSD-3-Clause
"""Offloads between every kind of sender and every kind of receiver: docs/offloads.md, a test for each cell."""

import concurrent.futures
import itertools
import os
import struct

import pytest

import frames
import virtio
from frames import SCTP, TCP, UDP
from pairs import FLAGS, IDENTITY, SEQUENCE, Ask, SyntheticPort, UplinkPort, VfPort, opened
from vfio_user import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

MODELS = {"82599": {}, "x540": {"strip": True}, "x550": {}, "82576": {"strip": True}, "i350": {"strip": True}}
# packed or split; what the driver agreed to receive
SYNTHETICS = {"split": (False, virtio.TAKES_WHOLE), "packed": (True, virtio.TAKES_WHOLE | virtio.TAKES_WHOLE_UDP),
              "split-csum": (False, virtio.TAKES_CSUM), "packed-plain": (True, 0)}
SENDERS = [*MODELS, "split", "packed", "uplink"]
RECEIVERS = [*MODELS, *SYNTHETICS, "uplink"]
CELLS = [cell for cell in itertools.product(SENDERS, RECEIVERS) if cell != ("uplink", "uplink")]
LARGE_CELLS = [cell for cell in CELLS if cell[0] != "uplink"]  # a wire has no large sends
VID, TAG = 7, 5 << 13 | 7
MTU, WIRE_MTU = 1500, 2000
MSS = 1400
WHOLE = 46 * MSS  # as many pieces as IP's length has room for


class World:
    """Vports "from-KIND" and "to-KIND", both with VLAN 7 tagged, "in-KIND" with VLAN 7 untagged; uplinks."""

    def __init__(self, daemon, wires):
        self.daemon, self.ports = daemon, {}
        self.numbers = itertools.count(1)
        daemon.call("switch.add", name="lan")
        for name, fields in (("out", {}), ("in-uplink", {"vlan": VID, "trunk": "none"})):
            wire = wires.add(name[:3], self.next_mac(), WIRE_MTU)
            daemon.call("uplink.add", name=name, switch="lan", device=wire.device, **fields)
            self.ports[name] = UplinkPort(wire)
        self.ports["from-uplink"] = self.ports["to-uplink"] = self.ports["out"]
        for kind in SENDERS[:-1]:
            self.add("from-" + kind, kind, trunk=str(VID))
        for kind in RECEIVERS[:-1]:
            self.add("to-" + kind, kind, trunk=str(VID))
            self.add("in-" + kind, kind, vlan=VID)
        # A new connection waits for a second's tick of the vhost library.
        vports = {vport["name"]: vport for vport in daemon.call("vport.show")}
        with concurrent.futures.ThreadPoolExecutor(len(vports)) as pool:
            self.ports |= zip(vports, pool.map(self.open, vports.values()))

    def next_mac(self):
        return b"\2\0\0\0\0" + bytes([next(self.numbers)])

    def add(self, name, kind, **fields):
        is_vf = kind in MODELS
        fields |= {"model": kind} if is_vf else {"iov": False}
        self.daemon.call("vport.add", name=name, switch="lan", mac=self.next_mac().hex(":"), mtu=MTU,
                         synthetic=not is_vf, ieee_priority_tag=True, **fields)

    def open(self, vport):
        role, kind = vport["name"].split("-", 1)
        if kind in MODELS:
            return VfPort(vport, kind, () if role == "in" else (VID,), **MODELS[kind])
        return SyntheticPort(vport, *SYNTHETICS[kind])

    def too_long(self, name):
        kind, name = ("uplink", "out") if name == "to-uplink" else ("vport", name)
        return self.daemon.show(kind, name)["drop-reasons"].get("too-long", 0)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with opened(World, tmp_path_factory) as world:
        yield world


def name_of(cell):
    return f"{cell[0]}-to-{cell[1]}"


large_cells = pytest.mark.parametrize("cell", LARGE_CELLS, indirect=True, ids=name_of)


@pytest.fixture(params=CELLS, ids=name_of)
def cell(request, world):
    """(kind of sender, kind of receiver, sender, receiver)"""
    sender, receiver = request.param
    return sender, receiver, world.ports["from-" + sender], world.ports["to-" + receiver]


def passes(source, target, **fields):
    """The one frame that arrives of one sent."""
    source.send(Ask(target.mac, **fields))
    got = target.receive(1)
    assert len(got) == 1, "the frame does not arrive"
    return got[0]


def payload_of(got, protocol):
    """All checksums and lengths are right; what the packet carries."""
    return frames.check_packet(got.data[14:], protocol)[frames.L4_SIZE[protocol]:]


@pytest.mark.parametrize("protocol", [TCP, UDP, SCTP])
def test_checksums(cell, protocol):
    """Left to the adapter: finished, and said to be right, or handed on as unfinished to who can do it."""
    sender, receiver, source, target = cell
    asked = sender in MODELS or (sender != "uplink" and protocol != SCTP)
    partly = receiver in ("split", "packed", "split-csum") and asked and protocol != SCTP
    for version, size in ((4, 100), (6, 101), (4, 1401)):
        ask = Ask(target.mac, version, protocol, size)
        got = passes(source, target, version=version, protocol=protocol, size=size)
        assert payload_of(got, protocol) == ask.payload
        assert (got.partial, got.mss, got.vlan) == (partly, 0, None)
        if asked and not partly and receiver not in ("uplink", "packed-plain"):
            assert got.valid, "the receiver is not told that the sum is right"
        plain = passes(source, target, version=version, protocol=protocol, size=size, offload=False)
        assert not plain.partial and payload_of(plain, protocol) == ask.payload


def pieces_of(target, size, mss, whole, protocol=TCP):
    """Receive a large send; [Got] with their offsets, each checked against what it must be."""
    offset = 0
    while offset < size:
        got = target.receive(1)
        assert got, f"nothing comes behind {offset} bytes of {size}"
        n = len(payload_of(got[0], protocol))
        assert got[0].mss == (mss if whole and n > mss else 0)
        assert whole or n == min(mss, size - offset)
        yield offset, got[0]
        offset += n
    assert not target.receive(1, 0), "more arrives than was sent"


def check_piece(got, version, protocol, offset, mss, last):
    ip, l4 = got.data[14:], got.data[14 + (20 if version == 4 else 40):]
    if protocol == TCP:
        assert struct.unpack(">I", l4[4:8])[0] == (SEQUENCE + offset) & 0xffffffff
        assert l4[13] == FLAGS & 0x10 | (FLAGS & 0x09 if last else 0) | (FLAGS & 0x80 if offset == 0 else 0)
    if version == 4:
        assert struct.unpack(">H", ip[4:6])[0] == (IDENTITY + offset // mss) & 0xffff


@large_cells
@pytest.mark.parametrize("protocol", [TCP, UDP])
@pytest.mark.parametrize("version, size", [(4, MSS + 1), (6, 8 * MSS), (4, 65000), (6, (256 << 10) - 100)])
def test_large_sends(cell, protocol, version, size):
    """Whole to who can take them, in as few as IP's length allows; else cut, each piece with headers of its own."""
    _, receiver, source, target = cell
    # What IP's length has no words for is cut for all.
    whole = receiver in ("split", "packed")[protocol == UDP:] and size < 1 << 16
    ask = Ask(target.mac, version, protocol, size, mss=MSS)
    source.send(ask)
    data, n = b"", 0
    for offset, got in pieces_of(target, size, MSS, whole, protocol):
        part = payload_of(got, protocol)
        data += part
        n += 1
        check_piece(got, version, protocol, offset, MSS, last=len(data) == size)
        assert got.valid or got.partial or receiver in ("uplink", "packed-plain")
    assert data == ask.payload
    assert n == -(-size // (WHOLE if whole else MSS))


def placements(source):
    return (False, True) if source.inserts else (False,)


def test_tags(world, cell):
    """Inside the frame or beside it, as sender and receiver have them; none where the VLAN is the receiver's own."""
    _, receiver, source, target = cell
    native = world.ports["in-" + receiver]
    for beside in placements(source):
        got = passes(source, target, vlan=TAG, beside=beside)
        assert payload_of(got, UDP) == Ask(target.mac).payload
        assert (got.vlan, got.beside) == (TAG, target.strips)
        got = passes(source, native, vlan=TAG, beside=beside)
        assert payload_of(got, UDP) == Ask(target.mac).payload
        assert got.vlan is None


@large_cells
def test_large_sends_with_tags(world, cell):
    _, receiver, source, target = cell
    for beside, to in itertools.product(placements(source), (target, world.ports["in-" + receiver])):
        ask = Ask(to.mac, 4, TCP, 4000, mss=MSS, vlan=TAG, beside=beside)
        to_target = to is target
        source.send(ask)
        data = b""
        for _, got in pieces_of(to, 4000, MSS, receiver in ("split", "packed")):
            assert (got.vlan, got.beside) == ((TAG, target.strips) if to_target else (None, False))
            data += payload_of(got, TCP)
        assert data == ask.payload


def test_too_long(world, cell):
    """The receiver's MTU is what counts, with and without a tag; pieces of a large send are frames like others."""
    sender, receiver, source, target = cell
    name = "to-" + receiver
    longest = (WIRE_MTU if receiver == "uplink" else MTU) - 28
    before = world.too_long(name)
    for vlan in (None, TAG):
        assert payload_of(passes(source, target, size=longest, vlan=vlan), UDP)
        source.send(Ask(target.mac, size=longest + 1, vlan=vlan))
    n = 2
    if sender != "uplink":
        mss = longest - 11  # TCP's header has 12 bytes more than UDP's
        source.send(Ask(target.mac, 4, TCP, 2 * mss + 10, mss=mss))
        n += 1 if receiver in ("split", "packed") else 2  # the last piece is short enough
    assert wait_until(lambda: world.too_long(name) == before + n), (world.too_long(name), before)
    rest = target.receive(2, 0)
    assert [len(payload_of(got, TCP)) for got in rest] == ([10] if n == 4 else [])
