/* The log's lines, and the ways a process is ended. Linked with --wrap=calloc. */
#include "base/first.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "base/clock.h"
#include "base/log.h"

#include "child.h"
#include "unit.h"

static bool no_memory;
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size) { return no_memory ? NULL : __real_calloc(n, size); }

static char text[CHILD_TEXT_N];

static int say_lines(void)
{
	fare_log(FARE_DEBUG, "not said");
	fare_log(FARE_INFO, "plain %d", 7);
	fare_log_role("bank");
	fare_log(FARE_ALARM, "two\nlines\r\x1b[31m\x7F \xC3\xA9");
	fare_log_level(FARE_ALARM);
	fare_log(FARE_WARN, "not said");
	fare_log_level(FARE_DEBUG);
	errno = ENOENT;
	fare_log(FARE_DEBUG, "%s", "");
	return errno == ENOENT ? 0 : 1;
}

static void test_lines(void **state)
{
	char time[FARE_TIME_TEXT_N], role[32], level[32], rest[64];
	int pid;
	uint64_t ms;
	(void)state;
	assert_int_equal(child_run(say_lines, text), 0);
	assert_null(strstr(text, "not said"));
	assert_int_equal(sscanf(text, "%24s %31[^[][%d] %31[^:]: %63[^\n]", time, role, &pid, level, rest), 5);
	assert_true(fare_clock_parse(fare_span_of(time), &ms));
	assert_string_equal(role, "farebox");
	assert_string_equal(level, "info");
	assert_string_equal(rest, "plain 7");
	char *second = strchr(text, '\n') + 1, *third = strchr(second, '\n') + 1;
	assert_non_null(strstr(second, " bank["));
	assert_non_null(strstr(second, "] alarm: two\\x0alines\\x0d\\x1b[31m\\x7f \xC3\xA9\n"));
	assert_non_null(strstr(third, "] debug: \n"));
	assert_string_equal(strchr(third, '\n'), "\n");
}

static int say_long(void)
{
	char big[5000];
	memset(big, 'x', sizeof big);
	big[sizeof big - 1] = '\0';
	fare_log(FARE_INFO, "%s", big);
	memset(big, '\n', sizeof big - 1);
	fare_log(FARE_INFO, "%s", big);
	return 0;
}

static void test_long_lines_are_cut(void **state)
{
	(void)state;
	assert_int_equal(child_run(say_long, text), 0);
	char *end = strchr(text, '\n'), *second_end = strchr(end + 1, '\n');
	assert_true(end - text < 2048);
	assert_memory_equal(end - 4, "x...", 4);
	assert_true(second_end - end <= 2048);
	assert_memory_equal(second_end - 7, "\\x0a...", 7);
	assert_string_equal(second_end, "\n");
}

enum { THREADS = 4, EACH = 50 };

static void *say_often(void *arg)
{
	(void)arg;
	for (int i = 0; i < EACH; i++)
		fare_log(FARE_INFO, "whole");
	return NULL;
}

static int say_together(void)
{
	pthread_t threads[THREADS];
	for (int t = 0; t < THREADS; t++)
		if (pthread_create(&threads[t], NULL, say_often, NULL) != 0)
			return 1;
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	return 0;
}

static void test_threads(void **state)
{
	int lines = 0;
	(void)state;
	assert_int_equal(child_run(say_together, text), 0);
	for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
		assert_memory_equal(end - 13, "] info: whole", 13);
		lines++;
	}
	assert_int_equal(lines, THREADS * EACH);
}

static int run_fatal(void) { fare_fatal("cannot %s", "go on"); }

static int run_panic(void)
{
	FARE_ASSERT(1 + 1 == 3);
	return 0;
}

static int run_out_of_memory(void)
{
	no_memory = true;
	free(fare_alloc(8));
	return 0;
}

static void test_endings(void **state)
{
	(void)state;
	int status = child_run(run_fatal, text);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(strstr(text, "alarm: cannot go on\n"));
	status = child_run(run_panic, text);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(text, "1 + 1 == 3"));
	status = child_run(run_out_of_memory, text);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(strstr(text, "out of memory"));
}

static void test_memory(void **state)
{
	(void)state;
	char *p = fare_alloc(3);
	assert_memory_equal(p, "\0\0\0", 3);
	p = fare_realloc(p, 1000);
	free(p);
	p = fare_realloc(NULL, 0);
	assert_non_null(p);
	free(p);
	p = fare_strdup("copy");
	assert_string_equal(p, "copy");
	free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines), cmocka_unit_test(test_long_lines_are_cut), cmocka_unit_test(test_threads), cmocka_unit_test(test_endings), cmocka_unit_test(test_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
