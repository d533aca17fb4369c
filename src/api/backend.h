/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon does for the management half: the only door between the object model and the
 * running switch. The daemon implements these calls; src/api/mgmt.c makes them, all from the
 * control thread, never one inside another. A NULL member is a call that the daemon does not need.
 *
 * A transaction (one `add`, `set` or `del`, or a whole `apply`) goes like this:
 *   1. The new configuration is checked against the table, references and uniqueness. A refusal
 *      here never reaches the daemon.
 *   2. The store begins a transaction and writes all of it, without commit: what is wrong with the
 *      disk usually shows now.
 *   3. `change` is called once for each object that differs, in the order of src/model/diff.h
 *      (removals, additions and modifications, removals of what modified objects had referred to).
 *      An object that differs in a create-only field is removed and added, and so are those that
 *      refer to it. Then `agree` is called. If one call refuses, the changes made so far are undone by
 *      `change` with old and new exchanged, in reverse order, and the store rolls back.
 *   4. The store commits: written and synced. From here on the change survives any kill. If the
 *      commit fails, everything is undone as in 3.
 *   5. `settled` is called, then the caller gets its acknowledgement.
 * So a kill before 4 leaves the old configuration, one after 4 the new one, and only the new one is
 * ever acknowledged. The running state is lost with the process anyway.
 *
 * At start mgmt_start() calls `change(NULL, obj)` for every stored object in the table's order. One
 * that is refused then (its network card is gone) stays in the configuration, shows the reason in
 * its `problem` field and is tried again after each transaction and by mgmt_retry(); objects that
 * refer to it wait as well.
 */
#ifndef API_BACKEND_H
#define API_BACKEND_H

#include "model/refusal.h"
#include "softiov/schema.h"

#include <jansson.h>
#include <stdbool.h>

struct backend {
	void *ctx; /* first argument of every call */

	/*
	 * Makes the running switch follow one object: old_obj NULL adds, new_obj NULL removes. Both
	 * are complete (src/model/object.h) and borrowed: json_incref() what is kept.
	 *
	 * Within a transaction values may be held twice for a moment (two vports exchange their
	 * MACs), so uniqueness is not to be checked again here. Returns 0, or a negative errno with
	 * `why` filled by refuse() or refuse_value(), object and name left empty; nothing has
	 * changed then. When undoing (old and new exchanged after a refusal) it must not refuse
	 * what it had before; if it does, that is logged as an error and the object is shown with a
	 * problem.
	 */
	int (*change)(void *ctx, const struct object_type *type, const json_t *old_obj,
		      const json_t *new_obj, struct refusal *why);

	/* All changes of a transaction are made: the place to judge what must hold between objects. Returns 0,
	 * or a negative errno with `why` filled, its object and name as well. */
	int (*agree)(void *ctx, struct refusal *why);

	/* A transaction has ended: committed, or undone. The place to publish one snapshot for many
	 * changes, and to free what removals left. Also called once after mgmt_start(). */
	void (*settled)(void *ctx, bool committed);

	/*
	 * Adds the status fields of a configured object to `out`, by the names of the table with
	 * json_object_set_new(); a field that is not known now is left out. Not called for objects
	 * with a problem.
	 */
	void (*status)(void *ctx, const struct object_type *type, const json_t *obj, json_t *out);

	/* Appends all objects of a read-only type (vf, worker, queue, host) to `array`. */
	void (*list)(void *ctx, const struct object_type *type, json_t *array);

	/*
	 * A verb of the table that is none of add, set, del, show and is not done in src/api
	 * itself: `host.check` (an array of checks, see backend_check()). `name` is NULL where the
	 * verb takes none; `params` holds every parameter that was given or has a default. Stores a
	 * new reference in *result.
	 */
	int (*verb)(void *ctx, const struct object_type *type, const struct verb *verb,
		    const char *name, const json_t *params, json_t **result, struct refusal *why);

	/*
	 * After a verb that GIVES_BYTES, whose result has the `name` of what was started, and whose caller has its
	 * answer: `fd`, the caller's connection, is the backend's now. -1: the caller has gone.
	 */
	void (*stream)(void *ctx, const char *name, int fd);
};

/*
 * Appends one check to the result of host.check: result is "ok", "warn" or "fail", text what was
 * found and fix what to do about it (NULL with "ok").
 */
void backend_check(json_t *checks, const char *check, const char *result, const char *text,
		   const char *fix);

#endif
