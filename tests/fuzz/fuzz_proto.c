/* Messages of call.sock: what is accepted packs to the same bytes again, but for bytes that say true with another number than 1. */
#include "base/first.h"

#include <stdlib.h>

#include "bank/proto.h"
#include "base/log.h"

#include "fuzz.h"

static uint8_t again[FARE_MSG_MAX];
static struct fare_listed listed[FARE_SLOTS_MAX];

static void check_hello(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_hello hello = {.incarnation = h->call_id, .listed = listed};
	if (!fare_proto_read_hello(k, &hello))
		return;
	for (uint32_t i = 0; i < hello.count; i++)
		FARE_ASSERT(hello.listed[i].slot < hello.slots);
	FARE_ASSERT(fare_proto_hello(again, sizeof again, &hello) == k->n);
}

static void check_ask(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_admit ask, second;
	struct fare_msg_head head;
	if (!fare_proto_read_ask(k, h, &ask))
		return;
	size_t n = fare_proto_ask(again, sizeof again, (enum fare_msg_type)h->type, h->slot, &ask);
	struct fare_unpack back = {.p = again, .n = n};
	FARE_ASSERT((h->version < FARE_PROTO_VERSION || n == k->n) && fare_proto_head(&back, &head) && head.slot == h->slot && fare_proto_read_ask(&back, &head, &second));
	second.extends = ask.extends; /* said by the version */
	FARE_ASSERT(memcmp(&ask, &second, sizeof ask) == 0);
}

static void check_answer(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_admit_answer a;
	if (!fare_proto_read_answer(k, h, &a))
		return;
	size_t n = h->type == FARE_MSG_CHECKED ? fare_proto_checked(again, sizeof again, h->version, h->call_id, &a) : fare_proto_answer(again, sizeof again, h->version, h->slot, h->call_id, &a);
	FARE_ASSERT(n == k->n);
}

static void check_story(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_span text;
	if (fare_proto_read_story(k, &text))
		FARE_ASSERT(fare_proto_story(again, sizeof again, h->version, h->call_id, text) == k->n && memcmp(again + k->n - text.n, text.p, text.n) == 0);
}

static void check_extend(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_extended e;
	uint64_t to;
	if (h->type == FARE_MSG_EXTEND)
		FARE_ASSERT(!fare_proto_read_extend(k, &to) || fare_proto_extend(again, sizeof again, h->slot, h->call_id, to) == k->n);
	else
		FARE_ASSERT(!fare_proto_read_extended(k, &e) || fare_proto_extended(again, sizeof again, h->version, h->slot, h->call_id, &e) == k->n);
}

static void check_read(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_part_ask a;
	if (fare_proto_read_read(k, h, &a))
		FARE_ASSERT(fare_proto_read(again, sizeof again, &a) == k->n);
}

static void check_part(struct fare_unpack *k, const struct fare_msg_head *h)
{
	static struct fare_part a;
	if (fare_proto_read_part(k, &a))
		FARE_ASSERT(fare_proto_part(again, FARE_MSG_SMALL, h->version, h->call_id, &a) == k->n && memcmp(again, k->p, 1) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct fare_unpack k = {.p = p, .n = n};
	struct fare_msg_head h;
	if (!fare_proto_head(&k, &h))
		return 0;
	if (h.type == FARE_MSG_HELLO)
		check_hello(&k, &h);
	else if (h.type == FARE_MSG_ADMIT || h.type == FARE_MSG_CHECK || h.type == FARE_MSG_STORY)
		check_ask(&k, &h);
	else if (h.type == FARE_MSG_GRANT || h.type == FARE_MSG_REFUSE || h.type == FARE_MSG_CHECKED)
		check_answer(&k, &h);
	else if (h.type == FARE_MSG_STORY_IS)
		check_story(&k, &h);
	else if (h.type == FARE_MSG_EXTEND || h.type == FARE_MSG_EXTENDED)
		check_extend(&k, &h);
	else if (h.type == FARE_MSG_READ)
		check_read(&k, &h);
	else if (h.type == FARE_MSG_PART)
		check_part(&k, &h);
	return 0;
}
