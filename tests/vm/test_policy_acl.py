# SPDX-License-Identifier: BSD-3-Clause
"""Rules against real probes and connections: a scan from outside, transfers while rules change, what meters count.

    vf, synthetic -- switch -- outside
"""

import json
import threading

import pytest

from softiov import wait_until
from stage import make_data, transfer

GUESTS = ["vf", "synthetic"]
PORTS = [22, 23, 80, 443, 8080]
ANY_IP = {"4": "0.0.0.0/0", "6": "::/0"}
# A connect scan, as nmap -sT does it: a kernel answers a SYN to a port where nobody listens with a RST.
SCAN = """
import socket, sys
for port in sys.argv[2:]:
    with socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET) as s:
        s.settimeout(1.5)
        try:
            s.connect((sys.argv[1], int(port)))
        except ConnectionRefusedError:
            pass
        except TimeoutError:
            continue
        print(port)
"""


@pytest.fixture(scope="module")
def stage(duo):
    return duo


@pytest.fixture(params=GUESTS)
def node(request, stage):
    """A guest; its vport has no rules afterwards."""
    yield stage[request.param]
    for rule in stage.call("acl.show"):
        stage.call("acl.del", name=rule["name"])


def acl(stage, node, name, *words):
    stage.softiov("acl", "add", f"{node.name}/{name}", *words)


def scan(stage, address):
    """The ports that answer."""
    program = f"/usr/bin/python3 -c '{SCAN}' {address} {' '.join(map(str, PORTS))}"
    return [int(port) for port in stage["outside"].run(program).split()]


def answers_at(stage, node, *ports):
    """Whether these ports answer, in the end: a busy guest may be late. No other one does meanwhile."""
    def all_answer(address):
        found = scan(stage, address)
        assert set(found) <= set(ports), found
        return found == list(ports)

    return all(wait_until(lambda address=address: all_answer(address)) for address in (node.address, node.address6))


def deny_in(stage, node):
    for version, prefix in ANY_IP.items():
        acl(stage, node, f"deny{version}", "direction", "in", "action", "deny", "remote", prefix)


def test_scan(stage, node):
    assert answers_at(stage, node, *PORTS)
    deny_in(stage, node)
    acl(stage, node, "web", "direction", "in", "action", "allow", "weight", "5", "protocol", "tcp", "local-port", "80-443")
    acl(stage, node, "not", "direction", "in", "action", "deny", "weight", "6", "protocol", "tcp", "local-port", "443")
    # Neighbours are asked for over IPv6 itself.
    acl(stage, node, "icmp6", "direction", "in", "action", "allow", "weight", "5", "protocol", "icmpv6")
    assert answers_at(stage, node, 80)
    assert stage["outside"].cut_off(node)
    assert stage.drops(node.name)["acl"] > 0


def test_stateful(stage, node):
    """A guest that nobody can reach talks to whom it wants."""
    outside = stage["outside"]
    deny_in(stage, node)
    assert not node.reaches(outside, patience=0) and not scan(stage, node.address)
    acl(stage, node, "icmp6", "direction", "in", "action", "allow", "weight", "5", "protocol", "icmpv6")
    acl(stage, node, "out", "direction", "out", "action", "allow", "weight", "5", "stateful", "on")
    assert node.reaches(outside) and outside.cut_off(node)
    assert transfer(node, outside, 8) and transfer(node, outside, 4, v6=True)
    assert not scan(stage, node.address) and not scan(stage, node.address6)
    assert 0 < stage.vport(node.name)["connections"] < 100
    # The rule goes, and with it what it let through.
    stage.softiov("acl", "del", f"{node.name}/out")
    assert not node.reaches(outside, patience=0)


def test_rules_change_under_a_connection(stage, node):
    """Changes of other rules, thousands at once, are nothing to a connection."""
    outside, n_changes = stage["outside"], 0
    deny_in(stage, node)
    acl(stage, node, "out", "direction", "out", "action", "allow", "weight", "5", "stateful", "on")
    before = json.loads(stage.softiov("--json", "export"))
    many = {f"{node.name}/n{i}": {"direction": "in", "action": "deny", "weight": 9, "remote": f"10.{i // 250}.{i % 250 + 1}.0/24"}
            for i in range(2000)}
    result = []
    make_data(node, 64)
    thread = threading.Thread(target=lambda: result.append(transfer(node, outside, 64)))
    thread.start()
    while thread.is_alive() or n_changes < 4:
        objects = dict(before, acl=dict(before["acl"], **many) if n_changes % 2 == 0 else before["acl"])
        stage.call("config.apply", objects=objects)
        n_changes += 1
    thread.join()
    assert result == [True]
    assert len(stage.call("acl.show", name=node.name)) in (3, 2003)


def test_meter(stage, node):
    """What a meter says is what the vport says."""
    outside = stage["outside"]
    for direction in ("in", "out"):
        acl(stage, node, f"m{direction}", "direction", direction, "action", "meter")
        acl(stage, node, f"m{direction}6", "direction", direction, "action", "meter", "remote", "::/0")
    before = stage.vport(node.name)
    stage.call("meter.reset", name=node.name)
    assert transfer(node, outside, 8) and transfer(node, outside, 4, v6=True)
    meters = {meter["name"].split("/")[1]: meter for meter in stage.call("meter.show", name=node.name)}
    after = stage.vport(node.name)
    assert meters["mout"]["bytes"] > 8 << 20 and meters["mout6"]["bytes"] > 4 << 20
    sent = sum(meters[name]["bytes"] for name in ("mout", "mout6"))
    assert 0 <= after["tx-bytes"] - before["tx-bytes"] - sent < 10000  # between the looks
    assert meters["min"]["frames"] > 0 and meters["min6"]["frames"] > 0
