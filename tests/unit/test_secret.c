/* Keys and hashes. */
#include "base/first.h"

#include "base/secret.h"

#include "unit.h"

static void assert_hash(const struct fare_hash *h, const char *hex)
{
	char text[FARE_HEX_HASH_N];
	fare_hash_hex(h, text);
	assert_string_equal(text, hex);
}

/* FIPS 180-2, appendix B. */
static void test_sha256(void **state)
{
	static const char abc[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct fare_hash h;
	(void)state;
	fare_sha256("abc", 3, &h);
	assert_hash(&h, abc);
	fare_sha256(NULL, 0, &h);
	assert_hash(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	fare_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, &h);
	assert_hash(&h, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	const struct fare_sha256_part parts[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
	fare_sha256_parts(parts, FARE_ARRAY_N(parts), &h);
	assert_hash(&h, abc);
	fare_sha256_parts(NULL, 0, &h);
	assert_hash(&h, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_hash_parse(void **state)
{
	static const char hex[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
	struct fare_hash h, upper;
	(void)state;
	assert_true(fare_hash_parse(fare_span_of(hex), &h));
	assert_hash(&h, hex);
	assert_true(fare_hash_parse(fare_span_of("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"), &upper));
	assert_true(fare_secret_eq(h.b, upper.b, sizeof h.b));
	assert_false(fare_hash_parse(fare_span_at(hex, 63), &h));
	assert_false(fare_hash_parse(fare_span_of("ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), &h));
	assert_false(fare_hash_parse(fare_span_of(""), &h));
}

static void test_crc32(void **state)
{
	(void)state;
	assert_int_equal(fare_crc32("123456789", 9), 0xCBF43926);
	assert_int_equal(fare_crc32(NULL, 0), 0);
	assert_int_equal(fare_crc32("The quick brown fox jumps over the lazy dog", 43), 0x414FA339);
}

static void test_keys(void **state)
{
	char a[FARE_KEY_TEXT_N], b[FARE_KEY_TEXT_N], wrong[FARE_KEY_TEXT_N];
	(void)state;
	assert_true(fare_key_new(a));
	assert_true(fare_key_new(b));
	assert_int_equal(strlen(a), FARE_KEY_TEXT_N - 1);
	assert_string_not_equal(a, b);
	assert_true(fare_key_looks_ours(fare_span_of(a)));
	assert_true(fare_key_well_formed(fare_span_of(a)));
	for (size_t i = 0; i < FARE_KEY_TEXT_N - 1; i++) { /* any one character mistyped, or outside the alphabet */
		memcpy(wrong, a, sizeof wrong);
		wrong[i] = wrong[i] == 'x' ? 'y' : 'x';
		assert_false(fare_key_well_formed(fare_span_of(wrong)));
		wrong[i] = '-';
		assert_false(fare_key_well_formed(fare_span_of(wrong)));
		wrong[i] = '\0';
		assert_false(fare_key_well_formed(fare_span_at(wrong, FARE_KEY_TEXT_N - 1)));
	}
	assert_false(fare_key_well_formed(fare_span_at(a, FARE_KEY_TEXT_N - 2)));
	assert_false(fare_key_well_formed(fare_span_at(a, FARE_KEY_TEXT_N)));
	assert_false(fare_key_well_formed(fare_span_of("")));
	assert_false(fare_key_looks_ours(fare_span_of("sk-abc")));
	/* The form is a promise: a key issued once is well formed for ever. */
	assert_true(fare_key_well_formed(fare_span_of("fb_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf3KZdut")));
}

/* Each of the 43 characters takes many values: the whole number is used. */
static void test_keys_are_spread(void **state)
{
	unsigned char seen[FARE_KEY_TEXT_N][128] = {{0}};
	(void)state;
	for (int i = 0; i < 2000; i++) {
		char key[FARE_KEY_TEXT_N];
		assert_true(fare_key_new(key));
		for (size_t k = 0; k < FARE_KEY_TEXT_N - 1; k++)
			seen[k][(unsigned char)key[k]] = 1;
	}
	for (size_t k = 4; k < 46; k++) { /* the first character holds what is left of 256 bits */
		int values = 0;
		for (int c = 0; c < 128; c++)
			values += seen[k][c];
		assert_int_equal(values, 62);
	}
}

static void test_bytes(void **state)
{
	uint8_t a[64] = {0}, zero[64] = {0};
	(void)state;
	assert_true(fare_random(a, sizeof a));
	assert_memory_not_equal(a, zero, sizeof a);
	assert_true(fare_secret_eq(a, a, sizeof a));
	assert_false(fare_secret_eq(a, zero, sizeof a));
	assert_true(fare_secret_eq(a, zero, 0));
	fare_wipe(a, sizeof a);
	assert_memory_equal(a, zero, sizeof a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha256), cmocka_unit_test(test_hash_parse), cmocka_unit_test(test_crc32), cmocka_unit_test(test_keys), cmocka_unit_test(test_keys_are_spread), cmocka_unit_test(test_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
