/* Verify: stories against the entries that they are of. They come and go while this goes on; a story and its entry come in one transaction, and the entry stays. */
#include "base/first.h"

#include "bank/books_verify.h"

static int story_one(void *arg, const struct fare_story *s)
{
	struct verify *x = arg;
	struct fare_place at = {0};
	struct fare_entry e;
	char text[FARE_ID_TEXT_N];
	if (s->state != FARE_STORY_ENDED)
		return FARE_STORE_OK;
	int r = fare_call_get(&x->v, s->call_id, &at);
	if (r == FARE_STORE_OK)
		r = fare_entry_get(&x->v, at, &e);
	if (r != FARE_STORE_OK && r != FARE_STORE_NONE)
		return r;
	fare_id_text(s->call_id, text);
	if (r == FARE_STORE_NONE)
		return verify_fault(x, "the story of call %s says that it has ended, but it has no entry", text);
	if (e.account == s->account && e.key == s->key && e.amount.nano == -s->cost.nano && e.ending == s->ending)
		return FARE_STORE_OK;
	return verify_fault(x, "account %llu, entry %llu: the story of its call %s says another account, key, cost or ending", (unsigned long long)e.account, (unsigned long long)e.number, text);
}

int verify_stories(struct verify *x) { return verify_result(x, fare_story_walk(&x->v, (struct fare_id){{0}}, story_one, x)); }
