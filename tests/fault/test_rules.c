/*
 * test_rules [ROW...]: histories of the money protocol that lose or double money where a rule is left out, played with a real bank and real processes, each as it must
 * happen: killed, stopped or held up at a chosen step. A row is named after its rule; without an argument all are played. Rows that need fault points are left out where
 * they are not compiled in.
 */
#include "base/first.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bank.h"
#include "bank/admin.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"

enum { SLOTS = 4, WAIT_MS = 10000, TOKENS = 60 /* what a call that ends well has used: a nano-dollar each */, PART = 20 /* what its meter says before */ };

static struct test_bank bank;
static struct fare_hash key;
static char fault_file[FARE_PATH_N], hold_file[FARE_PATH_N];
static pid_t child, bank_pid;
static int to_child = -1, from_child = -1;

/* ---- The worker: a child that goes from step to step as it is told */

/* In the child: it has come so far, and waits for the word to go on. */
static void step(void)
{
	char c = 0;
	TEST_MUST(write(from_child, &c, 1) == 1 && read(to_child, &c, 1) == 1);
}

static void reached(void)
{
	char c;
	struct pollfd p = {.fd = from_child, .events = POLLIN};
	TEST_MUST(poll(&p, 1, WAIT_MS) == 1 && read(from_child, &c, 1) == 1);
}

static void go_on(void) { TEST_MUST(write(to_child, "", 1) == 1); }

static void child_start(void (*fn)(void))
{
	int down[2], up[2];
	TEST_MUST(pipe(down) == 0 && pipe(up) == 0);
	fflush(NULL);
	child = fork();
	TEST_MUST(child >= 0);
	to_child = down[child == 0 ? 0 : 1];
	from_child = up[child == 0 ? 1 : 0];
	close(down[child == 0 ? 1 : 0]);
	close(up[child == 0 ? 0 : 1]);
	if (child)
		return;
	bank_pid = 0;
	fn();
	_exit(0);
}

static int child_wait(void)
{
	int status;
	TEST_MUST(waitpid(child, &status, 0) == child);
	child = 0;
	close(to_child);
	close(from_child);
	return status;
}

static void child_kill(void)
{
	kill(child, SIGKILL);
	child_wait();
}

static void child_must_end_well(void)
{
	int status = child_wait();
	TEST_MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static struct fare_admit ask_of(struct fare_id id) { return (struct fare_admit){.call_id = id, .key = key, .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 100}; }

/* A worker that says what the row wants of it, without a link. */
static struct { struct fare_id incarnation; struct fare_meter_slot *slots; int meter_fd; } raw;

static void raw_make(void)
{
	raw.incarnation = fare_id_new();
	raw.slots = fare_meter_make(bank.conf.run, raw.incarnation, 7, SLOTS, &raw.meter_fd);
	TEST_MUST(raw.slots);
}

/* A connection with its hello said: slot 0 is listed when it has a call. */
static int raw_connect(struct fare_id listed)
{
	uint8_t msg[FARE_MSG_SMALL];
	char path[FARE_PATH_N];
	struct fare_listed l = {0, listed};
	struct fare_hello h = {.incarnation = raw.incarnation, .worker_no = 7, .pid = (uint32_t)getpid(), .slots = SLOTS, .count = fare_id_is_zero(listed) ? 0 : 1, .listed = &l};
	TEST_MUST(fare_path(path, sizeof path, bank.conf.run, FARE_CALL_SOCKET));
	int fd = fare_unix_connect(path, SOCK_SEQPACKET);
	TEST_MUST(fd >= 0);
	test_say(fd, msg, fare_proto_hello(msg, sizeof msg, &h));
	return fd;
}

static struct fare_id raw_admit(int fd, uint16_t slot)
{
	uint8_t msg[FARE_MSG_SMALL];
	struct fare_admit ask = ask_of(fare_id_new());
	memcpy(raw.slots[slot].call_id, ask.call_id.b, sizeof ask.call_id.b);
	atomic_store(&raw.slots[slot].state, FARE_METER_IDLE);
	test_say(fd, msg, fare_proto_ask(msg, sizeof msg, FARE_MSG_ADMIT, slot, &ask));
	return ask.call_id;
}

static void raw_settle(int fd, struct fare_id id)
{
	uint8_t msg[FARE_MSG_SMALL];
	test_say(fd, msg, fare_proto_bare(msg, sizeof msg, FARE_PROTO_VERSION, FARE_MSG_SETTLE, 0, id));
}

static void raw_progress(void)
{
	struct fare_meter_slot *m = &raw.slots[0];
	atomic_store(&m->received, 100);
	atomic_store(&m->relayed_text, 4 * PART);
	atomic_store(&m->state, FARE_METER_STREAMING);
}

static void raw_final(void)
{
	struct fare_meter_slot *m = &raw.slots[0];
	atomic_store(&m->output, TOKENS);
	atomic_store(&m->flags, FARE_METER_REPORTED);
	atomic_store(&m->ending, FARE_COMPLETE);
	atomic_store(&m->state, FARE_METER_FINAL);
}

static void raw_end_well(int fd, struct fare_id id)
{
	raw_final();
	raw_settle(fd, id);
	TEST_MUST(test_hear(fd) == FARE_MSG_ACK);
}

/* A connection with a call that runs. */
static int raw_run(struct fare_id *id)
{
	int fd = raw_connect((struct fare_id){{0}});
	TEST_MUST(test_hear(fd) == FARE_MSG_WELCOME);
	*id = raw_admit(fd, 0);
	TEST_MUST(test_hear(fd) == FARE_MSG_GRANT);
	raw_progress();
	return fd;
}

/* A worker as it is. */
static struct fare_link *link_make(int *slot)
{
	char error[FARE_ERROR_N];
	struct fare_admit_answer answer;
	struct fare_admit ask = ask_of(fare_id_new());
	struct fare_link *l = fare_link_new(bank.conf.run, 3, SLOTS, NULL, error);
	TEST_MUST(l);
	*slot = fare_link_slot(l, ask.call_id);
	TEST_MUST(*slot >= 0 && test_admit(l, *slot, &ask, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && answer.granted);
	fare_meter_sent(l, *slot, 0);
	fare_meter_progress(l, *slot, 100, 4 * PART);
	return l;
}

static void link_end_well(struct fare_link *l, int slot)
{
	fare_meter_usage(l, slot, &(struct fare_usage){.output = TOKENS}, false);
	fare_meter_final(l, slot, FARE_COMPLETE);
	fare_link_settle(l, slot);
	TEST_MUST(fare_link_drain(l, WAIT_MS));
	fare_link_free(&l);
}

/* ---- What the bank says */

struct status { int64_t holds, connections; };
static void read_status(void *arg, const struct fare_json *j)
{
	struct status *s = arg;
	if (fare_json_member(j, fare_json_root(j), "holds"))
		*s = (struct status){test_number(j, "holds"), test_number(j, "connections")};
}

static struct status status(void)
{
	struct status s = {-1, -1};
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"status\"}", read_status, &s) && s.holds >= 0);
	return s;
}

static void sleep_ms(unsigned ms) { poll(NULL, 0, (int)ms); }

static void wait_for_holds(int64_t n)
{
	uint64_t until = fare_clock_boot_ms() + WAIT_MS;
	while (status().holds != n && fare_clock_boot_ms() < until)
		sleep_ms(20);
	TEST_MUST(status().holds == n);
}

struct charges { int calls; int64_t nano; };
static void read_charge(void *arg, const struct fare_json *j)
{
	struct charges *c = arg;
	char kind[16];
	if (!test_text(j, "kind", kind, sizeof kind) || strcmp(kind, "call") != 0)
		return;
	c->calls++;
	c->nano -= test_nano(j, "amount");
}

/* At rest: so many entries of calls, which come to so much. */
static void must_be_charged(int calls, int64_t nano)
{
	struct charges c = {0};
	wait_for_holds(0);
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"ledger\", \"name\": \"a\"}", read_charge, &c));
	if (c.calls != calls || c.nano != nano)
		fprintf(stderr, "# %d calls, %lld nano-dollars\n", c.calls, (long long)c.nano);
	TEST_MUST(c.calls == calls && c.nano == nano);
}

static void faults(const char *rules) { TEST_MUST(fare_file_write(fault_file, rules, strlen(rules), 0600)); }

/* Until the file is removed. */
static void hold_flushes(void)
{
	char rule[FARE_PATH_N + 32];
	TEST_MUST(fare_file_write(hold_file, "", 0, 0600));
	snprintf(rule, sizeof rule, "store_flush:hold=%s@*", hold_file);
	faults(rule);
}

/* ---- R1: the next worker of the same number does not speak for the dead one, nor write over what its meter says */

static void run_and_wait(void)
{
	int slot;
	link_make(&slot);
	step();
}

static void run_well(void)
{
	int slot;
	struct fare_link *l = link_make(&slot);
	link_end_well(l, slot);
}

static void row_r1(void)
{
	child_start(run_and_wait);
	reached();
	child_kill();
	child_start(run_well);
	child_must_end_well();
	must_be_charged(2, PART + TOKENS);
}

/* ---- R2: it closes its socket first and dies later */

static void close_and_wait(void)
{
	struct fare_id id;
	raw_make();
	close(raw_run(&id));
	step();
}

static void row_r2(void)
{
	child_start(close_and_wait);
	reached();
	while (status().connections > 0)
		sleep_ms(5);
	TEST_MUST(status().holds == 1);
	child_kill();
	must_be_charged(1, PART);
}

/* ---- A closed socket is not death */

static void close_and_come_back(void)
{
	struct fare_id id;
	raw_make();
	close(raw_run(&id));
	sleep_ms(300);
	int fd = raw_connect(id);
	TEST_MUST(test_hear(fd) == FARE_MSG_WELCOME);
	raw_end_well(fd, id);
}

static void row_closed(void)
{
	child_start(close_and_come_back);
	child_must_end_well();
	must_be_charged(1, TOKENS);
}

/* ---- R3: what is said on the older connection after the newer one's hello does not count */

static void speak_on_both(void)
{
	uint8_t msg[FARE_MSG_SMALL];
	struct fare_id id;
	raw_make();
	int old = raw_run(&id), fd = raw_connect(id);
	TEST_MUST(test_hear(fd) == FARE_MSG_WELCOME);
	(void)!send(old, msg, fare_proto_bare(msg, sizeof msg, FARE_PROTO_VERSION, FARE_MSG_SETTLE, 0, id), MSG_NOSIGNAL);
	step();
	raw_end_well(fd, id);
}

static void row_r3(void)
{
	child_start(speak_on_both);
	reached();
	sleep_ms(100);
	TEST_MUST(status().holds == 1);
	go_on();
	child_must_end_well();
	must_be_charged(1, TOKENS);
}

/* ---- R4: it has said a hello and an admit on a new connection; then the bank finds it dead, and reads them */

static void speak_from_the_grave(void)
{
	struct fare_id id;
	raw_make();
	raw_run(&id);
	step();
	raw_admit(raw_connect(id), 1);
	step();
}

static void row_r4(void)
{
	child_start(speak_from_the_grave);
	reached();
	/* Its first call is decided and not yet written, so that the bank still knows it. */
	hold_flushes();
	kill(bank_pid, SIGSTOP);
	go_on();
	reached();
	child_kill();
	kill(bank_pid, SIGCONT);
	sleep_ms(300);
	TEST_MUST(status().holds >= 1);
	unlink(hold_file);
	must_be_charged(1, PART);
}

/* ---- R7: said twice, and what was committed is not flushed: no answer leaves */

static void settle_twice(void)
{
	struct fare_id id;
	raw_make();
	int fd = raw_run(&id);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	raw_final();
	step();
	raw_settle(fd, id);
	raw_settle(fd, id);
	TEST_MUST(poll(&p, 1, 300) == 0);
	step();
	TEST_MUST(test_hear(fd) == FARE_MSG_ACK);
}

static void row_r7(void)
{
	child_start(settle_twice);
	reached();
	hold_flushes();
	go_on();
	reached();
	unlink(hold_file);
	go_on();
	child_must_end_well();
	must_be_charged(1, TOKENS);
}

/* ---- R14: the bank dies at the commit */

static void settle_when_told(void)
{
	int slot;
	struct fare_link *l = link_make(&slot);
	step();
	link_end_well(l, slot);
}

static void row_r14(void)
{
	child_start(settle_when_told);
	reached();
	faults("store_commit:kill");
	go_on();
	while (fare_process_start(bank_pid))
		sleep_ms(5);
	faults("");
	bank_pid = (pid_t)test_bank_pid(&bank);
	child_must_end_well();
	must_be_charged(1, TOKENS);
}

/* ---- Two banks on one store */

static void second_bank(void)
{
	char program[FARE_PATH_N];
	TEST_MUST(fare_conf_program("farebox-bank", program));
	execl(program, "farebox-bank", "--home", bank.home, (char *)NULL);
	_exit(127);
}

static void row_two_banks(void)
{
	int status = -1;
	child_start(second_bank);
	uint64_t until = fare_clock_boot_ms() + WAIT_MS;
	while (waitpid(child, &status, WNOHANG) == 0 && fare_clock_boot_ms() < until)
		sleep_ms(10);
	TEST_MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	child = 0;
	TEST_MUST(test_bank_pid(&bank) == bank_pid);
	must_be_charged(0, 0);
}

/* ---- */

static const struct row { const char *name; void (*play)(void); bool with_faults; } rows[] = {
	{"r1", row_r1, false}, {"r2", row_r2, false}, {"r3", row_r3, false}, {"r4", row_r4, true}, {"r7", row_r7, true}, {"r14", row_r14, true}, {"closed", row_closed, false}, {"two_banks", row_two_banks, false},
};

static void set_up(void)
{
	char hex[FARE_HEX_HASH_N];
	test_bank_new(&bank);
	TEST_MUST(fare_path(fault_file, sizeof fault_file, bank.home, "faults") && setenv("FAREBOX_FAULT_FILE", fault_file, 1) == 0);
	TEST_MUST(fare_path(hold_file, sizeof hold_file, bank.home, "hold"));
	faults("");
	fare_sha256("k", 1, &key);
	fare_hash_hex(&key, hex);
	test_bank_must(&bank, "{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"openai\", \"base_url\": \"http://127.0.0.1:1/v1\"}");
	test_bank_must(&bank, "{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"0\", \"output\": \"0.001\"}");
	test_bank_must(&bank, "{\"op\": \"account.create\", \"name\": \"a\"}");
	test_bank_must(&bank, "{\"op\": \"credit\", \"name\": \"a\", \"amount\": \"1\"}");
	test_bank_must(&bank, "{\"op\": \"key.import\", \"account\": \"a\", \"sha256\": \"%s\"}", hex);
	bank_pid = (pid_t)test_bank_pid(&bank);
}

/* A row that failed leaves nobody behind. */
static void clear(void)
{
	if (child > 0)
		kill(child, SIGKILL);
	if (bank_pid > 0)
		kill(bank_pid, SIGKILL);
}

static void play(const struct row *r)
{
#ifndef FARE_FAULTS
	if (r->with_faults) {
		printf("# %s: left out, for want of fault points\n", r->name);
		return;
	}
#endif
	set_up();
	r->play();
	test_bank_must(&bank, "{\"op\": \"stop\"}");
	bank_pid = 0;
	test_bank_remove(&bank);
	printf("ok - %s\n", r->name);
}

int main(int argc, char **argv)
{
	int played = 0;
	atexit(clear);
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < FARE_ARRAY_N(rows); i++) {
		bool wanted = argc == 1;
		for (int k = 1; k < argc; k++)
			wanted = wanted || strcmp(argv[k], rows[i].name) == 0;
		if (wanted)
			play(&rows[i]);
		played += wanted;
	}
	return played ? 0 : 2;
}
