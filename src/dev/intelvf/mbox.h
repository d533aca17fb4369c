/* SPDX-License-Identifier: BSD-3-Clause */
/* Mailbox messages: what both families have alike, and the tables in which each lists its own.
 *
 * The messages are not Intel's document but its drivers': names, numbers and what a PF answers are those of
 * Linux 6.12's ixgbevf (mbx.h, vf.c), ixgbe (ixgbe_sriov.c), igbvf (mbx.h, vf.c) and igb (igb_main.c).
 * All of it is device I/O's. */
#ifndef SOFTIOV_DEV_INTELVF_MBOX_H
#define SOFTIOV_DEV_INTELVF_MBOX_H

#include "dev/intelvf/intelvf.h"

#define MSG_SUCCESS 0x80000000u
#define MSG_FAILURE 0x40000000u
#define MSG_CTS     0x20000000u
#define MSG_OP      0x0000ffffu
#define MSG_INFO(w) ((w) >> 16 & 0xff)

#define OP_RESET         0x01
#define OP_SET_MAC_ADDR  0x02
#define OP_SET_MULTICAST 0x03
#define OP_SET_VLAN      0x04
#define OP_SET_LPE       0x05
#define PF_CONTROL_MSG   0x0100

/* A handler gets the 16 words of the request and turns them into the reply's; word 0 is completed by
 * the caller. False: refused. */
typedef bool mbox_handler(struct intelvf *dev, uint32_t *msg);

struct mbox_op {
	const char *name;
	mbox_handler *handler;
	enum mbox_api since; /* refused below */
};

struct mbox_table {
	const struct mbox_op *op; /* by opcode; without handler: unknown */
	unsigned int n;
};

/* Carries out the request in msg and leaves the reply there. Returns its length in words; 0 is no
 * reply. */
uint32_t pf_serve(struct intelvf *dev, uint32_t *msg);

/* Handlers. */
mbox_handler pf_set_mac;
mbox_handler pf_set_multicast;
mbox_handler pf_set_vlan;
mbox_handler pf_set_lpe;

/* The list of further addresses: keeps the first n_kept, at most those there are, and adds `mac` to them.
 * False: refused. */
bool pf_add_mac(struct intelvf *dev, uint32_t n_kept, uint64_t mac);
void pf_clear_macs(struct intelvf *dev);

/* The six bytes of an address lie in two words, in memory order. */
static inline uint64_t mbox_mac(const uint32_t *words)
{
	return htole32(words[0]) | (uint64_t)(htole32(words[1]) & 0xffff) << 32;
}

#endif
