# SPDX-License-Identifier: BSD-3-Clause
"""Changes that are refused half way, and changes under a client: who is connected stays connected."""

import concurrent.futures
import contextlib
import os
import socket
import struct
import threading

import pytest
from frames import BROADCAST, ethernet, mac
from ixgbevf import OP_QUEUES, OP_SET_MAC, VFMAILBOX, Ixgbevf
from softiov import Daemon, RpcError
from vfio_user import wait_until
from virtio import VirtioNet


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


def has_vf(daemon, *names):
    return ["vf-socket" in daemon.show("vport", name) for name in names]


@contextlib.contextmanager
def listening(daemon, name):
    """Another process has the socket that the vport's VF would have."""
    path = f"{daemon.run_dir}/vf/{name}.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        try:
            yield
        finally:
            os.unlink(path)


@pytest.mark.parametrize("takers, taken, refusal", [
    (["t1", "t3"], [], "no VF left: 1 of 1 in use"), (["t1"], ["t1"], "another process listens"), (["t3"], ["t3"], "another process listens")],
    ids=["two want it", "its socket is taken", "its socket is taken, and it is the last"])
def test_a_vf_that_cannot_change_hands(daemon, nic, takers, taken, refusal):
    """Nobody gets the only VF, and the VM of who would have given it up still has it; so has one on another switch that would
    have gone."""
    daemon.call("switch.add", name="tiny", vfs=1)
    for name in "t1", "t2", "t3":
        daemon.call("vport.add", name=name, switch="tiny", iov=name == "t2", synthetic=False)
    before, new = objects(daemon), objects(daemon)
    for name in ["t2", *takers]:
        new["vport"][name]["iov"] = name != "t2"
    del new["vport"]["a"]
    with contextlib.ExitStack() as stack:
        giver = stack.enter_context(Ixgbevf(daemon.vf_socket("t2")))
        giver.open()
        for name in taken:
            stack.enter_context(listening(daemon, name))
        with pytest.raises(RpcError, match=refusal) as refused:
            apply(daemon, new)
        assert refused.value.data["object"] == "vport" and refused.value.data["name"] in takers
        assert objects(daemon) == before
        assert has_vf(daemon, "t1", "t2", "t3") == [False, True, False]
        assert_served(giver)
        assert_served(nic)


def test_a_synthetic_that_must_stay(daemon):
    """There is no VF that could serve its VM instead."""
    daemon.call("switch.add", name="none", vfs=0)
    daemon.call("vport.add", name="w", switch="none")
    with contextlib.closing(VirtioNet(daemon.show("vport", "w")["syn-socket"])) as nic:
        with pytest.raises(RpcError, match="no VF left: 0 of 0 in use.*allow a synthetic"):
            daemon.call("vport.set", name="w", synthetic=False)
        assert daemon.show("vport", "w")["syn-state"] == "active"
        nic.send(ethernet(BROADCAST, mac(daemon.show("vport", "w")["mac"])))


@pytest.mark.parametrize("synthetic", [False, True])
def test_a_vf_is_as_it_was(daemon, nic, synthetic):
    """Also where the refused change had to put something away for what came in its place."""
    daemon.call("vport.set", name="a", synthetic=synthetic)
    new = objects(daemon)
    new["vport"]["a"].update(iov=False, vlan=20, pins="vf-0=0")
    new["vport"]["c"].update(REPLACED)
    new["mirror"] = {"z": {"switch": "lan", "vport": "a", "to-vport": "b", "filter": "tcp prot 80"}}
    with pytest.raises(RpcError, match="syntax error"):
        apply(daemon, new)
    assert not daemon.show("queue", "a/vf-0")["pinned"]
    assert_served(nic)
    assert nic.mailbox([OP_QUEUES])[3] == 0  # no VLAN of its own
    daemon.call("vport.set", name="a", vlan=20)
    assert nic.mailbox([OP_QUEUES])[3] == 1


@pytest.mark.parametrize("names", ["cd", "dc"])
def test_vfs_that_were_given_and_taken_back(daemon, names):
    """Two get the VFs of two others, but one of them cannot use it: all four are as before, and so is who waits."""
    daemon.call("switch.add", name="two", vfs=2)
    for name in "t1", "t2":
        daemon.call("vport.add", name=name, switch="two", synthetic=False)
    for name in names:
        daemon.call("vport.add", name="t" + name, switch="two", iov=name == "c", synthetic=name == "c")
    new = objects(daemon)
    del new["vport"]["t1"]
    new["vport"]["t2"]["iov"] = False
    new["vport"]["tc"].update(synthetic=False, vlan=20)
    new["vport"]["td"]["iov"] = True
    with contextlib.ExitStack() as stack:
        nics = [stack.enter_context(Ixgbevf(daemon.vf_socket(name))) for name in ("t1", "t2")]
        for nic in nics:
            nic.open()
        with listening(daemon, "td"), pytest.raises(RpcError, match="another process listens"):
            apply(daemon, new)
        for nic in nics:
            assert_served(nic)
        assert has_vf(daemon, "t1", "t2", "tc", "td") == [True, True, False, False]
        assert daemon.show("switch", "two")["vfs-in-use"] == 2
    daemon.call("vport.del", name="t1")
    assert has_vf(daemon, "tc") == [True]
    with Ixgbevf(daemon.vf_socket("tc")) as nic:
        nic.open()
        assert nic.mailbox([OP_QUEUES])[3] == 0


def test_a_pool_that_was_to_grow(daemon):
    """It grows for two, of which one finds no VF all the same: the switch is as it was, and its vports can be changed."""
    daemon.call("switch.add", name="two", vfs=2)
    for name in "ta", "tb", "tc", "td":
        daemon.call("vport.add", name=name, switch="two")
    assert has_vf(daemon, "ta", "tb", "tc", "td") == [True, True, False, False]
    new = objects(daemon)
    new["switch"]["two"]["vfs"] = 3
    for name in "tc", "td":
        new["vport"][name]["synthetic"] = False
    with Ixgbevf(daemon.vf_socket("ta")) as nic:
        nic.open()
        with pytest.raises(RpcError, match="no VF left"):
            apply(daemon, new)
        assert daemon.show("switch", "two")["vfs"] == 2 and not daemon.show("switch", "two").get("problem")
        assert has_vf(daemon, "ta", "tb", "tc", "td") == [True, True, False, False]
        daemon.call("vport.set", name="ta", mtu=1400)
        assert_served(nic)


def test_one_replaced_and_one_removed(daemon):
    """Of a refused change the one that was to be removed has kept its VM."""
    daemon.call("switch.add", name="two", vfs=4)
    for name in "ta", "tb", "tc":
        daemon.call("vport.add", name=name, switch="two", synthetic=False)
    new = objects(daemon)
    new["vport"]["ta"]["queues"] = 2
    del new["vport"]["tb"]
    new["vport"]["tz"] = {"switch": "two"}
    with Ixgbevf(daemon.vf_socket("tb")) as nic:
        nic.open()
        with listening(daemon, "tz"), pytest.raises(RpcError, match="another process listens"):
            apply(daemon, new)
        assert_served(nic)


def test_a_pool_with_holes(daemon):
    """What was made smaller gives out no more than it has, whichever places are free."""
    daemon.call("switch.add", name="two", vfs=3)
    for name in "ta", "tb", "tc":
        daemon.call("vport.add", name=name, switch="two")
    daemon.call("vport.del", name="ta")
    daemon.call("switch.set", name="two", vfs=2)
    daemon.call("vport.add", name="td", switch="two")
    assert has_vf(daemon, "tb", "tc", "td") == [True, True, False]
    daemon.call("switch.set", name="two", **{"fdb-limit": 100})


def warnings(daemon, name):
    return [event["text"] for event in daemon.call("event.show")
            if event["kind"] == "warning" and event.get("object-name") == name]


def test_who_gets_the_vfs_at_a_start(tmp_path):
    """Those that have nothing else come first. One that comes too late, since its socket was taken, says what it lacks."""
    with Daemon(tmp_path) as daemon:
        daemon.call("switch.add", name="two", vfs=2)
        for name in "b", "c":
            daemon.call("vport.add", name=name, switch="two", synthetic=False)
        daemon.call("vport.add", name="a", switch="two")
        daemon.stop()
        daemon.start()
        assert has_vf(daemon, "a", "b", "c") == [False, True, True]
        assert warnings(daemon, "a") == []
        daemon.stop()
        with listening(daemon, "c"):
            daemon.start()
            assert has_vf(daemon, "a", "b", "c") == [True, True, False]
        daemon.call("vport.set", name="b", mtu=1400)  # after which all that do not run are tried
        late = daemon.show("vport", "c")
        assert late["problem"] == late["reasons"][0] and "no VF left: 2 of 2" in late["problem"]
        assert warnings(daemon, "c")[-1] == "has no VF: " + late["problem"]
        daemon.call("vport.set", name="b", mtu=1500)
        assert len(warnings(daemon, "c")) == 2  # the other is of the socket
        daemon.call("vport.set", name="a", iov=False)
        assert has_vf(daemon, "a", "b", "c") == [False, True, True]
        assert "problem" not in daemon.show("vport", "c")


def test_a_vf_that_cannot_be_made_at_a_start(tmp_path):
    """Its VM has the synthetic meanwhile, and it comes by itself as soon as it can."""
    with Daemon(tmp_path) as daemon:
        daemon.call("switch.add", name="lan")
        daemon.call("vport.add", name="a", switch="lan")
        daemon.stop()
        with listening(daemon, "a"):
            daemon.start()
            shown = daemon.show("vport", "a")
            assert shown["syn-state"] == "listening" and "another process listens" in shown["reasons"][0]
            assert warnings(daemon, "a") == ["has no VF: " + shown["reasons"][0]]
        assert wait_until(lambda: has_vf(daemon, "a") == [True], 10)


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
