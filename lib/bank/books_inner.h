/* Between the files of the books. */
#ifndef FARE_BANK_BOOKS_INNER_H
#define FARE_BANK_BOOKS_INNER_H

#include "bank/books.h"

/* All but `store` belongs to the writer; other threads read through a plain view of the store. */
struct fare_books {
	struct fare_store *store;
	struct fare_meta meta;
	struct fare_view view; /* the batch's transaction */
	bool in_batch, dirty;  /* dirty: the batch has written something */
	bool broken;           /* an operation failed half-way: the batch must not be committed */
	uint64_t last_account, last_key, last_provider, last_model; /* greatest ids given out */
	struct fare_seal head; /* the last seal; time_ms: no entry is older */
	struct fare_seal next; /* the one that the batch will end with, so far */
	struct fare_buf hashes; /* what next.entries_hash will cover */
};

/*
 * Steps of an operation return OK to go on, NONE when the outcome is decided (and in the op), or BAD or FAILED. Every step that can refuse comes before the first
 * write, so a refused operation leaves nothing behind.
 */
int fare_op_refuse(struct fare_op *op, const char *fmt, ...) FARE_PRINTF(2, 3); /* returns NONE */
int fare_op_post(struct fare_books *b, struct fare_op *op);
int fare_op_rerate(struct fare_books *b, struct fare_op *op);
int fare_post_entry(struct fare_books *b, struct fare_op *op); /* op->u.post at the end of its chain, of whatever kind it is */
int fare_op_account(struct fare_books *b, struct fare_op *op);
int fare_op_forget(struct fare_books *b, struct fare_op *op);
int fare_op_low(struct fare_books *b, struct fare_op *op);
int fare_op_story(struct fare_books *b, struct fare_op *op);
int fare_op_expire(struct fare_books *b, struct fare_op *op);
int fare_op_key(struct fare_books *b, struct fare_op *op);
int fare_op_provider(struct fare_books *b, struct fare_op *op);
int fare_op_model(struct fare_books *b, struct fare_op *op);

/* UTF-8 without controls, NUL within `size` bytes: what an export can show, so that a hash can be rechecked from it. */
bool fare_text_is_clean(const char *s, size_t size);
/* What is wrong with an entry by itself, or with a call's charge at a price; NULL: nothing. */
const char *fare_entry_fault(const struct fare_entry *e);
const char *fare_charge_fault(const struct fare_entry *e, const struct fare_model *m);
bool fare_usage_is_zero(const struct fare_usage *u);
enum { FARE_DAY_MS = 86400000 };
static inline uint32_t fare_entry_day(const struct fare_entry *e) { return (uint32_t)(e->time_ms / FARE_DAY_MS); }
/* Adds an entry's amount to totals of credits and debits; false on overflow. */
bool fare_totals_add(struct fare_amount amount, struct fare_amount *credits, struct fare_amount *debits) FARE_MUST;
/* Adds a call to its usage total; false on overflow. */
bool fare_usage_total_add(struct fare_usage_total *t, const struct fare_entry *e) FARE_MUST;

/* What a call is charged after the first `most` rerates of it, and how many there are. NONE: the index leads to none, or to nonsense. */
struct fare_charged { struct fare_amount charge; uint64_t rerates; };
int fare_charged_get(struct fare_view *v, const struct fare_entry *call, uint64_t most, struct fare_charged *out) FARE_MUST;
/* What a call costs at a price version; otherwise why it has no cost there. */
const char *fare_rerate_due(const struct fare_entry *call, const struct fare_model *m, struct fare_amount *due);
void fare_rerate_ref(struct fare_id call, uint64_t number, char out[FARE_NAME_N]);

enum { FARE_BATCH_MAX = 1000000 };
bool fare_hashes_add(struct fare_buf *hashes, const struct fare_hash *h); /* as a line of hexadecimal */
enum { FARE_HASHES_MAX = FARE_BATCH_MAX * FARE_HEX_HASH_N };

#endif
