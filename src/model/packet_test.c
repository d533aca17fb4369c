/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"
#include "model/packet.h"

static bool mac_of(void *arg, const char *name, uint8_t mac[6])
{
	if (strcmp(name, "web2") != 0)
		return false;
	memcpy(mac, "\2\0\0\0\0\2", 6);
	return true;
}

static const struct packet_names names = { .from = { 2, 0, 0, 0, 0, 1 }, .mac_of = mac_of };

static int parse(const char *text, uint8_t *bytes, struct refusal *why)
{
	*why = (struct refusal)REFUSAL_INIT;
	return packet_parse(text, &names, bytes, why);
}

static void test_frames(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text;
		int size;
		uint32_t at;
		const char *bytes;
		uint32_t n;
	} cases[] = {
		{ "tcp 10.0.0.1:1234 > 10.0.0.2:80 to web2 vlan 5", 60, 0,
		  "\2\0\0\0\0\2\2\0\0\0\0\1\x81\0\0\5\x08\0\x45\0\0\x28", 22 },
		{ "tcp 10.0.0.1:1234 > 10.0.0.2:80", 60, 23, "\6\0\0\x0a\0\0\1\x0a\0\0\2\4\xd2\0\x50", 15 },
		{ "tcp 10.0.0.1:1234 > 10.0.0.2:80 flags 0x10", 60, 46, "\x50\x10", 2 },
		{ "udp [fd00::1]:68 > [ff02::1]:67 dscp 46 size 100", 100, 12,
		  "\x86\xdd\x6b\x80\0\0\0\x08\x11\xff\xfd", 11 },
		{ "sctp 10.0.0.1:1 > 10.0.0.2:2 pri 3", 60, 12, "\x81\0\x60\0\x08\0", 6 },
		{ "icmp 10.0.0.1 > 10.0.0.2", 60, 34, "\x08\0", 2 },
		{ "icmp6 fe80::1 > ff02::1 type 134 code 0", 62, 54, "\x86\0", 2 },
		{ "ip 10.0.0.1 > 10.0.0.2 proto 47", 60, 23, "\x2f", 1 },
		{ "arp 10.0.0.1 > 10.0.0.2", 60, 0,
		  "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x08\6\0\1\x08\0\6\4\0\1\2\0\0\0\0\1\x0a\0\0\1", 32 },
		{ "eth type 0x88cc to 01:80:c2:00:00:0e from 02:00:00:00:00:09", 60, 0,
		  "\1\x80\xc2\0\0\x0e\2\0\0\0\0\x09\x88\xcc", 14 },
		{ "020000000002 02:00:00:00:00:01 0806", 14, 0, "\2\0\0\0\0\2\2\0\0\0\0\1\x08\6", 14 },
	};
	/* clang-format on */
	static uint8_t bytes[PACKET_SIZE_MAX];
	struct refusal why;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		if (parse(cases[i].text, bytes, &why) != cases[i].size)
			fail_msg("%s: %s", cases[i].text, why.allowed);
		if (memcmp(bytes + cases[i].at, cases[i].bytes, cases[i].n) != 0)
			fail_msg("%s: other bytes", cases[i].text);
	}
}

static void test_refused(void **state)
{
	/* clang-format off */
	static const struct {
		const char *text, *value, *allowed;
	} cases[] = {
		{ "", "", "a frame in hexadecimal" },
		{ "0200", "0200", "a frame in hexadecimal" },
		{ "02000000000202000000000108060", "02000000000202000000000108060", "a frame in hexadecimal" },
		{ "tpc 10.0.0.1:1 > 10.0.0.2:2", "tpc", "begins with tcp" },
		{ "tcp 10.0.0.1 > 10.0.0.2:80", "10.0.0.1", "tcp ADDRESS:PORT" },
		{ "tcp 10.0.0.1:1 10.0.0.2:80", "10.0.0.2:80", "tcp ADDRESS:PORT" },
		{ "tcp 10.0.0.1:1 >", "", "tcp ADDRESS:PORT" },
		{ "tcp 10.0.0.1:1 > 10.0.0.2:65536", "10.0.0.2:65536", "tcp ADDRESS:PORT" },
		{ "tcp 10.0.0.256:1 > 10.0.0.2:2", "10.0.0.256:1", "tcp ADDRESS:PORT" },
		{ "udp fd00::1:5 > [fd00::2]:5", "fd00::1:5", "udp ADDRESS:PORT" },
		{ "icmp fd00::1 > fd00::2", "fd00::2", "both" },
		{ "ip 10.0.0.1 > fd00::2", "fd00::2", "both" },
		{ "icmp 10.0.0.1 > 10.0.0.2 vlan 4095", "4095", "a number from 0 to 4094" },
		{ "icmp 10.0.0.1 > 10.0.0.2 vlan", "", "a number from 0 to 4094" },
		{ "icmp 10.0.0.1 > 10.0.0.2 vlna 5", "vlna", "from MAC" },
		{ "icmp 10.0.0.1 > 10.0.0.2 to web3", "web3", "a vport's name" },
		{ "icmp 10.0.0.1 > 10.0.0.2 to 02:00:00:00:00:02:03", "02:00:00:00:00:02:03", "a MAC" },
		{ "icmp 10.0.0.1 > 10.0.0.2 size 9001", "9001", "to 9000" },
	};
	/* clang-format on */
	static uint8_t bytes[PACKET_SIZE_MAX];
	struct refusal why;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_int_equal(parse(cases[i].text, bytes, &why), -22);
		if (strcmp(why.value, cases[i].value) != 0 ||
		    strstr(why.allowed, cases[i].allowed) == NULL)
			fail_msg("%s: '%s' '%s'", cases[i].text, why.value, why.allowed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
