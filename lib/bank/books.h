/*
 * The books: everything the store holds, and the only code that changes it. One thread (the writer) applies operations in batches; `fare_books_commit` returns only
 * when the batch is durable (commit WRITE_NOSYNC, log_flush, write-failed check) and any error from it is final: the caller exits, restarts and recovers.
 * Other threads may read (ledger, verify, lists): short cursors, re-seek, no snapshots.
 */
#ifndef FARE_BANK_BOOKS_H
#define FARE_BANK_BOOKS_H

#include "base/buf.h"
#include "base/id.h"
#include "base/secret.h"
#include "money/amount.h"
#include "money/ending.h"
#include "money/price.h"

enum { FARE_NAME_N = 128, FARE_URL_N = 512, FARE_NOTE_N = 256, FARE_GLOBS_N = 512, FARE_ERROR_N = 256 };

struct fare_account {
	uint64_t id;              /* 1.. ; 0: none */
	char name[FARE_NAME_N];   /* letters, digits, . _ - @ ; unique */
	struct fare_amount balance;       /* credits - debits (charges are debits); the ledger's running balance */
	struct fare_amount credits, debits; /* totals, both >= 0 */
	struct fare_amount credit_limit;  /* >= 0 */
	uint64_t entries;         /* number of its last ledger entry; entries are 1.. */
	struct fare_hash head;    /* hash of its last entry */
	uint64_t created_ms;
	bool closed;
};

enum fare_key_state { FARE_KEY_LIVE = 1, FARE_KEY_REVOKED = 2 };
struct fare_key {
	uint64_t id;              /* 1.. */
	uint64_t account;
	struct fare_hash hash;    /* SHA-256 of the key's text */
	char name[FARE_NAME_N];
	char models[FARE_GLOBS_N]; /* comma-separated globs; "": all */
	char ip[FARE_GLOBS_N];     /* comma-separated CIDRs; "": all */
	uint64_t created_ms, expires_ms; /* 0: never */
	uint8_t state;
};

enum fare_style { FARE_STYLE_OPENAI = 1 };
struct fare_provider {
	uint64_t id;
	char name[FARE_NAME_N];
	uint8_t style;
	char base_url[FARE_URL_N];
	char key_file[FARE_URL_N]; /* one of the two, or both empty (no key) */
	char key_env[FARE_NAME_N];
	bool removed;
};

enum fare_bound_field { FARE_BOUND_MAX_TOKENS = 1, FARE_BOUND_MAX_COMPLETION_TOKENS = 2 };
/* A model as one price version of it. Versions are numbered over the whole instance and never deleted, so an entry's price_version always finds its price. */
struct fare_model {
	uint64_t version;          /* price version, 1.. */
	uint64_t provider;         /* provider id */
	char name[FARE_NAME_N];    /* what callers say */
	char upstream[FARE_NAME_N]; /* what the provider is told */
	struct fare_price price;
	uint64_t max_output, context; /* tokens, 0: unknown */
	uint8_t bound_field;
	uint64_t created_ms;
	bool removed;              /* no longer offered */
	bool priced;               /* false: known, but refused with model_not_priced */
};

enum fare_kind { FARE_KIND_CALL = 1, FARE_KIND_CREDIT, FARE_KIND_DEBIT, FARE_KIND_CORRECTION, FARE_KIND_RERATE, FARE_KIND_OUTAGE, FARE_KIND_RESTORED };

enum { FARE_ENTRY_ESTIMATED = 1, FARE_ENTRY_CLAMPED = 2, FARE_ENTRY_OVER_HOLD = 4 };
struct fare_entry {
	uint64_t account, number;
	uint8_t kind;
	uint8_t ending;           /* enum fare_ending, 0 for what isn't a call */
	uint16_t flags;           /* FARE_ENTRY_ */
	struct fare_id call_id;   /* zero for what isn't a call */
	uint64_t key;             /* key id of a call */
	struct fare_amount amount;  /* signed by its effect on the balance: a charge is negative */
	struct fare_amount balance; /* after it */
	struct fare_amount hold;    /* of a call */
	uint64_t price_version;
	char model[FARE_NAME_N];
	struct fare_usage usage;
	uint64_t time_ms;         /* max(wall, last) */
	uint64_t batch;           /* the seal that covers it */
	struct fare_id corrects;  /* zero: nothing */
	char ref[FARE_NAME_N], note[FARE_NOTE_N];
	struct fare_hash prev, hash;
};

enum fare_op_type { FARE_OP_POST = 1, FARE_OP_ACCOUNT_PUT, FARE_OP_KEY_PUT, FARE_OP_PROVIDER_PUT, FARE_OP_MODEL_PUT, FARE_OP_OUTAGE };
enum fare_applied { FARE_APPLIED = 1, FARE_ALREADY = 2 /* call id or ref is in the ledger: nothing written, entry filled in */, FARE_REFUSED_OP = 3 /* text in error; nothing written */ };

/* One change. PUTs carry the whole record; id (version for models) 0 makes a new one, and the id it got is filled in. */
struct fare_op {
	uint8_t type;
	union {
		struct fare_entry post; /* account, kind, call_id, ..., amount, time_ms given; number, balance, batch, prev, hash filled in */
		struct fare_account account; /* balance, entries, head, credits and debits are not taken from it */
		struct fare_key key;
		struct fare_provider provider;
		struct fare_model model;
	} u;
	uint8_t applied; /* enum fare_applied */
	char error[FARE_ERROR_N];
};

struct fare_books;

/* Opens (making it when create is true) DIR/store of a home: recovery, then a flush (rule R6). The caller holds store/LOCK. On failure: NULL and one line in error. An unknown schema is refused. */
struct fare_books *fare_books_open(const char *home, bool create, char error[FARE_ERROR_N]);
void fare_books_close(struct fare_books **b);
void fare_books_ids(struct fare_books *b, uint8_t store_id[16], uint8_t epoch[16]);

/* The writer's: begin, apply each, commit. Nonzero: the store failed, with the reason logged; exit. A refused op does not fail the batch. An empty batch writes nothing. */
int fare_books_begin(struct fare_books *b) FARE_MUST;
int fare_books_apply(struct fare_books *b, struct fare_op *op) FARE_MUST;
int fare_books_commit(struct fare_books *b) FARE_MUST; /* seals what was posted, commits, flushes */
int fare_books_checkpoint(struct fare_books *b) FARE_MUST; /* own thread; also removes logs that recovery no longer needs */

/* Reads. Callbacks return false to stop. Results: 0 done, nonzero failed (logged). */
int fare_books_each_account(struct fare_books *b, bool (*fn)(void *, const struct fare_account *), void *arg) FARE_MUST;
int fare_books_each_key(struct fare_books *b, bool (*fn)(void *, const struct fare_key *), void *arg) FARE_MUST;
int fare_books_each_provider(struct fare_books *b, bool (*fn)(void *, const struct fare_provider *), void *arg) FARE_MUST;
int fare_books_each_model(struct fare_books *b, bool (*fn)(void *, const struct fare_model *), void *arg) FARE_MUST; /* every version, ascending */
/* Entries of one account from a number on; stops after the last. */
int fare_books_each_entry(struct fare_books *b, uint64_t account, uint64_t from_number, bool (*fn)(void *, const struct fare_entry *), void *arg) FARE_MUST;
/* By call id: 1 found, 0 not, -1 failed. */
int fare_books_find_call(struct fare_books *b, struct fare_id call_id, struct fare_entry *out) FARE_MUST;

struct fare_seal {
	uint64_t number, entries; /* entries of this batch */
	uint64_t time_ms;
	struct fare_hash entries_hash, prev, hash;
	uint64_t total_entries;
	struct fare_amount total_credits, total_debits; /* of the instance */
};
int fare_books_head_seal(struct fare_books *b, struct fare_seal *out) FARE_MUST; /* number 0: none yet */
/* Entries and seals in batch order, as one JSON object a line (contract of `ledger --all --json`) handed to fn. */
int fare_books_export(struct fare_books *b, bool (*fn)(void *, const char *line, size_t n), void *arg) FARE_MUST;
void fare_entry_json(const struct fare_entry *e, struct fare_buf *out); /* one object, contract of `ledger --json`, no newline */

struct fare_verify { uint64_t entries, accounts, seals; bool ok; char first_fault[FARE_NOTE_N]; };
/* Recomputes all: each entry's hash and chain, running balances, account records, call index, seals and their totals, usage totals, price versions and the cost of each call from them.
 * Runs beside the writer: judges each account as of the number its record had when looked at, and seals up to the head at the start. */
int fare_books_verify(struct fare_books *b, struct fare_verify *out) FARE_MUST;

#endif
