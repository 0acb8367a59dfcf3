/* One call of farebox-load: the request, the answer as it comes in, the line that tells about it. */
#include "base/first.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include <json-c/json.h>

#include "load.h"

int64_t load_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static char *body_make(const struct load *load, bool is_stream)
{
	struct json_object *root = json_object_new_object(), *messages = json_object_new_array(), *message = json_object_new_object();
	char *text;

	json_object_object_add(message, "role", json_object_new_string("user"));
	json_object_object_add(message, "content", json_object_new_string(load->o.prompt));
	json_object_array_add(messages, message);
	json_object_object_add(root, "model", json_object_new_string(is_stream ? load->o.stream_model : load->o.model));
	json_object_object_add(root, "messages", messages);
	if (load->o.max_tokens)
		json_object_object_add(root, "max_tokens", json_object_new_int64(load->o.max_tokens));
	if (is_stream) {
		struct json_object *options = json_object_new_object();

		json_object_object_add(options, "include_usage", json_object_new_boolean(1));
		json_object_object_add(root, "stream", json_object_new_boolean(1));
		json_object_object_add(root, "stream_options", options);
	}
	text = strdup(json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
	return text;
}

int load_bodies_make(struct load *load)
{
	load->json_body = body_make(load, false);
	load->stream_body = body_make(load, true);
	return load->json_body && load->stream_body ? 0 : -1;
}

/* A word for the line: what could break the line's columns becomes '?'. */
static void word_copy(char *to, const char *from, size_t n)
{
	if (n > LOAD_WORD_MAX)
		n = LOAD_WORD_MAX;
	for (size_t i = 0; i < n; i++)
		to[i] = from[i] > ' ' && from[i] < 127 ? from[i] : '?';
	to[n] = 0;
}

static size_t on_header(char *line, size_t one, size_t n, void *arg)
{
	static const char name[] = "farebox-call-id:";
	struct load_call *call = arg;
	size_t at = sizeof name - 1, end = n;

	(void)one;
	if (n <= at || strncasecmp(line, name, at))
		return n;
	while (at < end && (line[at] == ' ' || line[at] == '\t'))
		at++;
	while (end > at && (line[end - 1] == '\r' || line[end - 1] == '\n' || line[end - 1] == ' '))
		end--;
	word_copy(call->call_id, line + at, end - at);
	return n;
}

static void usage_read(struct load_call *call, struct json_object *root)
{
	struct json_object *usage, *v;

	if (!json_object_object_get_ex(root, "usage", &usage) || !json_object_is_type(usage, json_type_object))
		return;
	call->has_usage = true;
	if (json_object_object_get_ex(usage, "prompt_tokens", &v))
		call->input_tokens = json_object_get_int64(v);
	if (json_object_object_get_ex(usage, "completion_tokens", &v))
		call->output_tokens = json_object_get_int64(v);
}

/* An error, or the notice of a stream that farebox has ended in good order for want of money. */
static void error_read(struct load_call *call, struct json_object *root)
{
	struct json_object *error, *code;

	if (!json_object_object_get_ex(root, "error", &error) && !json_object_object_get_ex(root, "farebox", &error))
		return;
	word_copy(call->code, "error", 5);
	if (json_object_is_type(error, json_type_object) &&
	    (json_object_object_get_ex(error, "code", &code) || json_object_object_get_ex(error, "type", &code)) && code)
		word_copy(call->code, json_object_get_string(code), (size_t)json_object_get_string_len(code));
}

static struct json_object *json_parse(const char *text, size_t n)
{
	struct json_tokener *t = json_tokener_new();
	struct json_object *root = t ? json_tokener_parse_ex(t, text, (int)n) : NULL;

	/* json-c wants to see what follows a bare number; our roots are objects, so that success is final. */
	if (t && json_tokener_get_error(t) != json_tokener_success) {
		json_object_put(root);
		root = NULL;
	}
	if (t)
		json_tokener_free(t);
	if (root && !json_object_is_type(root, json_type_object)) {
		json_object_put(root);
		root = NULL;
	}
	return root;
}

static void event_read(struct load_call *call, const char *line, size_t n)
{
	struct json_object *root;

	if (n < 6 || memcmp(line, "data: ", 6))
		return;
	line += 6;
	n -= 6;
	if (n == 6 && !memcmp(line, "[DONE]", 6)) {
		call->saw_done = true;
		return;
	}
	/* Most events are text: only those that may say something else are parsed. */
	if (!memmem(line, n, "\"usage\":{", 9) && !memmem(line, n, "\"error\"", 7) && !memmem(line, n, "\"farebox\":{", 11))
		return;
	root = json_parse(line, n);
	if (!root)
		return;
	usage_read(call, root);
	error_read(call, root);
	json_object_put(root);
}

/* Takes whole lines out of what came so far. */
static void lines_read(struct load_call *call)
{
	char *at = call->answer, *end;
	size_t left = call->answer_n;

	while ((end = memchr(at, '\n', left)) != NULL) {
		size_t n = (size_t)(end - at);

		event_read(call, at, n && at[n - 1] == '\r' ? n - 1 : n);
		left -= n + 1;
		at = end + 1;
	}
	memmove(call->answer, at, left);
	call->answer_n = left;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
	struct load_call *call = arg;
	long status = 0;

	(void)one;
	if (call->answer_max - call->answer_n < n) {
		size_t max = (call->answer_n + n) * 2 + 1024;
		char *answer = max > 2 * (size_t)LOAD_ANSWER_MAX ? NULL : realloc(call->answer, max);

		if (!answer)
			return 0; /* curl ends the transfer with an error */
		call->answer = answer;
		call->answer_max = max;
	}
	memcpy(call->answer + call->answer_n, bytes, n);
	call->answer_n += n;
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (call->is_stream && status == 200)
		lines_read(call);
	return n;
}

int load_call_init(struct load_call *call, struct load *load)
{
	CURL *easy = curl_easy_init();

	call->load = load;
	call->easy = easy;
	if (!easy)
		return -1;
	curl_easy_setopt(easy, CURLOPT_URL, load->target);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT, load->o.timeout_s);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	return 0;
}

void load_call_release(struct load_call *call)
{
	if (call->easy)
		curl_easy_cleanup(call->easy);
	free(call->answer);
}

int load_call_start(struct load_call *call, long index)
{
	struct load *load = call->load;
	const char *body;

	call->index = index;
	call->key = (size_t)index % load->key_n;
	call->is_stream = load->o.stream_every && (index + 1) % load->o.stream_every == 0;
	call->saw_done = call->has_usage = call->is_whole = false;
	call->input_tokens = call->output_tokens = 0;
	call->call_id[0] = call->code[0] = 0;
	call->answer_n = 0;
	call->started_ms = load_now_ms();
	body = call->is_stream ? load->stream_body : load->json_body;
	curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, load->headers[call->key]);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, body);
	curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
	return curl_multi_add_handle(load->multi, call->easy) == CURLM_OK ? 0 : -1;
}

static void answer_read(struct load_call *call)
{
	struct json_object *root = call->answer_n ? json_parse(call->answer, call->answer_n) : NULL;

	if (!root)
		return;
	usage_read(call, root);
	error_read(call, root);
	call->is_whole = call->has_usage && json_object_object_get_ex(root, "choices", NULL);
	json_object_put(root);
}

void load_call_end(struct load_call *call, CURLcode result)
{
	struct load_totals *t = &call->load->totals;
	bool is_complete;
	long status = 0;

	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	if (!call->is_stream || status != 200)
		answer_read(call);
	is_complete = result == CURLE_OK && status == 200 && !call->code[0] && (call->is_stream ? call->saw_done : call->is_whole);
	t->made++;
	t->ok += is_complete;
	t->streams += is_complete && call->is_stream;
	t->paid_out += result == CURLE_OK && status == 402;
	t->other += result == CURLE_OK && status != 200 && status != 402;
	t->broken += result != CURLE_OK || (status == 200 && !is_complete);
	if (call->load->out)
		fprintf(call->load->out, "%ld %zu %ld %s %d %d %lld %lld %s %d %lld\n", call->index, call->key, status,
			call->call_id[0] ? call->call_id : "-", call->is_stream, is_complete, call->input_tokens, call->output_tokens,
			call->code[0] ? call->code : "-", (int)result, (long long)(load_now_ms() - call->started_ms));
}
