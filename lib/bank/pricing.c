/* What an ended call is charged. */
#include "base/first.h"

#include "bank/books.h"
#include "bank/pricing.h"

enum { BYTES_PER_TOKEN = 4 };

static bool is_free(const struct fare_meter_reading *m, enum fare_ending ending)
{
	return m->received == 0 || fare_ending_is_free(ending);
}

static enum fare_ending ending_of(const struct fare_meter_reading *m)
{
	if (m->state == FARE_METER_FINAL)
		return (enum fare_ending)m->ending;
	return m->state == FARE_METER_SENT || m->state == FARE_METER_STREAMING ? FARE_WORKER_DIED : FARE_NOT_SENT;
}

static bool clamp_to(uint64_t *value, uint64_t max)
{
	if (max == 0 || *value <= max)
		return false;
	*value = max;
	return true;
}

static void usage_of(const struct fare_meter_reading *m, uint64_t max_input, uint64_t max_output, struct fare_charge *out)
{
	if (m->flags & FARE_METER_REPORTED) {
		out->usage = m->usage;
	} else {
		out->usage = (struct fare_usage){.input = m->prompt_text / BYTES_PER_TOKEN, .output = m->relayed_text / BYTES_PER_TOKEN};
		out->flags |= FARE_ENTRY_ESTIMATED;
	}
	bool clamped = (m->flags & FARE_METER_CLAMPED) != 0;
	clamped |= clamp_to(&out->usage.input, max_input);
	clamped |= clamp_to(&out->usage.output, max_output);
	clamped |= fare_usage_clamp(&out->usage);
	if (clamped)
		out->flags |= FARE_ENTRY_CLAMPED;
}

void fare_pricing_charge(const struct fare_meter_reading *m, const struct fare_price *price, uint64_t max_input, uint64_t max_output,
	struct fare_amount hold, struct fare_charge *out)
{
	*out = (struct fare_charge){.ending = ending_of(m)};
	if (is_free(m, out->ending))
		return;
	usage_of(m, max_input, max_output, out);
	/* Counts are at most 2^40 here; a price so high that even this overflows is charged what was held: never nothing, never more than was agreed. */
	if (!fare_price_cost(price, &out->usage, &out->amount)) {
		out->amount = hold;
		out->flags |= FARE_ENTRY_CLAMPED;
	}
	if (out->amount.nano > hold.nano)
		out->flags |= FARE_ENTRY_OVER_HOLD;
}
