# SPDX-License-Identifier: BSD-3-Clause
"""Programs of extensions, compiled when they are asked for."""

import atexit
import functools
import os
import shutil
import subprocess
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLE = os.path.join(ROOT, "examples", "extension", "firewall.c")


@functools.cache
def folder():
    path = tempfile.mkdtemp(prefix="softiov-extension-")
    atexit.register(shutil.rmtree, path)
    return path


def build(source, path):
    """As docs/extensions.md says."""
    clang = shutil.which("clang-14") or "clang"
    subprocess.run([clang, "-O2", "-target", "bpf", "-ffreestanding", "-Wall", "-Werror", "-I",
                    os.path.join(ROOT, "include"), "-c", str(source), "-o", str(path)], check=True)
    return str(path)


@functools.cache
def program(text):
    """The file of a program; `text`: its source but for the header."""
    path = os.path.join(folder(), f"{len(os.listdir(folder()))}.c")
    with open(path, "w", encoding="ascii") as file:
        file.write("#include <softiov/extension.h>\n" + text)
    return build(path, path[:-1] + "o")


class Program:
    """Of both hooks, with the same function's body; it sees `frame` and the port that UDP or TCP goes to."""

    def __init__(self, body):
        one = (" uint64_t {0}(struct softiov_frame *frame)\n{{\n"
               "\tuint16_t port = frame->flags & SOFTIOV_L4 ? softiov_be16(frame->header + frame->l4 + 2) : 0;\n\n"
               "\t(void)port;\n" + body.replace("{", "{{").replace("}", "}}") + "\n}}\n")
        self.text = "SOFTIOV_INGRESS" + one.format("in") + "SOFTIOV_EGRESS" + one.format("out")

    @property
    def path(self):
        return program(self.text)
