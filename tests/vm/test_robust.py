# SPDX-License-Identifier: BSD-3-Clause
"""What one guest's end, or the daemon's, does to the others.

    vf82599, vfx540, synthetic, victim (VF) -- switch -- outside
"""

import re
import signal
import time

import pytest

from softiov import wait_until
from stage import in_parallel, transfer

IDLE_SECONDS = 5
IDLE_LIMIT = 2.0  # % of a core
WITNESSES = ["vfx540", "vf82599", "synthetic"]  # each to the next
ROUNDS = 3


def idle_share(stage):
    """% of a core that the daemon uses while nobody sends."""
    before, start = stage.daemon.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    return 100 * (stage.daemon.cpu_seconds() - before) / (time.monotonic() - start)


def test_idle_daemon_leaves_the_cpu_alone(trio, capsys):
    shares = []
    while not shares or shares[-1] >= IDLE_LIMIT and len(shares) < 5:  # guests may have something to say at first
        shares.append(idle_share(trio))
    with capsys.disabled():
        print(f"[softiovd idle: {shares[-1]:.2f} % of a core] ", end="")
    assert shares[-1] < IDLE_LIMIT, shares


@pytest.fixture(scope="module")
def victim(lab, trio):
    trio.add_vport("victim", mac="02:00:00:00:00:0f")
    trio.boot("victim", kernel=lab.kernels[0])
    trio.ready("victim")
    return "victim"


@pytest.mark.asan
def test_others_lose_nothing(lab, trio, victim):
    """A guest is killed again and again while it sends and receives all it can."""
    count = 200
    for _ in range(ROUNDS):
        drops = {name: trio.drops(name) for name in WITNESSES}
        with trio.traffic(victim, "outside"):
            jobs = [trio[a].spawn(f"ping -n -i 0.02 -c {count} -W 5 {trio[b].address}")
                    for a, b in zip(WITNESSES, WITNESSES[1:])]
            time.sleep(1)
            trio.guests[victim].kill()
            trio.boot(victim, kernel=lab.kernels[0])
            answers = [{int(n) for n in re.findall(r"icmp_seq=(\d+)", job.wait(check=False))}
                       for job in jobs]
        lost = [sorted(set(range(1, count + 1)) - found) for found in answers]
        assert lost == [[], []], (drops, {name: trio.drops(name) for name in WITNESSES})
        trio.ready(victim)
    trio.works(victim)


@pytest.mark.asan
def test_others_transfer_on(lab, trio, victim):
    """The same with TCP between the others, and resets, which unmap memory that frames are going to."""
    def bystander(pair):
        return [transfer(trio[pair[0]], trio[pair[1]], 8) for _ in range(4)]

    def torment(_):
        for _ in range(2):
            trio.guests[victim].reset()
            trio[victim].configure()
        trio.guests[victim].kill()

    with trio.traffic(victim, "outside"):
        results = in_parallel(lambda work: work[0](work[1]),
                              [(bystander, ("vfx540", "synthetic")), (torment, None)])
    assert results[0] == [True] * 4
    trio.boot(victim, kernel=lab.kernels[0])
    trio.ready(victim)
    trio.works(victim)


def test_paused_guest_holds_nobody_up(trio, victim):
    """A guest that stops taking its frames loses them; whoever sends to it goes on sending to others."""
    with trio.traffic("vf82599", victim):
        assert trio["vfx540"].reaches(trio[victim])  # and so knows its MAC
        before = trio.drops(victim).get("no-buffer", 0)
        trio.guests[victim].qmp.command("stop")
        try:
            # TCP falls silent without answers; pings do not. A ring has at most 4096 descriptors.
            def overflows():
                trio["vfx540"].call(f"ping -n -q -f -l 5000 -c 5000 -w 2 {trio[victim].address}")
                return trio.drops(victim).get("no-buffer", 0) > before

            # It cannot be asked for its MAC now.
            trio["vfx540"].run(f"ip neigh replace {trio[victim].address} lladdr {trio[victim].mac} "
                               f"dev {trio['vfx540'].device} nud permanent")
            assert wait_until(overflows)
            assert trio["vf82599"].reaches(trio["synthetic"])
            assert trio["vfx540"].reaches(trio["outside"])
        finally:
            trio.guests[victim].qmp.command("cont")
            trio["vfx540"].run(f"ip neigh del {trio[victim].address} dev {trio['vfx540'].device}")
    trio.works(victim)


def test_nothing_leaks(lab, trio, victim):
    """File descriptors after more guests have come and gone."""
    def once():
        trio.guests[victim].kill()
        trio.boot(victim, kernel=lab.kernels[0])
        trio.ready(victim)

    once()
    before = trio.daemon.n_fds()
    for _ in range(2):
        once()
    assert wait_until(lambda: trio.daemon.n_fds() == before)


def test_daemon_restarts_under_traffic(lab, trio, victim):
    """SIGTERM ends the daemon in order in full traffic. After its next start synthetics go on by
    themselves; a VF's guest needs a new QEMU, since QEMU 11.1's vfio-user never connects twice."""
    with trio.traffic("vf82599", "synthetic"):
        trio.daemon.stop()
    trio.daemon.start()
    assert trio.vport("vf82599")["vf-state"] == "listening"
    trio.wait_path("synthetic", "synthetic")
    assert trio["synthetic"].reaches(trio["outside"])
    trio.works("synthetic")
    for name in ("vf82599", "vfx540", victim):
        trio.guests[name].kill()
        trio.boot(name, kernel=lab.kernels[0], mem=512)
    trio.ready("vf82599", "vfx540", victim)
    for name in ("vf82599", "vfx540", victim):
        trio.works(name, "synthetic")


def test_daemon_killed(trio):
    """SIGKILL in traffic: a synthetic's guest goes on after each restart."""
    for _ in range(ROUNDS):
        with trio.traffic("synthetic", "outside"):
            trio.daemon.kill(signal.SIGKILL)
        trio.daemon.start()
        trio.wait_path("synthetic", "synthetic")
        trio.works("synthetic")
