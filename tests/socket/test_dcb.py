# SPDX-License-Identifier: BSD-3-Clause
"""Who is served first, and how much, where more is to be sent to an uplink than it carries: classes of traffic, and
policies with a minimum. What is counted is which frames come first; when they come makes no difference."""

import os
import struct

import pytest

from ixgbevf import Ixgbevf
from packets import tcp, udp
from softiov import Daemon, RpcError
from wire import Wires

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

VID = 10
N, COUNTED = 250, 200  # frames that each VM has to send, and those that are looked at
SIZE = 1400
RATE = 10_000_000


class World:
    def __init__(self, daemon, wires):
        self.daemon = daemon
        daemon.call("switch.add", name="lan")
        self.wire = wires.add("w", b"\2\0\0\0\0\x99", 1500)
        daemon.call("uplink.add", name="out", switch="lan", device=self.wire.device, trunk=str(VID))
        self.nics = {}
        for i, name in enumerate(("a", "b")):
            daemon.call("vport.add", name=name, switch="lan", mac=f"02:00:00:00:00:0{i + 1}", synthetic=False, trunk=str(VID),
                        **{"ieee-priority-tag": True})
            self.nics[name] = Ixgbevf(daemon.vf_socket(name), memory=4 << 20)

    def compete(self, sends):
        """{vport: (priority, packet)}: all that each sends is there from the start. How many of the first frames that
        leave are each one's."""
        frames = {}
        self.daemon.call("uplink.set", name="out", **{"max-rate": RATE})
        for name, (priority, packet) in sends.items():
            nic = self.nics[name].open()
            frame = packet(self.wire.mac, nic.mac)
            frame = frame[:12] + struct.pack(">HH", 0x8100, priority << 13 | VID) + frame[12:]
            frames[nic.mac] = name
            for _ in range(N):
                nic.put_frame(frame)
        for name in sends:
            self.nics[name].kick()
        got = self.wire.receive(COUNTED, 60)
        assert len(got) == COUNTED
        first = [frames[one.data[6:12]] for one in got]
        # The rest has no part in it.
        self.daemon.call("uplink.set", name="out", **{"max-rate": 0})
        for name in sends:
            assert self.nics[name].sent()
        assert len(self.wire.receive(N * len(sends) - COUNTED, 60)) == N * len(sends) - COUNTED
        return {name: first.count(name) for name in sends}

    def close(self):
        for nic in self.nics.values():
            nic.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with Wires() as wires, Daemon(tmp_path_factory.mktemp("daemon"), netns=wires.netns) as daemon:
        world = World(daemon, wires)
        yield world
        world.close()


@pytest.fixture
def uplink(world):
    """Sets fields of it, as they were before afterwards."""
    yield lambda **fields: world.daemon.call("uplink.set", name="out", **{k.replace("_", "-"): v for k, v in fields.items()})
    world.daemon.call("uplink.set", name="out", **{"prio-tc": "all:0", "tc-tsa": "all:strict", "tc-bw": "all:0"})


@pytest.fixture
def policy(world):
    added = []

    def add(name, **fields):
        world.daemon.call("qos-policy.add", name=f"lan/{name}", **{k.replace("_", "-"): v for k, v in fields.items()})
        added.append(name)
    yield add
    for name in added:
        world.daemon.call("qos-policy.del", name=f"lan/{name}")


PAYLOAD = bytes(SIZE)
UDP, TCP = udp(1, 2, PAYLOAD), tcp(1, 2, payload=PAYLOAD)


def near(count, percent):
    """The worker may be held up for long enough that the link has nothing to do, and then nobody is refused."""
    return COUNTED * (percent - 15) / 100 <= count <= COUNTED * (percent + 15) / 100


def test_none(world):
    counts = world.compete({"a": (7, UDP), "b": (0, UDP)})
    assert near(counts["a"], 50), counts


def test_shares(world, uplink):
    """Of 802.1p priorities, whose mapping is theirs to choose."""
    uplink(prio_tc="3:1,4:1", tc_tsa="all:ets", tc_bw="0:20,1:80")
    counts = world.compete({"a": (4, UDP), "b": (5, UDP)})
    assert near(counts["a"], 80), counts
    uplink(prio_tc="3:1,4:1", tc_tsa="all:ets", tc_bw="0:80,1:20")
    counts = world.compete({"a": (4, UDP), "b": (5, UDP)})
    assert near(counts["a"], 20), counts


def test_strict(world, uplink):
    """A strict class before others, and of two the higher one."""
    uplink(prio_tc="5:5,6:6", tc_tsa="0:ets", tc_bw="0:100")
    for high, low in ((5, 0), (6, 5)):
        counts = world.compete({"a": (low, UDP), "b": (high, UDP)})
        assert counts["b"] >= COUNTED * 0.85, counts


def test_marked(world, uplink, policy):
    """A policy's mark chooses the class."""
    uplink(prio_tc="5:5", tc_tsa="0:ets", tc_bw="0:100")
    policy("voice", protocol="udp", set_priority=5)
    counts = world.compete({"a": (0, TCP), "b": (0, UDP)})
    assert counts["b"] >= COUNTED * 0.85, counts


def test_min_weight(world, policy):
    policy("storage", protocol="udp", min_weight=80)
    counts = world.compete({"a": (0, TCP), "b": (0, UDP)})
    assert near(counts["b"], 80), counts
    policy("other", filter="others", min_weight=20)
    counts = world.compete({"a": (0, TCP), "b": (0, UDP)})
    assert near(counts["b"], 80), counts


def refused(world, method, name, line, field=None, **fields):
    with pytest.raises(RpcError) as caught:
        world.daemon.call(method, name=name, **{k.replace("_", "-"): v for k, v in fields.items()})
    assert line in caught.value.message
    assert field is None or caught.value.data["field"] == field


def test_refused(world, uplink, policy):
    """What depends on other objects, or on the device."""
    call = world.daemon.call
    policy("storage", filter="smb", min_weight=60)
    refused(world, "qos-policy.add", "lan/more", "would add up to 101 %", "min-weight", filter="nfs", min_weight=41)
    refused(world, "qos-policy.set", "lan/storage", "at least 1kbit", "throttle", throttle="999bit")
    refused(world, "uplink.set", "out", "qos-policy 'lan/storage' divides the link already", "prio-tc", prio_tc="3:1")
    call("qos-policy.set", name="lan/storage", **{"min-weight": 0, "set-priority": 3})
    uplink(prio_tc="3:1")
    refused(world, "qos-policy.set", "lan/storage", "uplink 'out' has classes of traffic", "min-weight", min_weight=1)
    call("switch.add", name="other")
    call("vport.add", name="c", switch="other", iov=False)
    try:
        refused(world, "qos-policy.add", "lan/c", "it is on switch 'other', not on 'lan'", "vport", vport="c", set_dscp=1)
        refused(world, "uplink.add", "ring", "uplink 'out' says how", "prio-tc", switch="lan", device="net_ring7", prio_tc="3:1")
        refused(world, "uplink.set", "out", "has no priority-based flow control", "prio-pfc", prio_pfc="3:on")
    finally:
        call("vport.del", name="c")
        call("switch.del", name="other")
    shown = world.daemon.show("uplink", "out")
    assert shown["prio-pfc"] == "all:off" and shown["prio-tc"] == "3:1"
    assert world.daemon.show("qos-policy", "lan/storage")["min-weight"] == 0


def test_one_change(world, policy):
    """What is changed at once is judged as a whole: minima may be exchanged, and a refusal leaves all as it was."""
    call = world.daemon.call
    policy("a", filter="smb", min_weight=70)
    policy("b", filter="nfs", min_weight=30)
    objects = call("config.export")["objects"]
    for a, b, line in ((30, 70, None), (71, 30, "would add up to 101 %")):
        for name, weight in (("a", a), ("b", b)):
            objects["qos-policy"][f"lan/{name}"]["min-weight"] = weight
        if line is None:
            call("config.apply", objects=objects)
        else:
            with pytest.raises(RpcError, match=line):
                call("config.apply", objects=objects)
        assert [world.daemon.show("qos-policy", f"lan/{name}")["min-weight"] for name in "ab"] == [30, 70]


def test_seven_minima(world, policy):
    """Eight classes, of which one is for the rest."""
    for i in range(7):
        policy(f"p{i}", protocol="udp", destination_port=i + 1, min_weight=2)
    refused(world, "qos-policy.add", "lan/p7", "7 policies of a switch may have one", "min-weight", protocol="udp",
            destination_port=8, min_weight=2)
