/* SPDX-License-Identifier: BSD-3-Clause */
/* For the tests of the relay: a guest whose memory only messages reach. The client answers late, in any
 * order, and not always well; the driver looks at its rings after each half of each write, and believes
 * what it sees. */
#ifndef SOFTIOV_DEV_INTELVF_RELAY_TEST_H
#define SOFTIOV_DEV_INTELVF_RELAY_TEST_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dev/intelvf/fake_guest.h"
#include "dev/intelvf/relay.h"
#include "dev/ixgbevf/ixgbevf.h"
#include "frame/copy.h"

#define N     64 /* descriptors of either ring */
#define DATA  (TXD_CMD_DEXT | TXD_DTYP_DATA)
#define WHOLE (DATA | TXD_CMD_EOP | TXD_CMD_RS)
#define ADV   (SRRCTL_DESCTYPE_ADV | 2) /* buffers of 2 KiB */

#define BUFFER(i) (GUEST_BUFS + 2048ull * (i))

static struct guest g;

/* --- the client --- */

struct message {
	bool write;
	uint64_t iova;
	uint8_t *buf; /* of a write: a copy */
	size_t size;
	vf_dma_done *done;
	void *arg;
};

enum order {
	FIRST_COMES_FIRST,
	LAST_COMES_FIRST,
	ANY_ORDER
};

static struct {
	struct message wait[VF_DMA_QUEUED];
	unsigned int n, n_sent, n_max;
	size_t write_size, write_size_max;
	bool kicked;
	enum order order;
	/* What goes wrong: */
	int refuse;           /* every request is refused so */
	size_t size_max;      /* longer ones get -EINVAL */
	unsigned int fail_at; /* the n-th answer, from 1, is an error: */
	int error;
	unsigned int n_answers;
	uint32_t seed;
} client;

static inline uint32_t any(uint32_t below)
{
	client.seed = client.seed * 1664525 + 1013904223;
	return (client.seed >> 8) % below;
}

static inline int send_message(struct message m)
{
	assert_true(m.size > 0 && m.size <= VF_DMA_MAX);
	assert_true(m.iova >= GUEST_RAM_AT && m.iova + m.size <= GUEST_RAM_AT + GUEST_RAM_SIZE);
	if (client.refuse != 0)
		return client.refuse;
	if (client.size_max != 0 && m.size > client.size_max)
		return -EINVAL;
	if (client.n == VF_DMA_QUEUED)
		return -EBUSY;
	if (m.write) {
		client.write_size += m.size;
		if (client.write_size > client.write_size_max)
			client.write_size_max = client.write_size;
	}
	client.wait[client.n++] = m;
	client.n_sent++;
	if (client.n > client.n_max)
		client.n_max = client.n;
	return 0;
}

static inline int up_read(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
			  void *done_arg)
{
	return send_message((struct message){ false, iova, buf, size, done, done_arg });
}

static inline int up_write(void *arg, uint64_t iova, const void *buf, size_t size,
			   vf_dma_done *done, void *done_arg)
{
	uint8_t *copy = malloc(size);
	int ret;

	memcpy(copy, buf, size);
	ret = send_message((struct message){ true, iova, copy, size, done, done_arg });
	if (ret < 0)
		free(copy);
	return ret;
}

static inline void up_kick(void *arg)
{
	__atomic_store_n(&client.kicked, true, __ATOMIC_SEQ_CST);
}

static inline void driver_looks(void);

/* The second half of a write first: nothing promises the other order. */
static inline void put_message(const struct message *m)
{
	size_t half = m->size <= 8 ? 0 : m->size / 2;
	uint8_t *va = guest_va(&g, m->iova);

	memcpy(va + half, m->buf + half, m->size - half);
	driver_looks();
	memcpy(va, m->buf, half);
	driver_looks();
}

static inline void answer(unsigned int i)
{
	struct message m = client.wait[i];
	int err = ++client.n_answers == client.fail_at ? client.error : 0;

	if (m.write)
		client.write_size -= m.size;
	memmove(&client.wait[i], &client.wait[i + 1], (--client.n - i) * sizeof(m));
	if (err == 0 && m.write)
		put_message(&m);
	else if (err == 0)
		memcpy(m.buf, guest_va(&g, m.iova), m.size);
	m.done(m.arg, err);
	if (m.write)
		free(m.buf);
}

static inline void answer_one(void)
{
	answer(client.order == FIRST_COMES_FIRST  ? 0
	       : client.order == LAST_COMES_FIRST ? client.n - 1
						  : any(client.n));
}

static inline void answer_writes(void)
{
	for (unsigned int i = client.n; i-- > 0;)
		if (client.wait[i].write)
			answer(i);
}

/* --- the driver --- */

static struct {
	/* Sends frames [0, n_send) as they have room; frame i of size tx_size(i). */
	unsigned int n_send, n_posted, n_cleaned, n_seen;
	bool tx_mangles; /* what it got back it uses for something else */
	/* Posts all buffers again that it has emptied. */
	unsigned int n_received;
	unsigned int rx_next, rx_tail;
	bool running;
} drv;

static unsigned int life; /* of the driver: each has frames of its own */

static inline uint8_t byte_of(unsigned int frame, uint32_t at)
{
	return (uint8_t)(life * 31 + frame * 7 + at * 13 + (at >> 8));
}

static inline uint32_t size_of(unsigned int frame)
{
	return 60 + frame * 37 % 1400;
}

/* Writes frame `frame` for the VF's own address to `out`. */
static inline void make(uint8_t *out, unsigned int frame, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		out[i] = byte_of(frame, i);
	mac_store(out, GUEST_MAC);
	mac_store(out + 6, 0x0a0000000002ull);
	store_be16(out + ETH_ADDRS_SIZE, 0x88b5);
}

static inline bool is_frame(const uint8_t *in, unsigned int frame, uint32_t size)
{
	for (uint32_t i = FRAME_SIZE_MIN; i < size; i++)
		if (in[i] != byte_of(frame, i))
			return false;
	return true;
}

static inline void post_frames(void)
{
	if (!drv.running || drv.n_posted == drv.n_send)
		return;
	while (drv.n_posted < drv.n_send && drv.n_posted - drv.n_cleaned < N - 1) {
		unsigned int idx = drv.n_posted % N;
		uint64_t iova = GUEST_DATA + 2048ull * idx;
		uint32_t size = size_of(drv.n_posted);

		make(guest_va(&g, iova), drv.n_posted, size);
		*guest_tx_desc(&g, idx) =
			(struct guest_desc){ iova, (uint64_t)size << (32 + TXD_PAYLEN_SHIFT) |
							   WHOLE | size };
		drv.n_posted++;
	}
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, drv.n_posted % N);
}

static inline void clean_frames(void)
{
	while (drv.n_cleaned < drv.n_posted) {
		unsigned int idx = drv.n_cleaned % N;
		struct guest_desc *d = guest_tx_desc(&g, idx);

		if ((d->hi >> 32 & TXD_STAT_DD) == 0)
			return;
		assert_true(drv.n_cleaned < drv.n_seen); /* not before it was sent */
		if (drv.tx_mangles)
			*d = (struct guest_desc){ ~0ull, (uint64_t)drv.n_cleaned << 33 };
		drv.n_cleaned++;
	}
}

static inline void take_frames(void)
{
	for (;;) {
		struct guest_desc *d = guest_rx_desc(&g, drv.rx_next);
		uint32_t size = (uint32_t)(d->hi >> 32) & 0xffff;

		/* Linux looks at the length, DPDK at DD: they must be there together. */
		if (size == 0) {
			assert_int_equal(d->hi, 0);
			return;
		}
		assert_true((d->hi & RXD_STAT_DD) != 0 && (d->hi & RXD_STAT_EOP) != 0);
		assert_int_equal(size, size_of(drv.n_received));
		assert_true(is_frame(guest_va(&g, BUFFER(drv.rx_next)), drv.n_received, size));
		memset(guest_va(&g, BUFFER(drv.rx_next)), 0xee, 2048);
		*d = (struct guest_desc){ BUFFER(drv.rx_next), 0 };
		drv.rx_tail = drv.rx_next; /* one stays behind */
		drv.rx_next = (drv.rx_next + 1) % N;
		drv.n_received++;
	}
}

static inline void driver_looks(void)
{
	if (!drv.running)
		return;
	clean_frames();
	take_frames();
}

static inline void up(void)
{
	memset(&drv, 0, sizeof(drv));
	life++;
	guest_mbox_up(&g, MBOX_API_13);
	memset(guest_va(&g, GUEST_RX_RING), 0, (size_t)N * DESC_SIZE);
	memset(guest_va(&g, GUEST_TX_RING), 0, (size_t)N * DESC_SIZE);
	guest_rx_up(&g, N, ADV, 0);
	guest_tx_up(&g, N);
	guest_irqs_up(&g);
	guest_rx_desc(&g, N - 1)->lo = BUFFER(N - 1);
	guest_rx_post(&g, 0, N - 1, N);
	drv.rx_tail = N - 1;
	drv.running = true;
}

/* --- the worker --- */

static inline void copy_frame(const struct frame *f, uint8_t *out)
{
	memcpy(out, f->va, f->seg_size);
	out += f->seg_size;
	for (unsigned int i = 0; i + 1 < f->n_segs; i++) {
		memcpy(out, f->more[i].va, f->more[i].size);
		out += f->more[i].size;
	}
}

static inline unsigned int work(void)
{
	unsigned int n = guest_pull(&g);

	for (unsigned int i = 0; i < n; i++) {
		const struct frame *f = &g.burst.frame[i];
		uint8_t out[2048];

		assert_true(f->size <= sizeof(out));
		copy_frame(f, out);
		if (drv.running && drv.n_send > 0) {
			assert_int_equal(f->size, size_of(drv.n_seen));
			assert_true(is_frame(out, drv.n_seen, f->size));
		}
		drv.n_seen++;
	}
	if (n > 0)
		guest_done(&g);
	return n;
}

/* True: there was a buffer for it. */
static inline bool push(unsigned int frame)
{
	uint64_t before = g.stats.rx_frames;
	uint8_t bytes[2048];
	struct frame f;

	make(bytes, frame, size_of(frame));
	f = guest_frame(bytes, size_of(frame), GUEST_MAC, 0x88b5);
	guest_push(&g, &f, 1, 0);
	return g.stats.rx_frames > before;
}

/* One thing happens, if there is anything to happen. */
static inline bool step(void)
{
	if (work() > 0)
		return true;
	if (client.kicked) {
		client.kicked = false;
		g.vf->ops->kicked(g.vf);
		return true;
	}
	if (client.n == 0)
		return false;
	answer_one();
	if (drv.running) {
		post_frames();
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, drv.rx_tail);
	}
	return true;
}

static inline void settle(void)
{
	unsigned int n = 0;

	while (step())
		assert_true(++n < 100000);
}

/* --- set-up --- */

static inline int no_memory_of_ours(void **state)
{
	static struct vf_upcalls upcalls;

	memset(&client, 0, sizeof(client));
	client.seed = 1;
	guest_start(&g, "82599");
	upcalls = *g.vf->upcalls;
	upcalls.dma_read = up_read;
	upcalls.dma_write = up_write;
	upcalls.kick = up_kick;
	g.vf->upcalls = &upcalls;
	assert_int_equal(mem_unmap(g.mem, GUEST_RAM_AT, GUEST_RAM_SIZE), 0);
	assert_int_equal(mem_map(g.mem, GUEST_RAM_AT, GUEST_RAM_SIZE, -1, 0, MEM_READ | MEM_WRITE),
			 0);
	return 0;
}

static inline int start(void **state)
{
	no_memory_of_ours(state);
	up();
	return 0;
}

static inline int stop(void **state)
{
	client.order = FIRST_COMES_FIRST;
	drv.running = false;
	while (client.n > 0)
		answer_one();
	guest_stop(&g);
	return 0;
}

/* Another receive ring in the place of the first, with nothing posted. */
static inline void rx_again(uint32_t srrctl)
{
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	settle();
	guest_rx_up(&g, N, srrctl, 0);
}

/* --- descriptors by hand --- */

static inline void put(unsigned int idx, uint64_t iova, uint32_t cmd, uint32_t status)
{
	*guest_tx_desc(&g, idx) = (struct guest_desc){ iova, (uint64_t)status << 32 | cmd };
}

static inline void tail(unsigned int idx)
{
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, idx);
}

/* Carries on until the worker gets something, which it keeps. */
static inline unsigned int pull_next(void)
{
	for (unsigned int i = 0; i < 1000; i++) {
		unsigned int n = guest_pull(&g);

		if (n > 0)
			return n;
		if (client.kicked) {
			client.kicked = false;
			g.vf->ops->kicked(g.vf);
		} else if (client.n > 0) {
			answer_one();
		}
	}
	return 0;
}

static inline void put_context(unsigned int idx, unsigned int slot)
{
	*guest_tx_desc(&g, idx) = (struct guest_desc){
		14u << TXC_MACLEN_SHIFT | 20 | 77u << TXC_VLAN_SHIFT,
		(uint64_t)(1448u << TXC_MSS_SHIFT | 20u << TXC_L4LEN_SHIFT | slot * TXC_IDX) << 32 |
			TXD_CMD_DEXT | TXD_DTYP_CTXT | TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP,
	};
}

static const enum order orders[] = { FIRST_COMES_FIRST, LAST_COMES_FIRST, ANY_ORDER };

#define CASE(f) cmocka_unit_test_setup_teardown(f, start, stop)

#endif
