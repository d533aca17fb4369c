# SPDX-License-Identifier: BSD-3-Clause
"""Frames for tests, and checksums worked out here and not where they are tested."""

import random
import struct

BROADCAST = b"\xff" * 6
ETH_TEST = 0x88b5  # IEEE Std 802, local experimental ethertype 1
TCP, UDP, SCTP = 6, 17, 132
L4_SIZE = {TCP: 20, UDP: 8, SCTP: 12}
SUM_AT = {TCP: 16, UDP: 6, SCTP: 8}  # where in the L4 header the checksum lies


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def ethernet(destination, source, size=60, vlan=None, seed=0, kind=ETH_TEST):
    """A frame of `size` bytes, the tag not counted, with bytes of its own behind the header."""
    tag = b"" if vlan is None else struct.pack(">HH", 0x8100, vlan)
    return (destination + source + tag + struct.pack(">H", kind) +
            random.Random(seed).randbytes(size - 14))


def sum16(data):
    """The Internet checksum's sum, folded (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def ipv4(source, destination, protocol, size, identity=0x1234):
    """A header without its checksum."""
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, identity, 0x4000, 64, protocol, 0) + \
        bytes(source) + bytes(destination)


def ipv6(source, destination, protocol, size):
    return struct.pack(">IHBB", 6 << 28, size, protocol, 64) + bytes(source) + bytes(destination)


def pseudo_header(ip, protocol, size):
    """What an L4 checksum covers beside the packet; without the size where `size` is 0."""
    addresses = ip[12:20] if ip[0] >> 4 == 4 else ip[8:40]
    return addresses + struct.pack(">II", size, protocol)


def tcp(payload, sequence=1000, flags=0x18):
    return struct.pack(">HHIIBBHHH", 1111, 2222, sequence, 77, 0x50, flags, 8192, 0, 0) + payload


def udp(payload):
    return struct.pack(">HHHH", 1111, 2222, 8 + len(payload) & 0xffff, 0) + payload


def sctp(payload):
    return struct.pack(">HHII", 1111, 2222, 0x01020304, 0) + payload


def crc32c(data):
    """RFC 9260, appendix A; as SCTP has it in its header."""
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC32C[(crc ^ byte) & 0xff]
    return struct.pack("<I", ~crc & 0xffffffff)


def crc32c_of_byte(value):
    for _ in range(8):
        value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value


CRC32C = [crc32c_of_byte(byte) for byte in range(256)]


def packet(ip, protocol, l4, seeded, with_size=True):
    """IP header and L4 with its checksum: true, or only the pseudo-header's sum for the adapter."""
    if protocol == SCTP:
        return ip + l4[:8] + (bytes(4) if seeded else crc32c(l4)) + l4[12:]
    at = SUM_AT[protocol]
    seed = sum16(pseudo_header(ip, protocol, len(l4) if with_size else 0))
    value = seed if seeded else ~sum16(pseudo_header(ip, protocol, len(l4)) + l4) & 0xffff
    return ip + l4[:at] + struct.pack(">H", value) + l4[at + 2:]


def check_packet(ip_packet, protocol):
    """Assert that all checksums and lengths of an IP packet are right; returns its L4 part."""
    version = ip_packet[0] >> 4
    if version == 4:
        assert sum16(ip_packet[:20]) == 0xffff, "the IPv4 header's checksum is wrong"
        assert struct.unpack(">H", ip_packet[2:4])[0] == len(ip_packet), "wrong IPv4 length"
        ip, l4 = ip_packet[:20], ip_packet[20:]
    else:
        assert struct.unpack(">H", ip_packet[4:6])[0] == len(ip_packet) - 40, "wrong IPv6 length"
        ip, l4 = ip_packet[:40], ip_packet[40:]
    if protocol == SCTP:
        assert crc32c(l4[:8] + bytes(4) + l4[12:]) == l4[8:12], "SCTP's checksum is wrong"
    else:
        assert sum16(pseudo_header(ip, protocol, len(l4)) + l4) == 0xffff, "the L4 checksum is wrong"
    assert protocol != UDP or struct.unpack(">H", l4[4:6])[0] == len(l4), "wrong UDP length"
    return l4
