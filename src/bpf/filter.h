/* SPDX-License-Identifier: BSD-3-Clause */
/* Filters: expressions of libpcap (pcap-filter(7)), run as native code over frames that lie in pieces. */
#ifndef SOFTIOV_BPF_FILTER_H
#define SOFTIOV_BPF_FILTER_H

#include "base/errtext.h"
#include "switch/tap.h"

struct bpf_filter;

/* -EINVAL: the expression is not one, and err says where; -ENOMEM. DPDK's environment is up. */
int bpf_filter_new(struct bpf_filter **filter, const char *expression, struct err *err);
void bpf_filter_free(struct bpf_filter *filter); /* accepts NULL */

/* Whether the Ethernet frame that begins with head[0..size) and goes on in more[0..n_more) passes. Beyond 64 KiB, or
 * 64 pieces, it is taken to end. Any thread. */
bool bpf_filter_match(const struct bpf_filter *filter, const uint8_t *head, uint32_t size,
		      const struct seg *more, unsigned int n_more);

/* The same of a frame that a tap sees. */
bool bpf_filter_sees(const struct bpf_filter *filter, const struct tap_sight *sight);

#endif
