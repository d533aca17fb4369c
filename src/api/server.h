/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The API's server: JSON-RPC lines on a Unix stream socket (include/softiov/api.h).
 *
 * It never blocks. It has an epoll descriptor of its own, to be watched by the control thread's
 * loop: readable means that api_poll() has work. A client hurts only itself: lines, unread answers
 * and the number of connections are bounded, one that does not fetch events loses some, and a turn
 * serves a bounded number of requests for each connection.
 */
#ifndef API_SERVER_H
#define API_SERVER_H

#include "api/event.h"
#include "api/mgmt.h"
#include "model/refusal.h"

struct api_server;

struct api_options {
	const char *path;  /* of the socket */
	const char *group; /* that may connect, besides the owner; NULL: the process's own */
	struct mgmt *mgmt;
	struct events *events;
};

/*
 * Listens at opts->path, mode 0660. A socket file that no one listens on is replaced; one in use, a
 * file that is no socket, an unknown group or a missing right is refused with a line that says so.
 */
struct api_server *api_listen(const struct api_options *opts, struct refusal *why);

int api_fd(const struct api_server *server);
/* Serves what is ready now, without waiting. */
void api_poll(struct api_server *server);

/* Sends what can be sent at once, closes all connections and removes the socket. */
void api_close(struct api_server *server);

#endif
