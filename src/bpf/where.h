/* SPDX-License-Identifier: BSD-3-Clause */
/* Compiles an expression, and says where one is wrong: libpcap does not. */
#ifndef SOFTIOV_BPF_WHERE_H
#define SOFTIOV_BPF_WHERE_H

#include "base/errtext.h"

struct bpf_program;

/* 0: pcap_freecode the program. -EINVAL: err's text says why, and has a caret under the word in a line of its own. */
int where_compile(const char *expression, struct bpf_program *program, struct err *err);

#endif
