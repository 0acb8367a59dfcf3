/* Hot backup, and the recovery that a backup needs before it is a store. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/inner.h"

/*
 * Pages first, then the logs anew: whatever the pages hold was logged before, so logs flushed and copied after the last page cover them all. No log goes away meanwhile.
 * What fails is the backup, never the store it is of.
 */
int fare_store_backup(struct fare_store *s, const char *to)
{
	DB_ENV *env = s->env;
	pthread_mutex_lock(&s->logs);
	int r = env->backup(env, to, DB_CREATE);
	if (r == 0)
		r = env->log_flush(env, NULL);
	if (r == 0)
		r = env->backup(env, to, DB_CREATE | DB_BACKUP_UPDATE | DB_BACKUP_CLEAN);
	pthread_mutex_unlock(&s->logs);
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
