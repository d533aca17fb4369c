/* SPDX-License-Identifier: BSD-3-Clause */
/* Which frames a filter certainly does not want: cheap enough to ask about each frame that passes.
 *
 * A classic program looks at few bytes of a frame before it says no, at other ones for other kinds of frames. Those, and
 * what they were, are remembered: the next frame that has the same bytes there meets the same end, whatever else is in it.
 * So a filter for TCP has UDP of all addresses and ports refused by three bytes.
 */
#ifndef SOFTIOV_BPF_QUICK_H
#define SOFTIOV_BPF_QUICK_H

#include <pcap/pcap.h>

#include "frame/frame.h"

struct quick;

/* The program is copied. NULL: no memory. */
struct quick *quick_new(const struct bpf_program *classic);
void quick_free(struct quick *quick); /* accepts NULL */

/* Of the set of frame[], each as it lies in memory, those that may pass. A worker. */
uint32_t quick_may_pass(struct quick *quick, const struct frame *frame, uint32_t frames);

#endif
