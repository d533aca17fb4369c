/* SPDX-License-Identifier: BSD-3-Clause */
/* Split and packed rings of a virtio-net device: chains, indirect tables, headers, indices and event words, as no
 * driver would write them; and restarts at any index in between. */
#include "world.h"

#define OPS_MAX   200
#define DATA_SIZE (NET_RING * NET_BUF_SIZE)

struct target {
	struct world *w;
	struct net_guest g;
	struct virtio_net_setup setup;
	bool packed;
	uint16_t next
		[2]; /* packed: position with the wrap counter in bit 15; split: the avail index */
	uint16_t free[2]; /* the next descriptor, round and round */
	uint64_t frame_at;
	uint32_t frame_size;
};

typedef void op(struct target *t, struct input *in);

static struct net_ring_memory *ring_of(struct target *t, unsigned int ring)
{
	return &t->g.ram->ring[ring];
}

static uint8_t *data_of(struct target *t)
{
	return t->g.ram->ring[1].buf[0];
}

static uint64_t pick_iova(struct target *t, struct input *in)
{
	uint8_t how = in8(in);

	switch (how & 7) {
	case 0:
	case 1:
		return t->frame_at;
	case 2:
		return net_guest_iova(&t->g, data_of(t)) + in16(in);
	case 3:
		return NET_ODD_IOVA + NET_ODD_SIZE - in16(in) % NET_ODD_SIZE;
	case 4:
		return NET_IOVA + sizeof(*t->g.ram) - in16(in);
	case 5:
		return NET_IOVA + in16(in);
	case 6:
		return net_guest_iova(&t->g, t->g.ram->ring[0].buf[how >> 3 & 31]);
	default:
		return in_bytes(in, 8);
	}
}

static uint32_t pick_size(struct target *t, struct input *in)
{
	static const uint16_t sizes[] = { 0, 1, 9, 10, 11, 12, 13, 26, 16, 32, 1526, 2048, 65535 };
	uint8_t how = in8(in);

	if (how < ARRAY_SIZE(sizes))
		return sizes[how];
	return (how & 1) != 0 ? t->frame_size : how == 0xfe ? in32(in) : in16(in);
}

static uint16_t avail_flags(uint16_t pos)
{
	bool wrap = (pos & 0x8000) != 0;

	return (uint16_t)(wrap << VRING_PACKED_DESC_F_AVAIL | !wrap << VRING_PACKED_DESC_F_USED);
}

static uint16_t next_pos(uint16_t pos)
{
	return (pos & 0x7fff) + 1u >= NET_RING ? (uint16_t)((pos & 0x8000) ^ 0x8000)
					       : (uint16_t)(pos + 1);
}

/* --- operations --- */

/* With a header before it: what it asks for is nearly right. */
static void op_frame(struct target *t, struct input *in)
{
	uint32_t at = in_below(in, 4) * (FUZZ_FRAME_MAX + 64);
	uint8_t *bytes = data_of(t) + at, how = in8(in);
	struct virtio_net_hdr_v1 hdr = { 0 };
	struct made_frame f;

	f = frame_make(in, bytes + t->g.net.hdr_size, FUZZ_FRAME_MAX, MAC_FUZZED);
	frame_offloads(&f, (uint8_t)how, in, &hdr);
	if ((how & 0x80) != 0)
		((uint8_t *)&hdr)[in_below(in, sizeof(hdr))] = in8(in);
	memcpy(bytes, &hdr, t->g.net.hdr_size);
	t->frame_at = net_guest_iova(&t->g, bytes);
	t->frame_size = t->g.net.hdr_size + f.size;
}

static void op_serve(struct target *t, struct input *in)
{
	world_serve(t->w, PORT_FUZZED, in8(in) % t->g.net.endpoint.n_txq);
}

static void op_hear(struct target *t, struct input *in)
{
	world_honest_sends(t->w, in);
}

/* The next slot of a packed ring, or a descriptor of a split one. */
static void put(struct target *t, unsigned int ring, uint64_t iova, uint32_t size, uint16_t flags,
		uint16_t word)
{
	struct net_ring_memory *r = ring_of(t, ring);

	if (t->packed) {
		uint16_t pos = t->next[ring], i = (pos & 0x7fff) % NET_RING;
		struct vring_packed_desc *d = (struct vring_packed_desc *)(void *)r->desc + i;

		d->addr = htole64(iova);
		d->len = htole32(size);
		d->id = htole16(word);
		d->flags = htole16((uint16_t)(flags ^ avail_flags(pos)));
		t->next[ring] = next_pos(pos);
	} else {
		uint16_t i = t->free[ring]++ % NET_RING;

		r->desc[i] = (struct vring_desc){ htole64(iova), htole32(size), htole16(flags),
						  htole16(word) };
	}
}

static void offer(struct target *t, unsigned int ring, uint16_t head)
{
	struct net_ring_memory *r = ring_of(t, ring);

	if (t->packed)
		return;
	r->avail[2 + t->next[ring]++ % NET_RING] = htole16(head);
	__atomic_store_n(&r->avail[1], htole16(t->next[ring]), __ATOMIC_RELEASE);
}

/* A chain of up to 64 buffers, of the last frame or of what the input picks. */
static void op_chain(struct target *t, struct input *in)
{
	uint8_t how = in8(in), ring = how & 1;
	unsigned int n = (how & 2) != 0 ? 1 + in_below(in, 64) : 1u + (how >> 2 & 3);
	uint16_t write = ring == 0 ? VRING_DESC_F_WRITE : 0, head = t->free[ring] % NET_RING;
	uint64_t iova = t->frame_at;
	uint32_t left = t->frame_size;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t size = i + 1 == n ? left : left / 2;
		uint16_t flags = write;

		if ((how & 0x10) != 0) {
			iova = pick_iova(t, in);
			size = pick_size(t, in);
		} else if (ring == 0) {
			iova = net_guest_iova(&t->g, t->g.ram->ring[0].buf[i % NET_RING]);
			size = NET_BUF_SIZE;
		}
		if (i + 1 < n)
			flags |= VRING_DESC_F_NEXT;
		if ((how & 0x20) != 0)
			flags ^= in8(in);
		put(t, ring, iova, size, flags,
		    t->packed ? (uint16_t)(head + i) : (uint16_t)(t->free[ring] + 1) % NET_RING);
		iova += size;
		left -= size < left ? size : left;
	}
	if ((how & 0x40) == 0)
		offer(t, ring, head);
	if ((how & 0x80) == 0)
		world_serve(t->w, PORT_FUZZED, 0);
}

/* An indirect table, which need not lie well, and the descriptor that leads to it. */
static void op_indirect(struct target *t, struct input *in)
{
	uint8_t how = in8(in), ring = how & 1;
	unsigned int n = 1 + in_below(in, (how & 2) != 0 ? 64 : 4);
	uint32_t at = 0x18000 + in8(in) * 16u + ((how & 4) != 0 ? 5 : 0);
	uint8_t *table = data_of(t) + at;
	uint16_t head = t->free[ring] % NET_RING;
	uint32_t size = n * 16;

	for (unsigned int i = 0; i < n; i++) {
		uint16_t flags = ring == 0 ? VRING_DESC_F_WRITE : 0;
		uint64_t iova = (how & 8) != 0 ? pick_iova(t, in) : t->frame_at;
		uint32_t len = (how & 8) != 0 ? pick_size(t, in) : t->frame_size;

		if ((how & 0x10) != 0)
			flags ^= in8(in);
		else if (i + 1 < n && !t->packed)
			flags |= VRING_DESC_F_NEXT;
		if (t->packed) {
			struct vring_packed_desc d = { htole64(iova), htole32(len), 0,
						       htole16(flags) };

			memcpy(table + 16ul * i, &d, sizeof(d));
		} else {
			struct vring_desc d = { htole64(iova), htole32(len), htole16(flags),
						htole16((how & 0x20) != 0 ? in8(in)
									  : (uint16_t)(i + 1)) };

			memcpy(table + 16ul * i, &d, sizeof(d));
		}
	}
	if ((how & 0x40) != 0)
		size = pick_size(t, in);
	put(t, ring, net_guest_iova(&t->g, table), size,
	    (uint16_t)(VRING_DESC_F_INDIRECT | ((how & 0x80) != 0 ? in8(in) : 0)), head);
	offer(t, ring, head);
	world_serve(t->w, PORT_FUZZED, 0);
}

/* One descriptor, any fields. */
static void op_desc(struct target *t, struct input *in)
{
	uint8_t how = in8(in), ring = how & 1;
	uint64_t iova = pick_iova(t, in);
	uint32_t size = pick_size(t, in);
	uint16_t head = t->free[ring] % NET_RING, flags = in16(in);

	put(t, ring, iova, size, (how & 2) != 0 ? flags : flags & 7, in16(in));
	if ((how & 4) != 0)
		offer(t, ring, head);
}

static void op_post(struct target *t, struct input *in)
{
	uint8_t n = in8(in) % (NET_RING + 1);

	for (; n > 0; n--) {
		uint16_t head = t->free[0] % NET_RING;

		put(t, 0, net_guest_iova(&t->g, t->g.ram->ring[0].buf[head]), NET_BUF_SIZE,
		    VRING_DESC_F_WRITE, head);
		offer(t, 0, head);
	}
}

/* Avail index, entries, event words: any word of the rings. */
static void op_poke(struct target *t, struct input *in)
{
	uint8_t how = in8(in);
	struct net_ring_memory *r = ring_of(t, how & 1);
	uint16_t value = in16(in);

	switch (how >> 1 & 7) {
	case 0:
		r->avail[1] = htole16(value);
		break;
	case 1:
		r->avail[1] = htole16((uint16_t)(le16toh(r->avail[1]) + (int8_t)value));
		break;
	case 2:
		r->avail[2 + value % (NET_RING + 1)] = htole16(in16(in));
		break;
	case 3:
		r->avail[0] = htole16(value);
		break;
	case 4:
		memcpy(r->used + value % (sizeof(r->used) - 1), &value, sizeof(value));
		break;
	case 5:
		t->next[how & 1] = value;
		break;
	default:
		((uint8_t *)r->desc)[value % sizeof(r->desc)] = in8(in);
		break;
	}
}

static void start(struct target *t, struct input *in)
{
	uint64_t features = VIRTIO_NET_DEVICE_FEATURES & ~(1ull << VIRTIO_F_RING_PACKED);
	uint8_t how = in8(in);
	uint16_t idx = (how & 0x80) != 0 ? in16(in) : 0;

	t->packed = (how & 1) != 0;
	if (t->packed)
		features |= 1ull << VIRTIO_F_RING_PACKED;
	if ((how & 2) != 0)
		features &= ~(1ull << VIRTIO_NET_F_MRG_RXBUF);
	if ((how & 4) != 0)
		features &= ~(1ull << VIRTIO_F_VERSION_1);
	if ((how & 8) != 0)
		features &= ~(1ull << VIRTIO_RING_F_EVENT_IDX);
	if ((how & 16) != 0)
		features &= ~(1ull << VIRTIO_RING_F_INDIRECT_DESC);
	if ((how & 32) != 0)
		features &= ~(1ull << VIRTIO_NET_F_GUEST_CSUM);
	if ((how & 64) != 0)
		features &= ~(1ull << VIRTIO_NET_F_GUEST_TSO4);
	t->setup.features = features;
	net_guest_rings(&t->g, &t->setup);
	for (unsigned int i = 0; i < 2; i++) {
		t->next[i] = t->packed
				     ? (uint16_t)((idx & 0x8000) ^ 0x8000) | (idx & (NET_RING - 1))
				     : idx;
		t->setup.ring[i].avail_idx = t->setup.ring[i].used_idx = t->next[i];
	}
}

/* With the memory as it is. */
static void op_restart(struct target *t, struct input *in)
{
	uint8_t how = in8(in);

	if ((how & 1) != 0)
		virtio_net_pause(&t->g.net);
	else
		virtio_net_stop(&t->g.net);
	if ((how & 2) != 0)
		memset(t->g.ram, 0, sizeof(*t->g.ram));
	start(t, in);
	if ((how & 4) != 0)
		t->setup.ring[in_below(in, 2)].size = in16(in);
	if ((how & 8) != 0)
		t->setup.ring[in_below(in, 2)].used_idx = in16(in);
	virtio_net_start(&t->g.net, &t->setup);
}

static void op_control(struct target *t, struct input *in)
{
	uint8_t how = in8(in);

	switch (how & 3) {
	case 0:
		virtio_net_enable(&t->g.net, how >> 2 & 1, (how & 8) == 0);
		break;
	case 1:
		virtio_net_set_link(&t->g.net, (how & 4) == 0);
		break;
	case 2:
		virtio_net_set_max_frame(&t->g.net, how & 4 ? 9014 : 1514);
		break;
	default:
		break;
	}
}

/* clang-format off */
static op *const ops[] = {
	op_frame, op_chain, op_chain, op_indirect, op_desc, op_post, op_poke, op_serve, op_hear, op_hear,
	op_restart, op_control,
};
/* clang-format on */

static void check_good_will(struct target *t)
{
	static const struct virtio_net_hdr_v1 plain;
	uint8_t bytes[WORLD_FRAME_SIZE], buf[NET_BUF_SIZE];

	net_guest_up(&t->g);
	world_plain_frame(bytes, MAC_VIRTIO, MAC_FUZZED);
	net_guest_send(&t->g, &plain, bytes, sizeof(bytes));
	world_serve_kept(t->w, PORT_FUZZED, 0);
	world_net_has(t->w, bytes);
	world_plain_frame(bytes, MAC_FUZZED, MAC_VIRTIO);
	net_guest_send(&t->w->net, &plain, bytes, sizeof(bytes));
	world_serve_kept(t->w, PORT_HONEST_NET, 0);
	FUZZ_CHECK(net_guest_receive(&t->g, buf) == sizeof(bytes));
	FUZZ_CHECK(memcmp(buf, bytes, sizeof(bytes)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };
	struct vf_policy policy = { .mac = MAC_FUZZED };
	static struct target t;
	uint8_t how;

	memset(&t, 0, sizeof(t));
	net_guest_new(&t.g);
	t.w = world_start(&t.g.net.endpoint);
	how = in8(&in);
	policy.trunk = (how & 1) != 0;
	bitmap_set(policy.vlans, VLAN_SHARED);
	world_policy(t.w, &policy, &policy.mac, 1);
	world_guards(t.w, how >> 1);
	t.frame_at = net_guest_iova(&t.g, data_of(&t));
	start(&t, &in);
	FUZZ_CHECK(virtio_net_start(&t.g.net, &t.setup) == 0);
	for (unsigned int n = 0; n < OPS_MAX && in.at < in.end; n++)
		ops[in8(&in) % ARRAY_SIZE(ops)](&t, &in);
	world_check(t.w);
	check_good_will(&t);
	net_guest_free(&t.g);
	return 0;
}
