/* SPDX-License-Identifier: BSD-3-Clause */
/* Words that were not known: what was probably meant, and what there is. */
#ifndef MODEL_SUGGEST_H
#define MODEL_SUGGEST_H

#include "model/refusal.h"
#include "softiov/schema.h"

#include <stddef.h>

#define WORDS_MAX 128

struct words {
	const char *word[WORDS_MAX];
	size_t n;
};

void words_add(struct words *words, const char *word);

/* The types, verbs and fields that a person may write. */
void words_types(struct words *words, const struct schema *schema, bool api_only_too);
void words_verbs(struct words *words, const struct object_type *type, bool method_names);
/* For a verb: its parameters, or the object's fields that it takes. */
void words_params(struct words *words, const struct object_type *type, const struct verb *verb);

/* The word nearest to `word`, if it is near enough to be a slip; else NULL. */
const char *words_nearest(const struct words *words, const char *word);

/* Joined by ", " into buf, cut short with "..." */
const char *words_join(const struct words *words, char *buf, size_t size);

/*
 * Refuses a word: "there is no such WHAT; did you mean 'NEAREST'?: one of A, B, C".
 * field and value as in refuse(). Returns code.
 */
int refuse_word(struct refusal *why, int code, const char *field, const char *value,
		const char *what, const char *word, const struct words *words);

#endif
