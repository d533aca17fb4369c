#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A TFTP server for firmware that boots: reads only (RFC 1350), with block size and size (RFC 2348, 2349).

    tftpd.py FOLDER
"""

import os
import socket
import struct
import sys
import threading

PORT = 69
RRQ, DATA, ACK, ERROR, OACK = 1, 3, 4, 5, 6
TIMEOUT, TRIES = 0.5, 120


def exchange(sock, peer, message, block):
    """Send until the block's acknowledgement comes."""
    for _ in range(TRIES):
        sock.sendto(message, peer)
        try:
            while True:
                answer, source = sock.recvfrom(1500)
                if source == peer and answer[:4] == struct.pack("!HH", ACK, block):
                    return True
        except TimeoutError:
            pass
    return False


def serve(folder, request, peer):
    name, _mode, *options = request[2:].rstrip(b"\0").split(b"\0")
    options = dict(zip(map(bytes.lower, options[::2]), options[1::2]))
    agreed, size = b"", 512
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        try:
            # A name below the folder and nowhere else.
            with open(os.path.join(folder, os.path.basename(name.decode())), "rb") as file:
                content = file.read()
        except OSError:
            sock.sendto(struct.pack("!HH", ERROR, 1) + b"no such file\0", peer)
            return
        if b"blksize" in options:
            size = int(options[b"blksize"])
            agreed += b"blksize\0%d\0" % size
        if b"tsize" in options:
            agreed += b"tsize\0%d\0" % len(content)
        if agreed and not exchange(sock, peer, struct.pack("!H", OACK) + agreed, 0):
            return
        for n in range(len(content) // size + 1):
            block = (n + 1) & 0xffff
            if not exchange(sock, peer, struct.pack("!HH", DATA, block) + content[n * size:(n + 1) * size], block):
                return


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", PORT))
        while True:
            request, peer = sock.recvfrom(1500)
            if request[:2] == struct.pack("!H", RRQ):
                threading.Thread(target=serve, args=(sys.argv[1], request, peer), daemon=True).start()


if __name__ == "__main__":
    main()
