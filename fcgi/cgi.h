/*
 * Started as plain CGI: one request, through the bank like any other, then the end. The process is a worker with one slot and no keeper. Its threads: the first serves
 * (doorman), the relay's, the link's, and the porter's, who carries the answer to standard output and knows when the caller is gone. A small child, forked before the
 * meter is made (a worker never forks), sees that a bank runs; it reads nothing of the request.
 */
#ifndef FARE_FCGI_CGI_H
#define FARE_FCGI_CGI_H

#include "base/first.h"
#include "conf/conf.h"

/* Is this process one? A listening socket on descriptor 0 would be FastCGI's. */
bool fare_cgi_is(void);
/* Serves. Its arguments would be the caller's words (RFC 3875, 4.4): there are none; the instance is FAREBOX_HOME's. Returns the exit status. */
int fare_cgi_run(void);

/* The child that starts banks. A descriptor to it, or -1; one line in error. It ends when the descriptor is closed. */
int fare_cgi_bank_child(const struct fare_conf *c);
/* Asks it for a bank, without waiting for its answer. */
void fare_cgi_bank_want(int child);
/* Waits for its answer. False: no bank, for a reason that it has logged. */
bool fare_cgi_bank_wait(int child) FARE_MUST;

#endif
