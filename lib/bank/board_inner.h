/* Layout of board and catalogue files, in host byte order. */
#ifndef FARE_BANK_BOARD_INNER_H
#define FARE_BANK_BOARD_INNER_H

#include "base/fs.h"
#include "bank/board.h"

#define FARE_BOARD_MAGIC "FBBOARD1"
#define FARE_CATALOG_MAGIC "FBCATAL1"
enum { FARE_BOARD_BYTES = 4096 };
_Static_assert(sizeof(struct fare_board_page) <= FARE_BOARD_BYTES, "the board is one page");

struct fare_catalog_head { char magic[8]; uint64_t count; };
struct fare_catalog_row { uint64_t created_ms; uint32_t name, owner; /* where in the file; NUL-terminated */ };

void fare_catalog_path(char out[FARE_PATH_N], const char *run, uint64_t generation); /* "" when too long */

#endif
