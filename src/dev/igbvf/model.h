/* SPDX-License-Identifier: BSD-3-Clause */
/* The models of this folder, for the list in vf.c. */
#ifndef SOFTIOV_DEV_IGBVF_MODEL_H
#define SOFTIOV_DEV_IGBVF_MODEL_H

#include "dev/vf.h"

extern const struct vf_model igbvf_model_82576; /* 8086:10ca */
extern const struct vf_model igbvf_model_i350;  /* 8086:1520 */

#endif
