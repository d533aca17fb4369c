# SPDX-License-Identifier: BSD-3-Clause
"""Checksums that a VF verifies (`verify-checksums`), as its driver counts them.

    82599, 82576 -- switch -- outside, which sends packets with checksums of its own making
"""

import os

import pytest

from stage import transfer

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = ["82599", "82576"]
KINDS = ["udp4", "tcp4", "udp6", "tcp6", "sctp4", "head4"]


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    for number, name in enumerate(NAMES, start=1):
        bare_stage.add_vport(name, model=name, mac=f"02:00:00:00:03:{number:02x}")
        bare_stage.boot(name, kernel=lab.kernels[0], mem=512)
    bare_stage.ready()
    return bare_stage


@pytest.fixture(params=NAMES)
def node(request, stage):
    return stage[request.param]


def errors_after(stage, node, *kinds):
    """What the driver has counted more, once all of these have come, and a last packet behind them."""
    outside = stage["outside"]
    assert outside.reaches(node)
    before = node.ethtool_statistics()["rx_csum_offload_errors"]
    outside.run(f"/usr/bin/python3 {HERE}/rawsend.py {outside.device} {node.mac} {outside.address} {node.address} "
                f"{outside.address6} {node.address6} {' '.join(kinds)}")
    assert outside.reaches(node)
    return node.ethtool_statistics()["rx_csum_offload_errors"] - before


@pytest.mark.asan
def test_driver_counts_wrong_checksums(stage, node):
    wrong = [f"{kind}-bad" for kind in KINDS]
    assert errors_after(stage, node, *wrong) == 0
    with stage.setting(node.name, verify_checksums=True):
        assert errors_after(stage, node, *KINDS) == 0
        for kind in KINDS:
            assert errors_after(stage, node, kind, f"{kind}-bad", kind, f"{kind}-bad") == 2, kind
    assert errors_after(stage, node, *wrong) == 0


def test_traffic_is_good(stage, node):
    """Frames that senders sum themselves, and those they leave to their adapters."""
    other = stage[[name for name in NAMES if name != node.name][0]]
    stage.set(node.name, verify_checksums=True)
    before = node.ethtool_statistics()["rx_csum_offload_errors"]
    try:
        for toggle in ("on", "off"):
            other.run(f"ethtool -K {other.device} tx {toggle}")
            assert transfer(other, node, 4)
            assert transfer(other, node, 1, v6=True)
            assert transfer(stage["outside"], node, 1)
    finally:
        stage.set(node.name, verify_checksums=None)
        other.run(f"ethtool -K {other.device} tx on")
    assert node.ethtool_statistics()["rx_csum_offload_errors"] == before
