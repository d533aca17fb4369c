/* SPDX-License-Identifier: BSD-3-Clause */
/* A capture in files of a limited size, of which the last ones are kept. Each is whole: it begins with the section and all
 * interfaces so far. Names are those of dumpcap(1), NAME_NUMBER_TIME.EXTENSION, which Wireshark takes for a set. */
#include "cli.h"

#include "model/text.h"
#include "model/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 10000
#define SIZE_MIN  65536

/* draft-ietf-opsawg-pcapng, 4.1 to 4.3: types, and what every block begins with */
#define BLOCK_SECTION   0x0a0d0d0au
#define BLOCK_INTERFACE 1u
#define BLOCK_PACKET    6u

struct block_head {
	uint32_t type, size;
};

struct bytes {
	uint8_t *data;
	size_t size;
};

struct ring {
	const char *path;
	unsigned int n_files;
	uint64_t size_max;
	char **names;         /* [n_files]: file i is names[i % n_files] */
	unsigned int n;       /* files begun */
	int fd;               /* of the last one */
	uint64_t size;        /* of it */
	struct bytes head;    /* what each file begins with */
	struct bytes waiting; /* for the rest of a block */
};

static void bytes_add(struct bytes *b, const uint8_t *data, size_t size)
{
	b->data = realloc(b->data, b->size + size);
	assert(b->data || !(b->size + size));
	if (size)
		memcpy(b->data + b->size, data, size);
	b->size += size;
}

static int put(struct ring *ring, const uint8_t *data, size_t size)
{
	while (size) {
		ssize_t n = write(ring->fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		ring->size += (size_t)n;
		data += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Begins the next file; the oldest goes. 0 or an errno. */
static int next_file(struct ring *ring)
{
	const char *slash = strrchr(ring->path, '/'), *dot = strrchr(ring->path, '.');
	char **name = &ring->names[ring->n % ring->n_files], when[32];
	time_t now = time(NULL);
	struct tm tm;

	if (!dot || (slash && dot < slash) || dot == (slash ? slash + 1 : ring->path))
		dot = ring->path + strlen(ring->path);
	if (*name && unlink(*name) && errno != ENOENT)
		return errno;
	free(*name);
	if (ring->fd >= 0)
		close(ring->fd);
	(void)strftime(when, sizeof(when), "%Y%m%d%H%M%S", localtime_r(&now, &tm));
	*name = text_new("%.*s_%05u_%s%s", (int)(dot - ring->path), ring->path, ++ring->n, when,
			 dot);
	ring->fd = open(*name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (ring->fd < 0)
		return errno;
	ring->size = 0;
	return put(ring, ring->head.data, ring->head.size);
}

static bool parse(struct ring *ring, const char *text)
{
	const char *comma = strchr(text, ',');
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	ring->n_files = (unsigned int)n;
	return comma && end == comma && comma > text && n >= 1 && n <= FILES_MAX &&
	       units_parse(UNITS_SIZE, NULL, comma + 1, &ring->size_max) &&
	       ring->size_max >= SIZE_MIN;
}

struct ring *ring_open(const char *path, const char *text, struct refusal *why)
{
	struct ring *ring = calloc(1, sizeof(*ring));
	int error;

	assert(ring);
	ring->path = path;
	ring->fd = -1;
	if (!strcmp(path, "-") || !parse(ring, text)) {
		refusal_about(why, "capture", NULL);
		if (!strcmp(path, "-"))
			refuse(why, -EINVAL, "ring", text, "needs a file: -w FILE");
		else
			refuse_value(why, "ring", text,
				     "FILES,SIZE: 1 to %d files of 64K or more each, as in 5,10M",
				     FILES_MAX);
		free(ring);
		return NULL;
	}
	ring->names = calloc(ring->n_files, sizeof(*ring->names));
	assert(ring->names);
	error = next_file(ring);
	if (!error)
		return ring;
	refusal_about(why, "file", ring->names[0]);
	refuse(why, -error, NULL, NULL, "%s", strerror(error));
	ring_close(ring);
	return NULL;
}

static int write_block(struct ring *ring, const uint8_t *block, const struct block_head *head)
{
	int error = 0;

	if (head->type == BLOCK_PACKET && ring->size > ring->head.size &&
	    ring->size + head->size > ring->size_max)
		error = next_file(ring);
	if (head->type == BLOCK_SECTION || head->type == BLOCK_INTERFACE)
		bytes_add(&ring->head, block, head->size);
	return error ? error : put(ring, block, head->size);
}

int ring_write(struct ring *ring, const uint8_t *data, size_t size)
{
	struct bytes *w = &ring->waiting;
	struct block_head head;
	size_t at = 0;
	int error = 0;

	bytes_add(w, data, size);
	while (!error && w->size - at >= sizeof(head)) {
		memcpy(&head, w->data + at, sizeof(head));
		if (head.size < sizeof(head))
			return EPROTO;
		if (w->size - at < head.size)
			break;
		error = write_block(ring, w->data + at, &head);
		at += head.size;
	}
	w->size -= at;
	memmove(w->data, w->data + at, w->size);
	return error;
}

void ring_remove(struct ring *ring)
{
	for (unsigned int i = 0; i < ring->n_files; i++)
		if (ring->names[i])
			(void)unlink(ring->names[i]);
}

void ring_close(struct ring *ring)
{
	if (!ring)
		return;
	for (unsigned int i = 0; i < ring->n_files; i++)
		free(ring->names[i]);
	if (ring->fd >= 0)
		close(ring->fd);
	free(ring->names);
	free(ring->head.data);
	free(ring->waiting.data);
	free(ring);
}
