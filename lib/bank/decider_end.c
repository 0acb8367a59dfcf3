/* The end of a call: decided in the hold's record, posted, freed when durable, acknowledged. And what else the writer has done. */
#include "base/first.h"

#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "bank/decider.h"
#include "bank/pricing.h"

static void say_alarm(const struct fare_hold *h, const char *what)
{
	char id[FARE_ID_TEXT_N];
	fare_id_text(h->call_id, id);
	fare_log(FARE_ALARM, "call %s: %s", id, what);
}

static void raise_alarm(struct fare_decider *d, const struct fare_hold *h, enum fare_alarm_what what, const char *text)
{
	say_alarm(h, text);
	fare_decider_raise(d, &(struct fare_alarm){.what = (uint8_t)what, .account = h->account, .call_id = h->call_id, .text = text});
}

void fare_decider_queue(struct fare_decider *d, struct fare_job *job)
{
	d->queued++;
	d->out.post(d->out.ctx, job);
}

void fare_decider_queue_charge(struct fare_decider *d, struct fare_hold *h)
{
	const struct fare_model *m = fare_decider_model(d, h->price_version);
	struct fare_job *job = fare_alloc(sizeof *job);
	job->what = FARE_JOB_OP;
	job->hold = h;
	job->op.type = FARE_OP_POST;
	job->op.u.post = (struct fare_entry){.account = h->account, .kind = FARE_KIND_CALL, .ending = (uint8_t)h->ending, .flags = (uint16_t)h->flags, .call_id = h->call_id, .key = h->key,
		.amount = fare_nano(-h->amount_nano), .hold = fare_nano(h->hold_nano), .price_version = h->price_version, .usage = h->usage, .time_ms = d->now_ms};
	if (m)
		memcpy(job->op.u.post.model, m->name, sizeof m->name);
	if (d->stories)
		fare_decider_story(d, h, &job->op.story);
	job->op.keyed.idem = h->idem;
	memcpy(job->op.keyed.body, h->body, sizeof h->body);
	job->incarnation = h->incarnation;
	job->worker_no = h->worker_no;
	job->answer_n = fare_hold_answer_n(h);
	fare_decider_queue(d, job);
}

static void charge_of(struct fare_decider *d, struct fare_worker *w, const struct fare_hold *h, struct fare_charge *c, uint32_t *answer_n)
{
	const struct fare_model *m = fare_decider_model(d, h->price_version);
	struct fare_meter_reading reading;
	if (m && d->out.read_meter(d->out.ctx, w, h->slot, h->call_id, &reading)) {
		fare_pricing_charge(&reading, &m->price, h->max_input, h->max_output, fare_nano(h->hold_nano), c);
		*answer_n = reading.answer_n;
		if (c->flags & FARE_ENTRY_CLAMPED)
			raise_alarm(d, h, FARE_ALARM_USAGE_CLAMPED, "usage beyond the model's limits was clamped");
		fare_decider_seen(d, h)->status = (uint16_t)reading.upstream_status;
		if (reading.upstream_status)
			fare_decider_answered(d, m->provider, reading.upstream_status, h->call_id);
		return;
	}
	*c = (struct fare_charge){.ending = FARE_METER_DAMAGED};
	raise_alarm(d, h, FARE_ALARM_METER_DAMAGED, "its meter is damaged: charged nothing");
}

/* Steps 6 of the protocol: price and ending in the record, then the rest is released, then to the writer (R5). */
void fare_decider_decide(struct fare_decider *d, struct fare_worker *w, struct fare_hold *h)
{
	struct fare_acct *a = fare_decider_account(d, h->account);
	struct fare_charge c;
	uint32_t answer_n = 0;
	charge_of(d, w, h, &c, &answer_n);
	h->amount_nano = c.amount.nano;
	h->ending = c.ending;
	fare_hold_set_flags(h, c.flags, answer_n);
	h->usage = c.usage;
	d->over_hold += (c.flags & FARE_ENTRY_OVER_HOLD) != 0;
	if (!fare_planted("r5"))
		fare_holds_write_decided(h);
	if (fare_planted("idem"))
		fare_idem_forget(d, h);
	if (fare_planted("r14"))
		atomic_store(&h->state, FARE_HOLD_FREE);
	if (fare_fault("bank_after_decide"))
		fare_log(FARE_WARN, "fault bank_after_decide");
	if (a) {
		a->pending.nano -= h->hold_nano;
		fare_decider_charge(a, -h->amount_nano);
	}
	w->memory[h->slot].known = FARE_SLOT_DECIDED;
	if (fare_planted("early_ack"))
		d->out.tell(d->out.ctx, w, FARE_MSG_ACK, (uint16_t)h->slot, h->call_id, NULL);
	fare_decider_queue_charge(d, h);
	if (a)
		fare_decider_watch(d, a);
}

static void look_in_ledger(struct fare_decider *d, struct fare_worker *w, uint16_t slot, struct fare_id call_id, bool is_void)
{
	struct fare_job *job = fare_alloc(sizeof *job);
	w->memory[slot] = (struct fare_slot_memory){.last = call_id, .known = FARE_SLOT_LOOKING};
	job->what = FARE_JOB_LOOK;
	job->is_void = is_void;
	job->slot = slot;
	job->incarnation = w->incarnation;
	job->op.u.post.call_id = call_id;
	fare_decider_queue(d, job);
}

void fare_decider_end(struct fare_decider *d, struct fare_worker *w, uint16_t slot, struct fare_id call_id, bool is_void)
{
	struct fare_slot_memory *m = &w->memory[slot];
	bool known = m->known != FARE_SLOT_NONE && fare_id_eq(m->last, call_id);
	if (known && m->known == FARE_SLOT_LIVE) {
		fare_decider_decide(d, w, m->hold);
	} else if (known && (m->known == FARE_SLOT_ENDED || m->known == FARE_SLOT_REFUSED || fare_planted("r7"))) {
		d->out.tell(d->out.ctx, w, FARE_MSG_ACK, slot, call_id, NULL);
	} else if (!known && (m->known == FARE_SLOT_LIVE || m->known == FARE_SLOT_DECIDED || m->known == FARE_SLOT_LOOKING)) {
		fare_log(FARE_ALARM, "worker %u ends a call in slot %u, where another one has not ended", w->no, slot);
	} else if (!known) {
		look_in_ledger(d, w, slot, call_id, is_void);
	} /* R7: decided or looked for: the ack comes when durable */
}

void fare_decider_dead(struct fare_decider *d, struct fare_worker *w)
{
	w->dead = true;
	for (uint32_t s = 0; s < w->slots; s++)
		if (w->memory[s].known == FARE_SLOT_LIVE)
			fare_decider_decide(d, w, w->memory[s].hold);
}

static void remember_ended(struct fare_decider *d, const struct fare_hold *h)
{
	d->ended[d->ended_count++ % FARE_ENDED_N] = (struct fare_ended_call){.call_id = h->call_id, .account = h->account, .key = h->key, .price_version = h->price_version,
		.started_ms = h->started_ms, .hold = fare_nano(h->hold_nano), .amount = fare_nano(h->amount_nano), .ending = (uint8_t)h->ending};
}

/* The slot's call is over: R14 and the ack, in this order. */
static void call_over(struct fare_decider *d, const struct fare_job *job)
{
	struct fare_hold *h = job->hold;
	struct fare_worker *w = fare_decider_worker(d, h->incarnation);
	struct fare_acct *a = fare_decider_account(d, h->account);
	uint16_t slot = (uint16_t)h->slot;
	struct fare_id call_id = h->call_id;
	if (job->op.applied == FARE_ALREADY) {
		say_alarm(h, "had its entry already");
		if (a) /* that entry is in the balance */
			fare_decider_give_back(a, h->amount_nano);
	}
	remember_ended(d, h);
	if (job->op.applied == FARE_REFUSED_OP) { /* parked: the record stays, and the next bank tries again */
		d->parked++;
		raise_alarm(d, h, FARE_ALARM_CALL_PARKED, job->op.error);
	} else {
		fare_idem_end(d, h, fare_nano(-job->op.u.post.amount.nano), job->op.u.post.time_ms, job->op.applied == FARE_APPLIED ? job->op.keyed.answer_n : 0);
		fare_holds_free(&d->holds, h);
	}
	if (a)
		fare_decider_watch(d, a);
	if (fare_fault("bank_before_ack"))
		fare_log(FARE_WARN, "fault bank_before_ack");
	if (!w)
		return;
	w->holds--;
	if (fare_id_eq(w->memory[slot].last, call_id))
		w->memory[slot] = (struct fare_slot_memory){.last = call_id, .known = FARE_SLOT_ENDED};
	d->out.tell(d->out.ctx, w, FARE_MSG_ACK, slot, call_id, NULL);
}

static void look_over(struct fare_decider *d, const struct fare_job *job)
{
	struct fare_worker *w = fare_decider_worker(d, job->incarnation);
	struct fare_id id = job->op.u.post.call_id;
	if (job->op.applied != FARE_ALREADY && !job->is_void) {
		char text[FARE_ID_TEXT_N];
		fare_id_text(id, text);
		fare_log(FARE_ALARM, "call %s: settled, but there is neither hold nor entry", text);
	}
	if (!w || job->slot >= w->slots) /* it may have died meanwhile, and have come again as another with fewer slots */
		return;
	if (fare_id_eq(w->memory[job->slot].last, id))
		w->memory[job->slot].known = FARE_SLOT_ENDED;
	d->out.tell(d->out.ctx, w, FARE_MSG_ACK, job->slot, id, NULL);
}

void fare_decider_submit(struct fare_decider *d, struct fare_job *job)
{
	const struct fare_entry *e = &job->op.u.post;
	struct fare_acct *a = job->op.type == FARE_OP_POST ? fare_decider_account(d, e->account) : NULL;
	bool taken = a && e->amount.nano < 0;
	if (taken)
		fare_decider_charge(a, e->amount.nano);
	fare_decider_queue(d, job);
	if (taken)
		fare_decider_watch(d, a);
}

/* A debit was taken at once. Of a repeat the first entry is filled in, which has the same amount. */
static void money_moved(struct fare_decider *d, const struct fare_job *job)
{
	const struct fare_entry *e = &job->op.u.post;
	struct fare_acct *a = fare_decider_account(d, e->account);
	if (!a)
		return;
	if (job->op.applied == FARE_APPLIED && e->amount.nano > 0)
		fare_decider_charge(a, e->amount.nano);
	if (job->op.applied != FARE_APPLIED && e->amount.nano < 0)
		fare_decider_give_back(a, -e->amount.nano);
	fare_decider_watch(d, a);
}

/* Only the writer knows what a call is charged: differences count when they are durable, either way. */
static void rerated(struct fare_decider *d, const struct fare_rerate *re)
{
	for (size_t i = 0; i < re->done; i++) {
		struct fare_acct *a = fare_decider_account(d, re->items[i].account);
		if (!a || re->items[i].amount.nano == 0)
			continue;
		fare_decider_charge(a, re->items[i].amount.nano);
		fare_decider_watch(d, a);
	}
}

static void op_over(struct fare_decider *d, const struct fare_job *job)
{
	if (job->op.type == FARE_OP_POST) {
		money_moved(d, job);
		return;
	}
	d->forgetting -= job->op.type == FARE_OP_FORGET;
	if (job->op.applied != FARE_APPLIED)
		return;
	if (job->op.type == FARE_OP_RERATE)
		rerated(d, job->op.u.rerate);
	else if (job->op.type == FARE_OP_ACCOUNT_PUT)
		fare_decider_put_account(d, &job->op.u.account);
	else if (job->op.type == FARE_OP_ACCOUNT_LOW && job->op.u.account.low == FARE_LOW_DUE)
		fare_decider_due(d, job->op.u.account.id, job->op.u.account.falls);
	else if (job->op.type == FARE_OP_KEY_PUT)
		fare_decider_put_key(d, &job->op.u.key);
	else if (job->op.type == FARE_OP_PROVIDER_PUT)
		fare_decider_put_provider(d, &job->op.u.provider);
	else if (job->op.type == FARE_OP_MODEL_PUT)
		fare_decider_put_model(d, &job->op.u.model);
}

void fare_decider_durable(struct fare_decider *d, struct fare_job *job)
{
	d->queued--;
	if (job->what == FARE_JOB_LOOK)
		look_over(d, job);
	else if (job->hold)
		call_over(d, job);
	else
		op_over(d, job);
	if (job->done)
		job->done(job->arg, job);
	free(job);
}
