/* The words of endings. */
#include "base/first.h"

#include "money/ending.h"

static const char *const words[FARE_ENDING_N] = {
	[FARE_ENDING_NONE] = "",
	[FARE_COMPLETE] = "complete",
	[FARE_NOT_SENT] = "not_sent",
	[FARE_UPSTREAM_ERROR] = "upstream_error",
	[FARE_CLIENT_GONE] = "client_gone",
	[FARE_TRUNCATED] = "truncated",
	[FARE_TIMEOUT] = "timeout",
	[FARE_STREAM_ERROR] = "stream_error",
	[FARE_WORKER_DIED] = "worker_died",
	[FARE_BALANCE_END] = "balance_end",
	[FARE_METER_DAMAGED] = "meter_damaged",
};

const char *fare_ending_word(enum fare_ending e) { return (unsigned)e < FARE_ENDING_N ? words[e] : ""; }

bool fare_ending_is_free(enum fare_ending e) { return e == FARE_NOT_SENT || e == FARE_UPSTREAM_ERROR || e == FARE_METER_DAMAGED; }
