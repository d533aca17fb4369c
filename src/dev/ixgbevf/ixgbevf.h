/* SPDX-License-Identifier: BSD-3-Clause */
/* What is particular to the VFs of 82599 and X540: registers and messages. */
#ifndef SOFTIOV_DEV_IXGBEVF_IXGBEVF_H
#define SOFTIOV_DEV_IXGBEVF_IXGBEVF_H

#include "dev/intelvf/mbox.h"
#include "dev/ixgbevf/model.h"
#include "dev/ixgbevf/regs.h"

extern const struct reg_table ixgbevf_regs;

/* mbox.c */
extern const struct mbox_table ixgbevf_messages;
const char *ixgbevf_api_name(const struct intelvf *dev);

#endif
