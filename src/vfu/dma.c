/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * DMA mappings as the client tells them, and requests from here to the client for memory that came
 * without a descriptor.
 *
 * A request is a slot with its message. It is sent at once, except inside a handler: then after the
 * reply (see complication 5 in vfu.h). Ids carry the slot in their low bits and a running number
 * above, so that a late answer finds either its request or nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mem/mem.h"
#include "vfu/internal.h"

static_assert(MEM_READ == VFU_DMA_MAP_READ && MEM_WRITE == VFU_DMA_MAP_WRITE, "same bits");
static_assert((VFU_MAX_DMA_QUEUED & (VFU_MAX_DMA_QUEUED - 1)) == 0, "low bits of an id");

/* ---- mappings ---- */

/* "VFIO_USER_DMA_MAP". A mapped BAR of ours comes back here without a descriptor (QEMU 11.1), ROMs
 * often do as well: both are windows that only messages reach. */
int vfu_do_dma_map(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_dma_map *in = (const void *)msg->body;
	int r;

	if (in->argsz < sizeof(*in) || (in->flags & ~(VFU_DMA_MAP_READ | VFU_DMA_MAP_WRITE)) != 0)
		return -EINVAL;
	r = mem_map(dev->desc.mem, in->address, in->size, msg->n_fds > 0 ? msg->fds[0] : -1,
		    in->offset, in->flags);
	if (r == 0)
		vfu_count(dev, n_dma_maps);
	return r;
}

static bool is_window(const struct mem_table *table, uint64_t iova, uint64_t size)
{
	for (uint32_t i = 0; i < table->n_windows; i++)
		if (table->window[i].iova == iova)
			return table->window[i].size == size;
	return false;
}

/* "VFIO_USER_DMA_UNMAP": exactly a previous mapping, or all. The reply is the request. */
int vfu_do_dma_unmap(struct vfu_dev *dev, struct vfu_msg *msg)
{
	const struct vfu_dma_unmap *in = (const void *)msg->body;
	struct vfu_dma_unmap *out;
	int r = 0;

	if ((in->flags & VFU_DMA_UNMAP_DIRTY) != 0)
		return -ENOTSUP; /* dirty pages are not tracked */
	if (in->argsz < sizeof(*in) || (in->flags & ~VFU_DMA_UNMAP_ALL) != 0)
		return -EINVAL;
	if (in->flags == VFU_DMA_UNMAP_ALL && (in->address != 0 || in->size != 0))
		return -EINVAL;
	if (in->flags == 0 && !is_window(mem_table(dev->desc.mem), in->address, in->size))
		return -ENOENT;
	out = vfu_reply(dev, msg, sizeof(*out));
	if (out == NULL)
		return -ENOMEM;
	*out = *in;
	if (in->flags == VFU_DMA_UNMAP_ALL)
		mem_unmap_all(dev->desc.mem);
	else
		r = mem_unmap(dev->desc.mem, in->address, in->size);
	if (r == 0)
		vfu_count(dev, n_dma_unmaps);
	return r;
}

/* ---- requests to the client ---- */

/* The slot is free before the callback, which may ask for the next. */
static void finish(struct vfu_dev *dev, struct vfu_dma_request *q, int err)
{
	vfu_dma_cb *cb = q->cb;
	void *arg = q->arg;

	free(q->msg);
	*q = (struct vfu_dma_request){ .cb = NULL };
	if (err < 0)
		vfu_count(dev, n_dma_failed);
	cb(arg, err);
}

static struct vfu_dma_request *slot_of(struct vfu_dev *dev, uint16_t id)
{
	return &dev->dma[id % VFU_MAX_DMA_QUEUED];
}

static int slot_find(struct vfu_dev *dev, uint16_t *id)
{
	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++) {
		*id = dev->next_dma_id++;
		if (slot_of(dev, *id)->cb == NULL)
			return 0;
	}
	return -EBUSY;
}

/* Appends the message to the output. Fails only for want of memory. */
static int queue_message(struct vfu_dev *dev, struct vfu_dma_request *q)
{
	size_t size = q->msg->size;
	void *room = vfu_conn_room(&dev->conn, size);

	if (room == NULL)
		return -ENOMEM;
	memcpy(room, q->msg, size);
	vfu_conn_commit(&dev->conn, size, -1);
	free(q->msg);
	q->msg = NULL;
	vfu_count(dev, n_dma_requests);
	return 0;
}

/* By rising id, so in the order in which they were asked for. An error of the socket is found by
 * the loop, which sees it hung up. */
void vfu_dma_send_waiting(struct vfu_dev *dev)
{
	bool any = false;

	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++) {
		struct vfu_dma_request *q = slot_of(dev, (uint16_t)(dev->next_dma_id + i));

		if (q->cb != NULL && q->msg != NULL && queue_message(dev, q) == 0)
			any = true;
	}
	if (any)
		vfu_conn_flush(dev);
}

static struct vfu_hdr *message_new(uint16_t cmd, uint16_t id, uint64_t iova, uint32_t count,
				   const void *data)
{
	size_t n_data = data != NULL ? count : 0;
	size_t size = sizeof(struct vfu_hdr) + sizeof(struct vfu_dma_access) + n_data;
	struct vfu_hdr *hdr = malloc(size);
	struct vfu_dma_access *body;

	if (hdr == NULL)
		return NULL;
	*hdr = (struct vfu_hdr){ .id = id, .cmd = cmd, .size = (uint32_t)size };
	body = (void *)(hdr + 1);
	body->address = iova;
	body->count = count;
	if (data != NULL)
		memcpy(body->data, data, n_data);
	return hdr;
}

static int request(struct vfu_dev *dev, struct vfu_dma_request q, const void *data, size_t size)
{
	struct vfu_conn *conn = &dev->conn;
	uint16_t id;

	if (conn->fd < 0 || !conn->agreed || conn->closing)
		return -ENOTCONN;
	if (size == 0 || size > VFU_MAX_DMA || size > conn->max_data)
		return -EINVAL;
	if (vfu_conn_unsent(conn) > VFU_MAX_OUT_DMA || slot_find(dev, &id) < 0)
		return -EBUSY;
	q.size = (uint32_t)size;
	q.id = id;
	q.deadline_ns = dev->loop->now_ns() + VFU_DMA_TIMEOUT_MS * 1000000ull;
	q.msg = message_new(q.cmd, id, q.iova, q.size, data);
	if (q.msg == NULL)
		return -EBUSY;
	*slot_of(dev, id) = q;
	vfu_loop_arm(dev->loop, q.deadline_ns);
	if (!conn->in_handler)
		vfu_dma_send_waiting(dev);
	return 0;
}

int vfu_dma_read(struct vfu_dev *dev, uint64_t iova, void *buf, size_t size, vfu_dma_cb *cb,
		 void *arg)
{
	struct vfu_dma_request q = {
		.cb = cb, .arg = arg, .buf = buf, .iova = iova, .cmd = VFU_DMA_READ
	};

	return request(dev, q, NULL, size);
}

int vfu_dma_write(struct vfu_dev *dev, uint64_t iova, const void *buf, size_t size, vfu_dma_cb *cb,
		  void *arg)
{
	struct vfu_dma_request q = { .cb = cb, .arg = arg, .iova = iova, .cmd = VFU_DMA_WRITE };

	return request(dev, q, buf, size);
}

/* 0, or what is wrong with the answer. The specification gives the count of a DMA_WRITE's reply 4
 * bytes, clients send 8: its low half decides. */
static int check_reply(const struct vfu_dma_request *q, const struct vfu_msg *msg)
{
	const struct vfu_dma_access *in = (const void *)msg->body;
	uint32_t count;

	if ((msg->hdr.flags & VFU_HDR_ERROR) != 0) {
		uint32_t error = msg->hdr.error;

		return error > 0 && error < 4096 ? -(int)error : -EIO;
	}
	if (msg->n_fds > 0 || msg->size < offsetof(struct vfu_dma_access, count) + sizeof(count))
		return -EPROTO;
	memcpy(&count, &in->count, sizeof(count));
	if (in->address != q->iova || count != q->size)
		return -EPROTO;
	if (q->cmd == VFU_DMA_READ && msg->size != sizeof(*in) + q->size)
		return -EPROTO;
	return 0;
}

void vfu_dma_reply(struct vfu_dev *dev, const struct vfu_msg *msg)
{
	struct vfu_dma_request *q = slot_of(dev, msg->hdr.id);
	int err;

	/* Not asked for, or too late. */
	if (q->cb == NULL || q->msg != NULL || q->id != msg->hdr.id || q->cmd != msg->hdr.cmd) {
		vfu_count(dev, n_refused);
		return;
	}
	err = check_reply(q, msg);
	if (err == 0 && q->cmd == VFU_DMA_READ)
		memcpy(q->buf, msg->body + sizeof(struct vfu_dma_access), q->size);
	finish(dev, q, err);
}

void vfu_dma_timers(struct vfu_dev *dev, uint64_t now_ns)
{
	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++) {
		struct vfu_dma_request *q = &dev->dma[i];

		if (q->cb == NULL)
			continue;
		if (now_ns >= q->deadline_ns)
			finish(dev, q, -ETIMEDOUT);
		else
			vfu_loop_arm(dev->loop, q->deadline_ns);
	}
}

void vfu_dma_abort(struct vfu_dev *dev)
{
	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++)
		if (dev->dma[i].cb != NULL)
			finish(dev, &dev->dma[i], -ECONNRESET);
}
