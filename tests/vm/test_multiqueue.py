# SPDX-License-Identifier: BSD-3-Clause
"""Guests with two processors, whose ixgbevf takes two queue pairs by itself.

    mq82599 (`queues` as it is by default), mqx550 -- switch -- outside
"""

import re
import time

import pytest

ALL = ["mq82599", "mqx550"]


@pytest.fixture(scope="module")
def pair(lab, bare_stage):
    bare_stage.add_vport("mq82599", mac="02:00:00:00:00:01")
    bare_stage.add_vport("mqx550", model="x550", queues=4, mac="02:00:00:00:00:02")
    for name in ALL:
        bare_stage.boot(name, kernel=lab.kernels[0], mem=512, cpus=2)
    bare_stage.ready()
    return bare_stage


def queue_packets(node, kind):
    statistics = node.ethtool_statistics()
    return [statistics[f"{kind}_queue_{i}_packets"] for i in (0, 1)]


def test_queues_offered(pair):
    names = [queue["name"] for queue in pair.call("queue.show") if queue["kind"] == "vf"]
    assert sorted(names) == sorted([f"mq82599/vf-{i}" for i in range(2)] +
                                   [f"mqx550/vf-{i}" for i in range(4)])
    assert pair.vport("mqx550")["queues-in-use"] == 4


@pytest.mark.parametrize("name", ALL)
def test_indirection_table(pair, name):
    """The table that ixgbevf shows: by GET_RETA and GET_RSS_KEY, or from the X550's registers."""
    text = pair[name].run(f"ethtool -x {pair[name].device}")
    rows = re.findall(r"^\s*\d+:((?:\s+\d+)+)$", text, re.M)
    table = [int(entry) for row in rows for entry in row.split()]
    assert table == [i % 2 for i in range(64 if name == "mqx550" else 128)], text
    assert len(re.search(r"hash key:\s*([0-9a-f:]+)", text)[1].split(":")) == 40


# The key is random and the hash linear: ports that differ in all of their bits, so that no few bits of it
# can put all flows into one queue.
PORTS = [2003, 4099, 8231, 9901, 13007, 16603, 21001, 24989, 33791, 36007, 41017, 45007, 50021, 55009, 60013, 65003]


@pytest.mark.parametrize("source, target", [ALL, ALL[::-1]])
def test_flows_are_spread(pair, source, target):
    """Sixteen connections land on both receive queues of the target, and go out by both of the source."""
    before = queue_packets(pair[target], "rx"), queue_packets(pair[source], "tx")
    irqs = interrupts(pair[target])
    server = pair[target].spawn("iperf3 -s -p 5199")
    try:
        text = pair[source].run(
            f"for port in {' '.join(map(str, PORTS))}; do "
            f"until iperf3 -n 500K --cport $port -p 5199 -c {pair[target].address}; do usleep 50000; done; done",
            timeout=600)
    finally:
        server.kill()
    assert text.count("receiver") == len(PORTS)
    after = queue_packets(pair[target], "rx"), queue_packets(pair[source], "tx")
    for old, new in zip(before, after):
        assert all(now - then > 100 for then, now in zip(old, new)), (before, after)
    assert all(now > then for then, now in zip(irqs, interrupts(pair[target])))


def interrupts(node):
    """How many each of the adapter's two queue vectors has sent."""
    lines = [line.split() for line in node.run("cat /proc/interrupts").splitlines()
             if f"{node.device}-TxRx" in line]
    assert len(lines) == 2, lines
    return [sum(int(word) for word in line[1:3]) for line in lines]


@pytest.mark.parametrize("name", ALL)
def test_ethtool(pair, name):
    """What the driver knows how to ask and to change, with traffic after each."""
    node = pair[name]
    for command in (f"ethtool -i {node.device}", f"ethtool -k {node.device}", f"ethtool -c {node.device}",
                    f"ethtool -g {node.device}", f"ethtool -S {node.device}",
                    f"ethtool -C {node.device} rx-usecs 50", f"ethtool -G {node.device} rx 256 tx 256",
                    f"ethtool -K {node.device} rx off", f"ethtool -K {node.device} rx on"):
        node.run(command)
    node.host.carrier(node.device)
    pair.works(name)


@pytest.mark.parametrize("name", ALL)
def test_moderation(pair, name):
    """Under load, a vector sends as often as `ethtool -C` allows, and no more."""
    source, target = pair[next(other for other in ALL if other != name)], pair[name]
    target.run(f"ethtool -C {target.device} rx-usecs 1000")
    try:
        with pair.traffic(source.name, name, "--bidir -u -l 100 -b 3M -P 4"):
            start, before = time.monotonic(), interrupts(target)
            pair.wait_flow([name], frames=10000)
            after = interrupts(target)
            most = (time.monotonic() - start) * 1000 + 2
    finally:
        target.run(f"ethtool -C {target.device} rx-usecs 1")
    sent = [now - then for then, now in zip(before, after)]
    assert max(sent) > 10 and all(n <= most for n in sent), (sent, most)


@pytest.mark.parametrize("name", ALL)
def test_down_and_up(pair, name):
    node = pair[name]
    for _ in range(3):
        node.run(f"ip link set {node.device} down; ip link set {node.device} up")
        node.host.carrier(node.device)
        assert node.reaches(pair["outside"])
    pair.works(name)
