/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's log: one line an entry on standard error, `LEVEL area: text`, with systemd's level
 * prefixes where the journal reads it. Never called from the data path; what guests can cause
 * without end is logged through log_limited. Any thread. */
#ifndef SOFTIOV_BASE_LOG_H
#define SOFTIOV_BASE_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
	LOG_LEVEL_ERR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

void log_set_level(enum log_level level);
/* "err", "warn", "info" or "debug"; -1 for anything else. */
int log_level_parse(const char *word);
/* Whether lines of this level are written: for traces whose limiter should not run in vain. */
bool log_wants(enum log_level level);
void log_line(enum log_level level, const char *area, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_err(area, ...)   log_line(LOG_LEVEL_ERR, area, __VA_ARGS__)
#define log_warn(area, ...)  log_line(LOG_LEVEL_WARN, area, __VA_ARGS__)
#define log_info(area, ...)  log_line(LOG_LEVEL_INFO, area, __VA_ARGS__)
#define log_debug(area, ...) log_line(LOG_LEVEL_DEBUG, area, __VA_ARGS__)

/* At most LOG_LIMIT_BURST lines a second for each limiter; what was left out is counted and told
 * with the next line that passes. */
#define LOG_LIMIT_BURST 10
struct log_limit {
	uint64_t window_ms;
	unsigned int n;
	unsigned int suppressed;
};
bool log_limit_pass(struct log_limit *limit, const char *area);

#endif
