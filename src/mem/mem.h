/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory as a device sees it: IOVA -> pointer, with permissions. The IOMMU of this adapter.
 *
 * Two things live here:
 *  - `struct mem_table`, an immutable, sorted list of mapped windows. The data path looks every
 *    descriptor's address up in one; a guest address becomes a pointer nowhere else.
 *  - `struct mem`, its owner: maps and unmaps windows as a vfio-user client asks, and publishes a
 *    new table each time. One thread changes a `struct mem` (device I/O); any number of workers read
 *    its table between two of their quiescent points.
 *
 * Complications:
 *  1. A window may come without a file (QEMU without share=on), or with one that is not memory
 *     (see mem_map): it has no `va`, and only DMA messages reach it. mem_at never returns it.
 *  2. A buffer that crosses two windows is refused even where they touch. Operating systems place
 *     no buffer across the borders that cause windows (the legacy hole below 1 MiB, the PCI hole,
 *     memory modules), and one window's pages need not follow the other's.
 *  3. Whoever owns the file can truncate it, and touching it then raises SIGBUS. Each window is
 *     known to the guard, which puts zero pages there instead and counts it: a guest that does this
 *     loses its own data and stops nobody.
 */
#ifndef SOFTIOV_MEM_MEM_H
#define SOFTIOV_MEM_MEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bits.h"

#define MEM_READ  1u /* the device may read; values are vfio-user's DMA_MAP flags */
#define MEM_WRITE 2u

#define MEM_MAX_WINDOWS 1024

struct mem_window {
	uint64_t iova;
	uint64_t size;
	uint8_t *va; /* NULL: reachable by DMA messages only */
	uint32_t prot;
	uint32_t map_shift; /* private to mem.c: log2 of the file's page size */
};

struct mem_table {
	uint32_t n_windows;
	struct mem_window window[]; /* by rising iova, never overlapping */
};

/* Slow half of mem_at: a binary search. Sets *hint for the next time. */
void *mem_find(const struct mem_table *table, uint32_t *hint, uint64_t iova, uint64_t size,
	       uint32_t prot);

/* The pointer to `size` bytes at `iova`, or NULL if they do not lie in one window that allows
 * `prot`. `hint` is the caller's, one per ring, any value. size 0 is refused. */
static inline void *mem_at(const struct mem_table *table, uint32_t *hint, uint64_t iova,
			   uint64_t size, uint32_t prot)
{
	if (likely(*hint < table->n_windows)) {
		const struct mem_window *w = &table->window[*hint];
		uint64_t offset = iova - w->iova;

		if (likely(offset < w->size && size - 1 < w->size - offset &&
			   (w->prot & prot) == prot && w->va != NULL))
			return w->va + offset;
	}
	return mem_find(table, hint, iova, size, prot);
}

/* mem_at for a loop over buffers: the window that the last one lay in, checked for `prot`, as values that
 * stay in registers. (Behind pointers they would be loaded anew after each of the loop's stores.) */
struct mem_cursor {
	const struct mem_table *table;
	uint32_t *hint; /* as for mem_at */
	uint32_t prot;
	uint64_t iova, size; /* size 0: none yet */
	uint8_t *va;
};

static inline struct mem_cursor mem_cursor(const struct mem_table *table, uint32_t *hint,
					   uint32_t prot)
{
	struct mem_cursor c = { .table = table, .prot = prot };
	uint32_t i = *hint;

	c.hint = hint;
	if (likely(i < table->n_windows && (table->window[i].prot & prot) == prot &&
		   table->window[i].va != NULL)) {
		c.iova = table->window[i].iova;
		c.size = table->window[i].size;
		c.va = table->window[i].va;
	}
	return c;
}

static inline void *mem_cursor_at(struct mem_cursor *c, uint64_t iova, uint64_t size)
{
	uint64_t offset = iova - c->iova;
	void *va;

	if (likely(offset < c->size && size - 1 < c->size - offset))
		return c->va + offset;
	va = mem_find(c->table, c->hint, iova, size, c->prot);
	*c = mem_cursor(c->table, c->hint, c->prot);
	return va;
}

/* True if all of [iova, iova + size) lies in one window that allows `prot`, message-only ones
 * included; *by_message then tells which kind. */
bool mem_covers(const struct mem_table *table, uint64_t iova, uint64_t size, uint32_t prot,
		bool *by_message);

/* A table without windows. It is static: never freed. */
extern const struct mem_table mem_table_empty;

struct mem;

/* `quiesce(arg)` returns once no worker can still hold the table that was current before the
 * call; NULL where there are no workers. */
struct mem *mem_new(void (*quiesce)(void *arg), void *arg);
void mem_free(struct mem *mem); /* accepts NULL; unmaps all */

/* Maps a window. fd may be -1 (message-only), and a file that is no memfd and not on tmpfs or hugetlbfs
 * counts as none; it stays the caller's, who may close it at once.
 * -EINVAL: size 0, wrap-around, offset not on a page, or no permission asked for.
 * -EEXIST: overlaps a window. -ENOSPC: MEM_MAX_WINDOWS reached, or the guard's room is used up.
 * -ENXIO: the file is shorter than offset + size. Others: as mmap(2), e.g. -EACCES. */
int mem_map(struct mem *mem, uint64_t iova, uint64_t size, int fd, uint64_t fd_offset,
	    uint32_t prot);

/* Unmaps every window that lies inside [iova, iova + size), waits for the workers, and only then
 * gives the memory back. -EINVAL where a window is cut in two; -ENOENT where there is none. */
int mem_unmap(struct mem *mem, uint64_t iova, uint64_t size);
void mem_unmap_all(struct mem *mem);

/* The current table: never NULL, valid until the caller's next quiescent point. */
const struct mem_table *mem_table(const struct mem *mem);

/* Tables of memory that somebody else mapped (rte_vhost). The windows need not be sorted; they are
 * the caller's to unmap, after mem_table_free. NULL: they overlap or wrap, or there is no memory or
 * no room in the guard. */
struct mem_table *mem_table_new(const struct mem_window *windows, uint32_t n_windows);
void mem_table_free(struct mem_table *table);

/* Installs the SIGBUS guard for the process. Once, before the first mapping. */
int mem_guard_init(void);
/* Registers foreign mappings with the guard; mem_map and mem_table_new do it by themselves. False:
 * no room, and the mapping must not be used. */
bool mem_guard_add(const void *va, uint64_t size);
void mem_guard_del(const void *va);
/* For a thread of a library that maps guests' files itself and reads them before anybody can
 * register them: from now on whatever page it loses is replaced, one at a time. */
void mem_guard_thread(void);
/* Windows that the guard has replaced with zero pages since the start. */
uint64_t mem_guard_hits(void);

#endif
