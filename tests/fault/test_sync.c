/*
 * What is done after a failed fsync: every file of the store becomes a new one. Killed at each step, without space at each write: the marks stay until it is done, the
 * store opens whatever it was, and has all it had. Needs a build with fault points.
 */
#include "base/first.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

#include "../unit/books_kit.h"
#include "steps.h"
#include "base/fs.h"
#include "base/log.h"
#include "store/inner.h"
#include "store/store.h"

enum { SKIPPED = 77, POSTS = 300, STEPS_MAX = 200, OPENED = 3, TELL_US = 300000 };

static char home[KIT_PATH_N];

static bool is_there(const char *name)
{
	char path[FARE_PATH_N];
	return fare_path(path, sizeof path, home, name) && access(path, F_OK) == 0;
}

static ino_t inode(const char *name)
{
	char path[FARE_PATH_N];
	struct stat st;
	must(fare_path(path, sizeof path, home, name) && stat(path, &st) == 0, name);
	return st.st_ino;
}

static int make(void)
{
	char error[FARE_ERROR_N];
	struct fare_op account = kit_account("a");
	struct fare_books *b = fare_books_open(home, true, error);
	must(b && fare_books_begin(b) == 0 && fare_books_apply(b, &account) == 0 && fare_books_commit(b) == 0, "a store");
	for (uint64_t n = 0; n < POSTS; n++) {
		char ref[32];
		snprintf(ref, sizeof ref, "ref-%llu", (unsigned long long)n);
		struct fare_op op = kit_money(1, 1, ref, 1000 * n);
		must(fare_books_begin(b) == 0 && fare_books_apply(b, &op) == 0 && fare_books_commit(b) == 0, "a post");
	}
	_exit(0); /* as if killed: there is something to recover */
}

static int look(void)
{
	char error[FARE_ERROR_N];
	struct fare_verify v;
	struct fare_books *b = fare_books_open(home, false, error);
	if (!b)
		printf("# %s\n", error);
	must(b && fare_books_verify(b, &v) == 0 && v.ok && v.entries == POSTS, "all is there");
	fare_books_close(&b);
	return 0;
}

static int resync(void)
{
	char error[FARE_STORE_ERROR_N];
	int r = fare_store_resync(home, home, error);
	return r == FARE_STORE_OK ? 0 : r == FARE_STORE_NONE ? 1 : 2;
}

static int mark(void)
{
	fare_store_mark_unsynced(home, home);
	return 0;
}

static int open_only(void)
{
	char error[FARE_ERROR_N];
	struct fare_books *b;
	fare_store_watch_disk(NULL);
	b = fare_books_open(home, false, error);
	return b ? OPENED : 0;
}

/* Two threads: while the first tells of its failed fsync the other one asks for the next, and must not come back before. */
static atomic_bool told;
static sem_t telling;

static void tell_slowly(enum fare_disk_failed what, int error)
{
	(void)what;
	(void)error;
	sem_post(&telling);
	usleep(TELL_US);
	atomic_store(&told, true);
}

static void *sync_store(void *arg)
{
	char path[FARE_PATH_N];
	(void)arg;
	must(fare_path(path, sizeof path, home, "store") && fare_store_sync_files(path) != 0, "an fsync fails, or is not asked for any more");
	return NULL;
}

static int turned_away(void)
{
	pthread_t first;
	must(sem_init(&telling, 0, 0) == 0, "a semaphore");
	fare_store_watch_disk(tell_slowly);
	must(pthread_create(&first, NULL, sync_store, NULL) == 0 && sem_wait(&telling) == 0, "the first fails");
	sync_store(NULL);
	must(atomic_load(&told), "nobody goes on before the failure has been told");
	must(pthread_join(first, NULL) == 0, "joined");
	return 0;
}

/* True: it was done before that step. */
static bool killed_at(unsigned step)
{
	char rule[64];
	snprintf(rule, sizeof rule, "resync:kill@%u", step);
	int status = run(rule, resync);
	if (exited(status, 0))
		return true;
	must(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "killed at a step");
	must(exited(run("", look), 0), "after a kill it opens");
	return false;
}

int main(void)
{
	unsigned step = 1;
#ifndef FARE_FAULTS
	return SKIPPED;
#endif
	fare_log_level(FARE_ALARM);
	kit_home(home);
	must(exited(run("", make), 0), "made");
	must(exited(run("", resync), 1), "without a mark nothing is done");
	must(exited(run("", mark), 0) && is_there("UNSYNCED") && is_there("store/UNSYNCED"), "marked");
	for (unsigned n = 1; n <= 15; n += 4) { /* no space for one of the copies */
		char rule[64];
		snprintf(rule, sizeof rule, "store_copy:fail@%u", n);
		must(exited(run(rule, resync), 2) && is_there("UNSYNCED") && is_there("store/UNSYNCED") && !is_there("store/meta.db.copy"), "without space it stays marked");
		must(exited(run("", look), 0), "without space it opens");
	}
	ino_t log = inode("store/log/log.0000000001"), meta = inode("store/meta.db");
	for (; !killed_at(step); step++)
		must(step < STEPS_MAX && (is_there("UNSYNCED") || is_there("store/UNSYNCED")), "marked until it is done");
	must(!is_there("UNSYNCED") && !is_there("store/UNSYNCED"), "done");
	must(inode("store/log/log.0000000001") != log || inode("store/meta.db") != meta, "other files");
	must(exited(run("", look), 0), "all is there at the end");
	/* The first that fails is the last that is asked, and a log that cannot be read has no end. */
	must(exited(run("store_sync:fail", open_only), 0), "a failed fsync at the start");
	must(exited(run("store_sync:fail@1", turned_away), 0), "one fails, the other is turned away");
	must(exited(run("store_read:fail", open_only), 0), "a failed read at the start");
	must(exited(run("", look), 0), "all is there after them");
	kit_remove(home);
	printf("ok - killed at %u steps\n", step - 1);
	return 0;
}
