/* The one record about the store itself. */
#include "base/first.h"

#include <stdio.h>

#include "base/version.h"
#include "store/inner.h"

static const uint8_t meta_key[] = {'m', 'e', 't', 'a'};

int fare_meta_get(struct fare_view *v, struct fare_meta *out)
{
	struct fare_record rec;
	struct fare_unpack k;
	char why[64];
	int r = fare_store_get(v, FARE_TABLE_META, meta_key, sizeof meta_key, &rec);
	if (r == FARE_STORE_OK)
		r = fare_record_open(FARE_TABLE_META, meta_key, sizeof meta_key, rec.bytes, rec.n, &k);
	if (r != FARE_STORE_OK)
		return r;
	out->schema = fare_unpack_u32(&k);
	fare_unpack_bytes(&k, out->store_id, sizeof out->store_id);
	fare_unpack_bytes(&k, out->epoch, sizeof out->epoch);
	if (!k.bad && (out->schema == 0 || out->schema > fare_format)) {
		snprintf(why, sizeof why, "has schema %u; this farebox knows %u", out->schema, fare_format);
		return fare_store_bad(FARE_TABLE_META, meta_key, sizeof meta_key, why);
	}
	return fare_record_end(FARE_TABLE_META, meta_key, sizeof meta_key, &k);
}

int fare_meta_put(struct fare_view *v, const struct fare_meta *m)
{
	struct fare_record rec;
	struct fare_pack k = fare_record_begin(&rec);
	fare_pack_u32(&k, m->schema);
	fare_pack_bytes(&k, m->store_id, sizeof m->store_id);
	fare_pack_bytes(&k, m->epoch, sizeof m->epoch);
	return fare_record_put(v, FARE_TABLE_META, meta_key, sizeof meta_key, &rec, &k, false);
}
