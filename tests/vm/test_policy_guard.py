# SPDX-License-Identifier: BSD-3-Clause
"""Guards against real programs: dnsmasq as a DHCP server and router, arping, the kernel's own addresses.

    vf, synthetic: servers that are not wanted -- switch -- client (a VF), outside
"""

import pytest

from softiov import wait_until

ROGUES = ["vf", "synthetic"]
SERVER = ("exec dnsmasq --no-daemon --user=root --port=0 --conf-file=/dev/null --dhcp-leasefile=/tmp/leases "
          "--interface={device} --dhcp-authoritative --no-ping --dhcp-range=10.0.0.100,10.0.0.150,255.255.255.0 "
          "--enable-ra --dhcp-range=fd00::100,fd00::1ff,64 --ra-param={device},high,4")


@pytest.fixture(scope="module")
def stage(lab, bare_stage):
    initramfs = lab.initramfs_with(lab.kernel(), "dnsmasq-base", "usr/sbin/dnsmasq")
    bare_stage.add_vport("vf", mac="02:00:00:00:00:01")
    bare_stage.add_vport("synthetic", iov=False, synthetic=True, mac="02:00:00:00:00:02")
    bare_stage.add_vport("client", model="x540", mac="02:00:00:00:00:03")
    for name in ROGUES:
        bare_stage.boot(name, initramfs=initramfs, mem=512)
    bare_stage.boot("client", mem=512)
    bare_stage.ready()
    return bare_stage


@pytest.fixture(params=ROGUES)
def rogue(request, stage):
    """A guest that is a DHCP server and a router; its vport is afterwards as it was."""
    node = stage[request.param]
    job = node.spawn(SERVER.format(device=node.device))
    yield node
    job.kill()
    stage.set(node.name, dhcp_guard=False, router_guard=False)


def until(condition):
    assert wait_until(condition, pause=0.1)


def leases(node, tries):
    """Whether a DHCP client in the guest gets a lease within so many tries, two seconds each."""
    status, text = node.call(f"udhcpc -f -n -q -t {tries} -T 2 -i {node.device} -s /bin/true", timeout=120)
    assert "lease" in text, text
    return status == 0


def test_dhcp_guard(stage, rogue):
    client, name = stage["client"], rogue.name
    assert leases(client, 20)
    stage.set(name, dhcp_guard=True)
    before = stage.drops(name).get("dhcp-guard", 0)
    assert not leases(client, 3)
    assert stage.drops(name)["dhcp-guard"] > before
    # It may still ask others.
    assert rogue.reaches(client)
    stage.set(name, dhcp_guard=False)
    assert leases(client, 20)


def test_guarded_clients_have_leases(stage, rogue):
    stage.set("client", dhcp_guard=True, router_guard=True)
    try:
        assert leases(stage["client"], 20)
    finally:
        stage.set("client", dhcp_guard=False, router_guard=False)


def routes(node):
    return node.run("ip -6 route show default proto ra")


def test_router_guard(stage, rogue):
    client, name = stage["client"], rogue.name
    client.run(f"echo 2 >/proc/sys/net/ipv6/conf/{client.device}/accept_ra")
    until(lambda: "fe80::" in routes(client))
    stage.set(name, router_guard=True)
    for _ in range(2):  # after the first nothing from before is under way
        before = stage.drops(name).get("router-guard", 0)
        client.run("ip -6 route flush proto ra")
        stage.wait_drops(name, "router-guard", before)
    assert routes(client) == ""
    assert rogue.reaches(client.address6)
    stage.set(name, router_guard=False)
    until(lambda: "fe80::" in routes(client))
    client.run("ip -6 route flush proto ra")


def neighbour(node, address):
    return node.run(f"ip neigh show {address} dev {node.device}")


@pytest.mark.parametrize("name", ROGUES)
def test_addresses(stage, name):
    """A guest that takes the client's addresses, by the kernel and by arping, and is believed only without a guard."""
    thief, client, outside = stage[name], stage["client"], stage["outside"]
    # The addresses that its kernel made itself are of its MAC address.
    stage.set(name, addresses=f"{thief.address},{thief.address6}")
    try:
        assert thief.reaches(outside) and thief.reaches(outside.address6)
        thief.run(f"ip addr add {client.address}/32 dev {thief.device}; "
                  f"ip addr add {client.address6}/128 dev {thief.device} nodad")
        assert outside.reaches(client)
        before = stage.drops(name)
        announce = f"arping -U -c 3 -I {thief.device} -s {client.address} {client.address}"
        thief.run(announce)
        assert thief.cut_off(outside, f"-I {client.address}")
        assert thief.cut_off(outside.address6, f"-I {client.address6}")
        after = stage.drops(name)
        for reason in ("spoofed-arp", "spoofed-ip"):
            assert after.get(reason, 0) > before.get(reason, 0), (reason, after)
        assert client.mac in neighbour(outside, client.address)
        assert thief.reaches(outside) and outside.reaches(client)
        stage.set(name, addresses="none")
        thief.run(announce)
        until(lambda: thief.mac in neighbour(outside, client.address))
    finally:
        stage.set(name, addresses="none")
        thief.run(f"ip addr del {client.address}/32 dev {thief.device}; ip addr del {client.address6}/128 dev {thief.device}")
        client.run(f"arping -U -c 2 -I {client.device} -s {client.address} {client.address}")
        until(lambda: client.mac in neighbour(outside, client.address))


@pytest.mark.parametrize("name", ROGUES)
def test_storm_limit(stage, name):
    """A flood of ARP requests to all: few arrive, and the others cost nobody anything."""
    flooder, outside = stage[name], stage["outside"]
    stage.set(name, storm_limit=10)
    try:
        flooder.call("ping -b -f -c 500 -n -W 1 10.0.0.255")
        stage.wait_drops(name, "storm", 100)
        assert flooder.reaches(outside)
    finally:
        stage.set(name, storm_limit=0)
