# SPDX-License-Identifier: BSD-3-Clause
"""DPDK's testpmd in a guest, whose VFs it drives itself, and the kernel's modules for that.

The initramfs is the guests' own with a second archive behind it: the kernel unpacks one after the other.
Only guests that need it boot with it.
"""

import hashlib
import os

from labextra import build_behind
from labfetch import LIBRARIES, LOADER
from labinit import linked_libraries, read_module

PACKAGES = ["dpdk-dev"]
# testpmd is not linked with these; it opens them when it starts.
DRIVERS = ["librte_net_e1000.so", "librte_mempool_ring.so"]
# Debian's kernels have no VFIO without an IOMMU (CONFIG_VFIO_NOIOMMU), but UIO for any PCI device.
MODULES = ["uio", "uio_pci_generic"]
HOME = "opt/dpdk"


def add_testpmd(archive, root):
    """testpmd with a loader and libraries of its own, so that it need not agree with the guest's."""
    program = "usr/bin/dpdk-testpmd"
    libraries = linked_libraries(root, program)
    for name in DRIVERS:
        path = os.path.join(LIBRARIES, name)
        libraries.update(linked_libraries(root, path))
        libraries[name] = os.path.join(root, path)
    libraries.pop(os.path.basename(LOADER), None)
    for name, path in sorted(libraries.items()):
        archive.copy(f"{HOME}/lib/{name}", path)
    archive.copy(f"{HOME}/loader", os.path.join(root, LOADER), 0o755)
    archive.copy(f"{HOME}/testpmd", os.path.join(root, program), 0o755)
    drivers = " ".join(f"-d /{HOME}/lib/{name}" for name in DRIVERS)
    script = f'#!/bin/sh\nexec /{HOME}/loader --library-path /{HOME}/lib /{HOME}/testpmd {drivers} "$@"\n'
    archive.add("usr/bin/testpmd", script.encode(), 0o755)


def recipe_digest():
    with open(os.path.abspath(__file__), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]


def path_beside(base):
    return base.replace(".cpio", f"-dpdk-{recipe_digest()}.cpio")


def build(root, kernel_home, base):
    """The initramfs `base` of a kernel with what `root` has of DPDK."""
    def add(archive):
        add_testpmd(archive, root)
        for name in MODULES:
            module = os.path.join(kernel_home, f"modules/kernel/drivers/uio/{name}.ko.xz")
            archive.add(f"{HOME}/{name}.ko", read_module(module))
    build_behind(base, path_beside(base), add)
