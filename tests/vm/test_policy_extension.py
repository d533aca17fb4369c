# SPDX-License-Identifier: BSD-3-Clause
"""The extension of examples/ against real programs, on the VF path and the synthetic one.

    vf, synthetic: whose frames it sees -- switch -- resolver (a VF), outside
"""

import shutil

import pytest

from extension import EXAMPLE, Program, build
from softiov import wait_until

GUESTS = ["vf", "synthetic"]
SERVER = "while echo hello | nc -l -p {port}; do :; done"


@pytest.fixture(scope="module")
def stage(bare_stage, tmp_path_factory):
    bare_stage.add_vport("vf", mac="02:00:00:00:00:01")
    bare_stage.add_vport("synthetic", iov=False, synthetic=True, mac="02:00:00:00:00:02")
    bare_stage.add_vport("resolver", model="x540", mac="02:00:00:00:00:03")
    for name in (*GUESTS, "resolver"):
        bare_stage.boot(name, mem=512)
    bare_stage.ready()
    file = build(EXAMPLE, tmp_path_factory.mktemp("extension") / "firewall.o")
    bare_stage.softiov("extension", "add", "fw", "switch", "lan", "hook", "ingress", "file", file, "to-vport", "resolver")
    bare_stage.softiov("extension", "add", "protocols", "switch", "lan", "hook", "egress", "file", file)
    return bare_stage


@pytest.fixture(params=GUESTS)
def node(request, stage):
    return stage[request.param]


def counts(stage, name):
    return stage.call("extension.show", name=name)[0]["counts"]


def hears(node, target, port):
    return "hello" in node.call(f"nc -w 3 {target.address} {port} </dev/null")[1]


def hears_in_the_end(node, target, port):
    """The server begins anew after each."""
    return wait_until(lambda: hears(node, target, port))


def test_drop(stage, node):
    """Telnet from guests goes nowhere, whatever else they do."""
    outside = stage["outside"]
    jobs = [outside.spawn(SERVER.format(port=port)) for port in (23, 80)]
    try:
        assert hears_in_the_end(node, outside, 80)
        before = counts(stage, "fw").get("0", 0)
        assert not hears(node, outside, 23)
        assert counts(stage, "fw")["0"] > before and stage.drops(node.name)["extension"] > 0
        assert hears_in_the_end(node, outside, 80)
    finally:
        for job in jobs:
            job.kill()


def test_redirect(stage, node):
    """DNS queries, whoever they are for, come to the resolver."""
    resolver = stage["resolver"]
    job = resolver.spawn(f"tcpdump -p -l -n -c 1 -i {resolver.device} udp dst port 53 and src {node.address}")
    before = counts(stage, "fw").get("1", 0)

    def asks():
        node.call(f"nslookup example.org {stage['outside'].address}; true")
        return job.done()

    assert wait_until(asks)
    assert f"{stage['outside'].address}.53" in job.output()
    assert counts(stage, "fw")["1"] > before


def test_redirect_at_egress(stage, node, tmp_path):
    """What was about to leave by the uplink comes to the resolver, until another program is in the file."""
    resolver, outside = stage["resolver"], stage["outside"]
    file = tmp_path / "x.o"
    shutil.copy(Program("return port == 7 ? SOFTIOV_TO_VPORT : SOFTIOV_PASS;").path, file)
    server = outside.spawn(SERVER.format(port=7))
    try:
        assert hears_in_the_end(node, outside, 7)
        stage.softiov("extension", "add", "taken", "switch", "lan", "hook", "egress", "uplink", "out", "file", str(file),
                      "to-vport", "resolver")
        taken = resolver.tcpdump(f"-p -c 1 tcp dst port 7 and src {node.address}")
        assert not hears(node, outside, 7)
        assert f"{outside.address}.7: Flags [S]" in taken.wait()
        shutil.copy(Program("return SOFTIOV_PASS;").path, file)
        stage.softiov("extension", "reload", "taken")
        assert hears_in_the_end(node, outside, 7)
    finally:
        server.kill()
    stage.softiov("extension", "del", "taken")


def test_count(stage, node):
    """By protocol, at each port that a frame goes to."""
    outside = stage["outside"]
    before = counts(stage, "protocols").get("2", 0)
    assert node.reaches(outside, count=5)
    assert counts(stage, "protocols")["2"] >= before + 10
