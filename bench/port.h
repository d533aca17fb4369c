/* SPDX-License-Identifier: BSD-3-Clause */
/* A network port as its guest's driver sees it, reduced to the rings: what the benchmark's client
 * sends through and receives from.
 *
 * Three kinds: the VF of an 82599 over vfio-user (vf.c) and virtio-net over vhost-user with split or
 * packed rings (vio.c). All replay: each transmit descriptor and its slot of memory are written once, when
 * the port opens, and sending is no more than moving the ring's index (packed: making slots available
 * again). That is what lets one core outrun a switch. Whoever wants other bytes in a frame writes them into
 * the slot before it is posted.
 *
 * One thread. Functions that can fail return 0 or a negative errno and have printed why.
 */
#ifndef SOFTIOV_BENCH_PORT_H
#define SOFTIOV_BENCH_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Not a power of two: slots of 2048 bytes all begin in the same few sets of a first-level cache. */
#define SLOT_SIZE     2176
#define BUFFER_SIZE   2048 /* of a slot, posted for reception */
#define TAKE_MAX      256  /* frames that one rx_take returns at most */
#define RX_QUEUES_MAX 8

/* Guest memory: one memfd, in pages of 2 MiB if there are any. */
struct memory {
	uint8_t *va;
	uint64_t iova;
	size_t size;
	int fd;
	bool huge;
};

struct port_frame {
	uint8_t *va;
	uint32_t size;
};

/* What a transmit descriptor asks for, beside sending. Offsets count from the slot's first byte. */
struct tx_request {
	bool v6, tcp; /* the frame's headers */
	bool csum;    /* L4 checksum; the IPv4 header's as well where the device can */
	bool insert;  /* the tag `tci` */
	uint16_t tci;
	uint16_t l3, l4, payload; /* where IP, L4 and what follows it begin */
	uint16_t mss;             /* large send in pieces of so many bytes; 0: none */
};

/* What a receive descriptor, or the header in front of a frame, says. */
struct rx_note {
	uint8_t *va; /* this buffer's part of the frame */
	uint32_t size;
	bool ends;     /* the frame ends with it */
	bool bad;      /* the device says that something is wrong with it */
	bool stripped; /* a tag came beside the frame: */
	uint16_t tci;
	bool is_virtio; /* then the rest, of virtio_net_hdr, in host order; only with the first buffer */
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

/* What a virtio receiver agrees to take: finished frames, checksums to be done, large sends. */
enum guest_takes {
	GUEST_FINISHED,
	GUEST_CSUM,
	GUEST_WHOLE,
};

struct port_setup {
	uint32_t n_ring;
	bool offload; /* requests are allowed */
	uint32_t slot_size;
	uint32_t
		n_descs; /* VF: descriptors of a slot that has requests, a power of 2; the first is a
			     context, the frame is cut into as many pieces as are left */
	uint32_t n_queues; /* receive queues, a power of 2, that share n_ring's entries, */
	bool rss;          /* VF: by hash, otherwise there is one; virtio: if there are several */
	uint16_t vid; /* VF: to be joined, with the tag taken out of received frames; 0: none */
	enum guest_takes takes;
};

struct port;

struct port_ops {
	const char *kind;
	size_t ring_bytes; /* memory for both rings, for one entry of each */
	uint32_t hdr_size; /* what precedes the frame in a slot */
	/* The device inserts tags, IPv4's checksum, and the lengths in IP headers of large sends. */
	bool inserts;
	int (*open)(struct port *p, const char *path);
	void (*close)(struct port *p);
	/* Writes transmit descriptor `idx` for a frame of `size` bytes in its slot. NULL: no request. */
	void (*tx_set)(struct port *p, uint32_t idx, uint32_t size, const struct tx_request *r);
	/* Frames that may be posted now, at least `want` if there is room for so many. */
	uint32_t (*tx_room)(struct port *p, uint32_t want);
	/* Hands the next n slots, from p->tx_next on, to the device. */
	void (*tx_post)(struct port *p, uint32_t n);
	/* Looks for received frames, at most `max`. With want > 1 fewer than so many are left alone
	 * for some rounds, since each look takes the ring's cache lines away from the writer. */
	uint32_t (*rx_take)(struct port *p, struct port_frame *frame, uint32_t want, uint32_t max);
	/* What the device says of the i-th frame of the last rx_take. To be called for all, in order. */
	void (*rx_note)(struct port *p, uint32_t i, const struct port_frame *frame,
			struct rx_note *note);
	/* Gives the buffers of the last rx_take back. */
	void (*rx_return)(struct port *p);
};

struct port {
	const struct port_ops *ops;
	unsigned int idx;
	int sock;
	struct memory memory;
	struct port_setup setup;
	uint32_t n_ring;   /* entries in each ring, a power of 2 */
	uint32_t tx_all;   /* what tx_room says when the device holds nothing */
	uint32_t tx_grain; /* frames that the device gives back at once */
	uint32_t tx_next;  /* the slot that is sent next */
	uint32_t n_taken;  /* by the last rx_take */
	size_t tx_slots, rx_slots;
	bool out_of_order; /* the device gave buffers back in another order: no replay possible */
	void *priv;
};

extern const struct port_ops vf_ops, vio_ops, packed_ops;

/* Opens `vf:PATH`, `vio:PATH` or `packed:PATH`; all receive buffers are posted. */
int port_open(struct port *p, unsigned int idx, const char *name, const struct port_setup *setup);
void port_close(struct port *p);

/* The frame's bytes in slot `idx`, of the transmit and of the receive ring. */
static inline uint8_t *port_tx_frame(const struct port *p, uint32_t idx)
{
	return p->memory.va + p->tx_slots + (size_t)(idx & (p->n_ring - 1)) * p->setup.slot_size +
	       p->ops->hdr_size;
}

static inline uint64_t port_iova(const struct port *p, size_t offset)
{
	return p->memory.iova + offset;
}

int memory_open(struct memory *m, size_t size);
void memory_close(struct memory *m);

/* A stream socket connected to `path`, with a receive timeout of some seconds; or -errno. */
int sock_connect(const char *path);
/* Sends all of it, with up to 8 descriptors. */
int sock_send(int sock, const void *bytes, size_t size, const int *fds, unsigned int n_fds);
/* Receives exactly `size` bytes; *fd gets a descriptor that came with them, if any. */
int sock_receive(int sock, void *bytes, size_t size, int *fd);

#endif
