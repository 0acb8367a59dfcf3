/* What calls used, summed by account, key, model or day. */
#include "base/first.h"

#include <search.h>
#include <stdlib.h>

#include "bank/books_inner.h"
#include "base/log.h"

enum { GROUPS_MAX = 1000000 };

struct groups {
	struct fare_books *books;
	enum fare_usage_by by;
	uint32_t to_day;
	void *tree; /* of fare_usage_total; what is not grouped by is zero in them */
	size_t count;
	bool failed;
	bool (*fn)(void *, const struct fare_usage_total *, const char *);
	void *arg;
	struct fare_account account; /* of the group before */
	bool have_account, stopped;
};

static int number_cmp(uint64_t a, uint64_t b) { return (a > b) - (a < b); }

static int total_cmp(const void *left, const void *right)
{
	const struct fare_usage_total *a = left, *b = right;
	int c = number_cmp(a->account, b->account);
	if (c == 0)
		c = number_cmp(a->day, b->day);
	if (c == 0)
		c = number_cmp(a->key, b->key);
	return c ? c : strcmp(a->model, b->model);
}

static bool u64_add(uint64_t *to, uint64_t v) { return !__builtin_add_overflow(*to, v, to); }

static bool total_add(struct fare_usage_total *to, const struct fare_usage_total *t)
{
	return u64_add(&to->calls, t->calls) && u64_add(&to->usage.input, t->usage.input) && u64_add(&to->usage.output, t->usage.output) && u64_add(&to->usage.cached, t->usage.cached) &&
		u64_add(&to->usage.cache_write, t->usage.cache_write) && u64_add(&to->usage.reasoning, t->usage.reasoning) && fare_amount_add(to->cost, t->cost, &to->cost);
}

static struct fare_usage_total group_of(enum fare_usage_by by, const struct fare_usage_total *t)
{
	struct fare_usage_total g = {0};
	if (by == FARE_BY_ACCOUNT || by == FARE_BY_KEY)
		g.account = t->account;
	if (by == FARE_BY_KEY)
		g.key = t->key;
	if (by == FARE_BY_DAY)
		g.day = t->day;
	if (by == FARE_BY_MODEL)
		memcpy(g.model, t->model, sizeof g.model);
	return g;
}

static bool group_add(void *arg, const struct fare_usage_total *t)
{
	struct groups *g = arg;
	if (t->day > g->to_day)
		return true;
	struct fare_usage_total key = group_of(g->by, t);
	struct fare_usage_total *const *found = tfind(&key, &g->tree, total_cmp);
	if (!found && g->count < GROUPS_MAX) {
		struct fare_usage_total *fresh = fare_alloc(sizeof *fresh);
		*fresh = key;
		found = tsearch(fresh, &g->tree, total_cmp);
		FARE_ASSERT(found);
		g->count++;
	}
	g->failed = !found || !total_add(*found, t);
	if (g->failed)
		fare_log(FARE_ALARM, "books: usage %s", found ? "does not fit 64 bits" : "falls into too many groups");
	return !g->failed;
}

static void group_hand(const void *node, VISIT visit, void *arg)
{
	struct groups *g = arg;
	const struct fare_usage_total *t = *(struct fare_usage_total *const *)node;
	if ((visit != postorder && visit != leaf) || g->failed || g->stopped)
		return;
	if (t->account && (!g->have_account || g->account.id != t->account)) {
		struct fare_view v = fare_view_plain(g->books->store);
		g->have_account = fare_account_get(&v, t->account, &g->account) == FARE_STORE_OK;
		g->failed = !g->have_account;
	}
	if (g->failed)
		fare_log(FARE_ALARM, "books: usage names account %llu, which cannot be read", (unsigned long long)t->account);
	else
		g->stopped = !g->fn(g->arg, t, t->account ? g->account.name : "");
}

int fare_books_usage(struct fare_books *b, enum fare_usage_by by, uint32_t from_day, uint32_t to_day, bool (*fn)(void *, const struct fare_usage_total *, const char *), void *arg)
{
	struct groups g = {.books = b, .by = by, .to_day = to_day, .fn = fn, .arg = arg};
	int r = fare_books_each_usage(b, 0, from_day, group_add, &g);
	if (r == FARE_STORE_OK && !g.failed)
		twalk_r(g.tree, group_hand, &g);
	tdestroy(g.tree, free);
	return g.failed ? FARE_STORE_FAILED : r;
}
