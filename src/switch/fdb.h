/* SPDX-License-Identifier: BSD-3-Clause */
/* The forwarding table: which port has a MAC.
 *
 * Two tables. The static one holds the vports' own addresses; control builds it with each snapshot
 * and it never changes afterwards. The learned one holds what uplinks were heard to lead to, per
 * VLAN; workers write it while workers read it, and control ages it.
 *
 * The learned table is an array of buckets of one cache line. Readers take no lock: each bucket
 * has a sequence number that is odd while a writer is inside, and a reader that sees it odd or
 * changed takes the address for unknown, which costs one flooded frame. Writers hold the
 * table's lock; they come only when something new is learned.
 */
#ifndef SOFTIOV_SWITCH_FDB_H
#define SOFTIOV_SWITCH_FDB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"
#include "base/spinlock.h"

#define FDB_NONE 0xffffu /* no port */

/* --- static --- */

struct fdb_static {
	uint32_t mask;
	/* mac | port << 48; all ones = empty, which reads as "FDB_NONE has the broadcast address" */
	uint64_t slot[];
};
#define FDB_STATIC_EMPTY UINT64_MAX

static inline uint32_t fdb_hash(uint64_t key)
{
	return (uint32_t)((key * 0x9e3779b97f4a7c15ull) >> 32);
}

/* Room for n addresses. NULL without memory. free() it. */
struct fdb_static *fdb_static_new(uint32_t n);
/* False if the address is there already. */
bool fdb_static_add(struct fdb_static *fdb, uint64_t mac, uint16_t port);

static inline uint16_t fdb_static_find(const struct fdb_static *fdb, uint64_t mac)
{
	for (uint32_t i = fdb_hash(mac) & fdb->mask;; i = (i + 1) & fdb->mask) {
		uint64_t slot = fdb->slot[i];

		if (likely((slot & 0xffffffffffffull) == mac))
			return (uint16_t)(slot >> 48);
		if (slot == FDB_STATIC_EMPTY)
			return FDB_NONE;
	}
}

/* --- learned --- */

struct fdb;

#define FDB_PORTS 1024

/* Holds at most n_max addresses (rounded up to a power of two); `limit` for each port. */
struct fdb *fdb_new(uint32_t n_max, uint32_t limit);
void fdb_free(struct fdb *fdb); /* accepts NULL */
void fdb_set_limit(struct fdb *fdb, uint32_t limit);

/* Any worker. FDB_NONE if unknown. */
uint16_t fdb_find(const struct fdb *fdb, uint64_t mac, uint16_t vid);
/* Control: another limit for one port; 0: the table's. */
void fdb_set_port_limit(struct fdb *fdb, uint16_t port, uint32_t limit);
/* Any worker: `mac` was a source in `vid` on `port` (below FDB_PORTS) at `now_s`. False: there was no room for it. */
bool fdb_learn(struct fdb *fdb, uint64_t mac, uint16_t vid, uint16_t port, uint32_t now_s);

/* Control: forgets what was last heard before now_s - age_s; age_s 0 forgets nothing. */
void fdb_age(struct fdb *fdb, uint32_t now_s, uint32_t age_s);
/* Control: forgets all of a port's. */
void fdb_flush(struct fdb *fdb, uint16_t port);
uint32_t fdb_count(const struct fdb *fdb);
uint32_t fdb_count_of(const struct fdb *fdb, uint16_t port);
/* Learned addresses that found no room (limit reached, bucket full of younger ones). */
uint64_t fdb_refused(const struct fdb *fdb);

#endif
