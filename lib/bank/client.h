/*
 * A worker's link to the bank: its slots, its meter, and one connection that all its threads share. On an event loop it connects (for ever; starting a bank
 * is the keeper's, for a worker never forks: R1), says hello with every slot that is not free (R10), says again what is unanswered, and takes answers by call id and state (R11).
 *
 * A call's way: slot -> ask -> (granted) sent -> progress... -> usage -> final -> settle, or -> void at any point before `sent`. After settle or void the slot is
 * the link's until the bank has acknowledged it (R12); the caller never touches it again. Thread-safe; the meter writers of one slot belong to one thread at a time.
 */
#ifndef FARE_BANK_CLIENT_H
#define FARE_BANK_CLIENT_H

#include "base/loop.h"
#include "bank/admission.h"
#include "bank/meter.h"
#include "bank/proto.h"

struct fare_link;

enum fare_asked { FARE_ASKED_ANSWERED = 1, FARE_ASKED_TIMEOUT = 2 /* no bank can be had, or no answer in time: answer 503 store_unavailable */ };

/* Who asks, and is told. The link's from fare_link_ask or fare_link_extend until `heard` is called: once, on the loop, without a lock. */
struct fare_asking {
	void (*heard)(struct fare_asking *a);
	enum fare_asked asked;
	struct fare_admit_answer answer; /* with FARE_ASKED_ANSWERED only */
	struct fare_asking *next; /* the link's, like what follows */
	uint64_t until_ms;
};

/* Makes the incarnation and its meter in run_dir. NULL: one line in error. The link connects by itself, on `loop`, which must outlive it; NULL: on a thread of its own. */
struct fare_link *fare_link_new(const char *run_dir, unsigned worker_no, unsigned slots, struct fare_loop *loop, char error[FARE_ERROR_N]);
/* No new slots; waits until all slots are free, at most timeout_ms. True: all were. */
bool fare_link_drain(struct fare_link *l, uint64_t timeout_ms);
void fare_link_free(struct fare_link **l); /* not from the loop's thread, which must be running */
bool fare_link_connected(struct fare_link *l); /* just now */
bool fare_link_down(struct fare_link *l);      /* for some seconds: no bank can be had, and who asks is told so at once */
unsigned fare_link_busy(struct fare_link *l); /* slots that are not free */

/* A free slot, now in state idle for this call id; -1: all are taken (503 overloaded). Ids within a slot must rise: a slot whose last id is newer is passed over. */
int fare_link_slot(struct fare_link *l, struct fare_id call_id);
/* Says admit; a->heard is told. Not granted, refused or not answered: the slot is the link's already. The time is kept to half a second. */
void fare_link_ask(struct fare_link *l, int slot, const struct fare_admit *ask, struct fare_asking *a, uint64_t timeout_ms);
void fare_link_void(struct fare_link *l, int slot);
/* The hold of a granted call shall pay for so many output tokens per choice (R9). a->heard is told, with answer.extended, unless the call ends before. One question at a time. */
void fare_link_extend(struct fare_link *l, int slot, uint64_t held_output, struct fare_asking *a, uint64_t timeout_ms);
void fare_link_settle(struct fare_link *l, int slot); /* after fare_meter_final */

/* Is this key good (for GETs that cost nothing)? Needs no slot. answer->granted, or why not. */
enum fare_asked fare_link_check(struct fare_link *l, const struct fare_admit *ask, struct fare_admit_answer *answer, uint64_t timeout_ms);

/* The story of the call whose id, as text, is in ask->model; otherwise likewise. Granted: appended to story (see bank/story.h); nothing: the key made no such call. */
enum fare_asked fare_link_story(struct fare_link *l, const struct fare_admit *ask, struct fare_buf *story, struct fare_admit_answer *answer, uint64_t timeout_ms);
/*
 * A part of an answer that the bank keeps (after FARE_IDEM_REPLAY). Needs no slot. The link's from fare_link_fetch until `heard` is called: once, on the loop, without a lock.
 */
struct fare_fetch {
	void (*heard)(struct fare_fetch *f);
	struct fare_part_ask ask; /* tag: the link's */
	enum fare_asked asked;
	struct fare_part part;    /* with FARE_ASKED_ANSWERED only */
	struct fare_fetch *next;  /* the link's, like what follows */
	uint64_t until_ms;
	bool told;
};
void fare_link_fetch(struct fare_link *l, struct fare_fetch *f, uint64_t timeout_ms);

/*
 * Keeps a call's answer for its Idempotency-Key: in a file, and its size in the meter; before fare_meter_final, and only for an answer that is whole. What cannot be kept is
 * logged, and the call is charged all the same.
 */
void fare_link_keep(struct fare_link *l, int slot, struct fare_span head, struct fare_span body);

/* Meter writers; plain stores, no lock, no system call. */
void fare_meter_sent(struct fare_link *l, int slot, uint64_t prompt_text_bytes);
void fare_meter_progress(struct fare_link *l, int slot, uint64_t received_bytes, uint64_t relayed_text_bytes); /* totals so far; makes it `streaming` */
void fare_meter_usage(struct fare_link *l, int slot, const struct fare_usage *u, bool clamped);                /* the provider's own, the last one wins */
void fare_meter_answered(struct fare_link *l, int slot, int status); /* the upstream, with this HTTP status */
void fare_meter_final(struct fare_link *l, int slot, enum fare_ending ending);

#endif
