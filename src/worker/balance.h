/* SPDX-License-Identifier: BSD-3-Clause */
/* Which queues change workers so that no worker is full while another idles. Pure functions.
 *
 * Loads are shares of a core's time in 1/10000. The fullest worker that can be relieved gives to the
 * emptiest the queue that leaves the two closest together, again and again, until they are less
 * than BALANCE_GAP apart. Why this comes to rest:
 *  1. Only a queue whose load is clearly below the gap moves, so the worker that gets it ends up
 *     below what the giver had: the sum of the squares of the workers' loads falls with each move,
 *     and with steady loads no queue returns.
 *  2. A queue that is the whole load of its worker stays: moving it would only move the problem.
 *  3. A worker with less than BALANCE_BUSY is not relieved: it keeps up, and a move costs the
 *     caches of both.
 *  4. Loads are not steady, and a queue of a full worker shows less than it would take elsewhere. So
 *     the caller leaves alone (`fixed`) what moved a short while ago.
 */
#ifndef SOFTIOV_WORKER_BALANCE_H
#define SOFTIOV_WORKER_BALANCE_H

#include <stdbool.h>

#define BALANCE_FULL      10000 /* a core's whole time */
#define BALANCE_BUSY      2500
#define BALANCE_GAP       2000
#define BALANCE_GAIN      500 /* by which the fuller of the two must fall, unless the queue is small */
#define BALANCE_LOAD_MIN  20 /* queues below are not worth a move */
#define BALANCE_MOVES_MAX 8  /* in one interval */

struct balance_queue {
	unsigned int worker; /* balance_plan changes it to where the queue shall go */
	unsigned int load;
	bool fixed; /* pinned, or moved a short while ago */
};

/* Decides on at most BALANCE_MOVES_MAX moves and stores the queues' indices in moved[], in order.
 * Returns how many. Of equals the lowest index goes. */
unsigned int balance_plan(struct balance_queue *queue, unsigned int n_queues,
			  unsigned int n_workers, unsigned int moved[BALANCE_MOVES_MAX]);

#endif
