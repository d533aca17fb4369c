/* SPDX-License-Identifier: BSD-3-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_version.h>
#include <rte_vhost.h>

#include "base/log.h"
#include "base/socket.h"
#include "dev/virtio_net/virtio_net.h"
#include "vhost/vhost.h"

#define AREA "vhost"

/* ANNOUNCE is QEMU's doing, but it keeps from the guest what the back end does not offer. */
#define FEATURES                                                                           \
	(VIRTIO_NET_DEVICE_FEATURES | 1ull << VIRTIO_NET_F_MTU | 1ull << VIRTIO_NET_F_MQ | \
	 1ull << VIRTIO_NET_F_GUEST_ANNOUNCE | 1ull << VHOST_F_LOG_ALL |                   \
	 1ull << VHOST_USER_F_PROTOCOL_FEATURES)
#define PROTOCOL_FEATURES                                                                  \
	(1ull << VHOST_USER_PROTOCOL_F_MQ | 1ull << VHOST_USER_PROTOCOL_F_LOG_SHMFD |      \
	 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1ull << VHOST_USER_PROTOCOL_F_NET_MTU | \
	 1ull << VHOST_USER_PROTOCOL_F_STATUS)

/* vhost-user, "Front-end message types" */
enum vhost_request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_MEM_TABLE = 5,
	SET_LOG_BASE = 6,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_QUEUE_NUM = 17,
	ADD_MEM_REG = 37,
	REM_MEM_REG = 38,
};

#define PATIENCE_S 2 /* for the rest of a message, or for a client to take an answer */

#define SLOTS 2 /* clients: the one that is served, and one that waits */

struct vhost {
	struct virtio_net net;
	struct endpoint_stats *stats;
	const struct vhost_upcalls *upcalls;
	void *arg;
	struct vhost *next; /* list of all, under list_lock */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	uint64_t own_features; /* of FEATURES, those that the library does not know; constant */

	/* rte_vhost's thread only, and vhost_free once that is out. */
	struct {
		int vid;               /* rte_vhost's handle of a connection, or -1 */
		bool ready;            /* between new_device and destroy_device */
		uint64_t own_features; /* negotiated, of v->own_features */
		bool enabled[VIRTIO_NET_RINGS_MAX];
	} slot[SLOTS];
	bool attached; /* slot[0]'s rings are ours: started, call fds and memory table taken */
	bool swapping; /* inside SET_VRING_CALL */
	struct mem_table *mem;
	const uint8_t *log; /* the dirty log's mapping, while the guard knows it */

	/* For vhost_get_info; written in rte_vhost's thread. */
	atomic_bool closing;
	atomic_uint state;
	_Atomic uint64_t features;
	atomic_uint size[VIRTIO_NET_RINGS_MAX];
	_Atomic uint64_t n_connections, n_refused, n_bad_setups;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vhost *list;

/* rte_vhost's hooks get nothing but the handle. An entry is written before the handle's first message
 * and read in the same thread; vhost_free clears it, unless the handle is another's by then. */
static _Atomic(struct vhost *) by_vid[RTE_MAX_VHOST_DEVICE];

static struct log_limit warnings; /* rte_vhost's thread only */

static struct vhost *find_by_vid(int vid)
{
	return vid >= 0 && vid < RTE_MAX_VHOST_DEVICE ? atomic_load(&by_vid[vid]) : NULL;
}

static void forget_vid(int vid, struct vhost *v)
{
	atomic_compare_exchange_strong(&by_vid[vid], &v, NULL);
}

static struct vhost *find_by_path(const char *path)
{
	struct vhost *v;

	pthread_mutex_lock(&list_lock);
	for (v = list; v != NULL && strcmp(v->path, path) != 0; v = v->next)
		;
	pthread_mutex_unlock(&list_lock);
	return v;
}

static void quiesce(struct vhost *v)
{
	if (v->upcalls->quiesce != NULL)
		v->upcalls->quiesce(v->arg);
}

static void update_state(struct vhost *v)
{
	enum vhost_state state = v->slot[0].vid < 0                      ? VHOST_DETACHED
				 : atomic_load(&v->net.endpoint.running) ? VHOST_RUNNING
									 : VHOST_CONNECTED;

	if (atomic_exchange(&v->state, state) == state || atomic_load(&v->closing))
		return;
	if (v->upcalls->state_changed != NULL)
		v->upcalls->state_changed(v->arg, state);
}

/* --- taking over and giving back a client's rings --- */

/* Our own descriptor of the client's eventfd. It must be one, and not block: a worker writes to it.
 * (Kernel: an anonymous inode shows no file type; of those, only an eventfd takes a write of 8.) */
static int call_fd_dup(int fd)
{
	struct stat st;
	int own;

	if (fd < 0 || fstat(fd, &st) < 0 || (st.st_mode & S_IFMT) != 0)
		return -1;
	own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (own >= 0 && fcntl(own, F_SETFL, O_NONBLOCK) < 0) {
		close(own);
		return -1;
	}
	return own;
}

static struct mem_table *memory_of(int vid)
{
	struct mem_window window[32]; /* rte_vhost knows 8 regions at most */
	struct rte_vhost_memory *memory;
	struct mem_table *table = NULL;
	uint32_t i;

	if (rte_vhost_get_mem_table(vid, &memory) < 0)
		return NULL;
	for (i = 0; i < memory->nregions && i < ARRAY_SIZE(window); i++) {
		const struct rte_vhost_mem_region *r = &memory->regions[i];

		window[i] = (struct mem_window){
			.iova = r->guest_phys_addr,
			.size = r->size,
			.va = (uint8_t *)(uintptr_t)r->host_user_addr, /* NOLINT: the library's */
			.prot = MEM_READ | MEM_WRITE,
		};
	}
	if (i == memory->nregions)
		table = mem_table_new(window, i);
	free(memory);
	return table;
}

static void release_memory(struct vhost *v)
{
	mem_table_free(v->mem);
	v->mem = NULL;
	if (v->log != NULL)
		mem_guard_del(v->log);
	v->log = NULL;
}

static void ring_of(int vid, unsigned int idx, struct virtio_ring_setup *s)
{
	struct rte_vhost_vring vring;

	memset(s, 0, sizeof(*s));
	if (rte_vhost_get_vhost_vring(vid, (uint16_t)idx, &vring) < 0 || vring.desc == NULL ||
	    vring.avail == NULL || vring.used == NULL ||
	    rte_vhost_get_vring_base(vid, (uint16_t)idx, &s->avail_idx, &s->used_idx) < 0)
		return;
	s->desc = vring.desc;
	s->avail = vring.avail;
	s->used = vring.used;
	s->size = vring.size;
	s->used_iova = vring.log_guest_addr;
}

static void call_take(struct vhost *v, unsigned int ring)
{
	struct rte_vhost_vring vring;
	int fd = -1;

	if (rte_vhost_get_vhost_vring(v->slot[0].vid, (uint16_t)ring, &vring) == 0)
		fd = call_fd_dup(vring.callfd);
	fd = virtio_net_set_call(&v->net, ring, fd);
	if (fd >= 0) {
		quiesce(v);
		close(fd);
	}
}

/* The workers are out. */
static void calls_close(struct vhost *v)
{
	for (unsigned int i = 0; i < virtio_net_n_rings(&v->net); i++) {
		int fd = virtio_net_set_call(&v->net, i, -1);

		if (fd >= 0)
			close(fd);
	}
}

static void attach(struct vhost *v)
{
	struct virtio_net_setup setup = { 0 };
	int vid = v->slot[0].vid;
	uint64_t log_base, log_size;
	int ret = -ENOMEM;

	if (rte_vhost_get_negotiated_features(vid, &setup.features) < 0)
		return;
	setup.features |= v->slot[0].own_features;
	if ((setup.features & 1ull << VHOST_F_LOG_ALL) != 0 &&
	    rte_vhost_get_log_base(vid, &log_base, &log_size) == 0 && log_base != 0)
		setup.log =
			(struct dirty_log){ (uint8_t *)(uintptr_t)log_base, /* NOLINT: as above */
					    log_size };
	v->mem = memory_of(vid);
	setup.mem = v->mem;
	if (setup.log.bits != NULL && mem_guard_add(setup.log.bits, setup.log.size))
		v->log = setup.log.bits;
	for (unsigned int i = 0; i < virtio_net_n_rings(&v->net); i++) {
		ring_of(vid, i, &setup.ring[i]);
		atomic_store(&v->size[i], setup.ring[i].size);
		call_take(v, i);
	}
	if (v->mem != NULL && v->log == setup.log.bits)
		ret = virtio_net_start(&v->net, &setup);
	if (ret < 0) {
		atomic_fetch_add(&v->n_bad_setups, 1);
		if (log_limit_pass(&warnings, AREA))
			log_warn(AREA, "%s: the client's memory or rings cannot be used: %s",
				 v->path, strerror(-ret));
		virtio_net_stop(&v->net);
		calls_close(v);
		release_memory(v);
		return;
	}
	atomic_store(&v->features, setup.features);
	v->attached = true;
}

/* Gives the rings back. Chains are used in order, so both positions are the same number. */
static void detach(struct vhost *v)
{
	if (!v->attached)
		return;
	v->attached = false;
	virtio_net_pause(&v->net);
	quiesce(v);
	for (unsigned int i = 0; i < virtio_net_n_rings(&v->net); i++) {
		const struct virtio_ring *ring = virtio_net_ring(&v->net, i);

		if (atomic_load(&v->size[i]) > 0)
			rte_vhost_set_vring_base(v->slot[0].vid, (uint16_t)i, ring->avail_idx,
						 ring->used_idx);
	}
	calls_close(v);
	release_memory(v);
}

static void stop(struct vhost *v)
{
	detach(v);
	virtio_net_stop(&v->net);
	atomic_store(&v->features, 0);
	update_state(v);
}

static void start(struct vhost *v)
{
	if (!v->attached && v->slot[0].ready && !atomic_load(&v->closing))
		attach(v);
	update_state(v);
}

/* --- rte_vhost's callbacks --- */

/* vhost-user, "Message specification"; as much of the payload as is of interest here. */
struct message {
	uint32_t request, flags, size;
	uint64_t payload[2];
} __attribute__((packed));

/* What the library hands to us is a message with its descriptors (22.11, lib/vhost/vhost_user.h, struct
 * vhu_msg_context). Where the size of its messages is not known, it answers by itself, and what it does not know is
 * not offered. */
#if RTE_VERSION < RTE_VERSION_NUM(23, 3, 0, 0)
#define LIB_MESSAGE_SIZE 644
#else
#define LIB_MESSAGE_SIZE 0
#endif
#define LIB_FDS 8
struct lib_context {
	uint8_t message[LIB_MESSAGE_SIZE];
	int fds[LIB_FDS];
	int n_fds;
} __attribute__((packed));

/* Descriptors that come with a request are closed, which the library does only when it answers itself. */
static enum rte_vhost_msg_result answer(void *msg, uint64_t value)
{
	struct lib_context *context = msg;
	struct message m;

	for (int i = 0; i < context->n_fds && i < LIB_FDS; i++)
		close(context->fds[i]);
	context->n_fds = 0;
	memcpy(&m, msg, offsetof(struct message, payload));
	m.size = sizeof(m.payload[0]);
	m.payload[0] = value;
	memcpy(msg, &m, offsetof(struct message, payload[1]));
	return RTE_VHOST_MSG_RESULT_REPLY;
}

/* Keeps for us what the library would refuse, and takes it out of the message. */
static void take_features(struct vhost *v, int vid, void *msg)
{
	struct message m;

	memcpy(&m, msg, offsetof(struct message, payload[1]));
	for (unsigned int i = 0; i < SLOTS; i++)
		if (v->slot[i].vid == vid)
			v->slot[i].own_features = m.payload[0] & v->own_features;
	m.payload[0] &= ~v->own_features;
	memcpy(msg, &m, offsetof(struct message, payload[1]));
}

static enum rte_vhost_msg_result before_message(int vid, void *msg)
{
	struct vhost *v = find_by_vid(vid);
	uint32_t request;

	if (v == NULL)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	memcpy(&request, msg, sizeof(request));
	if (LIB_MESSAGE_SIZE > 0 && request == GET_FEATURES)
		return answer(msg, FEATURES);
	/* The library would answer with its own limit (22.11, vhost_user_get_queue_num), and a guest with
	 * more queues than are served would send into some that nobody looks at. */
	if (LIB_MESSAGE_SIZE > 0 && request == GET_QUEUE_NUM)
		return answer(msg, v->net.endpoint.n_txq);
	if (request == SET_FEATURES)
		take_features(v, vid, msg);
	if (v->slot[0].vid != vid)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	v->swapping = request == SET_VRING_CALL;
	switch (request) {
	case SET_FEATURES:
	case SET_MEM_TABLE:
	case SET_LOG_BASE:
	case SET_VRING_NUM:
	case SET_VRING_ADDR:
	case SET_VRING_BASE:
	case SET_VRING_KICK:
	case ADD_MEM_REG:
	case REM_MEM_REG:
		detach(v);
	}
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* QEMU moves interrupts between its own eventfd and the guest's while the guest masks and unmasks,
 * often. The rings go on meanwhile. What was written to the old one after QEMU's last look at it is
 * made good by one interrupt too many. */
static void call_swap(struct vhost *v, uint64_t payload)
{
	unsigned int ring = payload & 0xff; /* vhost-user, "Vring descriptor indices" */
	int fd;

	if (!v->attached || ring >= virtio_net_n_rings(&v->net))
		return;
	call_take(v, ring);
	fd = atomic_load(&virtio_net_ring(&v->net, ring)->call_fd);
	if (fd >= 0 && write(fd, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
		log_debug(AREA, "%s: interrupt: %s", v->path, strerror(errno));
}

/* Not reached after a message that failed: then the rings stay paused. */
static enum rte_vhost_msg_result after_message(int vid, void *msg)
{
	struct vhost *v = find_by_vid(vid);
	struct message m;

	if (v == NULL || v->slot[0].vid != vid)
		return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
	memcpy(&m, msg, sizeof(m));
	/* The library (22.11 to 25.11) adds the offset to where it mapped the file from the offset on,
	 * so the log it tells of would lie behind its mapping. QEMU's offset is always 0. */
	if (m.request == SET_LOG_BASE && m.payload[1] != 0) {
		atomic_fetch_add(&v->n_bad_setups, 1);
		if (log_limit_pass(&warnings, AREA))
			log_warn(AREA, "%s: a dirty log at an offset of its file is not supported",
				 v->path);
		return RTE_VHOST_MSG_RESULT_ERR;
	}
	if (v->swapping)
		call_swap(v, m.payload[0]);
	v->swapping = false;
	start(v);
	return RTE_VHOST_MSG_RESULT_NOT_HANDLED;
}

/* As the client in slot[0] has said. */
static void enable_rings(struct vhost *v)
{
	bool some_off = false;

	for (unsigned int i = 0; i < virtio_net_n_rings(&v->net); i++) {
		virtio_net_enable(&v->net, i, v->slot[0].enabled[i]);
		some_off |= !v->slot[0].enabled[i];
	}
	if (some_off)
		quiesce(v);
}

static bool is_connection_at(int fd, const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNSPEC };
	socklen_t size = sizeof(address), value_size = sizeof(int);
	int listens = 1;

	return getsockname(fd, (struct sockaddr *)&address, &size) == 0 &&
	       address.sun_family == AF_UNIX &&
	       strncmp(address.sun_path, path, sizeof(address.sun_path)) == 0 &&
	       getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &value_size) == 0 && !listens;
}

/* The library reads a message's body and writes answers with blocking calls: half a message would stop
 * its thread, and with it vhost_free, which waits for that. It does not tell a connection's descriptor,
 * so the ones at this path are looked for. */
static void limit_waiting(const struct vhost *v)
{
	const struct timeval limit = { .tv_sec = PATIENCE_S };
	DIR *dir = opendir("/proc/self/fd");
	const struct dirent *entry;

	if (dir == NULL) {
		if (log_limit_pass(&warnings, AREA))
			log_warn(AREA, "%s: without /proc a client can hold up the others",
				 v->path);
		return;
	}
	while ((entry = readdir(dir)) != NULL) {
		int fd = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] == '.' || !is_connection_at(fd, v->path))
			continue;
		if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) < 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
			log_warn(AREA, "%s: %s", v->path, strerror(errno));
	}
	closedir(dir);
}

static int on_connection(int vid)
{
	static const struct rte_vhost_user_extern_ops hooks = {
		.pre_msg_handle = before_message,
		.post_msg_handle = after_message,
	};
	char path[4096];
	struct vhost *v;

	/* The library reads rings while it takes over memory, before anybody else knows of it. */
	mem_guard_thread();
	if (vid < 0 || vid >= RTE_MAX_VHOST_DEVICE ||
	    rte_vhost_get_ifname(vid, path, sizeof(path)) < 0)
		return -1;
	v = find_by_path(path);
	if (v == NULL || atomic_load(&v->closing))
		return -1;
	for (unsigned int i = 0; i < SLOTS; i++) {
		if (v->slot[i].vid >= 0)
			continue;
		if (rte_vhost_extern_callback_register(vid, &hooks, NULL) < 0)
			return -1;
		memset(&v->slot[i], 0, sizeof(v->slot[i]));
		v->slot[i].vid = vid;
		atomic_store(&by_vid[vid], v);
		limit_waiting(v);
		atomic_fetch_add(&v->n_connections, 1);
		if (i > 0 && log_limit_pass(&warnings, AREA))
			log_warn(AREA, "%s: a second client waits for the first to leave", v->path);
		update_state(v);
		return 0;
	}
	atomic_fetch_add(&v->n_refused, 1);
	return -1;
}

static void on_disconnection(int vid)
{
	struct vhost *v = find_by_vid(vid);

	if (v == NULL)
		return;
	forget_vid(vid, v);
	if (v->slot[0].vid == vid) {
		v->slot[0] = v->slot[1];
		enable_rings(v);
	}
	v->slot[1].vid = -1;
	v->slot[1].ready = false;
	start(v);
}

static int on_device(int vid)
{
	struct vhost *v = find_by_vid(vid);

	if (v == NULL)
		return -1;
	for (unsigned int i = 0; i < SLOTS; i++)
		if (v->slot[i].vid == vid)
			v->slot[i].ready = true;
	start(v);
	return 0;
}

static void on_device_gone(int vid)
{
	struct vhost *v = find_by_vid(vid);

	if (v == NULL)
		return;
	if (v->slot[0].vid == vid)
		stop(v);
	for (unsigned int i = 0; i < SLOTS; i++)
		if (v->slot[i].vid == vid)
			v->slot[i].ready = false;
}

/* Also called as a ring becomes ready or not, so every ring that runs was enabled here. */
static int on_ring_state(int vid, uint16_t ring, int enable)
{
	struct vhost *v = find_by_vid(vid);

	if (v == NULL || ring >= virtio_net_n_rings(&v->net))
		return 0;
	for (unsigned int i = 0; i < SLOTS; i++)
		if (v->slot[i].vid == vid)
			v->slot[i].enabled[ring] = enable != 0;
	/* rte_vhost declares a ring unready for the moment of SET_VRING_CALL. */
	if (v->slot[0].vid != vid || (v->swapping && !enable))
		return 0;
	enable_rings(v);
	update_state(v);
	return 0;
}

static const struct rte_vhost_device_ops device_ops = {
	.new_device = on_device,
	.destroy_device = on_device_gone,
	.vring_state_changed = on_ring_state,
	.new_connection = on_connection,
	.destroy_connection = on_disconnection,
};

/* --- the socket --- */

static int set_access(const struct vhost_config *config, struct err *err)
{
	if ((config->uid != (uid_t)-1 || config->gid != (gid_t)-1) &&
	    lchown(config->path, config->uid, config->gid) < 0)
		return err_set(err, -errno, "socket %s: owner: %s", config->path, strerror(errno));
	if (chmod(config->path, config->mode) < 0)
		return err_set(err, -errno, "socket %s: mode: %s", config->path, strerror(errno));
	return 0;
}

/* Not by rte_vhost_driver_set_features: after that the library holds the device for none of its own, and
 * calls new_device only when all rings are ready, also those that the guest does not use (22.11,
 * virtio_is_ready); of a network device it wants the first pair. So it is told what of its own is not
 * wanted, and what it does not know never reaches it. */
static int choose_features(struct vhost *v)
{
	uint64_t known;

	if (rte_vhost_driver_get_features(v->path, &known) < 0)
		return -1;
	v->own_features = FEATURES & ~known;
	return rte_vhost_driver_disable_features(v->path, known & ~FEATURES);
}

static int start_listening(struct vhost *v, const struct vhost_config *config, struct err *err)
{
	const char *path = config->path;
	int ret;

	if (rte_vhost_driver_register(path, 0) < 0)
		return err_set(err, -EIO, "socket %s: no more vhost-user sockets", path);
	if (choose_features(v) < 0 ||
	    rte_vhost_driver_set_protocol_features(path, PROTOCOL_FEATURES) < 0 ||
	    rte_vhost_driver_callback_register(path, &device_ops) < 0 ||
	    rte_vhost_driver_start(path) < 0) {
		ret = err_set(err, -EIO,
			      "socket %s: cannot listen; see if the folder exists and may be "
			      "written to",
			      path);
		rte_vhost_driver_unregister(path);
		return ret;
	}
	ret = set_access(config, err);
	if (ret < 0)
		rte_vhost_driver_unregister(path);
	return ret;
}

static void list_remove(struct vhost *v)
{
	pthread_mutex_lock(&list_lock);
	for (struct vhost **at = &list; *at != NULL; at = &(*at)->next) {
		if (*at == v) {
			*at = v->next;
			break;
		}
	}
	pthread_mutex_unlock(&list_lock);
}

static void release(struct vhost *v)
{
	free(v->stats);
	free(v);
}

int vhost_new(struct vhost **vp, const struct vhost_config *config, struct err *err)
{
	struct sockaddr_un ignored;
	struct vhost *v;
	int ret;

	/* rte_vhost binds and leaves what is in the way to the caller (22.11, vhost_user_start_server). */
	ret = socket_place(config->path, &ignored, err);
	if (ret < 0)
		return ret;
	v = aligned_alloc(CACHE_LINE, (sizeof(*v) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (v == NULL)
		return err_set(err, -ENOMEM, "socket %s: no memory", config->path);
	memset(v, 0, sizeof(*v));
	v->stats = endpoint_stats_new();
	if (v->stats == NULL) {
		release(v);
		return err_set(err, -ENOMEM, "socket %s: no memory", config->path);
	}
	memcpy(v->path, config->path, strlen(config->path));
	v->upcalls = config->upcalls;
	v->arg = config->arg;
	for (unsigned int i = 0; i < SLOTS; i++)
		v->slot[i].vid = -1;
	virtio_net_init(&v->net, v->stats, config->n_queues);
	virtio_net_set_link(&v->net, config->link_up);
	virtio_net_set_max_frame(&v->net, config->max_frame);

	pthread_mutex_lock(&list_lock);
	v->next = list;
	list = v;
	pthread_mutex_unlock(&list_lock);
	ret = start_listening(v, config, err);
	if (ret < 0) {
		list_remove(v);
		release(v);
		return ret;
	}
	*vp = v;
	return 0;
}

void vhost_free(struct vhost *v)
{
	if (v == NULL)
		return;
	atomic_store(&v->closing, true);
	/* Closes the connections; calls on_device_gone, not on_disconnection. */
	rte_vhost_driver_unregister(v->path);
	list_remove(v);
	for (unsigned int i = 0; i < SLOTS; i++)
		if (v->slot[i].vid >= 0)
			forget_vid(v->slot[i].vid, v);
	release(v);
}

/* --- for the rest of the program --- */

struct endpoint *vhost_endpoint(struct vhost *v)
{
	return &v->net.endpoint;
}

void vhost_set_link(struct vhost *v, bool up)
{
	virtio_net_set_link(&v->net, up);
}

void vhost_set_max_frame(struct vhost *v, uint32_t max_frame)
{
	virtio_net_set_max_frame(&v->net, max_frame);
}

enum vhost_state vhost_state(const struct vhost *v)
{
	return atomic_load(&v->state);
}

void vhost_get_info(struct vhost *v, struct vhost_info *info)
{
	*info = (struct vhost_info){
		.state = vhost_state(v),
		.features = atomic_load(&v->features),
		.rx_size = atomic_load(&v->size[VIRTIO_NET_RX]),
		.tx_size = atomic_load(&v->size[VIRTIO_NET_TX]),
		.n_queues = atomic_load(&v->net.n_rx),
		.n_connections = atomic_load(&v->n_connections),
		.n_refused = atomic_load(&v->n_refused),
		.n_bad_setups = atomic_load(&v->n_bad_setups),
	};
	for (unsigned int i = 0; i < virtio_net_n_rings(&v->net); i++)
		info->broken |= atomic_load(&virtio_net_ring(&v->net, i)->state) == RING_BROKEN;
}
