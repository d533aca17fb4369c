/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <pthread.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_version.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/log.h"
#include "frame/copy.h"
#include "uplink/uplink.h"

#define RX_DESCS    1024
#define TX_DESCS    1024
#define POOL_SIZE   8191 /* two rings, what is in flight, and the caches; 2^n - 1 is mempool's best */
#define POOL_JUMBO  2047 /* the same memory with larger buffers */
#define ROOM_MAX    16384
#define MTU_DEFAULT 1500
#define POOL_CACHE  256

struct uplink {
	struct endpoint endpoint;
	struct txq txq;
	uint16_t port_id;
	bool has_port; /* port_id is ours: to be closed again */
	bool started;
	uint32_t max_frame;
	uint32_t mtu;        /* of the interface; 0: ask DPDK, whose AF_PACKET always says 1500 */
	uint32_t frame_room; /* bytes of a frame that an mbuf has room for */
	char vdev[64];
	char interface[IF_NAMESIZE]; /* "": no Linux interface */
	unsigned int interface_idx;
	bool lost; /* the interface was not there, or another one was */
	const char *driver;
	struct rte_mempool *pool;
	struct spinlock tx_lock; /* several workers may send */
	unsigned int n_held;
	struct rte_mbuf *held[BURST_MAX]; /* behind the frames of the current pull */
};

/* Ports that uplinks have: DPDK takes no offence at a device that is opened twice. Control only. */
static bool port_taken[RTE_MAX_ETHPORTS];

int uplink_eal_init(const char *program, bool hugepages)
{
	/* An allow list that names no device: what is there stays with its owner until an uplink asks for
	 * it. (With --no-pci nobody could ask.) */
	char arg[8][24] = { "softiovd",       "-a",          "ffff:ff:1f.7",
			    "--no-telemetry", "--no-shconf", "--log-level=4" };
	char *argv[12];
	cpu_set_t cpus;
	int argc = 6, ret;

	(void)snprintf(arg[0], sizeof(arg[0]), "%s", program);
	if (hugepages) {
		strcpy(arg[argc++], "--in-memory");
	} else {
		/* --no-huge and --in-memory exclude each other (DPDK 22.11). */
		strcpy(arg[argc++], "--no-huge");
		strcpy(arg[argc++], "-m256");
	}
	for (int i = 0; i < argc; i++)
		argv[i] = arg[i];
	argv[argc] = NULL;
	/* It ties the calling thread to the first processor, and so all threads that this one makes. */
	ret = -pthread_getaffinity_np(pthread_self(), sizeof(cpus), &cpus);
	if (ret < 0)
		return ret;
	if (rte_eal_init(argc, argv) < 0)
		return -rte_errno;
	return -pthread_setaffinity_np(pthread_self(), sizeof(cpus), &cpus);
}

void uplink_eal_fini(void)
{
	rte_eal_cleanup();
}

void uplink_thread_start(void)
{
	if (rte_thread_register() < 0)
		log_warn("uplink", "worker %u has no DPDK thread id: mempools work without caches",
			 worker_self);
}

const char *uplink_dpdk_version(void)
{
	return rte_version();
}

/* --- frames that come in --- */

static void frame_from_mbuf(struct frame *f, struct rte_mbuf *m, struct burst *burst)
{
	struct rte_mbuf *next = m->next;

	memset(f, 0, sizeof(*f));
	f->va = rte_pktmbuf_mtod(m, const uint8_t *);
	f->seg_size = m->data_len;
	f->size = m->pkt_len;
	f->n_segs = 1;
	f->more = &burst->seg[burst->n_segs];
	for (; next != NULL; next = next->next) {
		burst->seg[burst->n_segs++] =
			(struct seg){ rte_pktmbuf_mtod(next, const uint8_t *), next->data_len };
		f->n_segs++;
	}
	if ((m->ol_flags & RTE_MBUF_F_RX_VLAN_STRIPPED) != 0) {
		f->flags |= FRAME_TAGGED;
		f->tci = m->vlan_tci;
	}
	if ((m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD)
		f->flags |= FRAME_L4_VALID;
}

static unsigned int uplink_pull(struct txq *txq, struct burst *burst)
{
	struct uplink *u = container_of(txq, struct uplink, txq);
	unsigned int n =
		rte_eth_rx_burst(u->port_id, 0, u->held, (uint16_t)(BURST_MAX - burst->held_back));

	u->n_held = n;
	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *m = u->held[i];

		if (m->nb_segs > FRAME_SEGS || burst->n_segs + m->nb_segs > BURST_SEGS) {
			endpoint_stats_self(&u->endpoint)->drop[DROP_TOO_LONG]++;
			continue;
		}
		frame_from_mbuf(&burst->frame[burst->n++], m, burst);
	}
	if (burst->n == 0 && n > 0) {
		rte_pktmbuf_free_bulk(u->held, n);
		u->n_held = 0;
	}
	return burst->n;
}

static void uplink_done(struct txq *txq)
{
	struct uplink *u = container_of(txq, struct uplink, txq);

	rte_pktmbuf_free_bulk(u->held, u->n_held);
	u->n_held = 0;
}

static const struct txq_ops uplink_txq_ops = { uplink_pull, uplink_done };

/* --- frames that go out --- */

/* NULL with *reason set. */
static struct rte_mbuf *mbuf_from_frame(struct uplink *u, const struct frame *f,
					uint16_t untagged_vid, enum drop_reason *reason)
{
	unsigned int flags = COPY_CSUM | (f->vid != untagged_vid ? COPY_TAG : 0);
	uint32_t size = frame_copy_size(f, flags);
	struct seg_out out;
	struct rte_mbuf *m;

	if (f->size > u->max_frame) {
		*reason = DROP_TOO_LONG;
		return NULL;
	}
	m = rte_pktmbuf_alloc(u->pool);
	if (m == NULL) {
		*reason = DROP_UPLINK;
		return NULL;
	}
	out.va = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)size);
	out.size = size;
	frame_copy(f, &out, 1, flags);
	return m;
}

static void uplink_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
			uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct uplink *u = container_of(ep, struct uplink, endpoint);
	struct rte_mbuf *out[BURST_MAX];
	const struct frame *of[BURST_MAX];
	unsigned int n_out = 0, sent;

	for (unsigned int i = 0; i < n; i++) {
		enum drop_reason reason;

		out[n_out] = mbuf_from_frame(u, frame[i], untagged_vid, &reason);
		if (out[n_out] == NULL) {
			endpoint_drop(stats, &frame[i], 1, reason);
			continue;
		}
		of[n_out++] = frame[i];
	}
	spin_lock(&u->tx_lock);
	sent = n_out > 0 ? rte_eth_tx_burst(u->port_id, 0, out, (uint16_t)n_out) : 0;
	spin_unlock(&u->tx_lock);
	for (unsigned int i = 0; i < sent; i++)
		/* cppcheck-suppress uninitvar; sent <= n_out */
		stats->rx_bytes += of[i]->size; /* NOLINT: as above */
	stats->rx_frames += sent;
	if (sent < n_out) {
		endpoint_drop(stats, of + sent, n_out - sent, DROP_UPLINK);
		rte_pktmbuf_free_bulk(out + sent, n_out - sent);
	}
}

static const struct endpoint_ops uplink_endpoint_ops = { uplink_push };

/* --- opening --- */

/* What a slot of the ring that AF_PACKET shares with the kernel must hold: its header (packet(7),
 * TPACKET_V2: 32 bytes and the address, aligned) and a tagged frame. A power of two, as blocks are. */
static uint32_t room_for(uint32_t mtu)
{
	uint32_t room = RTE_MBUF_DEFAULT_DATAROOM;

	while (room < ROOM_MAX && room < mtu + 18 + 128)
		room *= 2;
	return room;
}

static uint32_t interface_mtu(const char *interface)
{
	struct ifreq request = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &request) < 0)
		request.ifr_mtu = MTU_DEFAULT;
	if (fd >= 0)
		close(fd);
	return (uint32_t)request.ifr_mtu;
}

/* DPDK's device string for what the user named. */
static int device_string(struct uplink *u, const char *name, const char *device,
			 enum uplink_driver driver, char *text, size_t size, struct err *err)
{
	static unsigned int n_vdevs; /* one of this name that was removed may not be closed yet */
	bool is_interface = if_nametoindex(device) != 0;

	u->frame_room = RTE_MBUF_DEFAULT_DATAROOM;
	if (driver == UPLINK_AUTO)
		driver = is_interface ? UPLINK_AF_PACKET : UPLINK_ETHDEV;
	if (driver == UPLINK_ETHDEV) {
		(void)snprintf(text, size, "%s", device);
		(void)snprintf(u->vdev, sizeof(u->vdev), "%.*s", (int)strcspn(device, ","), device);
		return 0;
	}
	if (!is_interface)
		return err_set(err, -ENODEV,
			       "there is no network interface '%s' (ip link shows what there is)",
			       device);
	(void)snprintf(u->interface, sizeof(u->interface), "%s", device);
	u->interface_idx = if_nametoindex(device);
	if (driver == UPLINK_AF_PACKET) {
		(void)snprintf(u->vdev, sizeof(u->vdev), "net_af_packet_%u_%s", n_vdevs++, name);
		u->mtu = interface_mtu(u->interface);
		u->frame_room = room_for(u->mtu);
		(void)snprintf(text, size,
			       "%s,iface=%s,qpairs=1,blocksz=65536,framesz=%u,framecnt=%u", u->vdev,
			       device, u->frame_room, 1024 * 2048 / u->frame_room);
	} else {
		(void)snprintf(u->vdev, sizeof(u->vdev), "net_af_xdp_%u_%s", n_vdevs++, name);
		(void)snprintf(text, size, "%s,iface=%s,start_queue=0,queue_count=1,busy_budget=0",
			       u->vdev, device);
	}
	return 0;
}

/* The port that the probed device made. */
static bool find_port(const struct uplink *u, const char *text, uint16_t *port_id)
{
	struct rte_dev_iterator it;

	RTE_ETH_FOREACH_MATCHING_DEV(*port_id, text, &it)
	{
		rte_eth_iterator_cleanup(&it);
		return true;
	}
	return rte_eth_dev_get_port_by_name(u->vdev, port_id) == 0;
}

static int probe(struct uplink *u, const char *text, struct err *err)
{
	uint16_t port_id;
	int ret;

	ret = rte_dev_probe(text);
	if (ret < 0 && ret != -EEXIST)
		return err_set(
			err, ret,
			"DPDK cannot open '%s': %s (is the name right, and may the daemon use it?)",
			text, strerror(-ret));
	if (!find_port(u, text, &port_id)) {
		rte_eal_hotplug_remove("vdev", u->vdev);
		return err_set(err, -ENODEV,
			       "DPDK opened '%s', but there is no Ethernet port behind it", text);
	}
	if (port_taken[port_id])
		return err_set(err, -EBUSY, "'%s' is another uplink's already", text);
	port_taken[port_id] = true;
	u->port_id = port_id;
	u->has_port = true;
	return 0;
}

static int make_pool(struct uplink *u, const char *device, struct err *err)
{
	static unsigned int n_pools;
	char name[32];

	(void)snprintf(name, sizeof(name), "uplink-%u", n_pools++);
	u->pool = rte_pktmbuf_pool_create(
		name, u->frame_room > RTE_MBUF_DEFAULT_DATAROOM ? POOL_JUMBO : POOL_SIZE,
		POOL_CACHE, 0, (uint16_t)(u->frame_room + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
	if (u->pool == NULL)
		return err_set(err, -ENOMEM, "no memory for the packet buffers of '%s'", device);
	return 0;
}

static int start(struct uplink *u, const char *device, struct err *err)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;
	uint16_t mtu = MTU_DEFAULT;
	int ret;

	ret = rte_eth_dev_info_get(u->port_id, &info);
	if (ret < 0)
		return err_set(err, ret, "'%s' tells DPDK nothing about itself: %s", device,
			       strerror(-ret));
	u->driver = info.driver_name;
	rte_eth_dev_get_mtu(u->port_id, &mtu);
	u->max_frame = (u->mtu != 0 ? u->mtu : mtu) + FRAME_SIZE_MIN;
	if (u->max_frame + 4 > u->frame_room)
		u->max_frame = u->frame_room - 4;
	ret = rte_eth_dev_configure(u->port_id, 1, 1, &conf);
	if (ret == 0)
		ret = rte_eth_rx_queue_setup(u->port_id, 0, RX_DESCS, SOCKET_ID_ANY, NULL, u->pool);
	if (ret == 0)
		ret = rte_eth_tx_queue_setup(u->port_id, 0, TX_DESCS, SOCKET_ID_ANY, NULL);
	if (ret == 0)
		ret = rte_eth_dev_start(u->port_id);
	if (ret < 0)
		return err_set(err, ret, "'%s' does not start: %s", device, strerror(-ret));
	u->started = true;
	ret = rte_eth_promiscuous_enable(u->port_id);
	if (ret < 0)
		return err_set(err, ret, "'%s' cannot be made promiscuous: %s", device,
			       strerror(-ret));
	return 0;
}

int uplink_open(struct uplink **uplink, const char *name, const char *device,
		enum uplink_driver driver, struct err *err)
{
	struct uplink *u = calloc(1, sizeof(*u));
	char text[256];
	int ret;

	if (u == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	ret = device_string(u, name, device, driver, text, sizeof(text), err);
	if (ret < 0)
		goto fail;
	u->endpoint.stats = endpoint_stats_new();
	if (u->endpoint.stats == NULL) {
		ret = err_set(err, -ENOMEM, "out of memory");
		goto fail;
	}
	ret = probe(u, text, err);
	if (ret == 0)
		ret = make_pool(u, device, err);
	if (ret == 0)
		ret = start(u, device, err);
	if (ret < 0)
		goto fail;
	u->endpoint.ops = &uplink_endpoint_ops;
	u->endpoint.n_txq = 1;
	u->endpoint.txq[0] = &u->txq;
	u->txq = (struct txq){ .ops = &uplink_txq_ops, .endpoint = &u->endpoint };
	atomic_store(&u->endpoint.running, 1);
	*uplink = u;
	return 0;
fail:
	uplink_close(u);
	return ret;
}

void uplink_close(struct uplink *u)
{
	struct rte_eth_dev_info info;

	if (u == NULL)
		return;
	if (u->has_port && rte_eth_dev_info_get(u->port_id, &info) == 0) {
		if (u->started)
			rte_eth_dev_stop(u->port_id);
		rte_eth_dev_close(u->port_id);
		rte_dev_remove(info.device);
	}
	if (u->has_port)
		port_taken[u->port_id] = false;
	rte_mempool_free(u->pool);
	free(u->endpoint.stats);
	free(u);
}

/* DPDK, rte_ethdev.h: a device has it if it has traffic classes and takes the setting of each priority. */
static int set_pfc_of(const struct uplink *u, unsigned int priority, bool on)
{
	struct rte_eth_pfc_conf conf = { .priority = (uint8_t)priority };
	struct rte_eth_dcb_info info;
	int ret = rte_eth_dev_get_dcb_info(u->port_id, &info);

	/* Drivers know how full their buffers may be before they pause (ixgbe's refuses none). */
	if (ret == 0)
		ret = rte_eth_dev_flow_ctrl_get(u->port_id, &conf.fc);
	/* A pause of 65535 quanta lasts until the next one ends it (802.1Q, 36.1.3). */
	conf.fc.pause_time = UINT16_MAX;
	conf.fc.mode = on ? RTE_ETH_FC_FULL : RTE_ETH_FC_NONE;
	return ret < 0 ? ret : rte_eth_dev_priority_flow_ctrl_set(u->port_id, &conf);
}

static void put_pfc_back(const struct uplink *u, unsigned int was, unsigned int changed)
{
	for (; changed != 0; changed &= changed - 1) {
		unsigned int priority = (unsigned int)__builtin_ctz(changed);

		if (set_pfc_of(u, priority, (was >> priority & 1) != 0) < 0)
			log_err("uplink", "flow control of priority %u stays changed", priority);
	}
}

int uplink_set_pfc(struct uplink *u, unsigned int was, unsigned int priorities, struct err *err)
{
	for (unsigned int changed = was ^ priorities; changed != 0; changed &= changed - 1) {
		unsigned int priority = (unsigned int)__builtin_ctz(changed);
		int ret = set_pfc_of(u, priority, (priorities >> priority & 1) != 0);

		if (ret < 0)
			put_pfc_back(u, was, (was ^ priorities) & ~changed);
		if (ret == -ENOTSUP)
			return err_set(err, ret,
				       "its device (driver %s) has no priority-based flow control",
				       u->driver);
		if (ret < 0)
			return err_set(err, ret, "its device (driver %s) refuses it: %s", u->driver,
				       strerror(-ret));
	}
	return 0;
}

struct endpoint *uplink_endpoint(struct uplink *u)
{
	return &u->endpoint;
}

enum uplink_interface uplink_look(struct uplink *u, char name[IF_NAMESIZE])
{
	unsigned int idx = u->interface[0] != '\0' ? if_nametoindex(u->interface) : 0;

	if (u->interface[0] == '\0' || (!u->lost && idx == u->interface_idx))
		return UPLINK_THERE;
	/* Sockets stay with an interface, whatever its name is. */
	if (!u->lost && idx == 0 && if_indextoname(u->interface_idx, name) != NULL)
		return UPLINK_RENAMED;
	u->lost = true;
	return UPLINK_LOST;
}

/* DPDK's drivers for them call the link up whatever happens (22.11). False also if the interface has
 * gone, even if another one has its name. */
static bool interface_is_up(const struct uplink *u)
{
	struct ifreq request = { 0 };
	bool up;
	int fd;

	if (u->lost || if_indextoname(u->interface_idx, request.ifr_name) == NULL)
		return false;
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	up = fd >= 0 && ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
	     (request.ifr_flags & IFF_UP) != 0 && (request.ifr_flags & IFF_RUNNING) != 0;
	if (fd >= 0)
		close(fd);
	return up;
}

void uplink_info(const struct uplink *u, struct uplink_info *info)
{
	struct rte_ether_addr mac;
	struct rte_eth_link link;

	memset(info, 0, sizeof(*info));
	if (u == NULL)
		return;
	info->driver = u->driver;
	info->max_frame = u->max_frame;
	if (rte_eth_macaddr_get(u->port_id, &mac) == 0)
		info->mac = mac_load(mac.addr_bytes);
	if (rte_eth_link_get_nowait(u->port_id, &link) == 0) {
		info->link_up = link.link_status == RTE_ETH_LINK_UP;
		if (link.link_speed != RTE_ETH_SPEED_NUM_UNKNOWN)
			info->speed_bps = (uint64_t)link.link_speed * 1000000;
	}
	if (u->interface[0] != '\0')
		info->link_up = interface_is_up(u);
}
