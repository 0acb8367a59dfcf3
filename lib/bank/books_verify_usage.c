/* Verify: usage totals, recounted from the entries a day at a time. */
#include "base/first.h"

#include <stdlib.h>

#include "bank/books_verify.h"
#include "base/log.h"

static size_t hash_of(uint32_t day, uint64_t key, const char *model)
{
	uint64_t h = 14695981039346656037U ^ day;
	h = (h * 1099511628211U) ^ key;
	for (; *model; model++)
		h = (h * 1099511628211U) ^ (unsigned char)*model;
	return (size_t)(h ^ (h >> 32));
}

static bool is_of(const struct verify_usage_item *i, uint32_t day, uint64_t key, const char *model)
{
	return i->low.day == day && i->low.key == key && strcmp(i->low.model, model) == 0;
}

static void slot_put(struct verify_usage *u, size_t item)
{
	const struct fare_usage_total *t = &u->items[item].low;
	size_t at = hash_of(t->day, t->key, t->model) & (u->slot_count - 1);
	while (u->slots[at])
		at = (at + 1) & (u->slot_count - 1);
	u->slots[at] = (uint32_t)item + 1;
}

static void grow(struct verify_usage *u)
{
	u->cap = u->cap ? 2 * u->cap : 64;
	u->items = fare_realloc(u->items, u->cap * sizeof *u->items);
	free(u->slots);
	u->slot_count = 2 * u->cap;
	u->slots = fare_alloc(u->slot_count * sizeof *u->slots);
	for (size_t i = 0; i < u->count; i++)
		slot_put(u, i);
}

static struct verify_usage_item *item_of(struct verify_usage *u, uint32_t day, uint64_t key, const char *model)
{
	if (u->last < u->count && is_of(&u->items[u->last], day, key, model))
		return &u->items[u->last];
	if (u->slot_count > 0)
		for (size_t at = hash_of(day, key, model) & (u->slot_count - 1); u->slots[at]; at = (at + 1) & (u->slot_count - 1))
			if (is_of(&u->items[u->slots[at] - 1], day, key, model)) {
				u->last = u->slots[at] - 1;
				return &u->items[u->last];
			}
	if (u->count == u->cap)
		grow(u);
	struct verify_usage_item *i = &u->items[u->count];
	memset(i, 0, sizeof *i);
	i->low.day = day;
	i->low.key = key;
	memcpy(i->low.model, model, strlen(model) + 1);
	i->high = i->low;
	slot_put(u, u->count);
	u->last = u->count++;
	return i;
}

bool verify_usage_add(struct verify_usage *u, const struct fare_entry *e, bool high_only)
{
	struct verify_usage_item *i = item_of(u, fare_entry_day(e), e->key, e->model);
	return fare_usage_total_add(&i->high, e) && (high_only || fare_usage_total_add(&i->low, e));
}

struct reading {
	struct verify *x;
	uint32_t to_day;
};

static int read_one(void *arg, const struct fare_usage_total *t)
{
	struct reading *r = arg;
	if (t->account != r->x->chain.at.id || t->day > r->to_day)
		return FARE_STORE_NONE;
	struct verify_usage_item *i = item_of(&r->x->chain.usage, t->day, t->key, t->model);
	i->stored = *t;
	i->is_stored = true;
	return FARE_STORE_OK;
}

int verify_usage_read(struct verify *x, uint32_t to_day)
{
	struct reading r = {.x = x, .to_day = to_day};
	return verify_result(x, fare_usage_walk(&x->v, x->chain.at.id, x->chain.usage.next_day, read_one, &r));
}

static bool between(uint64_t low, uint64_t v, uint64_t high) { return low <= v && v <= high; }

static bool is_right(const struct verify_usage_item *i)
{
	const struct fare_usage_total *low = &i->low, *high = &i->high, *s = &i->stored;
	if (i->is_stored && s->calls == 0)
		return false;
	return between(low->calls, s->calls, high->calls) && between(low->usage.input, s->usage.input, high->usage.input) && between(low->usage.output, s->usage.output, high->usage.output) &&
		between(low->usage.cached, s->usage.cached, high->usage.cached) && between(low->usage.cache_write, s->usage.cache_write, high->usage.cache_write) &&
		between(low->usage.reasoning, s->usage.reasoning, high->usage.reasoning) && low->cost.nano <= s->cost.nano && s->cost.nano <= high->cost.nano;
}

int verify_usage_judge(struct verify *x, uint32_t to_day)
{
	struct verify_usage *u = &x->chain.usage;
	for (size_t i = 0; i < u->count; i++)
		if (!is_right(&u->items[i]))
			return verify_fault(x, "account %s: usage total of day %u, key %llu, model %.60s is not the sum of its calls", x->chain.at.id ? x->chain.at.name : "0 (the house's)",
				u->items[i].low.day, (unsigned long long)u->items[i].low.key, u->items[i].low.model);
	u->count = 0;
	if (u->slot_count > 0)
		memset(u->slots, 0, u->slot_count * sizeof *u->slots);
	u->next_day = to_day == UINT32_MAX ? to_day : to_day + 1;
	return FARE_STORE_OK;
}

void verify_usage_release(struct verify_usage *u)
{
	free(u->items);
	free(u->slots);
	memset(u, 0, sizeof *u);
}
