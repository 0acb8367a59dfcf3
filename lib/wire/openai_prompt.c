/* Messages, tools and prompts: what they count in bytes, and what in them has no price. */
#include "base/first.h"

#include <stdio.h>

#include "wire/openai_fields.h"
#include "wire/openai_prompt.h"

enum { TOKEN_BYTES = 4 /* one token number counts as so many bytes of text */ };

static uint64_t written_bytes(const struct fare_json_node *n) { return n ? (uint64_t)n->end - n->start : 0; }

static bool is_kind(const struct fare_json_node *n, enum fare_json_kind kind) { return n && n->kind == kind; }

static void text_count(struct fare_openai_request *q, const struct fare_json_node *n)
{
	if (is_kind(n, FARE_JSON_STRING))
		q->text_bytes += fare_json_string_bytes(&q->json, n);
}

struct place { /* where in the request, for error.param */
	uint32_t message, part;
};

static bool part_fault(struct fare_refusal *r, enum fare_code code, struct place at, const char *member, const char *what)
{
	char param[FARE_PARAM_N];
	snprintf(param, sizeof param, "messages[%u].content[%u]%s", at.message, at.part, member);
	return fare_openai_fault(r, code, param, what);
}

/* An image is priced as one; its address or its bytes are not prompt text. */
static bool image_read(struct fare_openai_request *q, const struct fare_json_node *part, struct place at, struct fare_refusal *r)
{
	const struct fare_json_node *image = fare_json_member(&q->json, part, "image_url"), *url = image;
	if (is_kind(image, FARE_JSON_OBJECT))
		url = fare_json_member(&q->json, image, "url");
	if (!is_kind(url, FARE_JSON_STRING))
		return part_fault(r, FARE_CODE_BAD_REQUEST, at, ".image_url", "must have a url.");
	q->images++;
	q->prompt_bytes -= written_bytes(url);
	return true;
}

static bool part_read(struct fare_openai_request *q, const struct fare_json_node *part, struct place at, struct fare_refusal *r)
{
	const struct fare_json *j = &q->json;
	const struct fare_json_node *type = fare_json_member(j, part, "type");
	if (is_kind(part, FARE_JSON_STRING)) { /* some clients write lists of plain texts */
		text_count(q, part);
		return true;
	}
	if (!is_kind(type, FARE_JSON_STRING))
		return part_fault(r, FARE_CODE_BAD_REQUEST, at, ".type", "must be a text that says what the part is.");
	if (fare_json_string_is(j, type, "image_url"))
		return image_read(q, part, at, r);
	if (fare_json_string_is(j, type, "text"))
		text_count(q, fare_json_member(j, part, "text"));
	else if (fare_json_string_is(j, type, "refusal"))
		text_count(q, fare_json_member(j, part, "refusal"));
	else if (!fare_json_string_is(j, type, "thinking") && !fare_json_string_is(j, type, "reasoning"))
		return part_fault(r, FARE_CODE_FIELD_NOT_PRICED, at, ".type", "names a kind of content (a file, audio or video) that has no price here.");
	return true;
}

static void function_count(struct fare_openai_request *q, const struct fare_json_node *function)
{
	text_count(q, fare_json_member(&q->json, function, "name"));
	text_count(q, fare_json_member(&q->json, function, "arguments"));
}

static bool message_read(struct fare_openai_request *q, const struct fare_json_node *message, uint32_t number, struct fare_refusal *r)
{
	const struct fare_json *j = &q->json;
	const struct fare_json_node *content = fare_json_member(j, message, "content"), *calls = fare_json_member(j, message, "tool_calls"), *audio = fare_json_member(j, message, "audio");
	struct place at = {number, 0};
	char param[FARE_PARAM_N];
	snprintf(param, sizeof param, "messages[%u]", number);
	if (!is_kind(message, FARE_JSON_OBJECT) || !is_kind(fare_json_member(j, message, "role"), FARE_JSON_STRING))
		return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, param, "must be an object with a role.");
	if (audio && audio->kind != FARE_JSON_NULL)
		return fare_openai_fault(r, FARE_CODE_FIELD_NOT_PRICED, param, "holds audio, which has no price here.");
	if (content && content->kind != FARE_JSON_STRING && content->kind != FARE_JSON_ARRAY && content->kind != FARE_JSON_NULL)
		return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, param, "must have a content that is a text or a list of parts.");
	text_count(q, content);
	if (is_kind(content, FARE_JSON_ARRAY))
		for (const struct fare_json_node *part = fare_json_first(j, content); part; part = fare_json_next(j, part), at.part++)
			if (!part_read(q, part, at, r))
				return false;
	if (is_kind(calls, FARE_JSON_ARRAY))
		for (const struct fare_json_node *call = fare_json_first(j, calls); call; call = fare_json_next(j, call))
			function_count(q, fare_json_member(j, call, "function"));
	return true;
}

bool fare_openai_messages_read(struct fare_openai_request *q, const struct fare_json_node *messages, struct fare_refusal *r)
{
	uint32_t number = 0;
	if (messages->kind != FARE_JSON_ARRAY || messages->size == 0)
		return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, "messages", "must be a list with at least one message.");
	q->prompt_bytes += written_bytes(messages);
	for (const struct fare_json_node *m = fare_json_first(&q->json, messages); m; m = fare_json_next(&q->json, m))
		if (!message_read(q, m, number++, r))
			return false;
	return true;
}

/* Tools that run at the caller's cost the caller's time only; those the provider runs are billed by it. */
bool fare_openai_tools_read(struct fare_openai_request *q, const struct fare_json_node *tools, struct fare_refusal *r)
{
	uint32_t number = 0;
	if (tools->kind != FARE_JSON_ARRAY)
		return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, "tools", "must be a list.");
	for (const struct fare_json_node *tool = fare_json_first(&q->json, tools); tool; tool = fare_json_next(&q->json, tool), number++) {
		const struct fare_json_node *type = fare_json_member(&q->json, tool, "type");
		char param[FARE_PARAM_N];
		snprintf(param, sizeof param, "tools[%u].type", number);
		if (!type && is_kind(fare_json_member(&q->json, tool, "function"), FARE_JSON_OBJECT))
			continue; /* as Mistral's clients write it */
		if (!is_kind(type, FARE_JSON_STRING))
			return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, param, "must be \"function\" or \"custom\".");
		if (!fare_json_string_is(&q->json, type, "function") && !fare_json_string_is(&q->json, type, "custom"))
			return fare_openai_fault(r, FARE_CODE_FIELD_NOT_PRICED, param, "names a tool that the provider runs and bills, which has no price here.");
	}
	q->prompt_bytes += written_bytes(tools);
	return true;
}

static bool token_list_read(struct fare_openai_request *q, const struct fare_json_node *list)
{
	if (list->size == 0)
		return false;
	for (const struct fare_json_node *t = fare_json_first(&q->json, list); t; t = fare_json_next(&q->json, t)) {
		int64_t id;
		if (!fare_json_i64(&q->json, t, 0, INT32_MAX, &id))
			return false;
	}
	q->prompt_bytes += (uint64_t)list->size * TOKEN_BYTES;
	q->text_bytes += (uint64_t)list->size * TOKEN_BYTES;
	return true;
}

/* One prompt: a text or a list of token numbers. */
static bool prompt_read(struct fare_openai_request *q, const struct fare_json_node *v)
{
	if (v->kind == FARE_JSON_ARRAY)
		return token_list_read(q, v);
	if (v->kind != FARE_JSON_STRING)
		return false;
	q->prompt_bytes += written_bytes(v);
	text_count(q, v);
	return true;
}

bool fare_openai_texts_read(struct fare_openai_request *q, const struct fare_json_node *v, const char *name, uint32_t *prompts, struct fare_refusal *r)
{
	static const char what[] = "must be a text, a list of texts, a list of token numbers or a list of such lists, none of them empty.";
	const struct fare_json_node *first = fare_json_first(&q->json, v);
	*prompts = 1;
	if (v->kind != FARE_JSON_ARRAY || is_kind(first, FARE_JSON_NUMBER))
		return prompt_read(q, v) || fare_openai_fault(r, FARE_CODE_BAD_REQUEST, name, what);
	if (!first)
		return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, name, what);
	*prompts = v->size;
	for (const struct fare_json_node *p = first; p; p = fare_json_next(&q->json, p))
		if (p->kind != first->kind || !prompt_read(q, p))
			return fare_openai_fault(r, FARE_CODE_BAD_REQUEST, name, what);
	return true;
}
