/* Admit: a slot, the question to the bank, and its word. */
#include "base/first.h"

#include "base/fault.h"
#include "flow/call.h"

static const struct { enum fare_refused refused; enum fare_code code; const char *detail; } codes[] = {
	{FARE_KEY_UNKNOWN, FARE_CODE_KEY_UNKNOWN, ""},
	{FARE_KEY_EXPIRED, FARE_CODE_KEY_EXPIRED, ""},
	{FARE_KEY_REVOKED_, FARE_CODE_KEY_REVOKED, ""},
	{FARE_ACCOUNT_CLOSED, FARE_CODE_ACCOUNT_CLOSED, ""},
	{FARE_MODEL_NOT_ALLOWED, FARE_CODE_MODEL_NOT_ALLOWED, ""},
	{FARE_IP_NOT_ALLOWED, FARE_CODE_IP_NOT_ALLOWED, ""},
	{FARE_MODEL_UNKNOWN, FARE_CODE_MODEL_UNKNOWN, ""},
	{FARE_MODEL_NOT_PRICED, FARE_CODE_MODEL_NOT_PRICED, ""},
	{FARE_BALANCE_TOO_LOW, FARE_CODE_BALANCE_TOO_LOW, ""},
	{FARE_OVERLOADED, FARE_CODE_OVERLOADED, "Too many calls are running."},
	{FARE_CALL_ENDED, FARE_CODE_STORE_UNAVAILABLE, "The call was given up before it was admitted."},
	{FARE_STORE_FULL, FARE_CODE_STORE_UNAVAILABLE, "The disk is nearly full: what is left is kept for calls that run."},
	{FARE_IDEM_IN_FLIGHT, FARE_CODE_IDEMPOTENCY_IN_FLIGHT, ""},
	{FARE_IDEM_MISMATCH, FARE_CODE_IDEMPOTENCY_MISMATCH, ""},
	{FARE_IDEM_SPENT, FARE_CODE_IDEMPOTENCY_SPENT, ""},
	{FARE_IDEM_FULL, FARE_CODE_OVERLOADED, "No more Idempotency-Keys can be remembered just now; without one the call can be made."},
	{FARE_STORE_READ_ONLY, FARE_CODE_STORE_UNAVAILABLE, "The disk is read-only."},
};

/* False: c->refusal is filled in. */
static bool admitted(struct fare_call *c, enum fare_asked asked, const struct fare_admit_answer *a)
{
	struct fare_refusal *r = &c->refusal;
	if (asked != FARE_ASKED_ANSWERED) {
		fare_refusal_set(r, FARE_CODE_STORE_UNAVAILABLE, NULL, "The bank did not answer in time.");
		return false;
	}
	if (a->granted)
		return true;
	if (a->refused == FARE_BOUND_TOO_HIGH) {
		const struct fare_json *j = &c->request.json;
		bool newer = fare_json_member(j, fare_json_root(j), "max_completion_tokens") != NULL;
		fare_refusal_set(r, FARE_CODE_BAD_REQUEST, newer ? "max_completion_tokens" : "max_tokens", "The model's own limit is %llu tokens of output.", (unsigned long long)a->numbers.limit);
		return false;
	}
	fare_refusal_set(r, FARE_CODE_STORE_UNAVAILABLE, NULL, "The bank said what this worker does not understand.");
	for (size_t i = 0; i < FARE_ARRAY_N(codes); i++)
		if (codes[i].refused == a->refused)
			fare_refusal_set(r, codes[i].code, codes[i].code == FARE_CODE_MODEL_UNKNOWN ? "model" : NULL, "%s", codes[i].detail);
	r->available = a->numbers.available;
	r->needed = a->numbers.needed;
	r->price = a->numbers.price;
	r->affordable = a->numbers.affordable;
	r->earlier = a->numbers.earlier;
	r->cost = a->numbers.cost;
	r->topup_url = c->gate->conf->topup_url;
	r->currency = c->gate->conf->currency;
	return false;
}

bool fare_step_check(struct fare_call *c)
{
	struct fare_admit ask = {.call_id = c->id, .key = c->key, .bound = FARE_NO_BOUND, .choices = 1};
	struct fare_admit_answer answer = {0};
	memcpy(ask.ip, c->ip, sizeof ask.ip);
	fare_gate_waits(c->gate);
	enum fare_asked asked = fare_link_check(c->gate->link, &ask, &answer, (uint64_t)c->gate->conf->admit_timeout_ms);
	if (c->route == FARE_ROUTE_HEALTHZ && asked == FARE_ASKED_ANSWERED)
		return true;
	return admitted(c, asked, &answer);
}

bool fare_step_story(struct fare_call *c, struct fare_buf *facts)
{
	struct fare_admit ask = {.call_id = c->id, .key = c->key, .bound = FARE_NO_BOUND, .choices = 1};
	struct fare_admit_answer answer = {0};
	memcpy(ask.ip, c->ip, sizeof ask.ip);
	memcpy(ask.model, c->model, sizeof ask.model);
	fare_gate_waits(c->gate);
	enum fare_asked asked = fare_link_story(c->gate->link, &ask, facts, &answer, (uint64_t)c->gate->conf->admit_timeout_ms);
	if (!admitted(c, asked, &answer))
		return false;
	if (facts->n == 0)
		fare_refusal_set(&c->refusal, FARE_CODE_CALL_UNKNOWN, NULL, "%s", "");
	return facts->n > 0;
}

bool fare_step_slot(struct fare_call *c)
{
	/* Calls that have ended wait in their slots for the bank: without one that they are all taken is not what is wrong. */
	if (fare_link_down(c->gate->link)) {
		fare_refusal_set(&c->refusal, FARE_CODE_STORE_UNAVAILABLE, NULL, "No bank can be had just now.");
		return false;
	}
	c->slot = fare_link_slot(c->gate->link, c->id);
	if (c->slot < 0)
		fare_refusal_set(&c->refusal, FARE_CODE_OVERLOADED, NULL, "Too many calls are running.");
	return c->slot >= 0;
}

void fare_step_ask(struct fare_call *c)
{
	const struct fare_openai_request *q = &c->request;
	struct fare_admit ask = {
		.call_id = c->id, .key = c->key, .endpoint = (uint8_t)q->endpoint, .prompt_bytes = q->prompt_bytes, .text_bytes = q->text_bytes,
		.images = q->images, .choices = q->choices, .bound = q->bound, .stream = q->stream,
	};
	memcpy(ask.ip, c->ip, sizeof ask.ip);
	memcpy(ask.model, c->model, sizeof ask.model);
	if (c->keep.on) {
		struct fare_hash body;
		fare_sha256(c->body.bytes.p, c->body.bytes.n, &body);
		memcpy(ask.body, body.b, sizeof ask.body);
		ask.idem = c->idem;
	}
	fare_fault("worker_before_admit");
	fare_link_ask(c->gate->link, c->slot, &ask, &c->asking, (uint64_t)c->gate->conf->admit_timeout_ms);
}

bool fare_step_admit(struct fare_call *c)
{
	const struct fare_admit_answer *a = &c->asking.answer;
	if (fare_replay_is_due(c) || !admitted(c, c->asking.asked, a)) {
		c->slot = -1; /* the link's again */
		return false;
	}
	c->grant = a->grant;
	c->bound_lowered = a->grant.bound_ours;
	fare_fault("worker_after_admit");
	return true;
}
