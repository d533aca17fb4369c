/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the objects are kept: STATE_DIR/softiov.db, an SQLite database of one table,
 * objects(type, name, json). Write-ahead log with synchronous=FULL, so what store_commit() has
 * returned for survives a kill and a loss of power.
 *
 * A store that cannot be trusted is left exactly as it is: the file is examined first without a
 * right to write, and only then opened for writing. One process at a time has it (an flock on
 * softiov.lock beside it). One thread at a time.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "model/refusal.h"

#include <jansson.h>

/* PRAGMA user_version of the files that this program writes. Raised when the layout changes. */
#define STORE_VERSION 1
/* PRAGMA application_id: "siov". */
#define STORE_APPLICATION_ID 0x73696f76

struct store;

/*
 * Opens DIR/softiov.db, creating it (and DIR) where there is none. Refusals, each with what to do:
 * -EBUSY another daemon has it, -EBADMSG no database or a damaged one, -EPROTO written by a newer
 * version or by another program, other negative errnos from the system.
 */
struct store *store_open(const char *dir, struct refusal *why);
void store_close(struct store *store);

/* Everything, as {type: {name: object}}. New reference; NULL with `why`. */
json_t *store_load(struct store *store, struct refusal *why);

/* One transaction: begin, any number of puts and deletes, then commit or rollback. */
int store_begin(struct store *store, struct refusal *why);
int store_put(struct store *store, const char *type, const char *name, const json_t *obj,
	      struct refusal *why);
int store_delete(struct store *store, const char *type, const char *name, struct refusal *why);
/* On failure the transaction has been rolled back. */
int store_commit(struct store *store, struct refusal *why);
void store_rollback(struct store *store);

#endif
