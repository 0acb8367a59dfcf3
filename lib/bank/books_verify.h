/* Between the files of verify. */
#ifndef FARE_BANK_BOOKS_VERIFY_H
#define FARE_BANK_BOOKS_VERIFY_H

#include "bank/books_inner.h"

/* One day's use of one key and model. The writer goes on meanwhile, so the stored total is judged between what the entries said before and after it was read. */
struct verify_usage_item {
	struct fare_usage_total low, high, stored;
	bool is_stored;
};
struct verify_usage {
	struct verify_usage_item *items; /* owned */
	uint32_t *slots;                 /* owned: item + 1, 0 is free */
	size_t count, cap, slot_count;
	size_t last;                     /* most entries are like the one before */
	uint32_t next_day;               /* days before it are done */
};

/* An account's chain, as far as it has been followed. */
struct verify_chain {
	struct fare_account at; /* entries, balance, credits, debits, head as the entries say; id and name as its record says */
	uint64_t time_ms, batch;
	uint64_t limit;         /* follow it to this number */
	bool high_only;         /* the stored usage has been read: entries from here on may not be in it */
	struct verify_usage usage;
};

struct verify {
	struct fare_view v;
	struct fare_verify *out;
	struct fare_seal head;     /* when it began */
	struct fare_kept_seal kept; /* number 0: none */
	struct verify_chain chain; /* of the account being looked at */
	struct fare_model *models; /* owned; by price version, [0] unused; version 0: not looked up yet */
	size_t models_n;
	struct fare_seal sealed;   /* sums over all chains of entries that the head covers */
	uint64_t last_batch;       /* of any entry seen */
};

/* Notes a fault, the first only; returns NONE, which ends any walk. */
int verify_fault(struct verify *x, const char *fmt, ...) FARE_PRINTF(2, 3);
static inline bool verify_faulted(const struct verify *x) { return x->out->first_fault[0] != '\0'; }
/* After any read or walk: a record that cannot be read is a fault; OK to go on, NONE after a fault, FAILED. */
int verify_result(struct verify *x, int r);

int verify_accounts(struct verify *x);
int verify_indices(struct verify *x);
int verify_seals(struct verify *x);
int verify_replays(struct verify *x);
int verify_stories(struct verify *x);

bool verify_usage_add(struct verify_usage *u, const struct fare_entry *e, bool high_only); /* false: overflow */
/* Reads the account's stored totals of all days up to the given one, then judges them; verify_usage_read alone leaves that for later. */
int verify_usage_read(struct verify *x, uint32_t to_day);
int verify_usage_judge(struct verify *x, uint32_t to_day);
void verify_usage_release(struct verify_usage *u);

#endif
