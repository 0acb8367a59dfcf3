/* Hot backup, and the recovery that a backup needs before it is a store. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/inner.h"

/* ---- The copy's files are written here: what Berkeley DB itself writes and flushes is the store's, and its failure ends the bank; another disk's must not. */

static _Thread_local int copy_error; /* Berkeley DB would make another one of it */

static int copy_failed(void) { return copy_error = errno; }

static int copy_open(DB_ENV *env, const char *name, const char *to, void **handle)
{
	char path[FARE_PATH_N];
	(void)env;
	int fd = fare_path(path, sizeof path, to, name) ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	*handle = (void *)(intptr_t)(fd + 1);
	return fd >= 0 ? 0 : copy_failed();
}

static int copy_write(DB_ENV *env, u_int32_t gigabytes, u_int32_t bytes, u_int32_t n, u_int8_t *p, void *handle)
{
	int fd = (int)(intptr_t)handle - 1;
	(void)env;
	if (lseek(fd, ((off_t)gigabytes << 30) + (off_t)bytes, SEEK_SET) < 0)
		return copy_failed();
	return fare_write_all(fd, p, n) ? 0 : copy_failed();
}

static int copy_close(DB_ENV *env, const char *name, void *handle)
{
	int fd = (int)(intptr_t)handle - 1;
	(void)env;
	(void)name;
	return fd < 0 || close(fd) == 0 ? 0 : copy_failed();
}

/*
 * Pages first, then the logs anew: whatever the pages hold was logged before, so logs flushed and copied after the last page cover them all. No log goes away meanwhile.
 * What fails is the backup, never the store it is of.
 */
int fare_store_backup(struct fare_store *s, const char *to)
{
	DB_ENV *env = s->env;
	copy_error = 0;
	pthread_mutex_lock(&s->logs);
	int r = env->set_backup_callbacks(env, copy_open, copy_write, copy_close);
	if (r == 0)
		r = env->backup(env, to, DB_CREATE);
	if (r == 0)
		r = env->log_flush(env, NULL);
	if (r == 0)
		r = env->backup(env, to, DB_CREATE | DB_BACKUP_UPDATE | DB_BACKUP_CLEAN);
	pthread_mutex_unlock(&s->logs);
	if (copy_error)
		r = copy_error;
	if (fare_store_has_failed(s))
		return fare_store_error("backup", EIO);
	if (r == 0 && !fare_format_write(to))
		r = errno;
	return r == 0 ? FARE_STORE_OK : fare_store_error("backup", r);
}

bool fare_store_recover_copy(const char *home, char error[FARE_STORE_ERROR_N])
{
	char dir[FARE_PATH_N];
	if (!fare_store_folders(home, false, dir, error))
		return false;
	struct fare_store *s = fare_alloc(sizeof *s);
	int r = fare_store_open_env(s, dir, DB_RECOVER_FATAL);
	if (r != 0)
		snprintf(error, FARE_STORE_ERROR_N, "the copy in %.150s cannot be recovered: %s", dir, db_strerror(r));
	bool ok = r == 0 && !fare_store_has_failed(s);
	fare_store_close(&s);
	return ok;
}
