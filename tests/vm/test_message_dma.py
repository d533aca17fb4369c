# SPDX-License-Identifier: BSD-3-Clause
"""A VF in a guest whose memory is not shared: QEMU's default, where only DMA messages reach it.

    private (not shared) -- switch -- shared, outside
"""

import json

import pytest

from stage import transfer

PEERS = ["shared", "outside"]
MIB = 8


@pytest.fixture(scope="module")
def stage(bare_stage):
    bare_stage.add_vport("shared", mac="02:00:00:00:00:01")
    bare_stage.add_vport("private", model="x540", mac="02:00:00:00:00:02")
    bare_stage.boot("shared")
    bare_stage.boot("private", share=False)
    bare_stage.ready()
    return bare_stage


def by_message(stage):
    """How often a VF has begun to work by messages."""
    with open(stage.daemon.log_path, encoding="utf-8") as log:
        return log.read().count("works by messages")


def vf(stage):
    return stage.call("vf.show", name=f"lan/{stage.vport('private')['vf']}")[0]


def iperf(source, target, options=""):
    """Mbit/s of TCP from one node to another."""
    server = target.spawn("iperf3 -s -1 -p 5113")
    try:
        target.wait_listening(5113)
        text = source.run(f"iperf3 -J -t 5 -p 5113 {options} -c {target.address}")
        return json.loads(text)["end"]["sum_received"]["bits_per_second"] / 1e6
    finally:
        server.kill()


def test_driver(stage):
    private = stage["private"]
    assert private.host.netdev(driver="ixgbevf") == private.device
    assert by_message(stage) >= 1
    assert stage.vport("private")["path"] == "vf"
    assert vf(stage)["dma-messages"] > 0


@pytest.mark.asan
@pytest.mark.parametrize("size", [0, 18, 56, 1472, 4000, 30000])
def test_ping(stage, size):
    """From runts up to packets of many fragments."""
    assert stage["private"].reaches(stage["shared"], f"-s {size}")
    assert stage["shared"].reaches(stage["private"], f"-s {size}")


@pytest.mark.asan
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("v6", [False, True])
def test_tcp(stage, peer, v6):
    assert transfer(stage["private"], stage[peer], MIB, v6=v6)
    assert transfer(stage[peer], stage["private"], MIB, v6=v6)


@pytest.mark.parametrize("toggle", ["tso off", "tx off sg off", "rx off", "gro off"])
def test_offloads_off(stage, toggle):
    node = stage["private"]
    words = toggle.split()
    node.run(f"ethtool -K {node.device} {toggle}")
    node.host.carrier(node.device)
    try:
        assert transfer(node, stage["shared"], 1)
        assert transfer(stage["shared"], node, 1)
    finally:
        node.run(f"ethtool -K {node.device} " + " ".join(f"{word} on" for word in words[::2]))
        node.host.carrier(node.device)


@pytest.mark.parametrize("source,target", [("private", "shared"), ("shared", "private")])
def test_throughput(stage, source, target):
    rates = []
    while not rates or rates[-1] <= 5 and len(rates) < 3:
        rates.append(iperf(stage[source], stage[target]))
    print(f"{source} -> {target}: {rates} Mbit/s")
    assert rates[-1] > 5


@pytest.mark.asan
def test_up_and_down(stage):
    """Rings are taken up and given up, with traffic under way."""
    node = stage["private"]
    with stage.traffic("shared", "private", "--bidir -u -b 20M -l 1000"):
        for _ in range(10):
            node.run(f"ip link set {node.device} down; ip link set {node.device} up")
            node.host.carrier(node.device)
    node.configure()
    stage.works("private", "shared")


@pytest.mark.asan
def test_function_level_reset(stage):
    """Through sysfs the driver brings its queues down and up again around it."""
    node = stage["private"]
    path = f"/sys/bus/pci/devices/{node.pci()}"
    assert "flr" in node.run(f"cat {path}/reset_method")
    node.run(f"echo 1 >{path}/reset")
    node.host.carrier(node.device)
    stage.works("private", "shared")


def test_no_ring_was_stopped(stage):
    """So far no message failed."""
    assert vf(stage)["dma-failed"] == 0


@pytest.mark.asan
def test_reset_in_traffic(stage):
    with stage.traffic("private", "shared"):
        stage.reset("private")
    stage.works("private", "shared")


@pytest.mark.asan
def test_qemu_killed_in_traffic(stage):
    """The others lose nothing, and the next VM gets a working VF."""
    with stage.traffic("private", "shared"):
        stage.guests["private"].kill()
        stage.works("shared")
    stage.boot("private", share=False)
    stage.ready("private")
    stage.works("private", "shared")


@pytest.mark.asan
def test_shared_memory_after_messages(stage):
    """The VF goes back to the guest's own rings."""
    before = by_message(stage)
    stage.boot("private")
    stage.ready("private")
    stage.works("private", "shared")
    assert by_message(stage) == before
