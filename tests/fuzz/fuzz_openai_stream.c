/* Answers of the OpenAI dialect, streams and whole ones: any cut gives the same bytes and figures, and nothing is added but what the edits allow. First two bytes: endpoint, mode, where to cut. */
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

static void run(struct result *r, uint8_t mode, struct fare_span body, size_t step)
{
	struct fare_tap *t = fare_tap_new((enum fare_endpoint)(FARE_CHAT + mode % 3), mode & 64, mode & 128, "mine", cost_of, NULL);
	fare_buf_init(&r->out, OUT_MAX);
	for (size_t at = 0, n; at < body.n; at += n) {
		n = step > body.n - at ? body.n - at : step;
		if (!fare_tap_push(t, fare_span_at(body.p + at, n), &r->out))
			break;
	}
	r->end = fare_tap_finish(t, &r->out);
	r->has_usage = fare_tap_usage(t, &r->usage, &r->clamped);
	r->text_bytes = fare_tap_text_bytes(t);
	fare_tap_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct result whole, cut;
	if (n < 2)
		return 0;
	struct fare_span body = fare_span_at((const char *)p + 2, n - 2);
	run(&whole, p[0], body, SIZE_MAX);
	run(&cut, p[0], body, 1 + p[1] % 37);
	FARE_ASSERT(whole.end == cut.end && whole.end != FARE_TAP_OPEN);
	FARE_ASSERT(fare_span_eq(fare_buf_span(&whole.out), fare_buf_span(&cut.out)));
	FARE_ASSERT(whole.has_usage == cut.has_usage && whole.clamped == cut.clamped && memcmp(&whole.usage, &cut.usage, sizeof whole.usage) == 0 && whole.text_bytes == cut.text_bytes);
	FARE_ASSERT(whole.text_bytes <= body.n && whole.out.n <= 40 * (body.n + 1));
	fare_buf_release(&whole.out);
	fare_buf_release(&cut.out);
	return 0;
}
