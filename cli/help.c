/* SPDX-License-Identifier: BSD-3-Clause */
/* Help, and the completion for bash, from the schema. */
#include "cli.h"

#include "model/manual.h"
#include "model/text.h"
#include "model/value.h"
#include "softiov/api.h"

#include <string.h>

static const char options[] =
	"Options, anywhere on the line:\n"
	"  --json            print JSON\n"
	"  -s, --statistics  show counters too\n"
	"  -w, --watch SEC   repeat every SEC seconds\n"
	"  -w, --write FILE  of `capture start`: where to, - for standard output\n"
	"  --socket PATH     the daemon's socket (also SOFTIOV_SOCKET; now %s)\n"
	"  -h, --help        help on what is named\n"
	"  -V, --version     print the version\n"
	"  --                no options after this\n";

void help_all(const struct cli *cli, FILE *out)
{
	emit(out,
	     "Usage: softiov OBJECT VERB [NAME] [FIELD VALUE]...\n"
	     "       softiov apply [--dry-run] FILE   print the difference between the running\n"
	     "                                        configuration and a YAML file (- for standard\n"
	     "                                        input), then make the running one equal to the\n"
	     "                                        file, all or nothing; objects that are not in\n"
	     "                                        the file are removed\n"
	     "       softiov export                   print the configuration as such a file\n"
	     "       softiov help [OBJECT [VERB]]\n"
	     "       softiov completion bash          print the completion for bash\n"
	     "\n"
	     "Objects:\n");
	foreach_type(type, cli->schema)
		if (!(type->flags & OBJECT_API_ONLY))
			emit(out, "  %-10s %s\n", type->name, type->help);
	emit(out,
	     "\n"
	     "Words may be abbreviated where that is clear: `softiov vp sh`.\n"
	     "The value `default` sets a field to its default.\n"
	     "Exit status: 0 done, 1 refused or failed, 2 the command line makes no sense.\n\n");
	emit(out, options, cli->socket);
}

static void help_usage(const struct object_type *type, const struct verb *verb, FILE *out)
{
	static const char *const names[] = { "", " [NAME]", " NAME" };

	emit(out, "  softiov %s %s%s%s%s\n      %s\n", type->name, verb->name,
	     names[verb->name_rule],
	     verb->takes != TAKES_PARAMS ? " [FIELD VALUE]..."
	     : verb->params              ? " [PARAMETER VALUE]..."
					 : "",
	     verb->gives == GIVES_BYTES ? " -w FILE" : "", verb->help);
}

static void help_field(const struct field *field, FILE *out)
{
	char allowed[512];

	emit(out, "  %-14s %s\n", field->name, field->help);
	if (!(field->flags & FIELD_STATUS))
		emit(out, "  %-14s %s", "", value_allowed(field, allowed, sizeof(allowed)));
	if (field->def)
		emit(out, "; default %s", *field->def ? field->def : "\"\"");
	if (field->flags & FIELD_REQUIRED)
		emit(out, "; required");
	if (field->flags & FIELD_GENERATED)
		emit(out, "; generated");
	if (field->flags & FIELD_CREATE)
		emit(out, "; fixed once the object exists");
	if (!(field->flags & FIELD_STATUS))
		emit(out, "\n");
}

void help_object(const struct object_type *type, FILE *out)
{
	bool any = false;

	emit(out, "%s: %s\n\n%s\n\n", type->name, type->help, type->text);
	foreach_verb(verb, type)
		help_usage(type, verb, out);
	foreach_field(field, type->fields) {
		if (!field_settable(type, field))
			continue;
		if (!any)
			emit(out, "\nFields:\n");
		any = true;
		help_field(field, out);
	}
	any = false;
	foreach_field(field, type->fields) {
		if (!(field->flags & FIELD_STATUS) || field == type->fields)
			continue;
		if (!any)
			emit(out, "\nShown by `show`:\n");
		any = true;
		help_field(field, out);
	}
}

void help_verb(const struct object_type *type, const struct verb *verb, FILE *out)
{
	emit(out, "Usage:\n");
	help_usage(type, verb, out);
	if (verb->takes == TAKES_PARAMS) {
		if (verb->params)
			emit(out, "\nParameters:\n");
		foreach_field(param, verb->params)
			help_field(param, out);
		return;
	}
	emit(out, "\nFields:\n");
	foreach_field(field, type->fields)
		if (field_settable(type, field) &&
		    !(verb->takes == TAKES_SET && field->flags & FIELD_CREATE))
			help_field(field, out);
}

static void help_types(const struct cli *cli, struct words *words)
{
	foreach_type(type, cli->schema)
		if (!(type->flags & OBJECT_API_ONLY))
			words_add(words, type->name);
}

int command_help(const struct cli *cli)
{
	struct refusal why = REFUSAL_INIT;
	struct words words = { .n = 0 };
	const struct object_type *type;
	const char *word;

	if (cli->markdown) {
		manual_markdown(cli->schema, stdout);
		return EXIT_OK;
	}
	if (cli->n_args < 2) {
		help_all(cli, stdout);
		return EXIT_OK;
	}
	help_types(cli, &words);
	word = word_find(&words, cli->args[1], "object", &why);
	if (!word)
		return print_refusal(cli, &why, EXIT_USAGE);
	type = schema_type(cli->schema, word);
	if (cli->n_args < 3) {
		help_object(type, stdout);
		return EXIT_OK;
	}
	words.n = 0;
	words_verbs(&words, type, false);
	refusal_about(&why, type->name, NULL);
	word = word_find(&words, cli->args[2], "verb", &why);
	if (!word)
		return print_refusal(cli, &why, EXIT_USAGE);
	help_verb(type, type_verb(type, word), stdout);
	return EXIT_OK;
}

/* --- completion --- */

static const char bash_head[] =
	"# Completion of softiov for bash, made by `softiov completion bash`.\n"
	"# Put it into /usr/share/bash-completion/completions/softiov, or source it.\n";

/* The arrays say what can come where: verbs of an object, parameters of a verb, values of a parameter
 * ("@TYPE": the name of an object, which the daemon knows; "@TYPE,": names with commas between). */
static const char bash_tail[] =
	"_softiov_names()\n"
	"{\n"
	"	softiov ${_softiov_socket:+--socket \"$_softiov_socket\"} --json \"$1\" show 2>/dev/null |\n"
	"		sed -n 's/^    \"name\": \"\\(.*\\)\",\\{0,1\\}$/\\1/p'\n"
	"}\n"
	"\n"
	"_softiov()\n"
	"{\n"
	"	local cur=${COMP_WORDS[COMP_CWORD]} i list= key before= _softiov_socket=\n"
	"	local -a words=() others=()\n"
	"	for ((i = 1; i < COMP_CWORD; i++)); do\n"
	"		case ${COMP_WORDS[i]} in\n"
	"		--socket) _softiov_socket=${COMP_WORDS[++i]} ;;\n"
	"		-w | --watch) ((i++)) ;;\n"
	"		-*) ;;\n"
	"		*) words+=(\"${COMP_WORDS[i]}\") ;;\n"
	"		esac\n"
	"	done\n"
	"	COMPREPLY=()\n"
	"	if [[ ${COMP_WORDS[COMP_CWORD - 1]} == --socket || $cur == /* || ${words[0]} == apply ]]; then\n"
	"		mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
	"		return\n"
	"	fi\n"
	"	key=\"${words[0]} ${words[1]}\"\n"
	"	local n=$((${#words[@]} - 2)) rule=${_softiov_name[$key]:-0}\n"
	"	if [[ $cur == -* ]]; then\n"
	"		list=$_softiov_options\n"
	"	elif ((${#words[@]} == 0)); then\n"
	"		list=$_softiov_objects\n"
	"	elif ((${#words[@]} == 1)); then\n"
	"		list=${_softiov_verbs[${words[0]}]}\n"
	"	elif ((rule && n == 0)); then\n"
	"		[[ ${words[1]} == add ]] || list=$(_softiov_names \"${words[0]}\")\n"
	"	elif (((n - rule) % 2 == 0)); then\n"
	"		list=${_softiov_params[$key]}\n"
	"		for ((i = 2 + rule; i < ${#words[@]}; i += 2)); do\n"
	"			list=\" $list \"\n"
	"			list=${list/ ${words[i]} / }\n"
	"		done\n"
	"	else\n"
	"		list=${_softiov_values[\"$key ${words[-1]}\"]}\n"
	"		[[ $list == *@*, && $cur == *,* ]] && before=${cur%,*},\n"
	"		list=${list%,}\n"
	"		[[ $list == *@* ]] && list=\"${list%@*} $(_softiov_names \"${list#*@}\")\"\n"
	"	fi\n"
	"	# Of several names the last one, which is none of the others.\n"
	"	if [[ $before ]]; then\n"
	"		IFS=, read -ra others <<<\"$before\"\n"
	"		list=\" ${list//$'\\n'/ } \"\n"
	"		for i in default \"${others[@]}\"; do\n"
	"			list=${list/\" $i \"/ }\n"
	"		done\n"
	"	fi\n"
	"	mapfile -t COMPREPLY < <(compgen -P \"$before\" -W \"$list\" -- \"${cur#\"$before\"}\")\n"
	"}\n"
	"complete -F _softiov softiov\n";

static void print_words(const struct words *words)
{
	for (size_t i = 0; i < words->n; i++)
		printf("%s%s", i ? " " : "", words->word[i]);
}

static void print_values(const struct object_type *type, const struct verb *verb,
			 const struct field *field)
{
	if (field->type != TYPE_ENUM && field->type != TYPE_BOOL && !field->ref && !field->def)
		return;
	printf("\t[\"%s %s %s\"]=\"", type->name, verb->name, field->name);
	if (verb->takes != TAKES_PARAMS && !(field->flags & FIELD_REQUIRED))
		emit(stdout, "default");
	if (field->ref)
		printf(" @%s%s", field->ref, field->type == TYPE_REFS ? "," : "");
	if (field->type == TYPE_BOOL)
		emit(stdout, " on off");
	if (field->type == TYPE_VLANS)
		emit(stdout, " all none");
	if (field->type == TYPE_PINS)
		emit(stdout, " none");
	for (const char *const *word = field->words;
	     word && *word && (field->type == TYPE_ENUM || field->type == TYPE_MARK); word++)
		printf(" %s", *word);
	puts("\"");
}

static void print_completion_values(const struct cli *cli)
{
	puts("declare -gA _softiov_values=(");
	foreach_type(type, cli->schema) {
		if (type->flags & OBJECT_API_ONLY)
			continue;
		foreach_verb(verb, type) {
			struct words words = { .n = 0 };

			words_params(&words, type, verb);
			for (size_t i = 0; i < words.n; i++)
				print_values(type, verb,
					     verb->takes == TAKES_PARAMS
						     ? verb_param(verb, words.word[i])
						     : type_field(type, words.word[i]));
		}
	}
	puts(")");
}

static void print_completion_verbs(const struct cli *cli)
{
	puts("declare -gA _softiov_verbs=(");
	puts("\t[completion]=\"bash\"");
	foreach_type(type, cli->schema) {
		struct words words = { .n = 0 };

		if (type->flags & OBJECT_API_ONLY)
			continue;
		words_verbs(&words, type, false);
		printf("\t[%s]=\"", type->name);
		print_words(&words);
		puts(" help\"");
	}
	puts(")\ndeclare -gA _softiov_params=(");
	foreach_type(type, cli->schema) {
		foreach_verb(verb, type) {
			struct words words = { .n = 0 };

			words_params(&words, type, verb);
			if (type->flags & OBJECT_API_ONLY || !words.n)
				continue;
			printf("\t[\"%s %s\"]=\"", type->name, verb->name);
			print_words(&words);
			puts("\"");
		}
	}
	puts(")\ndeclare -gA _softiov_name=(");
	foreach_type(type, cli->schema)
		foreach_verb(verb, type)
			if (!(type->flags & OBJECT_API_ONLY) && verb->name_rule != NAME_NONE)
				printf("\t[\"%s %s\"]=1\n", type->name, verb->name);
	puts(")");
}

int command_completion(const struct cli *cli)
{
	struct refusal why = REFUSAL_INIT;
	struct words words = { .n = 0 };

	if (cli->n_args != 2 || strcmp(cli->args[1], "bash") != 0) {
		refuse(&why, -1, NULL, NULL,
		       "`completion` knows one shell: softiov completion bash");
		return print_refusal(cli, &why, EXIT_USAGE);
	}
	emit_text(stdout, bash_head);
	help_types(cli, &words);
	for (const char *const *command = cli_commands; *command; command++)
		words_add(&words, *command);
	emit(stdout, "_softiov_objects=\"");
	print_words(&words);
	puts("\"\n_softiov_options=\"--json -s --statistics -w --watch --socket -h --help -V --version "
	     "--dry-run\"");
	print_completion_verbs(cli);
	print_completion_values(cli);
	emit_text(stdout, bash_tail);
	return EXIT_OK;
}
