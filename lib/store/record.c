/* What the encodings of all records share. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"
#include "store/inner.h"

enum { KEY_SHOWN = 24 };
static _Thread_local char bad_text[FARE_STORE_ERROR_N];

void fare_store_say(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(bad_text, sizeof bad_text, fmt, ap);
	va_end(ap);
}

int fare_store_bad(enum fare_table t, const uint8_t *key, size_t key_n, const char *why)
{
	char hex[2 * KEY_SHOWN + 1] = "";
	for (size_t i = 0; i < key_n && i < KEY_SHOWN; i++)
		snprintf(hex + 2 * i, 3, "%02x", key[i]);
	fare_store_say("record %s of %s %s", hex, fare_table_name(t), why);
	fare_log(FARE_ALARM, "store: %s", bad_text);
	return FARE_STORE_BAD;
}

const char *fare_store_bad_text(void) { return bad_text; }

struct fare_pack fare_record_begin_as(struct fare_record *r, unsigned version)
{
	struct fare_pack k = {.p = r->bytes, .size = sizeof r->bytes};
	fare_pack_u16(&k, (uint16_t)version);
	return k;
}

struct fare_pack fare_record_begin(struct fare_record *r) { return fare_record_begin_as(r, FARE_RECORD_VERSION); }

int fare_record_put(struct fare_view *v, enum fare_table t, const void *key, size_t key_n, struct fare_record *r, const struct fare_pack *k, bool fresh)
{
	FARE_ASSERT(!k->bad);
	r->n = (uint32_t)k->n;
	return fare_store_put(v, t, key, key_n, r->bytes, r->n, fresh);
}

int fare_record_open_as(enum fare_table t, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, unsigned newest, struct fare_unpack *out, unsigned *version)
{
	char why[64];
	*out = (struct fare_unpack){.p = p, .n = n};
	*version = fare_unpack_u16(out);
	if (!out->bad && *version >= FARE_RECORD_VERSION && *version <= newest)
		return FARE_STORE_OK;
	snprintf(why, sizeof why, "has version %u, which this farebox does not know", *version);
	return fare_store_bad(t, key, key_n, out->bad ? "is cut short" : why);
}

int fare_record_open(enum fare_table t, const uint8_t *key, size_t key_n, const uint8_t *p, size_t n, struct fare_unpack *out)
{
	unsigned version;
	return fare_record_open_as(t, key, key_n, p, n, FARE_RECORD_VERSION, out, &version);
}

int fare_record_end(enum fare_table t, const uint8_t *key, size_t key_n, const struct fare_unpack *k)
{
	if (k->bad)
		return fare_store_bad(t, key, key_n, "is cut short or holds what it cannot");
	return k->at == k->n ? FARE_STORE_OK : fare_store_bad(t, key, key_n, "is longer than its fields");
}

void fare_pack_amount(struct fare_pack *k, struct fare_amount a) { fare_pack_i64(k, a.nano); }

struct fare_amount fare_unpack_amount(struct fare_unpack *k) { return fare_nano(fare_unpack_i64(k)); }

void fare_pack_usage(struct fare_pack *k, const struct fare_usage *u)
{
	fare_pack_u64(k, u->input);
	fare_pack_u64(k, u->output);
	fare_pack_u64(k, u->cached);
	fare_pack_u64(k, u->cache_write);
	fare_pack_u64(k, u->reasoning);
}

void fare_unpack_usage(struct fare_unpack *k, struct fare_usage *u)
{
	u->input = fare_unpack_u64(k);
	u->output = fare_unpack_u64(k);
	u->cached = fare_unpack_u64(k);
	u->cache_write = fare_unpack_u64(k);
	u->reasoning = fare_unpack_u64(k);
}

bool fare_unpack_bool(struct fare_unpack *k)
{
	uint8_t v = fare_unpack_u8(k);
	if (v > 1)
		k->bad = true;
	return v == 1;
}

int fare_table_last(struct fare_view *v, enum fare_table t, uint64_t *id)
{
	uint8_t key[FARE_STORE_KEY_MAX];
	size_t n;
	*id = 0;
	int r = fare_store_last(v, t, key, &n);
	if (r == FARE_STORE_NONE)
		return FARE_STORE_OK;
	if (r != FARE_STORE_OK)
		return r;
	if (n != 8)
		return fare_store_bad(t, key, n, "has a key of a wrong length");
	*id = fare_get_u64(key);
	return FARE_STORE_OK;
}
