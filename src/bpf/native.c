/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/native.h"

#include <stdlib.h>

#include "bpf/code.h"

/* DPDK 22.11.11, bpf_jit_x86.c; so it is in 26.07, too.
 *
 * emit_tst_imm and emit_shift_imm write numbers with as many bytes as they need, where the processor takes four for TEST and one
 * for a shift (Intel SDM, volume 2, TEST and SHL): what follows is then read as other instructions.
 *
 * What is divided or shifted by itself: emit_div divides by a register that it has not written (where it is RAX or RDX),
 * emit_shift_reg shifts another one (where it is not RCX). And emit_div has a CMOV of 32 bits for a division of as many,
 * which makes the upper half of RAX 0, whether it moves or not. */
static bool is_right(const struct bpf_ins *ins)
{
	unsigned int class = CODE_CLASS(ins->code), op = CODE_OP(ins->code);
	bool shift = op == CODE_LSH || op == CODE_RSH || op == CODE_ARSH;
	bool self = CODE_IS_X(ins->code) && ins->dst == ins->src;

	if (class == CODE_JMP)
		return op != CODE_JSET || CODE_IS_X(ins->code) || ins->imm < INT8_MIN ||
		       ins->imm > INT8_MAX;
	if (class != CODE_ALU && class != CODE_ALU64)
		return true;
	if (shift && !CODE_IS_X(ins->code))
		return ins->imm >= 0 && ins->imm < (class == CODE_ALU ? 32 : 64);
	if (shift)
		return !self;
	return (op != CODE_DIV && op != CODE_MOD) || !CODE_IS_X(ins->code) ||
	       (!self && class == CODE_ALU64);
}

/* --- where jumps lead ---
 *
 * bpf_jit_x86 passes over a program until its size does not change, which is taken for that nothing has moved. But the first
 * pass saves no registers and has all jumps long, so what saving them adds may be what short jumps take away, and then
 * jumps lead to the middle of instructions. So the same is done here, with the sizes alone, and looked whether the last pass
 * has all in the places that the one before has. Sizes are those of the functions emit_*; if they were others, the sum
 * would differ from the size of the code. */

enum {
	RAX,
	RCX,
	RDX,
	RBX,
	RSP,
	RBP,
	RSI,
	RDI,
	R8,
	R9,
	R10,
	R11,
	R12,
	R13,
	R14,
	R15
};

static const uint8_t x86[] = { RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP };

struct layout {
	int32_t at;
	uint32_t used; /* registers, in all passes so far */
	int32_t stack; /* bytes that the stack's size takes as a number */
	int32_t exit;  /* where the first exit is */
	bool has_exit; /* it was in this pass */
	int32_t *
		start; /* of each instruction: in this pass, or before it comes there in the last one */
	bool moved; /* one of them is not where it was */
};

static int32_t imm_size(int64_t v)
{
	return v == (int8_t)v ? 1 : 4;
}

/* The prefix of an instruction with these registers, if it needs one. */
static int32_t rex(struct layout *l, bool wide, unsigned int reg, unsigned int rm)
{
	l->used |= 1u << reg | 1u << rm;
	return wide || reg >= R8 || rm >= R8;
}

static int32_t two_regs(struct layout *l, bool wide, unsigned int reg, unsigned int rm)
{
	return rex(l, wide, reg, rm) + 2;
}

static int32_t mov(struct layout *l, bool wide, unsigned int from, unsigned int to)
{
	return from != to || !wide ? two_regs(l, wide, from, to) : 0;
}

static int32_t mov_imm(struct layout *l, bool wide, unsigned int to, int32_t imm)
{
	return imm == 0 ? two_regs(l, wide, to, to) : two_regs(l, wide, RAX, to) + 4;
}

static int32_t alu_imm(struct layout *l, bool wide, unsigned int reg, int32_t imm)
{
	return two_regs(l, wide, RAX, reg) + imm_size(imm);
}

static int32_t memory(struct layout *l, bool wide, unsigned int reg, unsigned int base, int32_t off)
{
	return rex(l, wide, reg, base) + 2 + (base == RSP || base == R12) + imm_size(off);
}

static int32_t load(struct layout *l, unsigned int size, unsigned int base, unsigned int to,
		    int32_t off)
{
	return memory(l, size != CODE_W, to, base, off) + (size == CODE_B || size == CODE_H);
}

static int32_t jump(const struct layout *l, int32_t done, int32_t to, int32_t size_long)
{
	int64_t off = (int64_t)to - (l->at + done);

	return imm_size(off) == 1 && imm_size(off + size_long) == 1 ? 2 : size_long;
}
#define JMP 5
#define JCC 6

static int32_t swap(struct layout *l, unsigned int reg, int32_t bits)
{
	if (bits == 16)
		return 1 + two_regs(l, false, RAX, reg) + 1 + two_regs(l, false, reg, reg) + 1;
	return rex(l, bits == 64, RAX, reg) + 2;
}

static int32_t keep(struct layout *l, int32_t bits, unsigned int reg)
{
	return bits == 16   ? two_regs(l, false, reg, reg) + 1
	       : bits == 32 ? mov(l, false, reg, reg)
			    : 0;
}

static int32_t multiply(struct layout *l, const struct bpf_ins *ins, bool wide, unsigned int dst,
			unsigned int src)
{
	int32_t size = mov(l, true, RAX, R11) + mov(l, true, RDX, R10) + mov(l, true, dst, RAX);

	size += CODE_IS_X(ins->code) ? mov(l, true, src == RAX ? R11 : src, RDX)
				     : mov_imm(l, true, RDX, ins->imm);
	size += two_regs(l, wide, RAX, RDX);
	if (dst != RDX)
		size += mov(l, true, R10, RDX);
	if (dst != RAX)
		size += mov(l, true, RAX, dst) + mov(l, true, R11, RAX);
	return size;
}

static int32_t divide(struct layout *l, const struct bpf_ins *ins, bool wide, unsigned int dst,
		      unsigned int src)
{
	unsigned int by = src == RAX ? R11 : src == RDX ? R10 : src;
	int32_t size = 0;

	if (CODE_IS_X(ins->code)) {
		size += two_regs(l, wide, src, src) + two_regs(l, wide, RAX, src) + 1;
		size += jump(l, size, l->exit, JCC);
	}
	size += dst != RAX ? mov(l, true, RAX, R11) : 0;
	size += dst != RDX ? mov(l, true, RDX, R10) : 0;
	size += mov(l, true, dst, RAX) + mov_imm(l, true, RDX, 0);
	if (!CODE_IS_X(ins->code)) {
		by = R9;
		size += mov_imm(l, true, R9, ins->imm);
	}
	size += two_regs(l, wide, RAX, by);
	size += mov(l, true, CODE_OP(ins->code) == CODE_DIV ? RAX : RDX, dst);
	size += dst != RAX ? mov(l, true, R11, RAX) : 0;
	return size + (dst != RDX ? mov(l, true, R10, RDX) : 0);
}

static int32_t arithmetic(struct layout *l, const struct bpf_ins *ins)
{
	bool wide = CODE_CLASS(ins->code) == CODE_ALU64, is_x = CODE_IS_X(ins->code);
	unsigned int dst = x86[ins->dst], src = x86[ins->src];

	switch (CODE_OP(ins->code)) {
	case CODE_MOV:
		return is_x ? mov(l, wide, src, dst) : mov_imm(l, wide, dst, ins->imm);
	case CODE_NEG:
		return two_regs(l, wide, RAX, dst);
	case CODE_END:
		return is_x ? swap(l, dst, ins->imm) : keep(l, ins->imm, dst);
	case CODE_MUL:
		return multiply(l, ins, wide, dst, src);
	case CODE_DIV:
	case CODE_MOD:
		return divide(l, ins, wide, dst, src);
	case CODE_LSH:
	case CODE_RSH:
	case CODE_ARSH:
		if (!is_x)
			return alu_imm(l, wide, dst, ins->imm);
		return (src != RCX ? 2 * two_regs(l, true, RCX, src) : 0) +
		       two_regs(l, wide, RAX, dst == RCX ? src : dst);
	default:
		return is_x ? two_regs(l, wide, src, dst) : alu_imm(l, wide, dst, ins->imm);
	}
}

/* emit_ld_mbuf: a load of a packet, of which capture filters consist. */
static int32_t load_packet(struct layout *l, const struct bpf_ins *ins)
{
	unsigned int size = CODE_SIZE(ins->code), src = x86[ins->src];
	int32_t n = size == CODE_W ? 4 : size == CODE_H ? 2 : 1, bytes;

	if (src != RSI) {
		bytes = mov_imm(l, true, RSI, ins->imm);
		bytes += CODE_MODE(ins->code) == CODE_IND ? two_regs(l, true, src, RSI) : 0;
	} else {
		bytes = alu_imm(l, true, RSI, ins->imm);
	}
	bytes += load(l, CODE_H, RBX, RDX, 40) + two_regs(l, true, RSI, RDX);
	bytes += alu_imm(l, true, RDX, n) + 2;
	bytes += load(l, CODE_H, RBX, RDX, 16) + load(l, CODE_DW, RBX, RAX, 0);
	bytes += two_regs(l, true, RDX, RAX) + two_regs(l, true, RSI, RAX) + 2;
	/* The slow path; its call is of 64 bits. */
	bytes += mov_imm(l, true, RDX, n) + mov(l, true, RBP, RCX);
	bytes += two_regs(l, true, RAX, RCX) + l->stack + mov(l, true, RBX, RDI);
	bytes += rex(l, true, RAX, RAX) + 9 + 2 + two_regs(l, true, RAX, RAX);
	bytes += jump(l, bytes, l->exit, JCC);
	bytes += load(l, size, RAX, RAX, 0);
	return bytes + (n > 1 ? swap(l, RAX, 8 * n) : 0);
}

static int32_t store(struct layout *l, const struct bpf_ins *ins)
{
	bool is_x = CODE_CLASS(ins->code) == CODE_STX;
	unsigned int size = CODE_SIZE(ins->code), dst = x86[ins->dst];
	unsigned int src = is_x ? x86[ins->src] : RAX;
	int32_t bytes = memory(l, size == CODE_DW, src, dst, ins->off) + (size == CODE_H);

	/* SIL and DIL need a prefix. */
	if (is_x && size == CODE_B && (src == RSI || src == RDI) && dst < R8)
		bytes++;
	if (is_x)
		return bytes;
	return bytes + (size == CODE_B ? 1 : size == CODE_H ? 2 : 4);
}

static unsigned int n_saved(const struct layout *l)
{
	const uint32_t saved = 1u << RBX | 1u << R12 | 1u << R13 | 1u << R14 | 1u << R15 |
			       1u << RBP;

	return (unsigned int)__builtin_popcount(l->used & saved);
}

/* Saving registers, or restoring them: 8 bytes for each, and RSP. */
static int32_t save(struct layout *l, bool restores)
{
	int32_t n = (int32_t)n_saved(l), size = n > 0 ? 4 + 5 * n : 0;

	if ((l->used & 1u << RBP) != 0)
		size += restores ? 3 : 3 + 3 + l->stack;
	return size;
}

static int32_t leave(struct layout *l)
{
	if (l->has_exit)
		return jump(l, 0, l->exit, JMP);
	l->has_exit = true;
	l->exit = l->at;
	return save(l, true) + 1;
}

static int32_t branch(struct layout *l, const struct bpf_ins *ins, unsigned int i)
{
	int32_t to = l->start[i + 1 + (unsigned int)ins->off], size;

	if (CODE_OP(ins->code) == CODE_EXIT)
		return leave(l);
	if (CODE_OP(ins->code) == CODE_JA)
		return jump(l, 0, to, JMP);
	if (CODE_IS_X(ins->code))
		size = two_regs(l, true, x86[ins->src], x86[ins->dst]);
	else
		size = alu_imm(l, true, x86[ins->dst], ins->imm);
	return size + jump(l, size, to, JCC);
}

static int32_t size_of(struct layout *l, const struct bpf_ins *ins, unsigned int i)
{
	switch (CODE_CLASS(ins->code)) {
	case CODE_ALU:
	case CODE_ALU64:
		return arithmetic(l, ins);
	case CODE_JMP:
		return branch(l, ins, i);
	case CODE_LDX:
		return load(l, CODE_SIZE(ins->code), x86[ins->src], x86[ins->dst], ins->off);
	case CODE_ST:
	case CODE_STX:
		return store(l, ins);
	default:
		if (ins->code != CODE_LOAD_IMM64)
			return load_packet(l, ins);
		return rex(l, ins[1].imm != 0, RAX, x86[ins->dst]) + 5 + (ins[1].imm != 0 ? 4 : 0);
	}
}

static void pass(struct layout *l, const struct bpf_ins *ins, unsigned int n)
{
	l->at = 0;
	l->has_exit = false;
	l->moved = false;
	l->at = save(l, false);
	for (unsigned int i = 0; i < n; i++) {
		l->moved |= l->start[i] != l->at;
		l->start[i] = l->at;
		l->at += size_of(l, &ins[i], i);
		i += ins[i].code == CODE_LOAD_IMM64;
	}
}

static bool stays(const struct bpf_ins *ins, unsigned int n, int32_t stack, size_t size)
{
	struct layout l = { .stack = stack, .exit = INT32_MAX };
	int32_t before;

	l.start = malloc((n + 1ul) * sizeof(*l.start));
	if (l.start == NULL)
		return false;
	for (unsigned int i = 0; i < n; i++)
		l.start[i] = INT32_MAX;
	do {
		before = l.at;
		pass(&l, ins, n);
	} while (l.at != before);
	pass(&l, ins, n);
	free(l.start);
	return !l.moved && (size_t)l.at == size;
}

bool native_is_right(const struct bpf_ins *ins, unsigned int n, size_t size)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!is_right(&ins[i]))
			return false;
		i += ins[i].code == CODE_LOAD_IMM64;
	}
	/* How much stack it has is not told; but not whether that is a small number. */
	return stays(ins, n, 1, size) || stays(ins, n, 4, size);
}
