/* SPDX-License-Identifier: BSD-3-Clause */
#include <err.h>
#include <errno.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fds.h"
#include "bench/port.h"

#define HUGE_PAGE  (2u << 20)
#define IOVA_BASE  0x100000000ull
#define RING_ALIGN 4096
#define TIMEOUT_S  10

static void *map_shared(int fd, size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
}

int memory_open(struct memory *m, size_t size)
{
	void *va = MAP_FAILED;

	size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	m->huge = true;
	m->fd = memfd_create("guest", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
	if (m->fd >= 0 && ftruncate(m->fd, (off_t)size) == 0)
		va = map_shared(m->fd, size);
	if (va == MAP_FAILED) {
		if (m->fd >= 0)
			close(m->fd);
		m->huge = false;
		m->fd = memfd_create("guest", MFD_CLOEXEC);
		if (m->fd < 0 || ftruncate(m->fd, (off_t)size) < 0)
			return -errno;
		va = map_shared(m->fd, size);
		if (va == MAP_FAILED)
			return -errno;
		madvise(va, size, MADV_HUGEPAGE); /* where the kernel gives them to memfds */
	}
	memset(va, 0, size);
	m->va = va;
	m->size = size;
	m->iova = IOVA_BASE;
	return 0;
}

void memory_close(struct memory *m)
{
	if (m->va == NULL)
		return;
	munmap(m->va, m->size);
	close(m->fd);
	m->va = NULL;
}

int sock_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = TIMEOUT_S };
	int sock, ret;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0) {
		ret = -errno;
		close(sock);
		return ret;
	}
	return sock;
}

int sock_send(int sock, const void *bytes, size_t size, const int *fds, unsigned int n_fds)
{
	struct iovec iov = { (void *)(uintptr_t)bytes, size }; /* NOLINT: it is only read */
	union fds_room room;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > FDS_ROOM)
		return -EINVAL;
	fds_attach(&msg, &room, fds, n_fds);
	n = sendmsg(sock, &msg, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -EIO;
}

int sock_receive(int sock, void *bytes, size_t size, int *fd)
{
	uint8_t *at = bytes;

	while (size > 0) {
		struct iovec iov = { at, size };
		union fds_room control;
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
		struct cmsghdr *c;

		if (n <= 0)
			return n < 0 ? -errno : -ECONNRESET;
		c = CMSG_FIRSTHDR(&msg);
		if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    fd != NULL)
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int port_open(struct port *p, unsigned int idx, const char *name, const struct port_setup *setup)
{
	static const struct port_ops *const kinds[] = { &vf_ops, &vio_ops, &packed_ops };
	const char *path = strchr(name, ':');
	int ret;

	memset(p, 0, sizeof(*p));
	p->sock = -1;
	p->idx = idx;
	p->setup = *setup;
	p->n_ring = setup->n_ring;
	p->tx_grain = 1;
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]) && path != NULL; i++)
		if (strncmp(name, kinds[i]->kind, strlen(kinds[i]->kind)) == 0 &&
		    name[strlen(kinds[i]->kind)] == ':')
			p->ops = kinds[i];
	if (p->ops == NULL) {
		warnx("%s: none of vf:PATH, vio:PATH and packed:PATH", name);
		return -EINVAL;
	}
	p->tx_slots = (p->ops->ring_bytes * p->n_ring * setup->n_descs + 4ull * RING_ALIGN) /
		      RING_ALIGN * RING_ALIGN;
	p->rx_slots = p->tx_slots + (size_t)p->n_ring * setup->slot_size;
	ret = memory_open(&p->memory, p->rx_slots + (size_t)p->n_ring * SLOT_SIZE);
	if (ret < 0)
		warnx("%s: no memory: %s", name, strerror(-ret));
	else
		ret = p->ops->open(p, path + 1);
	if (ret < 0)
		port_close(p);
	else
		p->tx_all = p->ops->tx_room(p, 0);
	return ret;
}

void port_close(struct port *p)
{
	if (p->ops != NULL)
		p->ops->close(p);
	if (p->sock >= 0)
		close(p->sock);
	p->sock = -1;
	memory_close(&p->memory);
	free(p->priv);
	p->priv = NULL;
}
