/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/units.h"

#include "model/text.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
	bool shown; /* units_format() may use it */
};

#define K 1000ull

/* clang-format off */
static const struct unit units_none[] = { { "", 1, true }, { NULL, 0, false } };
static const struct unit units_rate[] = { /* tc(8), "PARAMETERS", "RATES" */
	{ "tbit", K * K * K * K, true }, { "gbit", K * K * K, true }, { "mbit", K * K, true },
	{ "kbit", K, true }, { "bit", 1, true }, { "", 1, false },
	{ "kibit", 1ull << 10, false }, { "mibit", 1ull << 20, false }, { "gibit", 1ull << 30, false },
	{ "tibit", 1ull << 40, false },
	{ "bps", 8, false }, { "kbps", 8 * K, false }, { "mbps", 8 * K * K, false },
	{ "gbps", 8 * K * K * K, false }, { "tbps", 8 * K * K * K * K, false },
	{ "kibps", 8ull << 10, false }, { "mibps", 8ull << 20, false }, { "gibps", 8ull << 30, false },
	{ "tibps", 8ull << 40, false },
	{ NULL, 0, false }
};
static const struct unit units_size[] = {
	{ "T", 1ull << 40, true }, { "G", 1ull << 30, true }, { "M", 1ull << 20, true },
	{ "K", 1ull << 10, true }, { "", 1, true }, { "B", 1, false },
	{ "KiB", 1ull << 10, false }, { "MiB", 1ull << 20, false }, { "GiB", 1ull << 30, false },
	{ NULL, 0, false }
};
static const struct unit units_time[] = { /* in microseconds */
	{ "us", 1, true }, { "ms", K, true }, { "s", K * K, true }, { "m", 60 * K * K, true },
	{ "h", 3600 * K * K, true }, { "d", 86400 * K * K, true },
	{ NULL, 0, false }
};
static const struct unit *const tables[] = { units_none, units_rate, units_size, units_time };
/* clang-format on */

static const struct unit *find(enum units units, const char *name)
{
	for (const struct unit *u = tables[units]; u->name; u++)
		if (!strcasecmp(u->name, name))
			return u;
	return NULL;
}

/* digits[.digits] times factor; the fraction must come out even. */
static bool scaled(const char **text, uint64_t factor, uint64_t *value)
{
	const char *s = *text;
	uint64_t v = 0, digit;

	for (; isdigit((unsigned char)*s); s++)
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return false;
	if (__builtin_mul_overflow(v, factor, &v))
		return false;
	if (*s == '.' && isdigit((unsigned char)s[1])) {
		for (s++; isdigit((unsigned char)*s); s++) {
			digit = (uint64_t)(*s - '0');
			if (digit && factor % 10)
				return false;
			factor /= 10;
			if (__builtin_add_overflow(v, digit * factor, &v))
				return false;
		}
	}
	*text = s;
	*value = v;
	return true;
}

static bool parse_hex(const char *text, uint64_t *value)
{
	uint64_t v = 0;

	if (!*text || strlen(text) > 16)
		return false;
	for (; isxdigit((unsigned char)*text); text++)
		v = v << 4 | (uint64_t)(isdigit((unsigned char)*text) ? *text - '0'
								      : (*text | 0x20) - 'a' + 10);
	*value = v;
	return *text == '\0';
}

bool units_parse(enum units units, const char *base, const char *text, uint64_t *value)
{
	size_t digits = strspn(text, "0123456789.");
	const struct unit *unit =
		find(units, text[digits] || units != UNITS_TIME ? text + digits : base);
	uint64_t base_factor = 1;

	*value = 0;
	if (units == UNITS_NONE && text[0] == '0' && (text[1] | 0x20) == 'x')
		return parse_hex(text + 2, value);
	if (!isdigit((unsigned char)text[0]) || !unit)
		return false;
	if (units == UNITS_TIME) {
		const struct unit *b = find(units, base);

		assert(b);
		base_factor = b->factor;
	}
	if (!scaled(&text, unit->factor, value) || strcasecmp(text, unit->name) != 0) {
		/* A bare time has no unit in the text. */
		if (units != UNITS_TIME || *text)
			return false;
	}
	if (*value % base_factor)
		return false;
	*value /= base_factor;
	return true;
}

char *units_format(enum units units, uint64_t value)
{
	const struct unit *best = find(units, units == UNITS_RATE ? "bit" : "");

	assert(best);
	for (const struct unit *u = tables[units]; u->name && value; u++)
		if (u->shown && value % u->factor == 0 && u->factor > best->factor)
			best = u;
	return text_new("%" PRIu64 "%s", value / best->factor, best->name);
}

char *units_round(enum units units, uint64_t value)
{
	for (const struct unit *u = tables[units]; u->name; u++) {
		double v = (double)value / (double)u->factor;

		if (!u->shown || v < 1 || u->factor == 1)
			continue;
		return text_new("%.*f%s", v < 10 ? 2 : v < 100 ? 1 : 0, v, u->name);
	}
	return units_format(units, value);
}
