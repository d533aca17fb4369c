/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio-user server: serves PCI functions to virtual machine monitors over Unix sockets.
 *
 * It knows the protocol and no device. A device model describes itself (`struct vfu_dev_desc`:
 * regions, MSI-X vectors, configuration space) and gives callbacks (`struct vfu_dev_ops`).
 *
 * Life of a device:
 *  1. vfu_dev_new() listens on a socket. The device runs without a client as well.
 *  2. A client connects and agrees on a version: attached(dev, true). One client at a time; another
 *     one is closed at once and counted.
 *  3. The client's messages become callbacks, each answered before the next is read.
 *  4. The client leaves, or sends something after which the stream cannot be followed:
 *     attached(dev, false), reset(dev, VFU_RESET_DETACH), the eventfds are closed, all DMA mappings
 *     go, and the socket waits for the next client.
 *  5. vfu_dev_free() does step 4 if needed and removes the socket.
 *
 * Complications:
 *  1. One thread runs vfu_loop_run() for all devices: the device I/O thread. It never blocks on a
 *     client: what cannot be sent now is kept (bounded), and a client that does not read its replies
 *     is not read from either, so it stops only itself. Callbacks run in this thread with the loop's
 *     lock held and must return within milliseconds (QEMU 11.1 gives up a session after 5 s).
 *  2. The control thread adds and removes devices while the loop runs. Around anything else that it
 *     does to a device it holds vfu_lock(). vfu_dev_new() and vfu_dev_free() take the lock
 *     themselves: never call them with it held, nor from a callback.
 *  3. Workers call only vfu_irq_trigger() and vfu_dev_kick(), without a lock, at any moment while
 *     the device exists. Before the server closes an eventfd which a worker may have read a moment
 *     ago, it calls quiesce(dev).
 *  4. With mapped queue pages the guest can disable a queue without any message. Both Linux drivers
 *     touch a trapped register before they free the queue's buffers (facts of ixgbevf and igbvf,
 *     Linux 6.12), so region_read() and region_write() must look for queues that were disabled and,
 *     if there are any, wait for the workers before they return. The server cannot know that.
 *  5. A request of ours (vfu_dma_read()) that goes out before the reply to the client's request
 *     would deadlock with QEMU, which serves both from one thread. Requests made inside a callback
 *     are therefore kept back until the reply is in the stream.
 *
 * Source: the vfio-user protocol specification as in QEMU, docs/interop/vfio-user.rst ("vfio-user").
 */
#ifndef SOFTIOV_VFU_VFU_H
#define SOFTIOV_VFU_VFU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct err;
struct mem;
struct pci_config;
struct pci_layout;
struct vfu_dev;
struct vfu_loop;

#define VFU_N_REGIONS        9 /* BAR 0-5, ROM, configuration space, VGA: as VFIO_PCI_*_REGION_INDEX */
#define VFU_REGION_CONFIG    7
#define VFU_MAX_AREAS        4          /* mappable areas of one region */
#define VFU_MAX_VECTORS      64         /* MSI-X vectors of one device */
#define VFU_MAX_DMA          (64 << 10) /* bytes in one vfu_dma_read() or vfu_dma_write() */
#define VFU_MAX_DMA_QUEUED   32         /* such requests of one device that wait for their reply */
#define VFU_DMA_TIMEOUT_MS   5000
#define VFU_HELLO_TIMEOUT_MS 10000 /* from connecting until the version must be agreed on */

/* ---- what a device tells about itself ---- */

struct vfu_area {
	uint64_t offset; /* within the region; page-aligned */
	uint64_t size;   /* page-aligned */
};

/*
 * One BAR. A region with size 0 does not exist. The pages in `areas` can be mapped by the client
 * from mmap_fd at mmap_offset + area.offset, so mmap_fd must be as long as its last area and, being
 * shared with a stranger, sealed against shrinking. Everything else is trapped; n_areas 0 traps all.
 */
struct vfu_region {
	uint64_t size;
	uint32_t access; /* sizes of accesses that are passed on, or'ed: 1 | 2 | 4 | 8 */
	int mmap_fd;     /* borrowed, must outlive the device; ignored while n_areas is 0 */
	uint64_t mmap_offset;
	unsigned int n_areas;
	struct vfu_area areas[VFU_MAX_AREAS];
};

enum vfu_reset {
	VFU_RESET_MESSAGE, /* DEVICE_RESET: the VM was reset */
	VFU_RESET_FLR,     /* the guest set Initiate Function Level Reset */
	VFU_RESET_DETACH,  /* the client is gone */
};

/*
 * All run in the device I/O thread (vfu_dev_free(): in the caller's) with the loop's lock held.
 * Those marked "may be NULL" may be.
 */
struct vfu_dev_ops {
	/* A client has come or gone. may be NULL */
	void (*attached)(void *dev, bool on);

	/* Back to power-on state: all queues off, and no worker in them when this returns. The
	 * configuration space has been reset already, the eventfds and DMA mappings stay. */
	void (*reset)(void *dev, enum vfu_reset why);

	/*
	 * Access to a trapped part of a BAR. The range is inside the region, size is one of the
	 * region's `access` sizes and offset is a multiple of it. buf is little-endian register
	 * content, not aligned. Return 0 or a negative errno, which the client gets as an error.
	 */
	int (*region_read)(void *dev, unsigned int region, uint64_t offset, void *buf, size_t size);
	int (*region_write)(void *dev, unsigned int region, uint64_t offset, const void *buf,
			    size_t size);

	/* Configuration was written with PCI_EV_* consequences other than FLR. may be NULL */
	void (*config_changed)(void *dev, unsigned int events);

	/* Returns when every worker has passed a boundary, so none holds an eventfd number read
	 * before the call. */
	void (*quiesce)(void *dev);

	/* vfu_dev_kick() was called at least once since the last time. may be NULL */
	void (*kicked)(void *dev);
};

struct vfu_dev_desc {
	const struct vfu_dev_ops *ops; /* borrowed, must outlive the device */
	struct vfu_region bars[6];
	/* MSI-X: table and PBA lie in BAR msix_bar and are served here, not by region_*(). */
	unsigned int n_vectors; /* 1..VFU_MAX_VECTORS */
	unsigned int msix_bar;
	uint64_t msix_table_offset;
	uint64_t msix_pba_offset;
	/* Configuration space: borrowed, must outlive the device. */
	struct pci_config *config;
	const struct pci_layout *layout;
	struct mem *mem; /* where DMA mappings go: borrowed, must outlive the device */
	bool no_maps;    /* vfu_dev_offer_maps(false), from the first client on */
};

/* Who may connect: the socket's mode and owner, -1 leaves the owner or group as it is. */
struct vfu_access {
	mode_t mode; /* for example 0600 */
	uid_t uid;
	gid_t gid;
};

/* ---- the loop ---- */

/** Returns a loop without devices, or NULL with errno set. */
struct vfu_loop *vfu_loop_new(void);

/** Serves all devices in the calling thread until vfu_loop_stop(). Returns 0 or -errno of epoll. */
int vfu_loop_run(struct vfu_loop *loop);

/** Makes vfu_loop_run() return soon. Any thread, also a signal handler. */
void vfu_loop_stop(struct vfu_loop *loop);

/** Frees a loop that does not run and has no devices. Accepts NULL. */
void vfu_loop_free(struct vfu_loop *loop);

/**
 * While held, no callback runs and no device changes. Held by the loop itself during callbacks. Keep
 * it short: all devices wait. Not recursive; fair against the loop.
 *
 * A callback that waits for workers (quiesce) holds it too: a thread for which quiesce() waits must
 * be offline, in the words of QSBR, while it takes the lock.
 */
void vfu_lock(struct vfu_loop *loop);
void vfu_unlock(struct vfu_loop *loop);

/* ---- devices ---- */

/**
 * Adds a device to @loop and listens on a new Unix socket at @path.
 *
 * A socket that is there already is replaced if nobody listens on it any more.
 *
 * @devp: receives the device. @desc is copied (what it points to is borrowed). @priv is handed to
 * the callbacks. @err: never NULL; says what was refused and what to do, if it was.
 *
 * Returns 0; -EINVAL if the description contradicts itself; -ENAMETOOLONG if @path does not fit a
 * socket address; -EADDRINUSE if somebody listens on @path; -EEXIST if something there is not a
 * socket; -ENOMEM, or what socket(), bind(), chmod() or chown() said.
 */
int vfu_dev_new(struct vfu_dev **devp, struct vfu_loop *loop, const char *path,
		const struct vfu_access *access, const struct vfu_dev_desc *desc, void *priv,
		struct err *err);

/**
 * Detaches the client, removes the socket, waits in quiesce() and frees the device. When it is called
 * no worker may be able to find the device any more. Accepts NULL.
 */
void vfu_dev_free(struct vfu_dev *dev);

/** Is a client attached? Any thread. */
bool vfu_dev_attached(const struct vfu_dev *dev);

/**
 * Whether clients that attach from now on may map the regions' areas. One that is
 * attached goes on as it began. Holders of vfu_lock().
 */
void vfu_dev_offer_maps(struct vfu_dev *dev, bool offer);

/** Pid of the attached client (SO_PEERCRED), 0 if there is none. Any thread. */
pid_t vfu_dev_peer(const struct vfu_dev *dev);

/**
 * Asks for kicked() to be called in the device I/O thread. Any thread, at any rate: kicks that come
 * before the callback runs are one. Costs one eventfd write at most.
 */
void vfu_dev_kick(struct vfu_dev *dev);

struct vfu_stats {
	uint64_t n_sessions;      /* clients that agreed on a version */
	uint64_t n_refused_peers; /* connections closed because one was attached */
	uint64_t n_broken;        /* sessions ended here because the stream could not be followed */
	uint64_t n_messages;      /* whole messages received */
	uint64_t n_refused; /* of these, answered with an error (or that had no answer to get) */
	uint64_t n_reads;   /* region reads, configuration space included */
	uint64_t n_writes;  /* region writes, configuration space included */
	uint64_t n_dma_maps;
	uint64_t n_dma_unmaps;
	uint64_t n_dma_requests; /* DMA_READ and DMA_WRITE sent */
	uint64_t n_dma_failed;   /* of these, refused, wrongly answered or timed out */
	uint64_t n_resets;       /* DEVICE_RESET and FLR */
	uint64_t n_irqs;         /* eventfds written */
	uint64_t n_irqs_latched; /* interrupts that found no eventfd and were kept */
};

/** Copies the counters since vfu_dev_new(). Any thread; each counter is right by itself. */
void vfu_dev_stats(const struct vfu_dev *dev, struct vfu_stats *stats);

/* ---- interrupts ---- */

/**
 * Raises MSI-X vector @vector: one eventfd write. Without an eventfd, or while the client masks the
 * vector, the interrupt is kept and raised as soon as there is one. Interrupts raised while one is
 * kept are one. A vector the device does not have is ignored.
 *
 * Workers (between two of their boundaries), the device I/O thread, and holders of vfu_lock().
 */
void vfu_irq_trigger(struct vfu_dev *dev, unsigned int vector);

/* ---- DMA by messages, for memory that came without a file descriptor ---- */

/**
 * Called once for each accepted request, in the device I/O thread with the lock held, but never from
 * inside vfu_dma_read() or vfu_dma_write().
 * @err: 0, or the client's errno, -EPROTO (answer that does not fit the request), -ETIMEDOUT,
 * -ECONNRESET (client gone). The buffer given to vfu_dma_read() is filled if and only if it is 0.
 */
typedef void vfu_dma_cb(void *arg, int err);

/**
 * Asks the client for @size bytes at @iova into @buf, which stays the server's until @cb.
 *
 * In the device I/O thread or with vfu_lock() held; the callback runs in the device I/O thread.
 *
 * Returns 0, -EINVAL (size 0 or above VFU_MAX_DMA or the client's own limit), -EBUSY (too many
 * requests wait: try again after a callback) or -ENOTCONN. No callback if not 0.
 */
int vfu_dma_read(struct vfu_dev *dev, uint64_t iova, void *buf, size_t size, vfu_dma_cb *cb,
		 void *arg);

/** Sends @size bytes of @buf to @iova; they are copied before this returns. As vfu_dma_read(). */
int vfu_dma_write(struct vfu_dev *dev, uint64_t iova, const void *buf, size_t size, vfu_dma_cb *cb,
		  void *arg);

#endif
