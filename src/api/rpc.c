/* SPDX-License-Identifier: BSD-3-Clause */
/* jsonrpc.org/specification, sections 4 and 5. Batches (section 6) are refused. */
#include "api/rpc.h"

#include "model/text.h"
#include "softiov/api.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

json_t *rpc_error(int code, const struct refusal *why, json_t *id)
{
	char line[REFUSAL_LINE_SIZE];
	json_t *answer = json_pack("{s:s, s:{s:i, s:s, s:o}, s:O?}", "jsonrpc", "2.0", "error",
				   "code", code, "message", refusal_line(why, line, sizeof(line)),
				   "data", refusal_json(why), "id", id);

	assert(answer);
	return answer;
}

json_t *rpc_event(json_t *event)
{
	return json_pack("{s:s, s:s, s:O}", "jsonrpc", "2.0", "method", "event", "params", event);
}

static int rpc_code(int rc)
{
	switch (rc) {
	case -ENOSYS:
		return SOFTIOV_E_METHOD;
	case -EINVAL:
		return SOFTIOV_E_PARAMS;
	case -EIO:
	case -ENOMEM:
	case -EROFS:
		return SOFTIOV_E_INTERNAL;
	}
	return SOFTIOV_E_REFUSED;
}

static json_t *refuse_request(int code, json_t *id, const char *text)
{
	struct refusal why = REFUSAL_INIT;

	refuse(&why, -EBADMSG, NULL, NULL, "%s", text);
	return rpc_error(code, &why, id);
}

static json_t *do_request(struct mgmt *mgmt, const struct caller *caller, json_t *request,
			  struct after *after)
{
	json_t *id = json_object_get(request, "id"), *method = json_object_get(request, "method");
	const char *version = json_string_value(json_object_get(request, "jsonrpc"));
	json_t *params = json_object_get(request, "params"), *result, *answer;
	struct refusal why = REFUSAL_INIT;
	int rc;

	if (json_is_array(request))
		return refuse_request(SOFTIOV_E_REQUEST, NULL, "batches are not taken");
	if (!json_is_object(request))
		return refuse_request(SOFTIOV_E_REQUEST, NULL, "a request is an object");
	if (id && !json_is_string(id) && !json_is_number(id) && !json_is_null(id))
		return refuse_request(SOFTIOV_E_REQUEST, NULL, "`id` must be a string or a number");
	if (!version || strcmp(version, "2.0") != 0)
		return refuse_request(SOFTIOV_E_REQUEST, id, "`jsonrpc` must be \"2.0\"");
	if (!json_is_string(method))
		return refuse_request(SOFTIOV_E_REQUEST, id, "`method` must be a string");
	rc = mgmt_call(mgmt, caller, json_string_value(method), params, &result, after, &why);
	if (!rc && id)
		answer = json_pack("{s:s, s:o, s:O}", "jsonrpc", "2.0", "result", result, "id", id);
	else if (!rc) {
		json_decref(result);
		answer = NULL;
	} else {
		answer = id ? rpc_error(rpc_code(rc), &why, id) : NULL;
	}
	return answer;
}

json_t *rpc_answer(struct mgmt *mgmt, const struct caller *caller, const char *line, size_t size,
		   struct after *after)
{
	json_error_t error;
	json_t *request, *answer;
	char text[JSON_ERROR_TEXT_LENGTH + 64];

	while (size && strchr(" \t\r", line[size - 1]) && line[size - 1])
		size--;
	if (!size)
		return NULL;
	request = json_loadb(line, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!request) {
		text_put(text, sizeof(text), "not JSON, at byte %d: %s", error.position,
			 error.text);
		return refuse_request(SOFTIOV_E_PARSE, NULL, text);
	}
	answer = do_request(mgmt, caller, request, after);
	json_decref(request);
	return answer;
}
