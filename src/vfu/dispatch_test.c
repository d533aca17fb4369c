/* SPDX-License-Identifier: BSD-3-Clause */
/* Every message: what it answers, and every refusal with its errno. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/bits.h"
#include "vfu/testkit.h"

static struct reply reply;

/* ---- VERSION ---- */

static int hello_with(struct kit *k, uint16_t major, uint16_t minor, const char *json, size_t size)
{
	uint8_t body[512];
	struct vfu_version v = { .major = major, .minor = minor };

	memcpy(body, &v, sizeof(v));
	if (size > 0)
		memcpy(body + sizeof(v), json, size);
	return call(k, VFU_VERSION, body, sizeof(v) + size, &reply);
}

static void test_version(void **state)
{
#define JSON(s) s, sizeof(s)
#define CAPS(s) JSON("{\"capabilities\":{" s "}}")
	/* clang-format off */
	static const struct {
		const char *json; size_t size;
		int want; uint32_t max_fds, max_data;
	} t[] = {
		{ NULL, 0,				    4, 1, 1048576 },
		{ JSON("{}"),				    1, 1, 1048576 },
		{ CAPS(""),				    1, 1, 1048576 },
		{ CAPS("\"max_msg_fds\":16"),		    1, 16, 1048576 },
		{ CAPS("\"max_msg_fds\":0"),		    1, 0, 1048576 },
		{ CAPS("\"max_data_xfer_size\":4096"),	    1, 1, 4096 },
		{ CAPS("\"max_data_xfer_size\":99999999999"), 1, 1, UINT32_MAX },
		{ CAPS("\"strange\":[1,{}]"),		    1, 1, 1048576 },
		{ CAPS("\"max_msg_fds\":-1"),		    -EINVAL, 0, 0 },
		{ CAPS("\"max_msg_fds\":\"8\""),	    -EINVAL, 0, 0 },
		{ CAPS("\"max_msg_fds\":8.5"),		    -EINVAL, 0, 0 },
		{ CAPS("\"max_data_xfer_size\":null"),	    -EINVAL, 0, 0 },
		{ JSON("{\"capabilities\":3}"),		    -EINVAL, 0, 0 },
		{ JSON("[]"),				    -EINVAL, 0, 0 },
		{ JSON("3"),				    -EINVAL, 0, 0 },
		{ JSON("{"),				    -EINVAL, 0, 0 },
		{ JSON("{}x"),				    -EINVAL, 0, 0 },
		{ JSON(""),				    -EINVAL, 0, 0 },
		{ "{}", 2,				    -EINVAL, 0, 0 }, /* no NUL */
		{ "{}\0\0", 4,				    -EINVAL, 0, 0 }, /* two */
		{ "{\"a\xff\":1}", 9,			    -EINVAL, 0, 0 }, /* not UTF-8 */
	};
	/* clang-format on */
#undef CAPS
#undef JSON

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		struct kit *k = *state;
		int want = t[i].want == 1 ? 4 + (int)vfu_caps_ours_size : t[i].want;
		int n;

		client_connect(k);
		n = hello_with(k, 0, 0, t[i].json, t[i].size);
		if (n != want)
			fail_msg("case %zu: %d", i, n);
		assert_int_equal(vfu_dev_attached(k->dev), want >= 0);
		if (want >= 0) {
			assert_memory_equal(reply.body, "\0\0\0\0", 4);
			assert_memory_equal(reply.body + 4, vfu_caps_ours, (size_t)want - 4);
			assert_int_equal(k->dev->conn.max_fds, t[i].max_fds);
			assert_int_equal(k->dev->conn.max_data, t[i].max_data);
			assert_int_equal(hello_with(k, 0, 0, NULL, 0), -EINVAL); /* once only */
		} else { /* and may try again */
			assert_int_equal(hello_with(k, 0, 0, NULL, 0), 4);
		}
		client_close(k);
		assert_false(vfu_dev_attached(k->dev));
	}
}

static void test_version_numbers(void **state)
{
	struct kit *k = *state;

	client_connect(k);
	assert_int_equal(hello_with(k, 0, 7, NULL, 0), 4); /* a younger minor gets ours */
	assert_memory_equal(reply.body, "\0\0\0\0", 4);
	client_close(k);
	client_connect(k);
	assert_int_equal(hello_with(k, 1, 0, NULL, 0), -ENOTSUP);
	assert_true(client_eof(k->fd));
	assert_int_equal(k->fake.n_attached, 1);
	client_close(k);
}

/* Nothing but VERSION is heard before VERSION. */
static void test_before_version(void **state)
{
	struct kit *k = *state;
	uint8_t body[64] = { 64 };

	client_connect(k);
	for (uint16_t cmd = 0; cmd < 32; cmd++)
		if (cmd != VFU_VERSION)
			assert_int_equal(call(k, cmd, body, sizeof(body), &reply), -EINVAL);
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], 0);
	client_hello(k);
}

/* ---- the table of commands: sizes, descriptors, directions ---- */

static void test_preconditions(void **state)
{
	/* clang-format off */
	static const struct {
		uint16_t cmd; uint32_t size; unsigned int n_fds; int want;
	} t[] = {
		{ 0, 0, 0, -EINVAL },
		{ VFU_VERSION, 3, 0, -EINVAL }, { VFU_VERSION, VFU_MAX_VERSION + 1, 0, -E2BIG },
		{ VFU_VERSION, 4, 1, -EINVAL },
		{ VFU_DMA_MAP, 31, 0, -EINVAL }, { VFU_DMA_MAP, 33, 0, -E2BIG },
		{ VFU_DMA_MAP, 32, 2, -EINVAL },
		{ VFU_DMA_UNMAP, 23, 0, -EINVAL }, { VFU_DMA_UNMAP, 25, 0, -E2BIG },
		{ VFU_DMA_UNMAP, 24, 1, -EINVAL },
		{ VFU_DEVICE_GET_INFO, 15, 0, -EINVAL }, { VFU_DEVICE_GET_INFO, 17, 0, -E2BIG },
		{ VFU_DEVICE_GET_INFO, 16, 1, -EINVAL },
		{ VFU_DEVICE_GET_REGION_INFO, 31, 0, -EINVAL },
		{ VFU_DEVICE_GET_REGION_INFO, 33, 0, -E2BIG },
		{ VFU_DEVICE_GET_REGION_INFO, 32, 1, -EINVAL },
		{ VFU_DEVICE_GET_REGION_IO_FDS, 16, 0, -ENOTSUP },
		{ VFU_DEVICE_GET_REGION_IO_FDS, 0, 0, -ENOTSUP },
		{ VFU_DEVICE_GET_IRQ_INFO, 15, 0, -EINVAL },
		{ VFU_DEVICE_GET_IRQ_INFO, 17, 0, -E2BIG },
		{ VFU_DEVICE_GET_IRQ_INFO, 16, 1, -EINVAL },
		{ VFU_DEVICE_SET_IRQS, 19, 0, -EINVAL },
		{ VFU_REGION_READ, 15, 0, -EINVAL }, { VFU_REGION_READ, 17, 0, -E2BIG },
		{ VFU_REGION_READ, 16, 1, -EINVAL },
		{ VFU_REGION_WRITE, 15, 0, -EINVAL }, { VFU_REGION_WRITE, 20, 1, -EINVAL },
		{ VFU_DMA_READ, 16, 0, -EINVAL }, { VFU_DMA_WRITE, 16, 0, -EINVAL },
		{ VFU_DEVICE_RESET, 1, 0, -E2BIG }, { VFU_DEVICE_RESET, 0, 1, -EINVAL },
		{ VFU_DIRTY_PAGES, 8, 0, -ENOTSUP },
		{ VFU_REGION_WRITE_MULTI, 40, 0, -ENOTSUP },
		{ VFU_DEVICE_FEATURE, 8, 0, -ENOTSUP },
		{ VFU_MIG_DATA_READ, 8, 0, -ENOTSUP }, { VFU_MIG_DATA_WRITE, 8, 0, -ENOTSUP },
		{ VFU_N_CMDS, 0, 0, -EINVAL }, { 0xffff, 0, 0, -EINVAL },
		{ VFU_DEVICE_SET_IRQS, 20, 8, -EINVAL },
		{ VFU_DEVICE_SET_IRQS, 20, 9, -EMFILE }, /* more than announced: the rest is lost */
		{ VFU_DEVICE_RESET, 0, 20, -EMFILE },
		{ VFU_REGION_WRITE, VFU_MAX_MSG - sizeof(struct vfu_hdr), 0, -EINVAL },
	};
	/* clang-format on */
	struct kit *k = *state;
	static uint8_t zeros[VFU_MAX_MSG];
	struct vfu_stats stats;
	int fds[20], n;

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = k->bar_fd;
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		n = call_fds(k, t[i].cmd, zeros, t[i].size, fds, t[i].n_fds, &reply);
		if (n != t[i].want)
			fail_msg("case %zu, command %u: %d", i, t[i].cmd, n);
	}
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_refused, ARRAY_SIZE(t));
	assert_int_equal(stats.n_messages, ARRAY_SIZE(t) + 1);
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], 0);
	assert_int_equal(k->fake.n_reads + k->fake.n_writes, 0);
}

static void test_message_types(void **state)
{
	struct kit *k = *state;
	struct vfu_stats stats;

	/* Replies that nobody asked for are dropped, unknown types answered as errors. */
	client_send(k, VFU_DMA_READ, VFU_HDR_REPLY, NULL, 0, NULL, 0);
	client_send(k, VFU_DEVICE_RESET, VFU_HDR_REPLY, NULL, 0, &k->bar_fd, 1);
	pump(k);
	assert_false(client_recv(k->fd, &reply));
	client_send(k, VFU_DEVICE_RESET, 2, NULL, 0, NULL, 0);
	pump(k);
	assert_true(client_recv(k->fd, &reply));
	assert_int_equal(reply.hdr.error, EINVAL);
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], 0);

	/* NO_REPLY is never answered, refused or not. */
	client_send(k, VFU_DEVICE_RESET, VFU_HDR_NO_REPLY, NULL, 0, NULL, 0);
	client_send(k, VFU_DEVICE_FEATURE, VFU_HDR_NO_REPLY, NULL, 0, NULL, 0);
	client_send(k, VFU_DEVICE_RESET, VFU_HDR_NO_REPLY, "x", 1, NULL, 0);
	pump(k);
	assert_false(client_recv(k->fd, &reply));
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], 1);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_refused, 5);
	assert_int_equal(stats.n_resets, 1);
}

/* ---- information ---- */

static void test_device_info(void **state)
{
	struct kit *k = *state;
	struct vfu_device_info in = { .argsz = 16 }, out;

	assert_int_equal(call(k, VFU_DEVICE_GET_INFO, &in, sizeof(in), &reply), sizeof(out));
	memcpy(&out, reply.body, sizeof(out));
	assert_int_equal(out.argsz, 16);
	assert_int_equal(out.flags, 3);
	assert_int_equal(out.n_regions, 9);
	assert_int_equal(out.n_irqs, 5);
	in.argsz = 15;
	assert_int_equal(call(k, VFU_DEVICE_GET_INFO, &in, sizeof(in), &reply), -EINVAL);
	in.argsz = UINT32_MAX;
	assert_int_equal(call(k, VFU_DEVICE_GET_INFO, &in, sizeof(in), &reply), 16);
}

static int region_info(struct kit *k, uint32_t argsz, uint32_t index, struct vfu_region_info *out)
{
	struct vfu_region_info in = { .argsz = argsz, .index = index };
	int n = call(k, VFU_DEVICE_GET_REGION_INFO, &in, sizeof(in), &reply);

	memset(out, 0xaa, sizeof(*out));
	if (n > 0)
		memcpy(out, reply.body, sizeof(*out));
	return n;
}

static void test_region_info(void **state)
{
	static const uint64_t sizes[VFU_N_REGIONS] = { BAR0_SIZE, 0, 0, 0x4000, 0, 0, 0, 4096, 0 };
	struct kit *k = *state;
	struct vfu_region_info info;

	for (uint32_t i = 0; i < VFU_N_REGIONS; i++) {
		assert_int_equal(region_info(k, 32, i, &info), 32);
		assert_int_equal(info.argsz, i == 0 ? 64 : 32);
		assert_int_equal(info.flags, sizes[i] > 0 ? 3 : 0);
		assert_int_equal(info.index, i);
		assert_int_equal(info.size, sizes[i]);
		assert_int_equal(info.cap_offset, 0);
		assert_int_equal(reply.n_fds, 0);
	}
	assert_int_equal(region_info(k, 31, 0, &info), -EINVAL);
	assert_int_equal(region_info(k, 32, 9, &info), -EINVAL);
	assert_int_equal(region_info(k, 32, UINT32_MAX, &info), -EINVAL);
	assert_int_equal(region_info(k, 63, 0, &info), 32);
	assert_int_equal(info.flags, 3);
}

static void test_region_map(void **state)
{
	struct kit *k = *state;
	struct vfu_region_info info;
	uint64_t area[2];
	uint8_t *client, *server;

	assert_int_equal(region_info(k, 64, 0, &info), 64);
	assert_int_equal(info.argsz, 64);
	assert_int_equal(info.flags, 0xf);
	assert_int_equal(info.cap_offset, 32);
	assert_int_equal(info.size, BAR0_SIZE);
	assert_int_equal(info.offset, 0x5000);
	assert_memory_equal(reply.body + 32, "\1\0\1\0\0\0\0\0\1\0\0\0\0\0\0\0", 16);
	memcpy(area, reply.body + 48, 16);
	assert_int_equal(area[0], 0x1000);
	assert_int_equal(area[1], 0x2000);
	assert_int_equal(reply.n_fds, 1);
	/* What the client writes there is where the device looks. */
	client = mmap(NULL, 0x2000, PROT_READ | PROT_WRITE, MAP_SHARED, reply.fds[0],
		      (off_t)(info.offset + area[0]));
	server = mmap(NULL, 0x9000, PROT_READ | PROT_WRITE, MAP_SHARED, k->bar_fd, 0);
	assert_ptr_not_equal(client, MAP_FAILED);
	assert_ptr_not_equal(server, MAP_FAILED);
	close(reply.fds[0]);
	client[0x1234] = 0x5a;
	assert_int_equal(server[0x5000 + 0x1000 + 0x1234], 0x5a);
	munmap(client, 0x2000);
	munmap(server, 0x9000);
}

/* A client that takes no descriptors is offered no mapping. */
static void test_region_no_map(void **state)
{
	static const char json[] = "{\"capabilities\":{\"max_msg_fds\":0}}";
	struct kit *k = *state;
	struct vfu_region_info info;

	client_connect(k);
	assert_true(hello_with(k, 0, 0, json, sizeof(json)) > 0);
	assert_int_equal(region_info(k, 64, 0, &info), 32);
	assert_int_equal(info.argsz, 32);
	assert_int_equal(info.flags, 3);
}

/* ---- accesses ---- */

static void test_region_access(void **state)
{
	/* clang-format off */
	static const struct {
		uint32_t region; uint64_t offset; uint32_t count; int want;
	} t[] = {
		{ 0, 0, 4, 0 }, { 0, 8, 8, 0 }, { 0, 0x3ffc, 4, 0 }, { 0, 0x3ff8, 8, 0 },
		{ 0, 0x1000, 4, 0 }, /* mapped pages too ("Read and Write Operations") */
		{ 0, 0, 0, -EINVAL }, { 0, 0, 1, -EINVAL }, { 0, 0, 2, -EINVAL },
		{ 0, 0, 3, -EINVAL }, { 0, 0, 12, -EINVAL }, { 0, 0, 16, -EINVAL },
		{ 0, 2, 4, -EINVAL }, { 0, 4, 8, -EINVAL },
		{ 0, 0x3ffe, 4, -EINVAL }, { 0, 0x3ffc, 8, -EINVAL }, { 0, 0x4000, 4, -EINVAL },
		{ 0, UINT64_MAX, 4, -EINVAL }, { 0, UINT64_MAX - 3, 4, -EINVAL },
		{ 0, BAR0_BAD, 4, -EIO },
		{ 1, 0, 4, -EINVAL }, { 2, 0, 4, -EINVAL }, { 4, 0, 4, -EINVAL },
		{ 6, 0, 4, -EINVAL }, { 8, 0, 4, -EINVAL }, { 9, 0, 4, -EINVAL },
		{ UINT32_MAX, 0, 4, -EINVAL },
		{ 3, 0, 4, 0 }, { 3, 0x30, 8, 0 }, { 3, 0x2000, 8, 0 }, { 3, 0x3ffc, 4, 0 },
		{ 3, 0, 1, -EINVAL }, { 3, 0x4000, 4, -EINVAL },
		{ 7, 0, 4, 0 }, { 7, 0, 1, 0 }, { 7, 3, 2, 0 }, { 7, 0, 4096, 0 }, { 7, 4095, 1, 0 },
		{ 7, 0, 4097, -EINVAL }, { 7, 4096, 1, -EINVAL }, { 7, 4095, 2, -EINVAL },
		{ 7, 0, 0, -EINVAL }, { 7, UINT64_MAX, 1, -EINVAL },
		{ 7, 0, VFU_MAX_DATA, -EINVAL },
	};
	/* clang-format on */
	struct kit *k = *state;
	static uint8_t buf[VFU_MAX_DATA];
	struct vfu_region_access big = { .region = 7, .count = VFU_MAX_DATA + 1 };

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int n = region_read(k, t[i].region, t[i].offset, t[i].count, buf);

		if (n != t[i].want)
			fail_msg("case %zu: read %d", i, n);
		n = region_write(k, t[i].region, t[i].offset, t[i].count, buf);
		if (n != t[i].want)
			fail_msg("case %zu: write %d", i, n);
	}
	assert_int_equal(call(k, VFU_REGION_READ, &big, sizeof(big), &reply), -E2BIG);
	assert_int_equal(call(k, VFU_REGION_WRITE, &big, sizeof(big), &reply), -E2BIG);
	assert_int_equal(k->fake.n_reads, 6);
	assert_int_equal(k->fake.n_writes, 6);
	assert_int_equal(k->fake.last_region, 0); /* the MSI-X BAR is not the device's */
}

static void test_region_data(void **state)
{
	struct kit *k = *state;
	uint64_t v = 0x1122334455667788, got = 0;
	struct {
		struct vfu_region_access a;
		uint32_t data;
	} short_write = { { .offset = 0, .region = 0, .count = 8 }, 1 };

	assert_int_equal(region_write(k, 0, 0x10, 8, &v), 0);
	assert_int_equal(region_read(k, 0, 0x14, 4, &got), 0);
	assert_int_equal(got, 0x11223344);
	/* Less or more data than announced. */
	assert_int_equal(call(k, VFU_REGION_WRITE, &short_write, 20, &reply), -EINVAL);
	short_write.a.region = 7;
	short_write.a.count = 2;
	assert_int_equal(call(k, VFU_REGION_WRITE, &short_write, 20, &reply), -EINVAL);
	short_write.a.region = 0;
	short_write.a.count = 4;
	assert_int_equal(call(k, VFU_REGION_WRITE, &short_write, 20, &reply), 16);
	assert_int_equal(k->fake.regs[0], 1);

	/* A posted write is carried out before the read that follows. */
	short_write.data = 77;
	client_send(k, VFU_REGION_WRITE, VFU_HDR_NO_REPLY, &short_write, 20, NULL, 0);
	assert_int_equal(region_read(k, 0, 0, 4, &got), 0);
	assert_int_equal((uint32_t)got, 77);
}

static void test_config(void **state)
{
	struct kit *k = *state;
	uint32_t v = 0;
	uint8_t all[4096];

	assert_int_equal(region_read(k, 7, 0, 4096, all), 0);
	assert_memory_equal(all, k->layout.reset, 4096);
	v = 0x0006;
	assert_int_equal(region_write(k, 7, 4, 2, &v), 0);
	assert_int_equal(k->fake.config_events, PCI_EV_COMMAND);
	assert_true(pci_config_bus_master(&k->config));
	v = 0xffffffff;
	assert_int_equal(region_write(k, 7, 0x10, 4, &v), 0);
	assert_int_equal(k->fake.config_events, PCI_EV_BAR);
	assert_int_equal(region_read(k, 7, 0x10, 4, &v), 0);
	assert_int_equal(v, 0xffffc004);
	v = 0xffffffff;
	assert_int_equal(region_write(k, 7, 0x30, 4, &v), 0);
	assert_int_equal(region_read(k, 7, 0x30, 4, &v), 0);
	assert_int_equal(v, 0); /* no ROM */
	assert_int_equal(k->fake.n_config, 2);

	k->fake.regs[5] = 5;
	v = 0x8000;
	assert_int_equal(region_write(k, 7, 0xa8, 2, &v), 0);
	assert_int_equal(k->fake.n_resets[VFU_RESET_FLR], 1);
	assert_int_equal(k->fake.regs[5], 0);
	assert_int_equal(k->fake.config_events, PCI_EV_COMMAND | PCI_EV_BAR);
	assert_false(pci_config_bus_master(&k->config));
}

static void test_reset(void **state)
{
	struct kit *k = *state;
	uint32_t v = 0x0006;
	uint64_t entry = 0x00000000ffffffff;

	assert_int_equal(region_write(k, 7, 4, 2, &v), 0);
	assert_int_equal(region_write(k, 3, 8, 8, &entry), 0);
	assert_int_equal(call(k, VFU_DEVICE_RESET, NULL, 0, &reply), 0);
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], 1);
	assert_memory_equal(k->config.bytes, k->layout.reset, 4096);
	assert_int_equal(region_read(k, 3, 8, 8, &entry), 0);
	assert_int_equal(entry, 1ull << 32); /* vector masked, as after power-on */
}

static void test_msix_table(void **state)
{
	struct kit *k = *state;
	uint64_t v;
	uint32_t w = 0x12345678;

	for (unsigned int i = 0; i < N_VECTORS; i++) {
		assert_int_equal(region_read(k, 3, i * 16 + 8, 8, &v), 0);
		assert_int_equal(v, 1ull << 32);
	}
	assert_int_equal(region_read(k, 3, N_VECTORS * 16, 8, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(region_write(k, 3, 20, 4, &w), 0);
	assert_int_equal(region_read(k, 3, 16, 8, &v), 0);
	assert_int_equal(v, 0x1234567800000000);
	/* Outside the table nothing stays; pending bits are read-only. */
	assert_int_equal(region_write(k, 3, N_VECTORS * 16, 4, &w), 0);
	assert_int_equal(region_read(k, 3, N_VECTORS * 16, 8, &v), 0);
	assert_int_equal(v, 0);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(region_write(k, 3, 0x2000, 4, &w), 0);
	assert_int_equal(region_read(k, 3, 0x2000, 8, &v), 0);
	assert_int_equal(v, 4);
	assert_int_equal(region_read(k, 3, 0x2004, 4, &v), 0);
	assert_int_equal((uint32_t)v, 0);
}

int main(void)
{
#define T(f)       cmocka_unit_test_setup_teardown(f, kit_setup_agreed, kit_teardown)
#define T_FRESH(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	static const struct CMUnitTest tests[] = {
		T_FRESH(test_version),
		T_FRESH(test_version_numbers),
		T_FRESH(test_before_version),
		T(test_preconditions),
		T(test_message_types),
		T(test_device_info),
		T(test_region_info),
		T(test_region_map),
		T_FRESH(test_region_no_map),
		T(test_region_access),
		T(test_region_data),
		T(test_config),
		T(test_reset),
		T(test_msix_table),
	};

	return cmocka_run_group_tests_name("vfu dispatch", tests, NULL, NULL);
}
