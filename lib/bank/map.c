/* Hash table with chains. The hash is seeded: names come from people, model names from callers. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/secret.h"
#include "bank/map.h"

enum { SIZE_FIRST = 64 };

struct fare_map_node {
	struct fare_map_node *next;
	uint64_t hash;
	struct fare_span key;
	void *thing;
};

void fare_map_init(struct fare_map *t)
{
	*t = (struct fare_map){.size = SIZE_FIRST};
	t->heads = fare_alloc(t->size * sizeof(struct fare_map_node *));
	if (!fare_random(&t->seed, sizeof t->seed))
		fare_fatal("no random numbers from the kernel");
}

void fare_map_release(struct fare_map *t)
{
	for (size_t i = 0; i < t->size; i++)
		for (struct fare_map_node *n = t->heads[i], *next; n; n = next) {
			next = n->next;
			free(n);
		}
	free(t->heads);
	*t = (struct fare_map){0};
}

static uint64_t hash_of(const struct fare_map *t, struct fare_span key)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ t->seed;
	for (size_t i = 0; i < key.n; i++)
		h = (h ^ (uint8_t)key.p[i]) * UINT64_C(0x100000001b3);
	return h ^ (h >> 29);
}

static struct fare_map_node **find(const struct fare_map *t, struct fare_span key, uint64_t hash)
{
	struct fare_map_node **p = &t->heads[hash & (t->size - 1)];
	while (*p && !((*p)->hash == hash && fare_span_eq((*p)->key, key)))
		p = &(*p)->next;
	return p;
}

void *fare_map_get(const struct fare_map *t, struct fare_span key)
{
	struct fare_map_node *n = *find(t, key, hash_of(t, key));
	return n ? n->thing : NULL;
}

static void grow(struct fare_map *t)
{
	struct fare_map_node **old = t->heads;
	size_t old_size = t->size;
	t->size *= 2;
	t->heads = fare_alloc(t->size * sizeof(struct fare_map_node *));
	for (size_t i = 0; i < old_size; i++)
		for (struct fare_map_node *n = old[i], *next; n; n = next) {
			next = n->next;
			n->next = t->heads[n->hash & (t->size - 1)];
			t->heads[n->hash & (t->size - 1)] = n;
		}
	free(old);
}

void fare_map_put(struct fare_map *t, struct fare_span key, void *thing)
{
	uint64_t hash = hash_of(t, key);
	struct fare_map_node **p = find(t, key, hash);
	if (!*p) {
		*p = fare_alloc(sizeof **p);
		(*p)->hash = hash;
		t->count++;
	}
	(*p)->key = key;
	(*p)->thing = thing;
	if (t->count > t->size)
		grow(t);
}

void fare_map_remove(struct fare_map *t, struct fare_span key)
{
	struct fare_map_node **p = find(t, key, hash_of(t, key)), *n = *p;
	if (!n)
		return;
	*p = n->next;
	t->count--;
	free(n);
}
