/* How a call ended: one word each, in the ledger entry (design, section 3). Stored numbers never change meaning. */
#ifndef FARE_MONEY_ENDING_H
#define FARE_MONEY_ENDING_H

#include "base/first.h"

#include <stdbool.h>

enum fare_ending {
	FARE_ENDING_NONE = 0,
	FARE_COMPLETE = 1,
	FARE_NOT_SENT = 2,       /* given up after admit: free */
	FARE_UPSTREAM_ERROR = 3, /* before content: free */
	FARE_CLIENT_GONE = 4,
	FARE_TRUNCATED = 5,
	FARE_TIMEOUT = 6,
	FARE_STREAM_ERROR = 7,
	FARE_WORKER_DIED = 8,
	FARE_BALANCE_END = 9,
	FARE_METER_DAMAGED = 10, /* free */
	FARE_ENDING_N
};
const char *fare_ending_word(enum fare_ending e); /* "complete", ... ; "" for none or unknown */
bool fare_ending_is_free(enum fare_ending e);    /* charged 0 whatever the usage says: not_sent, upstream_error, meter_damaged */

#endif
