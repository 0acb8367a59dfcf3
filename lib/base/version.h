/* Which farebox this is. In a file of its own: a build that differs in nothing else makes one object anew. */
#ifndef FARE_BASE_VERSION_H
#define FARE_BASE_VERSION_H

extern const char fare_version[];
/*
 * The format of what outlives a process: the store, and the holds, meters and board in the run folder. Raised when any of them changes; a farebox reads all formats up to
 * its own, and refuses a later one (store/format.c).
 *   1  the first; has no store/FORMAT
 *   2  accounts' records have the defaults of their keys
 *   3  tables of stories, and of replays and their answers; models' records have stream_hold; holds have what they pay for, and the digest of an Idempotency-Key
 */
extern const unsigned fare_format;

#endif
