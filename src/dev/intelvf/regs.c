/* SPDX-License-Identifier: BSD-3-Clause */
/* The accesses that trap. The register file itself is the family's: one table that can be laid beside
 * the datasheet.
 *
 * Values of what lies below the queue pages are in an image by offset; rows with handlers compute or act.
 * The queue pages are the memory that the guest maps, and a trapped access to them reads and writes that
 * memory: a client that does not map sees the same device. Nothing is mapped behind them, and what the
 * datasheet does not list reads as 0.
 */
#include "base/log.h"
#include "dev/intelvf/intelvf.h"

#define AREA "intelvf"

static const struct reg *find(const struct reg_table *table, uint32_t offset, unsigned int *n)
{
	for (unsigned int i = 0; i < table->n; i++) {
		const struct reg *r = &table->row[i];
		uint32_t distance = offset - r->offset;

		*n = 0;
		if (distance == 0)
			return r;
		if (r->count > 1 && offset > r->offset && distance % r->stride == 0 &&
		    distance / r->stride < r->count) {
			*n = distance / r->stride;
			return r;
		}
	}
	return NULL;
}

/* The word behind an offset: the image's or shared memory; NULL behind the queue pages. */
static uint32_t *word_at(struct intelvf *dev, uint32_t offset)
{
	uint32_t pages_at = dev->family->pages_at;

	if (offset < pages_at)
		return regs_word(dev, offset);
	if (offset < pages_at + 2 * INTELVF_PAGE)
		return (uint32_t *)(void *)(dev->pages + (offset - pages_at));
	return NULL;
}

static bool is_statistic(const struct reg *r)
{
	return r->access == REG_MEM && r->count == 1;
}

/* DS 4.2.2: what a VF reset brings back. The statistics go on; mailbox and interrupt causes have
 * their own functions. */
void regs_reset(struct intelvf *dev)
{
	const struct reg_table *table = dev->family->regs;

	for (unsigned int i = 0; i < table->n; i++) {
		const struct reg *r = &table->row[i];

		if (is_statistic(r) || r->write != NULL || r->offset == dev->family->mbmem)
			continue;
		for (unsigned int n = 0; n < r->count; n++) {
			uint32_t *word = word_at(dev, r->offset + n * r->stride);

			if (word != NULL)
				shared_store(word, r->reset);
		}
	}
}

enum trace {
	TRACE_KNOWN,
	TRACE_READ_ONLY,
	TRACE_PARTIAL,
	TRACE_UNKNOWN,
};
_Static_assert(TRACE_UNKNOWN + 1 == INTELVF_TRACES, "one limiter for each kind");

static void trace(struct intelvf *dev, enum trace kind, const char *what, const char *name,
		  uint32_t offset, uint32_t value)
{
	static const char *const note[] = {
		[TRACE_KNOWN] = "",
		[TRACE_READ_ONLY] = ": read-only, ignored",
		[TRACE_PARTIAL] = ": kept, without all of its effect",
		[TRACE_UNKNOWN] = ": no such register",
	};

	if (likely(!log_wants(LOG_LEVEL_DEBUG)) || !log_limit_pass(&dev->limit[kind], AREA))
		return;
	log_debug(AREA, "%s %s %s(%#06x) %#010x%s", dev->vf.model->name, what, name, offset, value,
		  note[kind]);
}

uint32_t regs_read(struct intelvf *dev, uint32_t offset)
{
	unsigned int n;
	const struct reg *r = find(dev->family->regs, offset, &n);
	uint32_t *word = word_at(dev, offset);
	uint32_t value = 0;

	if (r == NULL) {
		/* Holes of the shared pages are memory too. */
		if (word != NULL && offset >= dev->family->pages_at)
			value = shared_load(word);
		trace(dev, TRACE_UNKNOWN, "read", "-", offset, value);
		return value;
	}
	if (r->read != NULL)
		value = r->read(dev, n);
	else if (r->access != REG_WO && word != NULL)
		value = shared_load(word);
	trace(dev, TRACE_KNOWN, "read", r->name, offset, value);
	return value;
}

void regs_write(struct intelvf *dev, uint32_t offset, uint32_t value)
{
	unsigned int n;
	const struct reg *r = find(dev->family->regs, offset, &n);
	uint32_t *word = word_at(dev, offset);

	if (r == NULL) {
		if (word != NULL && offset >= dev->family->pages_at)
			shared_store(word, value);
		trace(dev, TRACE_UNKNOWN, "write", "-", offset, value);
		return;
	}
	if (r->access == REG_RO) {
		trace(dev, TRACE_READ_ONLY, "write", r->name, offset, value);
		return;
	}
	trace(dev, r->partial ? TRACE_PARTIAL : TRACE_KNOWN, "write", r->name, offset, value);
	if (r->write != NULL)
		r->write(dev, n, value);
	else if (r->access == REG_MEM)
		/* Whatever the guest put into the memory, the register has these bits and no others. */
		shared_store(word, value & r->mask);
	else
		shared_store(word, (shared_load(word) & ~r->mask) | (value & r->mask));
}
