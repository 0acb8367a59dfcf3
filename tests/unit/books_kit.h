/* For tests of the books: a home of their own, and operations in one line each. */
#ifndef FARE_TESTS_BOOKS_KIT_H
#define FARE_TESTS_BOOKS_KIT_H

#include "base/first.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bank/books.h"

#include "unit.h"

enum { KIT_PATH_N = 256 };

static inline void kit_home(char home[KIT_PATH_N])
{
	const char *tmp = getenv("TMPDIR");
	snprintf(home, KIT_PATH_N, "%s/farebox-test-XXXXXX", tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(home));
}

static inline int kit_unlink(const char *path, const struct stat *st, int flag, struct FTW *f)
{
	(void)st;
	(void)flag;
	(void)f;
	return remove(path);
}

static inline void kit_remove(const char *home) { assert_int_equal(nftw(home, kit_unlink, 16, FTW_DEPTH | FTW_PHYS), 0); }

static inline struct fare_books *kit_open(const char *home, bool create)
{
	char error[FARE_ERROR_N];
	struct fare_books *b = fare_books_open(home, create, error);
	if (!b)
		fail_msg("%s", error);
	return b;
}

/* One operation as a batch of its own. */
static inline uint8_t kit_one(struct fare_books *b, struct fare_op *op)
{
	assert_int_equal(fare_books_begin(b), 0);
	assert_int_equal(fare_books_apply(b, op), 0);
	assert_int_equal(fare_books_commit(b), 0);
	return op->applied;
}

static inline struct fare_op kit_account(const char *name)
{
	struct fare_op op = {.type = FARE_OP_ACCOUNT_PUT};
	snprintf(op.u.account.name, sizeof op.u.account.name, "%s", name);
	op.u.account.created_ms = 1000;
	return op;
}

static inline struct fare_op kit_provider(const char *name)
{
	struct fare_op op = {.type = FARE_OP_PROVIDER_PUT};
	snprintf(op.u.provider.name, sizeof op.u.provider.name, "%s", name);
	snprintf(op.u.provider.base_url, sizeof op.u.provider.base_url, "http://127.0.0.1:1/v1");
	op.u.provider.style = FARE_STYLE_OPENAI;
	return op;
}

static inline struct fare_op kit_model(const char *name, int64_t input, int64_t output)
{
	struct fare_op op = {.type = FARE_OP_MODEL_PUT};
	snprintf(op.u.model.name, sizeof op.u.model.name, "%s", name);
	snprintf(op.u.model.upstream, sizeof op.u.model.upstream, "%s-up", name);
	op.u.model.provider = 1;
	op.u.model.price = (struct fare_price){.input = input, .output = output, .cache_read = -1, .cache_write = -1};
	op.u.model.bound_field = FARE_BOUND_MAX_TOKENS;
	op.u.model.priced = true;
	return op;
}

static inline struct fare_op kit_key(uint64_t account, const char *text)
{
	struct fare_op op = {.type = FARE_OP_KEY_PUT};
	op.u.key.account = account;
	fare_sha256(text, strlen(text), &op.u.key.hash);
	op.u.key.state = FARE_KEY_LIVE;
	return op;
}

static inline struct fare_op kit_money(uint64_t account, int64_t nano, const char *ref, uint64_t time_ms)
{
	struct fare_op op = {.type = FARE_OP_POST};
	op.u.post.account = account;
	op.u.post.kind = nano >= 0 ? FARE_KIND_CREDIT : FARE_KIND_DEBIT;
	op.u.post.amount = fare_nano(nano);
	op.u.post.time_ms = time_ms;
	snprintf(op.u.post.ref, sizeof op.u.post.ref, "%s", ref);
	return op;
}

static inline struct fare_id kit_id(uint64_t n)
{
	struct fare_id id = {{0x01, 0x90, 0, 0, 0, 0, 0x70, 0}};
	for (int i = 0; i < 8; i++)
		id.b[15 - i] = (uint8_t)(n >> (8 * i));
	return id;
}

/* A call of `in` and `out` tokens at a price per token of each. */
static inline struct fare_op kit_call(uint64_t account, uint64_t id, uint64_t version, uint64_t in, uint64_t out, int64_t charge, uint64_t time_ms)
{
	struct fare_op op = {.type = FARE_OP_POST};
	struct fare_entry *e = &op.u.post;
	e->account = account;
	e->kind = FARE_KIND_CALL;
	e->call_id = kit_id(id);
	e->key = 1;
	e->ending = FARE_COMPLETE;
	e->amount = fare_nano(-charge);
	e->hold = fare_nano(charge);
	e->price_version = version;
	e->usage.input = in;
	e->usage.output = out;
	e->time_ms = time_ms;
	snprintf(e->model, sizeof e->model, "m");
	return op;
}

/* The same, with an Idempotency-Key; answer NULL: not kept. */
static inline struct fare_op kit_keyed(struct fare_op op, unsigned key, const char *answer, uint32_t n)
{
	fare_sha256(&key, sizeof key, &op.keyed.idem);
	op.keyed.body[0] = 5;
	op.keyed.answer = answer;
	op.keyed.answer_n = answer ? n : 0;
	return op;
}

static inline bool kit_take_replay(void *arg, const struct fare_replay *r)
{
	struct { struct fare_replay r[8]; unsigned n; } *to = arg;
	assert_true(to->n < FARE_ARRAY_N(to->r));
	to->r[to->n++] = *r;
	return true;
}

/* Account 1 (acme), provider 1, model version 1 at one nano an input token and two an output token, key 1. */
static inline struct fare_books *kit_books(const char *home)
{
	struct fare_books *b = kit_open(home, true);
	struct fare_op ops[] = {kit_account("acme"), kit_provider("p"), kit_model("m", 1000000, 2000000), kit_key(1, "fb_one")};
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		assert_int_equal(kit_one(b, &ops[i]), FARE_APPLIED);
	return b;
}

static inline bool kit_take_account(void *arg, const struct fare_account *a)
{
	struct fare_account *want = arg;
	if (a->id != want->id)
		return true;
	*want = *a;
	return false;
}

static inline struct fare_account kit_account_of(struct fare_books *b, uint64_t id)
{
	struct fare_account a = {.id = id};
	assert_int_equal(fare_books_each_account(b, kit_take_account, &a), 0);
	assert_true(a.name[0] != '\0');
	return a;
}

#endif
