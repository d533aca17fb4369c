/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of objects that a field refers to: one (TYPE_REF), or several (TYPE_REFS) as `web1,web2`. */
#ifndef MODEL_REFS_H
#define MODEL_REFS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "softiov/schema.h"

#define REF_SIZE 128 /* with its end: an owner's name, a slash, a name */

/* What the object's field refers to, for refs_next; NULL: nothing, or it is a field of another type. */
const char *refs_of(const struct field *field, const json_t *obj);
/* Takes the first name off. False: there is none. */
bool refs_next(const char **refs, char name[REF_SIZE]);
bool refs_have(const char *refs, const char *name);

/* Malloc'd text, sorted, each name once; NULL: a name is none. */
char *refs_parse(const char *text);
/* Whether it is a name: that of an owned object has its owner's before a slash. */
bool ref_is_name(const char *text);

#endif
