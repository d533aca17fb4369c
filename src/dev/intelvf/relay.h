/* SPDX-License-Identifier: BSD-3-Clause */
/* The relay: how a VF works in guest memory that only messages reach.
 *
 * QEMU without share=on maps its memory without a file, and only DMA_READ and DMA_WRITE messages get
 * at it (mem.h, complication 1). Workers must never wait for a message, so they do not send any.
 * Instead such a VF is *relayed*: device I/O plays the driver of a second set of rings, the shadow
 * rings, which lie in memory of our own together with a bounce buffer for each descriptor. The
 * workers serve these with the same code and at the same cost as a guest's own rings, by
 * `dev->lines` and `dev->relay_table` instead of `dev->pages` and the guest's table; and device I/O
 * carries descriptors and data between the guest and the shadow, asynchronously, by vf_upcalls.
 *
 *   transmit: guest ring --read--> descriptors --read--> bounce buffers --> shadow tail --> worker
 *             --> DD in the shadow --write--> DD, or the head, in the guest --> TDH, interrupt
 *   receive:  guest ring --read--> shadow descriptors with bounce buffers --> worker --> DD in the
 *             shadow --write--> data, then write-back in the guest --> RDH, interrupt
 *
 * When it begins: a ring that is enabled, or a buffer in a descriptor, lies in memory that needs
 * messages. All rings of the VF are relayed then, also those in memory that we have mapped; where
 * there is a pointer the relay copies by itself, without a message. When it ends: all rings are
 * disabled and the last answer has come, so a reset ends it.
 *
 * Who wakes device I/O up: an interrupt of a shadow ring, which is a kick; the answers; and a tail
 * that moves in the mapped pages, for which the worker looks whenever it polls the transmit queue.
 *
 * Bounds: a ring has RELAY_TX_SLOTS or RELAY_RX_SLOTS buffers, whatever its own length, and a VF at
 * most VF_DMA_QUEUED messages in flight, in equal parts for its rings so that none starves another.
 *
 * State: all of this is derived. What the guest can see (TDH, RDH, what was written back) moves only
 * when it is so; a relay that begins anew at these heads sends again what was under way in transmit
 * rings and has lost what was under way in receive rings, as a wire may.
 *
 * Errors: an address that is in no window is a bad descriptor, as it is without a relay. A message
 * that the client refuses or leaves unanswered stops its ring (vf_counters.relay_stops) until the
 * guest disables it.
 *
 * A limit: a guest that disables a ring and at once reuses its memory may meet a write that was sent
 * before. The trapped access that the driver makes in between cannot be held back, since QEMU answers
 * DMA messages only when that access is done. Linux's ixgbevf waits 10 ms at this point.
 */
#ifndef SOFTIOV_DEV_INTELVF_RELAY_H
#define SOFTIOV_DEV_INTELVF_RELAY_H

#include "dev/intelvf/intelvf.h"

#define RELAY_TX_SLOTS     128
#define RELAY_RX_SLOTS     256
#define RELAY_TX_SLOT_SIZE 65536 /* TXD_DTALEN and a byte */
#define RELAY_RX_SLOT_SIZE 16384 /* above INTELVF_FRAME_MAX */

/* Device I/O: begins or ends relaying where that is due, and carries on what is under way. In trapped
 * accesses, kicks and answers. */
void relay_trap(struct intelvf *dev);

/* A worker, in relayed mode, when it looks at transmit queue q: kicks device I/O if the guest has
 * moved one of the tails or ENABLE bits of the pair. */
void relay_poll(struct intelvf *dev, unsigned int q);

/* A worker or device I/O: `size` bytes at `iova`, which have no pointer in `table`, were asked for.
 * True: messages reach them, relaying has been asked for, and the descriptor must stay where it is. */
bool relay_wanted(struct intelvf *dev, const struct mem_table *table, uint64_t iova, uint64_t size,
		  uint32_t prot);

/* Device I/O: the VF goes. No message is in flight any more. */
void relay_destroy(struct intelvf *dev);

#endif
