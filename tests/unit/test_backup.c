/* Backups: taken while money moves and logs go away, they recover to the books of a moment between their start and their end. */
#include "base/first.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "books_kit.h"
#include "base/fs.h"

enum { ACCOUNTS = 20, BATCH = 150, ROOM_BYTES = 4 << 20 };

static char home[KIT_PATH_N], copy[KIT_PATH_N + 16], store[KIT_PATH_N + 32];
static struct fare_books *b;
static atomic_bool stop;
static atomic_uint_fast64_t durable;

static int setup(void **state)
{
	(void)state;
	kit_home(home);
	snprintf(copy, sizeof copy, "%s/copy", home);
	snprintf(store, sizeof store, "%s/copy/store", home);
	b = kit_books(home);
	atomic_store(&stop, false);
	atomic_store(&durable, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fare_books_close(&b);
	kit_remove(home);
	return 0;
}

static void make_accounts(void)
{
	char name[16];
	for (unsigned i = 2; i <= ACCOUNTS; i++) {
		snprintf(name, sizeof name, "a%u", i);
		struct fare_op op = kit_account(name);
		assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	}
}

/* Each batch: one nano for some accounts. */
static void *write_on(void *arg)
{
	(void)arg;
	for (uint64_t n = 1; !atomic_load(&stop); n++) {
		assert_int_equal(fare_books_begin(b), 0);
		for (uint64_t i = 0; i < BATCH; i++) {
			struct fare_op op = kit_money((n * 7 + i) % ACCOUNTS + 1, 1, "", 1000);
			snprintf(op.u.post.note, sizeof op.u.post.note, "%0200llu", (unsigned long long)n);
			assert_int_equal(fare_books_apply(b, &op), 0);
			assert_int_equal(op.applied, FARE_APPLIED);
		}
		assert_int_equal(fare_books_commit(b), 0);
		atomic_store(&durable, n);
	}
	return NULL;
}

static void *checkpoint_on(void *arg)
{
	(void)arg;
	while (!atomic_load(&stop))
		assert_int_equal(fare_books_checkpoint(b), 0);
	return NULL;
}

static bool sum_balance(void *sum, const struct fare_account *a)
{
	*(int64_t *)sum += a->balance.nano;
	return true;
}

/* A copy is recovered, is clean, and has all that was durable when it began and nothing from after its end. */
static void check_copy(uint64_t least, uint64_t most)
{
	char error[FARE_ERROR_N];
	struct fare_verify v;
	struct fare_seal head;
	int64_t sum = 0;
	struct fare_books *c = fare_books_open_copy(copy, error);
	if (!c)
		fail_msg("%s", error);
	assert_int_equal(fare_books_verify(c, &v), 0);
	if (!v.ok)
		fail_msg("%s", v.first_fault);
	assert_int_equal(fare_books_head_seal(c, &head), 0);
	assert_in_range(head.number, least, most);
	assert_int_equal(fare_books_each_account(c, sum_balance, &sum), 0);
	assert_int_equal(sum, head.number * BATCH);
	fare_books_close(&c);
	kit_remove(copy);
}

static void test_under_load(void **state)
{
	(void)state;
	pthread_t writer, checkpointer;
	make_accounts();
	assert_int_equal(pthread_create(&writer, NULL, write_on, NULL), 0);
	assert_int_equal(pthread_create(&checkpointer, NULL, checkpoint_on, NULL), 0);
	for (unsigned round = 0; round < 3; round++) {
		while (atomic_load(&durable) < 20 * (round + 1))
			usleep(1000);
		assert_true(fare_mkdirs(copy, 0700));
		uint64_t least = atomic_load(&durable);
		assert_int_equal(fare_books_backup(b, store), 0);
		check_copy(least, atomic_load(&durable) + 1); /* one more may be committed, and not yet known to be durable */
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(writer, NULL), 0);
	assert_int_equal(pthread_join(checkpointer, NULL), 0);
}

static void test_fails_alone(void **state)
{
	(void)state;
	char error[FARE_ERROR_N] = "";
	struct fare_op op = kit_money(1, 5, "", 1000);
	assert_int_not_equal(fare_books_backup(b, "/proc/self/no-such-folder/store"), 0);
	assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	/* No room for the copy: its log is as long as a log may be, of the store's own only the beginning is written. */
	struct rlimit before, less;
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	less = (struct rlimit){.rlim_cur = ROOM_BYTES, .rlim_max = before.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
	int r = fare_books_backup(b, store);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_not_equal(r, 0);
	op = kit_money(1, 5, "", 1000);
	assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	kit_remove(copy);
	assert_null(fare_books_open_copy(copy, error));
	assert_non_null(strstr(error, "no store"));
}

/* Without its logs a copy is none. */
static void test_without_logs(void **state)
{
	(void)state;
	char file[KIT_PATH_N + 64], error[FARE_ERROR_N] = "";
	struct fare_verify v = {0};
	struct fare_op op = kit_money(1, 5, "", 1000);
	assert_int_equal(kit_one(b, &op), FARE_APPLIED);
	assert_true(fare_mkdirs(copy, 0700));
	assert_int_equal(fare_books_backup(b, store), 0);
	snprintf(file, sizeof file, "%s/log/log.0000000001", store);
	assert_int_equal(unlink(file), 0);
	struct fare_books *c = fare_books_open_copy(copy, error);
	assert_true(!c || fare_books_verify(c, &v) != 0 || !v.ok);
	fare_books_close(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_under_load, setup, teardown), cmocka_unit_test_setup_teardown(test_fails_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_logs, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
