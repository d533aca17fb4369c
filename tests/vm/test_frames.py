# SPDX-License-Identifier: BSD-3-Clause
"""Frames of every size and kind, between each kind of adapter: VLANs, groups, addresses.

    vf82599, vfx540, synthetic -- switch -- outside
"""

import contextlib
import itertools
import os
import re
import subprocess
import sys

import pytest

from softiov import wait_until

ALL = ["vf82599", "vfx540", "synthetic"]
VFS = ["vf82599", "vfx540"]
PAIRS = list(itertools.permutations(ALL, 2))
ECHO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "echo.py")
# Payloads of ping: around the smallest frame, the powers of two that buffers have, and the largest.
EDGES = [0, 1, 17, 18, 19, 63, 64, 213, 214, 215, 470, 982, 1471, 1472]
JUMBO_EDGES = [1473, 1982, 2006, 2007, 2030, 3030, 4054, 6102, 8971, 8972]
GROUP = "239.1.2.3"
GROUP_MAC = "01:00:5e:01:02:03"


def echo(stage, target, first, last):
    """Sizes between first and last for which no right echo came, sent by the namespace."""
    return run_echo(stage, "plain", stage[target].address, first, last)


def tagged_echo(stage, target, vlan, address, source="10.0.0.98", priority=0, size=56):
    """The tag of a guest's answer to a tagged echo from the namespace, as echo.py prints it."""
    node = stage[target]
    return run_echo(stage, "tagged", "out0", vlan, priority, node.mac, source, address, size)[0]


def run_echo(stage, *words):
    done = subprocess.run(["ip", "netns", "exec", stage.outside, sys.executable, ECHO,
                           *(str(word) for word in words)], text=True, timeout=600,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# --- sizes ---


@pytest.mark.asan
@pytest.mark.parametrize("name", ALL)
def test_every_size_with_outside(trio, name):
    """From 42 to 1514 bytes, each with a payload of its own that must come back."""
    assert echo(trio, name, 0, 1472) == []


@pytest.mark.parametrize("source,target", PAIRS)
def test_sizes_between_guests(trio, source, target):
    command = " ".join(f"ping -n -q -c 1 -w 10 -s {size} -p {size % 251:02x} -M do "
                       f"{trio[target].address} >/dev/null || echo lost {size};" for size in EDGES)
    assert trio[source].run(command) == ""


@pytest.fixture
def jumbo(trio):
    for name in ALL:
        trio.set(name, mtu=9000)
        trio[name].run(f"ip link set {trio[name].device} mtu 9000")
        trio[name].configure()
    trio.set_uplink_mtu(9000)
    yield trio
    trio.set_uplink_mtu(1500)
    for name in ALL:
        trio[name].run(f"ip link set {trio[name].device} mtu 1500")
        trio.set(name, mtu=None)
        trio[name].configure()


def test_jumbo(jumbo):
    for source, target in PAIRS + [(name, "outside") for name in ALL]:
        assert jumbo[source].reaches(jumbo[target])
        command = " ".join(f"ping -n -q -c 1 -w 10 -s {size} -M do {jumbo[target].address} >/dev/null "
                           f"|| echo lost {size};" for size in JUMBO_EDGES)
        assert jumbo[source].run(command) == "", (source, target)


@pytest.mark.parametrize("name", VFS)
def test_mtu_above_the_vports_is_refused(trio, name):
    status, text = trio[name].call(f"ip link set {trio[name].device} mtu 9000")
    assert status != 0, text
    assert trio[name].mtu() == 1500
    assert trio[name].reaches(trio["outside"])


def test_frames_above_the_vports_mtu_are_dropped(trio):
    """The synthetic's driver asks nobody for its MTU: the receiver's vport is what counts."""
    sender = trio["synthetic"]
    before = trio.drops("vf82599").get("too-long", 0)
    sender.run(f"ip link set {sender.device} mtu 9000")
    try:
        assert sender.cut_off(trio["vf82599"], "-s 1473 -M do")
        assert trio.drops("vf82599").get("too-long", 0) > before
        assert sender.reaches(trio["vf82599"], "-s 1472 -M do")
    finally:
        sender.run(f"ip link set {sender.device} mtu 1500")


# --- VLANs ---


def test_access_vlan(trio):
    """Untagged in the guest, its own world in the switch, tagged on the uplink."""
    one, outside = trio["vf82599"], trio["outside"]
    mac = outside.run("cat /sys/class/net/out0/address")
    for name in ALL:  # a neighbour that only tagged frames come from, and that answers no ARP
        trio[name].run(f"ip neigh replace 10.0.0.98 lladdr {mac} dev {trio[name].device}")
    assert tagged_echo(trio, one.name, 10, one.address) == "nothing"
    with trio.setting(one.name, vlan=10):
        for other in ("vfx540", "synthetic", "outside"):
            assert trio[other].cut_off(one), other
            assert one.cut_off(trio[other]), other
        with trio.setting("vfx540", vlan=10), trio.setting("synthetic", vlan=10):
            for source, target in PAIRS:
                assert trio[source].reaches(trio[target]), (source, target)
            for name in ALL:
                assert trio[name].cut_off(outside)
                assert tagged_echo(trio, name, 10, trio[name].address) == "10:0"
                assert tagged_echo(trio, name, 10, trio[name].address, size=1472) == "10:0"
                assert tagged_echo(trio, name, 11, trio[name].address) == "nothing"
    for name in ALL:
        assert trio["outside"].reaches(trio[name])


def test_access_port_sends_no_tags(trio):
    """What a guest tags itself, or sends to a VLAN that is not its own, ends at the switch."""
    sender = trio["synthetic"]  # a VF's driver is refused the VLAN before it can send
    before = trio.drops("synthetic").get("vlan", 0)
    sender.run(f"ip link add link {sender.device} name t30 type vlan id 30 && "
               "ip addr add 10.30.0.3/24 dev t30 && ip link set t30 up")
    try:
        assert sender.cut_off("10.30.0.99")
        trio.wait_drops("synthetic", "vlan", before)
    finally:
        sender.run("ip link del t30")


@pytest.mark.parametrize("name", VFS)
def test_vlan_outside_the_trunk_is_refused(trio, name):
    node = trio[name]
    with trio.setting(name, trunk="10,20"):
        assert node.reaches(trio["outside"])
        status, text = node.call(f"ip link add link {node.device} name t30 type vlan id 30 && "
                                 "ip link set t30 up")
        node.call("ip link del t30")
        assert status != 0, text


def add_vlans(node, number, vids):
    for vid in vids:
        node.run(f"ip link add link {node.device} name t{vid} type vlan id {vid} && "
                 f"ip addr add 10.{vid}.0.{number}/24 dev t{vid} && ip link set t{vid} up")


@pytest.fixture(scope="class")
def trunks(trio):
    """Every vport a trunk of VLANs 10 and 20 with 40 native; tagged interfaces in every guest."""
    mac = trio["outside"].run("cat /sys/class/net/out0/address")
    for name in ALL:
        node = trio[name]
        trio.set(name, trunk="10,20", vlan=40)
        add_vlans(node, node.number, (10, 20))
        node.run(f"ip addr add 10.40.0.{node.number}/24 dev {node.device}")
        node.host.carrier(node.device)
        for vid, device in ((10, "t10"), (20, "t20"), (40, node.device)):
            node.run(f"ip neigh replace 10.{vid}.0.98 lladdr {mac} dev {device}")
    yield trio
    for name in ALL:
        node = trio[name]
        node.run(f"ip link del t10; ip link del t20; ip addr del 10.40.0.{node.number}/24 dev "
                 f"{node.device}")
        trio.set(name, trunk=None, vlan=None)
        node.host.carrier(node.device)


def iperf3(source, target, address, options):
    server = target.spawn("iperf3 -s -1 -p 5111")
    try:
        target.wait_listening(5111)
        return source.run(f"iperf3 -c {address} -p 5111 {options}")
    finally:
        server.kill()


class TestTrunks:
    """VFs put tags in and take them out themselves (their driver lets nobody turn that off), while the
    synthetic's guest does it in software: both meet here."""

    def test_pings(self, trunks):
        for source, target in PAIRS:
            for vid in (10, 20, 40):
                for size in (0, 1472):
                    assert trunks[source].reaches(f"10.{vid}.0.{trunks[target].number}",
                                                  f"-s {size} -M do"), \
                        (source, target, vid, size)

    @pytest.mark.parametrize("name", ALL)
    def test_tags_on_the_uplink(self, trunks, name):
        """The native VLAN too has its tag there."""
        number = trunks[name].number
        for vid in (10, 20, 40):
            for size in (0, 1472):
                assert tagged_echo(trunks, name, vid, f"10.{vid}.0.{number}", f"10.{vid}.0.98",
                                   size=size) == f"{vid}:0"
        assert tagged_echo(trunks, name, 30, f"10.10.0.{number}", "10.10.0.98") == "nothing"
        assert trunks[name].cut_off(trunks["outside"])

    @pytest.mark.parametrize("source,target", PAIRS)
    def test_tcp(self, trunks, source, target):
        """Tags together with segmentation."""
        source, target = trunks[source], trunks[target]
        before = trunks.drops(source.name)
        assert "receiver" in iperf3(source, target, f"10.20.0.{target.number}", "-n 8M")
        assert trunks.drops(source.name).get("vlan", 0) == before.get("vlan", 0)


@pytest.mark.parametrize("source,target", PAIRS)
def test_priority_tags(trio, source, target):
    """VLAN 0 says a priority and no VLAN: such frames pass between guests."""
    source, target = trio[source], trio[target]
    for here in (source, target):
        here.run(f"ip link add link {here.device} name prio type vlan id 0 egress-qos-map 0:5 && "
                 f"ip addr add 10.9.0.{here.number}/24 dev prio && ip link set prio up")
    try:
        for here, there in ((source, target), (target, source)):
            here.run(f"ip neigh replace 10.9.0.{there.number} lladdr {there.mac} dev prio")
        assert source.reaches(f"10.9.0.{target.number}")
    finally:
        for here in (source, target):
            here.run("ip link del prio")


@pytest.mark.parametrize("name", ALL)
def test_priority_tags_from_outside(trio, name):
    node = trio[name]
    mac = trio["outside"].run("cat /sys/class/net/out0/address")
    node.run(f"ip neigh replace 10.0.0.98 lladdr {mac} dev {node.device}")
    for size in (0, 1472):
        assert tagged_echo(trio, name, 0, node.address, priority=5, size=size) == "untagged"


# --- groups ---


@pytest.fixture
def answering(trio):
    """Guests that answer pings to groups."""
    for name in ALL:
        trio[name].run("echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts")
    yield trio
    for name in ALL:
        trio[name].run("echo 1 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts")


def answerers(node, options):
    text = node.call(f"ping -n -c 3 -i 0.3 -W 1 {options}")[1]
    found = {int(number) for number in re.findall(r"from 10\.0\.0\.(\d+)", text)}
    return found - {node.number}  # who sends to a group may hear itself


def test_broadcast(answering):
    for name in [*ALL, "outside"]:
        others = {answering[other].number for other in ALL if other != name}
        assert wait_until(lambda: answerers(answering[name], "-b 10.0.0.255") >= others), name


def test_multicast(answering):
    """A guest gets a group's frames if it subscribed, and a VF's adapter none otherwise."""
    outside = answering["outside"]
    outside.run(f"ip route replace {GROUP} dev out0")
    try:
        assert answerers(outside, f"-I out0 {GROUP}") == set()
        filtered = {name: answering.drops(name).get("filtered", 0) for name in VFS}
        assert answerers(outside, f"-I out0 {GROUP}") == set()
        for name in VFS:
            answering.wait_drops(name, "filtered", filtered[name] + 2)
        for name in ALL:
            answering[name].run(f"ip addr add {GROUP}/32 dev {answering[name].device} autojoin")
            assert GROUP_MAC in answering[name].run(f"ip maddr show dev {answering[name].device}")
        numbers = {answering[name].number for name in ALL}
        assert wait_until(lambda: answerers(outside, f"-I out0 {GROUP}") == numbers)
    finally:
        outside.run(f"ip route del {GROUP} dev out0")
        for name in ALL:
            answering[name].call(f"ip addr del {GROUP}/32 dev {answering[name].device} autojoin")


# --- addresses ---


STRAY = "02:00:00:00:77:77"  # nobody's


def sees_stray_frames(trio, name):
    """Whether a guest's promiscuous capture has frames to an address that nobody has."""
    node, outside = trio[name], trio["outside"]
    outside.run(f"ip neigh replace 10.0.0.77 lladdr {STRAY} dev out0")
    assert outside.reaches(node)
    capture = node.tcpdump(f"-e -l 'ether dst {STRAY} or (icmp[icmptype] == icmp-echo and dst {node.address})'")
    try:
        outside.ping("10.0.0.77", count=10)
        assert outside.reaches(node)  # what comes behind them
        assert wait_until(lambda: node.mac in capture.output())
        return STRAY in capture.output()
    finally:
        capture.kill()
        outside.run("ip neigh del 10.0.0.77 dev out0")


@pytest.mark.parametrize("name", VFS)
def test_promiscuous_with_trust_only(trio, name):
    assert not sees_stray_frames(trio, name)
    with trio.setting(name, trust=True):
        assert trio[name].reaches(trio["outside"])
        assert sees_stray_frames(trio, name)
    assert trio[name].reaches(trio["outside"])
    assert not sees_stray_frames(trio, name)


def change_mac(node, mac):
    return node.call(f"ip link set {node.device} address {mac}")


@pytest.mark.parametrize("name", VFS)
def test_mac_change_with_trust_only(trio, name):
    node, other = trio[name], "02:00:00:00:99:01"
    status, text = change_mac(node, other)
    assert status != 0, text
    assert node.run(f"cat /sys/class/net/{node.device}/address") == node.mac
    assert node.reaches(trio["outside"])
    with trio.setting(name, trust=True):
        assert node.reaches(trio["outside"])
        status, text = change_mac(node, other)
        assert status == 0, text
        trio.works(name)
        assert trio.vport(name)["guest-mac"] == other
        assert other in trio["outside"].run(f"ip neigh show {node.address}")
        change_mac(node, node.mac)
        trio.works(name)
    # A MAC that trust allowed does not outlast it: see the next test for the rest.
    assert trio.vport(name)["guest-mac"] == node.mac
    assert node.reaches(trio["outside"])


@contextlib.contextmanager
def macvlan(node, mac):
    """A second address on the adapter, in a namespace "inner" of the guest with 10.0.0.66."""
    node.run(f"ip netns add inner && ip link add mv link {node.device} address {mac} type macvlan mode "
             "private && ip link set mv netns inner && ip -n inner addr add 10.0.0.66/24 dev mv && "
             "ip -n inner link set mv up")
    try:
        yield
    finally:
        node.run("ip netns del inner")


def inner_answers(node, target):
    text = node.call(f"ip netns exec inner ping -n -c 3 -i 0.2 -W 1 {target.address}")[1]
    return text.count("bytes from")


@pytest.mark.parametrize("name", VFS)
def test_macvlan_with_trust(trio, name):
    node = trio[name]
    with trio.setting(name, trust=True):
        assert node.reaches(trio["outside"])
        with macvlan(node, "02:00:00:00:66:66"):
            assert wait_until(lambda: inner_answers(node, trio["outside"]) == 3)
            assert trio["outside"].reaches("10.0.0.66")
            other = trio[[vf for vf in VFS if vf != name][0]]
            assert wait_until(lambda: inner_answers(node, other) == 3)
    assert node.reaches(trio["outside"])


@pytest.mark.asan
@pytest.mark.parametrize("name", ALL)
def test_forged_source(trio, name):
    node, forged = trio[name], f"02:00:00:00:55:{trio[name].number:02x}"
    before = trio.drops(name).get("spoofed-mac", 0)
    with macvlan(node, forged):
        while trio.drops(name).get("spoofed-mac", 0) < before + 3:  # each try sends one at least
            assert inner_answers(node, trio["outside"]) == 0
        assert forged not in trio["outside"].run("ip neigh")
        assert node.reaches(trio["outside"])
        with trio.setting(name, mac_spoofing=True):
            before = trio.drops(name).get("spoofed-mac", 0)
            inner_answers(node, trio["outside"])
            assert trio.drops(name).get("spoofed-mac", 0) == before
