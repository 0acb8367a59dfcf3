/* What is asked of us, not of an upstream. */
#include "base/first.h"

#include "flow/call.h"

/* The bank's word on this key, or (no key) whether there is a bank that answers. */
static enum fare_asked bank_check(struct fare_call *c, struct fare_admit_answer *answer)
{
	struct fare_admit ask = {.call_id = c->id, .key = c->key, .bound = FARE_NO_BOUND, .choices = 1};
	memcpy(ask.ip, c->ip, sizeof ask.ip);
	return fare_link_check(c->gate->link, &ask, answer, (uint64_t)c->gate->conf->admit_timeout_ms);
}

void fare_step_own(struct fare_call *c)
{
	struct fare_admit_answer answer = {0};
	enum fare_asked asked = bank_check(c, &answer);
	if (c->route == FARE_ROUTE_HEALTHZ && asked == FARE_ASKED_ANSWERED)
		fare_call_answer(c, 200, fare_span_of("{\"status\":\"ok\"}\n"));
	else if (fare_admit_refused(c, asked, &answer))
		fare_refusal_set(&c->refusal, FARE_CODE_ROUTE_UNKNOWN, NULL, "%s", "");
}
