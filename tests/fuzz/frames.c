/* SPDX-License-Identifier: BSD-3-Clause */
#include "dev/virtio_net/virtio_net.h"
#include "fuzz.h"

static uint32_t put16(uint8_t *bytes, uint32_t at, uint16_t v)
{
	store_be16(bytes + at, v);
	return at + 2;
}

static uint32_t put_tags(struct input *in, uint8_t *bytes, uint32_t at, uint8_t how)
{
	static const uint16_t vids[] = { 0, VLAN_SHARED, VLAN_APART, 0xfff };

	for (unsigned int n = how & 3; n > 0; n--) {
		uint8_t tag = in8(in);

		at = put16(bytes, at, (tag & 0x10) != 0 ? 0x88a8 : ETH_TYPE_VLAN);
		at = put16(bytes, at, (uint16_t)((tag & 0xe0) << 8 | vids[tag & 3]));
	}
	return at;
}

static uint32_t put_ip4(struct input *in, uint8_t *l3, const struct made_frame *f, uint8_t how)
{
	uint32_t size = (how & 0x08) != 0 ? 20 + 4 * in_below(in, 11) : 20;

	l3[0] = (uint8_t)(0x40 | size / 4);
	store_be16(l3 + 2, (uint16_t)(f->size - f->l2));
	store_be16(l3 + 6, (how & 0x10) != 0 ? 0x2000 : 0);
	l3[8] = 64;
	l3[9] = f->proto;
	l3[12] = l3[16] = 10;
	l3[15] = how;
	return size;
}

/* Options, routing, fragment, destination: up to three. */
static uint32_t put_ip6(struct input *in, uint8_t *l3, const struct made_frame *f, uint8_t how)
{
	static const uint8_t kinds[] = { 0, 43, 44, 60 };
	uint32_t size = 40;
	uint8_t *next = l3 + 6;

	l3[0] = 0x60;
	store_be16(l3 + 4, (uint16_t)(f->size - f->l2 - 40));
	l3[7] = 64;
	l3[8] = l3[24] = 0xfd;
	l3[39] = how;
	for (unsigned int n = how >> 3 & 3; n > 0; n--) {
		uint8_t ext = in8(in);

		*next = kinds[ext & 3];
		next = l3 + size;
		l3[size + 1] = ext >> 2 & 3;
		size += (ext & 3) == 2 ? 8 : 8u * (1 + (ext >> 2 & 3));
	}
	*next = f->proto;
	return size;
}

static uint32_t put_l4(struct input *in, uint8_t *l4, const struct made_frame *f)
{
	/* DHCP's, of clients and servers */
	static const uint16_t dports[] = { 80, 68, 546, 547 };
	uint32_t size = f->proto == 17 ? 8 : f->proto == 132 ? 12 : 20;
	uint8_t sport = in8(in);

	store_be16(l4, sport);
	store_be16(l4 + 2, dports[sport >> 6]);
	if (f->proto == 58 || f->proto == 1)
		l4[0] = sport; /* the type */
	if (f->proto != 6)
		return size;
	store_be32(l4 + 4, 0xffffff00);
	size = 20 + 4 * in_below(in, 11);
	l4[12] = (uint8_t)(size / 4 << 4);
	l4[13] = in8(in);
	return size;
}

struct made_frame frame_make(struct input *in, uint8_t *bytes, uint32_t room, uint64_t source)
{
	static const uint64_t dests[] = {
		MAC_VF,      MAC_VIRTIO, MAC_BROADCAST,  MAC_FUZZED,
		MAC_FOREIGN, MAC_APART,  0x01005e000001, 0x0000c28001ull
	};
	static const uint8_t protos[] = { 6, 17, 132, 6, 58, 17, 1, 0 };
	uint8_t hdr[ETH_ADDRS_SIZE + 12 + 2 + 40 + 3 * 32 + 60 + 64] = { 0 };
	uint8_t where = in8(in), what = in8(in), how = in8(in);
	struct made_frame f = { .size = in16(in) % FUZZ_FRAME_MAX, .proto = protos[what >> 5] };
	uint32_t n = ETH_ADDRS_SIZE;

	if (f.size > room)
		f.size = room;
	mac_store(hdr, dests[where & 7]);
	mac_store(hdr + 6, (where & 0x70) == 0x70 ? source ^ in8(in) : source);
	n = put_tags(in, hdr, n, what);
	f.ip6 = (what & 0x04) != 0;
	f.l2 = (uint16_t)(n + 2);
	if ((what & 0x18) == 0x18) {
		n = put16(hdr, n, in16(in));
	} else {
		n = put16(hdr, n, f.ip6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
		f.l3 = (uint16_t)(f.ip6 ? put_ip6(in, hdr + n, &f, how)
					: put_ip4(in, hdr + n, &f, how));
		f.l4 = (uint16_t)put_l4(in, hdr + n + f.l3, &f);
		n += f.l3 + f.l4;
	}
	if (n < f.size)
		memset(bytes + n, how, f.size - n);
	memcpy(bytes, hdr, n < f.size ? n : f.size);
	return f;
}

void frame_offloads(const struct made_frame *f, uint8_t how, struct input *in,
		    struct virtio_net_hdr_v1 *hdr)
{
	if ((how & 1) != 0) {
		hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
		hdr->csum_start = htole16((uint16_t)(f->l2 + f->l3));
		hdr->csum_offset = htole16(f->proto == 17 ? 6 : 16);
	}
	if ((how & 2) != 0) {
		hdr->gso_type = f->proto == 17 ? VIRTIO_NET_HDR_GSO_UDP_L4
				: f->ip6       ? VIRTIO_NET_HDR_GSO_TCPV6
					       : VIRTIO_NET_HDR_GSO_TCPV4;
		hdr->gso_size = htole16(in16(in));
		hdr->hdr_len = htole16((uint16_t)(f->l2 + f->l3 + f->l4));
	}
}
