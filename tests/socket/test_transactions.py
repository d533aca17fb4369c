# SPDX-License-Identifier: BSD-3-Clause
"""Changes that are refused half way, and changes under a client: who is connected stays connected."""

import concurrent.futures
import os
import struct
import threading

import pytest
from frames import BROADCAST, ethernet, mac
from ixgbevf import OP_SET_MAC, VFMAILBOX, Ixgbevf
from softiov import RpcError
from vfio_user import wait_until


def objects(daemon):
    return daemon.call("config.export")["objects"]


def apply(daemon, new):
    return daemon.rpc.call("config.apply", {"objects": new})


def assert_served(nic):
    """It sends, and its messages are answered."""
    nic.send(b"\xff" * 6 + b"\x02\0\0\0\0\x01" + b"\x08\0" + bytes(46))
    nic.client.device_info()


@pytest.fixture
def nic(daemon):
    with Ixgbevf(daemon.vf_socket("a")) as nic:
        nic.open()
        yield nic


CHANGES = [
    ("a vport is removed", lambda new: new["vport"].pop("a")),
    ("its VF is taken away", lambda new: new["vport"]["a"].update(iov=False)),
    ("it changes its adapter", lambda new: new["vport"]["a"].update(iov=False, synthetic=True)),
    ("its owner changes", lambda new: new["vport"]["a"].update(owner="daemon")),
    ("the switch is removed", lambda new: (new["vport"].clear(), new["switch"].clear()))]


@pytest.mark.parametrize("what, change", CHANGES, ids=[what for what, _ in CHANGES])
def test_a_refused_change_disconnects_nobody(daemon, nic, what, change):
    """What comes last in it is an uplink that cannot be opened."""
    before = objects(daemon)
    owner = os.stat(daemon.vf_socket("a")).st_uid
    new = objects(daemon)
    change(new)
    new["switch"]["lan2"] = {}
    new["uplink"] = {"u": {"switch": "lan2", "device": "no-such-if0"}}
    with pytest.raises(RpcError, match="no-such-if0"):
        apply(daemon, new)
    assert objects(daemon) == before
    assert daemon.show("vport", "a")["vf-state"] == "active"
    assert os.stat(daemon.vf_socket("a")).st_uid == owner
    assert_served(nic)


def counted(daemon):
    return (daemon.show("acl", "a/all")["frames"], daemon.call("meter.show", name="a/sent")[0]["frames"],
            daemon.show("mirror", "m")["frames"])


REPLACED = {"model": "x540"}  # its place is needed at once, so what goes does so before the change is whole
RULES = [("they go", lambda new: (new["acl"].clear(), new["mirror"].clear())),
         ("they change", lambda new: (new["acl"]["a/all"].update(action="deny"), new["mirror"]["m"].update(direction="in"))),
         ("an adapter is replaced", lambda new: (new["acl"].clear(), new["vport"]["c"].update(REPLACED)))]


@pytest.mark.parametrize("what, change", RULES, ids=[what for what, _ in RULES])
def test_a_refused_change_of_rules(daemon, nic, what, change):
    """What they have counted stays, and they hold as before. What comes last is a mirror whose filter is none."""
    daemon.call("acl.add", name="a/all", direction="out", action="allow")
    daemon.call("acl.add", name="a/sent", direction="out", action="meter")
    daemon.call("mirror.add", name="m", switch="lan", vport="a", **{"to-vport": "b"})
    for _ in range(5):
        assert_served(nic)
    assert wait_until(lambda: counted(daemon) == (5, 5, 5))
    before = objects(daemon)
    new = objects(daemon)
    change(new)
    new["mirror"]["z"] = {"switch": "lan", "vport": "a", "to-vport": "b", "filter": "tcp prot 80"}
    with pytest.raises(RpcError, match="syntax error"):
        apply(daemon, new)
    assert objects(daemon) == before
    assert counted(daemon) == (5, 5, 5)
    assert_served(nic)
    assert wait_until(lambda: counted(daemon) == (6, 6, 6))


VPORT = [("rates", lambda new: (new["vport"]["b"].update({"max-rx": 10**9}), new["qos-policy"]["lan/q"].update(throttle=10**9))),
         ("no trust", lambda new: new["vport"]["a"].update(trust=False)),
         ("another address", lambda new: new["vport"]["a"].update(mac="02:00:00:00:00:0a")),
         ("no link", lambda new: new["vport"]["a"].update(link="down"))]


@pytest.mark.parametrize("what, change", VPORT, ids=[what for what, _ in VPORT])
def test_a_refused_change_of_a_vport(daemon, nic, what, change):
    """Rates are still overdrawn, and a trusted guest has its address and hears nothing. What comes last is a mirror whose
    filter is none."""
    daemon.call("vport.set", name="a", trust=True)
    daemon.call("vport.set", name="b", burst=1, **{"max-rx": 1000})
    daemon.call("qos-policy.add", name="lan/q", vport="c", filter="others", throttle=1000)
    changed = mac("02:00:00:00:00:99")
    assert nic.request(OP_SET_MAC, *struct.unpack("<2I", changed + b"\0\0"))
    assert wait_until(lambda: daemon.show("vport", "a")["guest-mac"] == "02:00:00:00:00:99")

    def drops():
        return [daemon.show("vport", name)["drop-reasons"].get(reason, 0) for name, reason in (("b", "policed"), ("c", "throttled"))]

    with Ixgbevf(daemon.vf_socket("b")) as peer, Ixgbevf(daemon.vf_socket("c")) as other:
        peer.open()
        other.open()

        def send():
            nic.send(ethernet(mac("02:00:00:00:00:02"), changed, 1514))
            other.send(ethernet(changed, other.mac, 1514))

        send()
        send()
        assert wait_until(lambda: drops() == [1, 1])
        nic.read(VFMAILBOX)  # which empties it
        quiet = nic.read(VFMAILBOX)
        new = objects(daemon)
        change(new)
        new["mirror"] = {"z": {"switch": "lan", "vport": "a", "to-vport": "b", "filter": "tcp prot 80"}}
        with pytest.raises(RpcError, match="syntax error"):
            apply(daemon, new)
        assert nic.read(VFMAILBOX) == quiet
        assert daemon.show("vport", "a")["guest-mac"] == "02:00:00:00:00:99"
        send()
        assert wait_until(lambda: drops() == [2, 2])


def test_rules_are_replaced_at_once(daemon, nic):
    """One rule goes and another one comes in a change that makes room on its way: at no time there is none."""
    daemon.call("acl.add", name="a/0", direction="out", action="deny")
    frame, n, done = mac("02:00:00:00:00:02") + nic.mac + b"\x08\0" + bytes(46), 0, threading.Event()

    def changes():
        try:
            for i in range(1, 7):
                new = objects(daemon)
                new["acl"] = {f"a/{i}": {"direction": "out", "action": "deny"}}
                new["vport"]["c"]["model"] = "x540" if i % 2 else "82599"
                apply(daemon, new)
        finally:
            done.set()

    with concurrent.futures.ThreadPoolExecutor(1) as changer:
        changed = changer.submit(changes)
        while not done.is_set():
            nic.send(frame)
            n += 1
        changed.result()
    assert wait_until(lambda: daemon.show("vport", "a")["drop-reasons"].get("acl", 0) == n)
    assert daemon.show("vport", "a")["drops"] == n


def test_owner_of_a_vport_in_use(daemon, nic):
    path = daemon.vf_socket("a")
    mine = os.stat(path).st_uid
    if mine != 0:
        pytest.skip("only root can give a socket away")
    daemon.call("vport.set", name="a", synthetic=True)
    paths = [path, daemon.show("vport", "a")["syn-socket"]]
    for owner, uid in ("daemon", 1), ("", mine):
        daemon.call("vport.set", name="a", owner=owner)
        assert [os.stat(path).st_uid for path in paths] == [uid, uid]
        assert_served(nic)


@pytest.mark.parametrize("giver, taker", [("t1", "t2"), ("t2", "t1"), ("t2", None)], ids=["first", "last", "to a new one"])
def test_a_vf_changes_hands_in_one_apply(daemon, giver, taker):
    """The pool has one VF; who gives it up and who gets it are in the same change, in any order."""
    daemon.call("switch.add", name="tiny", vfs=1)
    for name in sorted(filter(None, (giver, taker))):
        daemon.call("vport.add", name=name, switch="tiny", iov=name == giver, synthetic=False)
    new = objects(daemon)
    new["vport"][giver]["iov"] = False
    if taker is None:
        taker = "t1"
        new["vport"] = {"t1": {"switch": "tiny", "synthetic": False}, **new["vport"]}
        new["acl"] = {"t1/all": {"direction": "out", "action": "allow"}}
    else:
        new["vport"][taker]["iov"] = True
    apply(daemon, new)
    assert ["vf-socket" in daemon.show("vport", name) for name in (giver, taker)] == [False, True]
    # And a pool can shrink as its vports go.
    new = objects(daemon)
    del new["vport"][taker]
    new.pop("acl", None)
    new["switch"]["tiny"]["vfs"] = 0
    apply(daemon, new)
    assert daemon.show("switch", "tiny")["vfs"] == 0


def test_a_vf_that_cannot_change_hands(daemon):
    """One VF, and two that want it: nobody gets it, and who would have given it up still has it."""
    daemon.call("switch.add", name="tiny", vfs=1)
    for name in "t1", "t2", "t3":
        daemon.call("vport.add", name=name, switch="tiny", iov=name == "t2", synthetic=False)
    before, new = objects(daemon), objects(daemon)
    for name, vport in new["vport"].items():
        vport["iov"] = name != "t2"
    with pytest.raises(RpcError, match="no VF left: 1 of 1 in use") as refused:
        apply(daemon, new)
    assert refused.value.data["object"] == "vport" and refused.value.data["name"] in ("t1", "t3")
    assert objects(daemon) == before
    assert ["vf-socket" in daemon.show("vport", name) for name in ("t1", "t2", "t3")] == [False, True, False]


def test_a_switch_replaced_in_one_apply(daemon, nic):
    """All that was on it goes, and the same names are there again, elsewhere."""
    new = objects(daemon)
    new["switch"] = {"other": {}}
    for vport in new["vport"].values():
        vport["switch"] = "other"
    apply(daemon, new)
    assert nic.client.closed_by_server()
    assert [one["name"] for one in daemon.call("switch.show")] == ["other"]
    with Ixgbevf(daemon.vf_socket("a")) as again:
        again.open()


def test_counters_outlive_the_adapter(daemon, nic):
    for _ in range(20):
        assert_served(nic)
    assert wait_until(lambda: daemon.show("vport", "a")["tx-frames"] == 20)
    before = daemon.show("vport", "a")
    assert wait_until(lambda: daemon.show("vport", "a")["tx-rate"] == 0)
    daemon.call("vport.set", name="a", iov=False)
    assert "vf-socket" not in daemon.show("vport", "a")
    for _ in range(3):
        now = daemon.show("vport", "a")
        assert [now[key] for key in ("tx-frames", "tx-bytes", "drops")] == \
            [before[key] for key in ("tx-frames", "tx-bytes", "drops")]
        assert wait_until(lambda: daemon.show("vport", "a")["tx-rate"] == 0)


def test_a_refused_vport_was_never_there(daemon):
    """Making room for it publishes its switch: workers that flood meanwhile must not see half a port."""
    daemon.call("switch.add", name="one", vfs=1)
    daemon.call("vport.add", name="first", switch="one", mac="02:00:00:00:00:0a", synthetic=False)
    nic = Ixgbevf(daemon.vf_socket("first"))
    nic.open()
    stop = threading.Event()

    def flood():
        while not stop.is_set():
            for _ in range(32):
                nic.put_frame(ethernet(BROADCAST, mac("02:00:00:00:00:0a")))
            nic.kick()
            nic.sent()

    sender = threading.Thread(target=flood)
    sender.start()
    try:
        for _ in range(200):
            with pytest.raises(RpcError, match="no VF left"):
                daemon.call("vport.add", name="second", switch="one", synthetic=False)
    finally:
        stop.set()
        sender.join()
        nic.close()
    drops = daemon.show("vport", "first")["drop-reasons"]
    assert set(drops) == {"no-route"}


def test_addresses_go_with_their_vf(daemon, nic):
    """What a trusted guest set is not left to a vport without the VF that could have set it."""
    own, new = mac("02:00:00:00:00:01"), mac("02:00:00:00:00:99")
    daemon.call("vport.set", name="a", trust=True, mac="02:00:00:00:00:01")
    peer = Ixgbevf(daemon.vf_socket("b"))
    peer.open()
    assert nic.request(OP_SET_MAC, *struct.unpack("<2I", new + b"\0\0"))
    assert wait_until(lambda: daemon.show("vport", "a")["guest-mac"] == "02:00:00:00:00:99")
    daemon.call("vport.set", name="a", iov=False, synthetic=True, trust=False)
    peer.send(ethernet(own, peer.mac))
    peer.send(ethernet(new, peer.mac))
    assert wait_until(lambda: daemon.show("vport", "b")["drop-reasons"] == {"no-route": 1})
    assert daemon.show("vport", "a")["drop-reasons"].get("down") == 1
    peer.close()
