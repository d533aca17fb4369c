/* SPDX-License-Identifier: BSD-3-Clause */
/* Random rules and frames: what rte_acl finds is what the linear classifier finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include <rte_eal.h>

#include "acl/rte.h"

static unsigned int seed = 1;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

/* Few values, so that rules overlap and frames match. */
static void random_addr(uint8_t *addr, unsigned int size)
{
	for (unsigned int i = 0; i < size; i++)
		addr[i] = (uint8_t)(below(3) == 0 ? below(256) : below(2) * 0x81);
}

static struct prefix random_prefix(enum classify_kind kind)
{
	static const uint8_t sizes[] = {
		[CLASSIFY_MAC] = 6, [CLASSIFY_IPV4] = 4, [CLASSIFY_IPV6] = 16
	};
	static const uint8_t kinds[] = { [CLASSIFY_MAC] = PREFIX_MAC,
					 [CLASSIFY_IPV4] = PREFIX_IPV4,
					 [CLASSIFY_IPV6] = PREFIX_IPV6 };
	struct prefix prefix = { .kind = kinds[kind] };
	unsigned int size = sizes[kind];

	if (below(3) == 0)
		return (struct prefix){ .kind = PREFIX_ANY };
	prefix.bits = (uint8_t)(kind == CLASSIFY_MAC ? 48 : below(size * 8 + 1));
	random_addr(prefix.addr, size);
	for (unsigned int bit = prefix.bits; bit < size * 8; bit++)
		prefix.addr[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	return prefix;
}

static struct classify_ports random_ports(enum classify_kind kind)
{
	uint16_t from = (uint16_t)(below(2) * 0xff00 + below(4));

	if (kind == CLASSIFY_MAC || below(2) == 0)
		return (struct classify_ports){ 0, 65535 };
	return (struct classify_ports){ from, (uint16_t)(from + below(3)) };
}

static void random_rules(enum classify_kind kind, struct classify_rule *rule, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rule[i] = (struct classify_rule){
			.source = random_prefix(kind),
			.dest = random_prefix(kind),
			.protocol = (uint16_t)(kind == CLASSIFY_MAC || below(2) == 0
						       ? CLASSIFY_PROTOCOL_ANY
						       : 5 + below(3)),
			.sport = random_ports(kind),
			.dport = random_ports(kind),
			.id = n - i, /* not in the order in which they are given */
		};
}

static void random_keys(enum classify_kind kind, struct flow *flow, struct frame *frame)
{
	for (unsigned int i = 0; i < BURST_MAX; i++) {
		memset(&flow[i], 0, sizeof(flow[i]));
		random_addr(flow[i].source, kind == CLASSIFY_IPV4 ? 4 : 16);
		random_addr(flow[i].dest, kind == CLASSIFY_IPV4 ? 4 : 16);
		flow[i].proto = (uint8_t)(5 + below(3));
		flow[i].sport = htobe16((uint16_t)(below(2) * 0xff00 + below(6)));
		flow[i].dport = htobe16((uint16_t)(below(2) * 0xff00 + below(6)));
		random_addr(frame[i].header, sizeof(frame[i].header));
	}
}

/* Half of the frames get addresses that a rule is for. */
static void aim(enum classify_kind kind, const struct classify_rule *rule, unsigned int n,
		struct flow *flow, struct frame *frame)
{
	for (unsigned int i = 0; i < BURST_MAX; i += 2) {
		const struct classify_rule *r = &rule[below(n)];

		if (kind == CLASSIFY_MAC) {
			memcpy(frame[i].mac, r->dest.addr, 6);
			memcpy(frame[i].mac + 6, r->source.addr, 6);
		} else {
			memcpy(flow[i].source, r->source.addr, sizeof(flow[i].source));
			memcpy(flow[i].dest, r->dest.addr, sizeof(flow[i].dest));
		}
	}
}

static unsigned int compare(enum classify_kind kind, const struct classify_rule *rule,
			    unsigned int n)
{
	struct classifier *fast = acl_rte_new(kind, rule, n), *slow = linear_new(kind, rule, n);
	static struct flow flow[BURST_MAX];
	static struct frame frame[BURST_MAX];
	uint32_t is[BURST_MAX], should[BURST_MAX];
	const void *key[BURST_MAX];
	unsigned int n_found = 0;

	assert_non_null(fast);
	assert_non_null(slow);
	for (unsigned int round = 0; round < 50; round++) {
		unsigned int n_keys = 1 + below(BURST_MAX);

		random_keys(kind, flow, frame);
		aim(kind, rule, n, flow, frame);
		for (unsigned int i = 0; i < BURST_MAX; i++)
			key[i] = kind == CLASSIFY_MAC ? (void *)&frame[i] : (void *)&flow[i];
		fast->find(fast, key, is, n_keys);
		slow->find(slow, key, should, n_keys);
		for (unsigned int i = 0; i < n_keys; i++) {
			assert_int_equal(is[i], should[i]);
			n_found += is[i] != 0;
		}
	}
	classifier_free(fast);
	classifier_free(slow);
	return n_found;
}

static void test_random(void **state)
{
	static struct classify_rule rule[2000];
	static const unsigned int sizes[] = { 1, 2, 7, 50, 2000 };

	for (unsigned int kind = CLASSIFY_MAC; kind <= CLASSIFY_IPV6; kind++) {
		unsigned int n_found = 0;

		for (unsigned int round = 0; round < 5 * 4; round++) {
			unsigned int n = sizes[round % 5];

			random_rules((enum classify_kind)kind, rule, n);
			n_found += compare((enum classify_kind)kind, rule, n);
		}
		assert_true(n_found > 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };
	char arg[][16] = { "acl_rte_test", "--no-huge",      "-m128",        "--no-pci",
			   "--no-shconf",  "--no-telemetry", "--log-level=4" };
	char *argv[ARRAY_SIZE(arg) + 1] = { NULL };

	for (size_t i = 0; i < ARRAY_SIZE(arg); i++)
		argv[i] = arg[i];
	if (rte_eal_init((int)ARRAY_SIZE(arg), argv) < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
