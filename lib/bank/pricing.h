/*
 * What an ended call is charged: one pure function for every way a call can end, from the meter and the grant. Workers use it too, for Farebox-Cost.
 */
#ifndef FARE_BANK_PRICING_H
#define FARE_BANK_PRICING_H

#include "bank/meter.h"

struct fare_charge {
	struct fare_usage usage;
	struct fare_amount amount;   /* >= 0 */
	enum fare_ending ending;
	uint16_t flags;              /* FARE_ENTRY_ of bank/books.h */
};

/*
 * idle: not_sent, free. Nothing received from upstream: free. complete, client_gone, truncated, timeout, stream_error, worker_died, balance_end: the reported usage, else the
 * estimate (bytes / 4 rounded down). upstream_error, meter_damaged, not_sent: free. Usage above max_input/max_output (0: unknown) is clamped and marked.
 * A call whose state is not `final` has ended with its worker.
 */
void fare_pricing_charge(const struct fare_meter_reading *m, const struct fare_price *price, uint64_t max_input, uint64_t max_output,
	struct fare_amount hold, struct fare_charge *out);

#endif
