/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest whose memory only messages reach. The client answers late, in any order, and not always
 * well; the driver looks at its rings after each half of each write, and believes what it sees. */
#include <errno.h>
#include <pthread.h>
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

static uint32_t any(uint32_t below)
{
	client.seed = client.seed * 1664525 + 1013904223;
	return (client.seed >> 8) % below;
}

static int send_message(struct message m)
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

static int up_read(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
		   void *done_arg)
{
	return send_message((struct message){ false, iova, buf, size, done, done_arg });
}

static int up_write(void *arg, uint64_t iova, const void *buf, size_t size, vf_dma_done *done,
		    void *done_arg)
{
	uint8_t *copy = malloc(size);
	int ret;

	memcpy(copy, buf, size);
	ret = send_message((struct message){ true, iova, copy, size, done, done_arg });
	if (ret < 0)
		free(copy);
	return ret;
}

static void up_kick(void *arg)
{
	__atomic_store_n(&client.kicked, true, __ATOMIC_SEQ_CST);
}

static void driver_looks(void);

/* The second half of a write first: nothing promises the other order. */
static void put_message(const struct message *m)
{
	size_t half = m->size <= 8 ? 0 : m->size / 2;
	uint8_t *va = guest_va(&g, m->iova);

	memcpy(va + half, m->buf + half, m->size - half);
	driver_looks();
	memcpy(va, m->buf, half);
	driver_looks();
}

static void answer(unsigned int i)
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

static void answer_one(void)
{
	answer(client.order == FIRST_COMES_FIRST  ? 0
	       : client.order == LAST_COMES_FIRST ? client.n - 1
						  : any(client.n));
}

static void answer_writes(void)
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

static uint8_t byte_of(unsigned int frame, uint32_t at)
{
	return (uint8_t)(life * 31 + frame * 7 + at * 13 + (at >> 8));
}

static uint32_t size_of(unsigned int frame)
{
	return 60 + frame * 37 % 1400;
}

/* Writes frame `frame` for the VF's own address to `out`. */
static void make(uint8_t *out, unsigned int frame, uint32_t size)
{
	for (uint32_t i = 0; i < size; i++)
		out[i] = byte_of(frame, i);
	mac_store(out, GUEST_MAC);
	mac_store(out + 6, 0x0a0000000002ull);
	store_be16(out + ETH_ADDRS_SIZE, 0x88b5);
}

static bool is_frame(const uint8_t *in, unsigned int frame, uint32_t size)
{
	for (uint32_t i = FRAME_SIZE_MIN; i < size; i++)
		if (in[i] != byte_of(frame, i))
			return false;
	return true;
}

static void post_frames(void)
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

static void clean_frames(void)
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

static void take_frames(void)
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

static void driver_looks(void)
{
	if (!drv.running)
		return;
	clean_frames();
	take_frames();
}

static void up(void)
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

static void copy_frame(const struct frame *f, uint8_t *out)
{
	memcpy(out, f->va, f->seg_size);
	out += f->seg_size;
	for (unsigned int i = 0; i + 1 < f->n_segs; i++) {
		memcpy(out, f->more[i].va, f->more[i].size);
		out += f->more[i].size;
	}
}

static unsigned int work(void)
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
static bool push(unsigned int frame)
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
static bool step(void)
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

static void settle(void)
{
	unsigned int n = 0;

	while (step())
		assert_true(++n < 100000);
}

/* --- set-up --- */

static int no_memory_of_ours(void **state)
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

static int start(void **state)
{
	no_memory_of_ours(state);
	up();
	return 0;
}

static int stop(void **state)
{
	client.order = FIRST_COMES_FIRST;
	drv.running = false;
	while (client.n > 0)
		answer_one();
	guest_stop(&g);
	return 0;
}

/* --- tests --- */

static const enum order orders[] = { FIRST_COMES_FIRST, LAST_COMES_FIRST, ANY_ORDER };

static void sends(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(orders); i++) {
		client.order = orders[i];
		drv.tx_mangles = true;
		drv.n_send += 1000;
		post_frames();
		settle();
		assert_int_equal(drv.n_seen, drv.n_send);
		assert_int_equal(drv.n_cleaned, drv.n_send);
		assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), drv.n_send % N);
	}
	/* The ring's last round is as the driver left it: nothing was written late. */
	for (unsigned int n = drv.n_send - N; n < drv.n_send; n++)
		assert_int_equal(guest_tx_desc(&g, n % N)->lo, ~0ull);
	assert_true(g.n_irqs[1] > 0);
	assert_true(guest_stats(&g).irqs > 0);
	assert_int_equal(guest_line_read(&g, VFGPTC), 3000);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 0);
	assert_true(client.n_max <= VF_DMA_QUEUED / 2);
	assert_int_equal(g.vf->counters.relays, 1);
}

static void receives(void **state)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < ARRAY_SIZE(orders); i++) {
		client.order = orders[i];
		for (unsigned int k = 0; k < 500; k++) {
			n += push(n);
			for (unsigned int s = any(8); s > 0; s--)
				step();
			if (k % 40 == 39)
				settle();
		}
		settle();
		assert_int_equal(drv.n_received, n);
	}
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_RX + RDH), n % N);
	assert_int_equal(guest_line_read(&g, VFGPRC), n);
	assert_int_equal(g.stats.rx_frames, n);
	assert_true(g.n_irqs[0] > 0);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 0);
	assert_int_equal(g.vf->endpoint.running, 1);
}

/* More than the guest has posted waits for nobody: the switch is told, and what came is right. */
static void receives_too_much(void **state)
{
	settle();
	drv.running = false;
	for (unsigned int n = 0; n < 100; n++)
		push(n);
	assert_int_equal(g.stats.rx_frames, N - 1);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 100 - (N - 1));
	settle();
	drv.running = true;
	driver_looks();
	assert_int_equal(drv.n_received, N - 1);
}

static void both_ways(void **state)
{
	unsigned int n = 0;

	client.order = ANY_ORDER;
	drv.n_send = 2000;
	post_frames();
	while (drv.n_cleaned < drv.n_send) {
		if (n - drv.n_received < N / 2)
			n += push(n);
		assert_true(step());
	}
	settle();
	assert_int_equal(drv.n_received, n);
	assert_int_equal(drv.n_cleaned, 2000);
	assert_true(client.n_max <= VF_DMA_QUEUED);
}

static void put(unsigned int idx, uint64_t iova, uint32_t cmd, uint32_t status)
{
	*guest_tx_desc(&g, idx) = (struct guest_desc){ iova, (uint64_t)status << 32 | cmd };
}

static void tail(unsigned int idx)
{
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDT, idx);
}

/* Carries on until the worker gets something, which it keeps. */
static unsigned int pull_next(void)
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

static void put_context(unsigned int idx, unsigned int slot)
{
	*guest_tx_desc(&g, idx) = (struct guest_desc){
		14u << TXC_MACLEN_SHIFT | 20 | 77u << TXC_VLAN_SHIFT,
		(uint64_t)(1448u << TXC_MSS_SHIFT | 20u << TXC_L4LEN_SHIFT | slot * TXC_IDX) << 32 |
			TXD_CMD_DEXT | TXD_DTYP_CTXT | TXC_TUCMD_IPV4 | TXC_TUCMD_L4T_TCP,
	};
}

/* A large send: a context, and pieces of which one is longer than a message may be. */
static void large_send(void **state)
{
	static const uint32_t pieces[] = { 54, 16384, 1, 40000, 9000 };
	const uint32_t size = 54 + 16384 + 1 + 40000 + 9000;
	static uint8_t bytes[65536 + 4096];
	uint64_t iova = GUEST_DATA;
	const struct frame *f;

	drv.running = false;
	client.size_max = 20000;
	client.order = ANY_ORDER;
	for (uint32_t i = 0; i < size; i++)
		*(uint8_t *)guest_va(&g, GUEST_DATA + i) = byte_of(3, i);
	put_context(0, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(pieces); i++) {
		bool last = i + 1 == ARRAY_SIZE(pieces);

		put(1 + i, iova,
		    DATA | TXD_CMD_TSE | pieces[i] | (last ? TXD_CMD_EOP | TXD_CMD_RS : 0),
		    (size - 54) << TXD_PAYLEN_SHIFT | TXD_IDX | TXD_POPTS_TXSM);
		iova += pieces[i];
	}
	tail(4);
	settle();
	assert_int_equal(drv.n_seen, 0);
	tail(6);
	assert_int_equal(pull_next(), 1);
	f = &g.burst.frame[0];
	assert_int_equal(f->size, size);
	assert_int_equal(f->n_segs, 5);
	assert_int_equal(f->mss, 1448);
	assert_true((f->flags & FRAME_TSO4) != 0);
	copy_frame(f, bytes);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], byte_of(3, i));
	guest_done(&g);
	settle();
	for (unsigned int i = 0; i < 6; i++)
		assert_int_equal(guest_tx_desc(&g, i)->hi >> 32 & TXD_STAT_DD, i == 5);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 6);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 0);
}

/* A driver that asks for a report on every eighth packet only. */
static void seldom_reports(void **state)
{
	drv.running = false;
	for (unsigned int i = 0; i < 32; i++)
		put(i, GUEST_DATA, DATA | TXD_CMD_EOP | 60 | (i % 8 == 7 ? TXD_CMD_RS : 0),
		    60 << TXD_PAYLEN_SHIFT);
	tail(20);
	settle();
	for (unsigned int i = 0; i < 32; i++)
		assert_int_equal(guest_tx_desc(&g, i)->hi >> 32 & TXD_STAT_DD, i == 7 || i == 15);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 20);
	g.n_irqs[1] = 0;
	tail(22);
	settle();
	assert_int_equal(g.n_irqs[1], 0);
	tail(32);
	settle();
	assert_int_equal(guest_tx_desc(&g, 23)->hi >> 32 & TXD_STAT_DD, 1);
	assert_true(g.n_irqs[1] > 0);
}

static void head_write_back(void **state)
{
	const uint64_t word = GUEST_RAM_AT + 0x1f004;

	drv.running = false;
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAL, (uint32_t)word | TDWBAL_HEAD_WB_EN);
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAH, 0);
	for (unsigned int i = 0; i < 10; i++)
		put(i, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(10);
	settle();
	assert_int_equal(*(uint32_t *)guest_va(&g, word), 10);
	assert_int_equal(guest_tx_desc(&g, 9)->hi >> 32 & TXD_STAT_DD, 0);
	assert_true(g.n_irqs[1] > 0);
	/* An address that is nowhere is counted, and sending goes on. */
	guest_line_write(&g, IXGBEVF_PAGE_TX + TDWBAH, 0x77);
	for (unsigned int i = 10; i < 12; i++)
		put(i, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(12);
	settle();
	assert_int_equal(drv.n_seen, 12);
	assert_true(guest_stats(&g).bad_tx_desc > 0);
}

/* Small buffers, so that a frame fills several; both descriptor formats. */
static void long_frames(void **state)
{
	static const uint32_t formats[] = { SRRCTL_DESCTYPE_ADV, SRRCTL_DESCTYPE_LEGACY };
	uint8_t bytes[1500];

	for (unsigned int i = 0; i < ARRAY_SIZE(formats); i++) {
		bool legacy = formats[i] == SRRCTL_DESCTYPE_LEGACY;
		struct frame f;

		settle();
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		settle();
		up();
		drv.running = false;
		guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
		guest_read(&g, VFSTATUS);
		settle();
		guest_rx_up(&g, N, formats[i] | 1, 0);
		guest_rx_post(&g, 0, 10, N);
		settle();
		client.order = LAST_COMES_FIRST;
		make(bytes, 9, sizeof(bytes));
		f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
		guest_push(&g, &f, 1, 0);
		settle();
		assert_memory_equal(guest_va(&g, BUFFER(0)), bytes, 1024);
		assert_memory_equal(guest_va(&g, BUFFER(1)), bytes + 1024, 476);
		if (legacy) {
			assert_int_equal(guest_rx_desc(&g, 0)->lo, BUFFER(0));
			assert_int_equal(guest_rx_desc(&g, 0)->hi, 1024 | 1ull << 32);
			assert_int_equal(guest_rx_desc(&g, 1)->hi, 476 | 3ull << 32);
		} else {
			assert_int_equal(guest_rx_desc(&g, 0)->hi, 1ull | 1024ull << 32);
			assert_int_equal(guest_rx_desc(&g, 1)->hi, 3ull | 476ull << 32);
		}
		assert_int_equal(guest_rx_desc(&g, 2)->hi, 0);
	}
}

/* Header buffers are carried as well; a frame that ends there leaves its packet buffer alone. */
static void header_buffers(void **state)
{
	static const uint32_t sizes[] = { 60, 128, 1500 };
	uint8_t bytes[1500];

	drv.running = false;
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	settle();
	guest_rx_up(&g, N, SRRCTL_DESCTYPE_ALWAYS | 0x200 | 2, 0);
	for (unsigned int i = 0; i < 8; i++) {
		*guest_rx_desc(&g, i) = (struct guest_desc){ BUFFER(i), GUEST_DATA + 256ull * i };
		memset(guest_va(&g, BUFFER(i)), 0xee, 2048);
	}
	guest_rx_desc(&g, 3)->hi = GUEST_ROM_AT;
	guest_rx_tail(&g, 8);
	settle();
	for (unsigned int i = 0; i < 5; i++) {
		uint32_t size = sizes[i % 3], in_header = size < 128 ? size : 128;
		struct frame f;

		make(bytes, i, size);
		f = guest_frame(bytes, size, GUEST_MAC, 0x88b5);
		guest_push(&g, &f, 1, 0);
		settle();
		if (i == 3) {
			assert_int_equal(guest_rx_desc(&g, i)->hi & RXD_ERR_RXE, RXD_ERR_RXE);
			continue;
		}
		assert_int_equal(guest_rx_desc(&g, i)->lo, in_header << RXD_HDR_LEN_SHIFT);
		assert_int_equal(guest_rx_desc(&g, i)->hi, 3 | (uint64_t)(size - in_header) << 32);
		assert_memory_equal(guest_va(&g, GUEST_DATA + 256ull * i), bytes, in_header);
		assert_memory_equal(guest_va(&g, BUFFER(i)), bytes + in_header, size - in_header);
		if (size == in_header)
			assert_int_equal(*(uint8_t *)guest_va(&g, BUFFER(i)), 0xee);
	}
}

/* Jumbo frames: what is on its way to a client that does not read yet stays within a socket's room. */
static void jumbo_frames(void **state)
{
	struct vf_policy policy = g.vf->policy;
	uint32_t reply[VFMBMEM_WORDS];
	static uint8_t bytes[9000];
	struct frame f;

	drv.running = false;
	policy.max_frame = sizeof(bytes);
	g.vf->ops->set_policy(g.vf, &policy);
	assert_true(guest_mbox(&g, 1, (const uint32_t[]){ 5, sizeof(bytes) + FCS_SIZE }, 2, reply));
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	settle();
	guest_rx_up(&g, N, SRRCTL_DESCTYPE_ADV | 10, 0);
	for (unsigned int i = 0; i < 32; i++)
		*guest_rx_desc(&g, i) = (struct guest_desc){ GUEST_DATA + 10240ull * i, 0 };
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 32);
	settle();
	make(bytes, 7, sizeof(bytes));
	f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
	for (unsigned int i = 0; i < 32; i++)
		guest_push(&g, &f, 1, 0);
	settle();
	for (unsigned int i = 0; i < 32; i++) {
		assert_int_equal(guest_rx_desc(&g, i)->hi, 3ull | 9000ull << 32);
		assert_memory_equal(guest_va(&g, GUEST_DATA + 10240ull * i), bytes, sizeof(bytes));
	}
	assert_true(client.write_size_max > 32768 && client.write_size_max <= 65536);
}

/* Addresses in no window: the packet is bad, as without a relay, and the ring goes on. */
static void bad_addresses(void **state)
{
	drv.running = false;
	settle();
	put(0, 0x123456789000, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	put(1, GUEST_RAM_AT + GUEST_RAM_SIZE - 59, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	put(2, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(3);
	settle();
	assert_int_equal(guest_stats(&g).bad_tx_desc, 2);
	assert_int_equal(drv.n_seen, 1);
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 3);
	assert_int_equal(guest_tx_desc(&g, 1)->hi >> 32 & TXD_STAT_DD, 1);

	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	settle();
	guest_rx_up(&g, N, ADV, 0);
	guest_rx_desc(&g, 0)->lo = GUEST_ROM_AT;
	guest_rx_desc(&g, 1)->lo = BUFFER(1);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 2);
	settle();
	push(0);
	push(1);
	settle();
	assert_int_equal(g.stats.drop[DROP_BAD_BUFFER], 1);
	assert_int_equal(guest_rx_desc(&g, 0)->hi & (RXD_STAT_DD | RXD_ERR_RXE),
			 RXD_STAT_DD | RXD_ERR_RXE);
	assert_true(is_frame(guest_va(&g, BUFFER(1)), 1, size_of(1)));
	assert_int_equal(g.vf->counters.relay_stops, 0);
}

static void bad_tails(void **state)
{
	drv.running = false;
	settle();
	put(0, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(N);
	settle();
	tail(UINT32_MAX);
	settle();
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 0x10000);
	settle();
	assert_int_equal(drv.n_seen, 0);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 2);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 1);
	tail(1);
	settle();
	assert_int_equal(drv.n_seen, 1);
}

static void endless_packet(void **state)
{
	drv.running = false;
	for (unsigned int i = 0; i < N - 1; i++)
		put(i, GUEST_DATA, DATA | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(N - 1);
	settle();
	assert_int_equal(guest_stats(&g).bad_tx_desc, 1);
	/* The other ring does not mind. */
	push(0);
	settle();
	assert_true(is_frame(guest_va(&g, BUFFER(0)), 0, size_of(0)));
}

static void restart(void)
{
	drv.running = false;
	guest_write(&g, VFCTRL, VFCTRL_RST);
	while (client.n > 0)
		answer_one();
	assert_false(intelvf_is_relayed(g.dev));
	up();
	drv.n_send = 100;
	post_frames();
	settle();
	assert_true(push(0));
	settle();
	assert_int_equal(drv.n_cleaned, 100);
	assert_int_equal(drv.n_received, 1);
}

/* A reset at every moment. Nothing new is asked for afterwards, and the next driver finds a clean VF. */
static void reset_in_flight(void **state)
{
	for (unsigned int moment = 0; moment < 150; moment++) {
		unsigned int n_sent, n = 0;

		client.order = orders[moment % ARRAY_SIZE(orders)];
		drv.n_send += 100;
		post_frames();
		for (unsigned int i = 0; i < moment; i++) {
			if (i % 16 == 0)
				n += push(n);
			step();
		}
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		n_sent = client.n_sent;
		assert_int_equal(g.vf->endpoint.running, 0);
		while (client.n > 0) {
			answer_one();
			assert_int_equal(work(), 0);
		}
		assert_int_equal(client.n_sent, n_sent);
		assert_false(intelvf_is_relayed(g.dev));
		up();
	}
	restart();
}

/* The guest disables its rings and enables them before the answers have come: nothing that was read for
 * the old ones may end up in the new frames. */
static void quick_restart(void **state)
{
	for (unsigned int moment = 2; moment < 60; moment++) {
		client.order = ANY_ORDER;
		drv.n_send = 200;
		post_frames();
		for (unsigned int i = 0; i < moment; i++)
			step();
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		answer_writes(); /* before its memory is used for something else */
		up();
		drv.n_send = 200;
		post_frames();
		settle();
		assert_int_equal(drv.n_cleaned, 200);
		assert_true(push(0));
		settle();
		assert_int_equal(drv.n_received, 1);
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		assert_false(intelvf_is_relayed(g.dev));
		up();
	}
}

/* Each message in turn fails: its ring stops, and only that; disabling brings it back. */
static void failures(void **state)
{
	static const int errors[] = { -EFAULT, -ETIMEDOUT, -EPROTO };

	for (unsigned int i = 1; i < 120; i++) {
		uint64_t stops = g.vf->counters.relay_stops;

		client.n_answers = 0;
		client.fail_at = i;
		client.error = errors[i % ARRAY_SIZE(errors)];
		drv.n_send = 60;
		post_frames();
		for (unsigned int n = 0, tries = 0; n < 40 && tries < 1000; tries++) {
			n += push(n);
			step();
		}
		settle();
		client.fail_at = 0;
		assert_int_equal(g.vf->counters.relay_stops, stops + (client.n_answers >= i));
		assert_true(drv.n_cleaned == 60 || drv.n_received == 40);
		assert_int_equal(client.n, 0);
		restart();
		drv.running = false;
		guest_write(&g, VFCTRL, VFCTRL_RST);
		settle();
		up();
	}
	assert_true(g.vf->counters.relay_stops > 50);
}

/* The client is gone: all answers are errors, nothing can be asked, then comes the reset. */
static void client_leaves(void **state)
{
	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 20; i++)
		step();
	assert_true(client.n > 0);
	client.refuse = -ENOTCONN;
	while (client.n > 0) {
		client.fail_at = client.n_answers + 1;
		client.error = -ECONNRESET;
		answer_one();
	}
	g.vf->ops->reset(g.vf);
	assert_false(intelvf_is_relayed(g.dev));
	assert_int_equal(g.vf->counters.relay_stops, 0);
	client.refuse = 0;
	g.vf->bus_master = true;
	restart();
}

/* Whoever is too busy is asked again, although no answer is awaited. */
static void busy_client(void **state)
{
	settle();
	client.refuse = -EBUSY;
	drv.n_send = 10;
	post_frames();
	for (unsigned int i = 0; i < 20; i++)
		step();
	assert_int_equal(client.n, 0);
	assert_int_equal(drv.n_cleaned, 0);
	client.refuse = 0;
	settle();
	assert_int_equal(drv.n_cleaned, 10);
}

static void small_messages(void **state)
{
	client.size_max = 700;
	client.order = ANY_ORDER;
	drv.n_send = 200;
	post_frames();
	settle();
	for (unsigned int n = 0; n < 40; n++)
		assert_true(push(n));
	settle();
	assert_int_equal(drv.n_cleaned, 200);
	assert_int_equal(drv.n_received, 40);
	/* Below that, it is no use. */
	restart();
	client.size_max = 100;
	drv.n_send = 110;
	post_frames();
	settle();
	assert_int_equal(g.vf->counters.relay_stops, 1);
}

/* The ring's memory goes while messages are out. */
static void ring_memory_goes(void **state)
{
	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 10; i++)
		step();
	drv.running = false;
	assert_int_equal(mem_unmap(g.mem, GUEST_RAM_AT, GUEST_RAM_SIZE), 0);
	settle();
	assert_true(g.vf->counters.relay_stops >= 1);
	assert_int_equal(client.n, 0);
}

/* Bus mastering is taken away: no message goes out any more. */
static void no_bus_master(void **state)
{
	unsigned int n_sent;

	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 10; i++)
		step();
	drv.running = false;
	g.vf->bus_master = false;
	n_sent = client.n_sent;
	settle();
	assert_int_equal(client.n_sent, n_sent);
	assert_false(intelvf_is_relayed(g.dev));
	assert_int_equal(g.vf->endpoint.running, 0);
}

/* A ring in a hole, or not a ring: counted, and there is no message. */
static void bad_rings(void **state)
{
	static const struct {
		uint64_t base;
		uint32_t size;
	} rings[] = {
		{ GUEST_RAM_AT + 64, 1024 }, { GUEST_RAM_AT, 1000 },
		{ GUEST_RAM_AT, 0 },         { GUEST_RAM_AT + GUEST_RAM_SIZE - 128, 256 },
		{ GUEST_ROM_AT, 1024 },      { 0x5000, 1024 },
	};

	settle();
	drv.running = false;
	for (unsigned int i = 0; i < ARRAY_SIZE(rings); i++) {
		uint64_t bad;
		unsigned int n_sent = client.n_sent;

		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
		guest_read(&g, VFSTATUS);
		bad = guest_stats(&g).bad_tx_desc;
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDBAL, (uint32_t)rings[i].base);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDBAH, (uint32_t)(rings[i].base >> 32));
		guest_line_write(&g, IXGBEVF_PAGE_TX + TDLEN, rings[i].size);
		guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, TXDCTL_ENABLE);
		guest_read(&g, VFSTATUS);
		settle();
		assert_int_equal(guest_stats(&g).bad_tx_desc, bad + 1);
		assert_int_equal(client.n_sent, n_sent);
	}
	/* Other base registers are another ring, without a disable in between. */
	guest_tx_up(&g, N);
	put(0, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	settle();
	assert_int_equal(drv.n_seen, 1);
}

/* --- mixed memory --- */

#define FAR_AT 0x200000000ull

static int mixed_memory(void **state)
{
	no_memory_of_ours(state);
	guest_stop(&g);
	guest_start(&g, "82599");
	return 0;
}

static struct vf_upcalls mixed_upcalls;

static int far_message(uint64_t *iova)
{
	assert_true(*iova >= FAR_AT && *iova < FAR_AT + 0x80000);
	*iova = *iova - FAR_AT + GUEST_DATA;
	return 0;
}

static int far_read(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
		    void *done_arg)
{
	far_message(&iova);
	return up_read(arg, iova, buf, size, done, done_arg);
}

static int far_write(void *arg, uint64_t iova, const void *buf, size_t size, vf_dma_done *done,
		     void *done_arg)
{
	far_message(&iova);
	return up_write(arg, iova, buf, size, done, done_arg);
}

/* Rings in mapped memory, and FAR_AT another name for GUEST_DATA which only messages know. */
static void make_far(void)
{
	mixed_upcalls = *g.vf->upcalls;
	mixed_upcalls.dma_read = far_read;
	mixed_upcalls.dma_write = far_write;
	mixed_upcalls.kick = up_kick;
	g.vf->upcalls = &mixed_upcalls;
	assert_int_equal(mem_map(g.mem, FAR_AT, 0x80000, -1, 0, MEM_READ | MEM_WRITE), 0);
	up();
	drv.running = false;
}

/* A ring that workers serve in place meets a buffer that needs messages. It goes on from there, with the
 * context that was set before; then all of the VF is relayed. */
static void far_transmit_buffer(void **state)
{
	make_far();
	put_context(0, 1);
	put(1, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(2);
	settle();
	assert_int_equal(drv.n_seen, 1);
	assert_false(intelvf_is_relayed(g.dev));
	assert_int_equal(client.n_sent, 0);

	memset(g.n_irqs, 0, sizeof(g.n_irqs));
	make(guest_va(&g, GUEST_DATA), 5, 200);
	put(2, FAR_AT, DATA | TXD_CMD_VLE | 100, 200 << TXD_PAYLEN_SHIFT | TXD_IDX);
	put(3, GUEST_DATA + 100, WHOLE | 100, 0);
	put(4, FAR_AT, WHOLE | 200, 200 << TXD_PAYLEN_SHIFT);
	tail(5);
	assert_int_equal(pull_next(), 1);
	assert_true(intelvf_is_relayed(g.dev));
	assert_int_equal(g.burst.frame[0].size, 200);
	assert_int_equal(g.burst.frame[0].tci, 77);
	guest_done(&g);
	assert_int_equal(pull_next(), 1);
	assert_true(is_frame(g.burst.frame[0].va, 5, 200));
	guest_done(&g);
	settle();
	/* In case a frame was received in place, and its worker found the relay to tell. */
	assert_int_equal(g.n_irqs[0], 1);
	assert_int_equal(client.n_sent, 2); /* what has a pointer needs no message */
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH), 5);
	assert_int_equal(guest_tx_desc(&g, 3)->hi >> 32 & TXD_STAT_DD, 1);
	assert_int_equal(guest_tx_desc(&g, 4)->hi >> 32 & TXD_STAT_DD, 1);
	assert_int_equal(guest_stats(&g).bad_tx_desc, 0);
}

static void far_receive_buffer(void **state)
{
	make_far();
	guest_rx_desc(&g, 2)->lo = FAR_AT + 4096;
	for (unsigned int n = 0; n < 2; n++)
		push(n);
	assert_int_equal(client.n_sent, 0);
	assert_false(intelvf_is_relayed(g.dev));
	push(2);
	assert_int_equal(g.stats.drop[DROP_NO_BUFFER], 1);
	settle();
	assert_true(intelvf_is_relayed(g.dev));
	for (unsigned int n = 2; n < 5; n++)
		push(n);
	settle();
	assert_int_equal(client.n_sent, 1);
	for (unsigned int n = 0; n < 5; n++) {
		uint64_t at = n == 2 ? GUEST_DATA + 4096 : BUFFER(n);

		assert_true(is_frame(guest_va(&g, at), n, size_of(n)));
		assert_int_equal(guest_rx_desc(&g, n)->hi & 3, 3);
	}
	assert_int_equal(guest_rx_desc(&g, 5)->hi, 0);
	assert_int_equal(guest_stats(&g).bad_rx_desc, 0);
}

static struct {
	bool on;
	unsigned int n_batches;
} keen;

/* Worker and guest, whenever a batch is back. */
static void keen_irq(void *arg, unsigned int vector)
{
	if (!keen.on || ++keen.n_batches == 1000)
		return;
	tail((guest_line_read(&g, IXGBEVF_PAGE_TX + TDH) + N - 1) % N);
	for (unsigned int i = 0; i < 4 && guest_pull(&g) > 0; i++)
		guest_done(&g);
}

/* A ring in which there is always more to do does not keep device I/O, which is for all VFs. */
static void keen_guest(void **state)
{
	make_far();
	mixed_upcalls.irq = keen_irq;
	guest_irqs_up(&g);
	for (unsigned int i = 0; i < N; i++)
		put(i, GUEST_DATA, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT);
	put(0, FAR_AT, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT);
	tail(1);
	settle();
	assert_true(intelvf_is_relayed(g.dev));
	put(0, GUEST_DATA, WHOLE | 64, 64 << TXD_PAYLEN_SHIFT);
	tail(0);
	guest_read(&g, VFSTATUS);
	for (unsigned int i = 0; i < 4 && guest_pull(&g) > 0; i++)
		guest_done(&g);
	client.kicked = false;
	keen.on = true;
	guest_read(&g, VFSTATUS);
	keen.on = false;
	assert_in_range(keen.n_batches, 1, 10);
	assert_true(client.kicked); /* and goes on afterwards */
	settle();
	assert_int_equal(guest_line_read(&g, IXGBEVF_PAGE_TX + TDH),
			 guest_line_read(&g, IXGBEVF_PAGE_TX + TDT));
}

/* An answer that completes a packet comes when its worker has gone to sleep. */
static void wakes_worker(void **state)
{
	struct doorbell d = { 0 };

	put(0, GUEST_DATA, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	guest_read(&g, VFSTATUS);
	while (client.n > 0 && client.wait[0].iova != GUEST_DATA)
		answer_one();
	assert_int_equal(guest_pull(&g), 0);
	atomic_store(&g.vf->endpoint.txq[0]->doorbell, &d);
	assert_int_equal(client.n, 1);
	answer_one();
	assert_int_equal(atomic_load(&d.state), DOORBELL_RUNG);
	atomic_store(&g.vf->endpoint.txq[0]->doorbell, NULL);
	assert_int_equal(guest_pull(&g), 1);
	guest_done(&g);
}

/* With the last ring the relay goes, and mapped memory is used in place again. */
static void back_to_pointers(void **state)
{
	unsigned int n_sent;

	make_far();
	put(0, FAR_AT, WHOLE | 60, 60 << TXD_PAYLEN_SHIFT);
	tail(1);
	settle();
	assert_true(intelvf_is_relayed(g.dev));
	guest_line_write(&g, IXGBEVF_PAGE_TX + TXDCTL, 0);
	guest_read(&g, VFSTATUS);
	assert_true(intelvf_is_relayed(g.dev));
	guest_line_write(&g, IXGBEVF_PAGE_RX + RXDCTL, 0);
	guest_read(&g, VFSTATUS);
	assert_false(intelvf_is_relayed(g.dev));
	n_sent = client.n_sent;
	up();
	drv.n_send = 100;
	post_frames();
	for (unsigned int i = 0; i < 100; i++) {
		work();
		clean_frames();
		post_frames();
	}
	push(0);
	take_frames();
	assert_int_equal(drv.n_cleaned, 100);
	assert_int_equal(drv.n_received, 1);
	assert_int_equal(client.n_sent, n_sent);
	assert_int_equal(guest_line_read(&g, VFGPRC), 0); /* not shown before 64 */
	guest_read(&g, VFSTATUS);
	assert_int_equal(guest_line_read(&g, VFGPRC), 1);
}

/* --- threads --- */

static struct {
	pthread_t thread;
	atomic_bool stop;
	atomic_uint rounds; /* quiescent points */
	unsigned int n_sent, n_wrong;
} other;

static void wait_for_other(struct guest *guest)
{
	unsigned int was = atomic_load(&other.rounds);

	/* The round that runs now may have seen the old, the one after it has not. */
	while (atomic_load(&other.rounds) - was < 2 && !atomic_load(&other.stop))
		sched_yield();
}

/* A worker, all the time: it sends on what it gets and receives as much as there is room for. */
static void *other_main(void *arg)
{
	static struct burst burst;
	struct txq *txq = g.vf->endpoint.txq[0];
	struct endpoint_stats stats = { 0 };
	uint8_t bytes[600], out[2048];

	worker_self = 1;
	memset(bytes, 0x5a, sizeof(bytes));
	while (!atomic_load(&other.stop)) {
		struct frame f = guest_frame(bytes, sizeof(bytes), GUEST_MAC, 0x88b5);
		const struct frame *frames[] = { &f, &f, &f };

		burst.n = burst.n_segs = 0;
		txq->ops->pull(txq, &burst);
		for (unsigned int i = 0; i < burst.n; i++) {
			copy_frame(&burst.frame[i], out);
			for (uint32_t at = FRAME_SIZE_MIN; at < burst.frame[i].size; at++)
				other.n_wrong += out[at] != 0xa5;
		}
		other.n_sent += burst.n;
		if (burst.n > 0)
			txq->ops->done(txq);
		g.vf->endpoint.ops->push(&g.vf->endpoint, frames, ARRAY_SIZE(frames), 0, &stats);
		atomic_fetch_add(&other.rounds, 1);
		sched_yield();
	}
	return NULL;
}

/* What it is about shows under ThreadSanitizer; without it, whether both sides go on for ever. */
static void with_a_worker(void **state)
{
	unsigned int posted = 0, n_resets = 0;

	drv.running = false;
	memset(guest_va(&g, GUEST_DATA), 0xa5, 2048ul * N);
	memset(&other, 0, sizeof(other));
	g.on_quiesce = wait_for_other;
	client.order = ANY_ORDER;
	assert_int_equal(pthread_create(&other.thread, NULL, other_main, NULL), 0);
	for (unsigned int i = 0; n_resets < 30; i++) {
		if (__atomic_exchange_n(&client.kicked, false, __ATOMIC_SEQ_CST))
			g.vf->ops->kicked(g.vf);
		if (client.n > 0)
			answer_one();
		else
			sched_yield();
		/* What the driver would do, without asking for what became of it. */
		put(posted % N, GUEST_DATA + 2048ull * (posted % N), WHOLE | 1000,
		    1000 << TXD_PAYLEN_SHIFT);
		posted++;
		tail(posted % N);
		guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, (i / 8) % N);
		if (i % 500 == 499) {
			guest_write(&g, VFCTRL, VFCTRL_RST);
			answer_writes();
			up();
			drv.running = false;
			posted = 0;
			n_resets++;
		}
	}
	atomic_store(&other.stop, true);
	pthread_join(other.thread, NULL);
	g.on_quiesce = NULL;
	assert_int_equal(other.n_wrong, 0);
	assert_true(other.n_sent > 0);
	assert_int_equal(g.vf->counters.relay_stops, 0);
}

#define CASE(f)  cmocka_unit_test_setup_teardown(f, start, stop)
#define MIXED(f) cmocka_unit_test_setup_teardown(f, mixed_memory, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(sends),
		CASE(receives),
		CASE(receives_too_much),
		CASE(both_ways),
		CASE(large_send),
		CASE(seldom_reports),
		CASE(head_write_back),
		CASE(long_frames),
		CASE(header_buffers),
		CASE(jumbo_frames),
		CASE(bad_addresses),
		CASE(bad_tails),
		CASE(endless_packet),
		CASE(reset_in_flight),
		CASE(quick_restart),
		CASE(failures),
		CASE(client_leaves),
		CASE(busy_client),
		CASE(small_messages),
		CASE(ring_memory_goes),
		CASE(wakes_worker),
		CASE(no_bus_master),
		CASE(bad_rings),
		CASE(with_a_worker),
		MIXED(far_transmit_buffer),
		MIXED(far_receive_buffer),
		MIXED(keen_guest),
		MIXED(back_to_pointers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
