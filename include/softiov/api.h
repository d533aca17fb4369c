/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The management API, as a client sees it.
 *
 * A stream socket at RUNDIR/softiov.sock carries JSON-RPC 2.0 (jsonrpc.org/specification), one JSON
 * object a line, UTF-8. Methods are `object.verb` with named parameters; objects, fields and verbs
 * are those of the schema (softiov/schema.h; `schema.show` returns it). Requests on one connection
 * are answered in order; batches are not taken.
 *
 *   vport.add {"name": "web1", "switch": "lan", "vlan": 10}   result: {}
 *   vport.show {"name": "web1"}                               result: [{...}]
 *   config.apply {"objects": {"switch": {"lan": {}}}, "dry-run": true}
 *                                                             result: {"changes": [...]}
 *
 * A field that is null is set to its default. A value may also be a string in the field's text
 * form. Once a changing method has its result, the change runs and is on stable storage. The
 * error's `data` holds what is known of {object, name, field, value, allowed}.
 */
#ifndef SOFTIOV_API_H
#define SOFTIOV_API_H

#define SOFTIOV_RUN_DIR     "/run/softiov"
#define SOFTIOV_STATE_DIR   "/var/lib/softiov"
#define SOFTIOV_SOCKET_NAME "softiov.sock"

/* A longer line closes the connection, after an error. */
#define SOFTIOV_MAX_LINE (4 << 20) /* bytes, with the newline */

/* JSON-RPC 2.0, section 5.1, and ours below -32000. */
enum softiov_error {
	SOFTIOV_E_PARSE = -32700,
	SOFTIOV_E_REQUEST = -32600,
	SOFTIOV_E_METHOD = -32601,
	SOFTIOV_E_PARAMS = -32602,
	SOFTIOV_E_INTERNAL = -32603,
	SOFTIOV_E_REFUSED = -32000, /* well-formed, but cannot be done now: exists, in use, ... */
};

#endif
