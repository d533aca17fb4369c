/* SPDX-License-Identifier: BSD-3-Clause */
/* The transaction of backend.h, start and stop. The methods are in methods.c. */
#include "api/mgmt.h"

#include "api/transaction.h"
#include "base/log.h"
#include "model/config.h"
#include "model/diff.h"
#include "model/refs.h"
#include "model/text.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AREA "api"

struct mgmt *mgmt_new(const struct schema *schema, struct store *store,
		      const struct backend *backend, struct events *events)
{
	struct mgmt *mgmt = calloc(1, sizeof(*mgmt));

	if (!mgmt)
		return NULL;
	mgmt->schema = schema;
	mgmt->store = store;
	mgmt->backend = backend;
	mgmt->events = events;
	mgmt->tree = config_new(schema);
	mgmt->problems = config_new(schema);
	return mgmt;
}

void mgmt_free(struct mgmt *mgmt)
{
	if (!mgmt)
		return;
	json_decref(mgmt->tree);
	json_decref(mgmt->problems);
	free(mgmt);
}

const json_t *mgmt_get(const struct mgmt *mgmt, const char *type, const char *name)
{
	return config_get(mgmt->tree, type, name);
}

const json_t *mgmt_all(const struct mgmt *mgmt, const char *type)
{
	return config_all(mgmt->tree, type);
}

/* --- problems --- */

const char *mgmt_problem(const struct mgmt *mgmt, const char *type, const char *name)
{
	return json_string_value(config_get(mgmt->problems, type, name));
}

/* NULL: the object runs. */
static void set_problem(struct mgmt *mgmt, const char *type, const char *name, const char *text)
{
	if (text)
		config_put(mgmt->problems, type, name, json_string(text));
	else
		json_object_del(json_object_get(mgmt->problems, type), name);
}

/* Why an object cannot even be tried: something that it refers to does not run. */
static bool find_waiting(const struct mgmt *mgmt, const struct object_type *type, const json_t *obj,
			 char *text, size_t size)
{
	const char *name = json_string_value(json_object_get(obj, type->fields->name));
	const char *slash = strchr(name, '/');

	if (type->flags & OBJECT_ANYWAY)
		return false;
	if (type->owner && slash) {
		char owner[256];

		text_put(owner, sizeof(owner), "%.*s", (int)(slash - name), name);
		text_put(text, size, "its %s '%s' does not run", type->owner, owner);
		if (mgmt_problem(mgmt, type->owner, owner))
			return true;
	}
	foreach_field(field, type->fields) {
		const char *refs = refs_of(field, obj);
		char target[REF_SIZE];

		while (refs_next(&refs, target)) {
			if (!mgmt_problem(mgmt, field->ref, target))
				continue;
			text_put(text, size, "its %s '%s' does not run", field->name, target);
			return true;
		}
	}
	return false;
}

static int backend_change(struct mgmt *mgmt, const struct object_type *type, const json_t *old_obj,
			  const json_t *new_obj, struct refusal *why)
{
	const struct backend *b = mgmt->backend;
	int rc;

	if ((!old_obj && !new_obj) || !b->change)
		return 0;
	rc = b->change(b->ctx, type, old_obj, new_obj, why);
	if (rc && !why->code)
		refuse(why, rc, NULL, NULL, "%s", strerror(-rc));
	return rc;
}

/* --- steps and their undoing --- */

struct done {
	const struct step *step;
	bool old_ran, new_runs;
	char *old_problem;
};

static char *problem_copy(const struct mgmt *mgmt, const struct step *step)
{
	const char *text = mgmt_problem(mgmt, step->type->name, step->name);
	char *copy = text ? strdup(text) : NULL;

	assert(!text || copy);
	return copy;
}

/*
 * An object that did not run before may go on not running: a field of an uplink whose card is gone
 * can still be changed.
 */
static int do_step(struct mgmt *mgmt, const struct step *step, struct done *done,
		   struct refusal *why)
{
	const char *type = step->type->name;
	char problem[REFUSAL_LINE_SIZE] = "";
	bool waits;
	int rc;

	*done = (struct done){ .step = step, .old_problem = problem_copy(mgmt, step) };
	done->old_ran = step->old_obj && !done->old_problem;
	waits = step->new_obj &&
		find_waiting(mgmt, step->type, step->new_obj, problem, sizeof(problem));
	done->new_runs = step->new_obj && !waits;
	rc = backend_change(mgmt, step->type, done->old_ran ? step->old_obj : NULL,
			    done->new_runs ? step->new_obj : NULL, why);
	if (rc && step->old_obj && step->new_obj && !done->old_ran) {
		refusal_line(why, problem, sizeof(problem));
		*why = (struct refusal)REFUSAL_INIT;
		done->new_runs = false;
		rc = 0;
	}
	if (rc) {
		refusal_about(why, type, step->name);
		free(done->old_problem);
		done->old_problem = NULL;
		return rc;
	}
	set_problem(mgmt, type, step->name, step->new_obj && !done->new_runs ? problem : NULL);
	return 0;
}

static void undo_step(struct mgmt *mgmt, const struct done *done)
{
	const struct step *step = done->step;
	struct refusal why = REFUSAL_INIT;
	char line[REFUSAL_LINE_SIZE];

	if (!backend_change(mgmt, step->type, done->new_runs ? step->new_obj : NULL,
			    done->old_ran ? step->old_obj : NULL, &why)) {
		set_problem(mgmt, step->type->name, step->name, done->old_problem);
		return;
	}
	refusal_about(&why, step->type->name, step->name);
	log_err(AREA, "undoing a refused change: %s", refusal_line(&why, line, sizeof(line)));
	if (step->old_obj)
		set_problem(mgmt, step->type->name, step->name, line);
}

static int do_steps(struct mgmt *mgmt, const struct plan *plan, struct done *done, size_t *n_done,
		    struct refusal *why)
{
	for (*n_done = 0; *n_done < plan->n; ++*n_done) {
		int rc = do_step(mgmt, &plan->steps[*n_done], &done[*n_done], why);

		if (rc)
			return rc;
	}
	return mgmt->backend->agree ? mgmt->backend->agree(mgmt->backend->ctx, why) : 0;
}

static int write_steps(struct mgmt *mgmt, const struct plan *plan, struct refusal *why)
{
	int rc = store_begin(mgmt->store, why);

	for (size_t i = 0; i < plan->n && !rc; i++) {
		const struct step *step = &plan->steps[i];

		if (step->new_obj)
			rc = store_put(mgmt->store, step->type->name, step->name, step->new_obj,
				       why);
		else
			rc = store_delete(mgmt->store, step->type->name, step->name, why);
	}
	if (rc)
		store_rollback(mgmt->store);
	return rc;
}

static void settle(struct mgmt *mgmt, bool committed)
{
	if (mgmt->backend->settled)
		mgmt->backend->settled(mgmt->backend->ctx, committed);
}

/* --- telling --- */

const char *caller_text(const struct caller *caller, char *out, size_t size)
{
	if (caller->uid >= 0)
		text_put(out, size, "uid %ld (pid %d)", caller->uid, caller->pid);
	else
		text_put(out, size, "the daemon");
	return out;
}

static void tell_change(struct mgmt *mgmt, const struct caller *caller, json_t *change)
{
	const char *op = json_string_value(json_object_get(change, "op"));
	const char *object = json_string_value(json_object_get(change, "object"));
	const char *name = json_string_value(json_object_get(change, "name"));
	const char *kind = !strcmp(op, "add")   ? "added"
			   : !strcmp(op, "del") ? "removed"
						: "changed";
	char *fields = json_dumps(json_object_get(change, "fields"), JSON_COMPACT);
	char who[CALLER_TEXT_SIZE];

	caller_text(caller, who, sizeof(who));
	log_info(AREA, "%s '%s' %s by %s: %s", object, name, kind, who, fields);
	events_add(mgmt->events, kind, object, name, "by %s", who);
	free(fields);
}

static void tell_changes(struct mgmt *mgmt, const struct caller *caller, const json_t *old_tree)
{
	json_t *changes = diff_json(mgmt->schema, old_tree, mgmt->tree), *change;
	size_t i;

	json_array_foreach(changes, i, change) {
		tell_change(mgmt, caller, change);
	}
	json_decref(changes);
}

/* --- the transaction --- */

static int run_plan(struct mgmt *mgmt, const struct plan *plan, struct refusal *why)
{
	struct done *done = calloc(plan->n, sizeof(*done));
	size_t n_done = 0;
	int rc;

	assert(done);
	rc = write_steps(mgmt, plan, why);
	if (rc)
		goto free;
	rc = do_steps(mgmt, plan, done, &n_done, why);
	if (rc)
		store_rollback(mgmt->store);
	else
		rc = store_commit(mgmt->store, why);
	for (size_t i = n_done; rc && i-- > 0;)
		undo_step(mgmt, &done[i]);
	if (rc)
		settle(mgmt, false);
free:
	for (size_t i = 0; i < n_done; i++)
		free(done[i].old_problem);
	free(done);
	return rc;
}

int mgmt_commit(struct mgmt *mgmt, const struct caller *caller, json_t *tree, struct refusal *why)
{
	json_t *old_tree = mgmt->tree;
	struct plan plan;
	int rc = config_check(mgmt->schema, tree, old_tree, why);

	if (rc) {
		json_decref(tree);
		return rc;
	}
	plan_make(mgmt->schema, old_tree, tree, &plan);
	rc = plan.n ? run_plan(mgmt, &plan, why) : 0;
	if (rc || !plan.n) {
		plan_free(&plan);
		json_decref(tree);
		return rc;
	}
	mgmt->tree = tree;
	settle(mgmt, true);
	tell_changes(mgmt, caller, old_tree);
	plan_free(&plan);
	json_decref(old_tree);
	mgmt_retry(mgmt);
	return 0;
}

/* What will be generated is not known yet: the value of a trial would only mislead. */
static void forget_generated(const struct schema *schema, json_t *objects, json_t *changes)
{
	json_t *change;
	size_t i;

	json_array_foreach(changes, i, change) {
		const char *type_name = json_string_value(json_object_get(change, "object"));
		const char *name = json_string_value(json_object_get(change, "name"));
		const char *op = json_string_value(json_object_get(change, "op"));
		json_t *given = json_object_get(json_object_get(objects, type_name), name);

		if (strcmp(op, "add") != 0)
			continue;
		foreach_field(field, schema_type(schema, type_name)->fields) {
			const json_t *value = json_object_get(given, field->name);

			if (field->flags & FIELD_GENERATED && (!value || json_is_null(value)))
				json_object_del(json_object_get(change, "fields"), field->name);
		}
	}
}

int mgmt_apply(struct mgmt *mgmt, const struct caller *caller, json_t *objects, bool dry_run,
	       json_t **changes, struct refusal *why)
{
	json_t *tree = config_make(mgmt->schema, objects, mgmt->tree, why), *diff;
	int rc;

	if (!tree)
		return why->code;
	rc = config_check(mgmt->schema, tree, mgmt->tree, why);
	if (rc) {
		json_decref(tree);
		return rc;
	}
	diff = diff_json(mgmt->schema, mgmt->tree, tree);
	if (dry_run) {
		forget_generated(mgmt->schema, objects, diff);
		json_decref(tree);
	} else {
		rc = mgmt_commit(mgmt, caller, tree, why);
	}
	if (!rc && changes)
		*changes = diff;
	else
		json_decref(diff);
	return rc;
}

/* --- start, retry, stop --- */

/* Tries to bring one object to life. True if it runs. */
static bool try_object(struct mgmt *mgmt, const struct object_type *type, const char *name,
		       const json_t *obj)
{
	const char *before = mgmt_problem(mgmt, type->name, name);
	char line[REFUSAL_LINE_SIZE];
	struct refusal why = REFUSAL_INIT;

	if (!find_waiting(mgmt, type, obj, line, sizeof(line))) {
		if (!backend_change(mgmt, type, NULL, obj, &why)) {
			set_problem(mgmt, type->name, name, NULL);
			return true;
		}
		refusal_line(&why, line, sizeof(line));
	}
	if (!before || strcmp(before, line) != 0) {
		log_warn(AREA, "%s '%s' does not run: %s", type->name, name, line);
		events_add(mgmt->events, "warning", type->name, name, "does not run: %s", line);
		set_problem(mgmt, type->name, name, line);
	}
	return false;
}

/* Fields that a newer version added have got their defaults: they are stored now, as a generated
 * value must not differ at the next start. */
static int store_completed(struct mgmt *mgmt, const json_t *loaded, struct refusal *why)
{
	int rc = store_begin(mgmt->store, why);

	foreach_type(type, mgmt->schema) {
		const char *name;
		json_t *obj;

		json_object_foreach((json_t *)config_all(mgmt->tree, type->name), name, obj) {
			json_t *was = (json_t *)config_get(loaded, type->name, name);

			if (!rc && !json_equal(obj, was))
				rc = store_put(mgmt->store, type->name, name, obj, why);
		}
	}
	if (!rc)
		return store_commit(mgmt->store, why);
	store_rollback(mgmt->store);
	return rc;
}

static int load(struct mgmt *mgmt, struct refusal *why)
{
	json_t *loaded = store_load(mgmt->store, why), *tree;
	int rc;

	if (!loaded)
		return why->code;
	tree = config_make(mgmt->schema, loaded, NULL, why);
	rc = tree ? config_check(mgmt->schema, tree, NULL, why) : why->code;
	if (!rc) {
		json_decref(mgmt->tree);
		mgmt->tree = json_incref(tree);
		rc = store_completed(mgmt, loaded, why);
	}
	json_decref(tree);
	json_decref(loaded);
	return rc;
}

int mgmt_start(struct mgmt *mgmt, struct refusal *why)
{
	int rc = load(mgmt, why);

	if (rc)
		return rc;
	foreach_type(type, mgmt->schema) {
		const json_t *objects = config_all(mgmt->tree, type->name);
		const char **names = config_names(objects);

		for (const char **name = names; *name; name++)
			try_object(mgmt, type, *name, json_object_get(objects, *name));
		free(names);
	}
	settle(mgmt, true);
	return 0;
}

unsigned int mgmt_retry(struct mgmt *mgmt)
{
	unsigned int n_left = 0, n_fixed = 0;

	foreach_type(type, mgmt->schema) {
		json_t *problems = json_object_get(mgmt->problems, type->name), *text;
		const char *name;
		void *next;

		json_object_foreach_safe(problems, next, name, text) {
			const json_t *obj = config_get(mgmt->tree, type->name, name);
			char copy[256];

			text_put(copy, sizeof(copy), "%s", name);
			if (!obj || !try_object(mgmt, type, copy, obj)) {
				n_left++;
				continue;
			}
			n_fixed++;
			log_info(AREA, "%s '%s' runs now", type->name, copy);
			events_add(mgmt->events, "changed", type->name, copy, "runs now");
		}
	}
	if (n_fixed)
		settle(mgmt, true);
	return n_left;
}

void mgmt_stop(struct mgmt *mgmt)
{
	json_t *nothing = config_new(mgmt->schema);
	struct plan plan;

	plan_make(mgmt->schema, mgmt->tree, nothing, &plan);
	for (size_t i = 0; i < plan.n; i++) {
		const struct step *step = &plan.steps[i];
		struct refusal why = REFUSAL_INIT;
		char line[REFUSAL_LINE_SIZE];

		if (mgmt_problem(mgmt, step->type->name, step->name) ||
		    !backend_change(mgmt, step->type, step->old_obj, NULL, &why))
			continue;
		refusal_about(&why, step->type->name, step->name);
		log_err(AREA, "stopping: %s", refusal_line(&why, line, sizeof(line)));
	}
	settle(mgmt, true);
	plan_free(&plan);
	json_decref(mgmt->tree);
	mgmt->tree = nothing;
	json_decref(mgmt->problems);
	mgmt->problems = config_new(mgmt->schema);
}
