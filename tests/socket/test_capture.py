# SPDX-License-Identifier: BSD-3-Clause
"""Captures on every path: what is recorded where, what ends them, and what must not harm anybody."""

import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess

import pytest

from capture import IN, OUT, Capture, running, softiov, tshark
from packets import tcp, udp
from softiov import Rpc
from test_policy import PATHS, WIRE_MTU, world  # noqa: F401: a fixture
from vfio_user import PATIENCE, wait_until
from wire import thread_in

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

PLAIN, OFFER = udp(1111, 2222), udp(67, 68)
LARGE = udp(1111, 2222, bytes(1000))
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT, WALL = 17, 0x4206, 0x4207, 0x40000000  # <linux/ptrace.h>, <linux/wait.h>
SEEN = ("frame.interface_name", "frame.interface_description", "frame.packet_flags_direction", "frame.comment")


@pytest.fixture(params=PATHS)
def ends(request, world):  # noqa: F811
    return world.ends[request.param]


@pytest.fixture
def pair(world):  # noqa: F811
    """The ends of one path, where the path makes no difference."""
    return world.ends["vf-to-synthetic"]


def send(source, target, packet, n=1, arrives=True):
    for _ in range(n):
        source.send_bytes(packet(target.mac, source.mac))
    if arrives:
        assert len(target.receive(n)) == n


def description(ends, role):
    kind = PATHS[ends.path][role == "far"]
    name = ends.near_name if role == "near" else ends.far_name
    if kind == "uplink":
        return f"uplink {name} of switch {ends.path}"
    return f"vport {name} of switch {ends.path}, path {'synthetic' if kind in ('split', 'packed') else 'vf'}"


def of(ends, rows):
    """Those of this path; tshark's rows begin with the interface's name."""
    return [row for row in rows if row[0] in (ends.near_name, ends.far_name)]


def test_both_ends(ends, tmp_path):
    """Each frame where it comes from and where it goes to, by interface, direction and path."""
    capture = Capture(ends.daemon, "all", path=tmp_path / "all.pcapng")
    send(ends.near, ends.far, PLAIN)
    send(ends.far, ends.near, PLAIN)
    capture.stop()
    near = ends.near_name, description(ends, "near")
    far = ends.far_name, description(ends, "far")
    # What a wire carries to the host is inbound at the uplink, and what a VM sends is outbound at the vport.
    to_far, from_far = (OUT, IN) if ends.far_type == "uplink" else (IN, OUT)
    assert of(ends, capture.frames(*SEEN)) == [(*near, OUT, None), (*far, to_far, None), (*far, from_far, None),
                                               (*near, IN, None)]
    # Each of them has one queue; what leaves by an uplink is in none of a receiver's.
    received = None if ends.far_type == "uplink" else "0"
    assert [row[1] for row in of(ends, capture.frames("frame.interface_name", "frame.interface_queue"))] == [
        "0", received, "0", "0"]
    frames = capture.frames("frame.interface_name", "eth.src", "udp.dstport", "frame.cap_len", "frame.len")
    assert [row[1] for row in of(ends, frames)] == [ends.near.mac.hex(":")] * 2 + [ends.far.mac.hex(":")] * 2
    size = str(len(PLAIN(ends.near.mac, ends.far.mac)))
    assert {row[2:] for row in of(ends, frames)} == {("2222", size, size)}


def test_drops(ends, tmp_path):
    """The reason in words: at the sender where the switch dropped it, at the receiver where that did."""
    everything = Capture(ends.daemon, "all", path=tmp_path / "all.pcapng")
    only = Capture(ends.daemon, "all", "drops", "only", path=tmp_path / "drops.pcapng")
    ends.daemon.call("vport.set", name=ends.near_name, dhcp_guard=True)
    too_long = udp(1, 2, bytes(WIRE_MTU if ends.far_type == "uplink" else 1500))
    try:
        send(ends.near, ends.far, OFFER, arrives=False)
        send(ends.near, ends.far, too_long, arrives=False)
        send(ends.near, ends.far, PLAIN)
    finally:
        ends.daemon.call("vport.set", name=ends.near_name, dhcp_guard=False)
    everything.stop()
    only.stop()
    near, far = ends.near_name, ends.far_name
    dropped = [(near, "dropped: dhcp-guard"), (far, "dropped: too-long")]
    fields = "frame.interface_name", "frame.comment"
    assert of(ends, only.frames(*fields)) == dropped
    assert of(ends, everything.frames(*fields)) == [dropped[0], (near, None), dropped[1], (near, None), (far, None)]


def test_nobody_there(pair, tmp_path):
    """A frame to a vport without a VM: dropped there, on no path."""
    pair.daemon.call("vport.add", name="empty", switch=pair.path, mac="02:00:00:00:77:01")
    try:
        capture = Capture(pair.daemon, "vport", "empty", path=tmp_path / "empty.pcapng")
        pair.near.send_bytes(PLAIN(bytes.fromhex("020000007701"), pair.near.mac))
        assert wait_until(lambda: capture.show()["frames"] == 1)
        capture.stop()
        assert capture.frames(*SEEN) == [("empty", f"vport empty of switch {pair.path}, path none", IN, "dropped: down")]
    finally:
        pair.daemon.call("vport.del", name="empty")


def test_vlans(pair, tmp_path):
    """Tags are as they are at the port."""
    pair.daemon.call("vport.set", name=pair.near_name, vlan=10)
    pair.daemon.call("vport.set", name=pair.far_name, trunk="10")
    capture = Capture(pair.daemon, "all", path=tmp_path / "vlan.pcapng")
    tagged = Capture(pair.daemon, "all", "filter", "vlan 10 and udp", path=tmp_path / "tagged.pcapng")
    try:
        send(pair.near, pair.far, PLAIN)
    finally:
        capture.stop()
        tagged.stop()
        pair.daemon.call("vport.set", name=pair.near_name, vlan=0)
        pair.daemon.call("vport.set", name=pair.far_name, trunk="none")
    fields = "frame.interface_name", "vlan.id", "udp.dstport"
    assert capture.frames(*fields) == [(pair.near_name, None, "2222"), (pair.far_name, "10", "2222")]
    assert tagged.frames(*fields) == [(pair.far_name, "10", "2222")]


def test_filter_and_snaplen(ends, tmp_path):
    capture = Capture(ends.daemon, "all", "filter", "udp port 2222 and greater 500", "snaplen", "60", path=tmp_path / "f.pcapng")
    send(ends.near, ends.far, PLAIN)
    send(ends.near, ends.far, LARGE)
    send(ends.near, ends.far, tcp(1111, 2222))
    line = capture.stop()
    assert ": 2 frames, 0 lost; stopped" in line
    frames = capture.frames("frame.interface_name", "frame.cap_len", "frame.len", "udp.length")
    assert [row[0] for row in frames] == [ends.near_name, ends.far_name]
    assert all(row[1:] == ("60", str(14 + 28 + 1000), "1008") for row in frames)


def test_filter_by_bits(pair, tmp_path):
    """Of which DPDK's compiler makes code that ends a worker."""
    capture = Capture(pair.daemon, "all", "filter", "tcp[tcpflags] & (tcp-syn|tcp-ack) = tcp-syn and tcp[13] & 2 != 0",
                      path=tmp_path / "f.pcapng")
    for flags in (0x02, 0x12, 0x10, 0x11):
        send(pair.near, pair.far, tcp(1111, 2222, flags))
    capture.stop()
    assert capture.frames("frame.interface_name", "tcp.flags.ack") == [(pair.near_name, "0"), (pair.far_name, "0")]


def test_filters_see_what_is_shown(pair, tmp_path):
    """Not what the VM had in its memory: marks that it got, and a tag of its priority in the vport's VLAN."""
    marked = Capture(pair.daemon, "vport", pair.near_name, "filter", "ip[1] & 0xfc = 0xb8", path=tmp_path / "mark.pcapng")
    policy = f"{pair.path}/mark"
    pair.daemon.call("qos-policy.add", name=policy, vport=pair.near_name, protocol="udp", set_dscp=46)
    try:
        send(pair.near, pair.far, PLAIN)
    finally:
        pair.daemon.call("qos-policy.del", name=policy)
    send(pair.near, pair.far, PLAIN)
    marked.stop()
    assert len(marked.frames("frame.interface_name")) == 1
    pair.daemon.call("vport.set", name=pair.near_name, vlan=10)
    pair.daemon.call("vport.set", name=pair.far_name, vlan=10)
    try:
        tagged = Capture(pair.daemon, "vport", pair.near_name, "filter", "vlan 10", path=tmp_path / "tag.pcapng")
        packet = PLAIN(pair.far.mac, pair.near.mac)
        pair.near.send_bytes(packet[:12] + bytes.fromhex("81006000") + packet[12:])
        assert len(pair.far.receive(1)) == 1
        tagged.stop()
        assert tagged.frames("vlan.id") == [("10",)]
    finally:
        for name in (pair.near_name, pair.far_name):
            pair.daemon.call("vport.set", name=name, vlan=0)


def test_one_port_and_kinds_of_ports(world, tmp_path):  # noqa: F811
    ends = world.ends["vf-to-uplink"]
    vports = ",".join(sorted(vport["name"] for vport in ends.daemon.call("vport.show")))
    captures = {words: Capture(ends.daemon, *words, path=tmp_path / f"{i}.pcapng") for i, words in enumerate([
        ("vport", ends.near_name), ("uplink", ends.far_name), ("type", "vswitch"), ("type", "physical"), ("all",),
        ("vport", vports, "uplink", ends.far_name)])}
    send(ends.near, ends.far, PLAIN)
    for capture in captures.values():
        capture.stop()
    names = [[row[0] for row in capture.frames("frame.interface_name")] for capture in captures.values()]
    near, far = [ends.near_name], [ends.far_name]
    assert names == [near, far, near, far, near + far, near + far]
    shown = [ends.daemon.show("capture", capture.name) for capture in captures.values()]
    assert [one["ports"] for one in shown] == [f"vport {near[0]}", f"uplink {far[0]}", "all vports", "all uplinks", "all",
                                             f"vport {vports}, uplink {far[0]}"]
    assert {(one["state"], one["end"]) for one in shown} == {("ended", "stopped")}


def test_ports_that_come_and_go(pair, tmp_path):
    """A capture of all takes those that come while it runs, and the same name again as the same interface."""
    capture = Capture(pair.daemon, "all", path=tmp_path / "new.pcapng")
    for n in (1, 2):
        pair.daemon.call("vport.add", name="late", switch=pair.path, mac="02:00:00:00:77:02")
        pair.near.send_bytes(PLAIN(bytes.fromhex("020000007702"), pair.near.mac))
        assert wait_until(lambda n=n: capture.show()["frames"] == 2 * n)
        pair.daemon.call("vport.del", name="late")
    capture.stop()
    rows = capture.frames("frame.interface_name", "frame.interface_id")
    assert [row[0] for row in rows] == [pair.near_name, "late"] * 2
    assert rows[0] == rows[2] and rows[1] == rows[3]


def test_several_at_once(pair, tmp_path):
    """They do not disturb each other, whichever ends first; and there is a limit."""
    captures = [Capture(pair.daemon, "all", path=tmp_path / f"{i}.pcapng") for i in range(8)]
    ninth = softiov(pair.daemon, "capture", "start", "all", "-w", str(tmp_path / "9.pcapng"))
    assert ninth.returncode == 1 and "8 captures are running; stop one" in ninth.stderr
    for n, i in enumerate((3, 0, 7, 5, 1, 6, 2, 4), start=1):
        send(pair.near, pair.far, PLAIN)
        captures[i].stop()
        assert len(captures[i].frames("frame.number")) == 2 * n


def test_pipe_into_tshark(pair):
    """`softiov capture start vport NAME -w - | tshark -r -`, while it runs."""
    process = subprocess.Popen(f"'{softiov.path}' --socket '{pair.daemon.api_path}' capture start vport {pair.near_name} -w - | "
                               "tshark -l -n -r - -T fields -e udp.dstport", shell=True, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert wait_until(lambda: running(pair.daemon))
    send(pair.near, pair.far, PLAIN, 3)
    assert [process.stdout.readline() for _ in range(3)] == ["2222\n"] * 3
    pair.daemon.call("capture.stop")
    assert process.wait(PATIENCE) == 0


def test_ring(pair, tmp_path):
    capture = Capture(pair.daemon, "vport", pair.near_name, "ring", "3,64K", path=tmp_path / "ring.pcapng")
    n, sizes = 0, []
    while len(sizes) < 3 or not any("_00005_" in name for name in os.listdir(tmp_path)):
        send(pair.near, pair.far, LARGE, 8)
        n += 8
        sizes = os.listdir(tmp_path)
        assert n < 1000
    capture.stop()
    files = sorted(os.listdir(tmp_path))
    # More may have been on its way already.
    last = int(files[-1][5:10])
    assert last >= 5 and [name[:11] for name in files] == [f"ring_{last - 2 + i:05}_" for i in range(3)]
    assert all(os.path.getsize(tmp_path / name) <= 65536 for name in files)
    counts = [len(tshark(tmp_path / name, "frame.interface_name")) for name in files]
    assert counts[0] == counts[1] > 50  # whole files by themselves
    assert tshark(tmp_path / files[2], "frame.interface_name")[0] == (pair.near_name,)


# --- Wireshark's list of interfaces ---


@pytest.fixture(name="extcap")
def extcap_fixture(pair, tmp_path):
    """The environment of a user who has our program in the personal folder (tshark -G folders)."""
    folder = tmp_path / "wireshark" / "extcap"
    folder.mkdir(parents=True)
    (folder / "softiov-extcap").symlink_to(softiov.path)
    return dict(os.environ, SOFTIOV_SOCKET=pair.daemon.api_path, XDG_CONFIG_HOME=str(tmp_path))


def test_extcap_interfaces(pair, extcap):
    done = subprocess.run(["tshark", "-D"], env=extcap, capture_output=True, text=True, check=True)
    for name, text in ((f"softiov-vport-{pair.near_name}", f"softiov: vport {pair.near_name} of switch {pair.path}"),
                       ("softiov-uplink-vf-to-uplink-far", "softiov: uplink vf-to-uplink-far of switch vf-to-uplink"),
                       ("softiov-all", "softiov: all vports and uplinks")):
        assert f" {name} ({text})\n" in done.stdout
    done = subprocess.run(["tshark", "-D"], env=dict(extcap, SOFTIOV_SOCKET="/nowhere"), capture_output=True, text=True,
                          check=True)
    assert "softiov" not in done.stdout + done.stderr


def test_extcap_capture(pair, extcap):
    """tshark's own capture of a vport, with a filter, to its end."""
    process = subprocess.Popen(["tshark", "-l", "-n", "-i", f"softiov-vport-{pair.near_name}", "-f", "udp port 2222", "-c", "2",
                                "-T", "fields", "-e", "frame.interface_description", "-e", "udp.dstport"],
                               env=extcap, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert wait_until(lambda: running(pair.daemon))
    send(pair.near, pair.far, OFFER)
    send(pair.near, pair.far, PLAIN, 2)
    output, errors = process.communicate(timeout=PATIENCE)
    assert output == f"vport {pair.near_name} of switch {pair.path}, path vf\t2222\n" * 2, errors
    assert "extcap pipe" not in errors and "rror" not in errors
    assert wait_until(lambda: not running(pair.daemon))


# --- ends ---


def test_ctrl_c(pair, tmp_path):
    capture = Capture(pair.daemon, "all", path=tmp_path / "c.pcapng")
    send(pair.near, pair.far, PLAIN)
    capture.process.send_signal(signal.SIGINT)
    assert "2 frames, 0 lost; stopped by its user" in capture.end() and capture.process.returncode == 0
    assert len(capture.frames("frame.number")) == 2


@contextlib.contextmanager
def control_held(daemon):
    """Management does nothing meanwhile, all other threads go on: its thread alone is stopped (ptrace(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request in PTRACE_SEIZE, PTRACE_INTERRUPT:
        assert libc.ptrace(request, daemon.pid, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(daemon.pid, WALL)
    try:
        yield
    finally:
        assert libc.ptrace(PTRACE_DETACH, daemon.pid, None, None) == 0


def test_ctrl_c_while_management_is_busy(pair, tmp_path):
    """Its thread sends the rest and the end by itself, and what it takes no longer costs nothing."""
    capture = Capture(pair.daemon, "all", path=tmp_path / "c.pcapng")
    send(pair.near, pair.far, PLAIN)
    with control_held(pair.daemon):
        capture.process.send_signal(signal.SIGINT)
        assert capture.end().endswith("stopped by its user; softiovd is busy, and does not say how many frames it has")
        assert capture.process.returncode == 0
        send(pair.near, pair.far, PLAIN)
    assert len(capture.frames("frame.number")) == 2
    check_ended(pair.daemon, capture.name, "stopped by its user")
    assert capture.show()["frames"] == 2


def test_ctrl_c_while_the_daemon_stands_still(pair, tmp_path):
    """It is said that nothing comes, and the command ends by itself then (the second Ctrl-C: cli/capture_test)."""
    capture = Capture(pair.daemon, "all", path=tmp_path / "c.pcapng")
    with pair.daemon.held():
        capture.process.send_signal(signal.SIGINT)
        assert "is being ended; Ctrl-C once more" in capture.process.stderr.readline()
        assert capture.end().endswith("stopped by its user; softiovd does not send the rest")
        assert capture.process.returncode == 1
    assert wait_until(lambda: capture.show()["state"] == "ended")


def last_event(daemon, name):
    return [event["text"] for event in daemon.call("event.show")
            if event.get("object") == "capture" and event["object-name"] == name][-1]


def check_ended(daemon, name, reason):
    assert wait_until(lambda: name not in running(daemon))
    shown = daemon.show("capture", name)
    assert shown["state"] == "ended" and reason in shown["end"]
    assert last_event(daemon, name).startswith(f"ended: {shown['end']}; ")


def test_full_disk(pair):
    capture = Capture(pair.daemon, "all", path="/dev/full")
    send(pair.near, pair.far, PLAIN)
    line = capture.end()
    assert capture.process.returncode == 1
    assert line.startswith(f"softiov: capture {capture.name}: ") and "\n" not in line
    assert line.endswith("/dev/full: No space left on device")
    check_ended(pair.daemon, capture.name, "/dev/full: No space left on device")
    send(pair.near, pair.far, PLAIN)


def test_full_disk_in_a_ring(pair, tmp_path):
    """A small file system, in a mount namespace of the command's own."""
    place = tmp_path / "small"
    place.mkdir()
    capture = Capture(pair.daemon, "all", "ring", "9,64K", path=place / "x.pcapng",
                      prefix=["unshare", "-m", "sh", "-c", f'mount -t tmpfs -o size=128k none "{place}" && exec "$@"', "sh"])
    for _ in range(20):
        if capture.process.poll() is not None:
            break
        send(pair.near, pair.far, LARGE, 8)
    assert capture.end().endswith("x.pcapng: No space left on device") and capture.process.returncode == 1
    check_ended(pair.daemon, capture.name, "No space left on device")


def test_closed_pipe(pair):
    """Its reader goes: noticed at once, also when there is nothing to write."""
    source, target = os.pipe()
    capture = Capture(pair.daemon, "all", path="-", stdout=target)
    os.close(target)
    os.close(source)
    line = capture.end()
    assert capture.process.returncode == 1 and line.endswith("standard output: Broken pipe") and "\n" not in line
    check_ended(pair.daemon, capture.name, "standard output: Broken pipe")


@contextlib.contextmanager
def unread(pair):
    """A capture whose reader does not read, at a time when it has lost frames: all that can be filled is full."""
    source, target = os.pipe()
    capture = Capture(pair.daemon, "vport", pair.near_name, path="-", stdout=target)
    os.close(target)
    try:
        for _ in range(2000):
            send(pair.near, pair.far, LARGE, 16)
            if capture.show()["lost"]:
                break
        assert capture.show()["lost"]
        yield capture
    finally:
        os.close(source)
        capture.process.kill()
        capture.process.wait()
        capture.process.stderr.close()


def test_ctrl_c_while_nobody_reads(pair):
    """It does not wait for a pipe that is full."""
    with unread(pair) as capture:
        capture.process.send_signal(signal.SIGINT)
        assert capture.end().endswith("standard output: stopped by its user while nobody read it")
        assert capture.process.returncode == 1
        check_ended(pair.daemon, capture.name, "stopped by its user while nobody read it")


def test_killed(pair, tmp_path):
    capture = Capture(pair.daemon, "all", path=tmp_path / "k.pcapng")
    send(pair.near, pair.far, PLAIN)
    assert wait_until(lambda: capture.show()["frames"] == 2)
    capture.process.kill()
    capture.process.communicate()
    check_ended(pair.daemon, capture.name, "its reader has gone")
    send(pair.near, pair.far, PLAIN)


def test_reader_that_stops_reading(pair):
    """Frames go on and what does not fit is counted; the statistics say so, and the capture can still be ended."""
    with unread(pair) as capture:
        lost = capture.show()["lost"]
        send(pair.near, pair.far, PLAIN)
        assert capture.show()["lost"] == lost + 1 and pair.daemon.show("vport", pair.near_name)
        capture.process.kill()
        check_ended(pair.daemon, capture.name, "its reader has gone")


def test_stopped_while_nobody_reads(pair):
    """Its reader has some seconds for the rest; then its place is free, and it is said."""
    rpc = Rpc(pair.daemon.api_path)
    name = rpc.call("capture.start", {"vport": pair.near_name})["name"]
    try:
        for _ in range(2000):
            send(pair.near, pair.far, LARGE, 16)
            if pair.daemon.show("capture", name)["lost"]:
                break
        pair.daemon.call("capture.stop", name=name)
        assert wait_until(lambda: name not in running(pair.daemon))
        check_ended(pair.daemon, name, "stopped; its reader did not read the rest")
    finally:
        rpc.close()


def test_daemon_stops(tmp_path):
    from softiov import Daemon
    with Daemon(tmp_path / "d") as daemon:
        capture = Capture(daemon, "all", path=tmp_path / "s.pcapng")
    assert capture.end().endswith("softiovd has gone") and capture.process.returncode == 0


# --- what is refused ---


@pytest.mark.parametrize("words, text", [
    (["filter", "tcp prot 80"], "filter: can't parse filter expression: syntax error\n  tcp prot 80\n      ^~~~"),
    (["filter", "inbound"], "filter: goes by something else than the frame's bytes, which cannot be done here"),
    (["vport", "nobody"], "vport: 'nobody': there is no such vport (softiov vport show lists them)"),
    (["uplink", "nobody"], "uplink: 'nobody': there is no such uplink (softiov uplink show lists them)"),
    (["snaplen", "0"], "snaplen: '0' is not allowed: a number from 1 to 262144"),
    (["ring", "0,64K"], "ring: '0,64K' is not allowed: FILES,SIZE: 1 to 10000 files of 64K or more each, as in 5,10M"),
    (["ring", "5"], "ring: '5' is not allowed: FILES,SIZE: 1 to 10000 files of 64K or more each, as in 5,10M"),
])
def test_refused(pair, tmp_path, words, text):
    done = softiov(pair.daemon, "capture", "start", *words, "-w", str(tmp_path / "x.pcapng"))
    assert done.returncode == 1 and done.stderr == f"softiov: capture: {text}\n", done.stderr
    assert not running(pair.daemon)


def test_refused_before_it_starts(pair, tmp_path):
    missing = str(tmp_path / "no" / "x.pcapng")
    done = softiov(pair.daemon, "capture", "start", "all", "-w", missing)
    assert done.returncode == 1 and done.stderr == f"softiov: file '{missing}': No such file or directory\n"
    done = softiov(pair.daemon, "capture", "start", "all")
    assert done.returncode == 2 and "where to? -w FILE" in done.stderr
    done = softiov(pair.daemon, "capture", "start", "all", "vport", pair.near_name, "-w", "-")
    assert done.returncode == 1 and "so it cannot be all" in done.stderr
    done = softiov(pair.daemon, "capture", "stop", "4711")
    assert done.returncode == 1 and "there is no such capture" in done.stderr
    assert not running(pair.daemon)


@pytest.mark.parametrize("words", [[], ["ring", "5,64K"]], ids=["file", "ring"])
def test_refused_capture_leaves_files_alone(pair, tmp_path, words):
    """One that is there stays as it is until the daemon has agreed, and none is made."""
    path = tmp_path / "x.pcapng"
    path.write_text("kept")
    for name in ("x.pcapng", "new.pcapng"):
        done = softiov(pair.daemon, "capture", "start", "all", "filter", "tcp prot 80", *words, "-w", str(tmp_path / name))
        assert done.returncode == 1 and "syntax error" in done.stderr
    assert path.read_text() == "kept" and os.listdir(tmp_path) == ["x.pcapng"]
    if not words:
        capture = Capture(pair.daemon, "all", path=path)
        send(pair.near, pair.far, PLAIN)
        capture.stop()
        assert len(capture.frames("frame.number")) == 2


def nameservers():
    """That a resolver would ask, of IPv4 (resolv.conf(5))."""
    with open("/etc/resolv.conf", encoding="utf-8") as file:
        words = [line.split() for line in file]
    return [line[1] for line in words if line[:1] == ["nameserver"] and ":" not in line[1]][:3] or ["127.0.0.1"]


def test_names_of_hosts(world):  # noqa: F811
    """Those of /etc/hosts, and no other is asked for, since all of management would wait for the answer."""
    netns = world.daemon.prefix[-1]
    server = nameservers()[0]
    subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
    subprocess.run(["ip", "-n", netns, "address", "replace", server + "/32", "dev", "lo"], check=True)
    with thread_in(netns), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dns:
        dns.bind((server, 53))
        dns.setblocking(False)
        done = softiov(world.daemon, "capture", "start", "all", "filter", "host no-such-host.example", "-w", "/dev/null")
        assert done.returncode == 1 and "unknown host 'no-such-host.example'" in done.stderr
        with pytest.raises(BlockingIOError):
            dns.recv(512)


def test_stream_in_the_api(pair):
    """The answer, and then the file on the same connection; it is nobody's who has subscribed to events."""
    rpc = Rpc(pair.daemon.api_path)
    assert rpc.call("capture.start", {"vport": pair.near_name})["name"] in running(pair.daemon)
    while len(rpc.rest) < 12:
        rpc.rest += rpc.socket.recv(4096)
    assert rpc.rest[:4] == b"\n\r\r\n"
    rpc.close()
    assert wait_until(lambda: not running(pair.daemon))
    rpc = Rpc(pair.daemon.api_path)
    rpc.call("event.subscribe")
    with pytest.raises((EOFError, ConnectionError)):
        rpc.send_line(json.dumps({"jsonrpc": "2.0", "id": 7, "method": "capture.start", "params": {}}))
        while True:
            rpc.receive()
    rpc.close()
    assert wait_until(lambda: not running(pair.daemon))
