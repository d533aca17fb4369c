/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/fake_machine.h"

#include <endian.h>
#include <string.h>

#include "bpf/code.h"

/* Where [va, va + size) is, if the program may go there; else m->wrong says what is wrong. */
static uint8_t *memory(struct machine *m, uint64_t va, unsigned int size, bool write)
{
	static uint8_t nowhere[8];
	uint64_t in_argument = va - (uintptr_t)m->argument, in_stack = va - (uintptr_t)m->stack;

	if (in_argument < MACHINE_SIZE && in_argument + size <= MACHINE_SIZE) {
		if (write && in_argument < MACHINE_WRITE_FROM)
			m->wrong = "it writes into what is only to be read";
		return m->argument + in_argument;
	}
	if (in_stack >= VERIFY_STACK || in_stack + size > VERIFY_STACK) {
		m->wrong = "it leaves its memory";
		return nowhere;
	}
	for (unsigned int i = 0; i < size; i++) {
		if (!write && !m->written[in_stack + i])
			m->wrong = "it reads what it has not written";
		m->written[in_stack + i] = true;
	}
	return m->stack + in_stack;
}

static uint64_t calculate(unsigned int op, uint64_t a, uint64_t b, bool wide)
{
	unsigned int shift = b & (wide ? 63 : 31);

	switch (op) {
	case CODE_ADD:
		return a + b;
	case CODE_SUB:
		return a - b;
	case CODE_MUL:
		return a * b;
	case CODE_DIV:
		return b != 0 ? a / b : 0;
	case CODE_MOD:
		return b != 0 ? a % b : 0;
	case CODE_OR:
		return a | b;
	case CODE_AND:
		return a & b;
	case CODE_XOR:
		return a ^ b;
	case CODE_LSH:
		return a << shift;
	case CODE_RSH:
		return a >> shift;
	case CODE_ARSH:
		return wide ? (uint64_t)((int64_t)a >> shift) : (uint64_t)((int32_t)a >> shift);
	case CODE_NEG:
		return -a;
	default:
		return b;
	}
}

static bool holds(unsigned int op, uint64_t a, uint64_t b)
{
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	switch (op) {
	case CODE_JEQ:
		return a == b;
	case CODE_JNE:
		return a != b;
	case CODE_JGT:
		return a > b;
	case CODE_JGE:
		return a >= b;
	case CODE_JLT:
		return a < b;
	case CODE_JLE:
		return a <= b;
	case CODE_JSGT:
		return sa > sb;
	case CODE_JSGE:
		return sa >= sb;
	case CODE_JSLT:
		return sa < sb;
	case CODE_JSLE:
		return sa <= sb;
	default:
		return (a & b) != 0;
	}
}

static uint64_t swap(uint64_t v, const struct bpf_ins *ins)
{
	bool big = CODE_IS_X(ins->code);

	if (ins->imm == 16)
		return big ? htobe16((uint16_t)v) : htole16((uint16_t)v);
	if (ins->imm == 32)
		return big ? htobe32((uint32_t)v) : htole32((uint32_t)v);
	return big ? htobe64(v) : htole64(v);
}

static const unsigned int sizes[] = { 4, 2, 1, 8 };

static void execute(struct machine *m, const struct bpf_ins *ins)
{
	bool wide = CODE_CLASS(ins->code) == CODE_ALU64;
	unsigned int size = sizes[CODE_SIZE(ins->code) >> 3];
	uint64_t b = CODE_IS_X(ins->code) ? m->reg[ins->src] : (uint64_t)(int64_t)ins->imm;
	uint64_t *a = &m->reg[ins->dst], v = 0;

	switch (CODE_CLASS(ins->code)) {
	case CODE_LDX:
		memcpy(&v, memory(m, m->reg[ins->src] + (uint64_t)ins->off, size, false), size);
		*a = v;
		break;
	case CODE_ST:
		b = (uint64_t)(int64_t)ins->imm;
		memcpy(memory(m, *a + (uint64_t)ins->off, size, true), &b, size);
		break;
	case CODE_STX:
		b = m->reg[ins->src];
		memcpy(memory(m, *a + (uint64_t)ins->off, size, true), &b, size);
		break;
	default:
		if (CODE_OP(ins->code) == CODE_END) {
			*a = swap(*a, ins);
			break;
		}
		*a = wide ? calculate(CODE_OP(ins->code), *a, b, true)
			  : (uint32_t)calculate(CODE_OP(ins->code), (uint32_t)*a, (uint32_t)b,
						false);
		break;
	}
}

const char *machine_run(struct machine *m, const struct bpf_ins *ins)
{
	memset(m->written, 0, sizeof(m->written));
	memset(m->reg, 0, sizeof(m->reg));
	m->wrong = NULL;
	m->reg[1] = (uintptr_t)m->argument;
	m->reg[10] = (uintptr_t)m->stack + VERIFY_STACK;
	for (unsigned int at = 0; ins[at].code != (CODE_JMP | CODE_EXIT) && m->wrong == NULL;
	     at++) {
		const struct bpf_ins *one = &ins[at];

		if (CODE_CLASS(one->code) == CODE_LD) {
			m->reg[one->dst] = (uint32_t)one->imm | (uint64_t)(uint32_t)one[1].imm
									<< 32;
			at++;
		} else if (CODE_CLASS(one->code) != CODE_JMP) {
			execute(m, one);
		} else if (CODE_OP(one->code) == CODE_JA ||
			   holds(CODE_OP(one->code), m->reg[one->dst],
				 CODE_IS_X(one->code) ? m->reg[one->src]
						      : (uint64_t)(int64_t)one->imm)) {
			at += (unsigned int)one->off;
		}
	}
	return m->wrong;
}
