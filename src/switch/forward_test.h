/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of forwarding: a switch of nine ports, whose devices write down what they are given. */
#ifndef SOFTIOV_SWITCH_FORWARD_TEST_H
#define SOFTIOV_SWITCH_FORWARD_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "frame/copy.h"
#include "switch/switch.h"

#define GOT_MAX 128

/* A device that writes down what it is given. */
struct got {
	uint32_t size; /* as it would lie in the receiver's buffer */
	uint16_t flags;
	uint16_t tci; /* 0: no tag */
	uint8_t head[64];
	uint8_t mark; /* last byte */
};

struct fake {
	struct endpoint ep;
	unsigned int n, n_pushes, n_frames_max;
	uint16_t untagged_vid;
	struct got got[GOT_MAX];
};

static inline void fake_push(struct endpoint *ep, const struct frame *const frame[], unsigned int n,
			     uint16_t untagged_vid, struct endpoint_stats *stats)
{
	struct fake *fake = container_of(ep, struct fake, ep);
	static uint8_t bytes[FRAME_SIZE_MAX + 4];
	const struct seg_out out = { bytes, sizeof(bytes) };

	assert_true(n > 0 && n <= BURST_MAX);
	assert_ptr_equal(stats, &ep->stats[worker_self]);
	fake->n_pushes++;
	fake->untagged_vid = untagged_vid;
	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = frame[i];
		struct got *got = &fake->got[fake->n++ % GOT_MAX];
		bool tag = f->vid != untagged_vid;

		assert_int_equal(f->drop, DROP_NONE);
		if (f->vid != 0)
			assert_int_equal(f->tci & 0xfff, f->vid);
		frame_copy(f, &out, 1, tag ? COPY_TAG : 0);
		got->size = f->size + (tag ? 4 : 0);
		got->flags = f->flags;
		got->tci = tag ? f->tci : 0;
		memcpy(got->head, bytes, sizeof(got->head));
		got->mark = bytes[got->size - 1];
		stats->rx_frames++;
	}
}

static const struct endpoint_ops fake_ops = { .push = fake_push };

static inline void fake_init(struct fake *fake)
{
	memset(fake, 0, sizeof(*fake));
	fake->ep.ops = &fake_ops;
	fake->ep.stats = endpoint_stats_new();
	atomic_store(&fake->ep.running, 1);
}

/* The switch under test. */
#define VF(i)   (&fake[i][PORT_VF])
#define SYN(i)  (&fake[i][PORT_SYNTHETIC])
#define UP1     5
#define UP2     6
#define N_PORTS 9

static struct vswitch sw;
static struct forwarder *fw;
static struct fake fake[N_PORTS][PORT_ENDPOINTS];
static struct port_config port[N_PORTS];

#define MAC_OF(i)   (0x1102ull | (uint64_t)(i) << 40) /* 02-11-00-00-00-i */
#define MAC_ADDED   MAC_OF(0x88)
#define MAC_UNKNOWN MAC_OF(0x99)
#define MAC_FOREIGN MAC_OF(0xaa)

static inline void port_init(unsigned int i, uint16_t pvid, const uint16_t *vlans)
{
	struct port_config *p = &port[i];

	memset(p, 0, sizeof(*p));
	p->used = true;
	p->pvid = pvid;
	p->trunk = vlans != NULL;
	for (; vlans != NULL && *vlans != 0; vlans++)
		bitmap_set(p->vlans, *vlans);
	p->n_macs = 1;
	p->mac[0] = MAC_OF(i);
	for (unsigned int e = 0; e < PORT_ENDPOINTS; e++) {
		fake_init(&fake[i][e]);
		p->endpoint[e] = &fake[i][e].ep;
	}
	p->stats = endpoint_stats_new();
}

static inline void publish(void)
{
	int ret;

	switch_snapshot_free(switch_publish(&sw, port, N_PORTS, &ret));
	assert_int_equal(ret, 0);
}

/* VLAN 1: ports 0, 1 and 8 (access), 3, 5 and 6 (native), 4 (tagged); VLAN 2: 2 (access), 3-6;
 * VLAN 3: 3, 5, 6; VLAN 9: 4 (native), 5, 6; VLAN 0: 7 alone. 5 and 6 are uplinks; 4 may have others
 * behind it; 8 has added an address. */
static inline int setup(void **state)
{
	worker_self = 0;
	assert_int_equal(switch_init(&sw, 1000), 0);
	fw = forwarder_new();
	assert_non_null(fw);
	fw->now_s = 100;
	port_init(0, 1, NULL);
	port_init(1, 1, NULL);
	port_init(2, 2, NULL);
	port_init(3, 1, (const uint16_t[]){ 2, 3, 0 });
	port_init(4, 9, (const uint16_t[]){ 1, 2, 0 });
	port[4].spoofing = port[4].unknown_unicast = true;
	for (unsigned int i = UP1; i <= UP2; i++) {
		port_init(i, 1, (const uint16_t[]){ 2, 3, 9, 0 });
		port[i].uplink = port[i].unknown_unicast = true;
		port[i].n_macs = 0;
	}
	port_init(7, 0, NULL);
	port_init(8, 1, NULL);
	port[8].mac[port[8].n_macs++] = MAC_ADDED;
	publish();
	return 0;
}

static inline int teardown(void **state)
{
	for (unsigned int i = 0; i < N_PORTS; i++) {
		free(port[i].stats);
		for (unsigned int e = 0; e < PORT_ENDPOINTS; e++)
			free(fake[i][e].ep.stats);
	}
	free(fw);
	switch_fini(&sw);
	return 0;
}

/* --- sending --- */

static struct burst burst;
static uint8_t bytes_of[BURST_MAX][512];

static inline void burst_reset(void)
{
	burst.n = 0;
	burst.n_segs = 0;
}

static inline struct frame *burst_bytes(const uint8_t *bytes, uint32_t size)
{
	struct frame *f = &burst.frame[burst.n++];

	memset(f, 0, sizeof(*f));
	f->va = bytes;
	f->seg_size = size;
	f->size = size;
	f->n_segs = 1;
	return f;
}

/* A frame of 64 bytes and its tags; each tag is a TCI, -1 = none. The last byte is `mark`. */
static inline struct frame *burst_add(uint64_t dest, uint64_t source, int tag, int second,
				      uint8_t mark)
{
	uint8_t *bytes = bytes_of[burst.n];
	uint32_t size = ETH_ADDRS_SIZE;

	memset(bytes, 0, 128);
	mac_store(bytes, dest);
	mac_store(bytes + 6, source);
	for (unsigned int i = 0; i < 2; i++) {
		int tci = i == 0 ? tag : second;

		if (tci < 0)
			continue;
		store_be16(bytes + size, ETH_TYPE_VLAN);
		store_be16(bytes + size + 2, (uint16_t)tci);
		size += 4;
	}
	store_be16(bytes + size, 0x88b5);
	size += 52;
	bytes[size - 1] = mark;
	return burst_bytes(bytes, size);
}

static inline void forward(unsigned int in)
{
	for (unsigned int i = 0; i < N_PORTS; i++)
		for (unsigned int e = 0; e < PORT_ENDPOINTS; e++)
			fake[i][e].n = fake[i][e].n_pushes = 0;
	switch_forward(fw, sw.snapshot, (uint16_t)in, &VF(in)->ep, &burst);
}

static inline uint64_t drops_of(unsigned int in, enum drop_reason reason)
{
	return VF(in)->ep.stats->drop[reason];
}

static inline uint64_t drops_all(unsigned int in)
{
	uint64_t n = 0;

	for (unsigned int r = 0; r < DROP_N; r++)
		n += drops_of(in, r);
	return n;
}

/* Who got the one frame: "port u" or "port t TCI" each, by rising port. */
static inline const char *receivers(void)
{
	static char text[200];
	int at = 0;

	text[0] = '\0';
	for (unsigned int i = 0; i < N_PORTS; i++) {
		const struct fake *f = VF(i);

		assert_int_equal(SYN(i)->n, 0);
		assert_true(f->n <= 1);
		if (f->n == 0)
			continue;
		assert_int_equal(f->untagged_vid, port[i].pvid);
		at += sprintf(text + at, f->got[0].tci != 0 ? "%s%ut%x" : "%s%uu",
			      at > 0 ? " " : "", i, f->got[0].tci);
	}
	return text;
}

#define BC MAC_BROADCAST

static inline const char *unicast(unsigned int in, uint64_t dest, uint64_t source, int tag)
{
	burst_reset();
	burst_add(dest, source, tag, -1, 1);
	forward(in);
	return receivers();
}

#define TEST(x) cmocka_unit_test_setup_teardown(x, setup, teardown)

#endif
