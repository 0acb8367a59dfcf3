/*
 * farebox-damage HOME WHAT ACCOUNT: damages the store of a home that nothing runs in, so that what is elsewhere stays as it was; for tests of verify. Prints what it did.
 */
#include "base/first.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bank/books_inner.h"
#include "base/fs.h"
#include "base/log.h"

static struct fare_store *store;
static struct fare_view v;
static struct fare_account a;   /* the one to be damaged */
static struct fare_entry last;   /* its last call that was charged */

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "farebox-damage: %s\n", what);
	exit(1);
}
#define MUST(x) ((x) == FARE_STORE_OK ? (void)0 : fail(#x))

static int find_call(void *arg, const struct fare_entry *e)
{
	(void)arg;
	if (e->account != a.id)
		return FARE_STORE_NONE;
	if (e->kind == FARE_KIND_CALL && e->amount.nano < 0)
		last = *e;
	return FARE_STORE_OK;
}

static void find(const char *name)
{
	uint64_t id;
	MUST(fare_name_get(&v, name, &id));
	MUST(fare_account_get(&v, id, &a));
	MUST(fare_entry_walk(&v, (struct fare_place){id, 1}, find_call, NULL));
	if (last.number == 0)
		fail("it has no calls");
}

/* ---- Keys, as lib/store makes them */

struct key { uint8_t b[FARE_STORE_KEY_MAX]; size_t n; };

static struct key key_of(uint64_t first, const uint64_t *second)
{
	struct key k = {.n = second ? 16 : 8};
	fare_put_u64(k.b, first);
	if (second)
		fare_put_u64(k.b + 8, *second);
	return k;
}
static struct key entry_key(uint64_t account, uint64_t number) { return key_of(account, &number); }

static void del(enum fare_table t, struct key k) { MUST(fare_store_del(&v, t, k.b, k.n)); }

static void flip(enum fare_table t, struct key k)
{
	struct fare_record r;
	MUST(fare_store_get(&v, t, k.b, k.n, &r));
	r.bytes[r.n / 2] ^= 1;
	MUST(fare_store_put(&v, t, k.b, k.n, r.bytes, r.n, false));
	printf("byte %u of %u in a record of %s flipped\n", r.n / 2, r.n, fare_table_name(t));
}

/* ---- The damages */

static void last_entry(void)
{
	del(FARE_TABLE_LEDGER, entry_key(a.id, a.entries));
	printf("entry %llu of %s, its last, removed\n", (unsigned long long)a.entries, a.name);
}

static void account(void)
{
	del(FARE_TABLE_ACCOUNTS, key_of(a.id, NULL));
	printf("account %s removed\n", a.name);
}

static void entry_byte(void) { flip(FARE_TABLE_LEDGER, entry_key(last.account, last.number)); }
static void account_byte(void) { flip(FARE_TABLE_ACCOUNTS, key_of(a.id, NULL)); }
static void seal_byte(void) { flip(FARE_TABLE_SEALS, key_of(last.batch, NULL)); }

static void pair(void)
{
	struct key two = entry_key(a.id, last.number - 1), one = entry_key(a.id, last.number);
	struct fare_record x, y;
	MUST(fare_store_get(&v, FARE_TABLE_LEDGER, one.b, one.n, &x));
	MUST(fare_store_get(&v, FARE_TABLE_LEDGER, two.b, two.n, &y));
	MUST(fare_store_put(&v, FARE_TABLE_LEDGER, one.b, one.n, y.bytes, y.n, false));
	MUST(fare_store_put(&v, FARE_TABLE_LEDGER, two.b, two.n, x.bytes, x.n, false));
	printf("entries %llu and %llu of %s swapped\n", (unsigned long long)last.number - 1, (unsigned long long)last.number, a.name);
}

static void last_seal(void)
{
	uint64_t number;
	MUST(fare_table_last(&v, FARE_TABLE_SEALS, &number));
	del(FARE_TABLE_SEALS, key_of(number, NULL));
	printf("seal %llu, the last, removed\n", (unsigned long long)number);
}

static void usage(void)
{
	size_t n = strlen(last.model);
	struct key k = key_of(a.id, NULL);
	fare_put_u32(k.b + 8, fare_entry_day(&last));
	fare_put_u64(k.b + 12, last.key);
	memcpy(k.b + 20, last.model, n);
	k.n = 20 + n;
	del(FARE_TABLE_USAGE, k);
	printf("usage total of %s, model %s, removed\n", a.name, last.model);
}

static void price(void)
{
	struct fare_model m;
	MUST(fare_model_get(&v, last.price_version, &m));
	m.price.output++;
	MUST(fare_model_put(&v, &m));
	printf("price version %llu made dearer\n", (unsigned long long)last.price_version);
}

static void call_index(void)
{
	struct key k = {.n = sizeof last.call_id.b};
	memcpy(k.b, last.call_id.b, k.n);
	del(FARE_TABLE_CALLS, k);
	printf("the index's record of a call removed\n");
}

static void replace(const struct fare_entry *e)
{
	del(FARE_TABLE_LEDGER, entry_key(e->account, e->number));
	MUST(fare_entry_put(&v, e));
}

/* From the account's first credit on, all its entries anew with one dollar more; its record fits. */
static uint64_t rewrite_chain(void)
{
	enum { MORE = 1000000000 };
	struct fare_hash prev = {0};
	struct fare_entry e;
	uint64_t batch = 0;
	for (uint64_t n = 1; n <= a.entries; n++) {
		MUST(fare_entry_get(&v, (struct fare_place){a.id, n}, &e));
		if (batch == 0 && e.kind == FARE_KIND_CREDIT) {
			e.amount.nano += MORE;
			batch = e.batch;
		}
		if (batch != 0) {
			e.balance.nano += MORE;
			e.prev = prev;
			fare_entry_hash(&e, &e.hash);
			replace(&e);
		}
		prev = e.hash;
	}
	if (batch == 0)
		fail("no credit");
	a.balance.nano += MORE;
	a.credits.nano += MORE;
	a.head = prev;
	MUST(fare_account_put(&v, &a));
	return batch;
}

static void rewrite(void)
{
	rewrite_chain();
	printf("%s has a dollar more in its first credit; entries after it, hashes and account made to fit\n", a.name);
}

struct sum { struct fare_seal s; struct fare_buf hashes; };

static int add_place(void *arg, uint64_t batch, uint32_t position, struct fare_place at)
{
	struct sum *x = arg;
	struct fare_entry e;
	(void)position;
	if (batch != x->s.number)
		return FARE_STORE_NONE;
	MUST(fare_entry_get(&v, at, &e));
	if (!fare_hashes_add(&x->hashes, &e.hash) || !fare_totals_add(e.amount, &x->s.total_credits, &x->s.total_debits))
		fail("more than a batch holds");
	return FARE_STORE_OK;
}

/* Each seal from a batch on, made anew of what the ledger says now. */
static void rewrite_seals(uint64_t from)
{
	struct sum x = {.s.number = 0};
	struct fare_seal old;
	uint64_t end;
	fare_buf_init(&x.hashes, FARE_HASHES_MAX);
	if (from > 1)
		MUST(fare_seal_get(&v, from - 1, &x.s));
	MUST(fare_table_last(&v, FARE_TABLE_SEALS, &end));
	for (uint64_t n = from; n <= end; n++) {
		MUST(fare_seal_get(&v, n, &old));
		x.s = (struct fare_seal){.number = n, .entries = old.entries, .time_ms = old.time_ms, .total_entries = old.total_entries, .prev = x.s.hash, .total_credits = x.s.total_credits,
			.total_debits = x.s.total_debits};
		fare_buf_reset(&x.hashes);
		MUST(fare_batch_walk(&v, n, add_place, &x));
		fare_sha256(x.hashes.p, x.hashes.n, &x.s.entries_hash);
		fare_seal_hash(&x.s, &x.s.hash);
		del(FARE_TABLE_SEALS, key_of(n, NULL));
		MUST(fare_seal_put(&v, &x.s));
	}
	fare_buf_release(&x.hashes);
}

static void history(void)
{
	rewrite_seals(rewrite_chain());
	printf("%s has a dollar more in its first credit; all after it made anew, seals too\n", a.name);
}

/* The last batch must be one entry of a, not a call (a credit, say): with it goes all that it brought. */
static void tail(void)
{
	struct fare_entry e, before;
	uint8_t batch[12] = {0};
	MUST(fare_entry_get(&v, (struct fare_place){a.id, a.entries}, &e));
	MUST(fare_entry_get(&v, (struct fare_place){a.id, a.entries - 1}, &before));
	if (e.kind != FARE_KIND_CREDIT || e.ref[0])
		fail("its last entry is no credit without ref");
	fare_put_u64(batch, e.batch);
	MUST(fare_store_del(&v, FARE_TABLE_BATCHES, batch, sizeof batch));
	del(FARE_TABLE_SEALS, key_of(e.batch, NULL));
	del(FARE_TABLE_LEDGER, entry_key(a.id, a.entries));
	a.entries--;
	a.head = before.hash;
	a.balance = before.balance;
	a.credits.nano -= e.amount.nano;
	MUST(fare_account_put(&v, &a));
	printf("the ledger's last batch removed, a credit of %s, seal and all\n", a.name);
}

/* A byte of a table's file, its middle unless an offset is given: page checksums know. */
static void file_byte(const char *home, const char *table, const char *offset)
{
	char path[FARE_PATH_N];
	struct stat st;
	uint8_t byte;
	snprintf(path, sizeof path, "%s/store/%s.db", home, table);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		fail(path);
	off_t at = offset ? (off_t)strtoull(offset, NULL, 10) % st.st_size : st.st_size / 2;
	if (pread(fd, &byte, 1, at) != 1)
		fail("read");
	byte ^= 1;
	if (pwrite(fd, &byte, 1, at) != 1 || close(fd) != 0)
		fail("write");
	printf("byte %lld of %lld in %s.db flipped\n", (long long)at, (long long)st.st_size, table);
}

int main(int argc, char **argv)
{
	static const struct { const char *word; void (*fn)(void); } damages[] = {
		{"last-entry", last_entry}, {"account", account}, {"entry-byte", entry_byte}, {"account-byte", account_byte}, {"seal-byte", seal_byte}, {"pair", pair}, {"last-seal", last_seal},
		{"usage", usage}, {"price", price}, {"call-index", call_index}, {"rewrite", rewrite}, {"history", history}, {"tail", tail},
	};
	char error[FARE_ERROR_N];
	if (argc >= 4 && strcmp(argv[2], "file-byte") == 0) {
		file_byte(argv[1], argv[3], argc > 4 ? argv[4] : NULL);
		return 0;
	}
	for (size_t i = 0; argc == 4 && i < FARE_ARRAY_N(damages); i++) {
		if (strcmp(argv[2], damages[i].word) != 0)
			continue;
		store = fare_store_open(argv[1], false, error);
		if (!store)
			fail(error);
		v = fare_view_plain(store);
		find(argv[3]);
		MUST(fare_store_begin(store, &v));
		damages[i].fn();
		MUST(fare_store_commit(&v));
		fare_store_close(&store);
		return 0;
	}
	fprintf(stderr, "usage: farebox-damage HOME file-byte TABLE [OFFSET]; farebox-damage HOME WHAT ACCOUNT, WHAT:");
	for (size_t i = 0; i < FARE_ARRAY_N(damages); i++)
		fprintf(stderr, " %s", damages[i].word);
	fprintf(stderr, "\n");
	return 2;
}
