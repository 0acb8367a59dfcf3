/*
 * Power cuts under Berkeley DB. Its writes, syncs and new or removed files go through here and are written down with what they replaced, in memory that outlives the
 * process. When the process has ended, power_cut takes back what was not synced: all of it, none, or some of it, block by block. A log can be torn at any 512 bytes; a page
 * of a table is written whole, as 4 KiB blocks of a disk or file system are (Berkeley DB itself asks for that).
 *
 * And calls of it that fail, with what the kernel makes of that: a write has written some of it; what a failed sync was for is not synced by any later one, though it can be
 * read. Syncs and reads come in from the store, which has Berkeley DB call it, by fdatasync and pread, for
 * which the program is linked to have others (-Wl,--wrap).
 *
 * One process at a time, one thread.
 */
#ifndef FARE_TESTS_POWER_H
#define FARE_TESTS_POWER_H

#include "base/first.h"

#include <stdbool.h>
#include <sys/types.h>

void power_init(void);                  /* before the fork */
void power_hook(unsigned ops);          /* in the child: SIGKILL to itself before its ops-th doing from here on; 0: never */
unsigned power_ops(void);               /* doings since the hook was set */
enum power_kind { POWER_OPEN, POWER_READ, POWER_WRITE_LOG, POWER_WRITE_DATA, POWER_SYNC_LOG, POWER_SYNC_DATA, POWER_TRUNCATE, POWER_KINDS };
void power_fail(enum power_kind kind, unsigned nth, int error, bool for_ever); /* in the child, after the hook: the nth from here on, and if so all that follow */
bool power_struck(void);                /* did one fail in this child? */
int power_fdatasync(int fd);
ssize_t power_pread(int fd, void *b, size_t n, off_t at);
void power_all_synced(void);            /* all files were copied into new ones, and these flushed */
void power_cut(unsigned *seed);         /* in the parent, after the child's end */

#endif
