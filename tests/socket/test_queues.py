# SPDX-License-Identifier: BSD-3-Clause
"""Queues on workers: shown, pinned, moved under traffic, and the pin kept. a -- lan -- b, c"""

import os
import struct
import subprocess

import pytest

import softiov
from conftest import add_vports
from frames import ethernet
from ixgbevf import Ixgbevf
from softiov import Daemon, RpcError

ROUNDS, BURST = 60, 20


def two_processors():
    """Two workers want two processors; on one, there is one worker only."""
    may = sorted(os.sched_getaffinity(0))
    return f"{may[0]},{may[-1]}" if len(may) > 1 else None


@pytest.fixture
def pair(tmp_path):
    """A daemon with two workers."""
    processors = two_processors()
    if processors is None:
        pytest.skip("needs two processors")
    with Daemon(tmp_path, "--workers", processors) as daemon:
        add_vports(daemon)
        yield daemon


def command(daemon, *words):
    return subprocess.run([softiov.SOFTIOV, *words], capture_output=True, text=True, check=False,
                          timeout=softiov.PATIENCE, env=dict(os.environ, SOFTIOV_SOCKET=daemon.api_path))


def pins(daemon, vport):
    return daemon.call("config.export")["objects"]["vport"][vport].get("pins")


def test_shown(pair):
    queues = pair.call("queue.show")
    names = [queue["name"] for queue in queues]
    per_vf = len(names) // 3
    assert names == [f"{port}/vf-{i}" for port in "abc" for i in range(per_vf)]
    on_workers = [sum(queue["worker"] == w for queue in queues) for w in (0, 1)]
    assert abs(on_workers[0] - on_workers[1]) <= 1
    for queue in queues:
        assert queue["moves"] == 0 and not queue["pinned"] and queue["load"] == 0
    assert pair.show("queue", "b/vf-0")["port"] == "b"
    table = command(pair, "queue", "show").stdout
    for word in ("WORKER", "LOAD", "MOVES", "PINNED", "a/vf-0"):
        assert word in table


def test_pin_and_release(pair):
    for worker in (0, 1, "0", "1"):
        before = pair.show("queue", "a/vf-0")
        pair.call("queue.set", name="a/vf-0", worker=worker)
        queue = pair.show("queue", "a/vf-0")
        assert queue["worker"] == int(worker) and queue["pinned"]
        assert queue["moves"] == before["moves"] + (before["worker"] != int(worker))
        assert pins(pair, "a") == f"vf-0={worker}"
    pair.call("queue.set", name="a/vf-0", worker="auto")
    queue = pair.show("queue", "a/vf-0")
    assert not queue["pinned"] and queue["worker"] == 1
    assert pins(pair, "a") is None
    done = command(pair, "queue", "set", "b/vf-0", "worker", "0")
    assert done.returncode == 0 and pins(pair, "b") == "vf-0=0"


@pytest.mark.parametrize("name, worker, words", [
    ("a/vf-0", 2, ["worker", "'2'", "0, 1"]),
    ("a/vf-0", 31, ["worker", "0, 1"]),
    ("a/vf-0", 99, ["worker", "99", "auto"]),
    ("a/vf-0", "first", ["worker", "first", "auto"]),
    ("a/vf-9", 0, ["no such queue", "a/vf-0"]),
    ("a/synthetic-0", 0, ["no such queue", "a/vf-0"]),
    ("a", 0, ["no such queue"]),
    ("d/vf-0", 0, ["no such queue"]),
])
def test_refused(pair, name, worker, words):
    with pytest.raises(RpcError) as error:
        pair.call("queue.set", name=name, worker=worker)
    for word in words:
        assert word in error.value.message
    assert pins(pair, "a") is None
    assert not pair.show("queue", "a/vf-0")["pinned"]


def test_kept_over_a_kill(tmp_path):
    processors = two_processors()
    if processors is None:
        pytest.skip("needs two processors")
    daemon = Daemon(tmp_path, "--workers", processors)
    try:
        add_vports(daemon)
        for name in ("a/vf-0", "c/vf-0"):
            daemon.call("queue.set", name=name, worker=1)
        daemon.kill()
    finally:
        daemon.remove_run_dir()
    with Daemon(tmp_path, "--workers", processors) as again:
        for name in ("a/vf-0", "c/vf-0"):
            queue = again.show("queue", name)
            assert queue["worker"] == 1 and queue["pinned"]
        # The pin belongs to the vport, not to the VF that it has at the moment.
        again.call("vport.set", name="a", synthetic=True, iov=False)
        assert pins(again, "a") == "vf-0=1"
        again.call("queue.set", name="a/synthetic-0", worker=0)
        again.call("vport.set", name="a", iov=True)
        assert again.show("queue", "a/vf-0")["worker"] == 1
        assert pins(again, "a") == "vf-0=1,synthetic-0=0"
        # An exported configuration brings it back.
        objects = again.call("config.export")["objects"]
        again.call("vport.set", name="a", pins="none")
        assert not again.show("queue", "a/vf-0")["pinned"]
        again.call("config.apply", objects=objects)
        assert again.show("queue", "a/synthetic-0")["pinned"]
        again.call("vport.del", name="c")
        assert "c/vf-0" not in [queue["name"] for queue in again.call("queue.show")]
    # With one worker the vport runs all the same; the pin waits.
    with Daemon(tmp_path, "--workers", processors.split(",", maxsplit=1)[0]) as one:
        queue = one.show("queue", "a/vf-0")
        assert queue["worker"] == 0 and not queue["pinned"]
        assert pins(one, "a") == "vf-0=1,synthetic-0=0"
        assert "worker 1" in " ".join(event["text"] for event in one.call("event.show"))


def test_moved_under_traffic(pair):
    """Numbered frames from a to b, while a's queue changes its worker: all arrive, in order."""
    with Ixgbevf(pair.vf_socket("a")) as a, Ixgbevf(pair.vf_socket("b")) as b:
        a.open()
        b.open()
        before, sent = pair.show("queue", "a/vf-0"), 0
        for i in range(ROUNDS):
            for _ in range(BURST):
                frame = bytearray(ethernet(b.mac, a.mac, 64))
                struct.pack_into("<I", frame, 20, sent)
                a.send(bytes(frame), wait=False)
                sent += 1
            pair.call("queue.set", name="a/vf-0", worker=i % 2)
            got = [struct.unpack_from("<I", frame.data, 20)[0] for frame in b.receive(BURST)]
            assert got == list(range(sent - BURST, sent))
        assert not b.poll()
        queue = pair.show("queue", "a/vf-0")
        assert queue["moves"] >= before["moves"] + ROUNDS - 1
        assert queue["frames"] == before["frames"] + ROUNDS * BURST
        assert queue["busy-cycles"] > before["busy-cycles"]
