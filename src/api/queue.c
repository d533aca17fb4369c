/* SPDX-License-Identifier: BSD-3-Clause */
/* queue.set: a queue is the daemon's, its pin is a field of the port that it belongs to. */
#include "api/transaction.h"
#include "model/config.h"
#include "model/object.h"
#include "model/pins.h"
#include "model/suggest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* An object that the daemon made, or a refusal that says which there are. New reference. */
static json_t *find_made(const struct mgmt *mgmt, const char *type, const char *name,
			 const char *field, struct refusal *why)
{
	const struct backend *b = mgmt->backend;
	json_t *all = json_array(), *obj, *found = NULL;
	struct words words = { .n = 0 };
	size_t i;

	if (b->list)
		b->list(b->ctx, schema_type(mgmt->schema, type), all);
	json_array_foreach(all, i, obj) {
		words_add(&words, obj_name(obj));
		if (!strcmp(obj_name(obj), name))
			found = json_incref(obj);
	}
	if (!found)
		refuse_word(why, -ENOENT, field, field ? name : NULL, type, name, &words);
	json_decref(all);
	return found;
}

/* The port of this queue with its pin changed. New reference, or NULL with `why`. */
static json_t *pin(const struct object_type *type, const json_t *port, const char *queue,
		   const char *worker, struct refusal *why)
{
	enum queue_kind kind = QUEUE_VF;
	unsigned int idx = 0, number = 0;
	struct pins pins;
	json_t *params, *obj;
	char *text;
	bool ok = queue_parse(queue, &kind, &idx);

	assert(ok);
	(void)ok;
	obj_pins(port, "pins", &pins);
	pins.pinned[kind][idx] = worker_parse(worker, &number);
	pins.worker[kind][idx] = (uint8_t)number;
	text = pins_format(&pins);
	params = json_pack("{s:s}", "pins", text);
	free(text);
	obj = object_make(type, obj_name(port), params, port, OBJECT_SET, why);
	json_decref(params);
	return obj;
}

int queue_set(struct mgmt *mgmt, const struct caller *caller, const char *name, const char *worker,
	      struct refusal *why)
{
	json_t *queue = find_made(mgmt, "queue", name, NULL, why), *found, *obj, *tree;
	const struct object_type *type;
	const char *port;
	int rc = 0;

	if (!queue)
		return why->code;
	if (strcmp(worker, "auto") != 0) {
		found = find_made(mgmt, "worker", worker, "worker", why);
		if (!found) {
			rc = why->code;
			goto out;
		}
		json_decref(found);
	}
	type = schema_type(mgmt->schema, obj_is(queue, "kind", "uplink") ? "uplink" : "vport");
	port = obj_str(queue, "port");
	obj = pin(type, mgmt_get(mgmt, type->name, port), strrchr(name, '/') + 1, worker, why);
	if (!obj) {
		rc = why->code;
		goto out;
	}
	tree = config_copy(mgmt->tree);
	config_put(tree, type->name, port, obj);
	rc = mgmt_commit(mgmt, caller, tree, why);
out:
	json_decref(queue);
	return rc;
}
