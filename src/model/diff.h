/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lies between two configurations, as steps in an order in which each can be done:
 *
 * 1. removals, last types first;
 * 2. additions and modifications, first types first;
 * 3. removals of objects that a modified object referred to until then, last types first.
 *
 * So an object finds what it refers to at every moment, and a VF that a removed vport frees is
 * there for one that is added. An object that differs in a create-only field is removed and added,
 * and with it those that refer to it or that it owns.
 */
#ifndef MODEL_DIFF_H
#define MODEL_DIFF_H

#include "softiov/schema.h"

#include <jansson.h>
#include <stddef.h>

struct step {
	const struct object_type *type;
	const char *name;      /* lives as long as the two trees */
	const json_t *old_obj; /* NULL: add */
	const json_t *new_obj; /* NULL: remove */
};

struct plan {
	struct step *steps;
	size_t n;
};

/* The trees must outlive the plan. */
void plan_make(const struct schema *schema, const json_t *old_tree, const json_t *new_tree,
	       struct plan *plan);
void plan_free(struct plan *plan);

/*
 * For people and programs, sorted by type and name: [{"op": "add"|"set"|"replace"|"del", "object",
 * "name", "fields": {field: {"old", "new"}}}], with the fields that differ, of an addition or
 * removal those that are not the default. New reference.
 */
json_t *diff_json(const struct schema *schema, const json_t *old_tree, const json_t *new_tree);

#endif
