/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a Unix socket is to be made. Its file outlives the process that made it, so something may lie there. */
#ifndef SOFTIOV_BASE_SOCKET_H
#define SOFTIOV_BASE_SOCKET_H

#include <sys/un.h>

#include "base/errtext.h"

/* The address of this path, where nothing is when it returns: a socket that nobody listens on is removed, anything else is
 * left alone. 0, or -ENAMETOOLONG, -EADDRINUSE (somebody listens), -EEXIST (no socket), or what the system says. */
int socket_place(const char *path, struct sockaddr_un *addr, struct err *err);

#endif
