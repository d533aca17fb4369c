/* SPDX-License-Identifier: BSD-3-Clause */
/* The benchmark's client: several ports and one core. client.c reads the command line and prints the
 * result, flood of frames in stream.c, single frames in latency.c. */
#ifndef SOFTIOV_BENCH_CLIENT_H
#define SOFTIOV_BENCH_CLIENT_H

#include "bench/offload.h"
#include "bench/port.h"
#include "bench/traffic.h"

#define PORTS_MAX PORT_NUMBERS

enum mode {
	MODE_UNI,     /* each even port to the odd one behind it */
	MODE_BIDIR,   /* and back */
	MODE_FLOOD,   /* port 0 to all, by broadcast */
	MODE_LATENCY, /* port 0 to port 1, one frame at a time */
	MODE_WAKE,    /* the same after some ms without traffic */
	MODE_HOLD,    /* nothing: ports are attached */
};

struct plan {
	enum mode mode;
	uint32_t size;
	uint32_t n_ring;
	uint32_t batch;
	uint32_t n_flows;
	uint32_t n_queues; /* of each receiver, with RSS; 0: one, without */
	double seconds, warm_seconds;
	uint64_t n_frames;  /* 0: until the time is over */
	uint32_t nap_us;    /* to sleep when there was nothing to do; 0: poll */
	unsigned int first; /* number of the first port, as addresses have it */
	int cpu;
	bool verify;
	enum offload offload;
	enum guest_takes takes;
	bool touch; /* the receiver reads each frame's first line */
};

struct client {
	struct plan plan;
	unsigned int n_ports;
	struct port port[PORTS_MAX];
};

/* What a run of uni, bidir and flood came to. Frames are those of the measured time. */
struct stream_result {
	double seconds;
	uint64_t sent, received;
	uint64_t tried,
		refused;      /* frames that were to be sent, and that the ring had no room for */
	uint64_t undelivered; /* verify: sent in all and never received */
	double cpu_share;     /* of the client's core, that it had */
	struct verdict verdict;
};
int stream_run(struct client *c, struct stream_result *result);

struct latency_result {
	uint32_t n;
	uint32_t lost;
	double min_ns, p50_ns, p90_ns, p99_ns, p999_ns, max_ns;
};
int latency_run(struct client *c, struct latency_result *result);

/* Has each port send a few frames to the one that it will hear from, so that a learning switch knows
 * where it is, and waits until they have come. -ETIMEDOUT: nobody takes frames from a ring. */
int client_hello(struct client *c);
static inline uint16_t client_number(const struct client *c, const struct port *p)
{
	return (uint16_t)(c->plan.first + p->idx);
}

#endif
