/* The messages and tools of a chat request: checked, counted as input, and searched for what to answer. */
#include "base/first.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "sandbox.h"

static void bad(struct fare_sb_error *error, const char *param, const char *message)
{
	fare_sb_error_set(error, 400, "invalid_value", param, message);
}

static bool word_is_in(const char *word, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(word, *list))
			return true;
	return false;
}

/* A member that must be a string; counts nothing. NULL: it is not there or not a string. */
static const char *string_get(struct json_object *object, const char *name, size_t *n)
{
	struct json_object *v;

	if (!json_object_is_type(object, json_type_object) || !json_object_object_get_ex(object, name, &v) ||
	    !json_object_is_type(v, json_type_string))
		return NULL;
	if (n)
		*n = (size_t)json_object_get_string_len(v);
	return json_object_get_string(v);
}

static void text_take(struct fare_sb_request *req, const char *text, size_t n, bool is_user)
{
	req->input_bytes += n;
	if (!is_user)
		return;
	fare_sb_request_hint(req, text, n);
	req->has_tool_call = memmem(text, n, "call tool", 9) != NULL;
}

static void part_read(struct fare_sb_request *req, struct json_object *part, bool is_user, struct fare_sb_error *error)
{
	static const char *const others[] = {"image_url", "input_audio", "file", "refusal", NULL};
	const char *type = string_get(part, "type", NULL), *text;
	size_t n;

	if (type && !strcmp(type, "text")) {
		text = string_get(part, "text", &n);
		if (text)
			text_take(req, text, n, is_user);
		else
			bad(error, "messages", "A text part must have a text.");
	} else if (!type || !word_is_in(type, others) || !json_object_object_get_ex(part, type, NULL)) {
		bad(error, "messages", "A content part has no known type, or not the member its type names.");
	} else if (!strcmp(type, "refusal")) {
		text = string_get(part, "refusal", &n);
		if (text)
			text_take(req, text, n, false);
	}
}

static void content_read(struct fare_sb_request *req, struct json_object *message, const char *role, struct fare_sb_error *error)
{
	bool is_user = !strcmp(role, "user");
	struct json_object *v = NULL;
	bool is_there = json_object_object_get_ex(message, "content", &v);

	if (json_object_is_type(v, json_type_string)) {
		text_take(req, json_object_get_string(v), (size_t)json_object_get_string_len(v), is_user);
	} else if (json_object_is_type(v, json_type_array) && json_object_array_length(v)) {
		for (size_t i = 0; i < json_object_array_length(v); i++)
			part_read(req, json_object_array_get_idx(v, i), is_user, error);
	} else if ((is_there && v) || strcmp(role, "assistant")) {
		bad(error, "messages", "The content of a message must be a text or a list of parts.");
	} else if (!json_object_object_get_ex(message, "tool_calls", NULL) &&
	    !json_object_object_get_ex(message, "function_call", NULL) &&
	    !json_object_object_get_ex(message, "refusal", NULL) && !json_object_object_get_ex(message, "audio", NULL)) {
		bad(error, "messages", "An assistant message needs content or tool calls.");
	}
}

static void tool_calls_read(struct fare_sb_request *req, struct json_object *calls, struct fare_sb_error *error)
{
	if (!json_object_is_type(calls, json_type_array) || !json_object_array_length(calls)) {
		bad(error, "messages", "tool_calls must be a list with something in it.");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(calls); i++) {
		struct json_object *call = json_object_array_get_idx(calls, i), *function = NULL;
		const char *name, *arguments, *type = string_get(call, "type", NULL);
		size_t name_n, arguments_n;

		if (json_object_is_type(call, json_type_object))
			json_object_object_get_ex(call, "function", &function);
		name = string_get(function, "name", &name_n);
		arguments = string_get(function, "arguments", &arguments_n);
		if (!string_get(call, "id", NULL) || !type || strcmp(type, "function") || !name || !arguments) {
			bad(error, "messages", "A tool call needs id, type and function with name and arguments.");
			return;
		}
		req->input_bytes += name_n + arguments_n;
	}
}

/* Members that nobody knows are taken, as the provider takes them: its own clients send some back ("parsed"). */
static void message_read(struct fare_sb_request *req, struct json_object *message, struct fare_sb_error *error)
{
	static const char *const roles[] = {"developer", "system", "user", "assistant", "tool", "function", NULL};
	const char *role = string_get(message, "role", NULL);
	struct json_object *v;

	if (!role || !word_is_in(role, roles)) {
		bad(error, "messages", "A message must be an object with a known role.");
		return;
	}
	if (!strcmp(role, "tool") && !string_get(message, "tool_call_id", NULL))
		bad(error, "messages", "A message of role 'tool' must have a tool_call_id.");
	if (!strcmp(role, "function") && !string_get(message, "name", NULL))
		bad(error, "messages", "A message of role 'function' must have a name.");
	if (json_object_object_get_ex(message, "tool_calls", &v) && v) {
		if (strcmp(role, "assistant"))
			bad(error, "messages", "Only the assistant calls tools.");
		tool_calls_read(req, v, error);
	}
	content_read(req, message, role, error);
}

static bool name_is_good(const char *name, size_t n)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

	return n && n <= FARE_SB_NAME_MAX && strspn(name, letters) == n;
}

/* An argument of the type the schema asks for, so that a client's own check of it passes. */
static struct json_object *argument_make(struct json_object *schema)
{
	const char *type = string_get(schema, "type", NULL);
	struct json_object *list;

	if (json_object_is_type(schema, json_type_object) && json_object_object_get_ex(schema, "enum", &list) &&
	    json_object_is_type(list, json_type_array) && json_object_array_length(list))
		return json_object_get(json_object_array_get_idx(list, 0));
	if (!type || !strcmp(type, "string"))
		return json_object_new_string("sandbox");
	if (!strcmp(type, "integer") || !strcmp(type, "number"))
		return json_object_new_int(1);
	if (!strcmp(type, "boolean"))
		return json_object_new_boolean(1);
	if (!strcmp(type, "array"))
		return json_object_new_array();
	return !strcmp(type, "null") ? NULL : json_object_new_object();
}

static void arguments_make(struct fare_sb_request *req, struct json_object *function)
{
	struct json_object *arguments = json_object_new_object(), *parameters = NULL, *properties = NULL;
	const char *text;

	json_object_object_get_ex(function, "parameters", &parameters);
	if (json_object_is_type(parameters, json_type_object))
		json_object_object_get_ex(parameters, "properties", &properties);
	if (json_object_is_type(properties, json_type_object)) {
		json_object_object_foreach(properties, name, schema)
			json_object_object_add(arguments, name, argument_make(schema));
	}
	text = json_object_to_json_string_ext(arguments, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x80) { /* would be cut within a character */
			text = "{}";
			break;
		}
	free(req->tool_arguments);
	req->tool_arguments = strdup(text);
	req->tool_arguments_n = req->tool_arguments ? strlen(text) : 0;
	json_object_put(arguments);
}

/* The tool that is asked for, the first if none is named. */
static void tools_read(struct fare_sb_request *req, struct json_object *tools, const char *wanted, struct fare_sb_error *error)
{
	struct json_object *chosen = NULL;

	for (size_t i = 0; i < json_object_array_length(tools); i++) {
		struct json_object *tool = json_object_array_get_idx(tools, i), *function = NULL;
		const char *type = string_get(tool, "type", NULL), *name;
		size_t n = 0;

		if (type)
			json_object_object_get_ex(tool, "function", &function);
		name = string_get(function, "name", &n);
		if (!type || strcmp(type, "function") || !name || !name_is_good(name, n)) {
			bad(error, "tools", "A tool needs type 'function' and a function with a name.");
			return;
		}
		if (!chosen && (!wanted || !strcmp(wanted, name))) {
			chosen = function;
			snprintf(req->tool_name, sizeof req->tool_name, "%s", name);
		}
	}
	if (!chosen)
		bad(error, "tool_choice", "The tool named is not among the tools.");
	else if (req->has_tool_call)
		arguments_make(req, chosen);
}

static void tool_choice_read(struct fare_sb_request *req, struct json_object *root, struct fare_sb_error *error)
{
	struct json_object *tools = NULL, *choice = NULL, *function = NULL;
	const char *word = NULL, *wanted = NULL;

	json_object_object_get_ex(root, "tools", &tools);
	json_object_object_get_ex(root, "tool_choice", &choice);
	if (choice && !tools)
		bad(error, "tool_choice", "'tool_choice' is only allowed when 'tools' are specified.");
	if (json_object_is_type(choice, json_type_string)) {
		word = json_object_get_string(choice);
		if (strcmp(word, "none") && strcmp(word, "auto") && strcmp(word, "required"))
			bad(error, "tool_choice", "Supported values are 'none', 'auto' and 'required'.");
	} else if (choice) {
		json_object_object_get_ex(choice, "function", &function);
		wanted = string_get(function, "name", NULL);
		if (!wanted)
			bad(error, "tool_choice", "tool_choice must name a function.");
	}
	if (wanted || (word && !strcmp(word, "required")))
		req->has_tool_call = true;
	else if (word && !strcmp(word, "none"))
		req->has_tool_call = false;
	if (!tools)
		req->has_tool_call = false;
	else if (!error->status)
		tools_read(req, tools, wanted, error);
}

void fare_sb_chat_read(struct fare_sb_request *req, struct json_object *root, struct fare_sb_error *error)
{
	struct json_object *messages, *last;
	const char *role;

	fare_sb_request_hint(req, "", 0);
	if (!json_object_object_get_ex(root, "messages", &messages)) {
		fare_sb_error_set(error, 400, "missing_required_parameter", "messages", "Missing required parameter: 'messages'.");
		return;
	}
	if (!json_object_array_length(messages)) {
		fare_sb_error_set(error, 400, "empty_array", "messages", "Invalid 'messages': empty array.");
		return;
	}
	for (size_t i = 0; i < json_object_array_length(messages) && !error->status; i++)
		message_read(req, json_object_array_get_idx(messages, i), error);
	/* After a tool's result comes text, or clients that loop over tool calls would never end. */
	last = json_object_array_get_idx(messages, json_object_array_length(messages) - 1);
	role = string_get(last, "role", NULL);
	if (role && !strcmp(role, "tool"))
		req->has_tool_call = false;
	if (!error->status)
		tool_choice_read(req, root, error);
	if (req->has_tool_call && !req->tool_arguments)
		fare_sb_error_set(error, 500, "", "", "The sandbox has no memory left.");
}
