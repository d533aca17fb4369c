/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/text.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

char *text_new(const char *fmt, ...)
{
	va_list args;
	char *text;
	int n;

	va_start(args, fmt);
	n = vasprintf(&text, fmt, args);
	va_end(args);
	assert(n >= 0);
	(void)n;
	return text;
}

char *text_copy(const char *text)
{
	char *copy = strdup(text);

	assert(copy);
	return copy;
}

void text_put(char *buf, size_t size, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(buf, size, fmt, args);
	va_end(args);
}

FILE *text_open(char **text, size_t *size)
{
	FILE *out = open_memstream(text, size);

	assert(out);
	return out;
}

void text_close(FILE *out)
{
	int rc = fclose(out);

	assert(!rc);
	(void)rc;
}

void emit(FILE *out, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vfprintf(out, fmt, args);
	va_end(args);
}

void emit_text(FILE *out, const char *text)
{
	(void)fputs(text, out);
}
