/* The relay: one thread with a loop that carries all admitted calls of a worker from upstream to caller. */
#ifndef FARE_FLOW_RELAY_H
#define FARE_FLOW_RELAY_H

#include "flow/gate.h"

struct fare_call;

struct fare_relay *fare_relay_new(struct fare_gate *g); /* starts the thread; NULL: it cannot */
struct fare_loop *fare_relay_loop(struct fare_relay *r);         /* the gate's link lives on it, and ends before it */
void fare_relay_take(struct fare_relay *r, struct fare_call *c); /* asks the bank, and goes on from its answer; any thread */
unsigned fare_relay_running(struct fare_relay *r);               /* calls it has; any thread */
void fare_relay_cut(struct fare_relay *r);                       /* ends all that still run, as truncated; any thread */
void fare_relay_free(struct fare_relay **r);                     /* when none runs any more */

#endif
