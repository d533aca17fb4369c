/* SPDX-License-Identifier: BSD-3-Clause */
/* One frame on its way at a time: how long from the sender's tail to the receiver's descriptor. Both
 * ends are this thread, so one clock measures both. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "bench/client.h"

#define SAMPLES_MAX 2000000
#define LOST_S      0.1
#define LOST_MAX    100
#define REST_US_MIN 2000
#define REST_US_MAX 20000

/* Ordered against the loads and stores around it. */
static uint64_t now_cycles(void)
{
	uint64_t v;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	v = clock_cycles();
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return v;
}

static void send_one(struct port *p, uint32_t seq)
{
	struct stamp stamp = { .magic = STAMP_MAGIC, .seq = seq };

	while (p->ops->tx_room(p, 1) < 1)
		;
	stamp.tsc = now_cycles();
	memcpy(port_tx_frame(p, p->tx_next) + STAMP_AT, &stamp, sizeof(stamp));
	p->ops->tx_post(p, 1);
}

/* Cycles since frame `seq` was sent, 0 if it does not come. */
static uint64_t receive_one(struct port *p, uint32_t seq, uint64_t patience)
{
	uint64_t from = clock_cycles(), took = 0;
	struct port_frame frame[TAKE_MAX];

	while (took == 0) {
		uint32_t n = p->ops->rx_take(p, frame, 1, TAKE_MAX);
		uint64_t now;

		if (n == 0) {
			if (clock_cycles() - from > patience)
				return 0;
			continue;
		}
		now = now_cycles();
		for (uint32_t i = 0; i < n; i++) {
			struct stamp stamp;

			memcpy(&stamp, frame[i].va + STAMP_AT, sizeof(stamp));
			if (stamp.magic == STAMP_MAGIC && stamp.seq == seq)
				took = now - stamp.tsc;
		}
		p->ops->rx_return(p);
	}
	return took;
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static double at_share(const uint64_t *sample, uint64_t n, uint64_t per_mille)
{
	uint64_t idx = n * per_mille / 1000;

	return (double)sample[idx];
}

static void summarize(uint64_t *sample, uint32_t n, struct latency_result *r)
{
	double ns = 1e9 / (double)clock_hz();

	r->n = n;
	if (n == 0)
		return;
	qsort(sample, n, sizeof(*sample), compare);
	r->min_ns = (double)sample[0] * ns;
	r->p50_ns = at_share(sample, n, 500) * ns;
	r->p90_ns = at_share(sample, n, 900) * ns;
	r->p99_ns = at_share(sample, n, 990) * ns;
	r->p999_ns = at_share(sample, n, 999) * ns;
	r->max_ns = (double)sample[n - 1] * ns;
}

static void rest(unsigned int *seed)
{
	usleep(REST_US_MIN + (unsigned int)rand_r(seed) % (REST_US_MAX - REST_US_MIN));
}

int latency_run(struct client *c, struct latency_result *r)
{
	struct port *from = &c->port[0], *to = &c->port[1];
	uint64_t hz = clock_hz(), end, measure, patience = (uint64_t)(LOST_S * (double)hz);
	uint64_t *sample = malloc(SAMPLES_MAX * sizeof(*sample));
	unsigned int seed = 1;
	uint32_t n = 0;

	if (sample == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < c->plan.n_ring; i++) {
		frame_build(port_tx_frame(from, i), client_number(c, from), client_number(c, to), 0,
			    c->plan.size);
		from->ops->tx_set(from, i, c->plan.size, NULL);
	}
	measure = clock_cycles() + (uint64_t)(c->plan.warm_seconds * (double)hz);
	end = measure + (uint64_t)(c->plan.seconds * (double)hz);
	for (uint32_t seq = 0; clock_cycles() < end && n < SAMPLES_MAX && r->lost < LOST_MAX;
	     seq++) {
		uint64_t took;

		if (c->plan.mode == MODE_WAKE)
			rest(&seed);
		send_one(from, seq);
		took = receive_one(to, seq, patience);
		if (took == 0)
			r->lost++;
		else if (clock_cycles() > measure)
			sample[n++] = took;
	}
	summarize(sample, n, r);
	free(sample);
	return n > 0 ? 0 : -ETIMEDOUT;
}
