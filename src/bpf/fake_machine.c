/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/fake_machine.h"

#include <endian.h>
#include <string.h>

#include "base/bits.h"
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
		return a / b;
	case CODE_MOD:
		return a % b;
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

static uint64_t swap(uint64_t v, int32_t bits)
{
	return bits == 16 ? htobe16((uint16_t)v) : bits == 32 ? htobe32((uint32_t)v) : htobe64(v);
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
			*a = swap(*a, ins->imm);
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

/* --- at random --- */

static uint64_t seed = 1;

static uint32_t dice(uint32_t n)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 33) % n;
}

static uint8_t a_number(void)
{
	static const uint8_t registers[] = { 0, 2, 3, 4, 5, 8, 9 };

	return registers[dice(ARRAY_SIZE(registers))];
}

static uint8_t a_pointer(void)
{
	return dice(2) != 0 ? 6 : 7;
}

static int32_t a_constant(void)
{
	static const int32_t constants[] = { 0,   1,   2,   3,   7,  15, 60,        63,
					     127, 255, 256, 511, -1, -8, INT32_MAX, INT32_MIN };

	return dice(4) == 0 ? (int32_t)(dice(1 << 16) * 77773u)
			    : constants[dice(ARRAY_SIZE(constants))];
}

static struct bpf_ins random_arithmetic(void)
{
	static const uint8_t ops[] = { CODE_ADD, CODE_SUB, CODE_MUL, CODE_DIV, CODE_OR,
				       CODE_AND, CODE_LSH, CODE_RSH, CODE_NEG, CODE_MOD,
				       CODE_XOR, CODE_MOV, CODE_ARSH };
	uint8_t x = dice(2) != 0 ? CODE_X : 0, op = ops[dice(ARRAY_SIZE(ops))];
	uint8_t class = dice(3) == 0 ? CODE_ALU : CODE_ALU64;
	struct bpf_ins ins = { class | op | x, a_number(), x != 0 ? a_number() : 0, 0,
			       x != 0 ? 0 : a_constant() };

	if (op == CODE_NEG)
		return (struct bpf_ins){ class | op, ins.dst, 0, 0, 0 };
	if (x == 0 && (op == CODE_LSH || op == CODE_RSH || op == CODE_ARSH))
		ins.imm = (int32_t)dice(34);
	return ins;
}

static struct bpf_ins random_jump(unsigned int left)
{
	static const uint8_t jumps[] = { CODE_JA,   CODE_JEQ, CODE_JGT,  CODE_JGE,
					 CODE_JSET, CODE_JNE, CODE_JSGT, CODE_JSGE,
					 CODE_JLT,  CODE_JLE, CODE_JSLT, CODE_JSLE };
	uint8_t op = jumps[dice(ARRAY_SIZE(jumps))], x = dice(2) != 0 && op != CODE_JA ? CODE_X : 0;

	return (struct bpf_ins){ CODE_JMP | op | x, op != CODE_JA ? a_number() : 0,
				 x != 0 ? a_number() : 0, (int16_t)dice(left < 5 ? left : 5),
				 x != 0 || op == CODE_JA ? 0 : a_constant() };
}

/* r1 is the argument, r6 and r7 pointers that are computed, the others numbers: else few programs would be accepted. */
static struct bpf_ins random_ins(unsigned int left)
{
	uint8_t size = (uint8_t)(dice(4) << 3), k = dice(2) != 0 ? CODE_ST : CODE_STX;
	uint8_t source = k == CODE_STX ? a_number() : 0;
	int16_t off = (int16_t)(dice(MACHINE_SIZE + 8) - 4), below = (int16_t)-dice(24);
	int32_t imm = k == CODE_STX ? 0 : a_constant();

	switch (dice(12)) {
	case 0:
		return (struct bpf_ins){ CODE_LDX | CODE_MEM | size, a_number(), 1, off, 0 };
	case 1:
		return (struct bpf_ins){ CODE_LDX | CODE_MEM | size, a_number(), a_pointer(), off,
					 0 };
	case 2:
		return (struct bpf_ins){ CODE_LDX | CODE_MEM | size, a_number(), 10, below, 0 };
	case 3:
		return (struct bpf_ins){ k | CODE_MEM | size, 10, source, below, imm };
	case 4:
		return (struct bpf_ins){ k | CODE_MEM | size, dice(2) != 0 ? 1 : a_pointer(),
					 source, off, imm };
	case 5:
		return (struct bpf_ins){ (uint8_t)(CODE_ALU64 | CODE_X |
						   (dice(3) == 0 ? CODE_SUB : CODE_ADD)),
					 a_pointer(), a_number(), 0, 0 };
	case 6:
		return (struct bpf_ins){ CODE_ALU64 | CODE_MOV | CODE_X, a_pointer(), 1, 0, 0 };
	case 7:
		return random_jump(left);
	case 8:
		return (struct bpf_ins){ CODE_ALU | CODE_END | CODE_X, a_number(), 0, 0,
					 16 << dice(3) };
	default:
		return random_arithmetic();
	}
}

unsigned int machine_make(struct bpf_ins ins[MACHINE_INS], bool *computed)
{
	/* clang-format off */
	static const struct bpf_ins first[] = {
		{ CODE_ALU64 | CODE_MOV, 0, 0, 0, 1 },
		{ CODE_LDX | CODE_MEM | CODE_B, 2, 1, 0, 0 },
		{ CODE_LDX | CODE_MEM | CODE_H, 3, 1, 8, 0 },
		{ CODE_LDX | CODE_MEM | CODE_DW, 4, 1, 16, 0 },
		{ CODE_ALU64 | CODE_MOV, 5, 0, 0, 9 },
		{ CODE_ALU64 | CODE_MOV | CODE_X, 6, 1, 0, 0 },
		{ CODE_ALU64 | CODE_MOV | CODE_X, 7, 1, 0, 0 },
		{ CODE_LDX | CODE_MEM | CODE_W, 8, 1, 24, 0 },
		{ CODE_LOAD_IMM64, 9, 0, 0, -77 },
		{ 0, 0, 0, 0, 0x1234567 },
	};
	/* All numbers have a part in what it returns. */
	static const struct bpf_ins last[] = {
		{ CODE_ALU64 | CODE_ADD | CODE_X, 0, 2, 0, 0 },
		{ CODE_ALU64 | CODE_XOR | CODE_X, 0, 3, 0, 0 },
		{ CODE_ALU64 | CODE_ADD | CODE_X, 0, 4, 0, 0 },
		{ CODE_ALU64 | CODE_XOR | CODE_X, 0, 5, 0, 0 },
		{ CODE_ALU64 | CODE_ADD | CODE_X, 0, 8, 0, 0 },
		{ CODE_ALU64 | CODE_XOR | CODE_X, 0, 9, 0, 0 },
		{ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 },
	};
	/* clang-format on */
	unsigned int n = ARRAY_SIZE(first), end = n + 1 + dice(16);

	*computed = false;
	memcpy(ins, first, sizeof(first));
	for (; n < end; n++) {
		ins[n] = random_ins(end - n);
		*computed |= (ins[n].dst == 6 || ins[n].dst == 7) &&
			     CODE_OP(ins[n].code) != CODE_MOV;
	}
	memcpy(&ins[n], last, sizeof(last));
	return n + ARRAY_SIZE(last);
}

void machine_fill(struct machine *m)
{
	for (unsigned int at = 0; at < MACHINE_SIZE; at++)
		m->argument[at] = dice(2) != 0 ? (uint8_t)dice(256) : dice(2) != 0 ? 0xff : 0;
}
