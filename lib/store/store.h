/*
 * The store: Berkeley DB (the only user of db.h). One process alone opens it (DB_PRIVATE), holding store/LOCK; one thread of that process (the writer) changes it,
 * others read beside it. Data in HOME/store (0700), logs in HOME/store/log. One file per table. Every record begins with its version (u16).
 *
 * Reads are short and copy: bytes come out in the caller's buffer, and a scan closes its cursor before it hands records on, so a callback may take its time.
 * Plain reads wait while the writer is between begin and commit, not while it flushes.
 * The first failed commit, flush or checkpoint, or any write-failed event, is final: every later commit fails too; the process exits, restarts and recovers.
 */
#ifndef FARE_STORE_STORE_H
#define FARE_STORE_STORE_H

#include "base/first.h"
#include "base/num.h"

#include <stdbool.h>
#include <stdint.h>

enum fare_table {
	FARE_TABLE_META,      /* "meta" -> schema, store id, epoch */
	FARE_TABLE_ACCOUNTS,  /* id */
	FARE_TABLE_NAMES,     /* account name -> id */
	FARE_TABLE_KEYS,      /* id */
	FARE_TABLE_HASHES,    /* SHA-256 of a key -> id */
	FARE_TABLE_PROVIDERS, /* id */
	FARE_TABLE_MODELS,    /* price version */
	FARE_TABLE_LEDGER,    /* account, number */
	FARE_TABLE_CALLS,     /* call id -> account, number: for ever */
	FARE_TABLE_REFS,      /* account, kind, ref -> number */
	FARE_TABLE_BATCHES,   /* batch, position -> account, number */
	FARE_TABLE_SEALS,     /* batch */
	FARE_TABLE_USAGE,     /* account, day, key, model -> totals */
	/* Since format 3: a store of before has none of these, and gets them when it is opened. */
	FARE_TABLE_STORIES,   /* call id -> what why tells; they expire */
	FARE_TABLE_REPLAYS,   /* call id -> what its Idempotency-Key was, and of its answer; for a day */
	FARE_TABLE_ANSWERS,   /* call id, part -> bytes of its answer; likewise */
	FARE_TABLE_N
};
const char *fare_table_name(enum fare_table t);

/* What the functions below return. FAILED is logged when it happens; BAD (a record that cannot be read) too, and fare_store_bad_text says which. */
enum { FARE_STORE_OK = 0, FARE_STORE_NONE = 1 /* not there */, FARE_STORE_THERE = 2 /* a fresh key is not fresh */, FARE_STORE_BAD = -2, FARE_STORE_FAILED = -1 };

enum { FARE_STORE_KEY_MAX = 512, FARE_STORE_RECORD_MAX = 4096, FARE_STORE_ERROR_N = 256 };

struct fare_store;

/*
 * Opens the store of a home: recovery, then a flush (rule R6). Without create an absent store is an error. NULL on failure, with one line in error.
 * In a new store the tables are there and empty: whoever makes it puts the meta record last.
 */
/* May this farebox open the store in that folder? A store of a later format is refused, in one line that names both versions. No store is no obstacle. */
bool fare_format_check(const char *dir, char error[FARE_STORE_ERROR_N]) FARE_MUST;

struct fare_store *fare_store_open(const char *home, bool create, char error[FARE_STORE_ERROR_N]);
void fare_store_close(struct fare_store **s);
void fare_store_leave(struct fare_store *s); /* any thread: scans outside a transaction end soon, as FARE_STORE_FAILED: nobody shall wait for a long one */
bool fare_store_has_failed(const struct fare_store *s);

/* A view of the store: the writer's transaction, or plain reads (each sees what is committed when it happens). Inside a transaction the writer must not use plain reads: it would wait for itself. Commit and abort belong to the thread that began. */
struct fare_view {
	struct fare_store *s;
	void *txn; /* DB_TXN, NULL: plain reads */
};
struct fare_view fare_view_plain(struct fare_store *s);
int fare_store_begin(struct fare_store *s, struct fare_view *out) FARE_MUST;
int fare_store_commit(struct fare_view *v) FARE_MUST; /* OK: durable. Fault points: store_commit, store_flush, store_write_failed */
int fare_store_abort(struct fare_view *v) FARE_MUST;
/* Own thread: writes pages back, then removes logs that recovery no longer needs. Nothing to do is OK. */
int fare_store_checkpoint(struct fare_store *s) FARE_MUST;
/*
 * The same, but these logs go into the folder `archive`, which is there; error: why they could not, and are still in the store (errno; 0: they could). Fault points: store_copy,
 * archive (after each step). expire removes logs that are older from folders whose names begin so. log_number: that of the log that is written now.
 */
int fare_store_checkpoint_to(struct fare_store *s, const char *archive, int *error) FARE_MUST;
void fare_store_archive_expire(const char *parent, const char *names, unsigned days);
uint32_t fare_store_log_number(struct fare_store *s); /* 0: cannot be told */

/*
 * A copy of the store as it is at some moment of the copying, into a folder `to` that is empty or not there; on any thread, beside readers and the writer. Such a copy
 * is no store yet: fare_store_recover_copy makes one of it (HOME/store, a backup's files) before the first fare_store_open. Not flushed: whoever keeps it sees to that.
 */
int fare_store_backup(struct fare_store *s, const char *to) FARE_MUST;
bool fare_store_recover_copy(const char *home, char error[FARE_STORE_ERROR_N]) FARE_MUST;

/*
 * From watch_disk on, before any store is opened, the first fsync that fails ends the work on the store: it is never asked again; and so does a read that fails while a store
 * is recovered. `failed` (NULL: nobody) is told on the thread that met it, and need not return. mark_unsynced leaves word for the next process, in the store's folder and the
 * run folder; resync does what must be done then, before the store is opened and with its lock held. OK: done, NONE: nothing was marked, FAILED: one line in error; it is to
 * be tried again. Fault points: store_sync, store_read, store_copy (no space), resync (after each step).
 */
enum fare_disk_failed { FARE_DISK_SYNC, FARE_DISK_READ };
typedef void fare_disk_failed_fn(enum fare_disk_failed what, int error);
void fare_store_watch_disk(fare_disk_failed_fn *failed);
void fare_store_mark_unsynced(const char *home, const char *run);
int fare_store_resync(const char *home, const char *run, char error[FARE_STORE_ERROR_N]) FARE_MUST;

struct fare_record {
	uint8_t bytes[FARE_STORE_RECORD_MAX];
	uint32_t n;
};
int fare_store_get(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, struct fare_record *out) FARE_MUST; /* OK, NONE, FAILED */
/* fresh: THERE when the key exists, and nothing is written. */
int fare_store_put(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, const void *p, size_t n, bool fresh) FARE_MUST;
int fare_store_del(struct fare_view *v, enum fare_table t, const void *key, size_t key_n) FARE_MUST; /* OK, NONE, FAILED */
/* The greatest key; NONE when the table is empty. */
int fare_store_last(struct fare_view *v, enum fare_table t, uint8_t key[FARE_STORE_KEY_MAX], size_t *key_n) FARE_MUST;

/* Records in key order from `from` on, while fn returns OK. NONE from fn ends the scan well; anything else ends it and is returned. */
typedef int fare_scan_fn(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n);
int fare_store_scan(struct fare_view *v, enum fare_table t, const void *from, size_t from_n, fare_scan_fn *fn, void *arg) FARE_MUST;

/* Reports a record that cannot be read: logs it, keeps the text for this thread, returns BAD. */
int fare_store_bad(enum fare_table t, const uint8_t *key, size_t key_n, const char *why);
const char *fare_store_bad_text(void);

#endif
