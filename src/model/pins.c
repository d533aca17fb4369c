/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/pins.h"

#include "model/object.h"
#include "model/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

const char *const queue_kinds[QUEUE_KINDS + 1] = {
	[QUEUE_VF] = "vf",
	[QUEUE_SYNTHETIC] = "synthetic",
	[QUEUE_UPLINK] = "uplink",
};

/* A number below `end` in its shortest form; what follows it in *text. */
static bool parse_below(const char **text, unsigned int end, unsigned int *value)
{
	const char *s = *text;
	unsigned int v = 0;

	if (*s < '0' || *s > '9' || (*s == '0' && s[1] >= '0' && s[1] <= '9'))
		return false;
	for (; *s >= '0' && *s <= '9'; s++) {
		v = v * 10 + (unsigned int)(*s - '0');
		if (v >= end)
			return false;
	}
	*text = s;
	*value = v;
	return true;
}

/* The queue at the start of *text. */
static bool parse_queue(const char **text, enum queue_kind *kind, unsigned int *idx)
{
	for (unsigned int k = 0; k < QUEUE_KINDS; k++) {
		size_t len = strlen(queue_kinds[k]);

		if (strncmp(*text, queue_kinds[k], len) != 0 || (*text)[len] != '-')
			continue;
		*text += len + 1;
		*kind = (enum queue_kind)k;
		return parse_below(text, PIN_QUEUES, idx);
	}
	return false;
}

bool queue_parse(const char *text, enum queue_kind *kind, unsigned int *idx)
{
	return parse_queue(&text, kind, idx) && *text == '\0';
}

bool worker_parse(const char *text, unsigned int *worker)
{
	return parse_below(&text, PIN_WORKERS, worker) && *text == '\0';
}

bool pins_parse(const char *text, struct pins *pins)
{
	memset(pins, 0, sizeof(*pins));
	if (!strcmp(text, "none"))
		return true;
	for (;;) {
		unsigned int idx, worker;
		enum queue_kind kind;

		if (!parse_queue(&text, &kind, &idx) || *text++ != '=' ||
		    !parse_below(&text, PIN_WORKERS, &worker) || pins->pinned[kind][idx])
			return false;
		pins->pinned[kind][idx] = true;
		pins->worker[kind][idx] = (uint8_t)worker;
		if (!*text)
			return true;
		if (*text++ != ',')
			return false;
	}
}

char *pins_format(const struct pins *pins)
{
	char *text = NULL;
	size_t size;
	FILE *out = text_open(&text, &size);
	const char *sep = "";

	for (unsigned int k = 0; k < QUEUE_KINDS; k++)
		for (unsigned int i = 0; i < PIN_QUEUES; i++) {
			if (!pins->pinned[k][i])
				continue;
			emit(out, "%s%s-%u=%u", sep, queue_kinds[k], i, pins->worker[k][i]);
			sep = ",";
		}
	if (!*sep)
		emit_text(out, "none");
	text_close(out);
	return text;
}

void obj_pins(const json_t *obj, const char *field, struct pins *pins)
{
	bool ok = pins_parse(obj_str(obj, field), pins);

	assert(ok);
	(void)ok;
}
