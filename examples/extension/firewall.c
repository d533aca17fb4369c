/* SPDX-License-Identifier: BSD-3-Clause */
/* An extension for both hooks (docs/extensions.md says how it is built and added).
 *
 * At ingress: what VMs send as Telnet is dropped; their DNS queries go to the extension's `to-vport`, whatever
 * server they are for. At egress: what ports get is counted by its IP protocol. */
#include <softiov/extension.h>

#define TCP    6
#define UDP    17
#define TELNET 23
#define DNS    53

enum {
	COUNT_TELNET,
	COUNT_DNS,
};

enum {
	COUNT_TCP,
	COUNT_UDP,
	COUNT_OTHER,
};

SOFTIOV_INGRESS uint64_t firewall(struct softiov_frame *frame)
{
	uint16_t port;

	/* Later fragments have no ports, and without the first one they are nothing. */
	if (!(frame->flags & SOFTIOV_L4) || frame->uplink)
		return SOFTIOV_PASS;
	port = softiov_be16(frame->header + frame->l4 + 2);
	if (frame->protocol == TCP && port == TELNET) {
		frame->count[COUNT_TELNET]++;
		return SOFTIOV_DROP;
	}
	if (frame->protocol == UDP && port == DNS) {
		frame->count[COUNT_DNS]++;
		return SOFTIOV_TO_VPORT;
	}
	return SOFTIOV_PASS;
}

SOFTIOV_EGRESS uint64_t protocols(struct softiov_frame *frame)
{
	if (frame->protocol == TCP)
		frame->count[COUNT_TCP]++;
	else if (frame->protocol == UDP)
		frame->count[COUNT_UDP]++;
	else
		frame->count[COUNT_OTHER]++;
	return SOFTIOV_PASS;
}
