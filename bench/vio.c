/* SPDX-License-Identifier: BSD-3-Clause */
/* virtio-net's driver, down to the rings, split or packed, over vhost-user: the front end that QEMU is
 * otherwise.
 *
 * Rings are those of virtio 1.2, sections 2.7 and 2.8, messages those of QEMU's
 * docs/interop/vhost-user.rst. Each slot has one descriptor, of the same index, and a split ring's avail
 * entries are written once: entry i names descriptor i. This holds as long as the device uses buffers in
 * order, which softiov and DPDK's vhost library do; rx_take checks it. No interrupts are asked for.
 */
#include <err.h>
#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "bench/port.h"

#define HDR_SIZE 12 /* struct virtio_net_hdr_v1 */
#define N_RINGS  (2 * RX_QUEUES_MAX)
#define RX(q)    (2 * (q)) /* virtio 1.2, 5.1.2 */
#define TX       1u        /* frames are sent by the first pair */
#define RX_WAIT  16        /* looks before a short batch is taken */
#define RING_BYTES \
	(2 * (sizeof(struct vring_desc) + 2 + sizeof(struct vring_used_elem) + sizeof(uint32_t)))

/* What Linux's driver agrees to of what all contenders offer, without the offloads: nothing asks for
 * one, unless the port is set up for them. */
#define FEATURES                                                       \
	(1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MRG_RXBUF | \
	 1ull << VHOST_USER_F_PROTOCOL)
#define VHOST_USER_F_PROTOCOL 30
#define SEND_FEATURES                                                 \
	(1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 | \
	 1ull << VIRTIO_NET_F_HOST_TSO6)
#define WHOLE_FEATURES     (1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6)
#define PROTOCOL_MQ        0
#define PROTOCOL_REPLY_ACK 3

/* vhost-user, "Front-end message types" */
enum request {
	GET_FEATURES = 1,
	SET_FEATURES = 2,
	SET_OWNER = 3,
	SET_MEM_TABLE = 5,
	SET_VRING_NUM = 8,
	SET_VRING_ADDR = 9,
	SET_VRING_BASE = 10,
	SET_VRING_KICK = 12,
	SET_VRING_CALL = 13,
	GET_PROTOCOL_FEATURES = 15,
	SET_PROTOCOL_FEATURES = 16,
	SET_VRING_ENABLE = 18,
};
#define MSG_VERSION    1u
#define MSG_NEED_REPLY 8u

struct msg {
	uint32_t request, flags, size;
	uint8_t payload[64];
} __attribute__((packed));
#define MSG_HDR_SIZE 12u

struct vio_ring {
	/* Packed: slots, the driver's and the device's event area. */
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *slot;
	};
	union {
		struct vring_avail *avail;
		struct vring_packed_desc_event *driver_event;
	};
	void *used;
	uint32_t *len;      /* packed: of each slot, since the device writes over them */
	uint32_t n;         /* entries; 0: the ring is not there */
	uint32_t first;     /* slot of memory of the first entry */
	uint16_t avail_idx; /* free running */
	uint16_t seen;      /* of the used index */
	uint32_t waited;    /* looks that found fewer than wanted */
	int kick, call;
};

struct vio_port {
	struct vio_ring ring[N_RINGS];
	bool packed;
	unsigned int rx_now; /* the pair of the last rx_take */
	uint16_t n_left;     /* buffers that are still to come of a frame: rx_note */
};

static struct vio_ring *ring_of(const struct port *p, unsigned int idx)
{
	return &((struct vio_port *)p->priv)->ring[idx];
}

/* Of the last rx_take. */
static struct vio_ring *rx_ring(const struct port *p)
{
	return ring_of(p, RX(((struct vio_port *)p->priv)->rx_now));
}

static bool is_packed(const struct port *p)
{
	return ((const struct vio_port *)p->priv)->packed;
}

/* ---- messages ---- */

static int send_msg(struct port *p, uint32_t request, uint32_t flags, const void *payload,
		    uint32_t size, int fd)
{
	struct msg m = { .request = request, .flags = MSG_VERSION | flags, .size = size };

	memcpy(m.payload, payload, size);
	return sock_send(p->sock, &m, MSG_HDR_SIZE + size, &fd, fd >= 0 ? 1 : 0);
}

static int receive_u64(struct port *p, uint64_t *value)
{
	struct msg m;
	int ret = sock_receive(p->sock, &m, MSG_HDR_SIZE, NULL);

	if (ret == 0 && m.size != sizeof(*value))
		ret = -EPROTO;
	if (ret == 0)
		ret = sock_receive(p->sock, value, sizeof(*value), NULL);
	return ret;
}

static int get_u64(struct port *p, uint32_t request, uint64_t *value)
{
	int ret = send_msg(p, request, 0, "", 0, -1);

	return ret < 0 ? ret : receive_u64(p, value);
}

static int set_u64(struct port *p, uint32_t request, uint64_t value, int fd)
{
	return send_msg(p, request, 0, &value, sizeof(value), fd);
}

static int set_state(struct port *p, uint32_t request, unsigned int ring, uint32_t num)
{
	struct vhost_vring_state state = { ring, num };

	return send_msg(p, request, 0, &state, sizeof(state), -1);
}

static int set_memory(struct port *p, bool ack)
{
	struct {
		uint32_t n, padding;
		uint64_t iova, size, user_address, offset;
	} table = { .n = 1,
		    .iova = p->memory.iova,
		    .size = p->memory.size,
		    .user_address = (uintptr_t)p->memory.va };
	uint64_t answer = 0;
	int ret = send_msg(p, SET_MEM_TABLE, ack ? MSG_NEED_REPLY : 0, &table, sizeof(table),
			   p->memory.fd);

	if (ret == 0 && ack)
		ret = receive_u64(p, &answer);
	return ret == 0 && answer != 0 ? -EIO : ret;
}

static int set_ring(struct port *p, unsigned int idx)
{
	const struct vio_ring *r = ring_of(p, idx);
	struct vhost_vring_addr address = { .index = idx,
					    .desc_user_addr = (uintptr_t)r->desc,
					    .used_user_addr = (uintptr_t)r->used,
					    .avail_user_addr = (uintptr_t)r->avail };
	int ret = set_state(p, SET_VRING_NUM, idx, r->n);

	/* A packed ring begins with both wrap counters 1. */
	if (ret == 0)
		ret = set_state(p, SET_VRING_BASE, idx, is_packed(p) ? 0x80008000u : 0);
	if (ret == 0)
		ret = send_msg(p, SET_VRING_ADDR, 0, &address, sizeof(address), -1);
	if (ret == 0)
		ret = set_u64(p, SET_VRING_KICK, idx, r->kick);
	if (ret == 0)
		ret = set_u64(p, SET_VRING_CALL, idx, r->call);
	return ret;
}

static uint64_t wanted(const struct port *p)
{
	uint64_t features = FEATURES;

	if (is_packed(p))
		features |= 1ull << VIRTIO_F_RING_PACKED;
	if (p->setup.n_queues > 1)
		features |= 1ull << VIRTIO_NET_F_MQ;
	if (p->setup.offload)
		features |= SEND_FEATURES;
	if (p->setup.takes >= GUEST_CSUM)
		features |= 1ull << VIRTIO_NET_F_GUEST_CSUM;
	if (p->setup.takes >= GUEST_WHOLE)
		features |= WHOLE_FEATURES;
	return features;
}

static int negotiate(struct port *p)
{
	uint64_t features = 0, protocol = 0;
	int ret = get_u64(p, GET_FEATURES, &features);

	if (ret == 0 && (features & wanted(p)) != wanted(p))
		ret = -EOPNOTSUPP;
	if (ret == 0)
		ret = get_u64(p, GET_PROTOCOL_FEATURES, &protocol);
	protocol &= 1ull << PROTOCOL_REPLY_ACK | 1ull << PROTOCOL_MQ;
	if (ret == 0)
		ret = set_u64(p, SET_PROTOCOL_FEATURES, protocol, -1);
	if (ret == 0)
		ret = send_msg(p, SET_OWNER, 0, "", 0, -1);
	if (ret == 0)
		ret = set_u64(p, SET_FEATURES, wanted(p), -1);
	if (ret == 0)
		ret = set_memory(p, (protocol & 1ull << PROTOCOL_REPLY_ACK) != 0);
	for (unsigned int i = 0; i < N_RINGS && ret == 0; i++)
		ret = ring_of(p, i)->n > 0 ? set_ring(p, i) : 0;
	for (unsigned int i = 0; i < N_RINGS && ret == 0; i++)
		ret = ring_of(p, i)->n > 0 ? set_state(p, SET_VRING_ENABLE, i, 1) : 0;
	/* The answer comes when everything before it has been done. */
	return ret < 0 ? ret : get_u64(p, GET_FEATURES, &features);
}

/* ---- rings ---- */

static void *take_bytes(struct port *p, size_t *at, size_t size)
{
	void *va = p->memory.va + *at;

	*at += (size + 127) / 128 * 128;
	return va;
}

static void add_ring(struct port *p, unsigned int idx, uint32_t n, uint32_t first, size_t *at)
{
	struct vio_ring *r = ring_of(p, idx);

	r->n = n;
	r->first = first;
	r->desc = take_bytes(p, at, n * sizeof(*r->desc));
	r->avail = take_bytes(p, at, 6 + n * sizeof(r->avail->ring[0]));
	r->used = take_bytes(p, at, 6 + n * sizeof(struct vring_used_elem));
	r->len = take_bytes(p, at, n * sizeof(*r->len));
	r->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r->call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (is_packed(p)) {
		r->driver_event->flags = htole16(VRING_PACKED_EVENT_FLAG_DISABLE);
		return;
	}
	r->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	for (uint32_t k = 0; k < n; k++)
		r->avail->ring[k] = htole16((uint16_t)k);
}

static uint8_t *rx_slot(const struct port *p, const struct vio_ring *r, uint32_t idx)
{
	return p->memory.va + p->rx_slots + (size_t)(r->first + idx) * SLOT_SIZE;
}

/* Receive rings share n_ring's entries, and the slots. */
static void lay_out(struct port *p)
{
	uint32_t share = p->n_ring / p->setup.n_queues;
	size_t at = 0;

	add_ring(p, TX, p->n_ring, 0, &at);
	for (unsigned int q = 0; q < p->setup.n_queues; q++) {
		struct vio_ring *r = ring_of(p, RX(q));

		add_ring(p, RX(q), share, q * share, &at);
		for (uint32_t i = 0; i < share; i++) {
			uint64_t iova = port_iova(p, (size_t)(rx_slot(p, r, i) - p->memory.va));

			r->len[i] = HDR_SIZE + BUFFER_SIZE;
			if (is_packed(p))
				r->slot[i].addr = htole64(iova);
			else
				r->desc[i] =
					(struct vring_desc){ .addr = htole64(iova),
							     .len = htole32(r->len[i]),
							     .flags = htole16(VRING_DESC_F_WRITE) };
		}
	}
}

static void publish(struct vio_ring *r, uint32_t n)
{
	r->avail_idx += (uint16_t)n;
	__atomic_store_n(&r->avail->idx, htole16(r->avail_idx), __ATOMIC_RELEASE);
}

static uint16_t used_idx(const struct vio_ring *r)
{
	const struct vring_used *used = r->used;

	return le16toh(__atomic_load_n(&used->idx, __ATOMIC_ACQUIRE));
}

/* --- packed: virtio 1.2, 2.8 --- */

/* The AVAIL and USED bits of a slot at this free running index: available, or used. */
static uint16_t lap_flags(const struct vio_ring *r, uint16_t idx, bool used)
{
	bool wrap = idx / r->n % 2 == 0;

	return (uint16_t)((wrap ? 1u << VRING_PACKED_DESC_F_AVAIL : 0) |
			  (wrap == used ? 1u << VRING_PACKED_DESC_F_USED : 0));
}

static void publish_packed(struct vio_ring *r, uint32_t n, uint16_t write)
{
	for (uint32_t i = 0; i < n; i++, r->avail_idx++) {
		uint32_t at = r->avail_idx & (r->n - 1);
		uint16_t flags = lap_flags(r, r->avail_idx, false) | write;

		r->slot[at].len = htole32(r->len[at]);
		r->slot[at].id = htole16((uint16_t)at);
		__atomic_store_n(&r->slot[at].flags, htole16(flags), __ATOMIC_RELEASE);
	}
}

static bool is_used(const struct vio_ring *r, uint16_t idx)
{
	const uint16_t mask = 1u << VRING_PACKED_DESC_F_AVAIL | 1u << VRING_PACKED_DESC_F_USED;
	uint16_t flags =
		le16toh(__atomic_load_n(&r->slot[idx & (r->n - 1)].flags, __ATOMIC_ACQUIRE));

	return idx != r->avail_idx && (flags & mask) == lap_flags(r, idx, true);
}

static uint32_t packed_tx_room(struct port *p, uint32_t want)
{
	struct vio_ring *r = ring_of(p, TX);

	if (p->n_ring - (uint16_t)(r->avail_idx - r->seen) < want)
		while (is_used(r, r->seen))
			r->seen++;
	return p->n_ring - (uint16_t)(r->avail_idx - r->seen);
}

static void packed_tx_post(struct port *p, uint32_t n)
{
	p->tx_next = (p->tx_next + n) & (p->n_ring - 1);
	publish_packed(ring_of(p, TX), n, 0);
}

/* Goes on to the next pair. */
static struct vio_ring *next_rx_ring(struct port *p)
{
	struct vio_port *v = p->priv;

	if (++v->rx_now == p->setup.n_queues)
		v->rx_now = 0;
	return rx_ring(p);
}

static uint32_t packed_rx_take(struct port *p, struct port_frame *frame, uint32_t want,
			       uint32_t max)
{
	struct vio_ring *r = next_rx_ring(p);
	uint32_t n = 0;

	while (n < max && n < r->n && is_used(r, (uint16_t)(r->seen + n)))
		n++;
	if (n < want && ++r->waited < RX_WAIT)
		n = 0;
	else
		r->waited = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t idx = (r->seen + i) & (r->n - 1);

		p->out_of_order |= le16toh(r->slot[idx].id) != idx;
		frame[i].va = rx_slot(p, r, idx) + HDR_SIZE;
		frame[i].size = le32toh(r->slot[idx].len) - HDR_SIZE;
	}
	p->n_taken = n;
	return n;
}

static void packed_rx_return(struct port *p)
{
	if (p->n_taken == 0)
		return;
	rx_ring(p)->seen += (uint16_t)p->n_taken;
	publish_packed(rx_ring(p), p->n_taken, VRING_DESC_F_WRITE);
	p->n_taken = 0;
}

/* --- */

static int open_rings(struct port *p, const char *path, bool packed)
{
	struct vio_port *v = calloc(1, sizeof(*v));
	int ret;

	if (v == NULL)
		return -ENOMEM;
	v->packed = packed;
	p->priv = v;
	lay_out(p);
	for (unsigned int q = 0; q < p->setup.n_queues; q++) {
		struct vio_ring *r = ring_of(p, RX(q));

		if (packed)
			publish_packed(r, r->n, VRING_DESC_F_WRITE);
		else
			publish(r, r->n);
	}
	p->sock = sock_connect(path);
	ret = p->sock < 0 ? p->sock : negotiate(p);
	if (ret < 0)
		warnx("%s:%s: %s", p->ops->kind, path, strerror(-ret));
	return ret;
}

static int vio_open(struct port *p, const char *path)
{
	return open_rings(p, path, false);
}

static int packed_open(struct port *p, const char *path)
{
	return open_rings(p, path, true);
}

static void vio_close(struct port *p)
{
	/* The back end leaves the rings when the socket closes, and the memory is its own mapping. */
	for (unsigned int i = 0; i < N_RINGS && p->priv != NULL; i++) {
		if (ring_of(p, i)->n == 0)
			continue;
		close(ring_of(p, i)->kick);
		close(ring_of(p, i)->call);
	}
}

static void vio_tx_set(struct port *p, uint32_t idx, uint32_t size, const struct tx_request *r)
{
	uint64_t iova = port_iova(p, p->tx_slots + (size_t)idx * p->setup.slot_size);
	struct virtio_net_hdr_v1 hdr = { 0 };

	if (r != NULL && r->csum) {
		hdr.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr.csum_start = htole16(r->l4);
		hdr.csum_offset = htole16(r->tcp ? 16 : 6);
	}
	if (r != NULL && r->mss != 0) {
		hdr.gso_type = r->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;
		hdr.gso_size = htole16(r->mss);
		hdr.hdr_len = htole16(r->payload);
	}
	memcpy(port_tx_frame(p, idx) - HDR_SIZE, &hdr, HDR_SIZE);
	if (is_packed(p)) {
		ring_of(p, TX)->slot[idx].addr = htole64(iova);
		ring_of(p, TX)->len[idx] = HDR_SIZE + size;
	} else {
		ring_of(p, TX)->desc[idx] = (struct vring_desc){ .addr = htole64(iova),
								 .len = htole32(HDR_SIZE + size) };
	}
}

static uint32_t vio_tx_room(struct port *p, uint32_t want)
{
	struct vio_ring *r = ring_of(p, TX);
	uint32_t room = p->n_ring - (uint16_t)(r->avail_idx - r->seen);

	if (room < want) {
		r->seen = used_idx(r);
		room = p->n_ring - (uint16_t)(r->avail_idx - r->seen);
	}
	return room;
}

static void vio_tx_post(struct port *p, uint32_t n)
{
	p->tx_next = (p->tx_next + n) & (p->n_ring - 1);
	publish(ring_of(p, TX), n);
}

static uint32_t vio_rx_take(struct port *p, struct port_frame *frame, uint32_t want, uint32_t max)
{
	struct vio_ring *r = next_rx_ring(p);
	uint32_t n = (uint16_t)(used_idx(r) - r->seen);

	if (n < want && ++r->waited < RX_WAIT) {
		p->n_taken = 0;
		return 0;
	}
	r->waited = 0;
	if (n > max)
		n = max;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t idx = (r->seen + i) & (r->n - 1);
		const struct vring_used_elem *e = &((const struct vring_used *)r->used)->ring[idx];

		p->out_of_order |= le32toh(e->id) != idx;
		frame[i].va = rx_slot(p, r, idx) + HDR_SIZE;
		frame[i].size = le32toh(e->len) - HDR_SIZE;
	}
	p->n_taken = n;
	return n;
}

static void vio_rx_note(struct port *p, uint32_t i, const struct port_frame *frame,
			struct rx_note *note)
{
	struct vio_port *v = p->priv;
	struct virtio_net_hdr_v1 hdr;

	*note = (struct rx_note){ .va = frame->va, .size = frame->size, .is_virtio = true };
	if (v->n_left > 0) {
		/* A further buffer of a frame has no header. */
		note->va -= HDR_SIZE;
		note->size += HDR_SIZE;
	} else {
		memcpy(&hdr, frame->va - HDR_SIZE, HDR_SIZE);
		note->flags = hdr.flags;
		note->gso_type = hdr.gso_type;
		note->hdr_len = le16toh(hdr.hdr_len);
		note->gso_size = le16toh(hdr.gso_size);
		note->csum_start = le16toh(hdr.csum_start);
		note->csum_offset = le16toh(hdr.csum_offset);
		v->n_left = le16toh(hdr.num_buffers);
		note->bad = v->n_left == 0;
		v->n_left += v->n_left == 0;
	}
	v->n_left--;
	note->ends = v->n_left == 0;
}

static void vio_rx_return(struct port *p)
{
	struct vio_ring *r = rx_ring(p);

	if (p->n_taken == 0)
		return;
	r->seen += (uint16_t)p->n_taken;
	publish(r, p->n_taken);
	p->n_taken = 0;
}

const struct port_ops vio_ops = {
	.kind = "vio",
	.ring_bytes = RING_BYTES,
	.hdr_size = HDR_SIZE,
	.open = vio_open,
	.close = vio_close,
	.tx_set = vio_tx_set,
	.tx_room = vio_tx_room,
	.tx_post = vio_tx_post,
	.rx_take = vio_rx_take,
	.rx_note = vio_rx_note,
	.rx_return = vio_rx_return,
};

const struct port_ops packed_ops = {
	.kind = "packed",
	.ring_bytes = RING_BYTES,
	.hdr_size = HDR_SIZE,
	.open = packed_open,
	.close = vio_close,
	.tx_set = vio_tx_set,
	.tx_room = packed_tx_room,
	.tx_post = packed_tx_post,
	.rx_take = packed_rx_take,
	.rx_note = vio_rx_note,
	.rx_return = packed_rx_return,
};
