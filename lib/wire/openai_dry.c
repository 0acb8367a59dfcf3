/* The end of a stream whose hold cannot grow: a chunk as at the output bound for each choice that has not ended, the usage, [DONE]. A client reads it as a normal end. */
#include "base/first.h"

#include "base/log.h"
#include "wire/openai_tap.h"

/* Up to its choices; as the stream's own chunks, or, when none came yet, as if the call were its name. */
static void chunk_begin(const struct fare_tap *t, const struct fare_tap_dry *d, struct fare_buf *out)
{
	char id[FARE_ID_TEXT_N];
	bool chat = t->scan.endpoint == FARE_CHAT;
	fare_id_text(d->call_id, id);
	fare_buf_add_str(out, "data: {\"id\":");
	if (t->id[0])
		fare_buf_add_str(out, t->id);
	else
		fare_buf_addf(out, "\"%s-%s\"", chat ? "chatcmpl" : "cmpl", id);
	fare_buf_addf(out, ",\"object\":\"%s\",\"created\":%llu,\"model\":", chat ? "chat.completion.chunk" : "text_completion", (unsigned long long)t->created);
	fare_buf_add_span(out, fare_buf_span(&t->model));
	fare_buf_add_str(out, ",\"choices\":[");
}

static bool is_finished(const struct fare_tap *t, uint32_t choice) { return choice < FARE_SCAN_CHOICES && (t->finished[choice / 64] >> choice % 64 & 1); }

static void choices_end(const struct fare_tap *t, const struct fare_tap_dry *d, struct fare_buf *out)
{
	const char *comma = "";
	for (uint32_t i = 0; i < d->choices; i++) {
		if (is_finished(t, i))
			continue;
		fare_buf_addf(out, "%s{\"index\":%u,%s,\"logprobs\":null,\"finish_reason\":\"length\"}", comma, i, t->scan.endpoint == FARE_CHAT ? "\"delta\":{}" : "\"text\":\"\"");
		comma = ",";
	}
}

static void usage_add(const struct fare_tap_dry *d, struct fare_buf *out)
{
	const struct fare_usage *u = &d->usage;
	char cost[FARE_AMOUNT_TEXT_N];
	fare_amount_text_short(d->cost, cost);
	fare_buf_addf(out, "\"usage\":{\"prompt_tokens\":%llu,\"completion_tokens\":%llu,\"total_tokens\":%llu,\"cost\":%s}", (unsigned long long)u->input, (unsigned long long)u->output,
		(unsigned long long)(u->input + u->output), cost);
}

void fare_tap_dry(struct fare_tap *t, const struct fare_tap_dry *d, struct fare_buf *out)
{
	FARE_ASSERT(t->stream);
	t->end = FARE_TAP_DRY;
	if (t->done) /* its reader has seen an end: there is no second one */
		return;
	chunk_begin(t, d, out);
	choices_end(t, d, out);
	fare_buf_addf(out, "]%s,\"farebox\":", t->usage_asked ? ",\"usage\":null" : "");
	fare_refusal_notice(d->notice, d->call_id, out);
	fare_buf_add_str(out, "}\n\n");
	if (t->usage_asked) {
		chunk_begin(t, d, out);
		fare_buf_add_str(out, "],");
		usage_add(d, out);
		fare_buf_add_str(out, "}\n\n");
	}
	fare_buf_add_str(out, "data: [DONE]\n\n");
}
