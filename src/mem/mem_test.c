/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "mem/dirty.h"
#include "mem/mem.h"

#define PAGE 4096u
#define RW   (MEM_READ | MEM_WRITE)
#define TOP  (UINT64_MAX - PAGE + 1) /* the last page */

/* A file of n pages; byte 0 of page i is i + 1. */
static int file_of(unsigned int n_pages)
{
	int fd = (int)syscall(SYS_memfd_create, "mem_test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)n_pages * PAGE), 0);
	for (unsigned int i = 0; i < n_pages; i++) {
		uint8_t mark = (uint8_t)(i + 1);

		assert_int_equal(pwrite(fd, &mark, 1, (off_t)i * PAGE), 1);
	}
	return fd;
}

static void check_sorted(const struct mem_table *t)
{
	for (uint32_t i = 1; i < t->n_windows; i++)
		assert_true(t->window[i - 1].iova + (t->window[i - 1].size - 1) <
			    t->window[i].iova);
}

/* Windows that are there: 0x10000-0x12fff, 0x13000-0x13fff (they touch) and the last page of all. */
static void test_map_edges(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t iova, size;
		uint32_t prot;
		uint64_t fd_offset;
		int ret;
	} cases[] = {
		{ 0x20000, 0, RW, 0, -EINVAL },
		{ 0, 0, RW, 0, -EINVAL },
		{ 0x20000, PAGE, 0, 0, -EINVAL },              /* no permission */
		{ 0x20000, PAGE, 4, 0, -EINVAL },              /* none that exists */
		{ 0x20000, PAGE, RW, 1, -EINVAL },             /* offset not on a page */
		{ 0x20000, PAGE, RW, PAGE - 1, -EINVAL },
		{ TOP, PAGE + 1, RW, 0, -EINVAL },             /* wraps */
		{ UINT64_MAX, 2, RW, 0, -EINVAL },
		{ 1, UINT64_MAX, RW, 0, -EEXIST },             /* does not: ends at the last byte */
		{ 2, UINT64_MAX, RW, 0, -EINVAL },
		{ 0x10000, PAGE, RW, 0, -EEXIST },             /* equal start */
		{ 0x10000, 3 * PAGE, RW, 0, -EEXIST },         /* equal */
		{ 0x11000, PAGE, RW, 0, -EEXIST },             /* inside */
		{ 0xf000, PAGE + 1, RW, 0, -EEXIST },          /* one byte over the left edge */
		{ 0xf000, 8 * PAGE, RW, 0, -EEXIST },          /* around both */
		{ 0x13fff, PAGE, RW, 0, -EEXIST },             /* the last byte of the second */
		{ 0, UINT64_MAX, RW, 0, -EEXIST },
		{ TOP, PAGE, RW, 0, -EEXIST },
		{ UINT64_MAX, 1, RW, 0, -EEXIST },
		{ TOP - PAGE, PAGE + 1, RW, 0, -EEXIST },
		{ 0x20000, PAGE, RW, 4 * PAGE, -ENXIO },       /* behind the file */
		{ 0x20000, PAGE + 1, RW, 3 * PAGE, -ENXIO },
		{ 0x20000, PAGE, RW, UINT64_MAX - PAGE + 1, -ENXIO },
		{ 0x20000, UINT64_MAX / 2, RW, 0, -ENXIO },
		{ 0xf000, PAGE, RW, 0, 0 },                    /* touches on the left */
		{ 0x14000, PAGE, MEM_READ, 3 * PAGE, 0 },      /* on the right; file's last page */
		{ 0, PAGE, MEM_WRITE, 0, 0 },
		{ TOP - PAGE, PAGE, RW, 0, 0 },
	};
	/* clang-format on */
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(4);

	assert_int_equal(mem_map(mem, 0x13000, PAGE, fd, 0, RW), 0);
	assert_int_equal(mem_map(mem, 0x10000, 3 * PAGE, fd, 0, RW), 0);
	assert_int_equal(mem_map(mem, TOP, PAGE, -1, 0, RW), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t n = mem_table(mem)->n_windows;
		int ret = mem_map(mem, cases[i].iova, cases[i].size, fd, cases[i].fd_offset,
				  cases[i].prot);

		if (ret != cases[i].ret)
			fail_msg("case %u: %d", i, ret);
		assert_int_equal(mem_table(mem)->n_windows, n + (ret == 0));
		check_sorted(mem_table(mem));
	}
	mem_free(mem);
	close(fd);
}

static void test_map_files(void **state)
{
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(2), pipes[2], ro;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	ro = open(path, O_RDONLY);
	assert_true(ro >= 0);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(mem_map(mem, 0, PAGE, pipes[0], 0, RW), -ENXIO);
	assert_int_equal(mem_map(mem, 0, PAGE, 1 << 20, 0, RW), -EBADF);
	assert_int_equal(mem_map(mem, 0, PAGE, ro, 0, RW), -EACCES);
	assert_int_equal(mem_map(mem, 0, PAGE, ro, 0, MEM_READ), 0);
	/* The file is the caller's, who may close it. */
	close(ro);
	assert_int_equal(*(uint8_t *)mem_at(mem_table(mem), &(uint32_t){ 0 }, 0, 1, MEM_READ), 1);
	/* A file that is no memory: messages only. */
	ro = open("/proc/self/exe", O_RDONLY);
	assert_int_equal(mem_map(mem, 0x1000, PAGE, ro, 0, MEM_READ), 0);
	assert_int_equal(mem_at(mem_table(mem), &(uint32_t){ 0 }, 0x1000, 1, MEM_READ) == NULL,
			 fcntl(ro, F_GET_SEALS) < 0);
	close(ro);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
	mem_free(mem);
}

static void test_at_borders(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t iova, size;
		uint32_t prot;
		int mark;    /* window's first byte + offset, or -1: NULL */
		int message; /* mem_covers: 0 no, 1 by pointer, 2 by message */
	} cases[] = {
		{ 0x10000, 1, RW, 0, 1 },
		{ 0x10000, PAGE, RW, 0, 1 },
		{ 0x10000, PAGE + 1, RW, -1, 0 },    /* into the one that touches */
		{ 0x10fff, 1, RW, 0xfff, 1 },
		{ 0x10fff, 2, RW, -1, 0 },
		{ 0xffff, 1, RW, -1, 0 },
		{ 0xffff, 2, RW, -1, 0 },
		{ 0x10000, 0, RW, -1, 0 },
		{ 0x10fff, 0, RW, -1, 0 },
		{ 0x10000, UINT64_MAX, RW, -1, 0 },
		{ 0x10001, UINT64_MAX, RW, -1, 0 },  /* the end wraps into the window */
		{ 0x10800, UINT64_MAX - 0x7ff, RW, -1, 0 },
		{ 0x11000, 1, MEM_READ, 0, 1 },      /* read-only window */
		{ 0x11000, 1, MEM_WRITE, -1, 0 },
		{ 0x11000, 1, RW, -1, 0 },
		{ 0x12000, 1, MEM_WRITE, 0, 1 },     /* write-only window */
		{ 0x12000, 1, MEM_READ, -1, 0 },
		{ 0x12fff, 1, MEM_WRITE, 0xfff, 1 },
		{ 0x13000, 1, MEM_WRITE, -1, 0 },    /* a hole */
		{ 0x14000, 1, RW, -1, 2 },           /* message-only */
		{ 0x14fff, 1, RW, -1, 2 },
		{ 0x14fff, 2, RW, -1, 0 },
		{ 0, 1, RW, 0, 1 },
		{ TOP, PAGE, RW, 0, 1 },
		{ UINT64_MAX, 1, RW, 0xfff, 1 },
		{ UINT64_MAX, 2, RW, -1, 0 },
		{ TOP - 1, 1, RW, -1, 0 },
	};
	/* clang-format on */
	static const uint32_t hints[] = { 0, 1, 2, 3, 4, 5, 6, 7, UINT32_MAX };
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(2);

	assert_int_equal(mem_map(mem, 0x10000, PAGE, fd, 0, RW), 0);
	assert_int_equal(mem_map(mem, 0x12000, PAGE, fd, PAGE, MEM_WRITE), 0);
	assert_int_equal(mem_map(mem, 0x11000, PAGE, fd, PAGE, MEM_READ), 0);
	assert_int_equal(mem_map(mem, 0x14000, PAGE, -1, 0, RW), 0);
	assert_int_equal(mem_map(mem, TOP, PAGE, fd, 0, RW), 0);
	assert_int_equal(mem_map(mem, 0, PAGE, fd, 0, RW), 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(cases) * ARRAY_SIZE(hints); i++) {
		unsigned int c = i / ARRAY_SIZE(hints);
		uint32_t hint = hints[i % ARRAY_SIZE(hints)], none = UINT32_MAX;
		const struct mem_table *t = mem_table(mem);
		bool by_message = false;
		uint8_t *va = mem_at(t, &hint, cases[c].iova, cases[c].size, cases[c].prot);
		bool covered =
			mem_covers(t, cases[c].iova, cases[c].size, cases[c].prot, &by_message);

		if ((va != NULL) != (cases[c].mark >= 0) || covered != (cases[c].message != 0) ||
		    (covered && by_message != (cases[c].message == 2)))
			fail_msg("case %u, hint %u", c, hints[i % ARRAY_SIZE(hints)]);
		assert_ptr_equal(va,
				 mem_find(t, &none, cases[c].iova, cases[c].size, cases[c].prot));
		if (va == NULL)
			continue;
		/* The hint names the window now, and is what the fast half uses. */
		assert_true(hint < t->n_windows);
		assert_ptr_equal(va, t->window[hint].va + cases[c].mark);
	}
	mem_free(mem);
	close(fd);
}

static void test_unmap_edges(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t iova, size;
		int ret;
		uint32_t left; /* of three windows: 0x10000-0x11fff, 0x12000-0x12fff, the last page */
	} cases[] = {
		{ 0x10000, 0, -EINVAL, 3 },
		{ TOP, PAGE + 1, -EINVAL, 3 },         /* wraps */
		{ 0x10000, PAGE, -EINVAL, 3 },         /* cuts */
		{ 0x11000, PAGE, -EINVAL, 3 },
		{ 0x10001, 2 * PAGE - 1, -EINVAL, 3 },
		{ 0x10000, 2 * PAGE - 1, -EINVAL, 3 },
		{ 0x10000, 2 * PAGE + 1, -EINVAL, 3 }, /* all of the first, cuts the second */
		{ 0x11fff, PAGE + 1, -EINVAL, 3 },
		{ 1, UINT64_MAX - 1, -EINVAL, 3 },     /* cuts the last page's last byte */
		{ 0xf000, PAGE, -ENOENT, 3 },
		{ 0x13000, PAGE, -ENOENT, 3 },
		{ 0, 0x10000, -ENOENT, 3 },
		{ 0x10000, 2 * PAGE, 0, 2 },
		{ 0x12000, PAGE, 0, 2 },
		{ 0x10000, 3 * PAGE, 0, 1 },
		{ 0, 0x13000, 0, 1 },
		{ 0xffff, 3 * PAGE + 2, 0, 1 },
		{ TOP, PAGE, 0, 2 },
		{ 0x12000, UINT64_MAX - 0x12000 + 1, 0, 1 },
		{ 0, UINT64_MAX, -EINVAL, 3 },
		{ 1, UINT64_MAX, 0, 0 },
	};
	/* clang-format on */
	int fd = file_of(2);

	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mem *mem = mem_new(NULL, NULL);
		int ret;

		assert_int_equal(mem_map(mem, 0x10000, 2 * PAGE, fd, 0, RW), 0);
		assert_int_equal(mem_map(mem, 0x12000, PAGE, -1, 0, RW), 0);
		assert_int_equal(mem_map(mem, TOP, PAGE, fd, 0, RW), 0);
		ret = mem_unmap(mem, cases[i].iova, cases[i].size);
		if (ret != cases[i].ret || mem_table(mem)->n_windows != cases[i].left)
			fail_msg("case %u: %d, %u left", i, ret, mem_table(mem)->n_windows);
		check_sorted(mem_table(mem));
		mem_free(mem);
	}
	close(fd);
}

static void test_max_windows(void **state)
{
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(1);

	for (uint64_t i = 0; i < MEM_MAX_WINDOWS; i++)
		assert_int_equal(mem_map(mem, i * 2 * PAGE, PAGE, i % 2 ? fd : -1, 0, RW), 0);
	assert_int_equal(mem_map(mem, PAGE, PAGE, fd, 0, RW), -ENOSPC);
	assert_int_equal(mem_unmap(mem, 2 * PAGE, PAGE), 0);
	assert_int_equal(mem_map(mem, PAGE, PAGE, fd, 0, RW), 0);
	assert_int_equal(mem_table(mem)->n_windows, MEM_MAX_WINDOWS);
	check_sorted(mem_table(mem));
	mem_unmap_all(mem);
	assert_int_equal(mem_table(mem)->n_windows, 0);
	assert_int_equal(mem_map(mem, PAGE, PAGE, fd, 0, RW), 0);
	mem_free(mem);
	mem_free(NULL);
	close(fd);
}

/* quiesce comes after the new table is published and before the memory goes. */
struct watch {
	struct mem *mem;
	uint8_t *va;
	uint32_t expect;
	unsigned int calls;
};

static void watch_quiesce(void *arg)
{
	struct watch *w = arg;

	w->calls++;
	if (w->mem != NULL)
		assert_int_equal(mem_table(w->mem)->n_windows, w->expect);
	if (w->va != NULL)
		assert_int_equal(*w->va, 1); /* dies here if it was unmapped before */
}

static void test_quiesce_order(void **state)
{
	struct watch w = { 0 };
	struct mem *mem = mem_new(watch_quiesce, &w);
	int fd = file_of(1);

	w.mem = mem;
	w.expect = 1;
	assert_int_equal(mem_map(mem, 0, PAGE, fd, 0, RW), 0);
	assert_int_equal(w.calls, 1);
	w.va = mem_at(mem_table(mem), &(uint32_t){ 0 }, 0, 1, RW);
	w.expect = 0;
	assert_int_equal(mem_unmap(mem, 0, PAGE), 0);
	assert_int_equal(w.calls, 2);
	/* Refusals change and wait for nothing. */
	assert_int_equal(mem_unmap(mem, 0, PAGE), -ENOENT);
	assert_int_equal(mem_map(mem, 0, 0, fd, 0, RW), -EINVAL);
	assert_int_equal(w.calls, 2);
	w.va = NULL;
	w.expect = 1;
	assert_int_equal(mem_map(mem, 0, PAGE, fd, 0, RW), 0);
	w.va = mem_at(mem_table(mem), &(uint32_t){ 0 }, 0, 1, RW);
	w.expect = 0;
	mem_free(mem);
	assert_int_equal(w.calls, 4);
	close(fd);
}

/* Against a list that is searched byte range by byte range. */
#define MODEL_PAGES 48
struct model {
	struct {
		bool used;
		uint32_t first, n, prot;
		bool by_message;
	} w[MODEL_PAGES];
};

static int model_owner(const struct model *m, uint32_t page)
{
	for (int i = 0; i < MODEL_PAGES; i++)
		if (m->w[i].used && page >= m->w[i].first && page < m->w[i].first + m->w[i].n)
			return i;
	return -1;
}

static void model_step(struct model *m, struct mem *mem, int fd)
{
	uint32_t first = (uint32_t)rand() % MODEL_PAGES, n = 1 + (uint32_t)rand() % 6;
	uint32_t prot = 1 + (uint32_t)rand() % 3;
	bool by_message = rand() % 4 == 0, cut = false, any = false;
	unsigned int i;

	if (first + n > MODEL_PAGES)
		n = MODEL_PAGES - first;
	if (rand() % 2 == 0) {
		for (uint32_t p = first; p < first + n; p++)
			any |= model_owner(m, p) >= 0;
		assert_int_equal(mem_map(mem, (uint64_t)first * PAGE, n * PAGE,
					 by_message ? -1 : fd, (uint64_t)first * PAGE, prot),
				 any ? -EEXIST : 0);
		if (any)
			return;
		for (i = 0; m->w[i].used; i++)
			;
		m->w[i].used = true;
		m->w[i].first = first;
		m->w[i].n = n;
		m->w[i].prot = prot;
		m->w[i].by_message = by_message;
		return;
	}
	for (i = 0; i < MODEL_PAGES; i++) {
		uint32_t from = m->w[i].first, to = from + m->w[i].n;

		if (!m->w[i].used || to <= first || from >= first + n)
			continue;
		any = true;
		cut |= from < first || to > first + n;
	}
	assert_int_equal(mem_unmap(mem, (uint64_t)first * PAGE, n * PAGE), cut   ? -EINVAL
									   : any ? 0
										 : -ENOENT);
	for (i = 0; i < MODEL_PAGES && any && !cut; i++)
		if (m->w[i].first >= first && m->w[i].first < first + n)
			m->w[i].used = false;
}

static void test_random_against_model(void **state)
{
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(MODEL_PAGES);
	struct model m = { 0 };
	uint32_t hint = 0;

	srand(1);
	for (unsigned int round = 0; round < 3000; round++) {
		model_step(&m, mem, fd);
		for (unsigned int i = 0; i < 20; i++) {
			uint64_t iova = (uint64_t)rand() % (MODEL_PAGES * PAGE);
			uint64_t size = 1 + (uint64_t)rand() % (3 * PAGE);
			uint32_t prot = (uint32_t)rand() % 4;
			int own = model_owner(&m, (uint32_t)(iova / PAGE));
			bool by_message, ok;
			uint8_t *va;

			iova &= rand() % 2 ? ~0ull : ~(uint64_t)(PAGE - 1);
			ok = own >= 0 && (m.w[own].prot & prot) == prot &&
			     iova + size <= (uint64_t)(m.w[own].first + m.w[own].n) * PAGE;
			va = mem_at(mem_table(mem), &hint, iova, size, prot);
			assert_int_equal(va != NULL, ok && !m.w[own].by_message);
			assert_int_equal(mem_covers(mem_table(mem), iova, size, prot, &by_message),
					 ok);
			if (ok)
				assert_int_equal(by_message, m.w[own].by_message);
			if (va != NULL && iova % PAGE == 0)
				assert_int_equal(*va, (uint8_t)(iova / PAGE + 1));
		}
	}
	mem_free(mem);
	close(fd);
}

static void test_foreign_tables(void **state)
{
	static uint8_t bytes[4 * PAGE];
	struct mem_window w[3] = {
		{ .iova = 0x5000, .size = PAGE, .va = bytes, .prot = RW },
		{ .iova = 0x1000, .size = PAGE, .va = bytes + PAGE, .prot = RW },
		{ .iova = TOP, .size = PAGE, .va = bytes + 2 * PAGE, .prot = MEM_READ },
	};
	struct mem_table *t = mem_table_new(w, 3);
	uint32_t hint = 77;

	assert_non_null(t);
	check_sorted(t);
	assert_ptr_equal(mem_at(t, &hint, 0x1001, 1, RW), bytes + PAGE + 1);
	assert_ptr_equal(mem_at(t, &hint, 0x5fff, 1, RW), bytes + PAGE - 1);
	assert_ptr_equal(mem_at(t, &hint, UINT64_MAX, 1, MEM_READ), bytes + 3 * PAGE - 1);
	assert_null(mem_at(t, &hint, UINT64_MAX, 1, RW));
	mem_table_free(t);
	mem_table_free(NULL);

	w[0].iova = 0x1fff;
	assert_null(mem_table_new(w, 3));
	w[0].iova = 0x1000;
	assert_null(mem_table_new(w, 3));
	w[0].iova = 0x2000;
	w[2].size = PAGE + 1;
	assert_null(mem_table_new(w, 3));
	w[2].size = 0;
	assert_null(mem_table_new(w, 3));
	w[2].size = PAGE;
	t = mem_table_new(w, 3);
	assert_non_null(t);
	mem_table_free(t);
	t = mem_table_new(NULL, 0);
	assert_non_null(t);
	assert_null(mem_at(t, &hint, 0, 1, 0));
	mem_table_free(t);
	assert_null(mem_at(&mem_table_empty, &hint, 0, 1, 0));
}

/* Within each test: cmocka puts its own handlers in place before it. */
static void guard_on(void)
{
	assert_int_equal(mem_guard_init(), 0);
}

static void test_guard(void **state)
{
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(4), other = file_of(4);
	uint64_t hits = mem_guard_hits();
	uint32_t hint = 0;
	uint8_t *va, *next;

	guard_on();

	assert_int_equal(mem_map(mem, 0, 4 * PAGE, fd, 0, RW), 0);
	assert_int_equal(mem_map(mem, 4 * PAGE, 4 * PAGE, other, 0, RW), 0);
	assert_int_equal(mem_map(mem, 8 * PAGE, 4 * PAGE, fd, 0, MEM_READ), 0);
	va = mem_at(mem_table(mem), &hint, 0, 4 * PAGE, RW);
	next = mem_at(mem_table(mem), &hint, 4 * PAGE, 4 * PAGE, RW);
	assert_int_equal(va[3 * PAGE], 4);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	assert_int_equal(va[0], 1); /* the page that is left needs no help */
	assert_int_equal(mem_guard_hits(), hits);
	errno = 1234;
	assert_int_equal(*(volatile uint8_t *)&va[3 * PAGE], 0);
	assert_int_equal(errno, 1234);
	assert_int_equal(mem_guard_hits(), hits + 1);
	for (uint32_t i = 0; i < 4 * PAGE; i += PAGE) {
		assert_int_equal(va[i], 0);
		*(volatile uint8_t *)&va[i] = 9;
	}
	assert_int_equal(mem_guard_hits(), hits + 1);
	/* The neighbours are untouched. */
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(next[i * PAGE], i + 1);
	va = mem_at(mem_table(mem), &hint, 8 * PAGE, 1, MEM_READ);
	assert_int_equal(*va, 1);
	assert_int_equal(*(volatile uint8_t *)&va[PAGE], 0);
	assert_int_equal(mem_guard_hits(), hits + 2);
	mem_free(mem);
	close(fd);
	close(other);
}

/* A window that is no whole number of huge pages, as QEMU's first one is. */
static void test_guard_huge(void **state)
{
	const uint64_t huge = 2 << 20;
	struct mem *mem = mem_new(NULL, NULL);
	int fd = (int)syscall(SYS_memfd_create, "mem_test", MFD_HUGETLB | MFD_HUGE_2MB);
	uint64_t hits = mem_guard_hits();
	uint32_t hint = 0;
	uint8_t *low, *high;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(2 * huge)), 0);
	assert_int_equal(mem_map(mem, 0, 0xa0000, fd, 0, RW), 0);
	assert_int_equal(mem_map(mem, 0xc0000, 2 * huge - 0xc0000, fd, 0xc0000, RW), 0);
	low = mem_at(mem_table(mem), &hint, 0, 0xa0000, RW);
	high = mem_at(mem_table(mem), &hint, 0xc0000, 2 * huge - 0xc0000, RW);
	assert_non_null(low);
	assert_non_null(high);
	low[0x9ffff] = 7;
	high[0] = 8;
	assert_int_equal(high[0x9ffff - 0xc0000], 7);
	assert_int_equal((low + 0xc0000)[0], 8);
	guard_on();
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(*(volatile uint8_t *)&low[0x9ffff], 0);
	assert_int_equal(*(volatile uint8_t *)&high[2 * huge - 0xc0000 - 1], 0);
	assert_int_equal(mem_guard_hits(), hits + 2);
	mem_free(mem);
	close(fd);
}

static void test_guard_slots_reused(void **state)
{
	struct mem *mem = mem_new(NULL, NULL);
	int fd = file_of(1);
	uint64_t hits;

	for (unsigned int i = 0; i < 3000; i++) {
		assert_int_equal(mem_map(mem, 0, PAGE, fd, 0, RW), 0);
		assert_int_equal(mem_unmap(mem, 0, PAGE), 0);
	}
	assert_int_equal(mem_map(mem, 0, PAGE, fd, 0, RW), 0);
	hits = mem_guard_hits();
	guard_on();
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(*(volatile uint8_t *)mem_at(mem_table(mem), &(uint32_t){ 0 }, 0, 1, RW),
			 0);
	assert_int_equal(mem_guard_hits(), hits + 1);
	mem_free(mem);
	close(fd);
}

static void test_dirty_log(void **state)
{
	/* clang-format off */
	static const struct {
		uint64_t iova, size;
		uint8_t bits[2];
	} cases[] = {
		{ 0, 0, { 0, 0 } },
		{ 0, 1, { 1, 0 } },
		{ PAGE - 1, 1, { 1, 0 } },
		{ PAGE - 1, 2, { 3, 0 } },
		{ PAGE, PAGE, { 2, 0 } },
		{ 7 * PAGE, PAGE + 1, { 0x80, 1 } },
		{ 0, 16 * PAGE, { 0xff, 0xff } },
		{ 15 * PAGE, UINT64_MAX / 2, { 0, 0x80 } }, /* beyond the log: left out */
		{ 16 * PAGE, PAGE, { 0, 0 } },
		{ UINT64_MAX, 2, { 0, 0 } },
	};
	/* clang-format on */
	for (unsigned int i = 0; i < ARRAY_SIZE(cases); i++) {
		uint8_t bits[3] = { 0, 0, 0 };
		struct dirty_log log = { bits, 2 };

		dirty_log_mark(&log, cases[i].iova, cases[i].size);
		if (memcmp(bits, cases[i].bits, 2) != 0 || bits[2] != 0)
			fail_msg("case %u: %02x %02x", i, bits[0], bits[1]);
	}
}

static bool has_huge_pages(void)
{
	const size_t size = 4 << 20;
	void *va = mmap(NULL, size, PROT_READ,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);

	return va != MAP_FAILED && munmap(va, size) == 0;
}

/* "mem_test huge" has the tests that want huge pages; it skips itself where there are none. */
int main(int argc, char **argv)
{
	const struct CMUnitTest huge_tests[] = {
		cmocka_unit_test(test_guard_huge),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_map_edges),
		cmocka_unit_test(test_map_files),
		cmocka_unit_test(test_at_borders),
		cmocka_unit_test(test_unmap_edges),
		cmocka_unit_test(test_max_windows),
		cmocka_unit_test(test_quiesce_order),
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_foreign_tables),
		cmocka_unit_test(test_guard),
		cmocka_unit_test(test_guard_slots_reused),
		cmocka_unit_test(test_dirty_log),
	};

	if (argc == 1)
		return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
	if (has_huge_pages())
		return cmocka_run_group_tests_name("mem huge", huge_tests, NULL, NULL);
	printf("1..0 # SKIP no huge pages are set up (vm.nr_hugepages)\n");
	return 0;
}
