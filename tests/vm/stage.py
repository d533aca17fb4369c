# SPDX-License-Identifier: BSD-3-Clause
"""What most VM tests play on: one switch, some guests, and the world outside.

    netns "outside" --veth-- uplink0 -- switch "lan" -- vports, each with a guest

    with Stage(lab, folder) as stage:
        stage.add_vport("one", model="x540")
        stage.boot("one", kernel="7.")
        stage["one"].ping(stage["outside"])

The daemon runs in a network namespace of its own, so that the host's network stays as it is. A Stage
checks in the end that the daemon stopped in order, and check() that no guest's kernel complained.
"""

import concurrent.futures
import contextlib
import itertools
import os
import re
import shlex
import subprocess
import time

from guest import PATIENCE, Guest, spawn_process, syn_args, vf_args
from labfetch import tool
from softiov import SOFTIOV, SOFTIOVD, Daemon, sanitizer_env, wait_until

KERNELS = ("6.", "7.")  # Debian's stable kernel and the one of its backports
# What a kernel says when an adapter or its driver does wrong. Not "rcu: ... stall" and "soft lockup", nor
# the call traces that come with them: those come when a test machine is slow. And then igbvf_close may warn
# that the driver's own reset task runs, for which it does not wait (Linux 6.12).
COMPLAINTS = re.compile(
    r"NETDEV WATCHDOG|transmit queue .* timed out|hw csum failure|Tx Unit Hang|Resetting adapter|"
    r"Detected Tx|(?<!watchdog: )BUG:|WARNING:(?!.* igbvf_close)|\bOops|general protection|page allocation failure|"
    r"blocked for more than|"
    r"(ixgbevf|igbvf|virtio_net).*(fail(?!over)|error|timed out|unable)|PF still in reset|DMAR|MBX", re.I)
HANG = re.compile(r"Detected Tx Unit Hang.*?time_stamp\s+<(\w+)>.*?jiffies\s+<(\w+)>", re.S)
HZ = 250  # of Debian's kernels
SHORT = 0.05


def is_brief_hang(lines):
    """Drivers look for hangs every two seconds, two looks make one, and each interrupt of the mailbox is a
    look: so a busy machine that runs no worker for a while is found guilty when the link changes. A second
    is too long for any."""
    found = HANG.match("\n".join(lines)[lines[0].find("Detected"):])
    return found is not None and (int(found[2], 16) - int(found[1], 16)) % 2**32 < HZ


class Outside:
    """A namespace behind the uplink, spoken to as a Guest is."""

    def __init__(self, netns, busybox):
        self.shell = ["ip", "netns", "exec", netns, "sh", "-c"]
        # Applets that have no program of their own on every host; all others are the host's.
        self.prefix = "".join(f"{name}() {{ {shlex.join(busybox)} {name} \"$@\"; }}; "
                              for name in ("nc", "usleep"))

    def call(self, command, timeout=PATIENCE):
        try:
            done = subprocess.run(self.shell + [self.prefix + command], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            return 137, str(error)
        return done.returncode, done.stdout

    def run(self, command, timeout=PATIENCE):
        status, output = self.call(command, timeout)
        assert status == 0, f"outside: exit status {status}: {command}\n{output}"
        return output.rstrip("\n")

    def spawn(self, command):
        return OutsideJob(spawn_process(self.shell + [self.prefix + command],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, start_new_session=True))


class OutsideJob:
    """A command that runs in the namespace while others do; as guest.Job."""

    def __init__(self, process):
        self.process = process

    def wait(self, timeout=PATIENCE, check=True):
        output = self.process.communicate(timeout=timeout)[0]
        assert not check or self.process.returncode == 0, output
        return output

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, 9)
        self.process.communicate()


class Node:
    """A place on the network: a guest's adapter, or the namespace."""

    def __init__(self, name, number, host, device=None, mac=None):
        self.name, self.number, self.host = name, number, host
        self.device, self.mac = device, mac
        self.scratch = "/tmp"  # a folder for files

    address = property(lambda self: f"10.0.0.{self.number}")
    address6 = property(lambda self: f"fd00::{self.number}")

    def run(self, command, timeout=PATIENCE):
        return self.host.run(command, timeout)

    def call(self, command, timeout=PATIENCE):
        return self.host.call(command, timeout)

    def spawn(self, command):
        return self.host.spawn(command)

    def tcpdump(self, arguments, command="tcpdump"):
        """A job; it listens already."""
        said = f"{self.scratch}/tcpdump.said"
        self.run(f"rm -f {said}")  # not what the last one said
        job = self.spawn(f"exec {command} -i {self.device} -n -s 0 -B 16384 --immediate-mode {arguments} 2>{said}")
        try:
            self.run(f"until grep -sq 'listening on' {said}; do usleep 20000; done")
        except BaseException:
            job.kill()
            raise
        return job

    def configure(self, timeout=PATIENCE):
        """Find the adapter by its MAC, give it its addresses, wait for its link."""
        if isinstance(self.host, Guest):
            self.device = self.host.netdev(mac=self.mac, timeout=timeout)
        dev = self.device
        self.run(f"ip addr replace {self.address}/24 dev {dev}; "
                 f"ip addr replace {self.address6}/64 dev {dev} nodad; ip link set {dev} up")
        if isinstance(self.host, Guest):
            self.host.carrier(dev, timeout)

    def ping(self, target, options="", count=3, timeout=PATIENCE):
        """(sent, received); `target` is a Node or an address. Ends with the last answer."""
        address = target.address if isinstance(target, Node) else target
        text = self.call(f"ping -n -c {count} -i {SHORT} -W 1 {options} {address}", timeout)[1]
        found = re.search(r"(\d+) packets transmitted, (\d+) (?:packets )?received", text)
        assert found, text
        return int(found[1]), int(found[2])

    def reaches(self, target, options="", count=3, patience=PATIENCE):
        """Whether all of some pings are answered, within some seconds: a busy machine may need some tries."""
        deadline = time.monotonic() + patience
        while True:
            sent, received = self.ping(target, options, count)
            if received == sent:
                return True
            if time.monotonic() > deadline:
                return False

    def cut_off(self, target, options=""):
        """Whether none of some pings is answered."""
        return self.ping(target, options)[1] == 0

    def wait_listening(self, port):
        """Until a program waits for TCP connections to the port."""
        self.run(f"while ! grep -q ':{port:04X} .* 0A ' /proc/net/tcp /proc/net/tcp6; do usleep 20000; done")

    def mtu(self):
        return int(self.run(f"cat /sys/class/net/{self.device}/mtu"))

    def statistic(self, name):
        return int(self.run(f"cat /sys/class/net/{self.device}/statistics/{name}"))

    def pci(self):
        """The address of the adapter's PCI function in the guest."""
        return self.run(f"basename $(readlink -f /sys/class/net/{self.device}/device)")

    def ethtool_statistics(self):
        text = self.run(f"ethtool -S {self.device}")
        return {name: int(value) for name, value in re.findall(r"(\w+): (\d+)", text)}


class NetnsDaemon(Daemon):
    """A daemon in a network namespace; it cannot outlive the tests."""

    def __init__(self, folder, netns):
        self.netns = netns
        super().__init__(folder)

    def spawn(self):
        os.makedirs(self.folder, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = spawn_process(
                ["ip", "netns", "exec", self.netns, SOFTIOVD, "--run-dir", self.run_dir,
                 "--state-dir", self.state_dir, *self.arguments], stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, env=dict(os.environ, **sanitizer_env(self.report_path)))

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stage:
    """The daemon, its switch "lan" with the uplink "out", and guests by their vport's name."""

    count = 0

    def __init__(self, lab, folder):
        self.lab = lab
        self.scratch = str(folder)
        Stage.count += 1
        tag = f"softiov-{os.getpid()}-{Stage.count}"
        self.inside, self.outside = f"{tag}-in", f"{tag}-out"
        self.namespaces = []
        self.nodes = {}
        self.guests = {}
        self.daemon = None
        self.ports = itertools.count(5201)
        try:
            self.make_network()
            self.daemon = NetnsDaemon(folder, self.inside)
            self.call("switch.add", name="lan")
            self.call("uplink.add", name="out", switch="lan", device="uplink0")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, _value, _trace):
        try:
            if kind is None:
                self.daemon.stop()
        finally:
            self.close()

    def __getitem__(self, name):
        return self.nodes[name]

    def close(self):
        for guest in self.guests.values():
            guest.kill()
        if self.daemon is not None:
            print(self.daemon.log())
            self.daemon.kill()
            self.daemon.remove_run_dir()
        for name in self.namespaces:
            subprocess.run(["ip", "netns", "del", name], check=False)

    # --- network ---

    def ip(self, netns, *words):
        subprocess.run(["ip", "-n", netns, *words], check=True)

    def make_network(self):
        for name in (self.inside, self.outside):
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.namespaces.append(name)
            self.ip(name, "link", "set", "lo", "up")
        self.ip(self.inside, "link", "add", "uplink0", "type", "veth", "peer", "name", "out0", "netns",
                self.outside)
        self.ip(self.inside, "link", "set", "uplink0", "up")
        # A veth hands over unfinished checksums and large segments, which a wire would not.
        for netns, device in ((self.inside, "uplink0"), (self.outside, "out0")):
            subprocess.run(["ip", "netns", "exec", netns, "ethtool", "-K", device, "tx", "off", "tso",
                            "off", "gso", "off", "gro", "off", "txvlan", "off", "rxvlan", "off"],
                           check=True, capture_output=True)
        node = Node("outside", 99, Outside(self.outside, tool(self.lab.tools, "usr/bin/busybox")), "out0")
        node.scratch = self.scratch
        node.configure()
        self.nodes["outside"] = node

    def set_uplink_mtu(self, mtu):
        """Of both ends of the wire; an uplink takes over its interface's MTU when it is added."""
        self.call("uplink.del", name="out")
        self.ip(self.inside, "link", "set", "uplink0", "mtu", str(mtu))
        self.ip(self.outside, "link", "set", "out0", "mtu", str(mtu))
        self.call("uplink.add", name="out", switch="lan", device="uplink0")

    # --- daemon ---

    def call(self, method, **params):
        return self.daemon.call(method, **params)

    def softiov(self, *words):
        """The command line, as a user types it."""
        done = subprocess.run([SOFTIOV, "--socket", self.daemon.api_path, *words], text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def vport(self, name):
        return self.daemon.show("vport", name)

    def set(self, name, **fields):
        self.call("vport.set", name=name, **fields)

    @contextlib.contextmanager
    def setting(self, name, **fields):
        """A vport's fields for the length of a block; then the defaults again."""
        self.set(name, **fields)
        try:
            yield
        finally:
            self.set(name, **{field: None for field in fields})

    def drops(self, name):
        return self.vport(name)["drop-reasons"]

    def wait_drops(self, name, reason, more_than):
        """Until more frames than that have been dropped for the reason."""
        assert wait_until(lambda: self.drops(name).get(reason, 0) > more_than, PATIENCE), self.drops(name)

    def wait_path(self, name, path, timeout=PATIENCE):
        deadline = time.monotonic() + timeout
        while self.vport(name)["path"] != path:
            assert time.monotonic() < deadline, self.vport(name)
            time.sleep(SHORT)

    # --- guests ---

    def add_vport(self, name, synthetic=False, **fields):
        self.call("vport.add", name=name, switch="lan", synthetic=synthetic, **fields)
        number = len(self.nodes)
        self.nodes[name] = Node(name, number, None, mac=self.vport(name)["mac"])

    def boot(self, name, **options):
        """Start a vport's guest, on its VF if it has one; ready() waits for it."""
        vport = self.vport(name)
        if "vf-socket" in vport:
            devices = vf_args(vport["vf-socket"])
        else:
            devices = syn_args(vport["syn-socket"], vport["mac"])
        self.start(name, devices, **options)

    def start(self, name, devices, **options):
        if name in self.guests:
            self.guests[name].kill()
        self.guests[name] = self.nodes[name].host = self.lab.guest(name, devices=devices, **options)

    def ready(self, *names, timeout=3 * PATIENCE):
        for name in names or self.guests:
            self.guests[name].wait_ready(timeout)
            self.nodes[name].configure()

    def reset(self, name):
        self.guests[name].reset()
        self.nodes[name].configure()

    def complaints(self, name):
        """What a guest's kernel has to say against its adapter since the last call, and what it says next."""
        lines = self.guests[name].run("dmesg -c").splitlines()
        found = [i for i, line in enumerate(lines) if COMPLAINTS.search(line) and not is_brief_hang(lines[i:i + 12])]
        return lines[found[0]:found[0] + 40] if found else []

    def check(self):
        """After each test: no complaints, the daemon is there."""
        assert self.daemon.process.poll() is None, self.daemon.log()
        for name, guest in self.guests.items():
            if guest.alive():
                complaints = self.complaints(name)
                assert not complaints, name + ":\n" + "\n".join(complaints)

    def works(self, name, peer="outside"):
        """Pings pass between a guest and a peer, and TCP both ways."""
        node, peer = self.nodes[name], self.nodes[peer]
        assert node.reaches(peer), f"{name} does not reach {peer.name}"
        for source, target in ((node, peer), (peer, node)):
            assert transfer(source, target, 1), f"{source.name} -> {target.name}"

    @contextlib.contextmanager
    def traffic(self, source, target, options="--bidir"):
        """iperf3 at full speed from one node to another, certain to flow when the block is entered."""
        port = next(self.ports)
        source, target = self.nodes[source], self.nodes[target]
        jobs = [(target, target.host, target.spawn(f"iperf3 -s -p {port}"))]
        jobs.append((source, source.host, source.spawn(
            f"until iperf3 -t 1000 {options} -p {port} -c {target.address}; do usleep 50000; done")))
        boots = [getattr(host, "boot_id", None) for _, host, _ in jobs]
        try:
            self.wait_flow([node.name for node in (source, target) if node.mac])
            yield
        finally:
            for (node, host, job), boot in zip(jobs, boots):
                # What a guest ran has ended with it, or with its last boot.
                if node.host is host and (boot is None or host.alive() and host.boot_id == boot):
                    job.kill()

    def wait_flow(self, names, frames=500, timeout=PATIENCE):
        """Wait until all these vports send and receive."""
        deadline = time.monotonic() + timeout
        first = {name: self.vport(name) for name in names}
        while True:
            now = {name: self.vport(name) for name in names}
            if all(now[name][field] - first[name][field] >= frames
                   for name in names for field in ("rx-frames", "tx-frames")):
                return
            assert time.monotonic() < deadline, f"no traffic: {now}"
            time.sleep(SHORT)

    def restart_driver(self, node, drivers):
        """Down and up, unbound and bound (in the folder `drivers`), in full traffic; then all works."""
        pci = node.pci()
        with self.traffic(node.name, "outside"):
            for _ in range(3):
                node.run(f"ip link set {node.device} down; ip link set {node.device} up")
                node.configure()
                self.wait_flow([node.name], frames=100)
            node.run(f"echo {pci} >{drivers}/unbind; echo {pci} >{drivers}/bind")
        node.configure()
        self.works(node.name)


# --- transfers ---


def make_data(node, size_mib):
    """A file of random bytes, made once; returns its SHA-256."""
    path = f"{node.scratch}/data.{size_mib}"
    return node.run(f"[ -e {path}.sum ] || {{ head -c {size_mib << 20} /dev/urandom >{path} && "
                    f"sha256sum <{path} >{path}.sum; }}; cat {path}.sum").split()[0]


def transfer(source, target, size_mib, port=5001, v6=False, timeout=2 * PATIENCE):
    """Send random data over TCP; returns whether all arrived as it was sent."""
    sent = make_data(source, size_mib)
    # A fifo without a writer keeps nc's input open, so that it ends when the sender does.
    hold = f"{target.scratch}/hold-{port}"
    receiver = target.spawn(f"[ -p {hold} ] || mkfifo {hold}; "
                            f"nc -l -p {port} 0<>{hold} | sha256sum")
    try:
        target.wait_listening(port)
        address = target.address6 if v6 else target.address
        source.run(f"nc {address} {port} <{source.scratch}/data.{size_mib}", timeout)
        return receiver.wait(timeout).split()[0] == sent
    except BaseException:
        receiver.kill()
        raise


def in_parallel(function, items):
    """function(item) for each item in a thread of its own; the results in order."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return list(pool.map(function, items))
