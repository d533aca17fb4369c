/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "frame/copy.h"
#include "frame/testref.h"

#define SIZE_MAX_TESTED 3000
#define OUT_SEGS        12
#define CANARY          0xc7

/* The sender's bytes and wishes, before the frame is cut and parsed. */
struct wish {
	uint8_t flat[SIZE_MAX_TESTED + 4];
	uint32_t size;
	bool tag_in;
	uint16_t flags, tci, csum_start, csum_offset, l3_start;
};

static void wish_random(struct wish *w)
{
	uint32_t up, field;

	memset(w, 0, sizeof(*w));
	w->size = ref_random(4) == 0 ? 18 + ref_random(120) : 18 + ref_random(SIZE_MAX_TESTED - 18);
	ref_fill(w->flat, sizeof(w->flat));
	w->tag_in = ref_random(3) == 0;
	store_be16(w->flat + 12, 0x0800);
	w->tci = (uint16_t)rand();
	if (w->tag_in) {
		store_be16(w->flat + 12, ETH_TYPE_VLAN);
		store_be16(w->flat + 14, w->tci);
		store_be16(w->flat + 16, 0x0800);
		w->size += 4;
	} else if (ref_random(3) == 0) {
		w->flags |= FRAME_TAGGED;
	}
	up = w->tag_in ? 4 : 0;
	if (ref_random(2) == 0 && w->size > 14 + up + 20) {
		w->flags |= FRAME_IP4_CSUM;
		w->l3_start = (uint16_t)(14 + up + ref_random(w->size - 14 - up - 20));
		if (ref_random(4) > 0) /* mostly a header length that is right */
			w->flat[w->l3_start] = 0x45;
	}
	field = ref_random(3) == 0 ? 4 : 2;
	if (ref_random(2) == 0 && w->size >= 14 + up + field) {
		w->flags |= FRAME_L4_CSUM | (field == 4 ? FRAME_SCTP_CRC : 0);
		w->csum_start = (uint16_t)(14 + up + ref_random(w->size - 14 - up - field + 1));
		w->csum_offset = (uint16_t)ref_random(w->size - w->csum_start - field + 1);
	}
}

/* What the receiver has to get. Returns its size. */
static uint32_t expect(const struct wish *w, unsigned int copy_flags, uint8_t *out)
{
	bool tag_out = (copy_flags & COPY_TAG) != 0;
	uint32_t from = w->tag_in ? 16 : 12, to = tag_out ? 16 : 12;
	uint32_t size = w->size - from + to;
	uint32_t l3 = w->l3_start - from + to, l4 = w->csum_start - from + to;
	uint16_t sum;

	memcpy(out, w->flat, 12);
	memcpy(out + to, w->flat + from, w->size - from);
	if (tag_out) {
		bool known = w->tag_in || (w->flags & FRAME_TAGGED) != 0;

		store_be16(out + 12, ETH_TYPE_VLAN);
		store_be16(out + 14, known ? w->tci : 0);
	}
	if ((copy_flags & COPY_CSUM) == 0)
		return size;
	if ((w->flags & FRAME_IP4_CSUM) != 0) {
		uint32_t n = (out[l3] & 0xfu) * 4;

		if (n >= 20 && l3 + n <= size) {
			store_be16(out + l3 + 10, 0);
			store_be16(out + l3 + 10, (uint16_t)~ref_sum(out + l3, n, 0));
		}
	}
	if ((w->flags & FRAME_SCTP_CRC) != 0) {
		uint32_t crc;

		memset(out + l4 + w->csum_offset, 0, 4);
		crc = htole32(~ref_crc32c(out + l4, size - l4, ~0u));
		memcpy(out + l4 + w->csum_offset, &crc, 4);
	} else if ((w->flags & FRAME_L4_CSUM) != 0) {
		sum = (uint16_t)~ref_sum(out + l4, size - l4, 0);
		store_be16(out + l4 + w->csum_offset, sum == 0 ? 0xffff : sum);
	}
	return size;
}

struct sink {
	struct seg_out seg[OUT_SEGS];
	unsigned int n;
};

/* Room for `size` bytes and now and then more, in n segments of their own. */
static void sink_new(struct sink *s, uint32_t size, unsigned int n)
{
	uint32_t left = size;

	s->n = n;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t room = ref_random(2) == 0 ? ref_random(left + 1)
						   : ref_random(70) % (left + 1);

		if (i + 1 == n)
			room = left + ref_random(2) * ref_random(30);
		left -= room < left ? room : left;
		s->seg[i].size = room;
		s->seg[i].va = malloc(room + 1);
		memset(s->seg[i].va, CANARY, room + 1);
	}
}

/* Compares, checks that nothing else was written, frees. Returns the segments that hold bytes. */
static unsigned int sink_check(struct sink *s, const uint8_t *want, uint32_t size)
{
	unsigned int touched = 0;

	for (unsigned int i = 0; i < s->n; i++) {
		uint32_t n = s->seg[i].size < size ? s->seg[i].size : size;

		assert_memory_equal(s->seg[i].va, want, n);
		for (uint32_t k = n; k <= s->seg[i].size; k++)
			assert_int_equal(s->seg[i].va[k], CANARY);
		if (n > 0)
			touched = i + 1;
		want += n;
		size -= n;
		free(s->seg[i].va);
	}
	assert_int_equal(size, 0);
	return touched;
}

static void copy_once(const struct wish *w, unsigned int copy_flags, unsigned int n_in,
		      unsigned int n_out)
{
	static uint8_t want[SIZE_MAX_TESTED + 8];
	uint32_t size = expect(w, copy_flags, want);
	struct ref_frame r;
	struct sink sink;
	unsigned int n;

	ref_cut(&r, w->flat, w->size, n_in);
	r.f.flags = w->flags;
	r.f.tci = w->tci;
	r.f.csum_start = w->csum_start;
	r.f.csum_offset = w->csum_offset;
	r.f.l3_start = w->l3_start;
	assert_true(frame_parse(&r.f));
	assert_int_equal(frame_copy_size(&r.f, copy_flags), size);
	/* From here on the addresses, the tag and the ethertype are the frame's own. */
	ref_overwrite(&r, r.f.body + 2u);
	sink_new(&sink, size, n_out);
	n = frame_copy_slow(&r.f, sink.seg, n_out, copy_flags);
	assert_int_equal(sink_check(&sink, want, size), n);
	sink_new(&sink, size, n_out);
	frame_copy(&r.f, sink.seg, n_out, copy_flags);
	sink_check(&sink, want, size);
	ref_free(&r);
}

static void test_random(void **state)
{
	static struct wish w;

	srand(8);
	for (unsigned int i = 0; i < 12000; i++) {
		wish_random(&w);
		copy_once(&w, ref_random(4), 1 + ref_random(ref_random(2) ? 3 : FRAME_SEGS),
			  1 + ref_random(ref_random(2) ? 1 : OUT_SEGS));
	}
}

/* The inline path at every small size, and around its limits. */
static void test_plain_sizes(void **state)
{
	static struct wish w;

	srand(9);
	ref_fill(w.flat, sizeof(w.flat));
	store_be16(w.flat + 12, 0x0800);
	for (w.size = 14; w.size < 300; w.size++)
		copy_once(&w, w.size % 2 ? COPY_CSUM : 0, 1, 1);
	for (w.size = 1500; w.size < 1530; w.size++)
		copy_once(&w, 0, 1, 1);
}

/* A sum of zero goes out as 0xffff: 0 means "no checksum" to UDP. */
static void test_zero_sum(void **state)
{
	static struct wish w = {
		.size = 60, .flags = FRAME_L4_CSUM, .csum_start = 34, .csum_offset = 6
	};
	static uint8_t want[64];

	store_be16(w.flat + 12, 0x0800);
	store_be16(w.flat + 34, 0xffff);
	expect(&w, COPY_CSUM, want);
	assert_int_equal(load_be16(want + 40), 0xffff);
	copy_once(&w, COPY_CSUM, 1, 1);
	copy_once(&w, COPY_CSUM, 5, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_plain_sizes),
		cmocka_unit_test(test_zero_sum),
	};

	return cmocka_run_group_tests_name("copy", tests, NULL, NULL);
}
