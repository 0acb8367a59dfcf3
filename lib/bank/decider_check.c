/* Holds against workers, meters and accounts: the decider's part of verify. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "bank/decider.h"

struct check {
	struct fare_decider *d;
	struct fare_holds_check *out;
	int64_t *pending; /* of each account, by its holds */
};

/* Notes what is wrong with a call's hold; returns false. */
static bool wrong(struct check *x, const struct fare_hold *h, const char *fmt, ...) FARE_PRINTF(3, 4);
static bool wrong(struct check *x, const struct fare_hold *h, const char *fmt, ...)
{
	char id[FARE_ID_TEXT_N], text[FARE_NOTE_N / 2];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fare_id_text(h->call_id, id);
	snprintf(x->out->first_fault, sizeof x->out->first_fault, "the hold of call %s %s", id, text);
	return false;
}

static bool check_live(struct check *x, const struct fare_hold *h)
{
	struct fare_meter_reading reading;
	struct fare_worker *w = fare_decider_worker(x->d, h->incarnation);
	if (!w || w->dead)
		return wrong(x, h, "has no worker");
	if (h->slot >= w->slots || w->memory[h->slot].known != FARE_SLOT_LIVE || w->memory[h->slot].hold != h || !fare_id_eq(w->memory[h->slot].last, h->call_id))
		return wrong(x, h, "is not what worker %u has in its slot %u", w->no, h->slot);
	if (!x->d->out.read_meter(x->d->out.ctx, w, h->slot, h->call_id, &reading))
		return wrong(x, h, "has no meter: slot %u of worker %u is damaged or another call's", h->slot, w->no);
	if (h->hold_nano < 0 || __builtin_add_overflow(x->pending[h->account], h->hold_nano, &x->pending[h->account]))
		return wrong(x, h, "is beyond sense");
	return true;
}

static bool check_one(struct check *x, const struct fare_hold *h)
{
	uint64_t state = atomic_load(&h->state);
	if (state == FARE_HOLD_FREE)
		return true;
	if (!fare_decider_account(x->d, h->account))
		return wrong(x, h, "names account %llu, which is not there", (unsigned long long)h->account);
	if (!fare_decider_model(x->d, h->price_version))
		return wrong(x, h, "names price version %llu, which is not there", (unsigned long long)h->price_version);
	if (state == FARE_HOLD_LIVE) {
		x->out->live++;
		return check_live(x, h);
	}
	x->out->decided++;
	if (state != FARE_HOLD_DECIDED || h->amount_nano < 0 || h->ending == FARE_ENDING_NONE || h->ending >= FARE_ENDING_N)
		return wrong(x, h, "is neither live nor decided");
	return true;
}

static bool check_pending(struct check *x)
{
	const struct fare_index *all = &x->d->accounts;
	char text[FARE_AMOUNT_TEXT_N], sum[FARE_AMOUNT_TEXT_N];
	for (size_t i = 0; i < all->n; i++) {
		const struct fare_acct *a = all->at[i];
		if (!a || a->pending.nano == x->pending[i])
			continue;
		fare_amount_text_short(a->pending, text);
		fare_amount_text_short(fare_nano(x->pending[i]), sum);
		snprintf(x->out->first_fault, sizeof x->out->first_fault, "account %s has %s pending, its live holds are %s together", a->rec.name, text, sum);
		return false;
	}
	return true;
}

bool fare_decider_check_holds(struct fare_decider *d, struct fare_holds_check *out)
{
	struct check x = {.d = d, .out = out};
	bool ok = true;
	*out = (struct fare_holds_check){0};
	x.pending = fare_alloc((d->accounts.n + 1) * sizeof *x.pending);
	for (uint32_t i = 0; ok && i < d->holds.count; i++)
		ok = check_one(&x, &d->holds.records[i]);
	ok = ok && check_pending(&x);
	free(x.pending);
	if (ok && out->decided > d->queued + d->parked) {
		snprintf(out->first_fault, sizeof out->first_fault, "%llu holds are decided, %llu charges are on their way to the ledger", (unsigned long long)out->decided,
			(unsigned long long)(d->queued + d->parked));
		ok = false;
	}
	return ok;
}
