# SPDX-License-Identifier: BSD-3-Clause
"""The link that a VF shows: what the administrator sets is there, and told, before he has his answer, and that comes
within 100 ms."""

import select
import time

import ixgbevf as hw
import pytest

UP, SPEED = 0x40000000, 0x30000000
SPEEDS = {"100mbit": 0x10000000, "1gbit": 0x20000000, "10gbit": 0x30000000, "auto": 0x30000000}
PATIENCE = 0.1  # of the fastest of some, as machines are slow


@pytest.fixture
def nic(shared_daemon):
    shared_daemon.call("vport.set", name="a", speed="auto", link="auto")
    with hw.Ixgbevf(shared_daemon.vf_socket("a")) as nic:
        nic.open()
        yield nic
    shared_daemon.call("vport.set", name="a", speed="auto", link="auto")


def change(daemon, nic, **fields):
    """Seconds until the answer; the interrupt is there by then."""
    start = time.monotonic()
    daemon.call("vport.set", name="a", **fields)
    took = time.monotonic() - start
    assert select.select([nic.irqs[2]], [], [], 0)[0], "no interrupt"
    nic.read(hw.VTEICR)
    drain(nic)
    return took


def fetch(nic):
    """The mailbox's message is a control message."""
    assert nic.read(hw.VFMAILBOX) & hw.MAILBOX_PFSTS
    assert nic.read(hw.VFMBMEM) & 0xffff == 0x100
    nic.write(hw.VFMAILBOX, hw.MAILBOX_ACK)


def drain(nic):
    if select.select([nic.irqs[2]], [], [], 0)[0]:
        hw.os.read(nic.irqs[2], 8)


@pytest.mark.parametrize("changes", [
    [("speed", "1gbit"), ("speed", "100mbit"), ("speed", "10gbit"), ("speed", "1gbit"), ("speed", "auto")],
    [("link", "down"), ("link", "up"), ("link", "down"), ("link", "auto")]])
def test_seen_at_once(shared_daemon, nic, changes):
    drain(nic)
    times = []
    for field, value in changes:
        times.append(change(shared_daemon, nic, **{field: value}))
        fetch(nic)
        links = nic.read(hw.VFLINKS)
        if field == "speed":
            assert links == UP | SPEEDS[value]
        else:
            assert bool(links & UP) == (value != "down")
            assert value != "down" or links == 0
    assert min(times) < PATIENCE, times


def test_flapping_link(shared_daemon, nic):
    """A driver that finds the link down leaves the message unread (ixgbevf): the next one comes at once, too."""
    drain(nic)
    for value in ("down", "up", "down", "auto"):
        change(shared_daemon, nic, link=value)
        assert bool(nic.read(hw.VFLINKS) & UP) == (value != "down")


@pytest.mark.parametrize("model", ["82599", "x540", "x550"])
def test_speeds_of_the_x550(shared_daemon, model):
    """The others show the next one below."""
    shared_daemon.call("vport.add", name="other", switch="lan", model=model, synthetic=False)
    try:
        with hw.Ixgbevf(shared_daemon.vf_socket("other")) as nic:
            for speed, links in {"2.5gbit": 0x38000000, "5gbit": 0x18000000}.items():
                shared_daemon.call("vport.set", name="other", speed=speed)
                assert nic.read(hw.VFLINKS) == UP | (links if model == "x550" else SPEEDS["1gbit"])
    finally:
        shared_daemon.call("vport.del", name="other")


def test_same_speed_is_no_news(shared_daemon, nic):
    """10 Gbit/s is what `auto` is: a driver that is told of it finds nothing changed."""
    shared_daemon.call("vport.set", name="a", speed="10gbit")
    assert nic.read(hw.VFLINKS) == UP | SPEEDS["10gbit"]
