/* Board and catalogue: what the bank publishes is what workers see, also while they hold an older one. */
#include "base/first.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "bank/board.h"
#include "base/fs.h"

static char run[] = "/tmp/farebox-board.XXXXXX";
static const uint8_t store[16] = {1};

static void remove_all(void)
{
	DIR *d = opendir(run);
	for (struct dirent *e; (e = readdir(d));) {
		char path[FARE_PATH_N];
		if (e->d_name[0] != '.' && fare_path(path, sizeof path, run, e->d_name))
			unlink(path);
	}
	closedir(d);
}

static void check_publish(void **state)
{
	char error[FARE_ERROR_N];
	const struct fare_catalog_item items[] = {{"a", "p", 1}, {"ab", "q", 2}, {"b", "p", 3}};
	struct fare_catalog_item got;
	(void)state;
	struct fare_catalogs *c = fare_catalogs_new(run);
	assert_null(fare_catalog_get(c)); /* no bank yet */
	struct fare_board *b = fare_board_open(run, store, store, error);
	assert_non_null(b);
	assert_null(fare_catalog_get(c));
	assert_true(fare_board_publish(b, items, 3));
	const struct fare_catalog *first = fare_catalog_get(c);
	assert_non_null(first);
	assert_int_equal(fare_catalog_count(first), 3);
	assert_true(fare_catalog_find(first, fare_span_of("ab"), &got));
	assert_string_equal(got.owner, "q");
	assert_int_equal(got.created_ms, 2);
	assert_false(fare_catalog_find(first, fare_span_of("aa"), &got));
	assert_false(fare_catalog_find(first, fare_span_of("abc"), &got));
	assert_false(fare_catalog_find(first, fare_span_of(""), &got));
	assert_false(fare_catalog_item(first, 3, &got));
	/* Some generations later, with the file of the first one gone. */
	for (int i = 0; i < 4; i++)
		assert_true(fare_board_publish(b, items, 1));
	const struct fare_catalog *now = fare_catalog_get(c);
	assert_ptr_not_equal(now, first);
	assert_int_equal(fare_catalog_count(now), 1);
	assert_true(fare_catalog_item(first, 2, &got));
	assert_string_equal(got.name, "b");
	fare_catalog_put(c, first);
	fare_catalog_put(c, now);
	/* The next bank goes on counting, on the same board. */
	fare_board_close(&b);
	b = fare_board_open(run, store, store, error);
	assert_true(fare_board_publish(b, items, 2));
	now = fare_catalog_get(c);
	assert_int_equal(fare_catalog_count(now), 2);
	fare_catalog_put(c, now);
	fare_catalogs_free(&c);
	fare_board_close(&b);
	remove_all();
}

/* Files that stand where the bank is about to make its own, kept open by who made them: the bank's are others. */
static void check_planted(void **state)
{
	static const char *const names[] = {"board", "catalog.1.new"};
	char path[FARE_PATH_N], error[FARE_ERROR_N];
	const struct fare_catalog_item items[] = {{"a", "p", 1}};
	struct stat planted[FARE_ARRAY_N(names)], made;
	int fds[FARE_ARRAY_N(names)];
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(names); i++) {
		assert_true(fare_path(path, sizeof path, run, names[i]));
		fds[i] = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		assert_true(fds[i] >= 0 && fchmod(fds[i], 0666) == 0 && fstat(fds[i], &planted[i]) == 0);
	}
	struct fare_board *b = fare_board_open(run, store, store, error);
	assert_non_null(b);
	assert_true(fare_board_publish(b, items, 1));
	for (size_t i = 0; i < FARE_ARRAY_N(names); i++) {
		assert_true(fare_path(path, sizeof path, run, i == 0 ? "board" : "catalog.1"));
		assert_int_equal(stat(path, &made), 0);
		assert_int_not_equal(made.st_ino, planted[i].st_ino);
		close(fds[i]);
	}
	fare_board_close(&b);
	remove_all();
}

static void check_damaged(void **state)
{
	char error[FARE_ERROR_N], path[FARE_PATH_N];
	const struct fare_catalog_item items[] = {{"a", "p", 1}};
	struct stat st;
	(void)state;
	struct fare_board *b = fare_board_open(run, store, store, error);
	assert_true(fare_board_publish(b, items, 1));
	snprintf(path, sizeof path, "%s/catalog.1", run);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	assert_int_equal(truncate(path, st.st_size - 1), 0); /* the last text has no end */
	struct fare_catalogs *c = fare_catalogs_new(run);
	assert_null(fare_catalog_get(c));
	assert_true(fare_board_publish(b, items, 0));
	const struct fare_catalog *k = fare_catalog_get(c);
	assert_non_null(k);
	assert_int_equal(fare_catalog_count(k), 0);
	fare_catalog_put(c, k);
	fare_catalogs_free(&c);
	fare_board_close(&b);
	remove_all();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(check_publish), cmocka_unit_test(check_planted), cmocka_unit_test(check_damaged)};
	if (!mkdtemp(run))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return rmdir(run) != 0 || failed;
}
