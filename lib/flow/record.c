/* Record: one line of the log for a call. What it cost is in the ledger; this says how it went. */
#include "base/first.h"

#include "base/clock.h"
#include "base/log.h"
#include "flow/call.h"

void fare_step_record(struct fare_call *c)
{
	unsigned long long ms = fare_clock_boot_ms() - c->started_ms;
	if (c->ending == FARE_ENDING_NONE) {
		fare_log(FARE_DEBUG, "call %s %s after %llu ms", c->id_text, c->refusal.code ? fare_code_word(c->refusal.code) : c->gone ? "left" : "answered", ms);
		return;
	}
	char cost[FARE_AMOUNT_TEXT_N];
	fare_amount_text(c->cost, cost);
	fare_log(FARE_DEBUG, "call %s %s: upstream %d, %llu bytes, cost %s, %llu ms", c->id_text, fare_ending_word(c->ending), c->status, (unsigned long long)c->received, cost, ms);
}
