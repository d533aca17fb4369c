# SPDX-License-Identifier: BSD-3-Clause
"""Captures and mirrors of what real guests send and receive, read by tshark and tcpdump.

    vf, synthetic -- switch -- outside
"""

import contextlib
import subprocess

import pytest

from capture import IN, OUT, Capture, tshark
from guest import Guest
from softiov import wait_until
from stage import transfer

GUESTS = ["vf", "synthetic"]
PORT = 5001
# A session's first and last segments: few, so that a busy guest has buffers for what it is shown.
ENDS = f"tcp port {PORT} and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0"
SYN, FIN, ACK = 2, 1, 16
WRITTEN = "/tmp/mirror.pcap"  # in a guest


@pytest.fixture(scope="module")
def stage(duo):
    return duo


@pytest.mark.parametrize("name", GUESTS)
def test_capture(stage, tmp_path, name):
    """A TCP session, and pings that a rule drops: where, in which direction, by which path and queue, and why."""
    node, outside = stage[name], stage["outside"]
    rule = f"{name}/no-ping"
    capture = Capture(stage.daemon, "all", "filter", f"tcp port {PORT} or icmp", path=tmp_path / "all.pcapng")
    assert transfer(node, outside, 1)
    stage.softiov("acl", "add", rule, "direction", "out", "action", "deny", "weight", "9", "protocol", "icmp")
    try:
        assert node.cut_off(outside)
    finally:
        stage.softiov("acl", "del", rule)
    assert " 0 lost; stopped" in capture.stop()
    rows = capture.frames("frame.interface_name", "frame.interface_description", "frame.packet_flags_direction",
                          "frame.interface_queue", "frame.comment", "tcp.dstport")
    vport, uplink = f"vport {name} of switch lan, path {name}", "uplink out of switch lan"
    sent = [row for row in rows if row[5] == str(PORT)]
    answers = [row for row in rows if row[5] not in (None, str(PORT))]
    dropped = [row for row in rows if row[5] is None]
    # The uplink's far end is the network: what leaves by it is outbound there as well.
    assert {row[:3] for row in sent} == {(name, vport, OUT), ("out", uplink, OUT)}
    assert {row[:3] for row in answers} == {("out", uplink, IN), (name, vport, IN)}
    assert {row[3] for row in rows if row[0] == name and row[4] != "dropped: no-buffer"} == {"0"}
    assert len(sent) > 10 < len(answers)
    assert {row[4] for row in sent + answers} <= {None, "dropped: no-buffer"}
    assert {(row[0], row[2], row[4]) for row in dropped} == {(name, OUT, "dropped: acl")}


@contextlib.contextmanager
def listening(node, expression, path):
    """tcpdump in a guest, or outside, that writes to this file here until the block's end, and until both sides of a
    session have said that they close it."""
    inside = isinstance(node.host, Guest)
    job = node.tcpdump(f"-Z root -U -w {WRITTEN if inside else path} '{expression}'")

    def closed():
        if inside:
            path.write_bytes(node.host.pull(WRITTEN))
        try:
            return len({port for flags, port in tshark(path, "tcp.flags", "tcp.srcport") if int(flags, 16) & FIN}) == 2
        except subprocess.CalledProcessError:
            return False  # it is being written

    try:
        yield
        assert wait_until(closed, pause=0.1)
    finally:
        job.kill()


def flags_by(path, field, *fields):
    """{the field's value: flags of TCP segments with it}, and what other fields say of any."""
    rows = tshark(path, "tcp.flags", field, *fields)
    by = {}
    for row in rows:
        by.setdefault(row[1], set()).add(int(row[0], 16) & (SYN | FIN | ACK))
    return by, {row[2:] for row in rows}


def outside_mac(stage):
    return stage["outside"].run(f"cat /sys/class/net/{stage['outside'].device}/address")


@pytest.mark.parametrize("source, sensor", [("vf", "synthetic"), ("synthetic", "vf")])
def test_mirror_to_a_guest(stage, tmp_path, source, sensor):
    """A guest's TCP session with the outside, by tcpdump in another guest: both directions, and nobody is disturbed."""
    sensor, path = stage[sensor], tmp_path / "mirror.pcap"
    stage.softiov("mirror", "add", "m", "switch", "lan", "vport", source, "to-vport", sensor.name, "filter", ENDS,
                  "snaplen", "96")
    try:
        with listening(sensor, f"tcp port {PORT}", path):
            assert transfer(stage[source], stage["outside"], 1)
    finally:
        stage.softiov("mirror", "del", "m")
    flags, addresses = flags_by(path, "eth.src", "ip.src")
    assert flags[stage[source].mac] >= {SYN, FIN | ACK} and SYN | ACK in flags[outside_mac(stage)] and len(flags) == 2
    assert addresses == {(stage[source].address,), (stage["outside"].address,)}


@pytest.mark.parametrize("source, encapsulation", [("vf", "erspan"), ("synthetic", "gre")])
def test_mirror_to_a_collector(stage, tmp_path, source, encapsulation):
    """The session between two guests, in packets to a collector outside."""
    outside, other = stage["outside"], stage[GUESTS[source == "vf"]]
    stage.softiov("mirror", "add", "m", "switch", "lan", "vport", source, "to-uplink", "out", "collector", outside.address,
                  "source", "10.0.0.98", "next-hop", outside_mac(stage), "encapsulation", encapsulation, "session", "7",
                  "filter", ENDS, "snaplen", "96")
    path = tmp_path / "collected.pcap"
    try:
        with listening(outside, "ip proto 47", path):
            assert transfer(stage[source], other, 1)
    finally:
        stage.softiov("mirror", "del", "m")
    kind = "erspan.spanid" if encapsulation == "erspan" else "gre.proto"
    flags, outer = flags_by(path, "tcp.dstport", "ip.src", "ip.dst", kind)
    assert flags.pop(str(PORT)) >= {SYN, FIN | ACK} and SYN | ACK in set().union(*flags.values())
    assert outer == {("10.0.0.98", outside.address, "7" if encapsulation == "erspan" else "0x6558")}
