/* SPDX-License-Identifier: BSD-3-Clause */
/* The mailbox between VF and PF: its buffer and its signals. What the PF answers is in pf.c.
 *
 * Registers: DS 8.3.5.1.5 (VFMAILBOX), 8.3.5.1.6 (VFMBMEM), procedure DS 7.10.2.9.1; the 82576's
 * V2PMAILBOX and VMBMEM work alike. How drivers use them: Linux 6.12's ixgbevf (mbx.c) and igbvf (mbx.c).
 *
 * Two ways of locking are in use:
 *  1. ixgbevf up to API 1.4, igbvf: write VFU, read it back, write the words, write REQ (which lets go of VFU), poll
 *     for PFACK, poll for PFSTS, take VFU, read the words, write ACK.
 *  2. From API 1.5: write VFU, write the words, write VFU | REQ, poll for PFACK with VFU still set, let
 *     go, poll for PFSTS, read the words without VFU, write ACK. Written values carry the driver's
 *     remembered copies of the read-to-clear bits, which are no business of ours.
 * Both start with style 1 for RESET and API_NEGOTIATE, whatever is negotiated afterwards.
 *
 * The words stay in the buffer after they were read. Drivers of style 1 look into word 0 again and
 * again to see CTS, so each reply and control message carries it while the VF is clear to send.
 */
#include "dev/intelvf/mbox.h"
#include "base/clock.h"
#include "base/log.h"

#define AREA "intelvf"

#define FETCH_NS 100000000ull

static const char *const state_names[] = {
	[MBOX_IDLE] = "idle",
	[MBOX_VF_OWNS] = "vf-owns",
	[MBOX_REPLY_HELD] = "reply-held",
	[MBOX_POSTED] = "posted",
};
_Static_assert(ARRAY_SIZE(state_names) == MBOX_STATES, "every state has a name");

static void mbox_set_state(struct intelvf *dev, enum mbox_state state)
{
	struct mbox_data *m = &dev->st->mbox;

	if (m->state == state)
		return;
	if (log_wants(LOG_LEVEL_DEBUG) && log_limit_pass(&dev->limit_mbox, AREA))
		log_debug(AREA, "mailbox %s -> %s", state_names[m->state], state_names[state]);
	m->state = state;
}

static uint32_t *words_of(struct intelvf *dev)
{
	return regs_word(dev, dev->family->mbmem);
}

static void signal_vf(struct intelvf *dev, uint32_t bits)
{
	dev->st->mbox.signals |= bits;
	intr_mbox(dev);
}

/* The PF writes into the buffer; the caller knows that it is free. */
static void put(struct intelvf *dev, const uint32_t *words, uint32_t n)
{
	memcpy(words_of(dev), words, n * sizeof(*words));
	signal_vf(dev, VFMAILBOX_PFSTS);
}

static void post(struct intelvf *dev, const uint32_t *words, uint32_t n)
{
	dev->st->mbox.posted_ns = clock_ns();
	mbox_set_state(dev, MBOX_POSTED);
	put(dev, words, n);
}

/* A control message says no more than that something changed, and drivers leave it in the buffer when they find
 * the link down (ixgbevf_check_mac_link_vf): the next one may take its place. */
static void post_ping(struct intelvf *dev)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t word = PF_CONTROL_MSG | (m->cts ? MSG_CTS : 0);

	m->ping = 0;
	mbox_set_state(dev, MBOX_IDLE);
	put(dev, &word, 1);
}

/* Sends a control message that is due, if it overwrites nothing that the VF still wants. Old drivers
 * do not fetch the replies to some requests; so what was not fetched for a while is not waited for. */
static void ping_if_free(struct intelvf *dev)
{
	struct mbox_data *m = &dev->st->mbox;

	if (m->ping && (m->state == MBOX_IDLE ||
			(m->state == MBOX_POSTED && clock_ns() - m->posted_ns > FETCH_NS)))
		post_ping(dev);
}

/* The VF let go of the buffer: what waited for that goes now. */
static void buffer_free(struct intelvf *dev)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t n = m->reply_words;

	mbox_set_state(dev, MBOX_IDLE);
	m->reply_words = 0;
	if (n > 0)
		post(dev, m->reply, n);
	else
		ping_if_free(dev);
}

static void request(struct intelvf *dev, bool keeps_buffer)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t msg[VFMBMEM_WORDS];

	memcpy(msg, words_of(dev), sizeof(msg));
	m->reply_words = pf_serve(dev, msg);
	memcpy(m->reply, msg, sizeof(msg));
	signal_vf(dev, VFMAILBOX_PFACK);
	if (keeps_buffer)
		mbox_set_state(dev, m->reply_words > 0 ? MBOX_REPLY_HELD : MBOX_VF_OWNS);
	else
		buffer_free(dev);
}

/* The VF has read what was posted. */
static void acknowledged(struct intelvf *dev, bool keeps_buffer)
{
	struct mbox_data *m = &dev->st->mbox;
	const uint32_t lost = MSG_FAILURE;

	if (keeps_buffer) {
		if (m->state != MBOX_REPLY_HELD)
			mbox_set_state(dev, MBOX_VF_OWNS);
		return;
	}
	buffer_free(dev);
	/* A driver that reads without being clear to send has missed that it must reset: a refusal
	 * without CTS is what makes it (ixgbe_rcv_ack_from_vf; ixgbevf_check_mac_link_vf). Not if
	 * it has just read a refusal. */
	if (!m->cts && m->state == MBOX_IDLE && (*words_of(dev) & MSG_FAILURE) == 0)
		post(dev, &lost, 1);
}

uint32_t mbox_read(struct intelvf *dev, unsigned int n)
{
	struct mbox_data *m = &dev->st->mbox;
	uint32_t value;

	ping_if_free(dev);
	value = m->signals;
	m->signals = 0; /* DS 8.3.5.1.5: all three are cleared by reading */
	if (m->state == MBOX_VF_OWNS || m->state == MBOX_REPLY_HELD)
		value |= VFMAILBOX_VFU;
	return value;
}

void mbox_write(struct intelvf *dev, unsigned int n, uint32_t value)
{
	struct mbox_data *m = &dev->st->mbox;
	bool vfu = (value & VFMAILBOX_VFU) != 0;

	if ((value & VFMAILBOX_REQ) != 0) {
		request(dev, vfu);
	} else if ((value & VFMAILBOX_ACK) != 0) {
		acknowledged(dev, vfu);
	} else if (vfu) {
		if (m->state != MBOX_REPLY_HELD)
			mbox_set_state(dev, MBOX_VF_OWNS);
	} else if (m->state == MBOX_VF_OWNS || m->state == MBOX_REPLY_HELD) {
		buffer_free(dev);
	}
}

void mbox_notify(struct intelvf *dev, bool restart)
{
	struct mbox_data *m = &dev->st->mbox;

	if (!m->cts)
		return; /* it will ask for everything when it resets the VF */
	if (restart)
		m->cts = 0;
	m->ping = 1;
	ping_if_free(dev);
}

void mbox_reset(struct intelvf *dev, bool power_on)
{
	struct mbox_data *m = &dev->st->mbox;

	mbox_set_state(dev, MBOX_IDLE);
	m->api = MBOX_API_10;
	m->cts = 0;
	m->ping = 0;
	m->reply_words = 0;
	/* "The PF is ready": drivers wait until they have read RSTD once and then not again. */
	m->signals = VFMAILBOX_RSTD;
	if (power_on)
		memset(words_of(dev), 0, VFMBMEM_WORDS * sizeof(uint32_t));
}
