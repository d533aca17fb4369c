# SPDX-License-Identifier: BSD-3-Clause
"""The lab itself: guests boot, obey, talk to each other, reboot and die, on each kernel."""

import hashlib
import os
import subprocess
import sys
import time

import pytest

from guest import PATIENCE
from lab import GuestError, Lab, LabError, root_port, syn_args, vf_args
from softiov import wait_until

MAC = {"a": "52:54:00:00:00:0a", "b": "52:54:00:00:00:0b"}


@pytest.fixture(scope="module")
def lab():
    return Lab.open()


def wire(folder, name, peer):
    """One virtio-net device; two guests' ends of a wire are datagram sockets."""
    return root_port("rp0", 1) + [
        "-netdev", f"dgram,id=n0,local.type=unix,local.path={folder}/{name},"
                   f"remote.type=unix,remote.path={folder}/{peer}",
        "-device", f"virtio-net-pci,bus=rp0,netdev=n0,mac={MAC[name]},romfile="]


@pytest.fixture(scope="module")
def pair(lab, tmp_path_factory):
    """Two guests on one wire, the second with the other kernel if there is one; a-[dgram]-b"""
    folder = tmp_path_factory.mktemp("wire")
    with lab.guest("a", kernel=lab.kernels[0], devices=wire(folder, "a", "b")) as a, \
            lab.guest("b", kernel=lab.kernels[-1], devices=wire(folder, "b", "a")) as b:
        for number, guest in enumerate((a, b), start=1):
            guest.wait_ready()
            device = guest.netdev(driver="virtio_net")
            guest.run(f"ip addr add 10.0.0.{number}/24 dev {device}; ip link set {device} up")
        yield a, b


def test_each_guest_runs_its_kernel(lab, pair):
    for guest, kernel in zip(pair, (lab.kernels[0], lab.kernels[-1])):
        assert guest.run("uname -r") == kernel
        assert guest.run("hostname") == guest.name


@pytest.mark.parametrize("module", ["ixgbevf", "igbvf", "net_failover", "8021q", "bonding",
                                    "macsec"])
def test_modules_load(pair, module):
    for guest in pair:
        guest.run(f"modprobe {module} && grep -q ^{module} /proc/modules")


def test_commands_and_what_they_return(pair):
    guest = pair[0]
    cases = [
        ("true", 0, ""),
        ("exit 7", 7, ""),
        ("echo out; echo err >&2", 0, "out\nerr\n"),
        ("printf %s \"it's \\\"quoted\\\" \\\\ \\$HOME\"", 0, "it's \"quoted\" \\ $HOME"),
        ("for i in 1 2\ndo echo $i\ndone", 0, "1\n2\n"),
        ("printf '@ 1 0 5\\n'", 0, "@ 1 0 5\n"),
        ("cat", 0, ""),
        ("no-such-program", 127, "sh: no-such-program: not found\n"),
    ]
    for command, status, output in cases:
        assert guest.call(command) == (status, output), command


def test_failure_names_the_command(pair):
    with pytest.raises(GuestError, match="exit status 3: exit 3"):
        pair[0].run("exit 3")


def test_timeout_leaves_the_guest_usable(pair):
    start = time.monotonic()
    with pytest.raises(GuestError, match="still running after 1 s"):
        pair[0].run("sleep 60", timeout=1)
    assert time.monotonic() - start < 50
    assert pair[0].run("echo fine") == "fine"


def test_files_and_binary_output(pair):
    data = bytes(range(256)) * 64
    pair[0].push("/tmp/data", data)
    assert pair[0].pull("/tmp/data") == data
    digest = pair[0].run("sha256sum /bin/busybox").split()[0]
    assert hashlib.sha256(pair[0].pull("/bin/busybox")).hexdigest() == digest


def test_jobs(pair):
    job = pair[0].spawn("sleep 0.5; echo done; exit 4")
    assert pair[0].run("echo meanwhile") == "meanwhile"
    assert job.wait(check=False) == "done"
    with pytest.raises(GuestError, match="status 4"):
        job.wait()
    job = pair[0].spawn("sleep 1000")
    assert not job.done()
    job.kill()
    assert pair[0].call(f"kill -0 {job.pid}")[0] == 1


def test_netdev_by_mac_and_driver(pair):
    a = pair[0]
    device = a.netdev(mac=MAC["a"].upper())
    pci = next(row["pci"] for row in a.netdevs() if row["name"] == device)
    assert device == a.netdev(driver="virtio_net") == a.netdev(pci=pci)
    with pytest.raises(GuestError, match="0 network devices"):
        a.netdev(driver="ixgbevf", timeout=0)


def test_ping_and_iperf3(pair):
    a, b = pair
    a.run("ping -c 3 -i 0.2 -W 2 10.0.0.2")
    b.run("iperf3 -s -D")
    assert '"bits_per_second"' in a.run("until iperf3 -J -t 1 -c 10.0.0.2; do usleep 50000; done")


def test_hotplug_loads_the_driver(lab):
    with lab.guest("c", devices=root_port("rp1", 2)) as guest:
        guest.wait_ready()
        assert guest.netdevs() == []
        guest.qmp.command("device_add", driver="e1000e", id="e0", bus="rp1", mac=MAC["a"],
                          romfile="")
        assert guest.netdev(driver="e1000e")


def test_reboot_reset_and_death(pair):
    a, b = pair
    a.run("touch /tmp/mark")
    first = a.boot_id
    a.reboot()
    assert a.boot_id != first
    assert a.call("test -e /tmp/mark")[0] == 1
    b.reset()
    assert b.run("echo back") == "back"
    assert b.shutdown() == 0
    a.kill()
    assert not a.alive() and not os.path.exists(a.folder)
    with pytest.raises((GuestError, OSError)):
        a.run("true")


@pytest.mark.parametrize("ending", ["raise RuntimeError", "os.kill(os.getpid(), signal.SIGTERM)",
                                    "os.kill(os.getpid(), signal.SIGKILL)"])
def test_no_guest_outlives_its_program(lab, ending):
    code = ("import os, signal, sys; sys.path.insert(0, sys.argv[1]); from lab import Lab\n"
            "guest = Lab.open(sys.argv[2]).guest('orphan', mem=128)\n"
            "print(guest.process.pid, flush=True)\n" + ending)
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run([sys.executable, "-c", code, here, lab.folder], capture_output=True,
                          text=True, check=False, timeout=PATIENCE)
    assert done.returncode != 0
    path = f"/proc/{int(done.stdout)}/stat"

    def ended():
        try:
            with open(path, encoding="utf-8") as file:
                return file.read().rpartition(")")[2].split()[0] in "ZX"
        except (FileNotFoundError, ProcessLookupError):
            return True

    assert wait_until(ended), "QEMU still runs"


@pytest.mark.parametrize("devices", [vf_args("/nonexistent/vf.sock"),
                                     syn_args("/nonexistent/syn.sock", MAC["a"])])
def test_refused_device_is_reported_in_qemus_words(lab, devices):
    devices = [item.replace(",reconnect-ms=500", "") for item in devices]  # or it would wait
    with lab.guest("refused", devices=devices) as guest:
        with pytest.raises(GuestError, match="/nonexistent/.*No such file"):
            guest.wait_ready()


def test_pair_of_synthetic_and_vf_parses(lab):
    """QEMU accepts a failover pair's arguments up to the VF's socket, its last concern."""
    devices = syn_args("/nonexistent/syn.sock", MAC["a"], failover=True)
    start = devices.index("-chardev")
    devices[start:start + 4] = ["-netdev", "hubport,hubid=0,id=net-syn0"]
    devices += vf_args("/nonexistent/vf.sock", failover_pair_id="syn0")
    with lab.guest("pair", devices=devices) as guest:
        guest.wait_ready()
        assert len(guest.netdevs()) == 2  # net_failover's own and the standby


def test_unknown_kernel_is_refused(lab):
    with pytest.raises(LabError, match="no kernel 1.2 in the lab: there are \\d"):
        lab.guest("x", kernel="1.2")


def test_setup_is_done_once(lab):
    def made():
        return {entry.name: entry.stat().st_mtime_ns for entry in os.scandir(lab.folder)
                if entry.name.endswith((".json", ".cpio")) or entry.name in ("tools", "kernels")}

    before = made()
    assert Lab.open(lab.folder).kernels == lab.kernels
    assert made() == before and "lab.json" in before
