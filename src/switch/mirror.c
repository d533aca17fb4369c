/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <sys/queue.h>

#include "frame/copy.h"
#include "frame/csum.h"
#include "switch/mirror.h"

#define ETH_TYPE_TEB    0x6558 /* RFC 7637, 3.2: GRE's protocol for Ethernet frames */
#define ETH_TYPE_ERSPAN 0x88be
#define IP_PROTO_GRE    47
#define IP_TTL          64
#define GRE_SEQUENCE    0x1000 /* RFC 2890, 2: there is a sequence number */
#define ERSPAN_TYPE_II  1

#define IP_AT     FRAME_SIZE_MIN
#define IP4_SIZE  20
#define IP6_SIZE  40
#define OUTER_MAX (IP_AT + IP6_SIZE + 8 + 8) /* GRE with sequence number, ERSPAN */

/* What a worker has seen in its burst. */
struct mirror_batch {
	struct mirror *mirror;
	struct mirror_batch *next; /* of the forwarder's */
	bool linked;               /* in the forwarder's list */
	unsigned int n, flags;
	struct frame frame[MIRROR_BATCH];
	uint8_t (*bytes)[OUTER_MAX + MIRROR_SIZE_MAX]; /* [MIRROR_BATCH], where frames are copied */
	struct mirror_stats stats;
} __attribute__((aligned(CACHE_LINE)));

struct mirror_port {
	struct tap tap;
	LIST_ENTRY(mirror_port) next;
	struct mirror *mirror;
};

struct mirror {
	struct mirror_config config;
	LIST_HEAD(, mirror_port) ports;
	_Atomic uint32_t sequence;
	/* What config says of them at first. */
	_Atomic uint64_t source_mac;
	_Atomic uint32_t size_max;
	struct mirror_batch batch[STATS_SLOTS];
};

static bool wants(struct tap *tap, const struct tap_sight *sight)
{
	const struct mirror_config *c = &container_of(tap, struct mirror_port, tap)->mirror->config;

	if (!(sight->way == TAP_OUT ? c->from : c->to))
		return false;
	if (c->drops == (sight->drop == DROP_NONE ? MIRROR_DROPS_ONLY : MIRROR_DROPS_NO))
		return false;
	/* What was no frame cannot be sent as one. */
	return !tap_is_raw(sight->frame) &&
	       (c->filter == NULL || c->filter->sees(c->filter, sight));
}

/* The frame's bytes, with its tag if it had one, up to `most`. Returns how many. */
static uint32_t flatten(const struct tap_sight *sight, uint8_t *bytes, uint32_t most)
{
	const struct frame *f = sight->frame;
	uint32_t size = tap_size(sight);
	const struct seg_out out = { bytes, most };

	if (size <= most && (f->flags & FRAME_TSO) == 0) {
		frame_copy(f, &out, 1, COPY_CSUM | (sight->tagged ? COPY_TAG : 0));
		return size;
	}
	/* A part of it: checksums stay as the sender left them. */
	size = size < most ? size : most;
	tap_read(sight, bytes, size);
	return size;
}

/* Bytes before a frame to the collector. */
static uint32_t outer_size(const struct mirror_config *c)
{
	return IP_AT + (c->v6 ? IP6_SIZE : IP4_SIZE) +
	       (c->tunnel == MIRROR_ERSPAN ? 8 + 8 : 4); /* GRE, ERSPAN */
}

static void put_ipv4(const struct mirror_config *c, uint8_t ip[IP4_SIZE], uint32_t payload)
{
	uint16_t sum;

	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(IP4_SIZE + payload));
	store_be16(ip + 6,
		   0x4000); /* do not fragment: then the identification may be 0 (RFC 6864, 4.1) */
	ip[8] = IP_TTL;
	ip[9] = IP_PROTO_GRE;
	memcpy(ip + 12, c->source_ip, 4);
	memcpy(ip + 16, c->collector_ip, 4);
	sum = (uint16_t)~csum_fold(csum_add(ip, IP4_SIZE, 0));
	memcpy(ip + 10, &sum, sizeof(sum));
}

/* RFC 7676, 3: GRE is the payload. */
static void put_ipv6(const struct mirror_config *c, uint8_t ip[IP6_SIZE], uint32_t payload)
{
	ip[0] = 0x60;
	store_be16(ip + 4, (uint16_t)payload);
	ip[6] = IP_PROTO_GRE;
	ip[7] = IP_TTL;
	memcpy(ip + 8, c->source_ip, 16);
	memcpy(ip + 24, c->collector_ip, 16);
}

/* Ethernet, IP, GRE and what belongs to it, `outer` bytes before `size` bytes. */
static void put_outer(struct mirror *mirror, const struct frame *f, bool tagged, uint8_t *bytes,
		      uint32_t outer, uint32_t size)
{
	const struct mirror_config *c = &mirror->config;
	bool erspan = c->tunnel == MIRROR_ERSPAN;
	uint32_t ip_size = c->v6 ? IP6_SIZE : IP4_SIZE;
	uint8_t *gre = bytes + IP_AT + ip_size;

	memset(bytes, 0, outer);
	memcpy(bytes, c->next_hop, 6);
	mac_store(bytes + 6, atomic_load_explicit(&mirror->source_mac, memory_order_relaxed));
	store_be16(bytes + ETH_ADDRS_SIZE, c->v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	(c->v6 ? put_ipv6 : put_ipv4)(c, bytes + IP_AT, outer - IP_AT - ip_size + size);
	store_be16(gre, erspan ? GRE_SEQUENCE : 0);
	store_be16(gre + 2, erspan ? ETH_TYPE_ERSPAN : ETH_TYPE_TEB);
	if (!erspan)
		return;
	store_be32(gre + 4, atomic_fetch_add_explicit(&mirror->sequence, 1, memory_order_relaxed));
	/* Version and VLAN; priority, how the tag came (11: it is in the frame), session. */
	store_be16(gre + 8, (uint16_t)(ERSPAN_TYPE_II << 12 | (f->tci & 0xfff)));
	store_be16(gre + 10, (uint16_t)((f->tci & 0xe000) | (tagged ? 3u : 0u) << 11 | c->session));
}

/* A frame of its own bytes in place of the sighted one. */
static void put_copy(struct mirror *mirror, const struct tap_sight *sight, struct frame *f,
		     uint8_t *bytes)
{
	const struct mirror_config *c = &mirror->config;
	uint32_t most = c->snaplen != 0 && c->snaplen < MIRROR_SIZE_MAX ? c->snaplen
									: MIRROR_SIZE_MAX;
	uint32_t size_max = atomic_load_explicit(&mirror->size_max, memory_order_relaxed);
	uint32_t outer = outer_size(c), size;

	if (c->tunnel == MIRROR_PLAIN) {
		/* The tag goes beside it again. */
		struct tap_sight untagged = *sight;

		untagged.tagged = false;
		size = flatten(&untagged, bytes, most < FRAME_SIZE_MIN ? FRAME_SIZE_MIN : most);
		f->va = bytes;
		f->seg_size = f->size = size;
		f->n_segs = 1;
		f->body = ETH_ADDRS_SIZE;
		f->flags &= FRAME_TAGGED;
		return;
	}
	if (most > size_max - outer)
		most = size_max - outer;
	size = flatten(sight, bytes + outer, most);
	put_outer(mirror, sight->frame, sight->tagged, bytes, outer, size);
	*f = (struct frame){
		.va = bytes, .seg_size = outer + size, .size = outer + size, .n_segs = 1
	};
	frame_parse(f);
}

static void push(struct forwarder *fw, struct mirror_batch *batch)
{
	const struct mirror_config *c = &batch->mirror->config;
	const struct frame *frame[MIRROR_BATCH];

	for (unsigned int i = 0; i < batch->n; i++)
		frame[i] = &batch->frame[i];
	switch_push_mirrored(fw, c->to_port, frame, batch->n, batch->flags);
	batch->n = batch->flags = 0;
}

/* A large send that its destination may have to cut takes what a flooded one takes. */
static bool mirror_affords(struct forwarder *fw, const struct frame *f)
{
	unsigned int n_pieces;

	if ((f->flags & FRAME_TSO) == 0)
		return true;
	n_pieces = f->size / f->mss + 1;
	if (n_pieces > fw->flood_left)
		return false;
	fw->flood_left -= n_pieces;
	return true;
}

/* The VLAN that it leaves in; 0: without a tag. By an uplink it is the frame's own, tagged as others that leave there. */
static uint16_t leaves_in(const struct mirror_config *c, const struct tap_sight *sight)
{
	const struct switch_snapshot *s = sight->fw->snapshot;
	const struct frame *f = sight->frame;

	if (c->vlan != 0)
		return c->vlan;
	if (c->tunnel != MIRROR_PLAIN)
		return 0;
	if (c->to_port < s->n_ports && s->port[c->to_port].uplink)
		return sight->vid != s->port[c->to_port].pvid || f->ethertype == ETH_TYPE_VLAN
			       ? sight->vid
			       : 0;
	return sight->tagged ? f->tci & 0xfff : 0;
}

static void show(struct tap *tap, const struct tap_sight *sight)
{
	struct mirror *mirror = container_of(tap, struct mirror_port, tap)->mirror;
	const struct mirror_config *c = &mirror->config;
	struct mirror_batch *batch = &mirror->batch[worker_self];
	struct frame *f = &batch->frame[batch->n];

	if (!mirror_affords(sight->fw, sight->frame))
		return;
	if (!batch->linked) {
		batch->linked = true;
		batch->next = sight->fw->mirrors;
		sight->fw->mirrors = batch;
	}
	*f = *sight->frame;
	if (batch->bytes != NULL)
		put_copy(mirror, sight, f, batch->bytes[batch->n]);
	f->vid = leaves_in(c, sight);
	if (f->vid != 0)
		f->tci = (uint16_t)((f->tci & 0xf000) | f->vid);
	f->flags |= FRAME_MIRRORED;
	batch->flags |= f->flags;
	batch->stats.frames++;
	batch->stats.bytes += f->size;
	if (++batch->n == MIRROR_BATCH)
		push(sight->fw, batch);
}

void mirrors_flush(struct forwarder *fw)
{
	while (fw->mirrors != NULL) {
		struct mirror_batch *batch = fw->mirrors;

		fw->mirrors = batch->next;
		batch->linked = false;
		if (batch->n > 0)
			push(fw, batch);
	}
}

static void gone(struct tap *tap)
{
	struct mirror_port *port = container_of(tap, struct mirror_port, tap);

	LIST_REMOVE(port, next);
	free(port);
}

struct mirror *mirror_new(const struct mirror_config *config)
{
	bool copies = config->tunnel != MIRROR_PLAIN || config->snaplen != 0;
	struct mirror *mirror = aligned_alloc(CACHE_LINE, sizeof(*mirror));

	if (mirror == NULL)
		return NULL;
	memset(mirror, 0, sizeof(*mirror));
	mirror->config = *config;
	mirror_move(mirror, mac_load(config->source_mac), config->size_max);
	for (unsigned int i = 0; i < STATS_SLOTS; i++) {
		struct mirror_batch *batch = &mirror->batch[i];

		batch->mirror = mirror;
		/* Pages that no worker touches take no memory. */
		if (copies)
			batch->bytes = calloc(MIRROR_BATCH, sizeof(*batch->bytes));
		if (copies && batch->bytes == NULL) {
			mirror_free(mirror);
			return NULL;
		}
	}
	return mirror;
}

void mirror_free(struct mirror *mirror)
{
	if (mirror == NULL)
		return;
	for (unsigned int i = 0; i < STATS_SLOTS; i++)
		free(mirror->batch[i].bytes);
	while (!LIST_EMPTY(&mirror->ports))
		gone(&LIST_FIRST(&mirror->ports)->tap);
	free(mirror);
}

struct tap *mirror_tap(struct mirror *mirror)
{
	struct mirror_port *port = calloc(1, sizeof(*port));

	if (port == NULL)
		return NULL;
	port->tap.wants = wants;
	port->tap.show = show;
	port->tap.gone = gone;
	port->tap.filter = mirror->config.filter;
	port->tap.ways = (uint8_t)((mirror->config.from ? TAP_BIT(TAP_OUT) : 0) |
				   (mirror->config.to ? TAP_BIT(TAP_IN) : 0));
	port->mirror = mirror;
	LIST_INSERT_HEAD(&mirror->ports, port, next);
	return &port->tap;
}

void mirror_move(struct mirror *mirror, uint64_t source_mac, uint32_t size_max)
{
	atomic_store_explicit(&mirror->source_mac, source_mac, memory_order_relaxed);
	atomic_store_explicit(&mirror->size_max, size_max, memory_order_relaxed);
}

bool mirror_owns(const struct mirror *mirror, const struct tap *tap)
{
	return tap->show == show && container_of(tap, struct mirror_port, tap)->mirror == mirror;
}

void mirror_stats(const struct mirror *mirror, struct mirror_stats *sum)
{
	*sum = (struct mirror_stats){ 0 };
	for (unsigned int i = 0; i < STATS_SLOTS; i++) {
		sum->frames += mirror->batch[i].stats.frames;
		sum->bytes += mirror->batch[i].stats.bytes;
	}
}
