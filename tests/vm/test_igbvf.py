# SPDX-License-Identifier: BSD-3-Clause
"""VFs of the gigabit controllers, driven by igbvf; what they have in common with the others is tested there.

    82576, i350 (each on another kernel) -- switch -- outside
"""

import contextlib
import itertools
import re

import pytest

from stage import in_parallel, transfer

NAMES = ["82576", "i350"]
EVERYWHERE = [*NAMES, "outside"]
PAIRS = list(itertools.permutations(EVERYWHERE, 2))
PCI_ID = {"82576": "0x8086:0x10ca", "i350": "0x8086:0x1520"}
DRIVERS = "/sys/bus/pci/drivers/igbvf"
SMALL = 4  # MiB
TOGGLES = ["tso off", "tx off sg off", "rx off gro off"]
JUMBO = [99, 100, 101, 1473, 2030, 2133, 2134, 2135, 4180, 6102, 8950, 8971, 8972]
GROUP = "239.1.2.3"


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    for number, name in enumerate(NAMES, start=1):
        bare_stage.add_vport(name, model=name, mac=f"02:00:00:00:02:{number:02x}")
        bare_stage.boot(name, kernel=lab.kernels[0 if number == 1 else -1], mem=512)
    bare_stage.ready()
    return bare_stage


@pytest.fixture(params=NAMES)
def node(request, stage):
    return stage[request.param]


@pytest.mark.asan
def test_identity(stage, node):
    dev = node.device
    assert node.run(f"cd /sys/class/net/{dev}/device; echo $(cat vendor):$(cat device)") == PCI_ID[node.name]
    assert node.run(f"cat /sys/class/net/{dev}/address") == stage.vport(node.name)["mac"]
    assert "driver: igbvf" in node.run(f"ethtool -i {dev}")
    link = node.run(f"ethtool {dev}")
    assert "Speed: 1000Mb/s" in link and "Duplex: Full" in link and "Link detected: yes" in link
    assert re.search(f"{node.name}.* Virtual Function", node.run("lspci"), re.I)
    vport = stage.vport(node.name)
    assert (vport["path"], vport["vf-state"]) == ("vf", "active")


def test_drivers_own_test(node):
    assert "The test result is PASS" in node.run(f"ethtool -t {node.device} online")


@pytest.mark.asan
def test_tcp(stage):
    for source, target in PAIRS:
        assert stage[source].reaches(stage[target])
        assert transfer(stage[source], stage[target], SMALL), (source, target)
        assert transfer(stage[source], stage[target], 1, v6=True), (source, target)


def test_statistics(stage, node):
    """The VF's registers count what the switch counts, FCS included."""
    before, was = node.ethtool_statistics(), stage.vport(node.name)
    transfer(node, stage["outside"], 1)
    transfer(stage["outside"], node, 1)
    after, now = node.ethtool_statistics(), stage.vport(node.name)
    for register, side in (("rx", "rx"), ("tx", "tx")):
        frames = now[f"{side}-frames"] - was[f"{side}-frames"]
        size = now[f"{side}-bytes"] - was[f"{side}-bytes"]
        assert abs(after[f"{register}_packets"] - before[f"{register}_packets"] - frames) <= 5
        assert abs(after[f"{register}_bytes"] - before[f"{register}_bytes"] - size - 4 * frames) <= 5000
    assert after["rx_csum_offload_errors"] == 0


def test_large_sends_are_used(stage, node):
    before = stage.vport(node.name)
    transfer(node, stage["outside"], SMALL)
    after = stage.vport(node.name)
    # Without them no frame has more, whatever TCP's window makes of the sizes.
    assert (after["tx-bytes"] - before["tx-bytes"]) / (after["tx-frames"] - before["tx-frames"]) > 1514


@pytest.mark.parametrize("toggle", TOGGLES)
def test_offloads_off(stage, node, toggle):
    other = stage[[name for name in NAMES if name != node.name][0]]
    node.run(f"ethtool -K {node.device} {toggle}")
    try:
        for peer in (other, stage["outside"]):
            for source, target in ((node, peer), (peer, node)):
                assert transfer(source, target, SMALL), (source.name, target.name)
    finally:
        node.run(f"ethtool -K {node.device} " + " ".join(f"{word} on" for word in toggle.split()[::2]))


@pytest.fixture
def jumbo(stage):
    for name in NAMES:
        stage.set(name, mtu=9000)
        stage[name].run(f"ip link set {stage[name].device} mtu 9000")
        stage[name].configure()
    stage.set_uplink_mtu(9000)
    yield stage
    stage.set_uplink_mtu(1500)
    for name in NAMES:
        stage[name].run(f"ip link set {stage[name].device} mtu 1500")
        stage.set(name, mtu=None)
        stage[name].configure()


def test_jumbo(jumbo):
    """The driver then takes each frame's first 128 bytes in a buffer of their own."""
    for source, target in PAIRS:
        assert jumbo[source].reaches(jumbo[target])
        command = " ".join(f"ping -n -q -c 1 -w 10 -s {size} -p {size % 251:02x} -M do "
                           f"{jumbo[target].address} >/dev/null || echo lost {size};" for size in JUMBO)
        assert jumbo[source].run(command) == "", (source, target)
        assert transfer(jumbo[source], jumbo[target], SMALL), (source, target)


def test_vlans(stage):
    with contextlib.ExitStack() as stack:
        for name in NAMES:
            stack.enter_context(stage.setting(name, trunk="10,20"))
            node = stage[name]
            for vid in (10, 20):
                node.run(f"ip link add link {node.device} name t{vid} type vlan id {vid} && ip addr add "
                         f"10.{vid}.0.{node.number}/24 dev t{vid} && ip link set t{vid} up")
                stack.callback(node.call, f"ip link del t{vid}")
        one, two = (stage[name] for name in NAMES)
        for vid in (10, 20):
            assert one.reaches(f"10.{vid}.0.{two.number}")
            assert one.reaches(f"10.{vid}.0.{two.number}", "-s 1472 -M do")
        status, _ = one.call(f"ip link add link {one.device} name t30 type vlan id 30 && ip link set t30 up")
        one.call("ip link del t30")
        assert status != 0
    assert one.reaches(two)


def test_access_vlan(stage):
    one, two = (stage[name] for name in NAMES)
    with stage.setting(one.name, vlan=10):
        assert one.cut_off(two)
        with stage.setting(two.name, vlan=10):
            assert one.reaches(two) and two.reaches(one)
    assert one.reaches(two)


def test_multicast(stage, node):
    """Groups go by the hash table; filtered before, received after joining."""
    outside, dev = stage["outside"], node.device
    outside.run(f"ip route replace {GROUP} dev out0")
    node.run("echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts")
    try:
        filtered = stage.drops(node.name).get("filtered", 0)
        assert outside.cut_off(GROUP, "-I out0")
        stage.wait_drops(node.name, "filtered", filtered + 2)
        node.run(f"ip addr add {GROUP}/32 dev {dev} autojoin")
        assert outside.reaches(GROUP, "-I out0")
    finally:
        outside.run(f"ip route del {GROUP} dev out0")
        node.call(f"ip addr del {GROUP}/32 dev {dev} autojoin")


def test_mac_change_with_trust_only(stage, node):
    other = "02:00:00:00:99:02"
    assert node.call(f"ip link set {node.device} address {other}")[0] != 0
    assert node.run(f"cat /sys/class/net/{node.device}/address") == node.mac
    assert node.reaches(stage["outside"])
    with stage.setting(node.name, trust=True):
        assert node.reaches(stage["outside"])
        node.run(f"ip link set {node.device} address {other}")
        stage.works(node.name)
        assert stage.vport(node.name)["guest-mac"] == other
        node.run(f"ip link set {node.device} address {node.mac}")
        stage.works(node.name)


def test_second_address_with_trust(stage, node):
    """A macvlan's address is a filter, which the driver asks for by mailbox."""
    mac, address = f"02:00:00:00:66:{node.number:02x}", f"10.0.0.{66 + node.number}"
    with stage.setting(node.name, trust=True):
        assert node.reaches(stage["outside"])
        node.run(f"ip netns add inner && ip link add mv link {node.device} address {mac} type macvlan mode "
                 f"private && ip link set mv netns inner && ip -n inner addr add {address}/24 dev mv && "
                 "ip -n inner link set mv up")
        try:
            assert stage["outside"].reaches(address)
        finally:
            node.run("ip netns del inner")
    assert node.reaches(stage["outside"])


def test_link(stage, node):
    """What the administrator does to the cable reaches the driver at once."""
    for link, carrier in (("down", "0"), ("up", "1")):
        stage.set(node.name, link=link)
        node.run(f"while [ $(cat /sys/class/net/{node.device}/carrier) != {carrier} ]; do usleep 20000; done")
    stage.set(node.name, link=None)
    assert node.reaches(stage["outside"])


@pytest.mark.asan
def test_down_and_unbind_in_traffic(stage, node):
    stage.restart_driver(node, DRIVERS)


@pytest.mark.asan
def test_system_reset_in_traffic(stage):
    with stage.traffic(*NAMES):
        in_parallel(stage.reset, NAMES)
    for name in NAMES:
        stage.works(name)
