/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dev/virtio_net/test_net.h"
#include "frame/csum.h"

static int setup(void **state, unsigned int n_pairs)
{
	struct test_net *t =
		aligned_alloc(CACHE_LINE, (sizeof(*t) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	struct mem_window window = { .iova = TEST_IOVA,
				     .size = TEST_MEM_SIZE,
				     .prot = MEM_READ | MEM_WRITE };

	if (t == NULL)
		return -1;
	memset(t, 0, sizeof(*t));
	/* Exactly as long as the guest's memory, so that ASan sees the byte behind it. */
	window.va = aligned_alloc(4096, TEST_MEM_SIZE);
	worker_self = 0; /* as the worker does whose counters these are */
	t->stats = endpoint_stats_new();
	t->mem = mem_table_new(&window, 1);
	if (window.va == NULL || t->stats == NULL || t->mem == NULL)
		return -1;
	virtio_net_init(&t->net, t->stats, n_pairs);
	guest_init(&t->guest, window.va, TEST_MEM_SIZE, TEST_IOVA, TEST_RING_SIZE, n_pairs);
	for (unsigned int i = 0; i < t->guest.n_rings; i++) {
		t->call[i] = eventfd(0, EFD_NONBLOCK);
		if (t->call[i] < 0)
			return -1;
	}
	*state = t;
	return 0;
}

int test_setup(void **state)
{
	return setup(state, 1);
}

int test_setup_pairs(void **state)
{
	return setup(state, TEST_PAIRS);
}

int test_packed(void **state)
{
	((struct test_net *)*state)->packed = true;
	return 0;
}

int test_split(void **state)
{
	((struct test_net *)*state)->packed = false;
	return 0;
}

int test_teardown(void **state)
{
	struct test_net *t = *state;

	for (unsigned int i = 0; i < t->guest.n_rings; i++)
		close(t->call[i]);
	mem_table_free(t->mem);
	free(t->guest.va);
	free(t->stats);
	free(t);
	return 0;
}

void test_start(struct test_net *t, uint64_t features, uint16_t idx)
{
	struct virtio_net_setup setup = { .features = features, .mem = t->mem };

	virtio_net_stop(&t->net);
	memset(t->stats, 0, sizeof(*t->stats));
	memset(t->log, 0, sizeof(t->log));
	t->guest.packed = t->packed;
	if (t->packed)
		setup.features |= 1ull << VIRTIO_F_RING_PACKED;
	guest_reset(&t->guest, idx);
	guest_setup(&t->guest, setup.ring);
	if (t->log_on)
		setup.log = (struct dirty_log){ t->log, sizeof(t->log) };
	if (virtio_net_start(&t->net, &setup) < 0)
		abort();
	virtio_net_set_link(&t->net, true);
	virtio_net_set_max_frame(&t->net, 9014);
	for (unsigned int i = 0; i < t->guest.n_rings; i++) {
		virtio_net_enable(&t->net, i, true);
		virtio_net_set_call(&t->net, i, t->call[i]);
		test_irqs(t, i);
	}
}

unsigned int test_irqs(struct test_net *t, unsigned int ring)
{
	uint64_t n = 0;

	return read(t->call[ring], &n, sizeof(n)) == sizeof(n) ? (unsigned int)n : 0;
}

/* IPv4: RFC 9293 3.1; IPv6: RFC 8200 8.1. */
static uint64_t pseudo_sum(const uint8_t *l3, enum test_ip ip, uint32_t l4_size)
{
	uint8_t tail[8] = { 0 };

	store_be32(tail, l4_size);
	tail[7] = ip == TEST_IP4 ? l3[9] : l3[6];
	return ip == TEST_IP4 ? csum_add(l3 + 12, 8, csum_add(tail, 8, 0))
			      : csum_add(l3 + 8, 32, csum_add(tail, 8, 0));
}

/* All but what L4 has of its own and the checksum. Where L4 is. */
static uint8_t *make_ip(uint8_t *bytes, enum test_ip ip, unsigned int n_tags, uint8_t proto,
			uint32_t l4_size)
{
	uint32_t l3_size = ip == TEST_IP4 ? 20 : 40, at = ETH_ADDRS_SIZE;
	static const uint8_t macs[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	uint8_t *l3;
	uint16_t sum;

	memset(bytes, 0, ETH_ADDRS_SIZE + 4 * n_tags + 2 + l3_size + 20);
	memcpy(bytes, macs, sizeof(macs));
	for (unsigned int i = 0; i < n_tags; i++, at += 4) {
		store_be16(bytes + at, i + 1 < n_tags ? 0x88a8 : ETH_TYPE_VLAN);
		store_be16(bytes + at + 2, (uint16_t)(100 + i));
	}
	store_be16(bytes + at, ip == TEST_IP4 ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
	l3 = bytes + at + 2;
	if (ip == TEST_IP4) {
		l3[0] = 0x45;
		store_be16(l3 + 2, (uint16_t)(20 + l4_size));
		store_be16(l3 + 4, 0xfffe);
		l3[8] = 64;
		l3[9] = proto;
		store_be32(l3 + 12, 0x0a000001);
		store_be32(l3 + 16, 0x0a000002);
		sum = (uint16_t)~csum_fold(csum_add(l3, 20, 0));
		memcpy(l3 + 10, &sum, 2);
	} else {
		l3[0] = 0x60;
		store_be16(l3 + 4, (uint16_t)l4_size);
		l3[6] = proto;
		l3[7] = 64;
		for (unsigned int i = 0; i < 32; i++)
			l3[8 + i] = (uint8_t)(i * 11);
	}
	store_be16(l3 + l3_size, 1000);
	store_be16(l3 + l3_size + 2, 80);
	return l3 + l3_size;
}

static void finish_l4(uint8_t *l4, enum test_ip ip, uint32_t hdr, uint32_t csum_at,
		      uint32_t payload)
{
	const uint8_t *l3 = l4 - (ip == TEST_IP4 ? 20 : 40);
	uint16_t sum = csum_fold(pseudo_sum(l3, ip, hdr + payload));

	memcpy(l4 + csum_at, &sum, 2);
	for (uint32_t i = 0; i < payload; i++)
		l4[hdr + i] = (uint8_t)(i * 13 + (i >> 8));
}

uint32_t test_tcp(uint8_t *bytes, enum test_ip ip, unsigned int n_tags, uint32_t payload,
		  uint8_t flags)
{
	uint8_t *l4 = make_ip(bytes, ip, n_tags, 6, 20 + payload);

	store_be32(l4 + 4, 0xfffffff0);
	l4[12] = 0x50;
	l4[13] = flags;
	finish_l4(l4, ip, 20, 16, payload);
	return (uint32_t)(l4 - bytes) + 20 + payload;
}

uint32_t test_udp(uint8_t *bytes, enum test_ip ip, unsigned int n_tags, uint32_t payload)
{
	uint8_t *l4 = make_ip(bytes, ip, n_tags, 17, 8 + payload);

	store_be16(l4 + 4, (uint16_t)(8 + payload));
	finish_l4(l4, ip, 8, 6, payload);
	return (uint32_t)(l4 - bytes) + 8 + payload;
}

uint16_t test_l4_sum(const uint8_t *bytes, enum test_ip ip, uint32_t l3, uint32_t size)
{
	uint32_t l4 = l3 + (ip == TEST_IP4 ? 20 : 40);
	uint64_t sum = pseudo_sum(bytes + l3, ip, size - l4);

	return (uint16_t)~csum_fold(csum_add(bytes + l4, size - l4, sum));
}
