/* SPDX-License-Identifier: BSD-3-Clause */
/* A vhost-user front end with a guest in a memfd, for tests: what QEMU does, or what it never would.
 * Source: QEMU docs/interop/vhost-user.rst ("vhost-user"). */
#ifndef SOFTIOV_VHOST_FRONT_H
#define SOFTIOV_VHOST_FRONT_H

#include <linux/vhost_types.h>

#include "dev/virtio_net/fake_guest.h"

enum front_request {
	FRONT_GET_FEATURES = 1,
	FRONT_SET_FEATURES = 2,
	FRONT_SET_OWNER = 3,
	FRONT_RESET_OWNER = 4,
	FRONT_SET_MEM_TABLE = 5,
	FRONT_SET_LOG_BASE = 6,
	FRONT_SET_VRING_NUM = 8,
	FRONT_SET_VRING_ADDR = 9,
	FRONT_SET_VRING_BASE = 10,
	FRONT_GET_VRING_BASE = 11,
	FRONT_SET_VRING_KICK = 12,
	FRONT_SET_VRING_CALL = 13,
	FRONT_GET_PROTOCOL_FEATURES = 15,
	FRONT_SET_PROTOCOL_FEATURES = 16,
	FRONT_GET_QUEUE_NUM = 17,
	FRONT_SET_VRING_ENABLE = 18,
	FRONT_NET_SET_MTU = 20,
	FRONT_SET_STATUS = 39,
};

#define FRONT_NEED_REPLY   8u
#define FRONT_F_PROTOCOL   (1ull << 30)
#define FRONT_REGIONS_MAX  8
#define FRONT_MEM_SIZE     (384u << 10)
#define FRONT_RING_SIZE    64u
#define FRONT_IOVA         0x100000000ull
#define FRONT_USER_ADDRESS 0x7f0000000000ull /* where QEMU would have mapped the memory */

struct front_region {
	uint64_t iova, size, user_address, offset;
};

struct front {
	int sock;
	int memfd;
	int call[VIRTIO_NET_RINGS_MAX], kick[VIRTIO_NET_RINGS_MAX];
	struct guest guest;
	unsigned int n_enabled; /* pairs that front_start enables; 0: all */
	/* A stream that ends early: bytes still to be sent, or -1 for all. */
	int64_t budget;
};

/* Memory and eventfds, not connected. */
void front_init(struct front *f, unsigned int n_pairs);
void front_fini(struct front *f);
/* 0 or -errno. Replies are waited for 5 s. */
int front_connect(struct front *f, const char *path);
void front_disconnect(struct front *f);

/* One message. 0, or -errno if the server has closed, or -ENODATA once the budget is used up. */
int front_send(struct front *f, uint32_t request, uint32_t flags, const void *payload,
	       uint32_t size, const int *fds, unsigned int n_fds);
int front_send_u64(struct front *f, uint32_t request, uint64_t value);
/* struct vhost_vring_state's fields */
int front_send_state(struct front *f, uint32_t request, uint32_t ring, uint32_t num);
/* The next reply's payload. Its size, 0 if the server has closed, or -errno. */
int front_reply(struct front *f, void *payload, uint32_t size);
/* Sends with FRONT_NEED_REPLY and returns what the server says: 0 done, 1 refused; -errno. */
int front_ask(struct front *f, uint32_t request, const void *payload, uint32_t size, const int *fds,
	      unsigned int n_fds);

int front_set_memory(struct front *f, const struct front_region *region, const int *fds,
		     unsigned int n);
/* The guest's memory as one region. */
int front_set_guest_memory(struct front *f);
int front_set_address(struct front *f, unsigned int ring, uint32_t flags);
int front_set_fd(struct front *f, uint32_t request, unsigned int ring, int fd);
/* All of a ring, from `base` on, up to the kick. */
int front_set_ring(struct front *f, unsigned int ring, uint16_t base);
int front_get_base(struct front *f, unsigned int ring);
/* The whole start as QEMU does it, going on from the rings' used indices; of packed rings it knows
 * nothing then, and says that they are new. */
int front_start(struct front *f, uint64_t features);
/* GET_VRING_BASE of all rings: stops them. base[] gets what the server says. */
int front_stop(struct front *f, int base[VIRTIO_NET_RINGS_MAX]);

#endif
