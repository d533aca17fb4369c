/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/extension.h"

#include <stdlib.h>

#include "switch/policy.h"

_Static_assert(FLOW_PIN_SIZE + 64 <= SOFTIOV_HEADER_SIZE && FLOW_PIN_SIZE <= UINT8_MAX,
	       "what follows the L4 header is in `header`, and the places of headers in a byte");
_Static_assert(SOFTIOV_IPV4 == FLOW_IPV4 && SOFTIOV_IPV6 == FLOW_IPV6 && SOFTIOV_L4 == FLOW_L4 &&
		       SOFTIOV_FIRST == FLOW_FIRST && SOFTIOV_LATER == FLOW_LATER &&
		       SOFTIOV_OBSCURE == FLOW_OBSCURE,
	       "the flags are the same");
_Static_assert(offsetof(struct softiov_frame, header) == 64 &&
		       offsetof(struct softiov_frame, count) == 384 &&
		       sizeof(struct softiov_frame) == 512,
	       "compiled programs rely on it");
_Static_assert(SOFTIOV_TO_UPLINK - SOFTIOV_TO_VPORT == EXTENSION_TO_UPLINK - EXTENSION_TO_VPORT,
	       "targets are in the order of verdicts");

struct extension *extension_new(const char *name, extension_run *run, const void *program)
{
	struct extension *extension = aligned_alloc(CACHE_LINE, sizeof(*extension));

	if (extension == NULL)
		return NULL;
	memset(extension, 0, sizeof(*extension));
	strncpy(extension->name, name, sizeof(extension->name) - 1);
	extension->run = run;
	extension->program = program;
	return extension;
}

void extension_counts(const struct extension *extension, struct extension_counts *sum)
{
	*sum = (struct extension_counts){ 0 };
	for (unsigned int i = 0; i < STATS_SLOTS; i++) {
		const struct extension_slot *slot = &extension->slot[i];

		sum->seen += slot->seen;
		sum->passed += slot->passed;
		sum->dropped += slot->dropped;
		sum->redirected += slot->redirected;
		for (unsigned int k = 0; k < SOFTIOV_COUNTERS; k++)
			sum->own[k] += slot->frame.count[k];
	}
}

/* What the program is told of frame i. */
static void describe(struct inspect *inspect, unsigned int i, bool uplink, struct softiov_frame *to)
{
	const struct flow *flow = inspect_flow(inspect, i);
	const struct frame *f = &inspect->burst->frame[i];
	/* flow->size leaves padding out, which is a part of the frame. */
	uint16_t size = (uint16_t)(f->seg_size - (f->body - ETH_ADDRS_SIZE)),
		 before = to->header_size;

	to->size = f->size;
	to->header_size = size;
	to->mss = (f->flags & FRAME_TSO) != 0 ? f->mss : 0;
	to->vlan = f->vid;
	to->priority = (uint8_t)(f->tci >> 13);
	to->flags = flow->flags;
	to->protocol = flow->proto;
	to->uplink = uplink;
	to->l3 = (uint8_t)flow->l3;
	/* Behind extension headers it may lie where no header is known to be. */
	to->l4 = flow->l4 < size ? (uint8_t)flow->l4 : 0;
	memcpy(to->header, f->header, FRAME_SIZE_MIN);
	memcpy(to->header + FRAME_SIZE_MIN, flow->header + FRAME_SIZE_MIN, size - FRAME_SIZE_MIN);
	/* What is behind the frame before is 0 already. */
	if (size < before)
		memset(to->header + size, 0, before - size);
}

/* What one of them says about frame i. A verdict that cannot be is no reason to let anything through. */
static uint64_t ask(struct inspect *inspect, const struct extensions *list, unsigned int k,
		    unsigned int i)
{
	struct extension *extension = list->at[k].extension;
	struct extension_slot tried, *slot = &extension->slot[worker_self];
	uint64_t verdict = SOFTIOV_DROP;
	uint16_t to = EXTENSION_NOWHERE;

	if (unlikely(inspect->dry)) {
		tried = *slot;
		slot = &tried;
	}
	slot->seen++;
	if (likely(extension->run != NULL)) {
		describe(inspect, i, list->uplink, &slot->frame);
		verdict = extension->run(extension->program, &slot->frame);
	}
	if (likely(verdict == SOFTIOV_PASS)) {
		slot->passed++;
		return verdict;
	}
	if (verdict >= SOFTIOV_TO_VPORT && verdict < SOFTIOV_TO_VPORT + EXTENSION_TARGETS)
		to = list->at[k].to[verdict - SOFTIOV_TO_VPORT];
	if (to == EXTENSION_HERE) {
		slot->passed++;
		return SOFTIOV_PASS;
	}
	if (to == EXTENSION_NOWHERE || (inspect->redirected >> i & 1) != 0) {
		slot->dropped++;
		return SOFTIOV_DROP;
	}
	slot->redirected++;
	return verdict;
}

uint32_t extensions_run(struct inspect *inspect, const struct extensions *list,
			enum extension_hook hook, uint32_t frames)
{
	for_each_frame(i, frames)
	{
		uint64_t verdict = SOFTIOV_PASS;
		unsigned int k;

		for (k = 0; k < list->n && verdict == SOFTIOV_PASS; k++)
			verdict = ask(inspect, list, k, i);
		if (likely(verdict == SOFTIOV_PASS))
			continue;
		inspect->by[i] = list->at[k - 1].extension;
		if (verdict == SOFTIOV_DROP) {
			frames = inspect_drop(inspect, frames, i, DROP_EXTENSION);
			continue;
		}
		inspect->to[i] = list->at[k - 1].to[verdict - SOFTIOV_TO_VPORT];
		if (hook == EXTENSION_INGRESS)
			inspect->redirected |= 1u << i;
		else
			frames = inspect_drop(inspect, frames, i, DROP_NONE);
	}
	return frames;
}
