# SPDX-License-Identifier: BSD-3-Clause
"""The verifying client of bench/ against the daemon: whatever the sender's descriptors ask for, every
frame arrives, in order, with each byte and checksum right. VFs and synthetics in all pairs."""

import json
import os
import subprocess

import pytest

import softiov
from softiov import Daemon

CLIENT = os.path.join(softiov.BUILD, "bench/client")
FRAMES = 20000
LARGE_FRAMES = 2000  # of 64 KiB: 46 segments each
KINDS = {"vf": ("vf", "vf-socket"), "syn": ("vio", "syn-socket"), "packed": ("packed", "syn-socket")}
NO_LOSS = {"damaged": 0, "reordered": 0, "lost": 0, "undelivered": 0}


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    """Sockets of two vports, each with a VF and a synthetic, for 1518 bytes with and without a tag."""
    subprocess.run(["ninja", "-C", softiov.BUILD, "bench/client"], check=True, capture_output=True,
                   timeout=300)
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        daemon.call("switch.add", name="lan")
        for name, number, model in (("a", 1, "82599"), ("b", 2, "x550")):
            daemon.call("vport.add", name=name, switch="lan", mac=f"02:00:00:00:00:0{number}", mtu=1504,
                        trunk="7", synthetic=True, model=model, queues=4, **{"ieee-priority-tag": True})
        yield daemon


def run_client(daemon, pair, *options):
    arguments = []
    for name, kind in zip("ab", pair.split("-")):
        prefix, socket = KINDS[kind]
        arguments.append(f"{prefix}:{daemon.show('vport', name)[socket]}")
    done = subprocess.run([CLIENT, "--verify", "--warm", "0", "--seconds", "120", "--nap", "50",
                           *options, *arguments],
                          capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def client(daemon, pair, *options):
    """The same, with nothing lost."""
    result = run_client(daemon, pair, *options)
    assert {key: result[key] for key in NO_LOSS} == NO_LOSS, result
    return result


def kinds():
    """What descriptors ask for, and the frames' size. 64 bytes are the headers' size and a little where
    these are longer."""
    for offload in ("none", "csum", "vlan", "tso", "mix"):
        for size in (64, 1518):
            yield offload, size
    yield "tso", 65536
    yield "mix", 65536


@pytest.mark.parametrize("pair", ["vf-vf", "vf-syn", "syn-vf", "syn-syn", "vf-packed", "packed-vf", "packed-packed"])
@pytest.mark.parametrize("offload, size", kinds())
def test_all_arrive(ports, pair, offload, size):
    n = FRAMES if size <= 1518 else LARGE_FRAMES
    result = client(ports, pair, "--offload", offload, "--size", str(size), "--flows", "10",
                    "--frames", str(n), "--batch", "32" if size <= 1518 else "4")
    assert result["good"] >= n


@pytest.mark.parametrize("takes", ["finished", "csum"])
@pytest.mark.parametrize("pair", ["vf-syn", "syn-syn", "syn-packed"])
@pytest.mark.parametrize("offload, size", [("csum", 1518), ("mix", 1518), ("mix", 65536)])
def test_receivers_that_take_less(ports, pair, takes, offload, size):
    """A virtio driver without GUEST_CSUM or GUEST_TSO gets checksums finished and large sends cut."""
    n = FRAMES if size <= 1518 else LARGE_FRAMES
    result = client(ports, pair, "--offload", offload, "--takes", takes, "--size", str(size),
                    "--frames", str(n), "--batch", "4")
    assert result["good"] >= n


def test_loss_is_seen(ports):
    """What the receiver's MTU has no room for is counted as undelivered, and nothing else."""
    ports.call("vport.set", name="b", mtu=1400)
    try:
        result = run_client(ports, "vf-syn", "--offload", "csum", "--size", "1518", "--frames", "320")
        assert result["undelivered"] == result["sent"] == 320 and result["good"] == 0
    finally:
        ports.call("vport.set", name="b", mtu=1504)


@pytest.mark.parametrize("pair", ["vf-vf", "vf-syn", "syn-packed"])
def test_flows_keep_their_order_over_queues(ports, pair):
    """By RSS over four queues, of which the client looks at each in turn."""
    result = client(ports, pair, "--queues", "4", "--flows", "100", "--frames", str(FRAMES))
    assert result["good"] >= FRAMES
