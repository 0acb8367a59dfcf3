/* The environment: opened, recovered and flushed; checkpoints; what Berkeley DB has to say goes to the log. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "store/inner.h"

/* Berkeley DB is not built with ThreadSanitizer, which therefore misses its locks and misreads their order. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "called_from_lib:libdb-5.3.so\nrace:libdb-5.3.so\ndeadlock:libdb-5.3.so\n"; }
#endif
#endif

enum {
	CACHE_BYTES = 64 << 20, PAGE_BYTES = 4096, LOG_BUFFER_BYTES = 1 << 20, LOG_FILE_BYTES = 8 << 20, /* recovery writes zeros over the rest of the last one: at each start of a bank */
	LOCKS_MAX = 400000, /* a batch holds the lock of every page it touched; the largest batches are tests */
	LOCKERS_MAX = 1000, TXNS_MAX = 100,
	CHECKPOINT_KIB = 1024, CHECKPOINT_MIN = 1,
};

static const char *const table_names[FARE_TABLE_N] = {
	[FARE_TABLE_META] = "meta", [FARE_TABLE_ACCOUNTS] = "accounts", [FARE_TABLE_NAMES] = "names", [FARE_TABLE_KEYS] = "keys", [FARE_TABLE_HASHES] = "hashes",
	[FARE_TABLE_PROVIDERS] = "providers", [FARE_TABLE_MODELS] = "models", [FARE_TABLE_LEDGER] = "ledger", [FARE_TABLE_CALLS] = "calls", [FARE_TABLE_REFS] = "refs",
	[FARE_TABLE_BATCHES] = "batches", [FARE_TABLE_SEALS] = "seals", [FARE_TABLE_USAGE] = "usage",
	[FARE_TABLE_STORIES] = "stories",
	[FARE_TABLE_REPLAYS] = "replays", [FARE_TABLE_ANSWERS] = "answers",
};

const char *fare_table_name(enum fare_table t) { return (unsigned)t < FARE_TABLE_N ? table_names[t] : ""; }

int fare_store_error(const char *what, int code)
{
	fare_log(FARE_ALARM, "store: %s: %s", what, db_strerror(code));
	fare_store_say("%s: %s", what, db_strerror(code));
	return FARE_STORE_FAILED;
}

int fare_store_fail(struct fare_store *s, const char *what, int code)
{
	atomic_store(&s->failed, true);
	return fare_store_error(what, code);
}

bool fare_store_has_failed(const struct fare_store *s) { return atomic_load(&s->failed); }

static void on_error(const DB_ENV *env, const char *prefix, const char *text)
{
	(void)env;
	(void)prefix;
	fare_log(FARE_ALARM, "store: %s", text);
}

static void on_message(const DB_ENV *env, const char *text)
{
	(void)env;
	fare_log(FARE_INFO, "store: %s", text);
}

/* A commit may return 0 though the first write of a new log file failed (full disk): only this event tells. */
static void on_event(DB_ENV *env, u_int32_t event, void *info)
{
	struct fare_store *s = env->app_private;
	(void)info;
	if (event == DB_EVENT_WRITE_FAILED || event == DB_EVENT_PANIC) {
		atomic_store(&s->failed, true);
		fare_log(FARE_ALARM, "store: %s", event == DB_EVENT_PANIC ? "panic" : "a write failed");
	}
}

/* The environment's settings; the first that is refused is returned. */
static int env_configure(struct fare_store *s)
{
	DB_ENV *env = s->env;
	unsigned part = fare_fault("store_small_logs") ? 16 : 1;
	env->app_private = s;
	env->set_errcall(env, on_error);
	env->set_msgcall(env, on_message);
	int r = env->set_event_notify(env, on_event);
	if (r == 0)
		r = env->set_cachesize(env, 0, CACHE_BYTES, 1);
	if (r == 0)
		r = env->set_lg_dir(env, "log");
	if (r == 0)
		r = env->set_lg_bsize(env, LOG_BUFFER_BYTES / part);
	if (r == 0)
		r = env->set_lg_max(env, LOG_FILE_BYTES / part);
	if (r == 0)
		r = env->set_lk_max_locks(env, LOCKS_MAX);
	if (r == 0)
		r = env->set_lk_max_objects(env, LOCKS_MAX);
	if (r == 0)
		r = env->set_lk_max_lockers(env, LOCKERS_MAX);
	if (r == 0)
		r = env->set_tx_max(env, TXNS_MAX);
	return r;
}

static int table_open(struct fare_store *s, enum fare_table t, bool create)
{
	char file[32];
	DB *db;
	snprintf(file, sizeof file, "%s.db", table_names[t]);
	int r = db_create(&db, s->env, 0);
	if (r != 0)
		return r;
	s->tables[t] = db;
	r = db->set_pagesize(db, PAGE_BYTES);
	if (r == 0)
		r = db->set_flags(db, DB_CHKSUM);
	if (r == 0)
		r = db->open(db, NULL, file, NULL, DB_BTREE, DB_AUTO_COMMIT | DB_THREAD | (create || t >= FARE_TABLE_STORIES ? DB_CREATE : 0u), 0600);
	return r;
}

/* Folders of the store, made where asked for; true when a store is to be opened. */
bool fare_store_folders(const char *home, bool create, char dir[FARE_PATH_N], char error[FARE_STORE_ERROR_N])
{
	char log_dir[FARE_PATH_N], file[FARE_PATH_N];
	if (!fare_path(dir, FARE_PATH_N, home, "store") || !fare_path(log_dir, FARE_PATH_N, dir, "log") || !fare_path(file, FARE_PATH_N, dir, "meta.db")) {
		snprintf(error, FARE_STORE_ERROR_N, "the path of the home is too long");
		return false;
	}
	if (create && (!fare_mkdirs(dir, 0700) || !fare_mkdirs(log_dir, 0700))) {
		snprintf(error, FARE_STORE_ERROR_N, "cannot make %.150s: %s", log_dir, strerror(errno));
		return false;
	}
	if (!fare_format_check(dir, error))
		return false;
	if (!create && access(file, F_OK) != 0) {
		snprintf(error, FARE_STORE_ERROR_N, "no store in %.150s (%s): farebox setup makes one", home, strerror(errno));
		return false;
	}
	/* Berkeley DB would let that file override our settings without a word. */
	if (!fare_path(file, sizeof file, dir, "DB_CONFIG") || access(file, F_OK) == 0) {
		snprintf(error, FARE_STORE_ERROR_N, "%.150s must not be there: the store's settings are not to be changed", file);
		return false;
	}
	return true;
}

/* A waiting writer goes before new readers. */
static void turn_init(pthread_rwlock_t *turn)
{
	pthread_rwlockattr_t attr;
	FARE_ASSERT(pthread_rwlockattr_init(&attr) == 0 && pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) == 0);
	FARE_ASSERT(pthread_rwlock_init(turn, &attr) == 0);
	pthread_rwlockattr_destroy(&attr);
}

int fare_store_open_env(struct fare_store *s, const char *dir, u_int32_t recover)
{
	turn_init(&s->turn);
	FARE_ASSERT(pthread_mutex_init(&s->logs, NULL) == 0);
	fare_store_recovery_begins();
	int r = fare_planted("r6") ? 0 : fare_store_sync_files(dir);
	if (r == 0)
		r = db_env_create(&s->env, 0);
	if (r == 0)
		r = env_configure(s);
	if (r == 0)
		r = s->env->open(s->env, dir, DB_CREATE | recover | DB_PRIVATE | DB_THREAD | DB_INIT_MPOOL | DB_INIT_LOCK | DB_INIT_LOG | DB_INIT_TXN, 0600);
	return fare_store_recovery_ended() || r != 0 ? r : EIO;
}

struct fare_store *fare_store_open(const char *home, bool create, char error[FARE_STORE_ERROR_N])
{
	char dir[FARE_PATH_N];
	if (!fare_store_folders(home, create, dir, error))
		return NULL;
	struct fare_store *s = fare_alloc(sizeof *s);
	const char *what = "environment";
	int r = create && !fare_format_write(dir) ? errno : fare_store_open_env(s, dir, DB_RECOVER);
	for (unsigned t = 0; r == 0 && t < FARE_TABLE_N; t++) {
		what = table_names[t];
		r = table_open(s, (enum fare_table)t, create);
	}
	if (r == 0) {
		what = "flush after recovery";
		r = s->env->log_flush(s->env, NULL);
	}
	if (r == 0 && !fare_store_has_failed(s))
		return s;
	snprintf(error, FARE_STORE_ERROR_N, "the store in %.150s cannot be opened: %s: %s", dir, what,
		r == 0 ? "a write failed" : r == DB_RUNRECOVERY ? "damaged, the log says where: restore a backup" : db_strerror(r));
	fare_store_close(&s);
	return NULL;
}

void fare_store_close(struct fare_store **sp)
{
	struct fare_store *s = *sp;
	int r;
	if (!s)
		return;
	for (unsigned t = 0; t < FARE_TABLE_N; t++)
		if (s->tables[t] && (r = s->tables[t]->close(s->tables[t], 0)) != 0)
			fare_store_error(table_names[t], r);
	if (s->env && (r = s->env->close(s->env, 0)) != 0)
		fare_store_error("close", r);
	pthread_rwlock_destroy(&s->turn);
	pthread_mutex_destroy(&s->logs);
	free(s);
	*sp = NULL;
}

int fare_store_checkpoint_to(struct fare_store *s, const char *archive, int *error)
{
	if (fare_store_has_failed(s))
		return fare_store_error("checkpoint", EIO);
	if (fare_fault("store_checkpoint"))
		return fare_store_fail(s, "checkpoint", EIO);
	int r = s->env->txn_checkpoint(s->env, CHECKPOINT_KIB, CHECKPOINT_MIN, 0);
	if (r == 0 && pthread_mutex_trylock(&s->logs) == 0) { /* a backup needs them until it has copied them */
		r = archive ? fare_store_archive_logs(s, archive) : s->env->log_archive(s->env, NULL, DB_ARCH_REMOVE);
		*error = archive ? s->archive_error : 0;
		pthread_mutex_unlock(&s->logs);
	}
	if (r != 0)
		return fare_store_fail(s, "checkpoint", r);
	return fare_store_has_failed(s) ? fare_store_error("checkpoint", EIO) : FARE_STORE_OK;
}

int fare_store_checkpoint(struct fare_store *s)
{
	int error;
	return fare_store_checkpoint_to(s, NULL, &error);
}

uint32_t fare_store_log_number(struct fare_store *s)
{
	DB_LOG_STAT *stat = NULL;
	uint32_t number = s->env->log_stat(s->env, &stat, 0) == 0 ? stat->st_cur_file : 0;
	free(stat);
	return number;
}
