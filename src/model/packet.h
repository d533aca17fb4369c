/* SPDX-License-Identifier: BSD-3-Clause */
/* A frame in words, for `trace`: what people write becomes bytes.
 *
 *   tcp 10.0.0.1:1234 > 10.0.0.2:80 to web2 vlan 5
 *   udp [fd00::1]:68 > [ff02::1]:67 from 02:00:00:00:00:09
 *   icmp 10.0.0.1 > 10.0.0.2 type 8     icmp6 fe80::1 > ff02::1 type 134
 *   ip 10.0.0.1 > 10.0.0.2 proto 47     arp 10.0.0.1 > 10.0.0.2
 *   eth type 0x88cc to 01:80:c2:00:00:0e
 *   020000000002 020000000001 0806 ...  (hexadecimal, from the destination address on)
 *
 * Checksums stay 0: nothing in the switch looks at them.
 */
#ifndef MODEL_PACKET_H
#define MODEL_PACKET_H

#include <stdbool.h>
#include <stdint.h>

#include "model/refusal.h"

#define PACKET_SIZE_MAX 9216

struct packet_names {
	uint8_t from[6]; /* the source address where none is given */
	/* The address of a port with this name; false: there is none. */
	bool (*mac_of)(void *arg, const char *name, uint8_t mac[6]);
	void *arg;
};

/* Writes bytes[PACKET_SIZE_MAX]; returns their number, or -EINVAL with `why`, field and value in it. */
int packet_parse(const char *text, const struct packet_names *names, uint8_t *bytes,
		 struct refusal *why);

#endif
