/* SPDX-License-Identifier: BSD-3-Clause */
#include <linux/virtio_net.h>
#include <string.h>

#include "base/bits.h"
#include "bench/offload.h"

#define ETH_SIZE    14
#define TAG_SIZE    4
#define IP4_SIZE    20
#define IP6_SIZE    40
#define UDP_SIZE    8
#define TCP_SIZE    32 /* with a time stamp, as nearly all TCP has it */
#define HEADERS_MAX (ETH_SIZE + TAG_SIZE + IP6_SIZE + TCP_SIZE)
#define IP_MOST     65535
#define TYPE_VLAN   0x8100
#define TYPE_IPV4   0x0800
#define TYPE_IPV6   0x86dd
#define PROTO_TCP   6
#define PROTO_UDP   17
#define PORT_TO     5000
#define PORT_FROM   1024
#define TCP_FIN     0x01
#define TCP_PSH     0x08
#define TCP_ACK     0x10
#define MAGIC       0x0ff10ad0u /* and the wish's place in its set */
#define POISON      0xee
#define STAMP_SIZE  ((uint32_t)sizeof(struct stamp))
#define N_WISHES    8 /* sets repeat what they have, so that it divides a ring */

const char *const offload_names[OFFLOAD_N] = {
	[OFFLOAD_NONE] = "none", [OFFLOAD_CSUM] = "csum", [OFFLOAD_TSO] = "tso",
	[OFFLOAD_VLAN] = "vlan", [OFFLOAD_MIX] = "mix",
};

#define V6   .v6 = true
#define TCP  .tcp = true
#define CSUM .csum = true
#define TSO  .tcp = true, .csum = true, .tso = true
static const struct wish sets[OFFLOAD_N][N_WISHES] = {
	[OFFLOAD_CSUM] = { { CSUM },
			   { CSUM, TCP },
			   { CSUM, V6 },
			   { CSUM, V6, TCP },
			   { CSUM },
			   { CSUM, TCP },
			   { CSUM, V6 },
			   { CSUM, V6, TCP } },
	[OFFLOAD_TSO] = { { TSO },
			  { TSO, V6 },
			  { TSO },
			  { TSO, V6 },
			  { TSO },
			  { TSO, V6 },
			  { TSO },
			  { TSO, V6 } },
	[OFFLOAD_VLAN] = { { .tag = TAG_INSERT },
			   { .tag = TAG_INSIDE },
			   { .tag = TAG_INSERT, CSUM },
			   { .tag = TAG_INSIDE, CSUM, V6, TCP },
			   { .tag = TAG_INSERT, V6 },
			   { .tag = TAG_INSIDE, TCP },
			   { .tag = TAG_INSERT, CSUM, V6, TCP },
			   { .tag = TAG_INSIDE, CSUM } },
	[OFFLOAD_MIX] = { { TSO },
			  { .tag = TAG_INSERT, CSUM },
			  { V6 },
			  { .tag = TAG_INSERT, TSO, V6 },
			  { CSUM, V6, TCP },
			  { .tag = TAG_INSIDE, TSO },
			  { TCP },
			  { .tag = TAG_INSERT, TSO } },
};

const struct wish *offload_wish(enum offload set, uint32_t idx)
{
	return &sets[set][idx % N_WISHES];
}

bool offload_has_tags(enum offload set)
{
	return set == OFFLOAD_VLAN || set == OFFLOAD_MIX;
}

/* ---- sums: RFC 1071, in memory order ---- */

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint64_t add_bytes(const uint8_t *bytes, uint32_t size, uint64_t sum)
{
	uint32_t i;
	uint16_t last = 0;

	for (i = 0; i + 4 <= size; i += 4) {
		uint32_t word;

		memcpy(&word, bytes + i, sizeof(word));
		sum += word;
	}
	if (i + 2 <= size) {
		uint16_t half;

		memcpy(&half, bytes + i, sizeof(half));
		sum += half;
		i += 2;
	}
	if (i < size)
		memcpy(&last, bytes + i, 1);
	return sum + last;
}

/* Of the pseudo-header: addresses, protocol, and the L4 length as the caller wants it. */
static uint64_t pseudo_sum(const uint8_t *ip, const struct wish *w, uint32_t l4_size)
{
	const uint8_t *addresses = ip + (w->v6 ? 8 : 12);
	uint8_t rest[8] = { 0 };

	rest[7] = w->tcp ? PROTO_TCP : PROTO_UDP;
	store_be32(rest, l4_size);
	return add_bytes(rest, sizeof(rest), add_bytes(addresses, w->v6 ? 32 : 8, 0));
}

/* ---- headers ---- */

/* Where headers begin, in a frame with or without tag. */
struct places {
	uint32_t l3, l4, payload, csum;
};

static struct places places_of(const struct wish *w, bool tagged)
{
	struct places at;

	at.l3 = ETH_SIZE + (tagged ? TAG_SIZE : 0);
	at.l4 = at.l3 + (w->v6 ? IP6_SIZE : IP4_SIZE);
	at.payload = at.l4 + (w->tcp ? TCP_SIZE : UDP_SIZE);
	at.csum = at.l4 + (w->tcp ? 16 : 6);
	return at;
}

static uint32_t payload_size(const struct offload_frame *o)
{
	uint32_t headers = places_of(o->wish, o->wish->tag != TAG_NONE).payload;
	uint32_t tag_size = o->wish->tag != TAG_NONE ? TAG_SIZE : 0;
	uint32_t most = o->wish->tso ? IP_MOST + ETH_SIZE + tag_size : FRAME_SIZE_MOST;
	uint32_t size = o->size < most ? o->size : most;

	return size < headers + STAMP_SIZE ? STAMP_SIZE : size - headers;
}

/* A part of a frame's payload that has headers of its own: a segment, or all of it. */
struct part {
	uint32_t offset, size;
	uint32_t idx; /* parts before it */
	bool last;
	bool tagged; /* the tag is in the bytes */
};

static void put_mac(uint8_t *mac, uint16_t port)
{
	store_be32(mac, 0x02000000);
	store_be16(mac + 4, (uint16_t)(port + 1));
}

static void put_ip(uint8_t *ip, const struct offload_frame *o, const struct part *part)
{
	uint32_t l4_size = (o->wish->tcp ? TCP_SIZE : UDP_SIZE) + part->size;
	uint8_t proto = o->wish->tcp ? PROTO_TCP : PROTO_UDP;
	uint16_t sum;

	if (o->wish->v6) {
		memset(ip, 0, IP6_SIZE);
		store_be32(ip, 0x60000000u | o->flow);
		store_be16(ip + 4, (uint16_t)l4_size);
		ip[6] = proto;
		ip[7] = 64;
		ip[8] = ip[24] = 0xfd;
		store_be16(ip + 22, (uint16_t)(o->from + 1));
		store_be16(ip + 38, (uint16_t)(o->to + 1));
		return;
	}
	memset(ip, 0, IP4_SIZE);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(IP4_SIZE + l4_size));
	/* Begins so that it runs over within the first frames, as TCP's number does. What comes whole has used
	 * up as many as it would have segments. */
	store_be16(ip + 4, (uint16_t)(0xfff0 + 3 * o->seq + part->offset / OFFLOAD_MSS));
	ip[8] = 64;
	ip[9] = proto;
	store_be32(ip + 12, 0x0a000000u + o->from + 1);
	store_be32(ip + 16, 0x0a000000u + o->to + 1);
	sum = (uint16_t)~fold(add_bytes(ip, IP4_SIZE, 0));
	memcpy(ip + 10, &sum, sizeof(sum));
}

static void put_l4(uint8_t *l4, const struct offload_frame *o, const struct part *part)
{
	static const uint8_t option[] = { 1, 1, 8, 10 }; /* RFC 7323: time stamps */
	uint8_t flags = TCP_ACK;

	memset(l4, 0, o->wish->tcp ? TCP_SIZE : UDP_SIZE);
	store_be16(l4, (uint16_t)(PORT_FROM + o->flow));
	store_be16(l4 + 2, PORT_TO);
	if (!o->wish->tcp) {
		store_be16(l4 + 4, (uint16_t)(UDP_SIZE + part->size));
		return;
	}
	if (part->last)
		flags |= TCP_PSH | (o->seq % 8 == 0 ? TCP_FIN : 0);
	store_be32(l4 + 4, (o->seq << 16) - 1000 + part->offset);
	store_be32(l4 + 8, 0x12345678);
	l4[12] = TCP_SIZE / 4 << 4;
	l4[13] = flags;
	store_be16(l4 + 14, 0x7fff);
	memcpy(l4 + 20, option, sizeof(option));
	store_be32(l4 + 24, o->seq);
}

/* All headers as the receiver is to see them, but 0 for the L4 checksum. */
static struct places put_headers(uint8_t *frame, const struct offload_frame *o,
				 const struct part *part)
{
	struct places at = places_of(o->wish, part->tagged);

	put_mac(frame, o->to);
	put_mac(frame + 6, o->from);
	if (part->tagged) {
		store_be16(frame + 12, TYPE_VLAN);
		store_be16(frame + 14, OFFLOAD_TCI);
	}
	store_be16(frame + at.l3 - 2, o->wish->v6 ? TYPE_IPV6 : TYPE_IPV4);
	put_ip(frame + at.l3, o, part);
	put_l4(frame + at.l4, o, part);
	return at;
}

/* ---- sending ---- */

static bool is_inserted(const struct wish *w, const struct port *p)
{
	return w->tag == TAG_INSERT && p->ops->inserts;
}

static bool tag_in_bytes(const struct wish *w, const struct port *p)
{
	return w->tag != TAG_NONE && !is_inserted(w, p);
}

uint32_t offload_request(const struct offload_frame *o, const struct port *p, struct tx_request *r)
{
	const struct wish *w = o->wish;
	struct places at = places_of(w, tag_in_bytes(w, p));

	*r = (struct tx_request){ .v6 = w->v6,
				  .tcp = w->tcp,
				  .csum = w->csum,
				  .insert = is_inserted(w, p),
				  .tci = OFFLOAD_TCI,
				  .l3 = (uint16_t)at.l3,
				  .l4 = (uint16_t)at.l4,
				  .payload = (uint16_t)at.payload,
				  .mss = w->tso ? OFFLOAD_MSS : 0 };
	return at.payload + payload_size(o);
}

uint32_t offload_buffers(enum offload set, uint32_t size)
{
	return set == OFFLOAD_TSO || set == OFFLOAD_MIX ? size / OFFLOAD_MSS + 1 : 1;
}

static void put_payload(uint8_t *payload, const struct stamp *s)
{
	uint64_t seed = pattern_seed(s);
	uint32_t at;

	memcpy(payload, s, STAMP_SIZE);
	for (at = STAMP_SIZE; at + 8 <= s->size; at += 8) {
		uint64_t word = pattern_word(seed, at);

		memcpy(payload + at, &word, sizeof(word));
	}
	for (; at < s->size; at++)
		payload[at] = (uint8_t)pattern_word(seed, at);
}

/* What the driver leaves to the device: 82599 datasheet 331520, 7.2.4.6 and 7.2.5; virtio 1.2, 5.1.6.2. */
static void put_sums(uint8_t *frame, const struct offload_frame *o, const struct places *at,
		     bool inserts)
{
	const struct wish *w = o->wish;
	uint8_t *ip = frame + at->l3;
	uint32_t size = at->payload - at->l4 + payload_size(o);
	uint16_t sum;

	if (w->csum) {
		sum = fold(pseudo_sum(ip, w, w->tso && inserts ? 0 : size));
	} else {
		sum = (uint16_t)~fold(add_bytes(frame + at->l4, size, pseudo_sum(ip, w, size)));
		if (sum == 0 && !w->tcp)
			sum = 0xffff; /* RFC 768 */
	}
	memcpy(frame + at->csum, &sum, sizeof(sum));
	if (inserts && w->tso)
		store_be16(ip + (w->v6 ? 4 : 2), 0);
	if (inserts && w->csum && !w->v6)
		store_be16(ip + 10, 0);
}

void offload_build(uint8_t *frame, const struct offload_frame *o, const struct port *p)
{
	struct stamp stamp = { .magic = MAGIC + (uint32_t)((o->wish - sets[0]) % N_WISHES),
			       .seq = o->seq,
			       .from = o->from,
			       .to = o->to,
			       .flow = o->flow,
			       .size = (uint16_t)payload_size(o) };
	struct part all = { .size = stamp.size, .last = true, .tagged = tag_in_bytes(o->wish, p) };
	struct places at = put_headers(frame, o, &all);

	put_payload(frame + at.payload, &stamp);
	put_sums(frame, o, &at, p->ops->inserts);
}

/* ---- receiving ---- */

struct received {
	const uint8_t *bytes;
	uint32_t size;
	const struct rx_note *note;
	enum guest_takes takes;
	enum offload set;
	uint16_t self;
	struct places at;
	bool tagged;
	uint16_t from, flow;
};

/* Finds out what kind of frame it is and whose. False: none of ours. */
static bool dissect(struct received *r)
{
	struct wish w = { 0 };
	uint16_t type = load_be16(r->bytes + 12);
	const uint8_t *ip;

	r->tagged = type == TYPE_VLAN;
	ip = r->bytes + ETH_SIZE + (r->tagged ? TAG_SIZE : 0);
	type = load_be16(ip - 2);
	w.v6 = type == TYPE_IPV6;
	w.tcp = ip[w.v6 ? 6 : 9] == PROTO_TCP;
	r->at = places_of(&w, r->tagged);
	if ((!w.v6 && type != TYPE_IPV4) || r->size <= r->at.payload)
		return false;
	r->from = (uint16_t)(load_be16(r->bytes + 10) - 1);
	r->flow = (uint16_t)(load_be16(r->bytes + r->at.l4) - PORT_FROM);
	return r->flow < FLOWS_MAX;
}

static bool tag_is_right(const struct received *r, const struct wish *w)
{
	bool wanted = w->tag != TAG_NONE;

	if (r->note->is_virtio)
		return r->tagged == wanted;
	return !r->tagged && r->note->stripped == wanted &&
	       (!wanted || r->note->tci == OFFLOAD_TCI);
}

/* Finished, or left to us with the right request. */
static bool sum_is_right(const struct received *r, const struct wish *w)
{
	const uint8_t *ip = r->bytes + r->at.l3;
	const uint8_t allowed = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	uint32_t size = r->size - r->at.l4;
	uint64_t pseudo = pseudo_sum(ip, w, size);
	uint16_t field;

	memcpy(&field, r->bytes + r->at.csum, sizeof(field));
	if (r->note->flags != 0 && (r->takes < GUEST_CSUM || (r->note->flags & ~allowed) != 0))
		return false;
	if ((r->note->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0)
		return r->note->flags == VIRTIO_NET_HDR_F_NEEDS_CSUM &&
		       r->note->csum_start == r->at.l4 &&
		       r->note->csum_offset == r->at.csum - r->at.l4 &&
		       field % 0xffff == fold(pseudo) % 0xffff;
	return (field != 0 || w->tcp) &&
	       fold(add_bytes(r->bytes + r->at.l4, size, pseudo)) == 0xffff;
}

/* `n` is what the frame has in all. */
static bool part_is_right(const struct received *r, const struct wish *w, const struct part *part,
			  uint32_t n)
{
	const struct rx_note *note = r->note;
	uint8_t type = w->v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4;

	if (!w->tso)
		return part->size == n && note->gso_type == VIRTIO_NET_HDR_GSO_NONE;
	if (!part->last && part->size % OFFLOAD_MSS != 0)
		return false;
	/* Who takes it whole does not get it in more than two. */
	if (r->takes == GUEST_WHOLE && (part->idx > 1 || (part->idx == 0 && part->size < n &&
							  n + HEADERS_MAX < IP_MOST - OFFLOAD_MSS)))
		return false;
	if (note->gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return part->size <= OFFLOAD_MSS;
	return r->takes == GUEST_WHOLE && part->size > OFFLOAD_MSS && note->gso_type == type &&
	       note->gso_size == OFFLOAD_MSS && note->hdr_len == r->at.payload &&
	       (note->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) != 0;
}

/* The payload's byte `at`: of a whole word, or behind the last one. */
static uint8_t byte_of(uint64_t seed, uint32_t at, uint32_t size)
{
	uint32_t word = at & ~7u;
	uint64_t value = pattern_word(seed, word);
	uint8_t bytes[8];

	if (word + 8 > size)
		return (uint8_t)pattern_word(seed, at);
	memcpy(bytes, &value, sizeof(bytes));
	return bytes[at % 8];
}

static bool payload_is_right(const uint8_t *payload, const struct stamp *s, uint32_t from,
			     uint32_t size)
{
	uint64_t seed = pattern_seed(s), wrong = 0;
	uint32_t end = from + size, at = from;

	for (; at < STAMP_SIZE && at < end; at++)
		wrong |= payload[at - from] ^ ((const uint8_t *)s)[at];
	for (; at % 8 != 0 && at < end; at++)
		wrong |= payload[at - from] ^ byte_of(seed, at, s->size);
	for (; at + 8 <= end; at += 8) {
		uint64_t word;

		memcpy(&word, payload + at - from, sizeof(word));
		wrong |= word ^ pattern_word(seed, at);
	}
	for (; at < end; at++)
		wrong |= payload[at - from] ^ byte_of(seed, at, s->size);
	return wrong == 0;
}

/* The next part of the frame that has begun. */
static bool is_next(const struct received *r, const struct offload_flow *flow, struct part *part)
{
	const struct stamp *s = &flow->stamp;
	struct offload_frame o = { .wish = offload_wish(r->set, s->magic - MAGIC),
				   .from = s->from,
				   .to = s->to,
				   .flow = s->flow,
				   .seq = s->seq };
	uint8_t headers[HEADERS_MAX];
	struct places at = places_of(o.wish, r->tagged);

	*part = (struct part){ .offset = flow->at,
			       .size = r->size - r->at.payload,
			       .idx = flow->n_pieces,
			       .tagged = r->tagged };
	part->last = part->offset + part->size == s->size;
	if (memcmp(&at, &r->at, sizeof(at)) != 0 || part->size > s->size - part->offset)
		return false;
	put_headers(headers, &o, part);
	memcpy(headers + at.csum, r->bytes + at.csum, 2);
	return memcmp(headers, r->bytes, at.payload) == 0 && tag_is_right(r, o.wish) &&
	       part_is_right(r, o.wish, part, s->size) && sum_is_right(r, o.wish) &&
	       payload_is_right(r->bytes + at.payload, s, part->offset, part->size);
}

/* Takes a frame up from its first part. False: it is no such. */
static bool begin(const struct received *r, struct offload_flow *flow)
{
	struct stamp *s = &flow->stamp;

	flow->at = 0;
	flow->n_pieces = 0;
	if (r->size < r->at.payload + STAMP_SIZE)
		return false;
	memcpy(s, r->bytes + r->at.payload, STAMP_SIZE);
	return s->magic - MAGIC < N_WISHES && s->from == r->from && s->to == r->self &&
	       s->flow == r->flow && s->size >= STAMP_SIZE;
}

/* Returns how many frames ended. */
static uint32_t take_part(const struct received *r, struct offload_flow *flow, struct verdict *v)
{
	struct part part;
	uint32_t ended = 0;

	if (flow->at != 0 && !is_next(r, flow, &part)) {
		/* The rest of the one before will not come. */
		v->lost++;
		flow->next++;
		ended = 1;
		flow->at = 0;
	}
	if (flow->at == 0) {
		if (!begin(r, flow) || !is_next(r, flow, &part)) {
			v->damaged++;
			return ended + 1;
		}
		if ((int32_t)(flow->stamp.seq - flow->next) < 0) {
			v->reordered++;
			return ended + 1;
		}
		v->lost += flow->stamp.seq - flow->next;
		flow->next = flow->stamp.seq;
	}
	flow->at += part.size;
	flow->n_pieces++;
	if (!part.last)
		return ended;
	flow->at = 0;
	flow->next++;
	v->good++;
	return ended + 1;
}

static uint32_t verify(const struct offload_rx *rx, const struct port *p)
{
	struct verdict *v = rx->verdict;
	struct received r = { .bytes = rx->frame,
			      .size = rx->size,
			      .note = &rx->note,
			      .takes = rx->note.is_virtio ? p->setup.takes : GUEST_FINISHED,
			      .set = rx->set,
			      .self = rx->self };

	if (rx->size >= FRAME_SIZE_LEAST && frame_is_hello(rx->frame)) {
		v->foreign++;
		return 0;
	}
	if (rx->note.bad || rx->size < FRAME_SIZE_LEAST || !dissect(&r) || r.from >= PORT_NUMBERS ||
	    rx->flows[r.from] == NULL) {
		v->damaged++;
		return 1;
	}
	return take_part(&r, &rx->flows[r.from]->flow[r.flow], v);
}

uint32_t offload_take(struct offload_rx *rx, struct port *p, uint32_t i,
		      const struct port_frame *frame)
{
	bool bad = rx->size != 0 && rx->note.bad;
	struct rx_note note;
	uint32_t ended;

	p->ops->rx_note(p, i, frame, &note);
	/* A VF's descriptors tell with the last buffer, virtio's header with the first. */
	if (rx->size == 0 || !note.is_virtio)
		rx->note = note;
	if (note.size > SLOT_SIZE || note.size > sizeof(rx->frame) - rx->size) {
		bad = true;
	} else {
		memcpy(rx->frame + rx->size, note.va, note.size);
		memset(note.va, POISON, note.size);
		rx->size += note.size;
	}
	rx->note.bad = bad || note.bad;
	if (!note.ends)
		return 0;
	ended = verify(rx, p);
	rx->size = 0;
	return ended;
}
