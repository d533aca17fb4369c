/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of VLANs as text: `none`, `all`, or `10,20-30`. */
#ifndef MODEL_VLANS_H
#define MODEL_VLANS_H

#include "model/object.h"
#include "model/refusal.h"

#include <stdbool.h>

/* False if the text is no list of numbers from 1 to 4094. */
bool vlans_parse(const char *text, struct vlan_set *set);

/* The shortest list, sorted: malloc'd text. */
char *vlans_format(const struct vlan_set *set);

unsigned int vlans_count(const struct vlan_set *set);

/* Whether the VLAN fields of a vport contradict each other: 0, or -EINVAL with `why`. */
int vport_vlans_check(const json_t *vport, struct refusal *why);

#endif
