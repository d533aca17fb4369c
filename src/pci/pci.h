/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI configuration space of one endpoint function: 4096 bytes with reset values, write masks,
 * write-1-to-clear bits, capabilities, BAR sizing and function level reset.
 *
 * 1. What a function *is* (`struct pci_desc`, written by the device model) is turned once into
 *    `struct pci_layout`: the reset image and the masks. It is constant from then on, may be
 *    shared by all functions of a kind, and can be built again at any time from the description.
 * 2. What a function *has now* is `struct pci_config`: plain bytes without pointers, so it can lie
 *    in the device state that outlives the process.
 * 3. A write may have consequences beyond the bytes (FLR, COMMAND, MSI-X). It returns them as
 *    PCI_EV_* bits and the caller acts on them.
 *
 * Sources: PCI Local Bus Specification 3.0 ("PCI 3.0"), PCI Express Base Specification 5.0
 * ("PCIe 5.0"), with the section at each place.
 *
 * Threads: one writer at a time (the device I/O thread, or whoever holds vfu_lock()). The questions
 * pci_config_bus_master() and pci_config_memory_on() may be asked by any thread.
 */
#ifndef SOFTIOV_PCI_PCI_H
#define SOFTIOV_PCI_PCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_CONFIG_SIZE 4096 /* PCIe 5.0, 7.2.2 */
#define PCI_N_BARS      6

/* Where the capabilities lie: as in the 82599's virtual functions, whose drivers only walk the
 * chain; ACS as in the X540's. */
#define PCI_CAP_AT_MSIX   0x70
#define PCI_CAP_AT_PCIE   0xa0
#define PCI_EXTCAP_AT_AER 0x100
#define PCI_EXTCAP_AT_DSN 0x140
#define PCI_EXTCAP_AT_ARI 0x150
#define PCI_EXTCAP_AT_ACS 0x1d0

/* Consequences of a configuration write. */
#define PCI_EV_FLR     (1u << 0) /* the function was reset; the image is already the reset image */
#define PCI_EV_COMMAND (1u << 1) /* COMMAND changed: bus mastering or memory decoding */
#define PCI_EV_MSIX    (1u << 2) /* MSI-X message control changed: enable or function mask */
#define PCI_EV_BAR     (1u << 3) /* a base address changed (also by a size probe) */

/* One 64-bit memory BAR takes two of the six indices; the one after it must be left empty. */
struct pci_bar_desc {
	uint64_t size; /* bytes, a power of two >= 16; 0: no such BAR */
	bool is_64bit;
	bool prefetchable;
};

struct pci_desc {
	uint16_t vendor_id;
	uint16_t device_id;
	uint16_t subsystem_vendor_id;
	uint16_t subsystem_id;
	uint8_t revision_id;
	uint32_t class_code; /* 24 bits: base class, sub-class, interface; 0x020000 is Ethernet */
	struct pci_bar_desc bars[PCI_N_BARS];
	struct {
		uint16_t n_vectors; /* 1..2048; 0: no MSI-X capability */
		uint8_t bar;        /* BAR index that holds both table and PBA */
		uint32_t table_offset;
		uint32_t pba_offset;
	} msix;
	struct {
		uint8_t link_speed; /* PCIe 5.0, 7.5.3.6: 1 is 2.5 GT/s, 2 is 5 GT/s, 3 is 8 GT/s */
		uint8_t link_width; /* lanes */
	} pcie;
	uint64_t serial_number; /* 0: no device serial number capability */
	bool acs;               /* with an access control services capability */
	bool ari;               /* with an alternative routing-ID capability */
};

/* The function's bytes as the guest reads them. Plain state. */
struct pci_config {
	uint8_t bytes[PCI_CONFIG_SIZE];
};

/* Derived from a struct pci_desc, constant afterwards. Public so that it can be embedded. */
struct pci_layout {
	uint8_t reset[PCI_CONFIG_SIZE];  /* image after power-on and FLR */
	uint8_t rw[PCI_CONFIG_SIZE];     /* bits that a write changes */
	uint8_t rw1c[PCI_CONFIG_SIZE];   /* bits that writing 1 clears */
	uint8_t sticky[PCI_CONFIG_SIZE]; /* bits that an FLR keeps (PCIe 5.0, 7.4: RWS, RW1CS) */
	uint16_t n_vectors;
	uint8_t bars;   /* bit n: BAR n exists */
	uint8_t bars64; /* bit n: and takes BAR n + 1 too */
};

/**
 * Builds the layout of @desc.
 *
 * Returns 0, or -EINVAL if the description contradicts itself: a BAR size that is no power of two,
 * a 64-bit BAR in the last index or with its upper half in use, an MSI-X table or PBA outside its
 * BAR, overlapping or not 8-byte aligned, or more than 2048 vectors.
 */
int pci_layout_init(struct pci_layout *layout, const struct pci_desc *desc);

/** Sets @cfg to its state after power-on. */
void pci_config_init(struct pci_config *cfg, const struct pci_layout *layout);

/** Sets @cfg to its state after a function level reset: sticky bits survive (PCIe 5.0, 6.6.2). */
void pci_config_flr(struct pci_config *cfg, const struct pci_layout *layout);

/**
 * Reads @size bytes at @offset into @buf, any size and alignment.
 *
 * Returns 0, or -EINVAL if the range leaves the 4096 bytes (buf untouched).
 */
int pci_config_read(const struct pci_config *cfg, uint64_t offset, void *buf, size_t size);

/**
 * Writes @size bytes at @offset through the masks, any size and alignment. A write that sets
 * Initiate Function Level Reset resets @cfg before it returns; the caller then resets the device.
 *
 * Returns the PCI_EV_* bits that the write caused (0: none), or -EINVAL if the range leaves the
 * 4096 bytes (nothing changed).
 */
int pci_config_write(struct pci_config *cfg, const struct pci_layout *layout, uint64_t offset,
		     const void *buf, size_t size);

/** May the function issue DMA (COMMAND bit 2)? Without it also no MSI-X message may leave. */
bool pci_config_bus_master(const struct pci_config *cfg);

/** Does the function answer memory accesses (COMMAND bit 1)? */
bool pci_config_memory_on(const struct pci_config *cfg);

/** Is MSI-X enabled and not masked for the whole function? */
bool pci_config_msix_on(const struct pci_config *cfg, const struct pci_layout *layout);

/** The base address in BAR @bar, 0 if there is no such BAR; both halves of a 64-bit one. */
uint64_t pci_config_bar(const struct pci_config *cfg, const struct pci_layout *layout,
			unsigned int bar);

/** Offset of capability @id (PCIe 5.0, 7.9; the list below 256), 0 if there is none. */
uint16_t pci_config_find_cap(const struct pci_config *cfg, uint8_t id);

/** Offset of extended capability @id (PCIe 5.0, 7.9; the list from 256), 0 if there is none. */
uint16_t pci_config_find_extcap(const struct pci_config *cfg, uint16_t id);

#endif
