/* SPDX-License-Identifier: BSD-3-Clause */
#include "daemon/acl.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "acl/rte.h"
#include "base/log.h"
#include "daemon/runtime.h"
#include "model/acl.h"
#include "model/object.h"
#include "model/text.h"

static struct rt_port *port_of(struct runtime *rt, const json_t *obj)
{
	const char *name = obj_name(obj);
	char vport[136];

	text_put(vport, sizeof(vport), "%.*s", (int)(strchr(name, '/') - name), name);
	return runtime_port(rt, PORT_OF_VPORT, vport);
}

/* --- places --- */

/* -1: none. */
static long place_of(const json_t *places, const char *name)
{
	const json_t *place = json_object_get(places, name);

	return place != NULL ? (long)json_integer_value(place) : -1;
}

/* Room for one chunk of places more. */
static int grow(struct rt_acls *acls)
{
	size_t n = acls->n_chunks + 1, n_places = n * ACL_COUNTERS;
	struct acl_counters **chunk = realloc(acls->chunk, n * sizeof(struct acl_counters *));
	struct acl_counters *counters = aligned_alloc(CACHE_LINE, sizeof(*counters));
	struct rt_acl *acl = realloc(acls->acl, n_places * sizeof(*acl));
	unsigned int *places = realloc(acls->free, n_places * sizeof(*places));

	if (chunk != NULL)
		acls->chunk = chunk;
	if (acl != NULL)
		acls->acl = acl;
	if (places != NULL)
		acls->free = places;
	if (chunk == NULL || counters == NULL || acl == NULL || places == NULL) {
		free(counters);
		return -ENOMEM;
	}
	acls->chunk[acls->n_chunks++] = counters;
	return 0;
}

static struct acl_counter *counter_of(const struct rt_acls *acls, unsigned int place)
{
	return &acls->chunk[place / ACL_COUNTERS]->of[0][place % ACL_COUNTERS];
}

/* A place whose counters are 0. Negative: no memory. */
static int place_take(struct rt_acls *acls)
{
	unsigned int place;

	if (acls->n_free > 0) {
		place = acls->free[--acls->n_free];
	} else {
		if (acls->n == acls->n_chunks * ACL_COUNTERS && grow(acls) < 0)
			return -ENOMEM;
		place = acls->n++;
	}
	for (unsigned int i = 0; i < STATS_SLOTS; i++)
		counter_of(acls, place)[(size_t)i * ACL_COUNTERS] = (struct acl_counter){ 0 };
	acls->acl[place] = (struct rt_acl){ .rule.conn.serial = ++acls->last_serial };
	return (int)place;
}

/* --- rules --- */

static void rule_read(const json_t *config, struct acl_counter *counter, unsigned int place,
		      struct acl_rule *rule)
{
	struct acl_words w;

	acl_read(config, &w);
	*rule = (struct acl_rule){
		.direction = obj_is(config, "direction", "in") ? ACL_IN : ACL_OUT,
		.action = obj_is(config, "action", "allow")  ? ACL_ALLOW
			  : obj_is(config, "action", "deny") ? ACL_DENY
							     : ACL_METER,
		.weight = (uint32_t)obj_uint(config, "weight"),
		.remote = w.remote,
		.local = w.local,
		.protocol = (uint16_t)w.protocol,
		.remote_port = { w.remote_port.from, w.remote_port.to },
		.local_port = { w.local_port.from, w.local_port.to },
		.counter = counter,
		.stateful = obj_bool(config, "stateful"),
		.conn = { place, rule->conn.serial, (uint32_t)obj_uint(config, "idle-timeout") },
	};
}

/* Whether it stays the rule that it was for the frames that it has counted. */
static bool same_rule(const json_t *a, const json_t *b)
{
	static const char *const fields[] = { "direction", "action",     "remote",     "local",
					      "protocol",  "local-port", "remote-port" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (obj_changed(a, b, fields[i]))
			return false;
	return true;
}

/* The place of this name in `places`, if the rule there is the same. */
static long same_place(const struct rt_acls *acls, const json_t *places, const json_t *config)
{
	long place = place_of(places, obj_name(config));

	return place >= 0 && same_rule(acls->acl[place].config, config) ? place : -1;
}

/* The rule no longer holds; that it did is known until the switch is published. One that left before it under its
 * name goes on under none (names have a slash). */
static void rule_leave(struct rt_acls *acls, const char *name)
{
	json_t *place = json_incref(json_object_get(acls->places, name));
	json_t *before = json_incref(json_object_get(acls->left, name));
	char number[24];

	if (before != NULL) {
		text_put(number, sizeof(number), "%ld", (long)json_integer_value(before));
		json_object_set_new(acls->left, number, before);
	}
	json_object_del(acls->places, name);
	json_object_set_new(acls->left, name, place);
}

static int rule_put(struct rt_acls *acls, const json_t *config, struct refusal *why)
{
	const char *name = obj_name(config);
	long place = same_place(acls, acls->places, config);

	if (place < 0) {
		place = same_place(acls, acls->left, config);
		if (place >= 0)
			json_object_del(acls->left, name);
		else
			place = place_take(acls);
		if (place < 0)
			return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
		if (place_of(acls->places, name) >= 0)
			rule_leave(acls, name);
		json_object_set_new(acls->places, name, json_integer(place));
	}
	json_incref((json_t *)config);
	json_decref(acls->acl[place].config);
	acls->acl[place].config = (json_t *)config;
	rule_read(config, counter_of(acls, (unsigned int)place), (unsigned int)place,
		  &acls->acl[place].rule);
	if (acls->acl[place].meter.start_ns == 0)
		meter_start(&acls->acl[place]);
	return 0;
}

int acl_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
	       struct refusal *why)
{
	struct rt_port *port = port_of(rt, old_obj != NULL ? old_obj : new_obj);
	struct rt_acls *acls;
	int ret = 0;

	if (port == NULL)
		return new_obj == NULL ? 0
				       : refuse(why, -ENOENT, NULL, NULL, "its vport does not run");
	acls = &port->acls;
	if (acls->places == NULL) {
		acls->places = json_object();
		acls->left = json_object();
	}
	if (new_obj != NULL)
		ret = rule_put(acls, new_obj, why);
	else if (place_of(acls->places, obj_name(old_obj)) >= 0)
		rule_leave(acls, obj_name(old_obj));
	acls->changed = true;
	port->sw->changed = true;
	return ret;
}

/* --- what workers go by --- */

static struct acl *try_build(const struct rt_acls *acls, struct acl_rule *rules,
			     classifier_build *build, struct conns *conns)
{
	const char *name;
	json_t *place;
	unsigned int n = 0;

	json_object_foreach(acls->places, name, place) {
		rules[n++] = acls->acl[json_integer_value(place)].rule;
	}
	return acl_new(rules, n, build, conns);
}

/* The rules hold in any case: where the fast classifier has not enough memory, by the slow one. */
static struct acl *build(struct runtime *rt, struct rt_port *port)
{
	struct rt_acls *acls = &port->acls;
	size_t n = json_object_size(acls->places);
	struct acl_rule *rules = calloc(n + 1, sizeof(*rules));
	struct acl *acl = NULL;
	bool slow = false;

	if (rules != NULL) {
		acl = try_build(acls, rules, acl_rte_new, port->conns);
		slow = acl == NULL;
		if (slow)
			acl = try_build(acls, rules, linear_new, port->conns);
	}
	free(rules);
	if (slow && acl != NULL && !acls->slow)
		events_add(
			rt->events, "warning", "vport", port->name,
			"its %zu rules are too many for the memory of the classifier: each frame "
			"is compared with one after the other, which is slow",
			n);
	acls->slow = slow;
	return acl;
}

/* Places for connections that the port's rules need now. */
static unsigned int conns_wanted(const struct rt_port *port)
{
	const char *name;
	json_t *place;

	json_object_foreach(port->acls.places, name, place) {
		if (port->acls.acl[json_integer_value(place)].rule.stateful)
			return (unsigned int)obj_uint(port->config, "max-connections");
	}
	return 0;
}

/* Room for n connections, or for as many as there is memory for. NULL: for none. */
static struct conns *conns_make(struct runtime *rt, const struct rt_port *port, unsigned int n)
{
	struct conns *conns = NULL;
	unsigned int room = n;

	while (room > 0 && (conns = conns_new(room)) == NULL)
		room /= 2;
	if (conns != NULL && room < n)
		events_add(
			rt->events, "warning", "vport", port->name,
			"there is no memory for %u connections (max-connections): it remembers %u",
			n, room);
	return conns;
}

/* The classifiers, and what goes with them. False: no memory. */
static bool rebuild(struct runtime *rt, struct rt_port *port, struct conns *old_conns)
{
	struct refusal why = REFUSAL_INIT;
	unsigned int n = conns_wanted(port);

	port->acl = NULL;
	port->conns = old_conns;
	if (n != port->n_conns)
		port->conns = conns_make(rt, port, n);
	if ((n == 0 || port->conns != NULL) &&
	    (json_object_size(port->acls.places) == 0 || (port->acl = build(rt, port)) != NULL) &&
	    policy_update(rt, port, port->config, &why) == 0) {
		port->n_conns = n;
		return true;
	}
	acl_free(port->acl);
	if (port->conns != old_conns)
		conns_free(port->conns);
	return false;
}

static void build_port(struct runtime *rt, struct rt_port *port)
{
	struct port_policy *old = port->policy;
	struct conns *old_conns = port->conns;

	old->dead_acl = port->acl;
	while (!rebuild(rt, port, old_conns)) {
		log_err("vport", "'%s': waiting for memory to take over its rules", port->name);
		sleep(1);
	}
	if (port->conns != old_conns)
		old->dead_conns = old_conns;
	port->acls.changed = false;
}

static bool is_stale(const struct rt_port *port)
{
	return port->acls.changed ||
	       (port->conns != NULL && port->n_conns != obj_uint(port->config, "max-connections"));
}

void acls_build(struct runtime *rt, struct rt_switch *sw)
{
	struct rt_port *port;

	LIST_FOREACH(port, &rt->ports, next)
		if (port->sw == sw && !port->removed && is_stale(port))
			build_port(rt, port);
}

void acls_built(struct runtime *rt, struct rt_switch *sw)
{
	struct rt_port *port;
	const char *name;
	json_t *place;

	LIST_FOREACH(port, &rt->ports, next) {
		struct rt_acls *acls = &port->acls;

		if (port->sw != sw || port->removed || json_object_size(acls->left) == 0)
			continue;
		json_object_foreach(acls->left, name, place) {
			unsigned int p = (unsigned int)json_integer_value(place);

			json_decref(acls->acl[p].config);
			acls->acl[p].config = NULL;
			acls->free[acls->n_free++] = p;
		}
		json_object_clear(acls->left);
	}
}

void port_acls_free(struct rt_port *port)
{
	struct rt_acls *acls = &port->acls;

	for (unsigned int i = 0; i < acls->n; i++)
		json_decref(acls->acl[i].config);
	for (unsigned int i = 0; i < acls->n_chunks; i++)
		free(acls->chunk[i]);
	free(acls->chunk);
	free(acls->acl);
	free(acls->free);
	json_decref(acls->places);
	json_decref(acls->left);
	memset(acls, 0, sizeof(*acls));
	if (port->policy == NULL)
		return;
	port->policy->dead_acl = port->acl;
	port->policy->dead_conns = port->conns;
}

struct rt_acl *acl_at(const struct rt_acls *acls, unsigned int place)
{
	struct rt_acl *acl = &acls->acl[place];

	if (acl->config == NULL || place_of(acls->places, obj_name(acl->config)) != (long)place)
		return NULL;
	return acl;
}

void acl_fill(struct runtime *rt, const json_t *obj, json_t *out)
{
	const struct rt_port *port = port_of(rt, obj);
	struct acl_counter sum;
	long place = port != NULL ? place_of(port->acls.places, obj_name(obj)) : -1;

	if (place < 0)
		return;
	acl_count(counter_of(&port->acls, (unsigned int)place), &sum);
	json_object_set_new(out, "frames", json_integer((json_int_t)sum.frames));
	json_object_set_new(out, "bytes", json_integer((json_int_t)sum.bytes));
}
