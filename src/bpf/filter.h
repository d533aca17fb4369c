/* SPDX-License-Identifier: BSD-3-Clause */
/* Filters: expressions of libpcap (pcap-filter(7)), run as native code over frames that lie in pieces. */
#ifndef SOFTIOV_BPF_FILTER_H
#define SOFTIOV_BPF_FILTER_H

#include <pcap/pcap.h>

#include "base/errtext.h"
#include "switch/tap.h"

struct bpf_filter {
	struct tap_filter tap;
	struct rte_bpf *program;
	uint64_t (*native)(void *mbuf); /* NULL: no compiler for this processor, or native.h */
	struct bpf_program classic;     /* instead, where bf_insns is not NULL: see wanders() */
	struct quick *quick;
};

/* -EINVAL: the expression is not one, and err says where; -ENOMEM. DPDK's environment is up. */
int bpf_filter_new(struct bpf_filter **filter, const char *expression, struct err *err);
void bpf_filter_free(struct bpf_filter *filter); /* accepts NULL */

/* Whether the Ethernet frame that begins with head[0..size) and goes on in more[0..n_more) passes. Beyond 64 KiB, or
 * 64 pieces, it is taken to end. Any thread. */
bool bpf_filter_match(const struct bpf_filter *filter, const uint8_t *head, uint32_t size,
		      const struct seg *more, unsigned int n_more);

#endif
