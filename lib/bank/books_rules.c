/* What makes an entry right, apart from what stands before it: the writer asks before it posts, verify asks again. */
#include "base/first.h"

#include "bank/books_inner.h"
#include "base/utf8.h"

#define TIME_MAX_MS UINT64_C(253402300799999) /* the end of year 9999: later cannot be written as text */
enum { FLAGS_ALL = FARE_ENTRY_ESTIMATED | FARE_ENTRY_CLAMPED | FARE_ENTRY_OVER_HOLD };

bool fare_text_is_clean(const char *s, size_t size)
{
	size_t n = strnlen(s, size);
	if (n == size)
		return false;
	for (size_t at = 0, len; at < n; at += len) {
		len = fare_utf8_len(s + at, n - at);
		if (len == 0 || (unsigned char)s[at] < 0x20 || s[at] == 0x7F)
			return false;
	}
	return true;
}

bool fare_usage_is_zero(const struct fare_usage *u) { return (u->input | u->output | u->cached | u->cache_write | u->reasoning) == 0; }

static const char *call_fault(const struct fare_entry *e)
{
	if (e->account == 0)
		return "a call needs an account";
	if (fare_id_is_zero(e->call_id))
		return "a call needs a call id";
	if (e->price_version == 0)
		return "a call needs a price version";
	if (e->ending == FARE_ENDING_NONE || e->ending >= FARE_ENDING_N)
		return "a call needs an ending";
	if (e->amount.nano > 0)
		return "a charge cannot be above 0";
	if (e->hold.nano < 0)
		return "a hold cannot be below 0";
	if (e->ref[0] || !fare_id_is_zero(e->corrects))
		return "a call has no ref and corrects nothing";
	struct fare_usage u = e->usage;
	return fare_usage_clamp(&u) ? "usage beyond sense" : NULL;
}

static const char *other_fault(const struct fare_entry *e)
{
	bool house = e->kind == FARE_KIND_OUTAGE || e->kind == FARE_KIND_RESTORED;
	if (!fare_id_is_zero(e->call_id) || e->ending != FARE_ENDING_NONE || e->flags || e->hold.nano != 0 || !fare_usage_is_zero(&e->usage))
		return "only a call has call id, ending, flags, hold and usage";
	if (house != (e->account == 0))
		return "outage and restored, and nothing else, are of account 0";
	if (house)
		return e->amount.nano != 0 ? "an outage moves no money" : NULL;
	if (e->kind == FARE_KIND_CREDIT)
		return e->amount.nano <= 0 ? "a credit must be above 0" : NULL;
	if (e->kind == FARE_KIND_DEBIT)
		return e->amount.nano >= 0 ? "a debit must be below 0" : NULL;
	if (fare_id_is_zero(e->corrects))
		return "a correction names the call it corrects";
	if (e->kind == FARE_KIND_RERATE && (e->price_version == 0 || e->amount.nano == 0))
		return "a rerate names a price version and moves money";
	return NULL;
}

const char *fare_entry_fault(const struct fare_entry *e)
{
	if (e->kind < FARE_KIND_CALL || e->kind > FARE_KIND_RESTORED)
		return "unknown kind";
	if (e->flags & ~FLAGS_ALL)
		return "unknown flags";
	if (e->time_ms > TIME_MAX_MS)
		return "time beyond sense";
	if (!fare_text_is_clean(e->model, sizeof e->model) || !fare_text_is_clean(e->ref, sizeof e->ref) || !fare_text_is_clean(e->note, sizeof e->note))
		return "model, ref and note must be UTF-8 text without controls, and not too long";
	if (e->amount.nano == INT64_MIN)
		return "amount beyond sense";
	return e->kind == FARE_KIND_CALL ? call_fault(e) : other_fault(e);
}

const char *fare_charge_fault(const struct fare_entry *e, const struct fare_model *m)
{
	struct fare_amount cost;
	if (fare_ending_is_free((enum fare_ending)e->ending))
		return e->amount.nano != 0 ? "charged, though its ending is free" : NULL;
	if (e->amount.nano == 0 && fare_usage_is_zero(&e->usage))
		return NULL; /* nothing came from upstream */
	if (!fare_price_cost(&m->price, &e->usage, &cost))
		return "cannot be priced";
	return cost.nano != -e->amount.nano ? "charge differs from price and usage" : NULL;
}

bool fare_totals_add(struct fare_amount amount, struct fare_amount *credits, struct fare_amount *debits)
{
	if (amount.nano >= 0)
		return fare_amount_add(*credits, amount, credits);
	return fare_amount_sub(*debits, amount, debits);
}

bool fare_usage_total_add(struct fare_usage_total *t, const struct fare_entry *e)
{
	struct fare_usage_total sum = *t;
	bool bad = __builtin_add_overflow(t->calls, 1, &sum.calls);
	bad |= __builtin_add_overflow(t->usage.input, e->usage.input, &sum.usage.input);
	bad |= __builtin_add_overflow(t->usage.output, e->usage.output, &sum.usage.output);
	bad |= __builtin_add_overflow(t->usage.cached, e->usage.cached, &sum.usage.cached);
	bad |= __builtin_add_overflow(t->usage.cache_write, e->usage.cache_write, &sum.usage.cache_write);
	bad |= __builtin_add_overflow(t->usage.reasoning, e->usage.reasoning, &sum.usage.reasoning);
	if (bad || !fare_amount_sub(t->cost, e->amount, &sum.cost))
		return false;
	*t = sum;
	return true;
}
