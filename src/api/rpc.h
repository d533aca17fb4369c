/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON-RPC 2.0: a line in, an answer out. Inside src/api. */
#ifndef API_RPC_H
#define API_RPC_H

#include "api/mgmt.h"

/* The answer to a line, new reference; NULL where none is due (a notification, an empty line). */
json_t *rpc_answer(struct mgmt *mgmt, const struct caller *caller, const char *line, size_t size,
		   struct after *after);

/* An error response; id NULL stands for null. New reference. */
json_t *rpc_error(int code, const struct refusal *why, json_t *id);

/* The notification that carries an event. New reference. */
json_t *rpc_event(json_t *event);

#endif
