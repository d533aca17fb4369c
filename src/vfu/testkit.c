/* SPDX-License-Identifier: BSD-3-Clause */
#include "vfu/testkit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/errtext.h"
#include "base/fds.h"

uint64_t kit_now_ns;

static uint64_t warped_now(void)
{
	return kit_now_ns;
}

/* ---- the fake device ---- */

static void fake_attached(void *dev, bool on)
{
	struct fake *f = dev;

	if (on)
		f->n_attached++;
	else
		f->n_detached++;
}

static void fake_reset(void *dev, enum vfu_reset why)
{
	struct fake *f = dev;

	memset(f->regs, 0, sizeof(f->regs));
	f->n_resets[why]++;
}

static int fake_read(void *dev, unsigned int region, uint64_t offset, void *buf, size_t size)
{
	struct fake *f = dev;

	f->n_reads++;
	f->last_region = region;
	if (offset == BAR0_BAD)
		return -EIO;
	memcpy(buf, f->regs + offset, size);
	return 0;
}

static int fake_write(void *dev, unsigned int region, uint64_t offset, const void *buf, size_t size)
{
	struct fake *f = dev;

	f->n_writes++;
	f->last_region = region;
	if (offset == BAR0_BAD)
		return -EIO;
	memcpy(f->regs + offset, buf, size);
	if (f->in_write != NULL)
		f->in_write(f->arg);
	return 0;
}

static void fake_config_changed(void *dev, unsigned int events)
{
	struct fake *f = dev;

	f->n_config++;
	f->config_events = events;
}

static void fake_quiesce(void *dev)
{
	struct fake *f = dev;

	f->n_quiesce++;
}

static void fake_kicked(void *dev)
{
	struct fake *f = dev;

	f->n_kicked++;
}

static const struct vfu_dev_ops fake_ops = {
	.attached = fake_attached,
	.reset = fake_reset,
	.region_read = fake_read,
	.region_write = fake_write,
	.config_changed = fake_config_changed,
	.quiesce = fake_quiesce,
	.kicked = fake_kicked,
};

/* ---- set-up ---- */

int new_memfd(size_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

int new_eventfd(void)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void describe(struct kit *k)
{
	static const struct pci_desc pci = {
		.vendor_id = 0x8086,
		.device_id = 0x10ed,
		.class_code = 0x020000,
		.bars = { [0] = { .size = BAR0_SIZE, .is_64bit = true },
			  [3] = { .size = 0x4000, .is_64bit = true } },
		.msix = { .n_vectors = N_VECTORS, .bar = 3, .pba_offset = 0x2000 },
		.pcie = { .link_speed = 2, .link_width = 8 },
	};

	assert_int_equal(pci_layout_init(&k->layout, &pci), 0);
	pci_config_init(&k->config, &k->layout);
	k->desc = (struct vfu_dev_desc){
		.ops = &fake_ops,
		.n_vectors = N_VECTORS,
		.msix_bar = 3,
		.msix_pba_offset = 0x2000,
		.config = &k->config,
		.layout = &k->layout,
		.mem = k->mem,
	};
	k->desc.bars[0] = (struct vfu_region){ .size = BAR0_SIZE,
					       .access = 4 | 8,
					       .mmap_fd = k->bar_fd,
					       .mmap_offset = 0x5000,
					       .n_areas = 1,
					       .areas = { { 0x1000, 0x2000 } } };
	k->desc.bars[3] = (struct vfu_region){ .size = 0x4000, .access = 4 | 8 };
}

int kit_setup(void **state)
{
	const struct vfu_access access = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct kit *k = calloc(1, sizeof(*k));
	struct err err;

	assert_non_null(k);
	log_set_level(LOG_LEVEL_ERR);
	k->n_fds_before = open_fds();
	k->fd = -1;
	kit_now_ns = 1000000000ull;
	assert_true(test_folder_make(k->dir));
	snprintf(k->path, sizeof(k->path), "%s/vf.sock", k->dir);
	k->loop = vfu_loop_new();
	assert_non_null(k->loop);
	k->loop->now_ns = warped_now;
	k->mem = mem_new(NULL, NULL);
	assert_non_null(k->mem);
	k->bar_fd = new_memfd(0x9000);
	describe(k);
	assert_int_equal(vfu_dev_new(&k->dev, k->loop, k->path, &access, &k->desc, &k->fake, &err),
			 0);
	*state = k;
	return 0;
}

int kit_setup_agreed(void **state)
{
	kit_setup(state);
	client_connect(*state);
	client_hello(*state);
	return 0;
}

int kit_teardown(void **state)
{
	struct kit *k = *state;

	client_close(k);
	vfu_dev_free(k->dev);
	vfu_loop_free(k->loop);
	mem_free(k->mem);
	close(k->bar_fd);
	assert_int_equal(rmdir(k->dir), 0); /* the socket's file is gone */
	assert_int_equal(open_fds(), k->n_fds_before);
	free(k);
	return 0;
}

void pump(struct kit *k)
{
	int n, rounds = 0;

	do {
		n = vfu_loop_step(k->loop, 0);
		assert_true(n >= 0);
		assert_true(rounds++ < 10000); /* the loop spins */
	} while (n > 0);
}

/* ---- the client ---- */

int client_connect(struct kit *k)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(addr.sun_path, k->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	if (k->fd < 0)
		k->fd = fd;
	pump(k);
	return fd;
}

void client_close(struct kit *k)
{
	if (k->fd < 0)
		return;
	close(k->fd);
	k->fd = -1;
	pump(k);
}

void send_bytes(int fd, const void *buf, size_t size, const int *fds, unsigned int n_fds)
{
	union fds_room room;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	fds_attach(&msg, &room, fds, n_fds);
	assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), size);
}

uint16_t client_send(struct kit *k, uint16_t cmd, uint32_t flags, const void *body, size_t size,
		     const int *fds, unsigned int n_fds)
{
	struct vfu_hdr hdr = {
		.id = ++k->id, .cmd = cmd, .size = (uint32_t)(sizeof(hdr) + size), .flags = flags
	};
	uint8_t *buf = malloc(sizeof(hdr) + size);

	assert_non_null(buf);
	memcpy(buf, &hdr, sizeof(hdr));
	if (size > 0)
		memcpy(buf + sizeof(hdr), body, size);
	send_bytes(k->fd, buf, sizeof(hdr) + size, fds, n_fds);
	free(buf);
	return hdr.id;
}

/* All of `size` bytes or nothing: the server's sends are pumped before. */
static bool recv_exactly(int fd, void *buf, size_t size, struct reply *r)
{
	char control[CMSG_SPACE(VFU_MAX_FDS * sizeof(int))] __attribute__((aligned(8)));
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cmsg;
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (n <= 0)
		return false;
	assert_int_equal(n, size);
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL; cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		r->n_fds = (unsigned int)((cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(r->fds, CMSG_DATA(cmsg), r->n_fds * sizeof(int));
	}
	return true;
}

bool client_recv(int fd, struct reply *r)
{
	r->n_fds = 0;
	if (!recv_exactly(fd, &r->hdr, sizeof(r->hdr), r))
		return false;
	assert_in_range(r->hdr.size, sizeof(r->hdr), sizeof(r->hdr) + sizeof(r->body));
	r->size = r->hdr.size - sizeof(r->hdr);
	if (r->size > 0)
		assert_true(recv_exactly(fd, r->body, r->size, r));
	return true;
}

bool client_eof(int fd)
{
	uint8_t byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

int call_fds(struct kit *k, uint16_t cmd, const void *body, size_t size, const int *fds,
	     unsigned int n_fds, struct reply *r)
{
	static struct reply scratch;
	uint16_t id = client_send(k, cmd, 0, body, size, fds, n_fds);

	if (r == NULL)
		r = &scratch;
	pump(k);
	assert_true(client_recv(k->fd, r));
	assert_int_equal(r->hdr.id, id);
	assert_int_equal(r->hdr.cmd, cmd);
	if ((r->hdr.flags & VFU_HDR_ERROR) != 0) {
		assert_int_equal(r->hdr.flags, VFU_HDR_REPLY | VFU_HDR_ERROR);
		assert_int_equal(r->size, 0);
		assert_int_equal(r->n_fds, 0);
		assert_in_range(r->hdr.error, 1, 4095);
		return -(int)r->hdr.error;
	}
	assert_int_equal(r->hdr.flags, VFU_HDR_REPLY);
	assert_int_equal(r->hdr.error, 0);
	return (int)r->size;
}

int call(struct kit *k, uint16_t cmd, const void *body, size_t size, struct reply *r)
{
	return call_fds(k, cmd, body, size, NULL, 0, r);
}

void client_hello(struct kit *k)
{
	/* As QEMU 11.1 sends it, but for its length. */
	static const char data[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8,"
				   "\"max_data_xfer_size\":1048576,\"pgsizes\":4096}}";

	assert_int_equal(call(k, VFU_VERSION, data, sizeof(data), NULL),
			 sizeof(struct vfu_version) + vfu_caps_ours_size);
	assert_true(vfu_dev_attached(k->dev));
}

int region_read(struct kit *k, uint32_t region, uint64_t offset, uint32_t count, void *buf)
{
	struct vfu_region_access a = { .offset = offset, .region = region, .count = count };
	static struct reply r;
	int n = call(k, VFU_REGION_READ, &a, sizeof(a), &r);

	if (n < 0)
		return n;
	assert_int_equal(n, sizeof(a) + count);
	assert_memory_equal(r.body, &a, sizeof(a));
	memcpy(buf, r.body + sizeof(a), count);
	return 0;
}

int region_write(struct kit *k, uint32_t region, uint64_t offset, uint32_t count, const void *buf)
{
	struct vfu_region_access a = { .offset = offset, .region = region, .count = count };
	uint8_t *body = malloc(sizeof(a) + count);
	static struct reply r;
	int n;

	assert_non_null(body);
	memcpy(body, &a, sizeof(a));
	memcpy(body + sizeof(a), buf, count);
	n = call(k, VFU_REGION_WRITE, body, sizeof(a) + count, &r);
	free(body);
	if (n < 0)
		return n;
	assert_int_equal(n, sizeof(a));
	assert_memory_equal(r.body, &a, sizeof(a));
	return 0;
}
