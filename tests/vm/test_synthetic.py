# SPDX-License-Identifier: BSD-3-Clause
"""Synthetics with several pairs of queues, and what QEMU adds to them.

    four (4 pairs; host_mtu, speed), two (2 pairs, packed rings) -- switch -- outside
"""

import re
import signal

import pytest

from guest import syn_args
from stage import in_parallel, make_data, transfer

MIB = 8
# virtio 1.2, 5.1.3 and 6
BITS = {"mtu": 3, "mac": 5, "status": 16, "ctrl-vq": 17, "ctrl-rx": 18, "ctrl-vlan": 19, "announce": 21,
        "mq": 22, "ctrl-mac": 23, "event-idx": 29}
NOT_PASSED = {"guest-uso4": 54, "guest-uso6": 55, "host-uso": 56, "rss": 60}
PACKED = 34
QUEUES = {"four": 4, "two": 2}


@pytest.fixture(scope="module")
def pair(lab, bare_stage):
    extras = {"four": "host_mtu=1400,speed=25000,duplex=full", "two": "packed=on"}
    for name, n in QUEUES.items():
        bare_stage.add_vport(name, iov=False, synthetic=True, queues=n)
        vport = bare_stage.vport(name)
        bare_stage.start(name, syn_args(vport["syn-socket"], vport["mac"], queues=n, extra=extras[name]),
                         kernel=lab.kernels[0], mem=512, cpus=2)
    bare_stage.ready()
    in_parallel(lambda name: make_data(bare_stage[name], MIB), ["four", "two", "outside"])
    return bare_stage


def set_queues(node, n):
    node.run(f"ethtool -L {node.device} combined {n}")


def interrupts(node, kind):
    """How many each queue's vector has sent; kind: input or output."""
    lines = [line.split() for line in node.run("cat /proc/interrupts").splitlines() if f"-{kind}." in line]
    return {int(line[-1].split(".")[-1]): int(line[1]) + int(line[2]) for line in lines}


def test_agreed(pair):
    for name in QUEUES:
        bits = pair[name].run(f"cat $(readlink -f /sys/class/net/{pair[name].device}/device)/features")
        for feature, bit in BITS.items():
            assert int(bits[bit]) == (feature != "mtu" or name == "four"), (feature, bits)
        for feature, bit in NOT_PASSED.items():
            assert bits[bit] == "0", (feature, bits)
        assert int(bits[PACKED]) == (name == "two"), bits
        names = pair.vport(name)["syn-features"]
        assert "mq" in names and ("packed" in names) == (name == "two"), names


@pytest.mark.parametrize("name", QUEUES)
def test_offered(pair, name):
    text = pair[name].run(f"ethtool -l {pair[name].device}")
    assert [int(n) for n in re.findall(r"Combined:\s*(\d+)", text)] == [QUEUES[name], 2], text
    queues = [queue["name"] for queue in pair.call("queue.show") if queue["port"] == name]
    assert queues == [f"{name}/synthetic-{i}" for i in range(QUEUES[name])]


def connections(source, target):
    server = target.spawn("iperf3 -s -p 5199")
    try:
        source.run(f"until iperf3 -P 16 -n 1M -p 5199 -c {target.address}; do usleep 50000; done")
    finally:
        server.kill()


@pytest.mark.parametrize("source, target, n", [("four", "two", 2), ("two", "four", 4), ("two", "four", 1)])
def test_flows_are_spread(pair, source, target, n):
    """Connections come by all queues of the target and go by all of the source, and by none that is off."""
    set_queues(pair[target], n)
    set_queues(pair[source], QUEUES[source])
    try:
        assert pair.vport(target)["queues-in-use"] == n
        before, sent = interrupts(pair[target], "input"), interrupts(pair[source], "output")
        assert len(before) == QUEUES[target] and len(sent) == QUEUES[source]
        for _ in range(10):  # the key is random
            connections(pair[source], pair[target])
            now, sent_now = interrupts(pair[target], "input"), interrupts(pair[source], "output")
            if all(now[i] > before[i] for i in range(n)) and all(sent_now[i] > sent[i] for i in sent):
                break
        else:
            raise AssertionError(f"not all used: {before} {now}, {sent} {sent_now}")
        assert all(now[i] == before[i] for i in before if i >= n), (before, now)
        assert transfer(pair[source], pair[target], MIB)
    finally:
        for name in QUEUES:
            set_queues(pair[name], 2)


@pytest.mark.parametrize("source, target", [("four", "two"), ("two", "four")])
def test_queues_change_under_traffic(pair, source, target):
    with pair.traffic(source, target):
        for n in (1, 4, 3, 1, 2, 4, 2):
            for name in QUEUES:
                set_queues(pair[name], min(n, QUEUES[name]))
    pair.works(source, target)
    assert transfer(pair[source], pair[target], MIB)


def test_pinned(pair):
    """A transmit queue of its own is pinned, and serves on."""
    pair.call("queue.set", name="four/synthetic-1", worker=0)
    assert pair.daemon.show("queue", "four/synthetic-1")["pinned"]
    pair.works("four", "two")


def test_guest_resets(pair):
    for name in QUEUES:
        pair.reset(name)
        set_queues(pair[name], QUEUES[name])
    pair.works("four", "two")
    in_parallel(lambda name: make_data(pair[name], MIB), list(QUEUES))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_daemon_restarts(pair, how):
    with pair.traffic("four", "two"):
        pair.daemon.kill(how)
    pair.daemon.start()
    for name in QUEUES:
        pair.wait_path(name, "synthetic")
        assert pair.vport(name)["queues-in-use"] == QUEUES[name]
        pair.works(name)
    pair.works("four", "two")
    assert transfer(pair["two"], pair["four"], MIB)


def test_mtu_and_speed(pair):
    """host_mtu, and the speed that QEMU was told."""
    node = pair["four"]
    assert node.mtu() == 1400
    text = node.run(f"ethtool {node.device}")
    assert "Speed: 25000Mb/s" in text and "Duplex: Full" in text, text
    assert node.call(f"ip link set {node.device} mtu 1401")[0] != 0
    assert node.ping(pair["outside"], "-s 1372 -M do", count=1) == (1, 1)


def test_printed_mtu(pair):
    """An MTU of its own is in the arguments that are printed for QEMU."""
    for name, mtu in (("four", 9000), ("two", 1500)):
        pair.set(name, mtu=mtu)
        text = pair.softiov("vport", "qemu-args", name)
        assert ("host_mtu=9000" in text) == (name == "four"), text
        assert f"queues={QUEUES[name]}" in text and f"mq=on,vectors={2 * QUEUES[name] + 2}," in text, text
    pair.set("four", mtu=1500)


def test_announce(pair):
    """QEMU asks the guest to make itself known, as after a migration; its ARP reaches the others."""
    node, other = pair["two"], pair["four"]
    capture = other.tcpdump(f"-c 1 arp and ether src {node.mac}")
    node.host.qmp.command("announce-self", initial=50, max=550, rounds=3, step=50)
    assert node.address in capture.wait()


def test_control_queue(pair):
    """Commands that stay with QEMU: the guest's driver gets what it asks for, and traffic goes on."""
    node = pair["four"]
    dev, mac = node.device, node.mac
    for on, off in (("promisc on", "promisc off"), ("allmulticast on", "allmulticast off")):
        node.run(f"ip link set {dev} {on}")
        assert node.reaches(pair["two"])
        node.run(f"ip link set {dev} {off}")
    pair.set("four", **{"mac-spoofing": True})
    try:
        node.run(f"ip link set {dev} address 02:00:00:00:00:77")
        assert node.reaches(pair["outside"])
    finally:
        node.run(f"ip link set {dev} address {mac}")
        pair.set("four", **{"mac-spoofing": False})
    assert node.reaches(pair["outside"])


def test_vlan_filter(pair):
    pair.set("four", trunk="30")
    pair.set("two", trunk="30")
    for number, name in enumerate(QUEUES, 1):
        node = pair[name]
        node.run(f"ip link add link {node.device} name v30 type vlan id 30; "
                 f"ip addr add 10.30.0.{number}/24 dev v30; ip link set v30 up")
    try:
        assert pair["four"].reaches("10.30.0.2")
    finally:
        for name in QUEUES:
            pair[name].run("ip link del v30")
