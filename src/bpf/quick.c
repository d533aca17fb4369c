/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/quick.h"

#include <stdlib.h>
#include <string.h>

#include "frame/queue.h"

#define WINDOW  64 /* bytes of a frame that are looked at */
#define BLOCK   16
#define REFUSED 4 /* kinds of frames that are remembered */

typedef uint64_t block __attribute__((vector_size(BLOCK), aligned(1), may_alias));

/* Frames whose bytes are `value` where `mask` has ones do not pass. */
struct refused {
	uint8_t mask[WINDOW], value[WINDOW];
	uint32_t n_blocks; /* that the mask reaches into; 0: nothing is remembered */
};

/* A worker's. */
struct memory {
	struct refused refused[REFUSED];
	unsigned int oldest;
} __attribute__((aligned(CACHE_LINE)));

struct quick {
	struct memory of[STATS_SLOTS];
	struct bpf_insn insn[];
};

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
	uint8_t bytes[WINDOW];
	uint32_t size;
	uint64_t looked;
};

/* False: it lies behind the window. */
static bool look(struct window *w, uint64_t at, uint32_t size, uint32_t *value)
{
	if (at + size > w->size)
		return false;
	*value = 0;
	for (uint32_t i = 0; i < size; i++) {
		*value = *value << 8 | w->bytes[at + i];
		w->looked |= 1ull << (at + i);
	}
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

/* Whether the program certainly refuses the frame. libpcap made it: it is well formed and goes only forward. */
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

static inline bool is_refused(const struct refused *r, const struct frame *f)
{
	block differ = { 0 };

	if (r->n_blocks == 0 || f->seg_size < r->n_blocks * BLOCK)
		return false;
	for (uint32_t i = 0; i < r->n_blocks; i++)
		differ |= (*(const block *)(f->va + (size_t)i * BLOCK) ^
			   *(const block *)(r->value + (size_t)i * BLOCK)) &
			  *(const block *)(r->mask + (size_t)i * BLOCK);
	return (differ[0] | differ[1]) == 0;
}

static void remember(struct memory *memory, const struct window *w)
{
	struct refused *r = &memory->refused[memory->oldest];

	memory->oldest = (memory->oldest + 1) % REFUSED;
	memset(r, 0, sizeof(*r));
	for (uint32_t i = 0; i < WINDOW; i++)
		if ((w->looked >> i & 1) != 0) {
			r->mask[i] = 0xff;
			r->value[i] = w->bytes[i];
			r->n_blocks = i / BLOCK + 1;
		}
}

/* Asks the program. What is remembered are the bytes that it saw, whatever the sender does to them meanwhile. */
static __attribute__((noinline)) bool refuse(struct quick *quick, struct memory *memory,
					     const struct frame *f)
{
	struct window w = { .size = f->seg_size < WINDOW ? f->seg_size : WINDOW };

	memcpy(w.bytes, f->va, w.size);
	if (!refuses(quick->insn, &w))
		return false;
	remember(memory, &w);
	return true;
}

uint32_t quick_may_pass(struct quick *quick, const struct frame *frame, uint32_t frames)
{
	struct memory *memory = &quick->of[worker_self];
	const struct refused *last = &memory->refused[0];
	uint32_t may = 0;

	for (uint32_t left = frames; left != 0; left &= left - 1) {
		unsigned int i = (unsigned int)__builtin_ctz(left), k = 0;
		const struct frame *f = &frame[i];

		if (likely(is_refused(last, f)))
			continue;
		while (k < REFUSED && !is_refused(&memory->refused[k], f))
			k++;
		if (k < REFUSED)
			last = &memory->refused[k];
		else if (!refuse(quick, memory, f))
			may |= BIT(i);
	}
	return may;
}
