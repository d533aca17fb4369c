/* SPDX-License-Identifier: BSD-3-Clause */
#include "pci/pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/bits.h"

static const struct pci_desc vf_desc = {
	.vendor_id = 0x8086,
	.device_id = 0x10ed,
	.subsystem_vendor_id = 0x8086,
	.subsystem_id = 0x000c,
	.revision_id = 0x01,
	.class_code = 0x020000,
	.bars = { [0] = { .size = 0x4000, .is_64bit = true },
		  [3] = { .size = 0x4000, .is_64bit = true } },
	.msix = { .n_vectors = 3, .bar = 3, .table_offset = 0, .pba_offset = 0x2000 },
	.pcie = { .link_speed = 2, .link_width = 8 },
	.serial_number = 0x0011223344556677,
	.acs = true,
	.ari = true,
};

static struct pci_layout layout;
static struct pci_config cfg;

static int setup(void **state)
{
	assert_int_equal(pci_layout_init(&layout, &vf_desc), 0);
	memset(&cfg, 0xaa, sizeof(cfg));
	pci_config_init(&cfg, &layout);
	return 0;
}

static uint32_t rd(unsigned int offset, unsigned int size)
{
	uint32_t v = 0;

	assert_int_equal(pci_config_read(&cfg, offset, &v, size), 0);
	return v;
}

static int wr(unsigned int offset, unsigned int size, uint32_t v)
{
	return pci_config_write(&cfg, &layout, offset, &v, size);
}

/* Value after reset, and what is left of all ones and all zeros written to it. */
static void test_registers(void **state)
{
	/* clang-format off */
	static const struct {
		const char *name;
		unsigned int offset, size;
		uint32_t reset, ones, zeros;
	} t[] = {
		{ "vendor",		0x00, 2, 0x8086, 0x8086, 0x8086 },
		{ "device",		0x02, 2, 0x10ed, 0x10ed, 0x10ed },
		{ "command",		0x04, 2, 0x0000, 0x0546, 0x0000 },
		{ "status",		0x06, 2, 0x0010, 0x0010, 0x0010 },
		{ "revision",		0x08, 1, 0x01, 0x01, 0x01 },
		{ "class",		0x09, 1, 0x00, 0x00, 0x00 },
		{ "class",		0x0a, 2, 0x0200, 0x0200, 0x0200 },
		{ "cache line",		0x0c, 1, 0x00, 0xff, 0x00 },
		{ "latency",		0x0d, 1, 0, 0, 0 },
		{ "header type",	0x0e, 1, 0, 0, 0 },
		{ "bist",		0x0f, 1, 0, 0, 0 },
		{ "bar 0",		0x10, 4, 0x4, 0xffffc004, 0x4 },
		{ "bar 0 high",		0x14, 4, 0, 0xffffffff, 0 },
		{ "bar 2",		0x18, 4, 0, 0, 0 },
		{ "bar 3",		0x1c, 4, 0x4, 0xffffc004, 0x4 },
		{ "bar 3 high",		0x20, 4, 0, 0xffffffff, 0 },
		{ "bar 5",		0x24, 4, 0, 0, 0 },
		{ "cardbus",		0x28, 4, 0, 0, 0 },
		{ "subsystem vendor",	0x2c, 2, 0x8086, 0x8086, 0x8086 },
		{ "subsystem",		0x2e, 2, 0x000c, 0x000c, 0x000c },
		{ "rom",		0x30, 4, 0, 0, 0 },
		{ "capabilities",	0x34, 1, 0x70, 0x70, 0x70 },
		{ "interrupt line",	0x3c, 1, 0, 0xff, 0 },
		{ "interrupt pin",	0x3d, 1, 0, 0, 0 },
		{ "msix header",	0x70, 2, 0xa011, 0xa011, 0xa011 },
		{ "msix control",	0x72, 2, 0x0002, 0xc002, 0x0002 },
		{ "msix table",		0x74, 4, 0x0003, 0x0003, 0x0003 },
		{ "msix pba",		0x78, 4, 0x2003, 0x2003, 0x2003 },
		{ "pcie header",	0xa0, 2, 0x0010, 0x0010, 0x0010 },
		{ "pcie type",		0xa2, 2, 0x0002, 0x0002, 0x0002 },
		{ "devcap",		0xa4, 4, 0x10008002, 0x10008002, 0x10008002 },
		{ "devsta",		0xaa, 2, 0, 0, 0 },
		{ "lnkcap",		0xac, 4, 0x00400082, 0x00400082, 0x00400082 },
		{ "lnkctl",		0xb0, 2, 0, 0x00cb, 0 },
		{ "lnksta",		0xb2, 2, 0x1082, 0x1082, 0x1082 },
		{ "devcap2",		0xc4, 4, 0x1f, 0x1f, 0x1f },
		{ "devctl2",		0xc8, 2, 0, 0x1f, 0 },
		{ "lnkcap2",		0xcc, 4, 0x6, 0x6, 0x6 },
		{ "lnkctl2",		0xd0, 2, 0x2, 0xf, 0 },
		{ "aer header",		0x100, 4, 0x14010001, 0x14010001, 0x14010001 },
		{ "aer uncorrectable",	0x104, 4, 0, 0, 0 },
		{ "aer unc. mask",	0x108, 4, 0, 0x001ff010, 0 },
		{ "aer severity",	0x10c, 4, 0x00062010, 0x001ff010, 0 },
		{ "aer correctable",	0x110, 4, 0, 0, 0 },
		{ "aer cor. mask",	0x114, 4, 0x2000, 0x31c1, 0 },
		{ "aer control",	0x118, 4, 0, 0, 0 },
		{ "aer header log",	0x11c, 4, 0, 0, 0 },
		{ "dsn header",		0x140, 4, 0x15010003, 0x15010003, 0x15010003 },
		{ "dsn low",		0x144, 4, 0x44556677, 0x44556677, 0x44556677 },
		{ "dsn high",		0x148, 4, 0x00112233, 0x00112233, 0x00112233 },
		{ "ari header",		0x150, 4, 0x1d01000e, 0x1d01000e, 0x1d01000e },
		{ "ari",		0x154, 4, 0, 0, 0 },
		{ "acs header",		0x1d0, 4, 0x0001000d, 0x0001000d, 0x0001000d },
		{ "acs",		0x1d4, 4, 0, 0, 0 },
		{ "beyond",		0x1d8, 4, 0, 0, 0 },
		{ "last",		0xffc, 4, 0, 0, 0 },
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		if (rd(t[i].offset, t[i].size) != t[i].reset)
			fail_msg("%s: reset value %#x", t[i].name, rd(t[i].offset, t[i].size));
		assert_true(wr(t[i].offset, t[i].size, 0xffffffff) >= 0);
		if (rd(t[i].offset, t[i].size) != t[i].ones)
			fail_msg("%s: after ones %#x", t[i].name, rd(t[i].offset, t[i].size));
		assert_true(wr(t[i].offset, t[i].size, 0) >= 0);
		if (rd(t[i].offset, t[i].size) != t[i].zeros)
			fail_msg("%s: after zeros %#x", t[i].name, rd(t[i].offset, t[i].size));
	}
}

/* All ones and all zeros over everything but DevCtl, byte by byte, change no read-only bit. */
static void test_masks_everywhere(void **state)
{
	for (unsigned int at = 0; at < PCI_CONFIG_SIZE; at++) {
		uint8_t before = cfg.bytes[at], writable = layout.rw[at];

		if (at == 0xa9) /* holds the FLR bit */
			continue;
		assert_true(wr(at, 1, 0xff) >= 0);
		assert_int_equal(cfg.bytes[at], (before | writable) & ~layout.rw1c[at]);
		assert_true(wr(at, 1, 0) >= 0);
		assert_int_equal(cfg.bytes[at], (before & ~writable) & ~layout.rw1c[at]);
		assert_int_equal(layout.rw[at] & layout.rw1c[at], 0);
	}
}

static void test_write_1_to_clear(void **state)
{
	static const struct {
		unsigned int offset;
		uint32_t set;
	} t[] = {
		{ 0x06, 0xf900 }, { 0xaa, 0x000f }, { 0x104, 0x001ff010 }, { 0x110, 0x000031c1 }
	};

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		uint32_t keep, size = t[i].set > 0xffff ? 4 : 2, one = t[i].set & -t[i].set;

		for (unsigned int b = 0; b < size; b++) /* as the device would set them */
			cfg.bytes[t[i].offset + b] |= (uint8_t)(t[i].set >> (8 * b));
		keep = rd(t[i].offset, size);
		wr(t[i].offset, size, 0);
		assert_int_equal(rd(t[i].offset, size), keep);
		wr(t[i].offset, size, one);
		assert_int_equal(rd(t[i].offset, size), keep & ~one);
		wr(t[i].offset, size, 0xffffffff);
		assert_int_equal(rd(t[i].offset, size) & t[i].set, 0);
	}
}

static void test_walk_capabilities(void **state)
{
	static const struct {
		uint16_t id, at;
	} caps[] = { { 0x11, 0x70 }, { 0x10, 0xa0 }, { 0x05, 0 }, { 0x00, 0 } },
	  ext[] = { { 1, 0x100 }, { 3, 0x140 }, { 0xe, 0x150 }, { 0xd, 0x1d0 }, { 0x10, 0 } };
	struct pci_desc d = vf_desc;

	for (size_t i = 0; i < ARRAY_SIZE(caps); i++)
		assert_int_equal(pci_config_find_cap(&cfg, (uint8_t)caps[i].id), caps[i].at);
	for (size_t i = 0; i < ARRAY_SIZE(ext); i++)
		assert_int_equal(pci_config_find_extcap(&cfg, ext[i].id), ext[i].at);

	d.serial_number = 0;
	d.ari = false;
	d.msix.n_vectors = 0;
	assert_int_equal(pci_layout_init(&layout, &d), 0);
	pci_config_init(&cfg, &layout);
	assert_int_equal(pci_config_find_cap(&cfg, 0x11), 0);
	assert_int_equal(pci_config_find_cap(&cfg, 0x10), 0xa0);
	assert_int_equal(pci_config_find_extcap(&cfg, 3), 0);
	assert_int_equal(pci_config_find_extcap(&cfg, 0xe), 0);
	assert_int_equal(pci_config_find_extcap(&cfg, 0xd), 0x1d0);
	assert_int_equal(rd(0x100, 4), 0x1d010001);
	d.acs = false;
	assert_int_equal(pci_layout_init(&layout, &d), 0);
	pci_config_init(&cfg, &layout);
	assert_int_equal(rd(0x100, 4), 0x00010001);

	/* Chains that bite their own tail, as a damaged state could hold, end. */
	cfg.bytes[0xa1] = 0xa0;
	assert_int_equal(pci_config_find_cap(&cfg, 0x11), 0);
	cfg.bytes[0x102] = 0x01;
	cfg.bytes[0x103] = 0x10;
	assert_int_equal(pci_config_find_extcap(&cfg, 3), 0);
}

static void test_bar_sizing(void **state)
{
	/* PCI 3.0, 6.2.5.1: save, write ones, read, restore. */
	assert_int_equal(wr(0x10, 4, 0xfebd0000), PCI_EV_BAR);
	assert_int_equal(wr(0x14, 4, 0x000000c0), PCI_EV_BAR);
	assert_int_equal(pci_config_bar(&cfg, &layout, 0), 0xc0febd0000);
	assert_int_equal(wr(0x10, 4, 0xffffffff), PCI_EV_BAR);
	assert_int_equal(~(rd(0x10, 4) & ~0xfu) + 1, 0x4000);
	assert_int_equal(wr(0x10, 4, 0xfebd0000), PCI_EV_BAR);
	assert_int_equal(wr(0x10, 4, 0xfebd0000), 0);
	assert_int_equal(pci_config_bar(&cfg, &layout, 0), 0xc0febd0000);
	for (unsigned int n = 1; n < 8; n++)
		assert_int_equal(pci_config_bar(&cfg, &layout, n), 0);
	/* Address bits below the size cannot be set. */
	wr(0x1c, 4, 0x12345678);
	assert_int_equal(pci_config_bar(&cfg, &layout, 3), 0x12344000);
}

static void test_bar_kinds(void **state)
{
	struct pci_desc d = vf_desc;

	d.bars[1].size = 0; /* 0 and 1 are one */
	d.bars[2] = (struct pci_bar_desc){ .size = 16 };
	d.bars[0] = (struct pci_bar_desc){ .size = 1ull << 33, .is_64bit = true, true };
	assert_int_equal(pci_layout_init(&layout, &d), 0);
	pci_config_init(&cfg, &layout);
	wr(0x10, 4, 0xffffffff);
	wr(0x14, 4, 0xffffffff);
	wr(0x18, 4, 0xffffffff);
	assert_int_equal(rd(0x10, 4), 0xc);
	assert_int_equal(rd(0x14, 4), 0xfffffffe);
	assert_int_equal(rd(0x18, 4), 0xfffffff0);
	assert_int_equal(pci_config_bar(&cfg, &layout, 0), 0xfffffffe00000000);
	assert_int_equal(pci_config_bar(&cfg, &layout, 2), 0xfffffff0);
}

static void test_bad_descriptions(void **state)
{
	struct pci_desc d;

#define REFUSED(change)                                                  \
	do {                                                             \
		d = vf_desc;                                             \
		change;                                                  \
		assert_int_equal(pci_layout_init(&layout, &d), -EINVAL); \
	} while (0)
	REFUSED(d.bars[0].size = 0x3000);
	REFUSED(d.bars[0].size = 8);
	REFUSED(d.bars[1].size = 0x1000);
	REFUSED((memset(&d.msix, 0, sizeof(d.msix)), d.bars[5].size = 0x1000,
		 d.bars[5].is_64bit = true));
	REFUSED(d.bars[2].size = 1ull << 32);
	REFUSED(d.msix.bar = 2);
	REFUSED(d.msix.bar = 6);
	REFUSED(d.msix.n_vectors = 2049);
	REFUSED(d.msix.table_offset = 4);
	REFUSED(d.msix.pba_offset = 0x2004);
	REFUSED(d.msix.pba_offset = 0x28);
	REFUSED(d.msix.table_offset = 0x2000);
	REFUSED(d.msix.table_offset = 0x3fd8);
	REFUSED(d.msix.pba_offset = 0x4000);
	REFUSED(d.pcie.link_speed = 0);
	REFUSED(d.pcie.link_speed = 8);
	REFUSED(d.pcie.link_width = 0);
	REFUSED(d.pcie.link_width = 33);
#undef REFUSED
	d = vf_desc; /* the edges that fit */
	d.msix.table_offset = 0x3fd0;
	assert_int_equal(pci_layout_init(&layout, &d), 0);
	d.msix.table_offset = 0;
	d.msix.pba_offset = 0x30;
	assert_int_equal(pci_layout_init(&layout, &d), 0);
	d.msix.pba_offset = 0x3ff8;
	assert_int_equal(pci_layout_init(&layout, &d), 0);
}

static void test_events(void **state)
{
	assert_false(pci_config_bus_master(&cfg));
	assert_false(pci_config_memory_on(&cfg));
	assert_int_equal(wr(0x04, 2, 0x0004), PCI_EV_COMMAND);
	assert_true(pci_config_bus_master(&cfg));
	assert_int_equal(wr(0x04, 2, 0x0006), PCI_EV_COMMAND);
	assert_true(pci_config_memory_on(&cfg));
	assert_int_equal(wr(0x04, 2, 0x0406), 0);
	assert_int_equal(wr(0x05, 1, 0x01), 0);

	assert_false(pci_config_msix_on(&cfg, &layout));
	assert_int_equal(wr(0x72, 2, 0xc000), PCI_EV_MSIX);
	assert_false(pci_config_msix_on(&cfg, &layout));
	assert_int_equal(wr(0x73, 1, 0x80), PCI_EV_MSIX);
	assert_true(pci_config_msix_on(&cfg, &layout));
	assert_int_equal(wr(0x70, 4, 0x80000000), 0);
	assert_int_equal(wr(0x3c, 1, 11), 0);
}

static void test_flr(void **state)
{
	wr(0x04, 2, 0x0006);
	wr(0x10, 4, 0xfebd0000);
	wr(0x3c, 1, 11);
	wr(0x72, 2, 0x8000);
	wr(0xa8, 2, 0x58ff); /* payload field 7, read request 5 */
	wr(0xb0, 2, 0x0040);
	wr(0x108, 4, 0x00100000);
	cfg.bytes[0xaa] |= 0x04;
	cfg.bytes[0x110] |= 0x01;
	assert_int_equal(wr(0xa8, 2, 0x58ff | 0x8000),
			 PCI_EV_FLR | PCI_EV_COMMAND | PCI_EV_MSIX | PCI_EV_BAR);
	assert_int_equal(rd(0x04, 2), 0);
	assert_int_equal(rd(0x10, 4), 0x4);
	assert_int_equal(rd(0x3c, 1), 0);
	assert_int_equal(rd(0x72, 2), 2);
	assert_int_equal(rd(0xa8, 2), 0x28f0); /* payload stays (PCIe 5.0, 6.6.2) */
	assert_int_equal(rd(0xaa, 2), 0);
	assert_int_equal(rd(0xb0, 2), 0x0040);      /* common clock stays */
	assert_int_equal(rd(0x108, 4), 0x00100000); /* RWS stays */
	assert_int_equal(rd(0x110, 4), 0x00000001); /* RW1CS stays */
	pci_config_init(&cfg, &layout);
	assert_int_equal(memcmp(cfg.bytes, layout.reset, sizeof(cfg.bytes)), 0);

	/* By its byte alone, from inside a long write, and not by its neighbour. */
	assert_int_equal(wr(0xa9, 1, 0x80), PCI_EV_FLR);
	assert_int_equal(wr(0xa6, 4, 0x80000000), PCI_EV_FLR);
	assert_int_equal(wr(0xa8, 1, 0xff), 0);
	assert_int_equal(wr(0xaa, 2, 0x8000), 0);
}

static void test_ranges(void **state)
{
	static const struct {
		uint64_t offset;
		size_t size;
		int want;
	} t[] = {
		{ 0, 0, 0 },
		{ 0, 4096, 0 },
		{ 0, 4097, -EINVAL },
		{ 4095, 1, 0 },
		{ 4095, 2, -EINVAL },
		{ 4096, 0, 0 },
		{ 4096, 1, -EINVAL },
		{ 4097, 0, -EINVAL },
		{ UINT64_MAX, 1, -EINVAL },
		{ UINT64_MAX, 2, -EINVAL },
		{ 1, SIZE_MAX, -EINVAL },
		{ UINT64_MAX - 3, 8, -EINVAL },
		{ 3, 7, 0 },
	};
	static uint8_t buf[4097];
	struct pci_config before = cfg;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int want = t[i].want;

		assert_int_equal(pci_config_read(&cfg, t[i].offset, buf, t[i].size), want);
		if (want == 0)
			assert_memory_equal(buf, cfg.bytes + t[i].offset, t[i].size);
		memcpy(buf, cfg.bytes, sizeof(cfg.bytes));
		if (want < 0)
			assert_int_equal(
				pci_config_write(&cfg, &layout, t[i].offset, buf, t[i].size), want);
	}
	assert_memory_equal(&before, &cfg, sizeof(cfg));
	/* What was read back in one go changes nothing, as after a guest's save and restore. */
	assert_int_equal(pci_config_write(&cfg, &layout, 0, buf, 4096), 0);
	assert_memory_equal(&before, &cfg, sizeof(cfg));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_registers, setup),
		cmocka_unit_test_setup(test_masks_everywhere, setup),
		cmocka_unit_test_setup(test_write_1_to_clear, setup),
		cmocka_unit_test_setup(test_walk_capabilities, setup),
		cmocka_unit_test_setup(test_bar_sizing, setup),
		cmocka_unit_test_setup(test_bar_kinds, setup),
		cmocka_unit_test_setup(test_bad_descriptions, setup),
		cmocka_unit_test_setup(test_events, setup),
		cmocka_unit_test_setup(test_flr, setup),
		cmocka_unit_test_setup(test_ranges, setup),
	};

	return cmocka_run_group_tests_name("pci", tests, NULL, NULL);
}
