# SPDX-License-Identifier: BSD-3-Clause
"""Build a guest's initramfs: busybox, network tools and the modules that tests need.

It is a newc cpio, not compressed: under TCG unpacking costs more than reading. It is written here
rather than by cpio(1), because that way device nodes and root's ownership need no root.
Layout of the format: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
"""

import glob
import hashlib
import lzma
import os
import re
import shutil
import stat
import tempfile

from labfetch import LIBRARIES, LOADER, LabError, run, tool

GUEST_FILES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest")
PROGRAMS = ["usr/bin/busybox", "usr/bin/ip", "usr/sbin/tc", "usr/sbin/bridge",
            "usr/sbin/ethtool", "usr/bin/iperf3", "usr/bin/tcpdump", "usr/bin/lspci", "usr/bin/ping"]
# libgcc_s is opened at run time, by pthread_cancel.
EXTRA_LIBRARIES = ["libgcc_s.so.1"]
EXTRA_FILES = ["usr/share/misc/pci.ids"]
# Names as modprobe knows them; what they depend on comes along.
MODULES = """
    ixgbevf igbvf ixgbe igb e1000e virtio_net virtio_pci net_failover failover
    8021q bonding team team_mode_activebackup team_mode_loadbalance macvlan veth dummy bridge
    macsec xfrm_user esp4 esp6 esp4_offload esp6_offload ccm gcm ghash_clmulni_intel aesni_intel
    pktgen sch_netem sch_ingress cls_u32 cls_matchall act_mirred act_gact
    vfio_pci vfio_iommu_type1
""".split()


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def read_module(path):
    with open(path, "rb") as file:
        data = file.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def module_depends(data):
    """The names in .modinfo: hard dependencies and what should be loaded before or after."""
    names = []
    for match in re.finditer(rb"\0(?:depends=|softdep=)([^\0]*)\0", data):
        names += re.split(r"[,\s]+|pre:|post:", match[1].decode())
    return [name.replace("-", "_") for name in names if name]


def collect_modules(tree):
    """{path in tree, uncompressed: contents} for MODULES and their dependencies."""
    paths = {module_name(path): path
             for path in glob.glob(os.path.join(tree, "kernel/**/*.ko*"), recursive=True)}
    with open(os.path.join(tree, "modules.builtin"), encoding="utf-8") as file:
        builtin = {module_name(line.strip()) for line in file}
    chosen = {}
    wanted = list(MODULES)
    seen = set()
    while wanted:
        name = wanted.pop()
        if name in seen or name in builtin or name not in paths:
            continue
        seen.add(name)
        data = read_module(paths[name])
        relative = os.path.relpath(paths[name], tree)
        chosen[relative.split(".ko")[0] + ".ko"] = data
        wanted += module_depends(data)
    for name in ("ixgbevf", "igbvf", "virtio_net"):
        if name not in seen and name not in builtin:
            raise LabError(f"kernel modules in {tree} lack {name}: not a generic kernel")
    return chosen


def linked_libraries(root, program):
    """{soname: path} of all that the loader maps for a program."""
    found = {}
    loader = tool(root, program)
    for line in run([loader[0], "--list"] + loader[1:]).splitlines():
        match = re.match(r"\s*(\S+) => (/\S+)", line)
        if match:
            found[os.path.basename(match[1])] = match[2]
    return found


class Archive:
    """A newc cpio being written; parents are made as needed."""

    def __init__(self, file):
        self.file = file
        self.inode = 0
        self.folders = {""}

    def entry(self, name, mode, data=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + encoded
        self.file.write(head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4))

    def folder(self, name):
        if name in self.folders:
            return
        self.folder(os.path.dirname(name))
        self.folders.add(name)
        self.entry(name, stat.S_IFDIR | 0o755)

    def add(self, name, data, mode=0o644):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFREG | mode, data)

    def copy(self, name, path, mode=None):
        with open(path, "rb") as file:
            data = file.read()
        self.add(name, data, stat.S_IMODE(os.stat(path).st_mode) if mode is None else mode)

    def link(self, name, target):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name, major, minor):
        self.folder(os.path.dirname(name))
        self.entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def close(self):
        self.entry("TRAILER!!!", 0)


def add_busybox(archive, root, taken):
    """Links for what no real program does. busybox-static would prefer its own ip and ping."""
    for name in run(tool(root, "usr/bin/busybox") + ["--list"]).split():
        if name not in taken:
            archive.link("usr/bin/" + name, "busybox")


def add_programs(archive, root):
    libraries = {}
    for program in PROGRAMS:
        libraries.update(linked_libraries(root, program))
        archive.copy("usr/bin/" + os.path.basename(program), os.path.join(root, program), 0o755)
    for name in EXTRA_LIBRARIES:
        libraries[name] = os.path.join(root, LIBRARIES, name)
    libraries.pop(os.path.basename(LOADER), None)
    for name, path in sorted(libraries.items()):
        archive.copy("usr/lib/x86_64-linux-gnu/" + name, path)
    archive.copy("usr/lib64/" + os.path.basename(LOADER), os.path.join(root, LOADER), 0o755)
    for path in EXTRA_FILES:
        archive.copy(path, os.path.join(root, path))


def add_modules(archive, root, kernel_home, version):
    tree = os.path.join(kernel_home, "modules")
    with tempfile.TemporaryDirectory() as scratch:
        base = os.path.join(scratch, "lib/modules", version)
        for name, data in collect_modules(tree).items():
            path = os.path.join(base, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
        for name in ("modules.builtin", "modules.order"):
            shutil.copy(os.path.join(tree, name), base)
        run(tool(root, "usr/bin/busybox") + ["depmod", "-b", scratch, version])
        for folder, _, names in os.walk(base):
            for name in sorted(names):
                path = os.path.join(folder, name)
                archive.copy("usr/lib/modules/" + version + "/" + os.path.relpath(path, base), path)


def recipe_digest():
    """Changes when this file or a guest script does; an initramfs is rebuilt then."""
    digest = hashlib.sha256()
    for path in [os.path.abspath(__file__)] + sorted(glob.glob(GUEST_FILES + "/*")):
        with open(path, "rb") as file:
            digest.update(os.path.basename(path).encode() + b"\0" + file.read())
    return digest.hexdigest()[:12]


def build(root, kernel_home, version, path):
    """Write the initramfs of a kernel to path, all or nothing."""
    with open(path + ".part", "wb") as file:
        archive = Archive(file)
        for name in ("dev", "proc", "sys", "run", "tmp", "root", "var/log", "etc/network"):
            archive.folder(name)
        for name in ("bin", "sbin"):
            archive.link(name, "usr/bin")
        archive.link("usr/sbin", "bin")
        archive.link("lib", "usr/lib")
        archive.link("lib64", "usr/lib64")
        archive.link("var/run", "/run")
        # The kernel opens it before devtmpfs is there; without it init would be mute.
        archive.device("dev/console", 5, 1)
        archive.link("init", "usr/bin/busybox")
        for source in sorted(os.listdir(GUEST_FILES)):
            is_script = source in ("agent", "boot", "netdevs")
            archive.copy(("lab/" if is_script else "etc/") + source,
                         os.path.join(GUEST_FILES, source), 0o755 if is_script else 0o644)
        add_programs(archive, root)
        add_busybox(archive, root, {os.path.basename(program) for program in PROGRAMS})
        add_modules(archive, root, kernel_home, version)
        archive.close()
    os.rename(path + ".part", path)
