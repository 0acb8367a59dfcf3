/*
 * A real bank and workers that run calls without an upstream, all of them killed at random, and struck at the fault points, for some seconds. Then: every call that was
 * granted has exactly one entry, at the price its meter allows; half of them are streams whose holds grow; no hold is left; every balance is its ledger's sum and not below zero; verify finds nothing.
 * The seed is printed; FAREBOX_TEST_SEED repeats it (the kernel's order of things is not repeated).
 */
#include "base/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bank.h"
#include "bank/client.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/num.h"
#include "base/secret.h"

enum { WORKERS = 3, DOORMEN = 8, SLOTS = 12, ACCOUNTS = 4, CALLS_MAX = 400000, CHAOS_MS = 12000, SETTLE_MS = 30000, LATE_MS = 25000 };
enum { INPUT_TOKENS = 100, OUTPUT_BOUND = 200, STREAM_HOLD = 20, STEP_TOKENS = 5 };

/* What a worker says of a call, in memory that outlives it. The stage is stored before what it names is done or after, as written. */
enum stage { ASKED = 1 /* before admit */, GRANTED /* after */, GAVE_UP /* before void */, SENT /* before */, FINAL /* after */ };
struct call {
	struct fare_id id;
	_Atomic int stage;
	bool reported; /* usage was given to the meter before FINAL */
	struct fare_usage usage;
	int entries;
	int64_t charged;
};
struct shared {
	_Atomic size_t count;
	_Atomic int stop;
	struct call calls[CALLS_MAX];
};

static struct shared *shared;
static struct test_bank bank;
static const struct fare_price price = {.input = 150000000, .output = 600000000, .cache_read = -1, .cache_write = -1, .per_call = 7};

static void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

static void key_of(unsigned account, struct fare_hash *out)
{
	char text[32];
	int n = snprintf(text, sizeof text, "test-key-%u", account);
	fare_sha256(text, (size_t)n, out);
}

/* ---- A worker */

struct doorman { struct fare_link *link; unsigned seed; pthread_t thread; };

static unsigned dice(unsigned *seed, unsigned sides) { return (unsigned)rand_r(seed) % sides; }

/* A stream must not go on beyond what is held. False: it ends here. */
static bool held_for(struct doorman *d, int slot, uint64_t tokens, uint64_t *held)
{
	struct fare_extended e;
	unsigned patience_ms = dice(&d->seed, 10) == 0 ? dice(&d->seed, 3) : 5000;
	if (tokens <= *held && dice(&d->seed, 4))
		return true;
	if (*held < OUTPUT_BOUND && test_extend(d->link, slot, *held + STREAM_HOLD, &e, patience_ms) == FARE_ASKED_ANSWERED && e.held_output > *held)
		*held = e.held_output;
	return tokens <= *held;
}

static void run_call(struct doorman *d, int slot, struct call *c, uint64_t held)
{
	uint64_t received = 0, text = 0;
	bool dry = false;
	atomic_store(&c->stage, SENT);
	fare_meter_sent(d->link, slot, 4 * INPUT_TOKENS);
	for (unsigned n = dice(&d->seed, 12); n > 0; n--) {
		dry = !held_for(d, slot, text / 4 + STEP_TOKENS, &held);
		if (dry)
			break;
		received += 100;
		text += 4 * STEP_TOKENS;
		fare_meter_progress(d->link, slot, received, text);
		if (dice(&d->seed, 4) == 0)
			sleep_ms(dice(&d->seed, 5));
	}
	if (received && !dry && dice(&d->seed, 4)) {
		c->usage = (struct fare_usage){.input = INPUT_TOKENS / 2 + dice(&d->seed, INPUT_TOKENS / 2), .output = dice(&d->seed, (unsigned)held)};
		c->reported = true;
		fare_meter_usage(d->link, slot, &c->usage, false);
	} else if (received) {
		c->usage = (struct fare_usage){.input = INPUT_TOKENS, .output = text / 4};
		c->reported = true;
	}
	fare_meter_final(d->link, slot, dry ? FARE_BALANCE_END : FARE_COMPLETE);
	atomic_store(&c->stage, FINAL);
	fare_link_settle(d->link, slot);
}

static void one_call(struct doorman *d)
{
	struct fare_admit ask = {.call_id = fare_id_new(), .endpoint = FARE_CHAT, .model = "m", .prompt_bytes = 2 * INPUT_TOKENS, .text_bytes = 4 * INPUT_TOKENS, .choices = 1, .bound = OUTPUT_BOUND};
	struct fare_admit_answer answer;
	size_t at = atomic_fetch_add(&shared->count, 1);
	TEST_MUST(at < CALLS_MAX);
	struct call *c = &shared->calls[at];
	ask.stream = dice(&d->seed, 2);
	if (ask.stream)
		strcpy(ask.model, "g");
	key_of(dice(&d->seed, ACCOUNTS), &ask.key);
	c->id = ask.call_id;
	int slot = fare_link_slot(d->link, ask.call_id);
	if (slot < 0) {
		sleep_ms(1 + dice(&d->seed, 5));
		return;
	}
	atomic_store(&c->stage, ASKED);
	unsigned patience_ms = dice(&d->seed, 10) == 0 ? dice(&d->seed, 3) : 5000;
	if (test_admit(d->link, slot, &ask, &answer, patience_ms) != FARE_ASKED_ANSWERED)
		return;
	if (!answer.granted) {
		TEST_MUST(answer.refused == FARE_BALANCE_TOO_LOW);
		sleep_ms(1);
		return;
	}
	atomic_store(&c->stage, GRANTED);
	if (dice(&d->seed, 10) == 0) {
		atomic_store(&c->stage, GAVE_UP);
		fare_link_void(d->link, slot);
	} else {
		run_call(d, slot, c, answer.grant.held_output ? answer.grant.held_output : OUTPUT_BOUND);
	}
}

static void *doorman_run(void *arg)
{
	while (!atomic_load(&shared->stop))
		one_call(arg);
	return NULL;
}

static void worker_main(unsigned no, unsigned seed)
{
	char error[FARE_ERROR_N];
	struct doorman doormen[DOORMEN];
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves nobody behind */
	fare_log_role("worker");
	fare_log_level(FARE_ALARM); /* fault points tell each pass */
	struct fare_link *link = fare_link_new(bank.conf.run, no, SLOTS, NULL, error);
	if (!link)
		fare_fatal("%s", error);
	for (unsigned i = 0; i < DOORMEN; i++) {
		doormen[i] = (struct doorman){.link = link, .seed = seed * 100 + i};
		TEST_MUST(pthread_create(&doormen[i].thread, NULL, doorman_run, &doormen[i]) == 0);
	}
	for (unsigned i = 0; i < DOORMEN; i++)
		pthread_join(doormen[i].thread, NULL);
	bool drained = fare_link_drain(link, SETTLE_MS);
	if (!drained)
		fprintf(stderr, "# worker %u: %u slots are still waiting\n", no, fare_link_busy(link));
	fare_link_free(&link);
	_exit(drained ? 0 : 1);
}

static pid_t worker_start(unsigned no, unsigned seed)
{
	fflush(NULL);
	pid_t pid = fork();
	TEST_MUST(pid >= 0);
	if (pid == 0)
		worker_main(no, seed);
	return pid;
}

/* ---- Trouble */

static void strike(const char *file, unsigned *seed)
{
	static const char *const points[] = {"bank_after_hold", "bank_after_extend", "bank_after_decide", "bank_before_ack", "worker_after_admit", "worker_before_sent", "worker_after_sent", "worker_mid_stream",
		"worker_before_settle", "store_commit", "store_flush"};
	char rule[64];
	int n = snprintf(rule, sizeof rule, "%s:kill@%u", points[dice(seed, FARE_ARRAY_N(points))], 1 + dice(seed, 40));
	TEST_MUST(fare_file_write(file, rule, (size_t)n, 0600));
	sleep_ms(50 + dice(seed, 150));
	TEST_MUST(fare_file_write(file, "", 0, 0600));
}

/* Returns how many banks it killed. */
static int trouble(pid_t workers[WORKERS], const char *fault_file, unsigned *seed)
{
	int kills = 0;
	uint64_t until = fare_clock_boot_ms() + CHAOS_MS;
	unsigned next_seed = *seed;
	while (fare_clock_boot_ms() < until) {
		unsigned what = dice(seed, 3), no = dice(seed, WORKERS);
		if (what == 0) {
			test_bank_kill(&bank);
			kills++;
		} else if (what == 1) {
			kill(workers[no], SIGKILL);
		} else {
			strike(fault_file, seed);
		}
		sleep_ms(dice(seed, 100));
		test_bank_pid(&bank); /* one runs again, as a keeper sees to */
		for (unsigned i = 0; i < WORKERS; i++)
			if (waitpid(workers[i], NULL, WNOHANG) == workers[i])
				workers[i] = worker_start(i, ++next_seed);
		sleep_ms(dice(seed, 200));
	}
	return kills;
}

/* ---- The books */

static int by_id(const void *a, const void *b) { return fare_id_cmp(((const struct call *)a)->id, ((const struct call *)b)->id); }

struct sums { int64_t amounts[ACCOUNTS]; size_t entries; };

static void read_entry(void *arg, const struct fare_json *j)
{
	struct sums *sums = arg;
	char text[FARE_ID_TEXT_N], kind[16], account[16];
	struct call key;
	if (!test_text(j, "kind", kind, sizeof kind) || strcmp(kind, "seal") == 0)
		return;
	TEST_MUST(test_text(j, "account", account, sizeof account));
	int64_t amount = test_nano(j, "amount");
	sums->amounts[account[1] - '0'] += amount;
	if (strcmp(kind, "call") != 0)
		return;
	sums->entries++;
	TEST_MUST(test_text(j, "call_id", text, sizeof text) && fare_id_parse(fare_span_of(text), &key.id));
	struct call *c = bsearch(&key, shared->calls, shared->count, sizeof key, by_id);
	TEST_MUST(c != NULL); /* nobody's call */
	c->entries++;
	c->charged = -amount;
}

static void check_call(const struct call *c)
{
	struct fare_amount full = {0};
	int stage = atomic_load(&c->stage);
	char text[FARE_ID_TEXT_N];
	TEST_MUST(!c->reported || fare_price_cost(&price, &c->usage, &full));
	bool once = c->entries == 1, most_once = c->entries <= 1, right = true;
	if (stage == FINAL)
		right = once && c->charged == full.nano;
	else if (stage == SENT) /* killed: its meter says less or the same */
		right = once && c->charged >= 0;
	else if (stage == GRANTED || stage == GAVE_UP)
		right = once && c->charged == 0;
	else
		right = most_once && c->charged == 0;
	if (right)
		return;
	fare_id_text(c->id, text);
	fprintf(stderr, "# call %s: stage %d, %d entries, charged %lld, full price %lld\n", text, stage, c->entries, (long long)c->charged, (long long)full.nano);
	test_failed(__FILE__, __LINE__, "a call's entries and charge");
}

static void read_balance(void *arg, const struct fare_json *j)
{
	int64_t *sum = arg;
	char name[16];
	if (!test_text(j, "account", name, sizeof name))
		return;
	TEST_MUST(test_nano(j, "pending") == 0);
	TEST_MUST(test_nano(j, "credits") - test_nano(j, "debits") == *sum);
	TEST_MUST(test_nano(j, "available") == *sum && *sum >= 0);
}

static void read_holds(void *arg, const struct fare_json *j)
{
	if (fare_json_member(j, fare_json_root(j), "holds"))
		*(int64_t *)arg = test_number(j, "holds");
}

static void read_verify(void *arg, const struct fare_json *j)
{
	const struct fare_json_node *ok = fare_json_member(j, fare_json_root(j), "ok_books");
	char fault[FARE_NOTE_N];
	if (test_text(j, "first_fault", fault, sizeof fault))
		fprintf(stderr, "# verify: %s\n", fault);
	if (ok && ok->kind == FARE_JSON_TRUE)
		*(bool *)arg = true;
}

static int count_of(const char *text, const char *what)
{
	int n = 0;
	while ((text = strstr(text, what))) {
		n++;
		text++;
	}
	return n;
}

/* Under the rules none of the bank's alarms can happen, whoever is killed. And no bank dies by itself: each but the first follows one that was killed. */
static void check_alarms(int kills)
{
	char path[FARE_PATH_N];
	struct fare_buf log;
	fare_buf_init(&log, 64 << 20);
	TEST_MUST(fare_path(path, sizeof path, bank.conf.run, "bank.log") && fare_file_read(path, &log));
	const char *text = fare_buf_cstr(&log), *alarm = strstr(text, " alarm: ");
	int banks = count_of(text, "info: open:"), strikes = count_of(text, "struck: kill");
	if (!alarm)
		alarm = strstr(text, "Sanitizer");
	if (alarm)
		fprintf(stderr, "# the bank's log: %.300s\n", alarm);
	TEST_MUST(!alarm);
	TEST_MUST(banks > 1 && banks <= 1 + kills + strikes);
	printf("%d banks, %d killed, %d struck\n", banks, kills, strikes);
	fare_buf_release(&log);
}

static void check_books(void)
{
	struct sums sums = {0};
	int64_t holds = -1;
	bool clean = false;
	uint64_t until = fare_clock_boot_ms() + LATE_MS;
	while (holds != 0 && fare_clock_boot_ms() < until) {
		TEST_MUST(test_bank_ask(&bank, "{\"op\": \"status\"}", read_holds, &holds));
		sleep_ms(100);
	}
	if (holds != 0)
		test_bank_ask(&bank, "{\"op\": \"calls\", \"live\": true}", NULL, NULL);
	TEST_MUST(holds == 0);
	qsort(shared->calls, shared->count, sizeof shared->calls[0], by_id);
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"ledger_all\"}", read_entry, &sums));
	for (size_t i = 0; i < shared->count; i++)
		check_call(&shared->calls[i]);
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		char request[64];
		snprintf(request, sizeof request, "{\"op\": \"balance\", \"name\": \"a%u\"}", i);
		TEST_MUST(test_bank_ask(&bank, request, read_balance, &sums.amounts[i]));
	}
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"verify\"}", read_verify, &clean));
	TEST_MUST(clean);
	TEST_MUST(sums.entries > 0);
	printf("%zu calls asked for, %zu entries\n", (size_t)shared->count, sums.entries);
}

static void set_up(char *fault_file, size_t size)
{
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	TEST_MUST(shared != MAP_FAILED);
	test_bank_new(&bank);
	TEST_MUST(fare_path(fault_file, size, bank.home, "faults") && setenv("FAREBOX_FAULT_FILE", fault_file, 1) == 0);
	test_bank_must(&bank, "{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"openai\", \"base_url\": \"http://127.0.0.1:1/v1\"}");
	test_bank_must(&bank, "{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"0.15\", \"output\": \"0.6\", \"per_call\": \"0.000000007\"}");
	test_bank_must(&bank, "{\"op\": \"model.add\", \"name\": \"g\", \"provider\": \"p\", \"input\": \"0.15\", \"output\": \"0.6\", \"per_call\": \"0.000000007\", \"stream_hold\": %d}", STREAM_HOLD);
	for (unsigned i = 0; i < ACCOUNTS; i++) {
		struct fare_hash key;
		char hex[FARE_HEX_HASH_N];
		key_of(i, &key);
		fare_hash_hex(&key, hex);
		test_bank_must(&bank, "{\"op\": \"account.create\", \"name\": \"a%u\"}", i);
		/* The last one runs dry. */
		test_bank_must(&bank, "{\"op\": \"credit\", \"name\": \"a%u\", \"amount\": \"%s\", \"ref\": \"first\"}", i, i == ACCOUNTS - 1 ? "0.01" : "1000");
		test_bank_must(&bank, "{\"op\": \"key.import\", \"account\": \"a%u\", \"sha256\": \"%s\"}", i, hex);
	}
}

int main(void)
{
	char fault_file[FARE_PATH_N];
	pid_t workers[WORKERS];
	const char *given = getenv("FAREBOX_TEST_SEED");
	uint64_t chosen = fare_clock_wall_ms() & 0xFFFFFF;
	int failed = 0, status;
	if (given)
		TEST_MUST(fare_num_u64(fare_span_of(given), 0, UINT32_MAX, &chosen));
	unsigned seed = (unsigned)chosen;
	printf("seed %u\n", seed);
	set_up(fault_file, sizeof fault_file);
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = worker_start(i, seed + i);
	int kills = trouble(workers, fault_file, &seed);
	atomic_store(&shared->stop, 1);
	test_bank_pid(&bank);
	for (unsigned i = 0; i < WORKERS; i++) {
		/* One that was killed a moment ago is no failure; one that cannot end its calls is. */
		TEST_MUST(waitpid(workers[i], &status, 0) == workers[i]);
		failed += WIFEXITED(status) && WEXITSTATUS(status) != 0;
	}
	check_books();
	check_alarms(kills);
	TEST_MUST(failed == 0);
	test_bank_must(&bank, "{\"op\": \"stop\"}");
	test_bank_remove(&bank);
	return 0;
}
