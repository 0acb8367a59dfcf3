/* Keys and hashes, over the kernel's random numbers and OpenSSL. */
#include "base/first.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/num.h"
#include "base/secret.h"

static const char key_mark[] = "fb_";
enum { MARK_N = 3, RANDOM_N = 43, SUM_N = 6, KEY_N = MARK_N + RANDOM_N + SUM_N };
_Static_assert(KEY_N + 1 == FARE_KEY_TEXT_N, "the parts of a key");

static const char base62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

bool fare_random(void *out, size_t n)
{
	uint8_t *p = out;
	while (n > 0) {
		ssize_t got = getrandom(p, n, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

/* The number in big-endian bytes as `digits` base62 digits; number is used up. */
static void put_base62(uint8_t *number, size_t n, char *out, size_t digits)
{
	while (digits-- > 0) {
		unsigned rest = 0;
		for (size_t i = 0; i < n; i++) {
			rest = rest << 8 | number[i];
			number[i] = (uint8_t)(rest / 62);
			rest %= 62;
		}
		out[digits] = base62[rest];
	}
}

static void put_checksum(const char *key, char out[SUM_N])
{
	uint8_t sum[4];
	fare_put_u32(sum, fare_crc32(key, MARK_N + RANDOM_N));
	put_base62(sum, sizeof sum, out, SUM_N);
}

bool fare_key_new(char out[FARE_KEY_TEXT_N])
{
	uint8_t number[32];
	out[0] = '\0';
	if (!fare_random(number, sizeof number))
		return false;
	memcpy(out, key_mark, MARK_N);
	put_base62(number, sizeof number, out + MARK_N, RANDOM_N);
	put_checksum(out, out + MARK_N + RANDOM_N);
	out[KEY_N] = '\0';
	fare_wipe(number, sizeof number);
	return true;
}

bool fare_key_looks_ours(struct fare_span text) { return fare_span_starts(text, key_mark); }

bool fare_key_well_formed(struct fare_span text)
{
	char sum[SUM_N];
	if (text.n != KEY_N || !fare_key_looks_ours(text))
		return false;
	for (size_t i = MARK_N; i < KEY_N; i++)
		if (text.p[i] == '\0' || !strchr(base62, text.p[i]))
			return false;
	put_checksum(text.p, sum);
	return fare_secret_eq(sum, text.p + MARK_N + RANDOM_N, SUM_N);
}

/* Fetched once: a look-up per hash costs more than the hash. */
static EVP_MD *sha256;
static void fetch_sha256(void) { sha256 = EVP_MD_fetch(NULL, "SHA256", NULL); }

void fare_sha256_parts(const struct fare_sha256_part *parts, size_t count, struct fare_hash *out)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, fetch_sha256);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = sha256 && ctx && EVP_DigestInit_ex(ctx, sha256, NULL) == 1;
	for (size_t i = 0; ok && i < count; i++)
		ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
	ok = ok && EVP_DigestFinal_ex(ctx, out->b, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	if (!ok)
		fare_fatal("libcrypto cannot compute SHA-256");
}

void fare_sha256(const void *p, size_t n, struct fare_hash *out)
{
	fare_sha256_parts(&(struct fare_sha256_part){p, n}, 1, out);
}

void fare_hash_hex(const struct fare_hash *h, char out[FARE_HEX_HASH_N])
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < FARE_HASH_N; i++) {
		*out++ = hex[h->b[i] >> 4];
		*out++ = hex[h->b[i] & 15];
	}
	*out = '\0';
}

bool fare_hash_parse(struct fare_span text, struct fare_hash *out)
{
	struct fare_hash h;
	if (text.n != FARE_HEX_HASH_N - 1)
		return false;
	for (size_t i = 0; i < FARE_HASH_N; i++) {
		int high = fare_num_hex(text.p[2 * i]), low = fare_num_hex(text.p[2 * i + 1]);
		if (high < 0 || low < 0)
			return false;
		h.b[i] = (uint8_t)(high << 4 | low);
	}
	*out = h;
	return true;
}

bool fare_secret_eq(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }

void fare_wipe(void *p, size_t n) { OPENSSL_cleanse(p, n); }

/* Four bits at a time: the table is small, and nothing need be set up. */
uint32_t fare_crc32(const void *p, size_t n)
{
	static const uint32_t table[16] = {
		0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4, 0x4DB26158, 0x5005713C,
		0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C, 0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
	};
	const uint8_t *b = p;
	uint32_t crc = ~UINT32_C(0);
	for (size_t i = 0; i < n; i++) {
		crc ^= b[i];
		crc = crc >> 4 ^ table[crc & 15];
		crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}
