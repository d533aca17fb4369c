/* SPDX-License-Identifier: BSD-3-Clause */
/* For tests that begin with a guest whose driver has done nothing yet. */
#ifndef SOFTIOV_DEV_INTELVF_GUEST_TEST_H
#define SOFTIOV_DEV_INTELVF_GUEST_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dev/intelvf/fake_guest.h"
#include "dev/ixgbevf/ixgbevf.h"

static struct guest g;

static inline int start(void **state)
{
	guest_start(&g, "82599");
	return 0;
}

static inline int stop(void **state)
{
	guest_stop(&g);
	return 0;
}

#endif
