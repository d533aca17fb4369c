/* SPDX-License-Identifier: BSD-3-Clause */
#include "cli.h"

#include <errno.h>
#include <string.h>

const char *const cli_commands[] = { "apply", "export", "help", "completion", NULL };

const char *word_find(const struct words *words, const char *text, const char *what,
		      struct refusal *why)
{
	struct words matches = { .n = 0 };
	char list[400];

	for (size_t i = 0; i < words->n; i++) {
		if (!strcmp(words->word[i], text))
			return words->word[i];
		if (*text && !strncmp(words->word[i], text, strlen(text)))
			words_add(&matches, words->word[i]);
	}
	if (matches.n == 1)
		return matches.word[0];
	if (matches.n)
		refuse(why, -EINVAL, text, NULL, "could be %s",
		       words_join(&matches, list, sizeof(list)));
	else
		refuse_word(why, -EINVAL, text, NULL, what, text, words);
	return NULL;
}
