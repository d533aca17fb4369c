/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The management half with a backend that only pretends: API, store and command line are tested
 * against it without DPDK. It checks what backend.h promises (order, references, undoing) and
 * aborts where a promise is broken.
 *
 *   fake_daemon RUN_DIR STATE_DIR [GROUP]
 *
 * An uplink whose device is `missing` is refused while RUN_DIR/present does not exist. A vport
 * owned by `nobody-such` is always refused. Prints "ready" once it listens, ends on SIGTERM.
 */
#include "api/server.h"
#include "model/object.h"
#include "model/text.h"
#include "softiov/api.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NOLINTBEGIN(misc-unused-parameters): the backend's signatures */

struct fake {
	const char *run_dir;
	json_t *running; /* {type: {name: object}} */
	unsigned int n_settled;
};

static json_t *running_of(struct fake *fake, const char *type)
{
	json_t *objects = json_object_get(fake->running, type);

	if (!objects) {
		objects = json_object();
		json_object_set_new(fake->running, type, objects);
	}
	return objects;
}

/* What an object refers to runs whenever the object does. */
static void check_targets(struct fake *fake, const struct object_type *type, const json_t *obj)
{
	foreach_field(field, type->fields)
		if (field->type == TYPE_REF && obj_has(obj, field->name))
			assert(json_object_get(running_of(fake, field->ref),
					       obj_str(obj, field->name)));
}

static void check_all(struct fake *fake)
{
	foreach_type(type, &softiov_schema) {
		const char *name;
		json_t *obj;

		json_object_foreach(running_of(fake, type->name), name, obj) {
			check_targets(fake, type, obj);
		}
	}
}

static int change(void *ctx, const struct object_type *type, const json_t *old_obj,
		  const json_t *new_obj, struct refusal *why)
{
	struct fake *fake = ctx;
	json_t *objects = running_of(fake, type->name);
	const char *name = obj_name(new_obj ? new_obj : old_obj);
	char present[PATH_MAX];

	assert(old_obj || new_obj);
	assert(json_object_get(objects, name) == old_obj);
	text_put(present, sizeof(present), "%s/present", fake->run_dir);
	if (new_obj && !strcmp(type->name, "uplink") && obj_is(new_obj, "device", "missing") &&
	    access(present, F_OK))
		return refuse_value(why, "device", "missing", "a device that exists");
	if (new_obj && !strcmp(type->name, "vport") && obj_is(new_obj, "owner", "nobody-such"))
		return refuse(why, -ENOENT, "owner", "nobody-such", "there is no such user");
	if (new_obj)
		json_object_set(objects, name, (json_t *)new_obj);
	else
		json_object_del(objects, name);
	check_all(fake);
	return 0;
}

static void settled(void *ctx, bool committed)
{
	struct fake *fake = ctx;

	fake->n_settled++;
}

static void vport_status(struct fake *fake, const json_t *obj, json_t *out)
{
	char path[PATH_MAX];

	json_object_set_new(out, "path", json_string("none"));
	if (obj_bool(obj, "iov")) {
		text_put(path, sizeof(path), "%s/vf/%s.sock", fake->run_dir, obj_name(obj));
		json_object_set_new(out, "vf-socket", json_string(path));
		json_object_set_new(out, "vf", json_integer(0));
	} else {
		json_object_set_new(out, "reasons", json_pack("[s]", "`iov` is off"));
		json_object_set_new(out, "vf-state", json_string("gone")); /* not in the table */
	}
	if (obj_bool(obj, "synthetic")) {
		text_put(path, sizeof(path), "%s/syn/%s.sock", fake->run_dir, obj_name(obj));
		json_object_set_new(out, "syn-socket", json_string(path));
	}
	json_object_set_new(out, "rx-rate", json_integer(1234567890));
	json_object_set_new(out, "rx-frames", json_integer(17));
	json_object_set_new(out, "drops", json_integer(3));
	json_object_set_new(out, "drop-reasons", json_pack("{s:i, s:i}", "vlan", 1, "spoof", 2));
}

static void status(void *ctx, const struct object_type *type, const json_t *obj, json_t *out)
{
	struct fake *fake = ctx;

	assert(json_object_get(running_of(fake, type->name), obj_name(obj)) == obj);
	if (!strcmp(type->name, "vport"))
		vport_status(fake, obj, out);
	if (!strcmp(type->name, "switch"))
		json_object_set_new(
			out, "vports",
			json_integer((json_int_t)json_object_size(running_of(fake, "vport"))));
}

/* Each vport has one queue, on worker 0. */
static void list_queues(struct fake *fake, json_t *array)
{
	const char *name;
	json_t *obj;

	json_object_foreach(running_of(fake, "vport"), name, obj) {
		char queue[80];

		text_put(queue, sizeof(queue), "%s/vf-0", name);
		json_array_append_new(
			array, json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:b, s:f, s:i, s:i}",
					 "name", queue, "switch", obj_str(obj, "switch"), "port",
					 name, "kind", "vf", "queue", 0, "worker", 0, "pinned",
					 !obj_is(obj, "pins", "none"), "load", 12.5,
					 "frames-per-second", 1000, "moves", 2));
	}
}

static void list(void *ctx, const struct object_type *type, json_t *array)
{
	struct fake *fake = ctx;

	if (!strcmp(type->name, "worker"))
		json_array_append_new(array, json_pack("{s:s, s:i, s:f, s:i}", "name", "0", "cpu",
						       1, "busy", 12.34, "frames", 99));
	if (!strcmp(type->name, "queue"))
		list_queues(fake, array);
	if (!strcmp(type->name, "host"))
		json_array_append_new(array, json_pack("{s:s, s:s, s:[s,s], s:{s:i}, s:i}", "name",
						       "fake", "version", SOFTIOV_VERSION,
						       "cpu-flags", "avx2", "sse4_2", "limits",
						       "settled", fake->n_settled, "uptime", 5));
}

static int verb(void *ctx, const struct object_type *type, const struct verb *v, const char *name,
		const json_t *params, json_t **result, struct refusal *why)
{
	assert(!strcmp(type->name, "host") && !strcmp(v->name, "check"));
	*result = json_array();
	backend_check(*result, "memory", "ok", "unlimited", NULL);
	backend_check(*result, "qemu", "warn", "7.2 is too old for VFs",
		      "install QEMU 10.1 or later");
	return 0;
}

static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	stop = 1;
}

static int fail(const struct refusal *why)
{
	char line[REFUSAL_LINE_SIZE];

	emit(stderr, "fake_daemon: %s\n", refusal_line(why, line, sizeof(line)));
	return 1;
}

int main(int argc, char **argv)
{
	struct fake fake = { .run_dir = argv[1], .running = json_object() };
	const struct backend backend = { .ctx = &fake,
					 .change = change,
					 .settled = settled,
					 .status = status,
					 .list = list,
					 .verb = verb };
	struct sigaction action = { .sa_handler = on_signal };
	struct refusal why = REFUSAL_INIT;
	struct events *events = events_new();
	struct api_server *server = NULL;
	struct mgmt *mgmt = NULL;
	struct store *store;
	char path[PATH_MAX];
	int code = 0;

	if (argc < 3)
		return 2;
	sigaction(SIGTERM, &action, NULL);
	text_put(path, sizeof(path), "%s/%s", argv[1], SOFTIOV_SOCKET_NAME);
	store = store_open(argv[2], &why);
	if (store)
		mgmt = mgmt_new(&softiov_schema, store, &backend, events);
	if (store && !mgmt_start(mgmt, &why))
		server = api_listen(&(struct api_options){ path, argc > 3 ? argv[3] : NULL, mgmt,
							   events },
				    &why);
	if (!server)
		code = fail(&why);
	else
		puts("ready");
	(void)fflush(stdout);
	while (server && !stop) {
		struct pollfd pfd = { .fd = api_fd(server), .events = POLLIN };
		char present[PATH_MAX + 16];

		if (poll(&pfd, 1, 200) > 0)
			api_poll(server);
		text_put(present, sizeof(present), "%s/present", argv[1]);
		if (!access(present, F_OK))
			mgmt_retry(mgmt);
	}
	api_close(server);
	if (server) {
		mgmt_stop(mgmt);
		foreach_type(type, &softiov_schema)
			assert(!json_object_size(running_of(&fake, type->name)));
	}
	mgmt_free(mgmt);
	store_close(store);
	events_free(events);
	json_decref(fake.running);
	return code;
}

/* NOLINTEND(misc-unused-parameters) */
