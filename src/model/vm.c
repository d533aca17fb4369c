/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What QEMU needs, each seen to work with QEMU 11.1.3:
 *
 * 1. Memory in a memfd that is shared. With `share=off` QEMU passes a descriptor too, but maps it
 *    privately, and what either side writes is lost without a word.
 * 2. The VF behind a pcie-root-port: directly on pcie.0 it is an integrated endpoint.
 * 3. A failover pair has the virtio-net adapter as standby; the VF names it and has its MAC.
 * 4. Several pairs of queues: `queues` of the netdev and `mq` of the device, with a vector for each
 *    queue, one for the control queue and one for changes of the configuration.
 * 5. An MTU other than 1500 is told by `host_mtu`, so that the driver has it at once and takes no larger.
 * 6. `reconnect-ms` (since QEMU 9.2; `reconnect` is gone from later ones), so that the virtio-net
 *    adapter comes back when softiovd has been restarted.
 *
 * libvirt has no element for vfio-user, so the VF goes in as QEMU arguments.
 */
#include "model/vm.h"

#include "model/text.h"
#include "model/units.h"

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	FILE *out;
	const char *before; /* of the next argument */
};

/* QEMU's key=value lists end a value at a comma, unless it is doubled. */
static char *double_commas(const char *text)
{
	char *out = malloc(2 * strlen(text) + 1), *to = out;

	assert(out);
	for (; *text; text++) {
		*to++ = *text;
		if (*text == ',')
			*to++ = ',';
	}
	*to = '\0';
	return out;
}

static char *memory_object(const struct vm_nic *nic)
{
	char *size = units_format(UNITS_SIZE, nic->memory);
	char *arg = text_new("memory-backend-memfd,id=softiov-mem,size=%s,share=on", size);

	free(size);
	return arg;
}

/* `failover_pair_id` is NULL for a VF alone. */
static char *vf_device(const struct vm_nic *nic, const char *pair, const char *bus)
{
	char *id = text_new("vf-%s", nic->name), *text;
	json_t *device = json_pack("{s:s, s:s, s:s, s:s*, s:{s:s, s:s}}", "driver", "vfio-user-pci",
				   "id", id, "bus", bus, "failover_pair_id", pair, "socket", "type",
				   "unix", "path", nic->vf_socket);

	assert(device);
	text = json_dumps(device, JSON_COMPACT);
	assert(text);
	json_decref(device);
	free(id);
	return text;
}

/* --- QEMU --- */

static void put_quoted(FILE *out, const char *arg)
{
	static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				   "_-+=./:,@%";

	if (*arg && strspn(arg, safe) == strlen(arg)) {
		emit_text(out, arg);
		return;
	}
	emit(out, "'");
	for (; *arg; arg++) {
		if (*arg == '\'')
			emit(out, "'\\''");
		else
			emit(out, "%c", *arg);
	}
	emit(out, "'");
}

/* Takes the value. */
static void put_arg(struct writer *w, const char *option, char *value)
{
	emit(w->out, "%s%s ", w->before, option);
	put_quoted(w->out, value);
	w->before = " \\\n";
	free(value);
}

static void put_root_port(struct writer *w, const struct vm_nic *nic, const char *what,
			  unsigned int slot)
{
	put_arg(w, "-device",
		text_new("pcie-root-port,id=rp-%s-%s,chassis=%u,slot=%u", what, nic->name, slot,
			 slot));
}

/* 1500 is what a driver assumes by itself. */
static bool tells_mtu(const struct vm_nic *nic)
{
	return nic->mtu != 0 && nic->mtu != 1500;
}

static void put_synthetic(struct writer *w, const struct vm_nic *nic)
{
	char *path = double_commas(nic->syn_socket), *queues = NULL, *mq = NULL, *mtu = NULL;

	put_root_port(w, nic, "syn", nic->slot + 1);
	put_arg(w, "-chardev",
		text_new("socket,id=char-%s,path=%s,reconnect-ms=1000", nic->name, path));
	if (nic->queues > 1) {
		queues = text_new(",queues=%u", nic->queues);
		mq = text_new("mq=on,vectors=%u,", 2 * nic->queues + 2);
	}
	if (tells_mtu(nic))
		mtu = text_new("host_mtu=%u,", nic->mtu);
	put_arg(w, "-netdev",
		text_new("vhost-user,id=net-%s,chardev=char-%s%s", nic->name, nic->name,
			 queues ? queues : ""));
	put_arg(w, "-device",
		text_new("virtio-net-pci,netdev=net-%s,mac=%s,%s%s%sid=syn-%s,bus=rp-syn-%s",
			 nic->name, nic->mac, mq ? mq : "", mtu ? mtu : "",
			 nic->vf_socket ? "failover=on," : "", nic->name, nic->name));
	free(mtu);
	free(mq);
	free(queues);
	free(path);
}

char *vm_qemu_args(const struct vm_nic *nic)
{
	char *text = NULL, *pair = NULL, *bus;
	size_t size;
	struct writer w = { text_open(&text, &size), "" };

	if (nic->memory) {
		put_arg(&w, "-machine", text_copy("q35,memory-backend=softiov-mem"));
		put_arg(&w, "-m", units_format(UNITS_SIZE, nic->memory));
		put_arg(&w, "-object", memory_object(nic));
	}
	if (nic->syn_socket) {
		put_synthetic(&w, nic);
		pair = text_new("syn-%s", nic->name);
	}
	if (nic->vf_socket) {
		put_root_port(&w, nic, "vf", nic->slot);
		bus = text_new("rp-vf-%s", nic->name);
		put_arg(&w, "-device", vf_device(nic, pair, bus));
		free(bus);
	}
	free(pair);
	emit(w.out, "\n");
	text_close(w.out);
	return text;
}

/* --- libvirt --- */

static void put_xml(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			emit(out, "&amp;");
			break;
		case '<':
			emit(out, "&lt;");
			break;
		case '>':
			emit(out, "&gt;");
			break;
		case '\'':
			emit(out, "&apos;");
			break;
		default:
			emit(out, "%c", *text);
		}
	}
}

static void put_xml_arg(FILE *out, const char *arg)
{
	emit(out, "  <qemu:arg value='");
	put_xml(out, arg);
	emit(out, "'/>\n");
}

static void put_xml_interface(FILE *out, const struct vm_nic *nic)
{
	emit(out,
	     "<!-- in <devices> -->\n"
	     "<interface type='vhostuser'>\n"
	     "  <mac address='%s'/>\n"
	     "  <source type='unix' path='",
	     nic->mac);
	put_xml(out, nic->syn_socket);
	emit(out, "' mode='client'>\n"
		  "    <reconnect enabled='yes' timeout='1'/>\n"
		  "  </source>\n"
		  "  <model type='virtio'/>\n");
	if (nic->queues > 1)
		emit(out, "  <driver name='vhost' queues='%u'/>\n", nic->queues);
	if (tells_mtu(nic))
		emit(out, "  <mtu size='%u'/>\n", nic->mtu);
	if (nic->vf_socket)
		emit(out, "  <teaming type='persistent'/>\n");
	emit(out, "  <alias name='ua-%s'/>\n</interface>\n", nic->name);
}

static void put_xml_vf(FILE *out, const struct vm_nic *nic)
{
	char *pair = nic->syn_socket ? text_new("ua-%s", nic->name) : NULL;
	char *bus = text_new("rp-vf-%s", nic->name);
	char *device = vf_device(nic, pair, bus);
	/* libvirt numbers the chassis of its own ports from 1: stay clear of them. */
	char *port = text_new("pcie-root-port,id=%s,bus=pcie.0,chassis=%u,slot=%u", bus,
			      255 - nic->slot, 255 - nic->slot);

	emit(out, "<!-- last in <domain>, which must say\n"
		  "     xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' -->\n"
		  "<qemu:commandline>\n");
	put_xml_arg(out, "-device");
	put_xml_arg(out, port);
	put_xml_arg(out, "-device");
	put_xml_arg(out, device);
	emit(out, "</qemu:commandline>\n");
	free(port);
	free(device);
	free(bus);
	free(pair);
}

char *vm_libvirt_xml(const struct vm_nic *nic)
{
	char *text = NULL;
	size_t size;
	FILE *out = text_open(&text, &size);

	if (nic->memory)
		emit(out,
		     "<!-- in <domain> -->\n"
		     "<memory unit='KiB'>%llu</memory>\n"
		     "<memoryBacking>\n"
		     "  <source type='memfd'/>\n"
		     "  <access mode='shared'/>\n"
		     "</memoryBacking>\n",
		     (unsigned long long)(nic->memory >> 10));
	if (nic->syn_socket)
		put_xml_interface(out, nic);
	if (nic->vf_socket)
		put_xml_vf(out, nic);
	text_close(out);
	return text;
}
