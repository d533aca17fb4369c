/* SPDX-License-Identifier: BSD-3-Clause */
/* What rules match by, as text: addresses, protocols, ports. */
#ifndef MODEL_MATCH_H
#define MODEL_MATCH_H

#include "base/prefix.h"

#include <stdbool.h>
#include <stddef.h>

#define PREFIX_TEXT_SIZE   56
#define PROTOCOL_TEXT_SIZE 12
#define PORTS_TEXT_SIZE    16

#define PROTOCOL_ANY 256u

struct ports {
	uint16_t from, to; /* 0 to 65535: any */
};

/* `any`, a MAC address, or an IPv4 or IPv6 address with /BITS, which may be missing for a whole address. False for
 * anything else; `wrong` then has what to write instead where only bits behind the prefix are set, else "". */
bool prefix_parse(const char *text, struct prefix *prefix, char wrong[PREFIX_TEXT_SIZE]);
void prefix_format(const struct prefix *prefix, char text[PREFIX_TEXT_SIZE]);

/* `any`, a name, or a number from 0 to 255: IANA, "Protocol Numbers". */
bool protocol_parse(const char *text, unsigned int *protocol);
void protocol_format(unsigned int protocol, char text[PROTOCOL_TEXT_SIZE]);

/* `any`, N or N-M. */
bool ports_parse(const char *text, struct ports *ports);
void ports_format(const struct ports *ports, char text[PORTS_TEXT_SIZE]);

#endif
