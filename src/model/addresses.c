/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/addresses.h"

#include "model/object.h"
#include "model/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* struct prefix has no gaps: its bytes are its value. */
static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct prefix));
}

static bool parse_one(const char *text, size_t len, struct addresses *list,
		      char wrong[PREFIX_TEXT_SIZE])
{
	char one[PREFIX_TEXT_SIZE];
	struct prefix prefix;

	wrong[0] = '\0';
	if (len == 0 || len >= sizeof(one) || list->n == ADDRESSES_MAX)
		return false;
	text_put(one, sizeof(one), "%.*s", (int)len, text);
	if (!prefix_parse(one, &prefix, wrong) ||
	    (prefix.kind != PREFIX_IPV4 && prefix.kind != PREFIX_IPV6))
		return false;
	for (unsigned int i = 0; i < list->n; i++)
		if (by_bytes(&list->prefix[i], &prefix) == 0)
			return true;
	list->prefix[list->n++] = prefix;
	return true;
}

bool addresses_parse(const char *text, struct addresses *list, char wrong[PREFIX_TEXT_SIZE])
{
	const char *comma;

	wrong[0] = '\0';
	list->n = 0;
	if (!strcmp(text, "none"))
		return true;
	do {
		comma = strchr(text, ',');
		if (!parse_one(text, comma ? (size_t)(comma - text) : strlen(text), list, wrong))
			return false;
		text = comma + 1;
	} while (comma);
	qsort(list->prefix, list->n, sizeof(list->prefix[0]), by_bytes);
	return true;
}

char *addresses_format(const struct addresses *list)
{
	char *text = NULL, one[PREFIX_TEXT_SIZE];
	size_t size;
	FILE *out;

	if (list->n == 0)
		return text_copy("none");
	out = text_open(&text, &size);
	for (unsigned int i = 0; i < list->n; i++) {
		prefix_format(&list->prefix[i], one);
		emit(out, "%s%s", i ? "," : "", one);
	}
	text_close(out);
	return text;
}

void obj_addresses(const json_t *obj, const char *field, struct addresses *list)
{
	char wrong[PREFIX_TEXT_SIZE];
	bool ok = addresses_parse(obj_str(obj, field), list, wrong);

	assert(ok);
	(void)ok;
}
