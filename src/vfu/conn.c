/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One client's byte stream: whole messages in, whole replies out.
 *
 * 1. A message is read in two pieces, its header and exactly its body, never beyond: file
 *    descriptors come with bytes, and this is how it stays certain to which message they belong.
 * 2. No message is read while output waits. So at most one reply and a bounded number of our own
 *    requests are kept for a client that does not read.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fds.h"
#include "vfu/internal.h"

#define IN_START 4096

void vfu_conn_init(struct vfu_conn *conn)
{
	*conn = (struct vfu_conn){ .fd = -1, .out_fd = -1, .max_fds = 1, .max_data = 1 << 20 };
}

static void drop_fds(struct vfu_conn *conn)
{
	for (unsigned int i = 0; i < conn->n_fds; i++)
		if (conn->fds[i] >= 0)
			close(conn->fds[i]);
	conn->n_fds = 0;
	conn->fds_lost = false;
}

void vfu_conn_release(struct vfu_conn *conn)
{
	drop_fds(conn);
	if (conn->fd >= 0)
		close(conn->fd);
	free(conn->in);
	free(conn->out);
	vfu_conn_init(conn);
}

/* Buffers grow to what one message needs and stay; they go with the session. */
static int grow(uint8_t **buf, size_t *capacity, size_t need)
{
	size_t n = *capacity == 0 ? IN_START : *capacity;
	uint8_t *p;

	if (need <= *capacity)
		return 0;
	while (n < need)
		n *= 2;
	p = realloc(*buf, n);
	if (p == NULL)
		return -ENOMEM;
	*buf = p;
	*capacity = n;
	return 0;
}

/* ---- output ---- */

size_t vfu_conn_unsent(const struct vfu_conn *conn)
{
	return conn->out_end - conn->out_start;
}

void *vfu_conn_room(struct vfu_conn *conn, size_t size)
{
	if (conn->out_start == conn->out_end)
		conn->out_start = conn->out_end = 0;
	if (grow(&conn->out, &conn->out_capacity, conn->out_end + size) < 0)
		return NULL;
	return conn->out + conn->out_end;
}

/* `size` bytes at vfu_conn_room() become output; `fd`, if not -1, goes with their first. Only replies
 * carry one, and those are made when no output waits. */
void vfu_conn_commit(struct vfu_conn *conn, size_t size, int fd)
{
	assert(fd < 0 || conn->out_end == 0);
	if (fd >= 0)
		conn->out_fd = fd;
	conn->out_end += size;
}

static ssize_t send_some(struct vfu_conn *conn)
{
	union fds_room room;
	struct iovec iov = { .iov_base = conn->out + conn->out_start,
			     .iov_len = vfu_conn_unsent(conn) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	bool with_fd = conn->out_fd >= 0;
	ssize_t n;

	fds_attach(&msg, &room, &conn->out_fd, with_fd ? 1 : 0);
	n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0 && with_fd)
		conn->out_fd = -1;
	return n;
}

/* One direction at a time: see the top of this file. */
static int wait_for(struct vfu_dev *dev, bool want_out)
{
	struct vfu_conn *conn = &dev->conn;
	struct epoll_event ev = { .events = want_out ? EPOLLOUT : EPOLLIN,
				  .data.ptr = &dev->conn_watch };

	if (conn->want_out == want_out)
		return 0;
	if (epoll_ctl(dev->loop->epoll_fd, EPOLL_CTL_MOD, conn->fd, &ev) < 0)
		return -errno;
	conn->want_out = want_out;
	return 0;
}

/* Sends what the socket takes. Returns 0, or a negative errno if the client is gone. */
int vfu_conn_flush(struct vfu_dev *dev)
{
	struct vfu_conn *conn = &dev->conn;

	while (vfu_conn_unsent(conn) > 0) {
		ssize_t n = send_some(conn);

		if (n > 0) {
			conn->out_start += (size_t)n;
		} else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			break;
		} else if (n < 0 && errno != EINTR) {
			return -errno;
		}
	}
	return wait_for(dev, vfu_conn_unsent(conn) > 0);
}

/* ---- input ---- */

static void take_fds(struct vfu_conn *conn, struct msghdr *msg)
{
	struct cmsghdr *cmsg;

	if ((msg->msg_flags & MSG_CTRUNC) != 0)
		conn->fds_lost = true;
	for (cmsg = CMSG_FIRSTHDR(msg); cmsg != NULL; cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t n;

		if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(int));
			if (conn->n_fds < VFU_MAX_FDS) {
				conn->fds[conn->n_fds++] = fd;
			} else {
				conn->fds_lost = true;
				close(fd);
			}
		}
	}
}

/* Returns 1 once `want` bytes of the message are there, 0 if they are not yet, or a negative errno:
 * -ECONNRESET if the client has gone. */
static int receive_until(struct vfu_conn *conn, size_t want)
{
	while (conn->in_size < want) {
		char control[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))] __attribute__((aligned(8)));
		struct iovec iov = { .iov_base = conn->in + conn->in_size,
				     .iov_len = want - conn->in_size };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(conn->fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
		if (n == 0)
			return -ECONNRESET;
		take_fds(conn, &msg);
		conn->in_size += (size_t)n;
	}
	return 1;
}

/* Returns 1 with a whole message in conn->in, 0, -EPROTO if its size cannot be true, or as above. */
static int receive_message(struct vfu_conn *conn, struct vfu_hdr *hdr)
{
	int r;

	if (grow(&conn->in, &conn->in_capacity, sizeof(*hdr)) < 0)
		return -ENOMEM;
	r = receive_until(conn, sizeof(*hdr));
	if (r <= 0)
		return r;
	memcpy(hdr, conn->in, sizeof(*hdr));
	if (hdr->size < sizeof(*hdr) || hdr->size > VFU_MAX_MSG)
		return -EPROTO;
	if (grow(&conn->in, &conn->in_capacity, hdr->size) < 0)
		return -ENOMEM;
	return receive_until(conn, hdr->size);
}

static int serve_one(struct vfu_dev *dev)
{
	struct vfu_conn *conn = &dev->conn;
	struct vfu_msg msg = { .reply_fd = -1 };
	int r = receive_message(conn, &msg.hdr);

	if (r <= 0)
		return r;
	vfu_count(dev, n_messages);
	msg.body = conn->in + sizeof(msg.hdr);
	msg.size = msg.hdr.size - sizeof(msg.hdr);
	msg.fds = conn->fds;
	msg.n_fds = conn->n_fds;
	vfu_dispatch(dev, &msg);
	drop_fds(conn);
	conn->in_size = 0;
	r = vfu_conn_flush(dev);
	return r < 0 ? r : 1;
}

static int serve(struct vfu_dev *dev, uint32_t events)
{
	struct vfu_conn *conn = &dev->conn;
	int r;

	if (vfu_conn_unsent(conn) > 0) {
		r = vfu_conn_flush(dev);
		if (r < 0)
			return r;
	}
	for (int i = 0; i < VFU_BATCH; i++) {
		if (vfu_conn_unsent(conn) > 0)
			/* Output that the client will never read: it has closed its end. */
			return (events & (EPOLLHUP | EPOLLERR)) != 0 ? -ECONNRESET : 0;
		if (conn->closing)
			return -EPROTO;
		r = serve_one(dev);
		if (r <= 0)
			return r;
	}
	return conn->closing && vfu_conn_unsent(conn) == 0 ? -EPROTO : 0;
}

void vfu_conn_ready(struct vfu_dev *dev, uint32_t events)
{
	int r;

	if (dev->conn.fd < 0)
		return;
	r = serve(dev, events);
	if (r >= 0)
		return;
	if (r == -ECONNRESET || r == -EPIPE) {
		vfu_dev_detach(dev, "the client closed the connection");
		return;
	}
	vfu_count(dev, n_broken);
	vfu_dev_detach(dev, r == -EPROTO ? "the stream cannot be followed" : strerror(-r));
}
