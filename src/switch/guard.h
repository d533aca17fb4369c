/* SPDX-License-Identifier: BSD-3-Clause */
/* Guards: what a VM must not pretend to be. docs/policy.md says what each of them stops. */
#ifndef SOFTIOV_SWITCH_GUARD_H
#define SOFTIOV_SWITCH_GUARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/prefix.h"

#define GUARD_ADDRESSES_MAX 32

struct guard {
	bool dhcp;   /* it is no DHCP server and no relay: RFC 2131, 4.1; RFC 8415, 7.2 */
	bool router; /* it is no router: RFC 4861, 4.2 and 4.5; RFC 792; RFC 1256 */
	unsigned int n_addresses; /* 0: any; else it has these */
	struct prefix address[GUARD_ADDRESSES_MAX];
};

struct inspect;
static inline bool guard_any(const struct guard *guard)
{
	return guard->dhcp || guard->router || guard->n_addresses > 0;
}
uint32_t guard_out(struct inspect *inspect, const struct guard *guard, uint32_t frames);

#endif
