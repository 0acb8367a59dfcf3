/* Stories of calls, keyed by call id, which is ordered by time; the oldest are deleted. */
#include "base/first.h"

#include "store/inner.h"

enum { KEY_N = sizeof(struct fare_id) };

static void story_pack(struct fare_pack *k, const struct fare_story *s)
{
	fare_pack_u8(k, s->state);
	fare_pack_u8(k, s->flags);
	fare_pack_u64(k, s->account);
	fare_pack_u64(k, s->key);
	fare_pack_u64(k, s->price_version);
	fare_pack_u64(k, s->started_ms);
	fare_pack_u64(k, s->ended_ms);
	fare_pack_u8(k, s->endpoint);
	fare_pack_u32(k, s->choices);
	fare_pack_u64(k, s->prompt_bytes);
	fare_pack_amount(k, s->available);
	fare_pack_amount(k, s->pending);
	fare_pack_amount(k, s->credit_limit);
	fare_pack_i64(k, s->bound);
	fare_pack_amount(k, s->first_hold);
	fare_pack_amount(k, s->cost);
	fare_pack_u8(k, s->ending);
	fare_pack_u16(k, s->status);
	if (s->state != FARE_STORY_REFUSED)
		return;
	fare_pack_u8(k, s->refused);
	fare_pack_str(k, fare_span_of(s->model));
	fare_pack_amount(k, s->needed);
	fare_pack_u64(k, s->affordable);
	fare_pack_u64(k, s->limit);
	fare_pack_str(k, fare_span_of(s->ip));
	fare_pack_bytes(k, s->earlier.b, sizeof s->earlier.b);
}

static void story_unpack(struct fare_unpack *k, struct fare_story *s)
{
	s->state = fare_unpack_u8(k);
	s->flags = fare_unpack_u8(k);
	s->account = fare_unpack_u64(k);
	s->key = fare_unpack_u64(k);
	s->price_version = fare_unpack_u64(k);
	s->started_ms = fare_unpack_u64(k);
	s->ended_ms = fare_unpack_u64(k);
	s->endpoint = fare_unpack_u8(k);
	s->choices = fare_unpack_u32(k);
	s->prompt_bytes = fare_unpack_u64(k);
	s->available = fare_unpack_amount(k);
	s->pending = fare_unpack_amount(k);
	s->credit_limit = fare_unpack_amount(k);
	s->bound = fare_unpack_i64(k);
	s->first_hold = fare_unpack_amount(k);
	s->cost = fare_unpack_amount(k);
	s->ending = fare_unpack_u8(k);
	s->status = fare_unpack_u16(k);
	k->bad |= s->state != FARE_STORY_ENDED && s->state != FARE_STORY_REFUSED;
	if (s->state != FARE_STORY_REFUSED)
		return;
	s->refused = fare_unpack_u8(k);
	fare_unpack_str(k, s->model, sizeof s->model);
	s->needed = fare_unpack_amount(k);
	s->affordable = fare_unpack_u64(k);
	s->limit = fare_unpack_u64(k);
	fare_unpack_str(k, s->ip, sizeof s->ip);
	fare_unpack_bytes(k, s->earlier.b, sizeof s->earlier.b);
}

static int story_read(const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_story *out)
{
	struct fare_unpack k;
	int r = key_n == KEY_N ? fare_record_open(FARE_TABLE_STORIES, key, key_n, p, n, &k) : fare_store_bad(FARE_TABLE_STORIES, key, key_n, "has a key of a wrong length");
	if (r != FARE_STORE_OK)
		return r;
	memset(out, 0, sizeof *out);
	memcpy(out->call_id.b, key, KEY_N);
	story_unpack(&k, out);
	return fare_record_end(FARE_TABLE_STORIES, key, key_n, &k);
}

int fare_story_get(struct fare_view *v, struct fare_id call_id, struct fare_story *out)
{
	struct fare_record rec;
	int r = fare_store_get(v, FARE_TABLE_STORIES, call_id.b, KEY_N, &rec);
	return r == FARE_STORE_OK ? story_read(call_id.b, KEY_N, rec.bytes, rec.n, out) : r;
}

int fare_story_put(struct fare_view *v, const struct fare_story *s, bool fresh)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	story_pack(&k, s);
	return fare_record_put(v, FARE_TABLE_STORIES, s->call_id.b, KEY_N, &rec, &k, fresh);
}

int fare_story_del(struct fare_view *v, struct fare_id call_id) { return fare_store_del(v, FARE_TABLE_STORIES, call_id.b, KEY_N); }

struct walk {
	int (*fn)(void *, const struct fare_story *);
	void *arg;
};

static int walk_one(void *arg, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n)
{
	struct walk *w = arg;
	struct fare_story one;
	int r = story_read(key, key_n, p, n, &one);
	return r == FARE_STORE_OK ? w->fn(w->arg, &one) : r;
}

int fare_story_walk(struct fare_view *v, struct fare_id from, int (*fn)(void *, const struct fare_story *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	return fare_store_scan(v, FARE_TABLE_STORIES, from.b, KEY_N, walk_one, &w);
}
