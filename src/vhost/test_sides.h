/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tests of this folder share: two front ends (or guests) A and B, and a worker that passes
 * each frame from one to the other.
 *
 *   front A --socket--> synthetic A <--> worker <--> synthetic B <--socket-- front B
 */
#ifndef SOFTIOV_VHOST_TEST_SIDES_H
#define SOFTIOV_VHOST_TEST_SIDES_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/test_folder.h"
#include "vhost/front.h"
#include "vhost/vhost.h"

#define V1         (1ull << VIRTIO_F_VERSION_1)
#define MRG        (1ull << VIRTIO_NET_F_MRG_RXBUF)
#define FEATURES   (V1 | MRG | 1ull << VIRTIO_RING_F_EVENT_IDX)
#define LOG_ALL    (1ull << 26)
#define FRAME_SIZE 100u
#define HDR_SIZE   12u
#define BUFFER     2048u
#define WAIT_MS    60000 /* on a machine that is busy with something else */

/* One side: a synthetic, and the guest that uses it. */
struct side {
	struct vhost *vhost;
	char path[100];
	struct front front;
	atomic_uint n_states;
	enum vhost_state states[64]; /* all that the upcall told, in order */
	/* The guest's driver. */
	bool packed;               /* before driver_reset */
	uint64_t tx_iova, rx_iova; /* of FRONT_RING_SIZE buffers each */
	uint16_t n_sent, n_done;
	bool posted[FRONT_RING_SIZE]; /* receive buffer i is with the device */
	unsigned int n_pairs;
	uint32_t next_seq; /* what it has to get next, at least */
	unsigned int n_received, n_skipped;
};

extern struct side sides[2];
extern char folder[TEST_FOLDER_SIZE]; /* for sockets */
extern const struct vhost_upcalls side_upcalls;

/* Polls until `what` is so. */
#define wait_for(what)                                                    \
	do {                                                              \
		uint64_t wait_until = clock_ns() + WAIT_MS * 1000000ull;  \
		bool is_so;                                               \
                                                                          \
		while (!(is_so = (what)) && clock_ns() < wait_until)      \
			usleep(100);                                      \
		if (!is_so)                                               \
			fail_msg("line %d: not so: %s", __LINE__, #what); \
	} while (0)

/* EAL, the worker, the tests, and down again; what main returns. */
int run_sides(const struct CMUnitTest *tests, size_t n);
/* Before and after each test: both sides listen, with empty rings. */
int setup(void **state);
int teardown(void **state);
#define with_sides(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
/* The same with SIDE_PAIRS pairs of rings each; driver_* use the first. */
#define SIDE_PAIRS 4u
int setup_pairs(void **state);
/* The same with packed rings. */
int setup_packed(void **state);
#define with_packed_sides(test)                                        \
	{                                                              \
#test " (packed)", test, setup_packed, teardown, NULL, \
	}

void quiesce(void *arg);
/* cmocka takes SIGBUS for itself before each test. */
void guard_on(void);
void side_listen(struct side *s);
void side_close(struct side *s);
/* Connects and starts; returns when the synthetic runs. */
void side_run(struct side *s, uint64_t features);

/* Empty rings from `idx` on, all receive buffers offered. */
void driver_reset(struct side *s, uint16_t idx);
/* Sends the frame with number `seq`; false while the ring is full. */
bool driver_send(struct side *s, uint32_t seq);
/* Takes what came: numbers rise, contents are whole, buffers come back once. */
void driver_receive(struct side *s);
/* Throws away what came, whatever it is. */
void driver_drain(struct side *s);
/* n frames from A to B, then from B to A; none is lost. */
void both_ways(uint32_t n);

#endif
