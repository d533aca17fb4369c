/* SPDX-License-Identifier: BSD-3-Clause */
/* Which word of an expression is wrong.
 *
 * libpcap tells what is wrong in words, at best with the word in quotes. A parser that reads from left to right fails
 * at the first word with which no expression can begin any more. So it is found by trying: of the beginnings of
 * the expression, the longest that still becomes an expression with one of a few endings is right, and the word
 * behind it is wrong. */
#include "bpf/where.h"

#include <ctype.h>
#include <errno.h>
#include <nss.h>
#include <pcap/pcap.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"

#define EXPRESSION_MAX 1024 /* as the object table allows, with room for an ending */
#define SNAPLEN        262144
#define WINDOW         60 /* characters of a long expression that are shown */

/* Together they finish what an expression can be left with: a primitive, an address, a comparison, parentheses. */
static const char *const endings[] = {
	"",
	" 1",
	" 1.2.3.4",
	" ip",
	" host 1.2.3.4",
	" port 1",
	" net 1.0.0.0/8",
	" 1:2:3:4:5:6",
	" proto 6",
	" broadcast",
	"0] = 1",
	"] = 1",
	" = 1",
	" = 1]",
	"= 1",
	"& ip",
	"| ip",
	"1-2",
	":2",
	" host 1:2:3:4:5:6",
	" portrange 1-2",
	" 1 = 1",
};

/* libpcap looks up the names of hosts and networks while it compiles (pcap-filter(7)), and who asks DNS may wait for many
 * seconds. So these names are those of /etc/hosts and /etc/networks in this process, where nothing else looks any up.
 * glibc has the call for programs that know better than nsswitch.conf (<nss.h>). */
static void no_dns(void)
{
	(void)__nss_configure_lookup("hosts", "files");
	(void)__nss_configure_lookup("networks", "files");
}

/* `optimize`: one that no frame can pass is refused. */
static bool compiles(const char *expression, bool optimize, struct bpf_program *program, char *why)
{
	pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN);
	bool ok;

	if (pcap == NULL) {
		(void)snprintf(why, PCAP_ERRBUF_SIZE, "out of memory");
		return false;
	}
	ok = pcap_compile(pcap, program, expression, optimize, PCAP_NETMASK_UNKNOWN) == 0;
	if (!ok)
		(void)snprintf(why, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(pcap));
	pcap_close(pcap);
	return ok;
}

/* Whether the first `size` bytes begin an expression. */
static bool begins(const char *expression, size_t size)
{
	char text[EXPRESSION_MAX + 64], why[PCAP_ERRBUF_SIZE];
	int n_open = 0;

	for (size_t i = 0; i < size; i++)
		n_open += (expression[i] == '(') - (expression[i] == ')');
	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		struct bpf_program program;
		int at = snprintf(text, sizeof(text), "%.*s%s", (int)size, expression, endings[i]);

		for (int open = n_open; open > 0 && at + 1 < (int)sizeof(text); open--) {
			text[at++] = ')';
			text[at] = '\0';
		}
		if (!compiles(text, false, &program, why))
			continue;
		pcap_freecode(&program);
		return true;
	}
	return false;
}

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("_.:-/\\", c) != NULL);
}

static const char *word_end(const char *at)
{
	const char *end = at + (*at != '\0');

	while (is_word(*at) && is_word(*end))
		end++;
	return end;
}

static const char *skip_space(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

/* The word that libpcap has in quotes, if it is in the expression. */
static const char *find_quoted(const char *expression, const char *why, size_t *size)
{
	const char *from = strchr(why, '\''), *to = from != NULL ? strrchr(from + 1, '\'') : NULL;
	char word[128];

	if (to == NULL || to - from - 1 <= 0 || to - from - 1 >= (long)sizeof(word))
		return NULL;
	*size = (size_t)(to - from - 1);
	(void)snprintf(word, sizeof(word), "%.*s", (int)*size, from + 1);
	for (const char *at = skip_space(expression); *at != '\0'; at = skip_space(word_end(at)))
		if (strncmp(at, word, *size) == 0 && !is_word(at[*size]))
			return at;
	return NULL;
}

static const char *find_wrong(const char *expression, const char *why, size_t *size)
{
	const char *at = find_quoted(expression, why, size), *end;
	char text[PCAP_ERRBUF_SIZE];
	struct bpf_program program;

	if (at != NULL)
		return at;
	if (compiles(expression, false, &program, text)) {
		pcap_freecode(&program);
		*size = strlen(expression);
		return expression;
	}
	for (at = skip_space(expression); *at != '\0'; at = skip_space(end)) {
		end = word_end(at);
		*size = (size_t)(end - at);
		if (!begins(expression, (size_t)(end - expression)))
			return at;
	}
	*size = 1;
	return expression + strlen(expression); /* there should be more */
}

int where_compile(const char *expression, struct bpf_program *program, struct err *err)
{
	char why[PCAP_ERRBUF_SIZE], under[WINDOW + 2];
	const char *at, *from = expression;
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	size_t size;

	(void)pthread_once(&once, no_dns);
	if (strlen(expression) > EXPRESSION_MAX)
		return err_set(err, -EINVAL, "longer than %d bytes", EXPRESSION_MAX);
	if (compiles(expression, true, program, why))
		return 0;
	at = find_wrong(expression, why, &size);
	if (at - from > WINDOW / 2)
		from = at - WINDOW / 2;
	if (size > WINDOW / 2)
		size = WINDOW / 2;
	memset(under, '~', sizeof(under));
	under[size - 1] = '\0';
	return err_set(err, -EINVAL, "%s%s\n  %.*s\n  %*s^%s", why,
		       *at != '\0' ? "" : ": it ends too early", WINDOW, from, (int)(at - from), "",
		       under);
}
