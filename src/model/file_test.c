/* SPDX-License-Identifier: BSD-3-Clause */
/* YAML files: what they mean, and where they are wrong. */
#include "model/file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

static void test_good(void **state)
{
	static const struct {
		const char *yaml, *json;
	} cases[] = {
		{ "{}", "{}" },
		{ "switch:\n", "{\"switch\":{}}" },
		{ "switch:\n  lan:\n", "{\"switch\":{\"lan\":{}}}" },
		{ "switch: {lan: ~}", "{\"switch\":{\"lan\":{}}}" },
		{ "switch:\n  lan:\n    vfs: 64\n", "{\"switch\":{\"lan\":{\"vfs\":\"64\"}}}" },
		{ "---\nvport: {web1: {iov: on, mac: 02:00:00:00:00:01}}\n...\n",
		  "{\"vport\":{\"web1\":{\"iov\":\"on\",\"mac\":\"02:00:00:00:00:01\"}}}" },
		{ "vport: {web1: {owner: '', vlan: , mtu: null, trunk: ~}}",
		  "{\"vport\":{\"web1\":{\"owner\":\"\",\"vlan\":null,\"mtu\":null,\"trunk\":null}}}" },
		{ "# comment\nuplink:\n  up: { device: \"net_tap0,iface=t0\" } # more\n",
		  "{\"uplink\":{\"up\":{\"device\":\"net_tap0,iface=t0\"}}}" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal why = REFUSAL_INIT;
		struct file_pos pos;
		struct file *file = file_parse(cases[i].yaml, strlen(cases[i].yaml), &pos, &why);
		char *json;

		if (!file)
			fail_msg("%s: %s", cases[i].yaml, why.text);
		json = json_dumps(file_tree(file), JSON_COMPACT);
		assert_string_equal(json, cases[i].json);
		free(json);
		file_free(file);
	}
}

static void test_bad(void **state)
{
	static const struct {
		const char *yaml;
		size_t line, column;
		const char *text; /* the beginning of it */
	} cases[] = {
		{ "", 1, 1, "the file is empty" },
		{ "# only this\n", 2, 1, "the file is empty" },
		{ "switch", 1, 1, "here is a value where a mapping TYPE: ... must be" },
		{ "- switch", 1, 1, "here is a list where a mapping TYPE: ... must be" },
		{ "switch: lan\n", 1, 9, "here is a value where a mapping NAME: ... must be" },
		{ "switch: [lan]\n", 1, 9, "here is a list where a mapping NAME: ... must be" },
		{ "switch:\n  lan: 5\n", 2, 8,
		  "here is a value where a mapping FIELD: VALUE must be" },
		{ "switch:\n  lan:\n    vfs: [1, 2]\n", 3, 10,
		  "here is a list where one value must be" },
		{ "switch:\n  lan:\n    vfs: {a: b}\n", 3, 10,
		  "here is a mapping where one value must be" },
		{ "switch:\n  lan:\n    vfs: 1\n    vfs: 2\n", 4, 5,
		  "'vfs' is here twice; the first is in line 3" },
		{ "switch: {a: }\nswitch: {b: }\n", 2, 1,
		  "'switch' is here twice; the first is in line 1" },
		{ "switch:\n  lan: &x {}\n  wan: *x\n", 3, 8,
		  "here is an alias where a mapping FIELD: VALUE must be" },
		{ "? [a]\n: b\n", 1, 3, "here is a list where a type of objects must be" },
		{ "'': {}\n", 1, 1, "here is a value where a type of objects must be" },
		{ "switch:\n\tlan: {}\n", 2, 1,
		  "not YAML: found character that cannot start any token" },
		{ "switch: {lan: {vfs: 1}\n", 2, 1, "not YAML: did not find expected ',' or '}'" },
		{ "switch:\n  lan:\n   vfs: 1\n  fdb: 'x\n", 5, 1,
		  "not YAML: found unexpected end" },
		{ "a: {}\n---\nb: {}\n", 2, 1, "here is a second document where the end" },
		{ "a: \xff\n", 1, 1, "not YAML: invalid leading UTF-8 octet" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal why = REFUSAL_INIT;
		struct file_pos pos;
		struct file *file = file_parse(cases[i].yaml, strlen(cases[i].yaml), &pos, &why);

		assert_null(file);
		if (strncmp(why.text, cases[i].text, strlen(cases[i].text)) != 0 ||
		    pos.line != cases[i].line || pos.column != cases[i].column)
			fail_msg("case %zu: %zu:%zu: %s", i, pos.line, pos.column, why.text);
	}
}

static void test_locate(void **state)
{
	static const char yaml[] = "switch:\n"
				   "  lan: {vfs: 5000}\n"
				   "vport:\n"
				   "  web1:\n"
				   "    vlan:   10\n"
				   "  web2: {}\n";
	static const struct {
		const char *object, *name, *field;
		size_t line, column;
	} cases[] = {
		{ "switch", "lan", "vfs", 2, 14 },   { "vport", "web1", "vlan", 5, 13 },
		{ "vport", "web2", "switch", 6, 3 }, { "vport", "web1", "", 4, 3 },
		{ "vport", "", "", 3, 1 },           { "vport", "web9", "vlan", 3, 1 },
		{ "uplink", "up", "", 1, 1 },        { NULL, NULL, NULL, 1, 1 },
	};
	struct refusal why = REFUSAL_INIT;
	struct file_pos pos;
	struct file *file = file_parse(yaml, strlen(yaml), &pos, &why);

	assert_non_null(file);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		pos = file_locate(file, cases[i].object, cases[i].name, cases[i].field);
		if (pos.line != cases[i].line || pos.column != cases[i].column)
			fail_msg("case %zu: %zu:%zu", i, pos.line, pos.column);
	}
	file_free(file);
}

static void test_too_large(void **state)
{
	char *text = malloc(FILE_SIZE_MAX + 1);
	struct refusal why = REFUSAL_INIT;
	struct file_pos pos;

	memset(text, ' ', FILE_SIZE_MAX + 1);
	assert_null(file_parse(text, FILE_SIZE_MAX + 1, &pos, &why));
	assert_string_equal(why.text, "larger than 4096 KiB");
	/* Deep nesting is refused at its second level, however deep it goes. */
	memset(text, '[', FILE_SIZE_MAX);
	assert_null(file_parse(text, FILE_SIZE_MAX, &pos, &why));
	assert_int_equal(pos.line, 1);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_locate),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
