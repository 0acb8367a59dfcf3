/* Requests of the OpenAI dialect: what is taken can be rewritten, and what would go upstream is valid, asks for one bound, and says what was priced. First byte: endpoint and grant. */
#include "base/first.h"

#include "base/log.h"
#include "wire/openai.h"

#include "fuzz.h"

enum { BODY_MAX = 64 * 1024 * 1024, BOUND = 321 };

static void check_sent(const struct fare_openai_request *q, const struct fare_grant *g, struct fare_span sent)
{
	struct fare_openai_request again;
	struct fare_refusal r = {0};
	FARE_ASSERT(fare_openai_request_read(&again, q->endpoint, sent, &r));
	FARE_ASSERT(strcmp(again.model, g->upstream_model) == 0 && again.bound == (q->endpoint == FARE_EMBEDDINGS ? 0 : BOUND));
	FARE_ASSERT(again.stream == q->stream && again.choices == q->choices && again.images == q->images);
	FARE_ASSERT(again.prompt_bytes == q->prompt_bytes && again.text_bytes == q->text_bytes);
	FARE_ASSERT(again.usage_asked == (q->stream || q->usage_asked));
	fare_openai_request_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct fare_openai_request q;
	struct fare_refusal r = {0};
	struct fare_buf out;
	if (n == 0)
		return 0;
	enum fare_endpoint endpoint = (enum fare_endpoint)(FARE_CHAT + p[0] % 3);
	struct fare_grant g = {.bound = endpoint == FARE_EMBEDDINGS ? FARE_NO_BOUND : BOUND, .bound_field = (uint8_t)(1 + p[0] / 3 % 2), .upstream_model = "up"};
	fare_buf_init(&out, BODY_MAX);
	if (fare_openai_request_read(&q, endpoint, fare_span_at((const char *)p + 1, n - 1), &r)) {
		FARE_ASSERT(q.model[0] && q.choices >= 1 && q.choices <= 128 && (q.bound == FARE_NO_BOUND || q.bound >= 0));
		FARE_ASSERT(q.prompt_bytes <= 2 * n && q.text_bytes <= q.prompt_bytes);
		FARE_ASSERT(fare_openai_request_write(&q, &g, &out));
		check_sent(&q, &g, fare_buf_span(&out));
	} else {
		struct fare_id id = {{0}};
		struct fare_json j = {0};
		FARE_ASSERT(r.code != FARE_CODE_NONE && r.detail[0]);
		fare_refusal_body(&r, id, &out);
		FARE_ASSERT(fare_json_parse(&j, fare_buf_span(&out)));
		fare_json_release(&j);
	}
	fare_openai_request_release(&q);
	fare_buf_release(&out);
	return 0;
}
