/* SPDX-License-Identifier: BSD-3-Clause */
/* What descriptors, mailbox and registers have in common: a fuzzed guest with a VF, and operations on it, from
 * which each target picks those it is about. */
#ifndef SOFTIOV_TESTS_FUZZ_VF_TARGET_H
#define SOFTIOV_TESTS_FUZZ_VF_TARGET_H

#include "world.h"

struct vf_target {
	struct world *w;
	struct vf_guest g;
	struct vf_policy policy;
	unsigned int q; /* the queue that the operations are about */
	unsigned int tx_at[INTELVF_QUEUES_MAX];
	struct made_frame frame; /* the last that was written, */
	uint64_t frame_at;       /* and where */
};

typedef void vf_op(struct vf_target *t, struct input *in);

/* --- frames and rings --- */
vf_op vf_op_up;       /* the driver begins anew, well */
vf_op vf_op_queue;    /* the other operations' queue; its rings are enabled, well or not */
vf_op vf_op_frame;    /* writes a frame into memory */
vf_op vf_op_send;     /* the last one with context and pieces, nearly right */
vf_op vf_op_desc;     /* a transmit descriptor of chosen fields */
vf_op vf_op_desc_raw; /* sixteen bytes */
vf_op vf_op_tail;     /* either tail, any value */
vf_op vf_op_post;     /* receive descriptors */
vf_op vf_op_line;     /* a word of a queue's line, through the mapping */
vf_op vf_op_serve;    /* a worker's visit */
vf_op vf_op_hear;     /* an honest guest sends */
/* --- around them --- */
vf_op vf_op_window; /* maps or unmaps */
vf_op vf_op_answer; /* a message of the relay's is answered */
vf_op vf_op_policy;
vf_op vf_op_reset;
vf_op vf_op_bus_master;
vf_op vf_op_read; /* a register of the family's, or any */
vf_op vf_op_write;
vf_op vf_op_request; /* a mailbox message, as a driver sends it */
vf_op vf_op_mailbox; /* the mailbox register and its words, in any order */

/* Runs an input: model, queues and policy, then operations of this table. `end`, if not NULL, is called
 * before the VM goes. */
void vf_target_run(struct input *in, vf_op *const *ops, unsigned int n_ops,
		   void (*begin)(struct vf_target *t), void (*end)(struct vf_target *t));

#endif
