/*
 * The books: everything the store holds, and the only code that changes it. One thread (the writer) applies operations in batches; `fare_books_commit` returns only
 * when the batch is durable (commit WRITE_NOSYNC, log_flush, write-failed check) and any error from it is final: the caller exits, restarts and recovers.
 * Other threads may read (ledger, verify, lists): short cursors, re-seek, no snapshots.
 */
#ifndef FARE_BANK_BOOKS_H
#define FARE_BANK_BOOKS_H

#include "base/buf.h"
#include "store/records.h"

enum { FARE_ERROR_N = FARE_STORE_ERROR_N };

enum fare_op_type { FARE_OP_POST = 1, FARE_OP_ACCOUNT_PUT, FARE_OP_KEY_PUT, FARE_OP_PROVIDER_PUT, FARE_OP_MODEL_PUT, FARE_OP_OUTAGE, FARE_OP_ACCOUNT_LOW, FARE_OP_STORY, FARE_OP_EXPIRE, FARE_OP_FORGET, FARE_OP_RERATE };
enum { FARE_EXPIRE_MAX = 256, FARE_EXPIRE_LOOKS = 1024 /* stories looked at for it, so that one with a strange id keeps none of the others */ };
enum fare_applied { FARE_APPLIED = 1, FARE_ALREADY = 2 /* call id or ref is in the ledger: nothing written, entry filled in */, FARE_REFUSED_OP = 3 /* text in error; nothing written */ };

/*
 * Calls charged anew, at a price version of their model. What a call is charged is its entry and earlier rerates of it (not what else corrects it); the difference to what
 * its usage costs at that version is posted as an entry of kind `rerate` that names call and version. So doing it twice does nothing, and going back to an earlier version
 * goes back to its price. Free endings, and calls of which nothing came from upstream, stay free. An account may go below zero: who raises a price has decided that.
 */
struct fare_rerated {
	struct fare_id call; /* given */
	uint64_t account;
	struct fare_amount before, amount; /* filled in: what it was charged; the difference, signed by its effect on the balance (0: nothing to post) */
};
enum { FARE_RERATE_MAX = 256 };
struct fare_rerate {
	uint64_t version, time_ms;
	size_t n, done; /* done: items looked at, filled in; less than n when the next one was refused: it is, when it comes first */
	struct fare_rerated items[FARE_RERATE_MAX];
};

/*
 * One change. PUTs carry the whole record; id (version for models) 0 makes a new one, and the record as it is stored then (its id with it) is filled in.
 * Refused, among others: text that is not UTF-8 or holds controls; a name or key hash that is taken; another hash or account for a key; another price, provider, name or
 * `priced` for a price version (make a new version); a call whose charge is not what fare_price_cost says of its price version and usage (nothing for a free ending, or
 * when nothing was used at all); a charge above 0, a credit not above 0, a debit not below 0; a `ref` used before with another amount; `corrects` of an unknown call.
 * ACCOUNT_LOW: falls and low of u.account, of the account with its id; nothing else of it is taken.
 * POST of a call: with story.state set its story is written with the entry. STORY: the story of a refused call; one that the call has already stays as it is.
 * EXPIRE: deletes stories that ended before u.expire.before_ms, in the order of their ids, at most FARE_EXPIRE_MAX of them; count is filled in.
 * POST of a call with an Idempotency-Key (keyed.idem is not zero): a charge above 0 leaves a replay record with the answer, in the same transaction. FORGET: the replay
 * records of these calls and their answers go; those that are not there are passed over.
 * RERATE: applied when at least one entry was posted.
 * OUTAGE: u.post with kind OUTAGE or RESTORED, time and note; it goes to account 0, the house's own chain.
 */
enum { FARE_FORGET_MAX = 64 };
struct fare_op {
	uint8_t type;
	union {
		struct fare_entry post; /* account, kind, call_id, ..., amount, time_ms given; number, balance, batch, prev, hash filled in */
		struct fare_account account; /* balance, entries, head, credits, debits, falls and low are not taken from it */
		struct fare_key key;
		struct fare_provider provider;
		struct fare_model model;
		struct { uint64_t before_ms; uint32_t count; } expire;
		struct { uint32_t count; struct fare_id calls[FARE_FORGET_MAX]; } forget;
		struct fare_rerate *rerate; /* the caller's */
	} u;
	struct fare_story story;
	struct {
		struct fare_hash idem;
		uint8_t body[FARE_BODY_DIGEST_N];
		uint32_t answer_n;  /* 0: not kept */
		const char *answer; /* the submitter's */
	} keyed;
	uint8_t applied; /* enum fare_applied */
	char error[FARE_ERROR_N];
};

struct fare_books;

/* Opens (making it when create is true) DIR/store of a home: recovery, then a flush (rule R6). The caller holds store/LOCK. On failure: NULL and one line in error. An unknown schema is refused. */
struct fare_books *fare_books_open(const char *home, bool create, char error[FARE_ERROR_N]);
void fare_books_close(struct fare_books **b);
void fare_books_leave(struct fare_books *b); /* any thread: what scans the books beside the writer fails soon; single records can be read to the end */
void fare_books_ids(struct fare_books *b, uint8_t store_id[FARE_STORE_ID_N], uint8_t epoch[FARE_EPOCH_N]);
int fare_books_renew_epoch(struct fare_books *b) FARE_MUST; /* after a restore, before anything else; durable when it returns 0 */

/* A hot copy of the store into a folder (as fare_store_backup); and a copy, laid down as HOME/store, recovered and opened. */
int fare_books_backup(struct fare_books *b, const char *to) FARE_MUST;
struct fare_books *fare_books_open_copy(const char *home, char error[FARE_ERROR_N]);

/* The writer's: begin, apply each, commit. Nonzero: the store failed, with the reason logged; exit. A refused op does not fail the batch. An empty batch writes nothing. */
int fare_books_begin(struct fare_books *b) FARE_MUST;
int fare_books_apply(struct fare_books *b, struct fare_op *op) FARE_MUST;
int fare_books_commit(struct fare_books *b) FARE_MUST; /* seals what was posted, commits, flushes */
int fare_books_checkpoint(struct fare_books *b) FARE_MUST; /* own thread; also removes logs that recovery no longer needs */
/* The same, but they go into a folder below `archive` that is named after the store's id and epoch; of all of this store's lives older ones than days (0: none) are removed. error: as fare_store_checkpoint_to. */
int fare_books_checkpoint_to(struct fare_books *b, const char *archive, unsigned days, int *error) FARE_MUST;
uint32_t fare_books_log_number(struct fare_books *b); /* of the log that is written now */

/* Reads. Callbacks return false to stop. Results: 0 done, nonzero failed (logged). */
int fare_books_each_account(struct fare_books *b, bool (*fn)(void *, const struct fare_account *), void *arg) FARE_MUST;
int fare_books_each_key(struct fare_books *b, bool (*fn)(void *, const struct fare_key *), void *arg) FARE_MUST;
int fare_books_each_provider(struct fare_books *b, bool (*fn)(void *, const struct fare_provider *), void *arg) FARE_MUST;
int fare_books_each_model(struct fare_books *b, bool (*fn)(void *, const struct fare_model *), void *arg) FARE_MUST; /* every version, ascending */
/* Totals of calls per day, key and model, from a day on: of one account, or (account 0) of all, by account. */
int fare_books_each_usage(struct fare_books *b, uint64_t account, uint32_t from_day, bool (*fn)(void *, const struct fare_usage_total *), void *arg) FARE_MUST;
/* Usage of all accounts in days from..to (both taken in), summed by one thing, in its order; what it is not summed by is 0 or "" in a total. account: its name, "" when it
 * is not summed by account or key (a key is one account's). More than a million sums fail. */
enum fare_usage_by { FARE_BY_ACCOUNT = 1, FARE_BY_KEY, FARE_BY_MODEL, FARE_BY_DAY };
int fare_books_usage(struct fare_books *b, enum fare_usage_by by, uint32_t from_day, uint32_t to_day,
	bool (*fn)(void *, const struct fare_usage_total *, const char *account), void *arg) FARE_MUST;
/* Entries of one account from a number on; stops after the last. */
int fare_books_each_entry(struct fare_books *b, uint64_t account, uint64_t from_number, bool (*fn)(void *, const struct fare_entry *), void *arg) FARE_MUST;
/* By call id: 1 found, 0 not, -1 failed. */
int fare_books_find_call(struct fare_books *b, struct fare_id call_id, struct fare_entry *out) FARE_MUST;
int fare_books_find_story(struct fare_books *b, struct fare_id call_id, struct fare_story *out) FARE_MUST; /* likewise */
int fare_books_find_replay(struct fare_books *b, struct fare_id call_id, struct fare_replay *out) FARE_MUST; /* likewise */
/* One account, price version or provider; likewise. */
int fare_books_find_account(struct fare_books *b, uint64_t id, struct fare_account *out) FARE_MUST;
int fare_books_find_model(struct fare_books *b, uint64_t version, struct fare_model *out) FARE_MUST;
int fare_books_find_provider(struct fare_books *b, uint64_t id, struct fare_provider *out) FARE_MUST;
/* By an account's ref of a kind; likewise. */
int fare_books_find_ref(struct fare_books *b, uint64_t account, uint8_t kind, const char *ref, struct fare_entry *out) FARE_MUST;

int fare_books_each_replay(struct fare_books *b, bool (*fn)(void *, const struct fare_replay *), void *arg) FARE_MUST;
/* A part of a kept answer, for the account that paid for it; total: bytes of the whole. 1, 0 (not there, or another's), -1 failed. */
int fare_books_answer_part(struct fare_books *b, uint64_t account, struct fare_id call_id, uint16_t part, struct fare_answer_part *out, uint32_t *total) FARE_MUST;
/* Calls of a model that ended since a time, from a place on through all accounts, that are charged otherwise than at that price version. */
int fare_books_rerate_look(struct fare_books *b, const struct fare_model *m, uint64_t since_ms, struct fare_place from,
	bool (*fn)(void *, const struct fare_entry *call, const struct fare_rerated *), void *arg) FARE_MUST;

int fare_books_head_seal(struct fare_books *b, struct fare_seal *out) FARE_MUST; /* number 0: none yet */
/* Entries and seals in batch order (a batch's entries, then its seal), each as one JSON object without newline (contract of `ledger --all --json`); an entry's has its account's name in front. */
int fare_books_export(struct fare_books *b, bool (*fn)(void *, const char *line, size_t n), void *arg) FARE_MUST;
/* One object, contract of `ledger --json`, no newline. account: its name, as member `account`; NULL leaves that out. */
void fare_entry_json(const struct fare_entry *e, const char *account, struct fare_buf *out);
void fare_flags_json(uint16_t flags, struct fare_buf *out);
void fare_usage_json(const struct fare_usage *u, struct fare_buf *out);
void fare_seal_json(const struct fare_seal *s, struct fare_buf *out);
const char *fare_kind_word(uint8_t kind); /* "call", ...; "" for none */

/*
 * Hashes, so that any script can recheck an export. An entry's hash is the SHA-256 of these lines, each ended by a newline; a value is written as in the entry's JSON
 * object (text unescaped), null as an empty line:
 *   farebox entry 1 | account_id | number | kind | call_id | key_id | amount | balance | hold | price_version | model |
 *   the five usage figures in the order input_tokens output_tokens cached_tokens cache_write_tokens reasoning_tokens, parted by spaces (usage null: an empty line) |
 *   ending | flags, parted by spaces | time | batch | corrects | ref | note | prev
 * `prev` is the hash of the account's entry before, 64 zeros for the first. A seal's hash, likewise:
 *   farebox seal 1 | number | entries | time | entries_hash | total_entries | total_credits | total_debits | prev
 * entries_hash is the SHA-256 of the hashes of the batch's entries in order, in hexadecimal, each ended by a newline. Totals are the instance's, up to this seal.
 */
void fare_entry_hash(const struct fare_entry *e, struct fare_hash *out);
void fare_seal_hash(const struct fare_seal *s, struct fare_hash *out);

struct fare_verify { uint64_t entries, accounts, seals; bool ok; char first_fault[FARE_NOTE_N]; };
/* Recomputes all: each entry's hash and chain, running balances, account records, call index, seals and their totals, usage totals, price versions and the cost of each call from them;
 * replay records against the ledger, and the hashes of kept answers.
 * Runs beside the writer: judges each account as of the number its record had when looked at, and seals up to the head at the start.
 * Nonzero: the store failed (a page that does not fit its checksum, say); first_fault says so, ok is false. */
int fare_books_verify(struct fare_books *b, struct fare_verify *out) FARE_MUST;
/* And against a seal that was kept elsewhere (status and backup print the last one): without it nobody can tell a ledger whose end was cut off, or that was made anew, seals and all. */
struct fare_kept_seal { uint64_t number; struct fare_hash hash; }; /* number 0: none */
int fare_books_verify_kept(struct fare_books *b, const struct fare_kept_seal *kept, struct fare_verify *out) FARE_MUST;
bool fare_kept_seal_parse(struct fare_span text, struct fare_kept_seal *out) FARE_MUST; /* NUMBER:HASH */

#endif
