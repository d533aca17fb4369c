/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of the families' mailboxes. */
#ifndef SOFTIOV_DEV_INTELVF_MBOX_TEST_H
#define SOFTIOV_DEV_INTELVF_MBOX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dev/intelvf/fake_guest.h"

/* An opcode of a mailbox word, sent with 1 to 16 words; what is not sent is whatever lay there. Each is
 * answered once, with its own opcode, and none gives an untrusted VF more than it may have. */
static inline void check_every_length(struct guest *g, uint32_t op)
{
	const struct intelvf_state *st = g->dev->st;
	uint32_t msg[VFMBMEM_WORDS], reply[VFMBMEM_WORDS];

	for (unsigned int n = 1; n <= VFMBMEM_WORDS; n++) {
		msg[0] = op | (n % 4) << 16;
		for (unsigned int i = 1; i < n; i++)
			msg[i] = op % 2 == 0 ? 0xffffffff : op * i;
		assert_true(guest_mbox(g, 1, msg, n, reply));
		if ((reply[0] & 0xffff) != op || (reply[0] >> 30) % 3 == 0)
			fail_msg("opcode %#x, %u words: %#x", op, n, reply[0]);
		assert_int_equal(st->mac, GUEST_MAC);
		assert_int_equal(st->n_macs, 0);
		assert_true(st->xcast < XCAST_PROMISC);
	}
}

#endif
