/* SPDX-License-Identifier: BSD-3-Clause */
/* One connection to the daemon: a line out, lines in. */
#include "cli.h"

#include "model/text.h"
#include "softiov/api.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/* A change may wait for the disk and for guests that are cut off. */
#define ANSWER_TIMEOUT_S 60

struct client {
	int fd;
	int next_id;
	int answer_s;
	FILE *in;
	char *line;
	size_t room;
};

static int refuse_connect(const char *path, int error, struct refusal *why)
{
	refusal_about(why, "socket", path);
	switch (error) {
	case ENOENT:
	case ECONNREFUSED:
		return refuse(
			why, -error, NULL, NULL,
			"no softiovd answers there (%s); start it with `systemctl start "
			"softiovd`, or name the socket of one that runs (`softiovd --run-dir DIR` "
			"has it at DIR/softiov.sock) with --socket PATH or SOFTIOV_SOCKET=PATH",
			strerror(error));
	case EACCES:
	case EPERM:
		return refuse(
			why, -error, NULL, NULL,
			"no right to open it; become a member of its group (`ls -l` shows it), or "
			"use sudo");
	}
	return refuse(why, -error, NULL, NULL, "%s", strerror(error));
}

struct client *client_open(const struct cli *cli, struct refusal *why)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int answer_s = cli->answer_s ? cli->answer_s : ANSWER_TIMEOUT_S;
	struct timeval timeout = { .tv_sec = answer_s };
	struct client *client;
	int fd;

	if (strlen(cli->socket) >= sizeof(addr.sun_path)) {
		refuse_connect(cli->socket, ENAMETOOLONG, why);
		return NULL;
	}
	memcpy(addr.sun_path, cli->socket, strlen(cli->socket) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
	}
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr))) {
		refuse_connect(cli->socket, errno, why);
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	client = calloc(1, sizeof(*client));
	client->fd = fd;
	client->answer_s = answer_s;
	client->in = fdopen(fd, "r");
	return client;
}

void client_close(struct client *client)
{
	if (!client)
		return;
	(void)fclose(client->in);
	free(client->line);
	free(client);
}

int client_raw(struct client *client)
{
	(void)setvbuf(client->in, NULL, _IONBF, 0);
	return client->fd;
}

static int refuse_lost(const struct client *client, struct refusal *why)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return refuse(
			why, -ETIMEDOUT, NULL, NULL,
			"softiovd has not answered for %d s; whether the change was made shows `show`",
			client->answer_s);
	return refuse(
		why, -ECONNRESET, NULL, NULL,
		"softiovd closed the connection before it answered; whether the change was made "
		"shows `show`");
}

static int send_line(struct client *client, json_t *request, struct refusal *why)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t size = strlen(text), at = 0;

	text[size++] = '\n'; /* in place of the NUL */
	if (size > SOFTIOV_MAX_LINE) {
		free(text);
		return refuse(why, -EMSGSIZE, NULL, NULL,
			      "the request is larger than the %d KiB that softiovd takes",
			      SOFTIOV_MAX_LINE / 1024);
	}
	while (at < size) {
		ssize_t n = send(client->fd, text + at, size - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		at += (size_t)n;
	}
	free(text);
	return at == size ? 0 : refuse_lost(client, why);
}

json_t *client_next(struct client *client)
{
	ssize_t n;

	errno = 0;
	n = getline(&client->line, &client->room, client->in);
	return n > 0 ? json_loadb(client->line, (size_t)n, 0, NULL) : NULL;
}

/* From the error object of an answer. */
static void refusal_from(const json_t *error, struct refusal *why)
{
	const json_t *data = json_object_get(error, "data");
	const char *message = json_string_value(json_object_get(error, "message"));
	const char *object = json_string_value(json_object_get(data, "object"));
	const char *name = json_string_value(json_object_get(data, "name"));
	const char *field = json_string_value(json_object_get(data, "field"));
	const char *value = json_string_value(json_object_get(data, "value"));
	const char *allowed = json_string_value(json_object_get(data, "allowed"));
	const char *text = json_string_value(json_object_get(data, "text"));
	const char *below = json_string_value(json_object_get(data, "below"));

	if (object)
		refusal_about(why, object, name);
	if (!text && value && allowed) {
		refuse_value(why, field ? field : "", value, "%s", allowed);
		return;
	}
	if (!text)
		text = message ? message : "softiovd refused without a reason";
	refuse(why, -EREMOTEIO, field, value, "%s", text);
	if (allowed)
		text_put(why->allowed, sizeof(why->allowed), "%s", allowed);
	if (below)
		text_put(why->below, sizeof(why->below), "%s", below);
}

json_t *client_call(struct client *client, const char *method, json_t *params, json_t **error,
		    struct refusal *why)
{
	int id = ++client->next_id;
	json_t *request = json_pack("{s:s, s:i, s:s, s:o*}", "jsonrpc", "2.0", "id", id, "method",
				    method, "params", params);
	json_t *answer = NULL, *result = NULL, *refused;
	int rc = send_line(client, request, why);

	json_decref(request);
	if (error)
		*error = NULL;
	if (rc)
		return NULL;
	/* Events may come in between. */
	do {
		json_decref(answer);
		answer = client_next(client);
	} while (answer && json_object_get(answer, "method"));
	if (!answer) {
		refuse_lost(client, why);
		return NULL;
	}
	result = json_incref(json_object_get(answer, "result"));
	refused = json_object_get(answer, "error");
	if (!result) {
		refusal_from(refused, why);
		if (error)
			*error = json_incref(refused);
	}
	json_decref(answer);
	return result;
}
