/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "switch/extension.h"
#include "switch/switch.h"

enum {
	A,
	B,
	C,
	UPLINK,
	UPLINK2,
	N_PORTS
};

struct fake {
	struct endpoint ep;
	unsigned int n;
	uint16_t flags;
	uint8_t mark[BURST_MAX]; /* byte 15 of the frames */
};

static struct vswitch sw;
static struct forwarder *fw;
static struct fake fake[N_PORTS];
static struct port_config port[N_PORTS];
static struct port_policy policy[N_PORTS];
static struct extension *made[8];
static unsigned int n_made;
static const uint8_t mac[N_PORTS][6] = { { 2, 0, 0, 0, 0, 1 },
					 { 2, 0, 0, 0, 0, 2 },
					 { 2, 0, 0, 0, 0, 3 },
					 { 2, 0, 0, 0, 0, 4 },
					 { 2, 0, 0, 0, 0, 5 } };

static void fake_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		      uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct fake *f = container_of(ep, struct fake, ep);

	for (unsigned int i = 0; i < n; i++)
		frame_read(frame[i], 15, &f->mark[(f->n + i) % BURST_MAX], 1);
	f->n += n;
	f->flags = frame[n - 1]->flags;
}

static const struct endpoint_ops fake_ops = { .push = fake_push };

static int setup(void **state)
{
	memset(port, 0, sizeof(port));
	memset(fake, 0, sizeof(fake));
	memset(policy, 0, sizeof(policy));
	assert_int_equal(switch_init(&sw, 16), 0);
	fw = forwarder_new();
	for (unsigned int i = 0; i < N_PORTS; i++) {
		fake[i].ep.ops = &fake_ops;
		fake[i].ep.stats = endpoint_stats_new();
		atomic_store(&fake[i].ep.running, 1);
		port[i].used = true;
		port[i].uplink = i >= UPLINK;
		port[i].n_macs = 1;
		port[i].mac[0] = mac_load(mac[i]);
		port[i].endpoint[0] = &fake[i].ep;
		port[i].stats = endpoint_stats_new();
	}
	return 0;
}

static int teardown(void **state)
{
	switch_fini(&sw);
	for (unsigned int i = 0; i < N_PORTS; i++) {
		free(fake[i].ep.stats);
		free(port[i].stats);
	}
	while (n_made > 0)
		free(made[--n_made]);
	free(fw);
	return 0;
}

static void publish(void)
{
	struct switch_snapshot *old;
	int ret = 0;

	for (unsigned int i = 0; i < N_PORTS; i++) {
		port[i].policy_out = policy_has_out(&policy[i]) ? &policy[i] : NULL;
		port[i].policy_in = policy_has_in(&policy[i]) ? &policy[i] : NULL;
	}
	old = switch_publish(&sw, port, N_PORTS, &ret);
	assert_int_equal(ret, 0);
	switch_snapshot_free(old);
}

/* As the last one there. */
static struct extension *add(unsigned int at, enum extension_hook hook, extension_run *run,
			     const void *program)
{
	struct extensions *list = &policy[at].extensions[hook];
	struct extension *e = extension_new("it", run, program);

	list->uplink = port[at].uplink;
	list->at[list->n].to[EXTENSION_TO_VPORT] = EXTENSION_NOWHERE;
	list->at[list->n].to[EXTENSION_TO_UPLINK] = EXTENSION_NOWHERE;
	list->at[list->n++].extension = e;
	made[n_made++] = e;
	publish();
	return e;
}

static uint8_t data[BURST_MAX][400];
static struct burst burst;

static void fill(unsigned int from, unsigned int to, unsigned int n, uint32_t size)
{
	burst.n = n;
	for (unsigned int i = 0; i < n; i++) {
		memcpy(data[i], mac[to], 6);
		memcpy(data[i] + 6, mac[from], 6);
		burst.frame[i] = (struct frame){
			.va = data[i], .seg_size = size, .size = size, .n_segs = 1
		};
	}
}

static void send(unsigned int from, unsigned int to, unsigned int n, uint32_t size)
{
	fill(from, to, n, size);
	switch_forward(fw, atomic_load(&sw.snapshot), (uint16_t)from, &fake[from].ep, &burst);
}

static void flood(unsigned int from)
{
	uint8_t *to = data[0];

	memcpy(to + 6, mac[from], 6);
	memset(to, 0xff, 6);
	burst.n = 1;
	burst.frame[0] = (struct frame){ .va = to, .seg_size = 60, .size = 60, .n_segs = 1 };
	switch_forward(fw, atomic_load(&sw.snapshot), (uint16_t)from, &fake[from].ep, &burst);
}

static void counted(const struct extension *e, uint64_t passed, uint64_t dropped,
		    uint64_t redirected)
{
	struct extension_counts sum;

	extension_counts(e, &sum);
	assert_int_equal(sum.seen, passed + dropped + redirected);
	assert_int_equal(sum.passed, passed);
	assert_int_equal(sum.dropped, dropped);
	assert_int_equal(sum.redirected, redirected);
}

/* --- programs --- */

static uint64_t says(const void *program, struct softiov_frame *frame)
{
	return *(const uint64_t *)program;
}

/* By the frame's first byte behind its header. */
static uint64_t says_frame(const void *program, struct softiov_frame *frame)
{
	frame->count[1]++;
	return frame->header[14];
}

static struct softiov_frame seen;

static uint64_t looks(const void *program, struct softiov_frame *frame)
{
	seen = *frame;
	return SOFTIOV_PASS;
}

/* --- tests --- */

static void test_verdicts(void **state)
{
	static const struct {
		uint64_t verdict;
		unsigned int to; /* N_PORTS: nobody gets it */
	} cases[] = {
		{ SOFTIOV_PASS, B },     { SOFTIOV_DROP, N_PORTS },
		{ SOFTIOV_TO_VPORT, C }, { SOFTIOV_TO_UPLINK, UPLINK },
		{ 4, N_PORTS },          { UINT64_MAX, N_PORTS },
		{ 1ull << 32, N_PORTS }, { (1ull << 32) + 1, N_PORTS },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct extension *e;

		setup(NULL);
		policy[A].extensions[EXTENSION_INGRESS].n = 0;
		e = add(A, EXTENSION_INGRESS, says, &cases[i].verdict);
		policy[A].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_VPORT] = C;
		policy[A].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_UPLINK] = UPLINK;
		send(A, B, 3, 60);
		for (unsigned int to = 0; to < N_PORTS; to++)
			assert_int_equal(fake[to].n, to == cases[i].to ? 3 : 0);
		assert_int_equal(fake[A].ep.stats[worker_self].drop[DROP_EXTENSION],
				 cases[i].to == N_PORTS ? 3 : 0);
		counted(e, cases[i].to == B ? 3 : 0, cases[i].to == N_PORTS ? 3 : 0,
			cases[i].to == C || cases[i].to == UPLINK ? 3 : 0);
		teardown(NULL);
	}
}

/* Frame by frame, in their order. */
static void test_burst(void **state)
{
	struct extension *e = add(A, EXTENSION_INGRESS, says_frame, NULL);
	struct extension_counts sum;

	policy[A].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_VPORT] = C;
	for (unsigned int i = 0; i < BURST_MAX; i++) {
		data[i][14] = (uint8_t)(i % 4);
		data[i][15] = (uint8_t)i;
	}
	send(A, B, BURST_MAX, 100);
	counted(e, 8, 16, 8);
	for (unsigned int i = 0; i < 8; i++) {
		assert_int_equal(fake[B].mark[i], 4 * i + SOFTIOV_PASS);
		assert_int_equal(fake[C].mark[i], 4 * i + SOFTIOV_TO_VPORT);
	}
	assert_int_equal(fake[B].n, 8);
	assert_int_equal(fake[C].n, 8);
	extension_counts(e, &sum);
	assert_int_equal(sum.own[1], BURST_MAX);
	assert_int_equal(sum.own[0], 0);
}

static void test_order(void **state)
{
	static const uint64_t pass = SOFTIOV_PASS, drop = SOFTIOV_DROP;
	struct extension *first = add(A, EXTENSION_INGRESS, says, &pass);
	struct extension *second = add(A, EXTENSION_INGRESS, says, &drop);
	struct extension *third = add(A, EXTENSION_INGRESS, says, &pass);

	send(A, B, 2, 60);
	counted(first, 2, 0, 0);
	counted(second, 0, 2, 0);
	counted(third, 0, 0, 0);
	assert_ptr_equal(fw->inspect.by[0], second);
	assert_int_equal(fake[B].n, 0);
}

static void test_egress(void **state)
{
	static const uint64_t drop = SOFTIOV_DROP;
	struct extension *e = add(B, EXTENSION_EGRESS, says, &drop);

	send(A, B, 2, 60);
	send(A, C, 2, 60);
	send(B, C, 2, 60);
	counted(e, 0, 2, 0);
	assert_int_equal(fake[B].n, 0);
	assert_int_equal(fake[C].n, 4);
	assert_int_equal(fake[B].ep.stats[worker_self].drop[DROP_EXTENSION], 2);
}

/* Of its port, to a vport. */
static struct extension *add_egress(unsigned int at, unsigned int to, extension_run *run,
				    const void *program)
{
	struct extensions *list = &policy[at].extensions[EXTENSION_EGRESS];
	struct extension *e = add(at, EXTENSION_EGRESS, run, program);

	list->at[list->n - 1].to[EXTENSION_TO_VPORT] = (uint16_t)to;
	return e;
}

/* Frame by frame: only those, in their order, together with what goes there anyway. */
static void test_egress_redirect(void **state)
{
	struct extension *e = add_egress(B, C, says_frame, NULL);
	uint64_t *drops = fake[B].ep.stats[worker_self].drop;

	fill(A, B, BURST_MAX, 100);
	for (unsigned int i = 0; i < BURST_MAX; i++) {
		data[i][14] = (uint8_t)(i % 4);
		data[i][15] = (uint8_t)i;
		if (i / 4 == 1)
			memcpy(data[i], mac[C], 6);
	}
	switch_forward(fw, atomic_load(&sw.snapshot), A, &fake[A].ep, &burst);
	counted(e, 7, 14, 7);
	assert_int_equal(fake[B].n, 7);
	assert_int_equal(fake[C].n, 4 + 7);
	for (unsigned int i = 0; i < 4; i++)
		assert_int_equal(fake[C].mark[i], 4 + i);
	for (unsigned int i = 0; i < 7; i++) {
		unsigned int four = i < 1 ? 0 : 4 * (i + 1);

		assert_int_equal(fake[B].mark[i], four + SOFTIOV_PASS);
		assert_int_equal(fake[C].mark[4 + i], four + SOFTIOV_TO_VPORT);
	}
	assert_true((fake[C].flags & FRAME_MIRRORED) != 0);
	assert_int_equal(drops[DROP_EXTENSION], 14);
	/* The next burst has nothing left of it. */
	for (unsigned int i = 0; i < BURST_MAX; i++)
		data[i][14] = SOFTIOV_PASS;
	send(A, B, BURST_MAX, 100);
	assert_int_equal(fake[B].n, 7 + BURST_MAX);
	assert_int_equal(fake[C].n, 4 + 7);
	assert_int_equal(fw->n_moved, 0);
}

/* Whoever sends it from A to C, by B or before: not while C is in another VLAN. */
static void assert_not_into_vlan(const uint64_t *drops)
{
	port[C].pvid = 7;
	publish();
	send(A, B, 1, 60);
	assert_int_equal(drops[DROP_VLAN], 1);
	port[C].pvid = 0;
	publish();
}

/* By the target's rules; what cannot go there is dropped where it was about to get to. */
static void test_egress_redirect_holds(void **state)
{
	static const uint64_t redirect = SOFTIOV_TO_VPORT, drop = SOFTIOV_DROP;
	struct extension *e = add_egress(B, C, says, &redirect), *guard;
	uint64_t *drops = fake[B].ep.stats[worker_self].drop;
	uint16_t *to = &policy[B].extensions[EXTENSION_EGRESS].at[0].to[EXTENSION_TO_VPORT];

	assert_not_into_vlan(drops);
	guard = add(C, EXTENSION_EGRESS, says, &drop);
	send(A, B, 1, 60);
	counted(guard, 0, 1, 0);
	assert_int_equal(fake[C].ep.stats[worker_self].drop[DROP_EXTENSION], 1);
	policy[C].extensions[EXTENSION_EGRESS].n = 0;
	atomic_store(&fake[C].ep.running, 0);
	publish();
	send(A, B, 1, 60);
	assert_int_equal(port[C].stats[worker_self].drop[DROP_DOWN], 1);
	/* Back, to no port, from uplink to uplink. */
	send(C, B, 1, 60);
	*to = N_PORTS;
	send(A, B, 1, 60);
	*to = UPLINK2;
	send(UPLINK, B, 1, 60);
	assert_int_equal(drops[DROP_NO_ROUTE], 3);
	assert_int_equal(drops[DROP_EXTENSION], 0);
	counted(e, 0, 0, 6);
	send(A, B, 1, 60);
	assert_int_equal(fake[UPLINK2].n, 1);
	*to = EXTENSION_HERE;
	send(A, B, 1, 60);
	counted(e, 1, 0, 7);
	assert_int_equal(fake[B].n, 1);
	assert_int_equal(fake[A].n + fake[C].n + fake[UPLINK].n, 0);
}

/* Once, whoever says so: two ports that send to each other, and one at ingress before. */
static void test_redirect_once(void **state)
{
	static const uint64_t redirect = SOFTIOV_TO_VPORT;
	struct extension *b = add_egress(B, C, says, &redirect);
	struct extension *c = add_egress(C, B, says, &redirect), *a;

	send(A, B, 3, 60);
	counted(b, 0, 0, 3);
	counted(c, 0, 3, 0);
	assert_int_equal(fake[C].ep.stats[worker_self].drop[DROP_EXTENSION], 3);
	send(A, C, 3, 60);
	counted(b, 0, 3, 3);
	counted(c, 0, 3, 3);
	assert_int_equal(fake[B].ep.stats[worker_self].drop[DROP_EXTENSION], 3);
	a = add(A, EXTENSION_INGRESS, says, &redirect);
	policy[A].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_VPORT] = C;
	send(A, UPLINK, 3, 60);
	counted(a, 0, 0, 3);
	counted(c, 0, 6, 3);
	assert_int_equal(fake[A].n + fake[B].n + fake[C].n + fake[UPLINK].n, 0);
}

/* From all ports that a flooded frame is about to get to, it goes there once. */
static void test_egress_redirect_flood(void **state)
{
	static const uint64_t to_vport = SOFTIOV_TO_VPORT, to_uplink = SOFTIOV_TO_UPLINK;
	struct extension *b = add_egress(B, C, says, &to_vport);
	struct extension *u = add_egress(UPLINK, C, says, &to_vport), *v;

	v = add(UPLINK2, EXTENSION_EGRESS, says, &to_uplink);
	policy[UPLINK2].extensions[EXTENSION_EGRESS].at[0].to[EXTENSION_TO_UPLINK] = UPLINK;
	flood(A);
	counted(b, 0, 0, 1);
	counted(u, 0, 1, 1);
	counted(v, 0, 0, 1);
	assert_int_equal(fake[C].n, 2); /* its own, and that */
	assert_int_equal(fake[B].n + fake[UPLINK].n + fake[UPLINK2].n, 0);
}

/* A flooded frame at each port, and only there. */
static void test_flood(void **state)
{
	static const uint64_t drop = SOFTIOV_DROP;
	struct extension *e = add(B, EXTENSION_EGRESS, says, &drop);

	send(A, B, 1, 60);
	flood(A);
	counted(e, 0, 2, 0);
	assert_int_equal(fake[B].n, 0);
	assert_int_equal(fake[C].n, 1);
	assert_int_equal(fake[UPLINK].n, 1);
}

/* Not into VLANs that the target is not in, not past its policies, not back, not from uplink to uplink. */
static void test_redirect_holds(void **state)
{
	static const uint64_t redirect = SOFTIOV_TO_VPORT, drop = SOFTIOV_DROP;
	struct extension *e = add(A, EXTENSION_INGRESS, says, &redirect), *guard;
	uint64_t *drops = fake[A].ep.stats[worker_self].drop;
	uint16_t *to = &policy[A].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_VPORT];

	*to = C;
	assert_not_into_vlan(drops);
	send(A, B, 1, 60);
	assert_int_equal(fake[C].n, 1);
	assert_true((fake[C].flags & FRAME_MIRRORED) != 0);
	guard = add(C, EXTENSION_EGRESS, says, &drop);
	send(A, B, 1, 60);
	counted(guard, 0, 1, 0);
	assert_int_equal(fake[C].n, 1);
	*to = A;
	send(A, B, 1, 60);
	*to = N_PORTS;
	send(A, B, 1, 60);
	port[C].used = false;
	*to = C;
	publish();
	send(A, B, 1, 60);
	assert_int_equal(drops[DROP_NO_ROUTE], 3);
	counted(e, 0, 0, 6);
	add(UPLINK, EXTENSION_INGRESS, says, &redirect);
	policy[UPLINK].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_VPORT] = UPLINK2;
	send(UPLINK, A, 1, 60);
	assert_int_equal(fake[UPLINK].ep.stats[worker_self].drop[DROP_NO_ROUTE], 1);
	assert_int_equal(fake[A].n + fake[B].n + fake[UPLINK].n + fake[UPLINK2].n, 0);
}

/* What a program is told, and that nothing is left there of the frame before. */
static void test_told(void **state)
{
	static const uint8_t udp[] = {
		8, 0,  0x45, 0, 0, 32, 0,  0, 0,  0, 64, 17, 0, 0, 10, 0, 0,
		1, 10, 0,    0, 2, 4,  87, 0, 53, 0, 12, 0,  0, 1, 2,  3, 4
	};
	uint8_t tagged[64];

	add(A, EXTENSION_INGRESS, looks, NULL);
	port[A].trunk = port[B].trunk = true;
	bitmap_set(port[A].vlans, 9);
	bitmap_set(port[B].vlans, 9);
	publish();
	memset(data[0], 0xee, sizeof(data[0]));
	send(A, B, 1, 400);
	assert_int_equal(seen.size, 400);
	assert_int_equal(seen.header_size, FLOW_PIN_SIZE);
	assert_int_equal(seen.flags, 0);
	assert_int_equal(seen.header[FLOW_PIN_SIZE - 1], 0xee);
	for (unsigned int i = FLOW_PIN_SIZE; i < SOFTIOV_HEADER_SIZE; i++)
		assert_int_equal(seen.header[i], 0);
	memset(data[0], 0, sizeof(data[0]));
	memcpy(data[0] + 12, udp, sizeof(udp));
	send(A, B, 1, 60);
	assert_memory_equal(seen.header, data[0], 60);
	for (unsigned int i = 60; i < SOFTIOV_HEADER_SIZE; i++)
		assert_int_equal(seen.header[i], 0);
	assert_int_equal(seen.size, 60);
	assert_int_equal(seen.header_size, 60);
	assert_int_equal(seen.flags, SOFTIOV_IPV4 | SOFTIOV_L4);
	assert_int_equal(seen.protocol, 17);
	assert_int_equal(seen.l3, 14);
	assert_int_equal(seen.l4, 34);
	assert_int_equal(seen.vlan, 0);
	assert_int_equal(seen.uplink, 0);
	/* The same with a tag: it is beside the frame. */
	memcpy(tagged, data[0], 12);
	memcpy(tagged + 12, "\x81\0\xa0\x09", 4);
	memcpy(tagged + 16, data[0] + 12, 48);
	port[A].tci_clear = 0;
	burst.frame[0] = (struct frame){ .va = tagged, .seg_size = 64, .size = 64, .n_segs = 1 };
	switch_forward(fw, atomic_load(&sw.snapshot), A, &fake[A].ep, &burst);
	assert_memory_equal(seen.header, data[0], 60);
	assert_int_equal(seen.header[60], 0);
	assert_int_equal(seen.size, 60);
	assert_int_equal(seen.vlan, 9);
	assert_int_equal(seen.priority, 5);
	assert_int_equal(seen.l4, 34);
	add(UPLINK, EXTENSION_INGRESS, looks, NULL);
	send(UPLINK, A, 1, 60);
	assert_int_equal(seen.uplink, 1);
}

static void test_no_program(void **state)
{
	struct extension *e = add(A, EXTENSION_INGRESS, NULL, NULL);

	send(A, B, 2, 60);
	counted(e, 0, 2, 0);
	assert_int_equal(fake[B].n, 0);
}

static void trace_to_b(struct trace *trace)
{
	fill(A, B, 1, 60);
	*trace = (struct trace){ 0 };
	assert_true(switch_trace(fw, atomic_load(&sw.snapshot), A, &burst, trace));
}

/* Asks the program, and leaves nothing behind. */
static void test_trace(void **state)
{
	static const uint64_t redirect = SOFTIOV_TO_VPORT, drop = SOFTIOV_DROP;
	struct extension *e = add(A, EXTENSION_INGRESS, says_frame, NULL), *end;
	struct extension_counts sum;
	static struct trace trace;

	policy[A].extensions[EXTENSION_INGRESS].at[0].to[EXTENSION_TO_VPORT] = C;
	end = add(C, EXTENSION_EGRESS, says, &drop);
	publish();
	for (uint8_t verdict = SOFTIOV_DROP; verdict <= SOFTIOV_TO_VPORT; verdict++) {
		data[0][14] = verdict;
		trace_to_b(&trace);
		assert_ptr_equal(trace.by, verdict == SOFTIOV_PASS ? NULL : e);
		assert_int_equal(trace.redirected, verdict == redirect);
		if (verdict == SOFTIOV_DROP) {
			assert_int_equal(trace.reason, DROP_EXTENSION);
			continue;
		}
		assert_int_equal(trace.n, 1);
		assert_int_equal(trace.to[0].port, verdict == SOFTIOV_PASS ? B : C);
		assert_ptr_equal(trace.to[0].by, verdict == SOFTIOV_PASS ? NULL : end);
	}
	counted(e, 0, 0, 0);
	counted(end, 0, 0, 0);
	extension_counts(e, &sum);
	assert_int_equal(sum.own[1], 0);
}

static void test_trace_egress(void **state)
{
	static const uint64_t redirect = SOFTIOV_TO_VPORT;
	struct extension *e = add_egress(B, C, says, &redirect);
	static struct trace trace;

	trace_to_b(&trace);
	assert_int_equal(trace.n_routed, 1);
	assert_int_equal(trace.n, 2);
	assert_ptr_equal(trace.to[0].by, e);
	assert_true(trace.to[0].redirected);
	assert_int_equal(trace.to[0].reason, DROP_NONE);
	assert_int_equal(trace.to[1].port, C);
	assert_int_equal(trace.to[1].reason, DROP_NONE);
	assert_false(trace.to[1].redirected);
	port[C].pvid = 9;
	publish();
	trace_to_b(&trace);
	assert_int_equal(trace.n, 1);
	assert_true(trace.to[0].redirected);
	assert_int_equal(trace.to[0].reason, DROP_VLAN);
	counted(e, 0, 0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test_setup_teardown(test_burst, setup, teardown),
		cmocka_unit_test_setup_teardown(test_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_egress, setup, teardown),
		cmocka_unit_test_setup_teardown(test_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_egress_redirect, setup, teardown),
		cmocka_unit_test_setup_teardown(test_egress_redirect_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_redirect_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_egress_redirect_flood, setup, teardown),
		cmocka_unit_test_setup_teardown(test_redirect_holds, setup, teardown),
		cmocka_unit_test_setup_teardown(test_told, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_program, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace, setup, teardown),
		cmocka_unit_test_setup_teardown(test_trace_egress, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
