/* Providers. */
#include "base/first.h"

#include "store/inner.h"

static void provider_pack(struct fare_pack *k, const void *from)
{
	const struct fare_provider *r = from;
	fare_pack_str(k, fare_span_of(r->name));
	fare_pack_u8(k, r->style);
	fare_pack_str(k, fare_span_of(r->base_url));
	fare_pack_str(k, fare_span_of(r->key_file));
	fare_pack_str(k, fare_span_of(r->key_env));
	fare_pack_u8(k, r->removed);
}

static void provider_unpack(struct fare_unpack *k, uint64_t id, void *to)
{
	struct fare_provider *out = to;
	out->id = id;
	fare_unpack_str(k, out->name, sizeof out->name);
	out->style = fare_unpack_u8(k);
	fare_unpack_str(k, out->base_url, sizeof out->base_url);
	fare_unpack_str(k, out->key_file, sizeof out->key_file);
	fare_unpack_str(k, out->key_env, sizeof out->key_env);
	out->removed = fare_unpack_bool(k);
}

static const struct fare_numbered kind = {.table = FARE_TABLE_PROVIDERS, .size = sizeof(struct fare_provider), .pack = provider_pack, .unpack = provider_unpack};

int fare_provider_get(struct fare_view *v, uint64_t id, struct fare_provider *out) { return fare_numbered_get(v, &kind, id, out); }

int fare_provider_put(struct fare_view *v, const struct fare_provider *r) { return fare_numbered_put(v, &kind, r->id, r, false); }

struct walk {
	int (*fn)(void *, const struct fare_provider *);
	void *arg;
};

static int walk_one(void *arg, const void *one)
{
	struct walk *w = arg;
	return w->fn(w->arg, one);
}

int fare_provider_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_provider *), void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};
	struct fare_provider one;
	return fare_numbered_walk(v, &kind, from, &one, walk_one, &w);
}
