/* Messages of call.sock, packed and unpacked. */
#include "base/first.h"

#include "bank/proto.h"

static void put_head(struct fare_pack *k, uint8_t version, enum fare_msg_type type, uint16_t slot, struct fare_id call_id)
{
	fare_pack_u8(k, version);
	fare_pack_u8(k, (uint8_t)type);
	fare_pack_u16(k, slot);
	fare_pack_bytes(k, call_id.b, sizeof call_id.b);
}

static size_t packed(const struct fare_pack *k) { return k->bad ? 0 : k->n; }

bool fare_proto_head(struct fare_unpack *k, struct fare_msg_head *h)
{
	h->version = fare_unpack_u8(k);
	h->type = fare_unpack_u8(k);
	h->slot = fare_unpack_u16(k);
	fare_unpack_bytes(k, h->call_id.b, sizeof h->call_id.b);
	return !k->bad && h->version >= FARE_PROTO_OLDEST && h->version <= FARE_PROTO_VERSION;
}

size_t fare_proto_bare(uint8_t *p, size_t size, uint8_t version, enum fare_msg_type type, uint16_t slot, struct fare_id call_id)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, version, type, slot, call_id);
	return packed(&k);
}

size_t fare_proto_hello(uint8_t *p, size_t size, const struct fare_hello *h)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, FARE_PROTO_VERSION, FARE_MSG_HELLO, 0, h->incarnation);
	fare_pack_u32(&k, h->worker_no);
	fare_pack_u32(&k, h->pid);
	fare_pack_u32(&k, h->slots);
	fare_pack_u32(&k, h->count);
	for (uint32_t i = 0; i < h->count; i++) {
		fare_pack_u16(&k, h->listed[i].slot);
		fare_pack_bytes(&k, h->listed[i].call_id.b, sizeof h->listed[i].call_id.b);
	}
	return packed(&k);
}

/* The incarnation stands where other messages have the call id. */
bool fare_proto_read_hello(struct fare_unpack *k, struct fare_hello *h)
{
	h->worker_no = fare_unpack_u32(k);
	h->pid = fare_unpack_u32(k);
	h->slots = fare_unpack_u32(k);
	h->count = fare_unpack_u32(k);
	if (k->bad || h->slots == 0 || h->slots > FARE_SLOTS_MAX || h->count > h->slots)
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		h->listed[i].slot = fare_unpack_u16(k);
		fare_unpack_bytes(k, h->listed[i].call_id.b, sizeof h->listed[i].call_id.b);
		if (h->listed[i].slot >= h->slots)
			return false;
	}
	return !k->bad && k->at == k->n;
}

size_t fare_proto_ask(uint8_t *p, size_t size, enum fare_msg_type type, uint16_t slot, const struct fare_admit *a)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, FARE_PROTO_VERSION, type, slot, a->call_id);
	fare_pack_bytes(&k, a->key.b, sizeof a->key.b);
	fare_pack_str(&k, fare_span_of(a->ip));
	fare_pack_u8(&k, a->endpoint);
	fare_pack_str(&k, fare_span_of(a->model));
	fare_pack_u64(&k, a->prompt_bytes);
	fare_pack_u64(&k, a->text_bytes);
	fare_pack_u32(&k, a->images);
	fare_pack_u32(&k, a->choices);
	fare_pack_i64(&k, a->bound);
	fare_pack_u8(&k, a->stream);
	fare_pack_bytes(&k, a->idem.b, sizeof a->idem.b);
	fare_pack_bytes(&k, a->body, sizeof a->body);
	return packed(&k);
}

bool fare_proto_read_ask(struct fare_unpack *k, const struct fare_msg_head *h, struct fare_admit *a)
{
	*a = (struct fare_admit){.call_id = h->call_id};
	fare_unpack_bytes(k, a->key.b, sizeof a->key.b);
	fare_unpack_str(k, a->ip, sizeof a->ip);
	a->endpoint = fare_unpack_u8(k);
	fare_unpack_str(k, a->model, sizeof a->model);
	a->prompt_bytes = fare_unpack_u64(k);
	a->text_bytes = fare_unpack_u64(k);
	a->images = fare_unpack_u32(k);
	a->choices = fare_unpack_u32(k);
	a->bound = fare_unpack_i64(k);
	a->stream = fare_unpack_u8(k) != 0;
	a->extends = h->version >= 2;
	if (h->version >= 2) {
		fare_unpack_bytes(k, a->idem.b, sizeof a->idem.b);
		fare_unpack_bytes(k, a->body, sizeof a->body);
	}
	return !k->bad && k->at == k->n;
}

static void put_price(struct fare_pack *k, const struct fare_price *p)
{
	fare_pack_i64(k, p->input);
	fare_pack_i64(k, p->output);
	fare_pack_i64(k, p->cache_read);
	fare_pack_i64(k, p->cache_write);
	fare_pack_i64(k, p->per_call);
}

static void read_price(struct fare_unpack *k, struct fare_price *p)
{
	p->input = fare_unpack_i64(k);
	p->output = fare_unpack_i64(k);
	p->cache_read = fare_unpack_i64(k);
	p->cache_write = fare_unpack_i64(k);
	p->per_call = fare_unpack_i64(k);
}

static void put_grant(struct fare_pack *k, uint8_t version, const struct fare_grant *g)
{
	fare_pack_i64(k, g->hold.nano);
	fare_pack_u64(k, g->price_version);
	put_price(k, &g->price);
	fare_pack_i64(k, g->bound);
	fare_pack_u8(k, (uint8_t)(g->bound_ours | g->bound_lowered << 1)); /* version 1 asks only if it is 0 */
	fare_pack_u8(k, g->bound_field);
	fare_pack_u8(k, g->style);
	fare_pack_u64(k, g->key_id);
	fare_pack_u64(k, g->account_id);
	fare_pack_u64(k, g->max_input);
	fare_pack_u64(k, g->max_output);
	fare_pack_str(k, fare_span_of(g->upstream_model));
	fare_pack_str(k, fare_span_of(g->provider));
	fare_pack_str(k, fare_span_of(g->base_url));
	fare_pack_str(k, fare_span_of(g->key_file));
	fare_pack_str(k, fare_span_of(g->key_env));
	if (version >= 2)
		fare_pack_u64(k, g->held_output);
}

static void read_grant(struct fare_unpack *k, uint8_t version, struct fare_grant *g)
{
	g->hold.nano = fare_unpack_i64(k);
	g->price_version = fare_unpack_u64(k);
	read_price(k, &g->price);
	g->bound = fare_unpack_i64(k);
	uint8_t ours = fare_unpack_u8(k);
	g->bound_ours = ours != 0;
	g->bound_lowered = ours & 2;
	g->bound_field = fare_unpack_u8(k);
	g->style = fare_unpack_u8(k);
	g->key_id = fare_unpack_u64(k);
	g->account_id = fare_unpack_u64(k);
	g->max_input = fare_unpack_u64(k);
	g->max_output = fare_unpack_u64(k);
	fare_unpack_str(k, g->upstream_model, sizeof g->upstream_model);
	fare_unpack_str(k, g->provider, sizeof g->provider);
	fare_unpack_str(k, g->base_url, sizeof g->base_url);
	fare_unpack_str(k, g->key_file, sizeof g->key_file);
	fare_unpack_str(k, g->key_env, sizeof g->key_env);
	if (version >= 2)
		g->held_output = fare_unpack_u64(k);
}

static void put_answer(struct fare_pack *k, uint8_t version, const struct fare_admit_answer *a)
{
	fare_pack_u8(k, a->granted);
	fare_pack_u8(k, a->refused);
	if (a->granted) {
		put_grant(k, version, &a->grant);
		return;
	}
	fare_pack_i64(k, a->numbers.available.nano);
	fare_pack_i64(k, a->numbers.needed.nano);
	put_price(k, &a->numbers.price);
	fare_pack_u64(k, a->numbers.affordable);
	fare_pack_u64(k, a->numbers.limit);
	if (version < 2)
		return;
	fare_pack_bytes(k, a->numbers.earlier.b, sizeof a->numbers.earlier.b);
	fare_pack_i64(k, a->numbers.cost.nano);
}

size_t fare_proto_answer(uint8_t *p, size_t size, uint8_t version, uint16_t slot, struct fare_id call_id, const struct fare_admit_answer *a)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, version, a->granted ? FARE_MSG_GRANT : FARE_MSG_REFUSE, slot, call_id);
	put_answer(&k, version, a);
	return packed(&k);
}

size_t fare_proto_extend(uint8_t *p, size_t size, uint16_t slot, struct fare_id call_id, uint64_t held_output)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, FARE_PROTO_VERSION, FARE_MSG_EXTEND, slot, call_id);
	fare_pack_u64(&k, held_output);
	return packed(&k);
}

bool fare_proto_read_extend(struct fare_unpack *k, uint64_t *held_output)
{
	*held_output = fare_unpack_u64(k);
	return !k->bad && k->at == k->n;
}

size_t fare_proto_extended(uint8_t *p, size_t size, uint8_t version, uint16_t slot, struct fare_id call_id, const struct fare_extended *e)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, version, FARE_MSG_EXTENDED, slot, call_id);
	fare_pack_u64(&k, e->asked);
	fare_pack_u64(&k, e->held_output);
	fare_pack_i64(&k, e->hold.nano);
	fare_pack_i64(&k, e->available.nano);
	return packed(&k);
}

bool fare_proto_read_extended(struct fare_unpack *k, struct fare_extended *e)
{
	e->asked = fare_unpack_u64(k);
	e->held_output = fare_unpack_u64(k);
	e->hold.nano = fare_unpack_i64(k);
	e->available.nano = fare_unpack_i64(k);
	return !k->bad && k->at == k->n;
}

size_t fare_proto_checked(uint8_t *p, size_t size, uint8_t version, struct fare_id call_id, const struct fare_admit_answer *a)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, version, FARE_MSG_CHECKED, 0, call_id);
	put_answer(&k, version, a);
	return packed(&k);
}

bool fare_proto_read_answer(struct fare_unpack *k, const struct fare_msg_head *h, struct fare_admit_answer *a)
{
	*a = (struct fare_admit_answer){0};
	a->granted = fare_unpack_u8(k) != 0;
	a->refused = fare_unpack_u8(k);
	if (h->type != FARE_MSG_CHECKED && a->granted != (h->type == FARE_MSG_GRANT))
		return false;
	if (a->granted) {
		read_grant(k, h->version, &a->grant);
	} else {
		a->numbers.available.nano = fare_unpack_i64(k);
		a->numbers.needed.nano = fare_unpack_i64(k);
		read_price(k, &a->numbers.price);
		a->numbers.affordable = fare_unpack_u64(k);
		a->numbers.limit = fare_unpack_u64(k);
		if (h->version >= 2) {
			fare_unpack_bytes(k, a->numbers.earlier.b, sizeof a->numbers.earlier.b);
			a->numbers.cost.nano = fare_unpack_i64(k);
		}
	}
	return !k->bad && k->at == k->n;
}

size_t fare_proto_story(uint8_t *p, size_t size, uint8_t version, struct fare_id call_id, struct fare_span text)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, version, FARE_MSG_STORY_IS, 0, call_id);
	fare_pack_str(&k, text);
	return packed(&k);
}

bool fare_proto_read_story(struct fare_unpack *k, struct fare_span *text)
{
	size_t n = fare_unpack_u16(k);
	*text = fare_span_at((const char *)k->p + k->at, n);
	return !k->bad && k->n - k->at == n;
}

size_t fare_proto_read(uint8_t *p, size_t size, const struct fare_part_ask *a)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, FARE_PROTO_VERSION, FARE_MSG_READ, 0, a->call_id);
	fare_pack_bytes(&k, a->key.b, sizeof a->key.b);
	fare_pack_u64(&k, a->tag);
	fare_pack_u16(&k, a->part);
	return packed(&k);
}

bool fare_proto_read_read(struct fare_unpack *k, const struct fare_msg_head *h, struct fare_part_ask *a)
{
	*a = (struct fare_part_ask){.call_id = h->call_id};
	fare_unpack_bytes(k, a->key.b, sizeof a->key.b);
	a->tag = fare_unpack_u64(k);
	a->part = fare_unpack_u16(k);
	return !k->bad && k->at == k->n;
}

size_t fare_proto_part(uint8_t *p, size_t size, uint8_t version, struct fare_id call_id, const struct fare_part *a)
{
	struct fare_pack k = {.p = p, .size = size};
	put_head(&k, version, FARE_MSG_PART, 0, call_id);
	fare_pack_u64(&k, a->tag);
	fare_pack_u8(&k, a->result);
	fare_pack_u32(&k, a->total);
	fare_pack_u16(&k, (uint16_t)a->bytes.n);
	fare_pack_bytes(&k, a->bytes.bytes, a->bytes.n);
	return packed(&k);
}

bool fare_proto_read_part(struct fare_unpack *k, struct fare_part *a)
{
	a->tag = fare_unpack_u64(k);
	a->result = fare_unpack_u8(k);
	a->total = fare_unpack_u32(k);
	a->bytes.n = fare_unpack_u16(k);
	if (k->bad || a->total > FARE_ANSWER_MAX || a->bytes.n > sizeof a->bytes.bytes)
		return false;
	fare_unpack_bytes(k, a->bytes.bytes, a->bytes.n);
	return !k->bad && k->at == k->n;
}
