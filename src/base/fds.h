/* SPDX-License-Identifier: BSD-3-Clause */
/* File descriptors that go with the bytes of a message over a Unix socket: SCM_RIGHTS, unix(7). */
#ifndef SOFTIOV_BASE_FDS_H
#define SOFTIOV_BASE_FDS_H

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

#define FDS_ROOM 64

/* Where they lie until the message is sent. */
union fds_room {
	struct cmsghdr align;
	char space[CMSG_SPACE(FDS_ROOM * sizeof(int))];
};

/* `msg` takes n_fds of them along, 0 to FDS_ROOM; `room` has to last as long as it. */
static inline void fds_attach(struct msghdr *msg, union fds_room *room, const int *fds,
			      unsigned int n_fds)
{
	struct cmsghdr *c;

	assert(n_fds <= FDS_ROOM);
	if (n_fds == 0)
		return;
	memset(room, 0, sizeof(*room));
	msg->msg_control = room;
	msg->msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
	memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
}

#endif
