/* SPDX-License-Identifier: BSD-3-Clause */
/* Rates: from configuration to the ports' arbiters (src/switch/arbiter.h). */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "daemon/runtime.h"
#include "model/object.h"
#include "model/units.h"

struct arbiter *qos_arbiter_new(void)
{
	struct arbiter *a = aligned_alloc(CACHE_LINE, sizeof(*a));

	if (a != NULL)
		memset(a, 0, sizeof(*a));
	return a;
}

static int rate_check(const json_t *config, const char *field, struct refusal *why)
{
	uint64_t rate = obj_uint(config, field);
	char *value;
	int ret;

	if (rate == 0 || rate >= BUCKET_RATE_MIN)
		return 0;
	value = units_format(UNITS_RATE, rate);
	ret = refuse_value(why, field, value, "0 for no limit, or a rate of at least %dkbit",
			   BUCKET_RATE_MIN / 1000);
	free(value);
	return ret;
}

int qos_check(const json_t *config, struct refusal *why)
{
	int ret = rate_check(config, "max-tx", why);

	return ret < 0 ? ret : rate_check(config, "max-rx", why);
}

void qos_join(struct runtime *rt, const struct rt_port *port, const struct endpoint *ep)
{
	workers_limit(rt->workers, ep, bucket_limits(&port->arbiter->tx) ? port->arbiter : NULL);
}

void qos_update(struct runtime *rt, struct rt_port *port, const json_t *was, const json_t *config)
{
	uint64_t burst = obj_uint(config, "burst"), now_ns = clock_ns();
	bool new_burst = obj_changed(was, config, "burst");

	if (new_burst || obj_changed(was, config, "max-tx"))
		bucket_set(&port->arbiter->tx, obj_uint(config, "max-tx"), burst, now_ns);
	if (new_burst || obj_changed(was, config, "max-rx"))
		bucket_set(&port->arbiter->rx, obj_uint(config, "max-rx"), burst, now_ns);
	for (unsigned int slot = 0; slot < PORT_ENDPOINTS; slot++) {
		const struct endpoint *ep = port->sw->port[port->idx].endpoint[slot];

		if (ep != NULL)
			qos_join(rt, port, ep);
	}
}
