/* SPDX-License-Identifier: BSD-3-Clause */
/* Transactions: the order of calls, undoing, what the store holds after each, start and retry. */
#include "api/mgmt.h"

#include "base/test_folder.h"
#include "model/object.h"
#include "model/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

static char dir[TEST_FOLDER_SIZE];
static struct store *store;
static struct events *events;
static struct mgmt *mgmt;

/* What the backend was asked, "+switch lan, settled 1"; refusals by name. */
static char calls[1000];
static const char *refuse_name;
static bool refuse_undo, refuse_commit, disagree;

static void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *fmt, ...)
{
	size_t at = strlen(calls);
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(calls + at, sizeof(calls) - at, fmt, args);
	va_end(args);
}

static void called(const char *expected)
{
	assert_string_equal(calls, expected);
	calls[0] = '\0';
}

static int change(void *ctx, const struct object_type *type, const json_t *old_obj,
		  const json_t *new_obj, struct refusal *why)
{
	const char *name = obj_name(new_obj ? new_obj : old_obj);

	note("%c%s %s, ", !old_obj ? '+' : !new_obj ? '-' : '~', type->name, name);
	if (refuse_name && new_obj && !strcmp(name, refuse_name))
		return refuse_value(why, "vfs", "64", "less");
	if (refuse_undo && !new_obj)
		return refuse(why, -EIO, NULL, NULL, "stuck");
	return 0;
}

static int agree(void *ctx, struct refusal *why)
{
	if (!disagree)
		return 0;
	refusal_about(why, "switch", "b");
	return refuse(why, -EINVAL, "vfs", "9", "together they are too many");
}

static void settled(void *ctx, bool committed)
{
	note("settled %d. ", committed);
}

static void status(void *ctx, const struct object_type *type, const json_t *obj, json_t *out)
{
	json_object_set_new(out, "drops", json_integer(7));
}

static const struct backend backend = {
	.change = change, .agree = agree, .settled = settled, .status = status
};

/* The linker puts this in front of the real one. */
int __real_store_commit(struct store *s, struct refusal *why);
int __wrap_store_commit(struct store *s, struct refusal *why);
int __wrap_store_commit(struct store *s, struct refusal *why)
{
	if (!refuse_commit)
		return __real_store_commit(s, why);
	store_rollback(s);
	refusal_about(why, "store", "x");
	return refuse(why, -ENOSPC, NULL, NULL, "disk full");
}

static void start(void)
{
	struct refusal why = REFUSAL_INIT;

	store = store_open(dir, &why);
	assert_non_null(store);
	events = events_new();
	mgmt = mgmt_new(&softiov_schema, store, &backend, events);
	if (mgmt_start(mgmt, &why))
		fail_msg("%s", why.text);
}

static void stop(void)
{
	mgmt_free(mgmt);
	events_free(events);
	store_close(store);
	calls[0] = '\0';
}

static int setup(void **state)
{
	if (!test_folder_make(dir))
		return -1;
	calls[0] = '\0';
	refuse_name = NULL;
	refuse_undo = refuse_commit = disagree = false;
	start();
	calls[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	stop();
	return test_folder_remove(dir);
}

/* 0 or the code; the line in `line`. */
static char line[REFUSAL_LINE_SIZE];
static int call(const char *method, const char *params)
{
	const struct caller caller = { 1, 0, 0 };
	struct refusal why = REFUSAL_INIT;
	json_t *in = json_loads(params, 0, NULL), *result;
	struct after after;
	int rc = mgmt_call(mgmt, &caller, method, in, &result, &after, &why);

	json_decref(in);
	json_decref(result);
	assert_int_equal(rc, why.code);
	line[0] = '\0';
	if (rc)
		refusal_line(&why, line, sizeof(line));
	return rc;
}

static unsigned int n_stored(void)
{
	struct refusal why = REFUSAL_INIT;
	json_t *tree = store_load(store, &why), *objects;
	unsigned int n = 0;
	const char *type;

	json_object_foreach(tree, type, objects) {
		n += (unsigned int)json_object_size(objects);
	}
	json_decref(tree);
	return n;
}

static char *show(const char *type, const char *name, const char *field)
{
	const struct caller caller = CALLER_SELF;
	struct refusal why = REFUSAL_INIT;
	json_t *in = json_pack("{s:s}", "name", name), *result;
	char method[32], *text;
	struct after after;

	text_put(method, sizeof(method), "%s.show", type);
	assert_int_equal(mgmt_call(mgmt, &caller, method, in, &result, &after, &why), 0);
	text = json_dumps(json_object_get(json_array_get(result, 0), field), JSON_ENCODE_ANY);
	json_decref(in);
	json_decref(result);
	return text;
}

static void shows(const char *type, const char *name, const char *field, const char *expected)
{
	char *text = show(type, name, field);

	if (!text || !expected)
		assert_ptr_equal(text, expected);
	else
		assert_string_equal(text, expected);
	free(text);
}

static void test_life(void **state)
{
	assert_int_equal(call("switch.add", "{\"name\": \"lan\"}"), 0);
	called("+switch lan, settled 1. ");
	assert_int_equal(call("vport.add", "{\"name\": \"a\", \"switch\": \"lan\"}"), 0);
	called("+vport a, settled 1. ");
	assert_int_equal(call("vport.set", "{\"name\": \"a\", \"vlan\": 5}"), 0);
	called("~vport a, settled 1. ");
	assert_int_equal(call("vport.set", "{\"name\": \"a\", \"vlan\": 5}"), 0);
	called(""); /* no change, no calls */
	shows("vport", "a", "drops", "7");
	assert_int_equal(n_stored(), 2);
	assert_int_equal(call("switch.del", "{\"name\": \"lan\"}"), -EBUSY);
	called("");
	assert_int_equal(call("vport.del", "{\"name\": \"a\"}"), 0);
	assert_int_equal(call("switch.del", "{\"name\": \"lan\"}"), 0);
	called("-vport a, settled 1. -switch lan, settled 1. ");
	assert_int_equal(n_stored(), 0);
}

static void test_refused_before(void **state)
{
	static const struct {
		const char *method, *params;
		int code;
	} cases[] = {
		{ "switch.add", "{}", -EINVAL },
		{ "switch.add", "[]", -EINVAL },
		{ "switch.add", "{\"name\": 5}", -EINVAL },
		{ "switch.add", "{\"name\": \"\"}", -EINVAL },
		{ "switch.add", "{\"name\": \"a\", \"vfs\": 257}", -EINVAL },
		{ "switch.add", "{\"name\": \"a\", \"nonsense\": 1}", -EINVAL },
		{ "switch.set", "{\"name\": \"a\"}", -ENOENT },
		{ "switch.del", "{\"name\": \"a\"}", -ENOENT },
		{ "switch.del", "{\"name\": \"a\", \"vfs\": 1}", -EINVAL },
		{ "switch.show", "{\"name\": \"a\"}", -ENOENT },
		{ "vport.add", "{\"name\": \"a\"}", -EINVAL },
		{ "vport.add", "{\"name\": \"a\", \"switch\": \"s\"}", -ENOENT },
		{ "vport.qemu-args", "{\"name\": \"a\"}", -ENOENT },
		{ "vport.qemu-args", "{\"name\": \"a\", \"memory\": \"x\"}", -EINVAL },
		{ "config.apply", "{}", -EINVAL },
		{ "config.apply", "{\"objects\": 5}", -EINVAL },
		{ "config.apply", "{\"objects\": {\"vf\": {}}}", -EINVAL },
		{ "vf.add", "{\"name\": \"a\"}", -ENOSYS },
		{ "nothing", "{}", -ENOSYS },
		{ "nothing.show", "{}", -ENOSYS },
		{ "switch.", "{}", -ENOSYS },
		{ ".show", "{}", -ENOSYS },
		{ "", "{}", -ENOSYS },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int rc = call(cases[i].method, cases[i].params);

		if (rc != cases[i].code)
			fail_msg("%s %s: %d %s", cases[i].method, cases[i].params, rc, line);
		called("");
	}
	assert_int_equal(n_stored(), 0);
}

#define THREE "\"switch\": {\"s1\": {}, \"s2\": {}, \"s3\": {}}"

static void test_undone(void **state)
{
	assert_int_equal(call("switch.add", "{\"name\": \"s0\"}"), 0);
	calls[0] = '\0';
	refuse_name = "s3";
	assert_int_equal(call("config.apply", "{\"objects\": {" THREE "}}"), -EINVAL);
	assert_string_equal(line, "switch 's3': vfs: '64' is not allowed: less");
	called("-switch s0, +switch s1, +switch s2, +switch s3, -switch s2, -switch s1, +switch s0, "
	       "settled 0. ");
	assert_int_equal(n_stored(), 1);
	assert_non_null(mgmt_get(mgmt, "switch", "s0"));
	assert_null(mgmt_get(mgmt, "switch", "s1"));
	/* The same without the obstacle. */
	refuse_name = NULL;
	assert_int_equal(call("config.apply", "{\"objects\": {" THREE "}}"), 0);
	called("-switch s0, +switch s1, +switch s2, +switch s3, settled 1. ");
	assert_int_equal(n_stored(), 3);
}

/* What each of them may be and all together may not. */
static void test_disagreed(void **state)
{
	assert_int_equal(call("switch.add", "{\"name\": \"s0\"}"), 0);
	calls[0] = '\0';
	disagree = true;
	assert_int_equal(call("config.apply", "{\"objects\": {" THREE "}}"), -EINVAL);
	assert_string_equal(line, "switch 'b': vfs: '9': together they are too many");
	called("-switch s0, +switch s1, +switch s2, +switch s3, -switch s3, -switch s2, -switch s1, "
	       "+switch s0, settled 0. ");
	assert_int_equal(n_stored(), 1);
}

static void test_dry_run(void **state)
{
	assert_int_equal(call("config.apply", "{\"objects\": {" THREE "}, \"dry-run\": true}"), 0);
	called("");
	assert_int_equal(n_stored(), 0);
}

static void test_commit_fails(void **state)
{
	refuse_commit = true;
	assert_int_equal(call("switch.add", "{\"name\": \"lan\"}"), -ENOSPC);
	assert_string_equal(line, "store 'x': disk full");
	called("+switch lan, -switch lan, settled 0. ");
	assert_null(mgmt_get(mgmt, "switch", "lan"));
	assert_int_equal(n_stored(), 0);
	refuse_commit = false;
	assert_int_equal(call("switch.add", "{\"name\": \"lan\"}"), 0);
	assert_int_equal(n_stored(), 1);
}

static void test_undo_refused(void **state)
{
	/* A backend that cannot undo: said in the log, and the configuration is still the old one. */
	refuse_name = "s3";
	refuse_undo = true;
	assert_int_equal(call("config.apply", "{\"objects\": {" THREE "}}"), -EINVAL);
	called("+switch s1, +switch s2, +switch s3, -switch s2, -switch s1, settled 0. ");
	assert_null(mgmt_get(mgmt, "switch", "s1"));
	refuse_undo = false;
}

static void test_restart(void **state)
{
	char *mac, *again;

	assert_int_equal(call("switch.add", "{\"name\": \"lan\"}"), 0);
	assert_int_equal(call("vport.add", "{\"name\": \"a\", \"switch\": \"lan\"}"), 0);
	mac = show("vport", "a", "mac");
	stop();
	start();
	called("+switch lan, +vport a, settled 1. ");
	again = show("vport", "a", "mac");
	assert_string_equal(mac, again);
	free(mac);
	free(again);
	mgmt_stop(mgmt);
	called("-vport a, -switch lan, settled 1. ");
	assert_int_equal(n_stored(), 2); /* stopping removes nothing from the store */
}

static void test_problem(void **state)
{
	assert_int_equal(call("switch.add", "{\"name\": \"lan\"}"), 0);
	assert_int_equal(call("vport.add", "{\"name\": \"a\", \"switch\": \"lan\"}"), 0);
	stop();
	refuse_name = "lan";
	start();
	called("+switch lan, settled 1. ");
	shows("switch", "lan", "problem", "\"vfs: '64' is not allowed: less\"");
	shows("switch", "lan", "drops", NULL);
	shows("vport", "a", "problem", "\"its switch 'lan' does not run\"");
	/* Still to be configured; a new vport waits like the others. */
	assert_int_equal(call("switch.set", "{\"name\": \"lan\", \"vfs\": 5}"), 0);
	called("+switch lan, settled 1. +switch lan, ");
	assert_int_equal(call("vport.add", "{\"name\": \"b\", \"switch\": \"lan\"}"), 0);
	called("settled 1. +switch lan, ");
	assert_int_equal(call("vport.del", "{\"name\": \"b\"}"), 0);
	called("settled 1. +switch lan, ");
	assert_int_equal(mgmt_retry(mgmt), 2);
	called("+switch lan, ");
	refuse_name = NULL;
	assert_int_equal(mgmt_retry(mgmt), 0);
	called("+switch lan, +vport a, settled 1. ");
	shows("switch", "lan", "problem", NULL);
	shows("vport", "a", "drops", "7");
	assert_int_equal(mgmt_retry(mgmt), 0);
	called("");
	assert_int_equal(call("vport.set", "{\"name\": \"a\", \"vlan\": 5}"), 0);
	called("~vport a, settled 1. ");
}

static void test_new_field(void **state)
{
	/* A store of a time when vports had fewer fields: they get their defaults, and a generated
	 * value is written down at once. */
	struct refusal why = REFUSAL_INIT;
	json_t *lan = json_pack("{s:s}", "name", "lan");
	json_t *a = json_pack("{s:s, s:s}", "name", "a", "switch", "lan");
	char *mac, *again;

	assert_int_equal(store_begin(store, &why), 0);
	assert_int_equal(store_put(store, "switch", "lan", lan, &why), 0);
	assert_int_equal(store_put(store, "vport", "a", a, &why), 0);
	assert_int_equal(store_commit(store, &why), 0);
	json_decref(lan);
	json_decref(a);
	stop();
	start();
	mac = show("vport", "a", "mac");
	stop();
	start();
	again = show("vport", "a", "mac");
	assert_string_equal(mac, again);
	free(mac);
	free(again);
}

static void test_unknown_in_store(void **state)
{
	struct refusal why = REFUSAL_INIT;
	json_t *lan = json_pack("{s:s, s:i}", "name", "lan", "from-the-future", 1);

	assert_int_equal(store_begin(store, &why), 0);
	assert_int_equal(store_put(store, "switch", "lan", lan, &why), 0);
	assert_int_equal(store_commit(store, &why), 0);
	json_decref(lan);
	mgmt_free(mgmt);
	mgmt = mgmt_new(&softiov_schema, store, &backend, events);
	assert_int_equal(mgmt_start(mgmt, &why), -EINVAL);
	assert_string_equal(why.field, "from-the-future");
	called("");
}

static void test_events(void **state)
{
	json_t *list, *event;

	for (int i = 0; i < EVENTS_KEPT + 10; i++)
		events_add(events, "link", "uplink", "u", "number %d", i);
	list = events_list(events);
	assert_int_equal(json_array_size(list), EVENTS_KEPT);
	event = json_array_get(list, 0);
	assert_string_equal(json_string_value(json_object_get(event, "text")), "number 10");
	event = json_array_get(list, EVENTS_KEPT - 1);
	assert_string_equal(json_string_value(json_object_get(event, "text")), "number 1033");
	json_decref(list);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_life),         TEST(test_refused_before),   TEST(test_undone),
		TEST(test_dry_run),      TEST(test_disagreed),        TEST(test_commit_fails),
		TEST(test_undo_refused), TEST(test_restart),          TEST(test_problem),
		TEST(test_new_field),    TEST(test_unknown_in_store), TEST(test_events),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
