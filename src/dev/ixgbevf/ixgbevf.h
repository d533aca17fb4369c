/* SPDX-License-Identifier: BSD-3-Clause */
/* What is particular to the VFs of 82599 and X540: registers and messages. */
#ifndef SOFTIOV_DEV_IXGBEVF_IXGBEVF_H
#define SOFTIOV_DEV_IXGBEVF_IXGBEVF_H

#include "dev/intelvf/mbox.h"
#include "dev/ixgbevf/model.h"
#include "dev/ixgbevf/regs.h"

extern const struct reg_table ixgbevf_regs;
void ixgbevf_reset(struct intelvf *dev);

/* rss.c, device I/O */
void rss_init(struct intelvf *dev);
void rss_reset(struct intelvf *dev);
/* Four bytes of the key, as they lie in memory. */
uint32_t rss_key_word(const struct intelvf *dev, unsigned int n);
/* Handlers of registers. */
uint32_t rss_read_mrqc(struct intelvf *dev, unsigned int n);
void rss_write_mrqc(struct intelvf *dev, unsigned int n, uint32_t value);
uint32_t rss_read_key(struct intelvf *dev, unsigned int n);
void rss_write_key(struct intelvf *dev, unsigned int n, uint32_t value);
uint32_t rss_read_reta(struct intelvf *dev, unsigned int n);
void rss_write_reta(struct intelvf *dev, unsigned int n, uint32_t value);
void rss_write_psrtype(struct intelvf *dev, unsigned int n, uint32_t value);

/* mbox.c */
extern const struct mbox_table ixgbevf_messages;
const char *ixgbevf_api_name(const struct intelvf *dev);

#endif
