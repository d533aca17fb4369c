/* SPDX-License-Identifier: BSD-3-Clause */
/* The listening socket's file: whose it is, and who may connect. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/socket.h"
#include "vfu/internal.h"

#define BACKLOG 4 /* one client is served; the others only wait to be told so */

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
	struct sockaddr_un addr;
	int fd, r = socket_place(path, &addr, err);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set(err, -errno, "cannot create a socket for %s: %s", path,
			       strerror(errno));
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
