/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Objects, trees, checks and the order of changes: with the program's own table, and with one that has
 * what is to come: objects that a vport owns, and references between them.
 */
#include "model/config.h"

#include "model/diff.h"
#include "model/object.h"
#include "model/text.h"
#include "model/value.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

/* clang-format off */
#define END { .name = NULL }
static const struct field owner_fields[] = {
	{ "name", TYPE_NAME, FIELD_REQUIRED, .help = "" },
	{ "kind", TYPE_UINT, FIELD_CREATE, 0, 9, .def = "0" },
	END
};
static const struct field box_fields[] = {
	{ "name", TYPE_NAME, FIELD_REQUIRED, .help = "" },
	{ "on", TYPE_REF, .ref = "owner", .flags = FIELD_REQUIRED, .help = "" },
	{ "kind", TYPE_UINT, FIELD_CREATE, 0, 9, .def = "0" },
	END
};
static const struct field rule_fields[] = {
	{ "name", TYPE_NAME, FIELD_REQUIRED, .help = "" },
	{ "weight", TYPE_UINT, 0, 0, 9, .def = "0" },
	{ "note", TYPE_STRING, .help = "" },
	END
};
static const struct verb no_verbs[] = { END };
static const struct object_type later_types[] = {
	{ "owner", "owners", OBJECT_STORED, NULL, owner_fields, no_verbs, .help = "", .text = "" },
	{ "box", "boxes", OBJECT_STORED, NULL, box_fields, no_verbs, .help = "", .text = "" },
	{ "rule", "rules", OBJECT_STORED, "box", rule_fields, no_verbs, .help = "", .text = "" },
	END
};
/* clang-format on */
static const struct schema later = { later_types };

static json_t *tree_of(const struct schema *schema, const char *text, const json_t *base,
		       struct refusal *why)
{
	json_error_t error;
	json_t *params = json_loads(text, 0, &error), *tree;

	if (!params)
		fail_msg("%s: %s", text, error.text);
	tree = config_make(schema, params, base, why);
	if (tree && config_check(schema, tree, base, why)) {
		json_decref(tree);
		tree = NULL;
	}
	json_decref(params);
	return tree;
}

/* The same with ' for ". */
static json_t *quoted_tree(const struct schema *schema, const char *text, const json_t *base,
			   struct refusal *why)
{
	char *copy = strdup(text);
	json_t *tree;

	for (char *s = copy; *s; s++)
		if (*s == '\'')
			*s = '"';
	tree = tree_of(schema, copy, base, why);
	free(copy);
	return tree;
}

static void refused(const struct schema *schema, const char *text, const json_t *base, int code,
		    const char *line)
{
	char buf[REFUSAL_LINE_SIZE];
	struct refusal why = REFUSAL_INIT;
	json_t *tree = tree_of(schema, text, base, &why);

	if (tree)
		fail_msg("taken: %s", text);
	assert_string_equal(refusal_line(&why, buf, sizeof(buf)), line);
	assert_int_equal(why.code, code);
}

static void test_table(void **state)
{
	/* Every default is allowed, every reference names an earlier type, every verb and field has
	 * help, every scope of uniqueness is a field. */
	foreach_type(type, &softiov_schema) {
		assert_non_null(type->help);
		foreach_field(field, type->fields) {
			json_t *def = value_default(field);

			assert_true(!field->def == !def);
			json_decref(def);
			assert_true(field->help && *field->help);
			assert_ptr_equal(type_field(type, field->name), field);
			if (field->type == TYPE_ENUM)
				assert_non_null(field->words);
			assert_true((field->type == TYPE_REF || field->type == TYPE_REFS) ==
				    !!field->ref);
			if (field->ref)
				assert_true(schema_type(&softiov_schema, field->ref) < type);
			if (field->unique && *field->unique != '*')
				assert_non_null(type_field(type, field->unique));
			if (field_settable(type, field) && field->type == TYPE_UINT)
				assert_true(field->max > 0);
		}
		foreach_verb(verb, type) {
			assert_ptr_equal(type_verb(type, verb->name), verb);
			foreach_field(param, verb->params)
				assert_true(param->help && *param->help);
		}
	}
}

static void test_add(void **state)
{
	struct refusal why = REFUSAL_INIT;
	json_t *tree =
		tree_of(&softiov_schema,
			"{\"switch\": {\"lan\": null}, \"vport\": {\"web1\": {\"switch\": \"lan\","
			" \"vlan\": \"10\", \"trunk\": \"30,20-29\", \"iov\": null}}}",
			NULL, &why);
	const json_t *obj = config_get(tree, "vport", "web1");
	struct vlan_set vlans;
	uint8_t mac[6];

	assert_non_null(obj);
	assert_string_equal(obj_name(obj), "web1");
	assert_int_equal(obj_uint(obj, "vlan"), 10);
	assert_true(obj_bool(obj, "iov"));
	assert_false(obj_bool(obj, "trust"));
	assert_true(obj_is(obj, "model", "82599"));
	assert_string_equal(obj_str(obj, "owner"), "");
	assert_string_equal(obj_str(obj, "trunk"), "20-30");
	obj_vlans(obj, "trunk", &vlans);
	assert_true(vlan_set_has(&vlans, 20) && vlan_set_has(&vlans, 30));
	assert_false(vlan_set_has(&vlans, 19) || vlan_set_has(&vlans, 31));
	obj_mac(obj, "mac", mac);
	assert_int_equal(mac[0] & 3, 2);
	assert_false(obj_has(obj, "path"));
	assert_int_equal(obj_uint(config_get(tree, "switch", "lan"), "vfs"), 64);
	json_decref(tree);
}

#define LAN    "\"switch\": {\"lan\": {}, \"wan\": {}}"
#define MAC(x) "\"mac\": \"02:00:00:00:00:0" x "\""

static void test_refusals(void **state)
{
	static const struct {
		const char *text;
		int code;
		const char *line;
	} cases[] = {
		{ "[]", -EINVAL, "a configuration is {TYPE: {NAME: {FIELD: VALUE}}}" },
		{ "{\"svitch\": {}}", -EINVAL,
		  "svitch: there is no such type of configured objects; did you mean 'switch'? one of "
		  "switch, uplink, vport, acl, qos-policy, mirror, extension" },
		{ "{\"vf\": {}}", -EINVAL,
		  "vf: there is no such type of configured objects: one of switch, uplink, vport, acl, "
		  "qos-policy, mirror, extension" },
		{ "{\"switch\": []}", -EINVAL, "switch: must hold {NAME: {FIELD: VALUE}}" },
		{ "{\"switch\": {\"lan\": 5}}", -EINVAL,
		  "switch 'lan': its fields must be {FIELD: VALUE}" },
		{ "{\"switch\": {\"lan\": {\"vfz\": 5}}}", -EINVAL,
		  "switch 'lan': vfz: there is no such field; did you mean 'vfs'? one of vfs, filters, fdb-age, "
		  "fdb-limit, default-min, default-weight" },
		{ "{\"switch\": {\"lan\": {\"vfs\": 257}}}", -EINVAL,
		  "switch 'lan': vfs: '257' is not allowed: a number from 0 to 256" },
		{ "{\"switch\": {\"lan\": {\"vfs\": [1]}}}", -EINVAL,
		  "switch 'lan': vfs: '[1]' is not allowed: a number from 0 to 256" },
		{ "{\"switch\": {\"lan\": {\"drops\": 0}}}", -EINVAL,
		  "switch 'lan': drops: this field is made by the daemon and cannot be set" },
		{ "{\"switch\": {\"lan\": {\"name\": \"wan\"}}}", -EINVAL,
		  "switch 'lan': name: 'wan': a name cannot change" },
		{ "{\"switch\": {\"a/b\": {}}}", -EINVAL,
		  "switch 'a/b': name: 'a/b' is not allowed: letters, digits, `_`, `.` and `-`, at most "
		  "63, a letter or digit first" },
		{ "{\"vport\": {\"web1\": {}}}", -EINVAL,
		  "vport 'web1': switch: must be given: the name of a switch" },
		{ "{" LAN ", \"vport\": {\"web1\": {\"switch\": \"lam\"}}}", -ENOENT,
		  "vport 'web1': switch: 'lam': there is no such switch; did you mean 'lan'? one of lan, "
		  "wan" },
		{ "{" LAN ", \"vport\": {\"a\": {\"switch\": \"lan\", " MAC(
			  "1") "},"
			       " \"b\": {\"switch\": \"lan\", " MAC("1") "}}}",
		  -EEXIST,
		  "vport 'b': mac: '02:00:00:00:00:01': vport 'a' on switch 'lan' has it already" },
		{ "{" LAN ", \"uplink\": {\"a\": {\"switch\": \"lan\", \"device\": \"eth0\"},"
		  " \"b\": {\"switch\": \"wan\", \"device\": \"eth0\"}}}",
		  -EEXIST, "uplink 'b': device: 'eth0': uplink 'a' has it already" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		refused(&softiov_schema, cases[i].text, NULL, cases[i].code, cases[i].line);
}

static void test_unique_scope(void **state)
{
	struct refusal why = REFUSAL_INIT;
	json_t *base = tree_of(&softiov_schema,
			       "{" LAN ", \"vport\": {\"z\": {\"switch\": \"lan\", " MAC(
				       "1") "},"
					    " \"b\": {\"switch\": \"wan\", " MAC("1") "}}}",
			       NULL, &why);

	assert_non_null(base); /* the same MAC on two switches is fine */
	/* The one that comes later is blamed, whatever the names. */
	refused(&softiov_schema,
		"{" LAN
		", \"vport\": {\"a\": {\"switch\": \"lan\", \"mac\": \"02-00-00-00-00-01\"},"
		" \"z\": {\"switch\": \"lan\", " MAC("1") "}}}",
		base, -EEXIST,
		"vport 'a': mac: '02:00:00:00:00:01': vport 'z' on switch 'lan' has it already");
	json_decref(base);
}

static void test_set(void **state)
{
	const struct object_type *type = schema_type(&softiov_schema, "vport");
	struct refusal why = REFUSAL_INIT;
	json_t *params = json_pack("{s:s, s:i}", "switch", "lan", "mtu", 9000);
	json_t *obj = object_make(type, "a", params, NULL, OBJECT_ADD, &why), *other, *third;

	json_decref(params);
	params = json_pack("{s:n, s:i, s:s}", "mtu", "vlan", 5, "switch", "lan");
	other = object_make(type, "a", params, obj, OBJECT_SET, &why);
	assert_non_null(other);
	assert_int_equal(obj_uint(other, "mtu"), 1500); /* null: the default again */
	assert_int_equal(obj_uint(other, "vlan"), 5);
	assert_false(obj_changed(obj, other, "mac")); /* generated once */
	assert_true(obj_changed(obj, other, "vlan"));
	assert_true(obj_changed(NULL, other, "vlan"));
	json_decref(params);
	params = json_pack("{s:s}", "switch", "wan");
	third = object_make(type, "a", params, obj, OBJECT_SET, &why);
	assert_null(third);
	assert_string_equal(why.field, "switch");
	json_decref(params);
	params = json_pack("{s:n}", "mac");
	third = object_make(type, "a", params, obj, OBJECT_SET, &(struct refusal)REFUSAL_INIT);
	assert_true(obj_changed(obj, third, "mac")); /* null: another one */
	json_decref(params);
	json_decref(obj);
	json_decref(other);
	json_decref(third);
}

static void test_unused(void **state)
{
	struct refusal why = REFUSAL_INIT;
	char line[REFUSAL_LINE_SIZE];
	json_t *tree = tree_of(&softiov_schema,
			       "{" LAN ", \"vport\": {\"a\": {\"switch\": \"lan\"},"
			       " \"b\": {\"switch\": \"lan\"}},"
			       " \"uplink\": {\"u\": {\"switch\": \"lan\", \"device\": \"e\"}}}",
			       NULL, &why);

	assert_int_equal(config_check_unused(&softiov_schema, tree, "switch", "wan", &why), 0);
	assert_int_equal(config_check_unused(&softiov_schema, tree, "switch", "lan", &why), -EBUSY);
	assert_string_equal(refusal_line(&why, line, sizeof(line)),
			    "switch 'lan': uplink 'u' and 2 more are on it; delete those first");
	json_decref(tree);
}

static void test_export(void **state)
{
	struct refusal why = REFUSAL_INIT;
	json_t *tree =
		tree_of(&softiov_schema,
			"{\"switch\": {\"s10\": {}, \"s2\": {\"vfs\": 64, \"fdb-age\": \"1m\"}}}",
			NULL, &why);
	json_t *out = config_export(&softiov_schema, tree);
	char *text = json_dumps(out, JSON_COMPACT);

	assert_string_equal(text, "{\"switch\":{\"s2\":{\"fdb-age\":60},\"s10\":{}}}");
	free(text);
	json_decref(out);
	json_decref(tree);
}

/* --- the order of steps --- */

/* "+owner a, ~box b, -rule b/1" */
static char *steps_of(const struct schema *schema, const json_t *from, const json_t *to)
{
	struct plan plan;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	plan_make(schema, from, to, &plan);
	for (size_t i = 0; i < plan.n; i++)
		emit(out, "%s%c%s %s", i ? ", " : "",
		     !plan.steps[i].old_obj   ? '+'
		     : !plan.steps[i].new_obj ? '-'
					      : '~',
		     plan.steps[i].type->name, plan.steps[i].name);
	text_close(out);
	plan_free(&plan);
	return text;
}

static void test_order(void **state)
{
	static const struct {
		const char *from, *to, *steps;
	} cases[] = {
		{ "{}", "{}", "" },
		{ "{}", "{'rule':{'b/1':{}},'box':{'b':{'on':'a'}},'owner':{'a':{}}}",
		  "+owner a, +box b, +rule b/1" },
		{ "{'rule':{'b/1':{}},'box':{'b':{'on':'a'}},'owner':{'a':{}}}", "{}",
		  "-rule b/1, -box b, -owner a" },
		{ "{'owner':{'a':{}}}", "{'owner':{'a':{}}}", "" },
		/* A removal frees what an addition needs. */
		{ "{'owner':{'a':{}}}", "{'owner':{'b':{}}}", "-owner a, +owner b" },
		/* The box moves, and the old owner goes only then. */
		{ "{'owner':{'a':{}},'box':{'b':{'on':'a'}}}",
		  "{'owner':{'c':{}},'box':{'b':{'on':'c'}}}", "+owner c, ~box b, -owner a" },
		/* A create-only field: the object and what depends on it go and come. */
		{ "{'owner':{'a':{}},'box':{'b':{'on':'a'}},'rule':{'b/1':{}}}",
		  "{'owner':{'a':{'kind':1}},'box':{'b':{'on':'a'}},'rule':{'b/1':{}}}",
		  "-rule b/1, -box b, -owner a, +owner a, +box b, +rule b/1" },
		{ "{'owner':{'a':{}},'box':{'b':{'on':'a'},'c':{'on':'a'}},'rule':{'b/1':{}}}",
		  "{'owner':{'a':{}},'box':{'b':{'on':'a','kind':2},'c':{'on':'a'}},"
		  "'rule':{'b/1':{'weight':3}}}",
		  "-rule b/1, -box b, +box b, +rule b/1" },
		/* Away from an owner that is replaced. */
		{ "{'owner':{'a':{},'d':{}},'box':{'b':{'on':'a'}}}",
		  "{'owner':{'a':{'kind':1},'d':{}},'box':{'b':{'on':'d'}}}",
		  "-box b, -owner a, +owner a, +box b" },
		{ "{'rule':{'b/1':{}},'box':{'b':{'on':'a'}},'owner':{'a':{}}}",
		  "{'rule':{'b/1':{'note':'x'},'b/2':{}},'box':{'b':{'on':'a'}},'owner':{'a':{}}}",
		  "~rule b/1, +rule b/2" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal why = REFUSAL_INIT;
		json_t *tree[2];
		char *steps;

		for (int t = 0; t < 2; t++) {
			tree[t] = quoted_tree(&later, t ? cases[i].to : cases[i].from, NULL, &why);
			assert_non_null(tree[t]);
		}
		steps = steps_of(&later, tree[0], tree[1]);
		assert_string_equal(steps, cases[i].steps);
		free(steps);
		json_decref(tree[0]);
		json_decref(tree[1]);
	}
}

static void test_owned(void **state)
{
	struct refusal why = REFUSAL_INIT;
	json_t *tree, *copy;

	refused(&later, "{\"rule\": {\"b/1\": {}}}", NULL, -ENOENT,
		"rule 'b/1': there is no box 'b'");
	refused(&later, "{\"rule\": {\"b\": {}}}", NULL, -EINVAL,
		"rule 'b': name: 'b' is not allowed: box/NAME");
	refused(&later,
		"{\"owner\":{\"a\":{}},\"box\":{\"b\":{\"on\":\"a\"}},\"rule\":{\"b/\":{}}}", NULL,
		-EINVAL,
		"rule 'b/': name: 'b/' is not allowed: letters, digits, `_`, `.` and `-`, at most 63, "
		"a letter or digit first");
	tree = tree_of(&later,
		       "{\"owner\":{\"a\":{}},\"box\":{\"b\":{\"on\":\"a\"},\"bb\":{\"on\":\"a\"}},"
		       "\"rule\":{\"b/1\":{},\"b/2\":{},\"bb/1\":{}}}",
		       NULL, &why);
	copy = config_copy(tree);
	config_remove(&later, copy, "box", "b");
	assert_int_equal(json_object_size(config_all(copy, "rule")), 1);
	assert_non_null(config_get(copy, "rule", "bb/1"));
	assert_int_equal(json_object_size(config_all(tree, "rule")),
			 3); /* the original is as it was */
	assert_int_equal(config_check(&later, copy, tree, &why), 0);
	json_decref(copy);
	json_decref(tree);
}

static void test_diff(void **state)
{
	struct refusal why = REFUSAL_INIT;
	json_t *from = tree_of(&softiov_schema,
			       "{\"switch\": {\"a\": {\"vfs\": 1}, \"b\": {}, \"d\": {}}}", NULL,
			       &why);
	json_t *to = tree_of(&softiov_schema,
			     "{\"switch\": {\"a\": {\"vfs\": 2}, \"c\": {\"vfs\": 3}, \"d\": {}}}",
			     from, &why);
	json_t *diff = diff_json(&softiov_schema, from, to);
	char *text = json_dumps(diff, JSON_COMPACT);

	assert_string_equal(
		text,
		"[{\"op\":\"set\",\"object\":\"switch\",\"name\":\"a\",\"fields\":{\"vfs\":{\"old\":1,"
		"\"new\":2}}},{\"op\":\"del\",\"object\":\"switch\",\"name\":\"b\",\"fields\":{}},"
		"{\"op\":\"add\",\"object\":\"switch\",\"name\":\"c\",\"fields\":{\"vfs\":{\"new\":3}}}]");
	/* What stays the same is the same object. */
	assert_ptr_equal(config_get(from, "switch", "d"), config_get(to, "switch", "d"));
	free(text);
	json_decref(diff);
	json_decref(from);
	json_decref(to);
}

#define ACLS                                                                       \
	"{'switch':{'lan':{}},'vport':{'web1':{'switch':'lan','mac':"              \
	"'02:00:00:00:00:01'}},'acl':{'web1/b':{'direction':'in','action':'deny'," \
	"'weight':7,'remote':'10.0.0.0/8'}%s%s%s}}"

static void test_acl(void **state)
{
	static const struct {
		const char *fields, *refused; /* NULL: taken */
	} cases[] = {
		{ "'direction':'in','action':'deny'", NULL },
		{ "'direction':'in','action':'deny','weight':3,'remote':'::/0','protocol':'udp'",
		  NULL },
		{ "'direction':'in'", "acl 'web1/a': action: must be given: allow, deny or meter" },
		{ "'direction':'in','action':'deny','remote':'10.0.0.0/8','local':'::1'",
		  "acl 'web1/a': local: '::1' is not allowed: any, or an address of the kind of "
		  "`remote` (10.0.0.0/8)" },
		{ "'direction':'in','action':'deny','protocol':'tcp'",
		  "acl 'web1/a': protocol: 'tcp' is not allowed: any, or a protocol and a weight "
		  "from 1 to 65535" },
		{ "'direction':'in','action':'deny','weight':1,'protocol':6,'local':'02:00:00:00:00:01'",
		  "acl 'web1/a': protocol: 'tcp' is not allowed: any in a rule for a MAC address" },
		{ "'direction':'in','action':'deny','weight':1,'remote-port':80",
		  "acl 'web1/a': remote-port: '80' is not allowed: any, or ports and a protocol "
		  "that has them (tcp, udp or sctp)" },
		{ "'direction':'in','action':'meter','weight':1",
		  "acl 'web1/a': action: 'meter' is not allowed: allow or deny in a rule with a "
		  "weight; meters go by the most specific address" },
		{ "'direction':'in','action':'deny','weight':1,'stateful':true",
		  "acl 'web1/a': stateful: 'on' is not allowed: off, or on with action allow, a "
		  "weight from 1 to 65535 and no MAC address" },
		/* The other rule denies 10.0.0.0/8 with weight 7. */
		{ "'direction':'in','action':'allow','weight':7,'remote':'10.0.0.0/8'",
		  "acl 'web1/a': acl 'web1/b' is for the same already (allow or deny, direction in, "
		  "weight 7, remote 10.0.0.0/8, local any, protocol any, remote-port any, "
		  "local-port any), and one of the two would never have a say; change or delete "
		  "that one" },
		{ "'direction':'in','action':'meter','remote':'10.0.0.0/8'", NULL },
		{ "'direction':'out','action':'allow','weight':7,'remote':'10.0.0.0/8'", NULL },
		{ "'direction':'in','action':'allow','weight':8,'remote':'10.0.0.0/8'", NULL },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct refusal why = REFUSAL_INIT;
		char line[REFUSAL_LINE_SIZE];
		char *before = text_new(ACLS, "", "", ""), *after;
		json_t *tree, *base = quoted_tree(&softiov_schema, before, NULL, &why);

		after = text_new(ACLS, ",'web1/a':{", cases[i].fields, "}");
		tree = quoted_tree(&softiov_schema, after, base, &why);
		if (cases[i].refused != NULL)
			assert_string_equal(refusal_line(&why, line, sizeof(line)),
					    cases[i].refused);
		assert_int_equal(tree == NULL, cases[i].refused != NULL);
		free(before);
		free(after);
		json_decref(tree);
		json_decref(base);
	}
}

/* Switches with a vport, an uplink and a policy each, and what changes. */
#define POLICIES                                                                   \
	"{'switch':{'lan':{}},'uplink':{'up':{'switch':'lan','device':'eth0'%s}}," \
	"'vport':{'web1':{'switch':'lan','mac':'02:00:00:00:00:01'}},"             \
	"'qos-policy':{'lan/b':{'filter':'smb','set-dscp':10,'precedence':7}%s%s%s}}"

/* `fields` of a policy, or of the uplink; NULL: taken. */
static void check_qos(bool uplink, const char *fields, const char *refused)
{
	struct refusal why = REFUSAL_INIT;
	char line[REFUSAL_LINE_SIZE], *before = text_new(POLICIES, "", "", "", ""), *after;
	json_t *tree, *base = quoted_tree(&softiov_schema, before, NULL, &why);

	after = uplink ? text_new(POLICIES, fields, "", "", "")
		       : text_new(POLICIES, "", ",'lan/a':{", fields, "}");
	tree = quoted_tree(&softiov_schema, after, base, &why);
	if (refused != NULL)
		assert_string_equal(refusal_line(&why, line, sizeof(line)), refused);
	assert_int_equal(tree == NULL, refused != NULL);
	free(before);
	free(after);
	json_decref(tree);
	json_decref(base);
}

static void test_qos_policy(void **state)
{
	static const struct {
		const char *fields, *refused; /* NULL: taken */
	} cases[] = {
		{ "'filter':'others','throttle':'1mbit'", NULL },
		{ "'filter':'smb','vport':'web1','set-priority':3", NULL },
		{ "'source':'10.0.0.0/8','port':80,'min-weight':30", NULL },
		{ "'set-dscp':46",
		  "qos-policy 'lan/a': a policy needs a condition: filter (`others` for all that no "
		  "other policy is for), vport, protocol, source, destination, source-port, "
		  "destination-port, port, dscp or priority" },
		{ "'filter':'nfs'",
		  "qos-policy 'lan/a': a policy needs an action: set-dscp, set-priority, min-weight or "
		  "throttle" },
		{ "'filter':'ftp','set-dscp':1",
		  "qos-policy 'lan/a': filter: 'ftp' is not allowed: none, iscsi, nfs, smb, "
		  "live-migration or others" },
		{ "'filter':'nfs','set-dscp':64",
		  "qos-policy 'lan/a': set-dscp: '64' is not allowed: none, or a number from 0 to 63" },
		{ "'filter':'nfs','set-priority':8",
		  "qos-policy 'lan/a': set-priority: '8' is not allowed: none, or a number from 0 to 7" },
		{ "'filter':'nfs','min-weight':101",
		  "qos-policy 'lan/a': min-weight: '101' is not allowed: a number from 0 to 100" },
		{ "'filter':'nfs','protocol':'tcp','set-dscp':1",
		  "qos-policy 'lan/a': filter: 'nfs': the filter says what the policy is for; set "
		  "protocol to any, or filter to none" },
		{ "'source':'02:00:00:00:00:01','set-dscp':1",
		  "qos-policy 'lan/a': source: '02:00:00:00:00:01' is not allowed: any, or IPv4 or IPv6 "
		  "addresses" },
		{ "'source':'10.0.0.1','destination':'::1','set-dscp':1",
		  "qos-policy 'lan/a': destination: '::1' is not allowed: any, or an address of the kind "
		  "of `source` (10.0.0.1)" },
		{ "'protocol':'icmp','port':1,'set-dscp':1",
		  "qos-policy 'lan/a': port: '1' is not allowed: any with protocol icmp, which has no "
		  "ports" },
		{ "'port':1,'source-port':2,'set-dscp':1",
		  "qos-policy 'lan/a': port: '1' is not allowed: any with source-port or "
		  "destination-port: it is either of these" },
		{ "'dscp':46,'set-dscp':46",
		  "qos-policy 'lan/a': set-dscp: '46': what it is for has this DSCP already (dscp)" },
		{ "'priority':3,'set-priority':3",
		  "qos-policy 'lan/a': set-priority: '3': what it is for has this priority already "
		  "(priority)" },
		{ "'filter':'smb','set-priority':1,'precedence':7",
		  "qos-policy 'lan/a': qos-policy 'lan/b' is for the same already (precedence 7, filter "
		  "smb, vport any, protocol any, source any, destination any, source-port any, "
		  "destination-port any, port any, dscp any, priority any), and one of the two would "
		  "never have a say; change or delete that one" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_qos(false, cases[i].fields, cases[i].refused);
}

static void test_uplink_classes(void **state)
{
	static const struct {
		const char *fields, *refused; /* NULL: taken */
	} cases[] = {
		{ ",'prio-tc':'0:0 3:3 7:7'", NULL },
		{ ",'prio-tc':'3:1','tc-tsa':'all:ets','tc-bw':'0:60,1:40'", NULL },
		{ ",'prio-tc':'3:1,7:7','tc-tsa':'0:ets,1:ets','tc-bw':'0:60,1:40','prio-pfc':'3:on'",
		  NULL },
		{ ",'prio-tc':'8:1'",
		  "uplink 'up': prio-tc: '8:1' is not allowed: N:VALUE, N from 0 to 7 or `all`, values up "
		  "to 7, several with commas between" },
		{ ",'tc-tsa':'0:wrr'",
		  "uplink 'up': tc-tsa: '0:wrr' is not allowed: N:strict or N:ets, N from 0 to 7 or "
		  "`all`, several with commas between" },
		{ ",'prio-tc':'3:1','tc-tsa':'all:ets','tc-bw':'0:60,1:41'",
		  "uplink 'up': tc-bw: '0:60,1:41': the shares of the ets classes add up to 101 %, and "
		  "must to 100 %" },
		{ ",'prio-tc':'3:1','tc-tsa':'all:ets'",
		  "uplink 'up': tc-bw: 'all:0': the shares of the ets classes add up to 0 %, and must to "
		  "100 %" },
		{ ",'prio-tc':'3:1','tc-tsa':'0:ets','tc-bw':'0:60,1:40'",
		  "uplink 'up': tc-bw: '0:60,1:40' is not allowed: 0 for class 1: tc-tsa says that it is "
		  "strict, and takes what it wants" },
		{ ",'tc-tsa':'all:ets','tc-bw':'0:60,1:40'",
		  "uplink 'up': prio-tc: 'all:0': all priorities are in one class, so there is nothing to "
		  "share; set prio-tc, or tc-tsa to all:strict" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_qos(true, cases[i].fields, cases[i].refused);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_add),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_unique_scope),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_unused),
		cmocka_unit_test(test_export),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_owned),
		cmocka_unit_test(test_diff),
		cmocka_unit_test(test_acl),
		cmocka_unit_test(test_qos_policy),
		cmocka_unit_test(test_uplink_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
