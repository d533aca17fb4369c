/* SPDX-License-Identifier: BSD-3-Clause */
/* The SIGBUS guard: see mem.h, complication 3.
 *
 * The handler runs on whatever thread touched the lost page. It reads the list of ranges without a
 * lock (each slot's fields are atomic, and the range that is being touched is not being removed:
 * mem_unmap waits for the workers first) and calls mmap only, which is one system call. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "mem/mem.h"

/* The windows of 512 ports with two adapters each, so that no guest can use up another's room. */
#define GUARD_SLOTS (2 * 512 * MEM_MAX_WINDOWS)

struct guard_slot {
	atomic_uintptr_t va; /* 0: free */
	_Atomic uint64_t size;
};

static struct guard_slot slots[GUARD_SLOTS];
static atomic_uint n_slots;     /* slots ever used */
static unsigned int first_free; /* no free slot below it; under guard_lock */
static _Atomic uint64_t hits;
static _Thread_local bool guard_everything;
static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER; /* writers of slots[] */

/* Private zero pages in the place of the whole range; the wider alignments are for files on huge
 * pages, whose mappings can only be replaced by whole huge pages (else EINVAL: only then is the wider
 * range known to be the same mapping, and nobody else's). */
static bool replace(uintptr_t va, uint64_t size)
{
	static const uintptr_t align[] = { 4096, 2 << 20, 1 << 30 };

	for (unsigned int i = 0; i < ARRAY_SIZE(align); i++) {
		uintptr_t from = va & ~(align[i] - 1);
		uintptr_t to = (va + size + align[i] - 1) & ~(align[i] - 1);

		if (mmap((void *)from, to - from, PROT_READ | PROT_WRITE, /* NOLINT */
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) != MAP_FAILED)
			return true;
		if (errno != EINVAL)
			return false;
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	uintptr_t at = (uintptr_t)info->si_addr;
	int saved_errno = errno;

	for (unsigned int i = 0; i < atomic_load(&n_slots); i++) {
		uintptr_t va = atomic_load(&slots[i].va);

		if (va != 0 && at - va < atomic_load(&slots[i].size) &&
		    replace(va, atomic_load(&slots[i].size))) {
			atomic_fetch_add(&hits, 1);
			errno = saved_errno;
			return;
		}
	}
	if (guard_everything && replace(at, 1)) {
		atomic_fetch_add(&hits, 1);
		errno = saved_errno;
		return;
	}
	/* Not guest memory: our own bug. Die as if there were no handler. */
	(void)signal(sig, SIG_DFL);
	errno = saved_errno;
}

int mem_guard_init(void)
{
	struct sigaction action = { .sa_sigaction = on_sigbus,
				    .sa_flags = SA_SIGINFO | SA_NODEFER };

	return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

void mem_guard_thread(void)
{
	guard_everything = true;
}

bool mem_guard_add(const void *va, uint64_t size)
{
	unsigned int i;

	pthread_mutex_lock(&guard_lock);
	for (i = first_free; i < GUARD_SLOTS && atomic_load(&slots[i].va) != 0; i++)
		;
	first_free = i;
	if (i < GUARD_SLOTS) {
		atomic_store(&slots[i].size, size);
		atomic_store(&slots[i].va, (uintptr_t)va);
		if (i >= atomic_load(&n_slots))
			atomic_store(&n_slots, i + 1);
	}
	pthread_mutex_unlock(&guard_lock);
	return i < GUARD_SLOTS;
}

void mem_guard_del(const void *va)
{
	pthread_mutex_lock(&guard_lock);
	for (unsigned int i = 0; i < atomic_load(&n_slots); i++) {
		if (atomic_load(&slots[i].va) != (uintptr_t)va)
			continue;
		atomic_store(&slots[i].va, 0);
		if (i < first_free)
			first_free = i;
		break;
	}
	pthread_mutex_unlock(&guard_lock);
}

uint64_t mem_guard_hits(void)
{
	return atomic_load(&hits);
}
