/* SPDX-License-Identifier: BSD-3-Clause */
/* softiovd: start, the control thread's loop, stop. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/runtime.h"
#include "mem/mem.h"
#include "model/text.h"
#include "softiov/api.h"

#define TICK_S      1
#define RETRY_TICKS 5 /* objects with a problem are tried again so often */
#define LOOK_MS     2ull

struct daemon {
	struct options options;
	struct runtime runtime;
	struct backend backend;
	struct events *events;
	struct store *store;
	struct mgmt *mgmt;
	struct api_server *api;
	int epoll_fd, signal_fd, timer_fd;
	int look_fd;        /* timer: look what changed below, later */
	uint64_t looked_ns; /* last time it was done */
	unsigned int ticks;
	bool eal; /* DPDK's environment is up */
	bool stop;
};

static int fail(const char *what, const char *text)
{
	log_err(what, "%s", text);
	return -1;
}

static int fail_refused(const char *what, const struct refusal *why)
{
	char line[REFUSAL_LINE_SIZE];

	return fail(what, refusal_line(why, line, sizeof(line)));
}

static int watch(struct daemon *d, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* Signals come through a file: they are blocked here, before any thread is made. */
static int open_loop(struct daemon *d)
{
	struct itimerspec tick = { .it_interval.tv_sec = TICK_S, .it_value.tv_sec = TICK_S };
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGTERM);
	(void)signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -1;
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	d->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	d->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	d->look_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (d->epoll_fd < 0 || d->signal_fd < 0 || d->timer_fd < 0 || d->look_fd < 0 ||
	    timerfd_settime(d->timer_fd, 0, &tick, NULL) < 0)
		return -1;
	if (watch(d, d->signal_fd) < 0 || watch(d, d->timer_fd) < 0 || watch(d, d->look_fd) < 0)
		return -1;
	return 0;
}

static bool hugepages_free(void)
{
	FILE *f = fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
	unsigned long n = 0;

	/* DPDK's environment takes what it needs in 2 MiB pages: 128 of them are plenty. */
	if (f == NULL || fscanf(f, "%lu", &n) != 1)
		n = 0;
	if (f != NULL)
		(void)fclose(f);
	return n >= 128;
}

static int start(struct daemon *d)
{
	struct refusal why = REFUSAL_INIT;
	struct api_options api = { .group = d->options.group[0] != '\0' ? d->options.group : NULL };
	struct err err = { 0 };
	char path[128];
	int ret;

	if (open_loop(d) < 0)
		return fail("daemon", strerror(errno));
	/* The store first: it is what may be somebody else's, and it is left untouched then. */
	d->store = store_open(d->options.state_dir, &why);
	if (d->store == NULL)
		return fail_refused("store", &why);
	ret = mem_guard_init();
	if (ret == 0)
		ret = uplink_eal_init("softiovd", d->options.hugepages && hugepages_free());
	if (ret < 0)
		return fail("dpdk", strerror(-ret));
	d->eal = true;
	vhost_init(d->options.log_level == LOG_LEVEL_DEBUG);
	d->events = events_new();
	if (d->events == NULL)
		return fail("daemon", "out of memory");
	if (runtime_start(&d->runtime, &d->options, d->events, &err) < 0)
		return fail("daemon", err.text);
	runtime_backend(&d->runtime, &d->backend);
	d->mgmt = mgmt_new(&softiov_schema, d->store, &d->backend, d->events);
	if (d->mgmt == NULL)
		return fail("daemon", "out of memory");
	text_put(path, sizeof(path), "%s/%s", d->options.run_dir, SOFTIOV_SOCKET_NAME);
	api.path = path;
	api.mgmt = d->mgmt;
	api.events = d->events;
	d->api = api_listen(&api, &why);
	if (d->api == NULL)
		return fail_refused("api", &why);
	if (mgmt_start(d->mgmt, &why) < 0)
		return fail_refused("store", &why);
	if (watch(d, api_fd(d->api)) < 0 || watch(d, d->runtime.wake_fd) < 0)
		return fail("daemon", strerror(errno));
	return 0;
}

static void stop(struct daemon *d)
{
	if (d->api != NULL)
		api_close(d->api);
	if (d->mgmt != NULL) {
		mgmt_stop(d->mgmt);
		mgmt_free(d->mgmt);
	}
	if (d->runtime.options != NULL)
		runtime_stop(&d->runtime);
	events_free(d->events);
	if (d->store != NULL)
		store_close(d->store);
	if (d->eal)
		uplink_eal_fini();
}

/* What happens below wakes control (runtime_wake). Guests can cause it without end, so it is looked at
 * every LOOK_MS at most; in between the eventfd is not watched. */
static void watch_wake(struct daemon *d, bool on)
{
	struct epoll_event event = { .events = on ? EPOLLIN : 0, .data.fd = d->runtime.wake_fd };

	if (epoll_ctl(d->epoll_fd, EPOLL_CTL_MOD, d->runtime.wake_fd, &event) < 0)
		log_err("daemon", "cannot watch the workers' side: %s", strerror(errno));
}

static void look(struct daemon *d)
{
	runtime_changed(&d->runtime);
	d->looked_ns = clock_ns();
}

static void on_wake(struct daemon *d)
{
	struct itimerspec later = { .it_value.tv_nsec = LOOK_MS * 1000000 };

	if (clock_ns() - d->looked_ns >= LOOK_MS * 1000000 ||
	    timerfd_settime(d->look_fd, 0, &later, NULL) < 0)
		look(d);
	else
		watch_wake(d, false);
}

static void on_look(struct daemon *d)
{
	uint64_t n;

	if (read(d->look_fd, &n, sizeof(n)) < 0)
		return;
	look(d);
	watch_wake(d, true);
}

static void on_tick(struct daemon *d)
{
	uint64_t n;

	if (read(d->timer_fd, &n, sizeof(n)) < 0)
		return;
	runtime_tick(&d->runtime);
	if (++d->ticks % RETRY_TICKS == 0)
		mgmt_retry(d->mgmt);
}

static void on_signal(struct daemon *d)
{
	struct signalfd_siginfo info;

	if (read(d->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	log_info("daemon", "%s: stopping", strsignal((int)info.ssi_signo));
	d->stop = true;
}

static void loop(struct daemon *d)
{
	struct epoll_event events[8];

	while (!d->stop) {
		int n = epoll_wait(d->epoll_fd, events, ARRAY_SIZE(events), -1);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == d->signal_fd)
				on_signal(d);
			else if (fd == d->timer_fd)
				on_tick(d);
			else if (fd == d->runtime.wake_fd)
				on_wake(d);
			else if (fd == d->look_fd)
				on_look(d);
			else
				api_poll(d->api);
		}
	}
}

int main(int argc, char **argv)
{
	static struct daemon d; /* the runtime is large */
	struct err err = { 0 };
	int ret;

	if (options_parse(&d.options, argc, argv, &err) < 0) {
		(void)fprintf(stderr, "softiovd: %s\n", err.text);
		return 2;
	}
	if (d.options.done)
		return 0;
	log_set_level((enum log_level)d.options.log_level);
	ret = start(&d);
	if (ret == 0) {
		log_info("daemon", "softiovd " SOFTIOV_VERSION " is ready: %s/%s",
			 d.options.run_dir, SOFTIOV_SOCKET_NAME);
		sd_notify(0, "READY=1");
		loop(&d);
		sd_notify(0, "STOPPING=1");
	}
	stop(&d);
	return ret == 0 ? 0 : 1;
}
