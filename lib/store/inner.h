/* Between the files of the store: its handles, and how errors are told. (Includes db.h: for lib/store alone.) */
#ifndef FARE_STORE_INNER_H
#define FARE_STORE_INNER_H

#include "base/first.h"

#include <pthread.h>
#include <stdatomic.h>

#include <db.h>

#include "base/fs.h"
#include "store/records.h"

struct fare_store {
	DB_ENV *env;
	DB *tables[FARE_TABLE_N];
	/*
	 * The writer's from begin to commit (not through the flush), shared by plain reads one record or one bulk read long. Berkeley DB's own locks would let both go on at
	 * once, but its deadlock detector then takes the writer for its victim now and then, whatever its policy and the transaction's priority: a batch lost, a bank restarted.
	 */
	pthread_rwlock_t turn;
	pthread_mutex_t logs; /* held by who removes logs, and by a backup */
	int archive_error;    /* logs: errno of the last try, 0: none */
	atomic_bool failed;   /* for good */
	atomic_bool leaving;  /* no plain scan goes on */
};

/* Steps of opening. The folders of a home's store (made with create), its path in dir; the environment, with DB_RECOVER or DB_RECOVER_FATAL: 0, or what the library says (close it then). */
bool fare_store_folders(const char *home, bool create, char dir[FARE_PATH_N], char error[FARE_STORE_ERROR_N]);
int fare_store_open_env(struct fare_store *s, const char *dir, u_int32_t recover);
/*
 * R6, before recovery: what a process that was killed wrote and did not sync is in the kernel's memory alone. Recovery finds it in its place, does not write it again, never
 * syncs it, and sets a checkpoint after it: a power cut then takes it away for good. An error number, or 0.
 */
int fare_store_sync_files(const char *dir) FARE_MUST;

/* Copies from where `in` is to its end, and flushes. errno. */
bool fare_store_copy(int in, int out) FARE_MUST;
/* With `logs` held: moves them into the folder, and leaves the errno of what cannot be moved in archive_error. What the library says. */
int fare_store_archive_logs(struct fare_store *s, const char *dir);

/* Between them a read that fails is told at once (fare_store_watch_disk), and ended is false. */
void fare_store_recovery_begins(void);
bool fare_store_recovery_ended(void) FARE_MUST;

/* Writes which format the store in dir has from now on; errno. */
bool fare_format_write(const char *dir) FARE_MUST;

/* Logs what failed and why; returns FARE_STORE_FAILED. fare_store_fail also marks the store as failed: nothing is acknowledged after it. */
int fare_store_error(const char *what, int code);
void fare_store_say(const char *fmt, ...) FARE_PRINTF(1, 2); /* what fare_store_bad_text says from now on */
int fare_store_fail(struct fare_store *s, const char *what, int code);

/* Record versions. A kind that has got fields since the first puts its records as version 2, and still reads those of version 1, which end before these fields. */
enum { FARE_RECORD_VERSION = 1, FARE_RECORD_VERSION_2 = 2 };
struct fare_pack fare_record_begin(struct fare_record *r);
struct fare_pack fare_record_begin_as(struct fare_record *r, unsigned version);
/* Puts a packed record; a record too long is our bug: every field has its maximum. */
int fare_record_put(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, struct fare_record *r, const struct fare_pack *k, bool fresh);
/* Unpacks: begin checks the version; end that all was read and nothing is left. Both BAD with the reason reported. */
int fare_record_open(enum fare_table t, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_unpack *out);
int fare_record_open_as(enum fare_table t, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, unsigned newest, struct fare_unpack *out, unsigned *version);
int fare_record_end(enum fare_table t, const uint8_t *key, size_t key_n, const struct fare_unpack *k);

/* A kind of record that is keyed by a number. */
struct fare_numbered {
	enum fare_table table;
	size_t size; /* of its struct */
	void (*pack)(struct fare_pack *k, const void *from);
	void (*unpack)(struct fare_unpack *k, uint64_t number, void *to); /* to is zeroed */
	void (*unpack_2)(struct fare_unpack *k, void *to); /* the fields that version 2 has beyond them; NULL: version 1 is the newest */
};
int fare_numbered_get(struct fare_view *v, const struct fare_numbered *kind, uint64_t number, void *to);
int fare_numbered_put(struct fare_view *v, const struct fare_numbered *kind, uint64_t number, const void *from, bool fresh);
/* `one` is room for a record while it is handed to fn. */
int fare_numbered_walk(struct fare_view *v, const struct fare_numbered *kind, uint64_t from, void *one, int (*fn)(void *, const void *), void *arg);

/* Index records: a key leads to a number. put: fresh. */
int fare_index_get(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, uint64_t *to);
int fare_index_put(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, uint64_t to);
int fare_index_walk(struct fare_view *v, enum fare_table t, int (*fn)(void *, struct fare_span key, uint64_t to), void *arg);

void fare_pack_amount(struct fare_pack *k, struct fare_amount a);
struct fare_amount fare_unpack_amount(struct fare_unpack *k);
void fare_pack_usage(struct fare_pack *k, const struct fare_usage *u);
void fare_unpack_usage(struct fare_unpack *k, struct fare_usage *u);
bool fare_unpack_bool(struct fare_unpack *k); /* else than 0 or 1: bad */

#endif
