/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/refs.h"

#include "model/text.h"
#include "model/value.h"

#include <stdlib.h>
#include <string.h>

const char *refs_of(const struct field *field, const json_t *obj)
{
	if (field->type != TYPE_REF && field->type != TYPE_REFS)
		return NULL;
	return json_string_value(json_object_get(obj, field->name));
}

bool refs_next(const char **refs, char name[REF_SIZE])
{
	size_t len;

	if (!*refs)
		return false;
	len = strcspn(*refs, ",");
	/* What is too long is no name. */
	text_put(name, REF_SIZE, "%.*s", len < REF_SIZE ? (int)len : 0, *refs);
	*refs = (*refs)[len] ? *refs + len + 1 : NULL;
	return true;
}

bool refs_have(const char *refs, const char *name)
{
	char one[REF_SIZE];

	while (refs_next(&refs, one))
		if (!strcmp(one, name))
			return true;
	return false;
}

bool ref_is_name(const char *text)
{
	const char *slash = strchr(text, '/');

	if (slash && !value_is_name(text, (size_t)(slash - text)))
		return false;
	slash = slash ? slash + 1 : text;
	return value_is_name(slash, strlen(slash));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* The names, each of which is one; NULL otherwise. */
static char (*split(const char *text, size_t *n))[REF_SIZE]
{
	size_t most = 1;
	char(*name)[REF_SIZE];

	for (const char *s = text; *s; s++)
		most += *s == ',';
	name = calloc(most, sizeof(*name));
	*n = 0;
	while (name && refs_next(&text, name[*n])) {
		if (ref_is_name(name[*n])) {
			++*n;
			continue;
		}
		free(name);
		name = NULL;
	}
	return name;
}

char *refs_parse(const char *text)
{
	char *sorted = NULL;
	size_t n, size;
	char(*name)[REF_SIZE] = split(text, &n);
	FILE *out;

	if (!name)
		return NULL;
	qsort(name, n, sizeof(*name), by_name);
	out = text_open(&sorted, &size);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || strcmp(name[i], name[i - 1]) != 0)
			emit(out, "%s%s", i ? "," : "", name[i]);
	text_close(out);
	free(name);
	return sorted;
}
