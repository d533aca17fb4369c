# SPDX-License-Identifier: BSD-3-Clause
"""The switches that are compared. Each one is started once, and polls only while its block runs.

    contender.ports(n)   where the client finds n ports of it: what bench/client takes
    contender.resume()   let it run; counters from zero
    contender.pause()    stop polling; returns {"cycles_per_packet": ..., ...} of the time between

Cycles are those of each contender's own counters: busy TSC cycles a packet, without the time in
which it polled and found nothing.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time

from machine import BenchError, run

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/lib"))

START_SECONDS = 60
PEER_MEMORY_MIB = 1024
MTU = 1504  # of softiov's vports: 1518 bytes without FCS, as the peers take them


def waited_s(pid, cpu):
    """Seconds that the polling thread of a process, the one pinned to `cpu`, waited for it while others
    had it (proc(5))."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            if os.sched_getaffinity(int(task)) != {cpu}:
                continue
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="utf-8") as file:
                total += int(file.read().split()[1])
        except OSError:
            pass  # it has ended meanwhile
    return total / 1e9


def wait_for(condition, what, seconds=START_SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"{what} within {seconds} s")
        time.sleep(0.05)


def stop_daemon(processes, daemon):
    process = daemon.process
    try:
        daemon.stop()
    finally:
        processes.stop(process)
        daemon.remove_run_dir()


class Softiov:
    """softiovd with as many vports as there are ports, each with a VF and a synthetic. `fields`: of each."""

    def __init__(self, processes, n_ports, workers, hugepages, **fields):
        import softiov  # from tests/lib; reads SOFTIOV_BUILD when it is imported
        self.n_ports = n_ports
        self.processes = processes
        self.cli = softiov.SOFTIOV
        self.before = []
        folder = os.path.join(processes.folder, f"softiov-{n_ports}-{workers}-{time.monotonic_ns()}")
        os.makedirs(folder)
        arguments = ["--workers", str(workers), "--log-level", "warn"]
        if not hugepages:
            arguments.append("--no-huge")
        self.daemon = softiov.Daemon(folder, *arguments)
        processes.running.append(self.daemon.process)
        processes.folders.append(self.daemon.run_dir)
        self.pid = self.daemon.pid
        self.daemon.call("config.apply", objects={
            "switch": {"bench": {"vfs": n_ports}},
            "vport": {f"p{i}": {"switch": "bench", "mtu": MTU,
                                "mac": f"02:00:00:00:{(i + 1) >> 8:02x}:{(i + 1) & 255:02x}", **fields}
                      for i in range(n_ports)}})
        self.vf, self.syn = [], []
        for i in range(n_ports):
            shown = self.daemon.show("vport", f"p{i}")
            self.vf.append("vf:" + shown["vf-socket"])
            self.syn.append("vio:" + shown["syn-socket"])
        self.signal(signal.SIGSTOP)

    def signal(self, number):
        os.kill(self.daemon.pid, number)

    def pin(self, workers):
        """The queues of port i go to workers[i]."""
        self.signal(signal.SIGCONT)
        for queue in self.daemon.call("queue.show"):
            self.daemon.call("queue.set", name=queue["name"], worker=workers[int(queue["port"][1:])])
        self.signal(signal.SIGSTOP)

    def add(self, objects):
        """More of the configuration."""
        self.signal(signal.SIGCONT)
        self.daemon.call("config.apply", objects={**self.daemon.call("config.export")["objects"], **objects})
        self.signal(signal.SIGSTOP)

    def ports(self, n, kind="syn"):
        if kind == "mixed":
            return [(self.vf if i % 2 == 0 else self.syn)[i] for i in range(n)]
        return (self.vf if kind == "vf" else self.syn)[:n]

    def workers(self):
        return self.daemon.call("worker.show")

    def resume(self):
        self.signal(signal.SIGCONT)
        self.before = self.workers()

    def pause(self):
        after = self.workers()
        self.signal(signal.SIGSTOP)
        deltas = [{key: a[key] - b[key] for key in ("frames", "busy-cycles")}
                  for a, b in zip(after, self.before)]
        frames = sum(d["frames"] for d in deltas)
        cycles = sum(d["busy-cycles"] for d in deltas)
        return {"cycles_per_packet": cycles / frames if frames else None,
                "worker_frames": [d["frames"] for d in deltas]}

    def is_captured(self):
        return any(capture["state"] == "running" for capture in self.daemon.call("capture.show"))

    @contextlib.contextmanager
    def capture(self, expression, cpu):
        """`softiov capture` of all vports runs meanwhile, on this processor; None: none does."""
        if expression is None:
            yield
            return
        self.signal(signal.SIGCONT)
        process = self.processes.start(
            ["taskset", "-c", str(cpu), self.cli, "--socket", self.daemon.api_path, "capture", "start", "all",
             "filter", expression, "-w", "/dev/null"], "capture.log")
        try:
            wait_for(self.is_captured, "capture did not start")
            self.signal(signal.SIGSTOP)
            yield
        finally:
            self.signal(signal.SIGCONT)
            self.processes.stop(process)
            wait_for(lambda: not self.is_captured(), "capture did not end")
            self.signal(signal.SIGSTOP)

    def drops(self):
        """Reasons and frames, over all ports, since the start."""
        self.signal(signal.SIGCONT)
        total = {}
        for vport in self.daemon.call("vport.show"):
            for reason, n in vport.get("drop-reasons", {}).items():
                total[reason] = total.get(reason, 0) + n
        self.signal(signal.SIGSTOP)
        return total

    def cpu_seconds(self):
        with open(f"/proc/{self.daemon.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.signal(signal.SIGCONT)
        stop_daemon(self.processes, self.daemon)


class Ovs:
    """Open vSwitch with DPDK, by hand: its own data base and sockets, NORMAL forwarding.

    One polling thread on the switch's core; the main thread, which it needs now and then, shares the
    client's core."""

    SWITCHD = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"

    def __init__(self, processes, switch_cpu, client_cpu, hugepages):
        if not hugepages:
            raise BenchError("OVS-DPDK needs hugepages")
        self.processes = processes
        self.folder = folder = os.path.join(processes.folder, "ovs")
        os.makedirs(folder)
        self.environment = {"OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder,
                            "OVS_SYSCONFDIR": folder}
        self.control = os.path.join(folder, "switchd.ctl")
        self.n_ports = 0
        run(["ovsdb-tool", "create", f"{folder}/conf.db",
             "/usr/share/openvswitch/vswitch.ovsschema"])
        self.database = processes.start(
            ["env", *self.assignments(), "ovsdb-server", f"{folder}/conf.db",
             f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/db.ctl",
             f"--log-file={folder}/db.log"], "ovsdb.log")
        wait_for(lambda: os.path.exists(f"{folder}/db.sock"), "ovsdb-server did not start")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   f"other_config:dpdk-socket-mem={PEER_MEMORY_MIB}",
                   f"other_config:dpdk-lcore-mask={1 << client_cpu:#x}",
                   f"other_config:pmd-cpu-mask={1 << switch_cpu:#x}",
                   "other_config:dpdk-extra=--no-pci --in-memory --single-file-segments")
        self.switchd = processes.start(
            ["env", *self.assignments(), "taskset", "-c", str(client_cpu), self.SWITCHD,
             f"unix:{folder}/db.sock", f"--unixctl={self.control}",
             f"--log-file={folder}/switchd.log"], "switchd.log")
        self.pid = self.switchd.pid
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")
        self.add_ports(2)
        initialized = self.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized").strip()
        if initialized != "true":
            raise BenchError("OVS did not start DPDK:\n" + processes.log("ovs/switchd.log"))
        self.signal(signal.SIGSTOP)

    def assignments(self):
        return [f"{key}={value}" for key, value in self.environment.items()]

    def vsctl(self, *arguments):
        return run(["ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=30", *arguments])

    def appctl(self, *arguments):
        return run(["ovs-appctl", "-t", self.control, *arguments])

    def signal(self, number):
        os.kill(self.switchd.pid, number)

    def add_ports(self, n):
        for i in range(self.n_ports, n):
            self.vsctl("add-port", "br0", f"o{i}", "--", "set", "Interface", f"o{i}",
                       "type=dpdkvhostuser")
            wait_for(lambda i=i: os.path.exists(f"{self.folder}/o{i}"), f"OVS made no port o{i}")
        self.n_ports = max(self.n_ports, n)

    def set_ports(self, n):
        """Ports that nobody uses cost polling, so there are as many as the case needs."""
        if n == self.n_ports:
            return
        self.signal(signal.SIGCONT)
        for i in range(n, self.n_ports):
            self.vsctl("del-port", "br0", f"o{i}")
        self.n_ports = min(self.n_ports, n)
        self.add_ports(n)
        self.signal(signal.SIGSTOP)

    def add_flows(self, flows):
        """OpenFlow rules of br0, above NORMAL."""
        self.signal(signal.SIGCONT)
        run(["ovs-ofctl", "add-flows", f"unix:{self.folder}/br0.mgmt", "-"], input="\n".join(flows))
        self.signal(signal.SIGSTOP)

    def ports(self, n, _kind="syn"):
        return [f"vio:{self.folder}/o{i}" for i in range(n)]

    def resume(self):
        self.signal(signal.SIGCONT)
        self.appctl("dpif-netdev/pmd-stats-clear")

    def pause(self):
        text = self.appctl("dpif-netdev/pmd-perf-show", "-nh")
        self.signal(signal.SIGSTOP)
        found = re.search(r"Rx packets:\s+(\d+)\s+\(.*?([\d.]+) cycles/pkt\)", text)
        return {"cycles_per_packet": float(found.group(2)) if found else None}

    def close(self):
        self.signal(signal.SIGCONT)
        try:
            self.appctl("exit", "--cleanup")
            self.switchd.wait(15)
        except (BenchError, subprocess.TimeoutExpired):
            pass
        self.processes.stop(self.switchd)
        self.processes.stop(self.database)


class Testpmd:
    """DPDK's testpmd, forwarding between two vhost ports without a look at the frames (io)."""

    PROMPT = "testpmd> "

    def __init__(self, processes, binary, name, switch_cpu, client_cpu, hugepages):
        self.processes = processes
        self.sockets = [os.path.join(processes.folder, f"{name}{i}.sock") for i in range(2)]
        memory = ["--in-memory", "--single-file-segments"] if hugepages else ["--no-huge"]
        vdevs = []
        for i, path in enumerate(self.sockets):
            vdevs += ["--vdev", f"net_vhost{i},iface={path},queues=1"]
        self.log = f"{name}.log"
        self.process = processes.start(
            ["stdbuf", "-oL", binary, "--lcores", f"0@{client_cpu},1@{switch_cpu}", "--main-lcore", "0", "--no-pci",
             *memory, f"--file-prefix={name}-{os.getpid()}", "-m", str(PEER_MEMORY_MIB), *vdevs,
             "--", "-i", "--nb-cores=1", "--forward-mode=io", "--rxd=1024", "--txd=1024",
             "--burst=32", "--total-num-mbufs=16384", "--no-flush-rx"],
            self.log, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self.process.pid
        os.set_blocking(self.process.stdout.fileno(), False)
        self.until_prompt()
        self.command("set record-core-cycles on", "cycles on")

    def until_prompt(self, after="", seconds=START_SECONDS):
        """Read up to the prompt behind `after`. Of links it speaks behind the prompt, and does not
        repeat that; and it shows the prompt again with what was typed."""
        text = ""
        end = time.monotonic() + seconds
        while after not in text or self.PROMPT not in text[text.index(after):]:
            ready, _, _ = select.select([self.process.stdout], [], [], 0.2)
            data = self.process.stdout.read() if ready else None
            text += (data or b"").decode(errors="replace")
            if self.process.poll() is not None or time.monotonic() > end:
                raise BenchError(f"testpmd does not answer:\n{text[-800:]}\n"
                                 + self.processes.log(self.log))
        return text

    def command(self, line, after):
        self.process.stdout.read()
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.until_prompt(after)

    def ports(self, _n, _kind="syn"):
        return ["vio:" + path for path in self.sockets]

    def resume(self):
        self.command("start", "packets/burst=")

    def pause(self):
        text = self.command("stop", "Done.")
        found = re.search(r"CPU cycles/packet=([\d.]+)", text)
        return {"cycles_per_packet": float(found.group(1)) if found else None}

    def close(self):
        try:
            self.process.stdin.write(b"quit\n")
            self.process.stdin.flush()
            self.process.wait(10)
        except (OSError, subprocess.TimeoutExpired):
            pass
        self.processes.stop(self.process)
