/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * THE table: every object, field and verb of the program. Parsing, API, command line, completion,
 * help, store and docs/reference.md follow from it.
 *
 * To add a field: one line here (and `softiov help --markdown > docs/reference.md`). To add an
 * object: its fields, its verbs, one entry in softiov_types, after the types that it refers to.
 */
#include "softiov/schema.h"

#include "model/acl.h"
#include "model/qos.h"
#include "model/vlans.h"

#include <string.h>

#define REQ  FIELD_REQUIRED
#define NEW  FIELD_CREATE
#define GEN  FIELD_GENERATED
#define STAT FIELD_STATUS
#define CNT  (FIELD_STATUS | FIELD_COUNTER)
#define COL  FIELD_COLUMN

#define RATE_MAX 10000000000000 /* bit/s; what src/switch/bucket.c can still tell from no limit */

/* clang-format off */

static const char *const words_model[] = { "82599", "x540", "x550", "82576", "i350", NULL };
static const char *const words_speed[] = { "auto", "100mbit", "1gbit", "2.5gbit", "5gbit", "10gbit", NULL };
static const char *const words_doorbell[] = { "mapped", "trap", NULL };
static const char *const words_filters[] = { "controller", "any", NULL };
static const char *const words_link[] = { "auto", "up", "down", NULL };
static const char *const words_link_state[] = { "up", "down", NULL };
static const char *const words_path[] = { "vf", "synthetic", "none", NULL };
static const char *const words_vf_state[] = { "listening", "attached", "active", NULL };
static const char *const words_syn_state[] = { "off", "listening", "connected", "active", NULL };
static const char *const words_driver[] = { "auto", "af-packet", "af-xdp", "ethdev", NULL };
static const char *const words_private_vlan[] = { "none", "isolated", "community", "promiscuous", NULL };
static const char *const words_direction[] = { "in", "out", NULL };
static const char *const words_action[] = { "allow", "deny", "meter", NULL };
static const char *const words_event[] = { "added", "changed", "removed", "attached", "detached",
	"path", "link", "refused", "warning", NULL };
static const char *const words_vport_queue[] = { "vf", "synthetic", NULL };
static const char *const words_uplink_queue[] = { "uplink", NULL };
static const char *const words_queue[] = { "vf", "synthetic", "uplink", NULL };
static const char *const words_device[] = { "auto", "vf", "synthetic", "failover", NULL };

#define KEY(type_help, flag) \
	{ "name", TYPE_NAME, REQ | COL | (flag), .help = (type_help) }

/* Every configured object has it; src/api/mgmt.c fills it. */
#define PROBLEM \
	{ "problem", TYPE_STRING, STAT | COL, .help = "why the object is configured but does not run" }

/* Traffic as the peer behind the port sees it: a vport's rx is what its VM received. */
#define TRAFFIC(who, col) \
	{ "rx-frames", TYPE_UINT, CNT | (col), .unit = "frames", .help = "frames received by " who }, \
	{ "rx-bytes", TYPE_UINT, CNT, .unit = "B", .help = "bytes received by " who }, \
	{ "tx-frames", TYPE_UINT, CNT | (col), .unit = "frames", .help = "frames sent by " who }, \
	{ "tx-bytes", TYPE_UINT, CNT, .unit = "B", .help = "bytes sent by " who }

#define DROPS(col) \
	{ "drops", TYPE_UINT, STAT | (col), .unit = "frames", .help = "frames dropped, for any reason" }, \
	{ "drop-reasons", TYPE_MAP, CNT, .unit = "frames", .help = "frames dropped, for each reason" }

#define RATES(who, col) \
	{ "rx-rate", TYPE_RATE, STAT | (col), .unit = "bit/s", .help = "bits a second received by " who ", over the last interval" }, \
	{ "tx-rate", TYPE_RATE, STAT | (col), .unit = "bit/s", .help = "bits a second sent by " who ", over the last interval" }, \
	{ "rx-fps", TYPE_UINT, STAT, .unit = "frames/s", .help = "frames a second received by " who ", over the last interval" }, \
	{ "tx-fps", TYPE_UINT, STAT, .unit = "frames/s", .help = "frames a second sent by " who ", over the last interval" }

#define END { .name = NULL }

static const char *const words_any[] = { "any", NULL };
static const char *const words_none[] = { "none", NULL };
static const char *const words_filter[] = { "none", "iscsi", "nfs", "smb", "live-migration", "others", NULL };
static const char *const words_algorithm[] = { "strict", "ets", NULL };
static const char *const words_on_off[] = { "off", "on", NULL };

static const char *const words_capture_type[] = { "vswitch", "physical", "both", NULL };
static const char *const words_capture_drops[] = { "too", "only", NULL };
static const char *const words_mirror_direction[] = { "both", "in", "out", NULL };
static const char *const words_mirror_drops[] = { "no", "too", "only", NULL };
static const char *const words_mirror_tunnel[] = { "erspan", "gre", NULL };
static const char *const words_extension_hook[] = { "ingress", "egress", NULL };
static const char *const words_extension_failure[] = { "drop", "pass", NULL };
static const char *const words_extension_state[] = { "running", "failed", NULL };
static const char *const words_capture_state[] = { "running", "ended", NULL };

static const struct field switch_fields[] = {
	KEY("name of the switch", 0),
	{ "vfs", TYPE_UINT, COL, 0, 256, .def = "64",
	  .help = "VFs in the pool: at most so many vports have one at a time. Up to 64, not more of a model than "
		  "its controller has (82576, I350: 8; the others: 64); more than 64 lifts that" },
	{ "filters", TYPE_ENUM, 0, .def = "controller", .words = words_filters,
	  .help = "MAC and VLAN filters that drivers of its VFs may set: as many as a controller of their model has "
		  "for all of them, or any, which is as many as each VF has room for" },
	{ "fdb-age", TYPE_DURATION, 0, 0, 86400, "s", "300s",
	  .help = "how long an address learned on an uplink is kept without traffic; 0 for ever" },
	{ "fdb-limit", TYPE_UINT, 0, 0, 1048576, .def = "4096", .unit = "addresses",
	  .help = "addresses learned at most on each uplink" },
	{ "default-min", TYPE_RATE, 0, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "what vports without min-tx and weight may send to uplinks at least, all together, while more is to be sent "
		  "than they carry. 0: see default-weight" },
	{ "default-weight", TYPE_UINT, 0, 1, 100, .def = "1",
	  .help = "the share of vports without a minimum or weight, all together, against the weights of the others: of sending, "
		  "where there is no default-min, and of receiving" },
	PROBLEM,
	{ "vports", TYPE_UINT, STAT | COL, .help = "vports on the switch" },
	{ "vfs-in-use", TYPE_UINT, STAT | COL, .help = "VFs that vports hold" },
	{ "fdb-entries", TYPE_UINT, STAT | COL, .help = "addresses in the forwarding table" },
	TRAFFIC("all ports of the switch", 0),
	DROPS(COL),
	END
};

static const struct field vport_fields[] = {
	KEY("name of the vport", 0),
	{ "switch", TYPE_REF, REQ | NEW | COL, .ref = "switch", .help = "the switch it is on" },
	{ "mac", TYPE_MAC, GEN | COL, .unique = "switch",
	  .help = "MAC address; without it a locally administered one is made and kept" },
	{ "vlan", TYPE_VLAN, COL, 0, 4094, .def = "0",
	  .help = "VLAN of the VM's untagged frames; 0 for none. With trunk, the native VLAN" },
	{ "trunk", TYPE_VLANS, 0, .def = "none",
	  .help = "VLANs that the VM may use tagged" },
	{ "private-vlan", TYPE_ENUM, 0, .def = "none", .words = words_private_vlan,
	  .help = "its place in a private VLAN, whose primary VLAN is `vlan`: isolated ones reach promiscuous ones only, "
		  "community ones also those of their secondary VLAN" },
	{ "secondary-vlans", TYPE_VLANS, 0, .def = "none",
	  .help = "secondary VLANs of the private VLAN: the one that the vport is in, or those that a promiscuous one sees" },
	{ "ieee-priority-tag", TYPE_BOOL, 0, .def = "off",
	  .help = "802.1p priorities that the VM sends count; off: they are reset to 0" },
	{ "iov", TYPE_BOOL, 0, .def = "on", .help = "wants a VF" },
	{ "model", TYPE_ENUM, NEW, .def = "82599", .words = words_model,
	  .help = "controller that the VF is one of" },
	{ "queues", TYPE_UINT, NEW, 1, 8, .def = "1", .unit = "pairs",
	  .help = "pairs of queues that each of its adapters offers; a VF of the 82576 has two, one of the "
		  "I350 one, the others two at least" },
	{ "doorbell", TYPE_ENUM, 0, .def = "mapped", .words = words_doorbell,
	  .help = "how the VM reaches the VF's queue registers: mapped, in memory shared with the switch; trap, "
		  "by messages, for those who test drivers, each checked as a controller does. For the next attachment of a VM" },
	{ "synthetic", TYPE_BOOL, 0, .def = "on", .help = "offers a virtio-net adapter" },
	{ "mac-spoofing", TYPE_BOOL, 0, .def = "off",
	  .help = "the VM may send from other MAC addresses, which are learned as on an uplink" },
	{ "mac-limit", TYPE_UINT, 0, 1, 65536, .unit = "addresses", .def = "1024",
	  .help = "addresses learned behind the VM at most, with mac-spoofing; frames from further ones are dropped" },
	{ "addresses", TYPE_ADDRESSES, 0, .def = "none",
	  .help = "IP addresses of the VM: it may send from no others, and claim no others by ARP and neighbour discovery; "
		  "none: it may have any" },
	{ "storm-limit", TYPE_UINT, 0, 0, 10000000, .unit = "frames/s", .def = "0",
	  .help = "frames a second that the VM may send to broadcast, multicast and unknown addresses; 0 for any number" },
	{ "trust", TYPE_BOOL, 0, .def = "off",
	  .help = "the VM may change its MAC, add MAC filters and go promiscuous" },
	{ "dhcp-guard", TYPE_BOOL, 0, .def = "off",
	  .help = "the VM may not answer as a DHCP server" },
	{ "router-guard", TYPE_BOOL, 0, .def = "off",
	  .help = "the VM may not advertise itself as a router, nor send redirects" },
	{ "max-tx", TYPE_RATE, 0, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "what the VM may send at most; more waits in its own queues. 0: as much as it can" },
	{ "max-rx", TYPE_RATE, 0, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "what the VM may receive at most; more is dropped. 0: as much as it can" },
	{ "min-tx", TYPE_RATE, 0, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "what the VM may send to uplinks at least, while more is to be sent than they carry. 0: see weight" },
	{ "weight", TYPE_UINT, 0, 0, 100, .def = "0",
	  .help = "its share, against the other weights of the switch, of what min-tx of others leaves it of the uplinks; "
		  "0: it is one of those that share default-min or default-weight of the switch" },
	{ "min-rx", TYPE_RATE, 0, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "what the VM may receive from uplinks at least, while more comes in than they carry. 0: see weight-rx" },
	{ "weight-rx", TYPE_UINT, 0, 0, 100, .def = "0",
	  .help = "its share, against the other weight-rx and the switch's default-weight, of what min-rx of others leaves "
		  "of what uplinks bring; 0: it is one of those that share default-weight" },
	{ "burst", TYPE_SIZE, 0, 0, 1ull << 30, .unit = "B", .def = "0",
	  .help = "what it may send, or receive, at once after a pause, whatever max-tx and max-rx are; 0: what they "
		  "allow in 20 ms" },
	{ "max-connections", TYPE_UINT, 0, 16, 4194304, .def = "65536", .unit = "connections",
	  .help = "room for connections that stateful rules remember, 100 to 200 bytes each; a change forgets them" },
	{ "verify-checksums", TYPE_BOOL, 0, .def = "off",
	  .help = "the VF checks the checksums of every frame that the VM receives, as the controller does, "
		  "and reports bad ones; off: it says what is known without" },
	{ "link", TYPE_ENUM, 0, .def = "auto", .words = words_link,
	  .help = "link that the VM sees; auto is up while the daemon runs" },
	{ "speed", TYPE_ENUM, 0, .def = "auto", .words = words_speed,
	  .help = "speed of the link that the VF shows; auto is the controller's highest, and of what it lacks it "
		  "shows the next below. Frames are as fast as ever" },
	{ "mtu", TYPE_UINT, 0, 68, 9710, "B", "1500",
	  .help = "largest MTU that the VM may use" },
	{ "owner", TYPE_STRING, 0, .max = 32, .def = "",
	  .help = "user that may open the vport's sockets; empty for the daemon's own" },
	{ "pins", TYPE_PINS, 0, .def = "none", .words = words_vport_queue,
	  .help = "transmit queues that are kept on a worker; `queue set` writes it" },
	PROBLEM,
	{ "path", TYPE_ENUM, STAT | COL, .words = words_path,
	  .help = "which adapter carries the traffic now" },
	{ "reasons", TYPE_LIST, STAT, .help = "why the vport wants a VF and has none" },
	{ "vf", TYPE_UINT, STAT | COL, .help = "index of its VF" },
	{ "vf-state", TYPE_ENUM, STAT, .words = words_vf_state, .help = "state of its VF" },
	{ "vf-api", TYPE_STRING, STAT, .help = "mailbox version that the VM's driver agreed to" },
	{ "syn-state", TYPE_ENUM, STAT, .words = words_syn_state, .help = "state of its virtio-net adapter" },
	{ "syn-features", TYPE_LIST, STAT,
	  .help = "features of its virtio-net adapter that the VM's driver agreed to" },
	{ "vf-socket", TYPE_PATH, STAT, .help = "vfio-user socket of the VF" },
	{ "syn-socket", TYPE_PATH, STAT, .help = "vhost-user socket of the virtio-net adapter" },
	{ "guest-mac", TYPE_MAC, STAT, .help = "MAC address that the VM uses now" },
	{ "connections", TYPE_UINT, STAT, .help = "connections that its stateful rules remember" },
	{ "queues-in-use", TYPE_UINT, STAT, .help = "pairs of queues of the adapter that carries the traffic" },
	{ "fdb-entries", TYPE_UINT, STAT, .help = "addresses learned behind the VM" },
	RATES("the VM", COL),
	TRAFFIC("the VM", COL),
	{ "tx-waited-frames", TYPE_UINT, CNT, .unit = "frames", .help = "frames that waited since the VM sent more than it may" },
	{ "tx-waited-bytes", TYPE_UINT, CNT, .unit = "B", .help = "their bytes" },
	{ "rx-policed-frames", TYPE_UINT, CNT, .unit = "frames", .help = "frames dropped since the VM received as much as it may" },
	{ "rx-policed-bytes", TYPE_UINT, CNT, .unit = "B", .help = "their bytes" },
	DROPS(COL),
	END
};

static const struct field uplink_fields[] = {
	KEY("name of the uplink", 0),
	{ "switch", TYPE_REF, REQ | NEW | COL, .ref = "switch", .help = "the switch it is on" },
	{ "device", TYPE_STRING, REQ | NEW | COL, 1, 255, .unique = "*",
	  .help = "Linux interface (eth0), PCI address, or a DPDK device string (net_tap0,iface=t0)" },
	{ "driver", TYPE_ENUM, NEW, .def = "auto", .words = words_driver,
	  .help = "how the device is driven; auto takes what fits its name" },
	{ "vlan", TYPE_VLAN, 0, 0, 4094, .def = "0",
	  .help = "native VLAN: of untagged frames; 0 for none" },
	{ "trunk", TYPE_VLANS, 0, .def = "all", .help = "VLANs that pass tagged" },
	{ "max-rate", TYPE_RATE, 0, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "what vports may send to it, all together; more waits in their own queues. 0: what its link says" },
	{ "prio-tc", TYPE_EIGHT, 0, 0, 7, .def = "all:0",
	  .help = "class of traffic of each 802.1p priority; all in one: the link has no classes" },
	{ "tc-tsa", TYPE_EIGHT, 0, .def = "all:strict", .words = words_algorithm,
	  .help = "how each class is chosen: strict ones before all others, the highest first; ets ones by tc-bw" },
	{ "tc-bw", TYPE_EIGHT, 0, 0, 100, .def = "all:0",
	  .help = "percent of what strict classes leave that each ets class may send at least; they add up to 100" },
	{ "prio-pfc", TYPE_EIGHT, 0, .def = "all:off", .words = words_on_off,
	  .help = "priorities that the device pauses, and is paused, one by one (802.1Qbb); not every device can" },
	{ "priority-tag", TYPE_BOOL, 0, .def = "off",
	  .help = "frames with a priority that leave without a tag get one with VLAN 0, so that the priority goes with them" },
	{ "pins", TYPE_PINS, 0, .def = "none", .words = words_uplink_queue,
	  .help = "queues that are kept on a worker; `queue set` writes it" },
	PROBLEM,
	{ "link", TYPE_ENUM, STAT | COL, .words = words_link_state, .help = "state of the link" },
	{ "speed", TYPE_RATE, STAT | COL, .unit = "bit/s", .help = "speed of the link" },
	{ "mac", TYPE_MAC, STAT, .help = "MAC address of the device" },
	{ "driver-in-use", TYPE_STRING, STAT, .help = "DPDK driver in use" },
	{ "fdb-entries", TYPE_UINT, STAT, .help = "addresses learned here" },
	RATES("the host", COL),
	TRAFFIC("the host", COL),
	DROPS(COL),
	END
};

static const struct field acl_fields[] = {
	KEY("VPORT/NAME: the vport whose frames it judges, and a name of its own", 0),
	{ "direction", TYPE_ENUM, REQ | COL, .words = words_direction,
	  .help = "in: frames to the VM; out: frames from it" },
	{ "action", TYPE_ENUM, REQ | COL, .words = words_action,
	  .help = "allow or deny, or meter: count, besides what other rules say" },
	{ "remote", TYPE_PREFIX, COL, .def = "any",
	  .help = "address of the other side: a frame's source with `in`, its destination with `out`" },
	{ "local", TYPE_PREFIX, COL, .def = "any", .help = "address of the VM's side" },
	{ "weight", TYPE_UINT, COL, 0, 65535, .def = "0",
	  .help = "the rule with the highest weight decides; 0 for a basic rule: after all others, the most specific "
		  "address decides" },
	{ "protocol", TYPE_PROTOCOL, COL, .def = "any", .help = "IP protocol; needs a weight" },
	{ "local-port", TYPE_PORTS, COL, .def = "any", .help = "port of the VM's side; needs a protocol that has ports" },
	{ "remote-port", TYPE_PORTS, COL, .def = "any", .help = "port of the other side, likewise" },
	{ "stateful", TYPE_BOOL, 0, .def = "off",
	  .help = "what answers the frames that it allows is allowed, too; needs a weight" },
	{ "idle-timeout", TYPE_DURATION, 0, 1, 86400, "s", "300s",
	  .help = "with `stateful`: how long a connection without frames is remembered" },
	PROBLEM,
	{ "frames", TYPE_UINT, CNT | COL, .unit = "frames", .help = "frames that it decided on, or metered" },
	{ "bytes", TYPE_UINT, CNT, .unit = "B", .help = "bytes of them" },
	END
};

static const struct field qos_policy_fields[] = {
	KEY("SWITCH/NAME: the switch whose vports' frames it is for, and a name of its own", 0),
	{ "precedence", TYPE_UINT, COL, 0, 255, .def = "127",
	  .help = "of several that are for a frame the one with the highest decides; of the same, the more specific one" },
	{ "filter", TYPE_ENUM, COL, .def = "none", .words = words_filter,
	  .help = "what it is for, in a word: TCP port 3260 (iscsi), 2049 (nfs), 445 (smb) or 6600 (live-migration) on either side; "
		  "others: what no other policy is for" },
	{ "vport", TYPE_REF, COL, .ref = "vport", .help = "only what this vport's VM sends" },
	{ "protocol", TYPE_PROTOCOL, COL, .def = "any", .help = "IP protocol" },
	{ "source", TYPE_PREFIX, COL, .def = "any", .help = "source address" },
	{ "destination", TYPE_PREFIX, COL, .def = "any", .help = "destination address" },
	{ "source-port", TYPE_PORTS, 0, .def = "any", .help = "source port of TCP, UDP or SCTP" },
	{ "destination-port", TYPE_PORTS, COL, .def = "any", .help = "destination port, likewise" },
	{ "port", TYPE_PORTS, 0, .def = "any", .help = "source or destination port: of clients and of servers alike" },
	{ "dscp", TYPE_MARK, 0, 0, 63, .def = "any", .words = words_any, .help = "DSCP that the frame has" },
	{ "priority", TYPE_MARK, 0, 0, 7, .def = "any", .words = words_any,
	  .help = "802.1p priority that it has; 0 without ieee-priority-tag of its vport" },
	{ "set-dscp", TYPE_MARK, COL, 0, 63, .def = "none", .words = words_none, .help = "DSCP that it gets" },
	{ "set-priority", TYPE_MARK, COL, 0, 7, .def = "none", .words = words_none,
	  .help = "802.1p priority that it gets, which goes with its tag, and chooses its class at an uplink with prio-tc" },
	{ "min-weight", TYPE_UINT, COL, 0, 100, .def = "0", .unit = "%",
	  .help = "share of the uplinks that what it is for may have at least, while more is to be sent than they carry" },
	{ "throttle", TYPE_RATE, COL, 0, RATE_MAX, .def = "0", .unit = "bit/s",
	  .help = "rate of what it is for, all vports together; more is dropped. 0: any" },
	PROBLEM,
	{ "frames", TYPE_UINT, CNT | COL, .unit = "frames", .help = "frames that it decided on" },
	{ "bytes", TYPE_UINT, CNT, .unit = "B", .help = "bytes of them" },
	{ "throttled", TYPE_UINT, CNT, .unit = "frames", .help = "frames of them that were dropped" },
	END
};

static const struct field meter_fields[] = {
	KEY("VPORT/NAME of the rule", STAT),
	{ "vport", TYPE_STRING, STAT, .help = "the vport whose frames are metered" },
	{ "direction", TYPE_ENUM, STAT | COL, .words = words_direction, .help = "in: to the VM; out: from it" },
	{ "remote", TYPE_PREFIX, STAT | COL, .help = "addresses of the other side" },
	{ "local", TYPE_PREFIX, STAT, .help = "addresses of the VM's side" },
	{ "frames", TYPE_UINT, STAT | COL, .unit = "frames", .help = "frames since the reset" },
	{ "bytes", TYPE_UINT, STAT | COL, .unit = "B", .help = "bytes since the reset" },
	{ "since", TYPE_DURATION, STAT | COL, .unit = "s", .help = "time since the reset, or since the rule came" },
	{ "average", TYPE_RATE, STAT | COL, .unit = "bit/s", .help = "bits a second in that time" },
	{ "minimum", TYPE_RATE, STAT | COL, .unit = "bit/s", .help = "bits a second in the interval, of a second or so, with the fewest" },
	{ "maximum", TYPE_RATE, STAT | COL, .unit = "bit/s", .help = "bits a second in the interval with the most" },
	END
};

static const struct field vf_fields[] = {
	KEY("SWITCH/INDEX", STAT),
	{ "switch", TYPE_STRING, STAT | COL, .help = "the switch whose pool it is in" },
	{ "index", TYPE_UINT, STAT, .help = "number in the pool" },
	{ "vport", TYPE_STRING, STAT | COL, .help = "vport that holds it" },
	{ "model", TYPE_ENUM, STAT | COL, .words = words_model, .help = "controller that it is one of" },
	{ "pci-id", TYPE_STRING, STAT | COL, .help = "PCI vendor and device" },
	{ "state", TYPE_ENUM, STAT | COL, .words = words_vf_state,
	  .help = "listening: no VM; attached: a VM, no driver yet; active: its driver runs" },
	{ "api", TYPE_STRING, STAT | COL, .help = "mailbox version that the driver agreed to" },
	{ "link", TYPE_ENUM, STAT, .words = words_link_state, .help = "link that the VM sees" },
	{ "doorbell", TYPE_ENUM, STAT, .words = words_doorbell,
	  .help = "how the attached VM, or the next one, reaches the queue registers" },
	{ "msix-vectors", TYPE_UINT, STAT, .help = "interrupt vectors in use" },
	{ "socket", TYPE_PATH, STAT, .help = "vfio-user socket" },
	{ "messages", TYPE_UINT, CNT, .help = "mailbox messages from the driver" },
	{ "irqs", TYPE_UINT, CNT, .help = "interrupts sent" },
	{ "traps", TYPE_UINT, CNT, .help = "register accesses that were messages" },
	{ "dma-messages", TYPE_UINT, CNT,
	  .help = "reads and writes of guest memory by messages, since it is not shared" },
	{ "dma-failed", TYPE_UINT, CNT, .help = "of these, failed; each stops its ring" },
	{ "bad-descriptors", TYPE_UINT, STAT, .help = "descriptors refused" },
	END
};

static const struct field worker_fields[] = {
	KEY("number of the worker", STAT),
	{ "cpu", TYPE_UINT, STAT | COL, .help = "processor that it is pinned to" },
	{ "busy", TYPE_REAL, STAT | COL, .unit = "%", .help = "share of the last interval spent on frames" },
	{ "frames-per-second", TYPE_UINT, STAT | COL, .unit = "frames/s", .help = "over the last interval" },
	{ "cycles-per-frame", TYPE_REAL, STAT | COL, .help = "processor cycles a frame, over the last interval" },
	{ "queues", TYPE_UINT, STAT | COL, .help = "transmit queues that it serves" },
	{ "frames", TYPE_UINT, CNT | COL, .unit = "frames", .help = "frames switched" },
	{ "busy-cycles", TYPE_UINT, CNT, .unit = "cycles", .help = "cycles in which it had frames" },
	{ "sleeps", TYPE_UINT, CNT, .help = "times it slept because there was nothing to do" },
	END
};

static const struct field queue_fields[] = {
	KEY("PORT/KIND-N", STAT),
	{ "switch", TYPE_STRING, STAT | COL, .help = "the switch that its frames go to" },
	{ "port", TYPE_STRING, STAT, .help = "the vport or uplink that it belongs to" },
	{ "kind", TYPE_ENUM, STAT, .words = words_queue, .help = "which adapter of the port it is of" },
	{ "queue", TYPE_UINT, STAT, .help = "number within the adapter" },
	{ "worker", TYPE_UINT, STAT | COL, .help = "worker that serves it" },
	{ "pinned", TYPE_BOOL, STAT | COL, .help = "kept on this worker, however loads are" },
	{ "load", TYPE_REAL, STAT | COL, .unit = "%", .help = "share of a core that serving it took, over the last interval" },
	{ "frames-per-second", TYPE_UINT, STAT | COL, .unit = "frames/s", .help = "over the last interval" },
	{ "moves", TYPE_UINT, STAT | COL, .help = "times it changed its worker" },
	{ "frames", TYPE_UINT, CNT | COL, .unit = "frames", .help = "frames taken from it" },
	{ "busy-cycles", TYPE_UINT, CNT, .unit = "cycles", .help = "cycles that serving it took" },
	END
};

static const struct field host_fields[] = {
	KEY("name of the host", STAT),
	{ "version", TYPE_STRING, STAT, .help = "version of softiovd" },
	{ "dpdk", TYPE_STRING, STAT, .help = "version of DPDK" },
	{ "kernel", TYPE_STRING, STAT, .help = "version of the kernel" },
	{ "uptime", TYPE_DURATION, STAT, .unit = "s", .help = "how long the daemon has been running" },
	{ "pid", TYPE_UINT, STAT, .help = "process of the daemon" },
	{ "cpu", TYPE_STRING, STAT, .help = "model of the processor" },
	{ "cpu-flags", TYPE_LIST, STAT, .help = "instruction sets that matter here" },
	{ "data-path-cpu", TYPE_STRING, STAT,
	  .help = "instruction set that the data path's variants were chosen for: sse4.2 or avx2 (elsewhere: portable)" },
	{ "cpus", TYPE_STRING, STAT, .help = "processors online" },
	{ "workers", TYPE_UINT, STAT, .help = "workers of the data path" },
	{ "hugepages", TYPE_MAP, STAT, .unit = "pages", .help = "huge pages by size and use" },
	{ "limits", TYPE_MAP, STAT, .help = "limits of this program and process" },
	{ "run-dir", TYPE_PATH, STAT, .help = "where the sockets are" },
	{ "state-dir", TYPE_PATH, STAT, .help = "where the store is" },
	END
};

static const struct field capture_fields[] = {
	KEY("number of the capture", STAT),
	{ "state", TYPE_ENUM, STAT | COL, .words = words_capture_state, .help = "whether it still runs" },
	{ "ports", TYPE_STRING, STAT | COL, .help = "whose frames it takes" },
	{ "filter", TYPE_STRING, STAT | COL, .max = 1024, .help = "expression that frames must pass" },
	{ "drops", TYPE_ENUM, STAT, .words = words_capture_drops, .help = "only frames that were dropped, or these too" },
	{ "snaplen", TYPE_UINT, STAT, .unit = "B", .help = "bytes of each frame that are kept" },
	{ "file", TYPE_STRING, STAT | COL, .help = "where its reader writes it, by its own word" },
	{ "started", TYPE_TIME, STAT, .help = "when it was started" },
	{ "frames", TYPE_UINT, STAT | COL, .unit = "frames", .help = "frames that went to the reader" },
	{ "bytes", TYPE_UINT, STAT, .unit = "B", .help = "bytes that went to the reader" },
	{ "lost", TYPE_UINT, STAT | COL, .unit = "frames", .help = "frames for which there was no room, since the reader was too slow" },
	{ "end", TYPE_STRING, STAT | COL, .help = "why it ended" },
	END
};

static const struct field mirror_fields[] = {
	KEY("name of the mirror", 0),
	{ "switch", TYPE_REF, REQ | NEW | COL, .ref = "switch", .help = "the switch it is on" },
	{ "vport", TYPE_REFS, COL, .ref = "vport",
	  .help = "vports whose frames it shows. Without `vport` and `uplink` it shows those of all ports but the one it "
		  "sends to" },
	{ "uplink", TYPE_REFS, COL, .ref = "uplink", .help = "uplinks whose frames it shows" },
	{ "direction", TYPE_ENUM, COL, .def = "both", .words = words_mirror_direction,
	  .help = "of frames as the VM sees it: out, what it sends; in, what it is sent" },
	{ "drops", TYPE_ENUM, 0, .def = "no", .words = words_mirror_drops,
	  .help = "whether it shows frames that are dropped: not, too, or nothing else" },
	{ "to-vport", TYPE_REF, COL, .ref = "vport",
	  .help = "vport that gets them, whatever their addresses; its VM sees them as they are, with their VLAN tags" },
	{ "to-uplink", TYPE_REF, COL, .ref = "uplink", .help = "uplink that they leave by" },
	{ "vlan", TYPE_VLAN, 0, 0, 4094, .def = "0",
	  .help = "with to-uplink: VLAN that they leave in; 0 for the one that they are in" },
	{ "collector", TYPE_STRING, 0, .max = 45,
	  .help = "with to-uplink: IP address of a collector that gets them encapsulated" },
	{ "next-hop", TYPE_MAC, 0, .help = "MAC address of the collector, or of the router to it" },
	{ "source", TYPE_STRING, 0, .max = 45, .help = "IP address that encapsulated frames come from" },
	{ "encapsulation", TYPE_ENUM, 0, .def = "erspan", .words = words_mirror_tunnel,
	  .help = "for a collector: erspan (type II), or gre (Ethernet over GRE)" },
	{ "session", TYPE_UINT, 0, 0, 1023, .def = "1", .help = "ERSPAN's number of the session" },
	{ "snaplen", TYPE_UINT, 0, 0, 9728, "B", "0", .help = "bytes of each frame that are shown; 0 for all" },
	{ "filter", TYPE_STRING, 0, .max = 1024, .def = "",
	  .help = "an expression as tcpdump has it, in one word for the shell: 'tcp port 80' (pcap-filter(7))" },
	PROBLEM,
	{ "frames", TYPE_UINT, CNT | COL, .unit = "frames",
	  .help = "frames shown; what the destination did not take is among its drops" },
	{ "bytes", TYPE_UINT, CNT, .unit = "B", .help = "their bytes" },
	END
};

static const struct field extension_fields[] = {
	KEY("name of the extension", 0),
	{ "switch", TYPE_REF, REQ | NEW | COL, .ref = "switch", .help = "the switch it is on" },
	{ "hook", TYPE_ENUM, REQ | COL, .words = words_extension_hook,
	  .help = "ingress: it sees what ports send, before their rules; egress: what ports are about to get, after their rules" },
	{ "file", TYPE_PATH, REQ | COL, .help = "ELF file with the program, as clang -target bpf makes it; read when the "
	  "extension is added, changed to another file, or reloaded" },
	{ "section", TYPE_NAME, 0, .help = "section of the file with the program; without it the one named like the hook" },
	{ "order", TYPE_UINT, COL, 0, 65535, .def = "100",
	  .help = "which of a port's extensions is first: the one with the lowest number; of the same, by name" },
	{ "vport", TYPE_REFS, COL, .ref = "vport",
	  .help = "vports whose frames it sees. Without `vport` and `uplink` it sees those of all ports" },
	{ "uplink", TYPE_REFS, COL, .ref = "uplink", .help = "uplinks whose frames it sees" },
	{ "to-vport", TYPE_REF, 0, .ref = "vport", .help = "vport that the program may send frames to" },
	{ "to-uplink", TYPE_REF, 0, .ref = "uplink", .help = "the same of an uplink" },
	{ "on-failure", TYPE_ENUM, 0, .def = "drop", .words = words_extension_failure,
	  .help = "what becomes of its frames while the program cannot be loaded when the daemon starts" },
	PROBLEM,
	{ "state", TYPE_ENUM, STAT | COL, .words = words_extension_state,
	  .help = "failed: its program could not be loaded when the daemon started; it is tried again" },
	{ "failure", TYPE_STRING, STAT, .help = "why it failed" },
	{ "instructions", TYPE_UINT, STAT, .help = "instructions of its program" },
	{ "native", TYPE_BOOL, STAT, .help = "its program is compiled to the processor's own instructions" },
	{ "seen", TYPE_UINT, CNT | COL, .unit = "frames", .help = "frames that the program was run for" },
	{ "passed", TYPE_UINT, CNT, .unit = "frames", .help = "frames that it let pass" },
	{ "dropped", TYPE_UINT, CNT | COL, .unit = "frames", .help = "frames that it dropped" },
	{ "redirected", TYPE_UINT, CNT, .unit = "frames", .help = "frames that it sent elsewhere" },
	{ "counts", TYPE_MAP, CNT, .help = "the program's own counters that are not 0, by their index" },
	END
};

static const struct field event_fields[] = {
	KEY("number of the event, counting from the daemon's start", STAT),
	{ "time", TYPE_TIME, STAT | COL, .help = "when it happened" },
	{ "kind", TYPE_ENUM, STAT | COL, .words = words_event, .help = "what happened" },
	{ "object", TYPE_STRING, STAT | COL, .help = "type of the object" },
	{ "object-name", TYPE_STRING, STAT | COL, .help = "name of the object" },
	{ "text", TYPE_STRING, STAT | COL, .help = "what happened, in words" },
	END
};

static const struct field no_fields[] = { END };

static const struct field guest_params[] = {
	{ "memory", TYPE_SIZE, 0, 0, 1ull << 44, .unit = "B", .def = "512M",
	  .help = "memory of the VM, to be shared with softiovd; 0 for a further adapter of the same VM" },
	{ "device", TYPE_ENUM, 0, .def = "auto", .words = words_device,
	  .help = "which adapter; auto takes what the vport offers, both as a failover pair" },
	{ "slot", TYPE_UINT, 0, 1, 254, .def = "1",
	  .help = "first PCIe slot to use; two more than the last for a further adapter of the same VM" },
	END
};

static const struct field queue_params[] = {
	{ "worker", TYPE_WORKER, REQ, .help = "the worker that shall serve it from now on; auto: where the loads say" },
	END
};

static const struct field capture_params[] = {
	{ "vport", TYPE_REFS, 0, .ref = "vport", .help = "only these vports" },
	{ "uplink", TYPE_REFS, 0, .ref = "uplink", .help = "only these uplinks" },
	{ "all", TYPE_BOOL, FIELD_ALONE, .def = "off", .help = "all ports, also those that come; so it is without `vport` and `uplink`" },
	{ "type", TYPE_ENUM, 0, .def = "both", .words = words_capture_type,
	  .help = "of all ports those of the virtual switch (vports), the physical ones (uplinks), or both" },
	{ "filter", TYPE_STRING, 0, .max = 1024, .def = "",
	  .help = "an expression as tcpdump has it, in one word for the shell: 'tcp port 80' (pcap-filter(7)); names of "
		  "hosts are those of /etc/hosts" },
	{ "drops", TYPE_ENUM, 0, .def = "too", .words = words_capture_drops, .help = "only frames that are dropped, or these too" },
	{ "snaplen", TYPE_UINT, 0, 1, 262144, "B", "262144", .help = "bytes of each frame that are kept" },
	{ "ring", TYPE_STRING, 0, .help = "FILES,SIZE: a new file after SIZE bytes, of which the last FILES are kept; "
		  "the command line does it" },
	{ "file", TYPE_STRING, 0, .max = 255, .def = "", .help = "what the reader writes to, for `show`; the command line says it by itself" },
	END
};

static const struct field trace_params[] = {
	{ "frame", TYPE_STRING, REQ | FIELD_ALONE, .max = 20000,
	  .help = "the frame, in one word for the shell: 'tcp 10.0.0.1:1234 > 10.0.0.2:80 to web2 vlan 5', or in "
		  "hexadecimal (docs/capture.md)" },
	END
};

static const struct field capture_stop_params[] = {
	{ "reason", TYPE_STRING, 0, .max = 127, .def = "", .help = "why, for `show`" },
	END
};

static const struct field apply_params[] = {
	{ "objects", TYPE_JSON, REQ, .help = "{TYPE: {NAME: {FIELD: VALUE}}}: what shall exist, and nothing else" },
	{ "dry-run", TYPE_BOOL, 0, .def = "off", .help = "only say what would change" },
	END
};

#define SHOW(noun) \
	{ "show", NULL, NAME_OPTIONAL, TAKES_PARAMS, GIVES_OBJECTS, .help = "show one " noun ", or all" }

#define STORED_VERBS(a, noun) \
	{ "add", NULL, NAME_REQUIRED, TAKES_ADD, GIVES_NOTHING, true, .help = "add " a " " noun }, \
	{ "set", NULL, NAME_REQUIRED, TAKES_SET, GIVES_NOTHING, true, .help = "change fields of " a " " noun }, \
	{ "del", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_NOTHING, true, .help = "remove " a " " noun }, \
	SHOW(noun)

static const struct verb switch_verbs[] = { STORED_VERBS("a", "switch"), END };

static const struct verb vport_verbs[] = {
	STORED_VERBS("a", "vport"),
	{ "qemu-args", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_TEXT, .params = guest_params,
	  .help = "print the QEMU arguments that attach a VM" },
	{ "libvirt-xml", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_TEXT, .params = guest_params,
	  .help = "print the libvirt elements that attach a VM" },
	END
};

static const struct verb acl_verbs[] = { STORED_VERBS("a", "rule"), END };
static const struct verb qos_policy_verbs[] = { STORED_VERBS("a", "policy"), END };
static const struct verb meter_verbs[] = {
	{ "show", NULL, NAME_OPTIONAL, TAKES_PARAMS, GIVES_OBJECTS, .help = "show one meter, those of a vport, or all" },
	{ "reset", NULL, NAME_OPTIONAL, TAKES_PARAMS, GIVES_NOTHING, .help = "begin to count anew: one meter, those of a vport, or all" },
	END
};
static const struct verb uplink_verbs[] = { STORED_VERBS("an", "uplink"), END };
static const struct verb mirror_verbs[] = { STORED_VERBS("a", "mirror"), END };
static const struct verb extension_verbs[] = {
	STORED_VERBS("an", "extension"),
	{ "reload", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_NOTHING, true,
	  .help = "read the file of an extension again, and take the program that is in it now" },
	END
};
static const struct verb vf_verbs[] = { SHOW("VF"), END };
static const struct verb worker_verbs[] = { SHOW("worker"), END };

static const struct verb queue_verbs[] = {
	{ "set", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_NOTHING, true, .params = queue_params,
	  .help = "keep a queue on one worker, or let it be placed by load" },
	SHOW("queue"),
	END
};

static const struct verb host_verbs[] = {
	{ "show", NULL, NAME_NONE, TAKES_PARAMS, GIVES_OBJECTS, .help = "show versions, features and limits" },
	{ "check", NULL, NAME_NONE, TAKES_PARAMS, GIVES_CHECKS,
	  .help = "say whether this host can serve VFs and virtio-net adapters, and what to do where not" },
	END
};

static const struct verb capture_verbs[] = {
	{ "start", NULL, NAME_NONE, TAKES_PARAMS, GIVES_BYTES, .params = capture_params,
	  .help = "write frames to a file (`-w FILE`) or a program (`-w -`) in pcapng, until it is stopped or ended "
		  "by Ctrl-C" },
	{ "stop", NULL, NAME_OPTIONAL, TAKES_PARAMS, GIVES_NOTHING, .params = capture_stop_params,
	  .help = "end a capture, or all; what was captured is written first" },
	SHOW("capture"),
	END
};

static const struct verb trace_verbs[] = {
	{ "vport", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_TEXT, .params = trace_params,
	  .help = "say what would become of a frame that a vport's VM sends" },
	{ "uplink", NULL, NAME_REQUIRED, TAKES_PARAMS, GIVES_TEXT, .params = trace_params,
	  .help = "say what would become of a frame that comes from an uplink" },
	END
};

static const struct verb event_verbs[] = {
	{ "show", NULL, NAME_NONE, TAKES_PARAMS, GIVES_OBJECTS, .help = "show the last events" },
	{ "watch", "subscribe", NAME_NONE, TAKES_PARAMS, GIVES_STREAM, .help = "show events as they happen" },
	END
};

static const struct verb config_verbs[] = {
	{ "apply", NULL, NAME_NONE, TAKES_PARAMS, GIVES_JSON, true, .params = apply_params,
	  .help = "make the configuration equal to `objects`, all or nothing" },
	{ "export", NULL, NAME_NONE, TAKES_PARAMS, GIVES_JSON, .help = "return the configuration as `apply` takes it" },
	END
};

static const struct verb schema_verbs[] = {
	{ "show", NULL, NAME_NONE, TAKES_PARAMS, GIVES_JSON, .help = "return the object model" },
	END
};

static const struct object_type softiov_types[] = {
	{ "switch", "switches", OBJECT_STORED, NULL, switch_fields, switch_verbs,
	  .help = "an adapter with its switch",
	  .text = "A switch forwards between vports and uplinks and owns a pool of VFs. In Hyper-V's words it is a "
	  "VMSwitch with its NIC switch, in Linux's a physical function with its embedded switch." },
	{ "uplink", "uplinks", OBJECT_STORED, NULL, uplink_fields, uplink_verbs,
	  .help = "a physical port of a switch",
	  .text = "An uplink joins a switch to a network outside: a Linux interface, or any port that DPDK drives. "
	  "Its received frames come from the network into the switch. With `driver af-packet` (what `auto` takes "
	  "for an interface) the host goes on using the interface; IPv4 fragments from outside are put together "
	  "by the kernel, since DPDK's driver asks for that, and are then too long for a VM. `driver af-xdp` "
	  "leaves fragments alone and takes the interface's first queue for itself. An interface that is removed leaves its uplink "
	  "without a link; the next one of its name is taken within seconds, with its MAC address and MTU. One that is renamed goes on. "
	  "An interface is looked at each second: one that was moved to another network namespace and back within less "
	  "is not seen to have gone, and carries nothing until the uplink is deleted and added again.",
	  .check = uplink_classes_check },
	{ "vport", "vports", OBJECT_STORED, NULL, vport_fields, vport_verbs,
	  .help = "a network adapter of one VM",
	  .text = "A vport is one network adapter of one VM. The VM reaches it through a VF, through a virtio-net "
	  "adapter (the synthetic), or through both as a failover pair; `path` says which one carries the "
	  "traffic, and `reasons` why a VF that is wanted is not there.",
	  .check = vport_vlans_check },
	{ "acl", "rules", OBJECT_STORED, "vport", acl_fields, acl_verbs,
	  .help = "a rule on the frames of a vport",
	  .text = "A rule of a vport's access control list allows, denies or meters frames by their addresses and, with a "
	  "weight, by protocol and ports. It goes with its vport. docs/policy.md has the order of precedence.",
	  .check = acl_check, .rival = acl_rival },
	{ "qos-policy", "policies", OBJECT_STORED, "switch", qos_policy_fields, qos_policy_verbs,
	  .help = "what is done with frames of some kind that VMs send",
	  .text = "A policy marks frames that VMs send, with a DSCP or an 802.1p priority, throttles them, or gives them a share "
	  "of the uplinks. It goes with its switch. docs/policy.md has the order of precedence.",
	  .check = qos_policy_check, .rival = qos_policy_rival },
	{ "meter", "meters", 0, NULL, meter_fields, meter_verbs,
	  .help = "what a rule with `action meter` has counted",
	  .text = "A meter counts the frames and bytes of a vport in one direction, by the address of the other side: "
	  "a rule with `action meter` makes it." },
	{ "mirror", "mirrors", OBJECT_STORED, NULL, mirror_fields, mirror_verbs,
	  .help = "frames of ports shown to another port",
	  .text = "A mirror shows what ports send and are sent to a vport, to an uplink, or to a collector behind an uplink. "
	  "Several may have one destination. Mirrored frames pass no policies and are not mirrored again; a destination "
	  "that is too slow loses them, and no one waits for it." },
	{ "extension", "extensions", OBJECT_STORED | OBJECT_ANYWAY, NULL, extension_fields, extension_verbs,
	  .help = "a program of others that decides about frames",
	  .text = "An extension runs an eBPF program for each frame at a hook of a switch's ports. The program lets it pass, drops it or "
	  "sends it elsewhere, and counts. It is verified before: it ends in time, and reads the frame's headers and nothing else. "
	  "docs/extensions.md says how to write one." },
	{ "vf", "VFs", 0, NULL, vf_fields, vf_verbs,
	  .help = "a virtual function of a switch's pool",
	  .text = "A VF is a PCI function that a VM's own driver binds to. VFs are not configured: a vport with "
	  "`iov on` takes one." },
	{ "worker", "workers", 0, NULL, worker_fields, worker_verbs,
	  .help = "a thread of the data path",
	  .text = "Workers switch the frames, one on each core that is given to the data path." },
	{ "queue", "queues", 0, NULL, queue_fields, queue_verbs,
	  .help = "a queue that frames come from, and its worker",
	  .text = "A queue is a transmit queue of a VM's adapter or a receive queue of an uplink: where frames come "
	  "into the switch. Queues are placed on workers by what serving them costs, and move while they "
	  "run. `queue set` pins one; the pin is kept in the field `pins` of its vport or uplink. A pin to "
	  "a worker that is not there has no effect until it is." },
	{ "trace", "traces", OBJECT_SINGLETON, NULL, no_fields, trace_verbs,
	  .help = "what the switch would do with a frame",
	  .text = "Takes a frame through the switch's decisions, by the data path's own code, and says what each of them is and which rule "
	  "makes it: `softiov trace vport web1 'udp 10.0.0.1:1234 > 10.0.0.2:53 to web2'`. Nothing is sent, learned or "
	  "counted; limits of rate, and what the receiver's device does with the frame, are not part of it." },
	{ "capture", "captures", 0, NULL, capture_fields, capture_verbs,
	  .help = "frames written to a file, with what became of them",
	  .text = "A capture takes the frames of vports and uplinks where they enter and leave the switch, on the VF path as on "
	  "the synthetic one, for Wireshark. It belongs to the command that started it and ends with it. In the "
	  "API its stream follows the answer to `capture.start` on the same connection, which takes no more requests; a reader "
	  "that shuts down its side of it for writing gets the rest, and the end." },
	{ "host", "host", OBJECT_SINGLETON, NULL, host_fields, host_verbs,
	  .help = "this machine and the daemon", .text = "The machine and the daemon that runs on it." },
	{ "event", "events", 0, NULL, event_fields, event_verbs,
	  .help = "what happened", .text = "The daemon keeps its last events in memory and sends new ones to whoever watches. "
	  "Who does not fetch them in time loses some, and an event says how many." },
	{ "config", "configuration", OBJECT_API_ONLY | OBJECT_SINGLETON, NULL, no_fields, config_verbs,
	  .help = "the configuration as a whole",
	  .text = "What `softiov apply` and `softiov export` use. The configuration is {TYPE: {NAME: {FIELD: VALUE}}}, "
	  "as in a YAML file." },
	{ "schema", "schema", OBJECT_API_ONLY | OBJECT_SINGLETON, NULL, no_fields, schema_verbs,
	  .help = "the object model", .text = "The table of objects, fields and verbs that this manual is made from." },
	END
};

/* clang-format on */

const struct schema softiov_schema = { softiov_types };

const struct object_type *schema_type(const struct schema *schema, const char *name)
{
	foreach_type(type, schema)
		if (!strcmp(type->name, name))
			return type;
	return NULL;
}

static const struct field *find_field(const struct field *first, const char *name)
{
	foreach_field(field, first)
		if (!strcmp(field->name, name))
			return field;
	return NULL;
}

const struct field *type_field(const struct object_type *type, const char *name)
{
	return find_field(type->fields, name);
}

const struct field *verb_param(const struct verb *verb, const char *name)
{
	return find_field(verb->params, name);
}

const struct verb *type_verb(const struct object_type *type, const char *name)
{
	foreach_verb(verb, type)
		if (!strcmp(verb->name, name))
			return verb;
	return NULL;
}

const struct verb *type_method(const struct object_type *type, const char *method)
{
	foreach_verb(verb, type)
		if (!strcmp(verb_method(verb), method))
			return verb;
	return NULL;
}
