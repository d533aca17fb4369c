# SPDX-License-Identifier: BSD-3-Clause
"""Two guests with Linux's own drivers and iperf3, by softiov's adapters and by QEMU's igb.

    guest -- 82599 VF, 82576 VF or synthetic -- softiovd -- the same -- guest
    guest -- VF of the QEMU's own igb -- its PF's netdev -- VF of the other QEMU's igb -- guest

The guests are the VM lab's (tests/vm). All pairs are up at once and take turns, so that each round meets
the same phase of the machine. Frames are counted where the receiver's driver got them: iperf3 itself reads
what is left by a guest that is too slow for it. Processor time is that of both QEMUs and the daemon.
"""

import json
import os
import statistics
import subprocess
import sys
import time

import contenders
import softiov
from machine import BenchError

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/vm"))
import lab as vmlab  # noqa: E402

MEMORY_MIB = 320
KINDS = {"82599": {"model": "82599", "synthetic": False},
         "82599-trap": {"model": "82599", "synthetic": False, "doorbell": "trap"},
         "82576": {"model": "82576", "synthetic": False},
         "synthetic": {"iov": False}}
NAMES = {"82599": "softiov 82599 VF", "82599-trap": "the same, doorbell trap", "82576": "softiov 82576 VF",
         "synthetic": "softiov synthetic"}
QEMU_IGB = "qemu igb VF"
# A UDP payload of 18 bytes makes an Ethernet frame of 64.
TRAFFIC = {"tcp": "", "udp-64": "-u -l 18 -b 0"}
WAYS = ("", "-R")
TRIES = 3  # on a busy machine iperf3 may break off under a flood, and guests may misjudge their clocks
FRAME_BITS = 64 * 8
COUNTERS = ("traps", "irqs", "messages")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def with_wrong_clock(guests):
    """Those whose clock does not go as the host's does. A kernel that started while the machine was busy may
    have measured its processor's frequency wrongly, by a factor even, and all of its rates would be wrong."""
    def clocks(guest):
        return time.monotonic(), float(guest.run("cut -d' ' -f1 /proc/uptime"))

    def is_wrong(before, after):
        host, own = (now - then for now, then in zip(after, before))
        return abs(own / host - 1) > 0.15

    before = [clocks(guest) for guest in guests]
    time.sleep(1)
    return [guest for guest, then in zip(guests, before) if is_wrong(then, clocks(guest))]


class Pair:
    """Two guests that reach each other by one kind of adapter."""

    def __init__(self, name, guests, daemon=None, vports=()):
        self.name, self.guests, self.daemon, self.vports = name, guests, daemon, vports

    def prepare(self, number):
        self.address = f"10.{number}.0.2"
        self.devices = []
        for end, guest in enumerate(self.guests, 1):
            device = self.find_device(guest, end)
            self.devices.append(device)
            guest.run(f"ip addr add 10.{number}.0.{end}/24 dev {device}; ip link set {device} up")
            guest.carrier(device)
        self.guests[1].spawn("iperf3 -s")
        self.guests[0].run(f"until ping -c 1 -W 1 {self.address}; do usleep 100000; done", timeout=30)

    def find_device(self, guest, _end):
        return guest.netdev()

    def cpu_seconds(self):
        """Of the guests, with their QEMUs, and of the switch."""
        return (sum(cpu_seconds(guest.process.pid) for guest in self.guests),
                self.daemon.cpu_seconds() if self.daemon else 0)

    def frames(self):
        """Received by each of the guests' drivers."""
        return [int(guest.run(f"cat /sys/class/net/{device}/statistics/rx_packets"))
                for guest, device in zip(self.guests, self.devices)]

    def counters(self):
        """Register accesses by messages, interrupts and mailbox messages of the pair's VFs."""
        if not self.vports:
            return {}
        shown = [vf for vf in self.daemon.vfs() if vf["vport"] in self.vports]
        return {key: sum(vf[key] for vf in shown) for key in COUNTERS}

    def iperf3(self, traffic, way, seconds):
        """What was received, of one way."""
        for _ in range(TRIES):
            status, text = self.guests[0].call(
                f"iperf3 -J {way} -t {seconds} {TRAFFIC[traffic]} -c {self.address}", timeout=seconds + 60)
            if status == 0:
                return json.loads(text)["end"]["sum_received"]
        raise BenchError(f"{self.name}: iperf3 failed {TRIES} times:\n{text[-500:]}")

    def measure(self, traffic, seconds):
        """One block: one way, then the other."""
        frames, counters, cpu = self.frames(), self.counters(), self.cpu_seconds()
        start = time.monotonic()
        received = [self.iperf3(traffic, way, seconds) for way in WAYS]
        took = time.monotonic() - start
        cpu = [after - before for after, before in zip(self.cpu_seconds(), cpu)]
        frames = [after - before for after, before in zip(self.frames(), frames)][::-1]
        if traffic == "tcp":
            ways = [way["bits_per_second"] / 1e9 for way in received]
        else:
            ways = [n / way["seconds"] * FRAME_BITS / 1e9 for n, way in zip(frames, received)]
        gbit_s = statistics.mean(ways)
        sample = {"gbit_s": gbit_s, "gbit_s_by_way": ways, "cpus": sum(cpu) / took,
                  "cpu_s_per_gbit": sum(cpu) / (gbit_s * seconds * len(WAYS)),
                  "switch_cpu_pct": 100 * cpu[1] / sum(cpu)}
        if traffic != "tcp":
            sample["kpps"] = gbit_s / FRAME_BITS * 1e6
        for key, n in self.counters().items():
            sample[key + "_per_s"] = (n - counters[key]) / took
        return sample

    def close(self):
        for guest in self.guests:
            guest.kill()


class IgbPair(Pair):
    """A QEMU's VFs are in the guest that has the PF; what they send to others leaves by its netdev."""

    def find_device(self, guest, end):
        pf = guest.netdev(driver="igb")
        mac = f"02:00:00:00:01:{end:02x}"
        guest.run(f"ip link set {pf} up; echo 1 >/sys/class/net/{pf}/device/sriov_numvfs")
        first = guest.netdev(driver="igbvf")
        # A VF takes over an address from its PF when its driver binds.
        pci = next(row["pci"] for row in guest.netdevs() if row["name"] == first)
        guest.run(f"ip link set {pf} vf 0 mac {mac}; echo {pci} >/sys/bus/pci/drivers/igbvf/unbind; "
                  f"echo {pci} >/sys/bus/pci/drivers/igbvf/bind")
        return guest.netdev(driver="igbvf", mac=mac)


class Daemon:
    """softiovd with two vports of each kind. It runs while QEMU's igb is measured: it sleeps when it is idle."""

    def __init__(self, processes, switch_cpu):
        folder = os.path.join(processes.folder, "softiov-guests")
        os.makedirs(folder)
        self.daemon = softiov.Daemon(folder, "--workers", str(switch_cpu), "--log-level", "warn", "--no-huge")
        processes.running.append(self.daemon.process)
        processes.folders.append(self.daemon.run_dir)
        self.processes = processes
        self.daemon.call("config.apply", objects={
            "switch": {"bench": {}},
            "vport": {f"{kind}-{end}": dict(fields, switch="bench", mac=f"02:00:00:00:02:{8 * n + end:02x}")
                      for n, (kind, fields) in enumerate(KINDS.items()) for end in (1, 2)}})

    def devices(self, kind, end):
        shown = self.daemon.show("vport", f"{kind}-{end}")
        if "syn-socket" in shown:
            return vmlab.syn_args(shown["syn-socket"], shown["mac"])
        return vmlab.vf_args(shown["vf-socket"])

    def vfs(self):
        return self.daemon.call("vf.show")

    def cpu_seconds(self):
        return cpu_seconds(self.daemon.pid)

    def close(self):
        contenders.stop_daemon(self.processes, self.daemon)


def igb_devices(path, end):
    stream = f"stream,id=net0,addr.type=unix,addr.path={path},"
    stream += "server=on" if end == 1 else "server=off,reconnect-ms=200"
    return vmlab.root_port("rp-igb", 1) + [
        "-netdev", stream, "-device", f"igb,bus=rp-igb,netdev=net0,mac=02:00:00:00:00:1{end},romfile="]


def has_igb(lab):
    done = subprocess.run([*lab.qemu, "-M", "none", "-device", "help"], capture_output=True, text=True,
                          check=False)
    return '"igb"' in done.stdout


class Guests:
    """All the pairs."""

    def __init__(self, processes, switch_cpu, left_out):
        try:
            self.lab = vmlab.Lab.open()
        except vmlab.LabError as error:
            raise BenchError(f"no VM lab: {str(error).splitlines()[0]}")
        self.left_out = left_out
        self.daemon = Daemon(processes, switch_cpu)
        self.pairs = []
        try:
            self.start(processes.folder)
            self.wait_ready()
            for number, pair in enumerate(self.pairs, 1):
                pair.prepare(number)
        except BaseException as error:
            self.close()
            if isinstance(error, vmlab.GuestError):
                raise BenchError(str(error)) from error
            raise

    def boot(self, name, devices):
        return self.lab.guest(name, mem=MEMORY_MIB, devices=devices)

    def start(self, folder):
        for kind in KINDS:
            guests = []
            self.pairs.append(Pair(NAMES[kind], guests, self.daemon,
                                   [f"{kind}-{end}" for end in (1, 2)] if "model" in KINDS[kind] else ()))
            for end in (1, 2):
                guests.append(self.boot(f"bench-{kind}-{end}", self.daemon.devices(kind, end)))
        if not has_igb(self.lab):
            self.left_out.append("guests: the VM lab's QEMU has no igb")
            return
        guests = []
        self.pairs.append(IgbPair(QEMU_IGB, guests))
        for end in (1, 2):
            guests.append(self.boot(f"bench-igb-{end}", igb_devices(os.path.join(folder, "igb.sock"), end)))

    def wait_ready(self):
        guests = [guest for pair in self.pairs for guest in pair.guests]
        for guest in guests:
            guest.wait_ready(120)
        for _ in range(TRIES):
            guests = with_wrong_clock(guests)
            if not guests:
                return
            for guest in guests:
                guest.reset(120)
        raise BenchError("the guests' clocks are wrong: the machine is too busy")

    def measure(self, rounds, seconds, say):
        """[{"traffic", "adapter", medians, "blocks"}] and [{"traffic", "adapter", ratios to QEMU's igb}]"""
        blocks = {(traffic, pair.name): [] for traffic in TRAFFIC for pair in self.pairs}
        for turn in range(rounds):
            for traffic in TRAFFIC:
                for pair in self.pairs:
                    blocks[traffic, pair.name].append(pair.measure(traffic, seconds))
            say(f"guests: round {turn + 1} of {rounds}")
        return [conclude(traffic, name, found, blocks.get((traffic, QEMU_IGB)))
                for (traffic, name), found in blocks.items()]

    def close(self):
        for pair in self.pairs:
            pair.close()
        self.daemon.close()


def conclude(traffic, name, found, peers):
    """Medians of the blocks, and of each round's ratio to QEMU's igb."""
    entry = {"traffic": traffic, "adapter": name}
    for key in found[0]:
        if key != "gbit_s_by_way":
            entry[key] = statistics.median(block[key] for block in found)
    for key in ("gbit_s", "cpu_s_per_gbit"):
        ratios = [ours[key] / theirs[key] for ours, theirs in zip(found, peers or [])]
        entry[key + "_over_igb"] = statistics.median(ratios) if ratios else None
    entry["blocks"] = found
    return entry
