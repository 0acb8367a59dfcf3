/* The answer tap: edits as bytes pass, and answers that are one JSON value. Streams: openai_stream.c. */
#include "base/first.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "wire/openai_tap.h"

enum { MODEL_JSON_MAX = 8 * FARE_NAME_N, BYTES_PER_TOKEN_SEEN = 2 /* as the bank holds for prompts */ };

struct fare_tap *fare_tap_new(enum fare_endpoint endpoint, bool stream, bool usage_asked, const char *caller_model, fare_cost_fn *cost, void *cost_arg)
{
	struct fare_tap *t = fare_alloc(sizeof *t);
	t->stream = stream;
	t->usage_asked = usage_asked;
	t->cost = cost;
	t->cost_arg = cost_arg;
	fare_buf_init(&t->model, MODEL_JSON_MAX);
	fare_buf_add_json(&t->model, fare_span_of(caller_model));
	fare_scan_init(&t->scan, endpoint, stream);
	fare_buf_init(&t->raw, stream ? FARE_EVENT_MAX : SIZE_MAX);
	fare_buf_init(&t->joined, FARE_EVENT_MAX);
	fare_buf_init(&t->rest, FARE_EVENT_MAX);
	t->limit = UINT64_MAX;
	return t;
}

void fare_tap_free(struct fare_tap **t)
{
	if (!*t)
		return;
	fare_buf_release(&(*t)->model);
	fare_buf_release(&(*t)->raw);
	fare_buf_release(&(*t)->joined);
	fare_buf_release(&(*t)->rest);
	fare_scan_release(&(*t)->scan);
	free(*t);
	*t = NULL;
}

struct edit {
	uint64_t at, end; /* of the scanned value */
	struct fare_span text;
};

static bool edit_model(const struct fare_tap *t, struct edit *e)
{
	const struct fare_scan_place *place = &t->scan.model_place;
	*e = (struct edit){place->at, place->end, fare_buf_span(&t->model)};
	return place->end > 0;
}

/* usage.cost: over the provider's own, or as the last member. text: FARE_AMOUNT_TEXT_N + 10 bytes. */
static bool edit_cost(const struct fare_tap *t, char *text, size_t size, struct edit *e)
{
	const struct fare_scan *s = &t->scan;
	char amount[FARE_AMOUNT_TEXT_N];
	struct fare_amount cost;
	if (s->usage_place.end == 0 || !t->cost || !t->cost(t->cost_arg, &s->usage.usage, &cost))
		return false;
	fare_amount_text_short(cost, amount);
	bool over = s->usage.cost_end > 0;
	snprintf(text, size, "%s%s", over ? "" : ",\"cost\":", amount);
	e->at = over ? s->usage_place.at + s->usage.cost_at : s->usage_place.end - 1;
	e->end = over ? s->usage_place.at + s->usage.cost_end : e->at;
	e->text = fare_span_of(text);
	return true;
}

void fare_tap_edit(struct fare_tap *t, struct fare_span text, uint64_t from, struct fare_buf *out)
{
	struct edit edits[2];
	char cost[FARE_AMOUNT_TEXT_N + 10];
	size_t n = 0;
	uint64_t at = from, end = from + text.n;
	n += edit_model(t, &edits[n]);
	n += edit_cost(t, cost, sizeof cost, &edits[n]);
	if (n == 2 && edits[0].at > edits[1].at) {
		struct edit first = edits[1];
		edits[1] = edits[0];
		edits[0] = first;
	}
	for (size_t i = 0; i < n; i++) {
		if (edits[i].at < at || edits[i].end > end)
			continue; /* passed already, or still to come */
		fare_buf_add(out, text.p + (at - from), (size_t)(edits[i].at - at));
		fare_buf_add_span(out, edits[i].text);
		at = edits[i].end;
	}
	fare_buf_add(out, text.p + (at - from), (size_t)(end - at));
}

void fare_tap_take(struct fare_tap *t)
{
	t->text_bytes = t->scan.text_bytes;
	t->deltas = t->scan.deltas;
	memcpy(t->finished, t->scan.finished, sizeof t->finished);
	if (t->scan.usage_found) {
		t->usage = t->scan.usage;
		t->has_usage = true;
	}
}

/* Passes what can no longer change: all but a member to be edited that has begun. */
static void answer_pass(struct fare_tap *t, struct fare_buf *out)
{
	uint64_t end = t->raw_at + t->raw.n;
	size_t n = (size_t)((t->scan.open_at < end ? t->scan.open_at : end) - t->raw_at);
	fare_tap_take(t);
	fare_tap_edit(t, fare_span_at(t->raw.p, n), t->raw_at, out);
	fare_buf_drop(&t->raw, n);
	t->raw_at += n;
}

static bool answer_push(struct fare_tap *t, struct fare_span bytes, struct fare_buf *out)
{
	bool json = fare_scan_push(&t->scan, bytes);
	fare_buf_add_span(&t->raw, bytes);
	/* Nobody names a model, or writes a usage, of this length. */
	if (!json || t->raw.failed || (t->passing && t->raw.n > FARE_ANSWER_EDIT_MAX)) {
		t->end = FARE_TAP_GARBAGE;
		return false;
	}
	t->passing |= t->raw.n > FARE_ANSWER_EDIT_MAX;
	if (t->passing)
		answer_pass(t, out);
	return true;
}

static void answer_finish(struct fare_tap *t, struct fare_buf *out)
{
	const struct fare_scan *s = &t->scan;
	if (!fare_scan_whole(s))
		t->end = s->at == 0 ? FARE_TAP_GARBAGE : FARE_TAP_TRUNCATED;
	else if (s->answers)
		t->end = FARE_TAP_COMPLETE;
	else
		t->end = s->error ? FARE_TAP_ERROR : FARE_TAP_GARBAGE;
	if (t->end == FARE_TAP_COMPLETE || t->passing)
		answer_pass(t, out);
}

bool fare_tap_push(struct fare_tap *t, struct fare_span bytes, struct fare_buf *out)
{
	if (t->end != FARE_TAP_OPEN)
		return false;
	return t->stream ? fare_tap_stream_push(t, bytes, out) : answer_push(t, bytes, out);
}

enum fare_tap_end fare_tap_finish(struct fare_tap *t, struct fare_buf *out)
{
	if (t->end == FARE_TAP_OPEN) {
		if (t->stream)
			fare_tap_stream_finish(t, out);
		else
			answer_finish(t, out);
	}
	return t->end;
}

enum fare_tap_end fare_tap_end(const struct fare_tap *t) { return t->end; }

bool fare_tap_held(const struct fare_tap *t) { return !t->stream && !t->passing && t->end == FARE_TAP_OPEN; }

bool fare_tap_usage(const struct fare_tap *t, struct fare_usage *u, bool *clamped)
{
	*u = t->usage.usage;
	*clamped = t->usage.clamped;
	return t->has_usage;
}

uint64_t fare_tap_text_bytes(const struct fare_tap *t) { return t->text_bytes; }

void fare_tap_limit(struct fare_tap *t, uint64_t tokens) { t->limit = tokens; }

bool fare_tap_waits(const struct fare_tap *t) { return t->waits; }

uint64_t fare_tap_tokens(uint64_t text_bytes, uint64_t deltas, const struct fare_openai_usage *u)
{
	uint64_t n = text_bytes / BYTES_PER_TOKEN_SEEN + text_bytes % BYTES_PER_TOKEN_SEEN;
	n = deltas > n ? deltas : n;
	return u->usage.output > n ? u->usage.output : n;
}

uint64_t fare_tap_seen(const struct fare_tap *t)
{
	return t->waits ? fare_tap_tokens(t->scan.text_bytes, t->scan.deltas, t->scan.usage_found ? &t->scan.usage : &t->usage) : fare_tap_tokens(t->text_bytes, t->deltas, &t->usage);
}
