#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`make demo`: what softiov is for, shown with real VMs, each claim with a line and a figure.

    netns "outside" --veth-- uplink --+
    VM one, 82599 VF (ixgbevf) -------+-- switch "lan"
    VM two, X540 VF (ixgbevf) --------+
    VM three, synthetic (virtio_net) -+

Everything happens in network namespaces of its own, so the host's network stays as it is.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from guest import spawn_process, syn_args, vf_args
from lab import Lab

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
FORGED_MAC = "02:bd:bd:bd:bd:bd"
IDLE_LIMIT = 2.0  # % of a core
IDLE_SECONDS = 5
IPERF_SECONDS = 2


class Failed(Exception):
    """The demo shows something that is not so."""


class Reporter:
    """Lines with the time since the start; what was claimed and shown, in the end."""

    def __init__(self):
        self.start = time.monotonic()
        self.colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        self.shown = 0

    def line(self, text):
        print(f"[{time.monotonic() - self.start:5.1f} s] {text}", flush=True)

    def show(self, claim, figure, good=True):
        mark = "ok" if good else "NOT SO"
        if self.colour:
            mark = f"\033[{32 if good else 31}m{mark}\033[0m"
        self.line(f"{claim}: {figure}  {mark}")
        if not good:
            raise Failed(f"{claim}: {figure}")
        self.shown += 1


class Host:
    """The daemon in a namespace of its own, and one more that is the world outside."""

    def __init__(self, builddir, folder):
        self.folder = folder
        self.builddir = builddir
        tag = f"softiov-{os.getpid()}"
        self.inside, self.outside = f"{tag}-sw", f"{tag}-out"
        self.namespaces = []
        self.daemon = None
        self.iperf = None

    def ip(self, *words, netns=None):
        argv = ["ip"] + (["-n", netns] if netns else []) + list(words)
        subprocess.run(argv, check=True)

    def make_network(self):
        for name in (self.inside, self.outside):
            self.ip("netns", "add", name)
            self.namespaces.append(name)
            self.ip("link", "set", "lo", "up", netns=name)
        self.ip("link", "add", "uplink0", "type", "veth", "peer", "name", "out0", "netns",
                self.outside, netns=self.inside)
        self.ip("link", "set", "uplink0", "up", netns=self.inside)
        self.ip("addr", "add", "10.0.0.9/24", "dev", "out0", netns=self.outside)
        self.ip("link", "set", "out0", "up", netns=self.outside)
        # A veth hands over unfinished checksums and large segments, which a wire would not.
        self.run_outside(["ethtool", "-K", "out0", "tx", "off", "tso", "off", "gso", "off", "gro",
                          "off"], capture_output=True)
        self.run_inside(["ethtool", "-K", "uplink0", "tx", "off", "tso", "off", "gso", "off", "gro",
                         "off"], capture_output=True)

    def start_iperf(self):
        self.iperf = spawn_process(["ip", "netns", "exec", self.outside, "iperf3", "-s"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def run_inside(self, argv, **kwargs):
        return subprocess.run(["ip", "netns", "exec", self.inside] + argv, check=True, **kwargs)

    def run_outside(self, argv, **kwargs):
        return subprocess.run(["ip", "netns", "exec", self.outside] + argv, check=True, **kwargs)

    def start_daemon(self):
        log = open(os.path.join(self.folder, "softiovd.log"), "w", encoding="utf-8")
        argv = ["ip", "netns", "exec", self.inside, os.path.join(self.builddir, "src/daemon/softiovd"),
                "--run-dir", self.folder, "--state-dir", os.path.join(self.folder, "state")]
        self.daemon = spawn_process(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while not os.path.exists(os.path.join(self.folder, "softiov.sock")):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                with open(log.name, encoding="utf-8") as file:
                    raise Failed("softiovd did not start:\n" + file.read())
            time.sleep(0.05)

    def softiov(self, *words):
        """The command line, as a user types it."""
        argv = [os.path.join(self.builddir, "cli/softiov"), "--socket",
                os.path.join(self.folder, "softiov.sock")] + list(words)
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"softiov {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def vport(self, name):
        return json.loads(self.softiov("--json", "vport", "show", name))[0]

    def cpu_seconds(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        if self.iperf is not None:
            self.iperf.kill()
            self.iperf.wait()
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.send_signal(signal.SIGTERM)
            try:
                self.daemon.wait(10)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)


class Node:
    """A place to send from: a VM or the namespace."""

    def __init__(self, name, address, run):
        self.name, self.address, self.run = name, address, run


def check_drivers(report, guests, expected):
    for guest, (driver, model, pci_id) in zip(guests, expected):
        device = guest.netdev(driver=driver)
        pci = guest.run(f"cd -P /sys/class/net/{device}/device; [ -e class ] || cd ..; "
                        "echo $(cat vendor):$(cat device)").replace("0x", "")
        report.show(f"VM {guest.name} ({model}): bound by the driver of its own kernel "
                    f"{guest.run('uname -r')}", f"{driver} on {pci}", pci == pci_id)


def bring_up(guest, address, driver):
    device = guest.netdev(driver=driver)
    guest.run(f"ip addr add {address}/24 dev {device} && ip link set {device} up")
    guest.carrier(device)
    guest.run("iperf3 -s -D")
    return device


def ping_all(report, nodes):
    for i, source in enumerate(nodes):
        for target in nodes[i + 1:]:
            # -w: an answer that a busy machine delays is late, not lost.
            text = source.run(f"ping -c 3 -i 0.2 -w 5 {target.address} || true")
            count = re.search(r"(\d+) packets transmitted, (\d+) (packets )?received", text)
            rtt = re.search(r"= [\d.]+/([\d.]+)/", text)
            report.show(f"ping {source.name} - {target.name}",
                        f"{count[2]} of {count[1]} answered, {rtt[1]} ms" if rtt else text,
                        rtt and int(count[2]) >= 3)


def iperf_all(report, nodes):
    for i, source in enumerate(nodes):
        for target in nodes[i + 1:]:
            text = source.run(f"iperf3 -J -t {IPERF_SECONDS} -c {target.address}")
            rate = json.loads(text)["end"]["sum_received"]["bits_per_second"]
            report.show(f"iperf3 {source.name} -> {target.name}", f"{rate / 1e9:.2f} Gbit/s",
                        rate > 1e6)


def reachable(source, target):
    return "bytes from" in source.run(f"ping -c 2 -i 0.2 -W 1 {target.address} || true")


def show_vlan(report, host, nodes):
    one, two = nodes[0], nodes[1]
    host.softiov("vport", "set", "two", "vlan", "20")
    report.show("vport two moved to VLAN 20", "cut off", not reachable(one, two))
    host.softiov("vport", "set", "two", "vlan", "0")
    report.show("vport two moved back", "reachable", reachable(one, two))


def show_spoofing(report, host, guest, device, nodes):
    before = host.vport("one")["drop-reasons"].get("spoofed-mac", 0)
    guest.run("ip netns add forger; "
              f"ip link add forged link {device} address {FORGED_MAC} type macvlan mode private && "
              "ip link set forged netns forger && "
              "ip -n forger addr add 10.0.0.66/24 dev forged && ip -n forger link set forged up")
    text = guest.run(f"ip netns exec forger ping -c 3 -i 0.2 -W 1 {nodes[1].address} || true")
    dropped = host.vport("one")["drop-reasons"].get("spoofed-mac", 0) - before
    report.show(f"VM one forges source MAC {FORGED_MAC}", f"no answer, {dropped} frames dropped as "
                "spoofed-mac", "bytes from" not in text and dropped > 0)
    guest.run("ip netns del forger")


def show_idle(report, host):
    before, start = host.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    share = 100 * (host.cpu_seconds() - before) / (time.monotonic() - start)
    report.show(f"softiovd idle for {IDLE_SECONDS} s with two VFs and a synthetic attached",
                f"{share:.2f} % of a core", share < IDLE_LIMIT)


def configure(host):
    host.softiov("switch", "add", "lan")
    host.softiov("uplink", "add", "out", "switch", "lan", "device", "uplink0")
    host.softiov("vport", "add", "one", "switch", "lan", "synthetic", "off")
    host.softiov("vport", "add", "two", "switch", "lan", "model", "x540", "synthetic", "off")
    host.softiov("vport", "add", "three", "switch", "lan", "iov", "off")


def start_guests(lab, host, guests):
    sockets = {name: host.vport(name) for name in ("one", "two", "three")}
    devices = {
        "one": vf_args(sockets["one"]["vf-socket"]),
        "two": vf_args(sockets["two"]["vf-socket"]),
        "three": syn_args(sockets["three"]["syn-socket"], sockets["three"]["mac"]),
    }
    for name, arguments in devices.items():
        guests.append(lab.guest(name, devices=arguments))
    for guest in guests:
        guest.wait_ready(timeout=90)


def demo(report, builddir, lab_folder):
    lab = Lab.open(lab_folder) if lab_folder else Lab.open()
    folder = tempfile.mkdtemp(prefix="softiov-demo-")
    host = Host(builddir, folder)
    guests = []
    try:
        report.line("making two network namespaces and starting softiovd")
        host.make_network()
        host.start_iperf()
        host.start_daemon()
        configure(host)
        report.line("booting three VMs with Debian's unmodified kernel")
        start_guests(lab, host, guests)
        expected = [("ixgbevf", "82599", "8086:10ed"), ("ixgbevf", "X540", "8086:1515"),
                    ("virtio_net", "synthetic", "1af4:1041")]
        check_drivers(report, guests, expected)
        nodes, devices = [], []
        for number, (guest, (driver, _, _)) in enumerate(zip(guests, expected), start=1):
            devices.append(bring_up(guest, f"10.0.0.{number}", driver))
            nodes.append(Node(guest.name, f"10.0.0.{number}", guest.run))
        nodes.append(Node("outside", "10.0.0.9", lambda command: host.run_outside(
            ["sh", "-c", command], capture_output=True, text=True).stdout))
        ping_all(report, nodes)
        iperf_all(report, nodes)
        show_vlan(report, host, nodes)
        show_spoofing(report, host, guests[0], devices[0], nodes)
        report.line("softiov vport show:")
        print(host.softiov("-s", "vport", "show"), flush=True)
        print(host.softiov("worker", "show"), flush=True)
        show_idle(report, host)
    except BaseException:
        log = os.path.join(folder, "softiovd.log")
        if os.path.exists(log):
            with open(log, encoding="utf-8") as file:
                sys.stderr.write("--- softiovd said:\n" + "".join(file.readlines()[-30:]))
        raise
    finally:
        report.line("cleaning up")
        for guest in guests:
            guest.kill()
        host.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--builddir", default=os.path.join(TOP, "build"))
    parser.add_argument("--lab", help="folder of the VM lab (default: build/lab)")
    args = parser.parse_args()
    report = Reporter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        demo(report, args.builddir, args.lab)
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130
    except (Failed, subprocess.CalledProcessError, Exception) as error:  # pylint: disable=broad-except
        print(f"demo: FAILED: {error}", file=sys.stderr)
        return 1
    report.line(f"demo: all {report.shown} claims shown")
    return 0


if __name__ == "__main__":
    sys.exit(main())
