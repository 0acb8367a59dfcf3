/* Idempotency-Keys: the first call with one wins, and nobody pays twice for it. In memory; holds and the store's replay records fill it again. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "bank/decider.h"

static bool is_none(const struct fare_hash *idem)
{
	static const struct fare_hash none;
	return memcmp(idem, &none, sizeof none) == 0;
}

static void key_of(uint64_t account, const struct fare_hash *idem, uint8_t key[FARE_IDEM_N])
{
	fare_put_u64(key, account);
	memcpy(key + 8, idem->b, sizeof idem->b);
}

static struct fare_span span_of(const uint8_t key[FARE_IDEM_N]) { return fare_span_at((const char *)key, FARE_IDEM_N); }

static struct fare_idem *find(const struct fare_decider *d, uint64_t account, const struct fare_hash *idem)
{
	uint8_t key[FARE_IDEM_N];
	key_of(account, idem, key);
	return fare_map_get(&d->idems, span_of(key));
}

static struct fare_idem *make(struct fare_decider *d, uint64_t account, const struct fare_hash *idem, const uint8_t body[FARE_BODY_DIGEST_N], struct fare_id call_id)
{
	struct fare_idem *i = fare_alloc(sizeof *i);
	key_of(account, idem, i->key);
	memcpy(i->body, body, sizeof i->body);
	i->call_id = call_id;
	d->idem_count++;
	return i;
}

/* Those that ended stand in the order of their ends. */
static void append(struct fare_decider *d, struct fare_idem *i)
{
	i->next = NULL;
	i->prev = d->idem_last;
	*d->idem_last = i;
	d->idem_last = &i->next;
}

static void take_out(struct fare_decider *d, struct fare_idem *i)
{
	*i->prev = i->next;
	if (i->next)
		i->next->prev = i->prev;
	else if (d->idem_last == &i->next)
		d->idem_last = i->prev;
}

static void drop(struct fare_decider *d, struct fare_idem *i)
{
	take_out(d, i);
	if (fare_map_get(&d->idems, span_of(i->key)) == i) /* else its key was used anew */
		fare_map_remove(&d->idems, span_of(i->key));
	d->idem_count--;
	free(i);
}

static bool is_old(const struct fare_decider *d, const struct fare_idem *i) { return d->now_ms >= i->ended_ms && d->now_ms - i->ended_ms >= FARE_IDEM_KEEP_MS; }

bool fare_idem_judge(const struct fare_decider *d, uint64_t account, const struct fare_admit *ask, struct fare_admit_answer *answer)
{
	if (is_none(&ask->idem))
		return true;
	const struct fare_idem *i = find(d, account, &ask->idem);
	if (!i || (!i->hold && is_old(d, i))) {
		if (d->idem_count < d->idem_max)
			return true;
		answer->refused = FARE_IDEM_FULL;
		return false;
	}
	answer->numbers.earlier = i->call_id;
	if (memcmp(i->body, ask->body, sizeof i->body) != 0) {
		answer->refused = FARE_IDEM_MISMATCH;
	} else if (i->hold) {
		answer->refused = FARE_IDEM_IN_FLIGHT;
	} else {
		answer->refused = i->stored ? FARE_IDEM_REPLAY : FARE_IDEM_SPENT;
		answer->numbers.cost = i->cost;
	}
	return false;
}

void fare_idem_begin(struct fare_decider *d, struct fare_hold *h)
{
	if (is_none(&h->idem))
		return;
	struct fare_idem *i = make(d, h->account, &h->idem, h->body, h->call_id);
	i->hold = h;
	i->next = d->idem_running;
	i->prev = &d->idem_running;
	if (i->next)
		i->next->prev = &i->next;
	d->idem_running = i;
	fare_map_put(&d->idems, span_of(i->key), i);
}

static struct fare_idem *running(const struct fare_decider *d, const struct fare_hold *h)
{
	struct fare_idem *i = is_none(&h->idem) ? NULL : find(d, h->account, &h->idem);
	return i && i->hold == h ? i : NULL;
}

void fare_idem_forget(struct fare_decider *d, const struct fare_hold *h)
{
	struct fare_idem *i = running(d, h);
	if (i)
		drop(d, i);
}

void fare_idem_end(struct fare_decider *d, const struct fare_hold *h, struct fare_amount cost, uint64_t ended_ms, uint32_t stored)
{
	struct fare_idem *i = running(d, h);
	if (!i)
		return;
	if (cost.nano == 0) { /* nothing was bought: the caller may try again */
		drop(d, i);
		return;
	}
	take_out(d, i);
	i->hold = NULL;
	i->cost = cost;
	i->ended_ms = ended_ms;
	i->stored = stored;
	append(d, i);
}

/* Two of one key: the later one counts. */
void fare_decider_put_replay(struct fare_decider *d, const struct fare_replay *r)
{
	const struct fare_idem *other = find(d, r->account, &r->idem);
	struct fare_idem *i = make(d, r->account, &r->idem, r->body, r->call_id);
	i->cost = r->cost;
	i->ended_ms = r->ended_ms;
	i->stored = r->answer_n;
	append(d, i);
	if (!other || other->ended_ms <= i->ended_ms)
		fare_map_put(&d->idems, span_of(i->key), i);
}

static int by_end(const void *a, const void *b)
{
	const struct fare_idem *x = *(struct fare_idem *const *)a, *y = *(struct fare_idem *const *)b;
	return x->ended_ms < y->ended_ms ? -1 : x->ended_ms > y->ended_ms;
}

/* The store has them by call id, which tells when they began. */
void fare_idem_sort(struct fare_decider *d)
{
	size_t n = 0;
	struct fare_idem **all = fare_alloc((d->idem_count + 1) * sizeof *all);
	for (struct fare_idem *i = d->idem_first; i; i = i->next)
		all[n++] = i;
	qsort(all, n, sizeof *all, by_end);
	d->idem_first = NULL;
	d->idem_last = &d->idem_first;
	for (size_t k = 0; k < n; k++)
		append(d, all[k]);
	free(all);
}

/*
 * A bank that is killed before the operation is durable finds the records again. What goes is logged with all its bytes: the reserve is not for that, and charges must not
 * queue behind more of it than one round, however slow the disk.
 */
void fare_decider_forget_keys(struct fare_decider *d)
{
	size_t bytes = 0;
	if (d->forgetting || d->room != FARE_ROOM_GOOD)
		return;
	for (unsigned n = 0; n < FARE_FORGET_OPS && bytes < FARE_FORGET_BYTES && d->idem_first && is_old(d, d->idem_first); n++) {
		struct fare_job *job = fare_alloc(sizeof *job);
		job->what = FARE_JOB_OP;
		job->op.type = FARE_OP_FORGET;
		job->patient = true;
		while (job->op.u.forget.count < FARE_FORGET_MAX && bytes < FARE_FORGET_BYTES && d->idem_first && is_old(d, d->idem_first)) {
			job->op.u.forget.calls[job->op.u.forget.count++] = d->idem_first->call_id;
			bytes += d->idem_first->stored;
			drop(d, d->idem_first);
		}
		d->forgetting++;
		fare_decider_queue(d, job);
	}
}

void fare_idem_release(struct fare_decider *d)
{
	for (struct fare_idem *i = d->idem_running, *next; i; i = next) {
		next = i->next;
		free(i);
	}
	for (struct fare_idem *i = d->idem_first, *next; i; i = next) {
		next = i->next;
		free(i);
	}
	fare_map_release(&d->idems);
}
