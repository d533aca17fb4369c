# SPDX-License-Identifier: BSD-3-Clause
"""Sends packets whose checksums it makes itself, right or wrong; no device of the sender's sees to them.

    rawsend.py DEVICE MAC SOURCE TARGET SOURCE6 TARGET6 KIND...
    KIND: udp4 tcp4 udp6 tcp6 sctp4 head4, with `-bad` for a wrong checksum (of the IPv4 header: head4)
"""

import socket
import struct
import sys

UDP, TCP, SCTP = 17, 6, 132


def total(data):
    data += b"\0" * (len(data) % 2)
    value = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while value >> 16:
        value = (value & 0xffff) + (value >> 16)
    return value


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def l4_packet(proto, addresses, payload, bad):
    if proto == SCTP:
        packet = bytearray(struct.pack("!HHII", 9, 9, 1, 0) + payload)
        packet[8:12] = struct.pack("<I", crc32c(packet) ^ bad)
        return packet
    if proto == UDP:
        packet = bytearray(struct.pack("!HHHH", 9, 9, 8 + len(payload), 0) + payload)
    else:
        packet = bytearray(struct.pack("!HHIIBBHHH", 9, 9, 1, 0, 0x50, 0x10, 512, 0, 0) + payload)
    value = ~total(addresses + struct.pack("!II", len(packet), proto) + packet) & 0xffff
    at = 6 if proto == UDP else 16
    packet[at:at + 2] = struct.pack("!H", value ^ bad)
    return packet


def ip_packet(kind, bad, ends4, ends6):
    proto = {"udp": UDP, "tcp": TCP, "sctp": SCTP, "head": UDP}[kind[:-1]]
    payload = bytes(range(200)) + b"x"
    if kind.endswith("6"):
        ends = b"".join(socket.inet_pton(socket.AF_INET6, end) for end in ends6)
        inner = l4_packet(proto, ends, payload, bad)
        return 0x86dd, struct.pack("!IHBB", 0x60000000, len(inner), proto, 64) + ends + inner
    ends = b"".join(socket.inet_aton(end) for end in ends4)
    in_head = kind == "head4"
    inner = l4_packet(proto, ends, payload, 0 if in_head else bad)
    head = bytearray(struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(inner), 1, 0, 64, proto, 0) + ends)
    head[10:12] = struct.pack("!H", (~total(bytes(head)) & 0xffff) ^ (bad if in_head else 0))
    return 0x0800, head + inner


def main(device, mac, source, target, source6, target6, *kinds):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    addresses = bytes.fromhex(mac.replace(":", "")) + sock.getsockname()[4]
    for word in kinds:
        kind, _, wrong = word.partition("-")
        ethertype, packet = ip_packet(kind, 0x0110 if wrong else 0, (source, target), (source6, target6))
        sock.send(addresses + struct.pack("!H", ethertype) + packet)


main(*sys.argv[1:])
