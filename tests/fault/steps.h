/* A process killed at each step of something: what tests of that share. */
#ifndef FARE_TESTS_STEPS_H
#define FARE_TESTS_STEPS_H

#include "base/first.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static inline void must(bool ok, const char *what)
{
	if (ok)
		return;
	printf("not ok - %s (%s)\n", what, strerror(errno));
	exit(1);
}

/* In a process of its own, with a fault rule; its wait status. */
static inline int run(const char *rule, int (*fn)(void))
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		must(setenv("FAREBOX_FAULT", rule, 1) == 0, "setenv");
		exit(fn());
	}
	must(pid > 0 && waitpid(pid, &status, 0) == pid, "fork");
	return status;
}

static inline bool exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

#endif
