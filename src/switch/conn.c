/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/conn.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bits.h"
#include "base/spinlock.h"

#define WAYS      16
#define LOCKS     64
#define KEY_WORDS (sizeof(struct conn_key) / sizeof(uint64_t))

/* RFC 9293, 3.1 */
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

enum state {
	ANSWERED = 1 << 0,
	FIN_OPENER = 1 << 1,
	FIN_OTHER = 1 << 2,
	RST_OPENER = 1 << 3,
	RST_OTHER = 1 << 4,
};
#define FINS (FIN_OPENER | FIN_OTHER)
#define RSTS (RST_OPENER | RST_OTHER)

struct conn {
	_Atomic uint64_t life; /* generation in the upper half, enum state in the lower one */
	_Atomic uint32_t seen_s;
	_Atomic uint32_t place, serial, idle_s;
	_Atomic uint64_t key[KEY_WORDS];
};

struct bucket {
	_Atomic uint32_t tag[WAYS]; /* of the keys; 0: free */
};

struct conns {
	unsigned int n_buckets; /* a power of two */
	size_t size;
	struct bucket *bucket;
	struct conn *conn; /* [n_buckets * WAYS] */
	struct spinlock lock[LOCKS];
};

static_assert(sizeof(struct bucket) == CACHE_LINE && sizeof(struct conn_key) == 40 &&
		      sizeof(struct conn) == CACHE_LINE,
	      "one line each");

/* --- control --- */

void conns_free(struct conns *c)
{
	if (c == NULL)
		return;
	munmap(c->bucket, c->size);
	free(c);
}

struct conns *conns_new(unsigned int n)
{
	struct conns *c = calloc(1, sizeof(*c));
	void *memory;

	if (c == NULL)
		return NULL;
	/* Half as many places again: so few buckets are full before the table is. */
	c->n_buckets = 1;
	while ((uint64_t)c->n_buckets * WAYS < (uint64_t)n + n / 2)
		c->n_buckets *= 2;
	c->size = c->n_buckets * (sizeof(struct bucket) + WAYS * sizeof(struct conn));
	memory = mmap(NULL, c->size, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED) {
		free(c);
		return NULL;
	}
	c->bucket = memory;
	/* Connections lie all over it: with small pages each look costs a walk through page tables. And a worker must not
	 * wait for pages, which take long to be cleared if they are large. (EINVAL: Linux before 5.14.) */
	(void)madvise(memory, c->size, MADV_HUGEPAGE);
	if (madvise(memory, c->size, MADV_POPULATE_WRITE) < 0 && errno != EINVAL) {
		conns_free(c);
		return NULL;
	}
	c->conn = (struct conn *)(c->bucket + c->n_buckets);
	return c;
}

/* --- the life of a connection --- */

static uint32_t state_of(uint64_t life)
{
	return (uint32_t)life;
}

static uint32_t generation_of(uint64_t life)
{
	return (uint32_t)(life >> 32);
}

/* Whether the connection still is one. */
static bool is_over(struct conn *conn, uint64_t life, uint32_t now_s)
{
	uint32_t state = state_of(life);
	uint32_t limit = atomic_load_explicit(&conn->idle_s, memory_order_relaxed);
	uint32_t seen_s = atomic_load_explicit(&conn->seen_s, memory_order_relaxed);

	if ((state & ANSWERED) == 0 && limit > CONN_UNANSWERED_S)
		limit = CONN_UNANSWERED_S;
	if (((state & FINS) == FINS || (state & RSTS) != 0) && limit > CONN_CLOSING_S)
		limit = CONN_CLOSING_S;
	/* Workers' clocks are read at different times, so `seen` may lie ahead. */
	return (int32_t)(now_s - seen_s) > (int32_t)limit;
}

/* A line that many frames read is written at most once a second. */
static void see(struct conn *conn, uint32_t now_s)
{
	if (atomic_load_explicit(&conn->seen_s, memory_order_relaxed) != now_s)
		atomic_store_explicit(&conn->seen_s, now_s, memory_order_relaxed);
}

/* Adds to the state, if it is still the same connection. */
static void add_state(struct conn *conn, uint64_t life, uint32_t add)
{
	uint32_t generation = generation_of(life);

	while (generation_of(life) == generation && (state_of(life) & add) != add)
		if (atomic_compare_exchange_weak_explicit(&conn->life, &life, life | add,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return;
}

/* --- finding --- */

static uint64_t hash_of(const uint64_t word[KEY_WORDS])
{
	uint64_t h = 0;

	for (unsigned int i = 0; i < KEY_WORDS; i++) {
		h = (h ^ word[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return h;
}

static struct bucket *bucket_of(const struct conns *c, uint64_t hash)
{
	return &c->bucket[(hash >> 32) & (c->n_buckets - 1)];
}

static uint32_t tag_of(uint64_t hash)
{
	return (uint32_t)hash | 1;
}

static struct conn *conn_at(const struct conns *c, const struct bucket *b, unsigned int way)
{
	return &c->conn[(size_t)(b - c->bucket) * WAYS + way];
}

static bool same_key(struct conn *conn, const uint64_t word[KEY_WORDS])
{
	uint64_t differ = 0;

	for (unsigned int i = 0; i < KEY_WORDS; i++)
		differ |= atomic_load_explicit(&conn->key[i], memory_order_relaxed) ^ word[i];
	return differ == 0;
}

void conn_ask(const struct conns *c, struct conn_ask *ask)
{
	uint64_t word[KEY_WORDS];

	memcpy(word, &ask->key, sizeof(word));
	ask->hash = hash_of(word);
	__builtin_prefetch(bucket_of(c, ask->hash));
}

void conn_fetch(const struct conns *c, const struct conn_ask *ask)
{
	const struct bucket *b = bucket_of(c, ask->hash);

	for (unsigned int way = 0; way < WAYS; way++)
		if (atomic_load_explicit(&b->tag[way], memory_order_relaxed) == tag_of(ask->hash))
			__builtin_prefetch(conn_at(c, b, way));
}

/* *life: as it was while key and rule were read. */
static struct conn *find(const struct conns *c, const struct conn_ask *ask, uint64_t *life,
			 struct conn_rule *rule)
{
	const uint64_t hash = ask->hash;
	struct bucket *b = bucket_of(c, hash);
	uint64_t word[KEY_WORDS];

	memcpy(word, &ask->key, sizeof(word));

	for (unsigned int way = 0; way < WAYS; way++) {
		struct conn *conn = conn_at(c, b, way);
		bool same;

		if (atomic_load_explicit(&b->tag[way], memory_order_acquire) != tag_of(hash))
			continue;
		*life = atomic_load_explicit(&conn->life, memory_order_acquire);
		same = same_key(conn, word);
		*rule = (struct conn_rule){
			atomic_load_explicit(&conn->place, memory_order_relaxed),
			atomic_load_explicit(&conn->serial, memory_order_relaxed),
			atomic_load_explicit(&conn->idle_s, memory_order_relaxed),
		};
		/* Pairs with the writer's release fence: if one of the loads above saw what it wrote, this one sees the
		 * generation that it set before. */
		atomic_thread_fence(memory_order_acquire);
		if (same && (generation_of(*life) & 1) == 0 &&
		    generation_of(atomic_load_explicit(&conn->life, memory_order_relaxed)) ==
			    generation_of(*life))
			return conn;
	}
	return NULL;
}

/* --- opening --- */

static void write_conn(struct conn *conn, const struct conn_key *key, const struct conn_rule *rule,
		       uint32_t now_s)
{
	uint32_t generation =
		generation_of(atomic_load_explicit(&conn->life, memory_order_relaxed));
	uint64_t word[KEY_WORDS];

	memcpy(word, key, sizeof(word));
	atomic_store_explicit(&conn->life, (uint64_t)(generation + 1) << 32, memory_order_relaxed);
	atomic_thread_fence(memory_order_release); /* see find() */
	for (unsigned int i = 0; i < KEY_WORDS; i++)
		atomic_store_explicit(&conn->key[i], word[i], memory_order_relaxed);
	atomic_store_explicit(&conn->place, rule->place, memory_order_relaxed);
	atomic_store_explicit(&conn->serial, rule->serial, memory_order_relaxed);
	atomic_store_explicit(&conn->idle_s, rule->idle_s, memory_order_relaxed);
	atomic_store_explicit(&conn->seen_s, now_s, memory_order_relaxed);
	atomic_store_explicit(&conn->life, (uint64_t)(generation + 2) << 32, memory_order_release);
}

/* The place for a new connection: a free one, one that is over, the oldest that was never answered. -1: none. */
static int way_for(const struct conns *c, struct bucket *b, uint32_t now_s)
{
	int32_t oldest = -1;
	int found = -1;

	for (unsigned int way = 0; way < WAYS; way++) {
		struct conn *conn = conn_at(c, b, way);
		uint64_t life = atomic_load_explicit(&conn->life, memory_order_relaxed);
		int32_t age;

		if (atomic_load_explicit(&b->tag[way], memory_order_relaxed) == 0 ||
		    is_over(conn, life, now_s))
			return (int)way;
		age = (int32_t)(now_s - atomic_load_explicit(&conn->seen_s, memory_order_relaxed));
		if ((state_of(life) & ANSWERED) == 0 && age > oldest) {
			oldest = age;
			found = (int)way;
		}
	}
	return found;
}

/* What the opener's flags add to the state. */
static uint32_t opener_state(uint8_t tcp)
{
	return ((tcp & TCP_FIN) != 0 ? FIN_OPENER : 0u) | ((tcp & TCP_RST) != 0 ? RST_OPENER : 0u);
}

/* Whether the opener begins anew with this frame: after the end by a SYN, and otherwise with anything, since what it sends
 * is allowed, and a RST of the other side may have been another's. */
static bool begins_anew(struct conn *conn, uint64_t life, const struct conn_rule *was,
			const struct conn_rule *rule, uint8_t tcp, uint32_t now_s)
{
	uint32_t state = state_of(life);

	if (was->serial != rule->serial || was->idle_s != rule->idle_s ||
	    is_over(conn, life, now_s))
		return true;
	if ((tcp & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return (state & (FINS | RSTS)) != 0;
	return (state & RST_OTHER) != 0 && (tcp & (TCP_FIN | TCP_RST)) == 0;
}

bool conn_open(struct conns *c, const struct conn_ask *ask, const struct conn_rule *rule,
	       uint8_t tcp, uint32_t now_s)
{
	const uint64_t hash = ask->hash;
	uint64_t life;
	struct conn_rule was;
	struct conn *conn;
	struct spinlock *lock;
	int way = 0;

	conn = find(c, ask, &life, &was);
	if (likely(conn != NULL && !begins_anew(conn, life, &was, rule, tcp, now_s))) {
		see(conn, now_s);
		add_state(conn, life, opener_state(tcp));
		return true;
	}
	if (conn == NULL && (tcp & TCP_RST) != 0)
		return true;
	lock = &c->lock[(hash >> 32) & (c->n_buckets - 1) & (LOCKS - 1)];
	spin_lock(lock);
	conn = find(c, ask, &life, &was); /* another worker may have been first */
	if (conn == NULL) {
		struct bucket *b = bucket_of(c, hash);

		way = way_for(c, b, now_s);
		if (way >= 0) {
			conn = conn_at(c, b, (unsigned int)way);
			write_conn(conn, &ask->key, rule, now_s);
			atomic_store_explicit(&b->tag[way], tag_of(hash), memory_order_release);
		}
	} else {
		write_conn(conn, &ask->key, rule, now_s);
	}
	if (conn != NULL && opener_state(tcp) != 0)
		add_state(conn, atomic_load_explicit(&conn->life, memory_order_relaxed),
			  opener_state(tcp));
	spin_unlock(lock);
	return way >= 0;
}

/* --- answers --- */

/* The connection that a frame answers, or NULL. */
static struct conn *find_answered(struct conns *c, const struct conn_ask *ask, uint8_t tcp,
				  uint32_t now_s, uint64_t *life, struct conn_rule *rule)
{
	struct conn *conn = find(c, ask, life, rule);

	if (conn == NULL || is_over(conn, *life, now_s))
		return NULL;
	/* A SYN alone opens, and what is closed has no more to say. */
	if ((tcp & (TCP_SYN | TCP_ACK)) == TCP_SYN || (state_of(*life) & RSTS) != 0)
		return NULL;
	if ((state_of(*life) & FINS) == FINS && (tcp & TCP_SYN) != 0)
		return NULL;
	return conn;
}

bool conn_would_answer(struct conns *c, const struct conn_ask *ask, uint8_t tcp, uint32_t now_s,
		       struct conn_rule *rule)
{
	uint64_t life;

	return find_answered(c, ask, tcp, now_s, &life, rule) != NULL;
}

bool conn_answers(struct conns *c, const struct conn_ask *ask, uint8_t tcp, uint32_t now_s,
		  struct conn_rule *rule)
{
	uint32_t add = ANSWERED;
	uint64_t life;
	struct conn *conn = find_answered(c, ask, tcp, now_s, &life, rule);

	if (conn == NULL)
		return false;
	/* Not `see`: closing has an end. */
	if ((state_of(life) & FINS) == FINS)
		return true;
	add |= ((tcp & TCP_FIN) != 0 ? FIN_OTHER : 0u) | ((tcp & TCP_RST) != 0 ? RST_OTHER : 0u);
	see(conn, now_s);
	add_state(conn, life, add);
	return true;
}

unsigned int conns_count(const struct conns *c, uint32_t now_s)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < c->n_buckets; i++)
		for (unsigned int way = 0; way < WAYS; way++) {
			struct conn *conn = conn_at(c, &c->bucket[i], way);
			uint64_t life = atomic_load_explicit(&conn->life, memory_order_relaxed);

			n += atomic_load_explicit(&c->bucket[i].tag[way], memory_order_relaxed) !=
				     0 &&
			     !is_over(conn, life, now_s);
		}
	return n;
}
