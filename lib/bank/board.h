/*
 * What the bank shows to everyone on the host, in the run folder: the board (its figures; one mapped page, the same file for ever) and the catalogue (an immutable file
 * `catalog.G` for each generation G; the board names the current one). Written by the bank alone; workers map them read-only.
 */
#ifndef FARE_BANK_BOARD_H
#define FARE_BANK_BOARD_H

#include "bank/books.h"

#include <stdatomic.h>

struct fare_board_page {
	char magic[8];
	uint8_t store[16], epoch[16];
	_Atomic uint64_t pid, started_ms, catalogue, holds, connections, queued, ticks, over_hold;
};

struct fare_board; /* the bank's */
struct fare_board *fare_board_open(const char *run, const uint8_t store[16], const uint8_t epoch[16], char error[FARE_ERROR_N]);
void fare_board_close(struct fare_board **b);
struct fare_board_page *fare_board_page(struct fare_board *b);

struct fare_catalog_item { const char *name, *owner; uint64_t created_ms; };
/* The bank: writes the next generation and names it on the board. Items sorted by name. */
bool fare_board_publish(struct fare_board *b, const struct fare_catalog_item *items, size_t n);

/* Workers. Thread-safe. The current catalogue, held until it is put back; NULL: there is none (no bank has ever run here). */
struct fare_catalogs;
struct fare_catalog;
struct fare_catalogs *fare_catalogs_new(const char *run);
void fare_catalogs_free(struct fare_catalogs **c);
const struct fare_catalog *fare_catalog_get(struct fare_catalogs *c);
void fare_catalog_put(struct fare_catalogs *c, const struct fare_catalog *k);
size_t fare_catalog_count(const struct fare_catalog *k);
bool fare_catalog_item(const struct fare_catalog *k, size_t i, struct fare_catalog_item *out) FARE_MUST;
bool fare_catalog_find(const struct fare_catalog *k, struct fare_span name, struct fare_catalog_item *out) FARE_MUST;

#endif
