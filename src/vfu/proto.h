/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio-user on the wire: "vfio-user" is QEMU's docs/interop/vfio-user.rst. Payloads are the
 * structures of <linux/vfio.h>, written down here because the protocol, not the kernel, fixes them.
 * Everything is in host byte order of the one machine that both sides run on.
 */
#ifndef SOFTIOV_VFU_PROTO_H
#define SOFTIOV_VFU_PROTO_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

enum vfu_cmd {
	VFU_VERSION = 1,
	VFU_DMA_MAP = 2,
	VFU_DMA_UNMAP = 3,
	VFU_DEVICE_GET_INFO = 4,
	VFU_DEVICE_GET_REGION_INFO = 5,
	VFU_DEVICE_GET_REGION_IO_FDS = 6,
	VFU_DEVICE_GET_IRQ_INFO = 7,
	VFU_DEVICE_SET_IRQS = 8,
	VFU_REGION_READ = 9,
	VFU_REGION_WRITE = 10,
	VFU_DMA_READ = 11,  /* server to client */
	VFU_DMA_WRITE = 12, /* server to client */
	VFU_DEVICE_RESET = 13,
	VFU_DIRTY_PAGES = 14,
	VFU_REGION_WRITE_MULTI = 15,
	VFU_DEVICE_FEATURE = 16,
	VFU_MIG_DATA_READ = 17,
	VFU_MIG_DATA_WRITE = 18,
	VFU_N_CMDS
};

/* "Header" */
struct vfu_hdr {
	uint16_t id;
	uint16_t cmd;
	uint32_t size; /* with this header */
	uint32_t flags;
	uint32_t error; /* errno of a reply with VFU_HDR_ERROR */
};
#define VFU_HDR_TYPE     0xfu
#define VFU_HDR_COMMAND  0x0u
#define VFU_HDR_REPLY    0x1u
#define VFU_HDR_NO_REPLY 0x10u
#define VFU_HDR_ERROR    0x20u

/* "VFIO_USER_VERSION"; NUL-terminated JSON follows, if any */
struct vfu_version {
	uint16_t major;
	uint16_t minor;
};

/* "VFIO_USER_DMA_MAP" */
struct vfu_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;
	uint64_t address;
	uint64_t size;
};
#define VFU_DMA_MAP_READ  0x1u
#define VFU_DMA_MAP_WRITE 0x2u

/* "VFIO_USER_DMA_UNMAP" */
struct vfu_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
};
#define VFU_DMA_UNMAP_DIRTY 0x1u /* <linux/vfio.h>: VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP */
#define VFU_DMA_UNMAP_ALL   0x2u /* <linux/vfio.h>: VFIO_DMA_UNMAP_FLAG_ALL; used by QEMU 10.1 on */

/* "VFIO_USER_DEVICE_GET_INFO" */
struct vfu_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t n_regions;
	uint32_t n_irqs;
};
#define VFU_DEVICE_RESETS 0x1u
#define VFU_DEVICE_PCI    0x2u

/* "VFIO_USER_DEVICE_GET_REGION_INFO" */
struct vfu_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;
	uint64_t size;
	uint64_t offset;
};
#define VFU_REGION_READABLE 0x1u
#define VFU_REGION_WRITABLE 0x2u
#define VFU_REGION_MMAP     0x4u
#define VFU_REGION_CAPS     0x8u

/* "VFIO region info cap sparse mmap", with the header of all region capabilities */
struct vfu_sparse_cap {
	uint16_t id; /* 1: VFIO_REGION_INFO_CAP_SPARSE_MMAP */
	uint16_t version;
	uint32_t next;
	uint32_t n_areas;
	uint32_t reserved;
	struct {
		uint64_t offset;
		uint64_t size;
	} areas[];
};

/* "VFIO_USER_DEVICE_GET_IRQ_INFO" */
struct vfu_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
};
#define VFU_IRQ_INFO_EVENTFD  0x1u
#define VFU_IRQ_INFO_MASKABLE 0x2u

enum vfu_irq_index {
	VFU_IRQ_INTX,
	VFU_IRQ_MSI,
	VFU_IRQ_MSIX,
	VFU_IRQ_ERR,
	VFU_IRQ_REQ,
	VFU_N_IRQS
};

/* "VFIO_USER_DEVICE_SET_IRQS" */
struct vfu_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
	uint8_t data[];
};
#define VFU_IRQ_DATA_NONE      0x01u
#define VFU_IRQ_DATA_BOOL      0x02u
#define VFU_IRQ_DATA_EVENTFD   0x04u
#define VFU_IRQ_ACTION_MASK    0x08u
#define VFU_IRQ_ACTION_UNMASK  0x10u
#define VFU_IRQ_ACTION_TRIGGER 0x20u

/* "VFIO_USER_REGION_READ", "VFIO_USER_REGION_WRITE" */
struct vfu_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
	uint8_t data[];
};

/* "VFIO_USER_DMA_READ", "VFIO_USER_DMA_WRITE" */
struct vfu_dma_access {
	uint64_t address;
	uint64_t count;
	uint8_t data[];
};

static_assert(sizeof(struct vfu_hdr) == 16, "wire layout");
static_assert(offsetof(struct vfu_hdr, error) == 12, "wire layout");
static_assert(sizeof(struct vfu_version) == 4, "wire layout");
static_assert(sizeof(struct vfu_dma_map) == 32, "wire layout");
static_assert(offsetof(struct vfu_dma_map, address) == 16, "wire layout");
static_assert(sizeof(struct vfu_dma_unmap) == 24, "wire layout");
static_assert(offsetof(struct vfu_dma_unmap, address) == 8, "wire layout");
static_assert(sizeof(struct vfu_device_info) == 16, "wire layout");
static_assert(sizeof(struct vfu_region_info) == 32, "wire layout");
static_assert(offsetof(struct vfu_region_info, size) == 16, "wire layout");
static_assert(sizeof(struct vfu_sparse_cap) == 16, "wire layout");
static_assert(sizeof(((struct vfu_sparse_cap *)0)->areas[0]) == 16, "wire layout");
static_assert(sizeof(struct vfu_irq_info) == 16, "wire layout");
static_assert(sizeof(struct vfu_irq_set) == 20, "wire layout");
static_assert(sizeof(struct vfu_region_access) == 16, "wire layout");
static_assert(offsetof(struct vfu_region_access, region) == 8, "wire layout");
static_assert(sizeof(struct vfu_dma_access) == 16, "wire layout");

#endif
