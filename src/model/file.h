/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration written as YAML:
 *
 *   switch:
 *     lan:
 *       vfs: 64
 *   vport:
 *     web1: { switch: lan, vlan: 10 }
 *
 * Only its shape is checked here. Types, names, fields and values are judged where the
 * configuration is made (config.h); file_locate() finds the line of what was refused there.
 */
#ifndef MODEL_FILE_H
#define MODEL_FILE_H

#include "model/refusal.h"

#include <jansson.h>
#include <stddef.h>

/* Larger files are refused; it also has to fit in one line of the API. */
#define FILE_SIZE_MAX (4 << 20)

struct file_pos {
	size_t line, column; /* from 1 */
};

struct file;

/* NULL: refused, and *pos says where. */
struct file *file_parse(const char *text, size_t size, struct file_pos *pos, struct refusal *why);
void file_free(struct file *file);

/* {type: {name: {field: text or null}}}, borrowed. */
json_t *file_tree(const struct file *file);

/* The place of what a refusal is about: its value, its field, its object, or the first line. */
struct file_pos file_locate(const struct file *file, const char *object, const char *name,
			    const char *field);

#endif
