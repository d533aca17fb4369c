/* SPDX-License-Identifier: BSD-3-Clause */
#include <strings.h>

#include "dev/igbvf/model.h"
#include "dev/ixgbevf/model.h"
#include "dev/vf.h"

static const struct vf_model *const models[] = {
	&ixgbevf_model_82599, &ixgbevf_model_x540, &ixgbevf_model_x550,
	&igbvf_model_82576,   &igbvf_model_i350,
};

const struct vf_model *vf_model_find(const char *name)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(models); i++)
		if (strcasecmp(models[i]->name, name) == 0)
			return models[i];
	return NULL;
}

const struct vf_model *vf_model_at(unsigned int n)
{
	return n < ARRAY_SIZE(models) ? models[n] : NULL;
}
