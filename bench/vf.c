/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver of an 82599's VF, or an X550's with several receive queues, down to the rings, over vfio-user.
 *
 * Registers, mailbox and descriptors are those of Intel's 82599 datasheet (331520), "DS"; messages
 * those of QEMU's docs/interop/vfio-user.rst. The queue pages of BAR 0 are mapped, so that tails move
 * without a message, as in a guest. Interrupts stay off.
 *
 * Transmit asks for a report (RS) with the last descriptor of each 32, as DPDK's driver does
 * (tx_rs_thresh). The report overwrites that descriptor, so it alone is written anew.
 */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "bench/port.h"
#include "bench/traffic.h"
#include "dev/ixgbevf/regs.h"
#include "vfu/proto.h"

#define BAR0       0
#define CONFIG     7
#define PCI_CMD    4
#define PCI_MEM_BM 6 /* memory space, bus master */
#define RS_EVERY   32
#define RX_WAIT    16 /* looks before a short batch is taken */
#define MBOX_API   4  /* 1.3 on the wire: the newest that DPDK's driver asks for */
#define CMD_FCS    0x02000000u
#define RXD_ERRORS 0xfff00000u
#define STATUS_CC  0x80u /* DS 7.2.3.2.4: as drivers write it */
#define MBOX_MS    2000
#define MRQC_UDP4  0x00420000u /* bits 17 and 22: addresses, and for UDP ports, of IPv4 */

#define MSG_RESET     1u
#define MSG_API       8u
#define MSG_LPE       5u
#define MSG_VLAN      4u
#define MSG_ADD       0x10000u
#define FCS           4
#define MSG_SUCCESS   0x80000000u
#define VERSION_JSON  "{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}"
#define REPLY_MAX     512
#define REGION_ARGSZ  256
#define QUEUES_MAPPED 0x2000 /* receive and transmit page */

struct vf_desc {
	uint64_t lo, hi;
};

struct vf_port {
	uint8_t *pages;
	struct rx_line *rx_line;
	struct tx_line *tx_line;
	struct vf_desc *tx, *rx;
	uint32_t n_tx; /* descriptors in the transmit ring: n_ring slots of 1 << tx_shift */
	uint32_t tx_shift;
	uint32_t room;  /* descriptors that may be posted */
	uint32_t clean; /* first of the group of 32 that is not given back yet */
	/* Receive queues share `rx` and the slots, one behind the other. */
	uint32_t n_rx; /* entries of each */
	struct {
		uint32_t next, tail;
		uint32_t waited; /* looks that found fewer than wanted */
	} rxq[RX_QUEUES_MAX];
	uint32_t rx_now; /* the queue of the last rx_take */
	uint16_t msg_id;
	/* What the reports overwrite: the upper half of each group's last descriptor. */
	uint64_t report_hi[];
};

static struct vf_port *vf_of(const struct port *p)
{
	return p->priv;
}

/* ---- messages ---- */

/* What is kept of a reply: `size` bytes of its payload at most, and a descriptor. */
struct reply {
	void *bytes;
	uint32_t size;
	int fd; /* -1: none came */
};

/* A command, with a descriptor (or -1), and its reply; NULL: only whether it is an error. */
static int call(struct port *p, uint16_t cmd, const void *body, uint32_t size, int fd,
		struct reply *reply)
{
	struct vfu_hdr hdr = { .id = ++vf_of(p)->msg_id, .cmd = cmd };
	uint8_t buf[REPLY_MAX];
	int ret;

	hdr.size = (uint32_t)sizeof(hdr) + size;
	if (hdr.size > sizeof(buf))
		return -EMSGSIZE;
	memcpy(buf, &hdr, sizeof(hdr));
	memcpy(buf + sizeof(hdr), body, size);
	ret = sock_send(p->sock, buf, hdr.size, &fd, fd >= 0 ? 1 : 0);
	if (ret == 0)
		ret = sock_receive(p->sock, &hdr, sizeof(hdr), reply != NULL ? &reply->fd : NULL);
	if (ret < 0)
		return ret;
	if (hdr.size < sizeof(hdr) || hdr.size - sizeof(hdr) > sizeof(buf))
		return -EPROTO;
	size = hdr.size - (uint32_t)sizeof(hdr);
	ret = sock_receive(p->sock, buf, size, reply != NULL ? &reply->fd : NULL);
	if (ret < 0)
		return ret;
	if ((hdr.flags & VFU_HDR_ERROR) != 0)
		return -(int)hdr.error;
	if (reply != NULL)
		memcpy(reply->bytes, buf, size < reply->size ? size : reply->size);
	return 0;
}

static int reg_access(struct port *p, uint16_t cmd, uint32_t region, uint64_t offset,
		      uint32_t *value, uint32_t size)
{
	struct {
		struct vfu_region_access access;
		uint32_t value;
	} msg = { { offset, region, size }, *value };
	uint32_t n = (uint32_t)sizeof(msg.access) + (cmd == VFU_REGION_WRITE ? size : 0);
	struct reply reply = { &msg, sizeof(msg), -1 };
	int ret = call(p, cmd, &msg, n, -1, &reply);

	if (ret == 0 && cmd == VFU_REGION_READ)
		*value = msg.value;
	return ret;
}

static uint32_t reg_read(struct port *p, uint32_t offset)
{
	uint32_t value = 0;

	return reg_access(p, VFU_REGION_READ, BAR0, offset, &value, 4) < 0 ? 0 : value;
}

static int reg_write(struct port *p, uint32_t offset, uint32_t value)
{
	return reg_access(p, VFU_REGION_WRITE, BAR0, offset, &value, 4);
}

static int negotiate(struct port *p)
{
	struct {
		struct vfu_version version;
		char json[sizeof(VERSION_JSON)];
	} hello = { { 0, 0 }, VERSION_JSON };
	struct vfu_dma_map map = { .argsz = sizeof(map),
				   .flags = VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE,
				   .address = p->memory.iova,
				   .size = p->memory.size };
	uint32_t command = PCI_MEM_BM;
	int ret = call(p, VFU_VERSION, &hello, sizeof(hello), -1, NULL);

	if (ret == 0)
		ret = call(p, VFU_DMA_MAP, &map, sizeof(map), p->memory.fd, NULL);
	if (ret == 0)
		ret = reg_access(p, VFU_REGION_WRITE, CONFIG, PCI_CMD, &command, 2);
	return ret;
}

/* Maps receive and transmit page of BAR 0, where the region's sparse area says that they are. */
static int map_pages(struct port *p)
{
	struct vfu_region_info ask = { .argsz = REGION_ARGSZ, .index = BAR0 };
	struct {
		struct vfu_region_info info;
		struct vfu_sparse_cap cap;
		uint64_t area[2]; /* offset in the region, size */
	} region;
	struct reply reply = { &region, sizeof(region), -1 };
	void *va;
	int ret;

	memset(&region, 0, sizeof(region));
	ret = call(p, VFU_DEVICE_GET_REGION_INFO, &ask, sizeof(ask), -1, &reply);
	if (ret < 0)
		return ret;
	if (reply.fd < 0)
		return -EPROTO;
	if (region.cap.n_areas < 1 || region.area[0] != IXGBEVF_PAGE_RX ||
	    region.area[1] < QUEUES_MAPPED) {
		close(reply.fd);
		return -EPROTO;
	}
	va = mmap(NULL, QUEUES_MAPPED, PROT_READ | PROT_WRITE, MAP_SHARED, reply.fd,
		  (off_t)(region.info.offset + region.area[0]));
	close(reply.fd);
	if (va == MAP_FAILED)
		return -errno;
	vf_of(p)->pages = va;
	vf_of(p)->rx_line = va;
	vf_of(p)->tx_line = (void *)(vf_of(p)->pages + INTELVF_PAGE);
	return 0;
}

/* ---- mailbox: DS 7.10.2.9.1, as drivers up to API 1.4 use it ---- */

static bool mbox_wait(struct port *p, uint32_t bit, uint32_t *seen)
{
	uint64_t end = clock_ns() + MBOX_MS * 1000000ull;

	do
		*seen |= reg_read(p, VFMAILBOX); /* these bits are cleared by reading */
	while ((*seen & bit) == 0 && clock_ns() < end);
	return (*seen & bit) != 0;
}

/* A request of n words. Returns whether it was granted. */
static bool mbox_ask(struct port *p, const uint32_t *words, unsigned int n)
{
	uint32_t seen = 0, answer;

	reg_read(p, VFMAILBOX);
	reg_write(p, VFMAILBOX, VFMAILBOX_VFU);
	for (unsigned int i = 0; i < n; i++)
		reg_write(p, VFMBMEM + 4 * i, words[i]);
	reg_write(p, VFMAILBOX, VFMAILBOX_REQ);
	if (!mbox_wait(p, VFMAILBOX_PFACK, &seen) || !mbox_wait(p, VFMAILBOX_PFSTS, &seen))
		return false;
	reg_write(p, VFMAILBOX, VFMAILBOX_VFU);
	answer = reg_read(p, VFMBMEM);
	reg_write(p, VFMAILBOX, VFMAILBOX_ACK);
	return (answer & MSG_SUCCESS) != 0;
}

static int mbox_start(struct port *p)
{
	const uint32_t reset[] = { MSG_RESET }, api[] = { MSG_API, MBOX_API };
	const uint32_t lpe[] = { MSG_LPE, FRAME_SIZE_MOST + FCS };
	const uint32_t join[] = { MSG_VLAN | MSG_ADD, p->setup.vid };
	uint32_t seen = 0;

	reg_write(p, VFCTRL, VFCTRL_RST);
	if (!mbox_wait(p, VFMAILBOX_RSTD, &seen))
		return -ETIMEDOUT;
	if (!mbox_ask(p, reset, ARRAY_SIZE(reset)) || !mbox_ask(p, api, ARRAY_SIZE(api)))
		return -EPROTO;
	/* Refused where the vport's MTU is below 1504: then the longest frames will not arrive. */
	mbox_ask(p, lpe, ARRAY_SIZE(lpe));
	if (p->setup.vid != 0 && !mbox_ask(p, join, ARRAY_SIZE(join)))
		return -EPERM;
	return 0;
}

/* ---- rings ---- */

static void store(uint32_t *reg, uint32_t value) /* NOLINT: it is written to */
{
	__atomic_store_n(reg, htole32(value), __ATOMIC_RELEASE);
}

/* A data descriptor, `size` bytes of a packet that tells `command` and `status`. */
static void put_data(struct port *p, uint32_t idx, uint64_t iova, uint32_t size, uint32_t command,
		     uint32_t status)
{
	struct vf_port *v = vf_of(p);
	uint32_t cmd = size | TXD_DTYP_DATA | TXD_CMD_DEXT | CMD_FCS | command;

	if (idx % RS_EVERY == RS_EVERY - 1)
		cmd |= TXD_CMD_RS;
	v->tx[idx] = (struct vf_desc){ htole64(iova),
				       htole64(cmd | (uint64_t)(status | STATUS_CC) << 32) };
	if (idx % RS_EVERY == RS_EVERY - 1)
		v->report_hi[idx / RS_EVERY] = v->tx[idx].hi;
}

/* DS 7.2.3.2.3. Of a frame without requests it says nothing. */
static void put_context(struct port *p, uint32_t idx, const struct tx_request *r)
{
	uint32_t macip = 0, tucmd = 0, mss = 0;

	if (r != NULL) {
		macip = (uint32_t)r->tci << TXC_VLAN_SHIFT | (uint32_t)r->l3 << TXC_MACLEN_SHIFT |
			(uint32_t)(r->l4 - r->l3);
		tucmd = (r->v6 ? 0 : TXC_TUCMD_IPV4) |
			(r->tcp ? TXC_TUCMD_L4T_TCP : TXC_TUCMD_L4T_UDP);
		mss = (uint32_t)r->mss << TXC_MSS_SHIFT | (uint32_t)(r->payload - r->l4)
								  << TXC_L4LEN_SHIFT;
	}
	vf_of(p)->tx[idx] = (struct vf_desc){
		htole64(macip), htole64(TXD_DTYP_CTXT | TXD_CMD_DEXT | tucmd | (uint64_t)mss << 32)
	};
}

/* The slot's descriptors: a context, then the frame in as many pieces as are left. */
static void put_packet(struct port *p, uint32_t first, uint64_t iova, uint32_t size,
		       const struct tx_request *r)
{
	uint32_t n = p->setup.n_descs - 1, at = 0;
	uint32_t command = 0, status = 0, payload = size;

	put_context(p, first, r);
	if (r != NULL && r->insert)
		command |= TXD_CMD_VLE;
	if (r != NULL && r->csum)
		status |= TXD_POPTS_TXSM | (r->v6 ? 0 : TXD_POPTS_IXSM);
	if (r != NULL && r->mss != 0) {
		command |= TXD_CMD_TSE;
		payload = size - r->payload;
	}
	status |= payload << TXD_PAYLEN_SHIFT;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t end = (uint32_t)((uint64_t)size * (i + 1) / n);

		put_data(p, first + 1 + i, iova + at, end - at,
			 command | (i == n - 1 ? TXD_CMD_EOP : 0), status);
		at = end;
	}
}

static uint64_t rx_lo(const struct port *p, uint32_t idx)
{
	return htole64(port_iova(p, p->rx_slots + (size_t)idx * SLOT_SIZE));
}

static void start_rx(struct port *p, unsigned int q, uint64_t iova)
{
	struct vf_port *v = vf_of(p);
	struct rx_line *line = &v->rx_line[q];

	store(&line->rdbal, (uint32_t)iova);
	store(&line->rdbah, (uint32_t)(iova >> 32));
	store(&line->rdlen, v->n_rx * DESC_SIZE);
	store(&line->rdh, 0);
	store(&line->rdt, 0);
	store(&line->srrctl, SRRCTL_DESCTYPE_ADV | BUFFER_SIZE / 1024);
	store(&line->rxdctl, RXDCTL_ENABLE | (p->setup.vid != 0 ? RXDCTL_VME : 0));
	/* One descriptor always stays with us: head == tail is an empty ring. */
	v->rxq[q].tail = v->n_rx - 1;
	store(&line->rdt, v->rxq[q].tail);
}

/* UDP over IPv4 by addresses and ports, to all queues in turn. The key is Microsoft's, of its RSS
 * verification suite. */
static void start_rss(struct port *p)
{
	static const uint32_t key[] = {
		0xda565a6d, 0xc20e5b25, 0x3d256741, 0xb08fa343, 0xcb2bcad0,
		0xb4307bae, 0xa32dcb77, 0x0cf23080, 0x3bb7426a, 0xfa01acbe
	};

	for (uint32_t i = 0; i < ARRAY_SIZE(key); i++)
		reg_write(p, VFRSSRK + 4 * i, key[i]);
	for (uint32_t i = 0; i < VFRETA_ENTRIES / 4; i++) {
		uint32_t n = p->setup.n_queues, entries = 0;

		for (uint32_t k = 0; k < 4; k++)
			entries |= (4 * i + k) % n << (8 * k);
		reg_write(p, VFRETA + 4 * i, entries);
	}
	reg_write(p, VFMRQC, VFMRQC_RSSEN | MRQC_UDP4);
}

static void start_rings(struct port *p)
{
	struct vf_port *v = vf_of(p);
	uint32_t tx_size = v->n_tx * DESC_SIZE;
	uint64_t tx = port_iova(p, 0), rx = port_iova(p, tx_size);

	v->tx = (void *)p->memory.va;
	v->rx = v->tx + v->n_tx;
	for (uint32_t i = 0; i < p->n_ring; i++)
		v->rx[i] = (struct vf_desc){ rx_lo(p, i), 0 };
	v->n_rx = p->n_ring / p->setup.n_queues;
	for (unsigned int q = 0; q < p->setup.n_queues; q++)
		start_rx(p, q, rx + (uint64_t)q * v->n_rx * DESC_SIZE);
	store(&v->tx_line->tdbal, (uint32_t)tx);
	store(&v->tx_line->tdbah, (uint32_t)(tx >> 32));
	store(&v->tx_line->tdlen, tx_size);
	store(&v->tx_line->tdh, 0);
	store(&v->tx_line->tdt, 0);
	store(&v->tx_line->txdctl, TXDCTL_ENABLE);
	if (p->setup.rss)
		start_rss(p);
	v->room = v->n_tx - RS_EVERY;
	reg_read(p, VFSTATUS); /* a trapped access: the device takes the rings up */
}

static int vf_open(struct port *p, const char *path)
{
	uint32_t n_tx = p->n_ring * p->setup.n_descs;
	const char *what = "connect";
	int ret;

	p->priv = calloc(1, sizeof(struct vf_port) + n_tx / RS_EVERY * sizeof(uint64_t));
	if (p->priv == NULL)
		return -ENOMEM;
	vf_of(p)->n_tx = n_tx;
	vf_of(p)->tx_shift = (uint32_t)__builtin_ctz(p->setup.n_descs);
	p->tx_grain = RS_EVERY / p->setup.n_descs;
	p->sock = sock_connect(path);
	ret = p->sock < 0 ? p->sock : 0;
	if (ret == 0) {
		what = "vfio-user";
		ret = negotiate(p);
	}
	if (ret == 0) {
		what = "map";
		ret = map_pages(p);
	}
	if (ret == 0) {
		what = "mailbox";
		ret = mbox_start(p);
	}
	if (ret == 0)
		start_rings(p);
	else
		warnx("vf:%s: %s: %s", path, what, strerror(-ret));
	return ret;
}

static void vf_close(struct port *p)
{
	struct vf_port *v = vf_of(p);

	if (v == NULL || v->pages == NULL)
		return;
	for (unsigned int q = 0; q < p->setup.n_queues; q++)
		store(&v->rx_line[q].rxdctl, 0);
	store(&v->tx_line->txdctl, 0);
	reg_read(p, VFSTATUS); /* answered when the workers have left the rings */
	munmap(v->pages, QUEUES_MAPPED);
	v->pages = NULL;
}

static void vf_tx_set(struct port *p, uint32_t idx, uint32_t size, const struct tx_request *r)
{
	uint64_t iova = port_iova(p, p->tx_slots + (size_t)idx * p->setup.slot_size);

	if (p->setup.n_descs == 1)
		put_data(p, idx, iova, size, TXD_CMD_EOP, size << TXD_PAYLEN_SHIFT);
	else
		put_packet(p, idx * p->setup.n_descs, iova, size, r);
}

static uint32_t vf_tx_room(struct port *p, uint32_t want)
{
	struct vf_port *v = vf_of(p);

	/* A group is given back when the report has overwritten its last descriptor's PAYLEN. */
	while (v->room < want << v->tx_shift) {
		uint32_t last = v->clean + RS_EVERY - 1;
		uint64_t hi = le64toh(__atomic_load_n(&v->tx[last].hi, __ATOMIC_ACQUIRE));

		if ((hi >> 32 & TXD_STAT_DD) == 0)
			break;
		v->tx[last].hi = v->report_hi[last / RS_EVERY];
		v->clean = (v->clean + RS_EVERY) & (v->n_tx - 1);
		v->room += RS_EVERY;
	}
	return v->room >> v->tx_shift;
}

static void vf_tx_post(struct port *p, uint32_t n)
{
	struct vf_port *v = vf_of(p);

	v->room -= n << v->tx_shift;
	p->tx_next = (p->tx_next + n) & (p->n_ring - 1);
	store(&v->tx_line->tdt, p->tx_next << v->tx_shift);
}

/* The i-th entry of the queue's that nobody has looked at. */
static uint32_t rx_entry(const struct vf_port *v, uint32_t i)
{
	return v->rx_now * v->n_rx + ((v->rxq[v->rx_now].next + i) & (v->n_rx - 1));
}

static bool rx_is_done(const struct vf_port *v, uint32_t idx)
{
	return (le64toh(__atomic_load_n(&v->rx[idx].hi, __ATOMIC_ACQUIRE)) & RXD_STAT_DD) != 0;
}

static uint32_t vf_rx_take(struct port *p, struct port_frame *frame, uint32_t want, uint32_t max)
{
	struct vf_port *v = vf_of(p);
	uint32_t n;

	if (++v->rx_now == p->setup.n_queues)
		v->rx_now = 0;
	if (want > 1 && !rx_is_done(v, rx_entry(v, want - 1)) &&
	    ++v->rxq[v->rx_now].waited < RX_WAIT) {
		p->n_taken = 0;
		return 0;
	}
	v->rxq[v->rx_now].waited = 0;
	for (n = 0; n < max; n++) {
		uint32_t idx = rx_entry(v, n);
		uint64_t hi = le64toh(__atomic_load_n(&v->rx[idx].hi, __ATOMIC_ACQUIRE));

		if ((hi & RXD_STAT_DD) == 0)
			break;
		frame[n].va = p->memory.va + p->rx_slots + (size_t)idx * SLOT_SIZE;
		/* A frame in several buffers does not happen with frames below 2 KiB. */
		frame[n].size = (hi & RXD_STAT_EOP) != 0 ? hi >> 32 & 0xffff : 0;
	}
	p->n_taken = n;
	return n;
}

static void vf_rx_note(struct port *p, uint32_t i, const struct port_frame *frame,
		       struct rx_note *note)
{
	struct vf_port *v = vf_of(p);
	uint64_t hi = le64toh(v->rx[rx_entry(v, i)].hi);

	*note = (struct rx_note){ .va = frame->va,
				  .size = hi >> 32 & 0xffff,
				  .ends = (hi & RXD_STAT_EOP) != 0,
				  .bad = (hi & RXD_ERRORS) != 0,
				  .stripped = (hi & RXD_STAT_VP) != 0,
				  .tci = (uint16_t)(hi >> 48) };
}

static void vf_rx_return(struct port *p)
{
	struct vf_port *v = vf_of(p);
	uint32_t q = v->rx_now;

	if (p->n_taken == 0)
		return;
	for (uint32_t i = 0; i < p->n_taken; i++) {
		uint32_t idx = rx_entry(v, i);

		v->rx[idx] = (struct vf_desc){ rx_lo(p, idx), 0 };
	}
	v->rxq[q].next = (v->rxq[q].next + p->n_taken) & (v->n_rx - 1);
	v->rxq[q].tail = (v->rxq[q].tail + p->n_taken) & (v->n_rx - 1);
	p->n_taken = 0;
	store(&v->rx_line[q].rdt, v->rxq[q].tail);
}

const struct port_ops vf_ops = {
	.kind = "vf",
	.ring_bytes = 2ul * DESC_SIZE,
	.hdr_size = 0,
	.inserts = true,
	.open = vf_open,
	.close = vf_close,
	.tx_set = vf_tx_set,
	.tx_room = vf_tx_room,
	.tx_post = vf_tx_post,
	.rx_take = vf_rx_take,
	.rx_note = vf_rx_note,
	.rx_return = vf_rx_return,
};
