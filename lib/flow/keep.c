/* Keep: the answer of a call that came with an Idempotency-Key, as it goes to the caller, so that whoever asks again gets the same. Not what tells a silent stream's reader that it lives. */
#include "base/first.h"

#include "base/clock.h"
#include "flow/call.h"

enum { TAKE_BYTES = 32 * 1024 };

void fare_keep_begin(struct fare_call *c)
{
	c->keep.on = true;
	fare_buf_init(&c->keep.head, FARE_HEAD_PASS_MAX + 4096);
	fare_buf_init(&c->keep.body, FARE_ANSWER_MAX);
}

void fare_keep_free(struct fare_call *c)
{
	struct fare_keep *k = &c->keep;
	k->on = false;
	fare_buf_release(&k->head);
	fare_buf_release(&k->body);
	fare_budget_give(&c->gate->budget, k->taken);
	k->taken = 0;
}

void fare_keep_off(struct fare_call *c)
{
	bool was_on = c->keep.on;
	fare_keep_free(c);
	if (!was_on || !c->gone || c->over)
		return;
	c->gone_from = c->received;
	c->moved_ms = fare_clock_boot_ms();
	fare_timer_set(c->timer, (uint64_t)c->gate->conf->client_gone_ms);
}

/* Of the memory that all bodies share, in pieces; when half of it is used, what is left is for bodies. */
static bool add(struct fare_call *c, struct fare_span bytes)
{
	struct fare_keep *k = &c->keep;
	struct fare_budget *b = &c->gate->budget;
	if (bytes.n > FARE_ANSWER_MAX - k->body.n)
		return false;
	while (k->taken < k->body.n + bytes.n) {
		if (atomic_load(&b->used) > b->max / 2 || !fare_budget_take(b, TAKE_BYTES))
			return false;
		k->taken += TAKE_BYTES;
	}
	return fare_buf_add_span(&k->body, bytes);
}

void fare_keep_note(struct fare_call *c)
{
	struct fare_keep *k = &c->keep;
	size_t from = k->noted < c->out.n ? k->noted : c->out.n;
	k->noted = c->out.n;
	if (k->on && c->out.n > from && !add(c, fare_span_at(c->out.p + from, c->out.n - from)))
		fare_keep_off(c);
}

void fare_keep_skip(struct fare_call *c) { c->keep.noted = c->out.n; }

void fare_keep_head(struct fare_call *c)
{
	if (c->keep.on && c->keep.head.n == 0)
		fare_buf_add_span(&c->keep.head, fare_buf_span(&c->head));
}

bool fare_keep_reads_on(const struct fare_call *c) { return c->keep.on && !c->gate->brief; }

/* The caller has got all of it, or would have. */
static bool is_whole(const struct fare_call *c)
{
	enum fare_tap_end end = c->tap ? fare_tap_end(c->tap) : FARE_TAP_OPEN;
	return !c->out.failed && (end == FARE_TAP_DRY || (end == FARE_TAP_COMPLETE && !c->refusal.code && (c->ending == FARE_COMPLETE || c->ending == FARE_CLIENT_GONE)));
}

void fare_keep_end(struct fare_call *c)
{
	struct fare_keep *k = &c->keep;
	if (k->on)
		fare_call_say_dry(c);
	fare_keep_note(c);
	fare_keep_head(c);
	if (k->on && is_whole(c)) {
		if (!c->event_stream) { /* as fare_head_seal says it when the whole answer is in hand */
			char cost[FARE_AMOUNT_TEXT_N];
			fare_amount_text(c->cost, cost);
			fare_buf_addf(&k->head, "Farebox-Cost: %s\r\nContent-Length: %zu\r\n", cost, k->body.n);
		}
		fare_buf_add_str(&k->head, "\r\n");
		if (!k->head.failed && k->head.n + k->body.n <= FARE_ANSWER_MAX)
			fare_link_keep(c->gate->link, c->slot, fare_buf_span(&k->head), fare_buf_span(&k->body));
	}
	fare_keep_free(c);
}
