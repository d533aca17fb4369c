# SPDX-License-Identifier: BSD-3-Clause
"""Extensions: what they count, what is refused, and what becomes of them when files go and the daemon ends.

Their verdicts are tested over all paths by test_policy.py.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess

import pytest

from capture import Capture, softiov
from extension import EXAMPLE, Program, build, program
from packets import icmp, tcp, udp
from softiov import Daemon, RpcError
from test_policy import NO_PORT_7, NO_PORT_8, PATHS, TO_UPLINK, TO_VPORT, Case, Sent, In, extension, for_third, turned, world  # noqa: F401: a fixture
from vfio_user import wait_until
from wire import Wires

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it makes a network namespace")

COUNTS = Program("frame->count[3] += 2;\n\tframe->count[15] += frame->size;\n"
                 "\treturn port == 7 ? SOFTIOV_DROP : SOFTIOV_PASS;")


@pytest.fixture
def pair(world):  # noqa: F811
    """The ends of one path, where the path makes no difference."""
    return world.ends["vf-to-synthetic"]


class Extended:
    """What a case's objects say holds meanwhile."""

    def __init__(self, ends, **case):
        self.ends, self.case = ends, Case("", [], **case)

    def __enter__(self):
        self.before = self.ends.change(self.case)
        return self.ends.daemon

    def __exit__(self, *_):
        self.ends.undo(self.case, self.before)


def counters(daemon, name):
    shown = daemon.show("extension", name)
    return tuple(shown[field] for field in ("seen", "passed", "dropped", "redirected"))


@pytest.mark.parametrize("hook", ["ingress", "egress"])
@pytest.mark.parametrize("path", PATHS)
def test_counts(world, path, hook):  # noqa: F811
    """By program, and the program's own; a change that leaves it alone leaves them alone."""
    ends = world.ends[path]
    name, size = ends.near_name + "-x", len(udp(1, 8)(bytes(6), bytes(6)))
    with Extended(ends, objects=extension(COUNTS, hook, vport="NEAR")) as daemon:
        there, back = (Sent, In) if hook == "ingress" else (In, Sent)
        for sent in (there(udp(1, 8), times=3), there(udp(1, 7), "extension", times=2), back(udp(1, 7), times=4)):
            ends.check(sent)
        assert counters(daemon, name) == (5, 3, 2, 0)
        assert daemon.show("extension", name)["counts"] == {"3": 10, "15": 5 * size}
        daemon.call("extension.set", name=name, order=7)
        ends.check(there(udp(1, 8)))
        assert counters(daemon, name) == (6, 4, 2, 0)
        shown = daemon.show("extension", name)
        assert (shown["state"], shown["native"]) == ("running", True) and shown["instructions"] > 5


def test_order(pair):
    """By number, then by name; the first verdict that is not to pass ends it."""
    drop, other = Program("return SOFTIOV_DROP;"), Program("return frame->size ? SOFTIOV_PASS : SOFTIOV_DROP;")
    objects = {**extension(drop, name="NEAR-b"), **extension(other, name="NEAR-a"), **extension(other, name="NEAR-c"),
               **extension(other, name="NEAR-d", order=1)}
    with Extended(pair, objects=objects) as daemon:
        name = pair.near_name + "-"
        pair.check(Sent(udp(1, 2), "extension"))
        assert [counters(daemon, name + x)[0] for x in "abcd"] == [1, 1, 0, 1]
        daemon.call("extension.set", name=name + "c", order=99)
        pair.check(Sent(udp(1, 2), "extension"))
        assert [counters(daemon, name + x)[0] for x in "abcd"] == [2, 2, 1, 2]
        daemon.call("extension.del", name=name + "b")
        pair.check(Sent(udp(1, 2)))
        daemon.call("extension.add", name=name + "b", switch=pair.path, hook="ingress", file=drop.path)


def test_named(pair, tmp_path):
    """In a capture's comment and by `trace`."""
    with Extended(pair, objects=extension(NO_PORT_7)) as daemon:
        near, far = pair.near_name, pair.far_name
        capture = Capture(daemon, "vport", near, path=tmp_path / "x.pcapng")
        pair.check(Sent(udp(1, 7), "extension"))
        capture.stop()
        assert capture.frames("frame.comment") == [(f"dropped: extension {near}-x",)]
        text = daemon.call("trace.vport", name=near, frame=f"udp 10.0.0.1:1 > 10.0.0.2:7 to {far}")
        assert text.splitlines()[-2:] == [f"  extension {near}-x drops it", "  => dropped: extension"]
        text = daemon.call("trace.vport", name=near, frame=f"udp 10.0.0.1:1 > 10.0.0.2:8 to {far}")
        assert "  extensions: let it pass\n" in text
        assert counters(daemon, near + "-x") == (1, 0, 1, 0), "a trace leaves no trace"


def test_redirected_at_egress(world, tmp_path):  # noqa: F811
    """What is counted, captured and said by `trace`, where it comes from, was about to get to, and gets."""
    ends = world.ends["vf-to-synthetic"]
    near, far, third = (name for _, name in ends.names)
    with Extended(ends, **turned({}, program=TO_VPORT, to_vport="FAR")) as daemon:
        before = {name: daemon.show("vport", name)["rx-frames"] for name in (far, third)}
        capture = Capture(daemon, "all", path=tmp_path / "x.pcapng")
        ends.check(Sent(for_third(udp(1, 7))))
        capture.stop()
        assert [name for name, in capture.frames("frame.interface_name")] == [near, far]
        assert {name: daemon.show("vport", name)["rx-frames"] - n for name, n in before.items()} == {far: 1, third: 0}
        assert counters(daemon, near + "-x") == (1, 0, 0, 1)
        text = daemon.call("trace.vport", name=near, frame=f"udp 10.0.0.1:1 > 10.0.0.2:7 to {third}")
        assert text.splitlines()[-6:] == [
            "  the destination address is known: to 1 port", f"to vport {third}:", f"  extension {near}-x redirects it",
            "  => not delivered here", f"instead to vport {far}:", "  => delivered to its synthetic adapter, untagged"]
        text = daemon.call("trace.vport", name=far, frame=f"udp 10.0.0.1:1 > 10.0.0.2:7 to {third}")
        assert text.splitlines()[-2:] == [f"  extension {near}-x redirects it", "  => dropped: no-route"]


def test_example(pair, tmp_path):
    """The one of the repository, with the command line."""
    path = build(EXAMPLE, tmp_path / "firewall.o")
    near, far, switch = pair.near_name, pair.far_name, pair.path
    with Extended(pair) as daemon:
        for words in (("add", "fw", "switch", switch, "hook", "ingress", "file", path, "vport", near, "to-vport", far),
                      ("add", "by-protocol", "switch", switch, "hook", "egress", "file", path, "vport", far)):
            done = softiov(daemon, "extension", *words)
            assert done.returncode == 0, done.stderr
        try:
            nobody = bytes.fromhex("02000000aaaa")
            pair.check(Sent(tcp(1, 23), "extension"))
            pair.check(Sent(lambda to, source: udp(1, 53)(nobody, source)))
            pair.check(Sent(tcp(1, 80)))
            pair.check(Sent(icmp(8)))
            assert counters(daemon, "fw") == (4, 2, 1, 1)
            assert daemon.show("extension", "fw")["counts"] == {"0": 1, "1": 1}
            assert daemon.show("extension", "by-protocol")["counts"] == {"0": 1, "1": 1, "2": 1}
        finally:
            for name in ("fw", "by-protocol"):
                assert softiov(daemon, "extension", "del", name).returncode == 0


FUNCTION = "SOFTIOV_INGRESS uint64_t f(struct softiov_frame *frame)\n"
BAD = {
    "outside the frame": (FUNCTION + "{ return frame->header[frame->size]; }", "may be anything"),
    "behind it": (FUNCTION + "{ return ((uint8_t *)frame)[600]; }", "it may read bytes 600 to 600 of struct softiov_frame, "
                  "which has 512"),
    "endless": (FUNCTION + "{ for (;;) frame->count[0]++; }", "it jumps back to"),
    "a loop": (FUNCTION + "{ uint64_t n = 0; for (uint32_t i = 0; i < frame->size; i++) n = n * 3 + i; return n; }",
               "unroll them"),
    "an unknown function": ("uint64_t magic(void);\n" + FUNCTION + "{ return magic(); }", "it uses 'magic'"),
    "a variable": ("int all;\n" + FUNCTION + "{ return all++; }", "it uses 'all'"),
    "a changed frame": (FUNCTION + "{ frame->header[0] = 1; return 1; }", "only 384 to 511 are to be written"),
    "too large": (FUNCTION + '{ asm volatile(".rept 5000\\nr2 = 1\\n.endr"); return 1; }', "from 1 to 4096 are possible"),
    "another section": (FUNCTION.replace("INGRESS", "EGRESS") + "{ return 1; }", "no program in a section 'ingress'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_program(pair, name):
    """With the instruction and what is wrong with it, and nothing has changed."""
    source, text = BAD[name]
    call = pair.daemon.call
    with pytest.raises(RpcError) as refusal:
        call("extension.add", name="bad", switch=pair.path, hook="ingress", file=program(source))
    assert text in refusal.value.message and refusal.value.data["field"] == "file"
    assert not call("extension.show")
    pair.check(Sent(udp(1, 2)))


def test_bad_files(pair, tmp_path):
    (tmp_path / "text").write_text("hello")
    (tmp_path / "huge").write_bytes(b"\x7fELF")
    os.truncate(tmp_path / "huge", (1 << 20) + 1)
    os.mkfifo(tmp_path / "fifo")
    for file, text in (("text", "no ELF file"), ("huge", "at most 1048576"), ("fifo", "no regular file"), (".", "no regular file"),
                       ("missing", "No such file")):
        with pytest.raises(RpcError, match=text):
            pair.daemon.call("extension.add", name="bad", switch=pair.path, hook="ingress", file=str(tmp_path / file))
    with pytest.raises(RpcError, match="an absolute path"):
        pair.daemon.call("extension.add", name="bad", switch=pair.path, hook="ingress", file="x.o")


def test_bad_fields(world):  # noqa: F811
    ends, other = world.ends["vf-to-vf"], world.ends["vf-to-uplink"]
    daemon, path = ends.daemon, NO_PORT_7.path
    for fields, text in (({"hook": "egress", "to-vport": other.near_name}, f"it is on the switch '{other.path}'"),
                         ({"hook": "ingress", "to-vport": other.near_name}, f"it is on the switch '{other.path}'"),
                         ({"hook": "ingress", "vport": other.near_name}, f"it is on the switch '{other.path}'"),
                         ({"hook": "ingress", "uplink": "nobody"}, "nobody")):
        with pytest.raises(RpcError, match=text):
            daemon.call("extension.add", name="bad", switch=ends.path, file=path, **fields)
    for i in range(16):
        daemon.call("extension.add", name=f"x{i}", switch=ends.path, hook="ingress", file=path)
    try:
        with pytest.raises(RpcError, match="the switch has 16 extensions there"):
            daemon.call("extension.add", name="bad", switch=ends.path, hook="ingress", file=path)
        ends.check(Sent(udp(1, 7), "extension"))
        ends.check(Sent(udp(1, 8)))
    finally:
        for i in range(16):
            daemon.call("extension.del", name=f"x{i}")
    with Extended(ends, objects=extension(NO_PORT_7, vport="NEAR")):
        with pytest.raises(RpcError, match="extension"):
            daemon.call("vport.del", name=ends.near_name)


def test_undone(pair, tmp_path):
    """A transaction that fails later: the program that was there goes on, with its counters, though its file has gone."""
    daemon, name = pair.daemon, pair.near_name + "-x"
    file = shutil.copy(NO_PORT_7.path, tmp_path / "x.o")
    with Extended(pair, objects=extension(str(file))):
        pair.check(Sent(udp(1, 8)))
        os.unlink(file)
        tree = daemon.call("config.export")["objects"]
        tree["extension"][name]["file"] = COUNTS.path
        tree["extension"]["zz-bad"] = {"switch": pair.path, "hook": "egress", "file": str(file)}
        with pytest.raises(RpcError, match="No such file"):
            daemon.call("config.apply", objects=tree)
        pair.check(Sent(udp(1, 7), "extension"))
        assert counters(daemon, name) == (2, 1, 1, 0)
        assert daemon.show("extension", name)["file"] == str(file)
        daemon.call("extension.set", name=name, file=COUNTS.path)
        pair.check(Sent(udp(1, 8)))
        assert counters(daemon, name) == (1, 1, 0, 0), "another program begins anew"


def test_reload(world, tmp_path):  # noqa: F811
    """Another program in the same file: from then on, with counters that begin anew; a bad one changes nothing."""
    ends = world.ends["synthetic-to-vf"]
    daemon, name, file = ends.daemon, ends.near_name + "-x", tmp_path / "x.o"
    shutil.copy(NO_PORT_7.path, file)
    with Extended(ends, objects=extension(str(file))):
        ends.check(Sent(udp(1, 7), "extension"))
        shutil.copy(COUNTS.path, file)
        daemon.call("extension.set", name=name, order=5)
        ends.check(Sent(udp(1, 8)))
        assert counters(daemon, name) == (2, 1, 1, 0) and not daemon.show("extension", name)["counts"]
        done = softiov(daemon, "extension", "reload", name)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert counters(daemon, name) == (0, 0, 0, 0)
        ends.check(Sent(udp(1, 8)))
        ends.check(Sent(udp(1, 7), "extension"))
        assert counters(daemon, name) == (2, 1, 1, 0) and daemon.show("extension", name)["counts"]["3"] == 4
        event = daemon.call("event.show")[-1]
        assert (event["kind"], event["object"], event["object-name"]) == ("changed", "extension", name)
        assert re.fullmatch(rf"reload by uid {os.getuid()} \(pid \d+\)", event["text"])
        assert f"extension '{name}': {event['text']}\n" in daemon.log() + "\n"
        for source, text in BAD["a loop"], BAD["outside the frame"]:
            shutil.copy(program(source), file)
            done = softiov(daemon, "extension", "reload", name)
            assert done.returncode != 0 and text in done.stderr
        file.unlink()
        with pytest.raises(RpcError, match="No such file"):
            daemon.call("extension.reload", name=name)
        ends.check(Sent(udp(1, 7), "extension"))
        assert counters(daemon, name) == (3, 1, 2, 0), "the old one goes on"
    with pytest.raises(RpcError, match="there is no such extension"):
        daemon.call("extension.reload", name=name)


def test_reload_loses_nothing(world, tmp_path):  # noqa: F811
    """Reloaded while frames pass: each is judged once, by the one program or the other."""
    ends = world.ends["synthetic-to-vf"]
    daemon, name, file = ends.daemon, ends.near_name + "-x", tmp_path / "x.o"
    shutil.copy(COUNTS.path, file)
    with Extended(ends, objects=extension(str(file))), concurrent.futures.ThreadPoolExecutor(1) as pool:
        reloads = pool.submit(lambda: [softiov(daemon, "extension", "reload", name).returncode for _ in range(50)])
        n = 0
        while n < 100 or not reloads.done():
            ends.check(Sent(udp(1, 8), times=10))
            n += 10
        assert reloads.result() == [0] * 50
        ends.check(Sent(udp(1, 7), "extension"))


def test_replaced(tmp_path):
    """A change that makes its target anew takes the extension away and adds it again, with its program and without its file."""
    file = shutil.copy(TO_VPORT.path, tmp_path / "x.o")
    with Daemon(tmp_path / "d") as daemon:
        daemon.call("switch.add", name="lan")
        for name in "abc":
            daemon.call("vport.add", name=name, switch="lan", iov=False)
        daemon.call("extension.add", name="x", switch="lan", hook="ingress", file=str(file), vport="a", **{"to-vport": "b"})
        os.unlink(file)
        tree = daemon.call("config.export")["objects"]
        tree["vport"]["b"]["queues"] = 4  # only at its making
        daemon.call("config.apply", objects=tree)
        told = daemon.call("trace.vport", name="a", frame="udp 10.0.0.1:1 > 10.0.0.2:7 to c")
        assert "  extension x redirects it\n" in told and "\nto vport b:\n" in told and "\nto vport c:\n" not in told
        told = daemon.call("trace.vport", name="a", frame="udp 10.0.0.1:1 > 10.0.0.2:8 to c")
        assert "\nto vport c:\n" in told
        with pytest.raises(RpcError, match="extension"):
            daemon.call("vport.del", name="b")


@pytest.mark.parametrize("on_failure", ["drop", "pass"])
def test_restart(tmp_path, on_failure):
    """It is there again after a start; without its file the daemon starts, says so, and drops or passes until it is back."""
    file, away = tmp_path / "x.o", tmp_path / "away.o"
    shutil.copy(COUNTS.path, file)
    with Daemon(tmp_path / "d") as daemon:
        daemon.call("switch.add", name="lan")
        for name in "ab":
            daemon.call("vport.add", name=name, switch="lan", iov=False)
        daemon.call("extension.add", name="x", switch="lan", hook="ingress", file=str(file), **{"on-failure": on_failure})
    with Daemon(tmp_path / "d") as daemon:
        assert daemon.show("extension", "x")["state"] == "running"
    file.rename(away)
    with Daemon(tmp_path / "d") as daemon:
        shown = daemon.show("extension", "x")
        assert shown["state"] == "failed" and "No such file" in shown["failure"]
        events = [event["text"] for event in daemon.call("event.show") if event["object-name"] == "x"]
        assert any("its frames " + ("are dropped" if on_failure == "drop" else "pass without it") in text for text in events)
        told = daemon.call("trace.vport", name="a", frame="udp 10.0.0.1:1 > 10.0.0.2:9 to b")
        assert ("  extension x drops it\n" in told) == (on_failure == "drop")
        daemon.call("extension.set", name="x", order=5)
        assert daemon.show("extension", "x")["state"] == "failed"
        away.rename(file)
        assert wait_until(lambda: daemon.show("extension", "x")["state"] == "running")
        assert [event["text"] for event in daemon.call("event.show") if event["object-name"] == "x"][-1] == "runs now"
        told = daemon.call("trace.vport", name="a", frame="udp 10.0.0.1:1 > 10.0.0.2:9 to b")
        assert "  extensions: let it pass\n" in told
        file.rename(away)
    with Daemon(tmp_path / "d") as daemon:
        daemon.call("extension.del", name="x")
        assert "extension" not in daemon.call("trace.vport", name="a", frame="udp 10.0.0.1:1 > 10.0.0.2:9 to b")


def test_target_that_does_not_run(tmp_path):
    """An uplink whose device has gone keeps no extension from what it has to stop, and gets its frames when it is back."""
    frame = "udp 10.0.0.1:1 > 10.0.0.2:{} to b"
    with Wires() as wires:
        wire = wires.add("w9", b"\2\0\0\0\0\x99", 1500)
        with Daemon(tmp_path / "d", netns=wires.netns) as daemon:
            daemon.call("switch.add", name="lan")
            for name in "ab":
                daemon.call("vport.add", name=name, switch="lan", iov=False)
            daemon.call("uplink.add", name="up", switch="lan", device=wire.device)
            for name, program in (("redirects", TO_UPLINK), ("stops", NO_PORT_8)):
                daemon.call("extension.add", name=name, switch="lan", hook="ingress", file=program.path, **{"to-uplink": "up"})
        subprocess.run(["ip", "-n", wires.netns, "link", "set", wire.device, "name", "away"], check=True)
        with Daemon(tmp_path / "d", netns=wires.netns) as daemon:
            assert "problem" in daemon.show("uplink", "up")
            assert "problem" not in daemon.show("extension", "stops")
            for port, name in ((7, "redirects"), (8, "stops")):
                assert f"  extension {name} drops it\n" in daemon.call("trace.vport", name="a", frame=frame.format(port))
            subprocess.run(["ip", "-n", wires.netns, "link", "set", "away", "name", wire.device], check=True)
            subprocess.run(["ip", "-n", wires.netns, "link", "set", wire.device, "up"], check=True)
            daemon.call("vport.set", name="b", mtu=1400)
            assert wait_until(lambda: "problem" not in daemon.show("uplink", "up"))
            told = daemon.call("trace.vport", name="a", frame=frame.format(7))
            assert "  extension redirects redirects it\n" in told and "to uplink up:\n" in told
