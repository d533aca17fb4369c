# SPDX-License-Identifier: BSD-3-Clause
"""Every model, with mapped and with trapped queue registers, in one guest of Linux 6.12.

    ten VFs of one guest, each in a network namespace of its own -- switch -- outside
"""

import re

import pytest

from guest import vf_args
from stage import transfer

MODELS = ["82599", "x540", "x550", "82576", "i350"]
DRIVER = {"82599": "ixgbevf", "x540": "ixgbevf", "x550": "ixgbevf", "82576": "igbvf", "i350": "igbvf"}
NAMES = [f"{model}-{doorbell}" for model in MODELS for doorbell in ("mapped", "trap")]


class Inside:
    """A network namespace of a guest, spoken to as the guest is."""

    def __init__(self, guest, netns):
        self.guest = guest
        self.prefix = f"ip netns exec {netns} "

    def wrap(self, command):
        text = command.replace("'", "'\\''")
        return f"{self.prefix}sh -c '{text}'"

    def call(self, command, timeout=30):
        return self.guest.call(self.wrap(command), timeout)

    def run(self, command, timeout=30):
        return self.guest.run(self.wrap(command), timeout)

    def spawn(self, command):
        return self.guest.spawn(self.wrap(command))

    @property
    def boot_id(self):
        return self.guest.boot_id

    def alive(self):
        return self.guest.alive()


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    devices = []
    for slot, name in enumerate(NAMES, start=1):
        model, doorbell = name.split("-")
        bare_stage.add_vport(name, model=model, doorbell=doorbell, mac=f"02:00:00:00:05:{slot:02x}")
        devices.append(vf_args(bare_stage.vport(name)["vf-socket"], f"vf{slot}", slot))
    bare_stage.guests["zoo"] = guest = lab.guest("zoo", devices=devices, mem=768, cpus=2)
    guest.wait_ready(120)
    for name in NAMES:
        node = bare_stage[name]
        node.device = guest.netdev(mac=node.mac)
        guest.run(f"ip netns add {name} && ip link set {node.device} netns {name}")
        node.host = Inside(guest, name)
        node.scratch = f"/tmp/{name}"
        node.run(f"mkdir -p {node.scratch}; ip link set lo up")
        up(node)
    return bare_stage


def up(node):
    node.run(f"ip link set {node.device} up; ip addr replace {node.address}/24 dev {node.device}; "
             f"ip addr replace {node.address6}/64 dev {node.device} nodad; "
             f"while [ $(cat /sys/class/net/{node.device}/carrier) != 1 ]; do usleep 20000; done")


@pytest.fixture(params=NAMES)
def node(request, stage):
    return stage[request.param]


def model_of(node):
    return node.name.split("-")[0]


def test_doorbell_is_as_set(stage, node):
    vf = stage.daemon.show("vf", f"lan/{stage.vport(node.name)['vf']}")
    assert vf["doorbell"] == node.name.split("-")[1]


def test_doorbell_of_an_attached_vm_stays(stage):
    """A change is for the next attachment: a VM keeps what it has mapped."""
    name = "x540-mapped"
    stage.set(name, doorbell="trap")
    try:
        vf = stage.daemon.show("vf", f"lan/{stage.vport(name)['vf']}")
        assert vf["doorbell"] == "mapped" and stage.vport(name)["doorbell"] == "trap"
        assert stage[name].reaches(stage["outside"])
    finally:
        stage.set(name, doorbell=None)


def test_tcp(stage, node):
    for source, target in ((node, stage["outside"]), (stage["outside"], node)):
        assert source.reaches(target)
        assert transfer(source, target, 2), (source.name, target.name)


def test_drivers_own_tests(stage):
    """The register test of ixgbevf writes patterns that only trapped registers can refuse bits of; the one of
    igbvf looks at the link alone. Each sleeps for 4 s."""
    for name in [name for name in NAMES if name.endswith("trap")] + ["82599-mapped"]:
        text = stage[name].call(f"ethtool -t {stage[name].device} offline")[1]
        results = dict(re.findall(r"^(\w+ test)\s.*?(\d+)$", text, re.M))
        passed = "The test result is PASS" in text
        assert results["Link test"] == "0", (name, text)
        if DRIVER[model_of(stage[name])] == "igbvf" or name.endswith("trap"):
            assert passed, (name, text)
        else:
            assert not passed and results["Register test"] != "0", (name, text)
        up(stage[name])
        assert stage[name].reaches(stage["outside"], patience=20)
