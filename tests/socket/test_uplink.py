# SPDX-License-Identifier: BSD-3-Clause
"""Uplinks whose interface goes, and comes again."""

import os
import socket
import subprocess

import pytest

from frames import ethernet, mac
from ixgbevf import Ixgbevf
from softiov import Daemon, RpcError, wait_until
from wire import SOL_PACKET, Wires, thread_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

FAR, A = mac("02:00:00:00:77:01"), mac("02:00:00:00:00:01")
PACKET_FANOUT = 18  # linux/if_packet.h
ERSPAN_SEQUENCE = 14 + 20 + 4  # Ethernet, IPv4, GRE's flags and protocol
COLLECTOR = mac("02:00:00:00:77:77")


class World:
    def __init__(self, daemon, wires):
        self.daemon, self.wires = daemon, wires
        self.plug(1500)
        daemon.call("switch.add", name="lan")
        daemon.call("uplink.add", name="up", switch="lan", device="out0", trunk="all")
        daemon.call("vport.add", name="a", switch="lan", mac="02:00:00:00:00:01", synthetic=False, mtu=9000)
        self.nic = Ixgbevf(daemon.vf_socket("a"))
        self.nic.open()

    def plug(self, mtu):
        self.wire = self.wires.add("out", FAR, mtu)

    def ip(self, *words):
        return subprocess.run(["ip", "-n", self.wires.netns, *words], check=True, capture_output=True, text=True).stdout

    def rename(self, name, new):
        self.ip("link", "set", name, "name", new)

    def shown(self):
        return self.daemon.show("uplink", "up")

    def is_lost(self):
        return self.shown()["link"] == "down" and "'out0' is gone; the uplink comes back" in self.shown().get("problem", "")

    def runs(self):
        return self.shown()["link"] == "up" and "problem" not in self.shown()

    def check_traffic(self):
        """A frame each way."""
        out, back = ethernet(FAR, A, 200), ethernet(A, FAR, 300)
        self.nic.send(out)
        assert [one.data for one in self.wire.receive(1)] == [out]
        self.wire.send(back)
        assert [one.data for one in self.nic.receive(1)] == [back]


@pytest.fixture
def world(tmp_path):
    with Wires() as wires, Daemon(tmp_path, netns=wires.netns) as daemon:
        world = World(daemon, wires)
        yield world
        world.nic.close()


def events(daemon):
    return [event["text"] for event in daemon.call("event.show") if event.get("object") == "uplink"]


def test_an_interface_is_made_again(world):
    """It goes on with the new one, with its address and MTU; what it has counted stays."""
    world.check_traffic()
    for n in range(1, 3):
        address = world.shown()["mac"]
        world.ip("link", "del", "out0")
        assert wait_until(world.is_lost)
        world.nic.send(ethernet(FAR, A))  # lost, and harms nobody
        world.plug(9000)
        assert wait_until(world.runs)
        assert world.shown()["mac"] != address and world.shown()["mac"] in world.ip("link", "show", "out0")
        world.check_traffic()
        assert world.shown()["tx-frames"] >= n + 1
        told = events(world.daemon)
        assert len([text for text in told if "is gone" in text]) == len([text for text in told if "runs again" in text]) == n
    large = ethernet(FAR, A, 8000)
    world.nic.send(large)
    assert [one.data for one in world.wire.receive(1)] == [large]


def test_an_interface_moves_away_and_back(world):
    """By its index it is the same one, but who listened to it does no longer."""
    with Wires() as elsewhere:
        index = world.ip("-o", "link", "show", "out0").split(":")[0]
        world.ip("link", "set", "out0", "netns", elsewhere.netns)
        assert wait_until(world.is_lost)
        subprocess.run(["ip", "-n", elsewhere.netns, "link", "set", "out0", "netns", world.wires.netns], check=True)
        world.ip("link", "set", "out0", "up")
        assert wait_until(world.runs)
        assert world.ip("-o", "link", "show", "out0").split(":")[0] == index
        world.check_traffic()


def test_an_interface_is_renamed(world):
    """It goes on, and the uplink says so; until another one has the name."""
    world.rename("out0", "away")
    assert wait_until(lambda: "'out0' is called 'away' now; the uplink goes on" in world.shown().get("problem", ""))
    assert wait_until(lambda: world.shown()["link"] == "up")
    world.check_traffic()
    world.rename("away", "out0")
    assert wait_until(world.runs)
    world.check_traffic()
    world.rename("out0", "away")
    assert wait_until(lambda: "problem" in world.shown())
    world.wire = world.wires.add("new", FAR, 1500)
    world.rename("new0", "out0")
    assert wait_until(world.runs)
    world.check_traffic()
    assert [text for text in events(world.daemon) if "has its name again" in text]


def test_an_uplink_that_waits_can_go(world):
    world.ip("link", "del", "out0")
    assert wait_until(world.is_lost)
    world.daemon.call("uplink.set", name="up", vlan=5)
    world.daemon.call("uplink.del", name="up")
    world.plug(1500)
    world.daemon.call("uplink.add", name="up", switch="lan", device="out0")
    world.check_traffic()


def test_a_mirror_goes_on(world):
    """What it wraps comes from the new interface's address; its counters and ERSPAN's numbers go on."""
    world.daemon.call("mirror.add", name="m", switch="lan", vport="a", direction="out", collector="192.0.2.2", source="192.0.2.1",
                      **{"to-uplink": "up", "next-hop": "02:00:00:00:77:77"})
    for n in range(2):
        world.wire.promiscuous = True
        world.nic.send(ethernet(FAR, A, 200 + n))
        wrapped = [one.data for one in world.wire.receive(2) if one.data[:6] == COLLECTOR]
        assert [data[6:12].hex(":") for data in wrapped] == [world.shown()["mac"]]
        assert int.from_bytes(wrapped[0][ERSPAN_SEQUENCE:ERSPAN_SEQUENCE + 4], "big") == n
        assert world.daemon.show("mirror", "m")["frames"] == n + 1
        if n == 0:
            world.ip("link", "del", "out0")
            assert wait_until(world.is_lost)
            world.plug(1500)
            assert wait_until(world.runs)


def test_nobody_is_asked_again(tmp_path):
    """What ran since the start goes on to, though it would be refused now: a new interface asks for nothing."""
    classes = {"prio-tc": "3:1"}
    with Wires() as wires:
        with Daemon(tmp_path, netns=wires.netns) as daemon:
            world = World(daemon, wires)
            world.nic.close()
            daemon.call("uplink.set", name="up", **classes)
            wires.add("other", mac("02:00:00:00:77:02"), 1500)
        world.rename("out0", "away")
        with Daemon(tmp_path, netns=wires.netns) as daemon:
            daemon.call("uplink.add", name="second", switch="lan", device="other0", **classes)
        world.rename("away", "out0")
        with Daemon(tmp_path, netns=wires.netns) as world.daemon:
            assert wait_until(world.runs)
            world.ip("link", "del", "out0")
            assert wait_until(world.is_lost)
            world.plug(1500)
            assert wait_until(world.runs)
            world.daemon.call("vport.set", name="a", mtu=1400)


def fill(world):
    """Uplinks, until there is no memory for another one."""
    for n in range(64):
        world.wires.add(f"fill{n}", mac(f"02:00:00:00:78:{n:02x}"), 1500)
        try:
            world.daemon.call("uplink.add", name=f"fill{n}", switch="lan", device=f"fill{n}0")
        except RpcError as error:
            assert "no memory for the packet buffers" in error.message
            return
    raise AssertionError("there is memory without end")


def test_memory_for_one_alone(world):
    """The lost interface's buffers are there for the new one."""
    fill(world)
    world.ip("link", "del", "out0")
    assert wait_until(world.is_lost)
    world.plug(1500)
    assert wait_until(world.runs), world.shown()
    world.check_traffic()


def take_fanout(world, index):
    """A socket with the id that DPDK will want for its own (drivers/net/af_packet, rte_pmd_init_internals), at another interface."""
    with thread_in(world.wires.netns):
        one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    one.bind(("other1", 3))
    one.setsockopt(SOL_PACKET, PACKET_FANOUT, (world.daemon.pid ^ index) & 0xffff)
    return one


def test_an_interface_that_cannot_be_opened(world):
    """The uplink has no device then. It says so, takes settings, and comes when it can be opened."""
    world.wires.add("other", mac("02:00:00:00:77:02"), 1500)
    world.ip("link", "del", "out0")
    assert wait_until(world.is_lost)
    world.wire = world.wires.add("new", FAR, 1500)
    with take_fanout(world, int(world.ip("-o", "link", "show", "new0").split(":")[0])):
        world.rename("new0", "out0")
        assert wait_until(lambda: "DPDK cannot open" in world.shown()["problem"]), world.shown()
        assert world.shown()["link"] == "down" and "mac" not in world.shown()
        world.nic.send(ethernet(FAR, A))  # lost, and harms nobody
        world.daemon.call("uplink.set", name="up", **{"max-rate": 10**9, "prio-pfc": "3:on"})
        world.daemon.call("uplink.set", name="up", **{"max-rate": 0, "prio-pfc": "all:off"})
        with pytest.raises(RpcError, match="it has no device now: "):
            world.daemon.call("mirror.add", name="m", switch="lan", vport="a", collector="192.0.2.2", source="192.0.2.1",
                              **{"to-uplink": "up", "next-hop": "02:00:00:00:77:77"})
    assert wait_until(world.runs), world.shown()
    world.check_traffic()


def test_what_is_down_carries_nothing(world):
    """Minima are of those uplinks' rates that are up; of all, if none is."""
    call, rate = world.daemon.call, {"max-rate": 10**8}

    def ask(mbit):
        call("vport.set", name="a", **{"min-tx": mbit * 10**6})

    def link(name, wanted):
        return wait_until(lambda: world.daemon.show("uplink", name)["link"] == wanted)

    world.wires.add("other", mac("02:00:00:00:77:02"), 1500)
    call("uplink.set", name="up", **rate)
    call("uplink.add", name="second", switch="lan", device="other0", **rate)
    assert link("second", "up") and link("up", "up")
    ask(150)
    world.ip("link", "del", "out0")
    assert wait_until(world.is_lost)
    call("vport.set", name="a", mtu=1400)  # what was promised keeps nothing from changing
    with pytest.raises(RpcError, match="at most 100mbit"):
        ask(149)
    ask(100)
    world.ip("link", "set", "other0", "down")
    assert link("second", "down")
    ask(150)
    world.plug(1500)
    assert wait_until(world.runs)
    with pytest.raises(RpcError, match="at most 100mbit"):
        ask(149)
    world.ip("link", "set", "other0", "up")
    assert link("second", "up")
    ask(149)
