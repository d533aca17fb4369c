/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The epoll loop of all devices. Each turn: wait without the lock, then take it, serve what is ready,
 * run due timers, release it. Everything is level-triggered, so events may be dropped and come again.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "vfu/internal.h"

#define N_EVENTS 64

struct vfu_loop *vfu_loop_new(void)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
	struct vfu_loop *loop = calloc(1, sizeof(*loop));
	int err;

	if (loop == NULL)
		return NULL;
	loop->now_ns = clock_ns;
	loop->deadline_ns = UINT64_MAX;
	LIST_INIT(&loop->devs);
	pthread_mutex_init(&loop->lock, NULL);
	pthread_mutex_init(&loop->gate, NULL);
	loop->wake_fd = -1;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		goto fail;
	loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake_fd < 0)
		goto fail;
	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->wake_fd, &ev) < 0)
		goto fail;
	return loop;
fail:
	err = errno;
	vfu_loop_free(loop);
	errno = err;
	return NULL;
}

void vfu_loop_free(struct vfu_loop *loop)
{
	if (loop == NULL)
		return;
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	pthread_mutex_destroy(&loop->gate);
	pthread_mutex_destroy(&loop->lock);
	free(loop);
}

/*
 * A mutex alone is unfair: a busy loop that releases it takes it again before a waiter has woken up.
 * Whoever waits for the lock holds the gate, and the loop has to pass the gate as well.
 */
void vfu_lock(struct vfu_loop *loop)
{
	pthread_mutex_lock(&loop->gate);
	pthread_mutex_lock(&loop->lock);
	pthread_mutex_unlock(&loop->gate);
}

void vfu_unlock(struct vfu_loop *loop)
{
	pthread_mutex_unlock(&loop->lock);
}

void vfu_loop_wake(struct vfu_loop *loop)
{
	uint64_t one = 1;
	ssize_t n = write(loop->wake_fd, &one, sizeof(one));

	(void)n; /* EAGAIN: it is readable already */
}

void vfu_loop_stop(struct vfu_loop *loop)
{
	int err = errno;

	atomic_store(&loop->stop, true);
	vfu_loop_wake(loop);
	errno = err;
}

/* The loop may be waiting for longer than until this timer, in another thread. */
void vfu_loop_arm(struct vfu_loop *loop, uint64_t deadline_ns)
{
	if (deadline_ns >= loop->deadline_ns)
		return;
	loop->deadline_ns = deadline_ns;
	vfu_loop_wake(loop);
}

static void run_kicks(struct vfu_loop *loop)
{
	struct vfu_dev *dev;
	uint64_t count;
	ssize_t n;

	/* Emptied before the flags are looked at: a kick that comes in between is seen now, and the
	 * wake-up it leaves behind finds nothing to do. */
	n = read(loop->wake_fd, &count, sizeof(count));
	(void)n;
	LIST_FOREACH(dev, &loop->devs, entry) {
		if (atomic_exchange(&dev->kicked, false) && dev->desc.ops->kicked != NULL)
			dev->desc.ops->kicked(dev->priv);
	}
}

static void run_timers(struct vfu_loop *loop)
{
	uint64_t now_ns = loop->now_ns();
	struct vfu_dev *dev;

	if (now_ns < loop->deadline_ns)
		return;
	loop->deadline_ns = UINT64_MAX;
	LIST_FOREACH(dev, &loop->devs, entry)
		vfu_dev_timers(dev, now_ns);
}

static int wait_ms(struct vfu_loop *loop, uint64_t deadline_ns, int timeout_ms)
{
	uint64_t now_ns, ms;

	if (deadline_ns == UINT64_MAX)
		return timeout_ms;
	now_ns = loop->now_ns();
	if (now_ns >= deadline_ns)
		return 0;
	ms = (deadline_ns - now_ns) / 1000000 + 1;
	if (timeout_ms >= 0 && ms > (uint64_t)timeout_ms)
		return timeout_ms;
	return ms > 60000 ? 60000 : (int)ms;
}

/* Returns the number of events served, or a negative errno. */
int vfu_loop_step(struct vfu_loop *loop, int timeout_ms)
{
	struct epoll_event events[N_EVENTS];
	uint64_t n_removed, deadline_ns;
	int n;

	vfu_lock(loop);
	n_removed = loop->n_removed;
	deadline_ns = loop->deadline_ns;
	vfu_unlock(loop);

	n = epoll_wait(loop->epoll_fd, events, N_EVENTS, wait_ms(loop, deadline_ns, timeout_ms));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;

	vfu_lock(loop);
	/* A device freed since the wait began may be among the events. */
	for (int i = 0; i < n && loop->n_removed == n_removed; i++) {
		struct vfu_watch *watch = events[i].data.ptr;

		if (watch == NULL)
			run_kicks(loop);
		else
			watch->ready(watch->dev, events[i].events);
	}
	run_timers(loop);
	vfu_unlock(loop);
	return n;
}

int vfu_loop_run(struct vfu_loop *loop)
{
	int r = 0;

	while (r >= 0 && !atomic_load(&loop->stop))
		r = vfu_loop_step(loop, -1);
	atomic_store(&loop->stop, false);
	return r < 0 ? r : 0;
}
