/* SPDX-License-Identifier: BSD-3-Clause */
/* Extensions: from their configuration to the lists that ports' policies have (src/switch/extension.h).
 *
 * A program stays until the transaction that takes it away has settled and no worker runs it: undoing a change must not need
 * its file again. A change that leaves file, section and hook as they are keeps the program and its counters; to read the
 * file again is a verb of its own.
 *
 * A file or a port that is gone when the daemon starts must not keep others from being judged. A program goes on without its
 * target, and what it sends there is dropped. Without its file an extension is there without a program then:
 * it drops what it should see, or lets it pass, as `on-failure` says, and is tried again. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "bpf/program.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/text.h"

struct rt_extension {
	LIST_ENTRY(rt_extension) next;
	json_t *config;
	struct program *program; /* NULL: it failed */
	struct extension *extension;
	char failure[ERR_TEXT_SIZE];
	bool removed; /* to be freed when the transaction has settled */
};

/* --- one extension --- */

static uint64_t run(const void *program, struct softiov_frame *frame)
{
	return program_run(program, frame);
}

static const char *section_of(const json_t *config)
{
	return obj_str(config, obj_has(config, "section") ? "section" : "hook");
}

static void rt_extension_free(struct rt_extension *e)
{
	program_free(e->program);
	free(e->extension);
	json_decref(e->config);
	free(e);
}

/* Also one whose program cannot be loaded, with `failure`. NULL: no memory. */
static struct rt_extension *rt_extension_new(const json_t *config, struct err *err)
{
	struct rt_extension *e = calloc(1, sizeof(*e));

	if (e == NULL) {
		err_set(err, -ENOMEM, "out of memory");
		return NULL;
	}
	e->config = json_incref((json_t *)config);
	if (program_load(&e->program, obj_str(config, "file"), section_of(config), err) < 0)
		text_put(e->failure, sizeof(e->failure), "%s", err->text);
	e->extension = extension_new(obj_name(config), e->program != NULL ? run : NULL, e->program);
	if (e->extension == NULL) {
		err_set(err, -ENOMEM, "out of memory");
		rt_extension_free(e);
		return NULL;
	}
	return e;
}

/* --- changes --- */

static bool same_program(const json_t *a, const json_t *b)
{
	static const char *const fields[] = { "name", "switch", "file", "section", "hook" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (obj_changed(a, b, fields[i]))
			return false;
	return true;
}

static struct rt_extension *find_same(struct runtime *rt, const json_t *config)
{
	struct rt_extension *e;

	LIST_FOREACH(e, &rt->extensions, next)
		if (same_program(e->config, config))
			return e;
	return NULL;
}

static unsigned int n_at_hook(const struct runtime *rt, const json_t *config)
{
	const struct rt_extension *e;
	unsigned int n = 0;

	LIST_FOREACH(e, &rt->extensions, next)
		n += !e->removed && strcmp(obj_name(e->config), obj_name(config)) != 0 &&
		     obj_is(e->config, "switch", obj_str(config, "switch")) &&
		     obj_is(e->config, "hook", obj_str(config, "hook"));
	return n;
}

static int check(struct runtime *rt, const json_t *config, struct refusal *why)
{
	int ret = ports_on_switch(rt, config, "vport", PORT_OF_VPORT, why);

	if (ret == 0)
		ret = ports_on_switch(rt, config, "uplink", PORT_OF_UPLINK, why);
	if (ret == 0)
		ret = ports_on_switch(rt, config, "to-vport", PORT_OF_VPORT, why);
	if (ret == 0)
		ret = ports_on_switch(rt, config, "to-uplink", PORT_OF_UPLINK, why);
	if (ret == 0 && n_at_hook(rt, config) >= EXTENSIONS_MAX)
		ret = refuse(why, -ENOSPC, "hook", obj_str(config, "hook"),
			     "the switch has %d extensions there, which is as many as there can be",
			     EXTENSIONS_MAX);
	return ret;
}

/* One with a program that runs. At the daemon's start it may fail. */
static struct rt_extension *make(struct runtime *rt, const json_t *config, struct refusal *why)
{
	struct err err = { 0 };
	struct rt_extension *e = rt_extension_new(config, &err);

	if (e != NULL && e->program != NULL)
		return e;
	if (e != NULL && !rt->started) {
		log_warn("extension", "'%s': %s: %s; its frames %s", obj_name(config),
			 obj_str(config, "file"), e->failure,
			 obj_is(config, "on-failure", "drop") ? "are dropped" : "pass without it");
		events_add(rt->events, "warning", "extension", obj_name(config),
			   "failed, so that its frames %s: %s",
			   obj_is(config, "on-failure", "drop") ? "are dropped" : "pass without it",
			   e->failure);
		return e;
	}
	if (e != NULL)
		rt_extension_free(e);
	refuse_err(why, "file", obj_str(config, "file"), &err);
	return NULL;
}

static void changed(struct runtime *rt, const char *name)
{
	struct rt_switch *sw = runtime_switch(rt, name);

	if (sw != NULL)
		sw->extended = true;
}

int extension_change(struct runtime *rt, const json_t *old_obj, const json_t *new_obj,
		     struct refusal *why)
{
	const json_t *obj = new_obj != NULL ? new_obj : old_obj;
	struct rt_extension *e = NULL, *other;

	if (new_obj != NULL) {
		int ret = check(rt, new_obj, why);

		if (ret < 0)
			return ret;
		e = find_same(rt, new_obj);
		if (e == NULL) {
			e = make(rt, new_obj, why);
			if (e == NULL)
				return why->code;
			LIST_INSERT_HEAD(&rt->extensions, e, next);
		}
		json_incref((json_t *)new_obj);
		json_decref(e->config);
		e->config = (json_t *)new_obj;
		e->removed = false;
	}
	LIST_FOREACH(other, &rt->extensions, next)
		if (other != e && strcmp(obj_name(other->config), obj_name(obj)) == 0)
			other->removed = true;
	changed(rt, obj_str(obj, "switch"));
	return 0;
}

/* Takes its program out of the file anew; one that is no good leaves it as it is. */
static int load_again(struct runtime *rt, struct rt_extension *e, struct err *err)
{
	struct rt_extension *again = rt_extension_new(e->config, err);

	if (again == NULL)
		return err->code;
	if (again->program == NULL) {
		rt_extension_free(again);
		return err->code;
	}
	LIST_INSERT_HEAD(&rt->extensions, again, next);
	e->removed = true;
	changed(rt, obj_str(e->config, "switch"));
	return 0;
}

void extensions_retry(struct runtime *rt)
{
	struct rt_extension *e;

	/* What is added on the way is before those that are looked at. */
	LIST_FOREACH(e, &rt->extensions, next) {
		struct err err = { 0 };

		if (e->program != NULL || e->removed || load_again(rt, e, &err) < 0)
			continue;
		log_info("extension", "'%s' runs now", obj_name(e->config));
		events_add(rt->events, "changed", "extension", obj_name(e->config), "runs now");
	}
}

int extension_reload(struct runtime *rt, const char *name, struct refusal *why)
{
	struct err err = { 0 };
	struct rt_extension *e;

	LIST_FOREACH(e, &rt->extensions, next)
		if (!e->removed && strcmp(obj_name(e->config), name) == 0)
			break;
	if (e == NULL)
		return refuse(why, -ENOENT, NULL, NULL,
			      "it does not run (softiov extension show %s says why)", name);
	if (load_again(rt, e, &err) < 0)
		return refuse_err(why, "file", obj_str(e->config, "file"), &err);
	return 0;
}

/* --- ports --- */

static bool covers(const struct rt_extension *e, const struct rt_port *port)
{
	if (e->removed || strcmp(obj_str(e->config, "switch"), port->sw->name) != 0 ||
	    (e->program == NULL && obj_is(e->config, "on-failure", "pass")))
		return false;
	return !ports_named(e->config) || port_is_named(e->config, port);
}

static int by_order(const void *a, const void *b)
{
	const json_t *one = (*(struct rt_extension *const *)a)->config;
	const json_t *two = (*(struct rt_extension *const *)b)->config;
	uint64_t first = obj_uint(one, "order"), second = obj_uint(two, "order");

	if (first != second)
		return first < second ? -1 : 1;
	return strcmp(obj_name(one), obj_name(two));
}

/* Where the port's frames are sent; nowhere while that port does not run. */
static uint16_t target(struct runtime *rt, const struct rt_port *of, const json_t *config,
		       const char *field, enum port_kind kind)
{
	const struct rt_port *port =
		obj_has(config, field) ? runtime_port(rt, kind, obj_str(config, field)) : NULL;

	if (port == NULL || port->sw != of->sw)
		return EXTENSION_NOWHERE;
	return port == of && obj_is(config, "hook", "egress") ? EXTENSION_HERE
							      : (uint16_t)port->idx;
}

void extensions_of(struct runtime *rt, const struct rt_port *port,
		   struct extensions list[EXTENSION_HOOKS])
{
	static const char *const hooks[EXTENSION_HOOKS] = { "ingress", "egress" };

	for (unsigned int hook = 0; hook < EXTENSION_HOOKS; hook++) {
		struct rt_extension *e, *found[EXTENSIONS_MAX] = { NULL };
		unsigned int n = 0;

		LIST_FOREACH(e, &rt->extensions, next) {
			if (!covers(e, port) || !obj_is(e->config, "hook", hooks[hook]))
				continue;
			assert(n < EXTENSIONS_MAX);
			found[n++] = e;
		}
		qsort(found, n, sizeof(struct rt_extension *), by_order);
		list[hook].n = n;
		list[hook].uplink = port->kind == PORT_OF_UPLINK;
		for (unsigned int i = 0; i < n; i++) {
			list[hook].at[i].extension = found[i]->extension;
			list[hook].at[i].to[EXTENSION_TO_VPORT] =
				target(rt, port, found[i]->config, "to-vport", PORT_OF_VPORT);
			list[hook].at[i].to[EXTENSION_TO_UPLINK] =
				target(rt, port, found[i]->config, "to-uplink", PORT_OF_UPLINK);
		}
	}
}

void extensions_follow(struct runtime *rt)
{
	struct rt_port *port;
	struct rt_switch *sw;

	LIST_FOREACH(port, &rt->ports, next) {
		if (port->removed || !port->sw->extended || LIST_EMPTY(&rt->extensions))
			continue;
		policy_follow(rt, port);
	}
	LIST_FOREACH(sw, &rt->switches, next)
		sw->extended = false;
}

void extensions_tidy(struct runtime *rt)
{
	struct rt_extension *e, *next;

	for (e = LIST_FIRST(&rt->extensions); e != NULL; e = next) {
		next = LIST_NEXT(e, next);
		if (!e->removed)
			continue;
		LIST_REMOVE(e, next);
		rt_extension_free(e);
	}
}

void extensions_free(struct runtime *rt)
{
	struct rt_extension *e;

	while ((e = LIST_FIRST(&rt->extensions)) != NULL) {
		LIST_REMOVE(e, next);
		rt_extension_free(e);
	}
}

/* --- status --- */

static void put_uint(json_t *out, const char *field, uint64_t v)
{
	json_object_set_new(out, field, json_integer((json_int_t)v));
}

void extension_status(struct runtime *rt, const json_t *obj, json_t *out)
{
	const struct rt_extension *e = find_same(rt, obj);
	struct extension_counts sum;
	json_t *own = json_object();
	char index[8];

	if (e == NULL) {
		json_decref(own);
		return;
	}
	json_object_set_new(out, "state", json_string(e->program != NULL ? "running" : "failed"));
	if (e->program == NULL)
		json_object_set_new(out, "failure", json_string(e->failure));
	else
		put_uint(out, "instructions", program_size(e->program));
	if (e->program != NULL)
		json_object_set_new(out, "native", json_boolean(program_is_native(e->program)));
	extension_counts(e->extension, &sum);
	put_uint(out, "seen", sum.seen);
	put_uint(out, "passed", sum.passed);
	put_uint(out, "dropped", sum.dropped);
	put_uint(out, "redirected", sum.redirected);
	for (unsigned int i = 0; i < SOFTIOV_COUNTERS; i++) {
		text_put(index, sizeof(index), "%u", i);
		if (sum.own[i] > 0)
			put_uint(own, index, sum.own[i]);
	}
	json_object_set_new(out, "counts", own);
}
