# SPDX-License-Identifier: BSD-3-Clause
"""One virtual machine of the lab: start it, run commands in it, reboot it, kill it.

    with lab.guest("a", devices=vf_args("run/vf/a.sock")) as a:
        a.wait_ready()
        dev = a.netdev(driver="ixgbevf")
        a.run(f"ip link set {dev} up")

Commands travel over the guest's second serial port (see guest/agent), so that no network and no
PCI device of the lab's own disturbs what is tested. One Guest is used by one thread at a time;
different Guests may be used by different threads. A guest dies with the process that started it,
however that ends.
"""

import atexit
import base64
import concurrent.futures
import ctypes
import glob
import json
import math
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

PR_SET_PDEATHSIG = 1
FOLDER_PREFIX = "softiov-lab-"
# Chosen by the time to the agent's first word under TCG, which they bring from 3.1 to 2.5 s.
KERNEL_ARGUMENTS = ("console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable no_timer_check "
                    "cryptomgr.notests rcupdate.rcu_expedited=1 lsm=capability audit=0 "
                    "i8042.noaux i8042.nokbd")
# Of TCG's models, one with AES, SHA and SSE4 but without "fast string" moves: the kernel copies
# with REP MOVSB where it sees those, and TCG runs that byte by byte (loopback TCP 1.3 instead of
# 4.8 Gbit/s).
# What TCG lacks of the model is taken off, or QEMU warns of each at every start.
TCG_CPU = "EPYC," + ",".join(flag + "=off" for flag in (
    "fxsr-opt", "misalignsse", "osvw", "topoext", "nrip-save", "xsavec"))
# For what comes at once, where guests run under TCG and a machine is busy with something else.
PATIENCE = 120
PUSH_CHUNK = 3000  # base64 characters a line: below the 4096 bytes that a tty holds back


class GuestError(Exception):
    """A guest did not do what it was told; the text ends with the tail of its console."""


def accelerator():
    """QEMU arguments for the fastest accelerator that can run a stock kernel here.

    /dev/kvm alone does not say so: nested hosts offer one by page-table virtualization, without VMX
    or SVM, and a stock kernel does not start on it.
    """
    wanted = os.environ.get("SOFTIOV_LAB_ACCEL", "")
    if wanted not in ("", "kvm", "tcg"):
        raise GuestError(f"SOFTIOV_LAB_ACCEL={wanted}: neither kvm nor tcg")
    if not wanted:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = re.search(r"^flags\s*:.*\b(vmx|svm)\b", file.read(), re.M)
        wanted = "kvm" if flags and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"
    if wanted == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=multi", "-cpu", TCG_CPU]


# --- QEMU arguments for softiov's sockets ---


def root_port(port_id, slot):
    """A slot that a device can be plugged into; ids and slots differ between a guest's ports."""
    return ["-device", f"pcie-root-port,id={port_id},chassis={slot},slot={slot}"]


def vf_device(path, bus, device_id="vf0", failover_pair_id=None):
    """The argument of `-device`, or of QMP's device_add as keywords, for a vfio-user VF."""
    device = {"driver": "vfio-user-pci", "id": device_id, "bus": bus,
              "socket": {"type": "unix", "path": str(path)}}
    if failover_pair_id:
        device["failover_pair_id"] = failover_pair_id
    return device


def vf_args(path, device_id="vf0", slot=1, failover_pair_id=None):
    """A VF behind a root port of its own. The guest's memory must be shared (Guest's default)."""
    device = vf_device(path, f"rp-{device_id}", device_id, failover_pair_id)
    return root_port(f"rp-{device_id}", slot) + ["-device", json.dumps(device)]


def syn_args(path, mac, device_id="syn0", slot=2, queues=1, failover=False, extra=""):
    """A virtio-net device over vhost-user; QEMU connects, and does so again after a restart."""
    options = f"mq=on,vectors={2 * queues + 2}," if queues > 1 else ""
    options += "failover=on," if failover else ""
    return root_port(f"rp-{device_id}", slot) + [
        "-chardev", f"socket,id=chr-{device_id},path={path},reconnect-ms=500",
        "-netdev", f"vhost-user,id=net-{device_id},chardev=chr-{device_id},queues={queues}",
        "-device", f"virtio-net-pci,id={device_id},bus=rp-{device_id},netdev=net-{device_id},"
                   f"mac={mac},{options}romfile={extra and ',' + extra}"]


# --- processes that cannot outlive this one ---

_live = set()
_libc = ctypes.CDLL(None, use_errno=True)
# The death signal comes when the starting *thread* ends, so one that lasts starts them all.
_spawner = concurrent.futures.ThreadPoolExecutor(max_workers=1, thread_name_prefix="lab-spawn")


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn_process(argv, **kwargs):
    """subprocess.Popen for a child that is killed when this process ends, by whatever cause."""
    return _spawner.submit(subprocess.Popen, argv, preexec_fn=_die_with_parent, **kwargs).result()


def _kill_all():
    for guest in list(_live):
        guest.kill()


def _on_signal(number, _frame):
    sys.exit(128 + number)


def _arrange_cleanup():
    """Once, at the first guest: SIGTERM and SIGHUP unwind the program as SIGINT does."""
    if getattr(_arrange_cleanup, "done", False):
        return
    _arrange_cleanup.done = True
    for path in glob.glob(os.path.join(tempfile.gettempdir(), FOLDER_PREFIX + "*")):
        owner = path.rsplit(FOLDER_PREFIX, 1)[1].split("-")[0]
        if not os.path.exists(f"/proc/{owner}"):  # it was killed before it could tidy up
            shutil.rmtree(path, ignore_errors=True)
    atexit.register(_kill_all)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, _on_signal)


class Qmp:
    """QEMU's control socket."""

    def __init__(self, path, timeout=PATIENCE):
        self.events = []
        self.buffer = b""
        self.socket = socket.socket(socket.AF_UNIX)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self._message(deadline)  # the greeting
        self.command("qmp_capabilities")

    def _message(self, deadline):
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.socket], [], [], left)[0]:
                raise GuestError("QMP: no answer in time")
            data = self.socket.recv(65536)
            if not data:
                raise GuestError("QMP: QEMU has ended")
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def command(self, name, timeout=PATIENCE, **arguments):
        """Execute one command; its return value. Names with a dash: command("x", **{"a-b": 1})."""
        text = json.dumps({"execute": name, "arguments": arguments}) + "\n"
        self.socket.sendall(text.encode())
        deadline = time.monotonic() + timeout
        while True:
            message = self._message(deadline)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise GuestError(f"QMP {name}: {message['error']['desc']}")
            elif "return" in message:
                return message["return"]

    def wait_event(self, name, timeout=PATIENCE):
        """The oldest event of that name that nobody took yet; waits for one if there is none."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            message = self._message(deadline)
            if "event" in message:
                self.events.append(message)

    def close(self):
        self.socket.close()


class Job:
    """A command that runs in a guest while others do."""

    def __init__(self, guest, base, pid):
        self.guest = guest
        self.pid = pid
        self.base = base

    def done(self):
        return self.guest.call(f"test -s {self.base}.rc")[0] == 0

    def output(self):
        return self.guest.run(f"cat {self.base}.out")

    def wait(self, timeout=PATIENCE, check=True):
        """The command's output, once it has ended."""
        status, _ = self.guest.call(
            f"while ! test -s {self.base}.rc; do usleep 50000; done", timeout=timeout)
        if status != 0:
            raise self.guest.error(
                f"job still runs after {timeout} s; so far it said:\n{self.output()}")
        status = int(self.guest.run(f"cat {self.base}.rc"))
        output = self.output()
        if check and status != 0:
            raise self.guest.error(f"job ended with status {status}:\n{output}")
        return output

    def kill(self):
        """End the command and its children."""
        self.guest.run(f"kill -9 -{self.pid} 2>/dev/null; "
                       f"while kill -0 -{self.pid} 2>/dev/null; do usleep 10000; done")


def shell_quote(text):
    """One shell word on one line, whatever the text holds."""
    text = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\t", "\\t")
    return f"$'{text}'"


class Guest:
    """A QEMU process with the lab's kernel and initramfs; made by Lab.guest(). A context manager."""

    def __init__(self, setup, name, kernel=None, mem=256, cpus=1, devices=(), share=True, append="",
                 machine="q35", extra=(), boot=None, initramfs=None):
        """setup: a Lab. kernel: a version or its prefix ("7."), the first one if None. boot: QEMU
        arguments that boot something else, which ends in the same kernel or is not spoken to.
        initramfs: another one for this kernel.

        devices: QEMU arguments, as vf_args() makes them; a list or a list of lists. mem in MiB.
        share: guest memory as a shared memfd, which vfio-user and vhost-user need.
        """
        _arrange_cleanup()
        self.name = name
        self.setup = setup
        self.kernel = setup.kernel(kernel)
        self.buffer = b""
        self.serial = 0
        self.n_jobs = 0
        self.boot_id = None
        self._qmp = None
        # Short, because a socket's path has at most 107 bytes.
        self.folder = tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-")
        self.qmp_path = os.path.join(self.folder, "qmp.sock")
        self.console = setup.log_path(f"{name}-{os.getpid()}.console")
        self.stderr = setup.log_path(f"{name}-{os.getpid()}.qemu")
        self.channel, theirs = socket.socketpair()
        argv = setup.qemu + accelerator() + qemu_base(machine, mem, cpus, share)
        argv += ["-chardev", f"file,id=console,path={self.console}", "-serial", "chardev:console",
                 "-chardev", f"socket,id=agent,fd={theirs.fileno()}", "-serial", "chardev:agent",
                 "-qmp", f"unix:{self.qmp_path},server=on,wait=off", "-name", name]
        argv += boot or kernel_args(setup, self.kernel, f"lab.name={name} {append}", initramfs)
        for item in devices:
            argv += [item] if isinstance(item, str) else list(item)
        argv += list(extra)
        self.argv = argv
        with open(self.stderr, "w", encoding="utf-8") as log:
            self.process = spawn_process(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         pass_fds=[theirs.fileno()])
        theirs.close()
        _live.add(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    # --- life ---

    def error(self, text):
        """A GuestError with what QEMU and the console said last."""
        for title, path in (("QEMU", self.stderr), ("console", self.console)):
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines = file.read().splitlines()
            except OSError:
                continue
            tail = [line for line in lines if line.strip()][-15:]
            if tail:
                text += f"\n--- {title} of {self.name} ({path}):\n" + "\n".join(tail)
        return GuestError(f"guest {self.name}: {text}")

    def alive(self):
        return self.process.poll() is None

    def wait_ready(self, timeout=2 * PATIENCE):
        """Wait until the guest's agent of a new boot answers."""
        deadline = time.monotonic() + timeout
        while True:
            line = self._line(deadline, f"not ready after {timeout} s")
            match = re.search(rb"@ ready (\S+) 0$", line)
            if match and match[1] != self.boot_id:
                self.boot_id = match[1]
                return self

    def reboot(self, timeout=2 * PATIENCE):
        """A reboot that the guest's kernel does itself."""
        self.channel.sendall(b"reboot -f\n")
        return self.wait_ready(timeout)

    def reset(self, timeout=2 * PATIENCE):
        """The reset button."""
        self.qmp.command("system_reset")
        return self.wait_ready(timeout)

    def shutdown(self, timeout=PATIENCE):
        """Power off in order; killed if it does not in time. Returns QEMU's exit status."""
        if self.alive():
            try:
                self.channel.sendall(b"poweroff -f\n")
                self.process.wait(timeout)
            except (OSError, subprocess.TimeoutExpired):
                pass
        status = self.process.poll()
        self.kill()
        return status

    def kill(self):
        """SIGKILL: what a crashed QEMU looks like to the daemon. Harmless if it is dead already."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        self.channel.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        _live.discard(self)

    @property
    def qmp(self):
        if self._qmp is None:
            self._qmp = Qmp(self.qmp_path)
        return self._qmp

    # --- commands ---

    def _fill(self, deadline, late):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.channel], [], [], left)[0]:
            raise self.error(late)
        data = self.channel.recv(65536)
        if not data:
            self.process.wait()
            raise self.error(f"QEMU has ended with status {self.process.returncode}")
        self.buffer += data

    def _line(self, deadline, late):
        while b"\n" not in self.buffer:
            self._fill(deadline, late)
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line

    def call_bytes(self, command, timeout=PATIENCE):
        """(exit status, output as bytes) of a shell command; status 137 if it was still running."""
        self.serial += 1
        head = f"@ {self.serial} ".encode()
        self.channel.sendall(
            f"lab_run {self.serial} {math.ceil(timeout)} {shell_quote(command)}\n".encode())
        deadline = time.monotonic() + timeout + PATIENCE  # the guest itself ends it in time
        late = f"no answer in {timeout} s to: {command}"
        while True:
            line = self._line(deadline, late)
            if line.startswith(head):
                break
            if line.startswith(b"@ ready"):
                self.boot_id = line.split()[2]
                raise self.error(f"rebooted during: {command}")
        status, size = (int(field) for field in line[len(head):].split())
        while len(self.buffer) < size:
            self._fill(deadline, late)
        output, self.buffer = self.buffer[:size], self.buffer[size:]
        return status, output

    def call(self, command, timeout=PATIENCE):
        """(exit status, output) of a shell command; both of its output streams, as they came."""
        status, output = self.call_bytes(command, timeout)
        return status, output.decode(errors="replace")

    def run(self, command, timeout=PATIENCE, check=True):
        """The output of a shell command, without the last newline; GuestError if it fails."""
        status, output = self.call(command, timeout)
        if check and status != 0:
            why = f"still running after {timeout} s" if status == 137 else f"exit status {status}"
            raise self.error(f"{why}: {command}\n{output}")
        return output.rstrip("\n")

    def spawn(self, command):
        """Start a shell command and go on; a Job."""
        self.n_jobs += 1
        base = f"/tmp/jobs/{self.n_jobs}"
        inner = f"( {command}\n) >{base}.out 2>&1 </dev/null; echo $? >{base}.rc"
        pid = self.run(f"setsid sh -c {shell_quote(inner)} & echo $!")
        return Job(self, base, int(pid))

    def push(self, path, data, mode=0o644):
        """Write a (small) file into the guest."""
        data = data.encode() if isinstance(data, str) else data
        text = base64.b64encode(data).decode()
        self.run(f": >{path}; chmod {mode:o} {path}")
        for start in range(0, len(text), PUSH_CHUNK):
            self.run(f"echo {text[start:start + PUSH_CHUNK]} | base64 -d >>{path}")

    def pull(self, path):
        """The bytes of a file in the guest."""
        status, data = self.call_bytes(f"cat {path}")
        if status != 0:
            raise self.error(data.decode(errors="replace"))
        return data

    # --- network devices ---

    def netdevs(self):
        """[{name, mac, driver, pci, state}] of all but loopback; driver and pci may be empty."""
        rows = []
        for line in self.run("/lab/netdevs").splitlines():
            rows.append(dict(zip(("name", "mac", "state", "driver", "pci"), line.split("|"))))
        return rows

    def netdev(self, mac=None, driver=None, pci=None, timeout=PATIENCE):
        """The name of the one device that has all that is asked for; waits for it to appear."""
        wanted = {"mac": mac and mac.lower(), "driver": driver, "pci": pci}
        wanted = {key: value for key, value in wanted.items() if value is not None}
        deadline = time.monotonic() + timeout
        while True:
            rows = self.netdevs()
            found = [row["name"] for row in rows
                     if all(row[key] == value for key, value in wanted.items())]
            if len(found) == 1:
                return found[0]
            if time.monotonic() > deadline:
                raise self.error(f"{len(found)} network devices with {wanted} among {rows}")
            time.sleep(0.1)

    def carrier(self, device, timeout=PATIENCE):
        """Wait until a device that is up has its link."""
        self.run(f"while [ \"$(cat /sys/class/net/{device}/carrier 2>/dev/null)\" != 1 ]; "
                 "do usleep 50000; done", timeout=timeout)

    def log(self):
        """The kernel's messages."""
        return self.run("dmesg")


def qemu_base(machine, mem, cpus, share):
    argv = ["-M", f"{machine},memory-backend=ram0", "-m", str(mem), "-smp", str(cpus),
            "-nodefaults", "-no-user-config", "-display", "none"]
    if share:
        return argv + ["-object", f"memory-backend-memfd,id=ram0,size={mem}M,share=on"]
    return argv + ["-object", f"memory-backend-ram,id=ram0,size={mem}M"]


def kernel_args(setup, kernel, append, initramfs=None):
    return ["-kernel", setup.kernel_image(kernel), "-initrd", initramfs or setup.initramfs(kernel),
            "-append", f"{KERNEL_ARGUMENTS} {append}"]
