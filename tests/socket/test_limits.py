# SPDX-License-Identifier: BSD-3-Clause
"""What a controller has for all its VFs: how many there are, their MAC and VLAN filters, and how it is lifted."""

import contextlib

import ixgbevf as hw
import pytest
from igbvf import ADD, FILTER_ADD, FILTER_CLEAR, Igbvf
from softiov import RpcError

MODELS = {"82599": (64, 128, 64), "x540": (64, 128, 64), "x550": (64, 128, 64), "82576": (8, 24, 32),
          "i350": (8, 32, 32)}  # VFs, MAC and VLAN filters
ROOM = 16  # for MAC filters in each VF


def add(daemon, name, model, **fields):
    daemon.call("vport.add", name=name, switch="limits", model=model, **{"synthetic": False, **fields})


@pytest.fixture
def switch(daemon):
    daemon.call("switch.add", name="limits")
    return daemon


@pytest.mark.parametrize("model", MODELS)
def test_vfs(switch, model):
    n = MODELS[model][0]
    for i in range(n):
        add(switch, f"v{i}", model)
    with pytest.raises(RpcError, match=rf"{n}.* in use \(softiov switch set limits vfs"):
        add(switch, "one-more", model)
    # One that has another adapter waits, and gets its VF as soon as the limit is lifted.
    add(switch, "waits", model, synthetic=True)
    vport = switch.show("vport", "waits")
    assert "vf-socket" not in vport and str(n) in vport["reasons"][0]
    if n < 64:
        add(switch, "other", "82599" if model != "82599" else "x540")  # its own limit
    switch.call("switch.set", name="limits", vfs=100)
    assert "vf-socket" in switch.show("vport", "waits")
    add(switch, "one-more", model)
    with pytest.raises(RpcError, match="vfs"):
        switch.call("switch.set", name="limits", vfs=None)
    for name in ("waits", "one-more"):
        switch.call("vport.del", name=name)
    switch.call("switch.set", name="limits", vfs=None)


@contextlib.contextmanager
def drivers(daemon, model, n):
    with contextlib.ExitStack() as stack:
        nics = []
        for i in range(n):
            add(daemon, f"v{i}", model, trust=True, trunk="1-4094")
            nic = stack.enter_context((Igbvf if model in ("82576", "i350") else hw.Ixgbevf)(daemon.vf_socket(f"v{i}")))
            nic.reset()
            if not isinstance(nic, Igbvf):
                assert nic.negotiate("1.5")
            nics.append(nic)
        yield nics


def add_mac(nic, i):
    words = (0x00000602, i + 256 * int.from_bytes(nic.mac[-1:], "big"))
    if isinstance(nic, Igbvf):
        return nic.request(hw.OP_SET_MAC | FILTER_ADD, *words)
    return nic.request(hw.OP_MACVLAN | i + 1 << 16, *words)


def clear_macs(nic):
    if isinstance(nic, Igbvf):
        return nic.request(hw.OP_SET_MAC | FILTER_CLEAR, 0, 0)
    return nic.request(hw.OP_MACVLAN, 0, 0)


@pytest.mark.parametrize("model", MODELS)
def test_mac_filters(switch, model):
    """Each VF's own address is one of them."""
    n = MODELS[model][1] // ROOM + 1
    left = MODELS[model][1] - n
    with drivers(switch, model, n) as nics:
        granted = [sum(add_mac(nic, i) for i in range(ROOM)) for nic in nics]
        assert granted == [min(ROOM, max(0, left - ROOM * i)) for i in range(n)]
        assert "filters any" in switch.log()
        # What one gives back another one may have.
        assert clear_macs(nics[0]) and add_mac(nics[-1], 0)
        switch.call("switch.set", name="limits", filters="any")
        assert all(add_mac(nics[0], i) for i in range(ROOM))
        switch.call("switch.set", name="limits", filters=None)


@pytest.mark.parametrize("model", MODELS)
def test_vlan_filters(switch, model):
    n = MODELS[model][2]
    with drivers(switch, model, 2) as (one, other):
        def vlan(nic, vid, add_it=True):
            return nic.mailbox([hw.OP_VLAN | (ADD if add_it else 0), vid])[0] & hw.SUCCESS != 0

        assert all(vlan(one, vid) for vid in range(1, n + 1))
        assert not vlan(one, n + 1) and not vlan(other, n + 1)
        assert vlan(one, n) and vlan(other, n)  # one filter serves both
        assert vlan(one, n, False) and not vlan(one, n + 1)
        assert vlan(other, n, False) and vlan(one, n + 1)
        switch.call("switch.set", name="limits", filters="any")
        assert all(vlan(other, vid) for vid in range(1000, 1100))
