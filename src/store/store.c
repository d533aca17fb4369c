/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * softiov.db appears by rename, complete, so a file of that name that is empty or has another
 * layout is never our own half-made one: it is damaged or foreign, and is left alone.
 */
#include "store/store.h"

#include "base/log.h"
#include "model/text.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long another program (a backup, the sqlite3 shell) may hold a lock. */
#define BUSY_TIMEOUT_MS 1000

struct store {
	char path[PATH_MAX];
	int lock_fd;
	sqlite3 *db;
	sqlite3_stmt *put, *delete;
};

static int errno_of(int sqlite_code)
{
	switch (sqlite_code & 0xff) {
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
	case SQLITE_CANTOPEN:
		return -EACCES;
	case SQLITE_NOMEM:
		return -ENOMEM;
	}
	return -EIO;
}

static int refuse_store(const struct store *store, struct refusal *why, int code, const char *text)
{
	refusal_about(why, "store", store->path);
	return refuse(why, code, NULL, NULL, "%s", text);
}

static int refuse_sqlite(const struct store *store, sqlite3 *db, int code, struct refusal *why)
{
	char text[256];

	text_put(text, sizeof(text), "%s%s", db ? sqlite3_errmsg(db) : sqlite3_errstr(code),
		 errno_of(code) == -EBADMSG
			 ? "; the file is left as it is: restore a copy, or move "
			   "it away to start with an empty configuration"
			 : "");
	return refuse_store(store, why, errno_of(code), text);
}

static int run(const struct store *store, sqlite3 *db, const char *sql, struct refusal *why)
{
	int code = sqlite3_exec(db, sql, NULL, NULL, NULL);

	return code == SQLITE_OK ? 0 : refuse_sqlite(store, db, code, why);
}

/* The first column of the first row, as a number and as text. */
static int query(const struct store *store, sqlite3 *db, const char *sql, int *number, char *text,
		 size_t size, struct refusal *why)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW) {
		*number = sqlite3_column_int(stmt, 0);
		text_put(text, size, "%s", (const char *)sqlite3_column_text(stmt, 0));
	}
	sqlite3_finalize(stmt);
	return code == SQLITE_ROW ? 0 : refuse_sqlite(store, db, code, why);
}

/* Looks at the file without a right to write to it. */
static int examine(const struct store *store, struct refusal *why)
{
	int code, rc, id = 0, version = 0, ignored;
	char text[256] = "";
	struct stat st;
	sqlite3 *db;

	if (stat(store->path, &st) == 0 && st.st_size == 0)
		return refuse_store(store, why, -EBADMSG,
				    "the file is empty, which no softiovd leaves behind; restore a "
				    "copy, or move it away to start with an empty configuration");
	code = sqlite3_open_v2(store->path, &db, SQLITE_OPEN_READONLY, NULL);
	if (code != SQLITE_OK) {
		rc = refuse_sqlite(store, db, code, why);
		goto close;
	}
	sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS);
	rc = query(store, db, "PRAGMA application_id", &id, text, sizeof(text), why);
	if (!rc)
		rc = query(store, db, "PRAGMA user_version", &version, text, sizeof(text), why);
	if (rc)
		goto close;
	if (id != STORE_APPLICATION_ID) {
		rc = refuse_store(store, why, -EPROTO,
				  "this is the database of another program; move it away");
		goto close;
	}
	if (version != STORE_VERSION) {
		text_put(text, sizeof(text),
			 "written in version %d of the layout, and this softiovd knows %d: start "
			 "the version that wrote it",
			 version, STORE_VERSION);
		rc = refuse_store(store, why, -EPROTO, text);
		goto close;
	}
	rc = query(store, db, "PRAGMA quick_check(1)", &ignored, text, sizeof(text), why);
	if (!rc && strcmp(text, "ok") != 0) {
		char line[400];

		text_put(line, sizeof(line),
			 "damaged (%s); the file is left as it is: restore a copy, or move it away "
			 "to start with an empty configuration",
			 text);
		rc = refuse_store(store, why, -EBADMSG, line);
	}
close:
	sqlite3_close(db);
	return rc;
}

/* Makes a new file under another name, whole, and then gives it its own. */
static int create(const struct store *store, const char *dir, struct refusal *why)
{
	char temporary[PATH_MAX + 8], sql[400];
	sqlite3 *db;
	int code, rc, dir_fd;

	text_put(temporary, sizeof(temporary), "%s.new", store->path);
	unlink(temporary);
	code = sqlite3_open_v2(temporary, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);
	if (code != SQLITE_OK) {
		rc = refuse_sqlite(store, db, code, why);
		sqlite3_close(db);
		return rc;
	}
	text_put(sql, sizeof(sql),
		 "PRAGMA synchronous = FULL; BEGIN;"
		 "PRAGMA application_id = %d; PRAGMA user_version = %d;"
		 "CREATE TABLE objects (type TEXT NOT NULL, name TEXT NOT NULL, json TEXT NOT NULL,"
		 " PRIMARY KEY (type, name)) WITHOUT ROWID;"
		 "COMMIT",
		 STORE_APPLICATION_ID, STORE_VERSION);
	rc = run(store, db, sql, why);
	sqlite3_close(db);
	if (rc)
		return rc;
	if (rename(temporary, store->path))
		return refuse_store(store, why, -errno, strerror(errno));
	dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0 || fsync(dir_fd))
		rc = refuse_store(store, why, -errno, strerror(errno));
	if (dir_fd >= 0)
		close(dir_fd);
	return rc;
}

static int take_lock(struct store *store, const char *dir, struct refusal *why)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/softiov.lock", dir);

	if (n >= (int)sizeof(path))
		return refuse_store(store, why, -ENAMETOOLONG, "the path is too long");
	store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (store->lock_fd < 0) {
		char text[PATH_MAX + 128];
		int code = -errno;

		text_put(text, sizeof(text), "%s: %s", path, strerror(errno));
		return refuse_store(store, why, code, text);
	}
	if (flock(store->lock_fd, LOCK_EX | LOCK_NB))
		return refuse_store(store, why, -EBUSY,
				    "another softiovd uses it; stop that one, or take another "
				    "--state-dir");
	return 0;
}

static int open_database(struct store *store, struct refusal *why)
{
	static const char put[] = "INSERT INTO objects VALUES (?1, ?2, ?3)"
				  " ON CONFLICT DO UPDATE SET json = ?3";
	static const char delete[] = "DELETE FROM objects WHERE type = ?1 AND name = ?2";
	int code = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE, NULL), rc;
	char mode[32];
	int ignored;

	if (code != SQLITE_OK)
		return refuse_sqlite(store, store->db, code, why);
	sqlite3_busy_timeout(store->db, BUSY_TIMEOUT_MS);
	rc = query(store, store->db, "PRAGMA journal_mode = WAL", &ignored, mode, sizeof(mode),
		   why);
	if (!rc && strcmp(mode, "wal") != 0)
		rc = refuse_store(store, why, -EIO, "this file system takes no write-ahead log");
	/* With FULL a commit syncs the log; NORMAL would sync it only at checkpoints. */
	if (!rc)
		rc = run(store, store->db, "PRAGMA synchronous = FULL", why);
	if (rc)
		return rc;
	code = sqlite3_prepare_v3(store->db, put, -1, SQLITE_PREPARE_PERSISTENT, &store->put, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v3(store->db, delete, -1, SQLITE_PREPARE_PERSISTENT,
					  &store->delete, NULL);
	return code == SQLITE_OK ? 0 : refuse_sqlite(store, store->db, code, why);
}

struct store *store_open(const char *dir, struct refusal *why)
{
	struct store *store = calloc(1, sizeof(*store));
	int n, rc;

	assert(store);
	store->lock_fd = -1;
	n = snprintf(store->path, sizeof(store->path), "%s/softiov.db", dir);
	if (n >= (int)sizeof(store->path)) {
		refuse_store(store, why, -ENAMETOOLONG, "the path is too long");
		goto fail;
	}
	if (mkdir(dir, 0750) && errno != EEXIST) {
		refuse_store(store, why, -errno, strerror(errno));
		goto fail;
	}
	if (take_lock(store, dir, why))
		goto fail;
	rc = access(store->path, F_OK) ? create(store, dir, why) : examine(store, why);
	if (rc || open_database(store, why))
		goto fail;
	return store;
fail:
	store_close(store);
	return NULL;
}

void store_close(struct store *store)
{
	if (!store)
		return;
	sqlite3_finalize(store->put);
	sqlite3_finalize(store->delete);
	sqlite3_close(store->db);
	if (store->lock_fd >= 0)
		close(store->lock_fd);
	free(store);
}

static int load_row(const struct store *store, sqlite3_stmt *stmt, json_t *tree,
		    struct refusal *why)
{
	const char *type = (const char *)sqlite3_column_text(stmt, 0);
	const char *name = (const char *)sqlite3_column_text(stmt, 1);
	const char *text = (const char *)sqlite3_column_text(stmt, 2);
	json_error_t error;
	json_t *obj = json_loads(text, JSON_REJECT_DUPLICATES, &error), *objects;
	char line[400];

	if (!json_is_object(obj)) {
		text_put(line, sizeof(line), "%s '%s' in it is no object; restore a copy", type,
			 name);
		json_decref(obj);
		return refuse_store(store, why, -EBADMSG, line);
	}
	objects = json_object_get(tree, type);
	if (!objects) {
		objects = json_object();
		json_object_set_new(tree, type, objects);
	}
	json_object_set_new(objects, name, obj);
	return 0;
}

json_t *store_load(struct store *store, struct refusal *why)
{
	json_t *tree = json_object();
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(store->db,
				      "SELECT type, name, json FROM objects ORDER BY type, name",
				      -1, &stmt, NULL);
	int rc = 0;

	while (code == SQLITE_OK || code == SQLITE_ROW) {
		code = sqlite3_step(stmt);
		if (code == SQLITE_ROW)
			rc = load_row(store, stmt, tree, why);
		if (rc)
			break;
	}
	if (!rc && code != SQLITE_DONE)
		rc = refuse_sqlite(store, store->db, code, why);
	sqlite3_finalize(stmt);
	if (!rc)
		return tree;
	json_decref(tree);
	return NULL;
}

int store_begin(struct store *store, struct refusal *why)
{
	return run(store, store->db, "BEGIN IMMEDIATE", why);
}

static int bind_and_step(struct store *store, sqlite3_stmt *stmt, const char *type,
			 const char *name, const char *json, struct refusal *why)
{
	int code;

	sqlite3_bind_text(stmt, 1, type, -1, SQLITE_STATIC);
	sqlite3_bind_text(stmt, 2, name, -1, SQLITE_STATIC);
	if (json)
		sqlite3_bind_text(stmt, 3, json, -1, SQLITE_STATIC);
	code = sqlite3_step(stmt);
	sqlite3_reset(stmt);
	sqlite3_clear_bindings(stmt);
	return code == SQLITE_DONE ? 0 : refuse_sqlite(store, store->db, code, why);
}

int store_put(struct store *store, const char *type, const char *name, const json_t *obj,
	      struct refusal *why)
{
	char *json = json_dumps(obj, JSON_COMPACT);
	int rc;

	assert(json);
	rc = bind_and_step(store, store->put, type, name, json, why);
	free(json);
	return rc;
}

int store_delete(struct store *store, const char *type, const char *name, struct refusal *why)
{
	return bind_and_step(store, store->delete, type, name, NULL, why);
}

int store_commit(struct store *store, struct refusal *why)
{
	int rc = run(store, store->db, "COMMIT", why);

	if (rc)
		store_rollback(store);
	return rc;
}

void store_rollback(struct store *store)
{
	/* SQLite rolls back by itself after some errors; then there is nothing left to do. */
	if (!sqlite3_get_autocommit(store->db) &&
	    sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
		log_err("store", "%s: rollback: %s", store->path, sqlite3_errmsg(store->db));
}
