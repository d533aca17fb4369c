# SPDX-License-Identifier: BSD-3-Clause
"""Whole frames on an interface of another network namespace, and what their checksums should be."""

import ctypes
import os
import socket
import struct
import threading
import time

from guest import PATIENCE

CLONE_NEWNET = 0x40000000
ETH_P_ALL = 3
# Linux, if_packet.h: the kernel takes a tag out of a received frame and puts it beside.
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("=IIIHHHH")
TP_STATUS_VLAN_VALID = 16


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


class Wire:
    """A packet socket on a device of a namespace; a context manager."""

    def __init__(self, netns, device):
        self.socket = None
        thread = threading.Thread(target=self._open, args=(netns, device))
        thread.start()  # only this thread moves into the namespace
        thread.join()
        assert self.socket is not None, f"no packet socket in {netns}"
        self.mac = self.socket.getsockname()[4]

    def _open(self, netns, device):
        fd = os.open(f"/run/netns/{netns}", os.O_RDONLY)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        opened.bind((device, ETH_P_ALL))
        opened.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.socket = opened

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, frame):
        self.socket.send(frame)

    def _receive(self):
        """(frame with its tag where it was, whether it came from the wire)"""
        frame, notes, _, address = self.socket.recvmsg(65536, 256)
        for level, kind, data in notes:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, tpid = AUXDATA.unpack(data)
                if status & TP_STATUS_VLAN_VALID:
                    frame = frame[:12] + struct.pack("!HH", tpid or 0x8100, tci) + frame[12:]
        return frame, address[2] != socket.PACKET_OUTGOING

    def drain(self):
        """Forget what has come so far."""
        self.socket.settimeout(0)
        try:
            while True:
                self.socket.recv(65536)
        except BlockingIOError:
            pass

    def receive(self, wanted, count=1, timeout=PATIENCE):
        """The first `count` frames from the wire for which wanted(frame), or as many as came in time."""
        found = []
        deadline = time.monotonic() + timeout
        while len(found) < count:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                frame, is_ours = self._receive()
            except socket.timeout:
                break
            if is_ours and wanted(frame):
                found.append(frame)
        return found


# --- checksums (RFC 1071) ---


def total(data):
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value >> 16) + (value & 0xffff)
    return value


def checksum(data):
    return ~total(data) & 0xffff


PROTOCOL = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
CHECKSUM_AT = {"tcp": 16, "udp": 6}
ADDRESSES = {4: (socket.inet_aton("198.18.0.1"), socket.inet_aton("198.18.0.2")),
             6: tuple(socket.inet_pton(socket.AF_INET6, f"2001:2::{i}") for i in (1, 2))}


def packet(version, kind, payload, ports=(5000, 6000), sequence=1000, flags=0x18):
    """An IP packet with right checksums."""
    source, target = ADDRESSES[version]
    if kind == "tcp":
        head = struct.pack("!HHIIBBHHH", *ports, sequence, 1, 5 << 4, flags, 1000, 0, 0)
    else:
        head = struct.pack("!HHHH", *ports, 8 + len(payload), 0)
    size, number = len(head) + len(payload), PROTOCOL[kind]
    pseudo = source + target + struct.pack("!II", size, number)
    at = CHECKSUM_AT[kind]
    value = checksum(pseudo + head + payload)
    segment = head[:at] + struct.pack("!H", value) + head[at + 2:] + payload
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, size, number, 64) + source + target + segment
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + size, 7, 0, 64, number, 0, source, target)
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + segment


def split(frame):
    """(IP header, TCP or UDP segment) of a frame, without padding; asserts that all checksums are right.

    A UDP checksum of 0 is none (RFC 768), which is allowed over IPv4.
    """
    at = 18 if frame[12:14] == b"\x81\x00" else 14
    if frame[at] >> 4 == 4:
        size = struct.unpack("!H", frame[at + 2:at + 4])[0]
        head = frame[at:at + 20]
        assert total(head) == 0xffff, f"IPv4 header checksum: {frame.hex()}"
        source, target, number = head[12:16], head[16:20], head[9]
    else:
        size = 40 + struct.unpack("!H", frame[at + 4:at + 6])[0]
        head = frame[at:at + 40]
        source, target, number = head[8:24], head[24:40], head[6]
    segment = frame[at + len(head):at + size]
    assert len(segment) == size - len(head), f"cut off: {frame.hex()}"
    has_none = frame[at] >> 4 == 4 and number == PROTOCOL["udp"] and segment[6:8] == b"\0\0"
    pseudo = source + target + struct.pack("!II", len(segment), number)
    assert has_none or total(pseudo + segment) == 0xffff, f"checksum of the segment: {frame.hex()}"
    return head, segment
