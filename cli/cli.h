/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: `softiov OBJECT VERB [NAME] [FIELD VALUE]...`, all of it from the schema. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "model/refusal.h"
#include "model/suggest.h"
#include "softiov/schema.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

enum exit_code {
	EXIT_OK = 0,
	EXIT_REFUSED = 1, /* by the daemon, or a value that is not allowed, or no daemon */
	EXIT_USAGE = 2,   /* the command line makes no sense */
};

struct cli {
	const struct schema *schema;
	const char *socket;
	bool json;         /* --json */
	bool statistics;   /* -s */
	bool help;         /* -h */
	bool dry_run;      /* --dry-run */
	bool markdown;     /* --markdown */
	bool color;        /* of standard output */
	double watch;      /* seconds; 0: once */
	int answer_s;      /* so long an answer may take; 0: as long as the longest change may */
	bool quiet;        /* says only what went wrong; that its reader leaves is no error */
	const char *write; /* of a capture: a file, or - */
	char **args;       /* the words that are no options */
	int n_args;
};

/* --- words.c --- */

/*
 * The word that `text` stands for: exact, or an abbreviation of exactly one. NULL with `why`
 * (-EINVAL): none or several, which are named. `what` is what the words are ("verb").
 */
const char *word_find(const struct words *words, const char *text, const char *what,
		      struct refusal *why);

/* The words of the command line that are no object types. */
extern const char *const cli_commands[]; /* ends with NULL */

/* --- client.c --- */

struct client;

/* NULL with `why`, which says what to do. */
struct client *client_open(const struct cli *cli, struct refusal *why);
void client_close(struct client *client);

/*
 * Calls a method; takes `params`, which may be NULL. The result is a new reference; NULL: `why`,
 * and *error, if it is not NULL, the error object of the answer (new reference, or NULL).
 */
json_t *client_call(struct client *client, const char *method, json_t *params, json_t **error,
		    struct refusal *why);

/* The next notification, new reference; NULL: the connection ended. Waits without limit. */
json_t *client_next(struct client *client);

/* The connection's file, for bytes that follow an answer; to be asked before the call. */
int client_raw(struct client *client);

/* --- output.c --- */

/* One line on standard error (a JSON object with --json), returns `code`. */
int print_refusal(const struct cli *cli, const struct refusal *why, int code);

void print_json(const json_t *value, size_t flags);
/* A table, or with `single` a block for each. */
void print_objects(const struct cli *cli, const struct object_type *type, const json_t *objects,
		   bool single);
void print_event(const struct cli *cli, const struct object_type *type, const json_t *event);
/* Whether no check failed. */
bool print_checks(const struct cli *cli, const json_t *checks);
void print_changes(const struct cli *cli, const json_t *changes);

/* --- commands: each returns an exit code --- */

int command_object(const struct cli *cli); /* command.c */
int command_apply(const struct cli *cli);  /* apply.c */
int command_export(const struct cli *cli);
int command_help(const struct cli *cli); /* help.c */
int command_completion(const struct cli *cli);
/* Called by Wireshark; takes the command line as it is. */
int command_extcap(struct cli *cli, int argc, char **argv); /* extcap.c */

/* A ring of files, written to in turn. ring.c */
struct ring;
/* `text` is FILES,SIZE; the names of the files are made from `path`. NULL with `why`. */
struct ring *ring_open(const char *path, const char *text, struct refusal *why);
/* The next bytes of a pcapng stream. 0 or an errno. */
int ring_write(struct ring *ring, const uint8_t *data, size_t size);
/* Its files go. */
void ring_remove(struct ring *ring);
void ring_close(struct ring *ring); /* accepts NULL */

/* Starts a capture with these parameters and writes it until it ends. */
int capture_run(const struct cli *cli, json_t *params); /* capture.c */

void help_all(const struct cli *cli, FILE *out);
void help_object(const struct object_type *type, FILE *out);
void help_verb(const struct object_type *type, const struct verb *verb, FILE *out);

#endif
