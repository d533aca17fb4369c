/* SPDX-License-Identifier: BSD-3-Clause */
/* DMA mappings, and requests that go from the server to the client. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "vfu/testkit.h"

static struct reply reply;

static int map(struct kit *k, uint32_t flags, uint64_t address, uint64_t size, uint64_t offset,
	       int fd)
{
	struct vfu_dma_map m = {
		.argsz = 32, .flags = flags, .offset = offset, .address = address, .size = size
	};

	return call_fds(k, VFU_DMA_MAP, &m, sizeof(m), &fd, fd >= 0 ? 1 : 0, &reply);
}

static int unmap(struct kit *k, uint32_t flags, uint64_t address, uint64_t size)
{
	struct vfu_dma_unmap m = { .argsz = 24, .flags = flags, .address = address, .size = size };
	int n = call(k, VFU_DMA_UNMAP, &m, sizeof(m), &reply);

	if (n < 0)
		return n;
	assert_int_equal(n, 24);
	assert_memory_equal(reply.body, &m, sizeof(m));
	return 0;
}

static void *at(struct kit *k, uint64_t iova, uint64_t size, uint32_t prot)
{
	uint32_t hint = 0;

	return mem_at(mem_table(k->mem), &hint, iova, size, prot);
}

static void test_map(void **state)
{
	struct kit *k = *state;
	int fd = new_memfd(0x10000);
	uint8_t *client = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint8_t *p;

	assert_ptr_not_equal(client, MAP_FAILED);
	assert_int_equal(map(k, 3, 0x100000, 0x4000, 0x8000, fd), 0);
	assert_int_equal(map(k, 1, 0x200000, 0x4000, 0, fd), 0);
	assert_int_equal(map(k, 3, 0xfebd0000, 0x2000, 0, -1), 0); /* our own BAR comes back */
	client[0x8123] = 0x42;
	p = at(k, 0x100123, 1, MEM_READ | MEM_WRITE);
	assert_non_null(p);
	assert_int_equal(*p, 0x42);
	assert_non_null(at(k, 0x200000, 0x4000, MEM_READ));
	assert_null(at(k, 0x200000, 0x4000, MEM_WRITE));
	assert_null(at(k, 0xfebd0000, 1, MEM_READ));

	assert_int_equal(unmap(k, 0, 0x100000, 0x4000), 0);
	assert_null(at(k, 0x100123, 1, MEM_READ));
	assert_non_null(at(k, 0x200000, 0x4000, MEM_READ));
	assert_int_equal(map(k, 2, 0x100000, 0x1000, 0, fd), 0); /* the place is free again */
	assert_int_equal(unmap(k, VFU_DMA_UNMAP_ALL, 0, 0), 0);
	assert_int_equal(mem_table(k->mem)->n_windows, 0);
	assert_int_equal(unmap(k, VFU_DMA_UNMAP_ALL, 0, 0), 0); /* of nothing */

	/* The end of a session takes its mappings. */
	assert_int_equal(map(k, 3, 0x100000, 0x4000, 0, fd), 0);
	client_close(k);
	assert_int_equal(mem_table(k->mem)->n_windows, 0);
	munmap(client, 0x10000);
	close(fd);
}

static void test_map_refusals(void **state)
{
	struct kit *k = *state;
	int fd = new_memfd(0x10000), ro = -1;
	char path[64];
	struct vfu_dma_map m = { .argsz = 31, .flags = 3, .size = 0x1000 };
	struct vfu_dma_unmap u = { .argsz = 23, .address = 0x100000, .size = 0x4000 };

	assert_int_equal(map(k, 3, 0x100000, 0x4000, 0, fd), 0);
	/* clang-format off */
	const struct {
		uint32_t flags; uint64_t address, size, offset; int fd; int want;
	} t[] = {
		{ 3, 0x100000, 0x4000, 0, fd, -EEXIST },
		{ 3, 0x103000, 0x4000, 0, fd, -EEXIST },
		{ 3, 0x0fd000, 0x4000, 0, fd, -EEXIST },
		{ 3, 0x101000, 0x1000, 0, -1, -EEXIST },
		{ 0, 0x200000, 0x1000, 0, fd, -EINVAL },
		{ 4, 0x200000, 0x1000, 0, fd, -EINVAL },
		{ 0x80000001, 0x200000, 0x1000, 0, fd, -EINVAL },
		{ 3, 0x200000, 0, 0, fd, -EINVAL },
		{ 3, UINT64_MAX - 0xfff, 0x2000, 0, fd, -EINVAL },
		{ 3, 0x200000, UINT64_MAX, 0, -1, -EINVAL },
		{ 3, 0x200000, 0x1000, 0x800, fd, -EINVAL },
		{ 3, 0x200000, 0x11000, 0, fd, -ENXIO },
		{ 3, 0x200000, 0x2000, 0xf000, fd, -ENXIO },
		{ 3, 0x200000, 0x1000, 0x10000, fd, -ENXIO },
		{ 3, 0x200000, 0x1000, 0xfffffffffffff000, fd, -ENXIO },
		{ 3, 0x200000, 0x1000, 0, k->fd, -ENXIO }, /* a socket */
	};
	const struct {
		uint32_t flags; uint64_t address, size; int want;
	} v[] = {
		{ 0, 0x100000, 0x3000, -ENOENT }, { 0, 0x100000, 0x5000, -ENOENT },
		{ 0, 0x101000, 0x1000, -ENOENT }, { 0, 0x0ff000, 0x5000, -ENOENT },
		{ 0, 0x200000, 0x1000, -ENOENT }, { 0, 0, UINT64_MAX, -ENOENT },
		{ 0, 0x100000, 0, -ENOENT },
		{ 1, 0x100000, 0x4000, -ENOTSUP }, { 3, 0, 0, -ENOTSUP },
		{ 2, 0x100000, 0x4000, -EINVAL }, { 2, 0, 1, -EINVAL },
		{ 4, 0x100000, 0x4000, -EINVAL }, { 0x80000000, 0x100000, 0x4000, -EINVAL },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int n = map(k, t[i].flags, t[i].address, t[i].size, t[i].offset, t[i].fd);

		if (n != t[i].want)
			fail_msg("map %zu: %d", i, n);
	}
	for (size_t i = 0; i < ARRAY_SIZE(v); i++) {
		int n = unmap(k, v[i].flags, v[i].address, v[i].size);

		if (n != v[i].want)
			fail_msg("unmap %zu: %d", i, n);
	}
	assert_int_equal(call(k, VFU_DMA_MAP, &m, sizeof(m), &reply), -EINVAL);
	assert_int_equal(call(k, VFU_DMA_UNMAP, &u, sizeof(u), &reply), -EINVAL);

	/* A descriptor that may not be written to. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(ro >= 0);
	assert_int_equal(map(k, 3, 0x200000, 0x1000, 0, ro), -EACCES);
	assert_int_equal(map(k, 1, 0x200000, 0x1000, 0, ro), 0);
	assert_int_equal(mem_table(k->mem)->n_windows, 2);
	close(ro);
	close(fd);
}

static void test_map_bound(void **state)
{
	struct kit *k = *state;

	for (unsigned int i = 0; i < MEM_MAX_WINDOWS; i++)
		assert_int_equal(map(k, 3, i * 0x2000ull, 0x1000, 0, -1), 0);
	assert_int_equal(map(k, 3, MEM_MAX_WINDOWS * 0x2000ull, 0x1000, 0, -1), -ENOSPC);
	assert_int_equal(unmap(k, 0, 0, 0x1000), 0);
	assert_int_equal(map(k, 3, MEM_MAX_WINDOWS * 0x2000ull, 0x1000, 0, -1), 0);
}

/* ---- requests from the server ---- */

struct done {
	unsigned int n;
	int err;
	struct vfu_dev *again; /* if set, the callback asks once more */
	uint8_t buf[16];
};

static void on_done(void *arg, int err)
{
	struct done *d = arg;

	d->n++;
	d->err = err;
	if (d->again != NULL) {
		struct vfu_dev *dev = d->again;

		d->again = NULL;
		vfu_dma_read(dev, 0x9000, d->buf, 8, on_done, d);
	}
}

/* Takes the next request off the client's socket. Returns its address. */
static uint64_t expect_request(struct kit *k, uint16_t cmd)
{
	uint64_t address;

	assert_true(client_recv(k->fd, &reply));
	assert_int_equal(reply.hdr.cmd, cmd);
	assert_int_equal(reply.hdr.flags, VFU_HDR_COMMAND);
	memcpy(&address, reply.body, sizeof(address));
	return address;
}

static void answer(struct kit *k, uint16_t id, uint16_t cmd, uint32_t flags, uint32_t error,
		   const void *body, size_t size)
{
	uint8_t buf[256];
	struct vfu_hdr hdr = { .id = id,
			       .cmd = cmd,
			       .size = (uint32_t)(sizeof(hdr) + size),
			       .flags = VFU_HDR_REPLY | flags,
			       .error = error };

	memcpy(buf, &hdr, sizeof(hdr));
	if (size > 0)
		memcpy(buf + sizeof(hdr), body, size);
	send_bytes(k->fd, buf, sizeof(hdr) + size, NULL, 0);
	pump(k);
}

static void test_read(void **state)
{
	struct kit *k = *state;
	struct done d = { .n = 0 };
	struct {
		struct vfu_dma_access a;
		char data[8];
	} body = { { 0x1234, 8 }, "abcdefg" };

	assert_int_equal(vfu_dma_read(k->dev, 0x1234, d.buf, 8, on_done, &d), 0);
	assert_int_equal(expect_request(k, VFU_DMA_READ), 0x1234);
	assert_int_equal(((struct vfu_dma_access *)reply.body)->count, 8);
	assert_int_equal(reply.size, 16);
	pump(k);
	assert_int_equal(d.n, 0);
	answer(k, reply.hdr.id, VFU_DMA_READ, 0, 0, &body, 24);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.err, 0);
	assert_memory_equal(d.buf, "abcdefg", 8);
	/* A second answer to the same request reaches nobody. */
	answer(k, reply.hdr.id, VFU_DMA_READ, 0, 0, &body, 24);
	assert_int_equal(d.n, 1);
}

static void test_write(void **state)
{
	struct kit *k = *state;
	struct done d = { .n = 0 };
	char data[] = "0123456";

	assert_int_equal(vfu_dma_write(k->dev, 0x4321, data, 8, on_done, &d), 0);
	memset(data, 'x', sizeof(data)); /* it was copied */
	assert_int_equal(expect_request(k, VFU_DMA_WRITE), 0x4321);
	assert_int_equal(reply.size, 24);
	assert_memory_equal(reply.body + 16, "0123456", 8);
	answer(k, reply.hdr.id, VFU_DMA_WRITE, 0, 0, reply.body, 16);
	assert_int_equal(d.n, 1);
	assert_int_equal(d.err, 0);
	/* The short form of the answer. */
	assert_int_equal(vfu_dma_write(k->dev, 0x4321, data, 8, on_done, &d), 0);
	expect_request(k, VFU_DMA_WRITE);
	answer(k, reply.hdr.id, VFU_DMA_WRITE, 0, 0, reply.body, 12);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.err, 0);
}

static void test_bad_answers(void **state)
{
	/* clang-format off */
	static const struct {
		uint16_t cmd; uint32_t flags, error; uint64_t address, count; size_t size; int want;
	} t[] = {
		{ VFU_DMA_READ, VFU_HDR_ERROR, EFAULT, 0, 0, 0, -EFAULT },
		{ VFU_DMA_READ, VFU_HDR_ERROR, 0, 0, 0, 0, -EIO },
		{ VFU_DMA_READ, VFU_HDR_ERROR, 0x80000000, 0, 0, 0, -EIO },
		{ VFU_DMA_READ, 0, 0, 0, 0, 0, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1000, 8, 11, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1000, 8, 16, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1000, 8, 23, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1000, 8, 25, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1001, 8, 24, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1000, 7, 24, -EPROTO },
		{ VFU_DMA_READ, 0, 0, 0x1000, 9, 24, -EPROTO },
		{ VFU_DMA_WRITE, VFU_HDR_ERROR, EINVAL, 0, 0, 0, -EINVAL },
		{ VFU_DMA_WRITE, 0, 0, 0x1000, 8, 11, -EPROTO },
		{ VFU_DMA_WRITE, 0, 0, 0x1000, 4, 16, -EPROTO },
		{ VFU_DMA_WRITE, 0, 0, 0x2000, 8, 16, -EPROTO },
	};
	/* clang-format on */
	struct kit *k = *state;
	struct vfu_stats stats;
	uint8_t body[64];

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct done d = { .n = 0, .buf = "untouched" };

		if (t[i].cmd == VFU_DMA_READ)
			vfu_dma_read(k->dev, 0x1000, d.buf, 8, on_done, &d);
		else
			vfu_dma_write(k->dev, 0x1000, d.buf, 8, on_done, &d);
		expect_request(k, t[i].cmd);
		memset(body, 0xee, sizeof(body));
		memcpy(body, &t[i].address, 8);
		memcpy(body + 8, &t[i].count, 8);
		/* An answer to another command is not taken for this one. */
		answer(k, reply.hdr.id, (uint16_t)(t[i].cmd ^ 7), 0, 0, body, 24);
		assert_int_equal(d.n, 0);
		answer(k, reply.hdr.id, t[i].cmd, t[i].flags, t[i].error, body, t[i].size);
		if (d.n != 1 || d.err != t[i].want)
			fail_msg("case %zu: %u, %d", i, d.n, d.err);
		assert_string_equal((char *)d.buf, "untouched");
	}
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_dma_requests, ARRAY_SIZE(t));
	assert_int_equal(stats.n_dma_failed, ARRAY_SIZE(t));
	assert_int_equal(call(k, VFU_DEVICE_RESET, NULL, 0, &reply), 0); /* the session goes on */
}

static void test_limits(void **state)
{
	struct kit *k = *state;
	static uint8_t big[VFU_MAX_DMA + 1];
	struct done d = { .n = 0 };

	assert_int_equal(vfu_dma_read(k->dev, 0, big, 0, on_done, &d), -EINVAL);
	assert_int_equal(vfu_dma_read(k->dev, 0, big, sizeof(big), on_done, &d), -EINVAL);
	assert_int_equal(vfu_dma_write(k->dev, 0, big, sizeof(big), on_done, &d), -EINVAL);
	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++)
		assert_int_equal(vfu_dma_read(k->dev, i, big, 1, on_done, &d), 0);
	assert_int_equal(vfu_dma_read(k->dev, 0, big, 1, on_done, &d), -EBUSY);
	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++) /* in the order of the calls */
		assert_int_equal(expect_request(k, VFU_DMA_READ), i);
	answer(k, reply.hdr.id, VFU_DMA_READ, VFU_HDR_ERROR, EIO, NULL, 0);
	assert_int_equal(d.n, 1);
	assert_int_equal(vfu_dma_read(k->dev, 99, big, 1, on_done, &d), 0);
	assert_int_equal(expect_request(k, VFU_DMA_READ), 99);
	client_close(k);
	assert_int_equal(d.n, 1 + VFU_MAX_DMA_QUEUED);
	assert_int_equal(d.err, -ECONNRESET);
	assert_int_equal(vfu_dma_read(k->dev, 0, big, 1, on_done, &d), -ENOTCONN);
	client_connect(k);
	assert_int_equal(vfu_dma_read(k->dev, 0, big, 1, on_done, &d), -ENOTCONN);
}

/* Requests that the client does not read are bounded in bytes as well. */
static void test_unread_requests(void **state)
{
	struct kit *k = *state;
	static uint8_t big[VFU_MAX_DMA];
	struct done d = { .n = 0 };
	unsigned int n = 0;

	while (vfu_dma_write(k->dev, 0, big, sizeof(big), on_done, &d) == 0)
		n++;
	assert_in_range(n, 4, VFU_MAX_DMA_QUEUED - 1);
	assert_in_range(vfu_conn_unsent(&k->dev->conn), 1, VFU_MAX_OUT_DMA + sizeof(big) + 32);
	client_close(k);
	assert_int_equal(d.n, n);
}

static void test_timeout(void **state)
{
	struct kit *k = *state;
	struct done early = { .n = 0 }, late = { .n = 0, .buf = "untouched" };
	uint8_t body[24];
	uint16_t id;

	assert_int_equal(vfu_dma_read(k->dev, 0x1000, early.buf, 8, on_done, &early), 0);
	expect_request(k, VFU_DMA_READ);
	id = reply.hdr.id;
	kit_now_ns += 3000000000ull;
	assert_int_equal(vfu_dma_read(k->dev, 0x1000, late.buf, 8, on_done, &late), 0);
	expect_request(k, VFU_DMA_READ);
	kit_now_ns += 1999999999ull;
	pump(k);
	assert_int_equal(early.n + late.n, 0);
	kit_now_ns += 1;
	pump(k);
	assert_int_equal(early.n, 1);
	assert_int_equal(early.err, -ETIMEDOUT);
	assert_int_equal(late.n, 0);
	answer(k, id, VFU_DMA_READ, 0, 0, reply.body, 24);
	assert_int_equal(early.n, 1);
	kit_now_ns += 3000000000ull;
	pump(k);
	/* Too late, and another request has the slot meanwhile. */
	for (unsigned int i = 0; i < VFU_MAX_DMA_QUEUED; i++)
		assert_int_equal(vfu_dma_read(k->dev, 0x1000, early.buf, 8, on_done, &early), 0);
	memset(body, 0, sizeof(body));
	body[1] = 0x10;
	body[8] = 8;
	answer(k, id, VFU_DMA_READ, 0, 0, body, sizeof(body));
	assert_int_equal(early.n, 1);
	answer(k, (uint16_t)(id + VFU_MAX_DMA_QUEUED), VFU_DMA_READ, 0, 0, body, sizeof(body));
	assert_int_equal(early.n, 2);
	assert_int_equal(early.err, 0);
	assert_int_equal(late.n, 1);
	assert_string_equal((char *)late.buf, "untouched");
	client_close(k); /* ends the others while their buffers live */
	assert_int_equal(early.n, 1 + VFU_MAX_DMA_QUEUED);
}

static void ask_from_callback(void *arg)
{
	struct kit *k = arg;
	static struct done d;
	static uint8_t buf[8];

	assert_int_equal(vfu_dma_write(k->dev, 0x7000, "first", 5, on_done, &d), 0);
	assert_int_equal(vfu_dma_read(k->dev, 0x8000, buf, 8, on_done, &d), 0);
}

/* QEMU would wait for ever for the answer to its access if our request came first. */
static void test_after_the_reply(void **state)
{
	struct kit *k = *state;
	uint32_t v = 1;
	struct {
		struct vfu_region_access a;
		uint32_t data;
	} posted = { { .count = 4 }, 1 };

	k->fake.in_write = ask_from_callback;
	k->fake.arg = k;
	assert_int_equal(region_write(k, 0, 0, 4, &v), 0); /* checks that the reply is first */
	assert_int_equal(expect_request(k, VFU_DMA_WRITE), 0x7000);
	assert_int_equal(expect_request(k, VFU_DMA_READ), 0x8000);
	client_send(k, VFU_REGION_WRITE, VFU_HDR_NO_REPLY, &posted, 20, NULL, 0);
	pump(k);
	assert_int_equal(expect_request(k, VFU_DMA_WRITE), 0x7000);
	assert_int_equal(expect_request(k, VFU_DMA_READ), 0x8000);
}

static void test_again_from_callback(void **state)
{
	struct kit *k = *state;
	struct done d = { .n = 0, .again = k->dev };

	assert_int_equal(vfu_dma_read(k->dev, 0x1000, d.buf, 8, on_done, &d), 0);
	expect_request(k, VFU_DMA_READ);
	answer(k, reply.hdr.id, VFU_DMA_READ, VFU_HDR_ERROR, EIO, NULL, 0);
	assert_int_equal(d.n, 1);
	assert_int_equal(expect_request(k, VFU_DMA_READ), 0x9000);
	d.again = k->dev; /* the session ends: no new request, no endless loop */
	client_close(k);
	assert_int_equal(d.n, 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup_agreed, kit_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_map),
		T(test_map_refusals),
		T(test_map_bound),
		T(test_read),
		T(test_write),
		T(test_bad_answers),
		T(test_limits),
		T(test_unread_requests),
		T(test_timeout),
		T(test_after_the_reply),
		T(test_again_from_callback),
	};

	return cmocka_run_group_tests_name("vfu dma", tests, NULL, NULL);
}
