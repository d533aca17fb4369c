/* SPDX-License-Identifier: BSD-3-Clause */
#include "model/packet.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "model/text.h"
#include "model/value.h"

#define FIELD      "frame"
#define WORD_MAX   64
#define HEX_DIGITS (2 * 14) /* at least: an Ethernet header */
#define TYPE_VLAN  0x8100
#define TYPE_IPV4  0x0800
#define TYPE_IPV6  0x86dd
#define TYPE_ARP   0x0806

struct kind {
	const char *name;
	uint8_t proto; /* of IP */
	bool ports, addresses;
	const char *form;
};

static const struct kind kinds[] = {
	{ "tcp", 6, true, true, "tcp ADDRESS:PORT > ADDRESS:PORT" },
	{ "udp", 17, true, true, "udp ADDRESS:PORT > ADDRESS:PORT" },
	{ "sctp", 132, true, true, "sctp ADDRESS:PORT > ADDRESS:PORT" },
	{ "icmp", 1, false, true, "icmp ADDRESS > ADDRESS" },
	{ "icmp6", 58, false, true, "icmp6 ADDRESS > ADDRESS" },
	{ "ip", 255, false, true, "ip ADDRESS > ADDRESS" },
	{ "arp", 0, false, true, "arp ADDRESS > ADDRESS" },
	{ "eth", 0, false, false, "eth type NUMBER" },
};

enum option {
	OPTION_VLAN,
	OPTION_PRI,
	OPTION_SIZE,
	OPTION_FLAGS,
	OPTION_TYPE,
	OPTION_CODE,
	OPTION_DSCP,
	OPTION_PROTO,
	N_OPTIONS
};

static const struct {
	const char *name;
	unsigned long max;
} options[N_OPTIONS] = {
	[OPTION_VLAN] = { "vlan", 4094 },  [OPTION_PRI] = { "pri", 7 },
	[OPTION_SIZE] = { "size", 9000 },  [OPTION_FLAGS] = { "flags", 255 },
	[OPTION_TYPE] = { "type", 65535 }, [OPTION_CODE] = { "code", 255 },
	[OPTION_DSCP] = { "dscp", 63 },    [OPTION_PROTO] = { "proto", 255 },
};

struct address {
	bool v6;
	uint8_t bytes[16];
	uint16_t port;
};

struct words {
	const char *at;
	char word[WORD_MAX];
};

struct packet {
	const struct kind *kind;
	struct address source, dest;
	uint8_t from[6], to[6];
	bool given[N_OPTIONS];
	unsigned int value[N_OPTIONS];
};

/* The next word; false: there is none. */
static bool next_word(struct words *w)
{
	size_t size = 0;

	while (isspace((unsigned char)*w->at))
		w->at++;
	while (w->at[size] != '\0' && !isspace((unsigned char)w->at[size]))
		size++;
	text_put(w->word, sizeof(w->word), "%.*s", (int)size, w->at);
	w->at += size;
	return size > 0;
}

static bool parse_number(const char *text, unsigned long max, unsigned int *v)
{
	char *end;
	unsigned long n = strtoul(text, &end, 0);

	*v = (unsigned int)n;
	return isdigit((unsigned char)text[0]) && *end == '\0' && n <= max;
}

/* ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT */
static bool parse_address(const char *text, bool has_port, struct address *a)
{
	char host[WORD_MAX];
	const char *colon = has_port ? strrchr(text, ':') : NULL;
	size_t size = colon != NULL ? (size_t)(colon - text) : strlen(text);
	bool brackets = size > 1 && text[0] == '[' && text[size - 1] == ']';
	unsigned int port = 0;

	if (has_port && (colon == NULL || !parse_number(colon + 1, 65535, &port)))
		return false;
	text_put(host, sizeof(host), "%.*s", (int)(brackets ? size - 2 : size), text + brackets);
	a->port = (uint16_t)port;
	a->v6 = strchr(host, ':') != NULL;
	if (a->v6 && has_port && !brackets)
		return false;
	return inet_pton(a->v6 ? AF_INET6 : AF_INET, host, a->bytes) == 1;
}

static int parse_addresses(struct packet *p, struct words *w, struct refusal *why)
{
	struct address *const ends[] = { &p->source, &p->dest };

	for (unsigned int i = 0; i < 2; i++) {
		if (!next_word(w) || !parse_address(w->word, p->kind->ports, ends[i]))
			return refuse_value(why, FIELD, w->word, "%s", p->kind->form);
		if (i == 0 && (!next_word(w) || strcmp(w->word, ">") != 0))
			return refuse_value(why, FIELD, w->word, "%s", p->kind->form);
	}
	if (p->source.v6 != p->dest.v6 ||
	    (p->source.v6 && (p->kind->proto == 1 || p->kind->proto == 0)) ||
	    (!p->source.v6 && p->kind->proto == 58))
		return refuse_value(why, FIELD, w->word, "%s, both IPv4 or both IPv6, as %s has it",
				    p->kind->form, p->kind->name);
	return 0;
}

static int parse_mac(uint8_t mac[6], struct words *w, const struct packet_names *names,
		     struct refusal *why)
{
	unsigned int b[6];
	char rest;

	if (!next_word(w))
		return refuse_value(why, FIELD, "", "a MAC address, or a vport's name");
	if (sscanf(w->word, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &rest) == 6) {
		for (unsigned int i = 0; i < 6; i++)
			mac[i] = (uint8_t)b[i];
		return 0;
	}
	if (names->mac_of(names->arg, w->word, mac))
		return 0;
	return refuse_value(why, FIELD, w->word, "a MAC address, or a vport's name");
}

static int parse_options(struct packet *p, struct words *w, const struct packet_names *names,
			 struct refusal *why)
{
	while (next_word(w)) {
		unsigned int i = 0;
		int ret;

		if (strcmp(w->word, "from") == 0 || strcmp(w->word, "to") == 0) {
			ret = parse_mac(w->word[0] == 'f' ? p->from : p->to, w, names, why);
			if (ret < 0)
				return ret;
			continue;
		}
		while (i < N_OPTIONS && strcmp(options[i].name, w->word) != 0)
			i++;
		if (i == N_OPTIONS)
			return refuse_value(why, FIELD, w->word,
					    "from MAC, to MAC or VPORT, vlan, pri, size, flags (of "
					    "TCP), type, code, dscp or proto with a number");
		if (!next_word(w) || !parse_number(w->word, options[i].max, &p->value[i]))
			return refuse_value(why, FIELD, w->word, "%s with a number from 0 to %lu",
					    options[i].name, options[i].max);
		p->given[i] = true;
	}
	return 0;
}

static unsigned int value_or(const struct packet *p, enum option option, unsigned int other)
{
	return p->given[option] ? p->value[option] : other;
}

/* Behind the IP header. */
static uint32_t put_l4(const struct packet *p, uint8_t *l4, uint8_t proto)
{
	store_be16(l4, p->source.port);
	store_be16(l4 + 2, p->dest.port);
	switch (proto) {
	case 6:
		l4[12] = 0x50;
		l4[13] = (uint8_t)value_or(p, OPTION_FLAGS, 0x02);
		return 20;
	case 17:
		store_be16(l4 + 4, 8);
		return 8;
	case 132:
		return 12;
	case 1:
	case 58:
		l4[0] = (uint8_t)value_or(p, OPTION_TYPE, proto == 1 ? 8 : 128);
		l4[1] = (uint8_t)value_or(p, OPTION_CODE, 0);
		return 8;
	}
	return 0;
}

/* Returns the size; in *type the ethertype. */
static uint32_t put_l3(const struct packet *p, uint8_t *l3, uint16_t *type)
{
	uint8_t proto = p->kind->proto == 255 ? (uint8_t)value_or(p, OPTION_PROTO, 255)
					      : p->kind->proto;
	unsigned int tos = value_or(p, OPTION_DSCP, 0) << 2;
	uint32_t size;

	if (!p->kind->addresses) {
		*type = (uint16_t)value_or(p, OPTION_TYPE, 0x88b5); /* for experiments: IEEE 802 */
		return 46;
	}
	if (p->kind->proto == 0) { /* RFC 826 */
		static const uint8_t request[] = { 0, 1, 8, 0, 6, 4, 0, 1 };

		*type = TYPE_ARP;
		memcpy(l3, request, sizeof(request));
		memcpy(l3 + 8, p->from, 6);
		memcpy(l3 + 14, p->source.bytes, 4);
		memcpy(l3 + 24, p->dest.bytes, 4);
		return 28;
	}
	if (p->source.v6) {
		*type = TYPE_IPV6;
		size = put_l4(p, l3 + 40, proto);
		l3[0] = (uint8_t)(0x60 | tos >> 4);
		l3[1] = (uint8_t)(tos << 4);
		store_be16(l3 + 4, (uint16_t)size);
		l3[6] = proto;
		l3[7] = 255; /* as neighbour discovery wants it: RFC 4861 */
		memcpy(l3 + 8, p->source.bytes, 16);
		memcpy(l3 + 24, p->dest.bytes, 16);
		return 40 + size;
	}
	*type = TYPE_IPV4;
	size = 20 + put_l4(p, l3 + 20, proto);
	l3[0] = 0x45;
	l3[1] = (uint8_t)tos;
	store_be16(l3 + 2, (uint16_t)size);
	l3[8] = 64;
	l3[9] = proto;
	memcpy(l3 + 12, p->source.bytes, 4);
	memcpy(l3 + 16, p->dest.bytes, 4);
	return size;
}

static int put_packet(const struct packet *p, uint8_t *bytes)
{
	uint32_t at = 12, size;
	uint16_t type;

	memset(bytes, 0, PACKET_SIZE_MAX);
	memcpy(bytes, p->to, 6);
	memcpy(bytes + 6, p->from, 6);
	if (p->given[OPTION_VLAN] || p->given[OPTION_PRI]) {
		store_be16(bytes + at, TYPE_VLAN);
		store_be16(bytes + at + 2, (uint16_t)(value_or(p, OPTION_PRI, 0) << 13 |
						      value_or(p, OPTION_VLAN, 0)));
		at += 4;
	}
	size = at + 2 + put_l3(p, bytes + at + 2, &type);
	store_be16(bytes + at, type);
	if (size < value_or(p, OPTION_SIZE, 60))
		size = value_or(p, OPTION_SIZE, 60);
	return (int)size;
}

static int nibble(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* -1: it is not hexadecimal. */
static int parse_hex(const char *text, uint8_t *bytes)
{
	unsigned int n = 0;

	for (; *text != '\0'; text++) {
		if (*text == ' ' || *text == ':')
			continue;
		if (!isxdigit((unsigned char)*text) || n == 2 * PACKET_SIZE_MAX)
			return -1;
		bytes[n / 2] = (uint8_t)((n % 2 != 0 ? bytes[n / 2] << 4 : 0) | nibble(*text));
		n++;
	}
	return n >= HEX_DIGITS && n % 2 == 0 ? (int)(n / 2) : -1;
}

int packet_parse(const char *text, const struct packet_names *names, uint8_t *bytes,
		 struct refusal *why)
{
	struct packet p = { .kind = NULL };
	struct words w = { .at = text };
	int size = parse_hex(text, bytes), ret = 0;

	if (size > 0)
		return size;
	next_word(&w);
	for (unsigned int i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i].name, w.word) == 0)
			p.kind = &kinds[i];
	if (p.kind == NULL)
		return refuse_value(
			why, FIELD, w.word,
			"a frame in hexadecimal of 14 bytes or more, or one that begins with "
			"tcp, udp, sctp, icmp, icmp6, ip, arp or eth, as in "
			"'tcp 10.0.0.1:1234 > 10.0.0.2:80 to web2 vlan 5'");
	memcpy(p.from, names->from, sizeof(p.from));
	if (p.kind->proto == 0 && p.kind->addresses)
		memset(p.to, 0xff, sizeof(p.to)); /* who asks by ARP asks all */
	if (p.kind->addresses)
		ret = parse_addresses(&p, &w, why);
	if (ret == 0)
		ret = parse_options(&p, &w, names, why);
	return ret < 0 ? ret : put_packet(&p, bytes);
}
