/* The log: one line to stderr per event, "TIME ROLE[PID] LEVEL: text"; bytes below space are escaped; one write(2) per line. Thread-safe. */
#ifndef FARE_BASE_LOG_H
#define FARE_BASE_LOG_H

#include "base/first.h"

#include <stddef.h>

enum fare_level { FARE_DEBUG, FARE_INFO, FARE_WARN, FARE_ALARM };

void fare_log_role(const char *role);          /* a constant string; default "farebox" */
void fare_log_level(enum fare_level least);    /* default FARE_INFO */
void fare_log(enum fare_level level, const char *fmt, ...) FARE_PRINTF(2, 3);
/* Start-up only: cannot go on; one clear line, exit 1. */
FARE_NORETURN void fare_fatal(const char *fmt, ...) FARE_PRINTF(1, 2);
/* Our bug: one line, abort. Never for bad data from client, upstream or disk. */
FARE_NORETURN void fare_panic_at(const char *file, int line, const char *what);
#define FARE_ASSERT(x) ((x) ? (void)0 : fare_panic_at(__FILE__, __LINE__, #x))

/* Memory that must be had: a process that cannot get it stops at once (a bank or worker is restarted and loses nothing by rule). */
void *fare_alloc(size_t n);               /* zeroed */
void *fare_realloc(void *p, size_t n);
char *fare_strdup(const char *s);

#endif
