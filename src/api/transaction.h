/* SPDX-License-Identifier: BSD-3-Clause */
/* Inside src/api: what mgmt.c and methods.c share. */
#ifndef API_TRANSACTION_H
#define API_TRANSACTION_H

#include "api/mgmt.h"

struct mgmt {
	const struct schema *schema;
	struct store *store;
	const struct backend *backend;
	struct events *events;
	json_t *tree;     /* the configuration; see model/config.h */
	json_t *problems; /* {type: {name: text}}: configured, but the backend does not have it */
};

/* The configuration becomes `tree` (taken), or nothing changes. */
int mgmt_commit(struct mgmt *mgmt, const struct caller *caller, json_t *tree, struct refusal *why);

/* Pins a queue that the daemon has to a worker that it has, or ("auto") unpins it. 0 or -errno. */
int queue_set(struct mgmt *mgmt, const struct caller *caller, const char *name, const char *worker,
	      struct refusal *why);

/* Who asks, for log and events; returns `out`. */
#define CALLER_TEXT_SIZE 64
const char *caller_text(const struct caller *caller, char *out, size_t size);

/* Why the object does not run; NULL: it does. */
const char *mgmt_problem(const struct mgmt *mgmt, const char *type, const char *name);

#endif
