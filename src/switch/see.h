/* SPDX-License-Identifier: BSD-3-Clause */
/* What a burst's frames show to the taps of the ports that they come from and go to (tap.h). Sets are masks of the burst's
 * frames (policy.h). */
#ifndef SOFTIOV_SWITCH_SEE_H
#define SOFTIOV_SWITCH_SEE_H

#include "switch/switch.h"

/* At the port that the burst comes from, before it is decided on: the frames that its taps may want. */
uint32_t see_ask_burst(struct forwarder *fw, const struct port_config *in);
/* Shows those (fw->to_see), with what became of them: inspect->reason. */
void see_burst(struct forwarder *fw, const struct port_config *in, const struct endpoint *ep);

/* At a port that a group goes to: the frames that its taps may want. They are pinned. `flags`: of all of the burst. */
uint32_t see_ask_group(struct forwarder *fw, const struct port_config *port,
		       const struct frame *const *frame, unsigned int n, unsigned int flags);
/* The set by the frames' places in the group. */
uint32_t see_places(const struct forwarder *fw, const struct frame *const *frame, unsigned int n,
		    uint32_t set);
/* Pushes the group, and shows the frames at the places `to_see`. */
void see_push(struct forwarder *fw, const struct port_config *port, struct endpoint *ep,
	      const struct frame **frame, unsigned int n, uint32_t to_see, unsigned int flags);
/* Shows one that did not get as far. `by`: whose name belongs to the reason; or NULL. */
void see_dropped(struct forwarder *fw, const struct port_config *port, const struct frame *f,
		 enum tap_way way, unsigned int slot, enum drop_reason reason, const char *by);

/* Who dropped frame i of the burst, if it was an extension; else NULL. */
const char *see_dropped_by(const struct inspect *inspect, unsigned int i);
/* Where `ep` is in port->endpoint[]; PORT_ENDPOINTS: it is not there. */
unsigned int see_slot(const struct port_config *port, const struct endpoint *ep);

#endif
