/* SPDX-License-Identifier: BSD-3-Clause */
/* The data path from ring to ring, without sockets, threads or EAL: bursts of prebuilt frames through
 * the real device models and the real switch.
 *
 *   guard count     for callgrind (--collect-atstart=no): collects one stage of one case at a time and
 *                   dumps it under the name `CASE SIZE STAGE`; see tests/perf/check
 *   guard cycles    TSC cycles a frame, the median of many bursts, everything in this core's cache: for
 *                   comparing two versions of the code
 */
#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

#include "base/clock.h"
#include "frame/csum.h"
#include "guard.h"
#include "switch/switch.h"

#define COUNT_BURSTS  16
#define CYCLES_BURSTS 20001
#define MAC_FROM      0x010000000002ull
#define MAC_TO        0x020000000002ull

enum stage {
	STAGE_PULL,
	STAGE_FORWARD, /* parse, decide, group; without the pushes */
	STAGE_PUSH,
	STAGE_DONE,
	STAGE_N
};
static const char *const stage_name[] = { "pull", "forward", "push", "done" };

struct run_case {
	const char *name;
	struct side *(*from)(uint64_t mac), *(*to)(uint64_t mac);
	uint32_t size;
	bool csum;
};

/* clang-format off */
static const struct run_case cases[] = {
	{ "vf-vf4",        side_new_vf,     side_new_vf4,    64,              false },
	{ "vf-vf4",        side_new_vf,     side_new_vf4,    FRAME_SIZE_MOST, false },
	{ "vf-vf",         side_new_vf,     side_new_vf,     64,              false },
	{ "vf-vf",         side_new_vf,     side_new_vf,     256,             false },
	{ "vf-vf",         side_new_vf,     side_new_vf,     FRAME_SIZE_MOST, false },
	{ "vf-vf-verify",  side_new_vf,     side_new_vf_verify, 64,              false },
	{ "vf-vf-verify",  side_new_vf,     side_new_vf_verify, 256,             false },
	{ "vf-vf-verify",  side_new_vf,     side_new_vf_verify, FRAME_SIZE_MOST, false },
	{ "virtio-virtio", side_new_virtio, side_new_virtio, 64,              false },
	{ "virtio-virtio", side_new_virtio, side_new_virtio, 256,             false },
	{ "virtio-virtio", side_new_virtio, side_new_virtio, FRAME_SIZE_MOST, false },
	{ "vf-virtio",     side_new_vf,     side_new_virtio, 64,              false },
	{ "vf-virtio",     side_new_vf,     side_new_virtio, FRAME_SIZE_MOST, false },
	{ "virtio-vf",     side_new_virtio, side_new_vf,     64,              false },
	{ "virtio-vf",     side_new_virtio, side_new_vf,     FRAME_SIZE_MOST, false },
	{ "virtio-vf-csum", side_new_virtio, side_new_vf,    64,              true },
	{ "virtio-vf-csum", side_new_virtio, side_new_vf,    FRAME_SIZE_MOST, true },
	{ "packed-packed", side_new_packed, side_new_packed, 64,              false },
	{ "packed-packed", side_new_packed, side_new_packed, 256,             false },
	{ "packed-packed", side_new_packed, side_new_packed, FRAME_SIZE_MOST, false },
};
/* clang-format on */

static bool counting;            /* by callgrind, not by TSC */
static enum stage counted;       /* callgrind collects this one */
static uint64_t cycles[STAGE_N]; /* of this burst */

static const struct endpoint_ops *real_ops;

void guard_must(bool good, const char *what)
{
	if (good)
		return;
	(void)fprintf(stderr, "guard: %s\n", what);
	exit(1);
}

bool guard_frame_good(const uint8_t *got, const uint8_t *want, uint32_t size, bool csum)
{
	const uint32_t field = GUARD_CSUM_START + GUARD_CSUM_OFFSET;

	if (!csum)
		return memcmp(got, want, GUARD_FLOW) == 0 &&
		       memcmp(got + GUARD_FLOW + 1, want + GUARD_FLOW + 1, size - GUARD_FLOW - 1) ==
			       0;
	/* Summed with its seed in place of the field the rest gives the complement of the field. */
	return memcmp(got, want, field) == 0 &&
	       memcmp(got + field + 2, want + field + 2, size - field - 2) == 0 &&
	       csum_fold(csum_add(got + GUARD_CSUM_START, size - GUARD_CSUM_START, 0) +
			 (uint64_t)(want[field] | want[field + 1] << 8)) == 0xffff;
}

static inline void enter(enum stage stage)
{
	if (!counting)
		cycles[stage] -= clock_cycles();
	else if (stage == counted)
		CALLGRIND_TOGGLE_COLLECT;
}

static inline void leave(enum stage stage)
{
	if (!counting)
		cycles[stage] += clock_cycles();
	else if (stage == counted)
		CALLGRIND_TOGGLE_COLLECT;
}

static void push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		 uint16_t untagged_vid, struct endpoint_stats *stats)
{
	leave(STAGE_FORWARD);
	enter(STAGE_PUSH);
	real_ops->push(ep, frame, n, untagged_vid, stats);
	leave(STAGE_PUSH);
	enter(STAGE_FORWARD);
}

/* One burst, as a worker does it. */
static void serve(const struct vswitch *sw, struct forwarder *fw, struct txq *txq)
{
	static struct burst burst;
	unsigned int n;

	burst.n = 0;
	burst.n_segs = 0;
	enter(STAGE_PULL);
	n = txq->ops->pull(txq, &burst);
	leave(STAGE_PULL);
	guard_must(n == BURST_MAX, "a burst came short");
	enter(STAGE_FORWARD);
	switch_forward(fw, atomic_load(&sw->snapshot), 0, txq->endpoint, &burst);
	leave(STAGE_FORWARD);
	enter(STAGE_DONE);
	txq->ops->done(txq);
	leave(STAGE_DONE);
}

/* dest, source, IPv4, TCP. The checksum field's seed may be any number. */
static void make_frame(uint8_t *bytes, uint32_t size, uint64_t dest, uint64_t source)
{
	for (uint32_t i = 0; i < size; i++)
		bytes[i] = (uint8_t)(i * 7 + (i >> 8));
	mac_store(bytes, dest);
	mac_store(bytes + 6, source);
	store_be16(bytes + ETH_ADDRS_SIZE, ETH_TYPE_IPV4);
	bytes[FRAME_SIZE_MIN] = 0x45;
	store_be16(bytes + FRAME_SIZE_MIN + 2, (uint16_t)(size - FRAME_SIZE_MIN));
	store_be16(bytes + FRAME_SIZE_MIN + 6, 0);
	bytes[FRAME_SIZE_MIN + 9] = 6;
}

struct path {
	struct vswitch sw;
	struct forwarder *fw;
	struct side *from, *to;
	uint8_t bytes[FRAME_SIZE_MOST];
};

/* Each case has a switch and guests of its own, which stay until the end: few and small. */
static struct path *path_new(const struct run_case *c)
{
	static const struct endpoint_ops ops = { .push = push };
	struct path *p = calloc(1, sizeof(*p));
	struct port_config port[2] = { 0 };
	int ret;

	guard_must(p != NULL && switch_init(&p->sw, 16) == 0, "memory");
	p->fw = forwarder_new();
	p->from = c->from(MAC_FROM);
	p->to = c->to(MAC_TO);
	for (unsigned int i = 0; i < ARRAY_SIZE(port); i++) {
		struct side *side = i == 0 ? p->from : p->to;

		port[i].used = true;
		port[i].n_macs = 1;
		port[i].mac[0] = side->mac;
		port[i].endpoint[PORT_VF] = side->endpoint;
		port[i].stats = endpoint_stats_new();
		guard_must(port[i].stats != NULL, "memory");
	}
	switch_snapshot_free(switch_publish(&p->sw, port, ARRAY_SIZE(port), &ret));
	guard_must(p->fw != NULL && ret == 0, "memory");
	real_ops = p->to->endpoint->ops;
	p->to->endpoint->ops = &ops;
	make_frame(p->bytes, c->size, MAC_TO, MAC_FROM);
	return p;
}

static void burst_through(struct path *p, const struct run_case *c)
{
	p->to->post(p->to, BURST_MAX);
	p->from->send(p->from, p->bytes, c->size, BURST_MAX, c->csum);
	serve(&p->sw, p->fw, p->from->endpoint->txq[0]);
	guard_must(p->to->collect(p->to, p->bytes, c->size, BURST_MAX, c->csum),
		   "the receiver did not get what was sent");
}

/* Callgrind writes a file for each stage, named in its `desc: Trigger` line. */
static void count(const struct run_case *c)
{
	struct path *p = path_new(c);
	char name[64];

	counted = STAGE_N;
	burst_through(p, c);
	for (counted = 0; counted < STAGE_N; counted++) {
		for (unsigned int i = 0; i < COUNT_BURSTS; i++)
			burst_through(p, c);
		(void)snprintf(name, sizeof(name), "%s %u %s %u", c->name, c->size,
			       stage_name[counted], COUNT_BURSTS * BURST_MAX);
		CALLGRIND_DUMP_STATS_AT(name);
	}
}

static int compare(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void time_case(const struct run_case *c)
{
	static uint64_t of[STAGE_N][CYCLES_BURSTS];
	const unsigned int middle = CYCLES_BURSTS / 2;
	struct path *p = path_new(c);
	double sum = 0;

	for (unsigned int i = 0; i < CYCLES_BURSTS; i++) {
		memset(cycles, 0, sizeof(cycles));
		burst_through(p, c);
		for (unsigned int s = 0; s < STAGE_N; s++)
			of[s][i] = cycles[s];
	}
	printf("%-15s %5u", c->name, c->size);
	for (unsigned int s = 0; s < STAGE_N; s++) {
		double median;

		qsort(of[s], CYCLES_BURSTS, sizeof(of[s][0]), compare);
		median = (double)of[s][middle] / BURST_MAX;
		printf("  %s %6.1f", stage_name[s], median);
		sum += median;
	}
	printf("  all %6.1f\n", sum);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";

	counting = strcmp(mode, "count") == 0;
	if (argc != 2 || (!counting && strcmp(mode, "cycles") != 0)) {
		(void)fprintf(stderr, "usage: guard count|cycles\n");
		return 2;
	}
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		if (counting)
			count(&cases[i]);
		else
			time_case(&cases[i]);
	}
	return 0;
}
