/* Verify: what Idempotency-Keys lead to: each a charged call as the ledger has it, with its answer whole. The writer lets old ones go meanwhile: what is gone by then is no fault. */
#include "base/first.h"

#include "bank/books_verify.h"
#include "base/buf.h"

struct replaying {
	struct verify *x;
	struct fare_buf answer; /* of the record being looked at */
};

static int is_gone(struct verify *x, struct fare_id call_id)
{
	struct fare_replay now;
	int r = fare_replay_get(&x->v, call_id, &now);
	return r == FARE_STORE_NONE ? 1 : r == FARE_STORE_OK ? 0 : r;
}

/* A fault, unless the record has gone meanwhile. */
static int fault_unless_gone(struct verify *x, struct fare_id call_id, const char *what)
{
	char text[FARE_ID_TEXT_N];
	int gone = is_gone(x, call_id);
	if (gone < 0)
		return gone;
	fare_id_text(call_id, text);
	return gone ? FARE_STORE_OK : verify_fault(x, "the replay record of call %s: %s", text, what);
}

static int check_entry(struct verify *x, const struct fare_replay *r)
{
	struct fare_place at;
	struct fare_entry e;
	int got = fare_call_get(&x->v, r->call_id, &at);
	if (got == FARE_STORE_OK)
		got = fare_entry_get(&x->v, at, &e);
	if (got == FARE_STORE_NONE)
		return fault_unless_gone(x, r->call_id, "the call is not in the ledger");
	if (got != FARE_STORE_OK)
		return got;
	if (e.account != r->account || e.amount.nano == 0 || e.amount.nano != -r->cost.nano || e.time_ms != r->ended_ms)
		return fault_unless_gone(x, r->call_id, "its account, cost or end are not those of the call's entry");
	return FARE_STORE_OK;
}

static int read_answer(struct replaying *p, const struct fare_replay *r)
{
	struct fare_answer_part part;
	int got = FARE_STORE_OK;
	fare_buf_reset(&p->answer);
	for (uint16_t i = 0; p->answer.n < r->answer_n && i < FARE_ANSWER_PARTS_MAX; i++) {
		got = fare_answer_part_get(&p->x->v, r->call_id, i, &part);
		if (got != FARE_STORE_OK || !fare_buf_add(&p->answer, (const char *)part.bytes, part.n))
			break;
	}
	return got;
}

static int replay_one(void *arg, const struct fare_replay *r)
{
	struct replaying *p = arg;
	struct fare_hash hash = {{0}};
	int got = check_entry(p->x, r);
	if (got == FARE_STORE_OK)
		got = read_answer(p, r);
	if (got != FARE_STORE_OK && got != FARE_STORE_NONE)
		return got;
	if (verify_faulted(p->x))
		return FARE_STORE_NONE;
	if (r->answer_n)
		fare_sha256(p->answer.p, p->answer.n, &hash);
	if (got == FARE_STORE_NONE || p->answer.n != r->answer_n || memcmp(&hash, &r->answer, sizeof hash) != 0)
		return fault_unless_gone(p->x, r->call_id, "its answer is not what was kept");
	return FARE_STORE_OK;
}

/* Parts beyond an answer's end, or of none. */
static int part_one(void *arg, struct fare_id call_id, uint16_t part)
{
	struct replaying *p = arg;
	struct fare_answer_part there;
	struct fare_replay r;
	char text[FARE_ID_TEXT_N];
	int got = fare_replay_get(&p->x->v, call_id, &r);
	if (got == FARE_STORE_OK && (uint32_t)part * FARE_ANSWER_PART_N < r.answer_n)
		return FARE_STORE_OK;
	if (got == FARE_STORE_NONE || got == FARE_STORE_OK)
		got = fare_answer_part_get(&p->x->v, call_id, part, &there);
	if (got != FARE_STORE_OK)
		return got == FARE_STORE_NONE ? FARE_STORE_OK : got;
	fare_id_text(call_id, text);
	return verify_fault(p->x, "an answer's part %u of call %s belongs to no replay record", part, text);
}

int verify_replays(struct verify *x)
{
	struct replaying p = {.x = x};
	fare_buf_init(&p.answer, FARE_ANSWER_MAX);
	int r = verify_result(x, fare_replay_walk(&x->v, replay_one, &p));
	if (r == FARE_STORE_OK)
		r = verify_result(x, fare_answer_part_walk(&x->v, part_one, &p));
	fare_buf_release(&p.answer);
	return r;
}
