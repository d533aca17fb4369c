/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "switch/classify.h"

struct linear {
	struct classifier classifier;
	enum classify_kind kind;
	unsigned int n;
	struct classify_rule rule[];
};

static bool in_prefix(const struct prefix *prefix, const uint8_t *addr)
{
	unsigned int whole = prefix->bits / 8, rest = prefix->bits % 8;

	return memcmp(prefix->addr, addr, whole) == 0 &&
	       (rest == 0 || (prefix->addr[whole] ^ addr[whole]) >> (8 - rest) == 0);
}

static bool in_ports(const struct classify_ports *ports, uint16_t port)
{
	return ports->from <= be16toh(port) && be16toh(port) <= ports->to;
}

static bool matches(const struct linear *l, const struct classify_rule *rule, const void *key)
{
	const struct frame *frame = key;
	const struct flow *flow = key;

	if (l->kind == CLASSIFY_MAC)
		return in_prefix(&rule->dest, frame->mac) &&
		       in_prefix(&rule->source, frame->mac + 6);
	return in_prefix(&rule->source, flow->source) && in_prefix(&rule->dest, flow->dest) &&
	       (rule->protocol == CLASSIFY_PROTOCOL_ANY || rule->protocol == flow->proto) &&
	       in_ports(&rule->sport, flow->sport) && in_ports(&rule->dport, flow->dport);
}

static void linear_find(const struct classifier *c, const void *const key[], uint32_t found[],
			unsigned int n)
{
	const struct linear *l = (const struct linear *)c;

	for (unsigned int i = 0; i < n; i++) {
		found[i] = 0;
		for (unsigned int r = 0; r < l->n; r++)
			if ((found[i] == 0 || l->rule[r].id < found[i]) &&
			    matches(l, &l->rule[r], key[i]))
				found[i] = l->rule[r].id;
	}
}

static void linear_free(struct classifier *c)
{
	free(c);
}

struct classifier *linear_new(enum classify_kind kind, const struct classify_rule *rule,
			      unsigned int n)
{
	struct linear *l = malloc(sizeof(*l) + n * sizeof(*rule));

	if (l == NULL)
		return NULL;
	l->classifier = (struct classifier){ linear_find, linear_free };
	l->kind = kind;
	l->n = n;
	memcpy(l->rule, rule, n * sizeof(*rule));
	return &l->classifier;
}
