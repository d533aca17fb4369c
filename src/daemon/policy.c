/* SPDX-License-Identifier: BSD-3-Clause */
/* From the words of a vport's configuration to what workers go by (src/switch/policy.h). */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "daemon/runtime.h"
#include "model/addresses.h"
#include "model/object.h"

static void guard_of(const json_t *config, struct guard *guard)
{
	struct addresses list;

	static_assert(ADDRESSES_MAX == GUARD_ADDRESSES_MAX,
		      "the model and the data path have the same limit");
	guard->dhcp = obj_bool(config, "dhcp-guard");
	guard->router = obj_bool(config, "router-guard");
	obj_addresses(config, "addresses", &list);
	guard->n_addresses = list.n;
	memcpy(guard->address, list.prefix, list.n * sizeof(list.prefix[0]));
}

void policies_free(struct port_policy *policy)
{
	while (policy != NULL) {
		struct port_policy *next = policy->next;

		acl_free(policy->dead_acl);
		conns_free(policy->dead_conns);
		free(policy->qos);
		free(policy);
		policy = next;
	}
}

void policy_retire(struct rt_port *port)
{
	struct port_config *p = &port->sw->port[port->idx];

	p->policy_in = p->policy_out = NULL;
	if (port->policy == NULL)
		return;
	port->policy->next = port->sw->retired;
	port->sw->retired = port->policy;
	port->policy = NULL;
	port->sw->changed = true;
}

int policy_update(struct runtime *rt, struct rt_port *port, const json_t *config,
		  struct refusal *why)
{
	struct port_config *p = &port->sw->port[port->idx];
	struct port_policy *policy = calloc(1, sizeof(*policy));

	if (policy == NULL)
		return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
	if (qos_policies_of(port, &policy->qos) < 0) {
		free(policy);
		return refuse(why, -ENOMEM, NULL, NULL, "out of memory");
	}
	if (port->kind == PORT_OF_VPORT) {
		guard_of(config, &policy->guard);
		if (port->policed || obj_uint(config, "max-rx") != 0)
			policy->police = port->arbiter;
		policy->acl = port->acl;
	}
	policy->shared = port->shared;
	policy->shares = port->shares;
	extensions_of(rt, port, policy->extensions);
	policy_retire(port);
	port->policy = policy;
	p->policy_out = policy_has_out(policy) ? policy : NULL;
	p->policy_in = policy_has_in(policy) ? policy : NULL;
	port->sw->changed = true;
	return 0;
}

void policy_follow(struct runtime *rt, struct rt_port *port)
{
	struct refusal why = REFUSAL_INIT;

	while (policy_update(rt, port, port->config, &why) < 0) {
		log_err("policy", "'%s': waiting for memory to take over a change", port->name);
		sleep(1);
	}
}

bool policy_share(struct runtime *rt, struct rt_port *uplink, const struct uplink_shares *shares)
{
	static const struct uplink_shares none;
	struct uplink_shares was = uplink->shares;
	bool was_shared = uplink->shared;
	struct refusal why = REFUSAL_INIT;

	uplink->shared = shares != NULL;
	uplink->shares = shares != NULL ? *shares : none;
	if (was_shared == uplink->shared && was.by_priority == uplink->shares.by_priority &&
	    memcmp(was.class_of, uplink->shares.class_of, sizeof(was.class_of)) == 0)
		return true;
	if (policy_update(rt, uplink, uplink->config, &why) == 0)
		return true;
	uplink->shared = was_shared;
	uplink->shares = was;
	return false;
}

bool policy_police(struct runtime *rt, struct rt_port *vport, bool policed)
{
	struct refusal why = REFUSAL_INIT;

	if (vport->policed == policed)
		return true;
	vport->policed = policed;
	if (policy_update(rt, vport, vport->config, &why) == 0)
		return true;
	vport->policed = !policed;
	return false;
}
