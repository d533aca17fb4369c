# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client: what QEMU does at the other end of a VF's socket, and what it never would.

Payloads are those of src/vfu/proto.h; the protocol is QEMU's docs/interop/vfio-user.rst.
"""

import array
import collections
import json
import mmap
import os
import select
import socket
import struct

from softiov import PATIENCE, wait_until  # noqa: F401: for those who wait for what this client causes

VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_REGION_IO_FDS, GET_IRQ_INFO, SET_IRQS, \
    REGION_READ, REGION_WRITE, DMA_READ, DMA_WRITE, RESET, DIRTY_PAGES, REGION_WRITE_MULTI, FEATURE, \
    MIG_DATA_READ, MIG_DATA_WRITE = range(1, 19)

REPLY, NO_REPLY, ERROR = 0x1, 0x10, 0x20
HEADER = struct.Struct("<HHIII")
CONFIG = 7
MSIX, ERR = 2, 3
DATA_NONE, DATA_BOOL, DATA_EVENTFD, MASK, UNMASK, TRIGGER = 1, 2, 4, 8, 16, 32
PAGE = 4096
MAX_DATA = 65536
MAX_FDS = 8

CAPABILITIES = {"capabilities": {"max_msg_fds": 8, "max_data_xfer_size": 1048576,
                                 "migration": {"pgsize": 4096}}}

Message = collections.namedtuple("Message", "id cmd flags error body fds")
Region = collections.namedtuple("Region", "argsz flags size offset areas fd")


class VfioError(Exception):
    """An error reply; `errno` is what it said."""

    def __init__(self, cmd, errno):
        super().__init__(f"command {cmd}: {os.strerror(errno)}")
        self.errno = errno


def header(msg_id, cmd, size, flags=0, error=0):
    return HEADER.pack(msg_id, cmd, size, flags, error)


def version_body(major=0, minor=0, capabilities=CAPABILITIES):
    body = struct.pack("<HH", major, minor)
    if capabilities is not None:
        text = capabilities if isinstance(capabilities, bytes) else json.dumps(capabilities).encode()
        body += text + b"\0"
    return body


class VfioUser:
    """One session. Messages go out in order; call() sends one and takes its reply."""

    def __init__(self, path, negotiate=True, timeout=PATIENCE):
        self.socket = socket.socket(socket.AF_UNIX)
        self.last_id = 0
        try:
            self.socket.connect(path)
            self.socket.settimeout(timeout)
            if negotiate:
                self.negotiate()
        except BaseException:
            self.socket.close()
            raise

    # --- framing ---

    def send_bytes(self, data, fds=()):
        if fds:
            sent = self.socket.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                                 array.array("i", fds))])
            data = data[sent:]
        if data:
            self.socket.sendall(data)

    def send(self, cmd, body=b"", fds=(), flags=0, size=None):
        """Send a command and return its id; `size` overrides the true one."""
        self.last_id = (self.last_id + 1) & 0xffff
        size = HEADER.size + len(body) if size is None else size
        self.send_bytes(header(self.last_id, cmd, size, flags) + body, fds)
        return self.last_id

    def receive_bytes(self, size, fds):
        data = b""
        while len(data) < size:
            part, control, _, _ = self.socket.recvmsg(size - len(data), socket.CMSG_SPACE(4 * 16))
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(value[:len(value) // 4 * 4])
            if not part:
                raise EOFError("the server closed the connection")
            data += part
        return data

    def receive(self):
        fds = array.array("i")
        msg_id, cmd, size, flags, error = HEADER.unpack(self.receive_bytes(HEADER.size, fds))
        body = self.receive_bytes(size - HEADER.size, fds)
        return Message(msg_id, cmd, flags, error, body, list(fds))

    def call_message(self, cmd, body=b"", fds=(), size=None):
        msg_id = self.send(cmd, body, fds, size=size)
        reply = self.receive()
        assert (reply.id, reply.cmd, reply.flags & 0xf) == (msg_id, cmd, REPLY), reply
        if reply.flags & ERROR:
            assert not reply.body and not reply.fds and reply.error, reply
            raise VfioError(cmd, reply.error)
        assert reply.error == 0
        return reply

    def call(self, cmd, body=b"", fds=()):
        reply = self.call_message(cmd, body, fds)
        for fd in reply.fds:
            os.close(fd)
        return reply.body

    def closed_by_server(self, seconds=PATIENCE):
        """Whether the server ends the session within some time; what it still sends is dropped."""
        self.socket.settimeout(seconds)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- messages ---

    def negotiate(self, **options):
        body = self.call(VERSION, version_body(**options))
        return struct.unpack("<HH", body[:4]), body[4:]

    def dma_map(self, iova, size, fd=None, offset=0, flags=3, argsz=32):
        self.call(DMA_MAP, struct.pack("<IIQQQ", argsz, flags, offset, iova, size),
                  () if fd is None else (fd,))

    def dma_unmap(self, iova, size, flags=0, argsz=24):
        return self.call(DMA_UNMAP, struct.pack("<IIQQ", argsz, flags, iova, size))

    def device_info(self, argsz=16):
        return struct.unpack("<IIII", self.call(GET_INFO, struct.pack("<IIII", argsz, 0, 0, 0)))

    def region_info(self, index, argsz=32):
        reply = self.call_message(GET_REGION_INFO, struct.pack("<IIIIQQ", argsz, 0, index, 0, 0, 0))
        full, flags, _, cap, size, offset = struct.unpack("<IIIIQQ", reply.body[:32])
        areas = []
        if cap:
            kind, version, following, n, _ = struct.unpack_from("<HHIII", reply.body, cap)
            assert (kind, version, following) == (1, 1, 0)
            areas = [struct.unpack_from("<QQ", reply.body, cap + 16 + 16 * i) for i in range(n)]
        assert len(reply.fds) <= 1
        return Region(full, flags, size, offset, areas, reply.fds[0] if reply.fds else None)

    def irq_info(self, index, argsz=16):
        return struct.unpack("<IIII",
                             self.call(GET_IRQ_INFO, struct.pack("<IIII", argsz, 0, index, 0)))

    def set_irqs(self, flags, start, count, index=MSIX, data=b"", fds=(), argsz=None):
        argsz = 20 + len(data) if argsz is None else argsz
        self.call(SET_IRQS, struct.pack("<IIIII", argsz, flags, index, start, count) + data, fds)

    def read(self, region, offset, count):
        body = self.call(REGION_READ, struct.pack("<QII", offset, region, count))
        assert body[:16] == struct.pack("<QII", offset, region, count)
        assert len(body) == 16 + count
        return body[16:]

    def write(self, region, offset, data, flags=0):
        body = struct.pack("<QII", offset, region, len(data)) + data
        if flags & NO_REPLY:
            self.send(REGION_WRITE, body, flags=flags)
        else:
            assert self.call(REGION_WRITE, body) == body[:16]

    def read32(self, region, offset):
        return struct.unpack("<I", self.read(region, offset, 4))[0]

    def write32(self, region, offset, value, flags=0):
        self.write(region, offset, struct.pack("<I", value), flags)

    def reset(self):
        self.call(RESET)


class GuestMemory:
    """RAM of a pretended guest: a memfd, mapped here, and handed out from the bottom."""

    def __init__(self, size, iova=0):
        self.size = size
        self.iova = iova
        self.fd = os.memfd_create("guest")
        os.ftruncate(self.fd, size)
        self.map = mmap.mmap(self.fd, size)
        self.next = 0

    def alloc(self, size, align=128):
        at = -(-self.next // align) * align
        assert at + size <= self.size, "guest memory is full"
        self.next = at + size
        return self.iova + at

    def read(self, iova, size):
        return self.map[iova - self.iova:iova - self.iova + size]

    def write(self, iova, data):
        self.map[iova - self.iova:iova - self.iova + len(data)] = data

    def words(self, iova, n, kind="Q"):
        """A view of n 64-bit words, each written and read in one piece."""
        at = iova - self.iova
        size = struct.calcsize(kind)
        return memoryview(self.map)[at:at + n * size].cast(kind)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def wait_eventfd(fd, seconds):
    """The eventfd's count once it is not 0, or 0 after some time."""
    ready, _, _ = select.select([fd], [], [], seconds)
    return os.eventfd_read(fd) if ready else 0
