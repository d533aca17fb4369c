/* SPDX-License-Identifier: BSD-3-Clause */
/* Registers: BAR 0, BAR 3 (MSI-X) and configuration space at any offset and width, as messages of a vfio-user
 * client, ring registers and interrupts among them; and frames that meet the result. */
#include "pci/pci.h"
#include "vf_target.h"
#include "vfu/internal.h"

static struct pci_config config;
static struct pci_layout layout;
static struct vfu_dev dev;
static struct vf_target *target;

/* --- what the daemon does between server and device (vfdev.c) --- */

static void on_reset(void *arg, enum vfu_reset why)
{
	struct vf *vf = target->g.vf;

	vf->bus_master = false;
	vf->ops->reset(vf);
	vf->state = VF_ATTACHED;
}

static int on_read(void *arg, unsigned int region, uint64_t offset, void *buf, size_t size)
{
	target->g.vf->ops->bar_read(target->g.vf, region, offset, buf, size);
	return 0;
}

static int on_write(void *arg, unsigned int region, uint64_t offset, const void *buf, size_t size)
{
	target->g.vf->ops->bar_write(target->g.vf, region, offset, buf, size);
	return 0;
}

static void on_config(void *arg, unsigned int events)
{
	if ((events & PCI_EV_COMMAND) == 0)
		return;
	target->g.vf->bus_master = pci_config_bus_master(&config);
	target->g.vf->ops->kicked(target->g.vf);
}

static void on_quiesce(void *arg)
{
}

static const struct vfu_dev_ops ops = {
	.reset = on_reset,
	.region_read = on_read,
	.region_write = on_write,
	.config_changed = on_config,
	.quiesce = on_quiesce,
};

static void describe(const struct vf_model *m, struct pci_desc *desc)
{
	*desc = (struct pci_desc){
		.vendor_id = m->vendor,
		.device_id = m->device,
		.class_code = m->class_code,
		.msix = { .n_vectors = (uint16_t)m->n_vectors,
			  .bar = m->msix_bar,
			  .table_offset = m->msix_table_offset,
			  .pba_offset = m->msix_pba_offset },
		.pcie = { .link_speed = 2, .link_width = 8 },
		.acs = true,
		.ari = true,
	};
	for (unsigned int i = 0; i < m->n_bars; i++)
		desc->bars[m->bar[i].idx] =
			(struct pci_bar_desc){ .size = m->bar[i].size, .is_64bit = true };
}

static void begin(struct vf_target *t)
{
	const uint16_t command = htole16(6); /* memory, bus master: as vf_guest_new has it */
	const struct vf_model *m = t->g.vf->model;
	struct pci_desc desc;

	target = t;
	describe(m, &desc);
	FUZZ_CHECK(pci_layout_init(&layout, &desc) == 0);
	pci_config_init(&config, &layout);
	pci_config_write(&config, &layout, 4, &command, sizeof(command));
	memset(&dev, 0, sizeof(dev));
	dev.desc = (struct vfu_dev_desc){
		.ops = &ops,
		.n_vectors = m->n_vectors,
		.msix_bar = m->msix_bar,
		.msix_table_offset = m->msix_table_offset,
		.msix_pba_offset = m->msix_pba_offset,
		.config = &config,
		.layout = &layout,
		.mem = t->g.mem,
	};
	for (unsigned int i = 0; i < m->n_bars; i++)
		dev.desc.bars[m->bar[i].idx] =
			(struct vfu_region){ .size = m->bar[i].size, .access = 15, .mmap_fd = -1 };
	vfu_conn_init(&dev.conn);
	vfu_irq_init(&dev);
	vfu_msix_reset(&dev);
	dev.conn.agreed = true;
}

static void end(struct vf_target *t)
{
	/* What the function is does not change. */
	FUZZ_CHECK(memcmp(config.bytes, layout.reset, 4) == 0);
	vfu_irq_release(&dev);
	vfu_conn_release(&dev.conn);
}

/* --- operations --- */

#define DATA_MAX 64u

/* Room for any message, aligned as the server's own. */
static uint64_t room[VFU_MAX_MSG / 8];

/* The message in `room`; it is answered. */
static void message(uint16_t cmd, size_t size)
{
	struct vfu_msg msg = { .hdr = { .id = 1, .cmd = cmd }, .body = (void *)room, .size = size };
	const struct vfu_hdr *hdr;
	int fds[1] = { -1 };

	msg.hdr.size = (uint32_t)(sizeof(msg.hdr) + size);
	msg.fds = fds;
	msg.reply_fd = -1;
	vfu_dispatch(&dev, &msg);
	FUZZ_CHECK(vfu_conn_unsent(&dev.conn) >= sizeof(*hdr));
	hdr = (const void *)(dev.conn.out + dev.conn.out_start);
	FUZZ_CHECK(hdr->size == vfu_conn_unsent(&dev.conn) && hdr->id == 1);
	dev.conn.out_start = dev.conn.out_end = 0;
}

/* Region, offset and width: mostly such as are allowed. */
static struct vfu_region_access *pick_access(struct vf_target *t, struct input *in)
{
	const struct reg_table *regs = t->g.dev->family->regs;
	static const uint8_t regions[] = { 0, 0, 0, 0, 0, 3, 3, VFU_REGION_CONFIG };
	struct vfu_region_access *a = (void *)room;
	uint8_t how = in8(in);

	a->region = how == 0xff ? in8(in) : regions[how & 7];
	a->count = (how & 0x40) != 0 ? in8(in) % (DATA_MAX + 1) : 1u << (how >> 4 & 3);
	if (a->region == 0 && (how & 0x80) == 0) {
		const struct reg *r = &regs->row[in_below(in, regs->n)];

		a->offset = r->offset;
		a->offset += r->count > 1 ? in_below(in, r->count) * r->stride : 0;
		a->count = a->count == 1 ? 4 : a->count;
	} else {
		a->offset = in16(in);
		if (a->offset == 0xffff)
			a->offset = in_bytes(in, 8);
		if (a->region == VFU_REGION_CONFIG)
			a->offset %= PCI_CONFIG_SIZE + 16;
	}
	return a;
}

static void op_read(struct vf_target *t, struct input *in)
{
	pick_access(t, in);
	message(VFU_REGION_READ, sizeof(struct vfu_region_access));
}

static void op_write(struct vf_target *t, struct input *in)
{
	struct vfu_region_access *a = pick_access(t, in);

	for (unsigned int i = 0; i < a->count && i < DATA_MAX; i++)
		a->data[i] = in8(in);
	message(VFU_REGION_WRITE, sizeof(*a) + a->count);
}

static void op_irqs(struct vf_target *t, struct input *in)
{
	struct vfu_irq_set *set = (void *)room;

	set->argsz = sizeof(*set);
	set->flags = in8(in);
	set->index = in8(in) % 8;
	set->start = in8(in) % 8;
	set->count = in8(in) % 8;
	for (unsigned int i = 0; i < 4; i++)
		set->data[i] = in8(in) & 1;
	message(VFU_DEVICE_SET_IRQS, sizeof(*set) + in8(in) % 17);
}

static void op_raise(struct vf_target *t, struct input *in)
{
	vfu_irq_trigger(&dev, in8(in));
}

static void op_message(struct vf_target *t, struct input *in)
{
	uint16_t cmd = in8(in) % (VFU_N_CMDS + 1);
	uint32_t size = in8(in) % (DATA_MAX + 1);

	/* Versions are agreed on once, and maps come with descriptors. */
	if (cmd == VFU_VERSION || cmd == VFU_DMA_MAP || cmd == VFU_DMA_UNMAP)
		cmd = VFU_DEVICE_RESET;
	for (uint32_t i = 0; i < size; i++)
		((uint8_t *)room)[i] = in8(in);
	message(cmd, size);
}

/* clang-format off */
static vf_op *const table[] = {
	op_write, op_write, op_write, op_write, op_read, op_read, op_irqs, op_raise, op_message,
	vf_op_line, vf_op_queue, vf_op_tail, vf_op_frame, vf_op_send, vf_op_serve, vf_op_hear, vf_op_policy,
	vf_op_request, vf_op_up,
};
/* clang-format on */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	vf_target_run(&in, table, ARRAY_SIZE(table), begin, end);
	return 0;
}
