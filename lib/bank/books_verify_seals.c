/* Verify: seals, and the entries of each batch in order, up to the head there was at the start. */
#include "base/first.h"

#include "bank/books_verify.h"

struct sealing {
	struct verify *x;
	struct fare_seal sum;   /* what the seal of the batch being read must say, so far */
	struct fare_buf hashes; /* of the batch's entries */
};

static bool same_hash(const struct fare_hash *a, const struct fare_hash *b) { return memcmp(a->b, b->b, sizeof a->b) == 0; }

/* The batch sum.number is complete: judges its seal. */
static int check_seal(struct sealing *s)
{
	struct verify *x = s->x;
	struct fare_seal seal;
	struct fare_hash h;
	unsigned long long number = (unsigned long long)s->sum.number;
	int r = fare_seal_get(&x->v, s->sum.number, &seal);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "seal %llu is not there", number);
	if (r != FARE_STORE_OK)
		return r;
	fare_seal_hash(&seal, &h);
	if (!same_hash(&h, &seal.hash))
		return verify_fault(x, "seal %llu: its hash is not that of what it says", number);
	if (!same_hash(&seal.prev, &s->sum.hash))
		return verify_fault(x, "seal %llu: does not name the hash of the seal before it", number);
	if (seal.entries != s->sum.entries || seal.entries == 0)
		return verify_fault(x, "seal %llu: has %llu entries, its batch %llu", number, (unsigned long long)seal.entries, (unsigned long long)s->sum.entries);
	fare_sha256(s->hashes.p, s->hashes.n, &h);
	if (!same_hash(&h, &seal.entries_hash))
		return verify_fault(x, "seal %llu: its batch holds other entries than were sealed", number);
	if (seal.time_ms != s->sum.time_ms || seal.total_entries != s->sum.total_entries || seal.total_credits.nano != s->sum.total_credits.nano || seal.total_debits.nano != s->sum.total_debits.nano)
		return verify_fault(x, "seal %llu: its time or totals are not those of the entries up to it", number);
	x->out->seals++;
	s->sum = seal;
	s->sum.number++;
	s->sum.entries = 0;
	fare_buf_reset(&s->hashes);
	return FARE_STORE_OK;
}

static int check_place(void *arg, uint64_t batch, uint32_t position, struct fare_place at)
{
	struct sealing *s = arg;
	struct verify *x = s->x;
	struct fare_entry e;
	int r = FARE_STORE_OK;
	if (batch > x->head.number)
		return FARE_STORE_NONE;
	while (r == FARE_STORE_OK && s->sum.number < batch)
		r = check_seal(s);
	if (r != FARE_STORE_OK)
		return r;
	if (batch < s->sum.number || position != s->sum.entries)
		return verify_fault(x, "batch %llu: entry %llu is not there", (unsigned long long)s->sum.number, (unsigned long long)s->sum.entries);
	r = fare_entry_get(&x->v, at, &e);
	if (r == FARE_STORE_NONE || (r == FARE_STORE_OK && e.batch != batch))
		return verify_fault(x, "batch %llu: entry %llu of account %llu is not there or of another batch", (unsigned long long)batch, (unsigned long long)at.number, (unsigned long long)at.account);
	if (r != FARE_STORE_OK)
		return r;
	if (!fare_hashes_add(&s->hashes, &e.hash) || !fare_totals_add(e.amount, &s->sum.total_credits, &s->sum.total_debits))
		return verify_fault(x, "batch %llu: more than a batch can hold", (unsigned long long)batch);
	if (e.time_ms < s->sum.time_ms)
		return verify_fault(x, "batch %llu: entry %llu of account %llu is older than the one before it", (unsigned long long)batch, (unsigned long long)at.number, (unsigned long long)at.account);
	s->sum.time_ms = e.time_ms;
	s->sum.entries++;
	s->sum.total_entries++;
	return FARE_STORE_OK;
}

/* Entries newer than the head at the start are the writer's, and have their seal by now. */
static int check_newest(struct verify *x)
{
	uint64_t number;
	int r = verify_result(x, fare_table_last(&x->v, FARE_TABLE_SEALS, &number));
	if (r == FARE_STORE_OK && x->last_batch > number)
		return verify_fault(x, "seal %llu is not there", (unsigned long long)number + 1);
	return r;
}

/* What nobody who writes here could change. */
static int check_kept(struct verify *x)
{
	struct fare_seal seal;
	unsigned long long number = (unsigned long long)x->kept.number;
	if (number == 0)
		return FARE_STORE_OK;
	int r = fare_seal_get(&x->v, x->kept.number, &seal);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "seal %llu, whose hash was kept, is not there: the ledger ends with seal %llu", number, (unsigned long long)x->head.number);
	if (r == FARE_STORE_OK && !same_hash(&seal.hash, &x->kept.hash))
		return verify_fault(x, "seal %llu has another hash than the one that was kept", number);
	return r;
}

int verify_seals(struct verify *x)
{
	struct sealing s = {.x = x, .sum.number = 1};
	fare_buf_init(&s.hashes, FARE_HASHES_MAX);
	int r = verify_result(x, fare_batch_walk(&x->v, 0, check_place, &s));
	while (r == FARE_STORE_OK && s.sum.number <= x->head.number)
		r = verify_result(x, check_seal(&s));
	fare_buf_release(&s.hashes);
	if (r != FARE_STORE_OK)
		return r;
	if (x->sealed.total_entries != x->head.total_entries || x->sealed.total_credits.nano != x->head.total_credits.nano || x->sealed.total_debits.nano != x->head.total_debits.nano)
		return verify_fault(x, "the head seal counts %llu entries, the accounts have %llu, or their totals differ", (unsigned long long)x->head.total_entries, (unsigned long long)x->sealed.total_entries);
	r = check_newest(x);
	return r == FARE_STORE_OK ? verify_result(x, check_kept(x)) : r;
}
