/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "switch/conn.h"

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

static const struct conn_rule rule = { 3, 7, 300 };

static struct conn_key key_of(uint32_t n)
{
	struct conn_key key = { .remote_port = (uint16_t)n, .ip = 4, .protocol = 6 };

	memcpy(key.remote, &n, sizeof(n));
	return key;
}

static struct conn_ask ask_of(struct conns *c, const struct conn_key *key)
{
	struct conn_ask ask = { .key = *key };

	conn_ask(c, &ask);
	conn_fetch(c, &ask);
	return ask;
}

static bool opens(struct conns *c, const struct conn_key *key, const struct conn_rule *r,
		  uint8_t tcp, uint32_t now_s)
{
	struct conn_ask ask = ask_of(c, key);

	return conn_open(c, &ask, r, tcp, now_s);
}

static bool answers(struct conns *c, const struct conn_key *key, uint8_t tcp, uint32_t now_s,
		    struct conn_rule *r)
{
	struct conn_ask ask = ask_of(c, key);

	return conn_answers(c, &ask, tcp, now_s, r);
}

/* What happens one after the other to a connection, and what comes of it. */
struct event {
	enum {
		END,
		OPEN,
		ANSWERED,
		NOT /* answered */
	} what;
	uint8_t tcp;
	uint32_t now_s;
};

static void test_life(void **state)
{
	static const struct {
		const char *what;
		struct event event[8];
	} cases[] = {
		{ "nothing there", { { NOT, ACK, 1 } } },
		{ "answered",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, SYN | ACK, 1 },
		    { OPEN, ACK, 2 },
		    { ANSWERED, ACK, 2 } } },
		{ "datagrams",
		  { { OPEN, 0, 1 }, { ANSWERED, 0, 2 }, { ANSWERED, 0, 302 }, { NOT, 0, 603 } } },
		{ "idle",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, ACK, 1 },
		    { ANSWERED, ACK, 301 },
		    { NOT, ACK, 602 } } },
		{ "kept by its opener",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, ACK, 1 },
		    { OPEN, ACK, 300 },
		    { ANSWERED, ACK, 600 } } },
		{ "never answered", { { OPEN, SYN, 1 }, { NOT, SYN | ACK, 62 } } },
		{ "answered late",
		  { { OPEN, SYN, 1 }, { ANSWERED, SYN | ACK, 61 }, { ANSWERED, ACK, 300 } } },
		{ "a SYN is no answer",
		  { { OPEN, SYN, 1 }, { NOT, SYN, 1 }, { ANSWERED, ACK, 1 }, { NOT, SYN, 1 } } },
		{ "half closed",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, ACK, 1 },
		    { OPEN, FIN | ACK, 2 },
		    { ANSWERED, ACK, 200 } } },
		{ "closed",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, FIN | ACK, 1 },
		    { OPEN, FIN | ACK, 2 },
		    { ANSWERED, ACK, 2 },
		    { ANSWERED, FIN | ACK, 12 },
		    { NOT, ACK, 13 } } },
		{ "no life after that",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, FIN | ACK, 1 },
		    { OPEN, FIN | ACK, 2 },
		    { OPEN, ACK, 2 },
		    { NOT, SYN | ACK, 3 },
		    { NOT, ACK, 14 } } },
		{ "opened again",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, FIN | ACK, 1 },
		    { OPEN, FIN | ACK, 2 },
		    { OPEN, SYN, 3 },
		    { ANSWERED, SYN | ACK, 3 },
		    { ANSWERED, ACK, 50 } } },
		{ "aborted",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, ACK, 1 },
		    { OPEN, RST, 2 },
		    { NOT, ACK, 2 },
		    { OPEN, ACK, 2 },
		    { NOT, ACK, 2 } } },
		{ "refused",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, RST | ACK, 1 },
		    { NOT, ACK, 1 },
		    { OPEN, SYN, 2 },
		    { ANSWERED, SYN | ACK, 2 } } },
		{ "a false RST",
		  { { OPEN, SYN, 1 },
		    { ANSWERED, ACK, 1 },
		    { ANSWERED, RST, 2 },
		    { OPEN, ACK, 2 },
		    { ANSWERED, ACK, 2 } } },
		{ "in its middle",
		  { { OPEN, ACK, 1 }, { ANSWERED, ACK, 2 }, { ANSWERED, ACK, 300 } } },
		{ "a RST of nothing", { { OPEN, RST, 1 }, { NOT, ACK, 1 } } },
		{ "a clock that lags",
		  { { OPEN, SYN, 5 }, { ANSWERED, ACK, 4 }, { ANSWERED, ACK, 5 } } },
		{ "a clock that begins anew", { { OPEN, SYN, UINT32_MAX }, { ANSWERED, ACK, 3 } } },
	};
	const struct conn_key key = key_of(1);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct conns *conns = conns_new(16);

		assert_non_null(conns);
		for (const struct event *e = cases[i].event; e->what != END; e++) {
			struct conn_rule found;
			bool is = e->what == OPEN ? opens(conns, &key, &rule, e->tcp, e->now_s)
						  : answers(conns, &key, e->tcp, e->now_s, &found);

			if (is != (e->what != NOT))
				fail_msg("%s: event %td", cases[i].what, e - cases[i].event);
			if (e->what == ANSWERED)
				assert_memory_equal(&found, &rule, sizeof(rule));
		}
		conns_free(conns);
	}
}

/* Every part of a key tells connections apart. */
static void test_keys(void **state)
{
	struct conns *conns = conns_new(1000);
	struct conn_key key = key_of(1), other;
	struct conn_rule found;

	assert_true(opens(conns, &key, &rule, SYN, 1));
	for (size_t byte = 0; byte < sizeof(key); byte++) {
		other = key;
		((uint8_t *)&other)[byte] ^= 0x10;
		assert_false(answers(conns, &other, ACK, 1, &found));
	}
	assert_true(answers(conns, &key, ACK, 1, &found));
	assert_int_equal(conns_count(conns, 1), 1);
	assert_int_equal(conns_count(conns, 302), 0);
	conns_free(conns);
}

/* A flood takes places of its own kind: what was answered stays, and when everything was, nothing more comes in. */
static void test_flood(void **state)
{
	const unsigned int n = 200;
	struct conns *conns = conns_new(n);
	struct conn_rule found;
	unsigned int n_refused = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct conn_key key = key_of(i);

		assert_true(opens(conns, &key, &rule, SYN, 1));
		assert_true(answers(conns, &key, SYN | ACK, 1, &found));
	}
	for (uint32_t i = n; i < 100000; i++) {
		const struct conn_key key = key_of(i);

		if (opens(conns, &key, &rule, SYN, 2))
			assert_true(answers(conns, &key, SYN | ACK, 2, &found) || i % 2 == 0);
		else
			n_refused++;
	}
	assert_true(n_refused > 0);
	assert_true(conns_count(conns, 2) <= 512); /* the next power of two above one and a half */
	for (uint32_t i = 0; i < n; i++) {
		const struct conn_key key = key_of(i);

		assert_true(answers(conns, &key, ACK, 2, &found));
	}
	/* What is over makes room. */
	assert_int_equal(conns_count(conns, 400), 0);
	for (uint32_t i = n; i < 2 * n; i++) {
		const struct conn_key key = key_of(i);

		assert_true(opens(conns, &key, &rule, SYN, 400));
	}
	conns_free(conns);
}

/* A flood of what nobody answers pushes out what nobody answers. */
static void test_unanswered_flood(void **state)
{
	struct conns *conns = conns_new(200);
	const struct conn_key good = key_of(0);
	struct conn_rule found;

	assert_true(opens(conns, &good, &rule, SYN, 1));
	assert_true(answers(conns, &good, ACK, 1, &found));
	for (uint32_t i = 1; i < 100000; i++) {
		const struct conn_key key = key_of(i);

		assert_true(opens(conns, &key, &rule, SYN, 2));
		assert_true(answers(conns, &good, ACK, 2, &found));
	}
	conns_free(conns);
}

/* --- several workers --- */

#define THREADS 3
#define KEYS    64
#define ROUNDS  20000

static struct conns *shared;

/* Each key's rule has a place of its own, so that an entry that is half another's shows. */
static void *work(void *arg)
{
	unsigned int seed = (unsigned int)(uintptr_t)arg;

	for (unsigned int i = 0; i < ROUNDS; i++) {
		uint32_t n = (uint32_t)rand_r(&seed) % KEYS;
		const struct conn_key key = key_of(n);
		struct conn_rule own = { n, n + 1000, 300 }, found;

		if (rand_r(&seed) % 4 == 0)
			opens(shared, &key, &own, rand_r(&seed) % 8 == 0 ? RST : SYN, 1);
		else if (answers(shared, &key, rand_r(&seed) % 4 == 0 ? FIN | ACK : ACK, 1,
				 &found) &&
			 memcmp(&found, &own, sizeof(own)) != 0)
			return "the rule of another connection";
	}
	return NULL;
}

static void test_workers(void **state)
{
	pthread_t thread[THREADS];
	void *wrong;

	shared = conns_new(16); /* so that they take each other's places */
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(i + 1)), 0);
	for (unsigned int i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &wrong);
		assert_null(wrong);
	}
	conns_free(shared);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),    cmocka_unit_test(test_keys),
		cmocka_unit_test(test_flood),   cmocka_unit_test(test_unanswered_flood),
		cmocka_unit_test(test_workers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
