/* Record: one line of the log of calls. What a call cost is in the ledger; this says how it went. */
#include "base/first.h"

#include "base/clock.h"
#include "flow/call.h"

enum { LINE_MAX = 16 * 1024 };

static void text_member(struct fare_buf *out, const char *name, const char *text)
{
	fare_buf_addf(out, ",\"%s\":", name);
	if (text[0])
		fare_buf_add_json(out, fare_span_of(text));
	else
		fare_buf_add_str(out, "null");
}

static void number_member(struct fare_buf *out, const char *name, uint64_t v)
{
	if (v)
		fare_buf_addf(out, ",\"%s\":%llu", name, (unsigned long long)v);
	else
		fare_buf_addf(out, ",\"%s\":null", name);
}

/* The provider's own figures; null when it gave none (the ledger then has the estimate). */
static void usage_member(struct fare_buf *out, const struct fare_call *c)
{
	const struct fare_usage *u = &c->usage;
	if (c->reported)
		fare_buf_addf(out, ",\"usage\":{\"input_tokens\":%llu,\"output_tokens\":%llu,\"cached_tokens\":%llu,\"cache_write_tokens\":%llu,\"reasoning_tokens\":%llu}",
			(unsigned long long)u->input, (unsigned long long)u->output, (unsigned long long)u->cached, (unsigned long long)u->cache_write, (unsigned long long)u->reasoning);
	else
		fare_buf_add_str(out, ",\"usage\":null");
}

/* The call that has the Idempotency-Key, where that is what was answered. */
static void earlier_member(struct fare_buf *out, const struct fare_call *c)
{
	char id[FARE_ID_TEXT_N];
	const struct fare_id *earlier = &c->asking.answer.numbers.earlier;
	if (fare_id_is_zero(*earlier))
		return;
	fare_id_text(*earlier, id);
	fare_buf_addf(out, ",\"earlier\":\"%s\"", id);
}

/* Nothing that came from the caller is in it but the model's name: no key, no address, no text. */
void fare_step_record(struct fare_call *c)
{
	struct fare_buf line;
	char now[FARE_TIME_TEXT_N], cost[FARE_AMOUNT_TEXT_N] = "";
	bool ended = c->ending != FARE_ENDING_NONE;
	if (!ended && !c->refusal.code && !c->replaying) /* what we answer ourselves is no call */
		return;
	fare_buf_init(&line, LINE_MAX);
	fare_clock_text(fare_clock_wall_ms(), now);
	if (ended)
		fare_amount_text(c->cost, cost);
	fare_buf_addf(&line, "{\"time\":\"%s\",\"call_id\":\"%s\"", now, c->id_text);
	number_member(&line, "account_id", c->grant.account_id);
	number_member(&line, "key_id", c->grant.key_id);
	text_member(&line, "model", c->model);
	number_member(&line, "status", (uint64_t)c->answered);
	text_member(&line, "code", c->refusal.code ? fare_code_word(c->refusal.code) : c->replaying ? "replayed" : "");
	text_member(&line, "ending", ended ? fare_ending_word(c->ending) : "");
	usage_member(&line, c);
	text_member(&line, "cost", cost);
	earlier_member(&line, c);
	fare_buf_addf(&line, ",\"ms\":%llu}", (unsigned long long)(fare_clock_boot_ms() - c->started_ms));
	if (!line.failed)
		fare_journal_add(c->gate->journal, fare_buf_span(&line));
	fare_buf_release(&line);
}
