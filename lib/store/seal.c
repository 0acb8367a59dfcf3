/* Seals: one per batch that posted anything. */
#include "base/first.h"

#include "store/inner.h"

static void seal_pack(struct fare_pack *k, const void *from)
{
	const struct fare_seal *r = from;
	fare_pack_u64(k, r->entries);
	fare_pack_u64(k, r->time_ms);
	fare_pack_bytes(k, r->entries_hash.b, sizeof r->entries_hash.b);
	fare_pack_bytes(k, r->prev.b, sizeof r->prev.b);
	fare_pack_bytes(k, r->hash.b, sizeof r->hash.b);
	fare_pack_u64(k, r->total_entries);
	fare_pack_amount(k, r->total_credits);
	fare_pack_amount(k, r->total_debits);
}

static void seal_unpack(struct fare_unpack *k, uint64_t id, void *to)
{
	struct fare_seal *out = to;
	out->number = id;
	out->entries = fare_unpack_u64(k);
	out->time_ms = fare_unpack_u64(k);
	fare_unpack_bytes(k, out->entries_hash.b, sizeof out->entries_hash.b);
	fare_unpack_bytes(k, out->prev.b, sizeof out->prev.b);
	fare_unpack_bytes(k, out->hash.b, sizeof out->hash.b);
	out->total_entries = fare_unpack_u64(k);
	out->total_credits = fare_unpack_amount(k);
	out->total_debits = fare_unpack_amount(k);
}

static const struct fare_numbered kind = {.table = FARE_TABLE_SEALS, .size = sizeof(struct fare_seal), .pack = seal_pack, .unpack = seal_unpack};

int fare_seal_get(struct fare_view *v, uint64_t id, struct fare_seal *out) { return fare_numbered_get(v, &kind, id, out); }

int fare_seal_put(struct fare_view *v, const struct fare_seal *r) { return fare_numbered_put(v, &kind, r->number, r, true); }

struct walk {
	int (*fn)(void *, const struct fare_seal *);
	void *arg;
};

static int walk_one(void *arg, const void *one)
{
	struct walk *w = arg;
	return w->fn(w->arg, one);
}

int fare_seal_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_seal *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	struct fare_seal one;
	return fare_numbered_walk(v, &kind, from, &one, walk_one, &w);
}
