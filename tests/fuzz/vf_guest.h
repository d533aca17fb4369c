/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM with a VF: its memory in several kinds of windows, with canaries around them, and a driver that does
 * all well. A target does the rest through `vf`, `pages` and `file`.
 *
 * The file behind the windows:  canary | RAM | canary | ROM | canary | ODD, canary | HIGH | canary
 * ODD ends within a page, so that a byte too many is seen at once; HIGH ends with the address space. Pages
 * that cannot be touched lie around each window's mapping. One more window has no file and is reached by
 * messages (vf_upcalls), which are answered when the target says so. */
#ifndef SOFTIOV_TESTS_FUZZ_VF_GUEST_H
#define SOFTIOV_TESTS_FUZZ_VF_GUEST_H

#include "dev/intelvf/intelvf.h"
#include "fuzz.h"

enum vf_window {
	WINDOW_RAM,
	WINDOW_ROM,
	WINDOW_ODD,
	WINDOW_HIGH,
	WINDOW_MSG,
	WINDOWS
};

struct window_place {
	uint64_t iova, size;
	uint32_t file_at; /* 0: no file */
	uint32_t prot;
};
extern const struct window_place window_place[WINDOWS];

#define VF_N_DESC 64u
#define VF_RAM_AT 0x40000000ull
/* In RAM: the rings of queue q, what is sent, receive buffers. */
#define VF_RX_RING(q) (VF_RAM_AT + (uint64_t)(q)*0x400)
#define VF_TX_RING(q) (VF_RAM_AT + 0x2000 + (uint64_t)(q)*0x400)
#define VF_DATA       (VF_RAM_AT + 0x4000)
#define VF_DATA_SIZE  0x10000u
#define VF_BUFS       (VF_RAM_AT + 0x14000)
#define VF_BUF_SIZE   2048u

#define VF_FILE_SIZE 0x49000u

struct vf_message {
	bool write;
	uint64_t iova;
	uint8_t *buf; /* of a write: a copy */
	size_t size;
	vf_dma_done *done;
	void *arg;
};

struct vf_guest {
	struct vf *vf;
	struct intelvf *dev;
	struct mem *mem;
	int fd;
	uint8_t *file;            /* all of it, through a mapping of its own */
	uint8_t *pages;           /* the queue pages, as a VMM maps them */
	uint8_t *msg;             /* behind WINDOW_MSG */
	uint8_t *mapped[WINDOWS]; /* the window's mapping, or NULL */
	void *fence[WINDOWS][2];  /* the pages before and behind it */
	bool is_mapped[WINDOWS];
	struct vf_message message[VF_DMA_QUEUED];
	unsigned int n_messages;
	bool kicked, macs_changed;
	unsigned int n_irqs;
	/* The driver's. */
	unsigned int tx_at, rx_at;
};

void vf_guest_new(struct vf_guest *g, const char *model, unsigned int n_queues,
		  const struct vf_policy *policy);
void vf_guest_free(struct vf_guest *g);
/* As after vf_guest_new, but for the counters: reset from outside, memory empty and mapped. */
void vf_guest_restart(struct vf_guest *g, const struct vf_policy *policy);

void vf_guest_map(struct vf_guest *g, enum vf_window window);
void vf_guest_unmap(struct vf_guest *g, enum vf_window window);
/* Memory that no window shows is as it was, and so is what is read-only. */
void vf_guest_check_canaries(const struct vf_guest *g);

/* NULL: not in RAM, or less than `size`. */
uint8_t *vf_guest_va(struct vf_guest *g, uint64_t iova, uint64_t size);
uint32_t *vf_guest_rx_word(struct vf_guest *g, unsigned int q, uint32_t offset);
uint32_t *vf_guest_tx_word(struct vf_guest *g, unsigned int q, uint32_t offset);
void vf_guest_write(struct vf_guest *g, uint32_t offset, uint32_t value);
uint32_t vf_guest_read(struct vf_guest *g, uint32_t offset);
/* Carries out message `n` and calls back with `err`. */
void vf_guest_answer(struct vf_guest *g, unsigned int n, int err);
/* The vf_ops.kicked that was asked for, if it was. */
void vf_guest_kicked(struct vf_guest *g);

/* --- the driver --- */

/* Sends a request and takes the reply's 16 words. False: there is none. */
bool vf_guest_mbox(struct vf_guest *g, const uint32_t *msg, unsigned int n, uint32_t *reply);
/* By its own means: VFCTRL.RST, mailbox, and queue 0 with all buffers posted. */
void vf_guest_up(struct vf_guest *g);
void vf_guest_send(struct vf_guest *g, const uint8_t *bytes, uint32_t size);
/* Takes the oldest received frame into buf, of VF_BUF_SIZE bytes, and posts its buffer again; its size, 0 if
 * there is none. */
uint32_t vf_guest_receive(struct vf_guest *g, uint8_t *buf);

#endif
