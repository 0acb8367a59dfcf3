/* Reading beside the writer: each read is short and sees what is committed. */
#include "base/first.h"

#include "bank/books_inner.h"
#include "base/log.h"

enum { LINE_MAX = 64 * 1024 };

/* A walk that hands records to a callback that answers with a bool. */
struct each {
	union {
		bool (*account)(void *, const struct fare_account *);
		bool (*key)(void *, const struct fare_key *);
		bool (*provider)(void *, const struct fare_provider *);
		bool (*model)(void *, const struct fare_model *);
		bool (*entry)(void *, const struct fare_entry *);
		bool (*usage)(void *, const struct fare_usage_total *);
		bool (*replay)(void *, const struct fare_replay *);
	} fn;
	void *arg;
	uint64_t of; /* account, 0: all */
	uint32_t from_day;
};

static int go_on(bool more) { return more ? FARE_STORE_OK : FARE_STORE_NONE; }

static int one_account(void *arg, const struct fare_account *a)
{
	struct each *e = arg;
	return go_on(e->fn.account(e->arg, a));
}

int fare_books_each_account(struct fare_books *b, bool (*fn)(void *, const struct fare_account *), void *arg)
{
	struct each e = {.fn.account = fn, .arg = arg};
	struct fare_view v = fare_view_plain(b->store);
	return fare_account_walk(&v, 1, one_account, &e);
}

static int one_key(void *arg, const struct fare_key *k)
{
	struct each *e = arg;
	return go_on(e->fn.key(e->arg, k));
}

int fare_books_each_key(struct fare_books *b, bool (*fn)(void *, const struct fare_key *), void *arg)
{
	struct each e = {.fn.key = fn, .arg = arg};
	struct fare_view v = fare_view_plain(b->store);
	return fare_key_walk(&v, 1, one_key, &e);
}

static int one_provider(void *arg, const struct fare_provider *p)
{
	struct each *e = arg;
	return go_on(e->fn.provider(e->arg, p));
}

int fare_books_each_provider(struct fare_books *b, bool (*fn)(void *, const struct fare_provider *), void *arg)
{
	struct each e = {.fn.provider = fn, .arg = arg};
	struct fare_view v = fare_view_plain(b->store);
	return fare_provider_walk(&v, 1, one_provider, &e);
}

static int one_model(void *arg, const struct fare_model *m)
{
	struct each *e = arg;
	return go_on(e->fn.model(e->arg, m));
}

int fare_books_each_model(struct fare_books *b, bool (*fn)(void *, const struct fare_model *), void *arg)
{
	struct each e = {.fn.model = fn, .arg = arg};
	struct fare_view v = fare_view_plain(b->store);
	return fare_model_walk(&v, 1, one_model, &e);
}

static int one_entry(void *arg, const struct fare_entry *entry)
{
	struct each *e = arg;
	return go_on(entry->account == e->of && e->fn.entry(e->arg, entry));
}

int fare_books_each_entry(struct fare_books *b, uint64_t account, uint64_t from_number, bool (*fn)(void *, const struct fare_entry *), void *arg)
{
	struct each e = {.fn.entry = fn, .arg = arg, .of = account};
	struct fare_view v = fare_view_plain(b->store);
	return fare_entry_walk(&v, (struct fare_place){account, from_number}, one_entry, &e);
}

static int one_usage(void *arg, const struct fare_usage_total *t)
{
	struct each *e = arg;
	if (e->of != 0 && t->account != e->of)
		return FARE_STORE_NONE;
	return go_on(t->day < e->from_day || e->fn.usage(e->arg, t));
}

int fare_books_each_usage(struct fare_books *b, uint64_t account, uint32_t from_day, bool (*fn)(void *, const struct fare_usage_total *), void *arg)
{
	struct each e = {.fn.usage = fn, .arg = arg, .of = account, .from_day = from_day};
	struct fare_view v = fare_view_plain(b->store);
	return fare_usage_walk(&v, account, from_day, one_usage, &e);
}

/* What an index led to. */
static int find_entry(struct fare_view *v, int r, struct fare_place at, struct fare_entry *out)
{
	if (r == FARE_STORE_NONE)
		return 0;
	if (r == FARE_STORE_OK)
		r = fare_entry_get(v, at, out);
	if (r == FARE_STORE_NONE)
		fare_log(FARE_ALARM, "books: an index names entry %llu of account %llu, which is not there", (unsigned long long)at.number, (unsigned long long)at.account);
	return r == FARE_STORE_OK ? 1 : -1;
}

int fare_books_find_call(struct fare_books *b, struct fare_id call_id, struct fare_entry *out)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_place at = {0};
	int r = fare_call_get(&v, call_id, &at);
	return find_entry(&v, r, at, out);
}

static int found(int r) { return r == FARE_STORE_OK ? 1 : r == FARE_STORE_NONE ? 0 : -1; }

int fare_books_find_story(struct fare_books *b, struct fare_id call_id, struct fare_story *out)
{
	struct fare_view v = fare_view_plain(b->store);
	return found(fare_story_get(&v, call_id, out));
}

int fare_books_find_replay(struct fare_books *b, struct fare_id call_id, struct fare_replay *out)
{
	struct fare_view v = fare_view_plain(b->store);
	return found(fare_replay_get(&v, call_id, out));
}

int fare_books_find_account(struct fare_books *b, uint64_t id, struct fare_account *out)
{
	struct fare_view v = fare_view_plain(b->store);
	return found(fare_account_get(&v, id, out));
}

int fare_books_find_model(struct fare_books *b, uint64_t version, struct fare_model *out)
{
	struct fare_view v = fare_view_plain(b->store);
	return found(fare_model_get(&v, version, out));
}

int fare_books_find_provider(struct fare_books *b, uint64_t id, struct fare_provider *out)
{
	struct fare_view v = fare_view_plain(b->store);
	return found(fare_provider_get(&v, id, out));
}

int fare_books_find_ref(struct fare_books *b, uint64_t account, uint8_t kind, const char *ref, struct fare_entry *out)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_place at = {.account = account};
	if (strlen(ref) >= FARE_NAME_N)
		return 0;
	int r = fare_ref_get(&v, account, kind, ref, &at.number);
	return find_entry(&v, r, at, out);
}

static int one_replay(void *arg, const struct fare_replay *r)
{
	struct each *e = arg;
	return go_on(e->fn.replay(e->arg, r));
}

int fare_books_each_replay(struct fare_books *b, bool (*fn)(void *, const struct fare_replay *), void *arg)
{
	struct each e = {.fn.replay = fn, .arg = arg};
	struct fare_view v = fare_view_plain(b->store);
	return fare_replay_walk(&v, one_replay, &e);
}

int fare_books_answer_part(struct fare_books *b, uint64_t account, struct fare_id call_id, uint16_t part, struct fare_answer_part *out, uint32_t *total)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_replay r;
	int got = fare_replay_get(&v, call_id, &r);
	if (got == FARE_STORE_OK && r.account != account)
		got = FARE_STORE_NONE;
	if (got == FARE_STORE_OK)
		got = fare_answer_part_get(&v, call_id, part, out);
	if (got != FARE_STORE_OK)
		return got == FARE_STORE_NONE ? 0 : -1;
	*total = r.answer_n;
	return 1;
}

int fare_books_head_seal(struct fare_books *b, struct fare_seal *out)
{
	struct fare_view v = fare_view_plain(b->store);
	uint64_t number;
	memset(out, 0, sizeof *out);
	int r = fare_table_last(&v, FARE_TABLE_SEALS, &number);
	return r == FARE_STORE_OK && number > 0 ? fare_seal_get(&v, number, out) : r;
}

struct export {
	struct fare_view v;
	bool (*fn)(void *, const char *, size_t);
	void *arg;
	struct fare_buf line;
	struct fare_account account; /* of the line before: its name */
	bool have_account;
	uint64_t batch, last; /* whose entries are being written; the head when it began */
	bool stopped;
};

static int export_line(struct export *x)
{
	FARE_ASSERT(!x->line.failed);
	x->stopped = !x->fn(x->arg, x->line.p, x->line.n);
	return go_on(!x->stopped);
}

static int export_seal(struct export *x)
{
	struct fare_seal s;
	int r = fare_seal_get(&x->v, x->batch, &s);
	if (r != FARE_STORE_OK) {
		fare_log(FARE_ALARM, "books: seal %llu cannot be read", (unsigned long long)x->batch);
		return FARE_STORE_FAILED;
	}
	x->batch++;
	fare_buf_reset(&x->line);
	fare_seal_json(&s, &x->line);
	return export_line(x);
}

static int export_entry(void *arg, uint64_t batch, uint32_t position, struct fare_place at)
{
	struct export *x = arg;
	struct fare_entry e;
	int r = FARE_STORE_OK;
	if (batch > x->last)
		return FARE_STORE_NONE;
	while (r == FARE_STORE_OK && x->batch < batch)
		r = export_seal(x);
	if (r != FARE_STORE_OK)
		return r;
	if (!x->have_account || x->account.id != at.account)
		r = fare_account_get(&x->v, at.account, &x->account);
	if (r == FARE_STORE_OK)
		r = fare_entry_get(&x->v, at, &e);
	if (r != FARE_STORE_OK) {
		fare_log(FARE_ALARM, "books: entry %u of batch %llu cannot be read", position, (unsigned long long)batch);
		return FARE_STORE_FAILED;
	}
	x->have_account = true;
	fare_buf_reset(&x->line);
	fare_entry_json(&e, x->account.name, &x->line);
	return export_line(x);
}

int fare_books_export(struct fare_books *b, bool (*fn)(void *, const char *line, size_t n), void *arg)
{
	struct export x = {.v = fare_view_plain(b->store), .fn = fn, .arg = arg, .batch = 1};
	struct fare_seal head;
	int r = fare_books_head_seal(b, &head);
	x.last = head.number;
	fare_buf_init(&x.line, LINE_MAX);
	if (r == FARE_STORE_OK)
		r = fare_batch_walk(&x.v, 1, export_entry, &x);
	while (r == FARE_STORE_OK && !x.stopped && x.batch <= x.last)
		r = export_seal(&x);
	fare_buf_release(&x.line);
	return r == FARE_STORE_NONE ? FARE_STORE_OK : r;
}
