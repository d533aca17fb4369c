# SPDX-License-Identifier: BSD-3-Clause
"""TCP and UDP with the guests' default settings; hashes are compared.

    vf82599, vfx540, synthetic -- switch -- outside
"""

import itertools
import json
import re

import pytest

from stage import in_parallel, make_data, transfer

ALL = ["vf82599", "vfx540", "synthetic"]
VFS = ["vf82599", "vfx540"]
EVERYWHERE = [*ALL, "outside"]
PAIRS = list(itertools.permutations(EVERYWHERE, 2))
BIG, SMALL = 32, 4  # MiB


@pytest.fixture(scope="module")
def data(trio):
    """Files to send, made by all nodes at once."""
    in_parallel(lambda name: [make_data(trio[name], size) for size in (BIG, SMALL)], EVERYWHERE)


def checksum_errors(node):
    """Packets that the node's kernel found corrupt: TCP's and UDP's counters, IPv4 and IPv6."""
    text = node.run("cat /proc/net/snmp /proc/net/snmp6")
    total = 0
    for protocol in ("Tcp", "Udp", "Icmp"):
        names, values = re.findall(rf"^{protocol}: (.*)$", text, re.M)
        total += int(dict(zip(names.split(), values.split()))["InCsumErrors"])
    return total + sum(int(n) for n in re.findall(r"^\w+InCsumErrors\s+(\d+)", text, re.M))


@pytest.fixture(autouse=True)
def no_corrupt_packets(trio):
    before = {name: checksum_errors(trio[name]) for name in EVERYWHERE}
    yield
    assert {name: checksum_errors(trio[name]) for name in EVERYWHERE} == before
    for name in VFS:
        statistics = trio[name].ethtool_statistics()
        assert statistics["rx_csum_offload_errors"] == 0 and statistics["tx_timeout_count"] == 0


@pytest.mark.parametrize("source,target", PAIRS)
def test_tcp(trio, data, source, target):
    assert transfer(trio[source], trio[target], BIG)


@pytest.mark.parametrize("source,target", PAIRS)
def test_tcp_over_ipv6(trio, data, source, target):
    assert transfer(trio[source], trio[target], SMALL, v6=True)


@pytest.mark.asan
def test_tcp_small(trio, data):
    """Every pair, for builds that are too slow for test_tcp."""
    for source, target in PAIRS:
        assert transfer(trio[source], trio[target], SMALL), (source, target)


def test_large_sends_are_used(trio, data):
    """The transfers of this file would prove little if the guests cut their segments themselves. (How large they are
    goes by the rate that TCP reaches, so by the machine.)"""
    for source in ALL:
        before = trio.vport(source)
        transfer(trio[source], trio["outside"], SMALL)
        after = trio.vport(source)
        frames = after["tx-frames"] - before["tx-frames"]
        size = (after["tx-bytes"] - before["tx-bytes"]) / frames
        assert size > 1514, f"{source}: {size} bytes a frame"


# --- UDP ---


def udp(source, target, address, options):
    """iperf3's figures for datagrams."""
    server = target.spawn("iperf3 -s -1 -p 5112")
    try:
        target.wait_listening(5112)
        text = source.run(f"iperf3 -J -u -p 5112 {options} -c {address}")
        return json.loads(text[text.index("{"):])["end"]["sum"]  # behind a warning about the MSS
    finally:
        server.kill()


@pytest.mark.parametrize("source,target", PAIRS)
def test_udp(trio, source, target):
    """Datagrams of one frame and of several fragments; no_corrupt_packets looks at their checksums."""
    four, six = trio[target].address, trio[target].address6
    for address, size, rate in ((four, 16, "200k"), (four, 8000, "8M"), (six, 8000, "8M")):
        for _ in range(4):
            figures = udp(trio[source], trio[target], address, f"-k 100 -b {rate} -l {size}")
            # On a busy machine the receiving program may be late, and its socket overflow.
            if figures["packets"] >= 80 and figures["lost_packets"] <= figures["packets"] / 4:
                break
        else:
            raise AssertionError(figures)


# --- checksums on the wire ---


def capture_verdicts(target, source, protocol, cause):
    """What tcpdump in the target says of the checksums of frames from the source: {verdict: count}."""
    capture = target.tcpdump(f"-vv -c 60 '{protocol} and src {source}'", "timeout 60 tcpdump")
    cause()
    text = capture.wait(check=False)
    good = len(re.findall(r"\(correct\)|udp sum ok|icmp6 sum ok", text))
    bad = re.findall(r".*(?:incorrect|bad udp cksum|bad icmp6 cksum|bad cksum|wrong).*", text)
    return good, bad


@pytest.mark.parametrize("source,target", [pair for pair in PAIRS if pair[1] in VFS])
def test_received_checksums(trio, data, source, target):
    """No frame reaches a VF with a checksum unfinished, as a virtio-net adapter may get it."""
    source, target = trio[source], trio[target]
    target.run(f"ethtool -K {target.device} gro off")
    try:
        for v6 in (False, True):
            address = source.address6 if v6 else source.address
            good, bad = capture_verdicts(target, address, "tcp",
                                         lambda v6=v6: transfer(source, target, SMALL, v6=v6))
            assert good >= 50 and not bad, (good, bad[:3])
            to = target.address6 if v6 else target.address
            good, bad = capture_verdicts(target, address, "udp",
                                         lambda to=to: udp(source, target, to, "-k 200 -b 2M -l 1000"))
            assert good >= 50 and not bad, (good, bad[:3])
    finally:
        target.run(f"ethtool -K {target.device} gro on")
