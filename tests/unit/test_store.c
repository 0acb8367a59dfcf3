/* The store: opening, records, scans, transactions, what makes a commit fail, readers beside the writer. */
#include "base/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "books_kit.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/version.h"

static char home[KIT_PATH_N], rules[KIT_PATH_N + 8];
static struct fare_store *s;

static struct fare_store *open_store(bool create)
{
	char error[FARE_STORE_ERROR_N];
	struct fare_store *got = fare_store_open(home, create, error);
	if (!got)
		fail_msg("%s", error);
	return got;
}

static int setup(void **state)
{
	(void)state;
	kit_home(home);
	s = open_store(true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fare_store_close(&s);
	kit_remove(home);
	return 0;
}

static void reopen(void)
{
	fare_store_close(&s);
	s = open_store(false);
}

static void path_in_home(char *out, const char *name) { snprintf(out, KIT_PATH_N + 64, "%s/%s", home, name); }

static void expect_refused(bool create, const char *text)
{
	char error[FARE_STORE_ERROR_N] = "";
	struct fare_store *got = fare_store_open(home, create, error);
	assert_null(got);
	if (!strstr(error, text))
		fail_msg("\"%s\" does not say \"%s\"", error, text);
}

static void test_open(void **state)
{
	char path[KIT_PATH_N + 64];
	struct stat st;
	(void)state;
	path_in_home(path, "store");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	path_in_home(path, "store/log");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	path_in_home(path, "store/log/log.0000000001");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	fare_store_close(&s);
	path_in_home(path, "store/DB_CONFIG");
	assert_true(fare_file_write(path, "\n", 1, 0600));
	expect_refused(false, "DB_CONFIG must not be there");
	assert_int_equal(unlink(path), 0);
	path_in_home(path, "store/meta.db");
	assert_int_equal(unlink(path), 0);
	expect_refused(false, "no store in");
}

static void test_no_home(void **state)
{
	(void)state;
	char kept[KIT_PATH_N];
	memcpy(kept, home, sizeof kept);
	snprintf(home, sizeof home, "/nonexistent/farebox");
	expect_refused(false, "no store in /nonexistent/farebox");
	snprintf(home, sizeof home, "/proc/farebox");
	expect_refused(true, "cannot make /proc/farebox");
	memcpy(home, kept, sizeof home);
}

static void put(struct fare_view *v, uint64_t n, size_t bytes)
{
	static uint8_t p[FARE_STORE_RECORD_MAX];
	uint8_t key[8];
	fare_put_u64(key, n);
	memset(p, (int)(n & 0xFF), bytes);
	assert_int_equal(fare_store_put(v, FARE_TABLE_LEDGER, key, sizeof key, p, bytes, false), FARE_STORE_OK);
}

static int get(struct fare_view *v, uint64_t n, size_t bytes)
{
	static struct fare_record r;
	uint8_t key[8];
	fare_put_u64(key, n);
	int got = fare_store_get(v, FARE_TABLE_LEDGER, key, sizeof key, &r);
	if (got == FARE_STORE_OK)
		assert_true(r.n == bytes && (bytes == 0 || (r.bytes[0] == (n & 0xFF) && r.bytes[bytes - 1] == (n & 0xFF))));
	return got;
}

static void test_records(void **state)
{
	(void)state;
	struct fare_view w, plain = fare_view_plain(s);
	uint8_t key[FARE_STORE_KEY_MAX], one[8];
	size_t n;
	assert_int_equal(fare_store_last(&plain, FARE_TABLE_LEDGER, key, &n), FARE_STORE_NONE);
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	put(&w, 1, 0);
	put(&w, 2, 100);
	put(&w, 3, FARE_STORE_RECORD_MAX);
	assert_int_equal(get(&w, 2, 100), FARE_STORE_OK);
	fare_put_u64(one, 2);
	assert_int_equal(fare_store_put(&w, FARE_TABLE_LEDGER, one, 8, "x", 1, true), FARE_STORE_THERE);
	assert_int_equal(get(&w, 2, 100), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	put(&w, 4, 10);
	fare_put_u64(one, 1);
	assert_int_equal(fare_store_del(&w, FARE_TABLE_LEDGER, one, 8), FARE_STORE_OK);
	assert_int_equal(fare_store_del(&w, FARE_TABLE_LEDGER, one, 8), FARE_STORE_NONE);
	assert_int_equal(fare_store_abort(&w), FARE_STORE_OK);
	for (int pass = 0; pass < 2; pass++) {
		plain = fare_view_plain(s);
		assert_int_equal(get(&plain, 1, 0), FARE_STORE_OK);
		assert_int_equal(get(&plain, 2, 100), FARE_STORE_OK);
		assert_int_equal(get(&plain, 3, FARE_STORE_RECORD_MAX), FARE_STORE_OK);
		assert_int_equal(get(&plain, 4, 10), FARE_STORE_NONE);
		assert_int_equal(fare_store_last(&plain, FARE_TABLE_LEDGER, key, &n), FARE_STORE_OK);
		assert_true(n == 8 && fare_get_u64(key) == 3);
		reopen();
	}
}

struct scan { uint64_t next, stop_at; };

static int scan_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct scan *k = arg;
	assert_int_equal(key_n, 8);
	assert_true(fare_get_u64(key) == k->next);
	assert_true(n == 500 && p[499] == (k->next & 0xFF));
	k->next++;
	return k->next == k->stop_at ? FARE_STORE_NONE : FARE_STORE_OK;
}

static void test_scan(void **state)
{
	(void)state;
	enum { N = 3000 }; /* several bulk reads */
	struct fare_view w;
	struct scan all = {.next = 0}, some = {.next = 1234, .stop_at = 1300}, none = {.next = N};
	uint8_t key[8];
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	for (uint64_t i = 0; i < N; i++)
		put(&w, i, 500);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	struct fare_view v = fare_view_plain(s);
	assert_int_equal(fare_store_scan(&v, FARE_TABLE_LEDGER, "", 0, scan_one, &all), FARE_STORE_OK);
	assert_int_equal(all.next, N);
	fare_put_u64(key, 1234);
	assert_int_equal(fare_store_scan(&v, FARE_TABLE_LEDGER, key, 8, scan_one, &some), FARE_STORE_OK);
	assert_int_equal(some.next, 1300);
	fare_put_u64(key, N);
	assert_int_equal(fare_store_scan(&v, FARE_TABLE_LEDGER, key, 8, scan_one, &none), FARE_STORE_OK);
	assert_int_equal(none.next, N);
}

static int leave_at(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	const struct scan *k = arg;
	if (k->next == k->stop_at / 2)
		fare_store_leave(s);
	return scan_one(arg, key, key_n, p, n);
}

/* A scan under way ends before it has seen all; single records are read, and the writer goes on. */
static void test_leave(void **state)
{
	(void)state;
	enum { N = 3000 };
	struct fare_view w;
	struct fare_record rec;
	struct scan plain = {.stop_at = N}, again = {.next = 0}, inside = {.next = 0};
	uint8_t key[8];
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	for (uint64_t i = 0; i < N; i++)
		put(&w, i, 500);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	struct fare_view v = fare_view_plain(s);
	assert_int_equal(fare_store_scan(&v, FARE_TABLE_LEDGER, "", 0, leave_at, &plain), FARE_STORE_FAILED);
	assert_true(plain.next > N / 2 && plain.next < N);
	assert_int_equal(fare_store_scan(&v, FARE_TABLE_LEDGER, "", 0, scan_one, &again), FARE_STORE_FAILED);
	assert_int_equal(again.next, 0);
	fare_put_u64(key, N - 1);
	assert_int_equal(fare_store_get(&v, FARE_TABLE_LEDGER, key, sizeof key, &rec), FARE_STORE_OK);
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_store_scan(&w, FARE_TABLE_LEDGER, "", 0, scan_one, &inside), FARE_STORE_OK);
	assert_int_equal(inside.next, N);
	assert_int_equal(fare_store_abort(&w), FARE_STORE_OK);
}

/* The encodings are a promise: what changes them needs a new record version. */
static void check_bytes(enum fare_table t, const char *want)
{
	uint8_t key[FARE_STORE_KEY_MAX];
	size_t n;
	struct fare_view v = fare_view_plain(s);
	static struct fare_record r;
	struct fare_hash h;
	char hex[FARE_HEX_HASH_N];
	assert_int_equal(fare_store_last(&v, t, key, &n), FARE_STORE_OK);
	assert_int_equal(fare_store_get(&v, t, key, n, &r), FARE_STORE_OK);
	fare_sha256_parts((struct fare_sha256_part[]){{key, n}, {r.bytes, r.n}}, 2, &h);
	fare_hash_hex(&h, hex);
	hex[16] = '\0';
	if (strcmp(hex, want) != 0)
		fail_msg("%s: %s", fare_table_name(t), hex);
}

static void fill(char *out, size_t size) { memset(out, 'x', size - 1), out[size - 1] = '\0'; }

/* Every kind with all its fields as long and as large as they get. */
static void test_largest(void **state)
{
	(void)state;
	struct fare_view w;
	struct fare_account a = {.id = UINT64_MAX, .balance = {INT64_MIN}, .credits = {INT64_MAX}, .debits = {INT64_MAX}, .credit_limit = {INT64_MAX}, .entries = UINT64_MAX, .created_ms = UINT64_MAX, .closed = true,
		.default_max_tokens = UINT64_MAX, .default_expires_s = UINT64_MAX, .low_balance = {INT64_MAX}, .falls = UINT64_MAX, .low = 255}, a2;
	struct fare_key k = {.id = UINT64_MAX, .account = UINT64_MAX, .created_ms = UINT64_MAX, .expires_ms = UINT64_MAX, .state = 255}, k2;
	struct fare_provider p = {.id = UINT64_MAX, .style = 255, .removed = true}, p2;
	struct fare_model m = {.version = UINT64_MAX, .provider = UINT64_MAX, .price = {INT64_MAX, INT64_MAX, -1, -1, INT64_MAX}, .max_output = UINT64_MAX, .context = UINT64_MAX, .bound_field = 255, .priced = true, .stream_hold = UINT64_MAX}, m2;
	struct fare_entry e = {.account = UINT64_MAX, .number = UINT64_MAX, .kind = 255, .ending = 255, .flags = 65535, .key = 7, .amount = {INT64_MIN}, .balance = {INT64_MIN}, .hold = {INT64_MAX}, .price_version = 3,
		.usage = {1, 2, 3, 4, 5}, .time_ms = 6, .batch = 8}, e2;
	struct fare_usage_total t = {.account = UINT64_MAX, .day = UINT32_MAX, .key = UINT64_MAX, .calls = 1, .usage = {2, 3, 4, 5, 6}, .cost = {7}}, t2;
	memset(&a.head, 0xAA, sizeof a.head);
	memset(&k.hash, 0xBB, sizeof k.hash);
	memset(&e.call_id, 0xCC, sizeof e.call_id);
	memset(&e.corrects, 0xDD, sizeof e.corrects);
	memset(&e.prev, 0xEE, sizeof e.prev);
	memset(&e.hash, 0xFF, sizeof e.hash);
	fill(a.name, sizeof a.name), fill(a.default_models, sizeof a.default_models), fill(a.default_ip, sizeof a.default_ip), fill(k.name, sizeof k.name), fill(k.models, sizeof k.models), fill(k.ip, sizeof k.ip);
	fill(p.name, sizeof p.name), fill(p.base_url, sizeof p.base_url), fill(p.key_file, sizeof p.key_file), fill(p.key_env, sizeof p.key_env);
	fill(m.name, sizeof m.name), fill(m.upstream, sizeof m.upstream), fill(e.model, sizeof e.model), fill(e.ref, sizeof e.ref), fill(e.note, sizeof e.note), fill(t.model, sizeof t.model);
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_account_put(&w, &a), FARE_STORE_OK);
	assert_int_equal(fare_key_put(&w, &k), FARE_STORE_OK);
	assert_int_equal(fare_provider_put(&w, &p), FARE_STORE_OK);
	assert_int_equal(fare_model_put(&w, &m), FARE_STORE_OK);
	assert_int_equal(fare_entry_put(&w, &e), FARE_STORE_OK);
	assert_int_equal(fare_entry_put(&w, &e), FARE_STORE_THERE);
	assert_int_equal(fare_usage_put(&w, &t), FARE_STORE_OK);
	assert_int_equal(fare_ref_put(&w, 1, 2, e.ref, 3), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	reopen();
	struct fare_view v = fare_view_plain(s);
	uint64_t number;
	assert_int_equal(fare_account_get(&v, a.id, &a2), FARE_STORE_OK);
	assert_memory_equal(&a, &a2, sizeof a);
	assert_int_equal(fare_key_get(&v, k.id, &k2), FARE_STORE_OK);
	assert_memory_equal(&k, &k2, sizeof k);
	assert_int_equal(fare_provider_get(&v, p.id, &p2), FARE_STORE_OK);
	assert_memory_equal(&p, &p2, sizeof p);
	assert_int_equal(fare_model_get(&v, m.version, &m2), FARE_STORE_OK);
	assert_memory_equal(&m, &m2, sizeof m);
	assert_int_equal(fare_entry_get(&v, (struct fare_place){e.account, e.number}, &e2), FARE_STORE_OK);
	assert_memory_equal(&e, &e2, sizeof e);
	t2 = t;
	t2.calls = 0;
	assert_int_equal(fare_usage_get(&v, &t2), FARE_STORE_OK);
	assert_memory_equal(&t, &t2, sizeof t);
	assert_int_equal(fare_ref_get(&v, 1, 2, e.ref, &number), FARE_STORE_OK);
	assert_int_equal(number, 3);
	check_bytes(FARE_TABLE_ACCOUNTS, "59aa701a17ca8583");
	check_bytes(FARE_TABLE_KEYS, "0e6d44ca7fb9231a");
	check_bytes(FARE_TABLE_PROVIDERS, "e3dfe7f095f8c572");
	check_bytes(FARE_TABLE_MODELS, "0b811ebe5e09dc2b");
	check_bytes(FARE_TABLE_LEDGER, "0f076856533821e5");
	check_bytes(FARE_TABLE_USAGE, "116be925274f14db");
	check_bytes(FARE_TABLE_REFS, "64a91a84ec25a2bd");
}

/* The bytes of an account's record, its default texts being empty, that version 2 has beyond version 1. */
enum { ADDED_N = 2 + 2 + 8 + 8 + 8 + 8 + 1 };

static void account_as(struct fare_record *r, const char *text)
{
	struct fare_view w;
	struct fare_account a;
	uint8_t key[8] = {0};
	key[7] = 1;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_store_put(&w, FARE_TABLE_ACCOUNTS, key, 8, r->bytes, r->n, false), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	struct fare_view v = fare_view_plain(s);
	assert_int_equal(fare_account_get(&v, 1, &a), FARE_STORE_BAD);
	if (!strstr(fare_store_bad_text(), text))
		fail_msg("\"%s\" does not say \"%s\"", fare_store_bad_text(), text);
}

static void test_strange_records(void **state)
{
	(void)state;
	struct fare_view w, v = fare_view_plain(s);
	struct fare_account a = {.id = 1, .name = "acme"};
	uint8_t key[8] = {0};
	struct fare_record r, strange;
	key[7] = 1;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_account_put(&w, &a), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	assert_int_equal(fare_store_get(&v, FARE_TABLE_ACCOUNTS, key, 8, &r), FARE_STORE_OK);
	strange = r;
	strange.bytes[1] = 3;
	account_as(&strange, "has version 3, which this farebox does not know");
	for (strange = r; strange.n-- > 0;)
		account_as(&strange, "is cut short");
	strange = r;
	strange.n++;
	account_as(&strange, "is longer than its fields");
	strange = r;
	strange.bytes[r.n - ADDED_N - 1] = 7; /* closed: neither yes nor no */
	account_as(&strange, "holds what it cannot");
}

/* Stores of before: a model whose streams hold for all of their bound. */
static void test_first_version_of_a_model(void **state)
{
	(void)state;
	struct fare_view w, v = fare_view_plain(s);
	struct fare_model m = {.version = 1, .provider = 2, .name = "m", .upstream = "u", .price = {.input = 3}, .priced = true}, full = m, got;
	uint8_t key[8] = {0};
	struct fare_record r;
	key[7] = 1;
	full.stream_hold = 64;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_model_put(&w, &full), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	assert_int_equal(fare_model_get(&v, 1, &got), FARE_STORE_OK);
	assert_memory_equal(&full, &got, sizeof got);
	assert_int_equal(fare_store_get(&v, FARE_TABLE_MODELS, key, 8, &r), FARE_STORE_OK);
	r.bytes[1] = 1;
	r.n -= 8;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_store_put(&w, FARE_TABLE_MODELS, key, 8, r.bytes, r.n, false), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	assert_int_equal(fare_model_get(&v, 1, &got), FARE_STORE_OK);
	assert_memory_equal(&m, &got, sizeof m);
}

/* Stores of before: an account's record that ends before the fields of version 2. */
static void test_first_version(void **state)
{
	(void)state;
	struct fare_view w, v = fare_view_plain(s);
	struct fare_account a = {.id = 1, .name = "acme", .balance = {5}, .credits = {7}, .debits = {2}, .entries = 3, .created_ms = 9, .closed = true}, full = a, got;
	uint8_t key[8] = {0};
	struct fare_record r;
	key[7] = 1;
	full.default_max_tokens = 77;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_account_put(&w, &full), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	assert_int_equal(fare_store_get(&v, FARE_TABLE_ACCOUNTS, key, 8, &r), FARE_STORE_OK);
	assert_int_equal(r.bytes[1], 2);
	r.bytes[1] = 1;
	account_as(&r, "is longer than its fields");
	r.n -= ADDED_N;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_store_put(&w, FARE_TABLE_ACCOUNTS, key, 8, r.bytes, r.n, false), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	assert_int_equal(fare_account_get(&v, 1, &got), FARE_STORE_OK);
	assert_memory_equal(&a, &got, sizeof a);
}

static void test_schema(void **state)
{
	(void)state;
	struct fare_view w;
	struct fare_meta meta = {.schema = fare_format + 1};
	char error[FARE_ERROR_N];
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_meta_put(&w, &meta), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	fare_store_close(&s);
	assert_null(fare_books_open(home, true, error));
	assert_non_null(strstr(error, "this farebox knows"));
	s = open_store(false);
}

static void format_as(const char *text)
{
	char path[FARE_PATH_N];
	assert_true(fare_path(path, sizeof path, home, "store/FORMAT"));
	assert_true(fare_file_write(path, text, strlen(text), 0600));
}

/* What a later farebox has written is refused before anything is opened, and by both names; what says nothing sensible is too. */
static void test_format(void **state)
{
	char error[FARE_ERROR_N], want[64];
	(void)state;
	fare_store_close(&s);
	snprintf(want, sizeof want, "is of farebox 9.8 (format %u)", fare_format + 1);
	char later[32];
	snprintf(later, sizeof later, "%u 9.8\n", fare_format + 1);
	format_as(later);
	assert_null(fare_store_open(home, true, error));
	assert_non_null(strstr(error, want));
	assert_non_null(strstr(error, fare_version));
	format_as("new\n");
	assert_null(fare_store_open(home, true, error));
	assert_non_null(strstr(error, "does not say which format"));
	format_as("1 0.0\n");
	s = open_store(false);
}

/* Tables without a meta record: a setup that did not finish is finished by setup alone; a store that lost its meta record is not taken for new. */
static void test_unfinished(void **state)
{
	(void)state;
	char error[FARE_ERROR_N];
	fare_store_close(&s);
	assert_null(fare_books_open(home, false, error));
	assert_non_null(strstr(error, "was not finished"));
	struct fare_books *b = kit_books(home);
	fare_books_close(&b);
	s = open_store(false);
	struct fare_view w;
	assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
	assert_int_equal(fare_store_del(&w, FARE_TABLE_META, "meta", 4), FARE_STORE_OK);
	assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	fare_store_close(&s);
	assert_null(fare_books_open(home, true, error));
	assert_non_null(strstr(error, "has lost its meta record"));
	s = open_store(false);
}

#ifdef FARE_FAULTS
static void fault(const char *rule) { assert_true(fare_file_write(rules, rule, strlen(rule), 0600)); }

static void test_failed_commit(void **state)
{
	static const char *const points[] = {"store_commit:fail", "store_flush:fail", "store_write_failed:fail"};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(points); i++) {
		struct fare_view w;
		assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
		put(&w, i, 10);
		fault(points[i]);
		assert_int_equal(fare_store_commit(&w), FARE_STORE_FAILED);
		fault("");
		/* For good. */
		assert_true(fare_store_has_failed(s));
		assert_int_equal(fare_store_begin(s, &w), FARE_STORE_FAILED);
		assert_int_equal(fare_store_checkpoint(s), FARE_STORE_FAILED);
		reopen();
		struct fare_view v = fare_view_plain(s);
		assert_int_equal(get(&v, i, 10), i == 0 ? FARE_STORE_NONE : FARE_STORE_OK);
	}
	fault("store_checkpoint:fail");
	assert_int_equal(fare_store_checkpoint(s), FARE_STORE_FAILED);
	fault("");
	assert_true(fare_store_has_failed(s));
}

/* Books whose store failed acknowledge nothing more. */
static void test_failed_books(void **state)
{
	(void)state;
	fare_store_close(&s);
	struct fare_books *b = kit_books(home);
	struct fare_op op = kit_money(1, 5, "", 1);
	assert_int_equal(fare_books_begin(b), 0);
	assert_int_equal(fare_books_apply(b, &op), 0);
	fault("store_flush:fail");
	assert_int_not_equal(fare_books_commit(b), 0);
	fault("");
	assert_int_not_equal(fare_books_begin(b), 0);
	fare_books_close(&b);
	b = kit_open(home, false);
	assert_int_equal(kit_account_of(b, 1).balance.nano, 5); /* was in the log, as it may be */
	fare_books_close(&b);
	s = open_store(false);
}
#endif

/* A disk that takes no more (a file size limit plays it): commits fail, and what was acknowledged before is there. */
static int fill_disk(int fd)
{
	struct rlimit limit = {3 << 20, 3 << 20};
	signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
		return 2;
	for (uint64_t i = 0; i < 4000; i++) {
		struct fare_view w;
		if (fare_store_begin(s, &w) != FARE_STORE_OK)
			return 3;
		for (uint64_t j = 0; j < 4; j++)
			put(&w, 4 * i + j, 1000);
		if (fare_store_commit(&w) != FARE_STORE_OK)
			return fare_store_has_failed(s) && fare_store_begin(s, &w) == FARE_STORE_FAILED ? 0 : 4;
		if (write(fd, &i, sizeof i) != sizeof i)
			return 5;
	}
	return 6;
}

static void test_full_disk(void **state)
{
	(void)state;
	int fds[2], status;
	uint64_t acked = 0, i;
	fare_store_close(&s);
	assert_int_equal(pipe(fds), 0);
	fflush(NULL);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		fare_log_level(FARE_ALARM + 1);
		s = open_store(false);
		_exit(fill_disk(fds[1]));
	}
	close(fds[1]);
	while (read(fds[0], &i, sizeof i) == sizeof i)
		acked = i + 1;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(acked > 100);
	s = open_store(false);
	struct fare_view v = fare_view_plain(s);
	for (i = 0; i < 4 * acked; i++)
		assert_int_equal(get(&v, i, 1000), FARE_STORE_OK);
}

static void test_logs_removed(void **state)
{
	(void)state;
	char first[KIT_PATH_N + 64], second[KIT_PATH_N + 64];
	struct stat st;
	path_in_home(first, "store/log/log.0000000001");
	path_in_home(second, "store/log/log.0000000002");
	for (uint64_t i = 0; stat(second, &st) != 0; i++) {
		struct fare_view w;
		assert_true(i < 1000);
		assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
		for (uint64_t j = 0; j < 100; j++)
			put(&w, 100 * i + j, 1000);
		assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
	}
	assert_int_equal(fare_store_checkpoint(s), FARE_STORE_OK);
	assert_int_not_equal(stat(first, &st), 0);
	reopen();
	struct fare_view v = fare_view_plain(s);
	assert_int_equal(get(&v, 0, 1000), FARE_STORE_OK);
}

static atomic_bool writing;

/* Touches the same pages in ever other order, so that readers get in its way: with Berkeley DB's page locks alone it loses a transaction to a deadlock soon. */
static void *write_on(void *arg)
{
	uint64_t *failures = arg;
	for (uint64_t i = 0; i < 300; i++) {
		struct fare_view w;
		if (fare_store_begin(s, &w) != FARE_STORE_OK) {
			++*failures;
			break;
		}
		for (uint64_t j = 0; j < 64; j++)
			put(&w, (i * 37 + j * (i % 2 ? 41 : 459)) % 500, 500);
		*failures += fare_store_commit(&w) != FARE_STORE_OK;
	}
	atomic_store(&writing, false);
	return NULL;
}

static int count_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	(void)key;
	(void)key_n;
	(void)p;
	(void)n;
	++*(uint64_t *)arg;
	return FARE_STORE_OK;
}

static void *read_on(void *arg)
{
	uint64_t *failures = arg;
	struct fare_view v = fare_view_plain(s);
	while (atomic_load(&writing)) {
		uint64_t n = 0, id;
		*failures += fare_store_scan(&v, FARE_TABLE_LEDGER, "", 0, count_one, &n) != FARE_STORE_OK;
		*failures += fare_table_last(&v, FARE_TABLE_LEDGER, &id) != FARE_STORE_OK;
	}
	return NULL;
}

static void test_readers(void **state)
{
	(void)state;
	pthread_t writer, readers[3];
	uint64_t failures[4] = {0}, n = 0;
	atomic_store(&writing, true);
	assert_int_equal(pthread_create(&writer, NULL, write_on, &failures[3]), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&readers[i], NULL, read_on, &failures[i]), 0);
	pthread_join(writer, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(readers[i], NULL);
	for (int i = 0; i < 4; i++)
		assert_int_equal(failures[i], 0);
	struct fare_view v = fare_view_plain(s);
	assert_int_equal(fare_store_scan(&v, FARE_TABLE_LEDGER, "", 0, count_one, &n), FARE_STORE_OK);
	assert_int_equal(n, 500);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_open), T(test_no_home), T(test_records), T(test_scan), T(test_leave), T(test_largest), T(test_strange_records), T(test_first_version), T(test_first_version_of_a_model), T(test_schema), T(test_format), T(test_unfinished),
#ifdef FARE_FAULTS
		T(test_failed_commit), T(test_failed_books),
#endif
		T(test_full_disk), T(test_logs_removed), T(test_readers),
	};
	kit_home(home);
	snprintf(rules, sizeof rules, "%s", home);
	strcat(rules, ".rules");
	rmdir(home);
	setenv("FAREBOX_FAULT_FILE", rules, 1);
	fare_log_level(FARE_ALARM + 1); /* failures are made by the dozen */
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(rules);
	return failed;
}
