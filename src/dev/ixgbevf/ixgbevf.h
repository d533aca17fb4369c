/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtual function of the 82599 and the X540: what the files of this folder share.
 *
 *   regs.c     the register file and what a trapped access does
 *   mbox.c     the mailbox, and the PF behind it
 *   intr.c     causes, masks, vectors
 *   ring.c     when a ring is taken up and given up
 *   rx.c tx.c  frames in and out of the rings
 *   relay*.c   rings in guest memory that only messages reach
 *   ixgbevf.c  life of a VF, policy, models
 *
 * Who may touch what:
 *  1. `struct ixgbevf_state` is what the guest can see of the device, without pointers, in the memfd.
 *     Device I/O (with the loop's lock) writes all of it except the fields named in 2 to 4.
 *  2. rx[n] belongs to whoever holds rxq[n].lock.
 *  3. tx[n] belongs to the worker that serves the queue.
 *  4. VTEICR and VTEIMS are changed by anybody, atomically.
 *  5. Filters (mac, macs, mta, vlan_on, xcast, lpe) are written by device I/O and read by workers
 *     without a lock, word by word: a frame that meets a change half done is judged by the old rule or
 *     by the new one, as if it had come a moment earlier or later.
 *  6. The queue lines in pages 1 and 2 are shared with the guest, which may write anything at any
 *     time: each word is read once and checked.
 */
#ifndef SOFTIOV_DEV_IXGBEVF_IXGBEVF_H
#define SOFTIOV_DEV_IXGBEVF_IXGBEVF_H

#include "base/log.h"
#include "dev/ixgbevf/model.h"
#include "dev/ixgbevf/regs.h"

#define IXGBEVF_MACVLANS 16 /* filters beside its own; a port of the switch has room for so many */
#define IXGBEVF_RX_SEGS \
	16 /* descriptors that a frame may fill: 10 for a jumbo one in 1 KiB buffers */
#define IXGBEVF_FRAME_MAX 9728 /* with FCS: IXGBE_MAX_JUMBO_FRAME_SIZE of Linux 6.12's PF driver */
#define FCS_SIZE          4

/* A ring, from the guest's word (ENABLE in its queue's line) to ours. */
enum ring_status {
	RING_OFF, /* ENABLE is clear. -> ON or BAD when it is seen set */
	RING_ON, /* checked and in use. -> OFF when ENABLE is seen clear, -> BAD on a fatal error */
	RING_BAD, /* ENABLE is set, but the ring was refused: -> OFF as above; changed base or length
		     registers are a new ring and are checked again */
};

struct ring_state {
	uint64_t base;
	uint32_t size; /* bytes */
	uint32_t n_desc;
	uint32_t head;       /* next descriptor we use */
	uint32_t head_shown; /* what RDH or TDH says */
	uint32_t tail;       /* last good RDT or TDT seen */
	uint32_t tail_bad;   /* last bad one, so that each is counted once */
	uint32_t epoch;      /* transmit: device I/O's count of disables when it was taken up */
	uint8_t status;      /* enum ring_status */
	uint8_t pad[3];
	uint64_t frames, bytes, group_frames; /* statistics registers; wrap as they do */
};

struct tx_context {
	uint32_t vlan_macip; /* VLAN 31:16, MACLEN 15:9, IPLEN 8:0 */
	uint32_t tucmd;
	uint32_t mss_l4len;
	uint32_t valid;
};

struct rx_state {
	struct ring_state ring;
} __attribute__((aligned(CACHE_LINE)));

struct tx_state {
	struct ring_state ring;
	struct tx_context ctx[2];
} __attribute__((aligned(CACHE_LINE)));

/* The mailbox: 16 words that either side may own, and signals (DS 7.10.2.9.1, 8.3.5.1.5). What the
 * PF's driver would do in an interrupt happens here before the guest's write returns, so VFMAILBOX.PFU
 * is never seen set. Only mbox_set_state changes the state. */
enum mbox_state {
	/* Nobody holds the buffer, nothing waits in it. The VF may take it (VFU) or, as some drivers
	 * do, write without taking it; the PF may post. */
	MBOX_IDLE,
	/* The VF holds the buffer (VFU) to write a request or, as drivers up to API 1.4 do, to read.
	 * Leaves by REQ, by ACK, or by writing VFU 0. The PF posts nothing. */
	MBOX_VF_OWNS,
	/* A request came while VFU stayed set (drivers from API 1.5 on). It is acknowledged (PFACK) and
	 * carried out; the reply is posted when the VF lets go of the buffer. */
	MBOX_REPLY_HELD,
	/* A message of the PF lies in the buffer and PFSTS told so. Leaves by ACK, or by whatever the VF
	 * does next: a VF that does not listen loses the message. */
	MBOX_POSTED,
};
#define MBOX_STATES (MBOX_POSTED + 1)

/* API versions as they are on the wire (ixgbevf/mbx.h of Linux 6.12: enum ixgbe_pfvf_api_rev). */
enum mbox_api {
	MBOX_API_10 = 0,
	MBOX_API_20 = 1, /* Solaris; refused */
	MBOX_API_11 = 2,
	MBOX_API_12 = 3,
	MBOX_API_13 = 4,
	MBOX_API_14 = 5,
	MBOX_API_15 = 6,
	MBOX_API_16 = 7,
	MBOX_API_17 = 8,
};

enum xcast_mode { /* each contains those before it */
	XCAST_NONE,
	XCAST_MULTI,    /* groups by hash table */
	XCAST_ALLMULTI, /* all groups */
	XCAST_PROMISC,  /* all addresses; VLANs are still filtered */
};

struct mbox_data {
	uint32_t state;   /* enum mbox_state */
	uint32_t api;     /* enum mbox_api */
	uint32_t cts;     /* clear to send: the VF has sent RESET and nothing has voided it since */
	uint32_t signals; /* PFSTS, PFACK, RSTD: cleared by reading */
	uint64_t posted_ns;            /* MBOX_POSTED: when */
	uint32_t ping;                 /* a control message is due as soon as the buffer is free */
	uint32_t reply[VFMBMEM_WORDS]; /* MBOX_REPLY_HELD */
	uint32_t reply_words;          /* 0: none */
};

#define IXGBEVF_STATE_MAGIC 0x66763031u /* "fv01": changes with the layout */

struct ixgbevf_state {
	uint32_t magic;
	uint16_t device; /* PCI device ID */
	uint16_t n_queues;
	uint32_t page0[IXGBEVF_PAGE / 4]; /* register image, by offset */
	struct mbox_data mbox;
	uint32_t tx_epoch[IXGBEVF_QUEUES_MAX]; /* disables seen by device I/O */
	/* Filters */
	uint64_t mac; /* the VF's own */
	uint64_t macs[IXGBEVF_MACVLANS];
	uint32_t n_macs;
	uint32_t xcast;  /* enum xcast_mode */
	uint32_t lpe;    /* longest untagged frame that is received, with FCS */
	uint32_t active; /* the mailbox RESET has been seen: receive and transmit are on */
	uint64_t mta[4096 / 64];
	uint64_t vlan_asked[4096 / 64]; /* by the guest */
	uint64_t vlan_on[4096 / 64];    /* and granted by the policy */
	struct rx_state rx[IXGBEVF_QUEUES_MAX];
	struct tx_state tx[IXGBEVF_QUEUES_MAX];
} __attribute__((aligned(IXGBEVF_PAGE)));

/* Two memfds. The state is this process's alone: its indices and lengths are trusted. The other one goes
 * to the client whole, so it holds nothing but the queue pages, at their offsets in the BAR. */
#define IXGBEVF_SHARED_SIZE (IXGBEVF_PAGE_TX + IXGBEVF_PAGE)

_Static_assert(1 + IXGBEVF_MACVLANS <= VF_MACS_MAX, "its own and the filters");
_Static_assert(sizeof(struct rx_state) == CACHE_LINE, "one line a ring");
_Static_assert(sizeof(struct tx_state) == 2ul * CACHE_LINE, "and one for its contexts");
_Static_assert(offsetof(struct ixgbevf_state, page0) == 8, "part of the memfd's format");
_Static_assert(sizeof(struct ixgbevf_state) % IXGBEVF_PAGE == 0, "queue pages are page aligned");
_Static_assert(IXGBEVF_QUEUES_MAX == ENDPOINT_QUEUES_MAX, "an endpoint has room for all queues");

struct ixgbevf;

struct ixgbevf_rxq {
	struct spinlock lock;
	uint32_t ring_hint, buf_hint; /* for mem_at */
} __attribute__((aligned(CACHE_LINE)));

struct ixgbevf_txq {
	struct txq txq;
	struct ixgbevf *dev;
	uint32_t ring_hint, buf_hint;
	/* From pull to done: */
	uint8_t *desc;    /* the ring */
	uint32_t n_rs;    /* descriptors that want a report: rs[] */
	uint32_t n_taken; /* frames and swallowed packets */
	uint32_t rs[BURST_MAX + 1];
} __attribute__((aligned(CACHE_LINE)));

#define IXGBEVF_TRACES 4 /* kinds of register trace, see regs.c */

struct relay;

struct ixgbevf {
	struct vf vf;
	struct ixgbevf_state *st;
	/* The queue lines that workers serve: `pages`, or the relay's. Changed by device I/O. */
	uint8_t *lines;
	const struct mem_table *relay_table; /* relayed: the memory of these rings; else NULL */
	struct relay *relay;                 /* NULL: workers use the guest's own rings */
	uint32_t relay_asked;                /* a worker met memory that needs messages */
	int state_fd;
	uint8_t *pages;  /* page 1, page 2, as the guest maps them */
	bool has_rlpml;  /* X540 */
	bool relay_told; /* the log knows, since the last reset from outside */
	/* Of the policy, for the workers: */
	uint32_t link_up;
	uint32_t size_max; /* longest untagged frame, with FCS */
	struct log_limit limit[IXGBEVF_TRACES], limit_mbox, limit_relay;
	struct ixgbevf_rxq rxq[IXGBEVF_QUEUES_MAX];
	struct ixgbevf_txq txq[IXGBEVF_QUEUES_MAX];
};

static inline struct ixgbevf *ixgbevf_of(struct vf *vf)
{
	return container_of(vf, struct ixgbevf, vf);
}

static inline struct rx_line *rx_line(const struct ixgbevf *dev, unsigned int q)
{
	uint8_t *lines = __atomic_load_n(&dev->lines, __ATOMIC_ACQUIRE);

	return (struct rx_line *)(void *)(lines + q * IXGBEVF_QUEUE_STEP);
}

static inline struct tx_line *tx_line(const struct ixgbevf *dev, unsigned int q)
{
	uint8_t *lines = __atomic_load_n(&dev->lines, __ATOMIC_ACQUIRE);

	return (struct tx_line *)(void *)(lines + IXGBEVF_PAGE + q * IXGBEVF_QUEUE_STEP);
}

/* The same as the guest maps them. */
static inline struct rx_line *guest_rx_line(const struct ixgbevf *dev, unsigned int q)
{
	return (struct rx_line *)(void *)(dev->pages + q * IXGBEVF_QUEUE_STEP);
}

static inline struct tx_line *guest_tx_line(const struct ixgbevf *dev, unsigned int q)
{
	return (struct tx_line *)(void *)(dev->pages + IXGBEVF_PAGE + q * IXGBEVF_QUEUE_STEP);
}

/* Where the addresses in the rings lead. A worker calls this before it looks at a line: then it never
 * takes the guest's ring for the relay's or the other way round (relay.c, enter and leave). */
static inline const struct mem_table *ring_table(const struct ixgbevf *dev)
{
	const struct mem_table *table = __atomic_load_n(&dev->relay_table, __ATOMIC_ACQUIRE);

	return likely(table == NULL) ? mem_table(dev->vf.mem) : table;
}

static inline bool ixgbevf_is_relayed(const struct ixgbevf *dev)
{
	return __atomic_load_n(&dev->relay, __ATOMIC_RELAXED) != NULL;
}

/* One word that the guest may be writing. */
static inline uint32_t shared_load(const uint32_t *word)
{
	return le32toh(__atomic_load_n(word, __ATOMIC_RELAXED));
}

/* The same where what the guest wrote before this word will be read after it. */
static inline uint32_t shared_load_acquire(const uint32_t *word)
{
	return le32toh(__atomic_load_n(word, __ATOMIC_ACQUIRE));
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the builtin writes through it */
static inline void shared_store(uint32_t *word, uint32_t v)
{
	__atomic_store_n(word, htole32(v), __ATOMIC_RELAXED);
}

/* Whether DMA may happen at all: the driver has reset the VF and the function is bus master. */
static inline bool ixgbevf_may_dma(const struct ixgbevf *dev)
{
	return __atomic_load_n(&dev->st->active, __ATOMIC_RELAXED) != 0 &&
	       __atomic_load_n(&dev->vf.bus_master, __ATOMIC_RELAXED);
}

/* ixgbevf.c, device I/O */
/* What VFCTRL.RST and every deeper reset do: queues, interrupts, filters; waits for the workers. */
void ixgbevf_reset_function(struct ixgbevf *dev);
/* Filters as after the mailbox RESET: own address and broadcast only, default length. */
void ixgbevf_clear_filters(struct ixgbevf *dev);
void ixgbevf_set_active(struct ixgbevf *dev, bool active);
/* The effective VLAN filter, from what the guest asked and the policy grants. */
void ixgbevf_update_vlans(struct ixgbevf *dev);

/* regs.c, device I/O */
void regs_reset(struct ixgbevf *dev);
uint32_t regs_read(struct ixgbevf *dev, uint32_t offset);
void regs_write(struct ixgbevf *dev, uint32_t offset, uint32_t value);

/* One row of the register file. */
enum reg_access {
	REG_RO,  /* writes are ignored */
	REG_RW,  /* bits of `mask` can be written */
	REG_WO,  /* reads as 0 */
	REG_RC,  /* reading clears */
	REG_W1S, /* writing 1 sets */
	REG_MEM, /* word of a page that the guest maps: what was written is read */
};

struct reg {
	uint32_t offset;
	uint16_t stride, count; /* count > 1: an array */
	uint32_t reset;
	uint32_t mask; /* writable bits */
	enum reg_access access;
	bool partial; /* stored, but not all of its function is there */
	const char *name;
	const char *section; /* of DS */
	/* Where the image is not enough. n is the index in an array. */
	uint32_t (*read)(struct ixgbevf *dev, unsigned int n);
	void (*write)(struct ixgbevf *dev, unsigned int n, uint32_t value);
};
extern const struct reg ixgbevf_regs[];
extern const unsigned int ixgbevf_n_regs;

static inline uint32_t *regs_word(struct ixgbevf *dev, uint32_t offset)
{
	return &dev->st->page0[offset / 4];
}

/* mbox.c, device I/O */
void mbox_reset(struct ixgbevf *dev, bool power_on);
uint32_t mbox_read(struct ixgbevf *dev, unsigned int n);
void mbox_write(struct ixgbevf *dev, unsigned int n, uint32_t value);
/* Tells the guest that something changed: link, or (with `restart`) more than it can take up without
 * resetting the VF. */
void mbox_notify(struct ixgbevf *dev, bool restart);
const char *mbox_api_name(const struct ixgbevf *dev);

/* intr.c */
void intr_reset(struct ixgbevf *dev);
/* An event of the queue's receive or transmit side, or of the mailbox. Any thread. True: a message
 * was sent. */
bool intr_raise_rx(struct ixgbevf *dev, unsigned int q);
bool intr_raise_tx(struct ixgbevf *dev, unsigned int q);
/* The same for whoever served the ring: if that was the relay's, it is the relay that hears of it. */
bool intr_rx(struct ixgbevf *dev, unsigned int q);
bool intr_tx(struct ixgbevf *dev, unsigned int q);
void intr_mbox(struct ixgbevf *dev);
/* Register handlers. */
uint32_t intr_read_vteicr(struct ixgbevf *dev, unsigned int n);
void intr_write_vteicr(struct ixgbevf *dev, unsigned int n, uint32_t value);
void intr_write_vteics(struct ixgbevf *dev, unsigned int n, uint32_t value);
uint32_t intr_read_vteims(struct ixgbevf *dev, unsigned int n);
void intr_write_vteims(struct ixgbevf *dev, unsigned int n, uint32_t value);
void intr_write_vteimc(struct ixgbevf *dev, unsigned int n, uint32_t value);

/* ring.c */
/* A ring as its line describes it now. */
struct ring_regs {
	uint64_t base;
	uint32_t size;
	uint32_t head;
};
struct ring_regs ring_rx_regs(const struct rx_line *l);
struct ring_regs ring_tx_regs(const struct tx_line *l);
bool ring_regs_valid(const struct ring_regs *r);
/* True: the ring may be used now, *desc is its first descriptor. Caller: owner of the ring. */
bool ring_rx_ready(struct ixgbevf *dev, unsigned int q, const struct mem_table *table,
		   uint8_t **desc);
bool ring_tx_ready(struct ixgbevf *dev, unsigned int q, const struct mem_table *table,
		   uint8_t **desc);
/* Counts a bad tail once for each new value. */
void ring_bad_tail(struct ring_state *ring, uint32_t tail, uint64_t *counter);
/* Gives a ring up after a fatal error of the guest's; counted by the caller. */
void ring_fail(struct ring_state *ring);
/* RDH or TDH and the statistics of that side. Caller: owner of the ring. */
void ring_rx_show(struct ixgbevf *dev, unsigned int q);
void ring_tx_show(struct ixgbevf *dev, unsigned int q);
/* Device I/O, in every trapped access: takes up receive rings that were enabled and, where rings were
 * disabled, returns after the last worker has left them. */
void ring_trap(struct ixgbevf *dev);
/* The part of ring_trap that is about the lines which workers serve. */
void ring_look(struct ixgbevf *dev);
/* Device I/O: clears ENABLE everywhere and waits for the workers. */
void ring_stop_all(struct ixgbevf *dev);
/* endpoint.running, from what is known now. Caller: owner of receive ring 0. */
void ring_update_running(struct ixgbevf *dev);

/* rx.c, tx.c */
extern const struct endpoint_ops ixgbevf_endpoint_ops;
extern const struct txq_ops ixgbevf_txq_ops;

#endif
