# SPDX-License-Identifier: BSD-3-Clause
"""The mailbox: every version, every message, both ways of locking, and nonsense."""

import random
import struct

import pytest

import ixgbevf as hw
from ixgbevf import API, CTS, FAILURE, SUCCESS, Ixgbevf
from vfio_user import wait_until

GRANTED = ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7"]


@pytest.fixture
def nic(shared_daemon):
    with Ixgbevf(shared_daemon.vf_socket("a")) as nic:
        nic.reset()
        yield nic


@pytest.mark.parametrize("version", GRANTED)
def test_versions(shared_daemon, nic, version):
    assert nic.negotiate(version)
    assert shared_daemon.show("vport", "a")["vf-api"] == version
    assert nic.request(hw.OP_LPE, 1518)  # in the version's own way of locking
    nic.start()


@pytest.mark.parametrize("number", [1, 9, 10, 0xff, 0x80000000, 0xffffffff])
def test_versions_that_are_refused(nic, number):
    assert not nic.request(hw.OP_API, number)
    assert nic.request(hw.OP_API, API["1.5"])


# Which message is granted from which version on; the words that go with it.
MESSAGES = [
    ("set mac", [hw.OP_SET_MAC, 0x00000002, 0x0100], "1.0"),
    ("multicast", [hw.OP_MULTICAST | 1 << 16, 0x123], "1.0"),
    ("lpe", [hw.OP_LPE, 1518], "1.0"),
    ("clear mac filters", [hw.OP_MACVLAN], "1.0"),
    ("vlan 0", [hw.OP_VLAN | 1 << 16, 0], "1.0"),
    ("queues", [hw.OP_QUEUES], "1.1"),
    ("reta", [hw.OP_RETA], "1.2"),
    ("rss key", [hw.OP_RSS_KEY], "1.2"),
    ("xcast multi", [hw.OP_XCAST, 1], "1.2"),
    ("xcast promiscuous", [hw.OP_XCAST, 3], "1.3"),
    ("xcast 4", [hw.OP_XCAST, 4], None),
    ("ipsec add", [hw.OP_IPSEC_ADD], None),
    ("ipsec del", [hw.OP_IPSEC_DEL], None),
    ("link state", [hw.OP_LINK_STATE], "1.2"),
    ("pf link state", [hw.OP_PF_LINK_STATE], "1.6"),
    ("features", [hw.OP_FEATURES, 1], "1.7"),
    ("unknown 0", [0], None), ("unknown 7", [7], None), ("unknown 0xf", [0xf], None),
    ("unknown 0x13", [0x13], None), ("control message", [0x100], None), ("unknown 0xffff", [0xffff], None)]


@pytest.mark.parametrize("version", GRANTED)
def test_messages_of_each_version(nic, version):
    assert nic.negotiate(version)
    for name, words, since in MESSAGES:
        wanted = since is not None and GRANTED.index(since) <= GRANTED.index(version)
        assert nic.request(*words) == wanted, name
        assert nic.answer[0] & CTS, name


def test_answers_tell_the_truth(nic):
    assert nic.negotiate("1.7")
    assert nic.request(hw.OP_QUEUES) and nic.answer[1:5] == [2, 2, 0, 0]
    assert nic.request(hw.OP_LINK_STATE) and nic.answer[1] == 1
    assert nic.request(hw.OP_PF_LINK_STATE) and nic.answer[1:3] == [0x80, 1]
    assert nic.request(hw.OP_FEATURES, 0xffffffff) and nic.answer[1] == 0  # no IPsec


@pytest.mark.parametrize("size, granted", [(0, False), (67, False), (68, True), (1518, True), (1519, False),
                                           (9728, False), (0xffffffff, False)])
def test_frame_sizes(nic, size, granted):
    assert nic.request(hw.OP_LPE, size) == granted


@pytest.mark.parametrize("address", ["00:00:00:00:00:00", "01:00:00:00:00:01", "ff:ff:ff:ff:ff:ff",
                                     "02:00:00:00:00:02"])
def test_addresses_that_are_refused(nic, address):
    words = struct.unpack("<II", bytes.fromhex(address.replace(":", "")) + b"\0\0")
    assert not nic.request(hw.OP_SET_MAC, *words)
    assert not nic.request(hw.OP_MACVLAN | 1 << 16, *words)


def test_nothing_is_granted_before_the_reset(shared_daemon):
    with Ixgbevf(shared_daemon.vf_socket("a")) as nic:
        assert nic.mailbox_wait(hw.MAILBOX_RSTD)
        for words in ([hw.OP_API, 6], [hw.OP_LPE, 1518], [hw.OP_SET_MAC, 2, 0x100]):
            answer = nic.mailbox(words, style=1)
            assert answer[0] == words[0] | FAILURE
        nic.start()
        assert shared_daemon.show("vport", "a")["path"] == "none"


def test_a_reset_forgets_what_was_agreed(nic):
    assert nic.negotiate("1.7") and nic.request(hw.OP_PF_LINK_STATE)
    nic.reset()
    assert not nic.request(hw.OP_PF_LINK_STATE)
    assert nic.mac == bytes.fromhex("020000000001")


def test_reading_clears_the_signals(nic):
    nic.write(hw.VFCTRL, 0x04000000)
    assert nic.read(hw.VFMAILBOX) == hw.MAILBOX_RSTD
    assert nic.read(hw.VFMAILBOX) == 0


def test_who_holds_the_buffer(nic):
    """From 1.5 on the answer waits until the VF lets go of it."""
    assert nic.negotiate("1.5")
    nic.write(hw.VFMAILBOX, hw.MAILBOX_VFU)
    nic.write(hw.VFMBMEM, hw.OP_QUEUES)
    nic.write(hw.VFMAILBOX, hw.MAILBOX_VFU | hw.MAILBOX_REQ)
    assert nic.read(hw.VFMAILBOX) == hw.MAILBOX_VFU | hw.MAILBOX_PFACK
    assert nic.read(hw.VFMBMEM) == hw.OP_QUEUES
    nic.write(hw.VFMAILBOX, 0)
    assert nic.read(hw.VFMAILBOX) == hw.MAILBOX_PFSTS
    assert nic.read(hw.VFMBMEM) == hw.OP_QUEUES | SUCCESS | CTS


@pytest.mark.parametrize("version", ["1.4", "1.5"])
def test_the_guest_learns_of_changes(shared_daemon, nic, version):
    assert nic.negotiate(version)
    nic.start()
    nic.read(hw.VFMAILBOX)
    shared_daemon.call("vport.set", name="a", link="down")
    try:
        assert nic.mailbox_wait(hw.MAILBOX_PFSTS)
        assert nic.read(hw.VFMBMEM) == 0x100 | CTS and nic.read(hw.VFLINKS) == 0
        nic.write(hw.VFMAILBOX, hw.MAILBOX_ACK)
    finally:
        shared_daemon.call("vport.set", name="a", link="auto")
    assert nic.mailbox_wait(hw.MAILBOX_PFSTS)
    nic.write(hw.VFMAILBOX, hw.MAILBOX_ACK)
    # A new address cannot be taken up without a reset: CTS goes.
    shared_daemon.call("vport.set", name="a", mac="02:00:00:00:00:a1")
    try:
        assert nic.mailbox_wait(hw.MAILBOX_PFSTS)
        assert nic.read(hw.VFMBMEM) == 0x100
        nic.reset()
        assert nic.mac == bytes.fromhex("0200000000a1")
    finally:
        shared_daemon.call("vport.set", name="a", mac="02:00:00:00:00:01")


def test_every_operation_with_random_words(shared_daemon, nic):
    """Each is answered once, and the VF works afterwards."""
    source = random.Random(20)
    for version in GRANTED:
        nic.reset()
        assert nic.negotiate(version)
        for op in list(range(0x20)) + [0x100, 0xffff]:
            if op in (hw.OP_RESET, hw.OP_API):
                continue
            for info in (0, 1, 2, 0xff):
                words = [op | info << 16] + [source.choice([0, 1, 0xffffffff, source.getrandbits(32)])
                                             for _ in range(15)]
                answer = nic.mailbox(words)
                assert answer is not None and answer[0] & (SUCCESS | FAILURE)
    nic.reset()
    assert nic.negotiate("1.5")
    assert shared_daemon.show("vport", "a")["guest-mac"] == "02:00:00:00:00:01"


def test_random_writes_to_every_register(shared_daemon, nic):
    """Also in an order that no driver has; then a reset brings the VF back."""
    source = random.Random(21)
    for _ in range(4000):
        offset = source.choice([hw.VFMAILBOX, hw.VFMBMEM, source.randrange(0, 0x4000, 4)])
        value = source.choice([0, 1, 2, 4, 5, 6, 7, 0xffffffff, source.getrandbits(32)])
        nic.write(offset, value)
        if source.random() < 0.2:
            nic.read(source.randrange(0, 0x4000, 4))
    nic.reset()
    assert nic.negotiate("1.7")
    nic.start()
    assert wait_until(lambda: shared_daemon.show("vport", "a")["path"] == "vf")


def test_messages_are_counted(shared_daemon, nic):
    index = shared_daemon.show("vport", "a")["vf"]
    before = shared_daemon.show("vf", f"lan/{index}")
    for _ in range(10):
        nic.request(hw.OP_LPE, 1518)
    after = shared_daemon.show("vf", f"lan/{index}")
    assert after["messages"] - before["messages"] == 10
    assert after["traps"] > before["traps"]
