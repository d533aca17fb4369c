/* SPDX-License-Identifier: BSD-3-Clause */
/* rte_vhost writes its own log; here it becomes ours. */
#include <errno.h>
#include <stdio.h>

#include <rte_log.h>

#include "base/bits.h"
#include "base/log.h"
#include "vhost/vhost.h"

#define AREA "dpdk"

static enum log_level level_of(int rte_level)
{
	if (rte_level <= (int)RTE_LOG_ERR)
		return LOG_LEVEL_ERR;
	if (rte_level == RTE_LOG_WARNING)
		return LOG_LEVEL_WARN;
	return rte_level <= (int)RTE_LOG_INFO ? LOG_LEVEL_INFO : LOG_LEVEL_DEBUG;
}

/* One call a line: the stream is line-buffered, and locked by stdio. Clients can cause these lines
 * without end. */
static ssize_t on_write(void *cookie, const char *text, size_t size)
{
	static struct log_limit limit;
	size_t n = size;

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	if (n > 0 && log_limit_pass(&limit, AREA))
		log_line(level_of(rte_log_cur_msg_loglevel()), AREA, "%.*s", (int)n, text);
	return (ssize_t)size;
}

int vhost_init(bool debug)
{
	cookie_io_functions_t io = { .write = on_write };
	FILE *stream = fopencookie(NULL, "w", io);

	if (stream == NULL)
		return -ENOMEM;
	if (setvbuf(stream, NULL, _IOLBF, 4096) != 0 || rte_openlog_stream(stream) < 0) {
		(void)fclose(stream);
		return -EIO;
	}
	/* A client's every message is INFO there. */
	if (rte_log_set_level_pattern("lib.vhost*", debug ? RTE_LOG_DEBUG : RTE_LOG_WARNING) < 0)
		return -EIO;
	return 0;
}
