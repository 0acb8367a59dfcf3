/* Admission: may this call run, and what is held for it. */
#include "base/first.h"

#include "base/fault.h"
#include "base/log.h"
#include "bank/decider.h"
#include "bank/match.h"

enum { BYTES_PER_TOKEN_HELD = 2 };
#define TOKENS_MAX ((uint64_t)1 << FARE_TOKENS_MAX_LOG2)

static bool refuse(struct fare_admit_answer *answer, enum fare_refused code)
{
	answer->granted = false;
	answer->refused = (uint8_t)code;
	return false;
}

/* Who is it, and may he come in at all? */
bool fare_decider_look(const struct fare_decider *d, const struct fare_admit *ask, struct fare_acct **a, struct fare_key **k, struct fare_admit_answer *answer)
{
	*k = fare_map_get(&d->key_hashes, fare_span_at((const char *)ask->key.b, sizeof ask->key.b));
	*a = *k ? fare_decider_account(d, (*k)->account) : NULL;
	if (!*a)
		return refuse(answer, FARE_KEY_UNKNOWN);
	if ((*k)->state != FARE_KEY_LIVE)
		return refuse(answer, FARE_KEY_REVOKED_);
	if ((*k)->expires_ms && (*k)->expires_ms <= d->now_ms)
		return refuse(answer, FARE_KEY_EXPIRED);
	if ((*a)->rec.closed)
		return refuse(answer, FARE_ACCOUNT_CLOSED);
	if (!fare_match_cidrs((*k)->ip[0] ? (*k)->ip : (*a)->rec.default_ip, ask->ip))
		return refuse(answer, FARE_IP_NOT_ALLOWED);
	return true;
}

static bool look_for_model(const struct fare_decider *d, const struct fare_admit *ask, const struct fare_acct *a, const struct fare_key *k, struct fare_model **m, struct fare_provider **p, struct fare_admit_answer *answer)
{
	*m = fare_decider_model_named(d, ask->model);
	*p = *m ? fare_decider_provider(d, (*m)->provider) : NULL;
	if (!*p || (*p)->removed)
		return refuse(answer, FARE_MODEL_UNKNOWN);
	if (!fare_match_globs(k->models[0] ? k->models : a->rec.default_models, ask->model))
		return refuse(answer, FARE_MODEL_NOT_ALLOWED);
	if (!(*m)->priced)
		return refuse(answer, FARE_MODEL_NOT_PRICED);
	return true;
}

/* What the prompt may come to: no more than the model can take in. */
static uint64_t input_tokens(const struct fare_decider *d, const struct fare_admit *ask, const struct fare_model *m)
{
	uint64_t n = ask->prompt_bytes / BYTES_PER_TOKEN_HELD + (ask->prompt_bytes % BYTES_PER_TOKEN_HELD != 0);
	uint64_t images;
	if (__builtin_mul_overflow((uint64_t)ask->images, d->image_tokens, &images) || __builtin_add_overflow(n, images, &n) || n > TOKENS_MAX)
		n = TOKENS_MAX;
	return m->context && n > m->context ? m->context : n;
}

/* Of a call that names none. */
static uint64_t own_bound(const struct fare_decider *d, const struct fare_acct *a, const struct fare_model *m)
{
	uint64_t ours = a->rec.default_max_tokens ? a->rec.default_max_tokens : d->default_max_tokens;
	uint64_t limit = m->max_output ? m->max_output : TOKENS_MAX;
	return ours > limit ? limit : ours;
}

/* The caller's bound stays as it is or is refused; ours comes down to what the balance affords, but not below 16. */
static bool settle_bound(const struct fare_decider *d, const struct fare_admit *ask, const struct fare_acct *a, const struct fare_model *m, uint64_t affordable, struct fare_admit_answer *answer, uint64_t *bound)
{
	struct fare_grant *g = &answer->grant;
	uint64_t limit = m->max_output ? m->max_output : TOKENS_MAX;
	if (ask->endpoint == FARE_EMBEDDINGS) {
		g->bound = FARE_NO_BOUND;
		*bound = 0;
		return true;
	}
	g->bound_ours = ask->bound == FARE_NO_BOUND;
	if (!g->bound_ours && (ask->bound < 0 || (uint64_t)ask->bound > limit)) {
		answer->numbers.limit = limit;
		return refuse(answer, FARE_BOUND_TOO_HIGH);
	}
	*bound = g->bound_ours ? own_bound(d, a, m) : (uint64_t)ask->bound;
	g->bound_lowered = g->bound_ours && *bound > affordable && affordable >= FARE_BOUND_LEAST;
	if (g->bound_lowered)
		*bound = affordable;
	g->bound = (int64_t)*bound;
	return true;
}

/* Output tokens per choice that are held for at first: all of the bound, but of a stream that is seen as it runs. Not below 16: less is refused. */
static uint64_t first_output(const struct fare_admit *ask, const struct fare_model *m, uint64_t bound, uint64_t affordable)
{
	uint64_t least = bound < FARE_BOUND_LEAST ? bound : FARE_BOUND_LEAST, first = m->stream_hold;
	if (!ask->stream || !ask->extends || ask->endpoint == FARE_EMBEDDINGS || first == 0 || first >= bound)
		return bound;
	first = first < affordable ? first : affordable;
	return first > least ? first : least;
}

static bool price_call(const struct fare_decider *d, const struct fare_admit *ask, const struct fare_acct *a, const struct fare_model *m, struct fare_admit_answer *answer)
{
	uint64_t input = input_tokens(d, ask, m), bound, choices = ask->endpoint == FARE_EMBEDDINGS ? 1 : ask->choices;
	struct fare_amount available = fare_decider_available(a), hold, pending;
	if (fare_planted("spent_twice"))
		available = a->rec.balance;
	uint64_t affordable = fare_price_affordable(&m->price, input, choices, available);
	if (!settle_bound(d, ask, a, m, affordable, answer, &bound))
		return false;
	uint64_t first = first_output(ask, m, bound, affordable);
	if (!fare_price_hold(&m->price, input, first, choices, &hold))
		hold = fare_nano(INT64_MAX);
	/* What all its calls hold must stay within 64 bits, too, whatever limit it was given. */
	if (available.nano < hold.nano || !fare_amount_add(a->pending, hold, &pending)) {
		answer->numbers = (struct fare_refusal_numbers){.available = available, .needed = hold, .price = m->price, .affordable = affordable};
		return refuse(answer, FARE_BALANCE_TOO_LOW);
	}
	answer->grant.hold = hold;
	answer->grant.held_output = first < bound ? first : 0;
	answer->grant.max_input = m->context;
	answer->grant.max_output = ask->endpoint == FARE_EMBEDDINGS ? 0 : bound * choices;
	return true;
}

/* What a grant says beside the hold: also when a grant is said again, from the hold's record. */
static void fill_grant(const struct fare_decider *d, const struct fare_model *m, struct fare_grant *g)
{
	const struct fare_provider *p = fare_decider_provider(d, m->provider);
	g->price_version = m->version;
	g->price = m->price;
	g->bound_field = m->bound_field;
	memcpy(g->upstream_model, m->upstream[0] ? m->upstream : m->name, sizeof g->upstream_model);
	if (!p)
		return;
	g->style = p->style;
	memcpy(g->provider, p->name, sizeof g->provider);
	memcpy(g->base_url, p->base_url, sizeof g->base_url);
	memcpy(g->key_file, p->key_file, sizeof g->key_file);
	memcpy(g->key_env, p->key_env, sizeof g->key_env);
}

static void write_hold(struct fare_decider *d, struct fare_worker *w, uint16_t slot, const struct fare_admit *ask, const struct fare_grant *g, const struct fare_model *m, struct fare_hold *h)
{
	h->call_id = ask->call_id;
	h->incarnation = w->incarnation;
	h->worker_no = w->no;
	h->slot = slot;
	h->account = g->account_id;
	h->key = g->key_id;
	h->price_version = g->price_version;
	h->started_ms = d->now_ms;
	h->hold_nano = g->hold.nano;
	h->bound = g->bound;
	h->bound_ours = g->bound_ours | (uint64_t)g->bound_lowered << 1;
	h->max_input = g->max_input;
	h->max_output = g->max_output;
	h->amount_nano = 0;
	h->ending = h->flags = 0;
	h->usage = (struct fare_usage){0};
	h->idem = ask->idem;
	memcpy(h->body, ask->body, sizeof h->body);
	h->held_output = g->held_output;
	h->input_tokens = input_tokens(d, ask, m);
	h->choices = ask->choices;
	fare_holds_write_live(h);
	fare_idem_begin(d, h);
}

static bool grant(struct fare_decider *d, struct fare_worker *w, uint16_t slot, const struct fare_admit *ask, struct fare_acct *a, const struct fare_key *k, const struct fare_model *m,
	struct fare_admit_answer *answer)
{
	struct fare_hold *h = d->room == FARE_ROOM_GOOD ? fare_holds_take(&d->holds) : NULL;
	if (!h) {
		*answer = (struct fare_admit_answer){0};
		return refuse(answer, d->room == FARE_ROOM_FULL ? FARE_STORE_FULL : d->room == FARE_ROOM_READ_ONLY ? FARE_STORE_READ_ONLY : FARE_OVERLOADED);
	}
	answer->granted = true;
	answer->grant.key_id = k->id;
	answer->grant.account_id = a->rec.id;
	fill_grant(d, m, &answer->grant);
	if (fare_fault("bank_before_hold"))
		fare_log(FARE_WARN, "fault bank_before_hold");
	write_hold(d, w, slot, ask, &answer->grant, m, h);
	a->pending.nano += h->hold_nano; /* no overflow: price_call has looked */
	w->holds++;
	w->memory[slot] = (struct fare_slot_memory){.last = ask->call_id, .known = FARE_SLOT_LIVE, .hold = h};
	if (fare_fault("bank_after_hold"))
		fare_log(FARE_WARN, "fault bank_after_hold");
	return true;
}

static void admit_new(struct fare_decider *d, struct fare_worker *w, uint16_t slot, const struct fare_admit *ask)
{
	struct fare_admit_answer answer = {0};
	struct fare_acct *a;
	struct fare_key *k;
	struct fare_model *m = NULL;
	struct fare_provider *p;
	bool ok = fare_decider_look(d, ask, &a, &k, &answer) && look_for_model(d, ask, a, k, &m, &p, &answer) && fare_idem_judge(d, a->rec.id, ask, &answer) &&
	          price_call(d, ask, a, m, &answer) && grant(d, w, slot, ask, a, k, m, &answer);
	if (ok)
		fare_decider_granted(d, w->memory[slot].hold, ask, a);
	else
		fare_decider_refused(d, ask, a, k, m, &answer);
	if (!ok && !fare_planted("r8"))
		w->memory[slot] = (struct fare_slot_memory){.last = ask->call_id, .known = FARE_SLOT_REFUSED, .refused = answer.refused, .numbers = answer.numbers};
	d->out.tell(d->out.ctx, w, ok ? FARE_MSG_GRANT : FARE_MSG_REFUSE, slot, ask->call_id, &answer);
}

static void grant_again(struct fare_decider *d, struct fare_worker *w, uint16_t slot, const struct fare_hold *h)
{
	const struct fare_model *m = fare_decider_model(d, h->price_version);
	struct fare_admit_answer answer = {.granted = true,
		.grant = {.hold = fare_nano(h->hold_nano), .bound = h->bound, .bound_ours = h->bound_ours != 0, .bound_lowered = h->bound_ours & 2, .held_output = h->held_output, .key_id = h->key, .account_id = h->account,
			.max_input = h->max_input, .max_output = h->max_output}};
	if (m)
		fill_grant(d, m, &answer.grant);
	d->out.tell(d->out.ctx, w, FARE_MSG_GRANT, slot, h->call_id, &answer);
}

void fare_decider_admit(struct fare_decider *d, struct fare_worker *w, uint16_t slot, const struct fare_admit *ask)
{
	struct fare_slot_memory *m = &w->memory[slot];
	int order = fare_id_cmp(ask->call_id, m->last);
	if (order == 0 && m->known != FARE_SLOT_NONE) {
		struct fare_admit_answer again = {.refused = m->refused, .numbers = m->numbers};
		if (m->known == FARE_SLOT_LIVE)
			grant_again(d, w, slot, m->hold);
		else if (m->known == FARE_SLOT_REFUSED)
			d->out.tell(d->out.ctx, w, FARE_MSG_REFUSE, slot, ask->call_id, &again);
		else if (m->known == FARE_SLOT_ENDED)
			d->out.tell(d->out.ctx, w, FARE_MSG_ACK, slot, ask->call_id, NULL);
		return; /* R7: decided or looked for: answered when durable */
	}
	bool busy = m->known == FARE_SLOT_LIVE || m->known == FARE_SLOT_DECIDED || m->known == FARE_SLOT_LOOKING;
	if (order < 0 || busy) {
		struct fare_admit_answer old = {.refused = FARE_CALL_ENDED};
		if (busy)
			fare_log(FARE_ALARM, "worker %u asks for a call in slot %u, where another one has not ended", w->no, slot);
		d->out.tell(d->out.ctx, w, FARE_MSG_REFUSE, slot, ask->call_id, &old);
		return;
	}
	admit_new(d, w, slot, ask);
}

void fare_decider_check(struct fare_decider *d, struct fare_worker *w, const struct fare_admit *ask)
{
	struct fare_admit_answer answer = {0};
	struct fare_acct *a;
	struct fare_key *k;
	if (fare_decider_look(d, ask, &a, &k, &answer)) {
		answer.granted = true;
		answer.grant.key_id = k->id;
		answer.grant.account_id = a->rec.id;
	}
	d->out.tell(d->out.ctx, w, FARE_MSG_CHECKED, 0, ask->call_id, &answer);
}
