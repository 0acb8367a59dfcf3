/* The words of a call's story, from its facts. */
#include "base/first.h"

#include <stdio.h>

#include "base/json.h"
#include "wire/refusal.h"
#include "wire/story.h"

#define FIX_REPEAT "Send the call again; if it goes on, tell the operator the call's id."

struct telling {
	struct fare_json j;
	struct fare_refusal r; /* code NONE: it was not refused */
	const char *cause;     /* "": none of the four */
	int status;            /* 0: none */
	struct fare_buf message, fix;
};

/* ---- Members */

static const struct fare_json_node *member(const struct telling *t, const char *name) { return fare_json_member(&t->j, fare_json_root(&t->j), name); }

static bool is(const struct telling *t, const char *name, const char *value)
{
	const struct fare_json_node *n = member(t, name);
	return n && fare_json_string_is(&t->j, n, value);
}

/* A string as it is written, without quotes: names of ours, numbers and times have no escapes. */
static struct fare_span text(const struct telling *t, const char *name)
{
	const struct fare_json_node *n = member(t, name);
	struct fare_span s = n && n->kind != FARE_JSON_NULL ? fare_json_text(&t->j, n) : fare_span_of("");
	return n && n->kind == FARE_JSON_STRING ? fare_span_at(s.p + 1, s.n - 2) : s;
}

static struct fare_amount amount(const struct telling *t, const char *name)
{
	struct fare_amount a;
	return fare_amount_parse(text(t, name), &a) ? a : fare_nano(0);
}

static int64_t number(const struct telling *t, const char *name)
{
	const struct fare_json_node *n = member(t, name);
	int64_t v;
	return n && fare_json_i64(&t->j, n, 0, INT64_MAX, &v) ? v : 0;
}

static void detail(struct telling *t, const char *before, const char *name, const char *after)
{
	struct fare_span s = text(t, name);
	if (s.n > 0)
		snprintf(t->r.detail, sizeof t->r.detail, "%s%.*s%s", before, (int)s.n, s.p, after);
}

/* ---- Refused */

static void tell_refusal(struct telling *t)
{
	struct fare_refusal *r = &t->r;
	r->available = amount(t, "available");
	r->needed = amount(t, "needed");
	r->affordable = (uint64_t)number(t, "affordable_max_tokens");
	detail(t, "The model's own limit is ", "model_max_tokens", " tokens of output.");
	detail(t, "It came from ", "address", ".");
	detail(t, "It expired at ", "key_expires", ".");
	detail(t, "That is call ", "earlier_call", ".");
	if (r->code == FARE_CODE_BALANCE_TOO_LOW && text(t, "needed").n == 0)
		fare_buf_add_str(&t->message, "The balance was too low for this call.");
	else
		fare_refusal_why(r, &t->message);
	fare_refusal_fix(r, &t->fix);
	t->cause = fare_code_cause(r->code);
	t->status = fare_code_status(r->code);
}

/* ---- Ended */

/* Why the provider's answer was of no use. */
static void tell_upstream(struct telling *t)
{
	int status = (int)number(t, "upstream_status");
	struct fare_refusal unpaid = {.code = FARE_CODE_UPSTREAM_UNPAID};
	if (status == 402) {
		t->cause = fare_code_cause(unpaid.code);
		fare_refusal_why(&unpaid, &t->message);
		fare_refusal_fix(&unpaid, &t->fix);
	} else if (status == 401 || status == 403) {
		t->cause = "configuration";
		fare_buf_addf(&t->message, "The provider does not take the gateway's own key: it answered with status %d.", status);
		fare_buf_add_str(&t->fix, "Tell the operator, who can try the key (farebox provider test).");
	} else if (status >= 400) {
		fare_buf_addf(&t->message, "The provider answered with status %d, and that was passed on as it came.", status);
		fare_buf_add_str(&t->fix, status < 500 && status != 429 ? "Correct the request as that answer says." : "Send the call again later.");
	} else {
		fare_buf_add_str(&t->message, "The provider did not give a usable answer.");
		fare_buf_add_str(&t->fix, FIX_REPEAT);
	}
}

static const struct { const char *word, *message, *fix, *cause; } endings[] = {
	{"complete", "It ran to its end.", "", ""},
	{"not_sent", "It was given up before anything was sent to the provider.", "Send the call again.", ""},
	{"client_gone", "The caller left before the end.", "Where the caller did not mean to: look for a time limit that is shorter than the answer takes, in the client or in what stands between.", ""},
	{"truncated", "The provider's answer broke off before its end.", FIX_REPEAT, ""},
	{"timeout", "The provider did not go on in time.", FIX_REPEAT, ""},
	{"stream_error", "The provider ended its stream with an error.", FIX_REPEAT, ""},
	{"worker_died", "The process that carried the call died.", FIX_REPEAT, ""},
	{"balance_end", "The account could not pay for more of the stream, so it was ended.", "", "payment"},
	{"meter_damaged", "What it used cannot be read any more.", "Tell the operator the call's id: the bank's log has an alarm of it.", ""},
};

static void tell_ending(struct telling *t, const char *topup_url)
{
	if (is(t, "ending", "upstream_error"))
		tell_upstream(t);
	for (size_t i = 0; i < FARE_ARRAY_N(endings); i++)
		if (is(t, "ending", endings[i].word)) {
			t->cause = endings[i].cause;
			fare_buf_add_str(&t->message, endings[i].message);
			fare_buf_add_str(&t->fix, endings[i].fix);
		}
	if (is(t, "ending", "balance_end"))
		fare_buf_addf(&t->fix, "Add credit%s%s.", *topup_url ? " at " : ": ask the operator (farebox credit)", topup_url);
	if (!is(t, "ending", "complete"))
		fare_buf_add_str(&t->message, amount(t, "cost").nano ? " What had come by then was charged." : " Nothing was charged.");
}

static void tell_flags(struct telling *t)
{
	static const struct { const char *word, *message; } flags[] = {
		{"estimated", " The provider named no usage, so the text was counted: four bytes a token."},
		{"clamped", " The provider named a usage beyond the model's limits, which was cut to them."},
		{"over_hold", " It cost more than was held for it."},
	};
	const struct fare_json_node *all = member(t, "flags");
	for (const struct fare_json_node *n = all ? fare_json_first(&t->j, all) : NULL; n; n = fare_json_next(&t->j, n))
		for (size_t i = 0; i < FARE_ARRAY_N(flags); i++)
			if (fare_json_string_is(&t->j, n, flags[i].word))
				fare_buf_add_str(&t->message, flags[i].message);
	if (is(t, "max_tokens_from", "balance"))
		fare_buf_addf(&t->message, " It named no bound of its output, and the balance paid for no more than %lld tokens of it, so that was its bound (Farebox-Max-Tokens).",
			(long long)number(t, "max_tokens"));
	if (is(t, "idempotency", "kept"))
		fare_buf_add_str(&t->message, " A repeat with its Idempotency-Key gets its answer again, at no cost.");
	if (is(t, "idempotency", "spent"))
		fare_buf_add_str(&t->message, " A repeat with its Idempotency-Key is refused: the call was charged, and its answer is not kept.");
	if (is(t, "told_by", "log"))
		fare_buf_add_str(&t->message, " Only the log of calls has it, so no more is known.");
	if (is(t, "told_by", "entry"))
		fare_buf_add_str(&t->message, " Its story has expired, or was not kept: this is what the ledger says.");
}

static void tell(struct telling *t, const char *topup_url)
{
	t->cause = "";
	t->r.code = fare_code_find(text(t, "code"));
	if (t->r.code) {
		tell_refusal(t);
	} else if (is(t, "state", "refused")) {
		fare_buf_add_str(&t->message, "It was refused for a reason that this farebox does not know.");
	} else if (is(t, "state", "ended")) {
		tell_ending(t, topup_url);
	} else if (is(t, "state", "posting")) {
		tell_ending(t, topup_url);
		fare_buf_add_str(&t->message, " Its entry is being written.");
	} else {
		fare_buf_add_str(&t->message, is(t, "state", "idle") ? "It was admitted, and nothing has been sent to the provider yet." : "It runs.");
	}
	tell_flags(t);
}

static void add(struct fare_buf *out, const char *name, struct fare_span value)
{
	fare_buf_addf(out, ", \"%s\": ", name);
	if (value.n > 0)
		fare_buf_add_json(out, value);
	else
		fare_buf_add_str(out, "null");
}

bool fare_story_tell(struct fare_span facts, const char *topup_url, const char *currency, struct fare_buf *out)
{
	struct telling t = {.r = {.topup_url = topup_url, .currency = currency}};
	fare_buf_init(&t.message, FARE_STORY_TEXT_MAX);
	fare_buf_init(&t.fix, FARE_STORY_TEXT_MAX);
	bool ok = fare_json_parse(&t.j, facts) && fare_json_root(&t.j)->kind == FARE_JSON_OBJECT && fare_json_root(&t.j)->size > 0;
	if (ok) {
		tell(&t, topup_url);
		struct fare_span object = fare_json_text(&t.j, fare_json_root(&t.j));
		fare_buf_add_span(out, fare_span_at(object.p, object.n - 1));
		fare_buf_add_str(out, ", \"http_status\": ");
		if (t.status)
			fare_buf_addf(out, "%d", t.status);
		else
			fare_buf_add_str(out, "null");
		add(out, "cause", fare_span_of(t.cause));
		add(out, "message", fare_buf_span(&t.message));
		add(out, "fix", fare_buf_span(&t.fix));
		fare_buf_add_char(out, '}');
	}
	fare_buf_release(&t.message);
	fare_buf_release(&t.fix);
	fare_json_release(&t.j);
	return ok && !out->failed;
}
