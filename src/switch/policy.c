/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/policy.h"

uint32_t policy_out(struct inspect *inspect, const struct port_policy *policy, uint32_t frames)
{
	if (guard_any(&policy->guard))
		frames = guard_out(inspect, &policy->guard, frames);
	return frames;
}

uint32_t policy_in(struct inspect *inspect, const struct port_policy *policy, uint32_t frames)
{
	if (policy->police != NULL)
		frames = police_in(inspect, policy->police, frames);
	return frames;
}

bool policy_has_out(const struct port_policy *policy)
{
	return guard_any(&policy->guard);
}

bool policy_has_in(const struct port_policy *policy)
{
	return policy->police != NULL;
}
