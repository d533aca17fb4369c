/* SPDX-License-Identifier: BSD-3-Clause */
/* The register table against the datasheet's rules, row by row. */
#include "dev/intelvf/guest_test.h"

static uint32_t offset_of(const struct reg *r, unsigned int n)
{
	return r->offset + n * r->stride;
}

static void rows_do_not_overlap(void **state)
{
	static bool seen[INTELVF_BAR_SIZE / 4];

	memset(seen, 0, sizeof(seen));
	for (unsigned int i = 0; i < ixgbevf_regs.n; i++) {
		const struct reg *r = &ixgbevf_regs.row[i];

		assert_true(r->count > 0 && (r->count == 1 || r->stride >= 4));
		for (unsigned int n = 0; n < r->count; n++) {
			uint32_t offset = offset_of(r, n);

			if (offset % 4 != 0 || offset >= INTELVF_BAR_SIZE || seen[offset / 4])
				fail_msg("%s[%u] at %#x", r->name, n, offset);
			seen[offset / 4] = true;
			/* Shared memory is what lies in the mapped pages, and nothing else is. */
			assert_int_equal(r->access == REG_MEM,
					 offset >= IXGBEVF_PAGE_RX &&
						 offset < IXGBEVF_PAGE_TX + INTELVF_PAGE);
			assert_int_equal(r->reset & ~r->mask, 0);
		}
	}
}

/* Registers whose value or effect is not in the image; they have their own tests. */
static bool is_special(const struct reg *r)
{
	return r->read != NULL || r->write != NULL;
}

static void reset_values(void **state)
{
	for (unsigned int i = 0; i < ixgbevf_regs.n; i++)
		for (unsigned int n = 0; n < ixgbevf_regs.row[i].count; n++)
			if (ixgbevf_regs.row[i].read == NULL)
				assert_int_equal(guest_read(&g, offset_of(&ixgbevf_regs.row[i], n)),
						 ixgbevf_regs.row[i].access == REG_WO
							 ? 0
							 : ixgbevf_regs.row[i].reset);
}

static void masks(void **state)
{
	static const uint32_t patterns[] = { 0xffffffff, 0, 0xa5a5a5a5, 0x5a5a5a5a };

	for (unsigned int i = 0; i < ixgbevf_regs.n; i++) {
		const struct reg *r = &ixgbevf_regs.row[i];

		for (unsigned int n = 0; n < r->count && !is_special(r); n++) {
			for (unsigned int p = 0; p < ARRAY_SIZE(patterns); p++) {
				uint32_t want = patterns[p] & r->mask;

				guest_write(&g, offset_of(r, n), patterns[p]);
				if (r->access == REG_RO)
					want = r->reset;
				if (guest_read(&g, offset_of(r, n)) != want)
					fail_msg("%s[%u] after %#x", r->name, n, patterns[p]);
			}
		}
	}
}

static void a_software_reset_brings_reset_values_back(void **state)
{
	for (unsigned int i = 0; i < ixgbevf_regs.n; i++)
		for (unsigned int n = 0; n < ixgbevf_regs.row[i].count; n++)
			if (!is_special(&ixgbevf_regs.row[i]))
				guest_write(&g, offset_of(&ixgbevf_regs.row[i], n), 0xffffffff);
	guest_write(&g, VTEIMS, 7);
	guest_write(&g, VTEICS, 7);
	guest_write(&g, VFCTRL, VFCTRL_RST);
	for (unsigned int i = 0; i < ixgbevf_regs.n; i++) {
		const struct reg *r = &ixgbevf_regs.row[i];
		bool statistic = r->access == REG_MEM && r->count == 1;

		for (unsigned int n = 0; n < r->count && !is_special(r); n++) {
			/* Counters and the mailbox's words live through it. */
			uint32_t want = statistic || r->offset == VFMBMEM ? 0xffffffff : r->reset;

			if (guest_read(&g, offset_of(r, n)) != want)
				fail_msg("%s[%u]", r->name, n);
		}
	}
	assert_int_equal(guest_read(&g, VTEIMS), 0);
	assert_int_equal(guest_read(&g, VTEICR), 0);
	g.vf->ops->reset(g.vf);
	assert_int_equal(guest_read(&g, VFMBMEM), 0);
}

/* What is in no row: page 0 and 3 read as 0 and keep nothing, the shared pages are memory. */
static void holes(void **state)
{
	for (uint32_t offset = 0; offset < INTELVF_BAR_SIZE; offset += 4) {
		bool known = false, memory = offset >= 0x1000 && offset < 0x3000;

		for (unsigned int i = 0; i < ixgbevf_regs.n; i++)
			for (unsigned int n = 0; n < ixgbevf_regs.row[i].count; n++)
				known |= offset_of(&ixgbevf_regs.row[i], n) == offset;
		if (known)
			continue;
		guest_write(&g, offset, 0x12345678);
		assert_int_equal(guest_read(&g, offset), memory ? 0x12345678 : 0);
	}
}

/* What a trapped write to the queue pages keeps: of a register its bits, of a hole all. */
static uint32_t mask_at(uint32_t offset)
{
	for (unsigned int i = 0; i < ixgbevf_regs.n; i++)
		for (unsigned int n = 0; n < ixgbevf_regs.row[i].count; n++)
			if (offset_of(&ixgbevf_regs.row[i], n) == offset)
				return ixgbevf_regs.row[i].mask;
	return UINT32_MAX;
}

/* The mapping and the trapped accesses show the same memory. */
static void mapping_is_the_register(void **state)
{
	for (uint32_t offset = 0x1000; offset < 0x3000; offset += 4) {
		guest_line_write(&g, offset, offset ^ 0x5a5a0000);
		assert_int_equal(guest_read(&g, offset), offset ^ 0x5a5a0000);
		guest_write(&g, offset, offset);
		assert_int_equal(guest_line_read(&g, offset), offset & mask_at(offset));
	}
}

static void sizes_of_accesses(void **state)
{
	uint64_t quad = 0x1111111122222222;
	uint8_t byte = 0xff;
	uint16_t half = 0xffff;

	g.vf->ops->bar_write(g.vf, 0, VFMBMEM, &quad, 8);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x22222222);
	assert_int_equal(guest_read(&g, VFMBMEM + 4), 0x11111111);
	/* DS 8.1: narrower writes are not for registers, reads give their part. */
	g.vf->ops->bar_write(g.vf, 0, VFMBMEM, &byte, 1);
	g.vf->ops->bar_write(g.vf, 0, VFMBMEM + 2, &half, 2);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x22222222);
	guest_write(&g, VFMBMEM, 0x44332211);
	for (unsigned int i = 0; i < 4; i++) {
		g.vf->ops->bar_read(g.vf, 0, VFMBMEM + i, &byte, 1);
		assert_int_equal(byte, 0x11 * (i + 1));
	}
	g.vf->ops->bar_read(g.vf, 0, VFMBMEM + 2, &half, 2);
	assert_int_equal(half, 0x4433);
	/* Unaligned ones read as 0 and change nothing. */
	quad = UINT64_MAX;
	g.vf->ops->bar_read(g.vf, 0, VFMBMEM + 1, &quad, 4);
	assert_int_equal((uint32_t)quad, 0);
	g.vf->ops->bar_write(g.vf, 0, VFMBMEM + 2, &quad, 4);
	assert_int_equal(guest_read(&g, VFMBMEM), 0x44332211);
	/* The last quad word of the BAR; and the MSI-X BAR, whose table the server keeps. */
	g.vf->ops->bar_read(g.vf, 0, INTELVF_BAR_SIZE - 8, &quad, 8);
	assert_int_equal(quad, 0);
	quad = 5;
	g.vf->ops->bar_write(g.vf, 3, 0, &quad, 8);
	g.vf->ops->bar_read(g.vf, 3, 0, &quad, 8);
	assert_int_equal(quad, 0);
	assert_int_equal(guest_read(&g, VFCTRL), 0);
}

static void link_and_status(void **state)
{
	static const struct {
		bool up;
		uint32_t mbit, links;
	} cases[] = {
		{ false, 10000, 0 },
		{ true, 10000, 0x70000000 },
		{ true, 1000, 0x60000000 },
		{ true, 100, 0x50000000 },
	};
	struct vf_policy policy = g.vf->policy;

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		policy.link_up = cases[i].up;
		policy.speed_mbit = cases[i].mbit;
		g.vf->ops->set_policy(g.vf, &policy);
		assert_int_equal(guest_read(&g, VFLINKS), cases[i].links);
		guest_write(&g, VFLINKS, ~cases[i].links);
		assert_int_equal(guest_read(&g, VFLINKS), cases[i].links);
	}
	assert_int_equal(guest_read(&g, VFSTATUS), VFSTATUS_GIO);
	g.vf->bus_master = false;
	assert_int_equal(guest_read(&g, VFSTATUS), 0);
}

static uint64_t timer_us(uint32_t v)
{
	assert_in_range(v & 0x3ff, 0, 999);
	assert_in_range(v >> 10 & 0x3ff, 0, 999);
	return (v & 0x3ff) + (v >> 10 & 0x3ff) * 1000ull + (v >> 20) * 1000000ull;
}

static void timer_runs(void **state)
{
	uint64_t first = timer_us(guest_read(&g, VFFRTIMER)), now = first;

	for (unsigned int i = 0; i < 10000000 && now == first; i++)
		now = timer_us(guest_read(&g, VFFRTIMER));
	assert_int_not_equal(now, first);
}

static void traps_are_counted(void **state)
{
	uint64_t before = g.vf->counters.traps;

	guest_read(&g, VFSTATUS);
	guest_write(&g, VTEIMC, 0);
	guest_line_write(&g, IXGBEVF_PAGE_RX + RDT, 0);
	assert_int_equal(g.vf->counters.traps - before, 2);
}

/* With everybody's traces on, the limiters keep a guest from filling the log. */
static void traces_are_limited(void **state)
{
	log_set_level(LOG_LEVEL_DEBUG);
	for (unsigned int i = 0; i < 1000; i++)
		guest_write(&g, 0x3ffc, i);
	log_set_level(LOG_LEVEL_ERR);
	assert_true(g.dev->limit[3].suppressed >= 1000 - 2 * LOG_LIMIT_BURST);
	log_set_level(LOG_LEVEL_INFO);
}

static void models(void **state)
{
	const struct vf_model *m = vf_model_find("82599"), *x = vf_model_find("x540");

	assert_non_null(m);
	assert_non_null(x);
	assert_ptr_equal(vf_model_at(0), m);
	assert_ptr_equal(vf_model_at(1), x);
	assert_string_equal(vf_model_at(2)->name, "x550");
	assert_int_equal(vf_model_at(2)->device, 0x1565);
	assert_null(vf_model_find("82598"));
	assert_int_equal(m->device, 0x10ed);
	assert_int_equal(x->device, 0x1515);
	assert_int_equal(m->bar[0].memfd_offset % 4096, 0);
	assert_true(m->bar[0].memfd_offset >= m->bar[0].mmap_offset);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, start, stop)
	const struct CMUnitTest tests[] = {
		TEST(rows_do_not_overlap),
		TEST(reset_values),
		TEST(masks),
		TEST(a_software_reset_brings_reset_values_back),
		TEST(holes),
		TEST(mapping_is_the_register),
		TEST(sizes_of_accesses),
		TEST(link_and_status),
		TEST(timer_runs),
		TEST(traps_are_counted),
		TEST(traces_are_limited),
		TEST(models),
	};

	return cmocka_run_group_tests_name("ixgbevf registers", tests, NULL, NULL);
}
