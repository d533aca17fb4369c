/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of this folder share. Everything here is touched with the loop's lock held, except
 * where a field says otherwise.
 *
 *   loop.c      the epoll loop, its lock, timers and wake-ups
 *   listen.c    the listening socket's file
 *   dev.c       devices: creation, attaching and detaching clients
 *   conn.c      one client's byte stream: whole messages in, whole replies out
 *   dispatch.c  the table of commands with their preconditions; small handlers
 *   version.c   capabilities in JSON
 *   region.c    region information, reads and writes
 *   irq.c       eventfds
 *   dma.c       DMA mappings, and requests that go from here to the client
 */
#ifndef SOFTIOV_VFU_INTERNAL_H
#define SOFTIOV_VFU_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "base/log.h"
#include "vfu/proto.h"
#include "vfu/vfu.h"

#define VFU_MAX_FDS      8           /* descriptors in one message: announced as max_msg_fds */
#define VFU_MAX_DATA     VFU_MAX_DMA /* announced as max_data_xfer_size; answers to us must fit */
#define VFU_MAX_MSG      (sizeof(struct vfu_hdr) + 16 + VFU_MAX_DATA)
#define VFU_MAX_OUT_DMA  (256 << 10) /* unsent bytes beyond which no DMA request is accepted */
#define VFU_BATCH        64          /* messages of one client before the others get their turn */
#define VFU_MAX_VERSION  4096        /* bytes of a VERSION message's payload */
#define VFU_MAX_MSIX_BUF (VFU_MAX_VECTORS * 16)

/* What an epoll event leads to. */
struct vfu_watch {
	void (*ready)(struct vfu_dev *dev, uint32_t events);
	struct vfu_dev *dev;
};

struct vfu_loop {
	int epoll_fd;
	int wake_fd; /* eventfd; readable: look at `stop` and at kicks. Any thread writes */
	pthread_mutex_t lock; /* vfu_lock() */
	pthread_mutex_t gate; /* taken before `lock`, for fairness: see vfu_lock() */
	atomic_bool stop;     /* any thread */
	uint64_t n_removed;   /* devices freed so far: events fetched before are stale */
	uint64_t deadline_ns; /* no timer of any device is due earlier */
	uint64_t (*now_ns)(void);
	LIST_HEAD(vfu_dev_list, vfu_dev) devs;
};

/* The MSI-X vector as workers see it (`live`, `kept`) and as the client set it (`fd`, `masked`). */
struct vfu_vector {
	atomic_int live;  /* eventfd to write, -1: none or masked. Any thread reads */
	atomic_bool kept; /* raised while live was -1. Any thread */
	int fd;           /* owned, -1: none */
	bool masked;
};

/* One request from here to the client. A slot is free while cb is NULL. */
struct vfu_dma_request {
	vfu_dma_cb *cb;
	void *arg;
	void *buf;           /* of a read */
	struct vfu_hdr *msg; /* owned; the message while it waits to be sent, then NULL */
	uint64_t iova;
	uint64_t deadline_ns;
	uint32_t size;
	uint16_t id;
	uint16_t cmd;
};

/* One message as a handler gets it, and what it answers. */
struct vfu_msg {
	struct vfu_hdr hdr;
	const uint8_t *body; /* aligned for every payload */
	size_t size;         /* of the body */
	int *fds;            /* who takes one puts -1 in its place; the others are closed */
	unsigned int n_fds;
	size_t reply_size; /* of the reply's body, in memory from vfu_reply() */
	int reply_fd;      /* borrowed, -1: none */
};

struct vfu_conn {
	int fd; /* -1: nobody is connected */
	bool agreed;
	bool maps;
	/* may map areas: as vfu_dev_offer_maps() said when it agreed */ /* the version is negotiated */
	bool closing;      /* close when the output is sent */
	bool in_handler;   /* requests of ours wait until the reply is queued */
	bool want_out;     /* EPOLLOUT rather than EPOLLIN is asked for */
	uint32_t max_fds;  /* that the client takes in one message */
	uint32_t max_data; /* that the client moves in one message */
	uint64_t hello_ns; /* when the version must be agreed on; 0: it is */

	uint8_t *in; /* a message in the making */
	size_t in_capacity, in_size;
	int fds[VFU_MAX_FDS];
	unsigned int n_fds;
	bool fds_lost; /* more came than fit, or the process has no room for them */

	uint8_t *out; /* bytes out_start..out_end wait to be sent */
	size_t out_capacity, out_start, out_end;
	int out_fd; /* borrowed; goes with the first byte of the output; -1: none */
};

struct vfu_dev {
	LIST_ENTRY(vfu_dev) entry;
	struct vfu_loop *loop;
	struct vfu_dev_desc desc;
	void *priv; /* for the callbacks */
	char *path;
	int listen_fd;
	uint64_t listen_again_ns; /* accepting is suspended until then; 0: it is not */
	dev_t sock_dev;           /* of the file at path, to remove no one else's */
	ino_t sock_ino;
	struct vfu_watch listen_watch;
	struct vfu_watch conn_watch;
	struct vfu_conn conn;
	atomic_int peer; /* pid; 0: nobody. Any thread reads */
	atomic_bool attached;
	atomic_bool kicked;
	bool offers_maps;
	struct vfu_vector vectors[VFU_MAX_VECTORS];
	int err_fd;                     /* the client's eventfd of the ERR index, owned */
	uint8_t msix[VFU_MAX_MSIX_BUF]; /* the MSI-X table's bytes */
	struct vfu_dma_request dma[VFU_MAX_DMA_QUEUED];
	uint16_t next_dma_id;
	struct vfu_stats stats; /* by vfu_count() */
	struct log_limit log_limit;
};

#define vfu_count(dev, field) __atomic_fetch_add(&(dev)->stats.field, 1, __ATOMIC_RELAXED)

/* loop.c */
int vfu_loop_step(struct vfu_loop *loop, int timeout_ms); /* one batch; for tests, too */
void vfu_loop_wake(struct vfu_loop *loop);
void vfu_loop_arm(struct vfu_loop *loop, uint64_t deadline_ns);

/* listen.c */
int vfu_listen_open(const char *path, const struct vfu_access *access, struct err *err);
int vfu_listen_accept(int listen_fd);

/* dev.c */
void vfu_dev_agreed(struct vfu_dev *dev); /* the version was negotiated */
void vfu_dev_reset(struct vfu_dev *dev, enum vfu_reset why);
void vfu_dev_detach(struct vfu_dev *dev, const char *why);
void vfu_dev_free_locked(struct vfu_dev *dev); /* vfu_dev_free() for who holds the lock */
void vfu_dev_timers(struct vfu_dev *dev, uint64_t now_ns);

/* conn.c */
void vfu_conn_init(struct vfu_conn *conn);
void vfu_conn_release(struct vfu_conn *conn); /* closes and frees, back to vfu_conn_init() */
void vfu_conn_ready(struct vfu_dev *dev, uint32_t events);
void *vfu_conn_room(struct vfu_conn *conn, size_t size); /* behind the output, not yet part of it */
void vfu_conn_commit(struct vfu_conn *conn, size_t size, int fd);
int vfu_conn_flush(struct vfu_dev *dev);
size_t vfu_conn_unsent(const struct vfu_conn *conn);

/* dispatch.c */
void vfu_dispatch(struct vfu_dev *dev, struct vfu_msg *msg);
/* Zeroed memory for a reply's body of `size` bytes, NULL if there is none. Valid until the handler
 * returns; one per message. */
void *vfu_reply(struct vfu_dev *dev, struct vfu_msg *msg, size_t size);

/* version.c */
struct vfu_caps {
	uint32_t max_fds;
	uint32_t max_data;
};
int vfu_caps_parse(const char *json, size_t size, struct vfu_caps *caps);
extern const char vfu_caps_ours[];
extern const size_t vfu_caps_ours_size; /* with the NUL */

/* Handlers: return 0 or a negative errno; preconditions as in dispatch.c's table. */
int vfu_do_region_info(struct vfu_dev *dev, struct vfu_msg *msg);
int vfu_do_region_read(struct vfu_dev *dev, struct vfu_msg *msg);
int vfu_do_region_write(struct vfu_dev *dev, struct vfu_msg *msg);
int vfu_do_irq_info(struct vfu_dev *dev, struct vfu_msg *msg);
int vfu_do_set_irqs(struct vfu_dev *dev, struct vfu_msg *msg);
int vfu_do_dma_map(struct vfu_dev *dev, struct vfu_msg *msg);
int vfu_do_dma_unmap(struct vfu_dev *dev, struct vfu_msg *msg);

/* region.c */
void vfu_msix_reset(struct vfu_dev *dev);

/* irq.c */
void vfu_irq_init(struct vfu_dev *dev);
void vfu_irq_forget_kept(struct vfu_dev *dev);
void vfu_irq_release(struct vfu_dev *dev); /* no eventfds any more; waits for the workers */

/* dma.c */
void vfu_dma_send_waiting(struct vfu_dev *dev);
void vfu_dma_reply(struct vfu_dev *dev, const struct vfu_msg *msg);
void vfu_dma_timers(struct vfu_dev *dev, uint64_t now_ns);
void vfu_dma_abort(struct vfu_dev *dev); /* all requests end with -ECONNRESET */

#endif
