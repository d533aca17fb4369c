/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/see.h"

/* Who dropped frame i of the burst, if it was an extension. */
const char *see_dropped_by(const struct inspect *inspect, unsigned int i)
{
	return inspect->reason[i] == DROP_EXTENSION ? inspect->by[i]->name : NULL;
}

/* Of a frame that is about to go to the port. */
static bool has_tag(const struct port_config *port, const struct frame *f)
{
	return f->vid != port->pvid || (port->priority_tag && f->tci >= TCI_PRIORITY_1);
}

void see_dropped(struct forwarder *fw, const struct port_config *port, const struct frame *f,
		 enum tap_way way, unsigned int slot, enum drop_reason reason, const char *by)
{
	taps_show(port->tap, &(struct tap_sight){ .fw = fw,
						  .frame = f,
						  .queue = TAP_QUEUE_NONE,
						  .way = (uint8_t)way,
						  .drop = (uint8_t)reason,
						  .by = by,
						  .slot = (uint8_t)slot,
						  .tagged = has_tag(port, f),
						  .vid = f->vid });
}

unsigned int see_slot(const struct port_config *port, const struct endpoint *ep)
{
	unsigned int slot = 0;

	while (slot < PORT_ENDPOINTS && port->endpoint[slot] != ep)
		slot++;
	return slot;
}

/* Those of the set that a port's taps may want. */
static uint32_t may_see(struct forwarder *fw, struct tap *first, enum tap_way way, uint32_t frames)
{
	uint32_t may = 0;

	for_each_tap(tap, first)
	{
		const struct tap_filter *filter = tap->filter;
		uint32_t ask = frames, known = 0;

		if ((tap->ways & TAP_BIT(way)) == 0)
			continue;
		if (filter == NULL)
			return frames;
		/* Policies may have changed what is pinned. */
		if (filter == fw->asked.filter)
			known = ask & ~fw->inspect.pinned;
		may |= known & fw->asked.may;
		ask &= ~known;
		if (ask != 0)
			may |= filter->may_see(filter, fw->inspect.burst->frame, ask);
	}
	return may;
}

/* Asks a port's taps about the burst that comes from it. */
uint32_t see_ask_burst(struct forwarder *fw, const struct port_config *in)
{
	const struct burst *burst = fw->inspect.burst;
	uint32_t all = ~0u >> (BURST_MAX - burst->n);
	const struct tap_filter *filter = in->tap->filter;

	/* Marks are seen, and are not there yet. */
	if (in->policy_out != NULL && in->policy_out->qos != NULL)
		return all;
	/* Most ports have one tap: its answer is remembered for the other end. */
	if (filter != NULL && (in->tap->ways & TAP_BIT(TAP_OUT)) != 0) {
		fw->asked.may = filter->may_see(filter, burst->frame, all);
		fw->asked.filter = filter;
	}
	return may_see(fw, in->tap, TAP_OUT, all);
}

/* Those of a group that have a tag at the port. */
static uint32_t get_tags(const struct forwarder *fw, const struct port_config *port,
			 const struct frame *const *frame, unsigned int n, unsigned int flags)
{
	uint32_t tagged = 0;

	/* All that have none are in the VLAN of the port that they come from. */
	if ((flags & FRAME_TAGGED) == 0 && !port->priority_tag && frame[0]->vid == port->pvid)
		return 0;
	for (unsigned int i = 0; i < n; i++)
		tagged |= (uint32_t)has_tag(port, frame[i])
			  << (frame[i] - fw->inspect.burst->frame);
	return tagged;
}

/* The same of a group that goes to a port. So that what is shown is what is delivered, they are pinned. */
uint32_t see_ask_group(struct forwarder *fw, const struct port_config *port,
		       const struct frame *const *frame, unsigned int n, unsigned int flags)
{
	struct inspect *inspect = &fw->inspect;
	uint32_t tagged = get_tags(fw, port, frame, n, flags), may;

	may = tagged |
	      may_see(fw, port->tap, TAP_IN, frames_of(inspect->burst, frame, n) & ~tagged);
	for_each_frame(i, may) inspect_pin(inspect, i);
	return may;
}

/* The set by the frames' places in a group. */
uint32_t see_places(const struct forwarder *fw, const struct frame *const *frame, unsigned int n,
		    uint32_t set)
{
	uint32_t places = 0;

	for (unsigned int i = 0; i < n; i++)
		places |= (set >> (frame[i] - fw->inspect.burst->frame) & 1) << i;
	return places;
}

/* The burst, at the port that it comes from; inspect->reason says what became of its frames. */
void see_burst(struct forwarder *fw, const struct port_config *in, const struct endpoint *ep)
{
	struct inspect *inspect = &fw->inspect;
	struct tap_sight sight = {
		.fw = fw, .queue = fw->queue, .way = TAP_OUT, .slot = (uint8_t)see_slot(in, ep)
	};

	for_each_frame(i, fw->to_see)
	{
		sight.frame = &inspect->burst->frame[i];
		if (!tap_is_raw(sight.frame))
			inspect_pin(inspect, i);
		sight.drop = inspect->reason[i];
		sight.by = see_dropped_by(inspect, i);
		sight.tagged = (sight.frame->flags & FRAME_TAGGED) != 0;
		sight.vid = sight.frame->vid;
		taps_show(in->tap, &sight);
	}
}

void see_push(struct forwarder *fw, const struct port_config *port, struct endpoint *ep,
	      const struct frame **frame, unsigned int n, uint32_t to_see, unsigned int flags)
{
	struct tap_sight sight = { .fw = fw, .way = TAP_IN, .slot = (uint8_t)see_slot(port, ep) };
	struct endpoint_stats *stats = endpoint_stats_self(ep);
	struct push_report report;

	report.lost.n = report.queued.n = 0;
	stats->report = &report;
	switch_push(fw, ep, frame, n, port->pvid, flags);
	stats->report = NULL;
	for_each_frame(i, to_see)
	{
		const struct frame *f = frame[i];
		const struct frame_note *lost = frame_notes_find(&report.lost, f);
		const struct frame_note *queued = frame_notes_find(&report.queued, f);

		sight.frame = f;
		sight.drop = lost != NULL ? (uint8_t)lost->what : DROP_NONE;
		sight.tagged = f->vid != port->pvid;
		sight.vid = f->vid == VID_OF_PRIORITY_TAG ? port->pvid : f->vid;
		sight.queue = queued != NULL ? (uint16_t)queued->what : 0;
		if (lost != NULL || port->uplink)
			sight.queue = TAP_QUEUE_NONE;
		taps_show(port->tap, &sight);
	}
}
