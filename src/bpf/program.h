/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs of extensions: eBPF out of ELF files, verified, as native code. */
#ifndef SOFTIOV_BPF_PROGRAM_H
#define SOFTIOV_BPF_PROGRAM_H

#include <stdbool.h>

#include "base/errtext.h"
#include "softiov/extension.h"

struct program;

/* Control. The program of this section of the file. Negative: err says why not, in the verifier's words where it refuses. */
int program_load(struct program **program, const char *path, const char *section, struct err *err);
void program_free(struct program *program); /* accepts NULL */

unsigned int program_size(const struct program *program); /* instructions */
bool program_is_native(const struct program *program);

/* Workers. What it returns. */
uint64_t program_run(const struct program *program, struct softiov_frame *frame);

#endif
