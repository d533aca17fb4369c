/* SPDX-License-Identifier: BSD-3-Clause */
/* A capture's stream, read back block by block. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "capture/capture.h"
#include "capture/pcapng.h"

#define STREAM_MAX (16u << 20)

static struct capture *capture;
static int reader;
static atomic_uint n_ended;
static uint8_t *stream;
static uint32_t stream_size;
static unsigned int farewell_ms = 60000;

static void on_ended(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

static void open_capture(uint32_t snaplen, bool drops_only)
{
	struct capture_options options = { .filter = "",
					   .drops_only = drops_only,
					   .snaplen = snaplen,
					   .n_workers = 2,
					   .farewell_ms = farewell_ms,
					   .ended = on_ended,
					   .arg = &n_ended };
	struct err err = { 0 };
	int fds[2];

	atomic_store(&n_ended, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	reader = fds[1];
	assert_int_equal(capture_new(&capture, &options, &err), 0);
	assert_int_equal(capture_run(capture, fds[0]), 0);
}

static void close_capture(void)
{
	capture_free(capture);
	close(reader);
}

/* Reads until the capture closes the stream. */
static void read_stream(void)
{
	ssize_t n;

	stream_size = 0;
	while ((n = read(reader, stream + stream_size, STREAM_MAX - stream_size)) > 0)
		stream_size += (uint32_t)n;
	assert_int_equal(n, 0);
}

struct block {
	uint32_t type, size;
	const uint8_t *body;
};

static uint32_t word(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* The n-th block of a type, with its two sizes checked on the way. */
static bool find_block(uint32_t type, unsigned int nth, struct block *b)
{
	uint32_t at = 0;

	while (at < stream_size) {
		*b = (struct block){ word(stream + at), word(stream + at + 4), stream + at + 8 };
		assert_true(b->size % 4 == 0 && b->size >= 12 && at + b->size <= stream_size);
		assert_int_equal(word(stream + at + b->size - 4), b->size);
		at += b->size;
		if (b->type == type && nth-- == 0)
			return true;
	}
	return false;
}

/* The value of an option; `fixed` bytes of the body come before the options. */
static const uint8_t *find_option(const struct block *b, uint32_t fixed, uint16_t code,
				  uint16_t *size)
{
	const uint8_t *at = b->body + fixed, *end = b->body + b->size - 12;
	uint16_t this;

	for (; at < end; at += 4 + ((*size + 3u) & ~3u)) {
		memcpy(&this, at, 2);
		memcpy(size, at + 2, 2);
		if (this == code)
			return at + 4;
		assert_true(this != 0 || at + 4 == end);
	}
	return NULL;
}

static void assert_text(const struct block *b, uint32_t fixed, uint16_t code, const char *text)
{
	uint16_t size = 0;
	const uint8_t *value = find_option(b, fixed, code, &size);

	assert_non_null(value);
	assert_int_equal(size, strlen(text));
	assert_memory_equal(value, text, size);
}

static uint8_t bytes[300];

/* An untagged frame of 114 bytes in two pieces, as forwarding shows it. */
static struct frame *a_frame(void)
{
	static struct frame f;
	static struct seg more;

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	more = (struct seg){ bytes + 40, 74 };
	f = (struct frame){ .va = bytes, .seg_size = 40, .size = 114, .n_segs = 2, .more = &more };
	assert_true(frame_parse(&f));
	return &f;
}

static struct forwarder fw;

static void see(struct tap *tap, const struct tap_sight *sight)
{
	struct tap_sight with_time = *sight;

	fw.seen_ns = 0;
	with_time.fw = &fw;
	taps_show(tap, &with_time);
}

static void finish(void)
{
	capture_end(capture);
	read_stream();
	while (atomic_load(&n_ended) == 0)
		sched_yield();
}

static void test_blocks(void **state)
{
	struct frame *f = a_frame();
	struct tap *vport, *uplink;
	struct block b;
	uint64_t lost = 1;
	uint16_t size;

	open_capture(100, false);
	vport = capture_port(capture, false, "web1", "lan");
	uplink = capture_port(capture, true, "up1", "lan");
	assert_ptr_equal(capture_port(capture, false, "web1", "lan"), vport);
	assert_true(capture_owns(capture, uplink));
	worker_self = 1;
	see(vport, &(struct tap_sight){ .frame = f, .queue = 3, .way = TAP_OUT, .slot = PORT_VF });
	see(vport, &(struct tap_sight){ .frame = f,
					.queue = TAP_QUEUE_NONE,
					.way = TAP_IN,
					.slot = PORT_SYNTHETIC,
					.drop = DROP_NO_BUFFER });
	f->tci = 0x2007;
	see(uplink,
	    &(struct tap_sight){
		    .frame = f, .queue = 0, .way = TAP_OUT, .slot = PORT_UPLINK, .tagged = true });
	finish();
	assert_int_equal(atomic_load(&n_ended), 1);

	assert_true(find_block(PCAPNG_SECTION, 0, &b));
	assert_int_equal(word(b.body), 0x1a2b3c4d);
	assert_false(find_block(PCAPNG_SECTION, 1, &b));
	assert_true(find_block(PCAPNG_INTERFACE, 0, &b));
	assert_int_equal(word(b.body + 4), 100);
	assert_text(&b, 8, 2, "web1");
	assert_text(&b, 8, 3, "vport web1 of switch lan, path vf");
	assert_true(find_block(PCAPNG_INTERFACE, 1, &b));
	assert_text(&b, 8, 3, "vport web1 of switch lan, path synthetic");
	assert_true(find_block(PCAPNG_INTERFACE, 2, &b));
	assert_text(&b, 8, 3, "uplink up1 of switch lan");
	assert_false(find_block(PCAPNG_INTERFACE, 3, &b));

	assert_true(find_block(PCAPNG_PACKET, 0, &b));
	assert_int_equal(word(b.body), 0);
	assert_int_equal(word(b.body + 12), 100);
	assert_int_equal(word(b.body + 16), 114);
	assert_memory_equal(b.body + 20, bytes, 100);
	assert_int_equal(word(find_option(&b, 120, 2, &size)), PCAPNG_OUTBOUND);
	assert_int_equal(word(find_option(&b, 120, 6, &size)), 3);
	assert_null(find_option(&b, 120, 1, &size));

	assert_true(find_block(PCAPNG_PACKET, 1, &b));
	assert_int_equal(word(b.body), 1);
	assert_text(&b, 120, 1, "dropped: no-buffer");
	assert_int_equal(word(find_option(&b, 120, 2, &size)), PCAPNG_INBOUND);
	assert_null(find_option(&b, 120, 6, &size));

	/* What comes out of an uplink the host receives; the tag is in its place. */
	assert_true(find_block(PCAPNG_PACKET, 2, &b));
	assert_int_equal(word(b.body), 2);
	assert_int_equal(word(find_option(&b, 120, 2, &size)), PCAPNG_INBOUND);
	assert_int_equal(word(b.body + 16), 118);
	assert_memory_equal(b.body + 20, bytes, 12);
	assert_memory_equal(b.body + 32, "\x81\x00\x20\x07", 4);
	assert_memory_equal(b.body + 36, bytes + 12, 84);

	assert_true(find_block(PCAPNG_STATISTICS, 2, &b));
	assert_false(find_block(PCAPNG_STATISTICS, 3, &b));
	memcpy(&lost, find_option(&b, 12, 5, &size), sizeof(lost));
	assert_int_equal(lost, 0);
	close_capture();
}

static void test_refused_frames(void **state)
{
	struct frame f = { .va = bytes, .seg_size = 9, .size = 9, .n_segs = 1 };
	struct tap *tap;
	struct block b;

	open_capture(CAPTURE_SNAPLEN_MAX, true);
	tap = capture_port(capture, false, "web1", "lan");
	assert_false(frame_parse(&f));
	see(tap, &(struct tap_sight){ .frame = a_frame() }); /* not dropped */
	see(tap, &(struct tap_sight){ .frame = &f, .drop = DROP_RUNT });
	finish();
	assert_true(find_block(PCAPNG_PACKET, 0, &b));
	assert_int_equal(word(b.body + 12), 9);
	assert_memory_equal(b.body + 20, bytes, 9);
	assert_text(&b, 20 + 12, 1, "dropped: runt");
	assert_false(find_block(PCAPNG_PACKET, 1, &b));
	close_capture();
}

/* Nobody reads: workers go on and count what is lost, and all that is not comes when somebody does. */
static void test_slow_reader(void **state)
{
	static uint8_t large[60000];
	struct frame f = {
		.va = large, .seg_size = sizeof(large), .size = sizeof(large), .n_segs = 1
	};
	const unsigned int n_shown = 600;
	struct capture_state s;
	struct block b;
	struct tap *tap;
	unsigned int n = 0;
	uint64_t lost;
	uint16_t size;

	assert_true(frame_parse(&f));
	open_capture(CAPTURE_SNAPLEN_MAX, false);
	tap = capture_port(capture, true, "up1", "lan");
	for (unsigned int i = 0; i < n_shown; i++)
		see(tap, &(struct tap_sight){ .frame = &f, .way = TAP_OUT });
	capture_state(capture, &s);
	assert_true(s.lost > 0 && s.lost < n_shown);
	finish();
	while (find_block(PCAPNG_PACKET, n, &b))
		n++;
	assert_int_equal(n, n_shown - s.lost);
	assert_true(find_block(PCAPNG_STATISTICS, 0, &b));
	memcpy(&lost, find_option(&b, 12, 5, &size), sizeof(lost));
	assert_int_equal(lost, s.lost);
	close_capture();
}

/* A reader that takes a byte now and then has its time, and no more. */
static void test_trickling_reader(void **state)
{
	static uint8_t large[60000];
	struct frame f = {
		.va = large, .seg_size = sizeof(large), .size = sizeof(large), .n_segs = 1
	};
	struct capture_state s;
	struct tap *tap;

	assert_true(frame_parse(&f));
	farewell_ms = 100;
	open_capture(CAPTURE_SNAPLEN_MAX, false);
	farewell_ms = 60000;
	tap = capture_port(capture, true, "up1", "lan");
	for (unsigned int i = 0; i < 60; i++)
		see(tap, &(struct tap_sight){ .frame = &f, .way = TAP_OUT });
	capture_end(capture);
	/* All of it would take hours. */
	while (atomic_load(&n_ended) == 0) {
		uint8_t byte;

		assert_int_equal(read(reader, &byte, 1), 1);
		usleep(10000);
	}
	capture_state(capture, &s);
	assert_true(s.ended);
	assert_string_equal(s.reason, CAPTURE_UNREAD);
	close_capture();
}

static void test_reader_goes(void **state)
{
	struct capture_state s;

	open_capture(100, false);
	close(reader);
	while (atomic_load(&n_ended) == 0)
		sched_yield();
	capture_state(capture, &s);
	assert_true(s.ended);
	assert_string_equal(s.reason, "its reader has gone");
	capture_free(capture);
}

static uint64_t n_lost(void)
{
	struct capture_state s;

	capture_state(capture, &s);
	return s.lost;
}

/* Control does nothing and its reader shuts its side, at a time when all is full: nothing more is taken, nor counted as
 * lost; what is there comes, and then the end. */
static void test_ended_by_its_reader(void **state)
{
	static uint8_t large[60000];
	struct frame f = {
		.va = large, .seg_size = sizeof(large), .size = sizeof(large), .n_segs = 1
	};
	const struct tap_sight sight = { .frame = &f, .way = TAP_OUT };
	struct capture_state s;
	struct tap *tap;
	struct block b;
	uint64_t lost;

	assert_true(frame_parse(&f));
	open_capture(CAPTURE_SNAPLEN_MAX, false);
	tap = capture_port(capture, false, "web1", "lan");
	while (n_lost() == 0)
		see(tap, &sight);
	assert_int_equal(shutdown(reader, SHUT_WR), 0);
	do {
		lost = n_lost();
		see(tap, &sight);
	} while (n_lost() > lost);
	read_stream();
	assert_true(find_block(PCAPNG_STATISTICS, 0, &b));
	while (atomic_load(&n_ended) == 0)
		sched_yield();
	capture_state(capture, &s);
	assert_true(s.ended);
	assert_int_equal(s.lost, lost);
	assert_string_equal(s.reason, "stopped by its user");
	close_capture();
}

/* The daemon stops while nobody reads. */
static void test_freed_at_once(void **state)
{
	struct tap *tap;

	open_capture(CAPTURE_SNAPLEN_MAX, false);
	tap = capture_port(capture, true, "up1", "lan");
	for (unsigned int i = 0; i < 20000; i++)
		see(tap, &(struct tap_sight){ .frame = a_frame(), .way = TAP_OUT });
	close_capture();
	assert_int_equal(atomic_load(&n_ended), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_refused_frames),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_reader_goes),
		cmocka_unit_test(test_freed_at_once),
		cmocka_unit_test(test_trickling_reader),
		cmocka_unit_test(test_ended_by_its_reader),
	};
	int ret;

	stream = malloc(STREAM_MAX);
	worker_self = 0;
	ret = cmocka_run_group_tests(tests, NULL, NULL);
	free(stream);
	return ret;
}
