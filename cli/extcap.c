/* SPDX-License-Identifier: BSD-3-Clause */
/* Vports and uplinks in Wireshark's list of interfaces: what `softiov` is when it is called softiov-extcap (extcap(4);
 * Wireshark Developer's Guide, 8.2). Wireshark asks for interfaces, link types and options, and then has one captured
 * into a pipe of its own. Where there is no daemon there are no interfaces: tshark -D asks on every machine. */
#include "cli.h"

#include "model/text.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "softiov-"

enum asked {
	ASKED_NOTHING,
	ASKED_INTERFACES,
	ASKED_DLTS,
	ASKED_CONFIG,
	ASKED_CAPTURE
};

struct request {
	enum asked asked;
	const char *interface, *filter, *snaplen;
	bool drops;
};

static const char *const kinds[] = { "vport", "uplink", NULL };

static int list_interfaces(const struct cli *cli)
{
	struct refusal why = REFUSAL_INIT;
	struct client *client = client_open(cli, &why);

	emit(stdout, "extcap {version=" SOFTIOV_VERSION "}\n");
	if (!client)
		return EXIT_OK;
	emit(stdout, "interface {value=" PREFIX "all}{display=softiov: all vports and uplinks}\n");
	for (const char *const *kind = kinds; *kind; kind++) {
		char *method = text_new("%s.show", *kind);
		json_t *objects = client_call(client, method, NULL, NULL, &why), *obj;
		size_t i;

		json_array_foreach(objects, i, obj) {
			const char *name = json_string_value(json_object_get(obj, "name"));

			emit(stdout,
			     "interface {value=" PREFIX
			     "%s-%s}{display=softiov: %s %s of switch %s}\n",
			     *kind, name, *kind, name,
			     json_string_value(json_object_get(obj, "switch")));
		}
		json_decref(objects);
		free(method);
	}
	client_close(client);
	return EXIT_OK;
}

static int list_config(void)
{
	emit(stdout,
	     "arg {number=0}{call=--drops-only}{display=Only frames that are dropped}{type=boolflag}"
	     "{tooltip=Those that went no further, with the reason as a comment}\n"
	     "arg {number=1}{call=--keep}{display=Bytes of each frame}{type=unsigned}"
	     "{range=1,262144}{default=262144}{tooltip=What lies behind is not captured}\n");
	return EXIT_OK;
}

/* {vport: NAME} and the like; NULL: not one of ours. New reference. */
static json_t *params_of(const struct request *r)
{
	json_t *params =
		json_pack("{s:s, s:s*}", "drops", r->drops ? "only" : "too", "filter", r->filter);
	const char *rest = r->interface + strlen(PREFIX);

	if (r->snaplen)
		json_object_set_new(params, "snaplen", json_string(r->snaplen));
	if (!strncmp(r->interface, PREFIX, strlen(PREFIX))) {
		if (!strcmp(rest, "all"))
			return params;
		for (const char *const *kind = kinds; *kind; kind++) {
			size_t size = strlen(*kind);

			if (strncmp(rest, *kind, size) != 0 || rest[size] != '-')
				continue;
			json_object_set_new(params, *kind, json_string(rest + size + 1));
			return params;
		}
	}
	json_decref(params);
	return NULL;
}

static int start_capture(struct cli *cli, const struct request *r)
{
	json_t *params = r->interface && cli->write ? params_of(r) : NULL;
	int code;

	if (!params) {
		emit(stderr, "softiov: --capture needs --extcap-interface of ours and --fifo\n");
		return EXIT_USAGE;
	}
	code = capture_run(cli, params);
	json_decref(params);
	return code;
}

static void parse(struct cli *cli, int argc, char **argv, struct request *r)
{
	static const struct option options[] = {
		{ "extcap-interfaces", no_argument, NULL, 'i' },
		{ "extcap-dlts", no_argument, NULL, 'd' },
		{ "extcap-config", no_argument, NULL, 'c' },
		{ "capture", no_argument, NULL, 'C' },
		{ "extcap-interface", required_argument, NULL, 'n' },
		{ "extcap-capture-filter", required_argument, NULL, 'f' },
		{ "fifo", required_argument, NULL, 'F' },
		{ "drops-only", no_argument, NULL, 'D' },
		{ "keep", required_argument, NULL, 'k' },
		{ 0 },
	};
	int option;

	opterr = 0; /* other versions of Wireshark say more than we need */
	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'i':
			r->asked = ASKED_INTERFACES;
			break;
		case 'd':
			r->asked = ASKED_DLTS;
			break;
		case 'c':
			r->asked = ASKED_CONFIG;
			break;
		case 'C':
			r->asked = ASKED_CAPTURE;
			break;
		case 'n':
			r->interface = optarg;
			break;
		case 'f':
			r->filter = optarg;
			break;
		case 'F':
			cli->write = optarg;
			break;
		case 'D':
			r->drops = true;
			break;
		case 'k':
			r->snaplen = optarg;
			break;
		default:
			break;
		}
	}
}

int command_extcap(struct cli *cli, int argc, char **argv)
{
	struct request r = { .asked = ASKED_NOTHING };

	parse(cli, argc, argv, &r);
	cli->quiet = true;
	switch (r.asked) {
	case ASKED_INTERFACES:
		return list_interfaces(cli);
	case ASKED_DLTS:
		emit(stdout, "dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
		return EXIT_OK;
	case ASKED_CONFIG:
		return list_config();
	case ASKED_CAPTURE:
		return start_capture(cli, &r);
	case ASKED_NOTHING:
		break;
	}
	/* A filter to be checked: silence says that it is one, and a wrong one is refused at the start. */
	if (r.filter)
		return EXIT_OK;
	emit(stderr,
	     "softiov-extcap is called by Wireshark; put it, or a link to softiov with this name, into one of "
	     "the folders for extcap that Wireshark names under Help, About, Folders\n");
	return EXIT_USAGE;
}
