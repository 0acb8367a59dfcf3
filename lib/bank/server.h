/*
 * The bank as a process: lock, recovery, the two sockets, and the threads around the decider. Returns the exit status: 0 left in good order or lost the race for the
 * lock, 1 cannot run (one line logged). Any failure of the store ends the process at once, without an acknowledgement; whoever needs a bank starts the next one.
 */
#ifndef FARE_BANK_SERVER_H
#define FARE_BANK_SERVER_H

#include "conf/conf.h"

/* The caller has dropped its rights to the store's owner. waited: the disk can be written, when it could not (or always could). */
int fare_bank_serve(const struct fare_conf *c, void (*waited)(const struct fare_conf *c));

#endif
