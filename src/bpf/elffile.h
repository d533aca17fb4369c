/* SPDX-License-Identifier: BSD-3-Clause */
/* The instructions of an eBPF program, out of the ELF file that a compiler made. No DPDK, so that it can be fuzzed. */
#ifndef SOFTIOV_BPF_ELFFILE_H
#define SOFTIOV_BPF_ELFFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/errtext.h"

#define ELF_FILE_MAX 1048576 /* bytes */

/* RFC 9669, 3.1: as the file and rte_bpf have them. */
struct bpf_ins {
	uint8_t code;
	uint8_t dst : 4, src : 4;
	int16_t off;
	int32_t imm;
};

/* The program of a section, copied: *ins, to be freed, and how many instructions there are. -EINVAL: it is no file of this
 * kind, or the program wants something from outside of it. */
int elf_program(const uint8_t *file, size_t size, const char *section, struct bpf_ins **ins,
		unsigned int *n, struct err *err);

/* The bytes of a regular file of at most ELF_FILE_MAX, to be freed. */
int elf_read(const char *path, uint8_t **file, size_t *size, struct err *err);

#endif
