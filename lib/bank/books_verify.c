/* Verify: everything recomputed from the entries up, and the first thing that does not add up named. */
#include "base/first.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "bank/books_verify.h"
#include "base/log.h"

int verify_fault(struct verify *x, const char *fmt, ...)
{
	va_list ap;
	if (!verify_faulted(x)) {
		va_start(ap, fmt);
		vsnprintf(x->out->first_fault, sizeof x->out->first_fault, fmt, ap);
		va_end(ap);
	}
	return FARE_STORE_NONE;
}

int verify_result(struct verify *x, int r)
{
	if (r == FARE_STORE_BAD)
		verify_fault(x, "%s", fare_store_bad_text());
	if (r == FARE_STORE_FAILED)
		return r;
	return verify_faulted(x) ? FARE_STORE_NONE : FARE_STORE_OK;
}

static int call_one(void *arg, struct fare_id call_id, struct fare_place at)
{
	struct verify *x = arg;
	struct fare_entry e;
	char text[FARE_ID_TEXT_N];
	int r = fare_entry_get(&x->v, at, &e);
	if (r != FARE_STORE_OK && r != FARE_STORE_NONE)
		return r;
	if (r == FARE_STORE_OK && e.kind == FARE_KIND_CALL && fare_id_eq(e.call_id, call_id))
		return FARE_STORE_OK;
	fare_id_text(call_id, text);
	return verify_fault(x, "the index of calls leads from %s to entry %llu of account %llu, which is not that call", text, (unsigned long long)at.number, (unsigned long long)at.account);
}

static int ref_one(void *arg, uint64_t account, uint8_t kind, const char *ref, uint64_t number)
{
	struct verify *x = arg;
	struct fare_entry e;
	int r = fare_entry_get(&x->v, (struct fare_place){account, number}, &e);
	if (r != FARE_STORE_OK && r != FARE_STORE_NONE)
		return r;
	if (r == FARE_STORE_OK && e.kind == kind && strcmp(e.ref, ref) == 0)
		return FARE_STORE_OK;
	return verify_fault(x, "the index of refs leads from %.60s to entry %llu of account %llu, which has another", ref, (unsigned long long)number, (unsigned long long)account);
}

static int key_one(void *arg, const struct fare_key *k)
{
	struct verify *x = arg;
	struct fare_account a;
	uint64_t id;
	int r = fare_account_get(&x->v, k->account, &a);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "key %llu belongs to account %llu, which is not there", (unsigned long long)k->id, (unsigned long long)k->account);
	if (r == FARE_STORE_OK)
		r = fare_key_hash_get(&x->v, &k->hash, &id);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && id != k->id))
		return verify_fault(x, "key %llu is not found by its hash", (unsigned long long)k->id);
	return r;
}

/* A name or a hash that leads elsewhere would let somebody in. An account may be renamed while we look. */
static int name_one(void *arg, struct fare_span name, uint64_t account)
{
	struct verify *x = arg;
	struct fare_account a;
	char text[FARE_NAME_N] = "";
	uint64_t now = account;
	int r = fare_span_copy(name, text, sizeof text) ? FARE_STORE_OK : FARE_STORE_NONE;
	for (int look = 0; look < 2 && r == FARE_STORE_OK; look++) {
		r = fare_account_get(&x->v, account, &a);
		if (r == FARE_STORE_OK && account != 0 && strcmp(text, a.name) == 0)
			return FARE_STORE_OK;
		if (r == FARE_STORE_OK)
			r = fare_name_get(&x->v, text, &now);
		if (r == FARE_STORE_OK && now != account)
			return FARE_STORE_OK;
	}
	return r == FARE_STORE_OK || r == FARE_STORE_NONE ? verify_fault(x, "the name %s leads to account %llu, which has another", text, (unsigned long long)account) : r;
}

static int hash_one(void *arg, struct fare_span hash, uint64_t key)
{
	struct verify *x = arg;
	struct fare_key k;
	int r = fare_key_get(&x->v, key, &k);
	if (r == FARE_STORE_OK && fare_span_eq(hash, fare_span_at((const char *)k.hash.b, sizeof k.hash.b)))
		return FARE_STORE_OK;
	return r == FARE_STORE_OK || r == FARE_STORE_NONE ? verify_fault(x, "a hash leads to key %llu, which has another", (unsigned long long)key) : r;
}

static int model_one(void *arg, const struct fare_model *m)
{
	struct verify *x = arg;
	struct fare_provider p;
	int r = fare_provider_get(&x->v, m->provider, &p);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "price version %llu names provider %llu, which is not there", (unsigned long long)m->version, (unsigned long long)m->provider);
	return r;
}

/* Nothing rests on a story, but it must be readable. */
static int story_one(void *arg, const struct fare_story *s)
{
	(void)arg, (void)s;
	return FARE_STORE_OK;
}

int verify_indices(struct verify *x)
{
	int r = verify_result(x, fare_call_walk(&x->v, call_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_ref_walk(&x->v, ref_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_name_walk(&x->v, name_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_key_walk(&x->v, 0, key_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_key_hash_walk(&x->v, hash_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_model_walk(&x->v, 0, model_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_story_walk(&x->v, (struct fare_id){{0}}, story_one, x));
	return r;
}

bool fare_kept_seal_parse(struct fare_span text, struct fare_kept_seal *out)
{
	const char *colon = text.n ? memchr(text.p, ':', text.n) : NULL;
	size_t n = colon ? (size_t)(colon - text.p) : 0;
	return colon && fare_num_u64(fare_span_at(text.p, n), 1, INT64_MAX, &out->number) && fare_hash_parse(fare_span_at(colon + 1, text.n - n - 1), &out->hash);
}

int fare_books_verify(struct fare_books *b, struct fare_verify *out) { return fare_books_verify_kept(b, &(struct fare_kept_seal){.number = 0}, out); }

int fare_books_verify_kept(struct fare_books *b, const struct fare_kept_seal *kept, struct fare_verify *out)
{
	struct verify x = {.v = fare_view_plain(b->store), .out = out, .kept = *kept};
	memset(out, 0, sizeof *out);
	int r = fare_books_head_seal(b, &x.head);
	if (r == FARE_STORE_NONE)
		r = verify_fault(&x, "the head seal is not there");
	r = verify_result(&x, r);
	if (r == FARE_STORE_OK)
		r = verify_accounts(&x);
	if (r == FARE_STORE_OK)
		r = verify_seals(&x);
	if (r == FARE_STORE_OK)
		r = verify_indices(&x);
	if (r == FARE_STORE_OK)
		r = verify_replays(&x);
	if (r == FARE_STORE_OK)
		r = verify_stories(&x);
	free(x.models);
	verify_usage_release(&x.chain.usage);
	if (r == FARE_STORE_FAILED) {
		verify_fault(&x, "the store cannot be read: %s", fare_store_bad_text());
		return r;
	}
	out->ok = !verify_faulted(&x);
	if (!out->ok)
		fare_log(FARE_ALARM, "verify: %s", out->first_fault);
	return 0;
}
