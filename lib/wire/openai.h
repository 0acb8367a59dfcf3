/*
 * The OpenAI dialect: Chat Completions, Completions, Embeddings, Models (https://platform.openai.com/docs/api-reference). Same dialect on both sides: bytes pass
 * through with a listed few edits. Requests: model name, output bound, n where absent stays absent, stream_options.include_usage. Answers: model name back to the
 * caller's, usage.cost, and the usage chunk hidden from a caller who did not ask. Pure: bytes in, bytes out.
 */
#ifndef FARE_WIRE_OPENAI_H
#define FARE_WIRE_OPENAI_H

#include "bank/admission.h"
#include "base/json.h"
#include "wire/refusal.h"

/* ---- The request */

struct fare_openai_request {
	enum fare_endpoint endpoint;
	struct fare_json json;    /* over the body, which must outlive this */
	char model[FARE_NAME_N];
	bool stream;
	bool usage_asked;         /* stream_options.include_usage was true */
	uint32_t choices;         /* n (and best_of), 1 to 128 */
	int64_t bound;            /* the caller's, or FARE_NO_BOUND; 0 for embeddings */
	uint64_t prompt_bytes, text_bytes; /* as in struct fare_admit */
	uint32_t images;
};

/* Reads and judges a body. False: r says what is wrong (bad_json with the offset, bad_request and field_not_priced with param). Release in either case. */
bool fare_openai_request_read(struct fare_openai_request *q, enum fare_endpoint endpoint, struct fare_span body, struct fare_refusal *r) FARE_MUST;
void fare_openai_request_release(struct fare_openai_request *q);
/* Appends the body to be sent upstream. The bound in the grant is the bound sent; streams ask for usage. False: out failed. */
bool fare_openai_request_write(const struct fare_openai_request *q, const struct fare_grant *g, struct fare_buf *out) FARE_MUST;

/* ---- The answer, as it passes */

enum fare_tap_end {
	FARE_TAP_OPEN = 0,
	FARE_TAP_COMPLETE,     /* its end was seen: [DONE], or end of body after a finish_reason; a whole JSON body */
	FARE_TAP_TRUNCATED,    /* end of body without it */
	FARE_TAP_ERROR,        /* an error event in the stream (passed on; others may follow it), or a whole JSON body that holds an error and no answer */
	FARE_TAP_DRY,          /* ended by us: fare_tap_dry */
	FARE_TAP_GARBAGE       /* not what the dialect allows: no JSON, no choices or embeddings in it, an event beyond 1 MiB */
};

/* The price of the usage so far, for usage.cost; false: none is written. */
typedef bool fare_cost_fn(void *arg, const struct fare_usage *u, struct fare_amount *cost);

struct fare_tap;
/* One per call. caller_model: what the answer calls the model. Streams when stream is true. */
struct fare_tap *fare_tap_new(enum fare_endpoint endpoint, bool stream, bool usage_asked, const char *caller_model, fare_cost_fn *cost, void *cost_arg);
void fare_tap_free(struct fare_tap **t);
/* Takes the upstream's bytes, cut anywhere, and appends what goes to the caller: whole events only, so that an event of ours may follow at any time. JSON answers of up to FARE_ANSWER_EDIT_MAX bytes are kept back until fare_tap_finish, larger ones pass. False: stop (see end). */
enum { FARE_ANSWER_EDIT_MAX = 1024 * 1024, FARE_EVENT_MAX = 4 * 1024 * 1024 /* pictures come in one event */ };
bool fare_tap_push(struct fare_tap *t, struct fare_span bytes, struct fare_buf *out) FARE_MUST;
/* End of the upstream's body. Appends what was kept back; of a held answer that is not complete, nothing. */
enum fare_tap_end fare_tap_finish(struct fare_tap *t, struct fare_buf *out);
enum fare_tap_end fare_tap_end(const struct fare_tap *t);
/* Is this JSON answer still kept back, so that headers (Farebox-Cost) can still be said? Always false for streams once a byte passed. */
bool fare_tap_held(const struct fare_tap *t);
/* The provider's usage; false: none was reported (yet). clamped: it made no sense and was forced into it. */
bool fare_tap_usage(const struct fare_tap *t, struct fare_usage *u, bool *clamped);
uint64_t fare_tap_text_bytes(const struct fare_tap *t); /* unescaped text relayed: content, reasoning, refusals, tool names and arguments; of a held answer, none before its end */

/*
 * Streams that are held for as they run. What was relayed counts as so many tokens that the provider counts no more: half its bytes, at least one for each delta, and no less
 * than a usage that the provider gives meanwhile says. An event that would go beyond the limit waits, and all after it; a push, also of nothing, goes on when the limit was raised.
 */
void fare_tap_limit(struct fare_tap *t, uint64_t tokens); /* of all choices; none is set at first */
uint64_t fare_tap_seen(const struct fare_tap *t);         /* tokens relayed, and those of the event that waits */
bool fare_tap_waits(const struct fare_tap *t);
void fare_tap_last(struct fare_tap *t, struct fare_buf *out); /* the upstream's body has ended: what came without its blank line is an event now, which may wait; fare_tap_finish drops what waits */
/* The money is gone: the stream ends here as at its output bound, with a notice of why, the usage if its reader asked for it, and [DONE]. What waits is dropped. */
struct fare_tap_dry { uint32_t choices; const struct fare_refusal *notice; struct fare_id call_id; struct fare_usage usage; struct fare_amount cost; };
void fare_tap_dry(struct fare_tap *t, const struct fare_tap_dry *d, struct fare_buf *out);

/* ---- What we say ourselves */

void fare_openai_error_event(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out); /* ends a stream: data: {"error":...} */
void fare_openai_silence(struct fare_buf *out);                                                        /* SSE comment */
struct fare_openai_model { struct fare_span name, owner; uint64_t created_ms; };
void fare_openai_model_write(const struct fare_openai_model *m, struct fare_buf *out);
void fare_openai_models_write(const struct fare_openai_model *m, size_t count, struct fare_buf *out);

#endif
