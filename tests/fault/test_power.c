/*
 * test_power [--cuts N] [--seed S]: the books under power cuts at any write, sync, new or removed file of Berkeley DB, in recovery too. After each: the store opens, verify is
 * clean, what was acknowledged is there once and at its amount; what was not is posted again, and is there once. Between them a call fails (open, read, write, fsync,
 * ftruncate; ENOSPC, EIO, EROFS; once or for good), and the process ends. Some processes only end: what the next one finds it may acknowledge (R6), so that counts as
 * acknowledged from then on. FAREBOX_POWER_CUTS: how many (default 120).
 */
#include "base/first.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "../unit/books_kit.h"
#include "base/log.h"
#include "store/store.h"
#include "power.h"

enum { CUTS_A_STORE = 25, OPS_MAX = 120, LATE_MAX = 260, BATCHES = 50, BATCH_MAX = 12, POSTS_MAX = 200000, ACCOUNTS = 5 };
enum { FAILED = 1, BAD_OPEN = 2, BAD_VERIFY, BAD_LOST, BAD_REFUSED, BAD_STORE };
static const char *const bad_words[] = {[BAD_OPEN] = "the store does not open", [BAD_VERIFY] = "verify is not clean", [BAD_LOST] = "what was acknowledged is not there",
	[BAD_REFUSED] = "a good post is refused", [BAD_STORE] = "the store fails"};

/* Posts are numbered; the first `acked` are acknowledged, those up to `tried` may be there. */
static struct shared { bool made; uint64_t acked, tried; char error[FARE_ERROR_N]; } *shared;
static char home[KIT_PATH_N];

/* The nth post, always the same. */
static struct fare_op post_of(uint64_t n)
{
	char ref[32];
	uint64_t account = 1 + n % ACCOUNTS;
	if (n % 4)
		return kit_call(account, n + 1, 1, n % 1000, 0, (int64_t)(n % 1000), 1000 * n);
	snprintf(ref, sizeof ref, "ref-%llu", (unsigned long long)n);
	return kit_money(account, (int64_t)(n + 1), ref, 1000 * n);
}

/* With a call that failed the process may do nothing but end. */
static void bad(int code, const char *why)
{
	if (power_struck() && code != BAD_LOST)
		_exit(FAILED);
	snprintf(shared->error, sizeof shared->error, "%s", why);
	_exit(code);
}

static void post(struct fare_books *b, uint64_t from, uint64_t to)
{
	struct fare_op *ops = fare_alloc((to - from) * sizeof *ops);
	shared->tried = to > shared->tried ? to : shared->tried;
	if (fare_books_begin(b) != 0)
		bad(BAD_STORE, "begin");
	for (uint64_t n = from; n < to; n++) {
		ops[n - from] = post_of(n);
		if (fare_books_apply(b, &ops[n - from]) != 0)
			bad(BAD_STORE, "apply");
		if (ops[n - from].applied == FARE_REFUSED_OP)
			bad(BAD_REFUSED, ops[n - from].error);
	}
	if (fare_books_commit(b) != 0)
		bad(BAD_STORE, "commit");
	shared->acked = to;
	free(ops);
}

static void make(struct fare_books *b)
{
	struct fare_op ops[] = {kit_account("a1"), kit_account("a2"), kit_account("a3"), kit_account("a4"), kit_account("a5"), kit_provider("p"), kit_model("m", 1000000, 2000000), kit_key(1, "fb_one")};
	if (fare_books_begin(b) != 0)
		bad(BAD_STORE, "begin");
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		if (fare_books_apply(b, &ops[i]) != 0)
			bad(BAD_STORE, "apply");
	/* All or nothing: refused when a batch before the cut was not acknowledged and yet is there. */
	for (size_t i = 0; i < FARE_ARRAY_N(ops); i++)
		if (ops[i].applied != ops[0].applied && ops[i].type == FARE_OP_ACCOUNT_PUT)
			bad(BAD_REFUSED, "a batch is there in part");
	if (fare_books_commit(b) != 0)
		bad(BAD_STORE, "commit");
	shared->made = true;
}

static void check(struct fare_books *b)
{
	struct fare_verify v;
	struct fare_entry e;
	if (fare_books_verify(b, &v) != 0 || !v.ok)
		bad(BAD_VERIFY, v.first_fault);
	if (v.entries < shared->acked || v.entries > shared->tried)
		bad(BAD_LOST, "the number of entries");
	shared->acked = v.entries;
	/* The newest are those at risk; verify has looked at the rest. */
	for (uint64_t n = shared->acked > 300 ? shared->acked - 300 : 0; n < shared->acked; n++) {
		struct fare_op op = post_of(n);
		const struct fare_entry *want = &op.u.post;
		int r = want->kind == FARE_KIND_CALL ? fare_books_find_call(b, want->call_id, &e) : fare_books_find_ref(b, want->account, want->kind, want->ref, &e);
		if (r != 1 || e.amount.nano != want->amount.nano || e.account != want->account)
			bad(BAD_LOST, "an entry");
	}
}

int __wrap_fdatasync(int fd);
int __wrap_fdatasync(int fd) { return power_fdatasync(fd); }

ssize_t __wrap_pread(int fd, void *b, size_t n, off_t at);
ssize_t __wrap_pread(int fd, void *b, size_t n, off_t at) { return power_pread(fd, b, n, at); }

/* As the bank does. */
static void disk_failed(enum fare_disk_failed what, int e)
{
	(void)e;
	if (what == FARE_DISK_SYNC)
		fare_store_mark_unsynced(home, home);
	_exit(FAILED);
}

static void fail_one(unsigned *seed)
{
	static const int errors[] = {ENOSPC, EIO, EROFS};
	static const unsigned most[POWER_KINDS] = {[POWER_OPEN] = 20, [POWER_READ] = 60, [POWER_WRITE_LOG] = 40, [POWER_WRITE_DATA] = 40, [POWER_SYNC_LOG] = 40, [POWER_SYNC_DATA] = 20, [POWER_TRUNCATE] = 4};
	enum power_kind kind = (enum power_kind)((unsigned)rand_r(seed) % POWER_KINDS);
	int error = kind == POWER_SYNC_LOG || kind == POWER_SYNC_DATA ? EIO : errors[(unsigned)rand_r(seed) % FARE_ARRAY_N(errors)];
	power_fail(kind, 1 + (unsigned)rand_r(seed) % most[kind], error, rand_r(seed) % 2);
}

/* A process that lives until its cut, or until a call fails, or ends well. */
static void child(unsigned ops, unsigned seed)
{
	char error[FARE_ERROR_N];
	power_hook(ops);
	if (!ops)
		fail_one(&seed);
	fare_store_watch_disk(disk_failed);
	int r = fare_store_resync(home, home, error);
	if (r == FARE_STORE_FAILED)
		bad(BAD_OPEN, error);
	if (r == FARE_STORE_OK)
		power_all_synced();
	struct fare_books *b = fare_books_open(home, true, error);
	if (!b)
		bad(BAD_OPEN, error);
	check(b);
	if (!shared->made)
		make(b);
	if (shared->tried > shared->acked)
		post(b, shared->acked, shared->tried);
	for (int i = 0; i < BATCHES && shared->tried < POSTS_MAX; i++) {
		post(b, shared->tried, shared->tried + 1 + (uint64_t)rand_r(&seed) % BATCH_MAX);
		if (rand_r(&seed) % 10 == 0 && fare_books_checkpoint(b) != 0)
			bad(BAD_STORE, "checkpoint");
	}
	fare_books_close(&b);
	_exit(0);
}

/* Early ones meet the recovery and what it makes, late ones the checkpoints. */
static unsigned cut_at(unsigned *seed) { return 1 + (unsigned)rand_r(seed) % (rand_r(seed) % 3 ? OPS_MAX : LATE_MAX); }

/* False: something is wrong. */
static bool one_life(unsigned ops, unsigned seed, bool *whole)
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		child(ops, seed);
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return false;
	*whole = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	bool failed = WIFEXITED(status) && WEXITSTATUS(status) == FAILED && power_struck();
	if (*whole || failed || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
		return true;
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	printf("# %s: %s (status %d)\n", code >= BAD_OPEN && code <= BAD_STORE ? bad_words[code] : "ended badly", shared->error, status);
	return false;
}

int main(int argc, char **argv)
{
	const char *env = getenv("FAREBOX_POWER_CUTS");
	unsigned long cuts = env ? strtoul(env, NULL, 10) : 120;
	unsigned seed = (unsigned)time(NULL), wholes = 0, fails = 0;
	uint64_t acked = 0;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--cuts"))
			cuts = strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--seed"))
			seed = (unsigned)strtoul(argv[i + 1], NULL, 10);
	}
	fare_log_level(FARE_ALARM);
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	power_init();
	printf("# seed %u\n", seed);
	fflush(stdout);
	for (unsigned long i = 0; i < cuts; i++) {
		bool whole = false;
		if (i % CUTS_A_STORE == 0) {
			if (i)
				kit_remove(home);
			acked += shared->acked;
			*shared = (struct shared){0};
			kit_home(home);
		}
		unsigned ops = rand_r(&seed) % 2 ? cut_at(&seed) : 0;
		if (!one_life(ops, (unsigned)rand_r(&seed), &whole)) {
			printf("not ok - cut %lu, store in %s\n", i, home);
			return 1;
		}
		wholes += whole;
		fails += power_struck();
		if (rand_r(&seed) % 4)
			power_cut(&seed);
	}
	kit_remove(home);
	printf("ok - %lu power cuts and calls that failed (%u), %u at rest: %llu acknowledged posts, none lost, none twice\n", cuts, fails, wholes, (unsigned long long)(acked + shared->acked));
	return 0;
}
