/* Numbers from text; packing and unpacking of records and messages. */
#include "base/first.h"

#include "base/num.h"

bool fare_num_u64(struct fare_span s, uint64_t min, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)s.p[i] - '0';
		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool fare_num_i64(struct fare_span s, int64_t min, int64_t max, int64_t *out)
{
	bool minus = s.n > 0 && s.p[0] == '-';
	uint64_t size;
	if (minus)
		s = fare_span_at(s.p + 1, s.n - 1);
	if (!fare_num_u64(s, 0, (uint64_t)INT64_MAX + minus, &size))
		return false;
	int64_t v = (int64_t)(minus ? 0 - size : size);
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

int fare_num_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Room for n bytes more, or NULL with bad set. */
static uint8_t *pack_room(struct fare_pack *k, size_t n)
{
	if (k->bad || n > k->size - k->n) {
		k->bad = true;
		return NULL;
	}
	k->n += n;
	return k->p + k->n - n;
}

void fare_pack_u8(struct fare_pack *k, uint8_t v)
{
	uint8_t *p = pack_room(k, 1);
	if (p)
		*p = v;
}

void fare_pack_u16(struct fare_pack *k, uint16_t v)
{
	uint8_t *p = pack_room(k, 2);
	if (p)
		fare_put_u16(p, v);
}

void fare_pack_u32(struct fare_pack *k, uint32_t v)
{
	uint8_t *p = pack_room(k, 4);
	if (p)
		fare_put_u32(p, v);
}

void fare_pack_u64(struct fare_pack *k, uint64_t v)
{
	uint8_t *p = pack_room(k, 8);
	if (p)
		fare_put_u64(p, v);
}

void fare_pack_i64(struct fare_pack *k, int64_t v) { fare_pack_u64(k, (uint64_t)v); }

void fare_pack_bytes(struct fare_pack *k, const void *p, size_t n)
{
	uint8_t *to = pack_room(k, n);
	if (to && n > 0)
		memcpy(to, p, n);
}

void fare_pack_str(struct fare_pack *k, struct fare_span s)
{
	if (s.n > UINT16_MAX) {
		k->bad = true;
		return;
	}
	fare_pack_u16(k, (uint16_t)s.n);
	fare_pack_bytes(k, s.p, s.n);
}

/* The next n bytes, or NULL with bad set. */
static const uint8_t *unpack_take(struct fare_unpack *k, size_t n)
{
	if (k->bad || n > k->n - k->at) {
		k->bad = true;
		return NULL;
	}
	k->at += n;
	return k->p + k->at - n;
}

uint8_t fare_unpack_u8(struct fare_unpack *k)
{
	const uint8_t *p = unpack_take(k, 1);
	return p ? *p : 0;
}

uint16_t fare_unpack_u16(struct fare_unpack *k)
{
	const uint8_t *p = unpack_take(k, 2);
	return p ? fare_get_u16(p) : 0;
}

uint32_t fare_unpack_u32(struct fare_unpack *k)
{
	const uint8_t *p = unpack_take(k, 4);
	return p ? fare_get_u32(p) : 0;
}

uint64_t fare_unpack_u64(struct fare_unpack *k)
{
	const uint8_t *p = unpack_take(k, 8);
	return p ? fare_get_u64(p) : 0;
}

int64_t fare_unpack_i64(struct fare_unpack *k) { return (int64_t)fare_unpack_u64(k); }

void fare_unpack_bytes(struct fare_unpack *k, void *out, size_t n)
{
	const uint8_t *p = unpack_take(k, n);
	if (n == 0)
		return;
	if (p)
		memcpy(out, p, n);
	else
		memset(out, 0, n);
}

void fare_unpack_str(struct fare_unpack *k, char *out, size_t size)
{
	size_t n = fare_unpack_u16(k);
	const uint8_t *p = unpack_take(k, n);
	if (!fare_span_copy(fare_span_at((const char *)p, p ? n : 0), out, size))
		k->bad = true;
}
