/* SPDX-License-Identifier: BSD-3-Clause */
#include "switch/policy.h"

static bool has_acls(const struct acl *acl, enum acl_direction direction)
{
	return acl != NULL && (acl_has_filter(acl, direction) || acl_has_meter(acl, direction));
}

static uint32_t filter(struct inspect *inspect, const struct acl *acl, enum acl_direction direction,
		       uint32_t frames)
{
	return acl != NULL && acl_has_filter(acl, direction)
		       ? acl_filter(inspect, acl, direction, frames)
		       : frames;
}

/* Last, so that what others stop is not metered. */
static void meter(struct inspect *inspect, const struct acl *acl, enum acl_direction direction,
		  uint32_t frames)
{
	if (acl != NULL && acl_has_meter(acl, direction))
		acl_meter(inspect, acl, direction, frames);
}

uint32_t policy_out(struct inspect *inspect, const struct port_policy *policy, uint32_t frames)
{
	if (policy->extensions[EXTENSION_INGRESS].n > 0)
		frames = extensions_run(inspect, &policy->extensions[EXTENSION_INGRESS],
					EXTENSION_INGRESS, frames);
	if (guard_any(&policy->guard))
		frames = guard_out(inspect, &policy->guard, frames);
	frames = filter(inspect, policy->acl, ACL_OUT, frames);
	if (policy->qos != NULL)
		frames = qos_out(inspect, policy->qos, frames);
	meter(inspect, policy->acl, ACL_OUT, frames);
	return frames;
}

uint32_t policy_in(struct inspect *inspect, const struct port_policy *policy, uint32_t frames)
{
	frames = filter(inspect, policy->acl, ACL_IN, frames);
	if (policy->extensions[EXTENSION_EGRESS].n > 0)
		frames = extensions_run(inspect, &policy->extensions[EXTENSION_EGRESS],
					EXTENSION_EGRESS, frames);
	if (policy->police != NULL)
		frames = police_in(inspect, policy->police, frames);
	meter(inspect, policy->acl, ACL_IN, frames);
	if (policy->shared)
		share_count(inspect, policy, frames);
	return frames;
}

bool policy_has_out(const struct port_policy *policy)
{
	return policy->extensions[EXTENSION_INGRESS].n > 0 || guard_any(&policy->guard) ||
	       has_acls(policy->acl, ACL_OUT) || policy->qos != NULL;
}

bool policy_has_in(const struct port_policy *policy)
{
	return policy->extensions[EXTENSION_EGRESS].n > 0 || policy->police != NULL ||
	       policy->shared || has_acls(policy->acl, ACL_IN);
}
