/*
 * Duplicate member names. A few members are compared pair by pair; many go through a hash set, keyed with random numbers so that nobody
 * can choose names that collide.
 */
#include "base/first.h"

#include <stdlib.h>

#include "base/json_text.h"
#include "base/secret.h"

enum { PAIRWISE_MAX = 16 };

static bool names_eq(const struct fare_json *j, const struct fare_json_node *a, const struct fare_json_node *b)
{
	if (!a->key_escaped && !b->key_escaped)
		return fare_span_eq(fare_json_key(j, a), fare_json_key(j, b));
	struct fare_json_reader left = fare_json_reader_of(fare_json_key(j, a)), right = fare_json_reader_of(fare_json_key(j, b));
	int c;
	do {
		c = fare_json_reader_byte(&left);
		if (c != fare_json_reader_byte(&right))
			return false;
	} while (c >= 0);
	return true;
}

static const struct fare_json_node *twice_in_few(const struct fare_json *j, const struct fare_json_node *object)
{
	for (const struct fare_json_node *a = fare_json_first(j, object); a; a = fare_json_next(j, a))
		for (const struct fare_json_node *b = fare_json_next(j, a); b; b = fare_json_next(j, b))
			if (names_eq(j, a, b))
				return b;
	return NULL;
}

static uint64_t rotate(uint64_t v, int by) { return v << by | v >> (64 - by); }

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein); words in the host's byte order, for the values are never stored. */
static uint64_t hash_name(const uint64_t seed[2], struct fare_span s)
{
	uint64_t v[4] = {
		seed[0] ^ UINT64_C(0x736f6d6570736575), seed[1] ^ UINT64_C(0x646f72616e646f6d),
		seed[0] ^ UINT64_C(0x6c7967656e657261), seed[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t last = (uint64_t)s.n << 56, word = 0;
	for (; s.n >= sizeof word; s = fare_span_at(s.p + sizeof word, s.n - sizeof word)) {
		memcpy(&word, s.p, sizeof word);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (size_t i = 0; i < s.n; i++)
		last |= (uint64_t)(unsigned char)s.p[i] << (8 * i);
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xFF;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* An empty set of at least twice the members; returns its size, a power of two, or 0. */
static size_t set_prepare(struct fare_json_names *names, size_t members)
{
	size_t n = 64;
	while (n < 2 * members)
		n *= 2;
	if (!names->seeded && !fare_random(names->seed, sizeof names->seed))
		return 0;
	names->seeded = true;
	if (names->cap < n) {
		uint64_t *slots = realloc(names->slots, n * sizeof *slots);
		if (!slots)
			return 0;
		names->slots = slots;
		names->cap = n;
	}
	memset(names->slots, 0, n * sizeof *names->slots);
	return n;
}

static bool name_hash(struct fare_json_names *names, const struct fare_json *j, const struct fare_json_node *member, uint64_t *hash)
{
	struct fare_span name = fare_json_key(j, member);
	if (member->key_escaped) {
		struct fare_json_reader r = fare_json_reader_of(name);
		names->name.max = SIZE_MAX - 1;
		fare_buf_reset(&names->name);
		if (!fare_buf_reserve(&names->name, name.n))
			return false;
		for (int c; (c = fare_json_reader_byte(&r)) >= 0;)
			fare_buf_add_char(&names->name, (char)c);
		name = fare_buf_span(&names->name);
	}
	*hash = hash_name(names->seed, name);
	return true;
}

/* A slot holds the upper half of the hash and the member's index, which is never 0: that is the root. */
static const struct fare_json_node *twice_in_many(struct fare_json_names *names, const struct fare_json *j,
	const struct fare_json_node *object, bool *failed)
{
	size_t n = set_prepare(names, object->size);
	*failed = n == 0;
	for (const struct fare_json_node *m = n > 0 ? fare_json_first(j, object) : NULL; m; m = fare_json_next(j, m)) {
		uint64_t hash;
		if (!name_hash(names, j, m, &hash)) {
			*failed = true;
			return NULL;
		}
		uint64_t high = hash & ~(uint64_t)UINT32_MAX;
		size_t i = hash & (n - 1);
		for (; names->slots[i] != 0; i = (i + 1) & (n - 1)) {
			uint64_t slot = names->slots[i];
			if ((slot & ~(uint64_t)UINT32_MAX) == high && names_eq(j, m, &j->nodes[slot & UINT32_MAX]))
				return m;
		}
		names->slots[i] = high | (uint64_t)(m - j->nodes);
	}
	return NULL;
}

const struct fare_json_node *fare_json_names_twice(struct fare_json_names *names, const struct fare_json *j,
	const struct fare_json_node *object, bool *failed)
{
	if (object->size <= PAIRWISE_MAX)
		return twice_in_few(j, object);
	return twice_in_many(names, j, object, failed);
}

void fare_json_names_release(struct fare_json_names *names)
{
	free(names->slots);
	fare_buf_release(&names->name);
	*names = (struct fare_json_names){0};
}
