/*
 * The meter: one file per incarnation of a worker, written by it alone, read (never mapped) by the bank. It outlives the worker, so that what a call used
 * is known whoever dies. Rules R1 (made and flocked under another name, then renamed; never opened again by a worker) and R13 (`sent` before the first byte).
 * All numbers of a slot are 64-bit, only grow during a call, and are stored with release order; the state is stored last.
 */
#ifndef FARE_BANK_METER_H
#define FARE_BANK_METER_H

#include "base/fs.h"
#include "base/id.h"
#include "money/ending.h"
#include "money/price.h"

#include <stdatomic.h>

enum fare_meter_state { FARE_METER_FREE = 0, FARE_METER_IDLE = 1, FARE_METER_SENT = 2, FARE_METER_STREAMING = 3, FARE_METER_FINAL = 4 };
enum { FARE_METER_REPORTED = 1 /* usage is the provider's own */, FARE_METER_CLAMPED = 2 };

/* As in the file, in host byte order: a meter is read on the host and in the boot that wrote it. 128 bytes. */
struct fare_meter_slot {
	uint8_t call_id[16];
	_Atomic uint64_t state;        /* enum fare_meter_state */
	_Atomic uint64_t ending;       /* enum fare_ending, valid in `final` */
	_Atomic uint64_t input, output, cached, cache_write, reasoning; /* valid with FARE_METER_REPORTED */
	_Atomic uint64_t flags;        /* FARE_METER_ */
	_Atomic uint64_t received;     /* body bytes from upstream */
	_Atomic uint64_t relayed_text; /* bytes of text relayed (unescaped): an estimate of output counts four a token, rounded down */
	_Atomic uint64_t prompt_text;  /* likewise of input */
	_Atomic uint64_t upstream_status; /* of the upstream's answer; 0: none came */
	_Atomic uint64_t answer;       /* bytes of the answer's file (bank/answer.h), stored before `final`; 0: there is none */
	uint64_t reserved[1];
};
_Static_assert(sizeof(struct fare_meter_slot) == 128, "the meter's layout is fixed");

/* What a reader gets of a slot. */
struct fare_meter_reading {
	struct fare_id call_id;
	uint64_t state;
	uint8_t ending;
	uint64_t flags, received, relayed_text, prompt_text, upstream_status;
	struct fare_usage usage;
	uint32_t answer_n; /* in `final` */
};

/* A file is RUN/meter.WORKER.INCARNATION: a head of 128 bytes, then the slots. */
struct fare_meter_head {
	char magic[8];
	uint8_t incarnation[16], boot[16];
	uint64_t worker_no, slots, pid;
	uint8_t reserved[64];
};
_Static_assert(sizeof(struct fare_meter_head) == 128, "the meter's layout is fixed");
enum { FARE_METER_NAME_N = 64 };

/* The worker's side. Slots mapped for writing; the descriptor holds the lock and must stay open as long as the process lives. NULL: errno. */
struct fare_meter_slot *fare_meter_make(const char *run, struct fare_id incarnation, unsigned worker_no, unsigned slots, int *fd);
void fare_meter_unmap(struct fare_meter_slot *slots, unsigned count, int *fd); /* the file stays: the bank removes it */

const char *fare_meter_word(uint64_t state); /* "idle", ...; a free slot is idle, too */

/* The bank's side. */
void fare_meter_name(char out[FARE_METER_NAME_N], unsigned worker_no, struct fare_id incarnation);
bool fare_meter_name_parse(const char *name, unsigned *worker_no, struct fare_id *incarnation) FARE_MUST;
/* A descriptor for reading, or -1: not there, not a meter, of another boot, or of another incarnation than its name says. */
int fare_meter_open(const char *run, unsigned worker_no, struct fare_id incarnation, struct fare_meter_head *head);
bool fare_meter_head(int fd, struct fare_meter_head *head) FARE_MUST;
/* False: unreadable, another call than expected, or numbers that no worker writes: `meter_damaged`. */
bool fare_meter_read(int fd, unsigned slot, struct fare_id expected, struct fare_meter_reading *out) FARE_MUST;
bool fare_meter_is_dead(int fd); /* got its lock: the worker is gone, and what it wrote is final */

#endif
