/* SPDX-License-Identifier: BSD-3-Clause */
/* What features are called in `show`. */
#include <linux/vhost_types.h>

#include "dev/virtio_net/virtio_net.h"
#include "vhost/vhost.h"

const char *vhost_feature_name(uint64_t features, unsigned int n)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{ VIRTIO_NET_F_CSUM, "csum" },
		{ VIRTIO_NET_F_GUEST_CSUM, "guest-csum" },
		{ VIRTIO_NET_F_MTU, "mtu" },
		{ VIRTIO_NET_F_GUEST_TSO4, "guest-tso4" },
		{ VIRTIO_NET_F_GUEST_TSO6, "guest-tso6" },
		{ VIRTIO_NET_F_GUEST_ECN, "guest-ecn" },
		{ VIRTIO_NET_F_HOST_TSO4, "host-tso4" },
		{ VIRTIO_NET_F_HOST_TSO6, "host-tso6" },
		{ VIRTIO_NET_F_HOST_ECN, "host-ecn" },
		{ VIRTIO_NET_F_MRG_RXBUF, "mrg-rxbuf" },
		{ VIRTIO_NET_F_GUEST_ANNOUNCE, "guest-announce" },
		{ VIRTIO_NET_F_MQ, "mq" },
		{ VHOST_F_LOG_ALL, "dirty-log" },
		{ VIRTIO_RING_F_INDIRECT_DESC, "indirect" },
		{ VIRTIO_RING_F_EVENT_IDX, "event-idx" },
		{ VIRTIO_F_VERSION_1, "version-1" },
		{ VIRTIO_F_RING_PACKED, "packed" },
		{ VIRTIO_F_IN_ORDER, "in-order" },
		{ VIRTIO_NET_F_GUEST_USO4, "guest-uso4" },
		{ VIRTIO_NET_F_GUEST_USO6, "guest-uso6" },
		{ VIRTIO_NET_F_HOST_USO, "host-uso" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if ((features & 1ull << names[i].bit) != 0 && n-- == 0)
			return names[i].name;
	return NULL;
}
