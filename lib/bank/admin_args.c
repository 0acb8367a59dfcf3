/* Members of a request, checked; and what records are made of. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "bank/server_inner.h"

enum { TEXT_MAX = 4096 };

void fare_arg_wrong(struct fare_admin *c, const char *fmt, ...)
{
	va_list ap;
	if (c->bad)
		return;
	c->bad = true;
	va_start(ap, fmt);
	vsnprintf(c->error, sizeof c->error, fmt, ap);
	va_end(ap);
}

static const struct fare_json_node *member(const struct fare_admin *c, const char *name) { return fare_json_member(&c->json, fare_json_root(&c->json), name); }

bool fare_arg_is_there(const struct fare_admin *c, const char *name) { return member(c, name) != NULL; }

bool fare_arg_text(struct fare_admin *c, const char *name, char *out, size_t size, bool needed)
{
	const struct fare_json_node *n = member(c, name);
	struct fare_buf text;
	out[0] = '\0';
	if (!n) {
		if (needed)
			fare_arg_wrong(c, "%s is missing", name);
		return false;
	}
	fare_buf_init(&text, TEXT_MAX);
	bool ok = fare_json_string(&c->json, n, &text) && fare_span_copy(fare_buf_span(&text), out, size);
	fare_buf_release(&text);
	if (!ok)
		fare_arg_wrong(c, "%s must be text of at most %zu bytes", name, size - 1);
	else if (needed && !out[0])
		fare_arg_wrong(c, "%s is empty", name);
	return ok;
}

uint64_t fare_arg_u64(struct fare_admin *c, const char *name, uint64_t max, bool needed)
{
	const struct fare_json_node *n = member(c, name);
	int64_t v = 0;
	if (!n && needed)
		fare_arg_wrong(c, "%s is missing", name);
	if (n && !fare_json_i64(&c->json, n, 0, (int64_t)max, &v))
		fare_arg_wrong(c, "%s must be a whole number from 0 to %llu", name, (unsigned long long)max);
	return (uint64_t)v;
}

bool fare_arg_amount(struct fare_admin *c, const char *name, struct fare_amount *out, bool needed)
{
	char text[64];
	if (!fare_arg_text(c, name, text, sizeof text, needed))
		return false;
	if (fare_amount_parse(fare_span_of(text), out))
		return true;
	fare_arg_wrong(c, "%s: %.40s is no amount with at most nine decimals", name, text);
	return false;
}

bool fare_arg_true(struct fare_admin *c, const char *name)
{
	const struct fare_json_node *n = member(c, name);
	if (n && n->kind != FARE_JSON_TRUE && n->kind != FARE_JSON_FALSE)
		fare_arg_wrong(c, "%s must be true or false", name);
	return n && n->kind == FARE_JSON_TRUE;
}

bool fare_arg_time(struct fare_admin *c, const char *name, uint64_t *ms, bool past)
{
	const struct fare_json_node *n = member(c, name);
	char text[64];
	if (!n || n->kind == FARE_JSON_NULL || !fare_arg_text(c, name, text, sizeof text, true))
		return false;
	if (fare_clock_parse_when(fare_span_of(text), c->bank->d.now_ms, past, ms))
		return true;
	fare_arg_wrong(c, "%s: %.40s is no time (RFC 3339, or like 30d, 12h)", name, text);
	return false;
}

struct fare_acct *fare_arg_account(struct fare_admin *c, const char *name)
{
	char text[FARE_NAME_N];
	if (!fare_arg_text(c, name, text, sizeof text, true))
		return NULL;
	struct fare_acct *a = fare_decider_account_named(&c->bank->d, text);
	if (!a)
		fare_arg_wrong(c, "no account %s", text);
	return a;
}

void fare_json_amount(struct fare_buf *out, const char *name, struct fare_amount a)
{
	char text[FARE_AMOUNT_TEXT_N];
	fare_amount_text(a, text);
	fare_buf_addf(out, ", \"%s\": \"%s\"", name, text);
}

void fare_json_text_member(struct fare_buf *out, const char *name, const char *text)
{
	fare_buf_addf(out, ", \"%s\": ", name);
	fare_buf_add_json(out, fare_span_of(text));
}

void fare_json_time(struct fare_buf *out, const char *name, uint64_t ms)
{
	char text[FARE_TIME_TEXT_N];
	if (ms == 0) {
		fare_buf_addf(out, ", \"%s\": null", name);
		return;
	}
	fare_clock_text(ms, text);
	fare_buf_addf(out, ", \"%s\": \"%s\"", name, text);
}
