/* Stories: of refused calls (those of ended ones come with their entries), and their end. */
#include "base/first.h"

#include "bank/books_inner.h"

/* An ended call's story says more than that it was refused at first. */
int fare_op_story(struct fare_books *b, struct fare_op *op)
{
	int r = fare_story_put(&b->view, &op->story, true);
	if (r != FARE_STORE_THERE)
		return r;
	op->applied = FARE_ALREADY;
	return FARE_STORE_NONE;
}

struct expiry {
	uint64_t before_ms;
	struct fare_id ids[FARE_EXPIRE_MAX];
	uint32_t count, looks;
};

static int look_at(void *arg, const struct fare_story *s)
{
	struct expiry *x = arg;
	if (s->ended_ms < x->before_ms)
		x->ids[x->count++] = s->call_id;
	return x->count == FARE_EXPIRE_MAX || ++x->looks == FARE_EXPIRE_LOOKS ? FARE_STORE_NONE : FARE_STORE_OK;
}

int fare_op_expire(struct fare_books *b, struct fare_op *op)
{
	struct expiry x = {.before_ms = op->u.expire.before_ms};
	int r = fare_story_walk(&b->view, (struct fare_id){{0}}, look_at, &x);
	for (uint32_t i = 0; r == FARE_STORE_OK && i < x.count; i++)
		r = fare_story_del(&b->view, x.ids[i]) == FARE_STORE_OK ? FARE_STORE_OK : FARE_STORE_FAILED;
	op->u.expire.count = x.count;
	if (r != FARE_STORE_OK || x.count > 0)
		return r;
	op->applied = FARE_APPLIED; /* nothing to do: nothing written */
	return FARE_STORE_NONE;
}
