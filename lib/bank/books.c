/* The books opened and closed; batches, each one transaction that ends with its seal. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/version.h"
#include "bank/books_inner.h"

int fare_op_refuse(struct fare_op *op, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(op->error, sizeof op->error, fmt, ap);
	va_end(ap);
	op->applied = FARE_REFUSED_OP;
	return FARE_STORE_NONE;
}

/* A new store: its meta record and the house's own chain, in one transaction. */
static int make_new(struct fare_books *b)
{
	struct fare_view v;
	struct fare_account house = {.id = 0};
	b->meta.schema = fare_format;
	if (!fare_random(b->meta.store_id, sizeof b->meta.store_id) || !fare_random(b->meta.epoch, sizeof b->meta.epoch) || fare_store_begin(b->store, &v) != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	if (fare_account_put(&v, &house) == FARE_STORE_OK && fare_meta_put(&v, &b->meta) == FARE_STORE_OK)
		return fare_store_commit(&v);
	(void)!fare_store_abort(&v);
	return FARE_STORE_FAILED;
}

/* The greatest ids and the head seal, as the store has them. */
static int load_state(struct fare_books *b)
{
	struct fare_view v = fare_view_plain(b->store);
	uint64_t seal;
	int r = fare_table_last(&v, FARE_TABLE_ACCOUNTS, &b->last_account);
	if (r == FARE_STORE_OK)
		r = fare_table_last(&v, FARE_TABLE_KEYS, &b->last_key);
	if (r == FARE_STORE_OK)
		r = fare_table_last(&v, FARE_TABLE_PROVIDERS, &b->last_provider);
	if (r == FARE_STORE_OK)
		r = fare_table_last(&v, FARE_TABLE_MODELS, &b->last_model);
	if (r == FARE_STORE_OK)
		r = fare_table_last(&v, FARE_TABLE_SEALS, &seal);
	if (r == FARE_STORE_OK && seal > 0)
		r = fare_seal_get(&v, seal, &b->head);
	return r;
}

static int meta_save(struct fare_books *b)
{
	struct fare_view v;
	if (fare_store_begin(b->store, &v) != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	if (fare_meta_put(&v, &b->meta) == FARE_STORE_OK)
		return fare_store_commit(&v);
	(void)!fare_store_abort(&v);
	return FARE_STORE_FAILED;
}

/* The store's meta record, made when the store is new, and raised when it is of an earlier format. */
static int load_meta(struct fare_books *b, const char *home, bool create, char error[FARE_ERROR_N])
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_account house;
	int r = fare_meta_get(&v, &b->meta);
	if (r == FARE_STORE_OK && create && b->meta.schema < fare_format) {
		fare_log(FARE_INFO, "the store was of format %u: it is of format %u from now on", b->meta.schema, fare_format);
		b->meta.schema = fare_format;
		return meta_save(b);
	}
	if (r != FARE_STORE_NONE)
		return r;
	r = fare_account_get(&v, 0, &house);
	if (r == FARE_STORE_OK)
		snprintf(error, FARE_ERROR_N, "the store in %.150s has lost its meta record: restore a backup", home);
	else if (r == FARE_STORE_NONE && create)
		return make_new(b);
	else if (r == FARE_STORE_NONE)
		snprintf(error, FARE_ERROR_N, "the store in %.150s was not finished: run farebox setup again", home);
	return FARE_STORE_FAILED;
}

struct fare_books *fare_books_open(const char *home, bool create, char error[FARE_ERROR_N])
{
	struct fare_store *store = fare_store_open(home, create, error);
	if (!store)
		return NULL;
	struct fare_books *b = fare_alloc(sizeof *b);
	b->store = store;
	fare_buf_init(&b->hashes, FARE_HASHES_MAX);
	error[0] = '\0';
	int r = load_meta(b, home, create, error);
	if (r == FARE_STORE_OK)
		r = load_state(b);
	if (r == FARE_STORE_OK)
		return b;
	if (r == FARE_STORE_BAD)
		snprintf(error, FARE_ERROR_N, "the store in %.100s: %.140s", home, fare_store_bad_text());
	else if (error[0] == '\0')
		snprintf(error, FARE_ERROR_N, "the store in %.150s cannot be read", home);
	fare_books_close(&b);
	return NULL;
}

struct fare_books *fare_books_open_copy(const char *home, char error[FARE_ERROR_N]) { return fare_store_recover_copy(home, error) ? fare_books_open(home, false, error) : NULL; }

void fare_books_close(struct fare_books **bp)
{
	struct fare_books *b = *bp;
	if (!b)
		return;
	if (b->in_batch)
		(void)!fare_store_abort(&b->view);
	fare_store_close(&b->store);
	fare_buf_release(&b->hashes);
	free(b);
	*bp = NULL;
}

void fare_books_leave(struct fare_books *b) { fare_store_leave(b->store); }

void fare_books_ids(struct fare_books *b, uint8_t store_id[FARE_STORE_ID_N], uint8_t epoch[FARE_EPOCH_N])
{
	memcpy(store_id, b->meta.store_id, FARE_STORE_ID_N);
	memcpy(epoch, b->meta.epoch, FARE_EPOCH_N);
}

int fare_books_renew_epoch(struct fare_books *b)
{
	FARE_ASSERT(!b->in_batch);
	return fare_random(b->meta.epoch, sizeof b->meta.epoch) ? meta_save(b) : FARE_STORE_FAILED;
}

int fare_books_begin(struct fare_books *b)
{
	FARE_ASSERT(!b->in_batch);
	if (b->broken || fare_store_begin(b->store, &b->view) != FARE_STORE_OK)
		return FARE_STORE_FAILED;
	b->in_batch = true;
	b->dirty = false;
	b->next = b->head;
	b->next.number++;
	b->next.entries = 0;
	fare_buf_reset(&b->hashes);
	return FARE_STORE_OK;
}

int fare_books_apply(struct fare_books *b, struct fare_op *op)
{
	static int (*const appliers[])(struct fare_books *, struct fare_op *) = {
		[FARE_OP_POST] = fare_op_post, [FARE_OP_ACCOUNT_PUT] = fare_op_account, [FARE_OP_KEY_PUT] = fare_op_key,
		[FARE_OP_PROVIDER_PUT] = fare_op_provider, [FARE_OP_MODEL_PUT] = fare_op_model, [FARE_OP_OUTAGE] = fare_op_post, [FARE_OP_ACCOUNT_LOW] = fare_op_low,
		[FARE_OP_STORY] = fare_op_story, [FARE_OP_EXPIRE] = fare_op_expire, [FARE_OP_FORGET] = fare_op_forget,
		[FARE_OP_RERATE] = fare_op_rerate,
	};
	FARE_ASSERT(b->in_batch);
	op->applied = 0;
	op->error[0] = '\0';
	if (b->broken)
		return FARE_STORE_FAILED;
	int r = op->type < FARE_ARRAY_N(appliers) && appliers[op->type] ? appliers[op->type](b, op) : fare_op_refuse(op, "unknown operation %u", op->type);
	if (r == FARE_STORE_BAD)
		r = fare_op_refuse(op, "%s", fare_store_bad_text());
	if (r == FARE_STORE_OK) {
		op->applied = FARE_APPLIED;
		b->dirty = true;
	}
	if (r == FARE_STORE_OK || r == FARE_STORE_NONE)
		return 0;
	if (r == FARE_STORE_THERE)
		fare_log(FARE_ALARM, "books: a record that must be new is there already");
	b->broken = true;
	return FARE_STORE_FAILED;
}

/* The batch's seal, when it posted anything. */
static int seal_batch(struct fare_books *b)
{
	struct fare_seal *s = &b->next;
	if (s->entries == 0)
		return FARE_STORE_OK;
	fare_sha256(b->hashes.p, b->hashes.n, &s->entries_hash);
	s->prev = b->head.hash;
	fare_seal_hash(s, &s->hash);
	return fare_seal_put(&b->view, s);
}

int fare_books_commit(struct fare_books *b)
{
	FARE_ASSERT(b->in_batch);
	b->in_batch = false;
	if (b->broken || !b->dirty || seal_batch(b) != FARE_STORE_OK) {
		int r = fare_store_abort(&b->view);
		b->broken |= b->dirty || r != FARE_STORE_OK;
		return b->broken ? FARE_STORE_FAILED : FARE_STORE_OK;
	}
	if (fare_store_commit(&b->view) != FARE_STORE_OK) {
		b->broken = true;
		return FARE_STORE_FAILED;
	}
	if (b->next.entries > 0)
		b->head = b->next;
	return FARE_STORE_OK;
}

int fare_books_checkpoint(struct fare_books *b) { return fare_store_checkpoint(b->store); }
uint32_t fare_books_log_number(struct fare_books *b) { return fare_store_log_number(b->store); }

/* Each life of a store (from when it was made or restored to its end) has its own folder: the next one counts its logs from the same number on. */
int fare_books_checkpoint_to(struct fare_books *b, const char *archive, unsigned days, int *error)
{
	char name[4 * 16 + 2], *at = name, dir[FARE_PATH_N];
	for (size_t i = 0; i < sizeof b->meta.store_id; i++)
		at += snprintf(at, 3, "%02x", b->meta.store_id[i]);
	*at++ = '.';
	for (size_t i = 0; i < sizeof b->meta.epoch; i++)
		at += snprintf(at, 3, "%02x", b->meta.epoch[i]);
	_Static_assert(sizeof b->meta.store_id == 16 && sizeof b->meta.epoch == 16, "the name's size");
	if (!fare_path(dir, sizeof dir, archive, name))
		dir[0] = '\0'; /* no folder: told as that */
	(void)!mkdir(dir, 0700); /* the archive's own folder is never made: it may be a disk that is not mounted */
	int r = fare_store_checkpoint_to(b->store, dir, error);
	name[2 * sizeof b->meta.store_id + 1] = '\0'; /* all lives of this store */
	if (r == FARE_STORE_OK && days)
		fare_store_archive_expire(archive, name, days);
	return r;
}
int fare_books_backup(struct fare_books *b, const char *to) { return fare_store_backup(b->store, to); }
