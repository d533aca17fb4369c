/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/vlans.h"
#include "model/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST 1
#define LAST  4094

static void set_range(struct vlan_set *set, unsigned int from, unsigned int to)
{
	for (unsigned int v = from; v <= to; v++)
		set->word[v / 64] |= 1ull << v % 64;
}

/* A number from FIRST to LAST without sign or space; 0 if there is none. */
static unsigned int parse_vlan(const char **text)
{
	unsigned int v = 0;
	const char *s = *text;

	for (; isdigit((unsigned char)*s); s++) {
		v = v * 10 + (unsigned int)(*s - '0');
		if (v > LAST)
			return 0;
	}
	*text = s;
	return v;
}

bool vlans_parse(const char *text, struct vlan_set *set)
{
	memset(set, 0, sizeof(*set));
	if (!strcmp(text, "none"))
		return true;
	if (!strcmp(text, "all")) {
		set_range(set, FIRST, LAST);
		return true;
	}
	for (;;) {
		unsigned int from = parse_vlan(&text), to = from;

		if (!from)
			return false;
		if (*text == '-') {
			text++;
			to = parse_vlan(&text);
			if (to < from)
				return false;
		}
		set_range(set, from, to);
		if (!*text)
			return true;
		if (*text++ != ',')
			return false;
	}
}

char *vlans_format(const struct vlan_set *set)
{
	char *text = NULL;
	size_t size;
	FILE *out = text_open(&text, &size);
	bool first = true;

	for (unsigned int v = FIRST; v <= LAST; v++) {
		unsigned int to = v;

		if (!vlan_set_has(set, (uint16_t)v))
			continue;
		while (to < LAST && vlan_set_has(set, (uint16_t)(to + 1)))
			to++;
		if (v == FIRST && to == LAST) {
			emit(out, "all");
		} else {
			emit(out, "%s%u", first ? "" : ",", v);
			if (to > v)
				emit(out, "-%u", to);
		}
		first = false;
		v = to;
	}
	if (first)
		emit(out, "none");
	text_close(out);
	return text;
}
