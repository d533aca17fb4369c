/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/bits.h"
#include "base/log.h"
#include "daemon/options.h"
#include "model/text.h"
#include "softiov/api.h"
#include "worker/worker.h"

static const char usage[] =
	"usage: softiovd [OPTION]...\n"
	"Software SR-IOV network adapter and virtual switch for virtual machines.\n"
	"\n"
	"  --config FILE     read options from a YAML file: `run-dir: /run/softiov` and so on;\n"
	"                    the command line wins\n"
	"  --run-dir DIR     where the sockets are made (" SOFTIOV_RUN_DIR ")\n"
	"  --state-dir DIR   where the configuration is kept (" SOFTIOV_STATE_DIR ")\n"
	"  --workers CPUS    processors of the data path, as taskset writes them: 2,4-7\n"
	"                    (the last processor that this process may use)\n"
	"  --idle-us N       upper limit of an idle worker's sleep, 10 to 100000 (5000)\n"
	"  --group GROUP     group that may use the management socket\n"
	"  --no-huge         do not use hugepages even if there are some\n"
	"  --log-level WORD  err, warn, info or debug (info)\n"
	"  --version         print the version\n"
	"  -h, --help        print this\n";

enum option_id {
	OPT_CONFIG = 256,
	OPT_RUN_DIR,
	OPT_STATE_DIR,
	OPT_WORKERS,
	OPT_IDLE_US,
	OPT_GROUP,
	OPT_NO_HUGE,
	OPT_LOG_LEVEL,
	OPT_VERSION,
};

static const struct option option_table[] = {
	{ "config", required_argument, NULL, OPT_CONFIG },
	{ "run-dir", required_argument, NULL, OPT_RUN_DIR },
	{ "state-dir", required_argument, NULL, OPT_STATE_DIR },
	{ "workers", required_argument, NULL, OPT_WORKERS },
	{ "idle-us", required_argument, NULL, OPT_IDLE_US },
	{ "group", required_argument, NULL, OPT_GROUP },
	{ "no-huge", no_argument, NULL, OPT_NO_HUGE },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static int set_text(char *to, size_t size, const char *option, const char *value, struct err *err)
{
	size_t length = strlen(value);

	if (length == 0 || length >= size)
		return err_set(err, -EINVAL, "--%s: '%s' is not allowed: 1 to %zu characters",
			       option, value, size - 1);
	memcpy(to, value, length + 1);
	return 0;
}

static int refuse_cpus(const char *value, struct err *err)
{
	return err_set(
		err, -EINVAL,
		"--workers: '%s' is not allowed: a list of at most %d processors that this process "
		"may use, like 2,4-7 (see nproc, taskset -p)",
		value, WORKERS_MAX);
}

static int set_cpus(struct options *o, const char *value, struct err *err)
{
	const char *at = value;
	cpu_set_t mine;

	sched_getaffinity(0, sizeof(mine), &mine);
	o->n_cpus = 0;
	for (;;) {
		char *end;
		unsigned long first = strtoul(at, &end, 10), last = first;

		if (end == at || *at < '0' || *at > '9')
			return refuse_cpus(value, err);
		if (*end == '-') {
			at = end + 1;
			last = strtoul(at, &end, 10);
			if (end == at || *at < '0' || *at > '9')
				return refuse_cpus(value, err);
		}
		for (unsigned long cpu = first; cpu <= last; cpu++) {
			if (cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &mine) ||
			    o->n_cpus == WORKERS_MAX)
				return refuse_cpus(value, err);
			o->cpu[o->n_cpus++] = (unsigned int)cpu;
		}
		if (*end == '\0')
			return last < first ? refuse_cpus(value, err) : 0;
		if (*end != ',' || last < first)
			return refuse_cpus(value, err);
		at = end + 1;
	}
}

static int set_number(unsigned int *to, const char *option, const char *value, unsigned int min,
		      unsigned int max, struct err *err)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (end == value || *end != '\0' || *value == '-' || n < min || n > max)
		return err_set(err, -EINVAL, "--%s: '%s' is not allowed: a number from %u to %u",
			       option, value, min, max);
	*to = (unsigned int)n;
	return 0;
}

static int set_option(struct options *o, int id, const char *value, struct err *err)
{
	switch (id) {
	case OPT_RUN_DIR:
		return set_text(o->run_dir, sizeof(o->run_dir), "run-dir", value, err);
	case OPT_STATE_DIR:
		return set_text(o->state_dir, sizeof(o->state_dir), "state-dir", value, err);
	case OPT_WORKERS:
		return set_cpus(o, value, err);
	case OPT_IDLE_US:
		return set_number(&o->idle_us, "idle-us", value, 10, 100000, err);
	case OPT_GROUP:
		return set_text(o->group, sizeof(o->group), "group", value, err);
	case OPT_LOG_LEVEL:
		o->log_level = log_level_parse(value);
		if (o->log_level < 0)
			return err_set(err, -EINVAL,
				       "--log-level: '%s' is not allowed: err, warn, info or debug",
				       value);
		return 0;
	case OPT_NO_HUGE:
		o->hugepages = false;
		return 0;
	}
	return 0;
}

/* One `key: value` of the file. */
static int file_option(struct options *o, const char *file, const yaml_event_t *key,
		       const yaml_event_t *value, struct err *err)
{
	const char *word = (const char *)key->data.scalar.value;
	const char *text = (const char *)value->data.scalar.value;
	struct err inner;

	for (const struct option *opt = option_table; opt->name != NULL; opt++) {
		if (strcmp(opt->name, word) != 0 || opt->val == OPT_CONFIG ||
		    (!opt->has_arg && opt->val != OPT_NO_HUGE))
			continue;
		if (opt->val == OPT_NO_HUGE && strcmp(text, "true") != 0)
			return 0;
		if (set_option(o, opt->val, text, &inner) == 0)
			return 0;
		return err_set(err, inner.code, "%s:%zu:%zu: %s", file, value->start_mark.line + 1,
			       value->start_mark.column + 1, inner.text);
	}
	return err_set(err, -EINVAL,
		       "%s:%zu:%zu: there is no option '%s' (softiovd --help lists them)", file,
		       key->start_mark.line + 1, key->start_mark.column + 1, word);
}

static int parse_pairs(struct options *o, const char *file, yaml_parser_t *parser, struct err *err)
{
	for (;;) {
		yaml_event_t key, value;
		int ret = 0;

		if (!yaml_parser_parse(parser, &key))
			return -EINVAL;
		if (key.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&key);
			return 0;
		}
		if (!yaml_parser_parse(parser, &value)) {
			yaml_event_delete(&key);
			return -EINVAL;
		}
		if (key.type == YAML_SCALAR_EVENT && value.type == YAML_SCALAR_EVENT)
			ret = file_option(o, file, &key, &value, err);
		else
			ret = err_set(err, -EINVAL,
				      "%s:%zu:%zu: only lines like `run-dir: /run/softiov` may "
				      "stand here",
				      file, key.start_mark.line + 1, key.start_mark.column + 1);
		yaml_event_delete(&key);
		yaml_event_delete(&value);
		if (ret < 0)
			return ret;
	}
}

static int read_file(struct options *o, const char *file, struct err *err)
{
	FILE *f = fopen(file, "re");
	yaml_parser_t parser;
	int ret = 0;

	if (f == NULL)
		return err_set(err, -errno, "--config: cannot read '%s': %s", file,
			       strerror(errno));
	if (!yaml_parser_initialize(&parser)) {
		(void)fclose(f);
		return err_set(err, -ENOMEM, "out of memory");
	}
	yaml_parser_set_input_file(&parser, f);
	for (bool more = true; more && ret == 0;) {
		yaml_event_t event;

		if (!yaml_parser_parse(&parser, &event)) {
			ret = -EINVAL;
			break;
		}
		more = event.type != YAML_STREAM_END_EVENT;
		if (event.type == YAML_MAPPING_START_EVENT)
			ret = parse_pairs(o, file, &parser, err);
		else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT)
			ret = err_set(
				err, -EINVAL,
				"%s:%zu:%zu: only lines like `run-dir: /run/softiov` may stand here",
				file, event.start_mark.line + 1, event.start_mark.column + 1);
		yaml_event_delete(&event);
	}
	if (ret < 0 && err->code == 0)
		err_set(err, ret, "%s:%zu:%zu: %s", file, parser.problem_mark.line + 1,
			parser.problem_mark.column + 1, parser.problem);
	yaml_parser_delete(&parser);
	(void)fclose(f);
	return ret;
}

static void defaults(struct options *o)
{
	cpu_set_t mine;

	memset(o, 0, sizeof(*o));
	text_put(o->run_dir, sizeof(o->run_dir), "%s", SOFTIOV_RUN_DIR);
	text_put(o->state_dir, sizeof(o->state_dir), "%s", SOFTIOV_STATE_DIR);
	o->idle_us = WORKER_IDLE_US_DEFAULT;
	o->log_level = LOG_LEVEL_INFO;
	o->hugepages = true;
	o->n_cpus = 1;
	sched_getaffinity(0, sizeof(mine), &mine);
	for (unsigned int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &mine))
			o->cpu[0] = cpu;
}

/* Finds --config before the rest, so that the command line wins over the file. */
static int first_pass(struct options *o, int argc, char **argv, struct err *err)
{
	int c, ret = 0;

	opterr = 0;
	optind = 1;
	while (ret == 0 && (c = getopt_long(argc, argv, ":h", option_table, NULL)) != -1)
		if (c == OPT_CONFIG)
			ret = read_file(o, optarg, err);
	return ret;
}

int options_parse(struct options *o, int argc, char **argv, struct err *err)
{
	int c, ret;

	err->code = 0;
	defaults(o);
	ret = first_pass(o, argc, argv, err);
	optind = 1;
	while (ret == 0 && (c = getopt_long(argc, argv, ":h", option_table, NULL)) != -1) {
		switch (c) {
		case 'h':
			(void)fputs(usage, stdout);
			o->done = true;
			return 0;
		case OPT_VERSION:
			(void)puts("softiovd " SOFTIOV_VERSION);
			o->done = true;
			return 0;
		case ':':
			return err_set(err, -EINVAL, "%s needs a value (softiovd --help)",
				       argv[optind - 1]);
		case '?':
			return err_set(err, -EINVAL,
				       "there is no option '%s' (softiovd --help lists them)",
				       argv[optind - 1]);
		default:
			ret = set_option(o, c, optarg, err);
		}
	}
	if (ret == 0 && optind < argc)
		return err_set(err, -EINVAL, "'%s' is not an option (softiovd --help lists them)",
			       argv[optind]);
	return ret;
}
