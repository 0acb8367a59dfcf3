/*
 * Keys and hashes. A farebox key is "fb_", 43 base62 characters (256 random bits) and 6 of checksum (CRC-32 of what stands before it, base62): a typing error is told
 * from an unknown key without a look-up. Only the SHA-256 of a key's whole text is stored.
 */
#ifndef FARE_BASE_SECRET_H
#define FARE_BASE_SECRET_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

enum { FARE_HASH_N = 32, FARE_KEY_TEXT_N = 3 + 43 + 6 + 1, FARE_HEX_HASH_N = 65 };
struct fare_hash { uint8_t b[FARE_HASH_N]; };

bool fare_random(void *out, size_t n) FARE_MUST; /* from the kernel */
bool fare_key_new(char out[FARE_KEY_TEXT_N]) FARE_MUST;
bool fare_key_looks_ours(struct fare_span text);      /* "fb_" in front */
bool fare_key_well_formed(struct fare_span text);     /* ours, and the checksum fits */
void fare_sha256(const void *p, size_t n, struct fare_hash *out);
struct fare_sha256_part { const void *p; size_t n; };
void fare_sha256_parts(const struct fare_sha256_part *parts, size_t count, struct fare_hash *out);
void fare_hash_hex(const struct fare_hash *h, char out[FARE_HEX_HASH_N]);
bool fare_hash_parse(struct fare_span hex, struct fare_hash *out) FARE_MUST;
bool fare_secret_eq(const void *a, const void *b, size_t n); /* constant time */
void fare_wipe(void *p, size_t n);
uint32_t fare_crc32(const void *p, size_t n); /* IEEE, as zlib */

#endif
