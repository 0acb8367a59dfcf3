/* The admin protocol on a real bank: what is done, what is refused and how, changes side by side, and what a restart keeps; and when an outage is noted. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bank.h"
#include "base/fs.h"
#include "bank/books.h"
#include "bank/holds.h"
#include "bank/wait.h"

enum { SIDE_BY_SIDE = 20 };
static struct test_bank bank;

struct answer { char last[512]; char record[2048]; unsigned records; };

static void keep(void *arg, const struct fare_json *j)
{
	struct answer *a = arg;
	if (fare_json_member(j, fare_json_root(j), "ok")) {
		snprintf(a->last, sizeof a->last, "%.*s", (int)j->text.n, j->text.p);
	} else {
		snprintf(a->record, sizeof a->record, "%.*s", (int)j->text.n, j->text.p);
		a->records++;
	}
}

/* wanted: what stands in the last record, or in the last line. */
static void expect(const char *request, const char *wanted)
{
	struct answer a = {0};
	test_bank_ask(&bank, request, keep, &a);
	if (strstr(a.record, wanted) || strstr(a.last, wanted))
		return;
	fprintf(stderr, "# %s\n# wanted: %s\n# got: %s%s", request, wanted, a.record, a.last);
	test_failed(__FILE__, __LINE__, "an admin request's answer");
}

static void check_accounts(void)
{
	expect("{\"op\": \"account.create\", \"name\": \"bob\"}", "\"available\": \"0.000000000\"");
	expect("{\"op\": \"account.create\", \"name\": \"bob\"}", "account bob exists already");
	expect("{\"op\": \"account.create\", \"name\": \"no space\"}", "letters, digits");
	expect("{\"op\": \"account.create\"}", "name is missing");
	expect("{\"op\": \"account.create\", \"name\": \"x\", \"limit\": \"1\"}", "no member limit");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"credit_limit\": \"-1\"}", "cannot be below 0");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"credit_limit\": \"2\"}", "\"available\": \"2.000000000\"");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"credit_limit\": \"0\"}", "\"available\": \"0.000000000\"");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"low_balance\": \"-1\"}", "cannot be below 0");
	expect("{\"op\": \"account.create\", \"name\": \"new\", \"low_balance\": \"1\"}", "\"low_balance\": \"1.000000000\", \"low\": true");
	expect("{\"op\": \"status\"}", "\"alarms\": [{\"alarm\": \"low_balance\", \"account\": \"new\"");
	expect("{\"op\": \"account.set\", \"name\": \"new\", \"low_balance\": \"0\"}", "\"low_balance\": null, \"low\": ");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"default_ip\": \"10.0.0.0/33\"}", "no list of addresses");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"default_max_tokens\": 15}", "at least 16");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"default_expires_s\": -1}", "whole number");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"default_models\": \"a*\", \"default_max_tokens\": 100, \"default_expires_s\": 3600}",
		"\"default_models\": \"a*\", \"default_ip\": \"\", \"default_max_tokens\": 100, \"default_expires_s\": 3600");
	expect("{\"op\": \"account.set\", \"name\": \"bob\", \"default_max_tokens\": 0}", "\"default_models\": \"a*\", \"default_ip\": \"\", \"default_max_tokens\": null");
	expect("{\"op\": \"account.close\", \"name\": \"bob\"}", "\"state\": \"closed\"");
	expect("{\"op\": \"account.reopen\", \"name\": \"bob\"}", "\"state\": \"open\"");
	expect("{\"op\": \"account.show\", \"name\": \"nobody\"}", "no account nobody");
}

static void check_money(void)
{
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"1.5\", \"ref\": \"r1\"}", "\"balance\":\"1.500000000\"");
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"1.5\", \"ref\": \"r1\"}", "\"already\": true");
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"2\", \"ref\": \"r1\"}", "used before");
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"0\"}", "above 0");
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"1e3\"}", "no amount");
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": 1}", "must be text");
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"1\", \"corrects\": \"01a20f1d-d705-71b4-a6d2-87c93f6c8369\"}", "not in this account's ledger");
	expect("{\"op\": \"debit\", \"name\": \"bob\", \"amount\": \"1\", \"ref\": \"d1\"}", "\"balance\":\"0.500000000\"");
	expect("{\"op\": \"debit\", \"name\": \"bob\", \"amount\": \"1\", \"ref\": \"d1\"}", "\"already\": true");
	expect("{\"op\": \"debit\", \"name\": \"bob\", \"amount\": \"2\", \"ref\": \"d1\"}", "used before");
	expect("{\"op\": \"debit\", \"name\": \"bob\", \"amount\": \"1\", \"ref\": \"d2\"}", "beyond that needs --force");
	expect("{\"op\": \"debit\", \"name\": \"bob\", \"amount\": \"1\"}", "beyond that needs --force");
	expect("{\"op\": \"debit\", \"name\": \"bob\", \"amount\": \"1\", \"force\": true}", "\"balance\":\"-0.500000000\"");
	expect("{\"op\": \"balance\", \"name\": \"bob\"}", "\"available\": \"-0.500000000\", \"pending\": \"0.000000000\", \"credits\": \"1.500000000\", \"debits\": \"2.000000000\"");
	expect("{\"op\": \"ledger\", \"name\": \"bob\", \"since\": \"yesterday\"}", "no time");
	expect("{\"op\": \"ledger\", \"name\": \"bob\", \"since\": \"1h\"}", "\"number\":3");
}

static void check_keys(void)
{
	expect("{\"op\": \"key.create\", \"account\": \"bob\", \"name\": \"k\", \"models\": \"a*\", \"ip\": \"10.0.0.0/8\", \"expires\": \"30d\"}", "\"key\": \"fb_");
	expect("{\"op\": \"key.create\", \"account\": \"bob\", \"ip\": \"10.0.0.0/33\"}", "no list of addresses");
	expect("{\"op\": \"key.create\", \"account\": \"nobody\"}", "no account nobody");
	expect("{\"op\": \"key.show\", \"id\": 1}", "\"models\": \"a*\"");
	expect("{\"op\": \"key.set\", \"id\": 1, \"models\": \"\", \"expires\": null}", "\"models\": \"\", \"ip\": \"10.0.0.0/8\", \"expires\": null");
	expect("{\"op\": \"key.import\", \"account\": \"bob\", \"sha256\": \"12\"}", "64 hexadecimal");
	expect("{\"op\": \"key.import\", \"account\": \"bob\", \"sha256\": \"00000000000000000000000000000000000000000000000000000000000000aa\"}", "\"id\": 2");
	expect("{\"op\": \"key.import\", \"account\": \"bob\", \"sha256\": \"00000000000000000000000000000000000000000000000000000000000000aa\"}", "there already");
	expect("{\"op\": \"key.show\", \"id\": 2}", "\"expires\": \"20"); /* the account's default */
	expect("{\"op\": \"key.rotate\", \"id\": 1, \"grace_s\": 3600}", "\"key\": \"fb_");
	expect("{\"op\": \"key.show\", \"id\": 1}", "\"state\": \"live\"");
	expect("{\"op\": \"key.rotate\", \"id\": 3}", "\"id\": 4");
	expect("{\"op\": \"key.show\", \"id\": 3}", "\"state\": \"revoked\"");
	expect("{\"op\": \"key.rotate\", \"id\": 3}", "key 3 is revoked");
	expect("{\"op\": \"key.revoke\", \"id\": 4}", "\"state\": \"revoked\"");
	expect("{\"op\": \"key.revoke\", \"id\": 99}", "no key 99");
}

static void check_catalogue(void)
{
	expect("{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"smoke\", \"base_url\": \"http://h/v1\"}", "style smoke is not served");
	expect("{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"openai\", \"base_url\": \"h/v1\"}", "http or https");
	expect("{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"openai\", \"base_url\": \"http://h/v1\", \"key_env\": \"K\"}", "\"key_env\": \"K\"");
	expect("{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"q\", \"input\": \"1\", \"output\": \"2\"}", "no provider q");
	expect("{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"1\"}", "output is missing");
	expect("{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"-1\", \"output\": \"2\"}", "below 0");
	expect("{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"1\", \"output\": \"2\"}", "\"price_version\": 1");
	expect("{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"1\", \"output\": \"3\"}", "\"price_version\": 2");
	expect("{\"op\": \"model.show\", \"name\": \"m\"}", "\"output\": \"3.000000000\"");
	expect("{\"op\": \"provider.remove\", \"name\": \"p\"}", "model m uses provider p");
	expect("{\"op\": \"model.remove\", \"name\": \"m\"}", "\"ok\": true");
	expect("{\"op\": \"model.show\", \"name\": \"m\"}", "no model m");
	expect("{\"op\": \"provider.remove\", \"name\": \"p\"}", "\"ok\": true");
}

/* Refused before anything is looked at; and what finds nothing to do says so. */
static void check_rerate(void)
{
	expect("{\"op\": \"rerate\", \"since\": \"1d\", \"price_version\": 1}", "model is missing");
	expect("{\"op\": \"rerate\", \"model\": \"m\", \"price_version\": 1}", "since is missing");
	expect("{\"op\": \"rerate\", \"model\": \"m\", \"since\": \"1d\"}", "price_version is missing");
	expect("{\"op\": \"rerate\", \"model\": \"m\", \"since\": \"1d\", \"price_version\": 99}", "price version 99 is unknown");
	expect("{\"op\": \"rerate\", \"model\": \"other\", \"since\": \"1d\", \"price_version\": 1}", "price version 1 is of model m");
	expect("{\"op\": \"rerate\", \"model\": \"m\", \"since\": \"1d\", \"price_version\": 1, \"dry\": true}", "no member dry");
	expect("{\"op\": \"rerate\", \"model\": \"m\", \"since\": \"1d\", \"price_version\": 1}", "\"account\": null, \"calls\": 0, \"charged\": \"0.000000000\"");
	expect("{\"op\": \"rerate\", \"model\": \"m\", \"since\": \"1d\", \"price_version\": 2, \"dry_run\": true}", "\"posted\": false");
	expect("{\"op\": \"verify\", \"head\": \"1:00\"}", "head: 1:00 is not NUMBER:HASH");
}

static void check_requests(void)
{
	expect("{", "not JSON");
	expect("[]", "JSON object");
	expect("{\"op\": \"x\", \"op\": \"y\"}", "not JSON");
	expect("{\"op\": \"fly\"}", "no op fly");
	expect("{}", "op is missing");
	expect("{\"op\": \"verify\"}", "\"ok_books\": true");
	expect("{\"op\": \"status\"}", "\"head_seal\": {");
}

/* Many at once make accounts and keys: each change is kept. */
static void check_side_by_side(void)
{
	struct answer a = {0};
	int status;
	for (int i = 0; i < SIDE_BY_SIDE; i++) {
		fflush(NULL);
		pid_t child = fork();
		TEST_MUST(child >= 0);
		if (child == 0) {
			test_bank_must(&bank, "{\"op\": \"account.create\", \"name\": \"side-%d\"}", i);
			test_bank_must(&bank, "{\"op\": \"credit\", \"name\": \"side-%d\", \"amount\": \"1\"}", i);
			test_bank_must(&bank, "{\"op\": \"key.create\", \"account\": \"side-%d\"}", i);
			_exit(0);
		}
	}
	for (int i = 0; i < SIDE_BY_SIDE; i++)
		TEST_MUST(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"account.list\"}", keep, &a) && a.records == SIDE_BY_SIDE + 2);
	a.records = 0;
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"key.list\"}", keep, &a) && a.records == SIDE_BY_SIDE + 4);
}

/* Several requests in one write, then the connection stays; a line beyond all bounds ends it. */
static void check_pipelined(void)
{
	static const char three[] = "{\"op\": \"ping\"}\n{\"op\": \"status\"}\n{\"op\": \"account.create\", \"name\": \"late\"}\n";
	char error[FARE_ERROR_N], line[4096];
	int fd = fare_bank_connect(&bank.conf, error), last = 0;
	TEST_MUST(fd >= 0);
	FILE *f = fdopen(fd, "r");
	TEST_MUST(f && fare_write_all(fd, three, strlen(three)));
	while (last < 3 && fgets(line, sizeof line, f))
		last += strstr(line, "\"ok\": true") != NULL;
	TEST_MUST(last == 3);
	char *long_line = malloc(200000);
	TEST_MUST(long_line);
	memset(long_line, 'x', 200000);
	(void)!fare_write_all(fd, long_line, 200000); /* may be cut off while writing */
	TEST_MUST(!fgets(line, sizeof line, f));
	free(long_line);
	fclose(f);
	expect("{\"op\": \"ping\"}", "\"ok\": true");
}

/* One that asks and asks, and never reads, holds nobody else up: neither answers from memory nor scans. */
static void check_slow_client(const char *request)
{
	char error[FARE_ERROR_N];
	struct fare_buf many;
	int fd = fare_bank_connect(&bank.conf, error);
	fare_buf_init(&many, 1 << 20);
	for (int i = 0; i < 1000; i++)
		fare_buf_add_str(&many, request);
	TEST_MUST(fd >= 0 && fare_fd_nonblock(fd, true) && !many.failed);
	TEST_MUST(write(fd, many.p, many.n) > 0);
	for (int i = 0; i < 20; i++)
		expect("{\"op\": \"balance\", \"name\": \"bob\"}", "\"ok\": true");
	expect("{\"op\": \"ledger\", \"name\": \"bob\"}", "\"number\":3");
	close(fd);
	fare_buf_release(&many);
}

static void count_outages(void *arg, const struct fare_json *j)
{
	char kind[16];
	if (test_text(j, "kind", kind, sizeof kind) && strcmp(kind, "outage") == 0)
		(*(int *)arg)++;
}

static void end_bank(int signo, bool lose_holds)
{
	char path[FARE_PATH_N];
	long pid = test_bank_pid(&bank);
	TEST_MUST(kill((pid_t)pid, signo) == 0);
	while (fare_process_start((pid_t)pid)) /* a zombie is gone, whoever is to wait for it */
		usleep(2000);
	TEST_MUST(fare_path(path, sizeof path, bank.conf.run, "holds") && (!lose_holds || unlink(path) == 0));
}

static int outages(void)
{
	int n = 0;
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"ledger_all\"}", count_outages, &n));
	return n;
}

/* The next bank is killed there. */
static void kill_one(const char *point)
{
	char file[FARE_PATH_N], fault[FARE_PATH_N + 64];
	TEST_MUST(fare_path(file, sizeof file, bank.home, "kill") && fare_file_write(file, "", 0, 0600));
	snprintf(fault, sizeof fault, "%s:kill=%s", point, file);
	TEST_MUST(setenv("FAREBOX_FAULT", fault, 1) == 0);
}

/* Killed with its holds there: nothing is lost. Left in good order: nothing is lost either, also when the next one is killed before it has holds. Killed, and the holds gone, as after a power cut: noted, once. */
static void check_outage(void)
{
	end_bank(SIGKILL, false);
	TEST_MUST(outages() == 0);
	end_bank(SIGTERM, true);
	TEST_MUST(outages() == 0);
	kill_one("bank_before_holds");
	end_bank(SIGTERM, true);
	TEST_MUST(outages() == 0);
	kill_one("bank_after_outage");
	end_bank(SIGKILL, true);
	TEST_MUST(outages() == 1);
	end_bank(SIGKILL, false);
	TEST_MUST(outages() == 1);
	expect("{\"op\": \"balance\", \"name\": \"bob\"}", "\"available\": \"-0.500000000\"");
	expect("{\"op\": \"key.show\", \"id\": 1}", "\"ip\": \"10.0.0.0/8\"");
	expect("{\"op\": \"verify\"}", "\"ok_books\": true");
}

/* Two power cuts, and nothing was sealed between them. */
static void check_outage_of_another_boot(void)
{
	char error[FARE_ERROR_N];
	struct fare_op op = {.type = FARE_OP_OUTAGE, .u.post = {.kind = FARE_KIND_OUTAGE, .note = "found in another boot"}};
	int before = outages();
	end_bank(SIGKILL, true);
	struct fare_books *b = fare_books_open(bank.home, false, error);
	TEST_MUST(b && fare_books_begin(b) == 0 && fare_books_apply(b, &op) == 0 && op.applied == FARE_APPLIED && fare_books_commit(b) == 0);
	fare_books_close(&b);
	TEST_MUST(outages() == before + 2);
}

/* The holds as a bank left them that had decided a call whose charge cannot be posted. */
static void park(void)
{
	uint8_t ids[2][16];
	char path[FARE_PATH_N], error[FARE_ERROR_N];
	struct fare_holds holds;
	int fd = fare_path(path, sizeof path, bank.conf.run, "holds") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	TEST_MUST(fd >= 0 && pread(fd, ids, sizeof ids, 8 /* after the magic */) == (ssize_t)sizeof ids && close(fd) == 0);
	TEST_MUST(fare_holds_open(&holds, path, ids[0], ids[1], FARE_HOLDS_MAX, error));
	struct fare_hold *h = fare_holds_take(&holds);
	h->call_id.b[0] = h->incarnation.b[0] = 1;
	h->account = h->key = h->price_version = 999;
	fare_holds_write_decided(h);
	fare_holds_close(&holds);
}

/* A bank leaves; what it could not post is in its holds alone. */
static void check_outage_with_parked(void)
{
	int before = outages();
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"1\", \"ref\": \"after the outage\"}", "\"ok\": true");
	end_bank(SIGTERM, false);
	park();
	TEST_MUST(outages() == before);
	end_bank(SIGTERM, false);
	TEST_MUST(outages() == before);
	end_bank(SIGTERM, true);
	TEST_MUST(outages() == before + 1);
}

/* Somebody gives the name to the holds, and has them locked: nobody takes that for a bank that waits, and nothing is lost. */
static void check_other_waits(void)
{
	char holds[FARE_PATH_N], waits[FARE_PATH_N], error[FARE_ERROR_N];
	int before = outages();
	expect("{\"op\": \"credit\", \"name\": \"bob\", \"amount\": \"1\", \"ref\": \"before the link\"}", "\"ok\": true");
	end_bank(SIGKILL, false);
	TEST_MUST(fare_path(holds, sizeof holds, bank.conf.run, "holds") && fare_path(waits, sizeof waits, bank.conf.run, "bank.waits"));
	TEST_MUST((unlink(waits) == 0 || errno == ENOENT) && link(holds, waits) == 0);
	int fd = open(holds, O_RDONLY | O_CLOEXEC);
	TEST_MUST(fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
	TEST_MUST(!fare_bank_waits(&bank.conf, error));
	TEST_MUST(outages() == before);
	close(fd);
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_bank_new(&bank);
	check_accounts();
	check_money();
	check_keys();
	check_catalogue();
	check_rerate();
	check_requests();
	check_side_by_side();
	check_pipelined();
	check_slow_client("{\"op\": \"account.list\"}\n");
	check_slow_client("{\"op\": \"ledger_all\"}\n");
	check_outage();
	check_outage_of_another_boot();
	check_outage_with_parked();
	check_other_waits();
	test_bank_must(&bank, "{\"op\": \"stop\"}");
	test_bank_remove(&bank);
	return 0;
}
