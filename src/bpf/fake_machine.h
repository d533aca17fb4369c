/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests: runs a program step by step, and looks at each access as it happens. What the verifier accepts does
 * nothing wrong here, whatever its argument holds. */
#ifndef SOFTIOV_BPF_FAKE_MACHINE_H
#define SOFTIOV_BPF_FAKE_MACHINE_H

#include <stdbool.h>

#include "bpf/verify.h"

#define MACHINE_SIZE       512
#define MACHINE_WRITE_FROM 384

struct machine {
	uint8_t argument[MACHINE_SIZE]; /* to be filled in */
	uint8_t stack[VERIFY_STACK];
	bool written[VERIFY_STACK];
	uint64_t reg[11];
	const char *wrong;
};

/* NULL, or what the program did wrong. It has been accepted; what it returns is in reg[0]. */
const char *machine_run(struct machine *m, const struct bpf_ins *ins);

/* A program at random, of which some are accepted, and how many instructions it has; the same ones each time.
 * `computed`: a pointer in it is computed. */
#define MACHINE_INS 40
unsigned int machine_make(struct bpf_ins ins[MACHINE_INS], bool *computed);
/* An argument at random. */
void machine_fill(struct machine *m);

#endif
