/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cpu.h"

static void test_names(void **state)
{
	enum cpu_level level;

	for (unsigned int i = 0; i < CPU_LEVELS; i++) {
		level = CPU_LEVELS;
		assert_true(cpu_level_parse(cpu_level_name((enum cpu_level)i), &level));
		assert_int_equal(level, i);
	}
	assert_false(cpu_level_parse("", &level));
	assert_false(cpu_level_parse("AVX2", &level));
	assert_false(cpu_level_parse("avx", &level));
}

/* The level that a process with this environment comes to: it is found once in a process. */
static int level_with(const char *env)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		if (env == NULL)
			unsetenv("SOFTIOV_CPU");
		else
			setenv("SOFTIOV_CPU", env, 1);
		_exit((int)cpu_level());
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_environment(void **state)
{
	int max = (int)cpu_level_max();

	assert_int_equal(level_with(NULL), max);
	assert_int_equal(level_with(""), max);
	assert_int_equal(level_with("fast"), max);
	/* It lowers, and never raises. */
	for (int i = 0; i < CPU_LEVELS; i++)
		assert_int_equal(level_with(cpu_level_name((enum cpu_level)i)), i < max ? i : max);
}

static void test_is_found_once(void **state)
{
	enum cpu_level first = cpu_level();

	setenv("SOFTIOV_CPU", cpu_level_name(CPU_PORTABLE), 1);
	assert_int_equal(cpu_level(), first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_is_found_once),
	};

	return cmocka_run_group_tests_name("cpu", tests, NULL, NULL);
}
