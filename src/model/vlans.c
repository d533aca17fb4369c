/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/vlans.h"
#include "model/text.h"

#include <ctype.h>
#include <errno.h>
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

unsigned int vlans_count(const struct vlan_set *set)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < N_VLANS / 64; i++)
		n += (unsigned int)__builtin_popcountll(set->word[i]);
	return n;
}

int vport_vlans_check(const json_t *vport, struct refusal *why)
{
	const char *mode = obj_str(vport, "private-vlan");
	const char *text = obj_str(vport, "secondary-vlans");
	struct vlan_set secondary;
	unsigned int n;

	obj_vlans(vport, "secondary-vlans", &secondary);
	n = vlans_count(&secondary);
	if (strcmp(mode, "none") == 0) {
		if (n == 0)
			return 0;
		return refuse(
			why, -EINVAL, "secondary-vlans", text,
			"only private VLANs have secondary ones; set private-vlan to isolated, community or "
			"promiscuous, or secondary-vlans to none");
	}
	if (obj_uint(vport, "vlan") == 0)
		return refuse(why, -EINVAL, "vlan", "0",
			      "a private VLAN needs its primary VLAN here (private-vlan is %s)",
			      mode);
	if (!obj_is(vport, "trunk", "none"))
		return refuse(
			why, -EINVAL, "trunk", obj_str(vport, "trunk"),
			"a vport with a private VLAN is no trunk; set trunk or private-vlan to none");
	if (vlan_set_has(&secondary, (uint16_t)obj_uint(vport, "vlan")))
		return refuse(why, -EINVAL, "secondary-vlans", text,
			      "%u is the primary VLAN (vlan); it cannot be a secondary one as well",
			      (unsigned int)obj_uint(vport, "vlan"));
	if (n == 0)
		return refuse(why, -EINVAL, "secondary-vlans", text,
			      "private-vlan %s needs a secondary VLAN here", mode);
	if (n > 1 && strcmp(mode, "promiscuous") != 0)
		return refuse(
			why, -EINVAL, "secondary-vlans", text,
			"private-vlan %s is in one secondary VLAN; only promiscuous has several",
			mode);
	return 0;
}
