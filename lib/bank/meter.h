/*
 * The meter: one file per incarnation of a worker, written by it alone, read (never mapped) by the bank. It outlives the worker, so that what a call used
 * is known whoever dies. Rules R1 (made and flocked under another name, then renamed; never opened again by a worker) and R13 (`sent` before the first byte).
 * All numbers of a slot are 64-bit, only grow during a call, and are stored with release order; the state is stored last.
 */
#ifndef FARE_BANK_METER_H
#define FARE_BANK_METER_H

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
	uint64_t reserved[3];
};
_Static_assert(sizeof(struct fare_meter_slot) == 128, "the meter's layout is fixed");

/* What a reader gets of a slot. */
struct fare_meter_reading {
	struct fare_id call_id;
	uint64_t state;
	uint8_t ending;
	uint64_t flags, received, relayed_text, prompt_text;
	struct fare_usage usage;
};

#endif
