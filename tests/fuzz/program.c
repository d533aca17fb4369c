/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs of extensions: ELF files, and instructions as they are (a first byte of 0 says which). What the verifier accepts
 * is run, and touches nothing that it may not. */
#include <stdlib.h>
#include <string.h>

#include "bpf/fake_machine.h"
#include "fuzz.h"

static const struct verify_argument argument = { MACHINE_SIZE, MACHINE_WRITE_FROM, MACHINE_SIZE,
						 "the argument" };

static void try(const struct bpf_ins *ins, unsigned int n)
{
	static const uint8_t fill[] = { 0x00, 0xff, 0x45, 0x80 };
	static struct machine m;
	struct err err;

	if (verify_program(ins, n, &argument, &err) < 0)
		return;
	for (unsigned int i = 0; i < sizeof(fill); i++) {
		memset(m.argument, fill[i], sizeof(m.argument));
		for (size_t k = 0; k < (size_t)i * 100; k++)
			m.argument[k * 7 % sizeof(m.argument)] = (uint8_t)(k * 31);
		FUZZ_CHECK(machine_run(&m, ins) == NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bpf_ins *ins = NULL;
	struct err err;
	unsigned int n;

	if (size > 0 && data[0] == 0) {
		n = (unsigned int)((size - 1) / sizeof(*ins));
		ins = malloc(size);
		memcpy(ins, data + 1, n * sizeof(*ins));
		try(ins, n);
	} else if (elf_program(data, size, "ingress", &ins, &n, &err) == 0) {
		try(ins, n);
	}
	free(ins);
	return 0;
}
