# SPDX-License-Identifier: BSD-3-Clause
"""A second driver on the same devices: DPDK's, in a guest that has one VF of each controller.

    testpmd, by net_ixgbe_vf (82599, x540, x550) and net_e1000_igb_vf (82576, i350) -- switch -- outside

testpmd drives one family at a time, each port for itself: what it sends goes back where it came from.
"""

import re
import time

import pytest

import testpmd
from guest import PATIENCE, vf_args
from testpmd import Testpmd
from wire import Wire, mac_bytes, packet, split

MODELS = ["82599", "x540", "x550", "82576", "i350"]
MACS = {name: f"02:00:00:00:00:{number:02x}" for number, name in enumerate(MODELS, 1)}
# Which VFs, how many queue pairs of each, the name of their driver, the speed they say.
SETS = {"ixgbe": (MODELS[:3], 4, "net_ixgbe_vf", "10 Gbps"),
        "igb": (MODELS[3:], 1, "net_e1000_igb_vf", "1 Gbps"),
        "82599-8": (["82599"], 8, "net_ixgbe_vf", "10 Gbps"),
        "82576-2": (["82576"], 2, "net_e1000_igb_vf", "1 Gbps")}
ARGUMENTS = "--rss-udp --max-pkt-len=9014 --enable-rx-cksum"
BATCH = 60  # frames on their way at a time: a busy machine must not lose any
VLAN, OTHER_VLAN = 100, 101


class Ports:
    """A testpmd and the wire that its ports can be reached by."""

    def __init__(self, stage, wire, pmd, names, n_queues):
        self.stage, self.wire, self.pmd, self.names, self.n_queues = stage, wire, pmd, names, n_queues

    def each(self, *lines):
        """Commands with {port} for each of the ports."""
        return [self.pmd.run(*(line.format(port=port) for line in lines)) for port in range(len(self.names))]

    def configure(self, *lines):
        """What needs stopped ports."""
        self.pmd.run("stop", "port stop all")
        self.each(*lines)
        assert "Fail" not in self.pmd.run("port start all")

    def forward(self, mode):
        self.pmd.run("stop", f"set fwd {mode}", "clear fwd stats all", "start")

    def head(self, name, kind=b"\x08\x00", tag=b""):
        return mac_bytes(MACS[name]) + self.wire.mac + tag + kind

    def frames(self, name, count, size=100, versions=(4, 6), tag=b""):
        """Frames of many flows for a port, each of a content of its own."""
        return [self.head(name, b"\x08\x00" if version == 4 else b"\x86\xdd", tag)
                + packet(version, kind, bytes([n % 256]) * (size + n % 64), (1000 + n, 2000 + 7 * n))
                for n in range(count) for version in versions for kind in ("tcp", "udp")]

    def exchange(self, frames, count=None, timeout=PATIENCE):
        """Sends frames and returns what comes back for them, as many as they are or `count`."""
        answers = []
        self.wire.drain()
        for at in range(0, len(frames), BATCH):
            part = frames[at:at + BATCH]
            for frame in part:
                self.wire.send(frame)
            answers += self.wire.receive(self.is_answer, len(part) if count is None else count, timeout)
        return answers

    def is_answer(self, frame):
        return frame[:6] == self.wire.mac and frame[6:11] == b"\x02\0\0\0\0"

    def stream_counts(self, side):
        """{(port, queue): frames} by testpmd's own count of its forwarding."""
        text = self.pmd.run("show fwd stats all")
        if self.n_queues == 1:
            where = r"statistics for port (\d)() "
        else:
            where = rf"{side} Port= (\d)/Queue= (\d)"
        found = re.findall(where + rf".*?\s{side}-packets: (\d+)", text, re.S)
        counts = {}
        for port, queue, n in found:
            where = int(port), int(queue or 0)
            counts[where] = counts.get(where, 0) + int(n)
        return counts


def swapped(frame):
    return frame[6:12] + frame[:6] + frame[12:]


def wait_for(condition, timeout=PATIENCE):
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module")
def machine(lab, bare_stage, tmp_path_factory):
    """(stage, guest, its testpmd's serial port, {MAC: PCI address})"""
    stage, devices = bare_stage, []
    stage.set_uplink_mtu(9000)
    # Frames are counted, so nobody may send any by himself, nor ask who sent what he got.
    stage["outside"].run("echo 1 >/proc/sys/net/ipv6/conf/out0/disable_ipv6; ip address flush dev out0")
    for slot, name in enumerate(MODELS, 1):
        queues = {"82599": {"queues": 8}, "x540": {"queues": 4}, "x550": {"queues": 4}}.get(name, {})
        stage.add_vport(name, model=name, mac=MACS[name], trust=True, mtu=9000,
                        trunk=f"{VLAN},{OTHER_VLAN}", **queues)
        devices.append(vf_args(stage.vport(name)["vf-socket"], f"vf{slot}", slot))
    path = str(tmp_path_factory.mktemp("dpdk") / "pmd.sock")
    kernel = lab.kernel()
    with lab.guest("dpdk", kernel=kernel, initramfs=lab.dpdk_initramfs(kernel), mem=768, cpus=2,
                   devices=devices, extra=testpmd.serial_args(path)) as guest:
        guest.wait_ready()
        yield stage, guest, path, testpmd.take_over(guest, len(MODELS))


@pytest.fixture(scope="module", params=["ixgbe", "igb"])
def ports(request, machine):
    stage, guest, path, addresses = machine
    names, n_queues, _, _ = SETS[request.param]
    start = {name: stage.vport(name)["rx-frames"] for name in names}
    with Testpmd(guest, path, [addresses[MACS[name]] for name in names],
                 f"--rxq={n_queues} --txq={n_queues} {ARGUMENTS}") as pmd, \
            Wire(stage.outside, "out0") as wire:
        found = Ports(stage, wire, pmd, names, n_queues)
        found.family, found.start = request.param, start
        yield found


def test_identity(ports):
    _, _, driver, speed = SETS[ports.family]
    text = ports.pmd.run("show port summary all")
    for port, name in enumerate(ports.names):
        assert re.search(rf"^{port}\s+{MACS[name]}\s+\S+\s+{driver}\s+up\s+{speed}$", text, re.M), text
        assert ports.stage.vport(name)["path"] == "vf"


def test_speed(ports):
    """As the administrator says; 2.5 Gbit/s is the X550's."""
    port, name = len(ports.names) - 1, ports.names[-1]
    speeds = {"1gbit": "1 Gbps", "2.5gbit": "2.5 Gbps"} if name == "x550" else {"100mbit": "100 Mbps"}
    for speed, said in {**speeds, None: SETS[ports.family][3]}.items():
        ports.stage.set(name, speed=speed)
        assert wait_for(lambda: re.search(rf"^{port}\s.*\sup\s+{said}$", ports.pmd.run("show port summary all"), re.M))


def test_macswap(ports):
    """Every frame comes back, and every byte is right."""
    ports.forward("macswap")
    for name in ports.names:
        frames = ports.frames(name, 60)
        assert sorted(ports.exchange(frames)) == sorted(map(swapped, frames)), name


def test_rxonly(ports):
    """What a peer sends is counted alike by the driver, the VF's registers and the switch; RSS spreads it."""
    ports.forward("rxonly")
    before = {name: ports.stage.vport(name)["rx-frames"] for name in ports.names}
    frames = {name: ports.frames(name, 60) for name in ports.names}
    for name in ports.names:
        for at in range(0, len(frames[name]), BATCH):
            for frame in frames[name][at:at + BATCH]:
                ports.wire.send(frame)
            assert wait_for(lambda n=name, i=at: ports.stage.vport(n)["rx-frames"] - before[n]
                            >= len(frames[n][i:i + BATCH]) + i)
    for port, name in enumerate(ports.names):
        n = len(frames[name])
        assert ports.stage.vport(name)["rx-frames"] - before[name] == n
        total = ports.stage.vport(name)["rx-frames"] - ports.start[name]
        assert wait_for(lambda p=port, k=total: ports.pmd.statistics(p)["rx_good_packets"] == k), name
        counts = [count for (p, _), count in ports.stream_counts("RX").items() if p == port]
        assert sum(counts) == n, counts
        assert len(counts) == 1 if ports.n_queues == 1 else len(counts) > 1, counts


def test_txonly(ports):
    """What the driver has sent, the switch has got, and a peer sees whole frames of it."""
    ports.pmd.run("stop", "set txpkts 64", "set burst 4")
    ports.each("set eth-peer {port} " + ports.wire.mac.hex(":"))
    before = {name: ports.stage.vport(name)["tx-frames"] for name in ports.names}
    ports.forward("txonly")
    for name in ports.names:
        seen = ports.wire.receive(lambda frame, mac=mac_bytes(MACS[name]): frame[6:12] == mac
                                  and frame[:6] == ports.wire.mac, 20)
        assert len(seen) == 20, name
        for frame in seen:
            assert len(frame) == 64
            split(frame)
    ports.pmd.run("stop", "set burst 32")

    def counts(port, name):
        """By the driver, which asks the VF's registers, and by the switch."""
        by_queue = ports.stream_counts("TX").items()
        return (sum(count for (p, _), count in by_queue if p == port),
                ports.stage.vport(name)["tx-frames"] - before[name])

    for port, name in enumerate(ports.names):
        assert wait_for(lambda p=port, n=name: len(set(counts(p, n))) == 1), (name, counts(port, name))


def test_checksum_offloads(ports):
    """testpmd's csum asks the VF for all checksums, over IPv4 and IPv6."""
    ports.configure(*(f"csum set {kind} hw {{port}}" for kind in ("ip", "udp", "tcp")))
    ports.forward("csum")
    for name in ports.names:
        frames = ports.frames(name, 15)
        answers = ports.exchange(frames)
        assert len(answers) == len(frames), name
        payloads = [(split(frame)[1][:4], frame[-64:]) for frame in frames]
        assert sorted((split(frame)[1][:4], frame[-64:]) for frame in answers) == sorted(payloads)


def test_large_sends(ports):
    """A TCP segment that testpmd has the VF cut into MSS-sized ones; their bytes in order are the segment's."""
    mss = 500
    ports.configure("csum set tcp hw {port}", f"tso set {mss} {{port}}")
    ports.forward("csum")
    try:
        for name in ports.names:
            for version in (4, 6):
                payload = bytes(n * 7 % 251 for n in range(1400))
                sent = ports.head(name, b"\x08\x00" if version == 4 else b"\x86\xdd")
                answers = ports.exchange([sent + packet(version, "tcp", payload)], 3)
                segments = sorted(split(frame)[1] for frame in answers)
                assert [len(segment) - 20 for segment in segments] == [500, 500, 400], (name, version)
                assert [int.from_bytes(segment[4:8], "big") for segment in segments] == [1000, 1500, 2000]
                assert b"".join(segment[20:] for segment in segments) == payload
    finally:
        ports.configure("tso set 0 {port}")


def test_vlans(ports):
    """Tags are stripped, filtered and inserted as the driver asks."""
    tags = {vlan: b"\x81\x00" + vlan.to_bytes(2, "big") for vlan in (VLAN, OTHER_VLAN)}
    offloads = [f"port config {{port}} rx_offload vlan_{what} {{on}}" for what in ("filter", "strip")]
    ports.configure(*(line.replace("{on}", "on") for line in offloads))
    ports.each(f"rx_vlan add {VLAN} {{port}}")
    ports.forward("macswap")
    try:
        for name in ports.names:
            tagged = {vlan: ports.frames(name, 1, tag=tag)[0] for vlan, tag in tags.items()}
            answers = ports.exchange([tagged[OTHER_VLAN], tagged[VLAN]], 1)
            assert answers == [swapped(ports.frames(name, 1)[0])], name
        ports.each(f"rx_vlan rm {VLAN} {{port}}")
        for name in ports.names:
            frames = ports.frames(name, 1)
            tagged = ports.frames(name, 1, tag=tags[VLAN])
            assert ports.exchange([tagged[1], frames[0]], 1) == [swapped(frames[0])], name
        ports.configure(f"tx_vlan set {{port}} {VLAN}")
        ports.forward("macswap")
        for name in ports.names:
            frame = ports.frames(name, 1)[0]
            answer = swapped(frame)
            assert ports.exchange([frame], 1) == [answer[:12] + tags[VLAN] + answer[12:]], name
    finally:
        ports.configure("tx_vlan reset {port}", *(line.replace("{on}", "off") for line in offloads))


def test_filters(ports):
    """Unicast and multicast addresses, promiscuous modes."""
    other, group = b"\x02\x00\x00\x00\xff\x01", b"\x01\x00\x5e\x01\x02\x03"
    has_filters = ports.family == "ixgbe"  # DPDK's igbvf sets no unicast filters
    name, run = ports.names[0], ports.pmd.run
    run("stop", "set promisc all off", "set allmulti all off")
    ports.forward("macswap")
    frame = ports.frames(name, 1)[0]

    def arrives(target):
        """The answer to a frame to the VF itself, sent behind the other, says that it was there, too."""
        before = ports.stage.vport(name)["rx-frames"]
        ports.wire.send(target + frame[6:])
        assert ports.exchange([frame]) == [swapped(frame)]
        return ports.stage.vport(name)["rx-frames"] - before == 2

    try:
        assert not arrives(other) and not arrives(group)
        run(f"mcast_addr add 0 {group.hex(':')}")
        assert arrives(group) and not arrives(other)
        run(f"mcast_addr remove 0 {group.hex(':')}")
        assert not arrives(group)
        if has_filters:
            run(f"mac_addr add 0 {other.hex(':')}")
            assert arrives(other) and not arrives(group)
            run(f"mac_addr remove 0 {other.hex(':')}")
            assert not arrives(other)
        run("set allmulti all on")
        assert arrives(group) and not arrives(other)
        run("set promisc all on")
        assert arrives(other)
    finally:
        run("stop", "set promisc all on")


def test_stop_and_start(ports):
    for _ in range(3):
        ports.configure()
    ports.forward("macswap")
    for name in ports.names:
        frames = ports.frames(name, 10)
        assert sorted(ports.exchange(frames)) == sorted(map(swapped, frames)), name


def test_jumbo(ports):
    """Frames of up to 9014 bytes, in buffers of 2048, both ways."""
    ports.configure("port config mtu {port} 9000")
    ports.forward("macswap")
    for name in ports.names:
        frames = ports.frames(name, 1, 1990) + ports.frames(name, 1, 8900)
        assert sorted(ports.exchange(frames)) == sorted(map(swapped, frames)), name


@pytest.mark.parametrize("ports", ["82599-8", "82576-2"], indirect=True)
def test_all_queues(ports):
    """As many pairs as the VF has: RSS over eight for the one, all from the first for the other."""
    name, n_queues = ports.names[0], ports.n_queues
    assert re.search(rf"Max possible RX queues: {n_queues}\n", ports.pmd.run("show port info 0"))
    ports.forward("macswap")
    frames = ports.frames(name, 60)
    assert sorted(ports.exchange(frames)) == sorted(map(swapped, frames))
    used = {queue for (_, queue), n in ports.stream_counts("RX").items() if n > 0}
    assert len(used) > 2 if n_queues > 2 else used == {0}, used
