# SPDX-License-Identifier: BSD-3-Clause
"""Sessions that end, break, stall or meet another one; nobody else notices, and nothing is left."""

import os
import socket
import struct
import time

import pytest

import vfio_user as vfu
from ixgbevf import Ixgbevf
from vfio_user import PATIENCE, GuestMemory, VfioUser, header, version_body, wait_until

ANSWER_SECONDS = 5.0  # within which another VF must answer; who is waited for has 10 s, or all day


def info_body():
    return struct.pack("<IIII", 16, 0, 0, 0)


@pytest.fixture
def other(shared_daemon):
    """A VF that must go on working; the longest answer is checked at the end."""
    with VfioUser(shared_daemon.vf_socket("b")) as client:
        yield client
        assert answer_seconds(client) < ANSWER_SECONDS


def answer_seconds(client):
    start = time.monotonic()
    client.device_info()
    return time.monotonic() - start


def connect(path):
    """A new session, once the server has seen the end of the last."""
    def attempt():
        try:
            return VfioUser(path)
        except (EOFError, OSError):
            return None

    client = wait_until(attempt)
    assert client, "the VF takes no client any more"
    return client


def whole_session(memory, eventfd):
    """The bytes of a session with one message of each kind, where each ends, and where descriptors go
    with them."""
    messages = [
        (vfu.VERSION, version_body(), ()),
        (vfu.DMA_MAP, struct.pack("<IIQQQ", 32, 3, 0, 0, memory.size), (memory.fd,)),
        (vfu.GET_INFO, info_body(), ()),
        (vfu.GET_REGION_INFO, struct.pack("<IIIIQQ", 64, 0, 0, 0, 0, 0), ()),
        (vfu.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 2, 0), ()),
        (vfu.SET_IRQS, struct.pack("<IIIII", 20, 0x24, 2, 0, 1), (eventfd,)),
        (vfu.REGION_WRITE, struct.pack("<QIIH", 4, 7, 2, 6), ()),
        (vfu.REGION_WRITE, struct.pack("<QIII", 0x2fc, 0, 4, 4), ()),
        (vfu.REGION_READ, struct.pack("<QII", 0x2fc, 0, 4), ()),
        (vfu.DMA_UNMAP, struct.pack("<IIQQ", 24, 0, 0, memory.size), ()),
        (vfu.RESET, b"", ())]
    data, fds_at, ends = b"", {}, []
    for i, (cmd, body, fds) in enumerate(messages):
        if fds:
            fds_at[len(data)] = fds
        data += header(i, cmd, 16 + len(body)) + body
        ends.append(len(data))
    return data, fds_at, ends


def send_prefix(path, data, fds_at, length):
    with VfioUser(path, negotiate=False) as client:
        starts = sorted(at for at in fds_at if at < length)
        ends = starts[1:] + [length]
        client.send_bytes(data[:starts[0] if starts else length])
        for start, end in zip(starts, ends):
            client.send_bytes(data[start:end], fds_at[start])
        client.socket.shutdown(socket.SHUT_WR)
        return count_replies(client)


def count_replies(client):
    """Replies until the server closes the connection."""
    count = 0
    while True:
        try:
            for fd in client.receive().fds:
                os.close(fd)
            count += 1
        except (EOFError, ConnectionResetError):
            return count


def test_sessions_cut_at_every_byte(shared_daemon, other):
    """Each one leaves the VF as it was for the next, and not one descriptor."""
    path = shared_daemon.vf_socket("a")
    memory, eventfd = GuestMemory(1 << 16), os.eventfd(0)
    data, fds_at, ends = whole_session(memory, eventfd)
    connect(path).close()
    wait_until(lambda: shared_daemon.show("vport", "a")["vf-state"] == "listening")
    before = shared_daemon.n_fds()
    for length in range(len(data) + 1):
        whole = sum(end <= length for end in ends)
        assert send_prefix(path, data, fds_at, length) == whole, f"cut after {length} bytes"
        if length % 16 == 0:
            assert answer_seconds(other) < ANSWER_SECONDS
    connect(path).close()
    assert wait_until(lambda: shared_daemon.n_fds() == before), "descriptors were left open"
    os.close(eventfd)
    memory.close()


def test_a_session_byte_by_byte(shared_daemon, other):
    memory, eventfd = GuestMemory(1 << 16), os.eventfd(0)
    data, fds_at, ends = whole_session(memory, eventfd)
    with connect(shared_daemon.vf_socket("a")) as first:
        first.close()
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        for at in range(len(data)):
            client.send_bytes(data[at:at + 1], fds_at.get(at, ()))
        for expected in range(len(ends)):
            reply = client.receive()
            assert (reply.id, reply.error) == (expected, 0), reply
            for fd in reply.fds:
                os.close(fd)
    os.close(eventfd)
    memory.close()


@pytest.mark.parametrize("size", [0, 1, 15, 16 + 16 + 65536 + 1, 1 << 20, 0xffffffff])
def test_a_message_of_an_impossible_size_ends_the_session(shared_daemon, other, size):
    with connect(shared_daemon.vf_socket("a")) as client:
        client.send(vfu.GET_INFO, b"", size=size)
        assert client.closed_by_server()
    connect(shared_daemon.vf_socket("a")).close()


def test_the_longest_message_is_taken(shared_daemon):
    with connect(shared_daemon.vf_socket("a")) as client:
        with pytest.raises(vfu.VfioError):
            client.call(vfu.REGION_WRITE, struct.pack("<QII", 0, 7, 65536) + bytes(65536))
        assert client.device_info()


def test_rubbish(shared_daemon, other):
    for seed in range(50):
        with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
            try:
                client.send_bytes(bytes((seed * 7 + i * 13) % 256 for i in range(300)))
            except OSError:
                pass
    connect(shared_daemon.vf_socket("a")).close()


def test_a_second_client_is_refused(shared_daemon, other):
    path = shared_daemon.vf_socket("a")
    with connect(path) as first:
        for _ in range(5):
            with VfioUser(path, negotiate=False) as second:
                try:
                    second.send(vfu.VERSION, version_body())
                except OSError:
                    pass
                assert second.closed_by_server()
            assert first.device_info()
    connect(path).close()


def test_reconnecting_many_times_leaves_nothing(shared_daemon):
    path = shared_daemon.vf_socket("a")
    memory = GuestMemory(1 << 20)
    counts = []
    for i in range(60):
        with connect(path) as client:
            fds = [os.eventfd(0) for _ in range(3)]
            client.dma_map(0, memory.size, memory.fd)
            client.set_irqs(vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 3, fds=fds)
            for fd in fds:
                os.close(fd)
        if i in (9, 59):
            wait_until(lambda: shared_daemon.show("vport", "a")["vf-state"] == "listening")
            counts.append(shared_daemon.n_fds())
    assert counts[0] == counts[1]
    memory.close()


def test_the_next_client_finds_a_vf_after_power_on(shared_daemon):
    path = shared_daemon.vf_socket("a")
    with Ixgbevf(path) as nic:
        nic.open()
        assert wait_until(lambda: shared_daemon.show("vport", "a")["path"] == "vf")
    with connect(path) as client:
        assert client.read(vfu.CONFIG, 4, 2) == b"\0\0"
        assert [client.read32(0, at) for at in (0x1000, 0x1008, 0x1028, 0x2008, 0x2028, 0x200)] == [0] * 6
        assert client.read32(0, 0x2fc) == 0x80  # RSTD: the PF is ready
    assert wait_until(lambda: shared_daemon.show("vport", "a")["path"] == "none")


def test_a_client_that_does_not_read_stops_only_itself(shared_daemon, other):
    with connect(shared_daemon.vf_socket("a")) as client:
        client.socket.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 1000000:
                client.send(vfu.REGION_READ, struct.pack("<QII", 0, 7, 4096))
                sent += 1
        assert 10 < sent < 1000000
        assert answer_seconds(other) < ANSWER_SECONDS
        client.socket.settimeout(PATIENCE)
        # It goes on as soon as it is read from; the last request may have been cut.
        for expected in range(2, sent + 2):  # 1 was the version's
            assert client.receive().id == expected & 0xffff


def test_a_client_that_says_nothing_is_not_waited_for(shared_daemon, other):
    """It holds its VF for 10 s and nothing else."""
    start = time.monotonic()
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        assert answer_seconds(other) < ANSWER_SECONDS
        assert client.closed_by_server()
    assert time.monotonic() - start > 5
    connect(shared_daemon.vf_socket("a")).close()


def test_half_a_message_holds_up_nobody(shared_daemon, other):
    with connect(shared_daemon.vf_socket("a")) as client:
        client.send_bytes(header(1, vfu.GET_INFO, 32)[:7])
        assert answer_seconds(other) < ANSWER_SECONDS
        client.send_bytes(header(1, vfu.GET_INFO, 32)[7:] + b"\0" * 3)
        assert answer_seconds(other) < ANSWER_SECONDS
        client.socket.shutdown(socket.SHUT_WR)
        assert client.closed_by_server()


def test_a_vport_removed_under_its_client(shared_daemon):
    shared_daemon.call("vport.add", name="gone", switch="lan", synthetic=False)
    path = shared_daemon.vf_socket("gone")
    before = shared_daemon.n_fds()
    with Ixgbevf(path) as nic:
        nic.open()
        shared_daemon.call("vport.del", name="gone")
        assert nic.client.closed_by_server()
        assert not os.path.exists(path)
    assert shared_daemon.n_fds() < before


def test_all_at_once(shared_daemon):
    """Three VFs each reset and asked in turn, by clients that do not wait for each other."""
    clients = [connect(shared_daemon.vf_socket(name)) for name in "abc"]
    for _ in range(20):
        for client in clients:
            client.send(vfu.RESET)
            for _ in range(5):
                client.send(vfu.GET_INFO, info_body())
        for client in clients:
            for _ in range(6):
                assert client.receive().error == 0
    for client in clients:
        client.close()
