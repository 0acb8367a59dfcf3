/*
 * Power cuts under Berkeley DB. Its writes, syncs and new or removed files go through here and are written down with what they replaced, in memory that outlives the
 * process. When the process has ended, power_cut takes back what was not synced: all of it, none, or some of it, block by block. A log can be torn at any 512 bytes; a page
 * of a table is written whole, as 4 KiB blocks of a disk or file system are (Berkeley DB itself asks for that).
 *
 * One process at a time, one thread.
 */
#ifndef FARE_TESTS_POWER_H
#define FARE_TESTS_POWER_H

#include "base/first.h"

#include <stdbool.h>

void power_init(void);                  /* before the fork */
void power_hook(unsigned ops);          /* in the child: SIGKILL to itself before its ops-th doing from here on; 0: never */
unsigned power_ops(void);               /* doings since the hook was set */
void power_cut(unsigned *seed);         /* in the parent, after the child's end */

#endif
