# SPDX-License-Identifier: BSD-3-Clause
"""Programs of Debian packages in a guest that only some tests need: the guests' own initramfs with a second
archive behind it, as in labdpdk.py. Each comes with a loader and libraries of its own."""

import hashlib
import os
import shutil

from labfetch import LOADER
from labinit import Archive, linked_libraries


def add_program(archive, root, program):
    name = os.path.basename(program)
    home = f"opt/{name}"
    libraries = linked_libraries(root, program)
    libraries.pop(os.path.basename(LOADER), None)
    for library, path in sorted(libraries.items()):
        archive.copy(f"{home}/lib/{library}", path)
    archive.copy(f"{home}/loader", os.path.join(root, LOADER), 0o755)
    archive.copy(f"{home}/{name}", os.path.join(root, program), 0o755)
    archive.add(f"usr/bin/{name}", f'#!/bin/sh\nexec /{home}/loader --library-path /{home}/lib /{home}/{name} "$@"\n'
                .encode(), 0o755)


def path_beside(base, programs):
    with open(os.path.abspath(__file__), "rb") as file:
        digest = hashlib.sha256(file.read() + " ".join(programs).encode()).hexdigest()[:12]
    return base.replace(".cpio", f"-extra-{digest}.cpio")


def build_behind(base, path, add):
    """`path`: the initramfs `base` and behind it what add(archive) adds; all or nothing, and once."""
    if os.path.exists(path):
        return
    with open(path + ".part", "wb") as file:
        with open(base, "rb") as first:
            shutil.copyfileobj(first, file)
        archive = Archive(file)
        add(archive)
        archive.close()
    os.rename(path + ".part", path)


def build(root, base, programs):
    """The initramfs `base` with these programs of `root`."""
    def add(archive):
        for program in programs:
            add_program(archive, root, program)
    build_behind(base, path_beside(base, programs), add)
