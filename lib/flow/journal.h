/*
 * The log of calls: HOME/log/calls.log, one JSON object a line for every call that has ended or was refused, for people and their tools; the ledger alone says what is owed.
 * All workers and CGI processes append to the one file. Lines wait in memory for a thread that writes them: no call waits for the disk, none fails for it. The file is looked up
 * by its name once a second: move it away, and a new one is begun. It is made for its owner alone (0600) and is not flushed: a power cut may take its end.
 *
 * Lines that cannot be written (no folder, a full or blocked disk) are lost. The first raises an alarm, whichever process it is in; how many are lost is counted in
 * RUN/calls.lost, a byte each, and said when writing goes on. A folder that was missing is made by the next reload; workers that run may not have the right to write in it.
 */
#ifndef FARE_FLOW_JOURNAL_H
#define FARE_FLOW_JOURNAL_H

#include "base/buf.h"

#define FARE_JOURNAL_FOLDER "log"
#define FARE_JOURNAL_FILE "calls.log"
#define FARE_JOURNAL_LOST "calls.lost"
enum { FARE_JOURNAL_WAITING_MAX = 4 * 1024 * 1024 };

struct fare_journal;

/* Makes HOME/log if it is not there; what it holds is the caller's to give to those who write. A descriptor of it, or -1 with errno. */
int fare_journal_folder(const char *home);
struct fare_journal *fare_journal_new(const char *home, const char *run); /* NULL: no thread, or too long a path */
void fare_journal_add(struct fare_journal *j, struct fare_span line); /* without its newline; any thread; j may be NULL */
/* The end: writes what waits. False: the disk has not taken it within timeout_ms; then nothing may be freed. Lines that come after this are lost, untold. */
bool fare_journal_drain(struct fare_journal *j, uint64_t timeout_ms) FARE_MUST;
void fare_journal_free(struct fare_journal **j); /* drained; nobody adds any more */

#endif
