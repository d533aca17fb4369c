/* SPDX-License-Identifier: BSD-3-Clause */
/* Interrupts: SET_IRQS in all its forms, kept interrupts, and eventfds replaced under fire. */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bits.h"
#include "vfu/testkit.h"

#define NONE    0x01u
#define BOOL    0x02u
#define EVENTFD 0x04u
#define MASK    0x08u
#define UNMASK  0x10u
#define TRIGGER 0x20u
#define MSIX    2
#define ERR     3

static struct reply reply;

static int set_irqs(struct kit *k, uint32_t flags, uint32_t index, uint32_t start, uint32_t count,
		    const void *data, size_t n_data, const int *fds, unsigned int n_fds)
{
	uint32_t body[32] = { (uint32_t)(20 + n_data), flags, index, start, count };

	assert_true(20 + n_data <= sizeof(body));
	if (n_data > 0)
		memcpy(&body[5], data, n_data);
	return call_fds(k, VFU_DEVICE_SET_IRQS, body, 20 + n_data, fds, n_fds, &reply);
}

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void close_all(int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

static void test_info(void **state)
{
	static const struct {
		uint32_t index, flags, count;
	} t[] = { { 0, 0, 0 }, { 1, 0, 0 }, { 2, 3, N_VECTORS }, { 3, 1, 1 }, { 4, 0, 0 } };
	struct kit *k = *state;
	struct vfu_irq_info in = { .argsz = 16 }, out;

	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		in.index = t[i].index;
		assert_int_equal(call(k, VFU_DEVICE_GET_IRQ_INFO, &in, sizeof(in), &reply), 16);
		memcpy(&out, reply.body, sizeof(out));
		assert_int_equal(out.argsz, 16);
		assert_int_equal(out.flags, t[i].flags); /* never NORESIZE */
		assert_int_equal(out.index, t[i].index);
		assert_int_equal(out.count, t[i].count);
	}
	in.index = 5;
	assert_int_equal(call(k, VFU_DEVICE_GET_IRQ_INFO, &in, sizeof(in), &reply), -EINVAL);
	in = (struct vfu_irq_info){ .argsz = 15, .index = 2 };
	assert_int_equal(call(k, VFU_DEVICE_GET_IRQ_INFO, &in, sizeof(in), &reply), -EINVAL);
}

static void test_refusals(void **state)
{
	/* clang-format off */
	static const struct {
		uint32_t flags, index, start, count, n_data; unsigned int n_fds; int want;
	} t[] = {
		/* exactly one kind of data and one action, no other bit */
		{ 0, MSIX, 0, 1, 0, 0, -EINVAL },
		{ NONE, MSIX, 0, 1, 0, 0, -EINVAL },
		{ TRIGGER, MSIX, 0, 1, 0, 0, -EINVAL },
		{ NONE | BOOL | TRIGGER, MSIX, 0, 1, 1, 0, -EINVAL },
		{ NONE | MASK | TRIGGER, MSIX, 0, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER | 0x40, MSIX, 0, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER | 0x80000000, MSIX, 0, 1, 0, 0, -EINVAL },
		/* ranges */
		{ NONE | TRIGGER, MSIX, 0, 4, 0, 0, -EINVAL },
		{ NONE | TRIGGER, MSIX, 3, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER, MSIX, 2, 2, 0, 0, -EINVAL },
		{ NONE | TRIGGER, MSIX, UINT32_MAX, 2, 0, 0, -EINVAL },
		{ NONE | TRIGGER, MSIX, 1, UINT32_MAX, 0, 0, -EINVAL },
		{ NONE | TRIGGER, 0, 0, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER, 1, 0, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER, 4, 0, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER, 5, 0, 1, 0, 0, -EINVAL },
		{ NONE | TRIGGER, ERR, 1, 1, 0, 0, -EINVAL },
		/* count 0 only disables */
		{ NONE | TRIGGER, MSIX, 1, 0, 0, 0, -EINVAL },
		{ EVENTFD | TRIGGER, MSIX, 0, 0, 0, 0, -EINVAL },
		{ BOOL | TRIGGER, MSIX, 0, 0, 0, 0, -EINVAL },
		{ NONE | MASK, MSIX, 0, 0, 0, 0, -EINVAL },
		/* data and descriptors fit the kind */
		{ BOOL | TRIGGER, MSIX, 0, 3, 2, 0, -EINVAL },
		{ BOOL | TRIGGER, MSIX, 0, 3, 3, 1, -EINVAL },
		{ NONE | TRIGGER, MSIX, 0, 1, 0, 1, -EINVAL },
		{ NONE | TRIGGER, MSIX, 0, 0, 0, 1, -EINVAL },
		{ EVENTFD | TRIGGER, MSIX, 0, 3, 0, 2, -EINVAL },
		{ EVENTFD | TRIGGER, MSIX, 0, 1, 0, 2, -EINVAL },
		{ EVENTFD | TRIGGER, MSIX, 0, 4, 0, 4, -EINVAL },
		{ EVENTFD | TRIGGER, MSIX, 0, 3, 0, 8, -EINVAL },
		/* not offered */
		{ EVENTFD | MASK, MSIX, 0, 1, 0, 1, -ENOTSUP },
		{ EVENTFD | UNMASK, MSIX, 0, 1, 0, 1, -ENOTSUP },
		{ NONE | MASK, ERR, 0, 1, 0, 0, -ENOTSUP },
		{ BOOL | UNMASK, ERR, 0, 1, 1, 0, -ENOTSUP },
		/* allowed without effect */
		{ NONE | TRIGGER, MSIX, 0, 0, 0, 0, 0 },
		{ NONE | TRIGGER, ERR, 0, 0, 0, 0, 0 },
		{ NONE | TRIGGER, 0, 0, 0, 0, 0, 0 },
		{ EVENTFD | TRIGGER, MSIX, 0, 1, 0, 0, 0 }, /* QEMU's first */
		{ EVENTFD | TRIGGER, MSIX, 0, 3, 0, 0, 0 },
	};
	/* clang-format on */
	struct kit *k = *state;
	static const uint8_t ones[8] = { 1, 1, 1, 1, 1, 1, 1, 1 };
	struct vfu_stats stats;
	uint32_t bad_argsz[5] = { 19, NONE | TRIGGER, MSIX, 0, 1 };
	int fds[8];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = new_eventfd();
	for (size_t i = 0; i < ARRAY_SIZE(t); i++) {
		int n = set_irqs(k, t[i].flags, t[i].index, t[i].start, t[i].count, ones,
				 t[i].n_data, fds, t[i].n_fds);

		if (n != t[i].want)
			fail_msg("case %zu: %d", i, n);
	}
	assert_int_equal(call(k, VFU_DEVICE_SET_IRQS, bad_argsz, 20, &reply), -EINVAL);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_irqs + stats.n_irqs_latched, 0);
	assert_int_equal(k->fake.n_quiesce, 0);
	close_all(fds, 8);
}

/* What is no eventfd could block its writer, or be anything at all. */
static void test_only_eventfds(void **state)
{
	struct kit *k = *state;
	int pipes[2], mixed[2];

	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &pipes[1], 1),
			 -EINVAL);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, ERR, 0, 1, NULL, 0, &k->bar_fd, 1),
			 -EINVAL);
	mixed[0] = new_eventfd();
	mixed[1] = k->bar_fd;
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 2, NULL, 0, mixed, 2), -EINVAL);
	vfu_irq_trigger(k->dev, 0);
	assert_int_equal(count_of(mixed[0]), 0); /* all or nothing */
	close(mixed[0]);
	close_all(pipes, 2);
}

static void test_trigger(void **state)
{
	struct kit *k = *state;
	static const uint8_t bools[3] = { 1, 0, 255 };
	struct vfu_stats stats;
	int fds[3] = { new_eventfd(), new_eventfd(), new_eventfd() };
	int err_fd = new_eventfd();

	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, fds, 3), 0);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, ERR, 0, 1, NULL, 0, &err_fd, 1), 0);
	for (unsigned int i = 0; i < 5; i++)
		vfu_irq_trigger(k->dev, i); /* 3 and 4 do not exist */
	for (unsigned int i = 0; i < 3; i++)
		assert_int_equal(count_of(fds[i]), 1);
	assert_int_equal(set_irqs(k, BOOL | TRIGGER, MSIX, 0, 3, bools, 3, NULL, 0), 0);
	assert_int_equal(count_of(fds[0]), 1);
	assert_int_equal(count_of(fds[1]), 0);
	assert_int_equal(count_of(fds[2]), 1);
	assert_int_equal(set_irqs(k, NONE | TRIGGER, MSIX, 1, 2, NULL, 0, NULL, 0), 0);
	assert_int_equal(count_of(fds[0]), 0);
	assert_int_equal(count_of(fds[1]), 1);
	assert_int_equal(count_of(fds[2]), 1);
	assert_int_equal(set_irqs(k, NONE | TRIGGER, ERR, 0, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(count_of(err_fd), 1);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_irqs, 8);
	assert_int_equal(stats.n_irqs_latched, 0);

	/* A full eventfd neither blocks nor fails. */
	uint64_t most = UINT64_MAX - 1;

	assert_int_equal(write(fds[0], &most, 8), 8);
	vfu_irq_trigger(k->dev, 0);
	assert_true(count_of(fds[0]) == most);
	close_all(fds, 3);
	close(err_fd);
}

/* A blocking eventfd is made non-blocking when it is installed. */
static void test_blocking_eventfd(void **state)
{
	struct kit *k = *state;
	uint64_t most = UINT64_MAX - 1;
	int fd = eventfd(0, EFD_CLOEXEC);

	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &fd, 1), 0);
	assert_int_equal(write(fd, &most, 8), 8);
	alarm(10); /* kills a test that blocks */
	vfu_irq_trigger(k->dev, 0);
	alarm(0);
	close(fd);
}

static void test_kept(void **state)
{
	struct kit *k = *state;
	struct vfu_stats stats;
	int fds[3] = { new_eventfd(), new_eventfd(), new_eventfd() };

	/* Several raised while there is no eventfd are one, delivered at installation. */
	vfu_irq_trigger(k->dev, 1);
	vfu_irq_trigger(k->dev, 1);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, fds, 3), 0);
	assert_int_equal(count_of(fds[0]), 0);
	assert_int_equal(count_of(fds[1]), 1);
	assert_int_equal(count_of(fds[2]), 0);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_irqs_latched, 2);
	assert_int_equal(stats.n_irqs, 1);

	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 1, 1, NULL, 0, &fds[1], 1), 0);
	assert_int_equal(count_of(fds[1]), 0); /* once only */
	k->fake.n_quiesce = 0;

	/* De-assigned, raised, assigned again. */
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 2, NULL, 0, NULL, 0), 0);
	assert_int_equal(k->fake.n_quiesce, 1);
	vfu_irq_trigger(k->dev, 0);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(count_of(fds[0]), 0);
	assert_int_equal(count_of(fds[2]), 1);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, fds, 1), 0);
	assert_int_equal(count_of(fds[0]), 1);

	/* All disabled, raised, enabled. */
	assert_int_equal(set_irqs(k, NONE | TRIGGER, MSIX, 0, 0, NULL, 0, NULL, 0), 0);
	assert_int_equal(k->fake.n_quiesce, 2);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 2, 1, NULL, 0, &fds[2], 1), 0);
	assert_int_equal(count_of(fds[2]), 1);

	/* A reset forgets what is kept and keeps what is installed. */
	vfu_irq_trigger(k->dev, 0);
	assert_int_equal(call(k, VFU_DEVICE_RESET, NULL, 0, &reply), 0);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, fds, 1), 0);
	assert_int_equal(count_of(fds[0]), 0);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(count_of(fds[2]), 1);

	/* So does the end of a session: nothing of it reaches the next client. */
	vfu_irq_trigger(k->dev, 1);
	client_close(k);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(count_of(fds[2]), 0);
	client_connect(k);
	client_hello(k);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, fds, 3), 0);
	assert_int_equal(count_of(fds[1]), 0);
	assert_int_equal(count_of(fds[2]), 0);
	close_all(fds, 3);
}

static void test_mask(void **state)
{
	struct kit *k = *state;
	static const uint8_t bools[3] = { 0, 1, 0 };
	int fds[3] = { new_eventfd(), new_eventfd(), new_eventfd() };

	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, fds, 3), 0);
	assert_int_equal(set_irqs(k, BOOL | MASK, MSIX, 0, 3, bools, 3, NULL, 0), 0);
	for (unsigned int i = 0; i < 3; i++)
		vfu_irq_trigger(k->dev, i);
	assert_int_equal(count_of(fds[0]), 1);
	assert_int_equal(count_of(fds[1]), 0);
	assert_int_equal(count_of(fds[2]), 1);
	/* A new eventfd while masked stays silent, too; the client's own trigger is kept as well. */
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 1, 1, NULL, 0, &fds[1], 1), 0);
	assert_int_equal(set_irqs(k, NONE | TRIGGER, MSIX, 1, 1, NULL, 0, NULL, 0), 0);
	assert_int_equal(count_of(fds[1]), 0);
	assert_int_equal(set_irqs(k, NONE | UNMASK, MSIX, 0, 3, NULL, 0, NULL, 0), 0);
	assert_int_equal(count_of(fds[1]), 1);
	assert_int_equal(count_of(fds[0]), 0);
	/* Masks end with the session. */
	assert_int_equal(set_irqs(k, NONE | MASK, MSIX, 0, 3, NULL, 0, NULL, 0), 0);
	client_close(k);
	client_connect(k);
	client_hello(k);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 3, NULL, 0, fds, 3), 0);
	vfu_irq_trigger(k->dev, 2);
	assert_int_equal(count_of(fds[2]), 1);
	close_all(fds, 3);
}

/* ---- eventfds replaced while a worker raises interrupts ---- */

struct worker {
	struct vfu_dev *dev;
	atomic_bool stop;
	atomic_uint epoch; /* the worker's boundary: it counts */
	atomic_ulong n_raised;
};

static struct worker worker;

static void *worker_main(void *arg)
{
	while (!atomic_load(&worker.stop)) {
		for (unsigned int i = 0; i < 50; i++)
			vfu_irq_trigger(worker.dev, i % 2);
		atomic_fetch_add(&worker.n_raised, 50);
		atomic_fetch_add(&worker.epoch, 1);
		sched_yield(); /* whoever waits for it may want this processor */
	}
	return NULL;
}

static void wait_for_worker(void *dev)
{
	unsigned int before = atomic_load(&worker.epoch);

	/* Two boundaries: the first may have been under way. */
	while (!atomic_load(&worker.stop) && atomic_load(&worker.epoch) - before < 2)
		sched_yield();
}

/* Every write reached an eventfd of ours: none was lost to a closed or reused number. */
static void test_replaced_under_fire(void **state)
{
	struct kit *k = *state;
	static struct vfu_dev_ops ops; /* as long as the device */
	struct vfu_stats stats;
	uint64_t sum = 0;
	pthread_t thread;
	int fds[2];

	ops = *k->dev->desc.ops;
	ops.quiesce = wait_for_worker;
	k->dev->desc.ops = &ops;
	worker.dev = k->dev;
	assert_int_equal(pthread_create(&thread, NULL, worker_main, NULL), 0);
	for (int round = 0; round < 200; round++) {
		fds[0] = new_eventfd();
		fds[1] = new_eventfd();
		assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 2, NULL, 0, fds, 2), 0);
		if (round % 3 == 0)
			assert_int_equal(set_irqs(k, NONE | TRIGGER, MSIX, 0, 0, NULL, 0, NULL, 0),
					 0);
		else
			assert_int_equal(
				set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 2, NULL, 0, NULL, 0), 0);
		sum += count_of(fds[0]) + count_of(fds[1]);
		close_all(fds, 2);
	}
	atomic_store(&worker.stop, true);
	pthread_join(thread, NULL);
	vfu_dev_stats(k->dev, &stats);
	assert_int_equal(stats.n_irqs, sum);
	assert_true(sum >= 200); /* each installation finds kept ones */
	assert_true(stats.n_irqs + stats.n_irqs_latched >= worker.n_raised);
	/* What is still kept arrives. */
	fds[0] = new_eventfd();
	fds[1] = new_eventfd();
	vfu_irq_trigger(k->dev, 0);
	assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 2, NULL, 0, fds, 2), 0);
	assert_int_equal(count_of(fds[0]), 1);
	close_all(fds, 2);
}

/* ---- one interrupt against one installation ---- */

struct duel {
	struct vfu_dev *dev;
	atomic_uint round; /* of the installer: the worker raises once in each */
	atomic_uint done;
};

static void *raise_once_a_round(void *arg)
{
	struct duel *duel = arg;

	for (unsigned int round = 1;; round++) {
		unsigned int now;

		while ((now = atomic_load(&duel->round)) < round)
			sched_yield();
		if (now == UINT_MAX)
			return NULL;
		for (volatile unsigned int delay = round * 37 % 4000; delay > 0; delay--)
			;
		vfu_irq_trigger(duel->dev, 0);
		atomic_store(&duel->done, round);
	}
}

/* However the two meet, the interrupt arrives, exactly once. */
static void test_raised_while_installed(void **state)
{
	struct kit *k = *state;
	struct duel duel = { .dev = k->dev };
	int fd = new_eventfd();
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, raise_once_a_round, &duel), 0);
	for (unsigned int round = 1; round <= 5000; round++) {
		atomic_store(&duel.round, round);
		assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, &fd, 1), 0);
		while (atomic_load(&duel.done) < round)
			sched_yield();
		assert_int_equal(count_of(fd), 1);
		assert_int_equal(set_irqs(k, EVENTFD | TRIGGER, MSIX, 0, 1, NULL, 0, NULL, 0), 0);
	}
	atomic_store(&duel.round, UINT_MAX);
	pthread_join(thread, NULL);
	close(fd);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup_agreed, kit_teardown)
	static const struct CMUnitTest tests[] = {
		T(test_info),
		T(test_refusals),
		T(test_only_eventfds),
		T(test_trigger),
		T(test_blocking_eventfd),
		T(test_kept),
		T(test_mask),
		T(test_replaced_under_fire),
		T(test_raised_while_installed),
	};

	return cmocka_run_group_tests_name("vfu irq", tests, NULL, NULL);
}
