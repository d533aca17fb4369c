/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dev/intelvf/fake_guest.h"

static void must(bool good)
{
	if (!good)
		abort();
}

static void up_state(void *arg, enum vf_state state)
{
	struct guest *g = arg;

	g->n_states++;
	g->state = state;
}

static void up_macs(void *arg)
{
	((struct guest *)arg)->n_macs_changed++;
}

static void up_irq(void *arg, unsigned int vector)
{
	must(vector < INTELVF_VECTORS);
	__atomic_fetch_add(&((struct guest *)arg)->n_irqs[vector], 1, __ATOMIC_SEQ_CST);
}

static void up_quiesce(void *arg)
{
	struct guest *g = arg;

	g->n_quiesces++;
	if (g->on_quiesce != NULL)
		g->on_quiesce(g);
}

static const struct vf_upcalls upcalls = {
	.state_changed = up_state,
	.macs_changed = up_macs,
	.irq = up_irq,
	.quiesce = up_quiesce,
};

void guest_start(struct guest *g, const char *model)
{
	guest_start_queues(g, model, 1);
}

void guest_start_queues(struct guest *g, const char *model, unsigned int n_queues)
{
	const struct vf_policy policy = {
		.mac = GUEST_MAC, .link_up = true, .speed_mbit = 10000, .max_frame = 1514
	};
	const struct vf_model *m = vf_model_find(model);
	int fd = memfd_create("ram", MFD_CLOEXEC);

	memset(g, 0, sizeof(*g));
	must(m != NULL && fd >= 0 && ftruncate(fd, GUEST_RAM_SIZE) == 0);
	g->ram = mmap(NULL, GUEST_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(g->ram != MAP_FAILED);
	g->mem = mem_new(NULL, NULL);
	must(g->mem != NULL);
	must(mem_map(g->mem, GUEST_RAM_AT, GUEST_RAM_SIZE, fd, 0, MEM_READ | MEM_WRITE) == 0);
	must(mem_map(g->mem, GUEST_ROM_AT, 4096, fd, 0, MEM_READ) == 0);
	must(mem_map(g->mem, GUEST_MSG_AT, 4096, -1, 0, MEM_READ | MEM_WRITE) == 0);
	close(fd);
	g->vf = m->create(m, n_queues);
	must(g->vf != NULL);
	g->dev = container_of(g->vf, struct intelvf, vf);
	g->vf->upcalls = &upcalls;
	g->vf->arg = g;
	g->vf->mem = g->mem;
	g->vf->endpoint.stats = endpoint_stats_new();
	must(g->vf->endpoint.stats != NULL);
	g->pages = mmap(NULL, m->bar[0].mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vf->memfd,
			(off_t)m->bar[0].memfd_offset);
	must(g->pages != MAP_FAILED);
	g->vf->ops->set_policy(g->vf, &policy);
	g->vf->state = VF_ATTACHED;
	g->vf->bus_master = true;
	g->n_macs_changed = 0;
}

void guest_stop(struct guest *g)
{
	munmap(g->pages, g->vf->model->bar[0].mmap_size);
	free(g->vf->endpoint.stats);
	g->vf->ops->destroy(g->vf);
	mem_free(g->mem);
	munmap(g->ram, GUEST_RAM_SIZE);
}

uint32_t guest_read(struct guest *g, uint32_t offset)
{
	uint32_t v;

	g->vf->ops->bar_read(g->vf, 0, offset, &v, sizeof(v));
	return v;
}

void guest_write(struct guest *g, uint32_t offset, uint32_t value)
{
	g->vf->ops->bar_write(g->vf, 0, offset, &value, sizeof(value));
}

uint32_t guest_line_read(struct guest *g, uint32_t offset)
{
	return shared_load((uint32_t *)(void *)(g->pages + offset - g->dev->family->pages_at));
}

void guest_line_write(struct guest *g, uint32_t offset, uint32_t value)
{
	__atomic_store_n((uint32_t *)(void *)(g->pages + offset - g->dev->family->pages_at), value,
			 __ATOMIC_RELEASE);
}

void *guest_va(struct guest *g, uint64_t iova)
{
	must(iova - GUEST_RAM_AT < GUEST_RAM_SIZE);
	return g->ram + (iova - GUEST_RAM_AT);
}

static bool wait_for(struct guest *g, uint32_t *seen, uint32_t bit)
{
	*seen |= guest_read(g, g->dev->family->mailbox);
	return (*seen & bit) != 0;
}

bool guest_mbox(struct guest *g, int style, const uint32_t *msg, unsigned int n, uint32_t *reply)
{
	uint32_t seen = guest_read(g, g->dev->family->mailbox);

	/* Style 2 writes back what it remembers of the read-to-clear bits. */
	guest_write(g, g->dev->family->mailbox,
		    VFMAILBOX_VFU | (style == 2 ? seen & VFMAILBOX_RC : 0));
	if ((guest_read(g, g->dev->family->mailbox) & VFMAILBOX_VFU) == 0)
		return false;
	for (unsigned int i = 0; i < n; i++)
		guest_write(g, g->dev->family->mbmem + 4 * i, msg[i]);
	seen = 0;
	if (style == 1) {
		guest_write(g, g->dev->family->mailbox, VFMAILBOX_REQ);
		if (!wait_for(g, &seen, VFMAILBOX_PFACK))
			return false;
	} else {
		guest_write(g, g->dev->family->mailbox, VFMAILBOX_VFU | VFMAILBOX_REQ);
		if (!wait_for(g, &seen, VFMAILBOX_PFACK) || (seen & VFMAILBOX_PFSTS) != 0)
			return false; /* no reply may come while we hold the buffer */
		guest_write(g, g->dev->family->mailbox, seen & VFMAILBOX_RC);
	}
	if (!wait_for(g, &seen, VFMAILBOX_PFSTS))
		return false;
	if (style == 1)
		guest_write(g, g->dev->family->mailbox, VFMAILBOX_VFU);
	for (unsigned int i = 0; i < VFMBMEM_WORDS; i++)
		reply[i] = guest_read(g, g->dev->family->mbmem + 4 * i);
	guest_write(g, g->dev->family->mailbox,
		    VFMAILBOX_ACK | (style == 2 ? seen & VFMAILBOX_RC : 0));
	return true;
}

void guest_mbox_up(struct guest *g, enum mbox_api api)
{
	uint32_t reply[VFMBMEM_WORDS];

	must(guest_mbox(g, 1, (const uint32_t[]){ 1 }, 1, reply));
	must((reply[0] & ~0xc0000000u) == 1);
	must(guest_mbox(g, 1, (const uint32_t[]){ 8, api, 0 }, 3, reply));
	must(reply[0] == 0xa0000008);
}

/* Offsets in the BAR of queue 0's lines. */
static uint32_t rx_at(const struct guest *g)
{
	return g->dev->family->pages_at + g->dev->family->line_at;
}

static uint32_t tx_at(const struct guest *g)
{
	return rx_at(g) + INTELVF_PAGE;
}

void guest_rx_up(struct guest *g, unsigned int n_desc, uint32_t srrctl, uint32_t rxdctl)
{
	guest_line_write(g, rx_at(g) + RDBAL, (uint32_t)GUEST_RX_RING);
	guest_line_write(g, rx_at(g) + RDBAH, (uint32_t)(GUEST_RX_RING >> 32));
	guest_line_write(g, rx_at(g) + RDLEN, n_desc * DESC_SIZE);
	guest_line_write(g, rx_at(g) + RDH, 0);
	guest_line_write(g, rx_at(g) + RDT, 0);
	guest_line_write(g, rx_at(g) + 4u * g->dev->family->srrctl_word, srrctl);
	guest_line_write(g, rx_at(g) + RXDCTL, rxdctl | RXDCTL_ENABLE);
	guest_read(g, GUEST_STATUS);
}

void guest_tx_up(struct guest *g, unsigned int n_desc)
{
	guest_line_write(g, tx_at(g) + TDBAL, (uint32_t)GUEST_TX_RING);
	guest_line_write(g, tx_at(g) + TDBAH, (uint32_t)(GUEST_TX_RING >> 32));
	guest_line_write(g, tx_at(g) + TDLEN, n_desc * DESC_SIZE);
	guest_line_write(g, tx_at(g) + TDH, 0);
	guest_line_write(g, tx_at(g) + TDT, 0);
	guest_line_write(g, tx_at(g) + TXDCTL, TXDCTL_ENABLE);
}

void guest_irqs_up(struct guest *g)
{
	guest_write(g, g->dev->family->ivar, 0x8180);
	guest_write(g, g->dev->family->ivar_misc, 0x82);
	guest_write(g, g->dev->family->eims, INTELVF_VECTORS_MASK);
	memset(g->n_irqs, 0, sizeof(g->n_irqs));
}

void guest_tx_tail(struct guest *g, uint32_t tail)
{
	guest_line_write(g, tx_at(g) + TDT, tail);
}

void guest_rx_tail(struct guest *g, uint32_t tail)
{
	guest_line_write(g, rx_at(g) + RDT, tail);
}

void guest_rx_post(struct guest *g, unsigned int from, unsigned int to, unsigned int n_desc)
{
	for (unsigned int i = from; i != to; i = (i + 1) % n_desc)
		*guest_rx_desc(g, i) = (struct guest_desc){ GUEST_BUFS + 2048ull * i, 0 };
	guest_rx_tail(g, to);
}

struct guest_desc *guest_rx_desc(struct guest *g, unsigned int idx)
{
	return (struct guest_desc *)guest_va(g, GUEST_RX_RING) + idx;
}

struct guest_desc *guest_tx_desc(struct guest *g, unsigned int idx)
{
	return (struct guest_desc *)guest_va(g, GUEST_TX_RING) + idx;
}

struct frame guest_frame(uint8_t *bytes, uint32_t size, uint64_t dest, uint16_t ethertype)
{
	struct frame f = { .va = bytes, .seg_size = size, .size = size, .n_segs = 1 };

	mac_store(bytes, dest);
	mac_store(bytes + 6, 0x0a0000000002ull);
	store_be16(bytes + ETH_ADDRS_SIZE, ethertype);
	must(frame_parse(&f));
	return f;
}

void guest_push(struct guest *g, const struct frame *f, unsigned int n, uint16_t untagged_vid)
{
	const struct frame *ptr[BURST_MAX];

	must(n <= BURST_MAX);
	for (unsigned int i = 0; i < n; i++)
		ptr[i] = &f[i];
	g->vf->endpoint.ops->push(&g->vf->endpoint, ptr, n, untagged_vid, &g->stats);
}

unsigned int guest_pull(struct guest *g)
{
	struct txq *txq = g->vf->endpoint.txq[0];

	g->burst.n = 0;
	g->burst.n_segs = 0;
	return txq->ops->pull(txq, &g->burst);
}

void guest_done(struct guest *g)
{
	struct txq *txq = g->vf->endpoint.txq[0];

	txq->ops->done(txq);
}

struct endpoint_stats guest_stats(struct guest *g)
{
	struct endpoint_stats sum;

	endpoint_stats_sum(&g->vf->endpoint, &sum);
	return sum;
}
