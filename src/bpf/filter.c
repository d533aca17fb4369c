/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/filter.h"

#include <assert.h>
#include <errno.h>
#include <rte_bpf.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <stdlib.h>

#include "bpf/native.h"
#include "bpf/quick.h"
#include "bpf/where.h"
#include "frame/flow.h"
#include "switch/policy.h"

#define PIECES_MAX 64
#define FLAT_SIZE  2048 /* that the interpreter sees */

/* DPDK 22.11.11 has loads of bytes and words, but not those of half words, go by the accumulator where the classic
 * program says the index register, which it keeps in this one: `tcp[13] & 2 != 0` would never match. */
static void mend_indirect_loads(const struct rte_bpf_prm *prm)
{
	for (uint32_t i = 0; i < prm->nb_ins; i++) {
		struct ebpf_insn *ins = (struct ebpf_insn *)&prm->ins[i];

		if (BPF_CLASS(ins->code) == BPF_LD && BPF_MODE(ins->code) == BPF_IND)
			ins->src_reg = EBPF_REG_7;
	}
}

/* Whether the program computes where it looks, as `ip[ip[2:2] - 15]` does: then an offset can be anything, and DPDK
 * 22.11.11 checks offset + size in 32 bits only (rte_mbuf.c, __rte_pktmbuf_read). What libpcap takes from the size of an
 * IP header is at most 60. */
static bool wanders(const struct bpf_program *classic)
{
	bool indirect = false, computed = false;

	for (unsigned int i = 0; i < classic->bf_len; i++) {
		uint16_t code = classic->bf_insns[i].code;
		uint16_t class = BPF_CLASS(code);

		indirect |= class == BPF_LD && BPF_MODE(code) == BPF_IND;
		computed |= (class == BPF_MISC && BPF_MISCOP(code) == BPF_TAX) ||
			    (class == BPF_LDX && BPF_MODE(code) != BPF_MSH);
	}
	return indirect && computed;
}

/* libpcap's classic program as DPDK's. */
static struct rte_bpf *load(const struct bpf_program *classic, uint64_t (**native)(void *mbuf))
{
	struct rte_bpf_prm *prm = rte_bpf_convert(classic);
	struct rte_bpf *program;
	struct rte_bpf_jit jit;

	if (prm == NULL)
		return NULL;
	mend_indirect_loads(prm);
	program = rte_bpf_load(prm);
	if (program != NULL && rte_bpf_get_jit(program, &jit) == 0 && jit.func != NULL &&
	    native_is_right((const struct bpf_ins *)prm->ins, prm->nb_ins, jit.sz))
		*native = jit.func;
	rte_free(prm);
	return program;
}

static bool sees(const struct tap_filter *tap, const struct tap_sight *sight);
static uint32_t may_see(const struct tap_filter *tap, const struct frame *frame, uint32_t frames);

/* Takes the program over. */
static int use(struct bpf_filter *f, struct bpf_program *classic, struct err *err)
{
	f->tap = (struct tap_filter){ .sees = sees, .may_see = may_see };
	f->quick = quick_new(classic);
	if (f->quick == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	if (wanders(classic)) {
		f->classic = *classic;
		*classic = (struct bpf_program){ 0 };
		return 0;
	}
	f->program = load(classic, &f->native);
	if (f->program == NULL)
		return err_set(
			err, -EINVAL,
			"goes by something else than the frame's bytes, which cannot be done here");
	return 0;
}

int bpf_filter_new(struct bpf_filter **filter, const char *expression, struct err *err)
{
	struct bpf_filter *f = calloc(1, sizeof(*f));
	struct bpf_program classic = { 0 };
	int ret;

	if (f == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	ret = where_compile(expression, &classic, err);
	if (ret == 0)
		ret = use(f, &classic, err);
	pcap_freecode(&classic);
	if (ret < 0) {
		bpf_filter_free(f);
		return ret;
	}
	*filter = f;
	return 0;
}

void bpf_filter_free(struct bpf_filter *filter)
{
	if (filter == NULL)
		return;
	rte_bpf_destroy(filter->program);
	pcap_freecode(&filter->classic);
	quick_free(filter->quick);
	free(filter);
}

/* Programs read a frame as an mbuf; of these only where the bytes are counts. */
static void piece(struct rte_mbuf *m, const uint8_t *va, uint32_t size)
{
	m->buf_addr = (void *)va;
	m->data_off = 0;
	m->data_len = (uint16_t)size;
	m->next = NULL;
}

/* By libpcap's interpreter, over the frame's beginning. */
static bool match_classic(const struct bpf_filter *filter, const uint8_t *head, uint32_t size,
			  const struct seg *more, unsigned int n_more)
{
	uint8_t bytes[FLAT_SIZE];
	uint32_t n = size < sizeof(bytes) ? size : sizeof(bytes), whole = size;

	memcpy(bytes, head, n);
	for (unsigned int i = 0; i < n_more; i++) {
		uint32_t left = (uint32_t)sizeof(bytes) - n;
		uint32_t part = more[i].size < left ? more[i].size : left;

		memcpy(bytes + n, more[i].va, part);
		n += part;
		whole += more[i].size;
	}
	return bpf_filter(filter->classic.bf_insns, bytes, whole, n) != 0;
}

bool bpf_filter_match(const struct bpf_filter *filter, const uint8_t *head, uint32_t size,
		      const struct seg *more, unsigned int n_more)
{
	static _Thread_local struct rte_mbuf mbuf[PIECES_MAX];
	unsigned int n = 1;

	if (unlikely(filter->classic.bf_insns != NULL))
		return match_classic(filter, head, size, more, n_more);
	if (size > UINT16_MAX)
		size = UINT16_MAX;
	piece(&mbuf[0], head, size);
	mbuf[0].pkt_len = size;
	for (unsigned int i = 0; i < n_more && n < PIECES_MAX; i++) {
		uint32_t left = UINT16_MAX - mbuf[0].pkt_len;
		uint32_t part = more[i].size < left ? more[i].size : left;

		if (part == 0)
			break;
		piece(&mbuf[n], more[i].va, part);
		mbuf[n - 1].next = &mbuf[n];
		mbuf[0].pkt_len += part;
		n++;
	}
	return (filter->native != NULL ? filter->native(mbuf)
				       : rte_bpf_exec(filter->program, mbuf)) != 0;
}

static bool sees(const struct tap_filter *tap, const struct tap_sight *sight)
{
	const struct bpf_filter *filter = container_of(tap, struct bpf_filter, tap);
	const struct frame *f = sight->frame;
	uint8_t head[FLOW_PIN_SIZE + 4];
	uint32_t size;

	if (tap_is_raw(f)) {
		size = tap_size(sight);
		size = size < FLOW_PIN_SIZE ? size : FLOW_PIN_SIZE;
		tap_read(sight, head, size);
		return bpf_filter_match(filter, head, size, NULL, 0);
	}
	/* A parsed frame is pinned: its first segment is what was pinned. */
	assert(f->seg_size <= FLOW_PIN_SIZE);
	if (likely(!sight->tagged && f->body == ETH_ADDRS_SIZE))
		return bpf_filter_match(filter, f->va, f->seg_size, f->more, f->n_segs - 1u);
	size = f->seg_size - (f->body - ETH_ADDRS_SIZE) + (sight->tagged ? 4 : 0);
	tap_read(sight, head, size);
	return bpf_filter_match(filter, head, size, f->more, f->n_segs - 1u);
}

/* Whether frame_parse will find a tag in it, or none could be told. */
static bool has_tag_inside(const struct frame *f)
{
	return f->seg_size < FRAME_SIZE_MIN || load_be16(f->va + ETH_ADDRS_SIZE) == ETH_TYPE_VLAN;
}

static uint32_t may_see(const struct tap_filter *tap, const struct frame *frame, uint32_t frames)
{
	const struct bpf_filter *filter = container_of(tap, struct bpf_filter, tap);
	uint32_t may = 0;

	frames = quick_unknown(filter->quick, frame, frames);
	for_each_frame(i, frames)
	{
		const struct frame *f = &frame[i];

		if ((f->flags & FRAME_TAGGED) != 0 || has_tag_inside(f) ||
		    bpf_filter_match(filter, f->va, f->seg_size, f->more, f->n_segs - 1u))
			may |= BIT(i);
		else
			quick_learn(filter->quick, f);
	}
	return may;
}
