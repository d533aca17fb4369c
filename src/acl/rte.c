/* SPDX-License-Identifier: BSD-3-Clause */
/* DPDK Programmer's Guide, "Packet Classification and Access Control": the first field of a rule is one byte, those
 * after it come in groups of four consecutive bytes; keys are in the wire's order, rules in the host's. */
#include "acl/rte.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_acl.h>

#define FIELDS_MAX 11

struct rte_classifier {
	struct classifier classifier;
	struct rte_acl_ctx *ctx;
};

RTE_ACL_RULE_DEF(full_rule, FIELDS_MAX);

struct layout {
	unsigned int n_fields;
	struct rte_acl_field_def field[FIELDS_MAX];
};

#define ANY_BITS RTE_ACL_FIELD_TYPE_BITMASK
#define PREFIX   RTE_ACL_FIELD_TYPE_MASK
#define RANGE    RTE_ACL_FIELD_TYPE_RANGE
#define MAC(at)  (offsetof(struct frame, mac) + (at))
#define FLOW(at) offsetof(struct flow, at)

/* clang-format off */
static const struct layout layouts[] = {
	/* The frame's EtherType stands in for the single byte: nobody asks about it. */
	[CLASSIFY_MAC] = { 5, {
		{ ANY_BITS, 1, 0, 0, MAC(12) },
		{ PREFIX, 4, 1, 1, MAC(0) },
		{ PREFIX, 2, 2, 2, MAC(4) }, { PREFIX, 2, 3, 2, MAC(6) },
		{ PREFIX, 4, 4, 3, MAC(8) },
	} },
	[CLASSIFY_IPV4] = { 5, {
		{ ANY_BITS, 1, 0, 0, FLOW(proto) },
		{ PREFIX, 4, 1, 1, FLOW(source) },
		{ PREFIX, 4, 2, 2, FLOW(dest) },
		{ RANGE, 2, 3, 3, FLOW(sport) }, { RANGE, 2, 4, 3, FLOW(dport) },
	} },
	[CLASSIFY_IPV6] = { 11, {
		{ ANY_BITS, 1, 0, 0, FLOW(proto) },
		{ PREFIX, 4, 1, 1, FLOW(source) }, { PREFIX, 4, 2, 2, FLOW(source) + 4 },
		{ PREFIX, 4, 3, 3, FLOW(source) + 8 }, { PREFIX, 4, 4, 4, FLOW(source) + 12 },
		{ PREFIX, 4, 5, 5, FLOW(dest) }, { PREFIX, 4, 6, 6, FLOW(dest) + 4 },
		{ PREFIX, 4, 7, 7, FLOW(dest) + 8 }, { PREFIX, 4, 8, 8, FLOW(dest) + 12 },
		{ RANGE, 2, 9, 9, FLOW(sport) }, { RANGE, 2, 10, 9, FLOW(dport) },
	} },
};
/* clang-format on */

static_assert(offsetof(struct flow, dport) == offsetof(struct flow, sport) + 2,
	      "ports are one group of four bytes");

/* The part of a prefix that lies in `size` bytes from `at` on. */
static void put_prefix(struct rte_acl_field *field, const struct prefix *prefix, unsigned int at,
		       unsigned int size)
{
	unsigned int before = at * 8, bits = prefix->bits > before ? prefix->bits - before : 0;
	uint32_t value = 0;

	for (unsigned int i = 0; i < size; i++)
		value = value << 8 | prefix->addr[at + i];
	if (size == 2)
		field->value.u16 = (uint16_t)value;
	else
		field->value.u32 = value;
	field->mask_range.u32 = bits < size * 8 ? bits : size * 8;
}

static void put_ports(struct rte_acl_field *field, const struct classify_ports *ports)
{
	field->value.u16 = ports->from;
	field->mask_range.u16 = ports->to;
}

static void put_rule(struct full_rule *to, enum classify_kind kind,
		     const struct classify_rule *rule)
{
	const struct layout *layout = &layouts[kind];
	unsigned int words = kind == CLASSIFY_IPV4 ? 1 : 4;

	memset(to, 0, sizeof(*to));
	to->data.category_mask = 1;
	to->data.priority = (int32_t)(RTE_ACL_MAX_PRIORITY - rule->id);
	to->data.userdata = rule->id;
	if (kind == CLASSIFY_MAC) {
		put_prefix(&to->field[1], &rule->dest, 0, 4);
		put_prefix(&to->field[2], &rule->dest, 4, 2);
		put_prefix(&to->field[3], &rule->source, 0, 2);
		put_prefix(&to->field[4], &rule->source, 2, 4);
		return;
	}
	if (rule->protocol != CLASSIFY_PROTOCOL_ANY) {
		to->field[0].value.u8 = (uint8_t)rule->protocol;
		to->field[0].mask_range.u8 = 0xff;
	}
	for (unsigned int i = 0; i < words; i++) {
		put_prefix(&to->field[1 + i], &rule->source, i * 4, 4);
		put_prefix(&to->field[1 + words + i], &rule->dest, i * 4, 4);
	}
	put_ports(&to->field[layout->n_fields - 2], &rule->sport);
	put_ports(&to->field[layout->n_fields - 1], &rule->dport);
}

static void rte_classifier_find(const struct classifier *c, const void *const key[],
				uint32_t found[], unsigned int n)
{
	const struct rte_classifier *r = (const struct rte_classifier *)c;

	/* It reads them only, though its type does not say so. */
	rte_acl_classify(r->ctx, (const uint8_t **)key, found, n, 1);
}

static void rte_classifier_free(struct classifier *c)
{
	rte_acl_free(((struct rte_classifier *)c)->ctx);
	free(c);
}

static int add_rules(struct rte_acl_ctx *ctx, enum classify_kind kind,
		     const struct classify_rule *rule, unsigned int n)
{
	struct full_rule full;
	int ret = 0;

	for (unsigned int i = 0; i < n && ret == 0; i++) {
		put_rule(&full, kind, &rule[i]);
		ret = rte_acl_add_rules(ctx, (const struct rte_acl_rule *)&full, 1);
	}
	return ret;
}

struct classifier *acl_rte_new(enum classify_kind kind, const struct classify_rule *rule,
			       unsigned int n)
{
	static unsigned int n_made; /* contexts are told apart by their names */
	struct rte_acl_config config = { .num_categories = 1,
					 .num_fields = layouts[kind].n_fields };
	char name[RTE_ACL_NAMESIZE];
	struct rte_acl_param param = { .name = name,
				       .socket_id = SOCKET_ID_ANY,
				       .rule_size = RTE_ACL_RULE_SZ(config.num_fields),
				       .max_rule_num = n };
	struct rte_classifier *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return NULL;
	(void)snprintf(name, sizeof(name), "acl-%u", n_made++);
	memcpy(config.defs, layouts[kind].field, config.num_fields * sizeof(config.defs[0]));
	r->classifier = (struct classifier){ rte_classifier_find, rte_classifier_free };
	r->ctx = rte_acl_create(&param);
	if (r->ctx != NULL && add_rules(r->ctx, kind, rule, n) == 0 &&
	    rte_acl_build(r->ctx, &config) == 0)
		return &r->classifier;
	rte_classifier_free(&r->classifier);
	return NULL;
}
