/* SPDX-License-Identifier: BSD-3-Clause */
/* The texts for QEMU and libvirt: what is in them for each kind of vport, and quoting. */
#include "model/vm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* NOLINTBEGIN(misc-unused-parameters): cmocka's signatures */

static const char mac[] = "02:00:00:00:00:01";

static void test_qemu_pair(void **state)
{
	const struct vm_nic nic = {
		"web1", mac, "/r/vf/web1.sock", "/r/syn/web1.sock", 1ull << 30, 1, 1, 1500
	};
	char *text = vm_qemu_args(&nic);

	assert_string_equal(
		text,
		"-machine q35,memory-backend=softiov-mem \\\n"
		"-m 1G \\\n"
		"-object memory-backend-memfd,id=softiov-mem,size=1G,share=on \\\n"
		"-device pcie-root-port,id=rp-syn-web1,chassis=2,slot=2 \\\n"
		"-chardev socket,id=char-web1,path=/r/syn/web1.sock,reconnect-ms=1000 \\\n"
		"-netdev vhost-user,id=net-web1,chardev=char-web1 \\\n"
		"-device virtio-net-pci,netdev=net-web1,mac=02:00:00:00:00:01,failover=on,id=syn-web1,"
		"bus=rp-syn-web1 \\\n"
		"-device pcie-root-port,id=rp-vf-web1,chassis=1,slot=1 \\\n"
		"-device '{\"driver\":\"vfio-user-pci\",\"id\":\"vf-web1\",\"bus\":\"rp-vf-web1\","
		"\"failover_pair_id\":\"syn-web1\",\"socket\":{\"type\":\"unix\","
		"\"path\":\"/r/vf/web1.sock\"}}'\n");
	free(text);
}

static void test_qemu_single(void **state)
{
	struct vm_nic nic = { "web1", mac, "/r/vf/web1.sock", NULL, 0, 3, 1, 1500 };
	char *text = vm_qemu_args(&nic);

	assert_string_equal(text, "-device pcie-root-port,id=rp-vf-web1,chassis=3,slot=3 \\\n"
				  "-device '{\"driver\":\"vfio-user-pci\",\"id\":\"vf-web1\","
				  "\"bus\":\"rp-vf-web1\",\"socket\":{\"type\":\"unix\","
				  "\"path\":\"/r/vf/web1.sock\"}}'\n");
	free(text);
	nic.vf_socket = NULL;
	nic.syn_socket = "/r/syn/web1.sock";
	text = vm_qemu_args(&nic);
	assert_null(strstr(text, "failover"));
	assert_null(strstr(text, "vfio-user"));
	assert_non_null(strstr(text, "-netdev vhost-user"));
	assert_null(strstr(text, "queues"));
	assert_null(strstr(text, "mq"));
	free(text);
	nic.queues = 4;
	text = vm_qemu_args(&nic);
	assert_non_null(strstr(text, "-netdev vhost-user,id=net-web1,chardev=char-web1,queues=4 "));
	assert_non_null(strstr(text, ",mq=on,vectors=10,"));
	assert_null(strstr(text, "mtu"));
	free(text);
	nic.mtu = 9000;
	text = vm_qemu_args(&nic);
	assert_non_null(strstr(text, ",host_mtu=9000,"));
	free(text);
}

/* A shell must see the same arguments again, whatever the path holds. */
static void test_quoting(void **state)
{
	static const char path[] = "/it's $HOME, \"a\\b\"/*;x";
	const struct vm_nic nic = { "w", mac, path, path, 0, 1, 1, 1500 };
	char *text = vm_qemu_args(&nic), *command, line[1024];
	unsigned int n = 0;
	FILE *shell;

	text[strlen(text) - 1] = '\0';
	assert_true(asprintf(&command, "printf '%%s\\n' %s", text) > 0);
	shell = popen(command, "r");
	while (fgets(line, sizeof(line), shell)) {
		line[strcspn(line, "\n")] = '\0';
		if (!strncmp(line, "socket,", 7)) {
			assert_string_equal(line,
					    "socket,id=char-w,path=/it's $HOME,, \"a\\b\"/*;x,"
					    "reconnect-ms=1000");
			n++;
		}
		if (line[0] == '{') {
			assert_non_null(
				strstr(line, "\"path\":\"/it's $HOME, \\\"a\\\\b\\\"/*;x\""));
			n++;
		}
	}
	pclose(shell);
	assert_int_equal(n, 2);
	free(command);
	free(text);
}

static void test_libvirt(void **state)
{
	struct vm_nic nic = { "web1", mac, "/r/<&'>.sock", "/r/syn.sock", 1ull << 30, 1, 1, 1500 };
	char *text = vm_libvirt_xml(&nic);

	assert_non_null(strstr(text, "<source type='memfd'/>"));
	assert_non_null(strstr(text, "<access mode='shared'/>"));
	assert_non_null(strstr(text, "<memory unit='KiB'>1048576</memory>"));
	assert_non_null(strstr(text, "<teaming type='persistent'/>"));
	assert_non_null(strstr(text, "<mac address='02:00:00:00:00:01'/>"));
	assert_non_null(strstr(text, "/r/&lt;&amp;&apos;&gt;.sock"));
	assert_non_null(strstr(text, "\"failover_pair_id\":\"ua-web1\""));
	free(text);
	nic.vf_socket = NULL;
	nic.memory = 0;
	text = vm_libvirt_xml(&nic);
	assert_null(strstr(text, "qemu:"));
	assert_null(strstr(text, "teaming"));
	assert_null(strstr(text, "memoryBacking"));
	assert_null(strstr(text, "queues"));
	free(text);
	nic.queues = 4;
	text = vm_libvirt_xml(&nic);
	assert_non_null(strstr(text, "<driver name='vhost' queues='4'/>"));
	assert_null(strstr(text, "mtu"));
	free(text);
	nic.mtu = 9000;
	text = vm_libvirt_xml(&nic);
	assert_non_null(strstr(text, "<mtu size='9000'/>"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_qemu_pair),
		cmocka_unit_test(test_qemu_single),
		cmocka_unit_test(test_quoting),
		cmocka_unit_test(test_libvirt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* NOLINTEND(misc-unused-parameters) */
