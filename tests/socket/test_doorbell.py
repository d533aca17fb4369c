# SPDX-License-Identifier: BSD-3-Clause
"""Queue registers in mapped pages and by messages: which of them, when it changes, and what a driver finds."""

import ixgbevf as hw
import pytest
from igbvf import Igbvf
from softiov import Daemon

FAMILIES = {"82599": hw.Ixgbevf, "82576": Igbvf}
PATTERNS = [0x5a5a5a5a, 0xa5a5a5a5, 0, 0xffffffff]  # those of the drivers' register tests


@pytest.fixture(scope="module")
def doorbells(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp("daemon")) as daemon:
        daemon.call("switch.add", name="lan")
        for model in FAMILIES:
            for doorbell in ("trap", "mapped"):
                daemon.call("vport.add", name=f"{model}-{doorbell}", switch="lan", model=model, synthetic=False,
                            doorbell=doorbell)
        yield daemon


def shown(daemon, vport):
    return next(vf["doorbell"] for vf in daemon.call("vf.show") if vf["vport"] == vport)


def warnings(daemon, vport):
    return [event["text"] for event in daemon.call("event.show")
            if (event["kind"], event["object-name"]) == ("warning", vport)]


@pytest.mark.parametrize("model", FAMILIES)
def test_frames(doorbells, model):
    """One that traps and one that does not, of the same kind, and nothing is lost between them."""
    kind = FAMILIES[model]
    with kind(doorbells.vf_socket(f"{model}-trap")) as trap, kind(doorbells.vf_socket(f"{model}-mapped")) as mapped:
        assert isinstance(trap.regs, hw.TrappedRegisters) and isinstance(mapped.regs, hw.Registers)
        for nic in (trap, mapped):
            nic.open()
        for one, other in ((trap, mapped), (mapped, trap)):
            for size in (60, 1514):
                frame = other.mac + one.mac + b"\x88\xb5" + bytes(size - 14)
                one.send(frame)
                assert [bytes(got.data) for got in other.receive(1)] == [frame]


@pytest.mark.parametrize("model", FAMILIES)
def test_fixed_bits(doorbells, model):
    """What a trapped register keeps of a pattern is what the controller would."""
    with FAMILIES[model](doorbells.vf_socket(f"{model}-trap")) as nic:
        nic.reset()
        for register, mask in ((nic.RDBAL, 0xffffff80), (nic.RDLEN, 0xfff80), (nic.RDT, 0xffff),
                               (nic.TDBAL, 0xffffff80), (nic.TDLEN, 0xfff80), (nic.TDT, 0xffff)):
            for pattern in PATTERNS:
                nic.write(register, pattern)
                assert nic.read(register) == pattern & mask, (hex(register), hex(pattern))


def test_change(doorbells):
    """Who is attached keeps what it has, and the administrator is told so; the next one has the other."""
    name, path = "82599-mapped", doorbells.vf_socket("82599-mapped")
    try:
        with hw.Ixgbevf(path) as nic:
            nic.open()
            doorbells.call("vport.set", name=name, doorbell="trap")
            assert shown(doorbells, name) == "mapped"
            assert [told for told in warnings(doorbells, name) if "attached anew" in told]
            assert nic.client.region_info(0).argsz > 32
        hw.wait_until(lambda: shown(doorbells, name) == "trap")
        with hw.Ixgbevf(path) as nic:
            assert isinstance(nic.regs, hw.TrappedRegisters)
            before = warnings(doorbells, name)
            doorbells.call("vport.set", name=name, doorbell="trap")
            assert warnings(doorbells, name) == before
    finally:
        doorbells.call("vport.set", name=name, doorbell=None)
    hw.wait_until(lambda: shown(doorbells, name) == "mapped")
