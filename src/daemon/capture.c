/* SPDX-License-Identifier: BSD-3-Clause */
/* Captures: which ports each one takes, its start and its end (src/capture has how frames get out). */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "capture/capture.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/refs.h"
#include "model/text.h"

#define CAPTURES_MAX 8  /* at a time */
#define ENDED_MAX    16 /* that are still shown */
#define FAREWELL_MS  5000

struct rt_capture {
	TAILQ_ENTRY(rt_capture) next;
	char name[16];
	json_t *params;
	char *ports; /* in words */
	double started;
	struct capture *capture;    /* NULL: it has ended */
	bool attached;              /* ports have its taps */
	bool full;                  /* there was no room for a port: it was said */
	struct capture_state state; /* at its end */
	char reason[192];           /* why somebody ended it; empty: nobody did */
};

/* --- ports --- */

static bool covers(const struct rt_capture *c, const struct rt_port *port)
{
	if (ports_named(c->params))
		return port_is_named(c->params, port);
	return !obj_is(c->params, "type", port->kind == PORT_OF_UPLINK ? "vswitch" : "physical");
}

static bool owned(const void *owner, const struct tap *tap)
{
	return capture_owns(owner, tap);
}

static void attach(struct runtime *rt, struct rt_capture *c, struct rt_port *port)
{
	struct tap *tap;

	if (port->removed || !covers(c, port) || taps_any(port, owned, c->capture))
		return;
	tap = capture_port(c->capture, port->kind == PORT_OF_UPLINK, port->name, port->sw->name);
	if (tap == NULL) {
		if (c->full)
			return;
		c->full = true;
		events_add(rt->events, "warning", "capture", c->name,
			   "has no room for the port '%s', nor for more that come", port->name);
		return;
	}
	taps_add(port, tap);
}

void captures_follow(struct runtime *rt)
{
	struct rt_capture *c;
	struct rt_port *port;

	TAILQ_FOREACH(c, &rt->captures, next) {
		if (!c->attached)
			continue;
		LIST_FOREACH(port, &rt->ports, next)
			attach(rt, c, port);
	}
}

static void publish(struct runtime *rt)
{
	struct rt_switch *sw;

	LIST_FOREACH(sw, &rt->switches, next)
		if (sw->changed)
			runtime_publish(rt, sw);
}

/* Takes its taps out of all ports; no worker sees them when it returns. */
static void detach(struct runtime *rt, struct rt_capture *c)
{
	c->attached = false;
	taps_remove(rt, owned, c->capture);
}

/* --- life --- */

static void forget(struct runtime *rt, struct rt_capture *c)
{
	TAILQ_REMOVE(&rt->captures, c, next);
	json_decref(c->params);
	free(c->ports);
	free(c);
}

/* Only the last ones that ended are shown. */
static void forget_oldest(struct runtime *rt)
{
	struct rt_capture *c, *oldest = NULL;
	unsigned int n = 0;

	TAILQ_FOREACH(c, &rt->captures, next) {
		if (c->capture != NULL)
			continue;
		oldest = oldest == NULL ? c : oldest;
		n++;
	}
	if (n > ENDED_MAX)
		forget(rt, oldest);
}

/* The thread is done, or there is none. */
static void put_away(struct runtime *rt, struct rt_capture *c)
{
	char reason[sizeof(c->reason)];

	detach(rt, c);
	capture_state(c->capture, &c->state);
	capture_free(c->capture);
	c->capture = NULL;
	text_put(reason, sizeof(reason), "%s", c->reason);
	if (reason[0] == '\0')
		text_put(c->reason, sizeof(c->reason), "%s", c->state.reason);
	else if (strcmp(c->state.reason, CAPTURE_UNREAD) == 0)
		text_put(c->reason, sizeof(c->reason), "%s; " CAPTURE_UNREAD, reason);
	events_add(rt->events, "removed", "capture", c->name, "ended: %s; %llu frames, %llu lost",
		   c->reason, (unsigned long long)c->state.frames,
		   (unsigned long long)c->state.lost);
	forget_oldest(rt);
}

void captures_look(struct runtime *rt)
{
	struct rt_capture *c, *next;

	for (c = TAILQ_FIRST(&rt->captures); c != NULL; c = next) {
		struct capture_state state;

		next = TAILQ_NEXT(c, next);
		if (c->capture == NULL)
			continue;
		capture_state(c->capture, &state);
		if (state.ended)
			put_away(rt, c);
	}
}

static void on_ended(void *arg)
{
	runtime_wake(arg);
}

static void say_ports(struct rt_capture *c)
{
	bool vport = obj_has(c->params, "vport"), uplink = obj_has(c->params, "uplink");

	if (vport || uplink)
		c->ports = text_new("%s%s%s%s%s", vport ? "vport " : "",
				    vport ? obj_str(c->params, "vport") : "",
				    vport && uplink ? ", " : "", uplink ? "uplink " : "",
				    uplink ? obj_str(c->params, "uplink") : "");
	else
		c->ports = text_new("%s", obj_is(c->params, "type", "vswitch")    ? "all vports"
					  : obj_is(c->params, "type", "physical") ? "all uplinks"
										  : "all");
}

static int check_ports(struct runtime *rt, const json_t *params, const char *field,
		       enum port_kind kind, struct refusal *why)
{
	const char *refs = obj_has(params, field) ? obj_str(params, field) : NULL;
	char name[REF_SIZE];

	while (refs_next(&refs, name))
		if (runtime_port(rt, kind, name) == NULL)
			return refuse(why, -ENOENT, field, name,
				      "there is no such %s (softiov %s show lists them)", field,
				      field);
	return 0;
}

static unsigned int n_running(const struct runtime *rt)
{
	const struct rt_capture *c;
	unsigned int n = 0;

	TAILQ_FOREACH(c, &rt->captures, next)
		n += c->capture != NULL;
	return n;
}

static int check_start(struct runtime *rt, const json_t *params, struct refusal *why)
{
	int ret = check_ports(rt, params, "vport", PORT_OF_VPORT, why);

	if (ret == 0)
		ret = check_ports(rt, params, "uplink", PORT_OF_UPLINK, why);
	if (ret == 0 && obj_bool(params, "all") && ports_named(params))
		ret = refuse(why, -EINVAL, "all", NULL,
			     "a vport or an uplink is named, so it cannot be all");
	if (ret == 0 && n_running(rt) == CAPTURES_MAX)
		ret = refuse(why, -EBUSY, NULL, NULL,
			     "%d captures are running; stop one (softiov capture stop NUMBER)",
			     CAPTURES_MAX);
	return ret;
}

static int start(struct runtime *rt, const json_t *params, json_t **result, struct refusal *why)
{
	struct capture_options options = { .filter = obj_str(params, "filter"),
					   .drops_only = obj_is(params, "drops", "only"),
					   .snaplen = (uint32_t)obj_uint(params, "snaplen"),
					   .n_workers = workers_count(rt->workers),
					   .farewell_ms = FAREWELL_MS,
					   .ended = on_ended,
					   .arg = rt };
	struct rt_capture *c;
	struct timespec now;
	struct err err = { 0 };
	int ret = check_start(rt, params, why);

	if (ret < 0)
		return ret;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
	ret = capture_new(&c->capture, &options, &err);
	if (ret < 0) {
		free(c);
		return refuse_err(why, ret == -EINVAL ? "filter" : NULL, NULL, &err);
	}
	clock_gettime(CLOCK_REALTIME, &now);
	c->started = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
	c->params = json_incref((json_t *)params);
	text_put(c->name, sizeof(c->name), "%u", ++rt->n_captures);
	say_ports(c);
	TAILQ_INSERT_TAIL(&rt->captures, c, next);
	*result = json_pack("{s:s}", "name", c->name);
	return 0;
}

static struct rt_capture *find(struct runtime *rt, const char *name)
{
	struct rt_capture *c;

	TAILQ_FOREACH(c, &rt->captures, next)
		if (strcmp(c->name, name) == 0)
			return c;
	return NULL;
}

void captures_stream(void *ctx, const char *name, int fd)
{
	struct runtime *rt = ctx;
	struct rt_capture *c = find(rt, name);
	int ret = fd >= 0 ? capture_run(c->capture, fd) : -EPIPE;

	if (ret < 0) {
		text_put(c->reason, sizeof(c->reason), "cannot start: %s", strerror(-ret));
		put_away(rt, c);
		return;
	}
	events_add(rt->events, "added", "capture", c->name, "of %s", c->ports);
	c->attached = true;
	captures_follow(rt);
	publish(rt);
}

static void stop_one(struct runtime *rt, struct rt_capture *c, const json_t *params)
{
	const char *reason = obj_str(params, "reason");

	if (c->capture == NULL || c->reason[0] != '\0')
		return;
	text_put(c->reason, sizeof(c->reason), "%s", reason[0] != '\0' ? reason : "stopped");
	detach(rt, c);
	capture_end(c->capture);
}

static int stop(struct runtime *rt, const char *name, const json_t *params, struct refusal *why)
{
	struct rt_capture *c;

	if (name != NULL) {
		c = find(rt, name);
		if (c == NULL)
			return refuse(why, -ENOENT, NULL, NULL,
				      "there is no such capture (softiov capture show lists them)");
		stop_one(rt, c, params);
		return 0;
	}
	TAILQ_FOREACH(c, &rt->captures, next)
		stop_one(rt, c, params);
	return 0;
}

int captures_verb(struct runtime *rt, const struct verb *verb, const char *name,
		  const json_t *params, json_t **result, struct refusal *why)
{
	return strcmp(verb->name, "start") == 0 ? start(rt, params, result, why)
						: stop(rt, name, params, why);
}

void captures_free(struct runtime *rt)
{
	struct rt_capture *c, *next;

	for (c = TAILQ_FIRST(&rt->captures); c != NULL; c = next) {
		next = TAILQ_NEXT(c, next);
		if (c->capture != NULL) {
			detach(rt, c);
			capture_free(c->capture);
		}
		forget(rt, c);
	}
}

/* --- status --- */

void captures_list(struct runtime *rt, json_t *array)
{
	const struct rt_capture *c;

	captures_look(rt); /* a reader that has just seen the end asks why */
	TAILQ_FOREACH(c, &rt->captures, next) {
		struct capture_state s = c->state;

		if (c->capture != NULL)
			capture_state(c->capture, &s);
		json_array_append_new(
			array,
			json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:f, s:I, s:I, s:I, s:s}",
				  "name", c->name, "state",
				  c->capture != NULL ? "running" : "ended", "ports", c->ports,
				  "filter", obj_str(c->params, "filter"), "drops",
				  obj_str(c->params, "drops"), "snaplen",
				  (json_int_t)obj_uint(c->params, "snaplen"), "file",
				  obj_str(c->params, "file"), "started", c->started, "frames",
				  (json_int_t)s.frames, "bytes", (json_int_t)s.bytes, "lost",
				  (json_int_t)s.lost, "end", c->capture != NULL ? "" : c->reason));
	}
}
