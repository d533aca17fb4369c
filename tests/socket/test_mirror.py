# SPDX-License-Identifier: BSD-3-Clause
"""Mirrors: what passes between two ports is shown to a third, whichever adapters the three have."""

import concurrent.futures
import os
import struct
import subprocess

import pytest

import virtio
from frames import mac
from packets import broadcast, sent_as, tcp, udp
from pairs import SyntheticPort, UplinkPort, VfPort, opened
from softiov import RpcError
from vfio_user import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

KINDS = {"vf1": "82599", "vf2": "82576", "syn1": "split", "vfd": "x540", "synd": "packed", "up1": "uplink", "upd": "uplink"}
PATHS = [("vf1", "vf2"), ("vf1", "syn1"), ("vf1", "up1"), ("syn1", "up1")]
DESTINATIONS = ["vfd", "synd", "upd"]
WIRE_MTU = 2000
PLAIN = udp(1111, 2222)


class World:
    def __init__(self, daemon, wires):
        self.daemon, self.ports = daemon, {}
        daemon.call("switch.add", name="lan")
        for i, (name, kind) in enumerate(KINDS.items(), 1):
            address = b"\2\0\0\0\0" + bytes([i])
            if kind == "uplink":
                wire = wires.add(f"w{i}", address, WIRE_MTU)
                # What goes to an unknown address in a VLAN does not come to where mirrors send.
                daemon.call("uplink.add", name=name, switch="lan", device=wire.device, trunk="none" if name == "upd" else "all")
                self.ports[name] = UplinkPort(wire)
                continue
            synthetic = kind in ("split", "packed")
            fields = {"iov": False} if synthetic else {"model": kind}
            daemon.call("vport.add", name=name, switch="lan", mac=address.hex(":"), synthetic=synthetic, **fields)
        vports = daemon.call("vport.show")
        with concurrent.futures.ThreadPoolExecutor(len(vports)) as pool:
            self.ports |= zip([vport["name"] for vport in vports], pool.map(self.open, vports))
        # Where what is outside is gets known.
        for name in ("up1", "upd"):
            self.send(name, "vf1", PLAIN)
        self.ports["upd"].wire.promiscuous = True

    @staticmethod
    def open(vport):
        kind = KINDS[vport["name"]]
        return (SyntheticPort(vport, kind == "packed", virtio.TAKES_CSUM) if kind in ("split", "packed")
                else VfPort(vport, kind))

    def send(self, source, target, packet, arrives=True, tag=None):
        """Returns the frame that was sent."""
        frame = packet(self.ports[target].mac, self.ports[source].mac)
        self.ports[source].send_bytes(frame[:12] + (struct.pack(">HH", 0x8100, tag) if tag else b"") + frame[12:])
        if arrives:
            assert [one.data for one in self.ports[target].receive(1)] == [frame]
        return frame

    def mirror(self, destination, **fields):
        kind = "to-uplink" if KINDS[destination] == "uplink" else "to-vport"
        self.daemon.call("mirror.add", name="m", switch="lan", **{kind: destination, **fields})

    def of(self, name):
        return {"uplink" if KINDS[name] == "uplink" else "vport": name}

    def shown(self, destination, n):
        """(bytes, tag) of the n frames that the destination got, and no more."""
        got = self.ports[destination].receive(n)
        assert len(got) == n and not self.ports[destination].receive(1, 0)
        return [(one.data, one.vlan) for one in got]


@pytest.fixture(scope="module", name="opened")
def opened_fixture(tmp_path_factory):
    with opened(World, tmp_path_factory) as world:
        yield world


@pytest.fixture
def world(opened):
    yield opened
    if opened.daemon.call("mirror.show"):
        opened.daemon.call("mirror.del", name="m")


@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("path", PATHS, ids="-to-".join)
def test_directions(world, path, destination):
    near, far = path
    for port, direction, sent, received in ((near, "out", 1, 0), (near, "in", 0, 1), (far, "in", 1, 0), (far, "both", 1, 1)):
        world.mirror(destination, direction=direction, **world.of(port))
        there, back = world.send(near, far, PLAIN), world.send(far, near, PLAIN)
        assert world.shown(destination, sent + received) == [(there, None)] * sent + [(back, None)] * received
        assert wait_until(lambda: world.daemon.show("mirror", "m")["frames"] == sent + received)
        world.daemon.call("mirror.del", name="m")
    world.send(near, far, PLAIN)
    assert world.shown(destination, 0) == []


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_tags_and_drops(world, destination):
    """A tagged frame is shown with its tag, a dropped one where it is asked for."""
    world.daemon.call("vport.set", name="vf1", trunk="7")
    spoofed = sent_as(mac("02:00:00:00:99:99"), PLAIN)
    try:
        for drops, expected in (("no", [None, 7]), ("too", [None, 7, None]), ("only", [None])):
            # To an uplink what was dropped may go in a VLAN of the mirror's own only.
            vlan = 900 if destination == "upd" and drops != "no" else 0
            world.mirror(destination, drops=drops, direction="out", **({"vlan": vlan} if vlan else {}), **world.of("vf1"))
            plain = world.send("vf1", "vf2", PLAIN)
            world.send("vf1", "up1", PLAIN, arrives=False, tag=7)
            assert [one.vlan for one in world.ports["up1"].receive(1)] == [7]
            world.send("vf1", "vf2", spoofed, arrives=False)
            got = world.shown(destination, len(expected))
            assert [tag for _, tag in got] == ([vlan] * len(expected) if vlan else expected)
            if drops != "only":
                assert got[0][0] == plain
            world.daemon.call("mirror.del", name="m")
    finally:
        world.daemon.call("vport.set", name="vf1", trunk="none")


@pytest.mark.parametrize("destination, tag", [("vfd", None), ("synd", None), ("upd", 10)])
def test_access_ports(world, destination, tag):
    """Their frames have no tag there; what leaves by an uplink is in its VLAN."""
    for name in ("vf1", "vf2"):
        world.daemon.call("vport.set", name=name, vlan=10)
    try:
        world.mirror(destination, direction="out", **world.of("vf1"))
        frame = world.send("vf1", "vf2", PLAIN)
        assert world.shown(destination, 1) == [(frame, tag)]
    finally:
        for name in ("vf1", "vf2"):
            world.daemon.call("vport.set", name=name, vlan=0)


def test_filter_and_truncation(world):
    world.mirror("vfd", filter="tcp dst port 80", snaplen=40)
    wanted, _ = world.send("vf1", "syn1", tcp(1, 80)), world.send("vf1", "syn1", tcp(1, 81))
    world.send("syn1", "vf1", tcp(80, 1))
    # Once where it came from, and once where it went.
    assert world.shown("vfd", 2) == [(wanted[:40], None)] * 2


def test_everything(world):
    """Without a port, all ports but the destination; what comes to the destination is its own, once."""
    world.mirror("synd", direction="in")
    there = world.send("vf1", "vf2", PLAIN)
    own = world.send("vf1", "synd", PLAIN, arrives=False)
    assert world.shown("synd", 2) == [(there, None), (own, None)]


def test_a_port_that_comes(world):
    """A mirror of all ports looks at those that are added later, and lets go of those that go."""
    world.mirror("vfd", direction="in")
    for _ in range(2):
        world.daemon.call("vport.add", name="late", switch="lan", mac="02:00:00:00:00:77", synthetic=False)
        late = VfPort(world.daemon.show("vport", "late"), "82599")
        frame = PLAIN(late.mac, world.ports["vf1"].mac)
        world.ports["vf1"].send_bytes(frame)
        assert [one.data for one in late.receive(1)] == [frame]
        assert world.shown("vfd", 1) == [(frame, None)]
        late.close()
        world.daemon.call("vport.del", name="late")


def tshark(frames, tmp_path, *fields):
    path = tmp_path / "mirrored.pcap"
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHIIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
        for frame in frames:
            file.write(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame)
    arguments = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(["tshark", "-n", "-o", "ip.check_checksum:TRUE", "-r", str(path), "-T", "fields", "-E", "occurrence=a",
                           *arguments], check=True, capture_output=True, text=True)
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.parametrize("source, collector", [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("encapsulation", ["erspan", "gre"])
def test_collector(world, tmp_path, encapsulation, source, collector):
    v6 = ":" in collector
    world.mirror("upd", collector=collector, source=source, encapsulation=encapsulation, session=5, direction="out",
                 **{"next-hop": "02:00:00:00:77:77"}, **world.of("vf1"))
    inner = [world.send("vf1", "vf2", udp(1111, port)) for port in (1, 2)]
    got = [data for data, _ in world.shown("upd", 2)]
    assert [data[-len(frame):] for data, frame in zip(got, inner)] == inner
    lines = tshark(got, tmp_path, "eth.dst", *(("ipv6.src", "ipv6.dst") if v6 else ("ip.src", "ip.dst")), "udp.dstport", "ip.checksum.status", "gre.proto", "erspan.spanid",
                   "gre.sequence_number")
    first = lines[0]
    assert first[0] == f"02:00:00:00:77:77,{world.ports['vf2'].mac.hex(':')}"
    assert first[1].split(",")[0] == source and first[2].split(",")[0] == collector
    assert [line[3] for line in lines] == ["1", "2"]
    assert first[4] == ("1" if v6 else "1,1"), "a checksum of IPv4's is wrong"
    if encapsulation == "erspan":
        assert first[5:7] == ["0x88be", "5"] and int(lines[1][7]) == int(first[7]) + 1
    else:
        assert first[5] == "0x6558"


def test_a_vlan_of_its_own(world):
    world.mirror("upd", vlan=900, direction="out", **world.of("vf1"))
    frame = world.send("vf1", "vf2", PLAIN)
    assert world.shown("upd", 1) == [(frame, 900)]


def test_a_slow_destination(world):
    """A destination whose buffers are used up loses frames; the others' traffic is as it was."""
    world.mirror("vfd", direction="out", **world.of("vf1"))
    before = world.daemon.show("vport", "vfd")["drop-reasons"].get("no-buffer", 0)
    for _ in range(1200):
        world.send("vf1", "vf2", PLAIN)
    assert wait_until(lambda: world.daemon.show("vport", "vfd")["drop-reasons"].get("no-buffer", 0) > before)
    assert world.daemon.show("mirror", "m")["frames"] == 1200
    while world.ports["vfd"].receive(1, 0):
        pass


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_several_sources(world, destination):
    """Ports that are named together: each frame that one of them sends is shown, whoever else there is."""
    world.mirror(destination, direction="out", vport="syn1,vf1", uplink="up1")
    assert world.daemon.show("mirror", "m")["vport"] == "syn1,vf1"
    frames = [world.send(*path, PLAIN) for path in (("vf1", "vf2"), ("vf2", "syn1"), ("syn1", "vf1"), ("up1", "vf2"))]
    assert [data for data, _ in world.shown(destination, 3)] == [frames[0], frames[2], frames[3]]


def test_no_loop(world):
    """Two ports that show each other: each frame is shown once."""
    world.daemon.call("mirror.add", name="back", switch="lan", vport="vfd", **{"to-vport": "vf1"})
    world.mirror("vfd", **world.of("vf1"))
    try:
        frame = world.send("vf1", "vf2", PLAIN)
        assert world.shown("vfd", 1) == [(frame, None)]
        assert not world.ports["vf1"].receive(1, 0)
    finally:
        world.daemon.call("mirror.del", name="back")


REFUSED = [
    ({"vport": "vf1", "to-vport": "vf1"}, "to-vport", "mirrored to itself"),
    ({"vport": "vf1,vfd", "to-vport": "vfd"}, "to-vport", "mirrored to itself"),
    ({"vport": "vf1,nobody", "to-vport": "vfd"}, "vport", "nobody"),
    ({"vport": "vf1,", "to-vport": "vfd"}, "vport", "commas between"),
    ({"vport": "vf1"}, "to-vport", "say where"),
    ({"to-vport": "vfd", "to-uplink": "upd"}, "to-uplink", "not both"),
    ({"to-vport": "vfd", "vlan": 9}, "vlan", "to-uplink"),
    ({"to-vport": "vfd", "collector": "192.0.2.2"}, "collector", "to-uplink"),
    ({"to-uplink": "upd", "collector": "192.0.2.2"}, "next-hop", "MAC address"),
    ({"to-uplink": "upd", "collector": "192.0.2", "next-hop": "02:00:00:00:77:77"}, "collector", "an IP address"),
    ({"to-uplink": "upd", "collector": "192.0.2.2", "next-hop": "02:00:00:00:77:77"}, "source", "an IP address"),
    ({"to-uplink": "upd", "collector": "192.0.2.2", "source": "2001:db8::1", "next-hop": "02:00:00:00:77:77"}, "source",
     "IPv6 address, and the collector's is IPv4"),
    ({"to-vport": "vfd", "filter": "tcp prot 80"}, "filter", "syntax error"),
    ({"to-uplink": "upd", "drops": "too"}, "drops", "VLANs that its sender may not be in"),
    ({"to-vport": "nobody"}, "to-vport", "nobody"),
    ({"to-vport": "vfd", "snaplen": 100000}, "snaplen", "9728"),
]


@pytest.mark.parametrize("fields, field, text", REFUSED, ids=[row[1] + " " + row[2] for row in REFUSED])
def test_refused(world, fields, field, text):
    with pytest.raises(RpcError) as error:
        world.daemon.call("mirror.add", name="m", switch="lan", **fields)
    assert error.value.data["field"] == field and text in error.value.message
    assert not world.daemon.call("mirror.show")


def test_what_it_needs_stays(world):
    world.mirror("vfd", direction="out", vport="syn1,vf1")
    for name in ("vfd", "vf1", "syn1"):
        with pytest.raises(RpcError, match="mirror"):
            world.daemon.call("vport.del", name=name)
    world.send("vf1", "vf2", broadcast(PLAIN), arrives=False)
    assert len(world.ports["vfd"].receive(2)) == 2, "as a receiver, and as a mirror's destination"
    assert not world.ports["vfd"].receive(1, 0)
    for name in ("vf2", "syn1", "synd", "up1", "upd"):
        world.ports[name].receive(1)
