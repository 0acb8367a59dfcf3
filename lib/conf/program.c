/* Running and replaced programs. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/program.h"

enum { CHECK_MS = 10 * 1000 };

bool fare_program_replaced(const char *name, char path[FARE_PATH_N])
{
	struct stat runs, there;
	return fare_conf_program(name, path) && stat("/proc/self/exe", &runs) == 0 && stat(path, &there) == 0 &&
	       (runs.st_dev != there.st_dev || runs.st_ino != there.st_ino);
}

/* 0, or an errno. */
static int spawn(char *const argv[], int err_fd, pid_t *pid)
{
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&files, err_fd, STDERR_FILENO);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	int e = posix_spawn(pid, argv[0], &files, &attr, argv, environ);
	posix_spawnattr_destroy(&attr);
	posix_spawn_file_actions_destroy(&files);
	return e;
}

/* The first line of what comes, as far as there is room; the rest is read too. False: it does not end in time. */
static bool read_line(int fd, char error[FARE_CONF_ERROR_N])
{
	uint64_t until_ms = fare_clock_boot_ms() + CHECK_MS;
	size_t n = 0;
	for (uint64_t now_ms; (now_ms = fare_clock_boot_ms()) < until_ms;) {
		char rest[256];
		struct pollfd p = {.fd = fd, .events = POLLIN};
		size_t room = FARE_CONF_ERROR_N - 1 - n;
		if (poll(&p, 1, (int)(until_ms - now_ms)) <= 0)
			continue;
		ssize_t got = room ? read(fd, error + n, room) : read(fd, rest, sizeof rest);
		if (got == 0 || (got < 0 && errno != EINTR)) {
			error[n] = 0;
			error[strcspn(error, "\n")] = 0;
			return true;
		}
		n += room && got > 0 ? (size_t)got : 0;
	}
	return false;
}

bool fare_program_check(char *const argv[], char error[FARE_CONF_ERROR_N])
{
	int ends[2], status = -1;
	pid_t pid = -1;
	int e = pipe2(ends, O_CLOEXEC) == 0 ? 0 : errno;
	if (e == 0 && (e = spawn(argv, ends[1], &pid)) != 0)
		close(ends[0]), close(ends[1]);
	if (e) {
		snprintf(error, FARE_CONF_ERROR_N, "%.300s cannot be run: %s", argv[0], strerror(e));
		return false;
	}
	close(ends[1]);
	bool ended = read_line(ends[0], error);
	close(ends[0]);
	if (!ended)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	bool ok = ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	if (!ok && (!ended || !*error))
		snprintf(error, FARE_CONF_ERROR_N, "%.300s %s", argv[0], ended ? "does not work, and does not say why" : "does not answer");
	return ok;
}
