/* SPDX-License-Identifier: BSD-3-Clause */
/* Uplinks: ports of a switch that DPDK drives. The only user of rte_ethdev.
 *
 * An uplink is an endpoint with one queue pair. Received mbufs become frames that point into them;
 * frames that leave are copied into mbufs. Checksums and segmentation are finished by the copy.
 *
 * Threads: control opens, closes and asks; workers pull and push.
 */
#ifndef SOFTIOV_UPLINK_UPLINK_H
#define SOFTIOV_UPLINK_UPLINK_H

#include <net/if.h>

#include "base/errtext.h"
#include "frame/queue.h"

enum uplink_driver {
	UPLINK_AUTO,
	UPLINK_AF_PACKET,
	UPLINK_AF_XDP,
	UPLINK_ETHDEV
};

struct uplink;

/* Starts DPDK's environment without PCI and files, with hugepages or without. Once, before the first
 * uplink and before other threads. `program` stands in DPDK's error output. 0 or a negative errno. */
int uplink_eal_init(const char *program, bool hugepages);
void uplink_eal_fini(void);
/* For worker_options.thread_start: gives the thread an lcore id, so that mempool caches work. */
void uplink_thread_start(void);
/* "DPDK 22.11.11" */
const char *uplink_dpdk_version(void);

/* Opens `device`: the name of a Linux interface (AUTO takes AF_PACKET, which shares the interface
 * with the host), or a DPDK device string. `name` is in its name in DPDK. Started when it returns.
 * -ENODEV: there is no such interface, or no Ethernet port behind the device; -EBUSY: it is another
 * uplink's; -ENOMEM, or what DPDK says. */
int uplink_open(struct uplink **uplink, const char *name, const char *device,
		enum uplink_driver driver, struct err *err);
/* No worker may use it any more. Accepts NULL. */
void uplink_close(struct uplink *uplink);

struct endpoint *uplink_endpoint(struct uplink *uplink);

struct uplink_info {
	bool link_up;
	uint64_t speed_bps; /* 0: unknown */
	uint64_t mac;
	uint32_t max_frame;
	const char *
		driver; /* DPDK's name of it; valid while the uplink is open; NULL: there is none */
};
/* Accepts NULL: a link that is down, and nothing more. */
void uplink_info(const struct uplink *uplink, struct uplink_info *info);

enum uplink_interface {
	UPLINK_THERE, /* or it drives something else */
	UPLINK_RENAMED,
	UPLINK_LOST
};
/* What became of the Linux interface that it was opened with. One that is lost is so for good, and one that has its
 * name is to be opened anew. `name`: what a renamed one is called now. */
enum uplink_interface uplink_look(struct uplink *uplink, char name[IF_NAMESIZE]);

/* Priority-based flow control (802.1Qbb): from these priorities, a mask, to others. -ENOTSUP: the device has none. */
int uplink_set_pfc(struct uplink *uplink, unsigned int was, unsigned int priorities,
		   struct err *err);

#endif
