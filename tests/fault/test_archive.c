/*
 * The archive of logs. Killed at each step, without space at each write: each log is in the store or, whole, in the archive, and none is missing between two. An archive that
 * is not there, or cannot be written, keeps no log from being kept. Needs a build with fault points.
 */
#include "base/first.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

#include "../unit/books_kit.h"
#include "steps.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/num.h"

enum { SKIPPED = 77, POSTS_A_LIFE = 1500, STEPS_MAX = 100, LOGS_MAX = 1000, LOG_BYTES_LEAST = 400 * 1024, FAILED = 2 };

static char home[KIT_PATH_N], archive[FARE_PATH_N], logs[FARE_PATH_N];

/* Enough for some logs, then a checkpoint that archives them. */
static unsigned days;

static int live(void)
{
	char error[FARE_ERROR_N];
	int e = 0;
	struct fare_op account = kit_account("a");
	struct fare_books *b = fare_books_open(home, true, error);
	must(b && fare_books_begin(b) == 0 && fare_books_apply(b, &account) == 0, "a store");
	for (unsigned n = 0; n < POSTS_A_LIFE; n++) {
		struct fare_op op = kit_money(1, 1, "", 1000);
		must(fare_books_apply(b, &op) == 0 && op.applied == FARE_APPLIED, "a post");
	}
	must(fare_books_commit(b) == 0 && fare_books_checkpoint_to(b, archive, days, &e) == 0, "a checkpoint");
	_exit(e ? FAILED : 0);
}

static int verify(void)
{
	char error[FARE_ERROR_N];
	struct fare_verify v;
	struct fare_books *b = fare_books_open(home, false, error);
	must(b && fare_books_verify(b, &v) == 0 && v.ok && v.entries % POSTS_A_LIFE == 0, "verify is clean");
	fare_books_close(&b);
	return 0;
}

/* Marks the logs of a folder, and of the folders in it; archived ones must be whole. */
static void mark(const char *path, bool whole, bool there[LOGS_MAX])
{
	char one[FARE_PATH_N];
	struct dirent *e;
	struct stat st;
	uint64_t n;
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !fare_path(one, sizeof one, path, e->d_name) || stat(one, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			mark(one, whole, there);
		} else if (strlen(e->d_name) == 14 && fare_num_u64(fare_span_of(e->d_name + 4), 1, LOGS_MAX - 1, &n)) {
			must(!whole || st.st_size >= LOG_BYTES_LEAST, "an archived log is whole");
			there[n] = true;
		}
	}
	if (d)
		closedir(d);
}

/* From the first to the last; their number. */
static unsigned must_have_all(void)
{
	bool there[LOGS_MAX] = {false};
	unsigned last = 0;
	mark(archive, true, there);
	mark(logs, false, there);
	for (unsigned n = 1; n < LOGS_MAX; n++)
		last = there[n] ? n : last;
	for (unsigned n = 1; n <= last; n++)
		must(there[n], "no log is missing");
	return last;
}

/* As if written 40 days ago: every log of the archive. Their number. */
static unsigned age(const char *path)
{
	char one[FARE_PATH_N];
	struct dirent *e;
	struct stat st;
	struct timespec then[2] = {{.tv_sec = time(NULL) - 40 * 24 * 60 * 60}, {.tv_sec = time(NULL) - 40 * 24 * 60 * 60}};
	unsigned n = 0;
	DIR *d = opendir(path);
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' || !fare_path(one, sizeof one, path, e->d_name) || stat(one, &st) != 0)
			continue;
		if (S_ISDIR(st.st_mode))
			n += age(one);
		else
			n += utimensat(AT_FDCWD, one, then, 0) == 0;
	}
	if (d)
		closedir(d);
	return n;
}

static void check_days(void)
{
	bool before[LOGS_MAX] = {false}, after[LOGS_MAX] = {false};
	mark(archive, true, before);
	must(age(archive) > 0, "logs to remove");
	days = 41;
	must(exited(run("store_small_logs:fail@*", live), 0), "a checkpoint");
	mark(archive, true, after);
	must(memcmp(before, after, sizeof before) != 0 && after[1], "too young to be removed");
	days = 39;
	must(exited(run("store_small_logs:fail@*", live), 0), "a checkpoint");
	memset(after, 0, sizeof after);
	mark(archive, true, after);
	for (unsigned n = 1; n < LOGS_MAX; n++)
		must(!before[n] || !after[n], "an old log is removed");
}

int main(void)
{
	unsigned step = 1, all;
	char rule[96];
	int status;
#ifndef FARE_FAULTS
	return SKIPPED;
#endif
	fare_log_level(FARE_ALARM);
	kit_home(home);
	must(fare_path(archive, sizeof archive, home, "archive") && fare_path(logs, sizeof logs, home, "store/log"), "paths");
	must(exited(run("store_small_logs:fail@*", live), FAILED) && access(archive, F_OK) != 0, "without the folder it fails, and none is made");
	must(must_have_all() > 1, "and they stay");
	must(fare_mkdirs(archive, 0700), "mkdir");
	for (;; step++) {
		snprintf(rule, sizeof rule, "store_small_logs:fail@*,archive:kill@%u", step);
		status = run(rule, live);
		all = must_have_all();
		if (exited(status, 0))
			break;
		must(step < STEPS_MAX && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed at a step");
	}
	must(exited(run("store_small_logs:fail@*,store_copy:fail", live), FAILED) && must_have_all() > all, "without space they stay");
	must(exited(run("store_small_logs:fail@*", live), 0), "and go when there is some");
	must(exited(run("", verify), 0), "the store is well");
	all = must_have_all();
	check_days();
	printf("ok - killed at %u steps, %u logs\n", step - 1, all);
	kit_remove(home);
	return 0;
}
