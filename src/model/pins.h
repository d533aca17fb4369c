/* SPDX-License-Identifier: BSD-3-Clause */
/* Which of a port's transmit queues are kept on which worker: "vf-0=1,synthetic-0=0", or "none".
 * Pure functions. */
#ifndef MODEL_PINS_H
#define MODEL_PINS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PIN_QUEUES  8  /* of each kind */
#define PIN_WORKERS 32 /* a pin may name one that is not there now */

enum queue_kind {
	QUEUE_VF,
	QUEUE_SYNTHETIC,
	QUEUE_UPLINK,
	QUEUE_KINDS
};

struct pins {
	bool pinned[QUEUE_KINDS][PIN_QUEUES];
	uint8_t worker[QUEUE_KINDS][PIN_QUEUES]; /* valid if pinned */
};

/* "vf", "synthetic", "uplink" */
extern const char *const queue_kinds[QUEUE_KINDS + 1];

/* A queue's name within its port, "vf-0". False if it is none. */
bool queue_parse(const char *text, enum queue_kind *kind, unsigned int *idx);

/* A worker's number, below PIN_WORKERS. */
bool worker_parse(const char *text, unsigned int *worker);

bool pins_parse(const char *text, struct pins *pins);

/* Sorted: malloc'd text. */
char *pins_format(const struct pins *pins);

/* As the readers of model/object.h. */
void obj_pins(const json_t *obj, const char *field, struct pins *pins);

#endif
