/* SPDX-License-Identifier: BSD-3-Clause */
/* The text of a refusal: one line that says what was refused, why, and what to do about it.
 *
 * Functions that can refuse something a person asked for take a `struct err *` (never NULL) beside
 * their negative errno; they fill it exactly when they fail. */
#ifndef SOFTIOV_BASE_ERRTEXT_H
#define SOFTIOV_BASE_ERRTEXT_H

#define ERR_TEXT_SIZE 512

struct err {
	int code; /* negative errno, 0 = no error */
	char text[ERR_TEXT_SIZE];
};

/* Sets the text and returns `code` (a negative errno), so that `return err_set(...)` reads well. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
