/* SPDX-License-Identifier: BSD-3-Clause */
/* Regions: what they are, and accesses that come as messages. */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "pci/pci.h"
#include "vfu/internal.h"

#define MSIX_ENTRY 16ull

/* ---- information ---- */

static bool is_bar(const struct vfu_dev *dev, uint32_t index)
{
	return index < ARRAY_SIZE(dev->desc.bars);
}

static uint64_t region_size(const struct vfu_dev *dev, uint32_t index)
{
	if (is_bar(dev, index))
		return dev->desc.bars[index].size;
	return index == VFU_REGION_CONFIG ? PCI_CONFIG_SIZE : 0;
}

static void put_areas(const struct vfu_region *r, struct vfu_region_info *info)
{
	struct vfu_sparse_cap *cap = (void *)(info + 1);

	info->flags |= VFU_REGION_MMAP | VFU_REGION_CAPS;
	info->cap_offset = sizeof(*info);
	info->offset = r->mmap_offset;
	cap->id = 1;
	cap->version = 1;
	cap->n_areas = r->n_areas;
	for (unsigned int i = 0; i < r->n_areas; i++) {
		cap->areas[i].offset = r->areas[i].offset;
		cap->areas[i].size = r->areas[i].size;
	}
}

/*
 * "VFIO_USER_DEVICE_GET_REGION_INFO". QEMU 11.1 asks with argsz 32 first and again with the argsz of
 * the reply; it takes a capability flag in a reply without room for the capability as an error. So
 * the short reply tells only the size, and mapping, with its descriptor, is offered in the long one.
 */
int vfu_do_region_info(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_region_info *in = (const void *)msg->body;
	static const struct vfu_region nothing = { .size = 0 };
	const struct vfu_region *bar = &nothing;
	struct vfu_region_info *out;
	size_t full = sizeof(*out);
	bool with_areas;

	if (in->argsz < sizeof(*out) || in->index >= VFU_N_REGIONS)
		return -EINVAL;
	if (is_bar(dev, in->index))
		bar = &dev->desc.bars[in->index];
	if (bar->n_areas > 0 && dev->conn.max_fds > 0 && dev->conn.maps)
		full += sizeof(struct vfu_sparse_cap) + 2 * sizeof(uint64_t) * bar->n_areas;
	with_areas = full > sizeof(*out) && in->argsz >= full;
	out = vfu_reply(dev, msg, with_areas ? full : sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	out->argsz = (uint32_t)full;
	out->index = in->index;
	out->size = region_size(dev, in->index);
	if (out->size > 0)
		out->flags = VFU_REGION_READABLE | VFU_REGION_WRITABLE;
	if (with_areas) {
		put_areas(bar, out);
		msg->reply_fd = bar->mmap_fd;
	}
	return 0;
}

/* ---- MSI-X table and pending bits ----
 *
 * PCIe 5.0, 7.7.2. QEMU keeps the table that the guest sees and translates it into SET_IRQS, so what
 * is stored here masks nothing: it is memory for clients that keep none. The pending bits tell which
 * interrupts are kept back here.
 */

void vfu_msix_reset(struct vfu_dev *dev)
{
	memset(dev->msix, 0, sizeof(dev->msix));
	for (unsigned int i = 0; i < dev->desc.n_vectors; i++)
		dev->msix[i * MSIX_ENTRY + 12] = 1; /* 7.7.2.9: vector control, masked */
}

static uint64_t pending_bits(const struct vfu_dev *dev)
{
	uint64_t bits = 0;

	for (unsigned int i = 0; i < dev->desc.n_vectors; i++)
		if (atomic_load(&dev->vectors[i].kept))
			bits |= 1ull << i;
	return bits;
}

static_assert(VFU_MAX_VECTORS <= 64, "one word of pending bits");

static int msix_read(const struct vfu_dev *dev, uint64_t offset, void *buf, size_t size)
{
	uint64_t table_size = dev->desc.n_vectors * MSIX_ENTRY, bits;
	uint64_t in_table = offset - dev->desc.msix_table_offset;
	uint64_t in_pba = offset - dev->desc.msix_pba_offset;

	memset(buf, 0, size);
	if (in_table < table_size && size <= table_size - in_table) {
		memcpy(buf, dev->msix + in_table, size);
	} else if (in_pba < sizeof(bits) && size <= sizeof(bits) - in_pba) {
		bits = htole64(pending_bits(dev));
		memcpy(buf, (uint8_t *)&bits + in_pba, size);
	}
	return 0;
}

static int msix_write(struct vfu_dev *dev, uint64_t offset, const void *buf, size_t size)
{
	uint64_t table_size = dev->desc.n_vectors * MSIX_ENTRY;
	uint64_t in_table = offset - dev->desc.msix_table_offset;

	if (in_table < table_size && size <= table_size - in_table)
		memcpy(dev->msix + in_table, buf, size);
	return 0;
}

/* ---- accesses ---- */

static bool access_fits(const struct vfu_dev *dev, const struct vfu_region_access *a)
{
	uint64_t size = region_size(dev, a->region);

	if (a->count == 0 || a->offset > size || a->count > size - a->offset)
		return false;
	if (!is_bar(dev, a->region))
		return true;
	/* bars[].access is the set of sizes, each its own bit. */
	return is_pow2(a->count) && (dev->desc.bars[a->region].access & a->count) != 0 &&
	       a->offset % a->count == 0;
}

int vfu_do_region_read(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_region_access *in = (const void *)msg->body;
	struct vfu_region_access *out;

	vfu_count(dev, n_reads);
	if (in->count > VFU_MAX_DATA)
		return -E2BIG;
	if (in->region >= VFU_N_REGIONS || !access_fits(dev, in))
		return -EINVAL;
	out = vfu_reply(dev, msg, sizeof(*out) + in->count);
	if (out == NULL)
		return -ENOMEM;
	out->offset = in->offset;
	out->region = in->region;
	out->count = in->count;
	if (in->region == VFU_REGION_CONFIG)
		return pci_config_read(dev->desc.config, in->offset, out->data, in->count);
	if (in->region == dev->desc.msix_bar)
		return msix_read(dev, in->offset, out->data, in->count);
	return dev->desc.ops->region_read(dev->priv, in->region, in->offset, out->data, in->count);
}

static int config_write(struct vfu_dev *dev, const struct vfu_region_access *in)
{
	int events = pci_config_write(dev->desc.config, dev->desc.layout, in->offset, in->data,
				      in->count);

	if (events < 0)
		return events;
	if ((events & PCI_EV_FLR) != 0)
		vfu_dev_reset(dev, VFU_RESET_FLR);
	events &= ~PCI_EV_FLR;
	if (events != 0 && dev->desc.ops->config_changed != NULL)
		dev->desc.ops->config_changed(dev->priv, (unsigned int)events);
	return 0;
}

static int region_write(struct vfu_dev *dev, const struct vfu_region_access *in)
{
	if (in->region == VFU_REGION_CONFIG)
		return config_write(dev, in);
	if (in->region == dev->desc.msix_bar)
		return msix_write(dev, in->offset, in->data, in->count);
	return dev->desc.ops->region_write(dev->priv, in->region, in->offset, in->data, in->count);
}

int vfu_do_region_write(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_region_access *in = (const void *)msg->body;
	struct vfu_region_access *out;

	vfu_count(dev, n_writes);
	if (in->count > VFU_MAX_DATA)
		return -E2BIG;
	if (msg->size - sizeof(*in) != in->count)
		return -EINVAL;
	if (in->region >= VFU_N_REGIONS || !access_fits(dev, in))
		return -EINVAL;
	out = vfu_reply(dev, msg, sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	out->offset = in->offset;
	out->region = in->region;
	out->count = in->count;
	return region_write(dev, in);
}
