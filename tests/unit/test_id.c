/* Call ids: form, order, no two alike, also from several threads. */
#include "base/first.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/num.h"

#include "unit.h"

enum { THREADS = 4, EACH = 20000 };

static struct fare_id made[THREADS][EACH];

static void *make(void *arg)
{
	struct fare_id *ids = arg;
	for (int i = 0; i < EACH; i++)
		ids[i] = fare_id_new();
	return NULL;
}

static int compare(const void *a, const void *b) { return fare_id_cmp(*(const struct fare_id *)a, *(const struct fare_id *)b); }

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	for (int t = 0; t < THREADS; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, make, made[t]), 0);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
	for (int t = 0; t < THREADS; t++)
		for (int i = 1; i < EACH; i++)
			assert_true(fare_id_cmp(made[t][i - 1], made[t][i]) < 0);
	struct fare_id *all = &made[0][0];
	qsort(all, THREADS * EACH, sizeof *all, compare);
	for (int i = 1; i < THREADS * EACH; i++)
		assert_true(memcmp(all[i - 1].b, all[i].b, 8) != 0); /* time and count alone differ within a process */
}

static void test_form(void **state)
{
	(void)state;
	uint64_t before = fare_clock_wall_ms();
	struct fare_id id = fare_id_new();
	uint64_t ms = fare_get_u64(id.b) >> 16;
	assert_int_equal(id.b[6] >> 4, 7);
	assert_int_equal(id.b[8] >> 6, 2);
	assert_true(ms >= before && ms < before + 3600000);
}

static void test_text(void **state)
{
	static const char text[] = "01890a5d-ac96-774b-bcce-b302099a8057";
	static const char *const bad[] = {
		"", "01890a5d-ac96-774b-bcce-b302099a805", "01890a5d-ac96-774b-bcce-b302099a80577", "01890a5dac96774bbcceb302099a8057", "01890a5d-ac96-774b-bcce_b302099a8057",
		"01890a5d-ac96-774b-bcce-b302099a805g", "0189-0a5dac96-774b-bcce-b302099a8057", "{1890a5d-ac96-774b-bcce-b302099a805}", " 1890a5d-ac96-774b-bcce-b302099a8057",
	};
	char out[FARE_ID_TEXT_N];
	struct fare_id id, upper, zero = {{0}};
	(void)state;
	assert_true(fare_id_parse(fare_span_of(text), &id));
	assert_int_equal(id.b[0], 0x01);
	assert_int_equal(id.b[15], 0x57);
	fare_id_text(id, out);
	assert_string_equal(out, text);
	assert_true(fare_id_parse(fare_span_of("01890A5D-AC96-774B-BCCE-B302099A8057"), &upper));
	assert_true(fare_id_eq(id, upper));
	for (size_t i = 0; i < FARE_ARRAY_N(bad); i++)
		assert_false(fare_id_parse(fare_span_of(bad[i]), &zero));
	assert_true(fare_id_is_zero(zero));
	assert_false(fare_id_is_zero(id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads), cmocka_unit_test(test_form), cmocka_unit_test(test_text)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
