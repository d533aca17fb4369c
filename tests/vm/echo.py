# SPDX-License-Identifier: BSD-3-Clause
"""ICMP echoes from a host that may know no VLANs.

    echo.py plain ADDRESS FIRST LAST
        of all payload sizes from FIRST to LAST, each with bytes of its own; prints the sizes that did
        not come back as they went out
    echo.py tagged DEVICE VLAN PRIORITY MAC SOURCE ADDRESS SIZE
        in a frame with an 802.1Q tag; prints the tag of the answer as VLAN:PRIORITY, "untagged", or
        "nothing". The target must know the MAC of SOURCE.
"""

import random
import socket
import struct
import sys
import time

ICMP_ECHO, ICMP_REPLY = 8, 0
TRIES = 3  # a busy guest may be late
IDENT = 4711
ETH_P_IP, ETH_P_8021Q, ETH_P_ALL = 0x0800, 0x8100, 3
# Linux, if_packet.h: the kernel takes a tag out of the frame and puts it beside.
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("=IIIHHHH")
TP_STATUS_VLAN_VALID = 16


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def echo_request(number, payload):
    head = struct.pack("!BBHHH", ICMP_ECHO, 0, 0, IDENT, number)
    return struct.pack("!BBHHH", ICMP_ECHO, 0, checksum(head + payload), IDENT, number) + payload


def is_reply(packet, number, payload):
    message = packet[(packet[0] & 15) * 4:]
    return (message[0] == ICMP_REPLY and message[4:8] == struct.pack("!HH", IDENT, number)
            and message[8:] == payload)


def plain_echo(sock, address, number, payload):
    """Whether the payload came back within a second."""
    sock.sendto(echo_request(number, payload), (address, 0))
    deadline = time.monotonic() + 1
    while True:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            if is_reply(sock.recv(65536), number, payload):
                return True
        except socket.timeout:
            return False


def plain(address, first, last):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    source = random.Random(1)
    for size in range(int(first), int(last) + 1):
        payload = source.randbytes(size)
        if not any(plain_echo(sock, address, size * TRIES + i & 0xffff, payload)
                   for i in range(TRIES)):
            print(size)


def ip_packet(source, target, message):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(message), 0, 0, 64, socket.IPPROTO_ICMP, 0,
                       socket.inet_aton(source), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + message


def receive_tag(sock, number, payload, deadline):
    """The answer's tag as it is printed, or None."""
    while True:
        sock.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            frame, notes, _, address = sock.recvmsg(65536, 1024)
        except socket.timeout:
            return None
        if address[2] == socket.PACKET_OUTGOING or frame[12:14] != struct.pack("!H", ETH_P_IP):
            continue
        size = struct.unpack("!H", frame[16:18])[0]  # without the padding of a short frame
        if not is_reply(frame[14:14 + size], number, payload):
            continue
        for level, kind, data in notes:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, _ = AUXDATA.unpack(data)
                if status & TP_STATUS_VLAN_VALID:
                    return f"{tci & 0xfff}:{tci >> 13}"
        return "untagged"


def tagged(device, vlan, priority, mac, source, address, size):
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.bind((device, ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    head = bytes.fromhex(mac.replace(":", "")) + sock.getsockname()[4]
    head += struct.pack("!HHH", ETH_P_8021Q, int(priority) << 13 | int(vlan), ETH_P_IP)
    payload = random.Random(2).randbytes(int(size))
    for number in range(TRIES):
        packet = ip_packet(source, address, echo_request(number, payload))
        sock.send(head + packet)
        tag = receive_tag(sock, number, payload, time.monotonic() + 1)
        if tag:
            break
    print(tag or "nothing")


{"plain": plain, "tagged": tagged}[sys.argv[1]](*sys.argv[2:])
