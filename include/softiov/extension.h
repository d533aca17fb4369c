/* SPDX-License-Identifier: BSD-3-Clause */
/* What an extension of the switch sees and says: for programs in C, compiled to eBPF (docs/extensions.md).
 *
 *     #include <softiov/extension.h>
 *
 *     SOFTIOV_INGRESS uint64_t no_telnet(struct softiov_frame *frame)
 *     {
 *             if (!(frame->flags & SOFTIOV_L4) || frame->protocol != 6)
 *                     return SOFTIOV_PASS;
 *             return softiov_be16(frame->header + frame->l4 + 2) == 23 ? SOFTIOV_DROP : SOFTIOV_PASS;
 *     }
 *
 * Fields keep their places; what is reserved is 0 and may get a meaning.
 */
#ifndef SOFTIOV_EXTENSION_H
#define SOFTIOV_EXTENSION_H

#include <stdint.h>

/* Of these, 192 bytes at most are the frame's. So what begins at l4, and 64 bytes behind it, is in `header` in any case, as
 * the verifier wants it to be. */
#define SOFTIOV_HEADER_SIZE 320
#define SOFTIOV_COUNTERS    16

/* What a program returns. Everything else is SOFTIOV_DROP. */
#define SOFTIOV_DROP 0
#define SOFTIOV_PASS 1
/* To the extension's `to-vport` or `to-uplink`: instead of to whom it is for (at ingress), or instead of to the port that was
 * about to get it (at egress). */
#define SOFTIOV_TO_VPORT  2
#define SOFTIOV_TO_UPLINK 3

/* Of `flags`. */
#define SOFTIOV_IPV4    (1 << 0)
#define SOFTIOV_IPV6    (1 << 1)
#define SOFTIOV_L4      (1 << 2) /* the L4 header is there: ports, or ICMP's type and code */
#define SOFTIOV_FIRST   (1 << 3) /* a fragment, the first one */
#define SOFTIOV_LATER   (1 << 4) /* a fragment, another one: it has no L4 header */
#define SOFTIOV_OBSCURE (1 << 5) /* its headers do not say what it is */

struct softiov_frame {
	uint32_t size;        /* bytes of the frame, without tag and FCS */
	uint16_t header_size; /* bytes of it that `header` has */
	uint16_t mss;         /* a large send: payload of each of its pieces; else 0 */
	uint16_t vlan;        /* that it is in; 0: none */
	uint8_t priority;     /* 802.1p */
	uint8_t flags;
	uint8_t protocol; /* with IPV4 or IPV6: of what follows IP and its extension headers */
	uint8_t uplink;   /* 1: the port is an uplink */
	uint8_t l3, l4;   /* where in `header` these begin; 0: they are not there */
	uint8_t reserved[48];
	uint8_t header[SOFTIOV_HEADER_SIZE]; /* of the frame without tag; behind header_size 0 */
	/* The program's own, for `extension show`. Each worker has its own ones, which outlive the frame, and what is shown is
	 * their sum. All else is for reading only. */
	uint64_t count[SOFTIOV_COUNTERS];
};

/* Where the program lies in its file. */
#define SOFTIOV_INGRESS __attribute__((section("ingress"), used))
#define SOFTIOV_EGRESS  __attribute__((section("egress"), used))

static inline __attribute__((always_inline)) uint16_t softiov_be16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static inline __attribute__((always_inline)) uint32_t softiov_be32(const uint8_t *at)
{
	return (uint32_t)softiov_be16(at) << 16 | softiov_be16(at + 2);
}

#endif
