/* SPDX-License-Identifier: BSD-3-Clause */
/* What is particular to the VFs of 82576 and I350: registers and messages. */
#ifndef SOFTIOV_DEV_IGBVF_IGBVF_H
#define SOFTIOV_DEV_IGBVF_IGBVF_H

#include "dev/igbvf/model.h"
#include "dev/igbvf/regs.h"
#include "dev/intelvf/mbox.h"

extern const struct reg_table igbvf_regs;
#define OP_SET_PROMISC 0x06

void igbvf_reset(struct intelvf *dev);
extern const struct mbox_table igbvf_messages;

#endif
