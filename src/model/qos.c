/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/qos.h"

#include "model/object.h"
#include "model/text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DSCP_MAX     63
#define PRIORITY_MAX 7

static const char *const algorithms[] = { "strict", "ets", NULL };
static const char *const switches[] = { "off", "on", NULL };

/* --- text --- */

/* Digits up to `end`, in their shortest form. */
static bool number_of(const char *text, const char *end, unsigned int max, unsigned int *number)
{
	*number = 0;
	if (text == end || (*text == '0' && text + 1 != end))
		return false;
	for (; text != end; text++) {
		if (*text < '0' || *text > '9')
			return false;
		*number = *number * 10 + (unsigned int)(*text - '0');
		if (*number > max)
			return false;
	}
	return true;
}

bool mark_parse(const char *text, const char *word, unsigned int max, int *mark)
{
	unsigned int number;

	*mark = QOS_NONE;
	if (!strcmp(text, word))
		return true;
	if (!number_of(text, text + strlen(text), max, &number))
		return false;
	*mark = (int)number;
	return true;
}

static bool value_of(const char *text, const char *end, const char *const *words, unsigned int max,
		     uint8_t *value)
{
	unsigned int number;

	for (uint8_t i = 0; words && words[i]; i++)
		if (strlen(words[i]) == (size_t)(end - text) &&
		    !strncmp(words[i], text, (size_t)(end - text))) {
			*value = i;
			return true;
		}
	if (words || !number_of(text, end, max, &number))
		return false;
	*value = (uint8_t)number;
	return true;
}

bool eight_parse(const char *text, const char *const *words, unsigned int max,
		 uint8_t value[N_EIGHT])
{
	unsigned int seen = 0;

	memset(value, 0, N_EIGHT);
	for (bool first = true;; first = false) {
		const char *colon = strchr(text, ':'), *end;
		unsigned int number = 0;
		uint8_t one;

		if (!colon)
			return false;
		end = colon + 1 + strcspn(colon + 1, ", ");
		if (!value_of(colon + 1, end, words, max, &one))
			return false;
		if (first && colon - text == 3 && !strncmp(text, "all", 3)) {
			memset(value, one, N_EIGHT);
		} else {
			if (!number_of(text, colon, N_EIGHT - 1, &number) || (seen >> number & 1))
				return false;
			seen |= 1u << number;
			value[number] = one;
		}
		if (!*end)
			return true;
		text = end + 1;
	}
}

static void emit_value(FILE *out, uint8_t value, const char *const *words)
{
	if (words)
		emit(out, "%s", words[value]);
	else
		emit(out, "%u", value);
}

char *eight_format(const uint8_t value[N_EIGHT], const char *const *words)
{
	char *text = NULL;
	const char *sep = "";
	size_t size;
	FILE *out = text_open(&text, &size);

	if (!memcmp(value, value + 1, N_EIGHT - 1)) {
		emit(out, "all:");
		emit_value(out, value[0], words);
		text_close(out);
		return text;
	}
	for (unsigned int i = 0; i < N_EIGHT; i++) {
		if (!value[i])
			continue;
		emit(out, "%s%u:", sep, i);
		emit_value(out, value[i], words);
		sep = ",";
	}
	text_close(out);
	return text;
}

/* --- policies --- */

/* What New-NetQosPolicy has filters for, with its ports: all of TCP, on either side. */
static const struct {
	const char *name;
	uint16_t port;
} filters[] = { { "iscsi", 3260 }, { "nfs", 2049 }, { "smb", 445 }, { "live-migration", 6600 } };

static void read_match(const json_t *obj, struct qos_words *w)
{
	char wrong[PREFIX_TEXT_SIZE];
	bool ok = prefix_parse(obj_str(obj, "source"), &w->source, wrong) &&
		  prefix_parse(obj_str(obj, "destination"), &w->dest, wrong) &&
		  protocol_parse(obj_str(obj, "protocol"), &w->protocol) &&
		  ports_parse(obj_str(obj, "source-port"), &w->sport) &&
		  ports_parse(obj_str(obj, "destination-port"), &w->dport) &&
		  ports_parse(obj_str(obj, "port"), &w->port) &&
		  mark_parse(obj_str(obj, "dscp"), "any", DSCP_MAX, &w->dscp) &&
		  mark_parse(obj_str(obj, "priority"), "any", PRIORITY_MAX, &w->priority);

	assert(ok);
	(void)ok;
}

void qos_policy_read(const json_t *obj, struct qos_words *w)
{
	bool ok;

	read_match(obj, w);
	w->rest = obj_is(obj, "filter", "others");
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++)
		if (obj_is(obj, "filter", filters[i].name)) {
			w->protocol = 6;
			w->port = (struct ports){ filters[i].port, filters[i].port };
		}
	ok = mark_parse(obj_str(obj, "set-dscp"), "none", DSCP_MAX, &w->set_dscp) &&
	     mark_parse(obj_str(obj, "set-priority"), "none", PRIORITY_MAX, &w->set_priority);
	assert(ok);
	(void)ok;
}

static bool any_port(const struct ports *ports)
{
	return ports->from == 0 && ports->to == 65535;
}

/* The field of the first condition but `vport` and `filter`; NULL: there is none. */
static const char *first_condition(const struct qos_words *w)
{
	return w->protocol != PROTOCOL_ANY    ? "protocol"
	       : w->source.kind != PREFIX_ANY ? "source"
	       : w->dest.kind != PREFIX_ANY   ? "destination"
	       : !any_port(&w->sport)         ? "source-port"
	       : !any_port(&w->dport)         ? "destination-port"
	       : !any_port(&w->port)          ? "port"
	       : w->dscp != QOS_NONE          ? "dscp"
	       : w->priority != QOS_NONE      ? "priority"
					      : NULL;
}

static int check_addresses(const json_t *obj, const struct qos_words *w, struct refusal *why)
{
	const char *source = obj_str(obj, "source"), *dest = obj_str(obj, "destination");

	if (w->source.kind == PREFIX_MAC)
		return refuse_value(why, "source", source, "any, or IPv4 or IPv6 addresses");
	if (w->dest.kind == PREFIX_MAC)
		return refuse_value(why, "destination", dest, "any, or IPv4 or IPv6 addresses");
	if (w->source.kind != PREFIX_ANY && w->dest.kind != PREFIX_ANY &&
	    w->source.kind != w->dest.kind)
		return refuse_value(why, "destination", dest,
				    "any, or an address of the kind of `source` (%s)", source);
	return 0;
}

static int check_ports(const json_t *obj, const struct qos_words *w, struct refusal *why)
{
	const char *protocol = obj_str(obj, "protocol");
	const char *port = !any_port(&w->sport)   ? "source-port"
			   : !any_port(&w->dport) ? "destination-port"
			   : !any_port(&w->port)  ? "port"
						  : NULL;

	if (port && strcmp(protocol, "any") != 0 && strcmp(protocol, "tcp") != 0 &&
	    strcmp(protocol, "udp") != 0 && strcmp(protocol, "sctp") != 0)
		return refuse_value(why, port, obj_str(obj, port),
				    "any with protocol %s, which has no ports", protocol);
	if (!any_port(&w->port) && (!any_port(&w->sport) || !any_port(&w->dport)))
		return refuse_value(
			why, "port", obj_str(obj, "port"),
			"any with source-port or destination-port: it is either of these");
	return 0;
}

static int check_conditions(const json_t *obj, const struct qos_words *w, struct refusal *why)
{
	const char *filter = obj_str(obj, "filter"), *first = first_condition(w);

	if (strcmp(filter, "none") != 0 && first != NULL)
		return refuse(
			why, -EINVAL, "filter", filter,
			"the filter says what the policy is for; set %s to any, or filter to none",
			first);
	if (strcmp(filter, "none") == 0 && first == NULL && !obj_has(obj, "vport"))
		return refuse(
			why, -EINVAL, NULL, NULL,
			"a policy needs a condition: filter (`others` for all that no other policy is for), "
			"vport, protocol, source, destination, source-port, destination-port, port, dscp or "
			"priority");
	return 0;
}

static int check_actions(const json_t *obj, const struct qos_words *w, struct refusal *why)
{
	bool others = obj_uint(obj, "min-weight") != 0 || obj_uint(obj, "throttle") != 0;

	if (w->set_dscp == QOS_NONE && w->set_priority == QOS_NONE && !others)
		return refuse(
			why, -EINVAL, NULL, NULL,
			"a policy needs an action: set-dscp, set-priority, min-weight or throttle");
	if (w->set_dscp != QOS_NONE && w->set_dscp == w->dscp)
		return refuse(why, -EINVAL, "set-dscp", obj_str(obj, "set-dscp"),
			      "what it is for has this DSCP already (dscp)");
	if (w->set_priority != QOS_NONE && w->set_priority == w->priority)
		return refuse(why, -EINVAL, "set-priority", obj_str(obj, "set-priority"),
			      "what it is for has this priority already (priority)");
	return 0;
}

int qos_policy_check(const json_t *obj, struct refusal *why)
{
	struct qos_words w;
	int ret;

	read_match(obj, &w);
	w.rest = obj_is(obj, "filter", "others");
	ret = check_addresses(obj, &w, why);
	if (ret == 0)
		ret = check_ports(obj, &w, why);
	if (ret == 0)
		ret = check_conditions(obj, &w, why);
	qos_policy_read(obj, &w);
	return ret == 0 ? check_actions(obj, &w, why) : ret;
}

char *qos_policy_rival(const json_t *obj)
{
	return text_new(
		"precedence %llu, filter %s, vport %s, protocol %s, source %s, destination %s, "
		"source-port %s, destination-port %s, port %s, dscp %s, priority %s",
		(unsigned long long)obj_uint(obj, "precedence"), obj_str(obj, "filter"),
		obj_has(obj, "vport") ? obj_str(obj, "vport") : "any", obj_str(obj, "protocol"),
		obj_str(obj, "source"), obj_str(obj, "destination"), obj_str(obj, "source-port"),
		obj_str(obj, "destination-port"), obj_str(obj, "port"), obj_str(obj, "dscp"),
		obj_str(obj, "priority"));
}

/* --- classes of traffic --- */

void uplink_classes_read(const json_t *obj, struct uplink_classes *c)
{
	uint8_t tsa[N_EIGHT], pfc[N_EIGHT];
	bool ok = eight_parse(obj_str(obj, "prio-tc"), NULL, N_EIGHT - 1, c->of_priority) &&
		  eight_parse(obj_str(obj, "tc-tsa"), algorithms, 0, tsa) &&
		  eight_parse(obj_str(obj, "tc-bw"), NULL, 100, c->percent) &&
		  eight_parse(obj_str(obj, "prio-pfc"), switches, 0, pfc);

	assert(ok);
	(void)ok;
	c->pfc = 0;
	for (unsigned int i = 0; i < N_EIGHT; i++) {
		c->ets[i] = tsa[i] != 0;
		c->pfc |= (uint8_t)(pfc[i] << i);
	}
}

bool uplink_has_classes(const json_t *obj)
{
	struct uplink_classes c;

	uplink_classes_read(obj, &c);
	return memcmp(c.of_priority, c.of_priority + 1, N_EIGHT - 1) != 0;
}

int uplink_classes_check(const json_t *obj, struct refusal *why)
{
	const char *percents = obj_str(obj, "tc-bw");
	unsigned int sum = 0;
	struct uplink_classes c;
	bool any_ets = false;

	uplink_classes_read(obj, &c);
	for (unsigned int i = 0; i < N_EIGHT; i++) {
		if (!c.ets[i] && c.percent[i] != 0)
			return refuse_value(
				why, "tc-bw", percents,
				"0 for class %u: tc-tsa says that it is strict, and takes what it wants",
				i);
		any_ets |= c.ets[i];
		sum += c.percent[i];
	}
	if (any_ets && sum != 100)
		return refuse(why, -EINVAL, "tc-bw", percents,
			      "the shares of the ets classes add up to %u %%, and must to 100 %%",
			      sum);
	if (any_ets && !uplink_has_classes(obj))
		return refuse(
			why, -EINVAL, "prio-tc", obj_str(obj, "prio-tc"),
			"all priorities are in one class, so there is nothing to share; set prio-tc, or "
			"tc-tsa to all:strict");
	return 0;
}
