/* What an Idempotency-Key's call left: its record, and its answer in parts. */
#include "base/first.h"

#include "base/log.h"
#include "store/inner.h"

enum { ID_N = 16, PART_KEY_N = ID_N + 2 };

static int replay_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_replay *out)
{
	struct fare_unpack k;
	int r = key_n == ID_N ? fare_record_open(FARE_TABLE_REPLAYS, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_REPLAYS, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memcpy(out->call_id.b, key, ID_N);
	out->account = fare_unpack_u64(&k);
	fare_unpack_bytes(&k, out->idem.b, sizeof out->idem.b);
	fare_unpack_bytes(&k, out->body, sizeof out->body);
	out->cost = fare_unpack_amount(&k);
	out->ended_ms = fare_unpack_u64(&k);
	out->answer_n = fare_unpack_u32(&k);
	fare_unpack_bytes(&k, out->answer.b, sizeof out->answer.b);
	if (out->answer_n > FARE_ANSWER_MAX)
		k.bad = true;
	return fare_record_end(FARE_TABLE_REPLAYS, key, key_n, &k);
}

int fare_replay_get(struct fare_view *v, struct fare_id call_id, struct fare_replay *out)
{
	struct fare_record rec;
	int r = fare_store_get(v, FARE_TABLE_REPLAYS, call_id.b, ID_N, &rec);
	return r == FARE_STORE_OK ? replay_read(call_id.b, ID_N, rec.bytes, rec.n, out) : r;
}

static unsigned parts_of(uint32_t n) { return (n + FARE_ANSWER_PART_N - 1) / FARE_ANSWER_PART_N; }

static void part_key(struct fare_id call_id, uint16_t part, uint8_t key[PART_KEY_N])
{
	memcpy(key, call_id.b, ID_N);
	fare_put_u16(key + ID_N, part);
}

static int part_put(struct fare_view *v, struct fare_id call_id, uint16_t part, const char *p, size_t n)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	uint8_t key[PART_KEY_N];
	fare_pack_bytes(&k, p, n);
	part_key(call_id, part, key);
	return fare_record_put(v, FARE_TABLE_ANSWERS, key, sizeof key, &rec, &k, true);
}

int fare_replay_put(struct fare_view *v, const struct fare_replay *r, const char *answer)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	FARE_ASSERT(r->answer_n <= FARE_ANSWER_MAX);
	fare_pack_u64(&k, r->account);
	fare_pack_bytes(&k, r->idem.b, sizeof r->idem.b);
	fare_pack_bytes(&k, r->body, sizeof r->body);
	fare_pack_amount(&k, r->cost);
	fare_pack_u64(&k, r->ended_ms);
	fare_pack_u32(&k, r->answer_n);
	fare_pack_bytes(&k, r->answer.b, sizeof r->answer.b);
	int got = fare_record_put(v, FARE_TABLE_REPLAYS, r->call_id.b, ID_N, &rec, &k, true);
	for (uint32_t at = 0; got == FARE_STORE_OK && at < r->answer_n; at += FARE_ANSWER_PART_N) {
		uint32_t left = r->answer_n - at;
		got = part_put(v, r->call_id, (uint16_t)(at / FARE_ANSWER_PART_N), answer + at, left < FARE_ANSWER_PART_N ? left : FARE_ANSWER_PART_N);
	}
	return got;
}

int fare_replay_del(struct fare_view *v, struct fare_id call_id)
{
	struct fare_replay old;
	uint8_t key[PART_KEY_N];
	int r = fare_replay_get(v, call_id, &old);
	if (r == FARE_STORE_OK)
		r = fare_store_del(v, FARE_TABLE_REPLAYS, call_id.b, ID_N);
	for (unsigned part = 0; r == FARE_STORE_OK && part < parts_of(old.answer_n); part++) {
		part_key(call_id, (uint16_t)part, key);
		r = fare_store_del(v, FARE_TABLE_ANSWERS, key, sizeof key);
		if (r == FARE_STORE_NONE) /* gone already */
			r = FARE_STORE_OK;
	}
	return r;
}

int fare_answer_part_get(struct fare_view *v, struct fare_id call_id, uint16_t part, struct fare_answer_part *out)
{
	struct fare_record rec;
	struct fare_unpack k;
	uint8_t key[PART_KEY_N];
	part_key(call_id, part, key);
	int r = fare_store_get(v, FARE_TABLE_ANSWERS, key, sizeof key, &rec);
	if (r == FARE_STORE_OK)
		r = fare_record_open(FARE_TABLE_ANSWERS, key, sizeof key, rec.bytes, rec.n, &k);
	if (r != FARE_STORE_OK)
		return r;
	out->n = (uint32_t)(k.n - k.at);
	if (out->n > sizeof out->bytes)
		return fare_store_bad(FARE_TABLE_ANSWERS, key, sizeof key, "is longer than a part");
	fare_unpack_bytes(&k, out->bytes, out->n);
	return fare_record_end(FARE_TABLE_ANSWERS, key, sizeof key, &k);
}

struct walk {
	int (*replay)(void *, const struct fare_replay *);
	int (*part)(void *, struct fare_id, uint16_t);
	void *arg;
};

static int replay_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_replay one;
	int r = replay_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->replay(w->arg, &one) : r;
}

int fare_replay_walk(struct fare_view *v, int (*fn)(void *, const struct fare_replay *), void *arg)
{
	struct walk w = {.replay = fn, .arg = arg};
	return fare_store_scan(v, FARE_TABLE_REPLAYS, "", 0, replay_one, &w);
}

static int part_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_id id;
	(void)p;
	(void)n;
	if (key_n != PART_KEY_N)
		return fare_store_bad(FARE_TABLE_ANSWERS, key, key_n, "has a key of a wrong length");
	memcpy(id.b, key, ID_N);
	return w->part(w->arg, id, fare_get_u16(key + ID_N));
}

int fare_answer_part_walk(struct fare_view *v, int (*fn)(void *, struct fare_id, uint16_t), void *arg)
{
	struct walk w = {.part = fn, .arg = arg};
	return fare_store_scan(v, FARE_TABLE_ANSWERS, "", 0, part_one, &w);
}
