/* SPDX-License-Identifier: BSD-3-Clause */
/* The mailbox: every opcode with every length, its registers in any order, resets and a changing policy in
 * between, and frames that meet the filters which were asked for. */
#include "vf_target.h"

/* clang-format off */
static vf_op *const ops[] = {
	vf_op_request, vf_op_request, vf_op_request, vf_op_mailbox, vf_op_mailbox, vf_op_policy, vf_op_reset,
	vf_op_up, vf_op_read, vf_op_hear, vf_op_frame, vf_op_send, vf_op_bus_master,
};
/* clang-format on */

static void end(struct vf_target *t)
{
	const struct intelvf_state *st = t->g.dev->st;

	FUZZ_CHECK(st->n_macs <= INTELVF_MACVLANS && st->mbox.state < MBOX_STATES);
	/* Trust is what further addresses and promiscuity take; what is on was asked for and granted. */
	FUZZ_CHECK(t->policy.trusted || (st->n_macs == 0 && st->xcast <= XCAST_MULTI));
	FUZZ_CHECK(t->policy.trusted || st->mac == t->policy.mac);
	for (unsigned int i = 0; i < ARRAY_SIZE(st->vlan_on); i++)
		FUZZ_CHECK((st->vlan_on[i] & ~(t->policy.trunk ? t->policy.vlans[i] : 0)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, data + size };

	vf_target_run(&in, ops, ARRAY_SIZE(ops), NULL, end);
	return 0;
}
