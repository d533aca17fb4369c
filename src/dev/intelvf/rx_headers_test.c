/* SPDX-License-Identifier: BSD-3-Clause */
/* What a receive descriptor says of a frame's headers and checksums, and header buffers. */
#include "dev/intelvf/rx_test.h"
#include "frame/csum.h"
#include "frame/testref.h"

#define TCP  6
#define UDP  17
#define SCTP 132
#define ICMP 1

/* ---- packets ---- */

enum ext { /* between IP and L4 */
	EXT_NONE,
	EXT_OPTIONS,  /* IPv4: 4 bytes; IPv6: destination options without meaning, 8 bytes */
	EXT_HOME,     /* IPv6: a home address */
	EXT_ROUTE,    /* IPv6: a routing header with segments left */
	EXT_ROUTED,   /* with none left */
	EXT_FRAGMENT, /* the first one */
	EXT_LATER,    /* a later one */
};

enum wrong {
	RIGHT,
	BAD_IP,
	BAD_L4,
	BAD_BOTH,
	NO_SUM,    /* UDP: 0 */
	LONG_IP,   /* IP's length is beyond the frame, */
	SHORT_IP,  /* or ends in the L4 header */
	SHORT_UDP, /* the UDP length leaves 3 bytes of the packet out, as it may, */
	LONG_UDP,  /* or is beyond the packet, */
	TINY_UDP,  /* or less than the header */
};

struct packet {
	uint8_t version, proto;
	enum ext ext;
	uint32_t payload, padding;
	enum wrong wrong;
};

static uint32_t put_ext(uint8_t *at, const struct packet *p)
{
	static const uint8_t padn[8] = { 0, 0, 1, 4 }, home[24] = { 0, 2, 1, 2, 0, 0, 201, 16 };
	uint32_t size = 8;

	if (p->version == 4) {
		memset(at, 1, 4); /* NOP */
		return p->ext == EXT_OPTIONS ? 4 : 0;
	}
	memset(at, 0, 24);
	switch (p->ext) {
	case EXT_NONE:
		return 0;
	case EXT_OPTIONS:
		memcpy(at, padn, 8);
		break;
	case EXT_HOME:
		memcpy(at, home, size = 24);
		break;
	case EXT_ROUTE:
	case EXT_ROUTED:
		at[1] = 2;
		at[2] = 2;
		at[3] = p->ext == EXT_ROUTE;
		size = 24;
		break;
	default:
		store_be16(at + 2, p->ext == EXT_FRAGMENT ? 1 : 8);
	}
	at[0] = p->proto;
	return size;
}

static uint16_t pseudo_sum(const struct packet *p, const uint8_t *l3, uint32_t l4_size)
{
	const uint8_t tail[4] = { (uint8_t)(l4_size >> 8), (uint8_t)l4_size, 0, p->proto };

	return ref_sum(tail, 4, p->version == 4 ? ref_sum(l3 + 12, 8, 0) : ref_sum(l3 + 8, 32, 0));
}

static void put_l4_sum(uint8_t *l3, uint8_t *l4, const struct packet *p, uint32_t l4_size)
{
	uint32_t at = p->proto == TCP ? 16 : p->proto == UDP ? 6 : 8, crc;
	uint16_t sum;

	if (p->proto == SCTP) {
		crc = htole32(~ref_crc32c(l4, l4_size, ~0u));
		memcpy(l4 + 8, &crc, 4);
	} else if (p->proto != ICMP && p->wrong != NO_SUM) {
		sum = (uint16_t)~ref_sum(l4, l4_size, pseudo_sum(p, l3, l4_size));
		store_be16(l4 + at, sum == 0 ? 0xffff : sum);
	}
	if (p->wrong == BAD_L4 || p->wrong == BAD_BOTH)
		l4[l4_size - 1] ^= 0x10;
}

/* The frame, as a sender that sums by itself makes it; its size. */
static uint32_t make(uint8_t *bytes, const struct packet *p)
{
	static const uint8_t ext_types[] = { 0, 60, 60, 43, 43, 44, 44 };
	uint8_t *l3 = bytes + 14, *l4 = l3 + (p->version == 4 ? 20 : 40);
	uint32_t l4_size = p->payload + (p->proto == TCP ? 20 : p->proto == SCTP ? 12 : 8), total;
	uint32_t ext_size;

	memset(l3, 0, 120);
	for (uint32_t i = 0; i < p->payload + 120; i++)
		l3[i] = (uint8_t)(i * 13 + 5);
	store_be16(bytes + 12, p->version == 4 ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
	ext_size = put_ext(l4, p);
	l4 += ext_size;
	total = (uint32_t)(l4 - l3) + l4_size;
	if (p->version == 4) {
		l3[0] = (uint8_t)(0x45 + ext_size / 4);
		store_be16(l3 + 2, (uint16_t)total);
		store_be16(l3 + 6, p->ext == EXT_FRAGMENT ? 0x2000
				   : p->ext == EXT_LATER  ? 1
							  : 0x4000);
		l3[9] = p->proto;
		store_be16(l3 + 10, 0);
		store_be16(l3 + 10, (uint16_t)~ref_sum(l3, 20 + ext_size, 0));
		l3[10] ^= p->wrong == BAD_IP || p->wrong == BAD_BOTH;
	} else {
		l3[0] = 0x60;
		store_be16(l3 + 4, (uint16_t)(total - 40));
		l3[6] = p->ext == EXT_NONE ? p->proto : ext_types[p->ext];
	}
	memset(l4 + (p->proto == TCP ? 16 : p->proto == UDP ? 6 : 8), 0, p->proto == SCTP ? 4 : 2);
	if (p->proto == TCP)
		l4[12] = 0x50;
	if (p->proto == UDP) {
		l4_size -= p->wrong == SHORT_UDP ? 3 : 0;
		store_be16(l4 + 4, (uint16_t)(p->wrong == LONG_UDP   ? l4_size + 1
					      : p->wrong == TINY_UDP ? 7
								     : l4_size));
	}
	put_l4_sum(l3, l4, p, l4_size);
	if (p->wrong == LONG_IP || p->wrong == SHORT_IP)
		store_be16(l3 + (p->version == 4 ? 2 : 4),
			   (uint16_t)(p->wrong == LONG_IP ? total + p->padding + 1
							  : (uint32_t)(l4 - l3) + 7 -
								    (p->version == 4 ? 0 : 40)));
	memset(l3 + total, 0xa5, p->padding);
	return 14 + total + p->padding;
}

/* ---- the guest ---- */

static void verify(bool on)
{
	struct vf_policy policy = g.vf->policy;

	policy.verify_checksums = on;
	g.vf->ops->set_policy(g.vf, &policy);
}

static int start_igb(void **state)
{
	uint32_t reply[VFMBMEM_WORDS];

	guest_start(&g, "82576");
	if (!guest_mbox(&g, 1, (const uint32_t[]){ 1 }, 1, reply))
		return -1;
	guest_rx_up(&g, N, ADV | 2, 0);
	guest_rx_post(&g, 0, N - 1, N);
	return 0;
}

/* The driver takes all frames and posts all buffers anew. */
static void restart(uint32_t srrctl)
{
	uint32_t lines = g.dev->family->pages_at + g.dev->family->line_at;

	guest_line_write(&g, lines + RXDCTL, 0);
	guest_read(&g, GUEST_STATUS);
	guest_rx_up(&g, N, srrctl, RXDCTL_VME);
	guest_rx_post(&g, 0, N - 1, N);
}

#define IP4   PACKET_IPV4
#define IP4E  (PACKET_IPV4 | PACKET_IPV4_OPTIONS)
#define IP6   PACKET_IPV6
#define IP6E  (PACKET_IPV6 | PACKET_IPV6_EXT)
#define IPCS  RXD_STAT_IPCS
#define L4CS  RXD_STAT_L4CS
#define UDPCS (RXD_STAT_L4CS | RXD_STAT_UDPCS)

/* clang-format off */
static const struct {
	struct packet p;
	uint8_t packet;
	uint32_t status;
	bool ipe, l4e;
} packets[] = {
	{ { 4, TCP, 0, 0, 0, 0 },                  IP4 | PACKET_TCP, IPCS | L4CS, 0, 0 },
	{ { 4, TCP, 0, 1, 0, 0 },                  IP4 | PACKET_TCP, IPCS | L4CS, 0, 0 },
	{ { 4, TCP, 0, 1000, 0, 0 },               IP4 | PACKET_TCP, IPCS | L4CS, 0, 0 },
	{ { 4, TCP, 0, 1001, 0, BAD_L4 },          IP4 | PACKET_TCP, IPCS | L4CS, 0, 1 },
	{ { 4, TCP, 0, 0, 0, BAD_L4 },             IP4 | PACKET_TCP, IPCS | L4CS, 0, 1 },
	{ { 4, TCP, 0, 100, 0, BAD_IP },           IP4 | PACKET_TCP, IPCS | L4CS, 1, 0 },
	{ { 4, TCP, 0, 100, 0, BAD_BOTH },         IP4 | PACKET_TCP, IPCS | L4CS, 1, 1 },
	{ { 4, TCP, 0, 0, 6, 0 },                  IP4 | PACKET_TCP, IPCS | L4CS, 0, 0 },
	{ { 4, TCP, 0, 3, 17, 0 },                 IP4 | PACKET_TCP, IPCS | L4CS, 0, 0 },
	{ { 4, TCP, 0, 3, 17, BAD_L4 },            IP4 | PACKET_TCP, IPCS | L4CS, 0, 1 },
	{ { 4, TCP, EXT_OPTIONS, 33, 0, 0 },       IP4E | PACKET_TCP, IPCS | L4CS, 0, 0 },
	{ { 4, TCP, EXT_OPTIONS, 33, 0, BAD_IP },  IP4E | PACKET_TCP, IPCS | L4CS, 1, 0 },
	{ { 4, TCP, EXT_OPTIONS, 33, 0, BAD_L4 },  IP4E | PACKET_TCP, IPCS | L4CS, 0, 1 },
	{ { 4, TCP, EXT_FRAGMENT, 64, 0, BAD_L4 }, IP4, IPCS, 0, 0 },
	{ { 4, TCP, EXT_LATER, 64, 0, BAD_BOTH },  IP4, IPCS, 1, 0 },
	{ { 4, TCP, 0, 64, 0, LONG_IP },           IP4 | PACKET_TCP, IPCS, 1, 0 },
	{ { 4, TCP, 0, 64, 0, SHORT_IP },          IP4 | PACKET_TCP, IPCS, 1, 0 },
	{ { 4, UDP, 0, 0, 0, 0 },                  IP4 | PACKET_UDP, IPCS | UDPCS, 0, 0 },
	{ { 4, UDP, 0, 18, 0, 0 },                 IP4 | PACKET_UDP, IPCS | UDPCS, 0, 0 },
	{ { 4, UDP, 0, 1400, 0, 0 },               IP4 | PACKET_UDP, IPCS | UDPCS, 0, 0 },
	{ { 4, UDP, 0, 1401, 0, BAD_L4 },          IP4 | PACKET_UDP, IPCS | UDPCS, 0, 1 },
	{ { 4, UDP, 0, 100, 0, NO_SUM },           IP4 | PACKET_UDP, IPCS, 0, 0 },
	{ { 4, UDP, 0, 100, 3, SHORT_UDP },        IP4 | PACKET_UDP, IPCS | UDPCS, 0, 0 },
	{ { 4, UDP, 0, 100, 3, LONG_UDP },         IP4 | PACKET_UDP, IPCS, 0, 0 },
	{ { 4, UDP, 0, 100, 3, TINY_UDP },         IP4 | PACKET_UDP, IPCS, 0, 0 },
	{ { 4, UDP, EXT_FRAGMENT, 100, 0, 0 },     IP4, IPCS, 0, 0 },
	{ { 4, SCTP, 0, 0, 0, 0 },                 IP4 | PACKET_SCTP, IPCS | L4CS, 0, 0 },
	{ { 4, SCTP, 0, 16, 0, 0 },                IP4 | PACKET_SCTP, IPCS | L4CS, 0, 0 },
	{ { 4, SCTP, 0, 1200, 2, 0 },              IP4 | PACKET_SCTP, IPCS | L4CS, 0, 0 },
	{ { 4, SCTP, 0, 1200, 2, BAD_L4 },         IP4 | PACKET_SCTP, IPCS | L4CS, 0, 1 },
	{ { 4, ICMP, 0, 56, 0, 0 },                IP4, IPCS, 0, 0 },
	{ { 4, ICMP, 0, 56, 0, BAD_IP },           IP4, IPCS, 1, 0 },
	{ { 6, TCP, 0, 0, 0, 0 },                  IP6 | PACKET_TCP, L4CS, 0, 0 },
	{ { 6, TCP, 0, 1300, 0, 0 },               IP6 | PACKET_TCP, L4CS, 0, 0 },
	{ { 6, TCP, 0, 1301, 4, BAD_L4 },          IP6 | PACKET_TCP, L4CS, 0, 1 },
	{ { 6, TCP, EXT_OPTIONS, 77, 0, 0 },       IP6E | PACKET_TCP, L4CS, 0, 0 },
	{ { 6, TCP, EXT_OPTIONS, 77, 0, BAD_L4 },  IP6E | PACKET_TCP, L4CS, 0, 1 },
	{ { 6, TCP, EXT_HOME, 77, 0, 0 },          IP6E | PACKET_TCP, 0, 0, 0 },
	{ { 6, TCP, EXT_ROUTE, 77, 0, BAD_L4 },    IP6E | PACKET_TCP, 0, 0, 0 },
	{ { 6, TCP, EXT_ROUTED, 77, 0, 0 },        IP6E | PACKET_TCP, L4CS, 0, 0 },
	{ { 6, TCP, EXT_ROUTED, 77, 0, BAD_L4 },   IP6E | PACKET_TCP, L4CS, 0, 1 },
	{ { 6, TCP, EXT_FRAGMENT, 77, 0, BAD_L4 }, IP6E, 0, 0, 0 },
	{ { 6, TCP, EXT_LATER, 77, 0, 0 },         IP6E, 0, 0, 0 },
	{ { 6, TCP, 0, 77, 0, LONG_IP },           IP6 | PACKET_TCP, 0, 0, 0 },
	{ { 6, TCP, 0, 77, 0, SHORT_IP },          IP6 | PACKET_TCP, 0, 0, 0 },
	{ { 6, UDP, 0, 2, 0, 0 },                  IP6 | PACKET_UDP, UDPCS, 0, 0 },
	{ { 6, UDP, 0, 300, 1, BAD_L4 },           IP6 | PACKET_UDP, UDPCS, 0, 1 },
	{ { 6, UDP, 0, 300, 0, NO_SUM },           IP6 | PACKET_UDP, 0, 0, 0 },
	{ { 6, UDP, EXT_OPTIONS, 300, 0, BAD_L4 }, IP6E | PACKET_UDP, UDPCS, 0, 1 },
	{ { 6, SCTP, 0, 4, 0, 0 },                 IP6 | PACKET_SCTP, L4CS, 0, 0 },
	{ { 6, SCTP, 0, 100, 0, BAD_L4 },          IP6 | PACKET_SCTP, L4CS, 0, 1 },
	{ { 6, 58, 0, 56, 0, 0 },                  IP6, 0, 0, 0 },
};
/* clang-format on */

static uint32_t want_status(unsigned int i, bool verified)
{
	const struct intelvf_family *family = g.dev->family;

	return RXD_STAT_DD | RXD_STAT_EOP | (verified ? packets[i].status : 0) |
	       (verified && packets[i].ipe ? family->rxd_ipe : 0) |
	       (verified && packets[i].l4e ? family->rxd_l4e : 0);
}

/* Every packet, with its tag beside it or in it, in one buffer or two: type, status, errors. */
static void headers_are_told(void **state)
{
	set_policy(false, true, 1518);
	if (g.dev->family->has_line_stats)
		ask(4 | 1u << 16, 5, 0);
	for (unsigned int round = 0; round < 12; round++) {
		bool on = round & 1, tagged = round / 2 & 1, strip;
		uint32_t lines = g.dev->family->pages_at + g.dev->family->line_at;

		verify(on);
		restart(ADV | (round < 4 ? 2 : 1));
		/* Without the bit the tag stays in the frame, but for the other family. */
		if (round >= 8)
			guest_line_write(&g, lines + RXDCTL, RXDCTL_ENABLE);
		strip = round < 8 || g.dev->family->strips_always;
		if (tagged && !g.dev->family->has_line_stats)
			continue;
		for (unsigned int i = 0, idx = 0; i < ARRAY_SIZE(packets); i++) {
			uint32_t size = make(data[0], &packets[i].p);
			struct frame f =
				guest_frame(data[0], size, GUEST_MAC, load_be16(data[0] + 12));
			uint32_t status;

			if (tagged) {
				f.vid = f.tci = 5;
				f.flags |= FRAME_TAGGED;
			}
			assert_int_equal(push1(&f, 0), 1);
			if (guest_rx_desc(&g, idx)->lo != (uint64_t)packets[i].packet << 4)
				fail_msg("packet %u: %lx", i, guest_rx_desc(&g, idx)->lo);
			while ((status_of(idx) & RXD_STAT_EOP) == 0)
				idx++;
			status = status_of(idx++);
			if ((status & ~(uint32_t)RXD_STAT_VP) != want_status(i, on))
				fail_msg("round %u, packet %u: %x, not %x", round, i, status,
					 want_status(i, on));
			assert_int_equal((status & RXD_STAT_VP) != 0, tagged && strip);
			if (idx > N - 4) {
				restart(ADV | (round < 4 ? 2 : 1));
				if (round >= 8)
					guest_line_write(&g, lines + RXDCTL, RXDCTL_ENABLE);
				idx = 0;
			}
		}
	}
}

/* In one push each packet's type is its own, whatever came before; pairs of all kinds, and some twice. */
static void headers_in_bursts(void **state)
{
	uint32_t seed = 1;

	for (unsigned int round = 0; round < 400; round++) {
		unsigned int which[BURST_MAX], last = 0;
		struct frame f[BURST_MAX];

		restart(ADV | 2);
		for (unsigned int i = 0; i < BURST_MAX; i++) {
			uint32_t size;

			seed = seed * 1664525 + 1013904223;
			if (i % 3 != 2)
				last = (seed >> 8) % ARRAY_SIZE(packets);
			which[i] = last;
			size = make(data[i], &packets[which[i]].p);
			f[i] = guest_frame(data[i], size, GUEST_MAC, load_be16(data[i] + 12));
		}
		guest_push(&g, f, BURST_MAX, 0);
		for (unsigned int i = 0; i < BURST_MAX; i++)
			if (guest_rx_desc(&g, i)->lo != (uint64_t)packets[which[i]].packet << 4)
				fail_msg("packet %u behind %u: %lx", which[i],
					 i > 0 ? which[i - 1] : 0, guest_rx_desc(&g, i)->lo);
	}
}

/* Legacy descriptors have errors in a byte of their own. */
static void legacy_errors(void **state)
{
	verify(true);
	restart(2);
	for (unsigned int i = 0, idx = 0; i < ARRAY_SIZE(packets); i++, idx++) {
		uint32_t size = make(data[0], &packets[i].p), status = want_status(i, true);
		struct frame f = guest_frame(data[0], size, GUEST_MAC, load_be16(data[0] + 12));

		assert_int_equal(push1(&f, 0), 1);
		assert_int_equal(guest_rx_desc(&g, idx)->hi,
				 size | (uint64_t)(status & 0xff) << 32 |
					 (uint64_t)(status >> 24) << 40);
	}
}

/* What a sender's device is asked to fill in, or is known, is not looked at again; hashes go with it. */
static void known_and_hashed(void **state)
{
	struct packet p = { 4, TCP, 0, 100, 0, BAD_L4 };
	uint32_t size = make(data[0], &p);
	struct frame f = guest_frame(data[0], size, GUEST_MAC, ETH_TYPE_IPV4);
	uint64_t hash;

	guest_write(&g, VFPSRTYPE, 1u << VFPSRTYPE_RQPL_SHIFT);
	memset(g.dev->st->rss.reta, 0, sizeof(g.dev->st->rss.reta));
	guest_write(&g, VFPSRTYPE, 1u << VFPSRTYPE_RQPL_SHIFT); /* all to queue 0 */
	assert_int_equal(push1(&f, 0), 1);
	hash = guest_rx_desc(&g, 0)->lo;
	assert_int_equal(hash & 0xfff, 0x111);
	assert_int_equal(status_of(0), 3);
	verify(true);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(guest_rx_desc(&g, 1)->lo, hash);
	assert_int_equal(status_of(1), 3 | IPCS | L4CS | RXD_ERR_L4E);
	f.flags = FRAME_L4_VALID;
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(status_of(2), 3 | IPCS | L4CS);
	/* RSS goes, the policy stays; then the other way round. */
	guest_write(&g, VFPSRTYPE, 0);
	f.flags = 0;
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(guest_rx_desc(&g, 3)->lo, 0x110);
	assert_int_equal(status_of(3), 3 | IPCS | L4CS | RXD_ERR_L4E);
	guest_write(&g, VFPSRTYPE, 1u << VFPSRTYPE_RQPL_SHIFT);
	verify(false);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(guest_rx_desc(&g, 4)->lo, hash);
	assert_int_equal(status_of(4), 3);
	/* Nor do resets end it. */
	verify(true);
	g.vf->ops->reset(g.vf);
	g.vf->bus_master = true;
	up(MBOX_API_13, ADV | 2, 0);
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(status_of(0), 3 | IPCS | L4CS | RXD_ERR_L4E);
	/* A checksum that is filled in on the way is right, and so is the IP header's. */
	size = make(data[0], &(struct packet){ 4, TCP, 0, 100, 0, RIGHT });
	store_be16(data[0] + 34 + 16,
		   pseudo_sum(&(struct packet){ 4, TCP, 0, 0, 0, 0 }, data[0] + 14, 120));
	f.flags = FRAME_L4_CSUM;
	f.csum_start = 34;
	f.csum_offset = 16;
	assert_int_equal(push1(&f, 0), 1);
	assert_int_equal(status_of(1), 3 | IPCS | L4CS);
}

/* ---- header buffers ---- */

#define HDR(i) (GUEST_DATA + 256ull * (i))

/* The first descriptor of each frame has a header buffer, here of 128 bytes, which is filled up first; what
 * is left goes into buffers of 1 KiB. */
static void header_buffers(void **state)
{
	static const struct {
		uint32_t size;
		unsigned int n_desc;
	} cases[] = {
		{ 60, 1 },         { 127, 1 },
		{ 128, 1 },        { 129, 1 },
		{ 1152, 1 },       { 1153, 2 },
		{ 128 + 2048, 2 }, { 128 + 2049, 3 },
		{ 60, 1 },         { 128 + 9 * 1024, 9 },
		{ 9014, 9 },
	};
	unsigned int idx = 0;

	set_policy(false, false, 9500);
	ask(5, 9500, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, SRRCTL_DESCTYPE_ALWAYS | 0x200 | 1);
	for (unsigned int i = 0; i < N; i++)
		guest_rx_desc(&g, i)->hi = HDR(i);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct frame f = frame(i, cases[i].size);
		uint32_t in_header = cases[i].size < 128 ? cases[i].size : 128;
		uint32_t left = cases[i].size - in_header, at = in_header;

		memset(guest_va(&g, HDR(idx)), 0xee, 256);
		assert_int_equal(push1(&f, 0), 1);
		assert_memory_equal(guest_va(&g, HDR(idx)), data[i], in_header);
		assert_int_equal(*(uint8_t *)guest_va(&g, HDR(idx) + in_header), 0xee);
		for (unsigned int k = 0; k < cases[i].n_desc; k++, idx++) {
			bool last = k + 1 == cases[i].n_desc;
			uint32_t here = last ? left : 1024;

			assert_int_equal(status_of(idx), last ? 3 : 1);
			assert_int_equal(size_of(idx), here);
			assert_int_equal(guest_rx_desc(&g, idx)->lo, k == 0 ? in_header << 21 : 0);
			assert_memory_equal(buf_of(idx), data[i] + at, here);
			at += here;
			left -= here;
		}
		assert_int_equal(left, 0);
	}
	/* No room for half of one; and a header buffer outside the guest's memory. */
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, idx + 1);
	struct frame f = frame(0, 1153);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 1);
	guest_rx_desc(&g, idx)->hi = GUEST_RAM_AT + GUEST_RAM_SIZE - 126;
	f = frame(0, 60);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(status_of(idx), RXD_STAT_DD | RXD_STAT_EOP | RXD_ERR_RXE);
	assert_int_equal(g.stats.drop[DROP_BAD_BUFFER], 1);
	f = frame(0, 60);
	assert_int_equal(push1(&f, 0), 0);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 2);
}

/* What is said of a frame is in its last descriptor, and the tag is counted where it is written. */
static void header_buffers_and_offloads(void **state)
{
	struct frame f;

	set_policy(false, true, 1514);
	ask(4 | 1u << 16, 5, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + SRRCTL, SRRCTL_DESCTYPE_ALWAYS | 0x100 | 1);
	for (unsigned int strip = 0; strip < 2; strip++) {
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL,
				 RXDCTL_ENABLE | (strip ? RXDCTL_VME : 0));
		guest_rx_desc(&g, strip)->hi = HDR(strip);
		f = frame(0, 100);
		f.vid = 5;
		f.tci = 0x6005;
		assert_int_equal(push1(&f, 0), 1);
		assert_int_equal(guest_rx_desc(&g, strip)->lo, 64u << 21);
		assert_int_equal(size_of(strip), strip ? 36 : 40);
		assert_int_equal(status_of(strip), strip ? 0xb : 3);
		assert_int_equal(guest_rx_desc(&g, strip)->hi >> 48, strip ? 0x6005 : 0);
		assert_memory_equal(guest_va(&g, HDR(strip)), data[0], 12);
		assert_memory_equal(buf_of(strip), data[0] + (strip ? 64 : 60), 36);
	}
}

/* Checksums are finished on the way, and called good only where they are the frame's first. */
static void checksums(void **state)
{
	static const struct {
		uint16_t flags, ethertype;
		uint16_t csum_start;
		uint32_t status;
	} cases[] = {
		{ 0, 0x0800, 34, 0 },
		{ FRAME_L4_VALID, 0x0800, 0, RXD_STAT_L4CS },
		{ FRAME_L4_CSUM, 0x0800, 34, RXD_STAT_L4CS },
		{ FRAME_L4_CSUM | FRAME_IP4_CSUM, 0x0800, 34, RXD_STAT_L4CS | RXD_STAT_IPCS },
		{ FRAME_IP4_CSUM, 0x0800, 0, RXD_STAT_IPCS },
		{ FRAME_L4_CSUM, 0x0800, 84, 0 }, /* some inner header */
		{ FRAME_L4_CSUM, 0x86dd, 54, RXD_STAT_L4CS },
		{ FRAME_L4_CSUM, 0x86dd, 34, 0 },
		{ FRAME_L4_CSUM, 0x88b5, 34, 0 },
	};

	for (unsigned int vme = 0; vme < 2; vme++) {
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL,
				 RXDCTL_ENABLE | (vme ? RXDCTL_VME : 0));
		set_policy(false, true, 1514);
		ask(1u << 16 | 4, 5, 0);
		for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
			unsigned int idx = g.dev->st->rx[0].ring.head, shift = vme ? 0 : 4;
			struct frame f = guest_frame(data[0], 200, GUEST_MAC, cases[i].ethertype);
			uint8_t *out = buf_of(idx);

			data[0][14] = 0x45;
			f.vid = f.tci = 5;
			f.flags |= cases[i].flags;
			f.l3_start = 14;
			f.csum_start = cases[i].csum_start;
			f.csum_offset = 6;
			assert_int_equal(push1(&f, 0), 1);
			assert_int_equal(status_of(idx) & ~(uint32_t)RXD_STAT_VP,
					 RXD_STAT_DD | RXD_STAT_EOP | cases[i].status);
			if ((cases[i].flags & FRAME_L4_CSUM) != 0) {
				uint32_t at = cases[i].csum_start + shift;
				uint16_t field, sum;

				/* The field makes the rest's sum: seed (as it was) taken out. */
				memcpy(&field, out + at + 6, 2);
				sum = csum_fold(csum_add(data[0] + cases[i].csum_start,
							 200 - cases[i].csum_start, 0));
				assert_int_equal((uint16_t)~sum, field);
			}
			if ((cases[i].flags & FRAME_IP4_CSUM) != 0)
				assert_int_equal(csum_fold(csum_add(out + 14 + shift, 20, 0)),
						 0xffff);
		}
	}
}

/* Which headers are split off: by family, its PSRTYPE, and packet. */
static void headers_are_split(void **state)
{
	const struct packet tcp4 = { 4, TCP, 0, 500, 0, 0 }, udp4 = { 4, UDP, 0, 500, 0, 0 };
	const struct packet tcp6 = { 6, TCP, 0, 500, 0, 0 },
			    ext6 = { 6, UDP, EXT_OPTIONS, 9, 0, 0 };
	const struct packet icmp = { 4, ICMP, 0, 50, 0, 0 }, sctp = { 4, SCTP, 0, 50, 0, 0 };
	const struct packet frag = { 4, TCP, EXT_FRAGMENT, 64, 0, 0 };
	const struct packet frag6 = { 6, UDP, EXT_LATER, 64, 0, 0 };
	const struct packet ack = { 4, TCP, 0, 0, 0, 0 }, opts = { 4, TCP, EXT_OPTIONS, 9, 0, 0 };
	const uint32_t l2 = 0x1000, ip4 = 0x100, ip6 = 0x200, tcp = 0x10, udp = 0x20;
	const uint32_t all = l2 | ip4 | ip6 | tcp | udp;
	/* clang-format off */
	const struct {
		bool igb;
		uint32_t psrtype;
		const struct packet *p;
		uint32_t header; /* 0: not split */
	} cases[] = {
		{ 0, 0, &tcp4, 0 }, { 0, all, &tcp4, 54 }, { 0, all, &udp4, 42 }, { 0, all, &tcp6, 74 },
		{ 0, all, &ext6, 70 }, { 0, all, &icmp, 34 }, { 0, all, &sctp, 34 }, { 0, all, &frag, 34 },
		{ 0, all, &frag6, 54 }, { 0, all, &ack, 54 }, { 0, all, &opts, 58 },
		{ 0, ip4, &tcp4, 34 }, { 0, ip4, &tcp6, 0 }, { 0, l2, &tcp4, 14 }, { 0, l2, &tcp6, 14 },
		{ 0, tcp, &udp4, 0 }, { 0, udp | l2, &tcp4, 14 }, { 0, tcp | udp, &icmp, 0 },
		{ 0, tcp, &frag, 0 }, { 0, ip6, &ext6, 62 }, { 0, all, NULL, 14 }, { 0, tcp, NULL, 0 },
		{ 1, 0, &tcp4, 0 }, { 1, 1 << 2, &tcp4, 54 }, { 1, 1 << 2, &udp4, 0 },
		{ 1, 1 << 3, &udp4, 42 }, { 1, 1 << 1, &icmp, 34 }, { 1, 1 << 1, &sctp, 34 },
		{ 1, 1 << 1, &tcp4, 0 }, { 1, 1 << 1, &frag, 34 }, { 1, 1 << 2, &frag, 0 },
		{ 1, 1 << 7, &frag6, 54 }, { 1, 1 << 8, &tcp6, 74 }, { 1, 1 << 9, &ext6, 70 },
		{ 1, 1 << 9, &tcp6, 0 }, { 1, 0x7ffff, NULL, 0 },
	};
	/* clang-format on */
	bool igb = !g.dev->family->has_line_stats;

	for (unsigned int i = 0; i < 8 * ARRAY_SIZE(cases); i++) {
		bool always = i & 1, tiny = i & 2, tag = i & 4;
		uint32_t hdr_size = tiny ? 64 : 128, at, size, header, sph, in_header, left;
		uint64_t error = 0;
		struct frame f;

		at = i / 8;
		if (cases[at].igb != igb || (tag && igb))
			continue;
		size = 60;
		if (cases[at].p != NULL)
			size = make(data[0], cases[at].p);
		else
			store_be16(data[0] + 12, 0x88b5);
		f = guest_frame(data[0], size, GUEST_MAC, load_be16(data[0] + 12));
		restart((always ? SRRCTL_DESCTYPE_ALWAYS : SRRCTL_DESCTYPE_SPLIT) | hdr_size << 2 |
			2);
		if (tag) {
			set_policy(false, true, 1514);
			ask(4 | 1u << 16, 5, 0);
			guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, RXDCTL_ENABLE);
			f.vid = f.tci = 5;
			f.flags = FRAME_TAGGED;
			size += 4;
		}
		guest_write(&g, g.dev->family->psrtype, cases[at].psrtype);
		header = cases[at].header == 0 ? 0 : cases[at].header + (tag ? 4 : 0);
		sph = header != 0 && !(always && size <= hdr_size) ? RXD_SPH : 0;
		in_header = sph != 0 && header <= hdr_size ? header
			    : !always                      ? 0
			    : size < hdr_size              ? size
							   : hdr_size;
		if (sph != 0 && header > hdr_size)
			error = RXD_ERR_HBO;
		else if (sph == 0)
			header = in_header;
		*guest_rx_desc(&g, 0) = (struct guest_desc){ GUEST_BUFS, HDR(0) };
		memset(guest_va(&g, HDR(0)), 0xee, 256);
		assert_int_equal(push1(&f, 0), 1);
		left = size - in_header;
		if ((guest_rx_desc(&g, 0)->lo & 0xffff0000) !=
			    (sph | header << RXD_HDR_LEN_SHIFT) ||
		    status_of(0) != (RXD_STAT_DD | RXD_STAT_EOP | error) || size_of(0) != left)
			fail_msg("case %u.%u: %lx %lx", at, i % 8, guest_rx_desc(&g, 0)->lo,
				 guest_rx_desc(&g, 0)->hi);
		if (tag)
			continue;
		assert_memory_equal(guest_va(&g, HDR(0)), data[0], in_header);
		assert_int_equal(*(uint8_t *)guest_va(&g, HDR(0) + in_header), 0xee);
		assert_memory_equal(buf_of(0), data[0] + in_header, left);
	}
}

/* TCP headers of every length, also beyond the packet; with checksums in both pieces. */
static void split_and_verified(void **state)
{
	uint32_t all = make(data[0], &(struct packet){ 4, SCTP, 0, 0, 0, RIGHT });
	struct frame sctp = guest_frame(data[0], all, GUEST_MAC, ETH_TYPE_IPV4);

	verify(true);
	/* All of it in the header buffer, and nothing behind its last header. */
	restart(SRRCTL_DESCTYPE_ALWAYS | 256 << 2 | 1);
	*guest_rx_desc(&g, 0) = (struct guest_desc){ GUEST_BUFS, HDR(0) };
	assert_int_equal(push1(&sctp, 0), 1);
	assert_int_equal(status_of(0), 3 | IPCS | L4CS);
	for (uint32_t words = 0; words < 16; words++) {
		uint32_t size = make(data[0], &(struct packet){ 4, TCP, 0, 30, 0, RIGHT });
		struct frame f = guest_frame(data[0], size, GUEST_MAC, ETH_TYPE_IPV4);
		uint32_t header = 34 + words * 4;

		data[0][34 + 12] = (uint8_t)(words << 4);
		restart(SRRCTL_DESCTYPE_SPLIT | 256 << 2 | 1);
		guest_write(&g, VFPSRTYPE, PSRTYPE_TCP);
		*guest_rx_desc(&g, 0) = (struct guest_desc){ GUEST_BUFS, HDR(0) };
		if (header > size)
			header = 0;
		assert_int_equal(push1(&f, 0), 1);
		assert_int_equal(guest_rx_desc(&g, 0)->lo,
				 0x110 | header << RXD_HDR_LEN_SHIFT | (header ? RXD_SPH : 0));
		assert_int_equal(status_of(0), 3 | IPCS | L4CS | (words == 5 ? 0 : RXD_ERR_L4E));
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
#define BOTH(f)                                     \
	TEST(f),                                    \
	{                                           \
#f "_igb", f, start_igb, stop, NULL \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(headers_are_told), BOTH(headers_in_bursts), BOTH(legacy_errors),
		TEST(known_and_hashed), TEST(header_buffers),    TEST(header_buffers_and_offloads),
		TEST(checksums),        BOTH(headers_are_split), TEST(split_and_verified),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
