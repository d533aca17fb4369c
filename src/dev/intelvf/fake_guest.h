/* SPDX-License-Identifier: BSD-3-Clause */
/* For the unit tests of this folder: a VM whose driver is the test. It has memory in a memfd that is
 * mapped as DMA memory, maps the queue pages as a VMM would, and sees the interrupts. */
#ifndef SOFTIOV_DEV_INTELVF_FAKE_GUEST_H
#define SOFTIOV_DEV_INTELVF_FAKE_GUEST_H

#include "dev/intelvf/intelvf.h"

#define GUEST_STATUS \
	0x0008 /* a register that both families have: reading it is a trap, and no more */

#define GUEST_RAM_AT   0x40000000ull
#define GUEST_RAM_SIZE (1u << 20)
#define GUEST_ROM_AT   0x80000000ull     /* one read-only page */
#define GUEST_MSG_AT   0x90000000ull     /* one page without file: messages only */
#define GUEST_MAC      0x665544332202ull /* 02:22:33:44:55:66 */

/* Where things lie in the guest's memory. */
#define GUEST_RX_RING (GUEST_RAM_AT + 0x0000)
#define GUEST_TX_RING (GUEST_RAM_AT + 0x10000)
#define GUEST_BUFS    (GUEST_RAM_AT + 0x20000) /* receive buffers, 2 KiB each */
#define GUEST_DATA    (GUEST_RAM_AT + 0x80000) /* what is sent */

struct guest {
	struct vf *vf;
	struct intelvf *dev;
	struct mem *mem;
	uint8_t *ram;
	uint8_t *pages; /* its own mapping of the queue pages */
	unsigned int n_irqs[INTELVF_VECTORS];
	unsigned int n_macs_changed, n_states, n_quiesces;
	enum vf_state state;
	/* Called in quiesce, as what a worker does meanwhile. */
	void (*on_quiesce)(struct guest *g);
	struct endpoint_stats stats; /* for pushes */
	struct burst burst;
};

void guest_start(struct guest *g, const char *model);
/* The same with more queue pairs than the model has at least. */
void guest_start_queues(struct guest *g, const char *model, unsigned int n_queues);
void guest_stop(struct guest *g);

uint32_t guest_read(struct guest *g, uint32_t offset);
void guest_write(struct guest *g, uint32_t offset, uint32_t value);
/* A register of a queue, by the mapping: no trap. */
uint32_t guest_line_read(struct guest *g, uint32_t offset);
void guest_line_write(struct guest *g, uint32_t offset, uint32_t value);
void *guest_va(struct guest *g, uint64_t iova);

/* The mailbox as drivers up to API 1.4 use it (style 1) and from 1.5 on (style 2). Sends n words,
 * takes the reply's 16. False: no reply. */
bool guest_mbox(struct guest *g, int style, const uint32_t *msg, unsigned int n, uint32_t *reply);
/* RESET, and API_NEGOTIATE. */
void guest_mbox_up(struct guest *g, enum mbox_api api);

/* Rings of n_desc descriptors, enabled; vectors 0 (receive) and 1 (transmit), 2 for the mailbox, all
 * unmasked, neither auto-clear nor auto-mask. */
void guest_rx_up(struct guest *g, unsigned int n_desc, uint32_t srrctl, uint32_t rxdctl);
void guest_tx_up(struct guest *g, unsigned int n_desc);
void guest_irqs_up(struct guest *g);
void guest_tx_tail(struct guest *g, uint32_t tail);
void guest_rx_tail(struct guest *g, uint32_t tail);
/* Posts receive buffers [from, to) and moves RDT to `to`. */
void guest_rx_post(struct guest *g, unsigned int from, unsigned int to, unsigned int n_desc);

struct guest_desc {
	uint64_t lo, hi;
};
struct guest_desc *guest_rx_desc(struct guest *g, unsigned int idx);
struct guest_desc *guest_tx_desc(struct guest *g, unsigned int idx);

/* A frame for the guest, parsed: Ethernet header, ethertype, `size` bytes in all. */
struct frame guest_frame(uint8_t *bytes, uint32_t size, uint64_t dest, uint16_t ethertype);
void guest_push(struct guest *g, const struct frame *f, unsigned int n, uint16_t untagged_vid);
unsigned int guest_pull(struct guest *g);
void guest_done(struct guest *g);
struct endpoint_stats guest_stats(struct guest *g);

#endif
