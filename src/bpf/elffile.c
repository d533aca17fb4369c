/* SPDX-License-Identifier: BSD-3-Clause */
/* "Tool Interface Standard (TIS) Executable and Linking Format (ELF) Specification", version 1.2, and its 64-bit form
 * (System V ABI, chapters 4 and 5). DPDK's own loader takes the file's word for offsets and indices (22.11.11,
 * bpf_load_elf.c), and does not give the instructions out. */
#include "bpf/elffile.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTIONS_MAX 1024

_Static_assert(sizeof(struct bpf_ins) == 8, "RFC 9669, 3");

struct elf {
	const uint8_t *file;
	size_t size;
	Elf64_Ehdr head;
};

/* NULL: it is not wholly in the file. */
static const uint8_t *part(const struct elf *elf, uint64_t offset, uint64_t size)
{
	return offset <= elf->size && size <= elf->size - offset ? elf->file + offset : NULL;
}

static bool section_at(const struct elf *elf, unsigned int i, Elf64_Shdr *section)
{
	const uint8_t *at = part(elf, elf->head.e_shoff + i * sizeof(*section), sizeof(*section));

	if (i >= elf->head.e_shnum || at == NULL)
		return false;
	memcpy(section, at, sizeof(*section));
	return true;
}

/* A string of a table of strings; NULL: there is none that ends. */
static const char *string_at(const struct elf *elf, unsigned int table, uint32_t offset)
{
	Elf64_Shdr section;
	const uint8_t *strings;

	if (!section_at(elf, table, &section) || section.sh_type != SHT_STRTAB ||
	    offset >= section.sh_size)
		return NULL;
	strings = part(elf, section.sh_offset, section.sh_size);
	if (strings == NULL || memchr(strings + offset, '\0', section.sh_size - offset) == NULL)
		return NULL;
	return (const char *)strings + offset;
}

static int check_head(struct elf *elf, struct err *err)
{
	const Elf64_Ehdr *head = &elf->head;
	const uint8_t *at = part(elf, 0, sizeof(*head));

	if (at == NULL || memcmp(at, ELFMAG, SELFMAG) != 0)
		return err_set(err, -EINVAL, "no ELF file; clang -target bpf -c makes one");
	memcpy(&elf->head, at, sizeof(elf->head));
	if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB ||
	    head->e_type != ET_REL || head->e_machine != EM_BPF)
		return err_set(err, -EINVAL,
			       "an ELF file, but not of an eBPF program (clang -target bpf -c)");
	if (head->e_shentsize != sizeof(Elf64_Shdr) || head->e_shnum > SECTIONS_MAX ||
	    part(elf, head->e_shoff, (uint64_t)head->e_shnum * sizeof(Elf64_Shdr)) == NULL)
		return err_set(err, -EINVAL, "the ELF file is damaged: its sections are not in it");
	return 0;
}

static int find_code(const struct elf *elf, const char *name, unsigned int *idx, Elf64_Shdr *code,
		     struct err *err)
{
	for (unsigned int i = 0; section_at(elf, i, code); i++) {
		const char *its_name = string_at(elf, elf->head.e_shstrndx, code->sh_name);

		if (code->sh_type != SHT_PROGBITS || (code->sh_flags & SHF_EXECINSTR) == 0 ||
		    its_name == NULL || strcmp(its_name, name) != 0)
			continue;
		*idx = i;
		return 0;
	}
	return err_set(err, -EINVAL, "the file has no program in a section '%s'", name);
}

/* What the first entry of a table of relocations wants of whom. */
static int refuse_outside(const struct elf *elf, const Elf64_Shdr *relocations, struct err *err)
{
	const uint8_t *at = part(elf, relocations->sh_offset, sizeof(Elf64_Rel)), *symbol_at;
	const char *name = NULL;
	Elf64_Shdr symbols, where;
	Elf64_Rel relocation;
	Elf64_Sym symbol;

	if (at == NULL || !section_at(elf, relocations->sh_link, &symbols))
		return err_set(err, -EINVAL,
			       "the ELF file is damaged: its relocations are not in it");
	memcpy(&relocation, at, sizeof(relocation));
	symbol_at = part(elf, symbols.sh_offset + ELF64_R_SYM(relocation.r_info) * sizeof(symbol),
			 sizeof(symbol));
	if (symbol_at != NULL) {
		memcpy(&symbol, symbol_at, sizeof(symbol));
		name = string_at(elf, symbols.sh_link, symbol.st_name);
		/* A static variable is named by its section. */
		if (ELF64_ST_TYPE(symbol.st_info) == STT_SECTION &&
		    section_at(elf, symbol.st_shndx, &where))
			name = string_at(elf, elf->head.e_shstrndx, where.sh_name);
	}
	return err_set(
		err, -EINVAL,
		"instruction %llu: it uses '%.64s', which is outside of the program: it can call no function "
		"that is not inlined, and has no variables but those of its functions",
		(unsigned long long)relocation.r_offset / sizeof(struct bpf_ins),
		name != NULL ? name : "?");
}

int elf_program(const uint8_t *file, size_t size, const char *section, struct bpf_ins **ins,
		unsigned int *n, struct err *err)
{
	struct elf elf = { .file = file, .size = size };
	Elf64_Shdr code = { 0 }, other;
	const uint8_t *bytes;
	unsigned int idx = 0;
	int ret = check_head(&elf, err);

	if (ret == 0)
		ret = find_code(&elf, section, &idx, &code, err);
	if (ret < 0)
		return ret;
	bytes = part(&elf, code.sh_offset, code.sh_size);
	if (bytes == NULL || code.sh_size == 0 || code.sh_size % sizeof(**ins) != 0)
		return err_set(err, -EINVAL, "the section '%s' has no whole instructions", section);
	for (unsigned int i = 0; section_at(&elf, i, &other); i++)
		if ((other.sh_type == SHT_REL || other.sh_type == SHT_RELA) &&
		    other.sh_info == idx && other.sh_size > 0)
			return refuse_outside(&elf, &other, err);
	*ins = malloc(code.sh_size);
	if (*ins == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	memcpy(*ins, bytes, code.sh_size);
	*n = (unsigned int)(code.sh_size / sizeof(**ins));
	return 0;
}

static int read_all(int fd, uint8_t *to, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = read(fd, to + at, size - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO; /* it was cut meanwhile */
		at += (size_t)n;
	}
	return 0;
}

int elf_read(const char *path, uint8_t **file, size_t *size, struct err *err)
{
	/* A FIFO or a device must not hold control up. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret = 0;
	struct stat st;

	if (fd < 0)
		return err_set(err, -errno, "cannot be opened: %s", strerror(errno));
	if (fstat(fd, &st) < 0)
		ret = err_set(err, -errno, "cannot be read: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		ret = err_set(err, -EINVAL, "no regular file");
	else if (st.st_size > ELF_FILE_MAX)
		ret = err_set(err, -EFBIG, "it has %lld bytes; at most %d are read",
			      (long long)st.st_size, ELF_FILE_MAX);
	if (ret < 0)
		goto out;
	*size = (size_t)st.st_size;
	*file = malloc(*size + 1);
	ret = *file == NULL ? -ENOMEM : read_all(fd, *file, *size);
	if (ret < 0) {
		free(*file);
		*file = NULL;
		err_set(err, ret, "cannot be read: %s", strerror(-ret));
	}
out:
	close(fd);
	return ret;
}
