# SPDX-License-Identifier: BSD-3-Clause
"""A synthetic with packed rings (`packed=on` in QEMU), beside one with split rings; with both, buffers used in
order are agreed upon, as far as the kernel knows of that.

    packed, split -- switch -- outside
"""

import itertools
import signal

import pytest

from guest import syn_args
from stage import in_parallel, make_data, transfer

PACKED, IN_ORDER = 34, 35  # VIRTIO_F_RING_PACKED, VIRTIO_F_IN_ORDER; virtio 1.2, 6
PAIRS = list(itertools.permutations(["packed", "split", "outside"], 2))
TOGGLES = ["tso off", "tx off", "gro off", "tx off rx off tso off gso off gro off sg off"]
MIB = 8


@pytest.fixture(scope="module")
def pair(lab, bare_stage):
    for name, extra in (("packed", "packed=on,in_order=on"), ("split", "packed=off,in_order=on")):
        bare_stage.add_vport(name, iov=False, synthetic=True)
        vport = bare_stage.vport(name)
        bare_stage.start(name, syn_args(vport["syn-socket"], vport["mac"], extra=extra),
                         kernel=lab.kernels[-1], mem=512)
    bare_stage.ready()
    in_parallel(lambda name: make_data(bare_stage[name], MIB), ["packed", "split", "outside"])
    return bare_stage


def test_negotiated(pair):
    for name in ("packed", "split"):
        bits = pair[name].run(f"cat $(readlink -f /sys/class/net/{pair[name].device}/device)/features")
        assert int(bits[PACKED]) == (name == "packed"), bits
        assert bits[IN_ORDER] == "1" and "in-order" in pair.vport(name)["syn-features"], bits


@pytest.mark.parametrize("source,target", PAIRS)
def test_tcp(pair, source, target):
    assert transfer(pair[source], pair[target], MIB)
    assert transfer(pair[source], pair[target], MIB, v6=True)


@pytest.mark.parametrize("toggle", TOGGLES)
def test_offloads_off(pair, toggle):
    node = pair["packed"]
    back = " ".join(f"{feature} on" for feature in toggle.split()[::2])
    node.run(f"ethtool -K {node.device} {toggle}")
    try:
        for other in ("split", "outside"):
            assert transfer(node, pair[other], MIB)
            assert transfer(pair[other], node, MIB)
    finally:
        node.run(f"ethtool -K {node.device} {back}")


def test_guest_resets(pair):
    pair.reset("packed")
    pair.works("packed", "split")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_daemon_restarts(pair, how):
    """QEMU says then that the rings are new; the guest goes on all the same."""
    for _ in range(2):
        with pair.traffic("packed", "outside"):
            pair.daemon.kill(how)
        pair.daemon.start()
        pair.wait_path("packed", "synthetic")
        pair.works("packed")
        pair.works("packed", "split")
