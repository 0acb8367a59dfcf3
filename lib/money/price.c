/* Price arithmetic: sums in units of nano / 1,000,000, exact in 128 bits, rounded up once. */
#include "base/first.h"

#include "base/fault.h"
#include "money/price.h"

enum { PER = 1000000 };
static const uint64_t tokens_max = 1ULL << FARE_TOKENS_MAX_LOG2;

static int64_t cache_price(int64_t own, int64_t input) { return own < 0 ? input : own; }

static bool prices_valid(const struct fare_price *p) { return p->input >= 0 && p->output >= 0 && p->cache_read >= -1 && p->cache_write >= -1 && p->per_call >= 0; }

/* *sum += tokens x price; false on overflow. A product of 64 and 63 bits always fits. */
static bool add_tokens(unsigned __int128 *sum, unsigned __int128 tokens, int64_t price)
{
	unsigned __int128 part;
	return !__builtin_mul_overflow(tokens, (unsigned __int128)price, &part) && !__builtin_add_overflow(*sum, part, sum);
}

static bool round_up(unsigned __int128 sum, struct fare_amount *out)
{
	unsigned __int128 nano = sum / PER + (sum % PER != 0 && !fare_planted("round_down"));
	if (nano > INT64_MAX)
		return false;
	out->nano = (int64_t)nano;
	return true;
}

bool fare_price_cost(const struct fare_price *p, const struct fare_usage *u, struct fare_amount *out)
{
	unsigned __int128 sum = 0;
	if (!prices_valid(p) || u->cached > u->input || u->cache_write > u->input - u->cached)
		return false;
	return add_tokens(&sum, u->input - u->cached - u->cache_write, p->input) && add_tokens(&sum, u->cached, cache_price(p->cache_read, p->input)) &&
		add_tokens(&sum, u->cache_write, cache_price(p->cache_write, p->input)) && add_tokens(&sum, u->output, p->output) && add_tokens(&sum, PER, p->per_call) &&
		round_up(sum, out);
}

static int64_t dearest_input(const struct fare_price *p)
{
	int64_t most = p->input;
	if (p->cache_read > most)
		most = p->cache_read;
	return p->cache_write > most ? p->cache_write : most;
}

/* What is held for the input and the call itself. */
static bool fixed_part(const struct fare_price *p, uint64_t input_tokens, unsigned __int128 *sum)
{
	*sum = 0;
	return prices_valid(p) && add_tokens(sum, input_tokens, dearest_input(p)) && add_tokens(sum, PER, p->per_call);
}

bool fare_price_hold(const struct fare_price *p, uint64_t input_tokens, uint64_t output_bound, uint64_t choices, struct fare_amount *out)
{
	unsigned __int128 sum;
	return fixed_part(p, input_tokens, &sum) && add_tokens(&sum, (unsigned __int128)output_bound * choices, p->output) && round_up(sum, out);
}

uint64_t fare_price_affordable(const struct fare_price *p, uint64_t input_tokens, uint64_t choices, struct fare_amount available)
{
	unsigned __int128 fixed;
	if (available.nano < 0 || !fixed_part(p, input_tokens, &fixed))
		return 0;
	unsigned __int128 most = (unsigned __int128)available.nano * PER, each = (unsigned __int128)choices * (unsigned __int128)p->output;
	if (fixed > most)
		return 0;
	if (each == 0)
		return UINT64_MAX;
	unsigned __int128 bound = (most - fixed) / each;
	return bound > UINT64_MAX ? UINT64_MAX : (uint64_t)bound;
}

bool fare_price_is_sane(const struct fare_price *p)
{
	struct fare_amount hold;
	return prices_valid(p) && fare_price_hold(p, tokens_max, tokens_max, 1, &hold);
}

static bool lower_to(uint64_t *v, uint64_t most)
{
	if (*v <= most)
		return false;
	*v = most;
	return true;
}

bool fare_usage_clamp(struct fare_usage *u)
{
	bool changed = lower_to(&u->input, tokens_max);
	changed |= lower_to(&u->output, tokens_max);
	changed |= lower_to(&u->cached, u->input);
	changed |= lower_to(&u->cache_write, u->input - u->cached);
	changed |= lower_to(&u->reasoning, u->output);
	return changed;
}
