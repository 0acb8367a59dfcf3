/* The scanner: a state machine over JSON's structure; a table says which members mean something where. */
#include "base/first.h"

#include "base/num.h"
#include "wire/openai_scan.h"

enum state { VALUE, VALUE_OR_END, NAME, NAME_OR_END, COLON, STRING, SCALAR, AFTER, DONE };

/* What a container is. */
enum role { OTHER, ROOT, CHOICES, CHOICE, MESSAGE, PARTS, PART, CALLS, CALL, FUNCTION, USAGE, GROQ, RAW };

/* What a member is for. */
enum action { NOTHING, A_CHOICES, A_USAGE, A_GROQ, A_MODEL, A_ID, A_CREATED, A_ERROR, A_MESSAGE, A_TEXT, A_PARTS, A_REASONING, A_REASONING_CONTENT, A_CALLS, A_FUNCTION, A_RAW, A_FINISH, A_INDEX };

enum { S = 1, J = 2, CH = 4, CO = 8, EM = 16, ANY = S | J | CH | CO | EM }; /* streams, whole answers; endpoints */

static const struct {
	uint8_t role, action;
	int where;
	const char *name;
} members[] = {
	{ROOT, A_CHOICES, S | J | CH | CO, "choices"},
	{ROOT, A_CHOICES, J | EM, "data"},
	{ROOT, A_USAGE, ANY, "usage"},
	{ROOT, A_GROQ, ANY, "x_groq"},
	{ROOT, A_MODEL, ANY, "model"},
	{ROOT, A_ID, S | CH | CO, "id"},
	{ROOT, A_CREATED, S | CH | CO, "created"},
	{ROOT, A_ERROR, ANY, "error"},
	{GROQ, A_USAGE, ANY, "usage"},
	{GROQ, A_ERROR, ANY, "error"},
	{CHOICE, A_USAGE, ANY, "usage"},
	{CHOICE, A_MESSAGE, S | CH, "delta"},
	{CHOICE, A_MESSAGE, J | CH, "message"},
	{CHOICE, A_TEXT, S | J | CO, "text"},
	{CHOICE, A_FINISH, ANY, "finish_reason"},
	{CHOICE, A_INDEX, ANY, "index"},
	{MESSAGE, A_PARTS, ANY, "content"},
	{MESSAGE, A_TEXT, ANY, "refusal"},
	{MESSAGE, A_REASONING, ANY, "reasoning"},
	{MESSAGE, A_REASONING_CONTENT, ANY, "reasoning_content"},
	{MESSAGE, A_CALLS, ANY, "tool_calls"},
	{MESSAGE, A_FUNCTION, ANY, "function_call"},
	{PART, A_TEXT, ANY, "text"},
	{PART, A_PARTS, ANY, "summary"},
	{PART, A_PARTS, ANY, "thinking"},
	{CALL, A_FUNCTION, ANY, "function"},
	{CALL, A_FUNCTION, ANY, "custom"},
	{FUNCTION, A_TEXT, ANY, "name"},
	{FUNCTION, A_RAW, ANY, "arguments"},
	{FUNCTION, A_TEXT, ANY, "input"},
};

void fare_scan_init(struct fare_scan *s, enum fare_endpoint endpoint, bool stream)
{
	*s = (struct fare_scan){.endpoint = endpoint, .stream = stream};
	fare_buf_init(&s->usage_text, FARE_SCAN_USAGE_MAX);
	fare_scan_begin(s);
}

void fare_scan_release(struct fare_scan *s)
{
	fare_buf_release(&s->usage_text);
	fare_json_release(&s->json);
}

void fare_scan_begin(struct fare_scan *s)
{
	struct fare_scan next = {.endpoint = s->endpoint, .stream = s->stream, .text_bytes = s->text_bytes, .deltas = s->deltas, .usage_text = s->usage_text, .json = s->json, .open_at = UINT64_MAX};
	memcpy(next.seen, s->seen, sizeof next.seen);
	memcpy(next.finished, s->finished, sizeof next.finished);
	*s = next;
	fare_buf_reset(&s->usage_text);
}

bool fare_scan_whole(const struct fare_scan *s) { return s->state == DONE && !s->bad; }

bool fare_scan_all_finished(const struct fare_scan *s)
{
	return (s->seen[0] | s->seen[1]) != 0 && s->seen[0] == s->finished[0] && s->seen[1] == s->finished[1];
}

static uint8_t action_find(const struct fare_scan *s)
{
	int here = (s->stream ? S : J), endpoint = s->endpoint == FARE_CHAT ? CH : s->endpoint == FARE_COMPLETIONS ? CO : EM;
	for (size_t i = 0; i < FARE_ARRAY_N(members); i++)
		if (members[i].role == s->role && (members[i].where & here) && (members[i].where & endpoint) && fare_span_is(fare_span_at(s->token, s->token_n), members[i].name))
			return members[i].action;
	return NOTHING;
}

/* What the container that starts here is. */
static enum role role_find(const struct fare_scan *s, bool is_array)
{
	if (s->depth == 0)
		return is_array ? OTHER : ROOT;
	if (s->role == RAW || s->role == USAGE)
		return (enum role)s->role;
	if (s->open[s->depth - 1].is_array) { /* an element of a list that is known */
		switch (s->role) {
		case CHOICES: return is_array || s->endpoint == FARE_EMBEDDINGS ? OTHER : CHOICE;
		case PARTS: return is_array ? OTHER : PART;
		case CALLS: return is_array ? OTHER : CALL;
		default: return OTHER;
		}
	}
	switch (s->action) {
	case A_CHOICES: return is_array ? CHOICES : OTHER;
	case A_PARTS: return is_array ? PARTS : OTHER;
	case A_CALLS: return is_array ? CALLS : OTHER;
	case A_USAGE: return is_array ? OTHER : USAGE;
	case A_GROQ: return is_array ? OTHER : GROQ;
	case A_MESSAGE: return is_array ? OTHER : MESSAGE;
	case A_FUNCTION: return is_array ? OTHER : FUNCTION;
	case A_RAW: return RAW;
	default: return OTHER;
	}
}

/* s->at is the offset of the bracket. */
static void container_open(struct fare_scan *s, bool is_array)
{
	enum role parent = (enum role)s->role, role = role_find(s, is_array);
	if (s->depth == FARE_SCAN_DEPTH_MAX) {
		s->bad = true;
		return;
	}
	if (s->action == A_ERROR)
		s->error = true;
	if (s->depth > 0 && parent == CHOICES)
		s->empty = false;
	if (role == CHOICES)
		s->answers = s->empty = true;
	else if (role == CHOICE)
		s->choice = 0, s->choice_finished = s->choice_said = false, s->choice_text_at = s->text_bytes;
	else if (role == MESSAGE)
		s->reasoning[0] = s->reasoning[1] = 0;
	else if (role == RAW && parent != RAW)
		s->raw_at = s->at;
	else if (role == USAGE && parent != USAGE) {
		s->usage_own = parent == ROOT;
		s->raw_at = s->at;
		s->usage_there |= s->usage_own;
		if (s->usage_own)
			s->open_at = s->at;
		fare_buf_reset(&s->usage_text);
	}
	s->open[s->depth].role = (uint8_t)role;
	s->open[s->depth++].is_array = is_array;
	s->role = (uint8_t)role;
	s->action = NOTHING;
	s->state = is_array ? VALUE_OR_END : NAME_OR_END;
}

/* The last complete usage counts; one inside a choice or extension only where the value has none of its own. */
static void usage_close(struct fare_scan *s)
{
	struct fare_openai_usage usage;
	fare_buf_add_char(&s->usage_text, '}');
	if (s->usage_own)
		s->open_at = UINT64_MAX;
	fare_openai_usage_read(&s->json, fare_buf_span(&s->usage_text), s->endpoint != FARE_EMBEDDINGS, &usage);
	if (!usage.complete || (s->usage_place.end > 0 && !s->usage_own))
		return;
	s->usage = usage;
	s->usage_found = true;
	if (s->usage_own)
		s->usage_place = (struct fare_scan_place){s->raw_at, s->at + 1};
}

static void choice_close(struct fare_scan *s)
{
	uint64_t index = s->choice < FARE_SCAN_CHOICES ? s->choice : 0, bit = UINT64_C(1) << (index % 64);
	s->seen[index / 64] |= bit;
	if (s->choice_finished)
		s->finished[index / 64] |= bit;
	if (s->text_bytes > s->choice_text_at || (s->choice_said && !s->choice_finished))
		s->deltas++;
}

static void container_close(struct fare_scan *s, bool is_array)
{
	if (s->depth == 0 || s->open[s->depth - 1].is_array != is_array) {
		s->bad = true;
		return;
	}
	s->depth--;
	enum role role = (enum role)s->role, parent = s->depth > 0 ? (enum role)s->open[s->depth - 1].role : OTHER;
	if (role == USAGE && parent != USAGE)
		usage_close(s);
	else if (role == CHOICE)
		choice_close(s);
	else if (role == MESSAGE)
		s->text_bytes += s->reasoning[0] > s->reasoning[1] ? s->reasoning[0] : s->reasoning[1]; /* some servers say it under both names */
	else if (role == RAW && parent != RAW)
		s->text_bytes += s->at + 1 - s->raw_at;
	s->role = (uint8_t)parent;
	s->action = NOTHING;
	s->state = s->depth == 0 ? DONE : AFTER;
}

static void string_open(struct fare_scan *s, bool is_key)
{
	s->is_key = is_key;
	s->state = STRING;
	s->token_n = 0;
	s->string_n = 0;
	s->counting = NULL;
	if (is_key)
		return;
	bool text = s->action == A_TEXT || s->action == A_PARTS || s->action == A_RAW || (s->role == PARTS && s->depth > 0 && s->open[s->depth - 1].is_array);
	if (text)
		s->counting = &s->text_bytes;
	else if (s->action == A_REASONING || s->action == A_REASONING_CONTENT)
		s->counting = &s->reasoning[s->action == A_REASONING];
	else if (s->action == A_MODEL)
		s->model_place = (struct fare_scan_place){s->at, 0}, s->open_at = s->at;
	else if (s->action == A_ID)
		s->id_place = (struct fare_scan_place){s->at, 0};
	else if (s->action == A_ERROR)
		s->error = true;
	s->choice_said |= s->counting != NULL;
}

static void string_close(struct fare_scan *s)
{
	if (s->is_key) {
		s->action = action_find(s);
		s->state = COLON;
		return;
	}
	if (s->action == A_MODEL) {
		s->model_place.end = s->at + 1;
		s->open_at = UINT64_MAX;
	} else if (s->action == A_ID) {
		s->id_place.end = s->at + 1;
	} else if (s->action == A_FINISH && s->string_n > 0) {
		s->choice_finished = true;
	}
	s->action = NOTHING;
	s->state = AFTER;
}

/* n bytes of the string's value, as far as they are kept. */
static void string_take(struct fare_scan *s, const char *p, size_t n)
{
	size_t room = FARE_SCAN_TOKEN_MAX - s->token_n;
	s->string_n += n;
	if (s->counting)
		*s->counting += n;
	if (!s->is_key)
		return;
	memcpy(s->token + s->token_n, p, n < room ? n : room);
	s->token_n += (uint32_t)(n < room ? n : room);
}

/* Inside an escape. A pair of surrogates is four bytes of UTF-8, two for each half. */
static void escape_byte(struct fare_scan *s, char c)
{
	if (s->hex_n > 0) {
		int v = fare_num_hex(c);
		s->bad |= v < 0;
		s->hex = (uint16_t)(s->hex << 4 | (v & 15));
		if (--s->hex_n > 0)
			return;
		size_t n = s->hex < 0x80 ? 1 : s->hex < 0x800 || (s->hex >= 0xD800 && s->hex <= 0xDFFF) ? 2 : 3;
		char ascii[3] = {(char)(s->hex < 0x80 ? s->hex : 0x7F), 0x7F, 0x7F}; /* no name we know has others */
		string_take(s, ascii, n);
	} else if (c == 'u') {
		s->hex_n = 4;
		s->hex = 0;
		return;
	} else {
		s->bad |= c == '\0' || !strchr("\"\\/bfnrt", c);
		string_take(s, c == '/' ? "/" : "\x7F", 1);
	}
	s->is_escape = false;
}

/* Bytes of a string from p on; returns how many were taken. */
static size_t string_bytes(struct fare_scan *s, const char *p, size_t n)
{
	size_t i = 0;
	if (s->is_escape) {
		escape_byte(s, *p);
		return 1;
	}
	while (i < n && p[i] != '"' && p[i] != '\\' && (unsigned char)p[i] >= ' ')
		i++;
	if (i > 0) {
		string_take(s, p, i);
		return i;
	}
	if (*p == '"')
		string_close(s);
	else if (*p == '\\')
		s->is_escape = true;
	else
		s->bad = true; /* a bare control */
	return 1;
}

static void scalar_close(struct fare_scan *s)
{
	struct fare_span token = fare_span_at(s->token, s->token_n);
	bool number = s->token[0] == '-' || (s->token[0] >= '0' && s->token[0] <= '9'), null = fare_span_is(token, "null");
	s->bad |= !number && !null && !fare_span_is(token, "true") && !fare_span_is(token, "false");
	if (s->action == A_ERROR && !null)
		s->error = true;
	if (s->action == A_CREATED && !fare_num_u64(token, 0, INT64_MAX, &s->created))
		s->created = 0;
	if (s->action == A_INDEX && !fare_num_u64(token, 0, FARE_SCAN_CHOICES - 1, &s->choice))
		s->choice = 0;
	s->action = NOTHING;
	s->state = AFTER;
}

static bool is_scalar(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
}

static void value_start(struct fare_scan *s, char c)
{
	bool in_choices = s->depth > 0 && s->role == CHOICES;
	if (c == '{' || c == '[') {
		container_open(s, c == '[');
		s->bad |= s->depth == 1 && c == '[';
		return;
	}
	s->bad |= s->depth == 0 || (c != '"' && !is_scalar(c));
	if (in_choices)
		s->empty = false;
	if (c == '"') {
		string_open(s, false);
		return;
	}
	s->token[0] = c;
	s->token_n = 1;
	s->state = SCALAR;
}

/* A byte that is neither white space nor inside a string or scalar. */
static void structure_byte(struct fare_scan *s, char c)
{
	bool in_array = s->depth > 0 && s->open[s->depth - 1].is_array;
	switch ((enum state)s->state) {
	case VALUE_OR_END:
		if (c == ']')
			container_close(s, true);
		else
			value_start(s, c);
		return;
	case VALUE: value_start(s, c); return;
	case NAME_OR_END:
	case NAME:
		if (c == '"')
			string_open(s, true);
		else if (c == '}' && s->state == NAME_OR_END)
			container_close(s, false);
		else
			s->bad = true;
		return;
	case COLON:
		s->bad |= c != ':';
		s->state = VALUE;
		return;
	case AFTER:
		if (c == ',')
			s->state = in_array ? VALUE : NAME;
		else if (c == ']' || c == '}')
			container_close(s, c == ']');
		else
			s->bad = true;
		return;
	default: s->bad = true; return;
	}
}

/* Takes at least one byte, unless a scalar ended before it. */
static size_t bytes_take(struct fare_scan *s, const char *p, size_t n)
{
	if (s->state == STRING)
		return string_bytes(s, p, n);
	if (s->state == SCALAR) {
		if (!is_scalar(*p)) {
			scalar_close(s);
			return 0;
		}
		if (s->token_n < FARE_SCAN_TOKEN_MAX)
			s->token[s->token_n++] = *p;
		return 1;
	}
	if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')
		structure_byte(s, *p);
	return 1;
}

bool fare_scan_push(struct fare_scan *s, struct fare_span bytes)
{
	for (size_t i = 0; i < bytes.n && !s->bad;) {
		size_t n = bytes_take(s, bytes.p + i, bytes.n - i);
		if (s->role == USAGE) /* its last bracket is added as it closes */
			fare_buf_add(&s->usage_text, bytes.p + i, n);
		i += n;
		s->at += n;
	}
	return !s->bad;
}
