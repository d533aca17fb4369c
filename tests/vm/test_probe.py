# SPDX-License-Identifier: BSD-3-Clause
"""VFs and the life of their drivers: each model with each kernel is found, reset, rebooted and killed.

    82599-6, 82599-7, x540-6, x540-7 (model and kernel) --VF-- switch -- outside
"""

import re

import pytest

from softiov import wait_until
from stage import KERNELS, in_parallel

NAMES = [f"{model}-{kernel[0]}" for model in ("82599", "x540") for kernel in KERNELS]
PCI_ID = {"82599": "0x8086:0x10ed", "x540": "0x8086:0x1515"}
DRIVERS = "/sys/bus/pci/drivers/ixgbevf"


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    kernels = {name[0]: name for name in lab.kernels}
    for number, name in enumerate(NAMES, start=1):
        model, kernel = name.split("-")
        if kernel in kernels:
            bare_stage.add_vport(name, model=model, mac=f"02:00:00:00:01:{number:02x}")
            bare_stage.boot(name, kernel=kernels[kernel])
    bare_stage.ready()
    return bare_stage


@pytest.fixture(params=NAMES)
def node(request, stage):
    if request.param not in stage.nodes:
        pytest.skip("the mirror has no kernel of that series")
    return stage[request.param]


def flr(stage, node):
    """Reset the function behind the driver's back: its rings are gone until the driver has noticed."""
    def messages():
        return stage.daemon.show("vf", f"lan/{stage.vport(node.name)['vf']}")["messages"]

    before = messages()
    node.run(f"echo flr >/sys/bus/pci/devices/{node.pci()}/reset_method; "
             f"echo 1 >/sys/bus/pci/devices/{node.pci()}/reset")
    # Before anybody has looked the driver may have noticed, and then it has begun anew.
    assert wait_until(lambda: stage.vport(node.name)["path"] == "none" or messages() > before)


@pytest.mark.asan
def test_identity(stage, node):
    model = node.name.split("-")[0]
    dev = node.device
    assert node.run(f"cd /sys/class/net/{dev}/device; echo $(cat vendor):$(cat device)") == PCI_ID[model]
    assert node.run(f"cat /sys/class/net/{dev}/address") == stage.vport(node.name)["mac"]
    info = dict(line.split(": ", 1) for line in node.run(f"ethtool -i {dev}").splitlines())
    assert info["driver"] == "ixgbevf"
    assert info["bus-info"] == node.pci()
    link = node.run(f"ethtool {dev}")
    assert "Speed: 10000Mb/s" in link and "Duplex: Full" in link and "Link detected: yes" in link
    assert node.mtu() == 1500
    assert re.search(f"{model}.* Virtual Function", node.run("lspci"), re.I)
    vport = stage.vport(node.name)
    assert (vport["path"], vport["vf-state"]) == ("vf", "active")
    # The newest that the kernel's driver knows; 6.12 stops at 1.7 as well.
    assert vport["vf-api"] == "1.7"


@pytest.mark.asan
def test_all_reach_each_other(stage, node):
    stage.works(node.name)
    for name in stage.guests:
        if name != node.name:
            assert node.reaches(stage[name]) and node.reaches(stage[name].address6), name


def test_drivers_own_test(node):
    """ethtool's link test. Its register test wants RDLEN's low bits to read as 0, which the queue pages,
    being memory that the guest maps, cannot do."""
    text = node.call(f"ethtool -t {node.device} online")[1]
    assert "The test result is PASS" in text, text


@pytest.mark.asan
def test_rebind(stage, node):
    pci = node.pci()
    for _ in range(3):
        node.run(f"echo {pci} >{DRIVERS}/unbind")
        stage.wait_path(node.name, "none")
        assert stage.vport(node.name)["vf-state"] == "attached"
        node.run(f"echo {pci} >{DRIVERS}/bind")
        node.configure()
    assert stage.vport(node.name)["path"] == "vf"
    stage.works(node.name)


def test_module_reload(stage, node):
    for _ in range(3):
        node.run("modprobe -r ixgbevf && modprobe ixgbevf")
        node.configure()
    stage.works(node.name)


@pytest.mark.asan
def test_up_and_down(stage):
    """All four at once, fifty times."""
    def toggle(name):
        dev = stage[name].device
        stage[name].run(f"for i in $(seq 50); do ip link set {dev} down && ip link set {dev} up || exit 1; "
                        "done", timeout=600)
        stage[name].configure()

    in_parallel(toggle, stage.guests)
    for name in stage.guests:
        stage.works(name)


def test_flr(stage, node):
    flr(stage, node)
    assert node.reaches(stage["outside"])
    stage.works(node.name)


@pytest.mark.asan
def test_flr_in_traffic(stage, node):
    with stage.traffic(node.name, "outside"):
        flr(stage, node)
        stage.wait_flow([node.name])
    stage.works(node.name)


def test_down_and_unbind_in_traffic(stage, node):
    stage.restart_driver(node, DRIVERS)


@pytest.mark.asan
def test_reboot(stage):
    """By the guest's kernel, then by the reset button in full traffic, which unmaps memory under DMA."""
    def reboot(name):
        stage.guests[name].reboot()
        stage[name].configure()

    in_parallel(reboot, stage.guests)
    for name in stage.guests:
        stage.works(name)


@pytest.mark.asan
def test_system_reset_in_traffic(stage, node):
    with stage.traffic(node.name, "outside"):
        stage.reset(node.name)
    stage.works(node.name)


@pytest.mark.asan
def test_killed_in_traffic(stage, node):
    """QEMU dies by SIGKILL in full traffic; a new one takes its place."""
    with stage.traffic(node.name, "outside"):
        kernel = stage.guests[node.name].kernel
        stage.guests[node.name].kill()
        assert wait_until(lambda: stage.vport(node.name)["vf-state"] == "listening"), stage.vport(node.name)
    stage.boot(node.name, kernel=kernel)
    stage.ready(node.name)
    stage.works(node.name)
