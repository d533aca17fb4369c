/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Values of fields: text to JSON, JSON to text, and what is allowed, in one place for each type.
 *
 * The JSON form that these functions return is canonical: two values mean the same if and only if
 * json_equal() says so (MACs in lower case, VLAN lists sorted and merged).
 */
#ifndef MODEL_VALUE_H
#define MODEL_VALUE_H

#include "model/refusal.h"
#include "softiov/schema.h"

#include <jansson.h>

#define NAME_SIZE_MAX 63

/* From text as people write it. New reference; NULL with `why`. */
json_t *value_parse(const struct field *field, const char *text, struct refusal *why);

/* From JSON, canonical or not, or from the text form in a JSON string. New reference or NULL. */
json_t *value_check(const struct field *field, const json_t *value, struct refusal *why);

/* The text form, malloc'd. value_parse() reads it back, except for status fields, which are rounded
 * for people. */
char *value_format(const struct field *field, const json_t *value);

/* What the field takes, in words: "a number from 0 to 4094". Returns buf. */
const char *value_allowed(const struct field *field, char *buf, size_t size);

/* The default, new reference; NULL if the field has none. */
json_t *value_default(const struct field *field);

/* A new value for a FIELD_GENERATED field: a random locally administered unicast MAC address. */
json_t *value_generate(const struct field *field);

/* The word for a type in the manual and in schema.show: "uint", "vlan-list". */
const char *value_type_name(enum field_type type);
/* A sentence on how values of the type are written. */
const char *value_type_help(enum field_type type);

bool value_parse_mac(const char *text, uint8_t mac[6]);
/* A name as TYPE_NAME takes it; the first `len` bytes. */
bool value_is_name(const char *text, size_t len);

#endif
