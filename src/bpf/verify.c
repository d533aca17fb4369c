/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections are of RFC 9669, "BPF Instruction Set Architecture (ISA)". */
#include "bpf/verify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "bpf/code.h"

#define REGISTERS 11
#define FRAME_END 10 /* the register that points behind the stack */
#define SLOTS     (VERIFY_STACK / 8)
#define FAR       (1 << 20) /* offsets of pointers stay within it, so that sums do not overflow */

enum kind {
	NOTHING, /* not written yet, or different things by different ways */
	NUMBER,
	ARGUMENT, /* a pointer into it; the range is of the offset */
	STACK     /* a pointer into it, likewise; counted from its lowest byte */
};

struct value {
	uint8_t kind;
	uint8_t written; /* of a slot of the stack: which of its bytes; 0xff for all */
	int64_t min, max;
};

/* What can be when an instruction begins. */
struct state {
	bool reached;
	struct value reg[REGISTERS];
	struct value slot[SLOTS];
};

struct check {
	const struct bpf_ins *ins;
	unsigned int n, at;
	const struct verify_argument *argument;
	struct state *states; /* [n] */
	struct state now;
	struct err *err;
};

static int __attribute__((format(printf, 2, 3))) refuse(struct check *c, const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	/* NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized): it is, clang-tidy 14 misses it here */
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return err_set(c->err, -EINVAL, "instruction %u: %s", c->at, text);
}

/* --- numbers --- */

static const struct value any = { NUMBER, 0xff, INT64_MIN, INT64_MAX };

static struct value number(int64_t min, int64_t max)
{
	return (struct value){ NUMBER, 0xff, min, max };
}

static bool is_constant(const struct value *v)
{
	return v->min == v->max;
}

/* Its lower 32 bits as a number of 64. */
static struct value low32(struct value v)
{
	if (is_constant(&v))
		return number((uint32_t)v.min, (uint32_t)v.min);
	return v.min >= 0 && v.max <= UINT32_MAX ? v : number(0, UINT32_MAX);
}

/* The largest number with as many bits. */
static int64_t all_bits(int64_t v)
{
	return v == 0 ? 0 : (int64_t)(UINT64_MAX >> __builtin_clzll((uint64_t)v));
}

static struct value add(struct value a, struct value b)
{
	int64_t min, max;

	if (__builtin_add_overflow(a.min, b.min, &min) ||
	    __builtin_add_overflow(a.max, b.max, &max))
		return any;
	return number(min, max);
}

static struct value subtract(struct value a, struct value b)
{
	int64_t min, max;

	if (__builtin_sub_overflow(a.min, b.max, &min) ||
	    __builtin_sub_overflow(a.max, b.min, &max))
		return any;
	return number(min, max);
}

static struct value multiply(struct value a, struct value b)
{
	int64_t max;

	if (a.min < 0 || b.min < 0 || __builtin_mul_overflow(a.max, b.max, &max))
		return any;
	return number(a.min * b.min, max);
}

static struct value bit_and(struct value a, struct value b)
{
	if (is_constant(&a) && is_constant(&b))
		return number(a.min & b.min, a.min & b.min);
	if (a.min < 0 && b.min < 0)
		return any;
	if (a.min < 0 || b.min < 0)
		return number(0, a.min < 0 ? b.max : a.max);
	return number(0, a.max < b.max ? a.max : b.max);
}

static struct value bit_or_xor(unsigned int op, struct value a, struct value b)
{
	if (is_constant(&a) && is_constant(&b)) {
		int64_t v = op == CODE_OR ? a.min | b.min : a.min ^ b.min;

		return number(v, v);
	}
	return a.min < 0 || b.min < 0 ? any : number(0, all_bits(a.max | b.max));
}

static struct value shift_left(struct value a, struct value by, unsigned int bits)
{
	if (!is_constant(&by) || by.min < 0 || by.min >= bits || a.min < 0 ||
	    a.max > INT64_MAX >> by.min)
		return any;
	return number(a.min << by.min, a.max << by.min);
}

static struct value shift_right(struct value a, struct value by, unsigned int bits)
{
	bool in_range = by.min >= 0 && by.max < bits;

	/* Of others, only the lower bits count (4.1). */
	if (a.min >= 0)
		return in_range ? number(a.min >> by.max, a.max >> by.min) : number(0, a.max);
	return in_range && by.min > 0 ? number(0, (int64_t)(UINT64_MAX >> by.min)) : any;
}

static struct value shift_signed(struct value a, struct value by, unsigned int bits)
{
	unsigned int n = (unsigned int)by.min & 63;

	return bits == 64 && is_constant(&by) ? number(a.min >> n, a.max >> n) : any;
}

/* Both are unsigned. */
static struct value divide(struct value a, struct value b)
{
	return a.min >= 0 && b.min > 0 ? number(a.min / b.max, a.max / b.min) : any;
}

static struct value modulo(struct value a, struct value b)
{
	if (b.min <= 0)
		return any;
	return number(0, a.min >= 0 && a.max < b.max ? a.max : b.max - 1);
}

static struct value negate(struct value a)
{
	return a.min == INT64_MIN ? any : number(-a.max, -a.min);
}

static struct value compute(unsigned int op, struct value a, struct value b, unsigned int bits)
{
	switch (op) {
	case CODE_ADD:
		return add(a, b);
	case CODE_SUB:
		return subtract(a, b);
	case CODE_MUL:
		return multiply(a, b);
	case CODE_DIV:
		return divide(a, b);
	case CODE_MOD:
		return modulo(a, b);
	case CODE_AND:
		return bit_and(a, b);
	case CODE_OR:
	case CODE_XOR:
		return bit_or_xor(op, a, b);
	case CODE_LSH:
		return shift_left(a, b, bits);
	case CODE_RSH:
		return shift_right(a, b, bits);
	case CODE_ARSH:
		return shift_signed(a, b, bits);
	case CODE_NEG:
		return negate(a);
	default:
		return b; /* CODE_MOV */
	}
}

/* --- states --- */

static struct value covering(const struct value *a, const struct value *b)
{
	if (a->kind != b->kind || a->kind == NOTHING)
		return (struct value){ NOTHING, 0, 0, 0 };
	return (struct value){ a->kind, a->written & b->written, a->min < b->min ? a->min : b->min,
			       a->max > b->max ? a->max : b->max };
}

/* `from` may come to instruction `to`. */
static void reach(struct check *c, unsigned int to, const struct state *from)
{
	struct state *state = &c->states[to];

	if (!state->reached) {
		*state = *from;
		state->reached = true;
		return;
	}
	for (unsigned int i = 0; i < REGISTERS; i++)
		state->reg[i] = covering(&state->reg[i], &from->reg[i]);
	for (unsigned int i = 0; i < SLOTS; i++)
		state->slot[i] = covering(&state->slot[i], &from->slot[i]);
}

static int need(struct check *c, unsigned int reg)
{
	return c->now.reg[reg].kind != NOTHING
		       ? 0
		       : refuse(c, "register r%u may have no value yet", reg);
}

static int need_number(struct check *c, unsigned int reg, const char *what)
{
	int ret = need(c, reg);

	if (ret == 0 && c->now.reg[reg].kind != NUMBER)
		ret = refuse(c, "%s a pointer, r%u", what, reg);
	return ret;
}

static int write_register(struct check *c, unsigned int reg, struct value v)
{
	if (reg == FRAME_END)
		return refuse(c, "register r%u can only be read", reg);
	c->now.reg[reg] = v;
	return 0;
}

/* --- arithmetic (4.1, 4.2) --- */

static int move_pointer(struct check *c, const struct bpf_ins *ins, const struct value *b)
{
	struct value a = c->now.reg[ins->dst], v;
	uint8_t kind = a.kind != NUMBER ? a.kind : b->kind;
	unsigned int op = CODE_OP(ins->code);

	if (CODE_CLASS(ins->code) != CODE_ALU64 || (a.kind != NUMBER && b->kind != NUMBER) ||
	    !(op == CODE_ADD || (op == CODE_SUB && b->kind == NUMBER)))
		return refuse(c,
			      "it computes with a pointer; a number can be added to one, no more");
	v = op == CODE_ADD ? add(a, *b) : subtract(a, *b);
	if (v.min < -FAR || v.max > FAR)
		return refuse(
			c,
			"what it adds to a pointer may be anything: bound it before, as by `& 63`");
	v.kind = kind;
	return write_register(c, ins->dst, v);
}

static int swap_bytes(struct check *c, const struct bpf_ins *ins)
{
	int ret = need_number(c, ins->dst, "it swaps the bytes of");

	if (ret < 0)
		return ret;
	/* librte_bpf leaves the upper bits (22.11.11, bpf_exec.c). */
	if (!CODE_IS_X(ins->code))
		return refuse(c, "it makes a little-endian number of r%u; use a mask", ins->dst);
	if (ins->imm != 16 && ins->imm != 32 && ins->imm != 64)
		return refuse(c, "there are no numbers of %d bits", ins->imm);
	return write_register(c, ins->dst,
			      ins->imm == 64 ? any : number(0, (int64_t)((1ull << ins->imm) - 1)));
}

static bool may_be_0(const struct value *v, bool wide)
{
	struct value low = wide ? *v : low32(*v);

	return v->kind == NUMBER && low.min <= 0 && low.max >= 0;
}

static bool is_shift(unsigned int op)
{
	return op == CODE_LSH || op == CODE_RSH || op == CODE_ARSH;
}

static int arithmetic(struct check *c, const struct bpf_ins *ins)
{
	bool wide = CODE_CLASS(ins->code) == CODE_ALU64;
	unsigned int op = CODE_OP(ins->code), bits = wide ? 64 : 32;
	bool unary = op == CODE_NEG, from_register = CODE_IS_X(ins->code) && !unary;
	struct value a = c->now.reg[ins->dst], b = number(ins->imm, ins->imm), v;
	int ret = op == CODE_MOV ? 0 : need(c, ins->dst);

	if (op == CODE_END && !wide)
		return swap_bytes(c, ins);
	if (op > CODE_ARSH || ins->off != 0)
		return refuse(c, "it has no such operation (0x%02x)", ins->code);
	if (ret == 0 && from_register) {
		ret = need(c, ins->src);
		b = c->now.reg[ins->src];
	}
	if (ret < 0)
		return ret;
	if ((op == CODE_DIV || op == CODE_MOD) && may_be_0(&b, wide))
		return refuse(c, "it may divide by 0");
	/* DPDK 22.11.11 makes other instructions of it (bpf_jit_x86.c, emit_shift_imm). */
	if (!from_register && is_shift(op) && (ins->imm < 0 || ins->imm >= (int32_t)bits))
		return refuse(c, "it shifts %u bits by %d", bits, ins->imm);
	if (op == CODE_MOV && wide)
		return write_register(c, ins->dst, b);
	if (op == CODE_MOV)
		a = number(0, 0);
	if (a.kind != NUMBER || b.kind != NUMBER)
		return move_pointer(c, ins, &b);
	v = wide ? compute(op, a, b, bits) : low32(compute(op, low32(a), low32(b), bits));
	return write_register(c, ins->dst, v);
}

/* --- memory (5) --- */

static unsigned int size_of(uint8_t code)
{
	static const uint8_t sizes[] = { 4, 2, 1, 8 };

	return sizes[CODE_SIZE(code) >> 3];
}

/* What `size` bytes can be. */
static struct value unsigned_of(unsigned int size)
{
	return size == 8 ? any : number(0, (int64_t)((1ull << 8 * size) - 1));
}

/* The bytes of slot `i` that [at, at + size) has, as in value.written. */
static uint8_t bytes_in(unsigned int i, unsigned int at, unsigned int size)
{
	uint8_t bytes = 0;

	for (unsigned int byte = at; byte < at + size; byte++)
		if (byte / 8 == i)
			bytes |= (uint8_t)(1u << byte % 8);
	return bytes;
}

/* Where in the stack an access is: at a known place. */
static int stack_at(struct check *c, const struct value *pointer, const struct bpf_ins *ins,
		    unsigned int *at)
{
	int64_t from = pointer->min + ins->off;

	if (!is_constant(pointer))
		return refuse(c, "it goes to a place of the stack that is not known before");
	if (from < 0 || from + size_of(ins->code) > VERIFY_STACK)
		return refuse(c, "it leaves the stack, which has %d bytes", VERIFY_STACK);
	*at = (unsigned int)from;
	return 0;
}

static int load_stack(struct check *c, const struct bpf_ins *ins, const struct value *pointer)
{
	unsigned int size = size_of(ins->code), at = 0;
	int ret = stack_at(c, pointer, ins, &at);

	if (ret < 0)
		return ret;
	for (unsigned int i = at / 8; i <= (at + size - 1) / 8; i++) {
		const struct value *slot = &c->now.slot[i];
		uint8_t bytes = bytes_in(i, at, size);

		if (slot->kind == NOTHING || (slot->written & bytes) != bytes)
			return refuse(c, "it reads from the stack what may not have been written");
		if (bytes == 0xff)
			return write_register(c, ins->dst, *slot);
		if (slot->kind != NUMBER)
			return refuse(c, "it reads a part of a pointer");
	}
	return write_register(c, ins->dst, unsigned_of(size));
}

static int store_stack(struct check *c, const struct bpf_ins *ins, const struct value *pointer,
		       const struct value *v)
{
	unsigned int size = size_of(ins->code), at = 0;
	int ret = stack_at(c, pointer, ins, &at);

	if (ret < 0)
		return ret;
	for (unsigned int i = at / 8; i <= (at + size - 1) / 8; i++) {
		struct value *slot = &c->now.slot[i];
		uint8_t bytes = bytes_in(i, at, size),
			kept = slot->kind == NUMBER ? slot->written : 0;

		if (bytes == 0xff) {
			*slot = *v;
			slot->written = 0xff;
			return 0;
		}
		if (v->kind != NUMBER)
			return refuse(c, "it writes a part of a pointer");
		*slot = any;
		slot->written = kept | bytes;
	}
	return 0;
}

static int in_argument(struct check *c, const struct bpf_ins *ins, const struct value *pointer,
		       bool write)
{
	const struct verify_argument *arg = c->argument;
	long long from = pointer->min + ins->off;
	long long to = pointer->max + ins->off + size_of(ins->code) - 1;

	if (from < 0 || to >= arg->size)
		return refuse(c, "it may %s bytes %lld to %lld of %s, which has %u",
			      write ? "write" : "read", from, to, arg->name, arg->size);
	if (write && (from < arg->write_from || to >= arg->write_to))
		return refuse(
			c, "it may write bytes %lld to %lld of %s: only %u to %u are to be written",
			from, to, arg->name, arg->write_from, arg->write_to - 1);
	return 0;
}

static int load(struct check *c, const struct bpf_ins *ins)
{
	const struct value *pointer = &c->now.reg[ins->src];
	int ret = need(c, ins->src);

	if (ret < 0)
		return ret;
	if (pointer->kind == NUMBER)
		return refuse(c, "it reads where a number says, r%u, which is no pointer",
			      ins->src);
	if (pointer->kind == STACK)
		return load_stack(c, ins, pointer);
	ret = in_argument(c, ins, pointer, false);
	return ret < 0 ? ret : write_register(c, ins->dst, unsigned_of(size_of(ins->code)));
}

static int store(struct check *c, const struct bpf_ins *ins)
{
	const struct value *pointer = &c->now.reg[ins->dst];
	bool from_register = CODE_CLASS(ins->code) == CODE_STX;
	struct value v = from_register ? c->now.reg[ins->src] : number(ins->imm, ins->imm);
	int ret = need(c, ins->dst);

	if (ret == 0 && from_register)
		ret = need(c, ins->src);
	if (ret < 0)
		return ret;
	if (pointer->kind == NUMBER)
		return refuse(c, "it writes where a number says, r%u, which is no pointer",
			      ins->dst);
	if (pointer->kind == STACK)
		return store_stack(c, ins, pointer, &v);
	if (v.kind != NUMBER)
		return refuse(c, "it writes a pointer where others can see it");
	return in_argument(c, ins, pointer, true);
}

/* --- jumps (4.3) --- */

/* v, of which is known that it is at most, or at least, this. What cannot be stays as it was. */
static void narrow(struct value *v, int64_t min, int64_t max)
{
	min = v->min > min ? v->min : min;
	max = v->max < max ? v->max : max;
	if (min <= max)
		*v = number(min, max);
}

static void narrow_equal(struct value *v, int64_t k, bool equal)
{
	if (equal)
		narrow(v, k, k);
	else if (v->min == k && k < INT64_MAX)
		narrow(v, k + 1, INT64_MAX);
	else if (v->max == k && k > INT64_MIN)
		narrow(v, INT64_MIN, k - 1);
}

/* v > k if `above`, else v <= k, as unsigned numbers; k is not negative. */
static void narrow_unsigned(struct value *v, int64_t k, bool above)
{
	if (!above)
		narrow(v, 0, k);
	else if (v->min >= 0 && k < INT64_MAX)
		narrow(v, k + 1, INT64_MAX);
}

/* The same of signed ones. */
static void narrow_signed(struct value *v, int64_t k, bool above)
{
	if (!above)
		narrow(v, INT64_MIN, k);
	else if (k < INT64_MAX)
		narrow(v, k + 1, INT64_MAX);
}

/* What v is when a comparison with k is true, or false. */
static void narrow_by(struct value *v, unsigned int op, int64_t k, bool is_true)
{
	switch (op) {
	case CODE_JEQ:
	case CODE_JNE:
		narrow_equal(v, k, is_true == (op == CODE_JEQ));
		break;
	case CODE_JGT:
	case CODE_JLE:
		if (k >= 0)
			narrow_unsigned(v, k, is_true == (op == CODE_JGT));
		break;
	case CODE_JGE:
	case CODE_JLT:
		if (k > 0)
			narrow_unsigned(v, k - 1, is_true == (op == CODE_JGE));
		break;
	case CODE_JSGT:
	case CODE_JSLE:
		narrow_signed(v, k, is_true == (op == CODE_JSGT));
		break;
	case CODE_JSGE:
	case CODE_JSLT:
		if (k > INT64_MIN)
			narrow_signed(v, k - 1, is_true == (op == CODE_JSGE));
		break;
	default: /* CODE_JSET: nothing */
		break;
	}
}

static int compare(struct check *c, const struct bpf_ins *ins)
{
	struct value b = number(ins->imm, ins->imm);
	struct state taken = c->now;
	int ret = need_number(c, ins->dst, "it compares");

	if (ret == 0 && CODE_IS_X(ins->code)) {
		ret = need_number(c, ins->src, "it compares");
		b = c->now.reg[ins->src];
	}
	if (ret < 0)
		return ret;
	if (CODE_OP(ins->code) > CODE_JSLE)
		return refuse(c, "it has no such comparison (0x%02x)", ins->code);
	if (is_constant(&b)) {
		narrow_by(&taken.reg[ins->dst], CODE_OP(ins->code), b.min, true);
		narrow_by(&c->now.reg[ins->dst], CODE_OP(ins->code), b.min, false);
	}
	reach(c, c->at + 1 + (unsigned int)ins->off, &taken);
	return 0;
}

/* --- the pass --- */

/* *next: where the program goes on; n: nowhere. */
static int step(struct check *c, unsigned int *next)
{
	const struct bpf_ins *ins = &c->ins[c->at];

	*next = c->at + 1;
	switch (CODE_CLASS(ins->code)) {
	case CODE_ALU:
	case CODE_ALU64:
		return arithmetic(c, ins);
	case CODE_LD:
		*next = c->at + 2;
		return write_register(c, ins->dst, any);
	case CODE_LDX:
		return load(c, ins);
	case CODE_ST:
	case CODE_STX:
		return store(c, ins);
	default:
		break;
	}
	if (CODE_OP(ins->code) == CODE_EXIT) {
		*next = c->n;
		return need_number(c, 0, "it returns");
	}
	if (CODE_OP(ins->code) == CODE_JA) {
		*next += (unsigned int)ins->off;
		return 0;
	}
	return compare(c, ins);
}

static int pass(struct check *c)
{
	int ret = 0;

	c->states = calloc(c->n, sizeof(*c->states));
	if (c->states == NULL)
		return err_set(c->err, -ENOMEM, "out of memory");
	c->states[0].reached = true;
	c->states[0].reg[1] = (struct value){ ARGUMENT, 0xff, 0, 0 };
	c->states[0].reg[FRAME_END] = (struct value){ STACK, 0xff, VERIFY_STACK, VERIFY_STACK };
	for (c->at = 0; c->at < c->n && ret == 0; c->at++) {
		unsigned int next;

		if (!c->states[c->at].reached)
			continue;
		c->now = c->states[c->at];
		ret = step(c, &next);
		if (ret == 0 && next < c->n)
			reach(c, next, &c->now);
		else if (ret == 0 && c->ins[c->at].code != (CODE_JMP | CODE_EXIT))
			ret = refuse(c, "the program ends without returning anything");
	}
	free(c->states);
	return ret;
}

/* --- its form --- */

static bool is_wide(const struct bpf_ins *ins)
{
	return ins->code == CODE_LOAD_IMM64;
}

static bool is_jump(const struct bpf_ins *ins)
{
	return CODE_CLASS(ins->code) == CODE_JMP && CODE_OP(ins->code) != CODE_EXIT;
}

/* An instruction that there is, whatever its registers have. */
static int check_form(struct check *c)
{
	const struct bpf_ins *ins = &c->ins[c->at];
	unsigned int class = CODE_CLASS(ins->code), mode = CODE_MODE(ins->code);

	if (ins->dst >= REGISTERS || ins->src >= REGISTERS)
		return refuse(c, "there are %d registers", REGISTERS);
	if (class == CODE_JMP32)
		return refuse(
			c,
			"it compares 32 bits, which is not known here: compile without -mcpu=v3");
	if (is_jump(ins) && CODE_OP(ins->code) == CODE_CALL)
		return refuse(c, "it calls a function, and there is none to be called");
	if (class == CODE_LD && !is_wide(ins))
		return refuse(
			c,
			"it reads a packet as classic programs do, and there is none: use its argument");
	if (is_wide(ins) && (ins->src != 0 || c->at + 1 == c->n || ins[1].code != 0))
		return refuse(c, "it loads something else than a number");
	if ((class == CODE_LDX || class == CODE_ST || class == CODE_STX) && mode != CODE_MEM)
		return refuse(c, "it reads or writes in a way that is not known here (0x%02x)",
			      ins->code);
	return 0;
}

static int check_jump(struct check *c)
{
	long to = (long)c->at + 1 + c->ins[c->at].off;

	if (to <= c->at)
		return refuse(
			c,
			"it jumps back to %ld: a program has no loops, so that it ends in time; unroll "
			"them (#pragma unroll)",
			to);
	if (to >= c->n || is_wide(&c->ins[to - 1]))
		return refuse(c, "it jumps to %ld, where no instruction begins", to);
	return 0;
}

static int check_forms(struct check *c)
{
	for (c->at = 0; c->at < c->n; c->at++) {
		int ret = check_form(c);

		if (ret == 0 && is_jump(&c->ins[c->at]))
			ret = check_jump(c);
		if (ret < 0)
			return ret;
		c->at += is_wide(&c->ins[c->at]);
	}
	return 0;
}

/* Steps over all ways from each instruction to the end, from the last to the first. */
static int count_steps(struct check *c)
{
	uint64_t *steps = calloc(c->n + 2u, sizeof(*steps));
	int ret = 0;

	if (steps == NULL)
		return err_set(c->err, -ENOMEM, "out of memory");
	for (unsigned int i = c->n; i-- > 0;) {
		const struct bpf_ins *ins = &c->ins[i];
		unsigned int next = i + (is_wide(ins) ? 2 : 1);

		steps[i] = 1;
		if (ins->code != (CODE_JMP | CODE_EXIT) && ins->code != (CODE_JMP | CODE_JA))
			steps[i] += steps[next];
		if (is_jump(ins))
			steps[i] += steps[next + (unsigned int)ins->off];
		if (steps[i] > VERIFY_STEPS_MAX)
			steps[i] = VERIFY_STEPS_MAX + 1;
	}
	if (steps[0] > VERIFY_STEPS_MAX)
		ret = err_set(
			c->err, -EINVAL,
			"there are too many ways through the program: to follow each takes more than %d "
			"steps; have it return early where it can",
			VERIFY_STEPS_MAX);
	free(steps);
	return ret;
}

int verify_program(const struct bpf_ins *ins, unsigned int n,
		   const struct verify_argument *argument, struct err *err)
{
	struct check *c;
	int ret;

	if (n == 0 || n > VERIFY_INSTRUCTIONS_MAX)
		return err_set(err, -EINVAL,
			       "the program has %u instructions; from 1 to %d are possible", n,
			       VERIFY_INSTRUCTIONS_MAX);
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	*c = (struct check){ .ins = ins, .n = n, .argument = argument, .err = err };
	ret = check_forms(c);
	if (ret == 0)
		ret = count_steps(c);
	if (ret == 0)
		ret = pass(c);
	free(c);
	return ret;
}
