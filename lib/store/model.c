/* Models: one record per price version. */
#include "base/first.h"

#include "store/inner.h"

static void model_pack(struct fare_pack *k, const void *from)
{
	const struct fare_model *r = from;
	fare_pack_u64(k, r->provider);
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_str(k, fare_span_of(r->upstream));
	fare_pack_i64(k, r->price.input);
	fare_pack_i64(k, r->price.output);
	fare_pack_i64(k, r->price.cache_read);
	fare_pack_i64(k, r->price.cache_write);
	fare_pack_i64(k, r->price.per_call);
	fare_pack_u64(k, r->max_output);
	fare_pack_u64(k, r->context);
	fare_pack_u8(k, r->bound_field);
	fare_pack_u64(k, r->created_ms);
	fare_pack_u8(k, r->removed);
	fare_pack_u8(k, r->priced);
	fare_pack_u64(k, r->stream_hold);
}

static void model_unpack(struct fare_unpack *k, uint64_t id, void *to)
{
	struct fare_model *out = to;
	out->version = id;
	out->provider = fare_unpack_u64(k);
	fare_unpack_str(k, out->name, sizeof out->name);
	fare_unpack_str(k, out->upstream, sizeof out->upstream);
	out->price.input = fare_unpack_i64(k);
	out->price.output = fare_unpack_i64(k);
	out->price.cache_read = fare_unpack_i64(k);
	out->price.cache_write = fare_unpack_i64(k);
	out->price.per_call = fare_unpack_i64(k);
	out->max_output = fare_unpack_u64(k);
	out->context = fare_unpack_u64(k);
	out->bound_field = fare_unpack_u8(k);
	out->created_ms = fare_unpack_u64(k);
	out->removed = fare_unpack_bool(k);
	out->priced = fare_unpack_bool(k);
}

static void model_unpack_2(struct fare_unpack *k, void *to) { ((struct fare_model *)to)->stream_hold = fare_unpack_u64(k); }

static const struct fare_numbered kind = {.table = FARE_TABLE_MODELS, .size = sizeof(struct fare_model), .pack = model_pack, .unpack = model_unpack, .unpack_2 = model_unpack_2};

int fare_model_get(struct fare_view *v, uint64_t id, struct fare_model *out) { return fare_numbered_get(v, &kind, id, out); }

int fare_model_put(struct fare_view *v, const struct fare_model *r) { return fare_numbered_put(v, &kind, r->version, r, false); }

struct walk {
	int (*fn)(void *, const struct fare_model *);
	void *arg;
};

static int walk_one(void *arg, const void *one)
{
	struct walk *w = arg;
	return w->fn(w->arg, one);
}

int fare_model_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_model *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	struct fare_model one;
	return fare_numbered_walk(v, &kind, from, &one, walk_one, &w);
}
