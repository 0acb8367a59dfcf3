/* The decider's memory: accounts, keys, catalogue, workers; and how it is filled from store and holds. */
#include "base/first.h"

#include <stdlib.h>

#include "base/fault.h"
#include "base/log.h"
#include "bank/decider.h"

void fare_decider_init(struct fare_decider *d, const struct fare_decider_out *out)
{
	*d = (struct fare_decider){.out = *out, .default_max_tokens = 4096, .image_tokens = 1000, .idem_max = FARE_IDEM_MAX};
	d->idem_last = &d->idem_first;
	fare_map_init(&d->idems);
	fare_map_init(&d->account_names);
	fare_map_init(&d->key_hashes);
	fare_map_init(&d->provider_names);
	fare_map_init(&d->model_names);
}

static void index_release(struct fare_index *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->at[i]);
	free(x->at);
	*x = (struct fare_index){0};
}

void fare_decider_release(struct fare_decider *d)
{
	for (struct fare_worker *w = d->workers, *next; w; w = next) {
		next = w->next;
		free(w->memory);
		free(w);
	}
	fare_idem_release(d);
	fare_map_release(&d->account_names);
	fare_map_release(&d->key_hashes);
	fare_map_release(&d->provider_names);
	fare_map_release(&d->model_names);
	index_release(&d->accounts);
	index_release(&d->keys);
	index_release(&d->providers);
	index_release(&d->models);
	free(d->seen);
	free(d->refused);
	fare_holds_close(&d->holds);
}

void fare_decider_time(struct fare_decider *d, uint64_t wall_ms)
{
	enum { STEP_TOLD_MS = 1000 };
	bool behind = wall_ms < d->now_ms && d->now_ms - wall_ms > STEP_TOLD_MS;
	if (behind && !d->behind)
		fare_log(FARE_WARN, "the clock is %llu ms behind what it said before: time stands still until it has caught up", (unsigned long long)(d->now_ms - wall_ms));
	d->behind = behind;
	if (wall_ms > d->now_ms)
		d->now_ms = wall_ms;
}

static void *index_get(const struct fare_index *x, uint64_t id) { return id < x->n ? x->at[id] : NULL; }

/* Ids are given out one after the other, so an array by id stays dense. */
static void *index_make(struct fare_index *x, uint64_t id, size_t size, bool *made)
{
	if (id >= x->n) {
		size_t n = x->n ? x->n : 64;
		while (n <= id)
			n *= 2;
		x->at = fare_realloc(x->at, n * sizeof *x->at);
		memset(x->at + x->n, 0, (n - x->n) * sizeof *x->at);
		x->n = n;
	}
	*made = !x->at[id];
	if (*made)
		x->at[id] = fare_alloc(size);
	return x->at[id];
}

struct fare_acct *fare_decider_account(const struct fare_decider *d, uint64_t id) { return index_get(&d->accounts, id); }
struct fare_key *fare_decider_key(const struct fare_decider *d, uint64_t id) { return index_get(&d->keys, id); }
struct fare_provider *fare_decider_provider(const struct fare_decider *d, uint64_t id) { return index_get(&d->providers, id); }
struct fare_model *fare_decider_model(const struct fare_decider *d, uint64_t version) { return index_get(&d->models, version); }
struct fare_acct *fare_decider_account_named(const struct fare_decider *d, const char *name) { return fare_map_get(&d->account_names, fare_span_of(name)); }
struct fare_provider *fare_decider_provider_named(const struct fare_decider *d, const char *name) { return fare_map_get(&d->provider_names, fare_span_of(name)); }
struct fare_model *fare_decider_model_named(const struct fare_decider *d, const char *name) { return fare_map_get(&d->model_names, fare_span_of(name)); }

void fare_decider_put_account(struct fare_decider *d, const struct fare_account *rec)
{
	bool made;
	if (rec->id == 0)
		return; /* the house: outages */
	struct fare_acct *a = index_make(&d->accounts, rec->id, sizeof *a, &made);
	struct fare_account before = a->rec;
	a->rec = *rec;
	if (made) {
		d->account_count++;
		a->due = rec->low == FARE_LOW_DUE ? rec->falls : 0;
	} else { /* money moves by entries only */
		a->rec.balance = before.balance;
		a->rec.credits = before.credits;
		a->rec.debits = before.debits;
		a->rec.falls = before.falls; /* and what is being written of these is newer */
		a->rec.low = before.low;
		fare_map_remove(&d->account_names, fare_span_of(before.name));
	}
	fare_map_put(&d->account_names, fare_span_of(a->rec.name), a);
	if (!made)
		fare_decider_watch(d, a);
}

void fare_decider_put_key(struct fare_decider *d, const struct fare_key *rec)
{
	bool made;
	struct fare_key *k = index_make(&d->keys, rec->id, sizeof *k, &made);
	*k = *rec;
	if (made)
		d->key_count++;
	fare_map_put(&d->key_hashes, fare_span_at((const char *)k->hash.b, sizeof k->hash.b), k);
}

void fare_decider_put_provider(struct fare_decider *d, const struct fare_provider *rec)
{
	bool made;
	struct fare_provider *p = index_make(&d->providers, rec->id, sizeof *p, &made);
	if (!made && !p->removed)
		fare_map_remove(&d->provider_names, fare_span_of(p->name));
	*p = *rec;
	if (!p->removed)
		fare_map_put(&d->provider_names, fare_span_of(p->name), p);
	d->catalogue++;
}

void fare_decider_put_model(struct fare_decider *d, const struct fare_model *rec)
{
	bool made;
	struct fare_model *m = index_make(&d->models, rec->version, sizeof *m, &made);
	struct fare_model *offered = fare_map_get(&d->model_names, fare_span_of(rec->name));
	*m = *rec;
	/* The newest version is what counts: its price, or its removal. */
	if (!offered || offered->version <= m->version) {
		if (m->removed)
			fare_map_remove(&d->model_names, fare_span_of(m->name));
		else
			fare_map_put(&d->model_names, fare_span_of(m->name), m);
	}
	d->catalogue++;
}

uint64_t fare_decider_account_of(const struct fare_decider *d, const struct fare_hash *key)
{
	const struct fare_key *k = fare_map_get(&d->key_hashes, fare_span_at((const char *)key->b, sizeof key->b));
	return k ? k->account : 0;
}

struct fare_amount fare_decider_available(const struct fare_acct *a)
{
	__int128 sum = (__int128)a->rec.balance.nano - a->pending.nano + a->rec.credit_limit.nano;
	if (sum > INT64_MAX)
		sum = INT64_MAX;
	if (sum < INT64_MIN)
		sum = INT64_MIN;
	return fare_nano((int64_t)sum);
}

/* The writer refuses what would overflow; until it has, the sum stands at its end. */
static void add(struct fare_amount *to, int64_t nano)
{
	if (!fare_amount_add(*to, fare_nano(nano), to))
		to->nano = nano > 0 ? INT64_MAX : -INT64_MAX;
}

void fare_decider_charge(struct fare_acct *a, int64_t nano)
{
	add(&a->rec.balance, nano);
	if (nano >= 0)
		add(&a->rec.credits, nano);
	else
		add(&a->rec.debits, -nano);
}

void fare_decider_give_back(struct fare_acct *a, int64_t nano)
{
	add(&a->rec.balance, nano);
	add(&a->rec.debits, -nano);
}

struct fare_worker *fare_decider_worker(struct fare_decider *d, struct fare_id incarnation)
{
	for (struct fare_worker *w = d->workers; w; w = w->next)
		if (fare_id_eq(w->incarnation, incarnation))
			return w;
	return NULL;
}

static void worker_slots(struct fare_worker *w, uint32_t slots)
{
	if (slots <= w->slots)
		return;
	w->memory = fare_realloc(w->memory, slots * sizeof *w->memory);
	memset(w->memory + w->slots, 0, (slots - w->slots) * sizeof *w->memory);
	w->slots = slots;
}

static struct fare_worker *worker_make(struct fare_decider *d, struct fare_id incarnation, uint32_t no)
{
	struct fare_worker *w = fare_decider_worker(d, incarnation);
	if (w)
		return w;
	w = fare_alloc(sizeof *w);
	w->incarnation = incarnation;
	w->no = no;
	w->meter_fd = -1;
	w->next = d->workers;
	d->workers = w;
	return w;
}

void fare_decider_forget(struct fare_decider *d, struct fare_worker *w)
{
	struct fare_worker **p = &d->workers;
	while (*p != w)
		p = &(*p)->next;
	*p = w->next;
	free(w->memory);
	free(w);
}

static void recover_one(struct fare_decider *d, struct fare_hold *h)
{
	struct fare_acct *a = fare_decider_account(d, h->account);
	struct fare_worker *w = worker_make(d, h->incarnation, h->worker_no);
	worker_slots(w, h->slot + 1);
	struct fare_slot_memory *m = &w->memory[h->slot];
	bool live = atomic_load(&h->state) == FARE_HOLD_LIVE;
	/* A parked charge keeps its record; the slot's next call is what the slot is about. */
	if (m->known == FARE_SLOT_NONE || fare_id_cmp(m->last, h->call_id) < 0)
		*m = (struct fare_slot_memory){.last = h->call_id, .hold = h, .known = live ? FARE_SLOT_LIVE : FARE_SLOT_DECIDED};
	w->holds++;
	fare_idem_begin(d, h);
	if (!a)
		fare_log(FARE_ALARM, "a hold names account %llu, which is not there", (unsigned long long)h->account);
	if (live) {
		if (a)
			add(&a->pending, h->hold_nano);
		return;
	}
	/* R5: counted and posted at the price that was decided. */
	if (a)
		fare_decider_charge(a, -h->amount_nano);
	fare_decider_queue_charge(d, h);
}

bool fare_decider_recover(struct fare_decider *d, int (*has_entry)(void *ctx, struct fare_id call_id), void *ctx)
{
	fare_idem_sort(d);
	for (uint32_t i = 0; i < d->holds.count; i++) {
		struct fare_hold *h = &d->holds.records[i];
		if (atomic_load(&h->state) == FARE_HOLD_FREE)
			continue;
		int r = has_entry(ctx, h->call_id);
		if (r < 0)
			return false;
		if ((r > 0 && !fare_planted("ledger")) || h->slot >= FARE_SLOTS_MAX)
			fare_holds_free(&d->holds, h);
		else
			recover_one(d, h);
	}
	for (size_t i = 0; i < d->accounts.n; i++)
		if (d->accounts.at[i])
			fare_decider_watch(d, d->accounts.at[i]);
	return true;
}

/* A hold that a hello does not list never happens under the rules. */
static void check_listed(struct fare_decider *d, struct fare_worker *w, const struct fare_hello *h)
{
	struct fare_id *listed = fare_alloc(w->slots * sizeof *listed);
	for (uint32_t i = 0; i < h->count; i++)
		listed[h->listed[i].slot] = h->listed[i].call_id;
	for (uint32_t s = 0; s < w->slots; s++) {
		if (w->memory[s].known != FARE_SLOT_LIVE || fare_id_eq(w->memory[s].last, listed[s]))
			continue;
		fare_log(FARE_ALARM, "worker %u does not list the call in its slot %u: ended by its meter", w->no, s);
		fare_decider_decide(d, w, w->memory[s].hold);
	}
	free(listed);
}

struct fare_worker *fare_decider_hello(struct fare_decider *d, const struct fare_hello *h)
{
	struct fare_worker *w = worker_make(d, h->incarnation, h->worker_no);
	if (w->dead && !fare_planted("r4"))
		return NULL;
	worker_slots(w, h->slots);
	w->pid = h->pid;
	check_listed(d, w, h);
	return w;
}
