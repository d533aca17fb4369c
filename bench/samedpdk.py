# SPDX-License-Identifier: BSD-3-Clause
"""testpmd with softiov's compiler flags: Debian's own DPDK source, built once into build/bench-dpdk.

Debian builds DPDK with -O2 for any corei7. softiov is built with -O3 -march=x86-64-v2 -mtune=generic,
and so is this one, its vhost library and drivers included. Only what the benchmark uses is built.
"""

import glob
import os
import shutil
import subprocess

from machine import ENV, BenchError, run

FLAGS = "-march=x86-64-v2 -mtune=generic"
SOURCES = """Types: deb-src
URIs: {mirror}
Suites: {release}
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
"""
OPTIONS = ["--buildtype=plain", "-Doptimization=3", f"-Dc_args={FLAGS}",
           "-Dcpu_instruction_set=x86-64-v2", "-Dplatform=generic", "-Ddefault_library=static",
           "-Dtests=false", "-Denable_kmods=false", "-Denable_apps=test-pmd",
           "-Denable_drivers=bus/vdev,mempool/ring,net/vhost"]


def binary(folder):
    return os.path.join(folder, "build/app/dpdk-testpmd")


def mirror():
    """Where this host's own apt gets Debian's main component from."""
    for line in run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT) $(LABEL)",
                     "Created-By: Packages"]).splitlines():
        uri, component, label = line.split(" ", 2)
        if component == "main" and label == "Debian":
            return uri.rstrip("/")
    raise BenchError("apt has no Debian mirror with the component main: add one to /etc/apt/sources.list")


def fetch(folder):
    """The upstream source of the DPDK that is installed, by apt, without touching apt's own lists."""
    release = run(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"]).strip()
    os.makedirs(f"{folder}/lists/partial", exist_ok=True)
    os.makedirs(f"{folder}/sources", exist_ok=True)
    with open(f"{folder}/sources/dpdk.sources", "w", encoding="utf-8") as file:
        file.write(SOURCES.format(mirror=mirror(), release=release))
    apt = ["apt-get", "-q", "-o", "Dir::Etc::sourcelist=/dev/null",
           "-o", f"Dir::Etc::sourceparts={folder}/sources", "-o", f"Dir::State::lists={folder}/lists",
           "-o", "APT::Sandbox::User=root"]
    version = run(["dpkg-query", "-W", "-f", "${Version}", "libdpdk-dev"]).strip()
    run([*apt, "update"], timeout=300, cwd=folder)
    run([*apt, "source", "--download-only", f"dpdk={version}"], timeout=600, cwd=folder)
    shutil.rmtree(f"{folder}/lists")
    archives = glob.glob(f"{folder}/dpdk_*.orig.tar.xz")
    if len(archives) != 1:
        raise BenchError(f"no source of DPDK {version}")
    os.makedirs(f"{folder}/source", exist_ok=True)
    run(["tar", "xf", archives[0], "--strip-components=1", "-C", f"{folder}/source"], timeout=300)


def build(folder, say):
    """Returns the path of testpmd. Takes some minutes the first time."""
    if os.path.exists(binary(folder)):
        return binary(folder)
    say("building testpmd with softiov's compiler flags, once (some minutes)")
    os.makedirs(folder, exist_ok=True)
    log = os.path.join(folder, "build.log")
    if not os.path.exists(f"{folder}/source/meson.build"):
        fetch(folder)
    environment = dict(ENV, PATH="/usr/bin:/bin:/usr/sbin:/sbin")
    with open(log, "w", encoding="utf-8") as out:
        for argv in (["meson", "setup", f"{folder}/build", f"{folder}/source", *OPTIONS],
                     ["ninja", "-C", f"{folder}/build", "app/dpdk-testpmd"]):
            if argv[0] == "meson" and os.path.exists(f"{folder}/build/build.ninja"):
                continue
            if subprocess.run(argv, stdout=out, stderr=out, env=environment, check=False,
                              timeout=3600).returncode != 0:
                raise BenchError(f"building DPDK failed: see {log}")
    return binary(folder)
