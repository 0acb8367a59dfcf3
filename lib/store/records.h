/*
 * The records of the store: what they hold, and how they are put, found and walked. Encodings are in one file per kind: version u16 first, then the fields in the
 * order of the struct, integers big-endian, text as u16 length and bytes. Versions that this farebox does not know are refused (FARE_STORE_BAD).
 */
#ifndef FARE_STORE_RECORDS_H
#define FARE_STORE_RECORDS_H

#include "base/id.h"
#include "base/secret.h"
#include "money/amount.h"
#include "money/ending.h"
#include "money/price.h"
#include "store/store.h"

enum { FARE_BODY_DIGEST_N = 16, FARE_NAME_N = 128, FARE_URL_N = 512, FARE_NOTE_N = 256, FARE_GLOBS_N = 512 };

struct fare_account {
	uint64_t id;              /* 1.. ; 0: the house's own chain (outage, restored), which no list shows */
	char name[FARE_NAME_N];   /* letters, digits, . _ - @ ; unique */
	struct fare_amount balance;         /* credits - debits (charges are debits); the ledger's running balance */
	struct fare_amount credits, debits; /* totals, both >= 0 */
	struct fare_amount credit_limit;  /* >= 0 */
	uint64_t entries;         /* number of its last ledger entry; entries are 1.. */
	struct fare_hash head;    /* hash of its last entry */
	uint64_t created_ms;
	bool closed;
	/* Since record version 2. What holds for its keys where they say nothing, as theirs; and the defaults of its calls. */
	char default_models[FARE_GLOBS_N], default_ip[FARE_GLOBS_N]; /* "": all */
	uint64_t default_max_tokens; /* output bound of a call that names none; 0: the instance's */
	uint64_t default_expires_s;  /* of a key that is made, from then on; 0: never */
	struct fare_amount low_balance; /* an alarm is due when it has less; 0: no alarm */
	uint64_t falls;           /* how often it has had less, after having had more: the number of the alarm */
	uint8_t low;              /* enum fare_low, of the last fall */
};

enum fare_low { FARE_LOW_NOT = 0, FARE_LOW_DUE = 1, FARE_LOW_TOLD = 2 /* the alarm was handed over, or given up */ };

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

enum fare_bound_field {
	FARE_BOUND_MAX_TOKENS = 1, FARE_BOUND_MAX_COMPLETION_TOKENS = 2,
	FARE_NO_STREAM_OPTIONS = 4 /* beside one of these: the provider refuses them */
};
/* A model as one price version of it. Versions are numbered over the whole instance and never deleted, so an entry's price_version always finds its price. */
struct fare_model {
	uint64_t version;          /* price version, 1.. */
	uint64_t provider;         /* provider id */
	char name[FARE_NAME_N];    /* what callers say */
	char upstream[FARE_NAME_N]; /* what the provider is told */
	struct fare_price price;
	uint64_t max_output, context; /* tokens, 0: unknown */
	uint8_t bound_field;       /* of enum fare_bound_field */
	uint64_t created_ms;
	bool removed;              /* no longer offered */
	bool priced;               /* false: known, but refused with model_not_priced */
	/* Since record version 2. */
	uint64_t stream_hold;      /* output tokens that a stream holds at first, and grows by; 0: all of its bound. Only for models whose output is seen as it runs */
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

struct fare_seal {
	uint64_t number, entries; /* entries of this batch */
	uint64_t time_ms;
	struct fare_hash entries_hash, prev, hash;
	uint64_t total_entries;
	struct fare_amount total_credits, total_debits; /* of the instance */
};

/* What calls of one account used in a day (UTC, by the entry's time), per key and model. */
struct fare_usage_total {
	uint64_t account;
	uint32_t day;             /* days since 1970 */
	uint64_t key;
	char model[FARE_NAME_N];
	uint64_t calls;
	struct fare_usage usage;
	struct fare_amount cost;  /* charged, >= 0 */
};

/*
 * What `why` tells of a call beyond its entry: what the bank saw when it granted or refused it, and what came of it. What is not known stays zero: of a call that a bank
 * granted and another one ended, all that FARE_STORY_SEEN stands for.
 */
enum fare_story_state { FARE_STORY_NONE = 0, FARE_STORY_ENDED = 1 /* it has an entry */, FARE_STORY_REFUSED = 2 };
enum { FARE_STORY_SEEN = 1, FARE_STORY_STREAM = 2, FARE_STORY_BOUND_OURS = 4 /* the caller named none */, FARE_STORY_LOWERED = 8 /* to what the balance afforded */ };
enum { FARE_STORY_IP_N = 46 };
struct fare_story {
	struct fare_id call_id;
	uint8_t state;            /* enum fare_story_state */
	uint8_t flags;            /* FARE_STORY_ */
	uint64_t account, key;    /* 0: the key is not known */
	uint64_t price_version;   /* 0: none was found */
	uint64_t started_ms, ended_ms; /* ended: refused, too */
	/* With FARE_STORY_SEEN: what was asked, and what the account had before it. */
	uint8_t endpoint;         /* enum fare_endpoint */
	uint32_t choices;
	uint64_t prompt_bytes;
	struct fare_amount available, pending, credit_limit;
	int64_t bound;            /* output tokens per choice: granted, or as refused; -1: none */
	/* Of an ended call. */
	struct fare_amount first_hold, cost; /* first_hold with FARE_STORY_SEEN */
	uint8_t ending;           /* enum fare_ending */
	uint16_t status;          /* the upstream's, 0: none came or not known */
	/* Of a refused one. */
	uint8_t refused;          /* enum fare_refused */
	char model[FARE_NAME_N];  /* as the caller said it */
	struct fare_amount needed;
	uint64_t affordable, limit; /* as in the refusal's numbers */
	char ip[FARE_STORY_IP_N]; /* the address that the key does not allow; "": that was not it */
	struct fare_id earlier;   /* the call that has the idempotency key */
};
/*
 * A charged call that came with an Idempotency-Key, for a day from its end: the key then leads to this call and is never charged again. Its answer is beside it, in parts,
 * or was not kept.
 */
enum { FARE_ANSWER_MAX = 256 * 1024, FARE_ANSWER_PART_N = 3900 /* with its record's head it fits a page of its own */, FARE_ANSWER_PARTS_MAX = FARE_ANSWER_MAX / FARE_ANSWER_PART_N + 1 };
struct fare_replay {
	struct fare_id call_id;
	uint64_t account;
	struct fare_hash idem;    /* of endpoint and key */
	uint8_t body[FARE_BODY_DIGEST_N];
	struct fare_amount cost;  /* > 0 */
	uint64_t ended_ms;        /* its entry's time */
	uint32_t answer_n;        /* bytes; 0: not kept */
	struct fare_hash answer;  /* SHA-256 of them; zero when not kept */
};
struct fare_answer_part { uint32_t n; uint8_t bytes[FARE_ANSWER_PART_N]; };

/* Where an entry is. */
struct fare_place { uint64_t account, number; };

enum { FARE_STORE_ID_N = 16, FARE_EPOCH_N = 16 };
struct fare_meta {
	uint32_t schema; /* fare_format of the farebox that last wrote it (base/version.h) */
	uint8_t store_id[FARE_STORE_ID_N];
	uint8_t epoch[FARE_EPOCH_N]; /* random, renewed when the store is made or restored */
};

/* get: OK, NONE, BAD, FAILED. put: OK, THERE (only where fresh is said), FAILED. walk: as fare_store_scan, from the given key on. */
int fare_meta_get(struct fare_view *v, struct fare_meta *out) FARE_MUST;
int fare_meta_put(struct fare_view *v, const struct fare_meta *m) FARE_MUST;

int fare_account_get(struct fare_view *v, uint64_t id, struct fare_account *out) FARE_MUST;
int fare_account_put(struct fare_view *v, const struct fare_account *a) FARE_MUST;
int fare_account_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_account *), void *arg) FARE_MUST;
int fare_name_get(struct fare_view *v, const char *name, uint64_t *account) FARE_MUST;
int fare_name_put(struct fare_view *v, const char *name, uint64_t account) FARE_MUST; /* fresh */
int fare_name_del(struct fare_view *v, const char *name) FARE_MUST;
int fare_name_walk(struct fare_view *v, int (*fn)(void *, struct fare_span name, uint64_t account), void *arg) FARE_MUST; /* the name as it is there, not ended by a NUL */

int fare_key_get(struct fare_view *v, uint64_t id, struct fare_key *out) FARE_MUST;
int fare_key_put(struct fare_view *v, const struct fare_key *k) FARE_MUST;
int fare_key_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_key *), void *arg) FARE_MUST;
int fare_key_hash_get(struct fare_view *v, const struct fare_hash *h, uint64_t *key) FARE_MUST;
int fare_key_hash_put(struct fare_view *v, const struct fare_hash *h, uint64_t key) FARE_MUST; /* fresh */
int fare_key_hash_walk(struct fare_view *v, int (*fn)(void *, struct fare_span hash, uint64_t key), void *arg) FARE_MUST;

int fare_provider_get(struct fare_view *v, uint64_t id, struct fare_provider *out) FARE_MUST;
int fare_provider_put(struct fare_view *v, const struct fare_provider *p) FARE_MUST;
int fare_provider_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_provider *), void *arg) FARE_MUST;

int fare_model_get(struct fare_view *v, uint64_t version, struct fare_model *out) FARE_MUST;
int fare_model_put(struct fare_view *v, const struct fare_model *m) FARE_MUST;
int fare_model_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_model *), void *arg) FARE_MUST;

int fare_entry_get(struct fare_view *v, struct fare_place at, struct fare_entry *out) FARE_MUST;
int fare_entry_put(struct fare_view *v, const struct fare_entry *e) FARE_MUST; /* fresh */
/* From a place on, past the account's last entry into the next account's. */
int fare_entry_walk(struct fare_view *v, struct fare_place from, int (*fn)(void *, const struct fare_entry *), void *arg) FARE_MUST;

int fare_call_get(struct fare_view *v, struct fare_id call_id, struct fare_place *out) FARE_MUST;
int fare_call_put(struct fare_view *v, struct fare_id call_id, struct fare_place at) FARE_MUST; /* fresh */
int fare_call_walk(struct fare_view *v, int (*fn)(void *, struct fare_id, struct fare_place), void *arg) FARE_MUST;

int fare_ref_get(struct fare_view *v, uint64_t account, uint8_t kind, const char *ref, uint64_t *number) FARE_MUST;
int fare_ref_put(struct fare_view *v, uint64_t account, uint8_t kind, const char *ref, uint64_t number) FARE_MUST; /* fresh */
int fare_ref_walk(struct fare_view *v, int (*fn)(void *, uint64_t account, uint8_t kind, const char *ref, uint64_t number), void *arg) FARE_MUST;

int fare_batch_get(struct fare_view *v, uint64_t batch, uint32_t position, struct fare_place *out) FARE_MUST;
int fare_batch_put(struct fare_view *v, uint64_t batch, uint32_t position, struct fare_place at) FARE_MUST; /* fresh */
int fare_batch_walk(struct fare_view *v, uint64_t batch, int (*fn)(void *, uint64_t batch, uint32_t position, struct fare_place), void *arg) FARE_MUST;

int fare_seal_get(struct fare_view *v, uint64_t number, struct fare_seal *out) FARE_MUST;
int fare_seal_put(struct fare_view *v, const struct fare_seal *s) FARE_MUST; /* fresh */
int fare_seal_walk(struct fare_view *v, uint64_t from, int (*fn)(void *, const struct fare_seal *), void *arg) FARE_MUST;

int fare_usage_get(struct fare_view *v, struct fare_usage_total *io) FARE_MUST; /* account, day, key and model given, the rest filled in */
int fare_usage_put(struct fare_view *v, const struct fare_usage_total *t) FARE_MUST;
/* By account, then day, key, model; past the account into the next. */
int fare_usage_walk(struct fare_view *v, uint64_t account, uint32_t day, int (*fn)(void *, const struct fare_usage_total *), void *arg) FARE_MUST;

int fare_story_get(struct fare_view *v, struct fare_id call_id, struct fare_story *out) FARE_MUST;
int fare_story_put(struct fare_view *v, const struct fare_story *s, bool fresh) FARE_MUST; /* fresh: THERE when the call has one */
int fare_story_del(struct fare_view *v, struct fare_id call_id) FARE_MUST; /* OK, NONE, FAILED */
int fare_story_walk(struct fare_view *v, struct fare_id from, int (*fn)(void *, const struct fare_story *), void *arg) FARE_MUST;
int fare_replay_get(struct fare_view *v, struct fare_id call_id, struct fare_replay *out) FARE_MUST;
int fare_replay_put(struct fare_view *v, const struct fare_replay *r, const char *answer) FARE_MUST; /* fresh; with the parts of its answer (answer_n bytes) */
int fare_replay_del(struct fare_view *v, struct fare_id call_id) FARE_MUST; /* and its answer; NONE: not there */
int fare_replay_walk(struct fare_view *v, int (*fn)(void *, const struct fare_replay *), void *arg) FARE_MUST; /* by call id */
int fare_answer_part_get(struct fare_view *v, struct fare_id call_id, uint16_t part, struct fare_answer_part *out) FARE_MUST;
int fare_answer_part_walk(struct fare_view *v, int (*fn)(void *, struct fare_id call_id, uint16_t part), void *arg) FARE_MUST;

/* The greatest id (price version, seal number) of a table keyed by one; 0 when it is empty. */
int fare_table_last(struct fare_view *v, enum fare_table t, uint64_t *id) FARE_MUST;

#endif
