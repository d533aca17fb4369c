/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/object.h"

#include "model/value.h"
#include "model/vlans.h"

#include <assert.h>
#include <string.h>

/* The field, which must be there: the object was checked when it was made. */
static const json_t *get(const json_t *obj, const char *field)
{
	const json_t *value = json_object_get(obj, field);

	assert(value);
	return value;
}

bool obj_has(const json_t *obj, const char *field)
{
	return json_object_get(obj, field) != NULL;
}

const char *obj_name(const json_t *obj)
{
	return obj_str(obj, "name");
}

const char *obj_str(const json_t *obj, const char *field)
{
	const json_t *value = get(obj, field);

	assert(json_is_string(value));
	return json_string_value(value);
}

uint64_t obj_uint(const json_t *obj, const char *field)
{
	const json_t *value = get(obj, field);

	assert(json_is_integer(value));
	return (uint64_t)json_integer_value(value);
}

bool obj_bool(const json_t *obj, const char *field)
{
	const json_t *value = get(obj, field);

	assert(json_is_boolean(value));
	return json_is_true(value);
}

void obj_mac(const json_t *obj, const char *field, uint8_t mac[6])
{
	bool ok = value_parse_mac(obj_str(obj, field), mac);

	assert(ok);
	(void)ok;
}

void obj_vlans(const json_t *obj, const char *field, struct vlan_set *vlans)
{
	bool ok = vlans_parse(obj_str(obj, field), vlans);

	assert(ok);
	(void)ok;
}

bool obj_is(const json_t *obj, const char *field, const char *word)
{
	return !strcmp(obj_str(obj, field), word);
}

bool obj_changed(const json_t *old_obj, const json_t *new_obj, const char *field)
{
	const json_t *a = json_object_get(old_obj, field), *b = json_object_get(new_obj, field);

	if (!a || !b)
		return a != b;
	return !json_equal(a, b);
}
