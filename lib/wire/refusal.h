/*
 * Refusals: every answer that is not the upstream's own says what happened, why, and how to fix it, with a stable code and the call's id (design, section 6).
 * Bodies are in the OpenAI shape (https://platform.openai.com/docs/guides/error-codes) with problem+json members (RFC 9457) beside it on a 402.
 */
#ifndef FARE_WIRE_REFUSAL_H
#define FARE_WIRE_REFUSAL_H

#include "base/buf.h"
#include "base/id.h"
#include "money/price.h"

/* Every code of the contract, in the order of its table; those of parts not built yet are spoken for. */
enum fare_code {
	FARE_CODE_NONE = 0,
	FARE_CODE_KEY_MISSING, FARE_CODE_KEY_UNKNOWN, FARE_CODE_KEY_EXPIRED, FARE_CODE_KEY_REVOKED,
	FARE_CODE_BALANCE_TOO_LOW, FARE_CODE_BUDGET_REACHED, FARE_CODE_PAYMENT_REQUIRED,
	FARE_CODE_MODEL_NOT_ALLOWED, FARE_CODE_IP_NOT_ALLOWED, FARE_CODE_NOT_SUBSCRIBED, FARE_CODE_ACCOUNT_CLOSED,
	FARE_CODE_ROUTE_UNKNOWN, FARE_CODE_MODEL_UNKNOWN, FARE_CODE_MODEL_NOT_PRICED, FARE_CODE_METHOD_NOT_ALLOWED, FARE_CODE_SERVICE_RETIRED,
	FARE_CODE_IDEMPOTENCY_IN_FLIGHT, FARE_CODE_IDEMPOTENCY_SPENT, FARE_CODE_IDEMPOTENCY_MISMATCH,
	FARE_CODE_BAD_JSON, FARE_CODE_BAD_REQUEST, FARE_CODE_FIELD_NOT_PRICED, FARE_CODE_BODY_TIMEOUT, FARE_CODE_BODY_TOO_LARGE, FARE_CODE_ENCODING_UNSUPPORTED,
	FARE_CODE_RATE_LIMITED, FARE_CODE_TOKENS_LIMITED, FARE_CODE_TOO_MANY_AT_ONCE,
	FARE_CODE_UPSTREAM_FAILED, FARE_CODE_UPSTREAM_UNPAID, FARE_CODE_STORE_UNAVAILABLE, FARE_CODE_OVERLOADED, FARE_CODE_UPSTREAM_TIMEOUT,
	FARE_CODE_CALL_UNKNOWN,
	FARE_CODE_N
};

enum { FARE_DETAIL_N = 256, FARE_PARAM_N = 64 };
/* Filled by whoever refuses; what a code does not use stays zero. */
struct fare_refusal {
	enum fare_code code;
	char detail[FARE_DETAIL_N]; /* the particular reason, one plain sentence: follows the code's own ("The request is not valid."). "": none. Never holds secrets */
	char param[FARE_PARAM_N];   /* the request's field at fault, "": null */
	struct fare_amount available, needed; /* balance_too_low */
	struct fare_price price;              /* balance_too_low */
	uint64_t affordable;                  /* balance_too_low: max_tokens that would be affordable */
	struct fare_id earlier;               /* idempotency_: the call that has the key */
	struct fare_amount cost;              /* idempotency_spent: what that one cost */
	const char *topup_url;                /* from the settings, "" or NULL: none */
	const char *currency;                 /* from the settings, for the sentence; NULL: none named */
	const char *allow;                    /* method_not_allowed: the methods that are */
	uint64_t retry_after_s;               /* 429 and 503, 0: the code's default */
};

int fare_code_status(enum fare_code code);
const char *fare_code_word(enum fare_code code);
const char *fare_code_type(enum fare_code code); /* OpenAI's error.type */
const char *fare_code_cause(enum fare_code code); /* credentials, payment, limits or configuration; "" where the caller's request or a provider is the cause */
void fare_refusal_set(struct fare_refusal *r, enum fare_code code, const char *param, const char *fmt, ...) FARE_PRINTF(4, 5);
enum fare_code fare_code_find(struct fare_span word); /* NONE: it is no code's */
/* "What happened, why, how to fix it", as one text; and its two parts. */
void fare_refusal_why(const struct fare_refusal *r, struct fare_buf *out);
void fare_refusal_fix(const struct fare_refusal *r, struct fare_buf *out);
void fare_refusal_message(const struct fare_refusal *r, struct fare_buf *out);
/* Appends the JSON body: one line, no newline in it. */
void fare_refusal_body(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out);
/* The body's "error" object alone. */
void fare_refusal_error(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out);
/*
 * The same for a stream that ends because its hold cannot grow (balance_too_low: needed is what is held for it; or store_unavailable): {"code", "message", "call_id", "held",
 * "available", "topup_url"}.
 */
void fare_refusal_notice(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out);
/* Appends "Name: value\r\n" lines beside Content-Type and the call's id: Cache-Control, x-should-retry, Link, Retry-After, Allow. */
void fare_refusal_headers(const struct fare_refusal *r, struct fare_buf *out);

#endif
