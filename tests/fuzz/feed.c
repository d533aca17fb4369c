/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs inputs from files and folders through a target, where libFuzzer is not linked:  TARGET FILE|FOLDER...
 * It fails if there was nothing to run. */
#include <errno.h>
#include <fts.h>

#include "fuzz.h"

#define INPUT_MAX (1u << 20)

static uint8_t *room;

static bool feed(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size;
	uint8_t *data;

	if (file == NULL) {
		(void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
		return false;
	}
	size = fread(room, 1, INPUT_MAX, file);
	(void)fclose(file);
	/* Exactly as long as the input, so that ASan sees the byte behind it. */
	data = malloc(size);
	if (size > 0 && data == NULL)
		return false;
	if (size > 0)
		memcpy(data, room, size);
	(void)fprintf(stderr, "%s\n", path); /* the last one is what failed */
	LLVMFuzzerTestOneInput(data, size);
	free(data);
	return true;
}

int main(int argc, char **argv)
{
	FTS *fts = argc > 1 ? fts_open(argv + 1, FTS_LOGICAL | FTS_NOCHDIR, NULL) : NULL;
	unsigned int n = 0;
	FTSENT *entry;

	room = malloc(INPUT_MAX);
	if (fts == NULL || room == NULL) {
		(void)fprintf(stderr, "usage: %s FILE|FOLDER...\n", argv[0]);
		return 2;
	}
	while ((entry = fts_read(fts)) != NULL) {
		if (entry->fts_info != FTS_F)
			continue;
		if (!feed(entry->fts_accpath))
			return 1;
		n++;
	}
	(void)fts_close(fts);
	free(room);
	printf("%u inputs\n", n);
	return n > 0 ? 0 : 1;
}
