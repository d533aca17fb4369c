/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Configuration space. The registers are rows that can be laid beside the specification: where, how
 * long, the value after reset, and which bits software may write, clear by writing 1, or keep over
 * a function level reset.
 */
#include "pci/pci.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"

/* PCI 3.0, 6.1: the predefined header, type 00h. */
#define PCI_VENDOR_ID          0x00
#define PCI_DEVICE_ID          0x02
#define PCI_COMMAND            0x04
#define PCI_COMMAND_MEMORY     0x0002
#define PCI_COMMAND_BUS_MASTER 0x0004
#define PCI_STATUS             0x06
#define PCI_REVISION_ID        0x08
#define PCI_CLASS_CODE         0x09
#define PCI_CACHE_LINE_SIZE    0x0c
#define PCI_BAR0               0x10
#define PCI_BAR_END            0x28
#define PCI_SUBSYSTEM_VENDOR   0x2c
#define PCI_SUBSYSTEM_ID       0x2e
#define PCI_CAP_POINTER        0x34
#define PCI_INTERRUPT_LINE     0x3c

/* PCI 3.0, 6.2.5.1: the read-only low bits of a memory BAR. */
#define PCI_BAR_64BIT        0x4
#define PCI_BAR_PREFETCHABLE 0x8

/* PCIe 5.0, 7.7.2: MSI-X. */
#define PCI_CAP_MSIX         0x11
#define PCI_MSIX_CTRL        (PCI_CAP_AT_MSIX + 2)
#define PCI_MSIX_FUNC_MASK   0x4000
#define PCI_MSIX_ENABLE      0x8000
#define PCI_MSIX_MAX_VECTORS 2048
#define PCI_MSIX_ENTRY_SIZE  16

/* PCIe 5.0, 7.5.3: PCI Express. */
#define PCI_CAP_PCIE         0x10
#define PCI_PCIE_DEVCTL      (PCI_CAP_AT_PCIE + 0x08)
#define PCI_PCIE_DEVCTL_FLR  0x8000
#define PCI_PCIE_DEVCAP_FLR  (1u << 28)
#define PCI_PCIE_LNKCAP_AOC  (1u << 22) /* ASPM optionality compliance */
#define PCI_PCIE_LNKSTA_SLOT 0x1000     /* slot clock configuration */

/* PCIe 5.0, 7.6.3: the header of an extended capability. */
#define PCI_EXTCAP_START 0x100
#define PCI_EXTCAP_AER   0x0001 /* 7.8.4 */
#define PCI_EXTCAP_DSN   0x0003 /* 7.9.3 */
#define PCI_EXTCAP_ACS   0x000d /* 7.7.8 */
#define PCI_EXTCAP_ARI   0x000e /* 7.8.7 */
#define PCI_EXTCAP_V1    0x10000

struct reg { /* fields as long as they are on the bus, little-endian */
	uint16_t offset;
	uint8_t size; /* bytes: 1, 2, 3 or 4 */
	uint32_t reset;
	uint32_t rw;
	uint32_t rw1c;
	uint32_t sticky;
};

/* clang-format off */
static const struct reg header_regs[] = {
	/* offset		size reset	 rw	 rw1c	 sticky */
	{ PCI_COMMAND,		2, 0x0000,	 0x0546, 0,	 0 }, /* PCIe 5.0, 7.5.1.1.3: memory, bus master,
								   parity, SERR#, interrupt disable */
	{ PCI_STATUS,		2, 0x0010,	 0,	 0xf900, 0 }, /* 7.5.1.1.4: capabilities list */
	{ PCI_CACHE_LINE_SIZE,	1, 0x00,	 0xff,	 0,	 0 }, /* 7.5.1.1.7: no effect */
	{ PCI_CAP_POINTER,	1, PCI_CAP_AT_MSIX, 0,	 0,	 0 },
	{ PCI_INTERRUPT_LINE,	1, 0x00,	 0xff,	 0,	 0 }, /* 7.5.1.1.12; the pin stays 0 */
};

/* Link capabilities, status and target speed come from the description. Values of the device
 * capabilities as an 82599 VF shows them: 512-byte payload, role-based error reporting, FLR. */
static const struct reg pcie_regs[] = {
	/* offset		size reset	 rw	 rw1c	 sticky */
	{ PCI_CAP_AT_PCIE,	  1, PCI_CAP_PCIE, 0,	 0,	 0 },
	{ PCI_CAP_AT_PCIE + 0x02, 2, 0x0002,	 0,	 0,	 0 },	   /* 7.5.3.2: version 2, endpoint */
	{ PCI_CAP_AT_PCIE + 0x04, 4, PCI_PCIE_DEVCAP_FLR | 0x8002, 0, 0, 0 }, /* 7.5.3.3 */
	{ PCI_CAP_AT_PCIE + 0x08, 2, 0x2810,	 0x78ff, 0,	 0x00e0 }, /* 7.5.3.4; an FLR keeps
									      the payload size (6.6.2) */
	{ PCI_CAP_AT_PCIE + 0x0a, 2, 0,		 0,	 0x000f, 0 },	   /* 7.5.3.5 */
	{ PCI_CAP_AT_PCIE + 0x10, 2, 0,		 0x00cb, 0,	 0x00cb }, /* 7.5.3.7; kept by an FLR (6.6.2) */
	{ PCI_CAP_AT_PCIE + 0x24, 4, 0x001f,	 0,	 0,	 0 },	   /* 7.5.3.15: completion timeout
									      ranges A-D and its disable */
	{ PCI_CAP_AT_PCIE + 0x28, 2, 0,		 0x001f, 0,	 0 },	   /* 7.5.3.16 */
};

static const struct reg aer_regs[] = {
	/* offset		   size reset	    rw		rw1c	    sticky */
	{ PCI_EXTCAP_AT_AER + 0x04, 4, 0,	    0,		0x001ff010, 0x001ff010 }, /* 7.8.4.2 */
	{ PCI_EXTCAP_AT_AER + 0x08, 4, 0,	    0x001ff010, 0,	    0x001ff010 }, /* 7.8.4.3 */
	{ PCI_EXTCAP_AT_AER + 0x0c, 4, 0x00062010,  0x001ff010, 0,	    0x001ff010 }, /* 7.8.4.4 */
	{ PCI_EXTCAP_AT_AER + 0x10, 4, 0,	    0,		0x000031c1, 0x000031c1 }, /* 7.8.4.5 */
	{ PCI_EXTCAP_AT_AER + 0x14, 4, 0x00002000,  0x000031c1, 0,	    0x000031c1 }, /* 7.8.4.6 */
};
/* clang-format on */

static uint32_t get(const uint8_t *bytes, unsigned int offset, unsigned int size)
{
	uint32_t v = 0;

	for (unsigned int i = 0; i < size; i++)
		v |= (uint32_t)bytes[offset + i] << (8 * i);
	return v;
}

static void put(uint8_t *bytes, unsigned int offset, unsigned int size, uint32_t v)
{
	for (unsigned int i = 0; i < size; i++)
		bytes[offset + i] = (uint8_t)(v >> (8 * i));
}

static void add_reg(struct pci_layout *l, const struct reg *r)
{
	put(l->reset, r->offset, r->size, r->reset);
	put(l->rw, r->offset, r->size, r->rw);
	put(l->rw1c, r->offset, r->size, r->rw1c);
	put(l->sticky, r->offset, r->size, r->sticky);
}

static void add_regs(struct pci_layout *l, const struct reg *regs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add_reg(l, &regs[i]);
}

static void add_ids(struct pci_layout *l, const struct pci_desc *d)
{
	const struct reg ids[] = {
		{ .offset = PCI_VENDOR_ID, .size = 2, .reset = d->vendor_id },
		{ .offset = PCI_DEVICE_ID, .size = 2, .reset = d->device_id },
		{ .offset = PCI_REVISION_ID, .size = 1, .reset = d->revision_id },
		{ .offset = PCI_CLASS_CODE, .size = 3, .reset = d->class_code },
		{ .offset = PCI_SUBSYSTEM_VENDOR, .size = 2, .reset = d->subsystem_vendor_id },
		{ .offset = PCI_SUBSYSTEM_ID, .size = 2, .reset = d->subsystem_id },
	};

	add_regs(l, ids, ARRAY_SIZE(ids));
}

/* PCI 3.0, 6.2.5.1: the address bits below the size read as zero whatever is written, which is how
 * software learns the size. */
static int add_bar(struct pci_layout *l, const struct pci_desc *d, unsigned int n)
{
	const struct pci_bar_desc *bar = &d->bars[n];
	uint64_t rw = ~(bar->size - 1);
	struct reg r = { .offset = (uint16_t)(PCI_BAR0 + 4 * n), .size = 4 };

	if (bar->size < 16 || !is_pow2(bar->size))
		return -EINVAL;
	if (bar->is_64bit && (n == PCI_N_BARS - 1 || d->bars[n + 1].size != 0))
		return -EINVAL;
	if (!bar->is_64bit && bar->size > UINT32_MAX)
		return -EINVAL;
	r.reset = (bar->is_64bit ? PCI_BAR_64BIT : 0) |
		  (bar->prefetchable ? PCI_BAR_PREFETCHABLE : 0);
	r.rw = (uint32_t)rw;
	add_reg(l, &r);
	l->bars |= (uint8_t)BIT(n);
	if (bar->is_64bit) {
		l->bars64 |= (uint8_t)BIT(n);
		put(l->rw, r.offset + 4u, 4, (uint32_t)(rw >> 32));
	}
	return 0;
}

static bool msix_fits(const struct pci_desc *d)
{
	uint64_t bar_size = d->msix.bar < PCI_N_BARS ? d->bars[d->msix.bar].size : 0;
	uint64_t table = d->msix.table_offset, pba = d->msix.pba_offset;
	uint64_t table_end = table + (uint64_t)d->msix.n_vectors * PCI_MSIX_ENTRY_SIZE;
	uint64_t pba_end = pba + (d->msix.n_vectors + 63ull) / 64 * 8;

	return d->msix.n_vectors <= PCI_MSIX_MAX_VECTORS && table % 8 == 0 && pba % 8 == 0 &&
	       table_end <= bar_size && pba_end <= bar_size &&
	       (table_end <= pba || pba_end <= table);
}

/* PCIe 5.0, 7.7.2. The chain's next is the PCI Express capability, there or not. */
static int add_msix(struct pci_layout *l, const struct pci_desc *d)
{
	struct reg regs[] = {
		{ .offset = PCI_CAP_AT_MSIX,
		  .size = 2,
		  .reset = PCI_CAP_MSIX | PCI_CAP_AT_PCIE << 8 },
		{ .offset = PCI_MSIX_CTRL,
		  .size = 2,
		  .reset = d->msix.n_vectors - 1u,
		  .rw = PCI_MSIX_FUNC_MASK | PCI_MSIX_ENABLE },
		{ .offset = PCI_CAP_AT_MSIX + 4,
		  .size = 4,
		  .reset = d->msix.table_offset | d->msix.bar },
		{ .offset = PCI_CAP_AT_MSIX + 8,
		  .size = 4,
		  .reset = d->msix.pba_offset | d->msix.bar },
	};

	if (!msix_fits(d))
		return -EINVAL;
	add_regs(l, regs, ARRAY_SIZE(regs));
	l->n_vectors = d->msix.n_vectors;
	return 0;
}

/* There is no wire, so no power states: ASPM is not offered, and its optionality is declared. */
static void add_pcie(struct pci_layout *l, const struct pci_desc *d)
{
	uint32_t link = d->pcie.link_speed | (uint32_t)d->pcie.link_width << 4;
	const struct reg links[] = {
		{ .offset = PCI_CAP_AT_PCIE + 0x0c, /* 7.5.3.6 */
		  .size = 4,
		  .reset = link | PCI_PCIE_LNKCAP_AOC },
		{ .offset = PCI_CAP_AT_PCIE + 0x12, /* 7.5.3.8 */
		  .size = 2,
		  .reset = link | PCI_PCIE_LNKSTA_SLOT },
		{ .offset = PCI_CAP_AT_PCIE + 0x2c, /* 7.5.3.18: all speeds up to the highest */
		  .size = 4,
		  .reset = (BIT(d->pcie.link_speed) - 1) << 1 },
		{ .offset = PCI_CAP_AT_PCIE + 0x30, /* 7.5.3.19: target speed */
		  .size = 2,
		  .reset = d->pcie.link_speed,
		  .rw = 0xf,
		  .sticky = 0xf },
	};

	add_regs(l, pcie_regs, ARRAY_SIZE(pcie_regs));
	add_regs(l, links, ARRAY_SIZE(links));
}

/* PCIe 5.0, 7.6.3: `prev` is the header whose next pointer leads here, 0 for the first. */
static uint16_t add_extcap(struct pci_layout *l, uint16_t prev, uint16_t at, uint16_t id)
{
	put(l->reset, at, 4, id | PCI_EXTCAP_V1);
	if (prev != 0)
		put(l->reset, prev, 4, get(l->reset, prev, 4) | (uint32_t)at << 20);
	return at;
}

static void add_extcaps(struct pci_layout *l, const struct pci_desc *d)
{
	uint16_t last = add_extcap(l, 0, PCI_EXTCAP_AT_AER, PCI_EXTCAP_AER);

	add_regs(l, aer_regs, ARRAY_SIZE(aer_regs));
	if (d->serial_number != 0) {
		last = add_extcap(l, last, PCI_EXTCAP_AT_DSN, PCI_EXTCAP_DSN);
		put(l->reset, PCI_EXTCAP_AT_DSN + 4, 4, (uint32_t)d->serial_number);
		put(l->reset, PCI_EXTCAP_AT_DSN + 8, 4, (uint32_t)(d->serial_number >> 32));
	}
	/* ARI: no next function, no function groups. ACS: all zero, for a function that sends
	 * nothing to its peers except through the switch. */
	if (d->ari)
		last = add_extcap(l, last, PCI_EXTCAP_AT_ARI, PCI_EXTCAP_ARI);
	if (d->acs)
		add_extcap(l, last, PCI_EXTCAP_AT_ACS, PCI_EXTCAP_ACS);
}

int pci_layout_init(struct pci_layout *layout, const struct pci_desc *desc)
{
	int r;

	memset(layout, 0, sizeof(*layout));
	if (desc->pcie.link_speed < 1 || desc->pcie.link_speed > 7 || desc->pcie.link_width < 1 ||
	    desc->pcie.link_width > 32)
		return -EINVAL;
	add_ids(layout, desc);
	add_regs(layout, header_regs, ARRAY_SIZE(header_regs));
	for (unsigned int n = 0; n < PCI_N_BARS; n++) {
		if (desc->bars[n].size == 0)
			continue;
		r = add_bar(layout, desc, n);
		if (r < 0)
			return r;
	}
	if (desc->msix.n_vectors != 0) {
		r = add_msix(layout, desc);
		if (r < 0)
			return r;
	} else {
		layout->reset[PCI_CAP_POINTER] = PCI_CAP_AT_PCIE;
	}
	add_pcie(layout, desc);
	add_extcaps(layout, desc);
	return 0;
}

/* Byte by byte and atomic, since other threads may ask for COMMAND meanwhile. */
static void set_byte(struct pci_config *cfg, unsigned int offset, uint8_t v)
{
	__atomic_store_n(&cfg->bytes[offset], v, __ATOMIC_RELAXED);
}

static uint8_t get_byte(const struct pci_config *cfg, unsigned int offset)
{
	return __atomic_load_n(&cfg->bytes[offset], __ATOMIC_RELAXED);
}

void pci_config_init(struct pci_config *cfg, const struct pci_layout *layout)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++)
		set_byte(cfg, i, layout->reset[i]);
}

void pci_config_flr(struct pci_config *cfg, const struct pci_layout *layout)
{
	for (unsigned int i = 0; i < PCI_CONFIG_SIZE; i++) {
		uint8_t keep = layout->sticky[i];

		set_byte(cfg, i, (uint8_t)((cfg->bytes[i] & keep) | (layout->reset[i] & ~keep)));
	}
}

static bool in_range(uint64_t offset, size_t size)
{
	return offset <= PCI_CONFIG_SIZE && size <= PCI_CONFIG_SIZE - offset;
}

int pci_config_read(const struct pci_config *cfg, uint64_t offset, void *buf, size_t size)
{
	if (!in_range(offset, size))
		return -EINVAL;
	memcpy(buf, cfg->bytes + offset, size);
	return 0;
}

/* What changed, by comparing: one write may touch several registers or part of one. */
static int events_between(const struct pci_config *cfg, const uint8_t *old,
			  const struct pci_layout *layout)
{
	int events = 0;

	if ((get(cfg->bytes, PCI_COMMAND, 2) ^ get(old, PCI_COMMAND, 2)) &
	    (PCI_COMMAND_MEMORY | PCI_COMMAND_BUS_MASTER))
		events |= PCI_EV_COMMAND;
	if (layout->n_vectors != 0 &&
	    get(cfg->bytes, PCI_MSIX_CTRL, 2) != get(old, PCI_MSIX_CTRL, 2))
		events |= PCI_EV_MSIX;
	if (memcmp(cfg->bytes + PCI_BAR0, old + PCI_BAR0, PCI_BAR_END - PCI_BAR0) != 0)
		events |= PCI_EV_BAR;
	return events;
}

int pci_config_write(struct pci_config *cfg, const struct pci_layout *layout, uint64_t offset,
		     const void *buf, size_t size)
{
	const uint8_t *in = buf;
	uint8_t old[PCI_CAP_AT_MSIX + 4]; /* all registers whose changes are told lie below */
	bool flr = false;

	if (!in_range(offset, size))
		return -EINVAL;
	memcpy(old, cfg->bytes, sizeof(old));
	for (size_t i = 0; i < size; i++) {
		unsigned int at = (unsigned int)(offset + i);
		uint8_t rw = layout->rw[at];
		uint8_t v = (uint8_t)((cfg->bytes[at] & ~rw) | (in[i] & rw));

		set_byte(cfg, at, (uint8_t)(v & ~(in[i] & layout->rw1c[at])));
		/* PCIe 5.0, 7.5.3.4: the bit itself always reads 0. */
		if (at == PCI_PCIE_DEVCTL + 1 && (in[i] & (PCI_PCIE_DEVCTL_FLR >> 8)) != 0)
			flr = true;
	}
	if (!flr)
		return events_between(cfg, old, layout);
	pci_config_flr(cfg, layout);
	return PCI_EV_FLR | events_between(cfg, old, layout);
}

bool pci_config_bus_master(const struct pci_config *cfg)
{
	return (get_byte(cfg, PCI_COMMAND) & PCI_COMMAND_BUS_MASTER) != 0;
}

bool pci_config_memory_on(const struct pci_config *cfg)
{
	return (get_byte(cfg, PCI_COMMAND) & PCI_COMMAND_MEMORY) != 0;
}

bool pci_config_msix_on(const struct pci_config *cfg, const struct pci_layout *layout)
{
	uint32_t ctrl = (uint32_t)get_byte(cfg, PCI_MSIX_CTRL + 1) << 8;

	return layout->n_vectors != 0 &&
	       (ctrl & (PCI_MSIX_ENABLE | PCI_MSIX_FUNC_MASK)) == PCI_MSIX_ENABLE;
}

uint64_t pci_config_bar(const struct pci_config *cfg, const struct pci_layout *layout,
			unsigned int bar)
{
	unsigned int at = PCI_BAR0 + 4 * bar;
	uint64_t v;

	if (bar >= PCI_N_BARS || (layout->bars & BIT(bar)) == 0)
		return 0;
	v = get(cfg->bytes, at, 4) & ~0xfu;
	if ((layout->bars64 & BIT(bar)) != 0)
		v |= (uint64_t)get(cfg->bytes, at + 4, 4) << 32;
	return v;
}

uint16_t pci_config_find_cap(const struct pci_config *cfg, uint8_t id)
{
	uint8_t at = cfg->bytes[PCI_CAP_POINTER];

	/* The chain is ours and read-only, but the bytes may come from a file: bound the walk. */
	for (unsigned int n = 0; at >= 0x40 && n < 48; n++) {
		if (cfg->bytes[at] == id)
			return at;
		at = cfg->bytes[at + 1] & 0xfc;
	}
	return 0;
}

uint16_t pci_config_find_extcap(const struct pci_config *cfg, uint16_t id)
{
	uint32_t at = PCI_EXTCAP_START;

	for (unsigned int n = 0; at >= PCI_EXTCAP_START && n < 480; n++) {
		uint32_t head = get(cfg->bytes, at, 4);

		if (head == 0)
			return 0;
		if ((head & 0xffff) == id)
			return (uint16_t)at;
		at = head >> 20 & 0xffc;
	}
	return 0;
}
