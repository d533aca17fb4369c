/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/event.h"
#include "model/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct events {
	json_t *ring[EVENTS_KEPT];
	uint64_t n; /* ever added; the next goes to n % EVENTS_KEPT */
	void (*observer)(void *arg, json_t *event);
	void *observer_arg;
};

struct events *events_new(void)
{
	return calloc(1, sizeof(struct events));
}

void events_free(struct events *events)
{
	if (!events)
		return;
	for (size_t i = 0; i < EVENTS_KEPT; i++)
		json_decref(events->ring[i]);
	free(events);
}

void events_add(struct events *events, const char *kind, const char *object, const char *name,
		const char *fmt, ...)
{
	json_t **slot = &events->ring[events->n % EVENTS_KEPT], *event;
	char number[24], text[512];
	struct timespec now;
	va_list args;

	clock_gettime(CLOCK_REALTIME, &now);
	text_put(number, sizeof(number), "%llu", (unsigned long long)++events->n);
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	event = json_pack("{s:s, s:f, s:s, s:s*, s:s*}", "name", number, "time",
			  (double)now.tv_sec + (double)now.tv_nsec / 1e9, "kind", kind, "object",
			  object, "object-name", name);
	assert(event);
	/* Text that is not UTF-8 would make the event unprintable. */
	if (json_object_set_new(event, "text", json_string(text)))
		json_object_set_new(event, "text", json_string("(unprintable)"));
	json_decref(*slot);
	*slot = event;
	if (events->observer)
		events->observer(events->observer_arg, event);
}

json_t *events_list(const struct events *events)
{
	json_t *list = json_array();
	uint64_t first = events->n > EVENTS_KEPT ? events->n - EVENTS_KEPT : 0;

	for (uint64_t i = first; i < events->n; i++)
		json_array_append(list, events->ring[i % EVENTS_KEPT]);
	return list;
}

void events_observe(struct events *events, void (*observer)(void *arg, json_t *event), void *arg)
{
	events->observer = observer;
	events->observer_arg = arg;
}
