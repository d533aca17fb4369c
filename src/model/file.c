/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Three levels of mappings, read from libyaml's events by one loop. `marks` has the tree's shape:
 * for a type, name or field it holds {"at": [line, column], "in": {...}}.
 */
#include "model/file.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct file {
	json_t *tree, *marks;
};

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	bool have_event;
	struct file_pos *pos;
	struct refusal *why;
};

static void set_pos(struct reader *r, yaml_mark_t mark)
{
	r->pos->line = mark.line + 1;
	r->pos->column = mark.column + 1;
}

static bool next(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = yaml_parser_parse(&r->parser, &r->event);
	if (r->have_event) {
		set_pos(r, r->event.start_mark);
		return true;
	}
	/* Where a `:` is missing, the word before it is the place to look at, not what comes after. */
	set_pos(r, r->parser.context && strstr(r->parser.context, "simple key")
			   ? r->parser.context_mark
			   : r->parser.problem_mark);
	refuse(r->why, -EINVAL, NULL, NULL, "not YAML: %s%s%s",
	       r->parser.problem ? r->parser.problem : "out of memory",
	       r->parser.context ? " " : "", r->parser.context ? r->parser.context : "");
	return false;
}

static bool next_of(struct reader *r, int n)
{
	while (n-- > 0)
		if (!next(r))
			return false;
	return true;
}

static bool refuse_here(struct reader *r, const char *text)
{
	refuse(r->why, -EINVAL, NULL, NULL, "%s", text);
	return false;
}

/* What comes where something else must be. */
static bool refuse_event(struct reader *r, const char *wanted)
{
	static const char *const found[] = {
		[YAML_ALIAS_EVENT] = "an alias",
		[YAML_SCALAR_EVENT] = "a value",
		[YAML_SEQUENCE_START_EVENT] = "a list",
		[YAML_MAPPING_START_EVENT] = "a mapping",
		[YAML_DOCUMENT_START_EVENT] = "a second document",
	};
	const char *what = r->event.type < sizeof(found) / sizeof(found[0]) && found[r->event.type]
				   ? found[r->event.type]
				   : "nothing";

	refuse(r->why, -EINVAL, NULL, NULL, "here is %s where %s must be", what, wanted);
	return false;
}

static bool is_null(const yaml_event_t *event)
{
	const char *text = (const char *)event->data.scalar.value;

	return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (!*text || !strcmp(text, "~") || !strcmp(text, "null"));
}

static json_t *mark_here(const struct reader *r)
{
	return json_pack("{s:[I, I], s:{}}", "at", (json_int_t)r->pos->line,
			 (json_int_t)r->pos->column, "in");
}

/* The key that the current event is, as a new member of marks; NULL with a refusal. */
static const char *take_key(struct reader *r, json_t *marks, const char *wanted)
{
	const char *key = (const char *)r->event.data.scalar.value;
	json_t *mark;

	if (r->event.type != YAML_SCALAR_EVENT) {
		refuse_event(r, wanted);
		return NULL;
	}
	if (!*key || strlen(key) != r->event.data.scalar.length) {
		refuse_event(r, wanted);
		return NULL;
	}
	mark = json_object_get(marks, key);
	if (mark) {
		refuse(r->why, -EINVAL, NULL, NULL,
		       "'%s' is here twice; the first is in line %" JSON_INTEGER_FORMAT, key,
		       json_integer_value(json_array_get(json_object_get(mark, "at"), 0)));
		return NULL;
	}
	json_object_set_new(marks, key, mark_here(r));
	/* The text goes with the event; the member's key stays. */
	return json_object_iter_key(json_object_iter_at(marks, key));
}

static bool read_value(struct reader *r, json_t *tree, json_t *mark, const char *key)
{
	json_t *value;

	if (!next(r))
		return false;
	if (r->event.type != YAML_SCALAR_EVENT)
		return refuse_event(r, "one value");
	json_object_set_new(mark, "value",
			    json_pack("[I, I]", (json_int_t)r->pos->line,
				      (json_int_t)r->pos->column));
	value = is_null(&r->event) ? json_null()
				   : json_stringn((const char *)r->event.data.scalar.value,
						  r->event.data.scalar.length);
	if (!value)
		return refuse_here(r, "not UTF-8");
	json_object_set_new(tree, key, value);
	return true;
}

static const char *const level_words[] = { "a type of objects", "the name of an object",
					   "the name of a field" };

/* A mapping of level 0 (types), 1 (names) or 2 (fields), or nothing, which is an empty one. */
static bool read_mapping(struct reader *r, json_t *tree, json_t *marks, int level)
{
	static const char *const wanted[] = { "a mapping TYPE: ...", "a mapping NAME: ...",
					      "a mapping FIELD: VALUE" };

	if (r->event.type == YAML_SCALAR_EVENT && is_null(&r->event) && level > 0)
		return true;
	if (r->event.type != YAML_MAPPING_START_EVENT)
		return refuse_event(r, wanted[level]);
	for (;;) {
		const char *key;
		json_t *mark, *below;

		if (!next(r))
			return false;
		if (r->event.type == YAML_MAPPING_END_EVENT)
			return true;
		key = take_key(r, marks, level_words[level]);
		if (!key)
			return false;
		mark = json_object_get(marks, key);
		if (level == 2) {
			if (!read_value(r, tree, mark, key))
				return false;
			continue;
		}
		below = json_object();
		json_object_set_new(tree, key, below);
		if (!next(r) || !read_mapping(r, below, json_object_get(mark, "in"), level + 1))
			return false;
	}
}

static bool read_document(struct reader *r, struct file *file)
{
	if (!next_of(r, 2)) /* stream start, document start */
		return false;
	if (r->event.type != YAML_DOCUMENT_START_EVENT)
		return refuse_here(r, "the file is empty; write {} to remove every object");
	if (!next(r) || !read_mapping(r, file->tree, file->marks, 0) ||
	    !next_of(r, 2)) /* document end, stream end */
		return false;
	return r->event.type == YAML_STREAM_END_EVENT || refuse_event(r, "the end of the file");
}

struct file *file_parse(const char *text, size_t size, struct file_pos *pos, struct refusal *why)
{
	struct reader r = { .pos = pos, .why = why };
	struct file *file;
	bool ok;

	*pos = (struct file_pos){ 1, 1 };
	if (size > FILE_SIZE_MAX) {
		refuse(why, -EFBIG, NULL, NULL, "larger than %d KiB", FILE_SIZE_MAX / 1024);
		return NULL;
	}
	file = calloc(1, sizeof(*file));
	assert(file);
	file->tree = json_object();
	file->marks = json_object();
	ok = yaml_parser_initialize(&r.parser);
	assert(ok);
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)text, size);
	ok = read_document(&r, file);
	if (r.have_event)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	if (ok)
		return file;
	file_free(file);
	return NULL;
}

void file_free(struct file *file)
{
	if (!file)
		return;
	json_decref(file->tree);
	json_decref(file->marks);
	free(file);
}

json_t *file_tree(const struct file *file)
{
	return file->tree;
}

struct file_pos file_locate(const struct file *file, const char *object, const char *name,
			    const char *field)
{
	const char *const path[] = { object, name, field };
	struct file_pos pos = { 1, 1 };
	json_t *marks = file->marks;

	for (int i = 0; i < 3; i++) {
		json_t *mark = path[i] ? json_object_get(marks, path[i]) : NULL, *at;

		if (!mark)
			break;
		at = json_object_get(mark, "value");
		if (!at)
			at = json_object_get(mark, "at");
		pos.line = (size_t)json_integer_value(json_array_get(at, 0));
		pos.column = (size_t)json_integer_value(json_array_get(at, 1));
		marks = json_object_get(mark, "in");
	}
	return pos;
}
