/* SPDX-License-Identifier: BSD-3-Clause */
/* A VF that is served: a device model (src/dev) behind a vfio-user socket (src/vfu).
 *
 * Control creates, frees and asks; it takes the vfio-user loop's lock itself. */
#ifndef SOFTIOV_DAEMON_VFDEV_H
#define SOFTIOV_DAEMON_VFDEV_H

#include "base/errtext.h"
#include "dev/vf.h"
#include "vfu/vfu.h"
#include "worker/worker.h"

struct vfdev;

struct vfdev_options {
	const struct vf_model *model;
	unsigned int n_queues; /* pairs wanted */
	const char *path;      /* of the socket */
	struct vfu_access access;
	struct vf_policy policy;
	bool trap; /* no client may map the queue pages */
	struct vfu_loop *loop;
	struct workers *workers;
	struct vf_controller *controller;
	uint64_t serial; /* PCIe device serial number */
	/* Something changed (state, addresses): any thread but a worker. */
	void (*changed)(void *arg);
	void *arg;
};

int vfdev_new(struct vfdev **dev, const struct vfdev_options *options, struct err *err);
/* Out of the switch and the workers already. Accepts NULL. */
void vfdev_free(struct vfdev *dev);

struct endpoint *vfdev_endpoint(struct vfdev *dev);
const char *vfdev_path(const struct vfdev *dev);
void vfdev_set_policy(struct vfdev *dev, const struct vf_policy *policy);
/* For the clients to come. False: the one that is there has it otherwise, and keeps it so. */
bool vfdev_set_trap(struct vfdev *dev, bool trap);

/* What the guest reads without a message (statistics, heads) is brought up to date. */
void vfdev_refresh(struct vfdev *dev);

struct vfdev_info {
	const struct vf_model *model;
	enum vf_state state;
	struct vf_counters counters;
	struct vfu_stats vfu;
	char api[16];
	bool link_up;
	bool trap; /* of the attached client, or of the next one */
	unsigned int n_macs;
	uint64_t mac[PORT_MACS_MAX];
};
void vfdev_info(struct vfdev *dev, struct vfdev_info *info);

#endif
