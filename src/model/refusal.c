/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/refusal.h"
#include "model/text.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the UTF-8 character at s, or 0 if it is none (also for control characters). */
static size_t utf8_printable(const unsigned char *s)
{
	size_t n = *s < 0x80 ? 1 : *s >= 0xc2 && *s < 0xe0 ? 2 : *s >= 0xe0 && *s < 0xf0 ? 3 : 4;

	if (*s < 0x20 || *s == 0x7f || (*s >= 0x80 && *s < 0xc2) || *s > 0xf4)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates and what lies beyond U+10FFFF (RFC 3629, section 4). */
	if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f) ||
	    (*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

/* Copies text that may come from anywhere: one line, valid UTF-8, shortened with "..." */
static void copy_text(char *to, size_t size, const char *from)
{
	size_t at = 0, fits = 0;

	for (const unsigned char *s = (const unsigned char *)from; *s;) {
		size_t n = utf8_printable(s);
		size_t len = n ? n : 1;

		if (at + len + 1 > size) {
			memcpy(to + fits, "...", sizeof("..."));
			return;
		}
		if (n)
			memcpy(to + at, s, n);
		else
			to[at] = '?';
		at += len;
		s += len;
		if (at + sizeof("...") <= size)
			fits = at;
	}
	to[at] = '\0';
}

static void format_text(char *to, size_t size, const char *fmt, va_list args)
{
	char raw[2048];

	(void)vsnprintf(raw, sizeof(raw), fmt, args);
	copy_text(to, size, raw);
}

int refuse_value(struct refusal *why, const char *field, const char *value, const char *allowed_fmt,
		 ...)
{
	va_list args;

	why->code = -EINVAL;
	why->text[0] = '\0';
	why->below[0] = '\0';
	copy_text(why->field, sizeof(why->field), field);
	copy_text(why->value, sizeof(why->value), value);
	va_start(args, allowed_fmt);
	format_text(why->allowed, sizeof(why->allowed), allowed_fmt, args);
	va_end(args);
	return -EINVAL;
}

int refuse(struct refusal *why, int code, const char *field, const char *value,
	   const char *text_fmt, ...)
{
	va_list args;

	assert(code < 0);
	why->code = code;
	why->allowed[0] = '\0';
	why->below[0] = '\0';
	copy_text(why->field, sizeof(why->field), field ? field : "");
	copy_text(why->value, sizeof(why->value), value ? value : "");
	va_start(args, text_fmt);
	format_text(why->text, sizeof(why->text), text_fmt, args);
	va_end(args);
	return code;
}

int refuse_err(struct refusal *why, const char *field, const char *value, const struct err *err)
{
	size_t size = strcspn(err->text, "\n"), at = 0;

	refuse(why, err->code < 0 ? err->code : -EIO, field, value, "%.*s", (int)size, err->text);
	for (const char *line = err->text + size; *line == '\n'; line += size) {
		char one[sizeof(err->text)];

		size = strcspn(++line, "\n");
		text_put(one, sizeof(one), "%.*s", (int)size, line);
		if (at && at + 1 < sizeof(why->below))
			why->below[at++] = '\n';
		copy_text(why->below + at, sizeof(why->below) - at, one);
		at += strlen(why->below + at);
	}
	return why->code;
}

void refusal_about(struct refusal *why, const char *object, const char *name)
{
	if (why->object[0])
		return;
	copy_text(why->object, sizeof(why->object), object);
	copy_text(why->name, sizeof(why->name), name ? name : "");
}

static bool asks(const char *text)
{
	size_t len = strlen(text);

	return len && text[len - 1] == '?';
}

const char *refusal_line(const struct refusal *why, char *buf, size_t size)
{
	FILE *out = fmemopen(buf, size, "w");

	assert(out && size >= REFUSAL_LINE_SIZE);
	if (why->object[0] && why->name[0])
		emit(out, "%s '%s': ", why->object, why->name);
	else if (why->object[0])
		emit(out, "%s: ", why->object);
	if (why->field[0])
		emit(out, "%s: ", why->field);
	if (!why->text[0])
		emit(out, "'%s' is not allowed", why->value);
	else if (why->value[0])
		emit(out, "'%s': %s", why->value, why->text);
	else
		emit(out, "%s", why->text);
	if (why->allowed[0])
		emit(out, "%s %s", asks(why->text) ? "" : ":", why->allowed);
	text_close(out);
	return buf;
}

json_t *refusal_json(const struct refusal *why)
{
	const struct {
		const char *key, *value;
	} parts[] = {
		{ "object", why->object }, { "name", why->name },       { "field", why->field },
		{ "value", why->value },   { "allowed", why->allowed }, { "text", why->text },
		{ "below", why->below },
	};
	json_t *out = json_object();

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (parts[i].value[0])
			json_object_set_new(out, parts[i].key, json_string(parts[i].value));
	/* An empty value that is not allowed is worth saying. */
	if (!why->text[0] && why->code && !why->value[0])
		json_object_set_new(out, "value", json_string(""));
	return out;
}
