/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbers with units. */
#ifndef MODEL_UNITS_H
#define MODEL_UNITS_H

#include <stdbool.h>
#include <stdint.h>

enum units {
	UNITS_NONE, /* 10, 0x1f */
	UNITS_RATE, /* bits a second as tc(8) writes them: 500mbit, 125mbps, 64kibit */
	UNITS_SIZE, /* bytes: 512M, 1G, 4096 */
	UNITS_TIME, /* 50us, 100ms, 5m; a bare number is in the base unit */
};

/*
 * A whole number of base units; fractions (`1.5gbit`) are taken if they come out even. `base` is
 * the base unit of UNITS_TIME, else NULL. False for anything else, also for what overflows.
 */
bool units_parse(enum units units, const char *base, const char *text, uint64_t *value);

/* With the largest unit that holds it exactly: malloc'd, read back by units_parse(). */
char *units_format(enum units units, uint64_t value);

/* Three or four digits for people: 1.25gbit. */
char *units_round(enum units units, uint64_t value);

#endif
