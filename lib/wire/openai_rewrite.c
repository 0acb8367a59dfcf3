/* The body that goes upstream: the caller's bytes, but for the listed edits. Members are kept, replaced or dropped whole; what stands between them stays. */
#include "base/first.h"

#include "wire/openai.h"
#include "wire/openai_fields.h"

struct writer {
	const struct fare_openai_request *q;
	const struct fare_grant *g;
	struct fare_buf *out;
	const char *bound_field;
	uint32_t at;         /* of the caller's body: all before it was dealt with */
	bool some, options_seen; /* a member was written; stream_options was among them */
	bool no_options;         /* upstream would refuse them */
};

static const char *bound_field(const struct fare_openai_request *q, const struct fare_grant *g)
{
	return q->endpoint == FARE_CHAT && g->bound_field & FARE_BOUND_MAX_COMPLETION_TOKENS ? "max_completion_tokens" : "max_tokens";
}

static struct fare_span text_between(const struct writer *w, uint32_t start, uint32_t end)
{
	return fare_span_at(w->q->json.text.p + start, end - start);
}

/* White space and the comma before a member; no comma before the first that is written. */
static void gap_write(struct writer *w, uint32_t end)
{
	struct fare_span gap = text_between(w, w->at, end);
	const char *comma = gap.n > 0 ? memchr(gap.p, ',', gap.n) : NULL;
	if (!comma || w->some) {
		fare_buf_add_span(w->out, gap);
		return;
	}
	fare_buf_add(w->out, gap.p, (size_t)(comma - gap.p));
	fare_buf_add(w->out, comma + 1, gap.n - (size_t)(comma - gap.p) - 1);
}

static void name_write(struct writer *w, const char *name)
{
	if (w->some)
		fare_buf_add_char(w->out, ',');
	fare_buf_addf(w->out, "\"%s\":", name);
	w->some = true;
}

static void options_write(struct writer *w, const struct fare_json_node *m)
{
	const struct fare_json *j = &w->q->json;
	const struct fare_json_node *asked = fare_json_member(j, m, "include_usage");
	if (m->kind != FARE_JSON_OBJECT) {
		fare_buf_add_str(w->out, "{\"include_usage\":true}");
	} else if (asked) {
		fare_buf_add_span(w->out, text_between(w, m->start, asked->start));
		fare_buf_add_str(w->out, "true");
		fare_buf_add_span(w->out, text_between(w, asked->end, m->end));
	} else {
		fare_buf_addf(w->out, "{\"include_usage\":true%s", m->size > 0 ? "," : "");
		fare_buf_add_span(w->out, text_between(w, m->start + 1, m->end));
	}
}

static void value_write(struct writer *w, const struct fare_json_node *m, enum fare_field_kind kind)
{
	const struct fare_json *j = &w->q->json;
	if (kind == FARE_FIELD_MODEL) {
		fare_buf_add_json(w->out, fare_span_of(w->g->upstream_model));
	} else if (kind == FARE_FIELD_TIER && fare_json_string_is(j, m, "auto")) {
		fare_buf_add_str(w->out, "\"default\""); /* "auto" may become a dearer tier by a setting at the provider */
	} else if (kind == FARE_FIELD_STREAM_OPTIONS && w->q->stream) {
		options_write(w, m);
		w->options_seen = true;
	} else {
		fare_buf_add_span(w->out, fare_json_text(j, m));
	}
}

/* Bounds are written anew: whichever the caller's were, upstream sees one, the one held for. */
static void member_write(struct writer *w, const struct fare_json_node *m)
{
	enum fare_field_kind kind = fare_openai_field(&w->q->json, m, (int)w->q->endpoint);
	bool dropped = kind == FARE_FIELD_STREAM_OPTIONS && w->no_options;
	if (kind != FARE_FIELD_BOUND && !dropped) {
		gap_write(w, m->key - 1);
		fare_buf_add_span(w->out, text_between(w, m->key - 1, m->start));
		value_write(w, m, kind);
		w->some = true;
	} else if (m->kind == FARE_JSON_NUMBER && !dropped) {
		gap_write(w, m->key - 1);
		w->some = false; /* the gap has the comma */
		name_write(w, w->bound_field);
		fare_buf_addf(w->out, "%lld", (long long)w->g->bound);
	}
	w->at = m->end;
}

bool fare_openai_request_write(const struct fare_openai_request *q, const struct fare_grant *g, struct fare_buf *out)
{
	const struct fare_json *j = &q->json;
	const struct fare_json_node *root = fare_json_root(j);
	struct writer w = {.q = q, .g = g, .out = out, .bound_field = bound_field(q, g), .at = root->start + 1, .no_options = g->bound_field & FARE_NO_STREAM_OPTIONS};
	fare_buf_add_span(out, fare_span_at(j->text.p, root->start + 1));
	for (const struct fare_json_node *m = fare_json_first(j, root); m; m = fare_json_next(j, m))
		member_write(&w, m);
	if (q->bound == FARE_NO_BOUND && g->bound != FARE_NO_BOUND) {
		name_write(&w, w.bound_field);
		fare_buf_addf(out, "%lld", (long long)g->bound);
	}
	if (q->stream && !w.options_seen && !w.no_options) {
		name_write(&w, "stream_options");
		fare_buf_add_str(out, "{\"include_usage\":true}");
	}
	fare_buf_add_span(out, text_between(&w, w.at, (uint32_t)j->text.n));
	return !out->failed;
}
