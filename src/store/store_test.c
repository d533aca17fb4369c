/* SPDX-License-Identifier: BSD-3-Clause */
/* The store: what it keeps, what it refuses and leaves alone, and what survives a kill. */
#include "base/test_folder.h"
#include "model/text.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

static char dir[TEST_FOLDER_SIZE], db_path[96];

static int make_dir(void **state)
{
	if (!test_folder_make(dir))
		return -1;
	text_put(db_path, sizeof(db_path), "%s/softiov.db", dir);
	return 0;
}

static int remove_dir(void **state)
{
	return test_folder_remove(dir);
}

static struct store *open_store(void)
{
	struct refusal why = REFUSAL_INIT;
	struct store *store = store_open(dir, &why);

	if (!store)
		fail_msg("%s", why.text);
	return store;
}

static void put(struct store *store, const char *name, int value)
{
	struct refusal why = REFUSAL_INIT;
	json_t *obj = json_pack("{s:s, s:i}", "name", name, "value", value);

	assert_int_equal(store_put(store, "thing", name, obj, &why), 0);
	json_decref(obj);
}

/* The value of a thing in the store, -1 if it is not there. */
static int value_of(struct store *store, const char *name)
{
	struct refusal why = REFUSAL_INIT;
	json_t *tree = store_load(store, &why), *obj;
	int value;

	assert_non_null(tree);
	obj = json_object_get(json_object_get(tree, "thing"), name);
	value = obj ? (int)json_integer_value(json_object_get(obj, "value")) : -1;
	json_decref(tree);
	return value;
}

static void test_keeps(void **state)
{
	struct refusal why = REFUSAL_INIT;
	struct store *store = open_store();

	assert_int_equal(store_begin(store, &why), 0);
	put(store, "a", 1);
	put(store, "b", 2);
	put(store, "a", 3);
	assert_int_equal(store_commit(store, &why), 0);
	assert_int_equal(store_begin(store, &why), 0);
	put(store, "a", 4);
	assert_int_equal(store_delete(store, "thing", "b", &why), 0);
	store_rollback(store);
	store_close(store);

	store = open_store();
	assert_int_equal(value_of(store, "a"), 3);
	assert_int_equal(value_of(store, "b"), 2);
	assert_int_equal(store_begin(store, &why), 0);
	assert_int_equal(store_delete(store, "thing", "b", &why), 0);
	assert_int_equal(store_delete(store, "thing", "never", &why), 0);
	assert_int_equal(store_commit(store, &why), 0);
	store_close(store);

	store = open_store();
	assert_int_equal(value_of(store, "b"), -1);
	store_close(store);
}

static void test_one_at_a_time(void **state)
{
	struct refusal why = REFUSAL_INIT;
	struct store *store = open_store();

	assert_null(store_open(dir, &why));
	assert_int_equal(why.code, -EBUSY);
	assert_non_null(strstr(why.text, "another softiovd"));
	store_close(store);
	store_close(open_store());
}

static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(db_path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static char *read_db(size_t *size)
{
	int fd = open(db_path, O_RDONLY);
	struct stat st = { 0 };
	char *data;

	assert_true(fd >= 0 && !fstat(fd, &st));
	*size = (size_t)st.st_size;
	data = malloc(*size + 1);
	assert_int_equal(read(fd, data, *size), *size);
	close(fd);
	return data;
}

static void write_db(const void *data, size_t size)
{
	int fd = open(db_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_int_equal(write(fd, data, size), size);
	close(fd);
}

/* Refused with this code, a text that holds this, and the file exactly as it was. */
static void refused_untouched(int code, const char *text)
{
	struct refusal why = REFUSAL_INIT;
	size_t size[2];
	char *before = read_db(&size[0]), *after;

	assert_null(store_open(dir, &why));
	after = read_db(&size[1]);
	assert_int_equal(size[0], size[1]);
	assert_memory_equal(before, after, size[0]);
	free(before);
	free(after);
	if (why.code != code || !strstr(why.text, text))
		fail_msg("%d: %s", why.code, why.text);
	assert_string_equal(why.object, "store");
	assert_string_equal(why.name, db_path);
}

static void test_refuses(void **state)
{
	struct refusal why = REFUSAL_INIT;
	struct store *store = open_store();
	char *data, *bad;
	size_t size;

	/* Enough to fill several pages. */
	store_begin(store, &why);
	for (int i = 0; i < 1000; i++) {
		char name[16];

		text_put(name, sizeof(name), "n%d", i);
		put(store, name, i);
	}
	assert_int_equal(store_commit(store, &why), 0);
	store_close(store);
	run_sql("PRAGMA journal_mode = DELETE");
	data = read_db(&size);
	assert_true(size > 20480);
	bad = malloc(size);

	write_db("", 0);
	refused_untouched(-EBADMSG, "empty");
	write_db("switch:\n  lan: {}\n", 18);
	refused_untouched(-EBADMSG, "not a database");
	write_db(data, size / 2 + 100);
	refused_untouched(-EBADMSG, "left as it is");
	write_db(data, 4096);
	refused_untouched(-EBADMSG, "left as it is");
	for (size_t at = 4096; at + 4096 <= size;
	     at += 4096) { /* each page, but the first, in turn */
		memcpy(bad, data, size);
		memset(bad + at, 0x5a, 4096);
		write_db(bad, size);
		refused_untouched(-EBADMSG, "left as it is");
	}
	write_db(data, size);
	run_sql("PRAGMA user_version = 2");
	refused_untouched(-EPROTO, "version 2 of the layout, and this softiovd knows 1");
	run_sql("PRAGMA user_version = 1; PRAGMA application_id = 7");
	refused_untouched(-EPROTO, "another program");
	/* And the good one is still good. */
	write_db(data, size);
	store = open_store();
	assert_int_equal(value_of(store, "n999"), 999);
	store_close(store);
	free(data);
	free(bad);
}

static void test_refuses_content(void **state)
{
	struct refusal why = REFUSAL_INIT;
	struct store *store = open_store();

	store_close(store);
	run_sql("INSERT INTO objects VALUES ('thing', 'a', '[1]')");
	store = open_store();
	assert_null(store_load(store, &why));
	assert_int_equal(why.code, -EBADMSG);
	assert_non_null(strstr(why.text, "thing 'a'"));
	store_close(store);
}

static void test_refuses_place(void **state)
{
	struct refusal why = REFUSAL_INIT;
	char path[5000];

	assert_null(store_open("/proc/nowhere", &why));
	assert_true(why.code < 0 && why.text[0]);
	close(open(db_path, O_CREAT | O_WRONLY, 0600));
	why = (struct refusal)REFUSAL_INIT;
	assert_null(store_open(db_path, &why)); /* a file where the folder should be */
	assert_int_equal(why.code, -ENOTDIR);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[sizeof(path) - 1] = '\0';
	why = (struct refusal)REFUSAL_INIT;
	assert_null(store_open(path, &why));
	assert_int_equal(why.code, -ENAMETOOLONG);
}

static void test_stale_creation(void **state)
{
	char path[128];
	int fd;

	/* A kill while the file was being made leaves this. */
	text_put(path, sizeof(path), "%s.new", db_path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "half", 4), 4);
	close(fd);
	store_close(open_store());
	assert_int_equal(access(path, F_OK), -1);
}

static void test_busy(void **state)
{
	struct refusal why = REFUSAL_INIT;
	struct store *store = open_store();
	sqlite3 *other;

	assert_int_equal(sqlite3_open(db_path, &other), SQLITE_OK);
	assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(store_begin(store, &why), -EBUSY);
	assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(other);
	assert_int_equal(store_begin(store, &why), 0);
	put(store, "a", 1);
	assert_int_equal(store_commit(store, &why), 0);
	store_close(store);
}

/* --- killed while it writes --- */

/* Each transaction writes both a and b; each commit is told through the pipe. */
static void write_for_ever(int fd, int from)
{
	struct store *store = open_store();
	struct refusal why = REFUSAL_INIT;

	for (int i = from;; i++) {
		if (store_begin(store, &why))
			_exit(1);
		put(store, "a", i);
		put(store, "b", i);
		if (store_commit(store, &why) || write(fd, &i, sizeof(i)) != sizeof(i))
			_exit(1);
	}
}

static void test_killed(void **state)
{
	int last = 0;

	for (int round = 0; round < 25; round++) {
		int fds[2], acked = last, n, status;
		struct store *store;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (!pid) {
			close(fds[0]);
			write_for_ever(fds[1], last + 1);
		}
		close(fds[1]);
		for (int i = 0; i <= round * 3; i++)
			assert_int_equal(read(fds[0], &acked, sizeof(acked)), sizeof(acked));
		usleep((useconds_t)(round * 137));
		kill(pid, SIGKILL);
		while (read(fds[0], &n, sizeof(n)) == sizeof(n))
			acked = n;
		close(fds[0]);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		store = open_store();
		last = value_of(store, "a");
		/* The commit that was not told may have happened, whole; none before it is lost. */
		assert_in_range(last, acked, acked + 1);
		assert_int_equal(value_of(store, "b"), last);
		store_close(store);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, remove_dir)
	const struct CMUnitTest tests[] = {
		TEST(test_keeps),         TEST(test_one_at_a_time),
		TEST(test_refuses),       TEST(test_refuses_content),
		TEST(test_refuses_place), TEST(test_stale_creation),
		TEST(test_busy),          TEST(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
