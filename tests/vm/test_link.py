# SPDX-License-Identifier: BSD-3-Clause
"""The link that a guest sees, and both adapters of a vport as a failover pair.

    vf82599, vfx540, synthetic -- switch -- outside
    pair (virtio_net standby, VF primary, net_failover above both) -- switch
"""

import shlex
import time

import pytest

from softiov import wait_until

ALL = ["vf82599", "vfx540", "synthetic"]


@pytest.fixture
def link(trio):
    """Sets a vport's link by the command line; back to the default in the end."""
    changed = set()

    def set_link(name, value):
        changed.add(name)
        trio.softiov("vport", "set", name, "link", value)

    yield set_link
    for name in changed:
        trio.softiov("vport", "set", name, "link", "default")
        trio[name].host.carrier(trio[name].device)


@pytest.mark.asan
@pytest.mark.parametrize("name", ALL)
def test_link_down_and_up(trio, link, name):
    """A VF's guest sees it. A synthetic's does not, as vhost-user has no message for it."""
    node = trio[name]
    carrier = f"/sys/class/net/{node.device}/carrier"
    for _ in range(2):
        link(name, "down")
        if name != "synthetic":
            node.run(f"while [ $(cat {carrier}) != 0 ]; do usleep 50000; done")
        assert node.cut_off(trio["outside"]) and trio["outside"].cut_off(node)
        link(name, "up")
        node.run(f"while [ $(cat {carrier}) != 1 ]; do usleep 50000; done")
        assert node.reaches(trio["outside"])
    link(name, "default")
    assert node.run(f"cat {carrier}") == "1"
    trio.works(name)


@pytest.mark.parametrize("name", ALL)
def test_link_down_in_traffic(trio, link, name):
    with trio.traffic(name, "outside"):
        link(name, "down")
        before = trio.vport(name)["rx-frames"]
        time.sleep(0.5)
        assert trio.vport(name)["rx-frames"] == before
        link(name, "up")
        trio.wait_flow([name])


def test_link_down_before_boot(lab, trio):
    trio.set("vf82599", link="down")
    trio.guests["vf82599"].reboot()
    node = trio["vf82599"]
    device = node.host.netdev(mac=node.mac)
    node.run(f"ip addr add {node.address}/24 dev {device}; ip link set {device} up; sleep 2")
    assert node.run(f"cat /sys/class/net/{device}/carrier") == "0"
    trio.set("vf82599", link=None)
    node.configure()
    trio.works("vf82599")


@pytest.mark.parametrize("name", ["vf82599", "vfx540"])
def test_mtu_change_in_traffic(trio, name):
    node = trio[name]
    with trio.traffic(name, "outside"):
        for mtu in (1280, 1400, 576, 1500):
            node.run(f"ip link set {node.device} mtu {mtu}")
            node.host.carrier(node.device)
        trio.wait_flow([name])
    node.configure()
    trio.works(name)


@pytest.mark.parametrize("name", ["vf82599", "vfx540"])
def test_mtu_of_the_vport_and_the_guest(trio, name):
    node = trio[name]
    trio.set(name, mtu=4000)
    try:
        assert node.reaches(trio["outside"])
        assert node.call(f"ip link set {node.device} mtu 4001")[0] != 0
        node.run(f"ip link set {node.device} mtu 4000")
        assert node.mtu() == 4000
        node.run(f"ip link set {node.device} mtu 1500")
    finally:
        trio.set(name, mtu=None)
    node.configure()
    trio.works(name)


# --- adapters as `softiov vport qemu-args` prints them ---


def qemu_args(stage, name, device):
    return shlex.split(stage.softiov("vport", "qemu-args", name, "device", device).replace("\\\n", " "))


@pytest.mark.parametrize("device,driver", [("vf", "ixgbevf"), ("synthetic", "virtio_net")])
def test_printed_arguments(lab, trio, device, driver):
    """A vport with both adapters; its guest has one."""
    name = f"printed-{device}"
    trio.add_vport(name, synthetic=True)
    trio.start(name, qemu_args(trio, name, device), kernel=lab.kernels[0])
    trio.ready(name)
    assert trio.guests[name].netdev(mac=trio[name].mac, driver=driver)
    assert trio.vport(name)["path"] == device
    trio.works(name)
    trio.guests[name].kill()


class Pair:
    """The guest of a failover pair: net_failover's device is the node's."""

    def __init__(self, stage, node):
        self.stage, self.node = stage, node
        masters = ("for d in /sys/class/net/*; do [ -e $d/address ] && [ ! -e $d/master ] && "
                   f"[ $(cat $d/address) = {node.mac} ] && echo ${{d##*/}}; done; true")

        def found():
            return node.run(masters).split() if len(node.host.netdevs()) == 3 else []

        assert wait_until(lambda: len(found()) == 1), node.host.netdevs()
        node.device, = found()
        self.pci = next(row["pci"] for row in node.host.netdevs() if row["driver"] == "ixgbevf")

    def configure(self):
        node = self.node
        node.run(f"ip addr replace {node.address}/24 dev {node.device}; "
                 f"ip addr replace {node.address6}/64 dev {node.device} nodad; "
                 f"ip link set {node.device} up")
        node.host.carrier(node.device)


@pytest.fixture(scope="module")
def pair(lab, trio):
    trio.add_vport("pair", synthetic=True)
    trio.start("pair", qemu_args(trio, "pair", "failover"), kernel=lab.kernels[0])
    trio.guests["pair"].wait_ready()
    pair = Pair(trio, trio["pair"])
    pair.configure()
    return pair


def test_standby(pair):
    """VIRTIO_NET_F_STANDBY (virtio 1.2, 5.1.3), by which the guest knows what to do with the two."""
    pci = next(row["pci"] for row in pair.node.host.netdevs() if row["driver"] == "virtio_net")
    assert pair.node.run(f"cat /sys/bus/pci/devices/{pci}/virtio*/features")[62] == "1"


def test_failover_path(trio, pair):
    """The VF carries the traffic while its driver is bound, the synthetic otherwise."""
    node = pair.node
    driver = "/sys/bus/pci/drivers/ixgbevf"
    trio.wait_path("pair", "vf")
    trio.works("pair")
    received = []
    for _ in range(3):
        pings = node.spawn(f"ping -n -i 0.05 -c 100 -W 2 {trio['outside'].address}")
        node.run(f"echo {pair.pci} >{driver}/unbind")
        trio.wait_path("pair", "synthetic")
        assert node.reaches(trio["outside"])
        trio.works("pair")
        node.run(f"echo {pair.pci} >{driver}/bind")
        trio.wait_path("pair", "vf")
        assert node.reaches(trio["outside"])
        trio.works("pair")
        text = pings.wait(check=False)
        received.append(int(text.split(" received")[0].split()[-1]))
    # A guest that gets no processor while it changes over loses more: so the best of them.
    assert max(received) >= 80, received
    assert trio["vf82599"].reaches(node) and node.reaches(trio["synthetic"])


def test_failover_in_traffic(trio, pair):
    node = pair.node
    with trio.traffic("pair", "outside"):
        for _ in range(2):
            node.run(f"echo {pair.pci} >/sys/bus/pci/drivers/ixgbevf/unbind")
            trio.wait_path("pair", "synthetic")
            trio.wait_flow(["pair"])
            node.run(f"echo {pair.pci} >/sys/bus/pci/drivers/ixgbevf/bind")
            trio.wait_path("pair", "vf")
            trio.wait_flow(["pair"])
    trio.works("pair")


def test_failover_pair_reboots(trio, pair):
    trio.guests["pair"].reboot()
    again = Pair(trio, trio["pair"])
    again.configure()
    pair.pci = again.pci
    trio.wait_path("pair", "vf")
    trio.works("pair")
