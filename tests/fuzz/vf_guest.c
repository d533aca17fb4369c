/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vf_guest.h"

#ifdef __SANITIZE_ADDRESS__
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(va, size)   ((void)(va), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(va, size) ((void)(va), (void)(size))
#endif

#define PAGE     4096u
#define CANARY   0xc5
#define CTRL_RST 0x04000000u

/* clang-format off */
const struct window_place window_place[WINDOWS] = {
	[WINDOW_RAM]  = { VF_RAM_AT,             0x40000, 0x01000, MEM_READ | MEM_WRITE },
	[WINDOW_ROM]  = { 0x80000000,             0x1000, 0x42000, MEM_READ },
	[WINDOW_ODD]  = { 0x50000000,             0x1234, 0x44000, MEM_READ | MEM_WRITE },
	[WINDOW_HIGH] = { 0xfffffffffffff000ull,  0x1000, 0x47000, MEM_READ | MEM_WRITE },
	[WINDOW_MSG]  = { 0x90000000,            0x10000,       0, MEM_READ | MEM_WRITE },
};
/* clang-format on */

static uint64_t whole_pages(uint64_t size)
{
	return (size + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* --- memory --- */

/* All but what windows show is canary, and the ROM as well. */
static void fill_file(struct vf_guest *g)
{
	memset(g->file, CANARY, VF_FILE_SIZE);
	for (unsigned int i = 0; i < WINDOWS; i++)
		if ((window_place[i].prot & MEM_WRITE) != 0 && window_place[i].file_at != 0)
			memset(g->file + window_place[i].file_at, 0, window_place[i].size);
	memset(g->msg, 0, window_place[WINDOW_MSG].size);
}

void vf_guest_check_canaries(const struct vf_guest *g)
{
	static uint8_t canary[PAGE];
	uint64_t from = 0, to;

	memset(canary, CANARY, sizeof(canary));
	for (unsigned int i = 0; i <= WINDOW_HIGH; i++) {
		const struct window_place *p = &window_place[i];

		if ((p->prot & MEM_WRITE) == 0)
			continue;
		for (to = p->file_at; from < to; from += PAGE - from % PAGE)
			FUZZ_CHECK(memcmp(g->file + from, canary, PAGE - from % PAGE) == 0);
		from = p->file_at + p->size;
	}
	FUZZ_CHECK(memcmp(g->file + from, canary, VF_FILE_SIZE - from) == 0);
}

/* Pages on both sides that nobody may touch; where something else lies already, that has to do. */
static void fence_up(struct vf_guest *g, enum vf_window window)
{
	uint8_t *va = g->mapped[window];
	uint8_t *at[] = { va - PAGE, va + whole_pages(window_place[window].size) };

	for (unsigned int i = 0; i < ARRAY_SIZE(at); i++)
		g->fence[window][i] = mmap(at[i], PAGE, PROT_NONE,
					   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
					   0);
}

static void fence_down(struct vf_guest *g, enum vf_window window)
{
	for (unsigned int i = 0; i < 2; i++)
		if (g->fence[window][i] != MAP_FAILED)
			munmap(g->fence[window][i], PAGE);
}

static uint64_t tail_size(enum vf_window window)
{
	return whole_pages(window_place[window].size) - window_place[window].size;
}

void vf_guest_map(struct vf_guest *g, enum vf_window window)
{
	const struct window_place *p = &window_place[window];
	uint32_t hint = 0;

	if (g->is_mapped[window])
		return;
	FUZZ_CHECK(mem_map(g->mem, p->iova, p->size, p->file_at != 0 ? g->fd : -1, p->file_at,
			   p->prot) == 0);
	g->is_mapped[window] = true;
	g->mapped[window] = mem_at(mem_table(g->mem), &hint, p->iova, p->size, MEM_READ);
	if (g->mapped[window] == NULL)
		return;
	fence_up(g, window);
	ASAN_POISON_MEMORY_REGION(g->mapped[window] + p->size, tail_size(window));
}

void vf_guest_unmap(struct vf_guest *g, enum vf_window window)
{
	const struct window_place *p = &window_place[window];

	if (!g->is_mapped[window])
		return;
	if (g->mapped[window] != NULL) {
		ASAN_UNPOISON_MEMORY_REGION(g->mapped[window] + p->size, tail_size(window));
		fence_down(g, window);
	}
	FUZZ_CHECK(mem_unmap(g->mem, p->iova, p->size) == 0);
	g->mapped[window] = NULL;
	g->is_mapped[window] = false;
}

uint8_t *vf_guest_va(struct vf_guest *g, uint64_t iova, uint64_t size)
{
	const struct window_place *p = &window_place[WINDOW_RAM];

	return iova - p->iova <= p->size && size <= p->size - (iova - p->iova)
		       ? g->file + p->file_at + (iova - p->iova)
		       : NULL;
}

/* --- what the device asks for --- */

static void up_state(void *arg, enum vf_state state)
{
}

static void up_macs(void *arg)
{
	((struct vf_guest *)arg)->macs_changed = true;
}

static void up_irq(void *arg, unsigned int vector)
{
	FUZZ_CHECK(vector < INTELVF_VECTORS);
	((struct vf_guest *)arg)->n_irqs++;
}

static void up_quiesce(void *arg)
{
}

static int send_message(struct vf_guest *g, struct vf_message m)
{
	const struct window_place *p = &window_place[WINDOW_MSG];

	FUZZ_CHECK(m.size > 0 && m.size <= VF_DMA_MAX);
	FUZZ_CHECK(m.iova - p->iova < p->size && m.size <= p->size - (m.iova - p->iova));
	if (g->n_messages == VF_DMA_QUEUED)
		return -EBUSY;
	g->message[g->n_messages++] = m;
	return 0;
}

static int up_dma_read(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
		       void *done_arg)
{
	return send_message(arg, (struct vf_message){ false, iova, buf, size, done, done_arg });
}

static int up_dma_write(void *arg, uint64_t iova, const void *buf, size_t size, vf_dma_done *done,
			void *done_arg)
{
	struct vf_message m = { true, iova, malloc(size), size, done, done_arg };
	int ret;

	FUZZ_CHECK(m.buf != NULL);
	memcpy(m.buf, buf, size);
	ret = send_message(arg, m);
	if (ret < 0)
		free(m.buf);
	return ret;
}

static void up_kick(void *arg)
{
	((struct vf_guest *)arg)->kicked = true;
}

static const struct vf_upcalls upcalls = {
	.state_changed = up_state,
	.macs_changed = up_macs,
	.irq = up_irq,
	.quiesce = up_quiesce,
	.dma_read = up_dma_read,
	.dma_write = up_dma_write,
	.kick = up_kick,
};

void vf_guest_answer(struct vf_guest *g, unsigned int n, int err)
{
	struct vf_message m = g->message[n];
	uint8_t *va = g->msg + (m.iova - window_place[WINDOW_MSG].iova);

	g->message[n] = g->message[--g->n_messages];
	if (err == 0)
		memcpy(m.write ? va : m.buf, m.write ? m.buf : va, m.size);
	if (m.write)
		free(m.buf);
	m.done(m.arg, err);
}

void vf_guest_kicked(struct vf_guest *g)
{
	if (!g->kicked)
		return;
	g->kicked = false;
	g->vf->ops->kicked(g->vf);
}

/* --- life --- */

/* The last guest's memory, for the next one: new pages would take longer than most inputs. */
static struct spare {
	int fd;
	uint8_t *file, *msg;
} spare;

static void take_memory(struct vf_guest *g)
{
	if (spare.file == NULL) {
		spare.fd = memfd_create("fuzz", MFD_CLOEXEC);
		FUZZ_CHECK(spare.fd >= 0 && ftruncate(spare.fd, VF_FILE_SIZE) == 0);
		spare.file =
			mmap(NULL, VF_FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, spare.fd, 0);
		spare.msg = malloc(window_place[WINDOW_MSG].size);
		FUZZ_CHECK(spare.file != MAP_FAILED && spare.msg != NULL);
	}
	g->fd = spare.fd;
	g->file = spare.file;
	g->msg = spare.msg;
	spare.file = NULL;
}

void vf_guest_new(struct vf_guest *g, const char *model, unsigned int n_queues,
		  const struct vf_policy *policy)
{
	const struct vf_model *m = vf_model_find(model);

	memset(g, 0, sizeof(*g));
	take_memory(g);
	g->mem = mem_new(NULL, NULL);
	g->vf = m->create(m, n_queues);
	FUZZ_CHECK(g->mem != NULL && g->vf != NULL);
	g->dev = container_of(g->vf, struct intelvf, vf);
	g->vf->upcalls = &upcalls;
	g->vf->arg = g;
	g->vf->mem = g->mem;
	g->vf->endpoint.stats = endpoint_stats_new();
	g->pages = mmap(NULL, m->bar[0].mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, g->vf->memfd,
			(off_t)m->bar[0].memfd_offset);
	FUZZ_CHECK(g->vf->endpoint.stats != NULL && g->pages != MAP_FAILED);
	vf_guest_restart(g, policy);
}

void vf_guest_restart(struct vf_guest *g, const struct vf_policy *policy)
{
	g->vf->bus_master = false;
	g->vf->ops->reset(g->vf);
	/* As when the client leaves. */
	while (g->n_messages > 0)
		vf_guest_answer(g, 0, -ECONNRESET);
	vf_guest_kicked(g);
	fill_file(g);
	for (unsigned int i = 0; i < WINDOWS; i++)
		vf_guest_map(g, i);
	g->vf->ops->set_policy(g->vf, policy);
	g->vf->state = VF_ATTACHED;
	g->vf->bus_master = true;
	g->tx_at = g->rx_at = 0;
}

void vf_guest_free(struct vf_guest *g)
{
	g->vf->bus_master = false;
	g->vf->ops->reset(g->vf);
	while (g->n_messages > 0)
		vf_guest_answer(g, 0, -ECONNRESET);
	munmap(g->pages, g->vf->model->bar[0].mmap_size);
	free(g->vf->endpoint.stats);
	g->vf->ops->destroy(g->vf);
	for (unsigned int i = 0; i < WINDOWS; i++)
		vf_guest_unmap(g, i);
	mem_free(g->mem);
	spare = (struct spare){ g->fd, g->file, g->msg };
}

/* --- the driver --- */

uint32_t *vf_guest_rx_word(struct vf_guest *g, unsigned int q, uint32_t offset)
{
	return (uint32_t *)(void *)((uint8_t *)rx_line_in(g->dev, g->pages, q) + offset);
}

uint32_t *vf_guest_tx_word(struct vf_guest *g, unsigned int q, uint32_t offset)
{
	return (uint32_t *)(void *)((uint8_t *)tx_line_in(g->dev, g->pages, q) + offset);
}

void vf_guest_write(struct vf_guest *g, uint32_t offset, uint32_t value)
{
	uint32_t word = htole32(value);

	g->vf->ops->bar_write(g->vf, 0, offset, &word, sizeof(word));
}

uint32_t vf_guest_read(struct vf_guest *g, uint32_t offset)
{
	uint32_t word;

	g->vf->ops->bar_read(g->vf, 0, offset, &word, sizeof(word));
	return le32toh(word);
}

bool vf_guest_mbox(struct vf_guest *g, const uint32_t *msg, unsigned int n, uint32_t *reply)
{
	const struct intelvf_family *family = g->dev->family;
	uint32_t seen;

	vf_guest_write(g, family->mailbox, VFMAILBOX_VFU);
	for (unsigned int i = 0; i < n; i++)
		vf_guest_write(g, family->mbmem + 4 * i, msg[i]);
	vf_guest_read(g, family->mailbox);
	vf_guest_write(g, family->mailbox, VFMAILBOX_REQ);
	seen = vf_guest_read(g, family->mailbox);
	if ((seen & VFMAILBOX_PFACK) == 0 || (seen & VFMAILBOX_PFSTS) == 0)
		return false;
	vf_guest_write(g, family->mailbox, VFMAILBOX_VFU);
	for (unsigned int i = 0; i < VFMBMEM_WORDS; i++)
		reply[i] = vf_guest_read(g, family->mbmem + 4 * i);
	vf_guest_write(g, family->mailbox, VFMAILBOX_ACK);
	return true;
}

struct desc_words {
	uint64_t lo, hi;
};

static struct desc_words *desc_at(struct vf_guest *g, uint64_t ring, unsigned int i)
{
	return (struct desc_words *)(void *)vf_guest_va(g, ring + 16ull * i, 16);
}

static void queue_up(struct vf_guest *g)
{
	for (unsigned int i = 0; i < VF_N_DESC; i++)
		*desc_at(g, VF_RX_RING(0), i) =
			(struct desc_words){ VF_BUFS + (uint64_t)i * VF_BUF_SIZE, 0 };
	shared_store(vf_guest_rx_word(g, 0, RDBAL), (uint32_t)VF_RX_RING(0));
	shared_store(vf_guest_rx_word(g, 0, RDBAH), (uint32_t)(VF_RX_RING(0) >> 32));
	shared_store(vf_guest_rx_word(g, 0, RDLEN), VF_N_DESC * 16);
	shared_store(vf_guest_rx_word(g, 0, RDH), 0);
	shared_store(vf_guest_rx_word(g, 0, RDT), 0);
	shared_store(vf_guest_rx_word(g, 0, 4u * g->dev->family->srrctl_word),
		     SRRCTL_DESCTYPE_ADV | VF_BUF_SIZE >> 10);
	shared_store(vf_guest_rx_word(g, 0, RXDCTL), RXDCTL_ENABLE);
	shared_store(vf_guest_tx_word(g, 0, TDBAL), (uint32_t)VF_TX_RING(0));
	shared_store(vf_guest_tx_word(g, 0, TDBAH), (uint32_t)(VF_TX_RING(0) >> 32));
	shared_store(vf_guest_tx_word(g, 0, TDLEN), VF_N_DESC * 16);
	shared_store(vf_guest_tx_word(g, 0, TDH), 0);
	shared_store(vf_guest_tx_word(g, 0, TDT), 0);
	shared_store(vf_guest_tx_word(g, 0, TDWBAL), 0);
	shared_store(vf_guest_tx_word(g, 0, TXDCTL), TXDCTL_ENABLE);
	vf_guest_read(g, 0x0008); /* STATUS: a trap */
	shared_store(vf_guest_rx_word(g, 0, RDT), VF_N_DESC - 1);
	g->tx_at = g->rx_at = 0;
}

void vf_guest_up(struct vf_guest *g)
{
	const uint32_t reset = 1; /* VF_RESET */
	uint32_t reply[VFMBMEM_WORDS];

	vf_guest_write(g, 0x0000, CTRL_RST);
	FUZZ_CHECK(vf_guest_mbox(g, &reset, 1, reply));
	FUZZ_CHECK((reply[0] & 0xffff) == 1);
	queue_up(g);
}

void vf_guest_send(struct vf_guest *g, const uint8_t *bytes, uint32_t size)
{
	memcpy(vf_guest_va(g, VF_DATA, size), bytes, size);
	*desc_at(g, VF_TX_RING(0), g->tx_at) =
		(struct desc_words){ VF_DATA, size | TXD_DTYP_DATA | TXD_CMD_DEXT | TXD_CMD_EOP |
						      TXD_CMD_RS |
						      (uint64_t)size << (32 + TXD_PAYLEN_SHIFT) };
	g->tx_at = (g->tx_at + 1) % VF_N_DESC;
	shared_store(vf_guest_tx_word(g, 0, TDT), g->tx_at);
}

uint32_t vf_guest_receive(struct vf_guest *g, uint8_t *buf)
{
	struct desc_words *d = desc_at(g, VF_RX_RING(0), g->rx_at);
	uint32_t size = (uint16_t)(d->hi >> 32);

	if ((d->hi & RXD_STAT_DD) == 0)
		return 0;
	FUZZ_CHECK((d->hi & RXD_STAT_EOP) != 0 && size > 0 && size <= VF_BUF_SIZE);
	memcpy(buf, vf_guest_va(g, VF_BUFS + (uint64_t)g->rx_at * VF_BUF_SIZE, size), size);
	*d = (struct desc_words){ VF_BUFS + (uint64_t)g->rx_at * VF_BUF_SIZE, 0 };
	shared_store(vf_guest_rx_word(g, 0, RDT), g->rx_at);
	g->rx_at = (g->rx_at + 1) % VF_N_DESC;
	return size;
}
