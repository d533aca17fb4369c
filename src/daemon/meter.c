/* SPDX-License-Identifier: BSD-3-Clause */
/* What rules that meter have counted, as Hyper-V's resource metering shows it (Measure-VM): totals by address and
 * direction, averages, minimum and maximum. A reset remembers what was counted, so that workers are not disturbed. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/runtime.h"
#include "model/config.h"
#include "model/object.h"

/* The next rule from place *at on that meters; NULL: no more. */
static struct rt_acl *next_meter(const struct rt_acls *acls, unsigned int *at)
{
	while (*at < acls->n) {
		unsigned int place = (*at)++;

		if (acls->acl[place].rule.action == ACL_METER && acl_at(acls, place) != NULL)
			return &acls->acl[place];
	}
	return NULL;
}

static uint64_t bits_per_s(uint64_t bytes, uint64_t ns)
{
	return ns > 0 ? (uint64_t)((double)bytes * 8e9 / (double)ns) : 0;
}

void meter_start(struct rt_acl *acl)
{
	struct rt_meter *m = &acl->meter;

	acl_count(acl->rule.counter, &m->start);
	m->start_ns = clock_ns();
	m->last_bytes = m->start.bytes;
	m->bps_min = UINT64_MAX;
	m->bps_max = 0;
}

void meters_tick(struct rt_port *port, uint64_t elapsed_ns)
{
	uint64_t tick_start_ns = clock_ns() - elapsed_ns;
	unsigned int at = 0;
	struct rt_acl *acl;

	while ((acl = next_meter(&port->acls, &at)) != NULL) {
		struct rt_meter *m = &acl->meter;
		struct acl_counter now;
		uint64_t bps;

		acl_count(acl->rule.counter, &now);
		bps = bits_per_s(now.bytes - m->last_bytes, elapsed_ns);
		m->last_bytes = now.bytes;
		if (m->start_ns > tick_start_ns)
			continue; /* it has not been there for the whole interval */
		m->bps_min = bps < m->bps_min ? bps : m->bps_min;
		m->bps_max = bps > m->bps_max ? bps : m->bps_max;
	}
}

static void put_uint(json_t *out, const char *field, uint64_t v)
{
	json_object_set_new(out, field, json_integer((json_int_t)v));
}

static json_t *show(const struct rt_port *port, const struct rt_acl *acl)
{
	static const char *const copied[] = { "name", "direction", "remote", "local" };
	const struct rt_meter *m = &acl->meter;
	uint64_t ns = clock_ns() - m->start_ns;
	struct acl_counter now;
	json_t *out = json_object();

	acl_count(acl->rule.counter, &now);
	for (size_t i = 0; i < ARRAY_SIZE(copied); i++)
		json_object_set(out, copied[i], json_object_get(acl->config, copied[i]));
	json_object_set_new(out, "vport", json_string(port->name));
	put_uint(out, "frames", now.frames - m->start.frames);
	put_uint(out, "bytes", now.bytes - m->start.bytes);
	put_uint(out, "since", ns / 1000000000);
	put_uint(out, "average", bits_per_s(now.bytes - m->start.bytes, ns));
	if (m->bps_min <= m->bps_max) {
		put_uint(out, "minimum", m->bps_min);
		put_uint(out, "maximum", m->bps_max);
	}
	return out;
}

/* In the order of their names. */
void meters_list(struct runtime *rt, json_t *array)
{
	json_t *by_name = json_object();
	const struct rt_port *port;
	const char **names;

	LIST_FOREACH(port, &rt->ports, next) {
		unsigned int at = 0;
		struct rt_acl *acl;

		while (!port->removed && (acl = next_meter(&port->acls, &at)) != NULL)
			json_object_set_new(by_name, obj_name(acl->config), show(port, acl));
	}
	names = config_names(by_name);
	for (const char **name = names; *name != NULL; name++)
		json_array_append(array, json_object_get(by_name, *name));
	free(names);
	json_decref(by_name);
}

int meters_reset(struct runtime *rt, const char *name, struct refusal *why)
{
	struct rt_port *port;
	bool any = false;

	LIST_FOREACH(port, &rt->ports, next) {
		bool whole = name == NULL || strcmp(port->name, name) == 0;
		unsigned int at = 0;
		struct rt_acl *acl;

		if (port->removed || port->kind != PORT_OF_VPORT)
			continue;
		while ((acl = next_meter(&port->acls, &at)) != NULL) {
			if (!whole && strcmp(obj_name(acl->config), name) != 0)
				continue;
			meter_start(acl);
			any = true;
		}
	}
	if (any || name == NULL)
		return 0;
	return refuse(why, -ENOENT, NULL, NULL,
		      "there is no such meter, nor a vport with one (softiov meter show)");
}
