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

static int model_one(void *arg, const struct fare_model *m)
{
	struct verify *x = arg;
	struct fare_provider p;
	int r = fare_provider_get(&x->v, m->provider, &p);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "price version %llu names provider %llu, which is not there", (unsigned long long)m->version, (unsigned long long)m->provider);
	return r;
}

int verify_indices(struct verify *x)
{
	int r = verify_result(x, fare_call_walk(&x->v, call_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_ref_walk(&x->v, ref_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_key_walk(&x->v, 0, key_one, x));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_model_walk(&x->v, 0, model_one, x));
	return r;
}

int fare_books_verify(struct fare_books *b, struct fare_verify *out)
{
	struct verify x = {.v = fare_view_plain(b->store), .out = out};
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
	free(x.models);
	verify_usage_release(&x.chain.usage);
	if (r == FARE_STORE_FAILED) {
		verify_fault(&x, "the store cannot be read: the log says why");
		return r;
	}
	out->ok = !verify_faulted(&x);
	if (!out->ok)
		fare_log(FARE_ALARM, "verify: %s", out->first_fault);
	return 0;
}
