/* A request of the OpenAI dialect: read once, judged member by member; what is priced is what will be sent. */
#include "base/first.h"

#include <stdio.h>

#include "wire/openai.h"
#include "wire/openai_fields.h"
#include "wire/openai_prompt.h"

enum { CHOICES_MAX = 128, BOUND_MAX = INT32_MAX };

static bool bad(struct fare_refusal *r, const char *param, const char *what) { return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, param, what); }

static bool unpriced(struct fare_refusal *r, const char *param, const char *what) { return fare_openai_fault(r, FARE_CODE_FIELD_NOT_PRICED, param, what); }

/* A member's name for error.param: as written, cut to what fits; not printable: no name. */
static void name_copy(const struct fare_json *j, const struct fare_json_node *m, char name[FARE_PARAM_N])
{
	struct fare_span key = fare_json_key(j, m);
	size_t n = 0;
	for (; n < key.n && n < FARE_PARAM_N - 1 && key.p[n] > ' ' && key.p[n] < 0x7F; n++)
		name[n] = key.p[n];
	name[n] = '\0';
}

static bool model_read(struct fare_openai_request *q, const struct fare_json_node *m, struct fare_refusal *r)
{
	struct fare_buf name;
	bool good;
	fare_buf_init(&name, FARE_NAME_N);
	good = fare_json_string(&q->json, m, &name) && name.n > 0 && fare_span_copy(fare_buf_span(&name), q->model, sizeof q->model);
	fare_buf_release(&name);
	for (size_t i = 0; good && q->model[i]; i++)
		good = (unsigned char)q->model[i] >= ' ' && q->model[i] != 0x7F;
	return good || bad(r, "model", "must be the name of a model: a text of 1 to 127 bytes without controls.");
}

static bool flag_read(const struct fare_json_node *v, const char *name, bool *out, struct fare_refusal *r)
{
	*out = v && v->kind == FARE_JSON_TRUE;
	if (v && v->kind != FARE_JSON_TRUE && v->kind != FARE_JSON_FALSE && v->kind != FARE_JSON_NULL)
		return bad(r, name, "must be true or false.");
	return true;
}

static bool stream_options_read(struct fare_openai_request *q, const struct fare_json_node *m, struct fare_refusal *r)
{
	if (m->kind != FARE_JSON_OBJECT)
		return bad(r, "stream_options", "must be an object.");
	return flag_read(fare_json_member(&q->json, m, "include_usage"), "stream_options.include_usage", &q->usage_asked, r);
}

static bool choices_read(struct fare_openai_request *q, const struct fare_json_node *m, const char *name, struct fare_refusal *r)
{
	int64_t n;
	if (!fare_json_i64(&q->json, m, 1, CHOICES_MAX, &n))
		return bad(r, name, "must be a whole number from 1 to 128.");
	if ((uint32_t)n > q->choices)
		q->choices = (uint32_t)n;
	return true;
}

static bool bound_read(struct fare_openai_request *q, const struct fare_json_node *m, const char *name, struct fare_refusal *r)
{
	int64_t bound;
	if (q->bound != FARE_NO_BOUND)
		return bad(r, name, "cannot stand beside another output bound: send max_completion_tokens or max_tokens, not both.");
	if (!fare_json_i64(&q->json, m, 1, BOUND_MAX, &bound))
		return bad(r, name, "must be a whole number from 1 to 2147483647, written without fraction or exponent.");
	q->bound = bound;
	return true;
}

static bool tier_read(struct fare_openai_request *q, const struct fare_json_node *m, struct fare_refusal *r)
{
	if (m->kind != FARE_JSON_STRING)
		return bad(r, "service_tier", "must be a text.");
	return fare_json_string_is(&q->json, m, "auto") || fare_json_string_is(&q->json, m, "default") ||
	       unpriced(r, "service_tier", "other than \"default\" or \"auto\" has no price here.");
}

static bool modalities_read(struct fare_openai_request *q, const struct fare_json_node *m, struct fare_refusal *r)
{
	if (m->kind != FARE_JSON_ARRAY)
		return bad(r, "modalities", "must be a list.");
	for (const struct fare_json_node *v = fare_json_first(&q->json, m); v; v = fare_json_next(&q->json, v))
		if (!fare_json_string_is(&q->json, v, "text"))
			return unpriced(r, "modalities", "other than \"text\" have no price here.");
	return true;
}

static bool off_read(const struct fare_json_node *m, const char *name, struct fare_refusal *r)
{
	bool on;
	if (!flag_read(m, name, &on, r))
		return false;
	return !on || unpriced(r, name, "true (kept or run at the provider beyond this call) has no price here.");
}

struct needs { /* what every request must have, and how many prompts a completion answers */
	bool model, prompt;
	uint32_t prompts;
};

/* A member that is not null. */
static bool member_read(struct fare_openai_request *q, const struct fare_json_node *m, enum fare_field_kind kind, const char *name, struct needs *needs, struct fare_refusal *r)
{
	switch (kind) {
	case FARE_FIELD_UNKNOWN: return bad(r, name, "is not known here as a field of this endpoint, so nobody can say what it would cost.");
	case FARE_FIELD_UNPRICED: return unpriced(r, name, "changes what the provider bills and has no price here.");
	case FARE_FIELD_FREE: return true;
	case FARE_FIELD_COUNTED: q->prompt_bytes += m->end - m->start; return true;
	case FARE_FIELD_MODEL: needs->model = true; return model_read(q, m, r);
	case FARE_FIELD_STREAM: return flag_read(m, name, &q->stream, r);
	case FARE_FIELD_STREAM_OPTIONS: return stream_options_read(q, m, r);
	case FARE_FIELD_CHOICES: return choices_read(q, m, name, r);
	case FARE_FIELD_BOUND: return bound_read(q, m, name, r);
	case FARE_FIELD_TIER: return tier_read(q, m, r);
	case FARE_FIELD_MODALITIES: return modalities_read(q, m, r);
	case FARE_FIELD_OFF: return off_read(m, name, r);
	case FARE_FIELD_TOOLS: return fare_openai_tools_read(q, m, r);
	case FARE_FIELD_MESSAGES: needs->prompt = true; return fare_openai_messages_read(q, m, r);
	case FARE_FIELD_PROMPT: needs->prompt = true; return fare_openai_texts_read(q, m, name, &needs->prompts, r);
	case FARE_FIELD_INPUT: needs->prompt = true; return fare_openai_texts_read(q, m, name, &needs->prompts, r);
	}
	return false;
}

static bool members_read(struct fare_openai_request *q, struct needs *needs, struct fare_refusal *r)
{
	const struct fare_json *j = &q->json;
	for (const struct fare_json_node *m = fare_json_first(j, fare_json_root(j)); m; m = fare_json_next(j, m)) {
		enum fare_field_kind kind = fare_openai_field(j, m, (int)q->endpoint);
		char name[FARE_PARAM_N];
		if (m->kind == FARE_JSON_NULL && kind != FARE_FIELD_UNKNOWN)
			continue; /* as if it were not there */
		name_copy(j, m, name);
		if (!member_read(q, m, kind, name, needs, r))
			return false;
	}
	return true;
}

static bool needs_check(struct fare_openai_request *q, const struct needs *needs, struct fare_refusal *r)
{
	static const char *const prompt_names[] = {[FARE_CHAT] = "messages", [FARE_COMPLETIONS] = "prompt", [FARE_EMBEDDINGS] = "input"};
	uint64_t choices = (uint64_t)q->choices * needs->prompts;
	if (!needs->model)
		return bad(r, "model", "is missing.");
	if (!needs->prompt)
		return bad(r, prompt_names[q->endpoint], "is missing.");
	if (q->endpoint != FARE_COMPLETIONS)
		return true;
	if (choices > CHOICES_MAX) /* each prompt gets its own n answers */
		return bad(r, "prompt", "asks for too many answers: prompts times n may be at most 128.");
	q->choices = (uint32_t)choices;
	return true;
}

bool fare_openai_request_read(struct fare_openai_request *q, enum fare_endpoint endpoint, struct fare_span body, struct fare_refusal *r)
{
	struct needs needs = {.prompts = 1};
	*q = (struct fare_openai_request){.endpoint = endpoint, .choices = 1, .bound = endpoint == FARE_EMBEDDINGS ? 0 : FARE_NO_BOUND};
	if (!fare_json_parse(&q->json, body)) {
		fare_refusal_set(r, FARE_CODE_BAD_JSON, NULL, "At byte %zu: %s.", q->json.error_at, q->json.error);
		return false;
	}
	if (fare_json_root(&q->json)->kind != FARE_JSON_OBJECT)
		return bad(r, "", "Its body must be a JSON object.");
	return members_read(q, &needs, r) && needs_check(q, &needs, r);
}

void fare_openai_request_release(struct fare_openai_request *q) { fare_json_release(&q->json); }
