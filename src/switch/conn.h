/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections of one vport, which its stateful rules have let through: what answers them is let through as well.
 *
 * A table of fixed size, so that a vport whose peers, or whose VM, open connections without end loses its own entries
 * alone. An entry has 16 places where it can be. A new connection takes one that is free or whose entry is over; else the
 * place of the longest silent connection that was never answered; else it is refused.
 *
 *  1. Several workers look up and open at the same time. Looking up takes no lock: an entry's `life` has a generation,
 *     which is odd while the entry is written, and who has read an entry looks whether it is still the same one. Opening
 *     takes the lock of a part of the table.
 *  2. Nobody removes what is over: it is found to be over (conn_answers), or its place is taken.
 *  3. An entry names its rule by a number that no other rule of the vport ever gets. Whether that rule still holds is for
 *     the caller to ask.
 *
 * TCP (RFC 9293, 3.3.2 and 3.5) is followed as far as its end: after a FIN from both sides, or a RST, only what closes the
 * connection passes, for CONN_CLOSING_S; a SYN of the side that opened it begins anew. A connection that was there before
 * the rule, or before the daemon, is taken up in its middle.
 */
#ifndef SOFTIOV_SWITCH_CONN_H
#define SOFTIOV_SWITCH_CONN_H

#include <stdbool.h>
#include <stdint.h>

#define CONN_CLOSING_S    10 /* for retransmissions of a FIN and its acknowledgement */
#define CONN_UNANSWERED_S 60 /* at most, until the first answer */

/* As the VM sees it. Compared as a whole, so no byte is undefined. */
struct conn_key {
	uint8_t remote[16], local[16];
	uint16_t remote_port, local_port; /* network order; 0 of protocols without */
	uint8_t ip;                       /* 4 or 6 */
	uint8_t protocol;
	uint8_t opened_out; /* by the VM */
	uint8_t pad;
};

/* What is asked about a frame. Made before its answer is wanted, and fetched a while later, for a whole burst each: what
 * the table has of connections seldom lies in a cache. */
struct conn_ask {
	struct conn_key key;
	uint64_t hash;
};

/* Of the rule that let it through. */
struct conn_rule {
	uint32_t place, serial;
	uint32_t idle_s;
};

struct conns;

/* Control. Room for n connections, but for one in some thousands whose 16 places may be taken before: 100 to 200 bytes
 * each, taken at once. NULL: no memory. */
struct conns *conns_new(unsigned int n);
/* Accepts NULL. */
void conns_free(struct conns *conns);
/* How many there are now; looks at all places. */
unsigned int conns_count(const struct conns *conns, uint32_t now_s);

/* Any worker. `ask->key` is set. */
void conn_ask(const struct conns *conns, struct conn_ask *ask);
void conn_fetch(const struct conns *conns, const struct conn_ask *ask);
/* Any worker. A frame of the side that opens: the connection is there from now on, or goes on. `tcp`: its flags, else 0.
 * False: there is no place for it. */
bool conn_open(struct conns *conns, const struct conn_ask *ask, const struct conn_rule *rule,
	       uint8_t tcp, uint32_t now_s);
/* Any worker. A frame of the other side, whose key has opened_out of the side that opened: whether it answers a connection,
 * and then of which rule. */
bool conn_answers(struct conns *conns, const struct conn_ask *ask, uint8_t tcp, uint32_t now_s,
		  struct conn_rule *rule);
/* The same without remembering that there was such a frame. */
bool conn_would_answer(struct conns *conns, const struct conn_ask *ask, uint8_t tcp, uint32_t now_s,
		       struct conn_rule *rule);

#endif
