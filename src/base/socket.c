/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Does anybody listen? Only connecting tells. */
static int probe(const struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	close(fd);
	if (ret == -ECONNREFUSED || ret == -ENOENT)
		return 0;
	/* EAGAIN: the queue of a live listener is full. EPROTOTYPE: it is not a stream socket. */
	return ret == 0 || ret == -EAGAIN || ret == -EPROTOTYPE ? -EADDRINUSE : ret;
}

int socket_place(const char *path, struct sockaddr_un *addr, struct err *err)
{
	size_t size = strlen(path);
	struct stat st;
	int ret;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (size == 0 || size >= sizeof(addr->sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "socket %s: its path has %zu bytes, from 1 to %zu are possible",
			       path, size, sizeof(addr->sun_path) - 1);
	memcpy(addr->sun_path, path, size);
	if (lstat(path, &st) < 0)
		return errno == ENOENT
			       ? 0
			       : err_set(err, -errno, "socket %s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return err_set(
			err, -EEXIST,
			"socket %s: there is a file that is none; move it away, or choose another path",
			path);
	ret = probe(addr);
	if (ret == -EADDRINUSE)
		return err_set(
			err, ret,
			"socket %s: another process listens on it; stop that one, or choose another path "
			"(--run-dir)",
			path);
	if (ret < 0)
		return err_set(err, ret, "socket %s: cannot tell whether anybody listens on it: %s",
			       path, strerror(-ret));
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(
			err, -errno,
			"socket %s: the one of a process that has gone cannot be removed: %s", path,
			strerror(errno));
	return 0;
}
