# SPDX-License-Identifier: BSD-3-Clause
"""A guest that means harm hurts only itself: b and c exchange frames and lose none, whatever a does."""

import contextlib
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest

import ixgbevf as hw
import vfio_user as vfu
from frames import BROADCAST, ethernet
from ixgbevf import ENABLE, Ixgbevf
from vfio_user import GuestMemory, VfioUser, wait_until

MAX_STALL_SECONDS = 4  # of the others' traffic: QEMU gives up after 5, and the machine may be busy


class Traffic(threading.Thread):
    """Frames from b to c and back, one at a time each way, until it is stopped."""

    def __init__(self, one, two):
        super().__init__(daemon=True)
        self.pair = one, two
        self.stopping = False
        self.count = 0
        self.longest = 0.0
        self.error = None

    def run(self):
        try:
            while not self.stopping:
                start = time.monotonic()
                for sender, receiver in (self.pair, self.pair[::-1]):
                    frame = ethernet(receiver.mac, sender.mac, 60 + self.count % 1400, seed=self.count)
                    sender.send(frame)
                    got = [item for item in receiver.receive(1) if item.data[6:12] == sender.mac]
                    assert [item.data for item in got] == [frame], f"frame {self.count} is lost"
                    self.count += 1
                self.longest = max(self.longest, time.monotonic() - start)
        except BaseException as error:
            self.error = error


@pytest.fixture
def attacked(shared_daemon):
    """The path of a's socket, while b and c talk; they must not have noticed in the end."""
    with contextlib.ExitStack() as stack:
        others = [stack.enter_context(Ixgbevf(shared_daemon.vf_socket(name))) for name in "bc"]
        for nic in others:
            nic.open()
        drops = [shared_daemon.show("vport", name)["drops"] for name in "bc"]
        traffic = Traffic(*others)
        traffic.start()
        yield shared_daemon.vf_socket("a")
        before = traffic.count
        assert wait_until(lambda: traffic.count > before + 10 or traffic.error), "traffic stands still"
        traffic.stopping = True
        traffic.join()
        assert not traffic.is_alive() and traffic.error is None, traffic.error
        assert traffic.longest < MAX_STALL_SECONDS
        assert [shared_daemon.show("vport", name)["drops"] for name in "bc"] == drops


@pytest.fixture
def evil(attacked):
    with Ixgbevf(attacked) as nic:
        yield nic.open()


def bad_descriptors(daemon):
    return daemon.show("vf", f"lan/{daemon.show('vport', 'a')['vf']}")["bad-descriptors"]


def revive(nic):
    """After a reset the VF works as ever: its broadcast is taken."""
    nic.open()
    nic.send(ethernet(bytes.fromhex("020000000077"), nic.mac))


BAD_ADDRESSES = [8 << 20, (8 << 20) - 1, 1 << 32, 1 << 63, (1 << 64) - 1, (1 << 64) - 60]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_transmit_descriptors_outside_the_memory(shared_daemon, evil, address):
    before = bad_descriptors(shared_daemon)
    for _ in range(50):
        evil.put_desc(address, 60 | hw.TX_DATA | hw.TX_EXT | hw.TX_EOP | hw.TX_RS | 60 << 46)
    evil.kick()
    assert evil.sent(), "the descriptors do not come back"
    assert bad_descriptors(shared_daemon) == before + 50
    revive(evil)


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_receive_buffers_outside_the_memory(shared_daemon, attacked, address):
    with Ixgbevf(attacked, n_desc=64) as evil, evil_twin(shared_daemon) as sender:
        evil.open()
        for i in range(64):
            evil.rx_desc[2 * i] = address
        before = bad_descriptors(shared_daemon)
        for _ in range(20):
            sender.send(ethernet(evil.mac, sender.mac))
        assert wait_until(lambda: bad_descriptors(shared_daemon) >= before + 20)
        revive(evil)
        sender.send(ethernet(evil.mac, sender.mac))
        assert len(evil.receive(1)) == 1


@contextlib.contextmanager
def evil_twin(daemon):
    """A fourth VF, which sends to the evil one."""
    daemon.call("vport.add", name="d", switch="lan", mac="02:00:00:00:00:04", synthetic=False)
    try:
        with Ixgbevf(daemon.vf_socket("d")) as nic:
            yield nic.open()
    finally:
        daemon.call("vport.del", name="d")


ABSURD_RINGS = [
    # base, size, head
    (None, 0, 0), (None, 1, 0), (None, 127, 0), (None, 129, 0), (None, 0xfffffff0, 0),
    (None, 0xffffffff, 0), (None, 0x100000, 0), (None, 0x80000000, 0), (None, 4096, 256),
    (None, 4096, 0xffffffff), (1, 4096, 0), (8, 4096, 0), (1 << 40, 4096, 0),
    ((1 << 64) - 128, 4096, 0), ((8 << 20) - 2048, 4096, 0), ((8 << 20) - 128, 256, 0)]


@pytest.mark.parametrize("base, size, head", ABSURD_RINGS)
def test_absurd_rings(shared_daemon, evil, base, size, head):
    before = bad_descriptors(shared_daemon)
    regs = evil.regs
    for queue, base_at, size_at, head_at, tail_at, control, ring in (
            ("rx", hw.RDBAL, hw.RDLEN, hw.RDH, hw.RDT, hw.RXDCTL, evil.rx_ring),
            ("tx", hw.TDBAL, hw.TDLEN, hw.TDH, hw.TDT, hw.TXDCTL, evil.tx_ring)):
        regs[control] = 0
        evil.read(hw.VFSTATUS)
        at = ring if base is None else base
        regs[base_at], regs[base_at + 4] = at & 0xffffffff, at >> 32
        regs[size_at], regs[head_at], regs[tail_at] = size, head, 5
        regs[control] = ENABLE
        evil.read(hw.VFSTATUS)
    assert wait_until(lambda: bad_descriptors(shared_daemon) >= before + 2), "not counted"
    revive(evil)


@pytest.mark.parametrize("tail", [256, 257, 0xffff, 0x80000000, 0xffffffff])
def test_tails_beyond_the_ring(shared_daemon, evil, tail):
    before = bad_descriptors(shared_daemon)
    evil.regs[hw.TDT] = tail
    assert wait_until(lambda: bad_descriptors(shared_daemon) > before)
    evil.regs[hw.TDT] = 0
    evil.send(ethernet(b"\x02" + bytes(5), evil.mac))


def test_receive_tails_beyond_the_ring(shared_daemon, attacked):
    with Ixgbevf(attacked) as evil, evil_twin(shared_daemon) as sender:
        evil.open()
        for tail in (257, 0xffff, 0xffffffff):
            before = bad_descriptors(shared_daemon)
            evil.regs[hw.RDT] = tail
            sender.send(ethernet(evil.mac, sender.mac))
            assert wait_until(lambda: bad_descriptors(shared_daemon) > before)
        evil.regs[hw.RDT] = (evil.rx_next - 1) % evil.n_desc
        evil.poll()
        sender.send(ethernet(evil.mac, sender.mac))
        assert len(evil.receive(1)) == 1


def test_packets_that_never_end(shared_daemon, evil):
    before = bad_descriptors(shared_daemon)
    for _ in range(evil.n_desc - 1):
        evil.put_desc(evil.tx_buffers, 60 | hw.TX_DATA | hw.TX_EXT | 60 << 46)
    evil.kick()
    assert wait_until(lambda: bad_descriptors(shared_daemon) > before)
    revive(evil)


def test_a_ring_full_of_contexts(evil):
    for _ in range(20):
        for _ in range(evil.n_desc - 2):
            evil.put_context()
        evil.kick()
        evil.send(ethernet(b"\x02" + bytes(5), evil.mac))


def test_random_descriptors(evil):
    source = random.Random(30)
    for _ in range(60):
        for _ in range(evil.n_desc - 1):
            low = source.choice([source.getrandbits(64), source.randrange(8 << 20), evil.tx_buffers])
            high = source.getrandbits(64)
            if source.random() < 0.7:
                high = high & ~0x20f0ffff | hw.TX_EXT | source.choice([hw.TX_DATA, hw.TX_CONTEXT]) | \
                    source.randrange(3000)
            evil.put_desc(low, high)
        evil.kick()
        if not evil.sent(0.05):
            evil.start()
    revive(evil)


@pytest.mark.parametrize("mss", [1, 8, 32])
def test_segmentation_as_fine_as_can_be(shared_daemon, attacked, mss):
    """Bursts of the longest frames there are, in the smallest pieces; 32 is still granted."""
    with Ixgbevf(attacked) as evil, evil_twin(shared_daemon) as target:
        evil.open()
        at = evil.memory.alloc(1 << 16)
        evil.memory.write(at, target.mac + evil.mac + b"\x08\x00\x45" + bytes(31) + b"\x50" + bytes(7))
        for n_pieces, size in ((1, 0xffff), (4, 0xfff0), (16, 0xffff)):
            for _ in range(240 // (n_pieces + 1)):
                evil.put_context(mss=mss)
                payload = min(n_pieces * size - 54, 0x3ffff)
                for piece in range(n_pieces):
                    last = hw.TX_EOP | hw.TX_RS if piece == n_pieces - 1 else 0
                    evil.put_desc(at, size | hw.TX_DATA | hw.TX_EXT | hw.TX_TSO | last |
                                  (payload << 14 | 0x300) << 32)
            evil.kick()
            assert evil.sent(30)
        name, reason = ("d", "no-buffer") if mss == 32 else ("a", "bad-offload")
        assert shared_daemon.show("vport", name)["drop-reasons"][reason] > 0


def test_memory_unmapped_in_full_traffic(shared_daemon, attacked):
    """Again and again under the worker's hands; what is mapped again works again."""
    with Ixgbevf(attacked) as nic:
        for _ in range(30):
            nic.open()
            for _ in range(200):
                nic.put_frame(ethernet(b"\x02" + bytes(5), nic.mac))
            nic.kick()
            nic.client.dma_unmap(0, nic.memory.size)
            nic.client.dma_map(0, nic.memory.size, nic.memory.fd)
        revive(nic)


def test_memory_unmapped_while_others_send_to_it(shared_daemon, attacked):
    with Ixgbevf(attacked) as nic, evil_twin(shared_daemon) as sender:
        for _ in range(30):
            nic.open()
            for _ in range(100):
                sender.put_frame(ethernet(nic.mac, sender.mac))
            sender.kick()
            nic.client.dma_unmap(0, nic.memory.size)
            assert sender.sent()
            nic.client.dma_map(0, nic.memory.size, nic.memory.fd)
        revive(nic)


@pytest.mark.parametrize("size", [0, 4096, 1 << 20])
def test_memory_truncated_in_traffic(shared_daemon, attacked, size):
    """The file behind the guest's memory shrinks: every access to it would be SIGBUS."""
    with evil_twin(shared_daemon) as sender:
        with Ixgbevf(attacked) as nic:
            nic.open()
            for i in range(200):
                nic.put_frame(ethernet(b"\x02" + bytes(5), nic.mac))
                sender.put_frame(ethernet(nic.mac, sender.mac))
            sender.kick()
            os.ftruncate(nic.memory.fd, size)  # from here on this side must not touch it either
            nic.kick()
            assert sender.sent()
            for _ in range(50):
                sender.send(ethernet(nic.mac, sender.mac))
            assert nic.client.device_info()
        with Ixgbevf(attacked) as nic:
            revive(nic)
            sender.send(ethernet(nic.mac, sender.mac))
            assert len(nic.receive(1)) == 1


CLIENT = """
import sys
sys.path[:0] = sys.argv[2:]
from ixgbevf import Ixgbevf
from frames import ethernet
nic = Ixgbevf(sys.argv[1]).open()
print("ready", flush=True)
while True:
    for _ in range(100):
        nic.put_frame(ethernet(b"\\xff" * 6, nic.mac, 1000))
    nic.kick()
    nic.sent()
"""


def test_client_killed_in_traffic(shared_daemon, attacked):
    """As QEMU by SIGKILL. Its frames are for an address of nobody, so that the others need no room."""
    code = CLIENT.replace('b"\\xff" * 6', 'b"\\x02" + bytes(5)')
    before = shared_daemon.n_fds()
    for _ in range(10):
        process = subprocess.Popen([sys.executable, "-c", code, attacked, *sys.path],
                                   stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert wait_until(lambda: shared_daemon.show("vport", "a")["vf-state"] == "listening")
    assert wait_until(lambda: shared_daemon.n_fds() == before)
    with Ixgbevf(attacked) as nic:
        revive(nic)


def test_resets_in_traffic(shared_daemon, attacked):
    with Ixgbevf(attacked) as nic, evil_twin(shared_daemon) as sender:
        for i in range(60):
            nic.open(api=["1.3", "1.5"][i % 2])
            for _ in range(50):
                nic.put_frame(ethernet(sender.mac, nic.mac))
                sender.put_frame(ethernet(nic.mac, sender.mac))
            nic.kick()
            sender.kick()
            if i % 3 == 0:
                nic.client.reset()
                nic.client.write(vfu.CONFIG, 4, b"\x06\x00")
            elif i % 3 == 1:
                nic.write(hw.VFCTRL, 0x04000000)
            else:
                nic.regs[hw.RXDCTL] = nic.regs[hw.TXDCTL] = 0
                nic.read(hw.VFSTATUS)
            # After the answer the worker is out of the rings: this memory is the guest's alone.
            mark = os.urandom(64)
            nic.memory.write(nic.rx_buffers, mark * 32)
            sender.sent()
            sender.poll()
            assert nic.memory.read(nic.rx_buffers, 2048) == mark * 32


def test_registers_scribbled_on_in_traffic(evil):
    """The mapped pages hold random words, again and again."""
    source = random.Random(31)
    words = len(evil.regs.words)
    for _ in range(3000):
        evil.regs.words[source.randrange(words)] = source.choice(
            [0, ENABLE, 0xffffffff, source.getrandbits(32), source.randrange(256)])
        if source.random() < 0.05:
            evil.read(hw.VFSTATUS)
    for at in range(words):
        evil.regs.words[at] = 0
    revive(evil)


def test_trapped_accesses_as_fast_as_they_go(shared_daemon, attacked):
    with VfioUser(attacked) as client:
        body = struct.pack("<QII", hw.VFMAILBOX, 0, 4)
        for _ in range(100):
            for _ in range(100):
                client.send(vfu.REGION_READ, body)
            for _ in range(100):
                client.receive()


def test_many_maps_in_others_traffic(attacked):
    memory = GuestMemory(64 << 12)
    with VfioUser(attacked) as client:
        for _ in range(20):
            for i in range(64):
                client.dma_map(i << 12, 4096, memory.fd, offset=i << 12)
            client.dma_unmap(0, 0, flags=2)
    memory.close()
