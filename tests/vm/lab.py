#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The VM lab: QEMU with a vfio-user client, Debian's kernels, and guests made of both.

    lab.py setup            fetch and build what is missing
    lab.py shell [-- ARGS]  a guest on this terminal, with more QEMU arguments
    lab.py info             what the lab consists of

As a module: `from lab import Lab, vf_args, syn_args`, then `Lab.open().guest("a", devices=[...])`.
The lab lies in build/lab of the source tree, or where --dir or SOFTIOV_LAB says.
"""

import argparse
import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
import sys

import labdpdk
import labextra
import labfetch
import labinit
from guest import (Guest, GuestError, Qmp, accelerator,  # noqa: F401 (for those who import lab)
                   kernel_args, qemu_base, root_port, spawn_process, syn_args, vf_args, vf_device)
from labfetch import LabError, say

LOGS_KEPT = 100
HERE = os.path.dirname(os.path.abspath(__file__))


def default_folder():
    return os.environ.get("SOFTIOV_LAB") or os.path.join(HERE, "../../build/lab")


def fetch_recipe():
    """Changes when what is to be fetched does; a lab made by another recipe is made anew."""
    parts = [labfetch.SUITE, *labfetch.TOOL_PACKAGES, *labfetch.QEMU_PACKAGES]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:12]


class Lab:
    """What setup() left in a folder: the QEMU command, kernels and their initramfs."""

    def __init__(self, folder, state):
        self.folder = folder
        self.state = state
        self.tools = os.path.join(folder, "tools")
        self.kernels = state["kernels"]
        unpacked = labfetch.qemu_command(self.tools)
        self.qemu = unpacked["argv"] if state["qemu"] is None else [state["qemu"]]

    @classmethod
    def open(cls, folder=None):
        """The lab in a folder, made complete first, which takes about half a minute once."""
        return setup(os.path.realpath(folder or default_folder()))

    def kernel(self, version=None):
        """The full name of a kernel by its beginning; Debian's stable one by default."""
        for name in self.kernels:
            if version is None or name.startswith(version):
                return name
        raise LabError(f"no kernel {version} in the lab: there are {', '.join(self.kernels)}")

    def kernel_image(self, version):
        home = os.path.join(self.folder, "kernels", version)
        path = os.path.join(home, "vmlinux")
        return path if os.path.exists(path) else os.path.join(home, "vmlinuz")

    def initramfs(self, version):
        return os.path.join(self.folder, f"initramfs-{version}-{labinit.recipe_digest()}.cpio")

    def packages(self, *names):
        """The folder of packages that only some tests need, fetched at their first use."""
        root = os.path.join(self.folder, "packages", "+".join(names))
        os.makedirs(os.path.dirname(root), exist_ok=True)
        locked(self.folder, add_packages, root, names)
        return root

    def dpdk_initramfs(self, version):
        """A kernel's initramfs with DPDK's testpmd in it, made at its first use."""
        root = self.packages(*labdpdk.PACKAGES)
        base = self.initramfs(version)
        home = os.path.join(self.folder, "kernels", version)
        locked(self.folder, labdpdk.build, root, home, base)
        return labdpdk.path_beside(base)

    def initramfs_with(self, version, package, *programs):
        """A kernel's initramfs with programs of a Debian package (their paths in it), made at its first use."""
        root = self.packages(package)
        base = self.initramfs(version)
        locked(self.folder, labextra.build, root, base, programs)
        return labextra.path_beside(base, programs)

    def log_path(self, name):
        """Where a guest's log goes; the oldest logs make room."""
        folder = os.path.join(self.folder, "log")
        os.makedirs(folder, exist_ok=True)
        logs = []
        for entry in os.scandir(folder):
            with contextlib.suppress(FileNotFoundError):  # another test run has removed it
                logs.append((entry.stat().st_mtime, entry.path))
        for _, path in sorted(logs)[:-LOGS_KEPT]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        return os.path.join(folder, name)

    def guest(self, name, **options):
        """Start a guest; the options are Guest's. Does not wait for it."""
        return Guest(self, name, **options)


def locked(folder, function, *arguments):
    """function(*arguments), in one process at a time."""
    with open(os.path.join(folder, "lock"), "w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that sets up {folder}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        return function(*arguments)


def add_packages(root, packages):
    if not os.path.isdir(root):
        apt = labfetch.Apt(root + ".apt")
        apt.write_config()
        apt.update()
        labfetch.fetch_packages(apt, root, list(packages))
        shutil.rmtree(apt.folder)


def read_state(folder):
    """What a finished setup wrote, or None if there is none or it is out of date."""
    try:
        with open(os.path.join(folder, "lab.json"), encoding="utf-8") as file:
            state = json.load(file)
    except (OSError, ValueError):
        return None
    if state.get("recipe") != fetch_recipe():
        return None
    if state["qemu"] is not None and not os.access(state["qemu"], os.X_OK):
        return None
    return state


def fetch(folder):
    """Fetch all parts; nothing counts as there until lab.json is written, at the end."""
    path = os.path.join(folder, "lab.json")
    if os.path.exists(path):
        os.unlink(path)
    for name in ("tools", "kernels"):
        shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    host = labfetch.host_qemu()
    if host:
        say(f"using the host's QEMU, {host['argv'][0]}")
    apt = labfetch.Apt(os.path.join(folder, "apt"))
    apt.write_config()
    apt.update()
    tools = os.path.join(folder, "tools")
    labfetch.fetch_tools(apt, tools, host is None)
    if host is None and not labfetch.qemu_version(labfetch.qemu_command(tools)):
        raise LabError("the unpacked QEMU does not run, or has no vfio-user-pci: "
                       + " ".join(labfetch.qemu_command(tools)["argv"]) + " --version")
    kernels = []
    for release in (None, labfetch.BACKPORTS):
        version = labfetch.fetch_kernel(apt, os.path.join(folder, "kernels"), release, tools)
        if version and version not in kernels:
            kernels.append(version)
    if not kernels:
        raise LabError(f"{labfetch.SUITE} has no linux-image-amd64 for this mirror")
    apt.forget()
    state = {"recipe": fetch_recipe(), "qemu": host and host["argv"][0], "kernels": kernels}
    with open(path + ".part", "w", encoding="utf-8") as file:
        json.dump(state, file, indent=1)
    os.rename(path + ".part", path)
    return state


def complete(folder):
    lab = Lab(folder, read_state(folder) or fetch(folder))
    for version in lab.kernels:
        path = lab.initramfs(version)
        if os.path.exists(path):
            continue
        say(f"building the initramfs of {version}")
        for old in glob.glob(os.path.join(folder, f"initramfs-{version}-*")):
            os.unlink(old)
        labinit.build(lab.tools, os.path.join(folder, "kernels", version), version, path)
    return lab


def setup(folder):
    """Make a lab complete; returns it."""
    os.makedirs(folder, exist_ok=True)
    return locked(folder, complete, folder)


def command_setup(lab, _arguments):
    say(f"ready in {lab.folder}: {accelerator()[1]}, kernels {', '.join(lab.kernels)}")


def command_info(lab, _arguments):
    print("qemu     ", " ".join(lab.qemu))
    print("run with ", " ".join(accelerator()))
    for version in lab.kernels:
        print("kernel   ", version, lab.kernel_image(version))
        print("initramfs", version, lab.initramfs(version))


def command_shell(lab, arguments):
    """Become a QEMU with the guest's console on this terminal; Ctrl-A X ends it."""
    kernel = lab.kernel(arguments.kernel)
    argv = lab.qemu + accelerator() + qemu_base("q35", arguments.mem, arguments.cpus, True)
    argv += ["-serial", "mon:stdio", "-serial", "null"] + kernel_args(lab, kernel, "lab.name=shell")
    if arguments.vf:
        argv += vf_args(arguments.vf)
    if arguments.syn:
        path, _, mac = arguments.syn.rpartition(",")
        if not path:
            raise LabError(f"--syn {arguments.syn}: give SOCKET,MAC")
        argv += syn_args(path, mac)
    argv += [item for item in arguments.qemu if item != "--"]
    say("the guest's console; Ctrl-A X ends it, Ctrl-A C is QEMU's monitor")
    sys.stdout.flush()
    os.execv(argv[0], argv)


def main():
    parser = argparse.ArgumentParser(description="The VM lab of softiov's tests.")
    parser.add_argument("--dir", help="where the lab lies (default: SOFTIOV_LAB or build/lab)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("setup", help="fetch and build what is missing")
    commands.add_parser("info", help="what the lab consists of")
    shell = commands.add_parser("shell", help="a guest on this terminal")
    shell.add_argument("--kernel", help="a version or its beginning, such as 7.")
    shell.add_argument("--mem", type=int, default=256, metavar="MIB")
    shell.add_argument("--cpus", type=int, default=1)
    shell.add_argument("--vf", metavar="SOCKET", help="add a VF from this vfio-user socket")
    shell.add_argument("--syn", metavar="SOCKET,MAC",
                       help="add a synthetic adapter from this vhost-user socket")
    shell.add_argument("qemu", nargs=argparse.REMAINDER, help="-- and more QEMU arguments")
    arguments = parser.parse_args()
    try:
        lab = Lab.open(arguments.dir)
        {"setup": command_setup, "info": command_info, "shell": command_shell}[arguments.command](
            lab, arguments)
    except (LabError, GuestError, OSError) as error:
        print(f"lab: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
