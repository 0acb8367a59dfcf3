/* Answers of the OpenAI dialect, streams and whole ones: any cut gives the same bytes and figures, also with a limit that grows as they pass, and nothing is added but what the edits allow.
 * A stream that ends dry had no more text than its limit. First two bytes: endpoint, mode, where to cut. */
#include "base/first.h"

#include "base/log.h"
#include "wire/openai.h"

#include "fuzz.h"

enum { OUT_MAX = 64 * 1024 * 1024 };

static bool cost_of(void *arg, const struct fare_usage *u, struct fare_amount *cost)
{
	(void)arg;
	FARE_ASSERT(u->cached + u->cache_write <= u->input && u->reasoning <= u->output && u->input <= UINT64_C(1) << FARE_TOKENS_MAX_LOG2);
	*cost = fare_nano(5);
	return true;
}

struct result {
	enum fare_tap_end end;
	bool has_usage, clamped;
	struct fare_usage usage;
	uint64_t text_bytes;
	struct fare_buf out;
};

/* limit: grows whenever an event waits. */
static void run(struct result *r, uint8_t mode, struct fare_span body, size_t step, uint64_t limit)
{
	struct fare_tap *t = fare_tap_new((enum fare_endpoint)(FARE_CHAT + mode % 3), mode & 64, mode & 128, "mine", cost_of, NULL);
	bool good = true;
	fare_buf_init(&r->out, OUT_MAX);
	fare_tap_limit(t, limit);
	for (size_t at = 0, n; good && at < body.n; at += n) {
		n = step > body.n - at ? body.n - at : step;
		good = fare_tap_push(t, fare_span_at(body.p + at, n), &r->out);
		while (good && fare_tap_waits(t)) {
			fare_tap_limit(t, fare_tap_seen(t));
			good = fare_tap_push(t, fare_span_at(NULL, 0), &r->out);
		}
	}
	fare_tap_limit(t, UINT64_MAX);
	r->end = fare_tap_finish(t, &r->out);
	r->has_usage = fare_tap_usage(t, &r->usage, &r->clamped);
	r->text_bytes = fare_tap_text_bytes(t);
	fare_tap_free(&t);
}

static void run_dry(uint8_t mode, struct fare_span body, uint64_t limit)
{
	const struct fare_refusal notice = {.code = FARE_CODE_BALANCE_TOO_LOW};
	const struct fare_tap_dry dry = {.choices = 1 + mode % 5, .notice = &notice};
	struct fare_tap *t = fare_tap_new((enum fare_endpoint)(FARE_CHAT + mode % 3), true, mode & 128, "mine", cost_of, NULL);
	struct fare_buf out;
	fare_buf_init(&out, OUT_MAX);
	fare_tap_limit(t, limit);
	if (fare_tap_push(t, body, &out)) {
		FARE_ASSERT(fare_tap_text_bytes(t) <= 2 * limit && (!fare_tap_waits(t) || fare_tap_seen(t) > limit));
		fare_tap_dry(t, &dry, &out);
		FARE_ASSERT(out.n > 6 && memmem(out.p, out.n, "[DONE]", 6) && fare_tap_end(t) == FARE_TAP_DRY);
	}
	fare_tap_free(&t);
	fare_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct result whole, cut;
	if (n < 2)
		return 0;
	struct fare_span body = fare_span_at((const char *)p + 2, n - 2);
	run(&whole, p[0], body, SIZE_MAX, UINT64_MAX);
	run(&cut, p[0], body, 1 + p[1] % 37, p[1] & 1 ? p[1] : UINT64_MAX);
	run_dry(p[0], body, p[1]);
	FARE_ASSERT(whole.end == cut.end && whole.end != FARE_TAP_OPEN);
	FARE_ASSERT(fare_span_eq(fare_buf_span(&whole.out), fare_buf_span(&cut.out)));
	FARE_ASSERT(whole.has_usage == cut.has_usage && whole.clamped == cut.clamped && memcmp(&whole.usage, &cut.usage, sizeof whole.usage) == 0 && whole.text_bytes == cut.text_bytes);
	FARE_ASSERT(whole.text_bytes <= body.n && whole.out.n <= 40 * (body.n + 1));
	fare_buf_release(&whole.out);
	fare_buf_release(&cut.out);
	return 0;
}
