# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark borrows from the machine, and gives back: packages, hugepages, processes."""

import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile

HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB"
POLICY = "/usr/sbin/policy-rc.d"
ENV = dict(os.environ, PATH="/usr/sbin:/usr/bin:/sbin:/bin:" + os.environ.get("PATH", ""))


class BenchError(Exception):
    """Something that the benchmark needs is not there; the text says what to do."""


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def run(argv, timeout=60, **options):
    """Run to the end and return standard output; raises with what it said if it failed."""
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, env=ENV, check=False, **options)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv[:3])}: status {done.returncode}\n{done.stdout[-800:]}"
                         f"{done.stderr[-1200:]}")
    return done.stdout


def missing_packages(path):
    with open(path, encoding="utf-8") as file:
        wanted = [line.strip() for line in file if line.strip() and not line.startswith("#")]
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
                          capture_output=True, text=True, check=False)
    there = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in there]


def install_packages(path, say):
    """Install what is missing, without starting the services that come with it."""
    missing = missing_packages(path)
    if not missing:
        return
    command = ["apt-get", "-q", "-o", "Acquire::Retries=3", "install", "-y",
               "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise BenchError("packages are missing; as root run: " + " ".join(command))
    say("installing " + " ".join(missing))
    own_policy = not os.path.exists(POLICY)
    if own_policy:
        # invoke-rc.d(8): 101 forbids the action. Open vSwitch is started here by hand.
        write(POLICY, "#!/bin/sh\nexit 101\n")
        os.chmod(POLICY, 0o755)
    try:
        run(["apt-get", "-q", "update"], timeout=600)
        environment = dict(ENV, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(command, check=True, timeout=1200, env=environment,
                       stdout=subprocess.DEVNULL)
    finally:
        if own_policy:
            os.unlink(POLICY)


class Hugepages:
    """2 MiB pages for the time of the benchmark. Without root, or without so many, it does without."""

    def __init__(self, wanted, say):
        self.path = os.path.join(HUGE, "nr_hugepages")
        total = int(read(self.path) or 0)
        # Surplus pages are in use, count in the total, and go by themselves.
        self.before = total - int(read(os.path.join(HUGE, "surplus_hugepages")) or 0)
        self.restore = False
        free = int(read(os.path.join(HUGE, "free_hugepages")) or 0)
        if free >= wanted:
            self.there = True
            return
        try:
            write(self.path, str(total + wanted - free))
            self.restore = True
        except OSError:
            pass
        free = int(read(os.path.join(HUGE, "free_hugepages")) or 0)
        self.there = free >= wanted
        if not self.there:
            say(f"no hugepages ({free} of {wanted} free): every contender runs without, and slower")
            self.give_back()

    def give_back(self):
        if self.restore:
            write(self.path, str(self.before))
            self.restore = False


class Processes:
    """Everything that was started, ended in reverse order by its own number."""

    def __init__(self):
        self.running = []
        self.folder = tempfile.mkdtemp(prefix="softiov-bench-")
        self.folders = [self.folder]  # all that are to go

    def start(self, argv, log, **options):
        with open(os.path.join(self.folder, log), "ab") as out:
            options.setdefault("stdin", subprocess.DEVNULL)
            # A terminal's interrupt is for the benchmark, which then ends them; DPDK's own files
            # go where everything else is.
            process = subprocess.Popen(argv, stdout=options.pop("stdout", out), stderr=out,
                                       env=dict(ENV, RUNTIME_DIRECTORY=self.folder),
                                       start_new_session=True, **options)
        self.running.append(process)
        return process

    def stop(self, process, seconds=10):
        if process in self.running:
            self.running.remove(process)
        if process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log(self, name, lines=15):
        return "\n".join(read(os.path.join(self.folder, name)).splitlines()[-lines:])

    def close(self):
        for process in list(reversed(self.running)):
            self.stop(process)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)


def describe(switch_cpu, client_cpu, hugepages, softiovd):
    """For `machine` in the results."""
    cpuinfo = read("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", cpuinfo)
    release = re.search(r'PRETTY_NAME="(.*)"', read("/etc/os-release"))
    versions = {}
    for name in ("dpdk-dev", "openvswitch-switch-dpdk"):
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True,
                              text=True, check=False)
        versions[name] = done.stdout.strip()
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "virtual": "hypervisor" in cpuinfo,
        "caches": caches(),
        "kernel": platform.release(),
        "system": release.group(1) if release else "",
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "none",
        "memory_mib": int(re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo")).group(1)) >> 10,
        "hugepages": hugepages,
        "switch_cpu": switch_cpu,
        "client_cpu": client_cpu,
        "load_at_start": os.getloadavg()[0],
        "versions": versions,
        "softiovd": run([softiovd, "--version"]).strip(),
    }


def caches():
    found = {}
    base = "/sys/devices/system/cpu/cpu0/cache"
    for index in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        level, kind, size = (read(f"{base}/{index}/{name}") for name in ("level", "type", "size"))
        if level:
            found[f"L{level} {kind}".strip()] = size
    return found
