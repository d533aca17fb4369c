/* SPDX-License-Identifier: BSD-3-Clause */
/* Devices: creation and end, and one client after the other. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/errtext.h"
#include "mem/mem.h"
#include "pci/pci.h"
#include "vfu/internal.h"

#define PAGE            4096u /* the page size announced to clients */
#define ACCEPT_PAUSE_NS 1000000000ull

static bool region_valid(const struct vfu_region *r)
{
	uint64_t end = 0;

	if (r->size == 0)
		return r->n_areas == 0;
	if (r->access == 0 || (r->access & ~0xfu) != 0 || r->n_areas > VFU_MAX_AREAS)
		return false;
	if (r->n_areas > 0 && (r->mmap_fd < 0 || r->mmap_offset % PAGE != 0))
		return false;
	for (unsigned int i = 0; i < r->n_areas; i++) {
		const struct vfu_area *a = &r->areas[i];

		/* by rising offset, so that no two can overlap */
		if (a->size == 0 || a->size % PAGE != 0 || a->offset % PAGE != 0 ||
		    a->offset < end || a->offset > r->size || a->size > r->size - a->offset)
			return false;
		end = a->offset + a->size;
	}
	return true;
}

static bool desc_valid(const struct vfu_dev_desc *d)
{
	uint64_t table_size = d->n_vectors * 16ull, pba_size = (d->n_vectors + 63ull) / 64 * 8;
	uint64_t bar_size;

	for (size_t i = 0; i < ARRAY_SIZE(d->bars); i++)
		if (!region_valid(&d->bars[i]))
			return false;
	if (d->n_vectors < 1 || d->n_vectors > VFU_MAX_VECTORS ||
	    d->msix_bar >= ARRAY_SIZE(d->bars))
		return false;
	bar_size = d->bars[d->msix_bar].size;
	return d->msix_table_offset % 8 == 0 && d->msix_pba_offset % 8 == 0 &&
	       bar_size >= table_size && d->msix_table_offset <= bar_size - table_size &&
	       bar_size >= pba_size && d->msix_pba_offset <= bar_size - pba_size &&
	       d->config != NULL && d->layout != NULL && d->mem != NULL && d->ops != NULL &&
	       d->ops->reset != NULL && d->ops->region_read != NULL &&
	       d->ops->region_write != NULL && d->ops->quiesce != NULL;
}

static void accept_ready(struct vfu_dev *dev, uint32_t events);

static int watch(struct vfu_dev *dev, int fd, struct vfu_watch *w)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = w };

	return epoll_ctl(dev->loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int dev_listen(struct vfu_dev *dev, const struct vfu_access *access, struct err *err)
{
	struct stat st;
	int r;

	dev->listen_fd = vfu_listen_open(dev->path, access, err);
	if (dev->listen_fd < 0)
		return dev->listen_fd;
	if (lstat(dev->path, &st) == 0) {
		dev->sock_dev = st.st_dev;
		dev->sock_ino = st.st_ino;
	}
	r = watch(dev, dev->listen_fd, &dev->listen_watch);
	if (r < 0)
		return err_set(err, r, "cannot watch socket %s: %s", dev->path, strerror(-r));
	return 0;
}

/* Removes the socket's file unless somebody has put another one there meanwhile. */
static void dev_unlisten(struct vfu_dev *dev)
{
	struct stat st;

	if (dev->listen_fd < 0 || dev->path == NULL)
		return;
	if (lstat(dev->path, &st) == 0 && st.st_dev == dev->sock_dev && st.st_ino == dev->sock_ino)
		unlink(dev->path);
	close(dev->listen_fd);
	dev->listen_fd = -1;
}

static void dev_release(struct vfu_dev *dev)
{
	dev_unlisten(dev);
	free(dev->path);
	free(dev);
}

int vfu_dev_new(struct vfu_dev **devp, struct vfu_loop *loop, const char *path,
		const struct vfu_access *access, const struct vfu_dev_desc *desc, void *priv,
		struct err *err)
{
	struct vfu_dev *dev;
	int r;

	*devp = NULL;
	if (!desc_valid(desc))
		return err_set(err, -EINVAL, "the device for socket %s is not described rightly",
			       path);
	dev = calloc(1, sizeof(*dev));
	if (dev == NULL)
		return err_set(err, -ENOMEM, "no memory for the device of socket %s", path);
	dev->loop = loop;
	dev->desc = *desc;
	dev->priv = priv;
	dev->listen_fd = -1;
	dev->offers_maps = !desc->no_maps;
	dev->listen_watch = (struct vfu_watch){ accept_ready, dev };
	dev->conn_watch = (struct vfu_watch){ vfu_conn_ready, dev };
	vfu_conn_init(&dev->conn);
	vfu_irq_init(dev);
	vfu_msix_reset(dev);
	dev->path = strdup(path);
	if (dev->path == NULL) {
		r = err_set(err, -ENOMEM, "no memory for the device of socket %s", path);
		goto release;
	}
	vfu_lock(loop);
	r = dev_listen(dev, access, err);
	if (r == 0)
		LIST_INSERT_HEAD(&loop->devs, dev, entry);
	vfu_unlock(loop);
	if (r < 0)
		goto release;
	*devp = dev;
	return 0;
release:
	dev_release(dev);
	return r;
}

void vfu_dev_free_locked(struct vfu_dev *dev)
{
	dev->loop->n_removed++;
	vfu_dev_detach(dev, "the device is removed");
	dev->desc.ops->quiesce(dev->priv);
	LIST_REMOVE(dev, entry);
	dev_release(dev);
}

void vfu_dev_free(struct vfu_dev *dev)
{
	struct vfu_loop *loop;

	if (dev == NULL)
		return;
	loop = dev->loop;
	vfu_lock(loop);
	vfu_dev_free_locked(dev);
	vfu_unlock(loop);
}

static void attach(struct vfu_dev *dev, int fd)
{
	struct ucred cred = { .pid = 0 };
	socklen_t size = sizeof(cred);
	int r = watch(dev, fd, &dev->conn_watch);

	if (r < 0) {
		if (log_limit_pass(&dev->log_limit, "vfu"))
			log_err("vfu", "%s: cannot watch a client: %s", dev->path, strerror(-r));
		close(fd);
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		cred.pid = 0;
	dev->conn.fd = fd;
	dev->conn.hello_ns = dev->loop->now_ns() + VFU_HELLO_TIMEOUT_MS * 1000000ull;
	vfu_loop_arm(dev->loop, dev->conn.hello_ns);
	atomic_store(&dev->peer, cred.pid);
}

static void listen_for(struct vfu_dev *dev, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = &dev->listen_watch };

	epoll_ctl(dev->loop->epoll_fd, EPOLL_CTL_MOD, dev->listen_fd, &ev);
}

/* Out of descriptors, most likely. The connection stays in the queue and would be reported without
 * end, so look away for a while. */
static void accept_failed(struct vfu_dev *dev, int err)
{
	if (log_limit_pass(&dev->log_limit, "vfu"))
		log_err("vfu", "%s: cannot accept a client: %s; trying again in a second",
			dev->path, strerror(-err));
	listen_for(dev, 0);
	dev->listen_again_ns = dev->loop->now_ns() + ACCEPT_PAUSE_NS;
	vfu_loop_arm(dev->loop, dev->listen_again_ns);
}

/* A client may have been killed with messages unread, and its successor must not be refused for
 * the time it takes to come to their end. */
static bool hung_up(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

static void accept_ready(struct vfu_dev *dev, uint32_t events)
{
	int fd = vfu_listen_accept(dev->listen_fd);

	if (fd == -EAGAIN || fd == -EINTR || fd == -ECONNABORTED)
		return;
	if (fd < 0) {
		accept_failed(dev, fd);
		return;
	}
	if (dev->conn.fd >= 0 && hung_up(dev->conn.fd))
		vfu_dev_detach(dev, "the client is gone");
	if (dev->conn.fd < 0) {
		attach(dev, fd);
		return;
	}
	close(fd);
	vfu_count(dev, n_refused_peers);
	if (log_limit_pass(&dev->log_limit, "vfu"))
		log_warn("vfu", "%s: a second client was refused: process %d is attached",
			 dev->path, (int)atomic_load(&dev->peer));
}

void vfu_dev_agreed(struct vfu_dev *dev)
{
	dev->conn.agreed = true;
	dev->conn.maps = dev->offers_maps;
	dev->conn.hello_ns = 0;
	atomic_store(&dev->attached, true);
	vfu_irq_forget_kept(dev); /* raised while nobody was there */
	vfu_count(dev, n_sessions);
	if (log_limit_pass(&dev->log_limit, "vfu"))
		log_info("vfu", "%s: process %d attached", dev->path, (int)atomic_load(&dev->peer));
	if (dev->desc.ops->attached != NULL)
		dev->desc.ops->attached(dev->priv, true);
}

/* An FLR has reset the configuration space already, by its own rules. */
void vfu_dev_reset(struct vfu_dev *dev, enum vfu_reset why)
{
	if (why != VFU_RESET_FLR)
		pci_config_init(dev->desc.config, dev->desc.layout);
	if (why != VFU_RESET_DETACH)
		vfu_count(dev, n_resets);
	vfu_msix_reset(dev);
	dev->desc.ops->reset(dev->priv, why);
	vfu_irq_forget_kept(dev);
}

/* The order: first the device stops, then what it used goes. */
void vfu_dev_detach(struct vfu_dev *dev, const char *why)
{
	bool agreed = dev->conn.agreed;

	if (dev->conn.fd < 0)
		return;
	if (log_limit_pass(&dev->log_limit, "vfu"))
		log_info("vfu", "%s: process %d detached: %s", dev->path,
			 (int)atomic_load(&dev->peer), why);
	vfu_conn_release(&dev->conn); /* closing takes it out of the epoll set */
	atomic_store(&dev->peer, 0);
	atomic_store(&dev->attached, false);
	vfu_dma_abort(dev);
	if (!agreed)
		return; /* it could not reach the device */
	if (dev->desc.ops->attached != NULL)
		dev->desc.ops->attached(dev->priv, false);
	vfu_dev_reset(dev, VFU_RESET_DETACH);
	vfu_irq_release(dev);
	mem_unmap_all(dev->desc.mem);
}

void vfu_dev_timers(struct vfu_dev *dev, uint64_t now_ns)
{
	struct vfu_conn *conn = &dev->conn;

	if (dev->listen_again_ns != 0 && now_ns >= dev->listen_again_ns) {
		dev->listen_again_ns = 0;
		listen_for(dev, EPOLLIN);
	}
	if (dev->listen_again_ns != 0)
		vfu_loop_arm(dev->loop, dev->listen_again_ns);
	if (conn->hello_ns != 0 && now_ns >= conn->hello_ns) {
		vfu_count(dev, n_broken);
		vfu_dev_detach(dev, "no version message in time");
	}
	if (conn->hello_ns != 0)
		vfu_loop_arm(dev->loop, conn->hello_ns);
	vfu_dma_timers(dev, now_ns);
}

bool vfu_dev_attached(const struct vfu_dev *dev)
{
	return atomic_load(&dev->attached);
}

pid_t vfu_dev_peer(const struct vfu_dev *dev)
{
	return atomic_load(&dev->peer);
}

void vfu_dev_offer_maps(struct vfu_dev *dev, bool offer)
{
	dev->offers_maps = offer;
}

void vfu_dev_kick(struct vfu_dev *dev)
{
	if (!atomic_exchange(&dev->kicked, true))
		vfu_loop_wake(dev->loop);
}

void vfu_dev_stats(const struct vfu_dev *dev, struct vfu_stats *stats)
{
	const uint64_t *from = (const uint64_t *)&dev->stats;
	uint64_t *to = (uint64_t *)stats;

	for (size_t i = 0; i < sizeof(*stats) / sizeof(*to); i++)
		to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
}
