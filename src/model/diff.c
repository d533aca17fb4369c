/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/diff.h"

#include "model/config.h"
#include "model/object.h"
#include "model/refs.h"
#include "model/text.h"
#include "model/value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum difference {
	SAME,
	ADDED,
	REMOVED,
	MODIFIED,
	REPLACED
};

static enum difference compare(const struct object_type *type, const json_t *old_obj,
			       const json_t *new_obj)
{
	if (old_obj == new_obj)
		return SAME;
	if (!old_obj)
		return ADDED;
	if (!new_obj)
		return REMOVED;
	if (json_equal((json_t *)old_obj, (json_t *)new_obj))
		return SAME;
	foreach_field(field, type->fields)
		if (field->flags & FIELD_CREATE && obj_changed(old_obj, new_obj, field->name))
			return REPLACED;
	return MODIFIED;
}

/* --- sets of objects: {"TYPE NAME": true} --- */

static char *set_key(const char *type, const char *name, size_t name_len)
{
	return text_new("%s %.*s", type, (int)name_len, name);
}

static void set_add(json_t *set, const char *type, const char *name, size_t name_len)
{
	char *key = set_key(type, name, name_len);

	json_object_set_new(set, key, json_true());
	free(key);
}

static bool set_has(const json_t *set, const char *type, const char *name, size_t name_len)
{
	char *key = set_key(type, name, name_len);
	bool has = json_object_get(set, key);

	free(key);
	return has;
}

/* --- the plan --- */

struct entry {
	struct step step;
	enum difference difference;
	bool late; /* removed in phase 3 */
};

/* Calls visit for the owner and for everything that the object refers to, until it returns true. */
static bool visit_targets(const struct entry *entry, const json_t *obj, json_t *set,
			  bool (*visit)(json_t *set, const char *type, const char *name,
					size_t len))
{
	const struct object_type *type = entry->step.type;
	const char *slash = strchr(entry->step.name, '/');

	if (type->owner && slash &&
	    visit(set, type->owner, entry->step.name, (size_t)(slash - entry->step.name)))
		return true;
	foreach_field(field, type->fields) {
		const char *refs = refs_of(field, obj);
		char target[REF_SIZE];

		while (refs_next(&refs, target))
			if (visit(set, field->ref, target, strlen(target)))
				return true;
	}
	return false;
}

static bool visit_has(json_t *set, const char *type, const char *name, size_t len)
{
	return set_has(set, type, name, len);
}

static bool visit_add(json_t *set, const char *type, const char *name, size_t len)
{
	set_add(set, type, name, len);
	return false;
}

static void add_entry(struct entry *entry, const struct object_type *type, const char *name,
		      const json_t *old_obj, const json_t *new_obj)
{
	*entry = (struct entry){ { type, name, old_obj, new_obj },
				 compare(type, old_obj, new_obj),
				 false };
}

/* All objects of both trees, in the table's order. */
static struct entry *all_entries(const struct schema *schema, const json_t *old_tree,
				 const json_t *new_tree, size_t *n)
{
	struct entry *entries;
	size_t max = 1;

	foreach_type(type, schema)
		max += json_object_size(config_all(old_tree, type->name)) +
		       json_object_size(config_all(new_tree, type->name));
	entries = calloc(max, sizeof(*entries));
	assert(entries);
	*n = 0;
	foreach_type(type, schema) {
		const char *name;
		json_t *obj;

		json_object_foreach((json_t *)config_all(new_tree, type->name), name, obj) {
			add_entry(&entries[(*n)++], type, name,
				  config_get(old_tree, type->name, name), obj);
		}
		json_object_foreach((json_t *)config_all(old_tree, type->name), name, obj) {
			if (!config_get(new_tree, type->name, name))
				add_entry(&entries[(*n)++], type, name, obj, NULL);
		}
	}
	return entries;
}

/* What refers to an object that is removed and added is removed before it and added after it. */
static void spread_replacement(struct entry *entries, size_t n)
{
	json_t *replaced = json_object();

	for (size_t i = 0; i < n; i++) {
		struct entry *e = &entries[i];
		bool touched = e->difference == REPLACED;

		if (json_object_size(replaced) && e->step.old_obj)
			touched |= visit_targets(e, e->step.old_obj, replaced, visit_has) ||
				   (e->step.new_obj &&
				    visit_targets(e, e->step.new_obj, replaced, visit_has));
		if (!touched)
			continue;
		if (e->difference != REMOVED)
			e->difference = REPLACED;
		set_add(replaced, e->step.type->name, e->step.name, strlen(e->step.name));
	}
	json_decref(replaced);
}

static void find_late_removals(struct entry *entries, size_t n)
{
	json_t *held = json_object();

	for (size_t i = 0; i < n; i++)
		if (entries[i].difference == MODIFIED)
			visit_targets(&entries[i], entries[i].step.old_obj, held, visit_add);
	for (size_t i = n; i-- > 0;) {
		struct entry *e = &entries[i];

		if (e->difference != REMOVED ||
		    !set_has(held, e->step.type->name, e->step.name, strlen(e->step.name)))
			continue;
		e->late = true;
		visit_targets(e, e->step.old_obj, held, visit_add);
	}
	json_decref(held);
}

void plan_make(const struct schema *schema, const json_t *old_tree, const json_t *new_tree,
	       struct plan *plan)
{
	size_t n;
	struct entry *entries = all_entries(schema, old_tree, new_tree, &n);

	spread_replacement(entries, n);
	find_late_removals(entries, n);
	plan->n = 0;
	plan->steps = calloc(2 * n + 1, sizeof(*plan->steps));
	assert(plan->steps);
	for (size_t i = n; i-- > 0;)
		if ((entries[i].difference == REMOVED && !entries[i].late) ||
		    entries[i].difference == REPLACED) {
			plan->steps[plan->n] = entries[i].step;
			plan->steps[plan->n++].new_obj = NULL;
		}
	for (size_t i = 0; i < n; i++)
		if (entries[i].difference == ADDED || entries[i].difference == MODIFIED ||
		    entries[i].difference == REPLACED) {
			plan->steps[plan->n] = entries[i].step;
			if (entries[i].difference == REPLACED)
				plan->steps[plan->n].old_obj = NULL;
			plan->n++;
		}
	for (size_t i = n; i-- > 0;)
		if (entries[i].late)
			plan->steps[plan->n++] = entries[i].step;
	free(entries);
}

void plan_free(struct plan *plan)
{
	free(plan->steps);
	memset(plan, 0, sizeof(*plan));
}

static json_t *diff_fields(const struct object_type *type, const json_t *old_obj,
			   const json_t *new_obj)
{
	json_t *fields = json_object();

	foreach_field(field, type->fields + 1) {
		json_t *from = json_object_get(old_obj, field->name);
		json_t *to = json_object_get(new_obj, field->name);
		json_t *def = value_default(field), *change;

		/* Against nothing, what is not the default is worth showing. */
		bool same = from && to   ? json_equal(from, to)
			    : from || to ? def && json_equal(from ? from : to, def)
					 : true;

		json_decref(def);
		if (same)
			continue;
		change = json_object();
		if (from)
			json_object_set(change, "old", from);
		if (to)
			json_object_set(change, "new", to);
		json_object_set_new(fields, field->name, change);
	}
	return fields;
}

static void diff_type(const struct object_type *type, const json_t *old_tree,
		      const json_t *new_tree, json_t *out)
{
	static const char *const ops[] = { NULL, "add", "del", "set", "replace" };
	json_t *both = json_object();
	const char **names;

	json_object_update(both, (json_t *)config_all(old_tree, type->name));
	json_object_update(both, (json_t *)config_all(new_tree, type->name));
	names = config_names(both);
	for (const char **name = names; *name; name++) {
		const json_t *old_obj = config_get(old_tree, type->name, *name);
		const json_t *new_obj = config_get(new_tree, type->name, *name);
		enum difference d = compare(type, old_obj, new_obj);

		if (d == SAME)
			continue;
		json_array_append_new(out, json_pack("{s:s, s:s, s:s, s:o}", "op", ops[d], "object",
						     type->name, "name", *name, "fields",
						     diff_fields(type, old_obj, new_obj)));
	}
	free(names);
	json_decref(both);
}

json_t *diff_json(const struct schema *schema, const json_t *old_tree, const json_t *new_tree)
{
	json_t *out = json_array();

	foreach_type(type, schema)
		if (type->flags & OBJECT_STORED)
			diff_type(type, old_tree, new_tree, out);
	return out;
}
