/* SPDX-License-Identifier: BSD-3-Clause */
/* Where DPDK's compiler makes other code than it is told, and the program has to be interpreted instead. No DPDK. */
#ifndef SOFTIOV_BPF_NATIVE_H
#define SOFTIOV_BPF_NATIVE_H

#include <stdbool.h>

#include "bpf/elffile.h"

/* Whether all of it becomes what it says. */
bool native_is_right(const struct bpf_ins *ins, unsigned int n);

#endif
