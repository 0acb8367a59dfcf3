/* Entries and seals as JSON, and the lines that their hashes cover. */
#include "base/first.h"

#include <stdio.h>

#include "bank/books_inner.h"
#include "base/clock.h"
#include "base/log.h"

enum { LINES_MAX = 4096, LINES_USUAL = 1024 };

static const char *const kind_words[] = {
	[FARE_KIND_CALL] = "call", [FARE_KIND_CREDIT] = "credit", [FARE_KIND_DEBIT] = "debit", [FARE_KIND_CORRECTION] = "correction",
	[FARE_KIND_RERATE] = "rerate", [FARE_KIND_OUTAGE] = "outage", [FARE_KIND_RESTORED] = "restored",
};
static const struct { uint16_t bit; const char *word; } flag_words[] = {
	{FARE_ENTRY_ESTIMATED, "estimated"}, {FARE_ENTRY_CLAMPED, "clamped"}, {FARE_ENTRY_OVER_HOLD, "over_hold"},
};

const char *fare_kind_word(uint8_t kind) { return kind < FARE_ARRAY_N(kind_words) && kind_words[kind] ? kind_words[kind] : ""; }

/* Members are written with their comma in front; the opening brace comes with the first. */
static void name(struct fare_buf *out, const char *member)
{
	fare_buf_add_str(out, ",\"");
	fare_buf_add_str(out, member);
	fare_buf_add_str(out, "\":");
}

static void member_u64(struct fare_buf *out, const char *member, uint64_t v)
{
	name(out, member);
	fare_buf_add_u64(out, v);
}

static void member_text(struct fare_buf *out, const char *member, const char *text)
{
	name(out, member);
	fare_buf_add_json(out, fare_span_of(text));
}

static void member_id_or_null(struct fare_buf *out, const char *member, struct fare_id id)
{
	char text[FARE_ID_TEXT_N] = "";
	if (!fare_id_is_zero(id))
		fare_id_text(id, text);
	name(out, member);
	if (text[0])
		fare_buf_addf(out, "\"%s\"", text);
	else
		fare_buf_add_str(out, "null");
}

static void member_text_or_null(struct fare_buf *out, const char *member, const char *text)
{
	if (text[0])
		member_text(out, member, text);
	else {
		name(out, member);
		fare_buf_add_str(out, "null");
	}
}

static void member_u64_or_null(struct fare_buf *out, const char *member, uint64_t v)
{
	if (v > 0)
		member_u64(out, member, v);
	else {
		name(out, member);
		fare_buf_add_str(out, "null");
	}
}

static void member_amount(struct fare_buf *out, const char *member, struct fare_amount a)
{
	char text[FARE_AMOUNT_TEXT_N];
	fare_amount_text(a, text);
	member_text(out, member, text);
}

static void member_hash(struct fare_buf *out, const char *member, const struct fare_hash *h)
{
	char hex[FARE_HEX_HASH_N];
	fare_hash_hex(h, hex);
	member_text(out, member, hex);
}

static void member_time(struct fare_buf *out, const char *member, uint64_t ms)
{
	char text[FARE_TIME_TEXT_N];
	fare_clock_text(ms, text);
	member_text(out, member, text);
}

void fare_usage_json(const struct fare_usage *u, struct fare_buf *out)
{
	fare_buf_add_str(out, "{\"input_tokens\":");
	fare_buf_add_u64(out, u->input);
	member_u64(out, "output_tokens", u->output);
	member_u64(out, "cached_tokens", u->cached);
	member_u64(out, "cache_write_tokens", u->cache_write);
	member_u64(out, "reasoning_tokens", u->reasoning);
	fare_buf_add_char(out, '}');
}

static void member_usage(struct fare_buf *out, const struct fare_entry *e)
{
	name(out, "usage");
	if (e->kind == FARE_KIND_CALL)
		fare_usage_json(&e->usage, out);
	else
		fare_buf_add_str(out, "null");
}

void fare_flags_json(uint16_t flags, struct fare_buf *out)
{
	const char *comma = "";
	fare_buf_add_char(out, '[');
	for (size_t i = 0; i < FARE_ARRAY_N(flag_words); i++)
		if (flags & flag_words[i].bit) {
			fare_buf_addf(out, "%s\"%s\"", comma, flag_words[i].word);
			comma = ",";
		}
	fare_buf_add_char(out, ']');
}

void fare_entry_json(const struct fare_entry *e, const char *account, struct fare_buf *out)
{
	bool call = e->kind == FARE_KIND_CALL;
	fare_buf_add_char(out, '{');
	if (account) {
		fare_buf_add_str(out, "\"account\":");
		fare_buf_add_json(out, fare_span_of(account));
		fare_buf_add_char(out, ',');
	}
	fare_buf_add_str(out, "\"account_id\":");
	fare_buf_add_u64(out, e->account);
	member_u64(out, "number", e->number);
	member_text(out, "kind", fare_kind_word(e->kind));
	member_id_or_null(out, "call_id", e->call_id);
	member_u64_or_null(out, "key_id", e->key);
	member_amount(out, "amount", e->amount);
	member_amount(out, "balance", e->balance);
	if (call)
		member_amount(out, "hold", e->hold);
	else
		member_text_or_null(out, "hold", "");
	member_u64_or_null(out, "price_version", e->price_version);
	member_text_or_null(out, "model", e->model);
	member_usage(out, e);
	member_text_or_null(out, "ending", fare_ending_word((enum fare_ending)e->ending));
	name(out, "flags");
	fare_flags_json(e->flags, out);
	member_time(out, "time", e->time_ms);
	member_u64(out, "batch", e->batch);
	member_id_or_null(out, "corrects", e->corrects);
	member_text_or_null(out, "ref", e->ref);
	member_text_or_null(out, "note", e->note);
	member_hash(out, "prev", &e->prev);
	member_hash(out, "hash", &e->hash);
	fare_buf_add_char(out, '}');
}

void fare_seal_json(const struct fare_seal *s, struct fare_buf *out)
{
	fare_buf_add_str(out, "{\"kind\":\"seal\"");
	member_u64(out, "number", s->number);
	member_u64(out, "entries", s->entries);
	member_time(out, "time", s->time_ms);
	member_hash(out, "entries_hash", &s->entries_hash);
	member_u64(out, "total_entries", s->total_entries);
	member_amount(out, "total_credits", s->total_credits);
	member_amount(out, "total_debits", s->total_debits);
	member_hash(out, "prev", &s->prev);
	member_hash(out, "hash", &s->hash);
	fare_buf_add_char(out, '}');
}

static void line_text(struct fare_buf *out, const char *text)
{
	fare_buf_add_str(out, text);
	fare_buf_add_char(out, '\n');
}

static void line_u64(struct fare_buf *out, uint64_t v)
{
	fare_buf_add_u64(out, v);
	fare_buf_add_char(out, '\n');
}

static void line_u64_or_empty(struct fare_buf *out, uint64_t v)
{
	if (v > 0)
		fare_buf_add_u64(out, v);
	fare_buf_add_char(out, '\n');
}

static void line_amount(struct fare_buf *out, struct fare_amount a)
{
	char text[FARE_AMOUNT_TEXT_N];
	fare_amount_text(a, text);
	line_text(out, text);
}

static void line_id(struct fare_buf *out, struct fare_id id)
{
	char text[FARE_ID_TEXT_N] = "";
	if (!fare_id_is_zero(id))
		fare_id_text(id, text);
	line_text(out, text);
}

static void line_time(struct fare_buf *out, uint64_t ms)
{
	char text[FARE_TIME_TEXT_N];
	fare_clock_text(ms, text);
	line_text(out, text);
}

bool fare_hashes_add(struct fare_buf *hashes, const struct fare_hash *h)
{
	char hex[FARE_HEX_HASH_N];
	fare_hash_hex(h, hex);
	line_text(hashes, hex);
	return !hashes->failed;
}

static void line_usage(struct fare_buf *out, const struct fare_usage *u)
{
	const uint64_t figures[] = {u->input, u->output, u->cached, u->cache_write, u->reasoning};
	for (size_t i = 0; i < FARE_ARRAY_N(figures); i++) {
		fare_buf_add_u64(out, figures[i]);
		fare_buf_add_char(out, i + 1 < FARE_ARRAY_N(figures) ? ' ' : '\n');
	}
}

static void line_flags(struct fare_buf *out, uint16_t flags)
{
	const char *space = "";
	for (size_t i = 0; i < FARE_ARRAY_N(flag_words); i++)
		if (flags & flag_words[i].bit) {
			fare_buf_add_str(out, space);
			fare_buf_add_str(out, flag_words[i].word);
			space = " ";
		}
	fare_buf_add_char(out, '\n');
}

static void lines_hash(struct fare_buf *lines, struct fare_hash *out)
{
	FARE_ASSERT(!lines->failed);
	fare_sha256(lines->p, lines->n, out);
	fare_buf_release(lines);
}

void fare_entry_hash(const struct fare_entry *e, struct fare_hash *out)
{
	struct fare_buf k;
	bool call = e->kind == FARE_KIND_CALL;
	fare_buf_init(&k, LINES_MAX);
	fare_buf_reserve(&k, LINES_USUAL);
	line_text(&k, "farebox entry 1");
	line_u64(&k, e->account);
	line_u64(&k, e->number);
	line_text(&k, fare_kind_word(e->kind));
	line_id(&k, e->call_id);
	line_u64_or_empty(&k, e->key);
	line_amount(&k, e->amount);
	line_amount(&k, e->balance);
	if (call)
		line_amount(&k, e->hold);
	else
		line_text(&k, "");
	line_u64_or_empty(&k, e->price_version);
	line_text(&k, e->model);
	if (call)
		line_usage(&k, &e->usage);
	else
		line_text(&k, "");
	line_text(&k, fare_ending_word((enum fare_ending)e->ending));
	line_flags(&k, e->flags);
	line_time(&k, e->time_ms);
	line_u64(&k, e->batch);
	line_id(&k, e->corrects);
	line_text(&k, e->ref);
	line_text(&k, e->note);
	fare_hashes_add(&k, &e->prev);
	lines_hash(&k, out);
}

void fare_seal_hash(const struct fare_seal *s, struct fare_hash *out)
{
	struct fare_buf k;
	fare_buf_init(&k, LINES_MAX);
	fare_buf_reserve(&k, LINES_USUAL);
	line_text(&k, "farebox seal 1");
	line_u64(&k, s->number);
	line_u64(&k, s->entries);
	line_time(&k, s->time_ms);
	fare_hashes_add(&k, &s->entries_hash);
	line_u64(&k, s->total_entries);
	line_amount(&k, s->total_credits);
	line_amount(&k, s->total_debits);
	fare_hashes_add(&k, &s->prev);
	lines_hash(&k, out);
}
