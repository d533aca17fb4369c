/* SPDX-License-Identifier: BSD-3-Clause */
/* The object model in other forms: the reference manual and schema.show. */
#ifndef MODEL_MANUAL_H
#define MODEL_MANUAL_H

#include "softiov/schema.h"

#include <jansson.h>
#include <stdio.h>

/* docs/reference.md */
void manual_markdown(const struct schema *schema, FILE *out);

/* {"version", "objects": {TYPE: {help, fields: {...}, verbs: {...}}}}. New reference. */
json_t *manual_json(const struct schema *schema);

#endif
