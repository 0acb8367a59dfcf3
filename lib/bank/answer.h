/*
 * An answer on its way from a worker to the store: a file in the run folder, which outlives the worker like its meter, and is as public: others cannot list the folder, and
 * the incarnation in its name is known to nobody else. Made under another name, then renamed: a file that has its name is whole. The worker says its size in the meter
 * before `final`; the writer reads it into the transaction of the call's entry, and removes it when that is durable. One whose call has no hold is left over.
 */
#ifndef FARE_BANK_ANSWER_H
#define FARE_BANK_ANSWER_H

#include "base/span.h"
#include "base/id.h"

enum { FARE_ANSWER_NAME_N = 96 };

/* The worker's side: head and body, together at most FARE_ANSWER_MAX. False: errno, and nothing is left of it. */
bool fare_answer_write(const char *run, struct fare_id call_id, struct fare_id incarnation, struct fare_span head, struct fare_span body) FARE_MUST;

/* The bank's side. Read: n bytes (free them), if there is such a file of just that size, made by whom the worker's meter was made by. NULL: missing or odd. */
char *fare_answer_read(const char *run, struct fare_id call_id, struct fare_id incarnation, unsigned worker_no, uint32_t n);
void fare_answer_remove(const char *run, struct fare_id call_id, struct fare_id incarnation);
/* Of a file's name: whose answer it is, whole or being made. False: it is none. */
bool fare_answer_name_parse(const char *name, struct fare_id *call_id, struct fare_id *incarnation) FARE_MUST;

#endif
