/* SPDX-License-Identifier: BSD-3-Clause */
/* softiov: options, and which command. */
#include "cli.h"

#include "model/text.h"
#include "softiov/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* An option that takes a value: the next word, or what follows `=`. */
static const char *option_value(int argc, char **argv, int *at, struct refusal *why)
{
	const char *equals = strchr(argv[*at], '=');

	if (equals)
		return equals + 1;
	if (*at + 1 < argc)
		return argv[++*at];
	refuse(why, -EINVAL, argv[*at], NULL, "a value must follow");
	return NULL;
}

static bool is_option(const char *arg, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(arg, name, len) && (!arg[len] || (len > 2 && arg[len] == '='));
}

static bool take_watch(struct cli *cli, const char *text, struct refusal *why)
{
	char *end;

	if (!text)
		return false;
	cli->watch = strtod(text, &end);
	if (*end || end == text || !(cli->watch >= 0.1 && cli->watch <= 86400)) {
		refuse_value(why, "--watch", text, "seconds from 0.1 to 86400");
		return false;
	}
	return true;
}

/* One word that begins with `-`. */
static bool take_option(struct cli *cli, int argc, char **argv, int *at, struct refusal *why)
{
	const char *arg = argv[*at];
	const struct {
		const char *name, *other;
		bool *flag;
	} flags[] = {
		{ "--json", "-j", &cli->json },         { "--statistics", "-s", &cli->statistics },
		{ "--help", "-h", &cli->help },         { "--dry-run", "-n", &cli->dry_run },
		{ "--markdown", NULL, &cli->markdown },
	};
	struct words words = { .n = 0 };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (!strcmp(arg, flags[i].name) ||
		    (flags[i].other && !strcmp(arg, flags[i].other))) {
			*flags[i].flag = true;
			return true;
		}
		words_add(&words, flags[i].name);
	}
	if (is_option(arg, "--socket")) {
		cli->socket = option_value(argc, argv, at, why);
		return cli->socket;
	}
	/* Behind `capture` -w is as tcpdump has it. */
	if (is_option(arg, "--write") ||
	    (!strcmp(arg, "-w") && cli->n_args &&
	     !strncmp(cli->args[0], "capture", strlen(cli->args[0])))) {
		cli->write = option_value(argc, argv, at, why);
		return cli->write;
	}
	if (is_option(arg, "--watch") || is_option(arg, "-w"))
		return take_watch(cli, option_value(argc, argv, at, why), why);
	words_add(&words, "--socket");
	words_add(&words, "--watch");
	words_add(&words, "--write");
	words_add(&words, "--version");
	refuse_word(why, -EINVAL, arg, NULL, "option", arg, &words);
	return false;
}

static bool take_args(struct cli *cli, int argc, char **argv, struct refusal *why)
{
	bool options = true;

	cli->args = calloc((size_t)argc, sizeof(*cli->args));
	for (int i = 1; i < argc; i++) {
		if (!options || argv[i][0] != '-' || !argv[i][1])
			cli->args[cli->n_args++] = argv[i];
		else if (!strcmp(argv[i], "--"))
			options = false;
		else if (!take_option(cli, argc, argv, &i, why))
			return false;
	}
	return true;
}

static int run(struct cli *cli)
{
	static int (*const commands[])(const struct cli *cli) = { command_apply, command_export,
								  command_help,
								  command_completion };
	struct refusal why = REFUSAL_INIT;
	struct words words = { .n = 0 };
	const char *word;

	if (!cli->n_args) {
		help_all(cli, cli->help ? stdout : stderr);
		return cli->help ? EXIT_OK : EXIT_USAGE;
	}
	words_types(&words, cli->schema, false);
	for (size_t i = 0; cli_commands[i]; i++)
		words_add(&words, cli_commands[i]);
	word = word_find(&words, cli->args[0], "object or command", &why);
	if (!word)
		return print_refusal(cli, &why, EXIT_USAGE);
	cli->args[0] = (char *)word;
	for (size_t i = 0; cli_commands[i]; i++) {
		if (strcmp(cli_commands[i], word) != 0)
			continue;
		if (!cli->help)
			return commands[i](cli);
		help_all(cli, stdout);
		return EXIT_OK;
	}
	return command_object(cli);
}

int main(int argc, char **argv)
{
	struct cli cli = { .schema = &softiov_schema };
	struct refusal why = REFUSAL_INIT;
	const char *no_color = getenv("NO_COLOR");
	int code;

	cli.socket = getenv("SOFTIOV_SOCKET");
	if (!cli.socket || !*cli.socket)
		cli.socket = SOFTIOV_RUN_DIR "/" SOFTIOV_SOCKET_NAME;
	cli.color = isatty(STDOUT_FILENO) && !(no_color && *no_color);
	if (argc && !strcmp(basename(argv[0]), "softiov-extcap"))
		return command_extcap(&cli, argc, argv);
	for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (!strcmp(argv[i], "-V") || !strcmp(argv[i], "--version")) {
			puts("softiov " SOFTIOV_VERSION);
			return EXIT_OK;
		}
	}
	code = take_args(&cli, argc, argv, &why) ? run(&cli)
						 : print_refusal(&cli, &why, EXIT_USAGE);
	free(cli.args);
	/* A full disk or a closed pipe must not look like success. */
	if ((fflush(stdout) || ferror(stdout)) && code == EXIT_OK) {
		emit(stderr, "softiov: standard output: %s\n", strerror(errno));
		code = EXIT_REFUSED;
	}
	return code;
}
