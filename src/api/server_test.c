/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The server over its socket: good and bad lines, in pieces and in floods. Server and clients share
 * one thread, so nothing here depends on time: serve() gives the server as many turns as it asks for.
 */
#include "api/server.h"

#include "base/test_folder.h"
#include "model/text.h"
#include "softiov/api.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

static char dir[TEST_FOLDER_SIZE], path[96];
static struct store *store;
static struct events *events;
static struct mgmt *mgmt;
static struct api_server *server;

/* A capture can be started; what becomes of its stream. */
static char streamed[16];
static int stream_fd;

static int verb(void *ctx, const struct object_type *type, const struct verb *verb,
		const char *name, const json_t *params, json_t **result, struct refusal *why)
{
	*result = json_pack("{s:s}", "name", "1");
	return 0;
}

static void stream(void *ctx, const char *name, int fd)
{
	text_put(streamed, sizeof(streamed), "%s", name);
	stream_fd = fd;
}

static const struct backend backend = { .verb = verb, .stream = stream };

static int setup(void **state)
{
	struct refusal why = REFUSAL_INIT;

	if (!test_folder_make(dir))
		return -1;
	text_put(path, sizeof(path), "%s/s", dir);
	store = store_open(dir, &why);
	events = events_new();
	mgmt = mgmt_new(&softiov_schema, store, &backend, events);
	assert_int_equal(mgmt_start(mgmt, &why), 0);
	server = api_listen(&(struct api_options){ path, NULL, mgmt, events }, &why);
	assert_non_null(server);
	return 0;
}

static int teardown(void **state)
{
	api_close(server);
	mgmt_free(mgmt);
	events_free(events);
	store_close(store);
	return test_folder_remove(dir);
}

/* --- a client --- */

static void serve(void)
{
	struct pollfd pfd = { .fd = api_fd(server), .events = POLLIN };

	for (int i = 0; i < 100000 && poll(&pfd, 1, 0) > 0; i++)
		api_poll(server);
	/* It must come to rest. */
	assert_int_equal(poll(&pfd, 1, 0), 0);
}

static int dial(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	text_put(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	serve();
	return fd;
}

static void say(int fd, const char *text)
{
	size_t size = strlen(text);

	while (size) {
		ssize_t n = send(fd, text, size, MSG_NOSIGNAL);

		assert_true(n > 0 || errno == EAGAIN);
		if (n > 0) {
			text += n;
			size -= (size_t)n;
		}
		serve();
	}
}

/* One line, or NULL at the end of the connection or where nothing more comes. */
static json_t *hear(int fd)
{
	static char buf[4 << 20];
	size_t at = 0;

	for (;;) {
		ssize_t n = recv(fd, buf + at, sizeof(buf) - at, MSG_PEEK);
		char *end = n > 0 ? memchr(buf + at, '\n', (size_t)n) : NULL;

		if (n < 0 && errno == EAGAIN) {
			struct pollfd pfd = { .fd = api_fd(server), .events = POLLIN };

			if (poll(&pfd, 1, 0) <= 0)
				return NULL;
			api_poll(server);
			continue;
		}
		if (n <= 0)
			return NULL;
		if (end)
			n = end + 1 - (buf + at);
		assert_int_equal(recv(fd, buf + at, (size_t)n, 0), n);
		at += (size_t)n;
		if (end)
			return json_loadb(buf, at, 0, NULL);
		assert_true(at < sizeof(buf));
	}
}

static bool closed(int fd)
{
	char c;

	serve();
	return recv(fd, &c, 1, 0) == 0;
}

static int code_of(json_t *answer)
{
	json_t *error = json_object_get(answer, "error");

	return error ? (int)json_integer_value(json_object_get(error, "code")) : 0;
}

/* The connection is as good as new. */
static void still_good(int fd)
{
	json_t *answer;

	say(fd, "{\"jsonrpc\": \"2.0\", \"id\": \"ok?\", \"method\": \"switch.show\"}\n");
	answer = hear(fd);
	assert_non_null(answer);
	assert_string_equal(json_string_value(json_object_get(answer, "id")), "ok?");
	assert_true(json_is_array(json_object_get(answer, "result")));
	json_decref(answer);
}

/* --- lines --- */

#define R "\"jsonrpc\": \"2.0\", \"id\": 1, "

static void test_lines(void **state)
{
	static const struct {
		const char *line;
		int code; /* 0: a result; 1: no answer */
	} cases[] = {
		{ "{" R "\"method\": \"switch.show\"}", 0 },
		{ "{" R "\"method\": \"switch.show\", \"params\": {}}", 0 },
		{ " \t{" R "\"method\": \"switch.show\"} \r", 0 },
		{ "{\"jsonrpc\": \"2.0\", \"id\": null, \"method\": \"switch.show\"}", 0 },
		{ "{\"jsonrpc\": \"2.0\", \"id\": 1.5, \"method\": \"switch.show\"}", 0 },
		{ "{\"jsonrpc\": \"2.0\", \"method\": \"switch.show\"}", 1 },
		{ "{\"jsonrpc\": \"2.0\", \"method\": \"no.such\"}", 1 },
		{ "", 1 },
		{ "  ", 1 },
		{ "{", SOFTIOV_E_PARSE },
		{ "}", SOFTIOV_E_PARSE },
		{ "hello", SOFTIOV_E_PARSE },
		{ "{" R "\"method\": \"switch.show\"} x", SOFTIOV_E_PARSE },
		{ "{" R "\"id\": 2, \"method\": \"switch.show\"}", SOFTIOV_E_PARSE },
		{ "{" R "\"method\": \"\xff\"}", SOFTIOV_E_PARSE },
		{ "{" R "\"method\": \"a\\u0000b\"}", SOFTIOV_E_PARSE },
		{ "5", SOFTIOV_E_REQUEST },
		{ "null", SOFTIOV_E_REQUEST },
		{ "\"switch.show\"", SOFTIOV_E_REQUEST },
		{ "[]", SOFTIOV_E_REQUEST },
		{ "[{" R "\"method\": \"switch.show\"}]", SOFTIOV_E_REQUEST },
		{ "{}", SOFTIOV_E_REQUEST },
		{ "{" R "\"method\": 5}", SOFTIOV_E_REQUEST },
		{ "{\"id\": 1, \"method\": \"switch.show\"}", SOFTIOV_E_REQUEST },
		{ "{\"jsonrpc\": 2.0, \"id\": 1, \"method\": \"switch.show\"}", SOFTIOV_E_REQUEST },
		{ "{\"jsonrpc\": \"2.0\", \"id\": {}, \"method\": \"switch.show\"}",
		  SOFTIOV_E_REQUEST },
		{ "{" R "\"method\": \"\"}", SOFTIOV_E_METHOD },
		{ "{" R "\"method\": \"switch\"}", SOFTIOV_E_METHOD },
		{ "{" R "\"method\": \"switch.shoe\"}", SOFTIOV_E_METHOD },
		{ "{" R "\"method\": \"svitch.show\"}", SOFTIOV_E_METHOD },
		{ "{" R "\"method\": \"switch.show\", \"params\": []}", SOFTIOV_E_PARAMS },
		{ "{" R "\"method\": \"switch.show\", \"params\": {\"x\": 1}}", SOFTIOV_E_PARAMS },
		{ "{" R "\"method\": \"switch.show\", \"params\": {\"name\": 1}}",
		  SOFTIOV_E_PARAMS },
		{ "{" R "\"method\": \"switch.add\"}", SOFTIOV_E_PARAMS },
		{ "{" R "\"method\": \"switch.show\", \"params\": {\"name\": \"x\"}}",
		  SOFTIOV_E_REFUSED },
	};
	int fd = dial();

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *answer;

		say(fd, cases[i].line);
		say(fd, "\n");
		if (cases[i].code != 1) {
			answer = hear(fd);
			if (!answer || code_of(answer) != cases[i].code)
				fail_msg("%s: %d", cases[i].line, code_of(answer));
			assert_string_equal(json_string_value(json_object_get(answer, "jsonrpc")),
					    "2.0");
			assert_non_null(json_object_get(answer, "id"));
			json_decref(answer);
		}
		still_good(fd);
	}
	close(fd);
}

static void test_error_parts(void **state)
{
	int fd = dial();
	json_t *answer, *error, *data;

	say(fd,
	    "{" R "\"method\": \"switch.add\", \"params\": {\"name\": \"lan\", \"vfs\": 300}}\n");
	answer = hear(fd);
	error = json_object_get(answer, "error");
	data = json_object_get(error, "data");
	assert_string_equal(json_string_value(json_object_get(error, "message")),
			    "switch 'lan': vfs: '300' is not allowed: a number from 0 to 256");
	assert_string_equal(json_string_value(json_object_get(data, "object")), "switch");
	assert_string_equal(json_string_value(json_object_get(data, "name")), "lan");
	assert_string_equal(json_string_value(json_object_get(data, "field")), "vfs");
	assert_string_equal(json_string_value(json_object_get(data, "value")), "300");
	assert_string_equal(json_string_value(json_object_get(data, "allowed")),
			    "a number from 0 to 256");
	json_decref(answer);
	close(fd);
}

static void test_pieces(void **state)
{
	static const char line[] = "{" R "\"method\": \"switch.show\"}\n{" R
				   "\"method\": \"vport.show\"}\n";
	int fd = dial();

	for (size_t i = 0; i < sizeof(line) - 1; i++) {
		char one[2] = { line[i], '\0' };

		say(fd, one);
	}
	for (int i = 0; i < 2; i++) {
		json_t *answer = hear(fd);

		assert_int_equal(code_of(answer), 0);
		assert_non_null(answer);
		json_decref(answer);
	}
	assert_null(hear(fd));
	close(fd);
}

static void test_cut_anywhere(void **state)
{
	static const char line[] = "{" R
				   "\"method\": \"switch.add\", \"params\": {\"name\": \"x\"}}\n";

	/* Only the whole line does something. */
	for (size_t n = 0; n < sizeof(line) - 1; n++) {
		int fd = dial();

		assert_int_equal(send(fd, line, n, MSG_NOSIGNAL), n);
		close(fd);
		serve();
		assert_null(mgmt_get(mgmt, "switch", "x"));
	}
	still_good(dial());
}

/* --- too much --- */

static void test_long_line(void **state)
{
	char *text = malloc(SOFTIOV_MAX_LINE + 2);
	static const char request[] = "{" R "\"method\": \"switch.show\"}";
	json_t *answer;
	int fd = dial();

	/* As long as allowed. */
	memset(text, ' ', SOFTIOV_MAX_LINE - 1);
	memcpy(text, request, sizeof(request) - 1);
	text[SOFTIOV_MAX_LINE - 1] = '\n';
	text[SOFTIOV_MAX_LINE] = '\0';
	say(fd, text);
	answer = hear(fd);
	assert_non_null(answer);
	assert_int_equal(code_of(answer), 0);
	json_decref(answer);
	still_good(fd);
	/* One more. */
	text[SOFTIOV_MAX_LINE - 1] = ' ';
	say(fd, text);
	answer = hear(fd);
	assert_int_equal(code_of(answer), SOFTIOV_E_REQUEST);
	assert_true(json_is_null(json_object_get(answer, "id")));
	json_decref(answer);
	assert_true(closed(fd));
	close(fd);
	fd = dial();
	still_good(fd);
	close(fd);
	free(text);
}

static void test_never_reads(void **state)
{
	static const char request[] = "{" R "\"method\": \"schema.show\"}\n";
	int greedy = dial(), other = dial();
	unsigned int n_sent = 0, n_heard = 0;
	json_t *answer;

	/* It asks until the server takes no more, and is not served without end. */
	for (;;) {
		ssize_t n = send(greedy, request, sizeof(request) - 1, MSG_NOSIGNAL);

		if (n < 0)
			break;
		assert_int_equal(n, sizeof(request) - 1);
		n_sent++;
		serve();
		assert_true(n_sent < 100000);
	}
	assert_int_equal(errno, EAGAIN);
	still_good(other);
	/* When it reads at last, it gets every answer. */
	while ((answer = hear(greedy))) {
		assert_int_equal(code_of(answer), 0);
		json_decref(answer);
		n_heard++;
	}
	assert_int_equal(n_heard, n_sent);
	still_good(greedy);
	close(greedy);
	close(other);
}

/* Sends blanks without an end. How many were taken. */
static size_t begin(int fd, size_t size)
{
	static char blanks[4096];
	size_t at = 0;

	memset(blanks, ' ', sizeof(blanks));
	while (at < size) {
		size_t part = size - at < sizeof(blanks) ? size - at : sizeof(blanks);
		ssize_t n = send(fd, blanks, part, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			break;
		at += n > 0 ? (size_t)n : 0;
		serve();
	}
	return at;
}

/* Long requests on several connections: what is too much is refused, the others go on. */
static void test_unfinished_lines(void **state)
{
	const size_t size = SOFTIOV_MAX_LINE - 100000;
	int fd[3] = { dial(), dial(), dial() }, small = dial();
	json_t *answer;

	assert_int_equal(begin(fd[0], size), size);
	assert_int_equal(begin(fd[1], size), size);
	assert_true(begin(fd[2], size) < size);
	answer = hear(fd[2]);
	assert_int_equal(code_of(answer), SOFTIOV_E_REQUEST);
	json_decref(answer);
	assert_true(closed(fd[2]));
	still_good(small);
	still_good(fd[0]);
	still_good(fd[1]);
	for (int i = 0; i < 3; i++)
		close(fd[i]);
	close(small);
}

static void test_flood_of_empty_lines(void **state)
{
	char *text = malloc(SOFTIOV_MAX_LINE + 1);
	int fd = dial();

	memset(text, '\n', SOFTIOV_MAX_LINE);
	text[SOFTIOV_MAX_LINE] = '\0';
	say(fd, text);
	still_good(fd);
	close(fd);
	free(text);
}

static void test_too_many(void **state)
{
	int fds[64], late;
	json_t *answer;

	for (int i = 0; i < 64; i++)
		fds[i] = dial();
	late = dial();
	answer = hear(late);
	assert_int_equal(code_of(answer), SOFTIOV_E_REFUSED);
	json_decref(answer);
	assert_true(closed(late));
	close(late);
	for (int i = 0; i < 64; i++)
		still_good(fds[i]);
	close(fds[0]);
	serve();
	late = dial();
	still_good(late);
	close(late);
	for (int i = 1; i < 64; i++)
		close(fds[i]);
}

static void test_half_closed(void **state)
{
	static const char request[] = "{" R "\"method\": \"switch.show\"}\n";
	int fd = dial();
	json_t *answer;

	for (int i = 0; i < 100; i++)
		assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL),
				 sizeof(request) - 1);
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < 100; i++) {
		answer = hear(fd);
		assert_non_null(answer);
		json_decref(answer);
	}
	assert_true(closed(fd));
	close(fd);
}

static void test_gone_at_once(void **state)
{
	static const char request[] = "{" R "\"method\": \"switch.add\", \"params\": "
				      "{\"name\": \"lan\"}}\n";

	/* Nobody is there for the answer, but what was asked is done. */
	for (int i = 0; i < 200; i++) {
		int fd = dial();

		assert_int_equal(send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL),
				 sizeof(request) - 1);
		close(fd);
		serve();
	}
	assert_non_null(mgmt_get(mgmt, "switch", "lan"));
}

/* --- events --- */

static void test_events(void **state)
{
	int watcher = dial(), other = dial();
	json_t *note, *event;

	say(watcher, "{" R "\"method\": \"event.subscribe\"}\n");
	note = hear(watcher);
	assert_int_equal(code_of(note), 0);
	json_decref(note);
	say(other, "{" R "\"method\": \"switch.add\", \"params\": {\"name\": \"lan\"}}\n");
	note = hear(watcher);
	assert_string_equal(json_string_value(json_object_get(note, "method")), "event");
	assert_null(json_object_get(note, "id"));
	event = json_object_get(note, "params");
	assert_string_equal(json_string_value(json_object_get(event, "kind")), "added");
	assert_string_equal(json_string_value(json_object_get(event, "object")), "switch");
	assert_string_equal(json_string_value(json_object_get(event, "object-name")), "lan");
	json_decref(note);
	json_decref(hear(other));
	assert_null(hear(other)); /* who did not ask gets none */
	close(watcher);
	close(other);
}

/* How many come, and how many the server says are lost. */
static unsigned int hear_events(int fd, unsigned int *n_missed)
{
	unsigned int n = 0, missed;

	*n_missed = 0;
	for (json_t *note; (note = hear(fd)) != NULL; json_decref(note)) {
		const json_t *event = json_object_get(note, "params");
		const char *text = json_string_value(json_object_get(event, "text"));

		if (event == NULL) /* the answer to event.subscribe */
			continue;
		if (sscanf(text, "%u events, up to this one, were not fetched", &missed) == 1)
			*n_missed += missed;
		else
			n++;
	}
	return n;
}

static void test_deaf_watcher(void **state)
{
	int deaf = dial(), good = dial();
	unsigned int n, n_missed;

	say(deaf, "{" R "\"method\": \"event.subscribe\"}\n");
	say(good, "{" R "\"method\": \"event.subscribe\"}\n");
	json_decref(hear(good));
	/* Many more than may wait for it; the other one gets each. */
	for (int i = 0; i < 20000; i++) {
		json_t *note;

		events_add(events, "link", "uplink", "u", "number %d", i);
		serve();
		note = hear(good);
		assert_non_null(note);
		json_decref(note);
	}
	n = hear_events(deaf, &n_missed);
	assert_true(n > 10 && n_missed > 10);
	assert_int_equal(n + n_missed, 20000);
	/* From now on it is served as the other one is. */
	events_add(events, "link", "uplink", "u", "the last");
	assert_int_equal(hear_events(deaf, &n_missed), 1);
	assert_int_equal(n_missed, 0);
	still_good(deaf);
	close(deaf);
	close(good);
}

/* Thousands of events in one turn of the server: who reads at last has as many as there was room for, and knows. */
static void test_large_change(void **state)
{
	int watcher = dial(), other = dial();
	unsigned int n, n_missed;

	say(watcher, "{" R "\"method\": \"event.subscribe\"}\n");
	json_decref(hear(watcher));
	for (int i = 0; i < 20000; i++)
		events_add(events, "added", "acl", "web1/rule", "number %d", i);
	still_good(other);
	n = hear_events(watcher, &n_missed);
	assert_true(n > 1000);
	assert_int_equal(n + n_missed, 20000);
	still_good(watcher);
	close(watcher);
	close(other);
}

/* --- streams --- */

static void test_stream(void **state)
{
	int fd = dial();

	streamed[0] = '\0';
	stream_fd = -1;
	say(fd, "{" R "\"method\": \"capture.start\"}\n");
	json_decref(hear(fd));
	assert_string_equal(streamed, "1");
	assert_true(stream_fd >= 0);
	close(stream_fd);
	close(fd);
}

/* Who wants events cannot become a stream, and what it asks behind that is not done. */
static void test_stream_refused(void **state)
{
	int fd = dial();

	streamed[0] = '\0';
	stream_fd = 5;
	say(fd, "{" R "\"method\": \"event.subscribe\"}\n"
		"{" R "\"method\": \"capture.start\"}\n"
		"{" R "\"method\": \"switch.add\", \"params\": {\"name\": \"late\"}}\n");
	serve();
	assert_string_equal(streamed, "1");
	assert_int_equal(stream_fd, -1);
	assert_null(mgmt_get(mgmt, "switch", "late"));
	close(fd);
}

/* --- the socket --- */

static void test_socket(void **state)
{
	char file[96], long_path[200];
	const struct {
		const char *path, *group;
		int code;
	} cases[] = {
		{ path, NULL, -EADDRINUSE },
		{ file, NULL, -EEXIST },
		{ long_path, NULL, -ENAMETOOLONG },
		{ "/nowhere/s", NULL, -ENOENT },
	};
	struct refusal why = REFUSAL_INIT;
	struct api_server *second;
	struct stat st;
	json_t *note;
	int fd;

	text_put(file, sizeof(file), "%s/file", dir);
	close(open(file, O_CREAT | O_WRONLY, 0600));
	memset(long_path, 'a', sizeof(long_path));
	long_path[0] = '/';
	long_path[sizeof(long_path) - 1] = '\0';
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why = (struct refusal)REFUSAL_INIT;
		assert_null(api_listen(&(struct api_options){ cases[i].path, cases[i].group, mgmt,
							      events },
				       &why));
		if (why.code != cases[i].code || !why.text[0])
			fail_msg("%s: %d %s", cases[i].path, why.code, why.text);
	}
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0660);
	/* The first one has not suffered, nor have those that watch there. */
	fd = dial();
	still_good(fd);
	say(fd, "{" R "\"method\": \"event.subscribe\"}\n");
	json_decref(hear(fd));
	events_add(events, "link", NULL, NULL, "still");
	note = hear(fd);
	assert_non_null(note);
	json_decref(note);
	close(fd);
	/* A socket that a killed daemon left behind is replaced. */
	unlink(file);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	{
		struct sockaddr_un addr = { .sun_family = AF_UNIX };

		text_put(addr.sun_path, sizeof(addr.sun_path), "%s", file);
		assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	}
	close(fd);
	why = (struct refusal)REFUSAL_INIT;
	assert_null(api_listen(&(struct api_options){ file, "no-such-group", mgmt, events }, &why));
	assert_string_equal(why.field, "group");
	assert_int_equal(access(file, F_OK), -1); /* nothing is left of the attempt */
	second = api_listen(&(struct api_options){ file, NULL, mgmt, events }, &why);
	assert_non_null(second);
	api_close(second);
	assert_int_equal(access(file, F_OK), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_lines),        TEST(test_error_parts),
		TEST(test_pieces),       TEST(test_cut_anywhere),
		TEST(test_long_line),    TEST(test_unfinished_lines),
		TEST(test_never_reads),  TEST(test_flood_of_empty_lines),
		TEST(test_too_many),     TEST(test_half_closed),
		TEST(test_gone_at_once), TEST(test_events),
		TEST(test_deaf_watcher), TEST(test_large_change),
		TEST(test_stream),       TEST(test_stream_refused),
		TEST(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
