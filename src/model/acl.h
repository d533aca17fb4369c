/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of access control lists, as objects. */
#ifndef MODEL_ACL_H
#define MODEL_ACL_H

#include "model/match.h"
#include "model/refusal.h"

#include <jansson.h>

struct acl_words {
	struct prefix remote, local;
	unsigned int protocol; /* PROTOCOL_ANY: any */
	struct ports remote_port, local_port;
};

/* Of a rule that was checked. */
void acl_read(const json_t *obj, struct acl_words *words);

/* schema.h: struct object_type */
int acl_check(const json_t *obj, struct refusal *why);
char *acl_rival(const json_t *obj);

#endif
