/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/quick.h"

#include <stdlib.h>
#include <string.h>

struct quick *quick_new(const struct bpf_program *classic)
{
	size_t size = classic->bf_len * sizeof(classic->bf_insns[0]);
	/* A multiple of what it is aligned to, as C wants it. */
	size_t all = (sizeof(struct quick) + size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	struct quick *quick = aligned_alloc(CACHE_LINE, all);

	if (quick == NULL)
		return NULL;
	memset(quick, 0, sizeof(*quick));
	memcpy(quick->insn, classic->bf_insns, size);
	return quick;
}

void quick_free(struct quick *quick)
{
	free(quick);
}

/* --- the program --- */

/* A frame's first bytes, and where the program has looked, as bits. */
struct window {
	uint8_t bytes[QUICK_WINDOW];
	uint32_t size;
	uint64_t looked;
};

/* False: it lies behind the window. */
static bool look(struct window *w, uint64_t at, uint32_t size, uint32_t *value)
{
	if (at + size > w->size)
		return false;
	w->looked |= ((1ull << size) - 1) << at;
	*value = size == 4   ? load_be32(w->bytes + at)
		 : size == 2 ? load_be16(w->bytes + at)
			     : w->bytes[at];
	return true;
}

static bool load(struct window *w, const struct bpf_insn *insn, uint32_t x, const uint32_t *mem,
		 uint32_t *a)
{
	uint32_t size = BPF_SIZE(insn->code) == BPF_W ? 4 : BPF_SIZE(insn->code) == BPF_H ? 2 : 1;

	switch (BPF_MODE(insn->code)) {
	case BPF_ABS:
		return look(w, insn->k, size, a);
	case BPF_IND:
		return look(w, (uint64_t)x + insn->k, size, a);
	case BPF_IMM:
		*a = insn->k;
		return true;
	case BPF_MEM:
		*a = mem[insn->k];
		return true;
	default: /* the frame's size */
		return false;
	}
}

static bool load_x(struct window *w, const struct bpf_insn *insn, const uint32_t *mem, uint32_t *x)
{
	switch (BPF_MODE(insn->code)) {
	case BPF_IMM:
		*x = insn->k;
		return true;
	case BPF_MEM:
		*x = mem[insn->k];
		return true;
	case BPF_MSH:
		if (!look(w, insn->k, 1, x))
			return false;
		*x = (*x & 0xf) * 4;
		return true;
	default:
		return false;
	}
}

static bool compute(const struct bpf_insn *insn, uint32_t x, uint32_t *a)
{
	uint32_t b = BPF_SRC(insn->code) == BPF_X ? x : insn->k;

	switch (BPF_OP(insn->code)) {
	case BPF_ADD:
		*a += b;
		return true;
	case BPF_SUB:
		*a -= b;
		return true;
	case BPF_AND:
		*a &= b;
		return true;
	case BPF_OR:
		*a |= b;
		return true;
	case BPF_LSH:
		*a = b < 32 ? *a << b : 0;
		return true;
	case BPF_RSH:
		*a = b < 32 ? *a >> b : 0;
		return true;
	default:
		return false;
	}
}

static bool holds(const struct bpf_insn *insn, uint32_t x, uint32_t a)
{
	uint32_t b = BPF_SRC(insn->code) == BPF_X ? x : insn->k;

	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		return a == b;
	case BPF_JGT:
		return a > b;
	case BPF_JGE:
		return a >= b;
	default:
		return (a & b) != 0; /* BPF_JSET */
	}
}

/* Whether it is certain by the window alone that the program refuses the frame. */
static bool refuses(const struct bpf_insn *insn, struct window *w)
{
	uint32_t a = 0, x = 0, mem[BPF_MEMWORDS] = { 0 };

	for (;; insn++) {
		switch (BPF_CLASS(insn->code)) {
		case BPF_LD:
			if (!load(w, insn, x, mem, &a))
				return false;
			break;
		case BPF_LDX:
			if (!load_x(w, insn, mem, &x))
				return false;
			break;
		case BPF_ST:
			mem[insn->k] = a;
			break;
		case BPF_STX:
			mem[insn->k] = x;
			break;
		case BPF_ALU:
			if (!compute(insn, x, &a))
				return false;
			break;
		case BPF_JMP:
			if (BPF_OP(insn->code) == BPF_JA)
				insn += insn->k;
			else
				insn += holds(insn, x, a) ? insn->jt : insn->jf;
			break;
		case BPF_RET:
			return BPF_RVAL(insn->code) == BPF_K ? insn->k == 0 : a == 0;
		default: /* BPF_MISC */
			if (BPF_MISCOP(insn->code) == BPF_TAX)
				x = a;
			else
				a = x;
			break;
		}
	}
}

/* --- frames --- */

typedef uint64_t block __attribute__((vector_size(QUICK_BLOCK), aligned(1), may_alias));

static inline bool is_of(const struct quick_kind *kind, const struct frame *f, uint32_t n_blocks)
{
	block differ = { 0 };

	if (f->seg_size < n_blocks * QUICK_BLOCK || (f->flags & FRAME_TAGGED) != 0)
		return false;
	for (size_t at = 0; at < n_blocks * (size_t)QUICK_BLOCK; at += QUICK_BLOCK)
		differ |= (*(const block *)(f->va + at) ^ *(const block *)(kind->value + at)) &
			  *(const block *)(kind->mask + at);
	return (differ[0] | differ[1]) == 0;
}

/* With the number of blocks known, so that mask and value stay in registers. The set has a frame. */
static inline __attribute__((always_inline)) uint32_t
not_of(const struct quick_kind *kind, const struct frame *frame, uint32_t frames, uint32_t n_blocks)
{
	unsigned int end = 32u - (unsigned int)__builtin_clz(frames);
	uint32_t others = 0;

	/* Most sets are whole bursts: so all up to the last one. */
	for (unsigned int i = 0; i < end; i++)
		others |= (uint32_t)!is_of(kind, &frame[i], n_blocks) << i;
	return others & frames;
}

static uint32_t without_kind(const struct quick_kind *kind, const struct frame *frame,
			     uint32_t frames)
{
	switch (kind->n_blocks) {
	case 0:
		return frames;
	case 1:
		return not_of(kind, frame, frames, 1);
	case 2:
		return not_of(kind, frame, frames, 2);
	default:
		return not_of(kind, frame, frames, kind->n_blocks);
	}
}

uint32_t quick_unknown(struct quick *quick, const struct frame *frame, uint32_t frames)
{
	struct quick_memory *memory = &quick->of[worker_self];
	uint32_t left = without_kind(&memory->kind[memory->last], frame, frames), before = left;

	/* Where nothing that it learns is of use the others are not, either. */
	for (unsigned int k = 0; left != 0 && k < QUICK_KINDS; k++) {
		if (k == memory->last || memory->interval == QUICK_LEARN_SELDOM)
			continue;
		left = without_kind(&memory->kind[k], frame, left);
		if (left == 0)
			memory->last = k;
	}
	if (before != frames || left != before)
		memory->used = true;
	return left;
}

static void remember(struct quick_memory *memory, const struct window *w)
{
	struct quick_kind *kind = &memory->kind[memory->oldest];

	memory->oldest = (memory->oldest + 1) % QUICK_KINDS;
	memset(kind->mask, 0, sizeof(kind->mask));
	memcpy(kind->value, w->bytes, sizeof(kind->value));
	kind->n_blocks = 0;
	for (uint64_t left = w->looked; left != 0; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);

		kind->mask[i] = 0xff;
		kind->n_blocks = i / QUICK_BLOCK + 1;
	}
}

void quick_learn(struct quick *quick, const struct frame *f)
{
	struct quick_memory *memory = &quick->of[worker_self];
	struct window w = { .size = f->seg_size < QUICK_WINDOW ? f->seg_size : QUICK_WINDOW };
	uint32_t type;

	if (memory->n_unknown++ < memory->interval)
		return;
	memory->interval = memory->used || memory->interval == 0   ? QUICK_LEARN_OFTEN
			   : memory->interval < QUICK_LEARN_SELDOM ? memory->interval * 2
								   : QUICK_LEARN_SELDOM;
	memory->n_unknown = 0;
	memory->used = false;
	memcpy(w.bytes, f->va, w.size);
	/* Its type, so that no kind has a tag. */
	if (look(&w, ETH_ADDRS_SIZE, 2, &type) && type != ETH_TYPE_VLAN && refuses(quick->insn, &w))
		remember(memory, &w);
}
