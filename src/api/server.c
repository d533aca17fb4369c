/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connections and their buffers; rpc.c makes answers of lines.
 *
 * Flow control: a connection with more than OUT_SOFT bytes unsent is not read, so a client that
 * does not fetch its answers stops itself. Events cannot wait: a subscriber with more than
 * OUT_SOFT unsent loses them, and is told how many as soon as it has fetched what it has.
 *
 * A request can be long and its end may never come: those of one user together may have IN_SOFT
 * bytes, on however many connections.
 */
#include "api/server.h"

#include "api/rpc.h"
#include "base/log.h"
#include "base/socket.h"
#include "model/text.h"
#include "softiov/api.h"

#include <assert.h>
#include <errno.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define AREA "api"

#define MAX_CLIENTS     64
#define OUT_SOFT        (1 << 20) /* bytes */
#define IN_SOFT         ((size_t)2 * SOFTIOV_MAX_LINE)
#define READ_SIZE       16384 /* bytes a turn and client */
#define REQUESTS_A_TURN 32    /* for each client */
#define EVENTS_A_POLL   32

struct buffer {
	char *data;
	size_t size, room;
};

struct client {
	int fd; /* -1: free slot */
	struct caller caller;
	struct buffer in, out;
	size_t looked; /* first bytes of `in` that hold no newline */
	bool subscribed;
	unsigned int n_missed; /* events that it had no room for */
	json_t *missed;        /* the last of them */
	bool eof;              /* reads no more; what came is still answered */
	bool broken;           /* to be closed at the end of the turn */
	bool stalled;          /* not answered until its answers are fetched */
	bool more;             /* whole lines are left in `in`: not read until they are done */
};

struct api_server {
	int epoll_fd, listen_fd, again_fd;
	bool observes; /* the events; false until it listens */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct mgmt *mgmt;
	struct events *events;
	struct client clients[MAX_CLIENTS];
};

/* --- buffers --- */

static void buffer_add(struct buffer *b, const char *data, size_t size)
{
	if (b->size + size > b->room) {
		b->room = (b->size + size) * 2;
		b->data = realloc(b->data, b->room);
		assert(b->data);
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

static void buffer_drop(struct buffer *b, size_t size)
{
	b->size -= size;
	memmove(b->data, b->data + size, b->size);
	if (b->size || b->room <= READ_SIZE)
		return;
	free(b->data); /* a large answer does not keep its memory */
	b->data = NULL;
	b->room = 0;
}

/* --- clients --- */

static void watch(struct api_server *server, struct client *client)
{
	bool full = client->out.size > OUT_SOFT;
	struct epoll_event ev = { .events = (client->out.size ? EPOLLOUT : 0u) |
					    (full || client->eof || client->more ? 0u : EPOLLIN),
				  .data.ptr = client };

	epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, client->fd, &ev);
}

static void forget_client(struct client *client)
{
	free(client->in.data);
	free(client->out.data);
	json_decref(client->missed);
	*client = (struct client){ .fd = -1 };
}

static void close_client(struct client *client)
{
	close(client->fd);
	forget_client(client);
}

static void send_some(struct client *client)
{
	size_t sent = 0;

	while (sent < client->out.size) {
		ssize_t n = send(client->fd, client->out.data + sent, client->out.size - sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			client->broken = true;
		if (n <= 0)
			break;
		sent += (size_t)n;
	}
	if (sent)
		buffer_drop(&client->out, sent);
}

static void send_json(struct client *client, json_t *message)
{
	char *text = json_dumps(message, JSON_COMPACT);

	assert(text);
	buffer_add(&client->out, text, strlen(text));
	buffer_add(&client->out, "\n", 1);
	free(text);
}

/* The connection is no client's any more but the stream of what the client has started, from behind the answer on. Who
 * has not fetched its earlier answers, or wants events, gets none. */
static void give_away(struct api_server *server, struct client *client, const char *name)
{
	int fd = client->fd;

	send_some(client);
	if (client->broken || client->out.size || client->subscribed) {
		client->broken = true;
		mgmt_stream(server->mgmt, name, -1);
		return;
	}
	epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	forget_client(client);
	mgmt_stream(server->mgmt, name, fd);
}

/* False: the client asks nothing more. */
static bool answer_line(struct api_server *server, struct client *client, const char *line,
			size_t size)
{
	struct after after = { 0 };
	json_t *answer = rpc_answer(server->mgmt, &client->caller, line, size, &after);

	if (answer)
		send_json(client, answer);
	json_decref(answer);
	client->subscribed |= after.subscribe;
	if (after.stream[0] == '\0')
		return true;
	give_away(server, client, after.stream);
	return false;
}

static void refuse_line(struct client *client, const struct refusal *why)
{
	json_t *answer = rpc_error(SOFTIOV_E_REQUEST, why, NULL);

	send_json(client, answer);
	json_decref(answer);
	send_some(client);
	client->broken = true;
}

/* What the client's user has sent without an end yet. */
static size_t unfinished(const struct api_server *server, const struct client *client)
{
	size_t size = 0;

	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (server->clients[i].fd >= 0 &&
		    server->clients[i].caller.uid == client->caller.uid)
			size += server->clients[i].in.size;
	return size;
}

/* A small one is never too much. */
static void check_unfinished(const struct api_server *server, struct client *client)
{
	struct refusal why = REFUSAL_INIT;

	if (client->looked != client->in.size || client->in.size <= READ_SIZE)
		return;
	if (client->in.size >= SOFTIOV_MAX_LINE)
		refuse(&why, -EMSGSIZE, NULL, NULL, "a line of more than %d bytes",
		       SOFTIOV_MAX_LINE);
	else if (unfinished(server, client) > IN_SOFT)
		refuse(&why, -EMSGSIZE, NULL, NULL,
		       "the requests that you have begun on several connections are more than %zu "
		       "bytes; send them one after the other",
		       IN_SOFT);
	if (why.code)
		refuse_line(client, &why);
}

/* Answers whole lines that have come, some in each turn. */
static void answer_lines(struct api_server *server, struct client *client)
{
	size_t at = 0;

	client->stalled = false;
	client->more = false;
	for (int n = 0;; n++) {
		size_t from = at > client->looked ? at : client->looked;
		char *start = client->in.data + at, *end;

		end = client->in.size > from
			      ? memchr(client->in.data + from, '\n', client->in.size - from)
			      : NULL;
		if (!end) {
			client->looked = client->in.size;
			break;
		}
		if (client->out.size > OUT_SOFT) { /* goes on when it has been fetched */
			client->stalled = true;
			break;
		}
		if (n == REQUESTS_A_TURN) {
			client->more = true;
			break;
		}
		if (!answer_line(server, client, start, (size_t)(end - start)))
			return;
		at += (size_t)(end - start) + 1;
	}
	if (at)
		buffer_drop(&client->in, at);
	client->looked = client->looked > at ? client->looked - at : 0;
	check_unfinished(server, client);
}

static void read_some(struct client *client)
{
	char data[READ_SIZE];
	ssize_t n = recv(client->fd, data, sizeof(data), MSG_DONTWAIT);

	if (n > 0)
		buffer_add(&client->in, data, (size_t)n);
	else if (n == 0)
		client->eof = true;
	else if (errno != EAGAIN && errno != EINTR)
		client->broken = true;
}

/* For events. Who has missed some shall have half of it. */
static bool has_room(const struct client *client)
{
	return client->out.size <= (client->n_missed ? OUT_SOFT / 2 : OUT_SOFT);
}

/* What it has missed, when there is room again. */
static void tell_missed(struct client *client)
{
	json_t *event, *note;
	char text[96];

	if (client->n_missed == 0 || !has_room(client))
		return;
	text_put(text, sizeof(text),
		 "%u events, up to this one, were not fetched in time and are lost",
		 client->n_missed);
	event = json_pack("{s:O, s:O, s:s, s:s, s:s}", "name",
			  json_object_get(client->missed, "name"), "time",
			  json_object_get(client->missed, "time"), "kind", "warning", "object",
			  "event", "text", text);
	note = rpc_event(event);
	send_json(client, note);
	json_decref(note);
	json_decref(event);
	json_decref(client->missed);
	client->missed = NULL;
	client->n_missed = 0;
}

static void serve(struct api_server *server, struct client *client, uint32_t events)
{
	if (events & EPOLLIN)
		read_some(client);
	else if (events & (EPOLLHUP | EPOLLERR))
		client->broken = true;
	if (events & EPOLLOUT)
		send_some(client);
	answer_lines(server, client);
	if (client->fd < 0)
		return;
	send_some(client);
	tell_missed(client);
	if (client->eof && !client->more && !client->stalled && !client->out.size)
		client->broken = true;
	if (client->broken) {
		close_client(client);
		return;
	}
	if (client->more || (client->stalled && client->out.size <= OUT_SOFT))
		eventfd_write(server->again_fd, 1);
	watch(server, client);
}

static struct client *free_slot(struct api_server *server)
{
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (server->clients[i].fd < 0)
			return &server->clients[i];
	return NULL;
}

static void refuse_client(int fd)
{
	struct refusal why = REFUSAL_INIT;
	json_t *answer;
	char *text;

	refuse(&why, -EMFILE, NULL, NULL, "%d clients are connected already", MAX_CLIENTS);
	answer = rpc_error(SOFTIOV_E_REFUSED, &why, NULL);
	text = json_dumps(answer, JSON_COMPACT);
	if (send(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		send(fd, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	json_decref(answer);
	close(fd);
}

static void accept_client(struct api_server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *client = free_slot(server);
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = client };
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fd < 0)
		return;
	if (!client) {
		refuse_client(fd);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &ev)) {
		close(fd);
		return;
	}
	*client = (struct client){ .fd = fd, .caller = { cred.pid, cred.uid, cred.gid } };
}

static void observe(void *arg, json_t *event)
{
	struct api_server *server = arg;
	json_t *note = NULL;

	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		struct client *client = &server->clients[i];

		if (client->fd < 0 || !client->subscribed || client->broken)
			continue;
		/* One change can be thousands of events: they are sent while they come. */
		if (!has_room(client))
			send_some(client);
		if (!has_room(client)) {
			json_decref(client->missed);
			client->missed = json_incref(event);
			client->n_missed++;
			continue;
		}
		tell_missed(client);
		if (!note)
			note = rpc_event(event);
		send_json(client, note);
		eventfd_write(server->again_fd, 1);
	}
	json_decref(note);
}

/* Clients with whole lines left or events to be sent, and nothing new on their socket. */
static void serve_again(struct api_server *server)
{
	eventfd_t ignored;

	eventfd_read(server->again_fd, &ignored);
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (server->clients[i].fd >= 0)
			serve(server, &server->clients[i], EPOLLOUT);
}

void api_poll(struct api_server *server)
{
	struct epoll_event events[EVENTS_A_POLL];
	int n = epoll_wait(server->epoll_fd, events, EVENTS_A_POLL, 0);
	bool again = false, new_client = false;

	for (int i = 0; i < n; i++) {
		if (events[i].data.ptr == &server->again_fd)
			again = true;
		else if (events[i].data.ptr == &server->listen_fd)
			new_client = true;
		else
			serve(server, events[i].data.ptr, events[i].events);
	}
	/* Last, because both touch slots that events above may still name. */
	if (again)
		serve_again(server);
	if (new_client)
		accept_client(server);
}

int api_fd(const struct api_server *server)
{
	return server->epoll_fd;
}

/* --- the socket --- */

static int refuse_socket(const char *path, struct refusal *why, int code, const char *text)
{
	refusal_about(why, "socket", path);
	return refuse(why, code, NULL, NULL, "%s", text);
}

static int set_group(const char *path, const char *group, struct refusal *why)
{
	struct group *entry;

	if (!group)
		return 0;
	entry = getgrnam(group);
	if (!entry) {
		refusal_about(why, "socket", path);
		return refuse(why, -ENOENT, "group", group,
			      "there is no such group; make it with groupadd, or name another");
	}
	if (chown(path, (uid_t)-1, entry->gr_gid)) {
		refusal_about(why, "socket", path);
		return refuse(why, -errno, "group", group, "%s", strerror(errno));
	}
	return 0;
}

static int open_socket(struct api_server *server, const struct api_options *opts,
		       struct refusal *why)
{
	struct sockaddr_un addr;
	struct err err = { 0 };
	mode_t mask;
	int rc;

	if (socket_place(opts->path, &addr, &err))
		return refuse_err(why, NULL, NULL, &err);
	server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (server->listen_fd < 0)
		return refuse_socket(opts->path, why, -errno, strerror(errno));
	mask = umask(0117); /* 0660 from the first moment on */
	rc = bind(server->listen_fd, (const struct sockaddr *)&addr, sizeof(addr)) ? -errno : 0;
	umask(mask);
	if (rc)
		return refuse_socket(opts->path, why, rc, strerror(-rc));
	memcpy(server->path, addr.sun_path, sizeof(server->path));
	rc = set_group(opts->path, opts->group, why);
	if (!rc && listen(server->listen_fd, MAX_CLIENTS))
		rc = refuse_socket(opts->path, why, -errno, strerror(errno));
	return rc;
}

struct api_server *api_listen(const struct api_options *opts, struct refusal *why)
{
	struct api_server *server = calloc(1, sizeof(*server));
	struct epoll_event ev = { .events = EPOLLIN };
	bool ok;

	assert(server);
	server->mgmt = opts->mgmt;
	server->events = opts->events;
	server->listen_fd = -1;
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		server->clients[i].fd = -1;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	server->again_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (open_socket(server, opts, why))
		goto fail;
	ev.data.ptr = &server->listen_fd;
	ok = !epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd, &ev);
	ev.data.ptr = &server->again_fd;
	ok = ok && !epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->again_fd, &ev);
	if (!ok) {
		refuse_socket(opts->path, why, -errno, strerror(errno));
		goto fail;
	}
	events_observe(server->events, observe, server);
	server->observes = true;
	return server;
fail:
	api_close(server);
	return NULL;
}

void api_close(struct api_server *server)
{
	if (!server)
		return;
	if (server->observes)
		events_observe(server->events, NULL, NULL);
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (server->clients[i].fd < 0)
			continue;
		send_some(&server->clients[i]);
		close_client(&server->clients[i]);
	}
	if (server->path[0])
		unlink(server->path);
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->again_fd >= 0)
		close(server->again_fd);
	if (server->epoll_fd >= 0)
		close(server->epoll_fd);
	free(server);
}
