/* A hash table from byte strings to things; neither keys nor things are its own: a key lies within its thing and lives as long. */
#ifndef FARE_BANK_MAP_H
#define FARE_BANK_MAP_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

struct fare_map_node;
struct fare_map {
	struct fare_map_node **heads;
	size_t size, count;
	uint64_t seed;
};

void fare_map_init(struct fare_map *t);
void fare_map_release(struct fare_map *t);
void *fare_map_get(const struct fare_map *t, struct fare_span key); /* NULL: not there */
void fare_map_put(struct fare_map *t, struct fare_span key, void *thing); /* replaces */
void fare_map_remove(struct fare_map *t, struct fare_span key);

#endif
