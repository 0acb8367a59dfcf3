/* Runs a function in a child process with its standard error caught: for what ends a process, and for what is logged. */
#ifndef FARE_TESTS_CHILD_H
#define FARE_TESTS_CHILD_H

#include "base/first.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

enum { CHILD_TEXT_N = 16384 };

/* Returns the wait status; what the child wrote to standard error is in text, NUL-terminated. The function's result is the exit status. */
static inline int child_run(int (*fn)(void), char text[CHILD_TEXT_N])
{
	int fds[2], status = -1;
	size_t n = 0;
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		dup2(fds[1], STDERR_FILENO);
		close(fds[0]);
		close(fds[1]);
		_exit(fn());
	}
	close(fds[1]);
	for (ssize_t got; (got = read(fds[0], text + n, CHILD_TEXT_N - 1 - n)) > 0;)
		n += (size_t)got;
	text[n] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

#endif
