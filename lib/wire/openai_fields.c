/*
 * The members of an OpenAI request. From OpenAI's own reference, and from servers that speak its dialect (vLLM, llama.cpp, DeepSeek, Groq, Z.AI, Alibaba, OpenRouter,
 * Mistral, Voyage): sampling and output options that no provider bills for are passed on.
 */
#include "base/first.h"

#include "bank/admission.h"
#include "wire/openai_fields.h"

enum { CH = 1 << FARE_CHAT, CO = 1 << FARE_COMPLETIONS, EM = 1 << FARE_EMBEDDINGS };

static const struct {
	const char *name;
	int endpoints;
	enum fare_field_kind kind;
} fields[] = {
	{"model", CH | CO | EM, FARE_FIELD_MODEL},
	{"messages", CH, FARE_FIELD_MESSAGES},
	{"prompt", CO, FARE_FIELD_PROMPT},
	{"input", EM, FARE_FIELD_INPUT},
	{"max_tokens", CH | CO, FARE_FIELD_BOUND},
	{"max_completion_tokens", CH, FARE_FIELD_BOUND},
	{"n", CH | CO, FARE_FIELD_CHOICES},
	{"best_of", CO, FARE_FIELD_CHOICES},
	{"stream", CH | CO, FARE_FIELD_STREAM},
	{"stream_options", CH | CO, FARE_FIELD_STREAM_OPTIONS},
	{"tools", CH, FARE_FIELD_TOOLS},
	{"service_tier", CH | CO | EM, FARE_FIELD_TIER},
	{"modalities", CH, FARE_FIELD_MODALITIES},
	{"store", CH, FARE_FIELD_OFF},
	{"background", CH, FARE_FIELD_OFF},

	{"tool_choice", CH, FARE_FIELD_COUNTED},
	{"functions", CH, FARE_FIELD_COUNTED},
	{"function_call", CH, FARE_FIELD_COUNTED},
	{"response_format", CH | CO, FARE_FIELD_COUNTED},
	{"suffix", CO, FARE_FIELD_COUNTED},
	{"chat_template_kwargs", CH, FARE_FIELD_COUNTED},
	{"structured_outputs", CH | CO, FARE_FIELD_COUNTED},
	{"guided_json", CH | CO, FARE_FIELD_COUNTED},
	{"guided_regex", CH | CO, FARE_FIELD_COUNTED},
	{"guided_choice", CH | CO, FARE_FIELD_COUNTED},
	{"guided_grammar", CH | CO, FARE_FIELD_COUNTED},
	{"grammar", CH | CO, FARE_FIELD_COUNTED},
	{"json_schema", CH | CO, FARE_FIELD_COUNTED},

	{"frequency_penalty", CH | CO, FARE_FIELD_FREE},
	{"presence_penalty", CH | CO, FARE_FIELD_FREE},
	{"repetition_penalty", CH | CO, FARE_FIELD_FREE},
	{"logit_bias", CH | CO, FARE_FIELD_FREE},
	{"logprobs", CH | CO, FARE_FIELD_FREE},
	{"top_logprobs", CH, FARE_FIELD_FREE},
	{"metadata", CH, FARE_FIELD_FREE},
	{"parallel_tool_calls", CH, FARE_FIELD_FREE},
	{"prompt_cache_key", CH, FARE_FIELD_FREE},
	{"prompt_cache_options", CH, FARE_FIELD_FREE},
	{"prompt_cache_retention", CH, FARE_FIELD_FREE},
	{"reasoning_effort", CH, FARE_FIELD_FREE},
	{"safety_identifier", CH, FARE_FIELD_FREE},
	{"moderation", CH, FARE_FIELD_FREE},
	{"seed", CH | CO, FARE_FIELD_FREE},
	{"random_seed", CH, FARE_FIELD_FREE},
	{"stop", CH | CO, FARE_FIELD_FREE},
	{"stop_token_ids", CH | CO, FARE_FIELD_FREE},
	{"temperature", CH | CO, FARE_FIELD_FREE},
	{"top_p", CH | CO, FARE_FIELD_FREE},
	{"top_k", CH | CO, FARE_FIELD_FREE},
	{"min_p", CH | CO, FARE_FIELD_FREE},
	{"typical_p", CH | CO, FARE_FIELD_FREE},
	{"user", CH | CO | EM, FARE_FIELD_FREE},
	{"verbosity", CH, FARE_FIELD_FREE},
	{"echo", CO, FARE_FIELD_FREE},
	{"min_tokens", CH | CO, FARE_FIELD_FREE},
	{"ignore_eos", CH | CO, FARE_FIELD_FREE},
	{"skip_special_tokens", CH | CO, FARE_FIELD_FREE},
	{"include_reasoning", CH, FARE_FIELD_FREE},
	{"reasoning_format", CH, FARE_FIELD_FREE},
	{"reasoning_split", CH, FARE_FIELD_FREE},
	{"reasoning", CH, FARE_FIELD_FREE},
	{"thinking", CH, FARE_FIELD_FREE},
	{"enable_thinking", CH, FARE_FIELD_FREE},
	{"thinking_budget", CH, FARE_FIELD_FREE},
	{"clear_thinking", CH, FARE_FIELD_FREE},
	{"tool_stream", CH, FARE_FIELD_FREE},
	{"safe_prompt", CH, FARE_FIELD_FREE},
	{"usage", CH | CO, FARE_FIELD_FREE},
	{"cache_prompt", CH | CO, FARE_FIELD_FREE},
	{"timings_per_token", CH | CO, FARE_FIELD_FREE},
	{"keep_alive", CH | CO, FARE_FIELD_FREE},
	{"dimensions", EM, FARE_FIELD_FREE},
	{"encoding_format", EM, FARE_FIELD_FREE},
	{"input_type", EM, FARE_FIELD_FREE},
	{"truncation", EM, FARE_FIELD_FREE},
	{"output_dimension", EM, FARE_FIELD_FREE},
	{"output_dtype", EM, FARE_FIELD_FREE},

	{"audio", CH, FARE_FIELD_UNPRICED},
	{"web_search_options", CH, FARE_FIELD_UNPRICED},
	{"prediction", CH, FARE_FIELD_UNPRICED}, /* no output bound may be sent with it */
	{"search_parameters", CH, FARE_FIELD_UNPRICED},
	{"search_settings", CH, FARE_FIELD_UNPRICED},
	{"enable_search", CH, FARE_FIELD_UNPRICED},
	{"plugins", CH | CO, FARE_FIELD_UNPRICED},
	{"models", CH | CO, FARE_FIELD_UNPRICED},
	{"provider", CH | CO | EM, FARE_FIELD_UNPRICED},
	{"preset", CH | CO, FARE_FIELD_UNPRICED},
	{"speed", CH, FARE_FIELD_UNPRICED},
};

enum fare_field_kind fare_openai_field(const struct fare_json *j, const struct fare_json_node *member, int endpoint)
{
	for (size_t i = 0; i < FARE_ARRAY_N(fields); i++)
		if ((fields[i].endpoints & 1 << endpoint) && fare_json_key_is(j, member, fields[i].name))
			return fields[i].kind;
	return FARE_FIELD_UNKNOWN;
}

bool fare_openai_fault(struct fare_refusal *r, enum fare_code code, const char *param, const char *what)
{
	fare_refusal_set(r, code, param, "%s%s%s", param, *param ? " " : "", what);
	return false;
}
