/* SPDX-License-Identifier: BSD-3-Clause */
/* What people see. Colours only where cli->color says so; JSON goes out as it came. */
#include "cli.h"

#include "model/text.h"
#include "model/value.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RED    "31"
#define GREEN  "32"
#define YELLOW "33"
#define BOLD   "1"

static void color_on(const struct cli *cli, const char *code)
{
	if (cli->color && code)
		printf("\033[%sm", code);
}

static void color_off(const struct cli *cli, const char *code)
{
	if (cli->color && code)
		emit(stdout, "\033[0m");
}

int print_refusal(const struct cli *cli, const struct refusal *why, int code)
{
	char line[REFUSAL_LINE_SIZE];

	refusal_line(why, line, sizeof(line));
	if (cli->json) {
		json_t *error = json_pack("{s:{s:s, s:o}}", "error", "message", line, "data",
					  refusal_json(why));

		json_dumpf(error, stderr, JSON_INDENT(2));
		emit(stderr, "\n");
		json_decref(error);
	} else {
		emit(stderr, "softiov: %s\n", line);
		if (why->below[0])
			emit(stderr, "%s\n", why->below);
	}
	return code;
}

void print_json(const json_t *value, size_t flags)
{
	json_dumpf(value, stdout, flags | JSON_ENCODE_ANY);
	putchar('\n');
}

/* --- cells --- */

static const char *word_color(const struct field *field, const char *text)
{
	static const struct {
		const char *word, *color;
	} colors[] = { { "up", GREEN },    { "active", GREEN },  { "vf", GREEN },
		       { "down", RED },    { "none", RED },      { "removed", YELLOW },
		       { "warning", RED }, { "refused", YELLOW } };

	if (!strcmp(field->name, "problem"))
		return RED;
	if (field->type != TYPE_ENUM || !(field->flags & FIELD_STATUS))
		return NULL;
	for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++)
		if (!strcmp(colors[i].word, text))
			return colors[i].color;
	return NULL;
}

static bool is_number(const struct field *field)
{
	return field->type == TYPE_UINT || field->type == TYPE_REAL || field->type == TYPE_RATE ||
	       field->type == TYPE_VLAN || field->type == TYPE_SIZE || field->type == TYPE_DURATION;
}

/* malloc'd; a daemon of another version may send what this one does not know. */
static char *cell(const struct field *field, const json_t *value)
{
	char *text = value ? value_format(field, value) : strdup("-");

	assert(text);
	if (!*text) {
		free(text);
		text = strdup("-");
		assert(text);
	}
	return text;
}

/* Characters on the screen, not bytes. */
static int width_of(const char *text)
{
	int n = 0;

	for (; *text; text++)
		n += (*text & 0xc0) != 0x80;
	return n;
}

static void print_padded(const char *text, int width, bool right)
{
	int pad = width - width_of(text);

	if (right)
		printf("%*s", pad > 0 ? pad : 0, "");
	emit_text(stdout, text);
	if (!right)
		printf("%*s", pad > 0 ? pad : 0, "");
}

/* --- tables --- */

#define MAX_COLUMNS 32

struct table {
	const struct field *columns[MAX_COLUMNS];
	int widths[MAX_COLUMNS];
	int n_columns;
};

static char *upper(const char *text)
{
	char *copy = strdup(text);

	assert(copy);
	for (char *s = copy; *s; s++)
		if (*s >= 'a' && *s <= 'z')
			*s = (char)(*s - 'a' + 'A');
	return copy;
}

/* A column that no object fills is left out. */
static bool column_used(const struct cli *cli, const struct field *field, const json_t *objects)
{
	size_t i;
	json_t *obj;

	if (!(field->flags & FIELD_COLUMN) || (field->flags & FIELD_COUNTER && !cli->statistics))
		return false;
	json_array_foreach(objects, i, obj) {
		if (json_object_get(obj, field->name))
			return true;
	}
	return false;
}

static void measure(const struct cli *cli, const struct object_type *type, const json_t *objects,
		    struct table *table)
{
	table->n_columns = 0;
	foreach_field(field, type->fields) {
		int width = width_of(field->name);
		size_t i;
		json_t *obj;

		if (!column_used(cli, field, objects) || table->n_columns == MAX_COLUMNS)
			continue;
		json_array_foreach(objects, i, obj) {
			char *text = cell(field, json_object_get(obj, field->name));

			if (width_of(text) > width)
				width = width_of(text);
			free(text);
		}
		table->columns[table->n_columns] = field;
		table->widths[table->n_columns++] = width;
	}
}

static void print_row(const struct cli *cli, const struct table *table, const json_t *obj)
{
	for (int c = 0; c < table->n_columns; c++) {
		const struct field *field = table->columns[c];
		char *text = obj ? cell(field, json_object_get(obj, field->name))
				 : upper(field->name);
		const char *color = obj ? word_color(field, text) : BOLD;
		bool last = c + 1 == table->n_columns && !is_number(field);

		color_on(cli, color);
		print_padded(text, last ? 0 : table->widths[c], is_number(field));
		color_off(cli, color);
		emit_text(stdout, c + 1 == table->n_columns ? "\n" : "  ");
		free(text);
	}
}

static void print_table(const struct cli *cli, const struct object_type *type,
			const json_t *objects)
{
	struct table table;
	size_t i;
	json_t *obj;

	if (!json_array_size(objects)) {
		printf("no %s\n", type->plural);
		return;
	}
	measure(cli, type, objects, &table);
	print_row(cli, &table, NULL);
	json_array_foreach(objects, i, obj) {
		print_row(cli, &table, obj);
	}
}

/* --- blocks --- */

/* Words stand on one line, sentences each on its own. */
static bool is_words(const json_t *list)
{
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		if (strchr(json_string_value(item), ' '))
			return false;
	}
	return true;
}

static void print_list(const json_t *list, int indent)
{
	bool words = is_words(list);
	size_t i;
	json_t *item;

	json_array_foreach(list, i, item) {
		if (i && !words)
			printf("\n%*s", indent, "");
		printf("%s%s", i && words ? " " : "", json_string_value(item));
	}
	putchar('\n');
}

/* A line for each item. */
static void print_map(const json_t *map, int indent)
{
	const char *key;
	int n = 0;
	json_t *item;

	json_object_foreach((json_t *)map, key, item) {
		printf("%*s%s %" JSON_INTEGER_FORMAT "\n", n++ ? indent : 0, "", key,
		       json_integer_value(item));
	}
}

static bool is_shown(const struct cli *cli, const struct field *field, const json_t *value)
{
	if (!value || (field->flags & FIELD_COUNTER && !cli->statistics))
		return false;
	return (field->type != TYPE_LIST || json_array_size(value)) &&
	       (field->type != TYPE_MAP || json_object_size(value));
}

static void print_value(const struct cli *cli, const struct field *field, const json_t *value)
{
	char *text = cell(field, value);
	const char *color = word_color(field, text);

	color_on(cli, color);
	emit_text(stdout, text);
	color_off(cli, color);
	/* Formats of the other types carry their unit. */
	if (field->unit && (field->type == TYPE_UINT || field->type == TYPE_REAL))
		printf(" %s", field->unit);
	putchar('\n');
	free(text);
}

static void print_block(const struct cli *cli, const struct object_type *type, const json_t *obj)
{
	const char *name = json_string_value(json_object_get(obj, type->fields->name));
	int width = 0;

	foreach_field(field, type->fields)
		if (is_shown(cli, field, json_object_get(obj, field->name)) &&
		    width_of(field->name) > width)
			width = width_of(field->name);
	color_on(cli, BOLD);
	printf("%s", name ? name : type->name);
	color_off(cli, BOLD);
	putchar('\n');
	foreach_field(field, type->fields + 1) {
		const json_t *value = json_object_get(obj, field->name);

		if (!is_shown(cli, field, value))
			continue;
		printf("  ");
		print_padded(field->name, width + 2, false);
		if (field->type == TYPE_LIST)
			print_list(value, width + 4);
		else if (field->type == TYPE_MAP)
			print_map(value, width + 4);
		else
			print_value(cli, field, value);
	}
}

void print_objects(const struct cli *cli, const struct object_type *type, const json_t *objects,
		   bool single)
{
	size_t i;
	json_t *obj;

	if (cli->json) {
		print_json(objects, JSON_INDENT(2));
		return;
	}
	if (!single) {
		print_table(cli, type, objects);
		return;
	}
	json_array_foreach(objects, i, obj) {
		print_block(cli, type, obj);
	}
}

/* --- events, checks, changes --- */

void print_event(const struct cli *cli, const struct object_type *type, const json_t *event)
{
	if (cli->json) {
		print_json(event, JSON_COMPACT);
		return;
	}
	foreach_field(field, type->fields) {
		const json_t *value = json_object_get(event, field->name);
		char *text;

		if (field == type->fields || !value)
			continue;
		text = cell(field, value);
		color_on(cli, word_color(field, text));
		emit_text(stdout, text);
		color_off(cli, word_color(field, text));
		free(text);
		putchar(' ');
	}
	putchar('\n');
}

bool print_checks(const struct cli *cli, const json_t *checks)
{
	bool failed = false;
	size_t i;
	json_t *check;

	if (cli->json)
		print_json(checks, JSON_INDENT(2));
	json_array_foreach(checks, i, check) {
		const char *result = json_string_value(json_object_get(check, "result"));
		const char *fix = json_string_value(json_object_get(check, "fix"));
		const char *name = json_string_value(json_object_get(check, "check"));
		const char *text = json_string_value(json_object_get(check, "text"));
		const char *color;

		if (!result || !name || !text)
			continue;
		failed |= !strcmp(result, "fail");
		if (cli->json)
			continue;
		color = !strcmp(result, "ok") ? GREEN : !strcmp(result, "fail") ? RED : YELLOW;
		color_on(cli, color);
		printf("%-4s", result);
		color_off(cli, color);
		printf("  %s: %s\n", name, text);
		if (fix)
			printf("      -> %s\n", fix);
	}
	return !failed;
}

static void print_changed_field(const struct field *field, char mark, const json_t *change)
{
	json_t *from = json_object_get(change, "old"), *to = json_object_get(change, "new");
	char *old_text = cell(field, from), *new_text = cell(field, to);

	if (from && to)
		printf("%c   %s %s -> %s", mark, field->name, old_text, new_text);
	else
		printf("%c   %s %s", mark, field->name, to ? new_text : old_text);
	free(old_text);
	free(new_text);
}

static void print_change(const struct cli *cli, const json_t *change)
{
	const char *op = json_string_value(json_object_get(change, "op"));
	const char *object = json_string_value(json_object_get(change, "object"));
	const char *name = json_string_value(json_object_get(change, "name"));
	const struct object_type *type = object ? schema_type(cli->schema, object) : NULL;
	char mark = !op ? '?' : !strcmp(op, "add") ? '+' : !strcmp(op, "del") ? '-' : '~';
	const char *color = mark == '+' ? GREEN : mark == '-' ? RED : YELLOW;
	const char *key;
	json_t *field_change;

	color_on(cli, color);
	printf("%c %s %s%s", mark, object, name,
	       op && !strcmp(op, "replace") ? " (removed and added again)" : "");
	color_off(cli, color);
	putchar('\n');
	json_object_foreach(json_object_get(change, "fields"), key, field_change) {
		const struct field *field = type ? type_field(type, key) : NULL;

		if (!field)
			continue;
		color_on(cli, color);
		print_changed_field(field, mark, field_change);
		color_off(cli, color);
		putchar('\n');
	}
}

void print_changes(const struct cli *cli, const json_t *changes)
{
	size_t i;
	json_t *change;

	if (cli->json) {
		print_json(changes, JSON_INDENT(2));
		return;
	}
	if (!json_array_size(changes))
		puts("no difference");
	json_array_foreach(changes, i, change) {
		print_change(cli, change);
	}
}
