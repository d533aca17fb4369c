/* SPDX-License-Identifier: BSD-3-Clause */
/* The listening socket's file: whose it is, who may connect, and what to do with what lies there. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/errtext.h"
#include "vfu/internal.h"

#define BACKLOG 4 /* one client is served; the others only wait to be told so */

static int socket_new(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/* Does anybody listen? A socket's file outlives its process, so only connecting tells. */
static int probe(const struct sockaddr_un *addr)
{
	int fd = socket_new();
	int r;

	if (fd < 0)
		return fd;
	r = connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	close(fd);
	if (r == -ECONNREFUSED || r == -ENOENT)
		return 0;
	/* EAGAIN: the queue of a live listener is full. EPROTOTYPE: it is not a stream socket. */
	return r == 0 || r == -EAGAIN || r == -EPROTOTYPE ? -EADDRINUSE : r;
}

static int make_way(const struct sockaddr_un *addr, struct err *err)
{
	const char *path = addr->sun_path;
	struct stat st;
	int r;

	if (lstat(path, &st) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set(err, -errno, "cannot look at socket path %s: %s", path,
			       strerror(errno));
	}
	if (!S_ISSOCK(st.st_mode))
		return err_set(err, -EEXIST,
			       "%s exists and is not a socket: remove it, or choose another path",
			       path);
	r = probe(addr);
	if (r == -EADDRINUSE)
		return err_set(err, r,
			       "socket %s is in use: stop the process that listens on it, or "
			       "choose another path",
			       path);
	if (r < 0)
		return err_set(err, r, "cannot tell whether socket %s is in use: %s", path,
			       strerror(-r));
	if (unlink(path) < 0 && errno != ENOENT)
		return err_set(err, -errno, "cannot remove the stale socket %s: %s", path,
			       strerror(errno));
	return 0;
}

/* Until listen() nobody can connect, so mode and owner are right from the first client on. */
static int bind_and_listen(int fd, const struct sockaddr_un *addr, const struct vfu_access *access,
			   struct err *err)
{
	const char *path = addr->sun_path;

	if (bind(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0)
		return err_set(err, -errno, "cannot create socket %s: %s", path, strerror(errno));
	if (chmod(path, access->mode) < 0) {
		err_set(err, -errno, "cannot set mode %04o of socket %s: %s",
			(unsigned int)access->mode, path, strerror(errno));
		goto remove;
	}
	if ((access->uid != (uid_t)-1 || access->gid != (gid_t)-1) &&
	    lchown(path, access->uid, access->gid) < 0) {
		err_set(err, -errno, "cannot give socket %s to user %d, group %d: %s", path,
			(int)access->uid, (int)access->gid, strerror(errno));
		goto remove;
	}
	if (listen(fd, BACKLOG) < 0) {
		err_set(err, -errno, "cannot listen on socket %s: %s", path, strerror(errno));
		goto remove;
	}
	return 0;
remove:
	unlink(path);
	return err->code;
}

int vfu_listen_open(const char *path, const struct vfu_access *access, struct err *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, r;

	if (path[0] == '\0' || strlen(path) >= sizeof(addr.sun_path))
		return err_set(err, -ENAMETOOLONG,
			       "socket path %s has %zu bytes: 1 to %zu are possible", path,
			       strlen(path), sizeof(addr.sun_path) - 1);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	r = make_way(&addr, err);
	if (r < 0)
		return r;
	fd = socket_new();
	if (fd < 0)
		return err_set(err, fd, "cannot create a socket for %s: %s", path, strerror(-fd));
	r = bind_and_listen(fd, &addr, access, err);
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

/* Returns a non-blocking connection, or a negative errno: -EAGAIN if there is none. */
int vfu_listen_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	return fd < 0 ? -errno : fd;
}
