# SPDX-License-Identifier: BSD-3-Clause
"""What is measured. A group is a set of contenders that take turns, block by block, so that each
round of turns meets the same phase of the machine; ratios are taken within a round."""

import collections
import os

SIZES = (64, 256, 1518)
PEERS = ("ovs-dpdk", "testpmd", "testpmd-same-flags")

# entrant: name in the results, contender's key, kind of its ports
# results: entrants of the group that make up a case
Group = collections.namedtuple("Group", "name sizes n_ports mode options entrants cases")
Entrant = collections.namedtuple("Entrant", "name contender kind")

SYN = Entrant("softiov", "softiov", "syn")
VF = Entrant("softiov-vf", "softiov", "vf")
MIXED = Entrant("softiov-mixed", "softiov", "mixed")
OTHERS = [Entrant(name, name, "syn") for name in PEERS]


def groups(quick):
    """Cases with peers. In `cases`, the entrant of softiov and, by case, who it is compared with."""
    some = (64,) if quick else SIZES
    every = {"synthetic": ("softiov", PEERS), "vf": ("softiov-vf", PEERS)}
    both = {"bidir": ("softiov", PEERS), "bidir-vf": ("softiov-vf", PEERS),
            "mixed": ("softiov-mixed", PEERS)}
    found = [
        Group("one way", SIZES, 2, "uni", [], [SYN, VF, *OTHERS], every),
        Group("both ways", some, 2, "bidir", [], [SYN, VF, MIXED, *OTHERS], both),
        Group("1000 flows", some, 2, "uni", ["--flows", "1000"], [SYN, VF, *OTHERS],
              {"flows": ("softiov", PEERS), "flows-vf": ("softiov-vf", PEERS)}),
        Group("latency", (64,), 2, "latency", [], [SYN, VF, *OTHERS],
              {"latency": ("softiov", PEERS), "latency-vf": ("softiov-vf", PEERS)}),
        Group("one to 16", some, 17, "flood", [], [SYN, VF, OTHERS[0]],
              {"flood": ("softiov", PEERS[:1]), "flood-vf": ("softiov-vf", PEERS[:1])}),
    ]
    if not quick:
        found.append(Group("receiver reads each frame", SIZES, 2, "uni", ["--touch"],
                           [SYN, VF, *OTHERS],
                           {"touch": ("softiov", PEERS), "touch-vf": ("softiov-vf", PEERS)}))
    return found


PORT_COUNTS = (2, 16, 64, 256)
PORTS_RING = 256  # entries: memory of 256 ports must not be what is measured
RSS_QUEUES = {"rss": (1, 2, 4), "rss-vf": (0, 1, 2, 4)}  # 0: one, and no RSS
RSS_FLOWS = 1000
IDLE_VFS = 64
WORKERS_RING = 4096  # room for what a worker does while the client, on the same core, sleeps
WORKERS_BATCH = 256
WORKERS_NAP_US = 20
# What is asked of each frame from p0 to p1, by how many of it there are, or at which hook. Rules of `acl` do not match.
POLICIES = {"acl": (0, 10, 1000, 10000), "stateful": (0, 1, 10000, 1000000), "meter": (0, 1, 100), "mirror": (0, 1),
            "extension": (0, "ingress", "egress")}
ACL_PEER = 1000  # rules that OVS-DPDK gets, too
ONLOOKER = "p2"  # whom the mirror shows what p1 gets
# Name, filter, flows: a filter for another protocol, one for other ports of the same.
CAPTURES = {"off": (None, 1), "no match": ("tcp port 1", 1), "off, 1000 flows": (None, 1000),
            "no match, 1000 flows": ("udp port 1", 1000), "all": ("", 1)}
CAPTURES_OVER = {"no match": "off", "no match, 1000 flows": "off, 1000 flows", "all": "off"}

QOS_VPORTS = 64
QOS_LIMITS = {"max-tx": "1000gbit"}


def policy(case, n):
    """The objects that make n of what the case counts."""
    if n == 0:
        return {}
    if case == "stateful":
        return {"acl": {"p0/out": {"direction": "out", "action": "allow", "weight": 1, "stateful": True},
                        "p1/in": {"direction": "in", "action": "allow", "weight": 1, "stateful": True}}}
    if case == "meter":
        return {"acl": {f"p{port}/{i}": {"direction": direction, "action": "meter", "remote": f"10.{i}.0.0/16"}
                        for port, direction in enumerate(("out", "in")) for i in range(n)}}
    if case == "extension":
        import extension  # from tests/lib, which contenders has put on the path
        file = extension.build(extension.EXAMPLE, os.path.join(extension.folder(), "firewall.o"))
        return {"extension": {"x": {"switch": "bench", "hook": n, "file": file}}}
    if case == "mirror":
        return {"mirror": {"m": {"switch": "bench", "vport": "p1", "direction": "in", "to-vport": ONLOOKER}}}
    return {"acl": {f"p1/{i}": {"direction": "in", "action": "deny", "weight": 1 + i % 7, **acl_match(i)}
                    for i in range(n)}}


def acl_match(i):
    return {"remote": f"10.{1 + i // 250}.{i % 250}.0/24", "protocol": "udp", "local-port": str(i)}


def acl_flows(n):
    """The rules of `acl` as OpenFlow has them."""
    return [f"priority={100 + i % 7},udp,dl_dst=02:00:00:00:00:02,nw_src={match['remote']},"
            f"tp_dst={match['local-port']},actions=drop" for i, match in ((i, acl_match(i)) for i in range(n))]
