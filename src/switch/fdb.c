/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "switch/fdb.h"

#define BUCKET_WAYS 4
#define KEY_USED    (1ull << 63) /* so that MAC 0 in VLAN 0 is not an empty way */

struct fdb_bucket {
	_Atomic uint64_t key[BUCKET_WAYS]; /* KEY_USED | mac | vid << 48; 0 = empty */
	_Atomic uint32_t heard_s[BUCKET_WAYS];
	_Atomic uint16_t port[BUCKET_WAYS];
	atomic_uint seq; /* odd: a writer is inside */
} __attribute__((aligned(CACHE_LINE)));

_Static_assert(sizeof(struct fdb_bucket) == CACHE_LINE, "a bucket is one cache line");

struct fdb {
	uint32_t mask;
	atomic_uint limit;
	atomic_uint count;
	_Atomic uint64_t refused;
	struct spinlock lock;
	_Atomic uint32_t n_of_port[FDB_PORTS]; /* written under lock */
	_Atomic uint32_t limit_of_port[FDB_PORTS];
	struct fdb_bucket bucket[];
};

struct fdb_static *fdb_static_new(uint32_t n)
{
	uint32_t n_slots = 16;
	struct fdb_static *fdb;

	/* At most a quarter full: a look-up is nearly always one probe. */
	while (n_slots < 4 * n)
		n_slots *= 2;
	fdb = malloc(sizeof(*fdb) + n_slots * sizeof(fdb->slot[0]));
	if (fdb == NULL)
		return NULL;
	fdb->mask = n_slots - 1;
	for (uint32_t i = 0; i < n_slots; i++)
		fdb->slot[i] = FDB_STATIC_EMPTY;
	return fdb;
}

bool fdb_static_add(struct fdb_static *fdb, uint64_t mac, uint16_t port)
{
	uint32_t i = fdb_hash(mac) & fdb->mask;

	if (fdb_static_find(fdb, mac) != FDB_NONE)
		return false;
	while (fdb->slot[i] != FDB_STATIC_EMPTY)
		i = (i + 1) & fdb->mask;
	fdb->slot[i] = mac | (uint64_t)port << 48;
	return true;
}

struct fdb *fdb_new(uint32_t n_max, uint32_t limit)
{
	uint32_t n_buckets = 1;
	struct fdb *fdb;
	size_t size;

	while (n_buckets * BUCKET_WAYS < n_max)
		n_buckets *= 2;
	size = sizeof(*fdb) + n_buckets * sizeof(fdb->bucket[0]);
	fdb = aligned_alloc(CACHE_LINE, size);
	if (fdb == NULL)
		return NULL;
	memset(fdb, 0, size);
	fdb->mask = n_buckets - 1;
	atomic_init(&fdb->limit, limit);
	return fdb;
}

void fdb_free(struct fdb *fdb)
{
	free(fdb);
}

void fdb_set_limit(struct fdb *fdb, uint32_t limit)
{
	atomic_store(&fdb->limit, limit);
}

void fdb_set_port_limit(struct fdb *fdb, uint16_t port, uint32_t limit)
{
	atomic_store(&fdb->limit_of_port[port], limit);
}

static uint32_t limit_of(const struct fdb *fdb, uint16_t port)
{
	uint32_t own = atomic_load(&fdb->limit_of_port[port]);

	return own != 0 ? own : atomic_load(&fdb->limit);
}

static uint64_t key_of(uint64_t mac, uint16_t vid)
{
	return KEY_USED | mac | (uint64_t)vid << 48;
}

uint16_t fdb_find(const struct fdb *fdb, uint64_t mac, uint16_t vid)
{
	uint64_t key = key_of(mac, vid);
	const struct fdb_bucket *b = &fdb->bucket[fdb_hash(key) & fdb->mask];
	unsigned int seq = atomic_load_explicit(&b->seq, memory_order_acquire);
	uint16_t port = FDB_NONE;

	for (unsigned int i = 0; i < BUCKET_WAYS; i++)
		if (atomic_load_explicit(&b->key[i], memory_order_relaxed) == key)
			port = atomic_load_explicit(&b->port[i], memory_order_relaxed);
	/* Orders the reads above before the second look at seq; pairs with bucket_begin/end. */
	atomic_thread_fence(memory_order_acquire);
	if ((seq & 1) != 0 || atomic_load_explicit(&b->seq, memory_order_relaxed) != seq)
		return FDB_NONE;
	return port;
}

static void bucket_begin(struct fdb_bucket *b)
{
	atomic_fetch_add_explicit(&b->seq, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static void bucket_end(struct fdb_bucket *b)
{
	atomic_fetch_add_explicit(&b->seq, 1, memory_order_release);
}

/* All below: under fdb->lock. */
static void way_clear(struct fdb *fdb, struct fdb_bucket *b, unsigned int way)
{
	if (b->key[way] == 0)
		return;
	atomic_fetch_sub(&fdb->n_of_port[b->port[way]], 1);
	atomic_fetch_sub(&fdb->count, 1);
	atomic_store_explicit(&b->key[way], 0, memory_order_relaxed);
}

/* The way that holds key, else an empty one, else the one heard longest ago before now_s. */
static int way_choose(const struct fdb_bucket *b, uint64_t key, uint32_t now_s)
{
	uint32_t oldest_s = now_s;
	int choice = -1;

	for (int i = 0; i < BUCKET_WAYS; i++)
		if (b->key[i] == key)
			return i;
	for (int i = 0; i < BUCKET_WAYS; i++) {
		if (b->key[i] == 0)
			return i;
		if (b->heard_s[i] < oldest_s) {
			oldest_s = b->heard_s[i];
			choice = i;
		}
	}
	return choice;
}

static bool learn_locked(struct fdb *fdb, struct fdb_bucket *b, uint64_t key, uint16_t port,
			 uint32_t now_s)
{
	int way = way_choose(b, key, now_s);
	bool same = way >= 0 && b->key[way] == key && b->port[way] == port;

	if (way < 0 || (!same && fdb->n_of_port[port] >= limit_of(fdb, port))) {
		atomic_fetch_add(&fdb->refused, 1);
		/* A bucket that is full of others' addresses is not this port's fault. */
		return way < 0;
	}
	/* Readers do not look at heard_s, so hearing an address again disturbs none of them. */
	atomic_store_explicit(&b->heard_s[way], now_s, memory_order_relaxed);
	if (same)
		return true;
	bucket_begin(b);
	way_clear(fdb, b, (unsigned int)way);
	atomic_fetch_add(&fdb->n_of_port[port], 1);
	atomic_fetch_add(&fdb->count, 1);
	atomic_store_explicit(&b->port[way], port, memory_order_relaxed);
	atomic_store_explicit(&b->key[way], key, memory_order_relaxed);
	bucket_end(b);
	return true;
}

bool fdb_learn(struct fdb *fdb, uint64_t mac, uint16_t vid, uint16_t port, uint32_t now_s)
{
	uint64_t key = key_of(mac, vid);
	struct fdb_bucket *b = &fdb->bucket[fdb_hash(key) & fdb->mask];
	bool learned;

	/* The common case writes nothing: known here, and heard in this second already. */
	for (unsigned int i = 0; i < BUCKET_WAYS; i++)
		if (atomic_load_explicit(&b->key[i], memory_order_relaxed) == key &&
		    atomic_load_explicit(&b->port[i], memory_order_relaxed) == port &&
		    atomic_load_explicit(&b->heard_s[i], memory_order_relaxed) == now_s)
			return true;
	spin_lock(&fdb->lock);
	learned = learn_locked(fdb, b, key, port, now_s);
	spin_unlock(&fdb->lock);
	return learned;
}

static void forget_if(struct fdb *fdb,
		      bool (*gone)(const struct fdb_bucket *, unsigned int, uint32_t), uint32_t arg)
{
	for (uint32_t n = 0; n <= fdb->mask; n++) {
		struct fdb_bucket *b = &fdb->bucket[n];

		/* A lock for each bucket, so that no worker waits for the whole scan. */
		spin_lock(&fdb->lock);
		for (unsigned int i = 0; i < BUCKET_WAYS; i++) {
			if (b->key[i] == 0 || !gone(b, i, arg))
				continue;
			bucket_begin(b);
			way_clear(fdb, b, i);
			bucket_end(b);
		}
		spin_unlock(&fdb->lock);
	}
}

static bool is_older(const struct fdb_bucket *b, unsigned int way, uint32_t than_s)
{
	return b->heard_s[way] < than_s;
}

static bool is_of_port(const struct fdb_bucket *b, unsigned int way, uint32_t port)
{
	return b->port[way] == port;
}

void fdb_age(struct fdb *fdb, uint32_t now_s, uint32_t age_s)
{
	if (age_s > 0 && now_s > age_s && atomic_load(&fdb->count) > 0)
		forget_if(fdb, is_older, now_s - age_s);
}

void fdb_flush(struct fdb *fdb, uint16_t port)
{
	if (atomic_load(&fdb->count) > 0)
		forget_if(fdb, is_of_port, port);
}

uint32_t fdb_count(const struct fdb *fdb)
{
	return atomic_load(&fdb->count);
}

uint32_t fdb_count_of(const struct fdb *fdb, uint16_t port)
{
	return atomic_load(&fdb->n_of_port[port]);
}

uint64_t fdb_refused(const struct fdb *fdb)
{
	return atomic_load(&fdb->refused);
}
