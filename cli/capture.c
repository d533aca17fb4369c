/* SPDX-License-Identifier: BSD-3-Clause */
/* `softiov capture start`: the daemon sends a pcapng stream, which is written here, with this user's rights. A capture
 * ends with this process, whatever becomes of it.
 *
 * Ctrl-C shuts down this side of the stream: then the daemon's thread of this capture sends the rest, and the end. What
 * management is busy with meanwhile does not hold it up. Once it is said that this takes long, Ctrl-C is that of any
 * program. */
#include "cli.h"

#include "base/clock.h"
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_SIZE 262144
#define ANSWER_S  2    /* for what is nice to know at the end */
#define TELL_MS   1000 /* an end that takes longer is told of */
#define END_MS    6000 /* softiovd gives a slow reader 5 s */

struct capture {
	const struct cli *cli;
	const char *name; /* of the capture */
	int in;           /* the stream */
	int out, signals;
	bool created;      /* `out`, by this command */
	bool whole;        /* it takes all that is written at once: a file */
	struct ring *ring; /* instead of `out`; or NULL */
	const char *out_name;
	uint32_t head[2]; /* what the block that is being written begins with: type and size */
	size_t part;      /* bytes of it that are written */
	uint64_t stop_ns; /* when its user wanted to end it; 0: not yet */
	bool told;        /* that it is being ended */
	bool late;        /* softiovd has not ended it in time */
	bool gone;        /* who reads what is written */
	char reason[256]; /* why it ends, if that is known here */
	uint8_t data[READ_SIZE];
};

/* For one call that must not take long. */
static struct client *open_briefly(const struct capture *c, struct refusal *why)
{
	struct cli brief = *c->cli;

	brief.answer_s = ANSWER_S;
	return client_open(&brief, why);
}

/* Tells the daemon why it ends here. */
static void give_reason(const struct capture *c)
{
	struct refusal why = REFUSAL_INIT;
	struct client *client = open_briefly(c, &why);
	json_t *params = json_pack("{s:s}", "name", c->name);
	char reason[128];

	/* The daemon takes no longer one, and none that is not UTF-8 (a file's name can be anything). */
	text_put(reason, sizeof(reason), "%.127s", c->reason);
	if (params)
		json_object_set_new(params, "reason", json_string(reason));
	/* Without a name it would end all captures. */
	if (client && params)
		json_decref(client_call(client, "capture.stop", json_incref(params), NULL, &why));
	json_decref(params);
	client_close(client);
}

/* Its user wants to end it: what is under way still comes. The same signal often comes twice (timeout(1) sends it to the
 * process and to its group, shell and kernel each send SIGHUP when a terminal closes), which changes nothing. */
static void stop(struct capture *c)
{
	struct signalfd_siginfo info;

	(void)!read(c->signals, &info, sizeof(info));
	if (c->stop_ns)
		return;
	c->stop_ns = clock_ns();
	(void)shutdown(c->in, SHUT_WR);
}

/* It takes long: from now on Ctrl-C ends this process. The others stay blocked, since it ends by itself soon. */
static void tell(struct capture *c)
{
	sigset_t mask;

	c->told = true;
	if (!c->cli->quiet)
		emit(stderr,
		     "softiov: capture %s is being ended; Ctrl-C once more leaves the rest\n",
		     c->name);
	close(c->signals);
	c->signals = -1; /* which poll leaves out */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	/* One that came while something was written, before its user could read that. */
	while (sigtimedwait(&mask, NULL, &(struct timespec){ 0 }) > 0)
		;
	(void)sigprocmask(SIG_UNBLOCK, &mask, NULL);
}

/* Milliseconds that it may wait for anything; 0: it has waited long enough; -1: for ever. */
static int patience(struct capture *c)
{
	uint64_t ms;

	if (!c->stop_ns)
		return -1;
	ms = (clock_ns() - c->stop_ns) / 1000000;
	if (ms >= TELL_MS && !c->told)
		tell(c);
	return (int)(!c->told ? TELL_MS - ms : ms < END_MS ? END_MS - ms : 0);
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
	struct pollfd fds[] = { { .fd = c->out, .events = POLLOUT }, { .events = POLLIN } };
	int n, ms;

	do {
		ms = patience(c);
		fds[1].fd = c->stop_ns ? -1 : c->signals;
		n = poll(fds, 2, ms);
		if (n < 0 && errno != EINTR)
			return end_here(c, errno);
	} while (n < 0 || (n == 0 && ms != 0));
	if (fds[0].revents)
		return true;
	if (fds[1].revents)
		stop(c);
	text_put(c->reason, sizeof(c->reason), "%s: stopped by its user while nobody read it",
		 c->out_name);
	return false;
}

/* Follows what is written from block to block (draft-ietf-opsawg-pcapng, 3.1). */
static void follow(struct capture *c, const uint8_t *data, size_t size)
{
	while (size) {
		size_t left = (c->part < sizeof(c->head) ? sizeof(c->head) : c->head[1]) - c->part;
		size_t step = size < left ? size : left;

		if (c->part < sizeof(c->head))
			memcpy((uint8_t *)c->head + c->part, data, step);
		c->part += step;
		if (c->part >= sizeof(c->head) && c->part >= c->head[1])
			c->part = 0;
		data += step;
		size -= step;
	}
}

/* A file does not end inside a block, which its readers take for damage. */
static void cut(const struct capture *c)
{
	off_t end = lseek(c->out, 0, SEEK_CUR);
	struct stat st;

	if (c->whole && !fstat(c->out, &st) && st.st_size == end)
		(void)!ftruncate(c->out, end - (off_t)c->part);
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
		follow(c, data, (size_t)n);
		data += n;
		size -= (size_t)n;
	}
	return true;
}

/* Waits for something to do. False: the capture is over. */
static bool turn(struct capture *c)
{
	struct pollfd fds[] = { { .fd = c->in, .events = POLLIN },
				{ .events = POLLIN },
				{ .fd = c->out } };
	int ms = patience(c);
	ssize_t n;

	fds[1].fd = c->signals;
	n = poll(fds, 3, ms);
	if (n < 0)
		return errno == EINTR || end_here(c, errno);
	/* What has come is taken, however long it took to write what came before. */
	if (n == 0 && ms == 0) {
		c->late = true;
		text_put(c->reason, sizeof(c->reason),
			 "stopped by its user; softiovd does not send the rest");
		return false;
	}
	if (fds[1].revents)
		stop(c);
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
	struct client *client = c->late ? NULL : open_briefly(c, &why);
	const char *end = c->reason[0] ? c->reason : c->stop_ns ? "stopped by its user" : NULL;
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
	else if (why.code == -ETIMEDOUT || why.code == -EAGAIN)
		emit(stderr,
		     "softiov: capture %s: %s; softiovd is busy, and does not say how many frames it has\n",
		     c->name, end ? end : "ended by softiovd");
	else
		emit(stderr, "softiov: capture %s ended: %s\n", c->name,
		     end ? end : "softiovd has gone");
	json_decref(shown);
	client_close(client);
}

/* Ctrl-C ends a capture in order; a reader that goes is an error like others. */
static int signals_open(void)
{
	sigset_t mask;

	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL))
		return -1;
	return signalfd(-1, &mask, SFD_CLOEXEC);
}

static int run(struct capture *c)
{
	while (turn(c))
		;
	cut(c);
	if (c->reason[0] && !c->late)
		give_reason(c);
	if (c->cli->quiet && (c->stop_ns || c->gone || !c->reason[0]))
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
	if (c->signals >= 0)
		close(c->signals);
	if (c->out >= 0)
		close(c->out);
	free(c);
	return code;
}
