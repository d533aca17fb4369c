/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions as a whole: sockets and their files, one client after the other, streams in pieces, cut
 * at every byte, not read, not followable; many devices on one loop; the threads around it.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/errtext.h"
#include "vfu/testkit.h"

static struct reply reply;
static const struct vfu_access owner_only = { .mode = 0600, .uid = (uid_t)-1, .gid = (gid_t)-1 };

/* ---- the socket's file ---- */

static int try_new(struct kit *k, const char *path, struct vfu_dev **dev, struct err *err)
{
	memset(err, 0, sizeof(*err));
	return vfu_dev_new(dev, k->loop, path, &owner_only, &k->desc, &k->fake, err);
}

static void test_socket_file(void **state)
{
	struct kit *k = *state;
	struct vfu_access group_too = { .mode = 0660, .uid = getuid(), .gid = getgid() };
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct vfu_dev *dev = NULL;
	struct err err;
	struct stat st;
	char path[sizeof(k->path)], too_long[200];
	int fd;

	assert_int_equal(stat(k->path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0600);

	/* Somebody listens: refused, and left alone. */
	assert_int_equal(try_new(k, k->path, &dev, &err), -EADDRINUSE);
	assert_int_equal(err.code, -EADDRINUSE);
	assert_non_null(strstr(err.text, k->path));
	assert_null(dev);
	client_connect(k);
	client_hello(k);
	assert_int_equal(try_new(k, k->path, &dev, &err), -EADDRINUSE);
	pump(k);
	assert_true(vfu_dev_attached(k->dev));

	/* A stale socket is replaced; what is no socket is not. */
	snprintf(path, sizeof(path), "%s/other", k->dir);
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	close(fd);
	assert_int_equal(vfu_dev_new(&dev, k->loop, path, &group_too, &k->desc, &k->fake, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode, S_IFSOCK | 0660);
	vfu_dev_free(dev);
	assert_int_equal(access(path, F_OK), -1);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(try_new(k, path, &dev, &err), -EEXIST);
	assert_int_equal(stat(path, &st), 0);
	unlink(path);

	memset(too_long, 'x', sizeof(too_long) - 1);
	too_long[sizeof(too_long) - 1] = '\0';
	assert_int_equal(try_new(k, too_long, &dev, &err), -ENAMETOOLONG);
	assert_int_equal(try_new(k, "", &dev, &err), -ENAMETOOLONG);
	snprintf(path, sizeof(path), "%s/no/where", k->dir);
	assert_int_equal(try_new(k, path, &dev, &err), -ENOENT);
	assert_non_null(strstr(err.text, path));
	snprintf(path, sizeof(path), "%s/vf.sock/x", k->dir);
	assert_int_equal(try_new(k, path, &dev, &err), -ENOTDIR);
}

/* The file that somebody else has put in its place stays when the device goes. */
static void test_replaced_file(void **state)
{
	struct kit *k = *state;
	struct vfu_dev *dev;
	struct err err;
	char path[sizeof(k->path)];
	int fd;

	snprintf(path, sizeof(path), "%s/other", k->dir);
	assert_int_equal(try_new(k, path, &dev, &err), 0);
	unlink(path);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	close(fd);
	vfu_dev_free(dev);
	assert_int_equal(unlink(path), 0);
	vfu_dev_free(NULL);
}

static void test_bad_descriptions(void **state)
{
	struct kit *k = *state;
	struct vfu_dev_desc d, good = k->desc;
	struct vfu_dev_ops ops = *good.ops;
	struct vfu_dev *dev;
	struct err err;
	char path[sizeof(k->path)];

	snprintf(path, sizeof(path), "%s/other", k->dir);
#define REFUSED(change)                                                                      \
	do {                                                                                 \
		d = good;                                                                    \
		change;                                                                      \
		assert_int_equal(vfu_dev_new(&dev, k->loop, path, &owner_only, &d, &k->fake, \
					     &err),                                          \
				 -EINVAL);                                                   \
		assert_int_equal(err.code, -EINVAL);                                         \
	} while (0)
	REFUSED(d.bars[0].access = 0);
	REFUSED(d.bars[0].access = 16);
	REFUSED(d.bars[0].n_areas = VFU_MAX_AREAS + 1);
	REFUSED(d.bars[0].mmap_fd = -1);
	REFUSED(d.bars[0].mmap_offset = 0x800);
	REFUSED(d.bars[0].areas[0].offset = 0x800);
	REFUSED(d.bars[0].areas[0].size = 0x800);
	REFUSED(d.bars[0].areas[0].size = 0);
	REFUSED(d.bars[0].areas[0].size = 0x4000);
	REFUSED(d.bars[0].areas[0].offset = 0x5000);
	REFUSED((d.bars[0].n_areas = 2, d.bars[0].areas[1] = (struct vfu_area){ 0x2000, 0x1000 }));
	REFUSED((d.bars[0].n_areas = 2, d.bars[0].areas[1] = (struct vfu_area){ 0, 0x1000 }));
	REFUSED(d.bars[1].n_areas = 1);
	REFUSED(d.n_vectors = 0);
	REFUSED(d.n_vectors = VFU_MAX_VECTORS + 1);
	REFUSED(d.msix_bar = 6);
	REFUSED(d.msix_bar = 2);
	REFUSED(d.msix_table_offset = 0x3fd8);
	REFUSED(d.msix_table_offset = 4);
	REFUSED(d.msix_pba_offset = 0x4000);
	REFUSED(d.config = NULL);
	REFUSED(d.mem = NULL);
	REFUSED((ops = *good.ops, ops.reset = NULL, d.ops = &ops));
	REFUSED((ops = *good.ops, ops.quiesce = NULL, d.ops = &ops));
#undef REFUSED
}

/* ---- one client after the other ---- */

static void test_second_client(void **state)
{
	struct kit *k = *state;
	struct vfu_stats stats;
	int second;

	client_connect(k);
	client_hello(k);
	assert_int_equal(vfu_dev_peer(k->dev), getpid());
	second = client_connect(k);
	assert_true(client_eof(second));
	close(second);
	assert_int_equal(call(k, VFU_DEVICE_RESET, NULL, 0, &reply), 0);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_refused_peers, 1);
	assert_int_equal(stats.n_sessions, 1);
	client_close(k);
	assert_int_equal(vfu_dev_peer(k->dev), 0);
	assert_false(vfu_dev_attached(k->dev));
	assert_int_equal(k->fake.n_attached, 1);
	assert_int_equal(k->fake.n_detached, 1);
	assert_int_equal(k->fake.n_resets[VFU_RESET_DETACH], 1);
	client_connect(k);
	client_hello(k);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_sessions, 2);
	assert_int_equal(stats.n_broken, 0);
	/* Removed with its client attached. */
	vfu_dev_free(k->dev);
	k->dev = NULL;
	assert_true(client_eof(k->fd));
	assert_int_equal(k->fake.n_detached, 2);
	assert_int_equal(k->fake.n_resets[VFU_RESET_DETACH], 2);
}

/* The next client comes while what the last one left behind is still unread. */
static void test_successor(void **state)
{
	struct kit *k = *state;

	client_connect(k);
	client_hello(k);
	for (unsigned int i = 0; i < 3 * VFU_BATCH; i++)
		client_send(k, VFU_DEVICE_RESET, VFU_HDR_NO_REPLY, NULL, 0, NULL, 0);
	close(k->fd);
	k->fd = -1;
	client_connect(k);
	client_hello(k);
	assert_int_equal(k->fake.n_resets[VFU_RESET_DETACH], 1);
	assert_int_equal(k->fake.n_attached, 2);
}

/* Who connects and says nothing does not keep the place. */
static void test_silent_client(void **state)
{
	struct kit *k = *state;
	struct vfu_stats stats;

	client_connect(k);
	send_bytes(k->fd, "\1\0\1", 3, NULL, 0);
	kit_now_ns += VFU_HELLO_TIMEOUT_MS * 1000000ull - 1;
	pump(k);
	assert_false(client_eof(k->fd));
	kit_now_ns += 1;
	pump(k);
	assert_true(client_eof(k->fd));
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_broken, 1);
	assert_int_equal(stats.n_sessions, 0);
	assert_int_equal(k->fake.n_attached + k->fake.n_detached, 0);
	assert_int_equal(k->fake.n_resets[VFU_RESET_DETACH], 0);
	client_close(k);
	client_connect(k);
	client_hello(k);
	kit_now_ns += 3600 * 1000000000ull; /* who has said it may be silent */
	pump(k);
	assert_int_equal(call(k, VFU_DEVICE_RESET, NULL, 0, &reply), 0);
}

static void test_framing_lost(void **state)
{
	static const uint32_t sizes[] = { 0, 1, 15, VFU_MAX_MSG + 1, UINT32_MAX };
	struct kit *k = *state;
	struct vfu_stats stats;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct vfu_hdr hdr = { .cmd = VFU_DEVICE_RESET, .size = sizes[i] };

		client_connect(k);
		client_hello(k);
		send_bytes(k->fd, &hdr, sizeof(hdr), &k->bar_fd, 1);
		pump(k);
		assert_true(client_eof(k->fd));
		assert_false(vfu_dev_attached(k->dev));
		vfu_dev_stats(k->dev, &stats);
		assert_int_equal(stats.n_broken, i + 1);
		client_close(k);
	}
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], 0);
	assert_int_equal(k->fake.n_resets[VFU_RESET_DETACH], ARRAY_SIZE(sizes));
}

/* ---- a whole session, in pieces ---- */

struct piece {
	size_t start, size;
	int fds[4];
	unsigned int n_fds;
};

struct script {
	uint8_t bytes[8192];
	size_t size;
	struct piece pieces[32];
	unsigned int n;
};

static void add(struct script *s, uint16_t cmd, const void *body, size_t size, const int *fds,
		unsigned int n_fds)
{
	struct vfu_hdr hdr = { .id = (uint16_t)(100 + s->n),
			       .cmd = cmd,
			       .size = (uint32_t)(sizeof(hdr) + size) };
	struct piece *p = &s->pieces[s->n++];

	assert_true(s->n <= ARRAY_SIZE(s->pieces) && s->size + hdr.size <= sizeof(s->bytes) &&
		    n_fds <= ARRAY_SIZE(p->fds));
	p->start = s->size;
	p->size = hdr.size;
	p->n_fds = n_fds;
	if (n_fds > 0)
		memcpy(p->fds, fds, n_fds * sizeof(int));
	memcpy(s->bytes + s->size, &hdr, sizeof(hdr));
	if (size > 0)
		memcpy(s->bytes + s->size + sizeof(hdr), body, size);
	s->size += hdr.size;
}

static void add_access(struct script *s, uint16_t cmd, uint32_t region, uint64_t offset,
		       uint32_t count, uint32_t value)
{
	uint8_t body[20];
	struct vfu_region_access a = { .offset = offset, .region = region, .count = count };

	memcpy(body, &a, sizeof(a));
	memcpy(body + sizeof(a), &value, 4);
	add(s, cmd, body, sizeof(a) + (cmd == VFU_REGION_WRITE ? count : 0), NULL, 0);
}

/* What QEMU 11.1 says from start to reset, shortened, with a refusal inside. */
static void write_script(struct script *s, int mem_fd, const int *irq_fds)
{
	static const char hello[] = "\0\0\0\0{\"capabilities\":{\"max_msg_fds\":8}}";
	const struct vfu_dma_map low = { 32, 3, 0, 0, 0xa0000 },
				 high = { 32, 3, 0x100000, 0x100000, 0x100000 },
				 rom = { 32, 1, 0, 0xc0000, 0x20000 };
	const struct vfu_dma_unmap gone = { 24, 0, 0xc0000, 0x20000 };
	const uint32_t dev_info[4] = { 16 }, irq_info[4] = { 16, 0, 2, 0 };
	const uint32_t region_short[8] = { 32 }, region_long[8] = { 64 };
	const uint32_t irq_none[5] = { 20, 0x24, 2, 0, 1 }, irq_set[5] = { 20, 0x24, 2, 0, 3 },
		       irq_off[5] = { 20, 0x21, 2, 0, 0 };

	memset(s, 0, sizeof(*s));
	add(s, VFU_VERSION, hello, sizeof(hello), NULL, 0);
	add(s, VFU_DMA_MAP, &low, 32, &mem_fd, 1);
	add(s, VFU_DMA_MAP, &rom, 32, NULL, 0);
	add(s, VFU_DMA_MAP, &high, 32, &mem_fd, 1);
	add(s, VFU_DEVICE_GET_INFO, dev_info, 16, NULL, 0);
	add(s, VFU_DEVICE_GET_REGION_INFO, region_short, 32, NULL, 0);
	add(s, VFU_DEVICE_GET_REGION_INFO, region_long, 32, NULL, 0);
	add(s, VFU_DEVICE_GET_IRQ_INFO, irq_info, 16, NULL, 0);
	add_access(s, VFU_REGION_READ, 7, 0, 256, 0);
	add_access(s, VFU_REGION_WRITE, 7, 4, 2, 6);
	add(s, VFU_DEVICE_SET_IRQS, irq_none, 20, NULL, 0);
	add(s, VFU_DEVICE_SET_IRQS, irq_set, 20, irq_fds, 3);
	add_access(s, VFU_REGION_WRITE, 0, 0x10, 4, 0x11223344);
	add_access(s, VFU_REGION_READ, 0, 0x10, 4, 0);
	add_access(s, VFU_REGION_READ, 0, 0x10, 1, 0); /* refused */
	add(s, VFU_DMA_UNMAP, &gone, 24, NULL, 0);
	add(s, VFU_DMA_UNMAP, &gone, 24, irq_fds, 1); /* refused */
	add(s, VFU_DEVICE_SET_IRQS, irq_off, 20, NULL, 0);
	add(s, VFU_DEVICE_RESET, NULL, 0, NULL, 0);
}

/* Sends bytes [from, to) of the script, `chunk` at a time, descriptors with a message's first byte. */
static void play(struct kit *k, const struct script *s, size_t from, size_t to, size_t chunk)
{
	unsigned int m = 0;

	for (size_t at = from; at < to;) {
		size_t n = to - at < chunk ? to - at : chunk;
		const struct piece *p;

		while (s->pieces[m].start + s->pieces[m].size <= at)
			m++;
		p = &s->pieces[m];
		/* Never one sendmsg over a border: descriptors would go to the wrong message. */
		if (n > p->start + p->size - at)
			n = p->start + p->size - at;
		send_bytes(k->fd, s->bytes + at, n, p->fds, at == p->start ? p->n_fds : 0);
		at += n;
		pump(k);
	}
}

/* All bytes that the server has sent; descriptors are closed. */
static size_t collect(int fd, uint8_t *buf, size_t capacity)
{
	size_t n = 0;

	while (client_recv(fd, &reply)) {
		assert_true(n + sizeof(reply.hdr) + reply.size <= capacity);
		memcpy(buf + n, &reply.hdr, sizeof(reply.hdr));
		memcpy(buf + n + sizeof(reply.hdr), reply.body, reply.size);
		n += sizeof(reply.hdr) + reply.size;
		for (unsigned int i = 0; i < reply.n_fds; i++)
			close(reply.fds[i]);
	}
	return n;
}

static void test_in_pieces(void **state)
{
	static const size_t chunks[] = { 1, 2, 3, 5, 15, 16, 17, 31, 47, 100 };
	struct kit *k = *state;
	static struct script s;
	static uint8_t whole[16384], parts[16384];
	int mem_fd = new_memfd(0x200000),
	    irq_fds[3] = { new_eventfd(), new_eventfd(), new_eventfd() };
	size_t size;

	write_script(&s, mem_fd, irq_fds);
	client_connect(k);
	play(k, &s, 0, s.size, SIZE_MAX);
	size = collect(k->fd, whole, sizeof(whole));
	assert_true(size > 19 * sizeof(struct vfu_hdr));
	assert_int_equal(mem_table(k->mem)->n_windows, 2);
	client_close(k);
	for (size_t i = 0; i < ARRAY_SIZE(chunks); i++) {
		client_connect(k);
		play(k, &s, 0, s.size, chunks[i]);
		assert_int_equal(collect(k->fd, parts, sizeof(parts)), size);
		assert_memory_equal(parts, whole, size);
		client_close(k);
	}
	close(mem_fd);
	for (unsigned int i = 0; i < 3; i++)
		close(irq_fds[i]);
}

/* After any prefix of a session the server holds nothing of it, and serves the next client. */
static void test_cut_everywhere(void **state)
{
	struct kit *k = *state;
	static struct script s;
	static uint8_t replies[16384];
	int mem_fd = new_memfd(0x200000),
	    irq_fds[3] = { new_eventfd(), new_eventfd(), new_eventfd() };
	unsigned int n_fds = open_fds(), sessions = 0;

	write_script(&s, mem_fd, irq_fds);
	for (size_t cut = 0; cut <= s.size; cut++) {
		size_t hello = s.pieces[0].size;

		client_connect(k);
		play(k, &s, 0, cut, SIZE_MAX);
		assert_int_equal(vfu_dev_attached(k->dev), cut >= hello);
		/* Every other time with what it was sent unread, which resets the connection. */
		if (cut % 2 == 0)
			collect(k->fd, replies, sizeof(replies));
		client_close(k);
		sessions += cut >= hello;
		assert_false(vfu_dev_attached(k->dev));
		assert_int_equal(mem_table(k->mem)->n_windows, 0);
		assert_int_equal(k->fake.n_detached, sessions);
		assert_int_equal(k->fake.n_resets[VFU_RESET_DETACH], sessions);
		assert_memory_equal(k->config.bytes, k->layout.reset, PCI_CONFIG_SIZE);
		assert_int_equal(open_fds(), n_fds);
	}
	client_connect(k);
	client_hello(k);
	close(mem_fd);
	for (unsigned int i = 0; i < 3; i++)
		close(irq_fds[i]);
}

/* Descriptors that come with a later byte of a message belong to it, too, up to the limit. */
static void test_scattered_fds(void **state)
{
	struct kit *k = *state;
	uint32_t body[5] = { 20, 0x24, 2, 0, 3 };
	struct vfu_hdr hdr = { .id = 7, .cmd = VFU_DEVICE_SET_IRQS, .size = 36 };
	int fds[8];

	client_connect(k);
	client_hello(k);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = new_eventfd();
	send_bytes(k->fd, &hdr, 16, fds, 1);
	pump(k);
	send_bytes(k->fd, body, 10, &fds[1], 1);
	pump(k);
	send_bytes(k->fd, (uint8_t *)body + 10, 10, &fds[2], 1);
	pump(k);
	assert_true(client_recv(k->fd, &reply));
	assert_int_equal(reply.hdr.flags, VFU_HDR_REPLY);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(read(fds[2], body, 8), 8);
	body[0] = 20;
	body[1] = 0x24;
	send_bytes(k->fd, &hdr, 16, fds, 8);
	send_bytes(k->fd, body, 20, fds, 1); /* the ninth */
	pump(k);
	assert_true(client_recv(k->fd, &reply));
	assert_int_equal(reply.hdr.error, EMFILE);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* ---- who does not read hurts only itself ---- */

/* One read of the whole configuration space; false if the socket takes no more. */
static bool try_read(struct kit *k, unsigned int id)
{
	struct {
		struct vfu_hdr hdr;
		struct vfu_region_access a;
	} m = { { .id = (uint16_t)id, .cmd = VFU_REGION_READ, .size = sizeof(m) },
		{ .region = 7, .count = 4096 } };
	ssize_t n = send(k->fd, &m, sizeof(m), MSG_DONTWAIT | MSG_NOSIGNAL);

	assert_true(n == sizeof(m) || (n < 0 && errno == EAGAIN));
	return n > 0;
}

static uint64_t n_messages(const struct kit *k)
{
	struct vfu_stats stats;

	vfu_dev_stats(k->dev, &stats);
	return stats.n_messages;
}

/* A second device on the loop of the first. */
static void neighbour_setup(struct kit *k, struct kit *other)
{
	struct err err;

	memset(other, 0, sizeof(*other));
	other->loop = k->loop;
	other->fd = -1;
	other->mem = mem_new(NULL, NULL);
	pci_config_init(&other->config, &k->layout);
	other->desc = k->desc;
	other->desc.config = &other->config;
	other->desc.mem = other->mem;
	snprintf(other->path, sizeof(other->path), "%s/neighbour", k->dir);
	assert_int_equal(vfu_dev_new(&other->dev, k->loop, other->path, &owner_only, &other->desc,
				     &other->fake, &err),
			 0);
	client_connect(other);
	client_hello(other);
}

static void neighbour_teardown(struct kit *other)
{
	client_close(other);
	vfu_dev_free(other->dev);
	mem_free(other->mem);
}

static void test_unread_replies(void **state)
{
	struct kit *k = *state;
	static struct kit other;
	unsigned int sent = 0, received = 0;

	neighbour_setup(k, &other);
	client_connect(k);
	client_hello(k);
	do {
		assert_true(try_read(k, sent++));
		pump(k); /* and it does not spin */
	} while (n_messages(k) - 1 == sent && sent < 100000);
	/* It has stopped reading, with one reply at most to keep. */
	assert_in_range(vfu_conn_unsent(&k->dev->conn), 1, 4096 + 32);
	assert_in_range(k->dev->conn.out_capacity, 1, 16384);
	while (try_read(k, sent))
		sent++;
	pump(k);
	assert_true(n_messages(k) - 1 < sent);
	assert_int_equal(call(&other, VFU_DEVICE_RESET, NULL, 0, &reply), 0);

	/* Once it reads, all the answers come, in order. */
	while (client_recv(k->fd, &reply)) {
		assert_int_equal(reply.hdr.id, (uint16_t)received++);
		assert_int_equal(reply.size, 16 + 4096);
		pump(k);
		assert_in_range(vfu_conn_unsent(&k->dev->conn), 0, 4096 + 32);
	}
	assert_int_equal(received, sent);
	assert_int_equal(call(k, VFU_DEVICE_RESET, NULL, 0, &reply), 0);

	/* And one that leaves with everything unread is let go. */
	while (try_read(k, 0))
		pump(k);
	client_close(k);
	assert_false(vfu_dev_attached(k->dev));
	neighbour_teardown(&other);
}

/* A client that never stops does not keep the others from their turn. */
static void test_turns(void **state)
{
	struct kit *k = *state;
	static struct kit other;
	unsigned int n = 0;

	neighbour_setup(k, &other);
	client_connect(k);
	client_hello(k);
	for (unsigned int i = 0; i < VFU_BATCH + 20; i++)
		client_send(k, VFU_DEVICE_RESET, VFU_HDR_NO_REPLY, NULL, 0, NULL, 0);
	client_send(&other, VFU_DEVICE_RESET, 0, NULL, 0, NULL, 0);
	assert_true(vfu_loop_step(k->loop, 0) > 0);
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], VFU_BATCH);
	assert_int_equal(other.fake.n_resets[VFU_RESET_MESSAGE], 1);
	pump(k);
	assert_int_equal(k->fake.n_resets[VFU_RESET_MESSAGE], VFU_BATCH + 20);
	while (client_recv(other.fd, &reply))
		n++;
	assert_int_equal(n, 1);
	neighbour_teardown(&other);
}

/* Without a descriptor left for a client, the loop waits instead of spinning. */
static void test_no_descriptors(void **state)
{
	struct kit *k = *state;
	struct rlimit old, tight;
	int fd;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fd = new_eventfd(); /* the lowest free one is the client's */
	close(fd);
	tight = old;
	tight.rlim_cur = (rlim_t)fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	client_connect(k); /* pump() inside ends */
	assert_int_equal(k->dev->conn.fd, -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	kit_now_ns += 999999999ull;
	pump(k);
	assert_int_equal(k->dev->conn.fd, -1);
	kit_now_ns += 1;
	pump(k);
	client_hello(k);
}

/* Descriptors of a message that this process has no room for: refused, the session goes on. */
static void test_no_room_for_fds(void **state)
{
	struct kit *k = *state;
	uint32_t body[5] = { 20, 0x24, 2, 0, 3 };
	struct rlimit old, tight;
	int fds[3] = { new_eventfd(), new_eventfd(), new_eventfd() };
	int fd, n;

	client_connect(k);
	client_hello(k);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	fd = new_eventfd();
	close(fd);
	tight = old;
	tight.rlim_cur = (rlim_t)fd + 2; /* two of three */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	n = call_fds(k, VFU_DEVICE_SET_IRQS, body, sizeof(body), fds, 3, &reply);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(n, -EMFILE);
	assert_int_equal(call_fds(k, VFU_DEVICE_SET_IRQS, body, sizeof(body), fds, 3, &reply), 0);
	for (unsigned int i = 0; i < 3; i++)
		close(fds[i]);
}

static void test_kick(void **state)
{
	struct kit *k = *state;

	vfu_dev_kick(k->dev);
	vfu_dev_kick(k->dev);
	assert_int_equal(k->fake.n_kicked, 0);
	pump(k);
	assert_int_equal(k->fake.n_kicked, 1);
	vfu_dev_kick(k->dev);
	pump(k);
	assert_int_equal(k->fake.n_kicked, 2);
}

/* ---- threads ---- */

static void *loop_main(void *arg)
{
	struct kit *k = arg;

	return vfu_loop_run(k->loop) == 0 ? k : NULL;
}

static bool blocking_reset(int fd)
{
	struct vfu_hdr hdr = { .cmd = VFU_DEVICE_RESET, .size = sizeof(hdr) };

	return send(fd, &hdr, sizeof(hdr), MSG_NOSIGNAL) == sizeof(hdr) &&
	       recv(fd, &hdr, sizeof(hdr), MSG_WAITALL) == sizeof(hdr);
}

static void *busy_client(void *arg)
{
	int fd = *(int *)arg;

	while (blocking_reset(fd))
		;
	return NULL;
}

/* The control thread adds, locks and removes while the loop serves a client without a pause. */
static void test_threads(void **state)
{
	struct kit *k = *state;
	struct vfu_dev *dev;
	struct err err;
	pthread_t loop, busy;
	char path[sizeof(k->path)];
	struct fake fake;
	struct pci_config config;
	struct vfu_dev_desc desc = k->desc;
	void *result;

	client_connect(k);
	client_hello(k);
	fcntl(k->fd, F_SETFL, 0);
	assert_int_equal(pthread_create(&loop, NULL, loop_main, k), 0);
	assert_int_equal(pthread_create(&busy, NULL, busy_client, &k->fd), 0);
	snprintf(path, sizeof(path), "%s/other", k->dir);
	desc.config = &config;
	for (unsigned int i = 0; i < 200; i++) {
		struct sockaddr_un addr = { .sun_family = AF_UNIX };
		struct vfu_hdr hdr = { .cmd = VFU_VERSION, .size = 20 };
		uint8_t hello[20] = { 0 };
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		memset(&fake, 0, sizeof(fake));
		assert_int_equal(vfu_dev_new(&dev, k->loop, path, &owner_only, &desc, &fake, &err),
				 0);
		strcpy(addr.sun_path, path);
		assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		memcpy(hello, &hdr, sizeof(hdr));
		assert_int_equal(send(fd, hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
		if (i % 2 == 0) /* else it is removed with its client in the doorway */
			assert_int_equal(recv(fd, hello, sizeof(hello), MSG_WAITALL), 20);
		vfu_dev_kick(dev);
		vfu_lock(k->loop);
		fake.n_kicked++;
		vfu_unlock(k->loop);
		vfu_dev_free(dev);
		close(fd);
	}
	shutdown(k->fd, SHUT_RDWR);
	pthread_join(busy, NULL);
	vfu_loop_stop(k->loop);
	pthread_join(loop, &result);
	assert_ptr_equal(result, k);
	assert_true(k->fake.n_resets[VFU_RESET_MESSAGE] > 0);
}

/* A device that is freed after its events were fetched and before they are served. */
static void test_stale_events(void **state)
{
	struct kit *k = *state;
	static struct kit other;
	pthread_t loop;
	void *result;

	neighbour_setup(k, &other);
	assert_int_equal(pthread_create(&loop, NULL, loop_main, k), 0);
	vfu_lock(k->loop);
	client_send(&other, VFU_DEVICE_RESET, VFU_HDR_NO_REPLY, NULL, 0, NULL, 0);
	while (pthread_mutex_trylock(&k->loop->gate) == 0) { /* until the loop stands in it */
		pthread_mutex_unlock(&k->loop->gate);
		sched_yield();
	}
	vfu_dev_free_locked(other.dev);
	vfu_unlock(k->loop);
	vfu_lock(k->loop); /* behind the loop's turn */
	vfu_unlock(k->loop);
	vfu_loop_stop(k->loop);
	pthread_join(loop, &result);
	assert_ptr_equal(result, k);
	assert_int_equal(other.fake.n_resets[VFU_RESET_MESSAGE], 0);
	other.dev = NULL;
	neighbour_teardown(&other);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_socket_file),    T(test_replaced_file),   T(test_bad_descriptions),
		T(test_second_client),  T(test_successor),       T(test_silent_client),
		T(test_framing_lost),   T(test_in_pieces),       T(test_cut_everywhere),
		T(test_scattered_fds),  T(test_unread_replies),  T(test_turns),
		T(test_no_descriptors), T(test_no_room_for_fds), T(test_kick),
		T(test_threads),        T(test_stale_events),
	};

	return cmocka_run_group_tests_name("vfu session", tests, NULL, NULL);
}
