/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Each type is a row of `types`: how text becomes JSON, which JSON is taken as it is, and how JSON
 * becomes text. A parser returns NULL for what is not allowed and says nothing: the words come from
 * value_allowed(), so that all doors give the same answer.
 */
#include "model/value.h"

#include "base/bits.h"
#include "model/addresses.h"
#include "model/match.h"
#include "model/pins.h"
#include "model/qos.h"
#include "model/refs.h"
#include "model/text.h"
#include "model/units.h"
#include "model/vlans.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct value_type {
	const char *name;
	json_t *(*parse)(const struct field *field, const char *text);
	/* JSON of another kind than string; NULL: this type is written as a string. */
	json_t *(*check)(const struct field *field, const json_t *value);
	char *(*format)(const struct field *field, const json_t *value);
	const char *help;
};

/* NOLINTBEGIN(misc-unused-parameters): one signature for all types */

/* --- names and other strings --- */

bool value_is_name(const char *text, size_t len)
{
	if (!len || len > NAME_SIZE_MAX || !isalnum((unsigned char)text[0]))
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("_.-", text[i]))
			return false;
	return true;
}

static json_t *parse_name(const struct field *field, const char *text)
{
	return value_is_name(text, strlen(text)) ? json_string(text) : NULL;
}

static json_t *parse_ref(const struct field *field, const char *text)
{
	return ref_is_name(text) ? json_string(text) : NULL;
}

static json_t *parse_refs(const struct field *field, const char *text)
{
	char *canonical = refs_parse(text);
	json_t *value = canonical ? json_string(canonical) : NULL;

	free(canonical);
	return value;
}

static size_t string_max(const struct field *field)
{
	return field->max ? field->max : 255;
}

static json_t *parse_string(const struct field *field, const char *text)
{
	if (strlen(text) > string_max(field) || strlen(text) < field->min)
		return NULL;
	for (const char *s = text; *s; s++)
		if (iscntrl((unsigned char)*s))
			return NULL;
	return json_string(text); /* NULL if it is not UTF-8 */
}

static json_t *parse_path(const struct field *field, const char *text)
{
	return text[0] == '/' ? parse_string(field, text) : NULL;
}

static json_t *parse_enum(const struct field *field, const char *text)
{
	for (const char *const *word = field->words; *word; word++)
		if (!strcmp(*word, text))
			return json_string(text);
	return NULL;
}

static char *format_string(const struct field *field, const json_t *value)
{
	const char *text = json_string_value(value);

	return text_copy(text ? text : "");
}

/* --- on and off --- */

static json_t *parse_bool(const struct field *field, const char *text)
{
	static const char *const yes[] = { "on", "yes", "true" }, *const no[] = { "off", "no",
										  "false" };

	for (size_t i = 0; i < ARRAY_SIZE(yes); i++) {
		if (!strcmp(text, yes[i]))
			return json_true();
		if (!strcmp(text, no[i]))
			return json_false();
	}
	return NULL;
}

static json_t *check_bool(const struct field *field, const json_t *value)
{
	return json_is_boolean(value) ? json_boolean(json_is_true(value)) : NULL;
}

static char *format_bool(const struct field *field, const json_t *value)
{
	return text_copy(json_is_true(value) ? "on" : "off");
}

/* --- numbers --- */

/* max 0 means: as far as JSON integers go. */
static json_t *in_range(const struct field *field, bool ok, uint64_t v)
{
	uint64_t max = field->max ? field->max : INT64_MAX;

	return ok && v >= field->min && v <= max ? json_integer((json_int_t)v) : NULL;
}

static json_t *parse_number(const struct field *field, enum units units, const char *base,
			    const char *text)
{
	uint64_t v;
	bool ok = units_parse(units, base, text, &v);

	return in_range(field, ok, v);
}

static json_t *parse_uint(const struct field *field, const char *text)
{
	return parse_number(field, UNITS_NONE, NULL, text);
}

static json_t *parse_rate(const struct field *field, const char *text)
{
	return parse_number(field, UNITS_RATE, NULL, text);
}

static json_t *parse_size(const struct field *field, const char *text)
{
	return parse_number(field, UNITS_SIZE, NULL, text);
}

static json_t *parse_duration(const struct field *field, const char *text)
{
	return parse_number(field, UNITS_TIME, field->unit, text);
}

static json_t *check_uint(const struct field *field, const json_t *value)
{
	json_int_t v = json_integer_value(value);

	return in_range(field, json_is_integer(value) && v >= 0, (uint64_t)v);
}

static char *format_uint(const struct field *field, const json_t *value)
{
	return text_new("%" JSON_INTEGER_FORMAT, json_integer_value(value));
}

static char *format_rate(const struct field *field, const json_t *value)
{
	uint64_t v = (uint64_t)json_integer_value(value);

	return field->flags & FIELD_STATUS ? units_round(UNITS_RATE, v)
					   : units_format(UNITS_RATE, v);
}

static char *format_size(const struct field *field, const json_t *value)
{
	return units_format(UNITS_SIZE, (uint64_t)json_integer_value(value));
}

static char *format_duration(const struct field *field, const json_t *value)
{
	return text_new("%" JSON_INTEGER_FORMAT "%s", json_integer_value(value), field->unit);
}

static json_t *check_number(const struct field *field, const json_t *value)
{
	return json_is_number(value) ? json_real(json_number_value(value)) : NULL;
}

static char *format_real(const struct field *field, const json_t *value)
{
	return text_new("%.1f", json_number_value(value));
}

static char *format_time(const struct field *field, const json_t *value)
{
	double t = json_number_value(value);
	time_t seconds = (time_t)t;
	struct tm tm;
	char day[32];

	localtime_r(&seconds, &tm);
	(void)strftime(day, sizeof(day), "%F %T", &tm);
	return text_new("%s.%03d", day, (int)((t - (double)seconds) * 1000));
}

/* --- addresses and VLANs --- */

bool value_parse_mac(const char *text, uint8_t mac[6])
{
	for (int i = 0; i < 6; i++) {
		char digits[3] = { text[0], text[0] ? text[1] : '\0', '\0' };

		if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
			return false;
		mac[i] = (uint8_t)strtoul(digits, NULL, 16);
		text += 2;
		if (i < 5 && *text != ':' && *text != '-')
			return false;
		text += i < 5;
	}
	return *text == '\0';
}

static json_t *mac_json(const uint8_t mac[6])
{
	char text[18];

	text_put(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	return json_string(text);
}

static json_t *parse_mac(const struct field *field, const char *text)
{
	static const uint8_t zero[6];
	uint8_t mac[6];

	if (!value_parse_mac(text, mac) || mac[0] & 1 || !memcmp(mac, zero, 6))
		return NULL;
	return mac_json(mac);
}

static json_t *parse_vlans(const struct field *field, const char *text)
{
	struct vlan_set set;
	json_t *value;
	char *canonical;

	if (!vlans_parse(text, &set))
		return NULL;
	canonical = vlans_format(&set);
	value = json_string(canonical);
	free(canonical);
	return value;
}

/* What is written as a string may come as a number where it is one. */
static json_t *check_as_text(const struct field *field, const json_t *value,
			     json_t *(*parse)(const struct field *field, const char *text))
{
	char text[24];

	if (!json_is_integer(value))
		return NULL;
	text_put(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	return parse(field, text);
}

static json_t *check_vlans(const struct field *field, const json_t *value)
{
	return check_as_text(field, value, parse_vlans);
}

/* --- queues and workers --- */

static json_t *parse_pins(const struct field *field, const char *text)
{
	bool allowed[QUEUE_KINDS] = { false };
	struct pins pins;
	json_t *value;
	char *canonical;

	if (!pins_parse(text, &pins))
		return NULL;
	for (unsigned int k = 0; k < QUEUE_KINDS; k++) {
		for (const char *const *word = field->words; *word; word++)
			allowed[k] |= !strcmp(*word, queue_kinds[k]);
		for (unsigned int i = 0; i < PIN_QUEUES; i++)
			if (pins.pinned[k][i] && !allowed[k])
				return NULL;
	}
	canonical = pins_format(&pins);
	value = json_string(canonical);
	free(canonical);
	return value;
}

static json_t *parse_worker(const struct field *field, const char *text)
{
	unsigned int worker;

	return !strcmp(text, "auto") || worker_parse(text, &worker) ? json_string(text) : NULL;
}

static json_t *check_worker(const struct field *field, const json_t *value)
{
	return check_as_text(field, value, parse_worker);
}

/* --- what rules match by --- */

static json_t *parse_prefix(const struct field *field, const char *text)
{
	char canonical[PREFIX_TEXT_SIZE], wrong[PREFIX_TEXT_SIZE];
	struct prefix prefix;

	if (!prefix_parse(text, &prefix, wrong))
		return NULL;
	prefix_format(&prefix, canonical);
	return json_string(canonical);
}

static json_t *parse_addresses(const struct field *field, const char *text)
{
	char wrong[PREFIX_TEXT_SIZE], *canonical;
	struct addresses list;
	json_t *value;

	if (!addresses_parse(text, &list, wrong))
		return NULL;
	canonical = addresses_format(&list);
	value = json_string(canonical);
	free(canonical);
	return value;
}

static json_t *parse_protocol(const struct field *field, const char *text)
{
	char canonical[PROTOCOL_TEXT_SIZE];
	unsigned int protocol;

	if (!protocol_parse(text, &protocol))
		return NULL;
	protocol_format(protocol, canonical);
	return json_string(canonical);
}

static json_t *parse_ports(const struct field *field, const char *text)
{
	char canonical[PORTS_TEXT_SIZE];
	struct ports ports;

	if (!ports_parse(text, &ports))
		return NULL;
	ports_format(&ports, canonical);
	return json_string(canonical);
}

static json_t *parse_mark(const struct field *field, const char *text)
{
	int mark;

	if (!mark_parse(text, field->words[0], (unsigned int)field->max, &mark))
		return NULL;
	return json_string(text); /* which has no other form */
}

static json_t *parse_eight(const struct field *field, const char *text)
{
	uint8_t eight[N_EIGHT];
	char *canonical;
	json_t *value;

	if (!eight_parse(text, field->words, (unsigned int)field->max, eight))
		return NULL;
	canonical = eight_format(eight, field->words);
	value = json_string(canonical);
	free(canonical);
	return value;
}

static json_t *check_mark(const struct field *field, const json_t *value)
{
	return check_as_text(field, value, parse_mark);
}

static json_t *check_protocol(const struct field *field, const json_t *value)
{
	return check_as_text(field, value, parse_protocol);
}

static json_t *check_ports(const struct field *field, const json_t *value)
{
	return check_as_text(field, value, parse_ports);
}

/* --- status only --- */

static json_t *check_any(const struct field *field, const json_t *value)
{
	return json_deep_copy(value);
}

static json_t *check_list(const struct field *field, const json_t *value)
{
	return json_is_array(value) ? json_deep_copy(value) : NULL;
}

static json_t *check_map(const struct field *field, const json_t *value)
{
	return json_is_object(value) ? json_deep_copy(value) : NULL;
}

static char *format_list(const struct field *field, const json_t *value)
{
	char *text = NULL;
	size_t size, i;
	json_t *item;
	FILE *out = text_open(&text, &size);

	json_array_foreach(value, i, item) {
		emit(out, "%s%s", i ? "; " : "", json_string_value(item));
	}
	text_close(out);
	return text;
}

static char *format_map(const struct field *field, const json_t *value)
{
	char *text = NULL;
	const char *key, *sep = "";
	size_t size;
	json_t *item;
	FILE *out = text_open(&text, &size);

	json_object_foreach((json_t *)value, key, item) {
		emit(out, "%s%s %" JSON_INTEGER_FORMAT, sep, key, json_integer_value(item));
		sep = ", ";
	}
	text_close(out);
	return text;
}

static char *format_json(const struct field *field, const json_t *value)
{
	char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

	assert(text);
	return text;
}

/* NOLINTEND(misc-unused-parameters) */

/* clang-format off */
static const struct value_type types[N_FIELD_TYPES] = {
	[TYPE_NAME] = { "name", parse_name, NULL, format_string,
		"letters, digits, `_`, `.` and `-`, at most 63, a letter or digit first" },
	[TYPE_STRING] = { "string", parse_string, NULL, format_string, "printable text" },
	[TYPE_PATH] = { "path", parse_path, NULL, format_string, "an absolute path" },
	[TYPE_REF] = { "ref", parse_ref, NULL, format_string, "the name of an object that exists" },
	[TYPE_REFS] = { "refs", parse_refs, NULL, format_string,
		"names of objects that exist, with commas between: `web1,web2`" },
	[TYPE_BOOL] = { "bool", parse_bool, check_bool, format_bool,
		"`on` or `off` (also `yes`, `no`, `true`, `false`); JSON `true` or `false`" },
	[TYPE_UINT] = { "uint", parse_uint, check_uint, format_uint, "a whole number, decimal or 0x..." },
	[TYPE_REAL] = { "real", NULL, check_number, format_real, "a number" },
	[TYPE_ENUM] = { "enum", parse_enum, NULL, format_string, "one of the words given with the field" },
	[TYPE_MAC] = { "mac", parse_mac, NULL, format_string,
		"six bytes in hexadecimal with `:` or `-` between, not multicast and not zero" },
	[TYPE_VLAN] = { "vlan", parse_uint, check_uint, format_uint, "a VLAN from 1 to 4094, or 0 for none" },
	[TYPE_VLANS] = { "vlans", parse_vlans, check_vlans, format_string,
		"`none`, `all`, or VLANs and ranges of them: `10,20-30`" },
	[TYPE_PINS] = { "pins", parse_pins, NULL, format_string,
		"`none`, or queues of the port, each with a worker's number: `vf-0=1`, `uplink-0=0`" },
	[TYPE_WORKER] = { "worker", parse_worker, check_worker, format_string,
		"`auto`, or the number of a worker" },
	[TYPE_PREFIX] = { "prefix", parse_prefix, NULL, format_string,
		"`any`, a MAC address, or an IPv4 or IPv6 address with the bits of its prefix: `10.0.0.0/8`, "
		"`2001:db8::1`" },
	[TYPE_ADDRESSES] = { "addresses", parse_addresses, NULL, format_string,
		"`none`, or IPv4 and IPv6 addresses, at most 32, which may be prefixes: `10.0.0.5,2001:db8::/64`" },
	[TYPE_PROTOCOL] = { "protocol", parse_protocol, check_protocol, format_string,
		"`any`, `icmp`, `igmp`, `tcp`, `udp`, `gre`, `esp`, `icmpv6`, `sctp`, or a number from 0 to 255" },
	[TYPE_PORTS] = { "ports", parse_ports, check_ports, format_string,
		"`any`, a port from 0 to 65535, or a range: `1024-65535`" },
	[TYPE_MARK] = { "mark", parse_mark, check_mark, format_string,
		"a number, or the word for none" },
	[TYPE_EIGHT] = { "eight", parse_eight, NULL, format_string,
		"values of the numbers 0 to 7 as dcb(8) writes them, with commas or spaces: `all:0`, `0:1,3:2`; what is not "
		"named has 0, or the first word" },
	[TYPE_RATE] = { "rate", parse_rate, check_uint, format_rate,
		"bits a second with a unit as tc(8) writes it: `500mbit`, `10gbit`, `64kibit`, or bytes: "
		"`125mbps`; JSON: a whole number of bits a second" },
	[TYPE_DURATION] = { "duration", parse_duration, check_uint, format_duration,
		"a number with `us`, `ms`, `s`, `m`, `h` or `d`; JSON: a whole number in the field's unit" },
	[TYPE_SIZE] = { "size", parse_size, check_uint, format_size,
		"bytes, with `K`, `M`, `G` or `T` for powers of 1024; JSON: a whole number of bytes" },
	[TYPE_TIME] = { "time", NULL, check_number, format_time, "JSON: seconds since 1970" },
	[TYPE_LIST] = { "list", NULL, check_list, format_list, "JSON: an array of strings" },
	[TYPE_MAP] = { "map", NULL, check_map, format_map, "JSON: an object of whole numbers" },
	[TYPE_JSON] = { "json", NULL, check_any, format_json, "JSON" },
};
/* clang-format on */

static int refuse_text(const struct field *field, const char *text, struct refusal *why)
{
	char allowed[sizeof(why->allowed)], instead[PREFIX_TEXT_SIZE] = "";
	struct prefix prefix;
	struct addresses list;

	if ((field->type == TYPE_PREFIX && !prefix_parse(text, &prefix, instead) && instead[0]) ||
	    (field->type == TYPE_ADDRESSES && !addresses_parse(text, &list, instead) && instead[0]))
		return refuse_value(why, field->name, text, "%s (bits are set behind the prefix)",
				    instead);
	return refuse_value(why, field->name, text, "%s",
			    value_allowed(field, allowed, sizeof(allowed)));
}

json_t *value_parse(const struct field *field, const char *text, struct refusal *why)
{
	const struct value_type *type = &types[field->type];
	json_t *value = type->parse ? type->parse(field, text) : NULL;

	if (!value)
		refuse_text(field, text, why);
	return value;
}

json_t *value_check(const struct field *field, const json_t *value, struct refusal *why)
{
	const struct value_type *type = &types[field->type];
	json_t *checked;
	char *text;

	if (json_is_string(value) && type->parse) {
		/* A NUL inside would hide the rest of it. */
		if (strlen(json_string_value(value)) == json_string_length(value))
			return value_parse(field, json_string_value(value), why);
		refuse_text(field, json_string_value(value), why);
		return NULL;
	}
	checked = type->check ? type->check(field, value) : NULL;
	if (checked)
		return checked;
	text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	refuse_text(field, text ? text : "", why);
	free(text);
	return NULL;
}

char *value_format(const struct field *field, const json_t *value)
{
	return types[field->type].format(field, value);
}

static void allowed_enum(const struct field *field, char *buf, size_t size)
{
	size_t at = 0;

	for (const char *const *word = field->words; *word && at < size; word++) {
		const char *sep = word == field->words ? "" : word[1] ? ", " : " or ";

		at += (size_t)snprintf(buf + at, size - at, "%s%s", sep, *word);
	}
}

static void allowed_eight(const struct field *field, char *buf, size_t size)
{
	if (field->words)
		text_put(buf, size,
			 "N:%s or N:%s, N from 0 to 7 or `all`, several with commas between",
			 field->words[0], field->words[1]);
	else
		text_put(buf, size,
			 "N:VALUE, N from 0 to 7 or `all`, values up to %" PRIu64
			 ", several with commas between",
			 field->max);
}

const char *value_allowed(const struct field *field, char *buf, size_t size)
{
	uint64_t max = field->max ? field->max : INT64_MAX;
	char *from, *to;

	switch (field->type) {
	case TYPE_ENUM:
		allowed_enum(field, buf, size);
		break;
	case TYPE_BOOL:
		text_put(buf, size, "on or off");
		break;
	case TYPE_VLAN:
	case TYPE_UINT:
		text_put(buf, size, "a number from %" PRIu64 " to %" PRIu64, field->min, max);
		break;
	case TYPE_MARK:
		text_put(buf, size, "%s, or a number from %" PRIu64 " to %" PRIu64, field->words[0],
			 field->min, max);
		break;
	case TYPE_EIGHT:
		allowed_eight(field, buf, size);
		break;
	case TYPE_DURATION:
		text_put(buf, size, "a time from %" PRIu64 "%s to %" PRIu64 "%s", field->min,
			 field->unit, max, field->unit);
		break;
	case TYPE_RATE:
	case TYPE_SIZE:
		from = units_format(field->type == TYPE_RATE ? UNITS_RATE : UNITS_SIZE, field->min);
		to = units_format(field->type == TYPE_RATE ? UNITS_RATE : UNITS_SIZE, max);
		text_put(buf, size, "a %s from %s to %s", types[field->type].name, from, to);
		free(from);
		free(to);
		break;
	case TYPE_STRING:
		text_put(buf, size, "printable text of %" PRIu64 " to %zu bytes", field->min,
			 string_max(field));
		break;
	case TYPE_PINS:
		text_put(buf, size, "none, or the workers of queues: %s-0=1%s%s%s", field->words[0],
			 field->words[1] ? "," : "", field->words[1] ? field->words[1] : "",
			 field->words[1] ? "-0=0" : "");
		break;
	case TYPE_REFS:
		text_put(buf, size, "names of %ss, with commas between", field->ref);
		break;
	case TYPE_REF:
		text_put(buf, size, "the name of %s %s",
			 strchr("aeiou", field->ref[0]) != NULL ? "an" : "a", field->ref);
		break;
	default:
		text_put(buf, size, "%s", types[field->type].help);
	}
	return buf;
}

json_t *value_default(const struct field *field)
{
	struct refusal why = REFUSAL_INIT;
	json_t *value;

	if (!field->def)
		return NULL;
	value = value_parse(field, field->def, &why);
	assert(value); /* a test checks every default of the table */
	return value;
}

json_t *value_generate(const struct field *field)
{
	uint8_t mac[6];
	ssize_t n = getrandom(mac, sizeof(mac), 0);

	assert(field->type == TYPE_MAC && n == sizeof(mac));
	(void)n;
	mac[0] = (uint8_t)((mac[0] & 0xfc) | 0x02); /* unicast, locally administered */
	return mac_json(mac);
}

const char *value_type_name(enum field_type type)
{
	return types[type].name;
}

const char *value_type_help(enum field_type type)
{
	return types[type].help;
}
