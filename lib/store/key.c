/* Keys, and the index of their hashes. */
#include "base/first.h"

#include "store/inner.h"

static void key_pack(struct fare_pack *k, const void *from)
{
	const struct fare_key *r = from;
	fare_pack_u64(k, r->account);
	fare_pack_bytes(k, r->hash.b, sizeof r->hash.b);
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_str(k, fare_span_of(r->models));
	fare_pack_str(k, fare_span_of(r->ip));
	fare_pack_u64(k, r->created_ms);
	fare_pack_u64(k, r->expires_ms);
	fare_pack_u8(k, r->state);
}

static void key_unpack(struct fare_unpack *k, uint64_t id, void *to)
{
	struct fare_key *out = to;
	out->id = id;
	out->account = fare_unpack_u64(k);
	fare_unpack_bytes(k, out->hash.b, sizeof out->hash.b);
	fare_unpack_str(k, out->name, sizeof out->name);
	fare_unpack_str(k, out->models, sizeof out->models);
	fare_unpack_str(k, out->ip, sizeof out->ip);
	out->created_ms = fare_unpack_u64(k);
	out->expires_ms = fare_unpack_u64(k);
	out->state = fare_unpack_u8(k);
}

static const struct fare_numbered kind = {.table = FARE_TABLE_KEYS, .size = sizeof(struct fare_key), .pack = key_pack, .unpack = key_unpack};

int fare_key_get(struct fare_view *v, uint64_t id, struct fare_key *out) { return fare_numbered_get(v, &kind, id, out); }

int fare_key_put(struct fare_view *v, const struct fare_key *r) { return fare_numbered_put(v, &kind, r->id, r, false); }

struct walk {
	int (*fn)(void *, const struct fare_key *);
	void *arg;
};

static int walk_one(void *arg, const void *one)
{
	struct walk *w = arg;
	return w->fn(w->arg, one);
}

int fare_key_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_key *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	struct fare_key one;
	return fare_numbered_walk(v, &kind, from, &one, walk_one, &w);
}

int fare_key_hash_get(struct fare_view *v, const struct fare_hash *h, uint64_t *key) { return fare_index_get(v, FARE_TABLE_HASHES, h->b, sizeof h->b, key); }

int fare_key_hash_put(struct fare_view *v, const struct fare_hash *h, uint64_t key) { return fare_index_put(v, FARE_TABLE_HASHES, h->b, sizeof h->b, key); }

int fare_key_hash_walk(struct fare_view *v, int (*fn)(void *, struct fare_span, uint64_t), void *arg) { return fare_index_walk(v, FARE_TABLE_HASHES, fn, arg); }
