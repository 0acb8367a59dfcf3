/*
 * A disk that is blocked, and one that fails. Blocked: calls of known keys are admitted until the slots run out, nothing is acknowledged meanwhile, then all of it is.
 * Failing: the bank ends at once without an acknowledgement; the next one charges what was under way, once. Needs a build with fault points; without them it is skipped.
 */
#include "base/first.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bank.h"
#include "bank/client.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"

enum { SLOTS = 6, SKIPPED = 77, WAIT_MS = 20000, QUIET_MS = 300 };

static struct test_bank bank;
static char fault_file[FARE_PATH_N], block_file[FARE_PATH_N];
static struct fare_hash key;
static unsigned voids; /* calls given up: an entry each */

static void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

static void set_fault(const char *rule) { TEST_MUST(fare_file_write(fault_file, rule, strlen(rule), 0600)); }

/* A call that is granted and has ended: its slot is the link's. False: no slot. */
static bool one_call(struct fare_link *link, uint64_t output)
{
	struct fare_admit ask = {.call_id = fare_id_new(), .key = key, .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 10};
	struct fare_admit_answer answer;
	struct fare_usage usage = {.output = output};
	int slot = fare_link_slot(link, ask.call_id);
	if (slot < 0)
		return false;
	TEST_MUST(test_admit(link, slot, &ask, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && answer.granted);
	fare_meter_sent(link, slot, 0);
	fare_meter_progress(link, slot, 1, 1);
	fare_meter_usage(link, slot, &usage, false);
	fare_meter_final(link, slot, FARE_COMPLETE);
	fare_link_settle(link, slot);
	return true;
}

static bool wait_idle(struct fare_link *link)
{
	uint64_t until = fare_clock_boot_ms() + WAIT_MS;
	while (fare_link_busy(link) && fare_clock_boot_ms() < until)
		sleep_ms(10);
	return fare_link_busy(link) == 0;
}

static void read_available(void *arg, const struct fare_json *j)
{
	char text[64];
	if (test_text(j, "available", text, sizeof text))
		*(int64_t *)arg = test_nano(j, "available");
}

static void count_call(void *arg, const struct fare_json *j)
{
	char kind[16];
	if (test_text(j, "kind", kind, sizeof kind) && strcmp(kind, "call") == 0)
		(*(unsigned *)arg)++;
}

static void must_have(int64_t available, unsigned calls)
{
	int64_t got = -1;
	unsigned entries = 0;
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"balance\", \"name\": \"a\"}", read_available, &got));
	TEST_MUST(got == available);
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"ledger\", \"name\": \"a\"}", count_call, &entries));
	TEST_MUST(entries == calls);
}

static void check_blocked(struct fare_link *link)
{
	char rule[FARE_PATH_N + 64];
	unsigned n = 0;
	int64_t got = -1;
	snprintf(rule, sizeof rule, "store_flush:hold=%s@*", block_file);
	TEST_MUST(fare_file_write(block_file, "", 0, 0600));
	set_fault(rule);
	while (one_call(link, 1))
		n++;
	TEST_MUST(n == SLOTS);
	sleep_ms(QUIET_MS);
	TEST_MUST(fare_link_busy(link) == SLOTS); /* nothing is acknowledged */
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"balance\", \"name\": \"a\"}", read_available, &got));
	TEST_MUST(got == 1000 - SLOTS); /* and yet decided */
	TEST_MUST(unlink(block_file) == 0);
	set_fault("");
	TEST_MUST(wait_idle(link));
	must_have(1000 - SLOTS, SLOTS);
}

/* Each call here costs 2; the bank fails at its settlement and the next one posts it. */
static void check_failing(struct fare_link *link, const char *point, int64_t available, unsigned calls)
{
	char rule[64];
	long before = test_bank_pid(&bank);
	snprintf(rule, sizeof rule, "%s:fail", point);
	set_fault(rule);
	TEST_MUST(one_call(link, 2));
	uint64_t until = fare_clock_boot_ms() + WAIT_MS;
	while (fare_bank_try(&bank.conf) >= 0 && fare_clock_boot_ms() < until)
		sleep_ms(10);
	TEST_MUST(fare_link_busy(link) == 1); /* no acknowledgement left */
	set_fault("");
	TEST_MUST(test_bank_pid(&bank) != before);
	TEST_MUST(wait_idle(link));
	must_have(available, calls);
}

static void read_clean(void *arg, const struct fare_json *j)
{
	const struct fare_json_node *ok = fare_json_member(j, fare_json_root(j), "ok_books");
	if (ok)
		*(bool *)arg = ok->kind == FARE_JSON_TRUE;
}

static ino_t meta_file(void)
{
	char path[FARE_PATH_N];
	struct stat st;
	TEST_MUST(fare_path(path, sizeof path, bank.home, "store/meta.db") && stat(path, &st) == 0);
	return st.st_ino;
}

static bool is_marked(const char *folder)
{
	char path[FARE_PATH_N];
	TEST_MUST(fare_path(path, sizeof path, folder, "UNSYNCED"));
	return access(path, F_OK) == 0;
}

/* The bank that meets it ends; the next one trusts no file of before, and says so. */
static void check_sync(struct fare_link *link, int64_t available, unsigned calls)
{
	char store[FARE_PATH_N];
	ino_t before = meta_file();
	TEST_MUST(fare_path(store, sizeof store, bank.home, "store"));
	check_failing(link, "store_sync", available, calls);
	TEST_MUST(meta_file() != before && !is_marked(store) && !is_marked(bank.conf.run));
}

static void set_reserve(const char *bytes)
{
	char path[FARE_PATH_N], text[64];
	int n = snprintf(text, sizeof text, "{\"store_reserve_bytes\": %s}", bytes);
	TEST_MUST(fare_path(path, sizeof path, bank.home, "farebox.json") && fare_file_write(path, text, (size_t)n, 0600));
	test_bank_must(&bank, "{\"op\": \"reload\"}");
}

static enum fare_refused asked(struct fare_link *link)
{
	struct fare_admit ask = {.call_id = fare_id_new(), .key = key, .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 10};
	struct fare_admit_answer answer;
	int slot = fare_link_slot(link, ask.call_id);
	TEST_MUST(slot >= 0 && test_admit(link, slot, &ask, &answer, WAIT_MS) == FARE_ASKED_ANSWERED);
	if (answer.granted) {
		fare_link_void(link, slot);
		voids++;
	}
	return answer.granted ? FARE_REFUSED_NONE : answer.refused;
}

static void read_state(void *arg, const struct fare_json *j)
{
	const struct fare_json_node *disk = fare_json_member(j, fare_json_root(j), "disk");
	if (disk)
		*(bool *)arg = fare_json_string_is(j, fare_json_member(j, disk, "room"), "full");
}

static bool wait_asked(struct fare_link *link, enum fare_refused want)
{
	uint64_t until = fare_clock_boot_ms() + WAIT_MS;
	while (asked(link) != want)
		if (fare_clock_boot_ms() > until)
			return false;
		else
			sleep_ms(100);
	return true;
}

/* No disk has so much room: what runs ends, nothing new begins, what takes rights away is done. */
static void check_reserve(struct fare_link *link, int64_t available, unsigned calls)
{
	bool full = false;
	struct fare_admit ask = {.call_id = fare_id_new(), .key = key, .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 10};
	struct fare_admit_answer answer;
	struct fare_usage usage = {.output = 3};
	int slot = fare_link_slot(link, ask.call_id);
	TEST_MUST(test_admit(link, slot, &ask, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && answer.granted);
	set_reserve("1099511627776");
	TEST_MUST(wait_asked(link, FARE_STORE_FULL));
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"status\"}", read_state, &full) && full);
	TEST_MUST(!test_bank_ask(&bank, "{\"op\": \"credit\", \"name\": \"a\", \"amount\": \"1\"}", NULL, NULL));
	test_bank_must(&bank, "{\"op\": \"account.close\", \"name\": \"a\"}");
	test_bank_must(&bank, "{\"op\": \"account.reopen\", \"name\": \"a\"}");
	fare_meter_sent(link, slot, 0);
	fare_meter_progress(link, slot, 1, 1);
	fare_meter_usage(link, slot, &usage, false);
	fare_meter_final(link, slot, FARE_COMPLETE);
	fare_link_settle(link, slot);
	TEST_MUST(wait_idle(link));
	must_have(available - 3, calls + 1 + voids);
	set_reserve("0");
	TEST_MUST(wait_asked(link, FARE_REFUSED_NONE) && wait_idle(link));
}

/* No bank, and none comes: who asks is told so, and no slot is lost; the next bank finds the link as it was. */
static void check_no_bank(struct fare_link *link)
{
	struct fare_admit ask = {.key = key, .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 10};
	struct fare_admit_answer answer;
	test_bank_kill(&bank);
	while (fare_link_connected(link))
		sleep_ms(5);
	for (int i = 0; i < 3; i++) {
		ask.call_id = fare_id_new();
		int slot = fare_link_slot(link, ask.call_id);
		TEST_MUST(slot >= 0 && test_admit(link, slot, &ask, &answer, 1000 * WAIT_MS) == FARE_ASKED_TIMEOUT);
		TEST_MUST(fare_link_busy(link) == 0);
	}
	TEST_MUST(fare_link_down(link));
	TEST_MUST(fare_link_check(link, &ask, &answer, 1000 * WAIT_MS) == FARE_ASKED_TIMEOUT);
	TEST_MUST(test_bank_pid(&bank) > 0);
	while (fare_link_down(link))
		sleep_ms(5);
	TEST_MUST(asked(link) == FARE_REFUSED_NONE);
}

static void set_up(void)
{
	char hex[FARE_HEX_HASH_N];
	test_bank_new(&bank);
	TEST_MUST(fare_path(fault_file, sizeof fault_file, bank.home, "faults") && fare_path(block_file, sizeof block_file, bank.home, "blocked"));
	TEST_MUST(setenv("FAREBOX_FAULT_FILE", fault_file, 1) == 0);
	fare_sha256("k", 1, &key);
	fare_hash_hex(&key, hex);
	test_bank_must(&bank, "{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"openai\", \"base_url\": \"http://127.0.0.1:1/v1\"}");
	test_bank_must(&bank, "{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"0\", \"output\": \"0.001\"}");
	test_bank_must(&bank, "{\"op\": \"account.create\", \"name\": \"a\"}");
	test_bank_must(&bank, "{\"op\": \"credit\", \"name\": \"a\", \"amount\": \"0.000001\"}");
	test_bank_must(&bank, "{\"op\": \"key.import\", \"account\": \"a\", \"sha256\": \"%s\"}", hex);
}

int main(void)
{
	char error[FARE_ERROR_N];
	bool clean = false;
#ifndef FARE_FAULTS
	return SKIPPED;
#endif
	set_up();
	struct fare_link *link = fare_link_new(bank.conf.run, 1, SLOTS, NULL, error);
	TEST_MUST(link);
	check_blocked(link);
	check_failing(link, "store_commit", 1000 - SLOTS - 2, SLOTS + 1);
	check_failing(link, "store_flush", 1000 - SLOTS - 4, SLOTS + 2);
	check_failing(link, "store_write_failed", 1000 - SLOTS - 6, SLOTS + 3);
	check_sync(link, 1000 - SLOTS - 8, SLOTS + 4);
	check_reserve(link, 1000 - SLOTS - 8, SLOTS + 4);
	check_no_bank(link);
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"verify\"}", read_clean, &clean) && clean);
	TEST_MUST(fare_link_drain(link, WAIT_MS));
	fare_link_free(&link);
	test_bank_must(&bank, "{\"op\": \"stop\"}");
	test_bank_remove(&bank);
	printf("blocked: %d slots; failing: commit, flush, write, fsync; no room; no bank\n", SLOTS);
	return 0;
}
