/*
 * A bank and its workers in one thread and one seed. The bank's decider is the real one; the store, the writer, sockets, locks, meters, workers and the upstream are
 * simple stand-ins, so that any of them can stop, be killed, lose or repeat what it said at any step, and the lights can go out. What the upstream gave for each call is
 * kept apart (struct sim_call), and is what the ledger is judged by.
 */
#ifndef FARE_TESTS_SIM_H
#define FARE_TESTS_SIM_H

#include "base/first.h"

#include <setjmp.h>
#include <stdio.h>

#include "bank/decider.h"
#include "base/log.h"

enum { SIM_NUMBERS = 2 /* workers at a time */, SIM_SLOTS = 3, SIM_LIVES = 12, SIM_CALLS = 64, SIM_ACCOUNTS = 2, SIM_HOLDS = 16, SIM_LEDGER = 256, SIM_CREDITS = 16, SIM_QUEUE = 256, SIM_MARK = 15 /* low balance */, SIM_KEYS = 3 /* Idempotency-Keys of an account */,
	SIM_BOUND = 10, SIM_STREAM_HOLD = FARE_BOUND_LEAST, SIM_STREAM_BOUND = 26 };

/* What really happened to a call, whatever the bank thinks. */
struct sim_call {
	struct fare_id id;
	uint64_t account;
	unsigned key;    /* Idempotency-Key, 1..; 0: none */
	bool admitted;   /* a hold was written */
	bool upstream;   /* the first byte went out */
	bool final;      /* the worker saw its end */
	bool acked;      /* the bank said that it is in the ledger */
	bool dark;       /* a power cut came before it was durable: it may have no entry */
	uint64_t tokens; /* the upstream gave them; each costs a nano-dollar */
	bool grows;      /* a stream whose hold grows */
	uint64_t named;  /* the most that its worker ever asked to be held, beyond what the bank holds at first */
};

enum sim_said { SIM_HELLO = 1, SIM_ADMIT, SIM_EXTEND, SIM_SETTLE, SIM_VOID, SIM_WELCOME, SIM_GRANT, SIM_REFUSE, SIM_EXTENDED, SIM_ACK };
struct sim_message { uint8_t said; uint16_t slot; struct fare_id id; uint64_t account; bool grows; uint64_t asked, held; unsigned key, listed_n; struct fare_listed listed[SIM_SLOTS]; };
struct sim_queue { struct sim_message at[SIM_QUEUE]; unsigned first, n; };

/* One connection. Either end may be closed; what was said before can still be read at the other. */
struct sim_life;
struct sim_conn {
	struct sim_life *life;
	bool worker_end, bank_end;
	struct fare_worker *w; /* after its hello */
	struct sim_queue up, down;
};

enum sim_slot_state { SIM_FREE, SIM_WAIT, SIM_GRANTED, SIM_SENT, SIM_SETTLING, SIM_VOIDING };
struct sim_slot { uint8_t state; bool told; struct sim_call *call; uint64_t held /* tokens */, asks /* to be held; 0: no question is open */; bool no_more; };

/* One life of a worker: its process, its lock and its meter. */
struct sim_life {
	struct fare_id incarnation;
	uint32_t no;
	bool alive, locked, meter_gone;
	struct sim_conn *conn; /* the worker's end */
	struct sim_slot slots[SIM_SLOTS];
	struct fare_meter_reading meter[SIM_SLOTS];
};

struct sim_credit { uint64_t account; int64_t nano; bool acked, dark, asked; };

struct sim {
	uint64_t random, seed;
	bool trace;
	const char *without; /* a rule that the stand-ins leave out: what it guards against must be found */
	uint64_t ids;
	uint64_t wall_ms, told_ms; /* told: the latest that this bank was told, or found in its ledger */
	uint64_t expires_ms; /* the last account's key; 0: never */

	struct sim_call calls[SIM_CALLS];
	unsigned calls_n;
	struct sim_life lives[SIM_LIVES];
	unsigned lives_n;
	struct sim_life *now[SIM_NUMBERS];
	struct sim_conn conns[4 * SIM_LIVES + 32];
	unsigned conns_n;
	struct sim_credit credits[SIM_CREDITS];
	unsigned credits_n;

	/* The store: entries in order; what a process kill leaves, and what a power cut leaves. */
	struct fare_entry ledger[SIM_LEDGER];
	struct fare_replay replays[SIM_LEDGER]; /* of these entries; account 0: none */
	unsigned ledger_n, durable_n;
	struct sim_low { uint64_t falls; uint8_t low; } low[SIM_ACCOUNTS + 1], low_durable[SIM_ACCOUNTS + 1]; /* of accounts' records */

	/* The bank's process. */
	bool up;
	struct fare_decider d;
	struct fare_hold holds[SIM_HOLDS]; /* the holds file */
	struct fare_job *queue, **queue_end; /* not committed */
	struct fare_job *committed;          /* committed, not flushed */
	struct fare_job *done;               /* durable, not taken in by the decider */
	struct fare_job *in_hand;            /* the decider is at it */
	struct sim_conn *reading;
	struct sim_alarm { uint64_t account, falls; } alarms[SIM_QUEUE]; /* raised, not yet delivered */
	unsigned alarms_n;
	uint64_t raised[SIM_ACCOUNTS + 1]; /* the last fall that was */

	/* Death in the middle: at the nth callback from here on. */
	unsigned die_at;
	jmp_buf dead;
};

unsigned sim_dice(struct sim *s, unsigned sides);
void sim_say(const struct sim *s, const char *fmt, ...) FARE_PRINTF(2, 3); /* with --trace */
bool sim_without(const struct sim *s, const char *rule);
FARE_NORETURN void sim_fail(const struct sim *s, const char *what);
#define SIM_MUST(s, x) ((x) ? (void)0 : sim_fail(s, #x))

struct fare_id sim_id(struct sim *s);
struct sim_call *sim_call_of(struct sim *s, struct fare_id id); /* NULL: none */
void sim_push(struct sim *s, struct sim_queue *q, const struct sim_message *m);
bool sim_pop(struct sim_queue *q, struct sim_message *m);

/* sim_bank.c: each does one step, if there is one to do (true). */
void sim_bank_start(struct sim *s);
void sim_bank_kill(struct sim *s);
bool sim_bank_read(struct sim *s, struct sim_conn *c);
bool sim_bank_commit(struct sim *s, unsigned jobs);
bool sim_bank_flush(struct sim *s);
bool sim_bank_take_in(struct sim *s);
bool sim_bank_bury(struct sim *s);
void sim_bank_credit(struct sim *s, struct sim_credit *c);
void sim_bank_check(struct sim *s); /* its memory adds up */
void sim_bank_rest(struct sim *s);  /* at rest it knows of nobody dead */
int64_t sim_ledger_sum(const struct sim *s, uint64_t account);

/* sim_worker.c */
void sim_worker_start(struct sim *s, uint32_t no);
void sim_worker_kill(struct sim *s, struct sim_life *l); /* its lock goes later */
bool sim_worker_connect(struct sim *s, struct sim_life *l);
void sim_worker_hang_up(struct sim_life *l);
bool sim_worker_call(struct sim *s, struct sim_life *l);  /* a new call */
bool sim_worker_step(struct sim *s, struct sim_life *l, unsigned slot);
bool sim_worker_give_up(struct sim *s, struct sim_life *l, unsigned slot);
bool sim_worker_again(struct sim *s, struct sim_life *l, unsigned slot); /* says it twice */
bool sim_worker_hear(struct sim *s, struct sim_life *l);
bool sim_worker_is_idle(const struct sim_life *l);

#endif
