# SPDX-License-Identifier: BSD-3-Clause
"""The command line against the fake daemon: words, tables, errors, exit codes."""
import itertools
import json
import os
import re
import select
import signal
import subprocess
import xml.etree.ElementTree as ET

import pytest

from conftest import SOFTIOV
from softiov import PATIENCE, wait_until


def test_first_session(lab):
    assert lab.ok("switch", "add", "lan") == ""
    assert lab.ok("vport", "add", "web1", "switch", "lan", "vlan", "10", "mac", "02-AA-00-00-00-01") == ""
    assert lab.ok("vport", "show") == (
        "NAME  SWITCH  MAC                VLAN  PATH  VF   RX-RATE  DROPS\n"
        "web1  lan     02:aa:00:00:00:01    10  none   0  1.23gbit      3\n")
    assert "RX-FRAMES" in lab.ok("-s", "vport", "show")
    block = lab.ok("vport", "show", "web1")
    assert block.startswith("web1\n  switch ") and re.search(r"\n  vlan +10\n", block)
    assert "drop-reasons" not in block
    assert re.search(r"\n  drop-reasons +vlan 1\n +spoof 2\n", lab.ok("vport", "show", "web1", "-s"))
    assert lab.ok("vport", "set", "web1", "vlan", "default", "trunk", "30,20-29") == ""
    [web1] = lab.json("vport", "show", "web1")
    assert (web1["vlan"], web1["trunk"]) == (0, "20-30")
    assert lab.ok("vport", "del", "web1") == ""
    assert lab.ok("vport", "show") == "no vports\n"
    assert lab.json("vport", "show") == []
    assert lab.ok("vf") == "no VFs\n"
    assert lab.ok("worker").splitlines()[1].split() == ["0", "1", "12.3"]


def test_log_says_who(lab):
    lab.ok("switch", "add", "lan")
    assert re.search(rf"switch 'lan' added by uid {os.getuid()} \(pid \d+\)", lab.log())


@pytest.mark.parametrize("words", [
    "switch show", "sw show", "sw sh", "s", "sw", "vport show", "vp sh", "u", "w", "hos", "ev",
    "host check", "ho c", "--json vp", "vp --json", "vp sh --json"])
def test_abbreviations(lab, words):
    lab.ok(*words.split())


@pytest.mark.parametrize("words, line", [
    ("v", "v: could be vport, vf"),
    ("e", "e: could be extension, event, export"),
    ("vport s", "vport: s: could be set, show"),
    ("uplink set out d 5", "uplink 'out': d: could be device, driver"),
    ("vpotr", "vpotr: there is no such object or command; did you mean 'vport'? one of switch, "
     "uplink, vport, acl, qos-policy, meter, mirror, extension, vf, worker, queue, trace, capture, host, event, apply, export, help, "
     "completion"),
    ("vport ad web1", None),
    ("vport remove web1", "vport: remove: there is no such verb: one of add, set, del, show, "
     "qemu-args, libvirt-xml, help"),
    ("uplink set out vlna 5", "uplink 'out': vlna: there is no such field; did you mean 'vlan'? one "
     "of switch, device, driver, vlan, trunk, max-rate, prio-tc, tc-tsa, tc-bw, prio-pfc, priority-tag, pins"),
    ("vport set web1 vlan", "vport 'web1': vlan: a value must follow: a number from 0 to 4094"),
    ("vport set web1 vlan 5 vlan 6", "vport 'web1': vlan: is given twice"),
    ("vport set", "vport: `set` needs a name: softiov vport set NAME ..."),
    ("vport del web1 now", "vport 'web1': now: `del` takes nothing more"),
    ("host show x", "host: x: `show` takes nothing more"),
    ("config export", "config: there is no such object or command: one of switch, uplink, vport, acl, qos-policy, meter, mirror, "
     "extension, "
     "vf, worker, queue, trace, capture, host, event, apply, export, help, completion"),
    ("--jsn vport", "--jsn: there is no such option; did you mean '--json'? one of --json, "
     "--statistics, --help, --dry-run, --markdown, --socket, --watch, --write, --version"),
    ("--watch 0 vport", "--watch: '0' is not allowed: seconds from 0.1 to 86400"),
    ("--socket", "--socket: a value must follow"),
    ("apply", "`apply` needs one file: softiov apply FILE, or - for standard input"),
    ("export x", "x: `export` takes nothing more"),
    ("completion zsh", "`completion` knows one shell: softiov completion bash"),
])
def test_usage(lab, words, line):
    if line is None:
        lab.run(*words.split())
        return
    assert lab.refused(*words.split(), code=2) == "softiov: " + line


@pytest.mark.parametrize("words, line", [
    ("vport set web1 vlan 5000",
     "vport 'web1': vlan: '5000' is not allowed: a number from 0 to 4094"),
    ("vport set web1 iov maybe", "vport 'web1': iov: 'maybe' is not allowed: on or off"),
    ("vport set web1 model e1000",
     "vport 'web1': model: 'e1000' is not allowed: 82599, x540, x550, 82576 or i350"),
    ("vport set web1 path vf",
     "vport 'web1': path: this field is made by the daemon and cannot be set"),
    ("vport set web1 switch wan",
     "vport 'web1': switch: 'wan': cannot change once the object exists; delete it and add it again"),
    ("vport set web1 mac 01:00:00:00:00:00",
     "vport 'web1': mac: '01:00:00:00:00:00' is not allowed: six bytes in hexadecimal with `:` or "
     "`-` between, not multicast and not zero"),
    ("vport set web1 mac 02:00:00:00:00:02",
     "vport 'web1': mac: '02:00:00:00:00:02': vport 'web2' on switch 'lan' has it already"),
    ("vport set web1 owner nobody-such",
     "vport 'web1': owner: 'nobody-such': there is no such user"),
    ("vport set web1 private-vlan isolated secondary-vlans 201",
     "vport 'web1': vlan: '0': a private VLAN needs its primary VLAN here (private-vlan is isolated)"),
    ("vport set wbe1 vlan 5",
     "vport 'wbe1': there is no such vport; did you mean 'web1'? one of web1, web2"),
    ("vport add web1 switch lan",
     "vport 'web1': exists already; change it with `set`, or take another name"),
    ("vport add web3", "vport 'web3': switch: must be given: the name of a switch"),
    ("vport add web3 switch lam",
     "vport 'web3': switch: 'lam': there is no such switch; did you mean 'lan'? one of lan"),
    ("vport add a/b switch lan", "vport 'a/b': name: 'a/b' is not allowed: letters, digits, `_`, `.` "
     "and `-`, at most 63, a letter or digit first"),
    ("switch add big vfs 257", "switch 'big': vfs: '257' is not allowed: a number from 0 to 256"),
    ("switch del lan", "switch 'lan': vport 'web1' and 1 more are on it; delete those first"),
    ("uplink add up switch lan device missing",
     "uplink 'up': device: 'missing' is not allowed: a device that exists"),
    ("vport qemu-args web1 memory lots",
     "vport 'web1': memory: 'lots' is not allowed: a size from 0 to 16T"),
])
def test_refusals_change_nothing(lab, words, line):
    lab.ok("switch", "add", "lan")
    lab.ok("vport", "add", "web1", "switch", "lan", "mac", "02:00:00:00:00:01")
    lab.ok("vport", "add", "web2", "switch", "lan", "mac", "02:00:00:00:00:02")
    before = lab.ok("export")
    assert lab.refused(*words.split()) == "softiov: " + line
    assert lab.ok("export") == before


def test_error_as_json(lab):
    done = lab.run("--json", "switch", "add", "lan", "vfs", "999")
    assert done.returncode == 1 and done.stdout == ""
    error = json.loads(done.stderr)["error"]
    assert error["data"] == {"object": "switch", "name": "lan", "field": "vfs", "value": "999",
                             "allowed": "a number from 0 to 256"}


def test_no_daemon(stopped):
    line = stopped.refused("vport", "show")
    assert line.startswith(f"softiov: socket '{stopped.run_dir}/softiov.sock': no softiovd answers")
    for fix in ("systemctl start softiovd", "--run-dir", "--socket", "SOFTIOV_SOCKET"):
        assert fix in line
    # A socket that was left behind says the same.
    stopped.start()
    stopped.stop(signal.SIGKILL)
    assert "no softiovd answers" in stopped.refused("vport", "show")
    long = "/" + "a" * 200
    assert "too long" in stopped.refused("vport", "--socket", long).lower()
    # What needs no daemon works.
    stopped.ok("help")
    stopped.ok("completion", "bash")
    assert re.fullmatch(r"softiov \d+\.\d+\.\d+\n", stopped.ok("--version"))


def test_no_right(lab):
    if os.getuid():
        pytest.skip("root is needed to become somebody without a right")
    done = subprocess.run(
        [SOFTIOV, "--socket", lab.run_dir / "softiov.sock", "vport"], user=65534, group=65534,
        extra_groups=[], capture_output=True, text=True)
    if "Permission denied" in done.stderr and not done.stdout and done.returncode > 2:
        pytest.skip("the program itself cannot be reached by another user")
    assert done.returncode == 1
    assert "no right to open it; become a member of its group" in done.stderr


def test_second_daemon(lab):
    second = subprocess.run([os.environ["FAKE_DAEMON"], lab.run_dir, lab.path / "other"],
                            capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 1 and "another process listens on it" in second.stderr
    other_run = lab.path / "run2"
    other_run.mkdir()
    second = subprocess.run([os.environ["FAKE_DAEMON"], other_run, lab.state_dir],
                            capture_output=True, text=True, timeout=PATIENCE)
    assert second.returncode == 1 and "another softiovd uses it" in second.stderr
    lab.ok("vport", "show")


def test_restart_keeps_all(lab):
    lab.ok("switch", "add", "lan")
    for i in range(5):
        lab.ok("vport", "add", f"v{i}", "switch", "lan", "vlan", i)
    before = lab.ok("export")
    for how in (signal.SIGTERM, signal.SIGKILL):
        lab.stop(how)
        lab.start()
        assert lab.ok("export") == before


def test_problem_and_recovery(lab):
    present = lab.run_dir / "present"
    present.touch()
    lab.ok("switch", "add", "lan")
    lab.ok("uplink", "add", "up", "switch", "lan", "device", "missing")
    lab.stop()
    present.unlink()
    lab.start()
    assert "device: 'missing' is not allowed: a device that exists" in lab.ok("uplink", "show")
    present.touch()
    assert wait_until(lambda: "missing' is" not in lab.ok("uplink", "show", "up")), "the uplink was not tried again"


def test_checks(lab):
    assert lab.ok("host", "check") == ("ok    memory: unlimited\n"
                                       "warn  qemu: 7.2 is too old for VFs\n"
                                       "      -> install QEMU 10.1 or later\n")
    assert [c["result"] for c in lab.json("host", "check")] == ["ok", "warn"]


def test_qemu_args_and_libvirt(lab):
    lab.ok("switch", "add", "lan")
    lab.ok("vport", "add", "web1", "switch", "lan", "mac", "02:00:00:00:00:01")
    pair = lab.ok("vport", "qemu-args", "web1", "memory", "2G")
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {pair}"], capture_output=True, text=True,
                           check=True).stdout.splitlines()
    assert words[words.index("-m") + 1] == "2G"
    vf = json.loads(next(w for w in words if w.startswith("{")))
    assert vf["socket"]["path"] == f"{lab.run_dir}/vf/web1.sock"
    assert vf["failover_pair_id"] == "syn-web1"
    assert any("failover=on" in w and "mac=02:00:00:00:00:01" in w for w in words)
    assert "vfio-user" not in lab.ok("vport", "qemu-args", "web1", "device", "synthetic")
    assert "virtio" not in lab.ok("vport", "qemu-args", "web1", "device", "vf")
    second = lab.ok("vport", "qemu-args", "web1", "memory", "0", "slot", "3")
    assert "memory-backend" not in second and "slot=4" in second
    lab.ok("vport", "set", "web1", "iov", "off")
    assert "failover" not in lab.ok("vport", "qemu-args", "web1")
    assert lab.refused("vport", "qemu-args", "web1", "device", "vf") == (
        "softiov: vport 'web1': device: 'vf': the vport has no VF: `iov` is off")
    lab.ok("vport", "set", "web1", "synthetic", "off")
    assert "turn `iov` or `synthetic` on" in lab.refused("vport", "qemu-args", "web1")
    lab.ok("vport", "set", "web1", "iov", "on", "synthetic", "on")
    text = lab.ok("vport", "libvirt-xml", "web1")
    domain = ET.fromstring("<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
                           f"{text}</domain>")
    assert domain.find("interface").get("type") == "vhostuser"
    assert domain.find("interface/teaming").get("type") == "persistent"
    alias = domain.find("interface/alias").get("name")
    qemu = [a.get("value") for a in domain.iter("{http://libvirt.org/schemas/domain/qemu/1.0}arg")]
    assert json.loads(qemu[-1])["failover_pair_id"] == alias


def test_events(lab):
    watcher = subprocess.Popen([SOFTIOV, "--socket", lab.run_dir / "softiov.sock", "event", "watch",
                                "--json"], stdout=subprocess.PIPE, text=True)
    # No answer shows that it has subscribed, but an event that it tells of.
    for n in itertools.count():
        lab.ok("switch", "add", f"s{n}")
        if select.select([watcher.stdout], [], [], 0.3)[0]:
            break
        assert n < 100
    event = json.loads(watcher.stdout.readline())
    assert (event["kind"], event["object"]) == ("added", "switch") and re.fullmatch(r"s\d+", event["object-name"])
    lab.ok("switch", "add", "lan")
    while event["object-name"] != "lan":
        event = json.loads(watcher.stdout.readline())
        assert (event["kind"], event["object"]) == ("added", "switch")
    lab.refused("switch", "add", "lan")
    assert json.loads(watcher.stdout.readline())["kind"] == "refused"
    lab.stop()
    assert watcher.wait(timeout=PATIENCE) == 1
    lab.start()
    assert lab.json("event") == []


def test_watch(lab):
    done = subprocess.Popen([SOFTIOV, "--socket", lab.run_dir / "softiov.sock", "-w", "0.1", "sw"],
                            stdout=subprocess.PIPE, text=True)
    lines = [done.stdout.readline() for _ in range(5)]
    done.kill()
    done.wait()
    assert lines == ["no switches\n", "\n"] * 2 + ["no switches\n"]


def test_help(lab):
    assert "vport" in lab.ok("help") and lab.ok("help") == lab.ok("-h")
    for words in ("help vport", "vport help", "vport -h", "-h vp"):
        assert "mac-spoofing" in lab.ok(*words.split())
    for words in ("help vport add", "vport help add", "vport add -h", "vp -h ad"):
        text = lab.ok(*words.split())
        assert "softiov vport add NAME" in text and "required" in text
    # What cannot change is not offered by `set`.
    assert "model" not in lab.ok("vport", "set", "-h")
    assert lab.run().returncode == 2
    assert "objects that are not in" in lab.ok("help")


def test_reference_is_up_to_date(lab, root):
    assert lab.ok("help", "--markdown") == (root / "docs/reference.md").read_text(), \
        "run: softiov help --markdown > docs/reference.md"


def test_lists(lab):
    assert "  cpu-flags  avx2 sse4_2\n" in lab.ok("host")
    lab.ok("switch", "add", "lan")
    lab.ok("vport", "add", "web1", "switch", "lan")
    assert "reasons" not in lab.ok("vport", "show", "web1")
    lab.ok("vport", "set", "web1", "iov", "off")
    assert re.search(r"\n  reasons +`iov` is off\n", lab.ok("vport", "show", "web1"))


def test_daemon_and_table_agree(lab):
    """A status that the table does not know is told in the log."""
    lab.ok("switch", "add", "lan")
    lab.ok("vport", "add", "web1", "switch", "lan")
    lab.ok("vport", "show")
    lab.ok("worker")
    lab.ok("host")
    assert "status of" not in lab.log()
    lab.ok("vport", "set", "web1", "iov", "off")
    lab.ok("vport", "show")
    assert ("status of vport: vf-state: 'gone' is not allowed: listening, attached or active"
            in lab.log())


# One of each is enough, whichever it is.
ALSO = {"qos-policy": {"priority": "1", "dscp": "2", "set-priority": "3", "set-dscp": "4"}}


def test_every_field_everywhere(lab):
    """Rule 3: what the schema has is in help, completion, manual; each default can be set."""
    socket_request = {"jsonrpc": "2.0", "id": 1, "method": "schema.show"}
    import socket
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(lab.run_dir / "softiov.sock"))
        s.sendall(json.dumps(socket_request).encode() + b"\n")
        objects = json.loads(s.makefile().readline())["result"]["objects"]
    manual, completion = lab.ok("help", "--markdown"), lab.ok("completion", "bash")
    lab.ok("switch", "add", "lan")
    for name, obj in objects.items():
        if name in ("config", "schema"):
            continue
        text = lab.ok("help", name)
        for field, what in obj["fields"].items():
            assert f"`{field}`" in manual
            if not what.get("key"):
                assert field in text
        assert f"[{name}]=" in completion
        if "add" not in obj["verbs"]:
            continue
        required = [w for f, d in obj["fields"].items() if d.get("required") and not d.get("key")
                    for w in (f, d.get("words", ["/lan" if d["type"] == "path" else "lan"])[0])]
        own_name = "x/x" if obj.get("owner") else "x"
        also = ALSO.get(name, {})
        lab.ok(name, "add", own_name, *required, *(w for pair in also.items() for w in pair))
        for field, what in obj["fields"].items():
            if not (what.get("status") or what.get("key") or what.get("fixed")):
                assert field in completion
            if not (what.get("status") or what.get("key") or what.get("fixed") or what.get("required")):
                others = {other: value for other, value in also.items() if other != field}
                lab.ok(name, "set", own_name, field, "default", *(w for pair in others.items() for w in pair))


def test_queues(lab):
    """The worker is the daemon's, the pin is the vport's."""
    lab.ok("switch", "add", "lan")
    assert lab.ok("queue", "show") == "no queues\n"
    lab.ok("vport", "add", "web1", "switch", "lan")
    lab.ok("queue", "set", "web1/vf-0", "worker", "0")
    assert lab.json("vport", "show", "web1")[0]["pins"] == "vf-0=0"
    assert "pins: vf-0=0" in lab.ok("export")
    head, row = lab.ok("queue", "show").splitlines()
    assert head.split() == ["NAME", "SWITCH", "WORKER", "PINNED", "LOAD", "FRAMES-PER-SECOND",
                            "MOVES"]
    assert row.split() == ["web1/vf-0", "lan", "0", "on", "12.5", "1000", "2"]
    for queue, worker, line in (
            ("vf-0", 1, "worker: '1': there is no such worker: one of 0"),
            ("vf-1", 0, "there is no such queue; did you mean 'web1/vf-0'? one of web1/vf-0"),
            ("vf-0", "x", "worker: 'x' is not allowed: `auto`, or the number of a worker")):
        refused = lab.refused("queue", "set", f"web1/{queue}", "worker", worker)
        assert refused == f"softiov: queue 'web1/{queue}': {line}"
    assert lab.json("vport", "show", "web1")[0]["pins"] == "vf-0=0"
    lab.ok("queue", "set", "web1/vf-0", "worker", "auto")
    assert lab.json("vport", "show", "web1")[0]["pins"] == "none"


def complete(lab, line):
    """What bash offers at the end of a line."""
    script = lab.write(lab.ok("completion", "bash"), "completion")
    words = line.split(" ")
    env = dict(os.environ, PATH=os.path.dirname(SOFTIOV) + ":" + os.environ["PATH"],
               SOFTIOV_SOCKET=str(lab.run_dir / "softiov.sock"))
    out = subprocess.run(
        ["bash", "-c", 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _softiov; '
         'printf "%s\\n" "${COMPREPLY[@]}"', script, *words],
        env=env, capture_output=True, text=True, check=True)
    assert out.stderr == ""
    return out.stdout.split()


def test_completion(lab):
    lab.ok("switch", "add", "lan")
    lab.ok("vport", "add", "web1", "switch", "lan")
    lab.ok("vport", "add", "web2", "switch", "lan")
    lab.ok("vport", "add", "lan", "switch", "lan")
    for line, offered in [
            ("softiov vp", ["vport"]),
            ("softiov vport ", ["add", "set", "del", "show", "qemu-args", "libvirt-xml", "help"]),
            ("softiov vport s", ["set", "show"]),
            ("softiov vport set ", ["lan", "web1", "web2"]),
            ("softiov vport set web1 tr", ["trunk", "trust"]),
            ("softiov vport set web1 trunk all tr", ["trust"]),
            ("softiov vport set web1 iov ", ["default", "on", "off"]),
            ("softiov vport set web1 link ", ["default", "auto", "up", "down"]),
            ("softiov vport add new switch ", ["lan"]),
            ("softiov capture start vport ", ["lan", "web1", "web2"]),
            ("softiov mirror add m to-vport w", ["web1", "web2"]),
            ("softiov mirror add m to-vport d", ["default"]),
            ("softiov mirror add m vport we", ["web1", "web2"]),
            ("softiov mirror add m vport web2,", ["web2,lan", "web2,web1"]),
            ("softiov mirror add m vport web2,we", ["web2,web1"]),
            ("softiov mirror add m vport web2,lan,", ["web2,lan,web1"]),
            ("softiov mirror add m vport web2,web1,lan,", []),
            ("softiov mirror add m to-vport web2,", []),
            ("softiov vport set web1 trunk 5,", []),
            ("softiov vp,", []),
            ("softiov vport add ", []),
            ("softiov vport qemu-args web1 device s", ["synthetic"]),
            ("softiov --json vport del web1", ["web1"]),
            ("softiov --so", ["--socket"]),
            ("softiov completion ", ["bash"])]:
        assert complete(lab, line) == offered, line
    lab.stop()
    assert complete(lab, "softiov vport set ") == []
    lab.start()


def test_colour_only_on_a_terminal(lab):
    lab.ok("switch", "add", "lan")
    command = f"{SOFTIOV} --socket {lab.run_dir}/softiov.sock switch show"

    def on_terminal(**env):
        return subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True,
                              text=True, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, **env)).stdout
    assert "\033" not in lab.ok("switch", "show")
    assert "\033[1m" in on_terminal(NO_COLOR="")
    assert "\033" not in on_terminal(NO_COLOR="1")


def test_full_disk_is_no_success(lab):
    with open("/dev/full", "w") as full:
        done = subprocess.run([SOFTIOV, "help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr
