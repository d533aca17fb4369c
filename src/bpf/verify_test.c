/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/bits.h"
#include "bpf/code.h"
#include "bpf/fake_machine.h"
#include "bpf/verify.h"

#define SIZE       MACHINE_SIZE
#define WRITE_FROM MACHINE_WRITE_FROM

static const struct verify_argument argument = { SIZE, WRITE_FROM, SIZE, "the argument" };

/* clang-format off */
#define LOAD(size, to, from, offset)   { CODE_LDX | CODE_MEM | (size), to, from, offset, 0 }
#define STORE(size, to, offset, from)  { CODE_STX | CODE_MEM | (size), to, from, offset, 0 }
#define STORE_K(size, to, offset, k)   { CODE_ST | CODE_MEM | (size), to, 0, offset, k }
#define OP_K(op, to, k)                { CODE_ALU64 | (op), to, 0, 0, k }
#define OP(op, to, from)               { CODE_ALU64 | (op) | CODE_X, to, from, 0, 0 }
#define OP32_K(op, to, k)              { CODE_ALU | (op), to, 0, 0, k }
#define OP32(op, to, from)             { CODE_ALU | (op) | CODE_X, to, from, 0, 0 }
#define JUMP_K(op, reg, k, by)         { CODE_JMP | (op), reg, 0, by, k }
#define JUMP(op, reg, other, by)       { CODE_JMP | (op) | CODE_X, reg, other, by, 0 }
#define GO(by)                         { CODE_JMP | CODE_JA, 0, 0, by, 0 }
#define EXIT                           { CODE_JMP | CODE_EXIT, 0, 0, 0, 0 }
#define RETURN(k)                      OP_K(CODE_MOV, 0, k), EXIT
#define WIDE(to, k)                    { CODE_LOAD_IMM64, to, 0, 0, k }, { 0, 0, 0, 0, 0 }

static const struct {
	const char *name, *says; /* NULL: good */
	struct bpf_ins ins[16];
} cases[] = {
	{ "the least", NULL, { RETURN(1) } },
	{ "reads its argument", NULL, { LOAD(CODE_DW, 0, 1, SIZE - 8), EXIT } },
	{ "reads behind it", "instruction 0: it may read bytes 505 to 512 of the argument, which has 512",
	  { LOAD(CODE_DW, 0, 1, SIZE - 7), EXIT } },
	{ "reads before it", "bytes -1 to -1", { LOAD(CODE_B, 0, 1, -1), EXIT } },
	{ "reads far away", "bytes 32767", { LOAD(CODE_B, 0, 1, 32767), EXIT } },
	{ "writes its counters", NULL, { LOAD(CODE_DW, 2, 1, WRITE_FROM), OP_K(CODE_ADD, 2, 1),
	  STORE(CODE_DW, 1, WRITE_FROM, 2), STORE_K(CODE_DW, 1, SIZE - 8, 7), RETURN(1) } },
	{ "writes before them", "only 384 to 511", { STORE_K(CODE_B, 1, WRITE_FROM - 1, 7), RETURN(1) } },
	{ "writes across", "only 384 to 511", { STORE_K(CODE_W, 1, WRITE_FROM - 2, 7), RETURN(1) } },
	{ "writes behind", "which has 512", { STORE_K(CODE_DW, 1, SIZE, 7), RETURN(1) } },
	{ "returns nothing", "r0 may have no value", { EXIT } },
	{ "returns its argument", "returns a pointer", { OP(CODE_MOV, 0, 1), EXIT } },
	{ "goes on behind its end", "ends without returning", { OP_K(CODE_MOV, 0, 1) } },
	{ "returns on one way only", "ends without returning", { OP_K(CODE_MOV, 0, 1), JUMP_K(CODE_JEQ, 0, 1, 1), EXIT,
	  OP_K(CODE_MOV, 2, 1) } },
	{ "reads what has no value", "r3 may have no value", { OP(CODE_MOV, 0, 3), EXIT } },
	{ "has a value on one way only", "r3 may have no value", { LOAD(CODE_B, 2, 1, 0), JUMP_K(CODE_JEQ, 2, 0, 1),
	  OP_K(CODE_MOV, 3, 1), OP(CODE_MOV, 0, 3), EXIT } },
	{ "has different things", "r3 may have no value", { LOAD(CODE_B, 2, 1, 0), OP(CODE_MOV, 3, 1),
	  JUMP_K(CODE_JEQ, 2, 0, 1), OP_K(CODE_MOV, 3, 1), OP(CODE_MOV, 0, 3), EXIT } },
	{ "loops", "it jumps back to 1", { OP_K(CODE_MOV, 0, 1), OP_K(CODE_ADD, 0, 1), JUMP_K(CODE_JNE, 0, 7, -2), EXIT } },
	{ "loops for ever", "it jumps back to 0", { GO(-1), RETURN(1) } },
	{ "loops within one", "it jumps back to 1", { OP_K(CODE_MOV, 0, 1), JUMP_K(CODE_JEQ, 0, 1, -1), EXIT } },
	{ "jumps away", "where no instruction begins", { GO(100), RETURN(1) } },
	{ "jumps to the end", "where no instruction begins", { GO(2), RETURN(1) } },
	{ "jumps before the beginning", "it jumps back to -3", { GO(-4), RETURN(1) } },
	{ "jumps into a wide one", "jumps to 2, where no", { GO(1), WIDE(0, 1), EXIT } },
	{ "jumps over a wide one", NULL, { OP_K(CODE_MOV, 0, 1), JUMP_K(CODE_JEQ, 0, 1, 2), WIDE(0, 1), EXIT } },
	{ "half a wide one", "something else than a number", { { CODE_LOAD_IMM64, 0, 0, 0, 0 } } },
	{ "a variable", "something else than a number", { { CODE_LOAD_IMM64, 0, 1, 0, 5 }, { 0, 0, 0, 0, 0 }, EXIT } },
	{ "calls", "it calls a function", { { CODE_JMP | CODE_CALL, 0, 0, 0, 6 }, EXIT } },
	{ "calls itself", "it calls a function", { { CODE_JMP | CODE_CALL, 0, 1, 0, -1 }, EXIT } },
	{ "reads a packet", "as classic programs do", { { 0x28, 0, 0, 0, 12 }, EXIT } },
	{ "32-bit comparison", "-mcpu=v3", { OP_K(CODE_MOV, 0, 1), { CODE_JMP32 | CODE_JEQ, 0, 0, 0, 1 }, EXIT } },
	{ "adds atomically", "not known here (0xdb)", { OP_K(CODE_MOV, 0, 1), { 0xdb, 1, 0, WRITE_FROM, 0 }, EXIT } },
	{ "sign-extending load", "not known here", { { 0x91, 0, 1, 0, 0 }, EXIT } },
	{ "a register too many", "11 registers", { { CODE_ALU64 | CODE_MOV, 11, 0, 0, 1 }, EXIT } },
	{ "the frame pointer moved", "can only be read", { OP_K(CODE_ADD, 10, -8), RETURN(1) } },
	{ "an operation that there is not", "no such operation", { OP_K(CODE_MOV, 0, 1), { 0xe7, 0, 0, 0, 1 }, EXIT } },
	{ "a comparison that there is not", "no such comparison", { OP_K(CODE_MOV, 0, 1), { 0xe5, 0, 0, 0, 1 }, EXIT } },
	{ "divides by 0", "may divide by 0", { OP_K(CODE_MOV, 0, 1), OP_K(CODE_DIV, 0, 0), EXIT } },
	{ "may divide by 0", "may divide by 0", { LOAD(CODE_B, 2, 1, 0), OP_K(CODE_MOV, 0, 9), OP(CODE_DIV, 0, 2), EXIT } },
	{ "may divide by 0 in 32 bits", "may divide by 0", { LOAD(CODE_B, 2, 1, 0), OP_K(CODE_ADD, 2, 1), OP_K(CODE_LSH, 2, 32),
	  OP_K(CODE_MOV, 0, 9), OP32(CODE_MOD, 0, 2), EXIT } },
	{ "divides if it can", NULL, { LOAD(CODE_B, 2, 1, 0), OP_K(CODE_MOV, 0, 9), JUMP_K(CODE_JEQ, 2, 0, 1), OP(CODE_DIV, 0, 2),
	  EXIT } },
	{ "swaps", NULL, { LOAD(CODE_DW, 2, 1, 0), { 0xdc, 2, 0, 0, 16 }, { 0xdc, 2, 0, 0, 32 }, { 0xdc, 2, 0, 0, 64 }, RETURN(1) } },
	{ "swaps to little-endian", "use a mask", { LOAD(CODE_DW, 2, 1, 0), { 0xd4, 2, 0, 0, 16 }, RETURN(1) } },
	{ "swaps 24 bits", "no numbers of 24 bits", { LOAD(CODE_DW, 2, 1, 0), { 0xdc, 2, 0, 0, 24 }, RETURN(1) } },
	{ "swaps a pointer", "swaps the bytes of a pointer", { { 0xdc, 1, 0, 0, 16 }, RETURN(1) } },
	{ "shifts too far", "shifts 64 bits by 64", { OP_K(CODE_MOV, 0, 1), OP_K(CODE_LSH, 0, 64), EXIT } },
	{ "shifts back", "shifts 64 bits by -1", { OP_K(CODE_MOV, 0, 1), OP_K(CODE_RSH, 0, -1), EXIT } },
	{ "shifts half a number too far", "shifts 32 bits by 32", { OP_K(CODE_MOV, 0, 1), OP32_K(CODE_ARSH, 0, 32), EXIT } },
	{ "shifts far", NULL, { OP_K(CODE_MOV, 0, 1), OP_K(CODE_LSH, 0, 63), OP32_K(CODE_RSH, 0, 31), EXIT } },
	{ "its stack", NULL, { STORE_K(CODE_DW, 10, -8, 5), LOAD(CODE_DW, 0, 10, -8), EXIT } },
	{ "its stack in parts", NULL, { STORE_K(CODE_W, 10, -8, 5), STORE_K(CODE_H, 10, -4, 5), STORE_K(CODE_H, 10, -2, 5),
	  LOAD(CODE_DW, 0, 10, -8), LOAD(CODE_B, 0, 10, -3), EXIT } },
	{ "across slots", NULL, { STORE_K(CODE_DW, 10, -8, 5), STORE_K(CODE_DW, 10, -16, 5), LOAD(CODE_DW, 0, 10, -12), EXIT } },
	{ "across slots, one unwritten", "may not have been written", { STORE_K(CODE_DW, 10, -8, 5),
	  LOAD(CODE_DW, 0, 10, -12), EXIT } },
	{ "a stack unwritten", "may not have been written", { LOAD(CODE_DW, 0, 10, -8), EXIT } },
	{ "a stack half written", "may not have been written", { STORE_K(CODE_W, 10, -8, 5), LOAD(CODE_DW, 0, 10, -8), EXIT } },
	{ "a stack written on one way", "may not have been written", { OP_K(CODE_MOV, 0, 1), JUMP_K(CODE_JEQ, 0, 1, 1),
	  STORE_K(CODE_DW, 10, -8, 5), LOAD(CODE_DW, 0, 10, -8), EXIT } },
	{ "above the stack", "leaves the stack", { STORE_K(CODE_B, 10, 0, 5), RETURN(1) } },
	{ "across its top", "leaves the stack", { STORE_K(CODE_DW, 10, -4, 5), RETURN(1) } },
	{ "its lowest", NULL, { STORE_K(CODE_DW, 10, -512, 5), RETURN(1) } },
	{ "below it", "leaves the stack", { STORE_K(CODE_B, 10, -513, 5), RETURN(1) } },
	{ "a pointer kept there", NULL, { STORE(CODE_DW, 10, -8, 1), LOAD(CODE_DW, 2, 10, -8), LOAD(CODE_B, 0, 2, 5), EXIT } },
	{ "a part of it", "a part of a pointer", { STORE(CODE_DW, 10, -8, 1), LOAD(CODE_W, 0, 10, -8), EXIT } },
	{ "a part of it, overwritten", "may not have been written", { STORE(CODE_DW, 10, -8, 1), STORE_K(CODE_B, 10, -8, 1),
	  LOAD(CODE_DW, 2, 10, -8), LOAD(CODE_B, 0, 2, 5), EXIT } },
	{ "a part of it kept", "writes a part of a pointer", { STORE(CODE_W, 10, -8, 1), RETURN(1) } },
	{ "a pointer shown", "where others can see it", { STORE(CODE_DW, 1, WRITE_FROM, 1), RETURN(1) } },
	{ "a number as a pointer", "is no pointer", { OP_K(CODE_MOV, 2, 4096), LOAD(CODE_B, 0, 2, 0), EXIT } },
	{ "writes by a number", "is no pointer", { OP_K(CODE_MOV, 2, 4096), STORE_K(CODE_B, 2, 0, 0), RETURN(1) } },
	{ "a pointer compared", "compares a pointer", { JUMP_K(CODE_JEQ, 1, 0, 0), RETURN(1) } },
	{ "a pointer times 2", "computes with a pointer", { OP_K(CODE_MUL, 1, 2), RETURN(1) } },
	{ "half a pointer", "computes with a pointer", { OP32_K(CODE_ADD, 1, 2), RETURN(1) } },
	{ "half a pointer moved", "computes with a pointer", { OP32(CODE_MOV, 0, 1), EXIT } },
	{ "two pointers", "computes with a pointer", { OP(CODE_ADD, 1, 10), RETURN(1) } },
	{ "their difference", "computes with a pointer", { OP(CODE_SUB, 1, 10), RETURN(1) } },
	{ "a pointer there and back", NULL, { OP_K(CODE_ADD, 1, -16), LOAD(CODE_B, 0, 1, 16), EXIT } },
	{ "a byte as offset", NULL, { LOAD(CODE_B, 2, 1, 0), OP(CODE_ADD, 1, 2), LOAD(CODE_W, 0, 1, SIZE - 259), EXIT } },
	{ "a byte as offset, too far", "bytes 254 to 512", { LOAD(CODE_B, 2, 1, 0), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_W, 0, 1, 254), EXIT } },
	{ "an offset from the other side", NULL, { LOAD(CODE_B, 2, 1, 0), OP(CODE_ADD, 2, 1), LOAD(CODE_B, 0, 2, 0), EXIT } },
	{ "a half word as offset", "bytes 0 to 65535", { LOAD(CODE_H, 2, 1, 0), OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "anything as offset", "may be anything", { LOAD(CODE_DW, 2, 1, 0), OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "minus anything", "may be anything", { LOAD(CODE_DW, 2, 1, 0), OP(CODE_SUB, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "minus a byte", "bytes -255 to 0", { LOAD(CODE_B, 2, 1, 0), OP(CODE_SUB, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "a mask", NULL, { LOAD(CODE_DW, 2, 1, 0), OP_K(CODE_AND, 2, 511), OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "a mask too wide", "bytes 0 to 512", { LOAD(CODE_DW, 2, 1, 0), OP_K(CODE_AND, 2, 512), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "a negative mask", "may be anything", { LOAD(CODE_DW, 2, 1, 0), OP_K(CODE_AND, 2, -4), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "an IP header's size", NULL, { LOAD(CODE_B, 2, 1, 14), OP_K(CODE_LSH, 2, 2), OP_K(CODE_AND, 2, 60),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_H, 0, 1, SIZE - 62), EXIT } },
	{ "bounded above", NULL, { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JGT, 2, 100, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, SIZE - 101), RETURN(1) } },
	{ "bounded the wrong way", "may be anything", { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JGT, 2, 100, 1), GO(2),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), RETURN(1) } },
	{ "bounded by one too few", "bytes 412 to 512", { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JGT, 2, 100, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, SIZE - 100), RETURN(1) } },
	{ "bounded as signed", "may be anything", { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JSGT, 2, 100, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, 0), RETURN(1) } },
	{ "bounded as signed twice", NULL, { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JSGT, 2, 100, 3), JUMP_K(CODE_JSLT, 2, 0, 2),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), RETURN(1) } },
	{ "bounded by a negative number", "may be anything", { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JGT, 2, -5, 2),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), RETURN(1) } },
	{ "bounded on one way only", "may be anything", { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JLT, 2, 100, 1), OP_K(CODE_MOV, 3, 1),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), RETURN(1) } },
	{ "known by equality", NULL, { LOAD(CODE_DW, 2, 1, 0), JUMP_K(CODE_JNE, 2, 200, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, 311), RETURN(1) } },
	{ "a shift that wraps", "may be anything", { LOAD(CODE_W, 2, 1, 0), OP_K(CODE_LSH, 2, 40), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "a product that wraps", "may be anything", { LOAD(CODE_DW, 2, 1, 0), OP_K(CODE_RSH, 2, 1), OP_K(CODE_MUL, 2, 4),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "minus 1 in 32 bits", "may be anything", { LOAD(CODE_B, 2, 1, 0), OP32_K(CODE_SUB, 2, 1), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, 1), EXIT } },
	{ "a remainder", NULL, { LOAD(CODE_DW, 2, 1, 0), OP_K(CODE_MOD, 2, 512), OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, 0), EXIT } },
	{ "bounded below", NULL, { LOAD(CODE_B, 2, 1, 0), JUMP_K(CODE_JLE, 2, 5, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, -6), RETURN(1) } },
	{ "bounded below by one too few", "bytes -1 to 248", { LOAD(CODE_B, 2, 1, 0), JUMP_K(CODE_JLE, 2, 5, 2),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, -7), RETURN(1) } },
	{ "below by JLT", "bytes -1 to 248", { LOAD(CODE_B, 2, 1, 0), JUMP_K(CODE_JLT, 2, 6, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, -7), RETURN(1) } },
	{ "below by JSLE", "bytes -1 to 248", { LOAD(CODE_B, 2, 1, 0), JUMP_K(CODE_JSLE, 2, 5, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, -7), RETURN(1) } },
	{ "below by JNE", "bytes -1 to 253", { LOAD(CODE_B, 2, 1, 0), JUMP_K(CODE_JEQ, 2, 0, 2), OP(CODE_ADD, 1, 2),
	  LOAD(CODE_B, 0, 1, -2), RETURN(1) } },
	{ "shifted by a register", NULL, { LOAD(CODE_B, 2, 1, 0), LOAD(CODE_B, 3, 1, 0), OP_K(CODE_AND, 3, 3), OP(CODE_RSH, 2, 3),
	  OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, SIZE - 256), EXIT } },
	{ "shifted by a register, perhaps by 0", "bytes 257 to 512", { LOAD(CODE_B, 2, 1, 0), LOAD(CODE_B, 3, 1, 0),
	  OP_K(CODE_AND, 3, 3), OP(CODE_RSH, 2, 3), OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, SIZE - 255), EXIT } },
	{ "bits of two", "bytes 505 to 512", { LOAD(CODE_B, 2, 1, 0), LOAD(CODE_B, 3, 1, 1), OP_K(CODE_MOD, 2, 5),
	  OP_K(CODE_MOD, 3, 5), OP(CODE_OR, 2, 3), OP(CODE_ADD, 1, 2), LOAD(CODE_B, 0, 1, SIZE - 7), EXIT } },
	{ "a place of the stack not known", "not known before", { LOAD(CODE_B, 2, 1, 0), OP(CODE_MOV, 3, 10), OP(CODE_SUB, 3, 2),
	  STORE_K(CODE_B, 3, -8, 0), RETURN(1) } },
	/* What DPDK 22.11.11 does not look at: it stops where the first instruction is a branch. */
	{ "a branch first", "compares a pointer", { JUMP_K(CODE_JEQ, 1, 42, 1), STORE_K(CODE_DW, 1, -32768, 0), RETURN(1) } },
};
/* clang-format on */

static unsigned int length(const struct bpf_ins *ins, unsigned int max)
{
	static const struct bpf_ins none;

	while (max > 0 && memcmp(&ins[max - 1], &none, sizeof(none)) == 0)
		max--;
	return max;
}

static void test_cases(void **state)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int n = length(cases[i].ins, ARRAY_SIZE(cases[i].ins));
		struct err err = { 0 };
		int ret = verify_program(cases[i].ins, n, &argument, &err);

		if (cases[i].says == NULL
			    ? ret != 0
			    : ret != -EINVAL || strstr(err.text, cases[i].says) == NULL)
			fail_msg("%s: %d, %s", cases[i].name, ret, err.text);
	}
}

static void test_size(void **state)
{
	static struct bpf_ins ins[VERIFY_INSTRUCTIONS_MAX + 1];
	struct err err = { 0 };

	for (unsigned int i = 0; i < ARRAY_SIZE(ins); i++)
		ins[i] = (struct bpf_ins)OP_K(CODE_MOV, 0, 1);
	ins[VERIFY_INSTRUCTIONS_MAX] = ins[VERIFY_INSTRUCTIONS_MAX - 1] = (struct bpf_ins)EXIT;
	assert_int_equal(verify_program(ins, VERIFY_INSTRUCTIONS_MAX, &argument, &err), 0);
	assert_int_equal(verify_program(ins, VERIFY_INSTRUCTIONS_MAX + 1, &argument, &err),
			 -EINVAL);
	assert_non_null(strstr(err.text, "4097 instructions"));
	assert_int_equal(verify_program(ins, 0, &argument, &err), -EINVAL);
}

/* 2^n ways, which librte_bpf would follow one by one. */
static void test_ways(void **state)
{
	struct bpf_ins ins[200] = { OP_K(CODE_MOV, 0, 0), LOAD(CODE_DW, 2, 1, 0) };
	struct err err = { 0 };
	unsigned int n = 2;

	for (unsigned int i = 0; i < 40; i++) {
		ins[n++] = (struct bpf_ins)JUMP_K(CODE_JSET, 2, 1 << i % 31, 1);
		ins[n++] = (struct bpf_ins)OP_K(CODE_ADD, 0, 1 << i % 31);
	}
	ins[n++] = (struct bpf_ins)EXIT;
	assert_int_equal(verify_program(ins, n, &argument, &err), -EINVAL);
	assert_non_null(strstr(err.text, "too many ways"));
	ins[22] = (struct bpf_ins)EXIT;
	assert_int_equal(verify_program(ins, 23, &argument, &err), 0);
}

/* One that is accepted does nothing that it must not. */
static void test_random(void **state)
{
	static struct machine m;
	unsigned int n_accepted = 0, n_computed = 0;

	for (unsigned int round = 0; round < 150000; round++) {
		struct bpf_ins ins[MACHINE_INS];
		struct err err;
		bool computed;
		unsigned int n = machine_make(ins, &computed);

		if (verify_program(ins, n, &argument, &err) < 0)
			continue;
		n_accepted++;
		n_computed += computed;
		for (unsigned int i = 0; i < 8; i++) {
			const char *wrong;

			machine_fill(&m);
			wrong = machine_run(&m, ins);
			if (wrong != NULL)
				fail_msg("round %u: %s", round, wrong);
		}
	}
	/* So that the test has something to say. */
	if (n_accepted < 5000 || n_computed < 500)
		fail_msg("%u accepted, %u with pointers", n_accepted, n_computed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cases),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_ways),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
