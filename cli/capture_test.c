/* SPDX-License-Identifier: BSD-3-Clause */
/* How a capture ends once its user wants that. A daemon that is made of a socket does something whenever the command looks
 * at the clock, which goes as the test has it. */
#include "cli.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/test_folder.h"

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

#define N_MOMENTS 3
#define BLOCK     sizeof(uint32_t[3])
#define ALL       sizeof(stream)

/* Three blocks without contents: type, size, size. */
static const uint32_t stream[] = { 0x0a0d0d0a, BLOCK, BLOCK, 1, BLOCK, BLOCK, 5, BLOCK, BLOCK };

struct moment {
	unsigned int ms; /* since its user wanted to end it */
	int signal;      /* that comes; or 0 */
	size_t sent;     /* of the stream, by then; with ALL its end too */
};

static const struct ending {
	const char *name;
	struct moment start, moments[N_MOMENTS]; /* the last one lasts */
	int code, signal;                        /* how the command ends */
	size_t written;
} endings[] = {
	/* clang-format off */
	{ "what comes is taken", { 0, SIGINT, BLOCK }, { { 0 }, { 0, 0, ALL } }, 0, 0, ALL },
	{ "what is there after a slow write is taken", { 0, SIGINT, BLOCK }, { { 0 }, { 7000, 0, ALL } }, 0, 0, ALL },
	{ "nothing comes", { 0, SIGINT, BLOCK }, { { 0 }, { 7000, 0, 0 } }, 1, 0, BLOCK },
	{ "half a block is cut off", { 0, SIGINT, BLOCK + 3 },
	  { { 0 }, { 10, 0, 2 * BLOCK + 9 }, { 7000, 0, 0 } }, 1, 0, 2 * BLOCK },
	{ "Ctrl-C twice before it is told", { 0, SIGINT, 1 }, { { 0, SIGINT, 0 }, { 0, 0, ALL } }, 0, 0, ALL },
	{ "Ctrl-C twice, the second during a slow write", { 0, SIGINT, 1 }, { { 0 }, { 1000, SIGINT, ALL } }, 0, 0, ALL },
	{ "Ctrl-C once it is told", { 0, SIGINT, 1 },
	  { { 0 }, { 1000, 0, 2 }, { 1000, SIGINT, ALL } }, 0, SIGINT, 2 },
	{ "SIGTERM twice", { 0, SIGTERM, 1 }, { { 0, SIGTERM, 0 }, { 0, 0, ALL } }, 0, 0, ALL },
	{ "SIGHUP once it is told", { 0, SIGTERM, 1 },
	  { { 0 }, { 1000, SIGHUP, BLOCK }, { 1000, 0, ALL } }, 0, 0, ALL },
	/* clang-format on */
};

static struct {
	const struct ending *ending;
	unsigned int n_looks;
	int in, peer;
	size_t sent;
} world;

static void happen(const struct moment *m)
{
	if (m->sent > world.sent) {
		(void)!write(world.peer, (const uint8_t *)stream + world.sent,
			     m->sent - world.sent);
		world.sent = m->sent;
		if (world.sent == ALL)
			(void)shutdown(world.peer, SHUT_WR);
	}
	if (m->signal)
		(void)raise(m->signal);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *t);

int __wrap_clock_gettime(clockid_t clock, struct timespec *t)
{
	const struct moment *m = world.ending->moments;
	unsigned int i = world.n_looks++;

	if (i < N_MOMENTS)
		happen(&m[i]);
	/* Those that are left out are as the one before. */
	i = i < N_MOMENTS ? i : N_MOMENTS - 1;
	while (i > 0 && !m[i].ms && !m[i].sent)
		i--;
	*t = (struct timespec){ .tv_sec = 100 + m[i].ms / 1000,
				.tv_nsec = m[i].ms % 1000 * 1000000L };
	return 0;
}

/* --- the daemon --- */

struct client *client_open(const struct cli *cli, struct refusal *why)
{
	return (struct client *)&world;
}

void client_close(struct client *client)
{
}

int client_raw(struct client *client)
{
	return world.in;
}

json_t *client_call(struct client *client, const char *method, json_t *params, json_t **error,
		    struct refusal *why)
{
	json_decref(params);
	if (!strcmp(method, "capture.show"))
		return json_pack("[{s:i, s:i, s:s}]", "frames", 0, "lost", 0, "end", "stopped");
	happen(&world.ending->start);
	return json_pack("{s:s}", "name", "1");
}

int print_refusal(const struct cli *cli, const struct refusal *why, int code)
{
	return code;
}

/* --- */

static int run(const struct ending *ending, const char *path)
{
	struct cli cli = { .write = path };
	json_t *params = json_object();
	sigset_t mask;
	int pair[2], code;

	world.ending = ending;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return -1;
	world.in = pair[0];
	world.peer = pair[1];
	/* The first one comes before the command waits for it. */
	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &mask, NULL);
	code = capture_run(&cli, params);
	json_decref(params);
	close(pair[0]);
	close(pair[1]);
	return code;
}

static void check(const struct ending *ending)
{
	char folder[TEST_FOLDER_SIZE], path[TEST_FOLDER_SIZE + sizeof("/f")];
	uint8_t written[ALL + 1];
	int fd, status;
	pid_t pid;

	assert_true(test_folder_make(folder));
	(void)snprintf(path, sizeof(path), "%s/f", folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	print_message("%s\n", ending->name);
	pid = fork();
	if (!pid)
		_exit(run(ending, path));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, ending->signal);
	if (!ending->signal)
		assert_int_equal(WEXITSTATUS(status), ending->code);
	assert_int_equal(read(fd, written, sizeof(written)), ending->written);
	assert_memory_equal(written, stream, ending->written);
	close(fd);
	assert_int_equal(test_folder_remove(folder), 0);
}

static void test_endings(void **state)
{
	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++)
		check(&endings[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_endings) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
