/* SPDX-License-Identifier: BSD-3-Clause */
/* Policies over hostile frames, between a port that has rules and guards and others, some in a private VLAN.
 *
 *  1. What a burst meets by DPDK's classifier, and by what was found for its flows before, is what each frame meets by
 *     itself where one rule is compared after the other: the same reasons, counters and connections.
 *  2. What is delivered is what was judged, whatever the sender does to its memory meanwhile: judged once more, it passes.
 *  3. A frame goes only where its VLAN leads, without a tag where there is none to be, and never with an inner one alone,
 *     also where extensions send it from port to port. */
#include <rte_eal.h>

#include "acl/rte.h"
#include "frame/copy.h"
#include "fuzz.h"
#include "switch/switch.h"

enum {
	FUZZED,
	NEIGHBOUR,
	VIRTIO,
	OUTSIDE, /* an uplink */
	PORTS
};

#define RULES_MAX   12
#define FRAMES_MAX  8
#define FRAME_BYTES 600u
#define PRIMARY     10
#define ISOLATED    201
#define COMMUNITY   202 /* and 203 */

enum mode {
	ACCESS,
	IS_ISOLATED,
	IN_COMMUNITY,
	IN_OTHER_COMMUNITY,
	PROMISCUOUS,
	TRUNK,
	N_MODES
};

/* One way to judge. */
struct judge {
	struct acl_counters counters;
	struct conns *conns;
	struct port_policy policy;
	struct inspect inspect;
	struct burst burst;
};

static struct judge fast, plain; /* for 1 */
static struct judge live, again; /* for 2 */
static struct acl_rule rule[RULES_MAX];
static unsigned int n_rules;
static bool any_stateful;
static uint32_t now_s;

static struct vswitch sw;
static struct forwarder *fw;
static struct port_config port[PORTS];
static struct endpoint endpoint[PORTS];
static enum mode mode[PORTS];
static struct port_policy turning[PORTS]; /* extensions */
static struct extension *turns;
static bool any_turns;
static const uint64_t macs[PORTS] = { MAC_FUZZED, MAC_VF, MAC_VIRTIO };

/* The frames of a burst where their sender has them, each as long as it is, so that ASan sees the byte behind. */
static struct {
	unsigned int n, from;
	uint8_t *bytes[FRAMES_MAX];
	uint32_t size[FRAMES_MAX], first[FRAMES_MAX]; /* of it, in the first piece */
	struct seg more[FRAMES_MAX][2];
	uint8_t scramble; /* what the sender does to them while they are delivered; 0: nothing */
} sent;

/* --- rules --- */

static struct prefix make_prefix(struct input *in, uint8_t how)
{
	static const uint8_t sizes[] = { [PREFIX_MAC] = 6, [PREFIX_IPV4] = 4, [PREFIX_IPV6] = 16 };
	struct prefix p = { .kind = PREFIX_ANY };
	unsigned int size;

	if ((how & 3) == 0)
		return p;
	p.kind = (how & 3) == 1 ? PREFIX_MAC : (how & 3) == 2 ? PREFIX_IPV4 : PREFIX_IPV6;
	size = sizes[p.kind];
	if (p.kind == PREFIX_MAC) {
		mac_store(p.addr, macs[in_below(in, OUTSIDE)]);
		p.bits = 48;
		return p;
	}
	/* As frames.c has them. */
	p.addr[0] = p.kind == PREFIX_IPV4 ? 10 : 0xfd;
	p.addr[size - 1] = in8(in);
	p.bits = (uint8_t)in_below(in, size * 8 + 1);
	for (unsigned int bit = p.bits; bit < size * 8; bit++)
		p.addr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return p;
}

static struct classify_ports make_ports(struct input *in, bool any)
{
	static const uint16_t ports[] = { 0, 67, 68, 80, 546, 547, 65535, 200 };
	uint8_t how = any ? 0 : in8(in);
	struct classify_ports p = { ports[how & 7], ports[how >> 3 & 7] };

	if (any || p.from > p.to)
		return (struct classify_ports){ 0, 65535 };
	return p;
}

/* What the object model lets through (src/model/acl.c): addresses of one kind, ports with a protocol that has them,
 * protocol and state with a weight. */
static void make_rule(struct input *in, struct acl_rule *r, unsigned int place)
{
	static const uint16_t protocols[] = { CLASSIFY_PROTOCOL_ANY, 6, 17, 58, 1, 132, 6, 17 };
	uint8_t what = in8(in), kinds = in8(in);
	bool has_ports, mac;

	*r = (struct acl_rule){ .direction = (what & 1) != 0 ? ACL_IN : ACL_OUT,
				.action = (what & 6) == 6   ? ACL_METER
					  : (what & 2) != 0 ? ACL_DENY
							    : ACL_ALLOW,
				.protocol = CLASSIFY_PROTOCOL_ANY,
				.conn = { place, place + 1, in8(in) } };
	r->remote = make_prefix(in, kinds & 3);
	r->local = (kinds & 4) != 0 ? make_prefix(in, kinds & 3) : make_prefix(in, 0);
	mac = (kinds & 3) == 1;
	if (r->action != ACL_METER && (what & 8) != 0) {
		r->weight = 1 + in_below(in, 4);
		if (!mac)
			r->protocol = protocols[what >> 5];
		r->stateful = r->action == ACL_ALLOW && (what & 16) != 0 && !mac;
	}
	has_ports = r->protocol == 6 || r->protocol == 17 || r->protocol == 132;
	r->remote_port = make_ports(in, !has_ports);
	r->local_port = make_ports(in, !has_ports);
	any_stateful |= r->stateful;
}

static void judge_make(struct judge *j, const struct guard *guard, classifier_build *build,
		       bool stateful)
{
	struct acl_rule own[RULES_MAX];

	memset(&j->counters, 0, sizeof(j->counters));
	j->policy = (struct port_policy){ .guard = *guard };
	j->conns = stateful ? conns_new(16) : NULL;
	FUZZ_CHECK(!stateful || j->conns != NULL);
	for (unsigned int i = 0; i < n_rules; i++) {
		own[i] = rule[i];
		own[i].stateful &= stateful;
		own[i].counter = &j->counters.of[0][i];
	}
	j->policy.acl = acl_new(own, n_rules, build, j->conns);
	FUZZ_CHECK(j->policy.acl != NULL);
}

static void judge_free(struct judge *j)
{
	acl_free((struct acl *)j->policy.acl);
	conns_free(j->conns);
}

/* --- frames --- */

/* Anywhere in the headers, or where protocol and ports are without a tag. */
static void poke(struct input *in, uint8_t *bytes, uint32_t size)
{
	static const uint8_t places[] = { 12, 14, 16, 20, 23, 29, 34, 36 };
	uint8_t where = in8(in);
	uint32_t at = (where & 0x80) != 0 ? places[where & 7] : where;

	bytes[at % size] = in8(in);
}

static void make_frame(struct input *in, unsigned int i)
{
	static const uint64_t sources[PORTS] = { MAC_FUZZED, MAC_VF, MAC_VIRTIO, MAC_FOREIGN };
	uint8_t bytes[FRAME_BYTES] = { 0 }, cuts = in8(in);
	uint32_t size, rest, part;

	/* Often the frame before with something changed: another flow, but for that. */
	if ((cuts & 0x10) != 0 && i > 0) {
		size = sent.size[i - 1];
		memcpy(bytes, sent.bytes[i - 1], size);
	} else {
		size = frame_make(in, bytes, sizeof(bytes), sources[sent.from]).size;
		size = size > 0 ? size : 1; /* no endpoint pulls less */
	}
	for (unsigned int pokes = cuts & 3; pokes > 0; pokes--)
		poke(in, bytes, size);
	sent.size[i] = size;
	sent.bytes[i] = malloc(size);
	FUZZ_CHECK(sent.bytes[i] != NULL);
	memcpy(sent.bytes[i], bytes, size);
	sent.first[i] = (cuts & 4) != 0 ? 1 + in8(in) % size : size;
	rest = size - sent.first[i];
	part = (cuts & 8) != 0 && rest > 0 ? 1 + in8(in) % rest : rest;
	sent.more[i][0] = (struct seg){ sent.bytes[i] + sent.first[i], part };
	sent.more[i][1] = (struct seg){ sent.bytes[i] + sent.first[i] + part, rest - part };
}

static struct frame frame_of(unsigned int i)
{
	const struct seg *more = sent.more[i];

	return (struct frame){ .va = sent.bytes[i],
			       .seg_size = sent.first[i],
			       .size = sent.size[i],
			       .n_segs = (uint16_t)(1 + (more[0].size > 0) + (more[1].size > 0)),
			       .more = more };
}

static void free_frames(void)
{
	for (unsigned int i = 0; i < sent.n; i++)
		free(sent.bytes[i]);
	sent.n = 0;
}

/* --- 1: as a burst, and one by one --- */

static uint32_t judge_burst(struct judge *j, enum acl_direction direction)
{
	uint32_t good = 0;

	inspect_start(&j->inspect, &j->burst);
	j->inspect.now_s = now_s;
	for (unsigned int i = 0; i < j->burst.n; i++)
		if (frame_parse(&j->burst.frame[i]))
			good |= BIT(i);
	return direction == ACL_OUT ? policy_out(&j->inspect, &j->policy, good)
				    : policy_in(&j->inspect, &j->policy, good);
}

static void check_same(enum acl_direction direction)
{
	uint32_t passed;

	fast.burst.n = sent.n;
	for (unsigned int i = 0; i < sent.n; i++)
		fast.burst.frame[i] = frame_of(i);
	passed = judge_burst(&fast, direction);
	plain.burst.n = 1;
	for (unsigned int i = 0; i < sent.n; i++) {
		bool passes;

		plain.burst.frame[0] = frame_of(i);
		memset(plain.inspect.memo, 0, sizeof(plain.inspect.memo));
		passes = judge_burst(&plain, direction) != 0;
		FUZZ_CHECK(passes == ((passed & BIT(i)) != 0));
		FUZZ_CHECK(plain.burst.frame[0].drop == fast.burst.frame[i].drop);
		FUZZ_CHECK(passes || plain.burst.frame[0].drop != DROP_NONE ||
			   plain.inspect.reason[0] == fast.inspect.reason[i]);
	}
}

static void check_counters(void)
{
	struct acl_counter a, b;

	for (unsigned int i = 0; i < n_rules; i++) {
		acl_count(&fast.counters.of[0][i], &a);
		acl_count(&plain.counters.of[0][i], &b);
		FUZZ_CHECK(a.frames == b.frames && a.bytes == b.bytes);
	}
	FUZZ_CHECK(!any_stateful ||
		   conns_count(fast.conns, now_s) == conns_count(plain.conns, now_s));
}

/* --- 2 and 3: through the switch --- */

/* RFC 5517, 3: in which VLAN a port's untagged frames are, and which VLANs it gets. */
static uint16_t sends_in(enum mode m)
{
	static const uint16_t vids[N_MODES] = { PRIMARY,       ISOLATED, COMMUNITY,
						COMMUNITY + 1, PRIMARY,  PRIMARY };

	return vids[m];
}

static bool gets(enum mode m, uint16_t vid)
{
	if (vid == PRIMARY || m == TRUNK)
		return true;
	return m == PROMISCUOUS
		       ? vid >= ISOLATED && vid <= COMMUNITY + 1
		       : (m == IN_COMMUNITY || m == IN_OTHER_COMMUNITY) && vid == sends_in(m);
}

/* The VLAN that the frame's first bytes say; -1: it may not be sent. */
static int vid_of(const uint8_t *bytes, uint32_t size)
{
	uint16_t tag = size >= 18 && load_be16(bytes + 12) == ETH_TYPE_VLAN
			       ? load_be16(bytes + 14) & 0xfff
			       : 0;

	if (tag == 0)
		return sends_in(mode[sent.from]);
	return mode[sent.from] == TRUNK ? tag : -1;
}

/* As it came, without its tag. What has another one inside was judged as what no IP is in. */
static void judge_again(const struct frame *f, unsigned int to)
{
	struct seg_out out = { .va = malloc(f->size), .size = f->size };
	struct frame copy = { .va = out.va, .seg_size = f->size, .size = f->size, .n_segs = 1 };

	FUZZ_CHECK(out.va != NULL);
	frame_copy(f, &out, 1, 0);
	again.burst.n = 1;
	again.burst.frame[0] = copy;
	if (sent.from == FUZZED)
		FUZZ_CHECK(judge_burst(&again, ACL_OUT) == 1);
	again.burst.frame[0] = copy;
	if (to == FUZZED)
		FUZZ_CHECK(judge_burst(&again, ACL_IN) == 1);
	free(out.va);
}

static void scramble(void)
{
	for (unsigned int i = 0; i < sent.n; i++)
		for (uint32_t at = 0; at < sent.size[i]; at++)
			sent.bytes[i][at] ^= sent.scramble;
}

static void push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		 uint16_t untagged_vid, struct endpoint_stats *stats)
{
	unsigned int to = (unsigned int)(ep - endpoint);

	FUZZ_CHECK(to != sent.from);
	scramble();
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = frame[i];
		bool tagged = f->vid != untagged_vid;

		FUZZ_CHECK(!tagged || mode[to] == TRUNK);
		FUZZ_CHECK(tagged || f->ethertype != ETH_TYPE_VLAN);
		FUZZ_CHECK(sent.from == OUTSIDE || mac_load(f->mac + 6) == macs[sent.from]);
		if (!any_stateful && f->ethertype != ETH_TYPE_VLAN)
			judge_again(f, to);
		stats->rx_frames++;
	}
	scramble();
}

static const struct endpoint_ops ops = { .push = push };

static uint64_t received(unsigned int p)
{
	return endpoint[p].stats[worker_self].rx_frames;
}

static void forward(void)
{
	static struct burst burst;
	uint64_t before[PORTS];
	unsigned int may[PORTS] = { 0 };

	for (unsigned int p = 0; p < PORTS; p++)
		before[p] = received(p);
	burst.n = sent.n;
	for (unsigned int i = 0; i < sent.n; i++) {
		int vid = vid_of(sent.bytes[i], sent.size[i]);

		burst.frame[i] = frame_of(i);
		for (unsigned int p = 0; p < PORTS; p++)
			may[p] += vid >= 0 && gets(mode[p], (uint16_t)vid);
	}
	fw->now_s = now_s;
	switch_forward(fw, atomic_load(&sw.snapshot), (uint16_t)sent.from, &endpoint[sent.from],
		       &burst);
	/* A flooded frame once more, if an extension sends it there. */
	for (unsigned int p = 0; p < PORTS; p++)
		FUZZ_CHECK(received(p) - before[p] <= (uint64_t)may[p] * (any_turns ? 2 : 1));
}

/* --- extensions --- */

static uint64_t turn(const void *program, struct softiov_frame *frame)
{
	return frame->size & 3;
}

static void make_extensions(struct input *in)
{
	for (unsigned int p = 0; p < PORTS; p++) {
		struct extensions *list = &turning[p].extensions[EXTENSION_EGRESS];
		unsigned int to = any_turns ? in_below(in, PORTS) : 0;

		list->n = any_turns;
		list->at[0].extension = turns;
		list->at[0].to[EXTENSION_TO_VPORT] = to == p ? EXTENSION_HERE : (uint16_t)to;
		list->at[0].to[EXTENSION_TO_UPLINK] = OUTSIDE;
	}
	live.policy.extensions[EXTENSION_EGRESS] = turning[FUZZED].extensions[EXTENSION_EGRESS];
}

static void set_mode(struct port_config *p, enum mode m)
{
	p->pvid = PRIMARY;
	p->trunk = m == TRUNK;
	p->private_vlan = m != ACCESS && m != TRUNK;
	p->send_vid = sends_in(m);
	memset(p->vlans, m == TRUNK ? 0xff : 0, sizeof(p->vlans));
	if (m == IN_COMMUNITY || m == IN_OTHER_COMMUNITY)
		bitmap_set(p->vlans, sends_in(m));
	if (m == PROMISCUOUS)
		for (unsigned int vid = ISOLATED; vid <= COMMUNITY + 1; vid++)
			bitmap_set(p->vlans, vid);
}

/* --- life --- */

static void start(void)
{
	char *argv[] = { "policies", "--no-huge",      "-m64",          "--no-shconf",
			 "--no-pci", "--no-telemetry", "--log-level=4", NULL };

	FUZZ_CHECK(rte_eal_init(ARRAY_SIZE(argv) - 1, argv) >= 0);
	worker_self = 0;
	fw = forwarder_new();
	turns = extension_new("turns", turn, NULL);
	FUZZ_CHECK(fw != NULL && turns != NULL && switch_init(&sw, 16) == 0);
	for (unsigned int p = 0; p < PORTS; p++) {
		endpoint[p].ops = &ops;
		endpoint[p].stats = endpoint_stats_new();
		port[p] = (struct port_config){ .used = true,
						.n_macs = macs[p] != 0,
						.mac = { macs[p] },
						.endpoint = { &endpoint[p] },
						.stats = endpoint_stats_new(),
						.uplink = p == OUTSIDE,
						.unknown_unicast = p == OUTSIDE };
		FUZZ_CHECK(endpoint[p].stats != NULL && port[p].stats != NULL);
		atomic_store(&endpoint[p].running, 1);
	}
}

static void publish(const struct port_policy *policy)
{
	struct switch_snapshot *old;
	int ret = 0;

	for (unsigned int p = 0; p < PORTS; p++)
		port[p].policy_in = any_turns ? &turning[p] : NULL;
	port[FUZZED].policy_out = policy != NULL && policy_has_out(policy) ? policy : NULL;
	port[FUZZED].policy_in = policy != NULL && policy_has_in(policy) ? policy : NULL;
	old = switch_publish(&sw, port, PORTS, &ret);
	FUZZ_CHECK(ret == 0);
	switch_snapshot_free(old);
}

static void make_policies(struct input *in)
{
	static const struct prefix addresses[] = { { PREFIX_IPV4, 8, { 10 } },
						   { PREFIX_IPV6, 8, { 0xfd } } };
	uint8_t how = in8(in);
	struct guard guard = { .dhcp = (how & 1) != 0,
			       .router = (how & 2) != 0,
			       .n_addresses = (how & 4) != 0 ? ARRAY_SIZE(addresses) : 0 };

	memcpy(guard.address, addresses, sizeof(addresses));
	any_stateful = false;
	n_rules = in_below(in, RULES_MAX + 1);
	for (unsigned int i = 0; i < n_rules; i++)
		make_rule(in, &rule[i], i);
	/* DPDK's tries take long to make: one time in eight. */
	judge_make(&fast, &guard, (how & 0x38) == 0 ? acl_rte_new : linear_new, any_stateful);
	judge_make(&plain, &guard, linear_new, any_stateful);
	judge_make(&live, &guard, linear_new, any_stateful);
	judge_make(&again, &guard, linear_new, false);
	for (unsigned int p = 0; p < PORTS; p++) {
		mode[p] = p == OUTSIDE ? TRUNK : (enum mode)in_below(in, N_MODES);
		set_mode(&port[p], mode[p]);
	}
	any_turns = (how & 0x40) != 0;
	make_extensions(in);
	publish(&live.policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	if (fw == NULL)
		start();
	make_policies(&in);
	while (in.at < in.end) {
		uint8_t what = in8(&in);

		now_s += (what & 0x80) != 0 ? in8(&in) : 0;
		sent.from = what & 3;
		sent.scramble = (what & 4) != 0 ? in8(&in) : 0;
		for (sent.n = 0; sent.n < 1u + (what >> 4 & 7); sent.n++)
			make_frame(&in, sent.n);
		if ((what & 8) != 0)
			check_same(sent.from == FUZZED ? ACL_OUT : ACL_IN);
		else
			forward();
		free_frames();
	}
	check_counters();
	publish(NULL);
	judge_free(&fast);
	judge_free(&plain);
	judge_free(&live);
	judge_free(&again);
	return 0;
}
