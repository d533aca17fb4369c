/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mem/mem.h"

struct mem {
	_Atomic(struct mem_table *) table;
	void (*quiesce)(void *arg);
	void *arg;
};

const struct mem_table mem_table_empty;

static struct mem_table *table_alloc(uint32_t n_windows)
{
	return calloc(1, sizeof(struct mem_table) + n_windows * sizeof(struct mem_window));
}

/* Index of the window that holds `iova`, or n_windows. */
static uint32_t table_search(const struct mem_table *table, uint64_t iova)
{
	uint32_t lo = 0, hi = table->n_windows;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (iova - table->window[mid].iova < table->window[mid].size)
			return mid;
		if (iova < table->window[mid].iova)
			hi = mid;
		else
			lo = mid + 1;
	}
	return table->n_windows;
}

static const struct mem_window *window_of(const struct mem_table *table, uint32_t *hint,
					  uint64_t iova, uint64_t size, uint32_t prot)
{
	uint32_t i = table_search(table, iova);
	const struct mem_window *w;

	if (i == table->n_windows)
		return NULL;
	w = &table->window[i];
	if (size == 0 || size > w->size - (iova - w->iova) || (w->prot & prot) != prot)
		return NULL;
	*hint = i;
	return w;
}

void *mem_find(const struct mem_table *table, uint32_t *hint, uint64_t iova, uint64_t size,
	       uint32_t prot)
{
	const struct mem_window *w = window_of(table, hint, iova, size, prot);

	return w != NULL && w->va != NULL ? w->va + (iova - w->iova) : NULL;
}

bool mem_covers(const struct mem_table *table, uint64_t iova, uint64_t size, uint32_t prot,
		bool *by_message)
{
	uint32_t hint;
	const struct mem_window *w = window_of(table, &hint, iova, size, prot);

	if (w == NULL)
		return false;
	*by_message = w->va == NULL;
	return true;
}

struct mem *mem_new(void (*quiesce)(void *arg), void *arg)
{
	struct mem *mem = calloc(1, sizeof(*mem));
	struct mem_table *table = table_alloc(0);

	if (mem == NULL || table == NULL) {
		free(mem);
		free(table);
		return NULL;
	}
	atomic_init(&mem->table, table);
	mem->quiesce = quiesce;
	mem->arg = arg;
	return mem;
}

void mem_free(struct mem *mem)
{
	if (mem == NULL)
		return;
	mem_unmap_all(mem);
	free(atomic_load(&mem->table));
	free(mem);
}

const struct mem_table *mem_table(const struct mem *mem)
{
	return atomic_load_explicit(&mem->table, memory_order_acquire);
}

/* Makes `next` the current table and frees the old one when nobody can hold it any more. */
static void publish(struct mem *mem, struct mem_table *next)
{
	struct mem_table *old = atomic_exchange(&mem->table, next);

	if (mem->quiesce != NULL)
		mem->quiesce(mem->arg);
	free(old);
}

/* mmap wants offsets and sizes in whole pages of the file, and on hugetlbfs these are huge, while a
 * guest's windows are not (the legacy hole below 1 MiB cuts memory at 0xa0000). So the whole pages
 * around a window are mapped, and window_bounds finds them again. */
static unsigned int file_page_shift(int fd)
{
	struct statfs fs;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC)
		page = (uint64_t)fs.f_bsize;
	return (unsigned int)__builtin_ctzll(page);
}

static uint8_t *window_bounds(const struct mem_window *w, uint64_t *size)
{
	uint64_t mask = (1ull << w->map_shift) - 1;
	uint64_t lead = (uintptr_t)w->va & mask;

	*size = (lead + w->size + mask) & ~mask;
	return w->va - lead;
}

static int window_map(struct mem_window *w, int fd, uint64_t fd_offset)
{
	int prot = ((w->prot & MEM_READ) != 0 ? PROT_READ : 0) |
		   ((w->prot & MEM_WRITE) != 0 ? PROT_READ | PROT_WRITE : 0);
	uint64_t lead, size;
	struct stat st;
	uint8_t *va;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || fd_offset > (uint64_t)st.st_size ||
	    w->size > (uint64_t)st.st_size - fd_offset)
		return -ENXIO;
	/* Only memfd, tmpfs and hugetlbfs know seals. A file elsewhere (FUSE, a network) could make a
	 * worker wait for as long as its owner likes, so it is reached by messages. */
	if (fcntl(fd, F_GET_SEALS) < 0)
		return 0;
	w->map_shift = file_page_shift(fd);
	lead = fd_offset & ((1ull << w->map_shift) - 1);
	va = mmap(NULL, lead + w->size, prot, MAP_SHARED, fd, (off_t)(fd_offset - lead));
	if (va == MAP_FAILED)
		return -errno;
	w->va = va + lead;
	va = window_bounds(w, &size);
	if (!mem_guard_add(va, size)) {
		munmap(va, size);
		return -ENOSPC;
	}
	return 0;
}

static void window_unmap(const struct mem_window *w)
{
	uint64_t size;
	uint8_t *va;

	if (w->va == NULL)
		return;
	va = window_bounds(w, &size);
	mem_guard_del(va);
	munmap(va, size);
}

int mem_map(struct mem *mem, uint64_t iova, uint64_t size, int fd, uint64_t fd_offset,
	    uint32_t prot)
{
	const struct mem_table *now = mem_table(mem);
	struct mem_window w = { .iova = iova, .size = size, .prot = prot & (MEM_READ | MEM_WRITE) };
	uint64_t page_mask = (uint64_t)sysconf(_SC_PAGESIZE) - 1;
	struct mem_table *next;
	uint32_t at = 0;
	int ret;

	if (size == 0 || iova + size - 1 < iova || w.prot == 0 || (fd_offset & page_mask) != 0)
		return -EINVAL;
	if (now->n_windows >= MEM_MAX_WINDOWS)
		return -ENOSPC;
	while (at < now->n_windows && now->window[at].iova < iova)
		at++;
	if ((at > 0 && iova - now->window[at - 1].iova < now->window[at - 1].size) ||
	    (at < now->n_windows && now->window[at].iova - iova < size))
		return -EEXIST;

	next = table_alloc(now->n_windows + 1);
	if (next == NULL)
		return -ENOMEM;
	ret = window_map(&w, fd, fd_offset);
	if (ret < 0) {
		free(next);
		return ret;
	}
	next->n_windows = now->n_windows + 1;
	memcpy(next->window, now->window, at * sizeof(w));
	next->window[at] = w;
	memcpy(next->window + at + 1, now->window + at, (now->n_windows - at) * sizeof(w));
	publish(mem, next);
	return 0;
}

int mem_unmap(struct mem *mem, uint64_t iova, uint64_t size)
{
	const struct mem_table *now = mem_table(mem);
	uint64_t last = iova + size - 1;
	uint32_t from = 0, to;
	struct mem_window *gone;
	struct mem_table *next;
	uint32_t n_gone;

	if (size == 0 || last < iova)
		return -EINVAL;
	while (from < now->n_windows &&
	       now->window[from].iova + (now->window[from].size - 1) < iova)
		from++;
	for (to = from; to < now->n_windows && now->window[to].iova <= last; to++) {
		const struct mem_window *w = &now->window[to];

		if (w->iova < iova || w->iova + (w->size - 1) > last)
			return -EINVAL;
	}
	n_gone = to - from;
	if (n_gone == 0)
		return -ENOENT;

	next = table_alloc(now->n_windows - n_gone);
	gone = malloc(n_gone * sizeof(*gone));
	if (next == NULL || gone == NULL) {
		free(next);
		free(gone);
		return -ENOMEM;
	}
	memcpy(gone, now->window + from, n_gone * sizeof(*gone));
	next->n_windows = now->n_windows - n_gone;
	memcpy(next->window, now->window, from * sizeof(*gone));
	memcpy(next->window + from, now->window + to, (now->n_windows - to) * sizeof(*gone));
	publish(mem, next);
	for (uint32_t i = 0; i < n_gone; i++)
		window_unmap(&gone[i]);
	free(gone);
	return 0;
}

void mem_unmap_all(struct mem *mem)
{
	struct mem_table *old = atomic_load(&mem->table);
	struct mem_table *next;

	if (old->n_windows == 0)
		return;
	/* Without memory for an empty table the windows stay mapped, which hurts nobody else. */
	next = table_alloc(0);
	if (next == NULL)
		return;
	atomic_store(&mem->table, next);
	if (mem->quiesce != NULL)
		mem->quiesce(mem->arg);
	for (uint32_t i = 0; i < old->n_windows; i++)
		window_unmap(&old->window[i]);
	free(old);
}

static int window_compare(const void *a, const void *b)
{
	const struct mem_window *x = a, *y = b;

	return x->iova < y->iova ? -1 : x->iova > y->iova;
}

struct mem_table *mem_table_new(const struct mem_window *windows, uint32_t n_windows)
{
	struct mem_table *table = table_alloc(n_windows);

	if (table == NULL)
		return NULL;
	table->n_windows = n_windows;
	if (n_windows > 0)
		memcpy(table->window, windows, n_windows * sizeof(*windows));
	qsort(table->window, n_windows, sizeof(*windows), window_compare);
	for (uint32_t i = 0; i < n_windows; i++) {
		const struct mem_window *w = &table->window[i];

		if (w->size == 0 || w->iova + w->size - 1 < w->iova ||
		    (i > 0 && w->iova - w[-1].iova < w[-1].size)) {
			free(table);
			return NULL;
		}
	}
	for (uint32_t i = 0; i < n_windows; i++) {
		const struct mem_window *w = &table->window[i];

		if (w->va == NULL || mem_guard_add(w->va, w->size))
			continue;
		while (i-- > 0)
			if (table->window[i].va != NULL)
				mem_guard_del(table->window[i].va);
		free(table);
		return NULL;
	}
	return table;
}

void mem_table_free(struct mem_table *table)
{
	if (table == NULL)
		return;
	for (uint32_t i = 0; i < table->n_windows; i++)
		if (table->window[i].va != NULL)
			mem_guard_del(table->window[i].va);
	free(table);
}
