/*
 * store/LOCK, the most important lock of the project: who holds it may open the store, and two who open it destroy it silently. Banks hold it for their whole life; so
 * does a restore. It is let go with the descriptor. And store/CLEAN, the mark of a store that was left in good order.
 */
#ifndef FARE_BANK_LOCK_H
#define FARE_BANK_LOCK_H

#include "bank/books.h"

#define FARE_CLEAN_MARK "CLEAN"

/* Makes HOME/store and the lock's file if they are not there. A descriptor; -1: another has it; -2: failed, one line in error. */
int fare_bank_lock(const char *home, char error[FARE_ERROR_N]);

#endif
