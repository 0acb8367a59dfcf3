/*
 * Usage of the OpenAI dialect. Servers differ: xAI's reasoning lies outside completion_tokens, Gemini's is missing from it (the total has it), Mistral's audio lies
 * outside prompt_tokens, xAI's cache may (where the total says so; else it is cut to the input); cached tokens have five names. Counts may be null, negative, fractions ending in .0, or absurd.
 */
#include "base/first.h"

#include "base/num.h"
#include "wire/openai_usage.h"

struct count {
	uint64_t n;
	bool there;
};

struct counts {
	struct count prompt, completion, total, reasoning, cached, cache_write, audio;
	bool forced; /* a count was none */
};

static struct count count_read(const struct fare_json *j, const struct fare_json_node *v, bool *forced)
{
	struct count c = {0, false};
	struct fare_span s = fare_json_text(j, v);
	if (!v || v->kind != FARE_JSON_NUMBER)
		return c;
	const char *dot = memchr(s.p, '.', s.n);
	if (dot) {
		for (const char *p = dot + 1; p < s.p + s.n; p++)
			*forced |= *p != '0'; /* a fraction or an exponent: cut off */
		s.n = (size_t)(dot - s.p);
	}
	c.there = true;
	if (!fare_num_u64(s, 0, UINT64_C(1) << FARE_TOKENS_MAX_LOG2, &c.n)) {
		*forced = true;
		c.n = s.p[0] == '-' || memchr(s.p, 'e', s.n) || memchr(s.p, 'E', s.n) ? 0 : UINT64_C(1) << FARE_TOKENS_MAX_LOG2;
	}
	return c;
}

/* The first of several names that holds a count. path: "name" or "object.name" (names of at most 39 bytes). */
static struct count count_find(const struct fare_json *j, const char *const *paths, bool *forced)
{
	const struct fare_json_node *root = fare_json_root(j);
	for (; *paths; paths++) {
		const char *dot = strchr(*paths, '.');
		const struct fare_json_node *in = root;
		if (dot) {
			char name[40];
			if (!fare_span_copy(fare_span_at(*paths, (size_t)(dot - *paths)), name, sizeof name))
				continue;
			in = fare_json_member(j, root, name);
		}
		struct count c = count_read(j, fare_json_member(j, in, dot ? dot + 1 : *paths), forced);
		if (c.there)
			return c;
	}
	return (struct count){0, false};
}

static struct counts counts_read(const struct fare_json *j)
{
	static const char *const prompt[] = {"prompt_tokens", NULL}, *const completion[] = {"completion_tokens", NULL}, *const total[] = {"total_tokens", NULL};
	static const char *const reasoning[] = {"completion_tokens_details.reasoning_tokens", "reasoning_tokens", NULL};
	static const char *const cached[] = {"prompt_tokens_details.cached_tokens", "prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", "cache_read_input_tokens", NULL};
	static const char *const cache_write[] = {"prompt_tokens_details.cache_write_tokens", "cache_creation_input_tokens", NULL};
	static const char *const audio[] = {"prompt_tokens_details.audio_tokens", NULL};
	struct counts c = {.forced = false};
	c.prompt = count_find(j, prompt, &c.forced);
	c.completion = count_find(j, completion, &c.forced);
	c.total = count_find(j, total, &c.forced);
	c.reasoning = count_find(j, reasoning, &c.forced);
	c.cached = count_find(j, cached, &c.forced);
	c.cache_write = count_find(j, cache_write, &c.forced);
	c.audio = count_find(j, audio, &c.forced);
	return c;
}

static void input_set(const struct counts *c, struct fare_usage *u)
{
	uint64_t seen = c->prompt.n + c->completion.n;
	u->input = c->prompt.there ? c->prompt.n : c->total.n - c->completion.n;
	u->cached = c->cached.n;
	u->cache_write = c->cache_write.n;
	u->reasoning = c->reasoning.n;
	if (c->audio.n > 0 && c->total.n == seen + c->audio.n)
		u->input += c->audio.n;
	else if (c->cached.n > c->prompt.n && c->prompt.there && (c->total.n == seen + c->cached.n || c->total.n == seen + c->cached.n + c->reasoning.n))
		u->input += c->cached.n;
}

/* What only the total has is output: reasoning, thinking. */
static void output_set(const struct counts *c, struct fare_usage *u)
{
	bool more = c->total.n > u->input && c->total.n - u->input > c->completion.n;
	u->output = more ? c->total.n - u->input : c->completion.n;
}

void fare_openai_usage_read(struct fare_json *j, struct fare_span text, bool output, struct fare_openai_usage *out)
{
	*out = (struct fare_openai_usage){.complete = false};
	if (!fare_json_parse(j, text) || fare_json_root(j)->kind != FARE_JSON_OBJECT)
		return;
	struct counts c = counts_read(j);
	const struct fare_json_node *cost = fare_json_member(j, fare_json_root(j), "cost");
	bool totals = c.total.there && c.total.n >= c.completion.n;
	out->complete = (c.prompt.there || totals) && (!output || c.completion.there);
	if (cost) {
		out->cost_at = cost->start;
		out->cost_end = cost->end;
	}
	if (!out->complete)
		return;
	input_set(&c, &out->usage);
	if (output)
		output_set(&c, &out->usage);
	out->clamped = fare_usage_clamp(&out->usage) || c.forced;
}
