/* SPDX-License-Identifier: BSD-3-Clause */
/* `softiov capture start`: the daemon sends a pcapng stream, which is written here, with this user's rights. A capture
 * ends with this process, whatever becomes of it. */
#include "cli.h"

#include "model/text.h"
#include "model/value.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 262144

struct capture {
	const struct cli *cli;
	const char *name; /* of the capture */
	int in;           /* the stream */
	int out, signals;
	bool created;      /* `out`, by this command */
	bool whole;        /* it takes all that is written at once: a file */
	struct ring *ring; /* instead of `out`; or NULL */
	const char *out_name;
	bool stopping;    /* its user wants to end it */
	bool gone;        /* who reads what is written */
	char reason[256]; /* why it ends, if that is known here */
	uint8_t data[READ_SIZE];
};

/* Asks the daemon to end it: what is under way still comes. */
static void stop(struct capture *c, const char *reason)
{
	struct refusal why = REFUSAL_INIT;
	struct client *client = client_open(c->cli, &why);
	json_t *params = json_pack("{s:s}", "name", c->name);
	char short_reason[128];

	/* The daemon takes no longer one, and none that is not UTF-8 (a file's name can be anything). */
	text_put(short_reason, sizeof(short_reason), "%.127s", reason);
	if (params)
		json_object_set_new(params, "reason", json_string(short_reason));
	/* Without a name it would end all captures. */
	if (client && params)
		json_decref(client_call(client, "capture.stop", json_incref(params), NULL, &why));
	json_decref(params);
	if (!client)
		return;
	client_close(client);
}

/* Nothing can be written any more. */
static bool end_here(struct capture *c, int error)
{
	c->gone = error == EPIPE;
	text_put(c->reason, sizeof(c->reason), "%s: %s", c->out_name, strerror(error));
	return false;
}

/* Waits until there is room. False: its user wants to end it, and nobody reads what is written. */
static bool wait_for_room(struct capture *c)
{
	struct pollfd fds[] = { { .fd = c->out, .events = POLLOUT },
				{ .fd = c->signals, .events = POLLIN } };

	while (poll(fds, 2, -1) < 0)
		if (errno != EINTR)
			return end_here(c, errno);
	if (fds[0].revents)
		return true;
	c->stopping = true;
	text_put(c->reason, sizeof(c->reason), "%s: stopped by its user while nobody read it",
		 c->out_name);
	return false;
}

static bool write_all(struct capture *c, const uint8_t *data, size_t size)
{
	int error = c->ring ? ring_write(c->ring, data, size) : 0;

	if (c->ring)
		return !error || end_here(c, error);
	while (size) {
		size_t part = c->whole || size < PIPE_BUF ? size : PIPE_BUF;
		ssize_t n;

		/* pipe(7): a pipe that is ready takes so much without waiting. */
		if (!c->whole && !wait_for_room(c))
			return false;
		n = write(c->out, data, part);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return end_here(c, n < 0 ? errno : EIO);
		data += n;
		size -= (size_t)n;
	}
	return true;
}

/* Waits for something to do. False: the capture is over. */
static bool turn(struct capture *c)
{
	struct pollfd fds[] = { { .fd = c->in, .events = POLLIN },
				{ .fd = c->signals, .events = POLLIN },
				{ .fd = c->out } };
	struct signalfd_siginfo info;
	ssize_t n;

	if (poll(fds, 3, -1) < 0)
		return errno == EINTR || end_here(c, errno);
	if (fds[1].revents) {
		(void)!read(c->signals, &info, sizeof(info));
		if (c->stopping)
			return false;
		c->stopping = true;
		stop(c, "stopped by its user");
	}
	/* A pipe that nobody reads any more. */
	if (fds[2].revents & (POLLERR | POLLHUP | POLLNVAL))
		return end_here(c, EPIPE);
	if (!fds[0].revents)
		return true;
	n = read(c->in, c->data, sizeof(c->data));
	if (n <= 0)
		return n < 0 && (errno == EINTR || errno == EAGAIN);
	return write_all(c, c->data, (size_t)n);
}

/* One line on standard error: how it ended. */
static void report(struct capture *c)
{
	struct refusal why = REFUSAL_INIT;
	struct client *client = client_open(c->cli, &why);
	json_t *shown = NULL, *obj;

	if (client)
		shown = client_call(client, "capture.show", json_pack("{s:s}", "name", c->name),
				    NULL, &why);
	obj = json_array_get(shown, 0);
	if (obj)
		emit(stderr, "softiov: capture %s: %lld frames, %lld lost; %s\n", c->name,
		     json_integer_value(json_object_get(obj, "frames")),
		     json_integer_value(json_object_get(obj, "lost")),
		     c->reason[0] ? c->reason : json_string_value(json_object_get(obj, "end")));
	else
		emit(stderr, "softiov: capture %s ended: %s\n", c->name,
		     c->reason[0] ? c->reason : "softiovd has gone");
	json_decref(shown);
	client_close(client);
}

/* Ctrl-C ends a capture in order; a reader that goes is an error like others. */
static int signals_open(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &mask, NULL))
		return -1;
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

static int run(struct capture *c)
{
	while (turn(c))
		;
	if (c->reason[0])
		stop(c, c->reason);
	if (c->cli->quiet && (c->stopping || c->gone || !c->reason[0]))
		return EXIT_OK;
	report(c);
	return c->reason[0] ? EXIT_REFUSED : EXIT_OK;
}

/* A file that is there stays as it is until the daemon has agreed. */
static int open_file(struct capture *c, const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	c->created = fd >= 0;
	return fd < 0 && errno == EEXIST ? open(path, O_WRONLY | O_CLOEXEC) : fd;
}

static bool open_out(struct capture *c, json_t *params, struct refusal *why)
{
	struct stat st;
	const char *path = c->cli->write,
		   *ring = json_string_value(json_object_get(params, "ring"));

	c->out = -1;
	c->out_name = !strcmp(path, "-") ? "standard output" : path;
	json_object_set_new(params, "file", json_string(c->out_name));
	if (ring) {
		c->ring = ring_open(path, ring, why);
		return c->ring;
	}
	c->out = !strcmp(path, "-") ? dup(STDOUT_FILENO) : open_file(c, path);
	if (c->out < 0 || fstat(c->out, &st)) {
		refusal_about(why, "file", path);
		refuse(why, -errno, NULL, NULL, "%s", strerror(errno));
		return false;
	}
	c->whole = S_ISREG(st.st_mode);
	return true;
}

/* The daemon has not agreed: nothing is left of the attempt. */
static void remove_out(struct capture *c)
{
	if (c->ring)
		ring_remove(c->ring);
	else if (c->created)
		(void)unlink(c->cli->write);
}

int capture_run(const struct cli *cli, json_t *params)
{
	struct capture *c = calloc(1, sizeof(*c));
	struct refusal why = REFUSAL_INIT;
	struct client *client = NULL;
	json_t *result = NULL;
	int code = EXIT_REFUSED;

	assert(c);
	c->cli = cli;
	c->signals = -1;
	if (!open_out(c, params, &why))
		goto out;
	client = client_open(cli, &why);
	if (!client)
		goto out;
	c->in = client_raw(client);
	result = client_call(client, "capture.start", json_incref(params), NULL, &why);
	if (!result)
		goto out;
	if (c->whole && strcmp(cli->write, "-") != 0)
		(void)!ftruncate(c->out, 0);
	c->name = json_string_value(json_object_get(result, "name"));
	c->signals = signals_open();
	code = run(c);
out:
	if (why.code)
		print_refusal(cli, &why, EXIT_REFUSED);
	if (!result)
		remove_out(c);
	json_decref(result);
	client_close(client);
	ring_close(c->ring);
	if (c->out >= 0)
		close(c->out);
	if (c->signals >= 0)
		close(c->signals);
	free(c);
	return code;
}
