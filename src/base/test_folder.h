/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder of a test's own, for sockets and files. */
#ifndef SOFTIOV_BASE_TEST_FOLDER_H
#define SOFTIOV_BASE_TEST_FOLDER_H

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TEST_FOLDER_SIZE 80 /* a socket's path has 107 bytes at most */

/* Below TMPDIR. False: it could not be made. */
static inline bool test_folder_make(char path[TEST_FOLDER_SIZE])
{
	const char *tmp = getenv("TMPDIR");
	int size = snprintf(path, TEST_FOLDER_SIZE, "%s/softiov-XXXXXX",
			    tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");

	return size < TEST_FOLDER_SIZE && mkdtemp(path) != NULL;
}

/* With the files in it. 0, or -1: something is left. */
static inline int test_folder_remove(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *entry;

	while (d != NULL && (entry = readdir(d)) != NULL)
		if (entry->d_name[0] != '.')
			unlinkat(dirfd(d), entry->d_name, 0);
	if (d != NULL)
		closedir(d);
	return rmdir(path);
}

#endif
