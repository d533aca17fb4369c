# SPDX-License-Identifier: BSD-3-Clause
"""Fetch what the VM lab needs: QEMU, kernels and guest tools, all from Debian, without root.

apt resolves and verifies packages against an empty dpkg status in the lab's own folder, and
dpkg-deb unpacks them there. No maintainer script runs and nothing outside the folder changes, so
neither root nor a chroot is needed. The mirror, proxies and credentials are those that the host's
own apt is configured with.

An unpacked QEMU runs as an ordinary process through its own dynamic loader (see `qemu_command`).
"""

import glob
import os
import re
import shutil
import subprocess

SUITE = "trixie"
BACKPORTS = SUITE + "-backports"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
QEMU_NEEDED = (10, 1)  # the first release with the vfio-user client
QEMU_PACKAGES = ["qemu-system-x86"]
TOOL_PACKAGES = [
    "busybox", "ethtool", "iperf3", "iproute2", "iputils-ping", "libgcc-s1", "pciutils",
    "tcpdump", "zstd",
]
UNUSED_MODULES = ["drivers/gpu", "drivers/media", "sound"]  # half of what is unpacked
LOADER = "usr/lib64/ld-linux-x86-64.so.2"
LIBRARIES = "usr/lib/x86_64-linux-gnu"


class LabError(Exception):
    """Something the user can act on; the text says what to do."""


def say(text):
    print("lab: " + text, flush=True)


def run(argv, **kwargs):
    """Run a program and return its standard output; its own words are the error."""
    try:
        done = subprocess.run(argv, check=True, text=True, capture_output=True,
                              env=dict(os.environ, LC_ALL="C"), **kwargs)
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is not installed: the lab needs a Debian host with apt and dpkg")
    except subprocess.CalledProcessError as error:
        tail = "\n".join((error.stdout + error.stderr).strip().splitlines()[-8:])
        raise LabError(f"{os.path.basename(argv[0])} failed (exit {error.returncode}):\n{tail}")
    return done.stdout


# --- the host's QEMU and the unpacked one ---


def qemu_version(command):
    """(major, minor) of a QEMU that has vfio-user-pci, or None."""
    try:
        text = run(command["argv"] + ["--version"])
        devices = run(command["argv"] + ["-M", "none", "-device", "help"])
    except (LabError, OSError):
        return None
    found = re.search(r"version (\d+)\.(\d+)", text)
    if not found or '"vfio-user-pci"' not in devices:
        return None
    return int(found[1]), int(found[2])


def host_qemu():
    """The command of a host QEMU that can serve the lab, or None."""
    path = shutil.which("qemu-system-x86_64")
    if path is None:
        return None
    command = {"argv": [path], "origin": "host"}
    version = qemu_version(command)
    if version is None or version < QEMU_NEEDED:
        return None
    return command


def tool(root, path):
    """The argument vector that runs an unpacked program here, whatever libc this host has."""
    return [os.path.join(root, LOADER), "--library-path", os.path.join(root, LIBRARIES),
            os.path.join(root, path)]


def qemu_command(root):
    """The unpacked QEMU; firmware lies in two packages' folders."""
    argv = tool(root, "usr/bin/qemu-system-x86_64")
    for folder in ("usr/share/qemu", "usr/share/seabios"):
        argv += ["-L", os.path.join(root, folder)]
    return {"argv": argv, "origin": "unpacked"}


# --- apt in a folder of its own ---


def host_mirror():
    """The URI of the Debian archive that the host's apt uses, and nothing written down here."""
    override = os.environ.get("SOFTIOV_LAB_MIRROR")
    if override:
        return override
    lines = run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                 "Created-By: Packages"]).splitlines()
    rows = [line.split() for line in lines if len(line.split()) == 3]
    rows = [(uri, release) for uri, release, component in rows
            if component == "main" and not uri.startswith("cdrom:") and "security" not in release]
    codename = ""
    with open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            if line.startswith("VERSION_CODENAME="):
                codename = line.split("=", 1)[1].strip().strip('"')
    for wanted in (codename, "stable", "testing", "unstable", "sid", "oldstable"):
        for uri, release in rows:
            if wanted and release == wanted:
                return uri
    raise LabError("apt has no Debian archive configured (apt-get indextargets shows none with a "
                   "component main); add one to /etc/apt/sources.list or set SOFTIOV_LAB_MIRROR=URI")


class Apt:
    """apt-get and apt-cache with their whole state below `folder`."""

    def __init__(self, folder):
        self.folder = folder
        self.config = os.path.join(folder, "apt.conf")

    def write_config(self):
        if not os.path.exists(KEYRING):
            raise LabError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        for sub in ("lists/partial", "archives/partial", "none/partial"):
            os.makedirs(os.path.join(self.folder, sub), exist_ok=True)
        mirror = host_mirror()
        say(f"packages come from {mirror} ({SUITE}, {BACKPORTS})")
        self.write("status", "")
        self.write("sources.list", "".join(
            f"deb [arch=amd64 signed-by={KEYRING}] {mirror} {suite} main\n"
            for suite in (SUITE, BACKPORTS)))
        self.write("preferences",
                   f"Package: *\nPin: release n={BACKPORTS}\nPin-Priority: 100\n\n"
                   "Package: src:qemu src:seabios src:ipxe src:libslirp\n"
                   f"Pin: release n={BACKPORTS}\nPin-Priority: 990\n")
        # Read after the host's settings: hooks that need root go, proxies and credentials stay.
        self.write("apt.conf", f"""#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Install-Pkgs;
Dir::State "{self.folder}";
Dir::State::lists "{self.folder}/lists";
Dir::State::status "{self.folder}/status";
Dir::State::extended_states "{self.folder}/extended_states";
Dir::Cache "{self.folder}";
Dir::Cache::archives "{self.folder}/archives";
Dir::Cache::pkgcache "{self.folder}/pkgcache.bin";
Dir::Cache::srcpkgcache "{self.folder}/srcpkgcache.bin";
Dir::Etc::sourcelist "{self.folder}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "{self.folder}/preferences";
Dir::Etc::preferencesparts "/dev/null";
Dir::Log "{self.folder}";
APT::Sandbox::User "root";
APT::Architecture "amd64";
APT::Install-Recommends "false";
APT::Default-Release "";
APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::Retries "3";
""")

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def update(self):
        try:
            run(["apt-get", "-c", self.config, "-q", "-o", "APT::Update::Error-Mode=any", "update"])
        except LabError as error:
            raise LabError(f"{error}\nIs the mirror reachable (SOFTIOV_LAB_MIRROR names another)? "
                           "If a key is missing: apt-get install debian-archive-keyring")

    def forget(self):
        """Drop what only resolving needed: the package lists and apt's indexes of them."""
        for name in ("lists", "none", "pkgcache.bin", "srcpkgcache.bin"):
            path = os.path.join(self.folder, name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)

    def install_list(self, packages, release=None):
        """[(package, version, size)] that an installation of packages from nothing would fetch."""
        # apt leaves out what lies in its archives, so it gets to see an empty folder.
        argv = ["apt-get", "-c", self.config, "-qq", "-y", "--print-uris",
                "-o", f"Dir::Cache::archives={self.folder}/none"]
        if release:
            argv += ["-t", release]
        rows = []
        for line in run(argv + ["install"] + packages).splitlines():
            fields = line.split()
            if len(fields) >= 3 and fields[1].endswith(".deb"):
                name, version = fields[1].split("_")[:2]
                rows.append((name, version.replace("%3a", ":"), int(fields[2])))
        return rows

    def download(self, rows):
        """Fetch exactly these packages, but not again those that are kept; returns the paths."""
        archives = os.path.join(self.folder, "archives")
        run(["apt-get", "-c", self.config, "-q", "download"] +
            [f"{name}={version}" for name, version, _ in rows], cwd=archives)
        paths = []
        for name, version, _ in rows:
            found = glob.glob(glob.escape(os.path.join(
                archives, f"{name}_{version.replace(':', '%3a')}_")) + "*.deb")
            if not found:
                raise LabError(f"apt-get download brought no file for {name} {version}")
            paths.append(found[0])
        return paths


def megabytes(rows):
    return sum(size for _, _, size in rows) // 1000000


def unpack(debs, root):
    for deb in debs:
        run(["dpkg-deb", "--extract", deb, root])
    # Packages from before the merge of /lib into /usr may bring a top-level folder of their own.
    for name in ("bin", "sbin", "lib", "lib64"):
        stray = os.path.join(root, name)
        if os.path.isdir(stray) and not os.path.islink(stray):
            shutil.copytree(stray, os.path.join(root, "usr", name), symlinks=True,
                            dirs_exist_ok=True)


# --- the three things a lab consists of ---


def fetch_tools(apt, root, with_qemu):
    rows = apt.install_list(TOOL_PACKAGES + (QEMU_PACKAGES if with_qemu else []))
    say(f"fetching {'QEMU and ' if with_qemu else ''}guest tools: {len(rows)} packages, "
        f"{megabytes(rows)} MB")
    unpack(apt.download(rows), root)


def fetch_packages(apt, root, packages):
    """Unpack packages and what they depend on below root, which is whole or not there."""
    rows = apt.install_list(packages)
    say(f"fetching {' '.join(packages)}: {len(rows)} packages, {megabytes(rows)} MB")
    part = root + ".part"
    shutil.rmtree(part, ignore_errors=True)
    debs = apt.download(rows)
    unpack(debs, part)
    os.rename(part, root)
    for deb in debs:
        os.unlink(deb)


def fetch_kernel(apt, folder, release, tools):
    """Unpack a release's generic kernel to folder/VERSION; VERSION, or None if it has none."""
    rows = apt.install_list(["linux-image-amd64"], release)
    rows = [row for row in rows if re.match(r"linux-(image|binary|modules|base)-\d", row[0])]
    version = next((re.sub(r"^linux-image-", "", row[0]) for row in rows
                    if row[0].startswith("linux-image-")), None)
    if version is None:
        return None
    home = os.path.join(folder, version)
    if os.path.isdir(home):
        return version  # fetched before, or the backports have nothing newer than the release
    say(f"fetching kernel {version}: {megabytes(rows)} MB")
    part = home + ".part"
    shutil.rmtree(part, ignore_errors=True)
    os.makedirs(part)
    debs = apt.download(rows)
    unpack(debs, part)
    modules = os.path.join(part, "usr/lib/modules", version)
    if not os.path.isdir(modules):
        modules = os.path.join(part, "lib/modules", version)
    vmlinuz = os.path.join(part, "boot/vmlinuz-" + version)
    if not os.path.exists(vmlinuz):
        vmlinuz = os.path.join(modules, "vmlinuz")
    os.rename(vmlinuz, os.path.join(part, "vmlinuz"))
    os.rename(modules, os.path.join(part, "modules"))
    for name in UNUSED_MODULES:
        shutil.rmtree(os.path.join(part, "modules/kernel", name), ignore_errors=True)
    for name in ("boot", "usr", "lib", "etc"):
        shutil.rmtree(os.path.join(part, name), ignore_errors=True)
    extract_vmlinux(os.path.join(part, "vmlinuz"), os.path.join(part, "vmlinux"), tools)
    os.rename(part, home)
    for deb in debs:
        os.unlink(deb)
    return version


def extract_vmlinux(vmlinuz, vmlinux, tools):
    """Unpack a bzImage's ELF kernel, so that no guest spends its boot on decompressing.

    Offsets by the x86 boot protocol (Linux Documentation/arch/x86/boot.rst): setup_sects 0x1f1,
    payload_offset 0x248, payload_length 0x24c. The payload's last four bytes are its unpacked size.
    A payload in a format other than zstd leaves no vmlinux, and the guests boot the bzImage.
    """
    with open(vmlinuz, "rb") as file:
        image = file.read()
    setup_size = ((image[0x1f1] or 4) + 1) * 512
    offset = setup_size + int.from_bytes(image[0x248:0x24c], "little")
    size = int.from_bytes(image[0x24c:0x250], "little")
    payload = image[offset:offset + size - 4]
    if not payload.startswith(b"\x28\xb5\x2f\xfd"):
        return
    done = subprocess.run(tool(tools, "usr/bin/zstd") + ["-dcq"], input=payload, check=False,
                          stdout=subprocess.PIPE)
    if done.returncode == 0 and done.stdout.startswith(b"\x7fELF"):
        with open(vmlinux, "wb") as file:
            file.write(done.stdout)
