/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/acl.h"

#include "model/object.h"
#include "model/text.h"

#include <assert.h>
#include <string.h>

static void read_prefix(const json_t *obj, const char *field, struct prefix *prefix)
{
	char wrong[PREFIX_TEXT_SIZE];
	bool ok = prefix_parse(obj_str(obj, field), prefix, wrong);

	assert(ok);
	(void)ok;
}

void acl_read(const json_t *obj, struct acl_words *words)
{
	bool ok;

	read_prefix(obj, "remote", &words->remote);
	read_prefix(obj, "local", &words->local);
	ok = protocol_parse(obj_str(obj, "protocol"), &words->protocol) &&
	     ports_parse(obj_str(obj, "remote-port"), &words->remote_port) &&
	     ports_parse(obj_str(obj, "local-port"), &words->local_port);
	assert(ok);
	(void)ok;
}

static bool any_port(const struct ports *ports)
{
	return ports->from == 0 && ports->to == 65535;
}

static bool has_ports(const char *protocol)
{
	return !strcmp(protocol, "tcp") || !strcmp(protocol, "udp") || !strcmp(protocol, "sctp");
}

/* What only a rule with a weight has. */
static int check_extended(const json_t *obj, const struct acl_words *w, struct refusal *why)
{
	const char *protocol = obj_str(obj, "protocol");
	const char *port = !any_port(&w->local_port)    ? "local-port"
			   : !any_port(&w->remote_port) ? "remote-port"
							: NULL;

	if (w->protocol != PROTOCOL_ANY && obj_uint(obj, "weight") == 0)
		return refuse_value(why, "protocol", protocol,
				    "any, or a protocol and a weight from 1 to 65535");
	if (obj_bool(obj, "stateful") &&
	    (obj_uint(obj, "weight") == 0 || !obj_is(obj, "action", "allow") ||
	     w->remote.kind == PREFIX_MAC || w->local.kind == PREFIX_MAC))
		return refuse_value(
			why, "stateful", "on",
			"off, or on with action allow, a weight from 1 to 65535 and no MAC address");
	if (port && !has_ports(protocol))
		return refuse_value(
			why, port, obj_str(obj, port),
			"any, or ports and a protocol that has them (tcp, udp or sctp)");
	return 0;
}

int acl_check(const json_t *obj, struct refusal *why)
{
	const char *remote = obj_str(obj, "remote"), *local = obj_str(obj, "local");
	struct acl_words w;

	acl_read(obj, &w);
	if (w.remote.kind != PREFIX_ANY && w.local.kind != PREFIX_ANY &&
	    w.remote.kind != w.local.kind)
		return refuse_value(why, "local", local,
				    "any, or an address of the kind of `remote` (%s)", remote);
	if (w.protocol != PROTOCOL_ANY &&
	    (w.remote.kind == PREFIX_MAC || w.local.kind == PREFIX_MAC))
		return refuse_value(why, "protocol", obj_str(obj, "protocol"),
				    "any in a rule for a MAC address");
	if (obj_is(obj, "action", "meter") && obj_uint(obj, "weight") != 0)
		return refuse_value(why, "action", "meter",
				    "allow or deny in a rule with a weight; meters go by the most "
				    "specific address");
	return check_extended(obj, &w, why);
}

char *acl_rival(const json_t *obj)
{
	return text_new(
		"%s, direction %s, weight %llu, remote %s, local %s, protocol %s, remote-port %s, "
		"local-port %s",
		obj_is(obj, "action", "meter") ? "meter" : "allow or deny",
		obj_str(obj, "direction"), (unsigned long long)obj_uint(obj, "weight"),
		obj_str(obj, "remote"), obj_str(obj, "local"), obj_str(obj, "protocol"),
		obj_str(obj, "remote-port"), obj_str(obj, "local-port"));
}
