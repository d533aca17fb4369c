# SPDX-License-Identifier: BSD-3-Clause
"""Captures of vports and uplinks: what is recorded where, what ends them, and what must not harm anybody."""

from capture import IN, OUT, Capture
from frames import ethernet


def test_one_vport(shared_daemon, nics, tmp_path):
    a, b, _ = nics
    capture = Capture(shared_daemon, "vport", "a", path=tmp_path / "a.pcapng")
    there, back = ethernet(b.mac, a.mac, 100), ethernet(a.mac, b.mac, 200)
    a.send(there)
    assert len(b.receive(1)) == 1
    b.send(back)
    assert len(a.receive(1)) == 1
    assert "2 frames, 0 lost; stopped" in capture.stop()
    assert capture.frames("frame.interface_name", "frame.interface_description", "frame.len", "eth.src", "frame.comment") == [
        ("a", "vport a of switch lan, path vf", "100", a.mac.hex(":"), None),
        ("a", "vport a of switch lan, path vf", "200", b.mac.hex(":"), None)]
