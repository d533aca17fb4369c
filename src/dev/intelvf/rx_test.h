/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of receive rings: a guest whose driver has set one up, and how to look at it. */
#ifndef SOFTIOV_DEV_INTELVF_RX_TEST_H
#define SOFTIOV_DEV_INTELVF_RX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dev/intelvf/fake_guest.h"
#include "dev/ixgbevf/ixgbevf.h"

#define N   64
#define ADV SRRCTL_DESCTYPE_ADV

static struct guest g;
static uint8_t data[BURST_MAX][16384];

static inline void up(enum mbox_api api, uint32_t srrctl, uint32_t rxdctl)
{
	guest_mbox_up(&g, api);
	guest_irqs_up(&g);
	guest_rx_up(&g, N, srrctl, rxdctl);
	guest_rx_post(&g, 0, N - 1, N);
}

static inline int start(void **state)
{
	guest_start(&g, "82599");
	for (unsigned int i = 0; i < BURST_MAX; i++)
		for (unsigned int k = 0; k < sizeof(data[i]); k++)
			data[i][k] = (uint8_t)(k * 7 + i);
	up(MBOX_API_13, ADV | 2, RXDCTL_VME);
	return 0;
}

static inline int stop(void **state)
{
	guest_stop(&g);
	return 0;
}

static inline struct frame frame(unsigned int i, uint32_t size)
{
	return guest_frame(data[i], size, GUEST_MAC, 0x88b5);
}

static inline void set_policy(bool trusted, bool trunk, uint32_t max_frame)
{
	struct vf_policy policy = g.vf->policy;

	policy.trusted = trusted;
	policy.trunk = trunk;
	policy.max_frame = max_frame;
	memset(policy.vlans, trunk ? 0xff : 0, sizeof(policy.vlans));
	g.vf->ops->set_policy(g.vf, &policy);
}

static inline uint32_t ask(uint32_t op, uint32_t w1, uint32_t w2)
{
	uint32_t reply[VFMBMEM_WORDS];

	assert_true(guest_mbox(&g, 1, (const uint32_t[]){ op, w1, w2 }, 3, reply));
	return reply[0];
}

static inline uint32_t status_of(unsigned int idx)
{
	return (uint32_t)guest_rx_desc(&g, idx)->hi;
}

static inline uint32_t size_of(unsigned int idx)
{
	return guest_rx_desc(&g, idx)->hi >> 32 & 0xffff;
}

static inline uint16_t tag_of(unsigned int idx)
{
	return (uint16_t)(guest_rx_desc(&g, idx)->hi >> 48);
}

static inline uint8_t *buf_of(unsigned int idx)
{
	return guest_va(&g, GUEST_BUFS + 2048ull * idx);
}

static inline unsigned int push1(const struct frame *f, uint16_t untagged_vid)
{
	uint64_t before = g.stats.rx_frames;

	guest_push(&g, f, 1, untagged_vid);
	return (unsigned int)(g.stats.rx_frames - before);
}

#endif
