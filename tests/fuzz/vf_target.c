/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>

#include "vf_target.h"

#define OPS_MAX 200 /* of one input: what is found in more is found in less */

/* An address: mostly in memory, often at its end. */
static uint64_t pick_iova(struct vf_target *t, struct input *in)
{
	uint8_t how = in8(in);
	const struct window_place *p;

	switch (how & 15) {
	case 0:
	case 1:
	case 2:
		return t->frame_at;
	case 3:
	case 4:
		return VF_DATA + in16(in);
	case 5:
		return VF_BUFS + (uint64_t)(how >> 4) * VF_BUF_SIZE;
	case 6:
		return how >> 4 & 1 ? VF_RX_RING(t->q) : VF_TX_RING(t->q);
	case 15:
		return in_bytes(in, 8);
	default:
		p = &window_place[how % WINDOWS];
		return p->iova + ((how & 0x80) != 0 ? p->size - (in16(in) & 0xfff) : in16(in));
	}
}

static uint32_t pick_size(struct vf_target *t, struct input *in)
{
	static const uint16_t sizes[] = { 0, 1, 13, 14, 17, 60, 64, 1514, 2048, 9728, 65535 };
	uint8_t how = in8(in);

	if (how < ARRAY_SIZE(sizes))
		return sizes[how];
	return (how & 1) != 0 ? t->frame.size : in16(in);
}

static void put_desc(struct vf_target *t, uint64_t lo, uint32_t cmd, uint32_t status)
{
	unsigned int i = t->tx_at[t->q]++ % VF_N_DESC;
	uint64_t *d = (void *)vf_guest_va(&t->g, VF_TX_RING(t->q) + 16ull * i, 16);

	d[0] = htole64(lo);
	d[1] = htole64(cmd | (uint64_t)status << 32);
}

static void show_tail(struct vf_target *t)
{
	shared_store(vf_guest_tx_word(&t->g, t->q, TDT), t->tx_at[t->q] % VF_N_DESC);
}

/* --- frames and rings --- */

void vf_op_up(struct vf_target *t, struct input *in)
{
	for (unsigned int i = 0; i < WINDOWS; i++)
		vf_guest_map(&t->g, i);
	vf_guest_up(&t->g);
	memset(t->tx_at, 0, sizeof(t->tx_at));
	t->q = 0;
}

/* SRRCTL: format, header buffer, size. Rings lie in RAM or behind messages. */
void vf_op_queue(struct vf_target *t, struct input *in)
{
	static const uint32_t types[] = { SRRCTL_DESCTYPE_ADV, SRRCTL_DESCTYPE_LEGACY,
					  SRRCTL_DESCTYPE_SPLIT, SRRCTL_DESCTYPE_SPLIT };
	uint8_t how = in8(in), kind = in8(in);
	struct vf_guest *g = &t->g;
	uint64_t rx, tx;
	unsigned int q;

	t->q = q = how % INTELVF_QUEUES_MAX;
	if ((how & 0x08) == 0)
		return;
	rx = (how & 0x10) != 0 ? window_place[WINDOW_MSG].iova : VF_RX_RING(q);
	tx = (how & 0x20) != 0 ? window_place[WINDOW_MSG].iova + 0x1000 : VF_TX_RING(q);
	if ((how & 0x40) != 0)
		tx = pick_iova(t, in);
	shared_store(vf_guest_rx_word(g, q, RDBAL), (uint32_t)rx);
	shared_store(vf_guest_rx_word(g, q, RDBAH), (uint32_t)(rx >> 32));
	shared_store(vf_guest_rx_word(g, q, RDLEN), VF_N_DESC * 16);
	shared_store(vf_guest_rx_word(g, q, 4u * g->dev->family->srrctl_word),
		     types[kind & 3] | (kind >> 2 & 7) << 8 | (kind >> 5));
	shared_store(vf_guest_tx_word(g, q, TDBAL), (uint32_t)tx);
	shared_store(vf_guest_tx_word(g, q, TDBAH), (uint32_t)(tx >> 32));
	shared_store(vf_guest_tx_word(g, q, TDLEN),
		     (how & 0x80) != 0 ? 128 * in8(in) : VF_N_DESC * 16);
	shared_store(vf_guest_tx_word(g, q, TDWBAL),
		     in_below(in, 4) == 3 ? (uint32_t)VF_DATA | 1 : 0);
	shared_store(vf_guest_tx_word(g, q, TDWBAH), 0);
	shared_store(vf_guest_rx_word(g, q, RXDCTL), RXDCTL_ENABLE | (uint32_t)in16(in) << 16);
	shared_store(vf_guest_tx_word(g, q, TXDCTL), TXDCTL_ENABLE);
	t->tx_at[q] = 0;
}

void vf_op_frame(struct vf_target *t, struct input *in)
{
	uint32_t at = in_below(in, 4) * FUZZ_FRAME_MAX;

	t->frame_at = VF_DATA + at;
	t->frame = frame_make(in, vf_guest_va(&t->g, t->frame_at, FUZZ_FRAME_MAX), FUZZ_FRAME_MAX,
			      MAC_FUZZED);
}

struct send {
	uint32_t macip, tucmd, mss_l4len;
	uint32_t cmd, status, payload;
};

/* One field is not what it should be. */
static void spoil(struct send *s, struct input *in)
{
	switch (in_below(in, 12)) {
	case 1:
		s->macip = (s->macip & ~0x1ffu) | (in16(in) & 0x1ff);
		break;
	case 2:
		s->macip = (s->macip & 0xffff01ff) | in8(in) << 9;
		break;
	case 3:
		s->macip |= (uint32_t)in16(in) << 16;
		break;
	case 4:
		s->tucmd ^= in16(in);
		break;
	case 5:
		s->mss_l4len = (s->mss_l4len & 0xffff) | (uint32_t)in16(in) << 16;
		break;
	case 6:
		s->mss_l4len ^= in8(in) << 8;
		break;
	case 7:
		s->cmd ^= in32(in);
		break;
	case 8:
		s->status ^= in16(in);
		break;
	case 9:
		s->payload += (uint32_t)(int8_t)in8(in);
		break;
	default:
		break;
	}
}

static struct send send_of(const struct vf_target *t, uint8_t how, uint16_t mss)
{
	const struct made_frame *f = &t->frame;
	bool tso = (how & 0x10) != 0;
	struct send s = {
		.macip = (uint32_t)f->l2 << TXC_MACLEN_SHIFT | f->l3 |
			 (how & 0x08 ? (uint32_t)VLAN_SHARED << TXC_VLAN_SHIFT : 0),
		.tucmd = TXD_CMD_DEXT | TXD_DTYP_CTXT | (f->ip6 ? 0u : TXC_TUCMD_IPV4) |
			 (f->proto == 6     ? TXC_TUCMD_L4T_TCP
			  : f->proto == 132 ? TXC_TUCMD_L4T_SCTP
					    : TXC_TUCMD_L4T_UDP),
		.mss_l4len = (uint32_t)mss << TXC_MSS_SHIFT | (uint32_t)f->l4 << TXC_L4LEN_SHIFT,
		.cmd = TXD_CMD_DEXT | TXD_DTYP_DATA | (how & 0x08 ? TXD_CMD_VLE : 0) |
		       (tso ? TXD_CMD_TSE : 0),
		.status = ((how & 2) != 0 ? TXD_POPTS_TXSM : 0) |
			  ((how & 4) != 0 ? TXD_POPTS_IXSM : 0),
		.payload = f->size - (tso ? (uint32_t)(f->l2 + f->l3 + f->l4) : 0),
	};

	return s;
}

/* [context] and data in up to eight pieces; every second time the tail moves. A large send repeats its
 * payload, so that it can be longer than what is written. */
void vf_op_send(struct vf_target *t, struct input *in)
{
	uint8_t how = in8(in), n_pieces = (uint8_t)(1 + in_below(in, 8));
	struct send s = send_of(t, how, (how & 0x10) != 0 ? in16(in) : 0);
	uint32_t left = t->frame.size, extra = (how & 0x10) != 0 ? in_below(in, 5) : 0;

	s.payload += extra * t->frame.size;
	if ((how & 0x20) != 0)
		spoil(&s, in);
	if ((how & 1) != 0)
		put_desc(t, s.macip, s.tucmd, s.mss_l4len);
	for (unsigned int i = 0; i < n_pieces + extra; i++) {
		bool last = i + 1 == n_pieces + extra;
		uint32_t size = i + 1 >= n_pieces ? left : left / 2;
		uint64_t at = t->frame_at + (t->frame.size - left);

		if (i >= n_pieces) {
			size = t->frame.size;
			at = t->frame_at;
		}
		put_desc(t, at, size | s.cmd | (last ? TXD_CMD_EOP | TXD_CMD_RS : 0),
			 s.status | s.payload << TXD_PAYLEN_SHIFT);
		left -= size < left ? size : left;
	}
	if ((how & 0x40) == 0)
		show_tail(t);
	if ((how & 0x80) == 0)
		world_serve(t->w, PORT_FUZZED, t->q % t->g.vf->endpoint.n_txq);
}

void vf_op_desc(struct vf_target *t, struct input *in)
{
	uint64_t at = pick_iova(t, in);
	uint32_t size = pick_size(t, in), how = in8(in);
	uint32_t cmd = (how & 1 ? TXD_CMD_EOP : 0) | (how & 2 ? TXD_CMD_RS : 0) |
		       (how & 4 ? 0 : TXD_CMD_DEXT | TXD_DTYP_DATA) | (how & 8 ? TXD_CMD_IC : 0) |
		       (how & 16 ? TXD_CMD_VLE : 0) | (how & 32 ? TXD_CMD_TSE : 0);
	uint32_t status = how & 64 ? in32(in) : size << TXD_PAYLEN_SHIFT;

	for (unsigned int n = how & 128 ? in_below(in, 64) : 0; n > 0; n--)
		put_desc(t, at, size | (cmd & ~TXD_CMD_EOP), status);
	put_desc(t, at, size | cmd, status);
	show_tail(t);
}

void vf_op_desc_raw(struct vf_target *t, struct input *in)
{
	uint64_t lo = in_bytes(in, 8);
	uint32_t cmd = in32(in);

	put_desc(t, lo, cmd, in32(in));
	show_tail(t);
}

void vf_op_tail(struct vf_target *t, struct input *in)
{
	uint8_t how = in8(in);
	uint32_t value = (how & 2) != 0 ? in32(in) : in8(in) % (VF_N_DESC + 1);

	if ((how & 1) != 0)
		shared_store(vf_guest_rx_word(&t->g, t->q, RDT), value);
	else
		shared_store(vf_guest_tx_word(&t->g, t->q, TDT), value);
}

void vf_op_post(struct vf_target *t, struct input *in)
{
	uint8_t from = in8(in) % VF_N_DESC, n = in8(in) % (VF_N_DESC + 1);
	uint64_t lo = pick_iova(t, in), hi = pick_iova(t, in);

	for (unsigned int i = from; n > 0; n--, i++) {
		uint64_t *d =
			(void *)vf_guest_va(&t->g, VF_RX_RING(t->q) + 16ull * (i % VF_N_DESC), 16);

		d[0] = htole64(lo);
		d[1] = htole64(hi);
		shared_store(vf_guest_rx_word(&t->g, t->q, RDT), (i + 1) % VF_N_DESC);
	}
}

void vf_op_line(struct vf_target *t, struct input *in)
{
	uint8_t how = in8(in);
	uint32_t offset = (how & 15) * 4u;
	uint32_t *word = (how & 16) != 0 ? vf_guest_rx_word(&t->g, t->q, offset)
					 : vf_guest_tx_word(&t->g, t->q, offset);
	uint32_t value = (how & 32) != 0 ? in32(in) : (uint32_t)in8(in) << (how >> 6) * 8;

	shared_store(word, (how & 64) != 0 ? value ^ le32toh(*word) : value);
}

void vf_op_serve(struct vf_target *t, struct input *in)
{
	world_serve(t->w, PORT_FUZZED, in8(in) % t->g.vf->endpoint.n_txq);
	vf_guest_kicked(&t->g);
}

void vf_op_hear(struct vf_target *t, struct input *in)
{
	world_honest_sends(t->w, in);
	vf_guest_kicked(&t->g);
}

/* --- around them --- */

void vf_op_window(struct vf_target *t, struct input *in)
{
	uint8_t how = in8(in);

	if ((how & 0x80) != 0)
		vf_guest_map(&t->g, how % WINDOWS);
	else
		vf_guest_unmap(&t->g, how % WINDOWS);
	vf_guest_kicked(&t->g);
}

void vf_op_answer(struct vf_target *t, struct input *in)
{
	uint8_t how = in8(in);

	for (unsigned int n = 1 + (how >> 4); n > 0 && t->g.n_messages > 0; n--)
		vf_guest_answer(&t->g, in8(in) % t->g.n_messages, (how & 15) == 15 ? -EPROTO : 0);
	vf_guest_kicked(&t->g);
}

static void tell_switch(struct vf_target *t)
{
	uint64_t mac[VF_MACS_MAX];

	t->g.macs_changed = false;
	world_policy(t->w, &t->policy, mac, t->g.vf->ops->macs(t->g.vf, mac, VF_MACS_MAX));
}

static void choose_policy(struct vf_policy *p, struct input *in)
{
	static const uint32_t speeds[] = { 0, 100, 1000, 10000 };
	uint8_t how = in8(in);

	*p = (struct vf_policy){
		.mac = MAC_FUZZED,
		.pvid = how & 1 ? VLAN_SHARED : 0,
		.trunk = (how & 2) != 0,
		.trusted = (how & 4) != 0,
		.link_up = (how & 0x38) != 0x38,
		.speed_mbit = speeds[how >> 6],
		.max_frame = how & 8 ? 9724 : 1514,
	};
	if (p->trunk)
		bitmap_set(p->vlans, VLAN_SHARED);
	if (p->trunk && (how & 16) != 0)
		bitmap_set(p->vlans, VLAN_APART);
}

void vf_op_policy(struct vf_target *t, struct input *in)
{
	choose_policy(&t->policy, in);
	t->g.vf->ops->set_policy(t->g.vf, &t->policy);
	world_guards(t->w, in8(in));
	tell_switch(t);
}

void vf_op_reset(struct vf_target *t, struct input *in)
{
	if ((in8(in) & 1) != 0) {
		vf_guest_write(&t->g, 0, 0x04000000); /* VFCTRL.RST */
	} else {
		t->g.vf->ops->reset(t->g.vf);
		t->g.vf->state = VF_ATTACHED;
	}
	memset(t->tx_at, 0, sizeof(t->tx_at));
}

void vf_op_bus_master(struct vf_target *t, struct input *in)
{
	t->g.vf->bus_master = (in8(in) & 1) != 0;
	t->g.vf->ops->kicked(t->g.vf);
}

static uint32_t pick_register(struct vf_target *t, struct input *in)
{
	const struct reg_table *regs = t->g.dev->family->regs;
	uint8_t how = in8(in);
	const struct reg *r = &regs->row[how % regs->n];

	if (how == 0xff)
		return in16(in) % INTELVF_BAR_SIZE & ~3u;
	return r->offset + (r->count > 1 ? in_below(in, r->count) * r->stride : 0);
}

void vf_op_read(struct vf_target *t, struct input *in)
{
	vf_guest_read(&t->g, pick_register(t, in));
}

void vf_op_write(struct vf_target *t, struct input *in)
{
	uint32_t offset = pick_register(t, in);

	vf_guest_write(&t->g, offset, in32(in));
}

/* Its length is what is written of it; the words behind are the last message's. */
void vf_op_request(struct vf_target *t, struct input *in)
{
	static const uint64_t macs[] = { MAC_FUZZED, MAC_VF, MAC_FOREIGN, MAC_BROADCAST };
	uint32_t msg[VFMBMEM_WORDS] = { 0 }, reply[VFMBMEM_WORDS];
	unsigned int n = 1 + in_below(in, VFMBMEM_WORDS);
	uint8_t how = in8(in);

	msg[0] = in8(in) | (uint32_t)in8(in) << 16;
	if ((how & 15) == 15)
		msg[0] ^= in32(in);
	for (unsigned int i = 1; i < n; i++)
		msg[i] = (how & 16) != 0 ? in32(in) : in16(in);
	if ((how & 32) != 0 && n > 2)
		memcpy(msg + 1, &macs[how >> 6], 6);
	vf_guest_mbox(&t->g, msg, n, reply);
}

void vf_op_mailbox(struct vf_target *t, struct input *in)
{
	const struct intelvf_family *family = t->g.dev->family;
	uint8_t how = in8(in);

	if ((how & 0x80) != 0)
		vf_guest_write(&t->g, family->mbmem + 4u * (how & 15), in32(in));
	else if ((how & 0x40) != 0)
		vf_guest_read(&t->g, family->mailbox);
	else
		vf_guest_write(&t->g, family->mailbox, how);
}

/* --- an input --- */

/* After all of this the guest's driver begins anew, by its own means or after a reset from outside, and frames
 * pass in both directions. */
static void check_good_will(struct vf_target *t, bool from_outside)
{
	static const struct virtio_net_hdr_v1 plain;
	uint8_t bytes[WORLD_FRAME_SIZE], buf[VF_BUF_SIZE];

	t->policy = (struct vf_policy){ .mac = MAC_FUZZED, .link_up = true, .max_frame = 1514 };
	vf_guest_check_canaries(&t->g);
	if (from_outside) {
		vf_guest_restart(&t->g, &t->policy);
	} else {
		for (unsigned int i = 0; i < WINDOWS; i++)
			vf_guest_map(&t->g, i);
		t->g.vf->ops->set_policy(t->g.vf, &t->policy);
		t->g.vf->bus_master = true;
		while (t->g.n_messages > 0)
			vf_guest_answer(&t->g, 0, 0);
	}
	vf_guest_up(&t->g);
	while (t->g.n_messages > 0 || t->g.kicked) {
		if (t->g.n_messages > 0)
			vf_guest_answer(&t->g, 0, 0);
		vf_guest_kicked(&t->g);
	}
	tell_switch(t);
	FUZZ_CHECK(!intelvf_is_relayed(t->g.dev));
	world_drain(t->w);
	world_plain_frame(bytes, MAC_VIRTIO, MAC_FUZZED);
	vf_guest_send(&t->g, bytes, sizeof(bytes));
	t->w->burst.n = 0;
	world_serve_kept(t->w, PORT_FUZZED, 0);
	world_net_has(t->w, bytes);
	world_plain_frame(bytes, MAC_FUZZED, MAC_VIRTIO);
	net_guest_send(&t->w->net, &plain, bytes, sizeof(bytes));
	world_serve_kept(t->w, PORT_HONEST_NET, 0);
	FUZZ_CHECK(vf_guest_receive(&t->g, buf) == sizeof(bytes));
	FUZZ_CHECK(memcmp(buf, bytes, sizeof(bytes)) == 0);
}

void vf_target_run(struct input *in, vf_op *const *ops, unsigned int n_ops,
		   void (*begin)(struct vf_target *t), void (*end)(struct vf_target *t))
{
	static struct vf_target t;
	uint8_t model = in8(in), start = in8(in);

	memset(&t, 0, sizeof(t));
	choose_policy(&t.policy, in);
	t.frame_at = VF_DATA;
	vf_guest_new(&t.g, vf_model_at(model % 5)->name, 1 + start % 8, &t.policy);
	FUZZ_CHECK(t.g.vf != NULL);
	t.w = world_start(&t.g.vf->endpoint);
	tell_switch(&t);
	if ((start & 0x80) == 0)
		vf_op_up(&t, in);
	if (begin != NULL)
		begin(&t);
	for (unsigned int n = 0; n < OPS_MAX && in->at < in->end; n++) {
		ops[in8(in) % n_ops](&t, in);
		if (t.g.macs_changed)
			tell_switch(&t);
	}
	world_check(t.w);
	if (end != NULL)
		end(&t);
	check_good_will(&t, (start & 0x40) != 0);
	vf_guest_free(&t.g);
}
