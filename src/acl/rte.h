/* SPDX-License-Identifier: BSD-3-Clause */
/* Classifiers of DPDK's rte_acl: tries that several keys walk at once. */
#ifndef SOFTIOV_ACL_RTE_H
#define SOFTIOV_ACL_RTE_H

#include "switch/classify.h"

/* Control. DPDK's environment is up, and its memory is where the tries are. Also NULL for rules that are too many for
 * that, so that whoever builds falls back on linear_new. */
classifier_build acl_rte_new;

#endif
