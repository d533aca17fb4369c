/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a whole message to its answer. What a message must be before its handler sees it is in the
 * table; a handler checks only what its own fields mean. All of it is input from a stranger.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "vfu/internal.h"

struct command {
	const char *name;
	int (*run)(struct vfu_dev *dev, struct vfu_msg *msg);
	uint32_t min_size; /* of the body */
	uint32_t max_size;
	unsigned int max_fds;
};

/* "VFIO_USER_VERSION": the same major, a minor not above the client's; ours is 0.0. The list of
 * capabilities goes only to who sent one. */
static int do_version(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_version *v = (const void *)msg->body;
	size_t data_size = msg->size - sizeof(*v);
	struct vfu_version *reply;
	struct vfu_caps caps;
	int r;

	if (dev->conn.agreed)
		return -EINVAL;
	if (v->major != 0) {
		dev->conn.closing = true;
		return -ENOTSUP;
	}
	r = vfu_caps_parse((const char *)(v + 1), data_size, &caps);
	if (r < 0)
		return r;
	reply = vfu_reply(dev, msg, sizeof(*reply) + (data_size > 0 ? vfu_caps_ours_size : 0));
	if (reply == NULL)
		return -ENOMEM;
	if (data_size > 0)
		memcpy(reply + 1, vfu_caps_ours, vfu_caps_ours_size);
	dev->conn.max_fds = caps.max_fds;
	dev->conn.max_data = caps.max_data;
	vfu_dev_agreed(dev);
	return 0;
}

static int do_device_info(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_device_info *in = (const void *)msg->body;
	struct vfu_device_info *out;

	if (in->argsz < sizeof(*out))
		return -EINVAL;
	out = vfu_reply(dev, msg, sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	*out = (struct vfu_device_info){ .argsz = sizeof(*out),
					 .flags = VFU_DEVICE_RESETS | VFU_DEVICE_PCI,
					 .n_regions = VFU_N_REGIONS,
					 .n_irqs = VFU_N_IRQS };
	return 0;
}

static int do_reset(struct vfu_dev *dev, struct vfu_msg *msg)
{
	vfu_dev_reset(dev, VFU_RESET_MESSAGE);
	return 0;
}

/* Part of the protocol, but nothing here announces it. */
static int do_refuse(struct vfu_dev *dev, struct vfu_msg *msg)
{
	return -ENOTSUP;
}

#define ANY UINT32_MAX

/* clang-format off */
static const struct command commands[VFU_N_CMDS] = {
	/*				name			run		   min max	fds */
	[VFU_VERSION]		    = { "VERSION",		do_version,	    4, VFU_MAX_VERSION, 0 },
	[VFU_DMA_MAP]		    = { "DMA_MAP",		vfu_do_dma_map,	   32, 32,	1 },
	[VFU_DMA_UNMAP]		    = { "DMA_UNMAP",		vfu_do_dma_unmap,  24, 24,	0 },
	[VFU_DEVICE_GET_INFO]	    = { "GET_INFO",		do_device_info,	   16, 16,	0 },
	[VFU_DEVICE_GET_REGION_INFO] = { "GET_REGION_INFO",	vfu_do_region_info, 32, 32,	0 },
	[VFU_DEVICE_GET_REGION_IO_FDS] = { "GET_REGION_IO_FDS", do_refuse,	    0, ANY,	0 },
	[VFU_DEVICE_GET_IRQ_INFO]   = { "GET_IRQ_INFO",		vfu_do_irq_info,   16, 16,	0 },
	[VFU_DEVICE_SET_IRQS]	    = { "SET_IRQS",		vfu_do_set_irqs,   20, ANY,	VFU_MAX_FDS },
	[VFU_REGION_READ]	    = { "REGION_READ",		vfu_do_region_read, 16, 16,	0 },
	[VFU_REGION_WRITE]	    = { "REGION_WRITE",		vfu_do_region_write, 16, ANY,	0 },
	[VFU_DEVICE_RESET]	    = { "RESET",		do_reset,	    0, 0,	0 },
	[VFU_DIRTY_PAGES]	    = { "DIRTY_PAGES",		do_refuse,	    0, ANY,	0 },
	[VFU_REGION_WRITE_MULTI]    = { "REGION_WRITE_MULTI",	do_refuse,	    0, ANY,	0 },
	[VFU_DEVICE_FEATURE]	    = { "FEATURE",		do_refuse,	    0, ANY,	0 },
	[VFU_MIG_DATA_READ]	    = { "MIG_DATA_READ",	do_refuse,	    0, ANY,	0 },
	[VFU_MIG_DATA_WRITE]	    = { "MIG_DATA_WRITE",	do_refuse,	    0, ANY,	0 },
};
/* clang-format on */

static const char *command_name(uint16_t cmd)
{
	return cmd < VFU_N_CMDS && commands[cmd].name != NULL ? commands[cmd].name : "?";
}

void *vfu_reply(struct vfu_dev *dev, struct vfu_msg *msg, size_t size)
{
	uint8_t *p = vfu_conn_room(&dev->conn, sizeof(struct vfu_hdr) + size);

	if (p == NULL)
		return NULL;
	memset(p, 0, sizeof(struct vfu_hdr) + size);
	msg->reply_size = size;
	return p + sizeof(struct vfu_hdr);
}

/* The preconditions, then the handler. -EINVAL: no such command, wrong direction, wrong time, too
 * short, or descriptors where there must be none. -E2BIG: too long. -EMFILE: descriptors were lost
 * on the way, by their number or because this process can hold no more. */
static int run(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct command *c;

	if ((msg->hdr.flags & VFU_HDR_TYPE) != VFU_HDR_COMMAND || msg->hdr.cmd >= VFU_N_CMDS)
		return -EINVAL;
	c = &commands[msg->hdr.cmd];
	if (c->run == NULL)
		return -EINVAL;
	if (!dev->conn.agreed && msg->hdr.cmd != VFU_VERSION)
		return -EINVAL;
	if (dev->conn.fds_lost)
		return -EMFILE;
	if (msg->n_fds > c->max_fds || msg->size < c->min_size)
		return -EINVAL;
	if (msg->size > c->max_size)
		return -E2BIG;
	return c->run(dev, msg);
}

/* "Header": an error reply is the header alone. */
static void answer(struct vfu_dev *dev, const struct vfu_msg *msg, int result)
{
	struct vfu_conn *conn = &dev->conn;
	size_t size = sizeof(struct vfu_hdr) + (result == 0 ? msg->reply_size : 0);
	struct vfu_hdr *hdr = vfu_conn_room(conn, size);

	if (hdr == NULL) {
		conn->closing = true; /* no memory for 16 bytes: the stream is at its end */
		return;
	}
	*hdr = (struct vfu_hdr){ .id = msg->hdr.id,
				 .cmd = msg->hdr.cmd,
				 .size = (uint32_t)size,
				 .flags = VFU_HDR_REPLY | (result < 0 ? VFU_HDR_ERROR : 0),
				 .error = (uint32_t)-result };
	vfu_conn_commit(conn, size, result == 0 ? msg->reply_fd : -1);
}

void vfu_dispatch(struct vfu_dev *dev, struct vfu_msg *msg)
{
	int result;

	if ((msg->hdr.flags & VFU_HDR_TYPE) == VFU_HDR_REPLY) {
		vfu_dma_reply(dev, msg);
		return;
	}
	dev->conn.in_handler = true;
	result = run(dev, msg);
	if (result < 0) {
		vfu_count(dev, n_refused);
		if (log_limit_pass(&dev->log_limit, "vfu"))
			log_info("vfu", "%s: message %u %s, %zu bytes, %u descriptors: %s",
				 dev->path, msg->hdr.cmd, command_name(msg->hdr.cmd), msg->size,
				 msg->n_fds, strerror(-result));
	}
	if ((msg->hdr.flags & VFU_HDR_NO_REPLY) == 0)
		answer(dev, msg, result);
	dev->conn.in_handler = false;
	vfu_dma_send_waiting(dev);
}
