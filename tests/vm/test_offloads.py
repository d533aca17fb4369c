# SPDX-License-Identifier: BSD-3-Clause
"""TCP between all kinds of adapters with each offload off, one at a time; hashes are compared, and checksums
looked at as they arrive. docs/offloads.md says what happens in each case.

    the five models, synthetic -- switch -- outside; between guests VLAN 7 beside untagged traffic
"""

import itertools
import re

import pytest

from stage import in_parallel, make_data

MODELS = ["82599", "x540", "x550", "82576", "i350"]
GUESTS = [*MODELS, "synthetic"]
EVERYWHERE = [*GUESTS, "outside"]
VLAN = 7
TAKES, GIVES = 7001, 7002  # ports: answers with the hash of what it got; sends its file
MIB = 1
FEATURES = ["tx", "rx", "sg", "tso", "gso", "gro", "txvlan", "rxvlan", "tx-udp-segmentation"]
LONG = {"tx-checksumming": "tx", "rx-checksumming": "rx", "scatter-gather": "sg", "tcp-segmentation-offload": "tso",
        "generic-segmentation-offload": "gso", "generic-receive-offload": "gro", "tx-vlan-offload": "txvlan",
        "rx-vlan-offload": "rxvlan"}
# What a driver of Linux 6.12 lets its user switch. None lets VLAN offloads; USO needs a QEMU that passes it on.
LEAST = {"synthetic": {"tx", "sg", "tso", "gso", "gro"},
         **{model: {"tx", "rx", "sg", "tso", "gso", "gro"} for model in MODELS}}


def addresses(node, peer):
    """Where a node reaches its peer. Not every host's kernel knows VLANs, as guests' do."""
    return [peer.address, peer.address6 if "outside" in (node.name, peer.name) else vlan_address(peer)]


def vlan_address(node):
    return f"fd07::{node.number}"


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    for number, name in enumerate(GUESTS, start=1):
        model = {} if name == "synthetic" else {"model": name}
        bare_stage.add_vport(name, iov=bool(model), synthetic=not model, trunk=str(VLAN),
                             mac=f"02:00:00:00:04:{number:02x}", **model)
        bare_stage.boot(name, kernel=lab.kernels[0], mem=400)
    bare_stage.ready()
    in_parallel(lambda name: serve(bare_stage[name]), EVERYWHERE)
    yield bare_stage
    for job in bare_stage["outside"].services:
        job.kill()


def serve(node):
    """Its file, its address in the VLAN, and the two services."""
    node.sum = make_data(node, MIB)
    node.data = f"{node.scratch}/data.{MIB}"
    if node.mac:
        node.run(f"ip link add link {node.device} name tagged type vlan id {VLAN} && ip link set tagged up && "
                 f"ip addr add {vlan_address(node)}/64 dev tagged nodad")
    node.services = [node.spawn(f"nc -ll -p {TAKES} -e sha256sum"),
                     node.spawn(f"nc -ll -p {GIVES} -e cat {node.data}")]
    for port in (TAKES, GIVES):
        node.wait_listening(port)


def exchange(stage, node):
    """Sends the node's file to all others and gets theirs, by IPv4 and by IPv6, all at once. Returns what arrived
    otherwise than it left."""
    others = [stage[name] for name in EVERYWHERE if name != node.name]
    ends = {address: other for other in others for address in addresses(node, other)}
    text = node.run(f"for a in {' '.join(ends)}; do ("
                    f"there=$(nc -w 60 $a {TAKES} <{node.data}); "
                    f"here=$(nc -w 60 $a {GIVES} </dev/null | sha256sum); "
                    "echo $a ${there%% *} ${here%% *}) & done; wait", timeout=300)
    found = {line.split()[0]: tuple(line.split()[1:]) for line in text.splitlines()}
    return {f"{node.name} and {other.name} at {address}": found.get(address) for address, other in ends.items()
            if found.get(address) != (node.sum, other.sum)}


def features(node):
    """{short name: on} of those that can be switched."""
    text = node.run(f"ethtool -k {node.device}")
    found = re.findall(r"^([\w-]+): (on|off)$", text, re.M)
    return {LONG.get(name, name): state == "on" for name, state in found if LONG.get(name, name) in FEATURES}


def set_features(node, words):
    node.run(f"ethtool -K {node.device} {words}")
    node.host.carrier(node.device)


def errors(node):
    """What the node's kernel and its driver call corrupt."""
    text = node.run("cat /proc/net/snmp /proc/net/snmp6")
    total = sum(int(n) for n in re.findall(r"^\w+InCsumErrors\s+(\d+)", text, re.M))
    names, values = re.findall(r"^Tcp: (.*)$", text, re.M)
    total += int(dict(zip(names.split(), values.split()))["InCsumErrors"])
    if node.name in MODELS:
        total += node.ethtool_statistics()["rx_csum_offload_errors"]
    return total


@pytest.mark.parametrize("name", GUESTS)
def test_each_off(stage, name):
    node = stage[name]
    at_first = features(node)
    assert LEAST[name] <= at_first.keys()
    before = {other: errors(stage[other]) for other in EVERYWHERE}
    assert exchange(stage, node) == {}
    for feature, on in at_first.items():
        if not on:
            continue
        set_features(node, f"{feature} off")
        try:
            assert not features(node).get(feature, False)
            assert exchange(stage, node) == {}, f"with {feature} off"
        finally:
            set_features(node, " ".join(f"{key} on" for key, was in at_first.items() if was))
    assert features(node) == at_first
    assert {other: errors(stage[other]) for other in EVERYWHERE} == before


def test_all_off(stage):
    """First of one guest, then of two, then of all."""
    at_first = {name: features(stage[name]) for name in GUESTS}
    try:
        for name in GUESTS:
            set_features(stage[name], " ".join(f"{key} off" for key in at_first[name]))
            assert exchange(stage, stage[name]) == {}, f"{name} off"
    finally:
        for name in GUESTS:
            set_features(stage[name], " ".join(f"{key} on" for key, on in at_first[name].items() if on))


def verdicts(source, target):
    """What tcpdump in the target says of the TCP checksums of frames with data from the source."""
    capture = target.tcpdump(f"-v -c 40 'ether src {source.mac} and greater 1000'", "timeout 60 tcpdump")
    for address in addresses(source, target):
        assert source.run(f"nc -w 60 {address} {TAKES} <{source.data}").split()[0] == source.sum
    text = capture.wait(check=False)
    return len(re.findall(r"\(correct\)", text)), len(re.findall(r"\(incorrect", text))


@pytest.mark.parametrize("source, target", [pair for pair in itertools.permutations(EVERYWHERE, 2)
                                            if pair[0] != "outside"])
def test_captured(stage, source, target):
    """Who is no virtio driver gets finished checksums. A virtio driver gets them as the sender left them: unfinished,
    which is no error, or with `tx off` finished."""
    source, target = stage[source], stage[target]
    handed_on = target.name == "synthetic"
    target.run(f"ethtool -K {target.device} gro off")  # what is merged has the checksum of its first piece
    try:
        good, bad = verdicts(source, target)
        assert (bad > 0) == handed_on and good + bad >= 30, (good, bad)
        if handed_on:
            set_features(source, "tx off")
            good, bad = verdicts(source, target)
            assert good >= 30 and bad == 0, (good, bad)
    finally:
        set_features(source, "tx on sg on tso on")
        if target.mac:
            target.run(f"ethtool -K {target.device} gro on")
