/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/config.h"

#include "model/refs.h"
#include "model/suggest.h"
#include "model/text.h"
#include "model/value.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- one object --- */

static int refuse_field(const struct object_type *type, const char *name, struct refusal *why)
{
	struct words words = { .n = 0 };

	foreach_field(field, type->fields)
		if (field_settable(type, field))
			words_add(&words, field->name);
	return refuse_word(why, -EINVAL, name, NULL, "field", name, &words);
}

/* Every name in params must be a field that may be written in this mode. */
static int check_params(const struct object_type *type, const char *name, json_t *params,
			struct refusal *why)
{
	const char *key;
	json_t *value;

	json_object_foreach(params, key, value) {
		const struct field *field = type_field(type, key);

		if (!field)
			return refuse_field(type, key, why);
		if (field == type->fields) {
			const char *text = json_string_value(value);

			if (!text || strcmp(text, name) != 0)
				return refuse(why, -EINVAL, key, text, "a name cannot change");
		} else if (field->flags & FIELD_STATUS) {
			return refuse(why, -EINVAL, key, NULL,
				      "this field is made by the daemon and cannot be set");
		}
	}
	return 0;
}

/* The value of one field of the new object: new reference, NULL for none or, with why->code, a
 * refusal. */
static json_t *make_field(const struct field *field, const json_t *given, const json_t *old_value,
			  enum object_mode mode, struct refusal *why)
{
	json_t *value;
	char allowed[sizeof(why->allowed)];

	if (given && !json_is_null(given))
		value = value_check(field, given, why);
	else if (!given && old_value && (mode == OBJECT_SET || field->flags & FIELD_GENERATED))
		value = json_incref((json_t *)old_value);
	else if (field->flags & FIELD_GENERATED)
		value = value_generate(field);
	else
		value = value_default(field);
	if (!value && field->flags & FIELD_REQUIRED && !why->code) {
		refuse(why, -EINVAL, field->name, NULL, "must be given");
		text_put(why->allowed, sizeof(why->allowed), "%s",
			 value_allowed(field, allowed, sizeof(allowed)));
	}
	if (value && mode == OBJECT_SET && field->flags & FIELD_CREATE && old_value &&
	    !json_equal(value, old_value)) {
		char *text = value_format(field, value);

		refuse(why, -EINVAL, field->name, text,
		       "cannot change once the object exists; delete it and add it again");
		free(text);
	}
	return value;
}

json_t *object_make(const struct object_type *type, const char *name, json_t *params,
		    const json_t *base, enum object_mode mode, struct refusal *why)
{
	json_t *obj = json_object();

	if (params && !json_is_object(params) && !json_is_null(params)) {
		refuse(why, -EINVAL, NULL, NULL, "its fields must be {FIELD: VALUE}");
		goto refused;
	}
	if (check_params(type, name, params, why))
		goto refused;
	json_object_set_new(obj, type->fields->name, json_string(name));
	foreach_field(field, type->fields + 1) {
		json_t *value;

		if (field->flags & FIELD_STATUS)
			continue;
		value = make_field(field, json_object_get(params, field->name),
				   json_object_get(base, field->name), mode, why);
		if (value)
			json_object_set_new(obj, field->name, value);
		if (why->code)
			goto refused;
	}
	return obj;
refused:
	refusal_about(why, type->name, name);
	json_decref(obj);
	return NULL;
}

/* --- trees --- */

const json_t *config_all(const json_t *tree, const char *type)
{
	return json_object_get(tree, type);
}

const json_t *config_get(const json_t *tree, const char *type, const char *name)
{
	return json_object_get(config_all(tree, type), name);
}

json_t *config_new(const struct schema *schema)
{
	json_t *tree = json_object();

	foreach_type(type, schema)
		if (type->flags & OBJECT_STORED)
			json_object_set_new(tree, type->name, json_object());
	return tree;
}

json_t *config_copy(const json_t *tree)
{
	json_t *copy = json_object(), *objects;
	const char *type;

	json_object_foreach((json_t *)tree, type, objects) {
		json_object_set_new(copy, type, json_copy(objects));
	}
	return copy;
}

void config_put(json_t *tree, const char *type, const char *name, json_t *obj_stolen)
{
	json_object_set_new(json_object_get(tree, type), name, obj_stolen);
}

void config_remove(const struct schema *schema, json_t *tree, const char *type, const char *name)
{
	size_t len = strlen(name);

	json_object_del(json_object_get(tree, type), name);
	foreach_type(owned, schema) {
		json_t *objects, *obj;
		const char *key;
		void *next;

		if (!owned->owner || strcmp(owned->owner, type) != 0)
			continue;
		objects = json_object_get(tree, owned->name);
		json_object_foreach_safe(objects, next, key, obj) {
			if (!strncmp(key, name, len) && key[len] == '/')
				json_object_del(objects, key);
		}
	}
}

static json_t *make_objects(const struct object_type *type, json_t *params, const json_t *base,
			    json_t *tree, struct refusal *why)
{
	const char *name;
	json_t *fields;

	if (!json_is_object(params) && !json_is_null(params)) {
		refuse(why, -EINVAL, NULL, NULL, "must hold {NAME: {FIELD: VALUE}}");
		refusal_about(why, type->name, NULL);
		return NULL;
	}
	json_object_foreach(params, name, fields) {
		const json_t *old_obj = config_get(base, type->name, name);
		json_t *obj = object_make(type, name, fields, old_obj, OBJECT_FULL, why);

		if (!obj)
			return NULL;
		if (old_obj && json_equal(obj, (json_t *)old_obj)) {
			json_decref(obj);
			obj = json_incref((json_t *)old_obj);
		}
		config_put(tree, type->name, name, obj);
	}
	return tree;
}

json_t *config_make(const struct schema *schema, json_t *params, const json_t *base,
		    struct refusal *why)
{
	json_t *tree = config_new(schema), *objects;
	const char *key;

	if (!json_is_object(params)) {
		refuse(why, -EINVAL, NULL, NULL,
		       "a configuration is {TYPE: {NAME: {FIELD: VALUE}}}");
		goto refused;
	}
	json_object_foreach(params, key, objects) {
		const struct object_type *type = schema_type(schema, key);
		struct words words = { .n = 0 };

		if (type && type->flags & OBJECT_STORED) {
			if (!make_objects(type, objects, base, tree, why))
				goto refused;
			continue;
		}
		foreach_type(known, schema)
			if (known->flags & OBJECT_STORED)
				words_add(&words, known->name);
		refusal_about(why, key, NULL);
		refuse_word(why, -EINVAL, NULL, NULL, "type of configured objects", key, &words);
		goto refused;
	}
	return tree;
refused:
	json_decref(tree);
	return NULL;
}

/* --- checks over all objects --- */

static int check_name(const struct object_type *type, const json_t *tree, const char *name,
		      struct refusal *why)
{
	const char *own = name, *slash = strchr(name, '/');
	char owner[NAME_SIZE_MAX + 1];

	if (type->owner && slash && slash - name <= NAME_SIZE_MAX) {
		text_put(owner, sizeof(owner), "%.*s", (int)(slash - name), name);
		if (!config_get(tree, type->owner, owner))
			return refuse(why, -ENOENT, NULL, NULL, "there is no %s '%s'", type->owner,
				      owner);
		own = slash + 1;
	} else if (type->owner) {
		return refuse_value(why, "name", name, "%s/NAME", type->owner);
	}
	if (!value_is_name(own, strlen(own)))
		return refuse_value(why, "name", name, "%s", value_type_help(TYPE_NAME));
	return 0;
}

static int check_refs(const struct field *field, const json_t *tree, const char *refs,
		      struct refusal *why)
{
	struct words words = { .n = 0 };
	char target[REF_SIZE];
	const char *name;
	json_t *obj;

	do {
		if (!refs_next(&refs, target))
			return 0;
	} while (config_get(tree, field->ref, target));
	json_object_foreach((json_t *)config_all(tree, field->ref), name, obj) {
		words_add(&words, name);
	}
	return refuse_word(why, -ENOENT, field->name, target, field->ref, target, &words);
}

/* `seen` maps field, scope and value to the name of the object that has it. */
static int check_unique(const struct object_type *type, const struct field *field,
			const json_t *obj, json_t *seen, struct refusal *why)
{
	const char *name = json_string_value(json_object_get(obj, type->fields->name));
	const char *scope = "*", *other;
	char *text = value_format(field, json_object_get(obj, field->name)), *key;
	int rc;

	if (strcmp(field->unique, "*") != 0)
		scope = json_string_value(json_object_get(obj, field->unique));
	key = text_new("%s %s %s %s", type->name, field->name, scope, text);
	other = json_string_value(json_object_get(seen, key));
	rc = 0;
	if (!other)
		json_object_set_new(seen, key, json_string(name));
	else if (*scope == '*')
		rc = refuse(why, -EEXIST, field->name, text, "%s '%s' has it already", type->name,
			    other);
	else
		rc = refuse(why, -EEXIST, field->name, text, "%s '%s' on %s '%s' has it already",
			    type->name, other, field->unique, scope);
	free(key);
	free(text);
	return rc;
}

/* Two objects of one owner that contradict each other. */
static int check_rival(const struct object_type *type, const json_t *obj, const char *name,
		       json_t *seen, struct refusal *why)
{
	const char *slash = strchr(name, '/'), *other;
	char *text = type->rival(obj);
	char *key = text_new("%s %.*s %s", type->name, (int)(slash - name), name, text);
	int rc = 0;

	other = json_string_value(json_object_get(seen, key));
	if (other)
		rc = refuse(
			why, -EEXIST, NULL, NULL,
			"%s '%s' is for the same already (%s), and one of the two would never have a say; "
			"change or delete that one",
			type->name, other, text);
	else
		json_object_set_new(seen, key, json_string(name));
	free(key);
	free(text);
	return rc;
}

static int check_object(const struct object_type *type, const json_t *tree, const char *name,
			const json_t *obj, json_t *seen, struct refusal *why)
{
	int rc = check_name(type, tree, name, why);

	foreach_field(field, type->fields + 1) {
		const json_t *value = json_object_get(obj, field->name);

		if (rc)
			break;
		rc = check_refs(field, tree, refs_of(field, obj), why);
		if (value && !rc && field->unique)
			rc = check_unique(type, field, obj, seen, why);
	}
	if (!rc && type->check)
		rc = type->check(obj, why);
	if (!rc && type->rival)
		rc = check_rival(type, obj, name, seen, why);
	if (rc)
		refusal_about(why, type->name, name);
	return rc;
}

/* First the objects that stay, then those that change: the newcomer is the one to be refused. */
int config_check(const struct schema *schema, const json_t *tree, const json_t *base,
		 struct refusal *why)
{
	json_t *seen = json_object();
	int rc = 0;

	for (int changed = 0; changed <= 1; changed++) {
		foreach_type(type, schema) {
			const char *name;
			json_t *obj;

			json_object_foreach((json_t *)config_all(tree, type->name), name, obj) {
				if ((obj != config_get(base, type->name, name)) != changed)
					continue;
				rc = check_object(type, tree, name, obj, seen, why);
				if (rc)
					goto out;
			}
		}
	}
out:
	json_decref(seen);
	return rc;
}

static bool refers_to(const struct object_type *type, const json_t *obj, const char *target_type,
		      const char *target)
{
	foreach_field(field, type->fields) {
		const char *refs = refs_of(field, obj);

		if (refs && !strcmp(field->ref, target_type) && refs_have(refs, target))
			return true;
	}
	return false;
}

int config_check_unused(const struct schema *schema, const json_t *tree, const char *type,
			const char *name, struct refusal *why)
{
	const char *user_type = NULL, *user = NULL, *key;
	unsigned int n = 0;
	json_t *obj;

	foreach_type(t, schema) {
		json_object_foreach((json_t *)config_all(tree, t->name), key, obj) {
			if (!refers_to(t, obj, type, name))
				continue;
			if (!n++) {
				user_type = t->name;
				user = key;
			}
		}
	}
	if (!n)
		return 0;
	refusal_about(why, type, name);
	if (n == 1)
		return refuse(why, -EBUSY, NULL, NULL, "%s '%s' is on it; delete that first",
			      user_type, user);
	return refuse(why, -EBUSY, NULL, NULL, "%s '%s' and %u more are on it; delete those first",
		      user_type, user, n - 1);
}

/* --- for people --- */

static int by_name(const void *a, const void *b)
{
	return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

const char **config_names(const json_t *objects)
{
	const char **names = calloc(json_object_size(objects) + 1, sizeof(*names)), *name;
	size_t n = 0;
	json_t *obj;

	assert(names);
	json_object_foreach((json_t *)objects, name, obj) {
		names[n++] = name;
	}
	qsort(names, n, sizeof(*names), by_name);
	return names;
}

static json_t *export_object(const struct object_type *type, const json_t *obj)
{
	json_t *out = json_object();

	foreach_field(field, type->fields + 1) {
		json_t *value = json_object_get(obj, field->name), *def = value_default(field);

		if (value && (!def || !json_equal(value, def)))
			json_object_set(out, field->name, value);
		json_decref(def);
	}
	return out;
}

json_t *config_export(const struct schema *schema, const json_t *tree)
{
	json_t *out = json_object();

	foreach_type(type, schema) {
		const json_t *objects = config_all(tree, type->name);
		json_t *exported;
		const char **names;

		if (!json_object_size(objects))
			continue;
		exported = json_object();
		names = config_names(objects);
		for (const char **name = names; *name; name++)
			json_object_set_new(exported, *name,
					    export_object(type, json_object_get(objects, *name)));
		free(names);
		json_object_set_new(out, type->name, exported);
	}
	return out;
}
