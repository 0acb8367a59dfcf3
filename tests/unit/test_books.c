/* The books: operations one by one, what is refused, repeats, batches, seals, exports. */
#include "base/first.h"

#include <json-c/json.h>

#include "books_kit.h"
#include "bank/books_inner.h"

static char home[KIT_PATH_N];
static struct fare_books *b;

static int setup(void **state)
{
	(void)state;
	kit_home(home);
	b = kit_books(home);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fare_books_close(&b);
	kit_remove(home);
	return 0;
}

static void reopen(void)
{
	fare_books_close(&b);
	b = kit_open(home, false);
}

static void test_money(void **state)
{
	(void)state;
	struct fare_op credit = kit_money(1, 5000, "", 2000), call = kit_call(1, 7, 1, 100, 50, 200, 3000), debit = kit_money(1, -300, "", 4000);
	assert_int_equal(kit_one(b, &credit), FARE_APPLIED);
	assert_int_equal(kit_one(b, &call), FARE_APPLIED);
	assert_int_equal(kit_one(b, &debit), FARE_APPLIED);
	for (int pass = 0; pass < 2; pass++) {
		struct fare_account a = kit_account_of(b, 1);
		assert_int_equal(a.balance.nano, 4500);
		assert_int_equal(a.credits.nano, 5000);
		assert_int_equal(a.debits.nano, 500);
		assert_int_equal(a.entries, 3);
		assert_memory_equal(a.head.b, debit.u.post.hash.b, FARE_HASH_N);
		struct fare_entry e;
		assert_int_equal(fare_books_find_call(b, kit_id(7), &e), 1);
		assert_int_equal(e.number, 2);
		assert_int_equal(e.balance.nano, 4800);
		assert_int_equal(e.batch, 2);
		assert_memory_equal(e.prev.b, credit.u.post.hash.b, FARE_HASH_N);
		assert_int_equal(fare_books_find_call(b, kit_id(8), &e), 0);
		reopen();
	}
}

static void test_call_twice(void **state)
{
	(void)state;
	struct fare_op call = kit_call(1, 7, 1, 100, 50, 200, 3000), again = kit_call(1, 7, 1, 1, 1, 3, 9000);
	assert_int_equal(kit_one(b, &call), FARE_APPLIED);
	assert_int_equal(kit_one(b, &again), FARE_ALREADY);
	assert_memory_equal(again.u.post.hash.b, call.u.post.hash.b, FARE_HASH_N);
	assert_int_equal(again.u.post.amount.nano, -200);
	/* And in one batch. */
	struct fare_op one = kit_call(1, 8, 1, 1, 1, 3, 9000), two = one;
	assert_int_equal(fare_books_begin(b), 0);
	assert_int_equal(fare_books_apply(b, &one), 0);
	assert_int_equal(fare_books_apply(b, &two), 0);
	assert_int_equal(fare_books_commit(b), 0);
	assert_int_equal(one.applied, FARE_APPLIED);
	assert_int_equal(two.applied, FARE_ALREADY);
	assert_int_equal(kit_account_of(b, 1).entries, 2);
}

static void test_ref_twice(void **state)
{
	(void)state;
	struct fare_op credit = kit_money(1, 5000, "inv-1", 2000), same = kit_money(1, 5000, "inv-1", 3000), other = kit_money(1, 5001, "inv-1", 3000), debit = kit_money(1, -5000, "inv-1", 3000);
	assert_int_equal(kit_one(b, &credit), FARE_APPLIED);
	reopen();
	assert_int_equal(kit_one(b, &same), FARE_ALREADY);
	assert_int_equal(same.u.post.number, 1);
	assert_int_equal(kit_one(b, &other), FARE_REFUSED_OP);
	assert_string_equal(other.error, "ref inv-1 was used before, for credit of 0.000005");
	assert_int_equal(kit_one(b, &debit), FARE_APPLIED); /* a ref is of its kind */
	struct fare_entry e;
	char long_ref[FARE_NAME_N + 1];
	memset(long_ref, 'x', FARE_NAME_N);
	long_ref[FARE_NAME_N] = '\0';
	assert_int_equal(fare_books_find_ref(b, 1, FARE_KIND_DEBIT, "inv-1", &e), 1);
	assert_int_equal(e.number, 2);
	assert_int_equal(fare_books_find_ref(b, 1, FARE_KIND_DEBIT, "inv-2", &e), 0);
	assert_int_equal(fare_books_find_ref(b, 2, FARE_KIND_DEBIT, "inv-1", &e), 0);
	assert_int_equal(fare_books_find_ref(b, 1, FARE_KIND_DEBIT, long_ref, &e), 0);
	assert_int_equal(kit_account_of(b, 1).balance.nano, 0);
}

static void expect_refused(struct fare_op op, const char *text)
{
	struct fare_seal before, after;
	assert_int_equal(fare_books_head_seal(b, &before), 0);
	assert_int_equal(kit_one(b, &op), FARE_REFUSED_OP);
	if (!strstr(op.error, text))
		fail_msg("\"%s\" does not say \"%s\"", op.error, text);
	assert_int_equal(fare_books_head_seal(b, &after), 0);
	assert_int_equal(before.number, after.number);
}

static void test_refused_posts(void **state)
{
	(void)state;
	struct fare_op op;
#define CALL_BUT(change, text) (op = kit_call(1, 9, 1, 100, 50, 200, 3000), change, expect_refused(op, text))
	CALL_BUT(op.u.post.account = 77, "account 77 is unknown");
	CALL_BUT(op.u.post.account = 0, "needs an account");
	CALL_BUT(op.u.post.price_version = 9, "price version 9 is unknown");
	CALL_BUT(op.u.post.amount.nano = -199, "differs from price and usage");
	CALL_BUT(op.u.post.amount.nano = 0, "differs from price and usage");
	CALL_BUT(op.u.post.amount.nano = 200, "above 0");
	CALL_BUT(op.u.post.ending = FARE_NOT_SENT, "its ending is free");
	CALL_BUT(op.u.post.ending = FARE_ENDING_N, "needs an ending");
	CALL_BUT(op.u.post.ending = 0, "needs an ending");
	CALL_BUT(op.u.post.call_id = (struct fare_id){{0}}, "needs a call id");
	CALL_BUT(op.u.post.usage.cached = 101, "usage beyond sense");
	CALL_BUT(op.u.post.hold.nano = -1, "hold cannot be below 0");
	CALL_BUT(op.u.post.flags = 64, "unknown flags");
	CALL_BUT(op.u.post.time_ms = UINT64_MAX, "time beyond sense");
	CALL_BUT(strcpy(op.u.post.model, "a\nb"), "without controls");
	CALL_BUT(strcpy(op.u.post.note, "\xff"), "UTF-8");
	CALL_BUT(memset(op.u.post.note, 'x', sizeof op.u.post.note), "too long");
	CALL_BUT(op.u.post.kind = 99, "unknown kind");
	CALL_BUT(op.u.post.kind = FARE_KIND_CREDIT, "only a call has");
	CALL_BUT(op.u.post.kind = FARE_KIND_OUTAGE, "operation of their own");
	op = kit_money(1, 0, "", 1);
	expect_refused(op, "must be above 0");
	op = kit_money(1, 5, "", 1);
	op.u.post.kind = FARE_KIND_DEBIT;
	expect_refused(op, "must be below 0");
	op.u.post.kind = FARE_KIND_CORRECTION;
	expect_refused(op, "names the call");
	op.u.post.corrects = kit_id(1234);
	expect_refused(op, "not in this account's ledger");
	op = kit_money(0, 5, "", 1);
	expect_refused(op, "of account 0");
	op.type = 99;
	expect_refused(op, "unknown operation");
	assert_int_equal(kit_account_of(b, 1).entries, 0);
#undef CALL_BUT
}

static void test_overflow(void **state)
{
	(void)state;
	struct fare_op most = kit_money(1, INT64_MAX, "", 1), more = kit_money(1, 1, "", 1), less = kit_money(1, -INT64_MAX, "", 1), other = kit_account("other");
	assert_int_equal(kit_one(b, &most), FARE_APPLIED);
	expect_refused(more, "beyond what 64 bits hold");
	assert_int_equal(kit_one(b, &less), FARE_APPLIED);
	expect_refused(more, "beyond what 64 bits hold"); /* credits would be */
	assert_int_equal(kit_one(b, &other), FARE_APPLIED);
	more.u.post.account = other.u.account.id;
	expect_refused(more, "beyond what 64 bits hold"); /* the instance's would be */
	assert_int_equal(kit_account_of(b, 1).balance.nano, 0);
}

static void test_free_and_over(void **state)
{
	(void)state;
	struct fare_op free_call = kit_call(1, 20, 1, 100, 50, 0, 1), nothing = kit_call(1, 21, 1, 0, 0, 0, 1), over = kit_call(1, 22, 1, 100, 50, 200, 1);
	free_call.u.post.ending = FARE_UPSTREAM_ERROR;
	nothing.u.post.ending = FARE_TIMEOUT;
	over.u.post.hold = fare_nano(199);
	assert_int_equal(kit_one(b, &free_call), FARE_APPLIED);
	assert_int_equal(kit_one(b, &nothing), FARE_APPLIED);
	assert_int_equal(kit_one(b, &over), FARE_APPLIED);
	assert_int_equal(free_call.u.post.flags, 0);
	assert_int_equal(over.u.post.flags, FARE_ENTRY_OVER_HOLD);
	assert_int_equal(kit_account_of(b, 1).balance.nano, -200); /* even below zero */
}

static void test_time_and_outage(void **state)
{
	(void)state;
	struct fare_op first = kit_money(1, 5, "", 5000), back = kit_money(1, 5, "", 4000), outage = {.type = FARE_OP_OUTAGE};
	outage.u.post.kind = FARE_KIND_OUTAGE;
	outage.u.post.time_ms = 4500;
	strcpy(outage.u.post.note, "power cut");
	assert_int_equal(kit_one(b, &first), FARE_APPLIED);
	reopen();
	assert_int_equal(kit_one(b, &back), FARE_APPLIED);
	assert_int_equal(back.u.post.time_ms, 5000);
	assert_int_equal(kit_one(b, &outage), FARE_APPLIED);
	assert_int_equal(outage.u.post.account, 0);
	assert_int_equal(outage.u.post.number, 1);
	assert_int_equal(outage.u.post.time_ms, 5000);
}

static void test_accounts_and_keys(void **state)
{
	(void)state;
	struct fare_op twice = kit_account("acme"), bad = kit_account("a b"), empty = kit_account(""), next = kit_account("Z9._-@"), renamed, key = kit_key(1, "fb_one"), orphan = kit_key(9, "fb_two"), second = kit_key(1, "fb_two");
	expect_refused(twice, "exists already");
	expect_refused(bad, "letters, digits");
	expect_refused(empty, "letters, digits");
	memset(bad.u.account.name, 'a', FARE_NAME_N);
	expect_refused(bad, "letters, digits");
	assert_int_equal(kit_one(b, &next), FARE_APPLIED);
	assert_int_equal(next.u.account.id, 2);
	renamed = kit_account("acme2");
	renamed.u.account.id = 1;
	renamed.u.account.credit_limit = fare_nano(9);
	renamed.u.account.closed = true;
	strcpy(renamed.u.account.default_models, "m*");
	strcpy(renamed.u.account.default_ip, "::1");
	renamed.u.account.default_max_tokens = 50;
	renamed.u.account.default_expires_s = 60;
	renamed.u.account.balance = fare_nano(777); /* is not taken */
	assert_int_equal(kit_one(b, &renamed), FARE_APPLIED);
	assert_int_equal(kit_account_of(b, 1).balance.nano, 0);
	assert_int_equal(kit_account_of(b, 1).credit_limit.nano, 9);
	assert_true(kit_account_of(b, 1).closed);
	assert_int_equal(kit_account_of(b, 1).low, FARE_LOW_NOT);
	struct fare_op low = {.type = FARE_OP_ACCOUNT_LOW, .u.account = {.id = 1, .falls = 3, .low = FARE_LOW_DUE, .closed = false, .credit_limit = {5}}};
	assert_int_equal(kit_one(b, &low), FARE_APPLIED);
	assert_int_equal(kit_account_of(b, 1).falls, 3);
	assert_int_equal(kit_account_of(b, 1).low, FARE_LOW_DUE);
	assert_true(kit_account_of(b, 1).closed && kit_account_of(b, 1).credit_limit.nano == 9);
	assert_int_equal(kit_one(b, &renamed), FARE_APPLIED);
	assert_int_equal(kit_account_of(b, 1).falls, 3);
	assert_int_equal(kit_account_of(b, 1).low, FARE_LOW_DUE);
	low.u.account.id = 44;
	expect_refused(low, "unknown");
	assert_string_equal(kit_account_of(b, 1).default_models, "m*");
	assert_string_equal(kit_account_of(b, 1).default_ip, "::1");
	assert_int_equal(kit_account_of(b, 1).default_max_tokens, 50);
	assert_int_equal(kit_account_of(b, 1).default_expires_s, 60);
	assert_int_equal(kit_account_of(b, 1).created_ms, 1000);
	renamed.u.account.id = 2;
	expect_refused(renamed, "exists already");
	renamed.u.account.id = 44;
	expect_refused(renamed, "unknown");
	assert_int_equal(kit_one(b, &twice), FARE_APPLIED); /* the old name is free */
	expect_refused(key, "there already, as key 1");
	expect_refused(orphan, "account 9 is unknown");
	orphan.u.key.account = 0;
	expect_refused(orphan, "account 0 is unknown");
	assert_int_equal(kit_one(b, &second), FARE_APPLIED);
	assert_int_equal(second.u.key.id, 2);
	second.u.key.state = FARE_KEY_REVOKED;
	assert_int_equal(kit_one(b, &second), FARE_APPLIED);
	second.u.key.account = 2;
	expect_refused(second, "never change");
	second.u.key.account = 1;
	second.u.key.hash.b[0] ^= 1;
	expect_refused(second, "never change");
	second.u.key.state = 7;
	expect_refused(second, "live or revoked");
	second.u.key.id = 12;
	second.u.key.state = FARE_KEY_LIVE;
	expect_refused(second, "key 12 is unknown");
}

static void test_catalogue(void **state)
{
	(void)state;
	struct fare_op p = kit_provider("p"), q = kit_provider("q"), gone = kit_provider("p"), m = kit_model("m", 5, 6), changed = kit_model("m", 1000000, 2000000);
	expect_refused(p, "exists already");
	assert_int_equal(kit_one(b, &q), FARE_APPLIED);
	gone.u.provider.id = 1;
	gone.u.provider.removed = true;
	assert_int_equal(kit_one(b, &gone), FARE_APPLIED);
	expect_refused(m, "provider 1 is unknown");
	assert_int_equal(kit_one(b, &p), FARE_APPLIED); /* the name is free again */
	assert_int_equal(p.u.provider.id, 3);
	gone.u.provider.removed = false;
	expect_refused(gone, "exists already");
	m.u.model.provider = 3;
	assert_int_equal(kit_one(b, &m), FARE_APPLIED);
	assert_int_equal(m.u.model.version, 2);
	changed.u.model.version = 1;
	changed.u.model.removed = true;
	assert_int_equal(kit_one(b, &changed), FARE_APPLIED);
	changed.u.model.price.input++;
	expect_refused(changed, "make a new one");
	changed.u.model.version = 77;
	expect_refused(changed, "price version 77 is unknown");
	m.u.model.version = 0;
	m.u.model.price.output = INT64_MAX;
	expect_refused(m, "too high");
	m.u.model.price.output = -1;
	expect_refused(m, "below 0");
}

struct lines { struct json_object *at[64]; size_t n; };

static bool take_line(void *arg, const char *line, size_t n)
{
	struct lines *l = arg;
	char text[4096];
	assert_true(n < sizeof text);
	memcpy(text, line, n);
	text[n] = '\0';
	l->at[l->n] = json_tokener_parse(text);
	assert_non_null(l->at[l->n]);
	return ++l->n < FARE_ARRAY_N(l->at);
}

/* A member as its line in the hash's text: null is empty. */
static void line_of(struct json_object *o, const char *member, char *text, size_t size)
{
	struct json_object *v;
	size_t n = strlen(text);
	assert_true(json_object_object_get_ex(o, member, &v));
	snprintf(text + n, size - n, "%s\n", v ? json_object_get_string(v) : "");
}

static void check_hash(struct json_object *o, const char *text)
{
	struct fare_hash h;
	char hex[FARE_HEX_HASH_N];
	fare_sha256(text, strlen(text), &h);
	fare_hash_hex(&h, hex);
	assert_string_equal(json_object_get_string(json_object_object_get(o, "hash")), hex);
}

/* Recomputes an entry's hash from its JSON object alone, as a script would. */
static void recheck_entry(struct json_object *o)
{
	static const char *const head[] = {"account_id", "number", "kind", "call_id", "key_id", "amount", "balance", "hold", "price_version", "model"};
	static const char *const figures[] = {"input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "reasoning_tokens"};
	static const char *const tail[] = {"time", "batch", "corrects", "ref", "note", "prev"};
	char text[4096] = "farebox entry 1\n";
	struct json_object *usage = json_object_object_get(o, "usage"), *flags = json_object_object_get(o, "flags");
	for (size_t i = 0; i < FARE_ARRAY_N(head); i++)
		line_of(o, head[i], text, sizeof text);
	for (size_t i = 0; usage && i < FARE_ARRAY_N(figures); i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", json_object_get_string(json_object_object_get(usage, figures[i])));
	strcat(text, "\n");
	line_of(o, "ending", text, sizeof text);
	for (size_t i = 0; i < json_object_array_length(flags); i++)
		snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i ? " " : "", json_object_get_string(json_object_array_get_idx(flags, i)));
	strcat(text, "\n");
	for (size_t i = 0; i < FARE_ARRAY_N(tail); i++)
		line_of(o, tail[i], text, sizeof text);
	check_hash(o, text);
}

static void recheck_seal(struct json_object *o)
{
	static const char *const members[] = {"number", "entries", "time", "entries_hash", "total_entries", "total_credits", "total_debits", "prev"};
	char text[2048] = "farebox seal 1\n";
	for (size_t i = 0; i < FARE_ARRAY_N(members); i++)
		line_of(o, members[i], text, sizeof text);
	check_hash(o, text);
}

static struct fare_rerate re;

/* Calls by their ids, 0 ends them. */
static uint8_t rerate(uint64_t version, const uint64_t *ids)
{
	struct fare_op op = {.type = FARE_OP_RERATE, .u.rerate = &re};
	re = (struct fare_rerate){.version = version, .time_ms = 9000};
	for (; ids[re.n]; re.n++)
		re.items[re.n].call = kit_id(ids[re.n]);
	uint8_t applied = kit_one(b, &op);
	if (applied == FARE_REFUSED_OP)
		assert_true(op.error[0] != '\0');
	return applied;
}

static void expect_clean(void)
{
	struct fare_verify v;
	assert_int_equal(fare_books_verify(b, &v), 0);
	if (!v.ok)
		fail_msg("%s", v.first_fault);
}

static int64_t balance(uint64_t account) { return kit_account_of(b, account).balance.nano; }

static uint64_t looked_n;
static int64_t looked_sum;

static bool looked(void *arg, const struct fare_entry *call, const struct fare_rerated *item)
{
	assert_true(fare_id_eq(call->call_id, item->call));
	looked_n++;
	looked_sum += item->amount.nano;
	return looked_n < *(uint64_t *)arg;
}

static void look(uint64_t version, uint64_t since_ms, uint64_t n, int64_t sum)
{
	struct fare_view v = fare_view_plain(b->store);
	struct fare_model m;
	uint64_t most = UINT64_MAX;
	looked_n = 0;
	looked_sum = 0;
	assert_int_equal(fare_model_get(&v, version, &m), FARE_STORE_OK);
	assert_int_equal(fare_books_rerate_look(b, &m, since_ms, (struct fare_place){1, 1}, looked, &most), 0);
	assert_int_equal(looked_n, n);
	assert_int_equal(looked_sum, sum);
}

static void test_rerate(void **state)
{
	(void)state;
	/* Version 1: a nano-dollar a token of input, 2 of output; 2: 3 and 4; 3: another model. */
	struct fare_op two = kit_model("m", 3000000, 4000000), other = kit_model("n", 1, 1), zeta = kit_account("zeta"), credit = kit_money(1, 1000, "", 1000);
	struct fare_op calls[] = {kit_call(1, 7, 1, 100, 50, 200, 2000), kit_call(1, 8, 1, 10, 5, 20, 3000), kit_call(2, 9, 1, 1, 1, 3, 4000), kit_call(1, 10, 1, 9, 9, 0, 5000), kit_call(1, 11, 1, 0, 0, 0, 6000)};
	calls[3].u.post.ending = FARE_UPSTREAM_ERROR;
	calls[4].u.post.ending = FARE_CLIENT_GONE;
	assert_int_equal(kit_one(b, &two), FARE_APPLIED);
	assert_int_equal(kit_one(b, &other), FARE_APPLIED);
	assert_int_equal(kit_one(b, &zeta), FARE_APPLIED);
	assert_int_equal(kit_one(b, &credit), FARE_APPLIED);
	for (size_t i = 0; i < FARE_ARRAY_N(calls); i++)
		assert_int_equal(kit_one(b, &calls[i]), FARE_APPLIED);
	look(2, 0, 3, -(300 + 30 + 4));
	look(2, 3000, 2, -(30 + 4));
	look(1, 0, 0, 0);
	/* 100 x 3 + 50 x 4 = 500 for 200, and so on; the free ones stay free; a call that is named twice is rerated once. */
	const uint64_t all[] = {7, 8, 9, 10, 11, 7, 0};
	assert_int_equal(rerate(2, all), FARE_APPLIED);
	const int64_t amounts[] = {-300, -30, -4, 0, 0, 0};
	assert_int_equal(re.done, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(re.items[i].amount.nano, amounts[i]);
	assert_int_equal(re.items[0].before.nano, 200);
	assert_int_equal(balance(1), 1000 - 500 - 50);
	assert_int_equal(balance(2), -7); /* below zero: said so */
	look(2, 0, 0, 0);
	/* What it says. */
	struct fare_entry e;
	char ref[FARE_NAME_N];
	fare_rerate_ref(kit_id(7), 1, ref);
	assert_int_equal(fare_books_find_ref(b, 1, FARE_KIND_RERATE, ref, &e), 1);
	assert_int_equal(e.kind, FARE_KIND_RERATE);
	assert_int_equal(e.price_version, 2);
	assert_true(fare_id_eq(e.corrects, kit_id(7)));
	assert_string_equal(e.model, "m");
	/* Twice is once; back is back; and there again. */
	reopen();
	uint64_t entries = kit_account_of(b, 1).entries;
	assert_int_equal(rerate(2, all), FARE_ALREADY);
	assert_int_equal(kit_account_of(b, 1).entries, entries);
	expect_clean();
	assert_int_equal(rerate(1, all), FARE_APPLIED);
	assert_int_equal(balance(1), 1000 - 220);
	assert_int_equal(balance(2), -3);
	assert_int_equal(rerate(2, all), FARE_APPLIED);
	assert_int_equal(balance(1), 1000 - 550);
	assert_int_equal(rerate(1, all), FARE_APPLIED);
	assert_int_equal(balance(1), 1000 - 220);
	expect_clean();
	/* Usage is what calls were charged as they ended. */
	struct fare_usage_total t = {.account = 1, .key = 1, .model = "m"};
	struct fare_view v = fare_view_plain(b->store);
	assert_int_equal(fare_usage_get(&v, &t), FARE_STORE_OK);
	assert_int_equal(t.cost.nano, 220);
	/* Refused: another model, an unknown version, an unknown call; what comes before such a call is posted. */
	const uint64_t wrong[] = {99, 0}, half[] = {7, 99, 8, 0};
	assert_int_equal(rerate(3, all), FARE_REFUSED_OP);
	assert_int_equal(rerate(9, all), FARE_REFUSED_OP);
	assert_int_equal(rerate(2, wrong), FARE_REFUSED_OP);
	assert_int_equal(re.done, 0);
	assert_int_equal(rerate(2, half), FARE_APPLIED);
	assert_int_equal(re.done, 1);
	assert_int_equal(balance(1), 1000 - 520);
	expect_clean();
	/* Nobody makes one up. */
	struct fare_op made = kit_money(1, 5, "", 9000);
	made.u.post.kind = FARE_KIND_RERATE;
	made.u.post.corrects = kit_id(7);
	made.u.post.price_version = 2;
	expect_refused(made, "operation of its own");
}

static void test_export(void **state)
{
	(void)state;
	static const char *const kinds[] = {"credit", "call", "credit", "seal", "credit", "seal"};
	struct lines l = {.n = 0};
	struct fare_op other = kit_account("other"), ops[] = {kit_money(1, 5000, "r\"1", 1700000000123), kit_call(1, 7, 1, 100, 50, 200, 1700000001000), kit_money(2, 70, "", 1700000002000)};
	char entries_text[1024] = "", hex[FARE_HEX_HASH_N];
	struct fare_hash h;
	strcpy(ops[0].u.post.note, "caf\xc3\xa9 \\ tab");
	ops[1].u.post.flags = FARE_ENTRY_ESTIMATED | FARE_ENTRY_CLAMPED;
	ops[1].u.post.hold = fare_nano(1);
	assert_int_equal(kit_one(b, &other), FARE_APPLIED);
	assert_int_equal(fare_books_begin(b), 0);
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		assert_int_equal(fare_books_apply(b, &ops[i]), 0);
	assert_int_equal(fare_books_commit(b), 0);
	struct fare_op last = kit_money(1, 1, "", 1700000002000);
	assert_int_equal(kit_one(b, &last), FARE_APPLIED);
	assert_int_equal(fare_books_export(b, take_line, &l), 0);
	assert_int_equal(l.n, 6);
	for (size_t i = 0; i < l.n; i++) {
		const char *kind = json_object_get_string(json_object_object_get(l.at[i], "kind"));
		assert_string_equal(kind, kinds[i]);
		if (strcmp(kind, "seal") == 0)
			recheck_seal(l.at[i]);
		else
			recheck_entry(l.at[i]);
		if (i < 3)
			snprintf(entries_text + strlen(entries_text), sizeof entries_text - strlen(entries_text), "%s\n", json_object_get_string(json_object_object_get(l.at[i], "hash")));
	}
	fare_sha256(entries_text, strlen(entries_text), &h);
	fare_hash_hex(&h, hex);
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[3], "entries_hash")), hex);
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[5], "prev")), json_object_get_string(json_object_object_get(l.at[3], "hash")));
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[5], "total_credits")), "0.000005071");
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[5], "total_debits")), "0.000000200");
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[0], "account")), "acme");
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[0], "note")), "caf\xc3\xa9 \\ tab");
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[1], "amount")), "-0.000000200");
	assert_string_equal(json_object_get_string(json_object_object_get(l.at[1], "flags")), "[ \"estimated\", \"clamped\", \"over_hold\" ]");
	for (size_t i = 0; i < l.n; i++)
		json_object_put(l.at[i]);
	/* Stopping early is no failure. */
	struct lines few = {.n = FARE_ARRAY_N(few.at) - 2};
	assert_int_equal(fare_books_export(b, take_line, &few), 0);
	assert_int_equal(few.n, FARE_ARRAY_N(few.at));
	json_object_put(few.at[few.n - 1]);
	json_object_put(few.at[few.n - 2]);
}

/* Hashes worked out elsewhere, from the description in bank/books.h: what an auditor keeps must stay checkable. */
static void test_known_hashes(void **state)
{
	(void)state;
	struct fare_op op = kit_call(1, 7, 1, 100, 50, 200, 1700000000123);
	struct fare_entry *e = &op.u.post;
	struct fare_seal s = {.number = 3, .entries = 2, .time_ms = 1700000000123, .total_entries = 5, .total_credits = {1500000000}, .total_debits = {1}};
	struct fare_hash h;
	char hex[FARE_HEX_HASH_N];
	e->number = 2;
	e->balance = fare_nano(4800);
	e->hold = fare_nano(199);
	e->flags = FARE_ENTRY_OVER_HOLD;
	e->batch = 2;
	strcpy(e->note, "note \xc3\xa9");
	memset(e->prev.b, 0xAB, sizeof e->prev.b);
	fare_entry_hash(e, &h);
	fare_hash_hex(&h, hex);
	assert_string_equal(hex, "c8fcf838a2f7cc6ff21f4b92557b531af5b8271c053edaecc483181ffea729f3");
	memset(s.entries_hash.b, 0xCD, sizeof s.entries_hash.b);
	memset(s.prev.b, 0xEF, sizeof s.prev.b);
	fare_seal_hash(&s, &h);
	fare_hash_hex(&h, hex);
	assert_string_equal(hex, "61bd0c464ae160515670eb2d9a22eb2c234754402834c5f9a6bccee197004655");
}

struct totals { struct fare_usage_total at[16]; size_t n; };

static bool take_total(void *arg, const struct fare_usage_total *t)
{
	struct totals *l = arg;
	l->at[l->n++] = *t;
	return true;
}

static void test_usage(void **state)
{
	(void)state;
	struct totals l = {.n = 0}, late = {.n = 0}, none = {.n = 0};
	struct fare_op ops[] = {
		kit_call(1, 1, 1, 100, 50, 200, FARE_DAY_MS), kit_call(1, 2, 1, 10, 5, 20, 2 * FARE_DAY_MS - 1), kit_call(1, 3, 1, 1, 0, 1, 2 * (uint64_t)FARE_DAY_MS),
		kit_call(1, 4, 1, 7, 0, 0, 2 * (uint64_t)FARE_DAY_MS), kit_money(1, 99, "", 2 * (uint64_t)FARE_DAY_MS),
	};
	ops[3].u.post.ending = FARE_METER_DAMAGED;
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		assert_int_equal(kit_one(b, &ops[i]), FARE_APPLIED);
	assert_int_equal(fare_books_each_usage(b, 1, 0, take_total, &l), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(l.at[0].day, 1);
	assert_int_equal(l.at[0].calls, 2);
	assert_int_equal(l.at[0].usage.input, 110);
	assert_int_equal(l.at[0].cost.nano, 220);
	assert_int_equal(l.at[1].calls, 2);
	assert_int_equal(l.at[1].cost.nano, 1);
	assert_string_equal(l.at[1].model, "m");
	assert_int_equal(fare_books_each_usage(b, 0, 2, take_total, &late), 0);
	assert_int_equal(late.n, 1);
	assert_int_equal(fare_books_each_usage(b, 2, 0, take_total, &none), 0);
	assert_int_equal(none.n, 0);
}

static bool take_group(void *arg, const struct fare_usage_total *t, const char *account)
{
	assert_string_equal(account, t->account == 1 ? "acme" : t->account == 2 ? "zeta" : "");
	return take_total(arg, t);
}

static struct totals usage_by(enum fare_usage_by by, uint32_t from, uint32_t to)
{
	struct totals l = {.n = 0};
	assert_int_equal(fare_books_usage(b, by, from, to, take_group, &l), 0);
	return l;
}

static void test_usage_by(void **state)
{
	(void)state;
	struct fare_op zeta = kit_account("zeta"), key = kit_key(2, "fb_two"), model = kit_model("n", 1000000, 2000000);
	assert_int_equal(kit_one(b, &zeta), FARE_APPLIED);
	assert_int_equal(kit_one(b, &key), FARE_APPLIED);
	assert_int_equal(kit_one(b, &model), FARE_APPLIED);
	struct fare_op ops[] = {
		kit_call(1, 1, 1, 100, 50, 200, FARE_DAY_MS), kit_call(2, 2, 1, 10, 5, 20, FARE_DAY_MS), kit_call(2, 3, 2, 1, 0, 1, 2 * (uint64_t)FARE_DAY_MS), kit_money(1, 99, "", 2 * (uint64_t)FARE_DAY_MS),
	};
	ops[1].u.post.key = ops[2].u.post.key = 2;
	memcpy(ops[2].u.post.model, "n", 2);
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		assert_int_equal(kit_one(b, &ops[i]), FARE_APPLIED);
	struct totals account = usage_by(FARE_BY_ACCOUNT, 0, UINT32_MAX), keys = usage_by(FARE_BY_KEY, 0, UINT32_MAX), models = usage_by(FARE_BY_MODEL, 0, UINT32_MAX);
	struct totals days = usage_by(FARE_BY_DAY, 0, UINT32_MAX), first = usage_by(FARE_BY_ACCOUNT, 0, 1), second = usage_by(FARE_BY_KEY, 2, 2), none = usage_by(FARE_BY_DAY, 3, 9);
	assert_true(account.n == 2 && keys.n == 2 && models.n == 2 && days.n == 2 && first.n == 2 && second.n == 1 && none.n == 0);
	assert_true(account.at[1].calls == 2 && account.at[1].usage.input == 11 && account.at[1].cost.nano == 21 && account.at[1].key == 0 && account.at[1].model[0] == '\0');
	assert_true(keys.at[1].key == 2 && keys.at[1].account == 2 && keys.at[1].cost.nano == 21 && keys.at[1].day == 0);
	assert_string_equal(models.at[0].model, "m");
	assert_true(models.at[0].calls == 2 && models.at[0].usage.input == 110 && models.at[0].usage.output == 55 && models.at[0].cost.nano == 220);
	assert_true(days.at[1].day == 2 && days.at[1].cost.nano == 1 && first.at[1].cost.nano == 20 && second.at[0].cost.nano == 1);
}

static void test_empty_batch(void **state)
{
	(void)state;
	struct fare_seal s;
	assert_int_equal(fare_books_begin(b), 0);
	assert_int_equal(fare_books_commit(b), 0);
	assert_int_equal(fare_books_head_seal(b, &s), 0);
	assert_int_equal(s.number, 0);
}

static void test_epoch(void **state)
{
	(void)state;
	uint8_t id[FARE_STORE_ID_N], epoch[FARE_EPOCH_N], id2[FARE_STORE_ID_N], epoch2[FARE_EPOCH_N];
	fare_books_ids(b, id, epoch);
	reopen();
	fare_books_ids(b, id2, epoch2);
	assert_memory_equal(id, id2, sizeof id);
	assert_memory_equal(epoch, epoch2, sizeof epoch);
	assert_int_equal(fare_books_renew_epoch(b), 0);
	reopen();
	fare_books_ids(b, id2, epoch2);
	assert_memory_equal(id, id2, sizeof id);
	assert_memory_not_equal(epoch, epoch2, sizeof epoch);
}

struct replays { struct fare_replay r[8]; unsigned n; };

static struct replays replays_now(void)
{
	struct replays all = {.n = 0};
	assert_int_equal(fare_books_each_replay(b, kit_take_replay, &all), 0);
	return all;
}

static void check_answer(uint64_t id, const char *answer, uint32_t n)
{
	struct fare_answer_part part;
	uint32_t at = 0, total;
	for (uint16_t i = 0; at < n; i++) {
		assert_int_equal(fare_books_answer_part(b, 1, kit_id(id), i, &part, &total), 1);
		assert_int_equal(total, n);
		assert_true(part.n > 0 && part.n <= n - at);
		assert_memory_equal(part.bytes, answer + at, part.n);
		at += part.n;
	}
	assert_int_equal(fare_books_answer_part(b, 1, kit_id(id), (uint16_t)(n / FARE_ANSWER_PART_N + 1), &part, &total), 0);
	assert_int_equal(fare_books_answer_part(b, 2, kit_id(id), 0, &part, &total), 0); /* another account's */
}

/* A charged call's key and answer are there with its entry; a free one's are not; what has expired is gone, parts and all. */
static void test_replays(void **state)
{
	(void)state;
	static char large[FARE_ANSWER_MAX];
	for (size_t i = 0; i < sizeof large; i++)
		large[i] = (char)(i * 31 + i / 3900);
	struct fare_op ops[] = {kit_money(1, 5000, "", 1000), kit_keyed(kit_call(1, 1, 1, 10, 5, 20, 2000), 1, "small", 5), kit_keyed(kit_call(1, 2, 1, 10, 5, 20, 3000), 2, large, sizeof large),
		kit_keyed(kit_call(1, 3, 1, 10, 5, 20, 3000), 3, NULL, 0), kit_keyed(kit_call(1, 4, 1, 0, 0, 0, 4000), 4, "free", 4), kit_call(1, 5, 1, 10, 5, 20, 4000),
		kit_keyed(kit_call(1, 6, 1, 10, 5, 20, 4000), 1, large, FARE_ANSWER_PART_N), kit_keyed(kit_call(1, 1, 1, 10, 5, 20, 5000), 9, "twice", 5)};
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		assert_int_equal(kit_one(b, &ops[i]), i < FARE_ARRAY_N(ops) - 1 ? FARE_APPLIED : FARE_ALREADY);
	reopen();
	struct replays all = replays_now();
	assert_int_equal(all.n, 4);
	const struct fare_replay *r = &all.r[0];
	assert_true(fare_id_eq(r->call_id, kit_id(1)) && r->account == 1 && r->cost.nano == 20 && r->ended_ms == 2000 && r->answer_n == 5 && r->body[0] == 5);
	assert_memory_equal(&r->idem, &ops[1].keyed.idem, sizeof r->idem);
	assert_int_equal(all.r[2].answer_n, 0);
	check_answer(1, "small", 5);
	check_answer(2, large, sizeof large);
	check_answer(6, large, FARE_ANSWER_PART_N);
	struct fare_verify v;
	assert_int_equal(fare_books_verify(b, &v), 0);
	assert_true(v.ok);
	struct fare_op expire = {.type = FARE_OP_FORGET, .u.forget = {.count = 4, .calls = {kit_id(2), kit_id(3), kit_id(99), kit_id(5)}}};
	assert_int_equal(kit_one(b, &expire), FARE_APPLIED);
	assert_int_equal(kit_one(b, &expire), FARE_APPLIED);
	reopen();
	all = replays_now();
	assert_int_equal(all.n, 2);
	assert_true(fare_id_eq(all.r[0].call_id, kit_id(1)) && fare_id_eq(all.r[1].call_id, kit_id(6)));
	struct fare_answer_part part;
	uint32_t total;
	assert_int_equal(fare_books_answer_part(b, 1, kit_id(2), 0, &part, &total), 0);
	assert_int_equal(fare_books_verify(b, &v), 0);
	assert_true(v.ok);
	struct fare_entry e;
	assert_int_equal(fare_books_find_call(b, kit_id(2), &e), 1); /* the ledger never expires */
}

/* As many large answers as the writer takes into a batch: not more than the store has locks for; and let go again. */
static void test_many_answers(void **state)
{
	(void)state;
	enum { MANY = 65 };
	static char large[FARE_ANSWER_MAX];
	static struct fare_op forget;
	memset(large, 'x', sizeof large);
	struct fare_op op = kit_money(1, 5000, "", 1000);
	assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	assert_int_equal(fare_books_begin(b), 0);
	forget.type = FARE_OP_FORGET;
	for (unsigned i = 0; i < MANY; i++) {
		op = kit_keyed(kit_call(1, 100 + i, 1, 10, 5, 20, 2000), i, large, sizeof large);
		assert_int_equal(fare_books_apply(b, &op), 0);
		assert_int_equal(op.applied, FARE_APPLIED);
		if (i < FARE_FORGET_MAX)
			forget.u.forget.calls[forget.u.forget.count++] = kit_id(100 + i);
	}
	assert_int_equal(fare_books_commit(b), 0);
	assert_int_equal(kit_one(b, &forget), FARE_APPLIED);
	assert_int_equal(replays_now().n, 1);
	struct fare_verify v;
	assert_int_equal(fare_books_verify(b, &v), 0);
	assert_true(v.ok);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		T(test_money), T(test_call_twice), T(test_ref_twice), T(test_rerate), T(test_refused_posts), T(test_overflow), T(test_free_and_over), T(test_time_and_outage),
		T(test_accounts_and_keys), T(test_catalogue), T(test_export), T(test_known_hashes), T(test_usage), T(test_usage_by), T(test_empty_batch), T(test_epoch), T(test_replays), T(test_many_answers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
