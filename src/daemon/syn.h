/* SPDX-License-Identifier: BSD-3-Clause */
/* A synthetic that is served: virtio-net rings (src/dev/virtio_net) behind a vhost-user socket
 * (src/vhost). Control only. */
#ifndef SOFTIOV_DAEMON_SYN_H
#define SOFTIOV_DAEMON_SYN_H

#include "base/errtext.h"
#include "frame/queue.h"
#include "vfu/vfu.h"
#include "worker/worker.h"

struct syn;

struct syn_options {
	const char *path;
	struct vfu_access access;
	bool link_up;
	uint32_t max_frame;
	struct workers *workers;
	/* Something changed: any thread but a worker. */
	void (*changed)(void *arg);
	void *arg;
};

int syn_new(struct syn **syn, const struct syn_options *options, struct err *err);
/* Out of the switch and the workers already. Accepts NULL. */
void syn_free(struct syn *syn);

struct endpoint *syn_endpoint(struct syn *syn);
const char *syn_path(const struct syn *syn);
void syn_set(struct syn *syn, bool link_up, uint32_t max_frame);

/* "listening", "connected" or "active" */
const char *syn_state(const struct syn *syn);

#endif
