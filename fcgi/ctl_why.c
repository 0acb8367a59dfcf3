/* `farebox why`: a call's story, for people in a few lines. */
#include "base/first.h"

#include <stdio.h>
#include <string.h>

#include "money/amount.h"
#include "wire/story.h"

#include "ctl.h"

static const struct fare_json_node *there(const struct fare_json *j, const char *name)
{
	const struct fare_json_node *n = fare_json_member(j, fare_json_root(j), name);
	return n && n->kind != FARE_JSON_NULL ? n : NULL;
}

/* One member with words around it, or nothing. Amounts are shortened; nothing in it moves a terminal. */
static void say_node(const struct fare_json *j, const struct fare_json_node *n, const char *before, const char *after)
{
	struct fare_amount a;
	struct fare_buf b;
	char text[FARE_AMOUNT_TEXT_N];
	if (!n || n->kind == FARE_JSON_NULL)
		return;
	fare_buf_init(&b, FARE_STORY_TEXT_MAX);
	if (n->kind != FARE_JSON_STRING || !fare_json_string(j, n, &b))
		fare_buf_add_span(&b, fare_json_text(j, n));
	bool amount = n->kind == FARE_JSON_STRING && fare_amount_parse(fare_buf_span(&b), &a);
	if (amount)
		fare_amount_text(a, text);
	if (amount && fare_span_is(fare_buf_span(&b), text)) {
		fare_amount_text_short(a, text);
		fare_buf_reset(&b);
		fare_buf_add_str(&b, text);
	}
	ctl_tame(&b);
	printf("%s%s%s", before, fare_buf_cstr(&b), after);
	fare_buf_release(&b);
}

static void say(const struct fare_json *j, const char *name, const char *before, const char *after) { say_node(j, there(j, name), before, after); }
static void line(const char *label) { printf("%-10s", label); }

static bool is_true(const struct fare_json *j, const char *name)
{
	const struct fare_json_node *n = there(j, name);
	return n && n->kind == FARE_JSON_TRUE;
}

static void say_asked(const struct fare_json *j)
{
	line("asked");
	say(j, "endpoint", "", "");
	say(j, "model", there(j, "endpoint") ? ", model " : "model ", "");
	say(j, "started", ", ", "");
	say(j, "prompt_bytes", ", ", " bytes of prompt");
	if (there(j, "choices") && fare_json_text(j, there(j, "choices")).n > 0 && !fare_span_is(fare_json_text(j, there(j, "choices")), "1"))
		say(j, "choices", ", ", " choices");
	say(j, "asked_max_tokens", ", at most ", " output tokens");
	puts(is_true(j, "stream") ? ", as a stream" : "");
}

static void say_money(const struct fare_json *j)
{
	const struct fare_json_node *price = there(j, "price");
	if (there(j, "available")) {
		line("balance");
		say(j, "available", "", " available before it");
		say(j, "pending", " (", " pending,");
		say(j, "credit_limit", " credit limit ", ")");
		say(j, "needed", ", ", " needed");
		say(j, "shortfall", ", ", " missing");
		putchar('\n');
	}
	if (!price)
		return;
	line("price");
	say(j, "price_version", "version ", "");
	say_node(j, fare_json_member(j, price, "input"), ": ", " in,");
	say_node(j, fare_json_member(j, price, "output"), " ", " out, per million tokens");
	say_node(j, fare_json_member(j, price, "per_call"), "; ", " a call\n");
}

static void say_run(const struct fare_json *j)
{
	const struct fare_json_node *usage = there(j, "usage"), *first = there(j, "first_hold"), *hold = there(j, "hold");
	if (hold) {
		line("granted");
		if (first && !fare_span_eq(fare_json_text(j, first), fare_json_text(j, hold)))
			say_node(j, first, "first ", ", then ");
		say_node(j, hold, "", " held");
		say(j, "max_tokens", ", at most ", " output tokens");
		say(j, "max_tokens_from", " (bound: ", ")");
		putchar('\n');
	}
	if (there(j, "provider") || there(j, "received_bytes")) {
		line("upstream");
		say(j, "provider", "provider ", "");
		say(j, "upstream_model", ", model ", "");
		say(j, "upstream_status", ", status ", "");
		say(j, "received_bytes", "", " bytes have come");
		putchar('\n');
	}
	if (!usage)
		return;
	line("charged");
	say(j, "cost", "", "");
	say_node(j, fare_json_member(j, usage, "input_tokens"), " for ", " input and");
	say_node(j, fare_json_member(j, usage, "output_tokens"), " ", " output tokens");
	say(j, "entry", ": entry ", "");
	say(j, "balance", ", ", " left\n");
}

static void people_print(const struct fare_json *j)
{
	line("call");
	say(j, "call_id", "", "");
	say(j, "account", ", account ", "");
	say(j, "key_id", ", key ", "");
	putchar('\n');
	line("state");
	say(j, "state", "", "");
	say(j, "ending", ": ", "");
	say(j, "code", ": ", "");
	say(j, "http_status", " (", ")");
	say(j, "ended", ", ", "");
	putchar('\n');
	say_asked(j);
	say_money(j);
	say_run(j);
	say(j, "cause", "cause     ", "\n");
	say(j, "message", "why       ", "\n");
	say(j, "fix", "fix       ", "\n");
}

static int unknown(const struct fare_conf *c, const struct fare_json *facts)
{
	struct fare_span id = fare_json_text(facts, fare_json_member(facts, fare_json_root(facts), "call_id"));
	return ctl_fail("no call %.*s: not among the calls that run, those refused lately, the stories that are kept, the entries of the ledger and the lines of %s/log/calls.log",
		(int)id.n - 2, id.p + 1, c->home);
}

int ctl_why_print(const struct fare_conf *c, struct fare_span facts, bool json)
{
	struct fare_json j = {0}, told = {0};
	struct fare_buf b, log;
	int rc = CTL_OK;
	fare_buf_init(&b, FARE_STORY_TEXT_MAX);
	fare_buf_init(&log, FARE_STORY_TEXT_MAX);
	bool ok = fare_json_parse(&j, facts);
	const struct fare_json_node *state = ok ? there(&j, "state") : NULL;
	bool known = !state || !fare_json_string_is(&j, state, "unknown");
	if (ok && !known && ctl_why_log(c, &j, &log))
		facts = fare_buf_span(&log);
	else if (ok && !known)
		rc = unknown(c, &j);
	if (rc == CTL_OK && (!fare_story_tell(facts, c->topup_url, c->currency, &b) || !fare_json_parse(&told, fare_buf_span(&b))))
		rc = ctl_fail("the bank's answer makes no sense");
	if (rc == CTL_OK && json)
		printf("%.*s\n", (int)b.n, b.p);
	else if (rc == CTL_OK)
		people_print(&told);
	fare_json_release(&told);
	fare_json_release(&j);
	fare_buf_release(&log);
	fare_buf_release(&b);
	return rc;
}
