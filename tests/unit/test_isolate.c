/* A confined worker: the store is out of reach, all else is as before. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../fcgi/isolate.h"
#include "base/fs.h"

#include "unit.h"

static char home[] = "/tmp/farebox-test-isolate.XXXXXX";

static const char *in_home(const char *name)
{
	static char path[FARE_PATH_N];
	assert_true(fare_path(path, sizeof path, home, name));
	return path;
}

static int group_setup(void **state)
{
	(void)state;
	if (!mkdtemp(home) || mkdir(in_home("store"), 0700) || mkdir(in_home("run"), 0700) || mkdir(in_home("log"), 0700) || symlink("store", in_home("link")))
		return -1;
	return fare_file_write(in_home("store/log"), "x", 1, 0600) && fare_file_write(in_home("run/meter"), "x", 1, 0600) && fare_file_write(in_home("settings"), "x", 1, 0600) ? 0 : -1;
}

static int group_teardown(void **state)
{
	(void)state;
	unlink(in_home("store/log"));
	unlink(in_home("run/meter"));
	unlink(in_home("run/new"));
	unlink(in_home("link"));
	unlink(in_home("settings"));
	unlink(in_home("farebox.json"));
	rmdir(in_home("store"));
	rmdir(in_home("run"));
	unlink(in_home("log/calls"));
	rmdir(in_home("log"));
	return rmdir(home);
}

static bool opens(const char *name, int flags)
{
	int fd = open(in_home(name), flags | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* In a child: nobody comes back from it. Each bit: one thing that is not as it must be. */
static int confined(void)
{
	char made[FARE_PATH_N];
	int wrong = 0;
	char run[FARE_PATH_N];
	if (!fare_path(run, sizeof run, home, "run") || !fare_isolate(home, run, FARE_ISOLATED_LANDLOCK))
		return 255;
	wrong |= opens("store/log", O_RDONLY) ? 1 : 0;
	wrong |= opens("store/log", O_WRONLY) ? 2 : 0;
	wrong |= opens("store/new", O_WRONLY | O_CREAT) ? 4 : 0;
	wrong |= opens("link/log", O_RDONLY) ? 8 : 0;
	wrong |= opens("run/meter", O_RDWR) && opens("log/calls", O_WRONLY | O_CREAT) && !opens("other", O_WRONLY | O_CREAT) ? 0 : 16;
	assert_true(fare_path(made, sizeof made, home, "run/new"));
	wrong |= fare_file_write(made, "y", 1, 0600) ? 0 : 32;
	int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	wrong |= fd >= 0 ? 0 : 64;
	wrong |= prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 128;
	return wrong;
}

static void test_landlock(void **state)
{
	int status;
	(void)state;
	if (fare_isolate_level(home, getuid()) == FARE_ISOLATED_NOT)
		skip();
	assert_true(opens("store/log", O_RDONLY));
	pid_t pid = fork();
	if (pid == 0)
		_exit(confined());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* What its user may do and a worker never needs. */
static int confined_more(void)
{
	char run[FARE_PATH_N];
	char *argv[] = {(char *)(uintptr_t)"true", NULL};
	int fds[2], wrong = 0;
	if (!fare_path(run, sizeof run, home, "run") || !fare_isolate(home, run, FARE_ISOLATED_LANDLOCK))
		return 255;
	int stream = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), packets = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), net = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	wrong |= stream < 0 ? 0 : 1; /* of admin.sock's kind */
	wrong |= packets >= 0 && net >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0 ? 0 : 2;
	wrong |= opens("farebox.json", O_WRONLY | O_CREAT) ? 4 : 0;
	wrong |= opens("settings", O_RDONLY) ? 0 : 8;
	wrong |= opens("settings", O_WRONLY) ? 16 : 0;
	execv("/bin/true", argv);
	return wrong;
}

static void test_more(void **state)
{
	int status;
	(void)state;
	if (fare_isolate_level(home, getuid()) == FARE_ISOLATED_NOT)
		skip();
	pid_t pid = fork();
	if (pid == 0)
		_exit(confined_more() | 32);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 32); /* 0: a program was started */
}

static void test_level(void **state)
{
	(void)state;
	assert_int_equal(fare_isolate_level(home, getuid() + 1), FARE_ISOLATED_UID);
	/* Of the same user, and for root whoever owns the store, another uid protects nothing. */
	assert_int_not_equal(fare_isolate_level(home, getuid()), FARE_ISOLATED_UID);
	assert_int_not_equal(fare_isolate_level(home, 0), FARE_ISOLATED_UID);
	assert_string_equal(fare_isolate_name(FARE_ISOLATED_UID), "uid");
	assert_string_equal(fare_isolate_name(FARE_ISOLATED_LANDLOCK), "landlock");
	assert_string_equal(fare_isolate_name(FARE_ISOLATED_NOT), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_landlock), cmocka_unit_test(test_more), cmocka_unit_test(test_level)};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
