/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user server: serves a synthetic (src/dev/virtio_net) to a VM's machine over a Unix socket.
 * The only user of rte_vhost, whose sockets, messages and memory mappings are used, and whose data
 * path is not.
 *
 * Life of a synthetic:
 *  1. vhost_new listens on a socket. The endpoint exists from here on, and does not run.
 *  2. A client (QEMU) connects: VHOST_CONNECTED. One client at a time; a second one waits until the
 *     first is gone (a VM that comes back before the end of its old connection was noticed), a
 *     third is refused.
 *  3. The client has given memory and rings, and the guest's driver is ready: VHOST_RUNNING.
 *  4. The client stops the rings or leaves: workers are waited for, positions are given back to
 *     rte_vhost for the client's GET_VRING_BASE.
 *  5. vhost_free does step 4 if needed and removes the socket.
 *
 * Complications:
 *  1. rte_vhost handles messages in a thread of its own, all synthetics in one, and unmaps memory
 *     or moves rings without telling (DPDK 22.11 to 25.11, vhost_user_set_mem_table). So a hook
 *     before each message that changes what workers use pauses the rings and waits for the workers,
 *     and a hook behind it starts them again.
 *  2. During those hooks rte_vhost holds its queues' spinlocks, so a worker that called
 *     rte_vhost_vring_call would wait for itself. Workers call nothing of rte_vhost: they write
 *     to our own copy of the eventfd.
 *  3. rte_vhost checks a ring's place before the client may enlarge the ring, and the client may move
 *     it: virtio_net_start checks all of it again, against the memory table.
 *  4. A restart loses nothing in the rings. Chains are used strictly in order, so the used index in
 *     guest memory is the position. If the daemon dies, QEMU (reconnect-ms) takes the base from
 *     there, and rte_vhost does too. Of a packed ring QEMU then says that it is new, and the slots'
 *     flags tell where it stands (packed_resume in src/dev/virtio_net/packed.h). What was copied but not yet shown as used when the daemon died
 *     is sent once more (at most one burst of each ring); nothing is lost. Inflight
 *     tracking (VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) would add nothing and is not offered.
 *  5. A vhost-user back end cannot tell the guest that its link is down: QEMU answers for
 *     VIRTIO_NET_F_STATUS by whether the socket is connected (QEMU 11.1, net/vhost-user.c). With
 *     vhost_set_link(false) frames stop both ways and the guest sees a link.
 *  6. A client that sends half a message, or takes no answers, stops rte_vhost's thread and so the
 *     messages of all synthetics, though not their traffic: for two seconds, then its connection ends.
 *
 * Threads: vhost_init, vhost_new, vhost_free, vhost_set_* : control. Upcalls come in rte_vhost's
 * thread; `quiesce` also in vhost_free's. vhost_free waits for rte_vhost's thread to leave the
 * upcalls, so it must be called without any lock that upcalls take.
 *
 * Source: QEMU docs/interop/vhost-user.rst ("vhost-user"); DPDK 22.11 lib/vhost.
 */
#ifndef SOFTIOV_VHOST_VHOST_H
#define SOFTIOV_VHOST_VHOST_H

#include <sys/types.h>

#include "base/errtext.h"
#include "frame/queue.h"

struct vhost;

enum vhost_state {
	VHOST_DETACHED,  /* no client */
	VHOST_CONNECTED, /* a VM is there; its driver receives nothing yet */
	VHOST_RUNNING,   /* endpoint.running */
};

struct vhost_upcalls {
	void (*state_changed)(void *arg, enum vhost_state state);
	/* Returns once no worker uses what it used before the call. */
	void (*quiesce)(void *arg);
};

struct vhost_config {
	const char *path;
	mode_t mode; /* of the socket; set after it is bound, so keep the umask or the folder tight */
	uid_t uid;   /* (uid_t)-1, (gid_t)-1: leave it as it is */
	gid_t gid;
	unsigned int n_queues; /* pairs, 1 to ENDPOINT_QUEUES_MAX: as many as a client may use */
	uint32_t max_frame;    /* largest untagged frame, Ethernet header included */
	bool link_up;
	const struct vhost_upcalls *upcalls; /* borrowed, must outlive the synthetic */
	void *arg;
};

/* What `show` tells. */
struct vhost_info {
	enum vhost_state state;
	uint64_t features;         /* negotiated; 0 while not running */
	uint32_t rx_size, tx_size; /* of the first pair's rings */
	unsigned int n_queues;     /* pairs that receive */
	bool broken;               /* a ring was given up because its indices made no sense */
	uint64_t n_connections;    /* since vhost_new */
	uint64_t n_refused;        /* connections closed because two were there */
	uint64_t n_bad_setups;     /* rings or memory that could not be used */
};

/* Takes over rte_vhost's log: once, after EAL is up. debug: every message of every client. */
int vhost_init(bool debug);

/* Listens. A socket that is there already is replaced if nobody listens on it any more.
 * -ENAMETOOLONG, -EADDRINUSE (somebody listens), -EEXIST (not a socket), -EACCES and the like from
 * the file system, -ENOMEM, -EIO (rte_vhost refused: its log says why, e.g. 1024 sockets). */
int vhost_new(struct vhost **vp, const struct vhost_config *config, struct err *err);
/* Accepts NULL. The endpoint must be out of the switch. */
void vhost_free(struct vhost *v);

struct endpoint *vhost_endpoint(struct vhost *v);
void vhost_set_link(struct vhost *v, bool up);
void vhost_set_max_frame(struct vhost *v, uint32_t max_frame);
/* Any thread that keeps `v` from being freed. */
enum vhost_state vhost_state(const struct vhost *v);
void vhost_get_info(struct vhost *v, struct vhost_info *info);
/* The virtio feature bits by name, for `show`: n = 0, 1, ...; NULL after the last. */
const char *vhost_feature_name(uint64_t features, unsigned int n);

#endif
