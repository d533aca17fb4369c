/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of this folder share: a device, a fake guest, and TCP frames. */
#ifndef SOFTIOV_DEV_VIRTIO_NET_TEST_NET_H
#define SOFTIOV_DEV_VIRTIO_NET_TEST_NET_H

#include <errno.h>

#include "dev/virtio_net/fake_guest.h"
#include "dev/virtio_net/ring.h"

#define TEST_RING_SIZE 16u
#define TEST_PAIRS     4u
#define TEST_IOVA      0x40000000ull
#define TEST_MEM_SIZE  (1u << 20)
#define TEST_FRAME_MAX (70 * 1024)

struct test_net {
	struct virtio_net net;
	struct endpoint_stats *stats; /* of worker 0 */
	struct guest guest;
	struct mem_table *mem;
	int call[VIRTIO_NET_RINGS_MAX];
	uint8_t log[(TEST_IOVA + TEST_MEM_SIZE) / 4096 / 8];
	bool log_on;
	bool packed;
	struct burst burst;
};

enum test_ip {
	TEST_IP4,
	TEST_IP6
};

int test_setup(void **state);
/* The same with TEST_PAIRS pairs of rings. */
int test_setup_pairs(void **state);
/* A test with packed rings, and one with either kind in turn. */
int test_packed(void **state);
int test_split(void **state);
#define with_packed(test)                                              \
	{                                                              \
#test " (packed)", test, test_packed, test_split, NULL \
	}
#define with_both(test) cmocka_unit_test(test), with_packed(test)
int test_teardown(void **state);
/* Stops, empties guest and counters, and starts with these features and indices. */
void test_start(struct test_net *t, uint64_t features, uint16_t idx);
/* Interrupts since the last time. */
unsigned int test_irqs(struct test_net *t, unsigned int ring);

/* A TCP frame with its checksum field seeded as Linux does for virtio (the pseudo-header with the
 * length) and right IP headers; returns its size. flags: TCP's. */
uint32_t test_tcp(uint8_t *bytes, enum test_ip ip, unsigned int n_tags, uint32_t payload,
		  uint8_t flags);
/* The same with UDP. */
uint32_t test_udp(uint8_t *bytes, enum test_ip ip, unsigned int n_tags, uint32_t payload);
/* The sum of what is at `l4` with the pseudo-header of the IP header at `l3`: 0 if the
 * checksum is right. */
uint16_t test_l4_sum(const uint8_t *bytes, enum test_ip ip, uint32_t l3, uint32_t size);

#endif
