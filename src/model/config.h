/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configurations: trees {type: {name: object}} of complete, checked objects.
 *
 * A tree is never changed once it is in use: a change makes a new tree that shares the objects
 * which stay as they are, so equal pointers mean equal objects. Throwing a change away is
 * json_decref().
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "model/refusal.h"
#include "softiov/schema.h"

#include <jansson.h>

enum object_mode {
	OBJECT_ADD,  /* params for a new object */
	OBJECT_SET,  /* params for some fields of `base`; create-only ones must stay */
	OBJECT_FULL, /* params are all that is wanted (a file); `base` gives generated fields */
};

/*
 * A complete object from {field: value}, fields in the table's order. `base` may be NULL.
 * null stands for the default. New reference, or NULL with `why`.
 */
json_t *object_make(const struct object_type *type, const char *name, json_t *params,
		    const json_t *base, enum object_mode mode, struct refusal *why);

/* The object or NULL, borrowed. */
const json_t *config_get(const json_t *tree, const char *type, const char *name);
/* All of a type, {name: object}, borrowed; never NULL for a type of the schema. */
const json_t *config_all(const json_t *tree, const char *type);

/* A tree without objects, and one that shares all objects of another. New references. */
json_t *config_new(const struct schema *schema);
json_t *config_copy(const json_t *tree);
/* In a copy that is not in use yet. */
void config_put(json_t *tree, const char *type, const char *name, json_t *obj_stolen);
/* Also removes the objects that it owns. */
void config_remove(const struct schema *schema, json_t *tree, const char *type, const char *name);

/*
 * A complete tree from one of params, as a file, `config.apply` or the store holds it. `base` is
 * the configuration that it replaces.
 */
json_t *config_make(const struct schema *schema, json_t *params, const json_t *base,
		    struct refusal *why);

/* Names, owners, references and unique fields of a tree that replaces `base`. 0 or -errno. */
int config_check(const struct schema *schema, const json_t *tree, const json_t *base,
		 struct refusal *why);

/* Refuses with -EBUSY if an object refers to this one. */
int config_check_unused(const struct schema *schema, const json_t *tree, const char *type,
			const char *name, struct refusal *why);

/* The tree as people write it: without names and defaults, sorted by name. New reference. */
json_t *config_export(const struct schema *schema, const json_t *tree);

/* The names of a type in their natural order (web2 before web10): NULL-terminated, free() it. */
const char **config_names(const json_t *objects);

#endif
