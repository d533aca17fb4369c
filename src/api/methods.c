/* SPDX-License-Identifier: BSD-3-Clause */
/* From a method's name and parameters to what is done. */
#include "api/mgmt.h"
#include "api/transaction.h"
#include "base/log.h"
#include "model/config.h"
#include "model/manual.h"
#include "model/object.h"
#include "model/suggest.h"
#include "model/text.h"
#include "model/value.h"
#include "model/vm.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AREA "api"

struct call {
	struct mgmt *mgmt;
	const struct caller *caller;
	const struct object_type *type;
	const struct verb *verb;
	const char *name; /* NULL: none was given */
	json_t *params;   /* TAKES_PARAMS: complete and checked; else without the name */
	json_t **result;
	struct after *after;
	struct refusal *why;
};

void backend_check(json_t *checks, const char *check, const char *result, const char *text,
		   const char *fix)
{
	json_array_append_new(checks, json_pack("{s:s, s:s, s:s, s:s*}", "check", check, "result",
						result, "text", text, "fix", fix));
}

/* --- add, set, del --- */

static int refuse_no_object(const struct call *call)
{
	struct words words = { .n = 0 };
	const char *name;
	json_t *obj;

	json_object_foreach((json_t *)mgmt_all(call->mgmt, call->type->name), name, obj) {
		words_add(&words, name);
	}
	return refuse_word(call->why, -ENOENT, NULL, NULL, call->type->name, call->name, &words);
}

static int put_object(const struct call *call, enum object_mode mode)
{
	const json_t *base = mgmt_get(call->mgmt, call->type->name, call->name);
	json_t *obj, *tree;

	if (mode == OBJECT_ADD && base)
		return refuse(call->why, -EEXIST, NULL, NULL,
			      "exists already; change it with `set`, or take another name");
	if (mode == OBJECT_SET && !base)
		return refuse_no_object(call);
	obj = object_make(call->type, call->name, call->params, base, mode, call->why);
	if (!obj)
		return call->why->code;
	tree = config_copy(call->mgmt->tree);
	config_put(tree, call->type->name, call->name, obj);
	return mgmt_commit(call->mgmt, call->caller, tree, call->why);
}

static int method_add(const struct call *call)
{
	return put_object(call, OBJECT_ADD);
}

static int method_set(const struct call *call)
{
	return put_object(call, OBJECT_SET);
}

static int method_del(const struct call *call)
{
	const char *type = call->type->name;
	json_t *tree;
	int rc;

	if (!mgmt_get(call->mgmt, type, call->name))
		return refuse_no_object(call);
	rc = config_check_unused(call->mgmt->schema, call->mgmt->tree, type, call->name, call->why);
	if (rc)
		return rc;
	tree = config_copy(call->mgmt->tree);
	config_remove(call->mgmt->schema, tree, type, call->name);
	return mgmt_commit(call->mgmt, call->caller, tree, call->why);
}

/* --- show --- */

/* The daemon must say what the table says: where it does not, one of the two is wrong. */
static void check_status(const struct object_type *type, const json_t *obj)
{
	static struct log_limit limit;
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)obj, key, value) {
		const struct field *field = type_field(type, key);
		struct refusal why = REFUSAL_INIT;
		json_t *checked = NULL;
		char line[REFUSAL_LINE_SIZE];

		if (field == type->fields || (field && !(field->flags & FIELD_STATUS)))
			continue;
		if (field)
			checked = value_check(field, value, &why);
		else
			refuse(&why, -ENOENT, key, NULL, "is no field of the table");
		if (!checked && log_limit_pass(&limit, "api"))
			log_warn("api", "status of %s: %s", type->name,
				 refusal_line(&why, line, sizeof(line)));
		json_decref(checked);
	}
}

/* The configured fields and those that the daemon adds. New reference. */
static json_t *object_with_status(const struct call *call, const json_t *obj)
{
	const struct backend *b = call->mgmt->backend;
	json_t *out = json_copy((json_t *)obj);
	const char *problem = mgmt_problem(call->mgmt, call->type->name, obj_name(obj));

	if (problem) {
		json_object_set_new(out, "problem", json_string(problem));
	} else if (b->status) {
		b->status(b->ctx, call->type, obj, out);
		check_status(call->type, out);
	}
	return out;
}

/* Whether to show it: all, the one of that name, or what has that before the slash in its name. */
static bool is_asked_for(const struct call *call, const char *name)
{
	size_t size = call->name ? strlen(call->name) : 0;

	return !call->name ||
	       (!strncmp(name, call->name, size) && (name[size] == '\0' || name[size] == '/'));
}

static int show_stored(const struct call *call)
{
	const json_t *objects = mgmt_all(call->mgmt, call->type->name);
	const char **names = config_names(objects);

	*call->result = json_array();
	for (const char **name = names; *name; name++)
		if (is_asked_for(call, *name))
			json_array_append_new(*call->result,
					      object_with_status(call,
								 json_object_get(objects, *name)));
	free(names);
	if (!call->name || json_array_size(*call->result))
		return 0;
	json_decref(*call->result);
	*call->result = NULL;
	return refuse_no_object(call);
}

static int show_made(const struct call *call)
{
	const struct backend *b = call->mgmt->backend;
	json_t *all = json_array(), *obj;
	size_t i;

	if (b->list)
		b->list(b->ctx, call->type, all);
	json_array_foreach(all, i, obj) {
		check_status(call->type, obj);
	}
	if (!call->name) {
		*call->result = all;
		return 0;
	}
	*call->result = json_array();
	json_array_foreach(all, i, obj) {
		if (is_asked_for(call, obj_name(obj)))
			json_array_append(*call->result, obj);
	}
	json_decref(all);
	if (json_array_size(*call->result))
		return 0;
	json_decref(*call->result);
	*call->result = NULL;
	return refuse(call->why, -ENOENT, NULL, NULL, "there is no such %s", call->type->name);
}

static int method_show(const struct call *call)
{
	return call->type->flags & OBJECT_STORED ? show_stored(call) : show_made(call);
}

/* --- vport.qemu-args, vport.libvirt-xml --- */

/* Which sockets the VM gets: `device` decides, and what the vport has. */
static int pick_devices(const struct call *call, const json_t *vport, struct vm_nic *nic)
{
	const char *device = obj_str(call->params, "device");
	const char *vf = json_string_value(json_object_get(vport, "vf-socket"));
	const char *syn = json_string_value(json_object_get(vport, "syn-socket"));
	bool both = !strcmp(device, "failover");

	if ((both || !strcmp(device, "vf")) && !vf) {
		json_t *reason = json_array_get(json_object_get(vport, "reasons"), 0);

		return refuse(call->why, -ENODEV, "device", device, "the vport has no VF: %s",
			      reason                   ? json_string_value(reason)
			      : obj_bool(vport, "iov") ? "none is ready"
						       : "`iov` is off");
	}
	if ((both || !strcmp(device, "synthetic")) && !syn)
		return refuse(call->why, -ENODEV, "device", device,
			      "the vport has no synthetic adapter: %s",
			      obj_bool(vport, "synthetic") ? "none is ready"
							   : "`synthetic` is off");
	if (!vf && !syn)
		return refuse(call->why, -ENODEV, "device", device,
			      "the vport offers no adapter now; turn `iov` or `synthetic` on");
	nic->vf_socket = strcmp(device, "synthetic") != 0 ? vf : NULL;
	nic->syn_socket = strcmp(device, "vf") != 0 ? syn : NULL;
	return 0;
}

static int vm_text(const struct call *call, char *(*make)(const struct vm_nic *nic))
{
	const json_t *obj = mgmt_get(call->mgmt, call->type->name, call->name);
	struct vm_nic nic = { .name = call->name };
	json_t *vport;
	char *text;
	int rc;

	if (!obj)
		return refuse_no_object(call);
	vport = object_with_status(call, obj);
	if (json_object_get(vport, "problem"))
		rc = refuse(call->why, -ENODEV, NULL, NULL, "does not run: %s",
			    obj_str(vport, "problem"));
	else
		rc = pick_devices(call, vport, &nic);
	if (!rc) {
		nic.mac = obj_str(obj, "mac");
		nic.memory = obj_uint(call->params, "memory");
		nic.slot = (unsigned int)obj_uint(call->params, "slot");
		nic.queues = (unsigned int)obj_uint(obj, "queues");
		nic.mtu = (unsigned int)obj_uint(obj, "mtu");
		text = make(&nic);
		*call->result = json_string(text);
		free(text);
	}
	json_decref(vport);
	return rc;
}

static int method_qemu_args(const struct call *call)
{
	return vm_text(call, vm_qemu_args);
}

static int method_libvirt_xml(const struct call *call)
{
	return vm_text(call, vm_libvirt_xml);
}

/* --- queues, events, configuration, schema --- */

static int method_queue_set(const struct call *call)
{
	return queue_set(call->mgmt, call->caller, call->name, obj_str(call->params, "worker"),
			 call->why);
}

static int method_event_show(const struct call *call)
{
	*call->result = events_list(call->mgmt->events);
	return 0;
}

static int method_event_subscribe(const struct call *call)
{
	call->after->subscribe = true;
	return 0;
}

static int method_config_apply(const struct call *call)
{
	json_t *changes = NULL;
	int rc = mgmt_apply(call->mgmt, call->caller, json_object_get(call->params, "objects"),
			    obj_bool(call->params, "dry-run"), &changes, call->why);

	if (!rc)
		*call->result = json_pack("{s:o}", "changes", changes);
	return rc;
}

static int method_config_export(const struct call *call)
{
	*call->result =
		json_pack("{s:o}", "objects", config_export(call->mgmt->schema, call->mgmt->tree));
	return 0;
}

static int method_schema_show(const struct call *call)
{
	*call->result = manual_json(call->mgmt->schema);
	return 0;
}

/* A verb of the backend has changed something; other changes are told by their transaction. */
static void tell_verb(const struct call *call)
{
	const char *type = call->type->name, *name = call->name ? call->name : "";
	char who[CALLER_TEXT_SIZE];

	caller_text(call->caller, who, sizeof(who));
	log_info(AREA, "%s '%s': %s by %s", type, name, call->verb->name, who);
	events_add(call->mgmt->events, "changed", type, name, "%s by %s", call->verb->name, who);
}

static int method_backend(const struct call *call)
{
	const struct backend *b = call->mgmt->backend;
	int rc;

	if (call->type->flags & OBJECT_STORED && call->name &&
	    !mgmt_get(call->mgmt, call->type->name, call->name))
		return refuse_no_object(call);
	if (!b->verb)
		return refuse(call->why, -EOPNOTSUPP, NULL, NULL, "this daemon has no `%s`",
			      call->verb->name);
	rc = b->verb(b->ctx, call->type, call->verb, call->name, call->params, call->result,
		     call->why);
	if (rc == 0 && call->verb->changes)
		tell_verb(call);
	if (rc == 0 && call->verb->gives == GIVES_BYTES)
		text_put(call->after->stream, sizeof(call->after->stream), "%s",
			 obj_name(*call->result));
	return rc;
}

/* The first row that fits; NULL fits every type. */
static const struct {
	const char *type, *method;
	int (*run)(const struct call *call);
} methods[] = {
	{ "event", "show", method_event_show },
	{ "event", "subscribe", method_event_subscribe },
	{ "config", "apply", method_config_apply },
	{ "config", "export", method_config_export },
	{ "schema", "show", method_schema_show },
	{ "vport", "qemu-args", method_qemu_args },
	{ "vport", "libvirt-xml", method_libvirt_xml },
	{ "queue", "set", method_queue_set },
	{ NULL, "add", method_add },
	{ NULL, "set", method_set },
	{ NULL, "del", method_del },
	{ NULL, "show", method_show },
	{ NULL, NULL, method_backend },
};

static int run_method(const struct call *call)
{
	for (size_t i = 0;; i++) {
		if (methods[i].type && strcmp(methods[i].type, call->type->name) != 0)
			continue;
		if (!methods[i].method || !strcmp(methods[i].method, verb_method(call->verb)))
			return methods[i].run(call);
	}
}

/* --- the call --- */

static int find_method(struct mgmt *mgmt, const char *method, struct call *call)
{
	struct words words = { .n = 0 };
	const char *dot = strchr(method, '.');
	char type_name[32];

	text_put(type_name, sizeof(type_name), "%.*s",
		 (int)(dot ? (size_t)(dot - method) : strlen(method)), method);
	call->type = schema_type(mgmt->schema, type_name);
	if (!call->type) {
		words_types(&words, mgmt->schema, true);
		refusal_about(call->why, type_name, NULL);
		return refuse_word(call->why, -ENOSYS, NULL, NULL, "object", type_name, &words);
	}
	call->verb = type_method(call->type, dot ? dot + 1 : "");
	if (call->verb)
		return 0;
	words_verbs(&words, call->type, true);
	refusal_about(call->why, call->type->name, NULL);
	return refuse_word(call->why, -ENOSYS, dot ? dot + 1 : "", NULL, "verb", dot ? dot + 1 : "",
			   &words);
}

static int take_name(struct call *call)
{
	json_t *name = json_object_get(call->params, "name");
	/* "name" may also be a parameter of a verb that takes no name. */
	if (call->verb->name_rule == NAME_NONE)
		return 0;
	if (!name && call->verb->name_rule == NAME_OPTIONAL)
		return 0;
	if (!name)
		return refuse(call->why, -EINVAL, "name", NULL, "must be given");
	if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name))
		return refuse(call->why, -EINVAL, "name", NULL, "must be a string");
	call->name = json_string_value(name);
	return 0;
}

/* The verb's parameters: known, of the right type, completed by their defaults. */
static int take_params(struct call *call, json_t *given)
{
	const char *key;
	json_t *value;

	json_object_foreach(given, key, value) {
		struct words words = { .n = 0 };

		if (verb_param(call->verb, key) || (call->name && !strcmp(key, "name")))
			continue;
		words_params(&words, call->type, call->verb);
		return refuse_word(call->why, -EINVAL, key, NULL, "parameter", key, &words);
	}
	foreach_field(param, call->verb->params) {
		json_t *text = json_object_get(given, param->name);

		value = text && !json_is_null(text) ? value_check(param, text, call->why)
						    : value_default(param);
		if (value)
			json_object_set_new(call->params, param->name, value);
		else if (call->why->code)
			return call->why->code;
		else if (param->flags & FIELD_REQUIRED)
			return refuse(call->why, -EINVAL, param->name, NULL, "must be given");
	}
	return 0;
}

static int prepare(struct call *call, json_t *given)
{
	int rc;

	if (given && !json_is_object(given))
		return refuse(call->why, -EINVAL, NULL, NULL, "the parameters must be an object");
	call->params = given;
	rc = take_name(call);
	if (rc)
		return rc;
	if (call->verb->takes == TAKES_PARAMS) {
		call->params = json_object();
		return take_params(call, given);
	}
	call->params = json_copy(given);
	json_object_del(call->params, "name");
	return 0;
}

int mgmt_call(struct mgmt *mgmt, const struct caller *caller, const char *method, json_t *params,
	      json_t **result, struct after *after, struct refusal *why)
{
	struct call call = {
		.mgmt = mgmt, .caller = caller, .result = result, .after = after, .why = why
	};
	int rc;

	*result = NULL;
	*after = (struct after){ 0 };
	rc = find_method(mgmt, method, &call);
	if (!call.verb)
		return rc;
	rc = prepare(&call, params);
	if (!rc)
		rc = run_method(&call);
	if (call.params != params)
		json_decref(call.params);
	if (rc) {
		char line[REFUSAL_LINE_SIZE];

		refusal_about(why, call.type->name, call.name);
		if (call.verb->changes)
			events_add(mgmt->events, "refused", why->object, why->name, "%s: %s",
				   call.verb->name, refusal_line(why, line, sizeof(line)));
		return rc;
	}
	if (!*result)
		*result = json_object();
	return 0;
}

void mgmt_stream(struct mgmt *mgmt, const char *name, int fd)
{
	mgmt->backend->stream(mgmt->backend->ctx, name, fd);
}
