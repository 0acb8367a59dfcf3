/* The two clocks: the boot clock (never steps, runs through suspend) for limits and deadlines, wall time for entries and people. */
#ifndef FARE_BASE_CLOCK_H
#define FARE_BASE_CLOCK_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

uint64_t fare_clock_boot_ms(void);
uint64_t fare_clock_wall_ms(void); /* since 1970, UTC */
enum { FARE_BOOT_ID_N = 16, FARE_TIME_TEXT_N = 25 };
bool fare_clock_boot_id(uint8_t out[FARE_BOOT_ID_N]) FARE_MUST; /* the kernel's id of this boot */
/* RFC 3339 with milliseconds, UTC: "2026-11-24T18:18:58.123Z". */
void fare_clock_text(uint64_t wall_ms, char out[FARE_TIME_TEXT_N]);
bool fare_clock_parse(struct fare_span text, uint64_t *wall_ms) FARE_MUST; /* RFC 3339, any offset */
/* RFC 3339, or a span like 30d, 12h, 15m, 90s: before now when past is true, after it otherwise. */
bool fare_clock_parse_when(struct fare_span text, uint64_t now_ms, bool past, uint64_t *wall_ms) FARE_MUST;

#endif
