/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest with an ixgbevf VF, as its driver leaves the rings: advanced descriptors, RS on each packet's
 * last, receive buffers of 2 KiB. */
#include <stdlib.h>

#include "dev/intelvf/fake_guest.h"
#include "dev/ixgbevf/ixgbevf.h"
#include "guard.h"

#define N_DESC    128
#define BUF_SIZE  2048
#define N_VECTORS 3
#define MSG_LPE   5u /* VF_SET_LPE: the longest frame, with FCS */

struct vf_side {
	struct side side;
	struct guest guest;
	unsigned int tx_at, rx_at, post_at;
};

static void vf_send(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
		    bool csum)
{
	struct vf_side *s = container_of(side, struct vf_side, side);

	guard_must(!csum, "a VF side sends plain frames");
	for (unsigned int i = 0; i < n; i++) {
		uint64_t iova = GUEST_DATA + (uint64_t)s->tx_at * BUF_SIZE;

		memcpy(guest_va(&s->guest, iova), bytes, size);
		*((uint8_t *)guest_va(&s->guest, iova) + GUARD_FLOW) = (uint8_t)i;
		*guest_tx_desc(&s->guest, s->tx_at) = (struct guest_desc){
			iova, size | TXD_DTYP_DATA | TXD_CMD_DEXT | TXD_CMD_EOP | TXD_CMD_RS |
				      (uint64_t)size << (32 + TXD_PAYLEN_SHIFT)
		};
		s->tx_at = (s->tx_at + 1) % N_DESC;
	}
	guest_tx_tail(&s->guest, s->tx_at);
}

static void vf_post(struct side *side, unsigned int n)
{
	struct vf_side *s = container_of(side, struct vf_side, side);
	unsigned int to = (s->post_at + n) % N_DESC;

	guest_rx_post(&s->guest, s->post_at, to, N_DESC);
	s->post_at = to;
}

static bool vf_collect(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
		       bool csum)
{
	struct vf_side *s = container_of(side, struct vf_side, side);
	bool good = true;

	for (unsigned int i = 0; i < n; i++) {
		const struct guest_desc *d = guest_rx_desc(&s->guest, s->rx_at);
		const uint8_t *buf =
			guest_va(&s->guest, GUEST_BUFS + (uint64_t)s->rx_at * BUF_SIZE);

		good = good && (d->hi & RXD_STAT_DD) != 0 && (uint16_t)(d->hi >> 32) == size &&
		       guard_frame_good(buf, bytes, size, csum);
		s->rx_at = (s->rx_at + 1) % N_DESC;
	}
	return good;
}

/* ---- four receive queues ---- */

#define N_QUEUES   4
#define N_DESC4    32
#define RING4(q)   (GUEST_RX_RING + (uint64_t)(q)*N_DESC4 * DESC_SIZE)
#define BUF4(q, i) (GUEST_BUFS + ((uint64_t)(q)*N_DESC4 + (i)) * BUF_SIZE)

struct vf4_side {
	struct side side;
	struct guest guest;
	unsigned int at[N_QUEUES];
};

static void line_write(struct vf4_side *s, unsigned int q, uint32_t offset, uint32_t value)
{
	guest_line_write(&s->guest, IXGBEVF_PAGE_RX + q * IXGBEVF_QUEUE_STEP + offset, value);
}

static struct guest_desc *desc4(struct vf4_side *s, unsigned int q, unsigned int i)
{
	return (struct guest_desc *)guest_va(&s->guest, RING4(q)) + i;
}

static void vf4_post(struct side *side, unsigned int n)
{
	/* vf4_collect posts what it has taken. */
}

static bool vf4_collect(struct side *side, const uint8_t *bytes, uint32_t size, unsigned int n,
			bool csum)
{
	struct vf4_side *s = container_of(side, struct vf4_side, side);
	unsigned int n_got = 0, n_used = 0;
	bool good = true;

	for (unsigned int q = 0; q < N_QUEUES; q++) {
		unsigned int first = s->at[q];
		int last = -1;

		for (; (desc4(s, q, s->at[q])->hi & RXD_STAT_DD) != 0; n_got++) {
			struct guest_desc *d = desc4(s, q, s->at[q]);
			const uint8_t *buf = guest_va(&s->guest, BUF4(q, s->at[q]));

			good = good && (uint16_t)(d->hi >> 32) == size && d->lo >> 32 != 0 &&
			       buf[GUARD_FLOW] > last && guard_frame_good(buf, bytes, size, csum);
			last = buf[GUARD_FLOW];
			*d = (struct guest_desc){ BUF4(q, s->at[q]), 0 };
			s->at[q] = (s->at[q] + 1) % N_DESC4;
		}
		n_used += s->at[q] != first;
		line_write(s, q, RDT, (s->at[q] + N_DESC4 - 1) % N_DESC4);
	}
	return good && n_got == n && n_used == N_QUEUES;
}

struct side *side_new_vf4(uint64_t mac)
{
	struct vf4_side *s =
		aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	const uint32_t lpe[] = { MSG_LPE, FRAME_SIZE_MOST + FCS_SIZE };
	uint32_t reply[VFMBMEM_WORDS];
	const struct vf_policy policy = { .mac = mac,
					  .link_up = true,
					  .max_frame = FRAME_SIZE_MOST };

	if (s == NULL)
		abort();
	memset(s, 0, sizeof(*s));
	guest_start_queues(&s->guest, "x550", N_QUEUES);
	s->guest.vf->ops->set_policy(s->guest.vf, &policy);
	guest_mbox_up(&s->guest, MBOX_API_13);
	guard_must(guest_mbox(&s->guest, 1, lpe, ARRAY_SIZE(lpe), reply), "VF_SET_LPE");
	for (uint32_t i = 0; i < RSS_KEY_SIZE / 4; i++)
		guest_write(&s->guest, VFRSSRK + 4 * i, 0x9e3779b9 * (i + 1));
	for (uint32_t i = 0; i < VFRETA_ENTRIES / 4; i++)
		guest_write(&s->guest, VFRETA + 4 * i, 0x03020100);
	guest_write(&s->guest, VFMRQC, 0x00330001);
	for (unsigned int q = 0; q < N_QUEUES; q++) {
		for (unsigned int i = 0; i < N_DESC4; i++)
			*desc4(s, q, i) = (struct guest_desc){ BUF4(q, i), 0 };
		line_write(s, q, RDBAL, (uint32_t)RING4(q));
		line_write(s, q, RDBAH, (uint32_t)(RING4(q) >> 32));
		line_write(s, q, RDLEN, N_DESC4 * DESC_SIZE);
		line_write(s, q, SRRCTL, BUF_SIZE >> 10 | SRRCTL_DESCTYPE_ADV);
		line_write(s, q, RXDCTL, RXDCTL_ENABLE);
		line_write(s, q, RDT, N_DESC4 - 1);
	}
	guest_irqs_up(&s->guest);
	guest_write(&s->guest, VTEIMC, (1u << N_VECTORS) - 1);
	s->side = (struct side){ .endpoint = &s->guest.vf->endpoint,
				 .mac = mac,
				 .post = vf4_post,
				 .collect = vf4_collect };
	return &s->side;
}

static struct side *vf_new(uint64_t mac, bool verify)
{
	struct vf_side *s =
		aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	const uint32_t lpe[] = { MSG_LPE, FRAME_SIZE_MOST + FCS_SIZE };
	uint32_t reply[VFMBMEM_WORDS];
	const struct vf_policy policy = {
		.mac = mac,
		.link_up = true,
		.speed_mbit = 10000,
		.max_frame = FRAME_SIZE_MOST,
		.verify_checksums = verify,
	};

	if (s == NULL)
		abort();
	memset(s, 0, sizeof(*s));
	guest_start(&s->guest, "82599");
	s->guest.vf->ops->set_policy(s->guest.vf, &policy);
	guest_mbox_up(&s->guest, MBOX_API_13);
	guard_must(guest_mbox(&s->guest, 1, lpe, ARRAY_SIZE(lpe), reply), "VF_SET_LPE");
	guest_rx_up(&s->guest, N_DESC, BUF_SIZE >> 10 | SRRCTL_DESCTYPE_ADV, 0);
	guest_tx_up(&s->guest, N_DESC);
	guest_irqs_up(&s->guest);
	/* NAPI: the driver polls, and the vectors of its queues are masked. */
	guest_write(&s->guest, VTEIMC, (1u << N_VECTORS) - 1);
	s->side = (struct side){ .endpoint = &s->guest.vf->endpoint,
				 .mac = mac,
				 .send = vf_send,
				 .post = vf_post,
				 .collect = vf_collect };
	return &s->side;
}

struct side *side_new_vf(uint64_t mac)
{
	return vf_new(mac, false);
}

struct side *side_new_vf_verify(uint64_t mac)
{
	return vf_new(mac, true);
}
