/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "switch/policy.h"

#define SIZE 160

static struct inspect inspect;
static struct burst burst;
static uint8_t bytes[BURST_MAX][SIZE];

/* Frame i, from 02:00:00:00:00:01, with these bytes in hexadecimal behind the addresses, and zeros. */
static void put(unsigned int i, const char *hex)
{
	uint32_t n = ETH_ADDRS_SIZE;
	unsigned int byte;

	memset(bytes[i], 0, SIZE);
	mac_store(bytes[i], 0x020000000002);
	bytes[i][6] = 2;
	bytes[i][11] = 1;
	for (; *hex != '\0'; hex++) {
		if (*hex == ' ')
			continue;
		assert_int_equal(sscanf(hex, "%2x", &byte), 1);
		bytes[i][n++] = (uint8_t)byte;
		hex++;
	}
}

static void start(unsigned int n)
{
	burst.n = n;
	for (unsigned int i = 0; i < n; i++) {
		burst.frame[i] = (struct frame){
			.va = bytes[i], .seg_size = SIZE, .size = SIZE, .n_segs = 1
		};
		assert_true(frame_parse(&burst.frame[i]));
	}
	inspect_start(&inspect, &burst);
}

static enum drop_reason judged(const struct guard *guard, const char *hex)
{
	put(0, hex);
	start(1);
	return guard_out(&inspect, guard, 1) != 0 ? DROP_NONE : inspect.reason[0];
}

#define MINE                 "0a000001"
#define OTHER                "0a000002"
#define BC4                  "ffffffff"
#define NO4                  "00000000"
#define IP4(proto, from, to) "0800 4500 0080 0000 0000 40" proto "0000" from to
#define UDP(sport, dport)    sport dport "006c 0000 "

#define MINE6  "20010db8000000000000000000000001"
#define OTHER6 "20010db8000000000000000000000002"
#define NET6   "20010db8000100000000000000001234" /* of 2001:db8:1::/48 */
#define OWN_LL "fe80000000000000000000fffe000001"
#define ANY_LL "fe800000000000000000000000000001"
#define NO6    "00000000000000000000000000000000"
#define ALL6   "ff020000000000000000000000000001"
/* Longer than the frame, which is no matter here; ND's with their true one. */
#define IP6(proto, from, to)      "86dd 60000000 0100" proto "ff" from to
#define NDISC(size, from, to)     "86dd 60000000" size "3aff" from to
#define OPTION(type, mac)         type "01" mac
#define MAC_1                     "020000000001"
#define MAC_2                     "020000000002"
#define ARP(sizes, op, mac, from) "0806" sizes op mac from "000000000000" OTHER
#define ARP_IP4                   "0001080006 04"

static const struct guard dhcp = { .dhcp = true }, router = { .router = true },
			  listed = { .n_addresses = 3,
				     .address = {
					     { PREFIX_IPV4, 32, { 10, 0, 0, 1 } },
					     { PREFIX_IPV6, 128, { 0x20, 1, 0xd, 0xb8, [15] = 1 } },
					     { PREFIX_IPV6, 47, { 0x20, 1, 0xd, 0xb8, 0, 0 } },
				     } };

static void test_guards(void **state)
{
	/* clang-format off */
	static const struct {
		const char *name;
		const struct guard *guard;
		const char *hex;
		enum drop_reason want;
	} cases[] = {
		/* DHCP: to clients from anywhere, from servers to anywhere */
		{ "offer", &dhcp, IP4("11", MINE, BC4) UDP("0043", "0044"), DROP_DHCP_GUARD },
		{ "offer from another port", &dhcp, IP4("11", MINE, BC4) UDP("1234", "0044"), DROP_DHCP_GUARD },
		{ "relayed", &dhcp, IP4("11", MINE, OTHER) UDP("0043", "0043"), DROP_DHCP_GUARD },
		{ "discover", &dhcp, IP4("11", NO4, BC4) UDP("0044", "0043"), DROP_NONE },
		{ "TCP", &dhcp, IP4("06", MINE, OTHER) UDP("0043", "0044"), DROP_NONE },
		{ "DHCPv6's port over IPv4", &dhcp, IP4("11", MINE, OTHER) UDP("0223", "0222"), DROP_NONE },
		{ "advertise6", &dhcp, IP6("11", MINE6, OTHER6) UDP("0223", "0222"), DROP_DHCP_GUARD },
		{ "advertise6 from another port", &dhcp, IP6("11", MINE6, OTHER6) UDP("1234", "0222"), DROP_DHCP_GUARD },
		{ "relayed6", &dhcp, IP6("11", MINE6, OTHER6) UDP("0223", "0223"), DROP_DHCP_GUARD },
		{ "solicit6", &dhcp, IP6("11", MINE6, OTHER6) UDP("0222", "0223"), DROP_NONE },
		{ "advertisement", &dhcp, IP6("3a", MINE6, ALL6) "8600", DROP_NONE },
		{ "first fragment", &dhcp, "0800 4500 0080 0000 2000 4011 0000" MINE BC4 UDP("0043", "0044"), DROP_DHCP_GUARD },
		{ "later fragment", &dhcp, "0800 4500 0080 0000 0010 4011 0000" MINE BC4 UDP("0043", "0044"), DROP_NONE },
		/* routers */
		{ "RA", &router, IP6("3a", OWN_LL, ALL6) "8600", DROP_ROUTER_GUARD },
		{ "RA behind an option", &router, IP6("00", OWN_LL, ALL6) "3a00 0104 00000000 8600", DROP_ROUTER_GUARD },
		{ "RA behind a fragment header", &router, IP6("2c", OWN_LL, ALL6) "3a00 0001 00000000 8600", DROP_ROUTER_GUARD },
		{ "redirect6", &router, IP6("3a", OWN_LL, ALL6) "8900", DROP_ROUTER_GUARD },
		{ "RS", &router, IP6("3a", OWN_LL, ALL6) "8500", DROP_NONE },
		{ "NS", &router, IP6("3a", OWN_LL, ALL6) "8700", DROP_NONE },
		{ "RA4", &router, IP4("01", MINE, BC4) "0900", DROP_ROUTER_GUARD },
		{ "redirect4", &router, IP4("01", MINE, OTHER) "0500", DROP_ROUTER_GUARD },
		{ "ping", &router, IP4("01", MINE, OTHER) "0800", DROP_NONE },
		{ "ICMPv6 over IPv4", &router, IP4("3a", MINE, OTHER) "8600", DROP_NONE },
		{ "offer", &router, IP4("11", MINE, BC4) UDP("0043", "0044"), DROP_NONE },
		/* what hides itself */
		{ "header too short", &router, "0800 4100", DROP_OBSCURE },
		{ "second tag", &router, "8100 0000 8100 0000" IP6("3a", OWN_LL, ALL6) "8600", DROP_OBSCURE },
		{ "service tag", &dhcp, "88a8 0000" IP4("11", MINE, BC4) UDP("0043", "0044"), DROP_OBSCURE },
		{ "SNAP", &dhcp, "0080 aaaa 03 000000" IP4("11", MINE, BC4) UDP("0043", "0044"), DROP_OBSCURE },
		{ "spanning tree", &dhcp, "0026 4242 03 0000", DROP_NONE },
		{ "one tag", &router, "8100 0000" IP6("3a", OWN_LL, ALL6) "8600", DROP_ROUTER_GUARD },
		/* ARP */
		{ "ARP", &listed, ARP(ARP_IP4, "0001", MAC_1, MINE), DROP_NONE },
		{ "ARP's answer", &listed, ARP(ARP_IP4, "0002", MAC_1, MINE), DROP_NONE },
		{ "ARP probe", &listed, ARP(ARP_IP4, "0001", MAC_1, NO4), DROP_NONE },
		{ "ARP of another's address", &listed, ARP(ARP_IP4, "0001", MAC_1, OTHER), DROP_SPOOFED_ARP },
		{ "ARP answer of another's", &listed, ARP(ARP_IP4, "0002", MAC_1, OTHER), DROP_SPOOFED_ARP },
		{ "ARP of another's MAC", &listed, ARP(ARP_IP4, "0002", MAC_2, MINE), DROP_SPOOFED_ARP },
		{ "ARP probe of another's MAC", &listed, ARP(ARP_IP4, "0001", MAC_2, NO4), DROP_SPOOFED_ARP },
		{ "ARP with other sizes", &listed, ARP("0001080006 10", "0001", MAC_1, MINE), DROP_OBSCURE },
		{ "ARP, none listed", &router, ARP(ARP_IP4, "0002", MAC_2, OTHER), DROP_NONE },
		/* IP */
		{ "own", &listed, IP4("11", MINE, OTHER) UDP("1234", "1234"), DROP_NONE },
		{ "another's", &listed, IP4("11", OTHER, MINE) UDP("1234", "1234"), DROP_SPOOFED_IP },
		{ "another's later fragment", &listed, "0800 4500 0080 0000 0010 4011 0000" OTHER MINE, DROP_SPOOFED_IP },
		{ "no address", &listed, IP4("11", NO4, BC4) UDP("1234", "1234"), DROP_SPOOFED_IP },
		{ "DHCP", &listed, IP4("11", NO4, BC4) UDP("0044", "0043"), DROP_NONE },
		{ "IGMP", &listed, IP4("02", NO4, BC4) "2200", DROP_NONE },
		{ "own6", &listed, IP6("11", MINE6, OTHER6) UDP("1234", "1234"), DROP_NONE },
		{ "of its prefix", &listed, IP6("11", NET6, OTHER6) UDP("1234", "1234"), DROP_NONE },
		{ "another's6", &listed, IP6("11", "20010db8000200000000000000001234", OTHER6) UDP("1234", "1234"), DROP_SPOOFED_IP },
		{ "link-local", &listed, IP6("11", OWN_LL, OTHER6) UDP("1234", "1234"), DROP_NONE },
		{ "another's link-local", &listed, IP6("11", ANY_LL, OTHER6) UDP("1234", "1234"), DROP_SPOOFED_IP },
		{ "no address6", &listed, IP6("11", NO6, OTHER6) UDP("1234", "1234"), DROP_SPOOFED_IP },
		{ "MLD before there is one", &listed, IP6("00", NO6, ALL6) "3a00 0502 0000 0100 8f00", DROP_NONE },
		{ "ping6 from nowhere", &listed, IP6("3a", NO6, ALL6) "8000", DROP_SPOOFED_IP },
		{ "something else", &listed, "88b5 1234", DROP_NONE },
		/* neighbour discovery */
		{ "NS", &listed, NDISC("0020", MINE6, ALL6) "8700 0000 00000000" OTHER6 OPTION("01", MAC_1), DROP_NONE },
		{ "NS with another's MAC", &listed, NDISC("0020", MINE6, ALL6) "8700 0000 00000000" OTHER6 OPTION("01", MAC_2), DROP_SPOOFED_ND },
		{ "NS from another", &listed, NDISC("0020", ANY_LL, ALL6) "8700 0000 00000000" OTHER6 OPTION("01", MAC_1), DROP_SPOOFED_IP },
		{ "DAD", &listed, NDISC("0018", NO6, ALL6) "8700 0000 00000000" MINE6, DROP_NONE },
		{ "DAD of the link-local", &listed, NDISC("0018", NO6, ALL6) "8700 0000 00000000" OWN_LL, DROP_NONE },
		{ "DAD of another's", &listed, NDISC("0018", NO6, ALL6) "8700 0000 00000000" ANY_LL, DROP_SPOOFED_ND },
		{ "NA", &listed, NDISC("0020", MINE6, ALL6) "8800 0000 20000000" MINE6 OPTION("02", MAC_1), DROP_NONE },
		{ "NA without option", &listed, NDISC("0018", MINE6, ALL6) "8800 0000 20000000" MINE6, DROP_NONE },
		{ "NA for another", &listed, NDISC("0020", MINE6, ALL6) "8800 0000 20000000" ANY_LL OPTION("02", MAC_1), DROP_SPOOFED_ND },
		{ "NA with another's MAC", &listed, NDISC("0020", MINE6, ALL6) "8800 0000 20000000" MINE6 OPTION("02", MAC_2), DROP_SPOOFED_ND },
		{ "NA, second option", &listed, NDISC("0028", MINE6, ALL6) "8800 0000 20000000" MINE6 OPTION("0e", MAC_1) OPTION("02", MAC_2), DROP_SPOOFED_ND },
		{ "NA, option without length", &listed, NDISC("0020", MINE6, ALL6) "8800 0000 20000000" MINE6 "0200 020000000001", DROP_OBSCURE },
		{ "NA cut in the option", &listed, NDISC("001c", MINE6, ALL6) "8800 0000 20000000" MINE6 "02010200", DROP_OBSCURE },
		{ "NA cut in the target", &listed, NDISC("0010", MINE6, ALL6) "8800 0000 20000000" MINE6, DROP_OBSCURE },
		{ "NA in fragments", &listed, "86dd 60000000 0028 2cff" MINE6 ALL6 "3a00 0001 00000000 8800 0000 20000000" MINE6 OPTION("02", MAC_1), DROP_OBSCURE },
		{ "RS", &listed, NDISC("0010", OWN_LL, ALL6) "8500 0000 00000000" OPTION("01", MAC_1), DROP_NONE },
		{ "RS with another's MAC", &listed, NDISC("0010", OWN_LL, ALL6) "8500 0000 00000000" OPTION("01", MAC_2), DROP_SPOOFED_ND },
	};
	/* clang-format on */

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		enum drop_reason got = judged(cases[i].guard, cases[i].hex);

		if (got != cases[i].want)
			fail_msg("%s: %s", cases[i].name, drop_reason_name(got));
	}
}

/* Only those that it was asked about, each with its own reason. */
static void test_bursts(void **state)
{
	const struct guard both = { .dhcp = true, .router = true };

	put(0, IP4("11", MINE, BC4) UDP("0043", "0044"));
	put(1, IP4("11", MINE, BC4) UDP("0044", "0043"));
	put(2, IP6("3a", OWN_LL, ALL6) "8600");
	start(3);
	assert_int_equal(guard_out(&inspect, &both, 7), 2);
	assert_int_equal(inspect.reason[0], DROP_DHCP_GUARD);
	assert_int_equal(inspect.reason[2], DROP_ROUTER_GUARD);
	assert_int_equal(guard_out(&inspect, &both, 2), 2);
	assert_int_equal(guard_out(&inspect, &dhcp, 4), 4);
}

/* What was judged is what goes on, whatever the guest writes afterwards. */
static void test_pinned(void **state)
{
	uint16_t sport;

	put(0, IP4("11", MINE, BC4) UDP("0044", "0043"));
	start(1);
	assert_int_equal(guard_out(&inspect, &dhcp, 1), 1);
	put(0, IP4("11", MINE, BC4) UDP("0043", "0044"));
	frame_read(&burst.frame[0], 34, &sport, sizeof(sport));
	assert_int_equal(be16toh(sport), 68);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_guards),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
