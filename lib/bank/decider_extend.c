/* Holds that grow: a stream holds for a part of its bound, and asks for more as it runs. */
#include "base/first.h"

#include "base/fault.h"
#include "base/log.h"
#include "bank/decider.h"

/* As much of it as the account can pay for beside all that it holds. */
static uint64_t affordable(const struct fare_acct *a, const struct fare_hold *h, const struct fare_price *price, uint64_t output)
{
	struct fare_amount have;
	if (!fare_amount_add(fare_decider_available(a), fare_nano(h->hold_nano), &have))
		have = fare_nano(INT64_MAX);
	uint64_t most = fare_price_affordable(price, h->input_tokens, h->choices, have);
	return most < output ? most : output;
}

/* What is held stays as it is, or grows; whatever was said twice, late or in another order. */
static void grow(struct fare_acct *a, struct fare_hold *h, const struct fare_price *price, uint64_t output)
{
	struct fare_amount hold, pending;
	if (fare_planted("r9"))
		output += h->held_output;
	output = affordable(a, h, price, output < (uint64_t)h->bound ? output : (uint64_t)h->bound);
	if (output <= h->held_output || !fare_price_hold(price, h->input_tokens, output, h->choices, &hold))
		return;
	if (hold.nano < h->hold_nano) /* a bank that was killed had taken more, and not said so */
		hold.nano = h->hold_nano;
	if (!fare_amount_add(a->pending, fare_nano(hold.nano - h->hold_nano), &pending))
		return;
	fare_holds_write_grown(h, hold.nano, output);
	a->pending = pending;
}

void fare_decider_extend(struct fare_decider *d, struct fare_worker *w, uint16_t slot, struct fare_id call_id, uint64_t held_output)
{
	struct fare_slot_memory *m = &w->memory[slot];
	struct fare_hold *h = m->known == FARE_SLOT_LIVE && fare_id_eq(m->last, call_id) ? m->hold : NULL;
	struct fare_acct *a = h ? fare_decider_account(d, h->account) : NULL;
	const struct fare_model *model = h ? fare_decider_model(d, h->price_version) : NULL;
	struct fare_admit_answer answer = {.extended = {.asked = held_output}};
	struct fare_extended *e = &answer.extended;
	if (a && model && h->held_output)
		grow(a, h, &model->price, held_output);
	if (h) {
		e->held_output = h->held_output;
		e->hold = fare_nano(h->hold_nano);
	}
	if (a)
		e->available = fare_decider_available(a);
	if (fare_fault("bank_after_extend"))
		fare_log(FARE_WARN, "fault bank_after_extend");
	d->out.tell(d->out.ctx, w, FARE_MSG_EXTENDED, slot, call_id, &answer);
}
