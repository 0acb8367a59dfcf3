/* Meter files: what a worker writes is what the bank reads; what no worker writes is damaged; the lock tells the living from the dead. */
#include "base/first.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#include "bank/meter.h"
#include "bank/server_inner.h"

static char run[] = "/tmp/farebox-meter.XXXXXX";
static const struct fare_id incarnation = {{1, 2, 3}}, call = {{9}};

static void path_of(char out[FARE_PATH_N])
{
	char name[FARE_METER_NAME_N];
	fare_meter_name(name, 3, incarnation);
	assert_true(fare_path(out, FARE_PATH_N, run, name));
}

static void check_names(void **state)
{
	char name[FARE_METER_NAME_N];
	struct fare_id id;
	unsigned no;
	(void)state;
	fare_meter_name(name, 3, incarnation);
	assert_true(fare_meter_name_parse(name, &no, &id) && no == 3 && fare_id_eq(id, incarnation));
	assert_false(fare_meter_name_parse("meter.x.01020300-0000-0000-0000-000000000000", &no, &id));
	assert_false(fare_meter_name_parse("meter.3", &no, &id));
	assert_false(fare_meter_name_parse("holds", &no, &id));
}

static void check_round_trip(void **state)
{
	struct fare_meter_head head;
	struct fare_meter_reading r;
	char path[FARE_PATH_N];
	int fd;
	(void)state;
	struct fare_meter_slot *slots = fare_meter_make(run, incarnation, 3, 4, &fd);
	assert_non_null(slots);
	memcpy(slots[2].call_id, call.b, sizeof call.b);
	slots[2].state = FARE_METER_STREAMING;
	slots[2].received = 77;
	slots[2].prompt_text = 8;
	int bank = fare_meter_open(run, 3, incarnation, &head);
	assert_true(bank >= 0);
	assert_int_equal(head.slots, 4);
	assert_true(fare_meter_read(bank, 2, call, &r));
	assert_int_equal(r.state, FARE_METER_STREAMING);
	assert_int_equal(r.received, 77);
	assert_int_equal(r.prompt_text, 8);
	slots[2].input = 5;
	slots[2].flags = FARE_METER_REPORTED;
	slots[2].ending = FARE_TIMEOUT;
	slots[2].state = FARE_METER_FINAL;
	assert_true(fare_meter_read(bank, 2, call, &r));
	assert_int_equal(r.usage.input, 5);
	assert_int_equal(r.ending, FARE_TIMEOUT);
	/* Its lock is held while the worker lives; it is free when the last descriptor is closed. */
	assert_false(fare_meter_is_dead(bank));
	fare_meter_unmap(slots, 4, &fd);
	assert_true(fare_meter_is_dead(bank));
	close(bank);
	path_of(path);
	assert_int_equal(unlink(path), 0);
}

static void check_damage(void **state)
{
	static const struct fare_id other = {{8}};
	struct fare_meter_head head;
	struct fare_meter_reading r;
	char path[FARE_PATH_N];
	int fd;
	(void)state;
	struct fare_meter_slot *s = fare_meter_make(run, incarnation, 3, 2, &fd);
	assert_non_null(s);
	int bank = fare_meter_open(run, 3, incarnation, &head);
	memcpy(s[0].call_id, call.b, sizeof call.b);
	s[0].state = FARE_METER_IDLE;
	assert_true(fare_meter_read(bank, 0, call, &r));
	assert_false(fare_meter_read(bank, 0, other, &r)); /* another call than the hold's */
	assert_false(fare_meter_read(bank, 1, call, &r));  /* never used */
	assert_false(fare_meter_read(bank, 2, call, &r));  /* beyond the file */
	assert_false(fare_meter_read(-1, 0, call, &r));
	s[0].state = 5;
	assert_false(fare_meter_read(bank, 0, call, &r));
	s[0].state = FARE_METER_FINAL; /* without an ending */
	assert_false(fare_meter_read(bank, 0, call, &r));
	s[0].ending = FARE_COMPLETE;
	assert_true(fare_meter_read(bank, 0, call, &r));
	s[0].output = ((uint64_t)1 << FARE_TOKENS_MAX_LOG2) + 1;
	assert_false(fare_meter_read(bank, 0, call, &r));
	s[0].output = 0;
	s[0].flags = 64;
	assert_false(fare_meter_read(bank, 0, call, &r));
	close(bank);
	/* Cut short, of another boot, of another incarnation: no meter. */
	path_of(path);
	uint8_t boot = 0xFF;
	assert_int_equal(pwrite(fd, &boot, 1, offsetof(struct fare_meter_head, boot)), 1);
	boot = 0xFE;
	int again = fare_meter_open(run, 3, incarnation, &head);
	if (again >= 0) { /* the boot id began with that byte: take another */
		close(again);
		assert_int_equal(pwrite(fd, &boot, 1, offsetof(struct fare_meter_head, boot)), 1);
		again = fare_meter_open(run, 3, incarnation, &head);
	}
	assert_int_equal(again, -1);
	assert_int_equal(fare_meter_open(run, 3, call, &head), -1);
	assert_int_equal(truncate(path, 10), 0);
	assert_int_equal(fare_meter_open(run, 3, incarnation, &head), -1);
	close(fd);
	assert_int_equal(unlink(path), 0);
}

/* R1: a file that has its name has its lock, and a killed process gives it up. */
static void check_killed(void **state)
{
	struct fare_meter_head head;
	char path[FARE_PATH_N];
	int ready[2], fd, status;
	char c;
	(void)state;
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0) {
		if (fare_meter_make(run, incarnation, 3, 1, &fd) && write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	int bank = fare_meter_open(run, 3, incarnation, &head);
	assert_true(bank >= 0);
	assert_false(fare_meter_is_dead(bank));
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(fare_meter_is_dead(bank));
	close(bank);
	path_of(path);
	assert_int_equal(unlink(path), 0);
}

static bool no_meter(void *ctx, struct fare_worker *w, unsigned slot, struct fare_id id, struct fare_meter_reading *out)
{
	(void)ctx, (void)w, (void)slot, (void)id, (void)out;
	return false;
}

/* A bank that has no descriptor left cannot look at a meter: its worker is not dead for that. */
static void check_no_descriptor(void **state)
{
	static struct fare_bank b;
	static const struct fare_decider_out out = {.read_meter = no_meter};
	struct rlimit before, none;
	char path[FARE_PATH_N];
	int fd;
	(void)state;
	struct fare_meter_slot *slots = fare_meter_make(run, incarnation, 3, 1, &fd);
	assert_non_null(slots);
	assert_true(fare_span_copy(fare_span_of(run), b.conf.run, sizeof b.conf.run));
	fare_decider_init(&b.d, &out);
	struct fare_hello h = {.incarnation = incarnation, .worker_no = 3, .slots = 1};
	struct fare_worker *w = fare_decider_hello(&b.d, &h);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	fare_call_bury(&b);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_ptr_equal(fare_decider_worker(&b.d, incarnation), w);
	fare_meter_unmap(slots, 1, &fd);
	fare_call_bury(&b);
	assert_null(fare_decider_worker(&b.d, incarnation));
	fare_decider_release(&b.d);
	path_of(path);
	assert_int_not_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(check_names), cmocka_unit_test(check_round_trip), cmocka_unit_test(check_damage), cmocka_unit_test(check_killed), cmocka_unit_test(check_no_descriptor)};
	if (!mkdtemp(run))
		return 1;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	return rmdir(run) != 0 || failed;
}
