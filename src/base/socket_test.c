/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/socket.h"
#include "base/test_folder.h"

static char folder[TEST_FOLDER_SIZE];
static char path[sizeof(((struct sockaddr_un *)0)->sun_path)];

/* A socket at the path; `backlog` -1: nobody listens on it. */
static int make(int type, int backlog)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

/* It refuses, with the path and the word, and leaves alone what is there. */
static void refuses(int code, const char *word)
{
	struct sockaddr_un addr;
	struct err err = { 0 };

	assert_int_equal(socket_place(path, &addr, &err), code);
	assert_int_equal(err.code, code);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, word));
	assert_int_equal(faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW), 0);
	unlink(path);
}

static void test_what_lies_there(void **state)
{
	struct sockaddr_un addr;
	struct err err = { 0 };
	int fd, full;

	assert_int_equal(socket_place(path, &addr, &err), 0);
	assert_int_equal(addr.sun_family, AF_UNIX);
	assert_string_equal(addr.sun_path, path);

	/* Its process has gone. */
	close(make(SOCK_STREAM, 1));
	assert_int_equal(socket_place(path, &addr, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	/* It is there, and does not listen (yet). */
	fd = make(SOCK_STREAM, -1);
	assert_int_equal(socket_place(path, &addr, &err), 0);
	assert_int_equal(access(path, F_OK), -1);
	close(fd);

	fd = make(SOCK_STREAM, 1);
	refuses(-EADDRINUSE, "another process listens");
	close(fd);
	/* Its queue is full. */
	fd = make(SOCK_STREAM, 0);
	full = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_int_equal(connect(full, (struct sockaddr *)&addr, sizeof(addr)), 0);
	refuses(-EADDRINUSE, "another process listens");
	close(full);
	close(fd);
	fd = make(SOCK_DGRAM, -1);
	refuses(-EADDRINUSE, "another process listens");
	close(fd);

	close(open(path, O_CREAT | O_EXCL | O_WRONLY, 0600));
	refuses(-EEXIST, "move it away");
	assert_int_equal(symlink("nowhere", path), 0);
	refuses(-EEXIST, "move it away");
}

static void test_paths(void **state)
{
	char long_path[sizeof(path) + 1];
	struct sockaddr_un addr;
	struct err err = { 0 };

	assert_int_equal(socket_place("", &addr, &err), -ENAMETOOLONG);
	memset(long_path, 'x', sizeof(long_path));
	long_path[sizeof(path)] = '\0';
	assert_int_equal(socket_place(long_path, &addr, &err), -ENAMETOOLONG);
	assert_non_null(strstr(err.text, "108 bytes, from 1 to 107"));
	long_path[sizeof(path) - 1] = '\0';
	assert_int_equal(socket_place(long_path, &addr, &err), 0);
	assert_int_equal(socket_place("/dev/null/x", &addr, &err), -ENOTDIR);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_lies_there),
		cmocka_unit_test(test_paths),
	};
	int ret;

	if (!test_folder_make(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/s", folder);
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	return test_folder_remove(folder) < 0 ? 1 : ret;
}
