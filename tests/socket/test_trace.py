# SPDX-License-Identifier: BSD-3-Clause
"""`trace` says what the switch does: every frame of test_policy.py's cases is told before it is sent, on every path."""

import os
import struct

import pytest

from capture import softiov
from packets import udp
from softiov import RpcError
from test_policy import CELLS, world  # noqa: F401: a fixture

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

# By how many, how fast, or in the receiver's device: no part of a trace.
NOT_TOLD = {"policed", "storm", "mac-limit", "too-long", "filtered", "no-buffer",
            "connections-full"}


def told(ends, sent):
    """What a trace says of the frame."""
    source, target = (ends.far, ends.near) if sent.inward else (ends.near, ends.far)
    if sent.third:
        target = ends.third
    kind, name = ends.names[sent.inward]
    frame = sent.packet(target.mac, source.mac)
    tag = b"" if sent.tag is None else struct.pack(">HH", 0x8100, sent.tag)
    return ends.daemon.call("trace." + kind, name=name, frame=(frame[:12] + tag + frame[12:]).hex())


def how(tag):
    """In which tag it is delivered."""
    if not tag:
        return "untagged\n"
    vid, priority = tag & 0xfff, tag >> 13
    return (f"tagged with VLAN {vid}" if vid else "tagged with no VLAN") + (f" and priority {priority}\n" if priority else "\n")


def counters(ends):
    return ends.drops(), ends.daemon.call("acl.show"), ends.daemon.call("qos-policy.show")


def check(ends, sent, text):
    kind, name = ends.names[2 if sent.third else not sent.inward]
    if sent.drop:
        # Where the wire's address is not known yet, the frame is for nobody.
        reasons = {sent.drop, "no-route"} if (sent.drop, ends.far_type) == ("vlan", "uplink") else {sent.drop}
        assert any(f"  => dropped: {reason}\n" in text for reason in reasons) and "=> delivered" not in text, text
    else:
        assert f"to {kind} {name}:\n" in text and "  => delivered" in text and "dropped" not in text, text
        assert how(sent.comes) in text, text


@pytest.mark.parametrize("case, path", CELLS)
def test_as_it_happens(world, case, path):  # noqa: F811
    ends = world.ends[path]
    before = ends.change(case)
    try:
        for sent in case.frames:
            if sent.drop not in NOT_TOLD:
                counted = counters(ends)
                text = told(ends, sent)
                assert counters(ends) == counted, "a trace leaves no trace"
                check(ends, sent, text)
            ends.check(sent)
    finally:
        ends.undo(case, before)


def test_classification(world):  # noqa: F811
    """Which policy is for a frame, and which class it goes by."""
    ends = world.ends["vf-to-uplink"]
    call, near, far = ends.daemon.call, ends.near_name, ends.far_name
    call("qos-policy.add", name=f"{ends.path}/voice", protocol="udp", **{"set-dscp": 46, "set-priority": 5})
    call("qos-policy.add", name=f"{ends.path}/rest", filter="others", throttle="1mbit")
    call("uplink.set", name=far, **{"prio-tc": "5:3", "priority-tag": True})
    try:
        voice, rest = (call("trace.vport", name=near, frame=f"{kind} 10.0.0.1:1 > 10.0.0.2:80 to ff:ff:ff:ff:ff:ff")
                       for kind in ("udp", "tcp"))
        assert f"  qos-policy {ends.path}/voice is for it: DSCP 46 priority 5\n" in voice
        assert "  => delivered, tagged with no VLAN and priority 5, in traffic class 3\n" in voice
        assert f"  qos-policy {ends.path}/rest is for it: throttle\n" in rest
        assert "  => delivered, untagged, in traffic class 0\n" in rest
        call("qos-policy.del", name=f"{ends.path}/rest")
        assert "  qos-policies: none is for it\n" in call("trace.vport", name=near, frame="tcp 10.0.0.1:1 > 10.0.0.2:80 to ff:ff:ff:ff:ff:ff")
    finally:
        for policy in call("qos-policy.show"):
            call("qos-policy.del", name=policy["name"])
        call("uplink.set", name=far, **{"prio-tc": "all:0", "priority-tag": False})


def test_rules(world):  # noqa: F811
    """Which rule decides, and which one meters."""
    ends = world.ends["vf-to-synthetic"]
    near, far = ends.near_name, ends.far_name
    rules = {f"{near}/no-web": {"action": "deny", "direction": "out", "weight": 5, "protocol": "tcp", "remote-port": "80"},
             f"{near}/all": {"action": "meter", "direction": "out", "remote": "0.0.0.0/0"},
             f"{far}/ten": {"action": "allow", "direction": "in", "remote": "10.0.0.0/8"}}
    for name, fields in rules.items():
        ends.daemon.call("acl.add", name=name, **fields)
    try:
        done = softiov(ends.daemon, "trace", "vport", near, f"tcp 10.0.0.1:1 > 10.0.0.2:80 to {far}")
        assert done.returncode == 0 and done.stdout.splitlines() == [
            f"frame: 60 bytes, {ends.near.mac.hex(':')} > {ends.far.mac.hex(':')}, type 0x0800, protocol 6, 10.0.0.1:1 > 10.0.0.2:80",
            f"from vport {near} of switch {ends.path}:", "  source address: the vport's", "  VLAN: none",
            f"  rule {near}/no-web denies it", "  => dropped: acl"]
        text = ends.daemon.call("trace.vport", name=near, frame=f"tcp 10.0.0.1:1 > 10.0.0.2:81 to {far}")
        assert text.splitlines()[4:] == [
            f"  rule {near}/all meters it", "  rules: none decides", "way:", "  the destination address is known: to 1 port",
            f"to vport {far}:", f"  rule {far}/ten allows it", "  => delivered to its synthetic adapter, untagged"]
        assert all(rule["frames"] == 0 for rule in ends.daemon.call("acl.show"))
    finally:
        for name in rules:
            ends.daemon.call("acl.del", name=name)


def test_refused(world):  # noqa: F811
    ends = world.ends["vf-to-uplink"]
    with pytest.raises(RpcError, match="there is no such vport that runs"):
        ends.daemon.call("trace.vport", name=ends.far_name, frame="eth type 5")
    with pytest.raises(RpcError, match="'tpc' is not allowed"):
        ends.daemon.call("trace.vport", name=ends.near_name, frame="tpc 1.2.3.4:5 > 1.2.3.4:6")
    done = softiov(ends.daemon, "trace", "vport", ends.near_name)
    assert done.returncode == 1 and "frame: must be given" in done.stderr
    assert "frame: not one\n" not in ends.daemon.call("trace.uplink", name=ends.far_name, frame=udp(1, 2)(b"\2" * 6, b"\4" * 6).hex())
