/* SPDX-License-Identifier: BSD-3-Clause */
/* The frames that the client sends, and what it finds in those that it receives.
 *
 * A frame is Ethernet, IPv4 and UDP; its size counts the bytes in memory, so without FCS. Behind the
 * headers lies a stamp, and behind the stamp bytes that follow from it:
 *
 *      0  Ethernet   port n has the address 02:00:00:00:HH:LL, the number n + 1 in HH:LL
 *     14  IPv4       10.0.HH.LL
 *     34  UDP        source port 1024 + flow % 32768, destination port 5000 + flow / 32768
 *     42  stamp
 *     58  pattern
 *
 * A verifying receiver takes every frame apart: headers, length, pattern, and that each flow's
 * sequence numbers come without a gap and in order. It then overwrites the buffer, so that nothing it
 * has checked before can be taken for a frame that was not written.
 */
#ifndef SOFTIOV_BENCH_TRAFFIC_H
#define SOFTIOV_BENCH_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>

#define FRAME_SIZE_LEAST 60
#define FRAME_SIZE_MOST  1518
#define STAMP_AT         42
#define PATTERN_AT       58
#define FLOWS_MAX        4096 /* that are verified */
#define FLOWS_MOST       (1u << 20)
#define HELLO_SIZE       64
#define TO_ALL           0xffffu /* for `to`: broadcast */

/* Order of bytes is the machine's: both ends are one process. */
struct stamp {
	uint32_t magic;
	uint32_t seq; /* within the flow */
	union {
		struct {
			uint16_t from, to;
			uint16_t flow, size;
		};
		uint64_t tsc; /* latency */
	};
};

struct verdict {
	uint64_t good;
	uint64_t lost;      /* sequence numbers that were left out */
	uint64_t reordered; /* lower than one that came before, or the same again */
	uint64_t damaged;   /* headers, length or pattern */
	uint64_t foreign;   /* not of this run */
};

/* What a receiver remembers of each sender's flows: the next number. */
struct flow_state {
	uint32_t next[FLOWS_MAX];
};

/* Headers, and a body of zeros. */
void frame_build(uint8_t *frame, uint16_t from, uint16_t to, uint32_t flow, uint32_t size);
/* Another flow, in a frame that frame_build has made. */
void frame_set_flow(uint8_t *frame, uint32_t flow);
/* A frame that is not counted: it tells a learning switch where port `from` is. */
void frame_build_hello(uint8_t *frame, uint16_t from, uint16_t to);
/* Stamp and pattern, in a frame that frame_build has made. */
void frame_stamp(uint8_t *frame, const struct stamp *s);
#define STAMP_MAGIC 0x5eedf00du

/* The pattern's bytes come in words; each word tells its place and the frame's number. */
static inline uint64_t pattern_word(uint64_t seed, uint32_t at)
{
	return seed + at * 0x0101010101010101ull;
}

static inline uint64_t pattern_seed(const struct stamp *s)
{
	return (s->seq + 1ull) * 0x9e3779b97f4a7c15ull ^ s->tsc;
}

/* `frame` has at least an Ethernet header. */
bool frame_is_hello(const uint8_t *frame);

/* Checks a received frame; `self` is the receiver, `flows` its state for the frame's sender, by
 * number. Counts it in *v, and overwrites it. */
void frame_verify(uint8_t *frame, uint32_t size, uint16_t self, struct flow_state *const *flows,
		  unsigned int n_flow_states, struct verdict *v);

#endif
