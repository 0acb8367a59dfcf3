/* Fault points. Each case runs in a child, for rules are read once per process. Skipped when fault points are not compiled in. */
#include "base/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/fs.h"

#include "child.h"
#include "unit.h"

#ifdef FARE_FAULTS

static char text[CHILD_TEXT_N];
static char rules_path[] = "/tmp/farebox-test-fault.XXXXXX";

static int run_none(void) { return fare_fault("a") || fare_fault("b") ? 1 : 0; }

static int run_fail(void)
{
	setenv("FAREBOX_FAULT", "a:fail,b:fail@3,c:fail@*", 1);
	bool ok = fare_fault("a") && !fare_fault("a") && !fare_fault("b") && !fare_fault("b") && fare_fault("b") && !fare_fault("b");
	ok = ok && fare_fault("c") && fare_fault("c") && !fare_fault("") && !fare_fault("aa") && !fare_fault("d");
	return ok ? 0 : 1;
}

static int run_kill(void)
{
	setenv("FAREBOX_FAULT", "a:kill@2", 1);
	return fare_fault("a") ? 1 : fare_fault("a") ? 2 : 3;
}

static int run_exit(void)
{
	setenv("FAREBOX_FAULT", "a:exit", 1);
	fare_fault("a");
	return 0;
}

static int run_sleep(void)
{
	setenv("FAREBOX_FAULT", "a:sleep=1", 1);
	return fare_fault("a") ? 1 : 0;
}

static int run_bad_action(void)
{
	setenv("FAREBOX_FAULT", "a:explode", 1);
	fare_fault("a");
	return 0;
}

static int run_bad_count(void)
{
	setenv("FAREBOX_FAULT", "a:fail@x", 1);
	fare_fault("a");
	return 0;
}

static bool rules_are(const char *rules) { return fare_file_write(rules_path, rules, strlen(rules), 0600); }

static int run_file(void)
{
	setenv("FAREBOX_FAULT", "b:fail@2", 1);
	setenv("FAREBOX_FAULT_FILE", rules_path, 1);
	bool ok = rules_are("") && !fare_fault("a") && !fare_fault("b");
	ok = ok && rules_are("a:fail@2\nc:fail@*\n") && !fare_fault("a") && fare_fault("a") && !fare_fault("a") && fare_fault("c") && fare_fault("c");
	ok = ok && rules_are("") && !fare_fault("c") && fare_fault("b"); /* what the environment says stays */
	ok = ok && rules_are("a:fail@2") && !fare_fault("a") && fare_fault("a"); /* counted anew */
	unlink(rules_path);
	return ok && !fare_fault("a") ? 0 : 1;
}

static void *lift_soon(void *arg)
{
	(void)arg;
	usleep(20000);
	unlink(rules_path);
	return NULL;
}

static int run_hold(void)
{
	char rule[128];
	pthread_t thread;
	snprintf(rule, sizeof rule, "a:hold=%s@2", rules_path);
	setenv("FAREBOX_FAULT", rule, 1);
	if (!rules_are("") || fare_fault("a") || pthread_create(&thread, NULL, lift_soon, NULL) != 0)
		return 1;
	bool failed = fare_fault("a");
	bool waited = access(rules_path, F_OK) != 0;
	pthread_join(thread, NULL);
	return failed || !waited ? 1 : 0;
}

enum { THREADS = 4, EACH = 30 };
static int struck[THREADS];

static void *pass_often(void *arg)
{
	int *mine = arg;
	for (int i = 0; i < EACH; i++)
		*mine += fare_fault("a");
	return NULL;
}

static int run_threads(void)
{
	pthread_t threads[THREADS];
	int total = 0;
	setenv("FAREBOX_FAULT", "a:fail@77", 1);
	for (int t = 0; t < THREADS; t++)
		if (pthread_create(&threads[t], NULL, pass_often, &struck[t]) != 0)
			return 1;
	for (int t = 0; t < THREADS; t++) {
		pthread_join(threads[t], NULL);
		total += struck[t];
	}
	return total == 1 ? 0 : 1;
}

static void test_strokes(void **state)
{
	static const struct { int (*fn)(void); int exit_status; const char *said; } rows[] = {
		{run_none, 0, ""}, {run_fail, 0, "fault point b: pass 3, struck: fail\n"}, {run_exit, 1, "struck: exit\n"}, {run_sleep, 0, "struck: sleep=1\n"},
		{run_bad_action, 1, "unknown action: explode"}, {run_bad_count, 1, "bad count"}, {run_file, 0, "fault point a: pass 2, struck: fail\n"}, {run_hold, 0, "struck: hold="},
		{run_threads, 0, "fault point a: pass 77, struck: fail\n"},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		int status = child_run(rows[i].fn, text);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != rows[i].exit_status || !strstr(text, rows[i].said))
			fail_msg("row %zu: status %d, said: %s", i, status, text);
	}
}

static void test_kill(void **state)
{
	(void)state;
	int status = child_run(run_kill, text);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_non_null(strstr(text, "pass 2, struck: kill\n"));
}

static char once_path[sizeof rules_path + 8];

static int run_kill_once(void)
{
	char rule[128];
	snprintf(rule, sizeof rule, "a:kill=%s@*", once_path);
	setenv("FAREBOX_FAULT", rule, 1);
	fare_fault("a");
	return 7;
}

/* Whoever removes the file is killed; who comes after lives. */
static void test_kill_once(void **state)
{
	(void)state;
	snprintf(once_path, sizeof once_path, "%s.once", rules_path);
	int fd = open(once_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
	int status = child_run(run_kill_once, text);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	status = child_run(run_kill_once, text);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_strokes), cmocka_unit_test(test_kill), cmocka_unit_test(test_kill_once)};
	int fd = mkstemp(rules_path);
	if (fd < 0)
		return 1;
	close(fd);
	unsetenv("FAREBOX_FAULT");
	unsetenv("FAREBOX_FAULT_FILE");
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(rules_path);
	return failed;
}

#else

int main(void) { return fare_fault("a") ? 1 : 77; }

#endif
