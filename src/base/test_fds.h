/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests of what must not leak. */
#ifndef SOFTIOV_BASE_TEST_FDS_H
#define SOFTIOV_BASE_TEST_FDS_H

#include <assert.h>
#include <dirent.h>
#include <stddef.h>

/* Descriptors of this process, and some that are always there. */
static inline unsigned int open_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert(dir != NULL);
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

#endif
