/* Answers' files: read back as they were written by the worker whose meter is there, and nothing else is taken for one. */
#include "base/first.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

#include "base/fs.h"
#include "bank/answer.h"
#include "bank/meter.h"
#include "bank/server_inner.h"

static char run[] = "/tmp/farebox-answer.XXXXXX";
static const struct fare_id incarnation = {{1, 2, 3}}, call = {{9}};
static int meter_fd;
static struct fare_meter_slot *slots;

static void path_of(char out[FARE_PATH_N], const char *before)
{
	char name[FARE_ANSWER_NAME_N], id[FARE_ID_TEXT_N], worker[FARE_ID_TEXT_N];
	fare_id_text(call, id);
	fare_id_text(incarnation, worker);
	snprintf(name, sizeof name, "%sanswer.%s.%s", before, id, worker);
	assert_true(fare_path(out, FARE_PATH_N, run, name));
}

static int open_all(void **state)
{
	(void)state;
	slots = fare_meter_make(run, incarnation, 3, 1, &meter_fd);
	return !slots;
}

static int close_all(void **state)
{
	char name[FARE_METER_NAME_N], path[FARE_PATH_N];
	(void)state;
	fare_meter_unmap(slots, 1, &meter_fd);
	fare_meter_name(name, 3, incarnation);
	return !fare_path(path, sizeof path, run, name) || unlink(path) != 0;
}

static bool write_it(const char *head, const char *body) { return fare_answer_write(run, call, incarnation, fare_span_of(head), fare_span_of(body)); }

static void expect(const char *text, uint32_t n)
{
	char *bytes = fare_answer_read(run, call, incarnation, 3, n);
	if (!text) {
		assert_null(bytes);
		return;
	}
	assert_non_null(bytes);
	assert_memory_equal(bytes, text, n);
	free(bytes);
}

static void test_round_trip(void **state)
{
	char path[FARE_PATH_N];
	struct stat st;
	(void)state;
	expect(NULL, 5);
	assert_true(write_it("he", "llo"));
	path_of(path, "");
	assert_true(stat(path, &st) == 0 && (st.st_mode & 07777) == 0644);
	expect("hello", 5);
	expect(NULL, 4); /* another size than said */
	expect(NULL, 6);
	assert_null(fare_answer_read(run, call, incarnation, 4, 5)); /* no such worker */
	assert_null(fare_answer_read(run, call, call, 3, 5));
	assert_null(fare_answer_read(run, call, incarnation, 3, FARE_ANSWER_MAX + 1));
	assert_true(write_it("again", ""));
	expect("again", 5);
	fare_answer_remove(run, call, incarnation);
	expect(NULL, 5);
}

/* What a stranger could put in its place. */
static void test_odd(void **state)
{
	char path[FARE_PATH_N], other[FARE_PATH_N];
	(void)state;
	path_of(path, "");
	path_of(other, "new.");
	assert_true(write_it("hello", ""));
	assert_int_equal(rename(path, other), 0);
	assert_int_equal(symlink(other, path), 0);
	expect(NULL, 5);
	assert_false(write_it("x", "")); /* its other name is taken */
	assert_int_equal(unlink(other), 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	expect(NULL, 0);
	assert_int_equal(unlink(path), 0);
	if (geteuid() == 0) { /* else it cannot be given away */
		assert_true(write_it("hello", ""));
		assert_int_equal(chown(path, 65534, 65534), 0);
		expect(NULL, 5);
		fare_answer_remove(run, call, incarnation);
	}
	assert_false(fare_answer_write("/nowhere/at/all", call, incarnation, fare_span_of("a"), fare_span_of("b")));
}

static void test_names(void **state)
{
	struct fare_id a, b;
	char path[FARE_PATH_N];
	(void)state;
	path_of(path, "new.");
	assert_true(fare_answer_name_parse(strrchr(path, '/') + 1, &a, &b) && fare_id_eq(a, call) && fare_id_eq(b, incarnation));
	path_of(path, "");
	assert_true(fare_answer_name_parse(strrchr(path, '/') + 1, &a, &b) && fare_id_eq(a, call) && fare_id_eq(b, incarnation));
	assert_false(fare_answer_name_parse("answer.", &a, &b));
	assert_false(fare_answer_name_parse("answer.01020300-0000-0000-0000-000000000000", &a, &b));
	assert_false(fare_answer_name_parse("answer.01020300-0000-0000-0000-000000000000.x", &a, &b));
	assert_false(fare_answer_name_parse("meter.3.01020300-0000-0000-0000-000000000000", &a, &b));
}

/* Left over when its call has no hold, and its worker no connection. */
static void test_sweep(void **state)
{
	static struct fare_bank bank;
	static const struct fare_decider_out out = {0};
	static const uint8_t store[16];
	char path[FARE_PATH_N], error[FARE_ERROR_N];
	int connection;
	(void)state;
	path_of(path, "");
	assert_true(fare_span_copy(fare_span_of(run), bank.conf.run, sizeof bank.conf.run));
	fare_decider_init(&bank.d, &out);
	assert_true(fare_holds_open(&bank.d.holds, NULL, store, store, 4, error));
	struct fare_hello h = {.incarnation = incarnation, .worker_no = 3, .slots = 1};
	struct fare_worker *w = fare_decider_hello(&bank.d, &h);
	struct fare_hold *hold = fare_holds_take(&bank.d.holds);
	hold->call_id = call;
	fare_holds_write_live(hold);
	assert_true(write_it("hello", ""));
	fare_call_sweep(&bank);
	assert_int_equal(access(path, F_OK), 0);
	fare_holds_free(&bank.d.holds, hold);
	w->conn = &connection; /* the writer is about to remove it */
	fare_call_sweep(&bank);
	assert_int_equal(access(path, F_OK), 0);
	w->conn = NULL;
	fare_call_sweep(&bank);
	assert_int_not_equal(access(path, F_OK), 0);
	fare_decider_release(&bank.d);
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_all, close_all)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_round_trip), T(test_odd), T(test_names), T(test_sweep)};
	if (!mkdtemp(run))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return rmdir(run) != 0 || failed;
}
