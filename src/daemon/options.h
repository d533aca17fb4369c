/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's command line and its optional configuration file (YAML, the same words). */
#ifndef SOFTIOV_DAEMON_OPTIONS_H
#define SOFTIOV_DAEMON_OPTIONS_H

#include <stdbool.h>

#include "base/errtext.h"
#include "frame/queue.h"

struct options {
	char run_dir[80]; /* short: socket paths end at 107 bytes (unix(7)) */
	char state_dir[256];
	char group[64]; /* of the management socket; empty: the daemon's own */
	unsigned int n_cpus;
	unsigned int cpu[WORKERS_MAX];
	unsigned int idle_us;
	bool hugepages; /* use them if there are any */
	int log_level;  /* enum log_level */
	bool done;      /* --help or --version: answered already */
};

/* Fills *options. -EINVAL with err->text for anything that is wrong. */
int options_parse(struct options *options, int argc, char **argv, struct err *err);

#endif
