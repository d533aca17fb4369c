# SPDX-License-Identifier: BSD-3-Clause
"""Every vfio-user message: what it answers, and each refusal with its errno."""

import errno
import fcntl
import json
import os
import struct

import pytest

import vfio_user as vfu
from vfio_user import PAGE, PATIENCE, GuestMemory, VfioError, VfioUser, wait_eventfd

F_GET_SEALS, F_SEAL_SHRINK = 1034, 2


@pytest.fixture
def client(shared_daemon):
    with VfioUser(shared_daemon.vf_socket("a")) as client:
        yield client


@pytest.fixture
def memory():
    memory = GuestMemory(1 << 20)
    yield memory
    memory.close()


def refused(number, call, *arguments, **options):
    with pytest.raises(VfioError) as error:
        call(*arguments, **options)
    assert errno.errorcode[error.value.errno] == errno.errorcode[number]


def pack(layout, *values):
    return struct.pack("<" + layout, *values)


# --- VERSION ---


def test_version_answers_in_fewer_bytes_than_qemu_asks_with(shared_daemon):
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        (major, minor), text = client.negotiate()
    assert (major, minor) == (0, 0)
    assert text[-1:] == b"\0" and len(text) + 4 + 16 < 214
    assert json.loads(text[:-1])["capabilities"] == {
        "max_msg_fds": 8, "max_data_xfer_size": 65536, "pgsizes": 4096, "write_multiple": False}


@pytest.mark.parametrize("options", [
    {"capabilities": None}, {"capabilities": {}}, {"minor": 99},
    {"capabilities": {"capabilities": {"unknown": [1, {"x": None}]}, "more": 1}}])
def test_version_accepts(shared_daemon, options):
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        (major, minor), text = client.negotiate(**options)
        assert (major, minor) == (0, 0)
        assert (text == b"") == (options.get("capabilities", 1) is None)
        assert client.device_info()


@pytest.mark.parametrize("body", [
    vfu.version_body(capabilities=b"not JSON"),
    vfu.version_body(capabilities=b"[1]"),
    vfu.version_body(capabilities=b'{"capabilities": 3}'),
    vfu.version_body(capabilities=b'{"capabilities": {"max_msg_fds": "x"}}'),
    vfu.version_body(capabilities=b'{"capabilities": {"max_msg_fds": -1}}'),
    vfu.version_body(capabilities=b'{"capabilities": {"max_data_xfer_size": 1.5}}'),
    vfu.version_body(capabilities=b'{"a": 1}\0{"b": 2}'),
    vfu.version_body()[:-1], b"", b"\0\0\0"])
def test_version_refuses_and_can_be_asked_again(shared_daemon, body):
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        refused(errno.EINVAL, client.call, vfu.VERSION, body)
        refused(errno.EINVAL, client.device_info)
        client.negotiate()
        assert client.device_info()


def test_version_too_long_with_descriptors_and_twice(shared_daemon):
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        refused(errno.E2BIG, client.call, vfu.VERSION, b"\0" * 5000)
        refused(errno.EINVAL, client.call, vfu.VERSION, vfu.version_body(), [client.socket.fileno()])
        client.negotiate()
        refused(errno.EINVAL, client.negotiate)


def test_another_major_version_ends_the_session(shared_daemon):
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        refused(errno.ENOTSUP, client.negotiate, major=1)
        assert client.closed_by_server()


# --- what is not in the protocol, or not offered ---


@pytest.mark.parametrize("cmd", [0, 11, 12, 19, 20, 255, 0xffff])
def test_unknown_commands(client, cmd):
    refused(errno.EINVAL, client.call, cmd)
    assert client.device_info()


@pytest.mark.parametrize("cmd", [vfu.GET_REGION_IO_FDS, vfu.DIRTY_PAGES, vfu.REGION_WRITE_MULTI,
                                 vfu.FEATURE, vfu.MIG_DATA_READ, vfu.MIG_DATA_WRITE])
@pytest.mark.parametrize("size", [0, 16, 4096])
def test_commands_that_are_not_offered(client, cmd, size):
    refused(errno.ENOTSUP, client.call, cmd, bytes(size))
    assert client.device_info()


@pytest.mark.parametrize("flags", [2, 3, 15])
def test_message_types_that_do_not_exist(client, flags):
    client.send(vfu.GET_INFO, pack("IIII", 16, 0, 0, 0), flags=flags)
    assert client.receive().error == errno.EINVAL
    assert client.device_info()


def test_replies_that_nobody_asked_for(client):
    for cmd in (vfu.DMA_READ, vfu.DMA_WRITE, vfu.GET_INFO, 999):
        client.send(cmd, bytes(32), flags=vfu.REPLY)
        client.send(cmd, b"", flags=vfu.REPLY | vfu.ERROR)
    assert client.device_info()


BODY_SIZES = [(vfu.DMA_MAP, 32, 32), (vfu.DMA_UNMAP, 24, 24), (vfu.GET_INFO, 16, 16),
              (vfu.GET_REGION_INFO, 32, 32), (vfu.GET_IRQ_INFO, 16, 16), (vfu.SET_IRQS, 20, None),
              (vfu.REGION_READ, 16, 16), (vfu.REGION_WRITE, 16, None), (vfu.RESET, 0, 0)]


@pytest.mark.parametrize("cmd, least, most", BODY_SIZES)
def test_bodies_of_a_wrong_size(client, cmd, least, most):
    for size in range(least):
        refused(errno.EINVAL, client.call, cmd, bytes(size))
    if most is not None:
        for size in (most + 1, most + 8, 4096):
            refused(errno.E2BIG, client.call, cmd, bytes(size))
    assert client.device_info()


@pytest.mark.parametrize("cmd", [vfu.DMA_UNMAP, vfu.GET_INFO, vfu.GET_REGION_INFO, vfu.GET_IRQ_INFO,
                                 vfu.REGION_READ, vfu.REGION_WRITE, vfu.RESET, vfu.FEATURE])
def test_descriptors_where_there_must_be_none(client, shared_daemon, cmd):
    before = shared_daemon.n_fds()
    refused(errno.EINVAL, client.call, cmd, bytes(32 if cmd != vfu.RESET else 0), [0, 1])
    assert client.device_info()
    assert shared_daemon.n_fds() == before


def test_more_descriptors_than_were_agreed_on(client, shared_daemon):
    before = shared_daemon.n_fds()
    fds = [os.eventfd(0) for _ in range(9)]
    refused(errno.EMFILE, client.set_irqs, vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 3, fds=fds)
    assert client.device_info()
    assert shared_daemon.n_fds() == before
    for fd in fds:
        os.close(fd)


# --- GET_INFO, GET_REGION_INFO, GET_IRQ_INFO ---


def test_device_info(client):
    assert client.device_info() == (16, 3, 9, 5)
    assert client.device_info(argsz=64) == (16, 3, 9, 5)
    for argsz in (0, 15):
        refused(errno.EINVAL, client.device_info, argsz=argsz)


def test_region_info(client):
    sizes = [client.region_info(i).size for i in range(9)]
    assert sizes == [0x4000, 0, 0, 0x4000, 0, 0, 0, 4096, 0]
    for i, size in enumerate(sizes):
        assert client.region_info(i).flags == (3 if size else 0)
    for index in (9, 0xffffffff):
        refused(errno.EINVAL, client.region_info, index)
    for argsz in (0, 31):
        refused(errno.EINVAL, client.region_info, 0, argsz=argsz)


def test_the_queue_pages_can_be_mapped_and_nothing_else(client):
    """What QEMU 11.1 needs: full argsz but no capability flag in the short reply."""
    short = client.region_info(0)
    assert short.flags == 3 and short.fd is None and not short.areas and short.argsz == 32 + 16 + 16
    info = client.region_info(0, short.argsz)
    assert info.flags == 3 | 4 | 8 and info.areas == [(0x1000, 0x2000)]
    assert client.region_info(0, short.argsz - 1).fd is None
    try:
        # Whoever runs the VM gets this file: no byte of it may be the daemon's own.
        at, size = info.areas[0]
        assert os.fstat(info.fd).st_size == info.offset + at + size
        assert fcntl.fcntl(info.fd, F_GET_SEALS) & F_SEAL_SHRINK
        with pytest.raises(OSError):
            os.ftruncate(info.fd, 0)
        os.pwrite(info.fd, b"\xa5" * (info.offset + at + size), 0)
        assert client.read32(0, 0x1010) == 0xa5a5a5a5
        assert [client.read32(0, at) for at in (0x100, 0x108, 0x120, 0x200, 0x2fc)] == [0, 0, 0, 0, 0x80]
        os.pwrite(info.fd, bytes(info.offset + at + size), 0)
    finally:
        os.close(info.fd)


def test_no_descriptor_for_a_client_that_takes_none(shared_daemon):
    with VfioUser(shared_daemon.vf_socket("a"), negotiate=False) as client:
        client.negotiate(capabilities={"capabilities": {"max_msg_fds": 0}})
        info = client.region_info(0, 4096)
        assert info.flags == 3 and info.fd is None and info.argsz == 32


def test_irq_info(client):
    counts = [client.irq_info(i) for i in range(5)]
    assert [row[3] for row in counts] == [0, 0, 3, 1, 0]
    assert [row[1] for row in counts] == [0, 0, 3, 1, 0]  # NORESIZE, 8, must be clear
    refused(errno.EINVAL, client.irq_info, 5)
    refused(errno.EINVAL, client.irq_info, 2, argsz=15)


# --- REGION_READ, REGION_WRITE ---

BAD_ACCESSES = [
    # region, offset, size, errno
    (0, 0, 0, errno.EINVAL), (0, 0, 3, errno.EINVAL), (0, 0, 16, errno.EINVAL),
    (0, 2, 4, errno.EINVAL), (0, 4, 8, errno.EINVAL), (0, 0x4000, 4, errno.EINVAL),
    (0, 0x3ffc, 8, errno.EINVAL), (0, 1 << 63, 4, errno.EINVAL), (0, (1 << 64) - 4, 4, errno.EINVAL),
    (0, (1 << 64) - 4, 8, errno.EINVAL), (1, 0, 4, errno.EINVAL), (2, 0, 4, errno.EINVAL),
    (4, 0, 4, errno.EINVAL), (6, 0, 4, errno.EINVAL), (8, 0, 1, errno.EINVAL),
    (9, 0, 4, errno.EINVAL), (0xffffffff, 0, 4, errno.EINVAL),
    (7, 4096, 1, errno.EINVAL), (7, 4095, 2, errno.EINVAL), (7, 0, 4097, errno.EINVAL),
    (7, 0, 0, errno.EINVAL), (3, 0x4000, 4, errno.EINVAL)]


@pytest.mark.parametrize("region, offset, size, number", BAD_ACCESSES)
def test_accesses_out_of_place(client, region, offset, size, number):
    refused(number, client.read, region, offset, size)
    refused(number, client.write, region, offset, bytes(size))


def test_accesses_too_long(client):
    for count in (65537, 1 << 20, 0xffffffff):
        refused(errno.E2BIG, client.read, 7, 0, count)
        refused(errno.E2BIG, client.call, vfu.REGION_WRITE, pack("QII", 0, 7, count))


def test_write_whose_count_is_not_its_data(client):
    for count, size in ((4, 0), (4, 3), (4, 5), (0, 4), (1, 65520)):
        refused(errno.EINVAL, client.call, vfu.REGION_WRITE, pack("QII", 0, 7, count) + bytes(size))


@pytest.mark.parametrize("name, device", [("a", 0x10ed), ("b", 0x1515)])
def test_config_space(shared_daemon, name, device):
    with VfioUser(shared_daemon.vf_socket(name)) as client:
        whole = client.read(vfu.CONFIG, 0, 4096)
        assert struct.unpack_from("<HH", whole) == (0x8086, device)
        assert whole[9:12] == b"\0\0\2"  # network, Ethernet
        assert whole[:64] == b"".join(client.read(vfu.CONFIG, at, 1) for at in range(64))
        # The size of BAR 0, as an operating system asks for it.
        client.write32(vfu.CONFIG, 0x10, 0xffffffff)
        assert client.read32(vfu.CONFIG, 0x10) & ~0xf == 0xffffc000
        # No ROM: its register takes nothing.
        client.write32(vfu.CONFIG, 0x30, 0xffffffff)
        assert client.read32(vfu.CONFIG, 0x30) == 0
        # The identity stays, whatever is written.
        client.write(vfu.CONFIG, 0, b"\xff" * 64)
        assert client.read(vfu.CONFIG, 0, 4) == whole[:4]


def test_capabilities_form_a_list_that_ends(client):
    config = client.read(vfu.CONFIG, 0, 4096)
    at, seen = config[0x34], []
    while at:
        assert at not in seen and at >= 0x40 and at % 4 == 0
        seen.append(at)
        at = config[at + 1]
    assert {0x10, 0x11} <= {config[at] for at in seen}  # PCI Express, MSI-X
    at, extended = 0x100, []
    while at:
        head = struct.unpack_from("<I", config, at)[0]
        assert at not in extended
        extended.append(at)
        at = head >> 20
    assert {1, 3} <= {struct.unpack_from("<H", config, at)[0] for at in extended}  # AER, serial number


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_access_sizes(client, size):
    assert len(client.read(0, 0, size)) == size
    assert len(client.read(3, 0, size)) == size
    client.write(0, 0x300, bytes(size))


def test_posted_writes_get_no_answer(client):
    for _ in range(100):
        client.write32(0, 0x200, 0x1234, flags=vfu.NO_REPLY)
    client.write32(0, 1 << 40, 0x1234, flags=vfu.NO_REPLY)  # not even when they are wrong
    client.write(9, 0, bytes(4), flags=vfu.NO_REPLY)
    assert client.read32(0, 0x200) == 0x1234


def test_requests_in_a_pipeline_are_answered_in_order(client):
    ids = [client.send(vfu.GET_INFO, pack("IIII", 16, 0, 0, 0)) for _ in range(100)]
    assert [client.receive().id for _ in ids] == ids


# --- DMA_MAP, DMA_UNMAP ---


def test_map_and_unmap(client, memory):
    client.dma_map(0, 1 << 19, memory.fd)
    client.dma_map(1 << 19, 1 << 19, memory.fd, offset=1 << 19, flags=1)
    client.dma_map(1 << 40, 0x2000, None)  # a BAR of its own, which comes back without a file
    assert client.dma_unmap(1 << 19, 1 << 19) == pack("IIQQ", 24, 0, 1 << 19, 1 << 19)
    client.dma_map(1 << 19, 1 << 19, memory.fd)
    client.dma_unmap(0, 0, flags=2)
    client.dma_map(0, 1 << 20, memory.fd)


def test_map_refusals(client, memory):
    client.dma_map(PAGE, PAGE, memory.fd)
    cases = [
        # iova, size, offset, flags, argsz, errno
        (0, 0, 0, 3, 32, errno.EINVAL), (0, PAGE, 0, 0, 32, errno.EINVAL),
        (0, PAGE, 0, 4, 32, errno.EINVAL), (0, PAGE, 0, 0xffffffff, 32, errno.EINVAL),
        (0, PAGE, 0, 3, 31, errno.EINVAL), (0, PAGE, 1, 3, 32, errno.EINVAL),
        (0, 2 * PAGE, 0, 3, 32, errno.EEXIST), (PAGE, PAGE, 0, 3, 32, errno.EEXIST),
        (PAGE + 1, 1, 0, 3, 32, errno.EEXIST), (2 * PAGE - 1, PAGE, 0, 3, 32, errno.EEXIST),
        ((1 << 64) - PAGE, 2 * PAGE, 0, 3, 32, errno.EINVAL),
        (1 << 30, (1 << 20) + PAGE, 0, 3, 32, errno.ENXIO),
        (1 << 30, PAGE, 1 << 20, 3, 32, errno.ENXIO),
        (1 << 30, PAGE, 1 << 62, 3, 32, errno.ENXIO),
        (1 << 30, 1 << 62, 0, 3, 32, errno.ENXIO)]
    for iova, size, offset, flags, argsz, number in cases:
        refused(number, client.dma_map, iova, size, memory.fd, offset=offset, flags=flags, argsz=argsz)
    client.dma_map(2 * PAGE, PAGE, memory.fd)


def test_map_of_what_is_no_memory(client):
    reader, writer = os.pipe()
    folder = os.open("/tmp", os.O_RDONLY)
    for fd in (reader, folder, client.socket.fileno()):
        refused(errno.ENXIO, client.dma_map, 0, PAGE, fd)
    for fd in (reader, writer, folder):
        os.close(fd)


def test_map_for_writing_of_memory_that_is_read_only(client, memory):
    fd = os.open(f"/proc/self/fd/{memory.fd}", os.O_RDONLY)
    refused(errno.EACCES, client.dma_map, 0, PAGE, fd)
    client.dma_map(0, PAGE, fd, flags=1)
    os.close(fd)


def test_map_of_a_file_on_a_disk(client):
    """A file system could let a worker wait: such a window is there, and no worker touches it."""
    with open(__file__, "rb") as file:
        client.dma_map(0, PAGE, file.fileno(), flags=1)
        refused(errno.ENXIO, client.dma_map, PAGE, 1 << 30, file.fileno(), flags=1)


def test_unmap_refusals(client, memory):
    client.dma_map(PAGE, 2 * PAGE, memory.fd)
    cases = [
        # iova, size, flags, argsz, errno
        (0, PAGE, 0, 24, errno.ENOENT), (PAGE, PAGE, 0, 24, errno.ENOENT),
        (PAGE, 3 * PAGE, 0, 24, errno.ENOENT), (2 * PAGE, PAGE, 0, 24, errno.ENOENT),
        (0, 0, 0, 24, errno.ENOENT), (0, (1 << 64) - 1, 0, 24, errno.ENOENT),
        (PAGE, 2 * PAGE, 1, 24, errno.ENOTSUP), (PAGE, 2 * PAGE, 4, 24, errno.EINVAL),
        (PAGE, 2 * PAGE, 0, 23, errno.EINVAL), (PAGE, 2 * PAGE, 2, 24, errno.EINVAL),
        (0, 1, 2, 24, errno.EINVAL)]
    for iova, size, flags, argsz, number in cases:
        refused(number, client.dma_unmap, iova, size, flags=flags, argsz=argsz)
    client.dma_unmap(PAGE, 2 * PAGE)
    refused(errno.ENOENT, client.dma_unmap, PAGE, 2 * PAGE)


def test_windows_have_an_end(client, memory, shared_daemon):
    before = shared_daemon.n_fds()
    count = 0
    try:
        while count < 100000:
            client.dma_map(count * PAGE, PAGE, memory.fd)
            count += 1
    except VfioError as error:
        assert error.errno == errno.ENOSPC
    assert 64 <= count < 100000
    assert shared_daemon.n_fds() == before
    client.dma_unmap(0, 0, flags=2)
    client.dma_map(0, 1 << 20, memory.fd)


# --- SET_IRQS ---


def test_interrupts_by_message(client):
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)]
    client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 1)  # latched: there is no eventfd yet
    client.set_irqs(vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 1)  # QEMU's way to enable, without a file
    client.set_irqs(vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 3, fds=fds)
    assert wait_eventfd(fds[0], PATIENCE) == 1
    client.set_irqs(vfu.DATA_BOOL | vfu.TRIGGER, 0, 3, data=b"\0\1\0")
    assert [wait_eventfd(fd, 0) for fd in fds] == [0, 1, 0]
    client.set_irqs(vfu.DATA_NONE | vfu.MASK, 1, 2)
    client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 3)
    assert [wait_eventfd(fd, 0) for fd in fds] == [1, 0, 0]
    client.set_irqs(vfu.DATA_NONE | vfu.UNMASK, 1, 1)
    assert [wait_eventfd(fd, 0) for fd in fds] == [0, 1, 0]
    client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 0)  # disables all
    client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 3)
    assert [wait_eventfd(fd, 0) for fd in fds] == [0, 0, 0]
    for fd in fds:
        os.close(fd)


def test_error_interrupt(client):
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    client.set_irqs(vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 1, index=vfu.ERR, fds=[fd])
    client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 1, index=vfu.ERR)
    assert wait_eventfd(fd, 0) == 1
    refused(errno.ENOTSUP, client.set_irqs, vfu.DATA_NONE | vfu.MASK, 0, 1, index=vfu.ERR)
    client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 0, index=vfu.ERR)
    os.close(fd)


BAD_IRQS = [
    # flags, start, count, index, argsz, data, errno
    (0, 0, 1, 2, 20, b"", errno.EINVAL), (vfu.DATA_NONE, 0, 1, 2, 20, b"", errno.EINVAL),
    (vfu.TRIGGER, 0, 1, 2, 20, b"", errno.EINVAL), (0x23, 0, 1, 2, 20, b"", errno.EINVAL),
    (0x29, 0, 1, 2, 20, b"", errno.EINVAL), (0x61, 0, 1, 2, 20, b"", errno.EINVAL),
    (0x80000021, 0, 1, 2, 20, b"", errno.EINVAL), (0x21, 0, 1, 5, 20, b"", errno.EINVAL),
    (0x21, 0, 1, 0, 20, b"", errno.EINVAL), (0x21, 0, 1, 1, 20, b"", errno.EINVAL),
    (0x21, 3, 1, 2, 20, b"", errno.EINVAL), (0x21, 0, 4, 2, 20, b"", errno.EINVAL),
    (0x21, 2, 0xffffffff, 2, 20, b"", errno.EINVAL), (0x21, 0xffffffff, 2, 2, 20, b"", errno.EINVAL),
    (0x21, 1, 0, 2, 20, b"", errno.EINVAL), (0x22, 0, 0, 2, 20, b"", errno.EINVAL),
    (0x24, 0, 0, 2, 20, b"", errno.EINVAL), (0x21, 0, 1, 2, 19, b"", errno.EINVAL),
    (0x22, 0, 3, 2, 22, b"\1\1", errno.EINVAL), (0x0c, 0, 1, 2, 20, b"", errno.ENOTSUP),
    (0x14, 0, 1, 2, 20, b"", errno.ENOTSUP), (0x21, 1, 1, 3, 20, b"", errno.EINVAL)]


@pytest.mark.parametrize("flags, start, count, index, argsz, data, number", BAD_IRQS)
def test_irq_refusals(client, flags, start, count, index, argsz, data, number):
    refused(number, client.set_irqs, flags, start, count, index=index, data=data, argsz=argsz)


def test_irq_descriptors_that_do_not_fit(client, shared_daemon):
    before = shared_daemon.n_fds()
    eventfd = os.eventfd(0)
    reader, writer = os.pipe()
    trigger = vfu.DATA_EVENTFD | vfu.TRIGGER
    refused(errno.EINVAL, client.set_irqs, trigger, 0, 2, fds=[eventfd])
    refused(errno.EINVAL, client.set_irqs, trigger, 0, 1, fds=[eventfd, eventfd])
    refused(errno.EINVAL, client.set_irqs, trigger, 0, 1, fds=[writer])
    refused(errno.EINVAL, client.set_irqs, trigger, 0, 1, fds=[client.socket.fileno()])
    refused(errno.EINVAL, client.set_irqs, vfu.DATA_NONE | vfu.TRIGGER, 0, 1, fds=[eventfd])
    assert shared_daemon.n_fds() == before
    for fd in (eventfd, reader, writer):
        os.close(fd)


def test_an_eventfd_that_is_full_blocks_nobody(client, shared_daemon):
    fd = os.eventfd(0)
    os.eventfd_write(fd, (1 << 64) - 2)
    client.set_irqs(vfu.DATA_EVENTFD | vfu.TRIGGER, 0, 1, fds=[fd])
    for _ in range(10):
        client.set_irqs(vfu.DATA_NONE | vfu.TRIGGER, 0, 1)
    with VfioUser(shared_daemon.vf_socket("b")) as other:
        assert other.device_info()
    os.close(fd)


# --- RESET ---


def test_resets(client):
    for reset in (client.reset, lambda: flr(client)):
        client.write(vfu.CONFIG, 4, b"\x06\x00")
        client.write32(0, 0x200, 0xabcd)
        client.write32(0, 0x1008, 4096)
        reset()
        assert client.read(vfu.CONFIG, 4, 2) == b"\0\0"
        assert client.read32(0, 0x200) == 0
        assert client.read32(0, 0x1008) == 0


def flr(client):
    """PCI Express, 7.5.3.4: bit 15 of Device Control."""
    config = client.read(vfu.CONFIG, 0, 256)
    at = config[0x34]
    while config[at] != 0x10:
        at = config[at + 1]
    client.write(vfu.CONFIG, at + 8, b"\0\x80")
