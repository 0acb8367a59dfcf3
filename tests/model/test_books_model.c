/*
 * Random operations on the books against a simple model in memory: repeats, refusals, corrections, new price versions, reopening, and a process that is killed at any
 * moment. What was acknowledged must be there afterwards, at most the batch being committed may be there too, whole, and verify must be clean each time.
 *
 *   test_books_model [SEED [ROUNDS]]   also FAREBOX_SEED; the seed is printed
 */
#include "base/first.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "../unit/books_kit.h"
#include "bank/books_inner.h"

enum { ACCOUNTS_MAX = 40, POSTS_MAX = 200000, VERSIONS_MAX = 200, BATCH_OPS_MAX = 24, BATCHES_MAX = 12, ROUNDS = 60 };

struct account {
	int64_t credits, debits, limit, cost;
	uint64_t entries, calls;
	bool closed;
	int name; /* its number in the name */
};
struct post {
	uint64_t account, number, id;
	int64_t amount;
	uint8_t kind;
	/* Of a call: what rerates go by, and what it is charged now. */
	uint64_t version;
	struct fare_usage usage;
	bool is_free;
	int64_t charge;
};

/* All that the books should know. Plain data: a child has its own copy. */
struct model {
	uint64_t rng, time_ms, last_ms, batches, entries, ids, refs, names;
	int64_t credits, debits;
	struct account accounts[ACCOUNTS_MAX + 1]; /* [0]: the house */
	size_t accounts_n, keys_n, posts_n, versions_n;
	struct fare_price prices[VERSIONS_MAX + 1];
	struct post posts[POSTS_MAX]; /* in order; id: of call or ref, 0 none */
};

static struct model m;
static char home[KIT_PATH_N];
static uint64_t seed;

static _Noreturn void wrong(int line, const char *what)
{
	fprintf(stderr, "line %d: %s (seed %" PRIu64 ", home %s)\n", line, what, seed, home);
	printf("not ok - %s (seed %" PRIu64 ")\n", what, seed);
	fflush(NULL);
	_exit(1);
}
#define CHECK(x) ((x) ? (void)0 : wrong(__LINE__, #x))

static uint64_t rnd(uint64_t *state, uint64_t below)
{
	uint64_t z = (*state += 0x9E3779B97F4A7C15U);
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
	return (z ^ (z >> 31)) % below;
}

struct expected { uint8_t applied; int64_t amount; uint64_t number; };

static void expect_applied(struct fare_op *op, struct expected *want, uint64_t id)
{
	struct fare_entry *e = &op->u.post;
	struct account *a = &m.accounts[e->account];
	int64_t nano = e->amount.nano;
	*(nano >= 0 ? &a->credits : &a->debits) += nano >= 0 ? nano : -nano;
	*(nano >= 0 ? &m.credits : &m.debits) += nano >= 0 ? nano : -nano;
	a->entries++;
	if (e->kind == FARE_KIND_CALL) {
		a->calls++;
		a->cost -= nano;
	}
	CHECK(m.posts_n < POSTS_MAX);
	m.posts[m.posts_n++] = (struct post){.account = e->account, .number = a->entries, .id = id, .amount = nano, .kind = e->kind};
	m.entries++;
	*want = (struct expected){.applied = FARE_APPLIED, .amount = nano, .number = a->entries};
}

static const struct post *random_post(uint8_t kind)
{
	for (int tries = 0; tries < 20 && m.posts_n > 0; tries++) {
		const struct post *p = &m.posts[rnd(&m.rng, m.posts_n)];
		if (p->kind == kind && p->id)
			return p;
	}
	return NULL;
}

static uint64_t random_account(void) { return 1 + rnd(&m.rng, m.accounts_n); }

/* Mostly forward, by up to a few hours; sometimes back. */
static uint64_t random_time(void)
{
	m.time_ms += rnd(&m.rng, 4 * 3600 * 1000);
	return rnd(&m.rng, 10) == 0 ? m.time_ms - rnd(&m.rng, 100000000) : m.time_ms;
}

static void name_model(char name[FARE_NAME_N], uint64_t version) { snprintf(name, FARE_NAME_N, "m%d", (int)(version % 3)); }

static struct fare_op make_call(struct expected *want)
{
	uint64_t version = 1 + rnd(&m.rng, m.versions_n), account = random_account();
	struct fare_op op = kit_call(account, ++m.ids, version, rnd(&m.rng, 5000), rnd(&m.rng, 3000), 0, random_time());
	struct fare_entry *e = &op.u.post;
	struct fare_amount cost;
	const struct post *p = rnd(&m.rng, 6) == 0 ? random_post(FARE_KIND_CALL) : NULL;
	e->key = 1 + rnd(&m.rng, m.keys_n);
	e->usage.cached = rnd(&m.rng, e->usage.input + 1);
	name_model(e->model, version);
	e->ending = (uint8_t)(1 + rnd(&m.rng, FARE_ENDING_N - 1));
	CHECK(fare_price_cost(&m.prices[version], &e->usage, &cost));
	if (fare_ending_is_free((enum fare_ending)e->ending))
		cost.nano = 0;
	e->amount = fare_nano(-cost.nano);
	e->hold = fare_nano((int64_t)rnd(&m.rng, 2 * (uint64_t)cost.nano + 2));
	if (p) {
		e->call_id = kit_id(p->id);
		*want = (struct expected){.applied = FARE_ALREADY, .amount = p->amount, .number = p->number};
	} else if (rnd(&m.rng, 12) == 0) {
		e->amount.nano -= 1;
		*want = (struct expected){.applied = FARE_REFUSED_OP};
	} else {
		expect_applied(&op, want, m.ids);
		struct post *mine = &m.posts[m.posts_n - 1];
		mine->version = version;
		mine->usage = e->usage;
		mine->is_free = fare_ending_is_free((enum fare_ending)e->ending) || (cost.nano == 0 && fare_usage_is_zero(&e->usage));
		mine->charge = cost.nano;
	}
	return op;
}

static struct fare_op make_money(struct expected *want)
{
	bool debit = rnd(&m.rng, 3) == 0;
	int64_t nano = 1 + (int64_t)rnd(&m.rng, 1000000000000);
	const struct post *p = rnd(&m.rng, 4) == 0 ? random_post(debit ? FARE_KIND_DEBIT : FARE_KIND_CREDIT) : NULL;
	uint64_t ref = p ? p->id : rnd(&m.rng, 2) ? ++m.refs : 0;
	char text[32] = "";
	if (ref)
		snprintf(text, sizeof text, "ref %" PRIu64, ref);
	struct fare_op op = kit_money(p ? p->account : random_account(), debit ? -nano : nano, text, random_time());
	if (p && rnd(&m.rng, 3) == 0)
		*want = (struct expected){.applied = op.u.post.amount.nano == p->amount ? FARE_ALREADY : FARE_REFUSED_OP, .amount = p->amount, .number = p->number};
	else if (p) {
		op.u.post.amount = fare_nano(p->amount);
		*want = (struct expected){.applied = FARE_ALREADY, .amount = p->amount, .number = p->number};
	} else
		expect_applied(&op, want, ref);
	return op;
}

static struct fare_op make_correction(struct expected *want)
{
	const struct post *p = random_post(FARE_KIND_CALL);
	struct fare_op op = kit_money(random_account(), 1 + (int64_t)rnd(&m.rng, 1000), "", random_time());
	if (rnd(&m.rng, 2))
		op.u.post.amount.nano = -op.u.post.amount.nano;
	op.u.post.kind = FARE_KIND_CORRECTION;
	op.u.post.corrects = kit_id(p ? p->id : UINT64_MAX);
	if (p && p->account == op.u.post.account)
		expect_applied(&op, want, 0);
	else
		*want = (struct expected){.applied = FARE_REFUSED_OP};
	return op;
}

/* What one item of a rerate should do; false: it is refused. */
static bool expect_rerated(struct fare_rerate *re, size_t i, int64_t *amount)
{
	struct post *p = NULL;
	struct fare_amount due = {0};
	struct expected unused;
	for (size_t k = 0; !p && k < m.posts_n; k++)
		if (m.posts[k].kind == FARE_KIND_CALL && fare_id_eq(kit_id(m.posts[k].id), re->items[i].call))
			p = &m.posts[k];
	if (!p || re->version > m.versions_n || p->version % 3 != re->version % 3)
		return false;
	if (!p->is_free)
		CHECK(fare_price_cost(&m.prices[re->version], &p->usage, &due));
	*amount = p->charge - due.nano;
	p->charge = due.nano;
	struct fare_op one = {.u.post = {.account = p->account, .kind = FARE_KIND_RERATE, .amount = fare_nano(*amount)}};
	if (*amount != 0)
		expect_applied(&one, &unused, 0);
	return true;
}

static struct fare_rerate re;
static struct { size_t done; int64_t amounts[8]; } want_re;

/* A few calls at once, some twice, at any version: also of another model, and back to an earlier one. */
static struct fare_op make_rerate(struct expected *want)
{
	const struct post *p = random_post(FARE_KIND_CALL);
	bool posted = false;
	re = (struct fare_rerate){.version = 1 + rnd(&m.rng, m.versions_n + 1), .time_ms = random_time(), .n = 1 + rnd(&m.rng, 8)};
	if (p && rnd(&m.rng, 4))
		re.version = 1 + (p->version - 1) % 3 + 3 * rnd(&m.rng, 1 + (m.versions_n - 1) / 3);
	for (size_t i = 0; i < re.n; i++) {
		re.items[i].call = kit_id(p ? p->id : UINT64_MAX);
		if (rnd(&m.rng, 2) && p)
			p = random_post(FARE_KIND_CALL);
	}
	*want = (struct expected){.applied = FARE_ALREADY};
	for (want_re.done = 0; want_re.done < re.n; want_re.done++) {
		int64_t *amount = &want_re.amounts[want_re.done];
		if (!expect_rerated(&re, want_re.done, amount)) {
			want->applied = FARE_REFUSED_OP;
			break;
		}
		posted = posted || *amount != 0;
	}
	if (posted)
		want->applied = FARE_APPLIED;
	return (struct fare_op){.type = FARE_OP_RERATE, .u.rerate = &re};
}

static void check_rerated(const struct expected *want)
{
	CHECK(re.done == want_re.done);
	for (size_t i = 0; i < re.done; i++)
		CHECK(re.items[i].amount.nano == want_re.amounts[i] && (want->applied == FARE_APPLIED || re.items[i].amount.nano == 0));
}

static struct fare_op make_outage(struct expected *want)
{
	struct fare_op op = {.type = FARE_OP_OUTAGE, .u.post = {.kind = FARE_KIND_OUTAGE, .time_ms = random_time()}};
	expect_applied(&op, want, 0);
	return op;
}

static void name_account(struct fare_op *op, int name) { snprintf(op->u.account.name, sizeof op->u.account.name, "a%d", name); }

/* A new account, a changed one (renamed sometimes), or one with a name that is taken. */
static struct fare_op make_account(struct expected *want)
{
	struct fare_op op = kit_account("x");
	uint64_t which = m.accounts_n == 0 ? 0 : rnd(&m.rng, 3);
	want->applied = FARE_APPLIED;
	if (which == 0 && m.accounts_n < ACCOUNTS_MAX) {
		struct account *a = &m.accounts[++m.accounts_n];
		a->name = (int)++m.names;
		name_account(&op, a->name);
		return op;
	}
	op.u.account.id = random_account();
	struct account *a = &m.accounts[op.u.account.id];
	const struct account *other = &m.accounts[random_account()];
	int name = which == 1 ? (int)++m.names : other->name;
	name_account(&op, name);
	op.u.account.credit_limit = fare_nano((int64_t)rnd(&m.rng, 1000));
	op.u.account.closed = rnd(&m.rng, 2);
	if (which != 1 && other != a) {
		want->applied = FARE_REFUSED_OP;
		return op;
	}
	a->name = name;
	a->limit = op.u.account.credit_limit.nano;
	a->closed = op.u.account.closed;
	return op;
}

static struct fare_op make_model(struct expected *want)
{
	struct fare_op op = kit_model("m", (int64_t)rnd(&m.rng, 3000000), (int64_t)rnd(&m.rng, 9000000));
	name_model(op.u.model.name, m.versions_n + 1);
	want->applied = FARE_REFUSED_OP;
	op.u.model.price.cache_read = (int64_t)rnd(&m.rng, 1000000) - 1;
	op.u.model.price.per_call = (int64_t)rnd(&m.rng, 1000);
	if (m.versions_n == VERSIONS_MAX || (m.versions_n > 0 && rnd(&m.rng, 4) == 0))
		op.u.model.price.input = -1;
	else {
		m.prices[++m.versions_n] = op.u.model.price;
		want->applied = FARE_APPLIED;
	}
	return op;
}

static struct fare_op make_key(struct expected *want)
{
	char text[32];
	bool twice = m.keys_n > 0 && rnd(&m.rng, 3) == 0;
	snprintf(text, sizeof text, "fb_%zu", twice ? m.keys_n : m.keys_n + 1);
	m.keys_n += !twice;
	want->applied = twice ? FARE_REFUSED_OP : FARE_APPLIED;
	return kit_key(random_account(), text);
}

static struct fare_op make_op(struct expected *want)
{
	uint64_t dice = rnd(&m.rng, 100);
	*want = (struct expected){.applied = 0};
	if (dice < 55)
		return make_call(want);
	if (dice < 80)
		return make_money(want);
	if (dice < 83)
		return make_correction(want);
	if (dice < 86)
		return make_rerate(want);
	if (dice < 88)
		return make_outage(want);
	if (dice < 94)
		return make_account(want);
	return dice < 97 ? make_model(want) : make_key(want);
}

/* The next batch, in the model and, if there are books, in them. */
static void run_batch(struct fare_books *b)
{
	uint64_t ops = rnd(&m.rng, BATCH_OPS_MAX), entries = m.entries;
	if (b)
		CHECK(fare_books_begin(b) == 0);
	for (uint64_t i = 0; i < ops; i++) {
		struct expected want;
		struct fare_op op = make_op(&want);
		if (!b)
			continue;
		CHECK(fare_books_apply(b, &op) == 0);
		CHECK(op.applied == want.applied);
		if (op.type == FARE_OP_POST && want.applied != FARE_REFUSED_OP)
			CHECK(op.u.post.amount.nano == want.amount && op.u.post.number == want.number);
		if (op.type == FARE_OP_RERATE)
			check_rerated(&want);
	}
	if (b)
		CHECK(fare_books_commit(b) == 0);
	m.batches += m.entries > entries;
}

static bool same_account(void *arg, const struct fare_account *a)
{
	bool *same = arg;
	char name[32];
	const struct account *want = a->id <= m.accounts_n ? &m.accounts[a->id] : NULL;
	snprintf(name, sizeof name, "a%d", want ? want->name : 0);
	*same = want && strcmp(a->name, name) == 0 && a->credits.nano == want->credits && a->debits.nano == want->debits && a->balance.nano == want->credits - want->debits &&
		a->entries == want->entries && a->credit_limit.nano == want->limit && a->closed == want->closed;
	return *same;
}

static bool count_account(void *arg, const struct fare_account *a)
{
	(void)a;
	++*(size_t *)arg;
	return true;
}

static bool count_key(void *arg, const struct fare_key *k)
{
	(void)k;
	++*(size_t *)arg;
	return true;
}

static bool count_model(void *arg, const struct fare_model *model)
{
	CHECK(model->version == ++*(size_t *)arg);
	return true;
}

static bool sum_usage(void *arg, const struct fare_usage_total *t)
{
	struct account *sum = arg;
	sum->calls += t->calls;
	sum->cost += t->cost.nano;
	return true;
}

/* Are the books as the model has it? Differences in what a whole batch changes answer false; what can't be explained by one is wrong at once. */
static bool same(struct fare_books *b)
{
	struct fare_seal head;
	size_t accounts = 0, keys = 0, versions = 0;
	bool alike = true;
	CHECK(fare_books_head_seal(b, &head) == 0);
	CHECK(fare_books_each_account(b, same_account, &alike) == 0);
	CHECK(fare_books_each_account(b, count_account, &accounts) == 0);
	CHECK(fare_books_each_key(b, count_key, &keys) == 0);
	CHECK(fare_books_each_model(b, count_model, &versions) == 0);
	return alike && accounts == m.accounts_n && keys == m.keys_n && versions == m.versions_n && head.number == m.batches && head.total_entries == m.entries &&
		head.total_credits.nano == m.credits && head.total_debits.nano == m.debits;
}

static bool take_entry(void *arg, const struct fare_entry *e)
{
	*(struct fare_entry *)arg = *e;
	return false;
}

static bool sum_group(void *arg, const struct fare_usage_total *t, const char *account)
{
	CHECK((t->account == 0) == (account[0] == '\0'));
	return sum_usage(arg, t);
}

/* By whatever it is summed: the ledger's calls, and what they cost. */
static void check_usage(struct fare_books *b)
{
	struct account all = {.calls = 0};
	for (size_t i = 1; i <= m.accounts_n; i++) {
		all.calls += m.accounts[i].calls;
		all.cost += m.accounts[i].cost;
	}
	for (unsigned by = FARE_BY_ACCOUNT; by <= FARE_BY_DAY; by++) {
		struct account sum = {.calls = 0};
		CHECK(fare_books_usage(b, (enum fare_usage_by)by, 0, UINT32_MAX, sum_group, &sum) == 0);
		CHECK(sum.calls == all.calls && sum.cost == all.cost);
	}
}

static void check_all(struct fare_books *b)
{
	struct fare_verify v;
	struct fare_entry e;
	CHECK(same(b));
	for (size_t i = m.posts_n < 200 ? 0 : m.posts_n - 200; i < m.posts_n; i++) {
		const struct post *p = &m.posts[i];
		e.number = 0;
		if (p->kind == FARE_KIND_CALL)
			CHECK(fare_books_find_call(b, kit_id(p->id), &e) == 1);
		else
			CHECK(fare_books_each_entry(b, p->account, p->number, take_entry, &e) == 0);
		CHECK(e.account == p->account && e.number == p->number && e.amount.nano == p->amount && e.kind == p->kind);
	}
	for (size_t i = 1; i <= m.accounts_n; i++) {
		struct account sum = {.calls = 0};
		CHECK(fare_books_each_usage(b, i, 0, sum_usage, &sum) == 0);
		CHECK(sum.calls == m.accounts[i].calls && sum.cost == m.accounts[i].cost);
	}
	check_usage(b);
	CHECK(fare_books_verify(b, &v) == 0);
	if (!v.ok)
		wrong(__LINE__, v.first_fault);
	CHECK(v.entries == m.entries && v.seals == m.batches && v.accounts == m.accounts_n);
}

static struct fare_books *open_books(bool create)
{
	char error[FARE_ERROR_N];
	struct fare_books *b = fare_books_open(home, create, error);
	if (!b)
		wrong(__LINE__, error);
	return b;
}

static _Noreturn void child(int fd, uint64_t batches)
{
	struct fare_books *b = open_books(false);
	for (uint64_t i = 0; i < batches; i++) {
		run_batch(b);
		CHECK(write(fd, "a", 1) == 1);
		if (rnd(&seed, 8) == 0) /* its own dice: the parent does not follow them */
			CHECK(fare_books_checkpoint(b) == 0);
	}
	_exit(0); /* as good as killed */
}

/* A child works and is killed; returns the batches it acknowledged, which the model then has too. */
static uint64_t killed_round(uint64_t *dice)
{
	int fds[2], status;
	uint64_t batches = 1 + rnd(dice, BATCHES_MAX), kill_after = rnd(dice, batches + 1), acked = 0;
	char byte;
	CHECK(pipe(fds) == 0);
	fflush(NULL);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		child(fds[1], batches);
	}
	close(fds[1]);
	while (acked < kill_after && read(fds[0], &byte, 1) == 1)
		acked++;
	struct timespec pause = {.tv_nsec = (long)rnd(dice, kill_after == 0 ? 40000000 : 1500000)};
	nanosleep(&pause, NULL);
	kill(pid, SIGKILL);
	while (read(fds[0], &byte, 1) == 1)
		acked++;
	close(fds[0]);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	for (uint64_t i = 0; i < acked; i++)
		run_batch(NULL);
	return batches - acked;
}

int main(int argc, char **argv)
{
	const char *env = getenv("FAREBOX_SEED");
	seed = argc > 1 ? strtoull(argv[1], NULL, 10) : env ? strtoull(env, NULL, 10) : (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
	uint64_t rounds = argc > 2 ? strtoull(argv[2], NULL, 10) : ROUNDS, dice = seed ^ 0x5bd1e995, cut = 0, whole = 0;
	printf("seed %" PRIu64 "\n", seed);
	m.rng = seed;
	m.time_ms = 1700000000000;
	kit_home(home);
	struct fare_books *b = open_books(true);
	struct expected want;
	struct fare_op p = kit_provider("p"), first[3];
	CHECK(kit_one(b, &p) == FARE_APPLIED);
	first[0] = make_account(&want);
	first[1] = make_model(&want);
	first[2] = make_key(&want);
	for (size_t i = 0; i < FARE_ARRAY_N(first); i++)
		CHECK(kit_one(b, &first[i]) == FARE_APPLIED);
	for (uint64_t round = 0; round < rounds; round++) {
		if (rnd(&dice, 3) == 0)
			for (uint64_t i = rnd(&dice, BATCHES_MAX); i > 0; i--)
				run_batch(b);
		fare_books_close(&b);
		uint64_t left = rnd(&dice, 4) ? killed_round(&dice) : 0;
		b = open_books(false);
		if (left > 0) {
			/* The batch after the last acknowledged one may have reached the log. */
			bool as_acked = same(b);
			if (!as_acked) {
				run_batch(NULL);
				whole++;
			}
			cut++;
		}
		check_all(b);
	}
	fare_books_close(&b);
	kit_remove(home);
	printf("ok - %" PRIu64 " rounds, %" PRIu64 " entries, killed in the middle %" PRIu64 " times, of these %" PRIu64 " times committed and not acknowledged\n", rounds, m.entries, cut, whole);
	return 0;
}
