/* SPDX-License-Identifier: BSD-3-Clause */
/* How a VM is attached to a vport: arguments for QEMU, elements for libvirt. Pure functions. */
#ifndef MODEL_VM_H
#define MODEL_VM_H

#include <stdint.h>

struct vm_nic {
	const char *name;       /* of the vport */
	const char *mac;        /* text */
	const char *vf_socket;  /* vfio-user; NULL: no VF */
	const char *syn_socket; /* vhost-user; NULL: no virtio-net. With both: a failover pair */
	uint64_t memory;        /* bytes; 0: the VM's memory is described elsewhere */
	unsigned int slot;      /* the first of two PCIe slots */
	unsigned int queues;    /* pairs of queues of the virtio-net adapter */
	unsigned int mtu;       /* what the virtio-net adapter tells its driver; 0: as usual */
};

/* One argument a line, quoted for a shell, lines joined by backslashes. malloc'd. */
char *vm_qemu_args(const struct vm_nic *nic);

/* Elements of a <domain>, each under a comment that says where it goes. malloc'd. */
char *vm_libvirt_xml(const struct vm_nic *nic);

#endif
