/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "frame/csum.h"
#include "switch/policy.h"

#define SIZE 100
#define MAX  8
#define TCP  IP_PROTO_TCP
#define UDP  IP_PROTO_UDP
#define ANY  CLASSIFY_PROTOCOL_ANY
#define PORTS            \
	{                \
		0, 65535 \
	}
#define NONE    -1
#define NOT_IP  0
#define IP4     4
#define IP6     6
#define BLURRED 9 /* IPv4 with a header that is longer than the frame */

static struct inspect inspect;
static struct burst burst;
static uint8_t bytes[SIZE];
static struct qos_state *state[MAX];

struct packet {
	int ip;
	uint8_t tos, protocol;
	uint16_t sport, dport;
	uint8_t last; /* byte of both addresses */
	int tci;
	uint16_t fragment;
};

static void put_ip4(const struct packet *p)
{
	uint8_t *ip = bytes + FRAME_SIZE_MIN;
	uint16_t sum;

	store_be16(bytes + 12, ETH_TYPE_IPV4);
	ip[0] = p->ip == BLURRED ? 0x4f : 0x45;
	ip[1] = p->tos;
	store_be16(ip + 2, SIZE - FRAME_SIZE_MIN);
	store_be16(ip + 6, p->fragment);
	ip[8] = 64;
	ip[9] = p->protocol;
	ip[12] = ip[16] = 10;
	ip[15] = p->last;
	ip[19] = (uint8_t)(p->last + 1);
	sum = (uint16_t)~csum_fold(csum_add(ip, 20, 0));
	memcpy(ip + 10, &sum, sizeof(sum));
	store_be16(ip + 20, p->sport);
	store_be16(ip + 22, p->dport);
}

static void put_ip6(const struct packet *p)
{
	uint8_t *ip = bytes + FRAME_SIZE_MIN;

	store_be16(bytes + 12, ETH_TYPE_IPV6);
	ip[0] = (uint8_t)(0x60 | p->tos >> 4);
	ip[1] = (uint8_t)(p->tos << 4 | 0x5); /* and of a flow label */
	store_be16(ip + 4, SIZE - FRAME_SIZE_MIN - 40);
	ip[6] = p->protocol;
	ip[23] = p->last;
	ip[39] = (uint8_t)(p->last + 1);
	store_be16(ip + 40, p->sport);
	store_be16(ip + 42, p->dport);
}

static struct frame *put(const struct packet *p)
{
	struct frame *f = &burst.frame[0];

	memset(bytes, 0, sizeof(bytes));
	bytes[0] = bytes[6] = 2;
	store_be16(bytes + 12, 0x0806);
	if (p->ip == IP6)
		put_ip6(p);
	else if (p->ip != NOT_IP)
		put_ip4(p);
	*f = (struct frame){ .va = bytes, .seg_size = SIZE, .size = SIZE, .n_segs = 1 };
	burst.n = 1;
	/* BLURRED's header shall not fit into it. */
	if (p->ip == BLURRED)
		f->seg_size = f->size = 60;
	assert_true(frame_parse(f));
	f->tci = (uint16_t)p->tci;
	inspect_start(&inspect, &burst);
	return f;
}

/* A rule without conditions and actions. */
static struct qos_rule plain(unsigned int i)
{
	return (struct qos_rule){ .protocol = ANY,
				  .sport = PORTS,
				  .dport = PORTS,
				  .port = PORTS,
				  .dscp = NONE,
				  .priority = NONE,
				  .set_dscp = NONE,
				  .set_priority = NONE,
				  .precedence = 127,
				  .state = state[i] };
}

static int setup(void **arg)
{
	for (unsigned int i = 0; i < MAX; i++) {
		state[i] = qos_state_new();
		assert_non_null(state[i]);
	}
	return 0;
}

static int teardown(void **arg)
{
	for (unsigned int i = 0; i < MAX; i++)
		free(state[i]);
	return 0;
}

static struct prefix ten(uint8_t bits, uint8_t last)
{
	return (struct prefix){ .kind = PREFIX_IPV4, .bits = bits, .addr = { 10, 0, 0, last } };
}

/* What a rule is for. */
static void test_conditions(void **arg)
{
	const struct packet tcp = { IP4, 0xb8, TCP, 1000, 80, 1, 0, 0 },
			    udp = { IP4, 0, UDP, 1000, 80, 1, 0, 0 },
			    tcp6 = { IP6, 0xb9, TCP, 80, 1000, 1, 0, 0 },
			    icmp = { IP4, 0, IP_PROTO_ICMP, 80, 80, 1, 0, 0 },
			    arp = { NOT_IP, 0, 0, 0, 0, 0, 0xa000, 0 },
			    later = { IP4, 0, TCP, 1000, 80, 1, 0, 5 };
	const struct packet *packet[] = { &tcp, &udp, &tcp6, &icmp, &arp, &later };
	const struct prefix ip6 = { .kind = PREFIX_IPV6, .bits = 128, .addr = { [15] = 2 } };
	/* clang-format off */
	const struct {
		const char *what, *is_for; /* of packet[], a digit each */
		struct qos_rule rule;
	} cases[] = {
		{ "protocol", "025", { .protocol = TCP, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "to port", "01", { .protocol = ANY, .sport = PORTS, .dport = { 80, 90 }, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "from port", "2", { .protocol = ANY, .sport = { 80, 80 }, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "port", "012", { .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = { 80, 80 }, .dscp = NONE, .priority = NONE } },
		{ "no such port", "", { .protocol = ANY, .sport = PORTS, .dport = { 81, 999 }, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "source", "0135", { .source = ten(32, 1), .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "source prefix", "0135", { .source = ten(7, 0), .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "destination", "0135", { .dest = ten(31, 2), .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "not its destination", "", { .dest = ten(32, 1), .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "IPv6 destination", "2", { .dest = ip6, .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
		{ "DSCP, whatever ECN is", "02", { .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = 46, .priority = NONE } },
		{ "DSCP 0", "135", { .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = 0, .priority = NONE } },
		{ "priority", "4", { .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = 5 } },
		{ "everything", "012345", { .protocol = ANY, .sport = PORTS, .dport = PORTS, .port = PORTS, .dscp = NONE, .priority = NONE } },
	};
	/* clang-format on */

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		struct qos_rule rule = cases[c].rule;
		struct qos *qos;

		rule.set_dscp = rule.set_priority = NONE;
		rule.traffic_class = 3;
		rule.state = state[0];
		qos = qos_new(&rule, 1);
		assert_non_null(qos);
		for (unsigned int i = 0; i < ARRAY_SIZE(packet); i++) {
			bool want = strchr(cases[c].is_for, (int)('0' + i)) != NULL;

			put(packet[i]);
			assert_int_equal(qos_out(&inspect, qos, 1), 1);
			if (inspect.traffic_class[0] != (want ? 3 : 0))
				fail_msg("%s, packet %u", cases[c].what, i);
		}
		free(qos);
	}
}

/* Which of two rules for a frame decides: the first one here, in whichever order they come. */
static void test_order(void **arg)
{
	const struct packet packet = { IP4, 0, TCP, 1000, 80, 1, 0, 0 };
	struct qos_rule rules[10];
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++)
		rules[i] = plain(0);
	rules[n].precedence = 255;
	rules[++n].sender = true;
	rules[++n].dest = ten(32, 2);
	rules[++n].dest = ten(8, 0);
	rules[n].source = ten(8, 0);
	rules[++n].dest = ten(8, 0);
	rules[++n].dport = (struct classify_ports){ 80, 80 };
	rules[++n].dport = (struct classify_ports){ 80, 81 };
	rules[++n].protocol = TCP;
	rules[++n].dscp = 0;
	rules[++n].rest = true;
	rules[n].precedence = 255;
	for (unsigned int a = 0; a < ARRAY_SIZE(rules); a++)
		rules[a].traffic_class = (uint8_t)(a % SHARE_CLASSES);
	for (unsigned int a = 0; a < ARRAY_SIZE(rules); a++)
		for (unsigned int b = a + 1; b < ARRAY_SIZE(rules); b++)
			for (unsigned int turn = 0; turn < 2; turn++) {
				struct qos_rule two[] = { rules[a], rules[b] };
				struct qos *qos;

				two[0].traffic_class = 1;
				two[1].traffic_class = 2;
				if (turn == 1) {
					struct qos_rule first = two[0];

					two[0] = two[1];
					two[1] = first;
				}
				qos = qos_new(two, 2);
				assert_non_null(qos);
				put(&packet);
				qos_out(&inspect, qos, 1);
				if (inspect.traffic_class[0] != 1)
					fail_msg("rule %u is before %u", a, b);
				free(qos);
			}
}

/* Every mark on every TOS: the checksum stays right, ECN and the rest as they are, and the sender's memory, too. */
static void test_dscp(void **arg)
{
	struct qos_rule rule = plain(0);

	for (unsigned int mark = 0; mark < 64; mark++)
		for (unsigned int tos = 0; tos < 256; tos++)
			for (int version = IP4; version <= IP6; version += IP6 - IP4) {
				struct frame *f =
					put(&(struct packet){ version, (uint8_t)tos, UDP,
							      (uint16_t)(tos * 251), 53, 7, 0, 0 });
				struct qos *qos;
				uint8_t was[SIZE];
				const uint8_t *ip;

				memcpy(was, bytes, SIZE);
				rule.set_dscp = (int8_t)mark;
				qos = qos_new(&rule, 1);
				assert_non_null(qos);
				assert_int_equal(qos_out(&inspect, qos, 1), 1);
				free(qos);
				assert_memory_equal(bytes, was, SIZE);
				ip = f->va + FRAME_SIZE_MIN;
				assert_ptr_not_equal(f->va, bytes);
				assert_int_equal(inspect.flow[0].tos, mark << 2 | (tos & 3));
				if (version == IP4) {
					assert_int_equal(ip[1], mark << 2 | (tos & 3));
					assert_int_equal(csum_fold(csum_add(ip, 20, 0)), 0xffff);
					memcpy(was + FRAME_SIZE_MIN + 10, ip + 10, 2);
					was[FRAME_SIZE_MIN + 1] = ip[1];
				} else {
					assert_int_equal((load_be16(ip) >> 4 & 0xff),
							 mark << 2 | (tos & 3));
					assert_int_equal(ip[0] >> 4, 6);
					assert_int_equal(ip[1] & 0xf, 5);
					memcpy(was + FRAME_SIZE_MIN, ip, 2);
				}
				assert_memory_equal(f->va, was, SIZE);
			}
}

static void test_priority(void **arg)
{
	struct qos_rule rule = plain(0);
	struct qos *qos;
	struct frame *f;

	rule.set_priority = 6;
	qos = qos_new(&rule, 1);
	assert_non_null(qos);
	assert_false(qos->looks_at_ip);
	f = put(&(struct packet){ .ip = IP4, .protocol = TCP, .tci = 0x3064 });
	assert_int_equal(qos_out(&inspect, qos, 1), 1);
	assert_int_equal(f->tci, 0xd064); /* DEI and VLAN as they were */
	free(qos);
}

/* What cannot be read is for no rule, and passes none that has to read it. */
static void test_obscure(void **arg)
{
	const struct packet packet = { .ip = BLURRED, .protocol = TCP };
	struct qos_rule rule = plain(0);
	struct qos *qos;

	rule.dport = (struct classify_ports){ 80, 80 };
	qos = qos_new(&rule, 1);
	assert_non_null(qos);
	put(&packet);
	assert_int_equal(qos_out(&inspect, qos, 1), 0);
	assert_int_equal(inspect.reason[0], DROP_OBSCURE);
	free(qos);
	rule.dport = (struct classify_ports)PORTS;
	rule.set_priority = 1;
	qos = qos_new(&rule, 1);
	assert_non_null(qos);
	put(&packet);
	assert_int_equal(qos_out(&inspect, qos, 1), 1);
	free(qos);
}

static uint32_t random_state = 1;

static uint32_t next_random(void) /* xorshift: Marsaglia, 2003 */
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* Noise that begins as IPv4 or IPv6, perhaps behind a tag. Returns its size. */
static uint32_t put_noise(bool tagged, bool v6)
{
	uint32_t size = 18 + next_random() % (SIZE - 18 + 1), at = tagged ? 16 : 12;

	for (unsigned int i = 0; i < SIZE; i++)
		bytes[i] = (uint8_t)next_random();
	store_be16(bytes + 12, ETH_TYPE_VLAN);
	store_be16(bytes + at, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	if (next_random() % 8 != 0)
		bytes[at + 2] =
			v6 ? 0x60
			   : (uint8_t)(0x40 | (next_random() % 4 == 0 ? next_random() % 16 : 5));
	if (next_random() % 2 != 0)
		memset(bytes + at + 2 + (v6 ? 4 : 6), 0, 2);
	return size;
}

/* Whatever comes: a mark writes the field, and the header's checksum, and nothing else anywhere. */
static void test_noise(void **arg)
{
	struct qos_rule rule = plain(0);
	unsigned int n_passed = 0;
	struct qos *qos;

	rule.set_dscp = 46;
	rule.set_priority = 3;
	qos = qos_new(&rule, 1);
	assert_non_null(qos);
	for (unsigned int turn = 0; turn < 200000; turn++) {
		bool tagged = next_random() % 4 == 0, v6 = next_random() % 2 == 0;
		uint32_t size = put_noise(tagged, v6), at = tagged ? 18 : 14;
		struct frame *f = &burst.frame[0];
		uint8_t was[SIZE], is[SIZE];

		memcpy(was, bytes, SIZE);
		*f = (struct frame){ .va = bytes, .seg_size = size, .size = size, .n_segs = 1 };
		burst.n = 1;
		inspect_start(&inspect, &burst);
		if (!frame_parse(f))
			continue;
		if (qos_out(&inspect, qos, 1) == 0) {
			assert_int_equal(inspect.reason[0], DROP_OBSCURE);
			continue;
		}
		assert_memory_equal(bytes, was, SIZE);
		assert_int_equal(f->tci >> 13, 3);
		frame_read(f, 0, is, size);
		assert_int_equal(inspect.flow[0].tos >> 2, 46);
		for (uint32_t i = 0; i < size; i++)
			if (is[i] != was[i] &&
			    !(i == at + 1 || (v6 ? i == at : i == at + 10 || i == at + 11)))
				fail_msg("turn %u: byte %u", turn, i);
		n_passed++;
	}
	assert_true(n_passed > 10000);
	free(qos);
}

/* One bucket for all that the policy is for; a look (switch_trace) takes nothing from it. */
static void test_throttle(void **arg)
{
	struct qos_rule rule = plain(1);
	struct qos_counter sum;
	unsigned int passed = 0;
	struct qos *qos;

	rule.protocol = TCP;
	qos = qos_new(&rule, 1);
	assert_non_null(qos);
	/* A byte is there, and the next one comes in some hours. */
	bucket_set(&state[1]->throttle, 1000, 1, clock_ns() - 1000000000);
	bucket_take(&state[1]->throttle, 0, clock_ns());
	atomic_store(&state[1]->throttle.cost, atomic_load(&state[1]->throttle.cost) << 20);
	for (unsigned int i = 0; i < 5; i++) {
		put(&(struct packet){ .ip = IP4, .protocol = TCP });
		inspect.dry = i == 0;
		passed += qos_out(&inspect, qos, 1);
		put(&(struct packet){ .ip = IP4, .protocol = UDP });
		assert_int_equal(qos_out(&inspect, qos, 1), 1);
	}
	inspect.dry = false;
	assert_int_equal(passed, 2);
	qos_count(state[1], &sum);
	assert_int_equal(sum.frames, 5);
	assert_int_equal(sum.bytes, 5 * SIZE);
	assert_int_equal(sum.throttled, 3);
	free(qos);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_conditions), cmocka_unit_test(test_order),
		cmocka_unit_test(test_dscp),       cmocka_unit_test(test_priority),
		cmocka_unit_test(test_obscure),    cmocka_unit_test(test_throttle),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
