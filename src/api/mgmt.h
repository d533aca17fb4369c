/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Management: configuration, store and backend as one. It holds the configuration in memory, makes
 * every change all-or-nothing and durable (the order is in backend.h), and answers the API's
 * methods. Control thread only; no call blocks, except for the disk.
 */
#ifndef API_MGMT_H
#define API_MGMT_H

#include "api/backend.h"
#include "api/event.h"
#include "model/refusal.h"
#include "softiov/schema.h"
#include "store/store.h"

#include <jansson.h>

struct mgmt;

/* Who asks, from SO_PEERCRED; uid -1: the daemon itself. */
struct caller {
	int pid;
	long uid;
	long gid;
};
/* What becomes of the caller's connection once it has its answer. */
struct after {
	bool subscribe;  /* it gets events from now on */
	char stream[64]; /* not empty: it becomes the stream of the capture with this name */
};
#define CALLER_SELF ((struct caller){ 0, -1, -1 })

/* Borrows all arguments for its life. NULL: no memory. */
struct mgmt *mgmt_new(const struct schema *schema, struct store *store,
		      const struct backend *backend, struct events *events);
void mgmt_free(struct mgmt *mgmt);

/*
 * Loads the store and brings every object to life. An object that the backend refuses is logged and
 * kept (see backend.h); only a store that cannot be read or holds what the table does not know is
 * an error.
 */
int mgmt_start(struct mgmt *mgmt, struct refusal *why);

/* Tries the refused objects again; returns how many still have a problem. From a timer. */
unsigned int mgmt_retry(struct mgmt *mgmt);

/* Removes every object from the running switch, not from the store: an orderly stop. */
void mgmt_stop(struct mgmt *mgmt);

/* The configured object or NULL; borrowed until the next change. */
const json_t *mgmt_get(const struct mgmt *mgmt, const char *type, const char *name);
/* {name: object} of a type, maybe empty; borrowed until the next change. */
const json_t *mgmt_all(const struct mgmt *mgmt, const char *type);

/*
 * Makes the configuration equal to `objects` ({type: {name: {field: value}}}, as a YAML file holds
 * it). *changes gets the differences (new reference, also with dry_run) and may be NULL.
 */
int mgmt_apply(struct mgmt *mgmt, const struct caller *caller, json_t *objects, bool dry_run,
	       json_t **changes, struct refusal *why);

/*
 * Does a method. *result gets a new reference. `after->subscribe` is set when the caller is to receive
 * events from now on. Returns 0, or a negative errno: -ENOSYS no such method, -EINVAL something
 * wrong with the parameters, another for a refusal; `why` says it in words.
 */
int mgmt_call(struct mgmt *mgmt, const struct caller *caller, const char *method, json_t *params,
	      json_t **result, struct after *after, struct refusal *why);

/* The connection whose caller got `after->stream`: from now on its bytes are that object's. -1: it is broken. */
void mgmt_stream(struct mgmt *mgmt, const char *name, int fd);

#endif
