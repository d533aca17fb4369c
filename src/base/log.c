/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static enum log_level log_threshold = LOG_LEVEL_INFO;

static const char *const level_words[] = { "err", "warn", "info", "debug" };

void log_set_level(enum log_level level)
{
	log_threshold = level;
}

bool log_wants(enum log_level level)
{
	return level <= log_threshold;
}

int log_level_parse(const char *word)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++)
		if (strcmp(word, level_words[i]) == 0)
			return i;
	return -1;
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
	/* sd-daemon(3): a line that starts with <N> carries syslog's level. */
	static const char *const journal_prefix[] = { "<3>", "<4>", "<6>", "<7>" };
	char line[1024];
	va_list ap;
	int n;

	if (level > log_threshold)
		return;
	n = snprintf(line, sizeof(line),
		     "%s%s %s: ", getenv("JOURNAL_STREAM") ? journal_prefix[level] : "",
		     level_words[level], area);
	va_start(ap, fmt);
	n += vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
	va_end(ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	/* One write a line, so that lines of several threads do not mix. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}

bool log_limit_pass(struct log_limit *limit, const char *area)
{
	uint64_t now_ms = clock_ns() / 1000000;

	if (now_ms - limit->window_ms >= 1000) {
		if (limit->suppressed > 0)
			log_line(LOG_LEVEL_WARN, area, "%u lines like this were left out",
				 limit->suppressed);
		limit->window_ms = now_ms;
		limit->n = 0;
		limit->suppressed = 0;
	}
	if (limit->n < LOG_LIMIT_BURST) {
		limit->n++;
		return true;
	}
	limit->suppressed++;
	return false;
}
