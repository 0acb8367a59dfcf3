/* What is known of a call, read and written down. */
#include "base/first.h"

#include "bank/admission.h"
#include "bank/server_inner.h"
#include "bank/story.h"

static bool ended(const struct fare_call_facts *f) { return f->has_entry || f->story.state == FARE_STORY_ENDED; }
static bool refused(const struct fare_call_facts *f) { return f->story.state == FARE_STORY_REFUSED; }
static bool seen(const struct fare_call_facts *f) { return (f->story.flags & FARE_STORY_SEEN) != 0; }
static uint64_t account_of(const struct fare_call_facts *f) { return f->story.state ? f->story.account : f->entry.account; }
static uint64_t version_of(const struct fare_call_facts *f) { return f->story.state ? f->story.price_version : f->entry.price_version; }

uint64_t fare_call_facts_key(const struct fare_call_facts *f) { return f->story.state ? f->story.key : f->entry.key; }

/* What the store says goes before the memory of a refusal: a call that one bank refused may have been granted by the next. */
static int read_call(struct fare_books *b, struct fare_call_facts *f)
{
	struct fare_story s;
	int there = fare_books_find_story(b, f->call_id, &s);
	if (there > 0) {
		f->story = s;
		f->told_by = FARE_TOLD_BY_STORY;
	}
	if (there < 0 || refused(f))
		return there < 0 ? -1 : 0;
	there = fare_books_find_call(b, f->call_id, &f->entry);
	f->has_entry = there > 0;
	int replay = there > 0 ? fare_books_find_replay(b, f->call_id, &f->replay) : 0;
	f->has_replay = replay > 0;
	if (f->has_entry && !f->told_by)
		f->told_by = FARE_TOLD_BY_ENTRY;
	return there < 0 || replay < 0 ? -1 : 0;
}

int fare_call_facts_read(struct fare_books *b, struct fare_call_facts *f)
{
	int r = f->told_by == FARE_TOLD_BY_HOLD ? 0 : read_call(b, f);
	if (r != 0 || !f->told_by)
		return r;
	int account = fare_books_find_account(b, account_of(f), &f->account), model = fare_books_find_model(b, version_of(f), &f->model);
	int provider = model > 0 ? fare_books_find_provider(b, f->model.provider, &f->provider) : 0;
	f->has_account = account > 0 && account_of(f) > 0;
	f->has_model = model > 0;
	f->has_provider = provider > 0;
	return account < 0 || model < 0 || provider < 0 ? -1 : 0;
}

/* ---- Members; "there" false: null */

static bool is_there(struct fare_buf *out, const char *name, bool there)
{
	if (!there)
		fare_buf_addf(out, ", \"%s\": null", name);
	return there;
}

static void add_amount(struct fare_buf *out, const char *name, bool there, struct fare_amount a)
{
	if (is_there(out, name, there))
		fare_json_amount(out, name, a);
}

static void add_u64(struct fare_buf *out, const char *name, bool there, uint64_t v)
{
	if (is_there(out, name, there))
		fare_buf_addf(out, ", \"%s\": %llu", name, (unsigned long long)v);
}

static void add_text(struct fare_buf *out, const char *name, bool there, const char *text)
{
	if (is_there(out, name, there))
		fare_json_text_member(out, name, text);
}

static const char *model_of(const struct fare_call_facts *f) { return refused(f) ? f->story.model : f->has_model ? f->model.name : f->entry.model; }

static const char *state_of(const struct fare_call_facts *f)
{
	if (f->told_by == FARE_TOLD_BY_HOLD)
		return f->state;
	if (!f->told_by)
		return "unknown";
	return refused(f) ? "refused" : "ended";
}

/* As `calls` has it. */
static void add_call(const struct fare_call_facts *f, struct fare_buf *out)
{
	const struct fare_story *s = &f->story;
	char id[FARE_ID_TEXT_N];
	uint8_t ending = f->has_entry ? f->entry.ending : s->ending;
	fare_id_text(f->call_id, id);
	fare_buf_addf(out, "{\"call_id\": \"%s\"", id);
	add_text(out, "account", f->has_account, f->account.name);
	add_u64(out, "key_id", fare_call_facts_key(f) > 0, fare_call_facts_key(f));
	add_text(out, "model", *model_of(f), model_of(f));
	fare_json_text_member(out, "state", state_of(f));
	add_amount(out, "hold", f->has_entry || f->told_by == FARE_TOLD_BY_HOLD, f->has_entry ? f->entry.hold : f->hold);
	add_amount(out, "cost", ending != 0, f->has_entry ? fare_nano(-f->entry.amount.nano) : s->cost);
	add_text(out, "ending", ending != 0, fare_ending_word((enum fare_ending)ending));
	fare_json_time(out, "started", s->started_ms);
	fare_json_time(out, "ended", f->told_by == FARE_TOLD_BY_HOLD ? 0 : s->state ? s->ended_ms : f->entry.time_ms);
}

static void add_asked(const struct fare_call_facts *f, struct fare_buf *out)
{
	static const char *const told_by[] = {"nothing", "hold", "memory", "story", "entry"};
	static const char *const endpoints[] = {[FARE_CHAT] = "/v1/chat/completions", [FARE_COMPLETIONS] = "/v1/completions", [FARE_EMBEDDINGS] = "/v1/embeddings"};
	const struct fare_story *s = &f->story;
	const char *endpoint = s->endpoint < FARE_ARRAY_N(endpoints) ? endpoints[s->endpoint] : NULL;
	bool ours = (s->flags & FARE_STORY_BOUND_OURS) != 0, granted = s->state == FARE_STORY_ENDED && s->bound >= 0;
	fare_json_text_member(out, "told_by", told_by[f->told_by]);
	add_text(out, "endpoint", endpoint, endpoint);
	if (is_there(out, "stream", seen(f)))
		fare_buf_addf(out, ", \"stream\": %s", s->flags & FARE_STORY_STREAM ? "true" : "false");
	add_u64(out, "choices", seen(f), s->choices);
	add_u64(out, "prompt_bytes", seen(f), s->prompt_bytes);
	add_u64(out, "asked_max_tokens", s->state && !ours && s->bound >= 0, (uint64_t)s->bound);
	add_u64(out, "max_tokens", granted, (uint64_t)s->bound);
	add_text(out, "max_tokens_from", granted && (!ours || seen(f) || s->flags & FARE_STORY_LOWERED), !ours ? "caller" : s->flags & FARE_STORY_LOWERED ? "balance" : "default");
	add_amount(out, "first_hold", seen(f) && !refused(f), s->first_hold);
	add_amount(out, "available", seen(f) && s->account, s->available);
	add_amount(out, "pending", seen(f) && s->account, s->pending);
	add_amount(out, "credit_limit", seen(f) && s->account, s->credit_limit);
}

static void add_price(const struct fare_call_facts *f, struct fare_buf *out)
{
	const struct fare_price *p = &f->model.price;
	bool priced = f->has_model && f->model.priced;
	add_u64(out, "price_version", priced, version_of(f));
	if (!is_there(out, "price", priced))
		return;
	fare_buf_add_str(out, ", \"price\": {\"per\": \"million tokens\"");
	fare_json_amount(out, "input", fare_nano(p->input));
	fare_json_amount(out, "output", fare_nano(p->output));
	add_amount(out, "cache_read", p->cache_read >= 0, fare_nano(p->cache_read));
	add_amount(out, "cache_write", p->cache_write >= 0, fare_nano(p->cache_write));
	fare_json_amount(out, "per_call", fare_nano(p->per_call));
	fare_buf_add_char(out, '}');
}

static void add_upstream(const struct fare_call_facts *f, struct fare_buf *out)
{
	const struct fare_story *s = &f->story;
	bool tried = ended(f) && (f->has_entry ? f->entry.ending : s->ending) != FARE_NOT_SENT;
	add_text(out, "provider", tried && f->has_provider, f->provider.name);
	add_text(out, "upstream_model", tried && f->has_model, f->model.upstream[0] ? f->model.upstream : f->model.name);
	add_u64(out, "upstream_status", tried && s->status, s->status);
	add_u64(out, "received_bytes", f->told_by == FARE_TOLD_BY_HOLD, f->received);
	if (is_there(out, "usage", f->has_entry)) {
		fare_buf_add_str(out, ", \"usage\": ");
		fare_usage_json(&f->entry.usage, out);
	}
	if (is_there(out, "flags", f->has_entry)) {
		fare_buf_add_str(out, ", \"flags\": ");
		fare_flags_json(f->entry.flags, out);
	}
	add_u64(out, "entry", f->has_entry, f->entry.number);
	add_amount(out, "balance", f->has_entry, f->entry.balance);
	add_text(out, "idempotency", f->has_replay, f->replay.answer_n > 0 ? "kept" : "spent");
}

/* As callers are told it; "" of none. */
static const char *code_of(uint8_t refused)
{
	static const char *const codes[] = {
		[FARE_KEY_UNKNOWN] = "key_unknown", [FARE_KEY_EXPIRED] = "key_expired", [FARE_KEY_REVOKED_] = "key_revoked", [FARE_ACCOUNT_CLOSED] = "account_closed",
		[FARE_MODEL_NOT_ALLOWED] = "model_not_allowed", [FARE_IP_NOT_ALLOWED] = "ip_not_allowed", [FARE_MODEL_UNKNOWN] = "model_unknown", [FARE_MODEL_NOT_PRICED] = "model_not_priced",
		[FARE_BALANCE_TOO_LOW] = "balance_too_low", [FARE_BOUND_TOO_HIGH] = "bad_request", [FARE_OVERLOADED] = "overloaded", [FARE_IDEM_IN_FLIGHT] = "idempotency_in_flight",
		[FARE_IDEM_MISMATCH] = "idempotency_mismatch", [FARE_IDEM_SPENT] = "idempotency_spent", [FARE_IDEM_FULL] = "overloaded", [FARE_STORE_FULL] = "store_unavailable", [FARE_STORE_READ_ONLY] = "store_unavailable",
	};
	return refused < FARE_ARRAY_N(codes) && codes[refused] ? codes[refused] : "";
}

static void add_refusal(const struct fare_call_facts *f, struct fare_buf *out)
{
	const struct fare_story *s = &f->story;
	char earlier[FARE_ID_TEXT_N];
	bool no = refused(f), money = no && s->refused == FARE_BALANCE_TOO_LOW;
	const char *code = no ? code_of(s->refused) : "";
	struct fare_amount shortfall = fare_nano(0);
	if (money && !fare_amount_sub(s->needed, s->available, &shortfall))
		shortfall = fare_nano(INT64_MAX);
	fare_id_text(s->earlier, earlier);
	add_text(out, "code", *code, code);
	add_amount(out, "needed", money, s->needed);
	add_amount(out, "shortfall", money, shortfall.nano > 0 ? shortfall : fare_nano(0));
	add_u64(out, "affordable_max_tokens", money, s->affordable);
	add_u64(out, "model_max_tokens", no && s->refused == FARE_BOUND_TOO_HIGH, s->limit);
	add_text(out, "address", no && s->refused == FARE_IP_NOT_ALLOWED, s->ip);
	fare_json_time(out, "key_expires", no && s->refused == FARE_KEY_EXPIRED ? s->limit : 0);
	add_text(out, "earlier_call", no && !fare_id_is_zero(s->earlier), earlier);
}

void fare_call_facts_json(const struct fare_call_facts *f, struct fare_buf *out)
{
	add_call(f, out);
	add_asked(f, out);
	add_price(f, out);
	add_upstream(f, out);
	add_refusal(f, out);
	fare_buf_add_char(out, '}');
}
