/* SPDX-License-Identifier: BSD-3-Clause */
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "bench/client.h"

#define HELLO_FRAMES 32 /* a whole group, so that a VF's report comes */
#define HELLO_S      5
#define QUIET_MS     30
/* Descriptors of a VF's slot: a context and one of data; or seven, so that each has at most 10 KiB of a
 * large send, and the headers of a short frame lie in several. */
#define SMALL_DESCS 2
#define LARGE_DESCS 8

static const char usage[] =
	"usage: client [OPTION]... PORT PORT...\n"
	"Sends and receives frames through a switch, at the level of the rings, on one core.\n"
	"A PORT is vf:PATH (vfio-user, an 82599's VF), vio:PATH (vhost-user, virtio-net), or packed:PATH\n"
	"(the same with packed rings). An odd last one takes what comes, such as what is mirrored to it.\n"
	"\n"
	"  --mode MODE     uni, bidir, flood, latency, wake or hold (uni)\n"
	"  --size BYTES    of a frame, without FCS, 60 to 1518 (64); large sends: to 65536\n"
	"  --seconds S     how long to measure (1)\n"
	"  --warm S        how long to run before (0.2)\n"
	"  --frames N      stop after so many from each sender (0: by time)\n"
	"  --flows N       UDP flows of each sender (1)\n"
	"  --queues N      receive queues of an X550's VF or of virtio-net, by RSS, among which a ring's entries are\n"
	"                  divided (0: one, and no RSS)\n"
	"  --ring N        entries of each ring, a power of two from 128 on (1024)\n"
	"  --batch N       frames posted and returned at once, up to an eighth of a ring (32)\n"
	"  --first N       number of the first port: it has the address 02:00:00:00:00:01 + N (0)\n"
	"  --nap US        sleep so long when there is nothing to do (0: poll)\n"
	"  --cpu N         run on this processor\n"
	"  --verify        check headers, length, content and order of every frame\n"
	"  --offload KIND  ask for csum, tso, vlan or mix (of these), and verify what arrives (none)\n"
	"  --takes WHAT    virtio receivers take finished frames, csum to be done, or whole large\n"
	"                  sends (whole)\n"
	"  --touch         read the first byte of every received frame\n";

static const char *const mode_names[] = {
	[MODE_UNI] = "uni",         [MODE_BIDIR] = "bidir", [MODE_FLOOD] = "flood",
	[MODE_LATENCY] = "latency", [MODE_WAKE] = "wake",   [MODE_HOLD] = "hold",
};

static const char *const takes_names[] = {
	[GUEST_FINISHED] = "finished",
	[GUEST_CSUM] = "csum",
	[GUEST_WHOLE] = "whole",
};

static void give_up(const char *text, const char *what)
{
	warnx("%s: %s", what, text);
	exit(2);
}

static double number(const char *text, const char *option, double least, double most)
{
	char *end;
	double v = strtod(text, &end);

	if (*text == '\0' || *end != '\0' || !(v >= least && v <= most))
		give_up("no such value", option);
	return v;
}

static unsigned int word(const char *text, const char *option, const char *const *names,
			 unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (strcmp(text, names[i]) == 0)
			return i;
	give_up("no such value", option);
	return 0;
}

enum option_id {
	OPT_MODE = 256,
	OPT_SIZE,
	OPT_SECONDS,
	OPT_WARM,
	OPT_FRAMES,
	OPT_FLOWS,
	OPT_QUEUES,
	OPT_RING,
	OPT_BATCH,
	OPT_FIRST,
	OPT_NAP,
	OPT_CPU,
	OPT_VERIFY,
	OPT_OFFLOAD,
	OPT_TAKES,
	OPT_TOUCH,
};

static const struct option options[] = {
	{ "mode", required_argument, NULL, OPT_MODE },
	{ "size", required_argument, NULL, OPT_SIZE },
	{ "seconds", required_argument, NULL, OPT_SECONDS },
	{ "warm", required_argument, NULL, OPT_WARM },
	{ "frames", required_argument, NULL, OPT_FRAMES },
	{ "flows", required_argument, NULL, OPT_FLOWS },
	{ "queues", required_argument, NULL, OPT_QUEUES },
	{ "ring", required_argument, NULL, OPT_RING },
	{ "batch", required_argument, NULL, OPT_BATCH },
	{ "first", required_argument, NULL, OPT_FIRST },
	{ "nap", required_argument, NULL, OPT_NAP },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "verify", no_argument, NULL, OPT_VERIFY },
	{ "offload", required_argument, NULL, OPT_OFFLOAD },
	{ "takes", required_argument, NULL, OPT_TAKES },
	{ "touch", no_argument, NULL, OPT_TOUCH },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static void set_option(struct plan *p, int option, const char *value)
{
	switch (option) {
	case OPT_MODE:
		p->mode = (enum mode)word(value, "--mode", mode_names, ARRAY_SIZE(mode_names));
		break;
	case OPT_SIZE:
		p->size = (uint32_t)number(value, "--size", FRAME_SIZE_LEAST, OFFLOAD_SIZE_MOST);
		break;
	case OPT_SECONDS:
		p->seconds = number(value, "--seconds", 0, 86400);
		break;
	case OPT_WARM:
		p->warm_seconds = number(value, "--warm", 0, 60);
		break;
	case OPT_FRAMES:
		p->n_frames = (uint64_t)number(value, "--frames", 0, 1e15);
		break;
	case OPT_FLOWS:
		p->n_flows = (uint32_t)number(value, "--flows", 1, FLOWS_MOST);
		break;
	case OPT_QUEUES:
		p->n_queues = (uint32_t)number(value, "--queues", 0, RX_QUEUES_MAX);
		break;
	case OPT_RING:
		p->n_ring = (uint32_t)number(value, "--ring", 128, 32768);
		break;
	case OPT_BATCH:
		p->batch = (uint32_t)number(value, "--batch", 1, TAKE_MAX);
		break;
	case OPT_FIRST:
		p->first = (unsigned int)number(value, "--first", 0, 60000);
		break;
	case OPT_NAP:
		p->nap_us = (uint32_t)number(value, "--nap", 0, 1e6);
		break;
	case OPT_CPU:
		p->cpu = (int)number(value, "--cpu", 0, CPU_SETSIZE - 1);
		break;
	case OPT_VERIFY:
		p->verify = true;
		break;
	case OPT_OFFLOAD:
		p->offload = (enum offload)word(value, "--offload", offload_names, OFFLOAD_N);
		p->verify |= p->offload != OFFLOAD_NONE;
		break;
	case OPT_TAKES:
		p->takes = (enum guest_takes)word(value, "--takes", takes_names,
						  ARRAY_SIZE(takes_names));
		break;
	case OPT_TOUCH:
		p->touch = true;
		break;
	case 'h':
		printf("%s", usage);
		exit(0);
	default:
		exit(2);
	}
}

static bool has_large_sends(enum offload set)
{
	return set == OFFLOAD_TSO || set == OFFLOAD_MIX;
}

static void check_offload(const struct plan *p)
{
	if (p->size > FRAME_SIZE_MOST && !has_large_sends(p->offload))
		give_up("no such value", "--size");
	if (p->offload == OFFLOAD_NONE)
		return;
	if (p->mode != MODE_UNI && p->mode != MODE_BIDIR)
		give_up("wants --mode uni or bidir", "--offload");
	if (p->n_ring / offload_buffers(p->offload, p->size) < 3 * p->batch)
		give_up("too small for what such large sends are cut into, or --batch too large",
			"--ring");
}

static void check(const struct plan *p, int n_ports)
{
	check_offload(p);
	if (!is_pow2(p->n_ring))
		give_up("must be a power of two", "--ring");
	if (p->n_queues != 0 && !is_pow2(p->n_queues))
		give_up("must be a power of two", "--queues");
	if (p->batch > p->n_ring / (p->n_queues != 0 ? p->n_queues : 1) / 8)
		give_up("must be at most an eighth of a queue's share of --ring", "--batch");
	if (p->verify && p->first + (unsigned int)n_ports > PORTS_MAX)
		give_up("too high for --verify", "--first");
	if ((p->verify || p->offload != OFFLOAD_NONE) && p->n_flows > FLOWS_MAX)
		give_up("too many for --verify and --offload", "--flows");
	if (n_ports > PORTS_MAX)
		give_up("too many", "PORT");
	if (n_ports < (p->mode == MODE_HOLD ? 1 : 2))
		give_up("too few", "PORT");
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		give_up(strerror(errno), "--cpu");
}

/* Who hears port i's hello: the other one of its pair; with one sender, the sender. */
static unsigned int hello_to(const struct client *c, unsigned int i)
{
	if (c->plan.mode == MODE_FLOOD)
		return i == 0 ? 1 : 0;
	return i ^ 1;
}

static int hello(struct client *c, unsigned int i)
{
	struct port *p = &c->port[i];
	uint64_t end = clock_ns() + HELLO_S * 1000000000ull;

	for (uint32_t k = 0; k < p->n_ring; k++) {
		frame_build_hello(port_tx_frame(p, k), client_number(c, p),
				  client_number(c, &c->port[hello_to(c, i)]));
		p->ops->tx_set(p, k, HELLO_SIZE, NULL);
	}
	p->ops->tx_post(p, HELLO_FRAMES);
	while (p->ops->tx_room(p, p->tx_all) < p->tx_all) {
		if (clock_ns() > end) {
			warnx("nobody takes what port %u sends", i);
			return -ETIMEDOUT;
		}
		usleep(20);
	}
	return 0;
}

/* What is left of the hellos must not be counted as traffic. */
static void forget_hellos(struct client *c)
{
	uint64_t last = clock_ns();

	while (clock_ns() - last < QUIET_MS * 1000000ull)
		for (unsigned int i = 0; i < c->n_ports; i++) {
			struct port_frame frame[TAKE_MAX];
			struct port *p = &c->port[i];

			if (p->ops->rx_take(p, frame, 1, TAKE_MAX) > 0)
				last = clock_ns();
			p->ops->rx_return(p);
		}
}

int client_hello(struct client *c)
{
	int ret = 0;

	for (unsigned int i = 0; i < c->n_ports && ret == 0; i++)
		ret = hello(c, i);
	forget_hellos(c);
	return ret;
}

static void print_stream(const struct client *c, const struct stream_result *r)
{
	const struct verdict *v = &r->verdict;

	printf("{\"mode\": \"%s\", \"size\": %u, \"seconds\": %.4f, \"sent\": %llu, "
	       "\"received\": %llu, \"mpps\": %.4f, \"ring_full_pct\": %.2f, \"cpu_pct\": %.1f, "
	       "\"huge\": %s",
	       mode_names[c->plan.mode], c->plan.size, r->seconds, (unsigned long long)r->sent,
	       (unsigned long long)r->received, (double)r->received / r->seconds / 1e6,
	       r->tried == 0 ? 0.0 : 100.0 * (double)r->refused / (double)r->tried,
	       100 * r->cpu_share, c->port[0].memory.huge ? "true" : "false");
	if (c->plan.verify)
		printf(", \"good\": %llu, \"lost\": %llu, \"reordered\": %llu, \"damaged\": %llu, "
		       "\"undelivered\": %llu",
		       (unsigned long long)v->good, (unsigned long long)v->lost,
		       (unsigned long long)v->reordered, (unsigned long long)v->damaged,
		       (unsigned long long)r->undelivered);
	printf("}\n");
}

static void print_latency(const struct client *c, const struct latency_result *r)
{
	printf("{\"mode\": \"%s\", \"size\": %u, \"n\": %u, \"lost\": %u, \"min_ns\": %.0f, "
	       "\"p50_ns\": %.0f, \"p90_ns\": %.0f, \"p99_ns\": %.0f, \"p999_ns\": %.0f, "
	       "\"max_ns\": %.0f}\n",
	       mode_names[c->plan.mode], c->plan.size, r->n, r->lost, r->min_ns, r->p50_ns,
	       r->p90_ns, r->p99_ns, r->p999_ns, r->max_ns);
}

/* Frames that are wrong make the run fail, whatever it measured. */
static int run(struct client *c)
{
	struct stream_result stream = { 0 };
	struct latency_result latency = { 0 };
	int ret;

	if (c->plan.mode == MODE_HOLD) {
		printf("ready\n");
		(void)fflush(stdout);
		usleep((useconds_t)(c->plan.seconds * 1e6));
		return 0;
	}
	ret = client_hello(c);
	if (ret < 0)
		return ret;
	if (c->plan.mode == MODE_LATENCY || c->plan.mode == MODE_WAKE) {
		ret = latency_run(c, &latency);
		print_latency(c, &latency);
		return ret;
	}
	ret = stream_run(c, &stream);
	print_stream(c, &stream);
	if (stream.verdict.damaged != 0 || stream.verdict.reordered != 0)
		ret = -EBADMSG;
	return ret;
}

static struct port_setup setup_of(const struct plan *p)
{
	struct port_setup setup = {
		.n_ring = p->n_ring,
		.slot_size = SLOT_SIZE,
		.n_descs = 1,
		.n_queues = p->n_queues != 0 ? p->n_queues : 1,
		.rss = p->n_queues != 0,
	};

	if (p->offload == OFFLOAD_NONE)
		return setup;
	setup.offload = true;
	setup.takes = p->takes;
	setup.vid = offload_has_tags(p->offload) ? OFFLOAD_VID : 0;
	setup.n_descs = has_large_sends(p->offload) ? LARGE_DESCS : SMALL_DESCS;
	if (p->size > FRAME_SIZE_MOST)
		setup.slot_size = OFFLOAD_SLOT_SIZE;
	return setup;
}

int main(int argc, char **argv)
{
	static struct client c = { .plan = { .size = 64,
					     .takes = GUEST_WHOLE,
					     .n_ring = 1024,
					     .batch = 32,
					     .n_flows = 1,
					     .seconds = 1,
					     .warm_seconds = 0.2,
					     .cpu = -1 } };
	struct port_setup setup;
	int option, ret = 0;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		set_option(&c.plan, option, optarg);
	check(&c.plan, argc - optind);
	if (c.plan.cpu >= 0)
		pin(c.plan.cpu);
	clock_hz();
	setup = setup_of(&c.plan);
	for (int i = optind; i < argc && ret == 0; i++) {
		ret = port_open(&c.port[c.n_ports], c.n_ports, argv[i], &setup);
		if (ret == 0)
			c.n_ports++;
	}
	if (ret == 0)
		ret = run(&c);
	if (ret < 0)
		warnx("%s", strerror(-ret));
	for (unsigned int i = 0; i < c.n_ports; i++)
		port_close(&c.port[i]);
	return ret < 0 ? 1 : 0;
}
