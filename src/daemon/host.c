/* SPDX-License-Identifier: BSD-3-Clause */
/* `host show` and `host check`: this machine, and whether it can do what softiov is for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "daemon/runtime.h"
#include "model/text.h"

#define QEMU_MAJOR        10 /* vfio-user-pci came with QEMU 10.1 */
#define QEMU_MINOR        1
#define CAP_NET_ADMIN_BIT 12 /* capabilities(7), linux/capability.h */
#define CAP_NET_RAW_BIT   13

/* The first line of a file or a pipe, without its end. False: there is none. */
static bool first_line(FILE *f, char *line, size_t size)
{
	if (f == NULL || fgets(line, (int)size, f) == NULL)
		return false;
	line[strcspn(line, "\n")] = '\0';
	return true;
}

static bool read_line(const char *path, char *line, size_t size)
{
	FILE *f = fopen(path, "re");
	bool ok = first_line(f, line, size);

	if (f != NULL)
		(void)fclose(f);
	return ok;
}

/* What follows "KEY<tab>: " in a file of such lines. */
static bool read_key(const char *path, const char *key, char *value, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[4096];
	bool found = false;

	while (!found && first_line(f, line, sizeof(line))) {
		char *colon = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) != 0 || colon == NULL)
			continue;
		text_put(value, size, "%s", colon + 1 + strspn(colon + 1, " \t"));
		found = true;
	}
	if (f != NULL)
		(void)fclose(f);
	return found;
}

/* --- show --- */

static json_t *cpu_flags(void)
{
	static const char *const wanted[] = { "sse4_2", "avx2", "avx512f",   "avx512vl",
					      "aes",    "vaes", "pclmulqdq", "vpclmulqdq",
					      "asimd",  "sve" };
	char flags[4096] = { 0 }, word[32];
	json_t *list = json_array();

	if (!read_key("/proc/cpuinfo", "flags", flags + 1, sizeof(flags) - 2))
		read_key("/proc/cpuinfo", "Features", flags + 1, sizeof(flags) - 2);
	/* A blank on either side of each word. */
	flags[0] = ' ';
	flags[strlen(flags)] = ' ';
	for (unsigned int i = 0; i < ARRAY_SIZE(wanted); i++) {
		text_put(word, sizeof(word), " %s ", wanted[i]);
		if (strstr(flags, word) != NULL)
			json_array_append_new(list, json_string(wanted[i]));
	}
	return list;
}

static long hugepages(const char *size, const char *what)
{
	char path[128], line[32];

	text_put(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%skB/%s_hugepages", size,
		 what);
	return read_line(path, line, sizeof(line)) ? strtol(line, NULL, 10) : 0;
}

static json_t *hugepage_map(void)
{
	return json_pack("{s:I, s:I, s:I, s:I}", "2M-total", (json_int_t)hugepages("2048", "nr"),
			 "2M-free", (json_int_t)hugepages("2048", "free"), "1G-total",
			 (json_int_t)hugepages("1048576", "nr"), "1G-free",
			 (json_int_t)hugepages("1048576", "free"));
}

static json_int_t limit_of(int resource)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
		return -1;
	return (json_int_t)limit.rlim_cur;
}

json_t *host_show(const struct runtime *rt)
{
	char name[65] = "localhost", cpu[128] = "", cpus[256] = "";
	struct utsname u;

	uname(&u);
	gethostname(name, sizeof(name) - 1);
	read_key("/proc/cpuinfo", "model name", cpu, sizeof(cpu));
	read_line("/sys/devices/system/cpu/online", cpus, sizeof(cpus));
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:I, s:I, s:s, s:o, s:s, s:s, s:I, s:o, s:{s:i, s:i, s:I, s:I}, s:s, "
		"s:s}",
		"name", name, "version", SOFTIOV_VERSION, "dpdk", uplink_dpdk_version(), "kernel",
		u.release, "uptime", (json_int_t)((clock_ns() - rt->started_ns) / 1000000000),
		"pid", (json_int_t)getpid(), "cpu", cpu, "cpu-flags", cpu_flags(), "data-path-cpu",
		cpu_level_name(cpu_level()), "cpus", cpus, "workers",
		(json_int_t)workers_count(rt->workers), "hugepages", hugepage_map(), "limits",
		"workers", WORKERS_MAX, "ports-per-switch", SWITCH_PORTS_MAX, "open-files",
		limit_of(RLIMIT_NOFILE), "locked-memory", limit_of(RLIMIT_MEMLOCK), "run-dir",
		rt->options->run_dir, "state-dir", rt->options->state_dir);
}

/* --- check --- */

static void check_qemu(json_t *checks)
{
	static const char fix[] =
		"install QEMU 10.1 or later (Debian: qemu-system-x86 from trixie-backports or "
		"later)";
	unsigned int major = 0, minor = 0;
	char line[256] = "", text[320];
	const char *at;
	bool has_vfio_user;
	FILE *f;

	f = popen("timeout -s KILL 3 qemu-system-x86_64 --version 2>/dev/null", "re");
	first_line(f, line, sizeof(line));
	if (f != NULL)
		pclose(f);
	at = strstr(line, "version ");
	if (at == NULL || sscanf(at, "version %u.%u", &major, &minor) != 2) {
		backend_check(checks, "qemu", "fail",
			      "there is no qemu-system-x86_64 in the daemon's PATH", fix);
		return;
	}
	text_put(text, sizeof(text), "QEMU %u.%u", major, minor);
	if (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)) {
		text_put(text, sizeof(text), "QEMU %u.%u is too old for VFs; synthetics work",
			 major, minor);
		backend_check(checks, "qemu", "fail", text, fix);
		return;
	}
	backend_check(checks, "qemu", "ok", text, NULL);
	f = popen("timeout -s KILL 3 qemu-system-x86_64 -device vfio-user-pci,help 2>/dev/null",
		  "re");
	has_vfio_user = first_line(f, line, sizeof(line)) && strstr(line, "vfio-user-pci") != NULL;
	if (f != NULL)
		pclose(f);
	if (has_vfio_user)
		backend_check(checks, "vfio-user-pci", "ok", "QEMU has the device for VFs", NULL);
	else
		backend_check(checks, "vfio-user-pci", "fail",
			      "this QEMU was built without vfio-user-pci",
			      "use a QEMU built with it, as Debian's is");
}

static void check_hugepages(json_t *checks)
{
	long free_mb = hugepages("2048", "free") * 2 + hugepages("1048576", "free") * 1024;
	char text[128];

	text_put(text, sizeof(text), "%ld MiB free on hugepages", free_mb);
	if (free_mb >= 256)
		backend_check(checks, "hugepages", "ok", text, NULL);
	else
		backend_check(checks, "hugepages", "warn",
			      "no hugepages: everything works, some 15 % slower",
			      "sysctl vm.nr_hugepages=1024, before softiovd and the VMs start");
}

static bool has_capability(unsigned int bit)
{
	char value[32] = "";

	return read_key("/proc/self/status", "CapEff", value, sizeof(value)) &&
	       (strtoull(value, NULL, 16) >> bit & 1) != 0;
}

static void check_rights(const struct runtime *rt, json_t *checks)
{
	char text[256];

	text_put(text, sizeof(text), "sockets can be made in %s", rt->options->run_dir);
	if (access(rt->options->run_dir, W_OK) == 0)
		backend_check(checks, "run-dir", "ok", text, NULL);
	else
		backend_check(
			checks, "run-dir", "fail", "no right to make sockets in the run folder",
			"chown the folder to the daemon's user, or choose another with --run-dir");
	if (has_capability(CAP_NET_RAW_BIT) && has_capability(CAP_NET_ADMIN_BIT))
		backend_check(checks, "uplink-rights", "ok",
			      "network interfaces can be opened as uplinks", NULL);
	else
		backend_check(
			checks, "uplink-rights", "warn",
			"no right to open network interfaces as uplinks",
			"give the daemon CAP_NET_RAW and CAP_NET_ADMIN (AmbientCapabilities= in its unit)");
}

static void check_locked_memory(json_t *checks)
{
	json_int_t limit = limit_of(RLIMIT_MEMLOCK);

	if (limit < 0 || limit >= (64 << 20) || geteuid() == 0)
		backend_check(checks, "locked-memory", "ok", "enough memory may be locked", NULL);
	else
		backend_check(
			checks, "locked-memory", "warn",
			"less than 64 MiB may be locked: AF_XDP uplinks and hugepages may fail",
			"LimitMEMLOCK=infinity in the daemon's unit, or ulimit -l unlimited");
}

static void check_kvm(json_t *checks)
{
	if (access("/dev/kvm", R_OK | W_OK) == 0)
		backend_check(checks, "kvm", "ok", "VMs can run on KVM", NULL);
	else
		backend_check(
			checks, "kvm", "warn", "no usable /dev/kvm: VMs run by emulation, slowly",
			"switch virtualization on in the firmware, load kvm_intel or kvm_amd, and put the "
			"VM's user into the group kvm");
}

static void check_workers(const struct runtime *rt, json_t *checks)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char text[128];

	text_put(text, sizeof(text), "%u of %ld processors serve the data path",
		 rt->options->n_cpus, n_cpus);
	if (n_cpus > rt->options->n_cpus)
		backend_check(checks, "processors", "ok", text, NULL);
	else
		backend_check(checks, "processors", "warn", text,
			      "leave a processor to the VMs: --workers");
}

json_t *host_check(const struct runtime *rt)
{
	json_t *checks = json_array();

	check_qemu(checks);
	check_kvm(checks);
	check_hugepages(checks);
	check_rights(rt, checks);
	check_locked_memory(checks);
	check_workers(rt, checks);
	return checks;
}
