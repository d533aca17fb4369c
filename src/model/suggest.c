/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/suggest.h"
#include "model/text.h"

#include <stdio.h>
#include <string.h>

void words_add(struct words *words, const char *word)
{
	if (words->n < WORDS_MAX)
		words->word[words->n++] = word;
}

void words_types(struct words *words, const struct schema *schema, bool api_only_too)
{
	foreach_type(type, schema)
		if (api_only_too || !(type->flags & OBJECT_API_ONLY))
			words_add(words, type->name);
}

void words_verbs(struct words *words, const struct object_type *type, bool method_names)
{
	foreach_verb(verb, type)
		words_add(words, method_names ? verb_method(verb) : verb->name);
}

void words_params(struct words *words, const struct object_type *type, const struct verb *verb)
{
	if (verb->takes == TAKES_PARAMS) {
		foreach_field(param, verb->params)
			words_add(words, param->name);
		return;
	}
	foreach_field(field, type->fields) {
		if (!field_settable(type, field))
			continue;
		if (verb->takes == TAKES_SET && field->flags & FIELD_CREATE)
			continue;
		words_add(words, field->name);
	}
}

#define LONGEST 32

/*
 * Edit distance with exchange of neighbours (Damerau, optimal string alignment): the slips that
 * fingers make. Words longer than LONGEST are nobody's slip.
 */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[3][LONGEST + 1];
	size_t la = strlen(a), lb = strlen(b);

	if (la > LONGEST || lb > LONGEST)
		return LONGEST;
	for (size_t j = 0; j <= lb; j++)
		row[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= la; i++) {
		unsigned int *now = row[i % 3], *up = row[(i - 1) % 3], *up2 = row[(i + 1) % 3];

		now[0] = (unsigned int)i;
		for (size_t j = 1; j <= lb; j++) {
			unsigned int best = up[j - 1] + (a[i - 1] != b[j - 1]);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (now[j - 1] + 1 < best)
				best = now[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			now[j] = best;
		}
	}
	return row[la % 3][lb];
}

const char *words_nearest(const struct words *words, const char *word)
{
	const char *nearest = NULL;
	unsigned int limit = strlen(word) < 3 ? 1 : strlen(word) < 6 ? 2 : 3;
	unsigned int best = limit + 1;

	for (size_t i = 0; i < words->n; i++) {
		unsigned int d = distance(word, words->word[i]);

		if (d < best && d < strlen(words->word[i])) {
			best = d;
			nearest = words->word[i];
		}
	}
	return nearest;
}

const char *words_join(const struct words *words, char *buf, size_t size)
{
	size_t at = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < words->n; i++) {
		int n = snprintf(buf + at, size - at, "%s%s", i ? ", " : "", words->word[i]);

		if ((size_t)n >= size - at)
			break;
		at += (size_t)n;
	}
	return buf;
}

int refuse_word(struct refusal *why, int code, const char *field, const char *value,
		const char *what, const char *word, const struct words *words)
{
	const char *nearest = words_nearest(words, word);
	char list[sizeof(why->allowed) - sizeof("one of ")];

	if (nearest)
		refuse(why, code, field, value, "there is no such %s; did you mean '%s'?", what,
		       nearest);
	else
		refuse(why, code, field, value, "there is no such %s", what);
	if (words->n)
		text_put(why->allowed, sizeof(why->allowed), "one of %s",
			 words_join(words, list, sizeof(list)));
	return code;
}
