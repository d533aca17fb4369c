/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "switch/policy.h"

static struct inspect inspect;
static struct burst burst;
static uint8_t bytes[BURST_MAX][128];

static void put_udp(unsigned int i, bool v6, uint16_t sport)
{
	uint8_t *l3 = bytes[i] + FRAME_SIZE_MIN, *l4 = l3 + (v6 ? 40 : 20);

	store_be16(bytes[i] + ETH_ADDRS_SIZE, v6 ? ETH_TYPE_IPV6 : ETH_TYPE_IPV4);
	l3[0] = v6 ? 0x60 : 0x45;
	l3[v6 ? 6 : 9] = IP_PROTO_UDP;
	store_be16(l4, sport);
}

static void put_icmp(unsigned int i, bool v6, uint8_t type)
{
	put_udp(i, v6, (uint16_t)(type << 8));
	bytes[i][FRAME_SIZE_MIN + (v6 ? 6 : 9)] = v6 ? IP_PROTO_ICMPV6 : IP_PROTO_ICMP;
}

static void start(unsigned int n)
{
	burst.n = n;
	for (unsigned int i = 0; i < n; i++) {
		burst.frame[i] =
			(struct frame){ .va = bytes[i], .seg_size = 128, .size = 128, .n_segs = 1 };
		assert_true(frame_parse(&burst.frame[i]));
	}
	inspect_start(&inspect, &burst);
}

static void test_guards(void **state)
{
	enum {
		DHCP4,
		DHCP6,
		CLIENT,
		RA,
		REDIRECT6,
		SOLICITATION,
		RA4,
		REDIRECT4,
		PING,
		OBSCURE,
		ARP,
		N
	};
	const struct guard dhcp = { .dhcp = true }, router = { .router = true };
	const uint32_t all = (1u << N) - 1, obscure = 1u << OBSCURE;

	memset(bytes, 0, sizeof(bytes));
	put_udp(DHCP4, false, 67);
	put_udp(DHCP6, true, 547);
	put_udp(CLIENT, false, 68);
	put_icmp(RA, true, 134);
	put_icmp(REDIRECT6, true, 137);
	put_icmp(SOLICITATION, true, 133);
	put_icmp(RA4, false, 9);
	put_icmp(REDIRECT4, false, 5);
	put_icmp(PING, false, 8);
	put_udp(OBSCURE, false, 5000);
	bytes[OBSCURE][FRAME_SIZE_MIN] = 0x41;
	store_be16(bytes[ARP] + ETH_ADDRS_SIZE, ETH_TYPE_ARP);
	start(N);
	assert_int_equal(guard_out(&inspect, &dhcp, all),
			 all & ~(1u << DHCP4 | 1u << DHCP6 | obscure));
	assert_int_equal(inspect.reason[DHCP4], DROP_DHCP_GUARD);
	assert_int_equal(inspect.reason[OBSCURE], DROP_OBSCURE);
	assert_int_equal(guard_out(&inspect, &router, all),
			 all & ~(1u << RA | 1u << REDIRECT6 | 1u << RA4 | 1u << REDIRECT4 |
				 obscure));
	assert_int_equal(inspect.reason[RA], DROP_ROUTER_GUARD);
	/* Only those that it was asked about. */
	assert_int_equal(guard_out(&inspect, &dhcp, 1u << CLIENT), 1u << CLIENT);
}

/* What was judged is what goes on, whatever the guest writes afterwards. */
static void test_pinned(void **state)
{
	const struct guard dhcp = { .dhcp = true };
	uint16_t sport;

	memset(bytes, 0, sizeof(bytes));
	put_udp(0, false, 68);
	start(1);
	assert_int_equal(guard_out(&inspect, &dhcp, 1), 1);
	put_udp(0, false, 67);
	frame_read(&burst.frame[0], 34, &sport, sizeof(sport));
	assert_int_equal(be16toh(sport), 68);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
