/* The holds file: records survive, their state word decides, and what is of another store or boot is set aside. */
#include "base/first.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "bank/holds.h"
#include "base/fs.h"
#include "base/log.h"

enum { COUNT = 4 };
static char dir[] = "/tmp/farebox-holds.XXXXXX";
static char path[FARE_PATH_N];
static const uint8_t store[16] = {1}, other[16] = {2};

static unsigned files(bool remove)
{
	DIR *d = opendir(dir);
	unsigned n = 0;
	for (struct dirent *e; (e = readdir(d));) {
		char name[FARE_PATH_N];
		if (e->d_name[0] == '.')
			continue;
		n++;
		assert_true(fare_path(name, sizeof name, dir, e->d_name));
		if (remove)
			unlink(name);
	}
	closedir(d);
	return n;
}

static int clear(void **state)
{
	(void)state;
	files(true);
	return 0;
}

static bool open_holds(struct fare_holds *h, const uint8_t s[16], const uint8_t epoch[16])
{
	char error[FARE_ERROR_N];
	bool fresh = !fare_holds_are_there(path, s, epoch, COUNT);
	assert_true(fare_holds_open(h, path, s, epoch, COUNT, error));
	return fresh;
}

/* A file that stands where the bank makes its own, kept open by who made it: he must not have the holds in his hands. */
static void check_planted(void **state)
{
	char planted_path[FARE_PATH_N + 8];
	struct stat planted, made;
	struct fare_holds h;
	(void)state;
	snprintf(planted_path, sizeof planted_path, "%s.new", path);
	int fd = open(planted_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0 && fstat(fd, &planted) == 0);
	assert_true(open_holds(&h, store, store));
	assert_int_equal(stat(path, &made), 0);
	assert_int_not_equal(made.st_ino, planted.st_ino);
	close(fd);
	fare_holds_close(&h);
	/* A holds file that others can write is no holds file. */
	assert_int_equal(chmod(path, 0666), 0);
	assert_true(open_holds(&h, store, store));
	fare_holds_close(&h);
	assert_false(open_holds(&h, store, store));
	fare_holds_close(&h);
}

static void check_survives(void **state)
{
	struct fare_holds h;
	(void)state;
	assert_true(open_holds(&h, store, store));
	struct fare_hold *a = fare_holds_take(&h), *b = fare_holds_take(&h), *cut = fare_holds_take(&h);
	a->hold_nano = 5;
	fare_holds_write_live(a);
	b->amount_nano = 3;
	fare_holds_write_live(b);
	fare_holds_write_decided(b);
	cut->hold_nano = 9; /* no state word: no hold */
	assert_int_equal(h.used, 3);
	fare_holds_close(&h); /* as if killed: nothing is flushed or finished */
	assert_false(open_holds(&h, store, store));
	assert_int_equal(h.used, 2);
	unsigned live = 0, decided = 0;
	for (uint32_t i = 0; i < h.count; i++) {
		uint64_t state_word = atomic_load(&h.records[i].state);
		live += state_word == FARE_HOLD_LIVE && h.records[i].hold_nano == 5;
		decided += state_word == FARE_HOLD_DECIDED && h.records[i].amount_nano == 3;
	}
	assert_int_equal(live, 1);
	assert_int_equal(decided, 1);
	assert_non_null(fare_holds_take(&h));
	assert_non_null(fare_holds_take(&h));
	assert_null(fare_holds_take(&h));
	fare_holds_close(&h);
}

static void check_freed(void **state)
{
	struct fare_holds h;
	struct fare_hold *r[COUNT];
	(void)state;
	open_holds(&h, store, store);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < COUNT; i++) {
			r[i] = fare_holds_take(&h);
			assert_non_null(r[i]);
			for (int k = 0; k < i; k++)
				assert_ptr_not_equal(r[k], r[i]);
			fare_holds_write_live(r[i]);
		}
		assert_null(fare_holds_take(&h));
		for (int i = 0; i < COUNT; i++)
			fare_holds_free(&h, r[(i + round) % COUNT]);
		assert_int_equal(h.used, 0);
	}
	fare_holds_close(&h);
}

static void check_foreign(void **state)
{
	struct fare_holds h;
	(void)state;
	open_holds(&h, store, store);
	fare_holds_write_live(fare_holds_take(&h));
	fare_holds_close(&h);
	/* Another epoch: a restored store must not pay for the calls of the one before. */
	assert_true(open_holds(&h, store, other));
	assert_int_equal(h.used, 0);
	fare_holds_close(&h);
	assert_int_equal(files(false), 2);
	assert_true(open_holds(&h, other, other));
	assert_int_equal(h.used, 0);
	fare_holds_close(&h);
}

static void check_cut_short(void **state)
{
	struct fare_holds h;
	(void)state;
	open_holds(&h, store, store);
	fare_holds_close(&h);
	assert_int_equal(truncate(path, 300), 0);
	assert_true(open_holds(&h, store, store));
	assert_int_equal(h.used, 0);
	fare_holds_close(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup(check_survives, clear), cmocka_unit_test_setup(check_planted, clear), cmocka_unit_test_setup(check_freed, clear), cmocka_unit_test_setup(check_foreign, clear),
		cmocka_unit_test_setup(check_cut_short, clear)};
	fare_log_level(FARE_ALARM);
	if (!mkdtemp(dir) || !fare_path(path, sizeof path, dir, "holds"))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	files(true);
	return rmdir(dir) != 0 || failed;
}
