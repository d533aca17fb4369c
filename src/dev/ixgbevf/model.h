/* SPDX-License-Identifier: BSD-3-Clause */
/* The models of this folder, for the list in vf.c. */
#ifndef SOFTIOV_DEV_IXGBEVF_MODEL_H
#define SOFTIOV_DEV_IXGBEVF_MODEL_H

#include "dev/vf.h"

extern const struct vf_model ixgbevf_model_82599; /* 8086:10ed */
extern const struct vf_model ixgbevf_model_x540;  /* 8086:1515 */
extern const struct vf_model ixgbevf_model_x550;  /* 8086:1565 */

#endif
