# SPDX-License-Identifier: BSD-3-Clause
"""A guest with 64 VFs, of all models: eight slots with eight functions each."""

import json
import time

import pytest

from guest import root_port, vf_device

MODELS = {"82599": 16, "x540": 16, "x550": 16, "82576": 8, "i350": 8}
NAMES = [f"{model}-{i}" for model, n in MODELS.items() for i in range(n)]
FUNCTIONS = 8
# Each adapter in a namespace of its own, since all are in one network.
SET_UP = """
for path in /sys/class/net/*/device/driver; do
    case $(readlink $path) in */ixgbevf|*/igbvf) ;; *) continue ;; esac
    dev=${path#/sys/class/net/}; dev=${dev%%/*}
    i=$((0x$(sed 's/.*://' /sys/class/net/$dev/address)))
    ip netns add n$i && ip link set $dev netns n$i && ip -n n$i addr add 10.0.0.$((100 + i))/24 dev $dev &&
        ip -n n$i link set $dev up && echo $i $dev
done
"""


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    devices = []
    for i, name in enumerate(NAMES):
        bare_stage.add_vport(name, model=name.split("-")[0], mac=f"02:00:00:00:06:{i:02x}")
        slot, function = divmod(i, FUNCTIONS)
        if function == 0:
            devices.append(root_port(f"rp{slot}", slot + 1))
        device = dict(vf_device(bare_stage.vport(name)["vf-socket"], f"rp{slot}", f"vf{i}"),
                      addr=f"0.{function}", multifunction=True)
        devices.append(["-device", json.dumps(device)])
    bare_stage.guests["many"] = lab.guest("many", devices=devices, mem=1024, cpus=2)
    return bare_stage


def test_all_bind_and_pass_frames(stage):
    guest = stage.guests["many"]
    guest.wait_ready(600)
    deadline = time.monotonic() + 300
    while len([row for row in guest.netdevs() if row["driver"] in ("ixgbevf", "igbvf")]) < len(NAMES):
        assert time.monotonic() < deadline, guest.netdevs()
        time.sleep(0.5)
    rows = [line.split() for line in guest.run(SET_UP, timeout=900).splitlines()]
    assert sorted(int(row[0]) for row in rows) == list(range(len(NAMES)))
    outside = stage["outside"].address
    lost = guest.run("".join(
        f"for try in 1 2 3 4 5; do ip netns exec n{i} ping -n -q -c 1 -W 5 {outside} >/dev/null && break; sleep 1; "
        f"[ $try = 5 ] && echo {i}; done; " for i in range(len(NAMES))) + "true", timeout=900)
    assert lost == ""
    assert {stage.vport(name)["path"] for name in NAMES} == {"vf"}
    assert all(stage.vport(name)[field] > 0 for name in NAMES for field in ("rx-frames", "tx-frames"))
