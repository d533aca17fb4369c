/* SPDX-License-Identifier: BSD-3-Clause */
#include "capture/pcapng.h"

#define BYTE_ORDER_MAGIC  0x1a2b3c4du
#define LINKTYPE_ETHERNET 1

/* Options, 3.5 and the sections of the blocks */
#define OPT_END             0
#define OPT_COMMENT         1
#define SHB_USERAPPL        4
#define IF_NAME             2
#define IF_DESCRIPTION      3
#define IF_TSRESOL          9
#define IF_FILTER           11
#define EPB_FLAGS           2
#define EPB_QUEUE           6
#define ISB_IFDROP          5
#define ISB_FILTERACCEPT    6
#define TSRESOL_NANOSECONDS 9
#define FILTER_PCAP_TEXT    0

static void put(struct pcapng_out *out, const void *bytes, uint32_t size)
{
	memcpy(out->bytes + out->size, bytes, size);
	out->size += size;
}

static void put16(struct pcapng_out *out, uint16_t v)
{
	put(out, &v, sizeof(v));
}

static void put32(struct pcapng_out *out, uint32_t v)
{
	put(out, &v, sizeof(v));
}

/* 3.1: everything is padded to 32 bits. */
static void pad(struct pcapng_out *out, uint32_t size)
{
	static const uint8_t zero[3];

	put(out, zero, -size & 3);
}

/* 4.3: times are two words, the high one first. */
static void put_time(struct pcapng_out *out, uint64_t time_ns)
{
	put32(out, (uint32_t)(time_ns >> 32));
	put32(out, (uint32_t)time_ns);
}

static void option(struct pcapng_out *out, uint16_t code, const void *value, uint16_t size)
{
	put16(out, code);
	put16(out, size);
	put(out, value, size);
	pad(out, size);
}

static void option_text(struct pcapng_out *out, uint16_t code, const char *text)
{
	option(out, code, text, (uint16_t)strnlen(text, PCAPNG_TEXT_MAX));
}

/* 3.1: a block begins with its type and size and ends with its size. Returns where it begins. */
static uint32_t begin(struct pcapng_out *out, enum pcapng_block type)
{
	uint32_t start = out->size;

	put32(out, type);
	put32(out, 0);
	return start;
}

static void end(struct pcapng_out *out, uint32_t start)
{
	uint32_t size;

	put16(out, OPT_END);
	put16(out, 0);
	size = out->size + 4 - start;
	put32(out, size);
	memcpy(out->bytes + start + 4, &size, sizeof(size));
}

/* 4.1 */
void pcapng_section(struct pcapng_out *out, const char *application)
{
	static const int64_t unknown_size = -1;
	uint32_t start = begin(out, PCAPNG_SECTION);

	put32(out, BYTE_ORDER_MAGIC);
	put16(out, 1); /* version 1.0 */
	put16(out, 0);
	put(out, &unknown_size, sizeof(unknown_size));
	option_text(out, SHB_USERAPPL, application);
	end(out, start);
}

/* 4.2 */
void pcapng_interface(struct pcapng_out *out, const char *name, const char *description,
		      const char *filter, uint32_t snaplen)
{
	static const uint8_t resolution = TSRESOL_NANOSECONDS;
	uint32_t start = begin(out, PCAPNG_INTERFACE);
	uint8_t text[1 + PCAPNG_TEXT_MAX] = { FILTER_PCAP_TEXT };

	put16(out, LINKTYPE_ETHERNET);
	put16(out, 0);
	put32(out, snaplen);
	option_text(out, IF_NAME, name);
	option_text(out, IF_DESCRIPTION, description);
	option(out, IF_TSRESOL, &resolution, sizeof(resolution));
	if (filter != NULL) {
		uint32_t size = (uint32_t)strnlen(filter, PCAPNG_TEXT_MAX);

		memcpy(text + 1, filter, size);
		option(out, IF_FILTER, text, (uint16_t)(1 + size));
	}
	end(out, start);
}

/* 4.3 */
void pcapng_packet(struct pcapng_out *out, const struct pcapng_packet *packet)
{
	uint32_t start = begin(out, PCAPNG_PACKET), flags = packet->direction;

	put32(out, packet->interface);
	put_time(out, packet->time_ns);
	put32(out, packet->captured);
	put32(out, packet->size);
	put(out, packet->bytes, packet->captured);
	pad(out, packet->captured);
	if (packet->comment != NULL)
		option_text(out, OPT_COMMENT, packet->comment);
	option(out, EPB_FLAGS, &flags, sizeof(flags));
	if (packet->has_queue)
		option(out, EPB_QUEUE, &packet->queue, sizeof(packet->queue));
	end(out, start);
}

/* 4.6 */
void pcapng_statistics(struct pcapng_out *out, uint32_t interface, uint64_t time_ns,
		       uint64_t accepted, uint64_t dropped)
{
	uint32_t start = begin(out, PCAPNG_STATISTICS);

	put32(out, interface);
	put_time(out, time_ns);
	option(out, ISB_FILTERACCEPT, &accepted, sizeof(accepted));
	option(out, ISB_IFDROP, &dropped, sizeof(dropped));
	end(out, start);
}
