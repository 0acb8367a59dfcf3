/*
 * Fault points, compiled in by --enable-faults only. FAREBOX_FAULT="name:action[@n],..." in the environment strikes at the nth pass (default 1; @*: at each) of the point with
 * that name: `kill` (SIGKILL to self), `kill=PATH` (likewise, by whoever removes the file PATH: once, though each process counts for itself), `exit`, `fail` (the point returns true: the caller acts as if the operation failed), `sleep=MS`, `hold=PATH` (waits while the file PATH exists).
 * Points may also be read from the file named by FAREBOX_FAULT_FILE at each pass, so that a test can switch them on and off under load (passes count from a rule's
 * appearance there). Every pass of a struck point is logged, so a test can see that it was hit.
 */
#ifndef FARE_BASE_FAULT_H
#define FARE_BASE_FAULT_H

#include "base/first.h"

#include <stdbool.h>

#ifdef FARE_FAULTS
bool fare_fault(const char *name);
#else
static inline bool fare_fault(const char *name) { (void)name; return false; }
#endif

/*
 * Bugs planted on purpose, compiled in by --enable-planted only: a test that does not find the one that FAREBOX_PLANTED names does not test. Each leaves out one rule of
 * the money protocol, or breaks one promise.
 */
#ifdef FARE_PLANTED
bool fare_planted(const char *bug);
#else
static inline bool fare_planted(const char *bug) { (void)bug; return false; }
#endif

#endif
