/* SPDX-License-Identifier: BSD-3-Clause */
/* From files to running programs. The ELF files are made here, so that everything in them can be wrong. */
#include <elf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <rte_eal.h>

#include "base/bits.h"
#include "base/test_folder.h"
#include "bpf/code.h"
#include "bpf/elffile.h"
#include "bpf/fake_machine.h"
#include "bpf/program.h"

static const struct bpf_ins pass[] = {
	{ CODE_ALU64 | CODE_MOV, 0, 0, 0, SOFTIOV_PASS },
	{ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 },
};

/* frame->count[3] += frame->header[frame->l4]; return frame->size; */
static const struct bpf_ins counts[] = {
	{ CODE_LDX | CODE_MEM | CODE_B, 2, 1, offsetof(struct softiov_frame, l4), 0 },
	{ CODE_ALU64 | CODE_MOV | CODE_X, 3, 1, 0, 0 },
	{ CODE_ALU64 | CODE_ADD | CODE_X, 3, 2, 0, 0 },
	{ CODE_LDX | CODE_MEM | CODE_B, 3, 3, offsetof(struct softiov_frame, header), 0 },
	{ CODE_LDX | CODE_MEM | CODE_DW, 4, 1, offsetof(struct softiov_frame, count) + 24, 0 },
	{ CODE_ALU64 | CODE_ADD | CODE_X, 4, 3, 0, 0 },
	{ CODE_STX | CODE_MEM | CODE_DW, 1, 4, offsetof(struct softiov_frame, count) + 24, 0 },
	{ CODE_LDX | CODE_MEM | CODE_W, 0, 1, offsetof(struct softiov_frame, size), 0 },
	{ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 },
};

/* Ours lets it pass, since it is never come to; librte_bpf does not. */
static const struct bpf_ins unreachable[] = {
	{ CODE_ALU64 | CODE_MOV, 0, 0, 0, SOFTIOV_PASS },
	{ CODE_JMP | CODE_JA, 0, 0, 1, 0 },
	{ CODE_ALU64 | CODE_MOV, 0, 0, 0, SOFTIOV_PASS },
	{ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 },
};

static const struct bpf_ins outside[] = {
	{ CODE_LDX | CODE_MEM | CODE_B, 0, 1, sizeof(struct softiov_frame), 0 },
	{ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 },
};

enum {
	S_NULL,
	S_STRINGS,
	S_CODE,
	S_RELOCATIONS,
	S_SYMBOLS,
	N_SECTIONS
};

struct file {
	Elf64_Ehdr head;
	Elf64_Shdr section[N_SECTIONS];
	char strings[64];
	Elf64_Rel relocation;
	Elf64_Sym symbol[2];
	struct bpf_ins code[320];
};

/* Names and where they begin in `strings`. */
static const char strings[] = "\0ingress\0.rel\0.symtab\0softiov_magic\0.strtab";
#define AT_INGRESS 1
#define AT_REL     9
#define AT_SYMTAB  14
#define AT_MAGIC   22
#define AT_STRTAB  36

static void make(struct file *f, const struct bpf_ins *ins, size_t size)
{
	*f = (struct file){
		.head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
			  .e_type = ET_REL,
			  .e_machine = EM_BPF,
			  .e_version = EV_CURRENT,
			  .e_ehsize = sizeof(f->head),
			  .e_shoff = offsetof(struct file, section),
			  .e_shentsize = sizeof(Elf64_Shdr),
			  .e_shnum = N_SECTIONS,
			  .e_shstrndx = S_STRINGS },
		.section = { [S_STRINGS] = { .sh_name = AT_STRTAB,
					     .sh_type = SHT_STRTAB,
					     .sh_offset = offsetof(struct file, strings),
					     .sh_size = sizeof(strings) },
			     [S_CODE] = { .sh_name = AT_INGRESS,
					  .sh_type = SHT_PROGBITS,
					  .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
					  .sh_offset = offsetof(struct file, code),
					  .sh_size = size },
			     [S_RELOCATIONS] = { .sh_name = AT_REL,
						 .sh_type =
							 SHT_NOTE, /* nobody's, until a case makes it one */
						 .sh_offset = offsetof(struct file, relocation),
						 .sh_size = sizeof(f->relocation),
						 .sh_link = S_SYMBOLS,
						 .sh_info = S_CODE },
			     [S_SYMBOLS] = { .sh_name = AT_SYMTAB,
					     .sh_type = SHT_SYMTAB,
					     .sh_offset = offsetof(struct file, symbol),
					     .sh_size = sizeof(f->symbol),
					     .sh_link = S_STRINGS } },
		.relocation = { .r_offset = 8, .r_info = ELF64_R_INFO(1, 10) },
		.symbol = { [1] = { .st_name = AT_MAGIC } },
	};
	memcpy(f->strings, strings, sizeof(strings));
	memcpy(f->code, ins, size);
}

static int parse(const struct file *f, size_t size, struct err *err)
{
	struct bpf_ins *ins;
	unsigned int n;
	int ret = elf_program((const uint8_t *)f, size, "ingress", &ins, &n, err);

	if (ret == 0)
		free(ins);
	return ret;
}

static void wants_outside(struct file *f)
{
	f->section[S_RELOCATIONS].sh_type = SHT_REL;
}

static void wants_nameless(struct file *f)
{
	wants_outside(f);
	f->symbol[1].st_name = 5000;
}

static void wants_no_symbol(struct file *f)
{
	wants_outside(f);
	f->relocation.r_info = ELF64_R_INFO(0xffffffff, 10);
}

static void wants_variable(struct file *f)
{
	wants_outside(f);
	f->symbol[1].st_info = ELF64_ST_INFO(STB_LOCAL, STT_SECTION);
	f->symbol[1].st_shndx = S_SYMBOLS;
}

static void links_nowhere(struct file *f)
{
	wants_outside(f);
	f->section[S_RELOCATIONS].sh_link = 77;
}

static void no_magic(struct file *f)
{
	f->head.e_ident[0] = '#';
}

static void other_machine(struct file *f)
{
	f->head.e_machine = EM_X86_64;
}

static void small_class(struct file *f)
{
	f->head.e_ident[EI_CLASS] = ELFCLASS32;
}

static void sections_outside(struct file *f)
{
	f->head.e_shoff = UINT64_MAX - 8;
}

static void many_sections(struct file *f)
{
	f->head.e_shnum = UINT16_MAX;
}

static void other_section(struct file *f)
{
	f->section[S_CODE].sh_name = AT_MAGIC;
}

static void no_code(struct file *f)
{
	f->section[S_CODE].sh_flags = SHF_ALLOC;
}

static void nameless(struct file *f)
{
	f->head.e_shstrndx = 99;
}

static void endless_names(struct file *f)
{
	f->section[S_STRINGS].sh_size = 4;
}

static void code_outside(struct file *f)
{
	f->section[S_CODE].sh_offset = UINT64_MAX - 7;
}

static void half_code(struct file *f)
{
	f->section[S_CODE].sh_size = 12;
}

static void test_damaged(void **state)
{
	static const struct {
		void (*damage)(struct file *f);
		const char *says;
	} cases[] = {
		{ wants_outside, "instruction 1: it uses 'softiov_magic'" },
		{ wants_nameless, "it uses '?'" },
		{ wants_no_symbol, "it uses '?'" },
		{ wants_variable, "it uses '.symtab'" },
		{ links_nowhere, "damaged" },
		{ no_magic, "no ELF file" },
		{ other_machine, "not of an eBPF program" },
		{ small_class, "not of an eBPF program" },
		{ sections_outside, "damaged" },
		{ many_sections, "damaged" },
		{ other_section, "no program in a section 'ingress'" },
		{ no_code, "no program in a section" },
		{ nameless, "no program in a section" },
		{ endless_names, "no program in a section" },
		{ code_outside, "no whole instructions" },
		{ half_code, "no whole instructions" },
	};

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct err err = { 0 };
		struct file f;

		make(&f, pass, sizeof(pass));
		cases[i].damage(&f);
		if (parse(&f, sizeof(f), &err) != -EINVAL ||
		    strstr(err.text, cases[i].says) == NULL)
			fail_msg("%u: %s", i, err.text);
	}
}

/* Cut anywhere, and with any byte changed: refused or not, but nothing outside of it is read (sanitizers). */
static void test_any_bytes(void **state)
{
	struct file whole;
	unsigned int n_good = 0;
	struct err err;

	make(&whole, counts, sizeof(counts));
	wants_outside(&whole);
	for (size_t size = 0; size < sizeof(whole); size++) {
		struct file *f = malloc(size + 1);

		memcpy(f, &whole, size);
		assert_int_equal(parse(f, size, &err), -EINVAL);
		free(f);
	}
	for (size_t at = 0; at < sizeof(whole); at++)
		for (unsigned int bit = 0; bit < 8; bit++) {
			struct file *f = malloc(sizeof(*f));

			*f = whole;
			((uint8_t *)f)[at] ^= (uint8_t)(1u << bit);
			n_good += parse(f, sizeof(*f), &err) == 0;
			free(f);
		}
	assert_true(n_good > 0); /* the relocations were for another section, or none */
}

/* --- files --- */

static char folder[TEST_FOLDER_SIZE], path[TEST_FOLDER_SIZE + 16];

static void write_file(const void *bytes, size_t size)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(fwrite(bytes, 1, size, out), size);
	assert_int_equal(fclose(out), 0);
}

static int load(const struct bpf_ins *ins, size_t size, struct program **program, struct err *err)
{
	struct file f;

	make(&f, ins, size);
	write_file(&f, sizeof(f));
	return program_load(program, path, "ingress", err);
}

static void test_runs(void **state)
{
	struct softiov_frame frame = {
		.size = 1000, .l4 = 34, .header = { [34] = 7 }, .count = { [3] = 100 }
	};
	struct program *program;
	struct err err = { 0 };

	if (load(counts, sizeof(counts), &program, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(program_size(program), ARRAY_SIZE(counts));
	assert_int_equal(program_run(program, &frame), 1000);
	assert_int_equal(frame.count[3], 107);
	assert_int_equal(program_run(program, &frame), 1000);
	assert_int_equal(frame.count[3], 114);
	program_free(program);
}

/* Native code does what the verifier thinks that it does. */
static void test_random(void **state)
{
	static const struct verify_argument argument = { MACHINE_SIZE, MACHINE_WRITE_FROM,
							 MACHINE_SIZE, "the argument" };
	static struct machine m;
	unsigned int n_run = 0;

	_Static_assert(MACHINE_SIZE == sizeof(struct softiov_frame) &&
			       MACHINE_WRITE_FROM == offsetof(struct softiov_frame, count),
		       "the machine's argument is a frame");
	for (unsigned int round = 0; round < 12000; round++) {
		struct bpf_ins ins[MACHINE_INS];
		struct program *program;
		struct err err;
		bool computed;
		unsigned int n = machine_make(ins, &computed);

		if (verify_program(ins, n, &argument, &err) < 0 ||
		    load(ins, n * sizeof(*ins), &program, &err) < 0)
			continue;
		n_run++;
		for (unsigned int i = 0; i < 8; i++) {
			struct softiov_frame frame;

			machine_fill(&m);
			memcpy(&frame, m.argument, sizeof(frame));
			assert_null(machine_run(&m, ins));
			if (program_run(program, &frame) != m.reg[0] ||
			    memcmp(&frame, m.argument, sizeof(frame)) != 0)
				fail_msg("round %u: it does something else", round);
		}
		program_free(program);
	}
	assert_true(n_run > 300);
}

/* Over as many instructions as have their sizes in one byte, and more. */
static void test_jumps(void **state)
{
	for (int16_t n = 1; n < 300; n += n < 60 ? 1 : 20) {
		struct bpf_ins ins[320] = {
			{ CODE_ALU64 | CODE_MOV, 0, 0, 0, 0 },
			{ CODE_LDX | CODE_MEM | CODE_W, 2, 1, offsetof(struct softiov_frame, size),
			  0 },
			{ CODE_JMP | CODE_JNE, 2, 0, n, 7 },
		};
		struct program *program;
		struct err err = { 0 };

		for (int16_t i = 0; i < n; i++)
			ins[3 + i] = (struct bpf_ins){ CODE_ALU64 | CODE_ADD, 0, 0, 0, 1 };
		ins[3 + n] = (struct bpf_ins){ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 };
		if (load(ins, (4 + (size_t)n) * sizeof(ins[0]), &program, &err) < 0)
			fail_msg("%d: %s", n, err.text);
		assert_true(program_is_native(program));
		assert_int_equal(program_run(program, &(struct softiov_frame){ .size = 7 }), n);
		assert_int_equal(program_run(program, &(struct softiov_frame){ .size = 8 }), 0);
		program_free(program);
	}
}

/* What saving registers adds can be what short jumps take away, and then DPDK's compiler stops too early: such programs
 * are interpreted. `n` is what is jumped over. */
static void test_settled(void **state)
{
	unsigned int n_interpreted = 0;

	for (int16_t n = 1; n < 40; n++) {
		struct bpf_ins ins[64] = {
			{ CODE_ALU64 | CODE_MOV | CODE_X, 6, 1, 0, 0 },
			{ CODE_ALU64 | CODE_MOV, 7, 0, 0, 0 },
			{ CODE_ALU64 | CODE_MOV, 8, 0, 0, 0 },
			{ CODE_ALU64 | CODE_MOV, 9, 0, 0, 0 },
			{ CODE_ALU64 | CODE_MOV, 0, 0, 0, 1 },
			{ CODE_LDX | CODE_MEM | CODE_W, 2, 6, offsetof(struct softiov_frame, size),
			  0 },
			{ CODE_JMP | CODE_JEQ, 2, 0, n, 0 },
		};
		struct program *program;
		struct err err = { 0 };
		unsigned int at = 7;

		for (int16_t i = 0; i < n; i++)
			ins[at++] =
				(struct bpf_ins){ CODE_ALU64 | CODE_MOV, 3, 0, 0, 0x10909000 + i };
		for (int i = 0; i < 5; i++)
			ins[at++] = (struct bpf_ins){ CODE_JMP | CODE_JEQ, 2, 0, 0, 5 + i };
		ins[at++] = (struct bpf_ins){ CODE_JMP | CODE_EXIT, 0, 0, 0, 0 };
		if (load(ins, at * sizeof(ins[0]), &program, &err) < 0)
			fail_msg("%d: %s", n, err.text);
		n_interpreted += !program_is_native(program);
		for (uint32_t size = 0; size < 9; size++)
			assert_int_equal(
				program_run(program, &(struct softiov_frame){ .size = size }), 1);
		program_free(program);
	}
	/* Where the long jump's size depends on the pass, and nowhere else. */
	assert_in_range(n_interpreted, 1, 5);
}

static void test_refused(void **state)
{
	struct program *program;
	struct err err = { 0 };

	assert_int_equal(load(outside, sizeof(outside), &program, &err), -EINVAL);
	assert_non_null(strstr(err.text, "it may read bytes 512 to 512 of struct softiov_frame"));
	assert_int_equal(load(unreachable, sizeof(unreachable), &program, &err), -EINVAL);
	assert_non_null(strstr(err.text, "librte_bpf refuses it: "));
	assert_non_null(strstr(err.text, "unreachable"));
	assert_null(strchr(err.text, '\n'));
	/* And its words are not said for the next one. */
	assert_int_equal(load(pass, sizeof(pass), &program, &err), 0);
	program_free(program);
	assert_int_equal(program_load(&program, path, "egress", &err), -EINVAL);
	assert_non_null(strstr(err.text, "no program in a section 'egress'"));
}

static void test_no_file(void **state)
{
	struct program *program;
	struct err err = { 0 };

	assert_int_equal(program_load(&program, "/nonexistent/x.o", "ingress", &err), -ENOENT);
	assert_int_equal(program_load(&program, folder, "ingress", &err), -EINVAL);
	assert_non_null(strstr(err.text, "no regular file"));
	assert_int_equal(program_load(&program, "/dev/zero", "ingress", &err), -EINVAL);
	assert_non_null(strstr(err.text, "no regular file"));
	/* It is shorter than its size says. */
	assert_true(program_load(&program, "/sys/class/net/lo/mtu", "ingress", &err) < 0);
	assert_int_equal(truncate(path, ELF_FILE_MAX + 1), 0);
	assert_int_equal(program_load(&program, path, "ingress", &err), -EFBIG);
	assert_int_equal(truncate(path, 0), 0);
	assert_int_equal(program_load(&program, path, "ingress", &err), -EINVAL);
	assert_non_null(strstr(err.text, "no ELF file"));
	/* Nobody writes into it: it is not waited for. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(program_load(&program, path, "ingress", &err), -EINVAL);
	assert_non_null(strstr(err.text, "no regular file"));
	assert_int_equal(unlink(path), 0);
}

static int start(void **state)
{
	char *argv[] = { "program_test", "--no-huge",      "-m64",          "--no-shconf",
			 "--no-pci",     "--no-telemetry", "--log-level=4", NULL };

	if (!test_folder_make(folder))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/program.o", folder);
	return rte_eal_init(ARRAY_SIZE(argv) - 1, argv) < 0 ? -1 : 0;
}

static int stop(void **state)
{
	test_folder_remove(folder);
	return rte_eal_cleanup();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_damaged), cmocka_unit_test(test_any_bytes),
		cmocka_unit_test(test_runs),    cmocka_unit_test(test_random),
		cmocka_unit_test(test_jumps),   cmocka_unit_test(test_settled),
		cmocka_unit_test(test_refused), cmocka_unit_test(test_no_file),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
