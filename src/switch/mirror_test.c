/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "frame/copy.h"
#include "frame/csum.h"
#include "switch/mirror.h"

enum {
	A,
	B,
	SNIFFER,
	UPLINK,
	N_PORTS
};

/* A device that keeps what it is given, as it would lie in its buffer. */
struct fake {
	struct endpoint ep;
	unsigned int n;
	bool full;
	struct {
		uint32_t size;
		uint8_t bytes[512];
	} got[64];
};

static struct vswitch sw;
static struct forwarder *fw;
static struct fake fake[N_PORTS];
static struct port_config port[N_PORTS];
static struct mirror *mirror;
static const uint8_t mac_a[] = { 2, 0, 0, 0, 0, 1 }, mac_b[] = { 2, 0, 0, 0, 0, 2 };

static void fake_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
		      uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct fake *f = container_of(ep, struct fake, ep);

	for (unsigned int i = 0; i < n; i++) {
		bool tag = frame[i]->vid != untagged_vid;
		const struct seg_out out = { f->got[f->n].bytes, sizeof(f->got[0].bytes) };

		if (f->full) {
			endpoint_drop(stats, &frame[i], 1, DROP_NO_BUFFER);
			continue;
		}
		assert_true(f->n < ARRAY_SIZE(f->got));
		f->got[f->n].size = frame[i]->size + (tag ? 4 : 0);
		frame_copy(frame[i], &out, 1, COPY_CSUM | (tag ? COPY_TAG : 0));
		f->n++;
		stats->rx_frames++;
	}
}

static const struct endpoint_ops fake_ops = { .push = fake_push };

static int setup(void **state)
{
	memset(port, 0, sizeof(port));
	memset(fake, 0, sizeof(fake));
	assert_int_equal(switch_init(&sw, 16), 0);
	fw = forwarder_new();
	for (unsigned int i = 0; i < N_PORTS; i++) {
		fake[i].ep.ops = &fake_ops;
		fake[i].ep.stats = endpoint_stats_new();
		atomic_store(&fake[i].ep.running, 1);
		port[i].used = true;
		port[i].pvid = 10;
		port[i].n_macs = 1;
		port[i].mac[0] = mac_load(mac_a) + ((uint64_t)i << 40);
		port[i].endpoint[0] = &fake[i].ep;
		port[i].stats = endpoint_stats_new();
	}
	port[UPLINK].uplink = true;
	return 0;
}

static int teardown(void **state)
{
	switch_fini(&sw);
	mirror_free(mirror);
	mirror = NULL;
	for (unsigned int i = 0; i < N_PORTS; i++) {
		free(fake[i].ep.stats);
		free(port[i].stats);
	}
	free(fw);
	return 0;
}

static void publish(void)
{
	struct switch_snapshot *old;
	int ret = 0;

	old = switch_publish(&sw, port, N_PORTS, &ret);
	assert_int_equal(ret, 0);
	switch_snapshot_free(old);
}

static void start(const struct mirror_config *config, unsigned int at)
{
	mirror = mirror_new(config);
	port[at].tap = mirror_tap(mirror);
	publish();
}

static uint8_t data[64][300];

/* n frames of UDP without a checksum. */
static void send(unsigned int from, const uint8_t *source, const uint8_t *dest, unsigned int n,
		 uint32_t size)
{
	static struct burst burst;

	burst.n = n;
	for (unsigned int i = 0; i < n; i++) {
		for (uint32_t k = 0; k < size; k++)
			data[i][k] = (uint8_t)(k + i);
		memcpy(data[i], dest, 6);
		memcpy(data[i] + 6, source, 6);
		store_be16(data[i] + 12, 0x88b5);
		burst.frame[i] = (struct frame){
			.va = data[i], .seg_size = size, .size = size, .n_segs = 1
		};
	}
	switch_forward(fw, atomic_load(&sw.snapshot), (uint16_t)from, &fake[from].ep, &burst);
}

static void test_directions(void **state)
{
	static const struct {
		bool from, to;
		unsigned int sent, received;
	} cases[] = { { true, false, 20, 0 }, { false, true, 0, 20 }, { true, true, 20, 20 } };

	for (unsigned int c = 0; c < ARRAY_SIZE(cases); c++) {
		const struct mirror_config config = { .to_port = SNIFFER,
						      .from = cases[c].from,
						      .to = cases[c].to };
		struct mirror_stats stats;

		setup(NULL);
		start(&config, A);
		send(A, mac_a, mac_b, 20, 100);
		assert_int_equal(fake[B].n, 20);
		assert_int_equal(fake[SNIFFER].n, cases[c].sent);
		send(B, mac_b, mac_a, 20, 100);
		assert_int_equal(fake[A].n, 20);
		assert_int_equal(fake[SNIFFER].n, cases[c].sent + cases[c].received);
		mirror_stats(mirror, &stats);
		assert_int_equal(stats.frames, fake[SNIFFER].n);
		/* As it is: in a VLAN of its own it had no tag at this port. */
		for (unsigned int i = 0; i < fake[SNIFFER].n; i++) {
			assert_int_equal(fake[SNIFFER].got[i].size, 100);
			assert_memory_equal(fake[SNIFFER].got[i].bytes + 12, data[i % 20] + 12, 88);
		}
		teardown(NULL);
	}
}

/* Several mirrors of one burst, that fill their batches in turn and leave some over. */
static void test_several(void **state)
{
	const struct mirror_config config = { .to_port = SNIFFER, .from = true, .to = true };
	struct mirror *other = mirror_new(&config);

	port[A].tap = mirror_tap(other);
	port[B].tap = mirror_tap(other);
	mirror = mirror_new(&config);
	atomic_store(&port[A].tap->next, mirror_tap(mirror));
	/* One of a port that has gone. */
	for (unsigned int i = 0; i < 2; i++) {
		struct tap *tap = mirror_tap(other);

		tap->gone(tap);
	}
	publish();
	for (unsigned int n = 1; n <= 20; n++) {
		fake[A].n = fake[B].n = fake[SNIFFER].n = 0;
		send(A, mac_a, mac_b, n, 100);
		assert_int_equal(fake[B].n, n);
		/* Once by `mirror`, and by `other` at either port. */
		assert_int_equal(fake[SNIFFER].n, 3 * n);
		assert_null(fw->mirrors);
	}
	mirror_free(other);
}

static void test_drops(void **state)
{
	static const unsigned int expected[] = {
		[MIRROR_DROPS_NO] = 4, [MIRROR_DROPS_TOO] = 7, [MIRROR_DROPS_ONLY] = 3
	};

	for (unsigned int drops = 0; drops < ARRAY_SIZE(expected); drops++) {
		const struct mirror_config config = { .to_port = SNIFFER,
						      .from = true,
						      .to = true,
						      .drops = (enum mirror_drops)drops };

		setup(NULL);
		start(&config, A);
		send(A, mac_a, mac_b, 4, 60);
		send(A, mac_b, mac_b, 2, 60); /* spoofed */
		fake[A].full = true;
		send(B, mac_b, mac_a, 1, 60);
		assert_int_equal(fake[SNIFFER].n, expected[drops]);
		teardown(NULL);
	}
}

static void test_vlan_and_truncation(void **state)
{
	const struct mirror_config config = {
		.to_port = UPLINK, .from = true, .vlan = 99, .snaplen = 64
	};

	start(&config, A);
	send(A, mac_a, mac_b, 1, 200);
	assert_int_equal(fake[UPLINK].n, 1);
	assert_int_equal(fake[UPLINK].got[0].size, 68);
	assert_memory_equal(fake[UPLINK].got[0].bytes, data[0], 12);
	assert_int_equal(load_be32(fake[UPLINK].got[0].bytes + 12), 0x81000063);
	assert_memory_equal(fake[UPLINK].got[0].bytes + 16, data[0] + 12, 52);
	assert_int_equal(fake[B].got[0].size, 200);
}

/* By an uplink in the VLAN that they are in, as other frames leave there; in its native one without a tag. */
static void test_vlan_of_their_own(void **state)
{
	const struct mirror_config config = { .to_port = UPLINK, .from = true };

	for (unsigned int native = 0; native < 2; native++) {
		setup(NULL);
		port[UPLINK].pvid = native != 0 ? 10 : 1;
		start(&config, A);
		send(A, mac_a, mac_b, 1, 100);
		assert_int_equal(fake[UPLINK].n, 1);
		assert_int_equal(fake[UPLINK].got[0].size, native != 0 ? 100 : 104);
		if (native == 0)
			assert_int_equal(load_be32(fake[UPLINK].got[0].bytes + 12), 0x8100000a);
		teardown(NULL);
	}
}

static void test_collector(void **state)
{
	for (unsigned int i = 0; i < 4; i++) {
		enum mirror_tunnel tunnel = i % 2 == 0 ? MIRROR_GRE : MIRROR_ERSPAN;
		bool v6 = i >= 2;
		const struct mirror_config config = { .to_port = UPLINK,
						      .from = true,
						      .tunnel = tunnel,
						      .v6 = v6,
						      .next_hop = { 2, 9, 9, 9, 9, 9 },
						      .source_mac = { 2, 8, 8, 8, 8, 8 },
						      .source_ip = { 0x20, 1, 0xd, 0xb8, [15] = 1 },
						      .collector_ip = { 0x20, 1, 0xd,
									0xb8, [15] = 2 },
						      .session = 7,
						      .size_max = 200 };
		uint32_t ip_size = v6 ? 40 : 20;
		uint32_t outer = 14 + ip_size + (tunnel == MIRROR_ERSPAN ? 16 : 4);
		const uint8_t *got = fake[UPLINK].got[1].bytes, *gre = got + 14 + ip_size;

		setup(NULL);
		start(&config, A);
		send(A, mac_a, mac_b, 2, 100);
		send(A, mac_a, mac_b, 1, 300);
		assert_int_equal(fake[UPLINK].n, 3);
		assert_int_equal(fake[UPLINK].got[1].size, outer + 100);
		assert_memory_equal(got, config.next_hop, 6);
		assert_memory_equal(got + 6, config.source_mac, 6);
		if (v6) {
			assert_int_equal(load_be16(got + 12), 0x86dd);
			assert_int_equal(load_be32(got + 14), 0x60000000);
			assert_int_equal(load_be16(got + 18), outer - 14 - 40 + 100);
			assert_int_equal(got[20], 47);
			assert_memory_equal(got + 22, config.source_ip, 16);
			assert_memory_equal(got + 38, config.collector_ip, 16);
		} else {
			assert_int_equal(load_be16(got + 12), 0x0800);
			assert_int_equal(load_be16(got + 16), outer - 14 + 100);
			assert_int_equal(got[23], 47);
			assert_int_equal(csum_fold(csum_add(got + 14, 20, 0)), 0xffff);
			assert_memory_equal(got + 26, config.source_ip, 4);
			assert_memory_equal(got + 30, config.collector_ip, 4);
		}
		if (tunnel == MIRROR_ERSPAN) {
			assert_int_equal(load_be32(gre), 0x100088be);
			assert_int_equal(load_be32(gre + 4), 1); /* the second one */
			assert_int_equal(load_be16(gre + 8) >> 12, 1);
			assert_int_equal(load_be16(gre + 10) & 0x3ff, 7);
		} else {
			assert_int_equal(load_be32(gre), 0x00006558);
		}
		/* The inner frame; one that does not fit is cut. */
		assert_int_equal(load_be16(got + outer + 12), 0x88b5);
		assert_memory_equal(got + outer, mac_b, 6);
		assert_int_equal(fake[UPLINK].got[2].size, 200);
		teardown(NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_directions),
		cmocka_unit_test_setup_teardown(test_several, setup, teardown),
		cmocka_unit_test(test_drops),
		cmocka_unit_test_setup_teardown(test_vlan_and_truncation, setup, teardown),
		cmocka_unit_test(test_vlan_of_their_own),
		cmocka_unit_test(test_collector),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
