# SPDX-License-Identifier: BSD-3-Clause
"""What an uplink is plugged into: a veth pair in a network namespace of its own, with a raw socket at its far end.

    with Wires() as wires, Daemon(folder, netns=wires.netns) as daemon:
        wire = wires.add("out")
        daemon.call("uplink.add", name="out", switch="lan", device=wire.device)
        wire.send(frame)

Sent frames have their tags inside; of received ones the kernel takes them out.
"""

import collections
import contextlib
import ctypes
import itertools
import os
import socket
import struct
import subprocess

from frames import BROADCAST
from vfio_user import PATIENCE, wait_until

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("=IIIHHHH")  # linux/if_packet.h, struct tpacket_auxdata
TP_STATUS_VLAN_VALID = 1 << 4
RECEIVE_BUFFER = 8 << 20  # all pieces of a large send wait there

Received = collections.namedtuple("Received", "data vlan")
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


@contextlib.contextmanager
def thread_in(netns):
    """What the calling thread opens meanwhile belongs to the namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open("/run/netns/" + netns, os.O_RDONLY)
    try:
        assert _libc.setns(other, CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
        yield
    finally:
        _libc.setns(own, CLONE_NEWNET)
        os.close(own)
        os.close(other)


class Wire:
    def __init__(self, netns, name, mac, mtu):
        self.device = name + "0"
        self.mac = mac
        self.promiscuous = False  # takes frames to other addresses, too
        far = name + "1"
        ip = ["ip", "-n", netns, "link"]
        subprocess.run([*ip, "add", self.device, "mtu", str(mtu), "type", "veth", "peer", "name", far, "mtu",
                        str(mtu), "address", mac.hex(":")], check=True)
        for device in (self.device, far):
            subprocess.run([*ip, "set", device, "up"], check=True)
        with thread_in(netns):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.socket.bind((far, ETH_P_ALL))
        self.socket.setsockopt(socket.SOL_SOCKET, 33, RECEIVE_BUFFER)  # SO_RCVBUFFORCE
        self.socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.socket.setblocking(False)

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.send(data)

    def poll(self, limit=None):
        """The frames to this end's address, or to all, that are there; `promiscuous`: any."""
        frames = []
        while limit is None or len(frames) < limit:
            try:
                data, notes, _, address = self.socket.recvmsg(1 << 16, 256)
            except BlockingIOError:
                break
            if address[2] == PACKET_OUTGOING or not self.promiscuous and data[:6] not in (self.mac, BROADCAST):
                continue
            vlan = None
            for level, kind, note in notes:
                if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                    status, _, _, _, _, tci, _ = AUXDATA.unpack(note)
                    vlan = tci if status & TP_STATUS_VLAN_VALID else None
            frames.append(Received(data, vlan))
        return frames

    def receive(self, n, seconds=PATIENCE):
        """Wait for n frames; returns what came, at most n."""
        frames = self.poll(n)
        wait_until(lambda: frames.extend(self.poll(n - len(frames))) or len(frames) >= n, seconds, 0.0005)
        return frames


class Wires:
    """The namespace, for the daemon's `netns`. Needs root."""

    def __init__(self):
        self.netns = f"softiov-wire-{os.getpid()}-{next(_numbers)}"
        self.wires = []

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        # No router solicitations and the like between the test's frames.
        subprocess.run(["ip", "netns", "exec", self.netns, "sh", "-c",
                        "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6"], check=True)
        return self

    def __exit__(self, *_):
        for wire in self.wires:
            wire.close()
        subprocess.run(["ip", "netns", "del", self.netns], check=False)

    def add(self, name, mac, mtu):
        self.wires.append(Wire(self.netns, name, mac, mtu))
        return self.wires[-1]
