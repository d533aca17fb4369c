/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Why something was not done: one line for people, and the same in parts for programs.
 *
 *   vport 'web1': vlan: '5000' is not allowed: a number from 0 to 4094
 *   `----------'  `--'   `--'                  `---------------------'
 *   object, name  field  value                 allowed
 *
 * The caller of a function that may refuse passes one, zeroed (REFUSAL_INIT). Whoever knows object
 * and name fills them in (`refusal_about`); deeper code only says field, value and what is allowed.
 */
#ifndef MODEL_REFUSAL_H
#define MODEL_REFUSAL_H

#include "base/errtext.h"

#include <jansson.h>

struct refusal {
	int code;        /* negative errno; 0: nothing was refused */
	char object[32]; /* type */
	char name[136];  /* of the object */
	char field[32];
	char value[128];   /* as it was given, shortened with ... */
	char allowed[512]; /* what the field takes */
	char text[512];    /* the reason in words, when it is not a value that is not allowed */
	char below
		[256]; /* lines to be shown below it: what was given, and a caret under what is wrong in it */
};

#define REFUSAL_INIT \
	{            \
		0    \
	}

/* "VALUE is not allowed: ALLOWED". Returns -EINVAL. */
int refuse_value(struct refusal *why, const char *field, const char *value, const char *allowed_fmt,
		 ...) __attribute__((format(printf, 4, 5)));

/* The reason in words; field and value may be NULL. Returns code (a negative errno). */
int refuse(struct refusal *why, int code, const char *field, const char *value,
	   const char *text_fmt, ...) __attribute__((format(printf, 5, 6)));

/* The same with the text and the code of a lower layer, whose further lines go below. Returns err->code. */
int refuse_err(struct refusal *why, const char *field, const char *value, const struct err *err);

/* Sets object and name where they are still empty; name may be NULL. */
void refusal_about(struct refusal *why, const char *object, const char *name);

/* The line, into buf; returns buf. */
const char *refusal_line(const struct refusal *why, char *buf, size_t size);
#define REFUSAL_LINE_SIZE 1600

/* {object, name, field, value, allowed, text, below}, empty parts left out. New reference. */
json_t *refusal_json(const struct refusal *why);

#endif
