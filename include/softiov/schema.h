/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The object model, described once.
 *
 * One table of object types, their fields and their verbs (src/model/schema.c) drives the parsing
 * of files, the API, the words, help and completion of the command line, the store and the
 * reference manual. A new field is one line in that table, plus the code that uses its value.
 *
 * 1. An *object* is a JSON object. Its key is `name`; an object of an owned type (`owner`) is named
 *    OWNER/NAME and goes when its owner goes.
 * 2. A *field* has one type; the type says how a value is written as text (command line, YAML), how
 *    it is kept as JSON (API, store) and what is allowed. See src/model/value.h.
 * 3. Fields with FIELD_STATUS are made by the daemon when somebody looks; they are never stored.
 * 4. Everything here is constant: any thread may read it.
 */
#ifndef SOFTIOV_SCHEMA_H
#define SOFTIOV_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The comment gives JSON form; text form. */
enum field_type {
	TYPE_NAME,   /* string; letters, digits, `_ . -`, at most 63, no `-` or `.` first */
	TYPE_STRING, /* string; printable text of at most `max` bytes (0: 255) */
	TYPE_PATH,   /* string; an absolute path */
	TYPE_REF,    /* string; the name of an object of type `ref` that exists */
	TYPE_REFS,   /* string; several of them, web1,web2 (sorted) */
	TYPE_BOOL,   /* true, false; on, off */
	TYPE_UINT,   /* integer; decimal or 0x..., min..max */
	TYPE_REAL,   /* number; status only */
	TYPE_ENUM,   /* string; one of `words` */
	TYPE_MAC,    /* string; 02:00:00:00:00:01, unicast and not zero */
	TYPE_VLAN,   /* integer; 0..4094 */
	TYPE_VLANS,  /* string; none, all, or 10,20-30 (sorted and merged) */
	TYPE_PINS,   /* string; none, or vf-0=1,synthetic-0=0: queues of `words`, their workers */
	TYPE_WORKER, /* string; auto, or a worker's number */
	TYPE_PREFIX, /* string; any, a MAC address, 10.0.0.0/8, 2001:db8::/32 */
	TYPE_ADDRESSES, /* string; none, or 10.0.0.5,2001:db8::/64 (sorted) */
	TYPE_PROTOCOL,  /* string; any, tcp, or a number */
	TYPE_PORTS,     /* string; any, 80, 1024-65535 */
	TYPE_MARK,      /* string; the first of `words` for none, or a number from min to max */
	TYPE_EIGHT, /* string; all:0, or 0:1,3:2: values of the numbers 0 to 7, up to max or of `words` */
	TYPE_RATE,     /* integer, bits a second; 500mbit as tc writes it */
	TYPE_DURATION, /* integer in `unit` (us, ms or s); 300, 300s, 5m */
	TYPE_SIZE,     /* integer, bytes; 512M, 4G (powers of 1024) */
	TYPE_TIME,     /* number, seconds since 1970; status only */
	TYPE_LIST,     /* array of strings; status only */
	TYPE_MAP,      /* object of integers; status only */
	TYPE_JSON,     /* anything; parameters of API_ONLY objects */
	N_FIELD_TYPES
};

enum field_flags {
	FIELD_REQUIRED = 1 << 0,  /* has no default: `add` must name it */
	FIELD_CREATE = 1 << 1,    /* fixed once the object exists (apply: del and add again) */
	FIELD_GENERATED = 1 << 2, /* made when the object is added without it, and stored */
	FIELD_STATUS = 1 << 3,    /* made by the daemon, read-only */
	FIELD_COUNTER = 1 << 4,   /* status that only counts up: shown with -s */
	FIELD_COLUMN = 1 << 5,    /* in the table that `show` prints for many objects */
	FIELD_ALONE =
		1 << 6, /* a parameter that stands alone on the command line: a switch without a
				   * value, any other type without its name */
};

struct field {
	const char *name;
	enum field_type type;
	unsigned int flags;
	uint64_t min, max; /* numbers: range; TYPE_STRING: bytes */
	const char *unit;  /* "s", "B", "bit/s", "frames", ... or NULL */
	const char *def;   /* default in text form; NULL: none */
	/* TYPE_ENUM, TYPE_MARK and TYPE_EIGHT; and TYPE_PINS the kinds of queues: ends with NULL */
	const char *const *words;
	const char *ref;    /* TYPE_REF and TYPE_REFS: type of the objects */
	const char *unique; /* no two objects share a value: among those with the same value of
				   * this other field; "*": among all */
	const char *help;   /* one sentence, no full stop */
};

enum verb_name_rule {
	NAME_NONE,
	NAME_OPTIONAL,
	NAME_REQUIRED
};

/* What a verb takes after the name, and so how it parses. */
enum verb_takes {
	TAKES_PARAMS, /* the verb's own parameters */
	TAKES_ADD,    /* the object's settable fields, required ones must be there */
	TAKES_SET,    /* the object's settable fields that may change */
};

/* What comes back, and so how it prints. */
enum verb_gives {
	GIVES_NOTHING, /* an empty object */
	GIVES_OBJECTS, /* array of objects of this type */
	GIVES_CHECKS,  /* array of {check, result: ok|warn|fail, text, fix} */
	GIVES_TEXT,    /* string to be printed as it is */
	GIVES_STREAM,  /* objects of this type as notifications, until the connection closes */
	GIVES_JSON,    /* anything */
	GIVES_BYTES, /* an object with a `name`, and then, on the same connection, a file's bytes */
};

struct verb {
	const char *name;   /* the word on the command line */
	const char *method; /* the verb's name in the API when it differs, else NULL */
	enum verb_name_rule name_rule;
	enum verb_takes takes;
	enum verb_gives gives;
	bool changes;               /* changes configuration: logged with the caller's uid */
	const struct field *params; /* TAKES_PARAMS: ends with a field without name; or NULL */
	const char *help;
};

enum object_flags {
	OBJECT_API_ONLY = 1 << 0,  /* no word of the command line (`config`, `schema`) */
	OBJECT_STORED = 1 << 1,    /* configuration: has add, set and del, is stored */
	OBJECT_SINGLETON = 1 << 2, /* one, without name (`host`) */
	OBJECT_ANYWAY = 1 << 3,    /* it runs even if an object that it refers to does not */
};

struct json_t;
struct refusal;

struct object_type {
	const char *name;
	const char *plural;
	unsigned int flags;
	const char *owner;          /* name of the owning type; NULL: stands alone */
	const struct field *fields; /* the key first; ends with a field without name */
	const struct verb *verbs;   /* ends with a verb without name */
	const char *help;           /* one line */
	const char *text;           /* a paragraph for the manual */
	/* What the fields of an object must be together: 0, or a negative errno with `why`. NULL: anything goes. */
	int (*check)(const struct json_t *obj, struct refusal *why);
	/* Objects of one owner must differ in this text (malloc'd). NULL: need not differ. */
	char *(*rival)(const struct json_t *obj);
};

/* Types in an order in which each comes after those that it refers to. */
struct schema {
	const struct object_type *types; /* ends with a type without name */
};

/* The model of this program. */
extern const struct schema softiov_schema;

/* Exact names; NULL if there is none. */
const struct object_type *schema_type(const struct schema *schema, const char *name);
const struct field *type_field(const struct object_type *type, const char *name);
const struct verb *type_verb(const struct object_type *type, const char *name);
/* By the verb's name in the API. */
const struct verb *type_method(const struct object_type *type, const char *method);
const struct field *verb_param(const struct verb *verb, const char *name);

/* The verb's name in the API. */
static inline const char *verb_method(const struct verb *verb)
{
	return verb->method ? verb->method : verb->name;
}

/* Whether people may write this field: neither the key nor status. */
static inline bool field_settable(const struct object_type *type, const struct field *field)
{
	return field != type->fields && !(field->flags & FIELD_STATUS);
}

/* NOLINTBEGIN(bugprone-macro-parentheses): `var` is declared here */
#define foreach_type(var, schema) \
	for (const struct object_type *var = (schema)->types; var->name; var++)
#define foreach_field(var, first) for (const struct field *var = (first); var && var->name; var++)
#define foreach_verb(var, type) \
	for (const struct verb *var = (type)->verbs; var && var->name; var++)
/* NOLINTEND(bugprone-macro-parentheses) */

#endif
