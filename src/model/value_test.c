/* SPDX-License-Identifier: BSD-3-Clause */
/* Every type: text in, canonical JSON, text out; and what must be refused. */
#include "model/value.h"

#include "model/units.h"
#include "model/vlans.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

static const char *const words[] = { "82599", "x540", NULL };
static const char *const mark_words[] = { "any", NULL };
static const char *const queue_words[] = { "vf", "synthetic", NULL };

/* clang-format off */
static const struct field fields[N_FIELD_TYPES] = {
	[TYPE_NAME] = { "f", TYPE_NAME, .help = "" },
	[TYPE_STRING] = { "f", TYPE_STRING, .min = 0, .max = 8 },
	[TYPE_PATH] = { "f", TYPE_PATH },
	[TYPE_REF] = { "f", TYPE_REF, .ref = "switch" },
	[TYPE_REFS] = { "f", TYPE_REFS, .ref = "switch" },
	[TYPE_BOOL] = { "f", TYPE_BOOL },
	[TYPE_UINT] = { "f", TYPE_UINT, 0, 68, 9710 },
	[TYPE_ENUM] = { "f", TYPE_ENUM, .words = words },
	[TYPE_MAC] = { "f", TYPE_MAC },
	[TYPE_VLAN] = { "f", TYPE_VLAN, 0, 0, 4094 },
	[TYPE_VLANS] = { "f", TYPE_VLANS },
	[TYPE_PINS] = { "f", TYPE_PINS, .words = queue_words },
	[TYPE_WORKER] = { "f", TYPE_WORKER },
	[TYPE_PREFIX] = { "f", TYPE_PREFIX },
	[TYPE_PROTOCOL] = { "f", TYPE_PROTOCOL },
	[TYPE_PORTS] = { "f", TYPE_PORTS },
	[TYPE_MARK] = { "f", TYPE_MARK, 0, 0, 63, .words = mark_words },
	[TYPE_EIGHT] = { "f", TYPE_EIGHT, 0, 0, 100 },
	[TYPE_ADDRESSES] = { "f", TYPE_ADDRESSES },
	[TYPE_RATE] = { "f", TYPE_RATE, 0, 1, 1000000000000 },
	[TYPE_SIZE] = { "f", TYPE_SIZE, 0, 0, 1ull << 40 },
	[TYPE_DURATION] = { "f", TYPE_DURATION, 0, 0, 86400, "s" },
};

#define LONG63 "a23456789012345678901234567890123456789012345678901234567890123"

/* JSON that comes out of the text, and the text that comes back; NULL: refused. */
static const struct {
	enum field_type type;
	const char *text, *json, *back;
} parse_cases[] = {
	{ TYPE_NAME, "a", "\"a\"", "a" },
	{ TYPE_NAME, "Web_1.x-y", "\"Web_1.x-y\"", "Web_1.x-y" },
	{ TYPE_NAME, "0", "\"0\"", "0" },
	{ TYPE_NAME, LONG63, "\"" LONG63 "\"", LONG63 },
	{ TYPE_NAME, LONG63 "4", NULL, NULL },
	{ TYPE_NAME, "", NULL, NULL },
	{ TYPE_NAME, "-a", NULL, NULL },
	{ TYPE_NAME, ".a", NULL, NULL },
	{ TYPE_NAME, "..", NULL, NULL },
	{ TYPE_NAME, "a/b", NULL, NULL },
	{ TYPE_NAME, "a b", NULL, NULL },
	{ TYPE_NAME, "a\n", NULL, NULL },
	{ TYPE_NAME, "\xc3\xa4", NULL, NULL },

	{ TYPE_STRING, "", "\"\"", "" },
	{ TYPE_STRING, "12345678", "\"12345678\"", "12345678" },
	{ TYPE_STRING, "123456789", NULL, NULL },
	{ TYPE_STRING, "\xc3\xa4", "\"\xc3\xa4\"", "\xc3\xa4" },
	{ TYPE_STRING, "a\tb", NULL, NULL },
	{ TYPE_STRING, "\x7f", NULL, NULL },
	{ TYPE_STRING, "\xff\xfe", NULL, NULL },

	{ TYPE_PATH, "/a b", "\"/a b\"", "/a b" },
	{ TYPE_PATH, "a", NULL, NULL },
	{ TYPE_PATH, "", NULL, NULL },

	{ TYPE_REF, "lan", "\"lan\"", "lan" },
	{ TYPE_REF, "web1/10", "\"web1/10\"", "web1/10" },
	{ TYPE_REF, "web1/", NULL, NULL },
	{ TYPE_REF, "/10", NULL, NULL },
	{ TYPE_REF, "a/b/c", NULL, NULL },
	{ TYPE_REFS, "lan", "\"lan\"", "lan" },
	{ TYPE_REFS, "lan,b,lan,web1/10", "\"b,lan,web1/10\"", "b,lan,web1/10" },
	{ TYPE_REFS, LONG63 "/" LONG63, "\"" LONG63 "/" LONG63 "\"", LONG63 "/" LONG63 },
	{ TYPE_REFS, LONG63 "/" LONG63 "4", NULL, NULL },
	{ TYPE_REFS, "", NULL, NULL },
	{ TYPE_REFS, "lan,", NULL, NULL },
	{ TYPE_REFS, ",lan", NULL, NULL },
	{ TYPE_REFS, "lan, b", NULL, NULL },

	{ TYPE_BOOL, "on", "true", "on" },
	{ TYPE_BOOL, "off", "false", "off" },
	{ TYPE_BOOL, "yes", "true", "on" },
	{ TYPE_BOOL, "false", "false", "off" },
	{ TYPE_BOOL, "On", NULL, NULL },
	{ TYPE_BOOL, "1", NULL, NULL },
	{ TYPE_BOOL, "", NULL, NULL },

	{ TYPE_UINT, "68", "68", "68" },
	{ TYPE_UINT, "9710", "9710", "9710" },
	{ TYPE_UINT, "0x5dc", "1500", "1500" },
	{ TYPE_UINT, "0X5DC", "1500", "1500" },
	{ TYPE_UINT, "0100", "100", "100" },
	{ TYPE_UINT, "67", NULL, NULL },
	{ TYPE_UINT, "9711", NULL, NULL },
	{ TYPE_UINT, "-68", NULL, NULL },
	{ TYPE_UINT, "+68", NULL, NULL },
	{ TYPE_UINT, " 68", NULL, NULL },
	{ TYPE_UINT, "68 ", NULL, NULL },
	{ TYPE_UINT, "68.5", NULL, NULL },
	{ TYPE_UINT, "1e3", NULL, NULL },
	{ TYPE_UINT, "", NULL, NULL },
	{ TYPE_UINT, "0x", NULL, NULL },
	{ TYPE_UINT, "0x5dg", NULL, NULL },
	{ TYPE_UINT, "18446744073709551684", NULL, NULL }, /* 2^64 + 68 */
	{ TYPE_UINT, "0x10000000000000044", NULL, NULL },

	{ TYPE_ENUM, "x540", "\"x540\"", "x540" },
	{ TYPE_ENUM, "X540", NULL, NULL },
	{ TYPE_ENUM, "x5", NULL, NULL },
	{ TYPE_ENUM, "", NULL, NULL },

	{ TYPE_MAC, "02:00:00:00:00:01", "\"02:00:00:00:00:01\"", "02:00:00:00:00:01" },
	{ TYPE_MAC, "02-AB-cd-EF-00-01", "\"02:ab:cd:ef:00:01\"", "02:ab:cd:ef:00:01" },
	{ TYPE_MAC, "fe:ff:ff:ff:ff:ff", "\"fe:ff:ff:ff:ff:ff\"", "fe:ff:ff:ff:ff:ff" },
	{ TYPE_MAC, "01:00:00:00:00:01", NULL, NULL }, /* multicast */
	{ TYPE_MAC, "ff:ff:ff:ff:ff:ff", NULL, NULL },
	{ TYPE_MAC, "00:00:00:00:00:00", NULL, NULL },
	{ TYPE_MAC, "02:00:00:00:00", NULL, NULL },
	{ TYPE_MAC, "02:00:00:00:00:1", NULL, NULL },
	{ TYPE_MAC, "02:00:00:00:00:011", NULL, NULL },
	{ TYPE_MAC, "02:00:00:00:00:01:", NULL, NULL },
	{ TYPE_MAC, "020000000001", NULL, NULL },
	{ TYPE_MAC, "02:00:00:00:00:0g", NULL, NULL },
	{ TYPE_MAC, "02", NULL, NULL },
	{ TYPE_MAC, "", NULL, NULL },

	{ TYPE_VLAN, "0", "0", "0" },
	{ TYPE_VLAN, "4094", "4094", "4094" },
	{ TYPE_VLAN, "4095", NULL, NULL },
	{ TYPE_VLAN, "-1", NULL, NULL },

	{ TYPE_PINS, "none", "\"none\"", "none" },
	{ TYPE_PINS, "vf-0=1", "\"vf-0=1\"", "vf-0=1" },
	{ TYPE_PINS, "synthetic-0=0,vf-7=31,vf-1=2", "\"vf-1=2,vf-7=31,synthetic-0=0\"",
	  "vf-1=2,vf-7=31,synthetic-0=0" },
	{ TYPE_PINS, "", NULL, NULL },
	{ TYPE_PINS, "vf-8=1", NULL, NULL },
	{ TYPE_PINS, "vf-0=32", NULL, NULL },
	{ TYPE_PINS, "vf-00=1", NULL, NULL },
	{ TYPE_PINS, "vf-0=01", NULL, NULL },
	{ TYPE_PINS, "vf-0=", NULL, NULL },
	{ TYPE_PINS, "vf-0", NULL, NULL },
	{ TYPE_PINS, "vf-=1", NULL, NULL },
	{ TYPE_PINS, "vf0=1", NULL, NULL },
	{ TYPE_PINS, "vf-0=1,", NULL, NULL },
	{ TYPE_PINS, ",vf-0=1", NULL, NULL },
	{ TYPE_PINS, "vf-0=1 ", NULL, NULL },
	{ TYPE_PINS, "vf-0=-1", NULL, NULL },
	{ TYPE_PINS, "vf-0=1,vf-0=1", NULL, NULL },
	{ TYPE_PINS, "uplink-0=1", NULL, NULL }, /* a vport has none */
	{ TYPE_PINS, "vf-0=99999999999999999999", NULL, NULL },
	{ TYPE_WORKER, "auto", "\"auto\"", "auto" },
	{ TYPE_WORKER, "0", "\"0\"", "0" },
	{ TYPE_WORKER, "31", "\"31\"", "31" },
	{ TYPE_WORKER, "32", NULL, NULL },
	{ TYPE_WORKER, "-1", NULL, NULL },
	{ TYPE_WORKER, "", NULL, NULL },
	{ TYPE_WORKER, "none", NULL, NULL },
	{ TYPE_VLANS, "none", "\"none\"", "none" },
	{ TYPE_VLANS, "all", "\"all\"", "all" },
	{ TYPE_VLANS, "1-4094", "\"all\"", "all" },
	{ TYPE_VLANS, "10", "\"10\"", "10" },
	{ TYPE_VLANS, "30,10-12,11-20,21", "\"10-21,30\"", "10-21,30" },
	{ TYPE_VLANS, "5-5", "\"5\"", "5" },
	{ TYPE_VLANS, "1,2", "\"1-2\"", "1-2" },
	{ TYPE_VLANS, "4094", "\"4094\"", "4094" },
	{ TYPE_VLANS, "0", NULL, NULL },
	{ TYPE_VLANS, "4095", NULL, NULL },
	{ TYPE_VLANS, "20-10", NULL, NULL },
	{ TYPE_VLANS, "10,", NULL, NULL },
	{ TYPE_VLANS, ",10", NULL, NULL },
	{ TYPE_VLANS, "10-", NULL, NULL },
	{ TYPE_VLANS, "-10", NULL, NULL },
	{ TYPE_VLANS, "10 20", NULL, NULL },
	{ TYPE_VLANS, "", NULL, NULL },
	{ TYPE_VLANS, "99999999999999999999", NULL, NULL },

	{ TYPE_PREFIX, "any", "\"any\"", "any" },
	{ TYPE_PREFIX, "02-AB-cd-EF-00-01", "\"02:ab:cd:ef:00:01\"", "02:ab:cd:ef:00:01" },
	{ TYPE_PREFIX, "ff:ff:ff:ff:ff:ff", "\"ff:ff:ff:ff:ff:ff\"", "ff:ff:ff:ff:ff:ff" },
	{ TYPE_PREFIX, "10.1.2.3", "\"10.1.2.3\"", "10.1.2.3" },
	{ TYPE_PREFIX, "10.1.2.3/32", "\"10.1.2.3\"", "10.1.2.3" },
	{ TYPE_PREFIX, "10.1.2.2/31", "\"10.1.2.2/31\"", "10.1.2.2/31" },
	{ TYPE_PREFIX, "0.0.0.0/0", "\"0.0.0.0/0\"", "0.0.0.0/0" },
	{ TYPE_PREFIX, "2001:DB8:0::/32", "\"2001:db8::/32\"", "2001:db8::/32" },
	{ TYPE_PREFIX, "::/0", "\"::/0\"", "::/0" },
	{ TYPE_PREFIX, "::1/128", "\"::1\"", "::1" },
	{ TYPE_PREFIX, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127",
	  "\"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127\"", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127" },
	{ TYPE_PREFIX, "10.1.2.3/31", NULL, NULL }, /* bits behind the prefix */
	{ TYPE_PREFIX, "10.0.0.1/0", NULL, NULL },
	{ TYPE_PREFIX, "2001:db8::1/64", NULL, NULL },
	{ TYPE_PREFIX, "10.0.0.0/33", NULL, NULL },
	{ TYPE_PREFIX, "::/129", NULL, NULL },
	{ TYPE_PREFIX, "10.0.0.0/", NULL, NULL },
	{ TYPE_PREFIX, "10.0.0.0/08", NULL, NULL },
	{ TYPE_PREFIX, "10.0.0.0/-1", NULL, NULL },
	{ TYPE_PREFIX, "10.0.0.0/8/8", NULL, NULL },
	{ TYPE_PREFIX, "10.0.0/8", NULL, NULL },
	{ TYPE_PREFIX, "256.0.0.0/8", NULL, NULL },
	{ TYPE_PREFIX, "02:00:00:00:00:01/48", NULL, NULL },
	{ TYPE_PREFIX, "any/0", NULL, NULL },
	{ TYPE_PREFIX, "", NULL, NULL },
	{ TYPE_PREFIX, "/8", NULL, NULL },
	{ TYPE_PREFIX, "1111111111111111111111111111111111111111111111111111111111111111/8", NULL, NULL },
	{ TYPE_PROTOCOL, "any", "\"any\"", "any" },
	{ TYPE_PROTOCOL, "tcp", "\"tcp\"", "tcp" },
	{ TYPE_PROTOCOL, "6", "\"tcp\"", "tcp" },
	{ TYPE_PROTOCOL, "0", "\"0\"", "0" },
	{ TYPE_PROTOCOL, "255", "\"255\"", "255" },
	{ TYPE_PROTOCOL, "256", NULL, NULL },
	{ TYPE_PROTOCOL, "TCP", NULL, NULL },
	{ TYPE_PROTOCOL, "", NULL, NULL },
	{ TYPE_ADDRESSES, "none", "\"none\"", "none" },
	{ TYPE_ADDRESSES, "10.0.0.5", "\"10.0.0.5\"", "10.0.0.5" },
	{ TYPE_ADDRESSES, "10.0.0.5/32,10.0.0.4,10.0.0.5", "\"10.0.0.4,10.0.0.5\"", "10.0.0.4,10.0.0.5" },
	{ TYPE_ADDRESSES, "2001:DB8:0::/64,10.0.0.0/8", "\"10.0.0.0/8,2001:db8::/64\"", "10.0.0.0/8,2001:db8::/64" },
	{ TYPE_ADDRESSES, "any", NULL, NULL },
	{ TYPE_ADDRESSES, "", NULL, NULL },
	{ TYPE_ADDRESSES, "10.0.0.5,", NULL, NULL },
	{ TYPE_ADDRESSES, ",10.0.0.5", NULL, NULL },
	{ TYPE_ADDRESSES, "10.0.0.5 10.0.0.6", NULL, NULL },
	{ TYPE_ADDRESSES, "02:00:00:00:00:01", NULL, NULL },
	{ TYPE_ADDRESSES, "10.0.0.1/24", NULL, NULL },
	{ TYPE_PORTS, "any", "\"any\"", "any" },
	{ TYPE_PORTS, "0-65535", "\"any\"", "any" },
	{ TYPE_PORTS, "0", "\"0\"", "0" },
	{ TYPE_PORTS, "65535", "\"65535\"", "65535" },
	{ TYPE_PORTS, "80-80", "\"80\"", "80" },
	{ TYPE_PORTS, "1024-65535", "\"1024-65535\"", "1024-65535" },
	{ TYPE_PORTS, "65536", NULL, NULL },
	{ TYPE_PORTS, "1-65536", NULL, NULL },
	{ TYPE_PORTS, "80-79", NULL, NULL },
	{ TYPE_PORTS, "80-", NULL, NULL },
	{ TYPE_PORTS, "-80", NULL, NULL },
	{ TYPE_PORTS, "99999999999", NULL, NULL },
	{ TYPE_PORTS, "", NULL, NULL },
	{ TYPE_MARK, "any", "\"any\"", "any" },
	{ TYPE_MARK, "0", "\"0\"", "0" },
	{ TYPE_MARK, "63", "\"63\"", "63" },
	{ TYPE_MARK, "64", NULL, NULL },
	{ TYPE_MARK, "046", NULL, NULL },
	{ TYPE_MARK, "-1", NULL, NULL },
	{ TYPE_MARK, "none", NULL, NULL },
	{ TYPE_MARK, "", NULL, NULL },
	{ TYPE_EIGHT, "all:0", "\"all:0\"", "all:0" },
	{ TYPE_EIGHT, "all:7", "\"all:7\"", "all:7" },
	{ TYPE_EIGHT, "3:100", "\"3:100\"", "3:100" },
	{ TYPE_EIGHT, "7:1 0:2", "\"0:2,7:1\"", "0:2,7:1" },
	{ TYPE_EIGHT, "all:1,0:0", "\"1:1,2:1,3:1,4:1,5:1,6:1,7:1\"", "1:1,2:1,3:1,4:1,5:1,6:1,7:1" },
	{ TYPE_EIGHT, "0:0", "\"all:0\"", "all:0" },
	{ TYPE_EIGHT, "8:1", NULL, NULL },
	{ TYPE_EIGHT, "3:101", NULL, NULL },
	{ TYPE_EIGHT, "3:1,3:2", NULL, NULL },
	{ TYPE_EIGHT, "0:1,all:2", NULL, NULL },
	{ TYPE_EIGHT, "3:1,", NULL, NULL },
	{ TYPE_EIGHT, "3", NULL, NULL },
	{ TYPE_EIGHT, "3:", NULL, NULL },
	{ TYPE_EIGHT, ":3", NULL, NULL },
	{ TYPE_EIGHT, "3:on", NULL, NULL },
	{ TYPE_EIGHT, "", NULL, NULL },

	{ TYPE_RATE, "500mbit", "500000000", "500mbit" },
	{ TYPE_RATE, "1", "1", "1bit" },
	{ TYPE_RATE, "1gbit", "1000000000", "1gbit" },
	{ TYPE_RATE, "1.5Gbit", "1500000000", "1500mbit" },
	{ TYPE_RATE, "1000kbit", "1000000", "1mbit" },
	{ TYPE_RATE, "125mbps", "1000000000", "1gbit" },
	{ TYPE_RATE, "64kibit", "65536", "65536bit" },
	{ TYPE_RATE, "1tbit", "1000000000000", "1tbit" },
	{ TYPE_RATE, "0", NULL, NULL },
	{ TYPE_RATE, "1001gbit", NULL, NULL },
	{ TYPE_RATE, "1.5bit", NULL, NULL },
	{ TYPE_RATE, "mbit", NULL, NULL },
	{ TYPE_RATE, "5 mbit", NULL, NULL },
	{ TYPE_RATE, "5mb", NULL, NULL },
	{ TYPE_RATE, "1.gbit", NULL, NULL },
	{ TYPE_RATE, "1..5gbit", NULL, NULL },
	{ TYPE_RATE, "18446744073709551615tbit", NULL, NULL },
	{ TYPE_RATE, "0.00000000000000000001gbit", NULL, NULL },

	{ TYPE_SIZE, "512M", "536870912", "512M" },
	{ TYPE_SIZE, "1024M", "1073741824", "1G" },
	{ TYPE_SIZE, "4096", "4096", "4K" },
	{ TYPE_SIZE, "1MiB", "1048576", "1M" },
	{ TYPE_SIZE, "0", "0", "0" },
	{ TYPE_SIZE, "2T", NULL, NULL },
	{ TYPE_SIZE, "M", NULL, NULL },

	{ TYPE_DURATION, "300", "300", "300s" },
	{ TYPE_DURATION, "300s", "300", "300s" },
	{ TYPE_DURATION, "5m", "300", "300s" },
	{ TYPE_DURATION, "1d", "86400", "86400s" },
	{ TYPE_DURATION, "2000ms", "2", "2s" },
	{ TYPE_DURATION, "1.5m", "90", "90s" },
	{ TYPE_DURATION, "0", "0", "0s" },
	{ TYPE_DURATION, "1500ms", NULL, NULL }, /* not whole seconds */
	{ TYPE_DURATION, "2d", NULL, NULL },
	{ TYPE_DURATION, "5min", NULL, NULL },
	{ TYPE_DURATION, "s", NULL, NULL },
	{ TYPE_DURATION, "", NULL, NULL },
};

/* JSON in, JSON out; NULL: refused. */
static const struct {
	enum field_type type;
	const char *json, *canonical;
} check_cases[] = {
	{ TYPE_BOOL, "true", "true" },
	{ TYPE_BOOL, "\"off\"", "false" },
	{ TYPE_BOOL, "1", NULL },
	{ TYPE_BOOL, "null", NULL },
	{ TYPE_UINT, "68", "68" },
	{ TYPE_UINT, "\"0x44\"", "68" },
	{ TYPE_UINT, "68.0", NULL },
	{ TYPE_UINT, "-68", NULL },
	{ TYPE_UINT, "9711", NULL },
	{ TYPE_UINT, "true", NULL },
	{ TYPE_UINT, "[]", NULL },
	{ TYPE_UINT, "{}", NULL },
	{ TYPE_NAME, "5", NULL },
	{ TYPE_NAME, "\"a\\u0000b\"", NULL },
	{ TYPE_STRING, "\"a\\u0000\"", NULL },
	{ TYPE_MAC, "\"02:AA:00:00:00:01\"", "\"02:aa:00:00:00:01\"" },
	{ TYPE_PINS, "1", NULL },
	{ TYPE_WORKER, "1", "\"1\"" },
	{ TYPE_WORKER, "-1", NULL },
	{ TYPE_WORKER, "1.0", NULL },
	{ TYPE_WORKER, "[1]", NULL },
	{ TYPE_VLANS, "10", "\"10\"" },
	{ TYPE_VLANS, "4095", NULL },
	{ TYPE_VLANS, "[10]", NULL },
	{ TYPE_PROTOCOL, "17", "\"udp\"" },
	{ TYPE_PROTOCOL, "1.0", NULL },
	{ TYPE_PORTS, "443", "\"443\"" },
	{ TYPE_PORTS, "-1", NULL },
	{ TYPE_MARK, "46", "\"46\"" },
	{ TYPE_MARK, "64", NULL },
	{ TYPE_EIGHT, "1", NULL },
	{ TYPE_PREFIX, "10", NULL },
	{ TYPE_RATE, "1000", "1000" },
	{ TYPE_RATE, "\"1kbit\"", "1000" },
	{ TYPE_ENUM, "82599", NULL },
	{ TYPE_ENUM, "\"82599\"", "\"82599\"" },
};
/* clang-format on */

static void test_parse(void **state)
{
	for (size_t i = 0; i < sizeof(parse_cases) / sizeof(parse_cases[0]); i++) {
		const struct field *field = &fields[parse_cases[i].type];
		struct refusal why = REFUSAL_INIT;
		json_t *value = value_parse(field, parse_cases[i].text, &why);
		char *json, *back;

		if (!value != !parse_cases[i].json)
			fail_msg("%s '%s': %s", value_type_name(field->type), parse_cases[i].text,
				 value ? "taken" : "refused");
		if (!value) {
			assert_int_equal(why.code, -EINVAL);
			assert_string_equal(why.field, "f");
			assert_true(why.allowed[0]);
			continue;
		}
		json = json_dumps(value, JSON_ENCODE_ANY);
		back = value_format(field, value);
		assert_string_equal(json, parse_cases[i].json);
		assert_string_equal(back, parse_cases[i].back);
		json_decref(value);
		free(json);
		/* What it prints reads back as the same. */
		value = value_parse(field, back, &why);
		json = json_dumps(value, JSON_ENCODE_ANY);
		assert_string_equal(json, parse_cases[i].json);
		json_decref(value);
		free(json);
		free(back);
	}
}

static void test_check(void **state)
{
	for (size_t i = 0; i < sizeof(check_cases) / sizeof(check_cases[0]); i++) {
		const struct field *field = &fields[check_cases[i].type];
		struct refusal why = REFUSAL_INIT;
		json_t *in =
			json_loads(check_cases[i].json, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
		json_t *value = value_check(field, in, &why);
		char *json;

		assert_non_null(in);
		json_decref(in);
		if (!value != !check_cases[i].canonical)
			fail_msg("%s %s: %s", value_type_name(field->type), check_cases[i].json,
				 value ? "taken" : "refused");
		if (!value)
			continue;
		json = json_dumps(value, JSON_ENCODE_ANY);
		assert_string_equal(json, check_cases[i].canonical);
		free(json);
		json_decref(value);
	}
}

static void test_vlan_sets(void **state)
{
	struct vlan_set set;
	char *text;

	/* The worst list: every second VLAN. */
	memset(&set, 0, sizeof(set));
	for (unsigned int v = 2; v <= 4094; v += 2)
		set.word[v / 64] |= 1ull << v % 64;
	text = vlans_format(&set);
	assert_true(strlen(text) > 9000);
	assert_true(vlans_parse(text, &set));
	for (uint16_t v = 0; v < 4096; v++)
		assert_int_equal(vlan_set_has(&set, v), v >= 2 && v <= 4094 && v % 2 == 0);
	free(text);
	assert_true(vlans_parse("all", &set));
	assert_false(vlan_set_has(&set, 0));
	assert_false(vlan_set_has(&set, 4095));
	assert_true(vlan_set_has(&set, 1));
	assert_true(vlan_set_has(&set, 4094));
}

static void test_generated_macs(void **state)
{
	json_t *a = value_generate(&fields[TYPE_MAC]), *b = value_generate(&fields[TYPE_MAC]);
	uint8_t mac[6];

	assert_true(value_parse_mac(json_string_value(a), mac));
	assert_int_equal(mac[0] & 3, 2);
	assert_false(json_equal(a, b));
	json_decref(a);
	json_decref(b);
}

static void test_rounding(void **state)
{
	static const struct {
		uint64_t value;
		const char *text;
	} cases[] = {
		{ 0, "0bit" },         { 999, "999bit" },          { 1000, "1.00kbit" },
		{ 12345, "12.3kbit" }, { 1234567890, "1.23gbit" }, { 999999999999, "1000gbit" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = units_round(UNITS_RATE, cases[i].value);

		assert_string_equal(text, cases[i].text);
		free(text);
	}
}

static void test_refusal_lines(void **state)
{
	char line[REFUSAL_LINE_SIZE], allowed[512];
	struct refusal why = REFUSAL_INIT;
	const struct field *vlan =
		&(const struct field){ "vlan", TYPE_VLAN, 0, 0, 4094, .help = "" };
	char huge[5000];

	assert_null(value_parse(vlan, "5000", &why));
	refusal_about(&why, "vport", "web1");
	assert_string_equal(refusal_line(&why, line, sizeof(line)),
			    "vport 'web1': vlan: '5000' is not allowed: a number from 0 to 4094");
	assert_null(value_parse(&fields[TYPE_PREFIX], "10.1.2.3/8", &why));
	assert_string_equal(why.allowed, "10.0.0.0/8 (bits are set behind the prefix)");
	/* What comes from outside stays one line, in UTF-8, and short. */
	memset(huge, 'x', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	memcpy(huge, "a\nb\x1b[31m\xff\xc3\xa4", 11);
	assert_null(value_parse(vlan, huge, &why));
	assert_memory_equal(why.value, "a?b?[31m?\xc3\xa4xxx", 14);
	assert_true(strlen(why.value) < sizeof(why.value));
	assert_string_equal(why.value + strlen(why.value) - 3, "...");
	refusal_line(&why, line, sizeof(line));
	assert_null(strchr(line, '\n'));
	assert_string_equal(value_allowed(&fields[TYPE_ENUM], allowed, sizeof(allowed)),
			    "82599 or x540");
	assert_string_equal(value_allowed(&fields[TYPE_RATE], allowed, sizeof(allowed)),
			    "a rate from 1bit to 1tbit");
	assert_string_equal(value_allowed(&fields[TYPE_DURATION], allowed, sizeof(allowed)),
			    "a time from 0s to 86400s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),     cmocka_unit_test(test_check),
		cmocka_unit_test(test_vlan_sets), cmocka_unit_test(test_generated_macs),
		cmocka_unit_test(test_rounding),  cmocka_unit_test(test_refusal_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
