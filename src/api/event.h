/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Events: what happened, for people and programs that watch (`event.show`, `event.subscribe`).
 *
 * The last EVENTS_KEPT are kept in memory. An event is an object of the table's type `event`:
 * {name, time, kind, object, object-name, text}; its name is its number. Control thread only.
 */
#ifndef API_EVENT_H
#define API_EVENT_H

#include <jansson.h>
#include <stdint.h>

#define EVENTS_KEPT 1024

struct events;

struct events *events_new(void);
void events_free(struct events *events);

/*
 * Adds one. `kind` is a word of the table's event kinds (`added`, `changed`, `removed`, `attached`,
 * `detached`, `path`, `link`, `refused`, `warning`, ...); object and name may be NULL.
 */
void events_add(struct events *events, const char *kind, const char *object, const char *name,
		const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* The kept events, oldest first. New reference. */
json_t *events_list(const struct events *events);

/* Called for every event as it is added; one observer (the server). NULL ends it. */
void events_observe(struct events *events, void (*observer)(void *arg, json_t *event), void *arg);

#endif
