/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/acl.h"

#include <stdlib.h>

#include "switch/policy.h"

/* What is asked about a frame. Later fragments have classifiers of their own where rules have ports. */
enum lookup {
	BY_MAC,
	BY_IPV4,
	BY_IPV6,
	BY_IPV4_LATER,
	BY_IPV6_LATER,
	N_LOOKUPS
};

/* Rules in their order: rule[id - 1]. */
struct list {
	struct classifier *by[N_LOOKUPS]; /* NULL: no rule is for it */
	uint64_t serial;                  /* no two lists have the same */
	bool mac_too;                     /* MAC rules that IP frames have to be asked about, too */
	bool looks_at_ip;                 /* so it has to be read */
	unsigned int n;
	struct acl_rule *rule;
};

struct acl {
	struct list filter[ACL_DIRECTIONS], meter[ACL_DIRECTIONS];
	struct conns *conns; /* NULL: no rule is stateful */
	unsigned int n_places;
	const struct acl_rule **stateful; /* [n_places]: by conn.place; NULL: it is not */
};

/* --- control: the order --- */

static unsigned int specific(const struct prefix *prefix)
{
	return prefix->kind == PREFIX_ANY ? 0 : prefix->bits + 1u;
}

static bool has_mac(const struct acl_rule *rule)
{
	return rule->remote.kind == PREFIX_MAC || rule->local.kind == PREFIX_MAC;
}

static bool any_ports(const struct classify_ports *ports)
{
	return ports->from == 0 && ports->to == 65535;
}

static bool has_ports(const struct acl_rule *rule)
{
	return !any_ports(&rule->remote_port) || !any_ports(&rule->local_port);
}

static unsigned int n_ports(const struct acl_rule *rule)
{
	return (unsigned int)(rule->remote_port.to - rule->remote_port.from) +
	       (unsigned int)(rule->local_port.to - rule->local_port.from);
}

static int higher_first(unsigned int a, unsigned int b)
{
	return (a < b) - (a > b);
}

static int compare(const void *x, const void *y)
{
	const struct acl_rule *a = x, *b = y;
	int order = higher_first(a->weight, b->weight);

	if (order == 0)
		order = higher_first(has_mac(a), has_mac(b));
	if (order == 0)
		order = higher_first(specific(&a->remote), specific(&b->remote));
	if (order == 0)
		order = higher_first(specific(&a->local), specific(&b->local));
	if (order == 0)
		order = higher_first(a->protocol != CLASSIFY_PROTOCOL_ANY,
				     b->protocol != CLASSIFY_PROTOCOL_ANY);
	if (order == 0)
		order = higher_first(n_ports(b), n_ports(a));
	return order != 0 ? order : higher_first(a->action, b->action);
}

/* --- control: the classifiers --- */

static bool of_kind(const struct acl_rule *rule, uint8_t kind)
{
	return (rule->remote.kind == PREFIX_ANY || rule->remote.kind == kind) &&
	       (rule->local.kind == PREFIX_ANY || rule->local.kind == kind);
}

static bool is_for(const struct acl_rule *rule, enum lookup lookup)
{
	if (lookup == BY_MAC)
		return of_kind(rule, PREFIX_MAC) && rule->protocol == CLASSIFY_PROTOCOL_ANY;
	if (!of_kind(rule,
		     lookup == BY_IPV4 || lookup == BY_IPV4_LATER ? PREFIX_IPV4 : PREFIX_IPV6))
		return false;
	return lookup == BY_IPV4 || lookup == BY_IPV6 || !has_ports(rule) ||
	       rule->action != ACL_DENY;
}

static struct classify_rule classify_rule(const struct acl_rule *rule, enum lookup lookup,
					  uint32_t id)
{
	static const struct classify_ports any = { 0, 65535 };
	bool in = rule->direction == ACL_IN, later = lookup >= BY_IPV4_LATER;
	struct classify_ports remote = later ? any : rule->remote_port,
			      local = later ? any : rule->local_port;

	return (struct classify_rule){
		.source = in ? rule->remote : rule->local,
		.dest = in ? rule->local : rule->remote,
		.protocol = rule->protocol,
		.sport = in ? remote : local,
		.dport = in ? local : remote,
		.id = id,
	};
}

static bool list_build_one(struct list *list, enum lookup lookup, struct classify_rule *rules,
			   classifier_build *build)
{
	static const enum classify_kind kinds[N_LOOKUPS] = {
		[BY_MAC] = CLASSIFY_MAC,         [BY_IPV4] = CLASSIFY_IPV4,
		[BY_IPV6] = CLASSIFY_IPV6,       [BY_IPV4_LATER] = CLASSIFY_IPV4,
		[BY_IPV6_LATER] = CLASSIFY_IPV6,
	};
	unsigned int n = 0;

	for (unsigned int i = 0; i < list->n; i++)
		if (is_for(&list->rule[i], lookup))
			rules[n++] = classify_rule(&list->rule[i], lookup, i + 1);
	if (n == 0)
		return true;
	list->by[lookup] = build(kinds[lookup], rules, n);
	return list->by[lookup] != NULL;
}

/* rule[0..n) is sorted and becomes the list's. */
static bool list_build(struct list *list, classifier_build *build)
{
	struct classify_rule *rules = calloc(list->n + 1, sizeof(*rules));
	static uint64_t n_lists;
	bool ports = false, ok = rules != NULL;

	list->serial = ++n_lists;
	for (unsigned int i = 0; i < list->n; i++) {
		ports |= has_ports(&list->rule[i]);
		list->mac_too |= has_mac(&list->rule[i]);
		list->looks_at_ip |= !is_for(&list->rule[i], BY_MAC) || list->rule[i].stateful;
	}
	for (unsigned int lookup = BY_MAC; ok && lookup <= (ports ? BY_IPV6_LATER : BY_IPV6);
	     lookup++)
		ok = list_build_one(list, (enum lookup)lookup, rules, build);
	if (ok && !ports) {
		list->by[BY_IPV4_LATER] = list->by[BY_IPV4];
		list->by[BY_IPV6_LATER] = list->by[BY_IPV6];
	}
	free(rules);
	return ok;
}

static void list_free(struct list *list)
{
	for (unsigned int lookup = BY_MAC; lookup < N_LOOKUPS; lookup++)
		if (lookup < BY_IPV4_LATER || list->by[lookup] != list->by[lookup - 2])
			classifier_free(list->by[lookup]);
	free(list->rule);
}

void acl_free(struct acl *acl)
{
	if (acl == NULL)
		return;
	for (unsigned int d = 0; d < ACL_DIRECTIONS; d++) {
		list_free(&acl->filter[d]);
		list_free(&acl->meter[d]);
	}
	free(acl->stateful);
	free(acl);
}

static bool list_fill(struct list *list, const struct acl_rule *rule, unsigned int n,
		      enum acl_direction direction, bool meter, classifier_build *build)
{
	list->rule = calloc(n + 1, sizeof(*rule));
	if (list->rule == NULL)
		return false;
	for (unsigned int i = 0; i < n; i++)
		if (rule[i].direction == direction && (rule[i].action == ACL_METER) == meter)
			list->rule[list->n++] = rule[i];
	qsort(list->rule, list->n, sizeof(*rule), compare);
	return list_build(list, build);
}

/* So that a connection finds its rule. */
static bool index_stateful(struct acl *acl, struct conns *conns)
{
	for (unsigned int d = 0; d < ACL_DIRECTIONS; d++)
		for (unsigned int i = 0; i < acl->filter[d].n; i++) {
			const struct acl_rule *rule = &acl->filter[d].rule[i];

			if (rule->stateful && rule->conn.place >= acl->n_places)
				acl->n_places = rule->conn.place + 1;
		}
	if (acl->n_places == 0)
		return true;
	acl->conns = conns;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): pointers are meant */
	acl->stateful = calloc(acl->n_places, sizeof(acl->stateful[0]));
	if (acl->stateful == NULL)
		return false;
	for (unsigned int d = 0; d < ACL_DIRECTIONS; d++)
		for (unsigned int i = 0; i < acl->filter[d].n; i++) {
			const struct acl_rule *rule = &acl->filter[d].rule[i];

			if (rule->stateful)
				acl->stateful[rule->conn.place] = rule;
		}
	return true;
}

struct acl *acl_new(const struct acl_rule *rule, unsigned int n, classifier_build *build,
		    struct conns *conns)
{
	struct acl *acl = calloc(1, sizeof(*acl));

	if (acl == NULL)
		return NULL;
	for (unsigned int d = 0; d < ACL_DIRECTIONS; d++)
		if (!list_fill(&acl->filter[d], rule, n, (enum acl_direction)d, false, build) ||
		    !list_fill(&acl->meter[d], rule, n, (enum acl_direction)d, true, build)) {
			acl_free(acl);
			return NULL;
		}
	if (!index_stateful(acl, conns)) {
		acl_free(acl);
		return NULL;
	}
	return acl;
}

void acl_count(const struct acl_counter *counter, struct acl_counter *sum)
{
	*sum = (struct acl_counter){ 0 };
	for (unsigned int i = 0; i < STATS_SLOTS; i++) {
		sum->frames += counter[(size_t)i * ACL_COUNTERS].frames;
		sum->bytes += counter[(size_t)i * ACL_COUNTERS].bytes;
	}
}

/* --- workers --- */

struct batch {
	unsigned int n;
	const void *key[BURST_MAX];
	uint8_t frame[BURST_MAX]; /* of whom the keys are */
};

static inline void batch_add(struct batch *batch, const void *key, unsigned int frame)
{
	batch->key[batch->n] = key;
	batch->frame[batch->n++] = (uint8_t)frame;
}

static inline void batch_find(const struct classifier *c, const struct batch *batch,
			      uint32_t found[BURST_MAX])
{
	uint32_t id[BURST_MAX];

	if (c == NULL || batch->n == 0)
		return;
	c->find(c, batch->key, id, batch->n);
	for (unsigned int i = 0; i < batch->n; i++) {
		uint32_t *best = &found[batch->frame[i]];

		if (id[i] != 0 && (*best == 0 || id[i] < *best))
			*best = id[i];
	}
}

static inline enum lookup lookup_of(const struct flow *flow)
{
	bool later = (flow->flags & FLOW_LATER) != 0;

	if ((flow->flags & FLOW_IPV4) != 0)
		return later ? BY_IPV4_LATER : BY_IPV4;
	if ((flow->flags & FLOW_IPV6) != 0)
		return later ? BY_IPV6_LATER : BY_IPV6;
	return BY_MAC;
}

/* The usual frame: IPv4, with no tag in its bytes, without options or fragments, with a whole TCP header if it were TCP. Which rule is for
 * it follows from these bytes alone. */
static inline bool memo_key(const struct frame *f, struct acl_memo *key)
{
	const uint8_t *h = f->va;
	uint64_t first;
	uint32_t ports;

	memcpy(&first, h + FRAME_SIZE_MIN, sizeof(first));
	/* Offloads are to be looked at (flow.c). Then version and header size, and what makes a fragment. */
	if ((f->flags & FRAME_WORK) != 0 || f->ethertype != ETH_TYPE_IPV4 ||
	    f->body != ETH_ADDRS_SIZE || f->seg_size < FRAME_SIZE_MIN + 40 ||
	    (first & htobe64(0xff00000000000000 | IP4_FRAGMENT)) != htobe64(0x45ull << 56) ||
	    load_be16(h + 16) < 40)
		return false;
	memcpy(&key->addrs, h + 26, sizeof(key->addrs));
	memcpy(&ports, h + 34, sizeof(ports));
	key->rest = (uint64_t)h[23] << 32 | ports;
	return true;
}

static inline struct acl_memo *memo_of(struct inspect *inspect, const struct acl_memo *key)
{
	uint64_t hash = (key->addrs ^ key->list ^ key->rest * 0xc2b2ae3d27d4eb4full) *
			0x9e3779b97f4a7c15ull;

	return &inspect->memo[hash >> 32 & (ACL_MEMOS - 1)];
}

static inline bool memo_has(const struct acl_memo *memo, const struct acl_memo *key)
{
	return ((memo->addrs ^ key->addrs) | (memo->rest ^ key->rest) | (memo->list ^ key->list)) ==
	       0;
}

/* Of a set of frames. */
struct found {
	uint32_t parsed; /* those that were looked up; the others are known to be what they seem */
	uint32_t hit;    /* those that a rule is for: */
	uint32_t id[BURST_MAX];
};

static inline void found_set(struct found *found, unsigned int i, uint32_t id)
{
	found->id[i] = id;
	found->hit |= (uint32_t)(id != 0) << i;
}

/* Those of which this worker does not remember what is found; key[] is what to remember that by, with list 0
 * where nothing is. */
static inline uint32_t recall(struct inspect *inspect, const struct list *list, uint32_t frames,
			      struct acl_memo key[BURST_MAX], struct found *found)
{
	struct acl_memo last = { .list = 0 };
	uint32_t unknown = 0;

	for_each_frame(i, frames)
	{
		struct acl_memo this = { .list = list->serial };

		inspect_pin_quick(inspect, i);
		if (unlikely(!memo_key(&inspect->burst->frame[i], &this))) {
			key[i].list = 0;
			unknown |= BIT(i);
			continue;
		}
		/* Frames come in trains of one flow. */
		if (!memo_has(&last, &this)) {
			const struct acl_memo *memo = memo_of(inspect, &this);

			if (unlikely(!memo_has(memo, &this))) {
				key[i] = this;
				unknown |= BIT(i);
				continue;
			}
			last = *memo;
		}
		found_set(found, i, last.found);
	}
	return unknown;
}

static __attribute__((noinline)) void look_up(struct inspect *inspect, const struct list *list,
					      uint32_t frames, struct found *found)
{
	struct batch batch[N_LOOKUPS];
	uint32_t id[BURST_MAX];

	for (unsigned int lookup = 0; lookup < N_LOOKUPS; lookup++)
		batch[lookup].n = 0;
	for_each_frame(i, frames)
	{
		const struct flow *flow = inspect_flow(inspect, i);
		enum lookup lookup = lookup_of(flow);

		id[i] = 0;
		if (lookup != BY_MAC)
			batch_add(&batch[lookup], flow, i);
		if (lookup == BY_MAC || list->mac_too)
			batch_add(&batch[BY_MAC], &inspect->burst->frame[i], i);
	}
	for (unsigned int lookup = 0; lookup < N_LOOKUPS; lookup++)
		batch_find(list->by[lookup], &batch[lookup], id);
	for_each_frame(i, frames) found_set(found, i, id[i]);
	found->parsed = frames;
}

static inline void find(struct inspect *inspect, const struct list *list, uint32_t frames,
			struct found *found)
{
	struct acl_memo key[BURST_MAX];
	uint32_t unknown;

	found->parsed = found->hit = 0;
	if (unlikely(list->mac_too)) {
		look_up(inspect, list, frames, found);
		return;
	}
	unknown = recall(inspect, list, frames, key, found);
	if (likely(unknown == 0))
		return;
	look_up(inspect, list, unknown, found);
	for_each_frame(i, unknown)
	{
		if (key[i].list == 0)
			continue;
		key[i].found = found->id[i];
		*memo_of(inspect, &key[i]) = key[i];
	}
}

static inline void count(const struct acl_rule *rule, const struct frame *f)
{
	struct acl_counter *c = rule->counter + (size_t)worker_self * ACL_COUNTERS;

	c->frames++;
	c->bytes += f->size;
}

/* In place of ports, the type of the message that answers. RFC 792: echo, timestamp; RFC 4443, 4: echo. */
static bool icmp_key(const struct flow *flow, bool asks, struct conn_key *key)
{
	static const uint8_t answers[][2] = { { 8, 0 }, { 13, 14 }, { 128, 129 } };
	uint8_t type = (uint8_t)(be16toh(flow->sport) >> 8);

	for (unsigned int i = 0; i < ARRAY_SIZE(answers); i++)
		if (type == answers[i][asks ? 0 : 1]) {
			key->remote_port = answers[i][1];
			return true;
		}
	return false;
}

/* False: no connection can be known by what this frame shows. */
static bool key_of(const struct flow *flow, enum acl_direction direction, enum acl_direction opened,
		   struct conn_key *key)
{
	bool in = direction == ACL_IN;

	if ((flow->flags & FLOW_IP) == 0 || (flow->flags & (FLOW_LATER | FLOW_OBSCURE)) != 0)
		return false;
	*key = (struct conn_key){
		.ip = (flow->flags & FLOW_IPV4) != 0 ? 4 : 6,
		.protocol = flow->proto,
		.opened_out = opened == ACL_OUT,
	};
	memcpy(key->remote, in ? flow->source : flow->dest, sizeof(key->remote));
	memcpy(key->local, in ? flow->dest : flow->source, sizeof(key->local));
	if (flow->proto == IP_PROTO_ICMP || flow->proto == IP_PROTO_ICMPV6)
		return icmp_key(flow, direction == opened, key);
	key->remote_port = in ? flow->sport : flow->dport;
	key->local_port = in ? flow->dport : flow->sport;
	return true;
}

/* Whether frame i, which `rule` is for, may open a connection or answer one: of whom to ask, then. */
static bool ask_of(struct inspect *inspect, const struct acl *acl, const struct acl_rule *rule,
		   unsigned int i, struct conn_ask *ask)
{
	enum acl_direction other = rule->direction == ACL_IN ? ACL_OUT : ACL_IN;
	bool answers = rule->action == ACL_DENY;

	if ((!answers && !rule->stateful) || !key_of(inspect_flow(inspect, i), rule->direction,
						     answers ? other : rule->direction, &ask->key))
		return false;
	conn_ask(acl->conns, ask);
	return true;
}

/* The stateful rule that allows a frame, since it answers, which `denied_by` denies. NULL: it does not. */
static const struct acl_rule *answers(const struct inspect *inspect, const struct acl *acl,
				      const struct acl_rule *denied_by, uint8_t tcp,
				      const struct conn_ask *ask)
{
	const struct acl_rule *rule;
	struct conn_rule found = { 0 };

	if (!(inspect->dry ? conn_would_answer : conn_answers)(acl->conns, ask, tcp, inspect->now_s,
							       &found) ||
	    found.place >= acl->n_places)
		return NULL;
	rule = acl->stateful[found.place];
	return rule != NULL && rule->conn.serial == found.serial &&
			       rule->weight >= denied_by->weight
		       ? rule
		       : NULL;
}

/* acl_filter where there are stateful rules: in rounds, so that what is known of all frames' connections is on its way
 * when the first one is judged. */
static __attribute__((noinline)) uint32_t filter_stateful(struct inspect *inspect,
							  const struct acl *acl,
							  const struct list *list, uint32_t frames,
							  const struct found *found)
{
	struct conn_ask ask[BURST_MAX];
	const uint32_t hit = frames & found->hit;
	uint32_t asked = 0;

	for_each_frame(i, hit) if (ask_of(inspect, acl, &list->rule[found->id[i] - 1], i, &ask[i]))
		asked |= BIT(i);
	for_each_frame(i, asked) conn_fetch(acl->conns, &ask[i]);
	for_each_frame(i, hit)
	{
		const struct acl_rule *first = &list->rule[found->id[i] - 1], *rule = NULL;
		const bool may = (asked >> i & 1) != 0;
		const uint8_t tcp = may ? inspect->flow[i].tcp : 0;

		if (may && first->action == ACL_DENY)
			rule = answers(inspect, acl, first, tcp, &ask[i]);
		if (rule == NULL)
			rule = first;
		count(rule, &inspect->burst->frame[i]);
		if (rule->action == ACL_DENY)
			frames = inspect_drop(inspect, frames, i, DROP_ACL);
		else if (may && rule == first && !inspect->dry &&
			 !conn_open(acl->conns, &ask[i], &rule->conn, tcp, inspect->now_s))
			frames = inspect_drop(inspect, frames, i, DROP_CONNECTIONS);
	}
	return frames;
}

bool acl_has_filter(const struct acl *acl, enum acl_direction direction)
{
	return acl->filter[direction].n > 0;
}

bool acl_has_meter(const struct acl *acl, enum acl_direction direction)
{
	return acl->meter[direction].n > 0;
}

uint32_t acl_filter(struct inspect *inspect, const struct acl *acl, enum acl_direction direction,
		    uint32_t frames)
{
	const struct list *list = &acl->filter[direction];
	struct found found;

	find(inspect, list, frames, &found);
	if (list->looks_at_ip)
		for_each_frame(i, found.parsed)
		{
			if ((inspect->flow[i].flags & FLOW_OBSCURE) != 0)
				frames = inspect_drop(inspect, frames, i, DROP_OBSCURE);
		}
	if (acl->conns != NULL)
		return filter_stateful(inspect, acl, list, frames, &found);
	for_each_frame(i, frames & found.hit)
	{
		const struct acl_rule *rule = &list->rule[found.id[i] - 1];

		count(rule, &inspect->burst->frame[i]);
		if (rule->action == ACL_DENY)
			frames = inspect_drop(inspect, frames, i, DROP_ACL);
	}
	return frames;
}

void acl_meter(struct inspect *inspect, const struct acl *acl, enum acl_direction direction,
	       uint32_t frames)
{
	const struct list *list = &acl->meter[direction];
	struct found found;

	find(inspect, list, frames, &found);
	for_each_frame(i, found.hit) count(&list->rule[found.id[i] - 1], &inspect->burst->frame[i]);
}
