/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a VF: creation, accesses, resets, policy.
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

#include "dev/intelvf/relay.h"

static void set_state(struct intelvf *dev, enum vf_state state)
{
	if (dev->vf.state == state)
		return;
	dev->vf.state = state;
	dev->vf.upcalls->state_changed(dev->vf.arg, state);
}

void intelvf_set_active(struct intelvf *dev, bool active)
{
	__atomic_store_n(&dev->st->active, active, __ATOMIC_RELEASE);
	if (active)
		set_state(dev, VF_ACTIVE);
	else if (dev->vf.state == VF_ACTIVE)
		set_state(dev, VF_ATTACHED);
}

void intelvf_update_vlans(struct intelvf *dev)
{
	struct intelvf_state *st = dev->st;

	for (unsigned int i = 0; i < ARRAY_SIZE(st->vlan_on); i++) {
		uint64_t granted = dev->vf.policy.trunk ? dev->vf.policy.vlans[i] : 0;

		__atomic_store_n(&st->vlan_on[i], st->vlan_asked[i] & granted, __ATOMIC_RELAXED);
	}
}

void intelvf_clear_filters(struct intelvf *dev)
{
	struct intelvf_state *st = dev->st;
	bool had_macs = st->n_macs > 0;

	__atomic_store_n(&st->n_macs, 0, __ATOMIC_RELEASE);
	__atomic_store_n(&st->xcast, XCAST_NONE, __ATOMIC_RELAXED);
	__atomic_store_n(&st->lpe, LPE_RESET, __ATOMIC_RELAXED);
	for (unsigned int i = 0; i < ARRAY_SIZE(st->mta); i++)
		__atomic_store_n(&st->mta[i], 0, __ATOMIC_RELAXED);
	memset(st->vlan_asked, 0, sizeof(st->vlan_asked));
	intelvf_update_vlans(dev);
	if (had_macs)
		dev->vf.upcalls->macs_changed(dev->vf.arg);
}

static void reset_all(struct intelvf *dev, bool power_on)
{
	dev->vf.counters.resets++;
	/* First of all nothing is sent or received any more, then the queues go. */
	__atomic_store_n(&dev->st->active, 0, __ATOMIC_RELEASE);
	ring_stop_all(dev);
	intr_reset(dev);
	regs_reset(dev);
	if (dev->family->reset != NULL)
		dev->family->reset(dev);
	intelvf_clear_filters(dev);
	mbox_reset(dev, power_on);
	intelvf_set_active(dev, false);
}

/* DS 4.2.2.4 (VF software reset), 4.2.2.3 (VFLR): both bring the function's registers back and stop its
 * queues; the PF forgets the VF's filters (ixgbe_vf_reset_event). */
void intelvf_reset_function(struct intelvf *dev)
{
	reset_all(dev, false);
}

static void op_reset(struct vf *vf)
{
	struct intelvf *dev = intelvf_of(vf);
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
	struct intelvf *dev = intelvf_of(vf);
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
	struct intelvf *dev = intelvf_of(vf);
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
	const struct intelvf_state *st = container_of(vf, struct intelvf, vf)->st;
	unsigned int n = 0;

	if (max > 0)
		macs[n++] = st->mac;
	for (uint32_t i = 0; i < st->n_macs && n < max; i++)
		macs[n++] = st->macs[i];
	return n;
}

/* A VF that is no longer trusted gives back what it got by trust. True: it had something. */
static bool withdraw_trust(struct intelvf *dev)
{
	struct intelvf_state *st = dev->st;
	bool had = st->n_macs > 0 || st->xcast > XCAST_MULTI || st->mac != dev->vf.policy.mac;

	__atomic_store_n(&st->n_macs, 0, __ATOMIC_RELEASE);
	if (st->xcast > XCAST_MULTI)
		__atomic_store_n(&st->xcast, XCAST_MULTI, __ATOMIC_RELAXED);
	__atomic_store_n(&st->mac, dev->vf.policy.mac, __ATOMIC_RELAXED);
	return had;
}

static void op_set_policy(struct vf *vf, const struct vf_policy *policy)
{
	struct intelvf *dev = intelvf_of(vf);
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
	if (policy->verify_checksums != old.verify_checksums)
		spread_update(dev);
	/* VLANs that were granted before and asked for come and go without the driver's help. */
	intelvf_update_vlans(dev);
	__atomic_store_n(&dev->link_up, policy->link_up, __ATOMIC_RELEASE);
	spin_lock(&dev->rxq[0].lock);
	ring_update_running(dev);
	spin_unlock(&dev->rxq[0].lock);
	if (restart || policy->link_up != old.link_up || policy->speed_mbit != old.speed_mbit)
		mbox_notify(dev, restart);
}

static void op_kicked(struct vf *vf)
{
	ring_trap(intelvf_of(vf));
}

/* Linux's drivers make trapped accesses every two seconds, in which all is brought up to date; DPDK's
 * ixgbe reads the statistics and no other register. */
static void op_refresh(struct vf *vf)
{
	ring_look(intelvf_of(vf));
}

static const char *op_api(const struct vf *vf)
{
	const struct intelvf *dev = container_of(vf, struct intelvf, vf);

	return dev->family->api_name(dev);
}

static void op_destroy(struct vf *vf)
{
	struct intelvf *dev = intelvf_of(vf);

	relay_destroy(dev);
	munmap(dev->pages, 2 * INTELVF_PAGE);
	close(vf->memfd);
	munmap(dev->st, sizeof(*dev->st));
	close(dev->state_fd);
	free(dev);
}

static const struct vf_ops ops = {
	.bar_read = op_bar_read,
	.bar_write = op_bar_write,
	.kicked = op_kicked,
	.refresh = op_refresh,
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

static void init_queues(struct intelvf *dev)
{
	struct endpoint *ep = &dev->vf.endpoint;

	ep->ops = &intelvf_endpoint_ops;
	ep->n_txq = dev->st->n_queues;
	for (unsigned int q = 0; q < ep->n_txq; q++) {
		struct intelvf_txq *txq = &dev->txq[q];

		txq->dev = dev;
		txq->txq = (struct txq){ .ops = &intelvf_txq_ops, .endpoint = ep, .idx = q };
		ep->txq[q] = &txq->txq;
	}
}

static void init_family(struct intelvf *dev, const struct intelvf_family *family)
{
	dev->family = family;
	dev->line_at = family->line_at;
	dev->line_shift = family->line_shift;
	dev->srrctl_word = family->srrctl_word;
	dev->bsizepacket = family->bsizepacket;
	dev->lpe_has_tag = family->lpe_has_tag;
	dev->rxdctl_set = family->strips_always ? RXDCTL_VME : 0;
}

struct vf *intelvf_create(const struct vf_model *model, unsigned int n_queues,
			  const struct intelvf_family *family)
{
	size_t size = (sizeof(struct intelvf) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
	struct intelvf *dev = aligned_alloc(CACHE_LINE, size);

	if (dev == NULL)
		return NULL;
	memset(dev, 0, size);
	dev->vf.ops = &ops;
	dev->vf.model = model;
	dev->vf.state = VF_DETACHED;
	init_family(dev, family);
	dev->state_fd = memfd_new("softiov-vf-state", sizeof(*dev->st));
	if (dev->state_fd < 0)
		goto free_dev;
	dev->st =
		mmap(NULL, sizeof(*dev->st), PROT_READ | PROT_WRITE, MAP_SHARED, dev->state_fd, 0);
	if (dev->st == MAP_FAILED)
		goto close_state;
	dev->vf.memfd = memfd_new("softiov-vf", family->pages_at + 2 * INTELVF_PAGE);
	if (dev->vf.memfd < 0)
		goto unmap_state;
	dev->pages = mmap(NULL, 2 * INTELVF_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, dev->vf.memfd,
			  family->pages_at);
	if (dev->pages == MAP_FAILED)
		goto close_memfd;
	dev->lines = dev->pages;
	dev->st->magic = INTELVF_STATE_MAGIC;
	dev->st->device = model->device;
	dev->st->n_queues = (uint16_t)vf_model_queues(model, n_queues);
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
