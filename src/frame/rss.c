/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdatomic.h>

#include "base/cpu.h"
#include "frame/ip.h"
#include "frame/rss.h"

#define OPT_PAD1     0
#define OPT_HOME     201
#define ROUTING_HOME 2
#define HEADERS_SIZE 256 /* what of a packet is looked at, from L3 on */

/* What is hashed, as it is in the packet: addresses, then ports. */
struct flow {
	uint8_t tuple[4 * (RSS_WORDS + 3)]; /* room to be read 16 bytes at once */
	uint8_t ex[32]; /* packets with extension headers: the addresses for the _EX types */
	unsigned int n; /* words of the addresses: 0, 2 or 8 */
	uint8_t packet; /* enum rss_packet */
	uint16_t l3_size;
};

const uint8_t rss_l4_packet[256] = {
	[IP_PROTO_TCP] = PACKET_TCP,
	[IP_PROTO_UDP] = PACKET_UDP,
	[IP_PROTO_SCTP] = PACKET_SCTP,
};

void rss_key_set(struct rss_key *key, const uint8_t bytes[RSS_KEY_SIZE])
{
	for (unsigned int i = 0; i < RSS_WORDS; i++)
		key->window[i] = (uint64_t)load_be32(bytes + 4 * (size_t)i) << 32 |
				 load_be32(bytes + 4 * (size_t)i + 4);
}

/* ---- what is hashed ---- */

static void take_l4(struct flow *flow, const uint8_t *l3, uint32_t at, uint32_t size, uint8_t proto)
{
	uint8_t packet = rss_l4_packet[proto];

	if (packet == 0 || at + 4 > size)
		return;
	flow->packet |= packet;
	memcpy(flow->tuple + 4 * (size_t)flow->n, l3 + at, 4);
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

	for (unsigned int i = 0; i < IP_EXT_HEADERS_MAX; i++) {
		const uint8_t *ext = l3 + at;
		uint32_t len;

		flow->l3_size = (uint16_t)at;
		if (!ip6_is_extension(proto)) {
			take_l4(flow, l3, at, size, proto);
			return;
		}
		if (i == 0) {
			flow->packet |= PACKET_IPV6_EXT;
			memcpy(flow->ex, flow->tuple, sizeof(flow->ex));
		}
		if (proto == IP_PROTO_FRAGMENT || at + 8 > size)
			return;
		len = ip6_extension_size(proto, ext);
		if (at + len > size)
			return;
		if (proto == IP_PROTO_ROUTING) {
			if (ext[2] == ROUTING_HOME && len == 24)
				memcpy(flow->ex + 16, ext + 8, 16);
			if (ext[3] != 0)
				flow->packet |= PACKET_ELSEWHERE;
		}
		if (proto == IP_PROTO_DSTOPTS && find_home(ext, len, &home)) {
			memcpy(flow->ex, home, 16);
			flow->packet |= PACKET_ELSEWHERE;
		}
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
		flow->l3_size = (uint16_t)ihl;
		memcpy(flow->tuple, l3 + 12, 8);
		if ((load_be16(l3 + 6) & IP4_FRAGMENT) == 0)
			take_l4(flow, l3, ihl, size, l3[9]);
	} else {
		if (size < 40 || l3[0] >> 4 != 6)
			return;
		flow->packet = PACKET_IPV6;
		flow->n = 8;
		memcpy(flow->tuple, l3 + 8, 32);
		take_ip6_ext(flow, l3, size);
	}
}

/* `packet` is what rss_packet_plain says, other than plain IPv4. */
static inline void take(struct flow *flow, const struct frame *f, uint8_t packet)
{
	flow->packet = packet;
	if (packet != 0) {
		memcpy(flow->tuple, f->va + f->body + 2 + 8, 4ul * RSS_WORDS);
		flow->n = 8;
		flow->l3_size = 40;
	} else {
		flow->n = 0;
		flow->l3_size = 0;
		memset(flow->tuple, 0, sizeof(flow->tuple));
		take_slow(flow, f);
	}
}

uint8_t rss_packet_slow(const struct frame *f)
{
	struct flow flow = { .n = 0 };

	take_slow(&flow, f);
	return flow.packet & PACKET_TYPES;
}

/* ---- hashing ---- */

/* Chooses the type and the words for it. Returns how many. */
static inline __attribute__((always_inline)) unsigned int
choose(const struct flow *flow, uint32_t types, enum rss_type *type, const uint8_t **ex)
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
static inline uint32_t hash_portable(const struct rss_key *key, const uint8_t *tuple,
				     unsigned int n)
{
	uint32_t hash = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint32_t word = load_be32(tuple + 4 * (size_t)i);

		for (uint32_t bits = word; bits != 0; bits &= bits - 1)
			hash ^= (uint32_t)(key->window[i] >> (1 + __builtin_ctz(bits)));
	}
	return hash;
}

/* Of n words: 0, 2, 3, 8 or 9. 16 bytes can be read if it is 3 or less. */
typedef uint32_t hash_fn(const struct rss_key *key, const uint8_t *tuple, unsigned int n);

static inline __attribute__((always_inline)) struct rss_result
look_at(hash_fn *hash, const struct rss_key *key, uint32_t types, const struct frame *f,
	uint8_t packet)
{
	const uint8_t *ex;
	enum rss_type type;
	unsigned int n_words;
	struct flow flow;

	take(&flow, f, packet);
	n_words = choose(&flow, types, &type, &ex);
	if (unlikely(ex != NULL))
		memcpy(flow.tuple, ex, sizeof(flow.ex));
	return (struct rss_result){ .type = (uint8_t)type,
				    .packet = flow.packet,
				    .l3_size = flow.l3_size,
				    .hash = hash(key, flow.tuple, n_words) };
}

/* What is known of plain IPv4 before its addresses are: by the bits of PACKET_L4 in `packet`. */
struct plain4 {
	struct rss_result result;
	unsigned int n_words;
};
#define PLAIN4(packet) ((packet) / PACKET_TCP)
#define PLAIN4_N       (PLAIN4(PACKET_SCTP) + 1)

static inline void plain4_set(struct plain4 *plain, uint32_t types)
{
	static const uint8_t l4[] = { 0, PACKET_TCP, PACKET_UDP, PACKET_SCTP };

	for (unsigned int i = 0; i < ARRAY_SIZE(l4); i++) {
		struct flow flow = { .n = 2, .packet = PACKET_IPV4 | l4[i] };
		struct plain4 *p = &plain[PLAIN4(l4[i])];
		enum rss_type type;
		const uint8_t *ex;

		p->n_words = choose(&flow, types, &type, &ex);
		p->result = (struct rss_result){ .type = (uint8_t)type,
						 .packet = flow.packet,
						 .l3_size = 20 };
	}
}

static inline __attribute__((always_inline)) void
burst_with(hash_fn *hash, const struct rss_key *key, uint32_t types,
	   const struct frame *const frame[], unsigned int n, struct rss_result *result)
{
	struct plain4 plain[PLAIN4_N];

	plain4_set(plain, types);
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = frame[i];
		uint8_t packet = rss_packet_plain(f);

		if (likely((packet & PACKET_IPV4) != 0)) {
			const struct plain4 *p = &plain[PLAIN4(packet)];

			result[i] = p->result;
			result[i].hash = hash(key, f->va + f->body + 2 + 12, p->n_words & 3);
		} else {
			result[i] = look_at(hash, key, types, f, packet);
		}
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

/* Each byte in mirror writing. */
static inline __attribute__((always_inline, target("avx2,pclmul"))) __m128i mirror(__m128i v)
{
	const __m128i low = _mm_set1_epi8(15);
	const __m128i half = _mm_setr_epi8(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15);
	__m128i high = _mm_and_si128(_mm_srli_epi16(v, 4), low);

	v = _mm_slli_epi16(_mm_shuffle_epi8(half, _mm_and_si128(v, low)), 4);
	return _mm_or_si128(v, _mm_shuffle_epi8(half, high));
}

/* The sum over the words m[0..n), n is 3 or 4. */
static inline __attribute__((always_inline, target("avx2,pclmul"))) __m128i
sum4(const uint64_t *window, __m128i m, unsigned int n)
{
	__m128i w = _mm_loadu_si128((const __m128i *)(const void *)window);
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)(window + 2));
	__m128i ab = _mm_cvtepu32_epi64(m), cd = _mm_unpackhi_epi32(m, _mm_setzero_si128());
	__m128i sum =
		_mm_xor_si128(_mm_clmulepi64_si128(w, ab, 0x00), _mm_clmulepi64_si128(w, ab, 0x11));

	sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(x, cd, 0x00));
	return n == 3 ? sum : _mm_xor_si128(sum, _mm_clmulepi64_si128(x, cd, 0x11));
}

/* The sum above is a product without carries. Bit t of the hash (0 the highest) is the sum of input bit j
 * and key bit t + j over j. In the window W[63..0] key bit k is W[63 - k]; with input bit j at place j, which is
 * what bytes in memory order are when each is in mirror writing, bit 63 - t of W times I has all of these
 * sums and nothing else. */
static inline __attribute__((always_inline, target("avx2,pclmul"))) uint32_t
hash_clmul(const struct rss_key *key, const uint8_t *tuple, unsigned int n)
{
	/* The first n words of four, n <= 3. */
	static const uint32_t first[4][4]
		__attribute__((aligned(16))) = { { 0 }, { ~0u }, { ~0u, ~0u }, { ~0u, ~0u, ~0u } };
	const __m128i *words = (const __m128i *)(const void *)tuple;
	__m128i sum;

	if (n <= 3) {
		__m128i mask = _mm_load_si128((const __m128i *)(const void *)first[n]);

		sum = sum4(key->window, mirror(_mm_and_si128(_mm_loadu_si128(words), mask)), 3);
	} else {
		sum = _mm_xor_si128(sum4(key->window, mirror(_mm_loadu_si128(words)), 4),
				    sum4(key->window + 4, mirror(_mm_loadu_si128(words + 1)), 4));
		if (n == 9) {
			__m128i last = mirror(_mm_loadu_si32(tuple + 32));
			__m128i w = _mm_cvtsi64_si128((long long)key->window[8]);

			sum = _mm_xor_si128(sum, _mm_clmulepi64_si128(w, last, 0));
		}
	}
	return (uint32_t)((uint64_t)_mm_cvtsi128_si64(sum) >> 32);
}

static __attribute__((target("avx2,pclmul"))) void
burst_clmul(const struct rss_key *key, uint32_t types, const struct frame *const frame[],
	    unsigned int n, struct rss_result *result)
{
	burst_with(hash_clmul, key, types, frame, n, result);
}

rss_burst_fn *rss_burst_clmul(void)
{
	return cpu_level_max() >= CPU_AVX2 && __builtin_cpu_supports("pclmul") ? burst_clmul : NULL;
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
