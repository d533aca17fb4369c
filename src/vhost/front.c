/* SPDX-License-Identifier: BSD-3-Clause */
#include <assert.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fds.h"
#include "vhost/front.h"

#define VERSION_1_FLAG 1u
#define NO_FD          0x100u
#define STATUS_RUNNING 0x0fu /* ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK: virtio 1.2, 2.1 */

struct message {
	uint32_t request, flags, size;
	uint8_t payload[512];
} __attribute__((packed));

#define HEADER_SIZE 12u

void front_init(struct front *f, unsigned int n_pairs)
{
	void *va;

	memset(f, 0, sizeof(*f));
	f->sock = -1;
	f->budget = -1;
	f->memfd = memfd_create("guest", MFD_CLOEXEC);
	if (f->memfd < 0 || ftruncate(f->memfd, FRONT_MEM_SIZE) < 0)
		assert(false);
	va = mmap(NULL, FRONT_MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, f->memfd, 0);
	assert(va != MAP_FAILED);
	for (unsigned int i = 0; i < VIRTIO_NET_RINGS_MAX; i++) {
		f->call[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		f->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert(f->call[i] >= 0 && f->kick[i] >= 0);
	}
	guest_init(&f->guest, va, FRONT_MEM_SIZE, FRONT_IOVA, FRONT_RING_SIZE, n_pairs);
}

void front_fini(struct front *f)
{
	front_disconnect(f);
	munmap(f->guest.va, FRONT_MEM_SIZE);
	close(f->memfd);
	for (unsigned int i = 0; i < VIRTIO_NET_RINGS_MAX; i++) {
		close(f->call[i]);
		close(f->kick[i]);
	}
}

int front_connect(struct front *f, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval timeout = { .tv_sec = 60 };

	front_disconnect(f);
	memcpy(address.sun_path, path, strlen(path));
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->sock < 0 ||
	    setsockopt(f->sock, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
	    connect(f->sock, (struct sockaddr *)&address, sizeof(address)) < 0)
		return -errno;
	return 0;
}

void front_disconnect(struct front *f)
{
	if (f->sock >= 0)
		close(f->sock);
	f->sock = -1;
}

int front_send(struct front *f, uint32_t request, uint32_t flags, const void *payload,
	       uint32_t size, const int *fds, unsigned int n_fds)
{
	struct message m = { request, flags | VERSION_1_FLAG, size, { 0 } };
	struct iovec iov = { &m, HEADER_SIZE + size };
	union fds_room room;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	assert(size <= sizeof(m.payload));
	if (size > 0)
		memcpy(m.payload, payload, size);
	fds_attach(&msg, &room, fds, n_fds);
	if (f->budget >= 0) {
		if ((int64_t)iov.iov_len > f->budget)
			iov.iov_len = (size_t)f->budget;
		f->budget -= (int64_t)iov.iov_len;
		if (iov.iov_len == 0)
			return -ENODATA;
	}
	return sendmsg(f->sock, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int front_send_u64(struct front *f, uint32_t request, uint64_t value)
{
	return front_send(f, request, 0, &value, sizeof(value), NULL, 0);
}

int front_send_state(struct front *f, uint32_t request, uint32_t ring, uint32_t num)
{
	struct vhost_vring_state state = { ring, num };

	return front_send(f, request, 0, &state, sizeof(state), NULL, 0);
}

int front_reply(struct front *f, void *payload, uint32_t size)
{
	struct message m;
	ssize_t n = recv(f->sock, &m, HEADER_SIZE, MSG_WAITALL);

	if (n <= 0)
		return n < 0 ? -errno : 0;
	if (n < (ssize_t)HEADER_SIZE || m.size > sizeof(m.payload))
		return -EPROTO;
	if (m.size > 0 && recv(f->sock, m.payload, m.size, MSG_WAITALL) != (ssize_t)m.size)
		return -EPROTO;
	memcpy(payload, m.payload, m.size < size ? m.size : size);
	return (int)m.size;
}

int front_ask(struct front *f, uint32_t request, const void *payload, uint32_t size, const int *fds,
	      unsigned int n_fds)
{
	uint64_t answer = 0;
	int ret = front_send(f, request, FRONT_NEED_REPLY, payload, size, fds, n_fds);

	if (ret < 0 || f->budget >= 0)
		return ret;
	ret = front_reply(f, &answer, sizeof(answer));
	if (ret < 0)
		return ret;
	return ret == sizeof(answer) ? (int)answer : -ECONNRESET;
}

int front_set_memory(struct front *f, const struct front_region *region, const int *fds,
		     unsigned int n)
{
	struct {
		uint32_t n, padding;
		struct front_region region[FRONT_REGIONS_MAX];
	} table = { .n = n };

	memcpy(table.region, region, n * sizeof(*region));
	return front_ask(f, FRONT_SET_MEM_TABLE, &table, 8 + n * (uint32_t)sizeof(*region), fds, n);
}

int front_set_guest_memory(struct front *f)
{
	struct front_region region = { FRONT_IOVA, FRONT_MEM_SIZE, FRONT_USER_ADDRESS, 0 };

	return front_set_memory(f, &region, &f->memfd, 1);
}

static uint64_t user_address(const struct front *f, const void *va)
{
	return FRONT_USER_ADDRESS + (uint64_t)((const uint8_t *)va - f->guest.va);
}

int front_set_address(struct front *f, unsigned int ring, uint32_t flags)
{
	const struct guest_ring *r = &f->guest.ring[ring];
	struct vhost_vring_addr address = {
		.index = ring,
		.flags = flags,
		.desc_user_addr = user_address(f, r->desc),
		.used_user_addr = user_address(f, r->used),
		.avail_user_addr = user_address(f, r->avail),
		.log_guest_addr = FRONT_IOVA + (uint64_t)((uint8_t *)r->used - f->guest.va),
	};

	return front_send(f, FRONT_SET_VRING_ADDR, 0, &address, sizeof(address), NULL, 0);
}

int front_set_fd(struct front *f, uint32_t request, unsigned int ring, int fd)
{
	uint64_t value = ring | (fd < 0 ? NO_FD : 0);

	return front_send(f, request, 0, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

int front_set_ring(struct front *f, unsigned int ring, uint16_t base)
{
	int ret = front_send_state(f, FRONT_SET_VRING_NUM, ring, f->guest.ring[ring].size);

	if (ret == 0)
		ret = front_send_state(f, FRONT_SET_VRING_BASE, ring, base);
	if (ret == 0)
		ret = front_set_address(f, ring, 0);
	if (ret == 0)
		ret = front_set_fd(f, FRONT_SET_VRING_KICK, ring, f->kick[ring]);
	return ret;
}

int front_get_base(struct front *f, unsigned int ring)
{
	struct vhost_vring_state state = { 0 };
	int ret = front_send_state(f, FRONT_GET_VRING_BASE, ring, 0);

	if (ret == 0)
		ret = front_reply(f, &state, sizeof(state));
	return ret == sizeof(state) ? (int)state.num : -EPROTO;
}

int front_start(struct front *f, uint64_t features)
{
	uint64_t offered = 0;
	int ret = front_send(f, FRONT_GET_FEATURES, 0, NULL, 0, NULL, 0);

	if (ret == 0 && f->budget < 0)
		ret = front_reply(f, &offered, sizeof(offered)) == sizeof(offered) ? 0 : -EPROTO;
	if (ret == 0)
		ret = front_send(f, FRONT_GET_PROTOCOL_FEATURES, 0, NULL, 0, NULL, 0);
	if (ret == 0 && f->budget < 0)
		ret = front_reply(f, &offered, sizeof(offered)) == sizeof(offered) ? 0 : -EPROTO;
	if (ret == 0)
		ret = front_send_u64(f, FRONT_SET_PROTOCOL_FEATURES, offered);
	if (ret == 0)
		ret = front_send(f, FRONT_SET_OWNER, 0, NULL, 0, NULL, 0);
	for (unsigned int i = 0; i < f->guest.n_rings && ret == 0; i++)
		ret = front_set_fd(f, FRONT_SET_VRING_CALL, i, f->call[i]);
	if (ret == 0)
		ret = front_send_u64(f, FRONT_SET_FEATURES, features | FRONT_F_PROTOCOL);
	if (ret == 0)
		ret = front_set_guest_memory(f);
	for (unsigned int i = 0; i < f->guest.n_rings && ret == 0; i++)
		ret = front_set_ring(f, i, f->guest.packed ? 0x8000 : f->guest.ring[i].used->idx);
	for (unsigned int i = 0; i < f->guest.n_rings && ret == 0; i++)
		ret = front_send_state(f, FRONT_SET_VRING_ENABLE, i,
				       f->n_enabled == 0 || i / VIRTIO_NET_N_RINGS < f->n_enabled);
	if (ret == 0)
		ret = front_send_u64(f, FRONT_SET_STATUS, STATUS_RUNNING);
	return ret;
}

int front_stop(struct front *f, int base[VIRTIO_NET_RINGS_MAX])
{
	for (unsigned int i = 0; i < f->guest.n_rings; i++) {
		base[i] = front_get_base(f, i);
		if (base[i] < 0)
			return base[i];
	}
	return 0;
}
