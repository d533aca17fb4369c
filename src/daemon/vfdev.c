/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/vfdev.h"
#include "model/text.h"
#include "pci/pci.h"

#define REGISTER_SIZES (1 | 2 | 4 | 8)

_Static_assert(VF_MACS_MAX <= PORT_MACS_MAX, "the switch has room for a VF's addresses");

struct vfdev {
	struct vf *vf;
	struct vfu_dev *vfu;
	struct vfu_loop *loop;
	struct workers *workers;
	struct mem *mem;
	struct pci_config config;
	struct pci_layout layout;
	char path[108];
	bool trap;     /* for clients to come */
	bool trap_now; /* of the one that is attached */
	void (*changed)(void *arg);
	void *arg;
};

/* --- what the device model asks for --- */

static void on_state(void *arg, enum vf_state state)
{
	struct vfdev *dev = arg;

	dev->changed(dev->arg);
}

static void on_macs(void *arg)
{
	struct vfdev *dev = arg;

	dev->changed(dev->arg);
}

static void on_irq(void *arg, unsigned int vector)
{
	struct vfdev *dev = arg;

	vfu_irq_trigger(dev->vfu, vector);
}

static void on_quiesce(void *arg)
{
	struct vfdev *dev = arg;

	worker_quiesce(dev->workers);
}

static int on_dma_read(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
		       void *done_arg)
{
	struct vfdev *dev = arg;

	return vfu_dma_read(dev->vfu, iova, buf, size, done, done_arg);
}

static int on_dma_write(void *arg, uint64_t iova, const void *buf, size_t size, vf_dma_done *done,
			void *done_arg)
{
	struct vfdev *dev = arg;

	return vfu_dma_write(dev->vfu, iova, buf, size, done, done_arg);
}

static void on_kick(void *arg)
{
	struct vfdev *dev = arg;

	vfu_dev_kick(dev->vfu);
}

_Static_assert(VF_DMA_MAX == VFU_MAX_DMA && VF_DMA_QUEUED == VFU_MAX_DMA_QUEUED,
	       "what the model may ask for is what the server takes");

static const struct vf_upcalls vf_upcalls = {
	.state_changed = on_state,
	.macs_changed = on_macs,
	.irq = on_irq,
	.quiesce = on_quiesce,
	.dma_read = on_dma_read,
	.dma_write = on_dma_write,
	.kick = on_kick,
};

/* --- what the client of the socket asks for --- */

static void on_attached(void *arg, bool on)
{
	struct vfdev *dev = arg;

	dev->trap_now = dev->trap;
	/* Going: on_reset follows and brings the device to VF_DETACHED. */
	if (on && dev->vf->state == VF_DETACHED) {
		dev->vf->state = VF_ATTACHED;
		dev->changed(dev->arg);
	}
}

static void on_reset(void *arg, enum vfu_reset why)
{
	struct vfdev *dev = arg;

	__atomic_store_n(&dev->vf->bus_master, false, __ATOMIC_RELAXED);
	dev->vf->ops->reset(dev->vf);
	dev->vf->state = why == VFU_RESET_DETACH ? VF_DETACHED : VF_ATTACHED;
	dev->changed(dev->arg);
}

static int on_read(void *arg, unsigned int region, uint64_t offset, void *buf, size_t size)
{
	struct vfdev *dev = arg;

	dev->vf->ops->bar_read(dev->vf, region, offset, buf, size);
	return 0;
}

static int on_write(void *arg, unsigned int region, uint64_t offset, const void *buf, size_t size)
{
	struct vfdev *dev = arg;

	dev->vf->ops->bar_write(dev->vf, region, offset, buf, size);
	return 0;
}

static void on_config(void *arg, unsigned int events)
{
	struct vfdev *dev = arg;

	if ((events & PCI_EV_COMMAND) == 0)
		return;
	__atomic_store_n(&dev->vf->bus_master, pci_config_bus_master(&dev->config),
			 __ATOMIC_RELAXED);
	/* PCIe 5.0, 7.5.1.1.3: no memory request after the write that cleared it has completed. */
	if (!dev->vf->bus_master)
		worker_quiesce(dev->workers);
	/* Rings and `running` follow now and not with the next frame. */
	dev->vf->ops->kicked(dev->vf);
}

static void on_kicked(void *arg)
{
	struct vfdev *dev = arg;

	dev->vf->ops->kicked(dev->vf);
}

static const struct vfu_dev_ops vfu_ops = {
	.attached = on_attached,
	.reset = on_reset,
	.region_read = on_read,
	.region_write = on_write,
	.config_changed = on_config,
	.quiesce = on_quiesce,
	.kicked = on_kicked,
};

/* --- making one --- */

static int describe_pci(struct vfdev *dev, const struct vfdev_options *o)
{
	const struct vf_model *model = o->model;
	struct pci_desc desc = {
		.vendor_id = model->vendor,
		.device_id = model->device,
		.subsystem_vendor_id = model->subsystem_vendor,
		.subsystem_id = model->subsystem,
		.revision_id = model->revision,
		.class_code = model->class_code,
		.msix = { .n_vectors = (uint16_t)model->n_vectors,
			  .bar = model->msix_bar,
			  .table_offset = model->msix_table_offset,
			  .pba_offset = model->msix_pba_offset },
		.pcie = { .link_speed = 2, .link_width = 8 },
		.serial_number = o->serial,
		.acs = true,
		.ari = true,
	};
	int ret;

	for (unsigned int i = 0; i < model->n_bars; i++)
		desc.bars[model->bar[i].idx] =
			(struct pci_bar_desc){ .size = model->bar[i].size, .is_64bit = true };
	ret = pci_layout_init(&dev->layout, &desc);
	if (ret == 0)
		pci_config_init(&dev->config, &dev->layout);
	return ret;
}

static void describe_vfu(struct vfdev *dev, struct vfu_dev_desc *desc)
{
	const struct vf_model *model = dev->vf->model;

	*desc = (struct vfu_dev_desc){
		.ops = &vfu_ops,
		.n_vectors = model->n_vectors,
		.msix_bar = model->msix_bar,
		.msix_table_offset = model->msix_table_offset,
		.msix_pba_offset = model->msix_pba_offset,
		.config = &dev->config,
		.layout = &dev->layout,
		.mem = dev->mem,
		.no_maps = dev->trap,
	};
	for (unsigned int i = 0; i < model->n_bars; i++) {
		const struct vf_bar *bar = &model->bar[i];
		struct vfu_region *region = &desc->bars[bar->idx];

		region->size = bar->size;
		region->access = REGISTER_SIZES;
		region->mmap_fd = -1;
		if (bar->mmap_size == 0)
			continue;
		/* vfu adds the area's own offset: the fd's offset is that of the BAR's first byte. */
		region->mmap_fd = dev->vf->memfd;
		region->mmap_offset = bar->memfd_offset - bar->mmap_offset;
		region->n_areas = 1;
		region->areas[0] = (struct vfu_area){ bar->mmap_offset, bar->mmap_size };
	}
}

int vfdev_new(struct vfdev **devp, const struct vfdev_options *o, struct err *err)
{
	struct vfdev *dev = calloc(1, sizeof(*dev));
	struct vfu_dev_desc desc;
	int ret = -ENOMEM;

	if (dev == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	dev->loop = o->loop;
	dev->workers = o->workers;
	dev->changed = o->changed;
	dev->arg = o->arg;
	text_put(dev->path, sizeof(dev->path), "%s", o->path);
	dev->mem = mem_new(on_quiesce, dev);
	dev->vf = o->model->create(o->model, o->n_queues);
	if (dev->mem == NULL || dev->vf == NULL)
		goto no_memory;
	dev->vf->upcalls = &vf_upcalls;
	dev->vf->arg = dev;
	dev->vf->mem = dev->mem;
	dev->vf->endpoint.stats = endpoint_stats_new();
	if (dev->vf->endpoint.stats == NULL)
		goto no_memory;
	dev->vf->ops->set_policy(dev->vf, &o->policy);
	ret = describe_pci(dev, o);
	if (ret < 0) {
		err_set(err, ret, "the model %s contradicts itself", o->model->name);
		goto fail;
	}
	vfu_lock(o->loop);
	dev->vf->controller = o->controller;
	LIST_INSERT_HEAD(&o->controller->vfs, dev->vf, entry);
	vfu_unlock(o->loop);
	dev->trap = dev->trap_now = o->trap;
	describe_vfu(dev, &desc);
	ret = vfu_dev_new(&dev->vfu, o->loop, o->path, &o->access, &desc, dev, err);
	if (ret < 0)
		goto fail;
	*devp = dev;
	return 0;
no_memory:
	err_set(err, -ENOMEM, "out of memory");
fail:
	vfdev_free(dev);
	return ret;
}

void vfdev_free(struct vfdev *dev)
{
	if (dev == NULL)
		return;
	vfu_dev_free(dev->vfu);
	if (dev->vf != NULL) {
		if (dev->vf->controller != NULL) {
			vfu_lock(dev->loop);
			LIST_REMOVE(dev->vf, entry);
			vfu_unlock(dev->loop);
		}
		free(dev->vf->endpoint.stats);
		dev->vf->ops->destroy(dev->vf);
	}
	mem_free(dev->mem);
	free(dev);
}

struct endpoint *vfdev_endpoint(struct vfdev *dev)
{
	return &dev->vf->endpoint;
}

const char *vfdev_path(const struct vfdev *dev)
{
	return dev->path;
}

void vfdev_set_policy(struct vfdev *dev, const struct vf_policy *policy)
{
	vfu_lock(dev->loop);
	dev->vf->ops->set_policy(dev->vf, policy);
	vfu_unlock(dev->loop);
}

bool vfdev_set_trap(struct vfdev *dev, bool trap)
{
	bool follows;

	vfu_lock(dev->loop);
	dev->trap = trap;
	if (!vfu_dev_attached(dev->vfu))
		dev->trap_now = trap;
	vfu_dev_offer_maps(dev->vfu, !trap);
	follows = dev->trap_now == trap;
	vfu_unlock(dev->loop);
	return follows;
}

void vfdev_refresh(struct vfdev *dev)
{
	vfu_lock(dev->loop);
	dev->vf->ops->refresh(dev->vf);
	vfu_unlock(dev->loop);
}

void vfdev_info(struct vfdev *dev, struct vfdev_info *info)
{
	const struct vf *vf = dev->vf;

	memset(info, 0, sizeof(*info));
	vfu_lock(dev->loop);
	info->model = vf->model;
	/* A driver that has left takes bus mastering away, and says nothing else. */
	info->state = vf->state == VF_ACTIVE && !vf->bus_master ? VF_ATTACHED : vf->state;
	info->counters = vf->counters;
	info->link_up = vf->policy.link_up;
	info->trap = dev->trap_now;
	text_put(info->api, sizeof(info->api), "%s", vf->ops->api(vf));
	info->n_macs = vf->ops->macs(vf, info->mac, PORT_MACS_MAX);
	vfu_unlock(dev->loop);
	vfu_dev_stats(dev->vfu, &info->vfu);
}
