/* SPDX-License-Identifier: BSD-3-Clause */
/* A capture: frames of some ports, with what became of them, as a pcapng stream to whoever reads it.
 *
 *   workers -- a ring each --> the capture's thread -- a socket --> its reader (the command line)
 *
 * Workers never wait: a frame that finds its ring full is counted as lost. The thread waits for the reader for as long
 * as it takes; when the reader goes, the capture ends by itself. A reader that shuts down its side of the socket for
 * writing gets what is in the rings, and then the end: so it need not wait for control. Files are the reader's business: it writes
 * them with its user's rights, and what goes wrong there ends the capture as any other end of the reader does.
 *
 * A frame is recorded as its sender left it: checksums and large sends that it leaves to the adapter are not done yet.
 * Addresses, type and tag are those that were decided on, and headers those that are delivered (frame/flow.h). Each
 * port is an interface for each of its paths, so that a packet's interface says both.
 *
 * Life: capture_new, capture_run, then capture_port for each port, whose tap control puts into the port's chain;
 * once no worker can see the taps any more capture_end; `ended` is called when the thread is done; capture_free.
 *
 * Control calls everything here but the taps.
 */
#ifndef SOFTIOV_CAPTURE_CAPTURE_H
#define SOFTIOV_CAPTURE_CAPTURE_H

#include "base/errtext.h"
#include "switch/switch.h"

#define CAPTURE_SNAPLEN_MAX FRAME_SIZE_MAX
#define CAPTURE_PORTS_MAX   4096
#define CAPTURE_UNREAD      "its reader did not read the rest"

struct capture;

struct capture_options {
	const char *filter; /* an expression of libpcap; "": all frames */
	bool drops_only;    /* only those that went no further */
	uint32_t snaplen;   /* bytes of each frame that are kept */
	unsigned int n_workers;
	unsigned int farewell_ms; /* that its reader has for the rest, once it is to end */
	/* The capture has ended, or is about to: by the thread, once. */
	void (*ended)(void *arg);
	void *arg;
};

/* -EINVAL: the filter is not one; -ENOMEM. */
int capture_new(struct capture **capture, const struct capture_options *options, struct err *err);

/* Takes `fd`, a stream socket, and starts. 0 or a negative errno; `fd` is the capture's in any case. */
int capture_run(struct capture *capture, int fd);

/* The tap for a port, the same one for the same name and kind. The strings are copied. NULL: too many, or no memory. */
struct tap *capture_port(struct capture *capture, bool uplink, const char *name,
			 const char *switch_name);
/* The tap that capture_port gave for it, or NULL. */
struct tap *capture_find(const struct capture *capture, bool uplink, const char *name);
/* Whether the tap is one of this capture's. */
bool capture_owns(const struct capture *capture, const struct tap *tap);

/* What is in the rings still goes out, then the thread ends. */
void capture_end(struct capture *capture);

struct capture_state {
	bool ended;       /* the thread is done; only then does the stream end for its reader */
	char reason[128]; /* why it ended by itself, or by its reader; empty: it did not */
	uint64_t frames, bytes; /* that went out, with the file's own */
	uint64_t lost;
};
void capture_state(const struct capture *capture, struct capture_state *state);

/* Ends the thread, if it still runs, without waiting for the reader. Accepts NULL. */
void capture_free(struct capture *capture);

#endif
