/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/match.h"

#include "model/text.h"
#include "model/value.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* A decimal number without sign, space or leading zero. */
static bool number_parse(const char *text, size_t len, unsigned int max, unsigned int *number)
{
	unsigned int n = 0;

	if (len == 0 || len > 5 || (len > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isdigit((unsigned char)text[i]))
			return false;
		n = n * 10 + (unsigned int)(text[i] - '0');
	}
	*number = n;
	return n <= max;
}

/* --- addresses --- */

/* Clears what is behind the prefix. True: something was set there. */
static bool mask(struct prefix *prefix)
{
	bool any = false;

	for (unsigned int bit = prefix->bits; bit < sizeof(prefix->addr) * 8; bit++) {
		uint8_t m = (uint8_t)(0x80u >> bit % 8);

		any |= (prefix->addr[bit / 8] & m) != 0;
		prefix->addr[bit / 8] &= (uint8_t)~m;
	}
	return any;
}

bool prefix_parse(const char *text, struct prefix *prefix, char wrong[PREFIX_TEXT_SIZE])
{
	const char *slash = strchr(text, '/');
	char addr[INET6_ADDRSTRLEN];
	unsigned int bits, bits_max;

	wrong[0] = '\0';
	*prefix = (struct prefix){ .kind = PREFIX_ANY };
	if (!strcmp(text, "any"))
		return true;
	if (value_parse_mac(text, prefix->addr)) {
		prefix->kind = PREFIX_MAC;
		prefix->bits = 48;
		return true;
	}
	if ((slash ? (size_t)(slash - text) : strlen(text)) >= sizeof(addr))
		return false;
	text_put(addr, sizeof(addr), "%.*s", slash ? (int)(slash - text) : (int)sizeof(addr), text);
	*prefix = (struct prefix){ .kind = strchr(addr, ':') ? PREFIX_IPV6 : PREFIX_IPV4 };
	bits = bits_max = prefix->kind == PREFIX_IPV6 ? 128 : 32;
	if (inet_pton(prefix->kind == PREFIX_IPV6 ? AF_INET6 : AF_INET, addr, prefix->addr) != 1 ||
	    (slash && !number_parse(slash + 1, strlen(slash + 1), bits_max, &bits)))
		return false;
	prefix->bits = (uint8_t)bits;
	if (!mask(prefix))
		return true;
	prefix_format(prefix, wrong);
	return false;
}

void prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_SIZE])
{
	const uint8_t *a = prefix->addr;
	bool v6 = prefix->kind == PREFIX_IPV6;
	char addr[INET6_ADDRSTRLEN];

	if (prefix->kind == PREFIX_ANY) {
		text_put(text, PREFIX_TEXT_SIZE, "any");
		return;
	}
	if (prefix->kind == PREFIX_MAC) {
		text_put(text, PREFIX_TEXT_SIZE, "%02x:%02x:%02x:%02x:%02x:%02x", a[0], a[1], a[2],
			 a[3], a[4], a[5]);
		return;
	}
	inet_ntop(v6 ? AF_INET6 : AF_INET, a, addr, sizeof(addr));
	if (prefix->bits == (v6 ? 128 : 32))
		text_put(text, PREFIX_TEXT_SIZE, "%s", addr);
	else
		text_put(text, PREFIX_TEXT_SIZE, "%s/%u", addr, prefix->bits);
}

/* --- protocols and ports --- */

static const struct {
	const char *name;
	unsigned int number;
} protocols[] = {
	{ "any", PROTOCOL_ANY }, { "icmp", 1 }, { "igmp", 2 },    { "tcp", 6 },    { "udp", 17 },
	{ "gre", 47 },           { "esp", 50 }, { "icmpv6", 58 }, { "sctp", 132 },
};
#define N_PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

bool protocol_parse(const char *text, unsigned int *protocol)
{
	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (!strcmp(text, protocols[i].name)) {
			*protocol = protocols[i].number;
			return true;
		}
	return number_parse(text, strlen(text), 255, protocol);
}

void protocol_format(unsigned int protocol, char text[PROTOCOL_TEXT_SIZE])
{
	for (size_t i = 0; i < N_PROTOCOLS; i++)
		if (protocols[i].number == protocol) {
			text_put(text, PROTOCOL_TEXT_SIZE, "%s", protocols[i].name);
			return;
		}
	text_put(text, PROTOCOL_TEXT_SIZE, "%u", protocol);
}

bool ports_parse(const char *text, struct ports *ports)
{
	const char *dash = strchr(text, '-');
	unsigned int from = 0, to = 65535;

	if (strcmp(text, "any") != 0) {
		if (!number_parse(text, dash ? (size_t)(dash - text) : strlen(text), 65535, &from))
			return false;
		to = from;
		if (dash && !number_parse(dash + 1, strlen(dash + 1), 65535, &to))
			return false;
	}
	*ports = (struct ports){ (uint16_t)from, (uint16_t)to };
	return from <= to;
}

void ports_format(const struct ports *ports, char text[PORTS_TEXT_SIZE])
{
	if (ports->from == 0 && ports->to == 65535)
		text_put(text, PORTS_TEXT_SIZE, "any");
	else if (ports->from == ports->to)
		text_put(text, PORTS_TEXT_SIZE, "%u", ports->from);
	else
		text_put(text, PORTS_TEXT_SIZE, "%u-%u", ports->from, ports->to);
}
