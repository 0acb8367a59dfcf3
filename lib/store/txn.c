/* Transactions and durable commit; single records and scans. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "store/inner.h"

enum { BULK_FIRST_BYTES = 16 * 1024, BULK_BYTES = 64 * 1024 };

struct fare_view fare_view_plain(struct fare_store *s) { return (struct fare_view){.s = s}; }

int fare_store_begin(struct fare_store *s, struct fare_view *out)
{
	DB_TXN *txn;
	if (fare_store_has_failed(s))
		return fare_store_error("begin", EIO);
	pthread_rwlock_wrlock(&s->turn);
	int r = s->env->txn_begin(s->env, NULL, &txn, 0);
	if (r != 0) {
		pthread_rwlock_unlock(&s->turn);
		return fare_store_fail(s, "begin", r);
	}
	*out = (struct fare_view){.s = s, .txn = txn};
	return FARE_STORE_OK;
}

int fare_store_abort(struct fare_view *v)
{
	DB_TXN *txn = v->txn;
	v->txn = NULL;
	int r = txn->abort(txn);
	pthread_rwlock_unlock(&v->s->turn);
	return r == 0 ? FARE_STORE_OK : fare_store_fail(v->s, "abort", r);
}

/*
 * The commit lets the readers in, then the flush takes its time. (A commit that flushes would keep them out through it, and may return 0 when the first write of a new
 * log file failed; the event that tells sets `failed`.)
 */
int fare_store_commit(struct fare_view *v)
{
	struct fare_store *s = v->s;
	DB_TXN *txn = v->txn;
	if (fare_store_has_failed(s) || fare_fault("store_commit")) {
		if (fare_store_abort(v) != FARE_STORE_OK)
			return FARE_STORE_FAILED;
		return fare_store_fail(s, "commit", EIO);
	}
	v->txn = NULL;
	int r = txn->commit(txn, DB_TXN_WRITE_NOSYNC);
	pthread_rwlock_unlock(&s->turn);
	if (r != 0)
		return fare_store_fail(s, "commit", r);
	if (fare_fault("store_flush"))
		return fare_store_fail(s, "flush", EIO);
	r = fare_planted("flush") ? 0 : s->env->log_flush(s->env, NULL);
	if (r != 0)
		return fare_store_fail(s, "flush", r);
	if (fare_fault("store_write_failed"))
		atomic_store(&s->failed, true);
	return fare_store_has_failed(s) ? fare_store_error("a write failed during commit", EIO) : FARE_STORE_OK;
}

/* A plain read takes its turn; what the writer reads inside its transaction is in its turn already. */
static void read_begin(struct fare_view *v)
{
	if (!v->txn)
		pthread_rwlock_rdlock(&v->s->turn);
}

static void read_end(struct fare_view *v)
{
	if (!v->txn)
		pthread_rwlock_unlock(&v->s->turn);
}

void fare_store_leave(struct fare_store *s) { atomic_store(&s->leaving, true); }

static DBT dbt_of(const void *p, size_t n) { return (DBT){.data = (void *)(uintptr_t)p, .size = (u_int32_t)n, .ulen = (u_int32_t)n, .flags = DB_DBT_USERMEM}; }

int fare_store_get(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, struct fare_record *out)
{
	DB *db = v->s->tables[t];
	DBT k = dbt_of(key, key_n), d = dbt_of(out->bytes, sizeof out->bytes);
	read_begin(v);
	int r = db->get(db, v->txn, &k, &d, 0);
	read_end(v);
	if (r == DB_NOTFOUND)
		return FARE_STORE_NONE;
	if (r == DB_BUFFER_SMALL)
		return fare_store_bad(t, key, key_n, "is too long");
	if (r != 0)
		return fare_store_error(fare_table_name(t), r);
	out->n = d.size;
	return FARE_STORE_OK;
}

int fare_store_put(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, const void *p, size_t n, bool fresh)
{
	DB *db = v->s->tables[t];
	DBT k = dbt_of(key, key_n), d = dbt_of(p, n);
	int r = db->put(db, v->txn, &k, &d, fresh ? DB_NOOVERWRITE : 0);
	if (r == DB_KEYEXIST)
		return FARE_STORE_THERE;
	return r == 0 ? FARE_STORE_OK : fare_store_error(fare_table_name(t), r);
}

int fare_store_del(struct fare_view *v, enum fare_table t, const void *key, size_t key_n)
{
	DB *db = v->s->tables[t];
	DBT k = dbt_of(key, key_n);
	int r = db->del(db, v->txn, &k, 0);
	if (r == DB_NOTFOUND)
		return FARE_STORE_NONE;
	return r == 0 ? FARE_STORE_OK : fare_store_error(fare_table_name(t), r);
}

/* One read through a cursor that is open no longer than that. */
static int cursor_get(struct fare_view *v, enum fare_table t, DBT *k, DBT *d, u_int32_t how)
{
	DB *db = v->s->tables[t];
	DBC *c;
	read_begin(v);
	int r = db->cursor(db, v->txn, &c, 0);
	if (r == 0) {
		r = c->get(c, k, d, how);
		int closed = c->close(c);
		if (r == 0)
			r = closed;
	}
	read_end(v);
	return r;
}

int fare_store_last(struct fare_view *v, enum fare_table t, uint8_t key[FARE_STORE_KEY_MAX], size_t *key_n)
{
	DBT k = dbt_of(key, FARE_STORE_KEY_MAX), d = {.flags = DB_DBT_USERMEM | DB_DBT_PARTIAL};
	int r = cursor_get(v, t, &k, &d, DB_LAST);
	if (r == DB_NOTFOUND)
		return FARE_STORE_NONE;
	if (r != 0)
		return fare_store_error(fare_table_name(t), r);
	*key_n = k.size;
	return FARE_STORE_OK;
}

/* Hands on what one bulk read brought; leaves the last key in `last`. */
static int bulk_walk(DBT *bulk, uint8_t last[FARE_STORE_KEY_MAX], size_t *last_n, fare_scan_fn *fn, void *arg)
{
	void *at, *key, *data;
	u_int32_t key_n, n;
	for (DB_MULTIPLE_INIT(at, bulk); at;) {
		DB_MULTIPLE_KEY_NEXT(at, bulk, key, key_n, data, n);
		if (!at)
			break;
		memcpy(last, key, key_n);
		*last_n = key_n;
		int r = fn(arg, key, key_n, data, n);
		if (r != FARE_STORE_OK)
			return r;
	}
	return FARE_STORE_OK;
}

int fare_store_scan(struct fare_view *v, enum fare_table t, const void *from, size_t from_n, fare_scan_fn *fn, void *arg)
{
	uint8_t key[FARE_STORE_KEY_MAX + 1], last[FARE_STORE_KEY_MAX];
	size_t last_n = 0;
	void *bytes = fare_alloc(BULK_BYTES);
	int r = FARE_STORE_OK;
	memcpy(key, from, from_n);
	while (r == FARE_STORE_OK) {
		if (!v->txn && atomic_load(&v->s->leaving)) {
			fare_store_say("%s: it is being left", fare_table_name(t));
			r = FARE_STORE_FAILED;
			break;
		}
		DBT k = {.data = key, .size = (u_int32_t)from_n, .ulen = sizeof key, .flags = DB_DBT_USERMEM}, bulk = dbt_of(bytes, last_n == 0 ? BULK_FIRST_BYTES : BULK_BYTES); /* many scans want little */
		int got = cursor_get(v, t, &k, &bulk, DB_SET_RANGE | DB_MULTIPLE_KEY);
		if (got == DB_NOTFOUND)
			break;
		if (got != 0) {
			r = fare_store_error(fare_table_name(t), got);
			break;
		}
		r = bulk_walk(&bulk, last, &last_n, fn, arg);
		/* The next key is the last one with a zero byte more. */
		memcpy(key, last, last_n);
		key[last_n] = 0;
		from_n = last_n + 1;
	}
	free(bytes);
	return r == FARE_STORE_NONE ? FARE_STORE_OK : r;
}
