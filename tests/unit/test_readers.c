/* The readers' threads: neither scans nor quick reads keep the others waiting. */
#include "base/first.h"

#include <semaphore.h>
#include <unistd.h>

#include "bank/server_inner.h"

#include "unit.h"

enum { MANY = 4 * FARE_READERS_N, STUCK_S = 20 /* a test that hangs fails */ };

static struct fare_bank bank;
static sem_t taken, gate, done;
static unsigned came_back;

static void hold_a_thread(struct fare_reading *r)
{
	(void)r;
	sem_post(&taken);
	sem_wait(&gate);
}

static void wait_for_it(struct fare_reading *r)
{
	(void)r;
	sem_wait(&done);
	sem_post(&done);
}

static void be_done(struct fare_reading *r)
{
	(void)r;
	sem_post(&done);
}

static void back(struct fare_reading *r)
{
	if (++came_back == MANY + 1)
		fare_loop_stop(r->bank->loop);
}

/* Of one kind so many that each thread would have one, and each waits for the one of the other kind, which comes after them. */
static void check_kind(bool quick)
{
	struct fare_reading many[MANY], one = {.read = be_done, .back = back, .quick = !quick};
	unsigned threads = quick ? FARE_READERS_N : FARE_READERS_N - 1;
	came_back = 0;
	bank = (struct fare_bank){.loop = fare_loop_new()};
	assert_true(sem_init(&taken, 0, 0) == 0 && sem_init(&gate, 0, 0) == 0 && sem_init(&done, 0, 0) == 0);
	fare_readers_start(&bank);
	alarm(STUCK_S);
	for (size_t i = 0; i < MANY; i++)
		many[i] = (struct fare_reading){.read = i < threads ? hold_a_thread : wait_for_it, .back = back, .quick = quick};
	for (size_t i = 0; i < threads; i++)
		fare_read(&bank, &many[i]);
	for (size_t i = 0; i < threads; i++)
		sem_wait(&taken);
	for (size_t i = threads; i < MANY; i++)
		fare_read(&bank, &many[i]);
	fare_read(&bank, &one);
	for (size_t i = 0; i < threads; i++)
		sem_post(&gate);
	fare_loop_run(bank.loop);
	alarm(0);
	assert_int_equal(bank.readers.busy, 0);
	fare_readers_stop(&bank);
	fare_loop_free(&bank.loop);
}

static void test_scans_behind_quick_ones(void **state)
{
	(void)state;
	check_kind(true);
}

static void test_quick_ones_behind_scans(void **state)
{
	(void)state;
	check_kind(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_scans_behind_quick_ones), cmocka_unit_test(test_quick_ones_behind_scans)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
