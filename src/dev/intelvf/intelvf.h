/* SPDX-License-Identifier: BSD-3-Clause */
/* The virtual function of Intel's controllers: what both families share, 82599 and X540 (ixgbevf/) and
 * 82576 and I350 (igbvf/). A family is a `struct intelvf_family`: its register table, where the queue lines
 * lie, and the messages that its PF answers. Everything else is here:
 *
 *   regs.c     what a trapped access does to the register file
 *   mbox.c     the mailbox: its buffer and signals
 *   pf.c       the PF behind it: filters, what policy allows
 *   intr.c     causes, masks, vectors
 *   ring.c     when a ring is taken up and given up
 *   push.c rx_queue.h tx.c   frames in and out of the rings
 *   spread.c   which receive queue a frame goes to
 *   relay*.c   rings in guest memory that only messages reach
 *   intelvf.c  life of a VF, policy
 *
 * Who may touch what:
 *  1. `struct intelvf_state` is what the guest can see of the device, without pointers, in the memfd.
 *     Device I/O (with the loop's lock) writes all of it except the fields named in 2 to 4.
 *  2. rx[n] belongs to whoever holds rxq[n].lock.
 *  3. tx[n] belongs to the worker that serves the queue.
 *  4. VTEICR and VTEIMS are changed by anybody, atomically.
 *  5. Filters (mac, macs, mta, vlan_on, xcast, lpe) are written by device I/O and read by workers
 *     without a lock, word by word: a frame that meets a change half done is judged by the old rule or
 *     by the new one, as if it had come a moment earlier or later.
 *  6. How frames are spread over the receive queues (`spread`) is replaced as a whole by device I/O, which
 *     waits for the workers before it uses the memory of the last one again.
 *  7. The queue lines are in two pages shared with the guest, which may write anything at any
 *     time: each word is read once and checked.
 */
#ifndef SOFTIOV_DEV_INTELVF_INTELVF_H
#define SOFTIOV_DEV_INTELVF_INTELVF_H

#include "base/log.h"
#include "dev/intelvf/hw.h"
#include "dev/vf.h"
#include "frame/rss.h"

#define INTELVF_MACVLANS 16 /* filters beside its own; a port of the switch has room for so many */
#define INTELVF_RX_SEGS \
	16 /* descriptors that a frame may fill: 10 for a jumbo one in 1 KiB buffers */
#define INTELVF_FRAME_MAX 9728 /* with FCS: IXGBE_MAX_JUMBO_FRAME_SIZE of Linux 6.12's PF driver */
#define FCS_SIZE          4
#define LPE_RESET         1518 /* DS 8.2.3.22.13, MAXFRS */
#define INTELVF_RETA_MAX  128  /* entries of the largest redirection table */

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
	uint64_t frames, bytes, group_frames; /* since the head was shown last */
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
	/* Nobody holds the buffer, nothing but perhaps a control message waits in it. The VF may take it
	 * (VFU) or, as some drivers do, write without taking it; the PF may post. */
	MBOX_IDLE,
	/* The VF holds the buffer (VFU) to write a request or, as drivers up to API 1.4 do, to read.
	 * Leaves by REQ, by ACK, or by writing VFU 0. The PF posts nothing. */
	MBOX_VF_OWNS,
	/* A request came while VFU stayed set (drivers from API 1.5 on). It is acknowledged (PFACK) and
	 * carried out; the reply is posted when the VF lets go of the buffer. */
	MBOX_REPLY_HELD,
	/* A reply lies in the buffer and PFSTS told so. Leaves by ACK, or by whatever the VF
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

/* Receive side scaling: the registers of a VF that has its own, or what its pool has got from the PF. */
struct rss_state {
	uint8_t key[RSS_KEY_SIZE];
	uint8_t reta[INTELVF_RETA_MAX];
	uint32_t control; /* MRQC */
};

/* Statistics registers: sums over the queues. A queue adds what it has whenever its head is shown. */
struct vf_sums {
	uint64_t frames, bytes, group_frames;
};

#define INTELVF_STATE_MAGIC 0x66763033u /* "fv03": changes with the layout */

struct intelvf_state {
	uint32_t magic;
	uint16_t device; /* PCI device ID */
	uint16_t n_queues;
	uint32_t image[INTELVF_IMAGE_SIZE / 4]; /* registers below the queue pages, by offset */
	struct mbox_data mbox;
	uint32_t tx_epoch[INTELVF_QUEUES_MAX]; /* disables seen by device I/O */
	/* Filters */
	uint64_t mac; /* the VF's own */
	uint64_t macs[INTELVF_MACVLANS];
	uint32_t n_macs;
	uint32_t xcast;  /* enum xcast_mode */
	uint32_t lpe;    /* longest untagged frame that is received, with FCS */
	uint32_t active; /* the mailbox RESET has been seen: receive and transmit are on */
	uint64_t mta[4096 / 64];
	uint64_t vlan_asked[4096 / 64]; /* by the guest */
	uint64_t vlan_on[4096 / 64];    /* and granted by the policy */
	struct rss_state rss;
	struct vf_sums rx_sums, tx_sums;
	struct rx_state rx[INTELVF_QUEUES_MAX];
	struct tx_state tx[INTELVF_QUEUES_MAX];
} __attribute__((aligned(INTELVF_PAGE)));

/* This is in a memfd that is the process's alone: its indices and lengths are trusted. A second one goes to
 * the client whole, so it holds nothing but the queue pages, at their offsets in the BAR. */

_Static_assert(1 + INTELVF_MACVLANS <= VF_MACS_MAX, "its own and the filters");
_Static_assert(sizeof(struct rx_state) == CACHE_LINE, "one line a ring");
_Static_assert(sizeof(struct tx_state) == 2ul * CACHE_LINE, "and one for its contexts");
_Static_assert(offsetof(struct intelvf_state, image) == 8, "part of the memfd's format");
_Static_assert(sizeof(struct intelvf_state) % INTELVF_PAGE == 0, "queue pages are page aligned");
_Static_assert(INTELVF_QUEUES_MAX == ENDPOINT_QUEUES_MAX, "an endpoint has room for all queues");

struct intelvf;

struct intelvf_rxq {
	struct spinlock lock;
	uint32_t ring_hint, buf_hint; /* for mem_at */
	struct ahead ahead;           /* for the next push that is spread */
} __attribute__((aligned(CACHE_LINE)));

struct intelvf_txq {
	struct txq txq;
	struct intelvf *dev;
	uint32_t ring_hint, buf_hint;
	/* From pull to done: */
	uint8_t *desc;    /* the ring */
	uint32_t n_rs;    /* descriptors that want a report: rs[] */
	uint32_t n_taken; /* frames and swallowed packets */
	uint32_t rs[BURST_MAX + 1];
} __attribute__((aligned(CACHE_LINE)));

/* To which receive queue a frame goes, reta[hash & reta_mask], and what else is looked for in its headers. */
struct rx_spread {
	bool hashes;   /* otherwise all go to queue 0 */
	bool verifies; /* checksums, by the policy */
	struct rss_key key;
	uint32_t types; /* of enum rss_type, RSS_BIT */
	uint32_t reta_mask;
	uint8_t reta[INTELVF_RETA_MAX]; /* below INTELVF_QUEUES_MAX; not every one need be there */
};

/* Where a packet's headers end for its header buffer. */
enum rx_split {
	SPLIT_NOT,
	SPLIT_L2,
	SPLIT_L3,
	SPLIT_L4,
};

/* What makes a family. Static. */
struct intelvf_family {
	const struct reg_table *regs;
	uint32_t
		pages_at; /* offset in the BAR of the page with receive lines; transmit lines are in the next */
	uint16_t line_at;     /* queue 0's lines in these pages */
	uint8_t line_shift;   /* from one queue's to the next */
	uint8_t srrctl_word;  /* which word of a receive line is SRRCTL */
	bool has_line_stats;  /* queue 0's lines hold the statistics registers */
	bool strips_always;   /* the PF has VLAN tags stripped, whatever RXDCTL says */
	bool lpe_has_tag;     /* SET_LPE counts a VLAN tag */
	uint32_t bsizepacket; /* mask of SRRCTL's buffer size in KiB */
	/* Of an advanced descriptor: the frame is no good; the L4, or IPv4 header's, checksum is wrong. */
	uint32_t rxd_err, rxd_l4e, rxd_ipe;
	uint32_t psrtype; /* offset of PSRTYPE */
	/* After which headers PSRTYPE has such packets split. */
	enum rx_split (*split)(uint32_t psrtype, uint8_t packet);
	uint16_t eicr, eims, eiac, eiam, ivar, ivar_misc; /* offsets of interrupt registers, */
	uint16_t mailbox, mbmem;                          /* and of the mailbox's */
	const struct mbox_table *messages;
	unsigned int reset_words;           /* of the reply to RESET */
	void (*reset)(struct intelvf *dev); /* its own part of a reset; may be NULL */
	const char *(*api_name)(const struct intelvf *dev);
};

#define INTELVF_TRACES 4 /* kinds of register trace, see regs.c */

struct relay;

struct intelvf {
	struct vf vf;
	struct intelvf_state *st;
	/* The queue lines that workers serve: `pages`, or the relay's. Changed by device I/O. */
	uint8_t *lines;
	/* Of the family, for the workers: */
	uint16_t line_at;
	uint8_t line_shift, srrctl_word;
	uint32_t bsizepacket;
	uint32_t rxdctl_set;                 /* bits of RXDCTL that count as set */
	const struct mem_table *relay_table; /* relayed: the memory of these rings; else NULL */
	struct relay *relay;                 /* NULL: workers use the guest's own rings */
	uint32_t relay_asked;                /* a worker met memory that needs messages */
	int state_fd;
	const struct intelvf_family *family;
	uint8_t *pages; /* receive page, transmit page, as the guest maps them */
	bool has_rlpml; /* from the X540 on */
	bool has_rss;   /* RSS registers of its own: from the X550 on */
	bool lpe_has_tag;
	bool relay_told; /* the log knows, since the last reset from outside */
	/* Of the policy, for the workers: */
	uint32_t link_up;
	uint32_t size_max; /* longest untagged frame, with FCS */
	/* Vectors that EICS asked for, and from bit EICS_QUEUE on the transmit queues that come first. */
	uint32_t eics_due;
	struct spinlock rx_sums_lock, tx_sums_lock;
	/* Moderation, by vector. Workers and device I/O change all but the first, atomically. */
	uint64_t itr_cycles[INTELVF_VECTORS]; /* between two messages; 0: none */
	uint64_t itr_due[INTELVF_VECTORS];    /* no message before */
	uint32_t itr_held;                    /* bits: a message waits for that */
	const struct rx_spread *spread;       /* NULL: all to queue 0, and no look into headers */
	struct rx_spread spread_room[2];
	/* Bits: those that a burst was last spread over; a guess of the next one's. Not in the tables' line. */
	uint32_t last_queues __attribute__((aligned(CACHE_LINE)));
	struct log_limit limit[INTELVF_TRACES], limit_mbox, limit_relay;
	struct intelvf_rxq rxq[INTELVF_QUEUES_MAX];
	struct intelvf_txq txq[INTELVF_QUEUES_MAX];
};

static inline struct intelvf *intelvf_of(struct vf *vf)
{
	return container_of(vf, struct intelvf, vf);
}

/* Queue q's line in the two pages from `pages` on. */
static inline struct rx_line *rx_line_in(const struct intelvf *dev, uint8_t *pages, unsigned int q)
{
	return (struct rx_line *)(void *)(pages + dev->line_at + ((size_t)q << dev->line_shift));
}

static inline struct tx_line *tx_line_in(const struct intelvf *dev, uint8_t *pages, unsigned int q)
{
	return (struct tx_line *)(void *)(pages + INTELVF_PAGE + dev->line_at +
					  ((size_t)q << dev->line_shift));
}

static inline struct rx_line *rx_line(const struct intelvf *dev, unsigned int q)
{
	uint8_t *lines = __atomic_load_n(&dev->lines, __ATOMIC_ACQUIRE);

	return rx_line_in(dev, lines, q);
}

static inline struct tx_line *tx_line(const struct intelvf *dev, unsigned int q)
{
	uint8_t *lines = __atomic_load_n(&dev->lines, __ATOMIC_ACQUIRE);

	return tx_line_in(dev, lines, q);
}

/* The same as the guest maps them. */
static inline struct rx_line *guest_rx_line(const struct intelvf *dev, unsigned int q)
{
	return rx_line_in(dev, dev->pages, q);
}

static inline struct tx_line *guest_tx_line(const struct intelvf *dev, unsigned int q)
{
	return tx_line_in(dev, dev->pages, q);
}

/* Where the addresses in the rings lead. A worker calls this before it looks at a line: then it never
 * takes the guest's ring for the relay's or the other way round (relay.c, enter and leave). */
static inline const struct mem_table *ring_table(const struct intelvf *dev)
{
	const struct mem_table *table = __atomic_load_n(&dev->relay_table, __ATOMIC_ACQUIRE);

	return likely(table == NULL) ? mem_table(dev->vf.mem) : table;
}

static inline bool intelvf_is_relayed(const struct intelvf *dev)
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

static inline uint32_t *rx_srrctl(const struct intelvf *dev, struct rx_line *line)
{
	return (uint32_t *)(void *)line + dev->srrctl_word;
}

/* Bytes that each packet's first descriptor has room for in a header buffer of its own; 0: it has none. */
static inline uint32_t srrctl_hdr_size(uint32_t srrctl)
{
	uint32_t size = (srrctl & SRRCTL_BSIZEHEADER) >> 2;

	if ((srrctl & SRRCTL_DESCTYPE) != SRRCTL_DESCTYPE_SPLIT &&
	    (srrctl & SRRCTL_DESCTYPE) != SRRCTL_DESCTYPE_ALWAYS)
		return 0;
	return size < RXD_HDR_SIZE_MAX ? size : RXD_HDR_SIZE_MAX;
}

/* Whether DMA may happen at all: the driver has reset the VF and the function is bus master. */
static inline bool intelvf_may_dma(const struct intelvf *dev)
{
	return __atomic_load_n(&dev->st->active, __ATOMIC_RELAXED) != 0 &&
	       __atomic_load_n(&dev->vf.bus_master, __ATOMIC_RELAXED);
}

/* intelvf.c, device I/O */
/* A VF of this family; for vf_model.create. NULL: no memory. */
struct vf *intelvf_create(const struct vf_model *model, unsigned int n_queues,
			  const struct intelvf_family *family);
/* What VFCTRL.RST and every deeper reset do: queues, interrupts, filters; waits for the workers. */
void intelvf_reset_function(struct intelvf *dev);
/* Filters as after the mailbox RESET: own address and broadcast only, default length. */
void intelvf_clear_filters(struct intelvf *dev);
void intelvf_set_active(struct intelvf *dev, bool active);
/* The effective VLAN filter, from what the guest asked and the policy grants. */
void intelvf_update_vlans(struct intelvf *dev);

/* regs.c, device I/O */
void regs_reset(struct intelvf *dev);
uint32_t regs_read(struct intelvf *dev, uint32_t offset);
void regs_write(struct intelvf *dev, uint32_t offset, uint32_t value);

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
	uint32_t (*read)(struct intelvf *dev, unsigned int n);
	void (*write)(struct intelvf *dev, unsigned int n, uint32_t value);
};

struct reg_table {
	const struct reg *row;
	unsigned int n;
};

static inline uint32_t *regs_word(struct intelvf *dev, uint32_t offset)
{
	return &dev->st->image[offset / 4];
}

/* mbox.c, device I/O */
void mbox_reset(struct intelvf *dev, bool power_on);
/* Handlers of the mailbox register. */
uint32_t mbox_read(struct intelvf *dev, unsigned int n);
void mbox_write(struct intelvf *dev, unsigned int n, uint32_t value);
/* Tells the guest that something changed: link, or (with `restart`) more than it can take up without
 * resetting the VF. */
void mbox_notify(struct intelvf *dev, bool restart);

/* intr.c */
void intr_reset(struct intelvf *dev);
/* An event of the queue's receive or transmit side, or of the mailbox. Any thread. True: a message
 * was sent. */
bool intr_raise_rx(struct intelvf *dev, unsigned int q);
bool intr_raise_tx(struct intelvf *dev, unsigned int q);
/* The same for whoever served the ring: if that was the relay's, it is the relay that hears of it. */
bool intr_rx(struct intelvf *dev, unsigned int q);
bool intr_tx(struct intelvf *dev, unsigned int q);
void intr_mbox(struct intelvf *dev);
/* Device I/O: not more than one message of a vector in so many microseconds. `now`: the next one need not
 * wait. */
void intr_moderate(struct intelvf *dev, unsigned int vector, uint32_t us, bool now);
/* A worker, each time that it looks at one of the VF's transmit queues: sends what was held back and is due.
 * Returns how many messages. */
unsigned int intr_release(struct intelvf *dev);
#define EICS_QUEUE 8
/* The transmit queues in `queues` (bits) have no more frames of the time when EICS was written, or will
 * never be served: raises what waited for the last of them. Any thread. */
void intr_eics_served(struct intelvf *dev, uint32_t queues);
static inline void intr_check_eics(struct intelvf *dev, unsigned int q)
{
	if (unlikely(__atomic_load_n(&dev->eics_due, __ATOMIC_RELAXED) != 0))
		intr_eics_served(dev, 1u << q);
}
/* Register handlers. */
uint32_t intr_read_eicr(struct intelvf *dev, unsigned int n);
void intr_write_eicr(struct intelvf *dev, unsigned int n, uint32_t value);
void intr_write_eics(struct intelvf *dev, unsigned int n, uint32_t value);
uint32_t intr_read_eims(struct intelvf *dev, unsigned int n);
void intr_write_eims(struct intelvf *dev, unsigned int n, uint32_t value);
void intr_write_eimc(struct intelvf *dev, unsigned int n, uint32_t value);

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
bool ring_rx_ready(struct intelvf *dev, unsigned int q, const struct mem_table *table,
		   uint8_t **desc);
bool ring_tx_ready(struct intelvf *dev, unsigned int q, const struct mem_table *table,
		   uint8_t **desc);
/* Counts a bad tail once for each new value. */
void ring_bad_tail(struct ring_state *ring, uint32_t tail, uint64_t *counter);
/* Gives a ring up after a fatal error of the guest's; counted by the caller. */
void ring_fail(struct ring_state *ring);
/* Whether what the guest sees is half a ring old: statistics of a ring that never runs empty must go on. */
static inline bool ring_is_behind(const struct ring_state *ring)
{
	uint32_t n = ring->head - ring->head_shown;

	return (ring->head < ring->head_shown ? n + ring->n_desc : n) >= ring->n_desc / 2;
}
/* RDH or TDH and the statistics of that side. Caller: owner of the ring. */
void ring_rx_show(struct intelvf *dev, unsigned int q);
void ring_tx_show(struct intelvf *dev, unsigned int q);
/* Device I/O, in every trapped access: takes up receive rings that were enabled and, where rings were
 * disabled, returns after the last worker has left them. */
void ring_trap(struct intelvf *dev);
/* The part of ring_trap that is about the lines which workers serve. */
void ring_look(struct intelvf *dev);
/* Device I/O: wakes the workers of transmit rings with frames that were not seen to yet. Returns these queues,
 * as bits. */
uint32_t ring_tx_wake(struct intelvf *dev);
/* Device I/O: clears ENABLE everywhere and waits for the workers. */
void ring_stop_all(struct intelvf *dev);
/* endpoint.running, from what is known now. Caller: owner of receive ring 0. */
void ring_update_running(struct intelvf *dev);

/* spread.c */
/* Device I/O: from now on frames are spread like this; NULL: not at all. Waits for the workers if it was
 * otherwise before. */
void spread_set(struct intelvf *dev, const struct rx_spread *spread);
/* Device I/O: the policy for checksums has changed. */
void spread_update(struct intelvf *dev);
/* A worker: endpoint_ops.push, by `spread`. */
void spread_push(struct intelvf *dev, const struct rx_spread *spread,
		 const struct frame *const frame[], unsigned int n, uint16_t untagged_vid,
		 struct endpoint_stats *stats);

/* push.c, tx.c */
extern const struct endpoint_ops intelvf_endpoint_ops;
extern const struct txq_ops intelvf_txq_ops;

#endif
