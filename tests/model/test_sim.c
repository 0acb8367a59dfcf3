/*
 * test_sim [--histories N] [--seed S] [--trace] [--without RULE]: histories of a bank and its workers, each made by its seed: messages late, lost and repeated, clocks that jump, and processes
 * that die between any two steps, also of the decider's own; some with a power cut. At the end of each nothing is broken any more, and all must come to rest. Then:
 *   no alarm of a low balance comes before its fall is durable, or again after it is durable that it was told; an account that is low at the end was told of;
 *   no call has two entries; each admitted call has one (but for those in flight at a power cut), at what the upstream gave when its end was seen, else at no more;
 *   of the calls of one Idempotency-Key at most one was charged; who was told of an earlier call was told the truth;
 *   time never goes back in the ledger, and a key that has expired stays so; no worker that is dead is remembered at rest;
 *   no hold is left, each account has what its ledger says and was never below zero; what was acknowledged is there; no alarm was raised.
 * A history that fails is told by its seed: --seed S --histories 1 --trace shows each step. Default: FAREBOX_SIM_HISTORIES, else 20000, from a seed that is printed.
 */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/secret.h"

enum { STEPS_LEAST = 40, STEPS_MORE = 360, REST_ROUNDS = 2000 };

unsigned sim_dice(struct sim *s, unsigned sides)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return (unsigned)((s->random >> 11) % sides);
}

void sim_say(const struct sim *s, const char *fmt, ...)
{
	va_list ap;
	if (!s->trace)
		return;
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

bool sim_without(const struct sim *s, const char *rule) { return strcmp(s->without, rule) == 0; }

FARE_NORETURN void sim_fail(const struct sim *s, const char *what)
{
	printf("not ok - history with seed %llu: %s\n", (unsigned long long)s->seed, what);
	fflush(stdout); /* a leak checker at the exit would drop it: who dies in the middle frees nothing */
	exit(1);
}

struct fare_id sim_id(struct sim *s)
{
	struct fare_id id = {{0}};
	uint64_t n = ++s->ids;
	for (int i = 15; n; i--, n >>= 8)
		id.b[i] = (uint8_t)n;
	return id;
}

struct sim_call *sim_call_of(struct sim *s, struct fare_id id)
{
	for (unsigned i = 0; i < s->calls_n; i++)
		if (fare_id_eq(s->calls[i].id, id))
			return &s->calls[i];
	return NULL;
}

void sim_push(struct sim *s, struct sim_queue *q, const struct sim_message *m)
{
	SIM_MUST(s, q->n < SIM_QUEUE);
	q->at[(q->first + q->n++) % SIM_QUEUE] = *m;
}

bool sim_pop(struct sim_queue *q, struct sim_message *m)
{
	if (q->n == 0)
		return false;
	*m = q->at[q->first];
	q->first = (q->first + 1) % SIM_QUEUE;
	q->n--;
	return true;
}

/* ---- Faults */

static bool is_durable(const struct sim *s, struct fare_id id)
{
	for (unsigned i = 0; i < s->durable_n; i++)
		if (fare_id_eq(s->ledger[i].call_id, id))
			return true;
	return false;
}

/* All processes end, what is in memory files is gone, and of the store there is what was flushed and perhaps some of the rest. */
static void power_cut(struct sim *s)
{
	if (s->up)
		sim_bank_kill(s);
	for (unsigned i = 0; i < s->lives_n; i++) {
		struct sim_life *l = &s->lives[i];
		if (l->alive)
			sim_worker_kill(s, l);
		l->locked = false;
		l->meter_gone = true;
	}
	memset(s->holds, 0, sizeof s->holds);
	s->ledger_n = s->durable_n + sim_dice(s, s->ledger_n - s->durable_n + 1);
	s->durable_n = s->ledger_n;
	memcpy(s->low, s->low_durable, sizeof s->low);
	for (unsigned i = 0; i < s->calls_n; i++)
		s->calls[i].dark |= !is_durable(s, s->calls[i].id);
	for (unsigned i = 0; i < s->credits_n; i++)
		s->credits[i].dark |= s->credits[i].asked && !s->credits[i].acked;
	sim_say(s, "the lights go out: %u entries are left", s->ledger_n);
}

struct faults { unsigned bank, worker, socket, power, twice, clock; };

static bool once(struct sim *s, unsigned *left)
{
	if (*left == 0 || sim_dice(s, 4))
		return false;
	(*left)--;
	return true;
}

static void fault(struct sim *s, struct faults *f, struct sim_life *l)
{
	if (s->up && once(s, &f->bank)) {
		if (sim_dice(s, 2))
			s->die_at = 1 + sim_dice(s, 3); /* within its next doings */
		else
			sim_bank_kill(s);
	} else if (l->alive && s->lives_n + SIM_NUMBERS < SIM_LIVES && once(s, &f->worker)) {
		sim_worker_kill(s, l);
	} else if (l->conn && once(s, &f->socket)) {
		sim_say(s, "the socket of worker %u breaks", l->no);
		sim_worker_hang_up(l);
	} else if (s->lives_n + 2 * SIM_NUMBERS < SIM_LIVES && once(s, &f->power)) {
		power_cut(s);
	} else if (once(s, &f->clock)) {
		s->wall_ms = s->wall_ms + sim_dice(s, 200000) - 100000;
	} else if (f->twice && sim_worker_again(s, l, sim_dice(s, SIM_SLOTS))) {
		f->twice--;
	}
}

/* ---- Steps */

static void bank_step(struct sim *s)
{
	if (!s->up) {
		sim_bank_start(s);
		return;
	}
	switch (sim_dice(s, 8)) {
	case 0: sim_bank_commit(s, 1 + sim_dice(s, 4)); break;
	case 1: sim_bank_flush(s); break;
	case 2: case 3: sim_bank_take_in(s); break;
	case 4: sim_bank_bury(s); break;
	default:
		if (s->conns_n)
			sim_bank_read(s, &s->conns[sim_dice(s, s->conns_n)]);
	}
}

static void worker_step(struct sim *s, struct sim_life *l)
{
	unsigned slot = sim_dice(s, SIM_SLOTS);
	if (!l->alive) {
		/* Locks are freed later than sockets; a keeper does not wait for either. */
		if (sim_dice(s, 2))
			l->locked = false;
		else if (s->now[l->no] == l)
			sim_worker_start(s, l->no);
		return;
	}
	switch (sim_dice(s, 10)) {
	case 0: case 1: sim_worker_call(s, l); break;
	case 2: if (sim_dice(s, 3) == 0) sim_worker_give_up(s, l, slot); break;
	case 3: case 4: case 5: sim_worker_step(s, l, slot); break;
	case 6: sim_worker_connect(s, l); break;
	default: sim_worker_hear(s, l);
	}
}

static void money_step(struct sim *s)
{
	if (!s->up || s->credits_n == SIM_CREDITS)
		return;
	struct sim_credit *c = &s->credits[s->credits_n++];
	*c = (struct sim_credit){.account = 1 + sim_dice(s, SIM_ACCOUNTS), .nano = 1 + sim_dice(s, 20)};
	/* As the command: a debit not beyond what is available. */
	if (sim_dice(s, 4) == 0 && fare_decider_available(fare_decider_account(&s->d, c->account)).nano >= c->nano)
		c->nano = -c->nano;
	sim_bank_credit(s, c);
}

static void step(struct sim *s, struct faults *f)
{
	struct sim_life *l = &s->lives[sim_dice(s, s->lives_n)];
	unsigned n = sim_dice(s, 100);
	if (n < 8)
		fault(s, f, l);
	else if (n < 10)
		money_step(s);
	else if (n < 55)
		bank_step(s);
	else
		worker_step(s, l);
}

/* A bank that dies in the middle of a step comes back here. */
static void step_or_death(struct sim *s, struct faults *f)
{
	if (setjmp(s->dead) == 0)
		step(s, f);
	else
		sim_bank_kill(s);
	sim_bank_check(s);
}

/* ---- The end */

static bool at_rest(struct sim *s)
{
	for (unsigned i = 0; i < s->lives_n; i++)
		if (s->lives[i].alive && !sim_worker_is_idle(&s->lives[i]))
			return false;
	for (unsigned i = 0; i < SIM_HOLDS; i++)
		if (atomic_load(&s->holds[i].state) != FARE_HOLD_FREE)
			return false;
	return s->up && !s->queue && !s->committed && !s->done && !s->alarms_n;
}

static void rest_round(struct sim *s)
{
	if (!s->up)
		sim_bank_start(s);
	for (unsigned i = 0; i < s->lives_n; i++) {
		struct sim_life *l = &s->lives[i];
		l->locked = l->alive;
		sim_worker_connect(s, l);
		for (unsigned k = 0; k < SIM_SLOTS; k++)
			sim_worker_step(s, l, k);
		while (sim_worker_hear(s, l))
			;
	}
	for (unsigned i = 0; i < s->conns_n; i++)
		while (sim_bank_read(s, &s->conns[i]))
			;
	sim_bank_bury(s);
	sim_bank_commit(s, SIM_LEDGER);
	sim_bank_flush(s);
	while (sim_bank_take_in(s))
		;
}

static void come_to_rest(struct sim *s)
{
	s->die_at = 0;
	for (unsigned i = 0; i < REST_ROUNDS && !at_rest(s); i++)
		rest_round(s);
	SIM_MUST(s, at_rest(s));
	rest_round(s); /* nothing is left to say; sockets may have to be read to their end */
	SIM_MUST(s, at_rest(s));
	sim_bank_rest(s);
	sim_bank_check(s);
}

static void judge_call(struct sim *s, const struct sim_call *c)
{
	unsigned entries = 0;
	int64_t charged = 0;
	for (unsigned i = 0; i < s->ledger_n; i++)
		if (fare_id_eq(s->ledger[i].call_id, c->id)) {
			entries++;
			charged = -s->ledger[i].amount.nano;
			SIM_MUST(s, !c->upstream || s->ledger[i].ending != FARE_NOT_SENT); /* R13 */
			SIM_MUST(s, charged <= s->ledger[i].hold.nano && !(s->ledger[i].flags & FARE_ENTRY_OVER_HOLD));
		}
	SIM_MUST(s, entries <= 1);
	SIM_MUST(s, !c->acked || entries == 1);
	SIM_MUST(s, entries == 1 || !c->admitted || c->dark);
	SIM_MUST(s, !c->upstream || c->admitted);
	SIM_MUST(s, c->admitted || entries == 0);
	SIM_MUST(s, charged >= 0 && charged <= (int64_t)c->tokens);
	SIM_MUST(s, !c->final || entries == 0 || charged == (int64_t)c->tokens);
}

static void judge_keys(struct sim *s)
{
	unsigned charged[SIM_ACCOUNTS + 1][SIM_KEYS + 1] = {{0}};
	for (unsigned i = 0; i < s->ledger_n; i++) {
		const struct fare_entry *e = &s->ledger[i];
		const struct sim_call *c = e->kind == FARE_KIND_CALL && e->amount.nano < 0 ? sim_call_of(s, e->call_id) : NULL;
		if (c && c->key)
			SIM_MUST(s, ++charged[c->account][c->key] == 1);
	}
}

static void judge(struct sim *s)
{
	judge_keys(s);
	for (unsigned i = 0; i < s->calls_n; i++)
		judge_call(s, &s->calls[i]);
	for (unsigned i = 0; i < s->credits_n; i++) {
		unsigned entries = 0;
		for (unsigned k = 0; k < s->ledger_n; k++)
			entries += s->ledger[k].kind != FARE_KIND_CALL && s->ledger[k].number == i + 1;
		SIM_MUST(s, entries <= 1 && (entries == 1 || !s->credits[i].acked));
	}
	for (uint64_t i = 1; i <= SIM_ACCOUNTS; i++) {
		const struct fare_acct *a = fare_decider_account(&s->d, i);
		SIM_MUST(s, a->pending.nano == 0);
		SIM_MUST(s, a->rec.balance.nano == 25 + sim_ledger_sum(s, i));
		/* One that is low was told of, and the store knows it. */
		SIM_MUST(s, (a->rec.balance.nano < SIM_MARK) == (a->rec.low == FARE_LOW_TOLD));
		SIM_MUST(s, a->rec.low == FARE_LOW_NOT || s->raised[i] == a->rec.falls);
		SIM_MUST(s, s->low[i].low == a->rec.low && s->low[i].falls == a->rec.falls);
	}
}

static void history(struct sim *s, uint64_t seed, bool trace, const char *without)
{
	*s = (struct sim){.seed = seed, .random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1, .trace = trace, .without = without, .wall_ms = 1000000000};
	struct faults f = {.bank = sim_dice(s, 4), .worker = sim_dice(s, 4), .socket = sim_dice(s, 3), .twice = sim_dice(s, 4), .clock = sim_dice(s, 3)};
	f.power = sim_dice(s, 4) == 0;
	s->expires_ms = sim_dice(s, 4) ? 0 : s->wall_ms + sim_dice(s, 8000);
	sim_bank_start(s);
	for (uint32_t i = 0; i < SIM_NUMBERS; i++)
		sim_worker_start(s, i);
	for (unsigned n = STEPS_LEAST + sim_dice(s, STEPS_MORE); n > 0; n--) {
		s->wall_ms += sim_dice(s, 50);
		step_or_death(s, &f);
	}
	come_to_rest(s);
	judge(s);
	sim_bank_kill(s);
}

/* Alarms and warnings go to standard error: nothing may be there. */
static bool alarms(int log_fd)
{
	struct stat st;
	return fstat(log_fd, &st) != 0 || st.st_size != 0;
}

static void show_alarms(int log_fd)
{
	char text[1024];
	ssize_t n = pread(log_fd, text, sizeof text - 1, 0);
	if (n > 0)
		printf("# %.*s\n", (int)n, text);
}

int main(int argc, char **argv)
{
	const char *env = getenv("FAREBOX_SIM_HISTORIES");
	unsigned long histories = env ? strtoul(env, NULL, 10) : 20000;
	uint64_t seed = (uint64_t)time(NULL) * 1000000;
	bool trace = false;
	const char *without = "";
	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--trace"))
			trace = true;
		else if (!strcmp(argv[i], "--without") && i + 1 < argc)
			without = argv[++i];
		else if (!strcmp(argv[i], "--histories") && i + 1 < argc)
			histories = strtoul(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 10);
		else
			return 2;
	}
	int log_fd = memfd_create("log", MFD_CLOEXEC);
	if (log_fd < 0 || dup2(log_fd, STDERR_FILENO) < 0)
		return 1;
	fare_log_level(FARE_ALARM);
	struct sim *s = fare_alloc(sizeof *s);
	unsigned long calls = 0, entries = 0;
	uint64_t began_ms = fare_clock_boot_ms();
	for (unsigned long i = 0; i < histories; i++) {
		history(s, seed + i, trace, without);
		calls += s->calls_n;
		entries += s->ledger_n;
		if (alarms(log_fd)) {
			show_alarms(log_fd);
			sim_fail(s, "an alarm");
		}
	}
	free(s);
	uint64_t took_ms = fare_clock_boot_ms() - began_ms;
	printf("ok - %lu histories from seed %llu: %lu calls, %lu entries; %llu histories a minute\n", histories, (unsigned long long)seed, calls, entries,
		(unsigned long long)(histories * 60000 / (took_ms ? took_ms : 1)));
	return 0;
}
