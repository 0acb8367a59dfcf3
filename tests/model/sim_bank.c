/* The bank's process around the real decider: its store, its writer and its sockets, as far as the rules need them (lib/bank/server_call.c and writer.c are the real ones). */
#include "sim.h"

#include <stdlib.h>

enum { BALANCE = 25 };

/* Time goes on, whatever the clock says. */
static void tell_time(struct sim *s, uint64_t ms)
{
	fare_decider_time(&s->d, ms);
	s->told_ms = ms > s->told_ms ? ms : s->told_ms;
}

/* ---- Callbacks of the decider: a bank can die at each */

static void may_die(struct sim *s)
{
	if (s->die_at && --s->die_at == 0)
		longjmp(s->dead, 1);
}

static struct fare_entry *entry_of(struct sim *s, struct fare_id id)
{
	for (unsigned i = 0; i < s->ledger_n; i++)
		if (fare_id_eq(s->ledger[i].call_id, id))
			return &s->ledger[i];
	return NULL;
}

static void check_ack(struct sim *s, struct fare_id id)
{
	struct sim_call *c = sim_call_of(s, id);
	const struct fare_entry *e = entry_of(s, id);
	if (c->admitted) {
		/* A power cut undid the admission: nothing is owed to that life any more, and nothing can be asked by it. */
		SIM_MUST(s, e || c->dark);
		SIM_MUST(s, !e || (unsigned)(e - s->ledger) < s->durable_n);
		c->acked = e != NULL;
	}
}

/* Who is told that his key was used: there is such a call, it was charged, and that will not be undone. */
static void check_refusal(struct sim *s, struct fare_id id, const struct fare_admit_answer *a)
{
	if (a->refused < FARE_IDEM_IN_FLIGHT || a->refused > FARE_IDEM_REPLAY)
		return;
	const struct sim_call *c = sim_call_of(s, id), *earlier = sim_call_of(s, a->numbers.earlier);
	SIM_MUST(s, c->key && earlier->key == c->key && earlier->account == c->account && earlier != c);
	if (a->refused == FARE_IDEM_IN_FLIGHT)
		return;
	const struct fare_entry *e = entry_of(s, a->numbers.earlier);
	SIM_MUST(s, e && e->amount.nano < 0 && a->numbers.cost.nano == -e->amount.nano && ((unsigned)(e - s->ledger) < s->durable_n || sim_without(s, "flush") || sim_without(s, "r6")));
	SIM_MUST(s, (a->refused == FARE_IDEM_REPLAY) == (s->replays[e - s->ledger].answer_n > 0));
}

static void tell(void *ctx, struct fare_worker *w, enum fare_msg_type type, uint16_t slot, struct fare_id id, const struct fare_admit_answer *answer)
{
	struct sim *s = ctx;
	struct sim_conn *c = w->conn;
	uint8_t said = type == FARE_MSG_GRANT ? SIM_GRANT : type == FARE_MSG_REFUSE ? SIM_REFUSE : type == FARE_MSG_EXTENDED ? SIM_EXTENDED : type == FARE_MSG_ACK ? SIM_ACK : SIM_WELCOME;
	struct sim_message m = {.said = said, .slot = slot, .id = id};
	if (said == SIM_GRANT)
		m.held = answer->grant.held_output ? answer->grant.held_output : (uint64_t)answer->grant.bound;
	if (said == SIM_EXTENDED)
		m.asked = answer->extended.asked, m.held = answer->extended.held_output;
	if (said == SIM_REFUSE)
		check_refusal(s, id, answer);
	if (said == SIM_GRANT) {
		struct sim_call *call = sim_call_of(s, id);
		SIM_MUST(s, call->admitted || call->account < SIM_ACCOUNTS || !s->expires_ms || s->told_ms < s->expires_ms);
		call->admitted = true;
	}
	if (said == SIM_ACK)
		check_ack(s, id);
	may_die(s);
	if (c)
		sim_push(s, &c->down, &m);
}

static void post(void *ctx, struct fare_job *job)
{
	struct sim *s = ctx;
	job->next = NULL;
	*s->queue_end = job;
	s->queue_end = &job->next;
	may_die(s);
}

static struct sim_life *life_of(struct sim *s, struct fare_id incarnation)
{
	for (unsigned i = 0; i < s->lives_n; i++)
		if (fare_id_eq(s->lives[i].incarnation, incarnation))
			return &s->lives[i];
	sim_fail(s, "an incarnation that never was");
}

static bool read_meter(void *ctx, struct fare_worker *w, unsigned slot, struct fare_id expected, struct fare_meter_reading *out)
{
	struct sim *s = ctx;
	const struct sim_life *l = life_of(s, w->incarnation);
	may_die(s);
	SIM_MUST(s, !l->meter_gone && fare_id_eq(l->meter[slot].call_id, expected));
	*out = l->meter[slot];
	return true;
}

/* Raised when it is durable, and not again once it is durable that it was told. */
static void alarm(void *ctx, const struct fare_alarm *a)
{
	struct sim *s = ctx;
	may_die(s);
	if (a->what != FARE_ALARM_LOW_BALANCE)
		return;
	const struct sim_low *l = &s->low_durable[a->account];
	SIM_MUST(s, a->falls <= l->falls || sim_without(s, "flush"));
	SIM_MUST(s, a->falls != l->falls || l->low != FARE_LOW_TOLD);
	SIM_MUST(s, s->alarms_n < SIM_QUEUE);
	s->alarms[s->alarms_n++] = (struct sim_alarm){a->account, a->falls};
	s->raised[a->account] = a->falls;
	sim_say(s, "account %u has fallen", (unsigned)a->account);
}

/* ---- Start and end */

int64_t sim_ledger_sum(const struct sim *s, uint64_t account)
{
	int64_t sum = 0;
	for (unsigned i = 0; i < s->ledger_n; i++)
		if (s->ledger[i].account == account)
			sum += s->ledger[i].amount.nano;
	return sum;
}

static void key_of(uint64_t account, struct fare_hash *out) { fare_sha256(&account, sizeof account, out); }

static void load(struct sim *s)
{
	const struct fare_provider p = {.id = 1, .name = "p", .style = FARE_STYLE_OPENAI, .base_url = "http://h/v1"};
	const struct fare_model m = {.version = 1, .provider = 1, .name = "m", .priced = true, .price = {.output = 1000000, .cache_read = -1, .cache_write = -1}};
	fare_decider_put_provider(&s->d, &p);
	const struct fare_model grows = {.version = 2, .provider = 1, .name = "g", .priced = true, .price = m.price, .stream_hold = SIM_STREAM_HOLD};
	fare_decider_put_model(&s->d, &m);
	fare_decider_put_model(&s->d, &grows);
	for (uint64_t i = 1; i <= SIM_ACCOUNTS; i++) {
		struct fare_account a = {.id = i, .balance = fare_nano(BALANCE + sim_ledger_sum(s, i)), .credits = fare_nano(BALANCE),
			.low_balance = fare_nano(SIM_MARK), .low = s->low[i].low, .falls = s->low[i].falls};
		struct fare_key k = {.id = i, .account = i, .state = FARE_KEY_LIVE, .expires_ms = i == SIM_ACCOUNTS ? s->expires_ms : 0};
		snprintf(a.name, sizeof a.name, "a%u", (unsigned)i);
		key_of(i, &k.hash);
		fare_decider_put_account(&s->d, &a);
		fare_decider_put_key(&s->d, &k);
	}
	for (unsigned i = 0; i < s->ledger_n; i++)
		if (s->replays[i].account)
			fare_decider_put_replay(&s->d, &s->replays[i]);
}

/* As the holds file is found: free records listed anew. */
static void holds_open(struct sim *s)
{
	struct fare_holds *h = &s->d.holds;
	uint32_t n = 0;
	*h = (struct fare_holds){.records = s->holds, .count = SIM_HOLDS, .free = fare_alloc(SIM_HOLDS * sizeof(uint32_t)), .fd = -1};
	for (uint32_t i = SIM_HOLDS; i-- > 0;)
		if (atomic_load(&s->holds[i].state) == FARE_HOLD_FREE)
			h->free[n++] = i;
	h->used = SIM_HOLDS - n;
}

static int has_entry(void *ctx, struct fare_id id) { return entry_of(ctx, id) != NULL; }

void sim_bank_start(struct sim *s)
{
	const struct fare_decider_out out = {s, tell, post, read_meter, alarm};
	fare_decider_init(&s->d, &out);
	s->queue_end = &s->queue;
	s->up = true;
	holds_open(s);
	load(s);
	s->told_ms = 0;
	if (s->ledger_n) /* as the server does */
		tell_time(s, s->ledger[s->ledger_n - 1].time_ms);
	tell_time(s, s->wall_ms);
	if (!sim_without(s, "r6")) {
		s->durable_n = s->ledger_n;
		memcpy(s->low_durable, s->low, sizeof s->low);
	}
	SIM_MUST(s, fare_decider_recover(&s->d, has_entry, s));
	for (uint64_t i = 1; i <= SIM_ACCOUNTS; i++) /* as the server does */
		if (fare_decider_account(&s->d, i)->due)
			fare_decider_due(&s->d, i, fare_decider_account(&s->d, i)->due);
	sim_say(s, "the bank starts");
}

static void jobs_free(struct fare_job **first)
{
	for (struct fare_job *j = *first, *next; j; j = next) {
		next = j->next;
		free(j);
	}
	*first = NULL;
}

/* The store keeps what was committed, and the holds file is as it was written. */
void sim_bank_kill(struct sim *s)
{
	sim_say(s, "the bank is killed");
	s->up = false;
	s->die_at = 0;
	s->alarms_n = 0;
	jobs_free(&s->queue);
	jobs_free(&s->committed);
	jobs_free(&s->done);
	jobs_free(&s->in_hand);
	for (unsigned i = 0; i < s->conns_n; i++) {
		s->conns[i].bank_end = false;
		s->conns[i].w = NULL;
	}
	s->d.holds.records = NULL;
	fare_decider_release(&s->d);
}

/* ---- Sockets */

static void close_end(struct sim_conn *c)
{
	if (c->w)
		c->w->conn = NULL;
	c->bank_end = false;
}

static bool on_hello(struct sim *s, struct sim_conn *c, struct sim_message *m)
{
	struct sim_life *l = c->life;
	struct fare_hello h = {.incarnation = m->id, .worker_no = l->no, .pid = 1, .slots = SIM_SLOTS, .count = m->listed_n, .listed = m->listed};
	const struct fare_worker *known = fare_decider_worker(&s->d, m->id);
	uint64_t number = (uint64_t)(c - s->conns) + 1;
	/* R4; R3: a hello of an older connection, read late */
	if (!sim_without(s, "r4") && (!l->locked || l->meter_gone))
		return false;
	if (known && (known->dead || (known->conn_number > number && !sim_without(s, "r3"))))
		return false;
	struct fare_worker *w = fare_decider_hello(&s->d, &h);
	if (!w)
		return false;
	if (w->conn && !sim_without(s, "r3"))
		close_end(w->conn);
	w->conn = c;
	w->conn_number = number;
	c->w = w;
	tell(s, w, FARE_MSG_WELCOME, 0, m->id, NULL);
	return true;
}

static bool on_message(struct sim *s, struct sim_conn *c, struct sim_message *m)
{
	if (!c->w)
		return m->said == SIM_HELLO && on_hello(s, c, m);
	if (m->said == SIM_ADMIT) {
		struct fare_admit ask = {.call_id = m->id, .endpoint = FARE_CHAT, .model = "m", .prompt_bytes = 8, .text_bytes = 8, .choices = 1, .bound = m->grows ? SIM_STREAM_BOUND : SIM_BOUND, .stream = m->grows, .extends = true};
		if (m->grows)
			strcpy(ask.model, "g");
		key_of(m->account, &ask.key);
		if (m->key)
			fare_sha256(&m->key, sizeof m->key, &ask.idem);
		fare_decider_admit(&s->d, c->w, m->slot, &ask);
	} else if (m->said == SIM_EXTEND) {
		fare_decider_extend(&s->d, c->w, m->slot, m->id, m->asked);
	} else {
		fare_decider_end(&s->d, c->w, m->slot, m->id, m->said == SIM_VOID);
	}
	return true;
}

bool sim_bank_read(struct sim *s, struct sim_conn *c)
{
	struct sim_message m;
	if (!s->up || !c->bank_end)
		return false;
	tell_time(s, s->wall_ms);
	if (sim_pop(&c->up, &m)) {
		sim_say(s, "the bank reads %u of worker %u slot %u", m.said, c->life->no, m.slot);
		if (!on_message(s, c, &m))
			close_end(c);
		return true;
	}
	if (c->worker_end)
		return false;
	close_end(c);
	return true;
}

/* R2, R4: whose lock can be got is dead for good. */
bool sim_bank_bury(struct sim *s)
{
	bool any = false;
	if (!s->up)
		return false;
	for (struct fare_worker *w = s->d.workers, *next; w; w = next) {
		struct sim_life *l = life_of(s, w->incarnation);
		next = w->next;
		if (w->conn || (sim_without(s, "r2") && w->conn_number))
			continue;
		if (!w->dead && !l->locked) {
			sim_say(s, "the bank buries worker %u", l->no);
			fare_decider_dead(&s->d, w);
			any = true;
		}
		if (w->dead && w->holds == 0) {
			l->meter_gone = true;
			fare_decider_forget(&s->d, w);
			any = true;
		}
	}
	return any;
}

/* ---- The writer */

static void apply(struct sim *s, struct fare_job *job)
{
	struct fare_entry *e = &job->op.u.post;
	if (job->what != FARE_JOB_OP)
		return;
	job->op.applied = FARE_APPLIED;
	if (job->op.type == FARE_OP_ACCOUNT_LOW) {
		const struct fare_account *a = &job->op.u.account;
		s->low[a->id] = (struct sim_low){a->falls, a->low};
		return;
	}
	/* A call's charge meets an entry only when a rule was broken: a new bank has freed those holds. */
	SIM_MUST(s, !job->hold || !entry_of(s, e->call_id));
	SIM_MUST(s, s->ledger_n < SIM_LEDGER);
	SIM_MUST(s, e->time_ms && (s->ledger_n == 0 || e->time_ms >= s->ledger[s->ledger_n - 1].time_ms));
	s->replays[s->ledger_n] = (struct fare_replay){.account = 0};
	if (job->hold && sim_call_of(s, e->call_id)->key && e->amount.nano < 0) {
		job->op.keyed.answer_n = job->answer_n;
		s->replays[s->ledger_n] = (struct fare_replay){.call_id = e->call_id, .account = e->account, .idem = job->op.keyed.idem, .cost = fare_nano(-e->amount.nano), .ended_ms = e->time_ms, .answer_n = job->answer_n};
	}
	s->ledger[s->ledger_n++] = *e;
}

bool sim_bank_commit(struct sim *s, unsigned jobs)
{
	struct fare_job **last = &s->committed;
	if (!s->up || !s->queue || s->committed)
		return false;
	for (unsigned n = 0; n < jobs && s->queue; n++) {
		*last = s->queue;
		s->queue = s->queue->next;
		(*last)->next = NULL;
		apply(s, *last);
		last = &(*last)->next;
	}
	if (!s->queue)
		s->queue_end = &s->queue;
	sim_say(s, "the writer commits: %u entries", s->ledger_n);
	return true;
}

bool sim_bank_flush(struct sim *s)
{
	struct fare_job **last = &s->done;
	if (!s->up || !s->committed)
		return false;
	for (struct fare_job *job = s->committed; job; job = job->next) {
		/* Nothing written, nothing flushed. */
		if (job->what == FARE_JOB_OP && !sim_without(s, "flush")) {
			s->durable_n = s->ledger_n;
			memcpy(s->low_durable, s->low, sizeof s->low);
		}
	}
	for (struct fare_job *job = s->committed; job; job = job->next)
		if (job->what == FARE_JOB_LOOK)
			job->op.applied = entry_of(s, job->op.u.post.call_id) ? FARE_ALREADY : FARE_APPLIED;
	while (*last)
		last = &(*last)->next;
	*last = s->committed;
	s->committed = NULL;
	sim_say(s, "the writer flushes: %u entries", s->durable_n);
	return true;
}

/* An alarm is delivered: any of them. */
static void deliver(struct sim *s)
{
	struct sim_alarm *a = &s->alarms[sim_dice(s, s->alarms_n)], told = *a;
	*a = s->alarms[--s->alarms_n];
	fare_decider_told(&s->d, told.account, told.falls);
}

bool sim_bank_take_in(struct sim *s)
{
	if (!s->up || (!s->done && !s->alarms_n))
		return false;
	if (!s->done || (s->alarms_n && sim_dice(s, 2) == 0)) {
		deliver(s);
		return true;
	}
	s->in_hand = s->done;
	s->done = s->done->next;
	s->in_hand->next = NULL;
	fare_decider_durable(&s->d, s->in_hand);
	s->in_hand = NULL;
	return true;
}

/* ---- Money from outside */

static void credit_done(void *arg, struct fare_job *job)
{
	(void)job;
	((struct sim_credit *)arg)->acked = true;
}

void sim_bank_credit(struct sim *s, struct sim_credit *c)
{
	struct fare_job *job = fare_alloc(sizeof *job);
	c->asked = true;
	job->what = FARE_JOB_OP;
	job->op.type = FARE_OP_POST;
	job->op.u.post = (struct fare_entry){.account = c->account, .kind = c->nano > 0 ? FARE_KIND_CREDIT : FARE_KIND_DEBIT, .amount = fare_nano(c->nano), .number = (uint64_t)(c - s->credits) + 1, .time_ms = s->d.now_ms};
	job->done = credit_done;
	job->arg = c;
	sim_say(s, "a credit of %d for account %u", (int)c->nano, (unsigned)c->account);
	fare_decider_submit(&s->d, job);
}

/* ---- Its memory */

/* R9: never more is held than was named, whatever was said twice. */
static void check_size(struct sim *s, const struct fare_hold *h)
{
	if (atomic_load(&h->state) != FARE_HOLD_LIVE || !h->held_output)
		return;
	const struct sim_call *c = sim_call_of(s, h->call_id);
	SIM_MUST(s, c->grows && h->hold_nano == (int64_t)h->held_output);
	SIM_MUST(s, h->held_output <= (c->named > SIM_STREAM_HOLD ? c->named : SIM_STREAM_HOLD));
}

void sim_bank_check(struct sim *s)
{
	struct fare_holds_check c;
	unsigned die_at = s->die_at;
	if (!s->up)
		return;
	s->die_at = 0; /* looking at meters is no step of the bank's */
	if (!fare_decider_check_holds(&s->d, &c))
		sim_fail(s, c.first_fault);
	s->die_at = die_at;
	for (unsigned i = 0; i < SIM_HOLDS; i++)
		check_size(s, &s->holds[i]);
	for (uint64_t i = 1; i <= SIM_ACCOUNTS; i++)
		SIM_MUST(s, fare_decider_available(fare_decider_account(&s->d, i)).nano >= 0);
	unsigned used = 0;
	for (unsigned i = 0; i < SIM_HOLDS; i++)
		used += atomic_load(&s->holds[i].state) != FARE_HOLD_FREE;
	SIM_MUST(s, s->d.holds.used == used);
}

void sim_bank_rest(struct sim *s)
{
	sim_bank_bury(s);
	for (const struct fare_worker *w = s->d.workers; w; w = w->next)
		SIM_MUST(s, life_of(s, w->incarnation)->alive && w->holds == 0);
}
