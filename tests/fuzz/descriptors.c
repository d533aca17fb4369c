/* SPDX-License-Identifier: BSD-3-Clause */
/* Transmit, context and receive descriptors of both families: a guest writes what it likes into its rings, and
 * takes its memory away. */
#include "vf_target.h"

/* clang-format off */
static vf_op *const ops[] = {
	vf_op_frame, vf_op_send, vf_op_send, vf_op_desc, vf_op_desc_raw, vf_op_tail, vf_op_post, vf_op_line,
	vf_op_serve, vf_op_hear, vf_op_hear, vf_op_queue, vf_op_answer, vf_op_window, vf_op_policy,
	vf_op_request, vf_op_write, vf_op_reset, vf_op_up, vf_op_bus_master,
};
/* clang-format on */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	vf_target_run(&in, ops, ARRAY_SIZE(ops), NULL, NULL);
	return 0;
}
