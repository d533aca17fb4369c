/* SPDX-License-Identifier: BSD-3-Clause */
/* Where DPDK's compiler makes other code than it is told, and the program has to be interpreted instead. No DPDK. */
#ifndef SOFTIOV_BPF_NATIVE_H
#define SOFTIOV_BPF_NATIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/elffile.h"

/* Whether all of it became what it says, in `size` bytes of x86-64. Of a verified program. */
bool native_is_right(const struct bpf_ins *ins, unsigned int n, size_t size);

#endif
