# SPDX-License-Identifier: BSD-3-Clause
"""Packets that policies judge. Each function returns one that makes the frame: packet(to, source) -> bytes.

Addresses are those of pairs.py: A4 and A6 send, B4 and B6 receive, unless others are given.
"""

import struct

import frames
from frames import TCP, UDP
from pairs import A4, A6, B4, B6

ICMP, ICMP6, FRAGMENT = 1, 58, 44
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86dd
LINK_LOCAL = bytes.fromhex("fe80") + bytes(13) + b"\1"
ALL_NODES = bytes.fromhex("ff02") + bytes(13) + b"\1"


def ethernet(kind, body):
    return lambda to, source: (to + source + struct.pack(">H", kind) + body).ljust(60, b"\0")


def ip(protocol, l4, source=A4, to=B4, **fields):
    """IPv4 or IPv6, as the addresses are. `l4` with its checksum to be filled in where the protocol has one."""
    at = {**frames.SUM_AT, ICMP: 2, ICMP6: 2}.get(protocol)
    if len(source) == 4:
        header = ip4_header(protocol, len(l4), source, to, **fields)
    else:
        header = frames.ipv6(source, to, protocol, len(l4))
        header = struct.pack(">I", 6 << 28 | fields.get("tos", 0) << 20) + header[4:]
    pseudo = b"" if protocol == ICMP else frames.pseudo_header(header, protocol, len(l4))
    if at is not None:
        l4 = l4[:at] + struct.pack(">H", ~frames.sum16(pseudo + l4) & 0xffff) + l4[at + 2:]
    return ethernet(IPV4 if len(source) == 4 else IPV6, header + l4)


def ip4_header(protocol, size, source, to, tos=0, fragment=0x4000):
    header = frames.ipv4(source, to, protocol, size)
    header = header[:1] + bytes([tos]) + header[2:6] + struct.pack(">H", fragment) + header[8:]
    return header[:10] + struct.pack(">H", ~frames.sum16(header) & 0xffff) + header[12:]


def udp(sport, dport, payload=b"payload", **fields):
    return ip(UDP, struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload, **fields)


def tcp(sport, dport, flags=0x02, payload=b"", **fields):
    """Flags: 0x02 SYN, 0x10 ACK, 0x01 FIN, 0x04 RST."""
    return ip(TCP, struct.pack(">HHIIBBHHH", sport, dport, 1000, 77, 0x50, flags, 8192, 0, 0) + payload, **fields)


def icmp(kind, code=0, body=bytes(12), **fields):
    v6 = len(fields.get("source", A4)) == 16
    return ip(ICMP6 if v6 else ICMP, struct.pack(">BBH", kind, code, 0) + body, **fields)


def v6(packet, *arguments, source=A6, to=B6, **fields):
    return packet(*arguments, source=source, to=to, **fields)


def arp(operation, sender_ip, target_ip, sender_mac=None):
    """RFC 826; 1 asks, 2 answers. The sender is the frame's, unless it says otherwise."""
    return lambda to, source: ethernet(ARP, struct.pack(">HHBBH", 1, IPV4, 6, 4, operation) +
                                       (sender_mac or source) + sender_ip + bytes(6) + target_ip)(to, source)


def broadcast(packet):
    return lambda to, source: packet(frames.BROADCAST, source)


def sent_as(mac, packet):
    return lambda to, source: packet(to, mac)
