/*
 * What a worker asks before it sends a call upstream, and what it is answered. Asked and answered over call.sock (bank/proto.h); everything that the call needs from
 * then on is inside the grant, so no catalogue can change under it.
 */
#ifndef FARE_BANK_ADMISSION_H
#define FARE_BANK_ADMISSION_H

#include "bank/books.h"

enum fare_endpoint { FARE_CHAT = 1, FARE_COMPLETIONS, FARE_EMBEDDINGS };

enum { FARE_IP_N = 46, FARE_NO_BOUND = -1 };

struct fare_admit {
	struct fare_id call_id;
	struct fare_hash key;       /* SHA-256 of the key's text */
	char ip[FARE_IP_N];         /* the caller's address as the web server says it; "" when unknown */
	uint8_t endpoint;           /* enum fare_endpoint */
	char model[FARE_NAME_N];    /* as the caller says it */
	uint64_t prompt_bytes;      /* prompt, schemas and tool text as written: the hold counts two bytes a token */
	uint64_t text_bytes;        /* unescaped prompt text: an estimate of input counts four bytes a token, rounded down */
	uint32_t images;
	uint32_t choices;           /* n, 1 to 128 */
	int64_t bound;              /* the caller's output bound per choice, or FARE_NO_BOUND. Endpoints without output: 0 */
	bool stream;
	bool extends;               /* who asks can ask for more while it streams; not sent: workers of protocol version 1 cannot */
	struct fare_hash idem;      /* SHA-256 of the endpoint and the caller's Idempotency-Key; zero: none */
	uint8_t body[FARE_BODY_DIGEST_N]; /* with idem: the first half of the SHA-256 of the request's body */
};

/* Refusals by code; numbers that a code does not use are zero. Stable: sent over the wire. */
enum fare_refused {
	FARE_REFUSED_NONE = 0,
	FARE_KEY_UNKNOWN, FARE_KEY_EXPIRED, FARE_KEY_REVOKED_, FARE_ACCOUNT_CLOSED, FARE_MODEL_NOT_ALLOWED, FARE_IP_NOT_ALLOWED,
	FARE_MODEL_UNKNOWN, FARE_MODEL_NOT_PRICED, FARE_BALANCE_TOO_LOW, FARE_BOUND_TOO_HIGH /* above the model's own limit: 400 */,
	FARE_OVERLOADED /* no free record for a hold */, FARE_CALL_ENDED /* the id is known and over */,
	FARE_IDEM_IN_FLIGHT, FARE_IDEM_MISMATCH, FARE_IDEM_SPENT, FARE_IDEM_REPLAY /* not a refusal to the caller: the stored answer is to be said */,
	FARE_STORE_FULL /* less disk than the reserve */, FARE_STORE_READ_ONLY,
	FARE_IDEM_FULL /* no room for another Idempotency-Key */
};

struct fare_grant {
	struct fare_amount hold;
	uint64_t price_version;
	struct fare_price price;
	int64_t bound;              /* to be sent upstream per choice; FARE_NO_BOUND for endpoints without output */
	bool bound_ours;            /* the caller gave none: told in Farebox-Max-Tokens */
	bool bound_lowered;         /* ours, below the default, because the balance affords no more */
	uint8_t bound_field;        /* of enum fare_bound_field */
	uint8_t style;              /* enum fare_style */
	uint64_t key_id, account_id;
	uint64_t max_input, max_output; /* what usage is clamped to, whole call; 0: unknown */
	uint64_t held_output;       /* output tokens per choice that the hold pays for so far; 0: for all of the bound */
	char upstream_model[FARE_NAME_N];
	char provider[FARE_NAME_N], base_url[FARE_URL_N], key_file[FARE_URL_N], key_env[FARE_NAME_N];
};

struct fare_refusal_numbers {
	struct fare_amount available, needed; /* 402; shortfall = needed - available */
	struct fare_price price;              /* 402 */
	uint64_t affordable;                  /* 402: output tokens per choice that would be affordable */
	uint64_t limit;                       /* FARE_BOUND_TOO_HIGH: the model's max_output */
	struct fare_id earlier;               /* FARE_IDEM_: the call that has the key */
	struct fare_amount cost;              /* FARE_IDEM_SPENT, FARE_IDEM_REPLAY: what it cost */
};

/* The answer to an extend. */
struct fare_extended {
	uint64_t asked;       /* what it was to be: who has asked for more since waits on */
	uint64_t held_output; /* what is held now, as in the grant; 0: nothing, the call has ended */
	struct fare_amount hold, available;
};

struct fare_admit_answer {
	bool granted;
	uint8_t refused; /* enum fare_refused */
	struct fare_grant grant;
	struct fare_refusal_numbers numbers;
	struct fare_extended extended; /* of an extend alone */
};

#endif
