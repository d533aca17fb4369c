/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/native.h"

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

bool native_is_right(const struct bpf_ins *ins, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!is_right(&ins[i]))
			return false;
		i += ins[i].code == CODE_LOAD_IMM64;
	}
	return true;
}
