/* Messages of call.sock: there and back, and every message cut short or lengthened is refused. */
#include "base/first.h"

#include <stdlib.h>

#include "unit.h"

#include "bank/proto.h"
#include "base/log.h"

static uint8_t bytes[FARE_MSG_MAX];
static const struct fare_id id = {{1, 2, 3, [15] = 9}};

static void check_head(struct fare_unpack *k, size_t n, enum fare_msg_type type, struct fare_msg_head *h)
{
	*k = (struct fare_unpack){.p = bytes, .n = n};
	assert_true(fare_proto_head(k, h));
	assert_int_equal(h->version, FARE_PROTO_VERSION);
	assert_int_equal(h->type, type);
	assert_true(fare_id_eq(h->call_id, id));
}

static void check_ask(void **state)
{
	struct fare_admit a = {.call_id = id, .key = {{7}}, .ip = "::1", .endpoint = FARE_CHAT, .model = "m", .prompt_bytes = 5, .text_bytes = 6, .images = 7, .choices = 8, .bound = FARE_NO_BOUND, .stream = true}, b;
	struct fare_msg_head h;
	struct fare_unpack k;
	(void)state;
	size_t n = fare_proto_ask(bytes, sizeof bytes, FARE_MSG_ADMIT, 3, &a);
	check_head(&k, n, FARE_MSG_ADMIT, &h);
	assert_int_equal(h.slot, 3);
	assert_true(fare_proto_read_ask(&k, &h, &b));
	assert_string_equal(b.ip, "::1");
	assert_string_equal(b.model, "m");
	assert_int_equal(b.bound, FARE_NO_BOUND);
	assert_int_equal(b.key.b[0], 7);
	assert_true(b.stream && b.choices == 8 && b.images == 7 && b.text_bytes == 6 && b.prompt_bytes == 5);
	for (size_t cut = 0; cut <= n + 1; cut++) {
		k = (struct fare_unpack){.p = bytes, .n = cut};
		bool ok = fare_proto_head(&k, &h) && fare_proto_read_ask(&k, &h, &b);
		assert_int_equal(ok, cut == n);
	}
	/* Longest texts fit a small message. */
	memset(a.model, 'x', sizeof a.model - 1);
	memset(a.ip, '1', sizeof a.ip - 1);
	assert_true(fare_proto_ask(bytes, FARE_MSG_SMALL, FARE_MSG_ADMIT, 3, &a) > 0);
	assert_int_equal(fare_proto_ask(bytes, 50, FARE_MSG_ADMIT, 3, &a), 0);
}

static void check_answers(void **state)
{
	struct fare_admit_answer a = {.granted = true, .grant = {.hold = {5}, .price_version = 6, .price = {1, 2, -1, -1, 3}, .bound = 77, .bound_ours = true, .bound_field = 2, .style = 1, .key_id = 8,
		.account_id = 9, .max_input = 10, .max_output = 11, .upstream_model = "u", .provider = "p", .base_url = "http://x", .key_file = "f", .key_env = "e"}}, b;
	struct fare_msg_head h;
	struct fare_unpack k;
	(void)state;
	size_t n = fare_proto_answer(bytes, sizeof bytes, FARE_PROTO_VERSION, 3, id, &a);
	check_head(&k, n, FARE_MSG_GRANT, &h);
	assert_true(fare_proto_read_answer(&k, &h, &b));
	assert_true(b.granted);
	assert_int_equal(b.grant.hold.nano, 5);
	assert_int_equal(b.grant.price.per_call, 3);
	assert_int_equal(b.grant.price.cache_write, -1);
	assert_int_equal(b.grant.max_output, 11);
	assert_string_equal(b.grant.key_env, "e");
	memset(a.grant.base_url, 'x', sizeof a.grant.base_url - 1);
	memset(a.grant.key_file, 'x', sizeof a.grant.key_file - 1);
	memset(a.grant.key_env, 'x', sizeof a.grant.key_env - 1);
	memset(a.grant.provider, 'x', sizeof a.grant.provider - 1);
	memset(a.grant.upstream_model, 'x', sizeof a.grant.upstream_model - 1);
	assert_true(fare_proto_answer(bytes, FARE_MSG_SMALL, FARE_PROTO_VERSION, 3, id, &a) > 0);
	a = (struct fare_admit_answer){.refused = FARE_BALANCE_TOO_LOW, .numbers = {.available = {-5}, .needed = {6}, .affordable = 7, .limit = 8}};
	n = fare_proto_answer(bytes, sizeof bytes, FARE_PROTO_VERSION, 3, id, &a);
	check_head(&k, n, FARE_MSG_REFUSE, &h);
	assert_true(fare_proto_read_answer(&k, &h, &b));
	assert_true(!b.granted && b.refused == FARE_BALANCE_TOO_LOW && b.numbers.available.nano == -5 && b.numbers.needed.nano == 6 && b.numbers.affordable == 7 && b.numbers.limit == 8);
	/* A refusal under a grant's type is no answer. */
	h.type = FARE_MSG_GRANT;
	k = (struct fare_unpack){.p = bytes, .n = n};
	struct fare_msg_head skipped;
	assert_true(fare_proto_head(&k, &skipped));
	assert_false(fare_proto_read_answer(&k, &h, &b));
}

static void check_story(void **state)
{
	static const char text[] = "{\"call_id\": \"x\"}";
	struct fare_span read;
	struct fare_msg_head h;
	struct fare_unpack k;
	(void)state;
	for (size_t length = 0; length < sizeof text; length += sizeof text - 1) {
		size_t n = fare_proto_story(bytes, sizeof bytes, FARE_PROTO_VERSION, id, fare_span_at(text, length));
		check_head(&k, n, FARE_MSG_STORY_IS, &h);
		assert_true(fare_proto_read_story(&k, &read) && fare_span_eq(read, fare_span_at(text, length)));
		for (size_t cut = 0; cut <= n + 1; cut++) {
			k = (struct fare_unpack){.p = bytes, .n = cut};
			assert_int_equal(fare_proto_head(&k, &h) && fare_proto_read_story(&k, &read), cut == n);
		}
	}
	assert_int_equal(fare_proto_story(bytes, 30, FARE_PROTO_VERSION, id, fare_span_of(text)), 0);
}

static void check_extend(void **state)
{
	struct fare_extended e = {.asked = UINT64_MAX, .held_output = 7, .hold = {INT64_MAX}, .available = {-5}}, b;
	struct fare_msg_head h;
	struct fare_unpack k;
	uint64_t to;
	(void)state;
	size_t n = fare_proto_extend(bytes, sizeof bytes, 3, id, UINT64_MAX - 1);
	check_head(&k, n, FARE_MSG_EXTEND, &h);
	assert_true(fare_proto_read_extend(&k, &to));
	assert_true(to == UINT64_MAX - 1);
	k.at = k.n - 7;
	assert_false(fare_proto_read_extend(&k, &to));
	n = fare_proto_extended(bytes, sizeof bytes, FARE_PROTO_VERSION, 3, id, &e);
	check_head(&k, n, FARE_MSG_EXTENDED, &h);
	assert_true(fare_proto_read_extended(&k, &b));
	assert_memory_equal(&e, &b, sizeof e);
	assert_int_equal(fare_proto_extended(bytes, n - 1, FARE_PROTO_VERSION, 3, id, &e), 0);
}

/* Parts of kept answers. */
static void check_parts(void **state)
{
	struct fare_part_ask ask = {.call_id = id, .key = {{7}}, .tag = 8, .part = 9}, read_ask;
	static struct fare_part part, read_part;
	struct fare_msg_head h;
	struct fare_unpack k;
	(void)state;
	size_t n = fare_proto_read(bytes, sizeof bytes, &ask);
	for (size_t cut = 0; cut <= n + 1; cut++) {
		k = (struct fare_unpack){.p = bytes, .n = cut};
		assert_int_equal(fare_proto_head(&k, &h) && fare_proto_read_read(&k, &h, &read_ask), cut == n);
	}
	check_head(&k, n, FARE_MSG_READ, &h);
	assert_true(fare_proto_read_read(&k, &h, &read_ask));
	assert_true(fare_id_eq(read_ask.call_id, id) && read_ask.key.b[0] == 7 && read_ask.tag == 8 && read_ask.part == 9);
	part = (struct fare_part){.tag = 5, .result = FARE_PART_HERE, .total = FARE_ANSWER_MAX, .bytes.n = FARE_ANSWER_PART_N};
	memset(part.bytes.bytes, 'x', sizeof part.bytes.bytes);
	n = fare_proto_part(bytes, FARE_MSG_SMALL, FARE_PROTO_VERSION, id, &part); /* the longest fits a small message */
	check_head(&k, n, FARE_MSG_PART, &h);
	assert_true(fare_proto_read_part(&k, &read_part));
	assert_memory_equal(&part, &read_part, sizeof part);
	for (size_t cut = 0; cut <= n + 1; cut++) {
		k = (struct fare_unpack){.p = bytes, .n = cut};
		assert_int_equal(fare_proto_head(&k, &h) && fare_proto_read_part(&k, &read_part), cut == n);
	}
	part.total++; /* more than is kept of any */
	check_head(&k, fare_proto_part(bytes, FARE_MSG_SMALL, FARE_PROTO_VERSION, id, &part), FARE_MSG_PART, &h);
	assert_false(fare_proto_read_part(&k, &read_part));
}

/* What a worker of before an upgrade says and hears. */
static void check_version_1(void **state)
{
	enum { ADDED = 32 + FARE_BODY_DIGEST_N };
	struct fare_admit ask = {.call_id = id, .model = "m", .choices = 8, .idem = {{1}}, .body = {2}}, read;
	struct fare_admit_answer granted = {.granted = true, .grant = {.key_env = "e", .held_output = 5, .bound_ours = true, .bound_lowered = true}}, refused = {.refused = FARE_CALL_ENDED, .numbers = {.limit = 8, .earlier = id, .cost = {9}}}, b;
	struct fare_msg_head h;
	struct fare_unpack k;
	(void)state;
	size_t n = fare_proto_ask(bytes, sizeof bytes, FARE_MSG_ADMIT, 3, &ask);
	check_head(&k, n, FARE_MSG_ADMIT, &h);
	assert_true(fare_proto_read_ask(&k, &h, &read));
	assert_true(read.idem.b[0] == 1 && read.body[0] == 2 && read.extends);
	bytes[0] = 1;
	k = (struct fare_unpack){.p = bytes, .n = n - ADDED};
	assert_true(fare_proto_head(&k, &h) && fare_proto_read_ask(&k, &h, &read));
	assert_true(read.choices == 8 && read.idem.b[0] == 0 && read.body[0] == 0 && !read.extends);
	k = (struct fare_unpack){.p = bytes, .n = fare_proto_answer(bytes, sizeof bytes, 1, 3, id, &granted)};
	assert_true(fare_proto_head(&k, &h) && h.version == 1 && fare_proto_read_answer(&k, &h, &b));
	assert_true(b.grant.held_output == 0 && b.grant.bound_ours && strcmp(b.grant.key_env, "e") == 0);
	k = (struct fare_unpack){.p = bytes, .n = fare_proto_answer(bytes, sizeof bytes, 1, 3, id, &refused)};
	assert_true(fare_proto_head(&k, &h) && fare_proto_read_answer(&k, &h, &b));
	assert_true(b.numbers.limit == 8 && b.numbers.cost.nano == 0);
	for (unsigned version = 0; version < 5; version++) {
		bytes[0] = (uint8_t)version;
		k = (struct fare_unpack){.p = bytes, .n = n};
		assert_int_equal(fare_proto_head(&k, &h), version == 1 || version == 2);
	}
}

static bool read_back(size_t n, struct fare_hello *h)
{
	struct fare_unpack k = {.p = bytes, .n = n};
	struct fare_msg_head head;
	return fare_proto_head(&k, &head) && head.type == FARE_MSG_HELLO && fare_proto_read_hello(&k, h);
}

static void check_hello(void **state)
{
	struct fare_listed *listed = fare_alloc(FARE_SLOTS_MAX * sizeof *listed), *got = fare_alloc(FARE_SLOTS_MAX * sizeof *got);
	struct fare_hello h = {.incarnation = id, .worker_no = 1, .pid = 2, .slots = FARE_SLOTS_MAX, .count = FARE_SLOTS_MAX, .listed = listed}, r = {.listed = got};
	(void)state;
	for (unsigned i = 0; i < FARE_SLOTS_MAX; i++)
		listed[i] = (struct fare_listed){(uint16_t)i, {{[14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}}};
	size_t n = fare_proto_hello(bytes, sizeof bytes, &h);
	assert_true(n > 0); /* the fullest one fits */
	assert_true(read_back(n, &r));
	assert_int_equal(r.count, FARE_SLOTS_MAX);
	assert_memory_equal(&got[8191], &listed[8191], sizeof *got);
	assert_false(read_back(n - 1, &r));
	/* More slots than there may be, more listed than slots, a slot beyond them, none at all. */
	h.slots = FARE_SLOTS_MAX + 1;
	h.count = 1;
	assert_false(read_back(fare_proto_hello(bytes, sizeof bytes, &h), &r));
	h.slots = 1;
	h.count = 2;
	assert_false(read_back(fare_proto_hello(bytes, sizeof bytes, &h), &r));
	h.count = 1;
	listed[0].slot = 1;
	assert_false(read_back(fare_proto_hello(bytes, sizeof bytes, &h), &r));
	h.slots = h.count = 0;
	assert_false(read_back(fare_proto_hello(bytes, sizeof bytes, &h), &r));
	free(listed);
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(check_ask), cmocka_unit_test(check_answers), cmocka_unit_test(check_story), cmocka_unit_test(check_extend), cmocka_unit_test(check_parts), cmocka_unit_test(check_version_1), cmocka_unit_test(check_hello)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
