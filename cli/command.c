/* SPDX-License-Identifier: BSD-3-Clause */
/* `softiov OBJECT VERB [NAME] [FIELD VALUE]...` */
#include "cli.h"

#include "model/text.h"
#include "model/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct command {
	const struct object_type *type;
	const struct verb *verb;
	const char *name; /* NULL: none */
	json_t *params;
};

static const struct verb *find_verb(const struct object_type *type, const char *text,
				    struct refusal *why)
{
	struct words words = { .n = 0 };
	const char *word;

	words_verbs(&words, type, false);
	words_add(&words, "help");
	word = word_find(&words, text, "verb", why);
	return word ? type_verb(type, word) : NULL;
}

/* The field or parameter that a word stands for. */
static const struct field *find_param(const struct command *cmd, const char *text,
				      struct refusal *why)
{
	struct words words = { .n = 0 };
	const char *word;

	if (cmd->verb->takes == TAKES_PARAMS) {
		words_params(&words, cmd->type, cmd->verb);
		word = word_find(&words, text, "parameter", why);
		return word ? verb_param(cmd->verb, word) : NULL;
	}
	/* Exact names of fields that cannot be set go to the daemon, which says why not. */
	if (type_field(cmd->type, text))
		return type_field(cmd->type, text);
	foreach_field(field, cmd->type->fields)
		if (field_settable(cmd->type, field))
			words_add(&words, field->name);
	word = word_find(&words, text, "field", why);
	return word ? type_field(cmd->type, word) : NULL;
}

static bool has_word(const struct field *field, const char *text)
{
	for (const char *const *word = field->words; word && *word; word++)
		if (!strcmp(*word, text))
			return true;
	return false;
}

/* The parameter whose value comes next, without its name; NULL: none. */
static const struct field *find_nameless(const struct command *cmd)
{
	foreach_field(param, cmd->verb->params)
		if (param->flags & FIELD_ALONE && param->type != TYPE_BOOL &&
		    !json_object_get(cmd->params, param->name))
			return param;
	return NULL;
}

/* FIELD VALUE pairs, and what stands alone. Returns an exit code. */
static int parse_pairs(const struct cli *cli, struct command *cmd, int at, struct refusal *why)
{
	for (; at < cli->n_args; at += 2) {
		const struct field *nameless = find_nameless(cmd);
		const struct field *field = nameless ? nameless
						     : find_param(cmd, cli->args[at], why);
		const char *text = at + 1 < cli->n_args ? cli->args[at + 1] : NULL;
		json_t *value;

		if (field && field->flags & FIELD_ALONE) {
			text = nameless ? cli->args[at] : "on";
			at--;
		}
		if (!field)
			return EXIT_USAGE;
		if (!text) {
			char allowed[sizeof(why->allowed)];

			refuse(why, -EINVAL, field->name, NULL, "a value must follow");
			text_put(why->allowed, sizeof(why->allowed), "%s",
				 value_allowed(field, allowed, sizeof(allowed)));
			return EXIT_USAGE;
		}
		if (json_object_get(cmd->params, field->name)) {
			refuse(why, -EINVAL, field->name, NULL, "is given twice");
			return EXIT_USAGE;
		}
		if (!strcmp(text, "default") && !has_word(field, text))
			value = json_null();
		else if (field->flags & FIELD_STATUS)
			value = json_string(text);
		else
			value = value_parse(field, text, why);
		if (!value)
			return EXIT_REFUSED;
		json_object_set_new(cmd->params, field->name, value);
	}
	return EXIT_OK;
}

static int parse_command(const struct cli *cli, struct command *cmd, struct refusal *why)
{
	int at = 2;

	cmd->params = json_object();
	if (cmd->verb->name_rule != NAME_NONE && at < cli->n_args)
		cmd->name = cli->args[at++];
	refusal_about(why, cmd->type->name, cmd->name);
	if (cmd->verb->name_rule == NAME_REQUIRED && !cmd->name) {
		refuse(why, -EINVAL, NULL, NULL, "`%s` needs a name: softiov %s %s NAME ...",
		       cmd->verb->name, cmd->type->name, cmd->verb->name);
		return EXIT_USAGE;
	}
	if (at < cli->n_args && cmd->verb->takes == TAKES_PARAMS && !cmd->verb->params) {
		refuse(why, -EINVAL, cli->args[at], NULL, "`%s` takes nothing more",
		       cmd->verb->name);
		return EXIT_USAGE;
	}
	if (cmd->name)
		json_object_set_new(cmd->params, "name", json_string(cmd->name));
	if (cmd->name && !json_object_get(cmd->params, "name")) {
		refuse(why, -EINVAL, "name", cmd->name, "not UTF-8");
		return EXIT_USAGE;
	}
	return parse_pairs(cli, cmd, at, why);
}

static int print_result(const struct cli *cli, const struct command *cmd, const json_t *result)
{
	switch (cmd->verb->gives) {
	case GIVES_OBJECTS:
		print_objects(cli, cmd->type, result,
			      cmd->name || cmd->type->flags & OBJECT_SINGLETON);
		break;
	case GIVES_CHECKS:
		return print_checks(cli, result) ? EXIT_OK : EXIT_REFUSED;
	case GIVES_TEXT:
		if (cli->json)
			print_json(result, 0);
		else
			emit_text(stdout, json_string_value(result));
		break;
	case GIVES_NOTHING:
		break;
	default:
		print_json(result, JSON_INDENT(2));
	}
	return EXIT_OK;
}

static int watch_stream(const struct cli *cli, const struct command *cmd, struct client *client)
{
	json_t *note;

	for (;;) {
		note = client_next(client);
		if (!note && (errno == EAGAIN || errno == EWOULDBLOCK))
			continue; /* nothing has happened for a while */
		if (!note)
			break;
		print_event(cli, cmd->type, json_object_get(note, "params"));
		(void)fflush(stdout);
		json_decref(note);
	}
	emit(stderr, "softiov: softiovd closed the connection\n");
	return EXIT_REFUSED;
}

static void pause_for(double seconds)
{
	struct timespec t = { .tv_sec = (time_t)seconds };

	t.tv_nsec = (long)((seconds - (double)t.tv_sec) * 1e9);
	nanosleep(&t, NULL);
}

static int run_command(const struct cli *cli, const struct command *cmd, struct client *client)
{
	char method[80];
	int code;

	text_put(method, sizeof(method), "%s.%s", cmd->type->name, verb_method(cmd->verb));
	for (;;) {
		struct refusal why = REFUSAL_INIT;
		json_t *result = client_call(client, method, json_incref(cmd->params), NULL, &why);

		if (!result)
			return print_refusal(cli, &why, EXIT_REFUSED);
		if (cmd->verb->gives == GIVES_STREAM) {
			json_decref(result);
			return watch_stream(cli, cmd, client);
		}
		if (cli->watch > 0 && cli->color) /* a terminal: start at the top again */
			emit(stdout, "\033[H\033[2J");
		code = print_result(cli, cmd, result);
		json_decref(result);
		if (cli->watch <= 0)
			return code;
		(void)fflush(stdout);
		pause_for(cli->watch);
		if (!cli->color && !cli->json)
			putchar('\n');
	}
}

static int help_command(const struct cli *cli, const struct object_type *type, const char *verb)
{
	struct refusal why = REFUSAL_INIT;
	const struct verb *about;

	if (!verb) {
		help_object(type, stdout);
		return EXIT_OK;
	}
	refusal_about(&why, type->name, NULL);
	about = find_verb(type, verb, &why);
	if (why.code)
		return print_refusal(cli, &why, EXIT_USAGE);
	if (about)
		help_verb(type, about, stdout);
	else
		help_object(type, stdout);
	return EXIT_OK;
}

static int parse_and_run(const struct cli *cli, struct command *cmd)
{
	struct refusal why = REFUSAL_INIT, lost = REFUSAL_INIT;
	struct client *client = NULL;
	int code = parse_command(cli, cmd, &why);

	if (!code && cmd->verb->gives == GIVES_BYTES && !cli->write) {
		refuse(&why, -EINVAL, NULL, NULL, "where to? -w FILE, or -w - for standard output");
		code = EXIT_USAGE;
	}
	if (code) {
		print_refusal(cli, &why, code);
	} else if (cmd->verb->gives == GIVES_BYTES) {
		code = capture_run(cli, cmd->params);
	} else {
		client = client_open(cli, &lost);
		code = client ? run_command(cli, cmd, client)
			      : print_refusal(cli, &lost, EXIT_REFUSED);
	}
	client_close(client);
	json_decref(cmd->params);
	return code;
}

int command_object(const struct cli *cli)
{
	struct refusal why = REFUSAL_INIT;
	struct command cmd = { .type = schema_type(cli->schema, cli->args[0]) };
	const char *verb = cli->n_args > 1 ? cli->args[1] : NULL;

	if (cli->help)
		return help_command(cli, cmd.type, verb);
	refusal_about(&why, cmd.type->name, NULL);
	cmd.verb = find_verb(cmd.type, verb ? verb : "show", &why);
	if (why.code)
		return print_refusal(cli, &why, EXIT_USAGE);
	if (!cmd.verb) /* `softiov vport help [VERB]` */
		return help_command(cli, cmd.type, cli->n_args > 2 ? cli->args[2] : NULL);
	return parse_and_run(cli, &cmd);
}
