/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdatomic.h>

#include "base/cpu.h"
#include "frame/rss.h"

#define IP_PROTO_HOPOPTS  0
#define IP_PROTO_TCP      6
#define IP_PROTO_UDP      17
#define IP_PROTO_ROUTING  43
#define IP_PROTO_FRAGMENT 44
#define IP_PROTO_AH       51
#define IP_PROTO_DSTOPTS  60
#define IP_PROTO_SCTP     132

#define IP4_FRAGMENT    0x3fff /* more fragments, or an offset */
#define OPT_PAD1        0
#define OPT_HOME        201
#define ROUTING_HOME    2
#define EXT_HEADERS_MAX 8
#define HEADERS_SIZE    256 /* what of a packet is looked at, from L3 on */

/* What is hashed, host order: addresses, then ports. */
struct flow {
	uint32_t word[RSS_WORDS];
	uint32_t ex[8];  /* packets with extension headers: the addresses for the _EX types */
	unsigned int n;  /* words of the addresses: 0, 2 or 8 */
	uint8_t packet;  /* enum rss_packet */
	uint16_t l4_off; /* from L3 on */
};

static uint64_t reverse64(uint64_t v)
{
	v = __builtin_bswap64(v);
	v = (v >> 4 & 0x0f0f0f0f0f0f0f0full) | (v & 0x0f0f0f0f0f0f0f0full) << 4;
	v = (v >> 2 & 0x3333333333333333ull) | (v & 0x3333333333333333ull) << 2;
	return (v >> 1 & 0x5555555555555555ull) | (v & 0x5555555555555555ull) << 1;
}

void rss_key_set(struct rss_key *key, const uint8_t bytes[RSS_KEY_SIZE])
{
	for (unsigned int i = 0; i < RSS_WORDS; i++) {
		key->window[i] = (uint64_t)load_be32(bytes + 4 * (size_t)i) << 32 |
				 load_be32(bytes + 4 * (size_t)i + 4);
		key->mirror[i] = reverse64(key->window[i]);
	}
}

/* ---- what is hashed ---- */

static uint8_t l4_packet(uint8_t proto)
{
	return proto == IP_PROTO_TCP    ? PACKET_TCP
	       : proto == IP_PROTO_UDP  ? PACKET_UDP
	       : proto == IP_PROTO_SCTP ? PACKET_SCTP
					: 0;
}

static void take_words(uint32_t *word, const uint8_t *from, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		word[i] = load_be32(from + 4 * (size_t)i);
}

static void take_l4(struct flow *flow, const uint8_t *l3, uint32_t at, uint32_t size, uint8_t proto)
{
	uint8_t packet = l4_packet(proto);

	if (packet == 0 || at + 4 > size)
		return;
	flow->packet |= packet;
	flow->l4_off = (uint16_t)at;
	flow->word[flow->n] = load_be32(l3 + at);
}

/* Whether the `size` bytes are destination options with a home address, at *home then. */
static bool find_home(const uint8_t *ext, uint32_t size, const uint8_t **home)
{
	for (uint32_t at = 2; at + 2 <= size;) {
		if (ext[at] == OPT_PAD1) {
			at++;
			continue;
		}
		if (ext[at] == OPT_HOME && ext[at + 1] == 16 && at + 18 <= size) {
			*home = ext + at + 2;
			return true;
		}
		at += 2u + ext[at + 1];
	}
	return false;
}

/* The extension headers of the packet whose first `size` bytes are at l3. */
static void take_ip6_ext(struct flow *flow, const uint8_t *l3, uint32_t size)
{
	const uint8_t *home;
	uint8_t proto = l3[6];
	uint32_t at = 40;

	for (unsigned int i = 0; i < EXT_HEADERS_MAX; i++) {
		const uint8_t *ext = l3 + at;
		uint32_t len;

		if (proto != IP_PROTO_HOPOPTS && proto != IP_PROTO_ROUTING &&
		    proto != IP_PROTO_AH && proto != IP_PROTO_DSTOPTS &&
		    proto != IP_PROTO_FRAGMENT) {
			take_l4(flow, l3, at, size, proto);
			return;
		}
		if (i == 0) {
			flow->packet |= PACKET_IPV6_EXT;
			memcpy(flow->ex, flow->word, sizeof(flow->ex));
		}
		if (proto == IP_PROTO_FRAGMENT || at + 8 > size)
			return;
		/* RFC 8200, 4: in units of 8 bytes after the first; RFC 4302, 2.2: of 4 after two. */
		len = proto == IP_PROTO_AH ? (ext[1] + 2u) * 4 : (ext[1] + 1u) * 8;
		if (at + len > size)
			return;
		if (proto == IP_PROTO_ROUTING && ext[2] == ROUTING_HOME && len == 24)
			take_words(flow->ex + 4, ext + 8, 4);
		if (proto == IP_PROTO_DSTOPTS && find_home(ext, len, &home))
			take_words(flow->ex, home, 4);
		proto = ext[0];
		at += len;
	}
}

/* Any frame: options, extension headers, headers in pieces. */
static void take_slow(struct flow *flow, const struct frame *f)
{
	uint8_t l3[HEADERS_SIZE];
	uint32_t size = f->size - FRAME_SIZE_MIN, ihl;

	if (f->ethertype != ETH_TYPE_IPV4 && f->ethertype != ETH_TYPE_IPV6)
		return;
	if (size > sizeof(l3))
		size = sizeof(l3);
	frame_read(f, f->body + 2u, l3, size);
	if (f->ethertype == ETH_TYPE_IPV4) {
		ihl = (l3[0] & 0xfu) * 4;
		if (size < 20 || l3[0] >> 4 != 4 || ihl < 20 || ihl > size)
			return;
		flow->packet = ihl > 20 ? PACKET_IPV4 | PACKET_IPV4_OPTIONS : PACKET_IPV4;
		flow->n = 2;
		take_words(flow->word, l3 + 12, 2);
		if ((load_be16(l3 + 6) & IP4_FRAGMENT) == 0)
			take_l4(flow, l3, ihl, size, l3[9]);
	} else {
		if (size < 40 || l3[0] >> 4 != 6)
			return;
		flow->packet = PACKET_IPV6;
		flow->n = 8;
		take_words(flow->word, l3 + 8, 8);
		take_ip6_ext(flow, l3, size);
	}
}

/* The common cases: IPv4 without options and IPv6 without extension headers, with TCP or UDP, in the
 * first piece. */
static inline __attribute__((always_inline)) void take(struct flow *flow, const struct frame *f)
{
	const uint8_t *from = f->va + f->body + 2;
	uint32_t size = f->seg_size - (f->body + 2u);
	uint64_t h0, h1, h2;

	flow->n = 0;
	flow->packet = 0;
	flow->l4_off = 0;
	/* frame_parse has seen that addresses and type are in the frame, not in which pieces. */
	if (unlikely(f->seg_size < FRAME_SIZE_MIN + 4 + 24))
		goto slow;
	if (likely(f->ethertype == ETH_TYPE_IPV4)) {
		memcpy(&h0, from, sizeof(h0));
		memcpy(&h1, from + 8, sizeof(h1));
		memcpy(&h2, from + 16, sizeof(h2));
		h0 = be64toh(h0);
		h1 = be64toh(h1);
		h2 = be64toh(h2);
		if (unlikely(h0 >> 56 != 0x45 || (h0 & IP4_FRAGMENT) != 0))
			goto slow;
		flow->word[0] = (uint32_t)h1;
		flow->word[1] = (uint32_t)(h2 >> 32);
		flow->word[2] = (uint32_t)h2;
		flow->n = 2;
		flow->l4_off = 20;
		flow->packet = (uint8_t)(PACKET_IPV4 | l4_packet((uint8_t)(h1 >> 48)));
		return;
	}
	if (f->ethertype == ETH_TYPE_IPV6 && size >= 44 && from[0] >> 4 == 6) {
		uint8_t proto = __atomic_load_n(from + 6, __ATOMIC_RELAXED);

		if (unlikely(proto != IP_PROTO_TCP && proto != IP_PROTO_UDP))
			goto slow;
		take_words(flow->word, from + 8, RSS_WORDS);
		flow->n = 8;
		flow->l4_off = 40;
		flow->packet = (uint8_t)(PACKET_IPV6 | l4_packet(proto));
		return;
	}
slow:
	take_slow(flow, f);
}

/* ---- hashing ---- */

/* Chooses the type and the words for it. Returns how many. */
static inline __attribute__((always_inline)) unsigned int
choose(const struct flow *flow, uint32_t types, enum rss_type *type, const uint32_t **ex)
{
	/* The first type of the row; the ones for TCP and UDP follow it. */
	unsigned int l4 = (flow->packet & PACKET_TCP) != 0   ? 1
			  : (flow->packet & PACKET_UDP) != 0 ? 2
							     : 0;
	unsigned int row = flow->n == 2 ? RSS_IPV4 : RSS_IPV6;

	*ex = NULL;
	if (unlikely((flow->packet & PACKET_IPV6_EXT) != 0) &&
	    ((l4 != 0 && (types & RSS_BIT(RSS_IPV6_EX + l4)) != 0) ||
	     (types & RSS_BIT(RSS_IPV6_EX)) != 0)) {
		row = RSS_IPV6_EX;
		*ex = flow->ex;
	}
	if (l4 != 0 && (types & RSS_BIT(row + l4)) != 0) {
		*type = (enum rss_type)(row + l4);
		return flow->n + 1;
	}
	if (flow->n != 0 && (types & RSS_BIT(row)) != 0) {
		*type = (enum rss_type)row;
		return flow->n;
	}
	*type = RSS_NONE;
	return 0;
}

/* For each bit of the input that is set, the 32 bits of the key from its place on. */
static inline uint32_t hash_portable(const struct rss_key *key, const uint32_t *word,
				     unsigned int n)
{
	uint32_t hash = 0;

	for (unsigned int i = 0; i < n; i++) {
		for (uint32_t bits = word[i]; bits != 0; bits &= bits - 1)
			hash ^= (uint32_t)(key->window[i] >> (1 + __builtin_ctz(bits)));
	}
	return hash;
}

typedef uint32_t hash_fn(const struct rss_key *key, const uint32_t *word, unsigned int n);

static inline __attribute__((always_inline)) void
burst_with(hash_fn *hash, const struct rss_key *key, uint32_t types,
	   const struct frame *const frame[], unsigned int n, struct rss_result *result)
{
	struct flow flow = { .n = 0 };

	for (unsigned int i = 0; i < n; i++) {
		const uint32_t *ex;
		enum rss_type type;
		unsigned int n_words;

		take(&flow, frame[i]);
		n_words = choose(&flow, types, &type, &ex);
		if (unlikely(ex != NULL))
			memcpy(flow.word, ex, sizeof(flow.ex));
		result[i].hash = hash(key, flow.word, n_words);
		result[i].type = (uint8_t)type;
		result[i].packet = flow.packet;
		result[i].l4_off = (flow.packet & (PACKET_TCP | PACKET_UDP | PACKET_SCTP)) != 0
					   ? (uint16_t)(flow.l4_off + FRAME_SIZE_MIN)
					   : 0;
	}
}

void rss_burst_portable(const struct rss_key *key, uint32_t types,
			const struct frame *const frame[], unsigned int n,
			struct rss_result *result)
{
	burst_with(hash_portable, key, types, frame, n, result);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The sum above is a product without carries. With window W[63..0] and input I[31..0], bit t of the
 * hash is the sum of I[j] and W[t + 1 + j] over j; with the window's mirror image M[k] = W[63 - k]
 * that is bit 62 - t of M times I. So the hash is there in mirror writing, and sums of products can be
 * turned around at once. */
static inline __attribute__((always_inline, target("pclmul"))) uint32_t
hash_clmul(const struct rss_key *key, const uint32_t *word, unsigned int n)
{
	__m128i sum = _mm_setzero_si128();

	for (unsigned int i = 0; i < n; i++) {
		__m128i m = _mm_cvtsi64_si128((long long)key->mirror[i]);

		sum = _mm_xor_si128(sum,
				    _mm_clmulepi64_si128(m, _mm_cvtsi32_si128((int)word[i]), 0));
	}
	return (uint32_t)(reverse64((uint64_t)_mm_cvtsi128_si64(sum)) >> 1);
}

static __attribute__((target("pclmul"))) void burst_clmul(const struct rss_key *key, uint32_t types,
							  const struct frame *const frame[],
							  unsigned int n, struct rss_result *result)
{
	burst_with(hash_clmul, key, types, frame, n, result);
}

rss_burst_fn *rss_burst_clmul(void)
{
	return __builtin_cpu_supports("pclmul") ? burst_clmul : NULL;
}
#else
rss_burst_fn *rss_burst_clmul(void)
{
	return NULL;
}
#endif

static rss_burst_fn burst_first;
static _Atomic(rss_burst_fn *) burst_chosen = burst_first;

/* The first call chooses. Whoever comes meanwhile chooses the same. No CPU with AVX2 is without this
 * instruction, so there is no level of its own for it. */
static void burst_first(const struct rss_key *key, uint32_t types,
			const struct frame *const frame[], unsigned int n,
			struct rss_result *result)
{
	rss_burst_fn *burst = cpu_level() >= CPU_AVX2 ? rss_burst_clmul() : NULL;

	if (burst == NULL)
		burst = rss_burst_portable;
	atomic_store_explicit(&burst_chosen, burst, memory_order_relaxed);
	burst(key, types, frame, n, result);
}

void rss_burst(const struct rss_key *key, uint32_t types, const struct frame *const frame[],
	       unsigned int n, struct rss_result *result)
{
	atomic_load_explicit(&burst_chosen, memory_order_relaxed)(key, types, frame, n, result);
}
