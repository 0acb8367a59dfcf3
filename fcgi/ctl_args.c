/* From the words of a command line to a request. Strict: an unknown, repeated or missing word is misuse, and so is a value that cannot be meant. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/num.h"
#include "base/secret.h"
#include "money/amount.h"
#include "bank/books.h"
#include "bank/match.h"

#include "ctl.h"

static void say(const char *fmt, va_list ap)
{
	fputs("farebox: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

int ctl_fail(const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	return CTL_FAILED;
}

int ctl_misuse(const struct ctl_command *cmd, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	say(fmt, ap);
	va_end(ap);
	if (cmd)
		fprintf(stderr, "farebox %s --help shows how it is used\n", cmd->group);
	return CTL_MISUSE;
}

static bool is_name(struct fare_span s, const char *marks)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (i && strchr(marks, c))))
			return false;
	}
	return s.n > 0 && s.n < FARE_NAME_N;
}

static bool is_text(struct fare_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return s.n < FARE_GLOBS_N;
}

static bool is_url(struct fare_span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~')
			return false;
	return s.n < FARE_URL_N && (fare_span_starts(s, "https://") || fare_span_starts(s, "http://"));
}

static bool is_variable(struct fare_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (i && c >= '0' && c <= '9')))
			return false;
	}
	return s.n > 0 && s.n < FARE_NAME_N;
}

/* A time as the protocol wants it. */
static bool add_time(struct fare_buf *out, struct fare_span s, bool past)
{
	uint64_t ms;
	char text[FARE_TIME_TEXT_N];
	if (!fare_clock_parse_when(s, fare_clock_wall_ms(), past, &ms))
		return false;
	fare_clock_text(ms, text);
	return fare_buf_add_json(out, fare_span_of(text));
}

static bool add_span_s(struct fare_buf *out, struct fare_span s)
{
	uint64_t ms;
	return s.n > 1 && strchr("dhms", s.p[s.n - 1]) && fare_clock_parse_when(s, 0, false, &ms) && fare_buf_add_u64(out, ms / 1000);
}

static bool add_amount(struct fare_buf *out, struct fare_span s, bool zero)
{
	struct fare_amount a;
	return fare_amount_parse(s, &a) && (a.nano > 0 || (zero && a.nano == 0)) && fare_buf_add_json(out, s);
}

static bool add_number(struct fare_buf *out, struct fare_span s, uint64_t min)
{
	uint64_t v;
	return fare_num_u64(s, min, INT64_MAX, &v) && fare_buf_add_u64(out, v);
}

static const char *kind_wants(enum ctl_kind kind)
{
	static const char *const wants[] = {
		[CTL_NAME] = "a name of letters, digits and . _ - @, at most 127",
		[CTL_MODEL] = "a name of letters, digits and . _ - @ / : +, at most 127",
		[CTL_AMOUNT] = "an amount above 0 with at most nine decimals, like 5 or 0.25",
		[CTL_AMOUNT_0] = "an amount of 0 or above with at most nine decimals, like 0.15",
		[CTL_TEXT] = "one line of text, at most 511 bytes",
		[CTL_PAST] = "a time: RFC 3339, or 30d, 12h, 15m, 90s before now",
		[CTL_EXPIRES] = "a time: RFC 3339, or 30d, 12h, 15m, 90s from now, or never",
		[CTL_SPAN_S] = "a span of time: 30d, 12h, 15m, 90s",
		[CTL_NUMBER] = "a whole number, 0 or above",
		[CTL_ID] = "a number, as `list` shows it",
		[CTL_SHA256] = "64 hexadecimal digits",
		[CTL_CALL_ID] = "a call id",
		[CTL_URL] = "an http or https URL",
		[CTL_STYLE] = "openai (others are not built yet)",
		[CTL_BOUND_FIELD] = "max_tokens or max_completion_tokens",
		[CTL_DIR] = "a usable path",
		[CTL_BY] = "account, key, model or day",
		[CTL_SEAL] = "a seal's number and hash as status and backup print them, like 12:6f1c... with 64 hexadecimal digits",
		[CTL_VARIABLE] = "the name of an environment variable",
		[CTL_CIDRS] = "a list like 10.1.0.0/16,2001:db8::/32",
	};
	return wants[kind];
}

/* Appends the value as JSON. False: not what the kind wants. */
static bool value_add(const struct ctl_arg *a, struct fare_span s, struct fare_buf *out)
{
	struct fare_hash hash;
	struct fare_kept_seal seal;
	struct fare_id id;
	char path[FARE_PATH_N], store[FARE_PATH_N];
	switch ((enum ctl_kind)a->kind) {
	case CTL_AMOUNT:
	case CTL_AMOUNT_0:
		return add_amount(out, s, a->kind == CTL_AMOUNT_0);
	case CTL_PAST:
		return add_time(out, s, true);
	case CTL_EXPIRES:
		return fare_span_is(s, "never") ? fare_buf_add_str(out, "null") : add_time(out, s, false);
	case CTL_SPAN_S:
		return add_span_s(out, s);
	case CTL_NUMBER:
	case CTL_ID:
		return add_number(out, s, a->kind == CTL_ID);
	case CTL_NAME:
		return is_name(s, "._-@") && fare_buf_add_json(out, s);
	case CTL_MODEL:
		return is_name(s, "._-@/:+") && fare_buf_add_json(out, s);
	case CTL_TEXT:
	case CTL_KEY_FILE:
		return is_text(s) && fare_buf_add_json(out, s);
	case CTL_SHA256:
		return fare_hash_parse(s, &hash) && fare_buf_add_json(out, s);
	case CTL_CALL_ID:
		return fare_id_parse(s, &id) && fare_buf_add_json(out, s);
	case CTL_URL:
		return is_url(s) && fare_buf_add_json(out, s);
	case CTL_STYLE:
		return fare_span_is(s, "openai") && fare_buf_add_json(out, s);
	case CTL_BOUND_FIELD:
		return (fare_span_is(s, "max_tokens") || fare_span_is(s, "max_completion_tokens")) && fare_buf_add_json(out, s);
	case CTL_DIR:
		return ctl_dir(s.p, path) && fare_path(store, sizeof store, path, "store") && fare_buf_add_json(out, fare_span_of(store));
	case CTL_BY:
		return (fare_span_is(s, "account") || fare_span_is(s, "key") || fare_span_is(s, "model") || fare_span_is(s, "day")) && fare_buf_add_json(out, s);
	case CTL_SEAL:
		return fare_kept_seal_parse(s, &seal) && fare_buf_add_json(out, s);
	case CTL_CIDRS:
		return is_text(s) && fare_match_cidrs_valid(s.p) && fare_buf_add_json(out, s);
	case CTL_VARIABLE:
		return is_variable(s) && fare_buf_add_json(out, s);
	case CTL_FLAG:
		return fare_buf_add_str(out, "true");
	case CTL_NONE:
	case CTL_NOT_YET:
		break;
	}
	return false;
}

/* The argument that a word starts: an option by name, else the next positional one. NULL: none. */
static const struct ctl_arg *arg_for(const struct ctl_command *cmd, const char *word, const bool *seen)
{
	bool option = word[0] == '-' && word[1] == '-';
	for (int i = 0; cmd->args[i].word; i++) {
		const struct ctl_arg *a = &cmd->args[i];
		if (option ? strcmp(a->word, word) == 0 : a->word[0] != '-' && !seen[i])
			return a;
	}
	return NULL;
}

/* What a command line has so far. */
struct words {
	const struct ctl_command *cmd;
	bool seen[CTL_ARGS_MAX];
	bool option;      /* is there one? */
	const char *name; /* the first positional word */
	const struct ctl_arg *key_arg; /* a key is read last: nothing is written for a command that is not accepted */
	const char *key_given;
	struct fare_buf *request;
};

static int value_take(struct words *w, const struct ctl_arg *a, const char *value)
{
	fare_buf_addf(w->request, ",\"%s\":", a->member);
	if (!value_add(a, fare_span_of(value), w->request))
		return ctl_misuse(w->cmd, "%s: not %s", a->word, a->kind == CTL_KEY_FILE ? "a usable path" : kind_wants((enum ctl_kind)a->kind));
	return CTL_OK;
}

static int word_take(struct words *w, const struct ctl_arg *a, const char *value)
{
	size_t at = (size_t)(a - w->cmd->args);
	if (w->seen[at])
		return ctl_misuse(w->cmd, "%s is given twice", a->word);
	w->seen[at] = true;
	if (a->word[0] == '-')
		w->option = true;
	else if (!w->name)
		w->name = value;
	if (a->kind != CTL_KEY_FILE)
		return value_take(w, a, value);
	w->key_arg = a;
	w->key_given = value;
	return CTL_OK;
}

static int words_end(const struct fare_conf *c, struct words *w)
{
	char path[FARE_PATH_N];
	for (int i = 0; w->cmd->args[i].word; i++)
		if (w->cmd->args[i].required && !w->seen[i])
			return ctl_misuse(w->cmd, "%s is missing", w->cmd->args[i].word);
	if (w->cmd->some && !w->option)
		return ctl_misuse(w->cmd, "nothing to change");
	int rc = w->key_arg ? ctl_key_file(c, w->name, w->key_given, path) : CTL_OK;
	if (rc == CTL_OK && w->key_arg)
		rc = value_take(w, w->key_arg, path);
	fare_buf_add_str(w->request, "}");
	if (rc == CTL_OK && w->request->failed)
		rc = ctl_misuse(w->cmd, "the command is too long");
	return rc;
}

int ctl_request(const struct fare_conf *c, const struct ctl_command *cmd, int argc, char **argv, struct fare_buf *request)
{
	struct words w = {.cmd = cmd, .request = request};
	fare_buf_addf(request, "{\"op\":\"%s\"", cmd->op);
	for (int i = 0; i < argc; i++) {
		const struct ctl_arg *a = arg_for(cmd, argv[i], w.seen);
		if (!a)
			return ctl_misuse(cmd, "%.64s: not known here", argv[i]);
		if (a->kind == CTL_NOT_YET)
			return ctl_misuse(NULL, "%s is not enforced yet, so it is not accepted", a->word);
		bool option = a->word[0] == '-';
		if (option && a->kind != CTL_FLAG && ++i == argc)
			return ctl_misuse(cmd, "%s needs a value", a->word);
		int rc = word_take(&w, a, argv[i]);
		if (rc)
			return rc;
	}
	return words_end(c, &w);
}
