/*
 * Amounts: signed 64-bit nano-dollars (1e-9 of the instance's currency). Typed and printed as exact decimals; never floating point.
 */
#ifndef FARE_MONEY_AMOUNT_H
#define FARE_MONEY_AMOUNT_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

struct fare_amount { int64_t nano; };
enum { FARE_AMOUNT_TEXT_N = 22 }; /* "-9223372036.854775808" and NUL */
#define FARE_NANO 1000000000LL

static inline struct fare_amount fare_nano(int64_t nano) { return (struct fare_amount){nano}; }
/* Checked: false leaves *out alone. */
bool fare_amount_add(struct fare_amount a, struct fare_amount b, struct fare_amount *out) FARE_MUST;
bool fare_amount_sub(struct fare_amount a, struct fare_amount b, struct fare_amount *out) FARE_MUST;
/* "12", "0.5", "-3.000000001": at most nine decimals, no exponent, no spaces, no plus; out of range: false. */
bool fare_amount_parse(struct fare_span text, struct fare_amount *out) FARE_MUST;
void fare_amount_text(struct fare_amount a, char out[FARE_AMOUNT_TEXT_N]);       /* always nine decimals */
void fare_amount_text_short(struct fare_amount a, char out[FARE_AMOUNT_TEXT_N]); /* at least two decimals, no further trailing zeros */

#endif
