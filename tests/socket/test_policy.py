# SPDX-License-Identifier: BSD-3-Clause
"""Every policy over every path: VF to VF, VF to synthetic, VF to uplink, synthetic to uplink, synthetic to VF.

Each path has a switch of its own with two ports: `near`, a vport, and `far`; a third one is in a VLAN of its own, unless a
case takes it out of there. A case is a row of CASES: what is set, what is sent, and what becomes of it. To add one, add a row.
"""

import concurrent.futures
import dataclasses
import itertools
import os
import resource
import struct
import time
import typing

import pytest

import packets
import virtio
from extension import Program
from frames import TCP, mac
from packets import arp, broadcast, ethernet, icmp, ip, sent_as, tcp, udp, v6
from packets import ALL_NODES, LINK_LOCAL
from pairs import A4, A6, B4, B6, SyntheticPort, UplinkPort, VfPort, opened
from softiov import RpcError
from vfio_user import wait_until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

# The kinds of the two ends.
PATHS = {"vf-to-vf": ("82599", "i350"), "vf-to-synthetic": ("x550", "split"), "vf-to-uplink": ("82576", "uplink"),
         "synthetic-to-uplink": ("packed", "uplink"), "synthetic-to-vf": ("split", "x540")}
SYNTHETICS = {"split": False, "packed": True}
WIRE_MTU = 2000
THIRD, THIRD_VLAN = mac("02:00:00:00:03:03"), 4000


@dataclasses.dataclass
class Sent:
    """A frame from near to far, or back where it is `inward`."""

    packet: typing.Callable  # packets.py
    drop: str = None  # why it does not arrive
    tag: int = None  # that it is sent with
    comes: int = None  # the tag that it arrives with
    becomes: typing.Callable = None  # the packet that arrives, where it is another one
    inward: bool = False
    times: int = 1  # so often
    copies: int = 1  # arrive of each
    third: bool = False  # it is for the third port, which gets it


@dataclasses.dataclass
class Case:
    name: str
    frames: list
    near: dict = dataclasses.field(default_factory=dict)  # fields of the vport
    far: dict = dataclasses.field(default_factory=dict)  # of the other end
    third: dict = dataclasses.field(default_factory=dict)  # of the third vport
    # {(type, name): fields}, added in this order; in their names and values NEAR, FAR, THIRD and SWITCH stand for what they say.
    objects: dict = dataclasses.field(default_factory=dict)
    far_is: str = None  # "vport", "uplink": on paths with such an end only
    promiscuous: bool = False  # the host behind the uplink takes frames to other addresses


def In(packet, *arguments, **fields):
    return Sent(packet, *arguments, inward=True, **fields)


def private(mode, secondary):
    return {"vlan": 10, "private-vlan": mode, "secondary-vlans": str(secondary)}


PRIORITY = 5 << 13
EF = 46 << 2  # RFC 3246, as a TOS
PLAIN = udp(1111, 2222)
FOREIGN = mac("02:00:00:00:99:99")
OFFER, ADVERTISE = udp(67, 68), v6(udp, 547, 546)
ADVERTISEMENT = v6(icmp, 134, source=LINK_LOCAL, to=ALL_NODES)
# Only the ports are in the first fragment; not even these are in the packet, but behind it.
FRAGMENTED = ip(17, struct.pack(">HH", 67, 68), fragment=0x2000)
IN_PADDING = ethernet(0x0800, packets.ip4_header(17, 0, A4, B4) + struct.pack(">HHHH", 67, 68, 8, 0))
TWO_TAGS = ethernet(0x8100, b"\0\0\x81\0\0\0" + OFFER(bytes(6), bytes(6))[12:])

ASKS = arp(1, A4, B4)


def neighbour(kind, target, address=None, source=A6):
    """RFC 4861, 4.3 and 4.4, with the sender's MAC address, or this one, but where there is no source."""
    def packet(to, mac_of_sender):
        option = bytes([kind - 134, 1]) + (address or mac_of_sender) if any(source) else b""
        return v6(icmp, kind, 0, bytes(4) + target + option, source=source)(to, mac_of_sender)
    return packet


def acl(**fields):
    """A rule of the near vport; names of fields may be written with `_` for `-`."""
    return {("acl", "NEAR/a"): {key.replace("_", "-"): value for key, value in fields.items()}}


def extension(program, hook="ingress", name="NEAR-x", **fields):
    """One that sees all ports, unless it is said which."""
    return {("extension", name): {"switch": "SWITCH", "hook": hook, "file": program,
                                  **{key.replace("_", "-"): value for key, value in fields.items()}}}


NO_PORT_7 = Program("return port == 7 ? SOFTIOV_DROP : SOFTIOV_PASS;")
NO_PORT_8 = Program("return port == 8 ? SOFTIOV_DROP : SOFTIOV_PASS;")
TO_VPORT, TO_UPLINK = (Program(f"return port == 7 ? SOFTIOV_TO_{kind} : SOFTIOV_PASS;") for kind in ("VPORT", "UPLINK"))


def to_itself(packet):
    """With the sender's own address, so that nobody gets it."""
    return lambda to, source: packet(source, source)


def for_third(packet):
    return lambda to, source: packet(THIRD, source)


def turned(egress, **fields):
    """An extension of the third port, which is with the others now."""
    return {"third": {"vlan": 0}, "objects": {**egress, **extension(hook="egress", vport="THIRD", **fields)}}


def qos(policy="q", **fields):
    """A policy for what the near vport sends, or all of the switch where `vport` is None."""
    fields = {key.replace("_", "-"): value for key, value in {"vport": "NEAR", **fields}.items() if value is not None}
    return {("qos-policy", f"SWITCH/{policy}"): fields}


def Marked(packet, *arguments, tos, **fields):
    """One that arrives with this TOS, and a right checksum."""
    asked = {key: fields.pop(key) for key in ("drop", "tag", "comes", "times") if key in fields}
    sent = lambda to, source: packet(*arguments, **fields)(to, source)  # noqa: E731
    return Sent(sent, becomes=lambda to, source: packet(*arguments, **{**fields, "tos": tos})(to, source), **asked)


def answer(packet, *arguments):
    return packet(*arguments, source=B4, to=A4)


CASES = [
    Case("nothing", [Sent(PLAIN), In(PLAIN), Sent(broadcast(PLAIN)), In(broadcast(PLAIN)), Sent(OFFER), Sent(ADVERTISE),
                     Sent(ADVERTISEMENT), Sent(icmp(5))]),
    # RFC 2131, 4.1; RFC 8415, 7.2: what a server sends from. Clients may ask, and be answered.
    Case("dhcp-guard", [Sent(OFFER, "dhcp-guard"), Sent(broadcast(OFFER), "dhcp-guard"),
                        Sent(ADVERTISE, "dhcp-guard"), Sent(udp(5000, 68), "dhcp-guard"),
                        Sent(v6(udp, 5000, 546), "dhcp-guard"), Sent(FRAGMENTED, "obscure-headers"),
                        Sent(IN_PADDING, "obscure-headers"), Sent(TWO_TAGS, "obscure-headers"),
                        Sent(udp(68, 67)), Sent(v6(udp, 546, 547)), Sent(tcp(67, 68)), Sent(ADVERTISEMENT),
                        In(OFFER), In(ADVERTISE)],
         near={"dhcp-guard": True}),
    # RFC 4861, 4.2 and 4.5; RFC 1256; RFC 792
    Case("router-guard", [Sent(ADVERTISEMENT, "router-guard"), Sent(v6(icmp, 137), "router-guard"),
                          Sent(icmp(9), "router-guard"), Sent(icmp(5), "router-guard"),
                          Sent(v6(icmp, 133)), Sent(v6(icmp, 135)), Sent(icmp(8)), Sent(v6(icmp, 128)), Sent(OFFER),
                          In(ADVERTISEMENT), In(icmp(5))],
         near={"router-guard": True}),
    Case("both guards", [Sent(OFFER, "dhcp-guard"), Sent(ADVERTISEMENT, "router-guard"), Sent(PLAIN)],
         near={"dhcp-guard": True, "router-guard": True}),
    # Whose addresses it has: RFC 826, RFC 5227, RFC 4861, RFC 4862.
    Case("addresses", [Sent(PLAIN), Sent(v6(udp, 1111, 2222)), Sent(arp(1, A4, B4)), Sent(arp(2, A4, B4)),
                       Sent(arp(1, bytes(4), A4)), Sent(arp(2, B4, A4), "spoofed-arp"),
                       Sent(broadcast(arp(1, B4, A4)), "spoofed-arp"), Sent(arp(2, A4, B4, FOREIGN), "spoofed-arp"),
                       Sent(udp(1111, 2222, source=B4, to=A4), "spoofed-ip"),
                       Sent(v6(udp, 1111, 2222, source=B6, to=A6), "spoofed-ip"),
                       Sent(udp(68, 67, source=bytes(4), to=b"\xff" * 4)), Sent(neighbour(136, A6)),
                       Sent(neighbour(136, B6), "spoofed-nd"), Sent(neighbour(136, A6, FOREIGN), "spoofed-nd"),
                       Sent(neighbour(135, B6)), Sent(neighbour(135, B6, FOREIGN), "spoofed-nd"),
                       Sent(neighbour(135, A6, source=bytes(16))), Sent(neighbour(135, B6, source=bytes(16)), "spoofed-nd"),
                       Sent(v6(icmp, 128, source=LINK_LOCAL), "spoofed-ip"),
                       In(PLAIN), In(arp(2, A4, B4)), In(neighbour(136, A6))],
         near={"addresses": "10.0.0.1,::1"}),
    Case("addresses of one family", [Sent(PLAIN), Sent(arp(1, A4, B4)), Sent(v6(udp, 1111, 2222), "spoofed-ip")],
         near={"addresses": "10.0.0.0/31"}),
    Case("spoofing", [Sent(sent_as(FOREIGN, PLAIN), "spoofed-mac"), Sent(sent_as(FOREIGN, arp(2, A4, B4)), "spoofed-mac"),
                      Sent(PLAIN)]),
    Case("spoofing allowed", [Sent(sent_as(FOREIGN, PLAIN)), Sent(PLAIN)], near={"mac-spoofing": True}),
    Case("as many addresses as it may have",
         [Sent(sent_as(FOREIGN, PLAIN)), Sent(sent_as(mac("02:00:00:00:99:98"), PLAIN), "mac-limit"), Sent(PLAIN),
          Sent(sent_as(FOREIGN, PLAIN))],
         near={"mac-spoofing": True, "mac-limit": 1}),
    Case("source address", [Sent(sent_as(mac("03:00:00:00:00:01"), PLAIN), "bad-source")], near={"mac-spoofing": True}),
    Case("access to access", [Sent(PLAIN), In(PLAIN), Sent(PLAIN, "vlan", tag=10), Sent(PLAIN, "vlan", tag=20),
                              In(PLAIN, "vlan", tag=10)],
         near={"vlan": 10}, far={"vlan": 10, "trunk": "none"}),
    Case("access to trunk", [Sent(PLAIN, comes=10), In(PLAIN, tag=10), In(PLAIN, "vlan", tag=20), In(PLAIN, "vlan"),
                             In(PLAIN, "vlan", tag=30), Sent(broadcast(PLAIN), comes=10)],
         near={"vlan": 10}, far={"trunk": "10,20"}),
    Case("trunk to trunk", [Sent(PLAIN, tag=10, comes=10), Sent(PLAIN, tag=20), Sent(PLAIN, comes=30),
                            Sent(PLAIN, "vlan", tag=40), Sent(broadcast(PLAIN), "no-route", tag=50),
                            In(PLAIN, comes=20), In(PLAIN, tag=10, comes=10), In(PLAIN, tag=30), In(PLAIN, "vlan", tag=40)],
         near={"vlan": 30, "trunk": "10,20,50"}, far={"vlan": 20, "trunk": "10,30"}),
    # IeeePriorityTag of Hyper-V: the priority is reset to 0, or let go.
    Case("priority reset", [Sent(PLAIN, tag=PRIORITY | 10, comes=10), In(PLAIN, tag=10, comes=10), Sent(PLAIN, tag=PRIORITY),
                            Sent(PLAIN, tag=PRIORITY | 20, drop="vlan")],
         near={"trunk": "10"}, far={"trunk": "10"}),
    Case("priority allowed", [Sent(PLAIN, tag=PRIORITY | 10, comes=PRIORITY | 10), Sent(PLAIN, tag=10, comes=10),
                              Sent(PLAIN, tag=PRIORITY)],
         near={"trunk": "10", "ieee-priority-tag": True}, far={"trunk": "10"}),
    Case("priority of an access port", [Sent(PLAIN, tag=PRIORITY, comes=PRIORITY | 10), Sent(PLAIN, comes=10)],
         near={"vlan": 10, "ieee-priority-tag": True}, far={"trunk": "10"}),
    Case("priority from outside", [In(PLAIN, tag=PRIORITY | 10, comes=PRIORITY | 10)],
         near={"trunk": "10"}, far={"trunk": "10"}, far_is="uplink"),
    Case("isolated and promiscuous", [Sent(PLAIN), In(PLAIN), Sent(broadcast(PLAIN)), In(broadcast(PLAIN)),
                                      Sent(PLAIN, "vlan", tag=10), In(PLAIN, "vlan", tag=201)],
         near=private("isolated", 201), far=private("promiscuous", "201-202"), far_is="vport"),
    Case("community and promiscuous", [Sent(PLAIN), In(PLAIN), Sent(broadcast(PLAIN)), In(broadcast(PLAIN))],
         near=private("community", 202), far=private("promiscuous", "201-202"), far_is="vport"),
    Case("not its secondary", [Sent(PLAIN, "vlan"), In(PLAIN)],
         near=private("community", 203), far=private("promiscuous", "201-202"), far_is="vport"),
    Case("isolated and isolated", [Sent(PLAIN, "vlan"), In(PLAIN, "vlan"), Sent(broadcast(PLAIN), "no-route")],
         near=private("isolated", 201), far=private("isolated", 201), far_is="vport"),
    Case("one community", [Sent(PLAIN), In(PLAIN), Sent(broadcast(PLAIN))],
         near=private("community", 202), far=private("community", 202), far_is="vport"),
    Case("two communities", [Sent(PLAIN, "vlan"), In(PLAIN, "vlan"), Sent(broadcast(PLAIN), "no-route")],
         near=private("community", 202), far=private("community", 203), far_is="vport"),
    Case("isolated and community", [Sent(PLAIN, "vlan"), In(PLAIN, "vlan")],
         near=private("isolated", 201), far=private("community", 202), far_is="vport"),
    # RFC 5517: to the promiscuous ones with the secondary tag, from them with the primary one.
    Case("isolated outside", [Sent(PLAIN, comes=201), In(PLAIN, tag=10), In(broadcast(PLAIN), tag=10),
                              In(PLAIN, "vlan", tag=201), In(PLAIN, "vlan", tag=202)],
         near=private("isolated", 201), far={"trunk": "10,201-202"}, far_is="uplink"),
    Case("community outside", [Sent(PLAIN, comes=202), In(PLAIN, tag=10), In(PLAIN, tag=202), In(PLAIN, "vlan", tag=201)],
         near=private("community", 202), far={"trunk": "10,201-202"}, far_is="uplink"),
    Case("promiscuous outside", [In(PLAIN, tag=201), Sent(PLAIN, comes=10), In(PLAIN, tag=202), In(PLAIN, tag=10),
                                 In(broadcast(PLAIN), tag=201), In(PLAIN, "vlan", tag=203)],
         near=private("promiscuous", "201-202"), far={"trunk": "10,201-203"}, far_is="uplink"),
    Case("apart", [Sent(PLAIN, "vlan"), In(PLAIN, "vlan"), Sent(broadcast(PLAIN), "no-route")],
         near={"vlan": 10}, far={"vlan": 20, "trunk": "none"}),
    # The list of rules of the near vport; the order is tested in src/switch/acl_test.c.
    Case("acl deny in", [In(PLAIN, "acl"), In(v6(udp, 1, 2)), In(ASKS), Sent(PLAIN)],
         objects=acl(direction="in", action="deny", remote="10.0.0.0/8")),
    Case("acl deny out", [Sent(PLAIN, "acl"), Sent(v6(udp, 1, 2)), Sent(ASKS), In(PLAIN)],
         objects=acl(direction="out", action="deny", local="10.0.0.0/8")),
    Case("acl deny IPv6", [In(PLAIN), In(v6(udp, 1, 2), "acl"), In(v6(udp, 1, 2, source=LINK_LOCAL))],
         objects=acl(direction="in", action="deny", remote="::/64")),
    Case("acl deny any", [In(PLAIN, "acl"), In(ASKS, "acl"), In(broadcast(PLAIN), "acl"), Sent(PLAIN)],
         objects=acl(direction="in", action="deny")),
    Case("acl deny MAC", [Sent(broadcast(PLAIN), "acl"), Sent(broadcast(ASKS), "acl"), Sent(PLAIN)],
         objects=acl(direction="out", action="deny", remote="ff:ff:ff:ff:ff:ff")),
    Case("acl most specific", [In(PLAIN), In(udp(1, 2, source=bytes([10, 0, 0, 9])), "acl")],
         objects={**acl(direction="in", action="deny", remote="10.0.0.0/8"),
                  ("acl", "NEAR/b"): {"direction": "in", "action": "allow", "remote": "10.0.0.1"}}),
    Case("acl weight", [In(tcp(1, 80)), In(tcp(1, 81), "acl"), In(v6(tcp, 1, 80)), In(v6(tcp, 1, 81), "acl"),
                        In(udp(1, 80)), In(icmp(8))],
         objects={**acl(direction="in", action="deny", weight=1, protocol="tcp"),
                  ("acl", "NEAR/b"): {"direction": "in", "action": "allow", "weight": 2, "protocol": "tcp",
                                      "local-port": "80"}}),
    Case("acl remote port", [Sent(tcp(1, 25), "acl"), Sent(tcp(25, 1)), In(tcp(25, 1))],
         objects=acl(direction="out", action="deny", weight=9, protocol="tcp", remote_port="20-30")),
    # The opener's side sends from A to B, its answers come from B to A.
    Case("acl stateful out", [
        In(answer(tcp, 80, 1000, 0x12), "acl"), Sent(tcp(1000, 80)), In(answer(tcp, 80, 1000, 0x12)),
        Sent(tcp(1000, 80, 0x10)), In(answer(tcp, 80, 1000, 0x10, b"data")), In(answer(tcp, 80, 1001, 0x10), "acl"),
        In(answer(tcp, 81, 1000, 0x10), "acl"), In(answer(tcp, 80, 1000, 0x02), "acl"), In(tcp(1000, 80, 0x10), "acl"),
        Sent(udp(1000, 53)), In(answer(udp, 53, 1000)), In(answer(udp, 53, 1001), "acl"),
        In(answer(icmp, 0), "acl"), Sent(icmp(8)), In(answer(icmp, 0)), In(answer(icmp, 8), "acl"), Sent(v6(udp, 1000, 53)), In(v6(udp, 53, 1000, source=B6, to=A6)),
        In(v6(udp, 53, 1000), "acl"), Sent(ASKS), In(arp(2, B4, A4)),
        # Closed: what closes it still passes; aborted: nothing more.
        Sent(tcp(1000, 80, 0x11)), In(answer(tcp, 80, 1000, 0x11)), Sent(tcp(1000, 80, 0x10)),
        In(answer(tcp, 80, 1000, 0x10)), In(answer(tcp, 80, 1000, 0x12), "acl"),
        Sent(tcp(1000, 80)), In(answer(tcp, 80, 1000, 0x12)), Sent(tcp(1000, 80, 0x04)),
        In(answer(tcp, 80, 1000, 0x10), "acl")],
         objects={**acl(direction="out", action="allow", weight=10, stateful=True),
                  ("acl", "NEAR/b"): {"direction": "in", "action": "deny", "weight": 1, "remote": "0.0.0.0/0"},
                  ("acl", "NEAR/c"): {"direction": "in", "action": "deny", "weight": 1, "remote": "::/0"}}),
    Case("acl stateful in", [
        Sent(answer(tcp, 80, 1000, 0x12), "acl"), In(tcp(1000, 80)), Sent(answer(tcp, 80, 1000, 0x12)),
        Sent(answer(tcp, 80, 1001, 0x12), "acl"), Sent(tcp(5, 6), "acl"), In(udp(1000, 80)),
        Sent(answer(udp, 80, 1000), "acl")],
         objects={**acl(direction="in", action="allow", weight=10, protocol="tcp", local_port="80", stateful=True),
                  ("acl", "NEAR/b"): {"direction": "out", "action": "deny", "remote": "0.0.0.0/0"}}),
    Case("acl stateful overruled", [Sent(tcp(1000, 80)), In(answer(tcp, 80, 1000, 0x12), "acl")],
         objects={**acl(direction="out", action="allow", weight=10, stateful=True),
                  ("acl", "NEAR/b"): {"direction": "in", "action": "deny", "weight": 11, "protocol": "tcp"}}),
    # Programs of others; whose port it is makes no difference but where it is said.
    Case("extension ingress", [Sent(udp(1, 7), "extension"), Sent(udp(1, 8)), Sent(v6(tcp, 1, 7), "extension"), Sent(ASKS),
                               In(tcp(1, 7), "extension"), In(udp(7, 8)), Sent(broadcast(udp(1, 7)), "extension")],
         objects=extension(NO_PORT_7)),
    Case("extension egress", [Sent(udp(1, 7), "extension"), Sent(udp(1, 8)), Sent(v6(tcp, 1, 7), "extension"), Sent(ASKS),
                              In(tcp(1, 7), "extension"), In(udp(7, 8)), Sent(broadcast(udp(1, 7)), "extension")],
         objects=extension(NO_PORT_7, "egress")),
    Case("extension of a port", [Sent(udp(1, 7), "extension"), In(udp(1, 7))], objects=extension(NO_PORT_7, vport="NEAR")),
    Case("extension of a port, egress", [Sent(udp(1, 7)), In(udp(1, 7), "extension")],
         objects=extension(NO_PORT_7, "egress", vport="NEAR")),
    Case("extension of an uplink", [Sent(udp(1, 7)), In(udp(1, 7), "extension")],
         objects=extension(NO_PORT_7, uplink="FAR"), far_is="uplink"),
    Case("two extensions", [Sent(udp(1, 7), "extension"), Sent(udp(1, 8), "extension"), Sent(udp(1, 9))],
         objects={**extension(NO_PORT_7), **extension(NO_PORT_8, name="NEAR-y")}),
    Case("extension and tag", [Sent(udp(1, 7), "extension", tag=10), Sent(udp(1, 8), tag=10, comes=10)],
         near={"trunk": "10"}, far={"trunk": "10"}, objects=extension(NO_PORT_7)),
    Case("extension before rules", [Sent(udp(1, 7), "extension"), Sent(udp(1, 8), "acl"), In(udp(1, 7), "acl")],
         objects={**acl(direction="out", action="deny"), ("acl", "NEAR/b"): {"direction": "in", "action": "deny"},
                  **extension(NO_PORT_7, vport="NEAR"), **extension(NO_PORT_7, "egress", "NEAR-y", vport="NEAR")}),
    Case("extension redirects to a vport", [Sent(to_itself(udp(1, 7))), Sent(to_itself(udp(1, 8)), "no-route"), Sent(udp(1, 8)),
                                            In(udp(1, 7))],
         objects=extension(TO_VPORT, vport="NEAR", to_vport="FAR"), far_is="vport"),
    Case("extension redirects to an uplink", [Sent(to_itself(udp(1, 7))), Sent(to_itself(udp(1, 8)), "no-route"), Sent(udp(1, 8)),
                                              In(udp(1, 7))],
         objects=extension(TO_UPLINK, vport="NEAR", to_uplink="FAR"), far_is="uplink", promiscuous=True),
    Case("extension redirects inward", [In(to_itself(udp(1, 7))), In(to_itself(udp(1, 8)), "no-route")],
         objects=extension(TO_VPORT, uplink="FAR", to_vport="NEAR"), far_is="uplink"),
    Case("extension redirects nowhere", [Sent(udp(1, 7), "extension"), Sent(udp(1, 8))],
         objects=extension(TO_VPORT, vport="NEAR")),
    Case("extension redirects to where it comes from", [Sent(udp(1, 7), "no-route"), Sent(udp(1, 8))],
         objects=extension(TO_VPORT, vport="NEAR", to_vport="NEAR")),
    Case("extension redirects into another VLAN", [Sent(udp(1, 7), "vlan")],
         near={"vlan": 10}, far={"vlan": 20}, objects=extension(TO_VPORT, vport="NEAR", to_vport="FAR"), far_is="vport"),
    Case("extension redirects to one that denies", [Sent(udp(1, 7), "acl")],
         objects={("acl", "FAR/a"): {"direction": "in", "action": "deny"},
                  **extension(TO_VPORT, vport="NEAR", to_vport="FAR")}, far_is="vport"),
    # What the third port was about to get.
    Case("extension at egress redirects to a vport", [Sent(for_third(udp(1, 7)), times=3), Sent(udp(1, 8), third=True), Sent(udp(1, 7)),
                                                      Sent(for_third(v6(tcp, 1, 7))), In(udp(1, 7)), In(for_third(udp(1, 7)), "no-route")],
         **turned({}, program=TO_VPORT, to_vport="FAR"), far_is="vport"),
    Case("extension at egress redirects to an uplink", [Sent(for_third(udp(1, 7)), times=3), Sent(udp(1, 8), third=True),
                                                        In(for_third(udp(1, 7)), "no-route"), In(udp(1, 7))],
         **turned({}, program=TO_UPLINK, to_uplink="FAR"), far_is="uplink", promiscuous=True),
    Case("extension at egress redirects inward", [In(for_third(udp(1, 7))), In(udp(1, 8), third=True),
                                                  Sent(for_third(udp(1, 7)), "no-route")],
         **turned({}, program=TO_VPORT, to_vport="NEAR"), far_is="uplink"),
    Case("extension at egress redirects nowhere", [Sent(for_third(udp(1, 7)), "extension"), Sent(udp(1, 8), third=True)],
         **turned({}, program=TO_VPORT)),
    Case("extension at egress redirects to where it is", [Sent(udp(1, 7), third=True), Sent(udp(1, 8), third=True)],
         **turned({}, program=TO_VPORT, to_vport="THIRD")),
    Case("extension at egress redirects into another VLAN", [Sent(for_third(udp(1, 7)), "vlan", tag=10),
                                                             Sent(udp(1, 8), third=True, tag=10)],
         near={"trunk": "10"}, far={"vlan": 20}, third={"vlan": 10},
         objects=extension(TO_VPORT, "egress", vport="THIRD", to_vport="FAR"), far_is="vport"),
    Case("extension at egress redirects with its tag", [Sent(for_third(udp(1, 7)), tag=10, comes=10)],
         near={"trunk": "10"}, far={"trunk": "10"}, third={"vlan": 10},
         objects=extension(TO_VPORT, "egress", vport="THIRD", to_vport="FAR"), far_is="vport"),
    Case("extension at egress redirects to one that denies", [Sent(for_third(udp(1, 7)), "acl"), Sent(udp(1, 8), third=True)],
         **turned({("acl", "FAR/a"): {"direction": "in", "action": "deny"}}, program=TO_VPORT, to_vport="FAR"), far_is="vport"),
    # Beside what the target gets itself.
    Case("extension at egress redirects what is flooded", [Sent(broadcast(udp(1, 7)), copies=2)],
         **turned({}, program=TO_VPORT, to_vport="FAR"), far_is="vport"),
    Case("extensions redirect once", [Sent(for_third(udp(1, 7)), "extension"), Sent(udp(1, 7), "extension")],
         **turned(extension(TO_VPORT, "egress", "NEAR-y", vport="FAR", to_vport="THIRD"), program=TO_VPORT, to_vport="FAR"), far_is="vport"),
    Case("extensions redirect once, at ingress before", [Sent(udp(1, 7), "extension"), Sent(for_third(udp(1, 8)), third=True)],
         **turned(extension(TO_VPORT, name="NEAR-y", vport="NEAR", to_vport="THIRD"), program=TO_VPORT, to_vport="FAR"), far_is="vport"),
    # RFC 1858, 3: a TCP header that the next fragment brings.
    Case("acl tiny fragment", [Sent(ip(TCP, bytes(8), fragment=0x2000), "obscure-headers"), In(PLAIN)],
         objects=acl(direction="out", action="deny", weight=9, protocol="tcp", remote_port="25")),
    # Classification: marks.
    Case("qos dscp", [Marked(udp, 1, 2, tos=EF), Marked(udp, 1, 2, b"", tos=EF), Marked(v6, udp, 1, 2, tos=EF),
                      Marked(icmp, 8, tos=EF), Sent(ASKS), In(PLAIN), Sent(IN_PADDING, "obscure-headers")],
         objects=qos(set_dscp=46)),
    # What ECN says stays.
    Case("qos dscp and ECN", [Sent(udp(1, 2, tos=0xff), becomes=udp(1, 2, tos=3)), Sent(v6(udp, 1, 2, tos=2), becomes=v6(udp, 1, 2, tos=2))],
         objects=qos(set_dscp=0)),
    Case("qos 5-tuple", [Marked(tcp, 1000, 80, tos=EF), Sent(tcp(1000, 81)), Sent(tcp(80, 80)), Sent(udp(1000, 80)),
                         Sent(tcp(1000, 80, source=bytes([10, 0, 0, 3]))), Sent(tcp(1000, 80, to=bytes([10, 0, 1, 2]))),
                         Sent(v6(tcp, 1000, 80)), Sent(ip(TCP, bytes(20), fragment=3))],
         objects=qos(protocol="tcp", source="10.0.0.0/31", destination="10.0.0.2", source_port="1000-2000", destination_port="80",
                     set_dscp=46)),
    Case("qos IPv6", [Marked(v6, udp, 1, 2, tos=EF), Sent(v6(udp, 1, 2, to=LINK_LOCAL)), Sent(PLAIN)],
         objects=qos(destination="::/64", set_dscp=46)),
    Case("qos port", [Marked(tcp, 53, 9, tos=EF), Marked(udp, 9, 53, tos=EF), Sent(udp(54, 9)), Sent(icmp(53))],
         objects=qos(port=53, set_dscp=46)),
    *(Case(f"qos {word}", [Marked(tcp, 1000, port, tos=EF), Marked(v6, tcp, port, 1000, tos=EF), Sent(udp(1000, port)),
                           Sent(tcp(1000, port + 1))], objects=qos(filter=word, set_dscp=46))
      for word, port in (("iscsi", 3260), ("nfs", 2049), ("smb", 445), ("live-migration", 6600))),
    Case("qos by DSCP", [Sent(udp(1, 2, tos=EF), becomes=udp(1, 2, tos=32)), Sent(udp(1, 2, tos=EF + 1), becomes=udp(1, 2, tos=33)),
                         Sent(udp(1, 2, tos=EF + 4)), Sent(PLAIN)],
         objects=qos(dscp=46, set_dscp=8)),
    Case("qos of the switch", [Marked(udp, 1, 2, tos=EF), In(PLAIN)], far_is="uplink",
         objects=qos(vport=None, protocol="udp", set_dscp=46)),
    Case("qos others", [Marked(udp, 1, 2, tos=8 << 2), Marked(tcp, 1, 2, tos=EF)],
         objects={**qos(filter="others", precedence=255, set_dscp=8), **qos("r", protocol="tcp", precedence=0, set_dscp=46)}),
    Case("qos precedence", [Marked(tcp, 1, 80, tos=EF), Marked(tcp, 1, 81, tos=32)],
         objects={**qos(protocol="tcp", destination_port="80", set_dscp=46, precedence=128),
                  **qos("r", protocol="tcp", destination_port="80", set_dscp=9), **qos("s", protocol="tcp", set_dscp=8)}),
    Case("qos behind rules", [Sent(tcp(1, 80), "acl"), Marked(tcp, 1, 81, tos=EF)],
         objects={**qos(set_dscp=46), **acl(direction="out", action="deny", weight=1, protocol="tcp", remote_port="80")}),
    Case("qos priority", [Sent(PLAIN, tag=10, comes=PRIORITY | 10), Sent(PLAIN, tag=0x6000 | 10, comes=PRIORITY | 10), Sent(tcp(1, 2), tag=10, comes=10),
                          Sent(PLAIN), Sent(ASKS, tag=10, comes=10), In(PLAIN, tag=10, comes=10)],
         near={"trunk": "10"}, far={"trunk": "10"}, objects=qos(protocol="udp", set_priority=5)),
    Case("qos priority of an access port", [Sent(PLAIN, comes=PRIORITY | 10), Sent(ASKS, comes=PRIORITY | 10)],
         near={"vlan": 10}, far={"trunk": "10"}, objects=qos(set_priority=5)),
    Case("qos by priority", [Sent(PLAIN, tag=PRIORITY | 10, comes=PRIORITY | 10, becomes=udp(1111, 2222, tos=160)), Sent(PLAIN, tag=10, comes=10)],
         near={"trunk": "10", "ieee-priority-tag": True}, far={"trunk": "10"}, objects=qos(priority=5, set_dscp=40)),
    Case("qos by priority that does not count", [Sent(PLAIN, tag=PRIORITY | 10, comes=10)],
         near={"trunk": "10"}, far={"trunk": "10"}, objects=qos(priority=5, set_dscp=40)),
    Case("priority tag", [Sent(PLAIN, comes=PRIORITY), Sent(tcp(1, 2)), In(PLAIN)], far={"priority-tag": True}, far_is="uplink",
         objects=qos(protocol="udp", set_priority=5)),
    Case("priority tag of the VM", [Sent(PLAIN, tag=PRIORITY, comes=PRIORITY), Sent(PLAIN)], near={"ieee-priority-tag": True},
         far={"priority-tag": True}, far_is="uplink"),
]


def replaced(value, ends):
    """With NEAR, FAR and SWITCH as they are called."""
    if isinstance(value, Program):
        return value.path
    if not isinstance(value, str):
        return value
    for word, name in (("NEAR", ends.near_name), ("FAR", ends.far_name), ("THIRD", ends.third_name), ("SWITCH", ends.path)):
        value = value.replace(word, name)
    return value


def vids_of(fields):
    trunk = fields.get("trunk", "none")
    return [int(vid) for vid in trunk.split(",")] if trunk.replace(",", "").isdigit() else []


class Ends:
    """A path: its two ports, what is set on them and what they count."""

    def __init__(self, daemon, path):
        self.daemon, self.path = daemon, path
        self.near_name, self.far_name, self.third_name = path + "-near", path + "-far", path + "-third"
        self.far_type = "uplink" if PATHS[path][1] == "uplink" else "vport"
        self.names = (("vport", self.near_name), (self.far_type, self.far_name), ("vport", self.third_name))
        self.near = self.far = self.third = None

    def change(self, case):
        """Returns what takes it back."""
        before = []
        for (kind, name), fields in zip(self.names, (case.near, case.far, case.third)):
            if fields:
                shown = self.daemon.show(kind, name)
                before.append((kind, name, {key: shown[key] for key in fields}))
                self.daemon.call(kind + ".set", name=name, **fields)
        for (kind, name), fields in case.objects.items():
            self.daemon.call(kind + ".add", name=replaced(name, self),
                             **{key: replaced(value, self) for key, value in fields.items()})
        if self.far_type == "uplink":
            self.far.wire.promiscuous = case.promiscuous
        self.near.restart(vids_of(case.near))
        self.far.restart(vids_of(case.far))
        return before

    def undo(self, case, before):
        for kind, name in reversed(case.objects):
            self.daemon.call(kind + ".del", name=replaced(name, self))
        for kind, name, fields in before:
            self.daemon.call(kind + ".set", name=name, **fields)

    def drops(self):
        total = {}
        for kind, name in self.names:
            for reason, n in self.daemon.show(kind, name)["drop-reasons"].items():
                total[reason] = total.get(reason, 0) + n
        return total

    def check(self, sent):
        """Send a frame; what arrives, and what is counted."""
        source, target = (self.far, self.near) if sent.inward else (self.near, self.far)
        if sent.third:
            target = self.third
        before = self.drops()
        frame = sent.packet(target.mac, source.mac)
        tag = b"" if sent.tag is None else struct.pack(">HH", 0x8100, sent.tag)
        for _ in range(sent.times):
            source.send_bytes(frame[:12] + tag + frame[12:])
        if sent.drop is None:
            expected = (sent.becomes or sent.packet)(target.mac, source.mac)
            n = sent.times * sent.copies
            got = target.receive(n)
            assert [(one.data, one.vlan) for one in got] == [(expected, sent.comes)] * n
        want = {} if sent.drop is None else {sent.drop: sent.times}
        assert wait_until(lambda: self.gained(before) == want), self.gained(before)
        for port in (target, self.third):
            assert not port.receive(1, 0), "more arrives than should"

    def gained(self, before):
        return {reason: n - before.get(reason, 0) for reason, n in self.drops().items() if n != before.get(reason, 0)}


class World:
    def __init__(self, daemon, wires):
        self.ends = {path: Ends(daemon, path) for path in PATHS}
        self.daemon, self.ports = daemon, {}
        numbers = itertools.count(1)
        for path, kinds in PATHS.items():
            daemon.call("switch.add", name=path)
            for role, kind in zip(("near", "far"), kinds):
                address = b"\2\0\0\0\0" + bytes([next(numbers)])
                self.add(daemon, wires, path, f"{path}-{role}", kind, address)
            self.add(daemon, wires, path, path + "-third", "split", THIRD, vlan=THIRD_VLAN)
        vports = {vport["name"]: vport for vport in daemon.call("vport.show")}
        # A new connection waits for a second's tick of the vhost library.
        with concurrent.futures.ThreadPoolExecutor(len(vports)) as pool:
            self.ports |= zip(vports, pool.map(self.open, vports.values()))
        for ends in self.ends.values():
            ends.near, ends.far, ends.third = (self.ports[name] for _, name in ends.names)

    def add(self, daemon, wires, path, name, kind, address, **fields):
        if kind == "uplink":
            wire = wires.add(f"w{address[5]}", address, WIRE_MTU)
            daemon.call("uplink.add", name=name, switch=path, device=wire.device, trunk="none")
            self.ports[name] = UplinkPort(wire)
            return
        fields |= {"iov": False} if kind in SYNTHETICS else {"model": kind}
        daemon.call("vport.add", name=name, switch=path, mac=address.hex(":"), synthetic=kind in SYNTHETICS, **fields)

    def open(self, vport):
        path, _, role = vport["name"].rpartition("-")
        kind = "split" if role == "third" else PATHS[path][role == "far"]
        return SyntheticPort(vport, SYNTHETICS[kind], virtio.TAKES_CSUM) if kind in SYNTHETICS else VfPort(vport, kind)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with opened(World, tmp_path_factory) as world:
        yield world


# What contradicts itself: what is set on a vport as it was added, the field that is blamed, what is said.
REFUSED = [
    ({"private-vlan": "isolated", "secondary-vlans": "201"}, "vlan", "needs its primary VLAN"),
    ({"vlan": 10, "private-vlan": "isolated"}, "secondary-vlans", "needs a secondary VLAN"),
    ({"vlan": 10, "private-vlan": "promiscuous"}, "secondary-vlans", "needs a secondary VLAN"),
    ({"vlan": 10, "private-vlan": "community", "secondary-vlans": "201,203"}, "secondary-vlans", "only promiscuous"),
    ({"vlan": 10, "private-vlan": "promiscuous", "secondary-vlans": "9-11"}, "secondary-vlans", "10 is the primary"),
    ({"vlan": 10, "secondary-vlans": "201"}, "secondary-vlans", "set private-vlan"),
    ({"vlan": 10, "private-vlan": "isolated", "secondary-vlans": "201", "trunk": "20"}, "trunk", "is no trunk"),
    ({"addresses": "10.0.0.1/24"}, "addresses", "10.0.0.0/24"),
    ({"addresses": "any"}, "addresses", "`none`, or IPv4 and IPv6 addresses"),
    ({"addresses": ",".join(f"10.0.0.{i}" for i in range(33))}, "addresses", "at most 32"),
    ({"mac-limit": 0}, "mac-limit", "from 1 to 65536"),
    ({"private-vlan": "private"}, "private-vlan", "isolated"),
    ({"secondary-vlans": "4095"}, "secondary-vlans", "ranges"),
]


@pytest.mark.parametrize("fields, field, text", REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_refused(world, fields, field, text):
    """With the field, its value and what to do, and nothing has changed."""
    daemon, name = world.daemon, "vf-to-vf-near"
    before = daemon.show("vport", name)
    with pytest.raises(RpcError, match=text) as refusal:
        daemon.call("vport.set", name=name, **fields)
    value = fields.get(field, before[field])
    assert refusal.value.data["field"] == field
    assert str(value).startswith(refusal.value.data["value"].removesuffix("..."))  # long ones are cut
    after = daemon.show("vport", name)
    assert {key: after[key] for key in fields} == {key: before[key] for key in fields}


CELLS = [pytest.param(case, path, id=f"{case.name.replace(' ', '-')}-{path}") for case in CASES for path in PATHS
         if case.far_is in (None, "uplink" if PATHS[path][1] == "uplink" else "vport")]


@pytest.mark.parametrize("case, path", CELLS)
def test_policy(world, case, path):
    ends = world.ends[path]
    before = ends.change(case)
    try:
        for sent in case.frames:
            ends.check(sent)
    finally:
        ends.undo(case, before)


LONG = udp(1111, 2222, bytes(1400))  # of which 1 kbit/s lets one pass in 11 s


def check_waits(ends, case, kind, name, field):
    """At 1 kbit/s a second frame waits, the other direction is free, and it arrives when the limit is lifted."""
    before, drops = ends.change(case), ends.drops()
    with concurrent.futures.ThreadPoolExecutor(1) as sender:
        try:
            frame = LONG(ends.far.mac, ends.near.mac)
            ends.near.send_bytes(frame)
            assert [one.data for one in ends.far.receive(1)] == [frame]
            second = sender.submit(ends.near.send_bytes, frame)  # returns when the frame was taken
            assert not ends.far.receive(1, 0.2)
            ends.check(In(PLAIN))
            assert not second.done()
            ends.daemon.call(f"{kind}.set", name=name, **{field: "1gbit"})
            second.result()
        finally:
            ends.undo(case, before)
    assert [one.data for one in ends.far.receive(1)] == [frame]
    assert ends.drops() == drops
    return len(frame)


@pytest.mark.parametrize("path", PATHS)
def test_max_rx(world, path):
    """Once there is a token a frame passes, and the next one finds none for a long time."""
    case = Case("max-rx", [In(LONG), In(LONG, "policed", times=3)], near={"max-rx": 1000, "burst": 1})
    ends = world.ends[path]
    counted = ends.daemon.show("vport", ends.near_name)
    before = ends.change(case)
    try:
        time.sleep(0.01)  # a byte's time: sooner the bucket is as empty as it begins
        for sent in case.frames:
            ends.check(sent)
    finally:
        ends.undo(case, before)
    shown = ends.daemon.show("vport", ends.near_name)
    size = len(LONG(bytes(6), bytes(6)))
    assert shown["rx-policed-frames"] - counted["rx-policed-frames"] == 3
    assert shown["rx-policed-bytes"] - counted["rx-policed-bytes"] == 3 * size


@pytest.mark.parametrize("path", [path for path, kinds in PATHS.items() if kinds[1] == "uplink"])
def test_min_rx(world, path):
    """What uplinks bring is divided as soon as somebody has a part of it: what exceeds it is dropped. What comes from another
    vport is free."""
    case = Case("min-rx", [In(LONG), In(LONG, "policed", times=3)], near={"min-rx": 1000}, far={"max-rate": 1000},
                third={"vlan": 0})
    ends = world.ends[path]
    before = ends.change(case)
    try:
        time.sleep(0.05)  # before it is first divided, after 20 ms, everybody may have what there is
        for sent in case.frames:
            ends.check(sent)
        frame = LONG(ends.near.mac, ends.third.mac)
        ends.third.send_bytes(frame)
        assert [one.data for one in ends.near.receive(1)] == [frame]
    finally:
        ends.undo(case, before)
    ends.check(In(LONG, times=3))


@pytest.mark.parametrize("path", PATHS)
def test_max_tx(world, path):
    """What a vport may not send now waits in its own queue: nothing is dropped, and all arrives when it may."""
    case = Case("max-tx", [], near={"max-tx": 1000, "burst": 1})
    ends = world.ends[path]
    counted = ends.daemon.show("vport", ends.near_name)
    size = check_waits(ends, case, "vport", ends.near_name, "max-tx")
    shown = ends.daemon.show("vport", ends.near_name)
    assert shown["tx-waited-frames"] - counted["tx-waited-frames"] >= 1
    assert shown["tx-waited-bytes"] - counted["tx-waited-bytes"] >= size


@pytest.mark.parametrize("path", PATHS)
def test_storm_limit(world, path):
    """As many as it says in any second, and as many more at the start; the others are counted. Known unicast is free."""
    ends, limit, n = world.ends[path], 5, 60
    case = Case("storm", [], near={"storm-limit": limit})
    before = ends.change(case)
    try:
        drops, start = ends.drops(), time.monotonic()
        unknown = PLAIN(FOREIGN, ends.near.mac)
        for i in range(n):
            ends.near.send_bytes(broadcast(PLAIN)(None, ends.near.mac) if i % 2 else unknown)
        assert wait_until(lambda: ends.gained(drops).get("storm", 0) >= n - limit - limit * (time.monotonic() - start) - 1)
        assert ends.gained(drops)["storm"] <= n - limit
        ends.far.receive(n, 0)
        # The far end of a wire has to be heard of first, or frames to it are unknown unicast.
        ends.check(In(PLAIN))
        ends.check(Sent(PLAIN, times=3 * limit))
    finally:
        ends.undo(case, before)


def test_connections_without_memory(world):
    """As many as there is memory for, and it is said; nothing waits for more."""
    ends = world.ends["vf-to-vf"]
    call, vport = ends.daemon.call, ends.near_name
    case = Case("stateful", [], objects=acl(direction="out", action="allow", weight=1, stateful=True))
    before = ends.change(case)
    with open(f"/proc/{ends.daemon.pid}/statm", encoding="ascii") as file:
        mapped = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limits = resource.prlimit(ends.daemon.pid, resource.RLIMIT_AS)
    try:
        # A table for all that may be asked for is larger than that.
        resource.prlimit(ends.daemon.pid, resource.RLIMIT_AS, (mapped + (64 << 20), limits[1]))
        call("vport.set", name=vport, **{"max-connections": 4194304})
        assert any("there is no memory for 4194304 connections" in event["text"] for event in call("event.show"))
        ends.check(Sent(tcp(1, 80)))
        assert ends.daemon.show("vport", vport)["connections"] == 1
    finally:
        resource.prlimit(ends.daemon.pid, resource.RLIMIT_AS, limits)
        call("vport.set", name=vport, **{"max-connections": 65536})
        ends.undo(case, before)


@pytest.mark.parametrize("path", PATHS)
def test_throttle(world, path):
    """What the policy is for has one bucket; other frames are free. What it decided on is counted."""
    frames = [Sent(LONG), Sent(LONG, "throttled", times=3), Sent(tcp(1, 2)), In(LONG)]
    case = Case("throttle", frames, objects=qos(protocol="udp", throttle=1000, set_dscp=0))
    ends = world.ends[path]
    before = ends.change(case)
    try:
        time.sleep(0.01)  # a byte's time: sooner the bucket is as empty as it begins
        for sent in case.frames:
            ends.check(sent)
        shown = ends.daemon.show("qos-policy", f"{path}/q")
        size = len(LONG(bytes(6), bytes(6)))
        assert (shown["frames"], shown["bytes"], shown["throttled"]) == (4, 4 * size, 3)
        # Other fields change, and it stays as empty as it is; without the limit all passes.
        ends.daemon.call("qos-policy.set", name=f"{path}/q", precedence=3)
        ends.check(Sent(LONG, "throttled"))
        ends.daemon.call("qos-policy.set", name=f"{path}/q", throttle=0)
        ends.check(Sent(LONG, times=3))
    finally:
        ends.undo(case, before)


METERS = {"in": {"direction": "in"}, "in-net": {"direction": "in", "remote": "10.0.0.0/8"},
          "out": {"direction": "out"}, "out6": {"direction": "out", "remote": "::/0"}}


@pytest.mark.parametrize("path", PATHS)
def test_meters(world, path):
    """Frames and bytes by the most specific address, also of what rules allow; a reset begins anew."""
    ends = world.ends[path]
    vport, call = ends.near_name, ends.daemon.call
    case = Case("meters", [], objects={("acl", f"NEAR/{name}"): {"action": "meter", **fields}
                                       for name, fields in METERS.items()})
    case.objects["acl", "NEAR/deny"] = {"direction": "in", "action": "deny", "weight": 1, "protocol": "tcp"}
    before = ends.change(case)
    size = {version: len(packet(bytes(6), bytes(6))) for version, packet in ((4, PLAIN), (6, v6(udp, 1, 2)))}
    try:
        for sent in (Sent(PLAIN, times=2), Sent(v6(udp, 1, 2)), In(PLAIN), In(v6(udp, 1, 2), times=3), In(tcp(1, 2), "acl")):
            ends.check(sent)
        counted = {meter["name"]: (meter["frames"], meter["bytes"]) for meter in call("meter.show", name=vport)}
        assert counted == {f"{vport}/in": (3, 3 * size[6]), f"{vport}/in-net": (1, size[4]),
                           f"{vport}/out": (2, 2 * size[4]), f"{vport}/out6": (1, size[6])}
        call("meter.reset", name=f"{vport}/in")
        ends.check(In(v6(udp, 1, 2)))
        shown = {meter["name"]: meter for meter in call("meter.show")}
        assert shown[f"{vport}/in"]["bytes"] == size[6] and shown[f"{vport}/out"]["bytes"] == 2 * size[4]
        # What else changes leaves counters as they are.
        call("acl.set", name=f"{vport}/deny", weight=2)
        call("acl.add", name=f"{vport}/other", direction="out", action="meter", remote="192.168.0.0/16")
        call("acl.del", name=f"{vport}/other")
        assert call("meter.show", name=f"{vport}/out")[0]["bytes"] == 2 * size[4]
        assert wait_until(lambda: call("meter.show", name=f"{vport}/out")[0].get("maximum") is not None)
        call("meter.reset")
        assert not any(meter["bytes"] for meter in call("meter.show"))
        with pytest.raises(RpcError, match="there is no such meter, nor a vport with one"):
            call("meter.reset", name="nobody")
    finally:
        ends.undo(case, before)


@pytest.mark.parametrize("path", [path for path, kinds in PATHS.items() if kinds[1] == "uplink"])
def test_uplink_max_rate(world, path):
    """What an uplink does not carry waits in the vports' own queues."""
    case = Case("max-rate", [], far={"max-rate": 1000})
    check_waits(world.ends[path], case, "uplink", world.ends[path].far_name, "max-rate")


def test_bad_rates(world):
    """Minima that cannot be kept, and rates that make no sense, change nothing and say why."""
    ends = world.ends["vf-to-uplink"]
    call, vport, uplink, switch = ends.daemon.call, ends.near_name, ends.far_name, ends.path
    fields = ("min-tx", "weight", "max-tx", "min-rx")

    def refused(method, name, line, **fields):
        with pytest.raises(RpcError) as caught:
            call(method, name=name, **{key.replace("_", "-"): value for key, value in fields.items()})
        assert line in caught.value.message

    call("vport.add", name="other", switch=switch, iov=False)
    was = ends.daemon.show("vport", vport)
    try:
        call("uplink.set", name=uplink, **{"max-rate": "100mbit"})
        refused("vport.set", vport, "min-tx: '101mbit' is not allowed: at most 100mbit, which is all that the switch's "
                "uplinks carry", min_tx="101mbit")
        call("vport.set", name="other", **{"min-tx": "60mbit"})
        refused("vport.set", vport, "the minima for sending of the switch would add up to 101mbit, and its uplinks carry 100mbit",
                min_tx="41mbit")
        refused("vport.add", "third", "would add up to 110mbit", switch=switch, iov=False, min_tx="50mbit")
        call("vport.set", name=vport, **{"min-tx": "30mbit"})
        refused("switch.set", switch, "would add up to 101mbit", default_min="11mbit")
        call("switch.set", name=switch, **{"default-min": "10mbit"})
        refused("uplink.set", uplink, "the minima for sending of the switch would add up to 100mbit, and its uplinks carry 99mbit",
                max_rate="99mbit")
        # Of one change it is the whole that counts, whichever object comes first.
        objects = call("config.export")["objects"]
        objects["vport"]["other"]["min-tx"], objects["vport"][vport]["min-tx"] = "30mbit", "60mbit"
        call("config.apply", objects=objects)
        objects["vport"]["other"]["min-tx"], objects["vport"][vport]["min-tx"] = "60mbit", "30mbit"
        call("config.apply", objects=objects)
        objects["vport"]["other"]["min-tx"] = "61mbit"
        with pytest.raises(RpcError, match="vport 'other': min-tx: '61mbit': the minima for sending of the switch would add up to 101mbit"):
            call("config.apply", objects=objects)
        refused("vport.set", vport, "not both", weight=5)
        call("vport.set", name=vport, **{"min-rx": "60mbit"})
        refused("vport.set", "other", "the minima for receiving of the switch would add up to 101mbit", min_rx="41mbit")
        refused("vport.set", vport, "min-rx: '101mbit' is not allowed: at most 100mbit", min_rx="101mbit")
        refused("vport.set", vport, "not both", weight_rx=5)
        refused("vport.set", vport, "the minimum is above max-rx", max_rx="59mbit")
        refused("vport.set", vport, "the minimum is above max-tx", max_tx="29mbit")
        refused("vport.set", vport, "'500bit' is not allowed: 0 for none, or a rate of at least 1kbit", max_rx="500bit")
        assert {name: ends.daemon.show("vport", vport)[name] for name in fields} == {
            **{name: was[name] for name in fields}, "min-tx": 30000000, "min-rx": 60000000}
    finally:
        call("switch.set", name=switch, **{"default-min": 0})
        call("vport.set", name=vport, **{name: was[name] for name in fields})
        call("vport.del", name="other")
        call("uplink.set", name=uplink, **{"max-rate": 0})
