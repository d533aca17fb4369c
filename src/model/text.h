/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Making text. Memory that runs out is not survived here; output to a stream is checked once, when
 * the stream is closed or flushed, not at each word.
 */
#ifndef MODEL_TEXT_H
#define MODEL_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* malloc'd. */
char *text_new(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *text_copy(const char *text);

/* Into a buffer, cut off where it ends. */
void text_put(char *buf, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* A stream that writes to memory: *text and *size are there after text_close(). */
FILE *text_open(char **text, size_t *size);
void text_close(FILE *out);

void emit(FILE *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Text as it is. */
void emit_text(FILE *out, const char *text);

#endif
