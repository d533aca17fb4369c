/* SPDX-License-Identifier: BSD-3-Clause */
#include "bpf/program.h"

#include <errno.h>
#include <rte_bpf.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/native.h"
#include "bpf/verify.h"

struct program {
	struct rte_bpf *bpf;
	uint64_t (*native)(void *frame); /* NULL: no compiler for this processor, or native.h */
	unsigned int n;
};

/* --- the words of librte_bpf's verifier --- */

/* It says them to DPDK's log, and nowhere else. Other threads may write there meanwhile, also to the stream that was
 * put there for a moment: so there is one stream for good, which hands on what is not of this thread. */
struct words {
	char text[300];
	size_t size;
};

static _Thread_local struct words *listening;
static FILE *log_before;

static ssize_t hear(void *cookie, const char *text, size_t size)
{
	struct words *w = listening;
	size_t room, n;

	if (w == NULL) {
		(void)fwrite(text, 1, size, log_before);
		(void)fflush(log_before);
		return (ssize_t)size;
	}
	room = sizeof(w->text) - 1 - w->size;
	n = size < room ? size : room;
	memcpy(w->text + w->size, text, n);
	w->size += n;
	return (ssize_t)size;
}

static struct rte_bpf *load(const struct rte_bpf_prm *prm, struct words *words)
{
	static FILE *ear;
	struct rte_bpf *bpf;

	if (ear == NULL)
		ear = fopencookie(NULL, "w", (cookie_io_functions_t){ .write = hear });
	if (ear == NULL)
		return rte_bpf_load(prm);
	log_before = rte_log_get_stream();
	listening = words;
	rte_openlog_stream(ear);
	bpf = rte_bpf_load(prm);
	(void)fflush(ear);
	rte_openlog_stream(log_before);
	listening = NULL;
	return bpf;
}

/* Its lines as one. */
static const char *in_one_line(struct words *w)
{
	for (char *at = w->text; *at != '\0'; at++)
		if (*at == '\n' || *at == '\t')
			*at = ' ';
	while (w->size > 0 && strchr(" ;", w->text[w->size - 1]) != NULL)
		w->text[--w->size] = '\0';
	return w->size > 0 ? w->text : rte_strerror(rte_errno);
}

/* --- programs --- */

static const struct verify_argument argument = {
	.size = sizeof(struct softiov_frame),
	.write_from = offsetof(struct softiov_frame, count),
	.write_to = sizeof(struct softiov_frame),
	.name = "struct softiov_frame",
};

static int compile(struct program *program, const struct bpf_ins *ins, struct err *err)
{
	struct rte_bpf_prm prm = {
		.ins = (const struct ebpf_insn *)ins,
		.nb_ins = program->n,
		.prog_arg = { .type = RTE_BPF_ARG_PTR, .size = sizeof(struct softiov_frame) },
	};
	struct words words = { .size = 0 };
	struct rte_bpf_jit jit;

	program->bpf = load(&prm, &words);
	if (program->bpf == NULL)
		return err_set(err, rte_errno == ENOMEM ? -ENOMEM : -EINVAL,
			       "librte_bpf refuses it: %s", in_one_line(&words));
	if (rte_bpf_get_jit(program->bpf, &jit) == 0 && jit.func != NULL &&
	    native_is_right(ins, program->n, jit.sz))
		program->native = jit.func;
	return 0;
}

int program_load(struct program **program, const char *path, const char *section, struct err *err)
{
	struct program *p = calloc(1, sizeof(*p));
	struct bpf_ins *ins = NULL;
	uint8_t *file = NULL;
	size_t size = 0;
	int ret;

	if (p == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	ret = elf_read(path, &file, &size, err);
	if (ret == 0)
		ret = elf_program(file, size, section, &ins, &p->n, err);
	if (ret == 0)
		ret = verify_program(ins, p->n, &argument, err);
	if (ret == 0)
		ret = compile(p, ins, err);
	free(ins);
	free(file);
	if (ret == 0)
		*program = p;
	else
		program_free(p);
	return ret;
}

void program_free(struct program *program)
{
	if (program == NULL)
		return;
	rte_bpf_destroy(program->bpf);
	free(program);
}

unsigned int program_size(const struct program *program)
{
	return program->n;
}

bool program_is_native(const struct program *program)
{
	return program->native != NULL;
}

uint64_t program_run(const struct program *program, struct softiov_frame *frame)
{
	return program->native != NULL ? program->native(frame) : rte_bpf_exec(program->bpf, frame);
}
