/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the tests of this folder share: a loop with one fake device, and a client that speaks bytes.
 *
 *   test (client)  --- Unix socket ---  vfu_loop, vfu_dev  --->  struct fake
 *
 * All in one thread: pump() lets the server handle whatever has arrived. Time is kit->now_ns.
 * kit_teardown() fails the test if a descriptor has leaked.
 */
#ifndef SOFTIOV_VFU_TESTKIT_H
#define SOFTIOV_VFU_TESTKIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/test_fds.h"
#include "base/test_folder.h"
#include "mem/mem.h"
#include "pci/pci.h"
#include "vfu/internal.h"

#define BAR0_SIZE   0x4000
#define BAR0_BAD    0x0ff0 /* the fake device answers -EIO here */
#define N_VECTORS   3
#define ROOM_CLIENT (VFU_MAX_MSG + 64)

struct fake {
	uint8_t regs[BAR0_SIZE];
	unsigned int n_reads, n_writes, n_quiesce, n_kicked, n_config;
	unsigned int n_resets[3]; /* by enum vfu_reset */
	unsigned int n_attached, n_detached;
	unsigned int config_events;
	void (*in_write)(void *arg); /* if set, called by region_write */
	void *arg;
	unsigned int last_region;
};

struct kit {
	char dir[TEST_FOLDER_SIZE], path[96];
	struct vfu_loop *loop;
	struct vfu_dev *dev;
	struct vfu_dev_desc desc;
	struct fake fake;
	struct mem *mem;
	struct pci_config config;
	struct pci_layout layout;
	int bar_fd;
	int fd; /* the client's, -1: none */
	uint16_t id;
	unsigned int n_fds_before;
};

struct reply {
	struct vfu_hdr hdr;
	uint8_t body[ROOM_CLIENT];
	size_t size; /* of the body */
	int fds[VFU_MAX_FDS];
	unsigned int n_fds;
};

extern uint64_t kit_now_ns; /* the loop's clock */

int kit_setup(void **state);        /* *state: a struct kit, its client not connected */
int kit_setup_agreed(void **state); /* connected, version negotiated */
int kit_teardown(void **state);

void pump(struct kit *k);
int new_memfd(size_t size);
int new_eventfd(void);

int client_connect(struct kit *k); /* a new connection, also put into k->fd if that is -1 */
void client_close(struct kit *k);
void client_hello(struct kit *k);
/* One message, in one sendmsg. Returns its id. */
uint16_t client_send(struct kit *k, uint16_t cmd, uint32_t flags, const void *body, size_t size,
		     const int *fds, unsigned int n_fds);
void send_bytes(int fd, const void *buf, size_t size, const int *fds, unsigned int n_fds);
/* The next message from the server; false if there is none (or the connection is closed). */
bool client_recv(int fd, struct reply *r);
bool client_eof(int fd);
/*
 * Sends, pumps, receives exactly one reply. Returns its body's size, or the negative errno it holds.
 * Checks everything that is true of every reply.
 */
int call_fds(struct kit *k, uint16_t cmd, const void *body, size_t size, const int *fds,
	     unsigned int n_fds, struct reply *r);
int call(struct kit *k, uint16_t cmd, const void *body, size_t size, struct reply *r);

int region_read(struct kit *k, uint32_t region, uint64_t offset, uint32_t count, void *buf);
int region_write(struct kit *k, uint32_t region, uint64_t offset, uint32_t count, const void *buf);

#endif
