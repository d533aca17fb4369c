/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/manual.h"

#include "model/refusal.h"
#include "model/text.h"
#include "model/value.h"
#include "softiov/api.h"

#include <string.h>

static const char intro[] =
	"# Reference of objects, fields and verbs\n"
	"\n"
	"<!-- Made by `softiov help --markdown` from src/model/schema.c; a test compares the two. -->\n"
	"\n"
	"The command line is `softiov OBJECT VERB [NAME] [FIELD VALUE]...`. The API's method is\n"
	"`OBJECT.VERB` with the same fields as JSON (JSON-RPC 2.0, one object a line, on the daemon's\n"
	"socket). A YAML file for `softiov apply` holds the same names and fields:\n"
	"\n"
	"```yaml\n"
	"switch:\n"
	"  lan:\n"
	"    vfs: 64\n"
	"vport:\n"
	"  web1: { switch: lan, vlan: 10 }\n"
	"```\n"
	"\n"
	"The word `default` on the command line, or null in JSON and YAML, sets a field to its default.\n"
	"A field changes while the VM and the switch run, unless it says *fixed*: that is set when the\n"
	"object is added.\n";

static const char errors[] =
	"\n## Errors of the API\n"
	"\n"
	"`error.message` is one line for people. `error.data` holds what is known of `object`, `name`,\n"
	"`field`, `value`, `allowed` and `text`.\n"
	"\n"
	"| code | meaning |\n"
	"| --- | --- |\n";

static void print_types(FILE *out)
{
	emit(out, "\n## Types of values\n\n| type | how it is written |\n| --- | --- |\n");
	for (int t = 0; t < N_FIELD_TYPES; t++)
		emit(out, "| %s | %s |\n", value_type_name((enum field_type)t),
		     value_type_help((enum field_type)t));
}

static void print_field(const struct field *field, bool is_key, FILE *out)
{
	char allowed[512];

	emit(out, "| `%s` | %s", field->name, value_type_name(field->type));
	if (field->ref)
		emit(out, " to %s", field->ref);
	if (field->flags & FIELD_STATUS && field->unit)
		emit(out, ", %s", field->unit);
	emit(out, " | ");
	if (is_key)
		emit(out, "the key");
	else if (field->flags & FIELD_REQUIRED)
		emit(out, "required");
	else if (field->flags & FIELD_GENERATED)
		emit(out, "generated");
	else if (field->def)
		emit(out, "`%s`", *field->def ? field->def : "\"\"");
	emit(out, " | ");
	if (!is_key && field->type != TYPE_JSON)
		emit_text(out, value_allowed(field, allowed, sizeof(allowed)));
	emit(out, " | %s%s%s |\n", field->help, field->flags & FIELD_CREATE ? "; *fixed*" : "",
	     field->unique ? "; unique" : "");
}

static void print_fields(const struct object_type *type, FILE *out)
{
	bool any = false;

	foreach_field(field, type->fields) {
		if (field != type->fields && !field_settable(type, field))
			continue;
		if (!any)
			emit(out,
			     "\n| field | type | default | allowed | |\n| --- | --- | --- | --- | --- |\n");
		any = true;
		print_field(field, field == type->fields, out);
	}
	any = false;
	foreach_field(field, type->fields) {
		if (field == type->fields || field_settable(type, field))
			continue;
		if (!any)
			emit(out,
			     "\nMade by the daemon, read-only:\n\n| field | type | values | |\n"
			     "| --- | --- | --- | --- |\n");
		any = true;
		emit(out, "| `%s` | %s%s%s | ", field->name, value_type_name(field->type),
		     field->unit ? ", " : "", field->unit ? field->unit : "");
		if (field->words) {
			char words[256];

			emit_text(out, value_allowed(field, words, sizeof(words)));
		}
		emit(out, " | %s%s |\n", field->help,
		     field->flags & FIELD_COUNTER ? " (with `-s`)" : "");
	}
}

static void print_verb(const struct object_type *type, const struct verb *verb, FILE *out)
{
	static const char *const names[] = { "", " [NAME]", " NAME" };
	static const char *const fields[] = { "", " [FIELD VALUE]...", " FIELD VALUE..." };

	if (type->flags & OBJECT_API_ONLY)
		emit(out, "\n- API `%s.%s`: %s\n", type->name, verb_method(verb), verb->help);
	else
		emit(out, "\n- `softiov %s %s%s%s%s`: %s (API `%s.%s`)\n", type->name, verb->name,
		     names[verb->name_rule], fields[verb->takes],
		     verb->params ? " [PARAMETER VALUE]..." : "", verb->help, type->name,
		     verb_method(verb));
	if (!verb->params)
		return;
	emit(out,
	     "\n  | parameter | type | default | allowed | |\n  | --- | --- | --- | --- | --- |\n");
	foreach_field(param, verb->params) {
		emit(out, "  ");
		print_field(param, false, out);
	}
}

static void print_type(const struct object_type *type, FILE *out)
{
	emit(out, "\n## %s\n\n%s\n", type->name, type->text);
	print_fields(type, out);
	foreach_verb(verb, type)
		print_verb(type, verb, out);
}

void manual_markdown(const struct schema *schema, FILE *out)
{
	static const struct {
		int code;
		const char *text;
	} codes[] = {
		{ SOFTIOV_E_PARSE, "the line is not JSON" },
		{ SOFTIOV_E_REQUEST, "not a JSON-RPC 2.0 request" },
		{ SOFTIOV_E_METHOD, "no such method" },
		{ SOFTIOV_E_PARAMS, "a parameter, field or value is not allowed" },
		{ SOFTIOV_E_INTERNAL, "the daemon failed: its disk, its memory" },
		{ SOFTIOV_E_REFUSED,
		  "allowed, but not now: exists already, in use, no such object" },
	};

	emit_text(out, intro);
	foreach_type(type, schema)
		print_type(type, out);
	print_types(out);
	emit_text(out, errors);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		emit(out, "| %d | %s |\n", codes[i].code, codes[i].text);
}

/* --- schema.show --- */

static json_t *field_json(const struct object_type *type, const struct field *field)
{
	json_t *out = json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "type",
				value_type_name(field->type), "help", field->help, "unit",
				field->unit, "ref", field->ref, "unique", field->unique);
	static const struct {
		unsigned int flag;
		const char *key;
	} flags[] = {
		{ FIELD_REQUIRED, "required" },   { FIELD_CREATE, "fixed" },
		{ FIELD_GENERATED, "generated" }, { FIELD_STATUS, "status" },
		{ FIELD_COUNTER, "counter" },
	};
	json_t *def = value_default(field);

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (field->flags & flags[i].flag)
			json_object_set_new(out, flags[i].key, json_true());
	if (type && field == type->fields)
		json_object_set_new(out, "key", json_true());
	if (def)
		json_object_set_new(out, "default", def);
	if (field->max && field->type != TYPE_STRING) {
		json_object_set_new(out, "min", json_integer((json_int_t)field->min));
		json_object_set_new(out, "max", json_integer((json_int_t)field->max));
	}
	if (field->words) {
		json_t *words = json_array();

		for (const char *const *word = field->words; *word; word++)
			json_array_append_new(words, json_string(*word));
		json_object_set_new(out, "words", words);
	}
	return out;
}

static json_t *verb_json(const struct verb *verb)
{
	static const char *const names[] = { "none", "optional", "required" };
	static const char *const takes[] = { "params", "add", "set" };
	static const char *const gives[] = { "nothing", "objects", "checks", "text",
					     "stream",  "json",    "bytes" };
	json_t *out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "help", verb->help, "method",
				verb_method(verb), "name", names[verb->name_rule], "takes",
				takes[verb->takes], "gives", gives[verb->gives]);

	if (verb->params) {
		json_t *params = json_object();

		foreach_field(param, verb->params)
			json_object_set_new(params, param->name, field_json(NULL, param));
		json_object_set_new(out, "params", params);
	}
	return out;
}

json_t *manual_json(const struct schema *schema)
{
	json_t *objects = json_object();

	foreach_type(type, schema) {
		json_t *fields = json_object(), *verbs = json_object();

		foreach_field(field, type->fields)
			json_object_set_new(fields, field->name, field_json(type, field));
		foreach_verb(verb, type)
			json_object_set_new(verbs, verb->name, verb_json(verb));
		json_object_set_new(objects, type->name,
				    json_pack("{s:s, s:s*, s:o, s:o}", "help", type->help, "owner",
					      type->owner, "fields", fields, "verbs", verbs));
	}
	return json_pack("{s:s, s:o}", "version", SOFTIOV_VERSION, "objects", objects);
}
