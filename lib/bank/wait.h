/* A bank that cannot open its store because of the disk: it waits with the store's lock held, and whoever wants a bank is told so at once. */
#ifndef FARE_BANK_WAIT_H
#define FARE_BANK_WAIT_H

#include "bank/books.h"
#include "conf/conf.h"

/* With the lock held: until a log file's worth can be written, and a failed fsync is made good. 1: it was one, 0: nothing was wrong, or is any more, -1: it still is, after some time. Logged, once. */
int fare_bank_wait(const struct fare_conf *c) FARE_MUST;
/* The store does not open, whatever the disk says: logs why, and lets some seconds pass before the next bank may try. */
void fare_bank_hold_off(const struct fare_conf *c, const char *why);
void fare_bank_wait_over(const struct fare_conf *c); /* it is open: trouble to come is told anew */
/* Does a bank wait so? Then no other can be had; error says why. */
bool fare_bank_waits(const struct fare_conf *c, char error[FARE_ERROR_N]);

#endif
