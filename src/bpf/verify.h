/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a program can be run for each frame: it ends soon, and it reads and writes nothing but what it may.
 *
 * librte_bpf has a verifier of its own, which sees each program, too. Alone it is not enough: that of DPDK 22.11.11
 * lets programs through that read elsewhere (mended in DPDK's commits 5b3ef932be, "bpf: fix starting with conditional
 * jump", and a7ac086145 to 1ad243a134, "bpf/validate: ..."), and it follows each way through a program, so that one with
 * many branches would hold control up for ever.
 *
 * So this one goes the simple way. Jumps go forward only: a program ends after as many steps as it has
 * instructions, and one pass in their order sees each instruction after all that come before it. What a register
 * can be is a range of numbers, or a pointer with a range of offsets; where ways meet, what covers both. No DPDK.
 */
#ifndef SOFTIOV_BPF_VERIFY_H
#define SOFTIOV_BPF_VERIFY_H

#include "bpf/elffile.h"

#define VERIFY_INSTRUCTIONS_MAX 4096
/* Over all ways through the program: what librte_bpf's verifier may have to look at. */
#define VERIFY_STEPS_MAX 2000000
#define VERIFY_STACK     512 /* bytes; RFC 9669 leaves it open, librte_bpf has so many */

/* What a program gets in its first register: a pointer to so many bytes, of which it may write some. */
struct verify_argument {
	uint32_t size;
	uint32_t write_from, write_to;
	const char *name; /* for what is said */
};

/* -EINVAL: err says what is wrong with which instruction, counted from 0; -ENOMEM. */
int verify_program(const struct bpf_ins *ins, unsigned int n,
		   const struct verify_argument *argument, struct err *err);

#endif
