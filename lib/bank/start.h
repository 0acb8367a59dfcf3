/*
 * The one way to a bank, for the keeper, commands and tests alike: connect; if refused, exec a bank (only as the store's owner or root); try again with back-off.
 * Workers only connect (bank/client.h): they never fork (R1).
 */
#ifndef FARE_BANK_START_H
#define FARE_BANK_START_H

#include "bank/books.h"
#include "conf/conf.h"

enum { FARE_START_TIMEOUT_MS = 10000 };

/* May this process ask a home's bank or start one? Only the owner of the home and root may; a bank then runs as the owner. False: one clear line in error. */
bool fare_bank_may(const struct fare_conf *c, char error[FARE_ERROR_N]);

/* Does this farebox know the format of the home's store? False: one line in error. Nothing is opened or changed. */
bool fare_bank_fits(const struct fare_conf *c, char error[FARE_ERROR_N]);

/* A connected, blocking descriptor of the admin socket of the home's bank, started if need be; -1: one clear line in error. The bank is nobody's child. */
int fare_bank_connect(const struct fare_conf *c, char error[FARE_ERROR_N]);
/* The same without starting one: -1 and errno ENOENT or ECONNREFUSED when none runs. */
int fare_bank_try(const struct fare_conf *c);

/*
 * Makes the run folder if it is not there; as root it is given to the store's owner and the group of the settings' worker_user, which may then make files in it
 * (mode 03771: sticky, so nobody removes another's). Keeper and bank call it. False: one line in error.
 */
bool fare_run_prepare(const struct fare_conf *c, char error[FARE_ERROR_N]);

#endif
