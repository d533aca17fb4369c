/* SPDX-License-Identifier: BSD-3-Clause */
/* A VF as the rest of the program sees it, whichever controller it models.
 *
 * Three parties touch a VF:
 *  - device I/O (one thread, under the vfio-user loop's lock): registers, resets, guest memory;
 *  - control, under the same lock: policy, link, counters;
 *  - workers: the endpoint's queues, between two quiescent points, and `irq`.
 *
 * All that a guest can see of the device is in one plain struct without pointers, the `state`, at
 * a memfd that outlives the process. The queue registers, which the guest maps, are in a memfd of their
 * own, since the client gets it whole. What is derived from them is rebuilt from them.
 */
#ifndef SOFTIOV_DEV_VF_H
#define SOFTIOV_DEV_VF_H

#include <stddef.h>
#include <sys/queue.h>

#include "frame/queue.h"
#include "mem/mem.h"

/* What the administrator allows, and tells, this VF. Copied by vf_set_policy. */
struct vf_policy {
	uint64_t mac;  /* as mac_load gives it */
	uint16_t pvid; /* access VLAN, or the trunk's native one; 0 = none */
	bool trunk;    /* the guest may tag, with a vid in `vlans` */
	bool trusted;  /* may change its MAC, add filters, go promiscuous */
	bool link_up;
	bool verify_checksums; /* of all frames that it receives, as controllers do */
	uint32_t speed_mbit;   /* told to the guest; 0: the model's highest */
	uint32_t max_frame;    /* largest untagged frame, Ethernet header included, FCS not */
	uint64_t vlans[4096 / 64];
};

/* Addresses that a VF may use at a time; vf_ops.macs yields no more. */
#define VF_MACS_MAX 17

enum vf_state {
	VF_DETACHED, /* no client on the socket */
	VF_ATTACHED, /* a VM has it; its driver does nothing yet */
	VF_ACTIVE,   /* the driver has reset the VF by mailbox and may send and receive */
};

#define VF_DMA_MAX    (64u << 10) /* bytes in one dma_read or dma_write */
#define VF_DMA_QUEUED 32          /* such requests of one VF that wait for their answer */

/* The answer to dma_read or dma_write, in device I/O with the loop's lock held and never from inside
 * these: 0, or a negative errno. */
typedef void vf_dma_done(void *arg, int err);

/* What the guest did that the switch must know; called by device I/O with the loop's lock held. */
struct vf_upcalls {
	void (*state_changed)(void *arg, enum vf_state state);
	/* The set of addresses that the guest may use as source and receives changed: see vf_macs. */
	void (*macs_changed)(void *arg);
	/* Sends MSI-X message `vector`. Any thread; no lock; at most one system call. */
	void (*irq)(void *arg, unsigned int vector);
	/* Returns once no worker uses what it used before the call. Takes microseconds. */
	void (*quiesce)(void *arg);
	/* Guest memory by messages, for windows without `va`; device I/O only. Return 0 (`done` will be
	 * called, also if the client leaves), -EBUSY (try again after a `done`, or later), -EINVAL (too
	 * large for this client), -ENOTCONN. `buf` stays the callee's until `done` for a read, and is
	 * copied at once for a write. All three may be NULL: such memory cannot be used then. */
	int (*dma_read)(void *arg, uint64_t iova, void *buf, size_t size, vf_dma_done *done,
			void *done_arg);
	int (*dma_write)(void *arg, uint64_t iova, const void *buf, size_t size, vf_dma_done *done,
			 void *done_arg);
	/* Asks for vf_ops.kicked to be called in device I/O. Any thread; at most one system call. */
	void (*kick)(void *arg);
};

/* A BAR. Where mmap_size > 0, that many bytes from mmap_offset of the BAR are memory the guest may
 * map from `vf->memfd` at memfd_offset; every other access comes to bar_read and bar_write. */
struct vf_bar {
	uint8_t idx;
	uint64_t size;
	uint64_t mmap_offset, mmap_size, memfd_offset;
};

struct vf_counters {
	uint64_t traps; /* BAR reads and writes that came as messages */
	uint64_t mbox_messages, mbox_refused;
	uint64_t resets;
	uint64_t relays;      /* times that the VF began to work by messages */
	uint64_t relay_stops; /* rings stopped since a message failed */
};

/* What a controller's VF is. Static; one for each model. */
struct vf_model {
	const char *name; /* "82599" */
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint8_t revision;
	uint32_t class_code;
	unsigned int n_vectors; /* MSI-X */
	uint8_t msix_bar;
	uint32_t msix_table_offset, msix_pba_offset;
	unsigned int n_bars;
	struct vf_bar bar[2];
	uint32_t speed_max_mbit;                 /* and 100 and 1000 */
	bool has_nbase_t;                        /* and 2500 and 5000 */
	unsigned int n_queues_min, n_queues_max; /* queue pairs */
	/* Of the controller, for all its VFs: VFs; MAC filters, among them each VF's own address; VLAN filters. */
	unsigned int n_vfs, n_macs, n_vlans;
	struct vf *(*create)(const struct vf_model *model, unsigned int n_queues);
};

struct vf_ops {
	/* offset + size lies in the BAR and size is 1, 2, 4 or 8: the caller checked. Little endian. */
	void (*bar_read)(struct vf *vf, unsigned int bar, uint64_t offset, void *buf, size_t size);
	void (*bar_write)(struct vf *vf, unsigned int bar, uint64_t offset, const void *buf,
			  size_t size);
	/* vf_upcalls.kick was called. */
	void (*kicked)(struct vf *vf);
	/* Control, once a second: brings up to date what the guest reads without a message. */
	void (*refresh)(struct vf *vf);
	/* Power-on state: FLR, DEVICE_RESET, or the client left. Waits for the workers. */
	void (*reset)(struct vf *vf);
	/* Takes over a new policy; tells the guest what changed (link, MAC) as the PF would. */
	void (*set_policy)(struct vf *vf, const struct vf_policy *policy);
	/* Addresses in use by the guest: [0] is its own. Returns their number, at most `max`. */
	unsigned int (*macs)(const struct vf *vf, uint64_t *macs, unsigned int max);
	/* Negotiated mailbox version as text ("1.5"), or "" */
	const char *(*api)(const struct vf *vf);
	void (*destroy)(struct vf *vf);
};

/* VFs that are of one controller, as far as they are of one model: they share its filters. Device I/O and
 * control, under the loop's lock. */
struct vf_controller {
	LIST_HEAD(, vf) vfs;
	bool any_filters; /* each VF has as many as it has room for */
};

/* Created detached. The creator fills upcalls, arg, mem and endpoint.stats before the first use. */
struct vf {
	struct endpoint endpoint;
	const struct vf_ops *ops;
	const struct vf_model *model;
	const struct vf_upcalls *upcalls;
	void *arg;                        /* for upcalls */
	struct mem *mem;                  /* guest memory, kept by the vfio-user side */
	struct vf_controller *controller; /* NULL: it shares nothing */
	LIST_ENTRY(vf) entry;             /* of controller->vfs */
	int memfd;
	enum vf_state state;
	struct vf_policy policy;
	struct vf_counters counters;
	bool bus_master; /* PCI COMMAND bit 2: without it the device touches no memory and sends no
			     interrupt. Set by whoever keeps the configuration space. */
};

/* The wanted speed, or the next one below that the model has. */
static inline uint32_t vf_speed_mbit(const struct vf *vf)
{
	uint32_t speed = vf->policy.speed_mbit, most = vf->model->speed_max_mbit;

	if (speed == 0 || speed >= most)
		return most;
	return speed > 1000 && !vf->model->has_nbase_t ? 1000 : speed;
}

/* The number of queue pairs of a model's VF for which `wanted` were asked. */
static inline unsigned int vf_model_queues(const struct vf_model *model, unsigned int wanted)
{
	return wanted < model->n_queues_min   ? model->n_queues_min
	       : wanted > model->n_queues_max ? model->n_queues_max
					      : wanted;
}

/* NULL if there is no such model. n = 0, 1, ... for listing: NULL after the last. */
const struct vf_model *vf_model_find(const char *name);
const struct vf_model *vf_model_at(unsigned int n);

#endif
