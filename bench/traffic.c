/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/bits.h"
#include "bench/traffic.h"

#define ETH_SIZE   14
#define IP_SIZE    20
#define UDP_SIZE   8
#define TYPE_IPV4  0x0800
#define TYPE_HELLO 0x88b5 /* IEEE 802, local experimental */
#define UDP_PORT   5000
#define FLOW_PORT  1024
#define FLOW_PORTS 32768
#define POISON     0xee

static void put_mac(uint8_t *mac, uint16_t port)
{
	static const uint8_t local[] = { 0x02, 0, 0, 0 };

	if (port == TO_ALL) {
		memset(mac, 0xff, 6);
		return;
	}
	memcpy(mac, local, sizeof(local));
	store_be16(mac + 4, (uint16_t)(port + 1));
}

/* RFC 1071 */
static uint16_t ip_sum(const uint8_t *ip)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < IP_SIZE; i += 2)
		sum += load_be16(ip + i);
	while (sum >> 16 != 0)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

void frame_set_flow(uint8_t *frame, uint32_t flow)
{
	uint8_t *udp = frame + ETH_SIZE + IP_SIZE;

	store_be16(udp, (uint16_t)(FLOW_PORT + flow % FLOW_PORTS));
	store_be16(udp + 2, (uint16_t)(UDP_PORT + flow / FLOW_PORTS));
}

static void put_headers(uint8_t *frame, uint16_t from, uint16_t to, uint32_t flow, uint32_t size)
{
	uint8_t *ip = frame + ETH_SIZE, *udp = ip + IP_SIZE;

	put_mac(frame, to);
	put_mac(frame + 6, from);
	store_be16(frame + 12, TYPE_IPV4);
	memset(ip, 0, IP_SIZE + UDP_SIZE);
	ip[0] = 0x45;
	store_be16(ip + 2, (uint16_t)(size - ETH_SIZE));
	ip[8] = 64;
	ip[9] = 17;
	store_be32(ip + 12, 0x0a000000u + from + 1);
	store_be32(ip + 16, 0x0a000000u + to + 1);
	store_be16(ip + 10, ip_sum(ip));
	frame_set_flow(frame, flow);
	store_be16(udp + 4, (uint16_t)(size - ETH_SIZE - IP_SIZE));
}

void frame_build(uint8_t *frame, uint16_t from, uint16_t to, uint32_t flow, uint32_t size)
{
	memset(frame, 0, size);
	put_headers(frame, from, to, flow, size);
}

bool frame_is_hello(const uint8_t *frame)
{
	return load_be16(frame + 12) == TYPE_HELLO;
}

void frame_build_hello(uint8_t *frame, uint16_t from, uint16_t to)
{
	memset(frame, 0, HELLO_SIZE);
	put_mac(frame, to);
	put_mac(frame + 6, from);
	store_be16(frame + 12, TYPE_HELLO);
}

void frame_stamp(uint8_t *frame, const struct stamp *s)
{
	uint64_t seed = pattern_seed(s);
	uint32_t at;

	memcpy(frame + STAMP_AT, s, sizeof(*s));
	for (at = PATTERN_AT; at + 8 <= s->size; at += 8) {
		uint64_t word = pattern_word(seed, at);

		memcpy(frame + at, &word, sizeof(word));
	}
	for (; at < s->size; at++)
		frame[at] = (uint8_t)pattern_word(seed, at);
}

static bool pattern_is_good(const uint8_t *frame, const struct stamp *s)
{
	uint64_t seed = pattern_seed(s), wrong = 0;
	uint32_t at;

	for (at = PATTERN_AT; at + 8 <= s->size; at += 8) {
		uint64_t word;

		memcpy(&word, frame + at, sizeof(word));
		wrong |= word ^ pattern_word(seed, at);
	}
	for (; at < s->size; at++)
		wrong |= frame[at] ^ (uint8_t)pattern_word(seed, at);
	return wrong == 0;
}

static bool is_whole(const uint8_t *frame, uint32_t size, uint16_t self, const struct stamp *s)
{
	uint8_t headers[ETH_SIZE + IP_SIZE + UDP_SIZE];

	if (s->magic != STAMP_MAGIC || s->size != size || size > FRAME_SIZE_MOST ||
	    s->flow >= FLOWS_MAX || (s->to != self && s->to != TO_ALL))
		return false;
	put_headers(headers, s->from, s->to, s->flow, size);
	return memcmp(frame, headers, sizeof(headers)) == 0 && pattern_is_good(frame, s);
}

void frame_verify(uint8_t *frame, uint32_t size, uint16_t self, struct flow_state *const *flows,
		  unsigned int n_flow_states, struct verdict *v)
{
	struct stamp s;
	uint32_t *next;

	if (size >= ETH_SIZE && size <= FRAME_SIZE_MOST && frame_is_hello(frame)) {
		v->foreign++;
		memset(frame, POISON, size);
		return;
	}
	if (size < FRAME_SIZE_LEAST || size > FRAME_SIZE_MOST) {
		v->damaged++;
		return;
	}
	memcpy(&s, frame + STAMP_AT, sizeof(s));
	if (!is_whole(frame, size, self, &s) || s.from >= n_flow_states || flows[s.from] == NULL) {
		v->damaged++;
		memset(frame, POISON, size);
		return;
	}
	memset(frame, POISON, size);
	next = &flows[s.from]->next[s.flow];
	if ((int32_t)(s.seq - *next) < 0) {
		v->reordered++;
		return;
	}
	v->lost += s.seq - *next;
	*next = s.seq + 1;
	v->good++;
}
