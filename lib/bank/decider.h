/*
 * The decider: who may spend what. A deterministic state machine in memory over the holds file: messages and results of the writer in, answers and jobs for the writer
 * out. No clock, no random numbers, no disk, no libdb: the same calls give the same state. One thread. Rules R1 to R14 are those of the money protocol.
 *
 * What adds money or rights counts when it is durable; what takes away counts at once.
 */
#ifndef FARE_BANK_DECIDER_H
#define FARE_BANK_DECIDER_H

#include "bank/holds.h"
#include "bank/meter.h"
#include "bank/proto.h"
#include "bank/map.h"

struct fare_acct {
	struct fare_account rec;    /* balance, credits and debits as decided, durable or not */
	struct fare_amount pending; /* sum of its live holds */
	uint64_t due;               /* the fall whose alarm is to be told, durable; 0: none */
	uint64_t stories_minute;    /* the minute that the next counts in */
	uint32_t stories;           /* of refused calls, handed to the writer in it */
};

/* R8: what is known of the last call of a slot. */
enum fare_slot_known { FARE_SLOT_NONE, FARE_SLOT_LIVE, FARE_SLOT_DECIDED, FARE_SLOT_LOOKING /* the writer looks for its entry */, FARE_SLOT_ENDED, FARE_SLOT_REFUSED };
struct fare_slot_memory {
	struct fare_id last;
	uint8_t known;          /* enum fare_slot_known */
	uint8_t refused;        /* enum fare_refused */
	struct fare_hold *hold; /* live or decided */
	struct fare_refusal_numbers numbers;
};

struct fare_worker { /* one incarnation */
	struct fare_worker *next;
	struct fare_id incarnation;
	uint32_t no, pid, slots, holds;
	bool dead;   /* R4: its lock was got; nothing it says counts any more */
	void *conn;  /* the server's, NULL: not connected */
	uint64_t conn_number; /* the server's: connections are counted as they come; a hello on an older one than this is stale (R3) */
	int meter_fd; /* the server's, -1: none */
	struct fare_slot_memory *memory;
};

/* Work for the writer, done in order; given back with the result when all of it is durable. */
enum fare_job_what { FARE_JOB_OP = 1, FARE_JOB_LOOK = 2 /* is op.u.post.call_id in the ledger? applied: FARE_ALREADY or FARE_APPLIED (no) */ };
struct fare_job {
	struct fare_job *next;
	uint8_t what;
	bool is_void;              /* of a look: void or settle */
	uint16_t slot;
	struct fare_id incarnation; /* of a look, or a charge */
	struct fare_hold *hold;    /* of a call's charge */
	bool patient;              /* nobody waits for it: it makes no batch begin sooner */
	uint32_t answer_n, worker_no; /* of a charge: a file with its answer, of that worker (bank/answer.h); 0: none. What is kept of it is in op.keyed */
	struct fare_op op;
	void (*done)(void *arg, struct fare_job *job); /* after the decider took it in; NULL: nobody waits */
	void *arg;
};

/*
 * What an operator wants to hear of at once.
 *
 * low_balance: an account has less than its low_balance: its balance and credit limit, not counting what is held for running calls, which comes and goes with each of
 * them. Once for each fall; it falls again only after it had as much (by a credit, a higher limit, a lower mark), and a new account not before it had. The account's record
 * counts the falls and says of the last one whether its alarm is due. It is raised when that is durable, and told again by every bank from its start until
 * fare_decider_told. So an account that stays low is told of, whatever is killed, and told of twice only if the bank is killed between the delivery and the word of it on
 * disk; `falls` is the same then. A fall that is over when a bank is killed may go untold.
 * provider_refused: an upstream answered 401, 402 or 403: it does not take our key, or it is not paid. Once an hour as long as it goes on; after an answer below 300 at
 * once again, but at most once a minute. In memory: a new bank tells it again.
 * store_full: less room than the reserve, or a read-only disk: once when it begins.
 * log_archive: logs cannot be put into their archive: once when it begins.
 * store_copied: an fsync had failed; the store's files were copied into new ones.
 * The others: once for each call.
 */
enum fare_alarm_what { FARE_ALARM_LOW_BALANCE = 1, FARE_ALARM_PROVIDER_REFUSED, FARE_ALARM_CALL_PARKED, FARE_ALARM_METER_DAMAGED, FARE_ALARM_USAGE_CLAMPED,
	FARE_ALARM_STORE_FULL, FARE_ALARM_STORE_COPIED, FARE_ALARM_LOG_ARCHIVE, FARE_ALARM_N };
struct fare_alarm {
	uint8_t what;            /* enum fare_alarm_what */
	uint64_t account, falls; /* low_balance; account of a call, too */
	uint64_t provider, status; /* provider_refused */
	struct fare_id call_id;  /* of all but low_balance */
	const char *text;        /* of a call, or of the store: what; valid during the call */
};

/* A provider that does not take our key. */
struct fare_refusing { uint64_t provider, status, since_ms, told_ms, not_before_ms; bool on; };
enum { FARE_REFUSING_N = 64 };

struct fare_decider_out {
	void *ctx;
	/* Never blocks; dropped when the worker is not connected: it asks again. answer: for grant, refuse, checked and extended. */
	void (*tell)(void *ctx, struct fare_worker *w, enum fare_msg_type type, uint16_t slot, struct fare_id call_id, const struct fare_admit_answer *answer);
	void (*post)(void *ctx, struct fare_job *job);
	bool (*read_meter)(void *ctx, struct fare_worker *w, unsigned slot, struct fare_id expected, struct fare_meter_reading *out);
	void (*alarm)(void *ctx, const struct fare_alarm *a); /* NULL: nobody listens */
};

/* May something be written to the store that could wait? What runs is settled anyway. */
enum fare_room { FARE_ROOM_GOOD, FARE_ROOM_FULL /* less than the reserve */, FARE_ROOM_READ_ONLY };

struct fare_ended_call {
	struct fare_id call_id;
	uint64_t account, key, price_version, started_ms;
	struct fare_amount hold, amount;
	uint8_t ending;
};
enum { FARE_ENDED_N = 1024, FARE_BOUND_LEAST = 16 };

/*
 * What stories tell of a hold beyond its record: as it was when the call was granted. In memory: a new bank does not know it of the holds it finds (choices 0).
 * What a bank refused last is kept in a ring, stories of FARE_STORY_REFUSED: all of it, for the writer takes only FARE_STORIES_A_MINUTE of an account, and none without a
 * valid key, lest a flood of refusals fills the store.
 */
struct fare_seen {
	struct fare_amount available, pending, credit_limit, hold;
	uint64_t prompt_bytes;
	uint32_t choices;
	uint16_t status; /* upstream's, when decided */
	uint8_t endpoint, flags; /* FARE_STORY_STREAM */
};
enum { FARE_REFUSED_N = 1024, FARE_STORIES_A_MINUTE = 60 };

/*
 * An Idempotency-Key in use: its call runs (or is decided and not durable), or was charged within the last day. A call that cost nothing leaves none. In a list of its
 * own kind: the running ones in any order; those that ended oldest first, as long as the store has them, so one whose key was used anew is among them, too.
 */
enum { FARE_IDEM_N = 8 + FARE_HASH_N };
struct fare_idem {
	struct fare_idem *next, **prev;
	uint8_t key[FARE_IDEM_N];     /* account, digest of endpoint and key */
	uint8_t body[FARE_BODY_DIGEST_N];
	struct fare_id call_id;
	struct fare_hold *hold;       /* NULL: it has ended, and what follows is valid */
	struct fare_amount cost;
	uint64_t ended_ms;
	uint32_t stored;              /* bytes of its answer; 0: it is not */
};
enum { FARE_IDEM_MAX = 1000000 /* in memory: about 200 bytes each */, FARE_IDEM_KEEP_MS = 24 * 3600 * 1000, FARE_FORGET_OPS = 8 /* at a time */, FARE_FORGET_BYTES = 16 * 1024 * 1024 /* of answers, likewise: about so much is logged */ };

struct fare_index { void **at; size_t n; }; /* by id; NULL: none */

struct fare_decider {
	struct fare_decider_out out;
	uint64_t default_max_tokens, image_tokens; /* settings */
	bool stories;              /* setting: are they written */
	uint64_t now_ms;           /* wall, never back */
	bool behind;               /* the clock has stepped back, and it was told */
	uint8_t room;              /* enum fare_room: the server's word */
	struct fare_holds holds;
	struct fare_worker *workers;
	struct fare_index accounts, keys, providers, models; /* models: every price version */
	struct fare_map account_names, key_hashes, provider_names, model_names; /* models: the version offered now */
	size_t account_count, key_count;
	uint64_t queued;           /* jobs with the writer */
	uint64_t catalogue;        /* grows with each change of what is offered */
	struct fare_ended_call ended[FARE_ENDED_N];
	struct fare_map idems;     /* by account and digest: what the key leads to now */
	struct fare_idem *idem_running, *idem_first, **idem_last;
	size_t idem_count, idem_max;
	unsigned forgetting;       /* FARE_OP_FORGET with the writer */
	struct fare_refusing refusing[FARE_REFUSING_N];
	uint64_t over_hold;        /* calls of this bank's that cost more than was held for them */
	struct fare_seen *seen;    /* owned, by hold; NULL: none yet */
	struct fare_story *refused; /* owned, FARE_REFUSED_N; NULL: none yet */
	uint64_t refused_count;    /* the newest is at (refused_count - 1) % FARE_REFUSED_N */
	uint64_t parked;           /* charges that the writer refused; the next bank tries them again */
	uint64_t ended_count;      /* the newest is at (ended_count - 1) % FARE_ENDED_N */
};

/* The holds are opened by the caller, into d->holds. */
void fare_decider_init(struct fare_decider *d, const struct fare_decider_out *out);
void fare_decider_release(struct fare_decider *d);
void fare_decider_time(struct fare_decider *d, uint64_t wall_ms); /* before each message */

/* Takes in a record as the store has it: at the start, and when a change of it is durable. */
void fare_decider_put_account(struct fare_decider *d, const struct fare_account *a);
void fare_decider_put_key(struct fare_decider *d, const struct fare_key *k);
void fare_decider_put_provider(struct fare_decider *d, const struct fare_provider *p);
void fare_decider_put_model(struct fare_decider *d, const struct fare_model *m);
void fare_decider_put_replay(struct fare_decider *d, const struct fare_replay *r); /* at the start alone, before fare_decider_recover */

struct fare_acct *fare_decider_account(const struct fare_decider *d, uint64_t id);
struct fare_acct *fare_decider_account_named(const struct fare_decider *d, const char *name);
struct fare_key *fare_decider_key(const struct fare_decider *d, uint64_t id);
struct fare_provider *fare_decider_provider(const struct fare_decider *d, uint64_t id);
struct fare_provider *fare_decider_provider_named(const struct fare_decider *d, const char *name);
struct fare_model *fare_decider_model(const struct fare_decider *d, uint64_t version);
struct fare_model *fare_decider_model_named(const struct fare_decider *d, const char *name); /* offered now */
uint64_t fare_decider_account_of(const struct fare_decider *d, const struct fare_hash *key); /* 0: none has such a key */
struct fare_amount fare_decider_available(const struct fare_acct *a);

/* A new bank's first look at the holds, before the sockets open: has_entry says 1, 0 or -1 (failed). False: the store failed. */
bool fare_decider_recover(struct fare_decider *d, int (*has_entry)(void *ctx, struct fare_id call_id), void *ctx) FARE_MUST;

struct fare_worker *fare_decider_worker(struct fare_decider *d, struct fare_id incarnation); /* NULL: not known */
/* R3, R10. The worker is made if it is not known; NULL: it is dead. */
struct fare_worker *fare_decider_hello(struct fare_decider *d, const struct fare_hello *h);
void fare_decider_admit(struct fare_decider *d, struct fare_worker *w, uint16_t slot, const struct fare_admit *ask);
void fare_decider_check(struct fare_decider *d, struct fare_worker *w, const struct fare_admit *ask);
/* R9: a stream's hold shall pay for so many output tokens per choice, or for as many as the balance affords. Always answered. */
void fare_decider_extend(struct fare_decider *d, struct fare_worker *w, uint16_t slot, struct fare_id call_id, uint64_t held_output);
void fare_decider_end(struct fare_decider *d, struct fare_worker *w, uint16_t slot, struct fare_id call_id, bool is_void);
void fare_decider_dead(struct fare_decider *d, struct fare_worker *w); /* R4: its live holds are decided by the meter */
void fare_decider_forget(struct fare_decider *d, struct fare_worker *w); /* dead, without holds */

/* A job of someone outside: takes away at once, then on to the writer. */
void fare_decider_submit(struct fare_decider *d, struct fare_job *job);
/* The job is durable. Frees it. */
void fare_decider_durable(struct fare_decider *d, struct fare_job *job);

/*
 * What is kept of running calls, judged at one moment: each live hold has a worker, that worker's slot, and the same call in the worker's meter; each decided one has its
 * charge, on its way to the ledger or parked; what accounts have pending is the sum of their live holds. False: first_fault names what is not so.
 */
struct fare_holds_check { uint64_t live, decided; char first_fault[FARE_NOTE_N]; };
bool fare_decider_check_holds(struct fare_decider *d, struct fare_holds_check *out);

/* Now and then: lets go of Idempotency-Keys of more than a day ago, the oldest first, some at a time, and no more before those are durable; none while the disk has no room. */
void fare_decider_forget_keys(struct fare_decider *d);

/* The alarm of an account's fall has been delivered, or given up. */
void fare_decider_told(struct fare_decider *d, uint64_t account, uint64_t falls);

/* What is known of a call now: the hold of one that runs or is being posted, and the refusal of one that was refused lately. NULL: neither. */
const struct fare_hold *fare_decider_hold(const struct fare_decider *d, struct fare_id call_id);
const struct fare_story *fare_decider_refusal(const struct fare_decider *d, struct fare_id call_id);
void fare_decider_story(const struct fare_decider *d, const struct fare_hold *h, struct fare_story *out); /* of a hold, as far as it has come */

/* Between the decider's files. */
struct fare_seen *fare_decider_seen(struct fare_decider *d, const struct fare_hold *h);
void fare_decider_granted(struct fare_decider *d, const struct fare_hold *h, const struct fare_admit *ask, const struct fare_acct *a);
void fare_decider_refused(struct fare_decider *d, const struct fare_admit *ask, struct fare_acct *a, const struct fare_key *k, const struct fare_model *m, const struct fare_admit_answer *answer);
void fare_decider_watch(struct fare_decider *d, struct fare_acct *a); /* after every change of what it has: has it fallen, or risen? */
void fare_decider_due(struct fare_decider *d, uint64_t account, uint64_t falls); /* that fall is durable */
void fare_decider_answered(struct fare_decider *d, uint64_t provider, uint64_t status, struct fare_id call_id);
void fare_decider_raise(struct fare_decider *d, const struct fare_alarm *a);
bool fare_decider_look(const struct fare_decider *d, const struct fare_admit *ask, struct fare_acct **a, struct fare_key **k, struct fare_admit_answer *answer);
void fare_decider_decide(struct fare_decider *d, struct fare_worker *w, struct fare_hold *h);
void fare_decider_queue_charge(struct fare_decider *d, struct fare_hold *h);
void fare_idem_begin(struct fare_decider *d, struct fare_hold *h); /* of a hold without a key: nothing */
void fare_idem_end(struct fare_decider *d, const struct fare_hold *h, struct fare_amount cost, uint64_t ended_ms, uint32_t stored); /* durable */
void fare_idem_forget(struct fare_decider *d, const struct fare_hold *h); /* the key is free again */
bool fare_idem_judge(const struct fare_decider *d, uint64_t account, const struct fare_admit *ask, struct fare_admit_answer *answer); /* false: refused */
void fare_idem_sort(struct fare_decider *d); /* after the last fare_decider_put_replay */
void fare_idem_release(struct fare_decider *d);
void fare_decider_queue(struct fare_decider *d, struct fare_job *job); /* to the writer */
void fare_decider_charge(struct fare_acct *a, int64_t nano);    /* signed effect on the balance */
void fare_decider_give_back(struct fare_acct *a, int64_t nano); /* a debit that was taken and not posted */

#endif
