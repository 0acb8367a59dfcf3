/* Settle: the meter, as the call goes on and at its end; the bell to the bank; what the call costs. */
#include "base/first.h"

#include "bank/pricing.h"
#include "base/fault.h"
#include "flow/call.h"

static void charge_of(const struct fare_call *c, const struct fare_meter_reading *m, struct fare_charge *out)
{
	fare_pricing_charge(m, &c->grant.price, c->grant.max_input, c->grant.max_output, c->grant.hold, out);
}

bool fare_price_usage(void *call, const struct fare_usage *u, struct fare_amount *cost)
{
	const struct fare_call *c = call;
	struct fare_meter_reading m = {.state = FARE_METER_FINAL, .ending = FARE_COMPLETE, .received = c->received, .usage = *u, .flags = FARE_METER_REPORTED};
	struct fare_charge charge;
	charge_of(c, &m, &charge);
	*cost = charge.amount;
	return true;
}

void fare_step_meter(struct fare_call *c)
{
	struct fare_link *link = c->gate->link;
	fare_meter_progress(link, c->slot, c->received, c->tap ? fare_tap_text_bytes(c->tap) : 0);
	if (c->tap && fare_tap_usage(c->tap, &c->usage, &c->clamped)) {
		c->reported = true;
		fare_meter_usage(link, c->slot, &c->usage, c->clamped);
	}
}

void fare_step_settle(struct fare_call *c)
{
	struct fare_charge charge;
	if (c->received && c->pass == FARE_PASS_TAP) /* else the meter never says that anything came: were this worker killed here, the call would be charged for an error */
		fare_step_meter(c);
	struct fare_meter_reading m = {
		.state = FARE_METER_FINAL, .ending = (uint8_t)c->ending, .received = c->received, .prompt_text = c->text_bytes,
		.relayed_text = c->tap ? fare_tap_text_bytes(c->tap) : 0, .usage = c->usage,
		.flags = (c->reported ? FARE_METER_REPORTED : 0u) | (c->clamped ? FARE_METER_CLAMPED : 0u),
	};
	charge_of(c, &m, &charge);
	c->charged = charge.usage;
	c->cost = charge.amount;
	fare_keep_end(c);
	fare_fault("worker_before_settle");
	fare_meter_final(c->gate->link, c->slot, c->ending);
	fare_fault("worker_after_final");
	fare_link_settle(c->gate->link, c->slot);
	fare_fault("worker_after_settle");
	c->slot = -1;
}
