/* Verify: clean books are found clean, also beside the writer; each way of tampering with them is named. */
#include "base/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "books_kit.h"
#include "child.h"
#include "bank/books_inner.h"
#include "base/log.h"

static char home[KIT_PATH_N];
static struct fare_books *b;

/* Two accounts; acme has entries 1 to 6 in batches 1 to 4, zeta entry 1 in batch 2. */
static int setup(void **state)
{
	(void)state;
	kit_home(home);
	b = kit_books(home);
	struct fare_op zeta = kit_account("zeta");
	assert_int_equal(kit_one(b, &zeta), FARE_APPLIED);
	struct fare_op ops[] = {
		kit_money(1, 5000, "inv-1", 1 * (uint64_t)FARE_DAY_MS), kit_call(1, 7, 1, 100, 50, 200, 1 * (uint64_t)FARE_DAY_MS), kit_money(2, 70, "", 1 * (uint64_t)FARE_DAY_MS),
		kit_call(1, 8, 1, 10, 5, 20, 1 * (uint64_t)FARE_DAY_MS), kit_call(1, 9, 1, 1, 0, 1, 3 * (uint64_t)FARE_DAY_MS), kit_money(1, -30, "", 3 * (uint64_t)FARE_DAY_MS), kit_money(1, 20, "", 3 * (uint64_t)FARE_DAY_MS),
	};
	ops[6].u.post.kind = FARE_KIND_CORRECTION;
	ops[6].u.post.corrects = kit_id(8);
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++) {
		if (i != 2 && i != 3 && i != 6)
			assert_int_equal(fare_books_begin(b), 0);
		assert_int_equal(fare_books_apply(b, &ops[i]), 0);
		assert_int_equal(ops[i].applied, FARE_APPLIED);
		if (i != 1 && i != 2 && i != 5)
			assert_int_equal(fare_books_commit(b), 0);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fare_books_close(&b);
	kit_remove(home);
	return 0;
}

static void expect_clean(void)
{
	struct fare_verify v;
	assert_int_equal(fare_books_verify(b, &v), 0);
	if (!v.ok)
		fail_msg("%s", v.first_fault);
	assert_int_equal(v.entries, 7);
	assert_int_equal(v.accounts, 2);
	assert_int_equal(v.seals, 4);
}

static void expect_fault(const char *text)
{
	struct fare_verify v;
	assert_int_equal(fare_books_verify(b, &v), 0);
	assert_false(v.ok);
	if (!strstr(v.first_fault, text))
		fail_msg("\"%s\" does not say \"%s\"", v.first_fault, text);
}

static void test_clean(void **state)
{
	(void)state;
	expect_clean();
	fare_books_close(&b);
	b = kit_open(home, false);
	expect_clean();
}

static void test_empty(void **state)
{
	(void)state;
	struct fare_verify v;
	teardown(NULL);
	kit_home(home);
	b = kit_open(home, true);
	assert_int_equal(fare_books_verify(b, &v), 0);
	assert_true(v.ok);
	assert_int_equal(v.entries + v.accounts + v.seals, 0);
}

/* Changes behind the books' back: raw records, through the store. */
static struct fare_view change_begin(void)
{
	struct fare_view v;
	assert_int_equal(fare_store_begin(b->store, &v), FARE_STORE_OK);
	return v;
}

static void change_end(struct fare_view *v) { assert_int_equal(fare_store_commit(v), FARE_STORE_OK); }

static void raw_put(enum fare_table t, const void *key, size_t n, const struct fare_record *r)
{
	struct fare_view v = change_begin();
	assert_int_equal(fare_store_put(&v, t, key, n, r->bytes, r->n, false), FARE_STORE_OK);
	change_end(&v);
}

static void raw_del(enum fare_table t, const void *key, size_t n)
{
	struct fare_view v = change_begin();
	assert_int_equal(fare_store_del(&v, t, key, n), FARE_STORE_OK);
	change_end(&v);
}

static struct fare_record raw_get(enum fare_table t, const void *key, size_t n)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_record r;
	assert_int_equal(fare_store_get(&v, t, key, n, &r), FARE_STORE_OK);
	return r;
}

struct key16 { uint8_t b[16]; };

static struct key16 place_key(uint64_t account, uint64_t number)
{
	struct key16 k;
	fare_put_u64(k.b, account);
	fare_put_u64(k.b + 8, number);
	return k;
}

/* Every single byte of an entry's record counts. */
static void test_each_byte(void **state)
{
	(void)state;
	struct key16 k = place_key(1, 2);
	struct fare_record r = raw_get(FARE_TABLE_LEDGER, k.b, sizeof k.b);
	assert_true(r.n > 200);
	for (uint32_t i = 0; i < r.n; i++) {
		struct fare_verify v;
		r.bytes[i] ^= 1;
		raw_put(FARE_TABLE_LEDGER, k.b, sizeof k.b, &r);
		assert_int_equal(fare_books_verify(b, &v), 0);
		if (v.ok)
			fail_msg("byte %u was changed, and verify is content", i);
		if (!strstr(v.first_fault, "account acme, entry 2:") && !strstr(v.first_fault, "00000000000000010000000000000002 of ledger"))
			fail_msg("byte %u: \"%s\"", i, v.first_fault);
		r.bytes[i] ^= 1;
	}
	raw_put(FARE_TABLE_LEDGER, k.b, sizeof k.b, &r);
	expect_clean();
}

/* And of the other records that money rests on. */
static void each_byte_of(enum fare_table t, const void *key, size_t n)
{
	struct fare_record r = raw_get(t, key, n);
	for (uint32_t i = 0; i < r.n; i++) {
		struct fare_verify v;
		r.bytes[i] ^= 1;
		raw_put(t, key, n, &r);
		assert_int_equal(fare_books_verify(b, &v), 0);
		if (v.ok)
			fail_msg("byte %u of a record of %s was changed, and verify is content", i, fare_table_name(t));
		r.bytes[i] ^= 1;
	}
	raw_put(t, key, n, &r);
}

static void test_each_byte_elsewhere(void **state)
{
	(void)state;
	uint8_t batch[12] = {0}, seal[8] = {0}, usage[21] = {0};
	struct fare_id id = kit_id(7);
	batch[7] = 2;
	batch[11] = 1;
	seal[7] = 2;
	usage[7] = 1;
	usage[11] = 1;
	usage[19] = 1;
	usage[20] = 'm';
	each_byte_of(FARE_TABLE_SEALS, seal, sizeof seal);
	each_byte_of(FARE_TABLE_BATCHES, batch, sizeof batch);
	each_byte_of(FARE_TABLE_CALLS, id.b, sizeof id.b);
	each_byte_of(FARE_TABLE_USAGE, usage, sizeof usage);
	each_byte_of(FARE_TABLE_NAMES, "acme", 4);
	expect_clean();
}

static void test_entry_gone(void **state)
{
	(void)state;
	struct key16 last = place_key(1, 6), middle = place_key(1, 3);
	struct fare_record r = raw_get(FARE_TABLE_LEDGER, last.b, sizeof last.b), m = raw_get(FARE_TABLE_LEDGER, middle.b, sizeof middle.b);
	raw_del(FARE_TABLE_LEDGER, last.b, sizeof last.b);
	expect_fault("account acme, entry 6: is not there");
	raw_put(FARE_TABLE_LEDGER, last.b, sizeof last.b, &r);
	raw_del(FARE_TABLE_LEDGER, middle.b, sizeof middle.b);
	expect_fault("account acme, entry 3: is not there");
	raw_put(FARE_TABLE_LEDGER, middle.b, sizeof middle.b, &m);
	expect_clean();
}

/* The last entry gone, and the account's record set back to fit: the seals know. */
static void test_tail_cut(void **state)
{
	(void)state;
	struct key16 last = place_key(1, 6);
	struct fare_view v = fare_view_plain(b->store);
	struct fare_entry e;
	struct fare_account a;
	assert_int_equal(fare_entry_get(&v, (struct fare_place){1, 5}, &e), FARE_STORE_OK);
	assert_int_equal(fare_account_get(&v, 1, &a), FARE_STORE_OK);
	a.entries = 5;
	a.head = e.hash;
	a.balance = e.balance;
	a.credits.nano -= 20;
	raw_del(FARE_TABLE_LEDGER, last.b, sizeof last.b);
	v = change_begin();
	assert_int_equal(fare_account_put(&v, &a), FARE_STORE_OK);
	change_end(&v);
	expect_fault("batch 4: entry 6 of account 1 is not there");
}

static void test_entry_beyond(void **state)
{
	(void)state;
	struct key16 last = place_key(1, 6), beyond = place_key(1, 7), nobody = place_key(9, 1);
	struct fare_record r = raw_get(FARE_TABLE_LEDGER, last.b, sizeof last.b);
	raw_put(FARE_TABLE_LEDGER, beyond.b, sizeof beyond.b, &r);
	expect_fault("account acme, entry 7: is beyond");
	raw_del(FARE_TABLE_LEDGER, beyond.b, sizeof beyond.b);
	raw_put(FARE_TABLE_LEDGER, nobody.b, sizeof nobody.b, &r);
	expect_fault("entry 1 of account 9, which is not there");
}

static void test_entries_swapped(void **state)
{
	(void)state;
	struct key16 k2 = place_key(1, 2), k3 = place_key(1, 3);
	struct fare_record two = raw_get(FARE_TABLE_LEDGER, k2.b, sizeof k2.b), three = raw_get(FARE_TABLE_LEDGER, k3.b, sizeof k3.b);
	raw_put(FARE_TABLE_LEDGER, k2.b, sizeof k2.b, &three);
	raw_put(FARE_TABLE_LEDGER, k3.b, sizeof k3.b, &two);
	expect_fault("account acme, entry 2: its hash");
}

/* An entry rewritten with a hash that fits, at the end of its chain, account and all: its seal does not know it. */
static void test_rewritten(void **state)
{
	(void)state;
	struct fare_view v = fare_view_plain(b->store);
	struct key16 last = place_key(1, 6);
	struct fare_entry e;
	struct fare_account a;
	assert_int_equal(fare_entry_get(&v, (struct fare_place){1, 6}, &e), FARE_STORE_OK);
	assert_int_equal(fare_account_get(&v, 1, &a), FARE_STORE_OK);
	e.amount.nano += 1000;
	e.balance.nano += 1000;
	fare_entry_hash(&e, &e.hash);
	a.balance.nano += 1000;
	a.credits.nano += 1000;
	a.head = e.hash;
	v = change_begin();
	assert_int_equal(fare_store_del(&v, FARE_TABLE_LEDGER, last.b, sizeof last.b), FARE_STORE_OK);
	assert_int_equal(fare_entry_put(&v, &e), FARE_STORE_OK);
	assert_int_equal(fare_account_put(&v, &a), FARE_STORE_OK);
	change_end(&v);
	expect_fault("seal 4: its batch holds other entries");
}

static struct fare_kept_seal kept_seal(uint64_t number)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_seal s;
	assert_int_equal(fare_seal_get(&v, number, &s), FARE_STORE_OK);
	return (struct fare_kept_seal){.number = number, .hash = s.hash};
}

static void expect_kept(const struct fare_kept_seal *kept, const char *text)
{
	struct fare_verify v;
	assert_int_equal(fare_books_verify_kept(b, kept, &v), 0);
	if (v.ok != !text || (text && !strstr(v.first_fault, text)))
		fail_msg("\"%s\", not \"%s\"", v.first_fault, text ? text : "");
}

/* Batch 4 with all that it brought is gone, so that what is left adds up: only who kept its seal knows. */
static void test_kept_seal(void **state)
{
	(void)state;
	struct fare_kept_seal third = kept_seal(3), last = kept_seal(4), parsed;
	struct fare_view v = fare_view_plain(b->store);
	uint8_t batch[12] = {0}, seal[8] = {0};
	struct fare_entry e;
	struct fare_account a;
	char text[100];
	expect_kept(&third, NULL);
	expect_kept(&last, NULL);
	assert_int_equal(fare_entry_get(&v, (struct fare_place){1, 4}, &e), FARE_STORE_OK);
	assert_int_equal(fare_account_get(&v, 1, &a), FARE_STORE_OK);
	a.entries = 4;
	a.head = e.hash;
	a.balance = e.balance;
	a.credits.nano -= 20;
	a.debits.nano -= 30;
	seal[7] = batch[7] = 4;
	v = change_begin();
	for (uint64_t n = 5; n <= 6; n++) {
		struct key16 k = place_key(1, n);
		batch[11] = (uint8_t)(n - 5);
		assert_int_equal(fare_store_del(&v, FARE_TABLE_LEDGER, k.b, sizeof k.b), FARE_STORE_OK);
		assert_int_equal(fare_store_del(&v, FARE_TABLE_BATCHES, batch, sizeof batch), FARE_STORE_OK);
	}
	assert_int_equal(fare_store_del(&v, FARE_TABLE_SEALS, seal, sizeof seal), FARE_STORE_OK);
	assert_int_equal(fare_account_put(&v, &a), FARE_STORE_OK);
	change_end(&v);
	expect_kept(&third, NULL);
	expect_kept(&last, "seal 4, whose hash was kept, is not there: the ledger ends with seal 3");
	third.hash.b[0] ^= 1;
	expect_kept(&third, "seal 3 has another hash than the one that was kept");
	snprintf(text, sizeof text, "3:%064d", 0);
	assert_true(fare_kept_seal_parse(fare_span_of(text), &parsed));
	assert_int_equal(parsed.number, 3);
	text[0] = '0';
	assert_false(fare_kept_seal_parse(fare_span_of(text), &parsed));
	text[0] = ':';
	assert_false(fare_kept_seal_parse(fare_span_of(text), &parsed));
	assert_false(fare_kept_seal_parse(fare_span_of("3:00"), &parsed));
	assert_false(fare_kept_seal_parse(fare_span_of(""), &parsed));
}

static void account_but(void (*change)(struct fare_account *), const char *text)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_account a, kept;
	assert_int_equal(fare_account_get(&v, 1, &a), FARE_STORE_OK);
	kept = a;
	change(&a);
	v = change_begin();
	assert_int_equal(fare_account_put(&v, &a), FARE_STORE_OK);
	change_end(&v);
	expect_fault(text);
	v = change_begin();
	assert_int_equal(fare_account_put(&v, &kept), FARE_STORE_OK);
	change_end(&v);
}

static void richer(struct fare_account *a) { a->balance.nano++; }
static void busier(struct fare_account *a) { a->credits.nano++, a->debits.nano++; }
static void longer(struct fare_account *a) { a->entries++; }
static void shorter(struct fare_account *a) { a->entries--; }
static void headless(struct fare_account *a) { a->head.b[31] ^= 1; }
static void other_name(struct fare_account *a) { a->name[0] = 'b'; }

static void test_account_record(void **state)
{
	(void)state;
	uint8_t id[8] = {0};
	account_but(richer, "account acme: its record has another balance");
	account_but(busier, "account acme: its record has another balance");
	account_but(longer, "account acme, entry 7: is not there");
	account_but(shorter, "account acme: its record has another head");
	account_but(headless, "account acme: its record has another head");
	account_but(other_name, "account bcme: is not found by its name");
	expect_clean();
	id[7] = 2;
	raw_del(FARE_TABLE_ACCOUNTS, id, sizeof id);
	expect_fault("entry 1 of account 2, which is not there");
}

static void test_seals(void **state)
{
	(void)state;
	struct fare_view v = fare_view_plain(b->store);
	uint8_t key[8] = {0};
	struct fare_seal s;
	key[7] = 2;
	struct fare_record r = raw_get(FARE_TABLE_SEALS, key, sizeof key);
	raw_del(FARE_TABLE_SEALS, key, sizeof key);
	expect_fault("seal 2 is not there");
	/* Made up with a hash that fits: the next one does not name it. */
	raw_put(FARE_TABLE_SEALS, key, sizeof key, &r);
	assert_int_equal(fare_seal_get(&v, 2, &s), FARE_STORE_OK);
	s.time_ms++;
	fare_seal_hash(&s, &s.hash);
	raw_del(FARE_TABLE_SEALS, key, sizeof key);
	v = change_begin();
	assert_int_equal(fare_seal_put(&v, &s), FARE_STORE_OK);
	change_end(&v);
	expect_fault("seal 2: its time or totals");
	raw_put(FARE_TABLE_SEALS, key, sizeof key, &r);
	key[7] = 4;
	raw_del(FARE_TABLE_SEALS, key, sizeof key);
	expect_fault("seal 4 is not there");
}

static void test_indices(void **state)
{
	(void)state;
	struct fare_id id = kit_id(8), other = kit_id(99);
	uint8_t ref[14] = {0}, usage[21] = {0}, hash_key[FARE_HASH_N];
	struct fare_hash h;
	ref[7] = 1;
	ref[8] = FARE_KIND_CREDIT;
	memcpy(ref + 9, "inv-1", 5);
	struct fare_record r = raw_get(FARE_TABLE_CALLS, id.b, sizeof id.b);
	raw_del(FARE_TABLE_CALLS, id.b, sizeof id.b);
	expect_fault("account acme, entry 3: the index of calls does not lead to it");
	raw_put(FARE_TABLE_CALLS, id.b, sizeof id.b, &r);
	raw_put(FARE_TABLE_CALLS, other.b, sizeof other.b, &r);
	expect_fault("the index of calls leads from");
	raw_del(FARE_TABLE_CALLS, other.b, sizeof other.b);
	r = raw_get(FARE_TABLE_REFS, ref, sizeof ref);
	raw_del(FARE_TABLE_REFS, ref, sizeof ref);
	expect_fault("account acme, entry 1: the index of refs does not lead to it");
	raw_put(FARE_TABLE_REFS, ref, sizeof ref, &r);
	ref[13] = '2';
	raw_put(FARE_TABLE_REFS, ref, sizeof ref, &r);
	expect_fault("the index of refs leads from inv-2");
	raw_del(FARE_TABLE_REFS, ref, sizeof ref);
	/* Usage: a total that no call made, of a day within, after, and of nobody; one that is gone. */
	usage[7] = 1;
	usage[11] = 1;
	usage[19] = 1;
	usage[20] = 'm';
	r = raw_get(FARE_TABLE_USAGE, usage, sizeof usage);
	raw_del(FARE_TABLE_USAGE, usage, sizeof usage);
	expect_fault("usage total of day 1, key 1, model m is not");
	raw_put(FARE_TABLE_USAGE, usage, sizeof usage, &r);
	for (uint8_t day = 0; day < 5; day++) {
		usage[11] = day;
		usage[20] = 'n';
		raw_put(FARE_TABLE_USAGE, usage, sizeof usage, &r);
		expect_fault("key 1, model n is not");
		raw_del(FARE_TABLE_USAGE, usage, sizeof usage);
	}
	usage[7] = 9;
	raw_put(FARE_TABLE_USAGE, usage, sizeof usage, &r);
	expect_fault("usage of account 9, which is not there");
	raw_del(FARE_TABLE_USAGE, usage, sizeof usage);
	expect_clean();
	fare_sha256("fb_one", 6, &h);
	memcpy(hash_key, h.b, sizeof hash_key);
	/* Names and hashes of nobody's making, which would let somebody in. */
	r = raw_get(FARE_TABLE_NAMES, "acme", 4);
	raw_put(FARE_TABLE_NAMES, "mallory", 7, &r);
	expect_fault("the name mallory leads to account 1");
	raw_del(FARE_TABLE_NAMES, "mallory", 7);
	r = raw_get(FARE_TABLE_HASHES, hash_key, sizeof hash_key);
	hash_key[0] ^= 1;
	raw_put(FARE_TABLE_HASHES, hash_key, sizeof hash_key, &r);
	expect_fault("a hash leads to key 1");
	raw_del(FARE_TABLE_HASHES, hash_key, sizeof hash_key);
	hash_key[0] ^= 1;
	expect_clean();
	raw_del(FARE_TABLE_HASHES, hash_key, sizeof hash_key);
	expect_fault("key 1 is not found by its hash");
}

static void test_price_changed(void **state)
{
	(void)state;
	struct fare_view v = fare_view_plain(b->store);
	struct fare_model m;
	uint8_t version[8] = {0};
	assert_int_equal(fare_model_get(&v, 1, &m), FARE_STORE_OK);
	m.price.output++;
	v = change_begin();
	assert_int_equal(fare_model_put(&v, &m), FARE_STORE_OK);
	change_end(&v);
	expect_fault("account acme, entry 2: charge differs from price and usage");
	version[7] = 1;
	raw_del(FARE_TABLE_MODELS, version, sizeof version);
	expect_fault("account acme, entry 2: its price version is not there");
}

static struct fare_rerate re;

/* A rerate counts by the version that it names and by what its call was charged before it. */
static void test_rerated(void **state)
{
	(void)state;
	struct fare_op two = kit_model("m", 3000000, 4000000), op = {.type = FARE_OP_RERATE, .u.rerate = &re};
	struct fare_view v = fare_view_plain(b->store);
	struct fare_verify found;
	struct fare_model m;
	uint8_t key[9 + FARE_NAME_N] = {0};
	char ref[FARE_NAME_N];
	assert_int_equal(kit_one(b, &two), FARE_APPLIED);
	for (uint64_t version = 2; version > 0; version--) {
		re = (struct fare_rerate){.version = version, .time_ms = 4 * (uint64_t)FARE_DAY_MS, .n = 2, .items = {{.call = kit_id(7)}, {.call = kit_id(9)}}};
		assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	}
	assert_int_equal(fare_books_verify(b, &found), 0);
	assert_true(found.ok);
	assert_int_equal(found.entries, 11);
	assert_int_equal(fare_model_get(&v, 2, &m), FARE_STORE_OK);
	m.price.input++;
	v = change_begin();
	assert_int_equal(fare_model_put(&v, &m), FARE_STORE_OK);
	change_end(&v);
	expect_fault("account acme, entry 7: does not bring its call to the price that it names");
	m.price.input--;
	v = change_begin();
	assert_int_equal(fare_model_put(&v, &m), FARE_STORE_OK);
	change_end(&v);
	/* The first rerate's ref leads nowhere: the second one has nothing to stand on. */
	fare_rerate_ref(kit_id(7), 1, ref);
	key[7] = 1;
	key[8] = FARE_KIND_RERATE;
	memcpy(key + 9, ref, strlen(ref));
	raw_del(FARE_TABLE_REFS, key, 9 + strlen(ref));
	expect_fault("account acme, entry 7: the index of refs does not lead to it");
}

static void change_page(void)
{
	char path[KIT_PATH_N + 32];
	unsigned char byte;
	struct stat st;
	snprintf(path, sizeof path, "%s/store/ledger.db", home);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(pread(fd, &byte, 1, st.st_size - 100), 1); /* in an entry */
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 100), 1);
	close(fd);
}

/* In a child: Berkeley DB does not give back the memory of an environment that panicked. */
static int verify_damaged(void)
{
	struct fare_verify v;
	b = kit_open(home, false);
	if (fare_books_verify(b, &v) == 0)
		return 1;
	if (v.ok || !strstr(v.first_fault, "cannot be read"))
		return 2;
	if (!fare_store_has_failed(b->store))
		return 3;
	return fare_books_begin(b) == 0 ? 4 : 0;
}

static int open_damaged(void)
{
	char error[FARE_ERROR_N];
	if (fare_books_open(home, false, error))
		return 1;
	return strstr(error, "damaged, the log says where") ? 0 : 2;
}

/* A page changed on the disk: its checksum tells. The store fails for good, and nobody is told that the books are right. */
static void test_page_changed(void **state)
{
	(void)state;
	char text[CHILD_TEXT_N];
	fare_books_close(&b);
	b = kit_open(home, false); /* recovery ends with a checkpoint: the next one has no need of the page */
	fare_books_close(&b);
	change_page();
	assert_int_equal(child_run(verify_damaged, text), 0);
	teardown(NULL);
	/* Where recovery needs it, the store does not open. */
	setup(NULL);
	fare_books_close(&b);
	change_page();
	assert_int_equal(child_run(open_damaged, text), 0);
}

/* In a child: is the damage found, by opening the store or by verify? */
static int look_damaged(void)
{
	char error[FARE_ERROR_N];
	struct fare_verify v;
	b = fare_books_open(home, false, error);
	return b && fare_books_verify(b, &v) == 0 && v.ok ? 1 : 0;
}

/* A byte anywhere in any file of a table, but for what follows the 512 bytes of a file's first page, where Berkeley DB has nothing. */
static void test_any_page(void **state)
{
	(void)state;
	enum { FLIPS = 39, FILE_MAX = 1024 * 1024, HEAD_N = 512, PAGE_N = 4096 };
	static char bytes[FILE_MAX];
	uint64_t rng = 20261128;
	char path[KIT_PATH_N + 32], text[CHILD_TEXT_N];
	fare_books_close(&b);
	b = kit_open(home, false);
	fare_books_close(&b);
	for (int i = 0; i < FLIPS; i++) {
		snprintf(path, sizeof path, "%s/store/%s.db", home, fare_table_name((enum fare_table)(i % FARE_TABLE_N)));
		int fd = open(path, O_RDWR | O_CLOEXEC);
		ssize_t n = pread(fd, bytes, sizeof bytes, 0);
		assert_true(n > 0 && n < FILE_MAX);
		rng = rng * 6364136223846793005U + 1442695040888963407U;
		off_t at = (off_t)((rng >> 20) % (uint64_t)(n - PAGE_N + HEAD_N));
		at += at < HEAD_N ? 0 : PAGE_N - HEAD_N;
		char changed = (char)(bytes[at] ^ (1 << (rng >> 61)));
		assert_int_equal(pwrite(fd, &changed, 1, at), 1);
		if (child_run(look_damaged, text) != 0)
			fail_msg("byte %lld of %s was changed, and nobody noticed: %s", (long long)at, path, text);
		assert_int_equal(pwrite(fd, bytes, (size_t)n, 0), n);
		assert_int_equal(ftruncate(fd, n), 0);
		close(fd);
	}
	b = kit_open(home, false);
	expect_clean();
}

static atomic_bool writing;

/* Batches on few accounts, over many days, a new account now and then; every other call with a key, which expires soon. */
static void *write_on(void *arg)
{
	static char name[16], answer[FARE_ANSWER_PART_N + 1000];
	uint64_t id = 1000, time_ms = 4 * (uint64_t)FARE_DAY_MS, accounts = 2;
	(void)arg;
	for (int i = 0; i < 400; i++) {
		FARE_ASSERT(fare_books_begin(b) == 0);
		for (int j = 0; j < 8; j++) {
			struct fare_op op = kit_call(1 + id % accounts, id, 1, 10, 5, 20, time_ms += FARE_DAY_MS / 50);
			op.u.post.key = 1 + id % 3;
			if (id % 2)
				op = kit_keyed(op, (unsigned)id, answer, sizeof answer);
			id++;
			FARE_ASSERT(fare_books_apply(b, &op) == 0 && op.applied == FARE_APPLIED);
		}
		struct fare_op expire = {.type = FARE_OP_FORGET, .u.forget = {.count = 2, .calls = {kit_id(id - 40), kit_id(id - 41)}}};
		FARE_ASSERT(fare_books_apply(b, &expire) == 0);
		if (i % 50 == 0) {
			snprintf(name, sizeof name, "new-%d", i);
			struct fare_op op = kit_account(name);
			FARE_ASSERT(fare_books_apply(b, &op) == 0 && op.applied == FARE_APPLIED);
			accounts = op.u.account.id;
		}
		FARE_ASSERT(fare_books_commit(b) == 0);
		if (i % 100 == 0)
			FARE_ASSERT(fare_books_checkpoint(b) == 0);
	}
	atomic_store(&writing, false);
	return NULL;
}

static void test_beside_the_writer(void **state)
{
	(void)state;
	pthread_t thread;
	struct fare_verify v;
	int runs = 0;
	atomic_store(&writing, true);
	assert_int_equal(pthread_create(&thread, NULL, write_on, NULL), 0);
	do {
		assert_int_equal(fare_books_verify(b, &v), 0);
		if (!v.ok)
			fail_msg("after %d runs: %s", runs, v.first_fault);
		runs++;
	} while (atomic_load(&writing));
	pthread_join(thread, NULL);
	assert_int_equal(fare_books_verify(b, &v), 0);
	assert_true(v.ok);
	assert_int_equal(v.entries, 7 + 3200);
	assert_true(runs > 1);
}

/* Replay records that do not fit the ledger, and answers that were changed. */
static void test_replays(void **state)
{
	(void)state;
	static char large[3 * FARE_ANSWER_PART_N - 1];
	memset(large, 'x', sizeof large);
	struct fare_op op = kit_keyed(kit_call(1, 20, 1, 10, 5, 20, 4 * (uint64_t)FARE_DAY_MS), 1, large, sizeof large);
	assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	struct fare_view v = fare_view_plain(b->store);
	struct fare_record good, bad;
	uint8_t part[18];
	struct fare_verify out;
	assert_int_equal(fare_books_verify(b, &out), 0);
	assert_true(out.ok);
	memcpy(part, kit_id(20).b, 16);
	fare_put_u16(part + 16, 1);

	assert_int_equal(fare_store_get(&v, FARE_TABLE_REPLAYS, kit_id(20).b, 16, &good), FARE_STORE_OK);
	static const size_t at[] = {9 /* account */, 2 + 8 + 32 + 16 + 7 /* cost */, 2 + 8 + 32 + 16 + 15 /* end */, 2 + 8 + 32 + 16 + 19 /* answer's size */, 2 + 8 + 32 + 16 + 30 /* and hash */};
	for (size_t i = 0; i < FARE_ARRAY_N(at); i++) {
		bad = good;
		bad.bytes[at[i]] ^= 1;
		raw_put(FARE_TABLE_REPLAYS, kit_id(20).b, 16, &bad);
		expect_fault(i < 3 ? "its account, cost or end are not those" : "its answer is not what was kept");
	}
	raw_del(FARE_TABLE_REPLAYS, kit_id(20).b, 16);
	expect_fault("belongs to no replay record");
	raw_put(FARE_TABLE_REPLAYS, kit_id(20).b, 16, &good);
	raw_put(FARE_TABLE_REPLAYS, kit_id(21).b, 16, &good);
	expect_fault("the call is not in the ledger");
	raw_del(FARE_TABLE_REPLAYS, kit_id(21).b, 16);

	assert_int_equal(fare_store_get(&v, FARE_TABLE_ANSWERS, part, sizeof part, &good), FARE_STORE_OK);
	bad = good;
	bad.bytes[100] ^= 1;
	raw_put(FARE_TABLE_ANSWERS, part, sizeof part, &bad);
	expect_fault("its answer is not what was kept");
	raw_del(FARE_TABLE_ANSWERS, part, sizeof part);
	expect_fault("its answer is not what was kept");
	raw_put(FARE_TABLE_ANSWERS, part, sizeof part, &good);
	assert_int_equal(fare_books_verify(b, &out), 0);
	assert_true(out.ok);
	fare_put_u16(part + 16, 3);
	raw_put(FARE_TABLE_ANSWERS, part, sizeof part, &good);
	expect_fault("belongs to no replay record");
}

int main(void)
{
	fare_log_level(FARE_ALARM + 1); /* faults are found by the hundred */
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_clean), T(test_empty), T(test_each_byte), T(test_each_byte_elsewhere), T(test_entry_gone), T(test_tail_cut), T(test_entry_beyond), T(test_entries_swapped), T(test_rewritten), T(test_kept_seal),
		T(test_account_record), T(test_seals), T(test_indices), T(test_price_changed), T(test_rerated), T(test_page_changed), T(test_any_page), T(test_beside_the_writer), T(test_replays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
