/*
 * A failed fsync. The kernel tells it once, and then takes the pages that it could not write for clean: what is read back is not what the disk has, and the next fsync
 * succeeds. Berkeley DB would even ask again until it does. So the first failure is final: it is marked in the store and in the run folder, the process ends, and no bank
 * trusts these files again: each is copied into a new one, which is flushed and takes its place, before anything is recovered.
 *
 * The marks go last. Whoever is killed on the way leaves copies that nobody reads, or files replaced by what they had: the next one begins anew.
 */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "store/inner.h"

static const char mark[] = "UNSYNCED", copy_end[] = ".copy";

/* ---- The failure */

static fare_disk_failed_fn *on_failed;
static atomic_bool sync_has_failed, recovering, read_has_failed;
static pthread_mutex_t telling = PTHREAD_MUTEX_INITIALIZER;

/* Who is turned away ends the process: not before the one that met the failure has marked it. */
static int sync_failed(int r)
{
	pthread_mutex_lock(&telling);
	if (!atomic_exchange(&sync_has_failed, true) && on_failed)
		on_failed(FARE_DISK_SYNC, r);
	pthread_mutex_unlock(&telling);
	return r;
}

static int sync_or_fail(int fd)
{
	int r;
	if (atomic_load(&sync_has_failed))
		return sync_failed(EIO);
	do
		r = fare_fault("store_sync") ? EIO : fdatasync(fd) == 0 ? 0 : errno;
	while (r == EINTR);
	return r == 0 ? 0 : sync_failed(r);
}

/* Recovery takes a log that it cannot read for one that ends there, and writes zeros over the rest. */
static ssize_t read_or_fail(int fd, void *p, size_t n, off_t at)
{
	ssize_t got;
	do
		got = pread(fd, p, n, at);
	while (got < 0 && errno == EINTR);
	if (fare_fault("store_read")) {
		got = -1;
		errno = EIO;
	}
	if (got >= 0 || !atomic_load(&recovering))
		return got;
	int e = errno;
	atomic_store(&read_has_failed, true);
	if (on_failed)
		on_failed(FARE_DISK_READ, e);
	errno = e;
	return got;
}

void fare_store_watch_disk(fare_disk_failed_fn *failed)
{
	on_failed = failed;
	FARE_ASSERT(db_env_set_func_fsync(sync_or_fail) == 0 && db_env_set_func_pread(read_or_fail) == 0);
}

void fare_store_recovery_begins(void)
{
	atomic_store(&read_has_failed, false);
	atomic_store(&recovering, true);
}

bool fare_store_recovery_ended(void)
{
	atomic_store(&recovering, false);
	return !atomic_load(&read_has_failed);
}

/* ---- The marks */

static bool folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	int e = errno;
	if (fd >= 0)
		close(fd);
	errno = e;
	return ok;
}

/* Others may make files in the run folder: theirs say nothing. */
static bool is_marked(const char *folder)
{
	char path[FARE_PATH_N];
	int fd = fare_path(path, sizeof path, folder, mark) ? open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	bool is = fd >= 0 && fare_file_is_own(fd);
	if (fd >= 0)
		close(fd);
	return is;
}

/* Its name is all that it has to say, and may be all that there is room for. */
static bool mark_put(const char *folder)
{
	char path[FARE_PATH_N];
	if (is_marked(folder))
		return folder_sync(folder);
	int fd = fare_path(path, sizeof path, folder, mark) ? fare_file_make(path, 0600) : -1;
	bool ok = fd >= 0 && fsync(fd) == 0 && folder_sync(folder);
	if (fd >= 0)
		close(fd);
	return ok;
}

static bool mark_take(const char *folder)
{
	char path[FARE_PATH_N];
	return fare_path(path, sizeof path, folder, mark) && (unlink(path) == 0 || errno == ENOENT) && folder_sync(folder);
}

void fare_store_mark_unsynced(const char *home, const char *run)
{
	char store[FARE_PATH_N];
	bool in_run = mark_put(run), in_store = fare_path(store, sizeof store, home, "store") && mark_put(store);
	if (!in_run && !in_store)
		fare_log(FARE_ALARM, "the failed fsync could not be marked either: stop farebox, copy the files of %s and put the copies in their place before it runs again", store);
}

/* ---- The copies */

static bool file_renew(int dir, const char *name)
{
	char copy[NAME_MAX + 1];
	int n = snprintf(copy, sizeof copy, "%s%s", name, copy_end);
	int in = n > 0 && (size_t)n < sizeof copy ? openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	int out = in >= 0 ? openat(dir, copy, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600) : -1;
	bool ok = out >= 0 && fare_store_copy(in, out);
	fare_fault("resync");
	ok = ok && renameat(dir, copy, dir, name) == 0;
	int e = errno;
	if (!ok && out >= 0)
		unlinkat(dir, copy, 0);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	fare_fault("resync");
	errno = e;
	return ok;
}

/* The lock is no data: who holds it must find it where it is. */
static bool is_data(int dir, const char *name)
{
	struct stat st;
	size_t n = strlen(name), end = sizeof copy_end - 1;
	bool copy = n > end && strcmp(name + n - end, copy_end) == 0;
	return !copy && strcmp(name, "LOCK") != 0 && strcmp(name, mark) != 0 && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Names first: a folder that changes while it is read may show the same file twice. */
static bool folder_each(const char *path, bool (*fn)(int dir, const char *name), unsigned *count)
{
	struct dirent **names;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), n = dir >= 0 ? scandirat(dir, ".", &names, NULL, alphasort) : -1, e;
	bool ok = n >= 0;
	for (int i = 0; i < n; i++) {
		if (ok && is_data(dir, names[i]->d_name)) {
			ok = fn(dir, names[i]->d_name);
			++*count;
		}
		e = errno;
		free(names[i]);
		errno = e;
	}
	e = errno;
	if (n >= 0)
		free(names);
	if (ok && fsync(dir) != 0) {
		ok = false;
		e = errno;
	}
	if (dir >= 0)
		close(dir);
	errno = e;
	return ok;
}

int fare_store_resync(const char *home, const char *run, char error[FARE_STORE_ERROR_N])
{
	char store[FARE_PATH_N], log[FARE_PATH_N];
	unsigned count = 0;
	if (!fare_path(store, sizeof store, home, "store") || !fare_path(log, sizeof log, store, "log") || (!is_marked(store) && !is_marked(run)))
		return FARE_STORE_NONE;
	/* The run folder's does not outlive the machine. */
	bool ok = mark_put(store);
	fare_fault("resync");
	ok = ok && folder_each(log, file_renew, &count) && folder_each(store, file_renew, &count);
	fare_fault("resync");
	if (ok && !mark_take(store)) {
		ok = false;
		(void)!mark_put(store);
	}
	fare_fault("resync");
	if (ok && mark_take(run)) {
		fare_log(FARE_ALARM, "an fsync of the store had failed: its %u files were copied into new ones", count);
		return FARE_STORE_OK;
	}
	snprintf(error, FARE_STORE_ERROR_N, "an fsync of the store has failed, and its files cannot be copied: %s", strerror(errno));
	return FARE_STORE_FAILED;
}

/* ---- What a process left that was killed */

static bool file_sync(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), r = fd >= 0 ? sync_or_fail(fd) : errno;
	if (fd >= 0)
		close(fd);
	errno = r;
	return r == 0;
}

/* Its writes are in the kernel's memory. Recovery builds on them, and asks the disk only for what it writes itself: so they come first. */
int fare_store_sync_files(const char *store)
{
	char log[FARE_PATH_N];
	unsigned count = 0;
	if (!fare_path(log, sizeof log, store, "log"))
		return ENAMETOOLONG;
	return folder_each(log, file_sync, &count) && folder_each(store, file_sync, &count) ? 0 : errno;
}
