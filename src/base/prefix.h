/* SPDX-License-Identifier: BSD-3-Clause */
/* A set of addresses: all, one MAC address, or those of IPv4 or IPv6 that begin with the same bits. */
#ifndef SOFTIOV_BASE_PREFIX_H
#define SOFTIOV_BASE_PREFIX_H

#include <stdint.h>

enum prefix_kind {
	PREFIX_ANY,
	PREFIX_MAC,
	PREFIX_IPV4,
	PREFIX_IPV6
};

struct prefix {
	uint8_t kind;     /* enum prefix_kind */
	uint8_t bits;     /* 0 of ANY, 48 of MAC, at most 32 of IPv4 and 128 of IPv6 */
	uint8_t addr[16]; /* in the wire's order; behind `bits` zero */
};

#endif
