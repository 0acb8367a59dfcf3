/*
 * The holds file: one record per live call, written by the bank alone, so a hold costs no disk write and outlives every process. The state word is written last: a
 * record cut short is no hold. A file of another store, epoch or boot is set aside under another name and never applied.
 */
#ifndef FARE_BANK_HOLDS_H
#define FARE_BANK_HOLDS_H

#include "bank/admission.h"

#include <stdatomic.h>

enum fare_hold_state { FARE_HOLD_FREE = 0, FARE_HOLD_LIVE = 1, FARE_HOLD_DECIDED = 2 };
enum { FARE_HOLDS_MAX = 32768 }; /* calls at a time on the whole host */

struct fare_hold {
	_Atomic uint64_t state; /* enum fare_hold_state */
	struct fare_id call_id, incarnation;
	uint32_t worker_no, slot;
	uint64_t account, key, price_version, started_ms;
	int64_t hold_nano, bound;
	uint64_t max_input, max_output;
	uint64_t bound_ours; /* 1: yes; 3: and lowered, because the balance affords no more */
	/* Valid when decided. */
	int64_t amount_nano; /* >= 0 */
	uint64_t ending, flags; /* flags: the upper half is the answer's size, see fare_hold_answer_n */
	struct fare_usage usage;
	/* Of a farebox before store format 3 these are zero. */
	struct fare_hash idem; /* as in struct fare_admit */
	uint8_t body[FARE_BODY_DIGEST_N];
	uint64_t held_output, input_tokens, choices; /* of a hold that grows: what it is for now; held_output 0: it does not grow */
};
_Static_assert(sizeof(struct fare_hold) == 256, "the layout of holds is fixed");

/* Bytes of the answer that the worker has left in the run folder (bank/answer.h); 0: none. Valid when decided. */
static inline uint32_t fare_hold_answer_n(const struct fare_hold *h) { return (uint32_t)(h->flags >> 32); }
static inline void fare_hold_set_flags(struct fare_hold *h, uint16_t flags, uint32_t answer_n) { h->flags = flags | (uint64_t)answer_n << 32; }

struct fare_holds {
	struct fare_hold *records;
	uint32_t count, used;
	uint32_t *free; /* stack of free records */
	void *map;      /* NULL: in memory only (tests) */
	int fd;
};

/* Is there a file that fare_holds_open would take as it is? */
bool fare_holds_are_there(const char *path, const uint8_t store[16], const uint8_t epoch[16], uint32_t count);
/* path NULL: in memory. False: one line in error. */
bool fare_holds_open(struct fare_holds *h, const char *path, const uint8_t store[16], const uint8_t epoch[16], uint32_t count, char error[FARE_ERROR_N]);
void fare_holds_close(struct fare_holds *h);
struct fare_hold *fare_holds_take(struct fare_holds *h); /* state free, all else to be written; NULL: none left */
void fare_holds_write_live(struct fare_hold *r);         /* the state word, last */
/* A live one pays for more from now on: hold_nano first, because a bank that is killed in between must find the money taken. */
void fare_holds_write_grown(struct fare_hold *r, int64_t hold_nano, uint64_t held_output);
void fare_holds_write_decided(struct fare_hold *r);
void fare_holds_free(struct fare_holds *h, struct fare_hold *r);

#endif
