/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of IP addresses as text: `none`, or `10.0.0.5,2001:db8::/64`. */
#ifndef MODEL_ADDRESSES_H
#define MODEL_ADDRESSES_H

#include "model/match.h"

#include <jansson.h>

#define ADDRESSES_MAX 32

struct addresses {
	unsigned int n;
	struct prefix prefix[ADDRESSES_MAX]; /* IPv4 and IPv6, sorted, no two the same */
};

/* False for anything else; `wrong` as in prefix_parse. */
bool addresses_parse(const char *text, struct addresses *list, char wrong[PREFIX_TEXT_SIZE]);
/* Malloc'd text. */
char *addresses_format(const struct addresses *list);

void obj_addresses(const json_t *obj, const char *field, struct addresses *list);

#endif
