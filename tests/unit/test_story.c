/* Stories: their records, how they come and go with the books, and what the decider makes of calls that it grants, refuses and ends. */
#include "base/first.h"

#include "books_kit.h"
#include "decider_kit.h"

#include "base/json.h"
#include "bank/story.h"

/* ---- Records and books */

static char home[KIT_PATH_N];
static struct fare_books *books;

static int books_up(void **state)
{
	(void)state;
	kit_home(home);
	books = kit_books(home);
	return 0;
}

static int books_down(void **state)
{
	(void)state;
	fare_books_close(&books);
	kit_remove(home);
	return 0;
}

static struct fare_story refused_story(uint64_t id, uint64_t ended_ms)
{
	return (struct fare_story){.call_id = kit_id(id), .state = FARE_STORY_REFUSED, .flags = FARE_STORY_SEEN | FARE_STORY_STREAM, .account = 1, .key = 2, .price_version = 3, .started_ms = 4,
		.ended_ms = ended_ms, .endpoint = 1, .choices = 6, .prompt_bytes = 7, .available = {8}, .pending = {9}, .credit_limit = {10}, .bound = -1, .refused = FARE_BALANCE_TOO_LOW, .model = "m",
		.needed = {11}, .affordable = 12, .limit = 13, .ip = "10.0.0.1", .earlier = kit_id(14)};
}

static struct fare_op story_op(uint64_t id, uint64_t ended_ms) { return (struct fare_op){.type = FARE_OP_STORY, .story = refused_story(id, ended_ms)}; }

static struct fare_op call_with_story(uint64_t id, int64_t charge)
{
	struct fare_op op = kit_call(1, id, 1, (uint64_t)charge, 0, charge, 5000);
	op.story = (struct fare_story){.call_id = kit_id(id), .state = FARE_STORY_ENDED, .account = 1, .key = 1, .price_version = 1, .started_ms = 4000, .ended_ms = 5000, .bound = 100,
		.flags = FARE_STORY_BOUND_OURS, .cost = {charge}, .ending = FARE_COMPLETE, .status = 200};
	return op;
}

static void story_as(struct fare_story *want)
{
	struct fare_story got;
	assert_int_equal(fare_books_find_story(books, want->call_id, &got), 1);
	assert_memory_equal(&got, want, sizeof got);
}

static void check_records(void **state)
{
	struct fare_op ops[] = {story_op(1, 5), call_with_story(2, 7)};
	struct fare_record r, strange;
	struct fare_story got;
	struct fare_view w;
	char error[FARE_ERROR_N];
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++) {
		assert_int_equal(kit_one(books, &ops[i]), FARE_APPLIED);
		story_as(&ops[i].story);
	}
	assert_int_equal(fare_books_find_story(books, kit_id(3), &got), 0);
	fare_books_close(&books);
	struct fare_store *s = fare_store_open(home, false, error);
	struct fare_view v = fare_view_plain(s);
	fare_log_level(FARE_ALARM + 1);
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++) {
		const struct fare_id id = ops[i].story.call_id;
		assert_int_equal(fare_store_get(&v, FARE_TABLE_STORIES, id.b, sizeof id.b, &r), FARE_STORE_OK);
		assert_int_equal(r.bytes[1], 1); /* its version stands first */
		assert_true(r.n < 1024);
		for (int change = 0; change < 4; change++) {
			strange = r;
			if (change == 0)
				strange.bytes[1] = 2;
			else if (change == 1)
				strange.n--;
			else if (change == 2)
				strange.n++;
			else
				strange.bytes[2] = 9; /* neither ended nor refused */
			assert_int_equal(fare_store_begin(s, &w), FARE_STORE_OK);
			assert_int_equal(fare_store_put(&w, FARE_TABLE_STORIES, id.b, sizeof id.b, strange.bytes, strange.n, false), FARE_STORE_OK);
			assert_int_equal(fare_store_commit(&w), FARE_STORE_OK);
			assert_int_equal(fare_story_get(&v, id, &got), FARE_STORE_BAD);
		}
	}
	fare_log_level(FARE_INFO);
	fare_store_close(&s);
	books = kit_open(home, false);
}

static void check_who_is_first(void **state)
{
	struct fare_op first = story_op(1, 5), again = story_op(1, 6), call = call_with_story(1, 7), repeat = call_with_story(1, 7), plain = kit_call(1, 2, 1, 3, 0, 3, 5000), wrong = call_with_story(3, 7);
	struct fare_story got;
	(void)state;
	assert_int_equal(kit_one(books, &first), FARE_APPLIED);
	assert_int_equal(kit_one(books, &again), FARE_ALREADY);
	story_as(&first.story);
	assert_int_equal(kit_one(books, &call), FARE_APPLIED); /* refused by one bank, granted by the next */
	story_as(&call.story);
	repeat.story.status = 500;
	assert_int_equal(kit_one(books, &repeat), FARE_ALREADY);
	story_as(&call.story);
	assert_int_equal(kit_one(books, &again), FARE_ALREADY);
	story_as(&call.story);
	assert_int_equal(kit_one(books, &plain), FARE_APPLIED);
	assert_int_equal(fare_books_find_story(books, kit_id(2), &got), 0);
	wrong.u.post.amount.nano--;
	assert_int_equal(kit_one(books, &wrong), FARE_REFUSED_OP);
	assert_int_equal(fare_books_find_story(books, kit_id(3), &got), 0);
}

static uint32_t expire(uint64_t before_ms)
{
	struct fare_op op = {.type = FARE_OP_EXPIRE, .u.expire.before_ms = before_ms};
	assert_int_equal(kit_one(books, &op), FARE_APPLIED);
	return op.u.expire.count;
}

static void check_expiry(void **state)
{
	enum { CALLS = 600, ODD = 50 };
	struct fare_story got;
	struct fare_entry e;
	(void)state;
	assert_int_equal(expire(1000000), 0);
	assert_int_equal(fare_books_begin(books), 0);
	for (uint64_t i = 1; i <= CALLS; i++) { /* story i ended at i seconds, but for one of a clock that was ahead */
		struct fare_op op = i % 2 ? story_op(i, i * 1000) : call_with_story(i, 1);
		op.story.ended_ms = i == ODD ? 10000000 : i * 1000;
		assert_int_equal(fare_books_apply(books, &op), 0);
		assert_int_equal(op.applied, FARE_APPLIED);
	}
	assert_int_equal(fare_books_commit(books), 0);
	assert_int_equal(expire(1000), 0);
	assert_int_equal(expire(300 * 1000), FARE_EXPIRE_MAX);
	assert_int_equal(expire(300 * 1000), 299 - 1 - FARE_EXPIRE_MAX);
	assert_int_equal(expire(300 * 1000), 0);
	for (uint64_t i = 1; i <= CALLS; i++) {
		assert_int_equal(fare_books_find_story(books, kit_id(i), &got), i >= 300 || i == ODD);
		assert_int_equal(fare_books_find_call(books, kit_id(i), &e), i % 2 == 0); /* never the ledger */
	}
	assert_int_equal(expire(UINT64_MAX), FARE_EXPIRE_MAX);
	assert_int_equal(expire(UINT64_MAX), CALLS - 300 + 1 + 1 - FARE_EXPIRE_MAX);
	assert_int_equal(fare_books_find_story(books, kit_id(ODD), &got), 0);
	struct fare_verify v;
	assert_int_equal(fare_books_verify(books, &v), 0);
	assert_true(v.ok);
}

static void expect_verify(const char *fault)
{
	struct fare_verify v;
	assert_int_equal(fare_books_verify(books, &v), 0);
	assert_int_equal(v.ok, fault == NULL);
	assert_true(!fault || strstr(v.first_fault, fault));
}

static void check_verify(void **state)
{
	struct fare_op call = call_with_story(2, 7), refused = story_op(3, 5), dear = story_op(4, 5);
	(void)state;
	fare_log_level(FARE_ALARM + 1);
	assert_int_equal(kit_one(books, &call), FARE_APPLIED);
	assert_int_equal(kit_one(books, &refused), FARE_APPLIED);
	expect_verify(NULL);
	dear.story = call.story; /* what no writer writes: an ended call's story without its entry */
	dear.story.call_id = kit_id(4);
	assert_int_equal(kit_one(books, &dear), FARE_APPLIED);
	expect_verify("has no entry");
	assert_int_equal(expire(UINT64_MAX), 3);
	expect_verify(NULL);
	struct fare_story wrong[] = {call.story, call.story, call.story, call.story};
	wrong[0].cost.nano = 8;
	wrong[1].account = 2;
	wrong[2].key = 9;
	wrong[3].ending = FARE_TIMEOUT;
	for (size_t i = 0; i < FARE_ARRAY_N(wrong); i++) {
		struct fare_op op = {.type = FARE_OP_STORY, .story = wrong[i]};
		assert_int_equal(kit_one(books, &op), FARE_APPLIED);
		expect_verify("says another account, key, cost or ending");
		assert_int_equal(expire(UINT64_MAX), 1);
	}
	expect_verify(NULL);
	fare_log_level(FARE_INFO);
}

/* A store of before, or a backup of it, has no such table. */
static void check_older_store(void **state)
{
	char path[KIT_PATH_N + 32];
	struct fare_op op = kit_money(1, 5, "", 1000), story = story_op(1, 5);
	struct fare_story got;
	(void)state;
	assert_int_equal(kit_one(books, &op), FARE_APPLIED);
	fare_books_close(&books);
	snprintf(path, sizeof path, "%s/store/stories.db", home);
	assert_int_equal(unlink(path), 0);
	books = kit_open(home, false);
	assert_int_equal(fare_books_find_story(books, kit_id(1), &got), 0);
	assert_int_equal(kit_one(books, &story), FARE_APPLIED);
	story_as(&story.story);
}

/* ---- What is told of them */

/* A member as it is written. */
static void told_as(struct fare_call_facts *f, const char *const members[][2], size_t n)
{
	struct fare_buf b;
	struct fare_json j = {0};
	fare_buf_init(&b, FARE_CALL_FACTS_MAX);
	assert_int_equal(fare_call_facts_read(books, f), 0);
	fare_call_facts_json(f, &b);
	assert_true(fare_json_parse(&j, fare_buf_span(&b)));
	for (size_t i = 0; i < n; i++) {
		const struct fare_json_node *node = fare_json_member(&j, fare_json_root(&j), members[i][0]);
		assert_non_null(node);
		if (!fare_span_is(fare_json_text(&j, node), members[i][1]))
			fail_msg("%s is %.*s, not %s", members[i][0], (int)fare_json_text(&j, node).n, fare_json_text(&j, node).p, members[i][1]);
	}
	fare_json_release(&j);
	fare_buf_release(&b);
}
#define TOLD(f, ...) \
	do { \
		static const char *const want[][2] = __VA_ARGS__; \
		told_as(f, want, FARE_ARRAY_N(want)); \
	} while (0)

static void check_told(void **state)
{
	struct fare_op call = call_with_story(1, 7), plain = kit_call(1, 2, 1, 3, 0, 3, 5000), refused = story_op(3, 5);
	struct fare_call_facts f = {.call_id = kit_id(9)};
	(void)state;
	refused.story.price_version = 1;
	call.story.flags = FARE_STORY_SEEN | FARE_STORY_BOUND_OURS | FARE_STORY_LOWERED;
	call.story.endpoint = FARE_CHAT;
	struct fare_op *ops[] = {&call, &plain, &refused};
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		assert_int_equal(kit_one(books, ops[i]), FARE_APPLIED);
	assert_int_equal(fare_call_facts_read(books, &f), 0);
	assert_int_equal(f.told_by, FARE_TOLD_BY_NOTHING);
	f = (struct fare_call_facts){.call_id = kit_id(1)};
	TOLD(&f, {{"account", "\"acme\""}, {"key_id", "1"}, {"model", "\"m\""}, {"state", "\"ended\""}, {"told_by", "\"story\""}, {"cost", "\"0.000000007\""}, {"hold", "\"0.000000007\""},
		{"ending", "\"complete\""}, {"started", "\"1970-01-01T00:00:04.000Z\""}, {"ended", "\"1970-01-01T00:00:05.000Z\""}, {"endpoint", "\"/v1/chat/completions\""},
		{"asked_max_tokens", "null"}, {"max_tokens", "100"}, {"max_tokens_from", "\"balance\""}, {"provider", "\"p\""}, {"upstream_model", "\"m-up\""}, {"upstream_status", "200"}, {"entry", "1"},
		{"balance", "\"-0.000000007\""}, {"code", "null"}, {"price_version", "1"}, {"received_bytes", "null"}});
	assert_int_equal(fare_call_facts_key(&f), 1);
	f = (struct fare_call_facts){.call_id = kit_id(2)}; /* expired, or of a farebox of before */
	TOLD(&f, {{"account", "\"acme\""}, {"key_id", "1"}, {"state", "\"ended\""}, {"told_by", "\"entry\""}, {"cost", "\"0.000000003\""}, {"ending", "\"complete\""}, {"started", "null"},
		{"ended", "\"1970-01-01T00:00:05.000Z\""}, {"available", "null"}, {"stream", "null"}, {"max_tokens", "null"}, {"entry", "2"}, {"upstream_status", "null"}, {"price_version", "1"}});
	assert_int_equal(fare_call_facts_key(&f), 1);
	f = (struct fare_call_facts){.call_id = kit_id(3)};
	TOLD(&f, {{"state", "\"refused\""}, {"code", "\"balance_too_low\""}, {"key_id", "2"}, {"cost", "null"}, {"hold", "null"}, {"ending", "null"}, {"available", "\"0.000000008\""},
		{"needed", "\"0.000000011\""}, {"shortfall", "\"0.000000003\""}, {"affordable_max_tokens", "12"}, {"stream", "true"}, {"provider", "null"}, {"max_tokens", "null"}, {"usage", "null"}});
	struct fare_op kept = kit_keyed(kit_call(1, 4, 1, 3, 0, 3, 5000), 1, "{}", 2), spent = kit_keyed(kit_call(1, 5, 1, 3, 0, 3, 5000), 2, NULL, 0);
	assert_int_equal(kit_one(books, &kept), FARE_APPLIED);
	assert_int_equal(kit_one(books, &spent), FARE_APPLIED);
	f = (struct fare_call_facts){.call_id = kit_id(4)};
	TOLD(&f, {{"idempotency", "\"kept\""}, {"state", "\"ended\""}});
	f = (struct fare_call_facts){.call_id = kit_id(5)};
	TOLD(&f, {{"idempotency", "\"spent\""}, {"state", "\"ended\""}});
	struct fare_op mismatch = story_op(6, 5);
	mismatch.story.refused = FARE_IDEM_MISMATCH;
	assert_int_equal(kit_one(books, &mismatch), FARE_APPLIED);
	f = (struct fare_call_facts){.call_id = kit_id(6)};
	TOLD(&f, {{"idempotency", "null"}, {"state", "\"refused\""}, {"code", "\"idempotency_mismatch\""}, {"earlier_call", "\"01900000-0000-7000-0000-00000000000e\""}});
	/* A refusal in memory gives way to what came of the call under the next bank. */
	f = (struct fare_call_facts){.call_id = kit_id(1), .told_by = FARE_TOLD_BY_MEMORY, .story = refused.story};
	TOLD(&f, {{"state", "\"ended\""}, {"told_by", "\"story\""}, {"entry", "1"}});
	/* The longest there can be fits a message. */
	struct fare_story *s = &f.story;
	*s = refused_story(77, UINT64_MAX / 1000);
	f.told_by = FARE_TOLD_BY_MEMORY;
	f.call_id = kit_id(77);
	f.has_entry = false;
	s->prompt_bytes = s->affordable = UINT64_MAX;
	s->needed = s->available = s->pending = s->credit_limit = fare_nano(INT64_MIN + 1);
	s->price_version = 1;
	memset(s->model, 1, sizeof s->model - 1);
	memset(s->ip, 1, sizeof s->ip - 1);
	s->refused = FARE_IP_NOT_ALLOWED;
	TOLD(&f, {{"state", "\"refused\""}, {"told_by", "\"memory\""}});
}

/* ---- The decider's part */

static struct fare_story *posted(struct world *x) /* the story of the last job; NULL: it has none */
{
	struct fare_job *last = NULL;
	for (struct fare_job *job = x->first; job; job = job->next)
		last = job;
	return last && last->op.story.state ? &last->op.story : NULL;
}

static unsigned queued(const struct world *x)
{
	unsigned n = 0;
	for (const struct fare_job *job = x->first; job; job = job->next)
		n++;
	return n;
}

static void check_refused(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct { unsigned key; const char *model, *ip; int64_t bound; enum fare_refused code; bool written; uint64_t account, version; } cases[] = {
		{9, "m", "127.0.0.1", 10, FARE_KEY_UNKNOWN, false, 0, 0}, {2, "m", "", 10, FARE_KEY_REVOKED_, false, 1, 0}, {3, "m", "", 10, FARE_KEY_EXPIRED, false, 1, 0},
		{4, "m", "", 10, FARE_ACCOUNT_CLOSED, true, 2, 0}, {5, "m", "11.0.0.1", 10, FARE_IP_NOT_ALLOWED, true, 1, 0}, {5, "m", "::1", 10, FARE_MODEL_NOT_ALLOWED, true, 1, 1},
		{1, "nothing", "", 10, FARE_MODEL_UNKNOWN, true, 1, 0}, {1, "unpriced", "", 10, FARE_MODEL_NOT_PRICED, true, 1, 2}, {1, "m", "", 5001, FARE_BOUND_TOO_HIGH, true, 1, 1},
		{1, "m", "", 1001, FARE_BALANCE_TOO_LOW, true, 1, 1}};
	x->d.stories = true;
	for (unsigned i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct fare_admit a = ask_of(100 + i, cases[i].bound);
		key_of(cases[i].key, &a.key);
		a.stream = i % 2;
		a.prompt_bytes = i;
		assert_true(fare_span_copy(fare_span_of(cases[i].model), a.model, sizeof a.model) && fare_span_copy(fare_span_of(cases[i].ip), a.ip, sizeof a.ip));
		fare_decider_admit(&x->d, w, 0, &a);
		assert_int_equal(last_told(x)->answer.refused, cases[i].code);
		const struct fare_story *s = fare_decider_refusal(&x->d, a.call_id), *p = posted(x);
		assert_non_null(s);
		assert_int_equal(p != NULL, cases[i].written);
		assert_true(!p || memcmp(p, s, sizeof *s) == 0);
		assert_true(s->state == FARE_STORY_REFUSED && s->refused == cases[i].code && s->account == cases[i].account && s->key == (cases[i].account ? cases[i].key : 0));
		assert_true(s->price_version == cases[i].version && strcmp(s->model, cases[i].model) == 0 && s->bound == cases[i].bound && s->choices == 1 && s->prompt_bytes == i);
		assert_int_equal((s->flags & FARE_STORY_STREAM) != 0, i % 2);
		assert_string_equal(s->ip, cases[i].code == FARE_IP_NOT_ALLOWED ? "11.0.0.1" : "");
		assert_int_equal(s->available.nano, cases[i].account == 1 ? 1000 : cases[i].account == 2 ? 100 : 0);
		assert_int_equal(s->needed.nano, cases[i].code == FARE_BALANCE_TOO_LOW ? 1001 : 0);
		assert_int_equal(s->affordable, cases[i].code == FARE_BALANCE_TOO_LOW ? 1000 : 0);
		assert_int_equal(s->limit, cases[i].code == FARE_BOUND_TOO_HIGH ? 5000 : cases[i].code == FARE_KEY_EXPIRED ? 1000000 : 0);
		fare_decider_admit(&x->d, w, 0, &a); /* said again: the same refusal, no second story */
		assert_int_equal(queued(x), cases[i].written);
		write_all(x);
	}
	assert_int_equal(x->d.refused_count, FARE_ARRAY_N(cases));
	assert_null(fare_decider_refusal(&x->d, id_of(99)));
	x->d.room = FARE_ROOM_FULL; /* what can be done without waits for room */
	assert_int_equal(admit(x, w, 0, 200, 10)->answer.refused, FARE_STORE_FULL);
	assert_int_equal(fare_decider_refusal(&x->d, id_of(200))->refused, FARE_STORE_FULL);
	x->d.room = FARE_ROOM_GOOD;
	x->d.stories = false;
	admit(x, w, 0, 201, 1001);
	assert_int_equal(queued(x), 0);
}

static void refuse_many(struct world *x, struct fare_worker *w, unsigned from, unsigned n, unsigned key)
{
	for (unsigned i = 0; i < n; i++) {
		struct fare_admit a = ask_of(from + i, 1001);
		key_of(key, &a.key);
		fare_decider_admit(&x->d, w, 0, &a);
		x->told_n = 0;
	}
}

/* A flood reaches the ring alone, and the ring is no longer than it is. */
static void check_flood(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	x->d.stories = true;
	fare_decider_time(&x->d, 60000 * 1000);
	refuse_many(x, w, 1, 3 * FARE_STORIES_A_MINUTE, 1);
	assert_int_equal(queued(x), FARE_STORIES_A_MINUTE);
	refuse_many(x, w, 1000, 5, 4); /* another account has its own */
	assert_int_equal(queued(x), FARE_STORIES_A_MINUTE + 5);
	fare_decider_time(&x->d, 60000 * 1000 + 59999);
	refuse_many(x, w, 2000, 5, 1);
	assert_int_equal(queued(x), FARE_STORIES_A_MINUTE + 5);
	fare_decider_time(&x->d, 60000 * 1001);
	refuse_many(x, w, 3000, 5, 1);
	assert_int_equal(queued(x), FARE_STORIES_A_MINUTE + 10);
	for (const struct fare_job *job = x->first; job; job = job->next)
		assert_true(job->patient);
	assert_non_null(fare_decider_refusal(&x->d, id_of(1)));
	refuse_many(x, w, 5000, FARE_REFUSED_N - 1, 9);
	assert_int_equal(queued(x), FARE_STORIES_A_MINUTE + 10);
	assert_null(fare_decider_refusal(&x->d, id_of(1)));
	assert_null(fare_decider_refusal(&x->d, id_of(3003)));
	assert_non_null(fare_decider_refusal(&x->d, id_of(3004)));
	assert_non_null(fare_decider_refusal(&x->d, id_of(5000 + FARE_REFUSED_N - 2)));
}

static void check_ended(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	struct fare_admit a = ask_of(2, FARE_NO_BOUND);
	x->d.stories = true;
	admit(x, w, 0, 1, 300);
	a.stream = true;
	a.prompt_bytes = 12;
	a.choices = 2;
	fare_decider_time(&x->d, 2000000);
	fare_decider_admit(&x->d, w, 1, &a); /* 700 left, for two: 350 each */
	assert_int_equal(last_told(x)->answer.grant.bound, 350);
	assert_true(fare_decider_hold(&x->d, id_of(2)) && !fare_decider_hold(&x->d, id_of(3)));
	struct fare_story live;
	fare_decider_story(&x->d, fare_decider_hold(&x->d, id_of(2)), &live);
	assert_int_equal(live.ending, FARE_ENDING_NONE);
	fare_decider_time(&x->d, 3000000);
	meter(x, 2, FARE_METER_FINAL, 500);
	x->meters[0].reading.upstream_status = 200;
	fare_decider_end(&x->d, w, 1, id_of(2), false);
	const struct fare_story *s = posted(x);
	assert_non_null(s);
	assert_true(s->state == FARE_STORY_ENDED && fare_id_eq(s->call_id, id_of(2)) && s->account == 1 && s->key == 1 && s->price_version == 1);
	assert_int_equal(s->flags, FARE_STORY_SEEN | FARE_STORY_STREAM | FARE_STORY_BOUND_OURS | FARE_STORY_LOWERED);
	assert_true(s->available.nano == 700 && s->pending.nano == 300 && s->credit_limit.nano == 0 && s->first_hold.nano == 700 && s->bound == 350 && s->prompt_bytes == 12 && s->choices == 2);
	assert_true(s->started_ms == 2000000 && s->ended_ms == 3000000 && s->ending == FARE_COMPLETE && s->status == 200 && s->cost.nano == 500);
	assert_int_equal(x->first->op.u.post.amount.nano, -s->cost.nano);
	write_all(x);
	assert_null(fare_decider_hold(&x->d, id_of(2)));
	/* A caller's own bound is his; a default that can be paid for is not lowered. */
	meter(x, 1, FARE_METER_IDLE, 0);
	fare_decider_end(&x->d, w, 0, id_of(1), true);
	assert_int_equal(posted(x)->flags, FARE_STORY_SEEN);
	assert_int_equal(posted(x)->ending, FARE_NOT_SENT);
	write_all(x);
	fare_decider_account(&x->d, 1)->rec.balance.nano = 100000;
	admit(x, w, 0, 3, FARE_NO_BOUND);
	fare_decider_end(&x->d, w, 0, id_of(3), false); /* and its meter cannot be read */
	assert_int_equal(posted(x)->flags, FARE_STORY_SEEN | FARE_STORY_BOUND_OURS);
	assert_int_equal(posted(x)->ending, FARE_METER_DAMAGED);
	assert_int_equal(posted(x)->status, 0);
}

/* What a killed bank had seen of a call the next one does not make up. */
static void check_new_bank(void **state)
{
	struct world *x = *state;
	struct fare_worker *w = hello(x, 1, NULL, 0);
	x->d.stories = true;
	admit(x, w, 0, 1, FARE_NO_BOUND);
	admit(x, w, 1, 2, 1001);
	bank_restarts(x);
	x->d.stories = true;
	assert_null(fare_decider_refusal(&x->d, id_of(2)));
	w = hello(x, 1, (struct fare_listed[]){{0, id_of(1)}}, 1);
	meter(x, 1, FARE_METER_FINAL, 5);
	x->meters[0].reading.upstream_status = 201;
	fare_decider_end(&x->d, w, 0, id_of(1), false);
	const struct fare_story *s = posted(x);
	assert_true(s && s->flags == (FARE_STORY_BOUND_OURS | FARE_STORY_LOWERED) && s->available.nano == 0 && s->first_hold.nano == 0 && s->choices == 0 && s->status == 201 && s->cost.nano == 5 && s->bound == 1000);
	x->d.stories = false;
	write_all(x);
	admit(x, w, 0, 3, 10);
	meter(x, 3, FARE_METER_IDLE, 0);
	fare_decider_end(&x->d, w, 0, id_of(3), false);
	assert_null(posted(x));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define BOOKS(f) cmocka_unit_test_setup_teardown(f, books_up, books_down)
		BOOKS(check_records), BOOKS(check_who_is_first), BOOKS(check_expiry), BOOKS(check_older_store), BOOKS(check_verify), BOOKS(check_told),
		TEST(check_refused), TEST(check_flood), TEST(check_ended), TEST(check_new_bank),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
