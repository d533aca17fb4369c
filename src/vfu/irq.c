/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts. The client gives an eventfd for each MSI-X vector, replaces it, takes it away, masks
 * it, while workers raise interrupts without a lock. Three races, and what closes them:
 *
 * 1. A worker has read an eventfd's number and the server closes it: the number could be another
 *    file's a moment later. The server takes the number away first, waits in quiesce() until every
 *    worker has passed a boundary, and only then closes.
 * 2. A worker finds no eventfd while the server installs one: the interrupt would be lost. The worker
 *    sets `kept` and then looks at `live` again; the server sets `live` and then looks at `kept`.
 *    Both in sequentially consistent order, so at least one of them sees the other's write, and
 *    exchanging `kept` lets exactly one deliver.
 * 3. The client's eventfd can be full, which blocks a writer: each one is made non-blocking, and
 *    nothing but an eventfd is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "vfu/internal.h"

/* <linux/vfio.h> gives each data type and each action a bit; exactly one of each is to be set. */
#define DATA_MASK   (VFU_IRQ_DATA_NONE | VFU_IRQ_DATA_BOOL | VFU_IRQ_DATA_EVENTFD)
#define ACTION_MASK (VFU_IRQ_ACTION_MASK | VFU_IRQ_ACTION_UNMASK | VFU_IRQ_ACTION_TRIGGER)

/* EAGAIN: the counter is at its maximum, so the client has been told often enough. */
static void signal_fd(struct vfu_dev *dev, int fd)
{
	uint64_t one = 1;

	if (write(fd, &one, sizeof(one)) == sizeof(one))
		vfu_count(dev, n_irqs);
}

/* Delivers a kept interrupt if there is an eventfd; see race 2. */
static void deliver_kept(struct vfu_dev *dev, struct vfu_vector *v)
{
	int fd = atomic_load(&v->live);

	if (fd >= 0 && atomic_exchange(&v->kept, false))
		signal_fd(dev, fd);
}

void vfu_irq_trigger(struct vfu_dev *dev, unsigned int vector)
{
	struct vfu_vector *v;
	int fd;

	if (vector >= dev->desc.n_vectors)
		return;
	v = &dev->vectors[vector];
	fd = atomic_load_explicit(&v->live, memory_order_acquire);
	if (fd >= 0) {
		signal_fd(dev, fd);
		return;
	}
	vfu_count(dev, n_irqs_latched);
	atomic_store(&v->kept, true);
	deliver_kept(dev, v);
}

void vfu_irq_init(struct vfu_dev *dev)
{
	for (unsigned int i = 0; i < VFU_MAX_VECTORS; i++) {
		struct vfu_vector *v = &dev->vectors[i];

		atomic_init(&v->live, -1);
		atomic_init(&v->kept, false);
		v->fd = -1;
		v->masked = false;
	}
	dev->err_fd = -1;
}

void vfu_irq_forget_kept(struct vfu_dev *dev)
{
	for (unsigned int i = 0; i < dev->desc.n_vectors; i++)
		atomic_store(&dev->vectors[i].kept, false);
}

static void make_live(struct vfu_dev *dev, struct vfu_vector *v)
{
	atomic_store(&v->live, v->masked ? -1 : v->fd);
	deliver_kept(dev, v);
}

/* Gives vectors [start, start + count) the eventfds in `fds`, or none if it is NULL, and closes the
 * old ones. Takes the descriptors. */
static void install(struct vfu_dev *dev, uint32_t start, uint32_t count, int *fds)
{
	int old[VFU_MAX_VECTORS];
	unsigned int n_old = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct vfu_vector *v = &dev->vectors[start + i];

		if (v->fd >= 0)
			old[n_old++] = v->fd;
		v->fd = fds != NULL ? fds[i] : -1;
		if (fds != NULL)
			fds[i] = -1;
		make_live(dev, v);
	}
	if (n_old == 0)
		return;
	dev->desc.ops->quiesce(dev->priv);
	while (n_old > 0)
		close(old[--n_old]);
}

static void install_err(struct vfu_dev *dev, int *fd)
{
	if (dev->err_fd >= 0)
		close(dev->err_fd);
	dev->err_fd = fd != NULL ? *fd : -1;
	if (fd != NULL)
		*fd = -1;
}

void vfu_irq_release(struct vfu_dev *dev)
{
	for (unsigned int i = 0; i < dev->desc.n_vectors; i++)
		dev->vectors[i].masked = false;
	install(dev, 0, dev->desc.n_vectors, NULL);
	install_err(dev, NULL);
}

/* ---- messages ---- */

static uint32_t irq_count(const struct vfu_dev *dev, uint32_t index)
{
	switch (index) {
	case VFU_IRQ_MSIX:
		return dev->desc.n_vectors;
	case VFU_IRQ_ERR: /* never raised; QEMU 11.1 warns if it is not there */
		return 1;
	default:
		return 0;
	}
}

/* "VFIO_USER_DEVICE_GET_IRQ_INFO". NORESIZE stays clear: QEMU 11.1 would otherwise disable all
 * vectors for each new one. */
int vfu_do_irq_info(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_irq_info *in = (const void *)msg->body;
	struct vfu_irq_info *out;

	if (in->argsz < sizeof(*out) || in->index >= VFU_N_IRQS)
		return -EINVAL;
	out = vfu_reply(dev, msg, sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	out->argsz = sizeof(*out);
	out->index = in->index;
	out->count = irq_count(dev, in->index);
	if (out->count > 0)
		out->flags = VFU_IRQ_INFO_EVENTFD;
	if (in->index == VFU_IRQ_MSIX)
		out->flags |= VFU_IRQ_INFO_MASKABLE;
	return 0;
}

/* Is it really an eventfd? /proc tells; a sandbox without /proc has to believe. */
static bool is_eventfd(int fd)
{
	static const char want[] = "anon_inode:[eventfd]";
	char path[32], name[sizeof(want)];
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name));
	if (n < 0)
		return errno == ENOENT || errno == EACCES;
	return n == sizeof(want) - 1 && memcmp(name, want, sizeof(want) - 1) == 0;
}

static int check_eventfds(const struct vfu_msg *msg)
{
	for (unsigned int i = 0; i < msg->n_fds; i++) {
		int flags = fcntl(msg->fds[i], F_GETFL);

		if (flags < 0 || !is_eventfd(msg->fds[i]))
			return -EINVAL;
		if (fcntl(msg->fds[i], F_SETFL, flags | O_NONBLOCK) < 0)
			return -errno;
	}
	return 0;
}

static int set_eventfds(struct vfu_dev *dev, const struct vfu_irq_set *set, struct vfu_msg *msg)
{
	int *fds = NULL;
	int r;

	if ((set->flags & ACTION_MASK) != VFU_IRQ_ACTION_TRIGGER)
		return -ENOTSUP;
	if (msg->n_fds > 0 && msg->n_fds != set->count)
		return -EINVAL;
	r = check_eventfds(msg);
	if (r < 0)
		return r;
	if (msg->n_fds > 0)
		fds = msg->fds;
	if (set->index == VFU_IRQ_MSIX)
		install(dev, set->start, set->count, fds);
	else
		install_err(dev, fds);
	return 0;
}

static void act(struct vfu_dev *dev, uint32_t vector, uint32_t action)
{
	struct vfu_vector *v = &dev->vectors[vector];

	if (action == VFU_IRQ_ACTION_TRIGGER) {
		vfu_irq_trigger(dev, vector);
		return;
	}
	v->masked = action == VFU_IRQ_ACTION_MASK;
	make_live(dev, v);
}

/* DATA_NONE: all of the range; DATA_BOOL: those whose byte is not 0. */
static int set_range(struct vfu_dev *dev, const struct vfu_irq_set *set)
{
	uint32_t action = set->flags & ACTION_MASK;
	bool all = (set->flags & VFU_IRQ_DATA_NONE) != 0;

	if (set->index == VFU_IRQ_ERR && action != VFU_IRQ_ACTION_TRIGGER)
		return -ENOTSUP;
	for (uint32_t i = 0; i < set->count; i++) {
		if (!all && set->data[i] == 0)
			continue;
		if (set->index == VFU_IRQ_MSIX)
			act(dev, set->start + i, action);
		else if (dev->err_fd >= 0)
			signal_fd(dev, dev->err_fd);
	}
	return 0;
}

static bool one_bit(uint32_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* "VFIO_USER_DEVICE_SET_IRQS" */
int vfu_do_set_irqs(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_irq_set *set = (const void *)msg->body;
	uint32_t n;

	if (set->argsz < sizeof(*set) || (set->flags & ~(DATA_MASK | ACTION_MASK)) != 0 ||
	    !one_bit(set->flags & DATA_MASK) || !one_bit(set->flags & ACTION_MASK) ||
	    set->index >= VFU_N_IRQS)
		return -EINVAL;
	if (msg->n_fds > 0 && (set->flags & VFU_IRQ_DATA_EVENTFD) == 0)
		return -EINVAL;
	n = irq_count(dev, set->index);
	if (set->count == 0) { /* the special case: disables all of the index */
		if (set->flags != (VFU_IRQ_DATA_NONE | VFU_IRQ_ACTION_TRIGGER) || set->start != 0)
			return -EINVAL;
		if (set->index == VFU_IRQ_MSIX)
			install(dev, 0, n, NULL);
		else if (set->index == VFU_IRQ_ERR)
			install_err(dev, NULL);
		return 0;
	}
	if (set->start >= n || set->count > n - set->start)
		return -EINVAL;
	if ((set->flags & VFU_IRQ_DATA_BOOL) != 0 && msg->size - sizeof(*set) < set->count)
		return -EINVAL;
	if ((set->flags & VFU_IRQ_DATA_EVENTFD) != 0)
		return set_eventfds(dev, set, msg);
	return set_range(dev, set);
}
