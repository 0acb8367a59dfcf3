/* What is watched, and what becomes an alarm. */
#include "base/first.h"

#include "base/log.h"
#include "bank/decider.h"

enum { TELL_AGAIN_MS = 60 * 60 * 1000, TELL_MOST_MS = 60 * 1000 };

void fare_decider_raise(struct fare_decider *d, const struct fare_alarm *a)
{
	if (d->out.alarm)
		d->out.alarm(d->out.ctx, a);
}

static void submit_low(struct fare_decider *d, const struct fare_acct *a)
{
	struct fare_job *job = fare_alloc(sizeof *job);
	job->what = FARE_JOB_OP;
	job->op.type = FARE_OP_ACCOUNT_LOW;
	job->op.u.account = (struct fare_account){.id = a->rec.id, .falls = a->rec.falls, .low = a->rec.low};
	fare_decider_submit(d, job);
}

void fare_decider_watch(struct fare_decider *d, struct fare_acct *a)
{
	bool is_low = a->rec.low_balance.nano > 0 && (__int128)a->rec.balance.nano + a->rec.credit_limit.nano < a->rec.low_balance.nano;
	if (is_low == (a->rec.low != FARE_LOW_NOT))
		return;
	if (is_low)
		a->rec.falls++;
	a->rec.low = is_low ? FARE_LOW_DUE : FARE_LOW_NOT;
	submit_low(d, a);
}

void fare_decider_due(struct fare_decider *d, uint64_t account, uint64_t falls)
{
	struct fare_acct *a = fare_decider_account(d, account);
	if (!a)
		return;
	a->due = falls;
	fare_decider_raise(d, &(struct fare_alarm){.what = FARE_ALARM_LOW_BALANCE, .account = account, .falls = falls});
}

void fare_decider_told(struct fare_decider *d, uint64_t account, uint64_t falls)
{
	struct fare_acct *a = fare_decider_account(d, account);
	if (!a || a->due != falls)
		return;
	a->due = 0;
	if (a->rec.low != FARE_LOW_DUE || a->rec.falls != falls) /* it has risen meanwhile */
		return;
	a->rec.low = FARE_LOW_TOLD;
	submit_low(d, a);
}

/* The provider's place, or one that is free: never used, or, when all are, the one that was told of longest ago. */
static struct fare_refusing *refusing_of(struct fare_decider *d, uint64_t provider)
{
	struct fare_refusing *oldest = &d->refusing[0];
	for (size_t i = 0; i < FARE_REFUSING_N; i++) {
		struct fare_refusing *r = &d->refusing[i];
		if (r->provider == provider)
			return r;
		if (r->told_ms < oldest->told_ms)
			oldest = r;
	}
	return oldest;
}

void fare_decider_answered(struct fare_decider *d, uint64_t provider, uint64_t status, struct fare_id call_id)
{
	bool refused = status == 401 || status == 402 || status == 403;
	struct fare_refusing *r = refusing_of(d, provider);
	if (!refused) {
		if (r->provider == provider && r->on && status >= 200 && status < 300) {
			r->on = false;
			r->not_before_ms = r->told_ms + TELL_MOST_MS;
		}
		return;
	}
	if (r->provider != provider)
		*r = (struct fare_refusing){.provider = provider};
	if (!r->on)
		r->since_ms = d->now_ms;
	r->on = true;
	r->status = status;
	if (d->now_ms < r->not_before_ms)
		return;
	r->told_ms = d->now_ms;
	r->not_before_ms = d->now_ms + TELL_AGAIN_MS;
	fare_decider_raise(d, &(struct fare_alarm){.what = FARE_ALARM_PROVIDER_REFUSED, .provider = provider, .status = status, .call_id = call_id});
}
