/*
 * All that is known of one call, for `farebox why` and GET /v1/calls/ID. Gathered in two steps: what the decider has in memory (the hold of one that runs, the refusal of
 * one refused lately), then what the store has (its story, its entry, and the names that both go by).
 */
#ifndef FARE_BANK_STORY_H
#define FARE_BANK_STORY_H

#include "bank/books.h"

enum fare_told_by {
	FARE_TOLD_BY_NOTHING = 0, /* there is no such call here */
	FARE_TOLD_BY_HOLD,   /* it runs, or its entry is being written */
	FARE_TOLD_BY_MEMORY, /* refused; the bank's memory alone has it */
	FARE_TOLD_BY_STORY,  /* and the entry, when it has ended */
	FARE_TOLD_BY_ENTRY   /* its story has expired, or was never kept */
};

struct fare_call_facts {
	struct fare_id call_id;
	uint8_t told_by;         /* enum fare_told_by */
	struct fare_story story; /* state NONE: none */
	const char *state;       /* of a hold: as in `calls` */
	struct fare_amount hold; /* of a hold: as it is now */
	uint64_t received;       /* of a hold: body bytes that have come from upstream */
	struct fare_entry entry;
	struct fare_account account;
	struct fare_model model;
	struct fare_provider provider;
	struct fare_replay replay;
	bool has_replay, has_entry, has_account, has_model, has_provider;
};

/* The second step, on any thread: 0, or -1 when the store failed. */
int fare_call_facts_read(struct fare_books *b, struct fare_call_facts *f) FARE_MUST;
/* Whose it is: the key that asked for it, 0: a key that nobody has. */
uint64_t fare_call_facts_key(const struct fare_call_facts *f);
/*
 * One object, no newline. As in `calls`: call_id, account, key_id, model, state, hold, cost, ending, started; state "refused" and "unknown" (there is no such call here), too. Then
 * ended, told_by ("nothing", "hold", "memory", "story", "entry"), endpoint, stream, choices, prompt_bytes, asked_max_tokens, max_tokens, max_tokens_from ("caller", "default",
 * "balance"), first_hold; available, pending, credit_limit as they were before the call; price_version, price; provider, upstream_model, upstream_status; received_bytes while it
 * runs; usage, flags, entry (its number), balance (after it), idempotency ("kept": a repeat of its Idempotency-Key gets its answer again; "spent": is refused, for the answer is
 * not kept); of a refusal code, needed, shortfall, affordable_max_tokens, model_max_tokens, address, key_expires, earlier_call. null: it does not apply, or is not known.
 */
void fare_call_facts_json(const struct fare_call_facts *f, struct fare_buf *out);
enum { FARE_CALL_FACTS_MAX = 3800 }; /* bytes of it, whatever the names: fits a message */

#endif
