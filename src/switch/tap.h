/* SPDX-License-Identifier: BSD-3-Clause */
/* Taps: who looks at a port's frames and decides nothing (src/capture).
 *
 * A frame is seen at the port that it comes from, and at each port that it goes to, once each, when it is known what
 * became of it there. A port that nobody looks at has no tap and pays nothing for it.
 *
 * What is seen is what was decided on: headers are pinned (frame/flow.h) before a tap is asked whether it wants a frame.
 * Before that, filters say which frames they may want, and the others cost no more than that.
 */
#ifndef SOFTIOV_SWITCH_TAP_H
#define SOFTIOV_SWITCH_TAP_H

#include <stdatomic.h>

#include "frame/frame.h"

enum tap_way {
	TAP_OUT, /* from the port into the switch */
	TAP_IN,  /* from the switch to the port */
};

#define TAP_BIT(way)   (1u << (way))
#define TAP_QUEUE_NONE UINT16_MAX /* the queue is not known */

struct forwarder;

/* A frame at a port. */
struct tap_sight {
	struct forwarder *fw; /* of the worker that sees it */
	const struct frame *frame;
	uint16_t queue;
	uint8_t way;    /* enum tap_way */
	uint8_t drop;   /* enum drop_reason; DROP_NONE: it went on */
	uint8_t slot;   /* of port_config.endpoint[]; PORT_ENDPOINTS: none */
	bool tagged;    /* it has its tag at this port */
	uint16_t vid;   /* VLAN that it is in there */
	const char *by; /* with DROP_EXTENSION: which; for as long as the frame is seen */
};

/* Which frames a tap wants, by their bytes. */
struct tap_filter {
	/* Whether it wants this one. Any thread. */
	bool (*sees)(const struct tap_filter *filter, const struct tap_sight *sight);
	/* Those of the set of frame[] that it may want; a worker. They are as their sender has them in memory. Those with
	 * tags, beside them or inside, are among them, since what is made of a tag is not known yet. They are not pinned: a
	 * VM that changes a frame while it sends it can hide it from filters. */
	uint32_t (*may_see)(const struct tap_filter *filter, const struct frame *frame,
			    uint32_t frames);
};

struct tap {
	/* Of the same port; its owner, control, may change it: who left is not freed before the workers have passed a
	 * quiescent point. */
	struct tap *_Atomic next;
	const struct tap_filter *filter; /* that `wants` asks, among other things; NULL: none */
	uint8_t ways;                    /* TAP_BIT of those that it looks at */
	/* Whether it wants this frame shown. */
	bool (*wants)(struct tap *tap, const struct tap_sight *sight);
	/* Shows one that it wants, with its `drop`. */
	void (*show)(struct tap *tap, const struct tap_sight *sight);
	/* Control: its port is gone, and no worker sees it any more. NULL: it stays for its owner. */
	void (*gone)(struct tap *tap);
};

/* Whether frame_parse refused it: then there are only its bytes. */
static inline bool tap_is_raw(const struct frame *f)
{
	return f->drop != DROP_NONE;
}

/* Bytes of the frame as it is at the port. */
uint32_t tap_size(const struct tap_sight *sight);
/* The first `size` of them, which it has. Checksums are as the sender left them. */
void tap_read(const struct tap_sight *sight, uint8_t *to, uint32_t size);

#define for_each_tap(tap, first)                          \
	for (struct tap * (tap) = (first); (tap) != NULL; \
	     (tap) = atomic_load_explicit(&(tap)->next, memory_order_acquire))

/* Shows it to those taps that want it. */
static inline void taps_show(struct tap *first, const struct tap_sight *sight)
{
	for_each_tap(tap, first) if (tap->wants(tap, sight)) tap->show(tap, sight);
}

#endif
