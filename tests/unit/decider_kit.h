/* What stands around a decider in its tests: a writer, meters, a ledger, workers, and what was told. */
#ifndef FARE_TESTS_DECIDER_KIT_H
#define FARE_TESTS_DECIDER_KIT_H

#include "base/first.h"

#include <stdlib.h>

#include "unit.h"

#include "bank/decider.h"
#include "base/log.h"

enum { HOLDS = 8, SLOTS = 4, TOLD_MAX = 64, METERS = 64 };

struct told { struct fare_worker *w; enum fare_msg_type type; uint16_t slot; struct fare_id id; struct fare_admit_answer answer; };
struct meter { struct fare_id id; struct fare_meter_reading reading; };

/* What stands around the decider: a writer that has not got round to its work yet, meters, a ledger, and what was told. */
struct world {
	struct fare_decider d;
	struct fare_job *first, **last;
	struct told told[TOLD_MAX];
	unsigned told_n;
	struct meter meters[METERS];
	unsigned meter_n;
	struct fare_entry ledger[METERS];
	unsigned ledger_n;
	struct fare_replay replays[METERS]; /* of the ledger's calls; account 0: none */
	unsigned expired_n;
	struct fare_alarm alarms[16];
	unsigned alarm_n;
	struct fare_account stored; /* of account 1: its mark, and what the writer has of its falls */
	int conn; /* its address stands for a connection */
};

static inline void tell(void *ctx, struct fare_worker *w, enum fare_msg_type type, uint16_t slot, struct fare_id id, const struct fare_admit_answer *answer)
{
	struct world *x = ctx;
	if (!w->conn)
		return;
	assert_true(x->told_n < TOLD_MAX);
	x->told[x->told_n++] = (struct told){w, type, slot, id, answer ? *answer : (struct fare_admit_answer){0}};
}

static inline void post(void *ctx, struct fare_job *job)
{
	struct world *x = ctx;
	job->next = NULL;
	*x->last = job;
	x->last = &job->next;
}

static inline bool read_meter(void *ctx, struct fare_worker *w, unsigned slot, struct fare_id expected, struct fare_meter_reading *out)
{
	struct world *x = ctx;
	(void)w;
	(void)slot;
	for (unsigned i = 0; i < x->meter_n; i++)
		if (fare_id_eq(x->meters[i].id, expected)) {
			*out = x->meters[i].reading;
			return true;
		}
	return false;
}

static inline void on_alarm(void *ctx, const struct fare_alarm *a)
{
	struct world *x = ctx;
	assert_true(x->alarm_n < FARE_ARRAY_N(x->alarms));
	x->alarms[x->alarm_n++] = *a;
}

static inline struct fare_entry *entry_of(struct world *x, struct fare_id id)
{
	for (unsigned i = 0; i < x->ledger_n; i++)
		if (fare_id_eq(x->ledger[i].call_id, id))
			return &x->ledger[i];
	return NULL;
}

static inline int has_entry(void *ctx, struct fare_id id) { return entry_of(ctx, id) != NULL; }

/* The writer does all that is queued, and it is durable. */
static inline void write_all(struct world *x)
{
	while (x->first) {
		struct fare_job *job = x->first;
		x->first = job->next;
		if (!x->first)
			x->last = &x->first;
		const struct fare_entry *e = &job->op.u.post;
		bool call = job->what == FARE_JOB_LOOK || job->hold;
		job->op.applied = call && entry_of(x, e->call_id) ? FARE_ALREADY : FARE_APPLIED;
		if (job->hold && job->op.applied == FARE_APPLIED) {
			job->op.keyed.answer_n = e->amount.nano ? job->answer_n : 0; /* as the writer, with a file as said */
			if (e->amount.nano) {
				x->replays[x->ledger_n] = (struct fare_replay){.call_id = e->call_id, .account = e->account, .idem = job->op.keyed.idem, .cost = fare_nano(-e->amount.nano), .ended_ms = e->time_ms, .answer_n = job->answer_n};
				memcpy(x->replays[x->ledger_n].body, job->op.keyed.body, FARE_BODY_DIGEST_N);
			}
			x->ledger[x->ledger_n++] = *e;
		}
		for (uint32_t i = 0; job->op.type == FARE_OP_FORGET && i < job->op.u.forget.count; i++) {
			for (unsigned k = 0; k < x->ledger_n; k++)
				if (fare_id_eq(x->ledger[k].call_id, job->op.u.forget.calls[i]))
					x->replays[k].account = 0;
			x->expired_n++;
		}
		if (job->op.type == FARE_OP_ACCOUNT_LOW) {
			x->stored.low = job->op.u.account.low;
			x->stored.falls = job->op.u.account.falls;
		}
		fare_decider_durable(&x->d, job);
	}
}

/* The bank is killed: what is queued and in memory is lost, holds stay. */
static inline void load(struct world *x);
static inline void bank_restarts(struct world *x)
{
	struct fare_holds holds = x->d.holds;
	int64_t spent = 0;
	while (x->first) {
		struct fare_job *job = x->first;
		x->first = job->next;
		free(job);
	}
	x->last = &x->first;
	x->d.holds = (struct fare_holds){.fd = -1};
	fare_decider_release(&x->d);
	load(x);
	for (unsigned i = 0; i < x->ledger_n; i++)
		spent += x->ledger[i].amount.nano;
	fare_decider_account(&x->d, 1)->rec.balance.nano += spent;
	fare_holds_close(&x->d.holds);
	x->d.holds = holds;
	free(x->d.holds.free); /* listed anew, as from a file */
	x->d.holds.free = fare_alloc(HOLDS * sizeof(uint32_t));
	uint32_t n = 0;
	for (uint32_t i = 0; i < HOLDS; i++)
		if (atomic_load(&holds.records[i].state) == FARE_HOLD_FREE)
			x->d.holds.free[n++] = i;
	x->d.holds.used = HOLDS - n;
	x->told_n = 0;
	static const struct fare_hash no_key;
	for (unsigned i = 0; i < x->ledger_n; i++)
		if (x->replays[i].account && memcmp(&x->replays[i].idem, &no_key, sizeof no_key) != 0)
			fare_decider_put_replay(&x->d, &x->replays[i]);
	assert_true(fare_decider_recover(&x->d, has_entry, x));
}

static inline void key_of(unsigned n, struct fare_hash *out) { fare_sha256(&n, sizeof n, out); }

static inline void load(struct world *x)
{
	static const uint8_t store[16];
	const struct fare_decider_out out = {x, tell, post, read_meter, on_alarm};
	char error[FARE_ERROR_N];
	fare_decider_init(&x->d, &out);
	assert_true(fare_holds_open(&x->d.holds, NULL, store, store, HOLDS, error));
	fare_decider_time(&x->d, 1000000);
	struct fare_account a = {.id = 1, .name = "a", .balance = {1000}, .credits = {1000}, .low_balance = x->stored.low_balance, .low = x->stored.low, .falls = x->stored.falls};
	fare_decider_put_account(&x->d, &a);
	a = (struct fare_account){.id = 2, .name = "b", .balance = {100}, .closed = true};
	fare_decider_put_account(&x->d, &a);
	struct fare_key keys[] = {{.id = 1, .account = 1, .state = FARE_KEY_LIVE}, {.id = 2, .account = 1, .state = FARE_KEY_REVOKED}, {.id = 3, .account = 1, .state = FARE_KEY_LIVE, .expires_ms = 1000000},
		{.id = 4, .account = 2, .state = FARE_KEY_LIVE}, {.id = 5, .account = 1, .state = FARE_KEY_LIVE, .models = "x*, other", .ip = "10.0.0.0/8,::1"}};
	for (size_t i = 0; i < FARE_ARRAY_N(keys); i++) {
		key_of((unsigned)keys[i].id, &keys[i].hash);
		fare_decider_put_key(&x->d, &keys[i]);
	}
	struct fare_provider p = {.id = 1, .name = "p", .style = FARE_STYLE_OPENAI, .base_url = "http://h/v1"};
	fare_decider_put_provider(&x->d, &p);
	/* One nano-dollar for a token of output, nothing for input. */
	struct fare_model models[] = {{.version = 1, .provider = 1, .name = "m", .upstream = "up", .price = {.output = 1000000, .cache_read = -1, .cache_write = -1}, .priced = true, .max_output = 5000},
		{.version = 2, .provider = 1, .name = "unpriced"},
		{.version = 3, .provider = 1, .name = "in", .price = {.input = 1000000, .cache_read = -1, .cache_write = -1}, .priced = true, .context = 50},
		{.version = 4, .provider = 1, .name = "s", .price = {.output = 1000000, .cache_read = -1, .cache_write = -1}, .priced = true, .max_output = 5000, .stream_hold = 40}};
	for (size_t i = 0; i < FARE_ARRAY_N(models); i++)
		fare_decider_put_model(&x->d, &models[i]);
}

static inline int set_up(void **state)
{
	struct world *x = fare_alloc(sizeof *x);
	x->last = &x->first;
	load(x);
	*state = x;
	return 0;
}

static inline int tear_down(void **state)
{
	struct world *x = *state;
	for (struct fare_job *job = x->first, *next; job; job = next) {
		next = job->next;
		free(job);
	}
	fare_decider_release(&x->d);
	free(x);
	return 0;
}

/* ---- Steps */

static inline struct fare_worker *hello(struct world *x, uint8_t no, const struct fare_listed *listed, uint32_t n)
{
	struct fare_hello h = {.incarnation = {{no}}, .worker_no = no, .slots = SLOTS, .count = n, .listed = (struct fare_listed *)(uintptr_t)listed};
	struct fare_worker *w = fare_decider_hello(&x->d, &h);
	if (w)
		w->conn = &x->conn;
	return w;
}

static inline struct fare_id id_of(unsigned n) { return (struct fare_id){{[14] = (uint8_t)(n >> 8), [15] = (uint8_t)n}}; }

static inline struct fare_admit ask_of(unsigned n, int64_t bound)
{
	struct fare_admit a = {.call_id = id_of(n), .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = bound, .ip = "127.0.0.1"};
	key_of(1, &a.key);
	return a;
}

static inline const struct told *last_told(const struct world *x)
{
	assert_true(x->told_n > 0);
	return &x->told[x->told_n - 1];
}

static inline const struct told *admit(struct world *x, struct fare_worker *w, uint16_t slot, unsigned n, int64_t bound)
{
	struct fare_admit a = ask_of(n, bound);
	unsigned before = x->told_n;
	fare_decider_admit(&x->d, w, slot, &a);
	return x->told_n > before ? last_told(x) : NULL;
}

static inline void meter(struct world *x, unsigned n, enum fare_meter_state state, uint64_t tokens)
{
	struct meter *m = NULL;
	for (unsigned i = 0; i < x->meter_n; i++)
		if (fare_id_eq(x->meters[i].id, id_of(n)))
			m = &x->meters[i];
	if (!m)
		m = &x->meters[x->meter_n++];
	m->id = id_of(n);
	m->reading = (struct fare_meter_reading){.call_id = id_of(n), .state = state, .ending = state == FARE_METER_FINAL ? FARE_COMPLETE : 0, .flags = FARE_METER_REPORTED, .received = tokens,
		.usage = {.output = tokens}};
}

static inline int64_t available(struct world *x) { return fare_decider_available(fare_decider_account(&x->d, 1)).nano; }

static inline void submit(struct world *x, uint8_t kind, int64_t nano)
{
	struct fare_job *job = fare_alloc(sizeof *job);
	job->what = FARE_JOB_OP;
	job->op.type = FARE_OP_POST;
	job->op.u.post = (struct fare_entry){.account = 1, .kind = kind, .amount = {nano}};
	fare_decider_submit(&x->d, job);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

#endif
