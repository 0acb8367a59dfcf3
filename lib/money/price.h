/*
 * What a call costs. Token prices are nano-dollars per million tokens. cost = exact 128-bit sum, rounded up once per call. Pure functions: bank and worker
 * price the same usage with the same code.
 */
#ifndef FARE_MONEY_PRICE_H
#define FARE_MONEY_PRICE_H

#include "money/amount.h"

/* Normalised usage: cached and cache_write lie within input, reasoning within output. */
struct fare_usage {
	uint64_t input, output, cached, cache_write, reasoning;
};
enum { FARE_TOKENS_MAX_LOG2 = 40 }; /* token counts above 2^40 are no counts: clamped by whoever reads them */

struct fare_price {
	int64_t input, output;          /* nano per million tokens, >= 0 */
	int64_t cache_read, cache_write; /* likewise; -1: priced as input */
	int64_t per_call;               /* nano, >= 0 */
};

/* No price negative (-1 only for the cache's two), and the cost of 2^40 tokens each way fits 64 bits (some 8,000 a million tokens, both ways together). */
bool fare_price_is_sane(const struct fare_price *p);
/* False: overflow of 64 bits, a negative price, or cached + cache_write above input (callers clamp usage first). */
bool fare_price_cost(const struct fare_price *p, const struct fare_usage *u, struct fare_amount *out) FARE_MUST;
/* Forces a usage into sense: parts within their wholes, counts at most 2^40. True when something was changed. */
bool fare_usage_clamp(struct fare_usage *u);
/* input tokens x the dearest input price + output bound x choices x output price + per call, rounded up. */
bool fare_price_hold(const struct fare_price *p, uint64_t input_tokens, uint64_t output_bound, uint64_t choices, struct fare_amount *out) FARE_MUST;
/* The largest output bound per choice whose hold is at most `available`; 0 when not even the input is affordable; UINT64_MAX when the input is and output costs nothing. */
uint64_t fare_price_affordable(const struct fare_price *p, uint64_t input_tokens, uint64_t choices, struct fare_amount available);

#endif
