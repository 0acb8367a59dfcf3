/* 100 processes race to start a bank: all of them are answered, by one. And what SIGKILL leaves does not stop the next. */
#include "base/first.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bank.h"
#include "base/fs.h"

enum { RACERS = 100, ROUNDS = 4 };

static struct test_bank bank;

/* A racer writes the process id of the bank that answered it. */
static void race(int start, int result)
{
	char c;
	TEST_MUST(read(start, &c, 1) == 0); /* until the parent closes it */
	long pid = test_bank_pid(&bank);
	TEST_MUST(write(result, &pid, sizeof pid) == (ssize_t)sizeof pid);
	_exit(0);
}

static long run_round(void)
{
	int start[2], result[2], status;
	long first = 0, pid;
	TEST_MUST(pipe(start) == 0 && pipe(result) == 0);
	for (int i = 0; i < RACERS; i++) {
		pid_t child = fork();
		TEST_MUST(child >= 0);
		if (child == 0) {
			close(start[1]);
			race(start[0], result[1]);
		}
	}
	close(start[1]);
	for (int i = 0; i < RACERS; i++) {
		TEST_MUST(read(result[0], &pid, sizeof pid) == (ssize_t)sizeof pid);
		first = first ? first : pid;
		TEST_MUST(pid == first);
	}
	for (int i = 0; i < RACERS; i++)
		TEST_MUST(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(start[0]);
	close(result[0]);
	close(result[1]);
	return first;
}

/* Each bank that got as far as the store says so in the log. */
static int banks_opened(void)
{
	char path[FARE_PATH_N];
	struct fare_buf log;
	int n = 0;
	fare_buf_init(&log, 1 << 20);
	TEST_MUST(fare_path(path, sizeof path, bank.conf.run, "bank.log") && fare_file_read(path, &log));
	for (const char *p = fare_buf_cstr(&log); (p = strstr(p, "info: open:")); p++)
		n++;
	fare_buf_release(&log);
	return n;
}

int main(void)
{
	test_bank_new(&bank);
	for (int i = 0; i < ROUNDS; i++) {
		long pid = run_round();
		TEST_MUST(banks_opened() == i + 1);
		TEST_MUST(kill((pid_t)pid, i % 2 ? SIGTERM : SIGKILL) == 0);
		while (fare_process_start((pid_t)pid)) /* a zombie is gone, whoever is to wait for it */
			usleep(2000);
	}
	test_bank_must(&bank, "{\"op\": \"stop\"}");
	test_bank_remove(&bank);
	printf("%d rounds of %d: one bank each\n", ROUNDS, RACERS);
	return 0;
}
