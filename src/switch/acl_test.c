/* SPDX-License-Identifier: BSD-3-Clause */
/* Which rule decides. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "switch/policy.h"

#define ANY_PORT         \
	{                \
		0, 65535 \
	}
#define ANY_PROTOCOL CLASSIFY_PROTOCOL_ANY
#define MAC_A        "02:00:00:00:00:01" /* of the frames: from A to B */
#define MAC_B        "02:00:00:00:00:02"
#define TCP          IP_PROTO_TCP
#define UDP          IP_PROTO_UDP

static struct prefix prefix(const char *text)
{
	struct prefix p = { .kind = PREFIX_ANY };
	unsigned int bits, a[6];
	char addr[64];

	if (text == NULL)
		return p;
	if (sscanf(text, "%x:%x:%x:%x:%x:%x", a, a + 1, a + 2, a + 3, a + 4, a + 5) == 6) {
		for (unsigned int i = 0; i < 6; i++)
			p.addr[i] = (uint8_t)a[i];
		p.kind = PREFIX_MAC;
		p.bits = 48;
		return p;
	}
	assert_int_equal(sscanf(text, "%63[^/]/%u", addr, &bits), 2);
	p.kind = strchr(addr, ':') != NULL ? PREFIX_IPV6 : PREFIX_IPV4;
	p.bits = (uint8_t)bits;
	assert_int_equal(inet_pton(p.kind == PREFIX_IPV6 ? AF_INET6 : AF_INET, addr, p.addr), 1);
	return p;
}

struct line {
	enum acl_direction direction;
	enum acl_action action;
	uint32_t weight;
	const char *remote, *local;
	uint16_t protocol;
	struct classify_ports remote_port, local_port;
};

static struct acl_counters counters;

/* The n-th rule of a list counts in the n-th counter. With `conns` those that allow TCP are stateful. */
static struct acl *build(const struct line *line, unsigned int n, struct conns *conns)
{
	struct acl_rule rule[16];
	struct acl *acl;

	memset(&counters, 0, sizeof(counters));
	for (unsigned int i = 0; i < n; i++)
		rule[i] = (struct acl_rule){
			.direction = line[i].direction,
			.action = line[i].action,
			.weight = line[i].weight,
			.remote = prefix(line[i].remote),
			.local = prefix(line[i].local),
			.protocol = line[i].protocol,
			.remote_port = line[i].remote_port,
			.local_port = line[i].local_port,
			.counter = &counters.of[0][i],
			.stateful = conns != NULL && line[i].action == ACL_ALLOW &&
				    line[i].protocol == TCP,
			.conn = { i, 100 + i, 300 },
		};
	acl = acl_new(rule, n, linear_new, conns);
	assert_non_null(acl);
	return acl;
}

/* --- frames --- */

enum {
	WEB,   /* 10.1.2.3:40000 to 10.9.0.1:80, TCP */
	DNS,   /* 10.1.2.3:40000 to 10.9.0.1:53, UDP */
	LATER, /* a later fragment of a datagram between the two */
	WEB6,  /* 2001:db8::3 to 2001:db8:1::1, the same ports */
	ARP,
	SHORT, /* IPv4 whose TCP header is not whole */
	N_FRAMES
};
#define ALL ((1u << N_FRAMES) - 1)

static struct inspect inspect;
static struct burst burst;
static uint8_t bytes[N_FRAMES][96];

static void put_l4(uint8_t *l4, uint16_t dport)
{
	store_be16(l4, 40000);
	store_be16(l4 + 2, dport);
}

static void put_ip4(unsigned int i, uint8_t proto, uint16_t dport, uint16_t fragment)
{
	uint8_t *ip = bytes[i] + FRAME_SIZE_MIN;

	store_be16(bytes[i] + ETH_ADDRS_SIZE, ETH_TYPE_IPV4);
	ip[0] = 0x45;
	store_be16(ip + 2, 60);
	store_be16(ip + 6, fragment);
	ip[9] = proto;
	memcpy(ip + 12, (uint8_t[]){ 10, 1, 2, 3, 10, 9, 0, 1 }, 8);
	put_l4(ip + 20, dport);
}

static void put_ip6(unsigned int i)
{
	uint8_t *ip = bytes[i] + FRAME_SIZE_MIN;

	store_be16(bytes[i] + ETH_ADDRS_SIZE, ETH_TYPE_IPV6);
	ip[0] = 0x60;
	ip[6] = TCP;
	inet_pton(AF_INET6, "2001:db8::3", ip + 8);
	inet_pton(AF_INET6, "2001:db8:1::1", ip + 24);
	put_l4(ip + 40, 80);
}

static void start(void)
{
	memset(bytes, 0, sizeof(bytes));
	put_ip4(WEB, TCP, 80, 0);
	put_ip4(DNS, UDP, 53, 0);
	put_ip4(LATER, UDP, 0xffff, 100);
	put_ip6(WEB6);
	store_be16(bytes[ARP] + ETH_ADDRS_SIZE, ETH_TYPE_ARP);
	put_ip4(SHORT, TCP, 80, 0);
	burst.n = N_FRAMES;
	for (unsigned int i = 0; i < N_FRAMES; i++) {
		uint32_t size = i == SHORT ? FRAME_SIZE_MIN + 30 : sizeof(bytes[i]);

		memcpy(bytes[i], (uint8_t[]){ 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 }, 12);
		burst.frame[i] = (struct frame){
			.va = bytes[i], .seg_size = size, .size = size, .n_segs = 1
		};
		assert_true(frame_parse(&burst.frame[i]));
	}
	inspect_start(&inspect, &burst);
}

/* --- the order --- */

#define IP4 (BIT(WEB) | BIT(DNS) | BIT(LATER))

static const struct {
	const char *what;
	uint32_t passed;
	struct line line[3];
	unsigned int n;
} cases[] = {
	{ "other addresses",
	  ALL & ~BIT(SHORT),
	  { { ACL_IN, ACL_DENY, 0, "10.1.2.0/25", "10.9.0.0/32", ANY_PROTOCOL, ANY_PORT,
	      ANY_PORT } },
	  1 },
	{ "the other direction's rule",
	  ALL,
	  { { ACL_OUT, ACL_DENY, 0, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  1 },
	{ "any is all, ARP too",
	  0,
	  { { ACL_IN, ACL_DENY, 0, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  1 },
	{ "all IPv4",
	  BIT(WEB6) | BIT(ARP),
	  { { ACL_IN, ACL_DENY, 0, "0.0.0.0/0", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  1 },
	{ "the longer prefix, given last",
	  IP4 | BIT(ARP) | BIT(WEB6),
	  { { ACL_IN, ACL_DENY, 0, "10.0.0.0/8", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 0, "10.1.0.0/16", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "the longer prefix, given first",
	  BIT(ARP) | BIT(WEB6),
	  { { ACL_IN, ACL_DENY, 0, "10.1.2.3/32", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 0, "10.1.0.0/16", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "0.0.0.0/0 before any",
	  IP4,
	  { { ACL_IN, ACL_DENY, 0, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 0, "0.0.0.0/0", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "remote before local",
	  BIT(ARP) | BIT(WEB6),
	  { { ACL_IN, ACL_ALLOW, 0, "10.0.0.0/8", "10.9.0.1/32", ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_DENY, 0, "10.1.0.0/16", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "local where remote is the same",
	  IP4 | BIT(ARP) | BIT(WEB6),
	  { { ACL_IN, ACL_DENY, 0, "10.0.0.0/8", "10.9.0.0/16", ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 0, "10.0.0.0/8", "10.9.0.1/32", ANY_PROTOCOL, ANY_PORT,
	      ANY_PORT } },
	  2 },
	{ "a MAC address before IP",
	  ALL & ~BIT(SHORT),
	  { { ACL_IN, ACL_DENY, 0, "10.1.2.3/32", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 0, MAC_A, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "another MAC address",
	  ALL & ~BIT(SHORT),
	  { { ACL_IN, ACL_DENY, 0, MAC_B, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 0, "0.0.0.0/0", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "the VM's MAC address",
	  0,
	  { { ACL_IN, ACL_DENY, 0, NULL, MAC_B, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  1 },
	{ "any weight before basic rules",
	  BIT(ARP) | BIT(WEB6),
	  { { ACL_IN, ACL_ALLOW, 0, "10.1.2.3/32", "10.9.0.1/32", ANY_PROTOCOL, ANY_PORT,
	      ANY_PORT },
	    { ACL_IN, ACL_DENY, 1, "0.0.0.0/0", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "the higher weight, however wide",
	  BIT(WEB6) | BIT(ARP) | BIT(DNS) | BIT(LATER),
	  { { ACL_IN, ACL_DENY, 10, NULL, NULL, TCP, ANY_PORT, { 80, 80 } },
	    { ACL_IN, ACL_ALLOW, 11, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_DENY, 12, "10.0.0.0/8", NULL, TCP, ANY_PORT, ANY_PORT } },
	  3 },
	{ "of the same weight the more specific address",
	  IP4 | BIT(ARP) | BIT(WEB6),
	  { { ACL_IN, ACL_DENY, 5, "10.0.0.0/8", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_ALLOW, 5, "10.1.2.0/24", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "then the protocol, then the ports",
	  BIT(WEB6) | BIT(WEB),
	  { { ACL_IN, ACL_DENY, 5, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_DENY, 5, NULL, NULL, TCP, ANY_PORT, { 0, 100 } },
	    { ACL_IN, ACL_ALLOW, 5, NULL, NULL, TCP, ANY_PORT, { 80, 90 } } },
	  3 },
	{ "then deny",
	  BIT(ARP) | BIT(DNS) | BIT(LATER),
	  { { ACL_IN, ACL_ALLOW, 5, NULL, NULL, TCP, ANY_PORT, { 80, 80 } },
	    { ACL_IN, ACL_DENY, 5, NULL, NULL, TCP, { 40000, 40000 }, ANY_PORT } },
	  2 },
	{ "ports of the other side",
	  BIT(WEB) | BIT(WEB6) | BIT(ARP),
	  { { ACL_IN, ACL_DENY, 1, NULL, NULL, TCP, { 0, 39999 }, ANY_PORT },
	    { ACL_IN, ACL_DENY, 1, NULL, NULL, UDP, ANY_PORT, ANY_PORT } },
	  2 },
	{ "fragments behind what ports allow",
	  BIT(DNS) | BIT(LATER),
	  { { ACL_IN, ACL_ALLOW, 2, NULL, NULL, UDP, ANY_PORT, { 53, 53 } },
	    { ACL_IN, ACL_DENY, 1, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  2 },
	{ "fragments behind what ports deny",
	  IP4 & ~BIT(DNS),
	  { { ACL_IN, ACL_DENY, 2, "10.0.0.0/8", NULL, UDP, ANY_PORT, { 53, 53 } },
	    { ACL_IN, ACL_ALLOW, 1, "10.0.0.0/8", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	    { ACL_IN, ACL_DENY, 0, NULL, NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT } },
	  3 },
};

static void test_order(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct acl *acl = build(cases[i].line, cases[i].n, NULL);

		/* The second time from memory. */
		for (unsigned int times = 0; times < 2; times++) {
			uint32_t passed = ALL;

			start();
			if (acl_has_filter(acl, ACL_IN))
				passed = acl_filter(&inspect, acl, ACL_IN, ALL);
			if (passed != cases[i].passed)
				fail_msg("%s: %x passed instead of %x", cases[i].what, passed,
					 cases[i].passed);
		}
		acl_free(acl);
	}
}

/* The same frames as sent by the VM: what was remote is local. */
static void test_out(void **state)
{
	const struct line line[] = {
		{ ACL_OUT,
		  ACL_DENY,
		  9,
		  "10.9.0.0/16",
		  "10.1.2.3/32",
		  TCP,
		  { 80, 80 },
		  { 40000, 40000 } },
		{ ACL_OUT, ACL_DENY, 8, "10.1.2.3/32", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	};
	struct acl *acl = build(line, ARRAY_SIZE(line), NULL);

	start();
	assert_int_equal(acl_filter(&inspect, acl, ACL_OUT, ALL), ALL & ~(BIT(WEB) | BIT(SHORT)));
	assert_int_equal(inspect.reason[WEB], DROP_ACL);
	assert_int_equal(inspect.reason[SHORT], DROP_OBSCURE);
	acl_free(acl);
}

/* Meters go by the most specific address and decide nothing; each rule counts what it decided on. */
static void test_counters(void **state)
{
	const struct line line[] = {
		{ ACL_IN, ACL_METER, 0, "10.0.0.0/8", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
		{ ACL_IN, ACL_METER, 0, "10.1.2.3/32", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
		{ ACL_IN, ACL_METER, 0, "::/0", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
		{ ACL_IN, ACL_DENY, 7, NULL, NULL, UDP, ANY_PORT, ANY_PORT },
	};
	struct acl *acl = build(line, ARRAY_SIZE(line), NULL);
	struct acl_counter sum;
	uint32_t passed;

	assert_true(acl_has_filter(acl, ACL_IN) && acl_has_meter(acl, ACL_IN));
	assert_false(acl_has_filter(acl, ACL_OUT) || acl_has_meter(acl, ACL_OUT));
	for (worker_self = 0; worker_self < 3; worker_self++) {
		start();
		passed = acl_filter(&inspect, acl, ACL_IN, ALL);
		assert_int_equal(passed, BIT(WEB) | BIT(WEB6) | BIT(ARP));
		acl_meter(&inspect, acl, ACL_IN, passed);
	}
	worker_self = WORKERS_MAX;
	acl_count(&counters.of[0][0], &sum);
	assert_int_equal(sum.frames, 0);
	for (unsigned int i = 1; i < 3; i++) {
		acl_count(&counters.of[0][i], &sum);
		assert_int_equal(sum.frames, 3);
		assert_int_equal(sum.bytes, 3 * sizeof(bytes[0]));
	}
	acl_count(&counters.of[0][3], &sum);
	assert_int_equal(sum.frames, 3 * 2);
	acl_free(acl);
}

/* Flows that take each other's places in the memory of what was found, by two lists in turn. */
static void test_memory(void **state)
{
	const struct line upper[] = {
		{ ACL_IN, ACL_DENY, 0, "10.1.2.128/25", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	};
	const struct line lower[] = {
		{ ACL_IN, ACL_DENY, 1, NULL, NULL, TCP, ANY_PORT, { 0, 31 } },
		{ ACL_IN, ACL_ALLOW, 0, "10.1.2.0/25", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	};
	struct acl *acl[2] = { build(upper, 1, NULL), build(lower, 2, NULL) };
	unsigned int seed = 1;

	for (unsigned int i = 0; i < 50000; i++) {
		uint8_t octet = (uint8_t)rand_r(&seed), port = (uint8_t)(rand_r(&seed) % 64);
		bool passes[2] = { octet < 128, port >= 32 };

		start();
		bytes[WEB][FRAME_SIZE_MIN + 15] = octet;
		bytes[WEB][FRAME_SIZE_MIN + 23] = port;
		assert_int_equal(acl_filter(&inspect, acl[i % 2], ACL_IN, BIT(WEB)) != 0,
				 passes[i % 2]);
	}
	acl_free(acl[0]);
	acl_free(acl[1]);
}

/* What WEB and DNS are answered by. */
static void start_answers(void)
{
	uint8_t *ip = bytes[WEB] + FRAME_SIZE_MIN, swap[4];

	start();
	for (unsigned int i = WEB; i <= DNS; i++, ip = bytes[DNS] + FRAME_SIZE_MIN) {
		memcpy(swap, ip + 12, 4);
		memcpy(ip + 12, ip + 16, 4);
		memcpy(ip + 16, swap, 4);
		memcpy(swap, ip + 20, 2);
		memcpy(ip + 20, ip + 22, 2);
		memcpy(ip + 22, swap, 2);
		ip[20 + 13] = 0x12; /* SYN, ACK */
	}
}

static void test_stateful(void **state)
{
	struct line line[] = {
		{ ACL_OUT, ACL_ALLOW, 5, NULL, NULL, TCP, ANY_PORT, ANY_PORT },
		{ ACL_OUT, ACL_ALLOW, 4, NULL, NULL, UDP, ANY_PORT, ANY_PORT },
		{ ACL_IN, ACL_DENY, 5, "10.0.0.0/8", NULL, ANY_PROTOCOL, ANY_PORT, ANY_PORT },
	};
	struct conns *conns = conns_new(64);
	struct acl *acl = build(line, ARRAY_SIZE(line), conns);
	const uint32_t both = BIT(WEB) | BIT(DNS);
	struct acl_counter sum;

	start_answers();
	assert_int_equal(acl_filter(&inspect, acl, ACL_IN, both), 0);
	start();
	assert_int_equal(acl_filter(&inspect, acl, ACL_OUT, both), both);
	/* TCP's answer passes, by the rule that let its question out; of UDP nothing was remembered. */
	start_answers();
	assert_int_equal(acl_filter(&inspect, acl, ACL_IN, both), BIT(WEB));
	assert_int_equal(inspect.reason[DNS], DROP_ACL);
	acl_count(&counters.of[0][0], &sum);
	assert_int_equal(sum.frames, 2);
	/* A connection of the same addresses and ports that the other side opens is another one. */
	start();
	assert_int_equal(acl_filter(&inspect, acl, ACL_IN, both), 0);
	acl_free(acl);
	/* Rules of higher weight have the last word, now and then; connections outlive changes of rules. */
	line[2].weight = 6;
	acl = build(line, ARRAY_SIZE(line), conns);
	start_answers();
	assert_int_equal(acl_filter(&inspect, acl, ACL_IN, both), 0);
	acl_free(acl);
	line[2].weight = 5;
	acl = build(line, ARRAY_SIZE(line), conns);
	start_answers();
	assert_int_equal(acl_filter(&inspect, acl, ACL_IN, both), BIT(WEB));
	acl_free(acl);
	/* The rule is gone. */
	acl = build(line + 1, 2, conns);
	start_answers();
	assert_int_equal(acl_filter(&inspect, acl, ACL_IN, both), 0);
	acl_free(acl);
	conns_free(conns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),    cmocka_unit_test(test_out),
		cmocka_unit_test(test_counters), cmocka_unit_test(test_memory),
		cmocka_unit_test(test_stateful),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
