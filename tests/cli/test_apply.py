# SPDX-License-Identifier: BSD-3-Clause
"""`softiov apply` and `softiov export`: differences, all or nothing, where a file is wrong."""
import json
import os
import random
import signal
import subprocess
import threading
import time

import pytest
import yaml

from conftest import SOFTIOV
from softiov import wait_until

GOOD = """\
switch:
  lan:
    fdb-age: 5m
  wan: {}
uplink:
  up1: { switch: wan, device: "net_tap0,iface=t0" }
vport:
  web1:
    switch: lan
    mac: 02:00:00:00:00:01
    vlan: 10
    iov: off
  web2: { switch: lan, mac: 02:00:00:00:00:02, trunk: "20,21-30" }
"""


def test_apply(lab):
    path = lab.write(GOOD)
    shown = lab.ok("apply", "--dry-run", path)
    assert shown == ("+ switch lan\n"
                     "+ switch wan\n"
                     "+ uplink up1\n"
                     "+   switch wan\n"
                     "+   device net_tap0,iface=t0\n"
                     "+ vport web1\n"
                     "+   switch lan\n"
                     "+   mac 02:00:00:00:00:01\n"
                     "+   vlan 10\n"
                     "+   iov off\n"
                     "+ vport web2\n"
                     "+   switch lan\n"
                     "+   mac 02:00:00:00:00:02\n"
                     "+   trunk 20-30\n")
    assert lab.json("vport") == []
    assert lab.ok("apply", path) == shown
    assert lab.ok("apply", path) == "no difference\n"
    changed = GOOD.replace("vlan: 10", "vlan: 11").replace("  wan: {}\n", "  wan: {vfs: 5}\n")
    changed = changed.replace("up1:", "up2:")
    with open(lab.write(changed)) as stdin:
        assert lab.ok("apply", "-", stdin=stdin) == (
            "~ switch wan\n~   vfs 64 -> 5\n"
            "- uplink up1\n-   switch wan\n-   device net_tap0,iface=t0\n"
            "+ uplink up2\n+   switch wan\n+   device net_tap0,iface=t0\n"
            "~ vport web1\n~   vlan 10 -> 11\n")
    assert sum(line.startswith("- ") and line[2] != " "
               for line in lab.ok("apply", lab.write("{}")).splitlines()) == 5
    assert lab.ok("export") == "{}\n"


def test_replace(lab):
    lab.ok("apply", lab.write(GOOD))
    assert lab.ok("apply", lab.write(GOOD.replace("switch: lan, mac", "switch: wan, mac"))) == (
        "~ vport web2 (removed and added again)\n~   switch lan -> wan\n")


def test_exchange(lab):
    """Two vports exchange MACs, a third takes the name of a switch that goes."""
    lab.ok("apply", lab.write(GOOD))
    swapped = GOOD.replace(":01", ":xx").replace(":02", ":01").replace(":xx", ":02")
    assert lab.ok("apply", lab.write(swapped)).count("mac") == 2


def test_generated_mac_stays(lab):
    path = lab.write("switch: {lan: }\nvport: {a: {switch: lan}}\n")
    # What the trial generated would not be what the vport gets.
    assert lab.ok("apply", path) == "+ switch lan\n+ vport a\n+   switch lan\n"
    [before] = lab.json("vport")
    assert lab.ok("apply", path) == "no difference\n"
    assert lab.json("vport") == [before]


def test_export_round_trip(lab):
    lab.ok("apply", lab.write(GOOD))
    text = lab.ok("export")
    assert yaml.safe_load(text)["vport"]["web1"]["vlan"] == 10
    assert lab.ok("apply", lab.write(text)) == "no difference\n"
    lab.ok("apply", lab.write("{}"))
    lab.ok("apply", lab.write(text))
    assert lab.ok("export") == text
    # Values that YAML could read as something else.
    for device in ("~", "null", "# x", "a: b", "- a", "'", '"', "on", "{", "1", " x ", "*a", "\u00e4"):
        lab.ok("uplink", "add", "odd", "switch", "lan", "--", "device", device)
        assert lab.ok("apply", lab.write(lab.ok("export"))) == "no difference\n", device
        assert lab.json("uplink", "show", "odd")[0]["device"] == device
        lab.ok("uplink", "del", "odd")
    assert json.loads(lab.ok("--json", "export"))["vport"]["web2"]["trunk"] == "20-30"


@pytest.mark.parametrize("old, new, where, line", [
    ("vlan: 10", "vlan: 5000", "11:11",
     "vport 'web1': vlan: '5000' is not allowed: a number from 0 to 4094"),
    ("vlan: 10", "vlam: 10", "11:11", "vport 'web1': vlam: there is no such field; did you mean"),
    ("iov: off", "iov: [on]", "12:10", "here is a list where one value must be"),
    ("iov: off", "iov off", "12:5", "not YAML: "),
    ("    vlan: 10", "\tvlan: 10", "11:1", "not YAML: "),
    ("switch: lan\n", "switch: lam\n", "9:13",
     "vport 'web1': switch: 'lam': there is no such switch; did you mean 'lan'?"),
    ("    switch: lan\n", "", "8:3", "vport 'web1': switch: must be given"),
    ("vport:", "vports:", "7:1", "vports: there is no such type of configured objects; did you mean"),
    ("mac: 02:00:00:00:00:02", "mac: 02:00:00:00:00:01", "13:29",
     "vport 'web2': mac: '02:00:00:00:00:01': vport 'web1' on switch 'lan' has it already"),
    ("web2:", "web1:", "13:3", "'web1' is here twice; the first is in line 8"),
    ("  wan: {}", "  w/n: {}", "4:3", "switch 'w/n': name: 'w/n' is not allowed"),
    ('"net_tap0,iface=t0"', "missing", "6:31",
     "uplink 'up1': device: 'missing' is not allowed: a device that exists"),
    ("trunk:", "owner: nobody-such, trunk:", "13:55",
     "vport 'web2': owner: 'nobody-such': there is no such user"),
    ("fdb-age: 5m", "drops: 5", "3:12", "switch 'lan': drops: this field is made by the daemon"),
    (GOOD, "", "1:1", "the file is empty; write {} to remove every object"),
])
def test_bad_file(lab, old, new, where, line):
    lab.ok("switch", "add", "before")
    before = lab.ok("export")
    assert GOOD.replace(old, new, 1) != GOOD
    path = lab.write(GOOD.replace(old, new, 1))
    done = lab.run("apply", path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{path}:{where}: {line}"), done.stderr
    assert done.stderr.count("\n") == 1
    assert lab.ok("export") == before
    assert lab.json("switch")[0]["name"] == "before" and len(lab.json("switch")) == 1
    as_json = json.loads(lab.run("--json", "apply", path).stderr)["error"]
    assert f"{as_json['line']}:{as_json['column']}" == where


def test_unreadable_file(lab):
    assert "No such file" in lab.refused("apply", lab.path / "nothing.yaml")
    assert "Is a directory" in lab.refused("apply", lab.path)
    big = lab.path / "big.yaml"
    big.write_text("# " + "x" * (4 << 20))
    assert lab.refused("apply", big).endswith(":1:1: larger than 4096 KiB")


def cpu_seconds(pid):
    """The processor's time that a process took: what others take of it does not count."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_many(lab):
    vports = "".join(f"  v{i}: {{ switch: lan, vlan: {i} }}\n" for i in range(1000))
    path = lab.write("switch:\n  lan:\nvport:\n" + vports)
    lab.ok("apply", path)
    assert cpu_seconds(lab.daemon.pid) < 10
    assert lab.ok("apply", path) == "no difference\n"
    shown = lab.ok("vport", "show").splitlines()
    assert len(shown) == 1001 and shown[3].startswith("v2 ") and shown[11].startswith("v10 ")


def test_killed_while_changes_are_made(lab):
    """Whatever was acknowledged is there after the restart, and nothing half."""
    lab.ok("switch", "add", "lan")
    acknowledged = {}
    for round_ in range(5):
        stop = threading.Event()

        def change(who):
            n = 0
            while not stop.is_set():
                name = f"w{who}-{round_}-{n}"
                vlan = random.randrange(1, 4095)
                if lab.run("vport", "add", name, "switch", "lan", "vlan", vlan,
                           "trunk", vlan).returncode == 0:
                    acknowledged[name] = vlan
                n += 1
        threads = [threading.Thread(target=change, args=(w,)) for w in range(3)]
        for thread in threads:
            thread.start()
        assert wait_until(lambda: len(acknowledged) > 5 * (round_ + 1))
        time.sleep(random.random() * 0.2)
        lab.stop(signal.SIGKILL)
        stop.set()
        for thread in threads:
            thread.join()
        lab.start()
        there = {v["name"]: v for v in lab.json("vport")}
        assert acknowledged.keys() <= there.keys()
        for name, vlan in acknowledged.items():
            assert there[name]["vlan"] == vlan
        for vport in there.values():
            assert vport["trunk"] == str(vport["vlan"])
    assert len(acknowledged) > 20


def test_closed_pipe(lab):
    lab.ok("apply", lab.write(GOOD))
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    done = subprocess.run([SOFTIOV, "export"], stdout=reader.stdin, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, SOFTIOV_SOCKET=str(lab.run_dir / "softiov.sock")))
    assert done.returncode != 0
