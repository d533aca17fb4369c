/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a VF: creation, accesses, resets, policy; and the two models.
 *
 * endpoint.running is 1 while all of this holds: the driver has sent RESET by mailbox, the function is
 * bus master, receive queue 0 is enabled and its ring was accepted, and the link is up. It is found out
 * by whoever looks at the ring first, a worker's push or a trapped access; stock drivers make trapped
 * accesses (interrupt masks, link) after they enable their queues, so it never waits for a frame.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dev/ixgbevf/ixgbevf.h"
#include "dev/ixgbevf/relay.h"

#define LPE_RESET 1518 /* DS 8.2.3.22.13, MAXFRS */

static void set_state(struct ixgbevf *dev, enum vf_state state)
{
	if (dev->vf.state == state)
		return;
	dev->vf.state = state;
	dev->vf.upcalls->state_changed(dev->vf.arg, state);
}

void ixgbevf_set_active(struct ixgbevf *dev, bool active)
{
	__atomic_store_n(&dev->st->active, active, __ATOMIC_RELEASE);
	if (active)
		set_state(dev, VF_ACTIVE);
	else if (dev->vf.state == VF_ACTIVE)
		set_state(dev, VF_ATTACHED);
}

void ixgbevf_update_vlans(struct ixgbevf *dev)
{
	struct ixgbevf_state *st = dev->st;

	for (unsigned int i = 0; i < ARRAY_SIZE(st->vlan_on); i++) {
		uint64_t granted = dev->vf.policy.trunk ? dev->vf.policy.vlans[i] : 0;

		__atomic_store_n(&st->vlan_on[i], st->vlan_asked[i] & granted, __ATOMIC_RELAXED);
	}
}

void ixgbevf_clear_filters(struct ixgbevf *dev)
{
	struct ixgbevf_state *st = dev->st;
	bool had_macs = st->n_macs > 0;

	__atomic_store_n(&st->n_macs, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&st->xcast, XCAST_NONE, __ATOMIC_RELAXED);
	__atomic_store_n(&st->lpe, LPE_RESET, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < ARRAY_SIZE(st->mta); i++)
		__atomic_store_n(&st->mta[i], 0, __ATOMIC_RELAXED);
	memset(st->vlan_asked, 0, sizeof(st->vlan_asked));
	ixgbevf_update_vlans(dev);
	if (had_macs)
		dev->vf.upcalls->macs_changed(dev->vf.arg);
}

static void reset_all(struct ixgbevf *dev, bool power_on)
{
	dev->vf.counters.resets++;
	/* First of all nothing is sent or received any more, then the queues go. */
	__atomic_store_n(&dev->st->active, 0, __ATOMIC_RELEASE);
	ring_stop_all(dev);
	intr_reset(dev);
	regs_reset(dev);
	ixgbevf_clear_filters(dev);
	mbox_reset(dev, power_on);
	ixgbevf_set_active(dev, false);
}

/* DS 4.2.2.4 (VF software reset), 4.2.2.3 (VFLR): both bring the function's registers back and stop its
 * queues; the PF forgets the VF's filters (ixgbe_vf_reset_event). */
void ixgbevf_reset_function(struct ixgbevf *dev)
{
	reset_all(dev, false);
}

static void op_reset(struct vf *vf)
{
	struct ixgbevf *dev = ixgbevf_of(vf);
	bool moved = dev->st->mac != vf->policy.mac;

	reset_all(dev, true);
	dev->relay_told = false;
	__atomic_store_n(&dev->st->mac, vf->policy.mac, __ATOMIC_RELAXED);
	if (moved)
		vf->upcalls->macs_changed(vf->arg);
}

/* DS 8.1: registers are accessed 32 bits at a time, aligned. Two in one are taken apart; what is
 * narrower reads as a part of the whole, and is not written. */
static void op_bar_read(struct vf *vf, unsigned int bar, uint64_t offset, void *buf, size_t size)
{
	struct ixgbevf *dev = ixgbevf_of(vf);
	uint8_t *out = buf;

	vf->counters.traps++;
	memset(buf, 0, size);
	/* The MSI-X BAR is kept by the vfio-user server and its client. */
	if (bar != 0)
		return;
	ring_trap(dev);
	if (offset % 4 + size <= 4) {
		uint32_t word = htole32(regs_read(dev, (uint32_t)offset & ~3u));

		memcpy(out, (uint8_t *)&word + offset % 4, size);
	} else if (offset % 4 == 0) {
		for (size_t i = 0; i < size; i += 4) {
			uint32_t word = htole32(regs_read(dev, (uint32_t)(offset + i)));

			memcpy(out + i, &word, sizeof(word));
		}
	}
}

static void op_bar_write(struct vf *vf, unsigned int bar, uint64_t offset, const void *buf,
			 size_t size)
{
	struct ixgbevf *dev = ixgbevf_of(vf);
	const uint8_t *in = buf;

	vf->counters.traps++;
	if (bar != 0)
		return;
	if (offset % 4 == 0 && size >= 4) {
		for (size_t i = 0; i < size; i += 4) {
			uint32_t word;

			memcpy(&word, in + i, sizeof(word));
			regs_write(dev, (uint32_t)(offset + i), le32toh(word));
		}
	}
	ring_trap(dev);
}

static unsigned int op_macs(const struct vf *vf, uint64_t *macs, unsigned int max)
{
	const struct ixgbevf_state *st = container_of(vf, struct ixgbevf, vf)->st;
	unsigned int n = 0;

	if (max > 0)
		macs[n++] = st->mac;
	for (uint32_t i = 0; i < st->n_macs && n < max; i++)
		macs[n++] = st->macs[i];
	return n;
}

/* A VF that is no longer trusted gives back what it got by trust. True: it had something. */
static bool withdraw_trust(struct ixgbevf *dev)
{
	struct ixgbevf_state *st = dev->st;
	bool had = st->n_macs > 0 || st->xcast > XCAST_MULTI || st->mac != dev->vf.policy.mac;

	__atomic_store_n(&st->n_macs, 0, __ATOMIC_RELEASE);
	if (st->xcast > XCAST_MULTI)
		__atomic_store_n(&st->xcast, XCAST_MULTI, __ATOMIC_RELAXED);
	__atomic_store_n(&st->mac, dev->vf.policy.mac, __ATOMIC_RELAXED);
	return had;
}

static void op_set_policy(struct vf *vf, const struct vf_policy *policy)
{
	struct ixgbevf *dev = ixgbevf_of(vf);
	struct vf_policy old = vf->policy;
	bool restart = false;

	vf->policy = *policy;
	if (policy->mac != old.mac) {
		__atomic_store_n(&dev->st->mac, policy->mac, __ATOMIC_RELAXED);
		restart = true;
	}
	if (!policy->trusted && old.trusted)
		restart |= withdraw_trust(dev);
	if (restart)
		vf->upcalls->macs_changed(vf->arg);
	__atomic_store_n(&dev->size_max, policy->max_frame + FCS_SIZE, __ATOMIC_RELAXED);
	/* VLANs that were granted before and asked for come and go without the driver's help. */
	ixgbevf_update_vlans(dev);
	__atomic_store_n(&dev->link_up, policy->link_up, __ATOMIC_RELEASE);
	spin_lock(&dev->rxq[0].lock);
	ring_update_running(dev);
	spin_unlock(&dev->rxq[0].lock);
	if (restart || policy->link_up != old.link_up || policy->speed_mbit != old.speed_mbit)
		mbox_notify(dev, restart);
}

static void op_kicked(struct vf *vf)
{
	ring_trap(ixgbevf_of(vf));
}

static const char *op_api(const struct vf *vf)
{
	return mbox_api_name(container_of(vf, struct ixgbevf, vf));
}

static void op_destroy(struct vf *vf)
{
	struct ixgbevf *dev = ixgbevf_of(vf);

	relay_destroy(dev);
	munmap(dev->pages, 2 * IXGBEVF_PAGE);
	close(vf->memfd);
	munmap(dev->st, sizeof(*dev->st));
	close(dev->state_fd);
	free(dev);
}

static const struct vf_ops ops = {
	.bar_read = op_bar_read,
	.bar_write = op_bar_write,
	.kicked = op_kicked,
	.reset = op_reset,
	.set_policy = op_set_policy,
	.macs = op_macs,
	.api = op_api,
	.destroy = op_destroy,
};

/* Sealed: the guest's VMM gets the queue pages' descriptor, and must not be able to take pages away. */
static int memfd_new(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return -1;
	if (ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void init_queues(struct ixgbevf *dev)
{
	struct endpoint *ep = &dev->vf.endpoint;

	ep->ops = &ixgbevf_endpoint_ops;
	ep->n_txq = dev->st->n_queues;
	for (unsigned int q = 0; q < ep->n_txq; q++) {
		struct ixgbevf_txq *txq = &dev->txq[q];

		txq->dev = dev;
		txq->txq = (struct txq){ &ixgbevf_txq_ops, ep, q };
		ep->txq[q] = &txq->txq;
	}
}

static struct vf *create(const struct vf_model *model)
{
	size_t size = (sizeof(struct ixgbevf) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	struct ixgbevf *dev = aligned_alloc(CACHE_LINE, size);

	if (dev == NULL)
		return NULL;
	memset(dev, 0, size);
	dev->vf.ops = &ops;
	dev->vf.model = model;
	dev->vf.state = VF_DETACHED;
	dev->has_rlpml = model->device == 0x1515;
	dev->state_fd = memfd_new("softiov-vf-state", sizeof(*dev->st));
	if (dev->state_fd < 0)
		goto free_dev;
	dev->st =
		mmap(NULL, sizeof(*dev->st), PROT_READ | PROT_WRITE, MAP_SHARED, dev->state_fd, 0);
	if (dev->st == MAP_FAILED)
		goto close_state;
	dev->vf.memfd = memfd_new("softiov-vf", IXGBEVF_SHARED_SIZE);
	if (dev->vf.memfd < 0)
		goto unmap_state;
	dev->pages = mmap(NULL, 2 * IXGBEVF_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->vf.memfd,
			  IXGBEVF_PAGE_RX);
	if (dev->pages == MAP_FAILED)
		goto close_memfd;
	dev->lines = dev->pages;
	dev->st->magic = IXGBEVF_STATE_MAGIC;
	dev->st->device = model->device;
	dev->st->n_queues = (uint16_t)model->n_queues;
	dev->st->lpe = LPE_RESET;
	regs_reset(dev);
	mbox_reset(dev, true);
	init_queues(dev);
	return &dev->vf;

close_memfd:
	close(dev->vf.memfd);
unmap_state:
	munmap(dev->st, sizeof(*dev->st));
close_state:
	close(dev->state_fd);
free_dev:
	free(dev);
	return NULL;
}

/* DS 9.4: BAR 0 has the registers, BAR 3 MSI-X with the table at 0 and pending bits at 0x2000. A VF's
 * subsystem IDs are its PF's: X520-2 and X540-T2 here. */
#define IXGBEVF_MODEL(name_, device_, subsystem_)                                     \
	{                                                                             \
		.name = (name_), .vendor = 0x8086, .device = (device_),               \
		.subsystem_vendor = 0x8086, .subsystem = (subsystem_), .revision = 1, \
		.class_code = 0x020000, .n_vectors = IXGBEVF_VECTORS, .msix_bar = 3,  \
		.msix_table_offset = 0, .msix_pba_offset = 0x2000, .n_bars = 2,       \
		.bar = { { .idx = 0,                                                  \
			   .size = IXGBEVF_BAR_SIZE,                                  \
			   .mmap_offset = IXGBEVF_PAGE_RX,                            \
			   .mmap_size = 2 * IXGBEVF_PAGE,                             \
			   .memfd_offset = IXGBEVF_PAGE_RX },                         \
			 { .idx = 3, .size = IXGBEVF_BAR_SIZE } },                    \
		.speed_max_mbit = 10000, .n_queues = 1, .create = create,             \
	}

const struct vf_model ixgbevf_model_82599 = IXGBEVF_MODEL("82599", 0x10ed, 0x000c);
const struct vf_model ixgbevf_model_x540 = IXGBEVF_MODEL("x540", 0x1515, 0x0001);
