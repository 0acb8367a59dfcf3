/*
 * Grow: a stream whose hold pays for a part of its bound. What is relayed is counted, and never goes beyond what is held: more is asked for when half a step is left; what comes
 * before the answer waits, and the upstream with it. When there is no more, the stream ends in its dialect.
 */
#include "base/first.h"

#include "base/log.h"
#include "flow/call.h"

/* Does the hold pay for all that the call can come to? */
static bool is_whole(const struct fare_call *c) { return c->held_output == 0 || c->held_output >= (uint64_t)c->grant.bound; }

static void set_limit(struct fare_call *c)
{
	if (c->tap)
		fare_tap_limit(c->tap, is_whole(c) ? UINT64_MAX : c->held_output * c->choices);
}

static void ask(struct fare_call *c, uint64_t output)
{
	c->asks = true;
	c->asking.heard = fare_grow_heard;
	fare_link_extend(c->gate->link, c->slot, output < (uint64_t)c->grant.bound ? output : (uint64_t)c->grant.bound, &c->asking, (uint64_t)c->gate->conf->admit_timeout_ms);
}

void fare_grow_begin(struct fare_call *c)
{
	c->held_output = c->grow_step = c->grant.held_output;
	set_limit(c);
	if (is_whole(c) || c->event_stream || c->pass != FARE_PASS_TAP)
		return;
	/* Not the stream that was asked for: nothing of it is seen before all is there. */
	c->held_up = true;
	fare_transfer_pause(c->transfer);
	ask(c, (uint64_t)c->grant.bound);
}

void fare_grow_look(struct fare_call *c)
{
	if (is_whole(c) || !c->event_stream)
		return;
	uint64_t seen = fare_tap_seen(c->tap), each = seen / c->choices + (seen % c->choices != 0);
	bool near = each + c->grow_step / 2 >= c->held_output && !c->refused_more, waits = fare_tap_waits(c->tap);
	if (!c->asks && (near || waits))
		ask(c, (each > c->held_output ? each : c->held_output) + c->grow_step);
	if (waits && !c->held_up && c->transfer)
		fare_transfer_pause(c->transfer);
	c->held_up = waits;
}

bool fare_grow_ends(struct fare_call *c)
{
	if (!c->held_up && c->event_stream && !is_whole(c)) {
		fare_tap_last(c->tap, &c->out);
		if (fare_tap_waits(c->tap))
			fare_grow_look(c);
	}
	return c->held_up;
}

/* What all of the bound would cost beyond what is held. */
static struct fare_amount missing(const struct fare_call *c)
{
	struct fare_price output = {.output = c->grant.price.output};
	struct fare_amount more;
	return fare_price_hold(&output, 0, (uint64_t)c->grant.bound - c->held_output, c->choices, &more) ? more : fare_nano(INT64_MAX);
}

/* No more of it: the upstream ends here. */
static void dry(struct fare_call *c, enum fare_code code, const struct fare_extended *e)
{
	struct fare_refusal *r = &c->refusal;
	fare_refusal_set(r, code, NULL, "%s", code == FARE_CODE_STORE_UNAVAILABLE ? "The bank did not answer in time." : "");
	r->available = e->available;
	r->needed = c->event_stream ? c->grant.hold : missing(c);
	r->price = c->grant.price;
	r->topup_url = c->gate->conf->topup_url;
	r->currency = c->gate->conf->currency;
	c->dry = true;
	fare_transfer_abort(&c->transfer);
	fare_call_end(c, FARE_NET_OK);
}

/* What waited passes; then the upstream goes on. */
static void go_on(struct fare_call *c)
{
	c->held_up = false;
	if ((c->event_stream && !fare_call_data(c, fare_span_at(NULL, 0))) || c->held_up)
		return;
	if (c->drained && !fare_grow_ends(c))
		fare_call_end(c, FARE_NET_OK);
	else if (!c->drained && !c->paused)
		fare_transfer_resume(c->transfer);
}

void fare_grow_heard(struct fare_asking *asking)
{
	struct fare_call *c = (struct fare_call *)asking;
	const struct fare_extended *e = &asking->answer.extended;
	c->asks = false;
	if (asking->asked != FARE_ASKED_ANSWERED) {
		if (c->held_up)
			dry(c, FARE_CODE_STORE_UNAVAILABLE, &(struct fare_extended){0});
		return;
	}
	c->refused_more = e->held_output < e->asked;
	if (e->held_output > c->held_output) {
		c->held_output = e->held_output;
		c->grant.hold = e->hold;
	}
	set_limit(c);
	if (!c->held_up)
		return;
	if (is_whole(c) || (c->event_stream && fare_tap_seen(c->tap) <= c->held_output * c->choices))
		go_on(c);
	else if (c->refused_more)
		dry(c, FARE_CODE_BALANCE_TOO_LOW, e);
	else
		fare_grow_look(c); /* what waits needs more than was asked for */
}
