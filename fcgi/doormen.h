/*
 * The doormen of a worker: threads that accept a request each and serve it up to its admission. There are more when all are busy, fewer when many are not. One stands at
 * the door. He stays there as long as nothing makes him wait: a request that is there whole is served at the door, and no other thread is woken for it.
 */
#ifndef FARE_FCGI_DOORMEN_H
#define FARE_FCGI_DOORMEN_H

#include "flow/gate.h"

struct fare_doormen;

enum { FARE_DOORMEN_LEAST = 8 };

/* listen_fd is made non-blocking. NULL: no thread could be started. */
struct fare_doormen *fare_doormen_new(struct fare_gate *g, int listen_fd, unsigned most);
void fare_doormen_step_aside(void); /* a gate's `waits` */
void fare_doormen_stop(struct fare_doormen *d); /* no further request is accepted */
bool fare_doormen_wait(struct fare_doormen *d, uint64_t timeout_ms); /* until all have ended what they had; true: all have */
void fare_doormen_free(struct fare_doormen **d); /* after a wait that was true */

#endif
