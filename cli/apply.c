/* SPDX-License-Identifier: BSD-3-Clause */
/* `softiov apply FILE` and `softiov export`. */
#include "cli.h"

#include "model/file.h"
#include "model/text.h"
#include "model/value.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* --- apply --- */

/* A whole file, or one byte more than is allowed. malloc'd; NULL with `why`. */
static char *read_all(const char *path, size_t *size, struct refusal *why)
{
	FILE *in = strcmp(path, "-") != 0 ? fopen(path, "r") : stdin;
	char *text = malloc(FILE_SIZE_MAX + 1);

	assert(text);
	if (in)
		*size = fread(text, 1, FILE_SIZE_MAX + 1, in);
	if (!in || ferror(in)) {
		refusal_about(why, "file", path);
		refuse(why, -errno, NULL, NULL, "%s", strerror(errno));
		free(text);
		text = NULL;
	}
	if (in && in != stdin)
		(void)fclose(in);
	return text;
}

static int print_located(const struct cli *cli, const char *path, struct file_pos pos,
			 const struct refusal *why)
{
	char line[REFUSAL_LINE_SIZE];

	if (!cli->json) {
		emit(stderr, "%s:%zu:%zu: %s\n", strcmp(path, "-") != 0 ? path : "stdin", pos.line,
		     pos.column, refusal_line(why, line, sizeof(line)));
	} else {
		json_t *error = json_pack("{s:{s:s, s:o, s:s, s:I, s:I}}", "error", "message",
					  refusal_line(why, line, sizeof(line)), "data",
					  refusal_json(why), "file", path, "line",
					  (json_int_t)pos.line, "column", (json_int_t)pos.column);

		json_dumpf(error, stderr, JSON_INDENT(2));
		emit(stderr, "\n");
		json_decref(error);
	}
	return EXIT_REFUSED;
}

/* The changes, new reference; NULL: printed. */
static json_t *call_apply(const struct cli *cli, struct client *client, const char *path,
			  const struct file *file, bool dry_run)
{
	struct refusal why = REFUSAL_INIT;
	json_t *params = json_pack("{s:O, s:b}", "objects", file_tree(file), "dry-run", dry_run);
	json_t *error, *result = client_call(client, "config.apply", params, &error, &why),
		       *changes;

	if (result) {
		changes = json_incref(json_object_get(result, "changes"));
		json_decref(result);
		return changes;
	}
	if (error && why.object[0])
		print_located(cli, path, file_locate(file, why.object, why.name, why.field), &why);
	else
		print_refusal(cli, &why, EXIT_REFUSED);
	json_decref(error);
	return NULL;
}

static int apply_file(const struct cli *cli, const char *path, const struct file *file)
{
	struct refusal why = REFUSAL_INIT;
	struct client *client = client_open(cli, &why);
	json_t *changes;
	bool any;

	if (!client)
		return print_refusal(cli, &why, EXIT_REFUSED);
	changes = call_apply(cli, client, path, file, true);
	if (changes) {
		any = json_array_size(changes) > 0;
		print_changes(cli, changes);
		(void)fflush(stdout); /* main() checks it */
		json_decref(changes);
		if (any && !cli->dry_run) {
			changes = call_apply(cli, client, path, file, false);
			json_decref(changes);
		}
	}
	client_close(client);
	return changes ? EXIT_OK : EXIT_REFUSED;
}

int command_apply(const struct cli *cli)
{
	struct refusal why = REFUSAL_INIT;
	struct file_pos pos;
	struct file *file;
	size_t size;
	char *text;
	int code;

	if (cli->n_args != 2) {
		refuse(&why, -EINVAL, NULL, NULL,
		       "`apply` needs one file: softiov apply FILE, or - for standard input");
		return print_refusal(cli, &why, EXIT_USAGE);
	}
	text = read_all(cli->args[1], &size, &why);
	if (!text)
		return print_refusal(cli, &why, EXIT_REFUSED);
	file = file_parse(text, size, &pos, &why);
	free(text);
	if (!file)
		return print_located(cli, cli->args[1], pos, &why);
	code = apply_file(cli, cli->args[1], file);
	file_free(file);
	return code;
}

/* --- export --- */

static void emit_scalar(yaml_emitter_t *emitter, const char *text, bool quoted)
{
	yaml_event_t event;
	bool ok = yaml_scalar_event_initialize(
		&event, NULL, NULL, (const yaml_char_t *)text, (int)strlen(text), 1, 1,
		quoted ? YAML_DOUBLE_QUOTED_SCALAR_STYLE : YAML_ANY_SCALAR_STYLE);

	ok = ok && yaml_emitter_emit(emitter, &event);
	assert(ok);
	(void)ok;
}

static void emit_mapping(yaml_emitter_t *emitter, bool start)
{
	yaml_event_t event;
	bool ok = start ? yaml_mapping_start_event_initialize(&event, NULL, NULL, 1,
							      YAML_BLOCK_MAPPING_STYLE)
			: yaml_mapping_end_event_initialize(&event);

	ok = ok && yaml_emitter_emit(emitter, &event);
	assert(ok);
	(void)ok;
}

static void emit_fields(yaml_emitter_t *emitter, const struct object_type *type, json_t *fields)
{
	const char *key;
	json_t *value;

	emit_mapping(emitter, true);
	json_object_foreach(fields, key, value) {
		const struct field *field = type_field(type, key);
		char *text = field ? value_format(field, value) : NULL;

		if (!text)
			continue;
		emit_scalar(emitter, key, false);
		/* Plain, these would be read as nothing. */
		emit_scalar(emitter, text, !*text || !strcmp(text, "~") || !strcmp(text, "null"));
		free(text);
	}
	emit_mapping(emitter, false);
}

static void emit_tree(yaml_emitter_t *emitter, const struct schema *schema, json_t *tree)
{
	const char *key, *name;
	json_t *objects, *fields;

	emit_mapping(emitter, true);
	json_object_foreach(tree, key, objects) {
		const struct object_type *type = schema_type(schema, key);

		if (!type)
			continue;
		emit_scalar(emitter, key, false);
		emit_mapping(emitter, true);
		json_object_foreach(objects, name, fields) {
			emit_scalar(emitter, name, false);
			emit_fields(emitter, type, fields);
		}
		emit_mapping(emitter, false);
	}
	emit_mapping(emitter, false);
}

static void print_yaml(const struct schema *schema, json_t *tree)
{
	yaml_emitter_t emitter;
	yaml_event_t event;

	yaml_emitter_initialize(&emitter);
	yaml_emitter_set_output_file(&emitter, stdout);
	yaml_emitter_set_unicode(&emitter, 1);
	yaml_emitter_set_width(&emitter, -1);
	yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING);
	yaml_emitter_emit(&emitter, &event);
	yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1);
	yaml_emitter_emit(&emitter, &event);
	emit_tree(&emitter, schema, tree);
	yaml_document_end_event_initialize(&event, 1);
	yaml_emitter_emit(&emitter, &event);
	yaml_stream_end_event_initialize(&event);
	yaml_emitter_emit(&emitter, &event);
	yaml_emitter_delete(&emitter);
}

int command_export(const struct cli *cli)
{
	struct refusal why = REFUSAL_INIT;
	struct client *client;
	json_t *result;

	if (cli->n_args != 1) {
		refuse(&why, -EINVAL, cli->args[1], NULL, "`export` takes nothing more");
		return print_refusal(cli, &why, EXIT_USAGE);
	}
	client = client_open(cli, &why);
	result = client ? client_call(client, "config.export", NULL, NULL, &why) : NULL;
	client_close(client);
	if (!result)
		return print_refusal(cli, &why, EXIT_REFUSED);
	if (cli->json)
		print_json(json_object_get(result, "objects"), JSON_INDENT(2));
	else
		print_yaml(cli->schema, json_object_get(result, "objects"));
	json_decref(result);
	return EXIT_OK;
}
